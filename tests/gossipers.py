"""Gateways for tests of gossip: the real machine, a log that can be grown and forked, and a store in memory."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

from gateway.core import gossip_events as ev
from gateway.core.follow import KeepCosigned, KeepEntries, KeepFork, KeepHead, KeepRoster
from gateway.core.gossip import Gossip
from gateway.core.roster import SignedRoster
from gateway.tlog.note import VerifierKey
from gateway.wire import peer as wire
from tests.sim.federation import roster_of
from tests.sim.peer_logs import Branch, key_of, origin_of, witness_name
from tests.sim.peer_memory import PeerStore

SECOND = 1_000_000_000
PERIOD = SECOND
NOW_S = 1_700_000_000
KEEPS = (KeepHead, KeepEntries, KeepFork, KeepRoster, KeepCosigned)

T = TypeVar("T")


class Gateway:
    """One gateway.

    Args:
        name: in the roster.
        names: of all members.
        seed: of all its chance.
        own: its log.
    """

    def __init__(
        self,
        name: str,
        names: Sequence[str],
        seed: int = 1,
        own: Branch | None = None,
        signed: SignedRoster | None = None,
    ) -> None:
        self.name = name
        self.own = own or Branch(name)
        self.store = PeerStore(self.own)
        self.signed = signed or roster_of(tuple(names))
        self.documents = {self.signed.roster.version: self.signed.raw}
        self.rng = random.Random(f"{name} {seed}")
        self.now_ns = SECOND
        self.effects: list[ev.Effect] = []
        """Of the last step."""
        self.start()

    def start(self) -> None:
        """Begin, or begin again from what was kept."""
        self.logs = self.store.load(self.keys())
        for log in self.logs:
            log.fork = next(iter(self.store.forks.get(log.origin, ())), None)
        self.machine = Gossip(
            self.name,
            lambda: self.signed.roster,
            self.logs,
            self.store.shelf,
            self.rng.randbytes,
            ev.Cosigner(witness_name(self.name), key_of(self.name, "witness")),
            PERIOD,
            self.now_ns,
            self.documents.get,
        )

    def keys(self) -> dict[str, tuple[VerifierKey, ...]]:
        """Origin -> keys of its log, as the roster lists them."""
        return {member.origin: member.log for member in self.signed.roster.members}

    def log(self, name: str):  # type: ignore[no-untyped-def]
        """What is known of a member's log."""
        return self.logs.of(origin_of(name))

    def step(self, event: ev.Event) -> list[ev.Tell]:
        """Step, keep, and give what is to be told."""
        self.effects = self.machine.step(event, self.now_ns, NOW_S + self.now_ns // SECOND)
        for effect in self.effects:
            if isinstance(effect, KEEPS):
                self.store.perform(effect)
            elif isinstance(effect, ev.RosterKept):
                self.signed = effect.signed
                self.documents[self.signed.roster.version] = self.signed.raw
        return self.of(ev.Tell)

    def of(self, kind: type[T]) -> list[T]:
        """Effects of one kind, of the last step."""
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def codes(self) -> list[str]:
        """What was held against a peer in the last step."""
        return [refused.code for refused in self.of(ev.Refused)]

    def tick(self) -> dict[str, list[wire.Message]]:
        """The next round: peer -> what it is told."""
        self.now_ns = max(self.now_ns, self.machine.wake_at)
        return {tell.peer: wire.decode_body(tell.body) for tell in self.step(ev.Tick())}

    def hear(self, peer: str, *messages: wire.Message) -> list[wire.Message]:
        """Hear something, and give the answer."""
        tells = self.step(ev.Received(peer, wire.encode_body(messages)))
        return [told for tell in tells if tell.peer == peer for told in wire.decode_body(tell.body)]

    def grow(self, count: int = 1, entry_bytes: int = 0) -> None:
        """Publish a new head."""
        self.own.grow(count, entry_bytes)
        self.publish()

    def publish(self) -> None:
        """Publish the head of `own`."""
        log = self.log(self.name)
        self.store.follow_own(log)
        self.step(ev.Published(self.own.note(), self.own.size, self.own.roots[-1]))

    def state(self) -> list[tuple[object, ...]]:
        """All that is promised and kept of all logs, to see that nothing changed."""
        return [
            (log.origin, log.size, log.root, log.note, log.tree.size, log.whole_size, log.frozen)
            for log in self.logs
        ]


def talk(asker: Gateway, other: Gateway, messages: Sequence[wire.Message], most: int = 10) -> int:
    """Carry a body and all that follows from it, as over HTTP.

    Returns:
        How many requests it took.
    """
    bodies = [wire.encode_body(messages)]
    requests = 0
    while bodies:
        requests += 1
        assert requests <= most, "they talk for ever"
        answer = _answer(other, ev.Received(asker.name, bodies.pop(0)), asker.name)
        more = asker.step(ev.Received(other.name, answer))
        bodies += [tell.body for tell in more if tell.peer == other.name]
        asker.step(ev.Sent(other.name))
    return requests


def _answer(gateway: Gateway, event: ev.Event, to: str) -> bytes:
    return next((tell.body for tell in gateway.step(event) if tell.peer == to), wire.EMPTY_BODY)


def meet(asker: Gateway, other: Gateway) -> int:
    """One exchange of whole tables, whoever's turn it is."""
    table: Callable[[], wire.Heads] = asker.machine._telling.table
    return talk(asker, other, [asker.machine._telling.summary(answer=True), table()])
