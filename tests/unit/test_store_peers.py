"""peers.db: one transaction or nothing, promises that only move on, and what a start makes of it."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from peer_keeps import fork_of, grown

from gateway.core.follow import KeepCosigned, KeepEntries, KeepFork, KeepHead, KeepRoster
from gateway.errors import Damage, Divergence, LocalError, StoreError, StoreRefused
from gateway.store.peer_rows import StoredLog
from gateway.store.peers import PeerState, PeerStore
from gateway.tlog.fork import Fork, fork_id
from gateway.tlog.merkle import EMPTY_ROOT
from gateway.tlog.note import MAX_NOTE_BYTES
from gateway.tlog.tiles import TileWrite, tails_at
from tests.sim.peer_logs import Branch, log_vkey

ALICE, BOB = Branch("alice"), Branch("bob")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "peers.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[PeerStore]:
    opened = await PeerStore.open(path, create=True)
    yield opened
    await opened.close()


async def reopened(store: PeerStore, path: Path) -> PeerState:
    """What the next start reads."""
    await store.close()
    again = await PeerStore.open(path)
    try:
        return await again.load()
    finally:
        await again.close()


def check_log(kept: StoredLog, one: Branch) -> None:
    size = one.size
    assert (kept.size, kept.root, kept.note) == (size, one.roots[size], one.note())
    assert (kept.tree.size, kept.tree.root()) == (size, one.roots[size])
    assert kept.tails == {
        tail.level: one.hash_tile(tail.level, tail.n, tail.width) for tail in tails_at(size)
    }
    assert (kept.whole, kept.whole_size) == (one.note(), size)


def damage(path: Path, sql: str, *args: object) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute(sql, args).rowcount == 1
        connection.commit()


# ---- what is kept --------------------------------------------------------------------------------------------------


async def test_a_new_file_is_empty_private_fresh_and_safe(store: PeerStore, path: Path) -> None:
    state = await store.load()
    assert state == PeerState(True, 0, b"", {}, None, ())
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.with_name("peers.db-wal").stat().st_mode & 0o777 == 0o600
    for pragma, value in [("journal_mode", "wal"), ("synchronous", 2), ("application_id", 0x56545350)]:
        assert store._writer.connection.execute(f"PRAGMA {pragma}").fetchone()[0] == value
    with pytest.raises(sqlite3.OperationalError):
        store._rows.connection.execute("DELETE FROM logs")


async def test_what_is_kept_is_loaded_after_a_restart(store: PeerStore, path: Path) -> None:
    alice, bob = Branch("alice"), Branch("bob")
    roster, cosigned = KeepRoster(1, b"{...}"), KeepCosigned(77, b"note", 1234)
    await store.keep([*grown(alice, 300), roster, *grown(bob, 7), cosigned])
    await store.keep(
        [*grown(alice, 1), *grown(alice, 700), KeepRoster(2, b"{2}"), replace(cosigned, size=78)]
    )
    fork = fork_of(bob)
    await store.keep([KeepFork(bob.origin, fork, 55)])
    state = await reopened(store, path)
    assert list(state.logs) == [alice.origin, bob.origin]
    check_log(state.logs[alice.origin], alice)
    check_log(state.logs[bob.origin], bob)
    assert (state.roster_version, state.roster) == (2, b"{2}")
    assert state.cosigned == KeepCosigned(78, b"note", 1234)
    assert (state.logs[alice.origin].frozen, state.logs[bob.origin].frozen) == (False, True)
    assert state.dropped == ()


async def test_state_becomes_what_the_machines_go_on_with(store: PeerStore) -> None:
    alice, keys = Branch("alice"), (log_vkey("alice"),)
    await store.keep([*grown(alice, 300), KeepFork(alice.origin, fork_of(alice), 1)])
    kept = (await store.load()).logs[alice.origin]
    log = kept.followed(keys)
    assert (log.size, log.root, log.note, log.whole_size) == (300, alice.roots[300], alice.note(), 300)
    assert log.tree.size == 300
    assert (log.vkeys, log.frozen, log.data, log.ours) == (keys, True, True, False)
    only_witnessed = kept.followed(keys, data=False)
    assert (only_witnessed.size, only_witnessed.tree.size, only_witnessed.frozen) == (300, 300, False)
    ours = kept.followed(keys, ours=True)
    assert (ours.size, ours.tree.size, ours.frozen) == (300, 0, True)
    log.tree.append(bytes(32))
    assert kept.tree.size == 300  # each has its own


@given(st.lists(st.integers(0, 3) | st.sampled_from([253, 255, 256, 257, 511, 600]), max_size=8))
def test_any_steps_of_growth(tmp_path_factory: pytest.TempPathFactory, steps: list[int]) -> None:
    async def grow() -> None:
        path = tmp_path_factory.mktemp("peers") / "peers.db"
        store = await PeerStore.open(path, create=True)
        alice = Branch("alice")
        for count in steps:
            await store.keep(grown(alice, count))
            shelf = store.shelf(alice.origin)
            assert shelf.entries(alice.size - count, count + 1) == alice.data[alice.size - count :]
        state = await reopened(store, path)
        if steps:
            check_log(state.logs[alice.origin], alice)

    asyncio.run(grow())


async def test_a_head_may_be_ahead_of_its_tree(store: PeerStore, path: Path) -> None:
    alice = Branch("alice")
    first, entries = grown(alice, 300)
    head, _ = grown(alice, 100)
    await store.keep([first, head, entries])
    kept = (await reopened(store, path)).logs[alice.origin]
    assert (kept.size, kept.tree.size, kept.whole_size) == (400, 300, 300)


async def test_a_note_that_comes_after_its_entries(store: PeerStore) -> None:
    alice = Branch("alice")
    head, entries = grown(alice, 300)
    assert isinstance(entries, KeepEntries)
    await store.keep([head, replace(entries, whole=b"")])
    kept = (await store.load()).logs[alice.origin]
    assert (kept.tree.size, kept.whole, kept.whole_size) == (300, b"", 0)
    await store.keep([KeepEntries(alice.origin, 300, (), (), 300, entries.root, alice.note())])
    check_log((await store.load()).logs[alice.origin], alice)


async def test_evidence_stays_and_is_kept_once(store: PeerStore, path: Path) -> None:
    alice, bob = Branch("alice"), Branch("bob")
    alice.grow(5)
    bob.grow(9)
    first, second = fork_of(alice), fork_of(bob)
    keeps = [
        KeepFork(alice.origin, first, 1),
        KeepFork(bob.origin, second, 2),
        KeepFork(alice.origin, first, 3),
    ]
    await store.keep(keeps)
    await store.keep(keeps)
    kept = await store.forks()
    assert [(fork.id, fork.origin, fork.seen_ms) for fork in kept] == [
        (fork_id(first), alice.origin, 1),
        (fork_id(second), bob.origin, 2),
    ]
    assert kept[0].data == first.encode()
    state = await reopened(store, path)
    assert {origin: log.frozen for origin, log in state.logs.items()} == {
        alice.origin: True,
        bob.origin: True,
    }


async def test_evidence_that_is_too_large_is_ours_to_refuse(store: PeerStore) -> None:
    fork = Fork(b"a" * MAX_NOTE_BYTES, b"b" * MAX_NOTE_BYTES, bytes(32), (bytes(32),) * 10_000)
    with pytest.raises(LocalError):
        await store.keep([KeepRoster(1, b"{}"), KeepFork(ALICE.origin, fork, 1)])
    assert await store.rosters() == []


async def test_a_version_of_the_roster_is_written_once(store: PeerStore) -> None:
    await store.keep([KeepRoster(2, b"two"), KeepRoster(1, b"one")])
    await store.keep([KeepRoster(2, b"another two")])
    assert await store.rosters() == [KeepRoster(1, b"one"), KeepRoster(2, b"two")]


# ---- what is refused -----------------------------------------------------------------------------------------------


async def test_a_head_only_moves_on_from_where_it_is(store: PeerStore) -> None:
    alice = Branch("alice")
    alice.grow(20)
    root, other = alice.roots, bytes(range(32))

    def head(old: int, new: int, at: bytes) -> KeepHead:
        return KeepHead(alice.origin, old, new, at, b"note %d" % new)

    await store.keep([head(0, 0, EMPTY_ROOT), head(0, 10, root[10])])
    await store.keep([head(10, 10, root[10])])  # signed again, by the next key
    for wrong in [
        head(0, 11, root[11]),
        head(9, 11, root[11]),
        head(11, 12, root[12]),
        head(10, 9, root[9]),
        head(10, 10, other),
        head(10, 0, EMPTY_ROOT),
    ]:
        with pytest.raises(Divergence) as caught:
            await store.keep([KeepRoster(5, b"with it"), wrong])
        assert caught.value.code == "peer_head"
    assert await store.rosters() == []
    kept = (await store.load()).logs[alice.origin]
    assert (kept.size, kept.root, kept.note) == (10, root[10], b"note 10")
    await store.keep([head(10, 11, root[11])])


async def test_entries_follow_those_that_are_there(store: PeerStore) -> None:
    alice = Branch("alice")
    await store.keep(grown(alice, 10))
    head, entries = grown(alice, 5)
    assert isinstance(entries, KeepEntries)
    for wrong in [
        replace(entries, first=9, size=14),
        replace(entries, first=11, size=16),
        replace(entries, first=0, size=5),
        replace(entries, size=14),
    ]:
        with pytest.raises(Divergence) as caught:
            await store.keep([head, wrong])
        assert caught.value.code == "mirror_moved"
    kept = (await store.load()).logs[alice.origin]
    assert (kept.size, kept.tree.size) == (10, 10)
    await store.keep([head, entries])
    check_log((await store.load()).logs[alice.origin], alice)


@pytest.mark.parametrize("data", [b"\1" * 32 * 15, bytes(32) * 5, b""])
async def test_a_row_of_tiles_only_grows(store: PeerStore, data: bytes) -> None:
    alice = Branch("alice")
    await store.keep(grown(alice, 10))
    head, entries = grown(alice, 5)
    assert isinstance(entries, KeepEntries)
    with pytest.raises(Divergence) as caught:
        await store.keep([head, replace(entries, tiles=(TileWrite(0, 0, data),))])
    assert caught.value.code == "mirror_tile"
    assert (await store.load()).logs[alice.origin].size == 10


async def test_keeps_run_one_after_another_and_readers_see_all_of_one_or_nothing(store: PeerStore) -> None:
    alice = Branch("alice")
    keeps = [grown(alice, 30) for _ in range(40)]
    seen = []

    async def look() -> None:
        while len(seen) < 200 and (not seen or seen[-1] < alice.size):
            state = (await store.load()).logs.get(alice.origin)
            assert state is None or state.size == state.tree.size == state.whole_size
            seen.append(state.size if state else 0)

    looking = asyncio.create_task(look())
    await asyncio.gather(*(store.keep(keep) for keep in keeps))
    await looking
    assert seen == sorted(seen)
    check_log((await store.load()).logs[alice.origin], alice)


async def test_a_cancelled_keep_is_whole(store: PeerStore) -> None:
    alice = Branch("alice")
    task = asyncio.ensure_future(store.keep(grown(alice, 1000)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    check_log((await store.load()).logs[alice.origin], alice)
    await store.keep(grown(alice, 1))


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


async def test_an_error_before_commit_is_rolled_back(store: PeerStore) -> None:
    alice, bob = Branch("alice"), Branch("bob")
    await store.keep(grown(alice, 3))
    # more than the cache holds, so that pages are written before COMMIT
    large = grown(bob, 400, 60_000)
    with no_file_beyond(4 << 20), pytest.raises(StoreError) as caught:
        await store.keep(large)
    assert not caught.value.fatal
    assert list((await store.load()).logs) == [alice.origin]
    await store.keep(large)
    check_log((await store.load()).logs[bob.origin], bob)


async def test_an_error_of_commit_is_fatal_and_the_last(store: PeerStore, path: Path) -> None:
    await store.keep([KeepRoster(1, b"{}")])
    wal = path.with_name("peers.db-wal").stat().st_size
    with no_file_beyond(wal), pytest.raises(StoreError) as caught:
        await store.keep([KeepRoster(2, bytes(10_000))])
    assert caught.value.fatal
    with pytest.raises(StoreError) as caught:
        await store.keep([KeepRoster(3, b"{}")])
    assert (caught.value.code, caught.value.fatal) == ("commit_unknown", True)


# ---- reading -------------------------------------------------------------------------------------------------------


async def test_a_shelf_shows_at_once_what_was_kept(store: PeerStore) -> None:
    alice = Branch("alice")
    shelf = store.shelf(alice.origin)
    with pytest.raises(Damage):
        shelf.hash_tile(0, 0, 1)
    assert shelf.entries(0, 5) == []
    for count in (1, 299, 400):
        await store.keep(grown(alice, count))
        for tail in tails_at(alice.size):
            assert shelf.hash_tile(tail.level, tail.n, tail.width) == alice.hash_tile(
                tail.level, tail.n, tail.width
            )
            with pytest.raises(Damage):
                shelf.hash_tile(tail.level, tail.n, tail.width + 1)
        assert shelf.entries(0, 1000) == alice.data
        assert shelf.entries(250, 20) == alice.data[250:270]
    assert store.shelf(BOB.origin).entries(0, 5) == []


async def test_what_the_edges_serve(store: PeerStore) -> None:
    alice = Branch("alice")
    await store.keep(grown(alice, 300))
    assert await store.tile(alice.origin, 0, 0, 256) == alice.hash_tile(0, 0, 256)
    assert await store.tile(alice.origin, 0, 0, 9) == alice.hash_tile(0, 0, 9)
    assert await store.tile(alice.origin, 1, 0, 1) == alice.hash_tile(1, 0, 1)
    assert await store.tile(alice.origin, 1, 0, 2) is None
    assert await store.tile(BOB.origin, 0, 0, 1) is None
    assert await store.entries_of(alice.origin, 256, 256) == alice.data[256:]


async def test_a_hole_among_the_entries_is_damage(store: PeerStore, path: Path) -> None:
    alice = Branch("alice")
    await store.keep(grown(alice, 300))
    damage(path, "DELETE FROM entries WHERE idx = 7")
    with pytest.raises(Damage) as caught:
        await store.entries_of(alice.origin, 0, 256)
    assert (caught.value.code, caught.value.where) == ("entry_missing", {"entry": 7})


# ---- a start -------------------------------------------------------------------------------------------------------


async def test_a_file_stays_fresh_until_peers_were_asked(store: PeerStore, path: Path) -> None:
    await store.keep(grown(Branch("alice"), 3))
    assert (await reopened(store, path)).fresh
    again = await PeerStore.open(path)
    await again.settle()
    assert not (await again.load()).fresh
    assert not (await reopened(again, path)).fresh


async def test_a_copy_of_the_file_is_fresh(store: PeerStore, path: Path) -> None:
    alice = Branch("alice")
    await store.keep(grown(alice, 3))
    await store.settle()
    await store.close()
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    for other, fresh in ((path, False), (copy, True)):
        opened = await PeerStore.open(other, create=True)
        state = await opened.load()
        assert state.fresh is fresh
        check_log(state.logs[alice.origin], alice)
        await opened.settle()
        assert not (await opened.load()).fresh
        await opened.close()
    os.replace(copy, path)  # put back as a restore does it: now it is settled where it stands
    opened = await PeerStore.open(path)
    assert not (await opened.load()).fresh
    await opened.close()


async def test_a_dropped_mirror_keeps_its_promise(store: PeerStore, path: Path) -> None:
    alice, bob = Branch("alice"), Branch("bob")
    await store.keep([*grown(alice, 300), *grown(bob, 5), KeepFork(alice.origin, fork_of(alice), 1)])
    await store.drop(alice.origin)
    await store.drop("unknown.example/log")
    state = await reopened(store, path)
    kept = state.logs[alice.origin]
    assert (kept.size, kept.root, kept.note, kept.frozen) == (300, alice.roots[300], alice.note(), True)
    assert (kept.tree.size, kept.tails, kept.whole, kept.whole_size) == (0, {}, b"", 0)
    check_log(state.logs[bob.origin], bob)
    again = await PeerStore.open(path)
    everything = Branch("alice")
    await again.keep(grown(everything, 300)[1:])
    check_log((await again.load()).logs[alice.origin], alice)
    await again.close()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE entries SET data = CAST(x'78' || substr(data, 2) AS BLOB) WHERE idx = 299 AND log = 1",
        "DELETE FROM entries WHERE idx = 280 AND log = 1",
        "UPDATE tiles SET data = zeroblob(length(data)) WHERE level = 1 AND log = 1",
        "UPDATE tiles SET data = substr(data, 1, 32) WHERE level = 0 AND n = 1 AND log = 1",
        "DELETE FROM tiles WHERE level = 0 AND n = 1 AND log = 1",
        "UPDATE logs SET tree_size = 299 WHERE log = 1",
        "UPDATE logs SET tree_root = zeroblob(32) WHERE log = 1",
        "UPDATE logs SET whole_size = 301 WHERE log = 1",
    ],
)
async def test_a_mirror_that_is_damaged_where_it_would_grow_is_dropped(
    store: PeerStore, path: Path, sql: str
) -> None:
    alice, bob = Branch("alice"), Branch("bob")
    await store.keep([*grown(alice, 300), *grown(bob, 300)])
    await store.close()
    damage(path, sql)
    again = await PeerStore.open(path)
    state = await again.load()
    assert state.dropped == (alice.origin,)
    kept = state.logs[alice.origin]
    assert (kept.size, kept.note) == (300, alice.note())
    assert (kept.tree.size, kept.tails, kept.whole, kept.whole_size) == (0, {}, b"", 0)
    check_log(state.logs[bob.origin], bob)
    assert again.shelf(alice.origin).entries(0, 1) == []
    assert (await again.load()).dropped == ()
    await again.close()


@pytest.mark.parametrize(
    ("pragma", "code"),
    [("user_version=2", "newer"), ("user_version=0", "older"), ("application_id=1", "not_ours")],
)
async def test_another_format_is_refused_and_left_alone(
    pragma: str, code: str, store: PeerStore, path: Path
) -> None:
    await store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA {pragma}")
        connection.execute("PRAGMA journal_mode=DELETE")
    before = path.read_bytes()
    for create in (False, True):
        with pytest.raises(StoreRefused) as caught:
            await PeerStore.open(path, create=create)
        assert (caught.value.code, caught.value.exit_code) == (code, 78)
    assert path.read_bytes() == before


async def test_only_who_may_makes_the_file(path: Path) -> None:
    with pytest.raises(StoreRefused) as caught:
        await PeerStore.open(path)
    assert caught.value.code == "store_missing"
    assert not path.exists()
    path.touch(0o600)
    with pytest.raises(StoreRefused):
        await PeerStore.open(path)
    unfinished = await PeerStore.open(path, create=True)
    await unfinished.keep([KeepRoster(1, b"{}")])
    await unfinished.close()
    again = await PeerStore.open(path, create=True)
    assert (await again.load()).roster_version == 1
    await again.close()


async def test_a_file_that_is_no_database_is_damage(path: Path) -> None:
    path.write_bytes(b"this is not a database at all" * 100)
    with pytest.raises(Damage):
        await PeerStore.open(path)


async def test_a_flipped_page_is_damage_and_no_promise(store: PeerStore, path: Path) -> None:
    await store.keep(grown(Branch("alice"), 2000))
    await store.close()
    data = bytearray(path.read_bytes())
    for at in range(4096, len(data), 4096):
        data[at] ^= 0xFF
    path.write_bytes(data)
    again = await PeerStore.open(path)
    with pytest.raises(Damage) as caught:
        await again.load()
    assert caught.value.code == "database"
    await again.close()
