"""Steps and their effects: what is broken off promises nothing, and a false alarm stops nobody."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.app.peer_steps import Reactions, Steps
from gateway.core.contradiction import Alarm
from gateway.core.follow import Followed, Logs, Shelf
from gateway.core.witness import Witness
from gateway.errors import StoreError
from gateway.store.peers import PeerStore
from gateway.tlog.checkpoint import origin_hash
from gateway.tlog.tiles import consistency_from_tiles
from gateway.tlog.witness import AddCheckpoint
from tests.sim.peer_logs import Branch, key_of, log_vkey, witness_name


class Desk:
    """Steps over a real file; we are `own`, and follow alice."""

    def __init__(self, store: PeerStore) -> None:
        self.store = store
        self.own, self.alice = Branch("own"), Branch("alice")
        self.own.grow(4)
        self.ours = Followed(self.own.origin, (log_vkey("own"),), ours=True)
        self.log = Followed(self.alice.origin, (log_vkey("alice"),))
        self.logs = Logs([self.ours, self.log])
        self.alarms: list[Alarm] = []
        self.broken: Exception | None = None
        self.steps = self.make()

    def make(self) -> Steps:
        reactions = Reactions(
            tell=lambda peer, body, urgent: None,
            behind=lambda origin: None,
            cosigned=lambda effect: None,
            alarm=self.alarms.append,
            forked=lambda origin, fork: None,
            roster=lambda signed: None,
        )
        witness = Witness(witness_name("own"), key_of("own", "witness"), self.logs, self.shelf)
        return Steps(
            self.store, self.logs, self.ours, self.shelf, witness, self.newest, reactions, asyncio.Lock()
        )

    def shelf(self, origin: str) -> Shelf:
        if self.broken is not None:
            raise self.broken
        return self.own if origin == self.own.origin else self.alice

    def newest(self) -> tuple[bytes, int, bytes]:
        return self.own.note(), self.own.size, self.own.roots[-1]

    def asked(self, grow: int = 1) -> bytes:
        """Alice's log grows, and asks for a cosignature."""
        old = self.alice.size
        self.alice.grow(grow)
        proof: Sequence[bytes] = consistency_from_tiles(self.alice, old, self.alice.size) if old else ()
        return AddCheckpoint(old, tuple(proof), self.alice.note()).encode()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    store = await PeerStore.open(tmp_path / "peers.db", create=True)
    yield Desk(store)
    await store.close()


def busy(store: PeerStore) -> threading.Event:
    """Keep the writer's thread busy until the event is set."""
    free = threading.Event()
    store._keeping.submit(free.wait, 10)
    return free


async def test_nobody_is_shown_what_is_not_on_disk(desk: Desk) -> None:
    free = busy(desk.store)
    asking = asyncio.create_task(desk.steps.add_checkpoint(desk.asked()))
    watching = asyncio.create_task(desk.steps.monitor(origin_hash(desk.alice.origin)))
    await asyncio.sleep(0.05)
    assert desk.log.size == 1
    assert not asking.done()
    assert not watching.done()
    free.set()
    assert (await asking).status == 200
    assert await watching


async def test_a_step_that_is_cancelled_ends_all_steps(desk: Desk) -> None:
    free = busy(desk.store)
    asking = asyncio.create_task(desk.steps.add_checkpoint(desk.asked()))
    waiting = asyncio.create_task(desk.steps.monitor(origin_hash(desk.alice.origin)))
    await asyncio.sleep(0.05)
    asking.cancel()
    free.set()
    with pytest.raises(asyncio.CancelledError):
        await asking
    with pytest.raises(StoreError, match="read again"):
        await waiting
    with pytest.raises(StoreError, match="read again"):
        await desk.steps.add_checkpoint(desk.asked())
    assert desk.steps.failed


@pytest.mark.parametrize("error", [StoreError("disk_io", "a shelf"), KeyError("a bug")])
async def test_a_step_that_breaks_ends_all_steps(desk: Desk, error: Exception) -> None:
    assert (await desk.steps.add_checkpoint(desk.asked())).status == 200
    desk.own.grow(1)  # so that our own tiles are looked at
    desk.broken = error
    with pytest.raises(type(error)):
        await desk.steps.add_checkpoint(desk.asked())
    desk.broken = None
    with pytest.raises(StoreError, match="read again"):
        await desk.steps.monitor(origin_hash(desk.alice.origin))


async def test_the_error_that_is_told_again_and_again_does_not_grow(desk: Desk) -> None:
    desk.steps.turn.failed = True
    errors: list[Any] = []
    for _ in range(3):
        with pytest.raises(StoreError) as raised:
            await desk.steps.step()
        errors.append(raised.value)
    assert len(set(map(id, errors))) == 3
    assert not any(error.fatal for error in errors), "the store is sound"


async def test_a_head_that_our_log_has_by_now_is_no_alarm(desk: Desk) -> None:
    # A witness shows a head that we signed a moment ago, before it was followed here.
    await desk.steps.step()
    desk.own.grow(2)
    await desk.steps.alarmed(Alarm("w", desk.own.size, desk.own.note(), None))
    assert desk.alarms == []
    further = Branch("own")
    further.adopt(desk.own.data)
    further.grow(1)
    await desk.steps.alarmed(Alarm("w", further.size, further.note(), None))
    assert [(alarm.where, alarm.size) for alarm in desk.alarms] == [("w", further.size)]


async def test_a_witness_without_memory_cosigns_nothing(desk: Desk) -> None:
    body = desk.asked()
    desk.steps.learn()
    assert (await desk.steps.add_checkpoint(body)).status == 503
    assert await desk.steps.cosign_own(desk.own.note()) == ""
    assert await desk.steps.monitor(origin_hash(desk.alice.origin)) is None
    desk.steps.learn_no_more()
    assert (await desk.steps.add_checkpoint(body)).status == 200
    assert await desk.steps.cosign_own(desk.own.note())
