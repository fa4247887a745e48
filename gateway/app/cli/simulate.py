"""`simulate`: headsets with people in them, for a time or until it is told to stop."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click

from gateway.app.cli import output
from gateway.app.cli.network import FILE, address, network_options, way_of
from gateway.app.cli.progress import progress_option, reporting
from gateway.app.cli.replay import MAX_DEVICES, exit_code, show
from gateway.app.cli.state import State

MAX_SECONDS: Final = 7 * 86_400.0
MAX_HZ: Final = 120
KINDS: Final = ("pose", "gaze", "haptic")


@click.command()
@click.option("--key", "keys", multiple=True, type=FILE, help="Key file of a paired device; may be repeated.")
@click.option("--devices", type=click.IntRange(1, MAX_DEVICES), help="Without --key: how many devices; 1.")
@click.option("--session-subject", "subject", default="simulated", show_default=True, help="Without --key.")
@click.option("--purpose", default="simulation", show_default=True, help="Without --key: why.")
@click.option(
    "--seconds", type=click.FloatRange(1, MAX_SECONDS), help="How long; until Ctrl-C where nothing is said."
)
@click.option(
    "--kinds", "chosen", type=click.Choice(KINDS), multiple=True, help="May be repeated; all of them."
)
@click.option(
    "--hz", type=click.IntRange(1, MAX_HZ), default=MAX_HZ, help="Most samples a second of a stream."
)
@network_options
@output.json_option
@progress_option
@click.pass_obj
def simulate(
    state: State,
    /,
    keys: tuple[Path, ...],
    devices: int | None,
    subject: str,
    purpose: str,
    seconds: float | None,
    chosen: tuple[str, ...],
    hz: int,
    as_json: bool,
    progress: str,
    **network: Any,
) -> int:
    """Let simulated people wear simulated headsets, and account for every sample.

    Each device sends the head, both hands, gaze and haptics of a person of its own. Without --key the daemon of this
    store makes devices and a session for them, and closes both afterwards. With --key the device is one that
    `vestibule device add` or a pairing made, and its session is open already. Ctrl-C ends the recording and drains;
    a second one ends everything.

    Exit code 0 only where the sum closes: samples sent = stored + refused + missing.

    \b
    Example: vestibule simulate --devices 4 --seconds 60
             vestibule simulate --loss 0.2 --jitter 300 --outage 30,2 --seed 7
             vestibule simulate --key headset.json --spool ./spool --sleep 60,10 --host 10.0.0.5
    """
    if keys and devices is not None:
        raise click.UsageError("--devices makes new ones; --key names them", click.get_current_context())
    from gateway.app import keyfile
    from gateway.app import simulate as work
    from gateway.app.desk import Desk
    from gateway.wire.kinds import KIND_BY_NAME

    allowed = frozenset(KIND_BY_NAME[name].number for name in chosen or KINDS)
    wanted = work.Wanted(seconds, allowed, hz, network["seed"], drain_s=network["drain"], slow=output.note)
    with reporting(progress) as report:
        try:
            if keys:
                known = [(keyfile.read(path), path) for path in keys]
                hands = [(key, keyfile.Kept(path, key)) for key, path in known]
                way = way_of(network, *address(state, must=False))
                done = asyncio.run(work.with_keys(wanted, hands, way, report))
            else:
                way = way_of(network, *address(state, must=True))
                desk = Desk(state.socket())
                made = devices or 1
                done = asyncio.run(work.with_daemon(wanted, desk, way, made, subject, purpose, report))
        except asyncio.CancelledError:
            # The second Ctrl-C, while devices were still draining.
            raise KeyboardInterrupt from None
    if as_json:
        output.write_json({**asdict(done), "closes": done.closes})
    else:
        show(done, len(keys) or devices or 1)
    return exit_code(done)
