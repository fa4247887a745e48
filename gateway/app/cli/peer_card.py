"""Cards on the command line: read from a file, from the word in a QR code or from standard input; shown as QR code."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

import click

from gateway.app.cli import output
from gateway.app.cli.state import read_file
from gateway.core.card import MAX_CARD_BYTES, PREFIX, Card, parse_card
from gateway.errors import WireError

FROM_INPUT: Final = "-"

card_argument = click.argument("card", metavar="CARD")


def read_card(named: str) -> Card:
    """The card that an argument means: the word itself, `-`, or a file.

    Raises:
        LocalError: `file_unreadable`, `file_size`.
        WireError: `card`.
        SignatureError: `card_signature`.
    """
    if named.startswith(PREFIX):
        return parse_card(named)
    if named == FROM_INPUT:
        return parse_card(sys.stdin.buffer.read(2 * MAX_CARD_BYTES + 1))
    data = read_file(Path(named), 2 * MAX_CARD_BYTES)
    try:
        return parse_card(data)
    except WireError as error:
        hint = error.hint or "Is it the file that `peer invite --out` wrote, whole?"
        raise WireError(error.code, f"{named} is no card: {error.message}", hint) from error


def show_qr(text: str) -> None:
    """Draw a QR code where the terminal has room for it, else say how much it needs."""
    import segno

    code = segno.make(text, error="l")
    width, height = code.symbol_size()
    room = shutil.get_terminal_size()
    if width > room.columns or height // 2 > room.lines:
        output.note(
            f"The QR code needs a terminal of {width} columns and {height // 2 + 1} lines; this one has {room.columns} "
            f"and {room.lines}."
        )
        return
    code.terminal(out=sys.stdout, compact=True)
