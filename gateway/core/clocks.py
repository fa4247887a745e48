"""A link's clock: what the device's time means on the gateway's monotonic clock, and how surely.

The device's times are stored raw for ever; this estimate decides only what was captured before a session was closed
(VT1, "Links") and what `status` shows. Two sources: the device's own probes, which it sends as clock
frames (lowest round trip of eight wins), and, until the first of them, the least delay seen between the time of
sending in a packet and its arrival.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from gateway.wire import kinds

UNPROBED_UNCERTAINTY_NS: Final = 250_000_000  # a Wi-Fi link's one-way delay stays below it, with retries
DRIFT_PER_NS: Final = 200e-6  # 200 ppm, twice the worst crystal in a headset


class LinkClock:
    """Offset from the device's clock to the gateway's monotonic clock, both in nanoseconds."""

    __slots__ = ("_least_ns", "_probed_at_ns", "_probed_ns", "_probed_uncertainty_ns")

    def __init__(self) -> None:
        self._least_ns: int | None = None
        self._probed_ns: int | None = None
        self._probed_uncertainty_ns = 0
        self._probed_at_ns = 0

    @property
    def is_new(self) -> bool:
        """Whether nothing is known yet."""
        return self._least_ns is None

    def restore(self, clock_ns: int | None, utc_offset_ns: int) -> None:
        """Go on with what an earlier run of the gateway learned; see `least_utc_ns`.

        Without it, packets that were sealed long ago and are sent again after a restart would seem to have been
        captured just now, and what was captured before a session's close would be refused as captured after it.
        """
        if clock_ns is not None and self._least_ns is None:
            self._least_ns = clock_ns - utc_offset_ns

    def least_utc_ns(self, utc_offset_ns: int) -> int | None:
        """UTC minus the device's clock, by the least delay seen; None while nothing is known."""
        return None if self._least_ns is None else self._least_ns + utc_offset_ns

    def packet(self, t_send_ns: int, arrived_ns: int) -> None:
        """Learn from a fresh packet: the offset is at most the difference of these two."""
        delay = arrived_ns - t_send_ns
        if self._least_ns is None or delay < self._least_ns:
            self._least_ns = delay

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
            now_ns: the gateway's, for how far the clocks may have drifted since the last probe.

        Returns:
            `(time, uncertainty)` in nanoseconds, or None while nothing is known.
        """
        if self._least_ns is None:
            return None
        # What arrived cannot have been sent after its arrival: a probe that claims more is not believed, since a
        # device could move its captures before a close with it.
        if self._probed_ns is not None and self._probed_ns <= self._least_ns:
            drift = int(max(0, now_ns - self._probed_at_ns) * DRIFT_PER_NS)
            uncertainty = min(self._probed_uncertainty_ns + drift, UNPROBED_UNCERTAINTY_NS)
            return device_ns + self._probed_ns, uncertainty
        return device_ns + self._least_ns, UNPROBED_UNCERTAINTY_NS

    def captured_after(self, kind: kinds.Kind, samples: bytes, limit_ns: int, now_ns: int) -> bool:
        """Whether a frame's newest sample was surely captured after a moment of the gateway's clock."""
        newest = int(np.max(kinds.capture_times(kind, samples)))
        known = self.gateway_ns(newest, now_ns)
        if known is None:
            return True
        at_ns, uncertainty_ns = known
        return at_ns > limit_ns + uncertainty_ns
