"""The golden vectors against the Core of the Unity package, under CoreCLR and under Mono, and what it costs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from engines import engines
from paths import ROOT, VECTORS

CORE = ROOT / "plugins" / "unity" / "com.vestibule.telemetry" / "Runtime" / "Core"
SOURCES = Path(__file__).parent / "csharp" / "vectors"
RUNTIMES = ("coreclr", "mono")
RUN_S = 120.0
PACKETS_S = 2_000  # twice what a headset may send; seen on two cores: 40,000 and more
COLLECTED_BYTES = {"coreclr": 64, "mono": 512}  # Mono's HMAC makes some garbage of its own for each tag


def program() -> Path:
    """The program that checks, beside the assembly it checks."""
    csharp = engines.csharp()
    core = csharp.compile("library", "Vestibule.Core.dll", [CORE])
    return csharp.compile("exe", "Vestibule.Core.Tests.exe", [SOURCES], refs=[core])


def run(runtime: str, *args: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the program and return what it said."""
    csharp = engines.csharp()
    wrapper = {"coreclr": csharp.coreclr, "mono": csharp.mono}[runtime]
    return subprocess.run(
        [wrapper, program(), *args], capture_output=True, text=True, timeout=RUN_S, check=False
    )


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_vector_passes(runtime: str) -> None:
    done = run(runtime, VECTORS / "vt1")
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.fullmatch(r"(\d+) passed, 0 failed", done.stdout.rstrip().splitlines()[-1])
    assert found is not None, done.stdout
    assert int(found[1]) > 1_000, done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_wrong_vector_fails(runtime: str, tmp_path: Path) -> None:
    spoiled = tmp_path / "vt1"
    shutil.copytree(VECTORS / "vt1", spoiled)
    text = (spoiled / "keys.json").read_text()
    key = re.search(r'"prk": "([0-9a-f]{64})",\s*"key": "([0-9a-f]{64})"', text)
    assert key is not None
    (spoiled / "keys.json").write_text(text.replace(key[2], key[2][::-1]))
    done = run(runtime, spoiled)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"^\d+ passed, [1-9]\d* failed$", done.stdout, re.MULTILINE), done.stdout


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_sample_allocates_nothing_and_packets_keep_up(runtime: str) -> None:
    done = run(runtime, VECTORS / "vt1", "measure")
    assert done.returncode == 0, done.stdout + done.stderr
    costs = json.loads(done.stdout)
    assert costs["capture_bytes_per_sample"] == 0, costs
    for shape in ("full", "single"):
        assert costs[f"packets_s_{shape}"] > PACKETS_S, costs
        assert costs[f"bytes_per_packet_{shape}"] < COLLECTED_BYTES[runtime], costs


def test_the_core_names_no_engine_and_stays_in_its_profile() -> None:
    definition = json.loads((CORE / "Vestibule.Core.asmdef").read_text())
    assert definition["noEngineReferences"] is True
    sources = "\n".join(path.read_text() for path in CORE.rglob("*.cs"))
    # What Mono lacks or a stripped build removes: it would compile here and fail on a headset.
    for word in ("UnityEngine", "System.Linq", "System.Reflection", "AesGcm", "ECDiffieHellman", "DllImport"):
        assert word not in sources, word
