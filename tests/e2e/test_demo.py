"""The demonstration, as a newcomer starts it: it ends well, its sum closes, and what it says to try next works."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT

pytestmark = pytest.mark.slow


def command(*args: str | Path) -> list[str]:
    return [sys.executable, "-m", "gateway", *map(str, args)]


def run(*args: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command(*args), capture_output=True, text=True, timeout=90, env=environment)


def added(samples: dict[str, Any]) -> int:
    return int(samples["stored"] + sum(samples["refused"].values()) + samples["missing"])


def test_a_short_demonstration(tmp_path: Path) -> None:
    data_dir = tmp_path / "d"
    done = run("demo", "--seconds", "3", "--data-dir", data_dir, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    samples = told["samples"]
    assert (told["ok"], samples["closes"]) == (True, True)
    assert samples["sent"] == added(samples)
    # Head and two controllers at 90 Hz, gaze at 120 Hz, in three headsets for three seconds; haptics and info besides.
    assert samples["sent"] >= 3 * 3 * (3 * 90 + 120) - 3 * 5
    assert samples["missing"] == 0
    assert set(samples["refused"]) == {"not_permitted"}, "the third person's eyes"
    assert abs(samples["refused"]["not_permitted"] - 3 * 120) <= 2
    assert told["verified"]["samples"] == samples["stored"]
    assert told["batches"] >= 3
    assert (told["shed"], told["kernel_dropped"]) == ({}, 0)
    verified = run("--data-dir", data_dir, "verify", "--json")
    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout)["samples"] == samples["stored"]
    proof = run("verify", "--proof", told["proof"]["file"], "--vkey", told["proof"]["vkey"])
    assert proof.returncode == 0, proof.stderr
    again = run("demo", "--seconds", "1", "--data-dir", data_dir)
    assert again.returncode == 78, "a finished store is never made again"


def test_what_a_person_sees_and_ctrl_c(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command("demo", "--seconds", "60", "--rigs", "2", "--data-dir", tmp_path / "d"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if " stored " in line and "stored 0 " not in line:
            process.send_signal(signal.SIGINT)
            break
    rest, errors = process.communicate(timeout=60)
    text = "".join(lines) + rest
    assert process.returncode == 0, errors
    assert "The sum closes" in text
    assert "What to try next:" in text
    assert "consent" not in text, "two headsets: everybody allows everything"
    assert "THE SUM DOES NOT CLOSE" not in text
