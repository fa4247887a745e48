"""Progress of long work, on standard error: a bar with the time left on a terminal, else one line every 10 s.

Front ends ask for `--progress json`: one JSON object a line, at most one a second.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from gateway.app.cli.output import count, span

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LINE_EVERY_S: Final = 10.0
JSON_EVERY_S: Final = 1.0

F = TypeVar("F", bound=Callable[..., Any])
Report = Callable[[str, int, int], None]
"""(stage, done, total): called often; total 0 means unknown."""


def progress_option(command: F) -> F:
    """Add `--progress`."""
    return click.option(
        "--progress",
        "progress",
        type=click.Choice(["auto", "json", "none"]),
        default="auto",
        show_default=True,
        help="auto is a bar on a terminal and a line every 10 s elsewhere; json is for programs.",
    )(command)


@contextmanager
def reporting(mode: str) -> Iterator[Report]:
    """What a long piece of work reports to, for as long as it runs.

    Args:
        mode: a choice of `--progress`.
    """
    if mode == "none":
        yield lambda stage, done, total: None
    elif mode == "json":
        lines = Lines(JSON_EVERY_S, _json_line)
        yield lines
        lines.end()
    elif sys.stderr.isatty():
        with _bar() as bar:
            yield bar
    else:
        lines = Lines(LINE_EVERY_S, _text_line)
        yield lines
        lines.end()


class Lines:
    """Writes a line now and then.

    Args:
        every_s: least time between two lines.
        word: makes a line of stage, done, total and the seconds left (None: unknown).
        clock: monotonic seconds.
        write: takes a line.
    """

    def __init__(
        self,
        every_s: float,
        word: Callable[[str, int, int, float | None], str],
        clock: Callable[[], float] = time.monotonic,
        write: Callable[[str], None] = lambda line: click.echo(line, err=True),
    ) -> None:
        self._every_s, self._word, self._clock, self._write = every_s, word, clock, write
        self._stage, self._done, self._total = "", 0, 0
        self._began_s = self._wrote_s = clock()
        self._written = ("", -1)

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Note how far the work is."""
        now_s = self._clock()
        if stage != self._stage:
            self._began_s = now_s
        self._stage, self._done, self._total = stage, done, total
        if now_s - self._wrote_s >= self._every_s:
            self._line(now_s)

    def end(self) -> None:
        """Write how far it came, if anything was written before: short work stays silent."""
        if self._written[1] >= 0 and self._written != (self._stage, self._done):
            self._line(self._clock())

    def _line(self, now_s: float) -> None:
        left_s: float | None = None
        if 0 < self._done <= self._total:
            left_s = (now_s - self._began_s) / self._done * (self._total - self._done)
        self._write(self._word(self._stage, self._done, self._total, left_s))
        self._wrote_s, self._written = now_s, (self._stage, self._done)


def _text_line(stage: str, done: int, total: int, left_s: float | None) -> str:
    if not total:
        return f"{stage}: {count(done)}"
    left = f", about {span(left_s)} left" if left_s is not None and done < total else ""
    return f"{stage}: {count(done)} of {count(total)} ({100 * done // total} %){left}"


def _json_line(stage: str, done: int, total: int, left_s: float | None) -> str:
    left = None if left_s is None else round(left_s, 1)
    return json.dumps({"progress": {"stage": stage, "done": done, "total": total or None, "left_s": left}})


_live: list[Progress] = []
"""The bar that is on the terminal, if any."""


@contextmanager
def paused() -> Iterator[None]:
    """Take the bar off the terminal while somebody is asked something: it would draw over question and answer."""
    for bar in _live:
        bar.stop()
    try:
        yield
    finally:
        for bar in _live:
            bar.start()


@contextmanager
def _bar() -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        _live.append(bar)
        try:
            yield _BarReport(bar)
        finally:
            _live.remove(bar)


class _BarReport:
    """One line of rich's display for each stage."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._bar.add_task(stage, total=total or None)
        self._bar.update(self._tasks[stage], completed=done, total=total or None)
