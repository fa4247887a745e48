"""Limits and rules of the wire, one by one: each with the last value that passes and the first that does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.errors import WireError
from gateway.wire import control, frame, kinds, packet

NONCE = bytes(range(16))


def code_of(call: Callable[..., Any], *args: Any) -> str:
    """The code a call is refused with; "" when it is not."""
    try:
        call(*args)
    except WireError as error:
        return error.code
    return ""


# --- header ---------------------------------------------------------------------------------------------------------


def whole(size: int, kind: int = packet.DATA) -> bytes:
    return packet.pack_header(kind, 1, 2, 3).ljust(size, b"\0")


def test_the_header_has_24_bytes_and_the_shortest_packet_40() -> None:
    assert packet.HEADER_BYTES == 24
    assert packet.MIN_BYTES == 40
    assert packet.pack_header(packet.DATA, 0x01020304, 0x05060708090A0B0C, -2) == (
        b"VT1\x05\x04\x03\x02\x01\x0c\x0b\x0a\x09\x08\x07\x06\x05\xfe" + b"\xff" * 7
    )


@pytest.mark.parametrize(
    ("size", "most", "code"),
    [
        (39, packet.MAX_DATAGRAM_BYTES, "truncated"),
        (0, packet.MAX_DATAGRAM_BYTES, "truncated"),
        (40, packet.MAX_DATAGRAM_BYTES, ""),
        (1200, packet.MAX_DATAGRAM_BYTES, ""),
        (1201, packet.MAX_DATAGRAM_BYTES, "oversize"),
        (16_384, packet.MAX_MQTT_BYTES, ""),
        (16_385, packet.MAX_MQTT_BYTES, "oversize"),
    ],
)
def test_sizes_of_packets(size: int, most: int, code: str) -> None:
    assert code_of(packet.parse_header, whole(size)[:size], most) == code


def test_size_is_checked_before_anything_is_read() -> None:
    assert code_of(packet.parse_header, b"\xff" * 1201) == "oversize"
    assert code_of(packet.parse_header, b"\xff" * 39) == "truncated"
    assert code_of(packet.parse_header, b"\xff" * 40) == "magic"


@pytest.mark.parametrize("kind", range(256))
def test_types(kind: int) -> None:
    assert code_of(packet.parse_header, whole(40, kind)) == ("" if 1 <= kind <= 10 else "type")


def test_each_type_has_a_direction() -> None:
    assert packet.TYPE_NAMES.keys() == packet.UPLINK | packet.DOWNLINK
    assert {packet.RECEIPT, packet.SYNC} == packet.UPLINK & packet.DOWNLINK
    assert {packet.PAIR, packet.PAIRED, packet.HELLO, packet.WELCOME, packet.RESET} == packet.CLEAR


# --- bodies of DATA and BYE -----------------------------------------------------------------------------------------


def data_code(floor: int = 0, totals: Any = (), frames: Any = ()) -> str:
    return code_of(frame.decode_data, frame.encode_data(frame.Data(floor, list(totals), list(frames))))


def bye_code(floor: int = 0, totals: Any = (), reason: str = "end") -> str:
    return code_of(frame.decode_bye, frame.encode_bye(frame.Bye(floor, list(totals), reason)))


@pytest.mark.parametrize("code_for", [data_code, bye_code])
def test_floor_and_totals(code_for: Callable[..., str]) -> None:
    assert code_for(2**64 - 1) == ""
    assert code_for(-1) == "numbers"
    assert code_for(0, [(n, n) for n in range(frame.MAX_TOTALS)]) == ""
    assert code_for(0, [(n, n) for n in range(frame.MAX_TOTALS + 1)]) == "too_many"
    assert code_for(0, [(65_535, frame.SAMPLE_NUMBER_MAX)]) == ""
    for total in ((65_536, 0), (-1, 0), (0, -1), (0, frame.SAMPLE_NUMBER_MAX + 1)):
        assert code_for(0, [total]) == "numbers"


def test_frames_of_a_packet() -> None:
    small = frame.Frame(0, 1, 0, b"")
    assert data_code(0, [], [small] * frame.MAX_FRAMES) == ""
    assert data_code(0, [], [small] * (frame.MAX_FRAMES + 1)) == "too_many"
    assert data_code(0, [], []) == ""


@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ((65_535, 1, 0), ""),
        ((65_536, 1, 0), "numbers"),
        ((-1, 1, 0), "numbers"),
        ((0, 1, frame.SAMPLE_NUMBER_MAX), ""),
        ((0, 1, frame.SAMPLE_NUMBER_MAX + 1), "numbers"),
        ((0, 1, -1), "numbers"),
        ((0, -1, 0), "numbers"),
        ((0, 2**40, 0), ""),  # an unknown kind is refused for its frame alone: `sample_count`
    ],
)
def test_numbers_of_a_frame(numbers: tuple[int, int, int], code: str) -> None:
    one = frame.Frame(*numbers, b"")
    assert data_code(0, [], [one]) == code
    assert code_of(frame.decode_frame, frame.encode_frame(one)) == code


def test_reasons_of_bye() -> None:
    assert {
        word for word in (*frame.BYE_REASONS, "gone", "") if not bye_code(reason=word)
    } == frame.BYE_REASONS
    assert bye_code(reason="gone") == "malformed"


@pytest.mark.parametrize("decode", [frame.decode_data, frame.decode_bye, frame.decode_frame])
def test_text_that_is_not_utf8_is_malformed(decode: Callable[[bytes], Any]) -> None:
    assert code_of(decode, b"\x93\x00\x90\xa1\xff") == "malformed"


def test_the_samples_of_a_decoded_frame_are_the_bytes_that_came() -> None:
    body = frame.encode_data(frame.Data(3, [(1, 2)], [frame.Frame(1, kinds.POSE, 0, bytes(64))]))
    assert frame.decode_data(body).frames[0].samples == bytes(64)


# --- bodies of the other types --------------------------------------------------------------------------------------


def body_code(body: Any) -> str:
    return code_of(control.decode, type(body), control.encode(body))


def hello(**changed: Any) -> control.Hello:
    values: dict[str, Any] = {
        "device": 1,
        "run": 2,
        "nonce_d": NONCE,
        "versions": [1],
        "links": [],
        "pad": b"",
    }
    return control.Hello(**values | changed)


def welcome(**changed: Any) -> control.Welcome:
    values: dict[str, Any] = {
        "nonce_d": NONCE,
        "nonce_g": NONCE,
        "link": 1,
        "gateway": "g",
        "session": bytes(16),
        "version": 1,
        "offered": [1],
        "state": "recording",
        "reason": "",
        "kept": [],
        "kinds": [],
        "at_ms": 0,
    }
    return control.Welcome(**values | changed)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (control.Pair(NONCE, "n" * 64, b""), ""),
        (control.Pair(NONCE, "n" * 65, b""), "numbers"),
        (control.Pair(NONCE, "Ü" * 32, b""), ""),
        (control.Pair(NONCE, "Ü" * 33, b""), "numbers"),
        (control.Pair(NONCE[:15], "", b""), "numbers"),
        (control.Pair(NONCE, "Übungsraum 2 – 休憩", b""), ""),
        (control.Pair(NONCE, "a\x1b[2Jb", b""), "numbers"),
        (control.Pair(NONCE, "two\nlines", b""), "numbers"),
        (control.Pair(NONCE, "\x7f", b""), "numbers"),
        (control.Pair(NONCE, "\x9b2J", b""), "numbers"),
        (control.Pair(NONCE, "\xa0", b""), ""),
        (control.Paired(NONCE, NONCE, 2**32 - 1, "h" * 32), ""),
        (control.Paired(NONCE, NONCE, 2**32, "h"), "numbers"),
        (control.Paired(NONCE, NONCE, 0, "h"), "numbers"),
        (control.Paired(NONCE, NONCE, 1, ""), "numbers"),
        (control.Paired(NONCE, NONCE, 1, "h" * 33), "numbers"),
        (control.Paired(NONCE, NONCE, 1, "a/b"), "numbers"),
        (welcome(gateway="Rig 1"), "numbers"),
        (control.Paired(NONCE, b"", 1, "h"), "numbers"),
        (hello(device=2**32 - 1, run=2**64 - 1), ""),
        (hello(device=0), "numbers"),
        (hello(device=2**32), "numbers"),
        (hello(run=-1), "numbers"),
        (hello(nonce_d=b""), "numbers"),
        (hello(versions=[]), "numbers"),
        (hello(versions=[*range(1, control.MAX_VERSIONS), 255]), ""),
        (hello(versions=[2, 1]), "numbers"),
        (hello(versions=[1, 1]), "numbers"),
        (hello(versions=list(range(1, control.MAX_VERSIONS + 2))), "numbers"),
        (hello(versions=[0]), "numbers"),
        (hello(versions=[256]), "numbers"),
        (hello(links=[1] * control.MAX_LINKS), ""),
        (hello(links=[1] * (control.MAX_LINKS + 1)), "numbers"),
        (hello(links=[0]), "numbers"),
        (hello(links=[2**32]), "numbers"),
        (welcome(), ""),
        (welcome(nonce_g=b"", link=0, session=b"", state="refused", reason="revoked"), ""),
        (welcome(state="paused"), "numbers"),
        (welcome(nonce_d=b""), "numbers"),
        (welcome(nonce_g=NONCE[:8]), "numbers"),
        (welcome(session=bytes(15)), "numbers"),
        (welcome(link=2**32), "numbers"),
        (welcome(kept=[1] * (control.MAX_LINKS + 1)), "numbers"),
        (control.Receipt([(1, bytes(32), [0, 0, 2, 2**64 - 1])], [], [], []), ""),
        (control.Receipt([(0, b"", [7, 7])], [], [], []), ""),
        (control.Receipt([(1, bytes(31), [0, 0])], [], [], []), "numbers"),
        (control.Receipt([(1, bytes(32), [-1, 0])], [], [], []), "numbers"),
        (control.Receipt([(1, bytes(32), [0])], [], [], []), "numbers"),
        (control.Receipt([(1, bytes(32), [2, 1])], [], [], []), "numbers"),
        (control.Receipt([(1, bytes(32), [0, 3, 3, 4])], [], [], []), "numbers"),
        (control.Receipt([], [("closed", [5, 6, 1, 2])], [], []), "numbers"),
        (control.Answer([(0, "done"), (2**64 - 1, "unsupported")]), ""),
        (control.Answer([(1, "perhaps")]), "numbers"),
        (control.Answer([(-1, "done")]), "numbers"),
        (control.Probe(-(2**63)), ""),
        (control.ProbeReply(1, 2, 3), ""),
        (control.Command("haptic", [2, 0.5, 100, 0.0]), ""),
        (control.Command("reboot", []), "numbers"),
        (control.Command("haptic", [2, float("nan"), 100, 0.0]), "numbers"),
        (control.Reset(2**64 - 1, NONCE, "moved"), ""),
        (control.Reset(-1, NONCE, "moved"), "numbers"),
        (control.Reset(1, NONCE[:15], "moved"), "numbers"),
        (control.Reset(1, NONCE, "tired"), "numbers"),
    ],
)
def test_ranges_of_fields(body: Any, code: str) -> None:
    assert body_code(body) == code


def test_the_largest_hello_and_welcome_fit_their_size() -> None:
    held = [2**32 - 1] * control.MAX_LINKS
    versions = [255] * control.MAX_VERSIONS
    asked = control.encode(hello(device=2**32 - 1, run=2**64 - 1, versions=versions, links=held))
    assert len(asked) + 40 <= packet.HELLO_BYTES
    padded = hello(
        device=2**32 - 1,
        run=2**64 - 1,
        versions=versions,
        links=held,
        pad=control.padding(len(asked), packet.HELLO_BYTES),
    )
    assert len(control.encode(padded)) + 40 == packet.HELLO_BYTES
    answer = welcome(
        link=2**32 - 1,
        gateway="g" * control.MAX_TOPIC_NAME_BYTES,
        version=255,
        offered=versions,
        reason="too_many_streams",
        kept=held,
        kinds=[255] * 64,
        at_ms=2**63,
    )
    assert len(control.encode(answer)) + 40 <= packet.HELLO_BYTES
    largest = control.Paired(NONCE, NONCE, 2**32 - 1, "h" * control.MAX_TOPIC_NAME_BYTES)
    assert len(control.encode(largest)) + 40 <= packet.PAIR_BYTES


@pytest.mark.parametrize("links", range(control.MAX_LINKS + 1))
def test_hello_is_padded_to_its_size_whatever_it_holds(links: int) -> None:
    for run in (0, 127, 2**16, 2**64 - 1):
        short = hello(run=run, links=[2**32 - 1] * links)
        pad = control.padding(len(control.encode(short)), packet.HELLO_BYTES)
        padded = hello(run=run, links=[2**32 - 1] * links, pad=pad)
        assert len(control.encode(padded)) + 40 == packet.HELLO_BYTES


@pytest.mark.parametrize("name", ["", "n", "n" * 31, "n" * 32, "n" * 64])
def test_pair_is_padded_to_its_size(name: str) -> None:
    pad = control.padding(len(control.encode(control.Pair(NONCE, name, b""))), packet.PAIR_BYTES)
    assert len(control.encode(control.Pair(NONCE, name, pad))) + 40 == packet.PAIR_BYTES


@pytest.mark.parametrize(
    ("kind", "data", "code"),
    [
        (control.Command, b"\x92\xa1\xff\x90", "malformed"),
        (control.Command, b"\x92\xa4open\x91\xc2", "malformed"),
        (control.Command, b"\x92\xa4open\x91\xca\x3f\x00\x00\x00", "not_canonical"),
        (control.Command, b"\x92\xd9\x04open\x90", "not_canonical"),
        (control.Probe, b"\x91\xcb\x40\x14\x00\x00\x00\x00\x00\x00", "malformed"),
        (control.Probe, b"\x91\xd3\x00\x00\x00\x00\x00\x00\x00\x05", "not_canonical"),
        (control.Probe, b"\x05", "malformed"),
        (control.Probe, b"\x81\xa5t1_ns\x05", "malformed"),
        (control.Probe, b"", "malformed"),
        (control.Receipt, b"\x94" + b"\x91" * 1000, "malformed"),
    ],
)
def test_bytes_that_are_no_body(kind: type, data: bytes, code: str) -> None:
    assert code_of(control.decode, kind, data) == code


def test_every_code_of_the_wire_has_a_reason_that_a_person_can_read() -> None:
    for call, args in (
        (packet.parse_header, (b"",)),
        (frame.decode_data, (b"",)),
        (frame.decode_bye, (b"",)),
        (control.decode, (control.Probe, b"")),
        (frame.sample_count, (frame.Frame(1, 99, 0, b""),)),
    ):
        with pytest.raises(WireError) as refused:
            call(*args)
        assert refused.value.code
        assert " " in str(refused.value)
