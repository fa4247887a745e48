"""`vestibule fsck`: the same check as `verify`, but of everything, and for each fault what mends it.

It changes nothing: what may be cut off is cut by the next start, and everything else needs a copy, a peer, or a person.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.app.report import MAX_FAULTS, Findings, Progress, Report, TooManyFaults
from gateway.app.verify import check_store
from gateway.errors import Damage
from gateway.store.layout import Layout

RESTORE_SEGMENT: Final = "restore the segment from a copy"
SET_BYTE: Final = "set the byte to the value named, or restore the segment from a copy"
RESTORE_DATABASE: Final = "restore the database from the newest copy"
REFILL: Final = "fetch the entry from a mirror, or restore the database from the newest copy"
REBUILD_TILE: Final = "rebuild the tile from the entries, or restore the database from the newest copy"
NEW_LOG: Final = (
    "keep it as it is: this log must not sign again. Go on with `vestibule ledger new-generation`"
)
CATCH_UP: Final = (
    "fetch what is missing from peers with `vestibule ledger catch-up`, or restore the newest copy"
)
RESTORE_SUBJECTS: Final = "restore the subject keys from their replica"
PULL_AGAIN: Final = (
    "nothing by hand: it is a copy, which the running gateway drops when it finds the fault, and pulls again"
)
CONFIRM_AGAIN: Final = "nothing by hand: the next head that is confirmed takes its place"
ASK_PEERS: Final = (
    "move peers.db away, start the gateway and accept a member's card again (`vestibule peer accept`): it asks its "
    "peers what it promised before it cosigns, and evidence and mirrors come back from them"
)
KEEP: Final = "keep it as evidence: it was signed like this, and no repair can change that"

REPAIRS: Final[dict[str, str]] = {
    "adopt": KEEP,
    "arrival": KEEP,
    "batch_entry": RESTORE_DATABASE,
    "batch_missing": RESTORE_DATABASE,
    "batch_number": KEEP,
    "batch_root": RESTORE_DATABASE,
    "batch_row": RESTORE_DATABASE,
    "batch_sums": RESTORE_DATABASE,
    "database": RESTORE_DATABASE,
    "entry": REFILL,
    "entry_beyond": RESTORE_DATABASE,
    "entry_missing": REFILL,
    "forked": NEW_LOG,
    "frame": KEEP,
    "generation": KEEP,
    "head_missing": RESTORE_DATABASE,
    "header_hash": RESTORE_SEGMENT,
    "mark_invalid": CATCH_UP,
    "object": KEEP,
    "origin": "put back the keys of this store",
    "mirror": PULL_AGAIN,
    "part_counts": KEEP,
    "part_frames": KEEP,
    "part_header": KEEP,
    "part_root": KEEP,
    "part_row": RESTORE_DATABASE,
    "part_session": RESTORE_DATABASE,
    "parts_missing": RESTORE_DATABASE,
    "payload": KEEP,
    "payload_hash": RESTORE_SEGMENT,
    "payload_seal": RESTORE_SUBJECTS,
    "peers_cosigned": CONFIRM_AGAIN,
    "peers_database": ASK_PEERS,
    "peers_fork": ASK_PEERS,
    "peers_head": ASK_PEERS,
    "peers_roster": ASK_PEERS,
    "record_header": RESTORE_SEGMENT,
    "rolled_back": CATCH_UP,
    "root": RESTORE_DATABASE,
    "rotation": KEEP,
    "row": RESTORE_DATABASE,
    "segment_header": RESTORE_SEGMENT,
    "segment_missing": RESTORE_SEGMENT,
    "session": RESTORE_DATABASE,
    "stream": RESTORE_DATABASE,
    "stream_missing": RESTORE_DATABASE,
    "subject_sealed": RESTORE_SUBJECTS,
    "sum": KEEP,
    "text": RESTORE_DATABASE,
    "tile": REBUILD_TILE,
    "vault_gap": RESTORE_DATABASE,
    "vault_short": RESTORE_SEGMENT,
}
"""Code of a fault -> what mends it."""

AFTER: Final[dict[str, str]] = {
    "The mark was made elsewhere": "`vestibule run` refuses this store, so that one log does not become two. To take "
    "it over here: `vestibule ledger adopt`.",
    "There is no mark here": "`vestibule run` refuses this store: without its mark nothing tells whether it is the "
    "newest copy, and an older one would sign a second history. Finish a new store with `vestibule init`; bring "
    "one that holds recordings to its newest head with `vestibule ledger catch-up`.",
    "Checked without keys": "`vestibule run` refuses this store: it signs and seals with these keys.",
    "bytes lie behind the last part": "Where a fault says that the database is an old copy, recordings are "
    "in them: `vestibule ledger catch-up` keeps them aside. Else nothing in them was acknowledged: start the gateway.",
}
"""Part of a note -> what it means for a start, and what to do."""


@dataclass(frozen=True, slots=True)
class Repair:
    """A fault and what mends it.

    Args:
        fault: what is wrong, and where.
        words: what a repair needs.
    """

    fault: Damage
    words: str


def fsck_store(
    layout: Layout, progress: Progress = lambda what, done, total: None, *, keys: bool = True
) -> tuple[Report, list[Repair]]:
    """Check everything, and do not stop at a fault.

    Args:
        layout, progress, keys: as `verify.verify_store`.

    Returns:
        The report, with `faults`; and a repair for each of them, in the order they were found. A fault can have
        others behind it that follow from it: mend the first, then check again.

    Raises:
        StoreRefused, StoreError, ConfigError: as `verify.verify_store`.
    """
    found = Findings(Report(), progress, stop=False)
    try:
        check_store(layout, found, keys=keys)
    except TooManyFaults:
        found.note(f"There are more than {MAX_FAULTS} faults; the rest was not looked at.")
    except Damage as damage:
        # Where nothing behind it can be read at all.
        found.report.faults.append(damage)
        found.note("The check ended at the last fault: nothing behind it can be read.")
    for note in list(found.report.notes):
        for part, words in AFTER.items():
            if part in note:
                found.note(words)
    return found.report, [Repair(fault, _words(fault)) for fault in found.report.faults]


def _words(fault: Damage) -> str:
    if "right" in fault.where:
        return SET_BYTE
    return REPAIRS.get(fault.code, RESTORE_DATABASE)
