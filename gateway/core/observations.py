"""What the gateway notices about device time and values, without changing anything (VT1, "Sample records").

Each observation names a stretch of samples and a code. They are sealed beside the frames, not as leaves: they are our
remark, not the device's word.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from gateway.core.part import Observation
from gateway.wire import kinds

STUCK: Final = "stuck"  # device time stands still
BACKWARDS: Final = "backwards"  # device time runs backwards
CLOCK_STEP: Final = "clock_step"  # device time jumps ahead, between samples whose numbers follow each other
REPEATED: Final = "repeated"  # every value but the time is that of the sample before

STEP_NS: Final = 500_000_000  # the slowest regular stream has 30 Hz; a step of 15 periods is no jitter
MAX_OBSERVATIONS: Final = (
    256  # a stream's in one part; a device that misbehaves must not fill the vault with remarks
)

REGULAR: Final = frozenset(
    (kinds.POSE, kinds.GAZE, kinds.HAND, kinds.FACE_FB2, kinds.FACE_ARKIT, kinds.FACE_UNIFIED, kinds.FACE_HTC)
)
"""Kinds that are sampled at a rate; events may be far apart and alike."""

VALUES: Final = slice(8, None)
"""The bytes of a record that a repeated sample repeats: all behind its time."""
FIRST_VALUES: Final = slice(16, 20)
"""Bytes among them that move wherever something moves; only where they stand still the others are compared."""


def observe(
    stream: int, kind: int, numbers: list[tuple[int, int]], samples: list[bytes], last_ns: int
) -> tuple[list[Observation], int]:
    """Look at the samples of one stream in one part.

    Args:
        stream: its number.
        kind: its kind.
        numbers: `(first_sample, count)` of each frame, in order of arrival.
        samples: the frames' records.
        last_ns: device time of the sample before the first one, from an earlier part; 0 where that is not known
            (`core/screening`). Values are compared within a part only.

    Returns:
        Observations, and the device time of the sample with the highest number.
    """
    known = kinds.KINDS[kind]
    if known.variable:
        times = np.array([kinds.capture_times(known, data)[0] for data in samples], np.int64)
        return [], max(last_ns, int(times.max()))
    records = np.frombuffer(b"".join(samples), known.dtype)
    times = records["t_capture_ns"]
    newest = int(times[end_of_highest(numbers) - 1])
    at = np.concatenate([np.arange(first, first + count, dtype=np.int64) for first, count in numbers])
    follows = np.diff(at) == 1
    regular = kind in REGULAR
    repeated = np.zeros(len(follows), np.bool_)
    if regular:
        values = records.view(np.uint8).reshape(len(records), -1)[:, VALUES]
        repeated = (values[1:] == values[:-1]).all(axis=1) & follows
    if last_ns:
        # The sample before the first one: its time is known, its values are not.
        times = np.concatenate(([last_ns], times))
        at = np.concatenate(([at[0] - 1], at))
        follows = np.concatenate(([True], follows))
        repeated = np.concatenate(([False], repeated))
    steps = np.diff(times)
    out = _runs(stream, at, (steps == 0) & follows, STUCK)
    out += _runs(stream, at, (steps < 0) & follows, BACKWARDS)
    if regular:
        out += _runs(stream, at, (steps > STEP_NS) & follows, CLOCK_STEP)
        out += _runs(stream, at, repeated, REPEATED)
    return out[:MAX_OBSERVATIONS], newest


def end_of_highest(numbers: list[tuple[int, int]]) -> int:
    """How many samples there are up to the end of the frame with the highest numbers, in order of arrival."""
    at = end = 0
    highest = -1
    for first, count in numbers:
        at += count
        if first > highest:
            highest, end = first, at
    return end


def _runs(
    stream: int, numbers: npt.NDArray[np.int64], marks: npt.NDArray[np.bool_], code: str
) -> list[Observation]:
    """Stretches of marked steps, as the numbers of the samples at their ends."""
    if not bool(marks.any()):
        return []
    edges = np.flatnonzero(np.diff(np.concatenate(([False], marks, [False])).astype(np.int8)))
    return [
        (stream, int(numbers[start + 1]), int(numbers[end]), code)
        for start, end in zip(edges[::2], edges[1::2], strict=True)
    ]
