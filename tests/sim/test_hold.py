"""A disk without room: devices are told once, hear that the gateway is there, and lose nothing however long."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter

import pytest

from gateway.core.effects import Arrival
from gateway.core.link import COMMAND_EVERY_NS, COMMAND_TRIES, MAX_SEQ_JUMP
from gateway.device import events as ev
from gateway.wire import control, kinds
from gateway.wire import packet as wire
from tests.sim.attacker import Attacker, haptic_frame
from tests.sim.clinic import Network, make_rig
from tests.sim.front import Front
from tests.sim.oracle import Fault, Watched, drained, judge_all
from tests.sim.virtual import now_ns, simulate

LOW = 32 << 20  # below the floor of batches, above that of urgent entries
NONE = 0
ROOM = 1 << 40


async def held_clinic(seed: int, free: int) -> tuple[Watched, list[Attacker]]:
    """Devices 1 and 2 record, 3 waits, 4 has not come; then no room, and data that makes the gateway notice."""
    gateway = Watched(random.Random(seed))
    await gateway.start()
    devices = [Attacker(gateway, number, await gateway.add_device(number)) for number in (1, 2, 3, 4)]
    late = devices.pop()
    await gateway.open(1, 2, 4)
    for device in devices:
        await device.handshake()
        device.sync()
    await asyncio.sleep(2)
    set_free(gateway, free)
    for device in devices[:2]:
        device.data([haptic_frame(0)])
    async with asyncio.timeout(5):
        while not gateway.house.held:
            await asyncio.sleep(0.05)
    return gateway, [*devices, late]


def set_free(gateway: Watched, free: int) -> None:
    gateway.house.disk.free = free  # type: ignore[attr-defined]


def holds(device: Attacker) -> Counter[int]:
    """How often each `hold` came, by its seq."""
    return Counter(seq for seq, command in device.commands if command.verb == "hold")


def judge_downlink(devices: list[Attacker]) -> None:
    """No two packets under one downlink seq, whatever is held."""
    packets: dict[int, bytes] = {}
    for device in devices:
        for packet in device.heard:
            if packet[3] not in (wire.WELCOME, wire.PAIRED, wire.RESET):
                seq = int.from_bytes(packet[8:16], "little")
                assert packets.setdefault(seq, packet) == packet


@pytest.mark.parametrize("free", [LOW, NONE])
def test_each_recording_link_is_told_once_a_period_and_a_waiting_one_not(free: int) -> None:
    async def main() -> None:
        gateway, devices = await held_clinic(1, free)
        commits = len(gateway.durable.entries_)
        await asyncio.sleep(120)
        assert len(gateway.durable.entries_) == commits, "it told without writing anything"
        for device in devices[:2]:
            ((_, times),) = holds(device).items()
            assert times == COMMAND_TRIES
            told = [
                at
                for at, packet in zip(device.heard_ns, device.heard, strict=True)
                if packet[3] == wire.COMMAND
            ]
            assert all(b - a >= COMMAND_EVERY_NS * 0.9 for a, b in itertools.pairwise(told))
            assert {tuple(command.args) for _, command in device.commands} == {("disk_full",)}
        assert not holds(devices[2])
        set_free(gateway, ROOM)
        await asyncio.sleep(5)
        assert all(0 in device.stored or 1 in device.stored for device in devices[:2])
        set_free(gateway, free)
        for device in devices[:2]:
            device.data([haptic_frame(1)])
        await asyncio.sleep(5)
        assert [len(holds(device)) for device in devices] == [2, 2, 0, 0], "another period, told again"
        set_free(gateway, ROOM)
        await asyncio.sleep(3)
        before = [sum(holds(device).values()) for device in devices]
        await asyncio.sleep(60)
        assert [sum(holds(device).values()) for device in devices] == before, "the receipt has said it"
        judge_downlink(devices)
        await gateway.stop()
        judge_all(gateway)

    simulate(main())


@pytest.mark.parametrize("how", ["floor", "commit"])
def test_an_answer_is_heard_while_nothing_can_be_written(how: str) -> None:
    async def main() -> None:
        fault = Fault(1, "disk_full", fatal=False, sticky=True)
        if how == "floor":
            gateway, devices = await held_clinic(2, NONE)
        else:
            gateway = Watched(random.Random(2))
            gateway.verdict = lambda write: "ok"
            await gateway.start()
            devices = [Attacker(gateway, 1, await gateway.add_device(1))]
            await gateway.open(1)
            await devices[0].handshake()
            devices[0].sync()
            await asyncio.sleep(2)
            gateway.house.disk._verdict = fault  # type: ignore[attr-defined]
            devices[0].data([haptic_frame(0)])
            async with asyncio.timeout(5):
                while not gateway.house.held:
                    await asyncio.sleep(0.05)
        device = devices[0]
        async with asyncio.timeout(3):
            while not holds(device):
                await asyncio.sleep(0.05)
        (seq,) = holds(device)
        device.answer(seq)
        await asyncio.sleep(1)
        told = sum(holds(device).values())
        await asyncio.sleep(40)
        assert sum(holds(device).values()) == told, "answered, and told again"
        syncs = device.types[wire.SYNC]
        device.sync()
        await asyncio.sleep(1)
        assert device.types[wire.SYNC] == syncs + 1, "a probe is answered"
        fault.lift()
        set_free(gateway, ROOM)
        await asyncio.sleep(3)
        assert device.stored
        judge_downlink(devices)
        await gateway.stop()
        judge_all(gateway)

    simulate(main())


def test_a_link_that_goes_live_while_it_is_held_is_told() -> None:
    async def main() -> None:
        gateway, devices = await held_clinic(3, LOW)
        late = devices[3]
        assert (await late.handshake()).state == control.RECORDING
        assert not holds(late)
        late.sync()
        await asyncio.sleep(1)
        assert len(holds(late)) == 1
        late.data([haptic_frame(0)])
        await asyncio.sleep(10)
        assert not late.stored
        set_free(gateway, ROOM)
        await asyncio.sleep(3)
        assert late.stored >= {1}
        judge_downlink(devices)
        await gateway.stop()
        judge_all(gateway)

    simulate(main())


def test_without_any_room_a_handshake_waits_and_nothing_grows() -> None:
    async def main() -> None:
        gateway, devices = await held_clinic(4, NONE)
        hello = devices[2].make_hello()
        devices[2].welcome = None
        for _ in range(200):
            devices[2].send(hello)
            await asyncio.sleep(0.1)
        assert devices[2].welcome is None
        assert not gateway.house.registry.answers, "an answer waits for a commit that does not come"
        set_free(gateway, ROOM)
        await devices[2].welcomed()
        await gateway.stop()
        judge_all(gateway)

    simulate(main())


def test_a_copy_of_a_probe_draws_nothing_and_moves_no_address() -> None:
    async def main() -> None:
        gateway, devices = await held_clinic(5, NONE)
        device = devices[0]
        device.sync()
        await asyncio.sleep(1)
        overheard = device.send(device.seal(wire.SYNC, control.encode(control.Probe(now_ns()))))
        await asyncio.sleep(1)
        thief = ("10.9.9.9", 9)
        told: list[bytes] = []
        before = gateway.deliver
        gateway.deliver = lambda to, packet: told.append(packet) if to == thief else before(to, packet)
        for _ in range(20):
            gateway.arrive(overheard, thief)
            await asyncio.sleep(0.1)
        assert told == []
        assert gateway.house.registry.links[device.link].source == device.source
        await gateway.kill()

    simulate(main())


def test_strangers_keep_no_headset_from_its_answer_while_it_is_held() -> None:
    """Room for what goes round the queue is shared as the queue is: whoever fills it gives way himself."""

    async def main() -> None:
        gateway, devices = await held_clinic(9, NONE)
        registry = gateway.house.registry
        hello = Attacker(gateway, 9, bytes(32)).make_hello()
        forged = [Arrival(hello, (f"10.9.{n // 250}.{n % 250}", 9), now_ns()) for n in range(2000)]
        probe = bytearray(devices[0].seal(wire.SYNC, bytes(9), seq=1 << 19))
        probe[-1] ^= 1
        forged += [Arrival(bytes(probe), (f"10.8.0.{n % 250}", n), now_ns()) for n in range(2000)]
        for _ in range(5):
            syncs = [device.types[wire.SYNC] for device in devices[:3]]
            gateway.spine.arrivals.arrive(forged)
            for device in devices[:3]:
                device.sync()
            await asyncio.sleep(1)
            assert [device.types[wire.SYNC] - n for device, n in zip(devices, syncs, strict=False)] == [
                1,
                1,
                1,
            ]
        assert registry.shed["queue"] + gateway.house.totals.shed["queue"], "what gave way is counted"
        hello = devices[2].make_hello()
        devices[2].welcome = None
        set_free(gateway, LOW)
        await asyncio.sleep(1)
        devices[2].send(hello)
        assert (await devices[2].welcomed()).state == control.WAITING
        await gateway.kill()

    simulate(main())


def test_what_was_heard_while_it_was_held_is_a_copy_afterwards() -> None:
    async def main() -> None:
        gateway, devices = await held_clinic(10, NONE)
        device, thief = devices[0], ("10.9.9.9", 9)
        overheard = [
            device.send(device.seal(wire.SYNC, control.encode(control.Probe(now_ns())))) for _ in range(3)
        ]
        await asyncio.sleep(1)
        accepted = gateway.house.intake.accepted
        set_free(gateway, ROOM)
        await asyncio.sleep(3)
        device.sync()
        await asyncio.sleep(1)
        told: list[bytes] = []
        before = gateway.deliver
        gateway.deliver = lambda to, packet: told.append(packet) if to == thief else before(to, packet)
        heard = device.types[wire.SYNC]
        for packet in overheard:
            gateway.arrive(packet, thief)
        await asyncio.sleep(1)
        link = gateway.house.registry.links[device.link]
        assert (told, link.source, device.types[wire.SYNC]) == ([], device.source, heard)
        assert gateway.house.intake.accepted == accepted + 1, "the last probe alone"
        await gateway.stop()
        judge_all(gateway)

    simulate(main())


def test_a_time_without_room_that_is_longer_than_a_jump_may_be_ends_no_link() -> None:
    async def main() -> None:
        gateway, devices = await held_clinic(11, NONE)
        device = devices[0]
        for _ in range(5):
            device.seq += MAX_SEQ_JUMP // 2
            device.sync()
            await asyncio.sleep(1)
        assert device.types[wire.SYNC] == 6
        set_free(gateway, ROOM)
        seq = device.data([haptic_frame(1)])
        await asyncio.sleep(3)
        assert seq in device.stored
        await gateway.stop()
        judge_all(gateway)

    simulate(main())


@pytest.mark.slow
def test_a_long_time_without_room_costs_no_sample_and_says_why() -> None:
    """Probes must not make holes that are closed over what the device still holds."""

    async def main() -> None:
        rng = random.Random(6)
        gateway, network = Watched(rng), Network(rng, loss=0.02, delay_s=0.05)
        await gateway.start()
        rig = make_rig(gateway, network, 1, await gateway.add_device(1))
        rig.hz = 20
        await gateway.open(1, kinds_=(kinds.HAPTIC, kinds.CLOCK))
        rig.start()
        await asyncio.sleep(10)
        set_free(gateway, NONE)
        await asyncio.sleep(1500)
        shown = rig.device.status()
        assert (shown["state"], shown["reason"]) == (ev.BEHIND, "disk_full")
        assert gateway.sent[wire.WELCOME] == 1, "a device that is answered asks for no other link"
        set_free(gateway, ROOM)
        async with asyncio.timeout(3000):
            while rig.device.status()["state"] != ev.RECORDING:
                await asyncio.sleep(0.5)
        await drained(gateway, [rig])
        assert rig.device.lost == {} or not sum(rig.device.lost.values())
        found = judge_all(gateway, [rig])
        (stream,) = [one for one in gateway.durable.streams.values() if one.kind == kinds.HAPTIC]
        assert (stream.stored, stream.missing, dict(stream.refused)) == (rig.sent, 0, {})
        assert rig.sent > 29_000
        assert found

    simulate(main())


def test_what_is_not_lack_of_room_is_not_told_as_such() -> None:
    async def main() -> None:
        gateway = Watched(random.Random(7))
        fault = Fault(1, "store_busy", fatal=False, sticky=True)
        await gateway.start()
        device = Attacker(gateway, 1, await gateway.add_device(1))
        await gateway.open(1)
        await device.handshake()
        device.sync()
        await asyncio.sleep(2)
        gateway.house.disk._verdict = fault  # type: ignore[attr-defined]
        device.data([haptic_frame(0)])
        await asyncio.sleep(10)
        assert gateway.house.held == "store_busy"
        assert not holds(device)
        fault.lift()
        await asyncio.sleep(2)
        assert device.stored
        await gateway.stop()

    simulate(main())


def test_a_restart_while_it_is_held_tells_again() -> None:
    async def main() -> None:
        gateway, devices = await held_clinic(8, LOW)
        await asyncio.sleep(5)
        await gateway.kill()
        await gateway.start()
        Front(gateway)
        set_free(gateway, LOW)
        for device in devices[:2]:
            device.data([haptic_frame(1)])
        await asyncio.sleep(5)
        assert [len(holds(device)) for device in devices] == [2, 2, 0, 0]
        judge_downlink(devices)
        await gateway.kill()

    simulate(main())
