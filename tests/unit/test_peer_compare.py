"""What `peer compare` says of what peers said, over a real peers.db: also while logs grow and the disk is slow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.app import peer_compare
from gateway.app.peer_compare import Said, caught_up, judged
from gateway.core.follow import Followed
from gateway.core.gossip_events import Received
from gateway.tlog.checkpoint import Checkpoint, origin_hash, sign_checkpoint
from gateway.tlog.merkle import EMPTY_ROOT, leaf_hash, root_of
from gateway.wire import peer as wire
from tests import rosters
from tests.federations import Station

NORTH = rosters.log_key("north").name
ENTRIES = [f"entry {number}".encode() for number in range(20)]


def root(size: int) -> bytes:
    return root_of(list(map(leaf_hash, ENTRIES[:size])))


def said(size: int, at: bytes = b"") -> Said:
    return Said("south", 1, Checkpoint(NORTH, size, at or root(size)), "")


def head(old: int, size: int) -> Received:
    """North's head with the entries that lead there."""
    note = sign_checkpoint(Checkpoint(NORTH, size, root(size)), NORTH, rosters.key("north log 1"))
    old_root = root(old) if old else EMPTY_ROOT
    told = wire.Head(bytes.fromhex(origin_hash(NORTH)), note, old, old_root, [], ENTRIES[old:size])
    return Received("north", wire.encode_body([told]))


@pytest.fixture
async def station(tmp_path: Path) -> AsyncIterator[Station]:
    made = await Station.make(tmp_path / "store")
    await made.join("north", "south")
    made.sign()
    yield made
    await made.close()


def north(station: Station) -> Followed:
    log = station.federation.machines.logs.of(NORTH)
    assert log is not None
    return log


async def test_one_that_is_ahead_is_waited_for_and_agrees_then(station: Station) -> None:
    steps, log = station.federation.machines.steps, north(station)
    await steps.step(head(0, 3))
    waiting = asyncio.create_task(caught_up([log], [[said(5)]]))
    await asyncio.sleep(0)
    assert not waiting.done()
    # Past the head that was asked about, in one step: its root comes from tiles that are being written.
    growing = asyncio.create_task(steps.step(head(3, 7)))
    await waiting
    row = await judged(steps, log, said(5))
    await growing
    assert (row["agrees"], row["why"], row["size"]) == (True, "", 5)


async def test_one_that_stays_ahead_is_said_to_be(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_compare, "CATCH_UP_S", 0.1)
    steps, log = station.federation.machines.steps, north(station)
    await steps.step(head(0, 3))
    await caught_up([log], [[said(5)]])
    row = await judged(steps, log, said(5))
    assert (row["agrees"], row["why"]) == (None, "ahead")


async def test_nobody_waits_for_a_log_that_was_frozen_meanwhile(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_compare, "CATCH_UP_S", 600.0)
    log = north(station)
    await station.federation.machines.steps.step(head(0, 3))
    waiting = asyncio.create_task(caught_up([log], [[said(5)]]))
    await asyncio.sleep(0)
    log.frozen = True
    async with asyncio.timeout(20):
        await waiting


async def test_another_root_disagrees_and_no_head_says_so(station: Station) -> None:
    steps, log = station.federation.machines.steps, north(station)
    await steps.step(head(0, 7))
    for size in (3, 7):
        row = await judged(steps, log, said(size, b"other".ljust(32)))
        assert (row["agrees"], row["why"]) == (False, "")
    row = await judged(steps, log, Said("south", 1, None, "no_head"))
    assert (row["agrees"], row["why"], row["size"]) == (None, "no_head", 0)


async def test_more_of_our_own_log_than_there_is_is_no_agreement(station: Station) -> None:
    steps = station.federation.machines.steps
    await steps.step()
    ours = station.federation.machines.ours
    here = Said("south", 1, Checkpoint(ours.origin, ours.tree.size, ours.tree.root()), "")
    assert (await judged(steps, ours, here))["agrees"] is True
    more = Said("south", 1, Checkpoint(ours.origin, ours.tree.size + 1, bytes(32)), "")
    row = await judged(steps, ours, more)
    assert (row["agrees"], row["why"]) == (False, "own_ahead")


async def test_tiles_that_cannot_be_read_spoil_one_row_only(station: Station) -> None:
    steps, log = station.federation.machines.steps, north(station)
    await steps.step(head(0, 7))
    connection = station.federation.store._writer.connection
    connection.execute("UPDATE tiles SET data = x'00'")
    connection.commit()
    row = await judged(steps, log, said(5))
    assert (row["agrees"], row["why"]) == (None, "unreadable")
    assert not steps.failed
    assert (await judged(steps, log, said(7)))["agrees"] is True
