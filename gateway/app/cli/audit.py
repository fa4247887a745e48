"""`audit`: follow a log from outside, for whoever wants to notice by himself when a clinic rewrites it."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.app.cli import output
from gateway.app.cli.progress import progress_option, reporting
from gateway.app.cli.state import State, read_file, write_file
from gateway.errors import LocalError, ProofError

if TYPE_CHECKING:
    from gateway.app.audit_report import Audited, Finding
    from gateway.tlog.note import VerifierKey
    from gateway.tlog.policy import Policy

COLORS = {"note": "", "late": "yellow", "away": "yellow", "fault": "red"}
WORDS = {"note": "note", "late": "late", "away": "away", "fault": "FAULT"}
VERDICTS = {
    0: ("All is well.", "green"),
    65: ("Something does not verify.", "red"),
    69: ("The log cannot be read.", "yellow"),
    75: ("Not well enough: old, or not done.", "yellow"),
}


@click.command()
@click.argument("source", metavar="URL|DIR")
@click.option(
    "--vkey",
    "keys",
    multiple=True,
    required=True,
    metavar="VKEY",
    help="The log's verifier key, as its owner publishes it; again for each key that may sign now.",
)
@click.option(
    "--state",
    "state_dir",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Where to remember what was seen. One directory serves many logs; keep it.",
)
@click.option(
    "--policy",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A C2SP tlog-policy: its quorum of witnesses must have cosigned the head.",
)
@click.option(
    "--max-age",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="Seconds that the newest cosignature may be old; without one, the newest entry.",
)
@click.option(
    "--entries/--no-entries",
    default=None,
    help="Read and verify each entry; without either, where they are Vestibule's.",
)
@click.option(
    "--evidence",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the log contradicts itself, write the evidence to FILE as well.",
)
@output.json_option
@progress_option
@click.pass_obj
def audit(
    state: State,
    source: str,
    keys: tuple[str, ...],
    state_dir: Path,
    policy: Path | None,
    max_age: float | None,
    entries: bool | None,
    evidence: Path | None,
    as_json: bool,
    progress: str,
) -> None:
    """Follow a log from outside: is it the one you saw before, and only longer?

    Needs no store and no daemon. URL is that of any C2SP tlog-tiles log, DIR an export of one. Each run reads the
    head, holds it against the last one seen, and verifies what is new; certificates are not looked at, since what is
    read proves itself. Run it by cron, and be told by its exit code.

    \b
    0   all is well
    65  something does not verify: a signature, an entry, a quorum that is missing, a log
        that contradicts itself (then there is evidence) or stays set back
    69  the log, or a part of it, is not served
    75  too old (--max-age), an older head than before, or not all entries read yet
    78  the state directory is damaged, or of something else
    2   the command line

    \b
    Example: vestibule audit https://rig-1.clinic.example:4749 --state ~/logs --max-age 86400 \\
                 --vkey clinic.example/rig-1+e21518d7+ARmB...
             vestibule audit ./export --state ./seen --policy witnesses.policy --json --vkey ...
    """
    from gateway.app.audit import Order, audit

    order = Order(source, tuple(map(_vkey, keys)), state_dir, _policy(policy), max_age, entries)
    with reporting(progress) as report:
        told = asyncio.run(audit(order, time.time_ns() // 1_000_000, report))
    if evidence is not None and told.evidence:
        _copy(Path(told.evidence), evidence, told)
    if as_json:
        output.write_json(told.document())
    else:
        _show(told)
    click.get_current_context().exit(told.exit_code)


def _vkey(text: str) -> VerifierKey:
    from gateway.tlog.note import parse_vkey

    try:
        return parse_vkey(text.strip())
    except ProofError as error:
        raise click.UsageError(
            f"--vkey: {error.message}; it is the line `log` of `vestibule key show`",
            click.get_current_context(),
        ) from error


def _policy(file: Path | None) -> Policy | None:
    from gateway.tlog.policy import MAX_POLICY_BYTES, parse_policy

    if file is None:
        return None
    try:
        return parse_policy(read_file(file, MAX_POLICY_BYTES))
    except ProofError as error:
        raise click.UsageError(f"--policy: {error.message}", click.get_current_context()) from error


def _copy(there: Path, here: Path, told: Audited) -> None:
    data = there.read_bytes()
    try:
        if os.path.lexists(here) and read_file(here, len(data)) == data:
            return
        write_file(here, data.decode())
    except LocalError as error:
        told.add("note", "evidence_copy", f"no copy of the evidence was made: {error.message}", error.hint)


def _show(told: Audited) -> None:
    from gateway.app.audit_entries import OTHER

    word, style = VERDICTS[told.exit_code]
    if told.evidence:
        word = "The log contradicts itself."
    click.echo(output.paint(f"{output.clean(told.origin)}: {word}", style))
    head = told.head
    if head is not None:
        age = (
            f", {output.ago(told.newest_ms, told.at_ms)} by {_time(told.newest_of)}" if told.newest_ms else ""
        )
        click.echo(
            f"  head       {output.plural(head.size, 'entry', 'entries')}, root {head.root.hex()[:16]}{age}"
        )
    if told.before is not None:
        before, when = told.before, output.moment(told.before.seen_ms)
        click.echo(f"  before     {output.plural(before.size, 'entry', 'entries')}, first seen {when}")
    if told.quorum is not None:
        enough = "enough" if told.quorum else output.paint("not enough", "red")
        click.echo(f"  witnesses  {enough}: {output.clean(', '.join(told.witnesses or ()) or 'none')}")
    if told.kind == OTHER:
        click.echo("  entries    not Vestibule's; the tree alone is followed")
    elif told.kind:
        types = ", ".join(f"{output.count(told.types[name])} {name}" for name in sorted(told.types))
        click.echo(
            f"  entries    {output.count(told.checked)} checked, {output.count(told.read)} of them now; in all "
            f"{output.clean(types)}"
        )
        click.echo(f"  gateway    {output.clean(told.gateways[-1] if told.gateways else 'unknown')}")
    # A hint that the next finding has too is told once.
    hints = [*(finding.hint for finding in told.findings[1:]), ""]
    for finding, next_hint in zip(told.findings, hints, strict=False):
        _tell(finding, hint=next_hint != finding.hint)


def _time(what: str) -> str:
    return {"cosignature": "its newest cosignature", "entry": "its newest entry"}.get(
        what, "when it was first seen"
    )


def _tell(finding: Finding, *, hint: bool) -> None:
    mark = output.paint(f"{WORDS[finding.level]:9}", COLORS[finding.level])
    old = "" if finding.new else " (known from an earlier run)"
    click.echo(f"  {mark}  {output.clean(finding.message)}{old}")
    if hint and finding.hint:
        click.echo(f"             {output.clean(finding.hint)}")
