"""The n-th fsync or write of the daemon fails: it ends with 75 or goes on, and what it said before stays true."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from crash.failing import FailingDisk, build
from crash.headsets import DRAIN_S, Ward, open_ward, until
from crash.judge import judge, judge_drained
from e2e.daemon import STOP_S, Gateway

from gateway.app.fsck import fsck_store
from gateway.errors import EXIT_OK, EXIT_TRY_LATER, EXIT_UNREACHABLE, Unreachable, VestibuleError

LONG_DRAIN_S = 180.0  # after minutes on a broken disk: a backlog goes at twice the live rate at most


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("failsync"))


async def one_failure(ward: Ward, disk: FailingDisk, kind: str, n: int, sticky: bool) -> str:
    """Start on a disk whose n-th call fails, wait until it is clear what came of it; returns what did."""
    gateway, process = ward.gateway, None
    disk.fail(kind, n, sticky=sticky)
    await asyncio.to_thread(gateway.start, wait=False)
    process = gateway.process
    assert process is not None
    asked = asyncio.create_task(new_session(ward, f"{kind}-{n}-{sticky}"))
    await until(lambda: disk.hit or process.poll() is not None, f"call {n} of {kind}")
    hit, before = disk.hit, ward.receipts
    assert hit is not None, f"it ended before call {n}: {gateway.log()[-2000:]}"
    await until(
        lambda: process.poll() is not None or ward.receipts > before + 3, f"an end, or receipts, after {hit}"
    )
    code = process.poll()
    if code is None:
        gateway.kill9()
    if asked.done():
        assert asked.result() in (EXIT_OK, EXIT_TRY_LATER)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    assert code in (None, EXIT_TRY_LATER), f"exit {code} after {hit}:\n{gateway.log()[-2000:]}"
    await asyncio.to_thread(judge, gateway.layout, ward.onlooker, ward.headsets)
    name = Path(hit.path).name
    return f"{kind} {name}: {'goes on' if code is None else code}"


async def new_session(ward: Ward, subject: str) -> int:
    """Ask for a session of a new subject: its key and the session are writes of their own. Returns the exit code."""
    desk, onlooker = ward.gateway.desk, ward.onlooker
    while True:
        try:
            key = await desk.add_device(subject)
            onlooker.devices.append(key.device)
            session = await desk.open_session([key.device], subject, "therapy", [1])
            onlooker.sessions.append(session)
            return EXIT_OK
        except Unreachable:
            await asyncio.sleep(0.02)
        except VestibuleError as error:
            return error.exit_code


async def failing_disk(
    tmp_path: Path, library: Path, cases: Iterable[tuple[str, int, bool]], drain_s: float = DRAIN_S
) -> Counter[str]:
    gateway = Gateway(tmp_path / "s", seal_ms=100)
    disk = FailingDisk(library, gateway, tmp_path)
    came: Counter[str] = Counter()
    async with open_ward(gateway, headsets=2) as ward:
        ward.onlooker.busy = False
        async with ward.at_work(pauses=0):
            await until(lambda: ward.receipts > 0, "receipts")
            gateway.kill9()
            for case in cases:
                came[await one_failure(ward, disk, *case)] += 1
            disk.heal()
            await asyncio.to_thread(gateway.start)
            before = ward.receipts
            await until(lambda: ward.receipts > before, "receipts with a sound disk")
        await ward.drained(drain_s)
        judge_drained(gateway.layout, ward.onlooker, ward.headsets)
    for what, times in sorted(came.items()):
        print(f"{times:3} x {what}")
    return came


@pytest.mark.slow
async def test_a_failing_fsync_ends_it_or_leaves_no_trace(tmp_path: Path, library: Path) -> None:
    numbers = (1, 2, 3, 4, 5, 6, 7, 9, 12, 14, 17, 20)
    came = await failing_disk(tmp_path, library, [("sync", n, False) for n in numbers])
    assert any(what.startswith("sync state.db-wal") for what in came)
    assert came["sync mark: 75"]
    # SQLite overlooks a directory that cannot be synced, and so the start does it itself; nothing else is gone on from.
    assert not [what for what in came if what.endswith("goes on") and not what.startswith("sync s:")]


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 4, 5], ids=["journal", "file", "end"])
def test_a_subjects_key_that_may_not_be_durable_is_not_used(tmp_path: Path, library: Path, n: int) -> None:
    gateway = Gateway(tmp_path / "s")
    disk = FailingDisk(library, gateway, tmp_path)
    gateway.init()
    disk.fail("sync", n, at_once=False)
    with gateway:
        device = gateway.add_device().device
        disk.armed.touch()
        with pytest.raises(VestibuleError) as refused:
            gateway.open_session([device], ["pose"])
        assert refused.value.exit_code in (EXIT_TRY_LATER, EXIT_UNREACHABLE)
        assert gateway.process is not None
        assert gateway.process.wait(STOP_S) == EXIT_TRY_LATER, gateway.log()[-2000:]
    hit = disk.hit
    assert hit is not None
    assert "subjects" in hit.path or hit.path == str(gateway.layout.data_dir)
    disk.heal()
    with gateway:
        session = gateway.open_session([device], ["pose"])
        assert gateway.session_row(session)["state"] == "open"
    assert fsck_store(gateway.layout)[1] == []


@pytest.mark.torture
async def test_each_failing_fsync_ends_it_or_leaves_no_trace(tmp_path: Path, library: Path) -> None:
    await failing_disk(
        tmp_path,
        library,
        [("sync", n, sticky) for n in range(1, 61) for sticky in (False, True)],
        LONG_DRAIN_S,
    )


@pytest.mark.torture
async def test_each_write_without_room_ends_it_or_leaves_no_trace(tmp_path: Path, library: Path) -> None:
    await failing_disk(tmp_path, library, [("write", n, False) for n in range(1, 101)], LONG_DRAIN_S)
