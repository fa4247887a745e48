"""`demo`: a clinic in a minute, on this machine alone."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.app.cli import output
from gateway.app.cli.state import State
from gateway.errors import EXIT_VERIFY
from gateway.tlog.text import encode_base64

if TYPE_CHECKING:
    from gateway.app.demo import Summary

MAX_RIGS: Final = 16
MAX_SECONDS: Final = 3600.0


@click.command()
@click.option(
    "--seconds", type=click.FloatRange(1, MAX_SECONDS), default=15, show_default=True, help="To record."
)
@click.option("--rigs", type=click.IntRange(1, MAX_RIGS), default=3, show_default=True, help="Headsets.")
@click.option(
    "--data-dir",
    "own_dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to make the store; a new temporary directory where nothing is said.",
)
@output.json_option
@click.pass_context
def demo(ctx: click.Context, seconds: float, rigs: int, own_dir: Path | None, as_json: bool) -> int:
    """A whole clinic in a minute, with simulated people: no headset, no server, no setup.

    Makes a store, starts a gateway on it, lets simulated headsets record, closes their sessions, and verifies every
    byte of what was stored. Listens on this machine alone. Exit code 65 if a single sample is unaccounted for.

    \b
    Example: vestibule demo
             vestibule demo --seconds 60 --rigs 8 --data-dir ./clinic
    """
    from gateway.app.cli.demo_view import showing
    from gateway.app.demo import demo as give

    data_dir = (own_dir or _named(ctx) or Path(tempfile.mkdtemp(prefix="vestibule-demo-"))).absolute()
    if not as_json:
        click.echo(
            f"Vestibule: {output.plural(rigs, 'simulated headset')}, {seconds:g} s. Nothing leaves this machine."
        )
    with showing(as_json) as (say, show):
        try:
            summary = asyncio.run(give(data_dir, rigs, seconds, say, show))
        except asyncio.CancelledError:
            # The second Ctrl-C, while devices were still draining.
            raise KeyboardInterrupt from None
    if as_json:
        output.write_json(as_document(summary))
    else:
        _show(summary)
    return 0 if summary.closes else EXIT_VERIFY


def _named(ctx: click.Context) -> Path | None:
    """The store that was named before the verb; never the one that is used where nothing was said."""
    parent = ctx.parent
    if parent is None or parent.get_parameter_source("data_dir") != click.core.ParameterSource.COMMANDLINE:
        return None
    assert isinstance(ctx.obj, State)
    return ctx.obj.data_dir


def as_document(summary: Summary) -> dict[str, Any]:
    """The summary as JSON."""
    done, report, status = summary.outcome, summary.report, summary.status
    session, stream, sample = summary.proven
    return {
        "ok": summary.closes,
        "data_dir": str(summary.data_dir),
        "seconds": summary.seconds,
        "samples": {
            "sent": done.captured,
            "stored": done.stored,
            "refused": done.refused,
            "missing": done.missing,
            "closes": done.closes,
        },
        "packets": done.packets,
        "resends": done.resends,
        "shed": status["shed"],
        "kernel_dropped": status["kernel_dropped"],
        "batches": report.batches,
        "log": {"size": report.size, "root": encode_base64(report.root)},
        "verified": {
            "entries": report.entries,
            "parts": report.parts,
            "frames": report.frames,
            "samples": report.samples,
            "payload_bytes": report.payload_bytes,
        },
        "proof": {
            "file": str(summary.proof),
            "vkey": summary.vkey,
            "session": session,
            "stream": stream,
            "sample": sample,
        },
        "sessions": done.sessions,
    }


def _show(summary: Summary) -> None:
    from gateway.app.cli.words import REASONS

    why = ", ".join(
        f"{count:,} {REASONS.get(reason, reason)}" for reason, count in summary.outcome.refused.items()
    )
    done, report, status = summary.outcome, summary.report, summary.status
    shed = sum(status["shed"].values()) + status["kernel_dropped"]
    lines = [
        (
            "sent",
            f"{done.captured:,} samples in {output.plural(done.packets, 'packet')}, {done.resends:,} sent again",
        ),
        ("stored", f"{done.stored:,}"),
        ("refused", why or "0"),
        ("missing", f"{done.missing:,}"),
        ("shed", f"{output.plural(shed, 'packet')} under load"),
        ("batches", f"{report.batches:,}, {output.size(report.payload_bytes)} sealed"),
        (
            "log",
            f"{output.plural(report.entries, 'entry', 'entries')}, root {encode_base64(report.root)}",
        ),
        ("data", f"{summary.data_dir}"),
        ("time", f"{summary.seconds:.0f} s in all"),
    ]
    click.echo()
    for word, text in lines:
        click.echo(f"  {word:<9} {text}")
    click.echo()
    if summary.closes:
        parts = f"{done.stored:,} stored + {sum(done.refused.values()):,} refused + {done.missing:,} missing"
        click.echo(output.paint(f"The sum closes: {done.captured:,} sent = {parts}.", "green"))
    else:
        click.echo(
            output.paint("THE SUM DOES NOT CLOSE: samples are unaccounted for. Please report this.", "red")
        )
    _next(summary)


def _next(summary: Summary) -> None:
    me = f"{_program()} --data-dir {summary.data_dir}"
    session, stream, sample = summary.proven
    short = session[: output.SHORT_ID]
    click.echo("\nWhat to try next:")
    for command, why in (
        (f"{me} verify", "every byte again, from the disk"),
        (
            f"{_program()} verify --proof {summary.proof} --vkey '{summary.vkey}'",
            "one sample's proof, anywhere",
        ),
        (f"{me} run", "the gateway on these data; then, beside it:"),
        (f"{me} session list --all", "who was recorded, and what was refused"),
        (f"{me} prove {short} {stream} {sample + 1}", "the proof of the next sample"),
    ):
        click.echo(f"  {command}\n      {why}")
    click.echo(f"  rm -r {summary.data_dir}\n      when you have seen enough")


def _program() -> str:
    """How this program was called, so that the commands shown work when they are copied."""
    called = Path(sys.argv[0])
    if called.name != "vestibule":
        return f"{sys.executable} -m gateway"
    found = shutil.which("vestibule")
    return "vestibule" if found and Path(found).resolve() == called.resolve() else str(sys.argv[0])
