"""What `plugin-check` shows while it runs: a line for each packet, repeats folded, or JSON lines for machines."""

from __future__ import annotations

import json
import time
from typing import Any, Final

import click

from gateway.app.cli import output
from gateway.app.plugin_check.say import Folder, Line

COLOURS: Final = {"taken in": "green", "sent": "cyan"}
QUIET: Final = frozenset(("taken in", "copy", "lost on purpose"))  # nothing is wrong with the packet
INDENT: Final = " " * 13


class View:
    """Shows lines.

    Args:
        as_json: one JSON object a line, nothing folded.
        verbose: fields too, and where bytes are wrong.
    """

    def __init__(self, as_json: bool, verbose: bool) -> None:
        self._json, self._verbose = as_json, verbose
        self._folder = Folder()
        self._began_ns = time.monotonic_ns()

    def line(self, line: Line) -> None:
        """A packet passed."""
        if self._json:
            click.echo(json.dumps(document(line, self._began_ns)))
            return
        shown = [(line, 1)] if self._verbose else self._folder.add(line)
        for one, count in shown:
            self._show(one, count)

    def tick(self, now_ns: int) -> None:
        """Time passes."""
        for one, count in self._folder.due(now_ns):
            self._show(one, count)

    def say(self, text: str) -> None:
        """Words about the trial."""
        if self._json:
            click.echo(json.dumps({"said": text.strip()}))
        else:
            click.echo(output.paint(text, "" if text.startswith(" ") else "bright_white"))

    def rest(self) -> None:
        """At the end: what is still counted."""
        for one, count in self._folder.rest():
            self._show(one, count)

    def _show(self, line: Line, count: int) -> None:
        at_s = (line.at_ns - self._began_ns) / 1e9
        way = ">" if line.up else "<"
        where = f"link {line.link} seq {line.seq & (1 << 48) - 1}" if line.link else f"seq {line.seq}"
        times = f"  x {count}" if count > 1 else ""
        verdict = output.paint(line.verdict, COLOURS.get(line.verdict, "yellow"))
        head = f"{at_s:8.2f} {way} {output.clean(line.who):<12} {line.kind:<8} {where:<20}"
        click.echo(f"{head} {output.clean(line.says)}  [{verdict}]{times}")
        if line.up and line.todo and line.verdict not in QUIET:
            click.echo(f"{INDENT}{line.verdict}: {line.means}. To do: {line.todo}")
        for finding in line.new:
            mark = output.paint("wrong" if finding.fails else "look", "red" if finding.fails else "yellow")
            click.echo(f"{INDENT}{mark}: {output.clean(finding.what)}")
            click.echo(f"{INDENT}mend: {finding.mend}")
        if self._verbose:
            for name, value in line.fields:
                click.echo(f"{INDENT}{name}: {output.clean(value)}")
        if self._verbose or line.new:
            for spot in line.spots:
                click.echo(f"{INDENT}{spot}")


def document(line: Line, began_ns: int) -> dict[str, Any]:
    """A packet as JSON; no key, no sample."""
    return {
        "packet": line.number,
        "at_ms": (line.at_ns - began_ns) // 1_000_000,
        "up": line.up,
        "who": line.who,
        "type": line.kind,
        "link": line.link,
        "seq": str(line.seq),
        "bytes": line.size,
        "says": line.says,
        "verdict": line.verdict,
        "findings": [
            {"code": f.code, "line": f.row, "what": f.what, "mend": f.mend, "fails": f.fails}
            for f in line.new
        ],
        "spots": [
            {"offset": s.offset, "packet": s.packet, "said": s.said.hex(), "wanted": s.wanted}
            for s in line.spots
        ],
    }
