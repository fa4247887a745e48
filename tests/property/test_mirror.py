"""Mirrors against naive trees: any sizes, resumed anywhere, from sources that serve what they like."""

from __future__ import annotations

import random

import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st
from mirror_world import (
    BIG,
    World,
    advance,
    branch,
    check_whole,
    fewest_fetches,
    followed,
    honest,
    lying,
    static,
)

from gateway.core.follow import Logs
from gateway.core.mirror import Blamed, Broken
from gateway.core.pull import CHUNK_ENTRIES, WINDOW
from tests.sim.peer_logs import Branch
from tests.sim.peer_memory import PeerStore

# Near every boundary of tiles, and anywhere.
EDGES = [0, 1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 65_791, 65_792, 65_793, 66_048, BIG]
SIZES = st.sampled_from(EDGES) | st.integers(0, 3000) | st.integers(0, BIG)
SMALL = st.sampled_from([0, 1, 255, 256, 257, 512]) | st.integers(0, 1500)
SEEDS = st.integers(0, 1 << 32)


def world_of(at: int, size: int, seed: int, **sources: object) -> World:
    store = PeerStore(Branch("me"))
    log = followed(branch(), at, size, store)
    return World(Logs([log]), sources, seed, store)  # type: ignore[arg-type]


@given(SIZES, SIZES, SEEDS)
@example(0, BIG, 0)
@example(65_536, BIG, 1)
@example(255, 65_536, 2)
def test_any_part_of_any_size(one: int, other: int, seed: int) -> None:
    at, size = min(one, other), max(one, other)
    world = world_of(at, size, seed, alice=honest(branch()))
    world.pull(branch().origin)
    check_whole(world, branch(), size) if size else None
    assert sum(world.asked.values()) == (fewest_fetches(at, size) if at < size else 0)
    assert world.most_pending <= max(8, WINDOW)
    assert world.most_entries < CHUNK_ENTRIES + WINDOW * 256
    assert not world.of(Blamed)


@given(SMALL, SMALL, SEEDS, st.floats(0.05, 1))
def test_a_liar_is_found_out_and_another_is_asked(one: int, other: int, seed: int, often: float) -> None:
    at, size = min(one, other), max(one, other)
    rng = random.Random(seed)
    forged = branch("alice").fork(size // 2, "forged")
    forged.grow(size)
    world = world_of(
        at,
        size,
        seed,
        mallory=lying(honest(branch()), rng, often, honest(forged)),
        late=honest(branch(), size=size // 3),
        bob=honest(branch()),
    )
    world.pull(branch().origin)
    check_whole(world, branch(), size) if size else None
    assert world.blamed <= {"mallory"}
    assert not world.of(Broken)
    event(f"blamed: {bool(world.blamed)}")


@given(SMALL, SEEDS)
def test_a_lying_history_is_never_kept(size: int, seed: int) -> None:
    """All sources serve another history than the one that the head was signed for."""
    size += 1
    forged = branch("alice").fork(size - 1, "forged")
    forged.grow(300)
    world = world_of(0, size, seed, mallory=honest(forged), mate=honest(forged))
    world.pull(branch().origin, steps=40)
    kept = world.store.mirrors.get(branch().origin)
    assert kept is None or kept.data == branch().data[: len(kept.data)]
    assert world.blamed
    assert world.wholes == []


@given(st.lists(SMALL, min_size=2, max_size=6), SEEDS, st.integers(1, 40))
def test_a_log_that_grows_while_it_is_pulled(sizes: list[int], seed: int, every: int) -> None:
    sizes.sort()
    world = world_of(0, sizes[0], seed, alice=honest(branch()))
    log = world.logs.of(branch().origin)
    assert log is not None
    world.pull(log.origin, steps=every)
    for size in sizes[1:]:
        advance(log, branch(), size)
        world.pull(log.origin, steps=every)
    world.pull(log.origin)
    if sizes[-1]:
        check_whole(world, branch(), sizes[-1])
    whole = [size for _, size in world.wholes]
    assert whole == sorted(set(whole))
    assert set(whole) <= set(sizes)


@given(SMALL, SEEDS, st.lists(st.integers(0, 12), max_size=6))
def test_killed_and_resumed_anywhere(size: int, seed: int, kills: list[int]) -> None:
    """What a crash leaves is what was kept; a new machine goes on from there."""
    store = PeerStore(Branch("me"))
    origin = branch().origin
    log = followed(branch(), 0, size, store)
    store.heads[origin] = (log.size, log.root, log.note)
    for steps in [*kills, 100_000]:
        logs = store.load({origin: log.vkeys})
        world = World(logs, {"alice": honest(branch())}, seed, store)
        world.pull(origin, steps=steps)
    if size:
        check_whole(world, branch(), size)


@given(st.integers(1, 1500), st.integers(0, 1500), SEEDS)
def test_a_source_that_deleted_its_partial_tiles(size: int, more: int, seed: int) -> None:
    world = world_of(0, size, seed, alice=static(branch(), size + more))
    world.pull(branch().origin)
    check_whole(world, branch(), size)
    assert not world.of(Blamed)


@given(st.integers(1, 1400), st.integers(1, 1400), st.integers(1, 300), SEEDS)
def test_what_is_here_and_does_not_belong_to_the_head(at: int, same: int, more: int, seed: int) -> None:
    """Found before anything is kept on top of it, whatever level of tiles shows it."""
    same = min(same, at - 1)
    strange = branch().fork(same, "strange")
    strange.grow(at - same)
    store = PeerStore(Branch("me"))
    log = followed(strange, at, at, store)
    advance(log, branch(), at + more)
    world = World(Logs([log]), {"alice": honest(branch())}, seed, store)
    world.pull(log.origin)
    assert len(world.of(Broken)) == 1
    assert not world.blamed
    check_whole(world, branch(), at + more)  # dropped, and pulled again


@pytest.mark.torture
@given(st.integers(0, BIG), st.integers(0, BIG), SEEDS, st.floats(0.01, 0.5))
def test_a_liar_about_a_large_log(one: int, other: int, seed: int, often: float) -> None:
    at, size = min(one, other), max(one, other)
    forged = branch("alice").fork(size // 2, "forged")
    forged.grow(size - size // 2)
    liar = lying(honest(branch()), random.Random(seed), often, honest(forged))
    world = world_of(at, size, seed, mallory=liar, bob=honest(branch()))
    world.pull(branch().origin)
    check_whole(world, branch(), size) if size else None
    assert world.blamed <= {"mallory"}
