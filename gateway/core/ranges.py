"""Sets of numbers as ascending ranges, and numbers with a verdict: what links and streams remember.

Both are built for numbers that come in order, where adding is one comparison and no allocation. Their size is bounded:
above `MAX_RANGES` the oldest hole is closed, so that a sender that leaves holes costs no memory (VT1, "Delivery").
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final

MAX_RANGES: Final = 4096  # VT1, "Delivery": ranges a link; the same for the sample numbers of a stream

CLOSED: Final = "closed"
STORED: Final = "stored"


class Ranges:
    """A set of non-negative integers, kept as inclusive ranges in ascending order."""

    __slots__ = ("firsts", "lasts")

    def __init__(self, flat: Iterable[int] = ()) -> None:
        """Args: flat: first, last, first, last ... as `flat()` gave them."""
        numbers = list(flat)
        self.firsts = numbers[::2]
        self.lasts = numbers[1::2]

    def flat(self) -> list[int]:
        """First, last, first, last ...: the form that is stored and sent."""
        out = [0] * (2 * len(self.firsts))
        out[::2] = self.firsts
        out[1::2] = self.lasts
        return out

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self.firsts, self.lasts, strict=True)

    def __len__(self) -> int:
        """How many ranges."""
        return len(self.firsts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and self.firsts == other.firsts and self.lasts == other.lasts

    def __repr__(self) -> str:
        return f"Ranges({self.flat()})"

    def __contains__(self, number: int) -> bool:
        lasts = self.lasts
        if not lasts or number > lasts[-1]:
            return False
        at = bisect_right(self.firsts, number) - 1
        return at >= 0 and number <= lasts[at]

    def overlaps(self, first: int, last: int) -> bool:
        """Whether any number of `first..last` is in the set."""
        lasts = self.lasts
        if not lasts or first > lasts[-1]:
            return False
        at = bisect_right(self.firsts, last) - 1
        return at >= 0 and lasts[at] >= first

    def add(self, first: int, last: int) -> None:
        """Add `first..last` (inclusive); what is already there stays."""
        firsts, lasts = self.firsts, self.lasts
        if not lasts or first > lasts[-1] + 1:
            firsts.append(first)
            lasts.append(last)
            return
        if first == lasts[-1] + 1:
            lasts[-1] = last
            return
        # From the first range that touches `first - 1` to the last that touches `last + 1`.
        low = bisect_right(lasts, first - 2)
        high = bisect_right(firsts, last + 1)
        if low < high:
            first = min(first, firsts[low])
            last = max(last, lasts[high - 1])
        firsts[low:high] = [first]
        lasts[low:high] = [last]

    def bound(self, most: int = MAX_RANGES) -> list[tuple[int, int]]:
        """Close the oldest holes until at most `most` ranges are left.

        Returns:
            The holes that were closed, as inclusive ranges.
        """
        closed: list[tuple[int, int]] = []
        while len(self.firsts) > most:
            closed.append((self.lasts[0] + 1, self.firsts[1] - 1))
            self.lasts[0] = self.lasts[1]
            del self.firsts[1], self.lasts[1]
        return closed

    def holes_below(self, limit: int) -> list[tuple[int, int]]:
        """The numbers of `0..limit-1` that are not in the set, as inclusive ranges."""
        holes: list[tuple[int, int]] = []
        next_free = 0
        for a, b in zip(self.firsts, self.lasts, strict=True):
            if a >= limit:
                break
            if a > next_free:
                holes.append((next_free, a - 1))
            next_free = b + 1
        if next_free < limit:
            holes.append((next_free, limit - 1))
        return holes

    def count(self) -> int:
        """How many numbers are in the set."""
        return sum(self.lasts) - sum(self.firsts) + len(self.firsts)

    def copy(self) -> Ranges:
        """An independent copy."""
        other = Ranges()
        other.firsts, other.lasts = self.firsts.copy(), self.lasts.copy()
        return other


class Verdicts:
    """Numbers with a verdict each, as ascending ranges of one verdict: the *done* side of a link.

    Verdicts are the word `stored`, the word `closed`, or the reason of a refusal. A number's first verdict stays.
    """

    __slots__ = ("firsts", "lasts", "words")

    def __init__(self, rows: Iterable[tuple[int, int, str]] = ()) -> None:
        """Args: rows: `(first, last, verdict)` ascending, as `rows()` gave them."""
        self.firsts: list[int] = []
        self.lasts: list[int] = []
        self.words: list[str] = []
        for first, last, word in rows:
            self.firsts.append(first)
            self.lasts.append(last)
            self.words.append(word)

    def rows(self) -> list[tuple[int, int, str]]:
        """`(first, last, verdict)` ascending."""
        return list(zip(self.firsts, self.lasts, self.words, strict=True))

    def __len__(self) -> int:
        """How many ranges."""
        return len(self.firsts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Verdicts) and self.rows() == other.rows()

    def __repr__(self) -> str:
        return f"Verdicts({self.rows()})"

    def get(self, number: int) -> str | None:
        """The verdict of a number, or None while it has none."""
        at = bisect_right(self.firsts, number) - 1
        return self.words[at] if at >= 0 and number <= self.lasts[at] else None

    def run(self, number: int) -> tuple[int, int, str] | None:
        """`(first, last, verdict)` of the range that holds a number, or None while it has no verdict."""
        at = bisect_right(self.firsts, number) - 1
        if at < 0 or number > self.lasts[at]:
            return None
        return self.firsts[at], self.lasts[at], self.words[at]

    def settle(self, first: int, last: int, word: str) -> None:
        """Give `first..last` a verdict; numbers that have one keep it."""
        firsts, lasts, words = self.firsts, self.lasts, self.words
        if not lasts or first > lasts[-1]:
            if lasts and first == lasts[-1] + 1 and words[-1] == word:
                lasts[-1] = last
            else:
                firsts.append(first)
                lasts.append(last)
                words.append(word)
            return
        for a, b in self._free(first, last):
            self._insert(a, b, word)

    def _free(self, first: int, last: int) -> list[tuple[int, int]]:
        free: list[tuple[int, int]] = []
        at = bisect_right(self.lasts, first - 1)
        while at < len(self.firsts) and self.firsts[at] <= last:
            if self.firsts[at] > first:
                free.append((first, self.firsts[at] - 1))
            first = self.lasts[at] + 1
            at += 1
        if first <= last:
            free.append((first, last))
        return free

    def _insert(self, first: int, last: int, word: str) -> None:
        firsts, lasts, words = self.firsts, self.lasts, self.words
        at = bisect_right(firsts, first)
        if at > 0 and words[at - 1] == word and lasts[at - 1] + 1 == first:
            at -= 1
            lasts[at] = last
        else:
            firsts.insert(at, first)
            lasts.insert(at, last)
            words.insert(at, word)
        if at + 1 < len(firsts) and words[at + 1] == word and firsts[at + 1] == last + 1:
            lasts[at] = lasts[at + 1]
            del firsts[at + 1], lasts[at + 1], words[at + 1]

    def bound(self, most: int = MAX_RANGES) -> None:
        """Close the oldest hole, and merge the oldest ranges, until at most `most` ranges are left.

        Where no hole is left among the oldest two, their verdicts are merged to `closed`, which is never reported
        as stored: a copy of such an old packet learns that nobody can say any more.
        """
        while len(self.firsts) > most:
            self.words[0] = self.words[0] if self.words[0] == self.words[1] and self._joined(0) else CLOSED
            self.lasts[0] = self.lasts[1]
            del self.firsts[1], self.lasts[1], self.words[1]

    def _joined(self, at: int) -> bool:
        return self.lasts[at] + 1 == self.firsts[at + 1]

    def numbers(self) -> Ranges:
        """All numbers that have a verdict."""
        numbers = Ranges()
        for first, last in zip(self.firsts, self.lasts, strict=True):
            numbers.add(first, last)
        return numbers
