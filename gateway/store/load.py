"""What a start reads from the database: the state that the machines go on with."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.core.records import Device, LinkRecord, Pairing, Session, StreamRecord
from gateway.ids import DeviceId, LinkId, SessionId
from gateway.store import queries
from gateway.store.db import Database
from gateway.store.queries import Head
from gateway.store.records import device_of, link_of, pairing_of


@dataclass(frozen=True, slots=True)
class LoadedState:
    """The state at a start.

    Args:
        devices: all, also revoked ones.
        pairings: codes that are not forgotten.
        sessions: those that are not over.
        links: those that carried something lately, also ended ones.
        streams: those of `sessions`.
        withdrawn: sessions that are over by a withdrawal, of links that are not.
        next_link, next_device: smallest numbers never given.
        next_batch: number of the next batch, from 1.
        boot: number of the newest start that the database knows; 0 for none. The mark may know a newer one.
        head: of our log, as committed.
        vault_tail: (segment, offset) behind the last part that a row names.
    """

    devices: list[Device]
    pairings: list[Pairing]
    sessions: list[Session]
    links: list[LinkRecord]
    streams: list[StreamRecord]
    withdrawn: list[SessionId]
    next_link: LinkId
    next_device: DeviceId
    next_batch: int
    boot: int
    head: Head
    vault_tail: tuple[int, int]


async def load_state(db: Database, kept_since_ms: int = 0) -> LoadedState:
    """Read the state; closed sessions, their streams, and links that were idle for too long stay on disk.

    Args:
        db: open.
        kept_since_ms: UTC; links that carried nothing since then are left. Ended ones are read too: copies of their
            packets are still answered.

    Raises:
        SignatureError: `seal`, the device keys were wrapped under another store's key.
        Damage: `row`, `database`, `head_missing`.
        StoreError: `disk_io`.
    """
    secrets = db.secrets
    return LoadedState(
        devices=[device_of(row, secrets) for row in await db.rows(queries.DEVICES_SQL)],
        pairings=[pairing_of(row, secrets) for row in await db.rows(queries.PAIRINGS_SQL)],
        sessions=await db.session_rows(),
        links=[link_of(row, secrets) for row in await db.rows(queries.KEPT_LINKS_SQL, kept_since_ms)],
        streams=await db.ask(queries.STREAMS_TO_LOAD),
        withdrawn=await db.ask(queries.WITHDRAWN),
        next_link=LinkId((await db.ask(queries.NEXT_LINK))[0]),
        next_device=DeviceId((await db.ask(queries.NEXT_DEVICE))[0]),
        next_batch=(await db.ask(queries.NEXT_BATCH))[0],
        boot=int(await db.meta("boot") or 0),
        head=await db.head(),
        vault_tail=await db.vault_tail(),
    )
