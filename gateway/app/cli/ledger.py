"""`ledger`: the transparency log as files for anybody, taking over a store that was moved, and what `recover` has."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gateway.app.cli import output
from gateway.app.cli.batches import batches
from gateway.app.cli.elsewhere import answers_document, asking, known_here, show_answers, sources
from gateway.app.cli.progress import progress_option, reporting
from gateway.app.cli.recover import catch_up, new_generation, restore
from gateway.app.cli.state import State
from gateway.tlog.text import encode_base64


@click.group()
def ledger() -> None:
    """The transparency log of this gateway, and what to do when a disk, a key or a backup is lost.

    \b
    Example: vestibule ledger export ./log
    """


for command in (batches, catch_up, restore, new_generation):
    ledger.add_command(command)


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
@click.option(
    "--witness",
    "urls",
    multiple=True,
    metavar="URL",
    help="Who may know whether the old copy went on. May be repeated. Where nothing is said, the peers of the roster.",
)
@output.json_option
@click.pass_obj
def adopt(state: State, yes: bool, reason: str, urls: tuple[str, ...], as_json: bool) -> None:
    """Take over a store that was copied or moved here, on another disk or another machine.

    Only where the old copy will never run again: two that sign one log are evidence against each other, for ever.
    Peers are asked whether it went on. That you adopted it becomes an entry of the log.

    \b
    Example: vestibule ledger adopt --reason disk
    """
    from gateway.app.adopt import adopt_store
    from gateway.store.keyfiles import load_keys

    state.must_hold_store()
    known = known_here(state, load_keys(state.layout).origin)

    def confirm(question: str) -> bool:
        if yes:
            return True
        output.note(question)
        # Nobody to ask is a no: this is never answered by a default.
        return sys.stdin.isatty() and click.confirm("Take it over?", err=True)

    done = asking(
        state,
        lambda get: adopt_store(state.layout, confirm, reason, sources(urls, known), get, known.signed),
    )
    if as_json:
        root = encode_base64(done.root)
        asked = answers_document(done.answers)
        output.write_json({"size": done.size, "root": root, "links": done.links, "asked": asked})
        return
    show_answers(done.answers)
    click.echo(f"The store is taken over at {output.plural(done.size, 'entry', 'entries')}.")
    output.note(
        f"{output.plural(done.links, 'link')} ended; the devices make new ones. Go on with `vestibule run`."
    )
