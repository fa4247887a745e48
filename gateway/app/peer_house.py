"""What a federation needs of the house it belongs to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.app.export import LogReader
from gateway.core.roster import SignedRoster
from gateway.errors import StoreError
from gateway.store.keyfiles import KeyRing
from gateway.tlog.note import VerifierKey


@dataclass(frozen=True, slots=True)
class House:
    """The other side of the wall.

    Args:
        keys: of the store.
        log_vkeys: keys that sign, or signed, our checkpoints.
        newest: our newest signed checkpoint with its size and root; an empty one before the first of a run.
        reader: our log's resources, for those who ask over the network.
        enter: writes a version of the roster into our log; returns after the commit.
        stop: ends the daemon, because nothing may be signed any more.
    """

    keys: KeyRing
    log_vkeys: tuple[VerifierKey, ...]
    newest: Callable[[], tuple[bytes, int, bytes]]
    reader: LogReader
    enter: Callable[[SignedRoster], Awaitable[None]]
    stop: Callable[[StoreError], None]
