"""`hold` and `rotate`: what a gateway that cannot store tells a device, and how a device takes its next key."""

from __future__ import annotations

import pytest
from device_side import KEY, MS, OtherSide, Rig, S

from gateway.device.events import Changed, Pause, Persist, PersistKey, Send, Start
from gateway.keys.link import handshake_key, tag_matches
from gateway.wire import control, kinds
from gateway.wire import packet as wire

NEXT = bytes(range(32, 64))


def pose(rig: Rig) -> None:
    rig.capture(0, kinds.POSE)


def started(**changes: object) -> Rig:
    rig = Rig.make(**changes)
    rig.step(Start())
    rig.run(100 * MS)
    assert rig.device.current is not None
    return rig


# ---- rotate ----------------------------------------------------------------------------------------------------


def test_the_key_is_persisted_then_answered_then_used() -> None:
    rig = started()
    rig.far.next_key = NEXT
    far = rig.far.links[101]
    effects = rig.give(rig.far.command(far, "rotate", NEXT.hex()))
    told = [effect for effect in effects if isinstance(effect, PersistKey | Persist | Send)]
    assert [type(effect) for effect in told] == [PersistKey, Send, Persist, Send]
    assert told[0] == PersistKey(NEXT)
    assert told[2] == Persist(rig.persisted[-1])
    answer, hello = told[1], told[3]
    assert isinstance(answer, Send)
    assert isinstance(hello, Send)
    assert (answer.hello, hello.hello) == (False, True)
    assert tag_matches(handshake_key(NEXT), hello.packet)
    assert far.answers == [(far.seq, "done")]
    assert rig.persisted == [5, 6], "the counter belongs to the device and goes on"


def test_capture_goes_on_across_a_rotation_and_nothing_is_lost() -> None:
    rig = started()
    rig.run(2 * S, pose, 10 * MS)
    rig.far.next_key = NEXT
    rig.give(rig.far.command(rig.far.links[101], "rotate", NEXT.hex()))
    rig.run(5 * S, pose, 10 * MS)
    assert rig.device.links.numbers == (102,)
    assert rig.far.key == NEXT
    assert rig.device.totals()[0] == 700
    rig.run(2 * S)
    assert sum(count for _, count in rig.far.samples()[0]) == 700
    assert rig.far.bye(101) is not None
    assert all(change.state == "recording" for change in rig.of(Changed)[1:] if isinstance(change, Changed))


def test_a_lost_answer_and_a_lost_hello_are_mended_by_their_copies() -> None:
    rig = started()
    rig.far.next_key = NEXT
    command = rig.far.command(rig.far.links[101], "rotate", NEXT.hex())
    rig.up = False
    rig.give(command)
    rig.run(S)
    rig.give(command)
    rig.up = True
    rig.run(6 * S)
    assert rig.keys == [NEXT], "a copy does not rotate again"
    assert (rig.far.key, rig.far.next_key) == (NEXT, b"")
    assert rig.device.current is not None
    assert rig.device.current.number == 102


@pytest.mark.parametrize("lost", ["everything", "nothing"])
def test_an_app_that_dies_after_persisting_comes_back_with_the_new_key(lost: str) -> None:
    rig = started()
    rig.far.next_key = NEXT
    rig.up = lost == "nothing"
    rig.give(rig.far.command(rig.far.links[101], "rotate", NEXT.hex()))
    rig.restart()
    rig.up = True
    rig.step(Start())
    rig.run(S)
    assert rig.far.key == NEXT
    assert rig.device.current is not None


def test_an_app_that_dies_before_persisting_is_taken_under_the_old_key() -> None:
    rig = started()
    rig.far.next_key = NEXT
    rig.restart()  # the COMMAND never came
    rig.step(Start())
    rig.run(S)
    assert rig.device.current is not None
    assert rig.far.next_key == NEXT, "the rotation is still pending"


def test_a_waiting_link_answers_with_hello_alone() -> None:
    far = OtherSide()
    far.state, far.reason = control.WAITING, "no_session"
    rig = Rig.make(far)
    rig.step(Start())
    rig.run(100 * MS)
    far.next_key = NEXT
    rig.give(far.command(far.links[101], "rotate", NEXT.hex()))
    rig.run(S)
    assert far.links[101].answers == []
    assert far.key == NEXT
    assert rig.device.links.numbers == (102,)


@pytest.mark.parametrize(
    "args",
    [
        (),
        (KEY.hex()[:-1],),
        (NEXT.hex() + "0",),
        (NEXT.hex().upper(),),
        (NEXT.hex()[:-2] + "zz",),
        (NEXT.hex(), NEXT.hex()),
        (7,),
        ("٠" * 64,),
    ],
)
def test_what_is_no_key_is_refused_and_changes_nothing(args: tuple[int | str, ...]) -> None:
    rig = started()
    rig.give(rig.far.command(rig.far.links[101], "rotate", *args))
    assert [result for _, result in rig.far.links[101].answers] == ["refused"]
    assert rig.of(PersistKey) == []
    assert rig.device.config.key == KEY


def test_the_key_it_has_is_only_answered() -> None:
    rig = started()
    rig.give(rig.far.command(rig.far.links[101], "rotate", KEY.hex()))
    assert [result for _, result in rig.far.links[101].answers] == ["done"]
    assert rig.of(PersistKey) == []
    assert len(rig.far.hellos) == 1


def test_links_from_before_believe_a_reset_under_the_key_they_were_made_with() -> None:
    rig = started()
    rig.lose = lambda header: header.link == 101
    rig.run(S, pose, 10 * MS)
    rig.far.next_key = NEXT
    rig.give(rig.far.command(rig.far.links[101], "rotate", NEXT.hex()))
    rig.run(S)
    assert rig.device.links.numbers == (101, 102)
    data = rig.sent_of(wire.DATA)[0]
    rig.give(rig.far.reset(101, data, key=NEXT))
    assert 101 in rig.device.links
    rig.give(rig.far.reset(101, data, key=KEY))
    assert 101 not in rig.device.links


def test_rotations_do_not_count_in_the_rate_of_commands() -> None:
    rig = started()
    far = rig.far.links[101]
    for _ in range(40):
        rig.give(rig.far.command(far, "rotate", KEY.hex()))
        rig.give(rig.far.command(far, "hold", "disk_full"))
    rig.give(rig.far.command(far, "haptic", 1, 0.5, 20, 0.0))
    assert {result for _, result in far.answers} == {"done"}


def test_a_key_is_shown_by_no_repr() -> None:
    rig = started(spool_bytes=1 << 20)
    link = rig.device.current
    assert link is not None
    shown = repr(PersistKey(NEXT)) + repr(link.card) + repr(rig.device.config)
    for secret in (NEXT, KEY, link.card.up_mac, link.card.down.k_mac, link.card.down.k_enc):
        assert secret.hex() not in shown
        assert repr(secret) not in shown


# ---- hold ------------------------------------------------------------------------------------------------------


def held(rig: Rig) -> Rig:
    rig.commit_ns = 0
    rig.give(rig.far.command(rig.far.links[101], "hold", "disk_full"))
    return rig


def test_hold_is_shown_at_once_and_capture_goes_on() -> None:
    rig = held(started())
    assert rig.of(Changed)[-1] == Changed("behind", "disk_full", 0)
    assert rig.far.links[101].answers[-1][1] == "done"
    rig.run(12 * S, pose, 10 * MS)
    assert rig.of(Changed)[-1] == Changed("behind", "disk_full", 10)
    assert rig.device.totals()[0] == 1_200


def test_a_receipt_with_stored_ranges_ends_it_and_no_other() -> None:
    rig = held(started())
    far = rig.far.links[101]
    rig.run(S, pose, 10 * MS)
    rig.give(rig.far.receipt(far, refused=[("closed", [900, 900])], totals=[(0, 1, 0, 0, 1)]))
    assert rig.device.status()["reason"] == "disk_full"
    packet = rig.far.commit(far)
    assert packet is not None
    rig.give(packet)
    assert rig.of(Changed)[-1] == Changed("recording", "")


def test_the_links_end_ends_it() -> None:
    rig = held(started())
    rig.step(Pause())
    assert rig.of(Changed)[-1] == Changed("not_recording", "pause")


def test_hold_of_a_draining_link_is_answered_and_not_shown() -> None:
    rig = started()
    rig.lose = lambda header: header.link == 101 and header.type in (wire.DATA, wire.BYE)
    rig.run(S, pose, 10 * MS)
    rig.give(rig.far.command(rig.far.links[101], "open"))
    rig.run(S)
    assert rig.device.links.numbers == (101, 102)
    held(rig)
    assert rig.far.links[101].answers[-1][1] == "done"
    assert rig.device.status()["reason"] != "disk_full"


def test_a_waiting_link_passes_hold_over() -> None:
    far = OtherSide()
    far.state, far.reason = control.WAITING, "no_session"
    rig = Rig.make(far)
    rig.step(Start())
    rig.run(100 * MS)
    rig.give(far.command(far.links[101], "hold", "disk_full"))
    assert far.links[101].answers == []
    assert rig.device.status()["state"] == "waiting"


@pytest.mark.parametrize("args", [(), ("weather",), (1,), ("disk_full", "disk_full")])
def test_another_reason_is_refused(args: tuple[int | str, ...]) -> None:
    rig = started()
    rig.give(rig.far.command(rig.far.links[101], "hold", *args))
    assert rig.far.links[101].answers[-1][1] == "refused"
    assert rig.device.status()["state"] == "recording"
