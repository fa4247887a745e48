"""The file peers.db itself: made, opened, and told from a copy of it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from gateway.errors import StoreError
from gateway.store import peers_schema, schema
from gateway.store.layout import disk_error, fsync_dir
from gateway.store.mark import inode_generation


def home(path: Path) -> str:
    """Which file this is: a copy of it has another inode, or another generation of the same one.

    Only before SQLite has it open: closing a descriptor gives up all locks that this process has on a file (fcntl(2)).

    Raises:
        StoreError: `disk_io`.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            generation = inode_generation(fd)
            return f"{os.fstat(fd).st_ino} {'' if generation is None else generation}"
        finally:
            os.close(fd)
    except OSError as error:
        raise disk_error(error, "peers.db cannot be looked at") from error


def keep_damaged(path: Path) -> None:
    """Give a damaged file another name, for whoever wants to look at it.

    Args:
        path: `Layout.peers`, which nothing has open.

    Raises:
        StoreError: `disk_io`.
    """
    try:
        for ending in ("", "-wal", "-shm"):
            part = path.with_name(path.name + ending)
            if part.exists():
                part.rename(path.with_name(f"{path.name}.damaged{ending}"))
        fsync_dir(path.parent)
    except OSError as error:
        raise disk_error(error, "a damaged peers.db cannot be set aside") from error


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection for whichever thread has the turn.

    Args:
        path: `Layout.peers`.
        mode: `rw` or `ro`.
    """
    return sqlite3.connect(schema.uri(path, mode), uri=True, isolation_level=None, check_same_thread=False)


def read_only(path: Path, cache_kib: int) -> sqlite3.Connection:
    """A connection that only reads, set up.

    Args:
        path: `Layout.peers`.
        cache_kib: memory for its pages.
    """
    connection = connect(path, "ro")
    _set(connection, peers_schema.pragmas(cache_kib))
    return connection


def set_up(connection: sqlite3.Connection, create: bool) -> None:
    """Check a connection's file, or fill it if it is unfinished and may be made, and set the connection up for writing.

    Raises:
        StoreRefused: `not_ours`, `newer`, `older`.
        StoreError: `wal`.
    """
    _set(connection, peers_schema.pragmas())
    application_id = _number(connection, "PRAGMA application_id")
    version = _number(connection, "PRAGMA user_version")
    unfinished = create and not _number(connection, "SELECT count(*) FROM sqlite_schema")
    if not unfinished:
        # Before anything is set: a newer file is left exactly as it is.
        peers_schema.check_format(application_id, version)
    if connection.execute("PRAGMA journal_mode=WAL").fetchone()[0] != "wal":
        raise StoreError(
            "wal",
            "the file system cannot hold a database with a write-ahead log",
            "Put the store on a local disk.",
        )
    _set(connection, peers_schema.WRITER_PRAGMAS)
    if unfinished:
        connection.executescript(
            f"BEGIN IMMEDIATE; {peers_schema.TABLES}"
            f"PRAGMA application_id={peers_schema.APPLICATION_ID};"
            f"PRAGMA user_version={peers_schema.PEERS_FORMAT}; COMMIT;"
        )


def _set(connection: sqlite3.Connection, pragmas: Sequence[str]) -> None:
    for pragma in pragmas:
        connection.execute(pragma)


def _number(connection: sqlite3.Connection, sql: str) -> int:
    return int(connection.execute(sql).fetchone()[0])
