"""Clock probes of a device: bursts, the fastest round trip, what is not believed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from device_side import MS, Rig, S

from gateway.device.clock import CLOCK_MOST_NS, RTT_MAX_NS, SOURCE_SYNC, ClockReading, Probes
from gateway.device.events import Start
from gateway.wire import control, kinds
from gateway.wire import packet as wire
from gateway.wire.frame import Data

AHEAD = 1_000 * S


def burst(probes: Probes, now: int, rtts_ns: list[int | None]) -> tuple[ClockReading | None, int]:
    """Run one burst; each probe's reply comes after its round trip, or not at all."""
    sent = []
    result = None
    while True:
        now = max(now, probes.next_ns)
        send, result = probes.poll(now)
        if not send:
            return result, now
        rtt = rtts_ns[len(sent)]
        sent.append(now)
        if rtt is not None:
            probes.reply(
                control.ProbeReply(now, now + AHEAD + rtt // 4, now + AHEAD + rtt // 4 + 100), now + rtt + 100
            )


def test_a_burst_is_eight_probes_64_ms_apart_every_2_s() -> None:
    rig = Rig.make()
    rig.step(Start())
    rig.run(5 * S)
    at = [at for at, packet in rig.sent if packet[3] == wire.SYNC]
    starts = at[::8]
    assert [b - a for a, b in pairwise(at[:8])] == [64 * MS] * 7
    assert [b - a for a, b in pairwise(starts)] == [2 * S] * 2
    assert len({wire.parse_header(packet).seq for packet in rig.sent_of(wire.SYNC)}) == len(at), (
        "never resent"
    )


def test_the_result_is_a_clock_frame_on_its_own_stream() -> None:
    rig = Rig.make()
    rig.step(Start())
    rig.run(5 * S)
    frames = [
        frame
        for body in rig.far.links[101].bodies.values()
        if isinstance(body, Data)
        for frame in body.frames
    ]
    assert {(frame.stream, frame.kind) for frame in frames} == {(65535, kinds.CLOCK)}
    record = np.frombuffer(frames[0].samples, kinds.CLOCK_DTYPE)[0]
    # The reply leaves 10 ns after the probe came in, and both take 1 ms; the device counts both to its own side.
    assert record["offset_ns"] == AHEAD + 5
    assert record["uncertainty_ns"] == pytest.approx(MS, abs=10)
    assert record["gateway_sent_ns"] - record["gateway_received_ns"] == 10
    assert record["t_returned_ns"] - record["t_capture_ns"] == 2 * MS
    assert record["source"] == SOURCE_SYNC
    assert rig.device.status()["clock_offset_ns"] == AHEAD + 5


def test_the_fastest_round_trip_wins() -> None:
    rtts: list[int | None] = [9 * MS, 8 * MS, 20 * MS, 4 * MS, 7 * MS, 50 * MS, 6 * MS, 5 * MS]
    result, _ = burst(Probes(0, measure=True), 0, rtts)
    assert result is not None
    assert result.rtt_ns == 4 * MS
    assert result.uncertainty_ns == 2 * MS
    assert abs(result.offset_ns - AHEAD) <= result.uncertainty_ns


@pytest.mark.parametrize(
    ("rtts", "counts"),
    [
        ([MS] * 6 + [None] * 2, True),
        ([MS] * 5 + [None] * 3, False),
        ([MS] * 5 + [RTT_MAX_NS + 1] * 3, False),
        ([RTT_MAX_NS] * 8, True),
        ([None] * 8, False),
    ],
)
def test_six_replies_within_128_ms_are_needed(rtts: list[int | None], counts: bool) -> None:
    result, _ = burst(Probes(0, measure=True), 0, rtts)
    assert (result is not None) == counts


def test_bursts_do_not_mix() -> None:
    probes = Probes(0, measure=True)
    _, now = burst(probes, 0, [MS] * 5 + [None] * 3)
    result, now = burst(probes, now, [MS] * 5 + [None] * 3)
    assert result is None
    result, _ = burst(probes, now, [MS] * 8)
    assert result is not None


def test_a_reply_that_cannot_be_true_is_not_believed() -> None:
    probes = Probes(0, measure=True)
    for number in range(8):
        now = probes.next_ns
        assert probes.poll(now) == (True, None)
        for reply in (
            control.ProbeReply(now + 1, AHEAD, AHEAD),
            control.ProbeReply(now, AHEAD + 10, AHEAD)
            if number % 2
            else control.ProbeReply(now, 2**64, 2**64 + 1),
            control.ProbeReply(now, AHEAD, AHEAD),
        ):
            probes.reply(reply, now + MS)
    assert probes.poll(probes.next_ns) == (False, None)
    assert not ClockReading(0, 0, 10 * MS, MS).is_sane(), "the gateway held it longer than it took"


def test_a_late_driver_does_not_send_a_burst_at_once() -> None:
    probes = Probes(0, measure=True)
    assert probes.poll(10 * S) == (True, None)
    assert probes.poll(10 * S) == (False, None)
    assert probes.next_ns == 10 * S + 64 * MS


def test_probes_that_only_keep_the_link_alive() -> None:
    rig = Rig.make(probes=False)
    rig.step(Start())
    rig.run(9 * S)
    assert len(rig.sent_of(wire.SYNC)) == 5
    assert rig.device.totals() == {}
    assert rig.device.clock is None


def test_a_clock_that_no_client_could_reckon_with() -> None:
    most = CLOCK_MOST_NS
    assert ClockReading(0, most, most, MS).is_sane()
    assert not ClockReading(0, most + 1, most + 1, MS).is_sane()
    assert not ClockReading(-most - 1, 0, 0, MS - most).is_sane()
