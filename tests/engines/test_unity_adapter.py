"""The adapter on a headset of stubs, against a real gateway: what an app's life leaves in the vault."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
from e2e.daemon import Gateway
from engines.engines import csharp
from engines.reference import GAZE, HAPTIC, POSE
from engines.test_unity_package import RUNTIMES, checks
from engines.ward import CLOCK, EVERYTHING, HOST, assert_once, described

pytestmark = pytest.mark.slow

BEFORE, AFTER, BREAKS_AT = 60, 60, 30
UNDRAWN = [0, 40, 41, 42]
"""Samples of frames that were not drawn, and of those after a frame without a picture: older poses than the newest."""
POSITION, TURN, LINEAR, ANGULAR, PREDICTED, HELD = 1 | 4, 2 | 8, 16, 32, 64, 128
HALF = np.float32(np.sqrt(0.5))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("adapter") / "s") as made:
        yield made


def live(gateway: Gateway, runtime: str, folder: Path, allowed: list[str]) -> tuple[str, dict[str, str]]:
    """An app's life in a session of its own; returns the session, and what the app told at its end."""
    key = msgspec.to_builtins(gateway.add_device(f"{runtime}-{len(allowed)}"))
    session = gateway.open_session([int(key["device"])], allowed, f"subject-{key['device']}")
    private = folder / "vestibule-private"
    private.mkdir()
    (private / "identity.json").write_text(json.dumps({**key, "host": HOST, "port": gateway.udp_port}))
    said = csharp().run(runtime, checks(), folder, timeout_s=90)
    gateway.close_session(session)
    gateway.until(lambda: gateway.session_row(session)["state"] == "closed", "the session is closed", 30)
    return session, dict(line.split(" ", 1) for line in said.splitlines() if " " in line)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_life(gateway: Gateway, tmp_path: Path, runtime: str) -> None:
    session, told = live(gateway, runtime, tmp_path, EVERYTHING)
    frames = BEFORE + AFTER
    assert told["recorded"] == str(frames)
    assert told["states"].split().count("not_recording/pause") == 1, told["states"]
    shown = told["shown"].split(" | ")
    # The sign: before a text and after it, below the state and not in its place, and after sleep.
    assert shown.count("Recording.") == 3
    assert [one for one in shown if "Look left" in one] == ["Recording.  Look left"]
    assert all(one != two for one, two in pairwise(shown)), "written only when it changes"
    assert told["allocated"] == "0", "bytes that a frame allocates, in the median"

    streams = gateway.streams(session)
    assert_once(streams)
    for row in gateway.session_row(session)["streams"]:
        assert row["missing"] == 0, row
        assert not any(row["refused"].values()), row

    # The head: once a frame, across sleep and wake, in OpenXR's axes; all bits as the device claims them.
    head = np.frombuffer(streams[0].samples, POSE)
    assert streams[0].numbers == list(range(frames))
    assert head["values"][:, 0].tolist() == list(range(frames))
    assert set(head["flags"].tolist()) == {POSITION | TURN | LINEAR | PREDICTED}
    np.testing.assert_array_equal(
        head["values"][1, :10], [1, np.float32(1.6), -2, 0, -HALF, 0, HALF, 1, 2, -3]
    )
    assert np.flatnonzero(head["values"][:, 1] == 0).tolist() == UNDRAWN, "else the pose that is drawn"
    assert np.isnan(head["values"][:, 10:]).all(), "an angular velocity that the device does not claim"
    assert (np.diff(head["t"]) > 0).all()
    assert (head["space"][0], head["space"][-1]) == (2, 1), "floor, then device"

    # The left controller breaks and is switched off; the right one, which stands still, goes on and says so.
    assert streams[1].numbers == list(range(BREAKS_AT))
    right = np.frombuffer(streams[2].samples, POSE)
    assert len(right) == frames
    assert (right["flags"][1:] & HELD).all()
    assert not right["flags"][0] & HELD
    assert told["told"].count("'left controller' failed") == 2
    assert "switched off" in told["told"]

    # Gaze: straight ahead in the room, while the head is turned right by 90 degrees: to the head's left.
    gaze = np.frombuffer(streams[3].samples, GAZE)
    assert len(gaze) == frames == int(told["looks"])
    assert set(gaze["left"].tolist()) == {256 | 512}
    np.testing.assert_allclose(gaze["both"][5, 3:6], [-1, 0, 0], atol=1e-6)

    # Hands: the palm first, although XR Hands counts the wrist first.
    hand = np.frombuffer(streams[4].samples, np.uint8).reshape(frames, 952)[0].tobytes()
    joints = np.frombuffer(
        hand[16:], np.dtype([("p", "<f4", 3), ("q", "<f4", 4), ("r", "<f4"), ("flags", "<u4")])
    )
    assert joints["p"][:, 0].tolist() == [2, 1, *range(3, 27)]
    assert joints["p"][:, 2].tolist() == [-2] * 26
    assert set(joints["flags"].tolist()) == {15}

    # One effect was played and recorded, with the frequency that Unity could not set as not said.
    assert told["impulses"] == "0 0.5 0.05"
    effects = np.frombuffer(streams[7].samples, HAPTIC)
    assert len(effects) == 1
    assert effects["duration_ns"].tolist() == [50_000_000]
    assert effects["frequency_hz"].tolist() == [0]
    assert effects["amplitude"].tolist() == [0.5]
    assert effects["target"].tolist() == [2]
    button = streams[8].samples
    assert len(button) == 24
    assert button[8:11] == bytes((1, 2, 1)), "the right trigger is pressed, once"
    assert b"begin" in streams[9].samples
    assert b"tracking origin moved" in streams[9].samples

    about = described(streams)
    assert set(about) == set(streams) - {10, CLOCK}
    # When it begins, when the origin moved, when the second link began; what did not change is not told between.
    assert (len(about[0]), len(about[3])) == (3, 2)
    assert about[0][0]["space"] == "local_floor"
    assert about[0][-1]["space"] == "local"


def test_only_what_the_session_permits(gateway: Gateway, tmp_path: Path) -> None:
    session, told = live(gateway, "coreclr", tmp_path, ["pose"])
    assert told["looks"] == "0", "the eye tracker is not even asked"
    assert set(gateway.streams(session)) <= {0, 1, 2, 10, CLOCK}
