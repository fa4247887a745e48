"""Brings entries of our own log back into its database, and makes a store of it that may sign again.

Guards the order: what is fetched is written in transactions under the file `unfinished`, the entry that tells of it
comes last, then the mark, and only then goes the file; so whatever interrupts it, nothing is signed below the newest
head, and the same verb goes on. Parts of what comes back are not here: the entry names the range (docs/operator.md).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

from gateway.app.membership import ENTERED
from gateway.app.newest import Newest
from gateway.app.report import Progress
from gateway.app.startup import BOOT_MAX
from gateway.core.follow import KeepRoster
from gateway.core.ledger import Ledger, Plan
from gateway.core.records import SESSION_OVER, BatchRow, Session, Writes
from gateway.core.roster import SignedRoster, parse_roster
from gateway.core.sessions import WITHDRAWING
from gateway.entries.envelope import Body, b64u, canonical, decode_entry, object_hash, unb64u
from gateway.entries.types import OBJECT_BYTES, adopt_body, check_body, restore_body
from gateway.errors import Damage, Denied, LocalError, StoreRefused, WireError
from gateway.store import queries, unfinished
from gateway.store.aside import set_aside
from gateway.store.db import Database
from gateway.store.keyfiles import KeyRing
from gateway.store.layout import Layout
from gateway.store.mark import Mark
from gateway.store.peers import PeerStore
from gateway.store.subjects import Subjects

CHUNK_ENTRIES: Final = 4096
CHUNK_BYTES: Final = 16 << 20
"""What one transaction holds at most, but for the bundle with which it is reached."""


@dataclass(slots=True)
class Regained:
    """What was done.

    Args:
        first, size: entries `first` to `size - 1` came back.
        root: of the log now, with the entry that tells of it; total: its size.
        lost: how many batches are in them: their recordings were on the lost disk.
        links: how many were ended; their devices make new ones.
        ended: sessions that are over or take nothing more, since they ended in what came back or have no key here.
        aside: bytes behind the last part that is known, which were kept in `vault.lost`.
        roster: version of the roster that the log brought back, with the store's place among peers; 0 for none.
        checkpoint: signed, of the head now.
    """

    first: int = 0
    size: int = 0
    total: int = 0
    root: bytes = b""
    lost: int = 0
    links: int = 0
    ended: int = 0
    aside: int = 0
    roster: int = 0
    checkpoint: bytes = b""


@dataclass(slots=True)
class Fold:
    """What entries that come back mean for the rows of the database.

    Args:
        sessions: those that are here, by the name that they have in entries.
    """

    sessions: dict[str, Session]
    lost: list[BatchRow] = field(default_factory=list)
    changed: dict[str, Session] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)

    def apply(self, index: int, data: bytes) -> None:
        """Take one entry in."""
        try:
            body = decode_entry(data).body
            kind = check_body(body)
        except WireError:
            return  # our key signed it; what is wrong with it, `verify` says
        if kind == "batch":
            self.lost.append(_batch(index, body))
        elif kind == "session" and (session := self.sessions.get(str(body["object"]))) is not None:
            session.seq, session.prev = int(str(body["seq"])) + 1, object_hash(body)
            self.changed[str(body["object"])] = session
            if session.state in SESSION_OVER:
                return
            self.ended.add(str(body["object"]))
            if body["event"] == "close":
                session.state = "closed"
            else:
                # It drains. Whether consent was withdrawn stood in a text that is gone: so no more of it is stored.
                session.state, session.closed_ms = WITHDRAWING, int(str(body["at_ms"]))

    def take(self) -> tuple[list[BatchRow], list[Session]]:
        """Rows to write since the last time."""
        taken = self.lost, list(self.changed.values())
        self.lost, self.changed = [], {}
        return taken


async def regain(
    layout: Layout,
    keys: KeyRing,
    db: Database,
    ledger: Ledger,
    mark: Mark | None,
    found: Newest,
    verb: str,
    reason: str,
    progress: Progress = lambda what, done, total: None,
) -> Regained:
    """Fetch what is missing, and finish the store. The caller holds the lock, and has asked the operator.

    Args:
        layout, keys: of the store; subject keys that are not there are made an empty file of.
        db: open for writing.
        ledger: at its head.
        mark: open; None makes a new one.
        found: where to go to, and how.
        verb: of `unfinished`, that is at work.
        reason: a word for the entry.
        progress: told `("entries", done, total)`.

    Raises:
        StoreRefused: `unfinished`, another verb was interrupted here; `boot`.
        Unreachable: `log_incomplete`; what was fetched stays, and the verb goes on there.
        StoreError: `disk_full`, `disk_io`.
    """
    begun = unfinished.begin(layout, verb, ledger.size)
    fold = Fold({_name(session): session for session in await db.session_rows(all=True)})
    done = Regained(begun.first, found.head.size)
    await _fetch(db, ledger, found, fold, progress)
    done.ended = len(fold.ended) + await _end_without_key(layout, keys, db)
    # Of all runs, if one was interrupted.
    done.lost = int((await db.rows("SELECT count(*) FROM batches WHERE entry >= ?", begun.first))[0][0])
    if begun.first < ledger.size:
        # The next start would cut off what no row names, and here rows are what is lost.
        done.aside = set_aside(layout, await db.vault_tail())
    done.links = await db.kill_links()
    boot = max(int(await db.meta("boot") or 0), mark.value.boot if mark else 0) + 1
    if boot > BOOT_MAX:
        raise StoreRefused("boot", "the store was started 65,535 times", "Begin a new log.")
    if not await _told(db, ledger, begun.first):
        now_ms = time.time_ns() // 1_000_000
        if begun.first < ledger.size:
            body = restore_body(ledger.gateway, now_ms, begun.first, ledger.size, ledger.root, reason)
        else:
            body = adopt_body(ledger.gateway, now_ms, ledger.size, ledger.root, reason)
        plan = ledger.plan([body])
        await db.commit(_writes(plan, Writes(boot=boot)))
        ledger.advance(plan)
    if mark is None:
        mark = Mark.create(layout.mark, ledger.size, ledger.root, boot)
    else:
        mark.advance(ledger.size, ledger.root, boot)
        if mark.made_here() is not None:
            mark.rewrite()
    mark.close()
    done.roster = await rejoin(layout, db)
    unfinished.end(layout)
    done.total, done.root, done.checkpoint = ledger.size, ledger.root, ledger.checkpoint()
    return done


async def _fetch(db: Database, ledger: Ledger, found: Newest, fold: Fold, progress: Progress) -> None:
    if found.refetch is None:
        return
    waiting: list[bytes] = []
    waiting_bytes = 0
    async for entries in found.refetch.entries(ledger.size):
        waiting += entries
        waiting_bytes += sum(map(len, entries))
        if len(waiting) >= CHUNK_ENTRIES or waiting_bytes >= CHUNK_BYTES:
            await _append(db, ledger, waiting, fold)
            waiting, waiting_bytes = [], 0
            progress("entries", ledger.size, found.head.size)
    if waiting:
        await _append(db, ledger, waiting, fold)
    progress("entries", ledger.size, found.head.size)
    if (ledger.size, ledger.root) != (found.head.size, found.head.root):
        # Each bundle was verified under the head, and what was here before too: this is a fault of ours.
        raise Damage("root", "the entries that came back do not have the root of their head")


async def _append(db: Database, ledger: Ledger, entries: list[bytes], fold: Fold) -> None:
    for index, data in enumerate(entries, ledger.size):
        fold.apply(index, data)
    lost, sessions = fold.take()
    plan = ledger.plan_again(entries)
    # Nothing is signed before all of it is here, so this is no commit of a cycle: the mark stays where it is.
    await db.commit(_writes(plan, Writes(lost=lost, sessions=sessions)))
    ledger.advance(plan)


async def _end_without_key(layout: Layout, keys: KeyRing, db: Database) -> int:
    """End sessions whose subject's key is not here: nothing of them could be sealed. Returns how many."""
    subjects = Subjects(layout.subjects, keys.master, keys.old_master, create=True)
    try:
        gone = [session for session in await db.session_rows() if not _has_key(subjects, session)]
    finally:
        subjects.close()
    for session in gone:
        session.state = "closed"
    if gone:
        await db.commit(Writes(sessions=gone))
    return len(gone)


async def rejoin(layout: Layout, db: Database) -> int:
    """Where what was known of peers is lost, take the roster from our own log, in which every version is an entry.

    Returns:
        Its newest version; 0 where none is, or where one is known.
    """
    found: dict[int, SignedRoster] = {}
    for _, data in await db.ask(queries.ENTRIES_WITH, b'"type":"roster"'):
        try:
            body = decode_entry(data).body
            if check_body(body) != "roster" or not isinstance(document := body["roster"], dict):
                continue
            signed = parse_roster(canonical(document))
        except (WireError, LocalError):
            continue
        if any(other.roster.federation != signed.roster.federation for other in found.values()):
            found = {}  # it left one federation for another
        found[signed.roster.version] = signed
    if not found:
        return 0
    store = await PeerStore.open(layout.peers, create=True)
    try:
        if await store.rosters():
            return 0
        await store.keep([KeepRoster(version, found[version].raw) for version in sorted(found)])
        await store.set_meta(ENTERED, str(max(found)))
    finally:
        await store.close()
    return max(found)


def _has_key(subjects: Subjects, session: Session) -> bool:
    try:
        subjects.key(session.subject)
    except (Denied, Damage):
        return False
    return True


async def _told(db: Database, ledger: Ledger, first: int) -> bool:
    """Whether the entry that tells of it is there already, from a run that was interrupted behind it."""
    last = await db.entry(ledger.size - 1) if ledger.size else None
    if last is None:
        return False
    try:
        body = decode_entry(last).body
    except WireError:
        return False
    if body.get("type") == "log.restore":
        return (body.get("first"), body.get("size")) == (first, ledger.size - 1)
    return body.get("type") == "log.adopt" and body.get("size") == ledger.size - 1 == first


def _writes(plan: Plan, writes: Writes) -> Writes:
    writes.entries = plan.entries
    writes.tiles = [(tile.level, tile.n, tile.data) for tile in plan.tiles]
    writes.head = plan.head
    return writes


def _batch(index: int, body: Body) -> BatchRow:
    number, parts, frames, samples, opened_s, sealed_s = (
        int(str(body[name])) for name in ("batch", "parts", "frames", "samples", "opened_s", "sealed_s")
    )
    return BatchRow(number, index, unb64u(str(body["root"])), parts, frames, samples, opened_s, sealed_s)


def _name(session: Session) -> str:
    return b64u(session.commitment[:OBJECT_BYTES])
