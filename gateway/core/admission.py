"""Frames of an authenticated packet: which may be stored, which are refused and why, and how the sums move.

The second half of hop 2. A packet's totals are checked before anything is taken from it; then each frame is decided
alone, so that a bad frame costs only itself (VT1, "Accounting", "Reasons"). Values (NaN where a bit says valid) are
checked at the seal, for all frames of a stream together: `core/batcher`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from gateway.core import accounting
from gateway.core.effects import AdmittedFrame, AdmittedPacket
from gateway.core.link import Link
from gateway.core.records import Session
from gateway.core.registry import Registry
from gateway.errors import WireError
from gateway.ids import DeviceId, SessionId, StreamId
from gateway.permit import Permit
from gateway.wire import frame, kinds
from gateway.wire import packet as wire

MAX_STREAMS_PER_SESSION: Final = (
    1024  # the last part of a session tells them all, and its header must fit the vault
)
_BEYOND = "a frame beyond the total that its own packet tells"
AskPermit = Callable[[Session, int, int], Permit]


class Admission:
    """Decides frames, over the registry's tables.

    Args:
        registry: devices, sessions, links and streams.
        permit: `permit(session, kind, now_ns)`; asked once for each (session, kind) while its answer stands.
        permit_version: the version of the rules now in force.
        streams_per_link: streams that one link may name.
    """

    def __init__(
        self, registry: Registry, permit: AskPermit, permit_version: Callable[[], int], streams_per_link: int
    ) -> None:
        self._registry = registry
        self._permit = permit
        self._permit_version = permit_version
        self._version = permit_version()
        self._streams: dict[tuple[SessionId, DeviceId], int] = {}
        self._streams_per_link = streams_per_link
        self.refused: Counter[str] = Counter()
        # Let in since whoever reports last took them.
        self.frames = 0
        self.samples = 0

    def begin(self) -> None:
        """Before a slab: the rules now in force; they change only between slabs."""
        self._version = self._permit_version()

    def data(
        self, link: Link, header: wire.Header, arrived_ns: int, data: frame.Data, now_ns: int
    ) -> AdmittedPacket:
        """Decide every frame of a DATA packet.

        Returns:
            The packet with its frames and refusals, also when none may be stored.

        Raises:
            WireError: the whole packet is refused: `no_session`, `totals`, `too_many_streams`.
        """
        record = link.record
        if not record.session:
            raise WireError("no_session", "DATA on a link that waits for a session")
        self.announce(link, data.totals, data.frames)
        packet = AdmittedPacket(record.session, record.link, header.seq, header.t_send_ns, arrived_ns, [], [])
        for item in data.frames:
            reason = self._frame(link, item, packet, now_ns)
            if reason:
                self.refused[reason] += 1
                packet.refused.append((item.stream, reason))
        return packet

    def announce(self, link: Link, totals: list[tuple[int, int]], frames: Sequence[frame.Frame] = ()) -> None:
        """Check totals, all of them before any is taken, and let them grow the streams' sums."""
        streams = link.streams
        if len(frames) > 1:
            told = dict(totals)
            for item in frames:
                if told.get(item.stream, 0) <= item.first_sample:
                    raise WireError("totals", _BEYOND)
        elif frames:
            # The common packet, one frame: no dictionary is made for it.
            item = frames[0]
            for number, total in totals:
                if number == item.stream and total > item.first_sample:
                    break
            else:
                raise WireError("totals", _BEYOND)
        new = unknown = 0
        for number, total in totals:
            known = streams.get(number)
            if known is None:
                known = self._registry.known_stream(link.record, StreamId(number))
                new += 1
                unknown += known is None
            if total - (known.total if known else 0) > accounting.MAX_JUMP:
                raise WireError("totals", f"a total that grows by more than {accounting.MAX_JUMP} samples")
        if new and len(streams) + new > self._streams_per_link:
            raise WireError("too_many_streams", "more streams than a link may have")
        if not link.record.session:
            return
        if unknown:
            self._count_streams(link, unknown)
        for number, total in totals:
            stream = streams.get(number)
            if stream is None:
                stream = streams[number] = self._registry.stream(link.record, StreamId(number))
            if total > stream.total:
                stream.total = total
                self._registry.changed_streams[id(stream)] = stream

    def _count_streams(self, link: Link, new: int) -> None:
        """Bound the streams of a device in a session, over all its links and runs."""
        record = link.record
        key = (record.session, record.device)
        count = self._streams.get(key)
        if count is None:
            count = sum(stream[:2] == key for stream in self._registry.streams)
        session = self._registry.sessions.get(record.session)
        if count + new > MAX_STREAMS_PER_SESSION // max(1, len(session.devices) if session else 1):
            raise WireError("too_many_streams", "more streams than a device may have in a session")
        self._streams[key] = count + new

    def forget(self, session: SessionId) -> None:
        """A session is over."""
        for key in [key for key in self._streams if key[0] == session]:
            del self._streams[key]

    def _frame(self, link: Link, item: frame.Frame, packet: AdmittedPacket, now_ns: int) -> str:
        """Admit one frame; returns why not, or the empty string."""
        try:
            count = frame.sample_count(item)
        except WireError as error:
            return error.code
        stream = link.streams[item.stream]
        kind = item.kind
        if stream.kind != kind:
            if stream.kind:
                return "kind_changed"
            stream.kind = kind
        first = item.first_sample
        last = first + count - 1
        if last >= stream.total:
            return "totals"
        lasts = stream.accounted.lasts
        if lasts and first <= lasts[-1] and stream.accounted.overlaps(first, last):
            return accounting.touches(stream, first, count)
        session = self._registry.sessions.get(link.record.session)
        permit = link.permits.get(kind)
        if (
            permit is None
            or session is None
            or session.state != "open"
            or not permit.allowed
            or permit.version != self._version
            or permit.until_ns <= now_ns
        ):
            reason = self._why_not(link, session, item, now_ns)
            if reason:
                accounting.refuse(stream, first, count, reason)
                self._registry.changed_streams[id(stream)] = stream
                return reason
        if lasts and first == lasts[-1] + 1:
            # In order, as nearly always; what `accounting.store` would do.
            lasts[-1] = last
            stream.stored += count
        else:
            accounting.store(stream, first, count)
        self._registry.changed_streams[id(stream)] = stream
        self.frames += 1
        self.samples += count
        if kind == kinds.CLOCK:
            link.clock.probe(item.samples)
        packet.frames.append(AdmittedFrame(stream, item, frame.encode_frame(item), count))
        return ""

    def _why_not(self, link: Link, session: Session | None, item: frame.Frame, now_ns: int) -> str:
        if session is None:
            return "closed"
        permits = link.permits
        permit = permits.get(item.kind)
        if permit is None or permit.until_ns <= now_ns or permit.version != self._version:
            permit = permits[item.kind] = self._permit(session, item.kind, now_ns)
        if not permit.allowed:
            return permit.reason
        if session.state == "draining":
            limit_ns = self._registry.closed_at_ns(session)
            if link.clock.captured_after(kinds.KINDS[item.kind], item.samples, limit_ns, now_ns):
                return "closed"
        return ""
