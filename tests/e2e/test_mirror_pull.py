"""Mirrors over real sockets: from a liar, from nobody, from the log itself, and from another mirror of it."""

from __future__ import annotations

import asyncio
import random
import socket
from pathlib import Path

import pytest
from mirror_pull import Pulling, Served, pulling, served
from mirror_world import honest, lying

from gateway.app.peer_log_reader import PeerLogReader
from gateway.core.mirror import Whole
from gateway.store.peers import PeerStore
from gateway.tlog.checkpoint import origin_hash
from gateway.tlog.tiles import tile_path, width_at
from tests.sim.peer_logs import Branch

FIRST, LAST = 20_000, 20_700


async def check(store: PeerStore, one: Branch, size: int) -> None:
    """What is in peers.db is the log."""
    assert await store.entries_of(one.origin, 0, size + 1) == one.data[:size]
    found = [damages async for damages in store.walk(one.origin, size, {size: one.roots[size]}) if damages]
    assert found == []


def nobody_there() -> str:
    """A URL at which nobody answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"https://127.0.0.1:{free.getsockname()[1]}"


@pytest.mark.slow
async def test_20_000_entries_that_grow_from_a_liar_from_nobody_and_from_their_log(tmp_path: Path) -> None:
    alice = Branch("alice")
    alice.grow(LAST, 300)
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    forged = alice.fork(FIRST // 2, "forged")
    forged.grow(FIRST // 2)
    liar = lying(honest(alice), random.Random(seed), 0.03, honest(forged))
    sources = [served(liar, alice), served(honest(alice), alice)]
    urls = {"mallory": sources[0].url, "gone": nobody_there(), "alice": sources[1].url}
    path = tmp_path / "peers.db"
    try:
        async with pulling(path, [alice], urls) as pull:
            await pull.head(alice, FIRST)
            while not pull.effects:
                pull.changed.clear()
                await asyncio.wait_for(pull.changed.wait(), 20)
            await pull.head(alice, LAST)  # while it is pulled
            await pull.until_whole(alice, LAST)
            await check(pull.store, alice, LAST)
            assert next(effect for effect in pull.effects if isinstance(effect, Whole)).size in (FIRST, LAST)
            assert pull.blamed <= {"mallory"}
            assert pull.mirrors.progress() == []
            # Another one copies the copy.
            reader = PeerLogReader(pull.store, pull.logs, lambda log: log.whole)
            mirror = Served(reader.resource)
            try:
                async with pulling(tmp_path / "second.db", [alice], {"bob": mirror.url}) as second:
                    await second.head(alice, LAST)
                    await second.until_whole(alice, LAST)
                    await check(second.store, alice, LAST)
            finally:
                mirror.close()
    finally:
        for source in sources:
            source.close()


async def test_a_pull_that_is_cancelled_goes_on_where_it_was(tmp_path: Path) -> None:
    alice = Branch("alice")
    alice.grow(6000)
    source = served(honest(alice), alice)
    path = tmp_path / "peers.db"
    try:
        async with pulling(path, [alice], {"alice": source.url}) as pull:
            await pull.head(alice, 6000)
            while not pull.effects:
                pull.changed.clear()
                await asyncio.wait_for(pull.changed.wait(), 20)
        before = len(source.asked)
        store = await PeerStore.open(path)
        kept = (await store.load()).logs[alice.origin].tree.size
        await store.close()
        assert 2000 < kept <= 6000
        async with pulling(path, [alice], {"alice": source.url}) as pull:
            if kept < 6000:
                await pull.until_whole(alice, 6000)
            await check(pull.store, alice, 6000)
    finally:
        source.close()
    again = [name for name in source.asked[before:] if "/entries/" in name]
    assert len(again) <= (6000 - kept) // 256 + 2


async def test_only_what_is_whole_is_served(tmp_path: Path) -> None:
    alice, bob = Branch("alice"), Branch("bob")
    for one in (alice, bob):
        one.grow(700)
    source = served(honest(alice, bob, size=300), alice, bob)
    try:
        async with pulling(tmp_path / "peers.db", [alice, bob], {"alice": source.url}) as pull:
            await pull.head(alice, 300)
            await pull.until_whole(alice, 300)
            await pull.head(alice, 700)
            await pull.head(bob, 700)
            await served_is(pull, alice, 300)
            await served_is(pull, bob, 0)
            log = pull.logs.of(alice.origin)
            assert log is not None
            log.data = False
            await served_is(pull, alice, 0)
    finally:
        source.close()


async def served_is(pull: Pulling, one: Branch, size: int) -> None:
    """Exactly the resources of the log at this size are served."""
    reader = PeerLogReader(pull.store, pull.logs, lambda log: log.whole or None)
    name, truth = origin_hash(one.origin), honest(one, size=size)
    for level in (-1, 0, 1, 2):
        for n in range(4):
            for width in (1, 2, 44, 188, 255, 256):
                path = tile_path(level, n, width)
                expected = truth(one.origin, path)
                assert (expected is not None) == (width <= width_at(size, max(level, 0), n))
                assert await reader.resource(f"{name}/{path}") == expected
    checkpoint = await reader.resource(f"{name}/checkpoint")
    whole = pull.logs.of(one.origin)
    assert whole is not None
    assert checkpoint == (whole.whole or None)
    for wrong in (
        f"{name.upper()}/checkpoint",
        f"{name[:-1]}/checkpoint",
        "checkpoint",
        f"{name}//checkpoint",
        name,
    ):
        assert await reader.resource(wrong) is None
    assert await reader.resource(f"{name}/tile/0/0") is None
    assert await reader.resource(f"{'0' * 64}/checkpoint") is None
