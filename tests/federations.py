"""A gateway's part in a federation over a real store, without a daemon; the others are rows of its roster."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from gateway.app import config as configuration
from gateway.app.export import LogReader
from gateway.app.federation import Federation
from gateway.app.init import init_store
from gateway.app.observe import Observer
from gateway.app.peer_house import House
from gateway.core.roster import Member, Roster, SignedRoster
from gateway.errors import StoreError
from gateway.keys.did import did_key
from gateway.net.peer_tls import certificate
from gateway.store.layout import Layout
from gateway.store.queries import Head
from tests import rosters
from tests.stores import ACTOR, NAME, ORIGIN, Gateway, open_gateway

HERE = NAME


class Station:
    """The store, what it asks of the house, and the federation. Made by `open`; `close` ends all.

    Args:
        gateway: the machines over the store; its `cycle` makes the log grow.
    """

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.entered: list[int] = []
        self.stopped: list[StoreError] = []
        self.note = b""
        keys = gateway.store.keys
        self.house = House(
            keys,
            keys.known_log_vkeys,
            self.newest,
            LogReader(gateway.store.db, lambda: self.note),
            self._enter,
            self.stopped.append,
        )
        layout = gateway.store.layout
        config = configuration.load(layout.config)
        self.config = replace(
            config, peers=replace(config.peers, enabled=True, listen="127.0.0.1:0", period_ms=100)
        )
        self.layout = layout
        self.observer = Observer("json", "error")
        self.federation: Federation

    @classmethod
    async def make(cls, path: Path) -> Station:
        """A new store with some entries, and a federation of nobody yet."""
        layout = Layout(path)
        await init_store(layout, ORIGIN, NAME, ACTOR)
        self = cls(await open_gateway(layout))
        self.gateway.open_session("P-1")
        await self.grow()
        await self.open()
        return self

    async def open(self) -> None:
        """Open the federation, as a start does."""
        self.federation = await Federation.open(self.layout, self.config, self.observer, self.house)

    async def shut(self) -> None:
        """End it; the store stays open."""
        await self.federation.stop()

    async def close(self) -> None:
        """End everything."""
        await self.shut()
        await self.gateway.store.close()

    async def grow(self) -> None:
        """Another entry of our log, committed and not signed yet."""
        self.gateway.open_session(f"P-{self.gateway.ledger.size + 2}")
        await self.gateway.cycle()

    def sign(self) -> None:
        """Sign the newest head, as the house does after a commit."""
        self.note = self.gateway.ledger.checkpoint()

    def newest(self) -> tuple[bytes, int, bytes]:
        """As `House.newest`."""
        ledger = self.gateway.ledger
        return self.note, ledger.size, ledger.root

    @property
    def head(self) -> Head:
        """As committed."""
        return Head(self.gateway.ledger.size, self.gateway.ledger.root)

    def member(self) -> Member:
        """Our own row."""
        keys = self.house.keys
        certs = (certificate(keys.tls, HERE),)
        url, did = "https://127.0.0.1:9", did_key(keys.entry.public)
        return Member(HERE, did, keys.log_vkeys, keys.witness_vkeys, url, certs, HERE)

    def first(self) -> Roster:
        """The first version: we alone."""
        return rosters.roster(self.member())

    def next(self, before: Roster, *names: str) -> Roster:
        """The version after one: we and these."""
        away = {"url": "https://127.0.0.1:9"}  # nobody listens there
        members = (rosters.member(name, **away) for name in names)
        return rosters.following(before, self.member(), *members, federation=before.federation)

    async def publish(self, roster: Roster) -> SignedRoster:
        """Bring a version into force here."""
        return await self.federation.joining.publish(rosters.signed(roster).raw)

    async def join(self, *names: str) -> Roster:
        """Make a federation of us and these."""
        first = self.first()
        await self.publish(first)
        roster = self.next(first, *names)
        await self.publish(roster)
        return roster

    async def _enter(self, signed: SignedRoster) -> None:
        await asyncio.sleep(0)
        self.entered.append(signed.roster.version)
