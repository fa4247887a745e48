"""What can be asked of the database: one constant for each question, for the daemon and for the snapshot alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from gateway.core.records import BatchRow, PartRow, Session, StreamRecord, Text
from gateway.ids import SessionId
from gateway.store.records import Row, batch_of, link_owner_of, part_of, session_of, stream_of, text_of
from gateway.store.vault import RECORD_BYTES, SEGMENT_HEADER_BYTES

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Query(Generic[T_co]):
    """A question.

    Args:
        sql: with `?` for each argument.
        decode: a row -> what it means.
    """

    sql: str
    decode: Callable[[Row], T_co]


@dataclass(frozen=True, slots=True)
class Head:
    """The head of our log, as committed; not yet signed where the mark is behind it.

    Args:
        size: leaves.
        root: 32 bytes.
    """

    size: int
    root: bytes


def _first_bytes(row: Row) -> bytes:
    return bytes(row[0])


def _first_int(row: Row) -> int:
    return int(row[0])


def _first_text(row: Row) -> str:
    return str(row[0])


def _tail(row: Row) -> tuple[int, int]:
    segment, offset = row
    return int(segment), int(offset)


def _entry(row: Row) -> tuple[int, bytes]:
    index, data = row
    return int(index), bytes(data)


def _tile(row: Row) -> tuple[int, int, bytes]:
    level, n, data = row
    return int(level), int(n), bytes(data)


NOT_OVER = "sessions.state <> 'closed' AND sessions.state <> 'withdrawn'"
"""Of a session; what the index `sessions_not_over` is for."""

HEAD = Query("SELECT size, root FROM head", lambda row: Head(*row))
META = Query("SELECT value FROM meta WHERE key = ?", _first_text)
ENTRY = Query("SELECT data FROM entries WHERE idx = ?", _first_bytes)
ENTRIES = Query("SELECT idx, data FROM entries WHERE idx >= ? ORDER BY idx LIMIT ?", _entry)
ALL_ENTRIES = Query("SELECT idx, data FROM entries ORDER BY idx", _entry)
ENTRIES_WITH = Query("SELECT idx, data FROM entries WHERE instr(data, ?) > 0 ORDER BY idx", _entry)
TILE = Query("SELECT data FROM tiles WHERE level = ? AND n = ?", _first_bytes)
ALL_TILES = Query("SELECT level, n, data FROM tiles ORDER BY level, n", _tile)
BATCH: Query[BatchRow] = Query("SELECT * FROM batches WHERE batch = ?", batch_of)
LAST_BATCH: Query[BatchRow] = Query(
    "SELECT * FROM batches WHERE batch = (SELECT max(batch) FROM parts)", batch_of
)
"""The newest one whose parts are here: those of batches that were lost with a disk are not."""
LAST_ENTRY_OF_SESSION = Query(
    "SELECT entry FROM batches WHERE batch = (SELECT max(batch) FROM parts WHERE session = ?)", _first_int
)
RECENT_BATCHES: Query[BatchRow] = Query(
    "SELECT * FROM batches WHERE batch <= ? ORDER BY batch DESC LIMIT ?", batch_of
)
ALL_BATCHES: Query[BatchRow] = Query("SELECT * FROM batches ORDER BY batch", batch_of)
PARTS_OF: Query[PartRow] = Query("SELECT * FROM parts WHERE batch = ? ORDER BY part", part_of)
PARTS_OF_SESSION: Query[PartRow] = Query(
    "SELECT * FROM parts WHERE session = ? ORDER BY batch, part", part_of
)
ALL_PARTS: Query[PartRow] = Query("SELECT * FROM parts ORDER BY batch, part", part_of)
SESSION: Query[Session] = Query("SELECT * FROM sessions WHERE session = ?", session_of)
SESSIONS: Query[Session] = Query(
    f"SELECT * FROM sessions WHERE {NOT_OVER} ORDER BY opened_ms, session", session_of
)
ALL_SESSIONS: Query[Session] = Query("SELECT * FROM sessions ORDER BY opened_ms, session", session_of)
STREAMS_OF: Query[StreamRecord] = Query(
    "SELECT * FROM streams WHERE session = ? ORDER BY device, run, stream", stream_of
)
STREAMS_TO_LOAD: Query[StreamRecord] = Query(
    f"SELECT streams.* FROM sessions JOIN streams USING (session) WHERE {NOT_OVER}", stream_of
)
WITHDRAWN = Query(
    "SELECT DISTINCT session FROM links JOIN sessions USING (session) "
    "WHERE links.state = 'live' AND sessions.state = 'withdrawn'",
    lambda row: SessionId(row[0]),
)
"""Sessions whose consent was withdrawn, and whose devices may not have heard it."""
ALL_STREAMS: Query[StreamRecord] = Query(
    "SELECT * FROM streams ORDER BY session, device, run, stream", stream_of
)
TEXT: Query[Text] = Query('SELECT * FROM texts WHERE "commit" = ?', text_of)
TEXTS_OF: Query[Text] = Query('SELECT * FROM texts WHERE subject = ? ORDER BY "commit"', text_of)
LINK_OWNERS = Query("SELECT link, session, device, run FROM links", link_owner_of)
NEXT_LINK = Query("SELECT coalesce(max(link), 0) + 1 FROM links", _first_int)
NEXT_DEVICE = Query("SELECT coalesce(max(device), 0) + 1 FROM devices", _first_int)
NEXT_BATCH = Query("SELECT coalesce(max(batch), 0) + 1 FROM batches", _first_int)
VAULT_TAIL = Query(
    f'SELECT segment, "offset" + {RECORD_BYTES} + header_bytes + payload_bytes FROM parts '
    "ORDER BY batch DESC, part DESC LIMIT 1",
    _tail,
)
EMPTY_TAIL = (1, SEGMENT_HEADER_BYTES)
"""Where the first record goes; what `VAULT_TAIL` finds no row for."""

# Device keys are wrapped, so these two are decoded by who has the store's key.
DEVICES_SQL = "SELECT * FROM devices ORDER BY device"
PAIRINGS_SQL = "SELECT * FROM pairings ORDER BY expires_ms"
KEPT_LINKS_SQL = "SELECT * FROM links WHERE fresh_ms >= ? ORDER BY link"
LINK_SQL = "SELECT * FROM links WHERE link = ?"
