"""The golden vectors against the Godot addon, run by the engine itself without a window."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from engines import engines
from paths import ROOT, VECTORS

ADDON = ROOT / "plugins" / "godot" / "addons" / "vestibule"
SCRIPTS = Path(__file__).parent / "godot" / "vectors"
PROJECT = 'config_version=5\n[application]\nconfig/name="vectors"\n'
RUN_S = 120.0
ENGINE_ERROR = re.compile(r"^(SCRIPT ERROR|ERROR|USER ERROR|Parse Error)", re.MULTILINE)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of its own: the engine writes caches beside what it runs."""
    made = tmp_path_factory.mktemp("vectors")
    (made / "project.godot").write_text(PROJECT)
    shutil.copytree(ADDON, made / "addons" / "vestibule")
    for script in SCRIPTS.glob("*.gd"):
        shutil.copy(script, made)
    return made


def run(project: Path, script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script with a folder as its argument and return what it said."""
    return subprocess.run(
        [engines.godot(), "--headless", "--path", project, "--script", f"res://{script}", "--", folder],
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )


def assert_passed(done: subprocess.CompletedProcess[str], at_least: int) -> None:
    """All passed, as many as there should be, and the engine's log has no error: nothing that comes may write one."""
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    found = re.fullmatch(r"(\d+) passed, 0 failed", done.stdout.rstrip().splitlines()[-1])
    assert found is not None, said
    assert int(found[1]) >= at_least, said
    assert ENGINE_ERROR.search(said) is None, said


def test_every_vector_passes(project: Path) -> None:
    assert_passed(run(project, "vectors.gd", VECTORS / "vt1"), 600)


def test_the_machine_and_its_spool(project: Path, tmp_path: Path) -> None:
    assert_passed(run(project, "machine.gd", tmp_path), 60)


def test_a_wrong_vector_fails(project: Path, tmp_path: Path) -> None:
    spoiled = tmp_path / "vt1"
    shutil.copytree(VECTORS / "vt1", spoiled)
    text = (spoiled / "keys.json").read_text()
    key = re.search(r'"prk": "([0-9a-f]{64})",\s*"key": "([0-9a-f]{64})"', text)
    assert key is not None
    (spoiled / "keys.json").write_text(text.replace(key[2], key[2][::-1]))
    done = run(project, "vectors.gd", spoiled)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"^\d+ passed, [1-9]\d* failed$", done.stdout, re.MULTILINE), done.stdout
