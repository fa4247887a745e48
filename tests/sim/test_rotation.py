"""A device's key is changed over its link: it is never told a key that is not kept, and never locked out."""

from __future__ import annotations

import asyncio
import random

import pytest

from gateway.core.link import COMMAND_TRIES
from gateway.errors import LocalError
from gateway.wire import control
from tests.sim.attacker import Attacker, haptic_frame
from tests.sim.clinic import Network, make_rig
from tests.sim.front import Front
from tests.sim.memory import FAIL, OK
from tests.sim.oracle import Watched, drained, judge_all
from tests.sim.virtual import simulate


async def started(seed: int) -> tuple[Watched, Front]:
    gateway = Watched(random.Random(seed))
    await gateway.start()
    return gateway, Front(gateway)


def keys_told(device: Attacker) -> dict[int, bytes]:
    """Keys that `rotate` told it, by seq."""
    return {
        seq: key
        for seq, command in device.commands
        if command.verb == "rotate" and (key := control.decode_key(command.args)) is not None
    }


@pytest.mark.parametrize("records", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_a_headset_takes_its_new_key_and_records_on(records: bool, seed: int) -> None:
    async def main() -> None:
        rng = random.Random(seed)
        gateway, network = Watched(rng), Network(rng, loss=0.1, duplicate=0.1, delay_s=0.1)
        await gateway.start()
        front = Front(gateway)
        old = await gateway.add_device(1)
        if records:
            await gateway.open(1)
        rig = make_rig(gateway, network, 1, old)
        rig.start()
        await asyncio.sleep(10)
        told = await front.rotate(1)
        assert (told["told"], told["again"]) == (1, False)
        assert "key" not in told
        assert await front.rotated(1, 20)
        device = gateway.durable.devices[1]
        assert device.key != old
        assert device.next_key == b""
        if not records:
            await gateway.open(1)
        await asyncio.sleep(20)
        thief = Attacker(gateway, 1, old, source=("10.7.7.7", 7))
        thief.hello_seq = 1000
        thief.send(thief.make_hello())
        await asyncio.sleep(2)
        assert thief.welcome is None, "the old key is good for nothing"
        await drained(gateway, [rig])
        assert rig.sent > 1500
        found = judge_all(gateway, [rig])
        assert sorted(found.every_sample) == list(range(rig.sent))

    simulate(main())


def test_asked_twice_it_is_the_same_key_unless_another_is_wanted() -> None:
    async def main() -> None:
        gateway, front = await started(4)
        await gateway.add_device(1)
        first = await front.rotate(1, show=True)
        assert first["told"] == 0
        again = await front.rotate(1, show=True)
        assert (again["key"], again["again"]) == (first["key"], True)
        assert gateway.durable.devices[1].next_key.hex() == first["key"]
        await gateway.kill()
        await gateway.start()
        front = Front(gateway)
        assert (await front.rotate(1, show=True))["key"] == first["key"], "given out, and kept over a restart"
        anew = await front.rotate(1, show=True, anew=True)
        assert (anew["key"] != first["key"], anew["again"]) == (True, False)
        assert not await front.rotated(1, 5)
        holder = Attacker(gateway, 1, bytes.fromhex(str(anew["key"])))
        await holder.handshake()
        assert await front.rotated(1, 5)
        await gateway.stop()

    simulate(main())


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("records", [False, True])
def test_a_link_that_goes_live_later_is_told(records: bool, restart: bool) -> None:
    async def main() -> None:
        gateway, front = await started(5)
        old = await gateway.add_device(1)
        if records:
            await gateway.open(1)
        await front.rotate(1)
        if restart:
            await gateway.kill()
            await gateway.start()
        device = Attacker(gateway, 1, old)
        await device.handshake()
        assert not keys_told(device)
        device.sync()
        await asyncio.sleep(1)
        ((seq, key),) = keys_told(device).items()
        assert key == gateway.durable.devices[1].next_key
        if records:
            device.answer(seq)
            await asyncio.sleep(60)
            device.sync()
            await asyncio.sleep(10)
            assert len(keys_told(device)) == 1, "it has it, and need not be told again"
        device.key = key
        await device.handshake()
        device.sync()
        await asyncio.sleep(10)
        assert len(keys_told(device)) == 1
        assert gateway.durable.devices[1].key == key
        await gateway.stop()

    simulate(main())


@pytest.mark.parametrize("restart", [False, True])
def test_a_key_in_a_file_is_carried_by_no_link_until_somebody_says_so(restart: bool) -> None:
    async def main() -> None:
        gateway, front = await started(10)
        old = await gateway.add_device(1)
        await gateway.open(1)
        device = Attacker(gateway, 1, old)
        await device.handshake()
        device.sync()
        await asyncio.sleep(1)
        given = await front.rotate(1, show=True)
        assert (given["told"], given["by_file"]) == (0, True)
        if restart:
            await gateway.kill()
            await gateway.start()
            front = Front(gateway)
        for _ in range(10):
            device.sync()
            await asyncio.sleep(2)
        assert not keys_told(device)
        assert not (await front.rotate(1))["by_file"]
        device.sync()
        await asyncio.sleep(1)
        assert {key.hex() for key in keys_told(device).values()} == {given["key"]}
        assert not (await front.rotate(1, show=True))["by_file"], "a link has it already"
        await gateway.stop()

    simulate(main())


def test_no_key_is_told_before_it_is_kept() -> None:
    async def main() -> None:
        gateway, front = await started(6)
        old = await gateway.add_device(1)
        await gateway.open(1)
        device = Attacker(gateway, 1, old)
        await device.handshake()
        device.sync()
        await asyncio.sleep(2)
        stuck = True
        gateway.house.disk._verdict = lambda write: "disk_io" if stuck and write == "commit" else OK  # type: ignore[attr-defined]
        rotation = asyncio.create_task(front.rotate(1))
        for _ in range(20):
            await asyncio.sleep(0.5)
            device.sync()
        assert not rotation.done()
        assert not keys_told(device), "a crash now would lock it out"
        stuck = False
        await asyncio.wait_for(rotation, 5)
        assert set(keys_told(device).values()) == {gateway.durable.devices[1].next_key}
        await gateway.stop()

    simulate(main())


def test_a_crash_before_the_key_is_kept_leaves_the_old_one() -> None:
    async def main() -> None:
        gateway, front = await started(7)
        old = await gateway.add_device(1)
        device = Attacker(gateway, 1, old)
        await device.handshake()
        fails = {"commit": FAIL, "commit_is_fatal": FAIL}
        gateway.house.disk._verdict = lambda write: fails.get(write, OK)  # type: ignore[attr-defined]
        rotation = asyncio.create_task(front.rotate(1))
        await asyncio.sleep(2)
        assert rotation.exception() is not None
        assert not keys_told(device)
        await gateway.kill()
        await gateway.start()
        assert gateway.durable.devices[1].next_key == b""
        await device.handshake()
        await gateway.stop()

    simulate(main())


def test_another_key_is_refused_once_the_headset_has_taken_one() -> None:
    async def main() -> None:
        gateway, front = await started(8)
        old = await gateway.add_device(1)
        await gateway.open(1)
        device = Attacker(gateway, 1, old)
        await device.handshake()
        device.data([haptic_frame(0)])
        await asyncio.sleep(1)
        await front.rotate(1)
        await asyncio.sleep(1)
        ((seq, _),) = keys_told(device).items()
        device.answer(seq)
        await asyncio.sleep(1)
        with pytest.raises(LocalError, match="has taken its new key already"):
            await front.rotate(1, anew=True)
        await gateway.stop()

    simulate(main())


@pytest.mark.parametrize("result", ["refused", "unsupported"])
def test_a_key_that_the_headset_did_not_take_is_not_said_to_be_taken(result: str) -> None:
    async def main() -> None:
        gateway, front = await started(11)
        old = await gateway.add_device(1)
        await gateway.open(1)
        device = Attacker(gateway, 1, old)
        await device.handshake()
        device.sync()
        await asyncio.sleep(1)
        await front.rotate(1)
        await asyncio.sleep(1)
        ((seq, _),) = keys_told(device).items()
        device.answer(seq, result)
        await asyncio.sleep(1)
        again = await front.rotate(1)
        assert (again["answered"], again["told"]) == (result, 0), "and it is not told again"
        anew = await front.rotate(1, anew=True, show=True)
        device.key = bytes.fromhex(anew["key"])
        await device.handshake()
        assert await front.rotated(1, 5)
        await gateway.stop()

    simulate(main())


def test_a_key_that_is_replaced_is_sent_no_more() -> None:
    """It would lock out a headset that takes it while the next one is on its way to the disk."""

    async def main() -> None:
        gateway, front = await started(14)
        device = Attacker(gateway, 1, await gateway.add_device(1))
        await gateway.open(1)
        await device.handshake()
        device.sync()
        await asyncio.sleep(2)
        await front.rotate(1)
        await asyncio.sleep(2)
        told = len(device.commands)
        assert len(keys_told(device)) == 1
        stuck = True
        gateway.house.disk._verdict = lambda write: "disk_io" if stuck and write == "commit" else OK  # type: ignore[attr-defined]
        anew = asyncio.create_task(front.rotate(1, anew=True))
        await asyncio.sleep(5)
        assert len(device.commands) == told
        stuck = False
        await anew
        await asyncio.sleep(1)
        assert list(keys_told(device).values())[-1] == gateway.durable.devices[1].next_key
        assert len(keys_told(device)) == 2
        await gateway.stop()

    simulate(main())


def test_a_revoked_headset_learns_so_under_either_key() -> None:
    async def main() -> None:
        gateway, front = await started(12)
        old = await gateway.add_device(1)
        given = await front.rotate(1, show=True)
        await front.revoke(1)
        device = Attacker(gateway, 1, bytes.fromhex(given["key"]))
        assert (await device.handshake()).reason == "revoked"
        assert old != device.key
        await gateway.stop()

    simulate(main())


@pytest.mark.parametrize("then", ["anew", "revoke"])
def test_only_a_key_that_is_kept_is_given_out(then: str) -> None:
    """Between the commit of a key and its answer somebody else may ask for another, or revoke."""

    async def main() -> None:
        gateway, front = await started(13)
        await gateway.add_device(1)
        stuck = True
        gateway.house.disk._verdict = lambda write: "disk_io" if stuck and write == "commit" else OK  # type: ignore[attr-defined]
        first = asyncio.create_task(front.rotate(1, show=True))
        await asyncio.sleep(1)
        second = asyncio.create_task(
            front.rotate(1, show=True, anew=True) if then == "anew" else front.revoke(1)
        )
        await asyncio.sleep(1)
        stuck = False
        with pytest.raises(LocalError, match="revoked" if then == "revoke" else "another key"):
            await first
        told = await second
        if told is not None:
            assert told["key"] == gateway.durable.devices[1].next_key.hex()
        await gateway.stop()

    simulate(main())


def test_a_headset_that_does_not_answer_is_asked_a_bounded_number_of_times() -> None:
    async def main() -> None:
        gateway, front = await started(9)
        device = Attacker(gateway, 1, await gateway.add_device(1))
        await gateway.open(1)
        await device.handshake()
        device.sync()
        await front.rotate(1)
        await asyncio.sleep(120)
        assert len([one for one in device.commands if one[1].verb == "rotate"]) == COMMAND_TRIES
        device.sync()
        await asyncio.sleep(2)
        assert len(keys_told(device)) == 2, "heard again, told again"
        await front.revoke(1)
        with pytest.raises(LocalError, match="is revoked"):
            await front.rotate(1)
        await gateway.stop()

    simulate(main())
