"""Frames and the bodies that carry them (DATA, BYE): canonical MessagePack, checked to the last byte.

A frame is the array `[stream, kind, first_sample, samples]`; its bytes are the leaf of the Merkle tree and never
change. Canonical means: decoded and encoded again, the bytes are equal. The shape of the samples (size, count, NaN
where a bit says valid) is checked by `check_samples`.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from gateway.errors import WireError
from gateway.ids import U16_MAX
from gateway.wire import kinds

MAX_FRAMES: Final = 64  # a 16 KiB MQTT payload holds more only with frames smaller than their own framing
MAX_TOTALS: Final = 64  # the most streams a link may name, see `limits.max_streams_per_link`
MAX_SAMPLES: Final = 4096  # 16 KiB of the smallest record is fewer
SAMPLE_NUMBER_MAX: Final = 2**53 - 1  # so that totals stay exact in JSON


class Frame(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """1..N samples of one stream, as a device sent them.

    Args:
        stream: u16 chosen by the device for this run.
        kind: number of the kind (`wire/kinds`).
        first_sample: number of the first sample in its stream, from 0.
        samples: the records, little-endian, one after another.
    """

    stream: int
    kind: int
    first_sample: int
    samples: bytes


class Data(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Body of DATA.

    Args:
        floor: lowest seq that the device still holds; holes below it will never be filled.
        totals: `(stream, samples captured so far)`, also for what was never sent.
        frames: the frames.
    """

    floor: int
    totals: list[tuple[int, int]]
    frames: list[Frame]


class Bye(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Body of BYE: the last packet of a link.

    Args:
        floor: as in `Data`.
        totals: as in `Data`; final for the link's run as far as this link knows.
        reason: why the link ends: `end`, `pause`, `sleep`, `stop`, `error`.
    """

    floor: int
    totals: list[tuple[int, int]]
    reason: str


BYE_REASONS: Final = frozenset(("end", "pause", "sleep", "stop", "error"))

_encode = msgspec.msgpack.Encoder().encode
_decode_data = msgspec.msgpack.Decoder(Data).decode
_decode_bye = msgspec.msgpack.Decoder(Bye).decode
_decode_frame = msgspec.msgpack.Decoder(Frame).decode


def encode_frame(frame: Frame) -> bytes:
    """The frame's bytes: what is hashed, stored and proven."""
    return _encode(frame)


def decode_frame(data: bytes) -> Frame:
    """Parse one frame.

    Raises:
        WireError: `malformed` or `not_canonical`.
    """
    try:
        frame = _decode_frame(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError("malformed", "not a frame") from error
    if _encode(frame) != data:
        raise WireError("not_canonical", "the frame is not in its canonical form")
    _check_frame_numbers(frame)
    return frame


def encode_data(data: Data) -> bytes:
    """Body of DATA in canonical form."""
    return _encode(data)


def decode_data(body: bytes) -> Data:
    """Parse the body of DATA; says nothing yet about the samples inside.

    Raises:
        WireError: `malformed`, `not_canonical`, `too_many`, `numbers`.
    """
    try:
        data = _decode_data(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError("malformed", "not a DATA body") from error
    if _encode(data) != body:
        raise WireError("not_canonical", "the DATA body is not in its canonical form")
    frames = data.frames
    if len(frames) > MAX_FRAMES:
        raise WireError("too_many", f"{len(frames)} frames in one packet; at most {MAX_FRAMES}")
    for frame in frames:
        _check_frame_numbers(frame)
    _check_totals(data.floor, data.totals)
    return data


def encode_bye(bye: Bye) -> bytes:
    """Body of BYE in canonical form."""
    return _encode(bye)


def decode_bye(body: bytes) -> Bye:
    """Parse the body of BYE.

    Raises:
        WireError: `malformed`, `not_canonical`, `too_many`, `numbers`.
    """
    try:
        bye = _decode_bye(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError("malformed", "not a BYE body") from error
    if _encode(bye) != body:
        raise WireError("not_canonical", "the BYE body is not in its canonical form")
    if bye.reason not in BYE_REASONS:
        raise WireError("malformed", "unknown reason of BYE")
    _check_totals(bye.floor, bye.totals)
    return bye


def _check_frame_numbers(frame: Frame) -> None:
    if not (
        0 <= frame.stream <= U16_MAX and 0 <= frame.first_sample <= SAMPLE_NUMBER_MAX and frame.kind >= 0
    ):
        raise WireError("numbers", "a stream, kind or sample number out of range")


def _check_totals(floor: int, totals: list[tuple[int, int]]) -> None:
    if len(totals) > MAX_TOTALS:
        raise WireError("too_many", f"totals of {len(totals)} streams; at most {MAX_TOTALS}")
    if floor < 0:
        raise WireError("numbers", "a negative floor")
    for stream, total in totals:
        if not (0 <= stream <= U16_MAX and 0 <= total <= SAMPLE_NUMBER_MAX):
            raise WireError("numbers", "a stream number or total out of range")


def sample_count(frame: Frame) -> int:
    """How many samples the frame holds.

    Returns:
        1 for kinds of variable size, else `len(samples) / record size`.

    Raises:
        WireError: `kind` for an unknown kind, `sample_size` when the bytes are not whole records (or none).
    """
    kind = kinds.KINDS.get(frame.kind)
    if kind is None:
        raise WireError("kind", f"unknown kind {frame.kind}")
    size = len(frame.samples)
    if kind.variable:
        _check_variable(kind, frame.samples)
        return 1
    count, rest = divmod(size, kind.dtype.itemsize)
    if rest or not count or count > MAX_SAMPLES:
        raise WireError(
            "sample_size", f"{size} bytes are not 1..{MAX_SAMPLES} records of {kind.sample_bytes} bytes"
        )
    return count


def _check_variable(kind: kinds.Kind, samples: bytes) -> None:
    header = kind.dtype.itemsize
    if len(samples) < header:
        raise WireError("sample_size", f"{len(samples)} bytes; the header of {kind.name} alone has {header}")
    record = np.frombuffer(samples, kind.dtype, 1)[0]
    items = int(record["count"] if "count" in (kind.dtype.names or ()) else record["length"])
    if items > kind.max_items or len(samples) != header + items * kind.unit_bytes:
        raise WireError("sample_size", f"a {kind.name} whose length is not what its header says")
    if kind.number == kinds.INFO:
        try:
            info = msgspec.json.decode(samples[header:])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise WireError("malformed", "stream info that is not JSON") from error
        if not isinstance(info, dict):
            raise WireError("malformed", "stream info that is not a JSON object")
    elif kind.number == kinds.MARKER:
        try:
            samples[header:].decode("utf-8")
        except UnicodeDecodeError as error:
            raise WireError("malformed", "a marker that is not UTF-8") from error


def check_samples(frame: Frame) -> None:
    """Refuse a NaN or infinity where a bit says that the value is valid, and a face of another schema.

    One vector test over the record's floats finds whether there is any at all; only then are the bits looked at.

    Args:
        frame: one whose `sample_count` passed.

    Raises:
        WireError: `not_finite`, `schema`.
    """
    kind = kinds.KINDS[frame.kind]
    if kind.variable:
        return
    samples = np.frombuffer(frame.samples, kind.dtype)
    if kind.schema and not bool(
        ((samples["schema"] == kind.schema) & (samples["count"] == samples["weights"].shape[1])).all()
    ):
        raise WireError("schema", f"a {kind.name} record that names another schema or count")
    floats = _FLOATS.get(kind.number)
    if floats is None:
        return
    words = np.frombuffer(frame.samples, "<u4").reshape(samples.shape[0], -1)[:, floats]
    # An exponent of all ones is NaN or infinity; integer comparison is the cheapest test for the whole frame.
    if not ((words & 0x7F80_0000) == 0x7F80_0000).any():
        return
    if bool(_bad_floats(kind.number, samples).any()):
        raise WireError(
            "not_finite", f"a {kind.name} sample with NaN or infinity where it is said to be valid"
        )


_FLOATS: Final[dict[int, slice]] = {
    kinds.POSE: slice(3, 16),
    kinds.GAZE: slice(4, 28),
    kinds.HAND: slice(3, 238),
    kinds.HAPTIC: slice(4, 6),
    kinds.BUTTON: slice(4, 6),
    kinds.FACE_FB2: slice(4, 74),
    kinds.FACE_ARKIT: slice(4, 56),
    kinds.FACE_UNIFIED: slice(4, 147),
    kinds.FACE_HTC: slice(4, 55),
}
"""Which 32-bit words of a record are floats (the flags of hand joints lie among them; they are small integers)."""

Bools = npt.NDArray[np.bool_]


def _bad(values: npt.NDArray[np.float32]) -> Bools:
    """`(n,)`: a sample has a value that is not finite; `values` is `(n,)` or `(n, k)`."""
    bad: Bools = np.logical_not(np.isfinite(values.reshape(len(values), -1)).all(axis=1))
    return bad


def _set(flags: npt.NDArray[np.uint16], bit: int) -> Bools:
    set_: Bools = (flags & bit) != 0
    return set_


def _bad_floats(number: int, samples: kinds.Samples) -> Bools:
    bad: Bools
    if number == kinds.POSE:
        flags = samples["flags"]
        return (
            (_bad(samples["position_m"]) & _set(flags, kinds.POSITION_VALID))
            | (_bad(samples["orientation"]) & _set(flags, kinds.ORIENTATION_VALID))
            | (_bad(samples["linear_velocity"]) & _set(flags, kinds.LINEAR_VELOCITY_VALID))
            | (_bad(samples["angular_velocity"]) & _set(flags, kinds.ANGULAR_VELOCITY_VALID))
        )
    if number == kinds.GAZE:
        left = samples["flags_left"]
        bad = _bad(samples["combined_origin_m"]) & _set(left, kinds.COMBINED_ORIGIN_VALID)
        bad |= _bad(samples["combined_direction"]) & _set(left, kinds.COMBINED_DIRECTION_VALID)
        for eye, flags in ((samples["left"], left), (samples["right"], samples["flags_right"])):
            bad |= _bad(eye["origin_m"]) & _set(flags, kinds.EYE_ORIGIN_VALID)
            bad |= _bad(eye["direction"]) & _set(flags, kinds.EYE_DIRECTION_VALID)
            bad |= _bad(eye["pupil_mm"]) & _set(flags, kinds.EYE_PUPIL_VALID)
            bad |= _bad(eye["openness"]) & _set(flags, kinds.EYE_OPENNESS_VALID)
        return bad
    if number == kinds.HAND:
        joints = samples["joints"]
        flags = joints["flags"]
        position = ~np.isfinite(joints["position_m"]).all(axis=2) & ((flags & kinds.POSITION_VALID) != 0)
        turned = ~np.isfinite(joints["orientation"]).all(axis=2) & ((flags & kinds.ORIENTATION_VALID) != 0)
        bad = (position | turned).any(axis=1)
        return bad
    if number == kinds.HAPTIC:
        return _bad(samples["frequency_hz"]) | _bad(samples["amplitude"])
    if number == kinds.BUTTON:
        return _bad(samples["value"])
    bad = _bad(samples["weights"]) & _set(samples["flags"], 1)
    return bad
