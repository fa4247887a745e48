"""What both ends of MQTT share: one connection kept up for ever, and a bounded outbox in front of it.

What waits for the broker may be dropped, the oldest first: receipts, commands and a device's packets are all sent
again by the protocol until they are answered, so only a bound is needed here, never a store.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from gateway.errors import Unreachable
from gateway.net.mqtt_line import Line
from gateway.net.mqtt_settings import BrokerSettings

LINK_KEEP_S: Final = 604_800  # VT1, "Links": what the broker holds is of use as long as links are kept
FIRST_DELAY_S: Final = 0.25
MOST_DELAY_S: Final = 15.0  # a broker that comes back is found within this
WINDOW: Final = 256  # published and not yet confirmed; bounds what the socket's buffer holds to 4 MiB
OUTBOX_PACKETS: Final = 4096  # waiting: a few seconds of receipts for every link that a gateway may keep
OUTBOX_BYTES: Final = 8 * 1024 * 1024
SETTLE_S: Final = 10.0  # for what is outstanding at a stop: several seal intervals


class Outbox:
    """Packets on their way to the broker, oldest first; bounded.

    Args:
        max_packets, max_bytes: of those that wait; beyond it the oldest is dropped and counted.
        window: most that are published and not confirmed.
    """

    def __init__(
        self, max_packets: int = OUTBOX_PACKETS, max_bytes: int = OUTBOX_BYTES, window: int = WINDOW
    ) -> None:
        self._max_packets = max_packets
        self._max_bytes = max_bytes
        self._window = window
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._bytes = 0
        self._published: dict[int, tuple[str, bytes]] = {}
        self.dropped = 0

    def __len__(self) -> int:
        """Packets that wait, and those that are not confirmed."""
        return len(self._waiting) + len(self._published)

    def put(self, topic: str, packet: bytes) -> None:
        """Add a packet."""
        self._waiting.append((topic, packet))
        self._bytes += len(packet)
        self._trim()

    def flush(self, publish: Callable[[str, bytes], int | None]) -> None:
        """Publish what the window has room for.

        Args:
            publish: gives the packet's number, or None when the broker takes no more for now.
        """
        while self._waiting and len(self._published) < self._window:
            topic, packet = self._waiting[0]
            number = publish(topic, packet)
            if number is None:
                return
            self._waiting.popleft()
            self._bytes -= len(packet)
            self._published[number] = topic, packet

    def confirmed(self, number: int) -> None:
        """The broker has it."""
        self._published.pop(number, None)

    def lost(self) -> None:
        """The connection ended: what is not confirmed goes first on the next. It may arrive twice, and may."""
        again = list(self._published.values())
        self._published.clear()
        self._waiting.extendleft(reversed(again))
        self._bytes += sum(len(packet) for _, packet in again)
        self._trim()

    def _trim(self) -> None:
        while len(self._waiting) > self._max_packets or self._bytes > self._max_bytes:
            self._bytes -= len(self._waiting.popleft()[1])
            self.dropped += 1


class Courier:
    """Keeps a connection to the broker, and sends through it.

    Args:
        settings: the broker.
        name: MQTT client identifier.
        keep_s: how long the broker keeps the `mqtt_session`.
        filters: for each subscription the topic filters to try.
        on_packet: takes (topic, payload, QoS), gives the PUBACK's reason code when it is time for it.
        on_end: called after each connection, when nothing more can be written to it.
        on_state: told True when connected, False when not, at each change.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        name: str,
        keep_s: int,
        filters: Sequence[Sequence[str]],
        on_packet: Callable[[str, bytes, int], Awaitable[int]],
        on_end: Callable[[], None],
        on_state: Callable[[bool], None],
    ) -> None:
        self._settings = settings
        self._name = name
        self._keep_s = keep_s
        self._filters = filters
        self._on_packet = on_packet
        self._on_end = on_end
        self._on_state = on_state
        self._line: Line | None = None
        self._state: bool | None = None
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()
        self._news = asyncio.Event()
        self.outbox = Outbox()
        self._refused = 0
        self.why = ""
        """Why there is no connection; empty while there is one."""

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us and our subscriptions."""
        return self._state is True

    @property
    def refused(self) -> int:
        """Published packets that the broker refused: its access rules or a quota."""
        return self._refused + (self._line.refused if self._line is not None else 0)

    def send(self, topic: str, packet: bytes) -> None:
        """Publish with QoS 1, now or when the broker is there."""
        self.outbox.put(topic, packet)
        self._flush()

    def drop(self, why: str) -> None:
        """End the connection and make another."""
        if self._line is not None:
            self._line.drop(why)

    def read(self, on: bool) -> None:
        """Take what the broker sends, or leave it in the socket."""
        if self._line is not None and on:
            self._line.may_read.set()
        elif self._line is not None:
            self._line.may_read.clear()

    async def run(self) -> None:
        """Connect, and again with growing pauses, until `stop`."""
        self._ended.clear()
        try:
            delay_s = FIRST_DELAY_S
            while not self._stopping.is_set():
                began_s = time.monotonic()
                await self._connect_once()
                if time.monotonic() - began_s > MOST_DELAY_S:
                    delay_s = FIRST_DELAY_S
                # Spread, so that a room of headsets does not come back in one instant.
                await self._pause(delay_s * random.uniform(0.5, 1.0))
                delay_s = min(2 * delay_s, MOST_DELAY_S)
        finally:
            self._ended.set()

    async def _pause(self, delay_s: float) -> None:
        try:
            async with asyncio.timeout(delay_s):
                await self._stopping.wait()
        except TimeoutError:
            pass

    async def _connect_once(self) -> None:
        line = Line(self._settings, self._name, self._keep_s, self._on_packet, self._confirmed)
        self._line = line
        try:
            await line.open(self._filters)
            self.why = ""
            self._tell(True)
            self._flush()
            await line.lost.wait()
        except Unreachable:
            pass
        finally:
            try:
                await line.close()
            finally:
                self._line = None
                self.why = line.why
                self._refused += line.refused
                self.outbox.lost()
                self._on_end()
                self._tell(False)

    def _tell(self, state: bool) -> None:
        if self._state is not state:
            self._state = state
            self._news.set()
            self._on_state(state)

    def _flush(self) -> None:
        if self._line is not None and self.connected:
            self.outbox.flush(self._line.publish)

    def _confirmed(self, number: int) -> None:
        self.outbox.confirmed(number)
        self._flush()
        self._news.set()

    async def sent(self) -> None:
        """Until the broker has everything, or `SETTLE_S` are over, or there is no connection."""
        try:
            async with asyncio.timeout(SETTLE_S):
                while len(self.outbox) and self.connected:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass

    async def stop(self) -> None:
        """Disconnect, and let `run` return; the broker keeps the `mqtt_session`."""
        self._stopping.set()
        self.drop("stopped")
        await self._ended.wait()
