"""A consistent, read-only view of the database beside the running daemon: verify, fsck, ledger export, prove --batch.

It needs no key and can open nothing that is sealed, and no right to write: an auditor may have the store on a medium
that is read-only. While it is held the write-ahead log grows: close it soon.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar

from gateway.core.records import BatchRow, PartRow, Session, StreamRecord, Text
from gateway.errors import Damage, StoreRefused
from gateway.ids import DeviceId, RunId, SessionId
from gateway.store import queries, schema
from gateway.store.db import sqlite_error
from gateway.store.queries import Head, Query
from gateway.store.records import Row, entries_in_order

T = TypeVar("T")

HASH_BYTES: Final = 32
READ_ROWS: Final = 256  # rows in memory at once while iterating


class Snapshot:
    """The database as of one commit; a context manager. Also a `TileReader` of gateway/tlog/tiles.py.

    Args:
        path: `Layout.database`.

    Raises:
        StoreRefused: `store_missing`, `not_ours`, `newer`, `older`; `wal_unreadable`, the database has a write-ahead
            log, and the directory cannot be written.
        StoreError: `disk_io`, `store_busy`.
        Damage: `database`.
    """

    def __init__(self, path: Path) -> None:
        self._connection = open_view(path, _begin)

    def close(self) -> None:
        """Let go of the view."""
        self._connection.close()

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def head(self) -> Head:
        """The head of our log.

        Raises:
            Damage: `head_missing`.
        """
        head = self._one(queries.HEAD)
        if head is None:
            raise Damage("head_missing", "the database has no head of the log")
        return head

    def meta(self, key: str) -> str | None:
        """A fact about the store itself."""
        return self._one(queries.META, key)

    def hash_tile(self, level: int, n: int, width: int) -> bytes:
        """The first `width` hashes of tile (level, n).

        Raises:
            Damage: `tile_missing`, the row is not there or not as wide.
        """
        return first_hashes(self._one(queries.TILE, level, n) or b"", level, n, width)

    def tile(self, level: int, n: int) -> bytes | None:
        """The whole row of a tile."""
        return self._one(queries.TILE, level, n)

    def entry(self, index: int) -> bytes | None:
        """Leaf data of an entry."""
        return self._one(queries.ENTRY, index)

    def entries(self, first: int, count: int) -> list[bytes]:
        """Leaf data of up to `count` entries from `first` on.

        Raises:
            Damage: `entry_missing`.
        """
        return entries_in_order(self._each(queries.ENTRIES, first, count), first)

    def batch(self, number: int) -> BatchRow | None:
        """A batch by its number."""
        return self._one(queries.BATCH, number)

    def last_batch(self) -> BatchRow | None:
        """The newest batch whose parts are here."""
        return self._one(queries.LAST_BATCH)

    def parts_of(self, batch: int) -> list[PartRow]:
        """The parts of a batch, in the order of its tree."""
        return list(self._each(queries.PARTS_OF, batch))

    def parts_of_session(self, session: bytes) -> list[PartRow]:
        """The parts of a session, in the order they were sealed."""
        return list(self._each(queries.PARTS_OF_SESSION, session))

    def session(self, session: bytes) -> Session | None:
        """A session, whatever its state."""
        return self._one(queries.SESSION, session)

    def device_rows(self) -> list[Row]:
        """Rows of all devices, whose keys are wrapped: for who has the store's key."""
        return list(self._each(Query(queries.DEVICES_SQL, lambda row: row)))

    def session_rows(self, *, all: bool = False) -> list[Session]:
        """Sessions in the order they were opened; without `all` only those that are not closed."""
        return list(self._each(queries.ALL_SESSIONS if all else queries.SESSIONS))

    def streams_of(self, session: bytes) -> list[StreamRecord]:
        """The accounting of a session."""
        return list(self._each(queries.STREAMS_OF, session))

    def text(self, commit: bytes) -> Text | None:
        """The sealed text behind a commitment."""
        return self._one(queries.TEXT, commit)

    def link_owners(self) -> dict[int, tuple[SessionId, DeviceId, RunId]]:
        """Number of each link -> the session, device and run that it belongs to."""
        return dict(self._each(queries.LINK_OWNERS))

    def vault_tail(self) -> tuple[int, int]:
        """(segment, offset) behind the last part that a row names."""
        return self._one(queries.VAULT_TAIL) or queries.EMPTY_TAIL

    def iter_entries(self) -> Iterator[tuple[int, bytes]]:
        """(index, leaf data) of all entries, ascending; holes are the caller's to see."""
        return self._each(queries.ALL_ENTRIES)

    def entries_with(self, part: bytes) -> list[tuple[int, bytes]]:
        """(index, leaf data) of the entries that hold these bytes, ascending."""
        return list(self._each(queries.ENTRIES_WITH, part))

    def iter_tiles(self) -> Iterator[tuple[int, int, bytes]]:
        """(level, n, data) of all rows of tiles."""
        return self._each(queries.ALL_TILES)

    def iter_batches(self) -> Iterator[BatchRow]:
        """All batches, ascending."""
        return self._each(queries.ALL_BATCHES)

    def iter_parts(self) -> Iterator[PartRow]:
        """All parts, by batch and part: the order in which they lie in the vault."""
        return self._each(queries.ALL_PARTS)

    def iter_streams(self) -> Iterator[StreamRecord]:
        """The accounting of all streams, by session."""
        return self._each(queries.ALL_STREAMS)

    def integrity(self) -> list[str]:
        """What SQLite itself finds wrong with the file; empty if nothing."""
        found = self._each(Query("PRAGMA integrity_check(100)", lambda row: str(row[0])))
        return [line for line in found if line != "ok"]

    def odd_schema(self) -> list[str]:
        """Names of tables, indexes and triggers that are not defined as this release defines them; empty if none."""
        return odd_definitions(self._each(DEFINITIONS), schema.TABLES)

    def _one(self, query: Query[T], *args: object) -> T | None:
        return next(self._each(query, *args), None)

    def _each(self, query: Query[T], *args: object) -> Iterator[T]:
        try:
            cursor = self._connection.execute(query.sql, args)
            while rows := cursor.fetchmany(READ_ROWS):
                yield from map(query.decode, rows)
        except sqlite3.Error as error:
            raise sqlite_error(error, "the database cannot be read") from error
        except UnicodeDecodeError as error:
            raise _damaged() from error


_NEEDS_FILES: Final = frozenset((sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM))
"""What SQLite answers where it cannot make, or may not open, the files beside a database (sqlite.org/wal.html)."""


def open_view(path: Path, begin: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
    """A connection that reads one view of a database, also where nothing can be written.

    Args:
        path: of the database.
        begin: sets the connection up, checks what it is, and begins the transaction with a first read.

    Raises:
        StoreRefused: `store_missing`, `wal_unreadable`, and what `begin` refuses.
        StoreError: `disk_io`, `store_busy`.
        Damage: `database`.
    """
    if not path.exists():
        raise StoreRefused("store_missing", f"{path.name} is not there", "Check `--data-dir`.")
    try:
        try:
            return _begun(path, begin)
        except sqlite3.OperationalError as error:
            # SQLite makes the index of a write-ahead log beside the database, even to read it.
            if _code(error) not in _NEEDS_FILES or os.access(path.parent, os.W_OK):
                raise
            if _has_log(path):
                raise StoreRefused(
                    "wal_unreadable",
                    f"{path.name} has a write-ahead log, which cannot be read where nothing can be written",
                    f"Give this user the right to write in {path.parent}, copy the whole data directory to where "
                    "it may, or start and stop the gateway once: that folds the log in.",
                ) from error
            # Nobody has it open, or its log and the log's index would be there: the file is all there is.
            return _begun(path, begin, "&immutable=1")
    except sqlite3.Error as error:
        raise sqlite_error(error, "the database cannot be read") from error
    except UnicodeDecodeError as error:
        raise _damaged() from error


def odd_definitions(definitions: Iterable[tuple[str, str, str]], tables: str) -> list[str]:
    """Names of tables, indexes and triggers that are not as they should be.

    Args:
        definitions: what stands in the database, as `DEFINITIONS` asks for it.
        tables: the statements that make all that should.
    """
    with closing(sqlite3.connect(":memory:")) as fresh:
        fresh.executescript(tables)
        expected = set(map(DEFINITIONS.decode, fresh.execute(DEFINITIONS.sql)))
    return sorted({name for _, name, _ in expected ^ set(definitions)})


def _begun(path: Path, begin: Callable[[sqlite3.Connection], None], more: str = "") -> sqlite3.Connection:
    connection = sqlite3.connect(schema.uri(path, "ro") + more, uri=True, isolation_level=None)
    try:
        begin(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _begin(connection: sqlite3.Connection) -> None:
    for pragma in schema.READER_PRAGMAS:
        connection.execute(pragma)
    connection.execute("BEGIN")
    # The first read is what takes the snapshot.
    application_id, version = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    schema.check_format(application_id, version)
    connection.execute(queries.HEAD.sql).fetchone()


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _has_log(path: Path) -> bool:
    try:
        return path.with_name(path.name + "-wal").stat().st_size > 0
    except FileNotFoundError:
        return False


def _definition(row: Row) -> tuple[str, str, str]:
    kind, name, sql = row
    return str(kind), str(name), " ".join(str(sql).split())


DEFINITIONS: Final = Query("SELECT type, name, sql FROM sqlite_schema", _definition)


def first_hashes(row: bytes, level: int, n: int, width: int) -> bytes:
    """The first `width` hashes of a row of tiles.

    Args:
        row: of tile (level, n), as the database has it; empty where it has none.
        level, n: which tile.
        width: 1..256.

    Raises:
        Damage: `tile_missing`, it is not as wide.
    """
    if len(row) < width * HASH_BYTES:
        raise Damage(
            "tile_missing",
            f"tile {level}/{n} of the database is narrower than the log needs",
            "Run `vestibule fsck`.",
            where={"level": level, "tile": n},
        )
    return row[: width * HASH_BYTES]


def _damaged() -> Damage:
    # What SQLite says about a damaged schema quotes it, and Python cannot decode that.
    return Damage("database", "the database cannot be read: the file is damaged", "Run `vestibule fsck`.")
