"""`ledger`: the transparency log as files for anybody, and taking over a store that was moved."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from gateway.app.cli import output
from gateway.app.cli.batches import batches
from gateway.app.cli.progress import progress_option, reporting
from gateway.app.cli.state import State
from gateway.tlog.text import encode_base64


@click.group()
def ledger() -> None:
    """The transparency log of this gateway.

    \b
    Example: vestibule ledger export ./log
    """


ledger.add_command(batches)


@ledger.command("export")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@output.json_option
@progress_option
@click.pass_obj
def export(state: State, directory: Path, as_json: bool, progress: str) -> None:
    """Write the log as static files (C2SP tlog-tiles) that any web server can serve and any monitor can read.

    It holds nothing personal. An export that is repeated adds to what is there; it may run beside the daemon.

    \b
    Example: vestibule ledger export /var/www/log
    """
    from gateway.app.export import export_log

    state.must_hold_store()
    with reporting(progress) as report:
        done = export_log(state.layout, directory, report)
    root = encode_base64(done.root)
    if as_json:
        written = {"written": done.written, "kept": done.kept}
        output.write_json({"directory": str(directory), "size": done.size, "root": root, **written})
        return
    click.echo(f"The log of {output.plural(done.size, 'entry', 'entries')} is in {directory}, root {root}.")
    output.note(f"{output.plural(done.written, 'file')} new, {output.count(done.kept)} there already.")


@ledger.command("adopt")
@click.option("--yes", is_flag=True, help="The old copy will never run again: do not ask.")
@click.option(
    "--reason", default="moved", show_default=True, help="A word for the entry, like disk or machine."
)
@output.json_option
@click.pass_obj
def adopt(state: State, yes: bool, reason: str, as_json: bool) -> None:
    """Take over a store that was copied or moved here, on another disk or another machine.

    Only where the old copy will never run again: two that sign one log are evidence against each other, for ever.
    That you adopted it becomes an entry of the log.

    \b
    Example: vestibule ledger adopt --reason disk
    """
    from gateway.app.adopt import adopt_store

    state.must_hold_store()

    def confirm(question: str) -> bool:
        if yes:
            return True
        output.note(question)
        # Nobody to ask is a no: this is never answered by a default.
        return sys.stdin.isatty() and click.confirm("Take it over?", err=True)

    done = asyncio.run(adopt_store(state.layout, confirm, reason))
    if as_json:
        root = encode_base64(done.root)
        output.write_json({"size": done.size, "root": root, "links": done.links})
        return
    click.echo(f"The store is taken over at {output.plural(done.size, 'entry', 'entries')}.")
    output.note(
        f"{output.plural(done.links, 'link')} ended; the devices make new ones. Go on with `vestibule run`."
    )
