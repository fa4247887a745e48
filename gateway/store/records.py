"""Rows of the database <-> the records of `core/records.py`; one statement and one decoder for each table.

Secrets of devices (keys, pairing codes and answers) are wrapped by `wrapping.Secrets` before they become a row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from gateway.core.ranges import Ranges, Verdicts
from gateway.core.records import (
    BatchRow,
    Device,
    HeadMove,
    LinkRecord,
    Pairing,
    PartRow,
    Session,
    StreamRecord,
    Text,
    Writes,
)
from gateway.errors import Damage
from gateway.ids import DeviceId, LinkId, RunId, SessionId, StreamId, SubjectRef
from gateway.store.wrapping import Secrets

Row = tuple[Any, ...]
"""One row as SQLite gives or takes it; typed by the functions here and nowhere else."""

_T = TypeVar("_T")
_SIGN: Final = 1 << 63
# A device may claim any 64-bit time; a difference of two does not fit a column.
_INT_MIN, _INT_MAX = -(1 << 63), (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a transaction with all its rows.

    Args:
        sql: with `?` for each value.
        rows: at least one.
        exact: code of the error if it does not change exactly one row for each of `rows`; empty for no matter.
    """

    sql: str
    rows: list[Row]
    exact: str = ""


def statements(writes: Writes, secrets: Secrets) -> list[Statement]:
    """The statements of one transaction. Encodes now, so that a record may change while the transaction runs.

    Args:
        writes: what to make durable.
        secrets: for the keys among it.

    Returns:
        Only statements that have rows; the head comes last.
    """
    expired = [pairing for pairing in writes.pairings if not pairing.code]
    found = [
        Statement(_put("devices", 8), [_device_row(device, secrets) for device in writes.devices]),
        Statement(
            _put("pairings", 5), [_pairing_row(item, secrets) for item in writes.pairings if item.code]
        ),
        # A code that is expired is worth nothing: its record goes, and the secret with it.
        Statement(_FORGET_PAIRING, [(item.spent_by, item.expires_ms) for item in expired]),
        Statement(_put("sessions", 11), [_session_row(session) for session in writes.sessions]),
        Statement(_put("links", 18), [_link_row(link, secrets) for link in writes.links]),
        # After the rows above, which may be among them.
        Statement(_DROP_LINK, [(number,) for number in writes.dropped_links]),
        Statement(_put("streams", 11), [_stream_row(stream) for stream in writes.streams]),
        Statement(_put("texts", 3), [(text.commit, text.subject, text.sealed) for text in writes.texts]),
        Statement(_add("parts", 12), [_part_row(part) for part in writes.parts]),
        Statement(_add("batches", 8), [_batch_row(row) for row in (writes.batch, *writes.lost) if row]),
        Statement(_add("entries", 2), list(writes.entries)),
        Statement(_GROW_TILE, list(writes.tiles), "tile_changed"),
        Statement(_SET_BOOT, [] if writes.boot is None else [(str(writes.boot),)]),
        Statement(_MOVE_HEAD, [_head_row(writes.head)] if writes.head else [], "head_moved"),
    ]
    return [statement for statement in found if statement.rows]


def _put(table: str, columns: int) -> str:
    return f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * columns)})"


def _add(table: str, columns: int) -> str:
    # What is sealed or logged is written once: a second row of the same number is a fault and not a newer state.
    return f"INSERT INTO {table} VALUES ({', '.join('?' * columns)})"


_FORGET_PAIRING = "DELETE FROM pairings WHERE spent_by = ? AND expires_ms = ?"
# Whatever is asked: a row that says whose frames a link brought stays, `find` and proofs need it.
_DROP_LINK = "DELETE FROM links WHERE link = ? AND session = x''"
_GROW_TILE = """
INSERT INTO tiles (level, n, data) VALUES (?, ?, ?)
ON CONFLICT (level, n) DO UPDATE SET data = excluded.data
WHERE substr(excluded.data, 1, length(tiles.data)) = tiles.data
"""
_SET_BOOT = "INSERT OR REPLACE INTO meta VALUES ('boot', ?)"
_MOVE_HEAD = "UPDATE head SET size = ?, root = ? WHERE size = ? AND root = ?"


def _head_row(move: HeadMove) -> Row:
    return (move.size, move.root, move.old_size, move.old_root)


def _device_row(device: Device, secrets: Secrets) -> Row:
    return (
        device.device,
        device.name,
        secrets.wrap_key(device.device, device.key),
        device.state,
        device.created_ms,
        _counter_in(device.hello_seq),
        secrets.wrap_key(device.device, device.next_key),
        device.next_by_file,
    )


def device_of(row: Row, secrets: Secrets) -> Device:
    """A row of `devices`."""
    number, name, key, state, created_ms, hello_seq, next_key, next_by_file = row
    return Device(
        device=DeviceId(number),
        name=name,
        key=secrets.unwrap_key(number, key),
        state=state,
        created_ms=created_ms,
        hello_seq=_counter_out(hello_seq),
        next_key=secrets.unwrap_key(number, next_key),
        next_by_file=bool(next_by_file),
    )


def _pairing_row(pairing: Pairing, secrets: Secrets) -> Row:
    return (
        secrets.pairing_id(pairing.code),
        secrets.wrap_pairing(pairing),
        pairing.expires_ms,
        pairing.spent_by,
        pairing.name,
    )


def pairing_of(row: Row, secrets: Secrets) -> Pairing:
    """A row of `pairings`."""
    _, secret, expires_ms, spent_by, name = row
    code, answer = secrets.unwrap_pairing(secret)
    return Pairing(code=code, expires_ms=expires_ms, spent_by=spent_by, answer=answer, name=name)


def _session_row(session: Session) -> Row:
    return (
        session.session,
        session.commitment,
        session.subject,
        session.purpose,
        msgspec.msgpack.encode(session.devices),
        msgspec.msgpack.encode(session.kinds),
        session.state,
        session.opened_ms,
        session.closed_ms,
        session.seq,
        session.prev,
    )


def session_of(row: Row) -> Session:
    """A row of `sessions`."""
    session, commitment, subject, purpose, devices, kinds, state, opened_ms, closed_ms, seq, prev = row
    return Session(
        session=SessionId(session),
        commitment=commitment,
        subject=SubjectRef(subject),
        purpose=purpose,
        devices=tuple(DeviceId(number) for number in _decode(devices, tuple[int, ...])),
        kinds=_decode(kinds, tuple[int, ...]),
        state=state,
        opened_ms=opened_ms,
        closed_ms=closed_ms,
        seq=seq,
        prev=prev,
    )


def _link_row(link: LinkRecord, secrets: Secrets) -> Row:
    return (
        link.link,
        link.device,
        _signed(link.run),
        link.session,
        link.transport,
        link.nonce_d,
        link.nonce_g,
        secrets.wrap_key(link.device, link.key),
        _counter_in(link.hello_seq),
        link.hello,
        link.welcome,
        link.established,
        link.state,
        link.fresh_ms,
        msgspec.msgpack.encode(link.done.rows()),
        _signed(link.floor),
        None if link.bye is None else msgspec.msgpack.encode(link.bye),
        None if link.clock_ns is None else min(max(link.clock_ns, _INT_MIN), _INT_MAX),
    )


def link_of(row: Row, secrets: Secrets) -> LinkRecord:
    """A row of `links`."""
    (number, device, run, session, transport, nonce_d, nonce_g, key, hello_seq) = row[:9]
    (hello, welcome, established, state, fresh_ms, done, floor, bye, clock_ns) = row[9:]
    return LinkRecord(
        link=LinkId(number),
        device=DeviceId(device),
        run=RunId(_unsigned(run)),
        session=SessionId(session),
        transport=transport,
        nonce_d=nonce_d,
        nonce_g=nonce_g,
        key=secrets.unwrap_key(device, key),
        hello_seq=_counter_out(hello_seq),
        hello=hello,
        welcome=welcome,
        established=bool(established),
        state=state,
        fresh_ms=fresh_ms,
        done=Verdicts(_decode(done, list[tuple[int, int, str]])),
        floor=_unsigned(floor),
        bye=None if bye is None else _decode(bye, list[tuple[int, int]]),
        clock_ns=clock_ns,
    )


def link_owner_of(row: Row) -> tuple[int, tuple[SessionId, DeviceId, RunId]]:
    """Number of a link, and what it belongs to; needs no key."""
    number, session, device, run = row
    return int(number), (SessionId(session), DeviceId(device), RunId(_unsigned(run)))


def _stream_row(stream: StreamRecord) -> Row:
    return (
        stream.session,
        stream.device,
        _signed(stream.run),
        stream.stream,
        stream.kind,
        _signed(stream.total),
        _signed(stream.stored),
        msgspec.msgpack.encode(stream.refused),
        msgspec.msgpack.encode(stream.accounted.flat()),
        _signed(stream.closed_below),
        stream.last_ns,
    )


def stream_of(row: Row) -> StreamRecord:
    """A row of `streams`."""
    session, device, run, stream, kind, total, stored, refused, accounted, closed_below, last_ns = row
    return StreamRecord(
        session=SessionId(session),
        device=DeviceId(device),
        run=RunId(_unsigned(run)),
        stream=StreamId(stream),
        kind=kind,
        total=_unsigned(total),
        stored=_unsigned(stored),
        refused=_decode(refused, dict[str, int]),
        accounted=Ranges(_decode(accounted, list[int])),
        closed_below=_unsigned(closed_below),
        last_ns=last_ns,
    )


def _part_row(part: PartRow) -> Row:
    return (
        part.batch,
        part.part,
        part.session,
        part.segment,
        part.offset,
        part.header_bytes,
        part.payload_bytes,
        part.frames,
        part.samples,
        part.first_ns,
        part.last_ns,
        part.header_hash,
    )


def part_of(row: Row) -> PartRow:
    """A row of `parts`."""
    return PartRow(*row)


def _batch_row(batch: BatchRow) -> Row:
    return (
        batch.batch,
        batch.entry,
        batch.root,
        batch.parts,
        batch.frames,
        batch.samples,
        batch.opened_s,
        batch.sealed_s,
    )


def batch_of(row: Row) -> BatchRow:
    """A row of `batches`."""
    return BatchRow(*row)


def text_of(row: Row) -> Text:
    """A row of `texts`."""
    commit, subject, sealed = row
    return Text(commit=commit, subject=SubjectRef(subject), sealed=sealed)


def entries_in_order(rows: Iterable[Row], first: int) -> list[bytes]:
    """Leaf data of consecutive entries.

    Args:
        rows: `(idx, data)` ascending.
        first: index that the first must have.

    Raises:
        Damage: `entry_missing`, there is a hole among them.
    """
    entries: list[bytes] = []
    for at, (index, data) in enumerate(rows, first):
        if index != at:
            raise Damage("entry_missing", f"entry {at} is not in the database", where={"entry": at})
        entries.append(data)
    return entries


def _signed(number: int) -> int:
    return number - (number & _SIGN) * 2


def _unsigned(number: int) -> int:
    return number & (_SIGN * 2 - 1)


def _counter_in(number: int) -> int | None:
    # -1 stands for "none yet" and must not become the u64 of the same bits.
    return None if number < 0 else _signed(number)


def _counter_out(number: int | None) -> int:
    return -1 if number is None else _unsigned(number)


def _decode(data: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Damage(
            "row", f"a row of the database does not decode as {kind}", "Run `vestibule fsck`."
        ) from error
