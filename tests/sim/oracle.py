"""What must hold of a gateway after anything: read from the bytes that are durable, never from its own sums.

`Watched` is the simulation's gateway that remembers what it was sent and every checkpoint it signed. `judge_all` opens
each durable part and compares: what receipts covered is there, nothing is there twice, every size has one root, and
the sums are those of the frames.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from gateway.core import part
from gateway.core.effects import Send, Source
from gateway.core.ranges import Ranges
from gateway.ids import StreamKey
from gateway.keys import seal
from gateway.keys.sign import SigningKey
from gateway.tlog import merkle
from gateway.tlog.checkpoint import open_checkpoint
from gateway.tlog.note import VerifierKey
from gateway.wire import packet as wire
from gateway.wire.frame import Frame, decode_frame, sample_count
from tests.sim.clinic import ORIGIN, SUBJECT_KEY, Gateway, Rig
from tests.sim.memory import FAIL, FAIL_APPLIED, OK, Durable

LOG_KEY = VerifierKey.of(ORIGIN, SigningKey(b"L" * 32).public)

Seq = tuple[int, int]
"""`(link, seq)`."""


class Watched(Gateway):
    """A gateway that remembers what arrived, what it refused over all its starts, and what it signed."""

    def __init__(self, rng: random.Random, durable: Durable | None = None) -> None:
        super().__init__(rng, durable)
        self.arrived: dict[Seq, int] = {}
        self.told: deque[tuple[Source, bytes]] = deque(maxlen=4096)
        self.signed: dict[int, bytes] = {}
        self.lose_up: Callable[[bytes], bool] = lambda packet: False
        self.lose_down: Callable[[bytes], bool] = lambda packet: False
        self.sent: Counter[int] = Counter()
        self._before: Counter[str] = Counter()

    async def start(self) -> None:
        self._before = self.counted
        await super().start()
        self.house.on_head = self._note_head
        self._note_head()

    def _note_head(self) -> None:
        checkpoint = open_checkpoint(self.house.checkpoint, LOG_KEY)
        root = self.signed.setdefault(checkpoint.size, checkpoint.root)
        assert root == checkpoint.root, f"two roots at size {checkpoint.size}"
        assert (checkpoint.size, checkpoint.root) == (self.durable.mark.size, self.durable.mark.root)

    def _send(self, effect: Send) -> None:
        self.sent[effect.packet[3]] += 1
        self.told.append((effect.source, effect.packet))
        if not self.lose_down(effect.packet):
            super()._send(effect)

    def arrive(self, packet: bytes, source: tuple[str, int]) -> None:
        if self.lose_up(packet):
            return
        if self.task is not None and not self.task.done() and len(packet) >= wire.MIN_BYTES:
            kind, link, seq = packet[3], *wire.HEADER.unpack_from(packet)[2:4]
            # What is authentic comes first in these tests; a forgery of a known seq does not change its type.
            self.arrived.setdefault((link, seq), kind)
        super().arrive(packet, source)

    def forge(self, packet: bytes, source: tuple[str, int]) -> None:
        """A packet that names a link, a seq and a type which are not its sender's to name."""
        super().arrive(packet, source)

    @property
    def counted(self) -> Counter[str]:
        """What was refused and shed, packets and frames, over all starts."""
        if not hasattr(self, "house"):
            return Counter()
        totals, intake = self.house.totals, self.house.intake
        now = totals.refused + totals.frames_refused + totals.shed
        return self._before + now + intake.refused + intake.admission.refused + self.house.registry.shed

    async def up(self) -> bool:
        """Start again if the spine has ended; says whether it had to."""
        if self.task is not None and not self.task.done():
            return False
        await self.kill()
        await self.start()
        return True

    async def survive(self, within_s: float) -> None:
        """Let time pass; whenever the spine has ended, start again."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within_s
        while (left := until - loop.time()) > 0:
            assert self.task is not None
            await asyncio.wait({self.task}, timeout=left)
            await self.up()


@dataclass
class Fault:
    """The verdict of a disk whose n-th write fails.

    Args:
        n: which, from 1.
        how: `FAIL`, or `FAIL_APPLIED`: the error comes, and yet it is written.
        fatal: for commits: whether their outcome is said to be unknown.
        sticky: every write from the n-th on fails, until `lift`.
    """

    n: int
    how: str = FAIL
    fatal: bool = True
    sticky: bool = False
    calls: int = 0
    hits: list[str] = field(default_factory=list)
    lifted: bool = False

    def __call__(self, write: str) -> str:
        if write == "commit_is_fatal":
            return FAIL if self.fatal or self.how == FAIL_APPLIED else OK
        self.calls += 1
        fails = self.calls >= self.n if self.sticky else self.calls == self.n
        if not fails or self.lifted:
            return OK
        self.hits.append(write)
        return self.how

    def lift(self) -> None:
        """The disk is well again."""
        self.lifted = True


@dataclass
class Found:
    """What stands in the durable parts.

    Args:
        arrivals: for each DATA packet how many frames were stored and refused.
        samples: for each stream which sample numbers were stored, and how often.
        frames: of each stream, in order.
        refusals: frames refused, by reason, as the part headers say.
    """

    arrivals: dict[Seq, tuple[int, int]] = field(default_factory=dict)
    samples: dict[StreamKey, Counter[int]] = field(default_factory=dict)
    frames: dict[StreamKey, list[Frame]] = field(default_factory=dict)
    refusals: Counter[str] = field(default_factory=Counter)

    @property
    def every_sample(self) -> Counter[int]:
        """Sample numbers of all streams together, for tests with one stream."""
        return sum(self.samples.values(), Counter())


def read(durable: Durable) -> Found:
    """Open every durable part, and check it down to its root."""
    found = Found()
    for row in durable.parts:
        header, payload = durable.vault[row.offset]
        core, core_bytes, _ = part.parse_header(header)
        key = seal.part_data_key(seal.session_data_key(SUBJECT_KEY, row.session), core.part_id)
        opened = part.parse_payload(seal.unseal(key, payload, core_bytes))
        salts = seal.part_salts(
            seal.session_salt_key(SUBJECT_KEY, row.session), core.part_id, len(opened.frames)
        )
        assert merkle.root_of(part.leaves_of(opened.frames, salts)) == core.root
        frames = iter(opened.frames)
        samples = 0
        for link, seq, _, _, _, stored, refused in part.ARRIVAL.iter_unpack(opened.arrivals):
            assert (link, seq) not in found.arrivals, f"packet {link, seq} was sealed twice"
            found.arrivals[link, seq] = (stored, refused)
            record = durable.links[link]
            assert record.session == row.session, "a frame is filed under its link's session"
            for _ in range(stored):
                frame = decode_frame(next(frames))
                stream: StreamKey = (record.session, record.device, record.run, frame.stream)  # type: ignore[assignment]
                count = sample_count(frame)
                samples += count
                found.frames.setdefault(stream, []).append(frame)
                found.samples.setdefault(stream, Counter()).update(
                    range(frame.first_sample, frame.first_sample + count)
                )
        assert next(frames, None) is None, "a frame of no packet"
        assert core.counts == (len(opened.frames), samples, len(opened.arrivals) // part.ARRIVAL.size)
        found.refusals.update(dict(core.refusals))
    return found


def judge_all(gateway: Watched, rigs: Iterable[Rig] = ()) -> Found:
    """Hold everything that is durable against everything that was promised.

    Args:
        gateway: running or not.
        rigs: devices whose receipts must have been the truth.
    """
    durable = gateway.durable
    found = read(durable)
    for rig in rigs:
        for told in rig.receipted:
            kind = gateway.arrived.get(told)
            assert kind is not None, f"a receipt for packet {told}, which never came"
            if kind == wire.DATA:
                assert told in found.arrivals, (
                    f"packet {told} was receipted as stored and is in no durable part"
                )
                stored, refused = found.arrivals[told]
                assert stored or not refused, f"packet {told} was receipted as stored, and nothing of it was"
    for stream, numbers in found.samples.items():
        twice = [number for number, times in numbers.items() if times > 1]
        assert not twice, f"stored twice in {stream[1:]}: {twice[:5]}"
        record = durable.streams[stream]
        assert record.stored == len(numbers), f"the sum says {record.stored}, the frames {len(numbers)}"
        assert record.total > max(numbers)
        covered = Ranges()
        for number in numbers:
            covered.add(number, number)
        assert all(record.accounted.overlaps(a, b) for a, b in covered)
    _judge_sums(durable, found)
    _judge_log(gateway)
    return found


def _judge_sums(durable: Durable, found: Found) -> None:
    for key, record in durable.streams.items():
        assert record.total == record.stored + sum(record.refused.values()) + record.missing
        assert record.missing >= 0
        assert record.stored == len(found.samples.get(key, ()))
    latest: dict[StreamKey, part.StreamTotals] = {}
    for row in durable.parts:
        core, _, _ = part.parse_header(durable.vault[row.offset][0])
        for totals in core.totals:
            key: StreamKey = (row.session, totals.device, totals.run, totals.stream)  # type: ignore[assignment]
            before = latest.get(key)
            assert before is None or (totals.total >= before.total and totals.stored >= before.stored)
            latest[key] = totals
    for key, record in durable.streams.items():
        totals = latest[key]
        assert (totals.total, totals.stored, totals.missing) == (record.total, record.stored, record.missing)
        assert dict(totals.refused) == record.refused


def _judge_log(gateway: Watched) -> None:
    durable = gateway.durable
    assert [row.batch for row in durable.batches] == list(range(1, len(durable.batches) + 1))
    roots: dict[int, bytes] = {0: merkle.EMPTY_ROOT}
    frontier = merkle.Frontier()
    batches: list[dict[str, object]] = []
    for size, data in enumerate(durable.entries_, 1):
        frontier.extend([merkle.leaf_hash(data)])
        roots[size] = frontier.root()
        body = msgspec.json.decode(data)["body"]
        if body["type"] == "batch":
            batches.append({**body, "entry": size - 1})
    assert (durable.head_.size, durable.head_.root) == (len(durable.entries_), roots[len(durable.entries_)])
    for size, root in (*gateway.signed.items(), *durable.roots.items()):
        assert roots[size] == root, f"what was signed at size {size} is not what stands there"
    assert [body["batch"] for body in batches] == [row.batch for row in durable.batches]
    for row, body in zip(durable.batches, batches, strict=True):
        headers = [durable.vault[one.offset][0] for one in durable.parts_of(row.batch)]
        assert row.entry == body["entry"]
        assert merkle.root_of([merkle.leaf_hash(header) for header in headers]) == row.root


def kind_is(*types: int) -> Callable[[bytes], bool]:
    """Whether a packet is of one of these types."""
    return lambda packet: packet[3] in types


async def drained(gateway: Watched, rigs: Iterable[Rig], within_s: float = 120) -> None:
    """Stop all rigs, wait until each is idle while the gateway is kept up, and stop the gateway."""
    waiting = [asyncio.create_task(rig.finish(within_s)) for rig in rigs]
    while not all(task.done() for task in waiting):
        await gateway.survive(0.5)
    for rig in rigs:
        assert rig.device.idle, rig.device.status()
    await gateway.up()
    await gateway.stop()
    assert gateway.failed is None
