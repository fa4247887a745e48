"""The app half of the Godot addon: what each source makes of trackers, when it is silent, and what it keeps.

Trackers are synthetic, the XR server, the addon and the gateway are real; records are read back from the vault.
"""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from e2e.daemon import Gateway
from engines.engines import errors_of_godot, godot_project, godot_run
from engines.reference import difference, expected, quaternion
from engines.rig import Rig, rig
from paths import ROOT

from gateway.net.control import call
from gateway.wire import kinds

PROJECT = ROOT / "plugins" / "godot"
SCRIPTS = Path(__file__).parent / "godot"
NAN = b"\x00\x00\xc0\x7f"
STEP_NS = 11_111_111
JOINT = np.dtype([("position", "<f4", 3), ("turn", "<f4", 4), ("radius", "<f4"), ("flags", "<u4")])
ALL_KINDS = ["pose", "gaze", "hand", "face_unified", "haptic", "button", "marker"]

PRESET = """[preset.0]
name="Android"
platform="Android"
runnable=true
export_filter="all_resources"
include_filter=""
exclude_filter=""
export_path=""
[preset.0.options]
package/unique_name="org.example.app"
permissions/internet=%s
"""

pytestmark = pytest.mark.slow

Row = dict[str, Any]
Matrix = Any


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("addon") / "s") as made:
        yield made


def begin(gateway: Gateway, one: Rig, permitted: list[str]) -> tuple[int, str]:
    """Give the rig a device of its own and a session, and wait until it records."""
    key = gateway.add_device("headset")
    session = gateway.open_session([key.device], permitted)
    one.give_identity(
        {"device": key.device, "key": key.key, "home": key.home, "name": "headset", "hello_seq": -1},
        "127.0.0.1",
        gateway.udp_port,
    )
    one.make("127.0.0.1", gateway.udp_port)
    one.ask("start")
    one.recording()
    return key.device, session


def played(gateway: Gateway, folder: Path, rows: list[Row]) -> dict[int, bytes]:
    """Play rows through the addon; what the vault holds, by stream."""
    tape = folder / "tape.jsonl"
    tape.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with rig("godot", folder) as one:
        _, session = begin(gateway, one, ALL_KINDS)
        assert one.play(tape) == len(rows)
        one.ask("stop", reason="end")
        status = one.drained()
        assert (status["lost"], status["refused"], status["queue_dropped"]) == ({}, {}, 0)
    return {stream: stored.samples for stream, stored in gateway.streams(session).items()}


# ---- rotations, reckoned a second time ------------------------------------------------------------------------------


def matrix(q: Any) -> Matrix:
    """The rotation of a unit quaternion x y z w."""
    x, y, z, w = map(float, q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def columns(m: Matrix) -> list[float]:
    """Nine float32 values, column after column, as a tape holds a basis."""
    return [float(np.float32(value)) for value in m.T.reshape(-1)]


def singles(*values: float) -> list[float]:
    return [float(np.float32(value)) for value in values]


def random_turn(draw: random.Random) -> Any:
    q = np.array([draw.gauss(0, 1) for _ in range(4)])
    return q / np.linalg.norm(q)


HALF_TURN = matrix((0.0, -math.sqrt(0.5), math.sqrt(0.5), 0.0))
"""Godot turns OpenXR's joints by this into those of its humanoid hand."""


# ---- the project ----------------------------------------------------------------------------------------------------


def strict_project(folder: Path) -> Path:
    """The project with every warning that the engine has on by default made an error, in the addon too."""
    made = folder / "strict"
    shutil.copytree(PROJECT, made, ignore=shutil.ignore_patterns(".godot"))
    shutil.copytree(SCRIPTS / "rig", made / "tests_rig")
    shutil.copytree(SCRIPTS / "addon", made / "tests_addon")
    said = godot_run(made, "--script", "res://tests_addon/warnings.gd", timeout_s=60)
    levels = [line for line in said.splitlines() if line.startswith("gdscript/warnings/")]
    assert len(levels) > 20, said
    with (made / "project.godot").open("a") as project:
        project.write("\n[debug]\n\n" + "\n".join(levels) + "\n")
    return made


def test_the_project_imports_and_every_script_compiles_without_a_warning(tmp_path: Path) -> None:
    made = strict_project(tmp_path)
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    said = godot_run(made, "--import", timeout_s=120, environment=home)
    assert not errors_of_godot(said), said
    assert "WARNING" not in said, said
    # A script that does not compile under these settings is an error of the engine's; each is loaded by its path.
    said = godot_run(made, "--script", "res://tests_addon/compile.gd", timeout_s=120, environment=home)
    assert not errors_of_godot(said), said
    scripts = len(list(made.rglob("*.gd")))
    assert f"{scripts} of {scripts} scripts compile" in said, said
    assert "WARNING" not in said, said


def test_a_warning_would_be_found(tmp_path: Path) -> None:
    made = strict_project(tmp_path)
    (made / "addons" / "vestibule" / "bad.gd").write_text(
        "extends RefCounted\nfunc f() -> void:\n\tvar unused := 1\n"
    )
    said = godot_run(made, "--script", "res://tests_addon/compile.gd", timeout_s=120)
    assert "unused" in errors_of_godot(said)


def test_the_sample_runs_without_a_window_and_without_an_error(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    project = godot_project("sample", {".": PROJECT})
    said = godot_run(project, "--quit-after", "120", environment=home)
    assert not errors_of_godot(said), said
    assert "not paired" in said, "it says why nothing is recorded"


def test_the_sample_needs_no_class_cache(tmp_path: Path) -> None:
    """A fresh checkout has no `.godot`: names of classes are not known there, and only what is preloaded is found."""
    made = tmp_path / "fresh"
    shutil.copytree(PROJECT, made, ignore=shutil.ignore_patterns(".godot"))
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    said = godot_run(made, "--quit-after", "120", environment=home)
    assert not errors_of_godot(said), said
    assert "not paired" in said, said


def test_enabling_adds_autoload_and_settings_and_disabling_keeps_the_settings(tmp_path: Path) -> None:
    made = tmp_path / "project"
    addons = made / "addons"
    shutil.copytree(PROJECT / "addons", addons, ignore=shutil.ignore_patterns(".godot"))
    shutil.copytree(SCRIPTS / "addon" / "enabler", addons / "enabler")
    (made / "project.godot").write_text(
        'config_version=5\n[application]\nconfig/name="empty"\n'
        '[editor_plugins]\nenabled=PackedStringArray("res://addons/enabler/plugin.cfg")\n'
    )
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    said = godot_run(made, "--editor", timeout_s=120, environment=home)
    told = [line.removeprefix("TOLD ") for line in said.splitlines() if line.startswith("TOLD ")]
    assert told.pop() == "done", said
    before, enabled, disabled, again = map(json.loads, told)
    assert (before["autoload"], before["settings"]) == ("", {})
    # Godot writes the script's uid where it has one: what counts is that it stands there, as a singleton.
    assert enabled["autoload"].startswith("*"), enabled
    assert enabled["settings"]["vestibule/gateway/port"] == 1, "a range, for the editor's field"
    assert len(enabled["settings"]) == 20
    assert (disabled["autoload"], disabled["host"]) == ("", "10.0.0.7")
    assert again["autoload"].startswith("*")
    assert again["host"] == "10.0.0.7"
    assert not errors_of_godot(said), said


@pytest.mark.parametrize("internet", [False, True])
def test_an_android_export_without_internet_is_told(tmp_path: Path, internet: bool) -> None:
    made = tmp_path / "project"
    shutil.copytree(PROJECT, made, ignore=shutil.ignore_patterns(".godot"))
    (made / "export_presets.cfg").write_text(PRESET % str(internet).lower())
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    godot_run(made, "--import", timeout_s=120, environment=home)
    # A pack needs no Android SDK, and goes through the same check as an APK.
    said = godot_run(
        made, "--export-pack", "Android", str(tmp_path / "app.zip"), timeout_s=120, environment=home
    )
    assert (tmp_path / "app.zip").exists(), said
    assert ("ERROR: Vestibule sends nothing without the permission INTERNET" in said) is not internet, said


# ---- sources --------------------------------------------------------------------------------------------------------


def test_hands_are_turned_back_to_openxr(gateway: Gateway, tmp_path: Path) -> None:
    draw = random.Random(5)
    rows, turns = [], []
    for frame in range(20):
        joints = []
        for joint in range(26):
            turn = random_turn(draw)
            turns.append(turn)
            joints.append(
                {
                    "basis": columns(matrix(turn) @ HALF_TURN),
                    "o": singles(*(draw.uniform(-1, 1) for _ in range(3))),
                    "radius": singles(0.005 + joint / 10_000)[0],
                    # Every combination of the four bits comes by.
                    "flags": (frame * 26 + joint) % 16,
                }
            )
        rows.append(
            {
                "t": str((frame + 1) * STEP_NS),
                "kind": "hand",
                "hand": 2,
                "source": 1,
                "flags": 1,
                "joints": joints,
            }
        )
    stored = np.frombuffer(played(gateway, tmp_path, rows)[5], kinds.HAND_DTYPE)
    assert list(stored["t_capture_ns"]) == [int(row["t"]) for row in rows]
    assert (set(stored["hand"]), set(stored["source"]), set(stored["flags"])) == ({2}, {1}, {1})
    assert {value.tobytes() for value in stored["confidence"]} == {NAN}
    wanted = np.zeros((20, 26), JOINT)
    for row, made in zip(rows, wanted, strict=True):
        for joint, each in zip(row["joints"], made, strict=True):
            basis = joint["basis"]
            openxr = [*(-v for v in basis[0:3]), *(-v for v in basis[6:9]), *(-v for v in basis[3:6])]
            flags = joint["flags"]
            # "Tracked" of what is not valid means nothing, and is not written.
            each["flags"] = (flags & 5 if flags & 1 else 0) | (flags & 10 if flags & 2 else 0)
            each["position"] = joint["o"] if flags & 1 else math.nan
            each["turn"] = quaternion(openxr) if flags & 2 else math.nan
            each["radius"] = joint["radius"]
    assert stored["joints"].tobytes() == wanted.tobytes()
    # And what is written is the rotation that OpenXR told, not Godot's.
    told = np.array(turns).reshape(20, 26, 4)
    valid = wanted["flags"] & 2 > 0
    assert abs(abs((stored["joints"]["orientation"] * told).sum(axis=2))[valid] - 1).max() < 1e-6


def test_a_lost_hand_is_told_once_and_then_once_a_second(gateway: Gateway, tmp_path: Path) -> None:
    joints = [{"basis": [1, 0, 0, 0, 1, 0, 0, 0, 1], "o": [0, 1, 0], "radius": 0.01, "flags": 15}] * 26
    rows = [
        {"t": str((frame + 1) * 100_000_000), "kind": "hand", "hand": 1, "source": 1, "joints": joints}
        | {"flags": 0 if 5 <= frame < 30 else 1}
        for frame in range(40)
    ]
    stored = np.frombuffer(played(gateway, tmp_path, rows)[4], kinds.HAND_DTYPE)
    lost = stored[stored["flags"] == 0]
    assert [int(t) // 100_000_000 - 1 for t in lost["t_capture_ns"]] == [5, 15, 25]
    assert len(stored) == 15 + 3
    for record in lost["joints"].reshape(-1):
        assert record["flags"] == 0
        assert record.tobytes()[:32] == NAN * 8


def test_the_face_has_all_weights_or_says_so(gateway: Gateway, tmp_path: Path) -> None:
    draw = random.Random(7)
    weights = [singles(*(draw.random() for _ in range(143))) for _ in range(10)]
    weights.append([0.0] * 143)
    weights.append([*weights[0][:142], 1e39])  # infinite in 32 bits
    rows = [
        {"t": str((number + 1) * 1_000_000_000), "kind": "face", "weights": values}
        for number, values in enumerate(weights)
    ]
    samples = played(gateway, tmp_path, rows)[6]
    stored = [samples[at : at + 588] for at in range(0, len(samples), 588)]
    assert len(stored) == 12
    for record, row in zip(stored[:10], rows, strict=False):
        head = np.array([int(row["t"])], "<i8").tobytes() + bytes([3, 0, 143, 0, 1, 0, 0, 0])
        assert record == head + np.array(row["weights"], "<f4").tobytes()
    for record in stored[10:]:
        assert record[8:16] == bytes([3, 0, 143, 0, 0, 0, 0, 0])
        assert record[16:] == NAN * 143


def test_gaze_of_the_runtime_is_written_in_head_space(gateway: Gateway, tmp_path: Path) -> None:
    draw = random.Random(9)
    rows: list[Row] = []
    wanted = []
    for frame in range(30):
        t = str((frame + 1) * STEP_NS)
        head, eyes = random_turn(draw), random_turn(draw)
        place, pupil = (np.array([draw.uniform(-2, 2) for _ in range(3)], np.float32) for _ in range(2))
        lost = frame % 5 == 4
        rows.append(
            {"t": t, "kind": "pose", "stream": 0, "tracker": 0, "space": 2, "flags": 15, "v": None, "w": None}
            | {"basis": columns(matrix(head)), "o": [float(v) for v in place]}
        )
        rows.append(
            {"t": t, "kind": "eyes", "flags": 0 if lost else 15}
            | {"basis": columns(matrix(eyes)), "o": [float(v) for v in pupil]}
        )
        axes = np.array(rows[-2]["basis"]).reshape(3, 3)
        # Differences in the engine's 32 bits, products and sums in 64, in the order of x, y and z.
        ahead = [-v for v in rows[-1]["basis"][6:9]]
        for vector in ([float(v) for v in pupil - place], ahead):
            wanted.append(
                [math.nan if lost else (a[0] * vector[0] + a[1] * vector[1]) + a[2] * vector[2] for a in axes]
            )
    stored = np.frombuffer(played(gateway, tmp_path, rows)[3], kinds.GAZE_DTYPE)
    assert list(stored["flags_left"]) == [0 if frame % 5 == 4 else 0x300 for frame in range(30)]
    assert set(stored["flags_right"]) == {0}
    both = np.array(wanted, "<f4").reshape(30, 2, 3)
    both.view("<u4")[np.isnan(both)] = 0x7FC00000
    assert stored["combined_origin_m"].tobytes() == both[:, 0].tobytes()
    assert stored["combined_direction"].tobytes() == both[:, 1].tobytes()
    for eye in ("left", "right"):
        assert {stored[eye].tobytes()[at : at + 4] for at in range(0, 30 * 32, 4)} == {NAN}


def test_the_body_is_poses_of_the_joints_that_are_told(gateway: Gateway, tmp_path: Path) -> None:
    draw = random.Random(11)
    flags = {0: 15, 6: 3, 49: 7, 86: 15}
    rows: list[Row] = []
    for frame in range(6):
        joints = {
            str(joint): {"flags": bits, "basis": columns(matrix(random_turn(draw)))}
            | {"o": singles(*(draw.uniform(-1, 1) for _ in range(3)))}
            for joint, bits in flags.items()
        }
        rows.append(
            {"t": str((frame + 1) * STEP_NS), "kind": "body", "flags": int(frame < 5), "joints": joints}
        )
    stored = np.frombuffer(played(gateway, tmp_path, rows)[11], kinds.POSE_DTYPE)
    assert list(stored["tracker"]) == [16 + joint for _ in rows for joint in flags]
    assert list(stored["flags"]) == list(flags.values()) * 5 + [0] * 4
    told = [joint for row in rows[:5] for joint in row["joints"].values()]
    assert stored["position_m"][:20].tobytes() == np.array([j["o"] for j in told], "<f4").tobytes()
    turns = np.array([quaternion(j["basis"]) for j in told], "<f4")
    assert stored["orientation"][:20].tobytes() == turns.tobytes()
    assert stored["position_m"][20:].tobytes() == NAN * 12


def test_a_thing_of_the_app_is_a_pose_in_a_stream_of_its_own(gateway: Gateway, tmp_path: Path) -> None:
    draw = random.Random(13)
    rows: list[Row] = [
        {"t": str((frame + 1) * STEP_NS), "kind": "pose", "stream": 12, "tracker": 3, "space": 3}
        | {"flags": 15 if frame % 3 else 0, "v": None, "w": None, "basis": columns(matrix(random_turn(draw)))}
        | {"o": singles(*(draw.uniform(-1, 1) for _ in range(3)))}
        for frame in range(9)
    ]
    samples = played(gateway, tmp_path, rows)[12]
    wanted = expected(rows, "godot")[12]
    assert not difference(samples, wanted[1], wanted[0])


def test_markers_buttons_and_haptics_are_what_was_done(gateway: Gateway, tmp_path: Path) -> None:
    rows: list[Row] = [
        {"t": "-5", "kind": "marker", "code": 64_999, "text": "grün"},
        {"t": "7", "kind": "button", "control": 0x0105, "event": 1, "x": 1.0, "y": 0.0},
        {"t": "8", "kind": "button", "control": 0x0203, "event": 3, "x": 0.5, "y": -0.25},
    ]
    stored = played(gateway, tmp_path, rows)
    assert stored[9] == np.array([-5], "<i8").tobytes() + bytes.fromhex("e7fd0500") + "grün".encode()
    buttons = np.frombuffer(stored[8], kinds.BUTTON_DTYPE)
    assert [(int(b["t_capture_ns"]), int(b["control"]), int(b["event"])) for b in buttons] == [
        (7, 0x0105, 1),
        (8, 0x0203, 3),
    ]
    assert buttons["value"].tolist() == [[1.0, 0.0], [0.5, -0.25]]


# ---- when it is silent ----------------------------------------------------------------------------------------------


def test_nothing_is_captured_unless_a_session_records(gateway: Gateway, tmp_path: Path) -> None:
    key = gateway.add_device("headset")
    with rig("godot", tmp_path) as one:
        one.give_identity(
            {"device": key.device, "key": key.key, "home": key.home, "name": "", "hello_seq": -1},
            "127.0.0.1",
            gateway.udp_port,
        )
        one.make("127.0.0.1", gateway.udp_port)
        one.ask("load", packets_s=50, seconds=1, kind="all")
        one.ask("start")
        one.until(lambda status: status["state"] == "waiting", "it waits for a session")
        one.ask("load", packets_s=50, seconds=1, kind="all")
        one.ask("haptic", target=1, amplitude=0.5, duration_ms=10, frequency_hz=0.0)
        one.ask("marker", code=1, text="nobody records")
        status = one.status()
    # Nothing was even offered but the load's own samples: the sources ask before they look.
    assert (status["captured"], status["totals"], status["withheld"]) == (0, {}, {})
    assert status["unrecorded"] <= 2 * 60


def test_what_is_not_permitted_is_not_looked_at(gateway: Gateway, tmp_path: Path) -> None:
    with rig("godot", tmp_path) as one:
        _, session = begin(gateway, one, ["pose"])
        one.ask("load", packets_s=20, seconds=2, kind="all")
        one.ask("haptic", target=1, amplitude=0.5, duration_ms=10, frequency_hz=0.0)
        one.ask("marker", code=1, text="not permitted")
        one.ask("stop", reason="end")
        status = one.drained()
        assert (status["withheld"], status["refused"]) == ({}, {})
    held = {stream: stored.kind for stream, stored in gateway.streams(session).items()}
    # Poses, descriptions, the load's own, the clock.
    assert held == {0: 1, 1: 1, 2: 1, 10: 8, 12: 8, 65535: 6}


def test_a_source_that_fails_is_left_out_and_the_others_go_on(tmp_path: Path) -> None:
    project = godot_project("contained", {".": PROJECT, "tests_addon": SCRIPTS / "addon"})
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    said = godot_run(project, "--script", "res://tests_addon/contained.gd", environment=home)
    told = json.loads(said[said.index("TOLD ") + 5 :].splitlines()[0])
    # In the frame that leaves it out, those that come after it are not asked.
    assert told == {"failing": 3, "good": 19, "left_out": ["failing"]}, said


# ---- its life -------------------------------------------------------------------------------------------------------


def test_pause_and_focus_are_told_exactly_once(gateway: Gateway, tmp_path: Path) -> None:
    with rig("godot", tmp_path) as one:
        begin(gateway, one, ["pose"])
        before = one.until(lambda status: status["hello_seq"] >= 0, "figures of the link")["hello_seq"]
        for _ in range(3):
            one.ask("notify", what="focus_out")
            one.ask("notify", what="paused")
        one.event("state", state="not_recording", reason="pause")
        one.ask("load", packets_s=1, seconds=0.5, kind="all")
        paused = [event for event in one.events if event["event"] == "state" and event["reason"] == "pause"]
        assert len(paused) == 1
        assert one.status()["hello_seq"] == before
        for _ in range(3):
            one.ask("notify", what="resumed")
            one.ask("notify", what="focus_in")
        one.recording()
        one.until(lambda status: status["hello_seq"] > before, "figures of the new link")
        assert one.status()["hello_seq"] == before + 1
        # The window's focus alone ends nothing: beside a headset it means nothing.
        one.ask("notify", what="focus_out")
        one.ask("load", packets_s=1, seconds=0.5, kind="pose")
        assert one.status()["state"] == "recording"


def test_an_xr_session_that_is_not_shown_is_an_absence_told_once(tmp_path: Path) -> None:
    project = godot_project("session", {".": PROJECT, "tests_addon": SCRIPTS / "addon"})
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    said = godot_run(project, "--script", "res://tests_addon/session.gd", environment=home)
    told = json.loads(said[said.index("TOLD ") + 5 :].splitlines()[0])
    # Paused while it is lost: one absence, which ends when both causes have.
    assert told == ["|", "|", "left sleep", "|", "back", "|", "left sleep", "|", "back"], said


def test_commands_are_played_recorded_and_told(gateway: Gateway, tmp_path: Path) -> None:
    with rig("godot", tmp_path) as one:
        device, session = begin(gateway, one, ALL_KINDS)
        for verb, args in (
            ("haptic", [2, 0.5, 120, 160.0]),
            ("haptic", [1, 1.0, 0, 0.0]),
            ("marker", [7, "from the desk"]),
            ("text", ["please sit down"]),
        ):
            asked = {"device": device, "verb": verb, "args": args, "seconds": 10}
            reply = call(gateway.socket, "device.command", asked, 30.0)
            assert reply["result"] == "done", (verb, reply)
        assert one.event("text")["text"] == "please sit down"
        one.event("command", verb="haptic", args=[2, 0.5, 120, 160.0])
        # The app's own calls keep the same limits.
        for target, amplitude, duration in ((3, 0.5, 10), (1, 1.5, 10), (1, 0.5, 10_001), (1, -0.1, 10)):
            one.ask("haptic", target=target, amplitude=amplitude, duration_ms=duration, frequency_hz=0.0)
        one.ask("stop", reason="end")
        one.drained()
    streams = gateway.streams(session)
    haptics = np.frombuffer(streams[7].samples, kinds.HAPTIC_DTYPE)
    assert haptics["target"].tolist() == [2, 1]
    assert haptics["amplitude"].tolist() == [0.5, 1.0]
    assert haptics["duration_ns"].tolist() == [120_000_000, -1]
    assert haptics["frequency_hz"].tolist() == [160.0, 0.0]
    assert streams[9].samples[8:] == bytes.fromhex("07000d00") + b"from the desk"


def test_a_second_start_keeps_the_pairing_and_the_address(gateway: Gateway, tmp_path: Path) -> None:
    offer = gateway.call("pair", name="")
    with rig("godot", tmp_path) as one:
        one.make("", 0)  # the project's own address, at which nobody listens
        one.ask("start")
        one.event("state", reason="not_paired")
        one.ask("pair", text=f"vestibule://127.0.0.1:{gateway.udp_port}/{offer['code']}", name="room 2")
        device = one.event("paired")["device"]
        one.until(lambda status: status["state"] == "waiting", "it waits for a session")
        one.quit()
        session = gateway.open_session([device], ["pose"])
        one.launch()
        one.make("", 0)
        one.ask("start")
        status = one.recording()
        assert (status["device"], status["port"]) == (device, gateway.udp_port)
        one.ask("load", packets_s=5, seconds=1, kind="pose")
        one.ask("stop", reason="end")
        one.drained()
    assert len(gateway.streams(session)[0].numbers) > 30
    assert next(row["name"] for row in gateway.call("device.list")["devices"] if row["device"] == device)


def test_capture_costs_little_of_a_frame(gateway: Gateway, tmp_path: Path) -> None:
    """Head, two controllers, two hands, gaze and face: half a millisecond at most in 99 of 100 frames.

    The median is held to that here: what another process does to the hundredth frame says nothing of the addon.
    """
    with rig("godot", tmp_path) as one:
        begin(gateway, one, ALL_KINDS)
        cost = one.ask("load", timeout_s=60, packets_s=20, seconds=5, kind="all")
        one.ask("stop", reason="end")
        assert one.drained()["queue_dropped"] == 0
    assert cost["frames"] > 300
    assert cost["capture_us"]["p50"] < 500, cost
