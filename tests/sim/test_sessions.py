"""The life of sessions, links and devices, by the real machines: what goes live, what drains, what is refused, when."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import numpy as np
import pytest

from gateway.core.records import Session
from gateway.device import events as ev
from gateway.device.machine import Device
from gateway.errors import LocalError
from gateway.ids import DeviceId
from gateway.wire import control, kinds
from gateway.wire import packet as wire
from tests.sim.attacker import Attacker, haptic_frame
from tests.sim.clinic import Network, Rig, make_rig
from tests.sim.oracle import Fault, Found, Watched, drained, judge_all, kind_is
from tests.sim.virtual import now_ns, simulate

SECOND_NS = 1_000_000_000
UNCERTAIN_NS = 250_000_000


async def clinic(seed: int, **network: float) -> tuple[Watched, Network]:
    rng = random.Random(seed)
    gateway = Watched(rng)
    await gateway.start()
    return gateway, Network(rng, **network)


async def state_of(rig: Rig, state: str, within_s: float = 30) -> None:
    async with asyncio.timeout(within_s):
        while rig.device.status()["state"] != state:
            await asyncio.sleep(0.05)


async def closed(gateway: Watched, session: Session, within_s: float = 60) -> None:
    async with asyncio.timeout(within_s):
        while gateway.durable.sessions[session.session].state != "closed":
            await asyncio.sleep(0.1)


def capture_times(found: Found) -> list[int]:
    return sorted(
        int(time)
        for frames in found.frames.values()
        for frame in frames
        if frame.kind == kinds.HAPTIC
        for time in np.frombuffer(frame.samples, kinds.HAPTIC_DTYPE)["t_capture_ns"]
    )


def live_links(gateway: Watched, device: int) -> list[int]:
    links = gateway.house.registry.links.values()
    return [link.number for link in links if link.record.device == device and link.record.state == "live"]


# ---- waiting ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [False, True])
def test_a_waiting_device_goes_live_by_itself_when_a_session_opens(lost: bool) -> None:
    async def main() -> None:
        gateway, network = await clinic(1)
        key = await gateway.add_device(1)
        rig = make_rig(gateway, network, 1, key)
        rig.start()
        await state_of(rig, "waiting")
        await asyncio.sleep(20)
        if lost:
            gateway.lose_down = kind_is(wire.COMMAND)
        await gateway.open(1)
        opened = now_ns()
        await state_of(rig, "recording", 10)
        assert now_ns() - opened < (6 if lost else 0.5) * SECOND_NS
        gateway.lose_down = lambda packet: False
        hellos = gateway.sent[wire.WELCOME]
        await asyncio.sleep(40)
        assert gateway.sent[wire.WELCOME] == hellos, "a device that records asks for no more links"
        await drained(gateway, [rig])
        found = judge_all(gateway, [rig])
        assert sorted(found.every_sample) == list(range(rig.sent))
        assert rig.sent > 3000

    simulate(main())


def test_a_waiting_device_whose_bye_is_not_receipted_is_not_called_again_and_again() -> None:
    """The command `open` of the old waiting link must not make a recording device ask for new links."""

    async def main() -> None:
        gateway, network = await clinic(2)
        key = await gateway.add_device(1)
        rig = make_rig(gateway, network, 1, key)
        rig.start()
        await state_of(rig, "waiting")
        await gateway.open(1)
        gateway.lose_down = kind_is(wire.RECEIPT)
        await state_of(rig, "recording", 10)
        await asyncio.sleep(8)
        gateway.lose_down = lambda packet: False
        assert gateway.sent[wire.WELCOME] <= 3, f"{gateway.sent[wire.WELCOME]} links for one session"
        await drained(gateway, [rig])
        judge_all(gateway, [rig])

    simulate(main())


def test_data_on_a_waiting_link_is_refused_whole() -> None:
    async def main() -> None:
        gateway, _ = await clinic(3)
        device = Attacker(gateway, 1, await gateway.add_device(1))
        assert (await device.handshake()).state == control.WAITING
        seq = device.data([haptic_frame(0)])
        device.sync()
        await asyncio.sleep(6)
        assert device.refused == {seq: "no_session"}
        assert device.types[wire.SYNC] == 1
        await gateway.stop()
        assert not judge_all(gateway).arrivals

    simulate(main())


# ---- closing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("offset_s", [0, -900, 86_400])
def test_closing_drains(restart: bool, offset_s: int) -> None:
    """Captured before the close and brought later: stored. Captured after it: refused. Whatever the device's clock."""

    async def main() -> None:
        gateway, _ = await clinic(4)
        key = await gateway.add_device(1)
        session = await gateway.open(1)
        device = Attacker(gateway, 1, key, clock_offset_ns=offset_s * SECOND_NS)
        await device.handshake()
        for at in range(10):
            device.data([haptic_frame(at, 1, at_ns=device.now_ns())])
            await asyncio.sleep(0.1)
        await asyncio.sleep(1.5)
        assert len(device.stored) == 10
        # The network is gone; the device goes on, and seals what it will send later.
        before = []
        for at in range(10, 50):
            await asyncio.sleep(0.5)
            before.append(device.data_packet([haptic_frame(at, 1, at_ns=device.now_ns())]))
        await gateway.close(session)
        assert gateway.durable.sessions[session.session].state == "draining"
        await asyncio.sleep(1)
        after = []
        for at in range(50, 60):
            after.append(device.data_packet([haptic_frame(at, 1, at_ns=device.now_ns())]))
            await asyncio.sleep(0.5)
        if restart:
            await gateway.kill()
            await asyncio.sleep(30)
            await gateway.start()
        for packet in before + after:
            device.send(packet)
            await asyncio.sleep(0.01)
        await asyncio.sleep(2)
        assert gateway.durable.sessions[session.session].state == "draining"
        assert set(device.refused.values()) == {"closed"}
        assert sorted(device.refused) == list(range(50, 60))
        assert ("stop", "closed") in {(command.verb, *command.args) for _, command in device.commands}
        device.bye()
        await closed(gateway, session, 3)
        await gateway.stop()
        found = judge_all(gateway)
        assert sorted(found.every_sample) == list(range(50))
        (stream,) = gateway.durable.streams.values()
        assert (stream.total, stream.stored, stream.refused) == (60, 50, {"closed": 10})

    simulate(main())


@pytest.mark.parametrize("seed", range(4))
def test_a_device_that_is_away_at_the_close_still_delivers(seed: int) -> None:
    async def main() -> None:
        gateway, network = await clinic(seed, loss=0.1, delay_s=0.1, duplicate=0.1)
        key = await gateway.add_device(1)
        session = await gateway.open(1)
        rig = make_rig(gateway, network, 1, key)
        rig.start()
        await state_of(rig, "recording")
        await asyncio.sleep(5)
        network.down = True
        await asyncio.sleep(10)
        await gateway.close(session)
        close_ns = now_ns()
        await asyncio.sleep(3)
        if seed % 2:
            await gateway.kill()
            await gateway.start()
        network.down = False
        await closed(gateway, session, 90)
        sent = rig.sent
        await drained(gateway, [rig])
        assert rig.sent == sent, "a stopped device goes on capturing"
        found = judge_all(gateway, [rig])
        times = capture_times(found)
        assert times[-1] <= close_ns + 2 * UNCERTAIN_NS
        (stream,) = [one for one in gateway.durable.streams.values() if one.kind == kinds.HAPTIC]
        assert stream.missing == 0
        assert set(stream.refused) <= {"closed"}
        lost = [number for number in range(rig.sent) if number not in found.every_sample]
        assert stream.stored == rig.sent - len(lost)
        # What is not stored is a tail, captured after the close.
        assert lost == list(range(rig.sent - len(lost), rig.sent))
        assert times[-1] >= close_ns - SECOND_NS / 5

    simulate(main())


def test_a_bye_that_is_on_record_before_its_data_does_not_close_the_session() -> None:
    """A handshake's commit must not make a BYE durable whose packets are still only in memory."""

    async def main() -> None:
        gateway, _ = await clinic(5)
        key, other = await gateway.add_device(1), await gateway.add_device(2)
        session = await gateway.open(1)
        device, stranger = Attacker(gateway, 1, key), Attacker(gateway, 2, other)
        await device.handshake()
        packets = [device.data_packet([haptic_frame(at)]) for at in range(5)]
        for packet in packets:
            device.send(packet)
        bye = device.bye()
        packets.append(b"")
        await asyncio.sleep(0.02)
        await stranger.handshake()  # an urgent commit, long before the seal
        assert not device.stored
        await gateway.kill()
        await gateway.start()
        await gateway.close(session)
        await asyncio.sleep(3)
        assert gateway.durable.sessions[session.session].state == "draining"
        for packet in packets[:-1]:
            device.send(packet)
        await asyncio.sleep(3)
        assert device.stored >= set(range(5)), (device.refused, gateway.counted)
        assert gateway.durable.sessions[session.session].state == "draining", "its BYE is not here yet"
        assert bye not in device.stored
        await gateway.close(session, at_once=True)
        await gateway.stop()
        found = judge_all(gateway)
        assert sorted(found.every_sample) == list(range(5))

    simulate(main())


def test_close_now_does_not_wait() -> None:
    async def main() -> None:
        gateway, network = await clinic(6)
        key = await gateway.add_device(1)
        session = await gateway.open(1)
        rig = make_rig(gateway, network, 1, key)
        rig.start()
        await state_of(rig, "recording")
        await asyncio.sleep(3)
        network.down = True
        await asyncio.sleep(2)
        await gateway.close(session, at_once=True)
        await closed(gateway, session, 3)
        network.down = False
        await asyncio.sleep(30)
        rig.capturing = False
        assert rig.device.status()["state"] != "recording"
        assert gateway.counted["link_ended"] > 0
        await gateway.stop()
        judge_all(gateway, [rig])
        (stream,) = [one for one in gateway.durable.streams.values() if one.kind == kinds.HAPTIC]
        assert stream.stored == len(judge_all(gateway).every_sample & Counter(range(rig.sent)))

    simulate(main())


def test_half_open_links_do_not_keep_a_session_from_closing() -> None:
    """An app that crashed between WELCOME and its first packet, and came back, leaves nothing to wait for."""

    async def main() -> None:
        gateway, _ = await clinic(7)
        key = await gateway.add_device(1)
        session = await gateway.open(1)
        device = Attacker(gateway, 1, key)
        await device.handshake()
        await device.handshake()
        seq = device.data([haptic_frame(0, 10)])
        await asyncio.sleep(2)
        assert seq in device.stored
        device.bye()
        await asyncio.sleep(2)
        await gateway.close(session)
        await closed(gateway, session, 90)
        await gateway.stop()
        judge_all(gateway)

    simulate(main())


def test_an_app_that_crashed_and_came_back_does_not_keep_a_session_from_closing() -> None:
    """Its new HELLO lists no old link: on those nothing comes any more."""

    async def main() -> None:
        gateway, network = await clinic(8)
        key = await gateway.add_device(1)
        session = await gateway.open(1)
        crashed = Attacker(gateway, 1, key)
        await crashed.handshake()
        crashed.data([haptic_frame(0, 10)])
        await asyncio.sleep(2)
        rig = make_rig(gateway, network, 1, key)
        rig.device = Device(_with(rig, hello_seq=crashed.hello_seq), gateway.rng.randbytes)
        rig.start()
        await state_of(rig, "recording")
        await asyncio.sleep(3)
        await rig.finish(10)
        await gateway.close(session)
        await closed(gateway, session, 90)
        await gateway.stop()
        judge_all(gateway, [rig])

    simulate(main())


def test_a_link_that_a_hello_did_not_name_and_that_goes_on_is_not_let_go() -> None:
    """A device may hold nothing on its link when it says HELLO into a silence, and use it on when it is heard again."""

    async def main() -> None:
        gateway, _ = await clinic(41)
        key = await gateway.add_device(1)
        session = await gateway.open(1)
        device = Attacker(gateway, 1, key)
        await device.handshake()
        device.data([haptic_frame(0, 5)])
        await asyncio.sleep(2)
        gateway.lose_down = kind_is(wire.WELCOME)
        device.send(device.make_hello())
        await asyncio.sleep(1)
        device.data([haptic_frame(5, 5)])
        await asyncio.sleep(2)
        held = device.data_packet([haptic_frame(10, 5)])
        await gateway.close(session)
        await asyncio.sleep(2)
        assert ("stop", "closed") in {(command.verb, *command.args) for _, command in device.commands}
        assert gateway.durable.sessions[session.session].state == "draining"
        device.send(held)
        device.bye()
        await asyncio.sleep(3)
        await gateway.close(session, at_once=True)  # the link of the WELCOME that was lost is half-open still
        await closed(gateway, session)
        await gateway.stop()
        assert sorted(judge_all(gateway).every_sample) == list(range(15))

    simulate(main())


def test_what_loses_its_permit_before_the_seal_is_refused_and_its_bytes_reach_no_disk() -> None:
    async def main() -> None:
        gateway, _ = await clinic(42)
        key = await gateway.add_device(1)
        session = await gateway.open(1)
        device = Attacker(gateway, 1, key)
        await device.handshake()
        kept = device.data([haptic_frame(0, 5)])
        await asyncio.sleep(2)
        withdrawn = device.data([haptic_frame(5, 5)])
        await asyncio.sleep(0.1)

        def withdraw(now: int, now_ms: int) -> None:
            gateway.house.registry.sessions[session.session].kinds = (kinds.CLOCK,)
            gateway.house.recording.changed()

        await gateway.spine.ask(withdraw)
        later = device.data([haptic_frame(10, 5)])
        await asyncio.sleep(2)
        assert device.stored == {kept}
        assert device.refused == {withdrawn: "not_permitted", later: "not_permitted"}
        await gateway.stop()
        assert sorted(judge_all(gateway).every_sample) == list(range(5))
        (stream,) = gateway.durable.streams.values()
        assert (stream.stored, stream.refused, stream.missing) == (5, {"not_permitted": 10}, 0)

    simulate(main())


def _with(rig: Rig, **changes: object):  # type: ignore[no-untyped-def]
    from dataclasses import replace

    return replace(rig.device.config, **changes)  # type: ignore[arg-type]


# ---- many links ------------------------------------------------------------------------------------------------


def test_fifty_pauses_in_one_session() -> None:
    async def main() -> None:
        gateway, network = await clinic(9, loss=0.05, delay_s=0.05)
        key = await gateway.add_device(1)
        session = await gateway.open(1)
        rig = make_rig(gateway, network, 1, key)
        rig.start()
        for _ in range(50):
            await state_of(rig, "recording")
            await asyncio.sleep(gateway.rng.uniform(0.1, 1.5))
            rig.perform(rig.device.step(ev.Pause("pause"), now_ns()))
            await asyncio.sleep(gateway.rng.uniform(0, 1))
            rig.perform(rig.device.step(ev.Resume(), now_ns()))
        await state_of(rig, "recording")
        await rig.finish(120)
        assert rig.device.idle
        commands = gateway.sent[wire.COMMAND]
        await gateway.close(session)
        await closed(gateway, session)
        assert gateway.sent[wire.COMMAND] - commands <= 2, "links that said BYE need no stop"
        await gateway.stop()
        found = judge_all(gateway, [rig])
        assert sorted(found.every_sample & Counter(range(rig.sent))) == list(range(rig.sent))
        haptics = [stream for stream in gateway.durable.streams.values() if stream.kind == kinds.HAPTIC]
        assert len(haptics) == 1, "one stream, whatever links carried it"
        assert len(gateway.durable.links) >= 51
        assert {link.session for link in gateway.durable.links.values()} == {session.session}

    simulate(main())


def test_two_devices_in_one_session() -> None:
    async def main() -> None:
        gateway, network = await clinic(10, loss=0.1, delay_s=0.1)
        keys = {number: await gateway.add_device(number) for number in (1, 2)}
        session = await gateway.open(1, 2)
        rigs = [make_rig(gateway, network, number, key) for number, key in keys.items()]
        for rig in rigs:
            rig.start()
        await asyncio.sleep(5)
        await gateway.kill()
        await gateway.start()
        await asyncio.sleep(5)
        await gateway.close(session)
        await closed(gateway, session)
        await drained(gateway, rigs)
        found = judge_all(gateway, rigs)
        haptic = {key: numbers for key, numbers in found.samples.items() if key[3] == 0}
        assert {key[1] for key in haptic} == {1, 2}
        assert {len(numbers) for numbers in haptic.values()} != {0}

    simulate(main())


def test_a_device_is_moved_to_another_session_and_each_frame_stays_in_its_own() -> None:
    async def main() -> None:
        gateway, network = await clinic(11, delay_s=0.05)
        key = await gateway.add_device(1)
        first = await gateway.open(1)
        rig = make_rig(gateway, network, 1, key)
        rig.start()
        await state_of(rig, "recording")
        await asyncio.sleep(5)
        with pytest.raises(LocalError):
            await gateway.open(1)
        network.down = True
        await asyncio.sleep(3)
        await gateway.close(first)
        second = await gateway.open(1)
        network.down = False
        moved_ns = now_ns()
        await asyncio.sleep(15)
        await state_of(rig, "recording")
        sent = rig.sent
        await asyncio.sleep(5)
        assert rig.sent > sent
        await drained(gateway, [rig])
        found = judge_all(gateway, [rig])
        by_session = {key[0]: frames for key, frames in found.frames.items() if key[3] == 0}
        assert set(by_session) == {first.session, second.session}
        for frame in by_session[first.session]:
            assert (
                np.frombuffer(frame.samples, kinds.HAPTIC_DTYPE)["t_capture_ns"][0] <= moved_ns + UNCERTAIN_NS
            )
        assert min(frame.first_sample for frame in by_session[second.session]) == 0

    simulate(main())


# ---- clocks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump_s", [56 * 31_557_600, 30 * 86_400, 3600, -3600, -10 * 86_400])
def test_a_jump_of_utc_loses_nothing(jump_s: int) -> None:
    """A rig without a clock battery learns the date after its start: links go on, and a close stays where it was."""

    async def main() -> None:
        gateway, network = await clinic(40)
        key = await gateway.add_device(1)
        session = await gateway.open(1)
        rig = make_rig(gateway, network, 1, key)
        rig.start()
        await state_of(rig, "recording")
        await asyncio.sleep(5)
        network.down = True
        await asyncio.sleep(5)
        await gateway.close(session)
        close_ns = now_ns()
        utc_ns = gateway.house._utc_ns
        gateway.house._utc_ns = lambda: utc_ns() + jump_s * SECOND_NS
        await asyncio.sleep(5)
        network.down = False
        await closed(gateway, session, 90)
        await drained(gateway, [rig])
        found = judge_all(gateway, [rig])
        times = capture_times(found)
        assert close_ns - SECOND_NS / 5 <= times[-1] <= close_ns + 2 * UNCERTAIN_NS
        assert rig.device.lost.get("link_gone", 0) == 0

    simulate(main())


# ---- devices ---------------------------------------------------------------------------------------------------


def test_revoke_takes_effect_at_once() -> None:
    async def main() -> None:
        gateway, _ = await clinic(12)
        key = await gateway.add_device(1)
        await gateway.open(1)
        device = Attacker(gateway, 1, key)
        await device.handshake()
        device.data([haptic_frame(0, 10)])
        await asyncio.sleep(1.5)

        def revoke(now: int, now_ms: int) -> None:
            gateway.house.registry.revoke(gateway.house.registry.devices[DeviceId(1)])

        await gateway.spine.ask(revoke)
        seq = device.data([haptic_frame(10, 10)])
        await asyncio.sleep(1.5)
        assert seq not in device.stored
        assert [(reset.seq, reset.reason) for reset in device.resets] == [(seq, "revoked")]
        assert gateway.counted["link_revoked"] == 1
        assert (await device.handshake()).state == control.REFUSED
        assert device.welcome is not None
        assert device.welcome.reason == "revoked"
        await gateway.kill()
        await gateway.start()
        device.data([haptic_frame(20, 10)])
        await asyncio.sleep(1.5)
        assert device.resets[-1].reason == "revoked"
        await gateway.stop()
        assert sorted(judge_all(gateway).every_sample) == list(range(10))

    simulate(main())


def test_a_revoked_rig_stops_recording_and_says_why() -> None:
    async def main() -> None:
        gateway, network = await clinic(13)
        key = await gateway.add_device(1)
        await gateway.open(1)
        rig = make_rig(gateway, network, 1, key)
        rig.start()
        await state_of(rig, "recording")
        await asyncio.sleep(2)
        registry = gateway.house.registry
        await gateway.spine.ask(lambda now, now_ms: registry.revoke(registry.devices[DeviceId(1)]))
        await state_of(rig, "not_recording", 3)
        await asyncio.sleep(3)
        assert rig.device.status()["reason"] == "revoked"
        rig.capturing = False
        await gateway.stop()
        judge_all(gateway, [rig])

    simulate(main())


def test_rotate_needs_no_visit_until_the_new_key_is_used() -> None:
    async def main() -> None:
        gateway, _ = await clinic(14)
        old = await gateway.add_device(1)
        await gateway.open(1)
        device = Attacker(gateway, 1, old)
        await device.handshake()
        new = gateway.rng.randbytes(32)

        def rotate(now: int, now_ms: int) -> None:
            record = gateway.house.registry.devices[DeviceId(1)]
            record.next_key = new
            gateway.house.registry.staged_device(record)

        await gateway.spine.ask(rotate)
        await gateway.kill()
        await gateway.start()
        device.data([haptic_frame(0, 5)])
        assert (await device.handshake()).state == control.RECORDING, "the old key still opens links"
        device.data([haptic_frame(5, 5)])
        fresh = Attacker(gateway, 1, new, ("10.9.9.9", 9))
        fresh.hello_seq, fresh.run = device.hello_seq, device.run
        fresh.totals = device.totals
        assert (await fresh.handshake()).state == control.RECORDING
        fresh.data([haptic_frame(10, 5)])
        seq = device.data([haptic_frame(15, 5)])
        await asyncio.sleep(1.5)
        assert seq in device.stored, "links that exist keep their key"
        device.hello_seq = fresh.hello_seq
        device.send(device.make_hello())
        await asyncio.sleep(1)
        assert gateway.counted["bad_tag"] == 1, "the old key opens no link any more"
        await gateway.kill()
        await gateway.start()
        device.send(device.make_hello())
        await asyncio.sleep(1)
        assert gateway.counted["bad_tag"] == 2
        await gateway.stop()
        assert sorted(judge_all(gateway).every_sample) == list(range(20))

    simulate(main())


def test_a_device_that_speaks_no_known_version_is_refused_and_told() -> None:
    async def main() -> None:
        gateway, network = await clinic(15)
        key = await gateway.add_device(1)
        await gateway.open(1)
        rig = make_rig(gateway, network, 1, key, versions=(2, 3))
        rig.start()
        await asyncio.sleep(3)
        status = rig.device.status()
        assert (status["state"], status["reason"]) == ("not_recording", "version")
        assert not gateway.durable.links
        rig.capturing = False
        await gateway.stop()

    simulate(main())


def test_a_hello_whose_versions_were_changed_on_the_way_is_not_believed() -> None:
    async def main() -> None:
        gateway, _ = await clinic(16)
        device = Attacker(gateway, 1, await gateway.add_device(1))
        packet = bytearray(device.make_hello(versions=(1, 2)))
        packet[packet.index(b"\x92\x01\x02") + 2] = 3
        device.send(bytes(packet))
        await asyncio.sleep(1)
        assert not device.heard
        assert gateway.counted["bad_tag"] == 1
        await gateway.stop()

    simulate(main())


def test_kinds_that_are_not_permitted_are_refused_counted_and_told() -> None:
    async def main() -> None:
        gateway, _ = await clinic(17)
        key = await gateway.add_device(1)
        session = await gateway.open(1, kinds_=(kinds.HAPTIC,))
        device = Attacker(gateway, 1, key)
        welcome = await device.handshake()
        assert kinds.HAPTIC in welcome.kinds
        assert kinds.POSE not in welcome.kinds
        pose = kinds.KINDS[kinds.POSE].sample_bytes
        from gateway.wire.frame import Frame

        mixed = device.data([haptic_frame(0, 3), Frame(1, kinds.POSE, 0, bytes(2 * pose))])
        alone = device.data([Frame(1, kinds.POSE, 2, bytes(3 * pose))])
        await asyncio.sleep(2)
        assert mixed in device.stored
        assert device.refused == {alone: "not_permitted"}
        assert device.refused_frames == [(mixed, 1, "not_permitted")]
        totals = {row[0]: row[1:] for row in device.receipts[-1].totals}
        assert totals == {0: (3, 3, 0, 0), 1: (5, 0, 5, 0)}
        assert gateway.counted["not_permitted"] == 2
        await gateway.stop()
        found = judge_all(gateway)
        assert found.refusals == {"not_permitted": 2}
        assert gateway.durable.streams[session.session, 1, device.run, 1].refused == {"not_permitted": 5}  # type: ignore[index]

    simulate(main())


# ---- handshake -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refused", [False, True])
def test_a_restart_in_the_middle_of_a_handshake(refused: bool) -> None:
    """WELCOME is lost and the gateway killed: the same HELLO gets the same WELCOME, and makes no second link."""

    async def main() -> None:
        gateway, _ = await clinic(18)
        device = Attacker(gateway, 1, await gateway.add_device(1))
        if not refused:
            await gateway.open(1)
        gateway.lose_down = kind_is(wire.WELCOME)
        hello = device.send(device.make_hello(versions=(9,) if refused else (1,)))
        await asyncio.sleep(0.5)
        assert gateway.sent[wire.WELCOME] == 1
        first = gateway.told[-1][1]
        device.send(hello)
        await asyncio.sleep(0.5)
        assert gateway.told[-1][1] == first
        await gateway.kill()
        gateway.lose_down = lambda packet: False
        await gateway.start()
        device.send(hello)
        await asyncio.sleep(0.5)
        if refused:
            return  # nothing was promised; the device makes a new HELLO by itself
        assert device.heard == [first]
        assert len(gateway.durable.links) == 1
        seq = device.data([haptic_frame(0)])
        await asyncio.sleep(1.5)
        assert seq in device.stored
        device.send(hello)
        await asyncio.sleep(0.5)
        assert gateway.counted["hello_replay"] == 1, "its link is not half-open any more"
        assert len(device.heard) == 2
        await gateway.stop()
        judge_all(gateway)

    simulate(main())


def test_a_kill_before_the_handshake_is_durable_promises_nothing() -> None:
    async def main() -> None:
        gateway, _ = await clinic(19)
        device = Attacker(gateway, 1, await gateway.add_device(1))
        await gateway.open(1)
        gateway.house.disk._verdict = Fault(1)  # type: ignore[attr-defined]
        hello = device.send(device.make_hello())
        await asyncio.sleep(0.5)
        assert gateway.failed is not None
        assert not device.heard
        assert not gateway.durable.links
        await gateway.start()
        device.send(hello)
        await device.welcomed()
        seq = device.data([haptic_frame(0)])
        await asyncio.sleep(1.5)
        assert seq in device.stored
        await gateway.stop()
        judge_all(gateway)

    simulate(main())


def test_a_third_half_open_link_replaces_the_oldest() -> None:
    async def main() -> None:
        gateway, _ = await clinic(20)
        device = Attacker(gateway, 1, await gateway.add_device(1))
        await gateway.open(1)
        links = []
        for _ in range(4):
            await device.handshake()
            links.append(device.link)
        assert live_links(gateway, 1) == links[-2:]
        await gateway.stop()

    simulate(main())


def test_receipts_reach_a_device_after_a_restart_at_the_first_resend() -> None:
    """A restarted gateway does not know where its links are; what comes fresh says so, also below the newest seq."""

    async def main() -> None:
        gateway, _ = await clinic(21)
        device = Attacker(gateway, 1, await gateway.add_device(1))
        await gateway.open(1)
        await device.handshake()
        packets = [device.data_packet([haptic_frame(at)]) for at in range(10)]
        for packet in packets[5:]:
            device.send(packet)
        await asyncio.sleep(1.5)
        assert device.stored == set(range(5, 10))
        await gateway.kill()
        await gateway.start()
        for packet in packets[:5]:
            device.send(packet)
        await asyncio.sleep(1.5)
        assert device.stored == set(range(10))
        await gateway.stop()
        judge_all(gateway)

    simulate(main())


def test_links_that_a_device_names_are_not_half_open() -> None:
    """A HELLO that names a link says that packets for it are held: it is kept although nothing of it has come."""

    async def main() -> None:
        rng = random.Random(1)
        gateway, network = Watched(rng), Network(rng)
        await gateway.start()
        key = await gateway.add_device(1)
        await gateway.open(1)
        rig = make_rig(gateway, network, 1, key)
        gateway.lose_up = kind_is(wire.DATA, wire.SYNC, wire.BYE)
        rig.start()
        await asyncio.sleep(1)
        for _ in range(3):
            rig.perform(rig.device.step(ev.Pause("pause"), now_ns()))
            await asyncio.sleep(0.3)
            rig.perform(rig.device.step(ev.Resume(), now_ns()))
            await asyncio.sleep(1)
        gateway.lose_up = lambda packet: False
        await drained(gateway, [rig])
        judge_all(gateway, [rig])
        assert not rig.device.lost

    simulate(main())
