"""`vestibule migrate`: bring an older store to this release's format: copy, verify, swap.

The old database stays usable up to one rename, and beside the new one after it. The mark is never copied: it stays the
file that it is, so that no copy of the store can pass for the store (docs/adr/0003). Subject keys are not copied
either, because what is copied cannot be erased: their file is changed in one transaction. Whatever interrupts it, the
next run starts the copy again.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gateway.app.report import Progress
from gateway.app.verify import verify_store
from gateway.errors import StoreError, StoreRefused
from gateway.store import schema, subjects
from gateway.store.db import sqlite_error
from gateway.store.layout import FORMAT, Layout, create_file, disk_error, fsync_dir
from gateway.store.lock import StoreLock

Step = Callable[[sqlite3.Connection], None]
"""Takes a database from one format to the next, inside a transaction."""

PAGES: Final = 1024  # copied between two words of progress: 4 MiB
ROOM: Final = 2  # the copy, and what a step may write beside it

# As they stood in format 1; a step never follows the tables of later releases.
_DEVICES_1 = """
CREATE TABLE devices (
    device INTEGER PRIMARY KEY, name TEXT NOT NULL, key BLOB NOT NULL, state TEXT NOT NULL,
    created_ms INTEGER NOT NULL, hello_seq INTEGER, next_key BLOB NOT NULL, next_by_file INTEGER NOT NULL
) STRICT
"""
_STREAMS_1 = """
CREATE TABLE streams (
    session BLOB NOT NULL, device INTEGER NOT NULL, run INTEGER NOT NULL, stream INTEGER NOT NULL,
    kind INTEGER NOT NULL, total INTEGER NOT NULL, stored INTEGER NOT NULL, refused BLOB NOT NULL,
    accounted BLOB NOT NULL, closed_below INTEGER NOT NULL, last_ns INTEGER NOT NULL,
    PRIMARY KEY (session, device, run, stream)
) STRICT, WITHOUT ROWID
"""


def _from_0(db: sqlite3.Connection) -> None:
    """Format 0, of pre-releases, knew neither below which number a stream's holes were closed nor who carries a key."""
    db.execute("ALTER TABLE devices RENAME TO devices_0")
    db.execute(_DEVICES_1)
    # Their keys were all carried by files.
    db.execute(
        "INSERT INTO devices SELECT device, name, key, state, created_ms, hello_seq, next_key, 1 FROM devices_0"
    )
    db.execute("DROP TABLE devices_0")
    db.execute("DROP INDEX sessions_not_closed")
    db.execute(
        "CREATE INDEX sessions_not_over ON sessions (session) WHERE state <> 'closed' AND state <> 'withdrawn'"
    )
    db.execute("ALTER TABLE streams RENAME TO streams_0")
    db.execute(_STREAMS_1)
    # 0 only makes a late sample "overlap" instead of "late": both are refused.
    db.execute(
        "INSERT INTO streams SELECT session, device, run, stream, kind, total, stored, refused, accounted, 0, last_ns "
        "FROM streams_0"
    )
    db.execute("DROP TABLE streams_0")


def _same(db: sqlite3.Connection) -> None:
    """Nothing but the number changed."""


STEPS: Final[Mapping[int, Step]] = MappingProxyType({0: _from_0})
"""Format of the database -> the step from it to the next."""
SUBJECT_STEPS: Final[Mapping[int, Step]] = MappingProxyType({0: _same})
"""The same of the subjects."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """What a migration did.

    Args:
        before, after: formats; equal if there was nothing to do.
        kept: the old database, to be removed when all is well; None if there was nothing to do.
    """

    before: int
    after: int
    kept: Path | None


class _Copy(Layout):
    """The store with the copy in the place of its database."""

    __slots__ = ()

    @property
    def database(self) -> Path:
        return self.data_dir / "state.db.new"


def migrate_store(layout: Layout, progress: Progress = lambda what, done, total: None) -> Migrated:
    """Bring a store to the format of this release.

    Args:
        layout: of the store; nothing else may use it.
        progress: told `("copy", ...)`, and then as `verify_store` does.

    Raises:
        StoreRefused: `store_missing`, `not_ours`, `newer`; `format_unknown`, no step begins at its format.
        Damage: the migrated copy does not verify; it is gone again, and the store is as it was.
        ConfigError: the same, for a key file that is open to others or holds something else.
        StoreError: `locked`, `disk_full`, `disk_io`, `store_busy`.
    """
    if not layout.database.exists():
        raise StoreRefused("store_missing", "there is no store in the data directory", "Check `--data-dir`.")
    with StoreLock(layout.lock):
        try:
            _remove(_Copy(layout.data_dir).database)
            before = _version(layout.database, schema.APPLICATION_ID, STEPS)
            if layout.subjects.exists():
                _migrate_subjects(layout.subjects)
            if before == FORMAT:
                return Migrated(before, before, None)
            return Migrated(before, FORMAT, _migrate_database(layout, before, progress))
        except sqlite3.Error as error:
            raise sqlite_error(error, "the database cannot be migrated") from error
        except OSError as error:
            raise disk_error(error, "the store cannot be migrated") from error


def _version(path: Path, application_id: int, steps: Mapping[int, Step]) -> int:
    with closing(sqlite3.connect(schema.uri(path, "rw"), uri=True)) as db:
        found, version = (
            int(db.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("application_id", "user_version")
        )
    if version >= FORMAT or found != application_id:
        schema.check_format(found, version, application_id)
    if any(number not in steps for number in range(version, FORMAT)):
        raise StoreRefused(
            "format_unknown",
            f"this release has no step from format {version}",
            "Migrate it with an earlier release first.",
        )
    return version


def _migrate_subjects(path: Path) -> None:
    version = _version(path, subjects.APPLICATION_ID, SUBJECT_STEPS)
    if version == FORMAT:
        return
    with closing(sqlite3.connect(schema.uri(path, "rw"), uri=True, isolation_level=None)) as db:
        db.execute("PRAGMA secure_delete=ON")
        db.execute("PRAGMA synchronous=EXTRA")
        _run(db, version, SUBJECT_STEPS)


def _migrate_database(layout: Layout, before: int, progress: Progress) -> Path:
    copy = _Copy(layout.data_dir)
    _check_room(layout)
    _fold_in(layout.database)
    try:
        _fill(copy, layout, before, progress)
    except BaseException:
        # A full disk stays full, and nobody would know what the file is. The first error is the one to tell.
        with suppress(OSError):
            _remove(copy.database)
        raise
    kept = layout.data_dir / f"{layout.database.name}.format{before}"
    kept.unlink(missing_ok=True)
    # Two names for the old file, so that there is a database under the right name at every moment.
    os.link(layout.database, kept)
    fsync_dir(layout.data_dir)
    os.rename(copy.database, layout.database)
    fsync_dir(layout.data_dir)
    return kept


def _fill(copy: _Copy, layout: Layout, before: int, progress: Progress) -> None:
    """Make the copy, take it to the new format, and verify it."""
    os.close(create_file(copy.database))
    with closing(sqlite3.connect(schema.uri(layout.database, "ro"), uri=True)) as old:
        with closing(sqlite3.connect(schema.uri(copy.database, "rw"), uri=True, isolation_level=None)) as new:
            old.backup(
                new, pages=PAGES, progress=lambda _, left, total: progress("copy", total - left, total)
            )
            new.execute("PRAGMA synchronous=EXTRA")
            _run(new, before, STEPS)
    verify_store(copy, progress)
    _fsync(copy.database)


def _run(db: sqlite3.Connection, version: int, steps: Mapping[int, Step]) -> None:
    for number in range(version, FORMAT):
        db.execute("BEGIN IMMEDIATE")
        steps[number](db)
        db.execute(f"PRAGMA user_version={number + 1}")
        db.execute("COMMIT")


def _fold_in(path: Path) -> None:
    """Bring the write-ahead log back into the database: under the new file it would be the log of another."""
    with closing(sqlite3.connect(schema.uri(path, "rw"), uri=True, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous=EXTRA")
        if db.execute("PRAGMA journal_mode=DELETE").fetchone()[0] != "delete":
            raise StoreError("store_busy", "the database is in use", "Stop what uses it.")
    for ending in ("-wal", "-shm"):
        if path.with_name(path.name + ending).exists():
            raise StoreError("store_busy", "the database is in use", "Stop what uses it.")


def _check_room(layout: Layout) -> None:
    needed = ROOM * layout.database.stat().st_size
    free = shutil.disk_usage(layout.data_dir).free
    if free < needed:
        raise StoreError("disk_full", f"a copy needs {needed} bytes, and {free} are free", "Free some space.")


def _remove(path: Path) -> None:
    for name in (path, *(path.with_name(path.name + ending) for ending in ("-journal", "-wal", "-shm"))):
        name.unlink(missing_ok=True)


def _fsync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
