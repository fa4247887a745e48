"""Checks the tiles: every hash of every level against what the entries give, as the tree grows over them."""

from __future__ import annotations

from gateway.app.report import Findings
from gateway.store.snapshot import Snapshot
from gateway.tlog.merkle import Frontier, root_of
from gateway.tlog.text import HASH_BYTES
from gateway.tlog.tiles import TILE_HEIGHT, TILE_WIDTH, width_at


class TileCheck:
    """The tree over the entries, beside the tiles of the database.

    Args:
        snapshot: the database.
        found: where to report to.
        size: leaves of the log.
    """

    def __init__(self, snapshot: Snapshot, found: Findings, size: int) -> None:
        self._snapshot = snapshot
        self._found = found
        self._log_size = size
        self._frontier = Frontier()
        self._row = b""
        self._rising: dict[int, list[bytes]] = {}

    @property
    def size(self) -> int:
        """Leaves so far."""
        return self._frontier.size

    def root(self) -> bytes:
        """Root over the leaves so far."""
        return self._frontier.root()

    def leaf(self, index: int, leaf: bytes | None) -> None:
        """The next leaf.

        Args:
            index: of the entry.
            leaf: its hash; None where the entry is lost, and the tile has to stand in for it.
        """
        n, at = divmod(index, TILE_WIDTH)
        if not at:
            self._row = self._snapshot.tile(0, n) or b""
            if len(self._row) != width_at(self._log_size, 0, n) * HASH_BYTES:
                self._found.fault("tile", f"tile 0/{n} is not as wide as the log", level=0, tile=n)
        stored = self._row[at * HASH_BYTES : (at + 1) * HASH_BYTES]
        if leaf is None:
            # The tile still knows the hash of what is lost, so everything behind it can be checked.
            leaf = stored if len(stored) == HASH_BYTES else bytes(HASH_BYTES)
        elif leaf != stored:
            message = f"entry {index} and tile 0/{n} disagree, and one of them was changed"
            self._found.fault("tile", message, entry=index, level=0, tile=n)
        self._frontier.append(leaf)
        self._rise(0, n, leaf)

    def finish(self) -> None:
        """After the last leaf: the partial tiles, and tiles that should not be there."""
        for level, row in self._rising.items():
            if row:
                self._check(level, self._log_size >> (TILE_HEIGHT * (level + 1)))
        for level, n, _ in self._snapshot.iter_tiles():
            if level < 0 or n < 0 or not width_at(self._log_size, level, n):
                message = f"tile {level}/{n} lies beyond the head of the log"
                self._found.fault("tile", message, level=level, tile=n)

    def _rise(self, level: int, n: int, value: bytes) -> None:
        row = self._rising.setdefault(level, [])
        row.append(value)
        if len(row) == TILE_WIDTH:
            self._check(level, n)
            self._rising[level] = []
            self._rise(level + 1, n // TILE_WIDTH, root_of(row))

    def _check(self, level: int, n: int) -> None:
        # Each hash of level 0 was held against its tile already.
        if level and self._snapshot.tile(level, n) != b"".join(self._rising[level]):
            message = f"tile {level}/{n} is not what the entries give"
            self._found.fault("tile", message, level=level, tile=n)
