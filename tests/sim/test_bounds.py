"""What is kept is bounded and consistent: links of waiting headsets, closes, codes, and what each commit writes."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter

import pytest

from gateway.app import status
from gateway.core.handshake import Names
from gateway.core.records import LinkRecord, Pairing, StreamRecord, Writes
from gateway.core.registry import MAX_LINKS_PER_DEVICE, MAX_WAITING_LINKS, Registry
from gateway.errors import LocalError, StoreError
from gateway.events import reason
from gateway.ids import DeviceId, LinkId, RunId, SessionId, StreamId
from gateway.wire import control
from gateway.wire import packet as wire
from tests.sim.attacker import Attacker, haptic_frame
from tests.sim.clinic import UTC_AT_ZERO, Network, make_rig
from tests.sim.memory import FAIL, OK
from tests.sim.oracle import Watched, drained, judge_all
from tests.sim.virtual import simulate

SESSION = SessionId(b"s" * 16)
NOW_MS = UTC_AT_ZERO // 1_000_000 + 1_000_000


async def started(seed: int) -> Watched:
    gateway = Watched(random.Random(seed))
    await gateway.start()
    return gateway


def record(number: int, session: bytes = b"", state: str = "live", fresh_ms: int = 0) -> LinkRecord:
    return LinkRecord(
        LinkId(number),
        DeviceId(1),
        RunId(number),
        SessionId(session),
        "udp",
        b"d" * 16,
        b"g" * 16,
        b"k" * 32,
        number,
        b"hello",
        b"welcome",
        True,
        state,
        fresh_ms,
    )


def restored(
    links: list[LinkRecord], streams: list[StreamRecord] | None = None, max_links: int = 4096
) -> Registry:
    registry = Registry(Names("a", "a"), random.Random(1).randbytes, time.monotonic_ns, 1, 4000, max_links)
    highest = max(link.link for link in links)
    registry.restore([], [], [], links, streams or [], highest + 1, 2)
    return registry


def session_events(gateway: Watched) -> list[tuple[str, int]]:
    bodies = [json.loads(entry)["body"] for entry in gateway.durable.entries_]
    return [(body["event"], body["seq"]) for body in bodies if body["type"] == "session"]


# ---- waiting headsets -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_a_headset_that_waits_for_hours_leaves_no_links_behind(loss: float) -> None:
    async def main() -> None:
        gateway = await started(1)
        rig = make_rig(gateway, Network(gateway.rng, loss=loss), 1, await gateway.add_device(1))
        rig.start()
        for _ in range(4):
            await asyncio.sleep(900)
            assert len(gateway.house.registry.links) <= MAX_WAITING_LINKS
            assert len(gateway.durable.links) <= MAX_WAITING_LINKS
        assert gateway.house.registry.next_link > 300
        newest = max(gateway.durable.links)
        await gateway.kill()
        await gateway.start()
        assert gateway.house.registry.next_link == newest + 1, "a number is never given twice"
        await gateway.open(1)
        await asyncio.sleep(30)
        await drained(gateway, [rig])
        found = judge_all(gateway, [rig])
        assert sorted(found.every_sample) == list(range(rig.sent))
        assert rig.sent > 1000

    simulate(main())


def test_half_open_links_take_nothing_from_the_link_that_a_device_waits_on() -> None:
    async def main() -> None:
        gateway = await started(2)
        device = Attacker(gateway, 1, await gateway.add_device(1))
        await device.handshake()
        device.sync()
        first = device.link
        for _ in range(10):
            await device.handshake(links=(first,))
            await asyncio.sleep(0.5)
        device.send(device.seal(wire.SYNC, control.encode(control.Probe(1)), seq=1, link=first))
        before = device.types[wire.SYNC]
        await asyncio.sleep(0.1)
        assert device.types[wire.SYNC] == before + 1, "a new link replaces nothing until it carries something"
        await asyncio.sleep(2)
        assert set(gateway.durable.links) == set(gateway.house.registry.links)
        assert len(gateway.durable.links) == MAX_WAITING_LINKS
        await gateway.kill()

    simulate(main())


def test_a_store_full_of_waiting_links_is_cleared_at_the_start() -> None:
    async def main() -> None:
        gateway = await started(3)
        await gateway.add_device(1)
        await gateway.kill()
        gateway.durable.links = {
            number: record(number, fresh_ms=NOW_MS + number) for number in range(1, 2001)
        }
        await gateway.start()
        await asyncio.sleep(0.1)
        assert sorted(gateway.durable.links) == [1998, 1999, 2000]
        assert sorted(gateway.house.registry.links) == [1998, 1999, 2000]
        await gateway.stop()

    simulate(main())


# ---- bounds on links --------------------------------------------------------------------------------------------


def test_the_bound_on_all_links_holds() -> None:
    async def main() -> None:
        gateway = Watched(random.Random(4))
        gateway.max_links = 4
        await gateway.start()
        keys = [await gateway.add_device(number) for number in range(1, 21)]
        session = await gateway.open(*range(1, 11))
        devices = [Attacker(gateway, number, key) for number, key in enumerate(keys, 1)]
        for device in devices:
            await device.handshake()
            if device.session:
                device.data([haptic_frame(0)])
            await asyncio.sleep(0.1)
        await asyncio.sleep(2)
        links = gateway.house.registry.links
        assert len(links) == 4
        assert devices[-1].link in links, "the newest is not the one that goes"
        durable = gateway.durable.links
        of_session = [row for row in durable.values() if row.session == session.session]
        assert len(of_session) == 10, "rows that say whose frames a link brought stay"
        assert {row.link for row in durable.values() if row.state == "live"} <= set(links)
        gateway.max_links = 2
        await gateway.kill()
        await gateway.start()
        await asyncio.sleep(0.1)
        assert len(gateway.house.registry.links) == 2
        assert {row.link for row in gateway.durable.links.values() if row.state == "live"} <= set(
            gateway.house.registry.links
        )
        await gateway.stop()
        judge_all(gateway)

    simulate(main())


def test_a_start_keeps_what_matters_most_and_ends_the_rest() -> None:
    links = [record(n, SESSION, "ended" if n % 2 else "live", fresh_ms=n) for n in range(1, 601)]
    registry = restored(links)
    assert list(registry.links) == list(range(90, 601, 2)), "live before ended, then the newest; oldest first"
    assert len(registry.links) == MAX_LINKS_PER_DEVICE
    assert {row.link for row in registry.staged.links if row.link < 90} == set(range(2, 90, 2))
    assert all(row.state == "ended" and not row.hello for row in registry.staged.links)
    assert not registry.staged.dropped_links


def test_links_find_the_streams_of_their_run_without_a_walk_through_all() -> None:
    links = [record(number, SESSION) for number in range(1, 257)]
    streams = [
        StreamRecord(SESSION, DeviceId(1), RunId(number), StreamId(stream))
        for number in range(1, 257)
        for stream in range(64)
    ]
    before = time.perf_counter()
    registry = restored(links, streams)
    taken_s = time.perf_counter() - before
    for number, link in registry.links.items():
        assert sorted(link.streams) == list(range(64))
        assert {stream.run for stream in link.streams.values()} == {number}
    assert len(registry.streams_of(SESSION)) == len(registry.streams) == 256 * 64
    assert taken_s < 0.5, f"{taken_s:.2f} s for 256 links and 16,384 streams"


# ---- links whose session is gone --------------------------------------------------------------------------------


def test_a_live_link_whose_session_is_gone_is_ended_and_nothing_dies_of_it() -> None:
    async def main() -> None:
        gateway = await started(5)
        device = Attacker(gateway, 1, await gateway.add_device(1))
        session = await gateway.open(1)
        await device.handshake()
        device.data([haptic_frame(0)])
        await asyncio.sleep(2)
        await gateway.kill()
        hidden = gateway.durable.links.pop(device.link)
        await gateway.start()
        gateway.house.registry.next_link = device.link + 1
        await gateway.close(session)
        await asyncio.sleep(3)
        assert gateway.durable.sessions[session.session].state == "closed"
        await gateway.kill()
        gateway.durable.links[device.link] = hidden
        await gateway.start()
        await asyncio.sleep(0.1)
        assert gateway.durable.links[device.link].state == "ended"
        device.data([haptic_frame(1)])
        await asyncio.sleep(3)
        assert gateway.task is not None
        assert not gateway.task.done()
        assert [reset.reason for reset in device.resets] == ["ended"]
        await gateway.stop()
        assert sorted(judge_all(gateway).every_sample) == [0]

    simulate(main())


# ---- closing ----------------------------------------------------------------------------------------------------


def test_two_closes_at_once_make_one_entry() -> None:
    async def main() -> None:
        gateway = await started(6)
        await gateway.add_device(1)
        session = await gateway.open(1)
        await asyncio.gather(gateway.close(session, at_once=True), gateway.close(session, at_once=True))
        assert session_events(gateway) == [("open", 0), ("drain", 1), ("close", 2)]
        with pytest.raises(LocalError, match="closed already"):
            gateway.house.sessions.close(session, "uid:0", "closed", True, 0, 0)
        await gateway.stop()
        judge_all(gateway)

    simulate(main())


def test_a_closing_session_holds_up_nothing_while_there_is_no_room_for_its_last_part() -> None:
    async def main() -> None:
        gateway = await started(7)
        device = Attacker(gateway, 1, await gateway.add_device(1))
        await gateway.add_device(2)
        session = await gateway.open(1)
        await device.handshake()
        device.data([haptic_frame(0)])
        await asyncio.sleep(2)
        disk = gateway.house.disk
        disk.free = 32 << 20  # type: ignore[attr-defined]  # below the floor for batches, above that for entries
        async with asyncio.timeout(2):
            await gateway.close(session, at_once=True)
            await gateway.add_device(3)
            await gateway.open(2)
        await asyncio.sleep(10)
        assert [event for event, _ in session_events(gateway)] == ["open", "drain", "open"]
        assert gateway.durable.sessions[session.session].state == "draining", "its last part is not there yet"
        await gateway.kill()
        await gateway.start()
        await asyncio.sleep(3)
        assert [event for event, _ in session_events(gateway)] == ["open", "drain", "open", "close"]
        assert gateway.durable.sessions[session.session].state == "closed"
        await gateway.stop()
        judge_all(gateway)

    simulate(main())


def test_a_close_becomes_durable_with_the_last_part_once_there_is_room() -> None:
    async def main() -> None:
        gateway = await started(8)
        device = Attacker(gateway, 1, await gateway.add_device(1))
        session = await gateway.open(1)
        await device.handshake()
        device.data([haptic_frame(0)], totals={0: 9})
        await asyncio.sleep(2)
        parts = len(gateway.durable.parts)
        disk = gateway.house.disk
        disk.free = 32 << 20  # type: ignore[attr-defined]
        await gateway.close(session, at_once=True)
        await asyncio.sleep(60)
        assert len(gateway.durable.parts) == parts
        disk.free = 1 << 40  # type: ignore[attr-defined]
        await asyncio.sleep(2)
        assert len(gateway.durable.parts) == parts + 1
        assert gateway.durable.sessions[session.session].state == "closed"
        assert session_events(gateway) == [("open", 0), ("drain", 1), ("close", 2)]
        await gateway.stop()
        judge_all(gateway)

    simulate(main())


# ---- what a commit writes ---------------------------------------------------------------------------------------


def test_a_handshake_writes_its_own_link_and_not_those_of_others() -> None:
    async def main() -> None:
        gateway = await started(9)
        devices = [Attacker(gateway, n, await gateway.add_device(n)) for n in range(1, 6)]
        await gateway.open(*range(1, 6))
        for device in devices[:4]:
            await device.handshake()
        await asyncio.sleep(2)
        written: Counter[int] = Counter()
        commit = gateway.house.disk.commit

        async def watched(writes: Writes) -> None:
            if writes.batch is None:
                written.update(row.link for row in writes.links)
            await commit(writes)

        gateway.house.disk.commit = watched  # type: ignore[method-assign]
        for device in devices[:4]:
            device.data([haptic_frame(0)])
        await devices[4].handshake()
        assert written == {devices[4].link: 1}
        await gateway.kill()
        await gateway.start()
        for device in devices:
            device.data([haptic_frame(1)])
        await asyncio.sleep(2)
        await gateway.stop()
        found = judge_all(gateway)
        assert len(found.samples) == 5, "every link is known after the restart"

    simulate(main())


@pytest.mark.parametrize("code", ["row", "part_size", "file_exists"])
def test_an_error_that_cannot_pass_ends_the_process_instead_of_being_tried_for_ever(code: str) -> None:
    async def main() -> None:
        gateway = await started(10)
        device = Attacker(gateway, 1, await gateway.add_device(1))
        await gateway.open(1)
        await device.handshake()
        await gateway.kill()
        gateway.verdict = lambda write: code if write == "append" else OK
        await gateway.start()
        device.data([haptic_frame(0)])
        await asyncio.sleep(3)
        assert gateway.task is not None
        assert gateway.task.done()
        assert isinstance(gateway.failed, StoreError)
        assert gateway.failed.code == code
        judge_all(gateway)

    simulate(main())


@pytest.mark.parametrize("code", ["disk_full", "store_busy", FAIL])
def test_an_error_that_may_pass_is_waited_for(code: str) -> None:
    async def main() -> None:
        gateway = await started(11)
        device = Attacker(gateway, 1, await gateway.add_device(1))
        await gateway.open(1)
        await device.handshake()
        await gateway.kill()
        failing = [True]
        gateway.verdict = lambda write: code if write == "append" and failing[0] else OK
        await gateway.start()
        device.data([haptic_frame(0)])
        await asyncio.sleep(30)
        assert gateway.house.held == ("disk_io" if code == FAIL else code) == reason(gateway.house.held)
        assert not device.stored
        failing[0] = False
        await asyncio.sleep(2)
        assert device.stored == {0}
        await gateway.stop()
        judge_all(gateway)

    simulate(main())


# ---- codes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spent_by", [b"", b"x" * 32])
@pytest.mark.parametrize("restart", [False, True])
def test_an_expired_code_is_forgotten_by_the_store_too(spent_by: bytes, restart: bool) -> None:
    async def main() -> None:
        gateway = await started(12)

        def offer(now_ns: int, now_ms: int) -> None:
            for code, lives_ms in (("A" * 26, 600_000), ("B" * 26, 7_200_000)):
                pairing = Pairing(code, now_ms + lives_ms, spent_by, b"answer", "room 2")
                gateway.house.registry.pairings.append(pairing)
                gateway.house.registry.staged.pairings.append(pairing)

        await gateway.spine.ask(offer)
        assert len(gateway.durable.pairings) == 2
        if restart:
            await gateway.kill()
            await asyncio.sleep(900)
            await gateway.start()
        await asyncio.sleep(901)
        assert list(gateway.durable.pairings) == ["B" * 26]
        assert [pairing.code for pairing in gateway.house.registry.pairings] == ["B" * 26]
        await gateway.stop()

    simulate(main())


# ---- sums -------------------------------------------------------------------------------------------------------


def test_every_packet_of_a_sender_is_in_one_sum() -> None:
    """What a sender that does not resend sent is admitted, refused, a copy, or shed (VT1, "Accounting")."""

    async def main() -> None:
        gateway = Watched(random.Random(13))
        gateway.queue_packets = 256
        await gateway.start()
        device = Attacker(gateway, 1, await gateway.add_device(1))
        await gateway.open(1)
        await device.handshake()
        sent = 0
        for number in range(6000):
            packet = device.data_packet([haptic_frame(number)])
            for one in (packet, packet) if number % 10 == 0 else (packet,):
                device.send(one)
                sent += 1
            if number % 7 == 0:
                device.send(packet[:-1] + bytes([packet[-1] ^ 1]), ("10.9.9.9", 9))
                sent += 1
            if number % 300 == 0:
                await asyncio.sleep(0.02)
        await asyncio.sleep(3)
        row = status.sums(gateway.house)
        assert "copy" not in row["refused"]
        assert row["copies"] > 0
        assert row["shed"]
        total = row["admitted"] + row["copies"] + sum(row["refused"].values()) + sum(row["shed"].values())
        assert total == sent
        await gateway.stop()
        judge_all(gateway)

    simulate(main())
