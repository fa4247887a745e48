"""Gathering cosignatures among witnesses that are slow, lie, lose their memory or go away, on a virtual clock.

Held at each step: one request under way for a witness at most, no request more often than the pace and the tries allow,
nothing confirmed but what the policy itself accepts, sizes only grow, and no alarm without a head that our key signed.
In the end, with enough honest witnesses back, the newest head is confirmed.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable

import pytest

from gateway.core.asking import MAX_TRIES
from gateway.core.confirm import NEVER, Confirm
from gateway.core.confirm_events import (
    Answered,
    Ask,
    AskHead,
    AskOwn,
    Confirmed,
    CosigSeen,
    Event,
    HeadSeen,
    Published,
    Tick,
    Unanswered,
)
from gateway.core.contradiction import Alarm
from gateway.core.follow import Followed, KeepCosigned, Logs
from gateway.core.witness import Witness
from gateway.tlog.checkpoint import cosign, open_checkpoint
from gateway.tlog.note import parse_note
from gateway.tlog.policy import parse_policy, quorum_size
from tests.sim.peer_logs import Branch, key_of, log_vkey, origin_of, witness_name, witness_vkey

S = 1_000_000_000
AT_MS = 1_790_000_000_000


class Simulation:
    """Our log, its machine, and witnesses with a network between."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        members = self.random.choice([3, 4, 5, 7])
        faulty = self.random.randint(0, (members - 1) // 3)
        self.quorum = quorum_size(members, faulty)
        self.names = [f"w{number}" for number in range(members)]
        self.liars = set(self.random.sample(self.names[1:], members - self.quorum))
        text = f"log {log_vkey('own').encode()}\n"
        text += "".join(
            f"witness {name} {witness_vkey(name).encode()} http://{name}\n" for name in self.names
        )
        text += f"group members {self.quorum} {' '.join(self.names)}\nquorum members\n"
        self.policy = parse_policy(text.encode())
        self.branch = Branch("own")
        self.branch.grow(3)
        self.log = Followed(origin_of("own"), (log_vkey("own"),), ours=True)
        self.confirm = Confirm(self.log, self.branch, self.policy, "w0")
        self.witnesses = {name: self.witness(name) for name in self.names}
        self.now_ns = 0
        self.calm = False
        self.queue: list[tuple[int, int, Callable[[], Event | None]]] = []
        self.number = itertools.count()
        self.under_way: Counter[str] = Counter()
        self.asks: dict[str, list[int]] = {name: [] for name in self.names}
        self.sizes: list[int] = []
        self.kept: list[KeepCosigned] = []

    def witness(self, name: str) -> Witness:
        logs = Logs([Followed(self.log.origin, self.log.vkeys, data=False)])
        return Witness(witness_name(name), key_of(name, "witness"), logs, lambda _: self.branch)

    def later(self, seconds: float, what: Callable[[], Event | None]) -> None:
        heapq.heappush(self.queue, (self.now_ns + int(seconds * S), next(self.number), what))

    def publish(self) -> Event:
        self.branch.grow(self.random.randint(1, 40))
        self.log.tree, self.log.tails = self.branch.frontier.copy(), dict(self.branch.tails)
        self.log.whole, self.log.whole_size = self.branch.note(), self.branch.size
        return Published(self.branch.note(), self.branch.size, self.branch.roots[-1])

    # ---- the other side --------------------------------------------------------------------------------------------

    def answered(self, ask: Ask) -> Callable[[], Event | None]:
        def event() -> Event | None:
            self.under_way[ask.witness] -= 1
            return self.said(ask)

        return event

    def said(self, ask: Ask) -> Event:
        name, chance = ask.witness, self.random
        if name in self.liars:
            body = chance.choice(
                [
                    b"%d\n" % chance.randint(0, self.branch.size + 9),
                    b"",
                    chance.randbytes(99),
                    cosign(
                        open_checkpoint(self.branch.note(2), log_vkey("own")),
                        witness_name(name),
                        key_of(name, "witness"),
                        5,
                    ).encode(),
                ]
            )
            return chance.choice(
                [
                    Answered(name, chance.choice([200, 409, 409, 409, 422, 404, 500, 301]), body),
                    Unanswered(name),
                ]
            )
        if not self.calm:
            if chance.random() < 0.1:
                self.witnesses[name] = self.witness(name)  # it lost its memory
            if chance.random() < 0.3:
                return chance.choice([Unanswered(name), Answered(name, 503, b"")])
        _, answer = self.witnesses[name].add_checkpoint(ask.body, AT_MS // 1000)
        if not self.calm and chance.random() < 0.2:
            return Unanswered(name)  # cosigned, and the answer was lost
        return Answered(name, answer.status, answer.body)

    def shown(self, ask: AskHead) -> Callable[[], Event | None]:
        def event() -> Event | None:
            self.under_way[ask.witness] -= 1
            note = self.witnesses[ask.witness].monitor(ask.path.partition("/")[0], AT_MS // 1000)
            if ask.witness in self.liars:
                note = self.random.choice([None, self.random.randbytes(50), self.branch.note(1)])
            return HeadSeen(ask.witness, note)

        return event

    # ---- the run ---------------------------------------------------------------------------------------------------

    def step(self, event: Event) -> None:
        for effect in self.confirm.step(event, self.now_ns, AT_MS):
            match effect:
                case Ask(witness):
                    self.under_way[witness] += 1
                    assert self.under_way[witness] == 1
                    self.asks[witness].append(self.now_ns)
                    slow = 5.0 if witness in self.liars or not self.calm else 0.5
                    self.later(self.random.uniform(0.001, slow), self.answered(effect))
                case AskHead(witness):
                    self.under_way[witness] += 1
                    assert self.under_way[witness] == 1
                    self.later(self.random.uniform(0.001, 2), self.shown(effect))
                case AskOwn(note):
                    checkpoint = open_checkpoint(note, log_vkey("own"))
                    line = cosign(checkpoint, witness_name("w0"), key_of("w0", "witness"), AT_MS // 1000)
                    seen = CosigSeen(checkpoint.size, line)
                    self.later(0.001, lambda seen=seen: seen)
                case KeepCosigned():
                    report = self.policy.report(parse_note(effect.note))
                    assert report.satisfied
                    assert report.checkpoint.size == effect.size
                    assert report.checkpoint.root == self.branch.roots[effect.size]
                    assert effect.size >= max(self.sizes, default=0)
                    self.kept.append(effect)
                case Confirmed(size, note):
                    assert self.kept[-1].note == note
                    assert size > max(self.sizes, default=0)
                    self.sizes.append(size)
                case Alarm():
                    raise AssertionError(f"an alarm without a cause: {effect}")

    def run(self, seconds: float) -> None:
        until = self.now_ns + int(seconds * S)
        for _ in range(200_000):
            next_ns = min(self.confirm.wake_at, self.queue[0][0] if self.queue else NEVER)
            if next_ns > until:
                self.now_ns = until
                return
            self.now_ns = max(self.now_ns, next_ns)
            event: Event | None = Tick()
            if self.queue and self.queue[0][0] <= self.now_ns:
                event = heapq.heappop(self.queue)[2]()
            if event is not None:
                self.step(event)
        raise AssertionError("time stands still")


@pytest.mark.parametrize("seed", range(40))
def test_a_quorum_of_honest_witnesses_is_enough(seed: int) -> None:
    simulation = Simulation(seed)
    for _ in range(60):
        simulation.step(simulation.publish())
        simulation.run(simulation.random.uniform(0.05, 3))
    pace_ns = simulation.confirm.pace_ns
    for name, times in simulation.asks.items():
        for first, last in zip(times, times[MAX_TRIES + 1 :], strict=False):
            assert last - first >= pace_ns, f"{name} was asked too often"
    simulation.calm = True
    simulation.run(70)  # what is under way, and the longest patience twice
    assert simulation.sizes[-1] == simulation.branch.size, simulation.confirm.rows()
    assert simulation.confirm.lag.entries == 0
