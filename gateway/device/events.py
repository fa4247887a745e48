"""What goes into the device machine and what comes out of it.

Events are what happened to the device; effects are what its driver has to do, in the order given. `Persist` must be
done before the `Send` that follows it: a HELLO counter that is sent before it is kept would be used twice after a
crash, and the gateway would drop the second (VT1, "Handshake"). The same holds of `PersistKey`: a key that is used
before it is kept would lock the device out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from gateway.device.spool import KeptLink, LinkCard

RECORDING: Final = "recording"
WAITING: Final = "waiting"
BEHIND: Final = "behind"
NOT_RECORDING: Final = "not_recording"
VISIBLE_STATES: Final = (RECORDING, WAITING, BEHIND, NOT_RECORDING)


@dataclass(frozen=True, slots=True)
class Start:
    """The app wants to record; the first HELLO leaves."""


@dataclass(frozen=True, slots=True)
class Received:
    """A packet came from the network: the whole datagram or MQTT payload."""

    packet: bytes


@dataclass(frozen=True, slots=True)
class Tick:
    """The time of `wake_at` has come."""


@dataclass(frozen=True, slots=True)
class Captured:
    """Samples were captured; `Device.capture` does the same without the event.

    Args:
        stream: u16, chosen by the app for this run.
        kind: number of the kind (`wire/kinds`).
        samples: `count` records, little-endian, one after another.
        count: how many; 1 for kinds of variable size.
    """

    stream: int
    kind: int
    samples: bytes
    count: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Stop capturing for a while; `reason` is a word of BYE (`pause`, `sleep`)."""

    reason: str = "pause"


@dataclass(frozen=True, slots=True)
class Resume:
    """Capture again: a new link is asked for, the old ones drain beside it."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop capturing and drain; `reason` is a word of BYE (`end`, `stop`, `error`)."""

    reason: str = "end"


@dataclass(frozen=True, slots=True)
class Restored:
    """A link of an earlier run was read from the spool; before the first `Start`, oldest link first."""

    link: KeptLink


@dataclass(frozen=True, slots=True)
class SpoolLost:
    """The spool does not have what `SendKept` asked for (any more): the packet is lost."""

    link: int
    seq: int


Event = Start | Received | Tick | Captured | Pause | Resume | Stop | Restored | SpoolLost


@dataclass(frozen=True, slots=True)
class Send:
    """Send a packet.

    Args:
        packet: the bytes.
        hello: True for HELLO, which MQTT publishes on the topic of the device's home.
        gateway: name of the gateway that the packet's link belongs to (the MQTT topic of all others); empty for HELLO.
    """

    packet: bytes
    hello: bool
    gateway: str = ""


@dataclass(frozen=True, slots=True)
class Persist:
    """Make the HELLO counter durable, before the effects that follow."""

    hello_seq: int


@dataclass(frozen=True, slots=True)
class PersistKey:
    """Make the device's new K_dev durable, before the effects that follow; the HELLO counter stays as it is."""

    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Keep:
    """Write a packet to the spool.

    Args:
        card: of its link; its segments begin with it.
        seq: its number.
        samples: how many it carries.
        packet: the bytes.
    """

    card: LinkCard
    seq: int
    samples: int
    packet: bytes


@dataclass(frozen=True, slots=True)
class SendKept:
    """Send a packet again whose bytes only the spool has; answer with `SpoolLost` where it cannot be read.

    Args:
        link: its link.
        seq: its number.
        gateway: as in `Send`.
    """

    link: int
    seq: int
    gateway: str


@dataclass(frozen=True, slots=True)
class Settled:
    """Packets that the spool has are no longer held: they have their receipts, or are lost. Both ends inclusive."""

    link: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """A link is forgotten, and all that the spool has of it."""

    link: int


@dataclass(frozen=True, slots=True)
class Changed:
    """What a person at the device should see has changed.

    Args:
        state: one of `VISIBLE_STATES`.
        reason: why it is not recording, waits or is behind; a word, empty while recording.
        behind_s: age in seconds of the oldest packet without a receipt while `behind`, in steps of 5; else 0.
    """

    state: str
    reason: str
    behind_s: int = 0


@dataclass(frozen=True, slots=True)
class Commanded:
    """The gateway asks the app for something: `haptic`, `text` or `marker`, within the limits of VT1, "Commands".

    Args:
        verb: the verb.
        args: its arguments (SPEC, "Commands").
        seq: seq of the COMMAND; each seq is told once.
        link: the link it came on.
    """

    verb: str
    args: tuple[int | float | str, ...]
    seq: int
    link: int


@dataclass(frozen=True, slots=True)
class Stored:
    """Packets are durable at the gateway, and gone from the ring.

    Args:
        first_seq: the first of those packets.
        last_seq: the last of them.
        batch: number of the batch; 0 when a copy was answered.
        root: 32 bytes, root of the batch; empty with batch 0.
        link: the link of the seqs.
        packets: how many packets left the ring.
    """

    first_seq: int
    last_seq: int
    batch: int
    root: bytes
    link: int
    packets: int


@dataclass(frozen=True, slots=True)
class RefusedPackets:
    """Packets were refused whole, and are gone from the ring.

    Args:
        reason: the gateway's word; `closed` among them.
        first_seq: the first of those packets.
        last_seq: the last of them.
        link: the link of the seqs.
        packets: how many packets left the ring.
    """

    reason: str
    first_seq: int
    last_seq: int
    link: int
    packets: int


@dataclass(frozen=True, slots=True)
class RefusedFrame:
    """The frames of one stream in one packet were refused, while another frame of the packet was stored."""

    reason: str
    seq: int
    stream: int
    link: int


Spooled = Keep | SendKept | Settled | Dropped
"""Effects for the spool; only a device with one has them."""

Effect = Send | Persist | PersistKey | Changed | Commanded | Stored | RefusedPackets | RefusedFrame | Spooled
