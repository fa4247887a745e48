"""Sample numbers, totals, times: one run of a device in one session (SPEC, "Accounting")."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from gateway.app.plugin_check.motion import Tracker
from gateway.app.plugin_check.say import Finding
from gateway.errors import WireError
from gateway.wire import frame as frames
from gateway.wire import kinds

MAX_JUMP: Final = 2**24
MAX_STREAMS: Final = 128  # of a run; a device may name 64 on a link
LATE_S: Final = 60


@dataclass(slots=True)
class _Stream:
    kind: int
    next_sample: int = 0
    total: int = 0
    newest_ns: int | None = None
    frames: int = 0
    trackers: dict[int, Tracker] = field(default_factory=dict)


class Numbering:
    """What a run told of its streams in one session."""

    def __init__(self) -> None:
        self.streams: dict[int, _Stream] = {}
        self.described: set[int] = set()
        self.facts: Counter[str] = Counter()

    def head(self) -> Tracker | None:
        """Poses of the head, if any came."""
        for stream in self.streams.values():
            if 0 in stream.trackers:
                return stream.trackers[0]
        return None

    def totals(self, totals: list[tuple[int, int]]) -> list[Finding]:
        """What a fresh packet tells."""
        findings = []
        for number, total in totals:
            stream = self.streams.get(number)
            before = stream.total if stream is not None else 0
            if total < before:
                findings.append(
                    Finding(
                        "totals.fall",
                        13,
                        f"the total of stream {number} falls from {before} to {total}",
                        "count at capture, over all links of a session and run",
                        fails=False,
                    )
                )
            if total - before > MAX_JUMP:
                findings.append(
                    Finding(
                        "totals.jump",
                        13,
                        f"the total of stream {number} grows by {total - before} at once",
                        "at most 2^24 in one packet; is it a byte order or a wrapped number?",
                    )
                )
            if stream is not None:
                stream.total = max(before, total)
        return findings

    def data(self, data: frames.Data) -> list[Finding]:
        """A fresh DATA packet whose fields are in range."""
        findings: list[Finding] = []
        told = dict(data.totals)
        seen: set[int] = set()
        for item in data.frames:
            if item.stream in seen:
                findings.append(
                    Finding(
                        "frames.twice",
                        10,
                        f"two frames of stream {item.stream} in one packet",
                        "make the first one longer, or use another packet",
                    )
                )
            seen.add(item.stream)
            try:
                count = frames.sample_count(item)
            except WireError:
                continue
            if item.stream not in told:
                findings.append(
                    Finding(
                        "totals.missing",
                        13,
                        f"stream {item.stream} has a frame and no total",
                        "tell the total of every stream that the packet carries",
                    )
                )
            elif told[item.stream] < item.first_sample + count:
                last = item.first_sample + count - 1
                what = (
                    f"the total {told[item.stream]} of stream {item.stream} does not cover its sample {last}"
                )
                findings.append(
                    Finding("totals.short", 13, what, "total = last sample number + 1, counted at capture")
                )
            findings += self._frame(item, count)
        return findings + self.totals(data.totals)

    def _frame(self, item: frames.Frame, count: int) -> list[Finding]:
        stream = self.streams.get(item.stream)
        first, name = item.first_sample, kinds.KINDS[item.kind].name
        findings = []
        if stream is None:
            if len(self.streams) >= MAX_STREAMS:
                return []
            stream = self.streams[item.stream] = _Stream(item.kind)
            if first:
                findings.append(
                    Finding(
                        "numbers.start",
                        15,
                        f"stream {item.stream} ({name}) begins with sample {first}",
                        "in another session or run all streams begin at 0",
                        fails=False,
                    )
                )
        elif stream.kind != item.kind:
            was = kinds.KINDS[stream.kind].name
            findings.append(
                Finding(
                    "numbers.kind",
                    2,
                    f"stream {item.stream} was {was} and is {name} now",
                    "a stream keeps its kind",
                )
            )
            return findings
        elif first < stream.next_sample:
            what = f"stream {item.stream} ({name}) numbers {first} again; {stream.next_sample} was next"
            findings.append(
                Finding(
                    "numbers.again",
                    14,
                    what,
                    "never number a sample twice; after a pause go on where it stopped",
                )
            )
        elif first > stream.next_sample:
            what = f"stream {item.stream} ({name}) goes from sample {stream.next_sample - 1} to {first}"
            findings.append(
                Finding(
                    "numbers.gap",
                    13,
                    what,
                    "no holes, unless a full ring or queue lost samples that were numbered",
                    fails=False,
                )
            )
        stream.next_sample = max(stream.next_sample, first + count)
        stream.frames += 1
        self.facts[f"kind.{name}"] += count
        if item.kind == kinds.INFO:
            self._described(item.samples)
        return findings + self._times(stream, item)

    def _described(self, data: bytes) -> None:
        import msgspec

        try:
            told = msgspec.json.decode(data[kinds.INFO_HEADER.itemsize :])
        except (msgspec.DecodeError, RecursionError):
            return
        if isinstance(told, dict) and isinstance(told.get("stream"), int):
            self.described.add(told["stream"])

    def _times(self, stream: _Stream, item: frames.Frame) -> list[Finding]:
        kind = kinds.KINDS[item.kind]
        times = kinds.capture_times(kind, item.samples)
        # As Python's integers: a clock at the ends of its range must not wrap here.
        before = stream.newest_ns if stream.newest_ns is not None else int(times[0])
        backwards = int(times[0]) < before
        if len(times) > 1:
            backwards = backwards or bool((times[1:] < times[:-1]).any())
        stream.newest_ns = max(before, int(times.max()))
        findings = []
        if backwards:
            findings.append(
                Finding(
                    "time.backwards",
                    18,
                    f"{kind.name}: capture times run backwards in stream {item.stream}",
                    "one monotonic clock for all streams, taken where the sample is made",
                    fails=False,
                )
            )
        if item.kind == kinds.POSE:
            rows = kinds.view(kind, item.samples)
            for number in np.unique(rows["tracker"])[:8]:
                tracker = stream.trackers.setdefault(int(number), Tracker())
                findings += tracker.add(rows[rows["tracker"] == number])
        return findings

    def undescribed(self) -> list[int]:
        """Streams without an info sample, but those that describe or measure."""
        return sorted(
            number
            for number, stream in self.streams.items()
            if number not in self.described and stream.kind not in (kinds.INFO, kinds.CLOCK)
        )
