"""A device's key file, the driver that runs its machine, and the sum that a replay ends with."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from device_side import KEY, OtherSide, config

from gateway.app import keyfile
from gateway.app.drive import Driver
from gateway.app.keyfile import DeviceKey, Kept
from gateway.app.outcome import unbalanced
from gateway.device.events import Send
from gateway.device.machine import Device
from gateway.errors import ConfigError, LocalError, StoreError
from gateway.wire import kinds
from gateway.wire import packet as wire

MADE = DeviceKey(7, KEY.hex(), "home", "kit 7")


def test_a_key_file_comes_back_as_it_was_and_is_nobody_elses(tmp_path: Path) -> None:
    path = tmp_path / "kit7.json"
    keyfile.write(path, MADE)
    assert keyfile.read(path) == MADE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(StoreError, match="is there already"):
        keyfile.write(path, MADE)
    path.chmod(0o644)
    with pytest.raises(ConfigError) as open_to_others:
        keyfile.read(path)
    assert open_to_others.value.code == "file_permissions"


def test_a_key_is_not_shown_by_accident() -> None:
    assert KEY.hex() not in repr(MADE)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"device":7}',
        b'{"device":0,"key":"' + KEY.hex().encode() + b'","home":"home"}',
        b'{"device":7,"key":"00ff","home":"home"}',
        b'{"device":7,"key":"' + b"z" * 64 + b'","home":"home"}',
        b'{"device":7,"key":"' + KEY.hex().encode() + b'","home":""}',
        b'{"device":7,"key":"' + KEY.hex().encode() + b'","home":"home","hello_seq":-2}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_key_file_is_refused(data: bytes) -> None:
    with pytest.raises(LocalError) as refused:
        keyfile.parse(data)
    assert refused.value.code == "key_file"


def test_a_missing_key_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="is not there") as missing:
        keyfile.read(tmp_path / "none.json")
    assert "device add" in missing.value.hint


def test_the_hello_counter_is_kept_beside_the_key(tmp_path: Path) -> None:
    path = tmp_path / "kit7.json"
    keyfile.write(path, MADE)
    keep = Kept(path, keyfile.read(path))
    keep(0)
    keep(5)
    assert keyfile.read(path) == DeviceKey(7, KEY.hex(), "home", "kit 7", 5)
    assert keyfile.read(path).config(run=1).hello_seq == 5


class Way:
    """A transport whose other end is a gateway made of wire and keys alone."""

    def __init__(self, far: OtherSide, happened: list[str]) -> None:
        self.far, self.happened = far, happened
        self.receive: Callable[[bytes], None] = lambda packet: None
        self.is_open = False

    async def open(self, receive: Callable[[bytes], None]) -> None:
        self.receive, self.is_open = receive, True

    def send(self, effect: Send) -> None:
        self.happened.append(wire.TYPE_NAMES[effect.packet[3]])
        loop = asyncio.get_running_loop()
        if effect.hello:
            loop.call_soon(self.receive, self.far.welcome(effect.packet))
            return
        link, header, _ = self.far.read(effect.packet)
        if header.type in (wire.DATA, wire.BYE):
            loop.call_soon(self.receive, self.far.receipt(link, stored=[(1, bytes(32), [header.seq] * 2)]))

    async def close(self) -> None:
        self.is_open = False


async def test_a_driver_records_drains_and_closes() -> None:
    happened: list[str] = []
    kept: list[int] = []
    way = Way(OtherSide(), happened)
    device = Device(config(linger_ms=20), lambda n: bytes(n))

    def keep(hello_seq: int) -> None:
        kept.append(hello_seq)
        happened.append("kept")

    async with Driver(device, way, keep) as driver:
        driver.start()
        assert happened[:2] == ["kept", "hello"], "a counter is durable before its HELLO leaves"
        assert await driver.recording(5.0)
        driver.capture(0, kinds.POSE, bytes(64 * 40), 40)
        assert await driver.stop(5.0), "everything has its receipt"
        assert way.is_open
    assert not way.is_open
    assert kept == [5]
    assert device.account.stored == 40
    assert device.totals()[0] == 40
    assert happened[-1] == "bye"


async def test_a_wait_ends_when_its_time_is_over() -> None:
    way = Way(OtherSide(), [])
    way.far.state = "waiting"
    async with Driver(Device(config(), lambda n: bytes(n)), way, keyfile.unkept) as driver:
        driver.start()
        assert not await driver.recording(0.05)
        assert await driver.until(lambda: driver.device.status()["state"] == "waiting", 1.0)


async def test_a_disk_that_keeps_no_counter_stops_the_device_before_it_says_hello() -> None:
    happened: list[str] = []

    def full(hello_seq: int) -> None:
        raise StoreError("disk_full", "the disk is full")

    async with Driver(Device(config(), lambda n: bytes(n)), Way(OtherSide(), happened), full) as driver:
        with pytest.raises(StoreError):
            driver.start()
    assert happened == []


async def test_an_error_inside_the_loop_reaches_whoever_waits() -> None:
    calls: list[int] = []

    def full_later(hello_seq: int) -> None:
        calls.append(hello_seq)
        if len(calls) > 1:
            raise StoreError("disk_full", "the disk is full")

    way = Way(OtherSide(), [])
    way.far.state = "waiting"
    async with Driver(Device(config(wait_retry_ms=30), lambda n: bytes(n)), way, full_later) as driver:
        driver.start()
        with pytest.raises(StoreError):
            await driver.recording(5.0)


def test_a_sum_closes_stream_by_stream() -> None:
    captured = {(1, 0): 10, (1, 1): 5}
    closed = {(1, 0): (10, 8, 1, 1), (1, 1): (5, 5, 0, 0)}
    assert unbalanced(captured, closed) == []
    assert unbalanced(captured, {**closed, (1, 0): (10, 8, 1, 0)}) == [(1, 0)]
    assert unbalanced(captured, {(1, 0): closed[1, 0]}) == [(1, 1)], (
        "a stream that the gateway never heard of"
    )
    assert unbalanced({(1, 0): 10}, closed) == [(1, 1)], "a stream that no device captured"
    # Two streams whose errors cancel out in all are still two errors.
    assert unbalanced({(1, 0): 4, (1, 1): 6}, {(1, 0): (5, 5, 0, 0), (1, 1): (5, 5, 0, 0)}) == [
        (1, 0),
        (1, 1),
    ]
