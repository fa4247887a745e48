"""Where everything stands in the data directory, and the few file operations that must be done with care.

Guards two rules: a file that holds a secret is never readable by others, not even for a moment, and a file is there
whole or not at all, also after a power cut (write beside, fsync, rename, fsync the directory).
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.errors import EXIT_REFUSED, ConfigError, StoreError

FORMAT: Final = 1
"""Version of the store: database, subjects, mark and segments are of one release."""

PRIVATE_FILE: Final = 0o600
PRIVATE_DIR: Final = 0o700
OTHERS: Final = 0o077

KEY_NAMES: Final = ("log", "witness", "entry", "tls", "master")
"""The key files, each with one purpose (docs/store-format.md, "Key files")."""

_ACCESS: Final = frozenset((errno.EACCES, errno.EPERM, errno.EROFS))
_OPEN_SAFE = os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one store.

    Args:
        data_dir: the data directory.
    """

    data_dir: Path

    @property
    def config(self) -> Path:
        """The configuration, unless another one was named."""
        return self.data_dir / "vestibule.toml"

    @property
    def database(self) -> Path:
        """Everything but payloads and subject keys; SQLite."""
        return self.data_dir / "state.db"

    @property
    def subjects(self) -> Path:
        """Subject keys and pseudonyms, wrapped; SQLite, never in a backup."""
        return self.data_dir / "subjects.db"

    @property
    def peers(self) -> Path:
        """What was promised about other logs, and copies of them; SQLite, never in a backup."""
        return self.data_dir / "peers.db"

    @property
    def mark(self) -> Path:
        """What was last signed; never in a backup."""
        return self.data_dir / "mark"

    @property
    def lock(self) -> Path:
        """Held by the one process that uses the store."""
        return self.data_dir / "lock"

    @property
    def lost(self) -> Path:
        """What lay in the vault behind the last part that is known, after entries came back from mirrors."""
        return self.data_dir / "vault.lost"

    @property
    def unfinished(self) -> Path:
        """There while a verb is at work on the store over several steps."""
        return self.data_dir / "unfinished"

    @property
    def keys(self) -> Path:
        """Directory of the key files."""
        return self.data_dir / "keys"

    @property
    def vault(self) -> Path:
        """Directory of the segments."""
        return self.data_dir / "vault"

    def key(self, name: str) -> Path:
        """Path of a key file; `name` is one of `KEY_NAMES`."""
        return self.keys / f"{name}.key"

    def make_dirs(self) -> None:
        """Make the directories that are not there yet, closed to others.

        Raises:
            StoreError: `disk_io`, a directory cannot be made.
        """
        try:
            for path in (self.data_dir, self.keys, self.vault):
                path.mkdir(mode=PRIVATE_DIR, parents=path == self.data_dir, exist_ok=True)
            fsync_dir(self.data_dir)
            fsync_dir(self.data_dir.parent)
        except OSError as error:
            raise disk_error(error, "the data directory cannot be made") from error


def fsync_dir(path: Path) -> None:
    """Make names that were added, renamed or removed in a directory durable.

    Raises:
        OSError: as the system said it; the caller knows what it means there.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes, offset: int) -> None:
    """Write all of `data` at `offset`; one call of the system may write less.

    Raises:
        OSError: as the system said it.
    """
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view = view[written:]
        offset += written


def create_file(path: Path) -> int:
    """A new, empty file for reading and writing, mode 0600; fails where anything has that name.

    Returns:
        Its descriptor.

    Raises:
        OSError: as the system said it; `FileExistsError` if the name is taken.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _OPEN_SAFE, PRIVATE_FILE)


def make_database_file(path: Path, what: str) -> None:
    """Make an empty file that others cannot read, before SQLite does: its WAL takes over the mode of the database.

    Args:
        path: of the database; one that is there stays as it is.
        what: could not be done, for the error.

    Raises:
        StoreError: `disk_full`, `disk_io`.
    """
    if path.exists():
        return
    try:
        os.close(create_file(path))
        fsync_dir(path.parent)
    except OSError as error:
        raise disk_error(error, what) from error


def open_file(path: Path, *, write: bool = False) -> int:
    """Open a file that is there; a symbolic link is refused.

    Raises:
        OSError: as the system said it.
    """
    return os.open(path, (os.O_RDWR if write else os.O_RDONLY) | _OPEN_SAFE)


def write_private(path: Path, data: bytes, *, replace: bool = False) -> None:
    """Write a small secret file, whole or not at all.

    Args:
        path: its final name.
        data: all of it.
        replace: whether a file of that name may be there; its bytes are overwritten before they are given up.

    Raises:
        StoreError: `file_exists`; `disk_full` or `disk_io`.
    """
    beside = path.with_name(path.name + ".new")
    try:
        beside.unlink(missing_ok=True)
        fd = create_file(beside)
        try:
            write_all(fd, data, 0)
            os.fsync(fd)
        finally:
            os.close(fd)
        if os.path.lexists(path):
            if not replace:
                beside.unlink()
                raise StoreError("file_exists", f"{path.name} is there already and is not overwritten")
            _keep_to_overwrite(path, beside)
        else:
            os.rename(beside, path)
        fsync_dir(path.parent)
    except OSError as error:
        raise disk_error(error, f"{path.name} cannot be written") from error


def _keep_to_overwrite(path: Path, beside: Path) -> None:
    # The old content stays reachable by its descriptor after the rename, so that it is destroyed only when the new
    # name is durable: a crash between the two must never leave no key at all.
    old = open_file(path, write=True)
    try:
        os.rename(beside, path)
        fsync_dir(path.parent)
        write_all(old, bytes(os.fstat(old).st_size), 0)
        os.fsync(old)
    finally:
        os.close(old)


def read_private(path: Path, most: int, *, check_mode: bool = True) -> bytes:
    """Read a small secret file.

    Args:
        path: the file; not a symbolic link.
        most: bytes it may have.
        check_mode: refuse a file that others may read (systemd's credentials show modes that mean something else).

    Raises:
        ConfigError: `file_missing`, `file_permissions`, `file_size`, `file_unreadable`.
    """
    try:
        fd = open_file(path)
    except FileNotFoundError:
        raise ConfigError(
            "file_missing",
            f"{path.name} is not there",
            "Run `vestibule init` for a new store, or put back the file of this one.",
        ) from None
    except OSError as error:
        raise ConfigError(
            "file_unreadable",
            f"{path.name} cannot be read: {error.strerror}",
            access_hint(path) if error.errno in _ACCESS else "",
        ) from error
    try:
        status = os.fstat(fd)
        if check_mode and (status.st_mode & OTHERS or not stat.S_ISREG(status.st_mode)):
            raise ConfigError(
                "file_permissions",
                f"{path.name} is open to other users",
                f"Run `chmod 600 {shlex.quote(str(path))}`.",
            )
        data = os.read(fd, most + 1)
    except OSError as error:
        raise ConfigError("file_unreadable", f"{path.name} cannot be read: {error.strerror}") from error
    finally:
        os.close(fd)
    if len(data) > most:
        raise ConfigError("file_size", f"{path.name} is larger than any file of its kind")
    return data


def disk_error(error: OSError, what: str, *, fatal: bool = False) -> StoreError:
    """The error of ours that stands for one of the system.

    Args:
        error: what the system said.
        what: what could not be done.
        fatal: whether the outcome is unknown.
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(
            "disk_full",
            f"{what}: the disk is full",
            "Free some space; recording resumes by itself.",
            fatal=fatal,
        )
    if error.errno in _ACCESS and error.filename is not None and not fatal:
        # At opening, this says something of the path and not of the disk: trying again changes nothing. Without a
        # path it came from a file that was open, and then the system found the disk failing (ext4, errors=remount-ro).
        path = os.fsdecode(error.filename)
        refused = StoreError("disk_io", f"{what}: {path}: {error.strerror}", access_hint(path))
        refused.exit_code = EXIT_REFUSED
        return refused
    return StoreError("disk_io", f"{what}: {error.strerror}", "Check the disk (`dmesg`, SMART).", fatal=fatal)


def access_hint(path: str | Path) -> str:
    """What to do where the system does not let this user at a path."""
    return (
        f"This user needs access to {path}: run it as the owner of the store (`sudo`, or the service's user), "
        "or on a disk that may be written."
    )
