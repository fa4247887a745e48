"""Headsets and an onlooker for a daemon that dies: both live in the test's own process, and remember what it said.

A headset numbers and keeps every sample it captured and every receipt it got; the onlooker keeps every checkpoint that
anybody could have seen, and every request that was answered. `judge` holds what is on disk against both.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import numpy as np
from e2e.daemon import Gateway

from gateway.app.keyfile import DeviceKey, unkept
from gateway.app.rig import Rig, Together, Way
from gateway.device import events as ev
from gateway.errors import VestibuleError
from gateway.wire import kinds
from gateway.wire import packet as wire

POSE, HAPTIC = 0, 1
"""Streams of each headset, and what they carry."""
KINDS = {POSE: kinds.POSE, HAPTIC: kinds.HAPTIC}
ALLOWED = sorted({*(kinds.KINDS[number].name for number in KINDS.values()), "clock", "info"})
STEP_S = 0.02  # how often a headset captures
STEP_SAMPLES = {POSE: 4, HAPTIC: 2}
LOOK_S = 0.01  # between two looks of the onlooker
DRAIN_S = 20.0
CLOSE_S = 2.0  # all has its receipt; a link whose WELCOME came after its headset had gone on says no BYE


def seeded() -> random.Random:
    """A generator whose seed is printed; `VESTIBULE_SEED` repeats a run as far as real time allows."""
    seed = int(os.environ.get("VESTIBULE_SEED") or random.SystemRandom().getrandbits(32))
    print(f"VESTIBULE_SEED={seed}")
    return random.Random(seed)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a device was told about some of its packets; batch 0 when a copy was answered."""

    link: int
    first: int
    last: int
    batch: int
    root: bytes


class Headset(Rig):
    """A simulated headset that remembers.

    Args:
        key: the device's.
        way: to the gateway.
        rng: when it pauses.
    """

    def __init__(self, key: DeviceKey, way: Way, rng: random.Random) -> None:
        self.data: defaultdict[int, set[int]] = defaultdict(set)
        """Link -> seqs of the DATA packets that left."""
        self.receipts: list[Receipt] = []
        self.refused: Counter[str] = Counter()
        self.captured = {stream: bytearray() for stream in KINDS}
        """Stream -> the samples that have a number, one behind another from number 0."""
        self.received = 0
        self._rng = rng
        # Receipts come a few hundred milliseconds later at most, and a gateway is away for a second: no long waits.
        super().__init__(
            key, unkept, way, resend_first_ms=400, resend_most_ms=800, silence_ms=3000, wait_retry_ms=200
        )

    def _told(self, effect: ev.Effect) -> None:
        super()._told(effect)
        match effect:
            case ev.Send(packet) if packet[3] == wire.DATA:
                link, seq = wire.HEADER.unpack_from(packet)[2:4]
                self.data[link].add(seq)
            case ev.Stored(first, last, batch, root, link):
                self.receipts.append(Receipt(link, first, last, batch, root))
            case ev.RefusedPackets(reason, packets=packets):
                self.refused[reason] += packets
            case ev.RefusedFrame(reason):
                self.refused[reason] += 1

    def capture(self, scale: int = 1) -> None:
        """Capture a few samples of each stream, each of which says its number."""
        for stream, kind in KINDS.items():
            have = self.captured[stream]
            count = STEP_SAMPLES[stream] * scale
            first = len(have) // kinds.KINDS[kind].sample_bytes
            samples = np.zeros(count, kinds.POSE_DTYPE if stream == POSE else kinds.HAPTIC_DTYPE)
            samples["t_capture_ns"] = self.clock_ns() + np.arange(count)
            if stream == POSE:
                samples["flags"] = 0x0F
                samples["position_m"][:, 0] = np.arange(first, first + count)
                samples["orientation"][:, 3] = 1
            else:
                samples["effect_id"] = np.arange(first, first + count)
            before = self.device.account.captured
            self.driver.capture(stream, kind, samples.tobytes(), count)
            if self.device.account.captured > before:
                have += samples.tobytes()

    async def stream(self, pauses: float = 0.01) -> None:
        """Capture until cancelled.

        Args:
            pauses: how probable it is, at each step, that the app is left for a moment, which takes a new link.
        """
        while True:
            self.capture()
            if self._rng.random() < pauses:
                self.driver.pause()
                await asyncio.sleep(STEP_S)
                self.driver.resume()
            await asyncio.sleep(STEP_S)

    async def finish(self, within_s: float = DRAIN_S) -> None:
        """Stop, and get a receipt for everything; not in the midst of a handshake, whose link would never say BYE."""
        assert await self.driver.until(lambda: self.device.current is not None, within_s), (
            self.device.status()
        )
        assert await self.driver.stop(within_s), self.device.status()


@dataclass
class Onlooker:
    """Sees everything that the daemon shows.

    Args:
        gateway: that it looks at.
    """

    gateway: Gateway
    notes: set[bytes] = field(default_factory=set)
    """Checkpoints as served, signature and all."""
    heads: defaultdict[int, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    """Size -> roots that `status` told."""
    devices: list[int] = field(default_factory=list)
    """Numbers of devices whose making was answered."""
    sessions: list[str] = field(default_factory=list)
    """Sessions whose opening was answered."""
    busy: bool = True
    """Whether it asks for new devices too."""

    async def look(self) -> None:
        """Look until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._fetch())
            group.create_task(self._ask())

    async def _fetch(self) -> None:
        url = f"http://127.0.0.1:{self.gateway.http_port}/checkpoint"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as session:
            while True:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(url) as answer:
                        if answer.status == 200:
                            self.notes.add(await answer.read())
                await asyncio.sleep(LOOK_S)

    async def _ask(self) -> None:
        desk = self.gateway.desk
        while True:
            with contextlib.suppress(VestibuleError):
                log = (await desk.ask("status", 5))["log"]
                self.heads[log["size"]].add(log["root"])
                if self.busy:
                    made = await desk.ask("device.add", 5, name=f"spare-{len(self.devices)}")
                    self.devices.append(made["device"])
            await asyncio.sleep(10 * LOOK_S)


@dataclass
class Ward:
    """A gateway with its headsets in one open session, and an onlooker."""

    gateway: Gateway
    headsets: list[Headset]
    onlooker: Onlooker
    session: str
    rng: random.Random

    @contextlib.asynccontextmanager
    async def at_work(self, pauses: float = 0.01) -> AsyncIterator[None]:
        """Headsets record and the onlooker looks, whatever becomes of the daemon in between."""
        work = [asyncio.create_task(one.stream(pauses)) for one in self.headsets]
        work.append(asyncio.create_task(self.onlooker.look()))
        try:
            yield
            for task in work:
                assert not task.done() or task.exception() is None
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)

    @property
    def receipts(self) -> int:
        """How many receipts have come."""
        return sum(len(one.receipts) for one in self.headsets)

    async def drained(self, within_s: float = DRAIN_S) -> None:
        """Every headset gets its last receipts, the session is closed, and the daemon stops in order."""
        await asyncio.gather(*(one.finish(within_s) for one in self.headsets))
        row = await self.gateway.desk.close_session(self.session, CLOSE_S)
        assert row["state"] == "closed", row
        assert await asyncio.to_thread(self.gateway.stop) == 0, self.gateway.log()[-2000:]


@contextlib.asynccontextmanager
async def open_ward(gateway: Gateway, headsets: int = 3) -> AsyncIterator[Ward]:
    """Start a gateway, pair headsets, open a session for them, and wait until they record."""
    rng = seeded()
    await asyncio.to_thread(gateway.start)
    try:
        keys = [gateway.add_device(f"headset-{number}") for number in range(headsets)]
        session = gateway.open_session([key.device for key in keys], ALLOWED)
        made = [Headset(key, gateway.way, random.Random(rng.random())) for key in keys]
        async with Together([one.driver for one in made]):
            await asyncio.gather(*(one.begin(15) for one in made))
            yield Ward(gateway, made, Onlooker(gateway), session, rng)
    finally:
        process = gateway.process
        if process is not None and process.poll() is None:
            gateway.kill9()


async def until(holds: Callable[[], Any], what: str, within_s: float = 15.0) -> Any:
    """Look until something is true, and return it."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within_s
    while not (value := holds()):
        assert loop.time() < end, f"not in {within_s} s: {what}"
        await asyncio.sleep(LOOK_S)
    return value
