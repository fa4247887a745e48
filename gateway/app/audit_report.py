"""What one run of a monitor says: figures, and findings of four levels, of which the gravest gives the exit code.

Every code of a finding is a word that docs/auditor.md explains, "Watching a log over time".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from gateway.app.audit_state import FORMAT, Head, Key
from gateway.errors import EXIT_OK, EXIT_TRY_LATER, EXIT_UNREACHABLE, EXIT_VERIFY
from gateway.tlog.text import encode_base64

Level = Literal["note", "late", "away", "fault"]

EXITS: Final[dict[Level, int]] = {
    "note": EXIT_OK,
    "late": EXIT_TRY_LATER,
    "away": EXIT_UNREACHABLE,
    "fault": EXIT_VERIFY,
}
"""Level -> exit code, the gravest last."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person should know.

    Args:
        level: `note`: worth knowing; `late`: too old, or not done yet; `away`: it could not be read; `fault`: it does
            not verify.
        code: a word from a closed set.
        message: what it is, as a sentence without its full stop.
        hint: what to do; may be empty.
        entry: index of the entry that it is about.
        new: whether this run found it; False for a fault that the log has had since an earlier run.
    """

    level: Level
    code: str
    message: str
    hint: str = ""
    entry: int | None = None
    new: bool = True


@dataclass(slots=True)
class Audited:
    """What a run found.

    Args:
        origin: of the log.
        source: where it was read.
        at_ms: when, UTC.
        findings: in the order in which they were made.
        head: the one that is served; None where none could be verified.
        signed_by: keys of the log that signed it.
        before: the largest head of earlier runs.
        witnesses: of the policy, those that cosigned the head; None without a policy.
        quorum: whether they are enough; None without a policy.
        keys: of the log.
        newest_ms: the time that the log's freshness is judged by; 0 where there is none.
        newest_of: what tells it: `cosignature`, `entry`, or `seen`: when this monitor first saw the head.
        kind: `vestibule`, `other`, or empty where no entry was read yet.
        checked: entries that were read and verified, in all runs.
        read: of them, in this one.
        batch: number of the newest batch.
        types: type -> entries.
        gateways: DIDs that signed entries, the present one last.
        evidence: file of evidence against the log; empty without any.
    """

    origin: str
    source: str
    at_ms: int
    findings: list[Finding] = field(default_factory=list)
    head: Head | None = None
    signed_by: list[str] = field(default_factory=list)
    before: Head | None = None
    witnesses: tuple[str, ...] | None = None
    quorum: bool | None = None
    keys: list[Key] = field(default_factory=list)
    newest_ms: int = 0
    newest_of: str = ""
    kind: str = ""
    checked: int = 0
    read: int = 0
    batch: int = 0
    types: dict[str, int] = field(default_factory=dict)
    gateways: list[str] = field(default_factory=list)
    evidence: str = ""

    def add(
        self,
        level: Level,
        code: str,
        message: str,
        hint: str = "",
        entry: int | None = None,
        *,
        new: bool = True,
    ) -> None:
        """Add a finding."""
        self.findings.append(Finding(level, code, message, hint, entry, new))

    @property
    def exit_code(self) -> int:
        """Of the gravest finding."""
        levels = list(EXITS)
        return EXITS[max((one.level for one in self.findings), key=levels.index, default="note")]

    def document(self) -> dict[str, Any]:
        """All of it for a program; the members are always the same."""
        age = max(0, self.at_ms - self.newest_ms) / 1000 if self.newest_ms else None
        return {
            "format": f"vestibule-audit/{FORMAT}",
            "ok": self.exit_code == EXIT_OK,
            "exit": self.exit_code,
            "origin": self.origin,
            "source": self.source,
            "at_ms": self.at_ms,
            "head": _head(self.head),
            "signed_by": self.signed_by,
            "before": _head(self.before),
            "quorum": self.quorum,
            "witnesses": None if self.witnesses is None else list(self.witnesses),
            "newest_ms": self.newest_ms or None,
            "newest_of": self.newest_of or None,
            "age_s": age,
            "keys": [{"vkey": key.vkey, "entry": key.entry} for key in self.keys],
            "kind": self.kind or None,
            "entries": {"checked": self.checked, "read": self.read, "types": self.types, "batch": self.batch},
            "gateways": self.gateways,
            "evidence": self.evidence or None,
            "findings": [
                {
                    "level": one.level,
                    "code": one.code,
                    "message": one.message,
                    "hint": one.hint,
                    "entry": one.entry,
                    "new": one.new,
                }
                for one in self.findings
            ],
        }


def _head(head: Head | None) -> dict[str, Any] | None:
    if head is None:
        return None
    return {"size": head.size, "root": encode_base64(head.root), "seen_ms": head.seen_ms}
