"""What is noticed about device time, within a part and from one part to the next."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from gateway.core import accounting
from gateway.core.observations import BACKWARDS, CLOCK_STEP, REPEATED, STEP_NS, STUCK, observe
from gateway.core.part import Observation
from gateway.core.records import StreamRecord
from gateway.core.screening import Strand, screen
from gateway.ids import DeviceId, RunId, SessionId, StreamId
from gateway.wire import kinds

MS = 1_000_000
Samples = Callable[[int], int]


def stream(kind: int = kinds.POSE, number: int = 0) -> StreamRecord:
    return StreamRecord(SessionId(b"s" * 16), DeviceId(1), RunId(2), StreamId(number), kind)


def records(kind: int, first: int, count: int, time_of: Samples) -> bytes:
    """Samples whose values all differ from one to the next."""
    out = np.zeros(count, kinds.KINDS[kind].dtype)
    out.view(np.uint8).reshape(count, -1)[:, 16:20] = (
        np.arange(first, first + count, dtype="<u4").view(np.uint8).reshape(count, 4)
    )
    out["t_capture_ns"] = [time_of(number) for number in range(first, first + count)]
    return out.tobytes()


def part(of: StreamRecord, frames: list[tuple[int, int]], time_of: Samples) -> list[Observation]:
    """One part with these frames `(first, count)`, in order of arrival; what is noticed."""
    strand = Strand(of)
    for first, count in frames:
        assert not accounting.touches(of, first, count)
        accounting.store(of, first, count)
        strand.numbers.append((first, count))
        strand.samples.append(records(of.kind, first, count, time_of))
    assert not screen([strand])
    if not strand.odd:
        return []
    noticed, of.last_ns = observe(of.stream, of.kind, strand.numbers, strand.samples, of.last_ns)
    return noticed


def at_90_hz(number: int) -> int:
    return 1_000_000 * MS + number * 11 * MS


@pytest.mark.parametrize(
    ("from_the_tenth", "code"),
    [(-100_000 * MS, BACKWARDS), (-11 * MS, STUCK), (STEP_NS, CLOCK_STEP)],
)
@pytest.mark.parametrize("frames", [[(10, 5)], [(10, 1)], [(10, 2), (12, 7)]])
def test_a_step_between_two_parts_is_noticed(
    from_the_tenth: int, code: str, frames: list[tuple[int, int]]
) -> None:
    of = stream()
    assert part(of, [(0, 10)], at_90_hz) == []
    assert part(of, frames, lambda n: at_90_hz(n) + from_the_tenth) == [(0, 10, 10, code)]
    last = sum(frames[-1])
    assert part(of, [(last, 3)], lambda n: at_90_hz(n) + from_the_tenth) == []


def test_steps_within_a_part_and_to_it_are_noticed_together() -> None:
    of = stream()
    part(of, [(0, 10)], at_90_hz)
    assert part(of, [(10, 10)], lambda n: at_90_hz(0) - 1 - n) == [(0, 10, 19, BACKWARDS)]


def test_events_may_be_far_apart() -> None:
    of = stream(kinds.HAPTIC)
    part(of, [(0, 1)], at_90_hz)
    assert part(of, [(1, 1)], lambda n: at_90_hz(n) + 3600_000 * MS) == []
    assert part(of, [(2, 1)], at_90_hz) == [(0, 2, 2, BACKWARDS)]


def test_what_was_sent_again_and_comes_late_runs_not_backwards() -> None:
    of = stream()
    of.total = 400
    assert part(of, [(0, 50), (60, 40)], at_90_hz) == []
    assert part(of, [(50, 10)], at_90_hz) == []  # alone
    assert part(of, [(100, 50), (160, 40)], at_90_hz) == []
    assert part(of, [(150, 10), (200, 90)], at_90_hz) == []  # before live ones
    assert part(of, [(300, 40), (350, 50)], at_90_hz) == []
    assert part(of, [(400, 90), (340, 10)], at_90_hz) == []  # behind them
    assert part(of, [(490, 90)], at_90_hz) == []
    assert part(of, [(580, 10)], lambda n: at_90_hz(n) - 200 * MS) == [(0, 580, 580, BACKWARDS)]


def test_over_a_gap_in_the_numbers_nothing_is_said() -> None:
    of = stream()
    part(of, [(0, 10)], at_90_hz)
    assert part(of, [(1000, 10)], at_90_hz) == []
    of = stream()
    part(of, [(0, 10)], at_90_hz)
    accounting.refuse(of, 10, 990, "not_finite")
    assert part(of, [(1000, 10)], at_90_hz) == []


@pytest.mark.parametrize(
    "kind",
    [
        kinds.POSE,
        kinds.GAZE,
        kinds.HAND,
        kinds.FACE_FB2,
        kinds.FACE_ARKIT,
        kinds.FACE_UNIFIED,
        kinds.FACE_HTC,
    ],
)
@pytest.mark.parametrize("byte", [8, 12, 15, 20, -1])
def test_repeated_means_all_bytes_behind_the_time(kind: int, byte: int) -> None:
    """By the look at all samples, and by the look at one stream."""
    size = kinds.KINDS[kind].sample_bytes
    one = bytearray(records(kind, 0, 1, lambda n: 5))
    other = bytearray(records(kind, 0, 1, lambda n: 6))
    both = [(0, 2)]
    assert observe(0, kind, both, [bytes(one + other)], 0)[0] == [(0, 1, 1, REPEATED)]
    other[byte if byte >= 0 else size + byte] ^= 1
    assert observe(0, kind, both, [bytes(one + other)], 0)[0] == []


def test_a_strand_of_repeated_values_is_odd() -> None:
    strands = [Strand(stream(number=number), [(0, 2)]) for number in range(3)]
    for strand, odd in zip(strands, (False, True, False), strict=True):
        accounting.store(strand.stream, 0, 2)
        sample = records(kinds.POSE, 0, 1, at_90_hz)
        strand.samples = [
            sample + at_90_hz(1).to_bytes(8, "little") + sample[8:]
            if odd
            else records(kinds.POSE, 0, 2, at_90_hz)
        ]
    screen(strands)
    assert [strand.odd for strand in strands] == [False, True, False]


def test_strands_of_a_session_that_is_gathered_anew_are_not_compared_with_themselves() -> None:
    good, bad = stream(number=0), stream(number=1)
    for of in (good, bad):
        part(of, [(0, 10)], at_90_hz)
    strands = []
    for of in (good, bad):
        accounting.store(of, 10, 10)
        strands.append(Strand(of, [(10, 10)], [records(kinds.POSE, 10, 10, at_90_hz)]))
    lies = np.frombuffer(bytearray(strands[1].samples[0]), kinds.POSE_DTYPE)
    lies["flags"][3], lies["position_m"][3] = 1, np.nan
    strands[1].samples = [lies.tobytes()]
    assert screen(strands) == {id(bad)}
    noticed, good.last_ns = observe(0, kinds.POSE, strands[0].numbers, strands[0].samples, good.last_ns)
    assert (noticed, good.last_ns) == ([], at_90_hz(19))
    assert bad.last_ns == 0
