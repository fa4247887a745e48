"""A simulated device at work: a device machine with a key, a transport, a spool and a driver of its own."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gateway.app.drive import Driver, Transport, forget_key
from gateway.app.feed import INFO_STREAM, info_sample
from gateway.app.keyfile import DeviceKey, Kept
from gateway.app.spool_files import SpoolFiles
from gateway.app.transports import Cycle, MqttDevice, Rough, Weather
from gateway.device.config import SPOOL_BYTES
from gateway.device.events import WAITING, Effect
from gateway.device.link import Link
from gateway.device.machine import Device
from gateway.errors import EXIT_TRY_LATER, LocalError, VestibuleError
from gateway.net.mqtt_settings import BrokerSettings
from gateway.net.udp_device import UdpDevice
from gateway.wire import kinds

SLOW_S: Final = 1.5
"""A gateway that is there answers within its seal interval, mostly one second."""

WHY: Final = {
    "no_answer": "no answer from {where}",
    "connecting": "no answer from {where}",
    "revoked": "the gateway revoked it",
    "version": "the gateway speaks no version of the protocol that it speaks",
}
"""Reason of a device that does not record -> in words."""


@dataclass(frozen=True, slots=True)
class Way:
    """How devices reach the gateway.

    Args:
        host, port: of its UDP socket.
        broker: makes the settings for a device; None for UDP.
        weather: how bad the network is.
        seed: of what the weather does.
        sleep: when the devices sleep; None for never.
        spool: folder with a spool for each device; None for no spools.
    """

    host: str = "127.0.0.1"
    port: int = 4747
    broker: Callable[[DeviceKey], BrokerSettings] | None = None
    weather: Weather = field(default_factory=Weather)
    seed: int = 0
    sleep: Cycle | None = None
    spool: Path | None = None

    @property
    def where(self) -> str:
        """Who is asked, in words."""
        return (
            "the broker"
            if self.broker
            else f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"
        )

    @property
    def name(self) -> str:
        """`udp` or `mqtt`."""
        return "mqtt" if self.broker else "udp"

    def transport(self, key: DeviceKey) -> Transport:
        """A device's own transport."""
        real: Transport
        if self.broker is not None:
            real = MqttDevice(self.broker(key), key.home, key.device)
        else:
            real = UdpDevice(self.host, self.port)
        if self.weather.fair:
            return real
        return Rough(real, self.weather, random.Random(f"{self.seed}/{key.device}"))


class Rig:
    """One simulated device.

    Args:
        key: the device's.
        keep: makes its HELLO counter durable.
        way: to the gateway.
        clock_ns: the device's clock.
        options: other fields of `DeviceConfig`.
    """

    def __init__(
        self,
        key: DeviceKey,
        keep: Callable[[int], None],
        way: Way,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        **options: Any,
    ) -> None:
        spool = SpoolFiles(way.spool / str(key.device), key.device) if way.spool is not None else None
        if spool is not None:
            options = {"spool_bytes": SPOOL_BYTES} | options
        config = key.config(secrets.randbits(64), transport=way.name, **options)
        self.key = key
        self.way = way
        self.device = Device(config, secrets.token_bytes)
        self.clock_ns = clock_ns
        self.driver = Driver(
            self.device,
            way.transport(key),
            keep,
            clock_ns,
            self._told,
            keep.take_key if isinstance(keep, Kept) else forget_key,
            spool,
        )
        self.drained = False
        self.asleep = False
        self._links: dict[int, Link] = {}

    @property
    def totals(self) -> dict[int, tuple[int, int, int, int]]:
        """What the gateway told of each stream: total, stored, refused, missing; the newest word counts."""
        newest: dict[int, tuple[int, int, int, int]] = {}
        for link in self._links.values():
            for stream, row in link.totals.items():
                known = newest.get(stream, (-1, 0, 0, 0))
                # A total never falls, and of two rows with one total the one with less missing is the later one.
                if (row[0], -row[3]) >= (known[0], -known[3]):
                    newest[stream] = row
        return newest

    def _told(self, effect: Effect) -> None:
        link = self.device.current
        if link is not None and link.number not in self._links:
            self._links[link.number] = link

    async def begin(self, wait_s: float, slow: Callable[[str], None] = lambda text: None) -> None:
        """Start, and wait until a session records.

        Args:
            wait_s: longest wait.
            slow: told what it waits for, once that takes longer than `SLOW_S`.

        Raises:
            LocalError: `not_recording`.
        """
        self.driver.start()
        soon_s = min(SLOW_S, wait_s)
        if await self.driver.recording(soon_s):
            return
        slow(f"asking {self.way.where} for a session ...")
        if await self.driver.recording(wait_s - soon_s):
            return
        status = self.device.status()
        waits = status["state"] == WAITING
        reason = str(status["reason"] or status["state"])
        # A gateway's own word may hold anything, braces too.
        why = WHY[reason].format(where=self.way.where) if reason in WHY else reason
        if waits:
            why = "no session is open for it"
        error = LocalError(
            "not_recording",
            f"device {self.key.device} does not record after {wait_s:.0f} s: {why}",
            f"Open a session for it: vestibule session open --device {self.key.device} ..."
            if waits
            else "Check --host and --port, and whether the device's key is still the right one.",
        )
        error.exit_code = EXIT_TRY_LATER
        raise error

    @asynccontextmanager
    async def days(self) -> AsyncIterator[None]:
        """Let the device sleep and wake as its way says, for as long as this lasts; afterwards it is awake."""
        enough = asyncio.Event()
        task = asyncio.create_task(self._days(enough)) if self.way.sleep is not None else None
        try:
            yield
        finally:
            enough.set()
            if task is not None:
                await task

    async def _days(self, enough: asyncio.Event) -> None:
        sleep = self.way.sleep
        assert sleep is not None
        while not await _is_set(enough, sleep.every_s - sleep.for_s):
            self.asleep = True
            await self.driver.sleep()
            await _is_set(enough, sleep.for_s)
            await self.driver.wake()
            self.asleep = False

    def describe(self, stream: int, info: dict[str, Any]) -> None:
        """Say what a stream is."""
        sample = info_sample(self.clock_ns(), {"stream": stream, **info})
        self.driver.capture(INFO_STREAM, kinds.INFO, sample, 1)


async def _is_set(event: asyncio.Event, within_s: float) -> bool:
    """Wait for an event, or for some time; whether the event came."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await event.wait()
    return event.is_set()


class Together:
    """Several drivers, opened and closed together.

    Args:
        drivers: not yet open.
    """

    def __init__(self, drivers: list[Driver]) -> None:
        self._drivers = drivers
        self._open: list[Driver] = []

    async def __aenter__(self) -> None:
        try:
            for driver in self._drivers:
                await driver.__aenter__()
                self._open.append(driver)
        except BaseException:
            await self.__aexit__()
            raise

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(driver.__aexit__(None, None, None) for driver in self._open))


async def side_by_side(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run some work side by side; the first error of ours is raised as it is, and ends the rest."""
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)
    except BaseExceptionGroup as errors:
        found = list(errors.exceptions)
        raise next((error for error in found if isinstance(error, VestibuleError)), found[0]) from None
