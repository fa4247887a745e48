"""Commands of `vestibule` as processes that have the program loaded when they begin: for races and for quick deaths.

Each is forked from a server that has imported everything, and runs the command line as the installed command does.
"""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path

PRELOADED = [
    "gateway.app.daemon",
    "gateway.app.migrate",
    "gateway.app.init",
    "gateway.app.cli.main",
    "gateway.app.cli.setup",
]
BARRIER_S = 20.0


def context() -> ForkServerContext:
    """Whose processes have the program loaded from the start."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(PRELOADED)
    return made


def command(
    made: ForkServerContext, data_dir: Path, said: Path, *args: str, barrier: Barrier | None = None
) -> ForkServerProcess:
    """A process that runs a command on a store.

    Args:
        made: from `context`.
        data_dir: of the store.
        said: file for what it prints.
        args: verb and options.
        barrier: where it waits before it begins.
    """
    process = made.Process(target=_run, args=(data_dir, said, args, barrier))
    process.start()
    return process


def _run(data_dir: Path, said: Path, args: tuple[str, ...], barrier: Barrier | None) -> None:
    from gateway.app.cli.main import root

    out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(out, 1)
    os.dup2(out, 2)
    if barrier is not None:
        barrier.wait(BARRIER_S)
    root.main(["--data-dir", str(data_dir), *args], prog_name="vestibule")
