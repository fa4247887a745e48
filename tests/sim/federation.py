"""A federation in memory: the real machines of many gateways, on a virtual clock of whole nanoseconds.

The network loses, delays, repeats and cuts; a crash comes between any two effects, takes all memory and leaves what
was kept. Requests and answers are two legs of one exchange, as over HTTP: either may be lost, and the asker then learns
only that nothing came. All chance comes from one seed.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from gateway.core import gossip_events as ev
from gateway.core.follow import KeepCosigned, KeepEntries, KeepFork, KeepHead, KeepRoster, Logs
from gateway.core.gossip import Gossip
from gateway.core.gossip_events import Cosigner
from gateway.core.roster import (
    Member,
    Roster,
    SignedRoster,
    derive_policy,
    make_roster,
    parse_roster,
    sign_roster,
)
from gateway.keys.cert import certificate
from gateway.keys.did import did_key
from gateway.tlog.note import VerifierKey
from gateway.wire.peer import EMPTY_BODY
from tests.sim.invariants import Watch
from tests.sim.peer_logs import Branch, key_of, log_vkey, witness_name, witness_vkey
from tests.sim.peer_memory import PeerStore

MS = 1_000_000
SECOND = 1_000 * MS
PERIOD_NS = SECOND
TIMEOUT_NS = 2 * SECOND
STARTS_NS = 1_000 * SECOND
UTC_AT_ZERO_S = 1_700_000_000
MAX_URGENT = 8
KEEPS = (KeepHead, KeepEntries, KeepFork, KeepRoster, KeepCosigned)


# ---- rosters --------------------------------------------------------------------------------------------------------


@lru_cache(4096)
def member(name: str) -> Member:
    """A member, its keys made of its name."""
    return Member(
        name,
        did_key(key_of(name, "entry").public),
        (log_vkey(name),),
        (witness_vkey(name),),
        f"https://{name}.sim.example:4749",
        (certificate(key_of(name, "tls"), name),),
        name,
    )


@lru_cache(64)
def roster_of(names: tuple[str, ...], version: int = 1, prev: SignedRoster | None = None) -> SignedRoster:
    """A signed roster; one key signs it. Larger than a real one may be where the simulation is."""
    keys = (VerifierKey.of("federation", key_of("federation", "roster").public),)
    members = tuple(map(member, names))
    before = prev.roster.hash() if prev else None
    faulty = (len(names) - 1) // 3
    if len(names) > 100:
        roster = Roster(bytes(16), version, before, 0, keys, 1, faulty, members, (), 0, "")
        return SignedRoster(roster, (), b"")
    roster = make_roster(bytes(16), version, before, 0, keys, 1, faulty, members)
    return sign_roster(roster, key_of("federation", "roster"), "federation")


# ---- the network ----------------------------------------------------------------------------------------------------


@dataclass
class Weather:
    """How bad the network is.

    Args:
        loss: probability of each leg of an exchange.
        duplicate: probability that a request arrives a second time, later.
        late: probability that a leg takes up to a second longer, so that what was sent later arrives before it.
    """

    loss: float = 0.0
    duplicate: float = 0.0
    late: float = 0.0
    least_ns: int = 1 * MS
    most_ns: int = 50 * MS


class Speaker(Protocol):
    """Whoever has an address: a gateway, or somebody who pretends to be one."""

    name: str
    up: bool

    def asked(self, sender: str, body: bytes) -> bytes | None:
        """Answer an exchange; None for no answer."""

    def fetched(self, sender: str, path: str) -> bytes | None:
        """Answer a GET."""


class World:
    """Clock, network, and everybody in it."""

    def __init__(self, seed: int, weather: Weather | None = None) -> None:
        self.rng = random.Random(seed)
        self.weather = weather or Weather()
        self.now_ns = STARTS_NS
        self.speakers: dict[str, Speaker] = {}
        self.cut: Callable[[str, str], bool] = lambda a, b: False
        self.out_bytes: Counter[str] = Counter()
        self.in_bytes: Counter[str] = Counter()
        self.exchanges = 0
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0

    @property
    def now_s(self) -> int:
        """UTC."""
        return UTC_AT_ZERO_S + self.now_ns // SECOND

    def at(self, when_ns: int, act: Callable[[], None]) -> None:
        """Do something at a time, or now where that time is past."""
        self._order += 1
        heapq.heappush(self._queue, (max(when_ns, self.now_ns), self._order, act))

    def after(self, delay_ns: int, act: Callable[[], None]) -> None:
        """Do something later."""
        self.at(self.now_ns + delay_ns, act)

    def run(self, until_ns: int, done: Callable[[], bool] | None = None) -> bool:
        """Let time pass.

        Returns:
            Whether `done` came true before the time was over.
        """
        while self._queue and self._queue[0][0] <= until_ns:
            self.now_ns, _, act = heapq.heappop(self._queue)
            act()
            if done is not None and done():
                return True
        self.now_ns = max(self.now_ns, until_ns)
        return done is not None and done()

    def exchange(self, sender: str, to: str, body: bytes, done: Callable[[bytes | None], None]) -> None:
        """Send a request; `done` gets its answer, or None when none came in time."""
        self.exchanges += 1
        self.out_bytes[sender] += len(body)

        def deliver() -> bytes | None:
            self.in_bytes[to] += len(body)
            answer = self.speakers[to].asked(sender, body)
            if answer is not None:
                self.out_bytes[to] += len(answer)
                self.in_bytes[sender] += len(answer)
            return answer

        self._ask(sender, to, deliver, done)

    def fetch(self, sender: str, to: str, path: str, done: Callable[[bytes | None], None]) -> None:
        """GET something from a peer."""
        self._ask(sender, to, lambda: self.speakers[to].fetched(sender, path), done)

    def _ask(
        self, sender: str, to: str, deliver: Callable[[], bytes | None], done: Callable[[bytes | None], None]
    ) -> None:
        started_ns = self.now_ns

        def nothing() -> None:
            self.at(started_ns + TIMEOUT_NS, lambda: done(None))

        def arrive() -> None:
            if self.cut(sender, to):
                nothing()
            elif (speaker := self.speakers.get(to)) is None or not speaker.up:
                self.after(self._latency(), lambda: done(None))  # the connection is refused
            else:
                answer = deliver()
                if answer is None or self.rng.random() < self.weather.loss:
                    nothing()
                else:
                    self.after(self._latency(), lambda: back(answer))

        def again() -> None:
            if not self.cut(sender, to) and (speaker := self.speakers.get(to)) is not None and speaker.up:
                deliver()

        def back(answer: bytes) -> None:
            if self.cut(sender, to) or self.now_ns > started_ns + TIMEOUT_NS:
                nothing()
            else:
                done(answer)

        if self.rng.random() < self.weather.duplicate:
            self.after(self._latency() + self._latency(), again)
        if self.rng.random() < self.weather.loss:
            nothing()
        else:
            self.after(self._latency(), arrive)

    def _latency(self) -> int:
        weather = self.weather
        latency = weather.least_ns + int(self.rng.random() * (weather.most_ns - weather.least_ns))
        if weather.late and self.rng.random() < weather.late:
            latency += int(self.rng.random() * SECOND)
        return latency


# ---- an honest gateway ----------------------------------------------------------------------------------------------


class Crashed(Exception):
    """The power went out between two effects."""


class Outbox:
    """What waits for one peer: the newest body, and a few urgent ones that nothing replaces."""

    __slots__ = ("busy", "newest", "urgent")

    def __init__(self) -> None:
        self.busy = False
        self.newest: bytes | None = None
        self.urgent: deque[bytes] = deque(maxlen=MAX_URGENT)

    def put(self, told: ev.Tell) -> None:
        if told.urgent:
            self.urgent.append(told.body)
        else:
            self.newest = told.body

    def take(self) -> bytes | None:
        if self.urgent:
            return self.urgent.popleft()
        body, self.newest = self.newest, None
        return body


class Peer:
    """An honest gateway: the real machines on a store that survives.

    Args:
        world: where it stands.
        name: its name in the roster.
        roster: what it has at first.
        watch: checks all that it does; None for a liar's machine, which nobody answers for.
        own: its log.
        follow: names of those whose logs it follows; everybody of the roster where None.
        machine: the gossip machine's class, for those that break a rule on purpose.
    """

    def __init__(
        self,
        world: World,
        name: str,
        roster: SignedRoster,
        watch: Watch | None,
        own: Branch | None = None,
        follow: Sequence[str] | None = None,
        machine: type[Gossip] = Gossip,
    ) -> None:
        self.world, self.name, self.watch = world, name, watch
        self.own = own or Branch(name)
        self.store = PeerStore(self.own)
        self.store.perform(KeepRoster(roster.roster.version, roster.raw))
        self.rosters = {roster.roster.version: roster}
        self.signed_roster = roster
        self.follow = follow
        self.machine = machine
        self.up = False
        self.boot = 0
        self.power_s = lambda: 1.0
        """How long it stays away after a crash."""
        self.fails: Callable[[], bool] | None = None
        """Asked before each effect: whether the power goes out now."""
        self.refusals: Counter[str] = Counter()
        self.alarms: list[ev.Effect] = []
        self.cosigned: dict[int, dict[str, str]] = {}
        self.logs: Logs
        self.gossip: Gossip
        self.outboxes: dict[str, Outbox]
        self._waking_ns = 0

    @property
    def roster(self) -> Roster:
        """The newest that counts."""
        return self.signed_roster.roster

    # ---- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start from what is on disk."""
        self.boot += 1
        self.up = True
        self.outboxes = {}
        self.logs = self.store.load(self._keys())
        self.gossip = self.machine(
            self.name,
            lambda: self.signed_roster.roster,
            self.logs,
            self.store.shelf,
            self.world.rng.randbytes,
            Cosigner(witness_name(self.name), key_of(self.name, "witness")),
            PERIOD_NS,
            self.world.now_ns,
            lambda version: self.rosters[version].raw if version in self.rosters else None,
        )
        self._waking_ns = 0
        if self.own.size:
            self._published()
        self._wake_later()

    def crash(self) -> None:
        """Lose everything but what was kept."""
        self.up = False
        self.boot += 1
        self.world.after(int(self.power_s() * SECOND), self.start)

    def grow(self, count: int = 1, entry_bytes: int = 0) -> None:
        """Entries are committed to our own log, and its new checkpoint is published."""
        self.own.grow(count, entry_bytes)
        if self.up:
            self._published()

    def _published(self) -> None:
        log = self.logs.of(self.own.origin)
        assert log is not None
        self.store.follow_own(log)
        self.step(ev.Published(log.whole, self.own.size, self.own.roots[self.own.size]))

    def _keys(self) -> dict[str, tuple[VerifierKey, ...]]:
        followed = self.follow
        return {
            one.origin: one.log
            for one in self.roster.members
            if followed is None or one.name in followed or one.name == self.name
        }

    # ---- steps ------------------------------------------------------------------------------------------------------

    def step(self, event: ev.Event, answering: str = "") -> bytes | None:
        """Give the machine an event and perform what it says.

        Returns:
            The answer to the peer that is being answered; None if the power went out before it was sent.
        """
        try:
            answer = self.perform(self.gossip.step(event, self.world.now_ns, self.world.now_s), answering)
        except Crashed:
            self.crash()
            return None
        if self.watch is not None:
            self.watch.stepped(self)
        self._wake_later()
        return answer

    def perform(self, effects: Iterable[ev.Effect], answering: str) -> bytes:
        """Perform effects in their order."""
        answer = EMPTY_BODY
        for effect in effects:
            if self.fails is not None and self.fails():
                raise Crashed
            if isinstance(effect, KEEPS):
                if self.watch is not None:
                    self.watch.keeps(self, effect)
                self.store.perform(effect)
            elif isinstance(effect, ev.Tell):
                if self.watch is not None:
                    self.watch.tells(self, effect)
                if effect.peer == answering and answer == EMPTY_BODY:
                    answer = effect.body
                else:
                    self.tell(effect)
            else:
                self._notice(effect)
        return answer

    def _notice(self, effect: ev.Effect) -> None:
        match effect:
            case ev.Refused(_, code):
                self.refusals[code] += 1
            case ev.Cosigned():
                if self.watch is not None:
                    self.watch.cosigned(self, effect)
                self.cosigned.setdefault(effect.size, {})[effect.name] = effect.line
            case ev.RosterKept(signed):
                self._take_roster(signed)
            case ev.OwnAhead() | ev.OwnForked() | ev.RosterDiffers():
                self.alarms.append(effect)

    def _take_roster(self, signed: SignedRoster) -> None:
        self.signed_roster = signed
        self.rosters[signed.roster.version] = signed
        keys = self._keys()
        for log in list(self.logs):
            if log.origin not in keys:
                self.logs.drop(log.origin)
        loaded = self.store.load(keys)
        for log in loaded:
            if self.logs.of(log.origin) is None:
                self.logs.add(log)
        self.world.after(0, lambda boot=self.boot: self._roster_changed(boot))  # type: ignore[misc]

    def _roster_changed(self, boot: int) -> None:
        if boot == self.boot:
            self.step(ev.RosterChanged())

    def _wake_later(self) -> None:
        due = self.gossip.wake_at
        if self.up and (self._waking_ns <= self.world.now_ns or due < self._waking_ns):
            self._waking_ns = max(due, self.world.now_ns + 1)
            self.world.at(self._waking_ns, lambda boot=self.boot: self._wake(boot))  # type: ignore[misc]

    def _wake(self, boot: int) -> None:
        if boot == self.boot and self.world.now_ns >= self.gossip.wake_at:
            self.step(ev.Tick())
        elif boot == self.boot:
            self._wake_later()

    # ---- the network ------------------------------------------------------------------------------------------------

    def tell(self, told: ev.Tell) -> None:
        """Put a body into the outbox of a peer."""
        self.outboxes.setdefault(told.peer, Outbox()).put(told)
        self._pump(told.peer)

    def _pump(self, peer: str) -> None:
        outbox = self.outboxes[peer]
        if outbox.busy or (body := outbox.take()) is None:
            return
        outbox.busy = True
        boot = self.boot

        def done(answer: bytes | None) -> None:
            if boot != self.boot:
                return
            outbox.busy = False
            if answer is None:
                self.step(ev.Unreached(peer))
            else:
                self.step(ev.Sent(peer))
                if boot == self.boot and answer != EMPTY_BODY:
                    self.step(ev.Received(peer, answer))
            if boot == self.boot:
                self._pump(peer)

        self.world.exchange(self.name, peer, body, done)

    def asked(self, sender: str, body: bytes) -> bytes | None:
        """An exchange, over TLS: who is no member by certificate is turned away before the machine hears of it."""
        if self.roster.member(sender) is None:
            return EMPTY_BODY
        return self.step(ev.Received(sender, body), answering=sender)

    def fetched(self, sender: str, path: str) -> bytes | None:
        """A GET of our log or of a mirror."""
        return None


def parsed(raw: bytes) -> SignedRoster:
    """A roster from its document."""
    return parse_roster(raw)


__all__ = ["Crashed", "Outbox", "Peer", "Weather", "World", "derive_policy", "member", "parsed", "roster_of"]
