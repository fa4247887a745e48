"""HTTP, read only: the log as static tlog-tiles, health with reasons, and metrics. Nothing here shows a sample."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from aiohttp import web

from gateway.errors import ConfigError

OCTETS: Final = "application/octet-stream"
TEXT: Final = "text/plain; charset=utf-8"
IMMUTABLE: Final = "public, max-age=31536000, immutable"

Resource = Callable[[str], Awaitable[bytes | None]]
Ready = Callable[[], list[dict[str, Any]]]


class HttpEdge:
    """The gateway's HTTP server.

    Args:
        host, port: where to listen; port 0 takes a free one.
        resource: bytes of `checkpoint` or a tile path, None where there is none.
        not_ready: reasons why nothing can be accepted now; empty when ready.
        metrics: Prometheus text.
    """

    def __init__(
        self, host: str, port: int, resource: Resource, not_ready: Ready, metrics: Callable[[], bytes]
    ) -> None:
        self.host = host
        self.port = port
        self._resource = resource
        self._not_ready = not_ready
        self._metrics = metrics
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: the address is taken or not ours.
        """
        app = web.Application(client_max_size=0)
        app.router.add_get("/livez", self._live)
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/metrics", self._metric)
        app.router.add_get("/checkpoint", self._log)
        app.router.add_get("/tile/{path:.*}", self._log)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, keepalive_timeout=30)
        await self._runner.setup()
        try:
            site = web.TCPSite(self._runner, self.host, self.port)
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            # asyncio writes address and cause into the text once more.
            cause = os.strerror(error.errno) if error.errno else error.strerror
            raise ConfigError(
                "http_bind",
                f"cannot serve HTTP on {self.host}:{self.port}: {cause}",
                "Choose another [http] listen in the configuration, or stop what uses the port.",
            ) from error
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening and close what is open."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _live(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _ready(self, request: web.Request) -> web.Response:
        reasons = self._not_ready()
        body = msgspec.json.encode({"ready": not reasons, "reasons": reasons})
        return web.Response(body=body, status=503 if reasons else 200, content_type="application/json")

    async def _metric(self, request: web.Request) -> web.Response:
        return web.Response(body=self._metrics(), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def _log(self, request: web.Request) -> web.Response:
        path = request.raw_path.lstrip("/").split("?")[0]
        data = await self._resource(path)
        if data is None:
            return web.Response(status=404, text="no such resource of this log\n")
        if path == "checkpoint":
            headers = {"Content-Type": TEXT, "Cache-Control": "no-cache"}
        else:
            headers = {"Content-Type": OCTETS, "Cache-Control": IMMUTABLE}
        return web.Response(body=data, headers=headers)
