"""`vestibule ledger restore`: a store on an empty disk, out of escrowed keys and what mirrors have of its log.

Also over a backup of `state.db` and `vault/` that was put into the directory before: then devices, sessions and the
recordings up to the backup are there again. In both cases nothing is signed below the newest head that anybody holds
(docs/operator.md).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from gateway.app import config
from gateway.app.catch_up import NOTHING, Caught, blamed
from gateway.app.guard import Get, NoTiles, Source
from gateway.app.init import EMPTY, make_parts, refuse_used
from gateway.app.newest import Here, Newest, find_newest, require_entry_key
from gateway.app.regain import regain
from gateway.app.report import Progress
from gateway.app.startup import judge
from gateway.core.ledger import Ledger
from gateway.errors import ConfigError, LocalError, StoreRefused
from gateway.store import unfinished
from gateway.store.db import Database
from gateway.store.escrow import Escrowed
from gateway.store.layout import Layout
from gateway.store.lock import StoreLock
from gateway.store.mark import Mark
from gateway.store.snapshot import Snapshot
from gateway.store.vault import Vault
from gateway.tlog.checkpoint import origin_hash


async def restore_store(
    layout: Layout,
    escrow: Escrowed,
    gateway_name: str,
    actor: str,
    sources: Sequence[Source],
    get: Get,
    confirm: Callable[[str], bool],
    *,
    dry_run: bool = False,
    progress: Progress = lambda what, done, total: None,
) -> Caught:
    """Make a store that goes on with a log whose disk is lost.

    Args:
        layout: where; empty, or a backup without its mark, or what an interrupted run left.
        escrow: the keys that say who this gateway is.
        gateway_name, actor: for a new configuration, as for `init`; one that is there stays.
        sources: whom to ask.
        get: how.
        confirm: asks the operator; never answer it by a default.
        dry_run: ask and check, and make nothing.
        progress: told `(step, done, total)` as by `init`, then `("entries", done, total)`.

    Raises:
        StoreRefused: `store_exists`; `nobody_has_it`, no head of this log is known anywhere; `mirrors_behind`,
            `key_outdated`, `unfinished`, `origin`.
        Forked: two histories were signed.
        LocalError: `directory_used`, `not_confirmed`.
        ConfigError: `config_invalid`, `config_other`, `key_names`, `key_other`.
        StoreError: `locked`, `no_witness`, `disk_full`, `disk_io`.
        Unreachable: `log_incomplete`; run it again, it goes on.
    """
    text = config.default_text(gateway_name, escrow.origin, actor)
    if problems := config.check(text, "vestibule.toml"):
        raise ConfigError("config_invalid", problems[0].message, "Give a proper --name and --actor.")
    _refuse_store(layout)
    if _has_database(layout):
        with Snapshot(layout.database) as snapshot:
            if snapshot.meta("origin") not in (None, escrow.origin):
                raise StoreRefused(
                    "origin",
                    f"the database is of another log than {escrow.origin}",
                    "Name the directory that belongs to these keys.",
                )
            found = await _look(escrow, Here(snapshot.head(), snapshot), sources, get)
            before, last = snapshot.head(), snapshot.entry(snapshot.head().size - 1)
    else:
        found = await _look(escrow, Here(EMPTY, NoTiles()), sources, get)
        before, last = EMPTY, None
    if not found.head.size:
        raise StoreRefused(
            "nobody_has_it",
            f"nobody who was asked has a head of the log {escrow.origin} that its key signed",
            "Name other mirrors with --from. If nobody ever had it, begin a new log: `vestibule init` with another "
            "origin.",
        )
    await require_entry_key(found, last, escrow.entry)
    told = Caught(escrow.origin, before.size, found.head.size, found.report.answers)
    if dry_run:
        return told
    if not confirm(_question(escrow.origin, found, before.size)):
        raise LocalError("not_confirmed", "nothing was made", "Nothing was changed.")
    layout.make_dirs()
    with StoreLock(layout.lock):
        _refuse_store(layout)
        # Before the first key is there: an `init` that found them would begin an empty log under this origin.
        begun = unfinished.begin(layout, unfinished.RESTORE, before.size)
        keys = await make_parts(
            layout,
            text,
            gateway_name,
            escrow.origin,
            escrow.witness_name,
            files=escrow.files,
            filled=True,
            progress=progress,
        )
        vault = Vault.open(layout.vault, bytes.fromhex(origin_hash(keys.origin)))
        try:
            with Snapshot(layout.database) as snapshot:
                frontier, tails, _ = judge(snapshot, NOTHING, lambda row: vault.read_row(row)[0])
        finally:
            vault.close()
        # Of a run that was interrupted behind it.
        mark = Mark.open(layout.mark) if os.path.lexists(layout.mark) else None
        db = await Database.open(layout.database, keys.store_key)
        try:
            ledger = Ledger(keys.origin, keys.log_keys, keys.entry, frontier, tails)
            reason = "backup" if begun.first else "wiped"
            done = await regain(layout, keys, db, ledger, mark, found, unfinished.RESTORE, reason, progress)
        finally:
            if mark is not None:
                mark.close()
            await db.close()
    return Caught(told.origin, told.before, told.size, told.answers, done, blamed(found))


def _refuse_store(layout: Layout) -> None:
    """Refuse what is neither empty, nor a backup without its mark, nor what this verb has begun."""
    begun = unfinished.read(layout)
    if begun is not None:
        if begun.verb != unfinished.RESTORE:
            raise unfinished.refusal(begun)
        return
    try:
        refuse_used(layout)
    except StoreRefused as error:
        hint = "If it is an old copy, bring it to the newest head with `vestibule ledger catch-up`."
        if not os.path.lexists(layout.key("log")):
            hint = "A mark that came back with a backup says nothing: remove the file `mark`, and run this again."
        raise StoreRefused(
            error.code, "there is a store with its mark in the data directory", hint
        ) from error


def _has_database(layout: Layout) -> bool:
    """Whether there is a log to go on from; an interrupted run may have left a file in which nothing is yet."""
    if not layout.database.exists():
        return False
    try:
        Snapshot(layout.database).close()
    except StoreRefused as error:
        if error.code == "not_ours" and unfinished.read(layout) is not None:
            return False
        raise
    return True


async def _look(escrow: Escrowed, here: Here, sources: Sequence[Source], get: Get) -> Newest:
    return await find_newest(escrow.origin, escrow.log_vkeys, here, sources, get)


def _question(origin: str, found: Newest, before: int) -> str:
    kept = f"The {before} entries of the backup stay, with their recordings. " if before else ""
    return (
        f"A store of {origin} is made with the keys of the escrow, and goes on above the {found.head.size} entries of "
        f"its newest head that is known. {found.report.said} {kept}"
        "Recordings that only the lost disk held stay lost, and devices that no backup knows must be paired again. "
        "If the lost disk ever runs again, both sign, and each is evidence against the other. Will it never run again?"
    )
