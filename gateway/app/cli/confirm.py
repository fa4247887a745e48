"""The question before something that cannot be undone."""

from __future__ import annotations

import sys

import click

from gateway.errors import LocalError


def confirm(question: str, yes: bool) -> None:
    """Ask, unless `yes` says that it was asked already.

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
