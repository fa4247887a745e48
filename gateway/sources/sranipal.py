"""Both eyes of a VIVE Pro Eye at 120 Hz and the head pose beside them: SRanipal's fields as text."""

from __future__ import annotations

import numpy as np

from gateway.ids import U32_MAX
from gateway.sources import axes
from gateway.sources.table import Table
from gateway.sources.track import HEAD, Recording, Times, Track, pose_track, repeats, span_ns, timing
from gateway.wire import kinds

SIGNATURE = "time(100ns);time_stamp(ms);"
"""How the header line begins."""

_ALL_VALID = 31
_MS_MAX = 2**40
"""Far more than any device clock in milliseconds (34 years), and small enough for nanoseconds in an i64."""

_MM = 1000.0
_EYES = (("left", "L"), ("right", "R"))
_HELMET = ("helmet_pos_x", "helmet_pos_y", "helmet_pos_z", "helmet_rot_x", "helmet_rot_y", "helmet_rot_z")


def _triple(name: str, side: str, unit: str = "") -> tuple[str, str, str]:
    return f"{name}_{side}.x{unit}", f"{name}_{side}.y{unit}", f"{name}_{side}.z{unit}"


def _columns() -> list[str]:
    wanted = ["time(100ns)", "time_stamp(ms)", "frame", "distance_valid_C", "distance_C(mm)", *_HELMET]
    for _, side in _EYES:
        wanted += [f"eye_valid_{side}", f"openness_{side}", f"pupil_diameter_{side}(mm)"]
        wanted += [*_triple("gaze_origin", side, "(mm)"), *_triple("gaze_direct", side)]
    return wanted


def read(name: str, text: str) -> Recording:
    """Read a VIVE Pro Eye recording.

    `t_capture_ns` is the device's clock (`time_stamp(ms)`, signed, steps of 1 ms), also for the head pose,
    which the recorder sampled at its own pace and held between eye samples: rows that repeat are marked
    `HELD`. A head pose of six zeros is the app's default for a pose that it does not have, so neither part
    is said to be valid.

    Args:
        name: what the caller calls it.
        text: the recording.

    Returns:
        A gaze track (see `_gaze`) and a head track. Facts: `rows`; `duplicates` (frame number not above the
        one before, equal), `duplicates_differing` (of those, rows whose eye data differ), `single_drops`,
        `double_drops`, `longer_drops`, `dropped` (frames missing in all), `frame_backwards`; `repeated`
        (head poses held); `left_invalid`, `right_invalid` (rows with any bit cleared); `gaps`, `standing`,
        `backwards` of the device clock; `device_span_ns`, `host_span_ns`.

    Raises:
        LocalError: `recording`, with the line.
    """
    table = Table(text, ";", _columns())
    times = table.integers("time_stamp(ms)", -_MS_MAX, _MS_MAX) * 1_000_000
    host = table.integers("time(100ns)", 0, 2**63 - 1)
    gaze, frames = _gaze(table, times)
    helmet = table.floats(*_HELMET)
    head = pose_track(
        "head",
        HEAD,
        times,
        axes.unity_vector(helmet[:, :3]),
        axes.unity_euler(helmet[:, 3:]),
        (helmet != 0).any(axis=1),
    )
    facts = {
        "rows": len(table),
        **frames,
        "repeated": head.observations["held"],
        **timing(times),
        "device_span_ns": span_ns(times),
        "host_span_ns": span_ns(host) * 100,
    }
    return Recording(name, [gaze, head], span_ns(times), facts)


def _gaze(table: Table, times: Times) -> tuple[Track, dict[str, int]]:
    """The gaze track, and what its frame numbers and bits show.

    Numbers are stored as SRanipal gave them, in OpenXR axes and metres: a pupil of -1 and a direction of
    zeros are what it writes for "none", and its bits (0 to 4, in the order of ours) say so. A bit over a
    number that is not finite is cleared, because no gateway takes such a sample. The file has no combined
    gaze and no confidence: NaN, bits cleared.
    Vergence has no bit: NaN unless the file says that the distance is valid.
    """
    samples = np.zeros(len(times), kinds.GAZE_DTYPE)
    samples["t_capture_ns"] = times
    samples["device_seq"] = table.integers("frame", 0, U32_MAX)
    facts: dict[str, int] = {}
    with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite, and so not valid
        for eye, side in _EYES:
            origin = table.floats(*_triple("gaze_origin", side, "(mm)"))
            samples[eye]["origin_m"] = axes.sranipal_vector(origin) / _MM
            samples[eye]["direction"] = axes.sranipal_vector(table.floats(*_triple("gaze_direct", side)))
            samples[eye]["pupil_mm"] = table.floats(f"pupil_diameter_{side}(mm)")[:, 0]
            samples[eye]["openness"] = table.floats(f"openness_{side}")[:, 0]
            flags = table.integers(f"eye_valid_{side}", 0, _ALL_VALID).astype(np.uint16)
            for field, bit in (
                ("origin_m", kinds.EYE_ORIGIN_VALID),
                ("direction", kinds.EYE_DIRECTION_VALID),
                ("pupil_mm", kinds.EYE_PUPIL_VALID),
                ("openness", kinds.EYE_OPENNESS_VALID),
            ):
                finite = np.isfinite(samples[eye][field].reshape(len(samples), -1)).all(axis=1)
                flags[~finite] &= np.uint16(0xFFFF ^ bit)
            samples[f"flags_{eye}"] = flags
            facts[f"{eye}_invalid"] = int((flags != _ALL_VALID).sum())
        distance = table.floats("distance_C(mm)")[:, 0] / _MM
        samples["vergence_m"] = np.where(table.booleans("distance_valid_C"), distance, np.nan)
    samples["combined_origin_m"] = np.nan
    samples["combined_direction"] = np.nan
    samples["confidence"] = np.nan
    steps = np.diff(samples["device_seq"].astype(np.int64))
    again = steps == 0
    differing = again & ~repeats(samples, "flags_left", "flags_right", "left", "right")[1:]
    facts |= {
        "duplicates": int(again.sum()),
        "duplicates_differing": int(differing.sum()),
        "single_drops": int((steps == 2).sum()),
        "double_drops": int((steps == 3).sum()),
        "longer_drops": int((steps > 3).sum()),
        "dropped": int((steps[steps > 1] - 1).sum()),
        "frame_backwards": int((steps < 0).sum()),
    }
    return Track(
        "gaze",
        kinds.GAZE,
        samples,
        {k: facts[k] for k in ("left_invalid", "right_invalid", "duplicates", "dropped")},
    ), facts
