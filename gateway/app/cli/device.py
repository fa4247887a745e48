"""`device`: headsets and sensors that have a key."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import click

from gateway.app.cli import output, words
from gateway.app.cli.ask import TIMEOUT_S, ask, find_device, typed
from gateway.app.cli.command import haptic, marker, text
from gateway.app.cli.confirm import confirm
from gateway.app.cli.replies import DeviceKey, DeviceRow, Devices, Rotation
from gateway.app.cli.state import State, reserved
from gateway.errors import EXIT_TRY_LATER, LocalError

ROTATE_WAIT_S: Final = 3600.0
ROTATE_CALL_S: Final = 30.0
"""How long one call waits; the daemon has room for a bounded number of them."""

NOT_OVER_LINKS: Final = (
    "The headset's app does not take keys over its link. Carry it there as a file: ask again with --out."
)

SECRET_MEMBERS: Final = frozenset(("key", "name", "hello_seq", "host", "port"))
"""Of a key file: what is not shown again once it is in one."""


@click.group()
def device() -> None:
    """Headsets and sensors that have a key. Devices are named by their number or by their name.

    \b
    Example: vestibule device list
    """


for _asks in (haptic, text, marker):
    device.add_command(_asks)


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
    same = [row for row in _rows(state) if row.name == name]
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
    now_ms = int(time.time() * 1000)
    for row in rows:
        for what, step in words.bad_tags(row, now_ms):
            output.note(f"! {what[0].upper()}{what[1:]}.\n  {step}")


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
    """The link that is used, in words; of the others only how many: each start of an app leaves one, which drains."""
    live = sorted((link for link in row.links if link.state == "live"), key=lambda link: link.link)
    said = [f"{link.transport}{' (waits for a session)' if link.waiting else ''}" for link in live[-1:]]
    if len(live) > 1:
        said.append(f"{len(live) - 1} draining")
    if ended := len(row.links) - len(live):
        said.append(f"{ended} ended")
    return " and ".join((", ".join(said[:-1]), said[-1])) if len(said) > 1 else "".join(said) or "none"


@device.command("rotate")
@click.argument("named", metavar="DEVICE")
@click.option("--wait", is_flag=True, help="Wait until the device uses the new key, at most an hour.")
@click.option(
    "--out", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write a key file instead."
)
@click.option("--show", is_flag=True, help="Show the key here instead.")
@click.option("--anew", is_flag=True, help="Make another key although one is pending.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@output.json_option
@click.pass_obj
def rotate(
    state: State, named: str, wait: bool, out: Path | None, show: bool, anew: bool, yes: bool, as_json: bool
) -> None:
    """Give a device a new key. The old one works until the device first uses the new one.

    The headset takes it over its link: at once where it is on, else when it is heard again. With --out or --show the
    key comes as a file or on the screen instead, and no link carries it: for a device that cannot be reached, or where
    somebody may know the old key and read the network. Asked again before the device uses it, this gives the same key
    again; without --out or --show it is then sent over the link after all.

    \b
    Example: vestibule device rotate 3 --wait
             vestibule device rotate 3 --out vestibule.json
    """
    if show and wait and as_json:
        raise click.UsageError(
            "with --json the key is shown at the end, and --wait waits for it; leave one out"
        )
    number = find_device(state, named)
    secret = out is not None or show
    with reserved(out):
        _confirm_rotation(state, number, named, anew, secret, yes)
        result = ask(state, "device.rotate", {"device": number, "anew": anew, "show": secret})
        if secret:
            if not as_json:
                _give_key(result, out, False)
            elif out is not None:
                result = _into_file(result, out)
    if not as_json:
        output.note(_rotation(typed(result, Rotation), carried=secret))
    if wait:
        result = {**result, "in_use": _wait_for_use(state, number, carried=secret)}
        if not as_json:
            click.echo(f"Device {number} uses its new key.")
    if as_json:
        output.write_json(result)


def _confirm_rotation(state: State, number: int, named: str, anew: bool, secret: bool, yes: bool) -> None:
    """Ask before what a pending key does not survive: another one, or the network."""
    pending = next((row for row in _rows(state) if row.device == number and row.rotating), None)
    if pending is not None and anew:
        confirm(
            f"Device {number} ({output.clean(named)}) may have its pending key already, from a file or over its link. "
            "It would have to be paired again then. Make another key all the same?",
            yes,
        )
    elif pending is not None and pending.rotating_by_file and not secret:
        confirm(
            f"The pending key of device {number} ({output.clean(named)}) was given in a file, so that nobody who reads "
            "the network learns it. Send it over the link after all?",
            yes,
        )


def _rotation(made: Rotation, carried: bool) -> str:
    again = "This is the key that was pending already. " if made.again else ""
    if made.by_file:
        return f"{again}No link carries it: put the file into the folder that the headset's app watches."
    if _not_taken(made.answered):
        return f"{again}{'Put the file into the folder that its app watches.' if carried else NOT_OVER_LINKS}"
    if made.told:
        return (
            f"{again}The headset was told it over {output.plural(made.told, 'link')}, and takes it at once."
        )
    return f"{again}The headset takes it over its link, the next time it is heard."


def _not_taken(answered: str) -> bool:
    """Whether an app answered, and does not take keys over its link."""
    return answered not in ("", "done")


def _wait_for_use(state: State, number: int, carried: bool) -> bool:
    until_s = time.monotonic() + ROTATE_WAIT_S
    while time.monotonic() < until_s:
        asked = {"device": number, "seconds": ROTATE_CALL_S}
        told = ask(state, "device.rotate.wait", asked, ROTATE_CALL_S + TIMEOUT_S)
        if told["in_use"]:
            return True
        if _not_taken(told["answered"]) and not carried:
            raise LocalError(
                "not_taken",
                f"the app on device {number} does not take a key over its link: it answered {told['answered']!r}",
                f"Carry it there as a file: `vestibule device rotate {number} --out FILE`.",
            )
    error = LocalError(
        "not_used",
        f"device {number} did not use its new key in {output.span(ROTATE_WAIT_S)}",
        "It stays pending. Is the headset on, and heard? See `vestibule device list`.",
    )
    error.exit_code = EXIT_TRY_LATER
    raise error


def _rows(state: State) -> list[DeviceRow]:
    return typed(ask(state, "device.list", {}), Devices).devices


@device.command("revoke")
@click.argument("named", metavar="DEVICE")
@click.option("--yes", is_flag=True, help="Do not ask.")
@output.json_option
@click.pass_obj
def revoke(state: State, named: str, yes: bool, as_json: bool) -> None:
    """Revoke a device at once and for ever: nothing it sends is accepted any more.

    A headset that is on is told, and stops. What it still holds is lost.

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


def _into_file(result: dict[str, Any], out: Path) -> dict[str, Any]:
    """Write the key file; returns what is left to tell, without the secret."""
    from gateway.app import keyfile

    keyfile.write(out, keyfile.of_reply(result), replace=True)
    told = {name: value for name, value in result.items() if name not in SECRET_MEMBERS}
    return {**told, "file": str(out)}


def _give_key(result: dict[str, Any], out: Path | None, as_json: bool) -> None:
    made = typed(result, DeviceKey)
    if out is not None:
        result = _into_file(result, out)
    if as_json:
        output.write_json(result)
        return
    click.echo(f"  device  {made.device}")
    click.echo(f"  home    {made.home}")
    click.echo(f"  key     {f'in {out}' if out else made.key}")
    output.note(
        "The key is a secret, and it is shown only now: put it on the device, then delete every other copy."
    )
