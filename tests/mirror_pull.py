"""A mirror pulled in earnest: peers.db, driver and client, from listeners with TLS on threads of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from e2e.peer_edges import ALICE, BOB, Loop, echo
from mirror_world import Serve

from gateway.app.mirrors import Mirrors
from gateway.core.follow import Followed, Keep, Logs
from gateway.core.mirror import Blamed, Broken, Effect, Mirror, Source, Whole
from gateway.errors import ProofError
from gateway.net.log_routes import LogRoutes
from gateway.net.peer_client import PeerClient
from gateway.net.peer_server import PeerEdge
from gateway.net.peer_tls import server_context
from gateway.store.peers import PeerStore
from gateway.tlog.checkpoint import Checkpoint, origin_hash
from tests.sim.peer_logs import Branch, log_vkey

Resource = Callable[[str], Awaitable[bytes | None]]
WAIT_S = 60.0


class Served:
    """Resources that a gateway serves to whoever asks.

    Args:
        resource: path -> bytes.
    """

    def __init__(self, resource: Resource) -> None:
        self.asked: list[str] = []
        self._elsewhere = Loop()

        async def counted(path: str) -> bytes | None:
            self.asked.append(path)
            return await resource(path)

        context = server_context(ALICE.key, ALICE.cert, [BOB.cert])
        self._edge = PeerEdge("127.0.0.1", 0, context, LogRoutes(counted), echo, lambda der: None)
        self._elsewhere.run(self._edge.start())
        self.url = f"https://127.0.0.1:{self._edge.port}"

    def close(self) -> None:
        """Stop listening."""
        self._elsewhere.run(self._edge.stop())
        self._elsewhere.close()


def served(serve: Serve, *branches: Branch) -> Served:
    """Logs, each below the hash of its origin."""
    origins = {origin_hash(one.origin): one.origin for one in branches}

    async def resource(path: str) -> bytes | None:
        name, _, rest = path.partition("/")
        try:
            return serve(origins[name], rest) if name in origins else None
        except ProofError:
            return None  # no such path

    return Served(resource)


@dataclass
class Pulling:
    """Mirrors at work.

    Args:
        store: peers.db.
        logs: what is followed.
        urls: base URLs of the sources, by their names; the best first.
        effects: what the machine wanted done.
    """

    store: PeerStore
    logs: Logs
    urls: dict[str, str]
    client: PeerClient
    effects: list[Effect] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.mirrors = Mirrors(Mirror(self.logs, self._sources), self._get, self._perform, self.turn)

    async def head(self, one: Branch, size: int) -> None:
        """The log has a newer head."""
        log = self.logs.of(one.origin)
        assert log is not None
        async with self.turn:
            await self.store.keep(
                [log.advance(Checkpoint(one.origin, size, one.roots[size]), one.note(size))]
            )
        self.mirrors.wanted(one.origin)

    async def until_whole(self, one: Branch, size: int) -> None:
        """Wait until the whole tree of a head is here."""
        while Whole(one.origin, size) not in self.effects:
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), WAIT_S)

    @property
    def blamed(self) -> set[str]:
        """Sources that gave wrong bytes."""
        return {effect.source.name for effect in self.effects if isinstance(effect, Blamed)}

    def _sources(self, log: Followed) -> list[Source]:
        return [Source(name, f"{url}/{origin_hash(log.origin)}") for name, url in self.urls.items()]

    async def _get(self, url: str, path: str, limit: int) -> bytes | None:
        return await self.client.get(url, path, limit, [ALICE.cert])

    async def _perform(self, effects: Sequence[Effect]) -> None:
        assert self.turn.locked()
        for effect in effects:
            if isinstance(effect, Keep):
                await self.store.keep([effect])
            assert not isinstance(effect, Broken)
            self.effects.append(effect)
        self.changed.set()


@asynccontextmanager
async def pulling(path: Path, branches: Sequence[Branch], urls: dict[str, str]) -> AsyncIterator[Pulling]:
    """Follow logs, from what peers.db has of them; whatever is behind is pulled at once."""
    store = await PeerStore.open(path, create=True)
    client = PeerClient(BOB.key, BOB.cert)
    task: asyncio.Task[None] | None = None
    try:
        state = await store.load()
        logs = Logs()
        for one in branches:
            stored, vkeys = state.logs.get(one.origin), (log_vkey(one.name),)
            logs.add(stored.followed(vkeys) if stored else Followed(one.origin, vkeys))
        pull = Pulling(store, logs, urls, client)
        for one in branches:
            pull.mirrors.wanted(one.origin)
        task = asyncio.create_task(pull.mirrors.run())
        yield pull
    finally:
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await client.close()
        await store.close()
