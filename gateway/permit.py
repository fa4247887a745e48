"""One decision about recording: the value that `permit(session, kind, now)` gives."""

from __future__ import annotations

from typing import Final, NamedTuple

FOREVER_NS: Final = 2**63 - 1


class Permit(NamedTuple):
    """Whether a kind of sample may be kept now, and for how long that answer stands.

    Args:
        allowed: the decision.
        reason: why not, a word of the closed set that receipts carry; empty when allowed.
        until_ns: monotonic time at which the question must be asked again.
        version: state of the rules that gave it; another version asks again.
    """

    allowed: bool
    reason: str
    until_ns: int
    version: int
