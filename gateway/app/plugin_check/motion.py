"""Axes: whether velocities agree with positions, and whether a movement that was asked for went the right way.

A conversion that mirrors one axis shows in two ways without any person: the velocity of that axis runs against the
position, and the angular velocity against the rotation. What is mirrored alike in all of them, only a person can show.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from gateway.app.plugin_check.say import Finding
from gateway.wire import kinds

LEAST: Final = 30  # steps between samples that moved; fewer say nothing about a sign
WINDOW: Final = 512  # samples that are looked at together
Vector = npt.NDArray[np.float64]
AXES: Final = ("x", "y", "z")

RIGHT, UP, FORWARD, LEFT_TURN = "right", "up", "forward", "turn_left"
ASKED: Final[dict[str, str]] = {
    RIGHT: "+x, to the right of where the head looks",
    UP: "+y",
    FORWARD: "-z, where the head looks",
    LEFT_TURN: "a positive rotation about +y",
}


def _rotate(q: Vector, v: Vector) -> Vector:
    turned: Vector = v + 2 * np.cross(q[:3], np.cross(q[:3], v) + q[3] * v)
    return turned


def _between(q: Vector) -> Vector:
    """Rotation vectors from each sample to the next, in the space of the poses."""
    a, b = q[:-1], q[1:]
    xyz = -b[:, 3:] * a[:, :3] + a[:, 3:] * b[:, :3] - np.cross(b[:, :3], a[:, :3])
    w = np.sum(a * b, axis=1, keepdims=True)
    turned: Vector = 2 * xyz * np.where(w < 0, -1, 1)
    return turned


class Tracker:
    """Poses of one tracker in one stream."""

    def __init__(self) -> None:
        self._rows: list[npt.NDArray[np.void]] = []
        self._count = 0
        self.last: tuple[Vector, Vector] | None = None
        """Newest valid position and orientation."""

    def add(self, rows: npt.NDArray[np.void]) -> list[Finding]:
        """Take samples of one tracker; returns what their velocities contradict."""
        both = kinds.POSITION_VALID | kinds.ORIENTATION_VALID
        whole = rows[(rows["flags"] & both) == both]
        if len(whole):
            last = whole[-1]
            self.last = last["position_m"].astype(np.float64), last["orientation"].astype(np.float64)
        self._rows.append(rows)
        self._count += len(rows)
        if self._count < WINDOW:
            return []
        together = np.concatenate(self._rows)
        self._rows, self._count = [], 0
        return [*self._linear(together), *self._angular(together)]

    @staticmethod
    def _linear(rows: npt.NDArray[np.void]) -> list[Finding]:
        bits = kinds.POSITION_VALID | kinds.LINEAR_VELOCITY_VALID
        rows = rows[(rows["flags"] & bits) == bits]
        if len(rows) <= LEAST:
            return []
        step_s = np.diff(rows["t_capture_ns"]) / 1e9
        moved = np.diff(rows["position_m"].astype(np.float64), axis=0)
        told = (rows["linear_velocity"][:-1].astype(np.float64) + rows["linear_velocity"][1:]) / 2
        return _against(moved, told, step_s, 0.02, "linear_velocity", "position_m")

    @staticmethod
    def _angular(rows: npt.NDArray[np.void]) -> list[Finding]:
        bits = kinds.ORIENTATION_VALID | kinds.ANGULAR_VELOCITY_VALID
        rows = rows[(rows["flags"] & bits) == bits]
        if len(rows) <= LEAST:
            return []
        step_s = np.diff(rows["t_capture_ns"]) / 1e9
        turned = _between(rows["orientation"].astype(np.float64))
        told = (rows["angular_velocity"][:-1].astype(np.float64) + rows["angular_velocity"][1:]) / 2
        return _against(turned, told, step_s, 0.05, "angular_velocity", "orientation")


def _against(
    moved: Vector, told: Vector, step_s: Vector, least: float, field: str, other: str
) -> list[Finding]:
    """Axes along which what was told runs against what was done."""
    good = (step_s > 0.0005) & (step_s < 0.2)
    if int(good.sum()) < LEAST:
        return []
    done = moved[good] / step_s[good, None]
    told = told[good]
    wrong = []
    for axis, name in enumerate(AXES):
        fast = (np.abs(done[:, axis]) > least) & (np.abs(told[:, axis]) > least)
        if int(fast.sum()) < LEAST:
            continue
        agree = float(np.mean(np.sign(done[fast, axis]) == np.sign(told[fast, axis])))
        if agree < 0.1:
            wrong.append(name)
    if not wrong:
        return []
    return [
        Finding(
            f"axes.{field}",
            19,
            f"{field}: {' and '.join(wrong)} runs against what {other} does",
            "convert all fields of a pose by the row of your engine in SPEC, 14",
        )
    ]


def judge(asked: str, before: tuple[Vector, Vector], after: tuple[Vector, Vector]) -> tuple[bool | None, str]:
    """Whether a movement went where it was asked to go.

    Args:
        asked: a word of `ASKED`.
        before, after: position and orientation of the head.

    Returns:
        True, False, or None when there was too little of it; and what was seen, in words.
    """
    (p0, q0), (p1, q1) = before, after
    if asked == LEFT_TURN:
        ahead0, ahead1 = _rotate(q0, np.array([0, 0, -1.0])), _rotate(q1, np.array([0, 0, -1.0]))
        angle = float(np.degrees(np.arctan2(np.cross(ahead0, ahead1)[1], ahead0[[0, 2]] @ ahead1[[0, 2]])))
        if abs(angle) < 20:
            return None, f"the head turned by {angle:.0f} degrees only"
        return angle > 0, f"it turned by {angle:+.0f} degrees about +y"
    way = {RIGHT: np.array([1.0, 0, 0]), UP: np.array([0, 1.0, 0]), FORWARD: np.array([0, 0, -1.0])}[asked]
    if asked != UP:
        way = _rotate(q0, way) * np.array([1.0, 0, 1.0])
        way = way / max(float(np.linalg.norm(way)), 1e-9)
    went = p1 - p0
    far, along = float(np.linalg.norm(went)), float(went @ way)
    seen = ", ".join(f"{name} {value:+.2f}" for name, value in zip(AXES, went, strict=True))
    if far < 0.08:
        return None, f"the head moved by {100 * far:.0f} cm only"
    return along > 0.7 * far, f"it moved {seen} m"
