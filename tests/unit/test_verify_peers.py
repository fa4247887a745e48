"""verify and fsck of peers.db: whatever of it is changed is found, named, and has something that mends it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from rosters import following, key, member, roster, signed

from gateway.app.fsck import REPAIRS, fsck_store
from gateway.app.verify import verify_store
from gateway.core.follow import KeepCosigned, KeepEntries, KeepFork, KeepHead, KeepRoster
from gateway.errors import Damage, StoreRefused
from gateway.store.keyfiles import load_keys
from gateway.store.layout import Layout
from gateway.store.peers import PeerStore
from gateway.store.snapshot import Snapshot
from gateway.tlog.checkpoint import Checkpoint, sign_checkpoint
from gateway.tlog.fork import Fork
from gateway.tlog.note import VerifierKey
from gateway.tlog.tiles import root_from_tiles
from tests.sim.peer_logs import Branch, log_vkey
from tests.stores import Facts, copy_store, make_store

SOME, MANY = 700, 66_200  # tiles of two levels, and of three
OWN = 1  # entries of our own log that peers know of


def head_of(one: Branch, size: int, before: int = 0) -> KeepHead:
    return KeepHead(one.origin, before, size, one.roots[size], one.note(size))


def tree_of(one: Branch, size: int) -> KeepEntries:
    made = Branch(one.name)
    tiles = made.adopt(one.data[:size])
    return KeepEntries(one.origin, 0, tuple(made.data), tuple(tiles), size, made.roots[size], one.note(size))


async def fill(layout: Layout, entries: int) -> None:
    """A peers.db with everything that can be in one, and a mirror of so many entries."""
    alice, bob, carol, stranger = (Branch(name) for name in ("alice", "bob", "carol", "stranger"))
    for one, size in ((alice, entries), (bob, 700), (carol, 9), (stranger, 5)):
        one.grow(size)
    forged = carol.fork(4, "forged")
    forged.grow(5)
    keys = load_keys(layout)
    us = member("us", log=(VerifierKey.of(keys.origin, keys.log.public),))
    first = roster(us, member("alice", log=(log_vkey("alice"),)))
    second = following(
        first, *first.members, *(member(name, log=(log_vkey(name),)) for name in ("bob", "carol"))
    )
    with Snapshot(layout.database) as snapshot:
        root = root_from_tiles(snapshot, OWN)
    note = sign_checkpoint(Checkpoint(keys.origin, OWN, root), keys.origin, keys.log)
    store = await PeerStore.open(layout.peers, create=True)
    await store.keep(
        [
            KeepRoster(1, signed(first).raw),
            KeepRoster(2, signed(second).raw),
            head_of(alice, entries),
            tree_of(alice, entries),
            head_of(bob, 700),
            tree_of(bob, 300),
            head_of(carol, 9),
            head_of(stranger, 5),
            KeepFork(carol.origin, Fork(carol.note(), forged.note(), forged.roots[9], ()), 7),
            KeepHead(keys.origin, 0, OWN, root, note),
            KeepCosigned(OWN, note, 7),
        ]
    )
    await store.settle()
    await store.close()


def make(path: Path, entries: int) -> Facts:
    async def made() -> Facts:
        facts = await make_store(path, batches=1, sessions=1)
        await fill(facts.layout, entries)
        return facts

    return asyncio.run(made())


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    return make(tmp_path_factory.mktemp("store") / "data", SOME)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    return make(tmp_path_factory.mktemp("store") / "data", MANY)


@pytest.fixture
def facts(filled: Facts, tmp_path: Path) -> Facts:
    return copy_store(filled, tmp_path / "data")


def sql(layout: Layout, statement: str, *args: object, rows: int = 1) -> None:
    with closing(sqlite3.connect(layout.peers)) as connection:
        assert connection.execute(statement, args).rowcount == rows
        connection.commit()


def faults(layout: Layout) -> list[Damage]:
    """What fsck finds besides that the store is a copy; each has something that mends it."""
    report, repairs = fsck_store(layout)
    assert all(repair.fault.code in REPAIRS for repair in repairs)
    assert all(repair.words for repair in repairs)
    return report.faults


def test_a_sound_file_is_sound(filled: Facts) -> None:
    report = verify_store(filled.layout)
    assert (report.followed, report.mirrored) == (5, SOME + 300)
    notes = [note for note in report.notes if "evidence" in note or "peers.db" in note]
    assert len(notes) == 2
    assert "carol.sim.example/vrlog" in notes[0]
    assert notes[1].startswith("1 notes")  # the stranger's
    bare = verify_store(filled.layout, keys=False)
    assert (bare.followed, bare.mirrored) == (5, SOME + 300)


def test_a_store_without_peers_has_nothing_to_say_of_them(facts: Facts) -> None:
    facts.layout.peers.unlink()
    report = verify_store(facts.layout)
    assert (report.followed, report.mirrored) == (0, 0)
    assert not any("peers" in note for note in report.notes)


def columns() -> Iterator[tuple[str, str, str]]:
    """Table, column, and what is wrong when it is changed."""
    for column in ("size", "root", "note"):
        yield "logs", column, "peers_head"
    for column in ("tree_size", "tree_root", "whole", "whole_size"):
        yield "logs", column, "mirror"
    for table, names in (("entries", ("idx", "data")), ("tiles", ("level", "n", "data"))):
        for column in names:
            yield table, column, "mirror"
        yield table, "log", "peers_database"
    yield "forks", "id", "peers_fork"
    yield "forks", "origin", "peers_fork"
    yield "forks", "data", "peers_fork"
    yield "rosters", "version", "peers_roster"
    yield "rosters", "raw", "peers_roster"
    yield "cosigned", "size", "peers_cosigned"
    yield "cosigned", "note", "peers_cosigned"


@pytest.mark.parametrize(("table", "column", "code"), list(columns()))
def test_no_signed_column_can_be_changed(facts: Facts, table: str, column: str, code: str) -> None:
    """In the first, a middle and the last row, as far as a key for it is here."""
    with closing(sqlite3.connect(facts.layout.peers)) as connection:
        known = " WHERE origin GLOB '[abc]*.sim.example/vrlog'" if table == "logs" else ""
        if column in ("whole", "whole_size"):
            known += " AND tree_size > 0"
        count = connection.execute(f"SELECT count(*) FROM {table}{known}").fetchone()[0]
        rows = connection.execute(f"SELECT * FROM {table}{known}").fetchall()
        names = [name[1] for name in connection.execute(f"PRAGMA table_info({table})")]
    saved = facts.layout.peers.read_bytes()
    for number in sorted({0, count // 2, count - 1}):
        row = dict(zip(names, rows[number], strict=True))
        value = row[column]
        if isinstance(value, bytes):
            changed: object = bytes((value[0] ^ 1,)) + value[1:] if value else b"x"
        elif isinstance(value, str):
            changed = "another.example/log"
        else:
            changed = value + 7_000_000
        where = " AND ".join(f"{name} = ?" for name in names)
        sql(facts.layout, f"UPDATE {table} SET {column} = ? WHERE {where}", changed, *row.values())
        found = faults(facts.layout)
        assert code in {fault.code for fault in found}, (number, row, found)
        with pytest.raises(Damage):
            verify_store(facts.layout)
        facts.layout.peers.write_bytes(saved)
    assert faults(facts.layout) == []


@pytest.mark.slow
@pytest.mark.parametrize("index", [0, 255, 256, 30_000, 65_535, 66_199])
def test_a_changed_entry_is_named(large: Facts, index: int, tmp_path: Path) -> None:
    facts = copy_store(large, tmp_path / "data")
    sql(
        facts.layout, "UPDATE entries SET data = CAST(data || x'00' AS BLOB) WHERE log = 1 AND idx = ?", index
    )
    (fault,) = faults(facts.layout)
    assert fault.code == "mirror"
    assert fault.where == {"log": "alice.sim.example/vrlog", "entry": index, "level": 0, "tile": index // 256}
    assert "pull" in REPAIRS[fault.code]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "where"),
    [
        ("entries", "log = 1 AND idx = 66199"),
        ("entries", "log = 1 AND idx = 777"),
        ("tiles", "log = 1 AND level = 0 AND n = 3"),
        ("tiles", "log = 1 AND level = 1 AND n = 0"),
        ("tiles", "log = 1 AND level = 1 AND n = 1"),
        ("tiles", "log = 1 AND level = 2"),
        ("tiles", "log = 2 AND level = 1"),
    ],
)
def test_no_row_of_a_mirror_can_be_taken_out(large: Facts, table: str, where: str, tmp_path: Path) -> None:
    facts = copy_store(large, tmp_path / "data")
    sql(facts.layout, f"DELETE FROM {table} WHERE {where}")
    found = faults(facts.layout)
    assert {fault.code for fault in found} == {"mirror"}


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO entries VALUES (1, 700, x'00')",
        "INSERT INTO entries VALUES (2, -1, x'00')",
        "INSERT INTO tiles VALUES (1, 3, 0, zeroblob(32))",
        "INSERT INTO tiles VALUES (2, 0, 2, zeroblob(32))",
        "UPDATE tiles SET data = CAST(data || zeroblob(32) AS BLOB) WHERE log = 2 AND level = 0 AND n = 1",
    ],
)
def test_nothing_can_be_put_in(facts: Facts, statement: str) -> None:
    sql(facts.layout, statement)
    assert {fault.code for fault in faults(facts.layout)} == {"mirror"}


def test_all_that_is_damaged_is_listed(facts: Facts) -> None:
    for index in (5, 300, 699):
        sql(facts.layout, "UPDATE entries SET data = x'00' WHERE log = 1 AND idx = ?", index)
    sql(facts.layout, "UPDATE entries SET data = x'00' WHERE log = 2 AND idx = 299")
    sql(facts.layout, "UPDATE forks SET data = x'00'")
    where = [(fault.code, fault.where.get("entry")) for fault in faults(facts.layout)]
    assert where == [
        ("mirror", 5),
        ("mirror", 300),
        ("mirror", 699),
        ("mirror", 299),
        ("peers_fork", None),
    ]


@pytest.mark.parametrize("log", [1, 2])
def test_a_mirror_that_fits_together_and_is_not_what_was_signed(facts: Facts, log: int) -> None:
    """Entries, tiles and the root of the tree are exchanged for another history; only the signed heads say so."""
    with closing(sqlite3.connect(facts.layout.peers)) as connection:
        (size,) = connection.execute("SELECT tree_size FROM logs WHERE log = ?", (log,)).fetchone()
        forged = Branch("forged")
        tiles = forged.adopt([b"forged %d" % at for at in range(size)])
        connection.execute("DELETE FROM entries WHERE log = ?", (log,))
        connection.execute("DELETE FROM tiles WHERE log = ?", (log,))
        for at, data in enumerate(forged.data):
            connection.execute("INSERT INTO entries VALUES (?, ?, ?)", (log, at, data))
        for tile in tiles:
            connection.execute("INSERT INTO tiles VALUES (?, ?, ?, ?)", (log, tile.level, tile.n, tile.data))
        connection.execute("UPDATE logs SET tree_root = ? WHERE log = ?", (forged.roots[size], log))
        connection.commit()
        found = faults(facts.layout)
        assert {fault.code for fault in found} == {"mirror"}
        # And with the root that was signed it is the tree that does not have it.
        true = Branch("alice" if log == 1 else "bob")
        true.grow(size)
        connection.execute("UPDATE logs SET tree_root = ? WHERE log = ?", (true.roots[size], log))
        connection.commit()
    (fault,) = faults(facts.layout)
    assert (fault.code, fault.where["size"]) == ("mirror", size)


def test_a_head_that_another_key_signed(facts: Facts) -> None:
    other = VerifierKey.of(log_vkey("alice").name, key("another").public)
    note = sign_checkpoint(Checkpoint(other.name, SOME, bytes(32)), other.name, key("another"))
    sql(facts.layout, "UPDATE logs SET note = ?, root = zeroblob(32) WHERE log = 1", note)
    assert "peers_head" in {fault.code for fault in faults(facts.layout)}


def test_more_was_told_of_our_log_than_it_has(facts: Facts) -> None:
    keys = load_keys(facts.layout)
    note = sign_checkpoint(Checkpoint(keys.origin, 999, bytes(32)), keys.origin, keys.log)
    sql(
        facts.layout,
        "UPDATE logs SET size = 999, root = zeroblob(32), note = ? WHERE origin = ?",
        note,
        keys.origin,
    )
    (fault,) = faults(facts.layout)
    assert (fault.code, fault.where) == ("rolled_back", {"size": facts.entries})


def test_another_history_was_told_of_our_log(facts: Facts) -> None:
    keys = load_keys(facts.layout)
    note = sign_checkpoint(Checkpoint(keys.origin, OWN, bytes(32)), keys.origin, keys.log)
    sql(facts.layout, "UPDATE logs SET root = zeroblob(32), note = ? WHERE origin = ?", note, keys.origin)
    (fault,) = faults(facts.layout)
    assert (fault.code, fault.where) == ("forked", {"size": OWN})


def test_a_damaged_file_is_a_fault_of_its_own(facts: Facts) -> None:
    data = bytearray(facts.layout.peers.read_bytes())
    for at in range(8192, len(data), 8192):
        data[at : at + 8] = bytes(8)
    facts.layout.peers.write_bytes(data)
    found = faults(facts.layout)
    assert {fault.code for fault in found} == {"peers_database"}
    facts.layout.peers.write_bytes(b"no database" * 1000)
    assert {fault.code for fault in faults(facts.layout)} == {"peers_database"}


def test_a_table_that_is_not_ours(facts: Facts) -> None:
    with closing(sqlite3.connect(facts.layout.peers)) as connection:
        connection.execute("CREATE TABLE more (x)")
    assert {fault.code for fault in faults(facts.layout)} == {"peers_database"}


def test_another_format_is_refused(facts: Facts) -> None:
    with closing(sqlite3.connect(facts.layout.peers)) as connection:
        connection.execute("PRAGMA user_version=2")
    with pytest.raises(StoreRefused) as caught:
        verify_store(facts.layout)
    assert caught.value.code == "newer"


async def test_it_is_checked_beside_its_writer(tmp_path: Path) -> None:
    facts = await make_store(tmp_path / "data", batches=1, sessions=1)
    layout = facts.layout
    alice = Branch("alice")
    store = await PeerStore.open(layout.peers, create=True)
    checking = asyncio.create_task(asyncio.to_thread(fsck_store, layout))
    sums = []
    for _ in range(300):
        first = alice.size
        tiles = alice.adopt([b"entry %d" % at for at in range(first, first + 7)])
        size, root = alice.size, alice.roots[alice.size]
        entries = KeepEntries(
            alice.origin, first, tuple(alice.data[first:]), tuple(tiles), size, root, alice.note()
        )
        await store.keep([KeepHead(alice.origin, first, size, root, alice.note()), entries])
        if checking.done():
            report, _ = checking.result()
            assert report.faults == []
            sums.append(report.mirrored)
            checking = asyncio.create_task(asyncio.to_thread(fsck_store, layout))
    report, _ = await checking
    assert report.faults == []
    await store.close()
    assert len(sums) > 2
    assert sums == sorted(sums)
    assert verify_store(layout).mirrored == 2100
