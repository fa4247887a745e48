"""Our own log among peers: its newest head, what it is compared with, and who cosigned it.

Guards the rule that a signature with our key which our log does not know is an alarm, never a step: our log grows at
its ledger alone. A data directory that was cloned, or a backup that was restored, shows itself here.
"""

from __future__ import annotations

from typing import Final

from gateway.core.circle import Circle, Peer, Turn
from gateway.core.follow import Followed, Shelves
from gateway.core.gossip_events import Cosigned, OwnAhead
from gateway.errors import ProofError, SignatureError
from gateway.tlog.checkpoint import Checkpoint, verify_cosignature
from gateway.tlog.fork import Fork, fork_from_tiles
from gateway.tlog.note import VerifierKey, parse_signature_line
from gateway.wire.peer import Cosig

HEADS: Final = 64  # our heads whose cosignatures are still taken


class OwnHead:
    """Our own log's heads.

    Args:
        circle: members and logs.
        shelves: entries and tiles.
    """

    def __init__(self, circle: Circle, shelves: Shelves) -> None:
        self._circle = circle
        self._shelves = shelves
        self._heads: dict[int, tuple[bytes, set[VerifierKey]]] = {}
        """Size -> root, and whose cosignatures have come."""
        self._size = 0
        self._ahead = b""

    def published(self, turn: Turn, note: bytes, size: int, root: bytes) -> None:
        """Follow our own log to a head that it has signed, unless an earlier run signed otherwise."""
        log = self._circle.own()
        if log is None or log.frozen:
            return
        if size < log.size:
            self.ahead(turn, log.note, log.size)
            return
        if size == log.size and root != log.root:
            turn.freeze(log, Fork(log.note, note, root, ()))
            return
        if size > log.size:
            if (fork := self._history(log, note, size)) is not None:
                turn.freeze(log, fork)
                return
            turn.effects.append(log.advance(Checkpoint(log.origin, size, root), note))
        self._size = size
        self._heads.setdefault(size, (root, set()))
        if len(self._heads) > HEADS:
            del self._heads[next(iter(self._heads))]

    def ahead(self, turn: Turn, note: bytes, size: int) -> None:
        """Raise the alarm that our log exists elsewhere as it does not here; once for each head."""
        if note != self._ahead:
            self._ahead = note
            turn.effects.append(OwnAhead(note, size))

    def cosigned(self, turn: Turn, peer: Peer, cosig: Cosig) -> None:
        """Take cosignatures of our own heads, of each witness its first."""
        log = self._circle.by_hash.get(cosig.origin_hash)
        root, counted = self._heads.get(cosig.size, (b"", set[VerifierKey]()))
        if log is None or not log.ours or log.frozen or root != cosig.root:
            return
        for line in cosig.lines:
            try:
                signature = parse_signature_line(line)
                vkey = self._circle.witness_key(signature.name, signature.key_id)
                if vkey is None or vkey in counted:
                    continue
                if not peer.work.take(turn.now_ns):
                    turn.refuse("rate")
                    return
                verify_cosignature(Checkpoint(log.origin, cosig.size, root), signature, vkey)
            except (ProofError, SignatureError) as error:
                turn.charge(peer.work, error.code)
                continue
            counted.add(vkey)
            peer.ours = max(peer.ours, cosig.size)
            turn.effects.append(Cosigned(log.origin, cosig.size, root, line, vkey.name))

    def _history(self, log: Followed, note: bytes, size: int) -> Fork | None:
        # Within a run the ledger only appends; what an earlier run signed is looked at once.
        if log.size == self._size:
            return None
        return fork_from_tiles(self._shelves(log.origin), log.note, log.size, log.root, note, size)
