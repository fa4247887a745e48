"""The check of plugins names what a device does wrong over time: resends, floors, numbers, HELLOs, probes, commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plugin_check_side import BOOT, DEVICE, MS, Lab, S, encode, nonce, poses

from gateway.app.plugin_check.forge import commands as forged_commands
from gateway.app.plugin_check.gate import Gate
from gateway.app.plugin_check.trial import Options, Trial
from gateway.app.plugin_check.wire import Tap
from gateway.keys.link import LinkCipher
from gateway.store.layout import Layout
from gateway.wire import kinds
from gateway.wire import packet as wire
from gateway.wire.frame import Data, Frame, encode_data


def frame(first: int, count: int = 1, stream: int = 0, **values: Any) -> Frame:
    return Frame(stream, kinds.POSE, first, poses(count, 50 * S + first * 11 * MS, **values))


def packets(lab: Lab, count: int, floor: int | None = None) -> list[bytes]:
    """Sound DATA, 100 ms apart."""
    made = []
    for _ in range(count):
        at = lab.seq
        body = encode_data(Data(at if floor is None else floor, [(0, at + 1)], [frame(at)]))
        made.append(lab.seal(wire.DATA, body))
        lab.up(made[-1])
        lab.later(0.1)
    return made


# ---- what is right says nothing ----------------------------------------------------------------------------


def test_a_good_device_is_told_nothing() -> None:
    lab = Lab()
    held: dict[int, bytes] = {}
    slow = -1
    for second in range(10):
        probes(lab, 8, 64, 0, bursts=1)
        for at in range(8 * second, 8 * second + 8):
            seq = lab.seq
            lab.data(frame(at), floor=min(held, default=seq), totals=[(0, at + 1)])
            held[seq] = lab.last
            slow = seq if at == 24 else slow
            lab.later(0.125)
        if second == 6:
            lab.up(held[slow], "copy")
        stored = [seq for seq in held if seq != slow or second >= 6]
        lab.receipt(*(number for seq in stored for number in (seq, seq)))
        held = {seq: packet for seq, packet in held.items() if seq not in stored}
        lab.tick()
    assert lab.codes == []
    assert lab.watcher.talks[lab.link].delivery.facts == {"resend.same": 1, "floor.rises": 6}


# ---- delivery ----------------------------------------------------------------------------------------------


def resend(change: Callable[[bytes], bytes], after_s: float) -> Callable[[Lab], None]:
    def act(lab: Lab) -> None:
        (packet,) = packets(lab, 1)
        lab.later(after_s - 0.1)
        lab.up(change(packet), "copy")

    return act


def changed_and_tagged(lab: Lab) -> None:
    packets(lab, 1)
    lab.later(3)
    lab.send(wire.DATA, encode_data(Data(0, [(0, 2)], [frame(1)])), seq=0)


def never(lab: Lab) -> None:
    for _ in range(25):
        packets(lab, 1)
        lab.later(0.9)
        lab.down(wire.SYNC, encode([1, 2, 3]))
        lab.tick()


def burst(lab: Lab) -> None:
    sent = packets(lab, 60, floor=0)
    lab.later(3)
    packets(lab, 11, floor=0)
    for packet in sent:
        lab.later(0.01)
        lab.up(packet, "copy")


def after_receipt(lab: Lab) -> None:
    sent = packets(lab, 4)
    for _ in range(4):
        lab.later(4)
        for packet in sent:
            lab.up(packet, "copy")
        lab.receipt(0, 3)


def stuck(lab: Lab) -> None:
    packets(lab, 3)
    lab.receipt(0, 2)
    lab.later(13)
    packets(lab, 1, floor=0)


def test_a_receipt_that_may_be_lost_is_no_mistake_of_the_device() -> None:
    lab = Lab()
    sent = packets(lab, 8, floor=0)
    lab.receipt(0, 7)
    lab.later(3)
    for packet in sent:
        lab.later(0.1)
        lab.up(packet, "copy")
    assert lab.codes == []


@dataclass
class Link:
    """One link of a lab, to go back to."""

    link: int
    seq: int
    down_seq: int
    ciphers: tuple[LinkCipher, LinkCipher]

    @classmethod
    def of(cls, lab: Lab) -> Link:
        return cls(lab.link, lab.seq, lab.down_seq, (lab.up_cipher, lab.down_cipher))

    def back(self, lab: Lab) -> None:
        lab.link, lab.seq, lab.down_seq = self.link, self.seq, self.down_seq
        lab.up_cipher, lab.down_cipher = self.ciphers


def relinked(lab: Lab, links: list[int]) -> None:
    """A new HELLO makes the next link."""
    lab.hello_seq, lab.link, lab.seq, lab.down_seq = lab.hello_seq + 1, lab.link + 1, 0, BOOT
    lab.connect(links=links)


def live_again(lab: Lab, sample: int) -> None:
    """DATA on another link of the same session and run, whose sample numbers go on."""
    lab.data(frame(sample), floor=0, totals=[(0, sample + 1)])


@pytest.mark.parametrize(
    ("live", "resends", "codes"),
    [(70, 140, []), (10, 100, ["resend.burst"]), (0, 140, []), (0, 200, ["resend.burst"])],
)
def test_live_packets_on_any_link_of_the_device_allow_resends(
    live: int, resends: int, codes: list[str]
) -> None:
    lab = Lab()
    old = packets(lab, 200, floor=0)
    lab.later(3)
    relinked(lab, links=[lab.link])
    sample = 200
    for _ in range(20 if live else 0):
        live_again(lab, sample)
        sample += 1
        lab.later(1 / live)
    begin = lab.now
    told = [(n / resends, old[n]) for n in range(resends)] + [(n / 100, b"") for n in range(live)]
    for at, packet in sorted(told):
        lab.now = begin + int(at * S)
        if packet:
            lab.up(packet, "copy")
        else:
            live_again(lab, sample)
            sample += 1
    assert lab.codes == codes


def test_a_backlog_that_drained_with_nothing_live_may_stand_beside_the_first_live_packets() -> None:
    lab = Lab()
    old = packets(lab, 200, floor=0)
    lab.later(3)
    relinked(lab, links=[lab.link])
    for packet in old[:100]:
        lab.up(packet, "copy")
        lab.later(0.0095)
    live_again(lab, 200)
    lab.up(old[100], "copy")
    assert lab.codes == []


DELIVERY: dict[str, Callable[[Lab], Any]] = {
    "resend.early": resend(lambda packet: packet, 1.0),
    "resend.changed": changed_and_tagged,
    "resend.changed_untagged": resend(lambda packet: packet[:16] + b"\1" + packet[17:], 3.0),
    "resend.never": never,
    "resend.burst": burst,
    "resend.after_receipt": after_receipt,
    "floor.stuck": stuck,
    "floor.above": lambda lab: packets(lab, 1, floor=3),
    "floor.skips": lambda lab: (packets(lab, 3, floor=0), packets(lab, 1)),
    "seq.start": lambda lab: (setattr(lab, "seq", 3), packets(lab, 1)),
    "seq.gap": lambda lab: (packets(lab, 1), setattr(lab, "seq", 9), packets(lab, 1)),
    "bye.not_last": lambda lab: (packets(lab, 1), lab.bye(), packets(lab, 1)),
}


@pytest.mark.parametrize("code", DELIVERY)
def test_what_a_device_does_wrong_with_its_packets_is_told(code: str) -> None:
    lab = Lab()
    DELIVERY[code](lab)
    assert code in lab.codes


def test_a_resend_in_a_hurry_is_early_once_only() -> None:
    lab = Lab()
    sent = packets(lab, 70, floor=0)
    lab.later(-6.5)
    lab.receipt(1, 69)
    lab.up(sent[0], "copy")
    assert "resend.early" not in lab.codes
    lab.later(0.5)
    lab.up(sent[0], "copy")
    assert "resend.early" in lab.codes


def test_a_changed_resend_names_the_byte() -> None:
    lab = Lab()
    (packet,) = packets(lab, 1)
    line = lab.up(packet[:18] + b"\xff" + packet[19:], "bad_tag")
    assert line.new[0].code == "resend.changed_untagged"
    assert "t_send_ns" in line.new[0].what
    assert (line.spots[0].offset, line.spots[0].packet) == (18, True)


# ---- numbers -----------------------------------------------------------------------------------------------

NUMBERS: dict[str, Callable[[Lab], Any]] = {
    "frames.twice": lambda lab: lab.data(frame(0), frame(1), totals=[(0, 2)]),
    "totals.missing": lambda lab: lab.data(frame(0), totals=[(1, 1)]),
    "totals.short": lambda lab: lab.data(frame(0, 4), totals=[(0, 3)]),
    "totals.jump": lambda lab: lab.data(frame(0), totals=[(0, 2**25)]),
    "totals.fall": lambda lab: (
        lab.data(frame(0, 4)),
        lab.data(frame(4), totals=[(0, 5)]),
        lab.data(totals=[(0, 1)]),
    ),
    "numbers.start": lambda lab: lab.data(frame(5)),
    "numbers.again": lambda lab: (lab.data(frame(0, 3)), lab.data(frame(2, 2))),
    "numbers.gap": lambda lab: (lab.data(frame(0)), lab.data(frame(3))),
    "numbers.kind": lambda lab: (
        lab.data(frame(0)),
        lab.data(Frame(0, kinds.HAPTIC, 1, bytes(32)), totals=[(0, 9)]),
    ),
    "time.backwards": lambda lab: (lab.data(frame(100)), lab.data(frame(0, stream=0), totals=[(0, 200)])),
    "frame.not_permitted": lambda lab: lab.data(Frame(3, kinds.GAZE, 0, bytes(112)), totals=[(3, 1)]),
}


@pytest.mark.parametrize("code", NUMBERS)
def test_wrong_numbers_are_told(code: str) -> None:
    lab = Lab()
    NUMBERS[code](lab)
    assert code in lab.codes


def test_data_on_a_waiting_link() -> None:
    lab = Lab()
    lab.hello_seq, lab.link, lab.seq = 6, 4243, 0
    lab.connect(session=b"")
    lab.data(frame(0))
    assert lab.codes == ["data.waiting"]


# ---- HELLO -------------------------------------------------------------------------------------------------


def hellos(lab: Lab, count: int, every_s: float, *, new: bool) -> None:
    packet = lab.hello()
    for _ in range(count):
        lab.hello_seq += new
        lab.up(lab.hello() if new else packet)
        lab.later(every_s)


HELLOS: dict[str, Callable[[Lab], Any]] = {
    "hello.size": lambda lab: lab.up(lab.hello(size=500), "malformed"),
    "hello.counter": lambda lab: (setattr(lab, "hello_seq", 3), lab.up(lab.hello(), "hello_replay")),
    "hello.reused": lambda lab: lab.up(lab.hello(nonce_d=nonce("other")), "hello_replay"),
    "hello.storm": lambda lab: hellos(lab, 15, 0.01, new=True),
    "hello.fast": lambda lab: (setattr(lab, "hello_seq", 6), hellos(lab, 3, 0.05, new=False)),
    "hello.device": lambda lab: lab.up(lab.hello(device=8), "unknown_device"),
    "nonce.reused": lambda lab: (setattr(lab, "hello_seq", 6), lab.up(lab.hello(nonce_d=nonce("d5")))),
    "nonce.weak": lambda lab: (setattr(lab, "hello_seq", 6), lab.up(lab.hello(nonce_d=bytes(range(16))))),
    "run.weak": lambda lab: (setattr(lab, "hello_seq", 6), lab.up(lab.hello(run=1))),
    "body.range": lambda lab: lab.up(lab.hello(device=0), "numbers"),
    "body.field": lambda lab: lab.up(lab.hello(versions=[2, 1]), "numbers"),
}


@pytest.mark.parametrize("code", HELLOS)
def test_a_wrong_hello_is_told(code: str) -> None:
    lab = Lab()
    HELLOS[code](lab)
    assert code in lab.codes


def test_silence_without_a_hello_and_with_one() -> None:
    lab, other = Lab(), Lab()
    for one in (lab, other):
        for second in range(16):
            packets(one, 1)
            one.later(0.9)
            if one is other and second == 11:
                one.hello_seq += 1
                one.up(one.hello())
            one.tick()
    assert "silence.no_hello" in lab.codes
    assert "silence.no_hello" not in other.codes
    assert other.watcher.facts["silence.hello"] == 1


# ---- probes ------------------------------------------------------------------------------------------------


def probes(lab: Lab, size: int, apart_ms: float, every_s: float, bursts: int = 4) -> None:
    for number in range(bursts):
        for n in range(size):
            lab.send(wire.SYNC, encode([int(1e9 * (50 + every_s * number) + n * apart_ms * MS)]))
        lab.later(every_s)


@pytest.mark.parametrize(
    ("size", "apart_ms", "every_s", "code"),
    [
        (8, 64, 2, ""),
        (3, 64, 2, "probe.burst"),
        (8, 5, 2, "probe.apart"),
        (8, 64, 0.95, "probe.often"),
        (1, 0, 2, "probe.burst"),
    ],
)
def test_bursts_of_probes(size: int, apart_ms: float, every_s: float, code: str) -> None:
    lab = Lab()
    probes(lab, size, apart_ms, every_s)
    assert lab.codes == ([code] if code else [])


def test_a_burst_that_a_busy_machine_tore_is_no_mistake_of_the_device() -> None:
    lab = Lab()
    whole = [64 * n for n in range(8)]
    torn = [*whole[:7], 830]  # as an engine sent them that stood still in between
    slow = [0, 67, 131, 210, 350, 594, 954, 1020]
    for begin_ms, burst in ((0, whole), (2000, torn), (4000, slow), (6000, whole), (8000, whole)):
        for at_ms in burst:
            lab.send(wire.SYNC, encode([50 * S + (begin_ms + at_ms) * MS]))
        lab.later(2)
    assert lab.codes == []


def test_no_probe_at_all_and_clock_samples_of_no_reply() -> None:
    lab = Lab()
    for _ in range(9):
        packets(lab, 1)
        lab.receipt(0, lab.seq)
        lab.later(0.9)
        lab.tick()
    assert "probe.none" in lab.codes
    lab.down(wire.SYNC, encode([1, 2, 3]))
    row = np.zeros(1, kinds.CLOCK_DTYPE)
    row["t_capture_ns"], row["source"] = 10, 1
    lab.data(Frame(9, kinds.CLOCK, 0, row.tobytes()))
    assert "clock.foreign" in lab.codes


# ---- commands ----------------------------------------------------------------------------------------------


def marker(code: int, first: int) -> Frame:
    row = np.zeros(1, kinds.MARKER_HEADER)
    row["t_capture_ns"], row["code"] = 50 * S, code
    return Frame(9, kinds.MARKER, first, row.tobytes())


def twice(lab: Lab) -> None:
    lab.answer(lab.command("marker", 7, ""), "done")
    lab.data(marker(7, 0))
    lab.data(marker(7, 1))


def two_answers(lab: Lab) -> None:
    seq = lab.command("text", "hello")
    lab.answer(seq, "done")
    lab.answer(seq, "unsupported")


def heard(lab: Lab, seconds: int) -> None:
    for _ in range(seconds):
        packets(lab, 1)
        lab.receipt(0, lab.seq)
        lab.later(0.9)
        lab.tick()


def forged(lab: Lab) -> None:
    packet = forged_commands(lab.watcher.ring.links[lab.link])[0]
    lab.watcher.down(packet, "x", "forged on purpose", lab.now)
    lab.answer(int.from_bytes(packet[8:16], "little"), "done")


def captured_after_stop(lab: Lab) -> None:
    packets(lab, 1)
    lab.command("stop", "closed")
    lab.later(5)
    lab.data(Frame(0, kinds.POSE, 1, poses(1, lab.now - 50 * S - 100 * MS)), totals=[(0, 2)])


COMMANDS: dict[str, Callable[[Lab], Any]] = {
    "command.limit": lambda lab: lab.answer(lab.command("haptic", 1, 1.5, 100, 0.0), "done"),
    "command.text_answer": lambda lab: lab.answer(lab.command("text", "hello"), "refused"),
    "command.unknown_verb": lambda lab: lab.answer(lab.command("marker", 1, ""), "done") and _unknown(lab),
    "command.two_answers": two_answers,
    "command.twice": twice,
    "command.stranger": lambda lab: lab.answer(BOOT + 999, "done"),
    "command.forged": forged,
    "command.marker_unanswered": lambda lab: (lab.command("marker", 1, ""), heard(lab, 8)),
    "command.marker_lost": lambda lab: (lab.answer(lab.command("marker", 1, ""), "done"), heard(lab, 8)),
    "command.stop_answer": lambda lab: lab.answer(lab.command("stop", "closed"), "unsupported"),
    "stop.captured": captured_after_stop,
    "stop.no_bye": lambda lab: (lab.command("stop", "closed"), heard(lab, 8)),
    "stop.reason": lambda lab: (lab.command("stop", "closed"), lab.bye("end")),
}


def _unknown(lab: Lab) -> None:
    lab.watcher.orders.sent(lab.link, BOOT + 77, "dance", [], True, False, lab.now)
    lab.answer(BOOT + 77, "unsupported")


@pytest.mark.parametrize("code", COMMANDS)
def test_wrong_answers_to_commands_are_told(code: str) -> None:
    lab = Lab()
    COMMANDS[code](lab)
    assert code in lab.codes


def test_right_answers_say_nothing_and_a_lost_command_waits_for_nothing() -> None:
    lab = Lab()
    lab.answer(lab.command("haptic", 1, 0.5, 100, 0.0), "done")
    lab.answer(lab.command("haptic", 1, 1, 100, 0.0), "refused")
    lab.answer(lab.command("text", "hello"), "unsupported")
    lab.command("marker", 3, "", fate="lost on purpose")
    lab.answer(lab.command("stop", "closed"), "done")
    lab.bye("stop")
    heard(lab, 0)
    lab.later(8)
    lab.tick()
    assert lab.codes == []
    assert lab.watcher.stopping.clean == 1


def overdue(lab: Lab) -> set[str]:
    return {code for code in lab.codes if code.startswith(("command.", "stop."))}


def alone(lab: Lab, seconds: int) -> None:
    for _ in range(seconds):
        lab.later(1)
        lab.tick()


def test_nothing_is_expected_on_a_link_that_the_device_never_took_up() -> None:
    lab = Lab()
    heard(lab, 1)
    used = Link.of(lab)
    relinked(lab, links=[used.link])
    lab.command("stop", "closed")
    lab.command("text", "hello")
    used.back(lab)
    heard(lab, 8)
    assert overdue(lab) == set()
    lab.command("stop", "closed")
    heard(lab, 8)
    assert overdue(lab) == {"command.stop_unanswered", "stop.no_bye"}, "of the link that it did take up"


def test_the_trial_speaks_on_the_link_that_the_device_took_up() -> None:
    lab = Lab()
    tap = Tap(lab.watcher, lambda: lab.now, lambda line: None)
    gate = Gate(Layout(Path("not made")), "127.0.0.1", 0, tap)
    trial = Trial(gate, tap, lab.watcher, Options(("pose",), "gaze"), lambda words: None, None)
    trial.device = DEVICE
    assert trial.talk is None
    heard(lab, 1)
    old = lab.link
    relinked(lab, links=[old])
    assert trial.talk is lab.watcher.talks[old]
    heard(lab, 1)
    assert trial.talk is lab.watcher.talks[lab.link]


def test_a_link_that_is_taken_up_late_answers_from_then_on() -> None:
    lab = Lab()
    lab.command("stop", "closed")
    alone(lab, 8)
    heard(lab, 4)
    assert overdue(lab) == set()
    heard(lab, 4)
    assert overdue(lab) == {"command.stop_unanswered", "stop.no_bye"}


@pytest.mark.parametrize("back", [False, True])
def test_a_link_that_a_hello_does_not_name_is_finished_until_it_sends_again(back: bool) -> None:
    lab = Lab()
    heard(lab, 1)
    lab.command("stop", "closed")
    old = Link.of(lab)
    relinked(lab, links=[])
    new = Link.of(lab)
    if back:
        lab.later(0.1)
        old.back(lab)
        heard(lab, 1)
        new.back(lab)
    heard(lab, 8)
    assert overdue(lab) == ({"command.stop_unanswered", "stop.no_bye"} if back else set())


def test_a_stop_that_comes_after_bye_waits_for_no_second_one() -> None:
    lab = Lab()
    heard(lab, 1)
    lab.bye("end")
    lab.command("stop", "closed")
    alone(lab, 8)
    assert overdue(lab) == set()


@pytest.mark.parametrize(("reason", "codes"), [("end", []), ("stop", ["bye.not_last"])])
def test_an_answer_after_bye_is_to_a_command_that_crossed_it(reason: str, codes: list[str]) -> None:
    lab = Lab()
    packets(lab, 1)
    lab.bye(reason)
    lab.answer(lab.command("text", "hello"), "done")
    assert lab.codes == codes


def test_a_marker_that_the_session_does_not_permit_leaves_no_sample() -> None:
    lab = Lab(kinds=(kinds.POSE, kinds.CLOCK))
    lab.answer(lab.command("marker", 1, ""), "done")
    heard(lab, 8)
    assert overdue(lab) == set()


def test_a_burst_that_is_all_carried_out() -> None:
    lab = Lab()
    for number in range(45):
        lab.answer(lab.command("text", f"burst {number}"), "done")
    assert [one.code for one in lab.watcher.orders.burst()] == ["command.rate"]
    polite = Lab()
    for number in range(45):
        polite.answer(polite.command("text", f"burst {number}"), "done" if number < 20 else "refused")
    assert polite.watcher.orders.burst() == []
    assert polite.codes == []
