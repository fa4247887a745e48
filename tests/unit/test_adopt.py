"""`ledger adopt`: a moved store is taken over with an entry, and only after somebody said yes."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.app.adopt import adopt_store
from gateway.app.startup import open_store
from gateway.app.verify import verify_store
from gateway.entries.envelope import b64u, decode_entry
from gateway.errors import LocalError, StoreRefused
from gateway.store.keyfiles import load_keys
from gateway.store.layout import Layout
from gateway.store.mark import Mark
from gateway.store.snapshot import Snapshot
from gateway.tlog.checkpoint import open_checkpoint
from gateway.tlog.note import VerifierKey
from tests.kills import killed_at_each_step
from tests.stores import Facts, copy_store, make_store


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    return asyncio.run(make_store(tmp_path_factory.mktemp("adopt") / "data", batches=2, frames=4))


def yes(question: str) -> bool:
    assert "never run again" in question
    return True


def link_states(layout: Layout) -> set[str]:
    with closing(sqlite3.connect(layout.database)) as db:
        return {row[0] for row in db.execute("SELECT state FROM links")}


async def test_a_moved_store_is_taken_over(made: Facts, tmp_path: Path) -> None:
    facts = copy_store(made, tmp_path / "moved")
    with pytest.raises(StoreRefused) as refused:
        await open_store(facts.layout)
    assert refused.value.code == "moved"
    assert "live" in link_states(facts.layout)
    with Snapshot(facts.layout.database) as snapshot:
        before = snapshot.head()
    done = await adopt_store(facts.layout, yes, "machine")
    assert (done.size, done.links > 0) == (before.size + 1, True)
    assert "live" not in link_states(facts.layout)
    assert "moved" in link_states(facts.layout)
    with Snapshot(facts.layout.database) as snapshot:
        data = snapshot.entry(before.size)
        assert data is not None
        body = decode_entry(data).body
    assert (body["type"], body["size"], body["root"], body["reason"]) == (
        "log.adopt",
        before.size,
        b64u(before.root),
        "machine",
    )
    keys = load_keys(facts.layout)
    checkpoint = open_checkpoint(done.checkpoint, VerifierKey.of(keys.origin, keys.log.public))
    assert (checkpoint.size, checkpoint.root) == (done.size, done.root)
    assert verify_store(facts.layout).notes == []
    store = await open_store(facts.layout)
    assert store.boot == 3
    assert [link.state for link in store.state.links if link.state == "live"] == []
    await store.close()


async def test_without_a_yes_nothing_changes(made: Facts, tmp_path: Path) -> None:
    facts = copy_store(made, tmp_path / "moved")
    mark = facts.layout.mark.read_bytes()
    with Snapshot(facts.layout.database) as snapshot:
        head = snapshot.head()
    with pytest.raises(LocalError) as refused:
        await adopt_store(facts.layout, lambda _: False, "machine")
    assert refused.value.code == "not_confirmed"
    assert facts.layout.mark.read_bytes() == mark
    with Snapshot(facts.layout.database) as snapshot:
        assert snapshot.head() == head


async def test_a_store_at_home_is_not_adopted(made: Facts) -> None:
    with pytest.raises(LocalError) as refused:
        await adopt_store(made.layout, yes, "machine")
    assert refused.value.code == "not_moved"


async def test_it_mends_neither_a_lost_mark_nor_an_older_database(made: Facts, tmp_path: Path) -> None:
    facts = copy_store(made, tmp_path / "moved")
    facts.layout.mark.unlink()
    with pytest.raises(StoreRefused) as refused:
        await adopt_store(facts.layout, yes, "copied")
    assert refused.value.code == "mark_missing"
    other = tmp_path / "mark"
    Mark.create(other, made.entries + 3, bytes(32), 1).close()
    facts.layout.mark.write_bytes(other.read_bytes())
    facts.layout.mark.chmod(0o600)
    with pytest.raises(StoreRefused) as refused:
        await adopt_store(facts.layout, yes, "copied")
    assert refused.value.code == "rolled_back"


async def test_a_reason_is_a_word(made: Facts, tmp_path: Path) -> None:
    facts = copy_store(made, tmp_path / "moved")
    with pytest.raises(LocalError) as refused:
        await adopt_store(facts.layout, yes, "The disk of Mr. Miller broke")
    assert refused.value.code == "entry_body"


@pytest.mark.slow
def test_killed_at_any_step_it_is_still_refused_or_adopted_with_its_entry(
    made: Facts, tmp_path: Path
) -> None:
    copies = [copy_store(made, tmp_path / "c0")]
    for _ in killed_at_each_step(lambda: asyncio.run(adopt_store(copies[-1].layout, yes, "disk")) and None):
        layout = copies[-1].layout
        mark = Mark.open(layout.mark)
        home = mark.made_here() is None
        mark.close()
        with Snapshot(layout.database) as snapshot:
            grown = snapshot.head().size > made.entries
        assert grown or not home, "taken over without its entry"
        if not home:
            asyncio.run(adopt_store(layout, yes, "disk"))
        assert verify_store(layout).notes == []
        assert "live" not in link_states(layout)
        copies.append(copy_store(made, tmp_path / f"c{len(copies)}"))
    assert len(copies) > 5
