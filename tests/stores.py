"""A filled store for tests, built by the machines that fill one in service: registry, admission, batcher, commit."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gateway.app.cycle import Cycle, commit
from gateway.app.init import init_store
from gateway.app.startup import Store, open_store
from gateway.core.admission import Admission
from gateway.core.batcher import Batcher
from gateway.core.handshake import Names
from gateway.core.ledger import Ledger
from gateway.core.link import Link
from gateway.core.records import Device, LinkRecord, Writes
from gateway.core.registry import Registry
from gateway.core.sessions import Opening, Sessions
from gateway.entries.types import batch_body
from gateway.ids import DeviceId, LinkId, RunId, SessionId, SubjectRef
from gateway.rights.recording import Recording
from gateway.store.layout import Layout
from gateway.wire import frame, kinds
from gateway.wire import packet as wire

ORIGIN = "gw01.clinic.example/vrlog"
NAME = "gw01"
ACTOR = "uid:1000"
START_MS = 1_700_000_000_000
START_NS = 5_000_000_000
CYCLE_NS = 1_000_000_000
FRAMES_IN_PACKET = 4


class Bytes:
    """Bytes that look random and are the same in every run."""

    def __init__(self, seed: str) -> None:
        self._seed = seed.encode()
        self._count = 0

    def __call__(self, n: int) -> bytes:
        self._count += 1
        return hashlib.shake_256(self._seed + self._count.to_bytes(8, "big")).digest(n)


@dataclass
class Facts:
    """What stands in the store.

    Args:
        layout: where it is.
        sessions, subjects: in the order they were opened.
        frames: `(session, stream, first_sample, bytes)` in the order they were stored.
        batches, parts, entries, samples, packets: counts.
        refused: frames that were refused.
    """

    layout: Layout
    sessions: list[SessionId] = field(default_factory=list)
    subjects: list[SubjectRef] = field(default_factory=list)
    frames: list[tuple[SessionId, int, int, bytes]] = field(default_factory=list)
    batches: int = 0
    parts: int = 0
    entries: int = 0
    samples: int = 0
    packets: int = 0
    refused: int = 0


class Gateway:
    """The machines over an open store, and devices that bring what the test wants.

    Args:
        store: accepted.
        facts: kept up to date.
        seed: of everything random.
    """

    def __init__(self, store: Store, facts: Facts, seed: str = "store") -> None:
        self.store = store
        self.facts = facts
        self.random = Bytes(seed)
        self.now_ns, self.now_ms = START_NS, START_MS
        self.registry = Registry(Names(NAME, NAME), self.random, lambda: self.now_ns, store.boot)
        self.registry.utc_offset_ns = START_MS * 1_000_000 - START_NS
        state = store.state
        self.registry.restore(
            state.devices,
            state.pairings,
            state.sessions,
            state.links,
            state.streams,
            state.next_link,
            state.next_device,
        )
        self.recording = Recording()
        self.batcher = Batcher(CYCLE_NS, 1 << 30)
        self.admission = Admission(self.registry, self.recording.permit, lambda: self.recording.version, 64)
        keys = store.keys
        self.ledger = Ledger(keys.origin, keys.log_keys, keys.entry, store.frontier, store.tails)
        self.sessions = Sessions(
            self.registry, self.batcher, self.ledger.gateway, store.subjects.key, lambda session: None
        )
        self.next_batch = state.next_batch
        self.seq = 0

    def subject(self, pseudonym: str) -> SubjectRef:
        """A new subject with a key."""
        ref = SubjectRef(self.random(16))
        self.store.subjects.create(ref, pseudonym, self.random(32))
        self.facts.subjects.append(ref)
        return ref

    def open_session(self, pseudonym: str, devices: int = 1) -> list[Link]:
        """A subject, devices, and a session with a link each."""
        subject = self.subject(pseudonym)
        numbers = []
        for _ in range(devices):
            number = DeviceId(self.registry.next_device)
            self.registry.add_device(Device(number, f"headset {number}", self.random(32), "active", START_MS))
            numbers.append(number)
        asked = Opening(
            tuple(numbers), subject, pseudonym, "care", (kinds.POSE, kinds.GAZE, kinds.MARKER), ACTOR
        )
        session, _ = self.sessions.open(asked, self.now_ns, self.now_ms)
        self.facts.sessions.append(session.session)
        return [self.link(session.session, number) for number in numbers]

    def link(self, session: SessionId, device: DeviceId, run: int | None = None) -> Link:
        """A link as after its handshake."""
        record = LinkRecord(
            link=LinkId(self.registry.take_link_number()),
            device=device,
            run=RunId(int.from_bytes(self.random(8), "big") if run is None else run),
            session=session,
            transport="udp",
            nonce_d=self.random(16),
            nonce_g=self.random(16),
            key=self.registry.devices[device].key,
            hello_seq=1,
            hello=b"",
            welcome=b"",
            established=True,
            state="live",
            fresh_ms=self.now_ms,
        )
        return self.registry.add_link(record, ("192.0.2.1", 4747))

    def data(self, link: Link, frames: list[frame.Frame], totals: dict[int, int] | None = None) -> None:
        """A DATA packet with these frames; totals are at least what the frames need."""
        told = dict(totals or {})
        for item in frames:
            last = item.first_sample + frame.sample_count(item)
            told[item.stream] = max(told.get(item.stream, 0), last)
        self.seq += 1
        self.now_ns += 1_000_000
        self.now_ms += 1
        header = wire.Header(wire.DATA, link.number, self.seq, self.now_ns - 400_000)
        body = frame.Data(0, sorted(told.items()), frames)
        packet = self.admission.data(link, header, self.now_ns, body, self.now_ns)
        link.pending.append(packet)
        self.registry.touched[link.number] = link
        self.batcher.add([packet], self.now_ns, self.now_ms)
        self.facts.packets += 1
        self.facts.refused += len(packet.refused)
        for kept in packet.frames:
            self.facts.frames.append((packet.session, kept.frame.stream, kept.frame.first_sample, kept.data))
            self.facts.samples += kept.count

    async def cycle(self) -> None:
        """Seal, anchor, commit and advance, as the spine does."""
        registry = self.registry
        self.sessions.close_ended(self.now_ms)
        self.batcher.changed(registry.changed_streams.values(), self.now_ns, self.now_ms)
        opened_ms = self.batcher.opened_ms
        batch = self.batcher.seal(
            registry.sessions.__getitem__,
            lambda session: self.store.subjects.key(session.subject),
            self.recording.permit,
            self.random,
            self.now_ns,
        )
        for link in registry.touched.values():
            link.settle(0)
        cycle = Cycle(registry.staged, self.store.boot, batch)
        cycle.writes.streams = list(registry.changed_streams.values())
        cycle.writes.links = [link.record for link in registry.touched.values()]
        bodies = []
        if batch is not None:
            cycle.number, self.next_batch = self.next_batch, self.next_batch + 1
            cycle.opened_s, cycle.sealed_s = opened_ms // 1000, self.now_ms // 1000
            counts = (len(batch.parts), batch.frames, batch.samples, batch.refused)
            bodies.append(
                batch_body(
                    self.ledger.gateway,
                    self.now_ms,
                    cycle.number,
                    batch.root,
                    *counts,
                    cycle.opened_s,
                    cycle.sealed_s,
                )
            )
            self.facts.batches += 1
            self.facts.parts += len(batch.parts)
        bodies += self.sessions.bodies
        self.sessions.bodies = []
        registry.staged, registry.changed_streams, registry.touched = Writes(), {}, {}
        cycle.plan = self.ledger.plan(bodies) if bodies else None
        if cycle.writes or cycle.plan is not None:
            await commit(self.store.disk, cycle)
        if cycle.plan is not None:
            self.ledger.advance(cycle.plan)
        self.facts.entries = self.ledger.size
        self.sessions.drop_closed()
        self.now_ns += CYCLE_NS
        self.now_ms += 1000

    async def close_session(self, session: SessionId) -> None:
        """Close a session at once, whatever its devices still hold."""
        self.sessions.close(self.registry.sessions[session], ACTOR, "done", True, self.now_ns, self.now_ms)
        await self.cycle()


def pose(stream: int, first: int, count: int) -> frame.Frame:
    """A pose frame whose every sample differs."""
    records = np.zeros(count, kinds.POSE_DTYPE)
    numbers = np.arange(first, first + count)
    records["t_capture_ns"] = 1_000_000_000 + numbers * 11_111_111
    records["flags"] = 0x0F
    records["position_m"] = np.stack([numbers * 0.001, numbers * 0.002, numbers % 7], axis=1)
    records["orientation"][:, 3] = 1
    return frame.Frame(stream, kinds.POSE, first, records.tobytes())


def marker(stream: int, first: int, text: str) -> frame.Frame:
    """A marker: a kind of variable size."""
    kind = kinds.KINDS[kinds.MARKER]
    record = np.zeros(1, kind.dtype)
    record["t_capture_ns"] = 1_000_000_000 + first
    record["length"] = len(text.encode())
    return frame.Frame(stream, kinds.MARKER, first, record.tobytes() + text.encode())


async def open_gateway(layout: Layout, facts: Facts | None = None, seed: str = "again") -> Gateway:
    """Start on a store that is there; `await gateway.store.close()` ends it."""
    return Gateway(await open_store(layout), facts or Facts(layout), seed)


async def make_store(
    path: Path,
    batches: int = 3,
    sessions: int = 2,
    frames: int = 20,
    samples: int = 3,
    streams: int = 2,
    close: int = 1,
    seed: str = "store",
    hole: bool = True,
    between: Callable[[Gateway, int], None] | None = None,
) -> Facts:
    """Make a store and fill it.

    Args:
        path: data directory, not there yet.
        batches: cycles with frames.
        sessions: open beside each other; each has one device and one link.
        frames: of each session in each batch.
        samples: in each frame.
        streams: of each device.
        close: how many of the sessions are closed at the end.
        seed: of all that is random but the keys.
        hole: leave samples missing, and have some refused, in each session.
        between: called with each batch's number before it is sealed.
    """
    layout = Layout(path)
    await init_store(layout, ORIGIN, NAME, ACTOR)
    facts = Facts(layout)
    gateway = await open_gateway(layout, facts, seed)
    try:
        links = [gateway.open_session(f"P-{number:03}")[0] for number in range(sessions)]
        await gateway.cycle()
        heads = {link.number: [0] * streams for link in links}
        for batch in range(batches):
            for link in links:
                made: list[frame.Frame] = []
                at = heads[link.number]
                for number in range(frames):
                    stream = number % streams
                    made.append(pose(stream, at[stream], samples))
                    at[stream] += samples
                for first in range(0, frames, FRAMES_IN_PACKET):
                    gateway.data(link, made[first : first + FRAMES_IN_PACKET])
                if hole:
                    at[0] += 2
                    refused = frame.Frame(9, kinds.HAND, batch, bytes(kinds.KINDS[kinds.HAND].sample_bytes))
                    gateway.data(link, [marker(8, batch, f"mark {batch}"), refused], {0: at[0]})
            if between is not None:
                between(gateway, batch + 1)
            await gateway.cycle()
        for session in facts.sessions[:close]:
            await gateway.close_session(session)
    finally:
        await gateway.store.close()
    return facts


def copy_store(facts: Facts, path: Path) -> Facts:
    """A copy of a closed store, for a test that damages it."""
    shutil.copytree(facts.layout.data_dir, path)
    return Facts(
        Layout(path),
        facts.sessions,
        facts.subjects,
        facts.frames,
        facts.batches,
        facts.parts,
        facts.entries,
        facts.samples,
        facts.packets,
        facts.refused,
    )
