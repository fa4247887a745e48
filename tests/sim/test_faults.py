"""Every write of a run fails once, at every place, in every way: what was promised before still holds after."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import pytest

from gateway.core.records import Session
from gateway.errors import StoreError
from tests.sim.attacker import Attacker, haptic_frame
from tests.sim.clinic import Network, Rig, make_rig
from tests.sim.memory import FAIL, FAIL_APPLIED
from tests.sim.oracle import Fault, Watched, drained, judge_all
from tests.sim.virtual import simulate

CAPTURE_S = 4.0
STUCK_S = 10.0
WELL_S = 9.0  # above the longest wait between two HELLOs


async def asked(gateway: Watched, work: Coroutine[Any, Any, Any]) -> Any:
    """What a request gave, or None when the spine ended before its answer (then it is up again)."""
    assert gateway.task is not None
    request = asyncio.ensure_future(work)
    await asyncio.wait({request, gateway.task}, return_when=asyncio.FIRST_COMPLETED)
    if not gateway.task.done():
        return await request
    with pytest.raises(StoreError):
        await request
    await gateway.up()
    return None


async def ready(gateway: Watched, number: int) -> bytes:
    """A device in an open session, however often the gateway has to be asked."""
    while number not in gateway.durable.devices:
        await asked(gateway, gateway.add_device(number))
    while not any(session.state == "open" for session in gateway.durable.sessions.values()):
        await asked(gateway, gateway.open(number))
    return gateway.durable.devices[number].key


async def run(fault: Fault, seed: int) -> tuple[Watched, Rig, int]:
    """A small clinic under one fault, judged at each restart and at the end."""
    rng = random.Random(seed)
    gateway, network = Watched(rng), Network(rng, loss=0.05, duplicate=0.05, delay_s=0.02)
    gateway.verdict = fault
    await gateway.start()
    starts = 1
    if fault.sticky:
        # Whoever asks for a device or a session under a disk that stays broken waits; the fault begins after that.
        fault.n += 3
    key = await ready(gateway, 1)
    rig = make_rig(gateway, network, 1, key)
    rig.start()
    loop = asyncio.get_running_loop()
    until = loop.time() + CAPTURE_S
    if fault.sticky:
        until += STUCK_S
    while loop.time() < until:
        await asyncio.wait({gateway.task}, timeout=0.5)  # type: ignore[arg-type]
        if fault.sticky and fault.hits and loop.time() > until - WELL_S:
            fault.lift()
        if await gateway.up():
            starts += 1
            judge_all(gateway, [rig])
    fault.lift()
    await drained(gateway, [rig])
    found = judge_all(gateway, [rig])
    assert sorted(found.every_sample) == list(range(rig.sent)), "a captured sample is missing in the end"
    assert rig.sent > 50
    return gateway, rig, starts


WAYS = {
    "before, known": Fault(0, FAIL, fatal=False),
    "before, unknown": Fault(0, FAIL, fatal=True),
    "applied, unknown": Fault(0, FAIL_APPLIED),
    "before, known, stays": Fault(0, FAIL, fatal=False, sticky=True),
    "before, unknown, stays": Fault(0, FAIL, fatal=True, sticky=True),
    "applied, unknown, stays": Fault(0, FAIL_APPLIED, sticky=True),
}


@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=[pytest.mark.slow] if WAYS[way].sticky else []) for way in WAYS]
)
def test_the_nth_write_fails(way: str) -> None:
    """n = 1, 2, ... until a run has no fault any more."""
    base = WAYS[way]
    seen: set[str] = set()
    n = 0
    while True:
        n += 1
        fault = Fault(n, base.how, base.fatal, base.sticky)
        try:
            _, _, starts = simulate(run(fault, seed=n))
        except BaseException as error:
            error.add_note(f"way {way!r}, n = {n}, seed = {n}, failed writes {fault.hits[:8]}")
            raise
        if not fault.hits:
            break
        seen.update(fault.hits)
        fatal = fault.hits[0] in ("sync", "mark") or (fault.hits[0] == "commit" and base.fatal)
        assert starts == 1 if not fatal else starts >= 1
    assert seen == {"append", "sync", "commit", "mark"}
    assert n > 12, "a run has many more writes than that"


def test_a_failure_that_left_no_trace_is_told_and_goes_on_by_itself() -> None:
    async def main() -> None:
        rng = random.Random(5)
        gateway, network = Watched(rng), Network(rng)
        await gateway.start()
        key = await gateway.add_device(1)
        await gateway.open(1)
        rig = make_rig(gateway, network, 1, key)
        rig.start()
        await asyncio.sleep(3)
        fault = Fault(1, FAIL, fatal=False, sticky=True)
        gateway.house.disk._verdict = fault  # type: ignore[attr-defined]
        await asyncio.sleep(5)
        assert gateway.house.held == "disk_io", "/readyz says why"
        size = gateway.durable.head_.size
        fault.lift()
        await asyncio.sleep(1)
        assert gateway.house.held == ""
        await asyncio.sleep(2)
        assert gateway.durable.head_.size > size
        await drained(gateway, [rig])
        assert gateway.durable.boot == 1, "no restart was needed"
        found = judge_all(gateway, [rig])
        assert sorted(found.every_sample) == list(range(rig.sent))

    simulate(main())


def test_below_the_floor_nothing_begins_the_queue_sheds_and_it_resumes_by_itself() -> None:
    async def main() -> None:
        rng = random.Random(6)
        gateway, network = Watched(rng), Network(rng)
        gateway.queue_packets = 64
        await gateway.start()
        key = await gateway.add_device(1)
        await gateway.open(1)
        rig = make_rig(gateway, network, 1, key, resend_first_ms=500, resend_most_ms=1000)
        rig.start()
        await asyncio.sleep(3)
        disk = gateway.house.disk
        disk.free = 10 << 20  # type: ignore[attr-defined]
        await asyncio.sleep(2)
        assert gateway.house.held == "disk_low", "/readyz says why"
        size, boot = gateway.durable.head_.size, gateway.durable.boot
        receipted = len(rig.receipted)
        await asyncio.sleep(60)
        assert gateway.durable.head_.size == size, "something was written below the floor"
        assert len(rig.receipted) == receipted, "something was promised below the floor"
        assert len(gateway.house.queue) <= 64
        assert rig.device.status()["state"] == "behind", "the device shows it"
        disk.free = 1 << 40  # type: ignore[attr-defined]
        await asyncio.sleep(5)
        assert gateway.house.held == ""
        assert gateway.durable.head_.size > size
        await drained(gateway, [rig])
        assert gateway.durable.boot == boot
        found = judge_all(gateway, [rig])
        assert sorted(found.every_sample) == list(range(rig.sent))

    simulate(main())


def test_between_the_floors_urgent_entries_go_on_and_batches_wait() -> None:
    async def main() -> None:
        rng = random.Random(7)
        gateway, network = Watched(rng), Network(rng)
        await gateway.start()
        key = await gateway.add_device(1)
        session = await gateway.open(1)
        rig = make_rig(gateway, network, 1, key)
        rig.start()
        await asyncio.sleep(3)
        gateway.house.disk.free = 32 << 20  # type: ignore[attr-defined]
        await asyncio.sleep(3)
        batches, size = len(gateway.durable.batches), gateway.durable.head_.size
        async with asyncio.timeout(2):
            await gateway.close(session)
        assert gateway.durable.sessions[session.session].state == "draining"
        assert gateway.durable.head_.size == size + 1
        assert len(gateway.durable.batches) == batches, "a batch was sealed below its floor"
        await asyncio.sleep(20)
        assert len(gateway.durable.batches) == batches
        gateway.house.disk.free = 1 << 40  # type: ignore[attr-defined]
        await asyncio.sleep(30)
        assert gateway.durable.sessions[session.session].state == "closed"
        rig.capturing = False
        await gateway.stop()
        judge_all(gateway, [rig])

    simulate(main())


def test_close_now_between_the_floors_is_not_on_record_without_its_last_part() -> None:
    """`close --now` ends the session in memory; its last part carries the totals and must not be left out."""

    async def main() -> None:
        gateway = Watched(random.Random(8))
        await gateway.start()
        key = await gateway.add_device(1)
        session = await gateway.open(1)
        device = Attacker(gateway, 1, key)
        await device.handshake()
        seq = device.data([haptic_frame(0, 10)])
        await asyncio.sleep(2)
        assert seq in device.stored
        gateway.house.disk.free = 32 << 20  # type: ignore[attr-defined]
        closing = asyncio.ensure_future(gateway.close(session, at_once=True))
        await asyncio.sleep(5)
        closing.cancel()
        assert gateway.durable.sessions[session.session].state != "closed"
        await gateway.kill()
        await gateway.start()
        batches = len(gateway.durable.batches)
        await gateway.close(session, at_once=True)
        await asyncio.sleep(3)
        assert gateway.durable.sessions[session.session].state == "closed"
        assert len(gateway.durable.batches) == batches + 1, "the last part"
        await gateway.stop()
        judge_all(gateway)

    simulate(main())


def test_a_stop_without_room_ends_and_loses_nothing() -> None:
    async def main() -> None:
        rng = random.Random(9)
        gateway, network = Watched(rng), Network(rng)
        await gateway.start()
        key = await gateway.add_device(1)
        await gateway.open(1)
        rig = make_rig(gateway, network, 1, key)
        rig.start()
        await asyncio.sleep(3)
        gateway.house.disk.free = 0  # type: ignore[attr-defined]
        await asyncio.sleep(3)
        async with asyncio.timeout(20):
            await gateway.stop()
        judge_all(gateway, [rig])
        await gateway.start()
        await drained(gateway, [rig])
        found = judge_all(gateway, [rig])
        assert sorted(found.every_sample) == list(range(rig.sent))

    simulate(main())


def test_a_stop_while_a_commit_is_retried_ends() -> None:
    async def main() -> None:
        rng = random.Random(10)
        gateway, network = Watched(rng), Network(rng)
        await gateway.start()
        key = await gateway.add_device(1)
        await gateway.open(1)
        rig = make_rig(gateway, network, 1, key)
        rig.start()
        await asyncio.sleep(3)
        gateway.house.disk._verdict = Fault(1, FAIL, fatal=False, sticky=True)  # type: ignore[attr-defined]
        await asyncio.sleep(3)
        async with asyncio.timeout(20):
            await gateway.stop()
        assert isinstance(gateway.failed, StoreError), (
            "the process says that it ended without its last commit"
        )
        await gateway.start()
        await drained(gateway, [rig])
        found = judge_all(gateway, [rig])
        assert sorted(found.every_sample) == list(range(rig.sent))

    simulate(main())


def test_memory_stays_bounded_while_nothing_can_be_written() -> None:
    """Packets without frames weigh nothing in a batch, and must not pile up for ever either."""

    async def main() -> None:
        rng = random.Random(11)
        gateway = Watched(rng)
        gateway.queue_packets = 256
        await gateway.start()
        key = await gateway.add_device(1)
        session: Session = await gateway.open(1)
        attacker = Attacker(gateway, 1, key)
        await attacker.handshake()
        assert attacker.session == session.session
        gateway.house.disk.free = 0  # type: ignore[attr-defined]
        for _ in range(40):
            for _ in range(250):
                attacker.data([])
            await asyncio.sleep(0.25)
        link = gateway.house.registry.links[attacker.link]
        assert len(link.pending) <= 4096, f"{len(link.pending)} packets wait for a commit that does not come"
        gateway.house.disk.free = 1 << 40  # type: ignore[attr-defined]
        await asyncio.sleep(2)
        await gateway.stop()
        judge_all(gateway)

    simulate(main())
