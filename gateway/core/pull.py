"""One log on its way from the part of its tree that is here to one signed head: what to fetch, and whether it is true.

Guards the rule of mirrors: nothing is kept that was not checked against the head. Its right edge is fetched first and
must give its root; every other tile is then checked against the hash that its parent has for it, every bundle against
its hash of level 1, the last, partial one against its tile. What was here before must be the beginning of all that.
Sizes are claims: a pull looks at a few tiles at a time, however many a head says there are (C2SP tlog-tiles).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.core.follow import Followed, KeepEntries
from gateway.errors import Divergence, ProofError
from gateway.tlog.merkle import leaf_hash, root_of
from gateway.tlog.text import HASH_BYTES
from gateway.tlog.tiles import (
    ENTRIES_LEVEL,
    MAX_ENTRY_BYTES,
    TILE_HEIGHT,
    TILE_WIDTH,
    TileCoord,
    decode_bundle,
    hash_of_tile,
    hashes_of,
    root_from_tiles,
    tails_after,
    tile_updates,
    tiles_of,
    width_at,
)

CHUNK_ENTRIES: Final = 2048  # kept in one transaction: some 20 ms, in which gossip waits
CHUNK_BYTES: Final = 1 << 20  # the same, of large entries
WINDOW: Final = 4  # bundles that are fetched or wait for an earlier one; each has 16 MiB at most


def limit_of(coord: TileCoord) -> int:
    """Bytes that a tile or a bundle may have."""
    return coord.width * (2 + MAX_ENTRY_BYTES if coord.level == ENTRIES_LEVEL else HASH_BYTES)


class Pull:
    """What is known of one head of one log. Mutable; steps of one mirror alone use it.

    Args:
        log: whose head is larger than its tree.
    """

    def __init__(self, log: Followed) -> None:
        self.log = log
        self.size, self.root, self.note = log.size, log.root, log.note
        self.at = log.tree.size
        """Entries that are here and kept."""
        self._first = self.at
        self._tails = log.tails
        self._wanted_edge = {(coord.level, coord.n): coord for coord in tiles_of([(0, self.size)], self.size)}
        self._edge: dict[tuple[int, int], bytes] = {}
        self._whole_edge = False
        self._rows: dict[int, tuple[int, bytes]] = {}
        """Level -> number and content of the full tile last checked."""
        self._expected: dict[int, bytes] = {}
        """Bundles that are being fetched -> what their leaves must give."""
        self._next = self.at // TILE_WIDTH
        self._last = (self.size - 1) // TILE_WIDTH
        self._ready: dict[int, tuple[list[bytes], list[bytes]]] = {}
        self._held: list[bytes] = []
        self._leaves: list[bytes] = []
        self._held_bytes = 0

    @property
    def on_edge(self) -> bool:
        """Whether the right edge is not complete; all of it must come from one source, so that it can be blamed."""
        return not self._whole_edge

    @property
    def current(self) -> bool:
        """Whether the log is where this pull left it."""
        return self.log.tree.size == self.at and self.log.size >= self.size and not self.log.frozen

    @property
    def done(self) -> bool:
        """Whether the tree is at the head."""
        return self.at == self.size

    def restart_edge(self) -> None:
        """Forget what one source gave of the right edge, unless it is complete."""
        if not self._whole_edge:
            self._edge.clear()

    def want(self, outstanding: Sequence[TileCoord]) -> TileCoord | None:
        """What to fetch next.

        Args:
            outstanding: what is being fetched, each as wide as this method gave it.

        Returns:
            None if there is nothing more to ask for now.
        """
        if not self._whole_edge:
            coords = self._wanted_edge.items()
            return next(
                (coord for at, coord in coords if at not in self._edge and coord not in outstanding), None
            )
        again = next((n for n in self._expected if self._bundle(n) not in outstanding), None)
        if again is not None:
            return self._bundle(again)
        if self._next > self._last or self._next >= (self.at + len(self._held)) // TILE_WIDTH + WINDOW:
            return None
        bundle = self._bundle(self._next)
        if bundle.width < TILE_WIDTH:
            self._expected[bundle.n] = self._edge[0, bundle.n]
        else:
            above = bundle.n // TILE_WIDTH
            if (row := self._row(1, above)) is None:
                tile = self._nearest(1, above)
                return tile if tile not in outstanding else None
            self._expected[bundle.n] = hash_of_tile(row, bundle.n)
        self._next += 1
        return bundle

    def take(self, coord: TileCoord, data: bytes) -> None:
        """Check what came.

        Args:
            coord: what was asked for, as `want` gave it.
            data: all of it, of the full tile or bundle perhaps, where the log has grown on.

        Raises:
            ProofError: it is not true, and its source is to blame.
            Divergence: `mirror`: it is true, and what is here does not belong to it.
        """
        if coord.level == ENTRIES_LEVEL:
            if coord.n in self._expected:
                self._take_bundle(coord, data)
        elif not self._whole_edge:
            self._edge[coord.level, coord.n] = _tile(coord, data)
            self._check_edge()
        elif self._row(coord.level, coord.n) is None:
            self._take_tile(coord, _tile(coord, data))

    def keep(self, *, all: bool = False) -> KeepEntries | None:
        """What is to be written down now: the entries that came in order, checked.

        Args:
            all: not only when there are enough for a transaction.

        Raises:
            Divergence: `mirror`: what is here does not belong to what came.
        """
        count = len(self._held)
        enough = count >= CHUNK_ENTRIES or self._held_bytes >= CHUNK_BYTES or self.at + count == self.size
        if not count or not (enough or all):
            return None
        log, first = self.log, self.at
        tree = log.tree.copy()
        tree.extend(self._leaves)
        whole = self.note if tree.size == self.size else b""
        if whole and tree.root() != self.root:
            raise _stranger()
        tiles = tile_updates(first, self._leaves, log.tails)
        log.tree, log.tails = tree, tails_after(log.tails, tiles)
        if whole:
            log.whole, log.whole_size = whole, tree.size
        self.at = tree.size
        kept = KeepEntries(log.origin, first, tuple(self._held), tuple(tiles), tree.size, tree.root(), whole)
        self._held, self._leaves, self._held_bytes = [], [], 0
        return kept

    # ---- inside ---------------------------------------------------------------------------------------------------

    def _bundle(self, n: int) -> TileCoord:
        return TileCoord(ENTRIES_LEVEL, n, width_at(self.size, 0, n))

    def _row(self, level: int, n: int) -> bytes | None:
        if (level, n) in self._edge:
            return self._edge[level, n]
        number, row = self._rows.get(level, (-1, b""))
        return row if number == n else None

    def _nearest(self, level: int, n: int) -> TileCoord:
        # the highest tile above an unknown one whose parent is known; the edge has the top of the tree
        while self._row(level + 1, n // TILE_WIDTH) is None:
            level, n = level + 1, n // TILE_WIDTH
        return TileCoord(level, n)

    def _check_edge(self) -> None:
        if len(self._edge) < len(self._wanted_edge):
            return
        if root_from_tiles(_Edge(self._edge), self.size) != self.root:
            self._edge.clear()
            raise ProofError("tile", "tiles of a log do not give the root of its head")
        for (level, n), row in self._edge.items():
            self._agree(level, n, row)
        self._whole_edge = True

    def _take_tile(self, coord: TileCoord, row: bytes) -> None:
        parent = self._row(coord.level + 1, coord.n // TILE_WIDTH)
        if parent is None or root_of(hashes_of(row)) != hash_of_tile(parent, coord.n):
            raise ProofError("tile", "a tile of a log is not what the tile above it says")
        self._agree(coord.level, coord.n, row)
        self._rows[coord.level] = coord.n, row

    def _take_bundle(self, coord: TileCoord, data: bytes) -> None:
        entries = _entries(coord, data)
        leaves = [leaf_hash(entry) for entry in entries]
        row = b"".join(leaves)
        given = root_of(leaves) if coord.width == TILE_WIDTH else row
        if given != self._expected[coord.n]:
            raise ProofError("bundle", "entries of a log are not what its tiles say")
        self._agree(0, coord.n, row)
        del self._expected[coord.n]
        self._ready[coord.n] = entries, leaves
        while ready := self._ready.pop((self.at + len(self._held)) // TILE_WIDTH, None):
            known = (self.at + len(self._held)) % TILE_WIDTH
            self._held += ready[0][known:]
            self._leaves += ready[1][known:]
            self._held_bytes += sum(map(len, ready[0][known:]))

    def _agree(self, level: int, n: int, row: bytes) -> None:
        # Of each level the last, partial row that was here: with them the whole tree is the beginning of this one.
        if self._first >> (TILE_HEIGHT * (level + 1)) == n and not row.startswith(
            self._tails.get(level, b"")
        ):
            raise _stranger()


class _Edge:
    """A `TileReader` of the right edge."""

    def __init__(self, tiles: dict[tuple[int, int], bytes]) -> None:
        self._tiles = tiles

    def hash_tile(self, level: int, n: int, width: int) -> bytes:
        return self._tiles[level, n]


def _tile(coord: TileCoord, data: bytes) -> bytes:
    if len(data) not in (coord.width * HASH_BYTES, TILE_WIDTH * HASH_BYTES):
        raise ProofError("tile", "a tile of a log has another width than was asked for")
    return data[: coord.width * HASH_BYTES]


def _entries(coord: TileCoord, data: bytes) -> list[bytes]:
    try:
        return decode_bundle(data, coord.width)
    except ProofError:
        if coord.width == TILE_WIDTH:
            raise
    return decode_bundle(data, TILE_WIDTH)[: coord.width]


def _stranger() -> Divergence:
    return Divergence(
        "mirror",
        "what is here of a log is not the beginning of what its head says",
        "The mirror is dropped and pulled again.",
    )
