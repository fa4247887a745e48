"""Recordings as tapes: what an engine's trackers would have shown, frame by frame, in that engine's axes.

A tape is JSON lines; numbers are float32 values written as doubles, so that an engine that reads doubles and rounds to
float32 gets exactly them. `reference.py` says what must come out of a vault.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import math
import random
from collections.abc import Iterator
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import numpy as np
from independent import tracks_of
from paths import DATA

QUEST = DATA / "pose" / "quest2_touch_90hz.csv.gz"
PICO = DATA / "pose" / "pico_neo3_boxing_head_ctrl_gaze_90hz.tsv"
CLEAN = DATA / "eye" / "TESTNA01_2D_Fist3.csv"
FAULTY = DATA / "eye" / "TESTNA10_360VR_Fist3.csv"
CLIPS = sorted((DATA / "haptic").glob("*/*.haptic"))

HEAD, LEFT, RIGHT, GAZE, HAPTIC = 0, 1, 2, 3, 7
"""Streams of the plugins; those of the poses are the trackers' numbers too."""
VALID, MEASURED = 3, 15
"""Flags of a pose that a runtime inferred, and of one that it measured."""
LOCAL_FLOOR = 2
_SIDES = ("left", "right")

Row = dict[str, Any]
Vector = tuple[float, float, float]


def rows_of(path: Path, engine: str, most: int | None = None) -> list[Row]:
    """The rows of a recording for one engine.

    Args:
        path: one of the recordings above.
        engine: decides the axes.
        most: so many render frames; None takes all.
    """
    made = {".gz": _quest, ".tsv": _pico, ".haptic": _haptic}.get(path.suffix, _vive)
    return list(itertools.chain.from_iterable(itertools.islice(made(path, _Axes(engine)), most)))


def write(path: Path, rows: list[Row]) -> Path:
    """Write a tape."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def moving(engine: str, frames: int, seed: int = 3) -> list[Row]:
    """Made-up poses with velocities and with every state of tracking, which no recording has."""
    draw = random.Random(seed)
    axes = _Axes(engine)
    rows = []
    for frame in range(frames):
        for tracker in (HEAD, LEFT, RIGHT):
            turn = np.array([draw.gauss(0, 1) for _ in range(4)])
            place: Vector = (draw.uniform(-2, 2), draw.uniform(0, 2), draw.uniform(-2, 2))
            row = axes.pose(
                10**9 + frame * 11_111_111,
                tracker,
                place,
                turn / np.linalg.norm(turn),
                draw.choice((0, VALID, MEASURED)),
            )
            if row["flags"]:
                for name, bit in (("v", 16), ("w", 32)):
                    if draw.random() < 0.7:
                        row[name] = [_single(draw.uniform(-3, 3)) for _ in range(3)]
                        row["flags"] |= bit
            rows.append(row)
    return rows


class _Axes:
    """What is written for an engine, from values in Unity's axes."""

    def __init__(self, engine: str) -> None:
        self.unity = engine in ("coreclr", "mono")
        self.godot = engine == "godot"

    def pose(self, t_ns: int, tracker: int, position: Vector, turn: Any, flags: int) -> Row:
        """A row of a pose; `turn` is x y z w in float64."""
        row: Row = {
            "t": str(t_ns),
            "kind": "pose",
            "stream": tracker,
            "tracker": tracker,
            "space": LOCAL_FLOOR,
            "flags": flags,
        }
        place = self.vector(position)
        x, y, z, w = map(float, turn)
        if self.unity:
            row |= {"p": place, "q": _singles((x, y, z, w))}
        elif self.godot:
            row |= {"basis": _singles(_columns(-x, -y, z, w)), "o": place}
        else:
            row |= {"p": place, "q": _singles((-x, -y, z, w))}
        return row | {"v": None, "w": None}

    def vector(self, v: Vector) -> list[float]:
        """A position or direction."""
        return _singles(v if self.unity else (v[0], v[1], -v[2]))


def _columns(x: float, y: float, z: float, w: float) -> list[float]:
    """The columns of the rotation matrix of a quaternion."""
    return [
        1 - 2 * (y * y + z * z),
        2 * (x * y + z * w),
        2 * (x * z - y * w),
        2 * (x * y - z * w),
        1 - 2 * (x * x + z * z),
        2 * (y * z + x * w),
        2 * (x * z + y * w),
        2 * (y * z - x * w),
        1 - 2 * (x * x + y * y),
    ]


def _quest(path: Path, axes: _Axes) -> Iterator[list[Row]]:
    for row in csv.DictReader(io.StringIO(gzip.decompress(path.read_bytes()).decode())):
        t_ns = _ns(row["t_s"])
        yield [
            axes.pose(
                t_ns,
                tracker,
                (float(row[f"{who}_px"]), float(row[f"{who}_py"]), float(row[f"{who}_pz"])),
                [float(row[f"{who}_q{c}"]) for c in "xyzw"],
                MEASURED,
            )
            for tracker, who in enumerate(("head", *_SIDES))
        ]


def _pico(path: Path, axes: _Axes) -> Iterator[list[Row]]:
    names = ("Head", "Controller Left", "Controller Right")
    for number, row in enumerate(csv.DictReader(io.StringIO(path.read_text()), delimiter="\t")):
        t_ns = _ns(row["Timeline"])
        frame = []
        for tracker, name in enumerate(names):
            x, y, z = (float(row[f"{name} Position. {c}"]) for c in "xyz")
            angles = [float(row[f"{name} Rotation. {c}"]) for c in "xyz"]
            flags = VALID if any((x, y, z, *angles)) else 0
            frame.append(axes.pose(t_ns, tracker, (x, y, z), _turn(angles), flags))
        gaze = _gaze_row(t_ns, number)
        for side in _SIDES:
            name = side.capitalize()
            gaze[f"{side}_openness"] = _single(float(row[f"{name} Eye Gaze Openness"]))
            gaze[f"flags_{side}"] = 8 if int(row[f"{name} Eye Pose Status"]) & 4 else 0
            gaze[f"flags_{side}"] |= 32 if row[f"Eye {name} Blinking"] == "True" else 0
        for field, word, bit in (("origin", "Point", 256), ("direction", "Vector", 512)):
            x, y, z = (float(row[f"Combine Eye Gaze {word}. {c}"]) for c in "xyz")
            gaze[f"combined_{field}"] = axes.vector((x, y, z))
            gaze["flags_left"] |= bit if any((x, y, z)) else 0
        yield [*frame, gaze]


def _vive(path: Path, axes: _Axes) -> Iterator[list[Row]]:
    for row in csv.DictReader(io.StringIO(path.read_text()), delimiter=";"):
        t_ns = int(row["time_stamp(ms)"]) * 10**6
        gaze = _gaze_row(t_ns, int(row["frame"]))
        for side in _SIDES:
            eye = side[0].upper()
            gaze[f"flags_{side}"] = int(row[f"eye_valid_{eye}"])
            gaze[f"{side}_pupil_mm"] = _single(float(row[f"pupil_diameter_{eye}(mm)"]))
            gaze[f"{side}_openness"] = _single(float(row[f"openness_{eye}"]))
            # SRanipal's axes are Unity's with the x axis turned round.
            x, y, z = (float(row[f"gaze_origin_{eye}.{c}(mm)"]) / 1000 for c in "xyz")
            gaze[f"{side}_origin"] = axes.vector((-x, y, z))
            x, y, z = (float(row[f"gaze_direct_{eye}.{c}"]) for c in "xyz")
            gaze[f"{side}_direction"] = axes.vector((-x, y, z))
        if row["distance_valid_C"] == "True":
            gaze["vergence_m"] = _single(float(row["distance_C(mm)"]) / 1000)
        x, y, z, *angles = (float(row[f"helmet_{part}_{c}"]) for part in ("pos", "rot") for c in "xyz")
        flags = VALID if any((x, y, z, *angles)) else 0
        yield [gaze, axes.pose(t_ns, HEAD, (x, y, z), _turn(angles), flags)]


def _haptic(path: Path, axes: _Axes) -> Iterator[list[Row]]:
    for record in tracks_of(path)[0].records:
        (one,) = np.frombuffer(record, HAPTIC_RECORD)
        yield [
            {
                "t": str(int(one["t"])),
                "kind": "haptic",
                "stream": HAPTIC,
                "duration_ns": str(int(one["duration_ns"])),
                "frequency_hz": float(one["frequency_hz"]),
                "amplitude": float(one["amplitude"]),
                "target": int(one["target"]),
                "event": int(one["event"]),
                "actuator": int(one["actuator"]),
                "effect_id": int(one["effect_id"]),
            }
        ]


HAPTIC_RECORD = np.dtype(
    [
        ("t", "<i8"),
        ("duration_ns", "<i8"),
        ("frequency_hz", "<f4"),
        ("amplitude", "<f4"),
        ("target", "u1"),
        ("event", "u1"),
        ("actuator", "<u2"),
        ("effect_id", "<u4"),
    ]
)


def _gaze_row(t_ns: int, number: int) -> Row:
    row: Row = {"t": str(t_ns), "kind": "gaze", "stream": GAZE, "device_seq": number}
    row |= {"flags_left": 0, "flags_right": 0}
    for side in _SIDES:
        row |= {f"{side}_{field}": None for field in ("origin", "direction", "pupil_mm", "openness")}
    return row | dict.fromkeys(("combined_origin", "combined_direction", "vergence_m", "confidence"))


def _turn(angles: list[float]) -> list[float]:
    """Unity's Euler angles in degrees as a quaternion in Unity's axes, by half angles: y, then x, then z."""
    (cx, sx), (cy, sy), (cz, sz) = (
        (math.cos(math.radians(a) / 2), math.sin(math.radians(a) / 2)) for a in angles
    )
    return [
        cy * sx * cz + sy * cx * sz,
        sy * cx * cz - cy * sx * sz,
        cy * cx * sz - sy * sx * cz,
        cy * cx * cz + sy * sx * sz,
    ]


def _ns(seconds: str) -> int:
    return int((Decimal(seconds) * 10**9).to_integral_value(ROUND_HALF_EVEN))


def _single(value: float) -> float:
    return float(np.float32(value))


def _singles(values: Any) -> list[float]:
    return [_single(value) for value in values]
