"""The machines of the plugins against the Python machine: the same events, the same bytes, step by step.

On a difference the line says which seed; `traces.py` prints that trace with every byte.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from engines import clinic_traces, engines, storm
from engines.test_csharp_vectors import program
from engines.traces import Trace, write
from paths import ROOT

PLAYERS = ("coreclr", "mono", "godot")
SCRIPTS = Path(__file__).parent / "godot" / "vectors"
ADDON = ROOT / "plugins" / "godot" / "addons" / "vestibule"
REFERENCE = ("gateway/device", "gateway/wire", "gateway/keys", "gateway/core", "tests/sim")
RUN_S = 600.0
STORMS, VISITS, STEPS = 20, 4, 2_000
TORTURE_SEED, TORTURE_STORMS, TORTURE_VISITS, TORTURE_STEPS = 1_000, 400, 60, 6_000
# Each must be somewhere in the traces: what never happened was not compared.
HAPPENS = (
    *("send ", "hello ", "seq ", "key ", "keep ", "kept ", "settled ", "dropped ", "do haptic", "do text"),
    *("do marker", "fault kind", "fault stream", "fault stream_kind", "fault sample_size"),
    *("show recording", "show behind|backlog", "show behind|no_answer", "show behind|disk_full"),
    *("show waiting|no_session", "show not_recording|ended", "show not_recording|version"),
    *("lost.overflow", "lost.link_gone", "earlier.stored", "ignored.copy", "ignored.bad_tag"),
    *("ignored.not_mine", "ignored.unanswerable", "ignored.downgrade", "clock.offset", "withheld."),
)


def test_the_traces_have_all_kinds_of_weather() -> None:
    text = "\n".join(path.read_text() for path in traces())
    missing = [word for word in HAPPENS if f'"{word}' not in text and f" {word}" not in text]
    assert not missing, missing
    starts = text.count('"config"')
    assert starts > STORMS + 2 * VISITS, "apps that start again"
    assert re.search(r'"packet":"565431(?:06|07|08).{8}.{14}[89a-f]', text), "downlink seqs of 2^63 and more"


@pytest.mark.parametrize("player", PLAYERS)
def test_a_machine_does_what_the_reference_did(player: str) -> None:
    assert_same(player, traces())


@pytest.mark.parametrize("player", PLAYERS)
def test_a_trace_that_was_altered_is_caught(player: str, tmp_path: Path) -> None:
    lines = traces()[0].read_text().splitlines()
    at, line = next(
        (number, line)
        for number, line in enumerate(lines)
        if number > len(lines) // 2 and any(effect.startswith("send ") for effect in json.loads(line)["out"])
    )
    spoiled = tmp_path / "spoiled.jsonl"
    digit = line[line.index('"send ') :].index('"', 1) + line.index('"send ') - 1
    lines[at] = line[:digit] + ("0" if line[digit] != "0" else "1") + line[digit + 1 :]
    spoiled.write_text("\n".join(lines) + "\n")
    done = play(player, [spoiled])
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"DIFFERS spoiled.jsonl line {at + 1}: " in done.stdout, done.stdout[-3000:]


@pytest.mark.torture
@pytest.mark.parametrize("player", PLAYERS)
def test_long_traces(player: str) -> None:
    made = folder(
        "traces-long",
        range(TORTURE_SEED, TORTURE_SEED + TORTURE_STORMS),
        range(TORTURE_VISITS),
        TORTURE_STEPS,
    )
    assert_same(player, sorted(made.glob("*.jsonl")))


def traces() -> list[Path]:
    """The traces of the gate, storms first."""
    made = folder("traces", range(STORMS), range(VISITS), STEPS)
    return sorted(made.glob("*.jsonl"), key=lambda path: (path.name.startswith("clinic"), path.name))


def folder(name: str, storms: range, visits: range, steps: int) -> Path:
    """A folder of traces, made once for each state of the reference and of what makes them."""
    parts = [ROOT / part for part in REFERENCE]
    here = Path(__file__).parent
    inputs = [path for part in parts for path in part.rglob("*.py")]
    inputs += [
        here / "traces.py",
        here / "storm.py",
        here / "mischief.py",
        here / "clinic_traces.py",
        ROOT / "tests" / "device_side.py",
    ]

    def make(room: Path) -> None:
        for seed in storms:
            one(room / f"storm-{seed:04}.jsonl", lambda trace, seed=seed: storm.make(seed, steps, trace))
        for seed in visits:
            with tempfile.TemporaryDirectory() as spool:
                one(
                    room / f"clinic-{seed:04}.jsonl",
                    lambda trace, seed=seed, spool=spool: clinic_traces.make(seed, steps, trace, Path(spool)),
                )

    return engines.built(name, inputs, make, repr((storms, visits, steps)))


def one(path: Path, make: Callable[[Trace], None]) -> None:
    """Make one trace."""
    trace = Trace()
    make(trace)
    write(path, trace)


def assert_same(player: str, paths: list[Path]) -> None:
    """Every trace is played to its end."""
    done = play(player, paths)
    said = done.stdout + done.stderr
    assert done.returncode == 0, "\n".join(line for line in said.splitlines() if not line.startswith("ok "))[
        :6000
    ]
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("ok ")] == [
        path.name for path in paths
    ]
    assert not engines.errors_of_godot(said), engines.errors_of_godot(said)


def play(player: str, paths: list[Path]) -> subprocess.CompletedProcess[str]:
    """Run a player on traces and return what it said."""
    if player == "godot":
        project = engines.godot_project(
            "traces-player", {"addons/vestibule": ADDON, ".": SCRIPTS, "./": bare_project()}
        )
        args = [engines.godot(), "--headless", "--path", project, "--script", "res://trace.gd", "--", *paths]
    else:
        csharp = engines.csharp()
        args = [{"coreclr": csharp.coreclr, "mono": csharp.mono}[player], program(), "trace", *paths]
    return subprocess.run(
        args, capture_output=True, text=True, timeout=RUN_S, check=False, stdin=subprocess.DEVNULL
    )


def bare_project() -> Path:
    """A folder with nothing but a project file, once for all runs."""
    return engines.built(
        "traces-project",
        [],
        lambda room: (
            (room / "project.godot").write_text('config_version=5\n[application]\nconfig/name="traces"\n')
            and None
        ),
    )
