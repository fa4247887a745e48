"""A gateway among peers, at what goes wrong: nothing that breaks ends the daemon, and nothing is forgotten by it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from gateway.app import federation as federations
from gateway.app.verbs_peer import PeerVerbs
from gateway.core.follow import KeepCosigned, KeepFork, KeepHead
from gateway.core.gossip_events import Received
from gateway.errors import StoreError, StoreRefused
from gateway.net.control import Caller
from gateway.tlog.checkpoint import Checkpoint, open_checkpoint, origin_hash, sign_checkpoint
from gateway.tlog.fork import Fork
from gateway.tlog.witness import AddCheckpoint
from gateway.wire import peer as wire
from tests import rosters
from tests.federations import Station
from tests.log_server import LogServer

NORTH = "north.clinic.example/vrlog"


@pytest.fixture
async def station(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Station]:
    monkeypatch.setattr(federations, "RETRY_S", 0.05)
    monkeypatch.setattr(federations, "LEARN_S", 0.1)
    monkeypatch.setattr(federations, "TOLD_S", 0.0)
    made = await Station.make(tmp_path / "store")
    yield made
    await made.close()


class Running:
    """The federation at work, as a task of the daemon."""

    def __init__(self, station: Station) -> None:
        self.station = station
        self.task = asyncio.create_task(station.federation.run())

    async def __aenter__(self) -> Running:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.wait([self.task], timeout=10)
        assert self.task.done(), "it does not end"

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                assert not self.task.done(), "it ended the daemon"
                await asyncio.sleep(0.01)


def head_of(name: str, size: int, root: bytes = b"") -> bytes:
    """A head of a member's log, signed by it."""
    vkey = rosters.log_key(name)
    return sign_checkpoint(
        Checkpoint(vkey.name, size, root or bytes([size]) * 32), vkey.name, rosters.key(f"{name} log 1")
    )


def first_head(name: str, size: int) -> bytes:
    """What asks a witness to cosign the first head that it sees of a log."""
    return AddCheckpoint(0, (), head_of(name, size)).encode()


def fork_of(name: str, size: int) -> Fork:
    """Evidence against a member's log."""
    return Fork(head_of(name, size), head_of(name, size, b"other".ljust(32)), b"other".ljust(32), ())


# ---- what breaks ----------------------------------------------------------------------------------------------------


async def test_a_peers_db_that_failed_is_opened_again_and_peers_are_asked_as_before(station: Station) -> None:
    await station.join("north")
    station.sign()
    async with Running(station) as running:
        steps = station.federation.machines.steps
        await running.until(lambda: steps.refused or station.federation.report.refused)
        await running.until(lambda: station.federation.membership.to_enter is None)
        old = station.federation.store
        old._writer.connection.execute("PRAGMA busy_timeout=0")
        evidence = wire.encode_body([wire.Evidence(_hash(NORTH), fork_of("north", 5).encode())])
        with closing(sqlite3.connect(station.layout.peers, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError):
                # Frozen in memory now, and not on the disk.
                await steps.step(Received("north", evidence))
        with pytest.raises(StoreError, match="read again"):
            await station.federation.add_checkpoint(first_head("north", 3))
        await running.until(lambda: station.federation.machines.steps is not steps)
        assert station.federation.store is not old
        log = station.federation.machines.logs.of(NORTH)
        assert log is not None
        assert not log.frozen, "what was not kept is not so"
        # Peers are asked again (they are away, which is counted), and the roster can be written.
        station.federation.report.refused.clear()
        await running.until(lambda: station.federation.report.refused["north"]["peer_away"])
        assert station.federation.membership.roster is not None
        await station.publish(station.next(station.federation.membership.roster, "north", "south"))
        await running.until(lambda: station.entered == [1, 2, 3])


async def test_what_nobody_thought_of_ends_no_daemon(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    bugs: list[str] = []
    monkeypatch.setattr(station.observer, "bug", lambda error, at: bugs.append(error))
    await station.join("north")
    async with Running(station) as running:
        machines = station.federation.machines
        await running.until(lambda: station.entered == [1, 2])

        def broken() -> None:
            raise KeyError("of a peer's making")

        machines.look = broken  # type: ignore[method-assign]
        await running.until(lambda: station.federation.machines is not machines)
        assert not station.federation.machines.steps.failed
    assert bugs == ["KeyError"]


async def test_it_ends_when_it_is_told_to_although_something_breaks_at_that_moment(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise StoreError("disk_io", "while it was being cancelled")

    async with Running(station):
        await asyncio.sleep(0)
        monkeypatch.setattr(station.federation.joining, "run", broken)
        station.federation.machines.steps.turn.failed = True  # so that it begins again, with that
        station.federation.published()
        await asyncio.sleep(0.3)


async def test_a_peers_db_that_cannot_be_opened_is_tried_until_it_can(station: Station) -> None:
    await station.join("north")
    path = station.layout.peers
    async with Running(station) as running:
        await running.until(lambda: station.entered == [1, 2])
        aside = path.with_suffix(".aside")
        path.rename(aside)
        steps = station.federation.machines.steps
        steps.turn.failed = True
        station.federation.published()
        await running.until(lambda: station.federation.store._closed)
        await asyncio.sleep(0.3)
        assert not path.exists(), (
            "one that is gone is not made anew: it would have forgotten what was promised"
        )
        with pytest.raises(StoreError):
            await station.federation.shown.resource("0" * 64 + "/checkpoint")
        aside.rename(path)
        await running.until(lambda: station.federation.machines.steps is not steps)
        assert len(station.federation.membership.others) == 1


# ---- what is promised -----------------------------------------------------------------------------------------------


async def test_a_start_is_refused_where_peers_db_knows_a_larger_head(station: Station) -> None:
    await station.federation.guard(station.head)
    keys = station.house.keys
    size = station.head.size + 1
    note = sign_checkpoint(Checkpoint(keys.origin, size, bytes(32)), keys.origin, *keys.log_keys)
    await station.federation.store.keep([KeepHead(keys.origin, 0, size, bytes(32), note)])
    await station.shut()
    await station.open()
    with pytest.raises(StoreRefused) as refused:
        await station.federation.guard(station.head)
    assert refused.value.code == "rolled_back"
    await station.grow()
    with pytest.raises(StoreRefused) as refused:
        await station.federation.guard(station.head)
    assert refused.value.code == "forked"


async def test_a_witness_outside_is_asked_too_before_anything_is_signed(
    station: Station, tmp_path: Path
) -> None:
    keys = station.house.keys
    larger = Checkpoint(keys.origin, station.head.size + 1, bytes(32))
    served = tmp_path / "witness" / origin_hash(keys.origin)
    served.mkdir(parents=True)
    (served / "checkpoint").write_bytes(sign_checkpoint(larger, keys.origin, *keys.log_keys))
    with LogServer(served.parent) as witness:
        outside = replace(rosters.outside("east"), url=witness.url)
        await station.publish(rosters.roster(station.member(), outside=(outside,), outside_threshold=1))
        with pytest.raises(StoreRefused) as refused:
            await station.federation.guard(station.head)
    assert refused.value.code == "rolled_back"
    assert refused.value.message.startswith("east")


async def test_a_head_that_was_committed_and_not_signed_yet_is_no_alarm(station: Station) -> None:
    # As after a crash between the two: a witness has what the last run signed, and this run has signed nothing yet.
    station.sign()
    note, size, _ = station.newest()
    station.note = b""
    await station.join("north")
    status, _, body = await station.federation.add_checkpoint(AddCheckpoint(0, (), note).encode())
    assert (status, station.stopped) != (403, []), body
    assert station.stopped == []
    assert station.federation.machines.ours.tree.size == size


async def test_what_was_confirmed_is_known_again_after_a_start(station: Station) -> None:
    station.sign()
    note, size, _ = station.newest()
    await station.federation.store.keep([KeepCosigned(size, note, 1234)])
    await station.shut()
    await station.grow()
    await station.open()
    confirming = station.federation.machines.confirming
    assert (confirming.size, confirming.machine.lag.confirmed) == (size, size)
    assert confirming.machine.confirmed_at_ms == 1234


async def test_what_is_shown_never_gets_smaller_also_over_a_start(station: Station) -> None:
    station.sign()
    note, size, _ = station.newest()
    await station.federation.store.keep([KeepCosigned(size, note, 1234)])
    await station.grow()
    station.sign()
    await station.shut()
    await station.open()
    shown = await station.federation.shown.resource("checkpoint")
    assert shown is not None
    assert open_checkpoint(shown, *station.house.log_vkeys).size == size + 1


async def test_a_new_peers_db_cosigns_nothing_before_it_heard_what_peers_know(station: Station) -> None:
    await station.publish(station.first())
    assert not station.federation.machines.steps.learning
    await station.publish(station.next(station.first(), "north"))
    assert station.federation.machines.steps.learning
    assert (await station.federation.add_checkpoint(first_head("north", 3)))[0] == 503
    await station.shut()
    await station.open()
    assert station.federation.machines.steps.learning, "as long as nobody was heard"
    async with Running(station) as running:
        await asyncio.sleep(0.5)
        assert station.federation.machines.steps.learning
        await station.federation.machines.steps.step(Received("north", wire.EMPTY_BODY))
        await running.until(lambda: not station.federation.machines.steps.learning)
        assert (await station.federation.add_checkpoint(first_head("north", 3)))[0] == 200
    await station.shut()
    await station.open()
    assert not station.federation.machines.steps.learning


async def test_a_log_that_left_and_comes_back_is_where_it_was(station: Station) -> None:
    with_north = await station.join("north", "south")
    station.federation.machines.steps.learn_no_more()
    assert (await station.federation.add_checkpoint(first_head("north", 3)))[0] == 200
    without = station.next(with_north, "south")
    await station.publish(without)
    assert station.federation.machines.logs.of(NORTH) is None
    await station.publish(station.next(without, "north", "south"))
    station.federation.machines.steps.learn_no_more()
    status, _, body = await station.federation.add_checkpoint(first_head("north", 4))
    assert (status, body) == (409, b"3\n")


async def test_evidence_counts_for_a_log_that_comes_later(station: Station) -> None:
    await station.federation.store.keep([KeepFork(NORTH, fork_of("north", 5), 1)])
    await station.shut()
    await station.open()
    await station.join("north")
    log = station.federation.machines.logs.of(NORTH)
    assert log is not None
    assert log.frozen
    assert log.fork == fork_of("north", 5), "it is told on"


async def test_a_log_that_was_only_witnessed_is_copied_once_it_is_a_members(station: Station) -> None:
    witness = replace(station.config.witness, logs=(rosters.log_key("north").encode(),))
    station.config = replace(station.config, witness=witness)
    await station.shut()
    await station.open()
    log = station.federation.machines.logs.of(NORTH)
    assert log is not None
    assert not log.data
    roster = await station.join("north")
    assert log.data
    assert station.federation.machines.logs.of(NORTH) is log
    await station.shut()
    await station.open()
    log = station.federation.machines.logs.of(NORTH)
    assert log is not None
    assert log.data
    await station.publish(station.next(roster, "south"))
    log = station.federation.machines.logs.of(NORTH)
    assert log is not None
    assert not log.data


async def test_a_log_to_cosign_may_have_two_keys_during_a_rotation(station: Station) -> None:
    keys = (rosters.log_key("north"), rosters.log_key("north", 2))
    witness = replace(station.config.witness, logs=tuple(key.encode() for key in keys))
    station.config = replace(station.config, witness=witness)
    await station.shut()
    await station.open()
    log = station.federation.machines.logs.of(NORTH)
    assert log is not None
    assert log.vkeys == keys


async def test_what_a_person_asks_of_a_failed_peers_db_does_not_end_the_store(station: Station) -> None:
    verbs = PeerVerbs(station.config, station.federation).verbs()
    connection = station.federation.store._writer.connection
    station.federation.store._writer._failed = True  # as after a COMMIT with an unknown outcome
    raw = rosters.signed(station.first()).raw.decode()
    for _ in range(2):
        with pytest.raises(StoreError) as raised:
            await verbs["peer.roster.publish"]({"raw": raw}, Caller(1, 1000, 1000))
        assert not raised.value.fatal
    assert not connection.in_transaction
    async with Running(station) as running:
        steps = station.federation.machines.steps
        await running.until(lambda: station.federation.machines.steps is not steps)
        await verbs["peer.roster.publish"]({"raw": raw}, Caller(1, 1000, 1000))


# ---- rosters --------------------------------------------------------------------------------------------------------


async def test_every_version_becomes_an_entry_also_those_that_came_together(station: Station) -> None:
    roster = await station.join("north")
    roster_3 = station.next(roster, "north", "south")
    roster_4 = station.next(roster_3, "north")
    body = wire.encode_body([wire.RosterDoc(rosters.signed(one).raw) for one in (roster_3, roster_4)])
    await station.federation.machines.steps.step(Received("north", body))
    assert station.federation.membership.roster == roster_4
    async with Running(station) as running:
        await running.until(lambda: len(station.entered) >= 4)
    assert station.entered == [1, 2, 3, 4]


async def test_a_roster_that_may_not_come_next_harms_nothing(station: Station) -> None:
    roster = await station.join("north")
    with pytest.raises(Exception, match="does not follow"):
        await station.publish(station.next(station.next(roster, "north"), "south"))
    assert not station.federation.machines.steps.failed
    await station.publish(station.next(roster, "south"))


async def test_whoever_was_left_out_comes_back_by_a_card_some_versions_later(station: Station) -> None:
    roster = await station.join("north")
    await station.federation.joining.accept(rosters.anchor_of(roster))
    out = rosters.following(roster, rosters.member("north"))
    await station.publish(out)
    assert station.federation.membership.us is None
    assert list(station.federation.machines.logs) == [station.federation.machines.ours]
    again = station.next(rosters.following(out, rosters.member("north"), rosters.member("south")), "north")
    await station.publish(again)
    assert station.federation.membership.us is not None
    assert station.federation.membership.to_enter == 1


async def test_another_federation_takes_everything_of_the_one_before_away(station: Station) -> None:
    await station.publish(station.first())
    other = rosters.roster(rosters.member("north"), federation=b"another".ljust(16))
    await station.federation.joining.accept(rosters.anchor_of(other))
    assert station.federation.membership.roster is None
    assert station.federation.raw_roster() == b""
    assert not station.federation.machines.confirming.machine.active
    await station.publish(station.next(other, "north"))
    assert [member.name for member in station.federation.membership.others] == ["north"]


def _hash(origin: str) -> bytes:
    return sha256(origin.encode()).digest()
