"""The database: one transaction or nothing, and a store that must not be opened is not."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

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
from gateway.errors import Damage, Divergence, SignatureError, StoreError, StoreRefused
from gateway.ids import DeviceId, LinkId, RunId, SessionId, StreamId, SubjectRef
from gateway.store import queries
from gateway.store.db import Database
from gateway.store.load import load_state
from gateway.store.queries import Head
from gateway.store.snapshot import Snapshot
from gateway.store.vault import RECORD_BYTES
from gateway.tlog.merkle import EMPTY_ROOT, leaf_hash, root_of
from gateway.tlog.tiles import frontier_from_tiles, tile_updates

STORE_KEY = bytes(range(32))
DEVICE_KEY, OTHER_KEY = b"K" * 32, b"L" * 32
CODE = "ABCDEFGHIJKLMNOPQRSTUVWXY2"
HASH = sha256(b"some hash").digest()


async def failure(work: Awaitable[object]) -> BaseException | None:
    """What it raised."""
    try:
        await work
    except Exception as error:
        return error
    return None


def session(number: int, state: str = "open") -> Session:
    return Session(
        session=SessionId(bytes([number]) * 16),
        commitment=sha256(bytes([number])).digest(),
        subject=SubjectRef(bytes([number + 100]) * 16),
        purpose="therapy",
        devices=(DeviceId(1), DeviceId(2)),
        kinds=(1, 2, 7),
        state=state,
        opened_ms=1_700_000_000_000 + number,
        seq=3,
        prev=HASH,
    )


def link(number: int, state: str = "live", of: int = 1) -> LinkRecord:
    return LinkRecord(
        link=LinkId(number),
        device=DeviceId(1),
        run=RunId((1 << 64) - 1),
        session=SessionId(bytes([of]) * 16),
        transport="udp",
        nonce_d=bytes(16),
        nonce_g=b"g" * 16,
        key=DEVICE_KEY,
        hello_seq=4,
        hello=b"hello",
        welcome=b"welcome",
        established=True,
        state=state,
        fresh_ms=1_700_000_000_123,
        done=Verdicts([(0, 9, "stored"), (11, 11, "withdrawn")]),
        floor=5,
        bye=[(1, 500), (2, 0)],
        clock_ns=-1_700_000_000_000_000_000,
    )


def stream(of: int, number: int = 1) -> StreamRecord:
    return StreamRecord(
        session=SessionId(bytes([of]) * 16),
        device=DeviceId(1),
        run=RunId((1 << 64) - 1),
        stream=StreamId(number),
        kind=1,
        total=100,
        stored=90,
        refused={"withdrawn": 4},
        accounted=Ranges([0, 93]),
        closed_below=3,
        last_ns=-5,
    )


def part(batch: int, number: int, of: int = 1) -> PartRow:
    return PartRow(
        batch,
        number,
        SessionId(bytes([of]) * 16),
        1,
        64 + 1000 * batch + 100 * number,
        40,
        32,
        2,
        20,
        5,
        6,
        HASH,
    )


def batch(number: int, entry: int = 0) -> BatchRow:
    return BatchRow(number, entry, HASH, 2, 4, 40, 1_700_000_000, 1_700_000_001)


def everything() -> Writes:
    return Writes(
        devices=[Device(DeviceId(1), "headset 1", DEVICE_KEY, "active", 1, 9, OTHER_KEY)],
        pairings=[Pairing(CODE, 600_000, HASH, b"PAIRED", "room 2")],
        sessions=[session(1), session(2, "draining"), session(3, "closed")],
        links=[link(1), link(2, "moved"), link(3, "ended")],
        streams=[stream(1), stream(2), stream(3)],
        texts=[Text(HASH, SubjectRef(bytes(16)), b"sealed")],
        parts=[part(1, 0), part(1, 1, of=3)],
        batch=batch(1),
        entries=[(0, b"entry 0")],
        tiles=[(0, 0, leaf_hash(b"entry 0"))],
        head=HeadMove(0, EMPTY_ROOT, 1, leaf_hash(b"entry 0")),
        boot=7,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
async def db(path: Path) -> AsyncIterator[Database]:
    db = await Database.open(path, STORE_KEY, create=True)
    yield db
    await db.close()


def contents(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """All rows, as another process sees them."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables}


async def test_a_new_database_is_empty_private_and_safe(db: Database, path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.with_name("state.db-wal").stat().st_mode & 0o777 == 0o600
    assert await db.head() == Head(0, EMPTY_ROOT)
    assert await db.last_batch() is None
    state = await load_state(db)
    assert (state.next_link, state.next_device, state.next_batch, state.boot) == (1, 1, 1, 0)
    assert state.vault_tail == (1, 64)
    writer = db._writer
    for pragma, expected in [("synchronous", 2), ("journal_mode", "wal"), ("mmap_size", 0)]:
        assert list(await writer.execute_fetchall(f"PRAGMA {pragma}")) == [(expected,)]


async def test_what_is_committed_is_loaded_after_a_restart(db: Database, path: Path) -> None:
    writes = everything()
    await db.commit(writes)
    await db.close()
    again = await Database.open(path, STORE_KEY)
    try:
        state = await load_state(again)
        assert state.devices == writes.devices
        assert state.pairings == writes.pairings
        assert state.sessions == [session(1), session(2, "draining")]
        assert state.links == [link(1), link(2, "moved"), link(3, "ended")]
        assert state.streams == [stream(1), stream(2)]
        assert (state.next_link, state.next_device, state.next_batch, state.boot) == (4, 2, 2, 7)
        assert state.head == Head(1, leaf_hash(b"entry 0"))
        assert state.vault_tail == (1, part(1, 1).offset + RECORD_BYTES + 72)
        assert await again.session_rows(all=True) == writes.sessions
        assert await again.session(session(3).session) == session(3, "closed")
        assert await again.streams_of(session(3).session) == [stream(3)]
        assert await again.link(2) == link(2, "moved")
        assert await again.link(99) is None
        assert await again.text(HASH) == writes.texts[0]
        assert await again.texts_of(bytes(16)) == writes.texts
        assert await again.batch(1) == await again.last_batch() == batch(1)
        assert await again.parts_of(1) == writes.parts
        assert await again.parts_of_session(session(3).session) == [part(1, 1, of=3)]
        assert await again.entry(0) == b"entry 0"
        assert await again.entry(1) is None
        assert await again.tile(0, 0) == leaf_hash(b"entry 0")
    finally:
        await again.close()


async def test_rows_are_replaced_by_their_newer_state(db: Database) -> None:
    await db.commit(everything())
    newer = replace(stream(1), total=200, stored=190, accounted=Ranges([0, 193]))
    ended = replace(link(1), state="ended")
    await db.commit(Writes(streams=[newer], links=[ended], sessions=[session(1, "closed")]))
    state = await load_state(db)
    assert state.links[0] == ended
    assert state.streams == [stream(2)]
    assert await db.streams_of(session(1).session) == [newer]


async def test_no_device_key_nor_code_stands_in_the_file(db: Database, path: Path) -> None:
    await db.commit(everything())
    await db.close()
    data = path.read_bytes()
    for secret in (DEVICE_KEY, OTHER_KEY, CODE.encode(), b"PAIRED"):
        assert secret not in data
    assert b"headset 1" in data


async def test_another_stores_key_does_not_open_the_devices(db: Database, path: Path) -> None:
    await db.commit(everything())
    await db.close()
    other = await Database.open(path, bytes(32))
    try:
        with pytest.raises(SignatureError):
            await load_state(other)
    finally:
        await other.close()


async def test_a_spent_pairing_is_forgotten(db: Database) -> None:
    await db.commit(everything())
    other = Pairing("Z" * 26, 600_001)
    await db.commit(Writes(pairings=[Pairing("", 600_000, HASH, b"", "room 2"), other]))
    assert (await load_state(db)).pairings == [other]


async def test_an_expired_pairing_is_forgotten_unspent_too(db: Database) -> None:
    await db.commit(Writes(pairings=[Pairing(CODE, 600_000), Pairing("Z" * 26, 600_001)]))
    await db.commit(Writes(pairings=[Pairing("", 600_000)]))
    assert (await load_state(db)).pairings == [Pairing("Z" * 26, 600_001)]


async def test_a_link_is_dropped_only_if_nothing_was_filed_under_it(db: Database) -> None:
    waiting = [replace(link(number), session=SessionId(b"")) for number in (4, 5)]
    await db.commit(Writes(links=[link(1), *waiting]))
    new = replace(link(6), session=SessionId(b""))
    await db.commit(Writes(links=[new, waiting[0]], dropped_links=[LinkId(n) for n in (1, 4, 6, 9)]))
    assert (await load_state(db)).links == [link(1), waiting[1]]


async def test_links_that_a_start_does_not_read_are_ended_for_good(db: Database) -> None:
    at_ms = link(1).fresh_ms
    waiting = [replace(link(n), session=SessionId(b""), fresh_ms=at_ms - 1) for n in (2, 3, 5)]
    revoked = replace(link(4, "revoked"), fresh_ms=at_ms - 1)
    idle = replace(link(6), fresh_ms=at_ms - 1)
    await db.commit(Writes(links=[link(1), *waiting, revoked, idle]))
    await db.end_links(at_ms)
    ended = replace(idle, state="ended", hello=b"", welcome=b"")
    assert (await load_state(db)).links == [link(1), revoked, ended]
    await db.commit(Writes(dropped_links=[LinkId(6)]))
    assert (await load_state(db)).next_link == 7
    last = replace(waiting[0], link=LinkId(7))
    await db.commit(Writes(links=[last]))
    await db.end_links(at_ms)
    state = await load_state(db, at_ms)
    assert state.links == [link(1)]
    assert state.next_link == 8, "a number is never given twice"


def conflicts() -> Iterator[tuple[str, Writes, type[Exception], str]]:
    new = Writes(sessions=[session(9)], links=[link(9)], boot=8)
    yield "entry", replace(new, entries=[(1, b"one"), (0, b"again")]), StoreError, "conflict"
    yield "batch", replace(new, batch=batch(1)), StoreError, "conflict"
    yield "part", replace(new, parts=[part(2, 0), part(1, 1)]), StoreError, "conflict"
    yield "number", replace(new, batch=replace(batch(2), samples=1 << 64)), StoreError, "row"
    yield "size", replace(new, head=HeadMove(0, EMPTY_ROOT, 2, HASH)), Divergence, "head_moved"
    yield "root", replace(new, head=HeadMove(1, HASH, 2, HASH)), Divergence, "head_moved"
    yield "tile", replace(new, tiles=[(0, 1, HASH), (0, 0, HASH + HASH)]), Divergence, "tile_changed"


@pytest.mark.parametrize(
    ("writes", "error", "code"), [case[1:] for case in conflicts()], ids=[c[0] for c in conflicts()]
)
async def test_a_transaction_that_fails_leaves_nothing(
    writes: Writes, error: type[Exception], code: str, db: Database, path: Path
) -> None:
    await db.commit(everything())
    before = contents(path)
    with pytest.raises(error) as caught:
        await db.commit(writes)
    assert caught.value.code == code
    assert getattr(caught.value, "fatal", True) == (code != "row")
    assert contents(path) == before
    # and the next one is not disturbed
    await db.commit(Writes(head=HeadMove(1, leaf_hash(b"entry 0"), 2, HASH)))
    assert (await db.head()).size == 2


async def test_the_head_is_moved_by_compare_and_swap(db: Database) -> None:
    first = HeadMove(0, EMPTY_ROOT, 1, HASH)
    await db.commit(Writes(head=first))
    with pytest.raises(Divergence):
        await db.commit(Writes(head=first))
    assert await db.head() == Head(1, HASH)


async def test_a_record_that_changes_meanwhile_is_written_as_it_was(db: Database) -> None:
    record = stream(1)
    commit = asyncio.ensure_future(db.commit(Writes(streams=[record])))
    await asyncio.sleep(0)
    record.stored = 0
    record.accounted.add(500, 600)
    await commit
    assert await db.streams_of(record.session) == [stream(1)]


async def test_commits_run_one_after_another(db: Database) -> None:
    roots = [EMPTY_ROOT] + [sha256(bytes([n])).digest() for n in range(20)]
    moves = [HeadMove(n, roots[n], n + 1, roots[n + 1]) for n in range(20)]
    await asyncio.gather(*(db.commit(Writes(head=move, entries=[(move.old_size, b"e")])) for move in moves))
    assert await db.head() == Head(20, roots[20])
    assert len(await db.entries(0, 100)) == 20


async def test_a_cancelled_commit_is_whole(db: Database) -> None:
    task = asyncio.ensure_future(db.commit(everything()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await db.head()).size == 1
    assert await db.session_rows(all=True) == everything().sessions
    await db.commit(Writes(boot=8))


@contextmanager
def no_file_beyond(n_bytes: int) -> Iterator[None]:
    """A real failure of write: no file of this process may become longer."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


async def test_an_error_before_commit_is_rolled_back(db: Database, path: Path) -> None:
    await db.commit(Writes(boot=1))
    before = contents(path)
    # more than the cache holds, so that pages are written before COMMIT
    large = Writes(entries=[(n, os.urandom(60_000)) for n in range(400)], boot=2)
    with no_file_beyond(4 << 20), pytest.raises(StoreError) as caught:
        await db.commit(large)
    assert not caught.value.fatal
    assert contents(path) == before
    await db.commit(large)
    assert (await load_state(db)).boot == 2


async def test_an_error_of_commit_is_fatal_and_the_last(db: Database, path: Path) -> None:
    await db.commit(Writes(boot=1))
    wal = path.with_name("state.db-wal").stat().st_size
    with no_file_beyond(wal), pytest.raises(StoreError) as caught:
        await db.commit(Writes(boot=2, entries=[(0, bytes(10_000))]))
    assert caught.value.fatal
    assert caught.value.exit_code == 75
    with pytest.raises(StoreError) as caught:
        await db.commit(Writes(boot=3))
    assert caught.value.code == "commit_unknown"
    assert caught.value.fatal
    # only a fresh process knows; either answer is whole
    await db.close()
    again = await Database.open(path, STORE_KEY)
    try:
        assert ((await load_state(again)).boot, await again.entry(0)) in [(1, None), (2, bytes(10_000))]
    finally:
        await again.close()


async def test_a_restored_backup_kills_all_links(db: Database) -> None:
    await db.commit(Writes(links=[link(1), link(2), link(3, "ended")]))
    assert await db.kill_links() == 2
    assert [one.state for one in (await load_state(db)).links] == ["moved", "moved", "ended"]
    assert [(await db.link(n)).state for n in (1, 2, 3)] == ["moved", "moved", "ended"]  # type: ignore[union-attr]


async def test_a_hole_among_the_entries_is_damage(db: Database, path: Path) -> None:
    await db.commit(Writes(entries=[(0, b"a"), (1, b"b"), (3, b"d")]))
    assert await db.entries(0, 2) == [b"a", b"b"]
    with pytest.raises(Damage) as caught:
        await db.entries(0, 10)
    assert caught.value.where == {"entry": 2}


async def test_facts_about_the_store_are_kept(db: Database) -> None:
    assert await db.meta("origin") is None
    await db.set_meta("origin", "rig1.clinic.example/vestibule")
    assert await db.meta("origin") == "rig1.clinic.example/vestibule"


@pytest.mark.parametrize(
    ("pragma", "code", "hint"),
    [
        ("user_version=2", "newer", "newer"),
        ("user_version=0", "older", "migrate"),
        ("application_id=1", "not_ours", ""),
    ],
)
async def test_another_format_is_refused_and_left_alone(
    pragma: str, code: str, hint: str, db: Database, path: Path
) -> None:
    await db.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA {pragma}")
        connection.execute("PRAGMA journal_mode=DELETE")
    before = path.read_bytes()
    for create in (False, True):
        with pytest.raises(StoreRefused) as caught:
            await Database.open(path, STORE_KEY, create=create)
        assert caught.value.code == code
        assert hint in caught.value.hint
        assert caught.value.exit_code == 78
    with pytest.raises(StoreRefused):
        Snapshot(path)
    assert path.read_bytes() == before


async def test_only_init_makes_a_store(path: Path) -> None:
    with pytest.raises(StoreRefused) as caught:
        await Database.open(path, STORE_KEY)
    assert caught.value.code == "store_missing"
    assert not path.exists()
    path.touch(0o600)
    with pytest.raises(StoreRefused):
        await Database.open(path, STORE_KEY)
    unfinished = await Database.open(path, STORE_KEY, create=True)
    await unfinished.commit(Writes(boot=1))
    await unfinished.close()
    again = await Database.open(path, STORE_KEY, create=True)
    assert (await load_state(again)).boot == 1
    await again.close()


async def test_a_file_that_is_no_database_is_damage(path: Path) -> None:
    path.write_bytes(b"this is not a database at all" * 100)
    with pytest.raises(Damage):
        await Database.open(path, STORE_KEY)
    with pytest.raises(Damage):
        Snapshot(path)


async def test_a_snapshot_stays_as_it_was_while_the_daemon_writes(db: Database, path: Path) -> None:
    await db.commit(everything())
    with Snapshot(path) as snapshot:
        head = Head(1, leaf_hash(b"entry 0"))
        assert snapshot.head() == head
        await db.commit(Writes(entries=[(1, b"new")], head=HeadMove(1, head.root, 2, HASH)))
        assert snapshot.head() == head
        assert snapshot.entries(0, 10) == [b"entry 0"]
        assert list(snapshot.iter_entries()) == [(0, b"entry 0")]
        assert snapshot.session_rows(all=True) == everything().sessions
        assert snapshot.session_rows() == everything().sessions[:2]
        assert list(snapshot.iter_parts()) == snapshot.parts_of(1) == everything().parts
        assert snapshot.parts_of_session(session(1).session) == [part(1, 0)]
        assert list(snapshot.iter_batches()) == [batch(1)] == [snapshot.last_batch()]
        assert list(snapshot.iter_streams()) == everything().streams
        assert snapshot.streams_of(session(2).session) == [stream(2)]
        assert list(snapshot.iter_tiles()) == everything().tiles
        assert snapshot.text(HASH) == everything().texts[0]
        assert snapshot.session(bytes(16)) is None
        assert snapshot.vault_tail() == await db.vault_tail()
        assert snapshot.integrity() == []
        with pytest.raises(sqlite3.OperationalError):
            snapshot._connection.execute("DELETE FROM entries")
    with Snapshot(path) as later:
        assert later.head().size == 2


async def test_tiles_grow_and_a_snapshot_gives_any_earlier_edge(db: Database, path: Path) -> None:
    leaves = [leaf_hash(b"%d" % n) for n in range(600)]
    root, tails = EMPTY_ROOT, dict[int, bytes]()
    for old, new in [(0, 1), (1, 255), (255, 257), (257, 600)]:
        rows = tile_updates(old, leaves[old:new], tails)
        for row in rows:
            tails[row.level] = b"" if len(row.data) == 256 * 32 else row.data
        tiles = [(row.level, row.n, row.data) for row in rows]
        move = HeadMove(old, root, new, root_of(leaves[:new]))
        await db.commit(Writes(tiles=tiles, head=move))
        root = move.root
    with Snapshot(path) as snapshot:
        for size in (1, 7, 256, 257, 512, 600):
            assert frontier_from_tiles(snapshot, size).root() == root_of(leaves[:size])
        assert snapshot.hash_tile(0, 0, 3) == b"".join(leaves[:3])
        with pytest.raises(Damage) as caught:
            snapshot.hash_tile(0, 2, 256)
        assert caught.value.where == {"level": 0, "tile": 2}


async def test_a_text_that_is_none_any_more_is_damage(db: Database, path: Path) -> None:
    await db.commit(everything())
    with closing(sqlite3.connect(path)) as other:
        other.execute("UPDATE sessions SET purpose = CAST(x'ff6869' AS TEXT)")
        other.commit()
    for error in [await failure(db.session_rows()), await failure(load_state(db))]:
        assert isinstance(error, Damage)
        assert error.code == "database"
    with Snapshot(path) as snapshot, pytest.raises(Damage, match="the file is damaged"):
        snapshot.session_rows(all=True)


async def test_a_damaged_schema_is_damage_though_it_cannot_be_quoted(db: Database, path: Path) -> None:
    await db.commit(everything())
    await db.close()
    data = path.read_bytes()
    # "CREATE TABLE sessions": what SQLite cannot parse it puts into its words, and these are no UTF-8.
    assert data.count(b"CREATE TABLE sessions") == 1
    path.write_bytes(data.replace(b"CREATE TABLE sessions", b"CREATE T\xffBLE sessions"))
    assert isinstance(await failure(Database.open(path, STORE_KEY)), Damage)
    with pytest.raises(Damage):
        Snapshot(path)


async def test_a_flipped_page_is_found(db: Database, path: Path) -> None:
    await db.commit(Writes(entries=[(n, bytes(500)) for n in range(200)]))
    await db.close()
    data = bytearray(path.read_bytes())
    for page in range(1, len(data) // 4096):
        data[page * 4096] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(Damage):
        with Snapshot(path) as snapshot:
            list(snapshot.iter_entries())


async def test_a_start_knows_which_withdrawals_a_device_may_not_have_heard(db: Database, path: Path) -> None:
    sessions = [
        session(1, "withdrawn"),
        session(2, "withdrawing"),
        session(3, "withdrawn"),
        session(4, "closed"),
    ]
    links = [link(1), link(2), link(3, of=2), link(4, "ended", of=3), link(5, of=4)]
    await db.commit(Writes(sessions=sessions, links=links, streams=[stream(n) for n in (1, 2, 3)]))
    state = await load_state(db)
    assert state.withdrawn == [session(1).session]
    assert state.sessions == [session(2, "withdrawing")], "one that is not over goes on where it was"
    assert {one.session for one in state.streams} == {session(2).session}
    with closing(sqlite3.connect(path)) as reader:
        for query in (queries.SESSIONS, queries.STREAMS_TO_LOAD):
            plan = " ".join(row[3] for row in reader.execute(f"EXPLAIN QUERY PLAN {query.sql}"))
            assert "sessions_not_over" in plan, "a start must not walk through all sessions there ever were"
        plan = " ".join(row[3] for row in reader.execute(f"EXPLAIN QUERY PLAN {queries.WITHDRAWN.sql}"))
        assert "links_live" in plan
