"""The note that a verb is at work on this store over several steps, so that nothing else takes it for a finished one.

Guards one rule: a log of which only a part was fetched back, or a new generation without its first entry, is never
signed. The file is there before the first such step and goes after the last (docs/store-format.md, "Unfinished").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from gateway.errors import ConfigError, StoreRefused
from gateway.store.layout import Layout, disk_error, fsync_dir, read_private, write_private

CATCH_UP: Final = "catch-up"
RESTORE: Final = "restore"
NEW_GENERATION: Final = "new-generation"

AGAIN: Final[dict[str, str]] = {
    CATCH_UP: "Run `vestibule ledger catch-up` again: it goes on where it was.",
    RESTORE: "Run `vestibule ledger restore` again, with the same escrow: it goes on where it was.",
    NEW_GENERATION: "Run `vestibule ledger new-generation` again, with the same --to: it goes on where it was.",
}
"""Verb -> what to do where it was interrupted."""

MAX_BYTES: Final = 64
_FORM: Final = re.compile(r"(catch-up|restore|new-generation) ([0-9]{1,19})\n", re.ASCII)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What was begun.

    Args:
        verb: one of `AGAIN`.
        first: index of the first entry that is fetched back; 0 for a new generation.
    """

    verb: str
    first: int


def begin(layout: Layout, verb: str, first: int) -> Unfinished:
    """Write down that a verb begins; one that is gone on with keeps its smaller `first`.

    Raises:
        StoreRefused: `unfinished`, another verb was interrupted here, and that one goes on.
        StoreError: `disk_full`, `disk_io`.
        ConfigError: as `read`.
    """
    there = read(layout)
    if there is not None:
        if there.verb != verb:
            raise refusal(there)
        return there
    write_private(layout.unfinished, f"{verb} {first}\n".encode(), replace=True)
    return Unfinished(verb, first)


def read(layout: Layout) -> Unfinished | None:
    """What was begun here and is not finished; None where nothing is.

    Raises:
        ConfigError: `unfinished_file`, the file holds something else; `file_permissions`, `file_unreadable`.
    """
    try:
        text = read_private(layout.unfinished, MAX_BYTES).decode("ascii", "replace")
    except ConfigError as error:
        if error.code == "file_missing":
            return None
        raise
    found = _FORM.fullmatch(text)
    if found is None:
        raise ConfigError(
            "unfinished_file",
            f"{layout.unfinished.name} does not say what was begun here",
            "Put it back as it was: it says which entries have to be fetched.",
        )
    return Unfinished(found[1], int(found[2]))


def end(layout: Layout) -> None:
    """The verb is done.

    Raises:
        StoreError: `disk_io`.
    """
    try:
        layout.unfinished.unlink(missing_ok=True)
        fsync_dir(layout.data_dir)
    except OSError as error:
        raise disk_error(error, f"{layout.unfinished.name} cannot be removed") from error


def refuse(layout: Layout) -> None:
    """Refuse a store on which a verb was interrupted.

    Raises:
        StoreRefused: `unfinished`.
        ConfigError: as `read`.
    """
    there = read(layout)
    if there is not None:
        raise refusal(there)


def refusal(there: Unfinished) -> StoreRefused:
    """The refusal that names what to do."""
    return StoreRefused(
        "unfinished",
        f"`{there.verb}` was interrupted on this store, and nothing may be signed",
        AGAIN[there.verb],
    )
