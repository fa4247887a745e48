"""What `peer compare` shows: the head that each peer has of each log, held against ours. Decides nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from gateway.app.federation import Federation
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
    await _caught_up(federation, logs, told)
    return [
        {
            "origin": log.origin,
            "size": log.size,
            "root": encode_base64(log.root),
            "frozen": log.frozen,
            "peers": [_judged(federation, log, rows[at]) for rows in told],
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


async def _caught_up(
    federation: Federation, logs: Sequence[Followed], told: Sequence[Sequence[Said]]
) -> None:
    """Wait a moment for the copies of logs whose newer head a peer has already: logs grow while they are compared."""
    newest = [
        (log, max((head.size for rows in told if (head := rows[at].head)), default=0))
        for at, log in enumerate(logs)
        if not log.ours and not log.frozen
    ]
    until = time.monotonic() + CATCH_UP_S
    while any(size > log.whole_size for log, size in newest) and time.monotonic() < until:
        await asyncio.sleep(LOOK_S)


def _judged(federation: Federation, log: Followed, said: Said) -> Row:
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
    if head.size > (log.tree.size if log.ours else log.whole_size):
        return {**row, "why": AHEAD}
    mine = log.root_at(head.size, federation.machines.shelf_of(log.origin))
    return row if mine is None else {**row, "agrees": mine == head.root}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
