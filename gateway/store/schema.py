"""The tables of the database, and how a connection is set up.

Numbers that may have bit 63 (random runs, floors) are stored as the signed number of the same 64 bits.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from gateway.errors import StoreRefused
from gateway.store.layout import FORMAT

APPLICATION_ID: Final = (
    0x5654_5354  # "VTST", in the header of the file: sqlite.org/pragma.html#pragma_application_id
)
BUSY_MS: Final = 5000  # a reader's checkpoint may hold the writer for as long
CACHE_KIB: Final = 16_384  # bounded; a cycle touches a few hundred pages
WAL_PAGES: Final = 2000  # 8 MiB of WAL before it is copied back: a stall of some 50 ms, not of seconds
WAL_FILE_BYTES: Final = 64 << 20  # what a long reader let grow is given back

TABLES: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL, root BLOB NOT NULL) STRICT;
CREATE TABLE entries (idx INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
CREATE TABLE tiles (level INTEGER NOT NULL, n INTEGER NOT NULL, data BLOB NOT NULL, UNIQUE (level, n)) STRICT;
CREATE TABLE batches (
    batch INTEGER PRIMARY KEY, entry INTEGER NOT NULL, root BLOB NOT NULL, parts INTEGER NOT NULL,
    frames INTEGER NOT NULL, samples INTEGER NOT NULL, opened_s INTEGER NOT NULL, sealed_s INTEGER NOT NULL
) STRICT;
CREATE TABLE parts (
    batch INTEGER NOT NULL, part INTEGER NOT NULL, session BLOB NOT NULL, segment INTEGER NOT NULL,
    "offset" INTEGER NOT NULL, header_bytes INTEGER NOT NULL, payload_bytes INTEGER NOT NULL, frames INTEGER NOT NULL,
    samples INTEGER NOT NULL, first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL, header_hash BLOB NOT NULL,
    PRIMARY KEY (batch, part)
) STRICT, WITHOUT ROWID;
CREATE INDEX parts_by_session ON parts (session);
CREATE TABLE devices (
    device INTEGER PRIMARY KEY, name TEXT NOT NULL, key BLOB NOT NULL, state TEXT NOT NULL,
    created_ms INTEGER NOT NULL, hello_seq INTEGER, next_key BLOB NOT NULL, next_by_file INTEGER NOT NULL
) STRICT;
CREATE TABLE pairings (
    id BLOB PRIMARY KEY, secret BLOB NOT NULL, expires_ms INTEGER NOT NULL, spent_by BLOB NOT NULL, name TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE sessions (
    session BLOB PRIMARY KEY, commitment BLOB NOT NULL, subject BLOB NOT NULL, purpose TEXT NOT NULL,
    devices BLOB NOT NULL, kinds BLOB NOT NULL, state TEXT NOT NULL, opened_ms INTEGER NOT NULL,
    closed_ms INTEGER NOT NULL, seq INTEGER NOT NULL, prev BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_not_over ON sessions (session) WHERE state <> 'closed' AND state <> 'withdrawn';
CREATE TABLE links (
    link INTEGER PRIMARY KEY, device INTEGER NOT NULL, run INTEGER NOT NULL, session BLOB NOT NULL,
    transport TEXT NOT NULL, nonce_d BLOB NOT NULL, nonce_g BLOB NOT NULL, key BLOB NOT NULL, hello_seq INTEGER,
    hello BLOB NOT NULL, welcome BLOB NOT NULL, established INTEGER NOT NULL, state TEXT NOT NULL,
    fresh_ms INTEGER NOT NULL, done BLOB NOT NULL, floor INTEGER NOT NULL, bye BLOB,
    clock_ns INTEGER
) STRICT;
CREATE INDEX links_live ON links (link) WHERE state = 'live';
CREATE TABLE streams (
    session BLOB NOT NULL, device INTEGER NOT NULL, run INTEGER NOT NULL, stream INTEGER NOT NULL,
    kind INTEGER NOT NULL, total INTEGER NOT NULL, stored INTEGER NOT NULL, refused BLOB NOT NULL,
    accounted BLOB NOT NULL, closed_below INTEGER NOT NULL, last_ns INTEGER NOT NULL,
    PRIMARY KEY (session, device, run, stream)
) STRICT, WITHOUT ROWID;
CREATE TABLE texts ("commit" BLOB PRIMARY KEY, subject BLOB NOT NULL, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX texts_by_subject ON texts (subject);
"""

WRITER_PRAGMAS: Final = (
    # NORMAL lost 1,659 of 2,000 acknowledged transactions in power cuts, FULL none of 3,000: docs/adr/0003.
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=OFF",
    f"PRAGMA wal_autocheckpoint={WAL_PAGES}",
    f"PRAGMA journal_size_limit={WAL_FILE_BYTES}",
)
READER_PRAGMAS: Final = (
    "PRAGMA mmap_size=0",  # an I/O error must be an error, not a SIGBUS
    f"PRAGMA cache_size=-{CACHE_KIB}",
    f"PRAGMA busy_timeout={BUSY_MS}",
    "PRAGMA trusted_schema=OFF",
    "PRAGMA cell_size_check=ON",
)


def uri(path: Path, mode: str) -> str:
    """SQLite's name for a file.

    Args:
        path: the file.
        mode: `ro` or `rw`; never `rwc`, so that a missing store is an error and not a new one.
    """
    return f"{path.absolute().as_uri()}?mode={mode}"


def check_format(application_id: int, version: int, expected_id: int = APPLICATION_ID) -> None:
    """Refuse a file that this release must not touch.

    Args:
        application_id, version: `PRAGMA application_id` and `user_version`.
        expected_id: what the file should be.

    Raises:
        StoreRefused: `not_ours`, `newer`, `older`.
    """
    if application_id != expected_id:
        raise StoreRefused("not_ours", "the database is not one of Vestibule", "Check `--data-dir`.")
    if version > FORMAT:
        raise StoreRefused(
            "newer", f"the store has format {version}, this release knows {FORMAT}", "Run a newer release."
        )
    if version < FORMAT:
        raise StoreRefused(
            "older",
            f"the store has format {version}, this release needs {FORMAT}",
            "Run `vestibule migrate`.",
        )
