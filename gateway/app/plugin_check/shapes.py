"""What each body of a device must look like, field by field, and where one departs from it (SPEC, "Bodies")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from gateway.app.plugin_check.reading import Node
from gateway.ids import U16_MAX, U32_MAX, U64_MAX
from gateway.wire import control, frame
from gateway.wire import packet as wire


class Fault(NamedTuple):
    """A field that is not as it must be.

    Args:
        offset: in the body.
        field: its name, like `frames[0].kind`.
        what: what is wrong with it.
        wanted: what it must be.
    """

    offset: int
    field: str
    what: str
    wanted: str


Check = Callable[[Node, str], list[Fault]]
SAMPLE_MAX: Final = frame.SAMPLE_NUMBER_MAX
_NAMES: Final = {
    "int": "an integer",
    "float": "a float",
    "str": "a str",
    "bin": "a bin",
    "array": "an array",
    "nil": "nil",
    "bool": "a boolean",
}


def _is(node: Node, form: str, name: str) -> list[Fault]:
    if node.form == form:
        return []
    return [Fault(node.start, name, f"it is {_NAMES.get(node.form, node.form)}", _NAMES[form])]


def number(low: int, high: int) -> Check:
    """An integer from `low` to `high`."""

    def check(node: Node, name: str) -> list[Fault]:
        if faults := _is(node, "int", name):
            return faults
        if low <= node.value <= high:
            return []
        return [Fault(node.start, name, f"it is {node.value}", f"{low}..{high}")]

    return check


def octets(size: int) -> Check:
    """A bin of exactly so many bytes; -1 for any."""

    def check(node: Node, name: str) -> list[Fault]:
        if faults := _is(node, "bin", name):
            return faults
        if size < 0 or len(node.value) == size:
            return []
        return [Fault(node.start, name, f"it has {len(node.value)} bytes", f"{size} bytes")]

    return check


def word(known: frozenset[str]) -> Check:
    """One word of a closed set."""

    def check(node: Node, name: str) -> list[Fault]:
        if faults := _is(node, "str", name):
            return faults
        if node.value in known:
            return []
        return [Fault(node.start, name, "it is no word of the set", ", ".join(sorted(known)))]

    return check


def rows(of: Check, most: int, least: int = 0) -> Check:
    """An array of values that are all alike."""

    def check(node: Node, name: str) -> list[Fault]:
        if faults := _is(node, "array", name):
            return faults
        if not least <= len(node.items) <= most:
            return [Fault(node.start, name, f"it has {len(node.items)} items", f"{least} to {most}")]
        return [fault for n, item in enumerate(node.items) for fault in of(item, f"{name}[{n}]")]

    return check


def fields(*named: tuple[str, Check]) -> Check:
    """An array with exactly these fields."""

    def check(node: Node, name: str) -> list[Fault]:
        if faults := _is(node, "array", name):
            return faults
        if len(node.items) != len(named):
            wanted = f"{len(named)}: [{', '.join(one for one, _ in named)}]"
            return [Fault(node.start, name, f"it has {len(node.items)} fields", wanted)]
        at = "" if name == "body" else f"{name}."
        return [f for (one, of), item in zip(named, node.items, strict=True) for f in of(item, f"{at}{one}")]

    return check


def _name(node: Node, name: str) -> list[Fault]:
    if faults := _is(node, "str", name):
        return faults
    if control.is_device_name(node.value):
        return []
    return [Fault(node.start, name, "it is too long or has control characters", "0..64 bytes of UTF-8")]


def _zeros(node: Node, name: str) -> list[Fault]:
    if faults := _is(node, "bin", name):
        return faults
    if not any(node.value):
        return []
    return [Fault(node.start, name, "it has bytes that are not zero", "zero bytes")]


_versions: Final = rows(number(1, 255), control.MAX_VERSIONS, 1)


def _ascending(node: Node, name: str) -> list[Fault]:
    if faults := _versions(node, name):
        return faults
    values = [item.value for item in node.items]
    if values == sorted(set(values)):
        return []
    return [Fault(node.start, name, "they do not ascend", "ascending numbers, each once")]


def _once(of: Check) -> Check:
    """Rows that name a stream at most once."""

    def check(node: Node, name: str) -> list[Fault]:
        if faults := of(node, name):
            return faults
        streams: set[int] = set()
        for n, row in enumerate(node.items):
            stream = row.items[0].value
            if stream in streams:
                return [
                    Fault(
                        row.start, f"{name}[{n}]", f"stream {stream} stands there twice", "each stream once"
                    )
                ]
            streams.add(stream)
        return []

    return check


_total: Final = fields(("stream", number(0, U16_MAX)), ("total", number(0, SAMPLE_MAX)))
_totals: Final = _once(rows(_total, frame.MAX_TOTALS))
_frame: Final = fields(
    ("stream", number(0, U16_MAX)),
    ("kind", number(0, U64_MAX)),
    ("first_sample", number(0, SAMPLE_MAX)),
    ("samples", octets(-1)),
)
_floor: Final = ("floor", number(0, U64_MAX))

SHAPES: Final[dict[int, Check]] = {
    wire.PAIR: fields(("nonce_d", octets(16)), ("name", _name), ("pad", _zeros)),
    wire.HELLO: fields(
        ("device", number(1, U32_MAX)),
        ("run", number(0, U64_MAX)),
        ("nonce_d", octets(16)),
        ("versions", _ascending),
        ("links", rows(number(1, U32_MAX), control.MAX_LINKS)),
        ("pad", _zeros),
    ),
    wire.DATA: fields(_floor, ("totals", _totals), ("frames", rows(_frame, frame.MAX_FRAMES))),
    wire.RECEIPT: fields(
        ("commands", rows(fields(("seq", number(0, U64_MAX)), ("result", word(control.RESULTS))), U16_MAX))
    ),
    wire.SYNC: fields(("t1_ns", number(-(2**63), 2**63 - 1))),
    wire.BYE: fields(_floor, ("totals", _totals), ("reason", word(frame.BYE_REASONS))),
}
"""Type of an uplink packet -> the check of its body."""


def faults_of(kind: int, root: Node) -> list[Fault]:
    """What is wrong with a body; empty where nothing is, or the type is none that devices send."""
    check = SHAPES.get(kind)
    return check(root, "body") if check is not None else []
