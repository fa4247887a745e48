"""Downlink seqs that were seen: a copy of an authentic packet must not act twice (replay)."""

from __future__ import annotations

from heapq import heappush, heappushpop
from typing import Final

REMEMBERED: Final = (
    256  # far more downlink packets than a network reorders; a gateway sends a device a few a second
)


class Seen:
    """The newest `REMEMBERED` numbers; everything below the lowest of them that ever left counts as seen.

    A gateway's numbers jump with each of its starts (boot number in the high bits), so runs of numbers would not be
    shorter than the numbers themselves.
    """

    __slots__ = ("_floor", "_heap", "_numbers")

    def __init__(self) -> None:
        self._floor = -1
        self._heap: list[int] = []
        self._numbers: set[int] = set()

    def __contains__(self, seq: int) -> bool:
        return seq <= self._floor or seq in self._numbers

    def add(self, seq: int) -> bool:
        """Remember a number.

        Returns:
            True when it was fresh.
        """
        if seq in self:
            return False
        self._numbers.add(seq)
        if len(self._heap) < REMEMBERED:
            heappush(self._heap, seq)
        else:
            self._floor = heappushpop(self._heap, seq)
            self._numbers.discard(self._floor)
        return True
