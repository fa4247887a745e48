"""What a device's time means on the gateway's clock, while both drift: the estimate stays within what it claims."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.core.clocks import UNPROBED_UNCERTAINTY_NS, LinkClock
from gateway.wire import kinds

MS = 1_000_000
S = 1_000 * MS
HOUR = 3_600 * S
UTC = 1_700_000_000 * S


class Headset:
    """A device's clock that loses `ppm` against the gateway's, and what it sends."""

    def __init__(self, clock: LinkClock, ppm: float) -> None:
        self.clock, self.ppm = clock, ppm

    def at(self, gateway_ns: int) -> int:
        return int(gateway_ns * (1 - self.ppm * 1e-6)) - 77 * S

    def packet(self, sent_ns: int, delay_ns: int) -> None:
        self.clock.packet(self.at(sent_ns), sent_ns + delay_ns)

    def probe(self, sent_ns: int, offset_by_ns: int = 0, uncertainty_ns: int = 2 * MS) -> None:
        row = np.zeros(1, kinds.CLOCK_DTYPE)
        row["t_capture_ns"] = self.at(sent_ns)
        row["gateway_sent_ns"] = sent_ns + 2 * MS
        row["offset_ns"] = sent_ns - self.at(sent_ns) + offset_by_ns
        row["uncertainty_ns"] = uncertainty_ns
        self.clock.probe(row.tobytes())

    def error_ns(self, moment_ns: int, now_ns: int) -> tuple[int, int]:
        """How wrong the estimate is about a moment, and how wrong it says that it may be."""
        known = self.clock.gateway_ns(self.at(moment_ns), now_ns)
        assert known is not None
        return abs(known[0] - moment_ns), known[1]


@pytest.mark.parametrize("ppm", [-100, -50, 0, 50, 100])
@pytest.mark.parametrize("jitter_ms", [0, 60])
def test_hours_of_drift_are_followed_by_delays_alone(ppm: float, jitter_ms: int) -> None:
    headset = Headset(LinkClock(), ppm)
    for second in range(4 * 3_600):
        headset.packet(second * S, 2 * MS + second * 37 % 61 * jitter_ms * MS // 60)
    wrong, claimed = headset.error_ns(4 * HOUR, 4 * HOUR)
    assert wrong <= 70 * MS
    assert claimed < UNPROBED_UNCERTAINTY_NS + MS


@pytest.mark.parametrize("ppm", [-100, 0, 100])
def test_good_probes_are_believed_at_any_hour(ppm: float) -> None:
    headset = Headset(LinkClock(), ppm)
    for tick in range(2 * 1_800):
        headset.packet(tick * 2 * S, 2 * MS)
        headset.probe(tick * 2 * S)
        wrong, claimed = headset.error_ns(tick * 2 * S, tick * 2 * S + 3 * MS)
        assert wrong <= claimed <= 4 * MS


@pytest.mark.parametrize("late_by_s", [0, 60, 7 * 86_400])
def test_a_close_means_what_was_captured_before_it(late_by_s: int) -> None:
    """However late it comes: the uncertainty is that of the moment of capture."""
    headset = Headset(LinkClock(), 100)
    for second in range(3_600):
        headset.packet(second * S, 2 * MS)
        headset.probe(second * S)

    def refused(by_ns: int) -> bool:
        sample = np.zeros(1, kinds.HAPTIC_DTYPE)
        sample["t_capture_ns"] = headset.at(HOUR + by_ns)
        kind = kinds.KINDS[kinds.HAPTIC]
        return headset.clock.captured_after(kind, sample.tobytes(), HOUR, HOUR + late_by_s * S)

    assert not refused(-1)
    assert refused(5 * MS)


def test_a_probe_that_cannot_be_true_is_not_believed() -> None:
    headset = Headset(LinkClock(), 0)
    headset.packet(10 * S, 2 * MS)
    headset.probe(10 * S, offset_by_ns=20 * MS)  # it would make the packet arrive before it was sent
    assert headset.error_ns(10 * S, 11 * S) == (2 * MS, UNPROBED_UNCERTAINTY_NS)
    headset.probe(10 * S, offset_by_ns=1 * MS)  # within what it says of itself
    assert headset.error_ns(10 * S, 11 * S)[0] == 1 * MS
    headset.probe(10 * S, uncertainty_ns=400 * MS)  # worse than the delays
    assert headset.error_ns(10 * S, 11 * S)[0] == 2 * MS
    headset.probe(40 * S)  # answered in the future
    assert headset.error_ns(10 * S, 11 * S)[0] == 2 * MS


def test_what_a_silent_headset_captured_is_told_with_what_it_may_have_drifted() -> None:
    headset = Headset(LinkClock(), 100)
    headset.packet(0, 2 * MS)
    wrong, claimed = headset.error_ns(2 * HOUR, 2 * HOUR)
    assert wrong > UNPROBED_UNCERTAINTY_NS
    assert wrong < claimed


@pytest.mark.parametrize("fresh_ms", [0, (UTC + 3_600 * S) // MS])
def test_a_restart_goes_on_with_what_was_known(fresh_ms: int) -> None:
    before = Headset(LinkClock(), 0)
    before.packet(HOUR, 2 * MS)
    kept = before.clock.least_utc_ns(UTC)
    after = LinkClock()
    was_new = after.is_new
    # The machine started again 10 s after that packet: its monotonic clock begins anew.
    offset = UTC + HOUR + 10 * S
    after.restore(kept, offset, fresh_ms)
    assert (was_new, after.is_new) == (True, False)
    assert after.least_utc_ns(offset) == kept
    # Sealed an hour ago and sent again now: it teaches nothing.
    after.packet(before.at(60 * S), 5 * S)
    assert after.least_utc_ns(offset) == kept
    known = after.gateway_ns(before.at(HOUR), 5 * S)
    assert known is not None
    assert abs(known[0] + 10 * S) <= 2 * MS


def test_what_was_restored_ages_from_its_last_packet() -> None:
    before = Headset(LinkClock(), 100)
    before.packet(0, 2 * MS)
    kept = before.clock.least_utc_ns(UTC)
    after = LinkClock()
    after.restore(kept, UTC, UTC // MS)
    Headset(after, 100).packet(10 * HOUR, 3 * MS)
    wrong, _ = Headset(after, 100).error_ns(10 * HOUR, 10 * HOUR)
    assert wrong == 3 * MS
