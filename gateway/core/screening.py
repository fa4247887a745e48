"""One look at all samples of a batch, kind by kind: which streams need a closer look at the seal.

Most streams have nothing wrong and nothing odd. To find that out stream by stream costs a dozen small array operations
for each of hundreds of streams a second; over all samples of a kind together it costs a dozen in all. A stream that is
named here is then looked at alone: its values by `wire/frame.check_samples`, its times by `core/observations`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from gateway.core.observations import REGULAR, STEP_NS
from gateway.core.records import StreamRecord
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

    A strand that is not odd gets its stream's `last_ns` here.

    Returns:
        `id` of the stream records with a value that may be wrong.
    """
    by_kind: dict[int, list[Strand]] = {}
    for strand in strands:
        by_kind.setdefault(strand.stream.kind, []).append(strand)
    suspects: set[int] = set()
    for number, alike in by_kind.items():
        kind = kinds.KINDS[number]
        if kind.variable:
            continue
        data = b"".join([samples for strand in alike for samples in strand.samples])
        if not samples_pass(number, data):
            suspects.update(
                id(strand.stream) for strand in alike if not samples_pass(number, b"".join(strand.samples))
            )
        counts = [sum([count for _, count in strand.numbers]) for strand in alike]
        _mark(alike, np.frombuffer(data, kind.dtype), np.cumsum(counts), number in REGULAR)
    return suspects


def _mark(
    alike: list[Strand],
    records: kinds.Samples,
    ends: np.ndarray[tuple[int], np.dtype[np.int64]],
    regular: bool,
) -> None:
    """Set `odd` of strands of one kind; `ends` are the positions behind each strand's last sample."""
    times = records["t_capture_ns"]
    steps = np.diff(times)
    odd = steps <= 0
    if regular:
        odd |= steps > STEP_NS
        # Values that move differ in the first column after the head; only where it stands still the rest is compared.
        words = records.view(np.uint8).reshape(len(records), -1)[:, 16:20]
        odd |= (words[1:] == words[:-1]).all(axis=1)
    odd[ends[:-1] - 1] = False  # from one strand to the next
    flagged = set(np.searchsorted(ends, np.flatnonzero(odd), side="right").tolist()) if odd.any() else set()
    lasts = times[ends - 1].tolist()
    for at, strand in enumerate(alike):
        strand.odd = at in flagged
        if not strand.odd:
            stream = strand.stream
            stream.last_ns = max(stream.last_ns, lasts[at]) if stream.last_ns else lasts[at]
