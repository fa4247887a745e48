"""A member of a federation without a gateway behind it: keys that its roster lists, and whatever is made of them.

It speaks to real gateways by the same client and codec as they use, serves what it likes at its own address, and
keeps no rule of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

from aiohttp import web
from e2e.circle import Circle
from e2e.daemon import Gateway, free_port
from e2e.peer_edges import Loop

from gateway.app.roster_edit import with_member
from gateway.core.card import Card, make_card
from gateway.core.member import Member
from gateway.keys.cert import certificate
from gateway.keys.did import did_key
from gateway.net.peer_client import PeerClient
from gateway.net.peer_tls import server_context
from gateway.tlog.checkpoint import origin_hash
from gateway.wire import peer as wire
from tests.sim.peer_logs import Branch, key_of, log_vkey, witness_vkey

T = TypeVar("T")
Serve = Callable[[str, str, bytes], Awaitable[tuple[int, bytes]]]
"""(method, path, body) -> status and body."""


async def nothing(method: str, path: str, body: bytes) -> tuple[int, bytes]:
    """There is nothing here; gossip is answered with nothing to say."""
    return (200, wire.EMPTY_BODY) if method == "POST" and path.startswith("gossip") else (404, b"")


class Rogue:
    """The member. A context manager: its server runs while it is entered.

    Args:
        name: in the roster.
        serve: what its server answers.
        changed: fields of its row in the roster.
    """

    def __init__(self, name: str = "mallory", serve: Serve = nothing, **changed: Any) -> None:
        self.name = name
        self.serve = serve
        self.log = Branch(name)
        self.tls = key_of(name, "tls")
        self.cert = certificate(self.tls, name)
        self.port = free_port()
        fields: dict[str, Any] = {
            "name": name,
            "did": did_key(key_of(name, "entry").public),
            "log": (log_vkey(name),),
            "witness": (witness_vkey(name),),
            "url": f"https://127.0.0.1:{self.port}",
            "certs": (self.cert,),
            "group": name,
        }
        self.member = Member(**fields | changed)
        self.hash = bytes.fromhex(origin_hash(self.member.origin))
        self._loop = Loop()
        self._client = PeerClient(self.tls, self.cert)
        self._runner: web.AppRunner | None = None

    @property
    def card(self) -> Card:
        """Its card."""
        return make_card(key_of(self.name, "entry"), self.member)

    def join(self, circle: Circle, *, faulty: int | None = None) -> None:
        """Be let in by the keeper of the roster."""
        circle.publish(with_member(circle.roster(), self.card, time.time_ns() // 1_000_000, faulty=faulty))
        circle.until_all_know(circle.roster().version)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something in the event loop of this member."""
        return asyncio.run_coroutine_threadsafe(work, self._loop.loop).result(60.0)

    # ---- what it says ---------------------------------------------------------------------------------------------

    def say(self, gateway: Gateway, *messages: wire.Message) -> list[wire.Message]:
        """Tell a gateway something; what it answers."""
        return wire.decode_body(self.say_bytes(gateway, wire.encode_body(messages)))

    def say_bytes(self, gateway: Gateway, body: bytes) -> bytes:
        """Send a gateway any bytes as a body of gossip."""
        return self.run(self.exchange(gateway, body))

    async def exchange(self, gateway: Gateway, body: bytes) -> bytes:
        """As `say_bytes`."""
        url, certs = where(gateway)
        return await self._client.exchange(url, certs, body)

    def head(self, old: int, size: int | None = None, *, note: bytes = b"") -> wire.Head:
        """A HEAD of its own log with the entries that it adds."""
        size = self.log.size if size is None else size
        return wire.Head(
            self.hash, note or self.log.note(size), old, self.log.roots[old], [], self.log.data[old:size]
        )

    # ---- what it serves -------------------------------------------------------------------------------------------

    def __enter__(self) -> Rogue:
        self.run(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run(self._stop())
        self._loop.close()

    async def _start(self) -> None:
        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            status, body = await self.serve(request.method, request.path.lstrip("/"), await request.read())
            return web.Response(status=status, body=body)

        context = server_context(self.tls, self.cert, [])
        context.verify_mode = ssl.CERT_NONE  # whoever comes is welcome
        self._runner = web.ServerRunner(web.Server(answer, access_log=None))  # type: ignore[assignment]
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=context).start()

    async def _stop(self) -> None:
        await self._client.close()
        if self._runner is not None:
            with contextlib.suppress(Exception):
                await self._runner.cleanup()


def where(gateway: Gateway) -> tuple[str, tuple[bytes, ...]]:
    """URL and certificates of a gateway, by its own card."""
    from gateway.core.card import parse_card

    member = parse_card(gateway.call("peer.card")["card"]).member
    return member.url, member.certs
