"""Evidence that is kept in peers.db: shown with the daemon and without it, and taken in from whoever brings it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.core.gossip_events import ForkFound
from gateway.errors import LocalError
from gateway.store.peer_rows import StoredFork
from gateway.store.peer_snapshot import PeerSnapshot
from gateway.tlog.checkpoint import parse_checkpoint
from gateway.tlog.cosigned import bare_fork
from gateway.tlog.fork import fork_id, parse_fork, verify_fork
from gateway.tlog.note import parse_note

if TYPE_CHECKING:
    from gateway.app.federation import Federation

Row = dict[str, Any]


def rows(stored: Iterable[StoredFork]) -> list[Row]:
    """Evidence for people and programs, in the order it comes."""
    return [_row(one) for one in stored]


def kept(path: Path) -> list[Row]:
    """All evidence of a peers.db, oldest first, with or without a daemon beside it.

    Args:
        path: `Layout.peers`.

    Raises:
        StoreRefused, StoreError, Damage: as `PeerSnapshot`.
    """
    with PeerSnapshot(path) as peers:
        return rows(peers.forks())


async def take(federation: Federation, raw: bytes, *, dry_run: bool) -> Row:
    """Take in evidence that somebody brings: keep it, freeze the log, tell all peers.

    Args:
        federation: ours.
        raw: the evidence; it may come from anybody.
        dry_run: check it, and change nothing.

    Returns:
        `id` of what is kept, `origin`, `ours`: whether it is our own log, and `known`: whether that log was frozen here
        before.

    Raises:
        ProofError, SignatureError: it shows nothing.
        LocalError: `evidence_log`, it is no log of a federation that we are in.
        StoreError: as `Steps.step`.
    """
    fork = parse_fork(raw)
    origin = parse_checkpoint(parse_note(fork.b).text).origin
    log, membership = federation.machines.logs.of(origin), federation.membership
    listed = membership.roster is not None and membership.roster.of_origin(origin) is not None
    if log is None or not listed or membership.us is None:
        raise LocalError(
            "evidence_log",
            f"this gateway is in no federation with a log {origin}",
            "Evidence is taken in against members' logs: `vestibule peer list` shows them.",
        )
    verify_fork(fork, *log.vkeys)
    # Of its notes the log's signatures are kept, nothing else; and of a log that is frozen here what was kept first.
    keeps = log.fork or bare_fork(fork, log.vkeys)
    found = {"id": fork_id(keeps).hex(), "origin": origin, "ours": log.ours, "known": log.frozen}
    if not dry_run:
        await federation.machines.steps.step(ForkFound(origin, fork))
    return found


def _row(stored: StoredFork) -> Row:
    fork = parse_fork(stored.data)
    a, b = (parse_checkpoint(parse_note(note).text) for note in (fork.a, fork.b))
    return {
        "id": stored.id.hex(),
        "origin": stored.origin,
        "size_a": a.size,
        "size_b": b.size,
        "seen_ms": stored.seen_ms,
        "raw": stored.data.decode(),
    }
