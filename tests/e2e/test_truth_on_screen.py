"""What people are shown is what is durable, and a rotated key works at once."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import numpy as np

from gateway.app.drive import Driver
from gateway.app.keyfile import DeviceKey, of_reply
from gateway.device.machine import Device
from gateway.net.udp_device import UdpDevice
from gateway.wire import kinds
from tests.e2e.daemon import Gateway


async def _record(gateway: Gateway, key: DeviceKey, samples: int) -> Driver:
    """A device that records some samples and keeps its link."""
    config = key.config(int.from_bytes(os.urandom(7), "big"), probes=False, linger_ms=20)
    driver = Driver(Device(config, os.urandom), UdpDevice("127.0.0.1", gateway.udp_port), lambda seq: None)
    await driver.__aenter__()
    driver.start()
    assert await driver.recording(10), driver.device.status()
    records = np.zeros(samples, kinds.HAPTIC_DTYPE)
    driver.capture(0, kinds.HAPTIC, records.tobytes(), samples)
    return driver


def test_stored_is_what_a_commit_made_durable(tmp_path: Path) -> None:
    async def main(gateway: Gateway, key: DeviceKey, session: str) -> None:
        driver = await _record(gateway, key, 32)
        await driver.until(lambda: driver.device.status()["sent"] > 0, 5)  # type: ignore[operator]
        while gateway.call("status")["admitted"] == 0:
            await asyncio.sleep(0.02)
        # Admitted, and its seal is ten seconds away: nothing is stored yet, and nobody is told so.
        assert gateway.session_row(session)["totals"]["stored"] == 0
        await driver.__aexit__(None, None, None)

    with Gateway(tmp_path / "late", seal_ms=10_000) as gateway:
        key = gateway.add_device()
        session = gateway.open_session([key.device], ["haptic"])
        asyncio.run(main(gateway, key, session))
        gateway.stop()
        gateway.restart()
        assert gateway.session_row(session)["totals"]["stored"] == 32


def test_a_rotated_key_works_at_once(tmp_path: Path) -> None:
    async def main(gateway: Gateway, key: DeviceKey) -> None:
        driver = await _record(gateway, key, 32)
        assert await driver.stop(10)
        await driver.__aexit__(None, None, None)

    with Gateway(tmp_path / "rotate") as gateway:
        key = gateway.add_device()
        session = gateway.open_session([key.device], ["haptic"])
        asyncio.run(main(gateway, key))
        asyncio.run(main(gateway, of_reply(gateway.call("device.rotate", device=key.device, show=True))))
        gateway.close_session(session)
        row = gateway.until(lambda: gateway.session_row(session), "the session's row")
        assert row["totals"]["stored"] == 64
