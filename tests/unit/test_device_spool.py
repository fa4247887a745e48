"""The spool as the device machine sees it: when a packet is kept, what gives way, and links of an earlier run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from device_side import KEY, MS, Rig, S, balanced

from gateway.device.events import Changed, Dropped, Keep, Pause, Restored, Send, SendKept, Start, Stop
from gateway.device.spool import KeptLink, KeptPacket, in_order
from gateway.errors import LocalError
from gateway.wire import control, kinds
from gateway.wire import packet as wire

MIB = 1 << 20


def pose(rig: Rig) -> None:
    rig.capture(0, kinds.POSE)


def full(rig: Rig) -> None:
    """One packet, at once."""
    rig.capture(0, kinds.POSE, 16)


def started(**changes: object) -> Rig:
    rig = Rig.make(**({"spool_bytes": 64 * MIB} | changes))
    rig.step(Start())
    rig.run(100 * MS)
    assert rig.device.current is not None
    return rig


def test_a_device_whose_gateway_answers_writes_nothing() -> None:
    rig = started()
    rig.run(30 * S, pose, 10 * MS)
    assert rig.of(Keep) == []
    assert rig.device.links.kept_packets == 0


def test_a_packet_is_kept_when_its_first_resend_falls_due_and_not_sooner() -> None:
    rig = started(silence_ms=600_000)
    rig.commit_ns = 0
    full(rig)
    rig.run(2_499 * MS)
    assert rig.of(Keep) == []
    rig.run(2 * MS)
    keep = rig.of(Keep)[0]
    assert isinstance(keep, Keep)
    assert (keep.card.link, keep.seq, keep.samples) == (101, rig.device.links.get(101).ring.oldest().seq, 16)  # type: ignore[union-attr]
    assert keep.packet == rig.sent_of(wire.DATA)[0]
    rig.run(60 * S)
    assert len([one for one in rig.of(Keep) if one.seq == keep.seq]) == 1  # type: ignore[union-attr]


def test_silence_keeps_everything_although_it_resends_almost_nothing() -> None:
    rig = started()
    rig.up = rig.down = False
    rig.run(60 * S, pose, 10 * MS)
    packets = len(rig.device.links.get(101).ring)  # type: ignore[union-attr]
    assert rig.device.links.kept_packets >= packets - 30
    assert len(rig.spool[101]) == rig.device.links.kept_packets


def test_a_full_ring_gives_way_with_bytes_and_loses_nothing() -> None:
    rig = started(ring_bytes=16_384, silence_ms=600_000)
    rig.up = rig.down = False
    rig.run(60 * S, pose, 10 * MS)
    links = rig.device.links
    assert links.held_bytes <= 16_384
    assert links.held_packets > links.loaded_packets
    assert rig.device.lost == {}
    link = rig.device.current
    assert link is not None
    oldest = link.ring.oldest()
    assert oldest is not None
    assert not oldest.packet
    assert link.ring.floor(link.next_seq) == oldest.seq, "the floor counts what only the spool has"
    rig.up = rig.down = True
    rig.run(120 * S, pose, 10 * MS)
    assert rig.of(SendKept)
    rig.step(Stop())
    rig.run(30 * S)
    assert rig.device.idle
    assert rig.device.account.stored == rig.device.account.captured
    assert sum(map(len, rig.spool.values())) == 0, "what has its receipt is gone from the spool"
    assert balanced(rig)


def test_few_packets_are_a_limit_as_bytes_are() -> None:
    rig = started(ring_packets=8, silence_ms=600_000)
    rig.commit_ns = 0
    for _ in range(50):
        full(rig)
    assert rig.device.links.loaded_packets == 8
    assert rig.device.links.held_packets == 50
    assert rig.device.lost == {}


def test_a_full_spool_drops_its_oldest_and_counts_them() -> None:
    rig = started(ring_bytes=4_096, spool_bytes=32_768, silence_ms=600_000)
    rig.commit_ns = 0
    for _ in range(100):
        full(rig)
    links = rig.device.links
    assert links.kept_bytes <= 32_768
    assert sum(len(keep.packet) for keep in rig.spool[101].values()) == links.kept_bytes
    assert rig.device.lost == {"overflow": (100 - links.held_packets) * 16}
    assert balanced(rig)
    rig = started(ring_bytes=4_096, spool_packets=10, silence_ms=600_000)
    rig.commit_ns = 0
    for _ in range(100):
        full(rig)
    assert rig.device.links.kept_packets == 10


@pytest.mark.parametrize("event", [Pause(), Stop()])
def test_all_that_is_held_is_kept_at_a_pause_and_at_the_end(event: Pause | Stop) -> None:
    rig = started()
    rig.commit_ns = 0
    rig.run(S, pose, 10 * MS)
    effects = rig.step(event)
    link = rig.device.links.get(101)
    assert link is not None
    assert len(rig.spool[101]) == len(link.ring)
    assert isinstance(effects[-1], Changed)
    bye = max(rig.spool[101].values(), key=lambda keep: keep.seq)
    assert wire.parse_header(bye.packet).type == wire.BYE
    assert bye.samples == 0


def test_what_the_spool_cannot_give_is_lost_and_said() -> None:
    rig = started(ring_bytes=4_096)
    rig.up = rig.down = False
    for _ in range(20):
        full(rig)
    rig.run(3 * S)
    gone = min(rig.spool[101])
    del rig.spool[101][gone]
    rig.up = rig.down = True
    rig.run(30 * S)
    assert rig.device.lost == {"overflow": 16}
    assert sum(count for _, count in rig.far.samples()[0]) == 19 * 16
    assert balanced(rig)


def test_a_waiting_link_keeps_nothing() -> None:
    rig = Rig.make(spool_bytes=MIB)
    rig.far.state = control.WAITING
    rig.step(Start())
    rig.run(S)
    rig.up = False
    rig.step(Stop())
    rig.run(20 * S)
    assert rig.of(Keep) == []


# ---- an earlier run --------------------------------------------------------------------------------------------


def killed(outage_s: int = 20, **changes: object) -> Rig:
    """An app that was killed in an outage; what it kept is there."""
    rig = started(**changes)
    rig.run(2 * S, pose, 10 * MS)
    rig.up = rig.down = False
    rig.run(outage_s * S, pose, 10 * MS)
    rig.restart()
    rig.up = rig.down = True
    return rig


def test_links_of_an_earlier_run_drain_beside_the_new_one() -> None:
    rig = killed()
    kept = len(rig.spool[101])
    assert kept
    assert rig.device.links.numbers == (101,)
    assert rig.device.earlier.captured == sum(keep.samples for keep in rig.spool[101].values())
    rig.step(Start())
    rig.run(20 * S, pose, 10 * MS)
    assert rig.far.hellos[1][1].links == [101]
    assert rig.far.hellos[1][1].run == rig.far.hellos[0][1].run + 1
    assert len(rig.spool.get(101, {})) == 0
    assert balanced(rig)
    assert 101 not in rig.device.links
    first, last = rig.far.samples()[0][0], rig.far.samples()[0]
    assert first[0] == 0
    assert sum(count for _, count in last) >= 200 + 20 * 100 - 270, (
        "what was sealed 2.5 s before the kill is there"
    )


def test_the_end_of_a_link_without_bye_is_told_by_one_more_hello() -> None:
    rig = killed()
    rig.step(Start())
    rig.run(20 * S, pose, 10 * MS)
    assert rig.far.bye(101) is None
    assert [hello.links for _, hello in rig.far.hellos] == [[], [101], [102]]
    rig.run(60 * S, pose, 10 * MS)
    assert len(rig.far.hellos) == 3, "once"


def test_a_kept_bye_needs_no_hello() -> None:
    rig = started()
    rig.run(2 * S, pose, 10 * MS)
    rig.up = rig.down = False
    rig.run(S, pose, 10 * MS)
    rig.step(Pause("sleep"))
    rig.restart()
    rig.up = rig.down = True
    rig.step(Start())
    rig.run(20 * S, pose, 10 * MS)
    rig.step(Stop())
    rig.run(5 * S)
    bye = rig.far.bye(101)
    assert bye is not None
    assert dict(bye.totals)[0] == 300
    assert len(rig.far.hellos) == 2
    assert sum(count for _, count in rig.far.samples()[0]) == 300 + rig.device.totals()[0]


def test_nothing_is_sealed_on_a_link_of_an_earlier_run() -> None:
    rig = killed()
    before = len(rig.sent)
    far = rig.far.links[101]
    for verb, *args in (["haptic", 1, 0.5, 20, 0.0], ["stop"], ["rotate", KEY.hex()], ["open"]):
        rig.give(rig.far.command(far, str(verb), *args))
    assert rig.device.account.ignored["unanswerable"] == 4
    rig.step(Stop())
    assert len(rig.sent) == before
    assert all(isinstance(effect, Changed) for effect in rig.effects[-1:])


def test_a_link_that_is_no_longer_kept_is_dropped_with_its_files() -> None:
    rig = killed()
    rig.far.kept = lambda link: link != 101
    samples = rig.device.earlier.captured
    rig.step(Start())
    rig.run(S)
    assert Dropped(101) in rig.effects
    assert 101 not in rig.spool
    assert rig.device.earlier.lost == {"link_gone": samples}


def test_a_reset_may_name_a_packet_that_only_the_spool_has() -> None:
    rig = killed()
    packet = rig.spool[101][min(rig.spool[101])].packet
    rig.give(rig.far.reset(101, packet, tag=bytes(16)))
    assert 101 in rig.device.links
    rig.give(rig.far.reset(101, packet))
    assert 101 not in rig.device.links


def test_three_runs_one_after_another() -> None:
    rig = killed()
    for _ in range(2):
        rig.step(Start())
        rig.run(200 * MS)
        rig.up = rig.down = False
        rig.run(10 * S, pose, 10 * MS)
        rig.restart()
        rig.up = rig.down = True
    assert len(rig.device.links) == 3
    rig.step(Start())
    rig.run(60 * S, pose, 10 * MS)
    rig.step(Stop())
    rig.run(10 * S)
    assert rig.device.idle
    assert sum(map(len, rig.spool.values())) == 0


def test_more_links_than_hello_can_name_let_the_oldest_go() -> None:
    rig = killed()
    link = rig.device.links.get(101)
    assert link is not None
    packets = in_order(KeptPacket(seq, 1, 100, bytes(16), False) for seq in range(3))
    before = rig.device.earlier.captured
    for number in range(201, 201 + control.MAX_LINKS):
        rig.step(Restored(KeptLink(replace(link.card, link=number), packets)))
    assert rig.device.links.numbers == tuple(range(201, 201 + control.MAX_LINKS))
    assert rig.device.earlier.lost == {"overflow": before}
    assert balanced(rig)


def test_a_link_that_is_known_or_empty_is_passed_over() -> None:
    rig = killed()
    link = rig.device.links.get(101)
    assert link is not None
    rig.step(Restored(KeptLink(replace(link.card, link=102), ())))
    rig.step(Restored(KeptLink(link.card, in_order([KeptPacket(9_999, 1, 100, bytes(16), False)]))))
    assert rig.device.links.numbers == (101,)
    assert rig.device.links.get(101) is link


def test_a_link_of_an_earlier_run_after_the_start_is_the_drivers_mistake() -> None:
    rig = started()
    link = rig.device.current
    assert link is not None
    with pytest.raises(LocalError, match="too late"):
        rig.device.step(Restored(KeptLink(link.card, ())), rig.now)


def test_resends_from_the_spool_keep_the_pace() -> None:
    rig = killed(60, ring_bytes=8_192)
    rig.step(Start())
    rig.run(200 * MS)
    sent = len([effect for effect in rig.effects if isinstance(effect, Send | SendKept)])
    rig.run(S, pose, 10 * MS)
    assert len([effect for effect in rig.effects if isinstance(effect, Send | SendKept)]) - sent < 150
