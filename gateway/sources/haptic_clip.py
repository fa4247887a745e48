"""Haptic clips: `.haptic` files of the Lofelt data model, version 1 (JSON), rendered to haptic events.

Of the data model's own validation, what an envelope cannot do without is refused: fields, an amplitude
envelope that is not empty, times that never decrease, breakpoints within 0..1. Its other rules are facts about
a clip that can be played all the same, flagged and counted, one word for each: `other_version` (not 1.x),
`emphasis_weaker` (than the breakpoint it stands on), `emphasis_amplitude_range` and `emphasis_frequency_range`
(outside 0..1). Such values are rendered as they are. Fields that the model does not name are ignored, as its
rule for minor versions demands.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from gateway.sources.track import (
    EVENT_SIMPLE,
    EVENT_TRANSIENT,
    MINIMUM_DURATION,
    RIGHT,
    Recording,
    Track,
    refuse,
)
from gateway.wire import kinds

MAX_BYTES = 4 * 2**20
"""Ten times the largest clip known (120 s in 426 kB)."""

MAX_BREAKPOINTS = 100_000
"""Far above the 57 amplitude breakpoints a second of the densest clips known, for half an hour."""

MAX_SECONDS = 3600.0
"""The model allows any float; an hour keeps nanoseconds far inside an i64, and no effect is longer."""

LOWEST_HZ = 60.0
HIGHEST_HZ = 300.0
"""The model's frequency is a ratio 0..1 without a unit. It is mapped linearly to the range that the voice
coils of controllers can play: 0 -> 60 Hz, 1 -> 300 Hz. The same map serves emphasis."""

LARGEST = float(np.finfo(np.float32).max)

UNSPECIFIED_HZ = 0.0
"""Of a clip without a frequency envelope: the actuator chooses (OpenXR, XR_FREQUENCY_UNSPECIFIED)."""


class Version(msgspec.Struct, frozen=True):
    """Version of the data model."""

    major: int
    minor: int = 0
    patch: int = 0


class Emphasis(msgspec.Struct, frozen=True):
    """A highlight that stands on one amplitude breakpoint; both values 0..1, or flagged."""

    amplitude: float
    frequency: float


class AmplitudePoint(msgspec.Struct, frozen=True):
    """One breakpoint of the amplitude envelope: seconds, 0..1, and perhaps an emphasis."""

    time: float
    amplitude: float
    emphasis: Emphasis | None = None


class FrequencyPoint(msgspec.Struct, frozen=True):
    """One breakpoint of the frequency envelope: seconds, 0..1."""

    time: float
    frequency: float


class Envelopes(msgspec.Struct, frozen=True):
    """Both envelopes; the frequency may be left out."""

    amplitude: list[AmplitudePoint]
    frequency: list[FrequencyPoint] | None = None


class Continuous(msgspec.Struct, frozen=True):
    """The one continuous signal of a clip."""

    envelopes: Envelopes


class Signals(msgspec.Struct, frozen=True):
    """The signals of a clip."""

    continuous: Continuous


class Clip(msgspec.Struct, frozen=True):
    """A clip. Its metadata (author, project, ...) are not read."""

    version: Version
    signals: Signals


_HINT = "Export the clip again as a .haptic file of version 1."


def parse(data: bytes) -> Clip:
    """Parse a clip, and refuse one that cannot be played.

    Args:
        data: the JSON, at most `MAX_BYTES`.

    Raises:
        LocalError: `recording`; says which rule is broken, and at which breakpoint.
    """
    if len(data) > MAX_BYTES:
        raise refuse(
            f"the clip has {len(data)} bytes; at most {MAX_BYTES}", "Cut the clip into shorter ones."
        )
    try:
        clip = msgspec.json.decode(data, type=Clip)
    except msgspec.ValidationError as error:
        raise refuse(f"the clip does not have the fields of version 1: {error}", _HINT) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise refuse("the clip is not JSON", _HINT) from None
    envelopes = clip.signals.continuous.envelopes
    if not envelopes.amplitude:
        raise refuse("the clip's amplitude envelope is empty", _HINT)
    _check_times("amplitude", [point.time for point in envelopes.amplitude])
    _check_times("frequency", [point.time for point in envelopes.frequency or ()])
    for number, point in enumerate(envelopes.amplitude):
        where = f"amplitude breakpoint {number}"
        _check_range(where, "amplitude", point.amplitude)
        if point.emphasis is not None:
            _check_finite(where, "emphasis amplitude", point.emphasis.amplitude)
            _check_finite(where, "emphasis frequency", hertz(point.emphasis.frequency))
    for number, tone in enumerate(envelopes.frequency or ()):
        _check_range(f"frequency breakpoint {number}", "frequency", tone.frequency)
    return clip


def _check_range(where: str, what: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise refuse(f"{where}: {what} out of range", "Keep every value of the clip within 0 and 1.")


def _check_finite(where: str, what: str, value: float) -> None:
    # A sample holds 32 bits, where a larger number would become infinite, which no gateway takes.
    if not abs(value) <= LARGEST:
        raise refuse(
            f"{where}: {what} too large for a sample", "Keep every value of the clip within 0 and 1."
        )


def _check_times(envelope: str, times: Sequence[float]) -> None:
    if len(times) > MAX_BREAKPOINTS:
        raise refuse(
            f"{len(times)} {envelope} breakpoints; at most {MAX_BREAKPOINTS}", "Cut the clip shorter."
        )
    last = 0.0
    for number, time in enumerate(times):
        if not last <= time <= MAX_SECONDS:
            raise refuse(
                f"{envelope} breakpoint {number}: its time is earlier than the last, negative or over an hour",
                "Sort the breakpoints by time, from 0.",
            )
        last = time


def hertz(ratio: float) -> float:
    """The frequency in Hz of a ratio 0..1; of any other ratio by the same line."""
    return LOWEST_HZ + (HIGHEST_HZ - LOWEST_HZ) * ratio


def render(clip: Clip, target: int = RIGHT, actuator: int = 0) -> Track:
    """Render a clip to haptic events.

    One simple event for each interval between two amplitude breakpoints: it begins at the first, lasts until
    the second, and has the first's amplitude and the frequency envelope's value there (interpolated
    linearly; before its first and after its last breakpoint the nearest value). An interval of no length
    gives no event. An emphasis gives a transient of the shortest duration at its breakpoint, after the event
    that begins there.

    Args:
        clip: a clip that `parse` returned.
        target: tracker whose actuator plays it.
        actuator: number of the actuator on that target.

    Returns:
        A haptic track, times from 0. Observations: `emphasis` (transients), of those the three that the top of this
        file names, and `unspecified_frequency` (events).
    """
    points = clip.signals.continuous.envelopes.amplitude
    tones = clip.signals.continuous.envelopes.frequency or []
    at = [round(point.time * 1e9) for point in points]
    if tones:
        ratios = np.interp(
            [point.time for point in points],
            [tone.time for tone in tones],
            [tone.frequency for tone in tones],
        )
        pitches = [hertz(float(ratio)) for ratio in ratios]
    else:
        pitches = [UNSPECIFIED_HZ] * len(points)
    events: list[tuple[int, int, float, float, int, int, int, int]] = []
    for number, point in enumerate(points):
        if number + 1 < len(points) and at[number + 1] > at[number]:
            length = at[number + 1] - at[number]
            events.append(
                (at[number], length, pitches[number], point.amplitude, target, EVENT_SIMPLE, actuator, 0)
            )
        if point.emphasis is not None:
            tone = hertz(point.emphasis.frequency)
            strength = point.emphasis.amplitude
            events.append(
                (at[number], MINIMUM_DURATION, tone, strength, target, EVENT_TRANSIENT, actuator, 0)
            )
    samples = np.array(events, kinds.HAPTIC_DTYPE)
    return Track(
        "haptic",
        kinds.HAPTIC,
        samples,
        {
            "emphasis": int((samples["event"] == EVENT_TRANSIENT).sum()),
            **_odd_emphasis(points),
            "unspecified_frequency": int((samples["frequency_hz"] == UNSPECIFIED_HZ).sum()),
        },
    )


def _odd_emphasis(points: Sequence[AmplitudePoint]) -> dict[str, int]:
    """Emphases that break a rule of the model, by rule; one may break several."""
    pairs = [(point.amplitude, point.emphasis) for point in points if point.emphasis is not None]
    return {
        "emphasis_weaker": sum(emphasis.amplitude < amplitude for amplitude, emphasis in pairs),
        "emphasis_amplitude_range": sum(not 0.0 <= emphasis.amplitude <= 1.0 for _, emphasis in pairs),
        "emphasis_frequency_range": sum(not 0.0 <= emphasis.frequency <= 1.0 for _, emphasis in pairs),
    }


def read(name: str, data: bytes) -> Recording:
    """Read a clip as a recording with one haptic track for the right hand.

    Returns:
        Facts: `amplitude_points`, `frequency_points`, `emphasis`, `events`, and those of the rules that the top of
        this file names.

    Raises:
        LocalError: `recording`.
    """
    clip = parse(data)
    track = render(clip)
    envelopes = clip.signals.continuous.envelopes
    facts = {
        "amplitude_points": len(envelopes.amplitude),
        "frequency_points": len(envelopes.frequency or ()),
        "emphasis": track.observations["emphasis"],
        "events": len(track.samples),
        "other_version": int(clip.version.major != 1 or clip.version.minor < 0 or clip.version.patch < 0),
        **_odd_emphasis(envelopes.amplitude),
    }
    return Recording(name, [track], round(envelopes.amplitude[-1].time * 1e9), facts)
