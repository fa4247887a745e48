"""The newest head of our own log that anybody holds, and whether what is here leads to it.

Guards two rules: nothing is ever signed below that head, and a head that what is here does not lead to is never
followed, but kept as evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.app.guard import Answer, Forked, Get, GuardReport, Source, ask_witnesses, opened
from gateway.app.refetch import Refetch
from gateway.entries.envelope import decode_entry
from gateway.errors import StoreError, StoreRefused, WireError
from gateway.keys.did import did_key
from gateway.keys.sign import SigningKey
from gateway.store.mark import MarkValue
from gateway.store.queries import Head
from gateway.tlog.checkpoint import Checkpoint
from gateway.tlog.fork import Fork
from gateway.tlog.note import VerifierKey
from gateway.tlog.tiles import TileReader, root_from_tiles


@dataclass(frozen=True, slots=True)
class Here:
    """Our log as it is here.

    Args:
        head: as committed.
        reader: its tiles.
        mark: what was signed as far as the mark says; None without one.
        signed: the newest of our own notes that is on record; empty for none.
    """

    head: Head
    reader: TileReader
    mark: MarkValue | None = None
    signed: bytes = b""


@dataclass(frozen=True, slots=True)
class Newest:
    """What was found.

    Args:
        report: who was asked, and what they said.
        head: the largest that is known, here or elsewhere.
        note: signed, where somebody else holds it; else empty.
        refetch: gives what is missing here; None where nothing is.
    """

    report: GuardReport
    head: Checkpoint
    note: bytes = b""
    refetch: Refetch | None = None


async def find_newest(
    origin: str, vkeys: Sequence[VerifierKey], here: Here, sources: Sequence[Source], get: Get
) -> Newest:
    """Ask everybody, and check that all of it is one history.

    Args:
        origin, vkeys, sources, get: as `guard.ask_witnesses`.
        here: our log as it is here.

    Raises:
        Forked: it is not.
        StoreError: `no_witness`, nobody gave an answer.
        StoreRefused: `mirrors_behind`, more was signed than anybody has.
        Unreachable: `log_incomplete`, nobody has the tiles that would show it.
    """
    report = await ask_witnesses(origin, vkeys, here.head, here.reader, sources, get, here.signed)
    if isinstance(report.refusal, Forked):
        raise report.refusal
    if not report.reached:
        raise StoreError(
            "no_witness",
            "nobody who could hold this log gave an answer",
            "Name mirrors with --from URL, or make peers reachable.",
        )
    best = next((answer for answer in report.heads if answer.word == "ahead"), None)
    if best is None or best.head is None:
        found = Newest(report, Checkpoint(origin, here.head.size, here.head.root))
    else:
        found = Newest(report, best.head, best.note, Refetch(report.heads, best.head, get))
        await _check(vkeys, here, found, report.heads)
    own = opened(here.signed, vkeys)
    for said in (here.mark, own):
        if said is None or said.size > here.head.size:
            continue
        if root_from_tiles(here.reader, said.size) != said.root:
            raise Forked(f"at {said.size} entries another root was signed than the one that is here")
    signed = max(here.mark.size if here.mark else 0, own.size if own else 0)
    if signed > found.head.size:
        raise StoreRefused(
            "mirrors_behind",
            f"{signed} entries were signed, and nobody who was asked has more than {found.head.size}",
            "Name more mirrors with --from. If nobody has the rest, begin a new log with `vestibule ledger "
            "new-generation`.",
        )
    return found


async def _check(vkeys: Sequence[VerifierKey], here: Here, found: Newest, held: Sequence[Answer]) -> None:
    refetch, top = found.refetch, found.head
    assert refetch is not None
    # Notes first: only of what was signed evidence can be made.
    notes = [(answer.head, answer.note) for answer in held if answer.head is not None]
    if (own := opened(here.signed, vkeys)) is not None:
        notes.append((own, here.signed))
    for head, note in notes:
        if head.size <= top.size:
            root, proof = await refetch.root_at(head.size)
            if root != head.root:
                raise Forked(
                    f"{head.size} entries were signed with two roots",
                    Fork(note, found.note, root, tuple(proof)),
                )
    if here.mark is not None and here.mark.size <= top.size:
        root, _ = await refetch.root_at(here.mark.size)
        if root != here.mark.root:
            raise Forked(f"at {here.mark.size} entries another root was signed here than the others have")
    root, _ = await refetch.root_at(here.head.size)
    if root != here.head.root:
        raise Forked(f"what others have does not continue the {here.head.size} entries that are here")


async def require_entry_key(found: Newest, last: bytes | None, entry: SigningKey) -> None:
    """Refuse an entry key that the log has rotated away from: what it signs would not verify.

    Args:
        found: where the log goes on.
        last: leaf data of the last entry that is here, None for an empty log.
        entry: the key that is here.

    Raises:
        StoreRefused: `key_outdated`.
        Unreachable: `log_incomplete`.
    """
    if found.refetch is not None:
        last = await found.refetch.last()
    if last is None:
        return
    try:
        body = decode_entry(last).body
    except WireError:
        return  # of no release that is known here; what it is, `verify` says
    rotated = body.get("type") == "key.rotate" and body.get("role") == "entry"
    if body.get("new" if rotated else "gateway") != did_key(entry.public):
        raise StoreRefused(
            "key_outdated",
            "the entry key that is here is not the one with which this log goes on: it was rotated since",
            "Take the newest escrow. If there is none, begin a new log with `vestibule ledger new-generation`.",
        )
