"""Gossip: what gateways of a federation tell one another, so that soon all know a head that one knows, and evidence at
once. docs/gossip.md has the protocol, `wire/peer` its bytes, `judge` and `offer` what a HEAD means and which to tell.

Guards three rules. Nothing is believed for who says it: heads, cosignatures, evidence and rosters are verified with
the keys that the roster lists. What is told on, or cosigned, is durable first: the driver performs effects in order.
And everything a peer can make us do or remember is bounded: what it costs is paid from buckets of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.core.circle import Circle, Turn
from gateway.core.follow import Logs, Shelves
from gateway.core.gossip_events import (
    Cosigner,
    Effect,
    Event,
    ForkFound,
    Published,
    Received,
    RosterChanged,
    Sent,
    TellOwn,
    Tick,
    Unreached,
)
from gateway.core.hearing import Hearing
from gateway.core.liveness import Liveness, Random, fraction
from gateway.core.offer import nearly_whole
from gateway.core.own_head import OwnHead
from gateway.core.roster import Roster
from gateway.core.telling import Telling, evidence_of
from gateway.errors import WireError
from gateway.tlog.fork import Fork, verify_fork
from gateway.wire import peer as wire

FLOOD: Final = 32  # members that are told of new evidence at once; each tells as many


class Gossip:
    """The gossip machine.

    Args:
        me: our name in the roster.
        roster: the newest roster that counts, or None before there is one.
        logs: all logs that are followed; shared with witness and mirror.
        shelves: their entries and tiles.
        random: that many random bytes.
        witness: cosigns what is accepted.
        period_ns: mean time between two rounds.
        now_ns: monotonic clock at the start.
        roster_doc: the raw document of a version, or None where it is not here.
        room: whether the disk has room for entries of others; heads are followed without them too.
    """

    def __init__(
        self,
        me: str,
        roster: Callable[[], Roster | None],
        logs: Logs,
        shelves: Shelves,
        random: Random,
        witness: Cosigner,
        period_ns: int,
        now_ns: int,
        roster_doc: Callable[[int], bytes | None],
        room: Callable[[], bool] = lambda: True,
    ) -> None:
        self.wake_at = now_ns + fraction(random, period_ns)
        self.liveness = Liveness(random, period_ns, now_ns)
        self._circle = Circle(me, roster, logs, period_ns)
        self._own = OwnHead(self._circle, shelves)
        self._hearing = Hearing(self._circle, shelves, self._own, room)
        self._telling = Telling(self._circle, shelves, random, witness, roster_doc, period_ns)
        self._random = random
        self._period_ns = period_ns
        self._own_at = now_ns
        self._told = b""
        self.liveness.follow(self._circle.others)

    @property
    def peers(self) -> list[str]:
        """Names of the other members."""
        return list(self._circle.others)

    @property
    def cosigns(self) -> bool:
        """Whether heads are cosigned; not to be while our witness may have forgotten what it promised."""
        return self._telling.cosigns

    @cosigns.setter
    def cosigns(self, cosigns: bool) -> None:
        self._telling.cosigns = cosigns

    def step(self, event: Event, now_ns: int, now_s: int) -> list[Effect]:
        """Take one event.

        Args:
            event: what happened.
            now_ns: monotonic clock.
            now_s: UTC in seconds, positive, for cosignatures and evidence.

        Returns:
            What to do, in this order and before the next step on the same logs.

        Raises:
            ProofError: `ForkFound` is no evidence; `tile_length`, our own tiles are not as they were written.
            SignatureError: `ForkFound` is no evidence.
        """
        turn = Turn(now_ns, now_s)
        match event:
            case Tick():
                self._tick(turn)
            case Received(peer, body):
                turn.name = peer
                self._received(turn, body)
            case Sent(peer):
                self.liveness.heard(peer, now_ns)
            case Unreached(peer):
                self.liveness.missed(peer)
                if (state := self._circle.peer(peer)) is not None:
                    state.cosigned = (0, b"")  # it may have been in what was lost
            case Published(note, size, root):
                self._own.published(turn, note, size, root)
            case TellOwn():
                self._tell_own(turn)
            case ForkFound(origin, fork):
                self._found(turn, origin, fork)
            case RosterChanged():
                self._circle.refresh()
                self.liveness.follow(self._circle.others)
        if turn.frozen:
            self._flood(turn)
        return turn.effects

    def _tick(self, turn: Turn) -> None:
        if turn.now_ns < self.wake_at:
            return
        # A fifth more or less, so that gateways which were started together do not keep step.
        self.wake_at = (
            turn.now_ns + self._period_ns * 4 // 5 + fraction(self._random, self._period_ns * 2 // 5)
        )
        summary = self._telling.summary(answer=True)
        messages: list[wire.Message] = [summary]
        told = summary.heads + summary.forks
        if told != self._told or any(map(nearly_whole, self._circle.logs)):
            # Whoever has news would be asked for it anyway; and a summary does not tell what is missing of a tree.
            self._told = told
            messages.append(self._telling.table())
        for name in self.liveness.choose(turn.now_ns):
            self._telling.tell(turn, name, messages)

    def _tell_own(self, turn: Turn) -> None:
        # Half a period apart, so that it fits into what a member takes from us (`circle.BODIES`) beside the rounds.
        if turn.now_ns >= self._own_at:
            self._own_at = turn.now_ns + self._period_ns // 2
            for name in self.liveness.some(len(self._circle.others)):
                self._telling.tell_own(turn, name)

    def _received(self, turn: Turn, body: bytes) -> None:
        peer = self._circle.peer(turn.name)
        if peer is None:
            return
        self.liveness.heard(turn.name, turn.now_ns)
        if body in (b"", wire.EMPTY_BODY):
            return
        if not peer.bodies.take(turn.now_ns):
            turn.refuse("rate")
            return
        try:
            messages = wire.decode_body(body)
        except WireError as error:
            turn.charge(peer.bodies, error.code)
            return
        # First what changes our state, so that questions are answered from what is known then.
        self._hearing.take(turn, peer, messages)
        summary = next((told for told in messages if isinstance(told, wire.Summary)), None)
        heads = next((told for told in messages if isinstance(told, wire.Heads)), None)
        self._telling.answer(turn, peer, summary, heads)

    def _found(self, turn: Turn, origin: str, fork: Fork) -> None:
        log = self._circle.followed.of(origin)
        if log is None or not (log.ours or log.hash in self._circle.by_hash):
            return
        if log.fork is None:
            verify_fork(fork, *log.vkeys)
            turn.freeze(log, fork)
        else:
            turn.frozen.append(log)  # whoever found it has kept it; it is told on all the same

    def _flood(self, turn: Turn) -> None:
        evidence = [
            told for log in turn.frozen if log.hash in self._circle.by_hash for told in evidence_of(log)
        ]
        for name in self.liveness.some(FLOOD) if evidence else ():
            if name != turn.name:  # who has it, or gets it with the answer
                self._telling.tell(turn, name, evidence)
