"""Delivery by a device: receipts, resends, floor, overflow, pace, memory."""

from __future__ import annotations

import sys
from itertools import pairwise

import pytest
from device_side import MS, OtherSide, Rig, S

from gateway.device.events import Changed, RefusedFrame, RefusedPackets, Start, Stop, Stored
from gateway.wire import kinds
from gateway.wire import packet as wire
from gateway.wire.frame import Data

POSE_FRAME = bytes(16 * 64)


def pose(rig: Rig) -> None:
    rig.capture(0, kinds.POSE)


def full(rig: Rig) -> None:
    """One full pose frame, hence one packet."""
    rig.capture(0, kinds.POSE, 16)


def started(**changes: object) -> Rig:
    rig = Rig.make(**({"probes": False} | changes))
    rig.step(Start())
    rig.run(100 * MS)
    assert rig.device.current is not None
    return rig


def held_samples(rig: Rig) -> int:
    found = 0
    for link in rig.device.links:
        for seq in range(link.next_seq):
            held = link.ring.get(seq)
            found += sum(count for _, _, count in held.spans) if held else 0
    return found


def balanced(rig: Rig) -> bool:
    account = rig.device.account
    unsealed = rig.device.status()["unsealed"]
    assert isinstance(unsealed, int)
    settled = account.stored + sum(account.refused.values()) + sum(account.lost.values())
    return account.captured == settled + held_samples(rig) + unsealed


def test_a_receipt_empties_the_ring_once() -> None:
    rig = started()
    rig.commit_ns = 0
    for _ in range(5):
        full(rig)
    far = rig.far.links[101]
    seqs = sorted(far.got)
    root = b"r" * 32
    assert rig.device.links.held_packets == 5
    effects = rig.give(rig.far.receipt(far, [(12, root, [seqs[0], seqs[2]])]))
    assert effects == [Stored(seqs[0], seqs[2], 12, root, 101, 3)]
    assert rig.device.links.held_packets == 2
    again = rig.give(rig.far.receipt(far, [(0, b"", [seqs[0], seqs[3]])]))
    assert again == [Stored(seqs[3], seqs[3], 0, b"", 101, 1)]
    assert rig.give(rig.far.receipt(far, [(12, root, [seqs[0], seqs[2]])])) == []
    assert rig.give(rig.far.receipt(far, [(12, root, [0, 2**64 - 1])]))[0] == Stored(
        seqs[4], seqs[4], 12, root, 101, 1
    )
    assert rig.device.account.stored == 80
    assert balanced(rig)


def test_a_copy_or_a_forgery_of_a_receipt_does_nothing() -> None:
    rig = started()
    rig.commit_ns = 0
    full(rig)
    far = rig.far.links[101]
    good = rig.far.receipt(far, [(1, bytes(32), [0, 1000])])
    for at in range(len(good)):
        bad = bytearray(good)
        bad[at] ^= 0x80
        rig.give(bytes(bad))
    other = OtherSide(key=b"x" * 32)
    other.links[101] = far
    assert rig.device.links.held_packets == 1
    rig.give(good)
    assert rig.device.links.held_packets == 0
    ignored = sum(rig.device.account.ignored.values())
    full(rig)
    rig.give(good)
    assert rig.device.links.held_packets == 1, "an old receipt says nothing about a new packet"
    assert rig.device.account.ignored["copy"] == 1
    assert sum(rig.device.account.ignored.values()) == ignored + 1


def test_refusals_are_told_and_counted() -> None:
    rig = started(linger_ms=5)
    rig.commit_ns = 0
    far = rig.far.links[101]
    full(rig)
    rig.capture(1, kinds.BUTTON, 3)
    rig.capture(2, kinds.HAPTIC, 4)
    rig.run(10 * MS)
    first, mixed = sorted(far.got)
    effects = rig.give(
        rig.far.receipt(
            far,
            stored=[(3, bytes(32), [mixed, mixed])],
            refused=[("consent", [first, first])],
            frames=[(mixed, 2, "kind")],
            totals=[(0, 16, 0, 16, 0), (1, 3, 3, 0, 0)],
        )
    )
    assert RefusedPackets("consent", first, first, 101, 1) in effects
    assert RefusedFrame("kind", mixed, 2, 101) in effects
    assert rig.device.account.refused == {"consent": 16, "kind": 4}
    assert rig.device.account.stored == 3
    assert balanced(rig)
    link = rig.device.current
    assert link is not None
    assert link.totals == {0: (16, 0, 16, 0), 1: (3, 3, 0, 0)}
    assert rig.give(rig.far.receipt(far, frames=[(mixed, 2, "kind")])) == []


def test_resends_are_the_same_bytes_and_back_off() -> None:
    rig = started(silence_ms=100_000)
    rig.commit_ns = 0
    start = rig.now
    full(rig)
    rig.run(40 * S)
    sends = [(at - start, packet) for at, packet in rig.sent if packet[3] == wire.DATA]
    assert len({packet for _, packet in sends}) == 1
    assert [at // (100 * MS) for at, _ in sends] == [0, 25, 75, 175, 275, 375]
    assert rig.device.account.resent == 5
    assert rig.far.links[101].copies == 5


def test_what_was_overtaken_is_resent_at_once() -> None:
    rig = started()
    far = rig.far.links[101]
    lost = rig.device.current.next_seq if rig.device.current else -1
    rig.lose = lambda header: (
        header.type == wire.DATA and header.seq == lost and not rig.device.account.resent
    )
    rig.run(1500 * MS, full, 10 * MS)
    assert lost in far.got
    assert rig.device.account.resent == 1


def test_floor_is_the_lowest_held() -> None:
    rig = started()
    rig.commit_ns = 0
    far = rig.far.links[101]
    for _ in range(4):
        full(rig)
    seqs = sorted(far.got)
    floors = [body.floor for body in far.bodies.values() if isinstance(body, Data)]
    assert floors == [seqs[0]] * 4
    rig.give(rig.far.receipt(far, [(1, bytes(32), [seqs[0], seqs[1], seqs[3], seqs[3]])]))
    full(rig)
    assert far.bodies[max(far.bodies)].floor == seqs[2]
    rig.give(rig.far.receipt(far, [(1, bytes(32), [seqs[2], max(far.bodies)])]))
    full(rig)
    assert far.bodies[max(far.bodies)].floor == max(far.bodies)


@pytest.mark.parametrize("limit", [{"ring_packets": 10}, {"ring_bytes": 11_900}])
def test_overflow_drops_the_oldest_and_raises_the_floor(limit: dict[str, int]) -> None:
    rig = started(**limit)
    rig.commit_ns = 0
    far = rig.far.links[101]
    for _ in range(30):
        full(rig)
    seqs = sorted(far.got)
    held = rig.device.links.held_packets
    assert held == 10
    assert rig.device.links.held_bytes <= 11_900
    assert rig.device.lost == {"overflow": 20 * 16}
    # The packet is sealed before it takes the oldest one's place.
    assert far.bodies[seqs[-1]].floor == seqs[-11]
    assert balanced(rig)
    rig.step(Stop())
    assert rig.device.links.held_bytes <= 11_900
    rig.commit_ns = S
    rig.run(5 * S)
    assert rig.device.idle
    bye = rig.far.bye(101)
    assert bye is not None
    assert dict(bye.totals)[0] == 30 * 16, "the lost tail and the lost head are in the totals"


def test_memory_is_bounded_with_nobody_answering() -> None:
    rig = started(silence_ms=3_000)
    rig.up = False
    for _ in range(100_000):
        rig.device.capture(0, kinds.POSE, POSE_FRAME, 16, rig.now)
        rig.now += MS
        if rig.device.wake_at is not None and rig.device.wake_at <= rig.now and rig.now % (10 * MS) == 0:
            rig.run(0)
            rig.effects.clear()
            rig.sent.clear()
    status = rig.device.status()
    assert rig.device.links.held_bytes <= 16 * 1024 * 1024
    assert rig.device.links.held_packets <= 32_768
    assert rig.device.totals()[0] == 1_600_000
    assert status["captured"] == 1_600_000
    ring = rig.device.links.get(101)
    assert ring is not None
    entries = sum(len(queue) for queue in ring.ring._queues)
    assert entries <= 2 * len(ring.ring) + 1_025
    assert sys.getsizeof(ring.ring._held) < 4 * 1024 * 1024
    assert rig.of(Changed) == []
    rig.step(Stop())
    assert balanced(rig)


def test_nothing_is_kept_before_a_link_records() -> None:
    rig = Rig.make()
    for _ in range(1000):
        assert rig.capture(0, kinds.POSE, 16) == []
    assert rig.device.status()["unrecorded"] == 16_000
    assert rig.device.totals() == {}
    assert rig.device.idle
    assert rig.device.wake_at is None


def test_a_backlog_drains_at_twice_the_live_rate_and_never_in_a_burst() -> None:
    rig = started()
    rig.run(4 * S, full, 20 * MS)
    rig.up = False
    rig.run(30 * S, full, 20 * MS)
    backlog = rig.device.links.held_packets
    assert backlog > 1400
    rig.sent.clear()
    rig.up = True
    begin = rig.now
    rig.run(30 * S, full, 20 * MS)
    resent = [
        at for at, packet in rig.sent if packet[3] == wire.DATA and wire.parse_header(packet).t_send_ns != at
    ]
    for second in range(25):
        count = sum(begin + second * S <= at < begin + (second + 1) * S for at in resent)
        assert count <= 102, "twice the 50 live packets a second"
    assert all(b - a > 4 * MS for a, b in zip(resent, resent[3:], strict=False)), "spread out"
    first_sends = [
        at for at, packet in rig.sent if packet[3] == wire.DATA and wire.parse_header(packet).t_send_ns == at
    ]
    assert max(b - a for a, b in pairwise(first_sends)) == 20 * MS, "live data waits for nothing"
    assert rig.device.behind_ns(rig.now) < 2 * S
    assert rig.of(Changed)[-1] == Changed("recording", "")
    assert rig.device.lost == {}


def test_resends_into_a_silence_are_only_probes() -> None:
    rig = started()
    rig.run(2 * S, full, 20 * MS)
    rig.up = False
    rig.run(20 * S, full, 20 * MS)
    before = rig.device.account.resent
    rig.run(10 * S, full, 20 * MS)
    assert 9 <= rig.device.account.resent - before <= 11


def test_bye_is_resent_until_it_has_its_receipt() -> None:
    rig = started()
    rig.lose = lambda header: header.type == wire.BYE
    rig.run(S, pose, 10 * MS)
    rig.step(Stop("error"))
    rig.run(9 * S)
    assert not rig.device.idle
    byes = rig.sent_of(wire.BYE)
    assert len(byes) >= 3
    assert len(set(byes)) == 1
    rig.lose = lambda header: False
    rig.run(15 * S)
    assert rig.device.idle
    assert rig.far.bye(101) is not None


def test_behind_tells_how_far() -> None:
    rig = started(silence_ms=60_000)
    rig.lose = lambda header: header.type == wire.DATA
    rig.run(13 * S, pose, 20 * MS)
    changes = [
        effect for effect in rig.of(Changed) if isinstance(effect, Changed) and effect.state == "behind"
    ]
    assert changes == [Changed("behind", "backlog", 5), Changed("behind", "backlog", 10)]
    assert 12 * S < rig.device.behind_ns(rig.now) <= 13 * S


@pytest.mark.parametrize("begin_ns", [-5_000_000 * S, -30 * S, 0, 5_000_000 * S])
def test_a_clock_may_start_anywhere(begin_ns: int) -> None:
    rig = Rig.make(probes=False)
    rig.now = rig._next_commit = begin_ns
    rig.step(Start())
    rig.run(100 * MS)
    lost: list[int] = []

    def every_third_once(header: wire.Header) -> bool:
        lose = header.type == wire.DATA and header.seq % 3 == 0 and header.seq not in lost
        if lose:
            lost.append(header.seq)
        return lose

    rig.lose = every_third_once
    rig.run(20 * S, full, 200 * MS)
    rig.step(Stop())
    rig.run(20 * S)
    assert len(lost) > 30
    assert rig.device.account.resent >= len(lost)
    assert rig.device.idle
    assert rig.device.account.stored == rig.device.account.captured
    assert balanced(rig)


@pytest.mark.parametrize("begin_ns", [-5_000_000 * S, 5_000_000 * S])
def test_probes_into_a_silence_leave_whatever_the_clock_says(begin_ns: int) -> None:
    rig = Rig.make(probes=False)
    rig.now = rig._next_commit = begin_ns
    rig.step(Start())
    rig.run(100 * MS)
    rig.up = False
    for _ in range(5):
        full(rig)
    before = rig.device.account.resent
    rig.run(30 * S)
    assert 15 <= rig.device.account.resent - before <= 45
    rig.up = True
    rig.run(60 * S)
    assert rig.device.links.held_packets == 0
    assert balanced(rig)
