"""What can be asked of peers.db, on whatever connection: the running gateway's, a shelf's, or a check's snapshot."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from gateway.core.follow import Followed, KeepCosigned, KeepRoster
from gateway.errors import Damage
from gateway.store.db import damaged, sqlite_error
from gateway.store.peers_schema import TABLES
from gateway.store.records import Row, entries_in_order
from gateway.store.snapshot import DEFINITIONS, odd_definitions
from gateway.tlog.merkle import Frontier
from gateway.tlog.note import VerifierKey
from gateway.tlog.text import HASH_BYTES

T = TypeVar("T")

READ_ROWS: Final = 256  # rows in memory at once while iterating

_LOG: Final = "(SELECT log FROM logs WHERE origin = ?)"
_TILE: Final = f"SELECT data FROM tiles WHERE log = {_LOG} AND level = ? AND n = ?"
_ENTRIES: Final = f"SELECT idx, data FROM entries WHERE log = {_LOG} AND idx >= ? ORDER BY idx LIMIT ?"
_EACH_ENTRY: Final = f"SELECT idx, data FROM entries WHERE log = {_LOG} AND idx >= ? AND idx < ? ORDER BY idx"
_BEYOND: Final = f"SELECT idx FROM entries WHERE log = {_LOG} AND (idx < 0 OR idx >= ?) ORDER BY idx LIMIT 1"
_ALL_TILES: Final = f"SELECT level, n, data FROM tiles WHERE log = {_LOG} ORDER BY level, n"
_LOGS: Final = (
    "SELECT origin, size, root, note, tree_size, tree_root, whole, whole_size, "
    "EXISTS (SELECT 1 FROM forks WHERE forks.origin = logs.origin) FROM logs ORDER BY log"
)
_FORKS: Final = "SELECT id, origin, data, seen_ms FROM forks ORDER BY fork"
_ROSTERS: Final = "SELECT version, raw FROM rosters ORDER BY version"
_NEWEST_ROSTER: Final = "SELECT version, raw FROM rosters ORDER BY version DESC LIMIT 1"
_COSIGNED: Final = "SELECT size, note, at_ms FROM cosigned"
_ORPHANS: Final = "SELECT 1 FROM {} WHERE log NOT IN (SELECT log FROM logs) LIMIT 1"
_META: Final = "SELECT value FROM meta WHERE key = ?"


@dataclass(frozen=True, slots=True)
class LogRow:
    """One log, as its row says.

    Args:
        origin: its name.
        size, root, note: the head that was kept last; size 0 and an empty note before the first.
        tree_size, tree_root: of the mirror.
        whole, whole_size: the newest signed note whose whole tree is here.
        frozen: whether evidence against it is here.
    """

    origin: str
    size: int
    root: bytes
    note: bytes
    tree_size: int
    tree_root: bytes
    whole: bytes
    whole_size: int
    frozen: bool


@dataclass(frozen=True, slots=True)
class StoredLog:
    """One log, as a start finds it.

    Args:
        origin, size, root, note, whole, whole_size, frozen: as `LogRow`.
        tree, tails: right edge of the mirror, from its tiles.
    """

    origin: str
    size: int
    root: bytes
    note: bytes
    tree: Frontier
    tails: dict[int, bytes]
    whole: bytes
    whole_size: int
    frozen: bool

    def followed(self, vkeys: tuple[VerifierKey, ...], *, ours: bool = False, data: bool = True) -> Followed:
        """The state that gossip, witness and mirror go on with.

        Args:
            vkeys: keys that may sign its checkpoints.
            ours: whether it is our own log, whose tree is in another database and is left for the caller to set.
            data: whether entries and tiles are kept; a log that is only witnessed is not frozen by evidence, it goes
                on from the head that was promised. What is here of its tree, from a time when they were, is told too.
        """
        log = Followed(self.origin, vkeys, self.size, self.root, self.note, ours=ours, data=data)
        log.frozen = self.frozen and data
        if not ours:
            log.tree, log.tails = self.tree.copy(), dict(self.tails)
            log.whole, log.whole_size = self.whole, self.whole_size
        return log


@dataclass(frozen=True, slots=True)
class StoredFork:
    """Evidence as it was kept.

    Args:
        id: SHA-256 of `data`.
        origin: of the log that it is against.
        data: `tlog.fork.Fork.encode`.
        seen_ms: UTC.
    """

    id: bytes
    origin: str
    data: bytes
    seen_ms: int


class PeerRows:
    """Questions to peers.db; each answers what is committed, or what its connection's transaction sees.

    Args:
        connection: set up by `peers_schema.pragmas`; used by one thread at a time.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def logs(self) -> list[LogRow]:
        """All logs, in the order they were first heard of; also those of which only evidence is here.

        Raises:
            Damage: `database`.
            StoreError: `disk_io`.
        """
        return list(self._each(_LOGS, _log_of))

    def forks(self) -> list[StoredFork]:
        """Evidence, oldest first; raises as `logs`."""
        return list(self._each(_FORKS, _fork_of))

    def rosters(self) -> list[KeepRoster]:
        """Versions of the roster, ascending; raises as `logs`."""
        return list(self._each(_ROSTERS, _roster_of))

    def newest_roster(self) -> KeepRoster | None:
        """The newest version of the roster; raises as `logs`."""
        return next(self._each(_NEWEST_ROSTER, _roster_of), None)

    def cosigned(self) -> KeepCosigned | None:
        """The newest checkpoint of our own log that a quorum cosigned; raises as `logs`."""
        return next(self._each(_COSIGNED, _cosigned_of), None)

    def meta(self, key: str) -> str | None:
        """A fact about the file itself; raises as `logs`."""
        return next(self._each(_META, _first_text, key), None)

    def tile(self, origin: str, level: int, n: int) -> bytes:
        """The row of a tile, as wide as it has grown; empty if it is not there. Raises as `logs`."""
        return next(self._each(_TILE, _first_bytes, origin, level, n), b"")

    def entries(self, origin: str, first: int, count: int) -> list[bytes]:
        """Leaf data of up to `count` entries from `first` on.

        Raises:
            Damage: `entry_missing`, there is a hole among them; `database`.
            StoreError: `disk_io`.
        """
        return entries_in_order(self._each(_ENTRIES, _as_it_is, origin, first, count), first)

    def iter_entries(self, origin: str, first: int, end: int) -> Iterator[tuple[int, bytes]]:
        """(index, leaf data) of entries `first` to `end - 1`; holes are the caller's to see. Raises as `logs`."""
        return self._each(_EACH_ENTRY, lambda row: (int(row[0]), bytes(row[1])), origin, first, end)

    def entry_beyond(self, origin: str, size: int) -> int | None:
        """Index of an entry that a mirror of this size should not have; raises as `logs`."""
        return next(self._each(_BEYOND, lambda row: int(row[0]), origin, size), None)

    def iter_tiles(self, origin: str) -> Iterator[tuple[int, int, bytes]]:
        """(level, n, data) of all rows of tiles; raises as `logs`."""
        return self._each(_ALL_TILES, lambda row: (int(row[0]), int(row[1]), bytes(row[2])), origin)

    def integrity(self) -> list[str]:
        """What SQLite itself finds wrong with the file; empty if nothing."""
        return [line for line in self._each("PRAGMA integrity_check(100)", _first_text) if line != "ok"]

    def odd_schema(self) -> list[str]:
        """Names of tables and indexes that are not defined as this release defines them; empty if none."""
        return odd_definitions(self._each(DEFINITIONS.sql, DEFINITIONS.decode), TABLES)

    def orphans(self) -> list[str]:
        """Tables with rows of a log that has no row of its own; empty if none. Raises as `logs`."""
        tables = ("entries", "tiles")
        return [table for table in tables if any(self._each(_ORPHANS.format(table), lambda row: True))]

    def shelf(self, origin: str) -> PeerShelf:
        """Entries and tiles of one mirror."""
        return PeerShelf(self, origin)

    def _each(self, sql: str, decode: Callable[[Row], T], *args: object) -> Iterator[T]:
        try:
            cursor = self.connection.execute(sql, args)
            while rows := cursor.fetchmany(READ_ROWS):
                yield from map(decode, rows)
        except sqlite3.Error as error:
            raise sqlite_error(error, "peers.db cannot be read") from error
        except UnicodeDecodeError as error:
            # What SQLite says about a damaged schema quotes it, and Python cannot decode that.
            raise damaged("peers.db cannot be read") from error


class PeerShelf:
    """A `Shelf` of gateway/core/follow.py: entries and tiles of one mirror as they are on disk.

    Args:
        rows: where they are.
        origin: of the log.
    """

    def __init__(self, rows: PeerRows, origin: str) -> None:
        self._rows = rows
        self._origin = origin

    def hash_tile(self, level: int, n: int, width: int) -> bytes:
        """The first `width` hashes of tile (level, n).

        Raises:
            Damage: `mirror`, the row is not there or not as wide.
            StoreError: `disk_io`.
        """
        data = self._rows.tile(self._origin, level, n)
        if len(data) < width * HASH_BYTES:
            raise Damage(
                "mirror",
                f"tile {level}/{n} of the mirror of {self._origin} is narrower than its log needs",
                "Run `vestibule fsck`.",
                where={"log": self._origin, "level": level, "tile": n},
            )
        return data[: width * HASH_BYTES]

    def entries(self, first: int, count: int) -> list[bytes]:
        """Leaf data of up to `count` entries from `first` on; raises as `PeerRows.entries`."""
        return self._rows.entries(self._origin, first, count)


def _as_it_is(row: Row) -> Row:
    return row


def _first_bytes(row: Row) -> bytes:
    return bytes(row[0])


def _first_text(row: Row) -> str:
    return str(row[0])


def _log_of(row: Row) -> LogRow:
    origin, size, root, note, tree_size, tree_root, whole, whole_size, frozen = row
    return LogRow(origin, size, root, note, tree_size, tree_root, whole, whole_size, bool(frozen))


def _fork_of(row: Row) -> StoredFork:
    return StoredFork(*row)


def _roster_of(row: Row) -> KeepRoster:
    return KeepRoster(*row)


def _cosigned_of(row: Row) -> KeepCosigned:
    return KeepCosigned(*row)
