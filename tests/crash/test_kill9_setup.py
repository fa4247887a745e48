"""kill -9 of `vestibule init` and `vestibule migrate` at random moments: the next run goes on, or has nothing to do."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from crash.headsets import seeded
from crash.racing import command, context
from e2e.daemon import NAME, ORIGIN
from paths import ROOT

from gateway.app.fsck import fsck_store
from gateway.app.verify import verify_store
from gateway.errors import EXIT_OK, EXIT_REFUSED
from gateway.store.layout import Layout
from gateway.store.mark import Mark
from gateway.store.snapshot import Snapshot

FORMAT0 = ROOT / "tests" / "fixtures" / "format0"
END_S = 20.0

pytestmark = pytest.mark.slow


class Command:
    """A command of `vestibule` on one store, as a process of its own."""

    def __init__(self, layout: Layout, *args: str) -> None:
        self._lock = layout.lock
        self._said = layout.data_dir.with_suffix(".said")
        self.process = command(context(), layout.data_dir, self._said, *args)

    def at_work(self) -> bool:
        """Wait until it has the store's lock; False if it ended before anybody saw that."""
        while self.process.is_alive():
            with contextlib.suppress(FileNotFoundError):
                if self._lock.read_text().split()[:1] == [str(self.process.pid)]:
                    return True
            time.sleep(0.0005)  # nobody tells
        return False

    def end(self) -> tuple[int | None, str]:
        """Exit code, and what it said."""
        self.process.join(END_S)
        return self.process.exitcode, self._said.read_text() if self._said.exists() else ""

    def kill_within(self, rng: random.Random, most_s: float) -> bool:
        """Kill it at a random moment of its work; returns whether that came before its end."""
        if self.at_work():
            self.process.join(rng.uniform(0, most_s))
        self.process.kill()
        code, said = self.end()
        assert code in (EXIT_OK, -signal.SIGKILL), said
        return code != EXIT_OK


def work_s(command: Command) -> float:
    """How long a whole run holds the lock."""
    assert command.at_work()
    begun = time.monotonic()
    code, said = command.end()
    assert code == EXIT_OK, said
    return time.monotonic() - begun


def init(layout: Layout) -> Command:
    return Command(layout, "init", "--origin", ORIGIN, "--name", NAME)


def assert_new_store(layout: Layout) -> None:
    report = verify_store(layout)
    assert (report.size, report.notes) == (0, [])
    assert fsck_store(layout)[1] == []


def kills_of_init(folder: Path, kills: int) -> None:
    rng = seeded()
    layout = Layout(folder / "s0")
    most_s = work_s(init(layout))
    stores = [layout]
    killed = finished = 0
    while killed < kills:
        if stores[-1].mark.exists():
            finished += 1
            assert_new_store(stores[-1])
            stores.append(Layout(folder / f"s{finished}"))
        killed += init(stores[-1]).kill_within(rng, most_s)
    if not stores[-1].mark.exists():
        code, said = init(stores[-1]).end()
        assert code == EXIT_OK, said
    assert_new_store(stores[-1])
    before = {path: path.read_bytes() for path in stores[-1].data_dir.rglob("*") if path.is_file()}
    code, said = init(stores[-1]).end()
    assert code == EXIT_REFUSED
    assert "there is a finished store" in said
    assert {path: path.read_bytes() for path in stores[-1].data_dir.rglob("*") if path.is_file()} == before
    print(f"{killed} kills of init over {len(stores)} stores")


def old_store(path: Path) -> Layout:
    """A store of format 0, as a checkout gives it: others may not read it, and the mark is at home."""
    shutil.copytree(FORMAT0, path)
    for item in [path, *path.rglob("*")]:
        item.chmod(0o700 if item.is_dir() else 0o600)
    mark = Mark.open(path / "mark")
    mark.rewrite()
    mark.close()
    return Layout(path)


def kills_of_migrate(folder: Path, kills: int) -> None:
    rng = seeded()
    layout = old_store(folder / "s0")
    mark = layout.mark.read_bytes()
    most_s = work_s(Command(layout, "migrate"))
    with Snapshot(layout.database) as snapshot:
        head = snapshot.head()
    killed = restarted = stores = 0
    while killed < kills:
        stores += 1
        layout = old_store(folder / f"s{stores}")
        tries = 0
        while Command(layout, "migrate").kill_within(rng, most_s):
            killed += 1
            tries += 1
        restarted += tries > 0
        # It came through, or found that the run that was killed had done all.
        with Snapshot(layout.database) as snapshot:
            assert snapshot.head() == head
        assert verify_store(layout).notes == []
        assert fsck_store(layout)[1] == []
        assert not list(layout.data_dir.glob("*.new*"))
        assert len(layout.mark.read_bytes()) == len(mark)
    print(f"{killed} kills of migrate over {stores} stores, {restarted} of which needed another run")
    assert restarted


def test_20_kills_of_init_leave_a_store_that_init_finishes(tmp_path: Path) -> None:
    kills_of_init(tmp_path, 20)


def test_20_kills_of_migrate_leave_a_store_that_migrate_finishes(tmp_path: Path) -> None:
    kills_of_migrate(tmp_path, 20)


@pytest.mark.torture
def test_200_kills_of_init_and_of_migrate(tmp_path: Path) -> None:
    (tmp_path / "init").mkdir()
    (tmp_path / "migrate").mkdir()
    kills_of_init(tmp_path / "init", 200)
    kills_of_migrate(tmp_path / "migrate", 200)
