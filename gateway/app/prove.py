"""`prove` through the daemon and the door: one frame with everything that ties it to the signed log (hop 7).

A proof shows a frame, so `decide` is asked, and the `access` entry is durable before the first byte leaves, also when
the answer was no.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from gateway import events
from gateway.app.evidence import find_sample, prove_frame
from gateway.app.house import House
from gateway.app.spine import Spine
from gateway.app.startup import Store
from gateway.core.records import PartRow, Session
from gateway.core.sessions import committed_text
from gateway.entries.envelope import Body, b64u
from gateway.entries.types import SALT_BYTES, access_body
from gateway.errors import Denied, LocalError
from gateway.ids import SessionId
from gateway.net.control import Caller
from gateway.rights.door import Door
from gateway.store.snapshot import Snapshot

OP = "prove"


async def prove(
    args: dict[str, Any],
    caller: Caller,
    spine: Spine,
    house: House,
    store: Store,
    door: Door,
    confirmed: Callable[[], tuple[int, bytes]] = lambda: (0, b""),
) -> dict[str, Any]:
    """Answer a `prove` request.

    Args:
        args: `session`, `stream`, `sample` and, where they are not the only ones, `device` and `run` (hexadecimal);
            or `batch`, `part`, `frame`.
        caller: who asks.
        confirmed: size and note of the newest checkpoint that a quorum cosigned; 0 and nothing without one.

    Returns:
        The proof document.

    Raises:
        Denied: the actor may not see this subject's frames; the refusal is an entry too.
        LocalError: there is no such frame.
    """
    session, row = await _wanted(args, store)
    purpose = str(args.get("purpose") or session.purpose)

    def decided(now_ns: int, now_ms: int) -> bool:
        permit = door.decide(caller.names, OP, session.subject, session.kinds, purpose, now_ns)
        text: Body = {
            "actor": caller.names[0],
            "op": OP,
            "session": b64u(session.session),
            "purpose": purpose,
            "reason": permit.reason,
        }
        salt = house.registry.random(SALT_BYTES)
        key = store.subjects.key(session.subject)
        sealed, commit = committed_text(key, session.subject, text, salt)
        house.registry.staged.texts.append(sealed)
        spine.enter([access_body(house.ledger.gateway, now_ms, commit, OP, permit.allowed)], [])
        return permit.allowed

    allowed = await spine.ask(decided)
    house.observer.emit(events.AccessDecided("prove", allowed))
    if not allowed:
        raise Denied(
            "actor_not_named",
            f"{caller.names[0]} may not see frames of this store",
            f'Add it to [access] actors in the configuration: "{caller.names[0]}" = ["prove"].',
        )
    # Both before the database is looked at in `_build`: a head beyond that view could not be proven from it.
    return await asyncio.to_thread(_build, args, session, row, store, house.checkpoint, *confirmed())


def _build(
    args: dict[str, Any],
    session: Session,
    row: PartRow | None,
    store: Store,
    newest: bytes,
    confirmed_size: int,
    confirmed: bytes,
) -> dict[str, Any]:
    key = store.subjects.key(session.subject)
    with Snapshot(store.layout.database) as snapshot:
        if row is None:
            run = args.get("run")
            row, frame = find_sample(
                snapshot,
                store.vault,
                key,
                session.session,
                int(args["stream"]),
                int(args["sample"]),
                device=args.get("device"),
                run=int(run, 16) if isinstance(run, str) else None,
            )
        else:
            frame = int(args["frame"])
        batch = snapshot.batch(row.batch)
        holds = batch is not None and batch.entry < confirmed_size
        return prove_frame(snapshot, store.vault, key, row, frame, confirmed if holds else newest)


async def _wanted(args: dict[str, Any], store: Store) -> tuple[Session, PartRow | None]:
    row: PartRow | None = None
    if isinstance(args.get("batch"), int):
        parts = await store.db.parts_of(args["batch"])
        part = args.get("part", 0)
        if not isinstance(part, int) or not 0 <= part < len(parts) or not isinstance(args.get("frame"), int):
            raise LocalError(
                "prove", "there is no such batch, part or frame", "See `vestibule session list`."
            )
        row = parts[part]
        wanted = row.session
    else:
        try:
            wanted = SessionId(bytes.fromhex(str(args.get("session", ""))))
        except ValueError:
            wanted = SessionId(b"")
        if not isinstance(args.get("stream"), int) or not isinstance(args.get("sample"), int):
            raise LocalError(
                "prove", "name a sample by session, stream and number", "See `vestibule prove --help`."
            )
    session = await store.db.session(wanted)
    if session is None:
        raise LocalError("prove", "there is no such session", "See `vestibule session list --all`.")
    return session, row
