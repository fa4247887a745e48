"""Hop 4, anchor: our own log. From entry bodies to a plan: signed entries, tile rows, and where the head moves.

The ledger changes nothing until the commit is durable: `plan` computes, `advance` follows. The checkpoint is signed
only after that, and of what the plan's head says (docs/adr/0003).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.core.records import HeadMove
from gateway.entries.envelope import Body, encode_entry
from gateway.keys.did import did_key
from gateway.keys.sign import SigningKey
from gateway.tlog import merkle
from gateway.tlog.checkpoint import Checkpoint, sign_checkpoint
from gateway.tlog.tiles import TileWrite, tails_after, tile_updates


@dataclass(frozen=True, slots=True)
class Plan:
    """What appending some entries changes.

    Args:
        types: of the entries, in their order.
        entries: `(index, leaf data)`.
        tiles: whole rows.
        head: from where to where the head moves.
    """

    types: list[str]
    entries: list[tuple[int, bytes]]
    tiles: list[TileWrite]
    head: HeadMove


class Ledger:
    """The writer of our log.

    Args:
        origin: the log's name, which never changes.
        log_keys: sign checkpoints; two while the log's key is being rotated.
        entry_key: signs entries; its did:key is the gateway's name in them.
        frontier: right edge of the tree as it stands on disk.
        tails: content of each level's partial last row.
    """

    def __init__(
        self,
        origin: str,
        log_keys: Sequence[SigningKey],
        entry_key: SigningKey,
        frontier: merkle.Frontier,
        tails: Mapping[int, bytes],
    ) -> None:
        self.origin = origin
        self.gateway = did_key(entry_key.public)
        self._log_keys = tuple(log_keys)
        self._entry_key = entry_key
        self._frontier = frontier
        self._tails = dict(tails)

    @property
    def size(self) -> int:
        """Entries that are durable."""
        return self._frontier.size

    @property
    def root(self) -> bytes:
        """Root at that size."""
        return self._frontier.root()

    def plan(self, bodies: Sequence[Body]) -> Plan:
        """What appending these bodies, in this order, would change."""
        data = [encode_entry(body, self._entry_key) for body in bodies]
        return self._plan([str(body["type"]) for body in bodies], data)

    def plan_again(self, data: Sequence[bytes]) -> Plan:
        """What appending entries that this log had before would change; the caller has verified them."""
        return self._plan([], data)

    def _plan(self, types: list[str], data: Sequence[bytes]) -> Plan:
        leaves = [merkle.leaf_hash(item) for item in data]
        after = self._frontier.copy()
        after.extend(leaves)
        return Plan(
            types=types,
            entries=list(enumerate(data, self.size)),
            tiles=tile_updates(self.size, leaves, self._tails),
            head=HeadMove(self.size, self.root, after.size, after.root()),
        )

    def advance(self, plan: Plan) -> None:
        """Follow a plan whose commit is durable."""
        self._tails = tails_after(self._tails, plan.tiles)
        self._frontier.extend(merkle.leaf_hash(data) for _, data in plan.entries)

    def checkpoint(self) -> bytes:
        """The signed checkpoint of the durable head; Ed25519 is deterministic, so asking again changes nothing."""
        return sign_checkpoint(Checkpoint(self.origin, self.size, self.root), self.origin, *self._log_keys)
