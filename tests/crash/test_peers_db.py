"""peers.db under kill -9 and on a failing disk: what was promised is there, and nothing is there by half."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from crash.failing import build
from paths import ROOT
from peer_keeps import names

from gateway.errors import EXIT_TRY_LATER
from gateway.store.peer_check import mirror_walk
from gateway.store.peer_snapshot import PeerSnapshot
from gateway.store.peers import PeerState, PeerStore
from gateway.tlog.fork import parse_fork, verify_fork
from tests.sim.peer_logs import log_vkey, origin_of

BEFORE_A_NEW_FILE = 12  # cases; a process that has read a long history keeps nothing before it is killed
CHILD = [sys.executable, "-m", "tests.peer_keeps"]


@dataclass
class Told:
    """What the process said is kept.

    Args:
        sizes: log -> the largest tree.
        roster: newest version.
        forks: logs with evidence.
        failures: codes of errors.
    """

    sizes: dict[str, int] = field(default_factory=dict)
    roster: int = 0
    forks: set[str] = field(default_factory=set)
    failures: Counter[str] = field(default_factory=Counter)
    opened: int = 0

    def hear(self, text: str) -> None:
        """Take whole lines; the last may be torn."""
        for line in text.split("\n")[:-1]:
            match line.split():
                case ["opened"]:
                    self.opened += 1
                case ["entries", name, size]:
                    self.sizes[name] = int(size)
                case ["roster", version]:
                    self.roster = int(version)
                case ["fork", name]:
                    self.forks.add(name)
                case ["failed", code]:
                    self.failures[code] += 1
                case _:
                    raise AssertionError(line)


async def start(path: Path) -> PeerState:
    store = await PeerStore.open(path, create=True)
    try:
        return await store.load()
    finally:
        await store.close()


def judge(path: Path, told: Told) -> None:
    """Everything that was told is there, and all of it fits together."""
    state = asyncio.run(start(path))
    assert state.dropped == ()
    assert state.roster_version >= told.roster
    with PeerSnapshot(path) as peers:
        assert peers.integrity() == []
        assert [kept.version for kept in peers.rosters()] == list(range(1, state.roster_version + 1))
        forks = peers.forks()
        for fork in forks:
            verify_fork(parse_fork(fork.data), log_vkey(fork.origin.split(".")[0]))
        assert {origin_of(name) for name in told.forks} <= {fork.origin for fork in forks}
        for name in names():
            log = state.logs.get(origin_of(name))
            size = log.size if log else 0
            assert size >= told.sizes.get(name, 0)
            if log is not None:
                assert (log.tree.size, log.whole_size) == (size, size)
                assert [
                    found for found in mirror_walk(peers, log.origin, size, {size: log.root}) if found
                ] == []
                assert peers.entry_beyond(log.origin, size) is None


def run(
    path: Path, seed: int, told: Told, most: int, kill_s: float | None, environment: Mapping[str, str]
) -> int:
    """Let a process keep; returns its exit code."""
    command = [*CHILD, str(path), str(seed), str(most)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ, **environment})
    assert process.stdout is not None
    text = ""
    if kill_s is not None:
        text = process.stdout.readline().decode()  # it is at work from here on
        time.sleep(kill_s)  # the moment of a power cut: any
        process.kill()
    text += process.stdout.read().decode()
    code = process.wait(60)
    process.stdout.close()
    told.hear(text)
    return code


def killed(path: Path, kills: int, seed: int) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    told = Told()
    for kill in range(kills):
        run(path, seed + kill, told, 100_000, rng.uniform(0, 0.3), {})
        judge(path, told)
    print(f"{kills} kills; {told}")
    assert told.opened == kills
    assert sum(told.sizes.values()) > 100 * kills
    assert told.roster > kills / 2


@pytest.mark.slow
def test_15_kills(tmp_path: Path) -> None:
    killed(tmp_path / "peers.db", 15, random.randrange(1 << 30))


@pytest.mark.torture
def test_300_kills(tmp_path: Path) -> None:
    for number in range(20):
        killed(tmp_path / f"peers{number}.db", 15, random.randrange(1 << 30))


def failing(tmp_path: Path, cases: list[tuple[str, int, bool]], seed: int) -> Counter[int]:
    """Let the n-th call fail, case after case, on the same file."""
    print(f"seed {seed}")
    library = build(tmp_path)
    folder = tmp_path / f"data-{seed}"
    folder.mkdir()
    told, codes = Told(), Counter[int]()
    for number, (kind, n, sticky) in enumerate(cases):
        report = tmp_path / "report"
        report.unlink(missing_ok=True)
        environment = {
            "LD_PRELOAD": str(library),
            "VESTIBULE_FAIL_DIR": str(folder),
            "VESTIBULE_FAIL_REPORT": str(report),
            f"VESTIBULE_FAIL_{kind.upper()}": str(n),
            **({"VESTIBULE_FAIL_STICKY": "1"} if sticky else {}),
        }
        code = run(folder / "peers.db", seed + number, told, 60, None, environment)
        assert code in (0, EXIT_TRY_LATER), (kind, n, sticky, code, told)
        assert " failed " in report.read_text(), f"it came to an end before call {n} of {kind}"
        codes[code] += 1
        judge(folder / "peers.db", told)
    print(f"{dict(codes)}; {told}")
    return codes


@pytest.mark.slow
def test_calls_that_fail(tmp_path: Path) -> None:
    rng = random.Random(4)
    cases = [("sync", n, False) for n in (1, 2, 3, 9)] + [("sync", 5, True)]
    cases += [("write", rng.randrange(1, 60), sticky) for sticky in (False, True) for _ in range(4)]
    codes = failing(tmp_path, cases, 4)
    assert codes[EXIT_TRY_LATER] > 2


@pytest.mark.torture
def test_many_calls_that_fail(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    rng = random.Random(seed)
    cases = [("sync", n, False) for n in range(1, 40)] + [("write", n, False) for n in range(1, 120)]
    cases += [(rng.choice(["sync", "write"]), rng.randrange(1, 60), True) for _ in range(60)]
    rng.shuffle(cases)
    for first in range(0, len(cases), BEFORE_A_NEW_FILE):
        failing(tmp_path, cases[first : first + BEFORE_A_NEW_FILE], seed + first)
