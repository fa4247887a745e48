"""What the house tells of its work: the metrics of a sitting say what was stored, told and closed."""

from __future__ import annotations

import asyncio
import random

from prometheus_client.parser import text_string_to_metric_families

from gateway.app.observe import Observer
from gateway.core.records import Pairing
from gateway.device.pairing import pair_packet
from tests.sim.clinic import Gateway, Network, make_rig, stored
from tests.sim.front import Front
from tests.sim.virtual import simulate


def value(observer: Observer, name: str, **labels: str) -> float:
    """A metric as it is exposed; 0 for a series that nothing has moved."""
    families = text_string_to_metric_families(observer.render_metrics().decode())
    found = [
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == f"vestibule_{name}" and sample.labels == labels
    ]
    return sum(found)


def test_a_sitting_is_told_in_frames_entries_receipts_and_its_end() -> None:
    async def main() -> None:
        rng = random.Random(1)
        gateway, network = Gateway(rng), Network(rng)
        await gateway.start()
        key = await gateway.add_device(1)
        session = await gateway.open(1)
        rig = make_rig(gateway, network, 1, key)
        rig.start()
        await asyncio.sleep(10)
        await gateway.close(session)
        await rig.finish(30)
        await asyncio.sleep(5)
        observer = gateway.house.observer
        assert value(observer, "sessions_closed_total") == 1
        # Opening, draining and closing are one entry each.
        assert value(observer, "entries_committed_total", entry="session") == 3
        assert value(observer, "entries_committed_total", entry="batch") == 0
        assert value(observer, "batches_committed_total") == len(gateway.durable.batches) > 5
        ((_, numbers),) = stored(gateway.durable).items()
        # Clock frames are samples as well.
        assert value(observer, "samples_admitted_total") >= numbers.total() > 500
        assert value(observer, "samples_admitted_total") == sum(b.samples for b in gateway.durable.batches)
        assert value(observer, "frames_admitted_total") == sum(b.frames for b in gateway.durable.batches)
        assert value(observer, "receipts_sent_total") >= sum(b.frames > 0 for b in gateway.durable.batches)
        await gateway.stop()

    simulate(main())


def test_a_pairing_is_told_and_forgotten_with_its_code() -> None:
    async def main() -> None:
        gateway = Gateway(random.Random(3))
        await gateway.start()
        registry = gateway.house.registry
        code = "A" * 26

        def offer(now_ns: int, now_ms: int) -> None:
            registry.pairings.append(Pairing(code, now_ms + 20_000))

        await gateway.spine.ask(offer)
        gateway.arrive(pair_packet(code, b"n" * 16, "headset", 1), ("10.0.0.9", 9))
        await asyncio.sleep(5)
        assert registry.paired == {code: 1}
        assert value(gateway.house.observer, "devices_paired_total") == 1
        await asyncio.sleep(20)
        assert registry.paired == {}
        await gateway.stop()

    simulate(main())


def test_a_full_disk_is_told_with_what_is_left() -> None:
    async def main() -> None:
        gateway = Gateway(random.Random(2))
        await gateway.start()
        gateway.house.disk.free = 1_000_000  # type: ignore[attr-defined]
        asked = asyncio.create_task(gateway.add_device(1))
        await asyncio.sleep(5)
        observer = gateway.house.observer
        assert gateway.house.held == "disk_low"
        assert value(observer, "disk_low_total") == 1
        assert value(observer, "disk_free_bytes") == 1_000_000
        assert not asked.done()
        asked.cancel()
        await gateway.kill()

    simulate(main())


def test_commands_rotations_holds_and_revocations_are_told() -> None:
    async def main() -> None:
        rng = random.Random(4)
        gateway, network = Gateway(rng), Network(rng)
        await gateway.start()
        rig = make_rig(gateway, network, 1, await gateway.add_device(1))
        await gateway.open(1)
        rig.start()
        await asyncio.sleep(5)
        front, observer = Front(gateway), gateway.house.observer
        assert await front.ask(1, "text", "look ahead") == "done"
        await front.rotate(1)
        assert await front.rotated(1, 5)
        await asyncio.sleep(5)  # its old link says BYE, and is told no more
        gateway.house.disk.free = 0  # type: ignore[attr-defined]
        await asyncio.sleep(30)
        gateway.house.disk.free = 1 << 40  # type: ignore[attr-defined]
        await asyncio.sleep(5)
        await front.revoke(1)
        await asyncio.sleep(5)
        for verb in ("text", "rotate", "hold"):
            assert value(observer, "commands_sent_total", verb=verb) == 1, verb
            assert value(observer, "commands_answered_total", verb=verb, result="done") == 1, verb
        assert value(observer, "key_rotations_started_total") == value(observer, "keys_rotated_total") == 1
        assert value(observer, "devices_revoked_total") == 1
        assert value(observer, "cycles_held_total", reason="disk_low") == 1
        assert 28 <= value(observer, "held_seconds_total") <= 31
        rig.capturing = False
        await gateway.stop()

    simulate(main())


def test_nothing_is_signed_once_it_may_not_be() -> None:
    async def main() -> None:
        gateway = Gateway(random.Random(5))
        await gateway.start()
        await gateway.add_device(1)
        house, heads = gateway.house, list[bytes]()
        house.on_head = lambda: heads.append(house.checkpoint)
        house.may_sign = False
        before = house.checkpoint
        await gateway.open(1)  # its entry is committed all the same
        assert house.checkpoint == before
        assert heads == []
        house.may_sign = True
        house.publish()
        assert heads == [house.checkpoint] != [before]
        await gateway.stop()

    simulate(main())
