"""Two daemons on one store: one of them runs, and the other one says which."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
from crash.racing import command, context
from e2e.daemon import READY_S, STOP_S, Gateway
from paths import ROOT

from gateway.app.verify import verify_store
from gateway.errors import EXIT_OK, EXIT_TRY_LATER

pytestmark = pytest.mark.slow


def test_a_second_daemon_ends_with_75_and_names_the_first(tmp_path: Path) -> None:
    with Gateway(tmp_path / "s") as gateway:
        assert gateway.process is not None
        words = [sys.executable, "-m", "gateway", "--data-dir", str(gateway.layout.data_dir), "run"]
        second = subprocess.run(words, capture_output=True, text=True, timeout=READY_S, cwd=ROOT, check=False)
        assert second.returncode == EXIT_TRY_LATER
        assert f"process {gateway.process.pid} since" in second.stderr
        assert gateway.call("status")["pid"] == gateway.process.pid


def one_wins(gateway: Gateway, folder: Path, races: int) -> Iterator[ForkServerProcess]:
    """Let two daemons start at once, again and again; gives the winner of each race, at work."""
    made = context()
    wins = [0, 0]
    for _ in range(races):
        barrier = made.Barrier(2)
        said = [folder / "said-0", folder / "said-1"]
        both = [command(made, gateway.layout.data_dir, path, "run", barrier=barrier) for path in said]
        try:
            ended = wait([one.sentinel for one in both], READY_S)
            assert len(ended) == 1, [path.read_text() for path in said]
            lost = [one.sentinel for one in both].index(ended[0])
            loser, winner = both[lost], both[1 - lost]
            loser.join()
            assert loser.exitcode == EXIT_TRY_LATER, said[lost].read_text()
            assert f"process {winner.pid} since" in said[lost].read_text()
            gateway.until(
                lambda pid=winner.pid: gateway.call("status")["pid"] == pid, "the winner answers", READY_S
            )
            wins[1 - lost] += 1
            yield winner
        finally:
            for one in both:
                one.kill()
                one.join()
    print(f"{races} races, won by the first and the second: {wins}")


@pytest.mark.parametrize("races", [20, pytest.param(200, marks=pytest.mark.torture)])
def test_of_two_that_start_at_once_one_wins(tmp_path: Path, races: int) -> None:
    gateway = Gateway(tmp_path / "s")
    gateway.init()
    for race, winner in enumerate(one_wins(gateway, tmp_path, races)):
        assert winner.pid is not None
        if race % 2:
            # Every other one is killed instead, so that its name stays in the lock.
            os.kill(winner.pid, signal.SIGTERM)
            winner.join(STOP_S)
            assert winner.exitcode == EXIT_OK
    assert verify_store(gateway.layout).notes == []
