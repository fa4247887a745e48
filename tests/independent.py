"""A second conversion of the recordings, written apart from `gateway.sources`: what must come out of a vault.

It shares no code with the readers: the csv and struct modules, plain floats and decimals, and rotation matrices where
the readers multiply quaternions. A test that compares the two, or a vault with this, compares bytes.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import struct
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import pairwise
from pathlib import Path

NAN = math.nan
POSE, GAZE, HAPTIC = 1, 2, 4
Vector = tuple[float, float, float]
Matrix = list[list[float]]


@dataclass(frozen=True)
class Expected:
    """One track: its name, its kind's number, and each sample's record as bytes."""

    name: str
    kind: int
    records: list[bytes]

    @property
    def raw(self) -> bytes:
        """All records, one after another."""
        return b"".join(self.records)


def tracks_of(path: Path) -> list[Expected]:
    """Convert one recording, known by its file name."""
    raw = path.read_bytes()
    if path.suffix == ".gz":
        return _quest(gzip.decompress(raw).decode())
    if path.suffix == ".tsv":
        return _pico(raw.decode())
    if path.suffix == ".haptic":
        return _haptic(raw.decode())
    return _vive(raw.decode())


def _rows(text: str, separator: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text), delimiter=separator))


def _ns(seconds: str) -> int:
    return int((Decimal(seconds) * 10**9).to_integral_value(ROUND_HALF_EVEN))


class _Poses:
    """Builds pose records one by one, and remembers the last one to see what is held."""

    def __init__(self, tracker: int) -> None:
        self.tracker = tracker
        self.records: list[bytes] = []
        self._last = b""

    def add(self, t_ns: int, position: Vector, quaternion: tuple[float, ...], known: bool) -> None:
        body = struct.pack("<7f", *position, *quaternion)
        flags = 0b11 if known else 0
        if known and not any(quaternion):
            flags = 0b01
        if body == self._last:
            flags |= 0x80
        self._last = body
        self.records.append(
            struct.pack("<qBBH", t_ns, self.tracker, 3, flags) + body + struct.pack("<6f", *[NAN] * 6)
        )


def _quest(text: str) -> list[Expected]:
    builders = {"head": _Poses(0), "left": _Poses(1), "right": _Poses(2)}
    for row in _rows(text, ","):
        for who, poses in builders.items():
            px, py, pz, qx, qy, qz, qw = (
                float(row[f"{who}_{c}"]) for c in ("px", "py", "pz", "qx", "qy", "qz", "qw")
            )
            poses.add(_ns(row["t_s"]), (px, py, -pz), (-qx, -qy, qz, qw), True)
    names = {"head": "head", "left": "left_hand", "right": "right_hand"}
    return [Expected(names[who], POSE, poses.records) for who, poses in builders.items()]


def _times(a: Matrix, b: Matrix) -> Matrix:
    return [[sum(a[i][k] * b[k][j] for k in range(3)) for j in range(3)] for i in range(3)]


def _about(axis: int, degrees: float) -> Matrix:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = [[float(row == column) for column in range(3)] for row in range(3)]
    matrix[i][i], matrix[i][j], matrix[j][i], matrix[j][j] = c, -s, s, c
    return matrix


def euler_matrix(x: float, y: float, z: float) -> Matrix:
    """Unity's Euler angles in degrees as a matrix in Unity's axes: about z first, then x, then y."""
    return _times(_about(1, y), _times(_about(0, x), _about(2, z)))


def _quaternion(m: Matrix) -> tuple[float, float, float, float]:
    """The quaternion (w >= 0) of a rotation matrix, by its largest part."""
    squares = [
        1 + m[0][0] - m[1][1] - m[2][2],
        1 - m[0][0] + m[1][1] - m[2][2],
        1 - m[0][0] - m[1][1] + m[2][2],
        1 + m[0][0] + m[1][1] + m[2][2],
    ]
    big = squares.index(max(squares))
    four = 2 * math.sqrt(squares[big])
    q = [0.0] * 4
    q[big] = four / 4
    if big == 3:
        q[0], q[1], q[2] = (
            (m[2][1] - m[1][2]) / four,
            (m[0][2] - m[2][0]) / four,
            (m[1][0] - m[0][1]) / four,
        )
    else:
        i, j, k = big, (big + 1) % 3, (big + 2) % 3
        q[j] = (m[j][i] + m[i][j]) / four
        q[k] = (m[k][i] + m[i][k]) / four
        q[3] = (m[k][j] - m[j][k]) / four
    sign = -1 if q[3] < 0 else 1
    return (sign * q[0], sign * q[1], sign * q[2], sign * q[3])


def _turned(x: str, y: str, z: str) -> tuple[float, float, float, float]:
    """Unity's Euler angles as a quaternion in OpenXR's axes: the z axis of both sides is turned round."""
    m = euler_matrix(float(x), float(y), float(z))
    flip = (1, 1, -1)
    return _quaternion([[flip[i] * m[i][j] * flip[j] for j in range(3)] for i in range(3)])


def _gaze_record(
    t_ns: int, seq: int, flags: tuple[int, int], eyes: list[list[float]], rest: list[float]
) -> bytes:
    return struct.pack("<qIHH16f8f", t_ns, seq, *flags, *eyes[0], *eyes[1], *rest)


def _pico(text: str) -> list[Expected]:
    who = {"Head": _Poses(0), "Controller Left": _Poses(1), "Controller Right": _Poses(2)}
    gaze = []
    for number, row in enumerate(_rows(text, "\t")):
        t_ns = _ns(row["Timeline"])
        for name, poses in who.items():
            position = [row[f"{name} Position. {c}"] for c in "xyz"]
            angles = [row[f"{name} Rotation. {c}"] for c in "xyz"]
            px, py, pz = map(float, position)
            known = any(float(text) for text in position + angles)
            poses.add(t_ns, (px, py, -pz), _turned(*angles), known)
        flags, eyes = [], []
        for side in ("Left", "Right"):
            mask = 8 if int(row[f"{side} Eye Pose Status"]) & 4 else 0
            mask |= 32 if row[f"Eye {side} Blinking"] == "True" else 0
            flags.append(mask)
            eyes.append([NAN] * 7 + [float(row[f"{side} Eye Gaze Openness"])])
        point = [float(row[f"Combine Eye Gaze Point. {c}"]) for c in "xyz"]
        vector = [float(row[f"Combine Eye Gaze Vector. {c}"]) for c in "xyz"]
        flags[0] |= (256 if any(point) else 0) | (512 if any(vector) else 0)
        rest = [point[0], point[1], -point[2], vector[0], vector[1], -vector[2], NAN, NAN]
        gaze.append(_gaze_record(t_ns, number, (flags[0], flags[1]), eyes, rest))
    names = {"Head": "head", "Controller Left": "left_hand", "Controller Right": "right_hand"}
    return [
        *(Expected(names[name], POSE, poses.records) for name, poses in who.items()),
        Expected("gaze", GAZE, gaze),
    ]


def _vive(text: str) -> list[Expected]:
    head = _Poses(0)
    gaze = []
    for row in _rows(text, ";"):
        t_ns = int(row["time_stamp(ms)"]) * 10**6
        eyes = []
        for side in "LR":
            ox, oy, oz = (float(row[f"gaze_origin_{side}.{c}(mm)"]) for c in "xyz")
            dx, dy, dz = (float(row[f"gaze_direct_{side}.{c}"]) for c in "xyz")
            pupil, openness = float(row[f"pupil_diameter_{side}(mm)"]), float(row[f"openness_{side}"])
            eyes.append([-ox / 1000, oy / 1000, -oz / 1000, -dx, dy, -dz, pupil, openness])
        vergence = float(row["distance_C(mm)"]) / 1000 if row["distance_valid_C"] == "True" else NAN
        flags = (int(row["eye_valid_L"]), int(row["eye_valid_R"]))
        gaze.append(_gaze_record(t_ns, int(row["frame"]), flags, eyes, [NAN] * 6 + [vergence, NAN]))
        px, py, pz, rx, ry, rz = (row[f"helmet_{part}_{c}"] for part in ("pos", "rot") for c in "xyz")
        known = any(float(text) for text in (px, py, pz, rx, ry, rz))
        head.add(t_ns, (float(px), float(py), -float(pz)), _turned(rx, ry, rz), known)
    return [Expected("gaze", GAZE, gaze), Expected("head", POSE, head.records)]


def _haptic(text: str) -> list[Expected]:
    envelopes = json.loads(text)["signals"]["continuous"]["envelopes"]
    points = envelopes["amplitude"]
    tones = [(tone["time"], tone["frequency"]) for tone in envelopes.get("frequency") or []]
    records = []
    for here, after in zip(points, [*points[1:], None], strict=True):
        start = round(here["time"] * 10**9)
        if after is not None and (length := round(after["time"] * 10**9) - start):
            pitch = 60 + 240 * _along(tones, here["time"]) if tones else 0.0
            records.append(struct.pack("<qqffBBHI", start, length, pitch, here["amplitude"], 2, 0, 0, 0))
        if here.get("emphasis"):
            pitch = 60 + 240 * here["emphasis"]["frequency"]
            records.append(
                struct.pack("<qqffBBHI", start, -1, pitch, here["emphasis"]["amplitude"], 2, 1, 0, 0)
            )
    return [Expected("haptic", HAPTIC, records)]


def _along(tones: list[tuple[float, float]], time: float) -> float:
    if time <= tones[0][0]:
        return tones[0][1]
    for (t0, f0), (t1, f1) in pairwise(tones):
        if t0 <= time < t1:
            return f0 + (f1 - f0) * (time - t0) / (t1 - t0)
    return tones[-1][1]
