"""`permit(session, kind, now)`: whether a kind of sample may be kept. Asked at admission and again at the seal.

This first engine knows one rule: a kind is permitted while the session that names it is open or draining; a session
whose consent was withdrawn permits nothing. What a later one adds (grants, purposes) comes in behind the same call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.permit import FOREVER_NS, Permit

NOT_PERMITTED = "not_permitted"
CLOSED = "closed"
WITHDRAWN = "withdrawn"
_WITHDRAWN_STATES = ("withdrawing", "withdrawn")


class SessionLike(Protocol):
    """What the rule looks at."""

    @property
    def kinds(self) -> Sequence[int]:
        """Numbers of the permitted kinds."""

    @property
    def state(self) -> str:
        """`open`, `draining`, `closed`, `withdrawing` or `withdrawn`."""


class Recording:
    """The rules now in force, with a version that moves when they change."""

    def __init__(self) -> None:
        self.version = 1

    def changed(self) -> None:
        """Whatever was answered before must be asked again."""
        self.version += 1

    def permit(self, session: SessionLike, kind: int, now_ns: int) -> Permit:
        """Whether samples of a kind may be kept in a session now.

        Args:
            session: its record.
            kind: number of the kind.
            now_ns: the gateway's monotonic clock.
        """
        if session.state in _WITHDRAWN_STATES:
            return Permit(False, WITHDRAWN, FOREVER_NS, self.version)
        if session.state == "closed":
            return Permit(False, CLOSED, FOREVER_NS, self.version)
        if kind not in session.kinds:
            return Permit(False, NOT_PERMITTED, FOREVER_NS, self.version)
        return Permit(True, "", FOREVER_NS, self.version)
