"""What the demonstration shows while it records: a live table on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import click

from gateway.app.cli import output

if TYPE_CHECKING:
    from rich.console import Group

    from gateway.app.demo import View

LINE_EVERY_S: Final = 3.0
STATES: Final = {
    "recording": ("recording", "green"),
    "waiting": ("waits for a session", "yellow"),
    "behind": ("behind: receipts are late", "red"),
    "not_recording": ("stopped", ""),
}
"""What a person at the device would see -> words and colour."""

Show = Callable[["View"], None]


@contextmanager
def showing(quiet: bool) -> Iterator[tuple[Callable[[str, str], None], Show]]:
    """What the demonstration reports to: steps as lines, the recording as a table that lives.

    Args:
        quiet: True says nothing at all, for `--json`.
    """
    if quiet:
        yield (lambda step, what: None), (lambda view: None)
    elif sys.stdout.isatty():
        with _live() as pair:
            yield pair
    else:
        yield step_line, Lines()


def step_line(step: str, what: str) -> None:
    """One finished step."""
    click.echo(f"  {step:<9} {output.clean(what)}")


class Lines:
    """A line now and then, for logs and pipes."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def __call__(self, view: View) -> None:
        """Write a line if it is time for one."""
        if view.elapsed_s < self._next_s or not view.status:
            return
        self._next_s = view.elapsed_s + LINE_EVERY_S
        sent, stored, refused = totals(view)
        click.echo(
            f"  {view.elapsed_s:4.0f} s    sent {sent:,}  stored {stored:,}  refused {refused:,}  "
            f"batches {view.status['batches']}  log {view.status['log']['size']}"
        )


def totals(view: View) -> tuple[int, int, int]:
    """Samples sent, stored and refused, of all headsets."""
    rigs = view.rigs
    return sum(rig.sent for rig in rigs), sum(rig.stored for rig in rigs), sum(rig.refused for rig in rigs)


@contextmanager
def _live() -> Iterator[tuple[Callable[[str, str], None], Show]]:
    from rich.console import Console
    from rich.live import Live

    console = Console(no_color=not output.color(), highlight=False)
    with Live(console=console, auto_refresh=False) as live:

        def say(step: str, what: str) -> None:
            live.console.print(f"  [bold]{step:<9}[/bold] {output.clean(what)}")

        yield say, lambda view: live.update(_table(view), refresh=True)


def _table(view: View) -> Group:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 2), header_style="bold")
    for name in ("Headset", "Patient", "State"):
        table.add_column(name)
    for name in ("Sent", "Stored", "Refused", "On its way"):
        table.add_column(name, justify="right", min_width=8)
    for rig in view.rigs:
        words, style = STATES.get(rig.state, (rig.state, ""))
        numbers = (rig.sent, rig.stored, rig.refused, rig.waiting)
        table.add_row(rig.name, rig.subject, Text(words, style), *(f"{number:,}" for number in numbers))
    parts: list[Table | ProgressBar | Text] = [Text(), table]
    if view.status:
        log = view.status["log"]
        parts.append(
            Text(
                f"\n  batches {view.status['batches']}   log entries {log['size']}   root {log['root'][:16]}...",
                "dim",
            )
        )
    bar = ProgressBar(total=max(view.seconds, 0.001), completed=min(view.elapsed_s, view.seconds), width=60)
    return Group(*parts, bar, Text("  Ctrl-C ends the recording; what was sent is still delivered.", "dim"))
