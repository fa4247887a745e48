"""Sizes, texts and validity of samples: the last value that passes, and the first that does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gateway.errors import WireError
from gateway.wire import frame, kinds, packet

NAN, INFINITY = float("nan"), float("inf")


def code_of(call: Callable[..., Any], *args: Any) -> str:
    """The code a call is refused with; "" when it is not."""
    try:
        call(*args)
    except WireError as error:
        return error.code
    return ""


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
