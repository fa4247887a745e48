"""How much CPU `verify` takes for a million samples, from the start of its process; the bar is 3 seconds."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
from pathlib import Path

from paths import ROOT

from tests.stores import make_store

MAX_CPU_S = 3.0
SAMPLES = 1_000_000

CHILD = """
import sys
from pathlib import Path
from gateway.app.verify import verify_store
from gateway.store.layout import Layout
report = verify_store(Layout(Path(sys.argv[1])))
print(report.parts, report.opened, report.frames, report.samples)
"""


def test_a_million_samples(tmp_path: Path) -> None:
    facts = asyncio.run(
        make_store(tmp_path / "data", batches=40, sessions=25, frames=48, samples=21, close=25)
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", CHILD, str(facts.layout.data_dir)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    parts, opened, frames, samples = map(int, done.stdout.split())
    print(f"\nverify: {samples} samples in {frames} frames of {parts} parts: {cpu_s:.2f} CPU-seconds")
    assert (parts, opened, frames, samples) == (facts.parts, facts.parts, len(facts.frames), facts.samples)
    assert samples >= SAMPLES
    assert cpu_s < MAX_CPU_S
