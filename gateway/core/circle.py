"""The circle that gossip is among: members, their logs and witness keys, as the newest roster lists them.

Guards the rule that the roster alone says who belongs: what is remembered of a peer is remembered of its members only,
three buckets and two heads each, and goes when they go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gateway.core.follow import Followed, KeepFork, Logs
from gateway.core.gossip_events import Effect, ForkKept, OwnForked, Refused
from gateway.core.rates import Bucket
from gateway.core.roster import Roster
from gateway.tlog.cosigned import bare_fork
from gateway.tlog.fork import Fork
from gateway.tlog.note import VerifierKey
from gateway.wire import peer as wire

BODIES: Final = (8, 32)  # of one peer: each period, and at once. A round has three bodies at most
WORK: Final = (32, 128)  # signature checks that one peer may cost; at once all logs of a full roster
SERVE: Final = (32, 128)  # HEADs made for one peer, each with some tiles to read
WRONG: Final = 16  # tokens that something costs which does not verify
NO_ROSTER: Final = bytes(32)


@dataclass(slots=True)
class Peer:
    """What is remembered of another member."""

    bodies: Bucket
    work: Bucket
    serve: Bucket
    cosigned: tuple[int, bytes] = (0, b"")
    """Head of its log that it was told we cosigned."""
    retell_ns: int = 0
    """When it is told again."""
    ours: int = 0
    """How much of our own log it has, as far as it said: only so much of it need not be told."""
    differs: tuple[int, bytes] = (0, b"")
    """Version and hash of the other roster that it has."""


@dataclass(slots=True)
class Turn:
    """One step while it is taken."""

    now_ns: int
    now_s: int
    name: str = ""
    """Whose body it is about."""
    effects: list[Effect] = field(default_factory=list)
    reply: list[wire.Message] = field(default_factory=list)
    moved: set[bytes] = field(default_factory=set)
    """Logs whose newest entries are not on their shelves before the effects of this step are performed."""
    ask: dict[bytes, Followed] = field(default_factory=dict)
    """Logs of which the peer is told where we are, so that it tells us more."""
    ask_forks: bool = False
    """Whether the peer is told which logs are frozen here, so that it gives evidence of others."""
    frozen: list[Followed] = field(default_factory=list)
    """Logs that were frozen in this step."""
    brought: set[bytes] = field(default_factory=set)
    """Of these, those whose evidence the peer brought itself."""

    def refuse(self, code: str) -> None:
        """Hold something against the peer; each code once a step."""
        if (refused := Refused(self.name, code)) not in self.effects:
            self.effects.append(refused)

    def charge(self, bucket: Bucket, code: str) -> None:
        """Hold against the peer what did not verify, and make it dear."""
        bucket.charge(self.now_ns, WRONG)
        self.refuse(code)

    def freeze(self, log: Followed, fork: Fork) -> None:
        """Keep evidence that was verified, and freeze its log.

        Args:
            log: without evidence until now.
            fork: the evidence; kept without what its notes have beside the log's signatures, so that it stays small.
        """
        fork = bare_fork(fork, log.vkeys)
        log.frozen, log.fork = True, fork
        self.frozen.append(log)
        self.effects.append(KeepFork(log.origin, fork, self.now_s * 1000))
        self.effects.append(ForkKept(log.origin, fork, self.name))
        if log.ours:
            self.effects.append(OwnForked(fork))


class Circle:
    """Members, logs and keys; the attributes are read by the other modules of gossip.

    Args:
        me: our name in the roster.
        current: the newest roster that counts, or None before there is one.
        followed: all logs that are followed.
        period_ns: mean time between two rounds.
    """

    def __init__(self, me: str, current: Callable[[], Roster | None], followed: Logs, period_ns: int) -> None:
        self._me = me
        self._current = current
        self._rates = [(tokens * 1e9 / period_ns, burst) for tokens, burst in (BODIES, WORK, SERVE)]
        self.followed = followed
        self.roster: Roster | None = None
        self.roster_hash = NO_ROSTER
        self._counts: Roster | None = None
        self.others: dict[str, None] = {}
        """Names of the other members, in the roster's order."""
        self._peers: dict[str, Peer] = {}
        self.logs: list[Followed] = []
        """The logs of all members, by the hash of their origin."""
        self.by_hash: dict[bytes, Followed] = {}
        self.log_of: dict[str, Followed] = {}
        """By the member's name."""
        self.refresh()

    def refresh(self) -> None:
        """Take the roster as it is now. Without one, or where it does not list us, there is nobody to gossip with."""
        roster = self._current()
        self.turn_to(roster)
        self._counts = roster
        us = None if roster is None else roster.member(self._me)
        self.others, self.log_of = {}, {}
        if roster is not None and us is not None:
            self.others = dict.fromkeys(member.name for member in roster.members)
            del self.others[us.name]
            for log in self.followed:
                if (member := roster.of_origin(log.origin)) is not None:
                    self.log_of[member.name] = log
        self._peers = {name: peer for name, peer in self._peers.items() if name in self.others}
        self.logs = sorted(self.log_of.values(), key=lambda log: log.hash)
        self.by_hash = {log.hash: log for log in self.logs}

    def witness_key(self, name: str, key_id: bytes) -> VerifierKey | None:
        """The key of a witness that the roster lists, a member's or another's; None for whoever is none of them."""
        return None if self._counts is None else self._counts.witness_key(name, key_id)

    def peer(self, name: str) -> Peer | None:
        """What is remembered of another member; None for whoever is none."""
        if (known := self._peers.get(name)) is None and name in self.others:
            bodies, work, serve = self._rates
            known = self._peers[name] = Peer(Bucket(*bodies), Bucket(*work), Bucket(*serve))
        return known

    def turn_to(self, roster: Roster | None) -> None:
        """Compare with this version from now on; its members count from the next `refresh` on."""
        self.roster = roster
        self.roster_hash = NO_ROSTER if roster is None else roster.hash()

    def own(self) -> Followed | None:
        """Our own log."""
        return next((log for log in self.followed if log.ours), None)

    def frozen(self) -> list[bytes]:
        """Origin hashes of the logs of which evidence is here, ascending."""
        return [log.hash for log in self.logs if log.frozen][: wire.MAX_FORKS]
