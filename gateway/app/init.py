"""`vestibule init`: make a store. The only code that creates one.

Each step leaves what is there and goes on from it, and the mark is written last, so that a power cut at any moment
leaves either an unfinished store, with which `init` goes on, or a finished one, which it refuses (docs/adr/0003).
"""

from __future__ import annotations

import os
import time
from typing import Final

from gateway.app import config
from gateway.app.report import Progress
from gateway.errors import ConfigError, LocalError, StoreRefused
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

_OURS: Final = frozenset(("vestibule.toml", "state.db", "subjects.db", "mark", "lock", "keys", "vault"))
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
        StoreRefused: `store_exists`, the store is finished; `mark_missing`, it holds data and lost its mark.
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
    _refuse_finished(layout)
    _refuse_foreign(layout)
    layout.make_dirs()
    with StoreLock(layout.lock):
        # Again, now that nobody else can be at it.
        _refuse_finished(layout)
        progress(STEPS[0], 1, len(STEPS))
        _write_config(layout, text, origin, gateway_name)
        progress(STEPS[1], 2, len(STEPS))
        keys = create_keys(layout, origin, f"{origin}/witness")
        progress(STEPS[2], 3, len(STEPS))
        await _make_database(layout, keys, gateway_name)
        progress(STEPS[3], 4, len(STEPS))
        Subjects(layout.subjects, keys.master, create=True).close()
        progress(STEPS[4], 5, len(STEPS))
        Mark.create(layout.mark, EMPTY.size, EMPTY.root, 0).close()
        progress(STEPS[5], 6, len(STEPS))
    return keys


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


async def _make_database(layout: Layout, keys: KeyRing, gateway_name: str) -> None:
    db = await Database.open(layout.database, keys.store_key, create=True)
    try:
        if await db.head() != EMPTY or await db.vault_tail() != EMPTY_TAIL or any(layout.vault.iterdir()):
            raise StoreRefused(
                "mark_missing",
                "this store holds recordings and has no mark: it is a restored backup, or damaged",
                "It must not sign again. Read it with `vestibule verify`, and begin a new store elsewhere.",
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
