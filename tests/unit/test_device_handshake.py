"""Pairing, HELLO and WELCOME on the device's side."""

from __future__ import annotations

import base64
from itertools import pairwise

import pytest
from device_side import KEY, MS, SESSION, OtherSide, Rig, S, config

from gateway.device.config import DeviceConfig
from gateway.device.events import Changed, Pause, Persist, Received, Resume, Send, Start, Stop, Tick
from gateway.device.pairing import Paired, open_paired, pair_packet, plain_code
from gateway.errors import LocalError, SignatureError, WireError
from gateway.keys.link import device_key, handshake_key, pairing_key, tag, tag_matches
from gateway.wire import control, kinds
from gateway.wire import packet as wire

CODE = "ABCDEFGHIJKLMNOPQRSTUVWX27"


def pose(rig: Rig) -> None:
    rig.capture(0, kinds.POSE)


def hello_of(packet: bytes) -> control.Hello:
    return control.decode(control.Hello, bytes(wire.body_of(packet)))


def test_the_counter_is_persisted_before_hello_leaves() -> None:
    rig = Rig.make()
    persist, send, changed = rig.step(Start())
    assert persist == Persist(5)
    assert isinstance(send, Send)
    assert send.hello
    assert changed == Changed("not_recording", "connecting")
    header = wire.parse_header(send.packet)
    assert (header.type, header.link, header.seq) == (wire.HELLO, 0, 5)
    assert len(send.packet) == wire.HELLO_BYTES
    assert tag_matches(handshake_key(KEY), send.packet)
    hello = hello_of(send.packet)
    assert (hello.device, hello.run, hello.versions, hello.links) == (7, 99, [1], [])


def test_a_welcome_starts_the_recording() -> None:
    rig = Rig.make()
    rig.step(Start())
    rig.run(S)
    assert rig.device.gateway == "gate"
    assert rig.device.current is not None
    assert rig.device.current.number == 101
    assert rig.device.current.session == SESSION
    assert rig.of(Changed)[-1] == Changed("recording", "")


def test_hello_is_resent_as_the_same_bytes_ever_more_rarely_and_then_made_new() -> None:
    rig = Rig.make()
    rig.up = False
    rig.step(Start())
    rig.run(200 * S)
    hellos = [(at - 10 * S, packet) for at, packet in rig.sent if packet[3] == wire.HELLO]
    same = [at for at, packet in hellos if packet == hellos[0][1]]
    assert [at // MS for at in same[:7]] == [0, 250, 750, 1750, 3750, 7750, 12750]
    assert len(same) == 16
    waits = [b - a for (a, _), (b, _) in pairwise(hellos[5:])]
    assert set(waits) == {5 * S}, "periodic for ever"
    # Nobody knows the old bytes any more once their half-open link is gone, so new ones are tried.
    assert rig.persisted[:3] == [5, 6, 7]
    assert len({hello_of(packet).nonce_d for _, packet in hellos}) == len(rig.persisted)
    assert Changed("not_recording", "no_answer") in rig.effects
    rig.up = True
    rig.run(6 * S)
    assert rig.of(Changed)[-1] == Changed("recording", "")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"offered": [1, 2]}, "downgrade"),
        ({"offered": []}, "downgrade"),
        ({"version": 2}, "downgrade"),
        ({"nonce_d": bytes(16)}, "not_mine"),
        ({"nonce_g": b""}, "malformed"),
        ({"session": b""}, "malformed"),
        ({"state": "waiting"}, "malformed"),
        ({"state": "open"}, "numbers"),
    ],
)
def test_a_welcome_that_is_not_the_answer_is_passed_over(changes: dict[str, object], code: str) -> None:
    rig = Rig.make()
    rig.up = False
    (_, hello, _) = rig.step(Start())
    assert isinstance(hello, Send)
    rig.give(rig.far.welcome(hello.packet, **changes))
    assert rig.device.current is None
    assert rig.device.account.ignored == {code: 1}
    rig.give(rig.far.welcome(hello.packet))
    assert rig.device.current is not None


def test_a_forged_welcome_is_passed_over() -> None:
    rig = Rig.make()
    rig.up = False
    (_, hello, _) = rig.step(Start())
    assert isinstance(hello, Send)
    good = rig.far.welcome(hello.packet)
    for at in range(len(good)):
        bad = bytearray(good)
        bad[at] ^= 1
        rig.give(bytes(bad))
        assert rig.device.current is None
    stranger = OtherSide(key=bytes(32))
    stranger.k_hs = handshake_key(KEY)  # only so that it takes the HELLO
    forged = stranger.welcome(hello.packet)
    rig.give(forged[:-16] + tag(handshake_key(bytes(32)), forged[:-16]))
    assert rig.device.current is None
    assert sum(rig.device.account.ignored.values()) == len(good) + 1


def test_an_old_welcome_does_not_answer_a_new_hello() -> None:
    rig = Rig.make()
    rig.up = False
    (_, first, _) = rig.step(Start())
    assert isinstance(first, Send)
    old = rig.far.welcome(first.packet)
    rig.step(Pause())
    rig.step(Resume())
    rig.give(old)
    assert rig.device.current is None
    assert rig.device.account.ignored == {"not_mine": 1}


def test_a_stop_before_the_welcome_takes_leave_of_the_link_that_it_brings() -> None:
    rig = Rig.make()
    rig.up = False
    (_, first, _) = rig.step(Start())
    assert isinstance(first, Send)
    rig.step(Stop())
    assert not rig.device.idle
    rig.run(1 * S)
    hellos = rig.sent_of(wire.HELLO)
    assert len(hellos) > 1
    assert set(hellos) == {first.packet}
    sent = rig.give(rig.far.welcome(first.packet))
    types = [wire.parse_header(effect.packet).type for effect in sent if isinstance(effect, Send)]
    assert types == [wire.BYE]
    assert rig.device.current is None
    assert len(rig.device.links) == 1, "until its receipt"


def test_a_stop_that_nobody_answers_ends_by_itself() -> None:
    rig = Rig.make()
    rig.up = False
    rig.step(Start())
    rig.step(Stop())
    rig.run(4 * S)
    assert not rig.device.idle
    rig.run(1 * S + 100 * MS)
    assert rig.device.idle
    hellos = len(rig.sent_of(wire.HELLO))
    assert hellos > 1
    rig.run(60 * S)
    assert len(rig.sent_of(wire.HELLO)) == hellos
    assert rig.device.wake_at is None


def test_a_stop_after_a_long_silence_takes_leave_of_nobody() -> None:
    rig = Rig.make()
    rig.up = False
    rig.step(Start())
    rig.run(9 * S)
    rig.step(Stop())
    assert rig.device.idle


def test_a_copy_of_the_welcome_changes_nothing() -> None:
    rig = Rig.make()
    rig.up = False
    (_, hello, _) = rig.step(Start())
    assert isinstance(hello, Send)
    welcome = rig.far.welcome(hello.packet)
    rig.give(welcome)
    link = rig.device.current
    rig.give(welcome)
    assert rig.device.current is link
    assert rig.device.account.ignored == {"unexpected": 1}


def test_waiting_sends_only_sync_and_comes_back_by_itself() -> None:
    rig = Rig.make()
    rig.far.state, rig.far.reason = control.WAITING, "no_session"
    rig.step(Start())
    rig.run(12 * S, pose, 100 * MS)
    assert rig.of(Changed)[-1] == Changed("waiting", "no_session")
    assert rig.device.totals() == {}
    assert rig.device.account.unrecorded > 100
    assert len(rig.far.hellos) == 3, "a HELLO every 5 s"
    for link in rig.far.links.values():
        assert set(link.types) <= {wire.SYNC, wire.BYE}
        assert link.types[0] == wire.SYNC
    rig.far.state = control.RECORDING
    rig.run(5 * S)
    assert rig.of(Changed)[-1] == Changed("recording", "")
    rig.capture(0, kinds.POSE)
    assert rig.device.totals()[0] == 1, "nothing was numbered while it waited"


def test_command_open_brings_a_hello_at_once() -> None:
    rig = Rig.make()
    rig.far.state = control.WAITING
    rig.step(Start())
    rig.run(S)
    link = rig.far.links[101]
    command = rig.far.command(link, "open")
    rig.far.state = control.RECORDING
    before = len(rig.far.hellos)
    effects = rig.give(command)
    assert [effect.hello for effect in effects if isinstance(effect, Send)] == [True]
    rig.give(command)
    rig.run(50 * MS)
    assert len(rig.far.hellos) == before + 1, "a copy opens nothing"
    assert rig.of(Changed)[-1] == Changed("recording", "")
    assert rig.far.bye(101) is not None, "the waiting link says BYE"
    assert wire.RECEIPT not in link.types, "a waiting link carries SYNC and BYE only"


def test_refused_says_why_and_asks_again() -> None:
    rig = Rig.make()
    rig.far.state, rig.far.reason = control.REFUSED, "revoked"
    rig.step(Start())
    rig.run(S)
    assert rig.of(Changed)[-1] == Changed("not_recording", "revoked")
    rig.run(10 * S)
    assert len(rig.far.hellos) == 3
    rig.far.state, rig.far.reason = control.RECORDING, ""
    rig.run(5 * S)
    assert rig.of(Changed)[-1] == Changed("recording", "")


def test_a_gateway_of_another_version_is_heard_saying_so() -> None:
    rig = Rig.make()
    rig.up = False
    rig.far.state, rig.far.reason = control.REFUSED, "version"
    (_, hello, _) = rig.step(Start())
    assert isinstance(hello, Send)
    rig.give(rig.far.welcome(hello.packet, version=0))
    assert rig.of(Changed)[-1] == Changed("not_recording", "version")


def test_a_silent_gateway_is_looked_for_while_recording_goes_on() -> None:
    rig = Rig.make()
    rig.step(Start())
    rig.run(S)
    rig.up = rig.down = False
    rig.run(25 * S, pose, 10 * MS)
    assert rig.of(Changed)[-1] == Changed("behind", "no_answer", 20)
    assert rig.device.totals()[0] == 2500
    rig.far.links.clear()  # a store that was lost: the link is unknown, and silence is the answer
    rig.far.kept = lambda link: False
    rig.up = rig.down = True
    rig.run(6 * S, pose, 10 * MS)
    hello = rig.far.hellos[-1][1]
    assert hello.links == [101]
    assert rig.of(Changed)[-1] == Changed("recording", "")
    assert rig.device.lost["link_gone"] >= 2500
    rig.step(Stop())
    rig.run(3 * S)
    assert rig.device.idle


def test_a_hello_that_left_is_never_given_up_for_an_old_link_that_lives() -> None:
    """The gateway may have made a link by it, and would wait for that link's BYE."""
    rig = Rig.make()
    rig.step(Start())
    rig.run(S)
    rig.up = False
    rig.run(11 * S, pose, 10 * MS)
    rig.lose = lambda header: header.type == wire.HELLO
    rig.up = True
    rig.run(5 * S, pose, 10 * MS)
    assert rig.device.links.numbers == (101,), "the old link goes on meanwhile"
    assert rig.device.account.stored > 0
    rig.lose = lambda header: False
    rig.run(15 * S, pose, 10 * MS)
    assert len(rig.far.hellos) == 2
    assert rig.device.current is not None
    assert rig.device.current.number == 102
    assert rig.far.bye(101) is not None
    assert rig.device.lost == {}
    rig.step(Stop())
    rig.run(10 * S)
    assert rig.device.idle
    assert rig.device.account.stored == rig.device.account.captured


def test_garbage_never_raises() -> None:
    rig = Rig.make()
    for packet in (b"", b"VT1", bytes(40), b"VT1" + bytes(60), bytes(2000), b"VT1\x02" + bytes(60)):
        rig.step(Received(packet))
    assert sum(rig.device.account.ignored.values()) == 6
    assert rig.step(Tick()) == []
    assert rig.device.wake_at is None


def test_pairing_gives_both_ends_one_key() -> None:
    nonce_d, nonce_g = b"d" * 16, b"g" * 16
    packet = pair_packet(CODE, nonce_d, "rig 1", 42)
    assert len(packet) == wire.PAIR_BYTES
    k_pair = pairing_key(CODE.encode())
    assert tag_matches(k_pair, packet)
    assert wire.parse_header(packet) == (wire.PAIR, 0, 0, 42)
    pair = control.decode(control.Pair, bytes(wire.body_of(packet)))
    assert (pair.nonce_d, pair.name) == (nonce_d, "rig 1")
    head = wire.pack_header(wire.PAIRED, 0, 0, 43) + control.encode(
        control.Paired(nonce_d, nonce_g, 9, "clinic")
    )
    paired = open_paired(CODE.lower(), head + tag(k_pair, head), nonce_d)
    assert paired == Paired(9, device_key(CODE.encode(), nonce_d, nonce_g), "clinic")
    with pytest.raises(SignatureError):
        open_paired("B" + CODE[1:], head + tag(k_pair, head), nonce_d)
    with pytest.raises(WireError) as raised:
        open_paired(CODE, head + tag(k_pair, head), bytes(16))
    assert raised.value.code == "not_mine"
    with pytest.raises(WireError) as raised:
        open_paired(CODE, packet, nonce_d)
    assert raised.value.code == "unexpected"


def test_codes_may_be_typed_for_reading() -> None:
    code = base64.b32encode(bytes(range(17)))[:26].decode()
    spaced = " ".join(code[at : at + 4] for at in range(0, 26, 4)).lower()
    assert plain_code(spaced) == code.encode()
    for bad in (code[:-1], code + "A", "1" + code[1:], "é" + code[1:]):
        with pytest.raises(LocalError):
            plain_code(bad)
    with pytest.raises(LocalError):
        pair_packet(CODE, bytes(16), "x" * 65, 0)
    with pytest.raises(LocalError):
        pair_packet(CODE, bytes(16), "a\x1b[2J", 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"device": 0},
        {"key": b"short"},
        {"home": ""},
        {"home": "x" * 33},
        {"hello_seq": -2},
        {"run": -1},
        {"transport": "tcp"},
        {"max_packet": 1201},
        {"max_packet": 1000},
        {"linger_ms": 0},
        {"ring_bytes": 1200},
        {"resend_most_ms": 1},
        {"versions": ()},
        {"versions": (2, 1)},
        {"commands": frozenset({"open"})},
    ],
)
def test_a_configuration_that_cannot_work_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(LocalError) as raised:
        config(**changes)
    assert raised.value.code == "device_config"
    assert "key" not in repr(config()), "a key is never shown"


def test_sizes_follow_the_transport() -> None:
    made: list[DeviceConfig] = [config(), config(transport="mqtt"), config(max_packet=1150)]
    assert [each.packet_bytes for each in made] == [1200, 16384, 1150]
    assert made[0].resend_delays_ns == (2500 * MS, 5000 * MS, 10_000 * MS)
    with pytest.raises(LocalError):
        Rig.make().step(Stop("because"))
