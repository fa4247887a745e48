"""A mirror pulled in earnest: peers.db, the driver and the peers' client, from a listener with TLS on an own thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.peer_edges import ALICE, BOB, Loop, echo
from mirror_world import Serve, honest

from gateway.app.mirrors import Get, Mirrors
from gateway.core.follow import KeepHead, Logs
from gateway.core.mirror import Blamed, Broken, Effect, Mirror, Source, Whole
from gateway.errors import ProofError
from gateway.net.log_routes import LogRoutes
from gateway.net.peer_client import PeerClient
from gateway.net.peer_server import PeerEdge
from gateway.net.peer_tls import server_context
from gateway.store.peers import PeerStore
from gateway.tlog.checkpoint import Checkpoint, origin_hash
from tests.sim.peer_logs import Branch, log_vkey


class Served:
    """Logs that alice serves, each below the hash of its origin, to whoever asks.

    Args:
        branches: the logs.
        serve: instead of serving them honestly.
    """

    def __init__(self, *branches: Branch, serve: Serve | None = None) -> None:
        self._origins = {origin_hash(one.origin): one.origin for one in branches}
        self._serve = serve or honest(*branches)
        self._elsewhere = Loop()
        self.asked: list[str] = []

        async def no_checkpoint(body: bytes) -> tuple[int, str, bytes]:
            return 404, "text/plain", b""

        context = server_context(ALICE.key, ALICE.cert, [BOB.cert])
        routes = LogRoutes(self._resource, no_checkpoint, lambda: b"")
        self.edge = PeerEdge("127.0.0.1", 0, context, routes, echo, lambda der: None)
        self._elsewhere.run(self.edge.start())

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"https://127.0.0.1:{self.edge.port}"

    def close(self) -> None:
        """Stop listening."""
        self._elsewhere.run(self.edge.stop())
        self._elsewhere.close()

    async def _resource(self, path: str) -> bytes | None:
        self.asked.append(path)
        name, _, rest = path.partition("/")
        try:
            return self._serve(self._origins[name], rest) if name in self._origins else None
        except ProofError:
            return None  # no such path


@dataclass
class Pulling:
    """A mirror at work.

    Args:
        store: peers.db.
        logs: what is followed.
        mirrors: the driver, which runs.
        effects: what it told.
    """

    store: PeerStore
    logs: Logs
    mirrors: Mirrors
    effects: list[Effect]
    changed: asyncio.Event

    async def head(self, one: Branch, size: int) -> None:
        """The log has a newer head."""
        log = self.logs.of(one.origin)
        assert log is not None
        kept: KeepHead = log.advance(Checkpoint(one.origin, size, one.roots[size]), one.note(size))
        await self.store.keep([kept])
        self.mirrors.wanted(one.origin)

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for something that the mirrors' effects bring about."""
        while not true():
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 60)

    def whole(self, one: Branch, size: int) -> Callable[[], bool]:
        """Whether the whole tree of a head is here."""
        return lambda: Whole(one.origin, size) in self.effects


@asynccontextmanager
async def pulling(
    path: Path, branches: Sequence[Branch], urls: dict[str, str], get: Get | None = None
) -> AsyncIterator[Pulling]:
    """Follow logs from what peers.db has of them.

    Args:
        path: of peers.db.
        branches: the logs.
        urls: base URLs of the sources, by their names; the best first.
        get: instead of the peers' client.
    """
    store = await PeerStore.open(path, create=True)
    client = PeerClient(BOB.key, BOB.cert)
    task: asyncio.Task[None] | None = None
    try:
        state = await store.load()
        followed = []
        for one in branches:
            stored, vkeys = state.logs.get(one.origin), (log_vkey(one.name),)
            followed.append(stored.followed(vkeys) if stored else new_log(one))
        effects: list[Effect] = []
        changed = asyncio.Event()

        async def perform(some: Sequence[Effect]) -> None:
            for effect in some:
                if not isinstance(effect, Whole | Blamed | Broken):
                    await store.keep([effect])  # type: ignore[list-item]
                effects.append(effect)
            changed.set()

        async def from_alice(url: str, path: str, limit: int) -> bytes | None:
            return await client.get(url, path, limit, [ALICE.cert])

        logs = Logs(followed)
        sources = [(name, url) for name, url in urls.items()]
        mirror = Mirror(
            logs, lambda log: [Source(name, f"{url}/{origin_hash(log.origin)}") for name, url in sources]
        )
        mirrors = Mirrors(mirror, get or from_alice, perform, asyncio.Lock())
        task = asyncio.create_task(mirrors.run())
        yield Pulling(store, logs, mirrors, effects, changed)
    finally:
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await client.close()
        await store.close()


def new_log(one: Branch):  # type: ignore[no-untyped-def]
    """A log of which nothing is here."""
    from gateway.core.follow import Followed

    return Followed(one.origin, (log_vkey(one.name),))
