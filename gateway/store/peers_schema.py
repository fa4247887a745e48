"""The tables of peers.db: what this gateway promised about other logs, and its verified copies of them.

A file of its own, so that recording never waits for it, and with a format of its own, so that a change here migrates no
recordings. Never in a backup: an older copy forgets promises (docs/store-format.md, "peers.db").
"""

from __future__ import annotations

from typing import Final

from gateway.errors import StoreRefused
from gateway.store.schema import BUSY_MS, WAL_FILE_BYTES, WAL_PAGES

APPLICATION_ID: Final = 0x5654_5350  # "VTSP", sqlite.org/pragma.html#pragma_application_id
PEERS_FORMAT: Final = 1
SHELF_CACHE_KIB: Final = 2048  # a proof touches some ten rows of tiles
CACHE_KIB: Final = 8192

TABLES: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE logs (
    log INTEGER PRIMARY KEY, origin TEXT NOT NULL UNIQUE, size INTEGER NOT NULL, root BLOB NOT NULL,
    note BLOB NOT NULL, tree_size INTEGER NOT NULL, tree_root BLOB NOT NULL, whole BLOB NOT NULL,
    whole_size INTEGER NOT NULL
) STRICT;
CREATE TABLE entries (
    log INTEGER NOT NULL, idx INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (log, idx)
) STRICT, WITHOUT ROWID;
CREATE TABLE tiles (
    log INTEGER NOT NULL, level INTEGER NOT NULL, n INTEGER NOT NULL, data BLOB NOT NULL, UNIQUE (log, level, n)
) STRICT;
CREATE TABLE forks (
    fork INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, origin TEXT NOT NULL, data BLOB NOT NULL,
    seen_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE rosters (version INTEGER PRIMARY KEY, raw BLOB NOT NULL) STRICT;
CREATE TABLE cosigned (
    one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL, note BLOB NOT NULL, at_ms INTEGER NOT NULL
) STRICT;
"""

WRITER_PRAGMAS: Final = (
    # What is promised must not be forgotten by a power cut: docs/adr/0003.
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=OFF",
    f"PRAGMA wal_autocheckpoint={WAL_PAGES}",
    f"PRAGMA journal_size_limit={WAL_FILE_BYTES}",
)


def pragmas(cache_kib: int = CACHE_KIB) -> tuple[str, ...]:
    """How every connection is set up.

    Args:
        cache_kib: memory for pages.
    """
    return (
        "PRAGMA mmap_size=0",  # an I/O error must be an error, not a SIGBUS
        f"PRAGMA cache_size=-{cache_kib}",
        f"PRAGMA busy_timeout={BUSY_MS}",
        "PRAGMA trusted_schema=OFF",
        "PRAGMA cell_size_check=ON",
    )


def check_format(application_id: int, version: int) -> None:
    """Refuse a file that this release must not touch.

    Args:
        application_id, version: `PRAGMA application_id` and `user_version`.

    Raises:
        StoreRefused: `not_ours`, `newer`, `older`.
    """
    if application_id != APPLICATION_ID:
        raise StoreRefused("not_ours", "peers.db is not a file of Vestibule", "Check `--data-dir`.")
    if version > PEERS_FORMAT:
        raise StoreRefused(
            "newer",
            f"peers.db has format {version}, this release knows {PEERS_FORMAT}",
            "Run a newer release.",
        )
    if version < PEERS_FORMAT:
        raise StoreRefused(
            "older",
            f"peers.db has format {version}, this release needs {PEERS_FORMAT}",
            "Run an older release.",
        )
