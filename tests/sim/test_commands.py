"""What people ask of a headset, its revocation, and a withdrawal: told at once, and nothing is stored after it."""

from __future__ import annotations

import asyncio
import random

import numpy as np
import pytest

from gateway.app import status
from gateway.core.records import Session, Writes
from gateway.device.pairing import pair_packet
from gateway.errors import LocalError
from gateway.wire import control, kinds
from gateway.wire import packet as wire
from tests.sim.attacker import Attacker, haptic_frame
from tests.sim.clinic import Network, make_rig
from tests.sim.front import SOMEBODY, Front
from tests.sim.memory import OK
from tests.sim.oracle import Watched, judge_all
from tests.sim.virtual import now_ns, simulate

SECOND_NS = 1_000_000_000
PULSE = (1, 0.5, 200, 160.0)


async def recording(seed: int) -> tuple[Watched, Front, Attacker, Session]:
    gateway = Watched(random.Random(seed))
    await gateway.start()
    device = Attacker(gateway, 1, await gateway.add_device(1))
    session = await gateway.open(1)
    await device.handshake()
    device.data([haptic_frame(0)])
    await asyncio.sleep(2)
    return gateway, Front(gateway), device, session


async def told(device: Attacker, verb: str) -> tuple[int, control.Command]:
    async with asyncio.timeout(5):
        while True:
            for seq, command in device.commands:
                if command.verb == verb:
                    return seq, command
            await asyncio.sleep(0.01)


# ---- what people ask for ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("result", ["done", "refused", "unsupported"])
def test_the_answer_of_a_headset_is_what_the_person_gets(result: str) -> None:
    async def main() -> None:
        gateway, front, device, _ = await recording(1)
        asked = asyncio.create_task(front.ask(1, "haptic", *PULSE))
        seq, command = await told(device, "haptic")
        assert command.args == list(PULSE)
        assert not asked.done()
        device.answer(seq, result)
        assert await asked == result
        await asyncio.sleep(40)
        assert len([one for one in device.commands if one[1].verb == "haptic"]) == 1
        await gateway.stop()

    simulate(main())


def test_after_the_wait_it_is_sent_no_more() -> None:
    async def main() -> None:
        gateway, front, device, _ = await recording(2)
        began = now_ns()
        assert await front.ask(1, "text", "look ahead", seconds=4) == "no_answer"
        assert 4 * SECOND_NS <= now_ns() - began < 4.2 * SECOND_NS
        came = len(device.commands)
        assert 4 <= came <= 5
        await asyncio.sleep(60)
        assert len(device.commands) == came, "a text half a minute later"
        await gateway.stop()

    simulate(main())


def test_a_link_that_ends_first_is_told_as_that() -> None:
    async def main() -> None:
        gateway, front, device, _ = await recording(3)
        asked = asyncio.create_task(front.ask(1, "marker", 7, ""))
        await told(device, "marker")
        device.bye()
        assert await asked == "ended"
        with pytest.raises(LocalError, match="does not record"):
            await front.ask(1, "marker", 7, "")
        await gateway.stop()

    simulate(main())


def test_only_a_link_that_records_is_asked() -> None:
    async def main() -> None:
        gateway = Watched(random.Random(4))
        await gateway.start()
        front = Front(gateway)
        device = Attacker(gateway, 1, await gateway.add_device(1))
        await device.handshake()
        device.sync()
        await asyncio.sleep(1)
        with pytest.raises(LocalError, match="in no open session"):
            await front.ask(1, "text", "hello")
        with pytest.raises(LocalError, match="there is no device 9"):
            await front.ask(9, "text", "hello")
        await gateway.open(1)
        with pytest.raises(LocalError, match="does not record"):
            await front.ask(1, "text", "hello")
        assert [command.verb for _, command in device.commands if command.verb != "open"] == []
        await gateway.stop()

    simulate(main())


def test_a_command_needs_no_room_on_the_disk() -> None:
    async def main() -> None:
        gateway, front, device, _ = await recording(5)
        gateway.house.disk.free = 0  # type: ignore[attr-defined]
        device.data([haptic_frame(1)])
        await asyncio.sleep(3)
        assert gateway.house.held
        asked = asyncio.create_task(front.ask(1, "text", "please wait"))
        seq, _ = await told(device, "text")
        device.answer(seq)
        assert await asked == "done"
        await gateway.kill()

    simulate(main())


# ---- revoking ---------------------------------------------------------------------------------------------------


def stuck(gateway: Watched) -> list[bool]:
    """The store is held by another program until the list is empty."""
    why = [True]
    gateway.house.disk._verdict = lambda write: "store_busy" if why and write == "commit" else OK  # type: ignore[attr-defined]
    return why


def test_a_command_waits_for_no_commit_that_does_not_succeed() -> None:
    async def main() -> None:
        gateway, front, device, _ = await recording(20)
        why = stuck(gateway)
        device.data([haptic_frame(1)])
        await asyncio.sleep(3)
        assert gateway.house.held == "store_busy"
        asked = asyncio.create_task(front.ask(1, "haptic", *PULSE))
        seq, _ = await told(device, "haptic")
        device.answer(seq)
        assert await asked == "done"
        why.clear()
        await gateway.stop()

    simulate(main())


def test_a_command_that_could_not_be_sent_in_time_is_never_sent() -> None:
    """Who asked has gone away: a pulse that comes minutes later surprises a person."""

    async def main() -> None:
        gateway, front, device, _ = await recording(21)
        release = asyncio.Event()
        commit = gateway.house.disk.commit

        async def hangs(writes: Writes) -> None:
            await release.wait()
            await commit(writes)

        gateway.house.disk.commit = hangs  # type: ignore[method-assign]
        device.data([haptic_frame(1)])
        await asyncio.sleep(2)
        asked = asyncio.create_task(front.ask(1, "haptic", *PULSE, seconds=2))
        await asyncio.sleep(60)
        release.set()
        with pytest.raises(LocalError, match="too late"):
            await asked
        await asyncio.sleep(5)
        assert not [one for one in device.commands if one[1].verb == "haptic"]
        await gateway.stop()

    simulate(main())


def test_a_revocation_is_told_at_once_and_nothing_after_it_is_stored() -> None:
    async def main() -> None:
        rng = random.Random(6)
        gateway, network = Watched(rng), Network(rng)
        await gateway.start()
        rig = make_rig(gateway, network, 1, await gateway.add_device(1))
        await gateway.open(1)
        rig.start()
        await asyncio.sleep(5)
        await Front(gateway).revoke(1)
        answered = now_ns()
        async with asyncio.timeout(1):
            while rig.device.status()["state"] != "not_recording":
                await asyncio.sleep(0.01)
        assert now_ns() - answered < SECOND_NS
        async with asyncio.timeout(3):
            while rig.device.status()["reason"] != "revoked":
                await asyncio.sleep(0.01)
        await asyncio.sleep(30)
        assert rig.device.status()["reason"] == "revoked"
        assert not [link for link in gateway.house.registry.links.values() if link.record.state == "live"]
        rig.capturing = False
        await gateway.stop()
        found = judge_all(gateway)
        times = [
            int(time)
            for frames in found.frames.values()
            for frame in frames
            if frame.kind == kinds.HAPTIC
            for time in np.frombuffer(frame.samples, kinds.HAPTIC_DTYPE)["t_capture_ns"]
        ]
        assert times
        assert max(times) <= answered

    simulate(main())


def test_a_headset_that_waits_is_told_as_well() -> None:
    async def main() -> None:
        rng = random.Random(14)
        gateway, network = Watched(rng), Network(rng)
        await gateway.start()
        rig = make_rig(gateway, network, 1, await gateway.add_device(1))
        rig.start()
        await asyncio.sleep(8)
        assert rig.device.status()["state"] == "waiting"
        await Front(gateway).revoke(1)
        async with asyncio.timeout(1):
            while rig.device.status()["reason"] != "revoked":
                await asyncio.sleep(0.01)
        await gateway.stop()

    simulate(main())


def test_who_does_not_hear_the_word_hears_the_reset() -> None:
    async def main() -> None:
        gateway, front, device, _ = await recording(7)
        await front.revoke(1)
        stored = set(device.stored)
        seq = device.data([haptic_frame(1)])
        await asyncio.sleep(1)
        assert [reset.reason for reset in device.resets] == ["revoked"]
        assert (await device.handshake()).reason == "revoked"
        await asyncio.sleep(3)
        assert device.stored == stored
        assert seq not in device.stored
        assert len([one for one in device.commands if one[1].verb == "stop"]) == 1, "told once"
        await gateway.stop()
        assert sorted(judge_all(gateway).every_sample) == [0]

    simulate(main())


# ---- a withdrawal -----------------------------------------------------------------------------------------------


async def withdraw(gateway: Watched, session: Session) -> None:
    def work(now: int, now_ms: int) -> None:
        mine = gateway.house.registry.sessions[session.session]
        gateway._changed(gateway.house.sessions.close(mine, "uid:0", "withdrawn", False, now, now_ms))

    await gateway.spine.ask(work)


def test_from_a_withdrawal_on_nothing_is_stored() -> None:
    """Also not what was taken in before it and waits for its seal."""

    async def main() -> None:
        gateway, _, device, session = await recording(8)
        device.data([haptic_frame(1)])
        await asyncio.sleep(0.05)
        late = device.data_packet([haptic_frame(2)])
        await withdraw(gateway, session)
        parts = len(gateway.durable.parts)
        seq, command = await told(device, "stop")
        assert command.args == ["withdrawn"]
        device.answer(seq)
        device.send(late)
        await asyncio.sleep(3)
        assert gateway.durable.sessions[session.session].state == "withdrawn", "it waits for nobody"
        later = device.data([haptic_frame(3)])
        await asyncio.sleep(3)
        assert device.refused == dict.fromkeys((1, 2, later), "withdrawn")
        assert not device.resets
        assert gateway.counted["withdrawn"] == 3
        device.bye()
        await asyncio.sleep(2)
        await gateway.stop()
        found = judge_all(gateway)
        assert sorted(found.every_sample) == [0]
        assert len(gateway.durable.parts) > parts
        (stream,) = gateway.durable.streams.values()
        assert (stream.total, stream.stored, stream.refused) == (3, 1, {"withdrawn": 2})

    simulate(main())


@pytest.mark.parametrize("free", [32 << 20, 1 << 40])
def test_a_withdrawal_survives_a_crash(free: int) -> None:
    """Without room for its last part as well: durable is that nothing more may be stored."""

    async def main() -> None:
        gateway, _, device, session = await recording(9)
        gateway.house.disk.free = free  # type: ignore[attr-defined]
        device.data([haptic_frame(1)])
        await asyncio.sleep(0.05)
        await withdraw(gateway, session)
        await gateway.kill()
        assert gateway.durable.sessions[session.session].state in ("withdrawing", "withdrawn")
        await gateway.start()
        for number in range(2, 6):
            device.data([haptic_frame(number)])
            await asyncio.sleep(0.5)
        await asyncio.sleep(5)
        assert gateway.durable.sessions[session.session].state == "withdrawn"
        await gateway.stop()
        assert sorted(judge_all(gateway).every_sample) == [0]

    simulate(main())


def test_a_session_that_drains_can_still_be_withdrawn() -> None:
    async def main() -> None:
        gateway, _, device, session = await recording(10)
        packet = device.data_packet([haptic_frame(1)])
        await gateway.close(session)
        await withdraw(gateway, session)
        device.send(packet)
        await asyncio.sleep(3)
        assert gateway.durable.sessions[session.session].state == "withdrawn"
        assert {tuple(command.args) for _, command in device.commands if command.verb == "stop"} >= {
            ("withdrawn",)
        }
        await gateway.stop()
        assert sorted(judge_all(gateway).every_sample) == [0]

    simulate(main())


def test_a_headset_shows_a_withdrawal_and_comes_back_for_the_next_session() -> None:
    async def main() -> None:
        rng = random.Random(11)
        gateway, network = Watched(rng), Network(rng, loss=0.1, delay_s=0.05)
        await gateway.start()
        rig = make_rig(gateway, network, 1, await gateway.add_device(1))
        session = await gateway.open(1)
        rig.start()
        await asyncio.sleep(5)
        await withdraw(gateway, session)
        async with asyncio.timeout(3):
            while rig.device.status()["reason"] != "withdrawn":
                await asyncio.sleep(0.01)
        await asyncio.sleep(5)
        assert gateway.durable.sessions[session.session].state == "withdrawn"
        before = sum(row.samples for row in gateway.durable.batches)
        await asyncio.sleep(10)
        assert sum(row.samples for row in gateway.durable.batches) == before
        await gateway.open(1)
        async with asyncio.timeout(10):
            while rig.device.status()["state"] != "recording":
                await asyncio.sleep(0.1)
        rig.capturing = False
        await gateway.stop()
        judge_all(gateway)

    simulate(main())


def test_who_was_away_at_the_withdrawal_is_told_when_it_speaks() -> None:
    """A probe on a link whose session is gone is answered, and the device told to stop."""

    async def main() -> None:
        gateway, _, device, session = await recording(12)
        device.commands.clear()
        gateway.lose_down = lambda packet: packet[3] == wire.COMMAND
        await withdraw(gateway, session)
        await asyncio.sleep(40)
        gateway.lose_down = lambda packet: False
        assert gateway.durable.sessions[session.session].state == "withdrawn"
        device.sync()
        _, command = await told(device, "stop")
        assert command.args == ["withdrawn"]
        await gateway.stop()

    simulate(main())


# ---- codes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("speaks", ["data", "sync"])
def test_after_a_restart_a_withdrawal_is_still_one(speaks: str) -> None:
    async def main() -> None:
        gateway, _, device, session = await recording(22)
        other = Attacker(gateway, 2, await gateway.add_device(2))
        closed = await gateway.open(2)
        await other.handshake()
        other.data([haptic_frame(0)])
        await asyncio.sleep(2)
        await withdraw(gateway, session)
        await gateway.close(closed, at_once=True)
        await asyncio.sleep(5)
        assert gateway.durable.sessions[session.session].state == "withdrawn"
        assert gateway.durable.sessions[closed.session].state == "closed"
        await gateway.kill()
        stored = len(gateway.durable.parts)
        await gateway.start()
        device.commands.clear()
        for one in (device, other):
            if speaks == "data":
                one.data([haptic_frame(1)])
            else:
                one.sync()
        await asyncio.sleep(3)
        _, command = await told(device, "stop")
        assert command.args == ["withdrawn"]
        assert not device.resets
        assert [reset.reason for reset in other.resets] == ["ended"]
        assert len(gateway.durable.parts) == stored, "of both nothing more is stored"
        assert not gateway.house.registry.sessions
        await gateway.stop()
        judge_all(gateway)

    simulate(main())


def test_a_code_that_is_over_says_so_and_who_comes_too_late_is_counted() -> None:
    async def main() -> None:
        gateway = Watched(random.Random(13))
        await gateway.start()
        front = Front(gateway)
        offer = await front.devices.pair({"name": ""}, SOMEBODY)
        waiting = asyncio.create_task(front.devices.pair_wait({"code": offer["code"]}, SOMEBODY))
        await asyncio.sleep(599)
        assert not waiting.done()
        await asyncio.sleep(3)
        with pytest.raises(LocalError, match="nobody used the code in time: it has expired"):
            await waiting
        with pytest.raises(LocalError, match="not on offer: it has expired"):
            await front.devices.pair_wait({"code": offer["code"]}, SOMEBODY)
        assert status.bad_codes(gateway.house) == []
        gateway.arrive(pair_packet(offer["code"], bytes(16), "late", 1), ("10.0.0.9", 9))
        await asyncio.sleep(1)
        (bad,) = status.bad_codes(gateway.house)
        assert bad["count"] == 1
        assert gateway.counted["bad_tag"] == 1
        assert not gateway.house.registry.devices
        await asyncio.sleep(1000)
        assert status.bad_codes(gateway.house) == [], "nobody need look at it any more"
        await gateway.stop()

    simulate(main())
