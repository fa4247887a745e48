"""The log as others read it: static tlog-tiles files (`ledger export`), and the same resources for the HTTP edge.

What is exported is the log at its mark, the only head that may be signed. Tiles are immutable: an export that is
repeated adds to what is there and never changes it, and the checkpoint is replaced last.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.app.report import Progress
from gateway.errors import Damage, Divergence, LocalError, ProofError, SignatureError, StoreRefused
from gateway.store.db import Database
from gateway.store.keyfiles import KeyRing, load_keys
from gateway.store.layout import Layout, disk_error, fsync_dir, write_all
from gateway.store.mark import Mark, MarkValue
from gateway.store.peer_snapshot import PeerSnapshot
from gateway.store.snapshot import Snapshot
from gateway.tlog.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint, sign_checkpoint
from gateway.tlog.merkle import EMPTY_ROOT
from gateway.tlog.note import MAX_NOTE_BYTES, parse_note
from gateway.tlog.text import HASH_BYTES
from gateway.tlog.tiles import (
    ENTRIES_LEVEL,
    TILE_HEIGHT,
    TILE_WIDTH,
    TOP_LEVEL,
    TileCoord,
    encode_bundle,
    parse_tile_path,
    root_from_tiles,
    tile_path,
    width_at,
)

CHECKPOINT: Final = "checkpoint"
TILES: Final = "tile"
PUBLIC_FILE: Final = 0o644  # the log is public; a web server of another user reads it
PUBLIC_DIR: Final = 0o755


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export did.

    Args:
        size, root: of the log in the directory now.
        written: files that are new.
        kept: files that were there already, with the same bytes.
    """

    size: int
    root: bytes
    written: int
    kept: int


class LogReader:
    """The resources of our log out of the running daemon's database.

    Args:
        db: of the store.
        checkpoint: gives the newest signed checkpoint; nothing beyond it is served.
    """

    def __init__(self, db: Database, checkpoint: Callable[[], bytes]) -> None:
        self._db = db
        self._checkpoint = checkpoint

    async def resource(self, path: str) -> bytes | None:
        """Bytes of a resource.

        Args:
            path: `checkpoint`, or of a tile or an entry bundle, below the log's prefix.

        Returns:
            None for what is no such path, or lies beyond the newest checkpoint; a partial tile of any width up to
            that is there.

        Raises:
            StoreError: `disk_io`.
        """
        checkpoint = self._checkpoint()
        if path == CHECKPOINT:
            return checkpoint or None
        coord = wanted_tile(path, _size_of(checkpoint))
        if coord is None:
            return None
        if coord.level == ENTRIES_LEVEL:
            entries = await self._db.entries(coord.n * TILE_WIDTH, coord.width)
            return encode_bundle(entries) if len(entries) == coord.width else None
        row = await self._db.tile(coord.level, coord.n) or b""
        data = row[: coord.width * HASH_BYTES]
        return data if len(data) == coord.width * HASH_BYTES else None


def wanted_tile(path: str, size: int) -> TileCoord | None:
    """The tile or bundle that a path names, or None if there is none at this size."""
    try:
        coord = parse_tile_path(path)
    except ProofError:
        return None
    level = max(coord.level, 0)  # a bundle is as wide as its tile of level 0
    return coord if coord.width <= width_at(size, level, coord.n) else None


def export_log(
    layout: Layout, out_dir: Path, progress: Progress = lambda what, done, total: None
) -> Exported:
    """Write the static layout of tlog-tiles for the log as it may be signed now.

    Args:
        layout: of the store; a running daemon does not matter.
        out_dir: made if it is not there; an earlier export of the same log is continued.
        progress: told `("tiles", done, total)`.

    Raises:
        LocalError: `directory_used`, something else stands in the directory.
        StoreRefused: `mark_missing`, `mark_invalid`, `moved`, `rolled_back`, `forked`: nothing may be signed.
        Divergence: `export_forked`: what was exported before is another history than ours.
        Damage: `tile_missing`, `entry_missing`.
        StoreError: `disk_full`, `disk_io`.
    """
    keys = load_keys(layout)
    mark = mark_here(layout)
    with Snapshot(layout.database) as snapshot:
        note = signed_checkpoint(snapshot, mark, keys)
        try:
            _refuse_foreign(out_dir, snapshot, keys, mark.size)
            out_dir.mkdir(mode=PUBLIC_DIR, parents=True, exist_ok=True)
            written = kept = 0
            coords = list(_coords(mark.size))
            for number, coord in enumerate(coords):
                path = out_dir / tile_path(coord.level, coord.n, coord.width)
                if _put(path, _data(snapshot, coord), out_dir):
                    written += 1
                else:
                    kept += 1
                progress("tiles", number + 1, len(coords))
            _write(out_dir / CHECKPOINT, note)
            fsync_dir(out_dir)
            _drop_partials(out_dir, coords)
        except OSError as error:
            raise disk_error(error, "the log cannot be exported") from error
    return Exported(mark.size, mark.root, written, kept)


def mark_here(layout: Layout) -> MarkValue:
    """What this store last signed. Read it before the snapshot, so that the snapshot holds at least that much.

    Raises:
        StoreRefused: `mark_missing`, `mark_invalid`, `moved`.
    """
    mark = Mark.open(layout.mark, write=False)
    try:
        if moved := mark.made_here():
            raise StoreRefused(
                "moved",
                f"this store was made elsewhere ({moved} differs): it was copied or moved",
                "Export where it was made, or take it over with `vestibule ledger adopt`.",
            )
        return mark.value
    finally:
        mark.close()


def signed_checkpoint(snapshot: Snapshot, mark: MarkValue, keys: KeyRing) -> bytes:
    """Sign the log at its mark: the only head that may be signed without the daemon.

    Args:
        snapshot: of the database, taken after the mark was read.
        mark: of `mark_here`.
        keys: of the store.

    Raises:
        StoreRefused: `rolled_back`, `forked`: nothing may be signed.
        Damage: `tile_missing`.
    """
    hint = "Run `vestibule fsck`; nothing may be signed."
    if snapshot.head().size < mark.size:
        raise StoreRefused("rolled_back", "the database has fewer entries than were signed", hint)
    root = root_from_tiles(snapshot, mark.size) if mark.size else EMPTY_ROOT
    if root != mark.root:
        raise StoreRefused("forked", "the database has another history than was signed", hint)
    return sign_checkpoint(Checkpoint(keys.origin, mark.size, mark.root), keys.origin, *keys.log_keys)


def confirmed_checkpoint(layout: Layout) -> tuple[int, bytes]:
    """The newest checkpoint of our log that a quorum cosigned, with all its signatures.

    Returns:
        Its size and the note; 0 and nothing without one.

    Raises:
        StoreError, StoreRefused, Damage: peers.db is there and cannot be read.
    """
    if not layout.peers.exists():
        return 0, b""
    with PeerSnapshot(layout.peers) as snapshot:
        kept = snapshot.cosigned()
        return (kept.size, kept.note) if kept else (0, b"")


def _refuse_foreign(out_dir: Path, snapshot: Snapshot, keys: KeyRing, size: int) -> None:
    if not out_dir.exists():
        return
    if not out_dir.is_dir() or not set(os.listdir(out_dir)) <= {CHECKPOINT, f"{CHECKPOINT}.new", TILES}:
        raise LocalError(
            "directory_used",
            "something else than an export of a log stands in the directory",
            "Name an empty directory, or a new one.",
        )
    path = out_dir / CHECKPOINT
    if not path.exists():
        return
    with path.open("rb") as file:
        note = file.read(MAX_NOTE_BYTES + 1)
    try:
        there = open_checkpoint(note, *keys.known_log_vkeys)
    except (ProofError, SignatureError) as error:
        if _continues(note, keys.origin, snapshot, size):
            return
        raise LocalError(
            "directory_used", "the directory holds another log than this one", "Name another directory."
        ) from error
    if there.size > size or root_from_tiles(snapshot, there.size) != there.root:
        raise Divergence(
            "export_forked",
            f"the directory holds a log of {there.size} entries that this one does not continue",
            "Keep both as evidence, and run `vestibule fsck`.",
        )


def _continues(note: bytes, origin: str, snapshot: Snapshot, size: int) -> bool:
    """Whether a head under a key that was rotated away from since is one of this log."""
    try:
        there = parse_checkpoint(parse_note(note).text)
    except ProofError:
        return False
    return (
        there.origin == origin and there.size <= size and root_from_tiles(snapshot, there.size) == there.root
    )


def _coords(size: int) -> Iterator[TileCoord]:
    for level in (ENTRIES_LEVEL, *range(TOP_LEVEL + 1)):
        hashes = size >> (TILE_HEIGHT * max(level, 0))
        for n in range(-(-hashes // TILE_WIDTH)):
            yield TileCoord(level, n, width_at(size, max(level, 0), n))


def _data(snapshot: Snapshot, coord: TileCoord) -> bytes:
    if coord.level != ENTRIES_LEVEL:
        return snapshot.hash_tile(coord.level, coord.n, coord.width)
    entries = snapshot.entries(coord.n * TILE_WIDTH, coord.width)
    if len(entries) != coord.width:
        at = coord.n * TILE_WIDTH + len(entries)
        raise Damage(
            "entry_missing",
            f"entry {at} is not in the database",
            "Run `vestibule fsck`.",
            where={"entry": at},
        )
    return encode_bundle(entries)


def _put(path: Path, data: bytes, out_dir: Path) -> bool:
    """Write an immutable file; returns False if it was there already."""
    if path.exists():
        if path.read_bytes() != data:
            raise Divergence(
                "export_forked",
                f"{path.relative_to(out_dir)} is there with other bytes, and a tile never changes",
                "Keep both as evidence, and run `vestibule fsck`.",
            )
        return False
    made = [folder for folder in path.parents if out_dir in folder.parents and not folder.exists()]
    path.parent.mkdir(mode=PUBLIC_DIR, parents=True, exist_ok=True)
    _write(path, data)
    for folder in {path.parent, *(folder.parent for folder in made)}:
        fsync_dir(folder)
    return True


def _write(path: Path, data: bytes) -> None:
    beside = path.with_name(path.name + ".new")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, PUBLIC_FILE)
    try:
        write_all(fd, data, 0)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(beside, path)


def _drop_partials(out_dir: Path, coords: list[TileCoord]) -> None:
    # A checkpoint that has the full tile is published, so nobody needs its partial ones any more (tlog-tiles).
    for coord in coords:
        folder = out_dir / (tile_path(coord.level, coord.n) + ".p")
        if coord.width == TILE_WIDTH and folder.is_dir():
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()


def _size_of(checkpoint: bytes) -> int:
    return parse_checkpoint(parse_note(checkpoint).text).size if checkpoint else 0
