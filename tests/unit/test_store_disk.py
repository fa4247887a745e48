"""The disk of a cycle: the real one and its twin in memory keep the same rules."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from gateway.core.records import BatchRow, HeadMove, Pairing, PartRow, Writes
from gateway.errors import Divergence, StoreError
from gateway.ids import SessionId
from gateway.store.db import Database
from gateway.store.disk import Disk, RealDisk
from gateway.store.mark import Mark, MarkValue
from gateway.store.queries import Head
from gateway.store.vault import Location, Vault
from gateway.tlog.merkle import EMPTY_ROOT
from tests.store_memory import MemoryDisk

ROOTS = [EMPTY_ROOT, *(sha256(bytes([n])).digest() for n in range(9))]


@dataclass
class Opened:
    """A disk, and how to look at what it holds."""

    disk: Disk
    vault: Vault | None = None
    db: Database | None = None
    mark: Mark | None = None

    def parts(self) -> list[tuple[bytes, bytes]]:
        if self.vault is None:
            assert isinstance(self.disk, MemoryDisk)
            return list(self.disk.records.values())
        return [
            (record.header, record.payload)
            for n in self.vault.segments()
            for record in self.vault.iter_records(n)
        ]

    async def head(self) -> Head:
        if self.db is None:
            assert isinstance(self.disk, MemoryDisk)
            return self.disk.head
        return await self.db.head()

    def marked(self) -> MarkValue:
        if self.mark is None:
            assert isinstance(self.disk, MemoryDisk)
            return self.disk.mark
        return self.mark.value


@pytest.fixture(params=["real", "memory"])
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opened]:
    if request.param == "memory":
        yield Opened(MemoryDisk())
        return
    (tmp_path / "vault").mkdir()
    db = await Database.open(tmp_path / "state.db", bytes(32), create=True)
    vault = Vault.open(tmp_path / "vault", bytes(32))
    mark = Mark.create(tmp_path / "mark", 0, EMPTY_ROOT, 0)
    disk = RealDisk(db, vault, mark)
    yield Opened(disk, vault, db, mark)
    await disk.close()


def part(number: int) -> tuple[bytes, bytes]:
    payload = b"payload %d" % number
    return b"core" + sha256(payload).digest(), payload


def writes(batch: int, locations: list[Location]) -> Writes:
    rows = [
        PartRow(
            batch,
            n,
            SessionId(bytes(16)),
            at.segment,
            at.offset,
            at.header_bytes,
            at.payload_bytes,
            1,
            1,
            0,
            0,
            bytes(32),
        )
        for n, at in enumerate(locations)
    ]
    return Writes(
        parts=rows,
        batch=BatchRow(batch, batch - 1, bytes(32), len(rows), 1, 1, 0, 0),
        entries=[(batch - 1, b"entry")],
        tiles=[(0, 0, b"".join(ROOTS[1 : batch + 1]))],
        head=HeadMove(batch - 1, ROOTS[batch - 1], batch, ROOTS[batch]),
    )


async def cycle(disk: Disk, batch: int) -> list[Location]:
    locations = await disk.append(batch, [part(batch), part(batch + 100)])
    await disk.sync()
    await disk.commit(writes(batch, locations))
    await disk.advance(batch, ROOTS[batch], 1)
    return locations


async def test_cycles_follow_one_another(opened: Opened) -> None:
    first = await cycle(opened.disk, 1)
    second = await cycle(opened.disk, 2)
    assert first[0].offset == 64
    assert second[0].offset == first[1].end
    assert opened.parts() == [part(1), part(101), part(2), part(102)]
    assert await opened.head() == Head(2, ROOTS[2])
    assert opened.marked() == MarkValue(2, ROOTS[2], 1)
    assert opened.disk.free_bytes() > 0


async def test_a_cycle_that_is_given_up_leaves_nothing(opened: Opened) -> None:
    first = await cycle(opened.disk, 1)
    await opened.disk.append(2, [part(7)])
    await opened.disk.sync()
    await opened.disk.discard_appended()
    assert opened.parts() == [part(1), part(101)]
    await opened.disk.discard_appended()
    second = await cycle(opened.disk, 2)
    assert second[0].offset == first[1].end
    assert opened.parts() == [part(1), part(101), part(2), part(102)]


async def test_a_small_commit_beside_a_cycle_does_not_settle_its_parts(opened: Opened) -> None:
    await cycle(opened.disk, 1)
    await opened.disk.append(2, [part(7)])
    await opened.disk.commit(Writes(pairings=[Pairing("A" * 26, 5)]))
    await opened.disk.discard_appended()
    assert opened.parts() == [part(1), part(101)]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda w: w.entries.__setitem__(0, (0, b"again")),
        lambda w: setattr(w, "head", HeadMove(0, EMPTY_ROOT, 2, ROOTS[2])),
        lambda w: w.tiles.__setitem__(0, (0, 0, ROOTS[5] + ROOTS[6])),
    ],
    ids=["entry", "head", "tile"],
)
async def test_a_commit_that_contradicts_what_is_there_changes_nothing(spoil, opened: Opened) -> None:  # type: ignore[no-untyped-def]
    await cycle(opened.disk, 1)
    locations = await opened.disk.append(2, [part(2)])
    await opened.disk.sync()
    spoiled = writes(2, locations)
    spoil(spoiled)
    with pytest.raises((StoreError, Divergence)) as caught:
        await opened.disk.commit(spoiled)
    assert getattr(caught.value, "fatal", True)
    assert await opened.head() == Head(1, ROOTS[1])
    await opened.disk.discard_appended()
    assert opened.parts() == [part(1), part(101)]


async def test_the_mark_never_goes_back(opened: Opened) -> None:
    await cycle(opened.disk, 1)
    for size, root in [(0, EMPTY_ROOT), (1, ROOTS[2])]:
        with pytest.raises(Divergence):
            await opened.disk.advance(size, root, 1)
    assert opened.marked() == MarkValue(1, ROOTS[1], 1)


async def test_a_cancelled_commit_is_never_cut_off(tmp_path: Path) -> None:
    (tmp_path / "vault").mkdir()
    db = await Database.open(tmp_path / "state.db", bytes(32), create=True)
    vault = Vault.open(tmp_path / "vault", bytes(32))
    disk = RealDisk(db, vault, Mark.create(tmp_path / "mark", 0, EMPTY_ROOT, 0))
    locations = await disk.append(1, [part(1)])
    await disk.sync()
    task = asyncio.ensure_future(disk.commit(writes(1, locations)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await disk.discard_appended()
    assert await db.vault_tail() == vault.tail
    assert vault.read_part(locations[0]) == part(1)
    await disk.close()


async def test_a_cancelled_append_is_taken_back_whole(tmp_path: Path) -> None:
    (tmp_path / "vault").mkdir()
    db = await Database.open(tmp_path / "state.db", bytes(32), create=True)
    vault = Vault.open(tmp_path / "vault", bytes(32))
    disk = RealDisk(db, vault, Mark.create(tmp_path / "mark", 0, EMPTY_ROOT, 0))
    task = asyncio.ensure_future(disk.append(1, [part(n) for n in range(200)]))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await disk.discard_appended()
    assert vault.empty
    await disk.close()


@pytest.mark.parametrize("step", ["append", "sync", "commit", "advance"])
async def test_the_twin_fails_where_it_is_told_and_goes_on(step: str) -> None:
    disk = MemoryDisk()
    await cycle(disk, 1)
    disk.faults[step] = StoreError("disk_io", "told to fail")  # type: ignore[index]
    with pytest.raises(StoreError):
        await cycle(disk, 2)
    assert disk.head.size == (2 if step == "advance" else 1)
    if step == "advance":
        await disk.advance(2, ROOTS[2], 1)
    else:
        await disk.discard_appended()
        await cycle(disk, 2)
    assert disk.mark == MarkValue(2, ROOTS[2], 1)
    assert list(disk.records.values()) == [part(1), part(101), part(2), part(102)]


async def test_the_twin_refuses_rows_of_parts_that_are_not_durable() -> None:
    disk = MemoryDisk()
    locations = await disk.append(1, [part(1)])
    with pytest.raises(StoreError) as caught:
        await disk.commit(writes(1, locations))
    assert caught.value.code == "not_synced"
