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


def observe(
    stream: int, kind: int, numbers: list[tuple[int, int]], samples: list[bytes], last_ns: int
) -> tuple[list[Observation], int]:
    """Look at the samples of one stream in one part.

    Args:
        stream: its number.
        kind: its kind.
        numbers: `(first_sample, count)` of each frame, in order of arrival.
        samples: the frames' records.
        last_ns: device time of the newest sample of earlier parts; 0 for none.

    Returns:
        Observations, and the device time of the newest sample.
    """
    known = kinds.KINDS[kind]
    if known.variable:
        times = np.array([kinds.capture_times(known, data)[0] for data in samples], np.int64)
        return [], max(last_ns, int(times.max()))
    records = np.frombuffer(b"".join(samples), known.dtype)
    times = records["t_capture_ns"]
    newest = max(last_ns, int(times[-1])) if last_ns else int(times[-1])
    steps = np.diff(times)
    regular = kind in REGULAR
    # The common case, one comparison: time moves on in small steps.
    odd_time = bool(((steps <= 0) | (steps > STEP_NS)).any()) if len(steps) else False
    out: list[Observation] = []
    at: npt.NDArray[np.int64] | None = None
    if odd_time:
        at = _numbers(numbers)
        follows = np.diff(at) == 1
        out += _runs(stream, at, (steps == 0) & follows, STUCK)
        out += _runs(stream, at, (steps < 0) & follows, BACKWARDS)
        if regular:
            out += _runs(stream, at, (steps > STEP_NS) & follows, CLOCK_STEP)
    if regular and len(records) > 1:
        words = (
            np.frombuffer(records, "<u8").reshape(len(records), -1) if known.sample_bytes % 8 == 0 else None
        )
        if words is None:
            words = np.frombuffer(records, "<u4").reshape(len(records), -1)[:, 1:]
        # One column first: values that move differ there, and the whole comparison is spared.
        column = words[:, 2]
        if bool((column[1:] == column[:-1]).any()):
            same = (words[1:, 1:] == words[:-1, 1:]).all(axis=1)
            if bool(same.any()):
                at = _numbers(numbers) if at is None else at
                out += _runs(stream, at, same & (np.diff(at) == 1), REPEATED)
    return out[:MAX_OBSERVATIONS], newest


def _numbers(numbers: list[tuple[int, int]]) -> npt.NDArray[np.int64]:
    return np.concatenate([np.arange(first, first + count, dtype=np.int64) for first, count in numbers])


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
