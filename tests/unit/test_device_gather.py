"""Samples to frames, frames to packets: sizes, numbers, totals, the linger time."""

from __future__ import annotations

import json
import struct

import pytest
from device_side import MS, Rig, S, config

from gateway.device.events import Start, Stop
from gateway.device.gather import Gather, frame_samples, int_bytes
from gateway.errors import LocalError
from gateway.wire import kinds
from gateway.wire import packet as wire
from gateway.wire.frame import MAX_TOTALS, Data, decode_data, sample_count


def started(**changes: object) -> Rig:
    rig = Rig.make(**({"probes": False} | changes))
    rig.step(Start())
    rig.run(100 * MS)
    return rig


def bodies(rig: Rig) -> list[Data]:
    return [body for body in rig.far.links[101].bodies.values() if isinstance(body, Data)]


def marker(text: str) -> bytes:
    return struct.pack("<qHH", 5, 1, len(text)) + text.encode()


def pcm(count: int) -> bytes:
    return struct.pack("<qIHBB", 5, 2000, count, 0, 1) + bytes(2 * count)


@pytest.mark.parametrize(
    ("kind", "samples"),
    [(kinds.POSE, 16), (kinds.GAZE, 10), (kinds.HAPTIC, 32), (kinds.HAND, 1), (kinds.CLOCK, 23)],
)
def test_a_frame_fills_a_datagram(kind: int, samples: int) -> None:
    rig = started()
    for number in range(1, samples + 1):
        effects = rig.capture(3, kind)
        assert bool(effects) == (number == samples)
    (data,) = bodies(rig)
    assert [sample_count(frame) for frame in data.frames] == [samples]
    assert data.totals == [(3, samples)]
    assert len(rig.sent[-1][1]) <= wire.MAX_DATAGRAM_BYTES


def test_the_linger_time_sends_what_is_there() -> None:
    rig = started(linger_ms=80)
    rig.capture(0, kinds.POSE)
    rig.run(50 * MS)
    rig.capture(1, kinds.HAPTIC)
    rig.run(29 * MS)
    assert not bodies(rig)
    rig.run(1 * MS)
    (data,) = bodies(rig)
    assert [(frame.stream, sample_count(frame)) for frame in data.frames] == [(0, 1), (1, 1)]
    rig.run(S)
    assert len(bodies(rig)) == 1


def test_many_samples_at_once_are_split() -> None:
    rig = started()
    rig.capture(0, kinds.POSE, 50)
    rig.run(S)
    assert rig.far.samples() == {0: [(0, 16), (16, 16), (32, 16), (48, 2)]}
    records = b"".join(struct.pack("<q", number) + bytes(56) for number in range(40))
    rig.capture(1, kinds.POSE, 40, records)
    rig.run(S)
    got = b"".join(frame.samples for data in bodies(rig) for frame in data.frames if frame.stream == 1)
    assert got == records


def test_one_sample_a_frame_for_kinds_of_variable_size() -> None:
    rig = started()
    info = json.dumps({"vendor": "x" * 900}).encode()
    rig.capture(0, kinds.MARKER, 1, marker("begin"))
    rig.capture(0, kinds.MARKER, 1, marker("end"))
    rig.capture(1, kinds.INFO, 1, struct.pack("<qH", 5, len(info)) + info)
    rig.capture(2, kinds.PCM, 1, pcm(550))
    rig.run(S)
    assert rig.far.samples() == {0: [(0, 1), (1, 1)], 1: [(0, 1)], 2: [(0, 1)]}
    with pytest.raises(LocalError) as raised:
        rig.capture(0, kinds.MARKER, 2, marker("a") + marker("b"))
    assert raised.value.code == "sample_size"
    with pytest.raises(LocalError) as raised:
        rig.capture(2, kinds.PCM, 1, pcm(620))
    assert raised.value.code == "sample_size"


@pytest.mark.parametrize(
    ("stream", "kind", "samples", "count", "code"),
    [
        (0, 99, b"", 1, "kind"),
        (0, kinds.GAZE, bytes(112), 1, "stream_kind"),
        (0, kinds.POSE, bytes(63), 1, "sample_size"),
        (0, kinds.POSE, bytes(64), 2, "sample_size"),
        (0, kinds.POSE, b"", 0, "sample_size"),
        (0, kinds.POSE, bytes(64), -1, "sample_size"),
        (-1, kinds.POSE, bytes(64), 1, "stream"),
        (65536, kinds.POSE, bytes(64), 1, "stream"),
    ],
)
def test_what_is_no_sample_is_refused_and_changes_nothing(
    stream: int, kind: int, samples: bytes, count: int, code: str
) -> None:
    rig = started()
    rig.capture(0, kinds.POSE)
    with pytest.raises(LocalError) as raised:
        rig.capture(stream, kind, count, samples)
    assert raised.value.code == code
    assert raised.value.hint
    assert rig.device.totals() == {0: 1}
    assert rig.device.account.captured == 1


@pytest.mark.parametrize("transport", ["udp", "mqtt"])
def test_all_streams_are_told_in_turn_and_no_packet_is_too_large(transport: str) -> None:
    rig = started(transport=transport)
    streams = [0, 1, 127, 128, *range(60_000, 60_000 + MAX_TOTALS - 4)]

    def feed(rig: Rig) -> None:
        for stream in streams:
            rig.capture(stream, kinds.POSE if stream % 2 else kinds.BUTTON)

    rig.run(4 * S, feed, 10 * MS)
    told: set[int] = set()
    for data in bodies(rig)[-60:]:
        told.update(stream for stream, _ in data.totals)
    assert told == set(streams)
    assert max(len(packet) for _, packet in rig.sent) <= rig.device.config.packet_bytes
    with pytest.raises(LocalError):
        rig.capture(5, kinds.POSE)
    rig.step(Stop())
    rig.run(4 * S)
    assert rig.device.idle
    bye = rig.far.bye(101)
    assert bye is not None
    assert dict(bye.totals) == dict.fromkeys(streams, 400)
    assert {stream: sum(n for _, n in spans) for stream, spans in rig.far.samples().items()} == dict(
        bye.totals
    )


def test_an_mqtt_payload_carries_long_frames() -> None:
    rig = started(transport="mqtt")
    for _ in range(16 * 20):
        for stream in range(3):
            rig.capture(stream, kinds.POSE)
    rig.run(S)
    assert any(sum(sample_count(frame) for frame in data.frames) > 160 for data in bodies(rig))
    assert max(len(packet) for packet in rig.sent_of(wire.DATA)) <= wire.MAX_MQTT_BYTES
    sums = {stream: sum(n for _, n in spans) for stream, spans in rig.far.samples().items()}
    assert sums == dict.fromkeys(range(3), 320)


@pytest.mark.parametrize("transport", ["udp", "mqtt"])
def test_a_packet_has_one_frame_of_a_stream(transport: str) -> None:
    """Of kinds whose full frames leave room in a packet, and of those with one sample a frame."""
    rig = started(transport=transport)
    each = (7, 5, 1, 1)

    def feed(rig: Rig) -> None:
        rig.capture(0, kinds.BUTTON, each[0])
        rig.capture(1, kinds.HAPTIC, each[1])
        rig.capture(2, kinds.MARKER, 1, marker("x"))
        rig.capture(3, kinds.PCM, 1, pcm(200))

    rig.run(3 * S, feed, 20 * MS)
    rig.run(S)
    for data in bodies(rig):
        streams = [frame.stream for frame in data.frames]
        assert len(set(streams)) == len(streams)
    assert max(len(packet) for packet in rig.sent_of(wire.DATA)) <= rig.device.config.packet_bytes
    for stream, samples in enumerate(each):
        spans = rig.far.samples()[stream]
        assert [first for first, _ in spans] == [sum(n for _, n in spans[:at]) for at in range(len(spans))]
        assert sum(n for _, n in spans) == 150 * samples


def test_a_frame_grows_by_what_follows_it() -> None:
    gather = Gather(config(transport="mqtt"))
    gather.enter(b"s" * 16)
    size = kinds.KINDS[kinds.POSE].sample_bytes
    samples = [number.to_bytes(8, "little") + bytes(size - 8) for number in range(37)]
    for sample in samples:
        assert gather.add(0, kinds.POSE, sample, 1, 0) == []
    (frames,) = gather.flush()
    (frame,) = frames
    assert (frame.first_sample, frame.samples) == (0, b"".join(samples))


def test_many_small_frames_in_one_payload() -> None:
    rig = started(transport="mqtt")
    for _ in range(3):
        for stream in range(MAX_TOTALS):
            rig.capture(stream, kinds.MARKER, 1, marker("x"))
    rig.run(S)
    assert [len(data.frames) for data in bodies(rig)] == [64] * 3


@pytest.mark.parametrize("kind", [kinds.POSE, kinds.GAZE, kinds.HAPTIC, kinds.HAND, kinds.FACE_UNIFIED])
@pytest.mark.parametrize("start", [0, 127, 255, 65_530, 2**32 - 20, 2**40])
def test_sizes_hold_whatever_the_numbers(kind: int, start: int) -> None:
    gather = Gather(config())
    gather.enter(b"s" * 16)
    size = kinds.KINDS[kind].sample_bytes
    stream = 65_000
    gather.add(stream, kind, bytes(size), 1, 0)
    gather.flush()
    gather.streams.totals[stream] = start
    expected = start
    for _ in range(5):
        for frames in gather.add(stream, kind, bytes(40 * size), 40, 0) + gather.flush():
            body = gather.body(frames, min(start, 2**32 - 1))
            assert len(body) + wire.MIN_BYTES <= wire.MAX_DATAGRAM_BYTES
            for frame in decode_data(body).frames:
                assert frame.first_sample == expected
                expected += frame_samples(frame)
    assert expected == start + 200 == gather.totals()[stream]


@pytest.mark.parametrize(("number", "size"), [(0, 1), (127, 1), (128, 2), (256, 3), (65_536, 5), (2**32, 9)])
def test_sizes_of_integers(number: int, size: int) -> None:
    assert int_bytes(number) == size


def test_throwing_away_counts_what_was_not_sealed() -> None:
    gather = Gather(config(transport="mqtt"))
    gather.enter(b"s" * 16)
    gather.add(0, kinds.POSE, bytes(64 * 20), 20, 7)
    gather.add(1, kinds.MARKER, marker("x"), 1, 8)
    assert gather.due_ns == 7 + 200 * MS
    assert gather.waiting_samples == 21
    assert gather.clear() == 21
    assert (gather.waiting_samples, gather.due_ns, gather.flush()) == (0, None, [])


@pytest.mark.parametrize("kind", [kinds.MARKER, kinds.INFO, kinds.PCM])
def test_a_variable_sample_has_its_header_at_least(kind: int) -> None:
    gather = Gather(config())
    gather.enter(b"s" * 16)
    for size in (0, kinds.KINDS[kind].sample_bytes - 1):
        with pytest.raises(LocalError) as caught:
            gather.add(0, kind, bytes(size), 1, 0)
        assert caught.value.code == "sample_size"
    assert gather.totals() == {}
