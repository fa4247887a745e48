"""What a peer told: heads, evidence, cosignatures and rosters, each verified before anything changes.

Guards the rule that a lie costs the liar: every check is paid from the peer's bucket, what does not verify many times
over, and nothing is remembered of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from gateway.core.circle import Circle, Peer, Turn
from gateway.core.follow import KeepRoster, Shelves
from gateway.core.gossip_events import Behind, RosterKept
from gateway.core.judge import Again, Ahead, Contradicted, Known, Onward, Wrong, accept, judge
from gateway.core.own_head import OwnHead
from gateway.core.roster import check_next, parse_roster
from gateway.errors import ProofError, SignatureError, WireError
from gateway.tlog.fork import parse_fork, verify_fork
from gateway.wire import peer as wire

ROSTER: Final = 8  # tokens that a roster costs, read or given


class Hearing:
    """Takes in what peers tell.

    Args:
        circle: members and logs.
        shelves: entries and tiles.
        own: our own log's heads.
        room: whether the disk has room for entries of others.
    """

    def __init__(self, circle: Circle, shelves: Shelves, own: OwnHead, room: Callable[[], bool]) -> None:
        self._circle = circle
        self._shelves = shelves
        self._own = own
        self._room = room

    def take(self, turn: Turn, peer: Peer, messages: Iterable[wire.Message]) -> None:
        """Take in all of a body that is no question."""
        for message in messages:
            match message:
                case wire.Head():
                    self._head(turn, peer, message)
                case wire.Cosig():
                    self._own.cosigned(turn, peer, message)
                case wire.Evidence():
                    self._evidence(turn, peer, message)
                case wire.RosterDoc(raw):
                    self._roster(turn, peer, raw)
                case wire.Summary() | wire.Heads():
                    pass

    def _head(self, turn: Turn, peer: Peer, head: wire.Head) -> None:
        log = self._circle.by_hash.get(head.origin_hash)
        if log is None or log.frozen or (head.note == log.note and log.tree.size >= log.size):
            return
        if not peer.work.take(turn.now_ns):
            turn.refuse("rate")
            return
        match judge(log, head, self._shelves(log.origin)):
            case Onward() as onward:
                turn.effects += accept(log, onward, entries=self._room())
                turn.moved.add(log.hash)
                if log.data and log.tree.size < log.size:
                    turn.effects.append(Behind(log.origin, turn.name))
            case Again():
                turn.ask[log.hash] = log
            case Wrong(code):
                turn.charge(peer.work, code)
            case Contradicted(fork):
                turn.freeze(log, fork)
            case Ahead(note, size):
                self._own.ahead(turn, note, size)
            case Known():
                pass

    def _evidence(self, turn: Turn, peer: Peer, evidence: wire.Evidence) -> None:
        log = self._circle.by_hash.get(evidence.origin_hash)
        if log is None or log.fork is not None:
            return
        if not peer.work.take(turn.now_ns):
            turn.refuse("rate")
            return
        try:
            fork = parse_fork(evidence.fork)
            checkpoint, _ = verify_fork(fork, *log.vkeys)
            if checkpoint.origin != log.origin:
                raise ProofError("fork", "evidence is of another log")
        except (ProofError, SignatureError) as error:
            turn.charge(peer.work, error.code)
            return
        turn.brought.add(log.hash)
        turn.freeze(log, fork)

    def _roster(self, turn: Turn, peer: Peer, raw: bytes) -> None:
        before = self._circle.roster
        if before is None:
            return
        if not peer.work.take(turn.now_ns):
            turn.refuse("rate")
            return
        peer.work.charge(turn.now_ns, ROSTER)
        try:
            signed = parse_roster(raw)
            if signed.roster.version != before.version + 1:
                return  # one that is here, or one whose predecessor did not count
            check_next(signed, before)
        except (WireError, SignatureError) as error:
            turn.charge(peer.work, error.code)
            return
        self._circle.turn_to(signed.roster)
        turn.effects += [KeepRoster(signed.roster.version, raw), RosterKept(signed)]
