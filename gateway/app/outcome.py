"""What became of every sample: what the devices captured against what the gateway stored, refused and missed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.app.rig import Rig
from gateway.wire import kinds

Sums = tuple[int, int, int, int]
"""Total, stored, refused, missing, in samples."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the samples; `captured = stored + refused + missing`, stream by stream, or it does not close.

    Args:
        captured: numbered by the devices; clock and info samples are among them.
        stored, refused, missing: as the gateway counts them.
        lost: what the devices know of what is missing, by cause: `overflow`, `link_gone`.
        open_streams: `(device, stream)` whose sum does not close.
        withheld: by kind: not captured, because the session does not permit the kind.
        unrecorded: offered while nothing was recorded.
        earlier: samples of earlier runs that were in a spool, and what became of them.
        packets, resends: sent by the devices.
        held: packets without a receipt at the end.
        seconds: from the first sample to the last receipt.
        sessions: ids of the sessions that the daemon was asked for.
    """

    captured: int
    stored: int
    refused: dict[str, int]
    missing: int
    lost: dict[str, int]
    open_streams: list[tuple[int, int]]
    withheld: dict[str, int]
    unrecorded: int
    earlier: dict[str, int]
    packets: int
    resends: int
    held: int
    seconds: float
    sessions: list[str]

    @property
    def closes(self) -> bool:
        """Whether every sample is accounted for."""
        total = self.stored + sum(self.refused.values()) + self.missing
        return not self.open_streams and not self.held and self.captured == total


def outcome(
    rigs: Sequence[Rig], rows: Iterable[dict[str, Any]] | None, seconds: float, sessions: list[str]
) -> Outcome:
    """Add up what the devices captured and what the gateway made of it.

    Args:
        rigs: after they drained.
        rows: streams of the daemon's `session.list`; None takes what the gateway told the devices.
        seconds: how long it took.
        sessions: ids.
    """
    captured = {
        (rig.key.device, stream): total
        for rig in rigs
        for stream, total in rig.device.totals().items()
        if total
    }
    accounts = [rig.device.account for rig in rigs]
    refused: Counter[str] = Counter()
    if rows is None:
        gateway = {(rig.key.device, stream): row for rig in rigs for stream, row in rig.totals.items()}
        for account in accounts:
            refused.update(account.refused)
    else:
        rows = list(rows)
        gateway = _by_stream(rows)
        for row in rows:
            refused.update(row["refused"])
    withheld: Counter[str] = Counter()
    for account in accounts:
        withheld.update({kinds.KINDS[kind].name: count for kind, count in account.withheld.items()})
    return Outcome(
        captured=sum(captured.values()),
        stored=sum(sums[1] for sums in gateway.values()),
        refused=dict(refused),
        missing=sum(sums[3] for sums in gateway.values()),
        lost=dict(sum((account.lost for account in accounts), Counter())),
        open_streams=unbalanced(captured, gateway),
        withheld=dict(withheld),
        unrecorded=sum(account.unrecorded for account in accounts),
        earlier=_earlier(rigs),
        packets=sum(account.sent for account in accounts),
        resends=sum(account.resent for account in accounts),
        held=sum(rig.device.links.held_packets for rig in rigs),
        seconds=round(seconds, 3),
        sessions=sessions,
    )


def _earlier(rigs: Sequence[Rig]) -> dict[str, int]:
    """What spools gave back, as the devices know it; empty when there was nothing."""
    accounts = [rig.device.earlier for rig in rigs if rig.device.earlier.captured]
    if not accounts:
        return {}
    return {
        "samples": sum(account.captured for account in accounts),
        "stored": sum(account.stored for account in accounts),
        "refused": sum(sum(account.refused.values()) for account in accounts),
        "lost": sum(sum(account.lost.values()) for account in accounts),
    }


def _by_stream(rows: Iterable[dict[str, Any]]) -> dict[tuple[int, int], Sums]:
    """Sums by device and stream; a device that was started again has a row for each run."""
    sums: dict[tuple[int, int], Sums] = {}
    for row in rows:
        total, stored, refused, missing = sums.get((row["device"], row["stream"]), (0, 0, 0, 0))
        sums[row["device"], row["stream"]] = (
            total + row["total"],
            stored + row["stored"],
            refused + sum(row["refused"].values()),
            missing + row["missing"],
        )
    return sums


def unbalanced(
    captured: dict[tuple[int, int], int], gateway: dict[tuple[int, int], Sums]
) -> list[tuple[int, int]]:
    """Streams whose sum does not close.

    Args:
        captured: samples by device and stream, as the devices numbered them.
        gateway: what the gateway says of each.

    Returns:
        `(device, stream)` where totals differ, or `total = stored + refused + missing` does not hold.
    """
    found = []
    for key in sorted(captured.keys() | gateway.keys()):
        total, *parts = gateway.get(key, (0, 0, 0, 0))
        if total != captured.get(key, 0) or total != sum(parts):
            found.append(key)
    return found
