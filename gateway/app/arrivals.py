"""Hop 1 at the spine's side: what the edges bring, into the one queue, and what is shed for it.

While nothing can be stored the queue is not emptied: it is bounded, and sheds. What brings nothing to store goes round
it then, so that a device still hears that the gateway is there, and why it gets no receipts. That way round is a queue
of the same kind: bounded, and shared, so that a stranger who fills it keeps no device from its answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.core.effects import MQTT_QUOTA, Acknowledge, Arrival
from gateway.core.fairqueue import FairQueue
from gateway.core.intake import HANDSHAKES, WORDS
from gateway.core.registry import Registry

SLAB: Final = 512  # packets a step takes; bounds how long one step holds the loop (about 20 ms)
ROUND_BYTES: Final = 1 << 20  # of one such step, in datagrams of the largest size there is and more
COALESCE_S: Final = (
    0.004  # how long arrivals gather before a step; clock probes tell their own arrival, so none lose
)
_TYPE: Final = slice(3, 4)  # of the type in a packet's header


class Arrivals:
    """What came and was not looked at yet.

    Args:
        queue: the one bounded queue.
        registry: tells devices by their links; counts what is shed.
        wake: wakes the spine.
        acknowledge: answers an MQTT payload that gave way.
    """

    def __init__(
        self,
        queue: FairQueue,
        registry: Registry,
        wake: asyncio.Event,
        acknowledge: Callable[[Acknowledge], None],
    ) -> None:
        self._queue = queue
        self._registry = registry
        self._wake = wake
        self._acknowledge = acknowledge
        self._timer: asyncio.TimerHandle | None = None
        self._space = asyncio.Event()
        self._space.set()
        self._round = FairQueue(SLAB, ROUND_BYTES)
        self._round.know(registry.links, int.from_bytes(registry.random(4), "little"))
        self._held = False
        self._go_round: frozenset[bytes] = frozenset()

    def hold(self, handshakes: bool) -> None:
        """Nothing can be stored: what can be answered all the same goes round the queue from now on.

        Args:
            handshakes: whether PAIR and HELLO can be committed; else they wait in the queue, with all the rest.
        """
        self._held, self._go_round = True, WORDS | HANDSHAKES if handshakes else WORDS
        if not handshakes and len(self._round):
            went = self._round.take(SLAB)
            self._put(self._round, [arrival for arrival in went if arrival.packet[_TYPE] in WORDS])
            self._put(self._queue, [arrival for arrival in went if arrival.packet[_TYPE] not in WORDS])

    def release(self) -> None:
        """The queue is emptied again."""
        self._held, self._go_round = False, frozenset()

    def arrive(self, slab: list[Arrival]) -> None:
        """Take datagrams; when the queue is full the longest share gives way, and that is counted."""
        if self._held:
            round_ = [arrival for arrival in slab if arrival.packet[_TYPE] in self._go_round]
            self._put(self._round, round_)
            slab = [arrival for arrival in slab if arrival.packet[_TYPE] not in self._go_round]
        self._put(self._queue, slab)
        self._wake.set()

    async def arrive_when_room(self, arrival: Arrival) -> None:
        """Take an MQTT payload once there is room: the withheld PUBACK is the back-pressure."""
        if self._held and arrival.packet[_TYPE] in self._go_round:
            self._put(self._round, [arrival])
            self._wake.set()
            return
        while not self._queue.has_room:
            self._space.clear()
            await self._space.wait()
        shed = self._queue.put(arrival)
        if shed is not None:
            self._shed([shed])
        if self._timer is None and not self._wake.is_set():
            self._timer = asyncio.get_running_loop().call_later(COALESCE_S, self._on_timer)

    def take(self) -> list[Arrival]:
        """What is to be looked at next, in order; after a time without room what went round the queue comes first."""
        slab = self.take_round() or self._queue.take(SLAB)
        if not self._space.is_set() and self._queue.has_room:
            self._space.set()
        return slab

    def take_round(self) -> list[Arrival]:
        """What went round the queue: it can be answered although nothing can be stored."""
        return self._round.take(SLAB)

    def _put(self, queue: FairQueue, slab: list[Arrival]) -> None:
        if shed := queue.put_slab(slab):
            self._shed(shed)

    def _shed(self, shed: list[Arrival]) -> None:
        """Count what gave way. An MQTT payload is answered too, or the broker would keep a slot for it for ever."""
        self._registry.shed["queue"] += len(shed)
        for arrival in shed:
            if arrival.ticket is not None:
                self._acknowledge(Acknowledge(arrival.ticket, MQTT_QUOTA))

    def _on_timer(self) -> None:
        self._timer = None
        self._wake.set()
