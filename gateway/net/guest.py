"""One connection to an HTTP listener: stands between the transport and aiohttp, looks at how much and how slowly.

aiohttp reads the requests. What it does not bound (a head that trickles, an answer that is not taken, bytes round a
body) ends here, by one deadline that moves on with what the connection is at.
"""

from __future__ import annotations

import asyncio
import logging
import math
import ssl
from collections import Counter
from typing import Any, Final, Protocol, cast

from aiohttp import web

from gateway.net.limits import Limits
from gateway.net.places import Phase

LINGER_S: Final = 1.0  # for the rest of a request that was refused, so that the refusal is seen
MAX_LINE_BYTES: Final = 1 << 10  # of the request line; our longest path has about 120
MAX_FIELD_BYTES: Final = 1 << 12
MAX_FIELDS: Final = 64
# aiohttp would write of every malformed request; here only app/observe writes. In no tree, so that nobody sets it up.
_SILENT: Final = logging.Logger("silent", logging.CRITICAL + 1)
_OPTIONS: Final[dict[str, Any]] = {
    "access_log": None,
    "logger": _SILENT,
    "auto_decompress": False,
    "keepalive_timeout": 86400.0,  # what ends a connection is our deadline
    "lingering_time": LINGER_S,
    "max_line_size": MAX_LINE_BYTES,
    "max_field_size": MAX_FIELD_BYTES,
    "max_headers": MAX_FIELDS,
}


class House(Protocol):
    """What a connection tells its listener."""

    counts: Counter[str]
    limits: Limits

    def arrived(self, guest: Guest) -> None:
        """It stands, TLS included."""

    def left(self, guest: Guest) -> None:
        """It is gone."""

    async def answer(self, guest: Guest, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, and see it on its way."""
        ...


class Guest(asyncio.Protocol):
    """The connection.

    Args:
        house: its listener.
        address: of the other side, as `places.address_key` gives it.
        now: time of the event loop.
    """

    def __init__(self, house: House, address: str, now: float) -> None:
        self._house = house
        self._http: web.RequestHandler | None = None
        self._server: web.Server | None = None
        self._room = self._rooms = house.limits.raw_bytes
        self.address = address
        self.member: str | None = None
        self.cert: bytes | None = None
        """DER of what the other side showed in the handshake."""
        self.transport: asyncio.Transport | None = None
        self.greeting: asyncio.Task[None] | None = None
        """The handshake, while it lasts."""
        self.phase = Phase.WAITING
        self.since = now
        self.until = math.inf
        """When the phase must be over. A handshake has a limit of its own."""
        self.counted = False
        """Whether it is one of the strangers that are worked for at once."""
        self.asking = False
        """Whether the other side is in the middle of something: a request, or taking an answer."""

    @property
    def came(self) -> int:
        """Bytes that came since nothing was asked."""
        return self._rooms - self._room

    def wait(self) -> None:
        """Nothing is asked."""
        limits = self._house.limits
        self._enter(Phase.WAITING, limits.slow_s if self.member is None else limits.member_idle_s)
        self._room = self._rooms = limits.raw_bytes if self.member is None else limits.member_raw_bytes
        self.asking = False

    def work(self) -> None:
        """A request is whole, and ours to answer."""
        self._enter(Phase.WORKING, self._house.limits.work_s)
        self.asking = False

    def take(self, size: int) -> None:
        """The answer is there, and the other side's to take."""
        limits = self._house.limits
        self._enter(Phase.TAKING, limits.slow_s + size / limits.take_bytes_s)
        self.asking = True

    def _enter(self, phase: Phase, seconds: float) -> None:
        self.phase = phase
        self.since = asyncio.get_running_loop().time()
        self.until = self.since + seconds

    def cut(self) -> None:
        """End it now, whatever is on its way."""
        if self.greeting is not None:
            self.greeting.cancel()
        if self.transport is not None:
            self.transport.abort()

    async def end(self, timeout_s: float) -> None:
        """End it after what is being answered."""
        if self._server is not None:
            self._server.pre_shutdown()  # whoever asks nothing is not waited for
            await self._server.shutdown(timeout_s)
        self.cut()

    # ---- asyncio.Protocol ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands; with TLS, after the handshake."""
        self.transport = cast(asyncio.Transport, transport)
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        self.cert = None if tls is None else tls.getpeercert(True)
        self._server = web.Server(self._serve, **_OPTIONS)
        self._http = self._server()
        self._house.arrived(self)
        self.wait()
        self._http.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self.transport = None
        self._house.left(self)
        if self._http is not None:
            self._http.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some bytes of a request."""
        self._room -= len(data)
        if self._room < 0:
            self._house.counts["large"] += 1
            self.cut()
            return
        if self.phase is Phase.WAITING and not self.asking:
            self._enter(Phase.WAITING, self._house.limits.slow_s)
            self.asking = True
        if self._http is not None:
            self._http.data_received(data)

    def eof_received(self) -> None:
        """The other side sends no more: the connection is closed, whatever is on its way."""

    def pause_writing(self) -> None:
        """The other side takes too slowly."""
        if self._http is not None:
            self._http.pause_writing()

    def resume_writing(self) -> None:
        """It takes again."""
        if self._http is not None:
            self._http.resume_writing()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self._house.answer(self, request)
