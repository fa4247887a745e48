"""The listener for peers: HTTPS, where the certificate of the other side says which member speaks.

Gossip needs a certificate that is a member's by the roster of this moment, byte for byte: one that was trusted in the
handshake and is of a member no more is told 403. Everything else here is public, and the same as over plain HTTP.
"""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from gateway.errors import ConfigError
from gateway.net import peer_tls
from gateway.net.control import OnBug
from gateway.net.limits import LIMITS, Limits
from gateway.net.listener import Listener, MemberOf, bind_cause
from gateway.net.log_routes import LogRoutes
from gateway.net.web import OCTETS, Answer, Ask, Refusal, need, refusal
from gateway.wire.peer import MAX_BODY_BYTES

EXCHANGE: Final = "gossip/v1/exchange"

Exchange = Callable[[str, bytes], Awaitable[bytes]]


class PeerEdge:
    """The listener.

    Args:
        host, port: where to listen; port 0 takes a free one.
        context: of `peer_tls.server_context`.
        routes: what is public.
        exchange: takes a member's name and a body of gossip, gives the answer's. A `RemoteError` of it is the
            member's fault (400), any other error ours (503). It is not cancelled when the member goes away.
        member_of: the member whose certificate (DER) this is, by the roster of this moment.
        on_bug: told of an exception that is none of ours, as `ControlServer` tells it.
        limits: of everything.
    """

    def __init__(
        self,
        host: str,
        port: int,
        context: ssl.SSLContext,
        routes: LogRoutes,
        exchange: Exchange,
        member_of: MemberOf,
        on_bug: OnBug = lambda error, at: None,
        limits: Limits = LIMITS,
    ) -> None:
        self.host = host
        self.port = port
        self._routes = routes
        self._exchange = exchange
        self._listener = Listener(self._answer, context, member_of, on_bug, limits=limits)

    @property
    def counts(self) -> Counter[str]:
        """What was answered and turned away, as of `Listener.counts`."""
        return self._listener.counts

    @property
    def context(self) -> ssl.SSLContext:
        """What handshakes use; set another when our own certificate has changed."""
        assert self._listener.context is not None
        return self._listener.context

    @context.setter
    def context(self, context: ssl.SSLContext) -> None:
        self._listener.context = context

    def trust(self, certs: Iterable[bytes]) -> None:
        """Let more certificates pass the handshake from now on; connections stay.

        Raises:
            LocalError: `certificate`, one of them is none.
        """
        peer_tls.trust(self.context, certs)

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: `peers_bind`, the address is taken or not ours.
        """
        try:
            self.port = await self._listener.start(self.host, self.port)
        except OSError as error:
            raise ConfigError(
                "peers_bind",
                f"cannot listen for peers on {self.host}:{self.port}: {bind_cause(error)}",
                "Choose another [peers] listen in the configuration, or stop what uses the port.",
            ) from error

    async def stop(self) -> None:
        """Stop listening, let what is being answered finish for a moment, and close everything."""
        await self._listener.stop()

    async def _answer(self, ask: Ask) -> Answer:
        if ask.path != EXCHANGE:
            return await self._routes.answer(ask)
        if ask.member is None:
            status = 403 if ask.identified else 401
            raise Refusal(refusal(status, "gossip is for members of the roster"))
        need(ask, "POST")
        return Answer(200, await self._exchange(ask.member, await ask.body(MAX_BODY_BYTES)), OCTETS)
