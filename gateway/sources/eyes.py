"""A simulated person's eyes at 120 Hz: fixations, saccades, vergence, blinks and pupils.

Directions are relative to the head, whose axes are OpenXR's. Angles in here are in degrees, as the
literature has them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.sources.motion import Sway, minimum_jerk
from gateway.sources.track import Floats, Times
from gateway.wire import kinds

SACCADE_BASE_S = 0.021
SACCADE_S_PER_DEGREE = 0.0022
"""The main sequence: duration = 21 ms + 2.2 ms for each degree (Carpenter, 1988). With a minimum-jerk course
the peak velocity follows: 10 degrees give 436 degrees/s, and it saturates below 860."""

LAST_SACCADE_S = 3.85
"""Each scene ends with a saccade to where the next begins; the longest (50 degrees) takes 131 ms and fits."""

BLINK_MEAN = 1.1
"""Blinks in a scene of 4 s before overlapping ones are dropped: about 15 a minute."""

CLOSED_BELOW = 0.35
"""Openness under which no pupil can be seen: direction, pupil and combined direction are not valid."""

_GOOD = 3 << 6
_POOR = 1 << 6
_SEEN = kinds.EYE_DIRECTION_VALID | kinds.EYE_PUPIL_VALID | kinds.EYE_SENSOR_POSITION_VALID


@dataclass(frozen=True, slots=True)
class Saccade:
    """A jump of the eyes; seconds from the scene's start; change of yaw, pitch (degrees) and dioptres."""

    start_s: float
    length_s: float
    change: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Blink:
    """A blink; seconds from the scene's start."""

    start_s: float
    length_s: float


@dataclass(frozen=True, slots=True)
class EyeScene:
    """What the eyes do in one scene, beginning at `start` (yaw, pitch in degrees; dioptres)."""

    start: tuple[float, float, float]
    saccades: tuple[Saccade, ...]
    blinks: tuple[Blink, ...]

    @classmethod
    def draw(
        cls, rng: np.random.Generator, start: tuple[float, float, float], end: tuple[float, float, float]
    ) -> EyeScene:
        """Draw a scene that leads from one point of regard to another."""
        saccades: list[Saccade] = []
        here = start
        clock = 0.0
        while True:
            clock += float(np.clip(rng.lognormal(np.log(0.28), 0.35), 0.12, 1.0))
            if clock > 3.6:
                saccades.append(_saccade(LAST_SACCADE_S, here, end))
                break
            there = regard(rng)
            saccades.append(_saccade(clock, here, there))
            clock += saccades[-1].length_s
            here = there
        blinks: list[Blink] = []
        for at in sorted(rng.uniform(0.1, 3.5, min(3, int(rng.poisson(BLINK_MEAN))))):
            if not blinks or at > blinks[-1].start_s + 0.4:
                blinks.append(Blink(float(at), float(rng.uniform(0.14, 0.3))))
        return cls(start, tuple(saccades), tuple(blinks))


def regard(rng: np.random.Generator) -> tuple[float, float, float]:
    """Draw a point of regard: yaw and pitch in degrees (within 20 and 15), dioptres (4 m to 0.5 m)."""
    yaw = float(np.clip(rng.normal(0.0, 8.0), -20.0, 20.0))
    pitch = float(np.clip(rng.normal(-3.0, 5.0), -15.0, 15.0))
    return yaw, pitch, float(rng.uniform(0.25, 2.0))


def _saccade(start_s: float, here: tuple[float, float, float], there: tuple[float, float, float]) -> Saccade:
    change = (there[0] - here[0], there[1] - here[1], there[2] - here[2])
    degrees = float(np.hypot(change[0], change[1]))
    return Saccade(start_s, SACCADE_BASE_S + SACCADE_S_PER_DEGREE * degrees, change)


class Eyes:
    """The eyes of one person.

    Args:
        rng: draws what is this person's own: the distance of the pupils, their size, how wide the eyes are
            open.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._half_distance_m = float(rng.uniform(0.029, 0.034))
        self._pupil_mm = rng.uniform(3.0, 4.5) + rng.uniform(-0.1, 0.1, 2)
        self._open = rng.uniform(0.85, 0.98, 2)
        self._pupil_sway = Sway.draw(rng, 3, (0.02, 0.15), (0.03, 0.4))
        self._drift = Sway.draw(rng, 3, (0.005, 0.03), (0.3, 3.0))

    def render(self, times_ns: Times, first: int, scene_start_s: int, scene: EyeScene) -> kinds.Samples:
        """Samples of one scene.

        Args:
            times_ns: `(n,) int64`, all inside the scene.
            first: device's number of the first sample.
            scene_start_s: where the scene starts.
            scene: what happens in it.

        Returns:
            `(n,)` of the gaze dtype. In a blink: `EYE_BLINK` set; direction, pupil and vergence NaN, bits
            cleared.
        """
        t_s = times_ns / 1e9
        local_s = t_s - scene_start_s
        samples = np.zeros(len(times_ns), kinds.GAZE_DTYPE)
        samples["t_capture_ns"] = times_ns
        samples["device_seq"] = (first + np.arange(len(times_ns))) & 0xFFFF_FFFF
        point = np.repeat(np.array([scene.start]), len(t_s), axis=0)
        for saccade in scene.saccades:
            point = (
                point + minimum_jerk(local_s, saccade.start_s, saccade.length_s)[0][:, None] * saccade.change
            )
        point[:, :2] += self._drift.at(t_s)[:, :2]
        distance = 1.0 / point[:, 2]
        forward = _direction(np.radians(point[:, 0]), np.radians(point[:, 1]))
        target = forward * distance[:, None]
        lid = _lid(local_s, scene)
        closed = lid < CLOSED_BELOW
        pupil = self._pupil_sway.at(t_s)
        flags = np.full(len(t_s), kinds.EYE_ORIGIN_VALID | kinds.EYE_OPENNESS_VALID, np.uint16)
        flags[~closed] |= _SEEN | _GOOD
        flags[closed] |= kinds.EYE_BLINK | _POOR
        for number, eye in enumerate(("left", "right")):
            origin = np.array((self._half_distance_m * (-1.0, 1.0)[number], 0.0, 0.0))
            ray = target - origin
            record = samples[eye]
            record["origin_m"] = origin
            record["direction"] = ray / np.linalg.norm(ray, axis=1)[:, None]
            record["pupil_mm"] = self._pupil_mm[number] + pupil[:, 0]
            record["openness"] = self._open[number] * lid
            record["direction"][closed] = np.nan
            record["pupil_mm"][closed] = np.nan
            samples[f"flags_{eye}"] = flags
        samples["combined_direction"] = forward
        samples["combined_direction"][closed] = np.nan
        samples["vergence_m"] = np.where(closed, np.nan, distance)
        samples["confidence"] = lid
        samples["flags_left"] |= kinds.COMBINED_ORIGIN_VALID
        samples["flags_left"][~closed] |= kinds.COMBINED_DIRECTION_VALID
        return samples


def _direction(yaw: Floats, pitch: Floats) -> Floats:
    """`(n, 3)` unit vectors: yaw to the right, pitch up, in radians; 0, 0 is straight ahead (-Z)."""
    return np.stack((np.sin(yaw) * np.cos(pitch), np.sin(pitch), -np.cos(yaw) * np.cos(pitch)), axis=1)


def _lid(t_s: Floats, scene: EyeScene) -> Floats:
    """`(n,)` how far the lids are up, 0 closed to 1: down in a third of the blink, up more slowly."""
    lid = np.ones(len(t_s))
    for blink in scene.blinks:
        down = minimum_jerk(t_s, blink.start_s, blink.length_s * 0.35)[0]
        up = minimum_jerk(t_s, blink.start_s + blink.length_s * 0.45, blink.length_s * 0.55)[0]
        lid = lid - down + up
    return np.clip(lid, 0.0, 1.0)
