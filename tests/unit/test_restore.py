"""`ledger restore`: a wiped disk goes on with the same log, out of its escrow and what mirrors have."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from gateway.app import config
from gateway.app.catch_up import Caught, catch_up
from gateway.app.cycle import Cycle, commit
from gateway.app.fsck import fsck_store
from gateway.app.guard import Forked, Source
from gateway.app.init import init_store
from gateway.app.membership import Membership
from gateway.app.restore import restore_store
from gateway.app.rotate import rotate_key
from gateway.app.startup import open_store
from gateway.app.verify import verify_store
from gateway.core.ledger import Ledger
from gateway.core.records import Writes
from gateway.entries.envelope import decode_entry
from gateway.entries.types import roster_body
from gateway.errors import ConfigError, LocalError, StoreError, StoreRefused, Unreachable
from gateway.keys.did import did_key
from gateway.store import unfinished
from gateway.store.escrow import Escrowed, escrow_bundle, open_escrow
from gateway.store.keyfiles import load_keys
from gateway.store.layout import Layout
from gateway.store.mark import Mark
from gateway.store.peers import PeerStore
from gateway.store.snapshot import Snapshot
from gateway.tlog.checkpoint import open_checkpoint
from gateway.tlog.tiles import root_from_tiles
from tests import rosters
from tests.kills import killed_at_each_step
from tests.mirrors import Mirror, export, get, lie, record
from tests.stores import ACTOR, NAME, ORIGIN, Facts, make_store

PASSPHRASE = "four random words here"


@dataclass
class Gone:
    """What is left of a rig: its escrow, what mirrors have, and an old backup."""

    facts: Facts
    escrow: Escrowed
    log: Path
    backup: Path
    before: int
    now: int


def escrow_of(layout: Layout) -> Escrowed:
    bundle = escrow_bundle(load_keys(layout), PASSPHRASE, os.urandom(16), os.urandom(12))
    return open_escrow(bundle, PASSPHRASE)


@pytest.fixture(scope="module")
def gone(tmp_path_factory: pytest.TempPathFactory) -> Gone:
    folder = tmp_path_factory.mktemp("restore")
    facts = asyncio.run(make_store(folder / "data", batches=2, frames=4))
    backup = folder / "backup"
    backup.mkdir()
    shutil.copy(facts.layout.database, backup / "state.db")
    shutil.copytree(facts.layout.vault, backup / "vault")
    before = facts.entries
    asyncio.run(record(facts.layout, batches=2))
    export(facts.layout, folder / "log")
    with Snapshot(facts.layout.database) as snapshot:
        now = snapshot.head().size
    return Gone(facts, escrow_of(facts.layout), folder / "log", backup, before, now)


def yes(question: str) -> bool:
    assert "Will it never run again?" in question
    return True


async def restored(
    layout: Layout,
    escrow: Escrowed,
    *sources: Source,
    confirm: Callable[[str], bool] = yes,
    dry_run: bool = False,
    name: str = NAME,
) -> Caught:
    return await restore_store(layout, escrow, name, ACTOR, sources, get, confirm, dry_run=dry_run)


def clean(layout: Layout) -> list[str]:
    report, repairs = fsck_store(layout)
    assert [repair.fault.message for repair in repairs] == []
    assert report.faults == []
    return verify_store(layout).notes


async def test_a_wiped_disk_goes_on_with_its_log(gone: Gone, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "new")
    async with Mirror({ORIGIN: gone.log}) as mirror:
        done = await restored(layout, gone.escrow, mirror.source)
    assert done.done is not None
    assert (done.before, done.size, done.done.total) == (0, gone.now, gone.now + 1)
    old, new = load_keys(gone.facts.layout), load_keys(layout)
    for name in ("log", "witness", "entry", "tls"):
        assert getattr(new, name).seed == getattr(old, name).seed
    assert new.master != old.master
    head = open_checkpoint(done.done.checkpoint, *old.log_vkeys)
    assert (head.size, head.root) == (gone.now + 1, done.done.root)
    with Snapshot(layout.database) as snapshot:
        data = snapshot.entry(gone.now)
        batches = list(snapshot.iter_batches())
    assert data is not None
    body = decode_entry(data).body
    assert (body["type"], body["first"], body["size"], body["reason"]) == (
        "log.restore",
        0,
        gone.now,
        "wiped",
    )
    assert done.done.lost == len(batches) > 0
    assert clean(layout) == [
        f"The recordings of {len(batches)} batches were lost with a disk: their entries came back from mirrors, and "
        "say so."
    ]
    assert not layout.unfinished.exists()
    assert config.load(layout.config).gateway.name == NAME
    # The first start of it signs above everything that was signed before.
    store = await open_store(layout)
    assert (store.state.devices, store.state.next_batch) == ([], batches[-1].batch + 1)
    await store.close()
    await record(layout, batches=2, close=True)
    clean(layout)
    grown = tmp_path / "grown"
    shutil.copytree(gone.log, grown)
    export(layout, grown)


async def test_over_a_backup_devices_and_recordings_are_there_again(gone: Gone, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "new")
    shutil.copytree(gone.backup, layout.data_dir)
    async with Mirror({ORIGIN: gone.log}) as mirror:
        done = await restored(layout, gone.escrow, mirror.source)
    assert done.done is not None
    assert (done.before, done.done.first, done.size) == (gone.before, gone.before, gone.now)
    # No backup holds subject keys: what is recorded of them cannot go on, and what is there stays sealed.
    assert done.done.ended == 1
    notes = clean(layout)
    assert any("keys that open" in note for note in notes)
    store = await open_store(layout)
    assert [device.device for device in store.state.devices] == [1, 2]
    assert store.state.sessions == []
    await store.close()
    await record(layout)
    clean(layout)


async def test_over_a_backup_with_the_replica_of_its_subject_keys(gone: Gone, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "new")
    shutil.copytree(gone.backup, layout.data_dir)
    layout.keys.mkdir(mode=0o700)
    for path in (gone.facts.layout.subjects, gone.facts.layout.key("master")):
        shutil.copy(path, layout.data_dir / path.relative_to(gone.facts.layout.data_dir))
    async with Mirror({ORIGIN: gone.log}) as mirror:
        done = await restored(layout, gone.escrow, mirror.source)
    assert done.done is not None
    assert done.done.ended == 0
    report = verify_store(layout)
    assert (report.unopened, report.opened > 0) == (0, True)
    store = await open_store(layout)
    assert [session.state for session in store.state.sessions] == ["open"]
    await store.close()


async def test_it_is_refused_where_a_store_or_anything_else_is(gone: Gone, tmp_path: Path) -> None:
    async with Mirror({ORIGIN: gone.log}) as mirror:
        with pytest.raises(StoreRefused) as refused:
            await restored(gone.facts.layout, gone.escrow, mirror.source)
        assert refused.value.code == "store_exists"
        assert "ledger catch-up" in refused.value.hint
        used = Layout(tmp_path / "used")
        used.data_dir.mkdir()
        (used.data_dir / "letters.txt").write_text("mine")
        with pytest.raises(LocalError) as local:
            await restored(used, gone.escrow, mirror.source)
        assert local.value.code == "directory_used"
        other = await make_store(tmp_path / "other", batches=1, frames=4)
        backup = Layout(tmp_path / "backup")
        backup.data_dir.mkdir()
        shutil.copy(other.layout.database, backup.database)
        foreign = Escrowed("x.example/log", "w", gone.escrow.files, gone.escrow.log_vkeys, gone.escrow.entry)
        with pytest.raises(StoreRefused) as refused:
            await restored(backup, foreign, mirror.source)
        assert refused.value.code == "origin"


async def test_without_a_head_from_others_nothing_is_made(gone: Gone, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "new")
    with pytest.raises(StoreError) as later:
        await restored(layout, gone.escrow, Source("away", "http://127.0.0.1:9"))
    assert later.value.code == "no_witness"
    async with Mirror({}) as stranger:
        with pytest.raises(StoreRefused) as refused:
            await restored(layout, gone.escrow, stranger.source)
        assert refused.value.code == "nobody_has_it"
    async with Mirror({ORIGIN: gone.log}) as mirror:
        told = await restored(layout, gone.escrow, mirror.source, dry_run=True)
        assert (told.size, told.done) == (gone.now, None)
        with pytest.raises(LocalError) as local:
            await restored(layout, gone.escrow, mirror.source, confirm=lambda _: False)
        assert local.value.code == "not_confirmed"
        with pytest.raises(ConfigError):
            await restored(layout, gone.escrow, mirror.source, name="Not Proper")
    assert not layout.data_dir.exists()


async def test_the_largest_head_counts_and_forks_are_refused(gone: Gone, tmp_path: Path) -> None:
    behind = tmp_path / "behind"
    behind.mkdir()
    with Snapshot(gone.facts.layout.database) as snapshot:
        root = root_from_tiles(snapshot, gone.before)
    lie(gone.facts.layout, behind, gone.before, root)
    async with Mirror({ORIGIN: behind}, "old") as old, Mirror({ORIGIN: gone.log}, "new") as new:
        done = await restored(Layout(tmp_path / "new"), gone.escrow, old.source, new.source)
        assert done.size == gone.now
        lie(gone.facts.layout, behind, gone.before, bytes(32))
        with pytest.raises(Forked) as refused:
            await restored(Layout(tmp_path / "forked"), gone.escrow, old.source, new.source)
    assert refused.value.fork is not None
    assert not (tmp_path / "forked").exists()


async def test_an_interrupted_one_is_no_store_and_goes_on(gone: Gone, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "new")
    asked = 0

    def once(path: str, data: bytes) -> bytes | None:
        nonlocal asked
        asked += path.startswith("tile/entries")
        # The last entry is looked at first; what is fetched after it fails.
        return None if path.startswith("tile/entries") and asked > 1 else data

    async with Mirror({ORIGIN: gone.log}, spoil=once) as mirror:
        with pytest.raises(Unreachable):
            await restored(layout, gone.escrow, mirror.source)
        assert unfinished.read(layout) == unfinished.Unfinished(unfinished.RESTORE, 0)
        # An `init` must never begin an empty log under these keys.
        with pytest.raises(StoreRefused) as refused:
            await init_store(layout, ORIGIN, NAME, ACTOR)
        assert refused.value.code == "unfinished"
        assert "ledger restore" in refused.value.hint
        with pytest.raises(StoreRefused) as refused:
            await open_store(layout)
        assert refused.value.code == "unfinished"
        with pytest.raises(StoreRefused) as refused:
            await catch_up(layout, [mirror.source], get, lambda _: True)
        assert refused.value.code == "unfinished"
        other = await make_store(tmp_path / "other", batches=1, frames=4)
        mirror.spoil = lambda path, data: data
        mixed = Escrowed(
            ORIGIN,
            gone.escrow.witness_name,
            escrow_of(other.layout).files,
            gone.escrow.log_vkeys,
            gone.escrow.entry,
        )
        with pytest.raises(ConfigError) as other_key:
            await restored(layout, mixed, mirror.source)
        assert other_key.value.code == "key_other"
        done = await restored(layout, gone.escrow, mirror.source)
    assert done.done is not None
    assert done.done.total == gone.now + 1
    clean(layout)


async def test_an_escrow_from_before_a_rotation_of_the_entry_key_is_refused(tmp_path: Path) -> None:
    facts = await make_store(tmp_path / "data", batches=1, frames=4)
    early = escrow_of(facts.layout)
    await rotate_key(facts.layout, "entry", [], get, lambda _: True, os.urandom)
    late = escrow_of(facts.layout)
    export(facts.layout, tmp_path / "log")
    async with Mirror({ORIGIN: tmp_path / "log"}) as mirror:
        with pytest.raises(StoreRefused) as refused:
            await restored(Layout(tmp_path / "early"), early, mirror.source)
        assert refused.value.code == "key_outdated"
        assert not (tmp_path / "early").exists()
        await restored(Layout(tmp_path / "late"), late, mirror.source)
    clean(Layout(tmp_path / "late"))


async def test_the_roster_comes_back_out_of_the_log(tmp_path: Path) -> None:
    facts = await make_store(tmp_path / "data", batches=1, frames=4)
    keys = load_keys(facts.layout)
    us = rosters.member("gw01", log=keys.log_vkeys, did=did_key(keys.entry.public))
    first = rosters.roster(us)
    second = rosters.following(first, us, rosters.member("gw02"))
    left = rosters.roster(us, federation=bytes(16))
    documents = [rosters.signed(roster) for roster in (left, first, second)]
    store = await open_store(facts.layout)
    try:
        ledger = Ledger(ORIGIN, store.keys.log_keys, store.keys.entry, store.frontier, store.tails)
        bodies = [
            roster_body(
                ledger.gateway, n, one.roster.version, one.roster.hash(), msgspec.json.decode(one.raw)
            )
            for n, one in enumerate(documents)
        ]
        await commit(store.disk, Cycle(Writes(), store.boot, plan=ledger.plan(bodies)))
    finally:
        await store.close()
    export(facts.layout, tmp_path / "log")
    layout = Layout(tmp_path / "new")
    async with Mirror({ORIGIN: tmp_path / "log"}) as mirror:
        done = await restored(layout, escrow_of(facts.layout), mirror.source)
    assert done.done is not None
    assert done.done.roster == 2
    peers = await PeerStore.open(layout.peers)
    try:
        membership = await Membership.load(peers, ORIGIN, did_key(keys.entry.public))
        state = await peers.load()
    finally:
        await peers.close()
    assert membership.roster == second
    assert membership.us == us
    assert (membership.entered, [one.name for one in membership.others]) == (2, ["gw02"])
    assert state.fresh, "its witness asks the others first"
    clean(layout)


@pytest.mark.slow
def test_killed_at_any_step_it_goes_on(gone: Gone, tmp_path: Path) -> None:
    made = [Layout(tmp_path / "s0")]

    async def work() -> None:
        async with Mirror({ORIGIN: gone.log}) as mirror:
            await restored(made[-1], gone.escrow, mirror.source)

    steps = finished = 0
    for step in killed_at_each_step(lambda: asyncio.run(work())):
        layout, steps = made[-1], step
        if layout.mark.exists() and not layout.unfinished.exists():
            finished += 1
        elif not step % 5 or layout.mark.exists():
            asyncio.run(work())
        else:
            made.append(Layout(tmp_path / f"s{len(made)}"))
            continue
        clean(layout)
        mark = Mark.open(layout.mark, write=False)
        assert (mark.value.size, mark.made_here()) == (gone.now + 1, None)
        mark.close()
        made.append(Layout(tmp_path / f"s{len(made)}"))
    assert steps > 40
