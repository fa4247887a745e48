"""A start: lock, read, compare with the mark, read the tail again from its bytes, and only then go on (docs/adr/0003).

Whatever the last run left is judged here, in the same order in which a cycle writes it. A refused store is left as it
is: nothing cut, nothing signed, no packet sent.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.core.handshake import Names
from gateway.core.records import BatchRow, PartRow, Writes
from gateway.errors import ConfigError, Damage, StoreRefused
from gateway.store import unfinished
from gateway.store.db import Database
from gateway.store.disk import RealDisk
from gateway.store.keyfiles import KeyRing, load_keys
from gateway.store.layout import Layout, disk_error, fsync_dir
from gateway.store.load import LoadedState, load_state
from gateway.store.lock import StoreLock
from gateway.store.mark import Mark, MarkValue
from gateway.store.queries import Head
from gateway.store.snapshot import Snapshot
from gateway.store.subjects import Subjects
from gateway.store.vault import Vault
from gateway.tlog import merkle
from gateway.tlog.checkpoint import origin_hash
from gateway.tlog.tiles import TILE_WIDTH, TileReader, frontier_from_tiles, root_from_tiles, tails_at

BOOT_MAX = 0xFFFF


@dataclass(slots=True)
class Store:
    """An accepted store, open for its one writer.

    Args:
        layout, keys, subjects, db, vault, mark, disk: its parts.
        state: what the database says.
        frontier, tails: right edge of the log's tree.
        boot: number of this start, committed already.
        cut_bytes: bytes of a torn tail that were cut off.
        mark_advanced: whether the mark was behind the database, as after a crash between the two.
    """

    layout: Layout
    lock: StoreLock
    keys: KeyRing
    subjects: Subjects
    db: Database
    vault: Vault
    mark: Mark
    disk: RealDisk
    state: LoadedState
    frontier: merkle.Frontier
    tails: dict[int, bytes]
    boot: int
    cut_bytes: int
    mark_advanced: bool

    async def close(self) -> None:
        """Close everything, the lock last."""
        await self.disk.close()
        self.subjects.close()
        self.lock.release()


async def open_store(layout: Layout, link_keep_s: int = 604_800, *, rotating: bool = False) -> Store:
    """Open a store for writing, or refuse it.

    Args:
        layout: of the store.
        link_keep_s: links that were idle for longer are ended.
        rotating: for who finishes a rotation of the entry key; nobody else knows which of two signs.

    Raises:
        StoreError: `locked` when another process has it.
        StoreRefused: unfinished, moved, rolled back, or of another format.
        ConfigError: `rotation_unfinished`, `key rotate entry` was interrupted; as `load_keys`.
        Damage: the tail does not verify.
    """
    if not layout.database.exists():
        raise StoreRefused(
            "store_missing",
            "there is no store in the data directory",
            "Make one with `vestibule init`, or name another directory with --data-dir.",
        )
    lock = StoreLock(layout.lock)
    try:
        return await _open_locked(layout, lock, int(time.time() - link_keep_s) * 1000, rotating)
    except BaseException:
        lock.release()
        raise


def keys_to_sign(layout: Layout, *, rotating: bool = False) -> KeyRing:
    """The keys of a store on which nothing is under way: before anything is signed.

    Raises:
        StoreRefused: `unfinished`.
        ConfigError: `rotation_unfinished`; as `load_keys`.
    """
    unfinished.refuse(layout)
    keys = load_keys(layout)
    if keys.next_entry is not None and not rotating:
        raise ConfigError(
            "rotation_unfinished",
            "a rotation of the entry key was interrupted, and only the log says which of the two keys signs",
            "Run `vestibule key rotate entry` again: it finishes that.",
        )
    return keys


async def _open_locked(layout: Layout, lock: StoreLock, kept_since_ms: int, rotating: bool) -> Store:
    keys = keys_to_sign(layout, rotating=rotating)
    mark = Mark.open(layout.mark)
    db: Database | None = None
    try:
        moved = mark.made_here()
        if moved:
            raise StoreRefused(
                "moved",
                f"this store was made elsewhere ({moved} differs): it was copied or moved",
                "If the old copy will never run again, take this one over with `vestibule ledger adopt`.",
            )
        vault = Vault.open(layout.vault, bytes.fromhex(origin_hash(keys.origin)))
        frontier, tails, advanced = await asyncio.to_thread(judge_files, layout, mark, vault)
        # Only now for writing: whoever does that folds the write-ahead log in, and a refused store stays as it is.
        db = await Database.open(layout.database, keys.store_key)
        # Before it is read: a link that this start passes over must not come back to life at another.
        await db.end_links(kept_since_ms)
        state = await load_state(db, kept_since_ms)
        size_before = _vault_bytes(layout)
        vault.cut(*state.vault_tail)
        boot = max(state.boot, mark.value.boot) + 1
        if boot > BOOT_MAX:
            raise StoreRefused(
                "boot", "the store was started 65,535 times", "Begin a new one with `vestibule init`."
            )
        await db.commit(Writes(boot=boot))
        # SQLite does this too, and overlooks its failure: a write-ahead log without a name would be lost as a whole.
        await asyncio.to_thread(_sync_names, layout)
        mark.advance(state.head.size, state.head.root, boot)
        return Store(
            layout,
            lock,
            keys,
            Subjects(layout.subjects, keys.master, keys.old_master),
            db,
            vault,
            mark,
            RealDisk(db, vault, mark),
            state,
            frontier,
            tails,
            boot,
            size_before - _vault_bytes(layout),
            advanced,
        )
    except BaseException:
        if db is not None:
            await db.close()
        mark.close()
        raise


class Tail(TileReader, Protocol):
    """What the judgement of a start reads; the database's snapshot, or a twin in memory."""

    def head(self) -> Head:
        """Head of the log as committed."""

    def entries(self, first: int, count: int) -> list[bytes]:
        """Leaf data."""

    def last_batch(self) -> BatchRow | None:
        """The newest batch whose parts are here."""

    def parts_of(self, batch: int) -> list[PartRow]:
        """Its parts in order."""


def judge_files(layout: Layout, mark: Mark, vault: Vault) -> tuple[merkle.Frontier, dict[int, bytes], bool]:
    """`judge`, of the files of a store."""
    with Snapshot(layout.database) as snapshot:
        return judge(snapshot, mark.value, lambda row: vault.read_row(row)[0])


def judge(
    tail: Tail, mark: MarkValue, header_of: Callable[[PartRow], bytes]
) -> tuple[merkle.Frontier, dict[int, bytes], bool]:
    """Compare database and mark, and read the tail again: the newest entries and the newest batch, from the bytes.

    Args:
        tail: one consistent view of the database.
        mark: what was last signed.
        header_of: reads a part's header from the vault.

    Returns:
        The frontier, the tails of the tile rows, and whether the database is ahead of the mark.

    Raises:
        StoreRefused: `rolled_back`, `forked`.
        Damage: what the tail says does not hold.
    """
    head = tail.head()
    if head.size < mark.size:
        raise StoreRefused(
            "rolled_back",
            f"the database has {head.size} entries, but {mark.size} were signed: it is an old copy",
            "Get the lost entries back from peers with `vestibule ledger catch-up`. If nobody has them, begin a new "
            "log with `vestibule ledger new-generation`.",
        )
    frontier = frontier_from_tiles(tail, head.size)
    if frontier.root() != head.root:
        raise Damage(
            "root", "the tiles do not have the root that the database names", where={"size": head.size}
        )
    if root_from_tiles(tail, mark.size) != mark.root:
        raise StoreRefused(
            "forked",
            f"at {mark.size} entries another root was signed than the one in the database",
            "Keep both as evidence: this log must not sign again. Begin a new one with `vestibule ledger "
            "new-generation`.",
        )
    tails = {tile.level: tail.hash_tile(tile.level, tile.n, tile.width) for tile in tails_at(head.size)}
    first = (head.size - 1) // TILE_WIDTH * TILE_WIDTH if head.size else 0
    entries = tail.entries(first, head.size - first)
    if len(entries) != head.size - first:
        raise Damage("entries", "entries of the newest bundle are gone", where={"entry": first})
    hashes = tail.hash_tile(0, first // TILE_WIDTH, len(entries)) if entries else b""
    for at, data in enumerate(entries):
        if merkle.leaf_hash(data) != hashes[32 * at : 32 * at + 32]:
            raise Damage("entry", f"entry {first + at} is not what was signed", where={"entry": first + at})
    batch = tail.last_batch()
    if batch is not None:
        headers = [merkle.leaf_hash(header_of(row)) for row in tail.parts_of(batch.batch)]
        if merkle.root_of(headers) != batch.root:
            raise Damage("batch", f"batch {batch.batch} does not have its root", where={"batch": batch.batch})
    return frontier, tails, head.size > mark.size


def _sync_names(layout: Layout) -> None:
    try:
        fsync_dir(layout.data_dir)
    except OSError as error:
        raise disk_error(
            error, "the names in the data directory cannot be made durable", fatal=True
        ) from error


def _vault_bytes(layout: Layout) -> int:
    return sum(path.stat().st_size for path in layout.vault.glob("*.seg"))


def names_of(gateway: str) -> Names:
    """The gateway's names on the wire; its home is its own name until gateways share a device table."""
    return Names(gateway=gateway, home=gateway)


random_bytes = os.urandom
