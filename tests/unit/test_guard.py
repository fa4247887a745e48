"""The rollback guard: who was asked, what the answers mean, and when nothing may be signed."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.app import guard
from gateway.app.adopt import adopt_store
from gateway.app.guard import Forked, GuardReport, Source, ask_witnesses, require
from gateway.errors import EXIT_REFUSED, EXIT_TRY_LATER, StoreError, StoreRefused
from gateway.store.keyfiles import KeyRing, load_keys
from gateway.store.snapshot import Snapshot
from gateway.tlog.checkpoint import Checkpoint, sign_checkpoint
from gateway.tlog.fork import verify_fork
from gateway.tlog.tiles import root_from_tiles
from tests.mirrors import Mirror, export, get, lie, record
from tests.stores import Facts, copy_store, make_store


@dataclass
class Case:
    """A store, its keys, and exports of its log when it was smaller, as it is, and larger."""

    facts: Facts
    keys: KeyRing
    smaller: Path
    same: Path
    larger: Path
    snapshot: Snapshot

    def signed(self, size: int, root: bytes | None = None) -> bytes:
        found = root_from_tiles(self.snapshot, size) if root is None else root
        head = Checkpoint(self.keys.origin, size, found)
        return sign_checkpoint(head, self.keys.origin, *self.keys.log_keys)

    async def ask(self, *sources: Source, signed: bytes = b"") -> GuardReport:
        head = self.snapshot.head()
        vkeys = self.keys.known_log_vkeys
        return await ask_witnesses(self.keys.origin, vkeys, head, self.snapshot, sources, get, signed)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    folder = tmp_path_factory.mktemp("guard")

    facts = asyncio.run(make_store(folder / "data", batches=2, frames=4))
    export(facts.layout, folder / "smaller")
    asyncio.run(record(facts.layout))
    export(facts.layout, folder / "same")
    here = copy_store(facts, folder / "copy")
    asyncio.run(record(facts.layout))
    export(facts.layout, folder / "larger")
    with Snapshot(here.layout.database) as snapshot:
        keys = load_keys(here.layout)
        yield Case(here, keys, folder / "smaller", folder / "same", folder / "larger", snapshot)


async def test_what_others_have_is_told_in_words(case: Case, tmp_path: Path) -> None:
    origin = case.keys.origin
    lying = tmp_path / "garbage"
    lying.mkdir()
    (lying / "checkpoint").write_bytes(b"not a note")
    async with (
        Mirror({origin: case.smaller}, "behind") as behind,
        Mirror({origin: case.same}, "same") as same,
        Mirror({origin: case.same}, "top", at_top=True) as top,
        Mirror({}, "stranger") as stranger,
        Mirror({origin: lying}, "garbage") as garbage,
    ):
        away = Source("away", "http://127.0.0.1:9")
        report = await case.ask(*(m.source for m in (behind, same, top, stranger, garbage)), away)
    assert [answer.word for answer in report.answers] == [
        "behind",
        "same",
        "same",
        "nothing",
        "unusable",
        "away",
    ]
    assert (report.reached, report.refusal, report.fork) == (4, None, None)
    assert "away does not answer" in report.said
    require(report, start_alone=False)


async def test_a_larger_head_of_our_key_refuses_and_names_the_verb(case: Case) -> None:
    async with (
        Mirror({case.keys.origin: case.larger}, "rig-3") as ahead,
        Mirror({case.keys.origin: case.same}) as same,
    ):
        report = await case.ask(same.source, ahead.source)
    with pytest.raises(StoreRefused) as refused:
        require(report, start_alone=True)
    assert (refused.value.code, refused.value.exit_code) == ("rolled_back", EXIT_REFUSED)
    assert "ledger catch-up" in refused.value.hint
    assert "rig-3" in refused.value.message


@pytest.mark.parametrize("back", [0, 1, 2])
async def test_another_root_of_our_key_refuses_and_gives_evidence(
    case: Case, tmp_path: Path, back: int
) -> None:
    size = case.snapshot.head().size
    lying = tmp_path / "lying"
    shutil.copytree(case.same, lying)
    lie(case.facts.layout, lying, size - back, bytes(32))
    async with Mirror({case.keys.origin: lying}) as mirror:
        report = await case.ask(mirror.source, signed=case.signed(size))
        unsigned = await case.ask(mirror.source)
    with pytest.raises(Forked) as refused:
        require(report, start_alone=True)
    assert "new-generation" in refused.value.hint
    assert refused.value.fork is report.fork is not None
    a, b = verify_fork(report.fork, *case.keys.log_vkeys)
    assert (a.size, b.size, a.root) == (size - back, size, bytes(32))
    # No note is signed for it: without one on record there is a refusal, and no evidence.
    assert unsigned.fork is None
    assert isinstance(unsigned.refusal, Forked)


async def test_two_others_that_differ_are_evidence(case: Case, tmp_path: Path) -> None:
    size = case.snapshot.head().size + 3
    folders = [tmp_path / "one", tmp_path / "two"]
    for number, folder in enumerate(folders):
        folder.mkdir()
        lie(case.facts.layout, folder, size, bytes([number]) * 32)
    async with (
        Mirror({case.keys.origin: folders[0]}) as one,
        Mirror({case.keys.origin: folders[1]}) as two,
    ):
        report = await case.ask(one.source, two.source)
    assert isinstance(report.refusal, Forked)
    assert report.fork is not None
    a, b = verify_fork(report.fork, *case.keys.log_vkeys)
    assert (a.size, b.size) == (size, size)


async def test_a_note_of_another_key_says_nothing(case: Case, tmp_path: Path) -> None:
    other = await make_store(tmp_path / "other", batches=1, frames=4)
    export(other.layout, tmp_path / "log")
    async with Mirror({case.keys.origin: tmp_path / "log"}) as mirror:
        report = await case.ask(mirror.source)
    assert [answer.word for answer in report.answers] == ["unusable"]
    with pytest.raises(StoreError) as later:
        require(report, start_alone=False)
    assert (later.value.code, later.value.exit_code) == ("no_witness", EXIT_TRY_LATER)
    require(report, start_alone=True)


async def test_nobody_is_waited_for_longer_than_its_time(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "ASK_S", 0.05)
    never = asyncio.Event()

    async def silent(url: str, path: str, limit: int) -> bytes | None:
        await never.wait()
        return None

    head = case.snapshot.head()
    report = await ask_witnesses(
        case.keys.origin, case.keys.log_vkeys, head, case.snapshot, [Source("a", ""), Source("b", "")], silent
    )
    assert [answer.word for answer in report.answers] == ["away", "away"]


async def test_a_moved_store_that_went_on_elsewhere_is_not_adopted(case: Case, tmp_path: Path) -> None:
    facts = copy_store(case.facts, tmp_path / "moved")
    async with Mirror({case.keys.origin: case.larger}, "rig-2") as ahead:
        with pytest.raises(StoreRefused) as refused:
            await adopt_store(facts.layout, lambda _: True, "disk", [ahead.source], get)
    assert refused.value.code == "rolled_back"
    asked: list[str] = []
    async with Mirror({case.keys.origin: case.same}, "rig-2") as same:
        done = await adopt_store(
            facts.layout, lambda question: not asked.append(question), "disk", [same.source], get
        )
    assert [answer.word for answer in done.answers] == ["same"]
    assert "rig-2 has the same head" in asked[0]
