"""README.md is true: every command in it runs, in its order, and what it shows is what comes out."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.M | re.S)
PATIENCE_S = 180.0  # of the whole tour, which takes about 15 s; two cores may be busy with other tests

READY = "for attempt in $(seq 100); do vestibule status --json >/dev/null 2>&1 && break; done"
"""A person waits for `daemon_ready`; this asks until the daemon answers."""


def blocks(language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(README) if kind == language]


def commands() -> list[str]:
    """Logical lines of all sh blocks, in order."""
    text = "".join(blocks("sh")).replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip()]


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def script() -> str:
    """The tour as one bash script. Ports are free ones, since a gateway may run beside the tests."""
    udp, http = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM)
    ports = f"sed -i 's/0.0.0.0:4747/127.0.0.1:{udp}/; s/127.0.0.1:4748/127.0.0.1:{http}/'"
    lines = ["set -euo pipefail"]
    for line in commands():
        if line.startswith("make "):
            continue
        lines.append(line.replace("127.0.0.1:4748", f"127.0.0.1:{http}"))
        if line.startswith("vestibule init"):
            lines.append(f'{ports} "$VESTIBULE_DATA_DIR/vestibule.toml"')
        if line.startswith("vestibule run"):
            lines.append(READY)
    return "\n".join(lines) + "\n"


def path_with_vestibule(folder: Path) -> str:
    """PATH with the project's virtual environment, also where only its dependencies are installed."""
    here = Path(sys.executable).parent
    if not (here / "vestibule").exists():
        here = folder / "bin"
        here.mkdir()
        shim = here / "vestibule"
        shim.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m gateway "$@"\n')
        shim.chmod(0o755)
    return f"{here}{os.pathsep}{os.environ['PATH']}"


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {line.split()[1] for line in commands() if line.startswith("make ")}
    targets |= set(re.findall(r"`make ([a-z-]+)`", README))
    assert {"demo", "test"} <= targets
    assert [one for one in sorted(targets) if not re.search(rf"^{one}:", makefile, re.M)] == []


def test_what_it_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(links) >= 12
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.slow
def test_the_tour_runs(tmp_path_factory: pytest.TempPathFactory) -> None:
    # Short: the path of a Unix socket has room for some hundred bytes.
    folder = tmp_path_factory.mktemp("t")
    (folder / "examples").symlink_to(ROOT / "examples")
    (folder / "tmp").mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VESTIBULE_")}
    environment.pop("RUNTIME_DIRECTORY", None)
    environment |= {"PATH": path_with_vestibule(folder), "TMPDIR": str(folder / "tmp")}
    done = subprocess.run(
        ["bash", "-c", script()],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "daemon_stopped" in done.stderr
    assert done.stdout.count("The sum closes") == 4
    for shown in blocks("text"):
        for line in shown.splitlines():
            assert re.search(like(line), done.stdout, re.M), (
                f"the README shows what does not come out: {line}"
            )


def like(line: str) -> str:
    """A pattern for a line whose numbers and keys may be others."""
    parts = re.split(r"(\d[\d,.]*\d|\d|z6Mk\.\.\.)", line)
    return "^" + "".join(".+" if at % 2 else re.escape(part) for at, part in enumerate(parts)) + "$"
