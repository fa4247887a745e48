"""Edges for tests: members with keys and certificates, and a listener on an event loop of its own, in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gateway.keys.sign import SigningKey
from gateway.net.limits import LIMITS, Limits
from gateway.net.log_routes import LogRoutes
from gateway.net.peer_client import PeerClient
from gateway.net.peer_server import PeerEdge
from gateway.net.peer_tls import certificate, server_context

WAIT_S = 15.0
ORIGIN_HASH = "ab" * 32
RESOURCES = {
    "checkpoint": b"our head",
    "tile/0/000": bytes(8192),
    "tile/entries/x001/000.p/44": b"\0\1x",
    f"{ORIGIN_HASH}/checkpoint": b"their head",
    f"{ORIGIN_HASH}/tile/0/000.p/3": b"y" * 96,
}
T = TypeVar("T")


@dataclass(frozen=True)
class Member:
    """A gateway, as far as TLS knows it."""

    name: str
    key: SigningKey
    cert: bytes

    def client(self, whole_s: float = 5.0) -> PeerClient:
        return PeerClient(self.key, self.cert, whole_s)


def member(name: str, generation: int = 0) -> Member:
    key = SigningKey(bytes([generation]) + name.encode().ljust(31, b"."))
    return Member(name, key, certificate(key, name))


ALICE, BOB, CAROL = (member(name) for name in ("alice", "bob", "carol"))


class Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(WAIT_S)

    def call(self, what: Callable[[], T]) -> T:
        async def there() -> T:
            return what()

        return self.run(there())

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(WAIT_S)
        self.loop.close()


async def echo(name: str, body: bytes) -> bytes:
    return name.encode() + b":" + body


@dataclass
class Seen:
    """What the listener's side saw."""

    gossip: list[tuple[str, int]] = field(default_factory=list)
    checkpoints: list[bytes] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
    bugs: list[tuple[str, str]] = field(default_factory=list)


class Hall:
    """Alice's listener, elsewhere.

    Args:
        members: certificate -> name, as the roster has it now; may be changed while it runs.
        exchange: answers gossip.
    """

    def __init__(
        self,
        members: dict[bytes, str],
        exchange: Callable[[str, bytes], Awaitable[bytes]] = echo,
        host: str = "127.0.0.1",
        limits: Limits = LIMITS,
        resources: dict[str, bytes] = RESOURCES,
    ) -> None:
        self.members = members
        self.seen = Seen()
        self.elsewhere = Loop()
        self.roster = b'{"roster":{}}'

        async def gossip(name: str, body: bytes) -> bytes:
            self.seen.gossip.append((name, len(body)))
            return await exchange(name, body)

        async def resource(path: str) -> bytes | None:
            self.seen.read.append(path)
            return resources.get(path)

        async def add_checkpoint(body: bytes) -> tuple[int, str, bytes]:
            self.seen.checkpoints.append(body)
            return 409, "text/x.tlog.size", b"7\n"

        self.edge = PeerEdge(
            host,
            0,
            server_context(ALICE.key, ALICE.cert, members),
            LogRoutes(resource, add_checkpoint, lambda: self.roster),
            gossip,
            lambda cert: self.members.get(cert),
            lambda error, at: self.seen.bugs.append((error, at)),
            limits,
        )
        self.elsewhere.run(self.edge.start())
        self.url = f"https://{f'[{host}]' if ':' in host else host}:{self.edge.port}"

    @property
    def inside(self) -> int:
        """Connections that have a place."""
        return len(self.edge._listener)

    def close(self) -> None:
        self.elsewhere.run(self.edge.stop())
        assert self.inside == 0
        self.elsewhere.close()


@contextlib.contextmanager
def hall(*members: Member, **options: Any) -> Iterator[Hall]:
    made = Hall({each.cert: each.name for each in members}, **options)
    try:
        yield made
    finally:
        made.close()


def stranger_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def knock(port: int, source: str = "127.0.0.1", tls: bool = True) -> socket.socket:
    """A stranger's connection, from any address of this machine."""
    raw = socket.create_connection(("127.0.0.1", port), WAIT_S, (source, 0))
    return stranger_context().wrap_socket(raw) if tls else raw


def read_all(sock: socket.socket) -> bytes:
    """What comes until the other side ends it."""
    data = b""
    with contextlib.suppress(OSError):
        while part := sock.recv(65536):
            data += part
    return data
