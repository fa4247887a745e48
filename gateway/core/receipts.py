"""Receipts: which packets are stored, which refused and why, and how each stream's sum stands.

A receipt is idempotent and says only what a commit has made durable. What does not fit one datagram goes into several.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.core.ranges import Ranges
from gateway.core.records import StreamRecord
from gateway.wire import control

# A datagram's body has 1,160 bytes. A range costs at most 18 bytes, a total at most 37, a refused frame at most 40.
MAX_RANGE_NUMBERS: Final = 40
MAX_TOTALS: Final = 10
MAX_FRAMES: Final = 10
ROOT_OF_NONE: Final = b""


def receipts(
    batch: int,
    root: bytes,
    stored: Ranges,
    refused: dict[str, Ranges],
    frames: list[tuple[int, int, str]],
    streams: list[StreamRecord],
) -> Iterator[bytes]:
    """Bodies of the RECEIPT packets that tell all of it.

    Args:
        batch, root: of the batch that made `stored` durable; 0 and empty for copies.
        stored: packet seqs.
        refused: packet seqs by reason.
        frames: `(seq, stream, reason)`.
        streams: whose totals to tell.

    Yields:
        Encoded bodies, each small enough for a datagram.
    """
    rows: list[tuple[str, list[int]]] = [("", part) for part in _slices(stored)]
    for reason, ranges in refused.items():
        rows += [(reason, part) for part in _slices(ranges)]
    totals = [(int(s.stream), s.total, s.stored, sum(s.refused.values()), s.missing) for s in streams]
    row = at = 0
    # By index: to cut the lists shorter each time would cost the square of their length.
    while row < len(rows) or at * MAX_FRAMES < len(frames) or at * MAX_TOTALS < len(totals):
        body = _Room()
        while row < len(rows) and body.take(len(rows[row][1])):
            body.rows.append(rows[row])
            row += 1
        yield control.encode(
            control.Receipt(
                stored=[(batch, root, ranges) for reason, ranges in body.rows if not reason],
                refused=[(reason, ranges) for reason, ranges in body.rows if reason],
                frames=frames[at * MAX_FRAMES : (at + 1) * MAX_FRAMES],
                totals=totals[at * MAX_TOTALS : (at + 1) * MAX_TOTALS],
            )
        )
        at += 1


class _Room:
    """What is left of a datagram, in range numbers; each row costs its batch and root or reason besides."""

    _ROW_COST = 6

    def __init__(self) -> None:
        self.rows: list[tuple[str, list[int]]] = []
        self._left = MAX_RANGE_NUMBERS

    def take(self, numbers: int) -> bool:
        cost = numbers + self._ROW_COST
        if self.rows and cost > self._left:
            return False
        self._left -= cost
        return True


def _slices(ranges: Ranges) -> list[list[int]]:
    most = MAX_RANGE_NUMBERS - _Room._ROW_COST
    flat = ranges.flat()
    return [flat[at : at + most] for at in range(0, len(flat), most)]
