"""The machines of a federation over one reading of peers.db: what is followed, and who steps it.

After an error of peers.db memory is ahead of the disk, so these are thrown away and made again from what was kept.
"""

from __future__ import annotations

import asyncio
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
from gateway.core.follow import Followed, KeepCosigned, Logs, Shelf
from gateway.core.gossip import Gossip
from gateway.core.mirror import Mirror, Source
from gateway.core.witness import Witness
from gateway.net.peer_client import PeerClient
from gateway.store.live_shelf import LiveShelf
from gateway.store.peers import PeerState, PeerStore
from gateway.tlog.checkpoint import origin_hash
from gateway.tlog.fork import Fork, parse_fork
from gateway.tlog.note import VerifierKey, parse_vkey
from gateway.tlog.tiles import frontier_from_tiles

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
        lock: of the turn to step machines, those that were and those that are.
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
    lock: asyncio.Lock


class Machines:
    """Built from what peers.db says.

    Args:
        outside: see there.
        state: of peers.db.
        reactions: what follows from effects; `behind` and `cosigned` are filled in here.

    Raises:
        Damage, ProofError, StoreError: the tiles of our own log cannot be read.
    """

    def __init__(self, outside: Outside, state: PeerState, reactions: Reactions) -> None:
        self._out = outside
        self._stored = state.logs
        self._left: dict[str, Followed] = {}
        self._forks: dict[str, Fork] = {}
        self._witnessed: dict[str, tuple[VerifierKey, ...]] = {}
        for vkey in map(parse_vkey, outside.witnessed):
            # two of one name while a log's key is being rotated
            self._witnessed[vkey.name] = (*self._witnessed.get(vkey.name, ()), vkey)
        self._unsettled = state.fresh
        house, keys = outside.house, outside.house.keys
        stored = state.logs.get(keys.origin)
        # Not under a key that is retired, perhaps because somebody else has it: nobody is convinced by that any more.
        vkeys = keys.log_vkeys
        self.ours = stored.followed(vkeys, ours=True) if stored else Followed(keys.origin, vkeys, ours=True)
        # Before anything is judged by it: a head of ours that this does not reach is an alarm.
        self.ours.tree = frontier_from_tiles(outside.shelf, house.newest()[1])
        self.logs = Logs([self.ours])
        reactions.behind = self._behind
        reactions.cosigned = lambda effect: self.confirming.tell_line(effect.size, effect.line)
        witness = Witness(keys.witness_name, keys.witness, self.logs, self.shelf_of)
        self.steps = Steps(
            outside.store, self.logs, self.ours, self.shelf_of, witness, house.newest, reactions, outside.lock
        )
        self.confirming = Confirming(
            Confirm(self.ours, outside.shelf, None, outside.name, state.cosigned, self._answers),
            outside.client,
            self._certs_of,
            self._keep_cosigned,
            self.steps.cosign_own,
            self._tell_own,
            self.steps.alarmed,
            outside.observer,
            state.cosigned,
        )
        self.mirror = Mirror(self.logs, self._sources, outside.room)
        self.mirrors = Mirrors(self.mirror, self.get, self.steps.perform, self.steps.turn)
        self.scrub = Scrub(outside.store, self.logs, self.steps.perform, self.steps.turn)
        self.reader = PeerLogReader(outside.store, self.logs, lambda log: None)
        self._name = ""
        self._waiting: dict[str, tuple[int, int]] = {}
        self.follow()

    async def resume(self) -> None:
        """Take the evidence that was kept: its logs stay frozen, and it is told on. And go on with what was cut short.

        Raises:
            StoreError, Damage: peers.db cannot be read.
        """
        for stored in await self._out.store.forks():
            fork = self._forks.setdefault(stored.origin, parse_fork(stored.data))
            if (log := self.logs.of(stored.origin)) is not None:
                log.fork, log.frozen = fork, log.data
        for log in self.logs:
            self.mirrors.wanted(log.origin)

    def follow(self) -> None:
        """Follow the roster in force: logs that came, went, or have other keys, and who we are."""
        membership = self._out.membership
        wanted = {member.origin: member.log for member in membership.others}
        for log in list(self.logs):
            if log.mirrored and log.origin not in wanted:
                self._left[log.origin] = log
                self.logs.drop(log.origin)
        for origin, vkeys in wanted.items():
            self._follow(origin, vkeys, data=True)
        for origin, vkeys in self._witnessed.items():
            if self.logs.of(origin) is None:
                self._follow(origin, vkeys, data=False)
        roster, us = membership.roster, membership.us
        # What the roster lists convinces others, whether it still signs here or not.
        listed = us.log if us is not None else ()
        self.ours.vkeys = tuple(dict.fromkeys((*listed, *self._out.house.keys.log_vkeys)))
        if us is not None and us.name != self._name:
            self._name = us.name
            self.steps.take_gossip(self._gossip(us.name))
        if self._unsettled and membership.others:
            self.steps.learn()
        self.confirming.tell(PolicyChanged(roster.parsed_policy() if roster and us else None))

    def settled(self) -> None:
        """Peers told what they know, and that was written down."""
        self._unsettled = False

    def look(self) -> None:
        """Once a second: what gossip did not bring, because it is too much for a body, is fetched."""
        waiting = {
            log.origin: (log.tree.size, self._waiting.get(log.origin, (0, 0))[1])
            for log in self.logs
            if log.mirrored and not log.frozen and log.tree.size < log.size
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
        log = self.logs.of(origin)
        if log is None:
            # What was left and comes back is where it was left, which what was read at the start no longer says.
            stored = self._stored.get(origin)
            if (log := self._left.pop(origin, None)) is None:
                log = stored.followed(vkeys, data=data) if stored else Followed(origin, vkeys, data=data)
                log.fork = self._forks.get(origin)
            self.logs.add(log)
        log.vkeys, log.data = vkeys, data
        log.frozen = data and (log.frozen or log.fork is not None)

    def _gossip(self, name: str) -> Gossip:
        keys, membership = self._out.house.keys, self._out.membership
        return Gossip(
            name,
            lambda: membership.roster,
            self.logs,
            self.shelf_of,
            os.urandom,
            gossiping.Cosigner(keys.witness_name, keys.witness),
            self._out.period_ns,
            time.monotonic_ns(),
            membership.doc,
            self._out.room,
        )

    def _behind(self, origin: str) -> None:
        self.mirrors.wanted(origin)

    async def _tell_own(self) -> None:
        await self.steps.step(gossiping.TellOwn())

    def _answers(self, member: str) -> bool:
        return self.steps.gossip is not None and self.steps.gossip.liveness.answers(member)

    async def _keep_cosigned(self, kept: KeepCosigned) -> None:
        await self._out.store.keep([kept])

    def _certs_of(self, url: str) -> tuple[bytes, ...] | None:
        # Of the longest address, as one member's may be the beginning of another's, or the same.
        there = [m for m in self._out.membership.others if f"{url}/".startswith(f"{m.url}/")]
        longest = max((len(member.url) for member in there), default=0)
        return tuple(der for m in there if len(m.url) == longest for der in m.certs) or None

    def _sources(self, log: Followed) -> list[Source]:
        """Where a log can be copied from: its own gateway first, then whoever else answers."""
        others, gossip = self._out.membership.others, self.steps.gossip
        below = origin_hash(log.origin)
        own = [Source(member.name, member.url) for member in others if member.origin == log.origin]
        rest = [member for member in others if member.origin != log.origin]
        if gossip is not None:
            rest.sort(key=lambda member: not gossip.liveness.answers(member.name))
        return own + [Source(member.name, f"{member.url}/{below}") for member in rest]
