"""When the queue is full: what gives way of MQTT is answered, so that no slot of the broker is lost for it."""

from __future__ import annotations

import asyncio
import random

from gateway.core.effects import Acknowledge, Arrival, MqttSource
from tests.sim.clinic import Gateway
from tests.sim.virtual import now_ns, simulate

QUOTA_EXCEEDED = 0x97
NOT_AUTHORIZED = 0x87
ROOM = 4


def packet(link: int, number: int) -> bytes:
    """A packet of a link that nobody keeps, its header readable."""
    return b"VT1\x05" + link.to_bytes(4, "little") + number.to_bytes(8, "little") + bytes(8 + 16)


def test_a_payload_that_gives_way_is_answered_once_and_counted() -> None:
    async def main() -> None:
        gateway = Gateway(random.Random(1))
        gateway.queue_packets = ROOM
        await gateway.start()
        told: list[Acknowledge] = []
        gateway.house.puback = told.append
        source = MqttSource(7)
        for number in range(ROOM):
            await gateway.spine.arrivals.arrive_when_room(
                Arrival(packet(1, number), source, now_ns(), f"t{number}")
            )
        assert not gateway.house.queue.has_room
        waits = asyncio.create_task(
            gateway.spine.arrivals.arrive_when_room(Arrival(packet(1, ROOM), source, now_ns(), "late"))
        )
        # Before the spine's turn: datagrams of others, each with a share of its own.
        gateway.spine.arrivals.arrive([Arrival(packet(9, n), (f"10.0.0.{n}", 4), now_ns()) for n in range(2)])
        assert [effect.ticket for effect in told] == ["t3", "t2"], "the newest of the longest share"
        assert {effect.reason_code for effect in told} == {QUOTA_EXCEEDED}
        assert gateway.house.registry.shed["queue"] == 2
        await waits
        await gateway.stop()
        assert sorted(str(effect.ticket) for effect in told) == ["late", "t0", "t1", "t2", "t3"]
        refused = [effect.ticket for effect in told if effect.reason_code == NOT_AUTHORIZED]
        assert sorted(map(str, refused)) == ["late", "t0", "t1"], "an unknown link"
        assert (
            gateway.house.totals.refused["unknown_link"] + gateway.house.intake.refused["unknown_link"] == 5
        )

    simulate(main())
