"""Leaf hashes that a monitor verified, and those above them, on disk: 32 bytes an entry.

With them it can judge, and convict by, any earlier head of a log, also when the log shows its old tiles no more. Files
only grow; what lies beyond the size that the state names counts for nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway.errors import ProofError
from gateway.store.layout import disk_error, write_all
from gateway.tlog.text import HASH_BYTES
from gateway.tlog.tiles import TILE_WIDTH, TOP_LEVEL, tails_after, tails_at, tile_updates

NAME: Final = "hashes-"
FILE_MODE: Final = 0o644  # all in it is public


class Hashes:
    """Leaf hashes that were verified, and those above them: a file for each level of tiles. A `TileReader`.

    Args:
        folder: of the log.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[int, int] = {}
        self._tails: dict[int, bytes] = {}
        self.size = 0

    def begin(self, size: int) -> None:
        """Go on at a size; what a run that broke off wrote beyond it counts for nothing.

        Raises:
            ProofError: `tile_length`, there are fewer.
            StoreError: `disk_io`.
        """
        self.size = size
        self._tails = {
            coord.level: self.hash_tile(coord.level, coord.n, coord.width) for coord in tails_at(size)
        }

    def hash_tile(self, level: int, n: int, width: int) -> bytes:
        """The first hashes of a tile.

        Raises:
            ProofError: `tile_length`, they are not there.
            StoreError: `disk_io`.
        """
        try:
            data = os.pread(self._file(level), width * HASH_BYTES, n * TILE_WIDTH * HASH_BYTES)
        except OSError as error:
            raise disk_error(error, "the leaf hashes cannot be read") from error
        if len(data) != width * HASH_BYTES:
            raise ProofError("tile_length", "leaf hashes are missing")
        return data

    def append(self, leaves: Sequence[bytes]) -> None:
        """Add leaf hashes; `sync` makes them durable.

        Raises:
            StoreError: `disk_full`, `disk_io`.
        """
        writes = tile_updates(self.size, leaves, self._tails)
        try:
            for write in writes:
                write_all(self._file(write.level), write.data, write.n * TILE_WIDTH * HASH_BYTES)
        except OSError as error:
            raise disk_error(error, "leaf hashes cannot be written") from error
        self._tails = tails_after(self._tails, writes)
        self.size += len(leaves)

    def sync(self) -> None:
        """Make durable what was added.

        Raises:
            OSError: as the system said it.
        """
        for fd in self._files.values():
            os.fsync(fd)

    def close(self) -> None:
        """Let go of the files."""
        for fd in self._files.values():
            os.close(fd)
        self._files.clear()

    def _file(self, level: int) -> int:
        assert 0 <= level <= TOP_LEVEL
        if level not in self._files:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._files[level] = os.open(self._folder / f"{NAME}{level}", flags, FILE_MODE)
        return self._files[level]
