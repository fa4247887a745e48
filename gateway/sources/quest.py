"""Head and two controllers of a Quest at 90 Hz: CSV with Unity axes, made from a game's replay."""

from __future__ import annotations

import numpy as np

from gateway.sources import axes
from gateway.sources.table import Table
from gateway.sources.track import HEAD, LEFT, RIGHT, Recording, pose_track, span_ns, timing
from gateway.wire import kinds

SIGNATURE = "t_s,fps,head_px,"
"""How the header line begins."""

_TRACKERS = (("head", "head", HEAD), ("left", "left_hand", LEFT), ("right", "right_hand", RIGHT))
_COLUMNS = ("px", "py", "pz", "qx", "qy", "qz", "qw")


def read(name: str, text: str) -> Recording:
    """Read a Quest recording.

    Numbers are parsed as float64, turned into OpenXR axes by changing signs, and rounded to float32: what
    the game wrote as float32 comes out as the same float32. Times are the game's audio clock, so they stand
    still and jump.

    Args:
        name: what the caller calls it.
        text: the CSV.

    Returns:
        Three pose tracks. Facts: `rows`, `repeated` (rows in which no pose changed), `gaps`, `standing`,
        `backwards`.

    Raises:
        LocalError: `recording`, with the line.
    """
    wanted = [f"{prefix}_{column}" for prefix, _, _ in _TRACKERS for column in _COLUMNS]
    table = Table(text, ",", ["t_s", *wanted])
    times = table.seconds_ns("t_s")
    tracks = []
    held = np.ones(len(times), np.bool_)
    for prefix, track, tracker in _TRACKERS:
        numbers = table.floats(*(f"{prefix}_{column}" for column in _COLUMNS))
        made = pose_track(
            track,
            tracker,
            times,
            axes.unity_vector(numbers[:, :3]),
            axes.unity_quaternion(numbers[:, 3:]),
            np.ones(len(times), np.bool_),
        )
        held &= (made.samples["flags"] & kinds.HELD) != 0
        tracks.append(made)
    return Recording(
        name, tracks, span_ns(times), {"rows": len(times), "repeated": int(held.sum()), **timing(times)}
    )
