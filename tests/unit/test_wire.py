"""Limits and rules of the wire, one by one: each with the last value that passes and the first that does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gateway.errors import WireError
from gateway.wire import control, frame, kinds, packet

NONCE = bytes(range(16))
NAN, INFINITY = float("nan"), float("inf")


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


# --- sizes of samples -----------------------------------------------------------------------------------------------

FIXED = [kind for kind in kinds.KINDS.values() if not kind.variable]
SIZES = {
    "pose": 64,
    "gaze": 112,
    "hand": 952,
    "haptic": 32,
    "button": 24,
    "clock": 48,
    "marker": 12,
    "info": 10,
    "pcm": 16,
    "face_fb2": 296,
    "face_arkit": 224,
    "face_unified": 588,
    "face_htc": 220,
}


def count_code(kind: int, samples: bytes) -> str:
    return code_of(frame.sample_count, frame.Frame(1, kind, 0, samples))


def test_sizes_of_records() -> None:
    assert {kind.name: kind.sample_bytes for kind in kinds.KINDS.values()} == SIZES


def test_one_of_every_kind_fits_a_datagram_whatever_its_numbers_are() -> None:
    for kind in kinds.KINDS.values():
        # sound is cut by its sender (SPEC: 551 values always fit; the limit of 560 is for small numbers)
        items = 551 if kind.number == kinds.PCM else kind.max_items
        samples = bytes(kind.sample_bytes + kind.unit_bytes * items)
        one = frame.Frame(65_535, kind.number, frame.SAMPLE_NUMBER_MAX, samples)
        body = frame.encode_data(frame.Data(2**64 - 1, [(65_535, frame.SAMPLE_NUMBER_MAX)], [one]))
        assert packet.MIN_BYTES + len(body) <= packet.MAX_DATAGRAM_BYTES, kind.name


@pytest.mark.parametrize("kind", FIXED, ids=lambda kind: kind.name)
def test_whole_records_only(kind: kinds.Kind) -> None:
    size = kind.sample_bytes
    for count in (1, 2, frame.MAX_SAMPLES):
        assert frame.sample_count(frame.Frame(1, kind.number, 0, bytes(size * count))) == count
    for wrong in (0, 1, size - 1, size + 1, size * (frame.MAX_SAMPLES + 1)):
        assert count_code(kind.number, bytes(wrong)) == "sample_size"


@pytest.mark.parametrize("number", [0, 10, 15, 20, 255, 256, 2**64 - 1])
def test_unknown_kinds(number: int) -> None:
    assert count_code(number, bytes(64)) == "kind"


def variable(kind: int, items: int, said: int | None = None, fill: bytes = b"") -> bytes:
    """One sample of a variable kind: `items` items, of which the header says `said`."""
    entry = kinds.KINDS[kind]
    header = np.zeros(1, entry.dtype)
    header["count" if kind == kinds.PCM else "length"] = items if said is None else said
    return header.tobytes() + (fill or bytes(items * entry.unit_bytes))


VARIABLE = [
    (kinds.MARKER, kinds.MARKER_MAX_BYTES, b""),
    (kinds.INFO, kinds.INFO_MAX_BYTES, b'{"a":"' + b"x" * (kinds.INFO_MAX_BYTES - 8) + b'"}'),
    (kinds.PCM, kinds.PCM_MAX_SAMPLES, b""),
]


@pytest.mark.parametrize(("kind", "most", "fill"), VARIABLE)
def test_variable_kinds_have_one_sample_whose_header_tells_its_length(
    kind: int, most: int, fill: bytes
) -> None:
    longest = variable(kind, most, fill=fill)
    header = kinds.KINDS[kind].sample_bytes
    assert frame.sample_count(frame.Frame(1, kind, 0, longest)) == 1
    assert count_code(kind, variable(kind, most + 1)) == "sample_size"
    assert count_code(kind, variable(kind, most, most - 1)) == "sample_size"
    assert count_code(kind, variable(kind, most - 1, most)) == "sample_size"
    assert count_code(kind, longest + longest) == "sample_size"
    for size in range(header):
        assert count_code(kind, longest[:size]) == "sample_size"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"{}", ""),
        ('{"model":"始め","hz":90.5,"axes":["x"]}'.encode(), ""),
        (b'{"a":' * 150 + b"1" + b"}" * 150, ""),
        (b"", "malformed"),
        (b"{", "malformed"),
        (b"[]", "malformed"),
        (b"1", "malformed"),
        (b'"a"', "malformed"),
        (b"null", "malformed"),
        (b"{}{}", "malformed"),
        (b'{"a":NaN}', "malformed"),
        (b'{"a":"\xff"}', "malformed"),
        (b"\xef\xbb\xbf{}", "malformed"),
        (b"[" * 1024, "malformed"),
    ],
)
def test_stream_info_is_one_json_object(text: bytes, code: str) -> None:
    assert count_code(kinds.INFO, variable(kinds.INFO, len(text), fill=text or b"")) == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"", ""),
        ("Übung – 始め".encode(), ""),
        (b"\xff", "malformed"),
        (b"\xed\xa0\x80", "malformed"),
        (b"\xc0\x80", "malformed"),
    ],
)
def test_markers_are_utf8(text: bytes, code: str) -> None:
    assert count_code(kinds.MARKER, variable(kinds.MARKER, len(text), fill=text or b"")) == code


# --- validity -------------------------------------------------------------------------------------------------------


def samples_code(kind: int, records: np.ndarray[Any, Any]) -> str:
    return code_of(frame.check_samples, frame.Frame(1, kind, 0, records.tobytes()))


# Each float that a bit speaks for: kind, field (a path), the flags field, its bit.
BITS = [
    (kinds.POSE, ("position_m",), ("flags",), kinds.POSITION_VALID),
    (kinds.POSE, ("orientation",), ("flags",), kinds.ORIENTATION_VALID),
    (kinds.POSE, ("linear_velocity",), ("flags",), kinds.LINEAR_VELOCITY_VALID),
    (kinds.POSE, ("angular_velocity",), ("flags",), kinds.ANGULAR_VELOCITY_VALID),
    *[
        (kinds.GAZE, (side, field), (f"flags_{side}",), bit)
        for side in ("left", "right")
        for field, bit in (
            ("origin_m", kinds.EYE_ORIGIN_VALID),
            ("direction", kinds.EYE_DIRECTION_VALID),
            ("pupil_mm", kinds.EYE_PUPIL_VALID),
            ("openness", kinds.EYE_OPENNESS_VALID),
        )
    ],
    (kinds.GAZE, ("combined_origin_m",), ("flags_left",), kinds.COMBINED_ORIGIN_VALID),
    (kinds.GAZE, ("combined_direction",), ("flags_left",), kinds.COMBINED_DIRECTION_VALID),
    (kinds.HAND, ("joints", "position_m"), ("joints", "flags"), kinds.POSITION_VALID),
    (kinds.HAND, ("joints", "orientation"), ("joints", "flags"), kinds.ORIENTATION_VALID),
    *[
        (kind, ("weights",), ("flags",), 1)
        for kind in (kinds.FACE_FB2, kinds.FACE_ARKIT, kinds.FACE_UNIFIED, kinds.FACE_HTC)
    ],
]


def records(kind: int, count: int = 3) -> np.ndarray[Any, Any]:
    """Samples of zeros, with the schema of their kind."""
    entry = kinds.KINDS[kind]
    made = np.zeros(count, entry.dtype)
    if entry.schema:
        made["schema"], made["count"] = entry.schema, made["weights"].shape[1]
    return made


def at(array: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        array = array[name]
    return array


@pytest.mark.parametrize("value", [NAN, INFINITY, -INFINITY])
@pytest.mark.parametrize(("kind", "field", "flags", "bit"), BITS)
def test_not_finite_is_refused_exactly_where_its_bit_is_set(
    kind: int, field: tuple[str, ...], flags: tuple[str, ...], bit: int, value: float
) -> None:
    made = records(kind)
    floats = at(made, field)
    for place in {0, floats.reshape(3, -1).shape[1] - 1}:
        made = records(kind)
        floats, bits = at(made, field), at(made, flags)
        floats[2:].flat[place] = value
        bits[:] = ~np.array(bit, bits.dtype)
        assert samples_code(kind, made) == "", "every other bit may be set"
        bits[2] = bit
        assert samples_code(kind, made) == "not_finite"
        bits[2], bits[0], bits[1] = 0, bit, bit
        assert samples_code(kind, made) == "", "the bits of other samples do not matter"


@pytest.mark.parametrize(
    ("kind", "field"),
    [(kinds.HAPTIC, "frequency_hz"), (kinds.HAPTIC, "amplitude"), (kinds.BUTTON, "value")],
)
@pytest.mark.parametrize("value", [NAN, INFINITY])
def test_kinds_without_bits_are_always_finite(kind: int, field: str, value: float) -> None:
    made = records(kind)
    assert samples_code(kind, made) == ""
    made[field].reshape(3, -1)[1, -1] = value
    assert samples_code(kind, made) == "not_finite"


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (kinds.GAZE, ("vergence_m",)),
        (kinds.GAZE, ("confidence",)),
        (kinds.HAND, ("confidence",)),
        (kinds.HAND, ("joints", "radius_m")),
    ],
)
def test_what_no_bit_speaks_for_may_be_nan(kind: int, path: tuple[str, ...]) -> None:
    made = records(kind)
    for name in kinds.KINDS[kind].dtype.names or ():
        if name.startswith("flags"):
            made[name] = 0xFFFF
    if kind == kinds.HAND:
        made["joints"]["flags"] = 0xFFFF_FFFF
    at(made, path)[...] = NAN
    assert samples_code(kind, made) == ""


def test_one_eye_says_nothing_about_the_other() -> None:
    made = records(kinds.GAZE, 1)
    made["left"]["pupil_mm"] = NAN
    made["flags_right"] = 0xFFFF
    made["flags_left"] = 0xFFFF ^ kinds.EYE_PUPIL_VALID
    assert samples_code(kinds.GAZE, made) == ""


def test_odd_device_clocks_are_data() -> None:
    made = records(kinds.POSE)
    made["t_capture_ns"] = (5, 5, -(2**63))
    assert samples_code(kinds.POSE, made) == ""
    assert kinds.capture_times(kinds.KINDS[kinds.POSE], made.tobytes()).tolist() == [5, 5, -(2**63)]


@pytest.mark.parametrize("name", [name for name in SIZES if name.startswith("face_")])
def test_faces_name_their_own_schema_and_count(name: str) -> None:
    kind = kinds.KIND_BY_NAME[name]
    made = records(kind.number)
    assert samples_code(kind.number, made) == ""
    for field in ("schema", "count"):
        wrong = made.copy()
        wrong[field][2] += 1
        assert samples_code(kind.number, wrong) == "schema"


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
        (control.Paired(NONCE, NONCE, 2**32 - 1, "h" * 32), ""),
        (control.Paired(NONCE, NONCE, 2**32, "h"), "numbers"),
        (control.Paired(NONCE, NONCE, 0, "h"), "numbers"),
        (control.Paired(NONCE, NONCE, 1, ""), "numbers"),
        (control.Paired(NONCE, NONCE, 1, "h" * 33), "numbers"),
        (control.Paired(NONCE, b"", 1, "h"), "numbers"),
        (hello(device=2**32 - 1, run=2**64 - 1), ""),
        (hello(device=0), "numbers"),
        (hello(device=2**32), "numbers"),
        (hello(run=-1), "numbers"),
        (hello(nonce_d=b""), "numbers"),
        (hello(versions=[]), "numbers"),
        (hello(versions=[255] * control.MAX_VERSIONS), ""),
        (hello(versions=[1] * (control.MAX_VERSIONS + 1)), "numbers"),
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
