"""Links of a device: pause and resume, draining, RESET, COMMAND, sessions."""

from __future__ import annotations

import pytest
from device_side import BOOT, KEY, MS, OtherSide, Rig, S

from gateway.device.events import Changed, Commanded, Pause, Resume, Send, Start, Stop
from gateway.keys.link import handshake_key, tag
from gateway.wire import control, kinds
from gateway.wire import packet as wire


def pose(rig: Rig) -> None:
    rig.capture(0, kinds.POSE)


def started(**changes: object) -> Rig:
    rig = Rig.make(**changes)
    rig.step(Start())
    rig.run(100 * MS)
    assert rig.device.current is not None
    return rig


def whole(rig: Rig, stream: int = 0) -> int:
    """Check that a stream's frames have no hole and no overlap; how many samples they hold."""
    next_sample = 0
    for first, count in rig.far.samples()[stream]:
        assert first == next_sample
        next_sample = first + count
    return next_sample


def test_a_pause_ends_the_link_and_the_next_goes_on_with_the_numbers() -> None:
    rig = started()
    rig.run(2 * S, pose, 10 * MS)
    rig.step(Pause())
    assert rig.of(Changed)[-1] == Changed("not_recording", "pause")
    rig.run(2 * S, pose, 10 * MS)
    bye = rig.far.bye(101)
    assert bye is not None
    assert (bye.reason, dict(bye.totals)[0]) == ("pause", 200)
    assert rig.device.idle
    rig.step(Resume())
    rig.run(2 * S, pose, 10 * MS)
    rig.step(Stop())
    rig.run(2 * S)
    assert rig.device.idle
    assert rig.device.wake_at is None
    assert whole(rig) == rig.device.totals()[0]
    assert 390 <= rig.device.totals()[0] <= 400
    assert [hello.links for _, hello in rig.far.hellos] == [[], []]


def test_the_old_link_drains_beside_the_new_one_with_the_same_bytes() -> None:
    rig = started()
    rig.lose = lambda header: header.type in (wire.DATA, wire.BYE)
    rig.run(2 * S, pose, 10 * MS)
    rig.step(Pause())
    rig.run(S)
    sent = dict.fromkeys(packet for packet in rig.sent_of(wire.DATA) + rig.sent_of(wire.BYE))
    rig.step(Resume())
    rig.run(100 * MS)
    assert rig.far.hellos[-1][1].links == [101]
    rig.lose = lambda header: False
    rig.run(8 * S, pose, 10 * MS)
    old, new = rig.far.links[101], rig.far.links[102]
    assert set(old.got.values()) == sent.keys()
    assert rig.far.bye(101) is not None
    assert new.got
    assert rig.device.links.numbers == (102,)
    rig.step(Stop())
    rig.run(2 * S)
    assert whole(rig) == rig.device.totals()[0]


def test_links_that_the_gateway_does_not_keep_are_dropped_and_counted() -> None:
    rig = started()
    rig.lose = lambda header: header.type in (wire.DATA, wire.BYE)
    rig.run(2 * S, pose, 10 * MS)
    rig.step(Pause())
    assert rig.device.links.held_packets > 0
    rig.far.kept = lambda link: False
    rig.step(Resume())
    rig.run(100 * MS)
    assert rig.device.links.numbers == (102,)
    assert rig.device.links.held_packets == 0
    assert rig.device.lost == {"link_gone": rig.device.account.captured}
    assert rig.device.account.captured >= 200


def test_a_new_session_starts_its_numbers_at_0() -> None:
    rig = started()
    rig.run(S, pose, 10 * MS)
    rig.far.session = b"t" * 16
    rig.give(rig.far.command(rig.far.links[101], "open"))
    rig.run(S, pose, 10 * MS)
    rig.step(Stop())
    rig.run(2 * S)
    assert rig.device.totals(b"s" * 16)[0] == whole(rig)
    second = rig.far.samples(b"t" * 16)[0]
    assert second[0][0] == 0
    assert sum(count for _, count in second) == rig.device.totals(b"t" * 16)[0] == rig.device.totals()[0]
    assert rig.device.totals(b"u" * 16) == {}


def test_a_reset_drops_the_link_and_brings_a_hello() -> None:
    rig = started()
    rig.commit_ns = 0
    rig.run(2 * S, pose, 10 * MS)
    data = rig.sent_of(wire.DATA)[0]
    rig.run(50 * MS, pose, 10 * MS)  # samples that are not sealed yet
    captured = rig.device.account.captured
    rig.give(rig.far.reset(101, data))
    assert rig.device.lost == {"link_gone": captured}
    rig.run(100 * MS)
    assert rig.device.links.numbers == (102,)
    assert rig.far.hellos[-1][1].links == []
    assert Changed("not_recording", "ended") in rig.effects


def test_a_reset_may_name_a_probe() -> None:
    rig = started()
    rig.give(rig.far.reset(101, rig.sent_of(wire.SYNC)[-1], "moved"))
    assert 101 not in rig.device.links


def test_resets_one_after_another_do_not_make_a_loop_of_hellos() -> None:
    rig = started()
    for _ in range(300):
        rig.run(10 * MS)
        link = rig.device.current
        if link is not None and (
            probes := [p for p in rig.sent_of(wire.SYNC) if p[4:8] == link.number.to_bytes(4, "little")]
        ):
            rig.give(rig.far.reset(link.number, probes[-1]))
    assert 3 <= len(rig.far.hellos) <= 5


def test_a_reset_that_names_nothing_sent_is_passed_over() -> None:
    rig = started()
    rig.run(S, pose, 10 * MS)
    data = rig.sent_of(wire.DATA)[-1]
    good = rig.far.reset(101, data)
    stranger = OtherSide(key=bytes(32))
    for forged in (
        rig.far.reset(101, data, tag=bytes(16)),
        rig.far.reset(101, data, seq=10_000),
        rig.far.reset(102, data),
        stranger.reset(101, data),
        good[:-1] + bytes((good[-1] ^ 1,)),
        wire.pack_header(wire.RESET, 101, 0, 0)
        + tag(handshake_key(KEY), wire.pack_header(wire.RESET, 101, 0, 0)),
    ):
        rig.give(forged)
    assert rig.device.links.numbers == (101,)
    assert rig.device.account.ignored == {"not_mine": 2, "unknown_link": 1, "bad_tag": 2, "malformed": 1}
    rig.give(good)
    assert 101 not in rig.device.links


def test_a_reset_of_a_draining_link_leaves_the_current_one() -> None:
    rig = started()
    rig.lose = lambda header: header.link == 101
    rig.run(S, pose, 10 * MS)
    rig.step(Pause())
    rig.step(Resume())
    rig.run(100 * MS)
    assert rig.device.links.numbers == (101, 102)
    rig.give(rig.far.reset(101, rig.sent_of(wire.DATA)[0]))
    assert rig.device.links.numbers == (102,)
    assert rig.device.lost["link_gone"] > 0
    rig.run(3 * S)
    assert len(rig.far.hellos) == 2


def test_commands_are_told_once_and_answered_each_time() -> None:
    rig = started(commands=frozenset({"haptic"}))
    far = rig.far.links[101]
    haptic = rig.far.command(far, "haptic", 1, 0.5, 20, 180.0, seq=BOOT + 500)
    effects = rig.give(haptic)
    assert Commanded("haptic", (1, 0.5, 20, 180.0), BOOT + 500, 101) in effects
    assert far.answers == [(BOOT + 500, "done")]
    rig.run(150 * MS)
    told = len(rig.of(Commanded))
    rig.give(haptic)
    assert len(rig.of(Commanded)) == told
    assert far.answers == [(BOOT + 500, "done")] * 2
    for _ in range(50):
        rig.give(haptic)
    assert len(far.answers) == 2, "a replayed COMMAND is answered at most ten times a second"
    rig.give(rig.far.command(far, "text", "hello"))
    assert far.answers[-1] == (far.seq, "unsupported")
    assert len(rig.of(Commanded)) == told


def test_command_stop_ends_the_capture_and_the_device_comes_back() -> None:
    rig = started()
    rig.run(S, pose, 10 * MS)
    far = rig.far.links[101]
    rig.far.state = control.WAITING
    rig.give(rig.far.command(far, "stop", "withdrawn"))
    assert rig.of(Changed)[-1] == Changed("not_recording", "withdrawn")
    assert far.answers == [(far.seq, "done")]
    bye = rig.far.bye(101)
    assert bye is not None
    assert bye.reason == "stop"
    assert dict(bye.totals)[0] == 100
    assert far.types[-1] == wire.BYE, "nothing fresh follows BYE"
    rig.run(S, pose, 10 * MS)
    assert rig.device.idle
    assert rig.device.totals()[0] == 100
    rig.run(5 * S)
    assert rig.of(Changed)[-1].state == "waiting"  # type: ignore[union-attr]


def test_open_while_nobody_wants_to_record_is_refused() -> None:
    rig = started()
    rig.lose = lambda header: header.type == wire.BYE
    rig.step(Pause())
    rig.give(rig.far.command(rig.far.links[101], "open"))
    assert rig.far.links[101].answers[-1][1] == "refused"
    rig.run(S)
    assert len(rig.far.hellos) == 1


def test_a_draining_link_that_hears_nothing_is_asked_about() -> None:
    rig = started()
    rig.lose = lambda header: header.link == 101
    rig.run(S, pose, 10 * MS)
    rig.step(Stop())
    rig.run(25 * S)
    assert not rig.device.idle
    assert len(rig.far.hellos) == 1
    rig.far.kept = lambda link: False
    rig.run(10 * S)
    assert rig.far.hellos[-1][1].links == [101]
    assert rig.device.idle, "what is not kept is lost, and the link of the question said BYE"
    assert rig.device.lost == {"link_gone": 100}
    assert rig.far.bye(102) is not None
    assert rig.device.wake_at is None


def test_only_permitted_kinds_leave_the_device() -> None:
    rig = Rig.make()
    rig.far.kinds = [kinds.POSE]
    rig.step(Start())
    rig.run(100 * MS)

    def feed(rig: Rig) -> None:
        rig.capture(0, kinds.POSE)
        rig.capture(1, kinds.GAZE)

    rig.run(5 * S, feed, 50 * MS)
    assert rig.device.totals() == {0: 100}
    assert rig.device.status()["withheld"] == {"gaze": 100, "clock": 3}
    assert rig.device.clock is not None, "the device itself still knows the gateway's clock"
    other = Rig.make(send_unpermitted=True)
    other.far.kinds = []
    other.step(Start())
    other.run(100 * MS)
    other.capture(1, kinds.GAZE)
    assert other.device.totals() == {1: 1}


def test_more_links_than_hello_can_name_are_never_held() -> None:
    rig = started()
    rig.lose = lambda header: header.type in (wire.DATA, wire.BYE)
    for _ in range(40):
        rig.run(100 * MS, pose, 10 * MS)
        rig.step(Pause())
        rig.step(Resume())
        rig.run(20 * MS)
    assert len(rig.device.links) == control.MAX_LINKS
    assert max(len(hello.links) for _, hello in rig.far.hellos) == control.MAX_LINKS
    assert rig.device.lost["overflow"] > 0


@pytest.mark.parametrize("transport", ["udp", "mqtt"])
def test_effects_name_the_topic(transport: str) -> None:
    rig = started(transport=transport)
    rig.run(S, pose, 10 * MS)
    for effect in rig.effects:
        if isinstance(effect, Send):
            assert effect.gateway == ("" if effect.hello else "gate")
