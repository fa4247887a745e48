"""The mark: what this store last signed, kept apart from the database and from every backup.

A database that was restored or copied is behind its mark, or has none, or has one made elsewhere; each of these would
sign a second history. Two checksummed slots are written in turns, so that a torn write leaves the older one.
Source: docs/store-format.md, "Mark".
"""

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from gateway.errors import Divergence, StoreError, StoreRefused
from gateway.store.layout import create_file, disk_error, fsync_dir, open_file, write_all

MARK_FORMAT: Final = 1
MARK_BYTES: Final = 8192
SLOT_OFFSETS: Final = (0, 4096)  # a page each: one torn sector never touches both
FS_IOC_GETVERSION: Final = 0x8008_7601  # linux/fs.h, _IOR('v', 1, long) where a long has 64 bits
MACHINE_FILE: Final = Path("/etc/machine-id")  # machine-id(5)
MAX_MACHINE_BYTES: Final = 64  # 32 hexadecimal digits and a line end

_MAGIC = b"VTMARK\r\n"
_SLOT = struct.Struct("<8sIIQQ32sH6xQI4x32s")
# magic, format, flags, counter, size, root, boot, inode, inode generation, machine
_HAS_GENERATION = 1
_HAS_MACHINE = 2


@dataclass(frozen=True, slots=True)
class MarkValue:
    """What was last signed.

    Args:
        size: leaves of the log.
        root: its root, 32 bytes.
        boot: number of the start that wrote it, u16.
    """

    size: int
    root: bytes
    boot: int


@dataclass(frozen=True, slots=True)
class _Home:
    """Which file on which machine: what a copy of the mark cannot take along."""

    inode: int
    generation: int | None
    machine: bytes | None


@dataclass(frozen=True, slots=True)
class _Slot:
    counter: int
    value: MarkValue
    home: _Home


class Mark:
    """The open mark of a store. Blocking; one thread at a time.

    Made by `create` or `open`.
    """

    __slots__ = ("_at", "_fd", "_failed", "_machine_file", "_slot")

    def __init__(self, fd: int, slot: _Slot, at: int, machine_file: Path) -> None:
        self._fd = fd
        self._slot = slot
        self._at = at
        self._machine_file = machine_file
        self._failed = False

    @classmethod
    def create(
        cls, path: Path, size: int, root: bytes, boot: int, *, machine_file: Path = MACHINE_FILE
    ) -> Mark:
        """Make a new mark; the last step of `init`, after which the store counts as finished.

        Args:
            path: `Layout.mark`.
            size, root, boot: see `MarkValue`.
            machine_file: file that names the machine.

        Raises:
            StoreError: `mark_exists`; `disk_full`, `disk_io`.
        """
        beside = path.with_name(path.name + ".new")
        try:
            beside.unlink(missing_ok=True)
            fd = create_file(beside)
            try:
                write_all(fd, bytes(MARK_BYTES), 0)
                slot = _Slot(1, MarkValue(size, root, boot), _home(fd, machine_file))
                write_all(fd, _encode(slot), SLOT_OFFSETS[0])
                os.fsync(fd)
                if os.path.lexists(path):
                    beside.unlink()
                    raise StoreError(
                        "mark_exists", "this store has a mark already", "Run `vestibule status`."
                    )
                # A rename keeps the inode, by which the mark knows itself.
                os.rename(beside, path)
                fsync_dir(path.parent)
            except BaseException:
                os.close(fd)
                raise
        except OSError as error:
            raise disk_error(error, "the mark cannot be made") from error
        return cls(fd, slot, 0, machine_file)

    @classmethod
    def open(cls, path: Path, *, write: bool = True, machine_file: Path = MACHINE_FILE) -> Mark:
        """Open the mark and read its newer valid slot.

        Args:
            path: `Layout.mark`.
            write: False for whoever only looks: it needs no right to write, and `advance` and `rewrite` fail.
            machine_file: file that names the machine.

        Raises:
            StoreRefused: `mark_missing`, `mark_invalid`, `newer`.
            StoreError: `disk_io`.
        """
        try:
            fd = open_file(path, write=write)
        except FileNotFoundError:
            raise StoreRefused(
                "mark_missing",
                "this store has no mark: it is unfinished, or a restored backup",
                "Finish a new store with `vestibule init`. One that lost its mark may be an old copy: `vestibule "
                "ledger catch-up` brings it to the newest head that peers have; `vestibule verify` reads it.",
            ) from None
        except OSError as error:
            raise disk_error(error, "the mark cannot be opened") from error
        try:
            data = os.pread(fd, MARK_BYTES, 0)
            slots = [(slot, at) for at in range(2) if (slot := _decode(data[SLOT_OFFSETS[at] :]))]
            if not slots:
                raise StoreRefused(
                    "mark_invalid",
                    "the mark holds no valid record of what was signed",
                    "Keep it as it is. `vestibule ledger catch-up` brings the store to the newest head that peers "
                    "have, and makes a new mark; `vestibule verify` reads it.",
                )
        except OSError as error:
            os.close(fd)
            raise disk_error(error, "the mark cannot be read") from error
        except BaseException:
            os.close(fd)
            raise
        slot, at = max(slots, key=lambda found: found[0].counter)
        return cls(fd, slot, at, machine_file)

    @property
    def value(self) -> MarkValue:
        """What was last signed, as far as it is durable."""
        return self._slot.value

    def made_here(self) -> str | None:
        """Whether the mark was written by this file on this machine.

        What was known when it was written and cannot be told now counts as another: the same file on the same
        machine could still tell.

        Returns:
            None if so; else what differs: `inode`, `generation`, `machine`.
        """
        then, now = self._slot.home, _home(self._fd, self._machine_file)
        if then.inode != now.inode:
            return "inode"
        if then.generation is not None and then.generation != now.generation:
            return "generation"
        if then.machine is not None and then.machine != now.machine:
            return "machine"
        return None

    def advance(self, size: int, root: bytes, boot: int) -> None:
        """Record what may be signed now, durably; only then may it be signed.

        Raises:
            StoreError: with `fatal=True`; the outcome is unknown, and this mark writes no more.
            Divergence: `mark_behind`, a smaller log, or another root for the same size; nothing was written.
        """
        old = self.value
        if size < old.size or (size == old.size and root != old.root):
            raise Divergence(
                "mark_behind",
                f"size {size} cannot follow the size {old.size} that was signed",
                "Stop; run `vestibule fsck` and compare with the witnesses.",
            )
        self._write(_Slot(self._slot.counter + 1, MarkValue(size, root, boot), self._slot.home))

    def rewrite(self) -> None:
        """Make this file on this machine the mark's home: `ledger adopt`.

        Both slots are written, so that no torn one brings the old home back.

        Raises:
            StoreError: with `fatal=True`.
        """
        home = _home(self._fd, self._machine_file)
        for _ in SLOT_OFFSETS:
            self._write(_Slot(self._slot.counter + 1, self.value, home))

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, slot: _Slot) -> None:
        at = 1 - self._at
        if self._failed:
            raise StoreError("mark_failed", "the mark could not be written before", "Restart.", fatal=True)
        try:
            write_all(self._fd, _encode(slot), SLOT_OFFSETS[at])
            os.fdatasync(self._fd)
        except OSError as error:
            # A second fdatasync could succeed without the data (fsync(2)): never try again on this descriptor.
            self._failed = True
            raise disk_error(error, "the mark cannot be written", fatal=True) from error
        self._slot, self._at = slot, at


def inode_generation(fd: int) -> int | None:
    """What tells an open file from another that has its inode number later, or on a copied disk.

    Returns:
        u32; None where the file system has none.
    """
    try:
        data = fcntl.ioctl(fd, FS_IOC_GETVERSION, bytes(8))
    except OSError:  # ENOTTY
        return None
    return int(struct.unpack_from("=I", data)[0])


def _home(fd: int, machine_file: Path) -> _Home:
    machine: bytes | None = None
    with suppress(OSError):
        with machine_file.open("rb") as file:
            text = file.read(MAX_MACHINE_BYTES).strip()
        # machine-id(5): a first boot has an empty file or this word in it
        if text not in (b"", b"uninitialized"):
            machine = sha256(b"vestibule/mark/machine/v1\0" + text).digest()
    return _Home(os.fstat(fd).st_ino, inode_generation(fd), machine)


def _encode(slot: _Slot) -> bytes:
    home, value = slot.home, slot.value
    flags = (_HAS_GENERATION if home.generation is not None else 0) | (
        _HAS_MACHINE if home.machine is not None else 0
    )
    body = _SLOT.pack(
        _MAGIC,
        MARK_FORMAT,
        flags,
        slot.counter,
        value.size,
        value.root,
        value.boot,
        home.inode,
        home.generation or 0,
        home.machine or bytes(32),
    )
    return body + sha256(body).digest()


def _decode(data: bytes) -> _Slot | None:
    body, checksum = data[: _SLOT.size], data[_SLOT.size : _SLOT.size + 32]
    if len(body) < _SLOT.size or sha256(body).digest() != checksum:
        return None
    magic, form, flags, counter, size, root, boot, inode, generation, machine = _SLOT.unpack(body)
    if magic != _MAGIC:
        return None
    if form > MARK_FORMAT:
        raise StoreRefused(
            "newer", "the mark was written by a newer release", "Run that release, or a later one."
        )
    home = _Home(
        inode,
        generation if flags & _HAS_GENERATION else None,
        machine if flags & _HAS_MACHINE else None,
    )
    return _Slot(counter, MarkValue(size, root, boot), home)
