"""The sum that always closes: per stream, `total = stored + refused + missing`, by sample number (VT1, "Accounting").

Every number is settled once: stored, refused with its reason, or closed. What touches a settled number is refused
outside the sum. Totals come from the device with each packet, so that a lost tail counts; they only grow
(`core/admission` takes them).
"""

from __future__ import annotations

from typing import Final

from gateway.core.ranges import MAX_RANGES
from gateway.core.records import StreamRecord

MAX_JUMP: Final = 2**24  # VT1: a total that grows by more in one packet refuses the packet

OVERLAP: Final = "overlap"
LATE: Final = "late"


def touches(stream: StreamRecord, first: int, count: int) -> str:
    """Whether samples `first .. first+count-1` touch settled numbers.

    Returns:
        `overlap`, `late`, or the empty string.
    """
    if not stream.accounted.overlaps(first, first + count - 1):
        return ""
    return LATE if first < stream.closed_below else OVERLAP


def store(stream: StreamRecord, first: int, count: int) -> None:
    """Settle samples as stored; the caller has asked `touches`."""
    _settle(stream, first, count)
    stream.stored += count


def refuse(stream: StreamRecord, first: int, count: int, reason: str) -> None:
    """Settle samples as refused for a reason; the caller has asked `touches`."""
    _settle(stream, first, count)
    stream.refused[reason] = stream.refused.get(reason, 0) + count


def unstore(stream: StreamRecord, count: int, reason: str) -> None:
    """Turn stored samples of the running cycle into refused ones: the permit was gone at the seal."""
    stream.stored -= count
    stream.refused[reason] = stream.refused.get(reason, 0) + count


def _settle(stream: StreamRecord, first: int, count: int) -> None:
    last = first + count - 1
    stream.accounted.add(first, last)
    if last >= stream.total:
        stream.total = last + 1
    if len(stream.accounted) > MAX_RANGES:
        for _, closed_last in stream.accounted.bound():
            stream.closed_below = max(stream.closed_below, closed_last + 1)
