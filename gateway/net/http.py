"""Plain HTTP: logs as static tlog-tiles, the witness, health with reasons, and metrics. Nothing here shows a sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.errors import ConfigError
from gateway.net.control import OnBug
from gateway.net.limits import LIMITS, Limits
from gateway.net.listener import Listener, bind_cause
from gateway.net.log_routes import AddCheckpoint, LogRoutes, Resource
from gateway.net.web import FRESH, JSON, READS, Answer, Ask, need

METRICS_TYPE = "text/plain; version=0.0.4"

Ready = Callable[[], list[dict[str, Any]]]


class HttpEdge:
    """The gateway's HTTP server.

    Args:
        host, port: where to listen; port 0 takes a free one.
        resource: bytes of `checkpoint` or a tile path, of our log or below the hash of another's origin, None where
            there is none.
        not_ready: reasons why nothing can be accepted now; empty when ready.
        metrics: Prometheus text.
        add_checkpoint, roster: as of `LogRoutes`.
        on_bug: told of an exception that is none of ours, as `ControlServer` tells it.
        limits: of everything.
    """

    def __init__(
        self,
        host: str,
        port: int,
        resource: Resource,
        not_ready: Ready,
        metrics: Callable[[], bytes],
        add_checkpoint: AddCheckpoint | None = None,
        roster: Callable[[], bytes] = lambda: b"",
        on_bug: OnBug = lambda error, at: None,
        limits: Limits = LIMITS,
    ) -> None:
        self.host = host
        self.port = port
        self._routes = LogRoutes(resource, add_checkpoint, roster)
        self._own = {"livez": self._live, "readyz": self._ready, "metrics": self._metric}
        self._not_ready = not_ready
        self._metrics = metrics
        self._listener = Listener(self._answer, on_bug=on_bug, limits=limits)

    @property
    def counts(self) -> Counter[str]:
        """What was answered and turned away, as of `Listener.counts`."""
        return self._listener.counts

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: `http_bind`, the address is taken or not ours.
        """
        try:
            self.port = await self._listener.start(self.host, self.port)
        except OSError as error:
            raise ConfigError(
                "http_bind",
                f"cannot serve HTTP on {self.host}:{self.port}: {bind_cause(error)}",
                "Choose another [http] listen in the configuration, or stop what uses the port.",
            ) from error

    async def stop(self) -> None:
        """Stop listening and close what is open."""
        await self._listener.stop()

    async def _answer(self, ask: Ask) -> Answer:
        own = self._own.get(ask.path)
        if own is None:
            return await self._routes.answer(ask)
        need(ask, *READS)
        return own()

    def _live(self) -> Answer:
        return Answer(200, b"ok\n", headers=FRESH)

    def _ready(self) -> Answer:
        reasons = self._not_ready()
        body = msgspec.json.encode({"ready": not reasons, "reasons": reasons})
        return Answer(503 if reasons else 200, body, JSON, FRESH)

    def _metric(self) -> Answer:
        return Answer(200, self._metrics(), METRICS_TYPE, FRESH)
