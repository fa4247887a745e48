"""Sample values for the vectors of VT1: at least one of every kind, odd ones included."""

from __future__ import annotations

import math
import struct
from typing import Any

import vt1_oracle as oracle

Values = dict[str, Any]
NAN = math.nan
START_NS = 81_234_567_890_123  # a headset that has run for 22 hours
STEP_NS = 11_111_111
MARKER_TEXT = "trial 3 begin"
INFO_JSON = (
    '{"stream":1,"kind":"pose","vendor":"Example","model":"Headset 1","runtime":"OpenXR 1.1","plugin":"1.0.0",'
    '"nominal_hz":90,"axes":"openxr","space":"stage","filter":"none"}'
)


def f32(value: float) -> float:
    """The nearest float32, as the double that a JSON reader will see."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def pose(number: int = 0, **changed: Any) -> Values:
    values: Values = {
        "t_capture_ns": START_NS + number * STEP_NS,
        "tracker": 0,
        "space": 3,
        "flags": 0x3F,
        "position_m": [0.25, 1.625, -0.5 - number / 64],
        "orientation": [0.5, -0.5, 0.5, 0.5],
        "linear_velocity": [f32(0.1), 0.0, f32(-1.4)],
        "angular_velocity": [f32(0.01), f32(-0.02), f32(0.03)],
    }
    return values | changed


def eye(side: float, **changed: Any) -> Values:
    values: Values = {
        "origin_m": [side * f32(0.032), 0.0, 0.0],
        "direction": [0.0, 0.0, -1.0],
        "pupil_mm": f32(3.4),
        "openness": f32(0.95),
    }
    return values | changed


def gaze(number: int = 0, **changed: Any) -> Values:
    values: Values = {
        "t_capture_ns": START_NS + number * 8_333_333,
        "device_seq": 4_000_000_000 + number,
        "flags_left": 0x3DF,  # bits 0-4, quality 3, combined origin and direction
        "flags_right": 0xDF,
        "left": eye(-1.0),
        "right": eye(1.0),
        "combined_origin_m": [0.0, 0.0, 0.0],
        "combined_direction": [0.0, 0.0, -1.0],
        "vergence_m": 1.5,
        "confidence": 0.875,
    }
    return values | changed


def blink(number: int) -> Values:
    """Lids closed: direction, pupil and the combined ray are not valid, and NaN says nothing but that."""
    closed = {"direction": [NAN] * 3, "pupil_mm": NAN, "openness": 0.0}
    return gaze(
        number,
        flags_left=0x29 | 0x100,
        flags_right=0x29,
        left=eye(-1.0, **closed),
        right=eye(1.0, **closed),
        combined_direction=[NAN] * 3,
        vergence_m=NAN,
        confidence=NAN,
    )


def hand(**changed: Any) -> Values:
    joints = [
        {
            "position_m": [0.25 + n / 128, 1.0 + n / 64, -0.375],
            "orientation": [0.0, 0.0, 0.0, 1.0],
            "radius_m": f32(0.01),
            "flags": 0x0F,
        }
        for n in range(26)
    ]
    # the tip of the little finger is out of sight
    joints[25] |= {"position_m": [NAN] * 3, "orientation": [NAN] * 4, "radius_m": NAN, "flags": 0}
    values: Values = {
        "t_capture_ns": START_NS,
        "hand": 1,
        "source": 1,
        "flags": 1,
        "confidence": 1.0,
        "joints": joints,
    }
    return values | changed


def haptic(**changed: Any) -> Values:
    values: Values = {
        "t_capture_ns": START_NS,
        "duration_ns": -1,
        "frequency_hz": 0.0,
        "amplitude": 0.75,
        "target": 2,
        "event": 1,
        "actuator": 0,
        "effect_id": 70_000,
    }
    return values | changed


def button(**changed: Any) -> Values:
    values: Values = {
        "t_capture_ns": START_NS,
        "control": 0x0203,
        "event": 3,
        "reserved": [0] * 5,
        "value": [-0.25, f32(0.9)],
    }
    return values | changed


def clock(**changed: Any) -> Values:
    sent, received, answered, returned = START_NS, 5_000_000_900_000, 5_000_000_950_000, START_NS + 2_000_000
    values: Values = {
        "t_capture_ns": sent,
        "gateway_received_ns": received,
        "gateway_sent_ns": answered,
        "t_returned_ns": returned,
        "offset_ns": ((received - sent) + (answered - returned)) // 2,
        "uncertainty_ns": ((returned - sent) - (answered - received)) // 2,
        "source": 1,
        "reserved": [0] * 3,
    }
    return values | changed


def marker(text: str = MARKER_TEXT, **changed: Any) -> Values:
    raw = text.encode()
    return {"t_capture_ns": START_NS, "code": 300, "length": len(raw), "text": raw} | changed


def info(text: str = INFO_JSON, **changed: Any) -> Values:
    raw = text.encode()
    return {"t_capture_ns": START_NS, "length": len(raw), "json": raw} | changed


def pcm(count: int = 4, **changed: Any) -> Values:
    values = [(n * 8191) % 65_535 - 32_767 for n in range(count)]
    header: Values = {
        "t_capture_ns": START_NS,
        "sample_rate_hz": 2000,
        "count": count,
        "target": 1,
        "format": 0,
    }
    return header | {"values": values} | changed


def face(name: str, **changed: Any) -> Values:
    schema, weights = oracle.FACES[name]
    values: Values = {
        "t_capture_ns": START_NS,
        "schema": schema,
        "count": weights,
        "flags": 1,
        "upper_confidence": 255,
        "lower_confidence": 128,
        "weights": [n / 256 for n in range(weights)],
    }
    return values | changed


FACE_NAMES = tuple(oracle.FACES)

# name of the vector -> (kind, stream, first sample, samples). The first samples walk over every length of an integer.
FRAMES: dict[str, tuple[str, int, int, list[Values]]] = {
    "pose": ("pose", 1, 0, [pose()]),
    "pose_three": ("pose", 1, 127, [pose(n) for n in range(3)]),
    "pose_sixteen": ("pose", 127, 128, [pose(n) for n in range(16)]),
    "pose_without_velocity": (
        "pose",
        128,
        255,
        [pose(flags=0x83, linear_velocity=[NAN] * 3, angular_velocity=[NAN] * 3)],
    ),
    "pose_lost": (
        "pose",
        255,
        256,
        [
            pose(flags=0, position_m=[NAN] * 3, orientation=[NAN] * 4)
            | {"linear_velocity": [NAN] * 3, "angular_velocity": [NAN] * 3}
        ],
    ),
    "pose_clock_runs_backwards": ("pose", 256, 65_535, [pose(5), pose(5), pose(0)]),
    "gaze": ("gaze", 2, 65_536, [gaze()]),
    "gaze_blink": ("gaze", 2, 2**32 - 1, [gaze(0), blink(1), gaze(2)]),
    "hand": ("hand", 3, 2**32, [hand()]),
    "haptic": ("haptic", 4, 2**53 - 2, [haptic()]),
    "haptic_stop": ("haptic", 4, 1, [haptic(event=2, amplitude=0.0, duration_ns=0)]),
    "button": ("button", 5, 0, [button()]),
    "clock": ("clock", 6, 0, [clock()]),
    "marker": ("marker", 7, 0, [marker()]),
    "marker_empty": ("marker", 7, 1, [marker("")]),
    "marker_not_ascii": ("marker", 7, 2, [marker("Übung – 始め")]),
    "marker_longest": ("marker", 7, 3, [marker("m" * 512)]),
    "info": ("info", 8, 0, [info()]),
    "info_longest": ("info", 8, 1, [info('{"note":"' + "n" * (1024 - 11) + '"}')]),
    "pcm": ("pcm", 9, 0, [pcm()]),
    "pcm_longest": ("pcm", 9, 1, [pcm(560)]),
    "face_fb2": ("face_fb2", 65_535, 0, [face("face_fb2")]),
    "face_arkit": ("face_arkit", 16, 0, [face("face_arkit")]),
    "face_unified": ("face_unified", 17, 0, [face("face_unified")]),
    "face_htc": ("face_htc", 18, 0, [face("face_htc"), face("face_htc", flags=0, weights=[NAN] * 51)]),
}


def samples_bytes(kind: str, samples: list[Values]) -> bytes:
    return b"".join(oracle.record_bytes(kind, values) for values in samples)


def frame_fields(name: str) -> list[Any]:
    """`[stream, kind, first_sample, samples]` of a vector, ready to be packed."""
    kind, stream, first, samples = FRAMES[name]
    return [stream, oracle.KINDS[kind], first, samples_bytes(kind, samples)]


def _fill_a_datagram() -> None:
    """Two frames that, with floor and totals, fill a datagram to its last byte; the marker's length is found."""
    FRAMES["gaze_six"] = ("gaze", 2, 12, [gaze(n) for n in range(6)])
    for length in range(513):
        FRAMES["marker_filling"] = ("marker", 7, 9, [marker("m" * length)])
        if len(oracle.pack([*FULL[:2], [frame_fields(name) for name in FULL[2]]])) == 1200 - 40:
            return
    raise AssertionError("no marker fills the datagram")


FULL: list[Any] = [70, [[2, 18], [7, 10]], ["gaze_six", "marker_filling"]]
_fill_a_datagram()
