"""`vestibule init`: make a store. The only code that creates one; `restore` and `generation` do it through this.

Each step leaves what is there and goes on from it, and the mark is written last, so that a power cut at any moment
leaves either an unfinished store, with which `init` goes on, or a finished one, which it refuses (docs/adr/0003).
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Final

from gateway.app import config
from gateway.app.report import Progress
from gateway.errors import ConfigError, LocalError, StoreRefused
from gateway.store import unfinished
from gateway.store.db import Database
from gateway.store.keyfiles import KeyRing, create_keys
from gateway.store.layout import Layout, disk_error, write_private
from gateway.store.lock import StoreLock
from gateway.store.mark import Mark
from gateway.store.queries import EMPTY_TAIL, Head
from gateway.store.subjects import Subjects
from gateway.tlog.merkle import EMPTY_ROOT

STEPS: Final = ("directories", "configuration", "keys", "database", "subjects", "mark")
EMPTY: Final = Head(0, EMPTY_ROOT)

_OURS: Final = frozenset(
    (
        *("vestibule.toml", "state.db", "subjects.db", "peers.db", "mark", "lock", "unfinished"),
        *("keys", "vault", "vault.lost"),
    )
)
_ENDINGS: Final = (
    ".new",
    "-wal",
    "-shm",
    "-journal",
)  # what a step that was interrupted leaves beside a file


async def init_store(
    layout: Layout,
    origin: str,
    gateway_name: str,
    actor: str,
    progress: Progress = lambda what, done, total: None,
) -> KeyRing:
    """Make a store, or go on with one that was begun.

    Args:
        layout: where; the data directory may be there if nothing else stands in it.
        origin: name of the log, for ever.
        gateway_name: name of the gateway in topics and on screens.
        actor: who may see frames at first, like `uid:1000`.
        progress: told after each of `STEPS`.

    Returns:
        The keys; `keys.log` with `keys.origin` is what others verify with.

    Raises:
        StoreRefused: `store_exists`, the store is finished; `mark_missing`, it holds data and lost its mark;
            `unfinished`, another verb was interrupted here.
        ConfigError: `config_invalid`, `config_other`, `key_names`: the names are not proper, or not those of the store
            that was begun.
        LocalError: `directory_used`, something else stands in the directory.
        StoreError: `locked`, `disk_full`, `disk_io`.
    """
    text = config.default_text(gateway_name, origin, actor)
    if problems := config.check(text, "vestibule.toml"):
        raise ConfigError(
            "config_invalid", problems[0].message, "Give a proper --name, --origin and --actor."
        )
    refuse_used(layout)
    layout.make_dirs()
    with StoreLock(layout.lock):
        # Again, now that nobody else can be at it.
        refuse_used(layout)
        unfinished.refuse(layout)
        keys = await make_parts(layout, text, gateway_name, origin, f"{origin}/witness", progress=progress)
        Mark.create(layout.mark, EMPTY.size, EMPTY.root, 0).close()
        progress(STEPS[5], 6, len(STEPS))
    return keys


async def make_parts(
    layout: Layout,
    text: str,
    gateway_name: str,
    origin: str,
    witness_name: str,
    *,
    files: Mapping[str, str] | None = None,
    filled: bool = False,
    progress: Progress = lambda what, done, total: None,
) -> KeyRing:
    """Make everything of a store but its mark; what is there stays. The caller holds the lock.

    Args:
        layout: where; its directories are there.
        text: of the configuration, valid; gateway_name: as it says.
        origin, witness_name: names of the log and the witness.
        files: texts of key files to take, as of an escrow.
        filled: whether the database may hold a log already: one that is being fetched back.
        progress: told after each of `STEPS` but the last.

    Raises:
        StoreRefused: `mark_missing`; `origin`, the database is of another log.
        ConfigError: `config_other`, `key_names`, `key_other`.
        StoreError: `disk_full`, `disk_io`.
    """
    progress(STEPS[0], 1, len(STEPS))
    _write_config(layout, text, origin, gateway_name)
    progress(STEPS[1], 2, len(STEPS))
    keys = create_keys(layout, origin, witness_name, files=files)
    progress(STEPS[2], 3, len(STEPS))
    await _make_database(layout, keys, gateway_name, filled)
    progress(STEPS[3], 4, len(STEPS))
    Subjects(layout.subjects, keys.master, create=True).close()
    progress(STEPS[4], 5, len(STEPS))
    return keys


def refuse_used(layout: Layout) -> None:
    """Refuse a directory that holds a finished store, or something else than an unfinished one.

    Raises:
        StoreRefused: `store_exists`.
        LocalError: `directory_used`.
        StoreError: `disk_io`.
    """
    _refuse_finished(layout)
    _refuse_foreign(layout)


def _refuse_finished(layout: Layout) -> None:
    if os.path.lexists(layout.mark):
        raise StoreRefused(
            "store_exists",
            "there is a finished store in the data directory",
            "Start it with `vestibule run`, or name another directory with --data-dir.",
        )


def _refuse_foreign(layout: Layout) -> None:
    try:
        names = os.listdir(layout.data_dir)
    except FileNotFoundError:
        return
    except OSError as error:
        raise disk_error(error, "the data directory cannot be read") from error
    ours = _OURS | {name + ending for name in _OURS for ending in _ENDINGS}
    if foreign := sorted(set(names) - ours):
        raise LocalError(
            "directory_used",
            f"the data directory holds other things already, {foreign[0]} among them",
            "Name an empty directory, or a new one, with --data-dir.",
        )


def _write_config(layout: Layout, text: str, origin: str, gateway_name: str) -> None:
    if not layout.config.exists():
        write_private(layout.config, text.encode())
        return
    # Put there before, or by an `init` that was interrupted: it stays as it is if it means this gateway.
    there = config.load(layout.config).gateway
    if (there.origin, there.name) != (origin, gateway_name):
        raise ConfigError(
            "config_other",
            f"{layout.config.name} is of {there.name} with the origin {there.origin}",
            "Give the same names, or another data directory.",
        )


async def _make_database(layout: Layout, keys: KeyRing, gateway_name: str, filled: bool) -> None:
    db = await Database.open(layout.database, keys.store_key, create=True)
    try:
        used = await db.head() != EMPTY or await db.vault_tail() != EMPTY_TAIL or any(layout.vault.iterdir())
        if used and not filled:
            raise StoreRefused(
                "mark_missing",
                "this store holds recordings and has no mark: it is a restored backup, or damaged",
                "It must not sign as it is. `vestibule ledger catch-up` makes it whole again from peers; "
                "`vestibule verify` reads it.",
            )
        if await db.meta("origin") not in (None, keys.origin):
            raise StoreRefused(
                "origin",
                f"the database is of another log than {keys.origin}",
                "Name the data directory that belongs to these keys.",
            )
        for key, value in (
            ("origin", keys.origin),
            ("gateway", gateway_name),
            ("created_ms", str(time.time_ns() // 1_000_000)),
        ):
            if await db.meta(key) is None:
                await db.set_meta(key, value)
    finally:
        await db.close()
