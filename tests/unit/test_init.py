"""`init`: what it makes, what it refuses, and that it can be killed at any moment."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest

from gateway.app import config
from gateway.app.init import STEPS, init_store
from gateway.app.startup import open_store
from gateway.app.verify import verify_store
from gateway.errors import ConfigError, LocalError, StoreRefused
from gateway.store.layout import Layout
from gateway.store.mark import Mark
from gateway.store.queries import EMPTY_TAIL
from gateway.store.snapshot import Snapshot
from gateway.tlog.merkle import EMPTY_ROOT
from tests.kills import killed_at_each_step
from tests.stores import ACTOR, NAME, ORIGIN, make_store


async def test_a_new_store_is_complete_private_and_starts(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data")
    steps: list[str] = []
    keys = await init_store(layout, ORIGIN, NAME, ACTOR, lambda what, done, total: steps.append(what))
    assert steps == list(STEPS)
    assert keys.origin == ORIGIN
    assert len({key.seed for key in (keys.log, keys.witness, keys.entry, keys.tls)}) == 4
    for path in layout.data_dir.rglob("*"):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
    loaded = config.load(layout.config)
    assert (loaded.gateway.name, loaded.gateway.origin) == (NAME, ORIGIN)
    assert ACTOR in loaded.access.actors
    report = verify_store(layout)
    assert (report.size, report.root, report.notes) == (0, EMPTY_ROOT, [])
    store = await open_store(layout)
    assert store.boot == 1
    await store.close()


async def test_a_finished_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    facts = await make_store(tmp_path / "data", batches=1)
    before = {path: path.read_bytes() for path in facts.layout.data_dir.rglob("*") if path.is_file()}
    with pytest.raises(StoreRefused) as refused:
        await init_store(facts.layout, ORIGIN, NAME, ACTOR)
    assert refused.value.code == "store_exists"
    assert refused.value.exit_code == 78
    assert {path: path.read_bytes() for path in facts.layout.data_dir.rglob("*") if path.is_file()} == before


async def test_a_filled_store_without_its_mark_is_no_unfinished_one(tmp_path: Path) -> None:
    facts = await make_store(tmp_path / "data", batches=1)
    facts.layout.mark.unlink()
    with pytest.raises(StoreRefused) as refused:
        await init_store(facts.layout, ORIGIN, NAME, ACTOR)
    assert refused.value.code == "mark_missing"


async def test_a_vault_with_anything_in_it_is_no_unfinished_store(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data")
    await init_store(layout, ORIGIN, NAME, ACTOR)
    layout.mark.unlink()
    (layout.vault / "00000001.seg").write_bytes(b"")
    with pytest.raises(StoreRefused, match="no mark"):
        await init_store(layout, ORIGIN, NAME, ACTOR)


async def test_a_directory_with_other_things_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("mine")
    with pytest.raises(LocalError) as refused:
        await init_store(Layout(tmp_path), ORIGIN, NAME, ACTOR)
    assert refused.value.code == "directory_used"
    assert os.listdir(tmp_path) == ["letters.txt"]


@pytest.mark.parametrize(
    ("origin", "name"), [("has space", NAME), ("", NAME), (ORIGIN, "Not Proper"), (ORIGIN, "")]
)
async def test_improper_names_make_nothing(tmp_path: Path, origin: str, name: str) -> None:
    layout = Layout(tmp_path / "data")
    with pytest.raises(ConfigError):
        await init_store(layout, origin, name, ACTOR)
    assert not layout.data_dir.exists()


async def test_going_on_under_another_name_is_refused(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data")
    await init_store(layout, ORIGIN, NAME, ACTOR)
    layout.mark.unlink()
    with pytest.raises(ConfigError) as refused:
        await init_store(layout, "other.example/vrlog", NAME, ACTOR)
    assert refused.value.code == "config_other"
    layout.config.unlink()
    with pytest.raises(ConfigError) as refused:
        await init_store(layout, "other.example/vrlog", NAME, ACTOR)
    assert refused.value.code == "key_names"


@pytest.mark.slow
def test_killed_at_any_step_it_is_unfinished_or_finished(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data")

    def work() -> None:
        asyncio.run(init_store(layout, ORIGIN, NAME, ACTOR))

    # Each run goes on with what the one before left, as an operator would; then once more from nothing.
    seen = 0
    for step in killed_at_each_step(work):
        seen = step
        if layout.mark.exists():
            break
    assert seen > 20
    if not layout.mark.exists():
        work()
    mark = Mark.open(layout.mark)
    assert (mark.value.size, mark.value.root, mark.made_here()) == (0, EMPTY_ROOT, None)
    mark.close()
    with Snapshot(layout.database) as snapshot:
        assert snapshot.vault_tail() == EMPTY_TAIL
        assert snapshot.meta("origin") == ORIGIN
    assert verify_store(layout).notes == []


def left_behind(folder: Path) -> frozenset[tuple[str, int, bool]]:
    """What a killed run leaves, but for its random bytes: every name, its size, and whether anything is written."""
    return frozenset(
        (
            path.relative_to(folder).as_posix(),
            path.stat().st_size if path.is_file() else -1,
            path.is_file() and any(path.read_bytes()),
        )
        for path in folder.rglob("*")
    )


@pytest.mark.slow
@pytest.mark.parametrize("each", [False, pytest.param(True, marks=pytest.mark.torture)])
def test_killed_at_any_step_the_next_run_finishes_it(tmp_path: Path, each: bool) -> None:
    made = 0
    seen = set()

    def work() -> None:
        asyncio.run(init_store(Layout(tmp_path / f"s{made}"), ORIGIN, NAME, ACTOR))

    for _ in killed_at_each_step(work):
        layout = Layout(tmp_path / f"s{made}")
        left = left_behind(layout.data_dir)
        # Half of the steps leave what the one before left, and the next run knows nothing else.
        if each or left not in seen:
            if not layout.mark.exists():
                work()
            assert verify_store(layout).size == 0
        seen.add(left)
        made += 1
    assert made > 20 < len(seen)
