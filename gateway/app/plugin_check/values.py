"""Values of records that the gateway stores without a word, and nobody can use later: kind by kind.

Quaternions that are none, zeros in place of missing values, bits without a meaning. Values are never shown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gateway.app.plugin_check.say import Finding
from gateway.wire import frame as frames
from gateway.wire import kinds

UNIT_SLACK: Final = (
    1e-2  # f32 arithmetic of an engine stays within 1e-5; this is a quaternion that never was one
)
MANY: Final = 0.9  # share of samples of a frame: a single sample at rest is no zero-fill

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]


class Found:
    """Collects what is wrong with records of one frame."""

    def __init__(self, kind: kinds.Kind, item: frames.Frame) -> None:
        self._kind, self._item = kind, item
        self.findings: list[Finding] = []

    def add(
        self, code: str, row: int, bad: Bools, field: str, what: str, mend: str, *, fails: bool = True
    ) -> None:
        """Note samples for which something does not hold; the first is named."""
        if not bad.any() or any(one.code == code for one in self.findings):
            return
        first = int(np.argmax(bad))
        number = self._item.first_sample + first
        many = int(bad.sum())
        others = f", and {many - 1} more in this frame" if many > 1 else ""
        self.findings.append(
            Finding(code, row, f"{self._kind.name}, {field}: {what} (sample {number}{others})", mend, fails)
        )

    def quaternions(self, values: Floats, valid: Bools, field: str) -> None:
        """Unit length where valid; a zero quaternion is a missing value in disguise."""
        length = np.linalg.norm(np.where(np.isfinite(values), values, 0).astype(np.float64), axis=-1)
        zero = valid & (length < 1e-6)
        self.add(
            "record.zero_filled",
            18,
            zero,
            field,
            "said to be valid and all zero",
            "clear the bit; zero is never a missing value",
        )
        self.add(
            "record.quaternion",
            19,
            valid & ~zero & (np.abs(length - 1) > UNIT_SLACK),
            field,
            "no unit quaternion",
            "write x y z w, normalised; check the order and the conversion of SPEC, 14",
        )

    def directions(self, values: Floats, valid: Bools, field: str) -> None:
        """Unit vectors where valid."""
        length = np.linalg.norm(np.where(np.isfinite(values), values, 0).astype(np.float64), axis=-1)
        zero = valid & (length < 1e-6)
        self.add(
            "record.zero_filled",
            18,
            zero,
            field,
            "said to be valid and all zero",
            "clear the bit where the SDK gives nothing, whatever it calls success",
        )
        self.add(
            "record.direction",
            19,
            valid & ~zero & (np.abs(length - 1) > UNIT_SLACK),
            field,
            "no unit vector",
            "normalise it",
        )

    def unused(self, bad: Bools, field: str) -> None:
        """Bits and bytes without a meaning are 0."""
        self.add("record.unused", 2, bad, field, "bits or bytes without a meaning are set", "write 0 there")

    def nans(self, values: Floats, invalid: Bools, field: str) -> None:
        """A NaN is written as 0x7fc00000, so that equal samples are equal bytes."""
        words = np.ascontiguousarray(values).view("<u4").reshape(len(values), -1)
        other = (np.isnan(values.reshape(len(values), -1)) & (words != 0x7FC00000)).any(axis=1)
        self.add(
            "record.nan_form",
            2,
            invalid & other,
            field,
            "a NaN that is not 0x7fc00000",
            "write the bits 7fc00000, not the platform's NaN",
            fails=False,
        )


def _bit(flags: npt.NDArray[Any], bit: int) -> Bools:
    found: Bools = (flags & bit) != 0
    return found


def _pose(samples: kinds.Samples, found: Found) -> None:
    flags = samples["flags"]
    position, turned = _bit(flags, kinds.POSITION_VALID), _bit(flags, kinds.ORIENTATION_VALID)
    found.quaternions(samples["orientation"], turned, "orientation")
    still = (samples["position_m"] == 0).all(axis=1) & position
    alone = still & (~turned | (samples["orientation"] == np.array([0, 0, 0, 1], np.float32)).all(axis=1))
    if len(samples) and float(alone.mean()) >= MANY:
        found.add(
            "record.zero_pose",
            18,
            alone,
            "position_m",
            "exactly at the origin without any rotation, and said to be valid",
            "clear the bits until the runtime tracks",
            fails=False,
        )
    found.unused(_bit(flags, 0xFF00), "flags")
    found.add(
        "record.space",
        2,
        samples["space"] > 4,
        "space",
        "no such space",
        "0 view, 1 local, 2 local_floor, 3 stage, 4 unbounded",
    )
    tracked = (_bit(flags, kinds.POSITION_TRACKED) & ~position) | (
        _bit(flags, kinds.ORIENTATION_TRACKED) & ~turned
    )
    found.add(
        "record.tracked",
        18,
        tracked,
        "flags",
        "tracked, but not valid",
        "tracked says measured, valid says usable: tracked needs valid",
        fails=False,
    )
    for bit, name in (
        (kinds.POSITION_VALID, "position_m"),
        (kinds.ORIENTATION_VALID, "orientation"),
        (kinds.LINEAR_VELOCITY_VALID, "linear_velocity"),
        (kinds.ANGULAR_VELOCITY_VALID, "angular_velocity"),
    ):
        found.nans(samples[name], ~_bit(flags, bit), name)
    far = position & (np.abs(np.nan_to_num(samples["position_m"])) > 100).any(axis=1)
    found.add(
        "record.far", 19, far, "position_m", "more than 100 m away", "metres, not millimetres", fails=False
    )


def _gaze(samples: kinds.Samples, found: Found) -> None:
    left, right = samples["flags_left"], samples["flags_right"]
    for side, flags in (("left", left), ("right", right)):
        eye = samples[side]
        found.directions(eye["direction"], _bit(flags, kinds.EYE_DIRECTION_VALID), f"{side} direction")
        pupil = _bit(flags, kinds.EYE_PUPIL_VALID)
        size = np.nan_to_num(eye["pupil_mm"])
        found.add(
            "record.zero_filled",
            18,
            pupil & (size <= 0),
            f"{side} pupil_mm",
            "said to be valid and 0 or less",
            "clear the bit: SDKs give 0 or -1 for what they do not see",
        )
        found.add(
            "record.pupil",
            19,
            pupil & (size > 0) & ((size < 0.5) | (size > 12)),
            f"{side} pupil_mm",
            "no human pupil in millimetres",
            "the diameter in millimetres, not metres",
            fails=False,
        )
        wide = _bit(flags, kinds.EYE_OPENNESS_VALID) & ((eye["openness"] < 0) | (eye["openness"] > 1))
        found.add(
            "record.openness",
            2,
            wide,
            f"{side} openness",
            "outside of 0..1",
            "clear the bit, or scale it to 0..1",
        )
        far = _bit(flags, kinds.EYE_ORIGIN_VALID) & (np.abs(np.nan_to_num(eye["origin_m"])) > 1).any(axis=1)
        found.add(
            "record.far",
            19,
            far,
            f"{side} origin_m",
            "more than 1 m from the head",
            "metres in head space, not millimetres",
            fails=False,
        )
    found.directions(
        samples["combined_direction"], _bit(left, kinds.COMBINED_DIRECTION_VALID), "combined_direction"
    )
    found.unused(_bit(left, 0xFC00), "flags_left")
    found.unused(_bit(right, 0xFF00), "flags_right")


def _hand(samples: kinds.Samples, found: Found) -> None:
    joints = samples["joints"]
    turned = _bit(joints["flags"], kinds.ORIENTATION_VALID)
    length = np.linalg.norm(np.nan_to_num(joints["orientation"]).astype(np.float64), axis=2)
    found.add(
        "record.zero_filled",
        18,
        (turned & (length < 1e-6)).any(axis=1),
        "joint orientation",
        "said to be valid and all zero",
        "clear the joint's bit",
    )
    bad = (turned & (length >= 1e-6) & (np.abs(length - 1) > UNIT_SLACK)).any(axis=1)
    found.add(
        "record.quaternion", 19, bad, "joint orientation", "no unit quaternion", "write x y z w, normalised"
    )
    found.add(
        "record.hand",
        2,
        (samples["hand"] < 1) | (samples["hand"] > 2),
        "hand",
        "neither 1 nor 2",
        "1 left, 2 right",
    )
    found.unused(_bit(samples["flags"], 0xFFFE), "flags")


def _haptic(samples: kinds.Samples, found: Found) -> None:
    found.add(
        "record.amplitude",
        20,
        (samples["amplitude"] < 0) | (samples["amplitude"] > 1),
        "amplitude",
        "outside of 0..1",
        "write what was played, 0..1",
    )
    found.add(
        "record.event", 2, samples["event"] > 4, "event", "no such event", "0 simple .. 4 pcm (SPEC, 13)"
    )


def _button(samples: kinds.Samples, found: Found) -> None:
    found.unused((samples["reserved"] != 0).any(axis=1), "reserved")
    found.add(
        "record.event",
        2,
        samples["event"] > 4,
        "event",
        "no such event",
        "0 released .. 4 no longer touched (SPEC, 13)",
    )


def _clock(samples: kinds.Samples, found: Found) -> None:
    t1, t2, t3, t4 = (
        samples[name].astype(object)
        for name in ("t_capture_ns", "gateway_received_ns", "gateway_sent_ns", "t_returned_ns")
    )
    twice = (t2 - t1) + (t3 - t4)
    off = np.array(
        [abs(int(a) - 2 * int(b)) > 2 for a, b in zip(twice, samples["offset_ns"], strict=True)], bool
    )
    found.add(
        "record.offset",
        2,
        off,
        "offset_ns",
        "not ((t2 - t1) + (t3 - t4)) / 2",
        "gateway minus device, in 64-bit integers",
    )
    trip = (t4 - t1) - (t3 - t2)
    wrong = np.array(
        [abs(int(a) - 2 * int(b)) > 2 for a, b in zip(trip, samples["uncertainty_ns"], strict=True)], bool
    )
    found.add(
        "record.uncertainty",
        2,
        wrong,
        "uncertainty_ns",
        "not ((t4 - t1) - (t3 - t2)) / 2",
        "half the round trip, rounded up",
    )
    found.unused((samples["reserved"] != 0).any(axis=1), "reserved")


def _face(samples: kinds.Samples, found: Found) -> None:
    valid = _bit(samples["flags"], 1)
    weights = np.nan_to_num(samples["weights"])
    found.add(
        "record.weights",
        2,
        valid & ((weights < -0.001) | (weights > 1.001)).any(axis=1),
        "weights",
        "outside of 0..1",
        "scale them to 0..1",
    )
    empty = valid & (weights == 0).all(axis=1)
    if len(samples) and float(empty.mean()) >= MANY:
        found.add(
            "record.zero_filled",
            18,
            empty,
            "weights",
            "said to be valid and all zero",
            "clear bit 0 while the runtime gives no face",
            fails=False,
        )
    found.unused(_bit(samples["flags"], 0xFFFE), "flags")


_LOOKS: Final[dict[int, Callable[[kinds.Samples, Found], None]]] = {
    kinds.POSE: _pose,
    kinds.GAZE: _gaze,
    kinds.HAND: _hand,
    kinds.HAPTIC: _haptic,
    kinds.BUTTON: _button,
    kinds.CLOCK: _clock,
}


def look(kind: kinds.Kind, item: frames.Frame) -> list[Finding]:
    """Look at the values of a frame of fixed records whose sizes are right."""
    found = Found(kind, item)
    _LOOKS.get(item.kind, _face)(np.frombuffer(item.samples, kind.dtype), found)
    return found.findings
