"""The systemd unit is valid and keeps the daemon in a small room: exposure at most 1.5 of 10."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from paths import ROOT

from gateway.errors import EXIT_REFUSED, EXIT_VERIFY

UNIT = ROOT / "systemd" / "vestibule.service"
LIMIT = 1.5

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here"
)


def analyze(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *args], capture_output=True, text=True, timeout=60, check=False)


@needs_systemd
def test_exposure_is_at_most_the_limit() -> None:
    done = analyze("security", "--offline=true", f"--threshold={LIMIT * 10:.0f}", "--no-pager", str(UNIT))
    found = re.search(r"exposure level for vestibule\.service: ([\d.]+)", done.stdout)
    if found is None and "offline" in done.stderr:
        pytest.skip("this systemd-analyze cannot judge a file")
    assert found, done.stderr
    assert float(found[1]) <= LIMIT
    assert done.returncode == 0


@needs_systemd
def test_the_unit_is_valid(tmp_path: Path) -> None:
    # verify wants the program to exist, and it does only where Vestibule is installed.
    text, changed = re.subn(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(encoding="utf-8"))
    assert changed == 1
    copy = tmp_path / UNIT.name
    copy.write_text(text, encoding="utf-8")
    done = analyze("verify", "--man=no", str(copy))
    assert [line for line in done.stderr.splitlines() if copy.name in line] == []


def test_a_refused_or_damaged_store_is_not_tried_again() -> None:
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    assert f"RestartPreventExitStatus={EXIT_VERIFY} {EXIT_REFUSED}" in lines
    assert "Type=notify" in lines
    assert not [line for line in lines if re.match(r"^[A-Za-z]+=.*\s#", line)], (
        "systemd has no comments at line ends"
    )
