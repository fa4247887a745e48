"""What gossip costs: real machines in memory, all logs advancing each second, CPU time of their steps and bytes told.

    python -m tests.bench.bench_gossip [peers] [seconds] [entries each second] [bytes of an entry]

What store, TLS and HTTP cost comes on top (bench_peer_http.py for those).
"""

from __future__ import annotations

import heapq
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.core import gossip_events as ev
from gateway.core.follow import Followed, KeepEntries, Logs
from gateway.core.gossip import Gossip
from gateway.wire import peer as wire
from tests.sim.federation import roster_of
from tests.sim.peer_logs import Branch, key_of, log_vkey, origin_of, witness_name

SECOND = 1_000_000_000
LATENCY_NS = 2_000_000
WARM_S = 5  # until everybody knows everybody


@dataclass
class Copy:
    """Entries and tiles of another log: a `Shelf`."""

    data: list[bytes] = field(default_factory=list)
    tiles: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def hash_tile(self, level: int, n: int, width: int) -> bytes:
        return self.tiles[level, n][: 32 * width]

    def entries(self, first: int, count: int) -> list[bytes]:
        return self.data[first : first + count]


class Gateway:
    """One gateway: machine, log, and a store without a disk."""

    def __init__(self, name: str, names: tuple[str, ...], rng: random.Random) -> None:
        self.name = name
        self.own = Branch(name)
        self.ours = Followed(origin_of(name), (log_vkey(name),), ours=True)
        others = [Followed(origin_of(other), (log_vkey(other),)) for other in names if other != name]
        self.copies: dict[str, Copy | Branch] = {log.origin: Copy() for log in others}
        self.copies[self.ours.origin] = self.own
        self.logs = Logs([self.ours, *others])
        self.cpu_ns = 0
        roster = roster_of(names).roster
        witness = ev.Cosigner(witness_name(name), key_of(name, "witness"))
        self.machine = Gossip(
            name, lambda: roster, self.logs, self.copies.__getitem__, rng.randbytes, witness, SECOND, 0, _none
        )

    def step(self, event: ev.Event, now_ns: int) -> list[ev.Tell]:
        """Step, keep, and give what is to be told."""
        began = time.thread_time_ns()
        effects = self.machine.step(event, now_ns, 1 + now_ns // SECOND)
        self.cpu_ns += time.thread_time_ns() - began
        for effect in effects:
            if isinstance(effect, KeepEntries):
                copy = self.copies[effect.origin]
                copy.data.extend(effect.entries)
                copy.tiles.update({(tile.level, tile.n): tile.data for tile in effect.tiles})
            assert not isinstance(effect, ev.Refused | ev.ForkKept | ev.OwnAhead), effect
        return [effect for effect in effects if isinstance(effect, ev.Tell)]

    def grow(self, count: int, entry_bytes: int, now_ns: int) -> None:
        """Publish a new head."""
        self.own.grow(count, entry_bytes)
        self.ours.tree, self.ours.tails = self.own.frontier.copy(), dict(self.own.tails)
        self.ours.whole, self.ours.whole_size = self.own.note(), self.own.size
        self.step(ev.Published(self.ours.whole, self.own.size, self.own.roots[-1]), now_ns)


def _none(version: int) -> bytes | None:
    return None


@dataclass
class Result:
    """Of one peer and one second."""

    cpu_ms: float
    told_bytes: float
    exchanges: float
    of: dict[str, float]
    """Kind of message -> bytes."""
    rounds_behind: float
    """Mean age of what is known of the others' logs, in heads."""


def measure(count: int, seconds: int, entries: int, entry_bytes: int, seed: int = 1) -> Result:
    """Let a federation run.

    Args:
        count: peers.
        seconds: simulated, after a warm-up.
        entries: that each log grows by each second.
        entry_bytes: size of each.
        seed: of all chance.
    """
    rng = random.Random(seed)
    names = tuple(f"p{number}" for number in range(count))
    peers = {name: Gateway(name, names, rng) for name in names}
    queue: list[tuple[int, int, Callable[[int], None]]] = []
    told, kinds, order = Counter[str](), Counter[str](), 0

    def at(when_ns: int, act: Callable[[int], None]) -> None:
        nonlocal order
        order += 1
        heapq.heappush(queue, (when_ns, order, act))

    def tick(peer: Gateway, now_ns: int) -> None:
        send(peer.name, peer.step(ev.Tick(), now_ns), now_ns)
        at(peer.machine.wake_at, lambda now: tick(peer, now))

    def grow(peer: Gateway, now_ns: int) -> None:
        peer.grow(entries, entry_bytes, now_ns)
        at(now_ns + SECOND, lambda now: grow(peer, now))

    def count_bytes(body: bytes) -> None:
        told["bytes"] += len(body)
        for message in wire.decode_body(body):
            kinds[type(message).__name__] += len(wire.encode_body([message]))

    def send(name: str, tells: list[ev.Tell], now_ns: int) -> None:
        for tell in tells:
            told["exchanges"] += 1
            count_bytes(tell.body)
            at(now_ns + LATENCY_NS, lambda now, tell=tell: ask(name, tell, now))  # type: ignore[misc]

    def ask(name: str, tell: ev.Tell, now_ns: int) -> None:
        answers = peers[tell.peer].step(ev.Received(name, tell.body), now_ns)
        body = next((told.body for told in answers if told.peer == name), wire.EMPTY_BODY)
        send(tell.peer, [told for told in answers if told.peer != name], now_ns)
        count_bytes(body)
        at(now_ns + LATENCY_NS, lambda now: answered(name, tell.peer, body, now))

    def answered(name: str, peer: str, body: bytes, now_ns: int) -> None:
        send(name, peers[name].step(ev.Received(peer, body), now_ns), now_ns)
        peers[name].step(ev.Sent(peer), now_ns)

    for peer in peers.values():
        at(rng.randrange(SECOND), lambda now, peer=peer: grow(peer, now))  # type: ignore[misc]
        at(peer.machine.wake_at, lambda now, peer=peer: tick(peer, now))  # type: ignore[misc]
    started, behind, looks = False, 0, 0
    while queue and queue[0][0] < (WARM_S + seconds) * SECOND:
        now_ns, _, act = heapq.heappop(queue)
        if not started and now_ns >= WARM_S * SECOND:
            started = True
            told.clear()
            kinds.clear()
            for peer in peers.values():
                peer.cpu_ns = 0
        act(now_ns)
        if started and order % 97 == 0:
            peer = rng.choice(list(peers.values()))
            for log in peer.logs:
                behind += (peers[log.origin.partition(".")[0]].own.size - log.size) / entries
                looks += 1
    each = count * seconds
    return Result(
        sum(peer.cpu_ns for peer in peers.values()) / 1e6 / each,
        told["bytes"] / each,
        told["exchanges"] / each,
        {kind: size / each for kind, size in kinds.most_common()},
        behind / max(1, looks),
    )


def main() -> None:
    """Measure what the command line asks for."""
    given = [int(word) for word in sys.argv[1:]]
    count, seconds, entries, entry_bytes = given + [20, 20, 1, 600][len(given) :]
    result = measure(count, seconds, entries, entry_bytes)
    print(f"{count} peers, {entries} entries of {entry_bytes} bytes each second in each log, for {seconds} s")
    print(f"each peer, each second: {result.cpu_ms:.2f} ms of CPU in the machine,", end=" ")
    print(f"{result.told_bytes / 1000:.1f} kB told and as much heard, {result.exchanges:.1f} requests")
    print(", ".join(f"{kind} {size / 1000:.1f} kB" for kind, size in result.of.items()))
    print(f"known heads are {result.rounds_behind:.1f} behind on average")


if __name__ == "__main__":
    main()
