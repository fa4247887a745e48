"""`vestibule pair` at a terminal: what the QR code holds, what the file holds, and what is said of a used code."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import segno
from click.testing import CliRunner, Result
from e2e.daemon import Gateway
from paths import ROOT

from gateway.app.cli.main import root
from gateway.device.pairing import open_paired, pair_packet
from gateway.errors import EXIT_USAGE
from tests.e2e.test_cli_devices import send_raw

MEMBERS = {"code", "expires_ms", "host", "port", "home", "uri"}
END_S = 20.0


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("p") / "s", seal_ms=100) as running:
        yield running


def typed(gateway: Gateway, *args: str | Path) -> Result:
    return CliRunner().invoke(root, ["--data-dir", str(gateway.layout.data_dir), *map(str, args)])


def at_a_terminal(gateway: Gateway, *args: str) -> str:
    """What the command writes where its output is a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "gateway", "--data-dir", str(gateway.layout.data_dir), *args]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, env=environment
    ) as process:
        os.close(theirs)
        seen = b""
        while True:
            with contextlib.suppress(OSError):  # EIO: the other end was closed, all was read
                if piece := os.read(ours, 65_536):
                    seen += piece
                    continue
            break
        os.close(ours)
        assert process.wait(END_S) == 0
    return seen.decode().replace("\r\n", "\n")


def pair_by_udp(gateway: Gateway, code: str) -> int:
    """Be a headset that pairs; returns its number."""
    nonce = os.urandom(16)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as headset:
        headset.settimeout(END_S)
        headset.sendto(
            pair_packet(code, nonce, "newcomer", time.monotonic_ns()), ("127.0.0.1", gateway.udp_port)
        )
        return open_paired(code, headset.recv(2048), nonce).device


def test_the_qr_code_on_the_screen_holds_the_uri(gateway: Gateway) -> None:
    shown = at_a_terminal(gateway, "pair", "--name", "room 2")
    link = re.search(r"^  link  (vestibule://127\.0\.0\.1:(\d+)/([A-Z2-7]{26}))$", shown, re.M)
    assert link is not None, shown
    assert int(link[2]) == gateway.udp_port
    assert f"  code  {link[3]}\n" in shown
    assert f"  host  127.0.0.1\n  port  {gateway.udp_port}\n" in shown
    drawn = io.StringIO()
    segno.make(link[1], error="m").terminal(out=drawn, compact=True)
    assert shown.startswith(drawn.getvalue()), "another text would make other squares"
    assert drawn.getvalue().count("\n") > 15


def test_no_qr_code_stands_in_a_pipe(gateway: Gateway) -> None:
    shown = typed(gateway, "pair").stdout
    assert re.fullmatch(r"  code  \S+\n  host  \S+\n  port  \d+\n  link  \S+\n", shown)


def test_the_file_is_what_an_app_takes_from_its_folder(gateway: Gateway, tmp_path: Path) -> None:
    file = tmp_path / "vestibule.json"
    old = os.umask(0)
    try:
        done = typed(gateway, "pair", "--out", file)
    finally:
        os.umask(old)
    assert done.exit_code == 0, done.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    told = json.loads(file.read_text())
    assert told.keys() == MEMBERS
    assert told["uri"] == f"vestibule://{told['host']}:{told['port']}/{told['code']}"
    assert pair_by_udp(gateway, told["code"]) > 0
    again = typed(gateway, "pair", "--out", file)
    assert again.exit_code == EXIT_USAGE
    assert json.loads(file.read_text()) == told, "the code of a file that is there is not lost"


def test_the_help_says_how_a_file_gets_onto_a_headset(gateway: Gateway) -> None:
    shown = typed(gateway, "pair", "--help").stdout
    assert "vestibule pair --out vestibule.json" in shown
    assert "adb push vestibule.json" in shown


def test_who_waits_is_told_the_device(gateway: Gateway, tmp_path: Path) -> None:
    file = tmp_path / "w.json"
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(typed, gateway, "pair", "--wait", "--out", file)
        gateway.until(lambda: file.exists() and file.read_text().endswith("}\n"), "a code is on offer")
        number = pair_by_udp(gateway, json.loads(file.read_text())["code"])
        done = waiting.result(END_S)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.endswith(f"Paired: device {number} (newcomer).\n")


def test_a_code_that_was_used_says_so(gateway: Gateway) -> None:
    code = str(gateway.call("pair", name="")["code"])
    pair_by_udp(gateway, code)
    send_raw(gateway, pair_packet(code, os.urandom(16), "second", 1), 1)
    gateway.until(lambda: gateway.call("status")["refused"].get("spent"), "the second headset is counted")
    shown = typed(gateway, "status").stdout
    assert "for a pairing code that was used already (spent)" in shown
    assert "Make a new code: " in shown
