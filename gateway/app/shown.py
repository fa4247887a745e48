"""What is shown of logs to whoever asks over HTTP: our own, and copies of others under their hash."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from gateway.app.peer_house import House
from gateway.app.peer_machines import Machines
from gateway.tlog.checkpoint import origin_hash

FRESH_NS: Final = 10_000_000_000
"""The newest confirmed head is shown, unless a newer one has waited for longer than this."""


class Shown:
    """Chooses heads and finds tiles.

    Args:
        house: our own log.
        machines: gives those that are in use.
    """

    def __init__(self, house: House, machines: Callable[[], Machines]) -> None:
        self._house = house
        self._machines = machines
        # What an earlier run has shown is not known; it was no more than there is.
        self._size = house.newest()[1]

    async def resource(self, path: str) -> bytes | None:
        """A resource of our log, or of another one under its origin hash."""
        first, _, rest = path.partition("/")
        if path == "checkpoint":
            return self.public_checkpoint() or None
        if rest == "checkpoint":
            return await self._machines().steps.monitor(first)
        if first == origin_hash(self._house.keys.origin):
            return await self._house.reader.resource(rest)
        if first == "tile":
            return await self._house.reader.resource(path)
        return await self._machines().reader.resource(path)

    def public_checkpoint(self) -> bytes:
        """The head that is shown to the world: the newest confirmed one, unless a newer one waits for too long.

        What was shown is never followed by a smaller one: to a monitor that would look like a rollback.
        """
        confirm, (newest, size, _) = self._machines().confirming, self._house.newest()
        late = confirm.machine.lag.age_ns(time.monotonic_ns()) > FRESH_NS
        if confirm.note and not late and confirm.size >= self._size:
            newest, size = confirm.note, confirm.size
        self._size = size
        return newest
