"""A store that was copied, restored or lost its mark: refused and left as it is, until a person takes it over."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from crash.headsets import Headset, Ward, open_ward, until
from crash.judge import judge, judge_drained
from e2e.daemon import READY_S, Gateway
from paths import ROOT

from gateway.app.verify import verify_store
from gateway.entries.envelope import decode_entry
from gateway.errors import EXIT_OK, EXIT_REFUSED
from gateway.store.layout import Layout
from gateway.store.mark import SLOT_OFFSETS, Mark
from gateway.store.snapshot import Snapshot

pytestmark = pytest.mark.slow


def vestibule(layout: Layout, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", "--data-dir", str(layout.data_dir), *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=READY_S, cwd=ROOT, check=False)


def every_file(layout: Layout) -> dict[str, str]:
    """Each file of a store and the hash of its bytes.

    Left out are the lock, which names whoever looked last, SQLite's index of the write-ahead log, which whoever reads
    makes anew, and such a log without a byte in it.
    """
    volatile = (layout.lock.name, f"{layout.database.name}-shm")
    return {
        str(path.relative_to(layout.data_dir)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(layout.data_dir.rglob("*"))
        if path.is_file() and path.name not in volatile and (path.suffix != ".db-wal" or path.stat().st_size)
    }


def refused(layout: Layout) -> str:
    """`run` refuses the store with 78, and leaves every file as it is; returns what it said."""
    before = every_file(layout)
    done = vestibule(layout, "run")
    assert done.returncode == EXIT_REFUSED, done.stderr
    assert "next:" in done.stderr
    assert every_file(layout) == before
    return done.stderr


async def some_receipts(ward: Ward, count: int = 5) -> None:
    before = ward.receipts
    async with ward.at_work(pauses=0):
        await until(lambda: ward.receipts >= before + count, "receipts")


def moved_by_tar(layout: Layout, to: Path) -> Layout:
    archive = to.with_suffix(".tar")
    with tarfile.open(archive, "w") as tar:
        tar.add(layout.data_dir, ".")
    to.mkdir(mode=0o700)
    with tarfile.open(archive) as tar:
        tar.extractall(to, filter="tar")
    return Layout(to)


def count_packets(headset: Headset) -> list[bytes]:
    """From now on, what reaches a headset's socket."""
    got: list[bytes] = []
    receive = headset.driver._transport._receive  # type: ignore[attr-defined]

    def counted(packet: bytes) -> None:
        got.append(packet)
        receive(packet)

    headset.driver._transport._receive = counted  # type: ignore[attr-defined]
    return got


def test_a_store_that_was_stopped_and_moved_is_left_as_it_is(tmp_path: Path) -> None:
    with Gateway(tmp_path / "s") as gateway:
        gateway.add_device()
    moved = moved_by_tar(gateway.layout, tmp_path / "m")
    names = {path.name for path in moved.data_dir.iterdir()}
    refused(moved)
    assert {path.name for path in moved.data_dir.iterdir()} == names


async def test_a_killed_and_moved_store_is_refused_until_it_is_adopted(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "s", seal_ms=100)
    async with open_ward(gateway, headsets=2) as ward:
        ward.onlooker.busy = False
        await some_receipts(ward)
        gateway.kill9()
        gateway.layout = moved_by_tar(gateway.layout, tmp_path / "m")
        old_links = {link for one in ward.headsets for link in one.data}

        # Refused: nothing is changed, and no packet leaves, although headsets send to its port all the time.
        got = [count_packets(one) for one in ward.headsets]
        async with ward.at_work(pauses=0):
            said = await asyncio.to_thread(refused, gateway.layout)
        assert "was copied or moved" in said
        assert f"`vestibule --data-dir {gateway.layout.data_dir} ledger adopt`" in said
        assert got == [[], []]

        # Not taken over without a yes.
        done = await asyncio.to_thread(vestibule, gateway.layout, "ledger", "adopt")
        assert done.returncode != EXIT_OK
        assert got == [[], []]

        done = await asyncio.to_thread(
            vestibule, gateway.layout, "ledger", "adopt", "--yes", "--reason", "disk"
        )
        assert done.returncode == EXIT_OK, done.stderr
        await asyncio.to_thread(gateway.start)
        await until(
            lambda: all(
                one.device.current and one.device.current.number not in old_links for one in ward.headsets
            ),
            "new links",
        )
        assert all(got)
        await some_receipts(ward)
        await asyncio.gather(*(one.finish() for one in ward.headsets))
        await ward.gateway.desk.close_session(ward.session, 10)
        assert await asyncio.to_thread(gateway.stop) == 0
        held = judge(gateway.layout, ward.onlooker, ward.headsets)
        report = verify_store(gateway.layout)
        assert report.notes == []
        with Snapshot(gateway.layout.database) as snapshot:
            types = [decode_entry(data).body["type"] for _, data in snapshot.iter_entries()]
            streams = list(snapshot.iter_streams())
        assert types.count("log.adopt") == 1
        # What an old link still held is lost, as both sides say: the device counts it, the gateway misses it.
        lost = sum(sum(one.device.lost.values()) for one in ward.headsets)
        assert sum(stream.missing for stream in streams) == lost
        for one in ward.headsets:
            assert set(one.device.lost) <= {"link_gone"}
            assert sum(one.device.totals().values()) == sum(
                stream.total for stream in streams if stream.device == one.key.device
            )
        assert held.samples


async def test_an_older_database_or_no_mark_is_refused_and_a_torn_mark_is_not(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "s", seal_ms=100)
    layout = gateway.layout
    kept = tmp_path / "kept"
    async with open_ward(gateway, headsets=1) as ward:
        ward.onlooker.busy = False
        await some_receipts(ward)
        assert await asyncio.to_thread(gateway.stop) == 0
        shutil.copytree(layout.data_dir, kept)
        await asyncio.to_thread(gateway.start)
        await some_receipts(ward)
        await ward.drained()
        judge_drained(layout, ward.onlooker, ward.headsets)

        # An older copy of the database beside the newer mark: the segments hold more than it names, and keep it.
        newest = layout.database.read_bytes()
        layout.database.write_bytes((kept / layout.database.name).read_bytes())
        assert "it is an old copy" in await asyncio.to_thread(refused, layout)
        layout.database.write_bytes(newest)

        # No mark: a backup that was restored.
        mark = layout.mark.read_bytes()
        layout.mark.rename(tmp_path / "mark")
        assert "has no mark" in await asyncio.to_thread(refused, layout)
        (tmp_path / "mark").rename(layout.mark)

        # Both slots torn: nothing says what was signed.
        layout.mark.write_bytes(bytes(len(mark)))
        assert "no valid record" in await asyncio.to_thread(refused, layout)

        # One slot torn, whichever: the other one tells enough, and the database is ahead of it or where it says.
        for slot in range(len(SLOT_OFFSETS)):
            torn = bytearray(mark)
            torn[SLOT_OFFSETS[slot] + 20] ^= 1
            layout.mark.write_bytes(torn)
            await asyncio.to_thread(gateway.start)
            gateway.add_device(f"after-{slot}")
            assert await asyncio.to_thread(gateway.stop) == 0
            judge_drained(layout, ward.onlooker, ward.headsets)
            mark = layout.mark.read_bytes()
            opened = Mark.open(layout.mark)
            with Snapshot(layout.database) as snapshot:
                head = snapshot.head()
            assert (opened.value.size, opened.value.root) == (head.size, head.root)
            opened.close()
