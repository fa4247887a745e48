"""`ledger batches`: what became of each batch: stored, logged, confirmed."""

from __future__ import annotations

import time

import click
import msgspec

from gateway.app.cli import output
from gateway.app.cli.ask import ask, typed
from gateway.app.cli.state import State


class BatchRow(msgspec.Struct, frozen=True):
    """One batch."""

    batch: int
    entry: int
    root: str
    frames: int
    samples: int
    sealed_s: int
    state: str
    parts: int = 0


class Batches(msgspec.Struct, frozen=True):
    """Answer to `batches`."""

    logged: int
    confirmed: int
    batches: list[BatchRow]


@click.command("batches")
@click.option("--last", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many.")
@click.option("--before", type=click.IntRange(1), help="From this batch backwards.")
@output.json_option
@click.pass_obj
def batches(state: State, last: int, before: int | None, as_json: bool) -> None:
    """The newest batches, and the state of each: logged, or confirmed by a quorum of peers.

    A batch that is listed is stored: its samples are on disk, and its root is an entry of the log.

    \b
    Example: vestibule ledger batches --last 5
    """
    wanted = {"last": last, **({} if before is None else {"before": before})}
    result = ask(state, "batches", wanted)
    if as_json:
        output.write_json(result)
        return
    found = typed(result, Batches)
    now_s = time.time()
    rows = [
        (
            str(row.batch),
            str(row.entry),
            f"{row.samples:,}",
            output.ago(row.sealed_s * 1000, int(now_s * 1000)),
            row.state,
        )
        for row in found.batches
    ]
    if not rows:
        output.note("Nothing was recorded yet.")
        return
    headings = ("BATCH", "ENTRY", "SAMPLES", "SEALED", "STATE")
    click.echo(output.table(headings, rows, right=headings[:3], spare=("ENTRY",)))
    output.note(
        f"{output.plural(found.confirmed, 'entry', 'entries')} of {found.logged:,} confirmed by a quorum of peers."
    )
