"""`vestibule ledger catch-up`: a store that is an old copy gets the entries that it lost back from mirrors.

Behind its mark, without one, or behind what somebody else holds: in each case the largest head that our key signed and
that continues what is here is gone to, and only above it is anything signed again (docs/operator.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from gateway.app.guard import Answer, Get, Source
from gateway.app.newest import Here, Newest, find_newest, require_entry_key
from gateway.app.regain import Regained, regain
from gateway.app.report import Progress
from gateway.app.startup import judge
from gateway.core.ledger import Ledger
from gateway.errors import ConfigError, LocalError, StoreRefused
from gateway.store import unfinished
from gateway.store.db import Database
from gateway.store.keyfiles import KeyRing, load_keys
from gateway.store.layout import Layout, disk_error, fsync_dir
from gateway.store.lock import StoreLock
from gateway.store.mark import Mark, MarkValue
from gateway.store.snapshot import Snapshot
from gateway.store.vault import Vault
from gateway.tlog.checkpoint import origin_hash
from gateway.tlog.merkle import EMPTY_ROOT

NOTHING: Final = MarkValue(0, EMPTY_ROOT, 0)


@dataclass(frozen=True, slots=True)
class Caught:
    """What was found, and done.

    Args:
        origin: of the log.
        before: entries that were here.
        size: of the newest head that is known.
        answers: who was asked, and what they said.
        done: what was written; None where nothing was to be done, or nothing was to be changed.
    """

    origin: str
    before: int
    size: int
    answers: tuple[Answer, ...] = ()
    done: Regained | None = None
    blamed: tuple[str, ...] = field(default=())
    """Sources that gave something that is not in this log."""


async def catch_up(
    layout: Layout,
    sources: Sequence[Source],
    get: Get,
    confirm: Callable[[str], bool],
    reason: str = "backup",
    *,
    signed: bytes = b"",
    dry_run: bool = False,
    progress: Progress = lambda what, done, total: None,
) -> Caught:
    """Bring a store to the newest head of its log.

    Args:
        layout: of the store; nothing else may use it.
        sources: whom to ask.
        get: how.
        confirm: asks the operator, and tells whether the answer was yes; never answer it by a default.
        reason: a word for the entry.
        signed: the newest of our own notes that is on record elsewhere; empty for none.
        dry_run: ask and check, and change nothing.
        progress: told `("entries", done, total)`.

    Raises:
        Forked: what others have is another history.
        StoreRefused: `mirrors_behind`, `key_outdated`, `unfinished`; what a store of another format is refused for.
        StoreError: `locked`, `no_witness`, `disk_full`, `disk_io`.
        LocalError: `not_confirmed`; `only_moved`, nothing is missing in this store.
        Damage: the tail of what is here does not verify.
        Unreachable: `log_incomplete`; run it again, it goes on.
    """
    if not layout.database.exists():
        raise StoreRefused(
            "store_missing",
            "there is no store in the data directory",
            "On an empty disk: `vestibule ledger restore --escrow FILE`.",
        )
    with ExitStack() as held:
        held.enter_context(StoreLock(layout.lock))
        begun = unfinished.read(layout)
        if begun is not None and begun.verb != unfinished.CATCH_UP:
            raise unfinished.refusal(begun)
        keys = _keys(layout)
        mark = _mark(layout)
        if mark is not None:
            held.callback(mark.close)
        vault = Vault.open(layout.vault, bytes.fromhex(origin_hash(keys.origin)))
        held.callback(vault.close)
        with Snapshot(layout.database) as snapshot:
            frontier, tails, _ = judge(snapshot, NOTHING, lambda row: vault.read_row(row)[0])
            here = Here(snapshot.head(), snapshot, mark.value if mark else None, signed)
            found = await find_newest(keys.origin, keys.known_log_vkeys, here, sources, get)
            last = snapshot.entry(here.head.size - 1) if here.head.size else None
            await require_entry_key(found, last, keys.entry)
        told = Caught(keys.origin, here.head.size, found.head.size, found.report.answers)
        moved = mark.made_here() if mark is not None else None
        if found.refetch is None and begun is None and mark is not None:
            if moved is None:
                return told
            raise LocalError(
                "only_moved",
                "this store has the newest head that is known, and was made elsewhere",
                "Take it over with `vestibule ledger adopt`.",
            )
        if dry_run:
            return told
        if not confirm(question(keys.origin, found, here.head.size)):
            raise LocalError("not_confirmed", "nothing was fetched", "Nothing was changed.")
        db = await Database.open(layout.database, keys.store_key)
        try:
            if mark is None:
                _set_aside(layout)
            ledger = Ledger(keys.origin, keys.log_keys, keys.entry, frontier, tails)
            done = await regain(layout, keys, db, ledger, mark, found, unfinished.CATCH_UP, reason, progress)
        finally:
            await db.close()
        return Caught(told.origin, told.before, told.size, told.answers, done, blamed(found))


def question(origin: str, found: Newest, before: int) -> str:
    """What the operator must know before the answer."""
    return (
        f"The log {origin} has {before} entries here, and {found.head.size} at its newest head that is known. "
        f"{found.report.said} "
        "What is missing is fetched and verified, and from then on this store signs above it. Recordings that only "
        "the lost copy held stay lost. If another copy of this store still runs, both sign, and each is evidence "
        "against the other. Is this the only copy that will ever run?"
    )


def blamed(found: Newest) -> tuple[str, ...]:
    """Who gave something that is not in this log."""
    return tuple(source.name for source in found.refetch.blamed) if found.refetch is not None else ()


def _keys(layout: Layout) -> KeyRing:
    try:
        keys = load_keys(layout)
    except ConfigError as error:
        if error.code != "file_missing":
            raise
        raise ConfigError(
            error.code,
            error.message,
            "Put the keys back from their escrow with `vestibule ledger restore`: it goes on with what is here.",
        ) from error
    if keys.next_entry is not None:
        raise ConfigError(
            "rotation_unfinished",
            "a rotation of the entry key was interrupted",
            "Keep the key of the two that the log names: run `vestibule key rotate entry` on the newest copy.",
        )
    return keys


def _mark(layout: Layout) -> Mark | None:
    try:
        return Mark.open(layout.mark)
    except StoreRefused as error:
        if error.code in ("mark_missing", "mark_invalid"):
            return None
        raise


def _set_aside(layout: Layout) -> None:
    """Keep a mark that holds nothing valid under another name, so that a new one can be made."""
    try:
        layout.mark.rename(layout.data_dir / "mark.invalid")
        fsync_dir(layout.data_dir)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise disk_error(error, "the invalid mark cannot be set aside") from error
