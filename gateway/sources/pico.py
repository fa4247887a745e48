"""Head, controllers and combined gaze of a Pico Neo 3 Pro at 90 Hz: TSV, Unity axes, Euler degrees."""

from __future__ import annotations

import numpy as np

from gateway.sources import axes
from gateway.sources.table import Table
from gateway.sources.track import (
    HEAD,
    LEFT,
    RIGHT,
    Bools,
    Floats,
    Recording,
    Times,
    Track,
    pose_track,
    span_ns,
    timing,
)
from gateway.wire import kinds

SIGNATURE = "\tTimeline\tHead Position. x\t"
"""What the header line holds; the columns before it name persons and are not read."""

_TRACKERS = (
    ("Head", "head", HEAD),
    ("Controller Left", "left_hand", LEFT),
    ("Controller Right", "right_hand", RIGHT),
)
_OPENNESS_STATED = 1 << 2
"""Bit of the eye's pose status that says that the openness is valid (Pico SDK, `kEyeOpennessValid`)."""

_GAZE = (
    "Eye Left Blinking",
    "Eye Right Blinking",
    "Left Eye Gaze Openness",
    "Right Eye Gaze Openness",
    "Left Eye Pose Status",
    "Right Eye Pose Status",
)


def _triple(name: str) -> tuple[str, str, str]:
    return f"{name}. x", f"{name}. y", f"{name}. z"


def read(name: str, text: str) -> Recording:
    """Read a Pico recording.

    Angles become quaternions in float64 (about Z, then X, then Y), change axes, and are rounded to float32.
    Poses are sampled and held by the app: rows that repeat are marked `HELD`. A pose of six zeros is the
    app's default for a tracker it has no pose of, so neither part is said to be valid.

    Args:
        name: what the caller calls it.
        text: the TSV.

    Returns:
        Three pose tracks and one gaze track (see `_gaze`). Facts: `rows`, `repeated` (rows in which no pose
        changed), `gaps`, `standing`, `backwards`.

    Raises:
        LocalError: `recording`, with the line.
    """
    wanted = ["Timeline", *_GAZE, *_triple("Combine Eye Gaze Point"), *_triple("Combine Eye Gaze Vector")]
    for prefix, _, _ in _TRACKERS:
        wanted += [*_triple(f"{prefix} Position"), *_triple(f"{prefix} Rotation")]
    table = Table(text, "\t", wanted)
    times = table.seconds_ns("Timeline")
    tracks = []
    held = np.ones(len(times), np.bool_)
    for prefix, track, tracker in _TRACKERS:
        position = table.floats(*_triple(f"{prefix} Position"))
        degrees = table.floats(*_triple(f"{prefix} Rotation"))
        stated = (position != 0).any(axis=1) | (degrees != 0).any(axis=1)
        made = pose_track(
            track, tracker, times, axes.unity_vector(position), axes.unity_euler(degrees), stated
        )
        held &= (made.samples["flags"] & kinds.HELD) != 0
        tracks.append(made)
    tracks.append(_gaze(table, times))
    return Recording(
        name, tracks, span_ns(times), {"rows": len(times), "repeated": int(held.sum()), **timing(times)}
    )


def _gaze(table: Table, times: Times) -> Track:
    """The gaze track: combined origin and direction in the head's axes, openness and blinks for each eye.

    The file has no gaze, origin or pupil for each eye, no vergence and no confidence: NaN, bits cleared. The
    SDK writes zeros for a combined gaze that it lost: they are stored, their bits cleared.
    """
    samples = np.zeros(len(times), kinds.GAZE_DTYPE)
    samples["t_capture_ns"] = times
    samples["device_seq"] = np.arange(len(times))
    for eye in ("left", "right"):
        for field in ("origin_m", "direction", "pupil_mm"):
            samples[eye][field] = np.nan
    samples["vergence_m"] = np.nan
    samples["confidence"] = np.nan
    flags = {}
    for eye, side in (("left", "Left"), ("right", "Right")):
        with np.errstate(over="ignore"):
            samples[eye]["openness"] = table.floats(f"{side} Eye Gaze Openness")[:, 0]
        open_stated = (table.integers(f"{side} Eye Pose Status", 0, 0xFFFF_FFFF) & _OPENNESS_STATED) != 0
        flags[eye] = np.zeros(len(times), np.uint16)
        flags[eye][open_stated & np.isfinite(samples[eye]["openness"])] |= kinds.EYE_OPENNESS_VALID
        flags[eye][table.booleans(f"Eye {side} Blinking")] |= kinds.EYE_BLINK
    point = table.floats(*_triple("Combine Eye Gaze Point"))
    vector = table.floats(*_triple("Combine Eye Gaze Vector"))
    with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite, and so not valid
        samples["combined_origin_m"] = axes.unity_vector(point)
        samples["combined_direction"] = axes.unity_vector(vector)
    seen = _present(vector)
    flags["left"][seen] |= kinds.COMBINED_DIRECTION_VALID
    flags["left"][_present(point)] |= kinds.COMBINED_ORIGIN_VALID
    samples["flags_left"] = flags["left"]
    samples["flags_right"] = flags["right"]
    blinks = ((flags["left"] | flags["right"]) & kinds.EYE_BLINK) != 0
    return Track("gaze", kinds.GAZE, samples, {"invalid": int((~seen).sum()), "blinking": int(blinks.sum())})


def _present(vectors: Floats) -> Bools:
    """`(n,)`: finite as float32, and not the three zeros that the SDK writes for "none"."""
    with np.errstate(over="ignore"):
        finite = np.isfinite(vectors.astype(np.float32)).all(axis=1)
    present: Bools = finite & (vectors != 0).any(axis=1)
    return present
