"""Ten times capacity against the real daemon: memory stays bounded, honest devices lose nothing, the sum closes."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from pathlib import Path

import numpy as np

from gateway.app.drive import Driver
from gateway.device.machine import Device
from gateway.keys.link import UP, LinkCipher, LinkKeys
from gateway.net.udp_device import UdpDevice
from gateway.wire import kinds
from gateway.wire import packet as wire
from tests.e2e.daemon import Gateway

FLOOD_S = 6.0
HONEST = 3
PEAK_MIB = 512


def _peak_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no peak of memory")


def _drivers(gateway: Gateway) -> list[Driver]:
    drivers = []
    for number in range(HONEST):
        key = gateway.add_device(f"rig{number}")
        gateway.open_session([key.device], ["haptic"], subject=f"s{number}")
        config = key.config(int.from_bytes(os.urandom(7), "big"), probes=False)
        device = Device(config, os.urandom)
        drivers.append(Driver(device, UdpDevice("127.0.0.1", gateway.udp_port), lambda seq: None))
    return drivers


async def _capture(driver: Driver, until_s: float) -> int:
    """100 samples a second, whatever happens around."""
    taken = 0
    while time.monotonic() < until_s:
        samples = np.zeros(32, kinds.HAPTIC_DTYPE)
        samples["t_capture_ns"] = time.monotonic_ns() + np.arange(32)
        driver.capture(0, kinds.HAPTIC, samples.tobytes(), 32)
        taken += 32
        await asyncio.sleep(0.32)
    return taken


def _flood(port: int, until_s: float, link: int) -> int:
    """A hostile device (forged packets of its link) and a stranger, as fast as one thread sends."""
    sent = 0
    cipher = LinkCipher(LinkKeys.derive(bytes(32), bytes(16), bytes(16), 1, link, UP))
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
    ):
        one.connect(("127.0.0.1", port))
        two.connect(("127.0.0.1", port))
        while time.monotonic() < until_s:
            for number in range(64):
                head = wire.pack_header(wire.DATA, link, sent + number, 0) + bytes(1000)
                one.send(head + cipher.tag(head))
                two.send(wire.pack_header(wire.DATA, 1_000_000 + number, 0, 0) + bytes(1016))
            sent += 128
    return sent


def test_a_flood_starves_nobody(tmp_path: Path) -> None:
    async def main(gateway: Gateway, drivers: list[Driver]) -> tuple[list[int], int]:
        for driver in drivers:
            await driver.__aenter__()
            driver.start()
            assert await driver.recording(10)
        until_s = time.monotonic() + FLOOD_S
        flood = asyncio.to_thread(_flood, gateway.udp_port, until_s, 1)
        *taken, sent = await asyncio.gather(*(_capture(driver, until_s) for driver in drivers), flood)
        for driver in drivers:
            assert await driver.stop(20), driver.device.status()
            await driver.__aexit__(None, None, None)
        return list(taken), sent

    with Gateway(tmp_path / "flood", config={"log": {"level": "warning"}}) as gateway:
        assert gateway.process is not None
        drivers = _drivers(gateway)
        taken, sent = asyncio.run(main(gateway, drivers))
        status = gateway.call("status")
        peak = _peak_mib(gateway.process.pid)
        rows = gateway.call("session.list", all=True)["sessions"]
    assert sent > 20_000
    assert peak < PEAK_MIB
    assert sorted(row["totals"]["stored"] for row in rows) == sorted(taken)
    assert all(row["totals"]["missing"] == 0 for row in rows)
    assert status["refused"]["unknown_link"] > 0
    print(
        f"flood of {sent / FLOOD_S:,.0f} packets/s, peak {peak:.0f} MiB, kernel drops {status['kernel_dropped']}"
    )
