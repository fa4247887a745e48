"""The sheet as text, as a document, and as Markdown to publish with the plugin."""

from __future__ import annotations

import textwrap
from typing import Any, Final

from gateway.app.plugin_check.say import Noted
from gateway.app.plugin_check.sheet import FAIL, NOT_SEEN, PASS, REVIEW, Row

WIDTH: Final = 100
STATES: Final = (PASS, FAIL, NOT_SEEN, REVIEW)


def counts(rows: list[Row]) -> dict[str, int]:
    """How many lines have each state; row 0 counts only where it fails."""
    return {
        state: sum(row.state == state for row in rows if row.number or row.state == FAIL) for state in STATES
    }


def summary(rows: list[Row]) -> str:
    """One line: what failed, and plainly what was not seen."""
    number = counts(rows)
    said = (
        f"{number[PASS]} pass, {number[FAIL]} fail, {number[NOT_SEEN]} not seen, {number[REVIEW]} for review"
    )
    if number[FAIL]:
        return f"{said}. It does not pass."
    if number[NOT_SEEN]:
        return f"{said}. Nothing failed; what was not seen is not shown to be right."
    return f"{said}. Nothing failed."


def as_text(rows: list[Row]) -> str:
    """For a screen."""
    lines = []
    for row in rows:
        lines.append(f"{row.number or '-':>3}  {row.state:<9} {row.text}")
        lines += textwrap.wrap(row.why, WIDTH, initial_indent=" " * 15, subsequent_indent=" " * 15)
        for note in row.findings[0 if row.state != FAIL else 1 :]:
            lines += textwrap.wrap(
                _note(note), WIDTH, initial_indent=" " * 15 + "- ", subsequent_indent=" " * 17
            )
    return "\n".join([*lines, "", summary(rows)])


def as_document(rows: list[Row]) -> dict[str, Any]:
    """For a machine."""
    return {
        "counts": counts(rows),
        "failed": counts(rows)[FAIL] > 0,
        "rows": [
            {
                "number": row.number,
                "text": row.text,
                "state": row.state,
                "why": row.why,
                "findings": [
                    {
                        "code": note.finding.code,
                        "what": note.finding.what,
                        "mend": note.finding.mend,
                        "fails": note.finding.fails,
                        "packet": note.number,
                        "count": note.count,
                    }
                    for note in row.findings
                ],
            }
            for row in rows
        ],
    }


def as_markdown(rows: list[Row], about: dict[str, str]) -> str:
    """To publish with the plugin.

    Args:
        rows: of the sheet.
        about: name and value of what stands above the table: version, date, options.
    """
    lines = ["# Checklist of the device protocol VT1", ""]
    lines += [f"* {name}: {value}" for name, value in about.items()]
    lines += ["", summary(rows), "", "| | line | result | seen, or how to see it |", "|---|---|---|---|"]
    for row in rows:
        lines.append(f"| {row.number or ''} | {_cell(row.text)} | {row.state} | {_cell(row.why)} |")
    notes = [note for row in rows for note in row.findings]
    if notes:
        lines += ["", "## Findings", "", "| code | line | what | times | to mend |", "|---|---|---|---|---|"]
        lines += [_noted(note) for note in notes]
    return "\n".join(lines) + "\n"


def _noted(note: Noted) -> str:
    code, row, what, mend, _ = note.finding
    return f"| `{code}` | {row or ''} | {_cell(what)} | {note.count} | {_cell(mend)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _note(note: Noted) -> str:
    finding = note.finding
    look = "" if finding.fails else "worth a look: "
    times = f" (x {note.count})" if note.count > 1 else ""
    return f"{look}{finding.what}{times}. {finding.mend[:1].upper()}{finding.mend[1:]}"
