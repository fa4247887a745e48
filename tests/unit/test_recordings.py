"""Every recording beside the checkout: the counts that its notes give, and the same bytes as a second conversion."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from gateway.errors import LocalError
from gateway.sources.framing import frames_of
from gateway.sources.recording import Recording, read_recording
from gateway.sources.track import EVENT_TRANSIENT
from gateway.wire import frame, kinds
from tests.independent import tracks_of
from tests.paths import DATA

QUEST = DATA / "pose" / "quest2_touch_90hz.csv.gz"
PICO = DATA / "pose" / "pico_neo3_boxing_head_ctrl_gaze_90hz.tsv"
CLEAN = DATA / "eye" / "TESTNA01_2D_Fist3.csv"
FAULTY = DATA / "eye" / "TESTNA10_360VR_Fist3.csv"
CLIPS = sorted((DATA / "haptic").glob("*/*.haptic"))

REFUSED = {
    "validation_v1_amplitude.haptic": "amplitude breakpoint 3: amplitude out of range",
    "validation_v1_sequence.haptic": "amplitude breakpoint 2: its time is earlier",
    "invalid_fields_v1.haptic": "missing required field `signals`",
}
"""The notes beside the clips count 57 sound ones, 2 that break a rule and 1 without the fields."""

FLAGGED = {
    "invalid_version_v1.haptic": {"other_version"},
    "validation_v1_emphasis_amplitude.haptic": {"emphasis_weaker"},
    "validation_v1_emphasis_amplitude_range.haptic": {"emphasis_weaker", "emphasis_amplitude_range"},
    "validation_v1_emphasis_frequency_range.haptic": {"emphasis_frequency_range"},
}
"""What breaks a rule of the data model besides, and plays all the same: data, as every other fault of a recording."""

SOUND = [path for path in CLIPS if path.name not in REFUSED]
ALL = [QUEST, PICO, CLEAN, FAULTY, *SOUND]


@cache
def read(path: Path) -> Recording:
    return read_recording(path.name, path.read_bytes())


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_both_conversions_give_the_same_bytes(path: Path) -> None:
    ours = [(track.name, track.kind, track.samples.tobytes()) for track in read(path).tracks]
    theirs = [(track.name, track.kind, track.raw) for track in tracks_of(path)]
    assert [(name, kind, len(raw)) for name, kind, raw in ours] == [
        (name, kind, len(raw)) for name, kind, raw in theirs
    ]
    assert ours == theirs


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_the_gateway_takes_every_frame(path: Path) -> None:
    for track in read(path).tracks:
        count = 0
        for first, _, raw in frames_of(track):
            one = frame.Frame(1, track.kind, first, raw)
            count += frame.sample_count(one)
            frame.check_samples(one)
        assert count == len(track.samples)


@pytest.mark.parametrize("path", [QUEST, PICO, CLEAN], ids=lambda path: path.name)
def test_poses_are_unit_quaternions_above_the_floor(path: Path) -> None:
    for track in read(path).tracks:
        if track.kind != kinds.POSE:
            continue
        assert np.abs(np.linalg.norm(track.samples["orientation"], axis=1) - 1).max() < 1e-6
        assert (track.samples["flags"] & 3 == 3).all()
        assert not (track.samples["flags"] & (kinds.POSITION_TRACKED | kinds.ORIENTATION_TRACKED)).any()
    head = next(track for track in read(path).tracks if track.name == "head")
    assert 1.0 < np.median(head.samples["position_m"][:, 1]) < 2.2


def test_quest() -> None:
    got = read(QUEST)
    assert got.facts == {"rows": 26_556, "repeated": 0, "gaps": 45, "standing": 2, "backwards": 0}
    assert [(track.name, len(track.samples)) for track in got.tracks] == [
        ("head", 26_556),
        ("left_hand", 26_556),
        ("right_hand", 26_556),
    ]
    assert round(got.duration_ns / 1e9, 1) == 295.2
    assert round((26_556 - 1) / (got.duration_ns / 1e9), 2) == 89.95
    times = got.tracks[0].times_ns
    assert all((track.times_ns == times).all() for track in got.tracks)
    # Tracking jumps of up to 57 m/s are data: they come through the conversion as they are.
    steps = np.diff(times) / 1e9
    moved = np.linalg.norm(np.diff(got.tracks[1].samples["position_m"].astype(np.float64), axis=0), axis=1)
    assert round((moved[steps > 0] / steps[steps > 0]).max()) == 57


def test_pico() -> None:
    got = read(PICO)
    assert got.facts == {"rows": 492, "repeated": 110, "gaps": 0, "standing": 0, "backwards": 0}
    assert [(track.name, track.observations) for track in got.tracks] == [
        ("head", {"held": 110, "invalid": 0}),
        ("left_hand", {"held": 110, "invalid": 0}),
        ("right_hand", {"held": 491, "invalid": 0}),
        ("gaze", {"invalid": 6, "blinking": 8}),
    ]
    assert round(got.duration_ns / 1e9, 2) == 5.46
    assert got.tracks[0].times_ns[0] == 11_111_110
    gaze = got.tracks[3].samples
    # The user looks ahead, which is -Z here and +Z in the file.
    seen = (gaze["flags_left"] & kinds.COMBINED_DIRECTION_VALID) != 0
    assert seen.sum() == 486
    assert (gaze["combined_direction"][seen, 2] < -0.8).all()
    # The file has four decimals.
    assert np.abs(np.linalg.norm(gaze["combined_direction"][seen], axis=1) - 1).max() < 2e-4
    assert ((gaze["flags_left"] & kinds.EYE_BLINK) != 0).sum() == 6
    assert ((gaze["flags_right"] & kinds.EYE_BLINK) != 0).sum() == 8
    assert ((gaze["flags_right"] & kinds.EYE_OPENNESS_VALID) != 0).sum() == 486


def test_pico_hands_are_on_their_sides() -> None:
    tracks = {track.name: track.samples for track in read(PICO).tracks}
    assert [int(tracks[name]["tracker"][0]) for name in ("head", "left_hand", "right_hand")] == [0, 1, 2]
    # The right controller lay still all the time at the app's default, the left one moved.
    assert tracks["right_hand"]["position_m"][0].tolist() == [0.0, 0.0, np.float32(0.12)]
    assert len({row.tobytes() for row in tracks["left_hand"]["position_m"]}) > 300


def test_vive_clean() -> None:
    got = read(CLEAN)
    facts = got.facts
    assert facts["rows"] == 1518
    assert {
        facts[word] for word in ("duplicates", "dropped", "gaps", "standing", "backwards", "frame_backwards")
    } == {0}
    assert facts["repeated"] == 379
    assert round((facts["rows"] - 1) / facts["host_span_ns"] * 1e9, 2) == 120.03


def test_vive_faults() -> None:
    facts = read(FAULTY).facts
    assert facts["rows"] == 1664
    assert read(CLEAN).facts["rows"] + facts["rows"] == 3182
    assert (facts["duplicates"], facts["single_drops"], facts["double_drops"]) == (59, 57, 1)
    assert (facts["longer_drops"], facts["dropped"], facts["frame_backwards"]) == (0, 59, 0)
    # The device clock shows the same: it stands still for a duplicate and jumps for a drop.
    assert (facts["standing"], facts["gaps"]) == (59, 58)
    assert round(facts["right_invalid"] / facts["rows"], 2) == 0.99
    head = read(FAULTY).tracks[1]
    assert head.observations == {"held": 1663, "invalid": 1664}
    assert not head.samples["position_m"].any()


@pytest.mark.parametrize("path", [CLEAN, FAULTY], ids=lambda path: path.name)
def test_vive_clocks(path: Path) -> None:
    facts = read(path).facts
    assert 0.99991 <= facts["host_span_ns"] / facts["device_span_ns"] < 0.99999
    # Signed milliseconds of the device: far below zero, kept as they are.
    assert (read(path).tracks[0].times_ns < 0).all()
    assert (read(path).tracks[0].times_ns % 1_000_000 == 0).all()


@pytest.mark.parametrize("path", [CLEAN, FAULTY], ids=lambda path: path.name)
def test_vive_eyes_are_on_their_sides_and_invalid_numbers_kept(path: Path) -> None:
    gaze = read(path).tracks[0].samples
    assert (gaze["left"]["origin_m"][:, 0] < -0.02).all()
    assert (gaze["right"]["origin_m"][:, 0] > 0.02).all()
    for eye in ("left", "right"):
        flags = gaze[f"flags_{eye}"]
        aimed = (flags & kinds.EYE_DIRECTION_VALID) != 0
        assert np.abs(np.linalg.norm(gaze[eye]["direction"][aimed], axis=1) - 1).max() < 1e-3
        assert (gaze[eye]["direction"][aimed, 2] < 0).all()
        assert not gaze[eye]["direction"][~aimed].any()
        sized = (flags & kinds.EYE_PUPIL_VALID) != 0
        assert (gaze[eye]["pupil_mm"][sized] > 1).all()
        assert (gaze[eye]["pupil_mm"][~sized] == -1).all()
        assert set(flags.tolist()) <= {31, 25, 24, 8}
    assert np.isnan(gaze["vergence_m"]).all()


def test_clips_that_are_sound_and_clips_that_are_refused() -> None:
    assert len(CLIPS) == 60
    refused = {}
    for path in CLIPS:
        try:
            read_recording(path.name, path.read_bytes())
        except LocalError as error:
            refused[path.name] = error.message
    assert set(refused) == set(REFUSED)
    for name, says in REFUSED.items():
        assert says in refused[name], name
    assert len(SOUND) == 57


def test_clips_that_break_a_rule_and_play_are_flagged() -> None:
    rules = {"other_version", "emphasis_weaker", "emphasis_amplitude_range", "emphasis_frequency_range"}
    flagged = {path.name: {rule for rule in rules if read(path).facts[rule]} for path in SOUND}
    assert {name: broken for name, broken in flagged.items() if broken} == FLAGGED


@pytest.mark.parametrize("path", SOUND, ids=lambda path: path.name)
def test_clips_lose_no_breakpoint(path: Path) -> None:
    got = read(path)
    (track,) = got.tracks
    transient = track.samples["event"] == EVENT_TRANSIENT
    assert transient.sum() == got.facts["emphasis"]
    # No clip here has two breakpoints at one time, so every interval is an event.
    assert (~transient).sum() == got.facts["amplitude_points"] - 1
    assert (np.diff(track.times_ns) >= 0).all()
    simple = track.samples[~transient]
    assert (simple["duration_ns"] > 0).all()
    ends = simple["t_capture_ns"] + simple["duration_ns"]
    assert (ends[:-1] == simple["t_capture_ns"][1:]).all()
    assert all(end == got.duration_ns for end in ends[-1:])
    pitched = track.samples["frequency_hz"][track.samples["frequency_hz"] != 0]
    outside = int(((pitched < 60) | (pitched > 300)).sum())
    assert outside == got.facts["emphasis_frequency_range"]


def test_the_long_clips_carry_the_density_of_their_notes() -> None:
    for name, points, tones in (
        ("v1-120.haptic", 6881, 3441),
        ("v1-10.haptic", 403, 202),
        ("v1-60.haptic", 3249, 1625),
    ):
        got = read(next(path for path in CLIPS if path.name == name))
        assert (got.facts["amplitude_points"], got.facts["frequency_points"]) == (points, tones)
        assert 40 <= points / (got.duration_ns / 1e9) < 58
