"""Axes and rotations: the rules are their own inverses, and they mean the same motion in both systems."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gateway.sources import axes
from tests.independent import euler_matrix

Floats = npt.NDArray[np.float64]

numbers = st.floats(-1000, 1000, allow_nan=False, width=32)
vectors = arrays(np.float64, (5, 3), elements=numbers)
quaternions = arrays(np.float64, (5, 4), elements=st.floats(-1, 1, allow_nan=False)).filter(
    lambda q: bool((np.linalg.norm(q, axis=1) > 0.1).all())
)
angles = arrays(np.float64, (5, 3), elements=st.floats(-720, 720, allow_nan=False))

MIRROR = np.diag((1.0, 1.0, -1.0))
"""Unity's axes to OpenXR's: one axis turned round, so that handedness changes."""

TURN = np.diag((-1.0, 1.0, -1.0))
"""SRanipal's axes to OpenXR's: a half turn about Y; both are right-handed."""


def unit(q: Floats) -> Floats:
    return q / np.linalg.norm(q, axis=1)[:, None]


def matrix(q: Floats) -> Floats:
    """The rotation matrix of one unit quaternion in xyzw order, from the definition `q v q*`."""
    x, y, z, w = q
    v = np.array((x, y, z))
    cross = np.array(((0, -z, y), (z, 0, -x), (-y, x, 0)))
    return (w * w - v @ v) * np.eye(3) + 2 * np.outer(v, v) + 2 * w * cross


@given(vectors)
def test_unity_vectors_there_and_back(v: Floats) -> None:
    assert axes.unity_vector(axes.unity_vector(v)).tobytes() == v.tobytes()


@given(quaternions)
def test_unity_quaternions_there_and_back(q: Floats) -> None:
    assert axes.unity_quaternion(axes.unity_quaternion(q)).tobytes() == q.tobytes()


@given(vectors)
def test_there_and_back_as_float32_is_exact(v: Floats) -> None:
    there = axes.unity_vector(v).astype(np.float32)
    assert axes.unity_vector(there).astype(np.float32).tobytes() == v.astype(np.float32).tobytes()


@given(vectors)
def test_vectors_follow_the_axes(v: Floats) -> None:
    assert (axes.unity_vector(v) == v @ MIRROR).all()
    assert (axes.sranipal_vector(v) == v @ TURN).all()


@given(quaternions, vectors)
def test_turning_and_changing_axes_commute(q: Floats, v: Floats) -> None:
    q = unit(q)
    for turn, vector in zip(q, v, strict=True):
        in_unity = matrix(turn) @ vector
        there = matrix(axes.unity_quaternion([turn])[0]) @ axes.unity_vector([vector])[0]
        assert np.allclose(there, axes.unity_vector([in_unity])[0], rtol=0, atol=1e-9)


@given(angles)
def test_euler_angles_apply_about_z_then_x_then_y(degrees: Floats) -> None:
    turns = axes.euler_zxy(np.radians(degrees))
    for (x, y, z), q in zip(degrees, turns, strict=True):
        rx, ry, rz = np.radians((x, y, z))
        about_x = np.array(((1, 0, 0), (0, np.cos(rx), -np.sin(rx)), (0, np.sin(rx), np.cos(rx))))
        about_y = np.array(((np.cos(ry), 0, np.sin(ry)), (0, 1, 0), (-np.sin(ry), 0, np.cos(ry))))
        about_z = np.array(((np.cos(rz), -np.sin(rz), 0), (np.sin(rz), np.cos(rz), 0), (0, 0, 1)))
        expected = about_y @ about_x @ about_z
        assert np.allclose(matrix(q), expected, rtol=0, atol=1e-12)
        assert np.allclose(euler_matrix(x, y, z), expected, rtol=0, atol=1e-12)


@given(angles)
def test_unity_euler_angles_in_openxr_axes(degrees: Floats) -> None:
    turns = axes.unity_euler(degrees)
    assert (turns[:, 3] >= 0).all()
    assert not np.signbit(turns[turns == 0]).any()
    for (x, y, z), q in zip(degrees, turns, strict=True):
        assert np.allclose(matrix(q), MIRROR @ np.array(euler_matrix(x, y, z)) @ MIRROR, rtol=0, atol=1e-12)


def test_unity_euler_angles_mean_what_unity_says() -> None:
    ahead = np.array((0.0, 0.0, -1.0))
    # Unity: a positive yaw looks right, a positive pitch looks down, a positive roll tips to the left.
    yaw, pitch, roll = (matrix(q) for q in axes.unity_euler([(0, 90, 0), (90, 0, 0), (0, 0, 90)]))
    assert np.allclose(yaw @ ahead, (1, 0, 0), atol=1e-12)
    assert np.allclose(pitch @ ahead, (0, -1, 0), atol=1e-12)
    assert np.allclose(roll @ (0.0, 1.0, 0.0), (-1, 0, 0), atol=1e-12)


@given(quaternions, quaternions)
def test_a_product_is_one_turn_after_the_other(a: Floats, b: Floats) -> None:
    a, b = unit(a), unit(b)
    both = axes.multiply(a, b)
    for first, second, one in zip(b, a, both, strict=True):
        assert np.allclose(matrix(one), matrix(second) @ matrix(first), rtol=0, atol=1e-12)


@given(quaternions)
def test_a_conjugate_turns_back(q: Floats) -> None:
    q = unit(q)
    assert np.allclose(axes.multiply(q, axes.conjugate(q)), (0, 0, 0, 1), rtol=0, atol=1e-12)
