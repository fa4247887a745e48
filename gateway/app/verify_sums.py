"""Checks the sums: what part headers tell of a stream is what the accounting says, and what its frames hold.

Every sample is stored, refused or missing (VT1, "Accounting"). The newest header of a stream is the truth; where all
parts of a session could be opened, the samples in its frames are counted against it too, each number once.
"""

from __future__ import annotations

from bisect import bisect_right

from gateway.app.release import OpenedPart
from gateway.app.report import Findings
from gateway.core.part import ARRIVAL, Core, StreamTotals
from gateway.core.ranges import Ranges
from gateway.core.records import PartRow, StreamRecord
from gateway.errors import WireError
from gateway.ids import DeviceId, RunId, SessionId, StreamId, StreamKey
from gateway.store.snapshot import Snapshot
from gateway.wire.frame import decode_frame, sample_count


class Sums:
    """The sums of one check.

    Args:
        snapshot: the database.
        found: where to report to.
    """

    def __init__(self, snapshot: Snapshot, found: Findings) -> None:
        self._snapshot = snapshot
        self._found = found
        self._owners = snapshot.link_owners()
        self._told: dict[StreamKey, StreamTotals] = {}
        self._held: dict[StreamKey, Ranges] = {}
        self._unopened: set[SessionId] = set()
        self._unread: set[SessionId] = set()

    def told(self, row: PartRow, core: Core) -> None:
        """What a part's header says; it replaces what earlier ones said."""
        for totals in core.totals:
            key = (row.session, DeviceId(totals.device), RunId(totals.run), StreamId(totals.stream))
            refused = sum(count for _, count in totals.refused)
            before = self._told.get(key)
            if totals.total != totals.stored + refused + totals.missing or totals.missing < 0:
                self._fault("sum", "a part tells a sum that does not close", row)
            elif before is not None and (totals.total < before.total or totals.stored < before.stored):
                self._fault("sum", "a part tells less of a stream than an earlier one", row)
            self._told[key] = totals

    def opened(self, row: PartRow, part: OpenedPart) -> None:
        """What a part holds: arrivals and frames, each frame decoded and counted."""
        frames = iter(enumerate(part.payload.frames))
        first_ns = last_ns = samples = refused = packets = 0
        for link, _, _, arrived_ns, _, n_frames, n_refused in ARRIVAL.iter_unpack(part.payload.arrivals):
            first_ns, last_ns = first_ns or arrived_ns, arrived_ns
            packets += 1
            refused += n_refused
            owner = self._owners.get(link)
            if owner is None or owner[0] != row.session:
                self._fault("arrival", "a packet came on a link that is not one of the session", row)
                return self.unopened(row)
            for _ in range(n_frames):
                index, data = next(frames, (-1, b""))
                if index < 0:
                    self._fault("arrival", "the packets of a part brought more frames than it holds", row)
                    return self.unopened(row)
                samples += self._frame(row, owner, index, data)
        if next(frames, None) is not None:
            self._fault("arrival", "a part holds more frames than its packets brought", row)
        says = (part.core.counts[1], part.core.counts[2], part.core.first_ns, part.core.last_ns)
        if says != (samples, packets, first_ns, last_ns):
            self._fault("part_counts", "a part holds other counts than its header says", row)
        if refused != sum(count for _, count in part.core.refusals):
            self._fault("part_counts", "a part refused another number of frames than its header says", row)
        return None

    def _frame(self, row: PartRow, owner: tuple[SessionId, DeviceId, RunId], index: int, data: bytes) -> int:
        try:
            frame = decode_frame(data)
            count = sample_count(frame)
        except WireError as error:
            self._fault("frame", f"frame {index}: {error.message}", row, frame=index)
            return 0
        held = self._held.setdefault((*owner, StreamId(frame.stream)), Ranges())
        first, last = frame.first_sample, frame.first_sample + count - 1
        if held.overlaps(first, last):
            self._fault("frame", f"frame {index} holds samples that an earlier one holds", row, frame=index)
        held.add(first, last)
        return count

    def unopened(self, row: PartRow) -> None:
        """A part was not opened, so the samples of its session cannot be counted."""
        self._unopened.add(row.session)

    def unread(self, row: PartRow) -> None:
        """Nothing of a part could be read, so not even the newest totals of its session are known."""
        self._unread.add(row.session)
        self._unopened.add(row.session)

    def check(self) -> None:
        """Hold everything against the accounting.

        Raises:
            Damage: the first fault, if that ends the check.
        """
        for stream in self._snapshot.iter_streams():
            told = self._told.pop(stream.key, None)
            if stream.session not in self._unread:
                self._stream(stream, told)
            if stream.session not in self._unopened:
                self._samples(stream, self._held.get(stream.key, Ranges()))
        for key in self._told:
            if key[0] not in self._unread:
                self._found.fault(
                    "stream_missing", "a stream that parts tell of has no accounting", **_of(key)
                )

    def _stream(self, stream: StreamRecord, told: StreamTotals | None) -> None:
        refused = sorted(stream.refused.items())
        if told is None:
            if stream.total or stream.stored or refused:
                self._found.fault("stream", "a stream's accounting is in no part", **_of(stream.key))
            return
        says = (stream.kind, stream.total, stream.stored, stream.missing, refused)
        if says != (told.kind, told.total, told.stored, told.missing, told.refused):
            self._found.fault(
                "stream", "a stream's accounting is not what its newest part tells", **_of(stream.key)
            )

    def _samples(self, stream: StreamRecord, held: Ranges) -> None:
        settled = stream.stored + sum(stream.refused.values())
        if held.count() != stream.stored:
            self._found.fault(
                "stream", "a stream does not hold the samples that it counts", **_of(stream.key)
            )
        elif not settled <= stream.accounted.count() <= stream.total or any(
            not _within(stream.accounted, first, last) for first, last in held
        ):
            self._found.fault(
                "stream", "a stream's settled numbers are not those it holds", **_of(stream.key)
            )

    def _fault(self, code: str, message: str, row: PartRow, **more: int) -> None:
        place = {"batch": row.batch, "part": row.part, "segment": row.segment, "offset": row.offset}
        self._found.fault(code, message, **place, **more)


def _within(numbers: Ranges, first: int, last: int) -> bool:
    at = bisect_right(numbers.firsts, first) - 1
    return at >= 0 and last <= numbers.lasts[at]


def _of(key: StreamKey) -> dict[str, int | str]:
    session, device, run, stream = key
    return {"session": session.hex(), "device": device, "run": f"{run:016x}", "stream": stream}
