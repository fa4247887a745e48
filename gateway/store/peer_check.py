"""Checks a mirror against itself and its signed heads, a bundle at a time: all at once, or slowly while it grows.

Every entry is held against its tile, every full row against the one above it, and the tree over all of them against the
roots that were signed. Rows may grow meanwhile; what they held stays at their beginning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.errors import Damage
from gateway.store.peer_rows import PeerRows
from gateway.tlog.merkle import Frontier, leaf_hash, root_of
from gateway.tlog.text import HASH_BYTES
from gateway.tlog.tiles import TILE_HEIGHT, TILE_WIDTH, hashes_of

HINT = "It is a copy: the running gateway drops it when it finds the fault, and pulls it again."


def mirror_damage(origin: str, what: str, **where: int | str) -> Damage:
    """The fault of a mirror.

    Args:
        origin: of the log.
        what: is wrong; begins a sentence.
        where: as far as it is known.
    """
    return Damage("mirror", f"{what}, in the mirror of {origin}", HINT, where={"log": origin, **where})


def mirror_walk(rows: PeerRows, origin: str, size: int, roots: Mapping[int, bytes]) -> Iterator[list[Damage]]:
    """Check the first `size` entries of a mirror.

    Args:
        rows: peers.db.
        origin: of the log.
        size: entries to check.
        roots: size -> root that was signed, or kept, for it; of sizes up to `size`.

    Yields:
        What is wrong with the next bundle, and with what it completes; mostly nothing.

    Raises:
        Damage: `database`.
        StoreError: `disk_io`.
    """
    walk = _Walk(rows, origin, size, roots)
    for n in range(-(-size // TILE_WIDTH)):
        walk.bundle(n)
        if (n + 1) * TILE_WIDTH >= size:
            walk.finish()
        found, walk.found = walk.found, []
        yield found


class _Walk:
    def __init__(self, rows: PeerRows, origin: str, size: int, roots: Mapping[int, bytes]) -> None:
        self._rows = rows
        self._origin = origin
        self._size = size
        self._roots = roots
        self._tree = Frontier()
        self._rising: dict[int, list[bytes]] = {}
        self.found: list[Damage] = []

    def bundle(self, n: int) -> None:
        first = n * TILE_WIDTH
        width = min(TILE_WIDTH, self._size - first)
        row = self._rows.tile(self._origin, 0, n)[: width * HASH_BYTES]
        stored = hashes_of(row)
        if len(row) != width * HASH_BYTES:
            self._fault(f"Tile 0/{n} is narrower than its log", level=0, tile=n)
            stored = [bytes(HASH_BYTES)] * width
        leaves = self._leaves(first, width)
        for at, leaf in enumerate(leaves, first):
            if leaf is None:
                self._fault(f"Entry {at} is missing", entry=at)
            elif leaf != stored[at - first]:
                self._fault(f"Entry {at} and tile 0/{n} disagree", entry=at, level=0, tile=n)
        # What is lost or changed is stood in for by its tile, so that everything behind it can be checked.
        self._grow(stored)
        if width == TILE_WIDTH:
            self._rise(1, n // TILE_WIDTH, root_of(stored))

    def finish(self) -> None:
        for level, row in self._rising.items():
            if row:
                self._check(level, self._size >> (TILE_HEIGHT * (level + 1)), row)

    def _leaves(self, first: int, width: int) -> list[bytes | None]:
        leaves: list[bytes | None] = [None] * width
        for index, data in self._rows.iter_entries(self._origin, first, first + width):
            leaves[index - first] = leaf_hash(data)
        return leaves

    def _grow(self, leaves: list[bytes]) -> None:
        for leaf in leaves:
            self._tree.append(leaf)
            root = self._roots.get(self._tree.size)
            if root is not None and root != self._tree.root():
                size = self._tree.size
                self._fault(f"The first {size} entries do not have the root of their head", size=size)

    def _rise(self, level: int, n: int, value: bytes) -> None:
        row = self._rising.setdefault(level, [])
        row.append(value)
        if len(row) == TILE_WIDTH:
            self._check(level, n, row)
            self._rising[level] = []
            self._rise(level + 1, n // TILE_WIDTH, root_of(row))

    def _check(self, level: int, n: int, row: list[bytes]) -> None:
        if not self._rows.tile(self._origin, level, n).startswith(b"".join(row)):
            self._fault(f"Tile {level}/{n} is not what the entries give", level=level, tile=n)

    def _fault(self, what: str, **where: int | str) -> None:
        self.found.append(mirror_damage(self._origin, what, **where))
