"""`ledger new-generation`: another log takes the place of one that cannot go on, and names where it ended."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from gateway.app import config
from gateway.app.fsck import fsck_store
from gateway.app.generation import Generation, new_generation
from gateway.app.guard import Source
from gateway.app.init import init_store
from gateway.app.past import Past, look_back, next_origin
from gateway.app.rotate import retire_key, rotate_key
from gateway.app.startup import open_store
from gateway.app.verify import verify_store
from gateway.entries.envelope import decode_entry
from gateway.errors import ConfigError, LocalError, StoreRefused
from gateway.store import unfinished
from gateway.store.keyfiles import load_keys
from gateway.store.layout import Layout
from gateway.store.mark import Mark
from gateway.store.snapshot import Snapshot
from gateway.store.subjects import Subjects
from gateway.tlog.checkpoint import Checkpoint, cosign, open_checkpoint, sign_checkpoint
from gateway.tlog.note import parse_note
from tests.kills import killed_at_each_step
from tests.mirrors import Mirror, export, get, lie, record
from tests.stores import ACTOR, NAME, ORIGIN, Facts, copy_store, make_store

GENERATION_2 = f"{ORIGIN}-g2"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    return asyncio.run(make_store(tmp_path_factory.mktemp("generation") / "data", batches=2, frames=4))


@pytest.fixture
def facts(made: Facts, tmp_path: Path) -> Facts:
    return copy_store(made, tmp_path / "old")


def yes(question: str) -> bool:
    assert "must never run again" in question
    return True


async def past(
    layout: Layout, *sources: Source, records: Sequence[bytes] = (), compromised: bool = False
) -> Past:
    return await look_back(layout, None, (), sources, get, records, compromised=compromised)


async def generation(
    layout: Layout,
    to: Path,
    *sources: Source,
    confirm: Callable[[str], bool] = yes,
    origin: str | None = None,
    compromised: bool = False,
    dry_run: bool = False,
) -> Generation:
    old = await past(layout, *sources, compromised=compromised)
    return await new_generation(
        layout, old, Layout(to), origin, ACTOR, confirm, "lost", compromised=compromised, dry_run=dry_run
    )


def clean(layout: Layout) -> list[str]:
    _, repairs = fsck_store(layout)
    assert [repair.fault.message for repair in repairs] == []
    return verify_store(layout).notes


def contents(layout: Layout) -> dict[Path, bytes]:
    files = [path for path in layout.data_dir.rglob("*") if path.is_file() and path.name != "lock"]
    return {path: path.read_bytes() for path in files if not path.name.endswith(("-wal", "-shm"))}


def first(layout: Layout) -> dict[str, object]:
    with Snapshot(layout.database) as snapshot:
        data = snapshot.entry(0)
    assert data is not None
    return dict(decode_entry(data).body)


def test_generations_are_counted() -> None:
    names = ["a.example/rig-1"]
    for _ in range(3):
        names.append(next_origin(names[-1]))
    assert names == ["a.example/rig-1", "a.example/rig-1-g2", "a.example/rig-1-g3", "a.example/rig-1-g4"]
    assert next_origin("a.example/rig-g") == "a.example/rig-g-g2"
    assert next_origin("a.example/rig-g0") == "a.example/rig-g0-g2"


async def test_a_new_log_names_where_the_old_one_ended(facts: Facts, tmp_path: Path) -> None:
    before = contents(facts.layout)
    done = await generation(facts.layout, tmp_path / "new")
    assert contents(facts.layout) == before, "the old directory is an archive"
    old, layout = load_keys(facts.layout), Layout(tmp_path / "new")
    new = load_keys(layout)
    assert (done.origin, new.origin, done.size) == (GENERATION_2, GENERATION_2, 1)
    assert new.log.seed != old.log.seed
    for name in ("witness", "entry", "tls"):
        assert getattr(new, name).seed == getattr(old, name).seed
    assert new.witness_name == old.witness_name
    body = first(layout)
    assert (body["type"], body["old_origin"], body["size"]) == ("log.generation", ORIGIN, facts.entries)
    head = open_checkpoint(str(body["note"]).encode(), *old.log_vkeys)
    assert (head.size, head.root) == (facts.entries, done.old.root)
    assert open_checkpoint(done.checkpoint, *new.log_vkeys).root == done.root
    assert clean(layout) == [f"This log goes on from {ORIGIN}, which ended at {facts.entries} entries."]
    settings = config.load(layout.config).gateway
    assert (settings.origin, settings.name) == (GENERATION_2, NAME)


async def test_devices_and_subjects_are_taken_along(facts: Facts, tmp_path: Path) -> None:
    done = await generation(facts.layout, tmp_path / "new")
    layout = Layout(tmp_path / "new")
    assert (done.devices, done.subjects) == (2, 2)
    old, new = load_keys(facts.layout), load_keys(layout)
    theirs, ours = Subjects(facts.layout.subjects, old.master), Subjects(layout.subjects, new.master)
    for subject in facts.subjects:
        assert ours.key(subject) == theirs.key(subject)
        assert ours.pseudonym(subject) == theirs.pseudonym(subject)
    theirs.close()
    ours.close()
    moved = copy_store(facts, tmp_path / "moved")
    mark = Mark.open(moved.layout.mark)
    mark.rewrite()
    mark.close()
    before = await open_store(moved.layout)
    after = await open_store(layout)
    assert after.state.devices == before.state.devices
    assert (after.state.sessions, after.state.links) == ([], [])
    await before.close()
    await after.close()
    await record(layout, batches=2, close=True)
    clean(layout)
    third = await generation(layout, tmp_path / "third")
    assert third.origin == f"{ORIGIN}-g3"
    clean(Layout(tmp_path / "third"))


async def test_of_compromised_keys_none_goes_on(facts: Facts, tmp_path: Path) -> None:
    # Whoever has the keys has signed a longer history, and it is not what the new log names.
    thief = tmp_path / "thief"
    export_of = copy_store(facts, tmp_path / "copy")
    mark = Mark.open(export_of.layout.mark)
    mark.rewrite()
    mark.close()
    await record(export_of.layout)
    export(export_of.layout, thief)
    async with Mirror({ORIGIN: thief}) as mirror:
        done = await generation(facts.layout, tmp_path / "new", mirror.source, compromised=True)
        trusting = await generation(facts.layout, tmp_path / "other", mirror.source)
    old, new = load_keys(facts.layout), load_keys(Layout(tmp_path / "new"))
    for name in ("log", "witness", "entry", "tls"):
        assert getattr(new, name).seed != getattr(old, name).seed
    assert new.witness_name == f"{GENERATION_2}/witness"
    assert done.old.size == facts.entries < trusting.old.size
    assert any("stolen keys" in remark for remark in done.old.remarks)
    clean(Layout(tmp_path / "new"))


async def test_another_history_elsewhere_is_not_named(facts: Facts, tmp_path: Path) -> None:
    lying = tmp_path / "lying"
    lying.mkdir()
    for size in (facts.entries - 1, facts.entries + 5):
        lie(facts.layout, lying, size, bytes(32))
        async with Mirror({ORIGIN: lying}, "rig-9") as mirror:
            found = await past(facts.layout, mirror.source)
        assert found.size == facts.entries
        assert any("rig-9" in remark for remark in found.remarks)


async def test_a_cosigned_note_of_the_same_head_is_preferred(facts: Facts) -> None:
    keys = load_keys(facts.layout)
    found = await past(facts.layout)
    head = Checkpoint(ORIGIN, found.size, found.root)
    line = cosign(head, "w.example/w", keys.witness, 1_700_000_000)
    cosigned = found.note + line.encode()
    assert (await past(facts.layout, records=[cosigned])).note == cosigned


async def test_without_the_old_store_mirrors_and_a_key_are_enough(facts: Facts, tmp_path: Path) -> None:
    old = load_keys(facts.layout)
    moved = copy_store(facts, tmp_path / "home")
    mark = Mark.open(moved.layout.mark)
    mark.rewrite()
    mark.close()
    export(moved.layout, tmp_path / "log")
    gone = Layout(tmp_path / "gone")
    async with Mirror({ORIGIN: tmp_path / "log"}) as mirror:
        found = await look_back(gone, ORIGIN, old.log_vkeys, [mirror.source], get)
        with pytest.raises(LocalError) as refused:
            await look_back(gone, None, old.log_vkeys, [mirror.source], get)
        assert refused.value.code == "old_log"
        with pytest.raises(LocalError) as refused:
            await look_back(gone, "other.example/log", old.log_vkeys, [mirror.source], get)
        assert refused.value.code == "old_log"
    assert (found.size, found.keys, found.files) == (facts.entries, None, {})
    done = await new_generation(gone, found, Layout(tmp_path / "new"), None, ACTOR, yes, "lost")
    assert (done.origin, done.devices, done.subjects) == (GENERATION_2, 0, 0)
    assert not gone.data_dir.exists()
    clean(Layout(tmp_path / "new"))


async def test_what_is_left_of_a_store_is_used(facts: Facts, tmp_path: Path) -> None:
    # The log key is lost, and with it what wraps devices' keys; the others and the database are there.
    facts.layout.key("log").unlink()
    found = await past(facts.layout)
    assert (found.origin, found.keys, set(found.files)) == (ORIGIN, None, {"witness", "entry", "tls"})
    assert (found.size, found.note) == (facts.entries, b"")
    assert any("Devices" in remark for remark in found.remarks)
    done = await new_generation(
        facts.layout, found, Layout(tmp_path / "new"), None, ACTOR, yes, "lost", compromised=False
    )
    assert (done.devices, done.subjects) == (0, 0)
    body = first(Layout(tmp_path / "new"))
    assert (body["size"], body["note"]) == (facts.entries, "")
    clean(Layout(tmp_path / "new"))


async def test_rotated_keys_are_followed_by_it(made: Facts, tmp_path: Path) -> None:
    facts = await make_store(tmp_path / "data", batches=1, frames=4)
    await rotate_key(facts.layout, "log", [], get, lambda _: True, os.urandom)
    both = await past(facts.layout)
    assert len(parse_note(both.note).signatures) == 2
    retire_key(facts.layout, "log", lambda _: True)
    await rotate_key(facts.layout, "entry", [], get, lambda _: True, os.urandom)
    done = await generation(facts.layout, tmp_path / "new")
    assert done.devices == 2, "their keys are wrapped under what follows from the first log key"
    clean(Layout(tmp_path / "new"))


async def test_a_dry_run_and_a_no_make_nothing(facts: Facts, tmp_path: Path) -> None:
    to = tmp_path / "new"
    told = await generation(facts.layout, to, dry_run=True)
    assert (told.origin, told.size, told.old.size) == (GENERATION_2, 0, facts.entries)
    with pytest.raises(LocalError) as refused:
        await generation(facts.layout, to, confirm=lambda _: False)
    assert refused.value.code == "not_confirmed"
    assert not to.exists()
    with pytest.raises(LocalError) as refused:
        await generation(facts.layout, to, origin=ORIGIN)
    assert refused.value.code == "same_origin"
    with pytest.raises(ConfigError):
        await generation(facts.layout, to, origin="has space")
    with pytest.raises(StoreRefused) as store:
        await generation(facts.layout, facts.layout.data_dir)
    assert store.value.code == "store_exists"


async def test_a_head_of_a_mark_that_the_database_lost_is_named(facts: Facts, tmp_path: Path) -> None:
    # An old backup whose mirrors are gone: what the mark says was signed, and that is where the log ended.
    keys = load_keys(facts.layout)
    mark = Mark.open(facts.layout.mark)
    mark.advance(facts.entries + 7, bytes(32), 9)
    mark.close()
    found = await past(facts.layout)
    assert found.size == facts.entries + 7
    ended = Checkpoint(ORIGIN, facts.entries + 7, bytes(32))
    assert found.note == sign_checkpoint(ended, ORIGIN, *keys.log_keys)


@pytest.mark.slow
def test_killed_at_any_step_it_is_no_store_and_goes_on(made: Facts, tmp_path: Path) -> None:
    old = copy_store(made, tmp_path / "old").layout
    before = contents(old)
    number = steps = 0

    def work() -> None:
        asyncio.run(generation(old, tmp_path / f"s{number}"))

    for step in killed_at_each_step(work):
        layout, steps = Layout(tmp_path / f"s{number}"), step
        if layout.unfinished.exists():
            assert unfinished.read(layout) == unfinished.Unfinished(unfinished.NEW_GENERATION, 0)
            for starts in (open_store(layout), init_store(layout, GENERATION_2, NAME, ACTOR)):
                with pytest.raises((StoreRefused, LocalError)):
                    asyncio.run(starts)  # type: ignore[arg-type]
        if not step % 9 or layout.mark.exists():
            if layout.unfinished.exists() or not layout.mark.exists():
                work()
            assert first(layout)["type"] == "log.generation"
            clean(layout)
            assert not layout.unfinished.exists()
        number += 1
    assert steps > 40
    assert contents(old) == before


def test_nothing_of_the_old_directory_is_left_open(facts: Facts, tmp_path: Path) -> None:
    asyncio.run(generation(facts.layout, tmp_path / "new"))
    shutil.rmtree(facts.layout.data_dir)
    clean(Layout(tmp_path / "new"))
