"""Simulated people: a headset's worth of streams that never ends, for demonstrations and tests.

A person is drawn once from the generator it is given; from then on every scene of four seconds is a function
of the person and the scene's number. So any stretch of time gives the same samples, however it is cut and in
whatever order.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from gateway.sources.body import SCENE_S, BodyScene, Tracker, touches
from gateway.sources.eyes import Eyes, EyeScene, regard
from gateway.sources.track import HEAD, LEFT, RIGHT
from gateway.wire import kinds

TRACK_KINDS: Final = {
    "head": kinds.POSE,
    "left_hand": kinds.POSE,
    "right_hand": kinds.POSE,
    "gaze": kinds.GAZE,
    "haptic": kinds.HAPTIC,
}
"""The tracks of a person, and their kinds."""

NOMINAL_HZ: Final = {"head": 90, "left_hand": 90, "right_hand": 90, "gaze": 120, "haptic": 0}
"""0 means that samples come when something happens."""

_TRACKERS = {"head": HEAD, "left_hand": LEFT, "right_hand": RIGHT}
_NS = 1_000_000_000
# What a generator is for: the first number of its key, so that no two purposes share draws.
_HABITS, _BODY, _EYES, _REGARD = range(4)


class Person:
    """One simulated person in one rig.

    Args:
        rng: is drawn from once, here, and not kept.
        rig: number of the rig, from 0; persons of equal generators in different rigs differ.
    """

    def __init__(self, rng: np.random.Generator, rig: int) -> None:
        self._entropy = [*(int(word) for word in rng.integers(0, 2**32, 8, np.uint64)), rig]
        habits = self._generator(_HABITS)
        eye_height_m = float(habits.uniform(1.15, 1.75))  # seated to tall
        self._trackers = {name: Tracker(habits, number, eye_height_m) for name, number in _TRACKERS.items()}
        self._eyes = Eyes(habits)
        self._scenes: dict[str, tuple[int, kinds.Samples]] = {}

    def render(self, track: str, t0_ns: int, t1_ns: int) -> kinds.Samples:
        """The samples of one track whose capture times lie in `[t0_ns, t1_ns)`.

        Args:
            track: a key of `TRACK_KINDS`.
            t0_ns: start, the device's clock, from 0.
            t1_ns: end; what lies before 0 or is empty gives no samples.

        Returns:
            `(n,)` of the track's dtype, in the order of time. Sample n of a track with a rate is captured at
            `n * 10**9 // rate`.

        Raises:
            KeyError: no such track.
        """
        kind = kinds.KINDS[TRACK_KINDS[track]]
        t0_ns = max(t0_ns, 0)
        parts = []
        for number in range(t0_ns // (SCENE_S * _NS), -(-t1_ns // (SCENE_S * _NS)) if t1_ns > t0_ns else 0):
            samples = self._scene(track, number)
            low, high = np.searchsorted(samples["t_capture_ns"], (t0_ns, t1_ns))
            parts.append(samples[low:high])
        # A copy, so that a caller who writes into it changes nobody's future.
        return np.concatenate(parts) if parts else np.zeros(0, kind.dtype)

    def _scene(self, track: str, number: int) -> kinds.Samples:
        """All samples of one scene; the last one of each track is kept, since callers ask in small steps."""
        kept = self._scenes.get(track)
        if kept is not None and kept[0] == number:
            return kept[1]
        start_s = number * SCENE_S
        if track == "haptic":
            samples = touches({hand: self._body(hand, number) for hand in (LEFT, RIGHT)}, start_s)
        else:
            rate = NOMINAL_HZ[track]
            first = start_s * rate
            times = np.arange(first, first + SCENE_S * rate, dtype=np.int64) * _NS // rate
            if track == "gaze":
                samples = self._eyes.render(times, first, start_s, self._look(number))
            else:
                tracker = self._trackers[track]
                samples = tracker.render(times, start_s, self._body(tracker.tracker, number))
        self._scenes[track] = (number, samples)
        return samples

    def _body(self, tracker: int, number: int) -> BodyScene:
        return BodyScene.draw(self._generator(_BODY, tracker, number), tracker)

    def _look(self, number: int) -> EyeScene:
        # Where a scene begins is drawn by itself, so that its neighbour before it can end there.
        start = regard(self._generator(_REGARD, number))
        end = regard(self._generator(_REGARD, number + 1))
        return EyeScene.draw(self._generator(_EYES, number), start, end)

    def _generator(self, *key: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(self._entropy, spawn_key=key)))


_INFO: Final[dict[int, dict[str, str]]] = {
    kinds.POSE: {"units": "m, m/s, rad/s", "space": "stage"},
    kinds.GAZE: {"units": "m, mm, 1", "space": "view"},
    kinds.HAPTIC: {"units": "ns, Hz, 1", "space": "none"},
}


def info_json(track: str) -> bytes:
    """Stream info of a simulated track: a JSON object, well under the limit of an info sample.

    Raises:
        KeyError: no such track.
    """
    kind = kinds.KINDS[TRACK_KINDS[track]]
    return msgspec.json.encode(
        {
            "track": track,
            "kind": kind.name,
            "vendor": "simulated",
            "model": "simulated",
            "runtime": "simulated",
            "nominal_hz": NOMINAL_HZ[track],
            "axes": "openxr",
            "filter_level": "none",
            **_INFO[kind.number],
        }
    )
