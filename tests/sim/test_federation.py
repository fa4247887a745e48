"""The real machines of many gateways against bad networks, crashes and liars: scenarios.toml, from seeds.

    python -m tests.sim.test_federation "longer fork, to one, with loss" 17

runs one of them and says what happened.
"""

from __future__ import annotations

import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.core.follow import Followed
from gateway.core.gossip import Gossip
from gateway.core.gossip_events import OwnForked
from tests.sim.federation import PERIOD_NS, SECOND, Weather, World, member, roster_of, signed_roster
from tests.sim.honest import Peer
from tests.sim.invariants import Watch
from tests.sim.liars import LIES, Flood, Liar, Sybil, two_faced
from tests.sim.peer_logs import Branch, log_vkey, quick_signatures

LIMIT_ROUNDS = 120
"""How long is waited for what should have happened in `rounds`, to tell late from never."""


@dataclass(frozen=True)
class Scenario:
    """One row of scenarios.toml, which says what the fields mean."""

    name: str
    goal: str
    peers: int
    rounds: int
    logs: int
    gate: int
    torture: int
    fetched: int = 0
    busy_s: int = 0
    cut_s: int = 0
    entries: int = 1
    cold: bool = False
    loss: float = 0.0
    duplicate: float = 0.0
    late: float = 0.0
    cut: str = ""
    crashes: int = 0
    lies: tuple[str, ...] = ()
    fork: dict[str, str] = field(default_factory=dict, hash=False)
    sybils: int = 0
    eclipse: bool = False
    confirms: bool = False
    follow: int = 0


def scenarios() -> list[Scenario]:
    """All of scenarios.toml."""
    data = tomllib.loads((Path(__file__).parent / "scenarios.toml").read_text())
    rows = [data["defaults"] | row for row in data["scenario"]]
    return [Scenario(**(row | {"lies": tuple(row.get("lies", ()))})) for row in rows]


class Run:
    """One scenario with one seed.

    Args:
        scenario: what happens.
        seed: all its chance.
        machine: the gossip machine of honest peers, for those that break a rule on purpose.
    """

    def __init__(self, scenario: Scenario, seed: int, machine: type[Gossip] = Gossip) -> None:
        s = self.scenario = scenario
        world = self.world = World(seed, Weather(s.loss, s.duplicate, s.late))
        rng = self.rng = world.rng
        names = tuple(f"p{number}" for number in range(s.peers))
        n_liars = len(s.lies) + bool(s.fork)
        self.liar_names = names[:n_liars]
        self.honest_names = list(names[n_liars:])
        followed = [*self.liar_names, *self.honest_names[: s.follow - n_liars]] if s.follow else None
        self.roster = roster_of(names)
        self.watch = Watch(names, frozenset(self.liar_names))
        self.watch.began_ns = world.now_ns
        self.branches = {name: Branch(name) for name in followed or names}
        for number, branch in enumerate(self.branches.values()):
            branch.grow(3 + number)
        self.peers = {
            name: Peer(
                world, name, self.roster, self.watch, self.branches.get(name), followed, s.confirms, machine
            )
            for name in self.honest_names
        }
        for peer in self.peers.values():
            self.watch.knows(peer.own)
            world.speakers[peer.name] = peer
            if not s.cold:
                self._knows_all(peer)
        self.begin: list[Callable[[], None]] = []
        self.fork_origin = ""
        self.liars = self._liars(followed)
        self.sybils = [
            Sybil(world, f"sybil{number}", self.roster, self.watch, self.honest_names)
            for number in range(s.sybils)
        ]
        for sybil in self.sybils:
            world.speakers[sybil.name] = sybil
        self.growing = [name for name in self.honest_names if name in self.branches]
        rng.shuffle(self.growing)
        self.growing = self.growing[: s.logs]
        self.since_ns = 0
        self.told_before: Counter[str] = Counter()
        self.rounds_taken = self.fetched_after = 0.0
        self.sizes: dict[str, int] = {}
        """Of all honest logs, once none grows any more."""

    def _knows_all(self, peer: Peer) -> None:
        for branch in self.branches.values():
            peer.store.knows(peer.own if branch.origin == peer.own.origin else branch)

    def _liars(self, followed: list[str] | None) -> list[Liar]:
        s, liars = self.scenario, []
        for number, name in enumerate(self.liar_names):
            liar = Liar(self.world, name, self.roster, self.watch, self.honest_names, followed, s.confirms)
            branch = self.branches[name]
            if s.fork and number == 0:
                honest = self.honest_names
                victims = honest[:1] if s.fork["to"] == "one" else honest[::2]
                self.begin.append(two_faced(liar, branch, s.fork["at"], victims, "bare" in s.fork))
                self.fork_origin = branch.origin
            else:
                face = liar.show(branch)
                kind = s.lies[number - bool(s.fork)]
                lie = LIES[kind](liar)
                liar.lies.append(lie)
                if isinstance(lie, Flood):
                    self.watch.floods[lie.prey] += 1
                assert face
            for face in liar.faces:
                if not s.cold:
                    self._knows_all(face)
            liars.append(liar)
        return liars

    def _measure(self) -> None:
        """Once a second: how much everybody told since the last time (I8)."""
        out = self.world.out_bytes
        for name in self.peers:
            self.watch.told_in_a_second(name, out[name] - self.told_before[name])
        self.told_before = Counter(out)
        self.world.after(SECOND, self._measure)

    # ---- what happens -----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Let it happen, and judge."""
        s, world = self.scenario, self.world
        for peer in self.peers.values():
            world.after(self.rng.randrange(PERIOD_NS), peer.start)
        for liar in self.liars:
            world.after(self.rng.randrange(PERIOD_NS), liar.start)
        for sybil in self.sybils:
            sybil.start()
        self._eclipse()
        self._measure()
        world.run(world.now_ns + 3 * SECOND // 2)
        self._cut()
        world.run(world.now_ns + s.cut_s * SECOND)
        self._crashes()
        early = bool(s.cut or s.crashes)
        for begin in self.begin if early else ():
            begin()
        for second in range(s.busy_s):
            world.after(second * SECOND, self._grow)
        world.run(world.now_ns + s.busy_s * SECOND)
        if s.cut:
            world.cut = lambda a, b: False
        for peer in self.peers.values():
            peer.fails = None
        # whoever lost its power comes back before the count begins
        world.run(world.now_ns + 10 * SECOND, lambda: all(peer.up for peer in self.peers.values()))
        for begin in () if early else self.begin:
            begin()
        self._grow()
        self.sizes = {peer.own.origin: peer.own.size for peer in self.peers.values()}
        self.since_ns = world.now_ns
        if s.goal == "forks":
            origin = self.fork_origin
            world.run(world.now_ns + LIMIT_ROUNDS * SECOND, lambda: origin in self.watch.conflict_ns)
            assert origin in self.watch.conflict_ns, "nobody was shown the second history"
            self.since_ns = max(self.since_ns, self.watch.conflict_ns[origin])
        if s.fetched:
            self.rounds_taken = self._rounds_until(self._knows_heads)
            self.fetched_after = self._rounds_until(self._has_entries)
        else:
            self.rounds_taken = self._rounds_until(self._is_there)
        world.run(world.now_ns + SECOND)
        self.judge()
        assert self.rounds_taken <= s.rounds, f"after {self.rounds_taken:.1f} rounds, not within {s.rounds}"
        assert self.fetched_after <= s.fetched, (
            f"fetched after {self.fetched_after:.1f}, not within {s.fetched}"
        )

    def _rounds_until(self, there: Callable[[Peer], bool]) -> float:
        """Let time pass until this is so of all honest peers.

        Returns:
            Rounds since the count began.
        """
        waiting = list(self.peers.values())

        def reached() -> bool:
            # Cheap to ask after each event: who was seen to be there once need not be asked again.
            while waiting and there(waiting[-1]):
                waiting.pop()
            return not waiting

        until_ns = self.since_ns + LIMIT_ROUNDS * PERIOD_NS
        if not self.world.run(until_ns, reached):
            late = [peer for peer in waiting if not there(peer)]
            raise AssertionError(f"not within {LIMIT_ROUNDS} rounds: {late}")
        return (self.world.now_ns - self.since_ns) / PERIOD_NS

    def _grow(self) -> None:
        for name in self.growing:
            self.peers[name].grow(self.scenario.entries)

    def _cut(self) -> None:
        kind, names = self.scenario.cut, list(self.world.speakers)
        if not kind:
            return
        count = 4 if kind == "islands" else 2
        if self.scenario.fork.get("to") == "half":
            # each half sees one history
            side = {name: number % 2 for number, name in enumerate(self.honest_names)}
        else:
            self.rng.shuffle(names)
            side = {name: number % count for number, name in enumerate(names)}
        world = self.world

        def cut(a: str, b: str) -> bool:
            whole = kind == "flapping" and world.now_ns // (3 * SECOND) % 2
            return not whole and a in side and b in side and side[a] != side[b]

        world.cut = cut

    def _crashes(self) -> None:
        for name in self.rng.sample(self.honest_names, self.scenario.crashes):
            peer = self.peers[name]
            peer.fails = lambda: self.rng.random() < 0.01
            peer.power_s = lambda: self.rng.uniform(0.1, 3)

    def _eclipse(self) -> None:
        if self.scenario.eclipse:
            victim, friend, *others = self.honest_names
            strangers = set(others)
            self.world.cut = lambda a, b: (a == victim and b in strangers) or (b == victim and a in strangers)
            assert friend

    # ---- what is judged ---------------------------------------------------------------------------------------------

    def _is_there(self, peer: Peer) -> bool:
        """Whether a peer has what the goal says."""
        match self.scenario.goal:
            case "forks":
                return self._holds_evidence(peer)
            case "heads":
                return self._has_entries(peer)
            case _:
                return self._has_entries(peer) and self._is_confirmed(peer)

    def _holds_evidence(self, peer: Peer) -> bool:
        return peer.up and self.fork_origin in peer.store.forks

    def _knows_heads(self, peer: Peer) -> bool:
        return peer.up and all(log.size == self.sizes[log.origin] for log in self._honest_logs(peer))

    def _has_entries(self, peer: Peer) -> bool:
        return peer.up and all(
            log.size == log.tree.size == self.sizes[log.origin] for log in self._honest_logs(peer)
        )

    def _honest_logs(self, peer: Peer) -> Iterator[Followed]:
        return (log for log in peer.logs if log.origin in self.sizes)

    def _is_confirmed(self, peer: Peer) -> bool:
        kept = peer.store.cosigned
        return peer.name not in self.growing or (kept is not None and kept.size == peer.own.size)

    def judge(self) -> None:
        """What must hold at the end."""
        self.watch.quorums()
        for peer in self.peers.values():
            forked = set(peer.store.forks)
            assert forked <= {self.fork_origin}, "evidence against a log that did not lie"
            for log in peer.logs if peer.up else ():
                assert log.frozen == (log.origin in forked)
        refused = sum((peer.refusals for peer in self.peers.values()), Counter())
        for lie in (lie for liar in self.liars for lie in liar.lies):
            assert not lie.marks or any(refused[mark] for mark in lie.marks), f"{lie} lied to nobody"
        if self.fork_origin and not self.scenario.fork.get("bare"):
            faces = self.liars[0].faces
            assert any(isinstance(alarm, OwnForked) for face in faces for alarm in face.alarms), (
                "whoever runs with the keys of a log that has two histories is not warned"
            )
        # Whoever was flooded, before all: a few others show what is usual.
        looked_at = set(self.watch.floods)
        looked_at.update(self.rng.sample(self.honest_names, 4))
        for peer in (self.peers[name] for name in sorted(looked_at)):
            if peer.up:
                self.watch.bounded(peer)
            # a start from the disk finds it all as it is
            peer.store.load(peer.keys())

    def told(self) -> str:
        """What happened, for people."""
        world, watch = self.world, self.watch
        seconds = (world.now_ns - 1_000 * SECOND) / SECOND
        most = max((world.out_bytes[name], name) for name in self.peers)
        return (
            f"{self.rounds_taken:.1f} rounds of {self.scenario.rounds}; {watch.steps} steps, "
            f"{world.exchanges} exchanges, "
            f"most told {most[0] / seconds / 1000:.1f} kB/s by {most[1]}; {dict(watch.told)}; peaks {dict(watch.peaks)}"
        )


def run(scenario: Scenario, seed: int) -> Run:
    """Run one scenario with one seed; a failure says how to see it again."""
    print(f'scenario "{scenario.name}", seed {seed}; again:')
    print(f'  .venv/bin/python -m tests.sim.test_federation "{scenario.name}" {seed}')
    with quick_signatures():
        it = Run(scenario, seed)
        it.run()
    return it


def in_gate() -> list[object]:
    """Scenario and seed."""
    return [
        pytest.param(
            scenario,
            seed,
            marks=[pytest.mark.slow] if seed or scenario.peers > 100 else [],
            id=f"{scenario.name}-{seed}",
        )
        for scenario in scenarios()
        for seed in range(scenario.gate)
    ]


def in_torture() -> list[object]:
    """Scenario and a run of seeds."""
    step = 50
    return [
        pytest.param(
            scenario, range(first, min(first + step, scenario.torture)), id=f"{scenario.name}-{first}"
        )
        for scenario in scenarios()
        for first in range(0, scenario.torture, step)
    ]


@pytest.mark.parametrize(("scenario", "seed"), in_gate())
def test_honest_peers_agree_whatever_happens(scenario: Scenario, seed: int) -> None:
    run(scenario, seed)


@pytest.mark.torture
@pytest.mark.parametrize(("scenario", "seeds"), in_torture())
def test_honest_peers_agree_with_every_seed(scenario: Scenario, seeds: range) -> None:
    failed = []
    for seed in seeds:
        try:
            run(scenario, seed)
        except Exception as error:  # the others are still of interest
            failed.append((seed, repr(error)))
    assert not failed


def test_a_new_roster_reaches_all_and_brings_a_new_generation_of_a_frozen_log() -> None:
    seed = 5
    with quick_signatures():
        it = run(next(one for one in scenarios() if one.name == "fork at the same size, to one"), seed)
        frozen = it.fork_origin
        liar, first, *_ = (*it.liar_names, *it.honest_names)
        second = Branch(liar, "second generation", 2)
        second.grow(3)
        it.watch.knows(second)
        it.watch.lists(second.origin, log_vkey(liar, 2))
        members = tuple(member(one.name, 2) if one.name == liar else one for one in it.roster.roster.members)
        version2 = signed_roster(2, it.roster.roster.hash(), members)
        reformed = Peer(it.world, liar, version2, it.watch, second)
        it.world.speakers[liar] = reformed
        reformed.rosters[1] = it.roster
        reformed.start()
        it.peers[first].brought(version2)

        def reached() -> bool:
            return all(
                peer.roster.version == 2
                and peer.logs.of(frozen) is None
                and (log := peer.logs.of(second.origin)) is not None
                and (log.size, log.tree.size, log.frozen) == (3, 3, False)
                for peer in it.peers.values()
            )

        assert it.world.run(it.world.now_ns + 8 * PERIOD_NS, reached), "a roster needs more than 8 rounds"
        assert all(frozen in peer.store.forks for peer in it.peers.values()), "evidence stays"


def main() -> None:
    """Run what the command line names."""
    name, seed = sys.argv[1], int(sys.argv[2])
    scenario = next(one for one in scenarios() if one.name == name)
    print(run(scenario, seed).told())


if __name__ == "__main__":
    main()
