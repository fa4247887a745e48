"""Cuts lines between real gateways on loopback: a relay before each one, which knows who connects and may refuse it.

Everybody reaches a gateway through its relay, whose address stands in the roster. Who connects is found by the owner of
the other end of the connection (`/proc/net/tcp` and `/proc/PID/fd`), so a line between two gateways can be cut without
touching any other. Bytes are passed on as they are: TLS is between the gateways.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
from collections.abc import Callable
from pathlib import Path


class Switch:
    """Relays for some gateways.

    Args:
        pid_of: name of a gateway -> the id of its process now, or None.
    """

    def __init__(self, pid_of: Callable[[str], int | None]) -> None:
        self._pid_of = pid_of
        self._cut: set[frozenset[str]] = set()
        self._lines: dict[frozenset[str], list[tuple[socket.socket, socket.socket]]] = {}
        self._names: list[str] = []
        self._listeners: list[socket.socket] = []
        self._lock = threading.Lock()

    def relay(self, name: str, port: int) -> int:
        """Put a relay before the gateway that listens on `port`; returns the relay's own port."""
        listener = socket.create_server(("127.0.0.1", 0))
        self._names.append(name)
        self._listeners.append(listener)
        threading.Thread(target=self._accept, args=(name, port, listener), daemon=True).start()
        return int(listener.getsockname()[1])

    def cut(self, one: str, other: str) -> None:
        """Nothing passes between these two any more."""
        line = frozenset((one, other))
        with self._lock:
            self._cut.add(line)
            open_now = self._lines.pop(line, [])
        for pair in open_now:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def part(self, some: list[str], others: list[str]) -> None:
        """Cut every line between the two sides."""
        for one in some:
            for other in others:
                self.cut(one, other)

    def heal(self) -> None:
        """Every line is there again."""
        with self._lock:
            self._cut.clear()

    def close(self) -> None:
        """End all relays."""
        for listener in self._listeners:
            listener.close()

    def _accept(self, name: str, port: int, listener: socket.socket) -> None:
        while True:
            try:
                caller, address = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(name, port, caller, address[1]), daemon=True).start()

    def _join(self, name: str, port: int, caller: socket.socket, from_port: int) -> None:
        line = frozenset((name, self._owner(from_port, int(caller.getsockname()[1]))))
        with caller:
            try:
                callee = socket.create_connection(("127.0.0.1", port), 5)
            except OSError:
                return
            with callee:
                with self._lock:
                    if line in self._cut:
                        return
                    self._lines.setdefault(line, []).append((caller, callee))
                _pass_on(caller, callee)

    def _owner(self, port: int, to: int) -> str:
        inode = _inode(port, to)
        for name in self._names:
            pid = self._pid_of(name)
            if pid is not None and inode and inode in _sockets(pid):
                return name
        return "nobody"


def _inode(port: int, to: int) -> str:
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        cells = row.split()
        if int(cells[1].rpartition(":")[2], 16) == port and int(cells[2].rpartition(":")[2], 16) == to:
            return cells[9]
    return ""


def _sockets(pid: int) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                target = os.readlink(f"/proc/{pid}/fd/{name}")
                if target.startswith("socket:["):
                    found.add(target[8:-1])
    return found


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with selectors.DefaultSelector() as ready:
        ready.register(one, selectors.EVENT_READ, other)
        ready.register(other, selectors.EVENT_READ, one)
        while True:
            for key, _ in ready.select():
                try:
                    data = key.fileobj.recv(65_536)  # type: ignore[union-attr]
                    if not data:
                        return
                    key.data.sendall(data)
                except OSError:
                    return
