"""Every record comes back from the database as it went in, whatever is in it."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.ranges import Ranges, Verdicts
from gateway.core.records import (
    BatchRow,
    Device,
    LinkRecord,
    Pairing,
    PartRow,
    Session,
    StreamRecord,
    Text,
    Writes,
)
from gateway.ids import U16_MAX, U32_MAX, U64_MAX
from gateway.store import schema
from gateway.store.records import (
    batch_of,
    device_of,
    link_of,
    pairing_of,
    part_of,
    session_of,
    statements,
    stream_of,
    text_of,
)
from gateway.store.wrapping import Secrets

SECRETS = Secrets(bytes(range(32)))

u16, u32, u64 = (st.integers(0, most) for most in (U16_MAX, U32_MAX, U64_MAX))
i64 = st.integers(-(1 << 63), (1 << 63) - 1)
count = st.integers(0, (1 << 63) - 1)
id16, hash32 = st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32)
# A lone surrogate is no text; SQLite's STRICT text columns hold everything else, zero characters too.
word = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
verdict = st.sampled_from(["stored", "closed", "withdrawn", "overlap"])

devices = st.builds(
    Device,
    device=u32,
    name=word,
    key=hash32,
    state=st.sampled_from(["active", "revoked"]),
    created_ms=count,
    hello_seq=st.just(-1) | u64,
    next_key=st.just(b"") | hash32,
    next_by_file=st.booleans(),
)
pairings = st.builds(
    Pairing,
    code=st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", min_size=26, max_size=26),
    expires_ms=count,
    spent_by=st.just(b"") | hash32,
    answer=st.binary(max_size=200),
    name=word,
)
sessions = st.builds(
    Session,
    session=id16,
    commitment=hash32,
    subject=id16,
    purpose=word,
    devices=st.lists(u32, max_size=4).map(tuple),
    kinds=st.lists(u16, max_size=6).map(tuple),
    state=st.sampled_from(["open", "draining", "closed"]),
    opened_ms=count,
    closed_ms=count,
    seq=count,
    prev=st.just(b"") | hash32,
)


@st.composite
def verdicts(draw: st.DrawFn) -> Verdicts:
    made = Verdicts()
    for first, more, said in draw(st.lists(st.tuples(u64, st.integers(0, 50), verdict), max_size=8)):
        made.settle(first, min(first + more, U64_MAX), said)
    return made


@st.composite
def ranges(draw: st.DrawFn) -> Ranges:
    made = Ranges()
    for first, more in draw(st.lists(st.tuples(u64, st.integers(0, 50)), max_size=8)):
        made.add(first, min(first + more, U64_MAX))
    return made


links = st.builds(
    LinkRecord,
    link=u32,
    device=u32,
    run=u64,
    session=st.just(b"") | id16,
    transport=st.sampled_from(["udp", "mqtt"]),
    nonce_d=id16,
    nonce_g=id16,
    key=hash32,
    hello_seq=u64,
    hello=st.binary(max_size=100),
    welcome=st.binary(max_size=100),
    established=st.booleans(),
    state=st.sampled_from(["live", "ended", "moved"]),
    fresh_ms=count,
    done=verdicts(),
    floor=u64,
    bye=st.none() | st.lists(st.tuples(u16, u64), max_size=4),
)
streams = st.builds(
    StreamRecord,
    session=id16,
    device=u32,
    run=u64,
    stream=u16,
    kind=u16,
    total=u64,
    stored=u64,
    refused=st.dictionaries(verdict, u64, max_size=4),
    accounted=ranges(),
    closed_below=u64,
    last_ns=i64,
)
parts = st.builds(
    PartRow,
    batch=count,
    part=u32,
    session=id16,
    segment=count,
    offset=count,
    header_bytes=u32,
    payload_bytes=count,
    frames=u32,
    samples=count,
    first_ns=i64,
    last_ns=i64,
    header_hash=hash32,
)
batches = st.builds(
    BatchRow,
    batch=count,
    entry=count,
    root=hash32,
    parts=u32,
    frames=u32,
    samples=count,
    opened_s=i64,
    sealed_s=i64,
)
texts = st.builds(Text, commit=hash32, subject=id16, sealed=st.binary(max_size=300))


def written(writes: Writes) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(schema.TABLES)
    for _ in range(
        2 if not (writes.parts or writes.batch or writes.entries) else 1
    ):  # the second replaces the first
        for statement in statements(writes, SECRETS):
            connection.executemany(statement.sql, statement.rows)
    return connection


def rows(writes: Writes, table: str) -> Iterator[tuple[object, ...]]:
    connection = written(writes)
    try:
        yield from connection.execute(f"SELECT * FROM {table}").fetchall()
    finally:
        connection.close()


@given(devices)
def test_a_device_comes_back(device: Device) -> None:
    assert [device_of(row, SECRETS) for row in rows(Writes(devices=[device]), "devices")] == [device]


@given(pairings)
def test_a_pairing_comes_back(pairing: Pairing) -> None:
    assert [pairing_of(row, SECRETS) for row in rows(Writes(pairings=[pairing]), "pairings")] == [pairing]


@given(sessions)
def test_a_session_comes_back(session: Session) -> None:
    assert [session_of(row) for row in rows(Writes(sessions=[session]), "sessions")] == [session]


@given(links)
def test_a_link_comes_back(link: LinkRecord) -> None:
    assert [link_of(row, SECRETS) for row in rows(Writes(links=[link]), "links")] == [link]


@given(streams)
def test_a_stream_comes_back(stream: StreamRecord) -> None:
    assert [stream_of(row) for row in rows(Writes(streams=[stream]), "streams")] == [stream]


@given(parts)
def test_a_part_comes_back(part: PartRow) -> None:
    assert [part_of(row) for row in rows(Writes(parts=[part]), "parts")] == [part]


@given(batches)
def test_a_batch_comes_back(batch: BatchRow) -> None:
    assert [batch_of(row) for row in rows(Writes(batch=batch), "batches")] == [batch]


@given(texts)
def test_a_text_comes_back(text: Text) -> None:
    assert [text_of(row) for row in rows(Writes(texts=[text]), "texts")] == [text]


@pytest.mark.parametrize(
    ("record", "table"),
    [
        (Device, "devices"),
        (Session, "sessions"),
        (LinkRecord, "links"),
        (StreamRecord, "streams"),
        (PartRow, "parts"),
        (BatchRow, "batches"),
        (Text, "texts"),
    ],
)
def test_a_table_has_a_column_for_each_field(record: type, table: str) -> None:
    connection = written(Writes())
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    connection.close()
    assert columns == [field.name for field in dataclasses.fields(record)]
