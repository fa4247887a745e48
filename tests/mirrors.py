"""Mirrors for tests: real HTTP servers on loopback that serve exports of logs, as a peer or a web server would."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from aiohttp import web

from gateway.app.export import export_log
from gateway.app.guard import Source
from gateway.net.peer_client import PeerClient
from gateway.store.keyfiles import load_keys
from gateway.store.layout import Layout
from gateway.tlog.checkpoint import Checkpoint, origin_hash, sign_checkpoint
from tests.stores import Facts, open_gateway, pose


class Mirror:
    """Serves directories that `ledger export` wrote, each below the hash of its log's origin.

    Args:
        name: for people.
        logs: origin -> directory.
        spoil: changes what is served: (path below the log, bytes) -> bytes, or None for "not there".
    """

    def __init__(
        self,
        logs: dict[str, Path],
        name: str = "rig-2",
        spoil: Callable[[str, bytes], bytes | None] = lambda path, data: data,
        *,
        at_top: bool = False,
    ) -> None:
        self.logs = {"" if at_top else f"{origin_hash(origin)}/": folder for origin, folder in logs.items()}
        self.name = name
        self.spoil = spoil
        self.asked: Counter[str] = Counter()
        self._runner: web.AppRunner | None = None
        self.url = ""

    @property
    def source(self) -> Source:
        return Source(self.name, self.url)

    async def __aenter__(self) -> Mirror:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._get)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _get(self, request: web.Request) -> web.Response:
        asked = request.match_info["path"]
        for prefix, folder in self.logs.items():
            path = asked.removeprefix(prefix)
            if not asked.startswith(prefix) or not (folder / path).is_file():
                continue
            self.asked[path] += 1
            data = self.spoil(path, (folder / path).read_bytes())
            return web.Response(status=404) if data is None else web.Response(body=data)
        return web.Response(status=404)


async def get(url: str, path: str, limit: int) -> bytes | None:
    """Read a resource, as the verbs do."""
    client = PeerClient()
    try:
        return await client.get(url, path, limit)
    finally:
        await client.close()


def export(layout: Layout, folder: Path) -> tuple[str, Path]:
    """What a mirror of this store's log has now."""
    export_log(layout, folder)
    return load_keys(layout).origin, folder


def lie(layout: Layout, folder: Path, size: int, root: bytes) -> None:
    """Put a head of our key in an export that is not the log's."""
    keys = load_keys(layout)
    note = sign_checkpoint(Checkpoint(keys.origin, size, root), keys.origin, *keys.log_keys)
    (folder / "checkpoint").write_bytes(note)


async def record(layout: Layout, batches: int = 1, close: bool = False) -> Facts:
    """Go on with a store: a session with so many batches of new frames."""
    facts = Facts(layout)
    gateway = await open_gateway(layout, facts)
    try:
        # What is random in it must not repeat what an earlier call made.
        gateway.random = type(gateway.random)(f"record {gateway.ledger.size}")
        gateway.registry.random = gateway.random
        (link,) = gateway.open_session(f"P-{gateway.ledger.size}")
        await gateway.cycle()
        for batch in range(batches):
            gateway.data(link, [pose(0, 12 * batch + first, 3) for first in range(0, 12, 3)])
            await gateway.cycle()
        if close:
            await gateway.close_session(facts.sessions[0])
    finally:
        await gateway.store.close()
    return facts
