"""The control socket: one JSON object a line, asked and answered; the peer's credentials say who asks.

The server hands each request to one handler and writes what it returns. Errors of the house travel with their code,
message, hint and exit code, so that the command line shows what the daemon said.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from gateway.errors import LocalError, Unreachable, VestibuleError

MAX_LINE_BYTES: Final = 4 << 20  # a proof of a large frame fits; nobody local needs more
MAX_CALLS: Final = 64
SOCKET_MODE: Final = 0o660
_CREDENTIALS: Final = struct.Struct("3i")
_PEER_GROUPS: Final = 59  # SO_PEERGROUPS of asm-generic/socket.h; Python has no name for it
_GROUP: Final = struct.Struct("I")
_PACKAGE: Final = Path(__file__).resolve().parents[1]
MAX_GROUPS: Final = 256  # as much as Python's getsockopt takes; whoever is in more is known without them


class PeerSocket(Protocol):
    """What a socket and asyncio's view of one have in common."""

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes:
        """As of `socket.socket`."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: what the kernel says of the process at the other end, as it was when it connected.

    Args:
        pid, uid, gid: process, user and primary group.
        groups: its other groups.
    """

    pid: int
    uid: int
    gid: int
    groups: tuple[int, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Its names in the configuration's `[access] actors`; the user's comes first."""
        groups = dict.fromkeys((self.gid, *self.groups))
        return (f"uid:{self.uid}", *(f"gid:{group}" for group in groups))


def caller_of(connection: PeerSocket) -> Caller:
    """Who is at the other end of a Unix socket.

    The groups come from the socket as well, not from `/proc/PID`: a number of a process can be another's by now, and
    the service does not see other users' processes (ProtectProc=invisible).
    """
    who = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(who)
    groups = b""
    with contextlib.suppress(OSError):
        groups = connection.getsockopt(socket.SOL_SOCKET, _PEER_GROUPS, MAX_GROUPS * _GROUP.size)
    return Caller(pid, uid, gid, tuple(group for (group,) in _GROUP.iter_unpack(groups)))


Handler = Callable[[str, dict[str, Any], Caller], Awaitable[dict[str, Any]]]
OnBug = Callable[[str, str], None]


class ControlServer:
    """The daemon's side.

    Args:
        path: of the socket; a leftover of a dead daemon is replaced (the store's lock says who is alive).
        handle: answers a verb.
        on_bug: told of an exception that is none of ours: its type, and file and line; never its text or a value.
    """

    def __init__(self, path: Path, handle: Handler, on_bug: OnBug) -> None:
        self._path = path
        self._handle = handle
        self._on_bug = on_bug
        self._server: asyncio.Server | None = None
        self._calls: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen.

        Raises:
            LocalError: the socket cannot be made.
        """
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        old = os.umask(0o777 & ~SOCKET_MODE)
        try:
            self._server = await asyncio.start_unix_server(self._serve, str(self._path), limit=MAX_LINE_BYTES)
        except OSError as error:
            raise LocalError(
                "control_socket",
                f"the control socket cannot be made: {error.strerror or error}",
                "Its path may be too long: give a shorter --data-dir, or set RUNTIME_DIRECTORY.",
            ) from error
        finally:
            os.umask(old)

    async def stop(self) -> None:
        """Stop listening, end the calls that wait, remove the socket."""
        if self._server is not None:
            self._server.close()
        for call in list(self._calls):
            call.cancel()
        if self._calls:
            await asyncio.wait(self._calls)
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._calls) >= MAX_CALLS:
            writer.close()
            return
        self._calls.add(task)
        try:
            caller = caller_of(writer.get_extra_info("socket"))
            while line := await reader.readline():
                writer.write(await self._answer(line, caller) + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError, asyncio.CancelledError):
            # The caller went away, sent an endless line, or the daemon stops.
            pass
        finally:
            self._calls.discard(task)
            writer.close()

    async def _answer(self, line: bytes, caller: Caller) -> bytes:
        try:
            request = msgspec.json.decode(line, type=dict[str, Any])
            verb, args = request.get("verb"), request.get("args", {})
            if not isinstance(verb, str) or not isinstance(args, dict):
                raise LocalError("request", "a request has a verb and args")
            return msgspec.json.encode({"ok": True, "result": await self._handle(verb, args, caller)})
        except msgspec.DecodeError:
            error: VestibuleError = LocalError("request", "a request is one JSON object on one line")
        except VestibuleError as known:
            error = known
        except Exception as bug:
            # The caller learns that it is a bug, and nothing else; the daemon goes on.
            self._on_bug(type(bug).__name__, place_of(bug))
            error = LocalError(
                "internal",
                "this is a bug: the daemon failed to answer",
                "Please report it with the line `bug` that the daemon wrote; it holds no data.",
            )
        told = {
            "code": error.code,
            "message": error.message,
            "hint": error.hint,
            "exit": error.exit_code,
        }
        return msgspec.json.encode({"ok": False, "error": told})


def place_of(bug: BaseException) -> str:
    """The innermost file and line of this program that an exception came through."""
    found = "unknown"
    for frame, line in traceback.walk_tb(bug.__traceback__):
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(_PACKAGE):
            found = f"{path.relative_to(_PACKAGE.parent)}:{line}"
    return found


def call(path: Path, verb: str, args: dict[str, Any], timeout_s: float = 30.0) -> dict[str, Any]:
    """Ask the daemon, and wait for its answer.

    Args:
        path: of the socket.
        verb, args: the request.
        timeout_s: for the whole call.

    Raises:
        Unreachable: nobody listens, or no answer came in time.
        LocalError: `argument`, a text is not UTF-8.
        VestibuleError: what the daemon answered, with its code, hint and exit code.
    """
    try:
        request = msgspec.json.encode({"verb": verb, "args": args}) + b"\n"
    except UnicodeEncodeError as error:
        # What a shell gives a program is bytes, and need not be text.
        raise LocalError(
            "argument", "what was typed is not UTF-8", "Type it anew, in a terminal whose `locale` is UTF-8."
        ) from error
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(path))
            connection.sendall(request)
            with connection.makefile("rb") as answers:
                line = answers.readline(MAX_LINE_BYTES)
    except OSError as error:
        raise Unreachable(
            "daemon", "no daemon answers on this store's control socket", "Start it with `vestibule run`."
        ) from error
    if not line:
        raise Unreachable("daemon", "the daemon went away before it answered", "See its log, and try again.")
    answer = msgspec.json.decode(line, type=dict[str, Any])
    if answer.get("ok"):
        return dict(answer["result"])
    told = answer["error"]
    error_ = VestibuleError(told["code"], told["message"], told["hint"])
    error_.exit_code = told["exit"]
    raise error_
