"""The passphrase of an escrow: from a file, or asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from gateway.app.cli.state import read_file
from gateway.errors import LocalError

MAX_PASSPHRASE_BYTES: Final = 1024  # a sentence, not a file by mistake

F = TypeVar("F", bound=Callable[..., Any])


def passphrase_option(command: F) -> F:
    """Add `--passphrase-file`."""
    return click.option(
        "--passphrase-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="File whose first line is the passphrase; else it is asked for.",
    )(command)


def read_passphrase(path: Path | None, *, new: bool) -> str:
    """The passphrase.

    Args:
        path: a file with it; None asks.
        new: ask twice.

    Raises:
        LocalError: `passphrase_file`, `passphrase`; as `read_file`.
    """
    if path is not None:
        try:
            return read_file(path, MAX_PASSPHRASE_BYTES).decode("utf-8").split("\n")[0].rstrip("\r")
        except UnicodeDecodeError:
            raise LocalError(
                "passphrase_file", f"{path} is not UTF-8 text", "Write the passphrase in it."
            ) from None
    if not sys.stdin.isatty():
        raise LocalError(
            "passphrase", "a passphrase is needed, and nobody is there to be asked", "Use --passphrase-file."
        )
    again = "The same again" if new else False
    return str(click.prompt("Passphrase", hide_input=True, confirmation_prompt=again, err=True))
