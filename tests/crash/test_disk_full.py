"""A disk that fills up: nothing begins and nothing is lost, everybody is told, and room brings it back by itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from crash.failing import FailingDisk, build
from crash.headsets import Ward, open_ward, until
from crash.judge import judge_drained
from e2e.daemon import Gateway

from gateway.errors import EXIT_TRY_LATER

MIB = 1 << 20
ROUNDS = 6
TMPFS = "size=64m,mode=0700"

pytestmark = pytest.mark.slow


def free_bytes(path: Path) -> int:
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def allocate(path: Path, size: int) -> None:
    """A file that takes so much room, at once."""
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)


async def readiness(gateway: Gateway) -> tuple[int, list[str]]:
    """Status of /readyz and the reasons it gives; 0 when nobody answers."""
    with contextlib.suppress(aiohttp.ClientError):
        async with aiohttp.request("GET", f"http://127.0.0.1:{gateway.http_port}/readyz") as answer:
            body = await answer.json()
            return answer.status, [reason["code"] for reason in body["reasons"]]
    return 0, []


async def waits(ward: Ward) -> list[str]:
    """Wait until the daemon says that it is not ready, and return why; empty if it ended."""
    process = ward.gateway.process
    assert process is not None
    why: list[str] = []

    async def look() -> None:
        nonlocal why
        status = 200
        while status in (0, 200) and process.poll() is None:
            status, why = await readiness(ward.gateway)

    await asyncio.wait_for(look(), 15)
    return why


async def test_below_the_floor_nothing_begins_until_there_is_room(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "s", seal_ms=100)
    filler = tmp_path / "filler"
    # So much that what else happens on this disk meanwhile changes nothing.
    size = min(1024 * MIB, free_bytes(tmp_path) // 2)
    floor = free_bytes(tmp_path) - size // 2
    gateway.config["limits"] = {"free_disk_floor_bytes": floor, "urgent_disk_floor_bytes": floor - 1}
    async with open_ward(gateway, headsets=2) as ward:
        async with ward.at_work(pauses=0):
            await until(lambda: ward.receipts > 0, "receipts")
            pid = gateway.call("status")["pid"]
            for _ in range(2):
                allocate(filler, size)
                assert await waits(ward) == ["disk_low"]
                # What was under way when it said so is over once two looks see the same.
                held = gateway.call("status")
                assert (held["ready"], held["held"]) == (False, "disk_low")
                packets, before = [one.device.links.held_packets for one in ward.headsets], ward.receipts
                await until(
                    lambda packets=packets: all(
                        one.device.links.held_packets > before + 5
                        for one, before in zip(ward.headsets, packets, strict=True)
                    ),
                    "headsets keep what they send",
                )
                after = gateway.call("status")
                assert after["log"]["size"] == held["log"]["size"]
                assert (after["batches"], after["disk_free_bytes"] < floor) == (held["batches"], True)
                assert ward.receipts == before
                filler.unlink()
                await until(lambda before=before: ward.receipts > before, "receipts once there is room")
                assert await readiness(gateway) == (200, [])
            assert gateway.call("status")["pid"] == pid
        await ward.drained()
    judge_drained(gateway.layout, ward.onlooker, ward.headsets)


class Tmpfs:
    """A small disk of its own, filled by one large file."""

    def __init__(self, gateway: Gateway) -> None:
        self.folder = gateway.layout.data_dir
        self.filler = self.folder / "filler"

    def fill(self) -> None:
        for number in range(100):
            if not (free := free_bytes(self.folder)):
                return
            with contextlib.suppress(OSError):  # the daemon was quicker
                allocate(self.filler.with_suffix(f".{number}"), free)
        raise AssertionError("the disk does not fill up")

    def free(self) -> None:
        for path in self.folder.glob("filler*"):
            path.unlink()


class Preloaded:
    """Any disk, of which the daemon hears that it is full, at whichever write it has come to."""

    def __init__(self, gateway: Gateway, folder: Path) -> None:
        self.disk = FailingDisk(build(folder), gateway, folder)
        self.disk.fail("write", 1, sticky=True, at_once=False)

    def fill(self) -> None:
        self.disk.armed.touch()

    def free(self) -> None:
        self.disk.armed.unlink()


@contextlib.contextmanager
def small_disk(kind: str, gateway: Gateway, folder: Path) -> Iterator[Tmpfs | Preloaded]:
    if kind == "preloaded":
        yield Preloaded(gateway, folder)
        return
    where = gateway.layout.data_dir
    where.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", TMPFS, "vestibule-test", str(where)], check=True)
    try:
        yield Tmpfs(gateway)
    finally:
        subprocess.run(["umount", "--lazy", str(where)], check=True)


def kinds_of_disk() -> list[str]:
    """A real small disk where this user may mount one; and always one that only seems full."""
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "-o", TMPFS, "vestibule-test", "/mnt"]
    with contextlib.suppress(FileNotFoundError):
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return ["preloaded", "tmpfs"]
    return ["preloaded"]


@pytest.mark.parametrize("kind", kinds_of_disk())
async def test_a_full_disk_loses_nothing(tmp_path: Path, kind: str) -> None:
    gateway = Gateway(tmp_path / "s", seal_ms=100)
    with small_disk(kind, gateway, tmp_path) as disk:
        gateway.config["limits"] = {"free_disk_floor_bytes": 16 * MIB, "urgent_disk_floor_bytes": 4 * MIB}
        seen: dict[str, int] = {}
        async with open_ward(gateway, headsets=2) as ward:
            async with ward.at_work():
                for _ in range(ROUNDS):
                    before = ward.receipts
                    await until(lambda before=before: ward.receipts > before, "receipts while there is room")
                    await asyncio.sleep(ward.rng.uniform(0, 0.1))  # whatever it is at
                    disk.fill()
                    for reason in await waits(ward) or ["ended"]:
                        seen[reason] = seen.get(reason, 0) + 1
                    disk.free()
                    process = gateway.process
                    assert process is not None
                    if process.poll() is not None:
                        # In the midst of a commit its outcome is unknown: it reads again, as a service would.
                        assert process.poll() == EXIT_TRY_LATER, gateway.log()[-2000:]
                        await asyncio.to_thread(gateway.start)
                    before = ward.receipts
                    await until(lambda before=before: ward.receipts > before, "receipts once there is room")
            await ward.drained()
        judge_drained(gateway.layout, ward.onlooker, ward.headsets)
        print(f"{ROUNDS} times full: {seen}")
        assert set(seen) <= {"disk_low", "disk_full", "ended"}
