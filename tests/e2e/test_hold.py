"""A real daemon without room on its disk: the person in the headset sees why, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.daemon import Gateway

from gateway.app import keyfile
from gateway.app.rig import Rig, Together
from tests.e2e.test_cli_devices import pulses, typed, until

MORE_THAN_ANY_DISK = 1 << 50


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    made = Gateway(tmp_path / "s", seal_ms=100)
    made.config["limits"] = {"free_disk_floor_bytes": MORE_THAN_ANY_DISK, "urgent_disk_floor_bytes": 4 << 20}
    with made:
        yield made


async def test_a_headset_shows_a_full_disk_and_delivers_when_there_is_room(
    gateway: Gateway, tmp_path: Path
) -> None:
    made = typed(gateway, "device", "add", "late", "--out", tmp_path / "k.json")
    assert made.exit_code == 0, made.stderr
    key = keyfile.read(tmp_path / "k.json")
    session = gateway.open_session([key.device], ["haptic"])
    rig = Rig(key, keyfile.Kept(tmp_path / "k.json", key), gateway.way)
    async with Together([rig.driver]):
        await rig.begin(10)
        pulses(rig, 10)
        await until(lambda: rig.device.status()["reason"] == "disk_full", 10, "it shows why")
        assert rig.device.status()["state"] == "behind"
        status = gateway.call("status")
        assert (status["held"], status["ready"], status["batches"]) == ("disk_low", False, 0)
        # A command needs no room either.
        text = await asyncio.to_thread(typed, gateway, "device", "text", "late", "Please wait.")
        assert text.exit_code == 0, text.stderr
        link = rig.device.current
        await asyncio.to_thread(gateway.stop)
        gateway.config["limits"] = {}
        gateway.write_config()
        await asyncio.to_thread(gateway.restart)
        await until(lambda: rig.device.status()["state"] == "recording", 15, "it records as before")
        assert rig.device.current is link, "the link is the same"
        await until(lambda: not rig.device.links.held_packets, 10, "all is stored")
        assert await rig.driver.stop(10)
    gateway.close_session(session)
    gateway.until(lambda: gateway.session_row(session)["state"] == "closed", "it closes")
    assert gateway.session_row(session)["totals"]["missing"] == 0
    log = gateway.log()
    assert '"verb": "hold", "count": 1' in log
    assert '"verb": "hold", "result": "done"' in log
