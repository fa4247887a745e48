"""`vestibule verify`: every byte that is stored against what was signed, from one snapshot of the database.

It runs beside the daemon, changes nothing, and gives no plaintext. Without subject keys it goes down to the hash of
each sealed payload; with them to every frame and its salted leaf.
"""

from __future__ import annotations

from gateway.app.known import Known
from gateway.app.report import Findings, Progress, Report
from gateway.app.verify_log import LogCheck
from gateway.app.verify_vault import VaultCheck
from gateway.errors import LocalError, StoreRefused
from gateway.store.layout import Layout
from gateway.store.mark import Mark, MarkValue
from gateway.store.snapshot import Snapshot
from gateway.tlog.checkpoint import origin_hash

__all__ = ["Progress", "Report", "check_store", "verify_store"]


def verify_store(
    layout: Layout, progress: Progress = lambda what, done, total: None, *, keys: bool = True
) -> Report:
    """Check everything, up to the first fault.

    Args:
        layout: of the store.
        progress: told `(what, done, total)` on the way.
        keys: False reads no key: what an auditor without keys could check.

    Returns:
        What was checked, and what is worth knowing; `faults` is empty.

    Raises:
        Damage: the first thing that is not as signed; `where` names batch, part, frame, segment, byte offset, entry
            and tile, as far as they are known.
        StoreRefused: there is no store, or one of another format.
        StoreError: `disk_io`, `store_busy`.
        ConfigError: a key file is open to others, or holds something else.
    """
    findings = Findings(Report(), progress, stop=True)
    check_store(layout, findings, keys=keys)
    return findings.report


def check_store(layout: Layout, found: Findings, *, keys: bool) -> None:
    """Check everything, and report to `found`; raises as `verify_store`."""
    # Before the snapshot: a mark that is read later may be ahead of it, and would look like a store rolled back.
    mark = _mark(layout, found)
    with Snapshot(layout.database) as snapshot, Known(layout, found, keys) as known:
        damaged = snapshot.integrity()
        for line in damaged:
            found.fault("database", f"SQLite finds the database damaged: {line}")
        for name in snapshot.odd_schema():
            damaged.append(name)
            found.fault(
                "database", "a table, index or trigger of the database is not this release's", table=name
            )
        if damaged:
            found.note("Nothing else was checked: what a damaged database gives is not what stands in it.")
            return
        log = LogCheck(snapshot, found, known, mark)
        log.run()
        origin = known.ring.origin if known.ring else snapshot.meta("origin")
        if origin is None:
            raise LocalError(
                "origin_unknown",
                "neither a key nor the database tells the origin of the log",
                "Check it where its keys are.",
            )
        VaultCheck(layout, bytes.fromhex(origin_hash(origin)), snapshot, found, known, log.refused).run()
        if found.report.unopened:
            found.note(
                f"The keys that open {found.report.unopened} of {found.report.parts} parts are not here."
            )
        if found.report.unknown:
            found.note(
                f"{found.report.unknown} entries are of types that this release does not know; they are kept."
            )


def _mark(layout: Layout, found: Findings) -> MarkValue | None:
    try:
        mark = Mark.open(layout.mark)
    except StoreRefused as error:
        if error.code == "newer":
            raise
        if error.code != "mark_missing":
            found.fault(error.code, error.message)
        return None
    try:
        if moved := mark.made_here():
            found.note(f"The mark was made elsewhere ({moved} differs): the store was copied or moved.")
        return mark.value
    finally:
        mark.close()
