"""How far a log is: stored, logged, confirmed; and how far confirmation lags behind, in entries and in time.

Stored: durable here. Logged: in a head that the log's key signed. Confirmed: in a head that a quorum of the roster's
witnesses cosigned, so that no other head of that size can be confirmed (gateway/tlog/policy.py).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

MAX_MARKS: Final = 256  # times of heads that wait; above this neighbours are taken together


class State(StrEnum):
    """Of an entry, and of the batch that it anchors."""

    STORED = "stored"
    LOGGED = "logged"
    CONFIRMED = "confirmed"


def state_of(index: int, logged: int, confirmed: int) -> State:
    """State of the entry at `index`, where a head of `logged` entries is signed and one of `confirmed` cosigned."""
    if index < confirmed:
        return State.CONFIRMED
    return State.LOGGED if index < logged else State.STORED


class Lag:
    """What was signed and is not confirmed yet. Its memory is bounded; what it tells is never too small."""

    def __init__(self) -> None:
        self.logged = 0
        self.confirmed = 0
        self._marks: list[
            tuple[int, int]
        ] = []  # (size, when the first head above the mark before it was signed)

    @property
    def entries(self) -> int:
        """Entries that are logged and not confirmed."""
        return max(self.logged - self.confirmed, 0)

    def age_ns(self, now_ns: int) -> int:
        """How long the oldest head that is not confirmed waits; 0 if all are."""
        return now_ns - self._marks[0][1] if self._marks else 0

    def sign(self, size: int, now_ns: int) -> None:
        """A head was signed."""
        if size > self.logged:
            self.logged = size
            if size > self.confirmed:
                self._marks.append((size, now_ns))
        if len(self._marks) > MAX_MARKS:
            # of two neighbours the larger size and the earlier time: a wait is told too long rather than too short
            marks = self._marks
            self._marks = [
                (larger[0], earlier[1]) for earlier, larger in zip(marks[::2], marks[1::2], strict=False)
            ] + (marks[-1:] if len(marks) % 2 else [])

    def confirm(self, size: int) -> None:
        """A head was confirmed."""
        self.confirmed = max(self.confirmed, size)
        self._marks = [mark for mark in self._marks if mark[0] > self.confirmed]
