"""The catalogue of what can be observed: each class is one log line and its metrics.

Named noun + past verb, emitted once for a slab, a batch or a change, never for a packet. Fields are numbers and words
of closed sets, so that nothing personal and no free text can get into logs or metrics by way of an event. `level` is
the severity of the line: debug what happens all the time, info what changes, warning what somebody should look at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gateway.event_words import (
    CommandResult,
    CommandVerb,
    DeviceState,
    EntryWord,
    Event,
    Level,
    Op,
    PeerReason,
    Reason,
    Transport,
    command_result,
    command_verb,
    entry_word,
    peer_reason,
    reason,
)
from gateway.events_peers import (
    CheckpointsCosigned,
    EntriesMirrored,
    ForkDetected,
    HeadConfirmed,
    HeadsAccepted,
    OwnLogDetected,
    PeersReached,
    PeersRefused,
    RosterChanged,
)


@dataclass(frozen=True, slots=True)
class DaemonStarted(Event):
    """The process began; nothing is open yet."""


@dataclass(frozen=True, slots=True)
class DaemonReady(Event):
    """Keys are tested, the store is accepted, sockets are bound: it can durably accept.

    Args:
        start_ms: time since DaemonStarted.
    """

    start_ms: int


@dataclass(frozen=True, slots=True)
class DaemonStopping(Event):
    """Receiving has ended; what was received is being sealed, committed and told."""


@dataclass(frozen=True, slots=True)
class DaemonStopped(Event):
    """All is closed.

    Args:
        stop_ms: time since DaemonStopping.
    """

    stop_ms: int


@dataclass(frozen=True, slots=True)
class PacketsArrived(Event):
    """A slab of packets came in.

    Args:
        count: packets of the slab.
    """

    level: ClassVar[Level] = "debug"
    transport: Transport
    count: int


@dataclass(frozen=True, slots=True)
class PacketsAdmitted(Event):
    """Fresh packets of known links were taken in, since the last report.

    Args:
        count: packets.
    """

    level: ClassVar[Level] = "debug"
    count: int


@dataclass(frozen=True, slots=True)
class PacketsRefused(Event):
    """Packets of a slab broke a rule: `reason` tells which."""

    level: ClassVar[Level] = "warning"
    reason: Reason
    count: int


@dataclass(frozen=True, slots=True)
class PacketsShed(Event):
    """Packets were dropped for load before anything was known of them."""

    level: ClassVar[Level] = "warning"
    reason: Reason
    count: int


@dataclass(frozen=True, slots=True)
class KernelDropped(Event):
    """The kernel dropped datagrams because its receive buffer was full, as /proc/net/udp tells.

    Args:
        count: since the last look.
    """

    level: ClassVar[Level] = "warning"
    count: int


@dataclass(frozen=True, slots=True)
class FramesAdmitted(Event):
    """Frames were let in by the consent of their session, since the last report.

    Args:
        count: frames.
        samples: in them.
    """

    level: ClassVar[Level] = "debug"
    count: int
    samples: int


@dataclass(frozen=True, slots=True)
class FramesRefused(Event):
    """Frames of a slab were not let in: `reason` tells why."""

    level: ClassVar[Level] = "warning"
    reason: Reason
    count: int


@dataclass(frozen=True, slots=True)
class DevicePaired(Event):
    """A device got its key."""


@dataclass(frozen=True, slots=True)
class KeyRotationStarted(Event):
    """A device is to get another key; the old one is good until the new one is used."""


@dataclass(frozen=True, slots=True)
class KeyRotated(Event):
    """A device said HELLO under its new key: the old one is good no longer."""


@dataclass(frozen=True, slots=True)
class DeviceRevoked(Event):
    """Nothing that a device sends is taken any more."""


@dataclass(frozen=True, slots=True)
class CommandsSent(Event):
    """Devices were asked for something, since the last report; what is sent again for want of an answer is not counted.

    Args:
        count: commands.
    """

    level: ClassVar[Level] = "debug"
    verb: CommandVerb
    count: int


@dataclass(frozen=True, slots=True)
class CommandsAnswered(Event):
    """It is known what became of commands, since the last report.

    Args:
        count: commands.
    """

    verb: CommandVerb
    result: CommandResult
    count: int


@dataclass(frozen=True, slots=True)
class DevicesWelcomed(Event):
    """A device's HELLO was answered."""

    state: DeviceState
    count: int


@dataclass(frozen=True, slots=True)
class SessionOpened(Event):
    """A sitting began."""


@dataclass(frozen=True, slots=True)
class SessionWithdrawn(Event):
    """Consent to a sitting was withdrawn: nothing more of it is stored."""


@dataclass(frozen=True, slots=True)
class SessionDraining(Event):
    """A sitting was stopped; what was captured before is still taken in."""


@dataclass(frozen=True, slots=True)
class SessionClosed(Event):
    """A sitting is complete: nothing more is taken in for it."""


@dataclass(frozen=True, slots=True)
class BatchCommitted(Event):
    """A batch is on disk and its root is in the log.

    Args:
        batch: its number, from 1. parts, frames, samples: what it holds. bytes: of its sealed parts.
        seal_ms: time to seal and plan it. commit_ms: time from the segment's append to the mark.
        size: entries of the log after it.
    """

    level: ClassVar[Level] = "debug"
    batch: int
    parts: int
    frames: int
    samples: int
    bytes: int
    seal_ms: float
    commit_ms: float
    size: int


@dataclass(frozen=True, slots=True)
class EntriesCommitted(Event):
    """Entries of one type, other than batches, are in the log with one commit.

    Args:
        entry: their type.
        count: how many.
    """

    level: ClassVar[Level] = "debug"
    entry: EntryWord
    count: int


@dataclass(frozen=True, slots=True)
class ReceiptsSent(Event):
    """Devices were told what is stored and what is refused, after one commit.

    Args:
        count: receipts.
    """

    level: ClassVar[Level] = "debug"
    count: int


@dataclass(frozen=True, slots=True)
class AccessDecided(Event):
    """An actor asked for data and was answered; the access itself is an entry."""

    op: Op
    allowed: bool


@dataclass(frozen=True, slots=True)
class CycleHeld(Event):
    """No batch may begin now: `reason` tells why. It resumes by itself."""

    level: ClassVar[Level] = "warning"
    reason: Reason


@dataclass(frozen=True, slots=True)
class CycleResumed(Event):
    """Batches begin again after a CycleHeld.

    Args:
        held_ms: how long none could.
    """

    held_ms: int


@dataclass(frozen=True, slots=True)
class DiskLow(Event):
    """Free disk is below the floor for batches.

    Args:
        free_bytes: what is left.
    """

    level: ClassVar[Level] = "error"
    free_bytes: int


@dataclass(frozen=True, slots=True)
class BrokerConnected(Event):
    """The MQTT broker accepted this gateway."""


@dataclass(frozen=True, slots=True)
class BrokerLost(Event):
    """The connection to the MQTT broker ended or cannot be made, told once for each reason; it is tried again."""

    level: ClassVar[Level] = "warning"
    reason: Reason


@dataclass(frozen=True, slots=True)
class StoreRecovered(Event):
    """The store was opened and brought to one state.

    Args:
        size: entries of the log. cut_bytes: segment tails that no row names, cut off.
        mark_advanced: whether the mark was behind the database, as after a crash between both.
    """

    size: int
    cut_bytes: int
    mark_advanced: bool


# Not `__subclasses__()`: slots=True makes each class a second time, and the first ones linger there.
CATALOGUE: tuple[type[Event], ...] = tuple(
    kind
    for kind in list(globals().values())
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
)
"""Every event there is, in the order above."""

__all__ = [
    "CommandResult", "CommandVerb", "DeviceState", "EntryWord", "Event", "Level", "Op", "PeerReason",
    "Reason", "Transport", "command_result", "command_verb", "entry_word", "peer_reason", "reason",
    "CheckpointsCosigned", "EntriesMirrored", "ForkDetected", "HeadConfirmed", "HeadsAccepted",
    "OwnLogDetected", "PeersReached", "PeersRefused", "RosterChanged", "DaemonStarted", "DaemonReady",
    "DaemonStopping", "DaemonStopped", "PacketsArrived", "PacketsAdmitted", "PacketsRefused", "PacketsShed",
    "KernelDropped", "FramesAdmitted", "FramesRefused", "DevicePaired", "KeyRotationStarted", "KeyRotated",
    "DeviceRevoked", "CommandsSent", "CommandsAnswered", "DevicesWelcomed", "SessionOpened",
    "SessionWithdrawn", "SessionDraining", "SessionClosed", "BatchCommitted", "EntriesCommitted",
    "ReceiptsSent", "AccessDecided", "CycleHeld", "CycleResumed", "DiskLow", "BrokerConnected",
    "BrokerLost", "StoreRecovered", "CATALOGUE",
]  # fmt: skip
