"""What a simulation is made of: weather by the clock, sleep, thinned people, and the options that say so."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from device_side import KEY, OtherSide, config
from device_side import Rig as FarRig
from hypothesis import given
from hypothesis import strategies as st

from gateway.app.cli.main import root
from gateway.app.drive import Driver
from gateway.app.keyfile import DeviceKey, Kept, read, write
from gateway.app.simulate import SECOND_NS, thin
from gateway.app.spool_files import SpoolFiles
from gateway.app.transports import Cycle, Rough, Weather
from gateway.device.events import Keep, Send, SendKept, Start
from gateway.device.link import Link
from gateway.device.machine import Device
from gateway.device.spool import segment_name
from gateway.errors import StoreError
from gateway.sources.people import NOMINAL_HZ, Person


def test_a_cycle_comes_at_the_end_of_each_period() -> None:
    cycle = Cycle(10, 2)
    assert [cycle.on(at) for at in (0, 7.9, 8, 9.9, 10, 17, 18.5, 20)] == [
        *(False, False, True, True),
        *(False, False, True, False),
    ]


class Counted:
    """A way that counts what it is given."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    async def open(self, receive: Callable[[bytes], None]) -> None:
        self.receive = receive

    def send(self, effect: Send) -> None:
        self.sent.append(effect.packet)

    async def close(self) -> None:
        pass


class Answered(Counted):
    """A way to a gateway that welcomes."""

    def __init__(self, far: OtherSide) -> None:
        super().__init__()
        self.far = far

    def send(self, effect: Send) -> None:
        if effect.hello:
            asyncio.get_running_loop().call_soon(self.receive, self.far.welcome(effect.packet))
        else:
            self.far.read(effect.packet)


def test_in_an_outage_nothing_passes_either_way() -> None:
    async def main() -> None:
        inner, got = Counted(), list[bytes]()
        way = Rough(inner, Weather(outage=Cycle(3_600, 3_599.9)), random.Random(1))
        await way.open(got.append)
        way.send(Send(b"before", False))
        await asyncio.sleep(0.15)
        way.send(Send(b"within", False))
        inner.receive(b"within")
        await way.close()
        await way.open(got.append)
        way.send(Send(b"opened again", False))
        assert (inner.sent, got, way.lost) == ([b"before"], [], 3)

    asyncio.run(main())


def test_jitter_delays_each_packet_by_its_own_time_and_loses_none() -> None:
    async def main() -> None:
        inner = Counted()
        way = Rough(inner, Weather(jitter_ms=50), random.Random(1))
        await way.open(lambda packet: None)
        for number in range(50):
            way.send(Send(bytes([number]), False))
        assert not inner.sent
        async with asyncio.timeout(5):
            while len(inner.sent) < 50:
                await asyncio.sleep(0.01)
        assert inner.sent != sorted(inner.sent), "some overtook others"
        await way.close()

    asyncio.run(main())


@given(st.integers(1, 120), st.integers(0, 4_000), st.integers(1, 700))
def test_thinned_samples_are_as_many_as_asked_for_and_the_same_however_time_is_cut(
    hz: int, begin_ms: int, step_ms: int
) -> None:
    person = Person(np.random.default_rng(1), 0)
    begin_ns, end_ns = begin_ms * 1_000_000, (begin_ms + 2_000) * 1_000_000
    whole = thin(person.render("gaze", begin_ns, end_ns), NOMINAL_HZ["gaze"], hz)
    edges = [*range(begin_ns, end_ns, step_ms * 1_000_000), end_ns]
    parts = [thin(person.render("gaze", a, b), NOMINAL_HZ["gaze"], hz) for a, b in itertools.pairwise(edges)]
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    assert abs(len(whole) - 2 * hz) <= 1
    steps = np.diff(whole["t_capture_ns"])
    assert not len(steps) or steps.max() - steps.min() <= 2 * SECOND_NS // NOMINAL_HZ["gaze"]


def test_events_are_never_thinned() -> None:
    person = Person(np.random.default_rng(1), 0)
    samples = person.render("haptic", 0, 60 * SECOND_NS)
    assert len(samples)
    assert thin(samples, NOMINAL_HZ["haptic"], 1) is samples


@pytest.mark.parametrize("text", ["", "5", "5,5", "5,6", "5,0", "5,-1", "a,b", "5,1,1", "nan,1", "100000,1"])
def test_what_is_no_cycle_is_a_mistake_in_usage(text: str) -> None:
    done = CliRunner().invoke(root, ["simulate", "--sleep", text])
    assert done.exit_code == 2 or "EVERY" in str(done.exception), done.output


def test_a_rotated_key_is_written_before_anything_is_said_and_the_counter_stays(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    write(path, DeviceKey(7, KEY.hex(), "home", "kit", 3, "10.0.0.1", 4747))
    keep = Kept(path, read(path))
    keep(9)
    keep.take_key(bytes(32))
    assert read(path) == DeviceKey(7, "00" * 32, "home", "kit", 9, "10.0.0.1", 4747)

    async def main() -> None:
        far = OtherSide()
        keys: list[bytes] = []

        def refuse(key: bytes) -> None:
            keys.append(key)
            raise StoreError("disk_full", "no room")

        way = Answered(far)
        device = Device(config(), random.Random(1).randbytes)
        driver = Driver(device, way, lambda seq: None, keep_key=refuse)
        async with driver:
            driver.start()
            assert await driver.recording(5)
            sent = len(far.hellos)
            link = far.links[101]
            way.receive(far.command(link, "rotate", "11" * 32))
            with pytest.raises(StoreError):
                await driver.until(lambda: False, 5)
            assert keys == [b"\x11" * 32]
            assert link.answers == []
            assert len(far.hellos) == sent, "what could not be kept is neither answered nor used"

    asyncio.run(main())


def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot be used") as error:
        SpoolFiles(tmp_path / "file" / "spool", 7)
    assert error.value.hint


def test_the_folder_and_its_files_are_their_owners_alone(tmp_path: Path) -> None:
    files = SpoolFiles(tmp_path / "spool", 7)
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
    link = sealed_link()
    files.perform(Keep(link.card, 0, 1, link.data(b"\x93\x00\x90\x90", (), 0)))
    files.flush()
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "spool").iterdir()] == [0o600]


def test_what_the_disk_does_not_take_is_counted_and_nothing_follows_a_torn_record(tmp_path: Path) -> None:
    files = SpoolFiles(tmp_path, 7)
    link = sealed_link()
    files.perform(Keep(link.card, 0, 1, link.data(b"\x93\x00\x90\x90", (), 0)))
    files.flush()
    files.close()
    tmp_path.joinpath(segment_name(101, 1)).mkdir()  # where the next packet's file should be
    packet = link.data(b"\x93\x00\x90\x90", (), 0)
    files.perform(Keep(link.card, 1, 1, packet))
    assert files.faults == {"unwritten": 1}
    assert files.perform(SendKept(101, 1, "")) is None
    assert files.perform(SendKept(101, 0, "")) is not None


def sealed_link() -> Link:
    """A link that can seal, made as a WELCOME makes it."""
    rig = FarRig.make(spool_bytes=1 << 20)
    rig.step(Start())
    rig.run(100_000_000)
    assert rig.device.current is not None
    return rig.device.current
