"""What must come out of a vault after an engine played a tape: canonical records, made with numpy from the tape alone.

It shares nothing with the plugins but SPEC ("Sample records", "Axes") and what their documents say of a value that an
engine cannot tell apart from none:

* Unity's package writes NaN wherever a bit is cleared.
* Godot's addon tells validity from a tracker's confidence (none, low, high); a pose without any is all NaN; a position
  or a velocity of exactly zero is none; gaze is written as the app hands it over. Its quaternion comes from the basis
  by the rule in `capture/turn.gd`: in double precision, one operation at a time, rounded to float32 once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

Row = dict[str, Any]
NAN = 0x7FC00000

POSE = np.dtype([("t", "<i8"), ("tracker", "u1"), ("space", "u1"), ("flags", "<u2"), ("values", "<f4", 13)])
GAZE = np.dtype(
    [("t", "<i8"), ("seq", "<u4"), ("left", "<u2"), ("right", "<u2"), ("eyes", "<f4", 16), ("both", "<f4", 8)]
)
HAPTIC = np.dtype(
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
KINDS = {"pose": 1, "gaze": 2, "haptic": 4}
PARTS = {1: slice(0, 3), 2: slice(3, 7), 16: slice(7, 10), 32: slice(10, 13)}
"""Bit of a pose -> its values."""
UNITY_SIGNS = np.array([1, 1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, 1], np.float32)


def expected(rows: list[Row], engine: str) -> dict[int, tuple[int, bytes, int]]:
    """Stream -> number of its kind, its records one after another, how many.

    Args:
        rows: of a tape for that engine.
        engine: one of `rig.ALL`.
    """
    made = {}
    ordered = sorted(rows, key=lambda row: row["stream"])
    for stream, group in itertools.groupby(ordered, key=lambda row: int(row["stream"])):
        those = list(group)
        kind = those[0]["kind"]
        records = {"pose": _poses, "gaze": _gazes, "haptic": _haptics}[kind](those, engine)
        made[stream] = (KINDS[kind], records.tobytes(), len(those))
    return made


def _poses(rows: list[Row], engine: str) -> Any:
    made = np.zeros(len(rows), POSE)
    made["t"] = [int(row["t"]) for row in rows]
    for name in ("tracker", "space"):
        made[name] = [row[name] for row in rows]
    flags = np.array([row["flags"] for row in rows], np.uint16)
    place, turn = ("o", "q") if engine == "godot" else ("p", "q")
    if engine == "godot":
        rows = [{**row, "q": quaternion(row["basis"])} for row in rows]
    values = np.array(
        [[*row[place], *row[turn], *_three(row["v"]), *_three(row["w"])] for row in rows], np.float32
    )
    if engine in ("coreclr", "mono"):
        values *= UNITY_SIGNS
    if engine == "godot":
        zero = ~values[:, 0:3].any(axis=1)
        flags[zero] &= np.uint16(0xFFFF ^ 0b101)
        values[zero, 0:3] = np.nan
        nothing = flags & 3 == 0
        flags[nothing] = 0
        values[nothing] = np.nan
    if engine != "python":
        for bit, part in PARTS.items():
            values[flags & bit == 0, part] = np.nan
    made["flags"] = flags
    made["values"] = _one_nan(values)
    return made


def quaternion(basis: list[float]) -> list[float]:
    """The rotation of a basis (three columns of float32 values), x y z w, by the rule of Godot's addon."""
    (m00, m10, m20), (m01, m11, m21), (m02, m12, m22) = basis[0:3], basis[3:6], basis[6:9]
    trace = m00 + m11 + m22
    if trace > 0:
        s = math.sqrt(trace + 1)
        h = 0.5 / s
        return [(m21 - m12) * h, (m02 - m20) * h, (m10 - m01) * h, 0.5 * s]
    m = [[m00, m01, m02], [m10, m11, m12], [m20, m21, m22]]
    diagonal = [m00, m11, m22]
    i = diagonal.index(max(diagonal))
    j, k = (i + 1) % 3, (i + 2) % 3
    s = math.sqrt(m[i][i] - m[j][j] - m[k][k] + 1)
    h = 0.5 / s
    q = [0.0] * 4
    q[i], q[3] = 0.5 * s, (m[k][j] - m[j][k]) * h
    q[j], q[k] = (m[j][i] + m[i][j]) * h, (m[k][i] + m[i][k]) * h
    return q


def _gazes(rows: list[Row], engine: str) -> Any:
    made = np.zeros(len(rows), GAZE)
    made["t"] = [int(row["t"]) for row in rows]
    made["seq"] = [row["device_seq"] for row in rows]
    for side in ("left", "right"):
        made[side] = [row[f"flags_{side}"] for row in rows]
    eyes = np.array([[*_eye(row, "left"), *_eye(row, "right")] for row in rows], np.float32)
    both = np.array([_both(row) for row in rows], np.float32)
    if engine in ("coreclr", "mono"):
        eyes[:, [2, 5, 10, 13]] *= -1
        both[:, [2, 5]] *= -1
        for first, side in ((0, "left"), (8, "right")):
            for bit, part in ((1, (0, 3)), (2, (3, 6)), (4, (6, 7)), (8, (7, 8))):
                eyes[made[side] & bit == 0, first + part[0] : first + part[1]] = np.nan
        both[made["left"] & 256 == 0, 0:3] = np.nan
        both[made["left"] & 512 == 0, 3:6] = np.nan
    made["eyes"], made["both"] = _one_nan(eyes), _one_nan(both)
    return made


def _haptics(rows: list[Row], engine: str) -> Any:
    made = np.zeros(len(rows), HAPTIC)
    made["t"] = [int(row["t"]) for row in rows]
    made["duration_ns"] = [int(row["duration_ns"]) for row in rows]
    for name in ("frequency_hz", "amplitude", "target", "event", "actuator", "effect_id"):
        made[name] = [row[name] for row in rows]
    return made


def _eye(row: Row, side: str) -> Iterator[float]:
    yield from _three(row[f"{side}_origin"])
    yield from _three(row[f"{side}_direction"])
    yield _one(row[f"{side}_pupil_mm"])
    yield _one(row[f"{side}_openness"])


def _both(row: Row) -> list[float]:
    vectors = _three(row["combined_origin"]), _three(row["combined_direction"])
    return [*vectors[0], *vectors[1], _one(row["vergence_m"]), _one(row["confidence"])]


def _one(value: float | None) -> float:
    return math.nan if value is None else value


def _three(value: list[float] | None) -> list[float]:
    return [math.nan] * 3 if value is None else value


def _one_nan(values: Any) -> Any:
    """Every NaN in the one form that SPEC asks for."""
    bits = np.ascontiguousarray(values).view(np.uint32).copy()
    bits[np.isnan(values)] = NAN
    return bits.view(np.float32)


def difference(stored: bytes, wanted: bytes, kind: int) -> str:
    """Where two streams differ first, in words; empty if they do not."""
    if stored == wanted:
        return ""
    dtype = {1: POSE, 2: GAZE, 4: HAPTIC}[kind]
    size = dtype.itemsize
    for number in range(0, max(len(stored), len(wanted)), size):
        here, there = stored[number : number + size], wanted[number : number + size]
        if here != there:
            show = [
                str(np.frombuffer(one, dtype)[0]) if len(one) == size else one.hex() for one in (here, there)
            ]
            return (
                f"sample {number // size}:\nstored {show[0]}\nwanted {show[1]}\n{here.hex()}\n{there.hex()}"
            )
    return "not found"
