"""Once a second: what peers brought and what was refused of it, as events, and as sums for `peer list`."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import Final

from gateway import events
from gateway.app.membership import Membership
from gateway.app.observe import Observer
from gateway.app.peer_machines import Machines
from gateway.app.peer_steps import Steps, Sums

REPORT_S: Final = 1.0

WORDS: Final[dict[str, events.PeerReason]] = {
    "peer_away": "network",
    "peer_hung_up": "network",
    "peer_status": "status",
    "peer_size": "too_large",
    "peer_encoding": "body",
    "peer_http": "body",
    "peer_tls": "tls",
    "peer_certificate": "tls",
    "peer_body": "body",
    "roster_signature": "roster",
    "roster_version": "roster",
    "roster_prev": "roster",
    "roster_federation": "roster",
    "fork": "evidence",
    "note_signature": "signature",
    "note_unknown": "signature",
    "note_format": "head",
    "note_size": "head",
    "checkpoint": "head",
    "checkpoint_origin": "head",
    "consistency": "proof",
    "head_proof": "proof",
    "head_entries": "entries",
    "head_contradicts": "head",
    "head_extensions": "head",
    "bundle": "entries",
    "tile": "entries",
}
"""Code of an error -> the word it is counted under, where that is another."""


class PeerReport:
    """Counts.

    Args:
        observer: takes events.
        membership: who is a peer.
    """

    def __init__(self, observer: Observer, membership: Membership) -> None:
        self.refused: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """Peer -> why something of it was refused -> how often, since the start."""
        self._emit = observer.emit
        self._membership = membership
        self._told = (-1, -1)

    async def run(self, machines: Machines) -> None:
        """Report until cancelled."""
        while True:
            await asyncio.sleep(REPORT_S)
            machines.look()
            self._report(machines.steps)

    def _report(self, steps: Steps) -> None:
        sums, steps.sums = steps.sums, Sums()
        if sums.heads:
            self._emit(events.HeadsAccepted(sums.heads))
        if sums.entries:
            self._emit(events.EntriesMirrored(sums.entries))
        if sums.cosigned:
            self._emit(events.CheckpointsCosigned(sums.cosigned))
        reasons: Counter[events.PeerReason] = Counter()
        for (peer, code), count in steps.refused.items():
            reasons[WORDS.get(code) or events.peer_reason(code)] += count
            self.refused[peer][code] += count
        steps.refused.clear()
        for reason, count in reasons.items():
            self._emit(events.PeersRefused(reason, count))
        members = self._membership.others
        alive = sum(is_alive(steps, member.name) for member in members)
        if self._told != (alive, len(members)):
            self._told = alive, len(members)
            self._emit(events.PeersReached(alive, len(members)))


def is_alive(steps: Steps, peer: str) -> bool:
    """Whether a peer was heard of, and answers as far as is known."""
    gossip = steps.gossip
    return gossip is not None and gossip.liveness.heard_ns(peer) is not None and gossip.liveness.answers(peer)
