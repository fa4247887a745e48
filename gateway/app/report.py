"""What a check of a store found: sums, notes, and faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gateway.errors import Damage

Progress = Callable[[str, int, int], None]
"""`(what, done, total)`."""

MAX_FAULTS: Final = 1000
"""A store whose disk is gone has one fault for each row; nobody reads more of them."""


class TooManyFaults(Exception):
    """Ends a check that has found `MAX_FAULTS`."""


@dataclass(slots=True)
class Report:
    """What was checked.

    Args:
        size, root: head of the log.
        entries, batches, parts, frames, samples, payload_bytes: how much was looked at.
        opened: parts that were unsealed and checked down to every frame.
        unopened: parts without a key here: checked down to the hash of their sealed payload.
        lost: batches whose recordings went with a disk: their entries came back from mirrors.
        texts: texts behind commitments that were opened and hold.
        unknown: entries of a type that this release does not know.
        followed, mirrored: logs in peers.db, and entries of them that are here.
        notes: what is worth knowing and is no damage, as sentences.
        faults: damage; empty in what `verify_store` returns.
    """

    size: int = 0
    root: bytes = b""
    entries: int = 0
    batches: int = 0
    parts: int = 0
    frames: int = 0
    samples: int = 0
    payload_bytes: int = 0
    opened: int = 0
    unopened: int = 0
    lost: int = 0
    texts: int = 0
    unknown: int = 0
    followed: int = 0
    mirrored: int = 0
    notes: list[str] = field(default_factory=list)
    faults: list[Damage] = field(default_factory=list)


@dataclass(slots=True)
class Findings:
    """Where checks report to.

    Args:
        report: filled on the way.
        progress: told how far it is.
        stop: whether the first fault ends the check.
    """

    report: Report
    progress: Progress
    stop: bool

    def note(self, text: str) -> None:
        """Something worth knowing; said once."""
        if text not in self.report.notes:
            self.report.notes.append(text)

    def fault(self, code: str, message: str, **where: int | str) -> None:
        """Damage.

        Raises:
            Damage: at once, if the first fault ends the check.
            TooManyFaults: there are too many.
        """
        self.damage(Damage(code, message, HINT, where=where))

    def damage(self, damage: Damage, **where: int | str) -> None:
        """As `fault`, of an error that a lower floor raised; `where` adds what it could not know."""
        damage.where = {**where, **damage.where}
        damage.hint = damage.hint or HINT
        if self.stop:
            raise damage
        self.report.faults.append(damage)
        if len(self.report.faults) >= MAX_FAULTS:
            raise TooManyFaults


HINT: Final = "Keep the store as it is, and run `vestibule fsck`: it lists every fault and what mends it."
