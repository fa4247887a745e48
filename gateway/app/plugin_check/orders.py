"""COMMANDs that went down and what the device made of them (SPEC, "Commands")."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from gateway.app.plugin_check.say import Finding
from gateway.wire import frame as frames
from gateway.wire import kinds
from gateway.wire.control import HOLD_REASONS, RESULTS

SECOND: Final = 1_000_000_000
ANSWER_NS: Final = 6 * SECOND
DONE: Final = "done"
MAX_ORDERS: Final = 512
RATE: Final = 20

_DOES: Final = frozenset(("done", "unsupported"))
_REFUSES: Final = frozenset(("refused", "unsupported"))


def expected(verb: str, args: list[Any]) -> frozenset[str]:
    """Results that a device may answer with; empty where it must not answer at all.

    `haptic` within its limits may be refused: a device need not have the target. The trial asks both hands.
    """
    match verb, args:
        case "haptic", [int(target), float(amplitude), int(duration), float(frequency)]:
            good = 0 <= target <= 255 and 0 <= amplitude <= 1 and 0 <= duration <= 10_000
            good = good and (frequency == 0 or 1 <= frequency <= 1000) and math.isfinite(amplitude)
            return RESULTS if good and target in (1, 2) else _REFUSES
        case "text", [str(text)]:
            return _DOES if 0 < len(text.encode()) <= 512 else _REFUSES
        case "marker", [int(code), str(text)]:
            return _DOES if 0 <= code <= 0xFFFF and len(text.encode()) <= 512 else _REFUSES
        case (("haptic" | "text" | "marker"), _):
            return _REFUSES
        case "rotate", [str(key)]:
            good = len(key) == 64 and set(key) <= set("0123456789abcdef")
            return frozenset((DONE,)) if good else frozenset(("refused",))
        case "rotate", _:
            return frozenset(("refused",))
        case "hold", [str(reason)]:
            return frozenset((DONE,)) if reason in HOLD_REASONS else frozenset(("refused",))
        case "hold", _:
            return frozenset(("refused",))
        case (("stop" | "open"), _):
            return frozenset((DONE,))
        case _:
            return frozenset()


@dataclass(slots=True)
class _Order:
    verb: str
    args: list[Any]
    first_ns: int
    recording: bool
    forged: bool
    permitted: bool
    results: list[str] = field(default_factory=list)
    sends: int = 1
    recorded: int = 0
    told: bool = False
    crowded: bool = False


class Orders:
    """Commands by link and seq."""

    def __init__(self) -> None:
        self._orders: OrderedDict[tuple[int, int], _Order] = OrderedDict()
        self.facts: Counter[str] = Counter()
        self.burst_done = 0

    def sent(
        self,
        link: int,
        seq: int,
        verb: str,
        args: list[Any],
        recording: bool,
        forged: bool,
        now_ns: int,
        permitted: bool = True,
    ) -> None:
        """A COMMAND went down and was not lost; a copy of one that is known counts as such.

        Args:
            link, seq: of its header.
            verb, args: of its body.
            recording: whether the link records; on a waiting one nothing is answered.
            forged: whether the trial made it up.
            now_ns: when.
            permitted: whether the session permits the sample that it leaves; else it is carried out and leaves none.
        """
        known = self._orders.get((link, seq))
        if known is not None:
            known.sends += 1
            return
        order = self._orders[link, seq] = _Order(verb, args, now_ns, recording, forged, permitted)
        recent = sum(now_ns - other.first_ns < SECOND for other in self._orders.values())
        order.crowded = recent >= RATE - 2  # above the rate every command may be refused
        while len(self._orders) > MAX_ORDERS:
            self._orders.popitem(last=False)

    def answered(self, link: int, seq: int, result: str) -> list[Finding]:
        """The device answers one."""
        order = self._orders.get((link, seq))
        if order is None:
            return [
                Finding(
                    "command.stranger",
                    20,
                    f"it answers a command that was not sent (number {seq & (1 << 48) - 1})",
                    "answer with the seq of the COMMAND's header, as a u64",
                )
            ]
        if order.forged:
            return [
                Finding(
                    "command.forged",
                    6,
                    f"it answers a {order.verb} that was forged",
                    "check the tag under K_mac down in constant time, before anything else",
                )
            ]
        findings = []
        if not order.recording:
            findings.append(
                Finding(
                    "command.waiting",
                    20,
                    "it answers on a waiting link",
                    "there nothing is answered; HELLO is the answer to `open`",
                    fails=False,
                )
            )
        wanted = expected(order.verb, order.args)
        if not wanted:
            findings.append(
                Finding(
                    "command.unknown_verb",
                    20,
                    "it answers a verb that does not exist",
                    "drop and count a COMMAND whose verb is not in SPEC, 11",
                )
            )
        elif result not in wanted and not (order.crowded and result == "refused"):
            findings.append(_wrong(order, result, wanted))
        if order.results and order.results[0] != result:
            findings.append(
                Finding(
                    "command.two_answers",
                    20,
                    f"{order.verb}: `{order.results[0]}` first, then `{result}` for a copy",
                    "remember the result of each seq and tell it again",
                )
            )
        if order.results and order.sends > 1:
            self.facts["copy.answered"] += 1
        if not order.results:
            self.facts[f"{order.verb}.{result}"] += 1
            self.facts[f"limits.{'kept' if result in wanted else 'broken'}"] += bool(wanted)
        order.results.append(result)
        return findings

    def frame(self, item: frames.Frame) -> list[Finding]:
        """A frame of markers or haptics came: each command leaves one sample."""
        if item.kind == kinds.MARKER:
            head = np.frombuffer(item.samples, kinds.MARKER_HEADER, 1)[0]
            return self._recorded("marker", lambda args: len(args) == 2 and args[0] == int(head["code"]))
        if item.kind == kinds.HAPTIC:
            findings = []
            for row in np.frombuffer(item.samples, kinds.HAPTIC_DTYPE):
                level, target = float(row["amplitude"]), int(row["target"])
                findings += self._recorded("haptic", _same(level, target))
            return findings
        return []

    def _recorded(self, verb: str, fits: Any) -> list[Finding]:
        for order in reversed(self._orders.values()):
            if order.verb == verb and not order.forged and fits(order.args):
                order.recorded += 1
                self.facts[f"{verb}.recorded"] += 1
                if order.recorded == 2:
                    return [
                        Finding(
                            "command.twice",
                            20,
                            f"one {verb} command was carried out twice",
                            "act once for each seq; a copy is answered and nothing else",
                        )
                    ]
                return []
        return []

    def overdue(self, now_ns: int, heard: bool, expects: Callable[[int], int | None]) -> list[Finding]:
        """Commands without an answer, or without the sample that they leave.

        Args:
            now_ns: the time.
            heard: whether the device hears the gateway at all.
            expects: as of `Stopping.overdue`.
        """
        findings = []
        for (link, _), order in self._orders.items():
            since_ns = expects(link)
            if order.told or not heard or since_ns is None:
                continue
            if now_ns - max(order.first_ns, since_ns) < ANSWER_NS:
                continue
            order.told = True
            if order.forged or not order.recording or not expected(order.verb, order.args):
                self.facts["forged.ignored" if order.forged else "unknown.ignored"] += not order.results
                continue
            if not order.results:
                row = 16 if order.verb == "stop" else 20
                findings.append(
                    Finding(
                        f"command.{order.verb}_unanswered",
                        row,
                        f"{order.verb} was not answered",
                        "RECEIPT up with [[[seq, result]]] for each COMMAND, also for what is refused",
                    )
                )
            elif (
                order.verb == "marker" and order.permitted and order.results[0] == DONE and not order.recorded
            ):
                findings.append(
                    Finding(
                        f"command.{order.verb}_lost",
                        20,
                        f"{order.verb} was answered `done` and left no sample",
                        "record it as a sample, captured when it was carried out",
                        fails=False,
                    )
                )
        return findings

    def burst(self) -> list[Finding]:
        """After a burst of harmless commands: how many were carried out."""
        done = self.facts["text.done"]
        if done - self.burst_done > 2 * RATE:
            return [
                Finding(
                    "command.rate",
                    20,
                    f"{done - self.burst_done} commands of a burst were carried out",
                    "20 a second over all links, of which 20 may come at once; the rest is refused",
                )
            ]
        return []


def _same(level: float, target: int) -> Any:
    return lambda args: (
        len(args) == 4 and args[0] == target and isinstance(args[1], float) and abs(args[1] - level) < 1e-6
    )


def _wrong(order: _Order, result: str, wanted: frozenset[str]) -> Finding:
    if wanted == _REFUSES:
        what = f"a {order.verb} outside of its limits was answered `{result}`"
        return Finding(
            "command.limit",
            20,
            what,
            "the device enforces the limits of SPEC, 11, whoever sent it: this is the last check before the skin",
        )
    answers = " or ".join(f"`{one}`" for one in sorted(wanted))
    return Finding(
        f"command.{order.verb}_answer",
        16 if order.verb == "stop" else 20,
        f"{order.verb} was answered `{result}`, wanted {answers}",
        "see SPEC, 11",
    )
