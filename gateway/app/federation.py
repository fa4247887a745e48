"""A gateway among its peers: takes part in a federation, and answers whoever asks for logs and cosignatures.

The machines are in core/ (gossip, witness, confirm, mirror); `peer_machines` builds them, `peer_steps` steps them.
Nothing here is waited for by the spine. It asks the house for two things only: to write a new roster into our log, and
to stop when our own log turns up elsewhere. Whatever else breaks, peers.db or what nobody thought of, peers are not
answered until the file has been opened and read again; recording goes on.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from typing import Final

from gateway import events
from gateway.app import guard
from gateway.app.config_tables import Config
from gateway.app.courier import Courier
from gateway.app.joining import Joining
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
from gateway.core.roster import SignedRoster
from gateway.errors import StoreError, StoreRefused
from gateway.keys.did import did_key
from gateway.net.control import place_of
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
ROOM_FACTOR: Final = 4
ROOM_SHARE: Final = 10  # a tenth of the disk stays free of copies, but no more than
MOST_ROOM_BYTES: Final = 16 << 30
LEARN_S: Final = 5.0  # how long the others are waited for, once one was heard, by a witness without memory
TOLD_S: Final = 1.0  # from the first word of the last of them until it has told its heads: two exchanges
LOOK_S: Final = 0.1


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
        self._wake = asyncio.Event()
        self._told = b""
        self._fresh = True
        self._lock = asyncio.Lock()
        self.joining = Joining(
            membership, self._client, observer, house.enter, lambda: self.machines.steps, self._roster_changed
        )
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
            membership = await Membership.load(store, house.keys.origin, did, house.log_vkeys)
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
            self._lock,
        )
        reactions = Reactions(
            tell=lambda peer, body, urgent: self._courier.send(peer, body, urgent=urgent),
            behind=lambda origin: None,
            cosigned=lambda effect: None,
            alarm=self._alarmed,
            forked=self._forked,
            roster=self._roster_changed,
        )
        self._fresh = state.fresh
        machines = Machines(outside, state, reactions)
        await machines.resume()
        self.machines, self._told = machines, b""
        self._courier.members({member.name: member for member in self.membership.others})

    # ---- life -----------------------------------------------------------------------------------------------------

    async def guard(self, head: Head) -> guard.GuardReport:
        """Before the first signature of a run: ask whoever cosigns our log for its head, and peers.db what was signed.

        Args:
            head: of our log, as committed.

        Raises:
            StoreRefused: `rolled_back`, `forked`.
            StoreError: `no_witness`.
        """
        keys, ours = self.house.keys, self.machines.ours
        roster = self.membership.roster
        sources = guard.sources_of(roster, keys.origin)
        sources += [guard.Source(witness.name, witness.url) for witness in (roster.outside if roster else ())]
        report = await guard.ask_witnesses(
            keys.origin, ours.vkeys, head, self._shelf, sources, self.machines.get, ours.note
        )
        if report.fork is not None:
            await self.machines.steps.step(gossiping.ForkFound(keys.origin, report.fork))
        # Without a roster nobody can be asked: of a store that is not in a federation yet, or lost its peers.db.
        alone = not sources and (head.size == 0 or not self._fresh)
        guard.require(report, self._config.peers.start_alone or alone)
        if ours.frozen:
            raise guard.Forked("there is evidence against this log in peers.db")
        word, signed, _ = guard.judge_note(self.house.log_vkeys, head, self._shelf, ours.note)
        if word == "ahead" and signed is not None:
            raise _rolled_back(f"peers.db has a head of {signed.size} entries")
        if word == "other":
            raise guard.Forked("peers.db has a head of another history than the one that is here")
        return report

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: `peers_bind`.
        """
        await self.edge.start()

    async def run(self) -> None:
        """Take part, until cancelled; after whatever broke, peers.db is opened and read again."""
        while True:
            # In a task of its own: an error on the way out of a cancelled one hides that it was cancelled.
            part = asyncio.create_task(self._take_part(), name="taking-part")
            try:
                await asyncio.wait((part,))
            finally:
                self.machines.steps.turn.failed = True
                part.cancel()
                await asyncio.wait((part,))
                broken = None if part.cancelled() else part.exception()
                for error in _leaves(broken):
                    if not isinstance(error, StoreError):
                        self._observer.bug(type(error).__name__, place_of(error))
            await self._again()

    async def _again(self) -> None:
        """Read peers.db again, until it can be."""
        while True:
            self._observer.emit(events.PeersRefused("store", 1))
            await asyncio.sleep(RETRY_S)
            try:
                # What is under way is finished first: it writes what the next machines must read.
                async with self._lock:
                    await self.store.close()
                    # Never made anew here: a file that is gone has forgotten what was promised.
                    self.store = await PeerStore.open(self._layout.peers)
                    await self.membership.reload(self.store)
                    await self._load()
                return
            except StoreError:
                pass  # the disk is not back yet
            except Exception as error:
                self._observer.bug(type(error).__name__, place_of(error))

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
            tasks.create_task(self.joining.run(), name="membership")
            tasks.create_task(self.report.run(self.machines), name="peer-report")
            tasks.create_task(self._learn(self.machines), name="learn")

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

    async def _learn(self, machines: Machines) -> None:
        """Where peers.db is new, what was promised is unknown: hear what peers know before anything is cosigned."""
        steps = machines.steps
        while True:
            await steps.unsure.wait()
            waited_s = 0.0
            while (unheard := self._unheard(steps)) and waited_s < LEARN_S:
                await asyncio.sleep(LOOK_S)
                waited_s += LOOK_S if unheard < len(self.membership.others) else 0.0
            await asyncio.sleep(TOLD_S)
            if self.membership.others:
                await self.store.settle()
                machines.settled()
            steps.learn_no_more()

    def _unheard(self, steps: Steps) -> int:
        others, gossip = self.membership.others, steps.gossip
        heard = [
            gossip is not None and gossip.liveness.heard_ns(member.name) is not None for member in others
        ]
        return heard.count(False)

    # ---- the roster -----------------------------------------------------------------------------------------------

    def _roster_changed(self, signed: SignedRoster | None) -> None:
        """A version is durable and counts, or the one that was is left: everything follows. Called in the turn."""
        if signed is not None:
            self.membership.follow(signed)
            self._observer.emit(events.RosterChanged(signed.roster.version, len(signed.roster.members)))
        self.machines.follow()
        self._courier.members({member.name: member for member in self.membership.others})
        self.edge.trust(self._trusted())
        self.joining.look()
        self._wake.set()

    def raw_roster(self) -> bytes:
        """The newest roster as it was signed; empty without one."""
        return self.membership.signed.raw if self.membership.signed else b""

    def _room(self) -> bool:
        """Whether copies of other logs may grow: one member alone can fill every disk, so much is left to recording."""
        try:
            disk = os.statvfs(self._layout.data_dir)
        except OSError:
            return False
        share = min(disk.f_blocks * disk.f_frsize // ROOM_SHARE, MOST_ROOM_BYTES)
        floor = max(ROOM_FACTOR * self._config.limits.free_disk_floor_bytes, share)
        return disk.f_bavail * disk.f_frsize > floor

    def _trusted(self) -> list[bytes]:
        return [der for member in self.membership.others for der in member.certs]

    # ---- what is asked of us --------------------------------------------------------------------------------------

    async def _exchange(self, peer: str, body: bytes) -> bytes:
        return await self.machines.steps.step(gossiping.Received(peer, body), asker=peer)

    async def add_checkpoint(self, body: bytes) -> tuple[int, str, bytes]:
        """Answer a log that asks for a cosignature (C2SP tlog-witness)."""
        answer = await self.machines.steps.add_checkpoint(body)
        return answer.status, answer.content_type, answer.body

    def _member_of(self, der: bytes) -> str | None:
        roster, us = self.membership.roster, self.membership.us
        member = roster.of_cert(der) if roster and us else None
        return member.name if member is not None and member is not us else None

    # ---- what we hear ---------------------------------------------------------------------------------------------

    async def _answered(self, peer: str, body: bytes) -> None:
        await self.machines.steps.step(gossiping.Received(peer, body))
        if self.machines.confirming.machine.misses(peer):
            self.machines.confirming.tell(confirming.Heard(peer))

    async def _unreached(self, peer: str, code: str) -> None:
        steps = self.machines.steps
        steps.refused[peer, code] += 1
        if code == "peer_status":
            await self.joining.doubt(peer)
        await steps.step(gossiping.Unreached(peer))

    def _alarmed(self, alarm: Alarm) -> None:
        if self.alarm is not None:
            return
        self._observer.emit(events.OwnLogDetected(alarm.size))
        if alarm.fork is not None or alarm.size <= self.machines.ours.tree.size:
            self.alarm = guard.Forked("two histories of this log were signed", alarm.fork)
        else:
            self.alarm = _rolled_back(
                f"{alarm.where} has {alarm.size} entries of this log, signed with its key"
            )
        self.house.stop(self.alarm)

    def _forked(self, origin: str, fork: Fork) -> None:
        self._observer.emit(events.ForkDetected())


def _rolled_back(what: str) -> StoreRefused:
    return StoreRefused(
        "rolled_back",
        f"{what}, and here are fewer: this store was set back, or a copy of it went on",
        "If no other copy runs, get the lost entries back with `vestibule ledger catch-up`; where nobody has them, go "
        "on with `vestibule ledger new-generation`.",
    )


def _leaves(error: BaseException | None) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    elif error is not None:
        yield error
