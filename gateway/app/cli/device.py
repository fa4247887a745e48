"""`pair` and `device`: headsets and sensors that have a key."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, Final

import click

from gateway.app.cli import output, words
from gateway.app.cli.ask import TIMEOUT_S, ask, find_device, typed
from gateway.app.cli.replies import DeviceKey, DeviceRow, Devices, PairCode
from gateway.app.cli.state import State, must_be_new, reserved, write_file
from gateway.errors import LocalError

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

    The code is a secret until it is used: who photographs it and records the pairing can read what follows.

    \b
    Example: vestibule pair --name "Quest, room 2" --wait
    """
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


@click.group()
def device() -> None:
    """Headsets and sensors that have a key. Devices are named by their number or by their name.

    \b
    Example: vestibule device list
    """


@device.command("add")
@click.argument("name")
@click.option(
    "--out", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write the key to FILE, not here."
)
@output.json_option
@click.pass_obj
def add(state: State, name: str, out: Path | None, as_json: bool) -> None:
    """Make a key for a device that cannot pair: a test device, or one that has only MQTT.

    \b
    Example: vestibule device add "Pico, home kit 7" --out kit7.json
    """
    same = [row for row in typed(ask(state, "device.list", {}), Devices).devices if row.name == name]
    if taken := [row.device for row in same if row.state == "active"]:
        output.note(
            f"Warning: device {', '.join(map(str, taken))} is called {output.clean(name)} too; commands will ask for "
            "the number."
        )
    with reserved(out):
        _give_key(ask(state, "device.add", {"name": name}), out, as_json)


@device.command("list")
@output.json_option
@click.pass_obj
def list_devices(state: State, as_json: bool) -> None:
    """All devices, and when each was last heard.

    \b
    Example: vestibule device list --json
    """
    result = ask(state, "device.list", {})
    if as_json:
        output.write_json(result)
        return
    rows = typed(result, Devices).devices
    if not rows:
        output.note("No device is paired yet. Pair the first one with `vestibule pair`.")
        return
    click.echo(device_table(rows))


def device_table(rows: list[DeviceRow], width: int = 0) -> str:
    """The table of devices. `width` as in `output.table`."""
    now_ms = int(time.time() * 1000)
    cells = [
        (
            str(row.device),
            row.name,
            "key is being changed" if row.rotating else words.DEVICE_STATES.get(row.state, row.state),
            _links(row),
            output.ago(row.fresh_ms, now_ms) if row.fresh_ms else "never",
            output.moment(row.created_ms),
        )
        for row in rows
    ]
    headings = ("Device", "Name", "State", "Links", "Heard", "Since")
    return output.table(headings, cells, right=("Device",), spare=("Since", "Links"), width=width)


def _links(row: DeviceRow) -> str:
    live = [link for link in row.links if link.state == "live"]
    kept = len(row.links) - len(live)
    said = [f"{link.transport}{' (waits for a session)' if link.waiting else ''}" for link in live]
    return ", ".join(said) + (f"{' and ' if said else ''}{kept} ended" if kept else "") or "none"


@device.command("rotate")
@click.argument("named", metavar="DEVICE")
@click.option(
    "--out", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write the key to FILE, not here."
)
@output.json_option
@click.pass_obj
def rotate(state: State, named: str, out: Path | None, as_json: bool) -> None:
    """Make a new key for a device. The old one works until the device first uses the new one.

    \b
    Example: vestibule device rotate 3 --out headset3.json
    """
    number = find_device(state, named)
    with reserved(out):
        _give_key(ask(state, "device.rotate", {"device": number}), out, as_json)


@device.command("revoke")
@click.argument("named", metavar="DEVICE")
@click.option("--yes", is_flag=True, help="Do not ask.")
@output.json_option
@click.pass_obj
def revoke(state: State, named: str, yes: bool, as_json: bool) -> None:
    """Revoke a device at once and for ever: nothing it sends is accepted any more.

    \b
    Example: vestibule device revoke "Quest, room 2" --yes
    """
    number = find_device(state, named)
    confirm(f"Revoke device {number} ({output.clean(named)}) for ever?", yes)
    result = ask(state, "device.revoke", {"device": number}, TIMEOUT_S)
    if as_json:
        output.write_json(result)
    else:
        click.echo(f"Device {number} is revoked. To use that headset again, pair it anew: `vestibule pair`.")


def confirm(question: str, yes: bool) -> None:
    """Ask before something that cannot be undone.

    Raises:
        LocalError: `not_confirmed`, the answer was no, or nobody is there to be asked.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise LocalError(
            "not_confirmed", "this cannot be undone, and nobody is there to be asked", "Add --yes."
        )
    if not click.confirm(question, err=True):
        raise LocalError("not_confirmed", "nothing was changed")


def _give_key(result: dict[str, Any], out: Path | None, as_json: bool) -> None:
    made = typed(result, DeviceKey)
    if out is not None:
        from gateway.app import keyfile

        keyfile.write(out, keyfile.of_reply(result), replace=True)
        result = {"device": made.device, "home": made.home, "file": str(out)}
    if as_json:
        output.write_json(result)
        return
    click.echo(f"  device  {made.device}")
    click.echo(f"  home    {made.home}")
    click.echo(f"  key     {f'in {out}' if out else made.key}")
    output.note(
        "The key is a secret, and it is shown only now: put it on the device, then delete every other copy."
    )
