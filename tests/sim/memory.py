"""A store in memory: a real implementation of `Disk`, whose every write can fail, or fail and yet be applied.

What is durable survives `restart`; what is not is lost, as in a crash. The judgement of a start reads it through the
same protocol as the database's snapshot.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

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
from gateway.errors import StoreError
from gateway.ids import StreamKey
from gateway.store.mark import MarkValue
from gateway.store.queries import Head
from gateway.store.vault import Location
from gateway.tlog import merkle

OK, FAIL, FAIL_APPLIED = "ok", "fail", "fail_applied"
Verdict = Callable[[str], str]
"""Asked before each write with its name (`append`, `sync`, `commit`, `mark`): what shall happen to it.

Any other word is the code of an error that leaves no trace.
"""


@dataclass
class Durable:
    """What is on the disk."""

    devices: dict[int, Device] = field(default_factory=dict)
    pairings: dict[str, Pairing] = field(default_factory=dict)
    sessions: dict[bytes, Session] = field(default_factory=dict)
    links: dict[int, LinkRecord] = field(default_factory=dict)
    streams: dict[StreamKey, StreamRecord] = field(default_factory=dict)
    texts: dict[bytes, Text] = field(default_factory=dict)
    parts: list[PartRow] = field(default_factory=list)
    batches: list[BatchRow] = field(default_factory=list)
    entries_: list[bytes] = field(default_factory=list)
    tiles: dict[tuple[int, int], bytes] = field(default_factory=dict)
    head_: Head = field(default_factory=lambda: Head(0, merkle.EMPTY_ROOT))
    boot: int = 0
    mark: MarkValue = field(default_factory=lambda: MarkValue(0, merkle.EMPTY_ROOT, 0))
    vault: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    roots: dict[int, bytes] = field(default_factory=dict)

    # What `judge` reads.
    def head(self) -> Head:
        return self.head_

    def hash_tile(self, level: int, n: int, width: int) -> bytes:
        return self.tiles[level, n][: 32 * width]

    def entries(self, first: int, count: int) -> list[bytes]:
        return self.entries_[first : first + count]

    def last_batch(self) -> BatchRow | None:
        return self.batches[-1] if self.batches else None

    def parts_of(self, batch: int) -> list[PartRow]:
        return [row for row in self.parts if row.batch == batch]

    def header_of(self, row: PartRow) -> bytes:
        return self.vault[row.offset][0]


class MemoryDisk:
    """A `Disk` on `Durable`.

    Args:
        durable: what is there already.
        verdict: decides each write's fate; None lets all succeed.
    """

    def __init__(self, durable: Durable, verdict: Verdict | None = None) -> None:
        self.durable = durable
        self._verdict = verdict or (lambda _: OK)
        self._appended: dict[int, tuple[bytes, bytes]] = {}
        self._next = max(durable.vault, default=-1) + 1
        self.free = 1 << 40

    def _fate(self, write: str, apply: Callable[[], None], fatal: bool) -> None:
        fate = self._verdict(write)
        if fate in (OK, FAIL_APPLIED):
            apply()
        if fate != OK:
            code = "disk_io" if fate in (FAIL, FAIL_APPLIED) else fate
            raise StoreError(code, f"{write} failed on purpose", fatal=fatal)

    async def append(self, batch: int, parts: Sequence[tuple[bytes, bytes]]) -> list[Location]:
        places = [Location(1, self._next + at, len(part[0]), len(part[1])) for at, part in enumerate(parts)]
        staged = {place.offset: part for place, part in zip(places, parts, strict=True)}
        self._fate("append", lambda: self._appended.update(staged), fatal=False)
        self._next += len(parts)
        return places

    async def sync(self) -> None:
        def apply() -> None:
            self.durable.vault.update(self._appended)
            self._appended = {}

        self._fate("sync", apply, fatal=True)

    async def commit(self, writes: Writes) -> None:
        frozen = copy.deepcopy(writes)
        self._fate("commit", lambda: self._apply(frozen), fatal=self._verdict("commit_is_fatal") != OK)

    def _apply(self, writes: Writes) -> None:
        d = self.durable
        if writes.head is not None:
            assert (d.head_.size, d.head_.root) == (writes.head.old_size, writes.head.old_root), "head moved"
            d.head_ = Head(writes.head.size, writes.head.root)
        d.devices.update({row.device: row for row in writes.devices})
        d.pairings.update({row.code: row for row in writes.pairings if row.code})
        for gone in [row for row in writes.pairings if not row.code]:
            same = (gone.spent_by, gone.expires_ms)
            d.pairings = {k: row for k, row in d.pairings.items() if (row.spent_by, row.expires_ms) != same}
        d.sessions.update({row.session: row for row in writes.sessions})
        d.links.update({row.link: row for row in writes.links})
        for number in writes.dropped_links:
            assert number < max(d.links), "the highest number would be given again"
            gone = d.links.pop(number, None)
            assert gone is None or not gone.session, "a row that says whose frames a link brought"
        d.streams.update({row.key: row for row in writes.streams})
        d.texts.update({row.commit: row for row in writes.texts})
        for row in writes.parts:
            assert row.offset in d.vault, "a part whose bytes are not durable"
        d.parts += writes.parts
        if writes.batch is not None:
            assert writes.batch.batch == len(d.batches) + 1, "batch numbers have no holes"
            d.batches.append(writes.batch)
        for index, data in writes.entries:
            assert index == len(d.entries_), "entries have no holes"
            d.entries_.append(data)
        for level, n, data in writes.tiles:
            assert data.startswith(d.tiles.get((level, n), b"")), "a tile row only grows"
            d.tiles[level, n] = data
        if writes.boot is not None:
            d.boot = writes.boot

    async def advance(self, size: int, root: bytes, boot: int) -> None:
        def apply() -> None:
            assert size >= self.durable.mark.size
            assert self.durable.roots.setdefault(size, root) == root, "two roots at one size"
            self.durable.mark = MarkValue(size, root, boot)

        self._fate("mark", apply, fatal=True)

    async def discard_appended(self) -> None:
        self._appended = {}

    def free_bytes(self) -> int:
        return self.free
