"""Everything the spine works with, in one place: the machines, the disk, and whom to tell."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gateway import events
from gateway.app.cycle import Cycle
from gateway.app.observe import Observer
from gateway.core import commands
from gateway.core.batcher import Batcher, SealedBatch
from gateway.core.effects import Acknowledge, Effect, MqttSource, Send
from gateway.core.fairqueue import FairQueue
from gateway.core.intake import Intake
from gateway.core.ledger import Ledger
from gateway.core.link import Outcome
from gateway.core.records import Session
from gateway.core.registry import Registry
from gateway.core.sessions import Sessions
from gateway.ids import SessionId, SubjectRef
from gateway.rights.recording import Recording
from gateway.store.disk import Disk

HOLD_TOLD: Final = {"disk_low": "disk_full", "disk_full": "disk_full"}
"""Why nothing can be stored -> what devices are told. They learn it where room is what is missing."""


@dataclass(slots=True)
class Floors:
    """Free disk below which nothing begins, in bytes: for batches, and for urgent entries."""

    batch_bytes: int = 64 << 20
    urgent_bytes: int = 16 << 20


@dataclass(slots=True)
class Totals:
    """Sums since the start, for `status` and `/metrics`."""

    batches: int = 0
    frames: int = 0
    samples: int = 0
    payload_bytes: int = 0
    commit_ms: int = 0
    admitted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    frames_refused: Counter[str] = field(default_factory=Counter)
    shed: Counter[str] = field(default_factory=Counter)


class House:
    """The machines of one gateway and what connects them.

    Args:
        queue: between the network and the spine.
        registry, intake, batcher, ledger, sessions: the machines.
        recording: rules of `permit`.
        subject_key: a subject's key by its reference; from memory.
        disk: the store.
        observer: takes events.
        boot: number of this start.
        next_batch: number of the next batch.
        link_keep_s: how long an idle link is kept.
        floors: free disk that must remain.
        utc_ns: the UTC clock; simulations have their own.
    """

    def __init__(
        self,
        queue: FairQueue,
        registry: Registry,
        intake: Intake,
        batcher: Batcher,
        ledger: Ledger,
        sessions: Sessions,
        recording: Recording,
        subject_key: Callable[[SubjectRef], bytes],
        disk: Disk,
        observer: Observer,
        boot: int,
        next_batch: int,
        link_keep_s: int,
        floors: Floors,
        utc_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.queue = queue
        queue.know(registry.links, int.from_bytes(registry.random(4), "little"))
        self.registry = registry
        self.intake = intake
        self.batcher = batcher
        self.ledger = ledger
        self.sessions = sessions
        self.recording = recording
        self.disk = disk
        self.observer = observer
        self.boot = boot
        self.link_keep_s = link_keep_s
        self.totals = Totals()
        self.checkpoint = b""
        self.may_sign = True
        self.last_commit_ns = registry.clock_ns()
        self.turned_ns = registry.clock_ns()
        self.held = ""
        self.held_ns = 0
        self.on_head: Callable[[], None] = lambda: None
        self.on_devices: Callable[[], None] = lambda: None
        self.on_outcome: Callable[[Outcome], None] = lambda outcome: None
        self.udp: Callable[[Send], None] = lambda send: None
        self.mqtt: Callable[[Send], None] = lambda send: None
        self.puback: Callable[[Acknowledge], None] = lambda acknowledge: None
        self._subject_key = subject_key
        self._next_batch = next_batch
        self._floors = floors
        self._utc_ns = utc_ns
        self._outcomes: Counter[tuple[str, str]] = Counter()

    # ---- clocks and numbers -----------------------------------------------------------------------------------

    def utc_ms(self) -> int:
        """UTC in milliseconds, and with it the offset of the two clocks for arrival records."""
        self.turned_ns = self.registry.clock_ns()
        now_ns = self._utc_ns()
        self.registry.utc_offset_ns = now_ns - self.turned_ns
        return now_ns // 1_000_000

    def take_batch_number(self) -> int:
        """The next batch's number; a batch that is retried keeps it."""
        number = self._next_batch
        self._next_batch += 1
        return number

    # ---- hops -------------------------------------------------------------------------------------------------

    def seal(self, now_ns: int) -> SealedBatch | None:
        """Hop 3: seal what was gathered."""
        registry = self.registry
        batch = self.batcher.seal(
            self._session,
            lambda session: self._subject_key(session.subject),
            self.recording.permit,
            registry.random,
            now_ns,
        )
        if batch is not None:
            self.intake.admission.refused += batch.withdrawn
            for packet in batch.discarded:
                link = registry.links.get(packet.link)
                if link is not None:
                    link.discard(packet)
        return batch

    def _session(self, session: SessionId) -> Session:
        return self.registry.sessions[session]

    def no_room(self, urgent: bool) -> str:
        """Why no cycle may begin now; empty when one may."""
        floor = self._floors.urgent_bytes if urgent else self._floors.batch_bytes
        return "disk_low" if self.disk.free_bytes() < floor else ""

    def publish(self) -> None:
        """Sign the checkpoint of the durable head, and let who serves it know."""
        if not self.may_sign:
            return  # our log turned up elsewhere while this was being committed
        self.checkpoint = self.ledger.checkpoint()
        self.on_head()

    def send(self, effect: Send) -> None:
        """Hop 6: a packet to a device."""
        if isinstance(effect.source, MqttSource):
            self.mqtt(effect)
        else:
            self.udp(effect)

    def acknowledge(self, effect: Acknowledge) -> None:
        """Hop 6: a PUBACK."""
        self.puback(effect)

    # ---- events -----------------------------------------------------------------------------------------------

    def hold(self, why: str, now_ns: int) -> list[Effect]:
        """Nothing begins for now; returns what devices are told, once in such a period."""
        if not self.held:
            self.held_ns = now_ns
        self.held = why
        self.observer.emit(events.CycleHeld(events.reason(why)))
        if why == "disk_low":
            self.observer.emit(events.DiskLow(self.disk.free_bytes()))
        told = HOLD_TOLD.get(why)
        return commands.hold(self.registry, told, now_ns) if told and not self.registry.holding else []

    def ready(self) -> None:
        """It goes on."""
        self.held = ""
        self.observer.emit(events.CycleResumed((self.registry.clock_ns() - self.held_ns) // 1_000_000))
        commands.release(self.registry)
        self.answered()

    def answered(self) -> None:
        """What became of commands: counted, and told to whoever asked for one."""
        outcomes, self.registry.outcomes = self.registry.outcomes, []
        for outcome in outcomes:
            self._outcomes[outcome.verb, outcome.result] += 1
            self.on_outcome(outcome)

    def committed(self, cycle: Cycle, seal_ms: int, commit_ms: int) -> None:
        """A cycle is durable."""
        self.last_commit_ns = self.registry.clock_ns()
        totals = self.totals
        totals.commit_ms = commit_ms
        if cycle.batch is not None:
            size = sum(len(part.payload) for _, part in cycle.batch.parts)
            totals.batches += 1
            totals.frames += cycle.batch.frames
            totals.samples += cycle.batch.samples
            totals.payload_bytes += size
            self.observer.emit(
                events.BatchCommitted(
                    cycle.number,
                    len(cycle.batch.parts),
                    cycle.batch.frames,
                    cycle.batch.samples,
                    size,
                    seal_ms,
                    commit_ms,
                    self.ledger.size,
                )
            )

        if cycle.writes.pairings or cycle.writes.devices:
            self.on_devices()
        types = Counter(cycle.plan.types if cycle.plan is not None else [])
        del types["batch"]
        for kind, count in types.items():
            self.observer.emit(events.EntriesCommitted(events.entry_word(kind), count))

    def told(self, receipts: int, closed: int) -> None:
        """What followed a commit.

        Args:
            receipts: that went to devices.
            closed: sessions that are complete with it.
        """
        if receipts:
            self.observer.emit(events.ReceiptsSent(receipts))
        for _ in range(closed):
            self.observer.emit(events.SessionClosed())

    def report(self) -> None:
        """Once a second: what was let in, refused and shed since the last time, one event for each reason."""
        intake, registry, totals = self.intake, self.registry, self.totals
        admission = intake.admission
        if intake.accepted > totals.admitted:
            self.observer.emit(events.PacketsAdmitted(intake.accepted - totals.admitted))
            totals.admitted = intake.accepted
        if admission.frames:
            self.observer.emit(events.FramesAdmitted(admission.frames, admission.samples))
        admission.frames = admission.samples = 0
        for reason, count in intake.refused.items():
            self.observer.emit(events.PacketsRefused(events.reason(reason), count))
        for reason, count in intake.admission.refused.items():
            self.observer.emit(events.FramesRefused(events.reason(reason), count))
        for reason, count in registry.shed.items():
            self.observer.emit(events.PacketsShed(events.reason(reason), count))
        for _ in range(registry.new_pairs):
            self.observer.emit(events.DevicePaired())
        for state, count in registry.welcomed.items():
            self.observer.emit(events.DevicesWelcomed(state, count))  # type: ignore[arg-type]
        self._report_commands()
        totals.refused += intake.refused
        totals.frames_refused += intake.admission.refused
        totals.shed += registry.shed
        intake.refused, intake.admission.refused = Counter(), Counter()
        registry.shed, registry.welcomed, registry.new_pairs = Counter(), Counter(), 0

    def _report_commands(self) -> None:
        registry = self.registry
        for verb, count in registry.commanded.items():
            self.observer.emit(events.CommandsSent(events.command_verb(verb), count))
        for (verb, result), count in self._outcomes.items():
            self.observer.emit(
                events.CommandsAnswered(events.command_verb(verb), events.command_result(result), count)
            )
        for _ in range(registry.rotated):
            self.observer.emit(events.KeyRotated())
        self._outcomes, registry.commanded, registry.rotated = Counter(), Counter(), 0
