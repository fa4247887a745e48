"""How commands speak: JSON or tables on standard output, notes on standard error.

Names and words that come from elsewhere are cleaned before they reach a terminal: a control character in a device's
name must not move somebody's cursor.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

PIPE_COLUMNS: Final = 10_000
"""Width of a table that no terminal shows: no line is ever folded for a program that reads it."""

PROSE_COLUMNS: Final = 100
"""Longest line of prose on a terminal."""

SHORT_ID: Final = (
    8  # hex digits; two sessions of one store share them once in 65,000 sessions, and then more are shown
)


def json_option(command: F) -> F:
    """Add `--json`."""
    option = click.option(
        "--json", "as_json", is_flag=True, callback=_remember_json, help="One JSON document instead."
    )
    return option(command)


def json_lines_option(command: F) -> F:
    """Add `--json` to a command that tells as it goes."""
    option = click.option(
        "--json", "as_json", is_flag=True, callback=_remember_json, help="One JSON object a line."
    )
    return option(command)


def _remember_json(ctx: click.Context, _option: click.Parameter, value: bool) -> bool:
    # Errors of a command that was asked for JSON are JSON as well.
    if value and ctx.obj is not None:
        ctx.obj.as_json = True
    return value


def write_json(value: Any) -> None:
    """Write one JSON document: indented for a person, on one line for a program."""
    indent = 2 if sys.stdout.isatty() else None
    click.echo(json.dumps(value, indent=indent, ensure_ascii=False))


def note(text: str = "") -> None:
    """Say something that is not data; its commands, in backticks, are those of the store that was named."""
    ctx = click.get_current_context(silent=True)
    click.echo(ctx.obj.told(text) if ctx is not None and ctx.obj is not None else text, err=True)


def clean(text: object) -> str:
    """A text without control characters."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(text))


def color() -> bool:
    """Whether standard output may be coloured (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def paint(text: str, style: str) -> str:
    """Colour a text where that is wanted; `style` is a colour of click, or "" for none."""
    return click.style(text, fg=style) if style and color() else text


def columns() -> int:
    """How wide a line may be."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPE_COLUMNS


def table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Sequence[str] = (),
    spare: Sequence[str] = (),
    width: int = 0,
) -> str:
    """Lay out rows under headings, as text without a line end at its end.

    Args:
        headings: of the columns.
        rows: one text for each column.
        right: headings of the columns that hold numbers.
        spare: headings of columns that are left out, one after another, while a line would not fit.
        width: of a line; 0 takes the terminal's.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    width = width or columns()
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, (name, *(row[n] for row in cells)))) + 2 for n, name in enumerate(headings)]
    shown = list(range(len(headings)))
    for name in spare:
        if sum(widths[n] for n in shown) > width:
            shown.remove(headings.index(name))
    console = Console(width=width, no_color=not color(), highlight=False, force_terminal=sys.stdout.isatty())
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold" if color() else "")
    for n in shown:
        justify: Literal["left", "right"] = "right" if headings[n] in right else "left"
        grid.add_column(headings[n], justify=justify, overflow="fold", no_wrap=headings[n] == "ID")
    for row in cells:
        grid.add_row(*(Text(row[n]) for n in shown))
    with console.capture() as captured:
        console.print(grid)
    return "\n".join(line.rstrip() for line in captured.get().rstrip("\n").split("\n"))


def prose(text: str) -> str:
    """A long text in lines that a person reads; as it is where no terminal shows it."""
    return click.wrap_text(text, min(columns(), PROSE_COLUMNS)) if sys.stderr.isatty() else text


def indent(text: str, by: str = "  ") -> str:
    """Put `by` before each line that has something in it."""
    return "\n".join(by + line if line else "" for line in text.split("\n"))


def count(number: int) -> str:
    """1234567 -> 1,234,567."""
    return f"{number:,}"


def plural(number: int, one: str, many: str = "") -> str:
    """(1, "batch", "batches") -> "1 batch"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def size(n_bytes: int) -> str:
    """Bytes with a unit that people read: 12.3 GiB."""
    value = float(n_bytes)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{int(value)} bytes" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def span(seconds: float) -> str:
    """A length of time in its two largest units: 2 h 3 min."""
    if seconds < 1:
        return "less than 1 s"
    left, parts = int(seconds), []
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        amount, left = divmod(left, length)
        if amount:
            parts.append(f"{amount} {unit}")
    return " ".join(parts[:2])


def ago(at_ms: int, now_ms: int) -> str:
    """How long ago a UTC time was."""
    return f"{span((now_ms - at_ms) / 1000)} ago" if now_ms >= at_ms else "in the future"


def moment(at_ms: int) -> str:
    """A UTC time in milliseconds as this machine's local date and time; "" for none."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at_ms / 1000)) if at_ms else ""


def short_ids(ids: Sequence[str]) -> Mapping[str, str]:
    """The shortest beginnings, of at least 8 digits, that tell these ids apart."""
    digits = SHORT_ID
    while digits < 32 and len({one[:digits] for one in ids}) < len(set(ids)):
        digits += 4
    return {one: one[:digits] for one in ids}
