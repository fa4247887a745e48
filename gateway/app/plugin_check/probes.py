"""Clock probes of one link: bursts of 8, 64 ms apart, every 2 s (SPEC, "Clock probes")."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Final

import numpy as np

from gateway.app.plugin_check.say import Finding
from gateway.wire import kinds

MS: Final = 1_000_000
SECOND: Final = 1_000 * MS
APART_NS: Final = 400 * MS  # a longer gap divides bursts
BURST: Final = 8
LATE_NS: Final = 7 * SECOND  # three bursts are missing
KEEP_ALIVE_NS: Final = 12 * SECOND
MAX_REPLIES: Final = 512


class Probing:
    """Probes of a link and their replies.

    Args:
        recording: whether bursts are wanted; a waiting link sends one probe every 2 s.
        now_ns: when the link began.
    """

    def __init__(self, recording: bool, now_ns: int) -> None:
        self._recording = recording
        self._last_ns = now_ns
        self._t1: list[int] = []
        self._begun_ns: int | None = None
        self._wrong: frozenset[str] = frozenset()  # codes of the burst before
        self._replies: OrderedDict[int, tuple[int, int]] = OrderedDict()
        self.facts: Counter[str] = Counter()

    def probe(self, t1_ns: int, now_ns: int) -> list[Finding]:
        """A probe came that is new."""
        findings: list[Finding] = []
        self._last_ns = now_ns
        if not self._recording:
            return []
        if self._t1 and not 0 <= t1_ns - self._t1[-1] < APART_NS:
            findings += self._over()
        if self._t1 and t1_ns == self._t1[-1]:
            findings.append(
                Finding(
                    "probe.same",
                    0,
                    "two probes tell the same t1",
                    "take the clock for each probe",
                    fails=False,
                )
            )
        self._t1.append(t1_ns)
        if len(self._t1) > 4 * BURST:
            findings += self._over()
        return findings

    def _over(self) -> list[Finding]:
        times, self._t1 = self._t1, []
        begun, self._begun_ns = self._begun_ns, times[0]
        self.facts["bursts"] += 1
        findings = []
        if begun is None:
            return []  # the first may have begun before the check looked, or been cut
        if not BURST - 2 <= len(times) <= BURST + 2:
            findings.append(
                Finding(
                    "probe.burst",
                    0,
                    f"a burst of {len(times)} probes",
                    "8 probes, 64 ms apart, every 2 s while recording",
                    fails=False,
                )
            )
        elif len(times) > 1:
            apart = (times[-1] - times[0]) / (len(times) - 1) / MS
            if not 40 <= apart <= 120:
                findings.append(
                    Finding(
                        "probe.apart",
                        0,
                        f"the probes of a burst are {apart:.0f} ms apart",
                        "64 ms",
                        fails=False,
                    )
                )
        since = (times[0] - begun) / SECOND
        if 0 < since < 1.0:
            findings.append(
                Finding(
                    "probe.often",
                    0,
                    f"a burst begins {since:.1f} s after the one before",
                    "every 2 s",
                    fails=False,
                )
            )
        if len(times) >= BURST - 2:
            self.facts["bursts.good"] += 1
        # One burst alone may be torn by a machine that stood still; a plugin that is wrong is so every time.
        before, self._wrong = self._wrong, frozenset(finding.code for finding in findings)
        return [finding for finding in findings if finding.code in before]

    def replied(self, t1_ns: int, t2_ns: int, t3_ns: int) -> None:
        """A reply went down."""
        self._replies[t1_ns] = (t2_ns, t3_ns)
        while len(self._replies) > MAX_REPLIES:
            self._replies.popitem(last=False)

    def sample(self, data: bytes) -> list[Finding]:
        """Clock samples came: each must be of a reply that was sent."""
        findings = []
        for row in np.frombuffer(data, kinds.CLOCK_DTYPE):
            if row["source"] != 1:
                continue
            self.facts["clock"] += 1
            sent = self._replies.get(int(row["t_capture_ns"]))
            if sent != (int(row["gateway_received_ns"]), int(row["gateway_sent_ns"])) and self._replies:
                findings.append(
                    Finding(
                        "clock.foreign",
                        0,
                        "a clock sample whose t1, t2, t3 are those of no reply on this link",
                        "all three from one SYNC, as 64-bit integers",
                        fails=False,
                    )
                )
        return findings

    def overdue(self, now_ns: int, heard: bool) -> list[Finding]:
        """What should have come by now."""
        waited_ns = now_ns - self._last_ns
        if not heard or waited_ns < (LATE_NS if self._recording else KEEP_ALIVE_NS):
            return []
        self._last_ns = now_ns
        if self._recording:
            return [
                Finding(
                    "probe.none",
                    0,
                    f"no SYNC for {waited_ns // SECOND} s on a recording link",
                    "a burst of 8 probes every 2 s: without it nobody can relate the device's times",
                )
            ]
        return [
            Finding(
                "probe.waiting",
                14,
                f"no SYNC for {waited_ns // SECOND} s on a waiting link",
                "one probe every 2 s keeps the way through routers open",
                fails=False,
            )
        ]
