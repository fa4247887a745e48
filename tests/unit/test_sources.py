"""The readers' edges: what is refused and how it is said, what is flagged, and how tracks are cut into frames."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from gateway.errors import LocalError
from gateway.sources import haptic_clip, recording
from gateway.sources.framing import frames_of, samples_per_frame
from gateway.sources.recording import read_recording
from gateway.sources.track import EVENT_SIMPLE, EVENT_TRANSIENT, LEFT, Track, timing
from gateway.wire import frame, kinds
from tests.paths import DATA

QUEST_HEADER = "t_s,fps," + ",".join(
    f"{who}_{part}"
    for who in ("head", "left", "right")
    for part in ("px", "py", "pz", "qx", "qy", "qz", "qw")
)
POSE = "0.1,1.5,-0.2,0,0,0,1"


def quest(*rows: str) -> bytes:
    return "\n".join((QUEST_HEADER, *rows, "")).encode()


def row(t_s: str, head: str = POSE) -> str:
    return f"{t_s},90,{head},{POSE},{POSE}"


def vive_lines() -> list[str]:
    return (DATA / "eye" / "TESTNA01_2D_Fist3.csv").read_bytes().decode().split("\r\n")[:4]


def pico_lines() -> list[str]:
    return (
        (DATA / "pose" / "pico_neo3_boxing_head_ctrl_gaze_90hz.tsv")
        .read_text(encoding="utf-8")
        .split("\n")[:4]
    )


def with_field(lines: list[str], line: int, separator: str, column: str, value: str) -> bytes:
    """The lines with one field replaced; `line` counts from 1, the header."""
    fields = lines[line - 1].split(separator)
    fields[lines[0].split(separator).index(column)] = value
    return "\n".join([*lines[: line - 1], separator.join(fields), *lines[line:]]).encode()


def clip(amplitude: list[dict[str, object]], frequency: list[dict[str, object]] | None = None) -> bytes:
    envelopes: dict[str, object] = {"amplitude": amplitude}
    if frequency is not None:
        envelopes["frequency"] = frequency
    return json.dumps({"version": {"major": 1}, "signals": {"continuous": {"envelopes": envelopes}}}).encode()


# --- tables -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no format that is known"),
        (b"a,b\n1,2\n", "no format that is known"),
        (b"\xff\xfe\x00", "byte 0 of the recording is not UTF-8"),
        (quest(), "no row"),
        (quest(row("0"), "1,90,0.1"), "line 3: 3 fields where the header has 23"),
        (quest(row("0"), "", row("1")), "line 3: 1 fields"),
        (quest(row("0"), row("soon")), "line 3, column 't_s': not a time in seconds"),
        (quest(row("nan")), "line 2, column 't_s'"),
        (quest(row("1e30")), "line 2, column 't_s'"),
        (quest(row("0"), row("1", "1_0,1.5,-0.2,0,0,0,1")), "line 3, column 'head_px': not a number"),
        (quest(row("0"), row("1", ",1.5,-0.2,0,0,0,1")), "line 3, column 'head_px': not a number"),
        (quest(row("0")).replace(b"right_qw", b"right_qv"), "line 1: column 'right_qw' is missing (1 of 22"),
        (quest(row("0")).replace(b",fps,", b",t_s,"), "no format that is known"),
        (quest(row("0")).replace(b"left_px", b"head_px"), "line 1: column 'left_px' is missing"),
    ],
)
def test_a_table_that_is_refused_says_where(data: bytes, says: str) -> None:
    with pytest.raises(LocalError) as caught:
        read_recording("r", data)
    assert caught.value.code == "recording"
    assert says in caught.value.message
    assert caught.value.hint.endswith(".")


def test_two_columns_of_one_name_are_refused() -> None:
    data = quest(row("0")).replace(b"right_qw\n", b"right_qw,fps\n").replace(b"1\n", b"1,5\n")
    with pytest.raises(LocalError, match="two columns have the same name"):
        read_recording("r", data)


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("frame", "-1", "a whole number from 0"),
        ("frame", "1.5", "a whole number from 0"),
        ("frame", "9" * 5000, "a whole number from 0"),
        ("eye_valid_L", "32", "a whole number from 0 to 31"),
        ("distance_valid_C", "maybe", "True or False"),
        ("time_stamp(ms)", "9" * 15, "a whole number from"),
    ],
)
def test_a_bad_field_names_line_and_column_and_not_its_content(column: str, value: str, says: str) -> None:
    with pytest.raises(LocalError) as caught:
        read_recording("r", with_field(vive_lines(), 3, ";", column, value))
    assert f"line 3, column '{column}'" in caught.value.message
    assert says in caught.value.message
    assert value not in caught.value.message


def test_line_ends_and_blank_lines_at_the_end_do_not_matter() -> None:
    plain = quest(row("0"), row("0.011"))
    crlf = plain.replace(b"\n", b"\r\n") + b"\r\n\r\n"
    one, other = read_recording("r", plain), read_recording("r", crlf)
    assert [t.samples.tobytes() for t in one.tracks] == [t.samples.tobytes() for t in other.tracks]
    assert one.facts["rows"] == 2


def test_too_many_rows_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.sources.table.MAX_ROWS", 2)
    assert read_recording("r", quest(row("0"), row("1"))).facts["rows"] == 2
    with pytest.raises(LocalError, match="3 rows; at most 2"):
        read_recording("r", quest(row("0"), row("1"), row("2")))


# --- packing ----------------------------------------------------------------------------------------------------


def test_a_packed_recording_is_read_and_a_damaged_one_refused() -> None:
    plain = quest(row("0"), row("0.011"))
    packed = gzip.compress(plain, mtime=0)
    assert (
        read_recording("r", packed).tracks[0].samples.tobytes()
        == read_recording("r", plain).tracks[0].samples.tobytes()
    )
    for damaged, says in (
        (packed[:-9], "ends too early"),
        (packed + b"x", "something after"),
        (packed + packed, "something after"),
        (packed[:20] + b"\xff\xff\xff\xff" + packed[24:], "damaged"),
        (packed[:-8] + bytes(8), "damaged"),
    ):
        with pytest.raises(LocalError, match=says):
            read_recording("r", damaged)


def test_what_is_too_large_is_refused_packed_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = quest(*(row(str(n)) for n in range(100)))
    monkeypatch.setattr(recording, "MAX_BYTES", len(plain))
    assert read_recording("r", gzip.compress(plain)).facts["rows"] == 100
    monkeypatch.setattr(recording, "MAX_BYTES", len(plain) - 1)
    with pytest.raises(LocalError, match="unpacks to more than"):
        read_recording("r", gzip.compress(plain))
    with pytest.raises(LocalError, match="at most"):
        read_recording("r", plain)


# --- validity ---------------------------------------------------------------------------------------------------


def test_a_zero_quaternion_is_kept_and_said_to_be_invalid() -> None:
    head = read_recording("r", quest(row("0", "0.1,1.5,-0.2,0,0,0,0"), row("1"))).tracks[0]
    assert head.samples["flags"].tolist() == [
        kinds.POSITION_VALID,
        kinds.POSITION_VALID | kinds.ORIENTATION_VALID,
    ]
    assert not head.samples["orientation"][0].any()
    assert head.observations["invalid"] == 1


def test_numbers_that_are_not_finite_are_kept_and_pass_the_gateways_check() -> None:
    rows = [row("0", "NaN,1.5,-0.2,0,0,0,1"), row("1", "0,0,0,0,inf,0,1"), row("2", "1e39,0,0,0,0,0,1")]
    head = read_recording("r", quest(*rows)).tracks[0]
    assert head.samples["flags"].tolist() == [
        kinds.ORIENTATION_VALID,
        kinds.POSITION_VALID,
        kinds.ORIENTATION_VALID,
    ]
    assert np.isnan(head.samples["position_m"][0, 0])
    assert np.isinf(head.samples["position_m"][2, 0])
    for first, _, raw in frames_of(head):
        frame.check_samples(frame.Frame(1, head.kind, first, raw))


def test_an_eye_number_that_is_not_finite_clears_its_bit() -> None:
    gaze = read_recording("r", with_field(vive_lines(), 2, ";", "gaze_direct_L.y", "NaN")).tracks[0]
    assert gaze.samples["flags_left"].tolist() == [31 ^ kinds.EYE_DIRECTION_VALID, 31, 31]
    assert gaze.samples["flags_right"].tolist() == [31, 31, 31]


def test_vergence_is_metres_where_the_file_says_it_is_valid() -> None:
    lines = vive_lines()
    lines[1] = with_field(lines, 2, ";", "distance_C(mm)", "1250").decode().split("\n")[1]
    gaze = read_recording("r", with_field(lines, 2, ";", "distance_valid_C", "True")).tracks[0]
    assert gaze.samples["vergence_m"][0] == 1.25
    assert np.isnan(gaze.samples["vergence_m"][1:]).all()


def test_a_pose_of_six_zeros_in_a_recording_of_angles_is_none() -> None:
    lines = pico_lines()
    for part in ("Position", "Rotation"):
        for axis in "xyz":
            lines[1] = with_field(lines, 2, "\t", f"Head {part}. {axis}", "0").decode().split("\n")[1]
    head = read_recording("r", "\n".join(lines).encode()).tracks[0]
    assert head.samples["flags"][0] == 0
    assert head.samples["flags"][1] & kinds.ORIENTATION_VALID


def test_velocities_are_never_made_up() -> None:
    for track in read_recording("r", "\n".join(pico_lines()).encode()).tracks[:3]:
        assert np.isnan(track.samples["linear_velocity"]).all()
        assert np.isnan(track.samples["angular_velocity"]).all()
        assert not (
            track.samples["flags"] & (kinds.LINEAR_VELOCITY_VALID | kinds.ANGULAR_VELOCITY_VALID)
        ).any()


def test_a_repeated_pose_is_held_and_a_recordings_fault_is_counted() -> None:
    got = read_recording(
        "r", quest(row("0"), row("0.011"), row("0.011", "9,9,9,0,0,0,1"), row("0.005"), row("0.1"))
    )
    held = [bool(flags & kinds.HELD) for flags in got.tracks[0].samples["flags"]]
    assert held == [False, True, False, False, True]
    assert got.facts == {"rows": 5, "repeated": 2, "gaps": 2, "standing": 1, "backwards": 1}
    assert got.duration_ns == 100_000_000


def test_pace_of_few_samples() -> None:
    assert (
        timing(np.array([], np.int64)) == timing(np.array([7])) == {"gaps": 0, "standing": 0, "backwards": 0}
    )
    assert timing(np.array([0, 10, 20, 36, 46])) == {"gaps": 1, "standing": 0, "backwards": 0}


# --- haptic clips -----------------------------------------------------------------------------------------------

POINT = {"time": 0, "amplitude": 0.5}
NOTHING_ODD = {"emphasis_weaker": 0, "emphasis_amplitude_range": 0, "emphasis_frequency_range": 0}


def test_a_clip_becomes_one_event_for_each_interval_and_one_for_each_emphasis() -> None:
    track = haptic_clip.render(
        haptic_clip.parse(
            clip(
                [
                    {"time": 0.0, "amplitude": 0.25},
                    {"time": 0.5, "amplitude": 0.5, "emphasis": {"amplitude": 1, "frequency": 0.5}},
                    {"time": 0.5, "amplitude": 0.125},
                    {"time": 1, "amplitude": 0.0, "emphasis": {"amplitude": 0.5, "frequency": 0}},
                ],
                [{"time": 0.25, "frequency": 0.0}, {"time": 0.75, "frequency": 1.0}],
            )
        ),
        target=LEFT,
        actuator=3,
    )
    names = ("t_capture_ns", "duration_ns", "frequency_hz", "amplitude", "event")
    assert [tuple(sample[name].item() for name in names) for sample in track.samples] == [
        (0, 500_000_000, 60.0, 0.25, EVENT_SIMPLE),
        (500_000_000, -1, 180.0, 1.0, EVENT_TRANSIENT),
        (500_000_000, 500_000_000, 180.0, 0.125, EVENT_SIMPLE),
        (1_000_000_000, -1, 60.0, 0.5, EVENT_TRANSIENT),
    ]
    assert set(track.samples["target"].tolist()) == {LEFT}
    assert set(track.samples["actuator"].tolist()) == {3}
    assert track.observations == {"emphasis": 2, **NOTHING_ODD, "unspecified_frequency": 0}


def test_a_clip_without_frequencies_leaves_them_to_the_actuator() -> None:
    for frequency in (None, []):
        got = read_recording("c", clip([{"time": 0, "amplitude": 1}, {"time": 2, "amplitude": 0}], frequency))
        assert got.tracks[0].samples["frequency_hz"].tolist() == [0.0]
        assert got.duration_ns == 2_000_000_000


def test_a_clip_of_one_breakpoint_plays_nothing() -> None:
    got = read_recording("c", clip([{"time": 0.1, "amplitude": 1}]))
    points = {"amplitude_points": 1, "frequency_points": 0, "emphasis": 0, "events": 0}
    assert got.facts == points | {"other_version": 0} | NOTHING_ODD
    assert list(frames_of(got.tracks[0])) == []


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"{", "not JSON"),
        (b"{}", "missing required field `version`"),
        (b'{"version": {"major": 1}}', "missing required field `signals`"),
        (b'{"version": {"major": 2}}', "missing required field `signals`"),
        (b'{"version": {"major": "1"}, "signals": {}}', "Expected `int`"),
        (b"{" * 100_000, "not JSON"),
        (clip([]), "empty"),
        (clip([{"time": 0, "amplitude": "x"}]), "Expected `float`"),
        (clip([{"time": 0, "amplitude": -0.01}]), "amplitude breakpoint 0: amplitude out of range"),
        (clip([POINT, {"time": 1, "amplitude": 1.01}]), "amplitude breakpoint 1: amplitude out of range"),
        (clip([{"time": -1, "amplitude": 0.5}]), "amplitude breakpoint 0: its time"),
        (clip([{"time": 3601, "amplitude": 0.5}]), "amplitude breakpoint 0: its time"),
        (
            clip([POINT], [{"time": 1, "frequency": 0}, {"time": 0, "frequency": 0}]),
            "frequency breakpoint 1: its time",
        ),
        (clip([POINT], [{"time": 1, "frequency": 2}]), "frequency breakpoint 0: frequency out of range"),
        (clip([POINT | {"emphasis": {"amplitude": 0.6}}]), "missing required field `frequency`"),
        (clip([POINT | {"emphasis": {"amplitude": -1e39, "frequency": 0}}]), "emphasis amplitude too large"),
        (clip([POINT | {"emphasis": {"amplitude": 1, "frequency": 2e36}}]), "emphasis frequency too large"),
        (b'{"version":{"major":1}' + b" " * haptic_clip.MAX_BYTES, "bytes; at most"),
    ],
)
def test_a_clip_that_is_refused_says_why(data: bytes, says: str) -> None:
    with pytest.raises(LocalError) as caught:
        read_recording("c", data)
    assert caught.value.code == "recording"
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("amplitude", "frequency", "broken"),
    [
        (0.25, 0.5, {"emphasis_weaker"}),
        (1.5, 0.5, {"emphasis_amplitude_range"}),
        (-0.5, 0.5, {"emphasis_weaker", "emphasis_amplitude_range"}),
        (0.5, 1.5, {"emphasis_frequency_range"}),
        (1, -1, {"emphasis_frequency_range"}),
        (3e38, 1e36, {"emphasis_amplitude_range", "emphasis_frequency_range"}),
        (0.5, 0, set()),
    ],
)
def test_an_emphasis_that_breaks_a_rule_is_flagged_and_rendered_as_it_is(
    amplitude: float, frequency: float, broken: set[str]
) -> None:
    got = read_recording(
        "c",
        clip([POINT | {"emphasis": {"amplitude": amplitude, "frequency": frequency}}, POINT | {"time": 1}]),
    )
    simple, transient = got.tracks[0].samples
    assert (simple["amplitude"], simple["event"]) == (0.5, EVENT_SIMPLE)
    assert transient["amplitude"] == np.float32(amplitude)
    assert transient["frequency_hz"] == np.float32(60 + 240 * frequency)
    frame.check_samples(frame.Frame(0, kinds.HAPTIC, 0, got.tracks[0].samples.tobytes()))
    flags = {rule: int(rule in broken) for rule in NOTHING_ODD}
    assert {word: got.facts[word] for word in NOTHING_ODD} == flags
    assert {word: got.tracks[0].observations[word] for word in NOTHING_ODD} == flags


@pytest.mark.parametrize(
    ("version", "other"),
    [
        ({"major": 1}, 0),
        ({"major": 1, "minor": 7, "patch": 3}, 0),
        ({"major": 2}, 1),
        ({"major": 0, "minor": 2}, 1),
        ({"major": 1, "minor": -2}, 1),
    ],
)
def test_another_version_with_the_same_fields_is_flagged(version: dict[str, int], other: int) -> None:
    data = json.loads(clip([POINT, POINT | {"time": 1}])) | {"version": version}
    got = read_recording("c", json.dumps(data).encode())
    assert got.facts["other_version"] == other
    assert len(got.tracks[0].samples) == 1


def test_a_clip_of_too_many_breakpoints_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(haptic_clip, "MAX_BREAKPOINTS", 1)
    assert haptic_clip.parse(clip([POINT])).signals.continuous.envelopes.amplitude[0].time == 0
    with pytest.raises(LocalError, match="2 amplitude breakpoints; at most 1"):
        haptic_clip.parse(clip([POINT, POINT]))


# --- frames -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [n for n, kind in kinds.KINDS.items() if not kind.variable])
def test_a_default_frame_fits_a_datagram(number: int) -> None:
    kind = kinds.KINDS[number]
    raw = bytes(samples_per_frame(number) * kind.sample_bytes)
    # Numbers of four bytes last 414 days at 120 Hz; a device names few totals in a packet of samples.
    one = frame.Frame(100, number, 2**32 - 1, raw)
    totals = [(stream, 2**32 - 1) for stream in range(3)]
    body = frame.encode_data(frame.Data(2**32 - 1, totals, [one]))
    assert 24 + len(body) + 16 <= 1200


def test_defaults_for_the_kinds_that_stream_most() -> None:
    wanted = {kinds.POSE: 16, kinds.GAZE: 10, kinds.HAPTIC: 32, kinds.HAND: 1, kinds.MARKER: 1, kinds.PCM: 1}
    assert {number: samples_per_frame(number) for number in wanted} == wanted


@pytest.mark.parametrize("per_frame", [None, 1, 7, 1000])
def test_frames_put_together_are_the_track(per_frame: int | None) -> None:
    samples = np.zeros(100, kinds.POSE_DTYPE)
    samples["t_capture_ns"] = np.arange(100) * 11
    track = Track("head", kinds.POSE, samples)
    frames = list(frames_of(track, per_frame))
    assert b"".join(raw for _, _, raw in frames) == samples.tobytes()
    size = per_frame or 16
    assert [first for first, _, _ in frames] == list(range(0, 100, size))
    assert [last for _, last, _ in frames] == [11 * (min(first + size, 100) - 1) for first, _, _ in frames]


def test_a_frame_holds_at_least_one_sample() -> None:
    with pytest.raises(ValueError, match="at least one"):
        list(frames_of(Track("head", kinds.POSE, np.zeros(1, kinds.POSE_DTYPE)), 0))
