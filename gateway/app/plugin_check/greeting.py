"""PAIR and HELLO of one device: counters, nonces, how often (SPEC, "Pairing", "Handshake")."""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import Final

from gateway.app.plugin_check.say import Finding
from gateway.wire import control

SECOND: Final = 1_000_000_000
FASTEST_NS: Final = 180_000_000  # 250 ms less what a timer may be early
STORM: Final = 10  # HELLOs within a second: the schedule of SPEC gives three
PAIR_STORM: Final = 5
REMEMBERED: Final = 256
WEAK_RUN: Final = 2**32  # a random u64 is below it once in four thousand million starts


def weak(nonce: bytes) -> bool:
    """Whether 16 bytes are plainly not random: three values or fewer, or a run upwards."""
    steps = {(b - a) % 256 for a, b in pairwise(nonce)}
    return len(set(nonce)) <= 3 or len(steps) == 1


class Greeting:
    """What a device said before it had a link."""

    def __init__(self) -> None:
        self.counter = -1
        self.runs: list[int] = []
        self._bytes: dict[int, bytes] = {}
        self._nonces: deque[bytes] = deque(maxlen=REMEMBERED)
        self._times: deque[int] = deque(maxlen=64)
        self._last: tuple[bytes, int] | None = None

    def hello(self, seq: int, packet: bytes, hello: control.Hello, now_ns: int) -> list[Finding]:
        """A HELLO whose tag verifies."""
        findings: list[Finding] = []
        self._times.append(now_ns)
        recent = sum(now_ns - at < SECOND for at in self._times)
        if recent > STORM:
            findings.append(
                Finding(
                    "hello.storm",
                    9,
                    f"{recent} HELLOs within a second",
                    "repeat after 250 ms, doubling to 5 s; a new one after a minute",
                )
            )
        before = self._bytes.get(seq)
        if before is None:
            if seq <= self.counter:
                findings.append(
                    Finding(
                        "hello.counter",
                        9,
                        f"HELLO counter {seq} is not above {self.counter}",
                        "persist counter + 1 before the HELLO leaves, once for the device and not for each run",
                    )
                )
            findings += self._fresh(hello)
            self._bytes[seq] = packet
            if len(self._bytes) > REMEMBERED:
                del self._bytes[next(iter(self._bytes))]
        elif before != packet:
            findings.append(
                Finding(
                    "hello.reused",
                    9,
                    f"HELLO counter {seq} came again with other bytes",
                    "repeat the very same bytes, or raise the counter",
                )
            )
        elif self._last is not None and self._last[0] == packet and now_ns - self._last[1] < FASTEST_NS:
            findings.append(
                Finding(
                    "hello.fast",
                    9,
                    f"HELLO came again after {(now_ns - self._last[1]) // 1_000_000} ms",
                    "250 ms, doubling to 5 s",
                    fails=False,
                )
            )
        self.counter = max(self.counter, seq)
        self._last = packet, now_ns
        return findings

    def _fresh(self, hello: control.Hello) -> list[Finding]:
        findings = []
        if hello.nonce_d in self._nonces:
            findings.append(
                Finding(
                    "nonce.reused",
                    8,
                    "a new HELLO has the nonce of an earlier one",
                    "16 fresh random bytes for each new HELLO",
                )
            )
        elif weak(hello.nonce_d):
            findings.append(
                Finding(
                    "nonce.weak",
                    8,
                    "the nonce is no random number",
                    "16 bytes from a cryptographic generator",
                )
            )
        self._nonces.append(hello.nonce_d)
        if hello.run < WEAK_RUN:
            findings.append(
                Finding(
                    "run.weak",
                    8,
                    "the run is below 2^32, so it is no random u64",
                    "64 random bits, chosen at each start of the app",
                )
            )
        if hello.run not in self.runs:
            self.runs.append(hello.run)
            del self.runs[:-REMEMBERED]
        return findings


class Pairings:
    """What came as PAIR under a code that is on offer."""

    def __init__(self) -> None:
        self._first: dict[str, bytes] = {}
        self._times: deque[int] = deque(maxlen=64)

    def pair(self, code: str, packet: bytes, pair: control.Pair, now_ns: int) -> list[Finding]:
        """A PAIR whose tag verifies."""
        findings = []
        self._times.append(now_ns)
        if sum(now_ns - at < SECOND for at in self._times) > PAIR_STORM:
            findings.append(
                Finding(
                    "pair.storm",
                    4,
                    "more than five PAIR within a second",
                    "repeat the same bytes every second",
                    fails=False,
                )
            )
        first = self._first.setdefault(code, packet)
        if first != packet:
            findings.append(
                Finding(
                    "pair.changed",
                    4,
                    "another PAIR under a code that was used already",
                    "repeat the very same bytes until PAIRED comes; a new nonce needs a new code",
                )
            )
        elif weak(pair.nonce_d):
            findings.append(
                Finding(
                    "nonce.weak",
                    8,
                    "the nonce is no random number",
                    "16 bytes from a cryptographic generator",
                )
            )
        return findings
