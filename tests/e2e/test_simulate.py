"""`vestibule simulate` against the real daemon: bad weather and sleep, and an app that is killed with a spool."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.daemon import Gateway
from paths import ROOT

from gateway.app import keyfile
from gateway.app.simulate import DRAINS, SILENT

pytestmark = pytest.mark.slow

DEADLINE_S = 150.0  # the last resends of a bad network come every 10 s


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("sim") / "s") as made:
        yield made


def begun(gateway: Gateway, *args: str | Path, progress: str = "none") -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gateway", "--data-dir", str(gateway.layout.data_dir), "simulate"]
    return subprocess.Popen(
        [*command, *map(str, args), "--json", "--progress", progress],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def told(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any]]:
    try:
        out, error = process.communicate(timeout=DEADLINE_S)
    finally:
        process.kill()
    assert out, error
    return process.returncode, json.loads(out)


def test_people_in_bad_weather_who_take_the_headset_off_now_and_then(
    gateway: Gateway, tmp_path: Path
) -> None:
    weather = ("--loss", "0.05", "--duplicate", "0.05", "--reorder", "0.1", "--jitter", "60", "--seed", "5")
    cycles = ("--outage", "4,0.4", "--sleep", "4,0.7")
    code, done = told(
        begun(
            gateway,
            "--devices",
            "3",
            "--seconds",
            "8",
            *weather,
            *cycles,
            "--drain",
            "120",
            "--spool",
            tmp_path,
        )
    )
    assert (code, done["closes"], done["held"]) == (0, True, 0)
    assert (done["missing"], done["lost"], done["refused"]) == (0, {}, {})
    assert done["stored"] == done["captured"] > 3 * 5 * 100
    assert done["resends"] > 0
    assert not [path for path in tmp_path.rglob("*") if path.is_file()], "drained spools are empty"


def test_kinds_and_rates_are_what_was_asked_for(gateway: Gateway) -> None:
    code, done = told(begun(gateway, "--seconds", "4", "--kinds", "gaze", "--hz", "20"))
    assert (code, done["closes"]) == (0, True)
    assert 60 <= done["captured"] <= 100


def test_ctrl_c_ends_the_recording_and_drains(gateway: Gateway) -> None:
    process = begun(gateway, "--hz", "10")
    assert wait_for(lambda: stored_in_open_sessions(gateway) > 20, process)
    process.send_signal(signal.SIGINT)
    code, done = told(process)
    assert (code, done["closes"]) == (0, True)


def test_waiting_for_receipts_is_said_and_ctrl_c_ends_it(gateway: Gateway) -> None:
    """From the second second on nothing passes: the recording ends by itself, and receipts never come."""
    process = begun(gateway, "--seconds", "3", "--outage", "600,598", "--drain", "300", progress="json")
    stages = [""]
    assert process.stderr
    for line in process.stderr:
        stage = json.loads(line)["progress"]["stage"]
        if stage != stages[-1]:
            stages.append(stage)
        if stage == SILENT:
            break
    assert stages == ["", "seconds", DRAINS, SILENT]
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    process.communicate(timeout=DEADLINE_S)
    assert time.monotonic() - began < 5.0, "nobody waits for what cannot come"
    assert process.returncode not in (0, None)


def test_an_app_that_is_killed_gives_its_spool_to_the_next_run(gateway: Gateway, tmp_path: Path) -> None:
    path, spool = tmp_path / "kit.json", tmp_path / "spool"
    key = gateway.add_device("kit")
    keyfile.write(path, key)
    session = gateway.open_session([key.device], ["pose", "gaze", "haptic", "clock", "info"])
    common = ("--key", path, "--port", str(gateway.udp_port), "--hz", "60", "--spool", spool)
    # From the second second on nothing passes: what is captured goes to the spool as its resends fall due.
    process = begun(gateway, *common, "--outage", "600,598")
    files = spool / str(key.device)
    assert wait_for(lambda: sum(one.stat().st_size for one in files.glob("*.vts")) > 200_000, process)
    process.kill()
    process.communicate(timeout=DEADLINE_S)
    code, done = told(begun(gateway, *common, "--seconds", "5"))
    assert (code, done["closes"]) == (0, True)
    earlier = done["earlier"]
    assert earlier["samples"] == earlier["stored"] > 500
    assert not list(files.glob("*.vts"))
    streams = [stream for stream in gateway.session_row(session)["streams"] if stream["stream"] == 0]
    assert len(streams) == 2, "a row for each run"
    assert all(stream["missing"] == 0 for stream in streams)


def stored_in_open_sessions(gateway: Gateway) -> int:
    rows = [row for row in gateway.call("session.list", all=True)["sessions"] if row["state"] != "closed"]
    return sum(stream["stored"] for row in rows for stream in row["streams"])


def wait_for(holds: Callable[[], bool], process: subprocess.Popen[str]) -> bool:
    until = time.monotonic() + DEADLINE_S
    while time.monotonic() < until and process.poll() is None:
        if holds():
            return True
        time.sleep(0.05)
    return False
