"""Mirrors as others read them, out of peers.db: `<origin hash>/checkpoint` and `<origin hash>/tile/...`.

Nothing beyond the newest head whose whole tree is here is served (C2SP tlog-tiles, tlog-mirror).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.app.export import CHECKPOINT, wanted_tile
from gateway.core.follow import Followed, Logs
from gateway.errors import Damage
from gateway.store.peers import PeerStore
from gateway.tlog.tiles import ENTRIES_LEVEL, TILE_WIDTH, encode_bundle

HASH_DIGITS: Final = 64


class PeerLogReader:
    """The resources of all mirrors.

    Args:
        store: peers.db.
        logs: what is followed.
        checkpoint: gives the note that is shown for a log, cosigned; None where there is none.
    """

    def __init__(self, store: PeerStore, logs: Logs, checkpoint: Callable[[Followed], bytes | None]) -> None:
        self._store = store
        self._logs = logs
        self._checkpoint = checkpoint

    async def resource(self, path: str) -> bytes | None:
        """Bytes of a resource.

        Args:
            path: `checkpoint`, or of a tile or an entry bundle, below the hash of the log's origin in lower-case hex.

        Returns:
            None for what is no such path, is no log that is followed, or lies beyond what is here.

        Raises:
            StoreError: `disk_io`.
            Damage: `database`.
        """
        name, _, rest = path.partition("/")
        log = self._log(name)
        if log is None:
            return None
        if rest == CHECKPOINT:
            return self._checkpoint(log)
        coord = wanted_tile(rest, log.whole_size) if log.mirrored else None
        if coord is None:
            return None
        if coord.level != ENTRIES_LEVEL:
            return await self._store.tile(log.origin, coord.level, coord.n, coord.width)
        try:
            entries = await self._store.entries_of(log.origin, coord.n * TILE_WIDTH, coord.width)
        except Damage as damage:
            if damage.code != "entry_missing":
                raise
            return None  # another peer has it; `fsck` tells what is damaged here
        return encode_bundle(entries) if len(entries) == coord.width else None

    def _log(self, name: str) -> Followed | None:
        if len(name) != HASH_DIGITS or set(name) - set("0123456789abcdef"):
            return None
        return self._logs.of_hash(bytes.fromhex(name))
