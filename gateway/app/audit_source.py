"""Where a monitor reads a log: over HTTP, or from a folder.

Nothing is believed here, neither a server nor a certificate: what is read proves itself (`audit_tiles`). What is
guarded is the reader: each resource has a limit and a time.
"""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Protocol

from gateway.errors import LocalError, RemoteError, Unreachable
from gateway.net.peer_client import PeerClient

READ_S: Final = 60.0
"""For one resource, over any line: the largest bundle has 16 MiB."""


class Source(Protocol):
    """Resources of a log by their paths."""

    async def get(self, path: str, limit: int) -> bytes | None:
        """Bytes of a resource, None where there is none.

        Raises:
            Unreachable: it cannot be read.
            RemoteError: it is larger than `limit`.
        """
        ...


class FolderSource:
    """A static export.

    Args:
        folder: in which `checkpoint` and `tile` stand.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def get(self, path: str, limit: int) -> bytes | None:
        """As `Source.get`."""
        try:
            # Without O_NONBLOCK a pipe of that name would be waited for, for ever.
            fd = os.open(self._folder / path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                data = _contents(fd, limit + 1)
            finally:
                os.close(fd)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise Unreachable(
                "log_away",
                f"{self._folder / path} cannot be read: {error.strerror}",
                "Check the folder, and that this user may read it.",
            ) from error
        if data is None:
            return None
        if len(data) > limit:
            raise _too_large(path, limit)
        return data


class HttpSource:
    """A log that is served. Certificates are not looked at: what is read proves itself.

    Args:
        client: asks.
        base: URL of the log's prefix.
    """

    def __init__(self, client: PeerClient, base: str) -> None:
        self._client = client
        self._base = base.rstrip("/")

    async def get(self, path: str, limit: int) -> bytes | None:
        """As `Source.get`."""
        try:
            return await self._client.get(self._base, path, limit, timeout_s=READ_S)
        except RemoteError as error:
            if error.code == "peer_size":
                raise _too_large(path, limit) from error
            if error.code == "peer_encoding":
                raise RemoteError("log_encoding", f"{path} is packed in a way that does not hold") from error
            raise self._away(path, error) from error
        except Unreachable as error:
            raise self._away(path, error) from error

    def _away(self, path: str, error: RemoteError | Unreachable) -> Unreachable:
        # Whatever answers with an error is no more the log than what does not answer.
        why = error.message.replace("a peer's", "its").replace("a peer", "it")
        return Unreachable(
            "log_away",
            f"{self._base}/{path} cannot be read: {why}",
            "Check the URL and the network, and try again.",
        )


@asynccontextmanager
async def open_source(where: str) -> AsyncIterator[Source]:
    """Open what a person named.

    Args:
        where: URL of a log's prefix, or a folder.

    Raises:
        LocalError: `source`, a URL that cannot be one of a log.
    """
    scheme, found, rest = where.partition("://")
    if not found:
        yield FolderSource(Path(where))
        return
    if scheme.lower() not in ("http", "https") or not rest or set(where) & set("?#@ "):
        raise LocalError(
            "source",
            "a log is read by http or https, from a URL without a name, a password or a question mark",
            "Give the URL below which `checkpoint` and `tile` stand, or the folder of an export.",
        )
    client = PeerClient()
    try:
        yield HttpSource(client, where)
    finally:
        await client.close()


def _contents(fd: int, most: int) -> bytes | None:
    """Up to so many bytes of a file; None of what is no file."""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        return None
    parts = []
    while most and (part := os.read(fd, most)):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def _too_large(path: str, limit: int) -> RemoteError:
    return RemoteError("log_size", f"{path} has more than the {limit} bytes that it may have")
