"""The ring against a plain model, and a device in a bad network against what arrived."""

from __future__ import annotations

import random

from device_side import MS, Rig, S
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.device.events import Pause, Resume, Start, Stop
from gateway.device.pace import Pace
from gateway.device.ring import Held, Ring
from gateway.device.seen import REMEMBERED, Seen
from gateway.wire import kinds
from gateway.wire import packet as wire

DELAYS = (25, 50, 100)
HURRY = 4


class Model:
    """The same as a ring, as slowly as it gets."""

    def __init__(self) -> None:
        self.held: dict[int, list[int]] = {}  # seq -> due, sends, hurried
        self.hurried_to = 0

    def send(self, seq: int, now: int) -> None:
        row = self.held.setdefault(seq, [0, 0])
        row[0] = now + DELAYS[min(row[1], 2)]
        row[1] += 1

    def due(self, now: int) -> list[int]:
        return sorted(seq for seq, row in self.held.items() if row[0] <= now)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 5), st.just(0)),
        st.tuples(st.just("remove"), st.integers(0, 60), st.integers(0, 60)),
        st.tuples(st.just("due"), st.integers(0, 60), st.integers(1, 4)),
        st.tuples(st.just("hurry"), st.integers(0, 60), st.just(0)),
        st.tuples(st.just("drop"), st.just(0), st.just(0)),
    ),
    max_size=80,
)


@given(steps)
def test_a_ring_does_what_the_model_does(script: list[tuple[str, int, int]]) -> None:
    ring, model = Ring(DELAYS, HURRY), Model()
    now = next_seq = 0
    for verb, a, b in script:
        now += 1
        if verb == "add":
            next_seq += a - 1  # probes between packets take numbers too
            ring.add(next_seq, bytes(a), ((0, 0, a),), now)
            model.send(next_seq, now)
            next_seq += 1
        elif verb == "remove":
            gone = [held.seq for held in ring.remove(min(a, b), max(a, b))]
            assert gone == sorted(seq for seq in model.held if min(a, b) <= seq <= max(a, b))
            for seq in gone:
                del model.held[seq]
        elif verb == "due":
            now += a
            for _ in range(b):
                before = model.due(now)
                held = ring.take_due(now)
                assert (held is not None) == bool(before)
                if held is not None:
                    assert held.seq in before
                    model.send(held.seq, now)
                    assert held.sends == model.held[held.seq][1]
        elif verb == "hurry" and next_seq:
            covered = min(a, next_seq - 1)
            ring.hurry(covered, now)
            for seq, row in model.held.items():
                if model.hurried_to <= seq <= covered - HURRY and row[1] == 1:
                    row[0] = min(row[0], now)
            model.hurried_to = max(model.hurried_to, covered - HURRY + 1)
        elif verb == "drop":
            dropped = ring.drop_oldest()
            assert (dropped.seq if dropped else None) == min(model.held, default=None)
            model.held.pop(min(model.held, default=-1), None)
        assert len(ring) == len(model.held)
        assert ring.floor(next_seq) == min(model.held, default=next_seq)
        assert ring.next_due_ns() == min((row[0] for row in model.held.values()), default=None)
    assert ring.byte_count == sum(len(held.packet) for held in ring.clear())
    assert (len(ring), ring.byte_count, ring.next_due_ns(), ring.oldest()) == (0, 0, None, None)


def test_the_oldest_due_goes_first() -> None:
    ring = Ring(DELAYS, HURRY)
    for seq in range(10):
        ring.add(seq, b"p", (), seq)
    taken: list[Held] = []
    while (held := ring.take_due(40)) is not None:
        taken.append(held)
    assert [held.seq for held in taken] == list(range(10))


def test_bye_is_never_dropped() -> None:
    ring = Ring(DELAYS, HURRY)
    ring.add(0, b"data", (), 0)
    ring.add(1, b"bye", (), 0, final=True)
    dropped = ring.drop_oldest()
    assert dropped is not None
    assert dropped.packet == b"data"
    assert ring.drop_oldest() is None
    assert len(ring) == 1


@given(st.lists(st.integers(0, 3000), max_size=400), st.randoms(use_true_random=False))
def test_no_number_is_fresh_twice(numbers: list[int], shuffle: random.Random) -> None:
    seen = Seen()
    fresh = [number for number in numbers if seen.add(number)]
    assert len(fresh) == len(set(fresh))
    if len(set(numbers)) <= REMEMBERED:
        assert set(fresh) == set(numbers)
    shuffle.shuffle(numbers)
    assert not any(seen.add(number) for number in numbers)


def test_numbers_in_order_are_always_fresh() -> None:
    seen = Seen()
    assert all(seen.add(seq) for seq in [*range(2000), *range(1 << 48, (1 << 48) + 2000)])
    assert not seen.add(1999)


@given(st.lists(st.integers(1, 40 * MS), min_size=400, max_size=800))
@settings(max_examples=20, deadline=None)
def test_resends_are_never_more_than_twice_the_live_packets(gaps_ns: list[int]) -> None:
    pace = Pace()
    pace.recording = True
    now = 0
    live: list[int] = []
    resent: list[int] = []
    for gap in gaps_ns:
        now += gap
        pace.live(now)
        live.append(now)
        while pace.take(now):
            resent.append(now)
        assert pace.ready_at(now) > now
    # The rate is that of the second before, so whole runs are compared: with a burst's worth and the first seconds
    # at the least rate to spare.
    assert len(resent) <= 2 * len(live) + 20 + 3 * 2


@given(st.integers(0, 2**32), st.sampled_from(["udp", "mqtt"]))
@settings(max_examples=25, deadline=None)
def test_nothing_is_lost_twice_or_unnoticed_in_a_bad_network(seed: int, transport: str) -> None:
    chance = random.Random(seed)
    rig = Rig.make(transport=transport)
    rig.delay_ns = chance.choice((MS, 30 * MS))
    rig.lose = lambda header: chance.random() < 0.2 and header.type != wire.HELLO

    def feed(rig: Rig) -> None:
        for stream in range(3):
            if chance.random() < 0.8:
                rig.capture(stream, kinds.POSE, chance.randint(1, 3))
        if chance.random() < 0.3:
            rig.capture(9, kinds.HAPTIC)

    rig.step(Start())
    for _ in range(6):
        match chance.choice(("run", "pause", "outage", "deaf")):
            case "pause":
                rig.step(Pause())
                rig.run(chance.randint(0, 2000) * MS, feed, 11 * MS)
                rig.step(Resume())
            case "outage":
                rig.up = False
                rig.run(chance.randint(0, 14_000) * MS, feed, 23 * MS)
                rig.up = True
            case "deaf":
                rig.down = False
                rig.run(chance.randint(0, 4_000) * MS, feed, 23 * MS)
                rig.down = True
        rig.run(chance.randint(0, 3000) * MS, feed, 11 * MS)
    rig.step(Stop())
    rig.lose = lambda header: False
    for far in rig.far.links.values():
        far.done.clear()  # receipts that were lost are told again
    rig.run(60 * S)
    assert rig.device.idle
    assert rig.device.wake_at is None
    assert rig.device.lost == {}
    for stream, total in rig.device.totals().items():
        next_sample = 0
        for first, count in rig.far.samples().get(stream, []):
            assert first == next_sample
            next_sample = first + count
        assert next_sample == total
    assert rig.device.account.stored == rig.device.account.captured == sum(rig.device.totals().values())
    assert rig.persisted == list(range(5, 5 + len(rig.persisted)))
