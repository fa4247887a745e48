"""Devices in bad weather, by the real machines on both ends: nothing within ring or spool is missing, none is twice."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest

from gateway.core import rotation
from gateway.core.records import Session
from gateway.device import events as ev
from gateway.ids import DeviceId
from gateway.wire import kinds
from gateway.wire import packet as wire
from tests.sim.clinic import Network
from tests.sim.headset import Headset, make_headset
from tests.sim.oracle import Found, Watched, drained, judge_all
from tests.sim.virtual import simulate

ROUGH = {"loss": 0.2, "duplicate": 0.1, "delay_s": 0.3}


async def clinic(seed: int, **network: float) -> tuple[Watched, Network]:
    print("seed", seed)
    rng = random.Random(seed)
    gateway = Watched(rng)
    await gateway.start()
    return gateway, Network(rng, **network)


async def recording(rig: Headset, within_s: float = 60) -> None:
    async with asyncio.timeout(within_s):
        while rig.device.status()["state"] not in (ev.RECORDING, ev.BEHIND):
            await asyncio.sleep(0.05)


async def closed(gateway: Watched, session: Session, within_s: float = 300) -> None:
    """No link of an earlier run holds a session up."""
    async with asyncio.timeout(within_s):
        while gateway.durable.sessions[session.session].state != "closed":
            await asyncio.sleep(0.1)


def of_run(found: Found, run: int) -> Counter[int]:
    """Haptic samples of one run that were stored."""
    return sum(
        (numbers for (_, _, one, stream), numbers in found.samples.items() if (one, stream) == (run, 0)),
        Counter(),
    )


def missing(gateway: Watched) -> int:
    return sum(stream.missing for stream in gateway.durable.streams.values())


def small(seed: int) -> dict[str, object]:
    """A ring that an outage of a few seconds fills, so that a minute of the simulation is an hour of the clinic."""
    return {"ring_bytes": 32_768 if seed % 2 else 65_536}


# ---- weather ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_loss_reordering_duplicates_jitter_and_short_outages_lose_nothing(seed: int, tmp_path: Path) -> None:
    async def main() -> None:
        gateway, network = await clinic(100 + seed, **ROUGH)
        key = await gateway.add_device(1)
        await gateway.open(1)
        spool = tmp_path / "1" if seed % 2 else None
        rig = make_headset(gateway, network, 1, key, spool)
        rig.start()
        for _ in range(6):
            await asyncio.sleep(gateway.rng.uniform(3, 8))
            network.down = True
            await asyncio.sleep(2)
            network.down = False
        await drained(gateway, [rig], 300)
        found = judge_all(gateway, [rig])
        ((run, sent),) = rig.runs.items()
        assert sent > 2_000
        assert of_run(found, run) == Counter(range(sent))
        assert (missing(gateway), rig.device.lost) == (0, {})

    simulate(main())


@pytest.mark.parametrize("seed", range(3))
def test_an_outage_of_two_minutes_is_in_the_spool(seed: int, tmp_path: Path) -> None:
    async def main() -> None:
        gateway, network = await clinic(200 + seed, **ROUGH)
        key = await gateway.add_device(1)
        await gateway.open(1)
        rig = make_headset(gateway, network, 1, key, tmp_path, **small(seed))
        rig.start()
        await asyncio.sleep(10)
        network.down = True
        await asyncio.sleep(120)
        links = rig.device.links
        assert links.held_bytes <= 65_536
        assert links.held_packets > links.loaded_packets, "the ring alone would have lost them"
        assert rig.device.status()["state"] == ev.BEHIND
        assert rig.device.status()["reason"] == "no_answer"
        network.down = False
        await asyncio.sleep(60)
        await drained(gateway, [rig], 600)
        found = judge_all(gateway, [rig])
        ((run, sent),) = rig.runs.items()
        assert sent > 15_000
        assert of_run(found, run) == Counter(range(sent))
        assert (missing(gateway), rig.device.lost) == (0, {})
        assert list(tmp_path.iterdir()) == [], "what has its receipt is gone from the spool"

    simulate(main())


@pytest.mark.parametrize("limit", ["ring", "spool"])
def test_what_is_beyond_ring_and_spool_is_counted_missing_with_its_cause(limit: str, tmp_path: Path) -> None:
    async def main() -> None:
        gateway, network = await clinic(300)
        key = await gateway.add_device(1)
        await gateway.open(1)
        options: dict[str, object] = {"ring_bytes": 32_768}
        if limit == "spool":
            options["spool_bytes"] = 65_536
        rig = make_headset(gateway, network, 1, key, tmp_path if limit == "spool" else None, **options)
        rig.start()
        await asyncio.sleep(10)
        network.down = True
        await asyncio.sleep(60)
        network.down = False
        await asyncio.sleep(30)
        await drained(gateway, [rig], 300)
        found = judge_all(gateway, [rig])
        ((run, sent),) = rig.runs.items()
        lost = rig.device.lost
        assert lost.keys() == {"overflow"}
        # What had arrived before the outage, and whose receipt it swallowed, is lost to the device alone.
        assert 500 < missing(gateway) <= lost["overflow"] <= missing(gateway) + 2.5 * rig.hz
        stored = of_run(found, run)
        assert set(stored.values()) == {1}
        assert sent - len(stored) <= lost["overflow"]

    simulate(main())


def test_a_gateway_that_is_killed_resumes_the_same_link() -> None:
    async def main() -> None:
        gateway, network = await clinic(400, **ROUGH)
        key = await gateway.add_device(1)
        await gateway.open(1)
        rig = make_headset(gateway, network, 1, key)
        rig.start()
        await recording(rig)
        link = rig.device.current
        for _ in range(6):
            await asyncio.sleep(gateway.rng.uniform(1, 6))
            await gateway.kill()
            await asyncio.sleep(gateway.rng.uniform(0, 3))
            await gateway.start()
        await asyncio.sleep(5)
        assert rig.device.current is link
        assert len(gateway.durable.links) == 1
        await drained(gateway, [rig], 300)
        found = judge_all(gateway, [rig])
        ((run, sent),) = rig.runs.items()
        assert of_run(found, run) == Counter(range(sent))

    simulate(main())


# ---- sleep -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spooled", [False, True])
def test_fifty_pauses_leave_nothing_behind(spooled: bool, tmp_path: Path) -> None:
    async def main() -> None:
        gateway, network = await clinic(500, loss=0.05, delay_s=0.05)
        key = await gateway.add_device(1)
        session = await gateway.open(1)
        rig = make_headset(gateway, network, 1, key, tmp_path if spooled else None)
        rig.start()
        most_links = most_files = 0
        for _ in range(50):
            await recording(rig)
            await asyncio.sleep(gateway.rng.uniform(0.2, 3))
            rig.sleep()
            await asyncio.sleep(gateway.rng.uniform(0, 3))
            rig.wake()
            most_links = max(most_links, len(rig.device.links))
            most_files = max(most_files, rig.spool.file_count if rig.spool is not None else 0)
        await recording(rig)
        await drained(gateway, [rig], 120)
        found = judge_all(gateway, [rig])
        assert most_links <= 8, "links drain, also those whose receipts came while nobody listened"
        assert most_files <= 8
        ((run, sent),) = rig.runs.items()
        assert of_run(found, run) == Counter(range(sent)), "one session, and its numbers go on"
        assert {link.session for link in gateway.durable.links.values()} == {session.session}
        assert len([s for s in gateway.durable.streams.values() if s.kind == kinds.HAPTIC]) == 1
        device = rig.device
        assert (len(device.links), device.links.held_packets, device.wake_at) == (0, 0, None)
        assert device.status()["unsealed"] == 0
        assert missing(gateway) == 0
        assert list(tmp_path.iterdir()) == []

    simulate(main())


def test_receipts_that_came_while_it_slept_come_again_to_its_new_address() -> None:
    async def main() -> None:
        gateway, network = await clinic(510)
        key = await gateway.add_device(1)
        await gateway.open(1)
        rig = make_headset(gateway, network, 1, key)
        rig.start()
        await recording(rig)
        await asyncio.sleep(1.5)
        rig.sleep()
        await asyncio.sleep(5)
        assert rig.device.links.held_packets, "its receipts went to a socket that is closed"
        rig.wake()
        await asyncio.sleep(6)
        assert len(rig.device.links) == 1, "the HELLO brought the answers of the old link to the new address"
        await drained(gateway, [rig])
        judge_all(gateway, [rig])

    simulate(main())


# ---- the app dies ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_an_app_that_is_killed_in_an_outage_delivers_under_its_earlier_run(seed: int, tmp_path: Path) -> None:
    async def main() -> None:
        gateway, network = await clinic(600 + seed, **ROUGH)
        key = await gateway.add_device(1)
        session = await gateway.open(1)
        rig = make_headset(gateway, network, 1, key, tmp_path, **small(seed))
        rig.start()
        for _ in range(3):
            await recording(rig)
            await asyncio.sleep(10)
            network.down = True
            await asyncio.sleep(gateway.rng.uniform(15, 40))
            rig.kill()
            await asyncio.sleep(gateway.rng.uniform(0, 60))
            network.down = False
            rig.restart(gateway)
        await recording(rig)
        await asyncio.sleep(60)
        await gateway.close(session)
        await closed(gateway, session)
        await drained(gateway, [rig], 600)
        found = judge_all(gateway, [rig])
        assert len(rig.runs) == 4
        for run, sent in rig.runs.items():
            stored = of_run(found, run)
            assert set(stored.values()) == {1}
            # Not in the spool was what had been captured within the last 2.5 s, and the linger before its seal.
            assert sent - len(stored) <= 2.8 * rig.hz + 10
            assert sorted(stored) == list(range(len(stored))), "what is missing is the end"
        assert rig.lost_samples == 0
        assert missing(gateway) == 0, "a number that was never told is no hole"
        assert list(tmp_path.iterdir()) == []

    simulate(main())


def test_a_pause_before_the_kill_loses_nothing_at_all(tmp_path: Path) -> None:
    async def main() -> None:
        gateway, network = await clinic(620)
        key = await gateway.add_device(1)
        await gateway.open(1)
        rig = make_headset(gateway, network, 1, key, tmp_path)
        rig.start()
        await recording(rig)
        await asyncio.sleep(10)
        network.down = True
        await asyncio.sleep(1)
        rig.sleep()
        rig.kill()  # the battery
        network.down = False
        rig.restart(gateway)
        await asyncio.sleep(10)
        await drained(gateway, [rig])
        found = judge_all(gateway, [rig])
        for run, sent in rig.runs.items():
            assert of_run(found, run) == Counter(range(sent))
        assert missing(gateway) == 0

    simulate(main())


def test_without_a_spool_a_kill_loses_what_was_held_and_the_sum_says_so() -> None:
    async def main() -> None:
        gateway, network = await clinic(630)
        key = await gateway.add_device(1)
        session = await gateway.open(1)
        rig = make_headset(gateway, network, 1, key)
        rig.start()
        await asyncio.sleep(10)
        network.down = True
        await asyncio.sleep(10)
        rig.kill()
        network.down = False
        rig.restart(gateway)
        await asyncio.sleep(10)
        await gateway.close(session)
        await closed(gateway, session)
        await drained(gateway, [rig])
        found = judge_all(gateway, [rig])
        first = next(iter(rig.runs))
        assert sorted(of_run(found, first)) == list(range(len(of_run(found, first))))

    simulate(main())


def test_a_spool_that_was_spoiled_gives_what_is_sound_and_the_rest_is_missing(tmp_path: Path) -> None:
    async def main() -> None:
        gateway, network = await clinic(640)
        key = await gateway.add_device(1)
        await gateway.open(1)
        rig = make_headset(gateway, network, 1, key, tmp_path)
        rig.start()
        await asyncio.sleep(10)
        network.down = True
        await asyncio.sleep(30)
        rig.kill()
        (path,) = tmp_path.iterdir()
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        network.down = False
        rig.restart(gateway)
        assert rig.spool is not None
        assert rig.spool.faults == {"torn": 1}
        await asyncio.sleep(30)
        await drained(gateway, [rig])
        judge_all(gateway, [rig])
        assert list(tmp_path.iterdir()) == []

    simulate(main())


# ---- hold and rotate -------------------------------------------------------------------------------------------


def test_a_full_disk_shows_at_once_and_costs_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        gateway, network = await clinic(700)
        key = await gateway.add_device(1)
        await gateway.open(1)
        rig = make_headset(gateway, network, 1, key, tmp_path, ring_bytes=32_768)
        rig.start()
        await asyncio.sleep(10)
        gateway.house.disk.free = 1 << 20  # type: ignore[attr-defined]
        await asyncio.sleep(5)
        assert (rig.device.status()["state"], rig.device.status()["reason"]) == (ev.BEHIND, "disk_full")
        await asyncio.sleep(60)
        assert rig.device.status()["reason"] == "disk_full", "and not bad Wi-Fi"
        gateway.house.disk.free = 1 << 40  # type: ignore[attr-defined]
        await asyncio.sleep(60)
        assert rig.device.status()["state"] == ev.RECORDING
        await drained(gateway, [rig], 300)
        found = judge_all(gateway, [rig])
        ((run, sent),) = rig.runs.items()
        assert of_run(found, run) == Counter(range(sent))
        assert missing(gateway) == 0

    simulate(main())


async def rotate(gateway: Watched, number: int) -> None:
    def work(now: int, now_ms: int) -> None:
        device = gateway.house.registry.devices[DeviceId(number)]
        rotation.stage(gateway.house.registry, device, anew=False, by_file=False)

    def tell(now: int, now_ms: int) -> None:
        device = gateway.house.registry.devices[DeviceId(number)]
        gateway.spine.enter([], rotation.tell(gateway.house.registry, device, now)[1])

    await gateway.spine.ask(work)  # durable before the device hears of it
    await gateway.spine.ask(tell)


@pytest.mark.parametrize("moment", ["at work", "killed when the key is persisted", "gateway killed"])
def test_keys_rotate_under_a_device_at_work(moment: str, tmp_path: Path) -> None:
    async def main() -> None:
        gateway, network = await clinic(800, loss=0.1, delay_s=0.05)
        key = await gateway.add_device(1)
        await gateway.open(1)
        rig = make_headset(gateway, network, 1, key, tmp_path)
        rig.start()
        await recording(rig)
        keys = [rig.key]
        for _ in range(3):
            await asyncio.sleep(5)
            if moment == "killed when the key is persisted":
                # Neither the answer nor the HELLO that follow the new key get out.
                gateway.lose_up = lambda packet: rig.key != keys[-1]
            await rotate(gateway, 1)
            if moment == "gateway killed":
                await gateway.kill()
                await gateway.start()
                # A gateway that starts tells what is pending when it hears of the device.
            async with asyncio.timeout(60):
                while rig.key == keys[-1]:
                    await asyncio.sleep(0.01)
            if moment == "killed when the key is persisted":
                rig.kill()
                gateway.lose_up = lambda packet: False
                rig.restart(gateway)
            keys.append(rig.key)
            record = gateway.house.registry.devices[DeviceId(1)]
            async with asyncio.timeout(60):
                while record.key != rig.key:
                    await asyncio.sleep(0.1)
                    record = gateway.house.registry.devices[DeviceId(1)]
            assert record.next_key == b""
        await recording(rig)
        await asyncio.sleep(5)
        await drained(gateway, [rig], 300)
        assert len(set(keys)) == 4
        found = judge_all(gateway, [rig])
        run, sent = list(rig.runs.items())[-1]
        assert of_run(found, run) == Counter(range(sent))
        if moment != "killed when the key is persisted":
            assert missing(gateway) == 0
        assert gateway.counted["hello_replay"] <= gateway.sent[wire.WELCOME] + 20

    simulate(main())


def test_a_restored_link_is_of_the_run_that_sealed_it(tmp_path: Path) -> None:
    async def main() -> None:
        gateway, network = await clinic(810)
        key = await gateway.add_device(1)
        await gateway.open(1)
        rig = make_headset(gateway, network, 1, key, tmp_path)
        rig.start()
        await asyncio.sleep(5)
        network.down = True
        await asyncio.sleep(10)
        before = rig.device.config.run
        rig.kill()
        rig.restart(gateway)
        (kept,) = [link for link in rig.device.links if link.restored_only]
        assert kept.card.run == before != rig.device.config.run
        network.down = False
        await asyncio.sleep(20)
        await drained(gateway, [rig])
        assert {stream.run for stream in gateway.durable.streams.values()} == set(rig.runs)

    simulate(main())
