"""How simulated people move: sways, reaches and turns as functions of time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gateway.sources import axes
from gateway.sources.track import Floats

_STEP_S = 0.0005
"""Half a millisecond either way, for the difference that gives angular velocity: small against any motion
here, large against rounding in float64."""


@dataclass(frozen=True, slots=True, eq=False)
class Sway:
    """A sum of sinusoids in three axes: smooth, bounded, and known at any time without a past.

    Args:
        amplitude: `(m, 3)`, in the unit of what sways.
        frequency_hz: `(m, 3)`.
        phase_rad: `(m, 3)`.
    """

    amplitude: Floats
    frequency_hz: Floats
    phase_rad: Floats

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        terms: int,
        amplitude: tuple[float, float],
        frequency_hz: tuple[float, float],
    ) -> Sway:
        """Draw one, uniformly within the two ranges."""
        return cls(
            rng.uniform(*amplitude, (terms, 3)),
            rng.uniform(*frequency_hz, (terms, 3)),
            rng.uniform(0.0, 2.0 * np.pi, (terms, 3)),
        )

    def at(self, t_s: Floats) -> Floats:
        """`(n, 3)` values at `(n,)` seconds."""
        value: Floats = (self.amplitude * np.sin(self._angle(t_s))).sum(axis=1)
        return value

    def rate(self, t_s: Floats) -> Floats:
        """`(n, 3)` derivative, in the unit of what sways a second."""
        value: Floats = (2.0 * np.pi * self.frequency_hz * self.amplitude * np.cos(self._angle(t_s))).sum(
            axis=1
        )
        return value

    def _angle(self, t_s: Floats) -> Floats:
        angle: Floats = 2.0 * np.pi * self.frequency_hz * t_s[:, None, None] + self.phase_rad
        return angle


def minimum_jerk(t_s: Floats, start_s: float, length_s: float) -> tuple[Floats, Floats]:
    """How far a movement has come: the smoothest path from rest to rest (Flash and Hogan, 1985).

    Args:
        t_s: `(n,)` seconds.
        start_s: when it starts.
        length_s: how long it lasts, above 0.

    Returns:
        `(n,)` share of the way, 0 before and 1 after; and its derivative per second (at most 1.875 / length).
    """
    u = np.clip((t_s - start_s) / length_s, 0.0, 1.0)
    share: Floats = u**3 * (10.0 - 15.0 * u + 6.0 * u**2)
    rate: Floats = 30.0 * u**2 * (1.0 - u) ** 2 / length_s
    return share, rate


def angular_velocity(orientation: Callable[[Floats], Floats], t_s: Floats) -> Floats:
    """`(n, 3)` rad/s, in the base space as in OpenXR, of an orientation given as a function of seconds."""
    turn = axes.multiply(orientation(t_s + _STEP_S), axes.conjugate(orientation(t_s - _STEP_S)))
    turn = np.where(turn[:, 3:] < 0, -turn, turn)
    # For a small turn the vector part of the quaternion is half the angle.
    velocity: Floats = turn[:, :3] / _STEP_S
    return velocity
