"""Keeps what lies in the vault behind the last part that a row names, where a start would cut it off.

After a crash that is an unfinished cycle, and worth nothing. After the loss of the database it may be recordings whose
rows are gone: nothing reads them today, and nothing must destroy them.
"""

from __future__ import annotations

import os
from pathlib import Path

from gateway.store.layout import PRIVATE_DIR, Layout, create_file, disk_error, fsync_dir, write_all
from gateway.store.vault import segment_path

CHUNK_BYTES = 1 << 20


def set_aside(layout: Layout, tail: tuple[int, int]) -> int:
    """Move whole segments, and copy the end of the last one that is in use, to `Layout.lost`.

    Args:
        layout: of the store, which nothing else uses.
        tail: (segment, offset) behind the last part that a row names.

    Returns:
        How many bytes are there now that were not before.

    Raises:
        StoreError: `disk_full`, `disk_io`.
    """
    segment, offset = tail
    moved = 0
    try:
        behind = [path for path in sorted(layout.vault.glob("*.seg")) if path.name > _name(layout, segment)]
        last = segment_path(layout.vault, segment)
        size = last.stat().st_size if last.exists() else 0
        if size > offset or behind:
            layout.lost.mkdir(mode=PRIVATE_DIR, exist_ok=True)
        if size > offset:
            moved += _copy(last, offset, layout.lost / f"{last.name}.from-{offset}")
        for path in behind:
            moved += path.stat().st_size
            os.rename(path, _free(layout.lost / path.name))
        for folder in {layout.lost, layout.vault, layout.data_dir} if moved else ():
            fsync_dir(folder)
    except OSError as error:
        raise disk_error(error, "the end of the vault cannot be kept") from error
    return moved


def _name(layout: Layout, segment: int) -> str:
    return segment_path(layout.vault, segment).name


def _copy(path: Path, offset: int, to: Path) -> int:
    """Copy the end of a file; one of that name was copied by a run that was interrupted, perhaps in its midst."""
    to.unlink(missing_ok=True)
    fd = create_file(to)
    try:
        at = 0
        with path.open("rb") as file:
            file.seek(offset)
            while data := file.read(CHUNK_BYTES):
                write_all(fd, data, at)
                at += len(data)
        os.fsync(fd)
    finally:
        os.close(fd)
    return at


def _free(path: Path) -> Path:
    number = 1
    while path.exists():
        path, number = path.with_name(f"{path.name.split('.again')[0]}.again{number}"), number + 1
    return path
