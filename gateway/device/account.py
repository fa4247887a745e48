"""What became of the samples that were captured, as far as the device knows; the gateway's totals are the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from gateway.device.ring import Held
from gateway.wire.kinds import KINDS

OVERFLOW: Final = "overflow"  # the ring was full: the oldest packet gave way
LINK_GONE: Final = "link_gone"  # the gateway no longer keeps the link (VT1, "Handshake")


def samples_in(packets: Iterable[Held]) -> int:
    """Samples that packets carry."""
    return sum(count for held in packets for _, _, count in held.spans)


class Account:
    """Counters in samples, unless said otherwise.

    Always: captured = stored + refused + lost + held in rings + not sealed yet. What was read from a spool has an
    account of its own: those samples are of earlier runs.
    """

    __slots__ = (
        "captured",
        "ignored",
        "lost",
        "refused",
        "resent",
        "sent",
        "stored",
        "unrecorded",
        "withheld",
    )

    def __init__(self) -> None:
        self.captured = 0
        self.stored = 0
        self.refused: Counter[str] = Counter()
        """By the gateway's reason."""
        self.lost: Counter[str] = Counter()
        """By cause: `overflow`, `link_gone`."""
        self.withheld: Counter[int] = Counter()
        """By kind: offered, and not captured because the session does not permit the kind."""
        self.unrecorded = 0
        """Offered while nothing was recorded; they have no numbers."""
        self.ignored: Counter[str] = Counter()
        """Packets that came and were not acted on, by reason."""
        self.sent = 0
        """Packets sent on links, without resends."""
        self.resent = 0
        """Packets sent again."""

    def as_dict(self) -> dict[str, object]:
        """The counters by name, for people."""
        return {
            "captured": self.captured,
            "stored": self.stored,
            "refused": dict(self.refused),
            "lost": dict(self.lost),
            "withheld": {KINDS[kind].name: count for kind, count in self.withheld.items()},
            "unrecorded": self.unrecorded,
            "sent": self.sent,
            "resent": self.resent,
            "ignored": dict(self.ignored),
        }
