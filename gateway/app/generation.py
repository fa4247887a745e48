"""`vestibule ledger new-generation`: another log takes the place of one that cannot go on.

Its keys are lost or stolen, or two histories of it were signed. The new store has a new origin and a new log key; its
first entry names the old log and the newest head of it that is known, so that nobody can bring a longer one later. The
old directory stays as it is: an archive that can be read and verified, and must not run again (docs/operator.md).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.app import config
from gateway.app.init import EMPTY, make_parts, refuse_used
from gateway.app.past import Past, next_origin
from gateway.core.ledger import Ledger
from gateway.core.records import Device, Writes
from gateway.entries.types import generation_body
from gateway.errors import ConfigError, Damage, LocalError, SignatureError, StoreRefused
from gateway.store import queries, unfinished
from gateway.store.db import Database
from gateway.store.keyfiles import KeyRing, witness_name_of
from gateway.store.layout import Layout
from gateway.store.lock import StoreLock
from gateway.store.mark import Mark
from gateway.store.records import device_of
from gateway.store.snapshot import Snapshot
from gateway.store.subjects import Subjects
from gateway.store.wrapping import Secrets
from gateway.tlog.merkle import Frontier

_ORIGIN = re.compile(r"""(?m)^(\s*origin\s*=\s*)(?:"[^"\n]*"|'[^'\n]*')""")

FIRST: Final = 1
"""Entries of a new generation when it is made."""


@dataclass(frozen=True, slots=True)
class Generation:
    """What was made, or would be.

    Args:
        origin: of the new log.
        old: the log that ended.
        devices, subjects: how many were taken along.
        size, root: of the new log; size 0 where nothing was made.
        checkpoint: signed, of that head.
        remarks: what could not be taken along, as sentences.
    """

    origin: str
    old: Past
    devices: int = 0
    subjects: int = 0
    size: int = 0
    root: bytes = b""
    checkpoint: bytes = b""
    remarks: tuple[str, ...] = ()


async def new_generation(
    old_layout: Layout,
    old: Past,
    to: Layout,
    origin: str | None,
    actor: str,
    confirm: Callable[[str], bool],
    reason: str,
    *,
    compromised: bool = False,
    dry_run: bool = False,
) -> Generation:
    """Make the store of a new generation.

    Args:
        old_layout: of the old store, read only; it may be gone.
        old: of `past.look_back`.
        to: where; an empty directory, or what an interrupted run left.
        origin: of the new log; None takes the next generation's.
        actor: who may see frames, where no configuration is there to be copied.
        confirm: asks the operator; never answer it by a default.
        reason: a word for the entry: `lost`, `forked`, `compromised` ...
        compromised: make all keys new.
        dry_run: make nothing.

    Raises:
        LocalError: `same_origin`, `directory_used`, `not_confirmed`, `entry_body`, the reason is not a word.
        StoreRefused: `store_exists`, `unfinished`.
        ConfigError: `config_invalid`, the new origin or the old configuration is not proper.
        StoreError: `locked`, `disk_full`, `disk_io`.
    """
    chosen = origin or next_origin(old.origin)
    if chosen == old.origin:
        raise LocalError(
            "same_origin", "a new generation has another origin than the old log", "Leave --origin out."
        )
    text, name = _configuration(old_layout, chosen, actor)
    files = {} if compromised else dict(old.files)
    begun = unfinished.read(to)
    if begun is None:
        refuse_used(to)
    elif begun.verb != unfinished.NEW_GENERATION:
        raise unfinished.refusal(begun)
    if dry_run:
        return Generation(chosen, old)
    if not confirm(_question(old, chosen, to, files)):
        raise LocalError("not_confirmed", "nothing was made", "Nothing was changed.")
    # The old one must not sign on while its end is written down; where it cannot be locked, nothing can run on it.
    lock = StoreLock(old_layout.lock) if os.access(old_layout.lock, os.W_OK) else None
    try:
        to.make_dirs()
        with StoreLock(to.lock):
            unfinished.begin(to, unfinished.NEW_GENERATION, 0)
            witness = witness_name_of(files["witness"]) if "witness" in files else f"{chosen}/witness"
            keys = await make_parts(to, text, name, chosen, witness, files=files, filled=True)
            made = await _fill(old_layout, old, to, keys, chosen, reason)
            unfinished.end(to)
            return made
    finally:
        if lock is not None:
            lock.release()


async def _fill(
    old_layout: Layout, old: Past, to: Layout, keys: KeyRing, origin: str, reason: str
) -> Generation:
    remarks: list[str] = []
    devices = _devices(old_layout, old.keys, remarks)
    subjects = _subjects(old_layout, old.keys, to, keys, remarks)
    ledger = Ledger(origin, keys.log_keys, keys.entry, Frontier(), {})
    db = await Database.open(to.database, keys.store_key)
    try:
        head = await db.head()
        if head == EMPTY:
            body = generation_body(
                ledger.gateway,
                time.time_ns() // 1_000_000,
                old.origin,
                old.size,
                old.root,
                old.note.decode(),
                reason,
            )
            plan = ledger.plan([body])
            writes = Writes(devices=devices, entries=plan.entries, head=plan.head)
            writes.tiles = [(tile.level, tile.n, tile.data) for tile in plan.tiles]
            await db.commit(writes)
            ledger.advance(plan)
        else:
            # A run that was interrupted behind the commit.
            tail = await db.tile(0, 0) or b""
            ledger = Ledger(origin, keys.log_keys, keys.entry, Frontier(FIRST, [tail]), {0: tail})
            devices = [device_of(row, db.secrets) for row in await db.rows(queries.DEVICES_SQL)]
    finally:
        await db.close()
    if not os.path.lexists(to.mark):
        Mark.create(to.mark, ledger.size, ledger.root, 0).close()
    return Generation(
        origin, old, len(devices), subjects, ledger.size, ledger.root, ledger.checkpoint(), tuple(remarks)
    )


def _devices(layout: Layout, keys: KeyRing | None, remarks: list[str]) -> list[Device]:
    """The old store's devices; the database that they go into wraps their keys under its own key."""
    if keys is None or not layout.database.exists():
        return []
    secrets = Secrets(keys.store_key)
    try:
        with Snapshot(layout.database) as snapshot:
            return [device_of(row, secrets) for row in snapshot.device_rows()]
    except (Damage, SignatureError, StoreRefused) as error:
        remarks.append(
            f"Devices must be paired again: the old database does not give them ({error.message})."
        )
        return []


def _subjects(layout: Layout, keys: KeyRing | None, to: Layout, new: KeyRing, remarks: list[str]) -> int:
    """Copy subject keys, wrapped under the new master key; returns how many the new store has."""
    if keys is None or not layout.subjects.exists():
        return 0
    theirs = Subjects(layout.subjects, keys.master, keys.old_master)
    try:
        ours = Subjects(to.subjects, new.master)
        try:
            there = set(ours.all_refs())
            for ref in theirs.all_refs():
                if ref in there:
                    continue
                try:
                    ours.create(ref, theirs.pseudonym(ref), theirs.key(ref))
                except Damage as error:
                    remarks.append(f"A subject key is not taken along: {error.message}.")
            return len(ours.all_refs())
        finally:
            ours.close()
    finally:
        theirs.close()


def _configuration(layout: Layout, origin: str, actor: str) -> tuple[str, str]:
    """The old configuration with the new origin, and the gateway's name in it."""
    text, name = "", ""
    if layout.config.exists():
        there = config.load(layout.config)
        name = there.gateway.name
        text = _ORIGIN.sub(
            lambda found: f'{found[1]}"{origin}"', config.read(layout.config, "Check its mode."), count=1
        )
    else:
        found = re.search(r"[a-z0-9-]{1,32}\Z", origin)
        name = found[0] if found else "rig-1"
        text = config.default_text(name, origin, actor)
    if problems := config.check(text, "vestibule.toml"):
        raise ConfigError("config_invalid", problems[0].message, "Give a proper --origin and --actor.")
    return text, name


def _question(old: Past, origin: str, to: Layout, files: dict[str, str]) -> str:
    kept = f"The keys for {', '.join(files)} go on." if files else "All keys are new."
    signed = "signed" if old.note else "no signed note of it is known"
    return (
        f"The log {old.origin} ends here, for everybody: the first entry of {origin} names its newest head that is "
        f"known, of {old.size} entries ({signed}). In {to.data_dir} a store is made with a new log key. {kept} "
        "Configuration, devices and subject keys are copied; recordings and their log stay in the old directory, which "
        "is not changed and must never run again. Whoever verifies needs the new log's key, and peers need it in the "
        "roster. Make the new generation?"
    )
