"""Hop 5, commit: the one place where something becomes durable, in the one order that survives a crash (docs/adr/0003).

(1) segment append and fsync, (2) one transaction, (3) the mark, and only then (4) may the checkpoint be signed and
anything be told. What fails before COMMIT or fsync is known and leaves no trace; what fails in one of them has an
unknown outcome, and only a restart that reads again can tell.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.core.batcher import SealedBatch
from gateway.core.ledger import Plan
from gateway.core.records import BatchRow, PartRow, Writes
from gateway.entries.envelope import Body
from gateway.entries.types import batch_body
from gateway.errors import StoreError
from gateway.store.disk import Disk
from gateway.tlog import merkle


@dataclass(slots=True)
class Cycle:
    """What one commit makes durable.

    Args:
        writes: rows of records; parts, batch, entries, tiles and head are filled in here.
        batch: the sealed batch, or None.
        number: the batch's number.
        opened_s, sealed_s: UTC seconds of the batch.
        plan: what the log appends, or None when no entry is written.
        boot: number of this start, for the mark.
    """

    writes: Writes
    boot: int
    batch: SealedBatch | None = None
    number: int = 0
    opened_s: int = 0
    sealed_s: int = 0
    plan: Plan | None = None

    def body(self, gateway: str, at_ms: int) -> Body:
        """The body of the batch's entry."""
        batch = self.batch
        assert batch is not None
        return batch_body(
            gateway,
            at_ms,
            self.number,
            batch.root,
            len(batch.parts),
            batch.frames,
            batch.samples,
            batch.refused,
            self.opened_s,
            self.sealed_s,
        )


async def commit(disk: Disk, cycle: Cycle) -> None:
    """Make a cycle durable, or leave no trace of it.

    Raises:
        StoreError: with `fatal` set when the outcome is unknown; else nothing was written and it may be tried again.
    """
    writes, batch, plan = cycle.writes, cycle.batch, cycle.plan
    try:
        if batch is not None:
            parts = [(part.header, part.payload) for _, part in batch.parts]
            locations = await disk.append(cycle.number, parts)
            await disk.sync()
            writes.parts = [
                PartRow(
                    cycle.number,
                    index,
                    session,
                    place.segment,
                    place.offset,
                    place.header_bytes,
                    place.payload_bytes,
                    part.core.counts[0],
                    part.core.counts[1],
                    part.core.first_ns,
                    part.core.last_ns,
                    merkle.leaf_hash(part.header),
                )
                for index, ((session, part), place) in enumerate(zip(batch.parts, locations, strict=True))
            ]
            assert plan is not None
            writes.batch = BatchRow(
                cycle.number,
                plan.head.old_size,
                batch.root,
                len(batch.parts),
                batch.frames,
                batch.samples,
                cycle.opened_s,
                cycle.sealed_s,
            )
        if plan is not None:
            writes.entries = plan.entries
            writes.tiles = [(tile.level, tile.n, tile.data) for tile in plan.tiles]
            writes.head = plan.head
        await disk.commit(writes)
    except StoreError as error:
        if not error.fatal and batch is not None:
            await disk.discard_appended()
        raise
    if plan is not None:
        await disk.advance(plan.head.size, plan.head.root, cycle.boot)
