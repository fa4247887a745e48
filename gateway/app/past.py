"""What is known of a log that cannot go on: its newest head, and what of its store can be taken along.

Reads only. The keys may be lost in part, the database may be damaged or of another history: whatever is there is used,
and what is not there is said.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.app.guard import Answer, Get, NoTiles, Source, ask_witnesses, opened
from gateway.app.init import EMPTY
from gateway.app.refetch import Refetch
from gateway.entries.rules import MAX_NOTE_BYTES
from gateway.errors import ConfigError, Damage, LocalError, StoreRefused, VestibuleError
from gateway.store.keyfiles import KeyRing, load_keys, read_key
from gateway.store.layout import Layout
from gateway.store.mark import Mark, MarkValue
from gateway.store.queries import Head
from gateway.store.snapshot import Snapshot
from gateway.tlog.checkpoint import Checkpoint, sign_checkpoint
from gateway.tlog.note import VerifierKey

REUSED: Final = ("witness", "entry", "tls")
"""Keys that a new generation goes on with, unless they are compromised."""
ABSENT: Final = ("file_missing", "file_unreadable", "key_file", "file_permissions", "file_size")

_GENERATION = re.compile(r"(.*)-g([1-9][0-9]{0,5})", re.S)


@dataclass(frozen=True, slots=True)
class Past:
    """A log that ended, and its store.

    Args:
        origin: its name.
        size, root: of its newest head that is known.
        note: signed, of that head; empty where nobody has one.
        keys: all keys of its store; None where some are lost.
        files: texts of those key files of `REUSED` that are there.
        answers: who was asked, and what they said.
        remarks: what could not be used, as sentences.
    """

    origin: str
    size: int
    root: bytes
    note: bytes
    keys: KeyRing | None
    files: dict[str, str] = field(repr=False)
    answers: tuple[Answer, ...] = ()
    remarks: tuple[str, ...] = ()


def next_origin(origin: str) -> str:
    """The name of the generation after this one: `clinic.example/rig-1`, `clinic.example/rig-1-g2`, `...-g3`."""
    found = _GENERATION.fullmatch(origin)
    return f"{found[1]}-g{int(found[2]) + 1}" if found else f"{origin}-g2"


async def look_back(
    layout: Layout,
    origin: str | None,
    vkeys: Sequence[VerifierKey],
    sources: Sequence[Source],
    get: Get,
    records: Sequence[bytes] = (),
    *,
    compromised: bool = False,
) -> Past:
    """Find out what is known.

    Args:
        layout: of the old store; it may be gone in part or altogether.
        origin, vkeys: of the old log, where its store does not tell them.
        sources, get: whom to ask for its head, and how.
        records: its notes that are on record here, perhaps cosigned.
        compromised: whether somebody else may sign with its keys: then what this store signed goes before what others
            have.

    Raises:
        LocalError: `old_log`, neither the store nor the arguments say which log it was, or nobody has a head of it.
        StoreError: `disk_io`.
    """
    keys, files, remarks = _keys(layout)
    snapshot = _database(layout, remarks)
    try:
        named = keys.origin if keys else snapshot.meta("origin") if snapshot else None
        origin = origin or named
        if origin is None or (named is not None and origin != named):
            raise LocalError(
                "old_log",
                "the store does not say which log it was" if named is None else f"the store is of {named}",
                "Say it with --old-origin and --old-vkey, as others know it.",
            )
        known = [*(keys.known_log_vkeys if keys else ()), *vkeys]
        mark = _mark(layout, remarks)
        heads = [_Held(head, note) for note in records if (head := opened(note, known)) is not None]
        if keys is not None and mark is not None and mark.size:
            # What was signed before: Ed25519 gives the same bytes again.
            signed = sign_checkpoint(Checkpoint(origin, mark.size, mark.root), origin, *keys.log_keys)
            heads.append(_Held(Checkpoint(origin, mark.size, mark.root), signed))
        answers: tuple[Answer, ...] = ()
        if sources and known:
            answers, more = await _elsewhere(origin, known, snapshot, sources, get, remarks)
            if compromised and heads:
                own = max(held.head.size for held in heads)
                remarks += [
                    f"Others have a head of {held.head.size} entries: with stolen keys anybody could have signed it."
                    for held in more
                    if held.head.size > own
                ]
                more = [held for held in more if held.head.size <= own]
            heads += more
    finally:
        if snapshot is not None:
            snapshot.close()
    # Of the same head the note with the most signatures.
    best = max(heads, key=lambda held: (held.head.size, len(held.note)), default=None)
    if best is not None:
        size, root, note = best.head.size, best.head.root, best.note
    elif mark is not None or snapshot is not None:
        remarks.append("No signed head of the old log is known: only its size and root are named.")
        ended = Head(mark.size, mark.root) if mark is not None else _head(layout)
        size, root, note = ended.size, ended.root, b""
    else:
        raise LocalError(
            "old_log",
            f"nobody who was asked has a head of {origin} that its key signed",
            "Name mirrors with --from, and the log's key with --old-vkey.",
        )
    return Past(origin, size, root, note, keys, files, answers, tuple(remarks))


@dataclass(frozen=True, slots=True)
class _Held:
    head: Checkpoint
    note: bytes


def _keys(layout: Layout) -> tuple[KeyRing | None, dict[str, str], list[str]]:
    files: dict[str, str] = {}
    remarks: list[str] = []
    if not os.path.isdir(layout.keys):
        return None, files, remarks
    for name in REUSED:
        try:
            files[name] = read_key(layout, name)
        except ConfigError as error:
            remarks.append(f"The {name} key is not here ({error.message}): a new one is made.")
    try:
        keys = load_keys(layout)
    except ConfigError as error:
        if error.code not in ABSENT:
            raise
        remarks.append(f"Devices and subject keys cannot be taken along: {error.message}.")
        return None, files, remarks
    if keys.next_entry is not None:
        raise ConfigError(
            "rotation_unfinished",
            "a rotation of the old store's entry key was interrupted",
            "Run `vestibule key rotate entry` there first: it finishes that.",
        )
    return keys, files, remarks


def _database(layout: Layout, remarks: list[str]) -> Snapshot | None:
    if not layout.database.exists():
        return None
    try:
        return Snapshot(layout.database)
    except (Damage, StoreRefused) as error:
        remarks.append(f"The old database cannot be read: {error.message}.")
        return None


def _mark(layout: Layout, remarks: list[str]) -> MarkValue | None:
    try:
        mark = Mark.open(layout.mark, write=False)
    except StoreRefused as error:
        if layout.database.exists():
            remarks.append(f"The old mark cannot be used: {error.message}.")
        return None
    mark.close()
    return mark.value


def _head(layout: Layout) -> Head:
    with Snapshot(layout.database) as snapshot:
        return snapshot.head()


async def _elsewhere(
    origin: str,
    known: Sequence[VerifierKey],
    snapshot: Snapshot | None,
    sources: Sequence[Source],
    get: Get,
    remarks: list[str],
) -> tuple[tuple[Answer, ...], list[_Held]]:
    """Heads that others hold and that continue what is here; without a database here, all of them."""
    here = snapshot.head() if snapshot is not None else EMPTY
    report = await ask_witnesses(origin, known, here, snapshot or NoTiles(), sources, get)
    heads = []
    for answer in report.heads:
        if answer.head is None:
            continue
        try:
            root = here.root
            if answer.word == "ahead" and here.size:
                root, _ = await Refetch([answer], answer.head, get).root_at(here.size)
        except VestibuleError as error:
            remarks.append(f"The head of {answer.source.name} is not used: {error.message}.")
            continue
        if answer.word == "other" or root != here.root:
            remarks.append(
                f"{answer.source.name} has another history, of {answer.head.size} entries: it is evidence, and not the "
                "head that is named."
            )
            continue
        raw = answer.raw if len(answer.raw) <= MAX_NOTE_BYTES else answer.note
        heads.append(_Held(answer.head, raw))
    return report.answers, heads
