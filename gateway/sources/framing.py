"""Cut a track into frames: the bytes of its samples, so many to a frame that a datagram holds it."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.sources.track import Track
from gateway.wire import kinds

DATAGRAM_BYTES = 1200
ENVELOPE_BYTES = 24 + 16
"""The packet's header and tag (VT1, "Packet")."""

BODY_BYTES = 40
"""Room for the body around the samples: floor, totals, and the frame's own array."""

SAMPLES_BYTES = DATAGRAM_BYTES - ENVELOPE_BYTES - BODY_BYTES

SAMPLES_PER_FRAME = {kinds.POSE: 16, kinds.GAZE: 10, kinds.HAPTIC: 32, kinds.HAND: 1}
"""Round numbers below what fits, for the kinds that stream most."""


def samples_per_frame(kind: int) -> int:
    """How many samples of a kind go into one frame by default; a datagram holds that frame."""
    known = SAMPLES_PER_FRAME.get(kind)
    if known is not None:
        return known
    if kinds.KINDS[kind].variable:
        return 1
    return max(1, SAMPLES_BYTES // kinds.KINDS[kind].sample_bytes)


def frames_of(track: Track, per_frame: int | None = None) -> Iterator[tuple[int, int, bytes]]:
    """Cut a track into frames.

    Args:
        track: its samples are numbered from 0.
        per_frame: samples in each frame but the last, at least 1; None takes the kind's own.

    Yields:
        `(first_sample, t_last_ns, samples)`: number of the frame's first sample, capture time of its last
        one (when a device could have sent it), and the records' bytes as they stand in a frame.

    Raises:
        ValueError: `per_frame` below 1.
    """
    count = samples_per_frame(track.kind) if per_frame is None else per_frame
    if count < 1:
        raise ValueError("a frame holds at least one sample")
    for first in range(0, len(track.samples), count):
        part = track.samples[first : first + count]
        yield first, int(part["t_capture_ns"][-1]), part.tobytes()
