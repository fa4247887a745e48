"""Verbs of the control socket about sessions: open, close, withdraw, list."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from gateway import events
from gateway.app import status
from gateway.app.house import House
from gateway.app.requests import Args, text
from gateway.app.spine import Spine
from gateway.app.startup import Store
from gateway.core.records import Session
from gateway.core.sessions import WITHDRAWN, Opening
from gateway.errors import Denied, LocalError
from gateway.ids import DeviceId, SubjectRef
from gateway.net.control import Caller
from gateway.store import queries
from gateway.wire import kinds

Rows = list[Args]

MAX_PSEUDONYM_BYTES: Final = 128
ERASED: Final = "(erased)"


class SessionVerbs:
    """Answers requests about sessions.

    Args:
        spine, house, store: the running daemon.
        proof: index of an entry -> how far it is proven to others; empty where nobody could confirm it.
    """

    def __init__(self, spine: Spine, house: House, store: Store, proof: Callable[[int], str]) -> None:
        self._spine = spine
        self._house = house
        self._store = store
        self._proof = proof

    async def open(self, args: Args, caller: Caller) -> Args:
        """Open one; a new subject's key is made first."""
        names = args.get("kinds", [])
        unknown = [name for name in names if name not in kinds.KIND_BY_NAME]
        if unknown or not isinstance(names, list):
            raise LocalError(
                "session", f"unknown kind {unknown[:1]}", f"Known kinds: {', '.join(kinds.KIND_BY_NAME)}."
            )
        pseudonym = text(args, "subject", MAX_PSEUDONYM_BYTES)
        asked = Opening(
            devices=tuple(DeviceId(number) for number in args.get("devices", []) if isinstance(number, int)),
            subject=SubjectRef(b""),
            pseudonym=pseudonym,
            purpose=text(args, "purpose", 128),
            kinds=tuple(kinds.KIND_BY_NAME[name].number for name in names),
            actor=caller.names[0],
        )
        # Whether it can be opened is asked first, so that no subject key is made for nothing.
        self._house.sessions.check(asked)
        subject = await asyncio.to_thread(self._subject, pseudonym)

        def work(now_ns: int, now_ms: int) -> Session:
            opening = Opening(asked.devices, subject, pseudonym, asked.purpose, asked.kinds, asked.actor)
            session, effects = self._house.sessions.open(opening, now_ns, now_ms)
            self._house.recording.changed()
            self._spine.enter([], effects)
            return session

        session = await self._spine.ask(work)
        self._house.observer.emit(events.SessionOpened())
        return {"session": session.session.hex(), "commitment": session.commitment.hex()}

    def _subject(self, pseudonym: str) -> SubjectRef:
        """The subject's reference; a new subject's key is durable before it is used."""
        subjects = self._store.subjects
        ref = subjects.find(pseudonym)
        if ref is None:
            ref = SubjectRef(self._house.registry.random(16))
            subjects.create(ref, pseudonym, self._house.registry.random(32))
        return ref

    async def close(self, args: Args, caller: Caller) -> Args:
        """Close one: `{"session", "now"}`, or `{"session", "withdrawn"}`: nothing more of it is stored from then on."""
        wanted = text(args, "session", 32)
        reason = WITHDRAWN if args.get("withdrawn") else "closed"

        def work(now_ns: int, now_ms: int) -> Session:
            found = [
                session
                for session in self._house.registry.sessions.values()
                if session.session.hex().startswith(wanted)
            ]
            if len(found) != 1:
                raise LocalError(
                    "session",
                    f"{len(found) or 'no'} open sessions begin with {wanted}",
                    "See `vestibule session list`.",
                )
            effects = self._house.sessions.close(
                found[0], caller.names[0], reason, bool(args.get("now")), now_ns, now_ms
            )
            self._house.recording.changed()
            self._spine.enter([], effects)
            return found[0]

        session = await self._spine.ask(work)
        withdrawn = reason == WITHDRAWN
        self._house.observer.emit(events.SessionWithdrawn() if withdrawn else events.SessionDraining())
        return {"session": session.session.hex(), "state": session.state}

    async def list(self, args: Args, caller: Caller) -> Args:
        """Sessions that are not closed; with `all` every one."""
        rows = await self.rows()
        if args.get("all"):
            here = {row["session"] for row in rows}
            for session in await self._store.db.session_rows(all=True):
                if session.session.hex() not in here:
                    rows.append(await self._row(session))
        return {"sessions": sorted(rows, key=lambda row: row["opened_ms"])}

    async def rows(self) -> Rows:
        """Rows of the sessions that are not closed."""
        return [await self._row(session) for session in list(self._house.registry.sessions.values())]

    async def _row(self, session: Session) -> Args:
        # From the disk: `stored` says what is durable, and nothing that a commit has still to make so.
        streams = await self._store.db.streams_of(session.session)
        row = status.session(session, streams, self._pseudonym(session.subject))
        entries = await self._store.db.ask(queries.LAST_ENTRY_OF_SESSION, session.session)
        return {**row, "proof": self._proof(entries[0]) if entries else ""}

    def _pseudonym(self, subject: SubjectRef) -> str:
        try:
            return self._store.subjects.pseudonym(subject)
        except Denied:
            # The session stays in the log and in the sums; whose it was is gone with the subject's key.
            return ERASED
