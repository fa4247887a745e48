"""What the commit cycle needs of a disk, and the real one: vault, database and mark behind one thread.

The order of a cycle is the caller's (docs/adr/0003): append, sync, commit, advance.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from gateway.core.records import Writes
from gateway.errors import Damage, StoreError
from gateway.store.db import Database
from gateway.store.mark import Mark
from gateway.store.vault import Location, Vault

T = TypeVar("T")


class Disk(Protocol):
    """Where a cycle becomes durable. An in-memory twin stands in for it in simulations."""

    async def append(self, batch: int, parts: Sequence[tuple[bytes, bytes]]) -> list[Location]:
        """Append (header, sealed payload) of parts 0, 1, 2 ... of a batch; durable only after `sync`.

        Raises:
            StoreError: nothing was appended; with `fatal=True` the outcome is unknown.
        """
        ...

    async def sync(self) -> None:
        """Make what was appended durable.

        Raises:
            StoreError: with `fatal=True`.
        """
        ...

    async def commit(self, writes: Writes) -> None:
        """Make all of `writes` durable in one transaction, or nothing.

        Raises:
            StoreError: nothing was written; with `fatal=True` the outcome is unknown.
            Divergence: the head or a tile is not where the writer thought; nothing was written.
        """
        ...

    async def advance(self, size: int, root: bytes, boot: int) -> None:
        """Move the mark; only then may the checkpoint be signed.

        Raises:
            StoreError: with `fatal=True`.
            Divergence: `mark_behind`.
        """
        ...

    async def discard_appended(self) -> None:
        """Take back what was appended since the last commit: its cycle was given up.

        Raises:
            StoreError: with `fatal=True`.
        """
        ...

    def free_bytes(self) -> int:
        """Room that is left.

        Raises:
            StoreError: `disk_io`.
        """
        ...


class RealDisk:
    """A `Disk` on a store. One cycle at a time.

    Args:
        db: open database.
        vault: open, and cut to what the database names.
        mark: open.
    """

    def __init__(self, db: Database, vault: Vault, mark: Mark) -> None:
        self._db = db
        self._vault = vault
        self._mark = mark
        self._settled = vault.tail
        # One thread, so that even a cancelled caller's work is done before the next begins.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="disk")

    async def append(self, batch: int, parts: Sequence[tuple[bytes, bytes]]) -> list[Location]:
        """See `Disk`."""
        return await self._run(lambda: self._vault.append(batch, parts))

    async def sync(self) -> None:
        """See `Disk`."""
        await self._run(self._vault.sync)

    async def commit(self, writes: Writes) -> None:
        """See `Disk`."""
        # A commit without parts may run while the parts of a cycle are appended: those are not settled by it.
        settled = self._vault.tail if writes.parts else self._settled
        try:
            await self._db.commit(writes)
        except asyncio.CancelledError:
            # It is committed (see `Database.commit`), and must never be cut off.
            self._settled = settled
            raise
        self._settled = settled

    async def advance(self, size: int, root: bytes, boot: int) -> None:
        """See `Disk`."""
        await self._run(lambda: self._mark.advance(size, root, boot))

    async def discard_appended(self) -> None:
        """See `Disk`."""
        await self._run(self._discard)

    def free_bytes(self) -> int:
        """See `Disk`."""
        return self._vault.free_bytes()

    async def close(self) -> None:
        """Close vault, mark and database, in this order."""
        await self._run(self._vault.close)
        await self._run(self._mark.close)
        self._thread.shutdown()
        await self._db.close()

    def _discard(self) -> None:
        if self._vault.tail == self._settled:
            return
        try:
            self._vault.cut(*self._settled)
        except (StoreError, Damage) as error:
            raise StoreError(
                "vault_uncut", "what was appended cannot be taken back", "Restart.", fatal=True
            ) from error

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
