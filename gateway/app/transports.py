"""Ways of a device to its gateway besides plain UDP: over a broker, and over a network that is as bad as asked for."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.app.drive import Transport
from gateway.device.events import Send
from gateway.errors import Unreachable
from gateway.net.mqtt_device import DeviceClient
from gateway.net.mqtt_settings import BrokerSettings

CONNECT_S: Final = (
    15.0  # a broker across a clinic's network answers within a second; name lookups may take longer
)
OVERTAKEN_MS: Final = 40.0  # how much later a packet is that others overtake: some packets of one headset


class MqttDevice:
    """A device's connection to its broker, as a transport.

    Args:
        settings: the broker, with the device's user there.
        home: the device's home.
        device: its number.
    """

    def __init__(self, settings: BrokerSettings, home: str, device: int) -> None:
        self._settings = settings
        self._home = home
        self._device = device
        self._accepted = asyncio.Event()
        self._client: DeviceClient | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self, receive: Callable[[bytes], None]) -> None:
        """Connect, and stay connected until `close`.

        Raises:
            Unreachable: the broker did not accept the device.
        """
        client = DeviceClient(self._settings, self._home, self._device, receive, self._changed)
        self._client = client
        self._task = asyncio.create_task(client.run(), name=f"mqtt-{self._device}")
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._accepted.wait()
        except TimeoutError:
            why = client.why or "no_answer"
            await self._end()
            raise Unreachable(
                "broker",
                f"the broker at {self._settings.host}:{self._settings.port} did not accept the device: {why}",
                "Check --mqtt, the user, its password file and --tls-ca.",
            ) from None

    def send(self, effect: Send) -> None:
        """Publish a packet."""
        if self._client is not None:
            self._client.send(effect)

    async def close(self) -> None:
        """Let the broker take what was sent, and disconnect."""
        if self._client is not None:
            await self._client.stop()
        await self._end()

    async def _end(self) -> None:
        task, self._task, self._client = self._task, None, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _changed(self, connected: bool) -> None:
        if connected:
            self._accepted.set()


@dataclass(frozen=True, slots=True)
class Cycle:
    """Something that comes again and again: at the end of each period it lasts for a while.

    Args:
        every_s: length of a period in seconds.
        for_s: how long it lasts; less than `every_s`.
    """

    every_s: float
    for_s: float

    def on(self, passed_s: float) -> bool:
        """Whether it lasts at this time after the begin."""
        return passed_s % self.every_s >= self.every_s - self.for_s


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad a network is, the same in both directions.

    Args:
        loss, duplicate, reorder: share of packets, 0..1.
        delay_ms: of every packet.
        jitter_ms: most of a further delay, another for each packet.
        outage: when nothing passes at all.
    """

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    outage: Cycle | None = None

    @property
    def fair(self) -> bool:
        """Whether nothing is spoiled."""
        return self == Weather()


class Rough:
    """A transport through bad weather. The same seed and the same packets meet the same fate.

    Args:
        inner: the real way.
        weather: how bad.
        draw: a generator of its own.

    An outage is counted from the first time it is opened; a device that sleeps wakes in the same weather.
    """

    def __init__(self, inner: Transport, weather: Weather, draw: random.Random) -> None:
        self._inner = inner
        self._weather = weather
        self._draw = draw
        self._late: set[asyncio.TimerHandle] = set()
        self._began_s: float | None = None
        self._receive: Callable[[bytes], None] = lambda packet: None
        self.lost = 0
        """Packets that were dropped on purpose, both ways."""

    async def open(self, receive: Callable[[bytes], None]) -> None:
        """Open the real way."""
        self._receive = receive
        if self._began_s is None:
            self._began_s = asyncio.get_running_loop().time()
        await self._inner.open(lambda packet: self._through(lambda: self._receive(packet)))

    def send(self, effect: Send) -> None:
        """Send a packet, perhaps."""
        self._through(lambda: self._inner.send(effect))

    async def close(self) -> None:
        """Forget what is still on its way, and close the real one."""
        for handle in self._late:
            handle.cancel()
        self._late.clear()
        await self._inner.close()

    def _through(self, pass_on: Callable[[], None]) -> None:
        weather, draw = self._weather, self._draw
        if draw.random() < weather.loss or self._out():
            self.lost += 1
            return
        for _ in range(2 if draw.random() < weather.duplicate else 1):
            delay_ms = weather.delay_ms + weather.jitter_ms * draw.random()
            if draw.random() < weather.reorder:
                delay_ms += OVERTAKEN_MS * draw.random()
            if not delay_ms:
                pass_on()
            else:
                self._later(delay_ms / 1000, pass_on)

    def _out(self) -> bool:
        outage, began_s = self._weather.outage, self._began_s
        return (
            outage is not None
            and began_s is not None
            and outage.on(asyncio.get_running_loop().time() - began_s)
        )

    def _later(self, delay_s: float, pass_on: Callable[[], None]) -> None:
        def arrive() -> None:
            self._late.discard(handle)
            pass_on()

        handle = asyncio.get_running_loop().call_later(delay_s, arrive)
        self._late.add(handle)
