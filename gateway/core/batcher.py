"""Hop 3, seal: gather admitted packets by session, and turn a cycle's worth into parts under one batch root.

A batch is due when the interval is over, when it is large enough, or when a session ends. The permit is asked again
at the seal: what lost it meanwhile is discarded, counted, and its bytes never reach the disk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gateway.core import accounting
from gateway.core.effects import AdmittedFrame, AdmittedPacket
from gateway.core.gather import Gathered
from gateway.core.observations import observe
from gateway.core.part import PART_ID_BYTES, Observation, SealedPart, StreamTotals, build
from gateway.core.records import Session, StreamRecord
from gateway.core.screening import Strand, screen
from gateway.errors import WireError
from gateway.ids import SessionId
from gateway.permit import Permit
from gateway.tlog import merkle
from gateway.wire.frame import check_samples


@dataclass(frozen=True, slots=True)
class SealedBatch:
    """The parts of one cycle and the root over their headers.

    Args:
        parts: `(session, part)` in order.
        root: RFC 6962 root over the part headers.
        frames, samples, refused: sums.
        withdrawn: reasons of what lost its permit at the seal, in frames.
        discarded: the packets those frames were in.
    """

    parts: list[tuple[SessionId, SealedPart]]
    root: bytes
    frames: int
    samples: int
    refused: int
    withdrawn: Counter[str]
    discarded: list[AdmittedPacket]


class Batcher:
    """The machine that seals.

    Args:
        interval_ns: longest time from the first packet to its seal.
        max_bytes: frame bytes at which a batch is due at once.
    """

    def __init__(self, interval_ns: int, max_bytes: int) -> None:
        self._interval_ns = interval_ns
        self._max_bytes = max_bytes
        self._sessions: dict[SessionId, Gathered] = {}
        self._bytes = 0
        self._due_ns: int | None = None
        self._opened_ms = 0

    @property
    def wake_at(self) -> int | None:
        """Monotonic time at which a batch is due; None while there is nothing to seal."""
        return self._due_ns

    @property
    def opened_ms(self) -> int:
        """UTC of the first thing that the next batch holds."""
        return self._opened_ms

    @property
    def full(self) -> bool:
        """Whether the batch has reached its size; nothing more should be admitted before it is sealed."""
        return self._bytes >= self._max_bytes

    def holds(self, session: SessionId) -> bool:
        """Whether something of a session waits for the seal."""
        return session in self._sessions

    def due(self, now_ns: int) -> bool:
        """Whether to seal now."""
        return self._due_ns is not None and (now_ns >= self._due_ns or self.full)

    def add(self, packets: Iterable[AdmittedPacket], now_ns: int, now_ms: int) -> None:
        """Gather admitted packets."""
        utc_offset_ns = now_ms * 1_000_000 - now_ns
        for packet in packets:
            gathered = self._sessions.get(packet.session)
            if gathered is None:
                gathered = self._sessions[packet.session] = Gathered()
            self._bytes += gathered.take(packet, utc_offset_ns)
            if self._due_ns is None:
                # From its arrival, not from now: what waited in the queue during a commit has waited already.
                self._begin(packet.arrived_ns, now_ms)

    def changed(self, streams: Iterable[StreamRecord], now_ns: int, now_ms: int) -> None:
        """Note streams whose sums changed: their session's next part tells them, even without frames."""
        for stream in streams:
            self._sessions.setdefault(stream.session, Gathered()).totals[stream.key] = stream
            self._begin(now_ns, now_ms)

    def end(self, session: SessionId, streams: Iterable[StreamRecord], now_ns: int, now_ms: int) -> None:
        """A session is over: its last part carries the totals of all its streams, and the batch is due now."""
        gathered = self._sessions.setdefault(session, Gathered())
        for stream in streams:
            gathered.totals[stream.key] = stream
        self._begin(now_ns, now_ms)
        self._due_ns = now_ns

    def expect(self, now_ns: int, now_ms: int) -> None:
        """A cycle is due after the interval even without frames: somebody waits for a receipt."""
        self._begin(now_ns, now_ms)

    def _begin(self, now_ns: int, now_ms: int) -> None:
        if self._due_ns is None:
            self._due_ns = now_ns + self._interval_ns
            self._opened_ms = now_ms

    def seal(
        self,
        session_of: Callable[[SessionId], Session],
        subject_key: Callable[[Session], bytes],
        permit: Callable[[Session, int, int], Permit],
        random: Callable[[int], bytes],
        now_ns: int,
    ) -> SealedBatch | None:
        """Seal everything that was gathered.

        Args:
            session_of: a session's record.
            subject_key: its subject's key, 32 bytes.
            permit: asked again, once for each session and kind.
            random: fresh bytes for part ids.
            now_ns: monotonic.

        Returns:
            The batch, or None when there is nothing to tell.
        """
        gathered, self._sessions = self._sessions, {}
        self._bytes, self._due_ns = 0, None
        withdrawn: Counter[str] = Counter()
        discarded: list[AdmittedPacket] = []
        for session_id, work in gathered.items():
            denied = _denied(session_of(session_id), work.strands, permit, now_ns)
            if denied:
                withdrawn += _discard(work, lambda item: denied.get(item.frame.kind, ""), discarded)  # noqa: B023
        suspects = screen(strand for work in gathered.values() for strand in work.strands.values())
        if suspects:
            for work in gathered.values():
                if suspects & work.strands.keys():
                    withdrawn += _discard(work, lambda item: _why_bad(item, suspects), discarded)
        parts: list[tuple[SessionId, SealedPart]] = []
        samples = refused = frames = 0
        for session_id, work in gathered.items():
            session = session_of(session_id)
            part = _part(session, work, subject_key(session), random(PART_ID_BYTES))
            parts.append((session_id, part))
            frames += part.core.counts[0]
            samples += part.core.counts[1]
            refused += sum([count for _, count in part.core.refusals])
        if not parts:
            return None
        root = merkle.root_of([merkle.leaf_hash(part.header) for _, part in parts])
        return SealedBatch(parts, root, frames, samples, refused, withdrawn, discarded)


def _denied(
    session: Session,
    strands: dict[int, Strand],
    permit: Callable[[Session, int, int], Permit],
    now_ns: int,
) -> dict[int, str]:
    """Kinds of a session that lost their permit since the admission, with the reason."""
    answers = {
        kind: permit(session, kind, now_ns) for kind in {strand.stream.kind for strand in strands.values()}
    }
    return {kind: answer.reason for kind, answer in answers.items() if not answer.allowed}


def _discard(
    work: Gathered, why: Callable[[AdmittedFrame], str], discarded: list[AdmittedPacket]
) -> Counter[str]:
    """Discard the frames for which `why` gives a reason: permit gone since the admission, or values that lie."""
    count: Counter[str] = Counter()
    for packet in work.packets:
        kept: list[AdmittedFrame] = []
        for item in packet.frames:
            reason = why(item)
            if not reason:
                kept.append(item)
                continue
            accounting.unstore(item.stream, item.count, reason)
            packet.refused.append((item.stream.stream, reason))
            count[reason] += 1
        if len(kept) != len(packet.frames):
            packet.frames = kept
            discarded.append(packet)
    if count:
        work.again()
    return count


def _why_bad(item: AdmittedFrame, suspects: set[int]) -> str:
    if id(item.stream) in suspects:
        try:
            check_samples(item.frame)
        except WireError as error:
            return error.code
    return ""


def _part(session: Session, work: Gathered, subject_key: bytes, part_id: bytes) -> SealedPart:
    observations: list[Observation] = []
    for strand in work.strands.values():
        if strand.odd:
            stream = strand.stream
            noticed, stream.last_ns = observe(
                stream.stream, stream.kind, strand.numbers, strand.samples, stream.last_ns
            )
            observations += noticed
    totals = [
        StreamTotals(
            s.device, s.run, s.stream, s.kind, s.total, s.stored, s.missing, sorted(s.refused.items())
        )
        for s in work.totals.values()
    ]
    return build(
        part_id,
        session.session,
        session.commitment,
        subject_key,
        bytes(work.arrivals),
        observations,
        work.leaves,
        work.samples,
        work.span_ns,
        totals,
        sorted(work.refusals.items()),
    )
