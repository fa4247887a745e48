"""The one way out: every error becomes words on standard error (what, where, why, next step) and an exit code.

An exception that is not ours is a bug. Its text and its values may hold data, so only its type and the places in our
own code are shown.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

import click

import gateway
from gateway.app.cli import output
from gateway.errors import EXIT_REFUSED, EXIT_TRY_LATER, EXIT_USAGE, Damage, VestibuleError

EXIT_BUG: Final = 70  # EX_SOFTWARE of sysexits.h
EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells report it

_PACKAGE = Path(gateway.__file__).parent


def leave(
    error: BaseException, as_json: bool = False, told: Callable[[str], str] = lambda hint: hint
) -> NoReturn:
    """Say what happened, and end the process with the exit code that belongs to it.

    Args:
        error: what ended the command.
        as_json: as JSON.
        told: makes the commands in a hint those of this store.
    """
    if isinstance(error, click.Abort | KeyboardInterrupt):
        # click turns both Ctrl-C and the end of input into Abort.
        if not isinstance(error.__cause__, EOFError):
            _say(as_json, "interrupted", "interrupted", "", {})
            sys.exit(EXIT_INTERRUPTED)
        _say(
            as_json,
            "no_answer",
            "a question was not answered",
            "Give the answer as an option; see --help.",
            {},
        )
        sys.exit(EXIT_USAGE)
    if isinstance(error, BaseExceptionGroup):
        error = _root(error)
        if isinstance(error, KeyboardInterrupt):
            leave(error, as_json, told)
    if isinstance(error, click.exceptions.UsageError):
        _usage(error, as_json)
    elif isinstance(error, click.ClickException):
        _say(as_json, "usage", error.format_message(), "See --help.", {})
        sys.exit(EXIT_USAGE)
    elif isinstance(error, VestibuleError):
        where = error.where if isinstance(error, Damage) else {}
        _say(as_json, error.code, error.message, told(error.hint), where)
        sys.exit(error.exit_code)
    elif isinstance(error, OSError) and error.filename is not None:
        _system(error, as_json)
    else:
        _bug(error, as_json)
    sys.exit(EXIT_BUG)


def _root(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that explains a group: one of ours with the gravest exit code, unless a bug hides among them."""
    leaves: list[BaseException] = []
    for error in group.exceptions:
        leaves.append(_root(error) if isinstance(error, BaseExceptionGroup) else error)
    known = [error for error in leaves if isinstance(error, VestibuleError)]
    unknown = [error for error in leaves if not isinstance(error, VestibuleError)]
    if unknown:
        return unknown[0]
    return max(known, key=lambda error: error.exit_code)


def _usage(error: click.exceptions.UsageError, as_json: bool) -> NoReturn:
    message = error.format_message()
    if error.ctx is not None and message == error.ctx.get_help():
        # A group without a verb: the help is the answer.
        click.echo(message, err=True)
        sys.exit(EXIT_USAGE)
    path = error.ctx.command_path if error.ctx is not None else "vestibule"
    hint = f"See `{path} --help`."
    program, _, verb = path.partition(" ")
    if isinstance(error, click.NoSuchOption) and error.option_name == "--data-dir" and verb:
        hint = f"It stands before the verb: {program} --data-dir DIR {verb}"
    _say(as_json, "usage", message.rstrip("."), hint, {})
    sys.exit(EXIT_USAGE)


def _system(error: OSError, as_json: bool) -> NoReturn:
    refused = isinstance(error, PermissionError | FileNotFoundError | NotADirectoryError)
    _say(
        as_json,
        "file",
        f"{os.fsdecode(error.filename)}: {error.strerror}",
        "Check the path, and that this user may use it (the service's store belongs to the service)."
        if refused
        else "Check the disk, then try again.",
        {},
    )
    sys.exit(EXIT_REFUSED if refused else EXIT_TRY_LATER)


def _bug(error: BaseException, as_json: bool) -> None:
    places = [
        f"{Path(frame.filename).relative_to(_PACKAGE.parent)}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(_PACKAGE)
    ]
    _say(
        as_json,
        "bug",
        f"this is a bug in Vestibule {gateway.__version__} ({type(error).__name__})",
        "Please report these lines; they hold no data. Nothing that was acknowledged is lost.",
        {"at": " < ".join(reversed(places[-6:])) or "unknown"},
    )


def _say(as_json: bool, code: str, message: str, hint: str, where: dict[str, int | str]) -> None:
    if as_json:
        told = {"error": {"code": code, "message": message, "where": where, "hint": hint}}
        click.echo(json.dumps(told), err=True)
        return
    red = not os.environ.get("NO_COLOR")
    # A message may name what stands in somebody's file: a key, say, whose name moves the cursor.
    words = "\n".join(map(output.clean, message.split("\n")))
    click.echo(f"{click.style('vestibule:', fg='red' if red else None, bold=red)} {words}", err=True)
    if where:
        click.echo("  where: " + ", ".join(f"{name} {value}" for name, value in where.items()), err=True)
    if hint:
        click.echo(f"  next:  {hint}", err=True)
