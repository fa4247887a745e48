"""MessagePack read with patience: every format, each value with its place, and where it is not in its shortest form.

The gateway's own reader says yes or no. This one says which byte, what stands there and what should. It reads what VT1
never allows (nil, maps, f32), so that an author is told that, and stops at a bound whatever the bytes promise.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from typing import Any, Final

MAX_DEPTH: Final = 8  # a body of VT1 has four levels
MAX_NODES: Final = 4096  # a packet of 1,200 bytes holds fewer values than bytes


@dataclass(slots=True)
class Node:
    """A value and where it stands.

    Args:
        value: int, float, str, bytes, bool or None; for an array the list of its nodes.
        start, end: offsets of its first byte and behind its last.
        form: name of its format.
    """

    value: Any
    start: int
    end: int
    form: str

    @property
    def items(self) -> list[Node]:
        """The nodes of an array; empty for anything else."""
        return self.value if self.form == "array" else []


@dataclass(slots=True)
class Reading:
    """What was read.

    Args:
        root: the value; None where nothing whole stands there.
        broken: where it cannot be read on, and why.
        longer: `(offset, what stands there, the shortest form)` of values that are not shortest.
        foreign: `(offset, what)` of formats that VT1 does not have.
    """

    root: Node | None = None
    broken: tuple[int, str] | None = None
    longer: list[tuple[int, str, str]] = field(default_factory=list)
    foreign: list[tuple[int, str]] = field(default_factory=list)


class _Broken(Exception):
    def __init__(self, at: int, why: str) -> None:
        super().__init__(why)
        self.at, self.why = at, why


def read(data: bytes) -> Reading:
    """Read one value and look at every format on the way. Never raises."""
    reader = _Reader(data)
    try:
        reader.reading.root = root = reader.value(0)
        if root.end < len(data):
            reader.reading.broken = root.end, f"{len(data) - root.end} bytes follow after the body's end"
    except _Broken as broken:
        reader.reading.broken = broken.at, broken.why
    return reader.reading


def shortest(value: Any) -> str:
    """The shortest form of an integer or of a length's head, as hexadecimal text."""
    n = int(value)
    forms: tuple[tuple[bool, bytes], ...]
    if n >= 0:
        forms = (
            (n < 128, bytes((n & 0x7F,))),
            (n < 1 << 8, b"\xcc" + (n & 0xFF).to_bytes(1, "big")),
            (n < 1 << 16, b"\xcd" + (n & 0xFFFF).to_bytes(2, "big")),
            (n < 1 << 32, b"\xce" + (n & 0xFFFFFFFF).to_bytes(4, "big")),
            (True, b"\xcf" + (n & (1 << 64) - 1).to_bytes(8, "big")),
        )
    else:
        forms = (
            (n >= -32, (n & 0xFF).to_bytes(1, "big")),
            (n >= -(1 << 7), b"\xd0" + (n & 0xFF).to_bytes(1, "big")),
            (n >= -(1 << 15), b"\xd1" + (n & 0xFFFF).to_bytes(2, "big")),
            (n >= -(1 << 31), b"\xd2" + (n & 0xFFFFFFFF).to_bytes(4, "big")),
            (True, b"\xd3" + (n & (1 << 64) - 1).to_bytes(8, "big")),
        )
    return next(form for fits, form in forms if fits).hex(" ")


# first byte -> bytes of the number behind it, and whether that is signed
_INTS: Final = {
    0xCC: (1, False),
    0xCD: (2, False),
    0xCE: (4, False),
    0xCF: (8, False),
    0xD0: (1, True),
    0xD1: (2, True),
    0xD2: (4, True),
    0xD3: (8, True),
}
_STRS: Final = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_BINS: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_ARRAYS: Final = {0xDC: 2, 0xDD: 4}
_MAPS: Final = {0xDE: 2, 0xDF: 4}
_EXTS: Final = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_FIXEXTS: Final = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._nodes = 0
        self.reading = Reading()

    def _take(self, at: int, size: int, what: str) -> bytes:
        if at + size > len(self._data):
            raise _Broken(
                at, f"the body ends inside {what}: {size} bytes wanted, {max(0, len(self._data) - at)} there"
            )
        return self._data[at : at + size]

    def _number(self, at: int, size: int, what: str, signed: bool = False) -> int:
        return int.from_bytes(self._take(at, size, what), "big", signed=signed)

    def value(self, at: int, depth: int = 0) -> Node:
        """The value that begins at an offset."""
        self._nodes += 1
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            raise _Broken(at, "values are nested deeper, or are more, than any body has")
        head = self._take(at, 1, "the body" if at == 0 else "an array")[0]
        if head < 0x80 or head >= 0xE0:
            return Node(head if head < 0x80 else head - 256, at, at + 1, "int")
        if head in _INTS:
            return self._int(at, *_INTS[head])
        if 0xA0 <= head < 0xC0 or head in _STRS:
            return self._text(at, head)
        if head in _BINS:
            return self._bytes(at, _BINS[head])
        if 0x90 <= head < 0xA0 or head in _ARRAYS:
            return self._array(at, head, depth)
        if head in (0xCA, 0xCB):
            return self._float(at, head)
        return self._foreign(at, head, depth)

    def _int(self, at: int, size: int, signed: bool) -> Node:
        number = self._number(at + 1, size, "an integer", signed)
        wanted = shortest(number)
        if len(wanted.split()) != 1 + size or (signed and number >= 0):
            self.reading.longer.append(
                (at, f"the integer {number} in {1 + size} bytes{' (signed)' if signed else ''}", wanted)
            )
        return Node(number, at, at + 1 + size, "int")

    def _length(self, at: int, size: int, least: int, what: str, short: str) -> int:
        number = self._number(at + 1, size, f"the length of {what}")
        if number < least:
            self.reading.longer.append((at, f"{what} of {number} with a length of {size} bytes", short))
        return number

    def _text(self, at: int, head: int) -> Node:
        size = _STRS.get(head, 0)
        if size:
            n = self._number(at + 1, size, "the length of a str")
            short = (
                f"{0xA0 + n:02x}"
                if n < 32
                else f"d9 {n:02x}"
                if n < 256
                else f"da {n >> 8 & 255:02x} {n & 255:02x}"
            )
            self._length(at, size, {1: 32, 2: 256, 4: 1 << 16}[size], "a str", short)
        else:
            n = head & 0x1F
        begin = at + 1 + size
        data = self._take(begin, n, f"a str of {n} bytes")
        try:
            return Node(data.decode("utf-8"), at, begin + n, "str")
        except UnicodeDecodeError as error:
            self.reading.foreign.append((begin + error.start, "a str that is not UTF-8"))
            return Node("", at, begin + n, "str")

    def _bytes(self, at: int, size: int) -> Node:
        n = self._number(at + 1, size, "the length of a bin")
        short = f"c4 {n:02x}" if n < 256 else f"c5 {n >> 8 & 255:02x} {n & 255:02x}"
        self._length(at, size, {1: 0, 2: 256, 4: 1 << 16}[size], "a bin", short)
        begin = at + 1 + size
        return Node(self._take(begin, n, f"a bin of {n} bytes"), at, begin + n, "bin")

    def _array(self, at: int, head: int, depth: int) -> Node:
        size = _ARRAYS.get(head, 0)
        if size:
            n = self._number(at + 1, size, "the length of an array")
            short = f"{0x90 + n:02x}" if n < 16 else f"dc {n >> 8 & 255:02x} {n & 255:02x}"
            self._length(at, size, {2: 16, 4: 1 << 16}[size], "an array", short)
        else:
            n = head & 0x0F
        place, items = at + 1 + size, []
        if n > len(self._data) - place:
            raise _Broken(at, f"an array that promises {n} values, more than there are bytes")
        for _ in range(n):
            items.append(node := self.value(place, depth + 1))
            place = node.end
        return Node(items, at, place, "array")

    def _float(self, at: int, head: int) -> Node:
        size = 4 if head == 0xCA else 8
        (number,) = struct.unpack(">f" if size == 4 else ">d", self._take(at + 1, size, "a float"))
        what = "a float32 (ca); float64 (cb) is the only float" if size == 4 else ""
        if what:
            self.reading.foreign.append((at, what))
        return Node(number if math.isfinite(number) else float("nan"), at, at + 1 + size, "float")

    def _foreign(self, at: int, head: int, depth: int) -> Node:
        if head in (0xC0, 0xC2, 0xC3):
            value, what = {0xC0: (None, "nil"), 0xC2: (False, "a boolean"), 0xC3: (True, "a boolean")}[head]
            self.reading.foreign.append((at, f"{what}, which VT1 does not have"))
            return Node(value, at, at + 1, "nil" if value is None else "bool")
        if 0x80 <= head < 0x90 or head in _MAPS:
            raise _Broken(at, "a map, which VT1 does not have: bodies are arrays, in the order of the fields")
        if head in _FIXEXTS or head in _EXTS:
            raise _Broken(at, "an extension, which VT1 does not have")
        raise _Broken(at, f"the byte {head:02x}, which MessagePack never uses")
