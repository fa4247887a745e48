"""The real gateway on a temporary store, in this process: spine, machines and disk as a clinic has them.

No broker, no HTTP, no control socket: the verbs are asked directly. The UDP socket outlives a restart of the gateway,
so that what a device says meanwhile is seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from gateway.app import config as configuration
from gateway.app.demo import make_store
from gateway.app.house import House
from gateway.app.observe import Observer
from gateway.app.plugin_check.wire import Tap, Watched
from gateway.app.requests import Reach
from gateway.app.spine import Spine
from gateway.app.startup import Store, open_store
from gateway.app.verbs import Verbs
from gateway.app.verbs_peer import PeerVerbs
from gateway.app.wiring import build_house
from gateway.core.effects import Effect
from gateway.errors import ConfigError, LocalError
from gateway.net.control import Caller
from gateway.net.udp import UdpEdge
from gateway.rights.door import Door
from gateway.store.layout import Layout

T = TypeVar("T")
STOP_S: Final = 25.0
RECEIVE_BUFFER_BYTES: Final = 1 << 20  # a second of a device at its highest rate
SUBJECT: Final = "plugin-check"
PURPOSE: Final = "check of a plugin"


class Gate:
    """One gateway that can be stopped and started again on its store.

    Args:
        layout: of the store, which is made if it is not there.
        host, port: of the UDP socket; port 0 takes a free one.
        tap: where all packets pass.
    """

    def __init__(self, layout: Layout, host: str, port: int, tap: Tap) -> None:
        self._layout = layout
        self._host, self._port = host, port
        self._tap = tap
        self._udp: UdpEdge | None = None
        self._store: Store | None = None
        self._spine: Spine | None = None
        self._task: asyncio.Task[None] | None = None
        self._verbs: Verbs | None = None
        self._house: House | None = None
        self.starts = 0

    @property
    def house(self) -> House:
        """The machines of the gateway that runs."""
        assert self._house is not None
        return self._house

    @property
    def port(self) -> int:
        """The UDP port."""
        assert self._udp is not None
        return int(self._udp.port)

    @property
    def runs(self) -> bool:
        """Whether the gateway is up."""
        return self._task is not None and not self._task.done()

    async def __aenter__(self) -> Gate:
        if not self._layout.mark.exists():
            await make_store(self._layout)
        try:
            self._udp = UdpEdge(self._host, self._port, RECEIVE_BUFFER_BYTES, self._tap.arrived)
        except ConfigError as error:
            raise LocalError(
                error.code, error.message, "Name another --port, or --host; 0 takes a free port."
            ) from error
        self._tap.pass_down = self._udp.send
        try:
            await self.start()
        except BaseException:
            self._udp.close()
            raise
        self._udp.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._udp is not None
        self._udp.stop()
        try:
            await self.stop()
        finally:
            self._udp.close()

    async def start(self) -> None:
        """Start on the store: a new boot number."""
        assert self._udp is not None
        config = configuration.load(self._layout.config)
        self._store = await open_store(self._layout, config.limits.link_keep_s)
        house = build_house(self._store, config, Observer("text", "error"))
        house.intake = Watched(house.intake, self._tap.judged)
        house.udp = self._tap.send
        self._house = house
        spine = self._spine = Spine(house)
        house.publish()
        house.utc_ms()
        reach = Reach(self._udp.host, self._udp.port, "", config.limits.pairing_s, int(time.time() * 1000))
        self._verbs = Verbs(
            spine,
            house,
            self._store,
            Door(config.access.actors),
            reach,
            dict,
            lambda: None,
            PeerVerbs(config, None),
        )
        self._task = asyncio.create_task(spine.run(), name="spine")
        self._tap.pass_up = spine.arrivals.arrive
        self.starts += 1

    async def stop(self) -> None:
        """Stop in order: what came is sealed, committed and told first."""
        self._tap.pass_up = lambda slab: None
        if self._spine is not None and self._task is not None:
            self._spine.stop()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await self._task
        if self._store is not None:
            await self._store.close()
        self._spine = self._store = None

    async def ask(self, verb: str, **args: Any) -> dict[str, Any]:
        """Ask a verb, as the command line would.

        Raises:
            VestibuleError: what was wrong.
        """
        assert self._verbs is not None
        return await self._verbs.handle(verb, args, Caller(os.getpid(), os.getuid(), os.getgid()))

    async def tell(self, work: Callable[[int, int], tuple[T, list[Effect]]]) -> T:
        """Run something in the spine's task, as requests of people are; its effects are performed at once."""
        assert self._spine is not None
        return await self._spine.tell(work)

    async def open_session(self, device: int, kinds: list[str]) -> str:
        """Open a session for a device; returns its id."""
        reply = await self.ask(
            "session.open", devices=[device], subject=SUBJECT, purpose=PURPOSE, kinds=kinds
        )
        return str(reply["session"])

    async def session(self, session: str) -> dict[str, Any]:
        """The row of a session, closed or not."""
        rows = (await self.ask("session.list", all=True))["sessions"]
        return next(row for row in rows if row["session"] == session)
