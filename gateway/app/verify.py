"""`vestibule verify`: every byte that is stored against what was signed, from one snapshot of the database.

It runs beside the daemon, changes nothing, and gives no plaintext. Without subject keys it goes down to the hash of
each sealed payload; with them to every frame and its salted leaf. What a start reads, `load.load_state`, is read here
by the same readers, so that no store is called sound that `run` refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from gateway.app.known import Known
from gateway.app.report import Findings, Progress, Report
from gateway.app.verify_log import LogCheck
from gateway.app.verify_peers import check_peers
from gateway.app.verify_vault import VaultCheck
from gateway.core.records import Session, StreamRecord
from gateway.errors import Damage, LocalError, SignatureError, StoreRefused, VestibuleError
from gateway.store import queries, unfinished
from gateway.store.layout import Layout
from gateway.store.mark import Mark, MarkValue
from gateway.store.queries import Query
from gateway.store.records import Row, device_of, link_of, pairing_of, session_of, stream_of
from gateway.store.snapshot import Snapshot
from gateway.store.wrapping import Secrets
from gateway.tlog.checkpoint import origin_hash

T = TypeVar("T")

__all__ = ["Progress", "Report", "check_store", "verify_store"]


def verify_store(
    layout: Layout, progress: Progress = lambda what, done, total: None, *, keys: bool = True
) -> Report:
    """Check everything, up to the first fault.

    Args:
        layout: of the store.
        progress: told `(what, done, total)` on the way.
        keys: False reads no key: what an auditor without keys could check.

    Returns:
        What was checked, and what is worth knowing; `faults` is empty.

    Raises:
        Damage: the first thing that is not as signed; `where` names batch, part, frame, segment, byte offset, entry
            and tile, as far as they are known.
        StoreRefused: there is no store, or one of another format.
        StoreError: `disk_io`, `store_busy`.
        ConfigError: a key file is open to others, or holds something else.
    """
    findings = Findings(Report(), progress, stop=True)
    check_store(layout, findings, keys=keys)
    return findings.report


def check_store(layout: Layout, found: Findings, *, keys: bool) -> None:
    """Check everything, and report to `found`; raises as `verify_store`."""
    # Before the snapshot: a mark that is read later may be ahead of it, and would look like a store rolled back.
    mark = _mark(layout, found)
    with _Rows(layout.database) as snapshot, Known(layout, found, keys) as known:
        damaged = snapshot.integrity()
        for line in damaged:
            found.fault("database", f"SQLite finds the database damaged: {line}")
        for name in snapshot.odd_schema():
            damaged.append(name)
            found.fault(
                "database", "a table, index or trigger of the database is not this release's", table=name
            )
        if damaged:
            found.note("Nothing else was checked: what a damaged database gives is not what stands in it.")
            return
        _check_rows(snapshot, Secrets(known.ring.store_key) if known.ring else _NoSecrets(b""), found)
        log = LogCheck(snapshot, found, known, mark)
        log.run()
        origin = known.ring.origin if known.ring else snapshot.meta("origin")
        if origin is None:
            raise LocalError(
                "origin_unknown",
                "neither a key nor the database tells the origin of the log",
                "Check it where its keys are.",
            )
        lost = log.lost + _interrupted(layout, snapshot, found)
        VaultCheck(
            layout, bytes.fromhex(origin_hash(origin)), snapshot, found, known, log.refused, lost
        ).run()
        check_peers(layout, found, known.ring)
        if found.report.lost:
            found.note(
                f"The recordings of {found.report.lost} batches were lost with a disk: their entries came back from "
                "mirrors, and say so."
            )
        if found.report.unopened:
            found.note(
                f"The keys that open {found.report.unopened} of {found.report.parts} parts are not here."
            )
        if found.report.unknown:
            found.note(
                f"{found.report.unknown} entries are of types that this release does not know; they are kept."
            )


def _interrupted(layout: Layout, snapshot: Snapshot, found: Findings) -> list[range]:
    """Entries that a verb is fetching back, which was interrupted: no entry tells of them yet."""
    begun = unfinished.read(layout)
    if begun is None:
        return []
    found.note(f"`{begun.verb}` was interrupted on this store. {unfinished.AGAIN[begun.verb]}")
    return [range(begun.first, snapshot.head().size)]


class _Rows(Snapshot):
    """A snapshot that passes over the rows that cannot be read: they are named once, and the check goes on."""

    def __enter__(self) -> _Rows:
        return self

    def rows(self, sql: str) -> Iterator[Row]:
        """Rows as they stand."""
        # A text that is not UTF-8 would end the reading at its row; like this its row can be named.
        self._connection.text_factory = lambda data: data.decode(errors="surrogateescape")
        try:
            yield from self._each(Query(sql, lambda row: row))
        finally:
            self._connection.text_factory = str

    def session_rows(self, *, all: bool = False) -> list[Session]:
        """As of a snapshot."""
        query = queries.ALL_SESSIONS if all else queries.SESSIONS
        return list(_readable(self.rows(query.sql), query.decode))

    def iter_streams(self) -> Iterator[StreamRecord]:
        """As of a snapshot."""
        return _readable(self.rows(queries.ALL_STREAMS.sql), _stream_of)


class _NoSecrets(Secrets):
    """What is wrapped stays wrapped: for a check without keys."""

    def unwrap_key(self, device: int, wrapped: bytes) -> bytes:
        return b""

    def unwrap_pairing(self, wrapped: bytes) -> tuple[str, bytes]:
        return "", b""


def _stream_of(row: Row) -> StreamRecord:
    stream = stream_of(row)
    list(stream.accounted)  # ValueError if a first number has no last
    return stream


UNREADABLE: Final = (Damage, SignatureError, ValueError, OverflowError)
"""What the readers raise; the last two where a number or a text can be none that was written."""
READERS: Final[dict[str, tuple[str, tuple[str, ...], Callable[[Row, Secrets], object]]]] = {
    "devices": (queries.DEVICES_SQL, ("device",), device_of),
    "pairings": (queries.PAIRINGS_SQL, ("id",), pairing_of),
    "sessions": (queries.ALL_SESSIONS.sql, ("session",), lambda row, _: session_of(row)),
    "links": ("SELECT * FROM links ORDER BY link", ("link",), link_of),
    "streams": (
        queries.ALL_STREAMS.sql,
        ("session", "device", "run", "stream"),
        lambda row, _: _stream_of(row),
    ),
}
"""Table -> all its rows, the columns that name one (they come first), and the reader that a start uses."""


def _check_rows(snapshot: _Rows, secrets: Secrets, found: Findings) -> None:
    """Read every row that a start may read."""
    for table, (sql, names, read) in READERS.items():
        for row in snapshot.rows(sql):
            try:
                _check_text(row)
                read(row, secrets)
            except UNREADABLE as error:
                why = error.message if isinstance(error, VestibuleError) else "it holds what nobody wrote"
                where = {name: _plain(name, row[at]) for at, name in enumerate(names)}
                found.fault("row", f"a row of {table} cannot be read: {why}", table=table, **where)


def _readable(rows: Iterator[Row], read: Callable[[Row], T]) -> Iterator[T]:
    for row in rows:
        try:
            _check_text(row)
            yield read(row)
        except UNREADABLE:
            continue  # named by `_check_rows`


def _check_text(row: Row) -> None:
    for value in row:
        if isinstance(value, str):
            value.encode()  # UnicodeEncodeError, a ValueError, where it was not UTF-8


def _plain(name: str, value: int | bytes) -> int | str:
    """A column that names a row, as other faults write it."""
    if isinstance(value, bytes):
        return value.hex()
    return f"{value & 0xFFFF_FFFF_FFFF_FFFF:016x}" if name == "run" else value


def _mark(layout: Layout, found: Findings) -> MarkValue | None:
    try:
        mark = Mark.open(layout.mark, write=False)
    except StoreRefused as error:
        if error.code == "newer":
            raise
        if error.code != "mark_missing":
            found.fault(error.code, error.message)
        return None
    try:
        if moved := mark.made_here():
            found.note(f"The mark was made elsewhere ({moved} differs): the store was copied or moved.")
        return mark.value
    finally:
        mark.close()
