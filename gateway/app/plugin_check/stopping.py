"""What a device does after COMMAND `stop`: captures no more, answers, says BYE (SPEC, "Links")."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.app.plugin_check.say import Finding
from gateway.wire import frame as frames
from gateway.wire import kinds

SECOND: Final = 1_000_000_000
GRACE_NS: Final = (
    400_000_000  # the way there, one frame of the app, and what the offset of the clocks is not known by
)
BYE_NS: Final = 6 * SECOND
MAX_LINKS: Final = 256


@dataclass(slots=True)
class _Stop:
    at_ns: int
    seq: int
    answered: bool = False
    bye: bool = False
    told: bool = False


class Stopping:
    """Links that were told to stop."""

    def __init__(self) -> None:
        self._stops: dict[int, _Stop] = {}
        self._least_ns: dict[
            int, int
        ] = {}  # arrival minus t_send: the least is nearest to the clocks' difference
        self.clean = 0
        """Links on which everything after `stop` was as it must be."""

    def stop(self, link: int, seq: int, now_ns: int) -> None:
        """`stop` went down to a recording link, and was not lost."""
        self._stops.setdefault(link, _Stop(now_ns, seq))
        while len(self._stops) > MAX_LINKS:
            del self._stops[next(iter(self._stops))]

    def packet(self, link: int, t_send_ns: int, now_ns: int) -> None:
        """A fresh packet: how the two clocks stand at most."""
        passed = now_ns - t_send_ns
        self._least_ns[link] = min(self._least_ns.get(link, passed), passed)
        if len(self._least_ns) > MAX_LINKS:
            del self._least_ns[next(iter(self._least_ns))]

    def frame(self, link: int, item: frames.Frame) -> list[Finding]:
        """A frame after `stop`: was it captured before?"""
        stop, least_ns = self._stops.get(link), self._least_ns.get(link)
        if stop is None or least_ns is None or item.kind == kinds.CLOCK:
            return []
        newest = int(kinds.capture_times(kinds.KINDS[item.kind], item.samples).max())
        late_ns = newest + least_ns - stop.at_ns
        if late_ns <= GRACE_NS:
            return []
        return [
            Finding(
                "stop.captured",
                16,
                f"{kinds.KINDS[item.kind].name} captured {late_ns / 1e9:.1f} s after `stop`",
                "end capture first, then flush, answer and say BYE",
            )
        ]

    def answered(self, link: int, seqs: set[int]) -> None:
        """The device answers commands."""
        stop = self._stops.get(link)
        if stop is not None and stop.seq in seqs:
            stop.answered = True
            self._settle(stop)

    def bye(self, link: int, reason: str) -> list[Finding]:
        """BYE on a link."""
        stop = self._stops.get(link)
        if stop is None:
            return []
        stop.bye = True
        if reason != "stop":
            return [
                Finding("stop.reason", 16, f"BYE with `{reason}` after `stop`", "reason `stop`", fails=False)
            ]
        self._settle(stop)
        return []

    def _settle(self, stop: _Stop) -> None:
        if stop.bye and stop.answered and not stop.told:
            stop.told = True
            self.clean += 1

    def overdue(self, now_ns: int, expects: Callable[[int], int | None]) -> list[Finding]:
        """Links that said no BYE.

        Args:
            now_ns: the time.
            expects: since when a link can be expected to answer; None for one that the device never took up, or let
                go: a link that only the gateway knows of says nothing.
        """
        findings = []
        for link, stop in self._stops.items():
            since_ns = expects(link)
            if stop.told or stop.bye or since_ns is None:
                continue
            if now_ns - max(stop.at_ns, since_ns) > BYE_NS:
                stop.told = True
                findings.append(
                    Finding(
                        "stop.no_bye",
                        16,
                        "no BYE after `stop`",
                        "stop capturing, send what is held, answer, then BYE with `stop`",
                    )
                )
        return findings
