"""The lock: one process uses a store at a time.

`flock`, so that it ends with its holder however that ends, and never has to be removed by hand. The text inside only
names the holder for people.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from gateway.errors import StoreError
from gateway.store.layout import PRIVATE_FILE, disk_error, write_all

MAX_TEXT_BYTES = 64  # two decimal numbers
LOOKS = 20  # at who holds it; it writes that down within a millisecond
LOOK_S = 0.01


class StoreLock:
    """Holds a store for as long as it is not released; a context manager too.

    Args:
        path: `Layout.lock`; made if it is not there.

    Raises:
        StoreError: `locked`, another process holds it (exit 75); `disk_io`.
    """

    __slots__ = ("_fd",)

    def __init__(self, path: Path) -> None:
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE)
        except OSError as error:
            raise disk_error(error, "the lock of the store cannot be opened") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._fd, 0)
            write_all(self._fd, f"{os.getpid()} {int(time.time())}\n".encode(), 0)
        except BlockingIOError:
            holder = _holder(self._fd)
            self.release()
            raise StoreError(
                "locked",
                f"the store is in use by {holder}",
                "Stop it first (`systemctl stop vestibule`), or ask the daemon instead.",
            ) from None
        except OSError as error:
            self.release()
            raise disk_error(error, "the store cannot be locked") from error

    def release(self) -> None:
        """Let others use the store. The file stays: removing it could let two hold locks on two files of one name."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> StoreLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _holder(fd: int) -> str:
    # Whoever has just taken the lock has not written its number yet, and what stands there may be of one before it.
    for _ in range(LOOKS):
        words = os.pread(fd, MAX_TEXT_BYTES, 0).decode("ascii", "replace").split()
        if len(words) == 2 and all(word.isdigit() for word in words) and _lives(int(words[0])):
            since = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(int(words[1])))
            return f"process {words[0]} since {since} UTC"
        time.sleep(LOOK_S)
    return "another process"


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True
