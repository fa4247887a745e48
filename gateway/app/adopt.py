"""`vestibule ledger adopt`: take over a store that was made elsewhere: on another disk or machine, or from an archive.

Whoever may hold a newer head of its log is asked first: a copy that went on elsewhere is not taken over. What makes it
ours, the mark's new home, is written last: whatever interrupts it before leaves a store that is still refused, and
adopting it again goes through (a second entry does no harm).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.app.cycle import Cycle, commit
from gateway.app.guard import Answer, Get, GuardReport, Source, ask_witnesses
from gateway.app.startup import BOOT_MAX, judge_files, keys_to_sign
from gateway.core.ledger import Ledger
from gateway.core.records import Writes
from gateway.entries.types import adopt_body
from gateway.errors import LocalError, StoreRefused
from gateway.store.db import Database
from gateway.store.disk import RealDisk
from gateway.store.layout import Layout
from gateway.store.load import load_state
from gateway.store.lock import StoreLock
from gateway.store.mark import Mark
from gateway.store.snapshot import Snapshot
from gateway.store.vault import Vault
from gateway.tlog.checkpoint import origin_hash

MOVED = "moved"
"""State of a link whose counters may have run on elsewhere."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """What was taken over.

    Args:
        size, root: of the log, its new entry counted.
        links: how many were ended; their devices make new ones by themselves.
        checkpoint: signed, of that head.
        answers: who was asked whether it went on elsewhere, and what they said.
    """

    size: int
    root: bytes
    links: int
    checkpoint: bytes
    answers: tuple[Answer, ...] = ()


async def adopt_store(
    layout: Layout,
    confirm: Callable[[str], bool],
    reason: str,
    sources: Sequence[Source] = (),
    get: Get | None = None,
    signed: bytes = b"",
) -> Adopted:
    """Take a store over.

    Args:
        layout: where the store is now.
        confirm: asks the operator, and tells whether the answer was yes; never answer it by a default.
        reason: a word for the entry: `disk`, `machine`, `copied` ...
        sources, get: whom to ask for a newer head of its log, and how.
        signed: the newest of our own notes that is on record; empty for none.

    Raises:
        StoreRefused: `mark_missing`, `mark_invalid`, `rolled_back`, `forked`, `boot`, `unfinished`: adopting does not
            mend these.
        LocalError: `not_moved`, the store is at home; `not_confirmed`; `entry_body`, the reason is not a word.
        Damage: the tail does not verify.
        StoreError: `locked`, `disk_full`, `disk_io`.
    """
    with StoreLock(layout.lock):
        keys = keys_to_sign(layout)
        mark = Mark.open(layout.mark)
        try:
            moved = mark.made_here()
            if moved is None:
                raise LocalError("not_moved", "this store is where it was made", "Just start it.")
            vault = Vault.open(layout.vault, bytes.fromhex(origin_hash(keys.origin)))
            frontier, tails, _ = await asyncio.to_thread(judge_files, layout, mark, vault)
            report = GuardReport(frontier.size, ())
            if sources and get is not None:
                with Snapshot(layout.database) as snapshot:
                    report = await ask_witnesses(
                        keys.origin,
                        keys.known_log_vkeys,
                        snapshot.head(),
                        snapshot,
                        sources,
                        get,
                        signed,
                    )
            if report.refusal is not None:
                raise report.refusal
            ledger = Ledger(keys.origin, keys.log_keys, keys.entry, frontier, tails)
            now_ms = time.time_ns() // 1_000_000
            body = adopt_body(ledger.gateway, now_ms, ledger.size, ledger.root, reason)
            question = (
                f"This store of {ledger.origin}, with {ledger.size} entries, was made elsewhere ({moved} differs). "
                f"{report.said} If its old copy ever runs again, both sign, and each is evidence against the other. "
                "Will the old copy never run again?"
            )
            if not confirm(question):
                raise LocalError("not_confirmed", "the store was not taken over", "Nothing was changed.")
            # Only now for writing: until then every file is left as it is.
            db = await Database.open(layout.database, keys.store_key)
        except BaseException:
            mark.close()
            raise
        disk = RealDisk(db, vault, mark)
        try:
            # All links, however long they were idle.
            state = await load_state(db, 0)
            boot = max(state.boot, mark.value.boot) + 1
            if boot > BOOT_MAX:
                raise StoreRefused("boot", "the store was started 65,535 times", "Begin a new one.")
            links = [link for link in state.links if link.state == "live"]
            for link in links:
                link.state = MOVED
            plan = ledger.plan([body])
            await commit(disk, Cycle(Writes(links=links, boot=boot), boot, plan=plan))
            ledger.advance(plan)
            await asyncio.to_thread(mark.rewrite)
            return Adopted(ledger.size, ledger.root, len(links), ledger.checkpoint(), report.answers)
        finally:
            await disk.close()
