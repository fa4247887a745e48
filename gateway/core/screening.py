"""One look at all samples of a batch, kind by kind: which streams need a closer look at the seal.

Most streams have nothing wrong and nothing odd. To find that out stream by stream costs a dozen small array operations
for each of hundreds of streams a second; over all samples of a kind together it costs a dozen in all. A stream that is
named here is then looked at alone: its values by `wire/frame.check_samples`, its times by `core/observations`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from gateway.core.observations import FIRST_VALUES, REGULAR, STEP_NS, end_of_highest
from gateway.core.records import StreamRecord
from gateway.ids import SessionId
from gateway.wire import kinds
from gateway.wire.frame import samples_pass


@dataclass(slots=True)
class Strand:
    """The samples of one stream in one batch, in order of arrival.

    Args:
        stream: its accounting.
        numbers: `(first_sample, count)` of each frame.
        samples: the frames' records.
        odd: whether `observe` may find something.
    """

    stream: StreamRecord
    numbers: list[tuple[int, int]] = field(default_factory=list)
    samples: list[bytes] = field(default_factory=list)
    odd: bool = True


def screen(strands: Iterable[Strand]) -> set[int]:
    """Look at all strands of a batch, and mark which of them are odd.

    A strand that is not odd gets its stream's `last_ns` here. For one that is, `last_ns` is left as `observe` wants
    it: the time of the sample before its first one, or 0.

    Returns:
        `id` of the stream records with a value that may be wrong.
    """
    by_kind: dict[int, list[Strand]] = {}
    for strand in strands:
        by_kind.setdefault(strand.stream.kind, []).append(strand)
    suspects: set[int] = set()
    again: set[SessionId] = set()
    looks: list[tuple[list[Strand], kinds.Samples, bool]] = []
    for number, alike in by_kind.items():
        kind = kinds.KINDS[number]
        if kind.variable:
            continue
        data = b"".join([samples for strand in alike for samples in strand.samples])
        if not samples_pass(number, data):
            found = [strand.stream for strand in alike if not samples_pass(number, b"".join(strand.samples))]
            suspects.update(id(stream) for stream in found)
            again.update(stream.session for stream in found)
        looks.append((alike, np.frombuffer(data, kind.dtype), number in REGULAR))
    for alike, records, regular in looks:
        _mark(alike, records, regular, suspects, again)
    return suspects


def _mark(
    alike: list[Strand], records: kinds.Samples, regular: bool, suspects: set[int], again: set[SessionId]
) -> None:
    """Set `odd` of strands of one kind."""
    counts = [sum([count for _, count in strand.numbers]) for strand in alike]
    ends = np.cumsum(counts)
    times = records["t_capture_ns"]
    # The step to each sample from the one before; to the first of a strand from the stream's last one, if it follows.
    steps = np.diff(times, prepend=times[0])
    follows = [_follows(strand, count) for strand, count in zip(alike, counts, strict=True)]
    starts = ends - counts
    before = [strand.stream.last_ns if known else 0 for strand, known in zip(alike, follows, strict=True)]
    steps[starts] = np.where(follows, times[starts] - np.array(before, np.int64), 1)
    odd = steps <= 0
    if regular:
        odd |= steps > STEP_NS
        values = records.view(np.uint8).reshape(len(records), -1)[:, FIRST_VALUES]
        repeated = (values[1:] == values[:-1]).all(axis=1)
        repeated[starts[1:] - 1] = False  # from one strand to the next
        odd[1:] |= repeated
    flagged = set(np.searchsorted(ends, np.flatnonzero(odd), side="right").tolist()) if odd.any() else set()
    highest = np.array([end_of_highest(strand.numbers) for strand in alike])
    newests = times[starts + highest - 1].tolist()
    for at, strand in enumerate(alike):
        stream = strand.stream
        strand.odd = at in flagged
        if strand.odd or stream.session in again:
            # Its session is gathered anew without the frames that lie, and each of its strands is looked at alone. In
            # a stream that lost some, the first one left need not follow.
            stream.last_ns = before[at] if id(stream) not in suspects else 0
        else:
            newest = newests[at]
            stream.last_ns = newest if follows[at] or not stream.last_ns else max(stream.last_ns, newest)


def _follows(strand: Strand, count: int) -> bool:
    """Whether the first sample of a strand is the one after the newest of the parts before.

    It is where the strand holds all that is settled from its first sample on, and the one before that is settled too:
    a frame that was sent again and comes late is none. Where samples were refused, the one before may be among them.
    """
    stream, first = strand.stream, strand.numbers[0][0]
    settled = stream.accounted
    return bool(
        stream.last_ns
        and not stream.refused
        and settled.firsts
        and settled.firsts[-1] < first
        and settled.lasts[-1] - first + 1 == count
    )
