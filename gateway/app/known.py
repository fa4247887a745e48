"""The keys that a check may use: those that are here. What is not here bounds the check, and is no damage."""

from __future__ import annotations

from types import TracebackType
from typing import Final

from gateway.app.report import Findings
from gateway.errors import ConfigError, Damage, Denied, StoreError, StoreRefused
from gateway.ids import SubjectRef
from gateway.store.keyfiles import KeyRing, load_keys
from gateway.store.layout import Layout
from gateway.store.subjects import Subjects

ABSENT: Final = ("file_missing", "file_unreadable")


class Known:
    """The keys of a store as far as they are here; a context manager.

    Args:
        layout: of the store.
        found: where to report to.
        use: False reads no key at all, as an auditor without them would.
    """

    def __init__(self, layout: Layout, found: Findings, use: bool) -> None:
        self._found = found
        self._keys: dict[SubjectRef, bytes | None] = {}
        self._subjects: Subjects | None = None
        self.ring: KeyRing | None = None
        if not use:
            return
        try:
            self.ring = load_keys(layout)
        except ConfigError as error:
            if error.code not in ABSENT:
                raise
            found.note(f"Checked without keys: {error.message}.")
            return
        try:
            self._subjects = Subjects(layout.subjects, self.ring.master, self.ring.old_master)
        except (StoreRefused, StoreError) as error:
            found.note(f"Checked without subject keys: {error.message}.")
        except Damage as damage:
            found.damage(damage)

    def key(self, subject: SubjectRef) -> bytes | None:
        """A subject's key, the store's own for what has no subject, or None where it is not here."""
        if not subject:
            return self.ring.store_key if self.ring else None
        if subject not in self._keys:
            self._keys[subject] = self._read(subject)
        return self._keys[subject]

    def _read(self, subject: SubjectRef) -> bytes | None:
        if self._subjects is None:
            return None
        try:
            return self._subjects.key(subject)
        except Denied:
            self._found.note(
                "A subject was erased; what was recorded of it is checked down to its sealed bytes."
            )
        except Damage as damage:
            self._found.damage(damage)
        return None

    def __enter__(self) -> Known:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._subjects is not None:
            self._subjects.close()
