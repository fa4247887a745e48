"""What every command knows: which data directory was meant, and where its daemon listens."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.errors import LocalError, StoreRefused
from gateway.store.layout import Layout

SYSTEM_DATA_DIR: Final = Path("/var/lib/vestibule")
"""Where the service keeps its store (systemd/vestibule.service, StateDirectory)."""

SYSTEM_SOCKET: Final = Path("/run/vestibule/control.sock")
"""Where the service listens (RuntimeDirectory)."""

SOCKET_NAME: Final = "control.sock"

_OF_THIS_STORE: Final = re.compile(
    r"`vestibule\s(?!--data-dir |peer (?:sign|roster-key|evidence --check) |verify --proof |audit )"
)
"""Commands that go to a store; the others need none, and are often typed on another machine."""


@dataclass(slots=True)
class State:
    """Carried by click as the context's object.

    Args:
        data_dir: of the store, absolute.
        as_json: the command was asked for JSON, so its errors are JSON too.
        named: the directory was given with --data-dir, so commands that are told to a person have to name it too.
    """

    data_dir: Path
    as_json: bool = False
    named: bool = False

    @property
    def layout(self) -> Layout:
        """The paths of the store."""
        return Layout(self.data_dir)

    def socket(self, system_socket: Path = SYSTEM_SOCKET) -> Path:
        """The control socket: in the data directory, or else the service's.

        The service's is taken only for the service's own store, and where nobody named a directory: a command that
        names one store must never reach another store's daemon.
        """
        here = self.data_dir / SOCKET_NAME
        services_own = self.data_dir in (SYSTEM_DATA_DIR, default_data_dir())
        if services_own and not os.path.exists(here) and os.path.exists(system_socket):
            return system_socket
        return here

    def must_hold_store(self) -> None:
        """Refuse a directory in which no store was ever begun.

        Raises:
            StoreRefused: `store_missing`.
        """
        layout = self.layout
        if not any(map(os.path.lexists, (layout.database, layout.config, layout.keys, layout.mark))):
            raise StoreRefused("store_missing", f"there is no store in {self.data_dir}", self.other_store())

    def other_store(self) -> str:
        """What to do where no store is."""
        return "Name its directory with --data-dir, before the verb, or make a store with `vestibule init`."

    def told(self, text: str) -> str:
        """A text whose commands, in backticks, name the data directory where it was given.

        Commands that need no store, or that name another one, stay as they are.
        """
        if not self.named:
            return text
        named = f"`vestibule --data-dir {shlex.quote(str(self.data_dir))} "
        return _OF_THIS_STORE.sub(lambda _: named, text)


def default_data_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """The service's store for root, a directory of one's own for anybody else (XDG base directories, state)."""
    if os.geteuid() == 0:
        return SYSTEM_DATA_DIR
    base = environment.get("XDG_STATE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "state") / "vestibule"


def must_be_new(path: Path | None) -> None:
    """Refuse a name that is taken, before anything is made that would have to go there.

    Raises:
        LocalError: `file_exists`, `file_unwritable`.
    """
    if path is None:
        return
    if os.path.lexists(path):
        raise _taken(path)
    if not path.absolute().parent.is_dir():
        raise LocalError("file_unwritable", f"{path.parent} is no directory", "Name another file.")


@contextmanager
def reserved(path: Path | None) -> Iterator[None]:
    """Hold a name with an empty file, mode 0600, before anything is made that cannot be made twice, such as a key.

    What runs inside replaces the file; where it fails before that, the name is given up again.

    Raises:
        LocalError: `file_exists`, `file_unwritable`.
    """
    if path is None:
        yield
        return
    write_file(path, "", secret=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):
            if not path.stat().st_size:
                path.unlink()
        raise


def _taken(path: Path) -> LocalError:
    return LocalError("file_exists", f"{path} is there already and is not overwritten", "Name another file.")


def write_file(path: Path, text: str, *, secret: bool = False, force: bool = False) -> None:
    """Write what a command was asked to put into a file; a secret is never readable by others.

    Args:
        path: the file.
        text: all of it.
        secret: mode 0600 from the first moment.
        force: whether a file of that name may be replaced.

    Raises:
        LocalError: `file_exists`, `file_unwritable`.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_TRUNC if force else os.O_EXCL)
    try:
        fd = os.open(path, flags, 0o600 if secret else 0o666)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            if secret:
                os.fchmod(file.fileno(), 0o600)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise _taken(path) from None
    except OSError as error:
        raise LocalError(
            "file_unwritable", f"{path} cannot be written: {error.strerror}", "Name another file."
        ) from error


def read_file(path: Path, most: int) -> bytes:
    """Read a file that a command was given.

    Args:
        path: the file.
        most: bytes it may have.

    Raises:
        LocalError: `file_unreadable`, `file_size`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise LocalError(
            "file_unreadable",
            f"{path} cannot be read: {error.strerror}",
            "Check its name and its permissions.",
        ) from error
    if len(data) > most:
        raise LocalError("file_size", f"{path} is larger than {most} bytes", "Is it the right file?")
    return data
