"""An HTTP listener that strangers may reach: every wait has an end, every buffer a size, every asker a share.

It decides who gets a connection and for how long, and leaves what is asked to one handler.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from aiohttp import web

from gateway.core.rates import Bucket, Buckets
from gateway.errors import RemoteError, VestibuleError
from gateway.net.control import OnBug, place_of
from gateway.net.guest import LINGER_S, Guest
from gateway.net.limits import ASK_BYTES, LIMITS, Limits
from gateway.net.places import Places, address_key
from gateway.net.web import Answer, Ask, HttpAsk, Refusal, refusal

STOP_S: Final = 2.0
MAX_KNOWN: Final = 256
SLICE_BYTES: Final = 1 << 16  # of an answer, written at once
TURNS: Final = 4
_SWEEP_S: Final = 0.5
_BACKLOG: Final = 256

Handle = Callable[[Ask], Awaitable[Answer]]
MemberOf = Callable[[bytes], str | None]


class Listener:
    """The listener.

    Args:
        handle: answers a request. It is never cancelled because the asker went away.
        context: for TLS; None for plain HTTP. A new one counts from the next connection on.
        member_of: whose certificate this is by the roster as it is now.
        on_bug: told of an exception that is none of ours, as `ControlServer` tells it.
        limits: of everything.
    """

    def __init__(
        self,
        handle: Handle,
        context: ssl.SSLContext | None = None,
        member_of: MemberOf = lambda cert: None,
        on_bug: OnBug = lambda error, at: None,
        limits: Limits = LIMITS,
    ) -> None:
        self.limits = limits
        self.context = context
        self.counts: Counter[str] = Counter()
        """What was turned away: `full`, `rate`, `slow`, `pushed`, `handshake`, `large`, and answers by status."""
        self._handle = handle
        self._member_of = member_of
        self._on_bug = on_bug
        self._places: Places[Guest] = Places(limits)
        self._guests: set[Guest] = set()
        self._sockets: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._working = 0
        self._sending = 0
        self._comes = Buckets(limits.connections_s, limits.connections_burst)
        self._all_come = Bucket(limits.all_connections_s, limits.all_connections_burst)
        self._strangers = Buckets(limits.asks_s, limits.asks_burst)
        self._members = Buckets(limits.member_asks_s, limits.member_asks_burst)
        self._known: dict[str, None] = {}  # addresses where members were, the latest last

    def __len__(self) -> int:
        return len(self._places)

    async def start(self, host: str, port: int) -> int:
        """Listen.

        Args:
            host: an address or a name; `::` takes IPv4 too.
            port: 0 takes a free one.

        Returns:
            The port.

        Raises:
            OSError: an address is taken, or not ours.
        """
        loop = asyncio.get_running_loop()
        infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, kind, protocol, _, address in dict.fromkeys(infos):
                try:
                    sock = socket.socket(family, kind, protocol)
                except OSError:
                    continue  # a family that this machine does not speak
                self._sockets.append(sock)
                sock.setblocking(False)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
                sock.bind((address[0], port, *address[2:]))
                sock.listen(_BACKLOG)
                port = sock.getsockname()[1]  # a free one is the same for all
            if not self._sockets:
                raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        except OSError:
            self._close_sockets()
            raise
        for sock in self._sockets:
            self._start(self._accept(sock), "web accept")
        self._start(self._sweep(), "web sweep")
        return port

    async def stop(self) -> None:
        """Stop listening, let what is being answered finish for a moment, and close everything."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._close_sockets()
        if self._guests:
            await asyncio.gather(*(guest.end(STOP_S) for guest in list(self._guests)))
        for _ in range(TURNS):  # the loop tells of an end in one turn, and what ends with it takes another
            await asyncio.sleep(0)

    def _start(self, work: Any, name: str) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _close_sockets(self) -> None:
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()

    async def _accept(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                came, where = await loop.sock_accept(sock)
            except OSError:
                # No file descriptor is left, or whoever came is gone: neither is mended by asking at once again.
                await asyncio.sleep(0.1)
                continue
            guest = Guest(self, address_key(where[0]), loop.time())
            if not self._may_come(guest.address):
                self.counts["rate"] += 1
                came.close()
                continue
            if (leaving := self._places.enter(guest)) is not None:
                self.counts["full" if leaving is guest else "pushed"] += 1
                if leaving is guest:
                    came.close()
                    continue
                leaving.cut()
            guest.greeting = self._start(self._greet(guest, came), "web greet")
            guest.greeting.add_done_callback(partial(self._greeted, guest, came))

    def _may_come(self, address: str) -> bool:
        now_ns = time.monotonic_ns()
        # A crowd from everywhere does not use up what members need to come back.
        return self._comes.take(address, now_ns) and (address in self._known or self._all_come.take(now_ns))

    async def _greet(self, guest: Guest, came: socket.socket) -> None:
        timeout = None if self.context is None else self.limits.slow_s
        closing = None if self.context is None else LINGER_S
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: guest,
                came,
                ssl=self.context,
                ssl_handshake_timeout=timeout,
                ssl_shutdown_timeout=closing,
            )
        except OSError:  # of TLS and timeouts too
            self.counts["handshake"] += 1

    def _greeted(self, guest: Guest, came: socket.socket, task: asyncio.Task[None]) -> None:
        # Not in `_greet`: a task that is cancelled before its first turn runs none of its lines.
        guest.greeting = None
        if guest.transport is None:
            self._places.leave(guest)
            came.close()

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = loop.time()
            for guest in [guest for guest in self._guests if guest.until < now]:
                self.counts["slow"] += guest.asking
                guest.cut()

    # ---- what a connection tells ---------------------------------------------------------------------------------

    def arrived(self, guest: Guest) -> None:
        """A connection stands, TLS included."""
        self._guests.add(guest)
        if guest.cert is not None and (member := self._member_of(guest.cert)) is not None:
            self._known.pop(guest.address, None)
            self._known[guest.address] = None
            if len(self._known) > MAX_KNOWN:
                del self._known[next(iter(self._known))]
            leaving = self._places.identify(guest, member)
            if leaving is not None:
                self.counts["pushed"] += 1
                leaving.cut()

    def left(self, guest: Guest) -> None:
        """A connection is gone."""
        self._guests.discard(guest)
        self._places.leave(guest)

    async def answer(self, guest: Guest, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, and see it on its way."""
        member = None if guest.cert is None else self._member_of(guest.cert)
        ask = HttpAsk(request, guest.cert, member, lambda: self._begin(guest, member))
        try:
            answer = await self._answer_of(guest, ask)
        finally:
            self._working -= guest.counted
            guest.counted = False
        if member is None:
            # What is long costs more to read, most of all in many small chunks.
            for _ in range(guest.came // ASK_BYTES):
                self._strangers.take(guest.address, time.monotonic_ns())
            if self._sending + len(answer.body) > self.limits.sending_bytes:
                answer = _busy(503)  # many asked for long ones before the first was there
        self.counts[str(answer.status)] += 1
        response = web.StreamResponse(
            status=answer.status,
            headers={"Content-Type": answer.content_type, "Server": "vestibule", **answer.headers},
        )
        response.content_length = len(answer.body)
        if answer.close:
            response.force_close()
        self._sending += len(answer.body)
        try:
            guest.take(len(answer.body))
            await response.prepare(request)
            if ask.method != "HEAD":
                # In slices: to copy all of it at once takes tens of milliseconds, in which nothing is recorded.
                body = memoryview(answer.body)
                for at in range(0, len(body), SLICE_BYTES):
                    await response.write(body[at : at + SLICE_BYTES])
            await response.write_eof()
        finally:
            self._sending -= len(answer.body)
            guest.wait()
        return response

    def _begin(self, guest: Guest, member: str | None) -> None:
        if member is None:
            if self._working >= self.limits.working or self._sending >= self.limits.sending_bytes:
                raise Refusal(_busy(503))
            self._working += 1
            guest.counted = True
        guest.work()

    async def _answer_of(self, guest: Guest, ask: HttpAsk) -> Answer:
        now_ns = time.monotonic_ns()
        if ask.member is None:
            taken = self._strangers.take(guest.address, now_ns)
        else:
            taken = self._members.take(ask.member, now_ns)
        if not taken:
            return _busy(429)
        try:
            if ask.method != "POST":
                ask.whole()
            return await self._handle(ask)
        except Refusal as refused:
            return refused.answer
        except RemoteError as error:
            return refusal(400, error.code)
        except VestibuleError as error:
            return refusal(503, error.code)
        except ConnectionError:
            raise  # whoever asked is gone
        except Exception as bug:
            self._on_bug(type(bug).__name__, place_of(bug))
            return refusal(500, "internal")


def _busy(status: int) -> Answer:
    return Answer(status, b"too much at once\n", headers={"Retry-After": "1"}, close=True)


def bind_cause(error: OSError) -> str:
    """Why an address could not be had, without the address."""
    if isinstance(error, socket.gaierror) or not error.errno:
        return str(error.strerror or error)
    return os.strerror(error.errno)
