"""A disk in memory: the same rules as the real one, for simulations and for tests of the commit cycle.

What was committed survives `crash`, what was only appended does not. A fault can be put before any step.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from gateway.core.records import (
    BatchRow,
    Device,
    LinkRecord,
    Pairing,
    PartRow,
    Session,
    StreamRecord,
    Text,
    Writes,
)
from gateway.errors import Divergence, StoreError
from gateway.ids import StreamKey
from gateway.store.mark import MarkValue
from gateway.store.queries import EMPTY_TAIL, Head
from gateway.store.vault import RECORD_BYTES, Location
from gateway.tlog.merkle import EMPTY_ROOT

Step = Literal["append", "sync", "commit", "advance"]


@dataclass(slots=True)
class MemoryDisk:
    """A `Disk` (gateway/store/disk.py) without a store.

    Args:
        free: what `free_bytes` says.
        faults: step -> the error that its next call raises instead of working; then it is taken out.
    """

    free: int = 1 << 40
    faults: dict[Step, StoreError] = field(default_factory=dict)
    head: Head = field(default_factory=lambda: Head(0, EMPTY_ROOT))
    mark: MarkValue = field(default_factory=lambda: MarkValue(0, EMPTY_ROOT, 0))
    boot: int = 0
    entries: dict[int, bytes] = field(default_factory=dict)
    tiles: dict[tuple[int, int], bytes] = field(default_factory=dict)
    batches: dict[int, BatchRow] = field(default_factory=dict)
    parts: dict[tuple[int, int], PartRow] = field(default_factory=dict)
    devices: dict[int, Device] = field(default_factory=dict)
    pairings: dict[str, Pairing] = field(default_factory=dict)
    sessions: dict[bytes, Session] = field(default_factory=dict)
    links: dict[int, LinkRecord] = field(default_factory=dict)
    streams: dict[StreamKey, StreamRecord] = field(default_factory=dict)
    texts: dict[bytes, Text] = field(default_factory=dict)
    records: dict[Location, tuple[bytes, bytes]] = field(default_factory=dict)
    """What the vault holds: (header, sealed payload)."""
    _appended: list[Location] = field(default_factory=list)
    _synced: bool = True

    async def append(self, batch: int, parts: Sequence[tuple[bytes, bytes]]) -> list[Location]:
        """See `Disk`."""
        self._fault("append")
        segment, offset = EMPTY_TAIL
        if self.records:
            offset = next(reversed(self.records)).end
        locations = []
        for header, payload in parts:
            location = Location(segment, offset, len(header), len(payload))
            self.records[location] = (header, payload)
            locations.append(location)
            offset += RECORD_BYTES + len(header) + len(payload)
        self._appended += locations
        self._synced = self._synced and not locations
        return locations

    async def sync(self) -> None:
        """See `Disk`."""
        self._fault("sync")
        self._synced = True

    async def commit(self, writes: Writes) -> None:
        """See `Disk`; a row may only name a part that was synced before."""
        self._fault("commit")
        self._check(writes)
        writes = copy.deepcopy(writes)
        self.devices |= {device.device: device for device in writes.devices}
        for pairing in writes.pairings:
            if pairing.code:
                self.pairings[pairing.code] = pairing
            else:
                gone = (pairing.spent_by, pairing.expires_ms)
                self.pairings = {c: p for c, p in self.pairings.items() if (p.spent_by, p.expires_ms) != gone}
        self.sessions |= {session.session: session for session in writes.sessions}
        self.links |= {link.link: link for link in writes.links}
        self.streams |= {stream.key: stream for stream in writes.streams}
        self.texts |= {text.commit: text for text in writes.texts}
        self.parts |= {(part.batch, part.part): part for part in writes.parts}
        if writes.batch:
            self.batches[writes.batch.batch] = writes.batch
        self.entries |= dict(writes.entries)
        self.tiles |= {(level, n): data for level, n, data in writes.tiles}
        if writes.boot is not None:
            self.boot = writes.boot
        if writes.head:
            self.head = Head(writes.head.size, writes.head.root)
        if writes.parts:
            self._appended.clear()

    async def advance(self, size: int, root: bytes, boot: int) -> None:
        """See `Disk`."""
        self._fault("advance")
        if size < self.mark.size or (size == self.mark.size and root != self.mark.root):
            raise Divergence(
                "mark_behind", f"size {size} cannot follow the size {self.mark.size} that was signed"
            )
        self.mark = MarkValue(size, root, boot)

    async def discard_appended(self) -> None:
        """See `Disk`."""
        self.crash()

    def free_bytes(self) -> int:
        """See `Disk`."""
        return self.free

    def crash(self) -> None:
        """Lose what no commit named, as a power cut and the next start do."""
        for location in self._appended:
            del self.records[location]
        self._appended.clear()
        self._synced = True

    def _fault(self, step: Step) -> None:
        error = self.faults.pop(step, None)
        if error is not None:
            raise error

    def _check(self, writes: Writes) -> None:
        if writes.parts and not self._synced:
            raise StoreError("not_synced", "a row names a part that is not durable", fatal=True)
        twice = (
            any((part.batch, part.part) in self.parts for part in writes.parts)
            or any(index in self.entries for index, _ in writes.entries)
            or (writes.batch is not None and writes.batch.batch in self.batches)
        )
        if twice:
            raise StoreError("conflict", "what is written once was there already", fatal=True)
        for level, n, data in writes.tiles:
            if not data.startswith(self.tiles.get((level, n), b"")):
                raise Divergence("tile_changed", f"tile {level}/{n} does not continue its row")
        if writes.head and (writes.head.old_size, writes.head.old_root) != (self.head.size, self.head.root):
            raise Divergence("head_moved", "the log is not where its writer left it")
