"""What a reader gives: tracks of samples, and what it noticed on the way."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gateway.errors import LocalError
from gateway.wire import kinds

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Times = npt.NDArray[np.int64]

HEAD = 0
LEFT = 1
RIGHT = 2
"""Numbers of the trackers in a pose; a haptic event's target uses the same."""

SPACE_VIEW = 0
SPACE_LOCAL = 1
SPACE_LOCAL_FLOOR = 2
SPACE_STAGE = 3
SPACE_UNBOUNDED = 4
"""Reference spaces of a pose, in the order in which the record's description lists them."""

GAP_FACTOR = 1.5
"""A step longer than this many median steps counts as a gap."""

EVENT_SIMPLE = 0
EVENT_TRANSIENT = 1
EVENT_STOP = 2
"""Values of a haptic sample's `event`, in the order in which the record's description lists them."""

MINIMUM_DURATION = -1
"""`duration_ns` of a haptic event that is as short as the actuator can make it (OpenXR,
XR_MIN_HAPTIC_DURATION)."""


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One stream's worth of samples.

    Args:
        name: `head`, `left_hand`, `right_hand`, `gaze` or `haptic`.
        kind: number of the kind (`wire/kinds`).
        samples: `(n,)` of the kind's dtype: OpenXR axes, metres, nanoseconds of the device's clock.
        observations: what is odd about this track, by word: `held`, `invalid`, `duplicates`, ... -> count of
            samples.
    """

    name: str
    kind: int
    samples: kinds.Samples
    observations: dict[str, int] = field(default_factory=dict)

    @property
    def times_ns(self) -> Times:
        """`(n,) int64`: capture times, for the pace of a replay. They may stand still or run backwards."""
        times: Times = self.samples["t_capture_ns"]
        return times


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """A recording, read whole.

    Faults in a recording are data: they arrive as they are, flagged, never repaired.

    Args:
        name: what the caller calls it.
        tracks: its tracks.
        duration_ns: from the earliest to the latest moment of any track, a haptic event's length included.
        facts: what the reader counted, by word: `rows`, `repeated`, `gaps`, `dropped`, ...
    """

    name: str
    tracks: list[Track]
    duration_ns: int
    facts: dict[str, int]


def refuse(message: str, hint: str) -> LocalError:
    """The one error of this room: a recording that is not what it should be."""
    return LocalError("recording", message, hint)


def span_ns(times_ns: Times) -> int:
    """From the earliest to the latest of `(n,) int64` times in nanoseconds; 0 for none."""
    return int(times_ns.max() - times_ns.min()) if len(times_ns) else 0


def timing(times_ns: Times) -> dict[str, int]:
    """Count what is odd in the pace of a recording.

    Args:
        times_ns: `(n,) int64` capture times in the order of the rows.

    Returns:
        `gaps` (steps over 1.5 median steps), `standing` (steps of zero), `backwards` (negative steps).
    """
    steps = np.diff(times_ns)
    if not len(steps):
        return {"gaps": 0, "standing": 0, "backwards": 0}
    return {
        "gaps": int((steps > GAP_FACTOR * np.median(steps)).sum()),
        "standing": int((steps == 0).sum()),
        "backwards": int((steps < 0).sum()),
    }


def pose_track(
    name: str, tracker: int, times_ns: Times, position: Floats, orientation: Floats, stated: Bools
) -> Track:
    """Make a pose track of a recording that has positions and orientations only.

    No recording says whether the runtime measured or inferred a pose, so no `tracked` bit is set; a value is
    said to be valid where `stated` allows it, its numbers are finite and its quaternion is not all zero.
    Velocities are not in the recordings: NaN, bits cleared. A row that repeats the one before it bit for bit
    is marked `HELD`.

    Args:
        name: name of the track.
        tracker: its number.
        times_ns: `(n,) int64`.
        position: `(n, 3) float64`, metres, OpenXR axes; rounded to float32 here.
        orientation: `(n, 4) float64: qx qy qz qw`, OpenXR axes; rounded to float32 here.
        stated: `(n,)`: False where the recording itself shows that there was no pose.
    """
    samples = np.zeros(len(times_ns), kinds.POSE_DTYPE)
    samples["t_capture_ns"] = times_ns
    samples["tracker"] = tracker
    samples["space"] = SPACE_STAGE
    with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite, and so not valid
        samples["position_m"] = position
        samples["orientation"] = orientation
    samples["linear_velocity"] = np.nan
    samples["angular_velocity"] = np.nan
    placed = stated & np.isfinite(samples["position_m"]).all(axis=1)
    turned = (
        stated & np.isfinite(samples["orientation"]).all(axis=1) & (samples["orientation"] != 0).any(axis=1)
    )
    held = repeats(samples, "position_m", "orientation")
    flags = np.zeros(len(samples), np.uint16)
    for mask, bit in ((placed, kinds.POSITION_VALID), (turned, kinds.ORIENTATION_VALID), (held, kinds.HELD)):
        flags[mask] |= bit
    samples["flags"] = flags
    return Track(
        name, kinds.POSE, samples, {"held": int(held.sum()), "invalid": int((~(placed & turned)).sum())}
    )


def repeats(samples: kinds.Samples, *fields: str) -> Bools:
    """`(n,)`: a sample whose named fields are those of the sample before it, bit for bit."""
    same = np.zeros(len(samples), np.bool_)
    if len(samples) > 1:
        same[1:] = True
        for name in fields:
            size = samples.dtype.fields[name][0].itemsize if samples.dtype.fields else 0
            raw = np.ascontiguousarray(samples[name]).view(np.uint8).reshape(len(samples), size)
            same[1:] &= (raw[1:] == raw[:-1]).all(axis=1)
    return same
