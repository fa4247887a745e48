"""What a peer is told: a summary, the table, and what it lacks against its own.

Guards the rule that nothing is told that is not durable: what moved in this step waits for the next. And that a peer is
sent only what it lacks, a bounded amount at a time, in random order, so that no log can crowd out another for long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Final

from gateway.core.circle import Circle, Peer, Turn
from gateway.core.follow import UNREADABLE, Followed, Shelves
from gateway.core.gossip_events import Cosigner, RosterDiffers, Tell
from gateway.core.hearing import ROSTER
from gateway.core.liveness import Random, draw
from gateway.core.offer import has_more, lacks, nothing, offer, row_of
from gateway.tlog.checkpoint import Checkpoint, cosign
from gateway.wire import peer as wire

RETELL_PERIODS: Final = 10  # after so long a cosignature is told again that nothing newer replaced
SPARE_BYTES: Final = 1024  # of a body, beside its messages


class Telling:
    """Makes bodies for peers.

    Args:
        circle: members and logs.
        shelves: entries and tiles.
        random: random bytes.
        witness: cosigns, for the peer whose log it is, what was accepted.
        roster_doc: the raw document of a version, or None where it is not here.
        period_ns: mean time between two rounds.
    """

    def __init__(
        self,
        circle: Circle,
        shelves: Shelves,
        random: Random,
        witness: Cosigner,
        roster_doc: Callable[[int], bytes | None],
        period_ns: int,
    ) -> None:
        self._circle = circle
        self._shelves = shelves
        self._random = random
        self._witness = witness
        self.cosigns = True
        self._roster_doc = roster_doc
        self._retell_ns = RETELL_PERIODS * period_ns

    def summary(self, *, answer: bool) -> wire.Summary:
        """What we know, in short."""
        heads, forks = sha256(), sha256()
        for log in self._circle.logs:
            if log.frozen:
                forks.update(log.hash)
            elif log.size:
                heads.update(log.hash + log.size.to_bytes(8, "big") + log.root)
        roster = self._circle.roster
        version = 0 if roster is None else roster.version
        return wire.Summary(version, self._circle.roster_hash, heads.digest(), forks.digest(), answer)

    def table(self) -> wire.Heads:
        """All our rows, with the question what is more or less elsewhere."""
        rows = [row_of(log) for log in self._circle.logs if log.size and not log.frozen]
        return wire.Heads(rows[: wire.MAX_ROWS], self._circle.frozen(), True)

    def answer(self, turn: Turn, peer: Peer, theirs: wire.Summary | None, heads: wire.Heads | None) -> None:
        """Answer the questions of a body, and ask back."""
        for log in turn.frozen:
            if log.hash not in turn.brought:
                turn.reply += evidence_of(log)
        if theirs is not None:
            self._rosters(turn, peer, theirs)
        more = [] if heads is None else self._more(turn, peer, heads)
        if theirs is not None and heads is None and theirs.answer and self._differs(theirs):
            turn.reply.append(self.table())
        elif turn.ask or turn.ask_forks:
            rows = [row_of(turn.ask[origin_hash]) for origin_hash in sorted(turn.ask)]
            turn.reply.append(wire.Heads(rows[: wire.MAX_ROWS], self._circle.frozen(), False))
        self._offers(turn, peer, more)
        if turn.reply or self._news(turn, peer):
            self.tell(turn, turn.name, turn.reply)

    def tell(self, turn: Turn, name: str, messages: Iterable[wire.Message]) -> None:
        """Make a body of the first of these messages that fit, and of our cosignature for this peer's log."""
        told: list[wire.Message] = []
        room, left = wire.MAX_BODY_BYTES - SPARE_BYTES, dict(wire.MOST)
        for message in (*self._cosignature(turn, name), *messages):
            weight = wire.weight(message)
            if weight <= room and left[type(message)]:
                told.append(message)
                room -= weight
                left[type(message)] -= 1
        urgent = any(isinstance(message, wire.Evidence | wire.RosterDoc) for message in told)
        turn.effects.append(Tell(name, wire.encode_body(told), urgent))

    def tell_own(self, turn: Turn, name: str) -> None:
        """Tell a peer our own log's newest head, with what came since the peer said what it has."""
        log, peer = self._circle.own(), self._circle.peer(name)
        if log is None or log.frozen or peer is None:
            return
        shelf = self._shelves(log.origin)
        size = min(peer.ours, log.size)
        try:
            root = log.root_at(size, shelf)
        except UNREADABLE:
            return
        if root is not None and (head := offer(log, wire.Row(log.hash, size, root, size), shelf)) is not None:
            self.tell(turn, name, [head])

    def _differs(self, theirs: wire.Summary) -> bool:
        ours = self.summary(answer=False)
        return (theirs.heads, theirs.forks) != (ours.heads, ours.forks)

    def _rosters(self, turn: Turn, peer: Peer, theirs: wire.Summary) -> None:
        roster = self._circle.roster
        ours = 0 if roster is None else roster.version
        if theirs.roster_version > ours:
            if theirs.answer:
                turn.reply.append(self.summary(answer=False))
        elif theirs.roster_version < ours:
            for version in range(theirs.roster_version + 1, ours + 1)[: wire.MAX_ROSTERS]:
                raw = self._roster_doc(version)
                if raw is None or not peer.serve.take(turn.now_ns):
                    break
                peer.serve.charge(turn.now_ns, ROSTER)
                turn.reply.append(wire.RosterDoc(raw))
        elif theirs.roster_hash != self._circle.roster_hash and peer.differs != (ours, theirs.roster_hash):
            peer.differs = ours, theirs.roster_hash
            turn.effects.append(RosterDiffers(turn.name, ours))

    def _more(self, turn: Turn, peer: Peer, heads: wire.Heads) -> list[tuple[Followed, wire.Row]]:
        """Logs of which we have more than these rows. Evidence goes into the reply, questions are noted."""
        rows, forks = {row.origin_hash: row for row in heads.rows}, set(heads.forks)
        more = []
        for log in self._circle.logs:
            if log.frozen:
                if log.hash not in forks and log not in turn.frozen:
                    turn.reply += evidence_of(log)
            elif log.hash in forks:
                turn.ask_forks |= heads.answer
            elif (row := rows.get(log.hash)) is not None or heads.answer:
                row = row or nothing(log)
                if log.ours:
                    peer.ours = row.tree
                if has_more(log, row) and log.hash not in turn.moved:
                    more.append((log, row))
                if heads.answer and lacks(log, row):
                    turn.ask[log.hash] = log
        return more

    def _offers(self, turn: Turn, peer: Peer, more: list[tuple[Followed, wire.Row]]) -> None:
        left = wire.MAX_HEADS
        for log, row in draw(self._random, more, len(more)):
            if not left or not peer.serve.take(turn.now_ns):
                return  # the rest of them with the next round
            if (head := offer(log, row, self._shelves(log.origin))) is not None:
                turn.reply.append(head)
                left -= 1

    def _news(self, turn: Turn, peer: Peer) -> bool:
        """Whether there is a head of this peer's log that it has not been told we cosigned."""
        log = self._promised(turn.name)
        return log is not None and peer.cosigned != (log.size, log.root)

    def _promised(self, name: str) -> Followed | None:
        log = self._circle.log_of.get(name)
        return log if self.cosigns and log is not None and log.size and not log.frozen else None

    def _cosignature(self, turn: Turn, name: str) -> list[wire.Message]:
        log, peer = self._promised(name), self._circle.peer(name)
        if log is None or peer is None:
            return []
        if peer.cosigned == (log.size, log.root) and turn.now_ns < peer.retell_ns:
            return []
        peer.cosigned, peer.retell_ns = (log.size, log.root), turn.now_ns + self._retell_ns
        checkpoint = Checkpoint(log.origin, log.size, log.root)
        line = cosign(checkpoint, self._witness.name, self._witness.key, turn.now_s)
        return [wire.Cosig(log.hash, log.size, log.root, [line])]


def evidence_of(log: Followed) -> list[wire.Message]:
    """EVIDENCE against a log; nothing where it is too large to be told."""
    data = b"" if log.fork is None else log.fork.encode()
    return [wire.Evidence(log.hash, data)] if 0 < len(data) <= wire.MAX_FORK_BYTES else []
