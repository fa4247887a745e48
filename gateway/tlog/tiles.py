"""Tiles of a log (C2SP tlog-tiles): their paths, entry bundles, proofs from tiles, and how rows grow.

Tile (level, n) holds up to 256 hashes; its hash i is the root over the 256^level leaves from (256 n + i) * 256^level
on. A hash rises to the next level only when its tile is full, so a row only ever grows, and a partial tile of any
earlier size is a slice of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.errors import LocalError, ProofError
from gateway.tlog.merkle import (
    EMPTY_ROOT,
    Frontier,
    NodeHash,
    Range,
    consistency_ranges,
    inclusion_ranges,
    range_root,
    root_of,
    subtrees,
)
from gateway.tlog.text import HASH_BYTES, MAX_SIZE, decode_decimal

TILE_WIDTH = 256  # tlog-tiles: a full tile
TILE_HEIGHT = 8  # levels of the tree in one tile
MAX_LEVEL = 63  # tlog-tiles
TOP_LEVEL = 7  # a tree of 2^63 leaves has no tile above it
ENTRIES_LEVEL = -1
"""Stands for the level of an entry bundle."""
MAX_ENTRY_BYTES = 65_535  # tlog-tiles: u16 length in a bundle
MAX_BUNDLE_BYTES = TILE_WIDTH * (2 + MAX_ENTRY_BYTES)
MAX_PATH_CHARACTERS = 64  # tile/63/ + seven groups of x000/ + .p/255 has fewer

_PATH = re.compile(r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([0-9]{1,3}))?", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class TileCoord:
    """Names a tile or an entry bundle."""

    level: int
    """0..63, or `ENTRIES_LEVEL`."""
    n: int
    """Number of the tile in its level, from 0."""
    width: int = TILE_WIDTH
    """Hashes (entries) in it, 1..256; below 256 it is a partial tile."""


@dataclass(frozen=True, slots=True)
class TileWrite:
    """New content of the row of one tile."""

    level: int
    n: int
    data: bytes
    """32 bytes for each of its 1..256 hashes."""


class TileReader(Protocol):
    """Whoever has tiles: the store, a mirror, a dictionary in a test."""

    def hash_tile(self, level: int, n: int, width: int) -> bytes:
        """The first `width` hashes of tile (level, n): exactly 32 * width bytes."""
        ...


def tile_path(level: int, n: int, width: int = TILE_WIDTH) -> str:
    """Path of a tile below the log's prefix: `tile/<level>/<n>[.p/<width>]`.

    Raises:
        LocalError: `tile_coord`, no such tile can exist.
    """
    if not (ENTRIES_LEVEL <= level <= MAX_LEVEL and 0 <= n <= MAX_SIZE and 1 <= width <= TILE_WIDTH):
        raise LocalError("tile_coord", "a tile has level 0..63, a number from 0 and width 1..256")
    where = "entries" if level == ENTRIES_LEVEL else str(level)
    partial = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{where}/{number_path(n)}{partial}"


def entries_path(n: int, width: int = TILE_WIDTH) -> str:
    """Path of an entry bundle: `tile/entries/<n>[.p/<width>]`."""
    return tile_path(ENTRIES_LEVEL, n, width)


def number_path(n: int) -> str:
    """A tile number in groups of three digits, all but the last with an `x`: 1234067 is `x001/x234/067`."""
    groups = [f"{n % 1000:03}"]
    while n >= 1000:
        n //= 1000
        groups.append(f"x{n % 1000:03}")
    return "/".join(reversed(groups))


def parse_tile_path(path: str) -> TileCoord:
    """Read what `tile_path` or `entries_path` wrote; everything else is refused.

    Raises:
        ProofError: `tile_path`.
    """
    match = _PATH.fullmatch(path) if len(path) <= MAX_PATH_CHARACTERS else None
    if match is None:
        raise ProofError("tile_path", "not the path of a tile")
    where, number, partial = match.groups()
    level = ENTRIES_LEVEL if where == "entries" else int(where)
    n = int(number.replace("x", "").replace("/", ""))
    width = TILE_WIDTH if partial is None else decode_decimal(partial, "tile_path", TILE_WIDTH - 1)
    if level > MAX_LEVEL or n > MAX_SIZE or width < 1 or tile_path(level, n, width) != path:
        raise ProofError("tile_path", "the path of a tile is not written canonically")
    return TileCoord(level, n, width)


def width_at(size: int, level: int, n: int) -> int:
    """Hashes that tile (level, n) holds when the log has `size` leaves; 0 if it does not exist yet."""
    return min(max((size >> (TILE_HEIGHT * level)) - n * TILE_WIDTH, 0), TILE_WIDTH)


def encode_bundle(entries: Iterable[bytes]) -> bytes:
    """Entry bundle: u16 big-endian length and bytes of each entry.

    Raises:
        LocalError: `entry_length`, an entry has more than 65,535 bytes.
    """
    parts = []
    for entry in entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise LocalError("entry_length", f"an entry has at most {MAX_ENTRY_BYTES} bytes")
        parts.append(len(entry).to_bytes(2, "big"))
        parts.append(entry)
    return b"".join(parts)


def decode_bundle(data: bytes, width: int) -> list[bytes]:
    """Entries of a bundle.

    Args:
        data: the whole bundle, uncompressed.
        width: entries that it must hold, 1..256.

    Raises:
        ProofError: `bundle`, it holds fewer, more or something else.
    """
    if not 1 <= width <= TILE_WIDTH or len(data) > MAX_BUNDLE_BYTES:
        raise ProofError("bundle", "an entry bundle holds 1 to 256 entries of at most 65,535 bytes")
    entries = []
    at = 0
    for _ in range(width):
        start = at + 2
        at = start + int.from_bytes(data[at:start], "big")
        if start > len(data) or at > len(data):
            raise ProofError("bundle", "an entry bundle is shorter than its lengths say")
        entries.append(data[start:at])
    if at != len(data):
        raise ProofError("bundle", "an entry bundle is longer than its entries")
    return entries


def hash_at(reader: TileReader, size: int, level: int, index: int) -> bytes:
    """Hash of one perfect subtree.

    Args:
        reader: has the tiles of at least `size` leaves.
        size: leaves of the log.
        level: of the tree, not of the tiles: the subtree has 2^level leaves.
        index: of the subtree in its level.

    Raises:
        ProofError: `size_range`, the subtree is not within `size`; `tile_length`, a tile is not of its width.
    """
    return _nodes(reader, size)(level, index)


def root_from_tiles(reader: TileReader, size: int) -> bytes:
    """Root at any size the tiles cover.

    Raises:
        ProofError: `size_range`, `tile_length`.
    """
    return range_root(0, size, _nodes(reader, size)) if size else EMPTY_ROOT


def inclusion_from_tiles(reader: TileReader, index: int, size: int) -> list[bytes]:
    """Inclusion path of leaf `index` in the tree of `size` leaves.

    Raises:
        ProofError: `index_range`, `size_range`, `tile_length`.
    """
    node = _nodes(reader, size)
    return [range_root(start, end, node) for start, end in inclusion_ranges(index, size)]


def consistency_from_tiles(reader: TileReader, m: int, n: int) -> list[bytes]:
    """Consistency proof from `m` to `n` leaves; empty for m = 0, where there is nothing to prove.

    Raises:
        ProofError: `size_range` unless 0 <= m <= n; `tile_length`.
    """
    node = _nodes(reader, n)
    if m == 0:
        return []
    return [range_root(start, end, node) for start, end in consistency_ranges(m, n)]


def frontier_from_tiles(reader: TileReader, size: int) -> Frontier:
    """Right edge at any size the tiles cover, from which the log grows on after a start.

    Raises:
        ProofError: `size_range`, `tile_length`.
    """
    node = _nodes(reader, size)
    return Frontier(size, [node(level, index) for level, index in subtrees(0, size)])


def tiles_of(ranges: Iterable[Range], size: int) -> list[TileCoord]:
    """Tiles that the roots of these ranges need, each as wide as it is at `size`; for fetching them beforehand.

    Args:
        ranges: of `merkle.inclusion_ranges` or `merkle.consistency_ranges`; `[(0, size)]` for the root or the edge.
        size: leaves of the log.
    """
    coords = set()
    for start, end in ranges:
        for level, index in subtrees(start, end):
            tile_level, n, _, _ = _place(level, index)
            coords.add(TileCoord(tile_level, n, width_at(size, tile_level, n)))
    return sorted(coords)


def hashes_of(row: bytes) -> list[bytes]:
    """The hashes of a tile, or of the first part of one."""
    return [row[at : at + HASH_BYTES] for at in range(0, len(row), HASH_BYTES)]


def hash_of_tile(parent: bytes, n: int) -> bytes:
    """The hash of a full tile in its parent, which is tile `n // 256` of the level above; empty beyond its end."""
    at = n % TILE_WIDTH * HASH_BYTES
    return parent[at : at + HASH_BYTES]


def tails_at(size: int) -> list[TileCoord]:
    """The partial tiles at `size`: whose rows `tile_updates` needs to go on from there."""
    coords = []
    for level in range(TOP_LEVEL + 1):
        n, width = divmod(size >> (TILE_HEIGHT * level), TILE_WIDTH)
        if width:
            coords.append(TileCoord(level, n, width))
    return coords


def tile_updates(old_size: int, leaves: Sequence[bytes], tails: Mapping[int, bytes]) -> list[TileWrite]:
    """Rows that change when leaves are appended.

    Args:
        old_size: leaves of the log before.
        leaves: leaf hashes to append, 32 bytes each.
        tails: level -> content of the last, partial row of that level, for each of `tails_at(old_size)`.

    Returns:
        The whole new content of each changed row, by level and number; a row that became full and the one begun
        after it are two writes.

    Raises:
        ProofError: `hash_length`, `tile_length`, a tail is not as wide as `old_size` says.
    """
    writes: list[TileWrite] = []
    rising = list(leaves)
    if any(len(leaf) != HASH_BYTES for leaf in rising):
        raise ProofError("hash_length", f"a hash has {HASH_BYTES} bytes")
    if not 0 <= old_size <= MAX_SIZE - len(rising):
        raise ProofError("size_range", "a tree size is out of range")
    level = 0
    while rising:
        n, width = divmod(old_size >> (TILE_HEIGHT * level), TILE_WIDTH)
        tail = tails.get(level, b"")
        if len(tail) != width * HASH_BYTES:
            raise ProofError("tile_length", "a partial tile is not as wide as the size of its log says")
        row = [*hashes_of(tail), *rising]
        rising = []
        for start in range(0, len(row), TILE_WIDTH):
            hashes = row[start : start + TILE_WIDTH]
            writes.append(TileWrite(level, n, b"".join(hashes)))
            n += 1
            if len(hashes) == TILE_WIDTH:
                rising.append(root_of(hashes))
        level += 1
    return writes


def tails_after(tails: Mapping[int, bytes], writes: Iterable[TileWrite]) -> dict[int, bytes]:
    """Tails for the next `tile_updates`, once these writes are durable."""
    after = dict(tails)
    for write in writes:
        # writes of a level come in order, so the last one of it decides
        after[write.level] = b"" if len(write.data) == TILE_WIDTH * HASH_BYTES else write.data
    return {level: tail for level, tail in after.items() if tail}


def _nodes(reader: TileReader, size: int) -> NodeHash:
    cache: dict[tuple[int, int], bytes] = {}

    def node(level: int, index: int) -> bytes:
        if level < 0 or index < 0 or (index + 1) << level > size:
            raise ProofError("size_range", "a subtree reaches beyond the size of its log")
        tile_level, n, start, count = _place(level, index)
        tile = cache.get((tile_level, n))
        if tile is None:
            width = width_at(size, tile_level, n)
            tile = reader.hash_tile(tile_level, n, width)
            if len(tile) != width * HASH_BYTES:
                raise ProofError("tile_length", "a tile is not as wide as the size of its log says")
            cache[tile_level, n] = tile
        return root_of(hashes_of(tile[start * HASH_BYTES : (start + count) * HASH_BYTES]))

    if not 0 <= size <= MAX_SIZE:
        raise ProofError("size_range", "a tree size is out of range")
    return node


def _place(level: int, index: int) -> tuple[int, int, int, int]:
    # tile level, tile number, first hash and number of hashes below one perfect subtree: always within one tile
    tile_level, height = divmod(level, TILE_HEIGHT)
    n, start = divmod(index << height, TILE_WIDTH)
    return tile_level, n, start, 1 << height
