"""A gateway among its peers: takes part in a federation, and answers whoever asks for logs and cosignatures.

The machines are in core/ (gossip, witness, confirm, mirror); `peer_machines` builds them, `peer_steps` steps them.
Nothing here is waited for by the spine. It asks the house for two things only: to write a new roster into our log, and
to stop when our own log turns up elsewhere. When peers.db fails, peers are not answered until it has been read again;
recording goes on.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Final

from gateway import events
from gateway.app import guard
from gateway.app.config_tables import Config
from gateway.app.courier import Courier
from gateway.app.membership import Membership
from gateway.app.observe import Observer
from gateway.app.peer_house import House
from gateway.app.peer_machines import Machines, Outside
from gateway.app.peer_report import PeerReport
from gateway.app.peer_steps import Reactions, Steps
from gateway.app.shown import Shown
from gateway.core import confirm_events as confirming
from gateway.core import gossip_events as gossiping
from gateway.core.contradiction import Alarm
from gateway.core.roster import SignedRoster, parse_roster
from gateway.errors import RemoteError, StoreError, StoreRefused, Unreachable, VestibuleError
from gateway.keys.did import did_key
from gateway.net.log_routes import LogRoutes
from gateway.net.peer_client import PeerClient
from gateway.net.peer_server import PeerEdge
from gateway.net.peer_tls import certificate, server_context
from gateway.store.layout import Layout
from gateway.store.live_shelf import LiveShelf
from gateway.store.peers import PeerStore
from gateway.store.queries import Head
from gateway.tlog.fork import Fork

RETRY_S: Final = 5.0  # after peers.db failed
JOIN_S: Final = 2.0  # between looks at a federation that does not list us yet
ROOM_FACTOR: Final = 4
DOUBT_S: Final = 10.0  # between two questions whether we were removed
LEARN_S: Final = 5.0  # how long peers are waited for before a witness without memory cosigns again
LOOK_S: Final = 0.1
MAX_ROSTER_BYTES: Final = 64 * 1024


class Federation:
    """Our part in a federation. Made by `open`."""

    def __init__(
        self,
        layout: Layout,
        config: Config,
        observer: Observer,
        house: House,
        store: PeerStore,
        membership: Membership,
    ) -> None:
        self.membership = membership
        self.store = store
        self.house = house
        self.alarm: StoreRefused | None = None
        self.report = PeerReport(observer, membership)
        self.cert = certificate(house.keys.tls, config.gateway.name)
        self._layout = layout
        self._config = config
        self._observer = observer
        self._shelf = LiveShelf(layout.database)
        self._client = PeerClient(house.keys.tls, self.cert)
        self._courier = Courier(self._client, self._answered, self._unreached)
        self._changed = asyncio.Event()
        self._wake = asyncio.Event()
        self._told = b""
        self._doubt_at = 0.0
        host, _, port = config.peers.listen.rpartition(":")
        context = server_context(house.keys.tls, self.cert, self._trusted())
        self.shown = Shown(house, lambda: self.machines)
        routes = LogRoutes(self.shown.resource, self.add_checkpoint, self.raw_roster)
        self.edge = PeerEdge(
            host.strip("[]"), int(port), context, routes, self._exchange, self._member_of, observer.bug
        )
        self.machines: Machines
        """Made by `open`, and again after peers.db failed."""

    @classmethod
    async def open(cls, layout: Layout, config: Config, observer: Observer, house: House) -> Federation:
        """Read peers.db, or make it.

        Raises:
            StoreError, StoreRefused, Damage: it cannot be used.
        """
        store = await PeerStore.open(layout.peers, create=True)
        try:
            did = did_key(house.keys.entry.public)
            membership = await Membership.load(store, house.keys.origin, did)
            federation = cls(layout, config, observer, house, store, membership)
            await federation._load()
            return federation
        except BaseException:
            await store.close()
            raise

    async def _load(self) -> None:
        state = await self.store.load()
        outside = Outside(
            self.house,
            self.store,
            self._shelf,
            self.membership,
            self._client,
            self._observer,
            self._config.witness.logs,
            self._config.peers.period_ms * 1_000_000,
            self._config.gateway.name,
            self._room,
        )
        reactions = Reactions(
            tell=lambda peer, body, urgent: self._courier.send(peer, body, urgent=urgent),
            behind=lambda origin: None,
            cosigned=lambda effect: None,
            alarm=self._alarmed,
            forked=self._forked,
            roster=self._roster_kept,
        )
        self.machines = Machines(outside, state, reactions)
        await self.machines.resume()
        self._courier.members({member.name: member for member in self.membership.others})
        self._told = b""
        if state.fresh and not self.machines.steps.learning:
            await self.store.settle()

    # ---- life -----------------------------------------------------------------------------------------------------

    async def guard(self, head: Head) -> guard.GuardReport:
        """Before the first signature of a run: ask peers for our own head.

        Args:
            head: of our log, as committed.

        Raises:
            StoreRefused: `rolled_back`, `forked`.
            StoreError: `no_witness`.
        """
        keys, ours = self.house.keys, self.machines.ours
        sources = guard.sources_of(self.membership.roster, keys.origin)
        report = await guard.ask_witnesses(
            keys.origin, self.house.log_vkeys, head, self._shelf, sources, self.machines.get, ours.note
        )
        if report.fork is not None:
            await self.machines.steps.step(gossiping.ForkFound(keys.origin, report.fork))
        guard.require(report, self._config.peers.start_alone or not sources)
        if ours.frozen:
            raise guard.Forked("there is evidence against this log in peers.db")
        return report

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: `peers_bind`.
        """
        await self.edge.start()

    async def run(self) -> None:
        """Take part, until cancelled; after a failure of peers.db it is read again."""
        while True:
            try:
                await self._take_part()
            except* StoreError as group:
                self._observer.emit(events.PeersRefused("store", 1))
                fatal = (
                    group.subgroup(lambda error: isinstance(error, StoreError) and error.fatal) is not None
                )
            else:
                fatal = False
            await asyncio.sleep(RETRY_S)
            try:
                if fatal:
                    await self.store.close()
                    self.store = await PeerStore.open(self._layout.peers, create=True)
                await self._load()
            except StoreError:
                continue  # the disk is not back yet

    async def stop(self) -> None:
        """Close everything."""
        await self.edge.stop()
        await self._client.close()
        await self.store.close()
        self._shelf.close()

    def published(self) -> None:
        """Our log has a newer signed head."""
        self._wake.set()

    async def _take_part(self) -> None:
        steps = self.machines.steps
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._courier.run(), name="courier")
            tasks.create_task(self.machines.confirming.run(), name="confirm")
            tasks.create_task(self.machines.mirrors.run(), name="mirrors")
            tasks.create_task(self.machines.scrub.run(), name="scrub")
            tasks.create_task(self._rounds(steps), name="gossip")
            tasks.create_task(self._memberships(), name="membership")
            tasks.create_task(self.report.run(self.machines), name="peer-report")
            if steps.learning:
                tasks.create_task(self._learn(steps), name="learn")

    async def _rounds(self, steps: Steps) -> None:
        while True:
            self._wake.clear()
            # Before gossip tells it on, so that a cosignature that comes back finds its head known.
            note, size, root = self.house.newest()
            if note != self._told:
                self._told = note
                self.machines.confirming.tell(confirming.Published(note, size, root))
            await steps.step(gossiping.Tick())
            wake_ns = steps.gossip.wake_at - time.monotonic_ns() if steps.gossip else RETRY_S * 1e9
            try:
                async with asyncio.timeout(max(0.0, wake_ns / 1e9)):
                    await self._wake.wait()
            except TimeoutError:
                pass  # the time of a round has come

    async def _learn(self, steps: Steps) -> None:
        """peers.db is new, so what was promised is unknown: hear what peers know before anything is cosigned."""
        waited_s = 0.0
        while waited_s < LEARN_S and self._unheard(steps):
            await asyncio.sleep(LOOK_S)
            waited_s += LOOK_S
        await self.store.settle()
        steps.learn_no_more()

    def _unheard(self, steps: Steps) -> bool:
        others, gossip = self.membership.others, steps.gossip
        if gossip is None:
            return bool(others)
        return any(gossip.liveness.heard_ns(member.name) is None for member in others)

    # ---- the roster -----------------------------------------------------------------------------------------------

    async def publish(self, raw: bytes) -> SignedRoster:
        """Bring a version of the roster into force here; peers hear of it by gossip.

        Raises:
            WireError, SignatureError, LocalError: it may not be the next one.
            StoreError: it cannot be written down.
        """
        signed = parse_roster(raw)
        steps = self._up()
        async with steps.turn:
            self.membership.check(signed)
            await self.membership.keep(signed)
            self._roster_kept(signed)
        await steps.step(gossiping.RosterChanged())
        return signed

    def _roster_kept(self, signed: SignedRoster) -> None:
        """A version is durable and counts: everything follows it. Called between two steps, or at the end of one."""
        self.membership.follow(signed)
        self.machines.follow()
        self._courier.members({member.name: member for member in self.membership.others})
        self.edge.trust(self._trusted())
        self._observer.emit(events.RosterChanged(signed.roster.version, len(signed.roster.members)))
        self._changed.set()
        self._wake.set()

    async def _memberships(self) -> None:
        """Enter versions of the roster into our log; look for the one that will list us."""
        while True:
            self._changed.clear()
            signed, anchor, waiting = self.membership.signed, self.membership.anchor, False
            if self.membership.us is None and anchor is not None:
                waiting = not await self._join(anchor.url)
            elif signed is not None and self.membership.entered < signed.roster.version:
                await self.house.enter(signed)
                await self.membership.was_entered(signed.roster.version)
                continue
            try:
                async with asyncio.timeout(JOIN_S if waiting else None):
                    await self._changed.wait()
            except TimeoutError:
                pass  # ask again

    async def _join(self, url: str) -> bool:
        try:
            if raw := await self._client.get(url, "roster", MAX_ROSTER_BYTES):
                await self.publish(raw)
                return True
        except (Unreachable, RemoteError):
            self._observer.emit(events.PeersRefused("network", 1))
        except StoreError:
            raise
        except VestibuleError:
            pass  # it does not list us yet
        return False

    def accepted(self) -> None:
        """A person accepted a federation: look for its roster now."""
        self._changed.set()

    def raw_roster(self) -> bytes:
        """The newest roster as it was signed; empty without one."""
        return self.membership.signed.raw if self.membership.signed else b""

    def _room(self) -> bool:
        """Whether copies of other logs may grow: several times what recording needs is kept free for it."""
        free = os.statvfs(self._layout.data_dir)
        return free.f_bavail * free.f_frsize > ROOM_FACTOR * self._config.limits.free_disk_floor_bytes

    def _trusted(self) -> list[bytes]:
        return [der for member in self.membership.others for der in member.certs]

    # ---- what is asked of us --------------------------------------------------------------------------------------

    async def _exchange(self, peer: str, body: bytes) -> bytes:
        return await self._up().step(gossiping.Received(peer, body), asker=peer)

    async def add_checkpoint(self, body: bytes) -> tuple[int, str, bytes]:
        """Answer a log that asks for a cosignature (C2SP tlog-witness)."""
        answer = await self._up().add_checkpoint(body)
        return answer.status, answer.content_type, answer.body

    def _up(self) -> Steps:
        steps = self.machines.steps
        if steps.failed is not None:
            raise StoreError("peers_down", "peers.db is being read again", "Try again in a few seconds.")
        return steps

    def _member_of(self, der: bytes) -> str | None:
        member = self.membership.roster.of_cert(der) if self.membership.roster else None
        return member.name if member is not None and member in self.membership.others else None

    # ---- what we hear ---------------------------------------------------------------------------------------------

    async def _answered(self, peer: str, body: bytes) -> None:
        await self._up().step(gossiping.Sent(peer), gossiping.Received(peer, body))
        self.machines.confirming.tell(confirming.Heard(peer))

    async def _unreached(self, peer: str, code: str) -> None:
        steps = self._up()
        steps.refused[peer, code] += 1
        if code == "peer_status":
            await self._doubt(peer)
        await steps.step(gossiping.Unreached(peer))

    async def _doubt(self, peer: str) -> None:
        """A peer turned us away: has a newer roster left us out?"""
        roster, now = self.membership.roster, time.monotonic()
        member = roster.member(peer) if roster else None
        if member is None or now < self._doubt_at:
            return
        self._doubt_at = now + DOUBT_S
        try:
            if raw := await self._client.get(member.url, "roster", MAX_ROSTER_BYTES):
                self.membership.doubt(parse_roster(raw))
        except (Unreachable, RemoteError):
            pass  # it says nothing then

    def _alarmed(self, alarm: Alarm) -> None:
        if self.alarm is not None:
            return
        self._observer.emit(events.OwnLogDetected(alarm.size))
        self.alarm = (
            guard.Forked("two histories of this log were signed", alarm.fork)
            if alarm.fork is not None
            else StoreRefused(
                "rolled_back",
                f"{alarm.where} has {alarm.size} entries of this log, signed with its key, and here are fewer",
                "If no other copy runs, get the lost entries back with `vestibule ledger catch-up`.",
            )
        )
        self.house.stop(self.alarm)

    def _forked(self, origin: str, fork: Fork) -> None:
        self._observer.emit(events.ForkDetected())
