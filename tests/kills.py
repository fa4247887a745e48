"""Kills a piece of work at each of its steps, with SIGKILL in a process of its own, as a power cut of the program.

A step is whatever the interpreter reports of the outside world: a file opened, renamed, linked, removed, a directory
made, a database opened.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator

STEPS = ("open", "os.", "sqlite3.", "shutil.", "fcntl.")
IMPORTS = (".py", ".pyc", ".so")
MAX_STEPS = 500


def killed_at_each_step(work: Callable[[], None]) -> Iterator[int]:
    """Run `work` again and again, killed one step later each time; ends when it came through.

    Yields:
        The number of the step before which it was killed, after each kill: look at what is left.
    """
    for step in range(MAX_STEPS):
        child = os.fork()
        if child == 0:
            _work_until(work, step)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0, f"the work failed by itself, {step} steps allowed"
            return
        assert os.WTERMSIG(status) == signal.SIGKILL
        yield step
    raise AssertionError(f"the work has more than {MAX_STEPS} steps")


def _work_until(work: Callable[[], None], step: int) -> None:
    count = 0

    def hook(event: str, args: tuple[object, ...]) -> None:
        nonlocal count
        if not event.startswith(STEPS) or (event == "open" and str(args[0]).endswith(IMPORTS)):
            return
        count += 1  # first, as the kill is an event too
        if count == step + 1:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.addaudithook(hook)
        work()
    except BaseException:
        os._exit(1)
    os._exit(0)
