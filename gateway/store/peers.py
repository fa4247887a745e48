"""peers.db: what this gateway promised about other logs, and its verified copies of them.

Guards two rules: what is asked to be kept is durable, whole and in order, before `keep` returns; and nothing that was
kept is changed: a head only moves on from where it was, entries and tiles only grow, evidence and rosters stay.
Recording never waits for it: it has a file, a connection and a thread of its own. Source: docs/store-format.md.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from gateway.core.follow import Keep, KeepCosigned, KeepFork, KeepRoster
from gateway.errors import Damage, ProofError, StoreError, StoreRefused
from gateway.store import peers_schema
from gateway.store.db import damaged, sqlite_error
from gateway.store.layout import make_database_file
from gateway.store.peer_check import mirror_walk
from gateway.store.peer_file import connect, home, read_only, set_up
from gateway.store.peer_rows import LogRow, PeerRows, PeerShelf, StoredFork, StoredLog
from gateway.store.peer_writer import PeerWriter
from gateway.tlog.merkle import Frontier, leaf_hash
from gateway.tlog.text import HASH_BYTES
from gateway.tlog.tiles import TILE_WIDTH, frontier_from_tiles, tails_at

T = TypeVar("T")

_SETTLED: Final = "settled"
"""Key of `meta`: the file that was filled, as `home` names it. No row before that."""


@dataclass(frozen=True, slots=True)
class PeerState:
    """What a start goes on with.

    Args:
        fresh: the file is new, or stands where it was never settled (`PeerStore.settle`): whatever our witness
            promised before is not known here. Nothing may be cosigned before peers told what they know.
        roster_version, roster: the newest version that was verified; 0 and empty for none.
        logs: all that were ever heard of, by origin.
        cosigned: the newest checkpoint of our own log that a quorum cosigned.
        dropped: origins whose mirror was damaged at its end and was dropped; it is pulled again.
    """

    fresh: bool
    roster_version: int
    roster: bytes
    logs: dict[str, StoredLog]
    cosigned: KeepCosigned | None
    dropped: tuple[str, ...]


class PeerStore:
    """The open file, with its one writer. Made by `PeerStore.open`."""

    def __init__(self, path: Path, home: str, writer: sqlite3.Connection) -> None:
        self._home = home
        self._closed = False
        self._writer = PeerWriter(writer)
        self._readers = [
            read_only(path, cache) for cache in (peers_schema.CACHE_KIB, peers_schema.SHELF_CACHE_KIB)
        ]
        self._rows, self._shelves = map(PeerRows, self._readers)
        # One thread each, so that a reader never waits for a disk that is being written, and keeps stay in order.
        self._keeping = ThreadPoolExecutor(max_workers=1, thread_name_prefix="peers")
        self._reading = ThreadPoolExecutor(max_workers=1, thread_name_prefix="peers-read")

    @classmethod
    async def open(cls, path: Path, *, create: bool = False) -> PeerStore:
        """Open the file.

        Args:
            path: `Layout.peers`.
            create: make it if it is not there or unfinished; it is `fresh` then.

        Raises:
            StoreRefused: `store_missing`, `not_ours`, `newer`, `older`.
            StoreError: `wal`; `disk_full`, `disk_io`, `store_busy`.
            Damage: `database`.
        """
        return await asyncio.to_thread(cls._open, path, create)

    @classmethod
    def _open(cls, path: Path, create: bool) -> PeerStore:
        if create:
            make_database_file(path, "peers.db cannot be made")
        elif not path.exists():
            raise StoreRefused("store_missing", f"{path.name} is not there", "Check `--data-dir`.")
        here = home(path)
        writer: sqlite3.Connection | None = None
        try:
            writer = connect(path, "rw")
            set_up(writer, create)
            return cls(path, here, writer)
        except BaseException as error:
            if writer is not None:
                writer.close()
            if isinstance(error, sqlite3.Error):
                raise sqlite_error(error, "peers.db cannot be opened") from error
            if isinstance(error, UnicodeDecodeError):
                raise damaged("peers.db cannot be opened") from error
            raise

    async def close(self) -> None:
        """Close everything; what was asked to be kept is kept first, and the write-ahead log is folded in.

        Whoever asks for more gets `peers_closed`; closing twice is no error.
        """
        self._closed = True
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._reading.shutdown()
        self._keeping.shutdown()
        for reader in self._readers:
            reader.close()
        self._writer.connection.close()

    # ---- writing ----------------------------------------------------------------------------------------------

    async def keep(self, items: Sequence[Keep]) -> None:
        """Make all of this durable in ONE transaction, in order, or nothing of it.

        Transactions run one after another, in the order of the calls. A cancelled caller still waits for the end of
        its own: `CancelledError` means that it is committed. After any other error the state in memory is ahead of
        the disk: `load` it again.

        Raises:
            StoreError: `disk_full`, `disk_io`, `store_busy`, `row`: nothing was written. With `fatal=True`
                (`conflict`, `commit_unknown` ...): exit, restart, re-read.
            Divergence: `peer_head`, a head does not move on from where it is; `mirror_moved`, entries do not follow
                those that are there; `mirror_tile`, a row of tiles would change. Nothing was written.
            LocalError: `fork`, evidence that is larger than evidence may be.
        """
        if items:
            encoded = {id(item): item.fork.encode() for item in items if isinstance(item, KeepFork)}
            await self._write(lambda: self._writer.keep(items, encoded))

    async def settle(self) -> None:
        """Write down that peers were asked what they know: from now on the file is not `fresh`.

        Raises:
            StoreError: as `keep`.
        """
        await self.set_meta(_SETTLED, self._home)

    async def set_meta(self, key: str, value: str) -> None:
        """Write down a fact about this gateway's part in the federation.

        Raises:
            StoreError: as `keep`.
        """
        await self._write(lambda: self._writer.set_meta(key, value))

    async def meta(self, key: str) -> str | None:
        """What `set_meta` wrote down; raises as `forks`."""
        return await self._read(lambda: self._rows.meta(key))

    async def drop_rosters(self) -> None:
        """Forget all versions of the roster: of a federation that is left for another one.

        Raises:
            StoreError: as `keep`.
        """
        await self._write(self._writer.drop_rosters)

    async def drop(self, origin: str) -> None:
        """Forget entries and tiles of a mirror, so that it is pulled again; head and evidence stay.

        Raises:
            StoreError: as `keep`.
        """
        await self._write(lambda: self._writer.drop(origin))

    async def _write(self, work: Callable[[], None]) -> None:
        self._open_yet()
        done = asyncio.get_running_loop().run_in_executor(self._keeping, work)
        try:
            await asyncio.shield(done)
        except asyncio.CancelledError:
            while not done.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait((done,))
            done.result()
            raise

    # ---- reading ----------------------------------------------------------------------------------------------

    async def load(self) -> PeerState:
        """Read what a start needs, and drop the mirrors that are damaged where they would grow on.

        Raises:
            StoreError: `disk_io`; as `keep`, where a mirror is dropped.
            Damage: `database`.
        """
        state = await self._read(self._load)
        for origin in state.dropped:
            await self.drop(origin)
        return state

    async def forks(self) -> list[StoredFork]:
        """Evidence, oldest first.

        Raises:
            StoreError: `disk_io`.
            Damage: `database`.
        """
        return await self._read(self._rows.forks)

    async def rosters(self) -> list[KeepRoster]:
        """Versions of the roster, ascending; raises as `forks`."""
        return await self._read(self._rows.rosters)

    async def tile(self, origin: str, level: int, n: int, width: int) -> bytes | None:
        """The first `width` hashes of a tile, None if they are not there; raises as `forks`."""
        data = await self._read(lambda: self._rows.tile(origin, level, n))
        return data[: width * HASH_BYTES] if len(data) >= width * HASH_BYTES else None

    async def entries_of(self, origin: str, first: int, count: int) -> list[bytes]:
        """Leaf data of up to `count` entries of a mirror from `first` on.

        Raises:
            StoreError: `disk_io`.
            Damage: `entry_missing`, there is a hole among them; `database`.
        """
        return await self._read(lambda: self._rows.entries(origin, first, count))

    async def walk(self, origin: str, size: int, roots: Mapping[int, bytes]) -> AsyncIterator[list[Damage]]:
        """Check the first `size` entries of a mirror, a bundle for each answer: see `mirror_walk`."""
        walk = mirror_walk(self._rows, origin, size, roots)
        while (found := await self._read(lambda: next(walk, None))) is not None:
            yield found

    def shelf(self, origin: str) -> PeerShelf:
        """Entries and tiles of a mirror, read at once: for the steps of machines, which wait for nothing.

        All shelves share one connection: use them in one thread. They see everything that was kept before.
        """
        return self._shelves.shelf(origin)

    def _load(self) -> PeerState:
        logs: dict[str, StoredLog] = {}
        dropped: list[str] = []
        for row in self._rows.logs():
            tree, tails = Frontier(), dict[int, bytes]()
            if row.tree_size:
                try:
                    tree, tails = _edge(self._rows.shelf(row.origin), row)
                except (Damage, ProofError):
                    dropped.append(row.origin)
            sound = tree.size == row.tree_size
            logs[row.origin] = StoredLog(
                row.origin,
                row.size,
                row.root,
                row.note,
                tree,
                tails,
                row.whole if sound else b"",
                row.whole_size if sound else 0,
                row.frozen,
            )
        roster = self._rows.newest_roster()
        return PeerState(
            self._rows.meta(_SETTLED) != self._home,
            roster.version if roster else 0,
            roster.raw if roster else b"",
            logs,
            self._rows.cosigned(),
            tuple(dropped),
        )

    async def _read(self, work: Callable[[], T]) -> T:
        self._open_yet()
        return await asyncio.get_running_loop().run_in_executor(self._reading, work)

    def _open_yet(self) -> None:
        if self._closed:
            raise StoreError("peers_closed", "peers.db is closed", "Try again in a few seconds.")


def _edge(shelf: PeerShelf, row: LogRow) -> tuple[Frontier, dict[int, bytes]]:
    """Right edge of a mirror, read again from its tiles and its newest entries.

    Raises:
        Damage, ProofError: it is not what was kept.
    """
    size = row.tree_size
    tree = frontier_from_tiles(shelf, size)
    first = (size - 1) // TILE_WIDTH * TILE_WIDTH
    leaves = b"".join(map(leaf_hash, shelf.entries(first, size - first)))
    if (
        (tree.size, tree.root()) != (size, row.tree_root)
        or leaves != shelf.hash_tile(0, first // TILE_WIDTH, size - first)
        or not row.whole_size <= size <= row.size
    ):
        raise Damage("mirror", f"the mirror of {row.origin} is not what was kept", where={"log": row.origin})
    return tree, {tile.level: shelf.hash_tile(tile.level, tile.n, tile.width) for tile in tails_at(size)}
