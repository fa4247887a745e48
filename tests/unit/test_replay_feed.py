"""What a replay gives its device: every sample once, in order, never before its time; and a network as bad as asked."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pytest

from gateway.app.feed import MAX_TRACKS, Feed, info_sample, strands_of
from gateway.app.transports import Rough, Weather
from gateway.device.events import Send
from gateway.errors import LocalError
from gateway.sources.track import Recording, Track
from gateway.wire import kinds
from gateway.wire.frame import Frame, sample_count


def recording(*tracks: list[int]) -> Recording:
    made = []
    for number, times in enumerate(tracks):
        samples = np.zeros(len(times), kinds.POSE_DTYPE)
        samples["t_capture_ns"] = times
        samples["tracker"] = number
        made.append(Track(f"track-{number}", kinds.POSE, samples))
    return Recording("test", made, 0, {})


def times_of(raw: bytes) -> list[int]:
    return [int(t) for t in kinds.view(kinds.KINDS[kinds.POSE], raw)["t_capture_ns"]]


def given(feed: Feed, until_ns: int) -> dict[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for stream, kind, raw, count in feed.take(until_ns):
        assert kind == kinds.POSE
        assert len(raw) == count * kinds.KINDS[kind].sample_bytes
        found[stream] += times_of(raw)
    return dict(found)


def test_samples_come_when_they_are_due_and_once() -> None:
    feed = Feed(strands_of([recording([10, 20, 30], [15, 25])]))
    assert (feed.begin_ns, feed.next_ns, feed.total) == (10, 10, 5)
    assert given(feed, 9) == {}
    assert given(feed, 20) == {0: [10, 20], 1: [15]}
    assert feed.next_ns == 25
    assert given(feed, 20) == {}
    assert given(feed, 1000) == {0: [30], 1: [25]}
    assert (feed.next_ns, feed.given) == (None, 5)


def test_a_clock_that_stands_or_runs_backwards_keeps_the_order_of_the_rows() -> None:
    feed = Feed(strands_of([recording([10, 10, 5, 30])]))
    assert given(feed, 9) == {}, "a sample is not due before the one in front of it"
    assert given(feed, 10) == {0: [10, 10, 5]}
    assert given(feed, 30) == {0: [30]}


def test_negative_times_are_times() -> None:
    feed = Feed(strands_of([recording([-2_000, -1_000])]))
    assert feed.begin_ns == -2_000
    assert given(feed, -1_500) == {0: [-2_000]}


def test_recordings_follow_one_another_in_streams_of_their_own() -> None:
    strands = strands_of([recording([1], [2]), recording([3])])
    assert [(strand.stream, strand.track.name) for strand in strands] == [
        (0, "track-0"),
        (1, "track-1"),
        (2, "track-0"),
    ]


def test_a_track_without_samples_is_a_stream_without_samples() -> None:
    feed = Feed(strands_of([recording([], [7])]))
    assert given(feed, 10) == {1: [7]}
    assert feed.next_ns is None


def test_more_tracks_than_streams_are_refused_before_anything_is_sent() -> None:
    with pytest.raises(LocalError) as refused:
        strands_of([recording(*([[1]] * (MAX_TRACKS + 1)))])
    assert refused.value.code == "recording"


def test_stream_info_is_a_sample_that_a_gateway_takes() -> None:
    raw = info_sample(-5, {"stream": 3, "track": "head"})
    assert sample_count(Frame(1, kinds.INFO, 0, raw)) == 1
    assert kinds.capture_times(kinds.KINDS[kinds.INFO], raw).tolist() == [-5]


class Wire:
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self.receive: Callable[[bytes], None] = lambda packet: None

    async def open(self, receive: Callable[[bytes], None]) -> None:
        self.receive = receive

    def send(self, effect: Send) -> None:
        self.packets.append(effect.packet)

    async def close(self) -> None:
        self.receive = lambda packet: None


def through(weather: Weather, seed: int, count: int = 2_000) -> tuple[list[int], int]:
    wire = Wire()
    rough = Rough(wire, weather, random.Random(seed))
    for number in range(count):
        rough.send(Send(number.to_bytes(4, "big"), False))
    return [int.from_bytes(packet, "big") for packet in wire.packets], rough.lost


def test_weather_loses_and_doubles_about_what_was_asked_for() -> None:
    arrived, lost = through(Weather(loss=0.1, duplicate=0.2), seed=1)
    assert len(set(arrived)) + lost == 2_000
    assert 150 < lost < 250
    assert 0.15 < (len(arrived) - len(set(arrived))) / len(set(arrived)) < 0.25


def test_one_seed_is_one_fate() -> None:
    assert through(Weather(loss=0.1), 7) == through(Weather(loss=0.1), 7)
    assert through(Weather(loss=0.1), 7) != through(Weather(loss=0.1), 8)


async def test_fair_weather_changes_nothing_either_way() -> None:
    arrived, lost = through(Weather(), 1, 50)
    assert (arrived, lost) == (list(range(50)), 0)
    wire, heard = Wire(), []
    rough = Rough(wire, Weather(), random.Random(1))
    await rough.open(heard.append)
    wire.receive(b"down")
    assert heard == [b"down"]


async def test_what_is_late_when_the_way_is_closed_never_arrives() -> None:
    wire, heard = Wire(), []
    rough = Rough(wire, Weather(delay_ms=5.0), random.Random(1))
    await rough.open(heard.append)
    rough.send(Send(b"up", False))
    wire.receive(b"down")
    await rough.close()
    assert (wire.packets, heard, rough._late) == ([], [], set())
