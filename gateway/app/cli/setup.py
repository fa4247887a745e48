"""`init`, `check`, `run`, `stop`, `migrate`: from nothing to a gateway that runs, and its end."""

from __future__ import annotations

import asyncio
import os
import re
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from gateway.app.cli import output
from gateway.app.cli.key import public_keys
from gateway.app.cli.progress import progress_option, reporting
from gateway.app.cli.state import State
from gateway.errors import ConfigError, LocalError, Unreachable

if TYPE_CHECKING:
    from gateway.app.config import Problem

STOP_S: Final = 30.0
"""As long as systemd waits for the service (TimeoutStopSec); the daemon itself gives up after 25."""


@click.command()
@click.option(
    "--origin", help="Name of the log, for ever: like a URL without scheme, under a domain of yours."
)
@click.option("--name", help="Name in topics and on screens; the origin's last part where nothing is said.")
@click.option(
    "--actor", help="Who may see frames at first, like uid:1000; whoever runs this where nothing is said."
)
@output.json_option
@click.pass_obj
def init(state: State, origin: str | None, name: str | None, actor: str | None, as_json: bool) -> None:
    """Make a store in the data directory: keys, log, vault, and a commented configuration.

    An `init` that was interrupted is gone on with; a finished store is never touched.

    \b
    Example: vestibule init --origin clinic.example/rig-1
    """
    from gateway.app.init import init_store

    chosen = origin or _ask_origin()
    if fault := _origin_fault(chosen):
        raise LocalError("origin", f"the origin {fault}", "For example: --origin clinic.example/rig-1")
    asyncio.run(init_store(state.layout, chosen, name or name_of(chosen), actor or actor_here()))
    keys = public_keys(state)
    if as_json:
        output.write_json({"data_dir": str(state.data_dir), "config": str(state.layout.config), **keys})
        return
    click.echo(f"A store is made in {state.data_dir}.")
    click.echo(f"  configuration  {state.layout.config}")
    click.echo(f"  log            {keys['log']}")
    click.echo(f"  gateway        {keys['gateway']}")
    output.note("Give the line `log` to those who will verify. What comes next:")
    where = f"--data-dir {state.data_dir} " if "VESTIBULE_DATA_DIR" not in os.environ else ""
    output.note(f"  vestibule {where}key escrow --out KEYS.txt   # once, and keep it off this machine")
    output.note(f"  vestibule {where}run")
    output.note(f"  vestibule {where}pair")


def _ask_origin() -> str:
    if not sys.stdin.isatty():
        raise LocalError(
            "origin_missing",
            "a log needs an origin, which stands in every proof and is never changed",
            "Give one under a domain of yours: vestibule init --origin clinic.example/rig-1",
        )
    output.note(
        "The origin names your log in every proof, for ever: like a URL without scheme, under your domain."
    )
    while True:
        origin = str(click.prompt("Origin, like clinic.example/rig-1", err=True)).strip()
        fault = _origin_fault(origin)
        if not fault:
            return origin
        output.note(f"The origin {fault}.")


def _origin_fault(origin: str) -> str | None:
    from gateway.app.config_rules import origin as rule

    return rule().check(origin)


def name_of(origin: str) -> str:
    """The last part of an origin where it can be a gateway's name."""
    last = origin.rstrip("/").rpartition("/")[2].lower()
    return last if re.fullmatch(r"[a-z0-9-]{1,32}", last) else "rig-1"


def actor_here() -> str:
    """Who runs this, also behind sudo: root itself needs no permission to look at a proof."""
    sudo = os.environ.get("SUDO_UID", "")
    return f"uid:{sudo}" if os.geteuid() == 0 and sudo.isdecimal() else f"uid:{os.getuid()}"


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@output.json_option
@click.pass_obj
def check(state: State, file: Path | None, as_json: bool) -> None:
    """Find every fault of a configuration at once, with its line and the key that was probably meant.

    Only reads: FILE, or the configuration in the data directory. Exit code 78 where there is a fault; a warning, of
    values that are right and will make something slow, changes nothing about that.

    \b
    Example: vestibule check /etc/vestibule/vestibule.toml
    """
    if file is None:
        state.must_hold_store()
    path = file or state.layout.config
    problems, warnings, lines = _problems(path)
    if as_json:
        output.write_json(
            {
                "file": str(path),
                "ok": not problems,
                "problems": [asdict(one) for one in problems],
                "warnings": [asdict(one) for one in warnings],
            }
        )
    for problem in [] if as_json else [*problems, *warnings]:
        warns = problem in warnings
        click.echo(("warning: " if warns else "") + output.clean(problem))
        if 0 < problem.line <= len(lines) and problem.key:
            click.echo(f"    {output.clean(lines[problem.line - 1].expandtabs(1))}")
            click.echo("    " + " " * (problem.column - 1) + output.paint("^", "yellow" if warns else "red"))
    if problems:
        raise ConfigError(
            "config_invalid",
            f"{path}: {output.plural(len(problems), 'problem')}",
            "Correct the lines above, and check again.",
        )
    if not as_json:
        also = f", {output.plural(len(warnings), 'warning')}" if warnings else ""
        output.note(f"{path}: no problems{also}.")


def _problems(path: Path) -> tuple[list[Problem], list[Problem], list[str]]:
    """The faults of a file, its warnings where it has none, and its lines to show them in."""
    from gateway.app import config

    text = config.read(path, "Give the FILE that is to be checked, or let `vestibule init` write one.")
    problems = config.check(text, str(path))
    return problems, [] if problems else config.warnings(text, str(path)), text.split("\n")


@click.command()
@click.option(
    "--config", type=click.Path(dir_okay=False, path_type=Path), help="Another file than the store's own."
)
@click.pass_obj
def run(state: State, config: Path | None) -> None:
    """Run the gateway until SIGTERM or Ctrl-C; then it seals, commits and tells what it has accepted, and ends.

    Exit code 75 means: start it again, it will read again what is on disk. 65 and 78 mean: a person must look.

    \b
    Example: vestibule --data-dir /srv/rig-1 run
    """
    from gateway.app import daemon

    state.must_hold_store()
    daemon.run(state.layout, config)


@click.command()
@output.json_option
@click.pass_obj
def stop(state: State, as_json: bool) -> None:
    """Stop the gateway, and wait until it is gone: it seals, commits and tells what it has accepted, and ends.

    A service that systemd started is not started again after this.

    \b
    Example: vestibule stop
    """
    from gateway.app.cli.ask import ask

    pid = int(ask(state, "status", {})["pid"])
    with ended(pid) as is_gone:
        ask(state, "stop", {})
        if not is_gone(STOP_S):
            raise Unreachable(
                "stop",
                f"the gateway, process {pid}, is still stopping after {STOP_S:.0f} s",
                "See its log: it may be waiting for the disk.",
            )
    if as_json:
        output.write_json({"pid": pid, "stopped": True})
    else:
        click.echo("The gateway has stopped.")


@contextmanager
def ended(pid: int) -> Iterator[Callable[[float], bool]]:
    """Watch a process from now on, so that another one that takes its number later is not taken for it.

    Args:
        pid: of a process that runs.

    Returns:
        A function that waits for its end for so many seconds, and says whether it came.
    """
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        yield lambda timeout_s: True
        return
    try:
        # A descriptor of a process is readable once the process has ended: pidfd_open(2).
        yield lambda timeout_s: bool(select.select([fd], [], [], timeout_s)[0])
    finally:
        os.close(fd)


@click.command()
@output.json_option
@progress_option
@click.pass_obj
def migrate(state: State, as_json: bool, progress: str) -> None:
    """Bring a store that an older version made to this version's format: copy, verify, swap.

    The daemon must be stopped. An interruption at any moment leaves the old store or the new one, whole.

    \b
    Example: vestibule migrate
    """
    from gateway.app.migrate import migrate_store

    state.must_hold_store()
    with reporting(progress) as report_progress:
        done = migrate_store(state.layout, report_progress)
    if as_json:
        kept = str(done.kept) if done.kept else None
        output.write_json({"before": done.before, "after": done.after, "kept": kept})
    elif done.before == done.after:
        click.echo(f"The store has this version's format already ({done.after}).")
    else:
        click.echo(f"The store was brought from format {done.before} to {done.after}, and verified.")
        output.note(f"The old database is kept as {done.kept}; remove it when all is well.")
