"""Frames and the bodies that carry them (DATA, BYE): canonical MessagePack, checked to the last byte.

A frame is the array `[stream, kind, first_sample, samples]`; its bytes are the leaf of the Merkle tree and never
change. Canonical means: decoded and encoded again, the bytes are equal. The shape of the samples (size, count, NaN
where a bit says valid) is checked by `check_samples`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

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


_Stream = Annotated[int, msgspec.Meta(ge=0, le=U16_MAX)]
_Number = Annotated[int, msgspec.Meta(ge=0, le=SAMPLE_NUMBER_MAX)]
_Natural = Annotated[int, msgspec.Meta(ge=0)]
_Totals = Annotated[list[tuple[_Stream, _Number]], msgspec.Meta(max_length=MAX_TOTALS)]


class Frame(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """1..N samples of one stream, as a device sent them.

    Args:
        stream: u16 chosen by the device for this run.
        kind: number of the kind (`wire/kinds`).
        first_sample: number of the first sample in its stream, from 0.
        samples: the records, little-endian, one after another.
    """

    stream: _Stream
    kind: _Natural
    first_sample: _Number
    samples: bytes


class Data(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Body of DATA.

    Args:
        floor: lowest seq that the device still holds; holes below it will never be filled.
        totals: `(stream, samples captured so far)`, also for what was never sent.
        frames: the frames.
    """

    floor: _Natural
    totals: _Totals
    frames: Annotated[list[Frame], msgspec.Meta(max_length=MAX_FRAMES)]


class Bye(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Body of BYE: the last packet of a link.

    Args:
        floor: as in `Data`.
        totals: as in `Data`; final for the link's run as far as this link knows.
        reason: why the link ends: `end`, `pause`, `sleep`, `stop`, `error`.
    """

    floor: _Natural
    totals: _Totals
    reason: str


BYE_REASONS: Final = frozenset(("end", "pause", "sleep", "stop", "error"))

_RECORD_BYTES: Final = {kind.number: kind.sample_bytes for kind in kinds.KINDS.values() if not kind.variable}

_NOT_DECODED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

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
        WireError: `malformed`, `not_canonical`, `numbers`.
    """
    try:
        frame = _decode_frame(data)
    except _NOT_DECODED as error:
        raise _why(_loose_frame, data, "frame") from error
    if _encode(frame) != data:
        raise WireError("not_canonical", "the frame is not in its canonical form")
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
    except _NOT_DECODED as error:
        raise _why(_loose_data, body, "DATA body") from error
    if _encode(data) != body:
        raise WireError("not_canonical", "the DATA body is not in its canonical form")
    if len(data.totals) > 1:
        _check_named_once(data.totals)
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
    except _NOT_DECODED as error:
        raise _why(_loose_bye, body, "BYE body") from error
    if _encode(bye) != body:
        raise WireError("not_canonical", "the BYE body is not in its canonical form")
    if bye.reason not in BYE_REASONS:
        raise WireError("malformed", "unknown reason of BYE")
    _check_named_once(bye.totals)
    return bye


def _check_named_once(totals: list[tuple[int, int]]) -> None:
    if len({stream for stream, _ in totals}) != len(totals):
        raise WireError("numbers", "totals that name a stream twice")


# The decoders above check ranges on the way. What they refuse is decoded once more without ranges, to tell why.
_LooseRow = tuple[int, int]
_LooseFrame = tuple[int, int, int, bytes]
_loose_frame = msgspec.msgpack.Decoder(_LooseFrame).decode
_loose_data = msgspec.msgpack.Decoder(tuple[int, list[_LooseRow], list[_LooseFrame]]).decode
_loose_bye = msgspec.msgpack.Decoder(tuple[int, list[_LooseRow], str]).decode


def _why(decode: Callable[[bytes], tuple[object, ...]], body: bytes, what: str) -> WireError:
    try:
        loose = decode(body)
    except _NOT_DECODED:
        return WireError("malformed", f"not a {what}")
    if _encode(loose) != body:
        return WireError("not_canonical", f"the {what} is not in its canonical form")
    if any(isinstance(part, list) and len(part) > MAX_FRAMES for part in loose):
        return WireError("too_many", f"a {what} with more than {MAX_FRAMES} frames or totals")
    return WireError("numbers", f"a {what} with a number out of its range")


def sample_count(frame: Frame) -> int:
    """How many samples the frame holds.

    Returns:
        1 for kinds of variable size, else `len(samples) / record size`.

    Raises:
        WireError: `kind` for an unknown kind, `sample_size` when the bytes are not whole records (or none).
    """
    record = _RECORD_BYTES.get(frame.kind)
    size = len(frame.samples)
    if record is None:
        kind = kinds.KINDS.get(frame.kind)
        if kind is None:
            raise WireError("kind", f"unknown kind {frame.kind}")
        _check_variable(kind, frame.samples)
        return 1
    count = size // record
    if count * record != size or not 0 < count <= MAX_SAMPLES:
        raise WireError("sample_size", f"{size} bytes are not 1..{MAX_SAMPLES} records of {record} bytes")
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

    Args:
        frame: one whose `sample_count` passed.

    Raises:
        WireError: `not_finite`, `schema`.
    """
    kind = kinds.KINDS[frame.kind]
    if kind.variable or samples_pass(frame.kind, frame.samples):
        return
    samples = np.frombuffer(frame.samples, kind.dtype)
    if kind.schema and not _schema_fits(kind, samples):
        raise WireError("schema", f"a {kind.name} record that names another schema or count")
    if bool(_bad_floats(kind.number, samples).any()):
        raise WireError("not_finite", f"a {kind.name} sample with NaN or infinity said to be valid")


def samples_pass(kind: int, samples: bytes) -> bool:
    """Whether records have nothing that could be wrong: one vector test, also over many frames' records together.

    Args:
        kind: number of a kind of fixed size.
        samples: whole records.

    Returns:
        True when all is well; False when `check_samples` has to look at each frame.
    """
    floats = _FLOATS.get(kind)
    if floats is None:
        return True
    known = kinds.KINDS[kind]
    if known.schema and not _schema_fits(known, np.frombuffer(samples, known.dtype)):
        return False
    words = np.frombuffer(samples, "<u4").reshape(-1, known.sample_bytes // 4)[:, floats]
    # An exponent of all ones is NaN or infinity; masks of integers are the cheapest test.
    return bool((words & _EXPONENT).max() < _EXPONENT)


def _schema_fits(kind: kinds.Kind, samples: kinds.Samples) -> bool:
    fits = (samples["schema"] == kind.schema) & (samples["count"] == samples["weights"].shape[1])
    return bool(fits.all())


_EXPONENT: Final = np.uint32(0x7F80_0000)
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
