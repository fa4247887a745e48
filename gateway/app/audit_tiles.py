"""Hash tiles and entry bundles that one signed head vouches for.

Guards the rule that nothing read is used before it is proven: each tile is held against the hash of it in the tile
above, the last ones of each level against the root that the log signed. So whatever is computed from them, a root at
another size or a proof, is true of that head, and a fault has a name. A head may claim any size: no work here grows
faster than its logarithm, or than what is asked for. Source: C2SP tlog-tiles.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from gateway.app.audit_source import Source
from gateway.errors import ProofError, Unreachable
from gateway.tlog.merkle import leaf_hash, root_of
from gateway.tlog.text import HASH_BYTES
from gateway.tlog.tiles import (
    ENTRIES_LEVEL,
    MAX_BUNDLE_BYTES,
    TILE_WIDTH,
    TileCoord,
    decode_bundle,
    hash_of_tile,
    hashes_of,
    root_from_tiles,
    tails_at,
    tile_path,
    width_at,
)

TILE_BYTES: Final = TILE_WIDTH * HASH_BYTES
AHEAD: Final = 4
"""Bundles that are fetched at once; each may have 16 MiB."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bundle:
    """Entries of one bundle, proven by the head.

    Args:
        first: index of the first.
        entries: leaf data.
        leaves: their hashes.
    """

    first: int
    entries: list[bytes]
    leaves: list[bytes]


class HeadTiles:
    """The hash tiles below one signed head. `load` what is needed; then it is a `TileReader`, of proven hashes alone.

    Args:
        source: of the log.
        size, root: the head, its signature verified.
    """

    def __init__(self, source: Source, size: int, root: bytes) -> None:
        self._source = source
        self._size, self._root = size, root
        self._tiles: dict[tuple[int, int], bytes] = {}
        self._open = False

    async def open(self) -> None:
        """Read the last tile of each level, and hold them against the root; before anything else, and once.

        Raises:
            ProofError: `tile_length`; `tiles_root`, they lead to another root than was signed.
            Unreachable: `log_missing`, `log_away`.
            RemoteError: `log_size`, `log_encoding`.
        """
        if self._open:
            return
        tails = tails_at(self._size)
        for coord, data in zip(
            tails, await _all([self._tile(one.level, one.n) for one in tails]), strict=True
        ):
            self._tiles[coord.level, coord.n] = data
        if root_from_tiles(self, self._size) != self._root:
            raise ProofError(
                "tiles_root",
                f"the tiles that are served at {self._size} entries do not lead to the root that the log signed",
                "Keep the head. Whoever serves it must show the tree that it signed.",
            )
        self._open = True

    async def load(self, coords: Iterable[TileCoord]) -> None:
        """Read and prove tiles, and those above them.

        Args:
            coords: of `tiles.tiles_of`, at the size of this head.

        Raises:
            ProofError: `tile_length`; `tile`, one is not what the tile above it says.
            Unreachable, RemoteError: as `open`.
        """
        assert self._open, "else there is no end to the tiles above"
        wanted: dict[int, set[int]] = {}
        for coord in coords:
            level, n = coord.level, coord.n
            while (level, n) not in self._tiles and n not in wanted.get(level, ()):
                wanted.setdefault(level, set()).add(n)
                level, n = level + 1, n // TILE_WIDTH
        for level in sorted(wanted, reverse=True):
            numbers = sorted(wanted[level])
            for n, data in zip(numbers, await _all([self._tile(level, n) for n in numbers]), strict=True):
                self._prove(level, n, data)
                self._tiles[level, n] = data

    def hash_tile(self, level: int, n: int, width: int) -> bytes:
        """The first hashes of a tile that was loaded.

        Raises:
            ProofError: `tile_missing`, it was not.
        """
        data = self._tiles.get((level, n))
        if data is None:
            raise ProofError("tile_missing", f"{tile_path(level, n)} was not read")
        return data[: width * HASH_BYTES]

    async def bundles(self, first: int, end: int) -> AsyncGenerator[Bundle, None]:
        """Entries in order, each bundle held against its tile, and the tile against the head.

        Args:
            first: index of the first that is wanted; the bundle that holds it comes whole.
            end: up to here, at most the size of the head.

        Raises:
            ProofError: `bundle`, a bundle is not the one of its tile; else as `load`.
            Unreachable, RemoteError: as `open`.
        """
        numbers = iter(range(first // TILE_WIDTH, -(-end // TILE_WIDTH)))
        waiting: list[asyncio.Task[Bundle]] = []
        try:
            while True:
                while len(waiting) < AHEAD and (n := next(numbers, None)) is not None:
                    # Proven one after another: two at once would both read the tile above.
                    await self.load([TileCoord(1, n // TILE_WIDTH)] if self._full(n) else [])
                    waiting.append(asyncio.create_task(self._bundle(n), name=f"bundle {n}"))
                if not waiting:
                    return
                yield await waiting.pop(0)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _bundle(self, n: int) -> Bundle:
        width = width_at(self._size, 0, n)
        tile = self._tiles.get((0, n))
        if tile is None:
            tile = await self._tile(0, n)
            self._prove(0, n, tile)
        path = tile_path(ENTRIES_LEVEL, n, width)
        data = await self._source.get(path, MAX_BUNDLE_BYTES)
        if data is None and width < TILE_WIDTH:
            # The log has grown since, and no partial bundle needs to be kept then.
            data = await self._source.get(tile_path(ENTRIES_LEVEL, n), MAX_BUNDLE_BYTES)
            entries = decode_bundle(data, TILE_WIDTH)[:width] if data is not None else []
        elif data is not None:
            entries = decode_bundle(data, width)
        if data is None:
            raise _missing(path)
        leaves = [leaf_hash(entry) for entry in entries]
        if b"".join(leaves) != tile:
            raise ProofError(
                "bundle",
                f"{path} holds other entries than its hashes say, which the log signed",
                "Keep it. Whoever serves it must show the entries that were signed.",
            )
        return Bundle(n * TILE_WIDTH, entries, leaves)

    async def _tile(self, level: int, n: int) -> bytes:
        width = width_at(self._size, level, n)
        path = tile_path(level, n, width)
        data = await self._source.get(path, TILE_BYTES)
        if data is None and width < TILE_WIDTH:
            data = await self._source.get(tile_path(level, n), TILE_BYTES)
            data = data and data[: width * HASH_BYTES]
        if data is None:
            raise _missing(path)
        if len(data) != width * HASH_BYTES:
            raise ProofError("tile_length", f"{path} has {len(data)} bytes, and not {width * HASH_BYTES}")
        return data

    def _full(self, n: int) -> bool:
        return width_at(self._size, 0, n) == TILE_WIDTH

    def _prove(self, level: int, n: int, data: bytes) -> None:
        # A full tile has its hash in the level above; the partial ones were read by `open`.
        if root_of(hashes_of(data)) != hash_of_tile(self._tiles[level + 1, n // TILE_WIDTH], n):
            raise ProofError(
                "tile",
                f"{tile_path(level, n)} is not the tile whose hash the log signed",
                "Keep it. Whoever serves it must show the tree that was signed.",
            )


def _missing(path: str) -> Unreachable:
    return Unreachable(
        "log_missing",
        f"{path} is not served, which the head says is there",
        "Try again; a log that does not show what it signed cannot be followed.",
    )


async def _all(reads: Sequence[Awaitable[T]]) -> list[T]:
    """All results in order; waits for all, also where one fails, so that nothing is left behind."""
    results = await asyncio.gather(*reads, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]
