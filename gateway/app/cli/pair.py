"""`pair`: a code for a headset, as text, as QR code and as a file."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Final

import click

from gateway.app.cli import output
from gateway.app.cli.ask import ask, typed
from gateway.app.cli.replies import PairCode
from gateway.app.cli.state import State, must_be_new, write_file

PAIR_WAIT_S: Final = 3600.0
"""The longest a code may be good for (`limits.pairing_s`); the daemon ends the wait when the code expires."""


@click.command()
@click.option("--name", default="", help="What to call the headset; else it says so itself.")
@click.option("--wait", is_flag=True, help="Wait until a headset used the code.")
@click.option(
    "--out", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write host, port and code to FILE."
)
@output.json_option
@click.pass_obj
def pair(state: State, name: str, wait: bool, out: Path | None, as_json: bool) -> None:
    """Pair a headset: show a code that is good for ten minutes and for one headset.

    The headset's app scans the QR code, or takes the code and the host as they are typed. An app without a keyboard
    takes a file: write it as vestibule.json, and put it into the folder that the app watches. The app deletes it.

    The code is a secret until it is used: who photographs it and records the pairing can read what follows.

    \b
    Example: vestibule pair --name "Quest, room 2" --wait
             vestibule pair --out vestibule.json
             adb push vestibule.json /sdcard/Android/data/APP/files/
    """
    if wait and as_json and out is None:
        raise click.UsageError(
            "with --json the code is shown at the end, and --wait waits for it; add --out, or leave one out"
        )
    must_be_new(out)
    result = ask(state, "pair", {"name": name})
    code = typed(result, PairCode)
    if out is not None:
        write_file(out, json.dumps(result, indent=2) + "\n", secret=True)
    if as_json and not wait:
        output.write_json(result)
        return
    if not as_json:
        _show_code(code, out)
    if wait:
        paired = ask(state, "pair.wait", {"code": code.code}, PAIR_WAIT_S)
        if as_json:
            output.write_json({**result, "paired": paired})
        else:
            click.echo(f"Paired: device {paired['device']} ({output.clean(paired['name'])}).")


def _show_code(code: PairCode, out: Path | None) -> None:
    import segno

    if out is None and sys.stdout.isatty():
        segno.make(code.uri, error="m").terminal(out=sys.stdout, compact=True)
    click.echo(f"  code  {code.code}")
    click.echo(f"  host  {code.host}")
    click.echo(f"  port  {code.port}")
    click.echo(f"  link  {code.uri}")
    left = output.span(max(0.0, code.expires_ms / 1000 - time.time()))
    output.note(f"Good for {left} and for one headset. {f'Also in {out}.' if out else ''}".rstrip())
