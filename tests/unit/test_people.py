"""Simulated people: plausible, repeatable, and the same however time is cut."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.sources.framing import frames_of
from gateway.sources.people import NOMINAL_HZ, TRACK_KINDS, Person, info_json
from gateway.sources.track import EVENT_SIMPLE, EVENT_TRANSIENT, Track
from gateway.wire import frame, kinds

S = 1_000_000_000
POSES = ("head", "left_hand", "right_hand")
MINUTES = 5


def person(seed: int = 7, rig: int = 0) -> Person:
    return Person(np.random.default_rng(seed), rig)


@pytest.fixture(scope="module")
def long() -> dict[str, kinds.Samples]:
    """Five minutes of one person."""
    one = person()
    return {track: one.render(track, 0, MINUTES * 60 * S) for track in TRACK_KINDS}


def has(flags: np.ndarray, bits: int) -> np.ndarray:
    return (flags & bits) == bits


@pytest.mark.parametrize("track", TRACK_KINDS)
def test_rates_and_times(long: dict[str, kinds.Samples], track: str) -> None:
    samples, rate = long[track], NOMINAL_HZ[track]
    times = samples["t_capture_ns"]
    assert samples.dtype == kinds.KINDS[TRACK_KINDS[track]].dtype
    assert times.min() >= 0
    assert times.max() < MINUTES * 60 * S
    if rate:
        assert times.tolist() == [n * S // rate for n in range(MINUTES * 60 * rate)]
    else:
        assert (np.diff(times) >= 0).all()


@pytest.mark.parametrize("track", TRACK_KINDS)
def test_a_gateway_takes_every_frame(long: dict[str, kinds.Samples], track: str) -> None:
    whole = Track(track, TRACK_KINDS[track], long[track])
    count = 0
    for first, _, raw in frames_of(whole):
        one = frame.Frame(1, whole.kind, first, raw)
        frame.check_samples(one)
        count += frame.sample_count(one)
    assert count == len(whole.samples) > 0


@pytest.mark.parametrize("track", POSES)
def test_poses_are_plausible(long: dict[str, kinds.Samples], track: str) -> None:
    samples = long[track]
    flags = samples["flags"]
    assert (samples["tracker"] == POSES.index(track)).all()
    assert np.abs(np.linalg.norm(samples["orientation"], axis=1) - 1).max() < 1e-6
    placed = has(flags, kinds.POSITION_VALID)
    assert placed.mean() > 0.9
    assert np.isfinite(samples["position_m"][placed]).all()
    height = samples["position_m"][placed, 1]
    assert height.min() > 0.4
    assert height.max() < 2.0
    moving = has(flags, kinds.LINEAR_VELOCITY_VALID)
    speed = np.linalg.norm(samples["linear_velocity"][moving], axis=1)
    assert speed.max() < (0.5 if track == "head" else 3.0)
    assert np.linalg.norm(samples["angular_velocity"][moving], axis=1).max() < 6.0


@pytest.mark.parametrize("track", POSES)
def test_velocities_are_those_of_the_motion(track: str) -> None:
    samples = person().render(track, 0, 60 * S)
    x = samples["position_m"].astype(np.float64)
    by_difference = (x[2:] - x[:-2]) * 45  # two steps of 1/90 s
    both = np.isfinite(by_difference).all(axis=1) & np.isfinite(samples["linear_velocity"][1:-1]).all(axis=1)
    assert both.mean() > 0.9
    assert np.abs(by_difference - samples["linear_velocity"][1:-1])[both].max() < 0.05
    # The angle between neighbours is the turn that the angular velocity promises.
    q = samples["orientation"].astype(np.float64)
    angle = 2 * np.arccos(np.clip(np.abs((q[2:] * q[:-2]).sum(axis=1)), 0, 1)) * 45
    promised = np.linalg.norm(samples["angular_velocity"][1:-1].astype(np.float64), axis=1)
    turning = np.isfinite(promised)
    assert np.abs(angle - promised)[turning].max() < 0.1


def test_tracking_is_lost_in_two_steps() -> None:
    lost = guessed = 0
    for seed in range(3):
        for track in POSES:
            samples = person(seed).render(track, 0, 120 * S)
            flags = samples["flags"]
            gone = ~has(flags, kinds.POSITION_VALID)
            dim = has(flags, kinds.POSITION_VALID) & ~has(flags, kinds.POSITION_TRACKED)
            assert np.isnan(samples["position_m"][gone]).all()
            assert not has(flags[gone], kinds.POSITION_TRACKED).any()
            assert not (flags[gone] & (kinds.LINEAR_VELOCITY_VALID | kinds.ANGULAR_VELOCITY_VALID)).any()
            assert np.isfinite(samples["position_m"][dim]).all()
            assert has(flags, kinds.ORIENTATION_VALID).all()
            # A position goes only by way of being guessed.
            starts = np.flatnonzero(gone[1:] & ~gone[:-1])
            assert dim[starts].all()
            lost += len(starts)
            guessed += int(dim.sum())
    assert lost >= 5
    assert guessed > lost


def test_hands_touch_and_the_actuator_answers(long: dict[str, kinds.Samples]) -> None:
    events = long["haptic"]
    assert 10 < len(events) / MINUTES < 60
    assert set(events["target"].tolist()) == {1, 2}
    transient = events["event"] == EVENT_TRANSIENT
    assert transient.sum() == (events["event"] == EVENT_SIMPLE).sum() == len(events) // 2
    assert (events["duration_ns"][transient] == -1).all()
    assert (events["duration_ns"][~transient] > 0).all()
    assert ((events["amplitude"] > 0) & (events["amplitude"] <= 1)).all()
    # A hand stands still where it touches: there the speed of the reach is zero.
    for name, target in (("left_hand", 1), ("right_hand", 2)):
        samples = long[name]
        speed = np.linalg.norm(samples["linear_velocity"], axis=1)
        at = np.searchsorted(
            samples["t_capture_ns"], events["t_capture_ns"][transient & (events["target"] == target)]
        )
        assert np.nanmax(speed[at]) < 0.3
        assert np.nanmax(speed) > 0.8


def test_gaze_is_plausible(long: dict[str, kinds.Samples]) -> None:
    gaze = long["gaze"]
    left, right = gaze["flags_left"], gaze["flags_right"]
    blinking = has(left, kinds.EYE_BLINK)
    starts = np.flatnonzero(blinking[1:] & ~blinking[:-1])
    assert 6 < len(starts) / MINUTES < 25
    assert 0.005 < blinking.mean() < 0.1
    for eye, flags in (("left", left), ("right", right)):
        assert (has(flags, kinds.EYE_DIRECTION_VALID | kinds.EYE_PUPIL_VALID) == ~blinking).all()
        assert (has(flags, kinds.EYE_ORIGIN_VALID | kinds.EYE_OPENNESS_VALID)).all()
        assert np.isnan(gaze[eye]["direction"][blinking]).all()
        assert np.isnan(gaze[eye]["pupil_mm"][blinking]).all()
        assert np.abs(np.linalg.norm(gaze[eye]["direction"][~blinking], axis=1) - 1).max() < 1e-6
        pupil = gaze[eye]["pupil_mm"][~blinking]
        assert pupil.min() > 2
        assert pupil.max() < 8
        assert ((gaze[eye]["openness"] >= 0) & (gaze[eye]["openness"] <= 1)).all()
        assert gaze[eye]["openness"][blinking].max() < gaze[eye]["openness"][~blinking].min()
    assert (has(left, kinds.COMBINED_DIRECTION_VALID) == ~blinking).all()
    assert not (right & (kinds.COMBINED_DIRECTION_VALID | kinds.COMBINED_ORIGIN_VALID)).any()
    assert gaze["device_seq"].tolist() == list(range(len(gaze)))


def test_both_eyes_meet_at_the_vergence_distance(long: dict[str, kinds.Samples]) -> None:
    gaze = long["gaze"]
    seen = has(gaze["flags_left"], kinds.EYE_DIRECTION_VALID)
    assert np.isnan(gaze["vergence_m"][~seen]).all()
    gaze = gaze[seen]
    target = gaze["combined_direction"].astype(np.float64) * gaze["vergence_m"].astype(np.float64)[:, None]
    assert gaze["vergence_m"].min() > 0.45
    assert gaze["vergence_m"].max() < 4.1
    for eye in ("left", "right"):
        ray = target - gaze[eye]["origin_m"]
        miss = np.linalg.norm(np.cross(ray, gaze[eye]["direction"]), axis=1)
        assert miss.max() < 1e-5


def test_saccades_follow_the_main_sequence(long: dict[str, kinds.Samples]) -> None:
    direction = long["gaze"]["combined_direction"].astype(np.float64)
    speed = np.degrees(np.arccos(np.clip((direction[1:] * direction[:-1]).sum(axis=1), -1, 1))) * 120
    known = np.isfinite(speed)
    assert speed[known].max() < 860
    fast = np.where(known, speed, 0) > 40
    # Most of the time the eyes rest.
    assert 0.04 < fast[known].mean() < 0.25
    edges = np.flatnonzero(np.diff(np.concatenate(([0], fast.astype(int), [0]))))
    peaks, sizes = [], []
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        if known[max(0, begin - 2) : end + 2].all():
            peaks.append(speed[begin:end].max())
            sizes.append(speed[begin:end].sum() / 120)
    assert len(sizes) / MINUTES > 60
    sized = np.array(sizes)
    fastest = np.array(peaks)
    # Larger saccades are faster, but less and less so.
    small, middle, large = (
        fastest[(sized > low) & (sized < high)].mean() for low, high in ((2, 4), (8, 12), (16, 30))
    )
    assert 120 < small < middle < large < 700
    assert middle / small > large / middle


def test_people_differ_and_repeat() -> None:
    for track in TRACK_KINDS:
        whole = person(1).render(track, 0, 20 * S).tobytes()
        assert person(1).render(track, 0, 20 * S).tobytes() == whole
        assert person(2).render(track, 0, 20 * S).tobytes() != whole
        assert person(1, rig=1).render(track, 0, 20 * S).tobytes() != whole


def test_two_people_of_one_generator_differ() -> None:
    rng = np.random.default_rng(3)
    first, second = Person(rng, 0), Person(rng, 0)
    assert first.render("head", 0, S).tobytes() != second.render("head", 0, S).tobytes()


@settings(max_examples=25)
@given(st.sampled_from(sorted(TRACK_KINDS)), st.lists(st.integers(0, 14 * S), max_size=6), st.randoms())
def test_how_time_is_cut_does_not_matter(track: str, cuts: list[int], order: object) -> None:
    edges = [0, *sorted(cuts), 14 * S]
    whole = person().render(track, 0, 14 * S)
    parts = list(pairwise(edges))
    one = person()
    shuffled = list(range(len(parts)))
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    got = {n: one.render(track, *parts[n]).tobytes() for n in shuffled}
    assert b"".join(got[n] for n in range(len(parts))) == whole.tobytes()


@pytest.mark.parametrize("track", TRACK_KINDS)
def test_a_first_second_and_a_second_one_are_both(track: str) -> None:
    one = person()
    halves = one.render(track, 0, S).tobytes() + one.render(track, S, 2 * S).tobytes()
    assert halves == person().render(track, 0, 2 * S).tobytes()


def test_a_stretch_far_away_costs_no_more_than_a_near_one() -> None:
    day = 86_400 * S
    far = person().render("gaze", 365 * day, 365 * day + S)
    assert len(far) == 120
    assert has(far["flags_left"], kinds.EYE_ORIGIN_VALID).all()


def test_nothing_is_rendered_for_no_time_and_before_the_start() -> None:
    one = person()
    for track, number in TRACK_KINDS.items():
        assert one.render(track, 5 * S, 5 * S).dtype == kinds.KINDS[number].dtype
        for t0, t1 in ((5 * S, 5 * S), (5 * S, 4 * S), (-9 * S, 0), (-9 * S, -S)):
            assert len(one.render(track, t0, t1)) == 0
    assert one.render("head", -S, S).tobytes() == one.render("head", 0, S).tobytes()


def test_samples_are_the_callers_own() -> None:
    one = person()
    one.render("head", 0, S)["position_m"] = 0
    assert one.render("head", 0, S).tobytes() == person().render("head", 0, S).tobytes()


def test_scenes_join_smoothly(long: dict[str, kinds.Samples]) -> None:
    # A scene lasts four seconds; a hand that jumped there would have a speed that no hand has.
    for track in POSES:
        x = long[track]["position_m"].astype(np.float64)
        jumps = np.linalg.norm(np.diff(x, axis=0), axis=1)
        assert np.nanmax(jumps[359::360]) < 0.01
    direction = long["gaze"]["combined_direction"].astype(np.float64)
    joins = (direction[480::480] * direction[479:-1:480]).sum(axis=1)
    assert np.degrees(np.arccos(np.clip(joins[np.isfinite(joins)], -1, 1))).max() < 0.5


@pytest.mark.parametrize("track", TRACK_KINDS)
def test_stream_info(track: str) -> None:
    raw = info_json(track)
    assert len(raw) <= kinds.INFO_MAX_BYTES
    info = json.loads(raw)
    assert {info[word] for word in ("vendor", "model", "runtime")} == {"simulated"}
    assert (info["axes"], info["nominal_hz"]) == ("openxr", NOMINAL_HZ[track])
    assert info["kind"] == kinds.KINDS[TRACK_KINDS[track]].name
    assert {"units", "filter_level", "space"} <= set(info)


def test_an_unknown_track_is_an_error() -> None:
    with pytest.raises(KeyError):
        person().render("tail", 0, S)
    with pytest.raises(KeyError):
        info_json("tail")
