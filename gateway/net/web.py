"""One HTTP request and its answer, as the routes see them: no paths, no limits of connections, no TLS.

A body is read only when a route asks for it and says how long it may be; it is counted as it comes, whatever its
headers say. Source: RFC 9110.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from aiohttp import web
from aiohttp.web_protocol import RequestPayloadError

TEXT: Final = "text/plain; charset=utf-8"
OCTETS: Final = "application/octet-stream"
JSON: Final = "application/json"
FRESH: Final[Mapping[str, str]] = {"Cache-Control": "no-cache"}
IMMUTABLE: Final[Mapping[str, str]] = {"Cache-Control": "public, max-age=31536000, immutable"}
READS: Final = ("GET", "HEAD")
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back.

    Args:
        status: of HTTP.
        body: all of it.
        content_type: with its parameters.
        headers: others than Content-Type.
        close: whether the connection ends with it.
    """

    status: int
    body: bytes = b""
    content_type: str = TEXT
    headers: Mapping[str, str] = field(default_factory=dict)
    close: bool = False


class Refusal(Exception):
    """A request ends here, with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def refusal(status: int, why: str, **headers: str) -> Answer:
    """A short answer in words, after which the connection is closed."""
    return Answer(status, f"{why}\n".encode(), headers=headers, close=True)


NOT_FOUND: Final = Answer(404, b"no such resource here\n")


class Ask(Protocol):
    """A request, as a route sees it."""

    @property
    def method(self) -> str:
        """GET, POST, ..."""

    @property
    def path(self) -> str:
        """Without its leading slash and without a query; as it was sent, nothing decoded."""

    @property
    def member(self) -> str | None:
        """Name of the member whose certificate the other side has shown, by the roster as it is now."""

    @property
    def identified(self) -> bool:
        """Whether the other side has shown a certificate at all."""

    async def body(self, limit: int) -> bytes:
        """Read the body.

        Raises:
            Refusal: it is longer than `limit`, encoded, or malformed.
        """
        ...


def need(ask: Ask, *methods: str) -> None:
    """Raise a refusal unless a request has one of these methods."""
    if ask.method not in methods:
        raise Refusal(refusal(405, "another method is needed", Allow=", ".join(methods)))


class HttpAsk:
    """A request that came by HTTP.

    Args:
        request: of aiohttp.
        cert: DER of the other side's certificate, if it showed one.
        member: whose it is.
        whole: to be called when the request is whole, as `body` does; may raise a refusal.
    """

    __slots__ = ("_request", "identified", "member", "method", "path", "whole")

    def __init__(
        self, request: web.BaseRequest, cert: bytes | None, member: str | None, whole: Callable[[], None]
    ) -> None:
        self._request = request
        self.whole = whole
        self.method: str = request.method
        self.path: str = request.raw_path.partition("?")[0].removeprefix("/")
        self.identified = cert is not None
        self.member = member

    async def body(self, limit: int) -> bytes:
        """As of `Ask`."""
        request = self._request
        headers = request.headers
        if headers.get("Content-Encoding", "identity") != "identity":
            raise Refusal(refusal(415, "a body is taken as it is, not encoded"))
        if (request.content_length or 0) > limit:
            raise Refusal(refusal(413, f"a body here has at most {limit} bytes"))
        if headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(CONTINUE)
        stream = request.content
        try:
            data = bytearray(await stream.readany())
            while not stream.at_eof() and len(data) <= limit:
                data += await stream.readany()
        except RequestPayloadError as error:
            raise Refusal(refusal(400, "the body is malformed")) from error
        if len(data) > limit:
            raise Refusal(refusal(413, f"a body here has at most {limit} bytes"))
        self.whole()
        return bytes(data)
