"""The kinds of sample: one fixed little-endian record each, in OpenXR axes, metres, radians and nanoseconds.

Layouts follow `plugins/SPEC.md`, "Sample records". Missing values are told by validity bits, never by zero; a NaN is
allowed only where its bit says that the value is not valid. A kind never changes: a new layout gets a new number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

POSE: Final = 1
GAZE: Final = 2
HAND: Final = 3
HAPTIC: Final = 4
BUTTON: Final = 5
CLOCK: Final = 6
MARKER: Final = 7
INFO: Final = 8
PCM: Final = 9
FACE_FB2: Final = 16
FACE_ARKIT: Final = 17
FACE_UNIFIED: Final = 18
FACE_HTC: Final = 19

# Pose flags (u16). `tracked` says that the runtime measured the value, `valid` that it may be used (OpenXR).
POSITION_VALID: Final = 1 << 0
ORIENTATION_VALID: Final = 1 << 1
POSITION_TRACKED: Final = 1 << 2
ORIENTATION_TRACKED: Final = 1 << 3
LINEAR_VELOCITY_VALID: Final = 1 << 4
ANGULAR_VELOCITY_VALID: Final = 1 << 5
PREDICTED: Final = 1 << 6
HELD: Final = 1 << 7

# Gaze flags (u16 for each eye); bits 0 to 4 have SRanipal's order.
EYE_ORIGIN_VALID: Final = 1 << 0
EYE_DIRECTION_VALID: Final = 1 << 1
EYE_PUPIL_VALID: Final = 1 << 2
EYE_OPENNESS_VALID: Final = 1 << 3
EYE_SENSOR_POSITION_VALID: Final = 1 << 4
EYE_BLINK: Final = 1 << 5
# Bits 6 and 7 are the tracked quality, 0 unknown to 3 good. The next two stand in the left eye's flags only.
COMBINED_ORIGIN_VALID: Final = 1 << 8
COMBINED_DIRECTION_VALID: Final = 1 << 9

POSE_DTYPE: Final = np.dtype(
    [
        ("t_capture_ns", "<i8"),
        ("tracker", "u1"),
        ("space", "u1"),
        ("flags", "<u2"),
        ("position_m", "<f4", 3),
        ("orientation", "<f4", 4),
        ("linear_velocity", "<f4", 3),
        ("angular_velocity", "<f4", 3),
    ]
)
_EYE = np.dtype([("origin_m", "<f4", 3), ("direction", "<f4", 3), ("pupil_mm", "<f4"), ("openness", "<f4")])
GAZE_DTYPE: Final = np.dtype(
    [
        ("t_capture_ns", "<i8"),
        ("device_seq", "<u4"),
        ("flags_left", "<u2"),
        ("flags_right", "<u2"),
        ("left", _EYE),
        ("right", _EYE),
        ("combined_origin_m", "<f4", 3),
        ("combined_direction", "<f4", 3),
        ("vergence_m", "<f4"),
        ("confidence", "<f4"),
    ]
)
_JOINT = np.dtype(
    [("position_m", "<f4", 3), ("orientation", "<f4", 4), ("radius_m", "<f4"), ("flags", "<u4")]
)
HAND_DTYPE: Final = np.dtype(
    [
        ("t_capture_ns", "<i8"),
        ("hand", "u1"),
        ("source", "u1"),
        ("flags", "<u2"),
        ("confidence", "<f4"),
        ("joints", _JOINT, 26),
    ]
)
HAPTIC_DTYPE: Final = np.dtype(
    [
        ("t_capture_ns", "<i8"),
        ("duration_ns", "<i8"),
        ("frequency_hz", "<f4"),
        ("amplitude", "<f4"),
        ("target", "u1"),
        ("event", "u1"),
        ("actuator", "<u2"),
        ("effect_id", "<u4"),
    ]
)
BUTTON_DTYPE: Final = np.dtype(
    [
        ("t_capture_ns", "<i8"),
        ("control", "<u2"),
        ("event", "u1"),
        ("reserved", "u1", 5),
        ("value", "<f4", 2),
    ]
)
CLOCK_DTYPE: Final = np.dtype(
    [
        ("t_capture_ns", "<i8"),
        ("gateway_received_ns", "<i8"),
        ("gateway_sent_ns", "<i8"),
        ("t_returned_ns", "<i8"),
        ("offset_ns", "<i8"),
        ("uncertainty_ns", "<u4"),
        ("source", "u1"),
        ("reserved", "u1", 3),
    ]
)


def _face(n: int) -> np.dtype[np.void]:
    return np.dtype(
        [
            ("t_capture_ns", "<i8"),
            ("schema", "<u2"),
            ("count", "<u2"),
            ("flags", "<u2"),
            ("upper_confidence", "u1"),
            ("lower_confidence", "u1"),
            ("weights", "<f4", n),
        ]
    )


MARKER_MAX_BYTES: Final = 512
INFO_MAX_BYTES: Final = 1024
PCM_MAX_SAMPLES: Final = 560  # 16 + 2 * 560 fits one datagram of 1,200 bytes with its headers

# Headers of the kinds of variable size. A frame of such a kind holds exactly one sample.
MARKER_HEADER: Final = np.dtype([("t_capture_ns", "<i8"), ("code", "<u2"), ("length", "<u2")])
INFO_HEADER: Final = np.dtype([("t_capture_ns", "<i8"), ("length", "<u2")])
PCM_HEADER: Final = np.dtype(
    [("t_capture_ns", "<i8"), ("sample_rate_hz", "<u4"), ("count", "<u2"), ("target", "u1"), ("format", "u1")]
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of sample.

    Args:
        number: the u8 that stands in a frame.
        name: the word used in permits, configuration and listings.
        dtype: the record, or the header of a kind of variable size.
        variable: True when a frame holds exactly one sample whose length its own header tells.
        unit_bytes: for variable kinds, bytes for each counted item after the header.
        max_items: for variable kinds, the largest count.
        schema: for face kinds, the number that the record's `schema` field must hold; else 0.
    """

    number: int
    name: str
    dtype: np.dtype[np.void]
    variable: bool = False
    unit_bytes: int = 0
    max_items: int = 0
    schema: int = 0

    @property
    def sample_bytes(self) -> int:
        """Size of one record in bytes (of the header, for variable kinds)."""
        return self.dtype.itemsize


KINDS: Final[dict[int, Kind]] = {
    kind.number: kind
    for kind in (
        Kind(POSE, "pose", POSE_DTYPE),
        Kind(GAZE, "gaze", GAZE_DTYPE),
        Kind(HAND, "hand", HAND_DTYPE),
        Kind(HAPTIC, "haptic", HAPTIC_DTYPE),
        Kind(BUTTON, "button", BUTTON_DTYPE),
        Kind(CLOCK, "clock", CLOCK_DTYPE),
        Kind(MARKER, "marker", MARKER_HEADER, True, 1, MARKER_MAX_BYTES),
        Kind(INFO, "info", INFO_HEADER, True, 1, INFO_MAX_BYTES),
        Kind(PCM, "pcm", PCM_HEADER, True, 2, PCM_MAX_SAMPLES),
        Kind(FACE_FB2, "face_fb2", _face(70), schema=1),
        Kind(FACE_ARKIT, "face_arkit", _face(52), schema=2),
        Kind(FACE_UNIFIED, "face_unified", _face(143), schema=3),
        Kind(FACE_HTC, "face_htc", _face(51), schema=4),
    )
}
KIND_BY_NAME: Final[dict[str, Kind]] = {kind.name: kind for kind in KINDS.values()}

Samples = npt.NDArray[np.void]
"""`(n_samples,)` of one kind's dtype."""


def view(kind: Kind, samples: bytes) -> Samples:
    """The records of a frame as a read-only numpy view, without a copy.

    Args:
        kind: a kind of fixed size.
        samples: `n * kind.sample_bytes` bytes.

    Returns:
        `(n_samples,)` array of `kind.dtype`, backed by `samples`.
    """
    return np.frombuffer(samples, kind.dtype)


def capture_times(kind: Kind, samples: bytes) -> npt.NDArray[np.int64]:
    """`t_capture_ns` of each sample: `(n_samples,) int64`, the device's monotonic clock in nanoseconds."""
    if kind.variable:
        return np.frombuffer(samples, "<i8", 1)
    return view(kind, samples)["t_capture_ns"]
