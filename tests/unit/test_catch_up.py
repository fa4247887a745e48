"""`ledger catch-up`: an old copy of a store comes to the newest head that anybody holds, and signs only above it."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.app import refetch, regain
from gateway.app.catch_up import Caught, catch_up
from gateway.app.cycle import Cycle, commit
from gateway.app.fsck import fsck_store
from gateway.app.guard import Forked, Source
from gateway.app.rotate import rotate_key
from gateway.app.startup import open_store
from gateway.app.verify import verify_store
from gateway.core.ledger import Ledger
from gateway.core.records import Session, Writes
from gateway.core.sessions import WITHDRAWING
from gateway.entries.envelope import decode_entry
from gateway.entries.types import access_body
from gateway.errors import LocalError, StoreError, StoreRefused, Unreachable
from gateway.store import unfinished
from gateway.store.keyfiles import load_keys
from gateway.store.layout import Layout
from gateway.store.mark import SLOT_OFFSETS, Mark
from gateway.store.snapshot import Snapshot
from gateway.tlog.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from gateway.tlog.fork import verify_fork
from tests.kills import killed_at_each_step
from tests.mirrors import Mirror, export, get, record
from tests.stores import ORIGIN, Facts, copy_store, make_store, open_gateway

DATABASE = ("state.db", "state.db-wal", "state.db-shm")


@dataclass
class Lost:
    """A store that went on after its database was backed up.

    Args:
        facts: the store as it is now.
        backup, vault: its database and its vault of before.
        log, middle: exports of its log as it is now, and as it was between.
        before, now: entries.
        batches: batches that the backup does not know.
    """

    facts: Facts
    backup: Path
    vault: Path
    log: Path
    middle: Path
    before: int
    now: int
    batches: int

    def old(self, path: Path, *, mark: bool = True, vault: bool = True) -> Layout:
        """The store with the database of the backup, and with its vault too; its mark stays the file that it is."""
        if mark:
            # A copy of a mark is no mark, so that the one of before is made anew in the copy.
            facts = copy_store(self.facts, path)
            there = Mark.open(facts.layout.mark)
            there.rewrite()
            there.close()
        else:
            facts = copy_store(self.facts, path)
            facts.layout.mark.unlink()
        for name in DATABASE:
            (facts.layout.data_dir / name).unlink(missing_ok=True)
        shutil.copy(self.backup, facts.layout.database)
        facts.layout.database.chmod(0o600)
        if vault:
            shutil.rmtree(facts.layout.vault)
            shutil.copytree(self.vault, facts.layout.vault)
        return facts.layout


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> Lost:
    folder = tmp_path_factory.mktemp("catch-up")
    facts = asyncio.run(make_store(folder / "data", batches=2, frames=4, sessions=3, close=1))
    shutil.copy(facts.layout.database, folder / "backup")
    shutil.copytree(facts.layout.vault, folder / "vault")
    before = facts.entries

    async def end(session: int, reason: str) -> None:
        gateway = await open_gateway(facts.layout, facts, f"end {session}")
        try:
            found = gateway.registry.sessions[facts.sessions[session]]
            gateway.link(found.session, found.devices[0])
            gateway.sessions.close(found, "uid:1000", reason, False, gateway.now_ns, gateway.now_ms)
            await gateway.cycle()
        finally:
            await gateway.store.close()

    with Snapshot(facts.layout.database) as snapshot:
        known = len(list(snapshot.iter_batches()))
    # One of the sessions of before is withdrawn after the backup, one is told to close, and others are recorded.
    asyncio.run(end(1, "withdrawn"))
    asyncio.run(end(2, "closed"))
    export(facts.layout, folder / "middle")
    asyncio.run(record(facts.layout, batches=3))
    export(facts.layout, folder / "log")
    with Snapshot(facts.layout.database) as snapshot:
        now, batches = snapshot.head().size, len(list(snapshot.iter_batches()))
    paths = (folder / name for name in ("backup", "vault", "log", "middle"))
    return Lost(facts, *paths, before, now, batches - known)


def yes(question: str) -> bool:
    assert "only copy that will ever run" in question
    return True


async def caught(layout: Layout, *sources: Source, confirm: Callable[[str], bool] = yes) -> Caught:
    return await catch_up(layout, sources, get, confirm)


def clean(layout: Layout) -> list[str]:
    """Notes of a check that finds no fault."""
    report, repairs = fsck_store(layout)
    assert [repair.fault.message for repair in repairs] == []
    assert report.faults == []
    return verify_store(layout).notes


def sessions(layout: Layout) -> dict[bytes, Session]:
    with Snapshot(layout.database) as snapshot:
        return {session.session: session for session in snapshot.session_rows(all=True)}


def last_body(layout: Layout) -> dict[str, object]:
    with Snapshot(layout.database) as snapshot:
        data = snapshot.entry(snapshot.head().size - 1)
    assert data is not None
    return dict(decode_entry(data).body)


async def test_an_old_database_is_refused_and_comes_back_whole(lost: Lost, tmp_path: Path) -> None:
    layout = lost.old(tmp_path / "data")
    with pytest.raises(StoreRefused) as refused:
        await open_store(layout)
    assert refused.value.code == "rolled_back"
    assert "ledger catch-up" in refused.value.hint
    async with Mirror({load_keys(layout).origin: lost.log}) as mirror:
        done = await caught(layout, mirror.source)
    assert (done.before, done.size) == (lost.before, lost.now)
    assert done.done is not None
    assert (done.done.first, done.done.size, done.done.total) == (lost.before, lost.now, lost.now + 1)
    assert done.done.lost == lost.batches > 0
    assert done.done.links > 0
    body = last_body(layout)
    assert (body["type"], body["first"], body["size"], body["reason"]) == (
        "log.restore",
        lost.before,
        lost.now,
        "backup",
    )
    notes = clean(layout)
    assert len(notes) == 1
    assert f"{lost.batches} batches were lost with a disk" in notes[0]
    assert not layout.unfinished.exists()
    mark = Mark.open(layout.mark)
    assert (mark.value.size, mark.made_here()) == (lost.now + 1, None)
    mark.close()


async def test_recordings_whose_rows_are_lost_are_not_cut_off(lost: Lost, tmp_path: Path) -> None:
    # The database alone was lost: what the vault holds behind the backup must not be destroyed by the next start.
    layout = lost.old(tmp_path / "data", vault=False)
    whole = b"".join(path.read_bytes() for path in sorted(layout.vault.iterdir()))
    known = sum(path.stat().st_size for path in lost.vault.iterdir())
    async with Mirror({load_keys(layout).origin: lost.log}) as mirror:
        done = await caught(layout, mirror.source)
    assert done.done is not None
    assert done.done.aside == len(whole) - known > 0
    store = await open_store(layout)
    await store.close()
    kept = b"".join(path.read_bytes() for path in layout.lost.iterdir())
    assert whole[known:] == kept
    clean(layout)


async def test_what_ended_after_the_backup_takes_nothing_more(lost: Lost, tmp_path: Path) -> None:
    layout = lost.old(tmp_path / "data")
    async with Mirror({load_keys(layout).origin: lost.log}) as mirror:
        done = await caught(layout, mirror.source)
    assert done.done is not None
    assert done.done.ended == 2
    there = sessions(layout)
    # Whether consent was withdrawn is not in the log: nobody must store more of either.
    assert [there[session].state for session in lost.facts.sessions[:3]] == ["closed", "closed", WITHDRAWING]
    store = await open_store(layout)
    assert [link.state for link in store.state.links if link.state == "live"] == []
    await store.close()


async def test_it_goes_on_recording_above_the_head(lost: Lost, tmp_path: Path) -> None:
    layout = lost.old(tmp_path / "data")
    async with Mirror({load_keys(layout).origin: lost.log}) as mirror:
        await caught(layout, mirror.source)
    with Snapshot(layout.database) as snapshot:
        newest = max(row.batch for row in snapshot.iter_batches())
    await record(layout, batches=2, close=True)
    with Snapshot(layout.database) as snapshot:
        assert max(row.batch for row in snapshot.iter_batches()) == newest + 3
    clean(layout)
    # What others have is still a part of it.
    assert export(layout, lost.log.parent / "again")
    export(layout, tmp_path / "log")
    shutil.rmtree(lost.log.parent / "again")
    grown = tmp_path / "grown"
    shutil.copytree(lost.log, grown)
    export(layout, grown)


async def test_a_larger_head_than_the_mark_is_gone_to(lost: Lost, tmp_path: Path) -> None:
    # As after a snapshot of the whole machine: the mark was set back too, and everything looks sound.
    layout = lost.old(tmp_path / "data", mark=False)
    with Snapshot(layout.database) as snapshot:
        head = snapshot.head()
    Mark.create(layout.mark, head.size, head.root, 1).close()
    async with Mirror({load_keys(layout).origin: lost.log}) as mirror:
        done = await caught(layout, mirror.source)
    assert done.done is not None
    assert done.done.total == lost.now + 1
    clean(layout)


@pytest.mark.parametrize("spoiled", [False, True])
async def test_without_a_valid_mark_a_new_one_is_made(lost: Lost, tmp_path: Path, spoiled: bool) -> None:
    layout = lost.old(tmp_path / "data", mark=spoiled)
    if spoiled:
        with layout.mark.open("r+b") as file:
            for offset in SLOT_OFFSETS:
                file.seek(offset)
                file.write(bytes(64))
    async with Mirror({load_keys(layout).origin: lost.log}) as mirror:
        await caught(layout, mirror.source)
    assert (layout.data_dir / "mark.invalid").exists() == spoiled
    mark = Mark.open(layout.mark)
    assert mark.value.size == lost.now + 1
    mark.close()
    clean(layout)
    store = await open_store(layout)
    await store.close()


async def test_a_store_without_a_mark_and_with_nothing_lost_is_taken_over(lost: Lost, tmp_path: Path) -> None:
    facts = copy_store(lost.facts, tmp_path / "data")
    facts.layout.mark.unlink()
    async with Mirror({load_keys(facts.layout).origin: lost.log}) as mirror:
        done = await caught(facts.layout, mirror.source)
    assert done.done is not None
    assert done.done.first == done.done.size == lost.now
    assert last_body(facts.layout)["type"] == "log.adopt"
    assert clean(facts.layout) == []


async def test_a_dry_run_and_a_no_change_nothing(lost: Lost, tmp_path: Path) -> None:
    layout = lost.old(tmp_path / "data")

    def contents() -> dict[str, bytes]:
        names = {path.name: path.read_bytes() for path in layout.data_dir.iterdir() if path.is_file()}
        return {name: data for name, data in names.items() if name not in ("lock", *DATABASE[1:])}

    before = contents()
    async with Mirror({load_keys(layout).origin: lost.log}) as mirror:
        told = await catch_up(layout, [mirror.source], get, yes, dry_run=True)
        assert (told.before, told.size, told.done) == (lost.before, lost.now, None)
        with pytest.raises(LocalError) as refused:
            await caught(layout, mirror.source, confirm=lambda _: False)
    assert refused.value.code == "not_confirmed"
    assert contents() == before


async def test_a_store_that_has_the_newest_head_is_left_alone(lost: Lost, tmp_path: Path) -> None:
    async with Mirror({load_keys(lost.facts.layout).origin: lost.log}) as mirror:
        told = await caught(lost.facts.layout, mirror.source, confirm=lambda _: False)
        assert told.done is None
        moved = copy_store(lost.facts, tmp_path / "moved")
        with pytest.raises(LocalError) as refused:
            await caught(moved.layout, mirror.source)
    assert refused.value.code == "only_moved"
    assert "ledger adopt" in refused.value.hint


async def test_nothing_is_signed_while_mirrors_have_less_than_was_signed(lost: Lost, tmp_path: Path) -> None:
    layout = lost.old(tmp_path / "data")
    origin = load_keys(layout).origin
    async with Mirror({origin: lost.middle}) as mirror, Mirror({}) as stranger:
        with pytest.raises(StoreRefused) as refused:
            await caught(layout, mirror.source)
        assert refused.value.code == "mirrors_behind"
        assert "new-generation" in refused.value.hint
        with pytest.raises(StoreRefused) as refused:
            await caught(layout, stranger.source)
        assert refused.value.code == "mirrors_behind"
    with pytest.raises(StoreError) as later:
        await caught(layout, Source("away", "http://127.0.0.1:9"))
    assert later.value.code == "no_witness"
    with pytest.raises(StoreError) as later:
        await caught(layout)
    assert later.value.code == "no_witness"
    assert not layout.unfinished.exists()


async def test_another_history_is_kept_as_evidence_and_not_followed(lost: Lost, tmp_path: Path) -> None:
    # A clone of the backup went on by itself, and others have its log.
    layout = lost.old(tmp_path / "data", mark=False)
    with Snapshot(layout.database) as snapshot:
        head = snapshot.head()
    Mark.create(layout.mark, head.size, head.root, 1).close()
    await record(layout, batches=2)
    keys = load_keys(layout)
    with Snapshot(layout.database) as snapshot:
        mine = snapshot.head()
    signed = sign_checkpoint(Checkpoint(keys.origin, mine.size, mine.root), keys.origin, keys.log)
    async with Mirror({keys.origin: lost.log}) as mirror:
        with pytest.raises(Forked) as refused:
            await catch_up(layout, [mirror.source], get, yes, signed=signed)
        assert refused.value.fork is not None
        a, b = verify_fork(refused.value.fork, *keys.log_vkeys)
        assert {a.size, b.size} == {mine.size, lost.now}
        with pytest.raises(Forked) as refused:
            await catch_up(layout, [mirror.source], get, yes)
        assert refused.value.fork is None
    with Snapshot(layout.database) as snapshot:
        assert snapshot.head() == mine
    assert not layout.unfinished.exists()


def bad(path: str, data: bytes) -> bytes:
    """A mirror whose bundles and tiles are wrong in one byte."""
    return data if path == "checkpoint" else bytes([data[0] ^ 1]) + data[1:]


def absent(path: str, data: bytes) -> bytes | None:
    return data if path == "checkpoint" else None


async def test_what_a_lying_mirror_gives_is_never_written(lost: Lost, tmp_path: Path) -> None:
    layout = lost.old(tmp_path / "data")
    origin = load_keys(layout).origin
    for spoil in (bad, absent):
        async with Mirror({origin: lost.log}, spoil=spoil) as lying:
            with pytest.raises(Unreachable) as refused:
                await caught(layout, lying.source)
            assert refused.value.code == "log_incomplete"
    with Snapshot(layout.database) as snapshot:
        assert snapshot.head().size == lost.before
    async with (
        Mirror({origin: lost.log}, "liar", bad) as lying,
        Mirror({origin: lost.log}, "empty", absent) as empty,
        Mirror({origin: lost.log}, "honest") as honest,
    ):
        done = await caught(layout, lying.source, empty.source, honest.source)
    assert done.blamed == ("liar",)
    clean(layout)


def clean_but_rolled_back(layout: Layout) -> list[str]:
    report, repairs = fsck_store(layout)
    assert {repair.fault.code for repair in repairs} == {"rolled_back"}
    return report.notes


@pytest.mark.slow
def test_killed_at_any_step_it_goes_on(lost: Lost, tmp_path: Path) -> None:
    origin = load_keys(lost.facts.layout).origin
    made: list[Layout] = []

    async def work() -> None:
        async with Mirror({origin: lost.log}) as mirror:
            await caught(made[-1], mirror.source)

    made.append(lost.old(tmp_path / "s0"))
    seen = set()
    for _ in killed_at_each_step(lambda: asyncio.run(work())):
        layout = made[-1]
        with closing(sqlite3.connect(f"file:{layout.database}?mode=ro", uri=True)) as db:
            size = db.execute("SELECT size FROM head").fetchone()[0]
        mark = Mark.open(layout.mark, write=False)
        seen.add((size, layout.unfinished.exists(), mark.value.size))
        mark.close()
        asyncio.run(work())
        clean(layout)
        with Snapshot(layout.database) as snapshot:
            types = [decode_entry(data).body["type"] for _, data in snapshot.iter_entries()]
        assert types.count("log.restore") == 1
        assert not layout.unfinished.exists()
        made.append(lost.old(tmp_path / f"s{len(made)}"))
    assert len(seen) >= 5


async def test_keys_may_have_been_rotated_since_the_backup(tmp_path: Path) -> None:
    facts = await make_store(tmp_path / "data", batches=1, frames=4)
    layout = facts.layout
    shutil.copy(layout.database, tmp_path / "backup")
    for role in ("entry", "log"):
        await rotate_key(layout, role, [], get, lambda _: True, os.urandom)  # type: ignore[arg-type]
        await record(layout)
    origin, log = export(layout, tmp_path / "log")
    layout.database.unlink()
    shutil.copy(tmp_path / "backup", layout.database)
    _, repairs = fsck_store(layout)
    assert {repair.fault.code for repair in repairs} == {"rolled_back"}
    async with Mirror({origin: log}) as mirror:
        await caught(layout, mirror.source)
    clean(layout)
    # The old entry key alone does not go on with such a log.
    old = await make_store(tmp_path / "other", batches=1, frames=4)
    shutil.copy(old.layout.key("entry"), layout.key("entry"))
    async with Mirror({origin: log}) as mirror:
        with pytest.raises(StoreRefused) as refused:
            await caught(layout, mirror.source)
    assert refused.value.code == "key_outdated"


async def test_a_log_of_many_bundles_is_fetched_and_proven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = await make_store(tmp_path / "data", batches=1, frames=4)
    shutil.copy(facts.layout.database, tmp_path / "backup")
    store = await open_store(facts.layout)
    try:
        ledger = Ledger(ORIGIN, store.keys.log_keys, store.keys.entry, store.frontier, store.tails)
        bodies = [access_body(ledger.gateway, n, bytes(32), "view", True) for n in range(1400)]
        plan = ledger.plan(bodies)
        await commit(store.disk, Cycle(Writes(), store.boot, plan=plan))
    finally:
        await store.close()
    entries = plan.head.size
    export(facts.layout, tmp_path / "log")
    old = Lost(facts, tmp_path / "backup", facts.layout.vault, tmp_path / "log", tmp_path, 0, entries, 0)
    monkeypatch.setattr(refetch, "AT_ONCE", 1)
    monkeypatch.setattr(regain, "CHUNK_ENTRIES", 1)
    layout = old.old(tmp_path / "old")
    keys = load_keys(layout)
    with Snapshot(layout.database) as snapshot:
        before = snapshot.head().size

    def short(path: str, data: bytes) -> bytes | None:
        return None if path == "tile/entries/003" else data

    async with Mirror({keys.origin: tmp_path / "log"}, spoil=short) as mirror:
        with pytest.raises(Unreachable):
            await caught(layout, mirror.source)
        # It stands where the mirror had no more, and cannot be taken for a finished one.
        assert unfinished.read(layout) == unfinished.Unfinished(unfinished.CATCH_UP, before)
        with Snapshot(layout.database) as snapshot:
            assert snapshot.head().size == 3 * 256
        with pytest.raises(StoreRefused) as refused:
            await open_store(layout)
        assert refused.value.code == "unfinished"
        report, repairs = fsck_store(layout)
        assert {repair.fault.code for repair in repairs} == {"rolled_back"}
        assert any("`catch-up` was interrupted" in note for note in report.notes)
        mirror.spoil = lambda path, data: data
        asked = mirror.asked["tile/entries/001"]
        done = await caught(layout, mirror.source)
        assert mirror.asked["tile/entries/001"] == asked, "what is here is not fetched again"
    assert done.done is not None
    assert (done.before, done.done.first, done.done.size) == (3 * 256, before, entries)
    assert done.done.size > 5 * 256
    assert open_checkpoint(done.done.checkpoint, *keys.log_vkeys).size == entries + 1
    clean(layout)
