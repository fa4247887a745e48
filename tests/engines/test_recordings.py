"""Recordings through each engine's capture, over UDP, into the vault: byte-equal with a second reckoning."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from e2e.daemon import Gateway
from engines import tapes
from engines.reference import GAZE, HAPTIC, POSE, expected
from engines.rig import ALL
from engines.ward import bed, described
from independent import tracks_of

pytestmark = pytest.mark.slow

QUEST_FRAMES = {"coreclr": None, "mono": 5_400, "godot": 5_400, "python": 900}
"""The whole recording once; a minute of it in the others."""
SOUND_CLIPS = [path for path in tapes.CLIPS if not path.name.startswith("invalid_")]
LONG_CLIPS = 100_000  # bytes; these only go through one engine


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("recordings") / "s") as made:
        yield made


def test_tapes_say_what_the_recordings_say() -> None:
    """The tapes in Unity's axes, reckoned back, are the records of the other second reading, float for float."""
    quest = expected(tapes.rows_of(tapes.QUEST, "coreclr"), "coreclr")
    for track, stream in zip(tracks_of(tapes.QUEST), (0, 1, 2), strict=True):
        here, there = np.frombuffer(quest[stream][1], POSE), np.frombuffer(track.raw, POSE)
        assert (here["t"] == there["t"]).all()
        assert here["values"].tobytes() == there["values"].tobytes()
    for path in (tapes.CLEAN, tapes.FAULTY):
        there = np.frombuffer(tracks_of(path)[0].raw, GAZE)
        for engine in ("python", "godot"):
            here = np.frombuffer(expected(tapes.rows_of(path, engine), engine)[3][1], GAZE)
            assert here.tobytes() == there.tobytes()
    pico = {track.name: track for track in tracks_of(tapes.PICO)}
    rows = expected(tapes.rows_of(tapes.PICO, "python"), "python")
    assert rows[3][1] == pico["gaze"].raw
    head = np.frombuffer(pico["head"].raw, POSE)["values"][:, :7]
    here = np.frombuffer(rows[0][1], POSE)["values"][:, :7]
    # One way reckons with half angles, the other with matrices: q and -q are the same rotation.
    same = np.minimum(abs(here[:, 3:] - head[:, 3:]).max(axis=1), abs(here[:, 3:] + head[:, 3:]).max(axis=1))
    assert here[:, :3].tobytes() == head[:, :3].tobytes()
    assert same.max() < 2e-7


def play(gateway: Gateway, engine: str, folder: Path, rows: list[tapes.Row]) -> None:
    tape = tapes.write(folder / "tape.jsonl", rows)
    with bed(gateway, engine, folder) as one:
        one.begin()
        assert one.rig.play(tape, timeout_s=120) == len(rows)
        status = one.finish()
        one.assert_whole(status)
        streams = one.assert_vault(rows)
    about = described(streams)
    for stream in {row["stream"] for row in rows}:
        assert about[stream], f"stream {stream} is described when it begins"


@pytest.mark.parametrize("engine", ALL)
def test_quest(gateway: Gateway, tmp_path: Path, engine: str) -> None:
    play(gateway, engine, tmp_path, tapes.rows_of(tapes.QUEST, engine, QUEST_FRAMES[engine]))


@pytest.mark.parametrize("engine", ALL)
def test_pico(gateway: Gateway, tmp_path: Path, engine: str) -> None:
    play(gateway, engine, tmp_path, tapes.rows_of(tapes.PICO, engine))


@pytest.mark.parametrize("engine", ALL)
def test_sranipal(gateway: Gateway, tmp_path: Path, engine: str) -> None:
    rows = [*tapes.rows_of(tapes.CLEAN, engine), *tapes.rows_of(tapes.FAULTY, engine)]
    assert any(int(row["t"]) < 0 for row in rows), "signed device clocks"
    play(gateway, engine, tmp_path, rows)


@pytest.mark.parametrize("engine", ALL)
def test_velocities_and_lost_tracking(gateway: Gateway, tmp_path: Path, engine: str) -> None:
    play(gateway, engine, tmp_path, tapes.moving(engine, 600))


@pytest.mark.parametrize("engine", ALL)
def test_clips(gateway: Gateway, tmp_path: Path, engine: str) -> None:
    paths = [path for path in SOUND_CLIPS if engine == "mono" or path.stat().st_size < LONG_CLIPS]
    rows = [row for path in paths for row in tapes.rows_of(path, engine)]
    kinds = {int(row["event"]) for row in rows}
    assert kinds == {0, 1}
    play(gateway, engine, tmp_path, rows)
    assert HAPTIC.itemsize == 32
