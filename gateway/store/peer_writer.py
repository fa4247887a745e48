"""The one writer of peers.db: each call is one transaction, which is durable, or left nothing, when it returns.

What is there is never changed: a head moves on by compare and set, entries and tiles grow, evidence and rosters stay.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gateway.core.follow import Keep, KeepCosigned, KeepEntries, KeepFork, KeepHead, KeepRoster
from gateway.errors import Divergence, StoreError
from gateway.store.db import sqlite_error
from gateway.store.records import Row
from gateway.tlog.fork import fork_id
from gateway.tlog.merkle import EMPTY_ROOT

_ADD_LOG: Final = "INSERT OR IGNORE INTO logs VALUES (NULL, ?, 0, ?, x'', 0, ?, x'', 0)"
_LOG: Final = "SELECT log FROM logs WHERE origin = ?"
_MOVE_HEAD: Final = """
UPDATE logs SET size = ?, root = ?, note = ?
WHERE log = ? AND size = ? AND (size < ? OR size = ? AND root = ?)
"""
_MOVE_TREE: Final = "UPDATE logs SET tree_size = ?, tree_root = ? WHERE log = ? AND tree_size = ?"
_SET_WHOLE: Final = "UPDATE logs SET whole = ?, whole_size = ? WHERE log = ?"
_NO_TREE: Final = "UPDATE logs SET tree_size = 0, tree_root = ?, whole = x'', whole_size = 0 WHERE log = ?"
_ADD_ENTRY: Final = "INSERT INTO entries VALUES (?, ?, ?)"
_GROW_TILE: Final = """
INSERT INTO tiles VALUES (?, ?, ?, ?)
ON CONFLICT (log, level, n) DO UPDATE SET data = excluded.data
WHERE substr(excluded.data, 1, length(tiles.data)) = tiles.data
"""
_ADD_FORK: Final = "INSERT OR IGNORE INTO forks VALUES (NULL, ?, ?, ?, ?)"
_ADD_ROSTER: Final = "INSERT OR IGNORE INTO rosters VALUES (?, ?)"
_SET_COSIGNED: Final = "INSERT OR REPLACE INTO cosigned VALUES (1, ?, ?, ?)"
_SET_META: Final = "INSERT OR REPLACE INTO meta VALUES (?, ?)"


class PeerWriter:
    """Blocking; one call at a time.

    Args:
        connection: for writing, set up.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._failed = False
        self._logs: dict[str, int] = {}
        """Origin -> its row."""

    def keep(self, items: Sequence[Keep], encoded: Mapping[int, bytes]) -> None:
        """See `PeerStore.keep`.

        Args:
            items: in this order.
            encoded: `id` of each KeepFork -> its evidence, encoded.
        """

        def work() -> None:
            for item in items:
                match item:
                    case KeepHead():
                        log, head = self._log(item.origin), (item.size, item.root)
                        row = (*head, item.note, log, item.old_size, item.size, *head)
                        self._exactly(1, "peer_head", _MOVE_HEAD, [row])
                    case KeepEntries():
                        self._keep_entries(item)
                    case KeepFork():
                        data = encoded[id(item)]
                        self._log(item.origin)
                        self._one(_ADD_FORK, fork_id(item.fork), item.origin, data, item.seen_ms)
                    case KeepRoster():
                        self._one(_ADD_ROSTER, item.version, item.raw)
                    case KeepCosigned():
                        self._one(_SET_COSIGNED, item.size, item.note, item.at_ms)

        self._transaction(work)

    def _keep_entries(self, item: KeepEntries) -> None:
        log = self._log(item.origin)
        if item.size != item.first + len(item.entries):
            raise _diverged("mirror_moved")
        self._exactly(1, "mirror_moved", _MOVE_TREE, [(item.size, item.root, log, item.first)])
        self.connection.executemany(
            _ADD_ENTRY, [(log, at, data) for at, data in enumerate(item.entries, item.first)]
        )
        tiles = [(log, tile.level, tile.n, tile.data) for tile in item.tiles]
        self._exactly(len(tiles), "mirror_tile", _GROW_TILE, tiles)
        if item.whole:
            self._one(_SET_WHOLE, item.whole, item.size, log)

    def drop(self, origin: str) -> None:
        """See `PeerStore.drop`."""

        def work() -> None:
            log = self._log(origin)
            self._one("DELETE FROM entries WHERE log = ?", log)
            self._one("DELETE FROM tiles WHERE log = ?", log)
            self._one(_NO_TREE, EMPTY_ROOT, log)

        self._transaction(work)

    def drop_rosters(self) -> None:
        """See `PeerStore.drop_rosters`."""
        self._transaction(lambda: self._one("DELETE FROM rosters"))

    def set_meta(self, key: str, value: str) -> None:
        """See `PeerStore.set_meta`."""
        self._transaction(lambda: self._one(_SET_META, key, value))

    def _log(self, origin: str) -> int:
        if (log := self._logs.get(origin)) is None:
            self._one(_ADD_LOG, origin, EMPTY_ROOT, EMPTY_ROOT)
            log = self._logs[origin] = int(self.connection.execute(_LOG, (origin,)).fetchone()[0])
        return log

    def _one(self, sql: str, *args: object) -> None:
        self.connection.execute(sql, args)

    def _exactly(self, count: int, code: str, sql: str, rows: list[Row]) -> None:
        # of no rows SQLite counts -1
        if rows and self.connection.executemany(sql, rows).rowcount != count:
            raise _diverged(code)

    def _transaction(self, work: Callable[[], None]) -> None:
        if self._failed:
            raise StoreError(
                "commit_unknown", "a commit failed before with an unknown outcome", "Restart.", fatal=True
            )
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            work()
        except (sqlite3.Error, OverflowError, Divergence) as error:
            self._roll_back(error)
            if isinstance(error, OverflowError):
                raise StoreError("row", "a number is too large for its column") from error
            if isinstance(error, sqlite3.Error):
                raise sqlite_error(error, "peers.db cannot be written") from error
            raise
        try:
            self.connection.execute("COMMIT")
        except sqlite3.Error as error:
            # As of the store itself: not even a rollback may be tried, it would only hide which (docs/adr/0003).
            self._failed = True
            raise sqlite_error(error, "the outcome of a commit is unknown", fatal=True) from error

    def _roll_back(self, cause: Exception) -> None:
        self._logs.clear()  # a row that was new is gone with the transaction
        try:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._failed = True
            raise StoreError(
                "rollback_failed", "a failed transaction cannot be rolled back", "Restart.", fatal=True
            ) from cause


def _diverged(code: str) -> Divergence:
    return Divergence(
        code,
        "peers.db is not where its writer left it",
        "Stop; run `vestibule fsck`. Nothing was cosigned.",
    )
