"""A federation in memory: the real machines of many gateways, on a virtual clock of whole nanoseconds.

The network loses, delays, repeats and cuts; a crash comes between any two effects, takes all memory and leaves what
was kept. Requests and answers are two legs of one exchange, as over HTTP: either may be lost, and the asker then learns
only that nothing came. All chance comes from one seed.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, TypeVar

from gateway.core.roster import Member, Roster, SignedRoster, make_roster, sign_roster
from gateway.core.witness import Answer
from gateway.keys.cert import certificate
from gateway.keys.did import did_key
from gateway.tlog.note import VerifierKey
from gateway.tlog.policy import Policy
from tests.sim.peer_logs import key_of, log_vkey, witness_vkey

MS = 1_000_000
SECOND = 1_000 * MS
PERIOD_NS = SECOND
TIMEOUT_NS = 2 * SECOND
STARTS_NS = 1_000 * SECOND
UTC_AT_ZERO_S = 1_700_000_000


# ---- rosters --------------------------------------------------------------------------------------------------------


@lru_cache(4096)
def member(name: str, generation: int = 1) -> Member:
    """A member, its keys made of its name."""
    return Member(
        name,
        did_key(key_of(name, "entry").public),
        (log_vkey(name, generation),),
        (witness_vkey(name),),
        f"https://{name}.sim.example:4749",
        (certificate(key_of(name, "tls"), name),),
        name,
    )


ROSTER_KEYS = (VerifierKey.of("federation", key_of("federation", "roster").public),)


class SharedRoster(Roster):
    """A roster that many machines of one process share: it remembers its hash."""

    __slots__ = ("_digest",)

    def hash(self) -> bytes:
        if not hasattr(self, "_digest"):
            # One of a thousand members is longer than a document may be, and is never told.
            digest = super().hash() if self.policy else bytes(32)
            object.__setattr__(self, "_digest", digest)
        return self._digest


@lru_cache(64)
def roster_of(names: tuple[str, ...]) -> SignedRoster:
    """The first version of a signed roster; one key signs it."""
    members = tuple(map(member, names))
    if len(members) > 40:
        faulty = (len(members) - 1) // 3
        roster = SharedRoster(bytes(16), 1, None, 0, ROSTER_KEYS, 1, faulty, members, (), 0, "")
        return SignedRoster(roster, (), b"")
    return signed_roster(1, None, members)


def signed_roster(version: int, prev: bytes | None, members: tuple[Member, ...]) -> SignedRoster:
    """A version of a roster, signed."""
    faulty = (len(members) - 1) // 3
    roster = make_roster(bytes(16), version, prev, 0, ROSTER_KEYS, 1, faulty, members)
    signed = sign_roster(roster, key_of("federation", "roster"), "federation")
    shared = SharedRoster(bytes(16), version, prev, 0, ROSTER_KEYS, 1, faulty, members, (), 0, roster.policy)
    return SignedRoster(shared, signed.sigs, signed.raw)


@lru_cache(64)
def policy_of(signed: SignedRoster) -> Policy:
    """Its trust policy, parsed once for all."""
    return signed.roster.parsed_policy()


# ---- the network ----------------------------------------------------------------------------------------------------


T = TypeVar("T")


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

    def posted(self, sender: str, body: bytes) -> Answer | None:
        """Answer an `add-checkpoint`; None for no answer."""

    def fetched(self, sender: str, path: str) -> bytes | None:
        """Answer a GET: empty where there is no such thing, None for no answer."""


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

    def post(self, sender: str, to: str, body: bytes, done: Callable[[Answer | None], None]) -> None:
        """Ask a witness."""
        self.out_bytes[sender] += len(body)
        self._ask(sender, to, lambda: self.speakers[to].posted(sender, body), done)

    def _ask(
        self, sender: str, to: str, deliver: Callable[[], T | None], done: Callable[[T | None], None]
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

        def back(answer: T) -> None:
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
