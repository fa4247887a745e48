"""The scrub: a mirror that the disk has changed is found and pulled again, and a sound one is left alone."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from gateway.app.scrub import Scrub
from gateway.core.follow import Followed, KeepEntries, KeepHead, Logs
from gateway.core.mirror import Broken, Effect
from gateway.store.peers import PeerStore
from gateway.tlog.merkle import Frontier
from tests.sim.peer_logs import Branch, log_vkey


class Scrubbing:
    """A scrub over mirrors of alice and bob; what it finds is dropped."""

    def __init__(self, store: PeerStore, logs: Logs) -> None:
        self.logs = logs
        self.store = store
        self.broken: list[str] = []
        self.turn = asyncio.Lock()
        self.scrub = Scrub(store, logs, self.perform, self.turn, pace_s=0, round_s=0)

    async def perform(self, effects: Sequence[Effect]) -> None:
        assert self.turn.locked()
        for effect in effects:
            assert isinstance(effect, Broken)
            self.broken.append(effect.origin)
            await self.store.drop(effect.origin)
            log = self.logs.of(effect.origin)
            assert log is not None
            log.tree, log.tails, log.whole, log.whole_size = Frontier(), {}, b"", 0

    async def rounds(self, count: int) -> None:
        """Let it come through this many more rounds."""
        end = self.scrub.rounds + count
        running = asyncio.create_task(self.scrub.run())
        while self.scrub.rounds < end and not running.done():
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def scrubbing(path: Path, size: int = 700) -> tuple[Scrubbing, Branch, Branch]:
    store = await PeerStore.open(path, create=True)
    branches = [Branch("alice"), Branch("bob")]
    for one in branches:
        tiles = one.adopt([f"{one.name} {at}".encode() for at in range(size)])
        head = KeepHead(one.origin, 0, size, one.roots[size], one.note())
        await store.keep(
            [head, KeepEntries(one.origin, 0, tuple(one.data), tuple(tiles), size, head.root, head.note)]
        )
    state = await store.load()
    logs = Logs(log.followed((log_vkey("alice"),)) for log in state.logs.values())
    logs.add(Followed("me.example/log", (), ours=True))
    logs.add(Followed("outside.example/log", (), data=False))
    return Scrubbing(store, logs), *branches


async def test_sound_mirrors_are_left_alone_also_while_they_grow(tmp_path: Path) -> None:
    at_work, alice, _ = await scrubbing(tmp_path / "peers.db")
    log = at_work.logs.of(alice.origin)
    assert log is not None

    async def grow() -> None:
        while at_work.scrub.rounds < 5:
            first = alice.size
            tiles = alice.adopt([b"more %d" % at for at in range(first, first + 90)])
            size, root = alice.size, alice.roots[alice.size]
            async with at_work.turn:
                kept = KeepEntries(
                    alice.origin, first, tuple(alice.data[first:]), tuple(tiles), size, root, alice.note()
                )
                await at_work.store.keep([KeepHead(alice.origin, first, size, root, alice.note()), kept])
                log.size, log.root, log.note = size, root, alice.note()
                log.whole, log.whole_size = alice.note(), size

    growing = asyncio.create_task(grow())
    await at_work.rounds(5)
    await growing
    assert at_work.broken == []
    assert alice.size > 800
    await at_work.store.close()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE entries SET data = x'00' WHERE log = 1 AND idx = 3",
        "UPDATE entries SET data = x'00' WHERE log = 1 AND idx = 699",
        "DELETE FROM entries WHERE log = 1 AND idx = 300",
        "UPDATE tiles SET data = zeroblob(8192) WHERE log = 1 AND level = 0 AND n = 1",
        "UPDATE tiles SET data = zeroblob(64) WHERE log = 1 AND level = 1",
        "DELETE FROM tiles WHERE log = 1 AND level = 0 AND n = 2",
    ],
)
async def test_a_damaged_mirror_is_dropped(tmp_path: Path, sql: str) -> None:
    at_work, alice, bob = await scrubbing(tmp_path / "peers.db")
    await at_work.rounds(1)
    with closing(sqlite3.connect(tmp_path / "peers.db")) as connection:
        assert connection.execute(sql).rowcount == 1
        connection.commit()
    await at_work.rounds(2)
    assert at_work.broken == [alice.origin]
    state = await at_work.store.load()
    assert (state.logs[alice.origin].tree.size, state.logs[bob.origin].tree.size) == (0, 700)
    assert state.logs[alice.origin].size == 700  # what was promised stays
    await at_work.store.close()


async def test_a_mirror_that_was_dropped_meanwhile_is_not_dropped_again(tmp_path: Path) -> None:
    at_work, alice, bob = await scrubbing(tmp_path / "peers.db")
    running = asyncio.create_task(at_work.scrub.run())
    async with at_work.turn:
        await asyncio.sleep(0)
        for one in (alice, bob):
            await at_work.store.drop(one.origin)
        while not running.done() and not at_work.turn._waiters:  # it has found out, and waits for its turn
            await asyncio.sleep(0)
        for one in (alice, bob):
            log = at_work.logs.of(one.origin)
            assert log is not None
            log.tree, log.tails, log.whole, log.whole_size = Frontier(), {}, b"", 0
    while at_work.scrub.rounds < 2:
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert at_work.broken == []
    await at_work.store.close()


async def test_a_damaged_file_ends_it_and_drops_nothing(tmp_path: Path) -> None:
    path = tmp_path / "peers.db"
    at_work, _, _ = await scrubbing(path, size=4000)
    await at_work.store.close()
    data = bytearray(path.read_bytes())
    for at in range(12_288, len(data), 4096):
        data[at : at + 64] = b"\xff" * 64
    path.write_bytes(data)
    store = await PeerStore.open(path)
    at_work.store, at_work.scrub = store, Scrub(store, at_work.logs, at_work.perform, at_work.turn, 0, 0)
    await asyncio.wait_for(at_work.scrub.run(), 10)
    assert at_work.broken == []
    await store.close()
