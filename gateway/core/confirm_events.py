"""What goes into the machine that gathers cosignatures, and what it asks its driver to do.

The driver performs effects in their order. Each `Ask` is followed by exactly one `Answered` or `Unanswered` of the same
witness, each `AskHead` by one `HeadSeen`; at most one of them is under way for a witness.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.core.asking import MAX_ANSWER_BYTES
from gateway.core.contradiction import Alarm
from gateway.core.follow import KeepCosigned
from gateway.tlog.policy import Policy

# ---- events ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tick:
    """The time of `wake_at` has come."""


@dataclass(frozen=True, slots=True)
class Published:
    """Our log has a newer signed head; its entries and tiles are durable."""

    note: bytes
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """A witness answered an `Ask`, whatever it said."""

    witness: str
    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A witness did not answer an `Ask`: no connection, too slow, no HTTP."""

    witness: str


@dataclass(frozen=True, slots=True)
class HeadSeen:
    """What an `AskHead` brought; None where it brought nothing."""

    witness: str
    note: bytes | None


@dataclass(frozen=True, slots=True)
class CosigSeen:
    """A cosignature of a head of ours came some other way: by gossip, or from our own witness."""

    size: int
    line: str


@dataclass(frozen=True, slots=True)
class Heard:
    """A member was heard of, so it need not be waited for any longer."""

    member: str


@dataclass(frozen=True, slots=True)
class PolicyChanged:
    """Another policy counts from now on; None where there is none."""

    policy: Policy | None


Event = Tick | Published | Answered | Unanswered | HeadSeen | CosigSeen | Heard | PolicyChanged


# ---- effects --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ask:
    """POST `body` to `<url>/add-checkpoint`. Each is followed by one `Answered` or `Unanswered`."""

    witness: str
    """Name in the policy; `<member>`, or `<member>/1` while a member has two witness keys."""
    url: str
    body: bytes
    limit: int = MAX_ANSWER_BYTES


@dataclass(frozen=True, slots=True)
class AskHead:
    """GET `<url>/<path>`. Each is followed by one `HeadSeen`."""

    witness: str
    url: str
    path: str
    limit: int = MAX_ANSWER_BYTES


@dataclass(frozen=True, slots=True)
class AskOwn:
    """Have our own witness cosign this head; its line comes as `CosigSeen`."""

    note: bytes


@dataclass(frozen=True, slots=True)
class TellOwn:
    """Have gossip tell our newest head to all members that answer; what they sign comes as `CosigSeen`."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A quorum cosigned a head, larger than any confirmed before."""

    size: int
    note: bytes
    """With the cosignatures."""
    waited_ms: int
    """Since the head was signed."""


Effect = Ask | AskHead | AskOwn | TellOwn | KeepCosigned | Confirmed | Alarm
