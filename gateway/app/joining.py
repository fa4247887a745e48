"""How versions of the roster come into force here, and into our log: those that a person brings, and the first one.

What peers tell of the roster comes by gossip, one version after another. Here is the rest: the first version that lists
us, the versions that a person publishes, and the doubt whether we were left out, when peers turn us away.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from gateway import events
from gateway.app.membership import Membership
from gateway.app.observe import Observer
from gateway.app.peer_steps import Steps
from gateway.core import gossip_events as gossiping
from gateway.core.roster import MAX_ROSTER_BYTES, Anchor, SignedRoster, parse_roster
from gateway.errors import LocalError, RemoteError, StoreError, Unreachable, VestibuleError
from gateway.net.peer_client import PeerClient

JOIN_S: Final = 2.0  # between looks at a federation that does not list us yet
DOUBT_S: Final = 10.0  # between two questions whether we were removed


class Joining:
    """Brings versions into force; `run` is its life.

    Args:
        membership: what is in force.
        client: asks for rosters.
        observer: takes events.
        enter: writes a version into our log; returns after the commit.
        steps: the machines in use; raises `StoreError` while there are none.
        changed: told, in the turn, that another roster is in force; None where the one that was is left.
    """

    def __init__(
        self,
        membership: Membership,
        client: PeerClient,
        observer: Observer,
        enter: Callable[[SignedRoster], Awaitable[None]],
        steps: Callable[[], Steps],
        changed: Callable[[SignedRoster | None], None],
    ) -> None:
        self._membership = membership
        self._client = client
        self._observer = observer
        self._enter = enter
        self._steps = steps
        self._changed = changed
        self._look = asyncio.Event()
        self._doubt_at = 0.0

    def look(self) -> None:
        """Something changed: enter what is new, or ask whether we are listed."""
        self._look.set()

    async def publish(self, raw: bytes) -> SignedRoster:
        """Bring a version of the roster into force here; peers hear of it by gossip.

        Raises:
            WireError, SignatureError, LocalError: it may not be the next one.
            StoreError: it cannot be written down.
        """
        signed = parse_roster(raw)
        steps, refused = self._steps(), None
        async with steps.turn:
            # Only here, as gossip may bring the same version; and no error of ours, which would end the machines.
            try:
                self._membership.check(signed)
            except VestibuleError as error:
                refused = error
            else:
                await self._membership.keep(signed)
                self._changed(signed)
        if refused is not None:
            raise refused
        await steps.step(gossiping.RosterChanged())
        return signed

    async def accept(self, anchor: Anchor) -> None:
        """Take a federation's anchor, that a person accepted: its first roster that lists us will be taken.

        Raises:
            LocalError: `federation_other`, we are in another one.
            StoreError: it cannot be written down.
        """
        steps, refused = self._steps(), None
        async with steps.turn:
            try:
                await self._membership.accept(anchor)
            except LocalError as error:
                refused = error
            else:
                if self._membership.roster is None:
                    self._changed(None)
        if refused is not None:
            raise refused
        await steps.step(gossiping.RosterChanged())
        self.look()

    async def run(self) -> None:
        """Enter versions of the roster into our log, and look for the one that will list us, until cancelled."""
        membership = self._membership
        while True:
            self._look.clear()
            anchor, waiting = membership.anchor, False
            if membership.us is None and anchor is not None:
                waiting = not await self._join(anchor.url)
            elif (version := membership.to_enter) is not None:
                await self._enter(parse_roster(membership.doc(version) or b""))
                await membership.was_entered(version)
                continue
            try:
                async with asyncio.timeout(JOIN_S if waiting else None):
                    await self._look.wait()
            except TimeoutError:
                pass  # ask again

    async def _join(self, url: str) -> bool:
        try:
            raw = await self._client.get(url, "roster", MAX_ROSTER_BYTES)
        except (Unreachable, RemoteError):
            self._observer.emit(events.PeersRefused("network", 1))
            return False
        try:
            if raw:
                await self.publish(raw)
                return True
        except StoreError:
            raise
        except VestibuleError:
            pass  # it does not list us yet
        return False

    async def doubt(self, peer: str) -> None:
        """A peer turned us away: has a newer roster left us out?"""
        roster, now = self._membership.roster, time.monotonic()
        member = roster.member(peer) if roster else None
        if member is None or now < self._doubt_at:
            return
        self._doubt_at = now + DOUBT_S
        try:
            if raw := await self._client.get(member.url, "roster", MAX_ROSTER_BYTES):
                self._membership.doubt(parse_roster(raw))
        except (Unreachable, RemoteError):
            pass  # it says nothing then
