"""How fast a backlog may drain: at most twice the live rate, never in a burst, so that live data is not starved.

A token bucket: a resend takes a token, live packets take none and go first. Source: VT1, "Delivery".
"""

from __future__ import annotations

from typing import Final

SECOND: Final = 1_000_000_000
RESENDS_PER_LIVE: Final = 2.0  # VT1, "Delivery": "no more than twice the live rate"
LEAST_PER_S: Final = 2.0  # while recording: a stream of rare events must not stop its own resends
DRAIN_PER_S: Final = 100.0  # with no live data to starve; about what one headset sends anyway
BURST_S: Final = 0.02  # tokens kept for this long: a driver that wakes late by a timer's grain loses no rate
PAUSE_NS: Final = 5 * SECOND  # a gap this long between live packets says nothing about their rate


class Pace:
    """Tokens for resends, filled by the rate of live packets that it measures."""

    __slots__ = ("_count", "_filled_ns", "_live_per_s", "_tokens", "_window_ns", "recording")

    def __init__(self) -> None:
        self.recording = False
        """Whether live packets are being made; set by the machine."""
        self._live_per_s = 0.0
        self._window_ns: int | None = None
        self._count = 0
        self._tokens = 1.0
        self._filled_ns: int | None = None

    @property
    def per_s(self) -> float:
        """Resends a second at present. The last live rate goes on holding after the end of recording."""
        return max(RESENDS_PER_LIVE * self._live_per_s, LEAST_PER_S if self.recording else DRAIN_PER_S)

    def live(self, now_ns: int) -> None:
        """A live packet is being sent."""
        if self._window_ns is None or now_ns - self._window_ns >= SECOND:
            if self._window_ns is not None and now_ns - self._window_ns < PAUSE_NS:
                self._fill(now_ns)  # what was earned so far was earned at the old rate
                self._live_per_s = self._count * SECOND / (now_ns - self._window_ns)
            self._window_ns = now_ns
            self._count = 0
        self._count += 1

    def take(self, now_ns: int) -> bool:
        """Take a token for one resend; False when there is none yet."""
        self._fill(now_ns)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def ready_at(self, now_ns: int) -> int:
        """When the next token is there, later than `now_ns` unless there is one."""
        self._fill(now_ns)
        if self._tokens >= 1.0:
            return now_ns
        return now_ns + int((1.0 - self._tokens) * SECOND / self.per_s) + 1

    def _fill(self, now_ns: int) -> None:
        # A device's clock starts anywhere, below zero too: only from its first word on is there a time that passed.
        passed_ns = now_ns - self._filled_ns if self._filled_ns is not None else 0
        per_s = self.per_s
        most = max(1.0, per_s * BURST_S)
        self._tokens = min(most, self._tokens + passed_ns * per_s / SECOND)
        self._filled_ns = now_ns
