"""Steps of the machines that share the followed logs, one at a time, and their effects in their order.

Guards the rule of witnesses: what a step promises is in peers.db before anybody hears of it, and no other step looks at
the logs in between. A step that is broken off, by an error or by a cancellation, leaves memory ahead of the disk, so it
ends this object: the federation loads the file again and makes another.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from gateway.core import gossip_events as gossiping
from gateway.core.contradiction import Alarm, own_head
from gateway.core.follow import (
    UNREADABLE,
    Followed,
    Keep,
    KeepCosigned,
    KeepEntries,
    KeepFork,
    KeepHead,
    KeepRoster,
    Logs,
    Shelves,
)
from gateway.core.gossip import Gossip
from gateway.core.mirror import Blamed, Broken, Whole
from gateway.core.offer import nearly_whole
from gateway.core.roster import SignedRoster
from gateway.core.witness import Answer, Witness
from gateway.errors import Divergence, StoreError
from gateway.store.peers import PeerStore
from gateway.tlog.fork import Fork
from gateway.tlog.merkle import Frontier
from gateway.tlog.tiles import frontier_from_tiles
from gateway.wire.peer import EMPTY_BODY

KEEPS: Final = (KeepHead, KeepEntries, KeepFork, KeepRoster, KeepCosigned)


@dataclass(slots=True)
class Reactions:
    """What follows from effects, outside of this module. None of it may take a step.

    Args:
        tell: (peer, body, urgent) into an outbox.
        behind: (origin) a mirror should pull.
        cosigned: a cosignature of our own head came.
        alarm: our own log turned up elsewhere.
        forked: (origin, fork) evidence was kept for the first time.
        roster: another version of the roster is durable, and counts.
    """

    tell: Callable[[str, bytes, bool], None]
    behind: Callable[[str], None]
    cosigned: Callable[[gossiping.Cosigned], None]
    alarm: Callable[[Alarm], None]
    forked: Callable[[str, Fork], None]
    roster: Callable[[SignedRoster], None]


@dataclass(slots=True)
class Sums:
    """What was done since the last report."""

    heads: int = 0
    entries: int = 0
    cosigned: int = 0


class Turn:
    """The turn to step the machines and to perform what they ask for: a lock that nobody gets any more after a failure.

    Args:
        lock: one for all machines that are made one after another over one file, so that those that failed are done
            before the next are read from it.
    """

    def __init__(self, lock: asyncio.Lock) -> None:
        self.failed = False
        self._lock = lock

    async def __aenter__(self) -> None:
        await self._lock.acquire()
        if self.failed:
            self._lock.release()
            raise down()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.failed = self.failed or error is not None
        self._lock.release()


class Steps:
    """The one place where these machines are stepped.

    Args:
        store: peers.db.
        logs: what is followed. ours: our own log among them.
        shelves: entries and tiles.
        witness: answers whoever asks for cosignatures.
        newest: gives our log's newest signed note, with its size and root; an empty note before the first.
        reactions: see there.
        lock: of the turn.
    """

    def __init__(
        self,
        store: PeerStore,
        logs: Logs,
        ours: Followed,
        shelves: Shelves,
        witness: Witness,
        newest: Callable[[], tuple[bytes, int, bytes]],
        reactions: Reactions,
        lock: asyncio.Lock,
    ) -> None:
        self.turn = Turn(lock)
        self.logs = logs
        self.gossip: Gossip | None = None
        """None while no roster lists us; changed by `take_gossip`."""
        self.unsure = asyncio.Event()
        """Set while this witness may have forgotten what it promised: it asks before it cosigns."""
        self.refused: Counter[tuple[str, str]] = Counter()
        """(peer, code) -> how often."""
        self.sums = Sums()
        self._store = store
        self._ours = ours
        self._shelves = shelves
        self._witness = witness
        self._newest = newest
        self._react = reactions
        self._published = b""

    @property
    def failed(self) -> bool:
        """Whether no step is taken any more."""
        return self.turn.failed

    @property
    def learning(self) -> bool:
        """Whether nothing is cosigned yet: see `unsure`."""
        return self.unsure.is_set()

    async def step(self, *happened: gossiping.Event, asker: str = "") -> bytes:
        """Have gossip take events.

        Args:
            happened: in this order.
            asker: the peer whose request is being answered.

        Returns:
            What to answer it.

        Raises:
            StoreError: peers.db failed, or a step was broken off; nothing more can be done with this object.
        """
        async with self.turn:
            return await self._gossiped(happened, asker)

    async def root_at(self, log: Followed, size: int) -> bytes | None:
        """Root of a log at an earlier size, by what is on disk.

        Args:
            log: any that is followed.
            size: at most that of its tree.

        Returns:
            None where its tree does not reach so far, or cannot be read.

        Raises:
            StoreError: as `step`.
        """
        async with self.turn:  # between a step and its disk, tiles are not there yet
            try:
                return log.root_at(size, self._shelves(log.origin))
            except UNREADABLE:
                return None

    async def add_checkpoint(self, body: bytes) -> Answer:
        """Answer a log that asks for a cosignature; raises as `step`."""
        async with self.turn:
            if self.learning:
                return Answer(
                    503, "text/plain; charset=utf-8", b"this witness is still asking what it promised\n"
                )
            await self._gossiped(())
            effects, answer = self._witness.add_checkpoint(body, int(time.time()))
            await self._perform(effects)
            for effect in effects:
                if isinstance(effect, KeepFork):
                    await self._gossiped((gossiping.ForkFound(effect.origin, effect.fork),))
                elif isinstance(effect, KeepHead):
                    self._pull(effect.origin)
            self.sums.cosigned += answer.status == 200
            return answer

    async def cosign_own(self, note: bytes) -> str:
        """Have our own witness cosign a head of ours; raises as `step`."""
        async with self.turn:
            if self.learning:
                return ""
            await self._gossiped(())
            effects, line = self._witness.cosign_own(note, int(time.time()))
            await self._perform(effects)
            return line

    async def monitor(self, origin_hash: str) -> bytes | None:
        """The newest head of a log that is promised, cosigned; None where there is none."""
        async with self.turn:
            # Not between a step and its disk, nor after a disk that failed: only what is written down is shown.
            return None if self.learning else self._witness.monitor(origin_hash, int(time.time()))

    async def alarmed(self, alarm: Alarm) -> None:
        """Somebody showed a head of our own log that it did not have, as far as it was followed; raises as `step`.

        Our log may have grown to that head since: a false alarm would stop an honest gateway.
        """
        async with self.turn:
            await self._gossiped(())
            again = own_head(self._ours, self._shelves(self._ours.origin), alarm.note, alarm.where)
            if again is not None:
                await self._perform([again])

    def take_gossip(self, gossip: Gossip) -> None:
        """Gossip by this machine from now on; it is told our newest head with the next step."""
        self.gossip, self._published = gossip, b""
        gossip.cosigns = not self.learning

    def learn(self) -> None:
        """This witness may have promised what it does not know: it cosigns nothing for now."""
        self.unsure.set()
        if self.gossip is not None:
            self.gossip.cosigns = False

    def learn_no_more(self) -> None:
        """Peers told what they know: this witness cosigns from now on."""
        self.unsure.clear()
        if self.gossip is not None:
            self.gossip.cosigns = True

    async def perform(self, effects: Sequence[Any]) -> None:
        """Perform effects of the mirrors, which hold `turn`; raises as `step`."""
        await self._perform(effects)

    # ---- inside the lock --------------------------------------------------------------------------------------------

    async def _gossiped(self, happened: Sequence[gossiping.Event], asker: str = "") -> bytes:
        answers: list[gossiping.Tell] = []
        for event in (*self._own(), *happened):
            if self.gossip is not None:
                effects = self.gossip.step(event, time.monotonic_ns(), int(time.time()))
                answers += await self._perform(effects, asker)
        for later in answers[1:]:
            self._react.tell(asker, later.body, later.urgent)
        return answers[0].body if answers else EMPTY_BODY

    def _pull(self, origin: str) -> None:
        """A head was promised without its entries: gossip brings a few of them, a mirror must fetch many."""
        log = self.logs.of(origin)
        if log is not None and log.mirrored and not nearly_whole(log):
            self._react.behind(origin)

    def _own(self) -> list[gossiping.Event]:
        """Follow our own log up to its newest signed head: nobody may know more of it than we do."""
        note, size, root = self._newest()
        if note == self._published or not note:
            return []
        self._published = note
        self._ours.tree = frontier_from_tiles(self._shelves(self._ours.origin), size)
        self._ours.whole, self._ours.whole_size = note, size
        return [gossiping.Published(note, size, root)]

    async def _perform(self, effects: Sequence[Any], asker: str = "") -> list[gossiping.Tell]:
        answers: list[gossiping.Tell] = []
        keeps: list[Keep] = []
        later: list[gossiping.Event] = []
        for effect in effects:
            if isinstance(effect, KEEPS):
                keeps.append(effect)
                continue
            await self._keep(keeps)
            match effect:
                case gossiping.Tell(peer, body, urgent):
                    if peer == asker:
                        answers.append(effect)
                    else:
                        self._react.tell(peer, body, urgent)
                case gossiping.Behind(origin, _):
                    self._react.behind(origin)
                case gossiping.Cosigned():
                    self._react.cosigned(effect)
                case gossiping.OwnAhead(note, size):
                    self._react.alarm(Alarm("a peer", size, note, None))
                case gossiping.OwnForked(fork):
                    self._react.alarm(Alarm("a peer", 0, fork.b, fork))
                case gossiping.ForkKept(origin, fork, _):
                    self._react.forked(origin, fork)
                case gossiping.RosterKept(signed):
                    self._react.roster(signed)
                    later.append(gossiping.RosterChanged())
                case gossiping.RosterDiffers(peer, _):
                    self.refused[peer, "roster"] += 1
                case gossiping.Refused(peer, code):
                    self.refused[peer, code] += 1
                case Alarm():
                    self._react.alarm(effect)
                    if effect.fork is not None:
                        later.append(gossiping.ForkFound(self._ours.origin, effect.fork))
                case Whole():
                    pass
                case Blamed(source, _, why):
                    self.refused[source.name, why] += 1
                case Broken(origin):
                    await self._drop(origin)
        await self._keep(keeps)
        for event in later:
            await self._gossiped((event,))
        return answers

    async def _keep(self, keeps: list[Keep]) -> None:
        if not keeps:
            return
        await _kept(self._store.keep(keeps))
        for keep in keeps:
            self.sums.heads += isinstance(keep, KeepHead) and keep.origin != self._ours.origin
            self.sums.entries += len(keep.entries) if isinstance(keep, KeepEntries) else 0
        keeps.clear()

    async def _drop(self, origin: str) -> None:
        """A mirror is not what it should be: forget it and pull it again."""
        await _kept(self._store.drop(origin))
        if (log := self.logs.of(origin)) is not None:
            log.tree, log.tails, log.whole, log.whole_size = Frontier(), {}, b"", 0
            self._react.behind(origin)


def down() -> StoreError:
    """What is said while nothing can be asked of peers.db; never `fatal`, as it is not the store."""
    return StoreError("peers_down", "peers.db is being read again", "Try again in a few seconds.")


async def _kept(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Divergence as error:
        raise StoreError(error.code, error.message, error.hint) from error
