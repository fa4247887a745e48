"""`plugin-check` with the Python device: it passes the trial, and a device that breaks a rule is told which.

The gateway inside is the real one, over UDP on this machine; the whole trial takes a minute and a half.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paths import ROOT

from gateway.app import keyfile
from gateway.app.cli.plugin_check import KINDS
from gateway.app.plugin_check import run
from gateway.app.plugin_check.say import Line
from gateway.app.plugin_check.sheet import FAIL, PASS, Row
from gateway.app.plugin_check.trial import Options
from gateway.app.rig import Rig, Way
from gateway.device.events import Commanded, Effect, Send
from gateway.device.pairing import open_paired, pair_packet
from gateway.sources.people import TRACK_KINDS, Person
from gateway.wire import kinds

pytestmark = pytest.mark.slow
MARKERS, HAPTICS = 40, 41


class Headset:
    """The Python device with a person in it, that carries out what commands ask for.

    Args:
        path: its key file, as the check wrote it.
        options: other fields of the device's configuration.
    """

    def __init__(self, path: Path, **options: Any) -> None:
        key = keyfile.read(path)
        port = json.loads(path.read_text())["port"]
        self.rig = Rig(key, keyfile.Kept(path, key), Way("127.0.0.1", port), **options)
        self._told, self.rig.driver._tell = self.rig.driver._tell, self._tell
        self._orders: list[Commanded] = []
        self._person = Person(np.random.default_rng(7), 0)

    def _tell(self, effect: Effect) -> None:
        assert self._told is not None
        self._told(effect)
        if isinstance(effect, Commanded):
            self._orders.append(effect)

    async def live(self) -> None:
        """Record for as long as it is let."""
        begin_ns = time.monotonic_ns()
        done_ns, described = 0, b""
        async with self.rig.driver:
            self.rig.driver.start()
            while True:
                await asyncio.sleep(0.02)
                now_ns = time.monotonic_ns() - begin_ns
                welcome = self.rig.device.welcome
                if welcome is not None and welcome.session not in (b"", described):
                    described = welcome.session
                    for stream, kind in [
                        *enumerate(TRACK_KINDS.values()),
                        (MARKERS, kinds.MARKER),
                        (HAPTICS, kinds.HAPTIC),
                    ]:
                        self.rig.describe(stream, {"kind": kinds.KINDS[kind].name, "axes": "openxr"})
                for stream, (track, kind) in enumerate(TRACK_KINDS.items()):
                    samples = self._person.render(track, done_ns, now_ns).copy()
                    if len(samples):
                        samples["t_capture_ns"] += begin_ns
                        self.rig.driver.capture(stream, kind, samples.tobytes(), len(samples))
                done_ns = now_ns
                self._carry_out()

    def _carry_out(self) -> None:
        orders, self._orders = self._orders, []
        for order in orders:
            if order.verb == "marker":
                text = str(order.args[1]).encode()
                head = np.zeros(1, kinds.MARKER_HEADER)
                head["t_capture_ns"], head["code"], head["length"] = (
                    time.monotonic_ns(),
                    order.args[0],
                    len(text),
                )
                self.rig.driver.capture(MARKERS, kinds.MARKER, head.tobytes() + text, 1)
            elif order.verb == "haptic":
                target, amplitude, duration_ms, frequency_hz = order.args
                row = np.zeros(1, kinds.HAPTIC_DTYPE)
                row["t_capture_ns"], row["duration_ns"] = time.monotonic_ns(), int(duration_ms) * 1_000_000
                row["amplitude"], row["frequency_hz"], row["target"] = amplitude, frequency_hz, target
                self.rig.driver.capture(HAPTICS, kinds.HAPTIC, row.tobytes(), 1)


class Checked:
    """A check that runs in this loop, and what it said."""

    def __init__(self, out: Path, **options: Any) -> None:
        self.out = out
        self.enough = asyncio.Event()
        self.lines: list[Line] = []
        self.said: list[str] = []
        self.offered: dict[str, Any] = {}
        values: dict[str, Any] = {"permitted": tuple(KINDS.split(",")), "without": "gaze", "wait_s": 30}
        self.options = Options(**values | options)

    def screen(self) -> run.Screen:
        return run.Screen(self.offered.update, self.lines.append, self.said.append, lambda now_ns: None)

    async def with_device(self, listen: bool, make: Callable[[Path], Any], **options: Any) -> list[Row]:
        """Run it, and a device as soon as the key file is there."""
        check = asyncio.create_task(
            run.check("127.0.0.1", 0, self.out, self.options, self.screen(), None, listen, self.enough)
        )
        await until(lambda: bool(self.offered) or check.done(), 20)
        device = asyncio.create_task(make(self.out / run.KEY_FILE))
        try:
            return await check
        finally:
            device.cancel()
            await asyncio.gather(device, return_exceptions=True)


async def until(holds: Callable[[], bool], deadline_s: float) -> None:
    end_s = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < end_s, "not in time"
        await asyncio.sleep(0.05)


def codes(rows: list[Row], *, fails: bool) -> set[str]:
    return {note.finding.code for row in rows for note in row.findings if note.finding.fails is fails}


async def test_the_python_device_passes_the_trial(tmp_path: Path) -> None:
    check = Checked(tmp_path, outage_s=13.0, step_s=4.0)
    rows = await asyncio.wait_for(check.with_device(False, lambda path: Headset(path).live()), 240)
    failed = [(row.number, row.why) for row in rows if row.state == FAIL]
    assert failed == [], check.said
    assert codes(rows, fails=False) == set()
    passed = {row.number for row in rows if row.state == PASS}
    assert {0, 10, 11, 16, 17, 20, 21, 24} <= passed
    said = "\n".join(check.said)
    assert "was not carried out" not in said
    assert "13 s" in said
    starts = [line.seq >> 48 for line in check.lines if not line.up and line.kind == "SYNC"]
    assert len(set(starts)) == 2, "the gateway came back with another boot number"
    assert any(line.kind == "HELLO" and line.verdict == "lost on purpose" for line in check.lines), (
        "said in the silence"
    )


async def test_a_device_that_sends_what_is_not_permitted_fails_that_line(tmp_path: Path) -> None:
    check = Checked(tmp_path)
    seen = asyncio.create_task(_enough(check, lambda: any(line.new for line in check.lines)))
    rows = await check.with_device(True, lambda path: Headset(path, send_unpermitted=True).live())
    await seen
    assert next(row for row in rows if row.number == 17).state == FAIL
    assert codes(rows, fails=True) == {"frame.not_permitted"}


async def _enough(check: Checked, holds: Callable[[], bool]) -> None:
    try:
        await until(holds, 20)
    finally:
        check.enough.set()


async def test_a_device_that_changes_what_it_sends_again_is_told_so(tmp_path: Path) -> None:
    check = Checked(tmp_path, step_s=2.0)

    class Changing(Headset):
        async def live(self) -> None:
            transport, seen = self.rig.driver._transport, set[bytes]()
            send = transport.send

            def spoiled(effect: Send) -> None:
                head = effect.packet[:16]
                if effect.packet[3] == 5 and head in seen:
                    effect = Send(effect.packet[:16] + secrets.token_bytes(8) + effect.packet[24:], False)
                seen.add(head)
                send(effect)

            transport.send = spoiled  # type: ignore[method-assign]
            await super().live()

    told = asyncio.create_task(
        _enough(
            check, lambda: any(f.code.startswith("resend.changed") for line in check.lines for f in line.new)
        )
    )
    rows = await check.with_device(False, lambda path: Changing(path).live())
    await told
    assert next(row for row in rows if row.number == 10).state == FAIL
    assert "t_send_ns" in next(row for row in rows if row.number == 10).why


def test_the_command_pairs_explains_and_judges(tmp_path: Path) -> None:
    out, sheet = tmp_path / "watched", tmp_path / "CHECKLIST.md"
    out.mkdir()
    command = [sys.executable, "-m", "gateway", "plugin-check", "--port", "0", "--out", str(out)]
    process = subprocess.Popen(
        [*command, "--listen", "--sheet", str(sheet)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("  files"):
            break
    pair = json.loads((out / run.PAIR_FILE).read_text())
    assert (out / run.KEY_FILE).stat().st_mode & 0o077 == 0
    assert any(pair["code"] in line for line in lines)
    device = _paired(pair["code"], pair["port"])
    for line in process.stdout:
        lines.append(line)
        if "A session is open for device" in line and str(device) in line:
            process.send_signal(signal.SIGINT)
            break
    rest, _ = process.communicate(timeout=60)
    text = "".join(lines) + rest
    assert process.returncode == 0, text
    assert "asks to be paired" in text
    assert f"you are device {device}" in text
    assert "not shown to be right" in text
    assert "| 1 | HKDF, link keys, counter mode byte-equal | not seen |" in sheet.read_text()
    key = json.loads((out / run.KEY_FILE).read_text())["key"]
    assert key not in text


def _paired(code: str, port: int) -> int:
    """Pair as a device does; returns its number."""
    nonce_d = secrets.token_bytes(16)
    packet = pair_packet(code, nonce_d, "lab", time.monotonic_ns())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        plain.connect(("127.0.0.1", port))
        plain.settimeout(1.0)
        for _ in range(20):
            plain.send(packet)
            with contextlib.suppress(TimeoutError):
                return open_paired(code, plain.recv(2000), nonce_d).device
    raise AssertionError("no PAIRED came")
