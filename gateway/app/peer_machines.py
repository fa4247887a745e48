"""The machines of a federation over one reading of peers.db: what is followed, and who steps it.

After an error of peers.db memory is ahead of the disk, so these are thrown away and made again from what was kept.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.app.confirming import Confirming
from gateway.app.membership import Membership
from gateway.app.mirrors import Mirrors
from gateway.app.observe import Observer
from gateway.app.peer_house import House
from gateway.app.peer_log_reader import PeerLogReader
from gateway.app.peer_steps import Reactions, Steps
from gateway.app.scrub import Scrub
from gateway.core import gossip_events as gossiping
from gateway.core.confirm import Confirm
from gateway.core.confirm_events import PolicyChanged
from gateway.core.contradiction import Alarm
from gateway.core.follow import Followed, KeepCosigned, Logs, Shelf
from gateway.core.gossip import Gossip
from gateway.core.mirror import Mirror, Source
from gateway.core.witness import Witness
from gateway.net.peer_client import PeerClient
from gateway.store.live_shelf import LiveShelf
from gateway.store.peers import PeerState, PeerStore
from gateway.tlog.checkpoint import origin_hash
from gateway.tlog.fork import parse_fork
from gateway.tlog.note import VerifierKey, parse_vkey

PATIENT_LOOKS: Final = 3  # seconds in which a mirror did not move on


@dataclass(frozen=True, slots=True)
class Outside:
    """What the machines use and what outlives them.

    Args:
        house: our own log and keys.
        store: peers.db, open.
        shelf: our own log's tiles.
        membership: the roster.
        client: asks peers.
        observer: takes events.
        witnessed: keys of logs that are no members and that we cosign.
        period_ns: mean time between two rounds.
        name: what we are called among peers: the gateway's own name.
        room: whether the disk has room for copies; recording comes first.
    """

    house: House
    store: PeerStore
    shelf: LiveShelf
    membership: Membership
    client: PeerClient
    observer: Observer
    witnessed: tuple[str, ...]
    period_ns: int
    name: str
    room: Callable[[], bool]


class Machines:
    """Built from what peers.db says.

    Args:
        outside: see there.
        state: of peers.db.
        reactions: what follows from effects; `behind` and `cosigned` are filled in here.
    """

    def __init__(self, outside: Outside, state: PeerState, reactions: Reactions) -> None:
        self._out = outside
        self._stored = state.logs
        house, keys = outside.house, outside.house.keys
        stored = state.logs.get(keys.origin)
        self.ours = (
            stored.followed(house.log_vkeys, ours=True)
            if stored
            else Followed(keys.origin, house.log_vkeys, ours=True)
        )
        self.logs = Logs([self.ours])
        for vkey in map(parse_vkey, outside.witnessed):
            if self.logs.of(vkey.name) is None:
                self._follow(vkey.name, (vkey,), data=False)
        reactions.behind = self._behind
        reactions.cosigned = lambda effect: self.confirming.tell_line(effect.size, effect.line)
        witness = Witness(keys.witness_name, keys.witness, self.logs, self.shelf_of)
        self.steps = Steps(
            outside.store, self.logs, self.ours, self.shelf_of, witness, house.newest, reactions
        )
        self.steps.learning = state.fresh and bool(outside.membership.others)
        self.confirming = Confirming(
            Confirm(self.ours, outside.shelf, None, outside.name, state.cosigned),
            outside.client,
            self._certs_of,
            self._keep_cosigned,
            self.steps.cosign_own,
            self._alarmed,
            outside.observer,
            state.cosigned,
        )
        self.mirror = Mirror(self.logs, self._sources, outside.room)
        self.mirrors = Mirrors(self.mirror, self.get, self.steps.perform, self.steps.turn)
        self.scrub = Scrub(outside.store, self.logs, self.steps.perform, self.steps.turn)
        self.reader = PeerLogReader(outside.store, self.logs, lambda log: None)
        self._react = reactions
        self._name = ""
        self._waiting: dict[str, tuple[int, int]] = {}
        self.follow()

    async def resume(self) -> None:
        """Take the evidence that was kept: its logs stay frozen, and it is told on. And go on with what was cut short.

        Raises:
            StoreError, Damage: peers.db cannot be read.
        """
        for stored in await self._out.store.forks():
            log = self.logs.of(stored.origin)
            if log is not None and log.fork is None:
                log.fork, log.frozen = parse_fork(stored.data), log.data
        for log in self.logs:
            self.mirrors.wanted(log.origin)

    def follow(self) -> None:
        """Follow the roster in force: logs that came, went, or have other keys, and who we are."""
        membership = self._out.membership
        wanted = {member.origin: member for member in membership.others}
        for log in list(self.logs):
            if log.data and not log.ours and log.origin not in wanted:
                self.logs.drop(log.origin)
        for origin, member in wanted.items():
            if (known := self.logs.of(origin)) is not None:
                known.vkeys = member.log
            else:
                self._follow(origin, member.log, data=True)
        roster, us = membership.roster, membership.us
        if us is not None and us.name != self._name:
            self._name = us.name
            self.steps.gossip = self._gossip(us.name)
        self.confirming.tell(PolicyChanged(roster.parsed_policy() if roster and us else None))

    def look(self) -> None:
        """Once a second: what gossip did not bring, because it is too much for a body, is fetched."""
        waiting = {
            log.origin: (log.tree.size, self._waiting.get(log.origin, (0, 0))[1])
            for log in self.logs
            if log.data and not log.ours and not log.frozen and log.tree.size < log.size
        }
        for origin, (size, looks) in waiting.items():
            same = self._waiting.get(origin, (-1, 0))[0] == size
            waiting[origin] = size, looks + 1 if same else 0
            if same and looks + 1 >= PATIENT_LOOKS:
                self._behind(origin)
        self._waiting = waiting

    def shelf_of(self, origin: str) -> Shelf:
        """Entries and tiles of a log."""
        return self._out.shelf if origin == self.ours.origin else self._out.store.shelf(origin)

    async def get(self, url: str, path: str, limit: int) -> bytes | None:
        """A resource that somebody serves; of a member with its certificate.

        Raises:
            Unreachable, RemoteError: as `PeerClient.get`.
        """
        return await self._out.client.get(url, path, limit, self._certs_of(url))

    def _follow(self, origin: str, vkeys: tuple[VerifierKey, ...], *, data: bool) -> None:
        stored = self._stored.get(origin)
        self.logs.add(stored.followed(vkeys, data=data) if stored else Followed(origin, vkeys, data=data))

    def _gossip(self, name: str) -> Gossip:
        keys, membership = self._out.house.keys, self._out.membership
        gossip = Gossip(
            name,
            lambda: membership.roster,
            self.logs,
            self.shelf_of,
            os.urandom,
            gossiping.Cosigner(keys.witness_name, keys.witness),
            self._out.period_ns,
            time.monotonic_ns(),
            membership.doc,
        )
        gossip.cosigns = not self.steps.learning
        return gossip

    def _behind(self, origin: str) -> None:
        self.mirrors.wanted(origin)

    async def _alarmed(self, alarm: Alarm) -> None:
        if alarm.fork is not None:
            await self.steps.step(gossiping.ForkFound(self.ours.origin, alarm.fork))
        self._react.alarm(alarm)

    async def _keep_cosigned(self, kept: KeepCosigned) -> None:
        await self._out.store.keep([kept])

    def _certs_of(self, url: str) -> tuple[bytes, ...] | None:
        for member in self._out.membership.others:
            if url == member.url or url.startswith(f"{member.url}/"):
                return member.certs
        return None

    def _sources(self, log: Followed) -> list[Source]:
        """Where a log can be copied from: its own gateway first, then whoever else answers."""
        others, gossip = self._out.membership.others, self.steps.gossip
        below = origin_hash(log.origin)
        own = [Source(member.name, member.url) for member in others if member.origin == log.origin]
        rest = [member for member in others if member.origin != log.origin]
        if gossip is not None:
            rest.sort(key=lambda member: not gossip.liveness.answers(member.name))
        return own + [Source(member.name, f"{member.url}/{below}") for member in rest]
