"""Logs, sources that serve them as well or as badly as a test wants, and the mirror machine between them.

Time is virtual. What the machine wants kept goes to a store that is as strict as peers.db.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from functools import cache

from gateway.core.follow import Followed, KeepEntries, Logs
from gateway.core.mirror import (
    Blamed,
    Broken,
    Effect,
    Event,
    Fetch,
    Got,
    Mirror,
    Missing,
    Source,
    Tick,
    Wanted,
    Whole,
)
from gateway.tlog.checkpoint import Checkpoint
from gateway.tlog.merkle import Frontier
from gateway.tlog.tiles import (
    ENTRIES_LEVEL,
    TILE_WIDTH,
    encode_bundle,
    frontier_from_tiles,
    parse_tile_path,
    tails_at,
    tiles_of,
    width_at,
)
from tests.sim.peer_logs import Branch, log_vkey, origin_of
from tests.sim.peer_memory import Mirrored, PeerStore

Serve = Callable[[str, str], bytes | None]
"""(origin, path) -> what a source answers."""

BIG = 66_200  # beyond one full tile of level 1, so that there are tiles of three levels
MAX_STEPS = 3000


@cache
def branch(name: str = "alice", size: int = BIG) -> Branch:
    """A log; never changed by a test."""
    made = Branch(name)
    made.grow(size)
    return made


def honest(*branches: Branch, size: int | None = None) -> Serve:
    """Serves these logs up to a size, every partial tile that ever was."""
    by_origin = {one.origin: one for one in branches}

    def serve(origin: str, path: str) -> bytes | None:
        one, coord = by_origin[origin], parse_tile_path(path)
        most = one.size if size is None else size
        if coord.width > width_at(most, max(coord.level, 0), coord.n):
            return None
        if coord.level == ENTRIES_LEVEL:
            return encode_bundle(one.entries(coord.n * TILE_WIDTH, coord.width))
        return one.hash_tile(coord.level, coord.n, coord.width)

    return serve


def static(one: Branch, size: int) -> Serve:
    """Serves a log of a size that deleted each partial tile whose full one is there."""
    whole = honest(one, size=size)

    def serve(origin: str, path: str) -> bytes | None:
        coord = parse_tile_path(path)
        full = width_at(size, max(coord.level, 0), coord.n) == TILE_WIDTH
        return None if full and coord.width < TILE_WIDTH else whole(origin, path)

    return serve


def nobody(origin: str, path: str) -> bytes | None:
    """Serves nothing."""
    return None


def lying(serve: Serve, rng: random.Random, often: float, other: Serve) -> Serve:
    """Serves something else, as often as that."""

    def lie(origin: str, path: str) -> bytes | None:
        data = serve(origin, path)
        if data is None or rng.random() >= often:
            return data
        at = rng.randrange(len(data))
        return rng.choice(
            (
                lambda: None,
                lambda: b"",
                lambda: data[:at],
                lambda: data + b"\0",
                lambda: data + data,
                lambda: data[:at] + bytes((data[at] ^ 1 << rng.randrange(8),)) + data[at + 1 :],
                lambda: rng.randbytes(len(data)),
                lambda: other(origin, path),
            )
        )()

    return lie


class World:
    """One mirror machine, its sources, and what it keeps.

    Args:
        logs: to follow; set up by `followed`.
        sources: name -> what it serves; asked in this order.
        seed: of the order in which answers come.
        store: as strict as peers.db.
    """

    def __init__(
        self, logs: Logs, sources: dict[str, Serve], seed: int = 0, store: PeerStore | None = None
    ) -> None:
        self.logs = logs
        self.sources = sources
        self.rng = random.Random(seed)
        self.store = store or PeerStore(Branch("me"))
        self.now_ns = 1_000
        self.room = True
        self.mirror = Mirror(
            logs, lambda log: [Source(name, name) for name in self.sources], lambda: self.room
        )
        self.pending: list[Fetch] = []
        self.effects: list[Effect] = []
        self.asked: Counter[tuple[str, str]] = Counter()
        self.most_pending = 0
        self.most_entries = 0

    def step(self, event: Event) -> list[Effect]:
        """Take an event, and perform what follows."""
        effects = self.mirror.step(event, self.now_ns)
        for effect in effects:
            match effect:
                case Fetch():
                    self.pending.append(effect)
                    self.asked[effect.origin, effect.path] += 1
                case KeepEntries():
                    self.store.perform(effect)
                    self.most_entries = max(self.most_entries, len(effect.entries))
                case Broken(origin):
                    log = self.logs.of(origin)
                    assert log is not None
                    log.tree, log.tails, log.whole, log.whole_size = Frontier(), {}, b"", 0
                    self.store.mirrors[origin] = Mirrored()
        self.effects += effects
        self.most_pending = max(self.most_pending, len(self.pending))
        return effects

    def answer(self) -> bool:
        """Answer one fetch, or wait until the machine wants to be woken; False if it wants nothing."""
        if not self.pending:
            if self.mirror.wake_at >= 1 << 62:
                return False
            self.now_ns = max(self.now_ns, self.mirror.wake_at)
            self.step(Tick())
            return True
        fetch = self.pending.pop(self.rng.randrange(len(self.pending)))
        data = self.sources[fetch.source.name](fetch.origin, fetch.path)
        self.now_ns += 1_000_000
        self.step(Missing(fetch) if data is None or len(data) > fetch.limit else Got(fetch, data))
        return True

    def pull(self, *origins: str, steps: int = MAX_STEPS) -> int:
        """Pull until nothing is left to do; returns how many steps that took."""
        for origin in origins:
            self.step(Wanted(origin))
        for count in range(steps):
            if not self.answer():
                return count
        return steps

    def of(self, kind: type[Effect]) -> list[Effect]:
        """The effects of a kind so far."""
        return [effect for effect in self.effects if isinstance(effect, kind)]

    @property
    def blamed(self) -> set[str]:
        """Names of the sources that gave wrong bytes."""
        return {effect.source.name for effect in self.of(Blamed) if isinstance(effect, Blamed)}

    @property
    def wholes(self) -> list[tuple[str, int]]:
        """What became whole, in order."""
        return [(effect.origin, effect.size) for effect in self.of(Whole) if isinstance(effect, Whole)]


def followed(one: Branch, at: int, size: int, store: PeerStore | None = None) -> Followed:
    """A log whose first `at` entries are here, in the store too, and whose head has `size`."""
    log = Followed(one.origin, (log_vkey(one.name),))
    if at:
        log.tree = frontier_from_tiles(one, at)
        log.tails = {tail.level: one.hash_tile(tail.level, tail.n, tail.width) for tail in tails_at(at)}
        log.whole, log.whole_size = one.note(at), at
        if store is not None:
            mirrored = store.mirrors.setdefault(one.origin, Mirrored())
            mirrored.data, mirrored.frontier = one.entries(0, at), frontier_from_tiles(one, at)
            mirrored.whole, mirrored.whole_size = one.note(at), at
            mirrored.tiles = {
                at_: row[: 32 * width_at(at, *at_)] for at_, row in one.tiles.items() if width_at(at, *at_)
            }
    advance(log, one, size)
    return log


def advance(log: Followed, one: Branch, size: int) -> None:
    """The log has a newer head."""
    log.advance(Checkpoint(one.origin, size, one.roots[size]), one.note(size))


def check_whole(world: World, one: Branch, size: int) -> None:
    """The mirror is the log at this size, in memory and as it was kept."""
    log, kept = world.logs.of(one.origin), world.store.mirrors[one.origin]
    assert log is not None
    assert kept.data == one.data[:size]
    assert kept.tiles == {
        at: row[: 32 * width_at(size, *at)] for at, row in one.tiles.items() if width_at(size, *at)
    }
    assert (log.tree.size, log.tree.root()) == (size, one.roots[size])
    assert log.tails == {tail.level: one.hash_tile(tail.level, tail.n, tail.width) for tail in tails_at(size)}
    assert (log.whole, log.whole_size) == (one.note(size), size)
    assert (kept.whole, kept.whole_size) == (one.note(size), size)


def fewest_fetches(at: int, size: int) -> int:
    """Fetches that cannot be saved: right edge, bundles, full tiles of level 1 on the way, and those above them."""
    edge = set(tiles_of([(0, size)], size))
    bundles = (size - 1) // TILE_WIDTH - at // TILE_WIDTH + 1
    rows = set()
    for bundle in range(at // TILE_WIDTH, size // TILE_WIDTH):
        level, n = 1, bundle // TILE_WIDTH
        while width_at(size, level, n) == TILE_WIDTH:
            rows.add((level, n))
            level, n = level + 1, n // TILE_WIDTH
    return len(edge) + bundles + len(rows - {(one.level, one.n) for one in edge})


__all__ = ["BIG", "World", "branch", "followed", "honest", "origin_of", "static"]
