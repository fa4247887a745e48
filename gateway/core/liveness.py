"""Whom to ask: which members answered lately. Steers choice and what people see; what is believed never depends on it.

Each round asks two members at random that answer, and now and then one that does not, for ever: so a federation that
was cut in two finds together again whatever each half thinks of the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

FANOUT: Final = 2  # members asked in a round; simulated, docs/gossip.md
RETRY_ROUNDS: Final = 10  # rounds between two looks at somebody who does not answer
MISSES: Final = (
    3  # in a row, before a member counts as away: at 20 % loss one in twenty is thought away wrongly
)

T = TypeVar("T")
Random = Callable[[int], bytes]
"""That many random bytes."""


@dataclass(slots=True)
class _Seen:
    misses: int = 0
    heard_ns: int | None = None


class Liveness:
    """Which members answer.

    Args:
        random: random bytes.
        period_ns: mean time between two rounds.
        now_ns: monotonic clock.
    """

    def __init__(self, random: Random, period_ns: int, now_ns: int) -> None:
        self._random = random
        self._retry_ns = RETRY_ROUNDS * period_ns
        # Somewhere within the first interval: members that were cut off do not all look at the same moment.
        self._retry_at = now_ns + fraction(random, self._retry_ns)
        self._names: frozenset[str] = frozenset()
        self._seen: dict[str, _Seen] = {}
        """Of members only, and only of those of whom something is known."""
        self._near: list[str] = []
        self._away: list[str] = []

    def follow(self, names: Iterable[str]) -> None:
        """Take the members as they are now; who is new counts as answering until it does not."""
        self._near, self._away = list(names), []
        self._names = frozenset(self._near)
        self._seen = {name: seen for name, seen in self._seen.items() if name in self._names}
        for name, seen in self._seen.items():
            if seen.misses >= MISSES:
                self._move(name, self._near, self._away)

    def heard(self, name: str, now_ns: int) -> None:
        """A member said something, or answered."""
        if (seen := self._of(name)) is None:
            return
        if seen.misses >= MISSES:
            self._move(name, self._away, self._near)
            # Where one is back, others may be: a cut that heals is looked through in a few rounds, not in a few
            # intervals. However many come back and go in a round, they bring one look.
            self._retry_at = now_ns
        seen.misses, seen.heard_ns = 0, now_ns

    def missed(self, name: str) -> None:
        """A member did not answer."""
        if (seen := self._of(name)) is not None:
            seen.misses += 1
            if seen.misses == MISSES:
                self._move(name, self._near, self._away)

    def answers(self, name: str) -> bool:
        """Whether a member is thought to answer."""
        seen = self._seen.get(name)
        return name in self._names if seen is None else seen.misses < MISSES

    def heard_ns(self, name: str) -> int | None:
        """When a member was last heard of."""
        seen = self._seen.get(name)
        return None if seen is None else seen.heard_ns

    def some(self, most: int) -> list[str]:
        """Up to so many members that answer, at random."""
        return draw(self._random, self._near, most)

    def choose(self, now_ns: int) -> list[str]:
        """Whom to ask in this round."""
        chosen = self.some(FANOUT)
        wanted = FANOUT - len(chosen)  # who has nobody else to ask need not wait for the interval
        if now_ns >= self._retry_at:
            self._retry_at = now_ns + self._retry_ns
            wanted = max(wanted, 1)
        return chosen + draw(self._random, self._away, wanted)

    def _of(self, name: str) -> _Seen | None:
        if (seen := self._seen.get(name)) is None and name in self._names:
            seen = self._seen[name] = _Seen()
        return seen

    def _move(self, name: str, source: list[str], to: list[str]) -> None:
        source.remove(name)
        to.append(name)


def draw(random: Random, items: Sequence[T], most: int) -> list[T]:
    """Up to so many of the items, at random and in random order."""
    left = list(items)
    drawn: list[T] = []
    while left and len(drawn) < most:
        at = fraction(random, len(left))
        left[at], left[-1] = left[-1], left[at]
        drawn.append(left.pop())
    return drawn


def fraction(random: Random, of: int) -> int:
    """A random number from 0 to `of` - 1."""
    return int.from_bytes(random(8), "big") * of >> 64
