"""A consistent, read-only view of peers.db beside the running gateway, for verify and fsck."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import TracebackType

from gateway.store import peers_schema
from gateway.store.peer_rows import PeerRows
from gateway.store.snapshot import open_view


class PeerSnapshot(PeerRows):
    """peers.db as of one commit; a context manager.

    Args:
        path: `Layout.peers`.

    Raises:
        StoreRefused: `store_missing`, `not_ours`, `newer`, `older`, `wal_unreadable`.
        StoreError: `disk_io`, `store_busy`.
        Damage: `database`.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(open_view(path, _begin))

    def __enter__(self) -> PeerSnapshot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()


def _begin(connection: sqlite3.Connection) -> None:
    for pragma in peers_schema.pragmas():
        connection.execute(pragma)
    connection.execute("BEGIN")
    # The first read is what takes the view.
    names = ("application_id", "user_version")
    application_id, version = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
    peers_schema.check_format(application_id, version)
    connection.execute("SELECT count(*) FROM logs").fetchone()
