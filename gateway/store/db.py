"""The database: one transaction a cycle, and the questions of the running daemon (docs/adr/0003).

Guards three rules: a cycle is in the database whole or not at all; an error before COMMIT is known and rolled back,
one from COMMIT is not, and ends the process; reads never see a transaction that is not committed (a connection of
their own).
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

import aiosqlite

from gateway.core.records import BatchRow, LinkRecord, PartRow, Session, StreamRecord, Text, Writes
from gateway.errors import EXIT_REFUSED, Damage, Divergence, StoreError, StoreRefused
from gateway.store import queries, schema
from gateway.store.layout import FORMAT, make_database_file
from gateway.store.queries import Head, Query
from gateway.store.records import Row, Statement, entries_in_order, link_of, statements
from gateway.store.wrapping import Secrets
from gateway.tlog.merkle import EMPTY_ROOT

T = TypeVar("T")

_IOERR_FSYNC: Final = (sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC)


class Database:
    """The database of a store, open for its one writer. Made by `Database.open`."""

    def __init__(self, writer: aiosqlite.Connection, reader: aiosqlite.Connection, secrets: Secrets) -> None:
        self._writer = writer
        self._reader = reader
        self.secrets = secrets
        self._turn = asyncio.Lock()
        self._failed = False

    @classmethod
    async def open(cls, path: Path, store_key: bytes, *, create: bool = False) -> Database:
        """Open the database.

        Args:
            path: `Layout.database`.
            store_key: 32 bytes, `KeyRing.store_key`; wraps the devices' keys.
            create: make it if it is not there or unfinished; only `init` may.

        Raises:
            StoreRefused: `store_missing`, `not_ours`, `newer`, `older`.
            StoreError: `wal`, the file system cannot hold a WAL database; `disk_full`, `disk_io`, `store_busy`.
            Damage: `database`.
        """
        if create:
            make_database_file(path, "the database cannot be made")
        elif not path.exists():
            raise StoreRefused(
                "store_missing", f"{path.name} is not there", "Run `vestibule init` to make a store."
            )
        try:
            writer = await aiosqlite.connect(schema.uri(path, "rw"), uri=True, isolation_level=None)
        except sqlite3.Error as error:
            raise sqlite_error(error, "the database cannot be opened") from error
        try:
            await _set_up(writer, create)
            reader = await aiosqlite.connect(schema.uri(path, "ro"), uri=True, isolation_level=None)
        except sqlite3.Error as error:
            await writer.close()
            raise sqlite_error(error, "the database cannot be opened") from error
        except UnicodeDecodeError as error:
            # What SQLite says about a damaged schema quotes it, and Python cannot decode that.
            await writer.close()
            raise damaged("the database cannot be opened") from error
        except BaseException:
            await writer.close()
            raise
        for pragma in schema.READER_PRAGMAS:
            await reader.execute(pragma)
        return cls(writer, reader, Secrets(store_key))

    async def close(self) -> None:
        """Close both connections; the WAL is copied back into the database."""
        await self._reader.close()
        await self._writer.close()

    async def commit(self, writes: Writes) -> None:
        """Make everything in `writes` durable in ONE transaction, or nothing.

        The records are encoded before the first wait. Commits run one after another, in the order of the calls. A
        cancelled caller still waits for the end of its transaction: `CancelledError` means that it is committed.

        Raises:
            StoreError: `disk_full`, `disk_io`, `store_busy`, `row`: rolled back, nothing was written. With
                `fatal=True` (`conflict`, `commit_unknown` ...): exit, restart, re-read.
            Divergence: `head_moved`, `tile_changed`: the database is not where the writer thought; nothing was written.
        """
        work = asyncio.create_task(self._commit(statements(writes, self.secrets)), name="commit")
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            while not work.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait((work,))
            work.result()
            raise

    async def kill_links(self) -> int:
        """End every live link: the store is a restored backup, and their counters may have run on elsewhere.

        Returns:
            How many there were.

        Raises:
            StoreError: as `commit`.
        """
        live = len(await self._rows("SELECT link FROM links WHERE state = 'live'"))
        await self._commit([Statement("UPDATE links SET state = 'moved' WHERE state = ?", [("live",)])])
        return live

    async def end_links(self, idle_since_ms: int) -> None:
        """End for good what a start does not read: live links that carried nothing since then.

        Those that never belonged to a session go altogether, except that the highest number is not given again.

        Args:
            idle_since_ms: UTC.

        Raises:
            StoreError: as `commit`.
        """
        end = "UPDATE links SET state = 'ended', hello = x'', welcome = x'' WHERE state = 'live' AND fresh_ms < ?"
        drop = (
            "DELETE FROM links WHERE session = x'' AND fresh_ms < ? AND link < (SELECT max(link) FROM links)"
        )
        await self._commit([Statement(sql, [(idle_since_ms,)]) for sql in (end, drop)])

    async def set_meta(self, key: str, value: str) -> None:
        """Write down a fact about the store itself (origin, time of making); for `init` and `migrate`.

        Raises:
            StoreError: as `commit`.
        """
        await self._commit([Statement("INSERT OR REPLACE INTO meta VALUES (?, ?)", [(key, value)])])

    async def head(self) -> Head:
        """The head of our log as committed; the mark says whether it may be signed."""
        head = await self._one(queries.HEAD)
        if head is None:
            raise Damage("head_missing", "the database has no head of the log")
        return head

    async def meta(self, key: str) -> str | None:
        """A fact about the store itself."""
        return await self._one(queries.META, key)

    async def entry(self, index: int) -> bytes | None:
        """Leaf data of an entry."""
        return await self._one(queries.ENTRY, index)

    async def entries(self, first: int, count: int) -> list[bytes]:
        """Leaf data of up to `count` entries from `first` on; fewer at the end of the log.

        Raises:
            Damage: `entry_missing`.
        """
        return entries_in_order(await self._all(queries.ENTRIES, first, count), first)

    async def tile(self, level: int, n: int) -> bytes | None:
        """The whole row of a tile, as wide as it has grown; a partial tile of any earlier size is a slice."""
        return await self._one(queries.TILE, level, n)

    async def batch(self, number: int) -> BatchRow | None:
        """A batch by its number."""
        return await self._one(queries.BATCH, number)

    async def last_batch(self) -> BatchRow | None:
        """The newest batch whose parts are here."""
        return await self._one(queries.LAST_BATCH)

    async def parts_of(self, batch: int) -> list[PartRow]:
        """The parts of a batch, in the order of its tree."""
        return await self._all(queries.PARTS_OF, batch)

    async def parts_of_session(self, session: bytes) -> list[PartRow]:
        """The parts of a session, in the order they were sealed."""
        return await self._all(queries.PARTS_OF_SESSION, session)

    async def session(self, session: bytes) -> Session | None:
        """A session, whatever its state."""
        return await self._one(queries.SESSION, session)

    async def session_rows(self, *, all: bool = False) -> list[Session]:
        """Sessions in the order they were opened; without `all` only those that are not closed."""
        return await self._all(queries.ALL_SESSIONS if all else queries.SESSIONS)

    async def streams_of(self, session: bytes) -> list[StreamRecord]:
        """The accounting of a session, whatever its state."""
        return await self._all(queries.STREAMS_OF, session)

    async def link(self, number: int) -> LinkRecord | None:
        """A link, whatever its state: for the RESET that answers a packet of an ended one."""
        rows = await self._rows(queries.LINK_SQL, number)
        return link_of(rows[0], self.secrets) if rows else None

    async def text(self, commit: bytes) -> Text | None:
        """The sealed text behind a commitment."""
        return await self._one(queries.TEXT, commit)

    async def texts_of(self, subject: bytes) -> list[Text]:
        """The sealed texts of a subject."""
        return await self._all(queries.TEXTS_OF, subject)

    async def vault_tail(self) -> tuple[int, int]:
        """(segment, offset) behind the last part that a row names: where the vault is cut at a start."""
        return await self._one(queries.VAULT_TAIL) or queries.EMPTY_TAIL

    async def ask(self, query: Query[T], *args: object) -> list[T]:
        """Any question of `queries`."""
        return await self._all(query, *args)

    async def rows(self, sql: str, *args: object) -> Sequence[Row]:
        """Rows that only who has the store's key can decode (`queries.*_SQL`)."""
        return await self._rows(sql, *args)

    async def _one(self, query: Query[T], *args: object) -> T | None:
        rows = await self._rows(query.sql, *args)
        return query.decode(rows[0]) if rows else None

    async def _all(self, query: Query[T], *args: object) -> list[T]:
        return [query.decode(row) for row in await self._rows(query.sql, *args)]

    async def _rows(self, sql: str, *args: object) -> Sequence[Row]:
        try:
            return [tuple(row) for row in await self._reader.execute_fetchall(sql, args)]
        except sqlite3.Error as error:
            raise sqlite_error(error, "the database cannot be read") from error
        except UnicodeDecodeError as error:
            raise damaged("the database cannot be read") from error

    async def _commit(self, work: list[Statement]) -> None:
        async with self._turn:
            if self._failed:
                raise StoreError(
                    "commit_unknown", "a commit failed before with an unknown outcome", "Restart.", fatal=True
                )
            try:
                await self._writer.execute("BEGIN IMMEDIATE")
                for statement in work:
                    cursor = await self._writer.executemany(statement.sql, statement.rows)
                    if statement.exact and cursor.rowcount != len(statement.rows):
                        raise _diverged(statement.exact)
            except (sqlite3.Error, OverflowError, Divergence) as error:
                await self._roll_back(error)
                if isinstance(error, OverflowError):
                    raise StoreError("row", "a number is too large for its column") from error
                if isinstance(error, sqlite3.Error):
                    raise sqlite_error(error, "the database cannot be written") from error
                raise
            try:
                await self._writer.execute("COMMIT")
            except sqlite3.Error as error:
                # Seen both ways: after a failed COMMIT the rows were there in one run and gone in another
                # (docs/adr/0003). Not even a rollback may be tried: it would only hide which.
                self._failed = True
                raise sqlite_error(error, "the outcome of a commit is unknown", fatal=True) from error

    async def _roll_back(self, cause: Exception) -> None:
        try:
            if self._writer.in_transaction:
                await self._writer.execute("ROLLBACK")
        except sqlite3.Error:
            self._failed = True
            raise StoreError(
                "rollback_failed", "a failed transaction cannot be rolled back", "Restart.", fatal=True
            ) from cause


def sqlite_error(error: sqlite3.Error, what: str, *, fatal: bool = False) -> StoreError | Damage:
    """The error of ours that stands for one of SQLite.

    Args:
        error: what SQLite said.
        what: what could not be done.
        fatal: whether the outcome is unknown; errors of fsync are fatal in any case.
    """
    if not fatal and isinstance(error, sqlite3.OperationalError) and not hasattr(error, "sqlite_errorcode"):
        # Not SQLite's word but Python's: the bytes of a text are not UTF-8, and nobody wrote such a text.
        return damaged(what)
    extended = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    match extended & 0xFF:
        case sqlite3.SQLITE_FULL:
            return StoreError(
                "disk_full",
                f"{what}: the disk is full",
                "Free some space; recording resumes by itself.",
                fatal=fatal,
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreError("store_busy", f"{what}: another process holds it", "Try again.", fatal=fatal)
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            if fatal:
                return StoreError(
                    "database", f"{what}: the file is damaged", "Run `vestibule fsck`.", fatal=True
                )
            return damaged(what)
        case sqlite3.SQLITE_CONSTRAINT:
            return StoreError(
                "conflict",
                f"{what}: what is written once was there already",
                "Restart; then `vestibule fsck`.",
                fatal=True,
            )
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_READONLY if not fatal:
            name = getattr(error, "sqlite_errorname", "SQLITE_CANTOPEN")
            refused = StoreError(
                "disk_io",
                f"{what}: {name}",
                "This user needs to read and write the files of the data directory, and to make new ones in it: look "
                "at their owner and mode, and whether the disk is read-only.",
            )
            refused.exit_code = EXIT_REFUSED
            return refused
        case _:
            name = getattr(error, "sqlite_errorname", "SQLITE_ERROR")
            fatal = fatal or extended in _IOERR_FSYNC
            return StoreError("disk_io", f"{what}: {name}", "Check the disk (`dmesg`, SMART).", fatal=fatal)


def damaged(what: str) -> Damage:
    """The fault of a database file whose bytes cannot be what was written.

    Args:
        what: what could not be done.
    """
    return Damage("database", f"{what}: the file is damaged", "Run `vestibule fsck`.")


def _diverged(code: str) -> Divergence:
    return Divergence(
        code,
        "the log in the database is not where its writer left it",
        "Stop; run `vestibule fsck`. Nothing was signed.",
    )


async def _set_up(connection: aiosqlite.Connection, create: bool) -> None:
    for pragma in schema.READER_PRAGMAS:
        await connection.execute(pragma)
    application_id = await _number(connection, "PRAGMA application_id")
    version = await _number(connection, "PRAGMA user_version")
    unfinished = create and not await _number(connection, "SELECT count(*) FROM sqlite_schema")
    if not unfinished:
        # Before anything is set: a newer store is left exactly as it is.
        schema.check_format(application_id, version)
    if await _text(connection, "PRAGMA journal_mode=WAL") != "wal":
        raise StoreError(
            "wal",
            "the file system cannot hold a database with a write-ahead log",
            "Put the store on a local disk.",
        )
    for pragma in schema.WRITER_PRAGMAS:
        await connection.execute(pragma)
    if unfinished:
        await connection.executescript(
            f"BEGIN IMMEDIATE; {schema.TABLES}"
            f"INSERT INTO head VALUES (1, 0, x'{EMPTY_ROOT.hex()}');"
            f"PRAGMA application_id={schema.APPLICATION_ID}; PRAGMA user_version={FORMAT}; COMMIT;"
        )


async def _number(connection: aiosqlite.Connection, sql: str) -> int:
    for row in await connection.execute_fetchall(sql):
        return int(row[0])
    return 0


async def _text(connection: aiosqlite.Connection, sql: str) -> str:
    for row in await connection.execute_fetchall(sql):
        return str(row[0])
    return ""
