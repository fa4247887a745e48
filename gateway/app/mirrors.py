"""Runs the mirror machine: fetches what it asks for, each for a bounded time, and hands it what came.

The machine's steps are taken one at a time under the lock that all machines of the followed logs share; what they want
kept is performed in that turn, before anything else looks at the logs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

from gateway.core.mirror import NEVER, Effect, Event, Fetch, Got, Mirror, Missing, Pulling, Tick, Wanted
from gateway.errors import RemoteError, VestibuleError

FETCH_S: Final = 30.0  # a bundle of the largest entries, 16 MiB, over a slow line

Get = Callable[[str, str, int], Awaitable[bytes | None]]
"""(url, path, limit) -> the bytes at url/path; None where there is nothing, or it is larger."""


class Mirrors:
    """The driver of one machine; `run` is its life.

    Args:
        mirror: the machine.
        get: fetches; its errors of ours count as no answer.
        perform: performs the effects of one step, all but the fetches, in their order; called with `turn` held.
        turn: the lock under which the followed logs are stepped.
        clock_ns: monotonic.
    """

    def __init__(
        self,
        mirror: Mirror,
        get: Get,
        perform: Callable[[Sequence[Effect]], Awaitable[object]],
        turn: AbstractAsyncContextManager[object],
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._mirror = mirror
        self._get = get
        self._perform = perform
        self._turn = turn
        self._clock_ns = clock_ns
        self._wanted: dict[str, None] = {}
        self._answers: list[Event] = []
        self._something = asyncio.Event()

    def wanted(self, origin: str) -> None:
        """A log may be behind its head. Returns at once, and may be said within a turn."""
        self._wanted[origin] = None
        self._something.set()

    def progress(self) -> list[Pulling]:
        """All logs that are not at their heads, for people."""
        return self._mirror.progress()

    async def run(self) -> None:
        """Pull, until cancelled.

        Raises:
            ExceptionGroup: of what `perform` raised; nothing is pulled any more.
        """
        async with asyncio.TaskGroup() as fetching:
            while True:
                await self._wait()
                self._something.clear()
                events: list[Event] = [*map(Wanted, self._wanted), *self._answers]
                self._wanted, self._answers = {}, []
                for event in events or [Tick()]:
                    async with self._turn:
                        effects = self._mirror.step(event, self._clock_ns())
                        for effect in effects:
                            if isinstance(effect, Fetch):
                                fetching.create_task(self._fetch(effect), name="mirror-fetch")
                        if rest := [effect for effect in effects if not isinstance(effect, Fetch)]:
                            await self._perform(rest)

    async def _wait(self) -> None:
        wake_ns = self._mirror.wake_at
        wait_s = None if wake_ns == NEVER else max(0.0, (wake_ns - self._clock_ns()) / 1e9)
        try:
            async with asyncio.timeout(wait_s):
                await self._something.wait()
        except TimeoutError:
            pass  # the time of `wake_at` has come

    async def _fetch(self, fetch: Fetch) -> None:
        answer: Event
        try:
            async with asyncio.timeout(FETCH_S):
                data = await self._get(fetch.source.url, fetch.path, fetch.limit)
            good = data is not None and len(data) <= fetch.limit
            answer = Got(fetch, data) if good and data is not None else Missing(fetch)
        except RemoteError:
            answer = Missing(fetch)
        except (VestibuleError, TimeoutError):
            answer = Missing(fetch, answered=False)
        self._answers.append(answer)
        self._something.set()
