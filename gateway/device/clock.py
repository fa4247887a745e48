"""Clock probes: how the device's clock and the gateway's stand to each other, told as samples of the clock kind.

Source: VT1, "Clock probes" (the device starts SYNC probes and sends the result as clock frames); the numbers are those
of Lab Streaming Layer, a proven default: every 2 s a burst of 8 probes 64 ms apart; the fastest round trip wins,
because what delays a packet can only add to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.wire.control import ProbeReply
from gateway.wire.kinds import CLOCK_DTYPE

MS: Final = 1_000_000
BURST_PROBES: Final = 8
BURST_MIN_REPLIES: Final = 6  # fewer say that the network is in no state to be measured
BURST_EVERY_NS: Final = 2_000 * MS
PROBE_EVERY_NS: Final = 64 * MS
RTT_MAX_NS: Final = 128 * MS  # a slower round trip tells less than the burst before it did
KEEPALIVE_EVERY_NS: Final = (
    2_000 * MS
)  # a waiting link: below the 30 s after which home routers forget a UDP flow
SOURCE_SYNC: Final = 1  # `source` of a clock sample: a burst of SYNC probes
CLOCK_MOST_NS: Final = (
    2**61 - 1
)  # no clock is 73 years from its start; every sum and difference below then fits 64 bits, in every client


@dataclass(frozen=True, slots=True)
class ClockReading:
    """One measured exchange, in nanoseconds.

    Args:
        t1_ns: device clock when the probe left.
        t2_ns: gateway clock when it arrived.
        t3_ns: gateway clock when the reply left.
        t4_ns: device clock when it arrived.
    """

    t1_ns: int
    t2_ns: int
    t3_ns: int
    t4_ns: int

    @property
    def rtt_ns(self) -> int:
        """Round trip without the gateway's own time."""
        return (self.t4_ns - self.t1_ns) - (self.t3_ns - self.t2_ns)

    @property
    def offset_ns(self) -> int:
        """Gateway clock minus device clock."""
        return ((self.t2_ns - self.t1_ns) + (self.t3_ns - self.t4_ns)) // 2

    @property
    def uncertainty_ns(self) -> int:
        """Half the round trip: the offset cannot be wrong by more."""
        return (self.rtt_ns + 1) // 2

    def is_sane(self) -> bool:
        """Whether the numbers can be true and fit their record."""
        return (
            0 <= self.t2_ns <= self.t3_ns <= CLOCK_MOST_NS
            and abs(self.t1_ns) <= CLOCK_MOST_NS
            and 0 <= self.rtt_ns <= RTT_MAX_NS
        )

    def sample(self) -> bytes:
        """The record of the clock kind: one of `CLOCK_DTYPE`."""
        record = np.zeros(1, CLOCK_DTYPE)
        record["t_capture_ns"] = self.t1_ns
        record["gateway_received_ns"] = self.t2_ns
        record["gateway_sent_ns"] = self.t3_ns
        record["t_returned_ns"] = self.t4_ns
        record["offset_ns"] = self.offset_ns
        record["uncertainty_ns"] = self.uncertainty_ns
        record["source"] = SOURCE_SYNC
        return record.tobytes()


class Probes:
    """When to send a probe, and what its replies say.

    Args:
        now_ns: device time; the first probe is due at once.
        measure: True for bursts; False for single probes that only keep the link alive.
    """

    __slots__ = ("_burst_ns", "_left", "_measure", "_open", "_readings", "next_ns")

    def __init__(self, now_ns: int, *, measure: bool) -> None:
        self._measure = measure
        self._open: set[int] = set()
        self._readings: list[ClockReading] = []
        self._burst_ns = now_ns
        self._left = BURST_PROBES
        self.next_ns = now_ns
        """When `poll` has something to do."""

    def poll(self, now_ns: int) -> tuple[bool, ClockReading | None]:
        """Do what is due.

        Returns:
            Whether a probe with `t1_ns = now_ns` is to be sent, and the result of a burst that is over.
        """
        if now_ns < self.next_ns:
            return False, None
        if not self._measure:
            self.next_ns = now_ns + KEEPALIVE_EVERY_NS
            return True, None
        if self._left:
            self._left -= 1
            self._open.add(now_ns)
            # From now, not from when it should have been: a late driver must not send the rest at once.
            self.next_ns = now_ns + (PROBE_EVERY_NS if self._left else RTT_MAX_NS)
            return True, None
        best = min(self._readings, key=lambda reading: reading.rtt_ns, default=None)
        if len(self._readings) < BURST_MIN_REPLIES:
            best = None
        self._open.clear()
        self._readings.clear()
        self._left = BURST_PROBES
        self._burst_ns = max(self._burst_ns + BURST_EVERY_NS, now_ns)
        self.next_ns = self._burst_ns
        return False, best

    def reply(self, reply: ProbeReply, now_ns: int) -> None:
        """A reply came; one that answers no open probe, or cannot be true, is passed over."""
        if reply.t1_ns in self._open:
            self._open.discard(reply.t1_ns)
            reading = ClockReading(reply.t1_ns, reply.t2_ns, reply.t3_ns, now_ns)
            if reading.is_sane():
                self._readings.append(reading)
