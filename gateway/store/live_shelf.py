"""Our own log's entries and tiles as committed, read at once: what gossip and witness clients make proofs of.

Unlike `Snapshot` it holds no view: every question sees the newest commit, and nothing keeps the write-ahead log from
being folded in. A question costs some tens of microseconds, so a machine's step may ask.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from gateway.store import queries, schema
from gateway.store.db import sqlite_error
from gateway.store.records import Row, entries_in_order
from gateway.store.snapshot import first_hashes


class LiveShelf:
    """A `Shelf` of gateway/core/follow.py on the store's own database; one thread.

    Args:
        path: `Layout.database`, which its writer has open.

    Raises:
        StoreError: `disk_io`.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._connection = sqlite3.connect(schema.uri(path, "ro"), uri=True, isolation_level=None)
            for pragma in schema.READER_PRAGMAS:
                self._connection.execute(pragma)
        except sqlite3.Error as error:
            raise sqlite_error(error, "the database cannot be read") from error

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def hash_tile(self, level: int, n: int, width: int) -> bytes:
        """The first `width` hashes of tile (level, n).

        Raises:
            Damage: `tile_missing`.
            StoreError: `disk_io`.
        """
        rows = self._rows(queries.TILE.sql, level, n)
        return first_hashes(queries.TILE.decode(rows[0]) if rows else b"", level, n, width)

    def entries(self, first: int, count: int) -> list[bytes]:
        """Leaf data of up to `count` entries from `first` on.

        Raises:
            Damage: `entry_missing`.
            StoreError: `disk_io`.
        """
        rows = self._rows(queries.ENTRIES.sql, first, count)
        return entries_in_order([queries.ENTRIES.decode(row) for row in rows], first)

    def _rows(self, sql: str, *args: object) -> list[Row]:
        try:
            return self._connection.execute(sql, args).fetchall()
        except sqlite3.Error as error:
            raise sqlite_error(error, "the database cannot be read") from error
