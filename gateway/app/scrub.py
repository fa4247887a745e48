"""Reads the mirrors again, slowly and for ever, and has those pulled again that the disk has changed.

Others may need a mirror years later, when the log's own gateway has lost its disk: a fault is found while there is
still somebody to pull from. What of a mirror is bad is not mended in place; it is a copy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

from gateway.core.follow import Followed, Logs
from gateway.core.mirror import Broken, Effect
from gateway.errors import Damage
from gateway.store.peers import PeerStore
from gateway.tlog.checkpoint import parse_checkpoint
from gateway.tlog.note import parse_note

PACE_S: Final = (
    0.25  # between bundles, each of a third of a millisecond: a million entries take a quarter of an hour
)
ROUND_S: Final = 60.0  # between rounds at least


class Scrub:
    """The reader; `run` is its life.

    Args:
        store: peers.db.
        logs: what is followed.
        perform: performs effects of mirrors (`Mirrors`), with `turn` held.
        turn: the lock under which the followed logs are stepped.
        pace_s: between two bundles.
        round_s: between two rounds.
    """

    def __init__(
        self,
        store: PeerStore,
        logs: Logs,
        perform: Callable[[Sequence[Effect]], Awaitable[object]],
        turn: AbstractAsyncContextManager[object],
        pace_s: float = PACE_S,
        round_s: float = ROUND_S,
    ) -> None:
        self._store = store
        self._logs = logs
        self._perform = perform
        self._turn = turn
        self._pace_s = pace_s
        self._round_s = round_s
        self.rounds = 0
        """Rounds that were finished."""

    async def run(self) -> None:
        """Read, until cancelled; ends by itself where SQLite finds the file damaged, which is nothing to pull again.

        Raises:
            StoreError: `disk_io`.
        """
        while True:
            for log in list(self._logs):
                try:
                    await self._read(log)
                except Damage:
                    return  # `fsck` tells; reading on would tell it again and again
            self.rounds += 1
            await asyncio.sleep(self._round_s)

    async def _read(self, log: Followed) -> None:
        size = log.whole_size
        if not log.data or log.ours or not size:
            return
        root = parse_checkpoint(parse_note(log.whole).text).root
        async for found in self._store.walk(log.origin, size, {size: root}):
            if found:
                async with self._turn:
                    # Unless it was dropped meanwhile: then what was missing is being pulled already.
                    if self._logs.of(log.origin) is log and log.whole_size >= size:
                        await self._perform([Broken(log.origin)])
                return
            await asyncio.sleep(self._pace_s)
