"""A disk whose n-th write or fsync fails, for a real daemon: builds the library, and reads what it reports."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from e2e.daemon import Gateway

SOURCE = Path(__file__).with_name("failsync.c")


class Call(NamedTuple):
    """One counted call: `sync` or `write`, its number, what became of it, and the file."""

    kind: str
    number: int
    failed: bool
    path: str


def build(folder: Path) -> Path:
    """Compile the library."""
    library = folder / "failsync.so"
    command = [
        "gcc",
        "-O2",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-shared",
        "-fPIC",
        "-o",
        str(library),
        str(SOURCE),
        "-ldl",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return library


@dataclass
class FailingDisk:
    """The disk of one gateway.

    Args:
        library: made by `build`.
        gateway: whose next start has this disk.
        folder: for what the library needs beside the store.
    """

    library: Path
    gateway: Gateway
    folder: Path

    @property
    def armed(self) -> Path:
        """Calls count while this file is there."""
        return self.folder / "armed"

    @property
    def calls(self) -> list[Call]:
        """What was counted since `fail`."""
        if not self.report.exists():
            return []
        rows = [line.split(" ", 3) for line in self.report.read_text().splitlines()]
        return [Call(kind, int(number), what == "failed", path) for kind, number, what, path in rows]

    @property
    def hit(self) -> Call | None:
        """The first call that failed."""
        return next((call for call in self.calls if call.failed), None)

    @property
    def report(self) -> Path:
        """What the library writes."""
        return self.folder / "report"

    def fail(self, kind: str, n: int, *, sticky: bool = False, at_once: bool = True) -> None:
        """Set what fails from the next start on.

        Args:
            kind: `sync` or `write`.
            n: number of the call, from 1.
            sticky: whether all later ones fail too.
            at_once: count from the start; else from when `armed` is made.
        """
        self.report.unlink(missing_ok=True)
        self.armed.unlink(missing_ok=True)
        if at_once:
            self.armed.touch()
        self.gateway.environment = {
            "LD_PRELOAD": str(self.library),
            "VESTIBULE_FAIL_DIR": str(self.gateway.layout.data_dir),
            "VESTIBULE_FAIL_ARMED": str(self.armed),
            "VESTIBULE_FAIL_REPORT": str(self.report),
            f"VESTIBULE_FAIL_{kind.upper()}": str(n),
        }
        if sticky:
            self.gateway.environment["VESTIBULE_FAIL_STICKY"] = "1"

    def heal(self) -> None:
        """From the next start on nothing fails."""
        self.armed.unlink(missing_ok=True)
        self.gateway.environment = {}
