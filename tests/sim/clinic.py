"""A clinic in memory: the real spine and real devices on a virtual clock, with a network that loses and repeats.

Devices capture numbered samples, so that afterwards each stored sample says which it is: the oracle can tell what is
missing, what is stored twice, and whether every receipt was the truth.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from gateway.app.house import Floors, House
from gateway.app.observe import Observer
from gateway.app.spine import Spine
from gateway.app.startup import judge
from gateway.core import part
from gateway.core.batcher import Batcher
from gateway.core.effects import Arrival, Effect, Send
from gateway.core.fairqueue import FairQueue
from gateway.core.handshake import Names
from gateway.core.intake import Intake, Limits
from gateway.core.ledger import Ledger
from gateway.core.records import SESSION_OVER, Session, Writes
from gateway.core.records import Device as DeviceRecord
from gateway.core.registry import Registry
from gateway.core.sessions import Opening, Sessions
from gateway.device import events as ev
from gateway.device.config import DeviceConfig
from gateway.device.machine import Device
from gateway.errors import StoreError
from gateway.ids import DeviceId, SubjectRef
from gateway.keys import seal
from gateway.keys.sign import SigningKey
from gateway.rights.recording import Recording
from gateway.wire import frame as wire_frame
from gateway.wire import kinds
from tests.sim.memory import Durable, MemoryDisk, Verdict
from tests.sim.virtual import now_ns

SUBJECT = SubjectRef(b"s" * 16)
SUBJECT_KEY = b"k" * 32
ORIGIN = "sim.example/log"
UTC_AT_ZERO = 1_700_000_000_000_000_000


@dataclass
class Network:
    """A bad Wi-Fi: loses, repeats and delays, both ways, from one seed.

    Args:
        rng: where chance comes from.
        loss, duplicate: probabilities of each packet.
        delay_s: most extra delay; different delays reorder.
        down: while true nothing passes.
    """

    rng: random.Random
    loss: float = 0.0
    duplicate: float = 0.0
    delay_s: float = 0.0
    down: bool = False

    def carry(self, deliver: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(1 + (self.rng.random() < self.duplicate)):
            if not self.down and self.rng.random() >= self.loss:
                loop.call_later(0.001 + self.rng.random() * self.delay_s, deliver)


class Gateway:
    """A gateway on a store in memory. `start` judges the store as the daemon does; `kill` is kill -9."""

    def __init__(self, rng: random.Random, durable: Durable | None = None) -> None:
        self.rng = rng
        self.durable = durable or Durable()
        self.verdict: Verdict | None = None
        self.deliver: Callable[[tuple[str, int], bytes], None] = lambda source, packet: None
        self.house: House
        self.spine: Spine
        self.task: asyncio.Task[None] | None = None
        self.failed: StoreError | None = None
        self.queue_packets = 8192
        self.max_links = 4096

    async def start(self) -> None:
        d = self.durable
        frontier, tails, _ = judge(d, d.mark, d.header_of)
        boot = max(d.boot, d.mark.boot) + 1
        disk = MemoryDisk(d)
        await disk.commit(Writes(boot=boot))
        await disk.advance(d.head_.size, d.head_.root, boot)
        disk = MemoryDisk(d, self.verdict)
        registry = Registry(Names("sim", "sim"), self.rng.randbytes, now_ns, boot, max_links=self.max_links)
        import copy

        live = {s.session for s in d.sessions.values() if s.state not in SESSION_OVER}
        registry.restore(
            copy.deepcopy(list(d.devices.values())),
            copy.deepcopy(list(d.pairings.values())),
            [copy.deepcopy(s) for s in d.sessions.values() if s.session in live],
            copy.deepcopy(list(d.links.values())),
            [copy.deepcopy(s) for s in d.streams.values() if s.session in live],
            max(d.links, default=0) + 1,
            max(d.devices, default=0) + 1,
            [s.session for s in d.sessions.values() if s.state == "withdrawn"],
        )
        recording = Recording()
        intake = Intake(registry, recording.permit, lambda: recording.version, Limits())
        batcher = Batcher(1_000_000_000, 32 << 20)
        ledger = Ledger(ORIGIN, [SigningKey(b"L" * 32)], SigningKey(b"E" * 32), frontier, tails)
        sessions = Sessions(registry, batcher, ledger.gateway, lambda _: SUBJECT_KEY, lambda _: None)
        self.house = House(
            FairQueue(self.queue_packets, 16 << 20),
            registry,
            intake,
            batcher,
            ledger,
            sessions,
            recording,
            lambda _: SUBJECT_KEY,
            disk,
            Observer("json", "error"),
            boot,
            len(d.batches) + 1,
            604_800,
            Floors(),
            lambda: UTC_AT_ZERO + now_ns(),
        )
        self.house.utc_ms()
        self.house.publish()
        self.house.udp = self._send
        self.spine = Spine(self.house)
        self.failed = None
        self.task = asyncio.create_task(self._run(), name="spine")

    async def _run(self) -> None:
        try:
            await self.spine.run()
        except StoreError as error:
            self.failed = error

    def _send(self, effect: Send) -> None:
        assert isinstance(effect.source, tuple)
        self.deliver((str(effect.source[0]), int(effect.source[1])), effect.packet)

    def arrive(self, packet: bytes, source: tuple[str, int]) -> None:
        if self.task is not None and not self.task.done():
            self.spine.arrivals.arrive([Arrival(packet, source, now_ns())])

    async def kill(self) -> None:
        """Gone at once: nothing more is written or sent."""
        if self.task is not None:
            self.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.task
        self.task = None

    async def stop(self) -> None:
        self.spine.stop()
        assert self.task is not None
        await self.task

    async def add_device(self, number: int) -> bytes:
        key = self.rng.randbytes(32)

        def work(now: int, now_ms: int) -> None:
            self.house.registry.add_device(
                DeviceRecord(DeviceId(number), f"d{number}", key, "active", now_ms)
            )

        await self.spine.ask(work)
        return key

    async def open(
        self, *devices: int, kinds_: tuple[int, ...] = (kinds.HAPTIC, kinds.POSE, kinds.CLOCK)
    ) -> Session:
        asked = Opening(tuple(map(DeviceId, devices)), SUBJECT, "anna", "test", kinds_, "uid:0")

        def work(now: int, now_ms: int) -> Session:
            session, effects = self.house.sessions.open(asked, now, now_ms)
            self._changed(effects)
            return session

        return await self.spine.ask(work)

    async def close(self, session: Session, at_once: bool = False) -> None:
        def work(now: int, now_ms: int) -> None:
            mine = self.house.registry.sessions[session.session]
            self._changed(self.house.sessions.close(mine, "uid:0", "closed", at_once, now, now_ms))

        await self.spine.ask(work)

    def _changed(self, effects: list[Effect]) -> None:
        self.house.recording.changed()
        self.spine.enter([], effects)


@dataclass
class Rig:
    """A device with its app: captures haptic samples whose effect_id is their number."""

    device: Device
    network: Network
    gateway: Gateway
    source: tuple[str, int]
    hz: int = 100
    sent: int = 0
    receipted: set[tuple[int, int]] = field(default_factory=set)
    states: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    capturing: bool = True
    step_ns: int = 0
    _timer: asyncio.TimerHandle | None = None

    def perform(self, effects: list[ev.Effect]) -> None:
        for effect in effects:
            if isinstance(effect, ev.Send):
                packet = effect.packet
                self.network.carry(lambda packet=packet: self.gateway.arrive(packet, self.source))  # type: ignore[misc]
            elif isinstance(effect, ev.Changed):
                self.states.append(effect.state)
            elif isinstance(effect, ev.Stored):
                self.receipted.update(
                    (effect.link, seq) for seq in range(effect.first_seq, effect.last_seq + 1)
                )
            elif isinstance(effect, ev.RefusedPackets):
                self.refused[effect.reason] += effect.packets
            elif isinstance(effect, ev.RefusedFrame):
                self.refused[effect.reason] += 1
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        wake = self.device.wake_at
        if wake is not None:
            delay = max(0.0, (wake - now_ns()) / 1e9)
            self._timer = asyncio.get_running_loop().call_later(delay, self._tick)

    def _tick(self) -> None:
        self.perform(self.device.step(ev.Tick(), now_ns()))

    def receive(self, packet: bytes) -> None:
        self.perform(self.device.step(ev.Received(packet), now_ns()))

    def start(self) -> None:
        self.perform(self.device.step(ev.Start(), now_ns()))
        self._capture_later()

    def _capture_later(self) -> None:
        asyncio.get_running_loop().call_later(0.1, self._capture)

    def _capture(self) -> None:
        if not self.capturing:
            return
        count = self.hz // 10
        if self.device.status()["state"] in ("recording", "behind"):
            samples = np.zeros(count, kinds.HAPTIC_DTYPE)
            samples["t_capture_ns"] = now_ns() + np.arange(count)
            samples["effect_id"] = np.arange(self.sent, self.sent + count)
            self.sent += count
            self.perform(self.device.capture(0, kinds.HAPTIC, samples.tobytes(), count, now_ns()))
        self._capture_later()

    async def finish(self, within_s: float) -> None:
        """Stop capturing, and drain."""
        self.capturing = False
        self.perform(self.device.step(ev.Stop("end"), now_ns()))
        deadline = now_ns() + int(within_s * 1e9)
        while not self.device.idle and now_ns() < deadline:
            await asyncio.sleep(0.1)


def make_rig(gateway: Gateway, network: Network, number: int, key: bytes, **options: object) -> Rig:
    """A rig; the gateway's answers reach it through the network."""
    config = DeviceConfig(number, key, "sim", -1, gateway.rng.getrandbits(63), **options)  # type: ignore[arg-type]
    rig = Rig(Device(config, gateway.rng.randbytes), network, gateway, (f"10.0.0.{number}", 1000 + number))
    before = gateway.deliver

    def deliver(source: tuple[str, int], packet: bytes) -> None:
        if source == rig.source:
            network.carry(lambda: rig.receive(packet))
        else:
            before(source, packet)

    gateway.deliver = deliver
    return rig


def stored(durable: Durable) -> dict[tuple[int, int], Counter[int]]:
    """Every stored sample, opened from the vault: `(link, seq)` is not known here, so by device and effect_id.

    Returns:
        For each (session-part key, stream) how often each sample number was stored.
    """
    out: dict[tuple[int, int], Counter[int]] = {}
    for row in durable.parts:
        header, payload = durable.vault[row.offset]
        core, core_bytes, _ = part.parse_header(header)
        key = seal.part_data_key(seal.session_data_key(SUBJECT_KEY, row.session), core.part_id)
        opened = part.parse_payload(seal.unseal(key, payload, core_bytes))
        session = hash(row.session)
        for data in opened.frames:
            item = wire_frame.decode_frame(data)
            if item.kind == kinds.HAPTIC:
                numbers = np.frombuffer(item.samples, kinds.HAPTIC_DTYPE)["effect_id"]
                out.setdefault((session, item.stream), Counter()).update(int(n) for n in numbers)
    return out


def sums_close(durable: Durable) -> None:
    """Every stream's sum closes, and the parts' latest totals say the same."""
    for stream in durable.streams.values():
        assert stream.total == stream.stored + sum(stream.refused.values()) + stream.missing
        assert stream.missing >= 0
    latest: dict[tuple[bytes, int, int, int], part.StreamTotals] = {}
    for row in durable.parts:
        core, _, _ = part.parse_header(durable.vault[row.offset][0])
        for totals in core.totals:
            latest[row.session, totals.device, totals.run, totals.stream] = totals
    for key, totals in latest.items():
        stream = durable.streams[key]  # type: ignore[index]
        assert (totals.total, totals.stored, totals.missing) == (stream.total, stream.stored, stream.missing)
