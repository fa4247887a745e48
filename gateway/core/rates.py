"""Token buckets: how fast one device, one stranger or one source of bad tags may cost us work."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

MAX_BUCKETS: Final = 4096  # a spoofer can invent addresses for ever; above this the stalest one is forgotten


class Bucket:
    """Tokens that come back with time.

    Args:
        rate_s: tokens each second.
        burst: most tokens at once.
    """

    __slots__ = ("_burst", "_full_ns", "_token_ns")

    def __init__(self, rate_s: float, burst: float) -> None:
        # Kept as the time at which the bucket is full again: one comparison and one addition a packet.
        self._token_ns = int(1e9 / rate_s)
        self._burst = int(burst * self._token_ns)
        self._full_ns = 0

    def take(self, now_ns: int) -> bool:
        """Take one token; False when there is none."""
        full = self._full_ns
        if full < now_ns:
            full = now_ns
        full += self._token_ns
        if full - now_ns > self._burst:
            return False
        self._full_ns = full
        return True

    def charge(self, now_ns: int, tokens: int) -> None:
        """Take tokens that may not be there: what turned out dearer than one token delays what comes next."""
        self._full_ns = max(self._full_ns, now_ns) + tokens * self._token_ns

    def empty(self, now_ns: int) -> bool:
        """Whether `take` would fail now."""
        return max(self._full_ns, now_ns) + self._token_ns - now_ns > self._burst


class Buckets:
    """A bucket for each key, at most `MAX_BUCKETS` of them."""

    def __init__(self, rate_s: float, burst: float) -> None:
        self._rate_s = rate_s
        self._burst = burst
        self._buckets: OrderedDict[Hashable, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: Hashable, now_ns: int) -> bool:
        """Take one token of this key's bucket; False when there is none."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(self._rate_s, self._burst)
            if len(self._buckets) > MAX_BUCKETS:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        return bucket.take(now_ns)

    def empty(self, key: Hashable, now_ns: int) -> bool:
        """Whether this key has used up its tokens."""
        bucket = self._buckets.get(key)
        return bucket is not None and bucket.empty(now_ns)
