"""Asks peers, witnesses and mirrors over HTTP: connections that are kept, and nothing that can be too long.

Whatever is at the other end, an answer is here whole within its time and its size, or there is an error: `Unreachable`
if nobody answers in time, `RemoteError` if what answers is not who it should be or does not keep to the form. Bytes
are taken as they are: no redirect is followed, no cookie kept, nothing decoded but an entry bundle (C2SP tlog-tiles
allows gzip for those), and that with a limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import aiohttp
from yarl import URL

from gateway.errors import LocalError, RemoteError, Unreachable
from gateway.keys.sign import SigningKey
from gateway.net.peer_server import EXCHANGE
from gateway.net.peer_tls import client_context, open_context
from gateway.net.reply_guard import GuardedConnector, TooMuch
from gateway.net.web import OCTETS, TEXT
from gateway.wire.peer import MAX_BODY_BYTES

CONNECT_S: Final = 2.0
WHOLE_S: Final = 5.0
IDLE_S: Final = 60.0  # a listener of ours keeps a member's connection longer than that
MAX_CONNECTIONS: Final = 512
MAX_LINE_BYTES: Final = 1 << 12
MAX_FIELD_BYTES: Final = 1 << 13
MAX_FIELDS: Final = 64
MAX_CONTEXTS: Final = 256  # a roster has at most 100 members
GONE: Final = (404, 410)
BUSY: Final = (429, 503)
BUSY_S: Final = 1.0  # what our listeners say in Retry-After
GZIP: Final = 16 + zlib.MAX_WBITS

_Reply = tuple[int, str, str, bytes]


class PeerClient:
    """One for the whole process; used in one event loop.

    Args:
        key, der: our TLS key and its certificate; None to come without one.
        whole_s: until an answer must be here whole.
    """

    def __init__(
        self, key: SigningKey | None = None, der: bytes | None = None, whole_s: float = WHOLE_S
    ) -> None:
        self._whole_s = whole_s
        self._key = key
        self._der = der
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[tuple[bytes, ...], ssl.SSLContext] = {}
        self._open = open_context()

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            # aiohttp stumbles, now and then, over a connection whose TLS was aborted; all the same it is gone.
            with contextlib.suppress(AttributeError):
                await session.close()

    async def exchange(self, url: str, certs: Sequence[bytes], body: bytes) -> bytes:
        """Gossip with a member.

        Args:
            url: its base URL, by the roster.
            certs: its certificates, by the roster.
            body: at most 256 KiB.

        Returns:
            The body of its answer, at most 256 KiB.

        Raises:
            Unreachable: `peer_away`, `peer_hung_up`, `peer_busy` (429, 503), `peer_url`.
            RemoteError: `peer_status` (any but 200) and as of `post`.
        """
        status, _, encoding, data = await self._ask(
            "POST", url, EXCHANGE, body, MAX_BODY_BYTES, certs, self._whole_s
        )
        if status != 200:
            raise _status(status)
        _plain(encoding)
        return data

    async def post(
        self, url: str, path: str, body: bytes, limit: int, certs: Sequence[bytes] | None = None
    ) -> tuple[int, str, bytes]:
        """Post a text, as to a witness.

        Args:
            url: the prefix.
            path: below it.
            limit: the most bytes of an answer.
            certs: the server's certificates; None if its answer proves itself.

        Returns:
            Status (whatever it is), Content-Type, body.

        Raises:
            Unreachable: `peer_away`, `peer_hung_up`, `peer_url`.
            RemoteError: `peer_certificate`, `peer_tls`, `peer_http`, `peer_size`, `peer_encoding`.
        """
        status, content_type, encoding, data = await self._ask(
            "POST", url, path, body, limit, certs, self._whole_s
        )
        _plain(encoding)
        return status, content_type, data

    async def get(
        self,
        url: str,
        path: str,
        limit: int,
        certs: Sequence[bytes] | None = None,
        timeout_s: float | None = None,
    ) -> bytes | None:
        """Read a resource. Where too much is asked at once, it waits and asks again while there is time.

        Args:
            url: the prefix.
            path: below it.
            limit: the most bytes of an answer, decoded if it is gzip.
            certs: the server's certificates; None if what is read proves itself.
            timeout_s: until it is here whole; None for the usual time.

        Returns:
            None if it is not there (404, 410).

        Raises:
            Unreachable: `peer_away`, `peer_hung_up`, `peer_busy` (429, 503), `peer_url`.
            RemoteError: `peer_status` (any other but 200) and as of `post`.
        """
        if timeout_s is None:
            timeout_s = self._whole_s
        until = time.monotonic() + timeout_s
        while True:
            status, _, encoding, data = await self._ask("GET", url, path, None, limit, certs, timeout_s)
            timeout_s = until - time.monotonic() - BUSY_S
            if status not in BUSY or timeout_s <= 0:
                break
            await asyncio.sleep(BUSY_S)
        if status in GONE:
            return None
        if status != 200:
            raise _status(status)
        if encoding == "gzip":
            return _gunzip(data, limit)
        _plain(encoding)
        return data

    async def _ask(
        self,
        method: str,
        url: str,
        path: str,
        body: bytes | None,
        limit: int,
        certs: Sequence[bytes] | None,
        timeout_s: float,
    ) -> _Reply:
        where = _address(url, path, certs is not None)
        headers = None if body is None else {"Content-Type": OCTETS if path == EXCHANGE else TEXT}
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_S)
        try:
            async with self._ready().request(
                method,
                where,
                data=body,
                headers=headers,
                ssl=self._context(certs),
                allow_redirects=False,
                read_bufsize=limit,
                timeout=timeout,
            ) as reply:
                fields = reply.headers
                return (
                    reply.status,
                    fields.get("Content-Type", ""),
                    fields.get("Content-Encoding", "identity"),
                    await _read(reply, limit),
                )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _explained(error, limit) from error

    def _ready(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=GuardedConnector(limit=MAX_CONNECTIONS, keepalive_timeout=IDLE_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept-Encoding": "identity", "User-Agent": "vestibule"},
                auto_decompress=False,
                max_line_size=MAX_LINE_BYTES,
                max_field_size=MAX_FIELD_BYTES,
                max_headers=MAX_FIELDS,
            )
        return self._session

    def _context(self, certs: Sequence[bytes] | None) -> ssl.SSLContext:
        if certs is None:
            return self._open
        pinned = tuple(certs)
        context = self._contexts.get(pinned)
        if context is None:
            if len(self._contexts) >= MAX_CONTEXTS:
                self._contexts.clear()  # of rosters that are no more
            try:
                context = client_context(self._key, self._der, pinned)
            except LocalError as error:
                raise RemoteError(
                    "peer_certificate", "the roster's certificate of a peer cannot be read"
                ) from error
            self._contexts[pinned] = context
        return context


@lru_cache(maxsize=MAX_CONTEXTS)
def _address(url: str, path: str, pinned: bool) -> URL:
    try:
        where = URL(f"{url.rstrip('/')}/{path}", encoded=True)
        right = where.scheme == "https" or (where.scheme == "http" and not pinned)
        if right and where.host and where.user is None and where.password is None:
            return where
    except ValueError:
        pass
    raise Unreachable(
        "peer_url",
        "a peer's or witness' URL is not one that can be asked",
        "It is https://host:port; only what proves itself may be read over http.",
    )


async def _read(reply: aiohttp.ClientResponse, limit: int) -> bytes:
    if (reply.content_length or 0) > limit:
        reply.close()
        raise _too_long(limit)
    stream = reply.content
    data = bytearray()
    while True:
        data += await stream.readany()
        if len(data) > limit:
            reply.close()  # the rest is not waited for, and the connection not used again
            raise _too_long(limit)
        if stream.at_eof():
            return bytes(data)


def _gunzip(data: bytes, limit: int) -> bytes:
    stream = zlib.decompressobj(GZIP)
    try:
        plain = stream.decompress(data, limit + 1)
    except zlib.error as error:
        raise RemoteError("peer_encoding", "a peer's gzip does not decode") from error
    if len(plain) > limit:
        raise _too_long(limit)
    if not stream.eof or stream.unused_data:
        raise RemoteError("peer_encoding", "a peer's gzip is cut off, or more follows it")
    return plain


def _too_long(limit: int) -> RemoteError:
    return RemoteError("peer_size", f"a peer's answer is longer than {limit} bytes, or has too much round it")


def _plain(encoding: str) -> None:
    if encoding.lower() != "identity":
        raise RemoteError("peer_encoding", "a peer sends an encoded answer, and was asked for a plain one")


def _status(status: int) -> Unreachable | RemoteError:
    if status in BUSY:
        return Unreachable("peer_busy", f"a peer has no time for us now (HTTP status {status})")
    return RemoteError("peer_status", f"a peer answers with HTTP status {status}")


def _explained(error: Exception, limit: int) -> Unreachable | RemoteError:
    """What an exception of aiohttp, a socket or TLS means; its text is not told, it may hold anything."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return RemoteError(
                "peer_certificate",
                "whoever answers at a peer's address shows another certificate than the roster has",
                "Compare its pin with the peer's people; `vestibule status` there shows it.",
            )
        if isinstance(cause, ssl.SSLError):
            return RemoteError(
                "peer_tls", "no TLS 1.3 with a peer: it refuses our certificate, or speaks another TLS"
            )
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, TooMuch):
        return _too_long(limit)
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ClientResponseError | ValueError):
        return RemoteError("peer_http", "a peer's answer is no whole HTTP answer")
    lost = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(lost, aiohttp.ClientError | ConnectionError) and not isinstance(
        lost, ConnectionRefusedError | TimeoutError
    ):
        # A listener that does not know our certificate says so when our handshake is over already, or says nothing.
        return Unreachable(
            "peer_hung_up",
            "a peer closes the connection without an answer",
            "It is stopping, or does not know our certificate: compare the versions of the roster.",
        )
    return Unreachable(
        "peer_away", "a peer does not answer in time", "It may be off, or the network between."
    )
