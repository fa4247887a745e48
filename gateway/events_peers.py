"""Events about peers: a part of the catalogue (`events.py`), which says what holds for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gateway.event_words import Event, Level, PeerReason


@dataclass(frozen=True, slots=True)
class PeersReached(Event):
    """The number of peers that answer changed.

    Args:
        alive: that answered lately. members: of the roster, without ourselves.
    """

    alive: int
    members: int


@dataclass(frozen=True, slots=True)
class PeersRefused(Event):
    """Peers sent what broke a rule, since the last report: `reason` tells which. It costs nothing but this count."""

    level: ClassVar[Level] = "warning"
    reason: PeerReason
    count: int


@dataclass(frozen=True, slots=True)
class HeadsAccepted(Event):
    """Newer heads of other logs were verified, written down and may be cosigned, since the last report.

    Args:
        count: heads.
    """

    level: ClassVar[Level] = "debug"
    count: int


@dataclass(frozen=True, slots=True)
class EntriesMirrored(Event):
    """Entries of other logs were verified and copied, since the last report.

    Args:
        count: entries.
    """

    level: ClassVar[Level] = "debug"
    count: int


@dataclass(frozen=True, slots=True)
class CheckpointsCosigned(Event):
    """This gateway cosigned heads that it was asked for as a witness, since the last report.

    Args:
        count: cosignatures.
    """

    level: ClassVar[Level] = "debug"
    count: int


@dataclass(frozen=True, slots=True)
class HeadConfirmed(Event):
    """A quorum of the roster cosigned a head of this gateway's log.

    Args:
        size: entries that are confirmed by it. wait_ms: since that head was signed.
    """

    level: ClassVar[Level] = "debug"
    size: int
    wait_ms: int


@dataclass(frozen=True, slots=True)
class RosterChanged(Event):
    """Another version of the roster is in force.

    Args:
        version: of it. members: that it lists.
    """

    version: int
    members: int


@dataclass(frozen=True, slots=True)
class ForkDetected(Event):
    """A log signed two statements that cannot both be true: nothing of it is accepted or cosigned any more."""

    level: ClassVar[Level] = "error"


@dataclass(frozen=True, slots=True)
class OwnLogDetected(Event):
    """Somebody holds a newer or another head of this gateway's own log, signed with its key: it stops signing.

    Args:
        size: of that head.
    """

    level: ClassVar[Level] = "error"
    size: int
