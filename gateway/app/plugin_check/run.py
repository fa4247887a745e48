"""Puts the check together: a temporary store, the real gateway on it, the wire, the watcher, and the trial."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.app import keyfile
from gateway.app.plugin_check.gate import Gate
from gateway.app.plugin_check.people import Ask
from gateway.app.plugin_check.say import Line
from gateway.app.plugin_check.sheet import Row, sheet
from gateway.app.plugin_check.trial import Options, Trial
from gateway.app.plugin_check.watcher import Watcher
from gateway.app.plugin_check.wire import Tap
from gateway.errors import LocalError, VestibuleError
from gateway.store.layout import Layout, write_private

TICK_S: Final = 0.5
PAIR_FILE: Final = "pair.json"
KEY_FILE: Final = "key.json"


@dataclass(slots=True)
class Screen:
    """Where it all goes.

    Args:
        offer: takes the answer of `pair` when the gateway is up.
        line: takes each packet.
        say: takes words about the trial.
        tick: called twice a second with the monotonic time in nanoseconds.
    """

    offer: Callable[[dict[str, Any]], None]
    line: Callable[[Line], None]
    say: Callable[[str], None]
    tick: Callable[[int], None]


async def check(
    host: str,
    port: int,
    out: Path | None,
    options: Options,
    screen: Screen,
    ask: Ask | None,
    listen: bool,
    enough: asyncio.Event,
) -> list[Row]:
    """Check a plugin.

    Args:
        host, port: of the UDP socket; port 0 takes a free one.
        out: folder for the pair file and a key file; None writes none.
        options: of the trial and its sessions.
        screen: what is told.
        ask: asks a person; None marks those lines as not seen.
        listen: no trial, only looking, until `enough`.
        enough: set to end it; the sheet is made all the same.

    Returns:
        The sheet.

    Raises:
        VestibuleError: the gateway could not start, or no device came.
    """
    watcher = Watcher()
    tap = Tap(watcher, time.monotonic_ns, screen.line)
    folder = Path(tempfile.mkdtemp(prefix="vestibule-check-"))
    try:
        async with Gate(Layout(folder / "store"), host, port, tap) as gate:
            offered = await gate.ask("pair", name="")
            watcher.ring.offer(str(offered["code"]))
            if out is not None:
                await _write(out, gate, watcher, offered, options)
            screen.offer(offered)
            async with asyncio.TaskGroup() as group:
                side = [
                    group.create_task(_tick(watcher, tap, screen)),
                    group.create_task(_sessions(gate, watcher, options, screen)),
                ]
                try:
                    await _until(_trial(gate, tap, watcher, options, screen, ask), enough, listen)
                finally:
                    for task in side:
                        task.cancel()
            watcher.tick(time.monotonic_ns())
        tap.flush(rest=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return sheet(watcher)


async def _trial(
    gate: Gate, tap: Tap, watcher: Watcher, options: Options, screen: Screen, ask: Ask | None
) -> None:
    await Trial(gate, tap, watcher, options, screen.say, ask).run()


async def _until(trial: Any, enough: asyncio.Event, listen: bool) -> None:
    """Run the trial until it is over or somebody has enough of it."""
    if listen:
        trial.close()
        await enough.wait()
        return
    tasks = [asyncio.ensure_future(trial), asyncio.ensure_future(enough.wait())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            tasks[0].result()
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError, VestibuleError):
            await tasks[0]


async def _tick(watcher: Watcher, tap: Tap, screen: Screen) -> None:
    while True:
        await asyncio.sleep(TICK_S)
        tap.flush()
        now_ns = time.monotonic_ns()
        for finding in watcher.tick(now_ns):
            screen.say(f"    ! {finding.what}. {finding.mend}")
        screen.tick(now_ns)


async def _sessions(gate: Gate, watcher: Watcher, options: Options, screen: Screen) -> None:
    """Open a session for each device as soon as it is known, once; the trial does the rest."""
    done: set[int] = set()
    while True:
        await asyncio.sleep(TICK_S / 5)
        for device in [number for number in watcher.ring.devices if number not in done]:
            if not gate.runs:
                break
            with contextlib.suppress(VestibuleError):
                # Between two looks the gateway may have gone away: then it is asked again.
                await gate.open_session(device, options.first)
                done.add(device)
                kinds = ", ".join(options.first)
                screen.say(f"A session is open for device {device}: {kinds} (not {options.without}).")


async def _write(out: Path, gate: Gate, watcher: Watcher, offered: dict[str, Any], options: Options) -> None:
    """The pair file and a key file, of two devices: whichever the plugin takes."""
    if not out.is_dir():
        raise LocalError("file_unwritable", f"{out} is no directory", "Make it, or name another with --out.")
    added = await gate.ask("device.add", name="plugin-check")
    key = keyfile.of_reply(added)
    watcher.ring.know(key.device, bytes.fromhex(key.key))
    # The files of an earlier check name a store that is gone.
    write_private(out / PAIR_FILE, json.dumps(offered, indent=2).encode() + b"\n", replace=True)
    reach = {"host": offered["host"], "port": offered["port"]}
    document = {**json.loads(keyfile.text(key)), **reach}
    write_private(out / KEY_FILE, json.dumps(document).encode() + b"\n", replace=True)
