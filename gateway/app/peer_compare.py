"""What `peer compare` shows: the head that each peer has of each log, held against ours. Decides nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from gateway.app.federation import Federation
from gateway.app.peer_steps import Steps
from gateway.core.follow import Followed
from gateway.core.member import Member
from gateway.errors import RemoteError, Unreachable
from gateway.tlog.checkpoint import Checkpoint, open_checkpoint, origin_hash
from gateway.tlog.note import MAX_NOTE_BYTES
from gateway.tlog.text import encode_base64

Row = dict[str, Any]

AWAY: Final = ("peer_away", "peer_hung_up")
NO_HEAD: Final = "no_head"
AHEAD: Final = "ahead"
OWN_AHEAD: Final = "own_ahead"
UNREADABLE: Final = "unreadable"
CATCH_UP_S: Final = 2.0
LOOK_S: Final = 0.05


class Said(NamedTuple):
    """What a peer answered when it was asked for a log's head."""

    name: str
    at_ms: int
    head: Checkpoint | None
    """None where there is none; `why` says why."""
    why: str


async def compare(federation: Federation, name: str = "") -> list[Row]:
    """Ask every peer for every log's head, and hold it against ours.

    Args:
        federation: ours.
        name: of the one member whose log is looked at; empty for all.
    """
    roster = federation.membership.roster
    named = roster.member(name) if roster and name else None
    logs = [
        log
        for log in federation.machines.logs
        if log.data and (not name or (named is not None and log.origin == named.origin))
    ]
    others = list(federation.membership.others)
    told = await asyncio.gather(*(_heads_at(federation, peer, logs) for peer in others))
    steps = federation.machines.steps
    await caught_up(logs, told)
    await steps.step()  # follows our own log up to its newest head
    return [
        {
            "origin": log.origin,
            "size": log.size,
            "root": encode_base64(log.root),
            "frozen": log.frozen,
            "peers": [await judged(steps, log, rows[at]) for rows in told],
        }
        for at, log in enumerate(logs)
    ]


async def _heads_at(federation: Federation, peer: Member, logs: Sequence[Followed]) -> list[Said]:
    """What one peer says of each log; one that is away is waited for once."""
    said: list[Said] = []
    away = ""
    for log in logs:
        one = Said(peer.name, _now_ms(), None, away) if away else await _head_at(federation, peer, log)
        if one.why in AWAY:
            away = one.why
        said.append(one)
    return said


async def _head_at(federation: Federation, peer: Member, log: Followed) -> Said:
    at_ms = _now_ms()
    try:
        note = await federation.machines.get(
            peer.url, f"{origin_hash(log.origin)}/checkpoint", MAX_NOTE_BYTES
        )
        head = open_checkpoint(note, *log.vkeys) if note else None
    except (Unreachable, RemoteError) as error:
        return Said(peer.name, at_ms, None, error.code)
    return Said(peer.name, at_ms, head, "" if head else NO_HEAD)


async def caught_up(logs: Sequence[Followed], told: Sequence[Sequence[Said]]) -> None:
    """Wait a moment for the copies of logs whose newer head a peer has already: logs grow while they are compared.

    Args:
        logs: what is compared. Our own, and one that is frozen, are not waited for.
        told: by each peer, of each log.
    """
    newest = [
        (log, max((head.size for rows in told if (head := rows[at].head)), default=0))
        for at, log in enumerate(logs)
    ]
    until = time.monotonic() + CATCH_UP_S
    while time.monotonic() < until and any(
        log.mirrored and not log.frozen and size > log.whole_size for log, size in newest
    ):
        await asyncio.sleep(LOOK_S)


async def judged(steps: Steps, log: Followed, said: Said) -> Row:
    """What a peer said of a log, held against what is here.

    Raises:
        StoreError: as `Steps.step`.
    """
    head = said.head
    row: Row = {
        "name": said.name,
        "size": 0,
        "root": "",
        "agrees": None,
        "at_ms": said.at_ms,
        "why": said.why,
    }
    if head is None:
        return row
    row |= {"size": head.size, "root": encode_base64(head.root)}
    if log.ours and head.size > log.tree.size:
        # Our key signed what our log does not have: there is a second copy of it.
        return row | {"agrees": False, "why": OWN_AHEAD}
    if log.mirrored and head.size > log.whole_size:
        return row | {"why": AHEAD}
    mine = await steps.root_at(log, head.size)
    return row | ({"why": UNREADABLE} if mine is None else {"agrees": mine == head.root})


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
