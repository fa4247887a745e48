"""Axes and rotations: from Unity's and SRanipal's to OpenXR (right-handed, +X right, +Y up, -Z forward).

Rules: reference table of conversions, checked by `tests/property/test_conversions.py`. All in float64;
whoever stores the result rounds it to float32 once.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gateway.sources.track import Floats


def unity_vector(vectors: npt.ArrayLike) -> Floats:
    """A position, direction or linear velocity from Unity: `(n, 3)` x y z -> (x, y, -z); its own inverse."""
    return np.asarray(vectors, np.float64) * (1.0, 1.0, -1.0)


def unity_quaternion(quaternions: npt.ArrayLike) -> Floats:
    """A rotation from Unity: `(n, 4)` qx qy qz qw -> (-qx, -qy, qz, qw); its own inverse."""
    return np.asarray(quaternions, np.float64) * (-1.0, -1.0, 1.0, 1.0)


def sranipal_vector(vectors: npt.ArrayLike) -> Floats:
    """A position or direction from SRanipal (+X to the user's left, +Z forward): x y z -> (-x, y, -z)."""
    return np.asarray(vectors, np.float64) * (-1.0, 1.0, -1.0)


def euler_zxy(angles: npt.ArrayLike) -> Floats:
    """The rotation about Z, then X, then Y (all fixed axes): the order in which Unity applies Euler angles.

    Args:
        angles: `(n, 3) float64`: about x, y, z, in radians.

    Returns:
        `(n, 4) float64: qx qy qz qw`, unit length, in the same axes.
    """
    half = np.asarray(angles, np.float64) / 2.0
    sx, sy, sz = np.sin(half).T
    cx, cy, cz = np.cos(half).T
    return np.stack(
        (
            cy * sx * cz + sy * cx * sz,
            sy * cx * cz - cy * sx * sz,
            cy * cx * sz - sy * sx * cz,
            cy * cx * cz + sy * sx * sz,
        ),
        axis=1,
    )


def unity_euler(degrees: npt.ArrayLike) -> Floats:
    """A rotation that Unity shows as Euler angles.

    A recording of angles leaves the sign of the quaternion open: the one with w >= 0 is chosen, and zeros
    are positive, so that equal angles give equal bits.

    Args:
        degrees: `(n, 3)`: about x, y, z, in degrees.

    Returns:
        `(n, 4) float64: qx qy qz qw`, OpenXR axes, w >= 0.
    """
    with np.errstate(invalid="ignore"):  # an infinite angle becomes NaN, which the reader says is not valid
        rotation = unity_quaternion(euler_zxy(np.radians(np.asarray(degrees, np.float64))))
    signed: Floats = np.where(rotation[:, 3:] < 0, -rotation, rotation) + 0.0
    return signed


def multiply(a: Floats, b: Floats) -> Floats:
    """Quaternion product `a b` of `(n, 4)` arrays in xyzw order: first `b`, then `a`."""
    ax, ay, az, aw = a.T
    bx, by, bz, bw = b.T
    return np.stack(
        (
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
            aw * bw - ax * bx - ay * by - az * bz,
        ),
        axis=1,
    )


def conjugate(quaternions: Floats) -> Floats:
    """The inverse rotation of unit quaternions `(n, 4)` in xyzw order."""
    return quaternions * (-1.0, -1.0, -1.0, 1.0)
