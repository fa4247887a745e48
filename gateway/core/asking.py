"""One witness that our log asks for cosignatures: what it holds, what it answered, when it may be asked again.

Guards the tolerance that real witnesses need (C2SP tlog-witness leaves room, and not all follow it): an answer is read
for what it is worth, nothing in it is believed but signatures that verify, and whatever goes wrong costs one witness
some patience and the others nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from gateway.errors import ProofError
from gateway.tlog.checkpoint import Checkpoint
from gateway.tlog.note import Signature, VerifierKey, parse_signature_line
from gateway.tlog.text import MAX_SIZE

MAX_ANSWER_BYTES: Final = 16 * 1024  # ours: what is read of an answer
MAX_LINES: Final = 64  # ours: signatures that are looked at in one answer
MAX_TRIES: Final = 3  # times that one head is sent again at once, because the witness told its size
FIRST_WAIT_NS: Final = 1_000_000_000
LONGEST_WAIT_NS: Final = 30_000_000_000
GRACE_NS: Final = 1_000_000_000
"""Whom gossip told of a head is asked for it only if its cosignature has not come until then."""
LEAST_PACE_NS: Final = 500_000_000
MOST_PACE_NS: Final = 15_000_000_000  # so that what is shown to the world is confirmed and not old
PACE_NS: Final = 400_000_000  # for each witness above `FEW`: a large federation is asked less often
FEW: Final = 3

Why = Literal[
    "",  # it cosigned what it was asked for last
    "not_asked",
    "asked",
    "other_size",  # it holds another head of ours than we thought; asked again from there
    "away",
    "busy",  # 429, 5xx
    "unknown_log",  # 404
    "refused",  # 403
    "bad_request",  # 400
    "inconsistent",  # 422: it says that our log does not continue what it holds
    "conflict",  # 409 that tells nothing, or not the same twice
    "claims_more",  # it says that it holds a larger head than we ever signed, and does not show it
    "no_signature",  # 200 without a line of its key
    "bad_signature",  # a line of its key that does not verify
    "status",  # another status
    "own_tiles",  # our own tiles could not be read for a proof
]  # fmt: skip
"""Why a witness' cosignature is not there, for people."""

SLOW: Final = frozenset({
    "unknown_log", "refused", "bad_request", "inconsistent", "claims_more", "conflict", "status", "own_tiles",
})  # fmt: skip
"""What does not get better by asking again soon."""


@dataclass(slots=True, eq=False)
class Candidate:
    """A head of our log that may be confirmed."""

    note: bytes
    """Log signatures only."""
    checkpoint: Checkpoint
    at_ns: int
    lines: dict[str, str] = field(default_factory=dict)
    """Witness, by its name in the policy -> its line, verified."""

    @property
    def size(self) -> int:
        """Its entries."""
        return self.checkpoint.size


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to add-checkpoint, read."""

    why: Why
    size: int | None = None
    """What the witness says that it holds; a claim."""
    signatures: tuple[Signature, ...] = ()


@dataclass(frozen=True, slots=True)
class WitnessRow:
    """A witness, for people."""

    name: str
    url: str
    size: int
    """Of our head that it holds, as far as we know."""
    why: Why
    """Why the newest target has no cosignature of it; empty if it has."""


@dataclass(slots=True, eq=False)
class Asking:
    """The state of one witness, or of the two keys it has while one replaces the other: asked once for both.

    Args:
        name: in the policy; the first of the two.
        url: submission prefix.
        vkeys: name in the policy -> key.
    """

    name: str
    url: str
    vkeys: dict[str, VerifierKey]
    size: int = 0
    """The size of the head that it holds, as far as we know."""
    why: Why = "not_asked"
    busy: bool = False
    """A request is under way."""
    asked: Candidate | None = None
    """What it was asked for, until it answers."""
    told: Candidate | None = None
    """What gossip told it, until it is asked for that all the same."""
    failures: int = 0
    tries: int = 0
    not_before_ns: int = 0

    def row(self) -> WitnessRow:
        """What people are told."""
        return WitnessRow(self.name, self.url, self.size, self.why)

    @property
    def member(self) -> str:
        """Whose witness it is."""
        return member_of(self.name)

    def awaited(self, candidate: Candidate) -> bool:
        """Whether its line may still come."""
        return self.asked is candidate or (self.told is candidate and self.wants(candidate))

    def tell(self, candidate: Candidate, now_ns: int) -> None:
        """Gossip tells it a head, unless it is in no state to answer soon."""
        grace_ns = now_ns + GRACE_NS
        if self.not_before_ns < grace_ns:
            self.told, self.not_before_ns = candidate, grace_ns

    def wants(self, candidate: Candidate) -> bool:
        """Whether its line is missing, and it may give it: it holds no later head than this one."""
        return self.size <= candidate.size and not any(name in candidate.lines for name in self.vkeys)

    def free(self, now_ns: int) -> bool:
        """Whether it may be asked now."""
        return not self.busy and now_ns >= self.not_before_ns

    def good(self, size: int) -> None:
        """It cosigned a head of this size."""
        self.size = max(self.size, size)
        self.why, self.failures, self.tries, self.not_before_ns = "", 0, 0, 0

    def bad(self, why: Why, now_ns: int) -> None:
        """It did not; the longer it goes on so, the longer it is left alone."""
        self.why = why
        self.failures = min(self.failures + 1, 16)
        wait_ns = FIRST_WAIT_NS << (self.failures - 1)
        if why in SLOW:
            wait_ns = LONGEST_WAIT_NS
        self.not_before_ns = now_ns + min(wait_ns, LONGEST_WAIT_NS)

    def again(self, size: int, now_ns: int) -> bool:
        """It holds a head of another size than we thought: ask again from there at once, a few times."""
        self.size = size
        self.tries += 1
        if self.tries > MAX_TRIES:
            self.bad("conflict", now_ns)
            return False
        self.why, self.not_before_ns = "other_size", now_ns
        return True

    @property
    def away(self) -> bool:
        """Whether it did not answer, or had no time."""
        return self.why in ("away", "busy")

    def back(self) -> None:
        """It was heard of, so it may be asked at once if it only was away."""
        if self.away:
            self.failures, self.not_before_ns = 0, 0


def pace_ns(witnesses: int) -> int:
    """The least time between two heads that so many witnesses are asked for."""
    return min(max(LEAST_PACE_NS, PACE_NS * (witnesses - FEW)), MOST_PACE_NS)


def member_of(name: str) -> str:
    """Whose witness has this name in a policy: a member with two witness keys is there as NAME/1 and NAME/2."""
    return name.partition("/")[0]


def read_reply(status: int, body: bytes) -> Reply:
    """What an answer to add-checkpoint says; never fails.

    Args:
        status: HTTP status.
        body: what was read, at most `MAX_ANSWER_BYTES`.
    """
    match status:
        case 200:
            signatures = _signatures(body)
            return Reply("" if signatures else "no_signature", None, signatures)
        case 409:
            # whatever type it was sent with: proxies change types, and a bare number can be nothing but the size
            return Reply("conflict", _size(body))
        case 400:
            return Reply("bad_request")
        case 403:
            return Reply("refused")
        case 404:
            return Reply("unknown_log")
        case 422:
            return Reply("inconsistent")
        case 429:
            return Reply("busy")
    return Reply("busy" if 500 <= status < 600 else "status")


def _size(body: bytes) -> int | None:
    text = body.strip()
    if not (0 < len(text) <= 20 and text.isdigit()):
        return None
    size = int(text)
    return size if size <= MAX_SIZE else None


def _signatures(body: bytes) -> tuple[Signature, ...]:
    """Signature lines, whatever else stands between them: some witnesses send the whole note."""
    found: list[Signature] = []
    if len(body) > MAX_ANSWER_BYTES:
        return ()
    for line in body.decode("utf-8", "replace").split("\n"):
        try:
            found.append(parse_signature_line(line.removesuffix("\r") + "\n"))
        except ProofError:
            continue  # a line of something else
        if len(found) >= MAX_LINES:
            break
    return tuple(found)
