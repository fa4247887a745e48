"""What goes into the gossip machine, and what it asks its driver to do.

The driver performs effects in their order; a `Keep*` is durable before anything after it is done, and all of one step
before the next step on the same logs begins.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.core.follow import Keep
from gateway.core.roster import SignedRoster
from gateway.keys.sign import SigningKey
from gateway.tlog.fork import Fork


@dataclass(frozen=True, slots=True)
class Cosigner:
    """Our own witness.

    Args:
        name: its key name.
        key: type 0x04, never a log's.
    """

    name: str
    key: SigningKey


# ---- events ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; does nothing before `wake_at`."""


@dataclass(frozen=True, slots=True)
class Received:
    """A body came from a member, as the transport knows it: a request, or the answer to one of ours."""

    peer: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """A body that we told reached the peer: its answer is here, if only an empty one."""

    peer: str


@dataclass(frozen=True, slots=True)
class Unreached:
    """A peer could not be asked, or did not answer in time."""

    peer: str


@dataclass(frozen=True, slots=True)
class Published:
    """Our own log has a new head. Its entries and tiles are durable, its `Followed.tree` and `whole` say so already."""

    note: bytes
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class TellOwn:
    """Tell our newest head to all members that answer, now: their cosignatures come with their answers."""


@dataclass(frozen=True, slots=True)
class ForkFound:
    """Another part of this gateway (witness, guard) came upon evidence."""

    origin: str
    fork: Fork


@dataclass(frozen=True, slots=True)
class RosterChanged:
    """There is another roster, and `Logs` is as it says: logs that came, went, or have other keys."""


Event = Tick | Received | Sent | Unreached | Published | TellOwn | ForkFound | RosterChanged


# ---- effects --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tell:
    """Send a body to a peer: as the answer, where a request of that peer is being answered, else through its outbox.

    A newer body takes the place of an older one that was not sent yet, unless that one is `urgent`.
    """

    peer: str
    body: bytes
    urgent: bool = False
    """It holds evidence or a roster: not to be dropped for a newer one."""


@dataclass(frozen=True, slots=True)
class Behind:
    """A head is promised whose entries are not here; the peer has them."""

    origin: str
    peer: str


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A verified cosignature of a head of our own log."""

    origin: str
    size: int
    root: bytes
    line: str
    name: str
    """Key name of the witness."""


@dataclass(frozen=True, slots=True)
class OwnAhead:
    """Alarm: a peer has a head of our log, signed with our key, that our own log does not reach or does not know."""

    note: bytes
    size: int


@dataclass(frozen=True, slots=True)
class OwnForked:
    """Alarm: two heads of our own log, signed with our key, cannot both be true."""

    fork: Fork


@dataclass(frozen=True, slots=True)
class ForkKept:
    """Evidence against a log was kept for the first time; that log is frozen from here on."""

    origin: str
    fork: Fork
    peer: str = ""
    """Who brought it, or the head that made it; empty where it was found here."""


@dataclass(frozen=True, slots=True)
class RosterKept:
    """The next version of the roster counts from here on."""

    signed: SignedRoster


@dataclass(frozen=True, slots=True)
class RosterDiffers:
    """Alarm: a peer has another roster of the same version, so that neither can follow the other."""

    peer: str
    version: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Something a peer told was not taken; it is held against the peer, never against a log."""

    peer: str
    code: str


Effect = (
    Keep | Tell | Behind | Cosigned | OwnAhead | OwnForked | ForkKept | RosterKept | RosterDiffers | Refused
)
