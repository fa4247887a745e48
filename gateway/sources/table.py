"""Rows of text under a header line: the common part of the readers. Every complaint names its line."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from gateway.errors import LocalError
from gateway.sources.track import Floats, Times, refuse

MAX_ROWS = 1_000_000
"""Three hours at 90 Hz: enough for any sitting, and a bound for what a wrong file can make us hold."""

NS_MAX = 2**62
"""Half of what an i64 holds, so that differences of two times fit too."""


class Table:
    """A text table: a header line, then rows of as many fields.

    Args:
        text: the whole text; lines end with LF or CRLF, blank lines at the end are ignored.
        separator: one character between fields. Quoting is not known: no recording uses it.
        required: columns that the reader needs; others are ignored.

    Raises:
        LocalError: `recording`, with the line.
    """

    def __init__(self, text: str, separator: str, required: Sequence[str]) -> None:
        lines = [line.removesuffix("\r") for line in text.split("\n")]
        while lines and not lines[-1]:
            lines.pop()
        if not lines:
            raise refuse(
                "the recording is empty", "Give a recording with a header line and at least one row."
            )
        self._header = lines[0].split(separator)
        missing = [name for name in required if name not in self._header]
        if missing:
            raise refuse(
                f"line 1: column {missing[0]!r} is missing ({len(missing)} of {len(required)} needed)",
                "Export the recording again with the columns of its format, named as that format names them.",
            )
        if len(set(self._header)) != len(self._header):
            raise refuse("line 1: two columns have the same name", "Remove the second one.")
        if len(lines) - 1 > MAX_ROWS:
            raise refuse(f"{len(lines) - 1} rows; at most {MAX_ROWS}", "Cut the recording into shorter ones.")
        if len(lines) == 1:
            raise refuse(
                "the recording has a header line and no row", "Give a recording with at least one row."
            )
        self._rows = [line.split(separator) for line in lines[1:]]
        for number, row in enumerate(self._rows, 2):
            if len(row) != len(self._header):
                raise refuse(
                    f"line {number}: {len(row)} fields where the header has {len(self._header)}",
                    "Repair or remove that line; a recording that was cut off often ends in half a row.",
                )

    def __len__(self) -> int:
        return len(self._rows)

    def texts(self, column: str) -> list[str]:
        """The fields of one column as they stand."""
        index = self._header.index(column)
        return [row[index] for row in self._rows]

    def floats(self, *columns: str) -> Floats:
        """`(n, len(columns)) float64`; NaN and infinity are numbers here, the reader clears their bits."""
        out = np.empty((len(self._rows), len(columns)), np.float64)
        for at, column in enumerate(columns):
            texts = self.texts(column)
            try:
                out[:, at] = [_float(text) for text in texts]
            except ValueError:
                raise self._bad_field(column, texts, _float, "a number") from None
        return out

    def integers(self, column: str, low: int, high: int) -> Times:
        """`(n,) int64`, each within `low..high`."""
        texts = self.texts(column)

        def parse(text: str) -> int:
            value = _integer(text)
            if not low <= value <= high:
                raise ValueError
            return value

        try:
            return np.array([parse(text) for text in texts], np.int64)
        except ValueError:
            raise self._bad_field(column, texts, parse, f"a whole number from {low} to {high}") from None

    def booleans(self, column: str) -> npt.NDArray[np.bool_]:
        """`(n,)` of a column of `True` and `False`."""
        texts = self.texts(column)
        words = {"True": True, "False": False}
        try:
            return np.array([words[text] for text in texts], np.bool_)
        except KeyError:
            raise self._bad_field(column, texts, words.__getitem__, "True or False") from None

    def seconds_ns(self, column: str) -> Times:
        """`(n,) int64` nanoseconds of a column of seconds, rounded to the nearest."""
        texts = self.texts(column)

        def parse(text: str) -> int:
            value = _float(text) * 1e9
            if not abs(value) < NS_MAX:  # NaN fails this too
                raise ValueError
            return round(value)

        try:
            return np.array([parse(text) for text in texts], np.int64)
        except ValueError:
            raise self._bad_field(column, texts, parse, "a time in seconds") from None

    def _bad_field(
        self, column: str, texts: list[str], parse: Callable[[str], object], expected: str
    ) -> LocalError:
        for number, text in enumerate(texts, 2):
            try:
                parse(text)
            except (ValueError, KeyError):
                # The field itself stays out of the message: a shifted row may have put a name there.
                return refuse(
                    f"line {number}, column {column!r}: not {expected}",
                    "Repair or remove that line, or export the recording with points as decimal signs.",
                )
        raise AssertionError("a column that failed has a field that fails")


def _float(text: str) -> float:
    # Python would also take underscores and blanks; no recorder writes them.
    if "_" in text or text != text.strip():
        raise ValueError
    return float(text)


def _integer(text: str) -> int:
    if not text.removeprefix("-").isdecimal() or not text.isascii():
        raise ValueError
    return int(text)
