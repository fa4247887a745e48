"""Our own log as mirrors have it: entries and tiles, each verified against one signed head before it is given on.

Guards the rule that nothing is written back that our key did not sign. The partial tiles of the head give its root;
below them every full tile and every bundle has its hash in a tile that is verified already (C2SP tlog-tiles).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, TypeVar

from gateway.app.guard import Answer, Get, Source
from gateway.errors import LocalError, ProofError, RemoteError, Unreachable
from gateway.tlog.checkpoint import Checkpoint
from gateway.tlog.merkle import EMPTY_ROOT, consistency_ranges, leaf_hash, root_of, verify_consistency
from gateway.tlog.text import HASH_BYTES
from gateway.tlog.tiles import (
    ENTRIES_LEVEL,
    MAX_BUNDLE_BYTES,
    TILE_WIDTH,
    consistency_from_tiles,
    decode_bundle,
    hash_of_tile,
    hashes_of,
    root_from_tiles,
    tails_at,
    tile_path,
    tiles_of,
    width_at,
)

AT_ONCE: Final = 4
"""Bundles on their way at a time; each may have 16 MiB."""

T = TypeVar("T")


class Refetch:
    """Reads a log below a head; from several places, so that one that lies or is away is passed over.

    Args:
        places: who has it, the one with the largest head first.
        head: signed by our key; what is given is verified against it.
        get: how to ask.
    """

    def __init__(self, places: Sequence[Answer], head: Checkpoint, get: Get) -> None:
        self._places = list(places)
        self._head = head
        self._get = get
        self._tails: dict[int, bytes] | None = None
        self._newest: dict[int, tuple[int, bytes]] = {}
        self.blamed: Counter[Source] = Counter()
        """Who gave what is not in this log, and how often."""

    async def root_at(self, size: int) -> tuple[bytes, list[bytes]]:
        """What the head continues.

        Args:
            size: not above the head's.

        Returns:
            The root of its tree at that size, and the proof of that; verified.

        Raises:
            Unreachable: `log_incomplete`.
        """
        head = self._head
        if size == 0:
            return EMPTY_ROOT, []
        if size == head.size:
            return head.root, []
        ranges = [(0, size), *consistency_ranges(size, head.size)]
        coords = tiles_of(ranges, head.size)

        async def of(place: Answer) -> tuple[bytes, list[bytes]]:
            tiles = _Tiles()
            for coord in coords:
                tiles[coord.level, coord.n] = await self._tile_of(place, coord.level, coord.n, coord.width)
            root, proof = root_from_tiles(tiles, size), consistency_from_tiles(tiles, size, head.size)
            verify_consistency(size, head.size, proof, root, head.root)
            return root, proof

        return await self._from_any(of, f"the tiles that lead from {size} to {head.size} entries")

    async def entries(self, first: int) -> AsyncIterator[list[bytes]]:
        """Leaf data from `first` to the head, bundle by bundle; each bundle is verified before it is given.

        Raises:
            Unreachable: `log_incomplete`.
        """
        bundles = range(first // TILE_WIDTH, -(-self._head.size // TILE_WIDTH))
        for start in range(bundles.start, bundles.stop, AT_ONCE):
            hashes = [await self._leaves(n) for n in range(start, min(start + AT_ONCE, bundles.stop))]
            asked = (self._bundle(n, known) for n, known in enumerate(hashes, start))
            # All are waited for, so that none still runs when one has failed.
            for n, found in enumerate(await asyncio.gather(*asked, return_exceptions=True), start):
                if isinstance(found, BaseException):
                    raise found
                yield found[max(first - n * TILE_WIDTH, 0) :]

    async def last(self) -> bytes:
        """The last entry below the head, verified; raises as `entries`."""
        n = (self._head.size - 1) // TILE_WIDTH
        return (await self._bundle(n, await self._leaves(n)))[-1]

    async def _leaves(self, n: int) -> bytes:
        """What a bundle must hold: its leaf hashes where it is the last, partial one, else the root over them."""
        if width_at(self._head.size, 0, n) < TILE_WIDTH:
            return (await self._edge())[0]
        return hash_of_tile(await self._tile(1, n // TILE_WIDTH), n)

    async def _bundle(self, n: int, known: bytes) -> list[bytes]:
        width = width_at(self._head.size, 0, n)

        async def of(place: Answer) -> list[bytes]:
            entries = await self._bundle_of(place, n, width)
            leaves = [leaf_hash(entry) for entry in entries]
            if (root_of(leaves) if width == TILE_WIDTH else b"".join(leaves)) != known:
                raise ProofError("bundle", "an entry bundle is not of this log")
            return entries

        return await self._from_any(of, f"the entries from {n * TILE_WIDTH} on")

    async def _tile(self, level: int, n: int) -> bytes:
        """A tile, verified; the newest of each level is kept, as they are asked for in order."""
        if width_at(self._head.size, level, n) < TILE_WIDTH:
            return (await self._edge())[level]
        kept = self._newest.get(level)
        if kept is not None and kept[0] == n:
            return kept[1]
        known = hash_of_tile(await self._tile(level + 1, n // TILE_WIDTH), n)

        async def of(place: Answer) -> bytes:
            data = await self._tile_of(place, level, n, TILE_WIDTH)
            if root_of(hashes_of(data)) != known:
                raise ProofError("tile", "a tile is not of this log")
            return data

        data = await self._from_any(of, f"tile {level}/{n}")
        self._newest[level] = (n, data)
        return data

    async def _edge(self) -> dict[int, bytes]:
        """The partial tiles of the head, by level: together they have its root."""
        if self._tails is None:

            async def of(place: Answer) -> dict[int, bytes]:
                tiles = _Tiles()
                for coord in tails_at(self._head.size):
                    tiles[coord.level, coord.n] = await self._tile_of(
                        place, coord.level, coord.n, coord.width
                    )
                if root_from_tiles(tiles, self._head.size) != self._head.root:
                    raise ProofError("tile", "tiles do not have the root of the head")
                return {level: data for (level, _), data in tiles.items()}

            self._tails = await self._from_any(of, "the newest tiles")
        return self._tails

    async def _from_any(self, of: Callable[[Answer], Awaitable[T]], what: str) -> T:
        for place in tuple(self._places):
            try:
                return await of(place)
            except (ProofError, RemoteError):
                self.blamed[place.source] += 1
            except LocalError:
                pass  # away, or not there
            # Whoever has failed is asked last from now on.
            self._places.remove(place)
            self._places.append(place)
        raise Unreachable(
            "log_incomplete",
            f"nobody who was asked has {what}",
            "Name more mirrors with --from, or try again when others are reachable. If nobody has them any more, begin "
            "a new log with `vestibule ledger new-generation`.",
        )

    async def _tile_of(self, place: Answer, level: int, n: int, width: int) -> bytes:
        data, whole = await self._resource(place, level, n, width, TILE_WIDTH * HASH_BYTES)
        if len(data) != (TILE_WIDTH if whole else width) * HASH_BYTES:
            raise ProofError("tile", "a tile is not as wide as its name says")
        return data[: width * HASH_BYTES]

    async def _bundle_of(self, place: Answer, n: int, width: int) -> list[bytes]:
        data, whole = await self._resource(place, ENTRIES_LEVEL, n, width, MAX_BUNDLE_BYTES)
        return decode_bundle(data, TILE_WIDTH if whole else width)[:width]

    async def _resource(
        self, place: Answer, level: int, n: int, width: int, limit: int
    ) -> tuple[bytes, bool]:
        """Bytes of a tile, and whether it is a full one, which may stand in for a partial one that is gone."""
        for wanted in dict.fromkeys((width, TILE_WIDTH)):
            data = await self._get(place.source.url, place.prefix + tile_path(level, n, wanted), limit)
            if data is not None:
                return data, wanted == TILE_WIDTH
        raise LocalError("tile_absent", "there is no such tile")


class _Tiles(dict[tuple[int, int], bytes]):
    """Tiles that were fetched, as a `TileReader`."""

    def hash_tile(self, level: int, n: int, width: int) -> bytes:
        return self[level, n][: width * HASH_BYTES]
