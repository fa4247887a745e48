"""`plugin-check`: what an author of a plugin runs beside the engine."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from gateway import __version__
from gateway.app.cli import output
from gateway.app.cli.state import write_file
from gateway.errors import EXIT_VERIFY

if TYPE_CHECKING:
    from gateway.app.plugin_check.sheet import Row

PORT: Final = 4747
KINDS: Final = "pose,gaze,hand,haptic,button,marker,pcm,face_fb2,face_arkit,face_unified,face_htc"


@click.command("plugin-check")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for a headset."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="UDP; 0 takes a free one."
)
@click.option(
    "--out",
    "-o",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write pair.json and key.json into DIR.",
)
@click.option(
    "--kinds", default=KINDS, help="Kinds that sessions permit, with commas; all where nothing is said."
)
@click.option(
    "--without", default="gaze", show_default=True, help="The kind that the first session leaves out."
)
@click.option("--listen", is_flag=True, help="No trial: explain what comes until Ctrl-C, then the sheet.")
@click.option("--unattended", is_flag=True, help="Nobody is there: steps that need a person are not seen.")
@click.option(
    "--outage", type=click.FloatRange(1, 600), default=30, show_default=True, help="Seconds without gateway."
)
@click.option(
    "--wait", type=click.FloatRange(1, 3600), default=600, show_default=True, help="Seconds for a device."
)
@click.option(
    "--verbose", "-v", is_flag=True, help="Every packet with its fields, and the bytes that are wrong."
)
@click.option(
    "--sheet",
    "sheet_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the sheet as Markdown.",
)
@output.json_lines_option
def plugin_check(
    host: str,
    port: int,
    out: Path | None,
    kinds: str,
    without: str,
    listen: bool,
    unattended: bool,
    outage: float,
    wait: float,
    verbose: bool,
    sheet_file: Path | None,
    as_json: bool,
) -> int:
    """Check a plugin while you write it: a gateway that explains each packet, and a sheet at the end.

    Starts a real gateway on a store of its own, which is removed afterwards; no other terminal is needed. Shows a
    pairing code, opens a session for the device as soon as it is paired, says of each packet what it is, what the
    gateway thinks of it, what is wrong and how to mend it. Then it goes through a trial: it loses packets, goes away,
    sends commands and forgeries, closes sessions; and judges the checklist of the protocol, line by line. That takes
    about three minutes from the first sample on, and longer where a person is asked.

    With --json each packet is one JSON object on a line, and the sheet is the last line. Exit code 65 if a line fails;
    0 does not mean that every line was seen: the sheet says which were not.

    \b
    Example: vestibule plugin-check --out ./watched
             vestibule plugin-check --host 0.0.0.0 --without hand --sheet CHECKLIST.md
             vestibule plugin-check --listen --verbose
    """
    from gateway.app.cli.plugin_check_view import View
    from gateway.app.plugin_check import run, sheet_text
    from gateway.app.plugin_check.trial import Options

    options = Options(_kinds(kinds, without), without, outage, wait)
    view = View(as_json, verbose)
    screen = run.Screen(lambda offered: _offer(view, offered, out, as_json), view.line, view.say, view.tick)
    person = not (unattended or listen or as_json) and sys.stdin.isatty()
    try:
        ask = _ask(view) if person else None
        rows = asyncio.run(_interruptible(host, port, out, options, screen, ask, listen))
    except asyncio.CancelledError:
        # The second Ctrl-C, while the gateway was being stopped.
        raise KeyboardInterrupt from None
    view.rest()
    about = {"Checked with": f"vestibule {__version__}", "Date": time.strftime("%Y-%m-%d")}
    if sheet_file is not None:
        write_file(sheet_file, sheet_text.as_markdown(rows, about), force=True)
    if as_json:
        output.write_json({"sheet": sheet_text.as_document(rows)})
    else:
        click.echo(f"\n{sheet_text.as_text(rows)}")
    return EXIT_VERIFY if sheet_text.counts(rows)["fail"] else 0


def _kinds(text: str, without: str) -> tuple[str, ...]:
    from gateway.wire.kinds import KIND_BY_NAME

    names = tuple(dict.fromkeys([*(name.strip() for name in text.split(",") if name.strip()), without]))
    unknown = [name for name in names if name not in KIND_BY_NAME]
    ctx = click.get_current_context()
    if unknown:
        raise click.UsageError(f"unknown kind {unknown[0]}; known: {', '.join(KIND_BY_NAME)}", ctx)
    if without in ("info", "clock") or len(names) < 2:
        raise click.UsageError("--without names one kind of several, and neither info nor clock", ctx)
    return names


async def _interruptible(
    host: str, port: int, out: Path | None, options: Any, screen: Any, ask: Any, listen: bool
) -> list[Row]:
    """Ctrl-C ends the check, and the sheet is made all the same; the second time it ends everything."""
    from gateway.app.plugin_check import run

    loop, enough, task = asyncio.get_running_loop(), asyncio.Event(), asyncio.current_task()

    def interrupted() -> None:
        if enough.is_set() and task is not None:
            task.cancel()
        enough.set()

    loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        return await run.check(host, port, out, options, screen, ask, listen, enough)
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def _offer(view: Any, offered: dict[str, Any], out: Path | None, as_json: bool) -> None:
    if as_json:
        # The code stands in the file; a log of JSON lines may go anywhere.
        click.echo(_one_line({"host": offered["host"], "port": offered["port"], "files": str(out or "")}))
        if out is None:
            click.echo(_one_line({"code": offered["code"], "uri": offered["uri"]}))
        return
    import segno

    if sys.stdout.isatty():
        segno.make(offered["uri"], error="m").terminal(out=sys.stdout, compact=True)
    for name, value in (("code", "code"), ("host", "host"), ("port", "port"), ("link", "uri")):
        click.echo(f"  {name}  {offered[value]}")
    if out is not None:
        click.echo(f"  files {out / 'pair.json'} (to pair) and {out / 'key.json'} (paired already)")


def _one_line(value: dict[str, Any]) -> str:
    """One JSON object on one line."""
    import json

    return json.dumps(value)


def _ask(view: Any) -> Callable[[str, float], Awaitable[bool]]:
    """Asks the person at the terminal: Enter when it is done, s and Enter to pass over it."""

    async def ask(words: str, limit_s: float) -> bool:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()

        def readable() -> None:
            line = sys.stdin.readline()
            if not answer.done():
                answer.set_result(line)

        view.say(f"    {words}. Then press Enter (s and Enter passes over it; {limit_s:.0f} s).")
        loop.add_reader(sys.stdin.fileno(), readable)
        try:
            return (await asyncio.wait_for(answer, limit_s)).strip().lower() not in ("s", "skip")
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(sys.stdin.fileno())

    return ask
