"""Hop 1 by MQTT: the gateway at its broker. A PUBACK follows the commit, and so the broker keeps what is not durable.

PUBACKs do not keep the order of the packets (MQTT-4.6.0-2 asks for it): what is refused at once does not wait for a
commit. Brokers match them by number, and a lost order costs nothing: packets carry their own.

The broker has at most `receive_maximum` packets on the way to us, and each of them stays open until its ticket is
resolved: that is the whole back-pressure, and the bound of what waits here. When a connection ends, whatever was not
handed over is forgotten and the rest is acknowledged to nobody: the broker brings all of it again, and the core drops
the copies. Source: VT1, "MQTT"; MQTT 5, sections 3.4 and 4.9.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.core.effects import Acknowledge, Arrival, MqttSource, Send
from gateway.net import mqtt_topics as topics
from gateway.net.mqtt_courier import LINK_KEEP_S, SETTLE_S, Courier
from gateway.net.mqtt_settings import BrokerSettings
from gateway.wire.packet import MAX_MQTT_BYTES

__all__ = ["Broker", "BrokerSettings"]

# Reason codes of a PUBACK (MQTT 5, section 3.4.2.1) that are given here, before the core sees the packet.
SUCCESS: Final = 0x00
IMPLEMENTATION: Final = 0x83
TOPIC_INVALID: Final = 0x90
PAYLOAD_INVALID: Final = 0x99

Ticket = asyncio.Future[int]


class Broker:
    """The gateway's side of MQTT.

    Args:
        settings: the broker.
        gateway: this gateway's name in topics.
        home: its home's name; the same for a single gateway.
        arrive: takes an arrival, and waits while there is no room. Its `ticket` goes back with `acknowledge`.
        on_state: told True when the broker accepted us, False when it is gone (`why` says why).
        link_keep_s: how long the broker keeps packets for a gateway that is away.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        gateway: str,
        home: str,
        arrive: Callable[[Arrival], Awaitable[None]],
        on_state: Callable[[bool], None],
        link_keep_s: int = LINK_KEEP_S,
    ) -> None:
        self._gateway = gateway
        self._home = home
        self._arrive = arrive
        self._most = settings.receive_maximum
        self._courier = Courier(
            settings,
            f"vestibule-{gateway}",
            link_keep_s,
            [(topics.hello(home, topics.ANY),), (topics.up(gateway, topics.ANY),)],
            self._take,
            self._forget,
            on_state,
        )
        self._open: set[Ticket] = set()  # of this connection, until the PUBACK is written
        self._waiting: deque[Arrival] = deque()  # of those, the ones that the core has not taken
        self._more = asyncio.Event()
        self._answered = asyncio.Event()
        self._handing: asyncio.Task[None] | None = None
        self._held = False
        self._paused = False
        self.received = 0
        """Payloads that came, whatever became of them."""
        self.refused: Counter[str] = Counter()
        """Payloads refused here: `topic`, `oversize`, `qos`."""

    # ---- for status and metrics ---------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us."""
        return self._courier.connected

    @property
    def why(self) -> str:
        """Why it is not connected, one word; empty while it is."""
        return self._courier.why

    @property
    def unacknowledged(self) -> int:
        """Payloads that the broker has sent and that have no PUBACK yet: about `receive_maximum` at most."""
        return len(self._open)

    @property
    def dropped(self) -> int:
        """Answers dropped because the broker was away or slow for too long."""
        return self._courier.outbox.dropped

    @property
    def unsent(self) -> int:
        """Answers that the broker refused to take; its access rules do not fit this gateway."""
        return self._courier.refused

    # ---- broker to core -----------------------------------------------------------------------------------------

    async def _take(self, topic: str, payload: bytes, qos: int) -> int:
        """A payload came; what this returns is its PUBACK."""
        self.received += 1
        if qos != 1:
            # QoS 0 has no PUBACK to withhold, so nothing would bound it. QoS 2 no broker sends to our subscriptions.
            self.refused["qos"] += 1
            return IMPLEMENTATION
        device = topics.uplink_device(topic, self._gateway, self._home)
        if device is None:
            self.refused["topic"] += 1
            return TOPIC_INVALID
        if len(payload) > MAX_MQTT_BYTES:
            self.refused["oversize"] += 1
            return PAYLOAD_INVALID
        ticket: Ticket = asyncio.get_running_loop().create_future()
        self._open.add(ticket)
        self._waiting.append(Arrival(payload, MqttSource(device), time.monotonic_ns(), ticket))
        self._more.set()
        if len(self._open) > self._most:
            # Mosquitto 2.0.11 sends its whole queue when PUBACKs come in a row, whatever our Receive Maximum; other
            # brokers never come here. One that is not read from stops, once the buffers between us are full.
            self._courier.read(False)
            self._paused = True
        task = asyncio.current_task()
        assert task is not None
        # gmqtt writes the PUBACK in a callback that it added to this task before it ran, so ours comes after it.
        task.add_done_callback(lambda done: self._close(ticket))
        return await ticket

    def _close(self, ticket: Ticket) -> None:
        self._open.discard(ticket)
        self._answered.set()
        if self._paused and len(self._open) <= self._most:
            self._paused = False
            self._courier.read(True)

    def _forget(self) -> None:
        """The connection is closed: what is open there will come again."""
        open_, self._open = self._open, set()
        self._waiting.clear()
        self._paused = False
        for ticket in open_:
            if not ticket.done():
                # It ends the task; the PUBACK that it writes to the closed connection is dropped.
                ticket.set_result(SUCCESS)
        self._answered.set()

    async def _hand_over(self) -> None:
        """Give arrivals to the core in their order, as fast as it takes them."""
        # The head stays until it is taken: what `hold` interrupts is then still the broker's.
        while True:
            while self._waiting:
                arrival = self._waiting[0]
                await self._arrive(arrival)
                # Not so when the connection ended meanwhile: then the core has a copy more, and drops one.
                if self._waiting and self._waiting[0] is arrival:
                    self._waiting.popleft()
            self._more.clear()
            await self._more.wait()

    # ---- core to broker -----------------------------------------------------------------------------------------

    def acknowledge(self, effect: Acknowledge) -> None:
        """Write the PUBACK of an arrival; nothing happens when its connection has ended."""
        ticket: Ticket = effect.ticket
        if not ticket.done():
            ticket.set_result(effect.reason_code)

    def send(self, effect: Send) -> None:
        """Publish a packet to its device."""
        assert isinstance(effect.source, MqttSource)
        self._courier.send(topics.down(self._gateway, effect.source.device), effect.packet)

    # ---- life ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect and stay connected until `stop`; a broker that is away is waited for."""
        async with asyncio.TaskGroup() as group:
            if not self._held:
                self._handing = group.create_task(self._hand_over(), name="mqtt arrivals")
            await self._courier.run()
            self.hold()

    def hold(self) -> None:
        """Hand nothing more to the core; PUBACKs and answers still go out. What comes now stays the broker's."""
        self._held = True
        if self._handing is not None:
            self._handing.cancel()

    async def stop(self, *, wait: bool = True) -> None:
        """Hold, let what the core has taken be acknowledged, and disconnect; the broker keeps the rest.

        Args:
            wait: whether the core still runs or has drained: a PUBACK that it owes is waited for, `SETTLE_S` at most.
        """
        self.hold()
        try:
            async with asyncio.timeout(SETTLE_S):
                while wait and self.connected and len(self._open) > len(self._waiting):
                    self._answered.clear()
                    await self._answered.wait()
        except TimeoutError:
            pass
        if not self._paused:
            # While the broker is not read from, nothing it confirms is seen.
            await self._courier.sent()
        await self._courier.stop()
