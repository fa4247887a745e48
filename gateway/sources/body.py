"""A simulated person's head and hands at 90 Hz, what they touch, and when the headset loses sight of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.sources import axes
from gateway.sources.motion import Sway, angular_velocity, minimum_jerk
from gateway.sources.track import (
    EVENT_SIMPLE,
    EVENT_TRANSIENT,
    HEAD,
    LEFT,
    MINIMUM_DURATION,
    RIGHT,
    SPACE_STAGE,
    Bools,
    Floats,
    Times,
)
from gateway.wire import kinds

SCENE_S = 4
"""Whatever happens happens inside a scene of this length, so that a scene can be made without those before."""

REACH_CHANCE = 0.6
HAND_LOSS_CHANCE = 0.12
HEAD_LOSS_CHANCE = 0.02

_ALL = (
    kinds.POSITION_VALID
    | kinds.ORIENTATION_VALID
    | kinds.POSITION_TRACKED
    | kinds.ORIENTATION_TRACKED
    | kinds.LINEAR_VELOCITY_VALID
    | kinds.ANGULAR_VELOCITY_VALID
)


@dataclass(frozen=True, slots=True, eq=False)
class Reach:
    """A hand goes out to something, touches it, and comes back; seconds from the scene's start.

    Longest: 1.0 + 0.9 + 0.6 + 0.9 s, so it ends inside the scene. Fastest: 0.59 m in 0.5 s, 2.2 m/s at its
        peak.
    """

    start_s: float
    out_s: float
    hold_s: float
    back_s: float
    offset_m: Floats
    strength: float
    pitch_hz: float

    @property
    def touch_s(self) -> float:
        """When the hand arrives."""
        return self.start_s + self.out_s


@dataclass(frozen=True, slots=True)
class Loss:
    """A tracker is out of sight: first its position is guessed, then there is none; seconds in the scene."""

    start_s: float
    guessed_s: float
    gone_s: float


@dataclass(frozen=True, slots=True, eq=False)
class BodyScene:
    """What one scene holds for one tracker; either may be absent."""

    reach: Reach | None
    loss: Loss | None

    @classmethod
    def draw(cls, rng: np.random.Generator, tracker: int) -> BodyScene:
        """Draw a scene; the number of draws does not depend on what happens."""
        chances = rng.uniform(size=2)
        reach = Reach(
            start_s=float(rng.uniform(0.2, 1.0)),
            out_s=float(rng.uniform(0.5, 0.9)),
            hold_s=float(rng.uniform(0.2, 0.6)),
            back_s=float(rng.uniform(0.5, 0.9)),
            offset_m=rng.uniform((-0.15, 0.0, -0.45), (0.15, 0.35, -0.2)),
            strength=float(rng.uniform(0.3, 0.9)),
            pitch_hz=float(rng.uniform(80.0, 250.0)),
        )
        loss = Loss(float(rng.uniform(0.3, 1.5)), float(rng.uniform(0.2, 0.6)), float(rng.uniform(0.1, 0.8)))
        lost = chances[1] < (HEAD_LOSS_CHANCE if tracker == HEAD else HAND_LOSS_CHANCE)
        reaches = tracker != HEAD and chances[0] < REACH_CHANCE
        return cls(reach if reaches else None, loss if lost else None)


class Tracker:
    """Head or hand of one person: where it is at rest, how it sways, how it turns.

    Args:
        rng: draws the person's habits.
        tracker: `HEAD`, `LEFT` or `RIGHT`.
        eye_height_m: of the person.
    """

    def __init__(self, rng: np.random.Generator, tracker: int, eye_height_m: float) -> None:
        self.tracker = tracker
        if tracker == HEAD:
            self._rest = np.array((0.0, eye_height_m, 0.0))
            self._sway = Sway.draw(rng, 3, (0.002, 0.012), (0.08, 0.6))
            self._turn = Sway.draw(rng, 3, (0.02, 0.12), (0.04, 0.35))
        else:
            side = -1.0 if tracker == LEFT else 1.0
            self._rest = np.array((side * 0.22, eye_height_m - 0.55, -0.25))
            self._sway = Sway.draw(rng, 3, (0.003, 0.02), (0.1, 0.9))
            self._turn = Sway.draw(rng, 3, (0.03, 0.15), (0.08, 0.7))

    def render(self, times_ns: Times, scene_start_s: int, scene: BodyScene) -> kinds.Samples:
        """Samples of one scene.

        Args:
            times_ns: `(n,) int64`, all inside the scene.
            scene_start_s: where the scene starts.
            scene: what happens in it.

        Returns:
            `(n,)` of the pose dtype. While a loss lasts: first position guessed (valid, not tracked, no
            linear velocity), then position and both velocities not valid, NaN; the orientation stays, from
            the inertial unit.
        """
        t_s = times_ns / 1e9
        samples = np.zeros(len(times_ns), kinds.POSE_DTYPE)
        samples["t_capture_ns"] = times_ns
        samples["tracker"] = self.tracker
        samples["space"] = SPACE_STAGE
        position = self._rest + self._sway.at(t_s)
        velocity = self._sway.rate(t_s)
        if scene.reach is not None:
            share, rate = _reached(scene.reach, t_s - scene_start_s)
            position = position + share[:, None] * scene.reach.offset_m
            velocity = velocity + rate[:, None] * scene.reach.offset_m

        def orientation(at_s: Floats) -> Floats:
            angles = self._turn.at(at_s)
            if scene.reach is not None:
                angles[:, 0] += 0.5 * _reached(scene.reach, at_s - scene_start_s)[0]
            return axes.euler_zxy(angles)

        samples["position_m"] = position
        samples["linear_velocity"] = velocity
        samples["orientation"] = orientation(t_s)
        samples["angular_velocity"] = angular_velocity(orientation, t_s)
        samples["flags"] = _ALL
        if scene.loss is not None:
            _lose(samples, t_s - scene_start_s, scene.loss)
        return samples


def _reached(reach: Reach, t_s: Floats) -> tuple[Floats, Floats]:
    out, out_rate = minimum_jerk(t_s, reach.start_s, reach.out_s)
    back, back_rate = minimum_jerk(t_s, reach.touch_s + reach.hold_s, reach.back_s)
    return out - back, out_rate - back_rate


def _lose(samples: kinds.Samples, t_s: Floats, loss: Loss) -> None:
    gone_at = loss.start_s + loss.guessed_s
    guessed: Bools = (t_s >= loss.start_s) & (t_s < gone_at)
    gone: Bools = (t_s >= gone_at) & (t_s < gone_at + loss.gone_s)
    samples["flags"][guessed] &= np.uint16(0xFFFF ^ (kinds.POSITION_TRACKED | kinds.LINEAR_VELOCITY_VALID))
    samples["flags"][gone] = kinds.ORIENTATION_VALID | kinds.ORIENTATION_TRACKED
    samples["linear_velocity"][guessed | gone] = np.nan
    for field in ("position_m", "angular_velocity"):
        samples[field][gone] = np.nan


def touches(scenes: dict[int, BodyScene], scene_start_s: int) -> kinds.Samples:
    """Haptic events of one scene: each touch gives a transient, then a buzz while the hand holds on.

    Args:
        scenes: hand -> its scene.
        scene_start_s: where the scene starts.

    Returns:
        `(n,)` of the haptic dtype, in the order of time.
    """
    events: list[tuple[int, int, float, float, int, int, int, int]] = []
    for hand in (LEFT, RIGHT):
        reach = scenes[hand].reach
        if reach is None:
            continue
        at_ns = scene_start_s * 1_000_000_000 + round(reach.touch_s * 1e9)
        hold_ns = round(reach.hold_s * 1e9)
        events.append((at_ns, MINIMUM_DURATION, reach.pitch_hz, reach.strength, hand, EVENT_TRANSIENT, 0, 0))
        events.append((at_ns, hold_ns, reach.pitch_hz, reach.strength / 2, hand, EVENT_SIMPLE, 0, 0))
    events.sort(key=lambda event: event[0])
    return np.array(events, kinds.HAPTIC_DTYPE)
