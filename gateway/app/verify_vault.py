"""Checks the vault from its bytes: segments without gaps, parts against their rows and headers, batches against roots.

One walk over the rows, which is the order in which the parts lie. A part is opened where its subject's key is here,
and then every frame of it stands under the root; elsewhere the check ends at the hash of the sealed payload.
"""

from __future__ import annotations

from gateway.app.known import Known
from gateway.app.localise import localise
from gateway.app.release import open_part
from gateway.app.report import Findings
from gateway.app.verify_sums import Sums
from gateway.core.part import Core, parse_header
from gateway.core.records import BatchRow, PartRow, Session
from gateway.errors import Damage, WireError
from gateway.store.layout import Layout, disk_error
from gateway.store.queries import EMPTY_TAIL
from gateway.store.snapshot import Snapshot
from gateway.store.vault import SEGMENT_HEADER_BYTES, Vault, location_of, segment_path
from gateway.tlog.merkle import root_of

Where = dict[str, int | str]


class VaultCheck:
    """One check of the vault.

    Args:
        layout: of the store.
        origin_hash: SHA-256 of the log's origin.
        snapshot: the database.
        found: where to report to.
        known: keys that are here.
        refused: batch -> frames refused, as its entry says.
        lost: entries that came back from mirrors; parts of their batches may be gone.
    """

    def __init__(
        self,
        layout: Layout,
        origin_hash: bytes,
        snapshot: Snapshot,
        found: Findings,
        known: Known,
        refused: dict[int, int],
        lost: list[range],
    ) -> None:
        self._layout = layout
        self._vault = Vault(layout.vault, origin_hash, EMPTY_TAIL)
        self._snapshot = snapshot
        self._found = found
        self._known = known
        self._refused = refused
        self._lost = lost
        self._expected = EMPTY_TAIL
        self._sessions = {session.session: session for session in snapshot.session_rows(all=True)}
        self._sums = Sums(snapshot, found)
        self._in_batch: list[tuple[PartRow, int]] = []

    def run(self) -> None:
        """Check everything.

        Raises:
            Damage: the first fault, if that ends the check.
        """
        batches = {row.batch: row for row in self._snapshot.iter_batches()}
        total = sum(row.parts for row in batches.values())
        number = 0
        for row in self._snapshot.iter_parts():
            if self._in_batch and row.batch != self._in_batch[0][0].batch:
                self._end_batch(batches)
            self._place(row)
            refused = self._part(row)
            self._in_batch.append((row, refused))
            number += 1
            if not number % 16:
                self._found.progress("parts", number, total)
        if self._in_batch:
            self._end_batch(batches)
        for batch, absent in batches.items():
            if any(absent.entry in span for span in self._lost):
                self._found.report.lost += 1
            else:
                self._found.fault("parts_missing", f"batch {batch} has no parts in the database", batch=batch)
        self._check_tail()
        self._sums.check()
        self._found.progress("parts", number, number)

    # ---- segments ---------------------------------------------------------------------------------------------

    def _place(self, row: PartRow) -> None:
        """Parts lie one behind another: what nobody names must not lie between them."""
        segment, offset = self._expected
        if (row.segment, row.offset) == (segment + 1, SEGMENT_HEADER_BYTES):
            if (size := self._size(segment)) > offset:
                message = f"segment {segment} goes on for {size - offset} bytes that no row names"
                self._found.fault("vault_gap", message, segment=segment, offset=offset)
        elif (row.segment, row.offset) != self._expected:
            message = f"part {row.part} of batch {row.batch} does not lie behind the part before it"
            self._found.fault("vault_gap", message, **_where(row))
        self._expected = (row.segment, location_of(row).end)

    def _size(self, segment: int) -> int:
        path = segment_path(self._layout.vault, segment)
        return path.stat().st_size if path.exists() else 0

    def _check_tail(self) -> None:
        segment, offset = self._expected
        behind = max(0, self._size(segment) - offset) if self._size(segment) else 0
        try:
            behind += sum(self._size(number) for number in self._vault.segments() if number > segment)
        except Damage as damage:
            self._found.damage(damage)
        except OSError as error:
            raise disk_error(error, "the vault cannot be read") from error
        if behind:
            self._found.note(
                f"{behind} bytes lie behind the last part that a commit named (segment {segment}, offset {offset}): "
                "a cycle was under way, or a crash, and the next start cuts them off; or the database is an old copy."
            )

    # ---- parts ------------------------------------------------------------------------------------------------

    def _part(self, row: PartRow) -> int:
        """Check one part; returns how many frames its header says were refused."""
        report, where = self._found.report, _where(row)
        session = self._sessions.get(row.session)
        report.parts += 1
        try:
            header, payload = self._vault.read_row(row)
        except Damage as damage:
            key = self._known.key(session.subject) if session else None
            self._found.damage(localise(damage, self._layout, row, key), **where)
            return self._unread(row)
        report.payload_bytes += len(payload)
        try:
            core, _, _ = parse_header(header)
        except WireError as error:
            self._found.fault("part_header", error.message, **where)
            return self._unread(row)
        self._check_row(row, core, session)
        self._sums.told(row, core)
        report.frames += core.counts[0]
        report.samples += core.counts[1]
        key = self._known.key(session.subject) if session else None
        if key is None:
            report.unopened += 1
            self._sums.unopened(row)
        else:
            try:
                opened = open_part(header, payload, row.session, key)
                report.opened += 1
                self._sums.opened(row, opened)
            except Damage as damage:
                self._sums.unopened(row)
                self._found.damage(damage, **where)
        return sum(count for _, count in core.refusals)

    def _unread(self, row: PartRow) -> int:
        # Its sums are unknown, so no sum of its session or batch can be held against them.
        self._sums.unread(row)
        self._refused.pop(row.batch, None)
        return 0

    def _check_row(self, row: PartRow, core: Core, session: Session | None) -> None:
        says = (row.frames, row.samples, row.first_ns, row.last_ns)
        if says != (*core.counts[:2], core.first_ns, core.last_ns):
            self._found.fault("part_row", "the row of a part says other sums than its header", **_where(row))
        if session is None or session.commitment != core.session_commitment:
            self._found.fault(
                "part_session", "a part is not of the session that its row names", **_where(row)
            )

    # ---- batches ----------------------------------------------------------------------------------------------

    def _end_batch(self, batches: dict[int, BatchRow]) -> None:
        rows, self._in_batch = self._in_batch, []
        number = rows[0][0].batch
        batch = batches.pop(number, None)
        parts = [row for row, _ in rows]
        if batch is None:
            self._found.fault("batch_missing", f"batch {number} has parts and no row", batch=number)
            return
        if [row.part for row in parts] != list(range(batch.parts)):
            self._found.fault(
                "parts_missing", f"batch {number} does not have its {batch.parts} parts", batch=number
            )
        elif root_of([row.header_hash for row in parts]) != batch.root:
            self._found.fault("batch_root", f"the parts of batch {number} do not have its root", batch=number)
        elif (sum(row.frames for row in parts), sum(row.samples for row in parts)) != (
            batch.frames,
            batch.samples,
        ):
            self._found.fault("batch_sums", f"the parts of batch {number} do not have its sums", batch=number)
        elif self._refused.get(number, refused := sum(count for _, count in rows)) != refused:
            self._found.fault(
                "batch_sums", f"batch {number} has another number of refused frames", batch=number
            )
        else:
            self._found.report.batches += 1


def _where(row: PartRow) -> Where:
    return {"batch": row.batch, "part": row.part, "segment": row.segment, "offset": row.offset}
