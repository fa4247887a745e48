"""How much an HTTP server may say to one question of ours, counted before anything of it is read.

aiohttp bounds each part of an answer, not their number: a server may send interim answers, or the extension of a chunk,
as fast as it can until the time is over, and the recorder lives in the same loop. A connection of ours ends as soon as
more came than the answer may have.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler

EXTRA_BYTES: Final = 1 << 16  # for heads, and what stands round chunks
SLICE_BYTES: Final = 1 << 13  # is read at once; then it is seen whether it leads anywhere
MAX_WAITING: Final = (
    4  # heads that nobody has looked at: an answer has one, and seldom an interim one before it
)


class TooMuch(aiohttp.ClientPayloadError):
    """A server says more than was asked for."""


class GuardedConnector(aiohttp.TCPConnector):
    """As of aiohttp; what a request gives as `read_bufsize` is the most that its answer may have.

    Args:
        options: as of `aiohttp.TCPConnector`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # There is no public way to put a protocol here; tests/e2e/test_peer_abuse.py shows whether it holds.
        self._factory = cast(partial[ResponseHandler], partial(_Guarded, loop=self._loop))


class _Guarded(ResponseHandler):
    """One connection."""

    _room = 0

    def set_response_params(self, **params: Any) -> None:
        """As of aiohttp: called before each request."""
        self._room = int(params["read_bufsize"]) + EXTRA_BYTES
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Some bytes of an answer, or nothing: then what waits is to be read on."""
        self._room -= len(data)
        if self._room < 0:
            self._end()
        elif len(data) <= SLICE_BYTES:
            super().data_received(data)
        else:
            for at in range(0, len(data), SLICE_BYTES):
                super().data_received(data[at : at + SLICE_BYTES])
                if len(self) > MAX_WAITING:
                    self._end()
                if self.transport is None or self.transport.is_closing():
                    break

    def _end(self) -> None:
        error = TooMuch("more than the answer may have")
        payload, transport = self._payload, self.transport
        self.set_exception(error)
        if payload is not None:
            payload.set_exception(error)
        if transport is not None:
            transport.abort()
