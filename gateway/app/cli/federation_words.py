"""What somebody should look at in the federation: in words, with the next step."""

from __future__ import annotations

from typing import Final

from gateway.app.cli import output
from gateway.app.cli.replies import PeersRow

PATIENCE_MS: Final = 60_000
"""Peers that restart are back sooner; after this somebody may want to look."""


def attention(peers: PeersRow) -> list[tuple[str, str]]:
    """(what is so, what to do), the gravest first."""
    if not peers.enabled:
        return []
    found = [
        (
            f"the log {output.clean(origin)} contradicts itself, and is trusted no longer",
            "`vestibule peer evidence` shows how; docs/federation.md says what to do.",
        )
        for origin in peers.frozen
    ]
    if peers.down:
        found.append(
            (
                "the file peers.db cannot be used, so peers are not answered; recording goes on",
                "Check the disk (`dmesg`, SMART); it is tried again every few seconds.",
            )
        )
    if peers.removed_in:
        found.append(
            (
                f"version {peers.removed_in} of the roster lists this gateway no longer: no peer answers it",
                "Ask whoever keeps the roster. Recording goes on; nothing is confirmed any more.",
            )
        )
    elif peers.waiting_for:
        found.append(
            (
                "this gateway is not in the roster of the federation that was accepted",
                "Give your card (`vestibule peer invite`) to whoever keeps the roster.",
            )
        )
    elif not peers.member:
        found.append(
            (
                "this gateway is in no federation, although [peers] is enabled",
                "Begin one with `vestibule peer init`, or accept the card of a member with `vestibule peer accept`.",
            )
        )
    if peers.removed_in:
        return found
    if peers.members and not peers.alive:
        found.append(
            (
                "no peer answers",
                "See `vestibule peer list`; check the network, and that port and [peers] url are right.",
            )
        )
    elif peers.confirmed.active and peers.confirmed.lag_ms > PATIENCE_MS:
        waiting = output.span(peers.confirmed.lag_ms / 1000)
        found.append(
            (
                f"nothing was confirmed for {waiting}; recording goes on",
                "See which witnesses are missing with `vestibule peer list`.",
            )
        )
    return found
