"""What the check has to say: a line for each packet, a finding for each mistake, and how both are kept and folded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

MAX_FINDINGS: Final = 256  # kinds of mistakes are few; a client that makes more is told the first ones
FOLD_NS: Final = 5_000_000_000  # how long lines of one kind are counted before their number is told


class Finding(NamedTuple):
    """A mistake.

    Args:
        code: stable, like `tag.nonces_swapped`.
        row: line of the checklist (SPEC, "Checklist") that it speaks about; 0 for none.
        what: what is wrong, in words.
        mend: how to mend it.
        fails: whether it fails that line; otherwise it is only worth a look.
    """

    code: str
    row: int
    what: str
    mend: str
    fails: bool = True


class Spot(NamedTuple):
    """Where in a packet something is wrong.

    Args:
        offset: in the body before encryption (or in the packet, where `packet` is set).
        said: the bytes that stand there, a few.
        wanted: what should stand there; empty where that is not one thing.
        packet: whether the offset counts from the packet's first byte.
    """

    offset: int
    said: bytes
    wanted: str
    packet: bool = False

    def __str__(self) -> str:
        where = "packet" if self.packet else "body"
        shown = " ".join(f"{byte:02x}" for byte in self.said[:16])
        return f"{where}[{self.offset}]: {shown or '(end)'}" + (
            f"   wanted: {self.wanted}" if self.wanted else ""
        )


@dataclass(slots=True)
class Noted:
    """A finding and when it was made first, and how often since.

    Args:
        finding: the first of its code.
        number: of the packet, 0 where it is about no single one.
        at_ns: of the first.
        count: how often in all.
    """

    finding: Finding
    number: int
    at_ns: int
    count: int = 1


class Notes:
    """Findings by code."""

    def __init__(self) -> None:
        self.kept: dict[str, Noted] = {}

    def add(self, findings: Iterable[Finding], number: int, at_ns: int) -> list[Finding]:
        """Keep findings; returns those whose code is new."""
        new = []
        for finding in findings:
            known = self.kept.get(finding.code)
            if known is not None:
                known.count += 1
            elif len(self.kept) < MAX_FINDINGS:
                self.kept[finding.code] = Noted(finding, number, at_ns)
                new.append(finding)
        return new


@dataclass(slots=True)
class Line:
    """One packet in words.

    Args:
        number: of the packet, from 1.
        at_ns: when, on the clock of the check.
        up: from the device.
        who: the device, or the address of a stranger.
        kind: its type in capitals.
        link, seq: of its header.
        says: what it says.
        verdict: the gateway's word (SPEC, "Reasons"), or `taken in`, `sent`, `lost on purpose`.
        means, todo: of the verdict.
        new: findings that are new with it.
        fields: name and value of what it holds, for --verbose; never a key, a nonce or a sample.
        spots: where it is wrong.
        size: bytes.
    """

    number: int
    at_ns: int
    up: bool
    who: str
    kind: str
    link: int = 0
    seq: int = 0
    says: str = ""
    verdict: str = ""
    means: str = ""
    todo: str = ""
    new: list[Finding] = field(default_factory=list)
    fields: list[tuple[str, str]] = field(default_factory=list)
    spots: list[Spot] = field(default_factory=list)
    size: int = 0

    @property
    def alike(self) -> tuple[bool, str, str, int, str]:
        """Lines with the same of this are folded."""
        return (self.up, self.who, self.kind, self.link, self.verdict)


@dataclass(slots=True)
class _Fold:
    line: Line
    since_ns: int
    count: int = 0


class Folder:
    """Lets the first of its kind and whatever is new through at once, and counts the rest."""

    def __init__(self) -> None:
        self._folds: dict[tuple[bool, str, str, int, str], _Fold] = {}

    def add(self, line: Line) -> list[tuple[Line, int]]:
        """Take a line; returns what is to be shown now: lines, and how many each stands for."""
        fold = self._folds.get(line.alike)
        if fold is None or line.new:
            shown = [(fold.line, fold.count)] if fold is not None and fold.count else []
            self._folds[line.alike] = _Fold(line, line.at_ns)
            return [*shown, (line, 1)]
        fold.line, fold.count = line, fold.count + 1
        return self.due(line.at_ns)

    def due(self, now_ns: int) -> list[tuple[Line, int]]:
        """What was counted long enough."""
        shown = []
        for fold in self._folds.values():
            if fold.count and now_ns - fold.since_ns >= FOLD_NS:
                shown.append((fold.line, fold.count))
                fold.count, fold.since_ns = 0, now_ns
        for alike in [alike for alike, fold in self._folds.items() if now_ns - fold.since_ns > 12 * FOLD_NS]:
            del self._folds[alike]
        return sorted(shown, key=lambda one: one[0].number)

    def rest(self) -> list[tuple[Line, int]]:
        """What is still counted, at the end."""
        shown = [(fold.line, fold.count) for fold in self._folds.values() if fold.count]
        self._folds.clear()
        return sorted(shown, key=lambda one: one[0].number)
