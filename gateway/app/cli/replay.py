"""`replay`: recordings sent as headsets would send them."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.app.cli import output
from gateway.app.cli.network import FILE, address, network_options, way_of
from gateway.app.cli.progress import progress_option, reporting
from gateway.app.cli.state import State, read_file
from gateway.errors import EXIT_TRY_LATER, EXIT_VERIFY, LocalError

if TYPE_CHECKING:
    from gateway.app.outcome import Outcome
    from gateway.sources.track import Recording

MAX_DEVICES: Final = 256
LOST: Final = {
    "overflow": "that the device had no room for any more",
    "link_gone": "whose link the gateway no longer kept",
}
"""What a device says of its own losses, in words."""


@click.command()
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE...")
@click.option("--key", "keys", multiple=True, type=FILE, help="Key file of a paired device; may be repeated.")
@click.option("--devices", type=click.IntRange(1, MAX_DEVICES), help="Without --key: how many devices; 1.")
@click.option("--session-subject", "subject", default="replay", show_default=True, help="Without --key.")
@click.option("--purpose", default="replay", show_default=True, help="Without --key: why.")
@click.option(
    "--speed", type=click.FloatRange(0.01, 1000), help="1 is real time, and what is done if nothing is said."
)
@click.option("--flood", is_flag=True, help="As fast as receipts come.")
@network_options
@output.json_option
@progress_option
@click.pass_obj
def replay(
    state: State,
    /,
    files: tuple[Path, ...],
    keys: tuple[Path, ...],
    devices: int | None,
    subject: str,
    purpose: str,
    speed: float | None,
    flood: bool,
    as_json: bool,
    progress: str,
    **network: Any,
) -> int:
    """Send recordings as if a headset did, and account for every sample.

    FILE is a Quest CSV, a Pico TSV, a VIVE Pro Eye CSV or a .haptic clip, packed with gzip or not. Several follow one
    another. Without --key the daemon of this store makes devices and a session for them, and closes both afterwards.
    With --key the device is one that `vestibule device add` or a pairing made, and its session is open already.

    Exit code 0 only where the sum closes: samples sent = stored + refused + missing.

    \b
    Example: vestibule replay boxing.tsv --speed 10
             vestibule replay boxing.tsv --devices 8 --loss 0.05 --seed 7 --flood
             vestibule replay boxing.tsv --key headset.json --host 10.0.0.5
    """
    if flood and speed is not None:
        raise click.UsageError("--flood has no --speed", click.get_current_context())
    if keys and devices is not None:
        raise click.UsageError("--devices makes new ones; --key names them", click.get_current_context())
    from gateway.app import keyfile, replay
    from gateway.app.desk import Desk

    wanted = replay.Wanted(
        [_read(path) for path in files],
        None if flood else speed or 1.0,
        drain_s=network["drain"],
        slow=output.note,
    )
    with reporting(progress) as report:
        if keys:
            known = [(keyfile.read(path), path) for path in keys]
            pairs = [(key, keyfile.Kept(path, key)) for key, path in known]
            way = way_of(network, *address(state, must=False))
            done = asyncio.run(replay.with_keys(wanted, [*pairs], way, report))
        else:
            way = way_of(network, *address(state, must=True))
            desk = Desk(state.socket())
            done = asyncio.run(replay.with_daemon(wanted, desk, way, devices or 1, subject, purpose, report))
    if as_json:
        output.write_json({**asdict(done), "closes": done.closes, "files": [path.name for path in files]})
    else:
        show(done, len(keys) or devices or 1)
    return exit_code(done)


def exit_code(done: Outcome) -> int:
    """0 where the sum closes, 75 where devices still hold packets, else 65."""
    if done.closes:
        return 0
    return EXIT_TRY_LATER if done.held else EXIT_VERIFY


def _read(path: Path) -> Recording:
    from gateway.sources.recording import MAX_BYTES, read_recording

    try:
        return read_recording(path.name, read_file(path, MAX_BYTES))
    except LocalError as error:
        raise LocalError(error.code, f"{path.name}: {error.message}", error.hint) from error


def show(done: Outcome, devices: int) -> None:
    """The outcome for people."""
    who = output.plural(devices, "device")
    click.echo(f"{output.plural(done.captured, 'sample')} sent as {who} in {done.seconds:.1f} s")
    for name, count, more in rows(done):
        click.echo(f"  {name:<9} {output.count(count):>12}  {more}".rstrip())
    if done.withheld:
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in done.withheld.items())
        click.echo(f"  Kept back by the device, since the session does not permit the kind: {kinds}")
    if done.unrecorded:
        click.echo(f"  Not captured, since nothing was recorded any more: {output.count(done.unrecorded)}")
    if done.closes:
        click.echo(output.paint("The sum closes: every sample is accounted for.", "green"))
    elif done.held:
        click.echo(
            output.paint("Not all was confirmed in time; the devices gave up with packets in hand.", "red")
        )
    else:
        streams = ", ".join(f"device {device} stream {stream}" for device, stream in done.open_streams)
        click.echo(output.paint(f"The sum does not close: {streams or 'in all'}.", "red"))
    if done.earlier:
        click.echo(
            f"  Of an earlier run, from the spool: {done.earlier['samples']:,} samples; stored "
            f"{done.earlier['stored']:,}, refused {done.earlier['refused']:,}, lost {done.earlier['lost']:,}"
        )
    for session in done.sessions:
        output.note(f"Session {session} holds it. See: `vestibule prove {session[: output.SHORT_ID]} 0 0`")


def rows(done: Outcome) -> list[tuple[str, int, str]]:
    """The lines of the sum: word, number, and what explains it."""
    from gateway.app.cli.words import reasons

    lost = ", ".join(f"{count:,} {LOST.get(cause, cause)}" for cause, count in done.lost.items())
    return [
        ("stored", done.stored, ""),
        ("refused", sum(done.refused.values()), reasons(done.refused)),
        ("missing", done.missing, lost),
        ("packets", done.packets, f"and {done.resends:,} sent again"),
    ]
