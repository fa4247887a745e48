"""A link's clock: what the device's time means on the gateway's monotonic clock, and how surely.

The device's times are stored raw for ever; this estimate decides only what was captured before a session was closed
(VT1, "Links"). Two sources: the device's own probes, which it sends as clock frames (lowest round trip of eight wins),
and the least delay seen between the time of sending in a packet and its arrival. Crystals drift, so both age.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from gateway.wire import kinds

UNPROBED_UNCERTAINTY_NS: Final = 250_000_000  # a Wi-Fi link's one-way delay stays below it, with retries
DRIFT_PER_NS: Final = 200e-6  # 200 ppm, twice the worst crystal in a headset
AGE_EVERY_NS: Final = (
    1_000_000_000  # how often the least delay is aged; between, a packet costs two comparisons
)


class LinkClock:
    """Offset from the device's clock to the gateway's monotonic clock, both in nanoseconds."""

    __slots__ = (
        "_age_ns",
        "_below_ns",
        "_least_at_ns",
        "_least_ns",
        "_probed_at_ns",
        "_probed_ns",
        "_probed_uncertainty_ns",
    )

    def __init__(self) -> None:
        self._least_ns: int | None = None
        self._least_at_ns: int | None = None  # when it was taken; None for what was restored without a time
        self._below_ns = 0  # a delay below it is the least now: it grows as the least delay ages
        self._age_ns = 0  # when that is done again
        self._probed_ns: int | None = None
        self._probed_uncertainty_ns = 0
        self._probed_at_ns = 0

    @property
    def is_new(self) -> bool:
        """Whether nothing is known yet."""
        return self._least_ns is None

    def restore(self, clock_ns: int | None, utc_offset_ns: int, fresh_ms: int = 0) -> None:
        """Go on with what an earlier run of the gateway learned; see `least_utc_ns`.

        Without it, packets that were sealed long ago and are sent again after a restart would seem to have been
        captured just now, and what was captured before a session's close would be refused as captured after it.

        Args:
            clock_ns: what `least_utc_ns` gave.
            utc_offset_ns: UTC minus monotonic now.
            fresh_ms: UTC of the link's last fresh packet, from which on it ages; 0 lets it age from the next one.
        """
        if clock_ns is not None and self._least_ns is None:
            self._least_ns = self._below_ns = clock_ns - utc_offset_ns
            self._least_at_ns = fresh_ms * 1_000_000 - utc_offset_ns if fresh_ms else None

    def least_utc_ns(self, utc_offset_ns: int) -> int | None:
        """UTC minus the device's clock, by the least delay seen; None while nothing is known."""
        return None if self._least_ns is None else self._least_ns + utc_offset_ns

    def packet(self, t_send_ns: int, arrived_ns: int) -> None:
        """Learn from a fresh packet: the offset is at most the difference of these two."""
        delay = arrived_ns - t_send_ns
        if delay < self._below_ns or arrived_ns >= self._age_ns or self._least_ns is None:
            self._learn(delay, arrived_ns)

    def _learn(self, delay: int, arrived_ns: int) -> None:
        """Take a delay that is the least, as far as the clocks may have drifted since the least one was taken.

        A minimum for ever would be that of the link's first hour: with a device that loses 100 ppm it is 360 ms off
        after the next one.
        """
        if self._least_at_ns is None:
            self._least_at_ns = arrived_ns
        if self._least_ns is not None:
            self._below_ns = self._least_ns + _drift_ns(arrived_ns, self._least_at_ns)
        if self._least_ns is None or delay < self._below_ns:
            self._least_ns = self._below_ns = delay
            self._least_at_ns = arrived_ns
        self._age_ns = arrived_ns + AGE_EVERY_NS

    def probe(self, samples: bytes) -> None:
        """Learn from a clock frame: the newest of its records."""
        record = kinds.view(kinds.KINDS[kinds.CLOCK], samples)[-1]
        self._probed_ns = int(record["offset_ns"])
        self._probed_uncertainty_ns = int(record["uncertainty_ns"])
        self._probed_at_ns = int(record["gateway_sent_ns"])

    def gateway_ns(self, device_ns: int, now_ns: int) -> tuple[int, int] | None:
        """A device time on the gateway's clock.

        Args:
            device_ns: the device's monotonic time.
            now_ns: the gateway's: no probe can have been answered later.

        Returns:
            `(time, uncertainty)` in nanoseconds, or None while nothing is known. The uncertainty grows with the time
            between the moment meant and the measurement, not with how late it is asked: what a headset held for a
            week is told apart as well as on the first day.
        """
        if self._least_ns is None:
            return None
        at_ns = device_ns + self._least_ns
        uncertainty_ns = UNPROBED_UNCERTAINTY_NS
        if self._least_at_ns is not None:
            uncertainty_ns += _drift_ns(at_ns, self._least_at_ns)
        if self._probed_ns is None or not self._believed(self._probed_ns, now_ns):
            return at_ns, uncertainty_ns
        probed_at_ns = device_ns + self._probed_ns
        probed_uncertainty_ns = self._probed_uncertainty_ns + _drift_ns(probed_at_ns, self._probed_at_ns)
        if probed_uncertainty_ns > uncertainty_ns:
            return at_ns, uncertainty_ns
        return probed_at_ns, probed_uncertainty_ns

    def _believed(self, probed_ns: int, now_ns: int) -> bool:
        """Whether the newest probe can be true.

        Nothing arrives before it was sent, so an offset above the least delay is wrong; by how much the two may differ
        all the same, the probe's own uncertainty and the drift between the two measurements say.
        """
        if self._least_ns is None or self._least_at_ns is None or self._probed_at_ns > now_ns:
            return False
        allowed_ns = self._probed_uncertainty_ns + _drift_ns(self._probed_at_ns, self._least_at_ns)
        return probed_ns <= self._least_ns + allowed_ns

    def captured_after(self, kind: kinds.Kind, samples: bytes, limit_ns: int, now_ns: int) -> bool:
        """Whether a frame's newest sample was surely captured after a moment of the gateway's clock."""
        newest = int(np.max(kinds.capture_times(kind, samples)))
        known = self.gateway_ns(newest, now_ns)
        if known is None:
            return True
        at_ns, uncertainty_ns = known
        return at_ns > limit_ns + uncertainty_ns


def _drift_ns(one_ns: int, other_ns: int) -> int:
    """How far two clocks may drift apart between two moments."""
    return int(abs(one_ns - other_ns) * DRIFT_PER_NS)
