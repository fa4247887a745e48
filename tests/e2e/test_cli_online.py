"""The commands against a real daemon: what people type in a day, and what they see."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from gateway.app import keyfile, replay
from gateway.app.cli.main import root
from gateway.app.rig import Way
from gateway.device.pairing import open_paired, pair_packet
from gateway.errors import (
    EXIT_REFUSED,
    EXIT_TRY_LATER,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    EXIT_VERIFY,
    VestibuleError,
)
from gateway.net.control import call
from gateway.sources.track import Recording, Track
from gateway.store.keyfiles import load_keys
from gateway.store.layout import Layout
from gateway.store.subjects import Subjects
from gateway.wire import kinds

ORIGIN = "vestibule.example/rig-1"
START_S = 20.0


class Rig:
    """A store with a daemon, and the commands that are typed at it."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        made = self("init", "--origin", ORIGIN)
        assert made.exit_code == 0, made.stderr
        config = data_dir / "vestibule.toml"
        text = config.read_text()
        # Free ports, and a short cycle: each answer waits for a commit.
        text = text.replace("0.0.0.0:4747", "127.0.0.1:0").replace("127.0.0.1:4748", "127.0.0.1:0")
        config.write_text(text.replace("interval_ms = 1000", "interval_ms = 100"))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "--data-dir", str(data_dir), "run"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={key: value for key, value in os.environ.items() if key != "RUNTIME_DIRECTORY"},
        )
        self.wait_ready()

    def __call__(self, *args: str | Path, input: str | None = None) -> Result:
        return CliRunner().invoke(root, ["--data-dir", str(self.data_dir), *map(str, args)], input=input)

    def wait_ready(self) -> None:
        """Read its log until it says that it is ready."""
        assert self.process.stdout is not None
        seen = []
        for line in self.process.stdout:
            seen.append(line.decode())
            if "ready" in seen[-1].lower():
                return
        raise AssertionError("the daemon ended: " + "".join(seen))

    def json(self, *args: str | Path) -> dict[str, object]:
        done = self(*args, "--json")
        assert done.exit_code == 0, done.stderr
        told = json.loads(done.stdout)
        assert isinstance(told, dict)
        return told

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=START_S)
        return self.process.returncode


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    # Short: the path of a Unix socket has room for some hundred bytes.
    made = Rig(tmp_path_factory.mktemp("r") / "s")
    yield made
    if made.process.poll() is None:
        made.stop()


def test_status_says_how_it_is_and_what_to_do_first(rig: Rig) -> None:
    told = rig.json("status")
    assert (told["origin"], told["ready"]) == (ORIGIN, True)
    shown = rig("status")
    assert shown.exit_code == 0
    assert shown.stdout.startswith("rig-1 is ready")
    assert f"log        {ORIGIN}" in shown.stdout
    assert "vestibule" in shown.stdout


def test_a_device_gets_its_key_file_once(rig: Rig, tmp_path: Path) -> None:
    file = tmp_path / "kit.json"
    told = rig.json("device", "add", "kit 7", "--out", file)
    assert sorted(told) == ["device", "file", "home"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    key = keyfile.read(file)
    assert (key.device, key.home, key.name) == (told["device"], "rig-1", "kit 7")
    before = len(rig.json("device", "list")["devices"])  # type: ignore[arg-type]
    again = rig("device", "add", "kit 8", "--out", file)
    assert again.exit_code == EXIT_USAGE
    assert len(rig.json("device", "list")["devices"]) == before, "no device without a place for its key"  # type: ignore[arg-type]


def test_devices_are_named_by_number_or_by_name(rig: Rig) -> None:
    first = rig.json("device", "add", "lamp")["device"]
    rig.json("device", "add", "twin")
    rig.json("device", "add", "twin")
    assert rig.json("device", "rotate", "lamp")["device"] == first
    assert re.search(r"lamp +key is being changed", rig("device", "list").stdout)
    assert "could be any of 2 devices" in rig("device", "rotate", "twin").stderr
    assert "there is no device 'nobody'" in rig("device", "rotate", "nobody").stderr
    gone = rig("device", "revoke", "lamp", "--yes")
    assert gone.exit_code == 0
    assert f"Device {first} is revoked" in gone.stdout
    assert re.search(r"lamp +revoked", rig("device", "list").stdout)


def test_a_code_is_shown_as_text_and_as_a_file(rig: Rig, tmp_path: Path) -> None:
    file = tmp_path / "pair.json"
    shown = rig("pair", "--name", "room 2", "--out", file)
    assert shown.exit_code == 0, shown.stderr
    told = json.loads(file.read_text())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {"host", "port", "code", "home"} <= told.keys()
    code = re.search(r"code  ([A-Z2-7]+)", shown.stdout)
    assert code is not None
    assert code[1] == told["code"]
    assert f"port  {told['port']}" in shown.stdout
    assert "Good for 9 min" in shown.stderr or "Good for 10 min" in shown.stderr


def pair_by_udp(rig: Rig, code: str) -> int:
    """Be a headset that pairs; returns the number that it was given."""
    nonce = os.urandom(16)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as headset:
        headset.settimeout(START_S)
        packet = pair_packet(code, nonce, "newcomer", time.monotonic_ns())
        headset.sendto(packet, ("127.0.0.1", int(str(rig.json("status")["udp"]).rpartition(":")[2])))
        return open_paired(code, headset.recv(2048), nonce).device


def test_who_waits_for_a_code_learns_which_device_it_became(rig: Rig) -> None:
    code = str(rig.json("pair")["code"])
    path = rig.data_dir / "control.sock"
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(call, path, "pair.wait", {"code": code}, START_S)
        number = pair_by_udp(rig, code)
        rig.json("device", "add", "newer")
        assert waiting.result(START_S) == {"device": number, "name": "newcomer"}
    # Spent already, and another device is the newest.
    assert call(path, "pair.wait", {"code": code}, START_S)["device"] == number
    with pytest.raises(VestibuleError, match="not on offer"):
        call(path, "pair.wait", {"code": "A" * 26})


def test_a_revoked_device_is_not_rotating(rig: Rig) -> None:
    number = rig.json("device", "add", "lost")["device"]
    rig.json("device", "rotate", "lost")
    rig.json("device", "revoke", "lost", "--yes")
    rows = {row["device"]: row for row in rig.json("device", "list")["devices"]}  # type: ignore[attr-defined]
    assert (rows[number]["state"], rows[number]["rotating"]) == ("revoked", False)
    assert "lost" not in rig("status").stdout
    assert re.search(r"lost +revoked", rig("status", "--all").stdout)


def test_a_session_from_open_to_close(rig: Rig) -> None:
    number = rig.json("device", "add", "headset")["device"]
    opened = rig.json(
        "session", "open", "-d", "headset", "-s", "P-0017", "-p", "therapy", "-k", "pose", "-k", "haptic"
    )
    session = str(opened["session"])
    shown = rig("session", "list").stdout
    assert re.search(
        rf"{session[:8]} +P-0017 +therapy +{number} +pose, haptic, clock, info +recording", shown
    )
    assert "last heard: never" in rig("status").stdout
    twice = rig("session", "open", "-d", str(number), "-s", "P-2", "-p", "x", "-k", "pose")
    assert twice.exit_code == EXIT_USAGE
    assert "is in an open session already" in twice.stderr
    closed = rig("session", "close", session[:6], "--now")
    assert closed.exit_code == 0, closed.stderr
    assert closed.stdout.strip() == f"{session}: closed"
    assert session not in json.dumps(rig.json("session", "list"))
    assert session in json.dumps(rig.json("session", "list", "--all"))
    assert session[:8] in rig("session", "list", "--all").stdout
    assert rig("session", "list", "--all", "--streams").exit_code == 0


def test_a_session_is_closed_by_the_name_of_its_device(rig: Rig) -> None:
    def opened(*devices: str) -> str:
        named = [word for device in devices for word in ("-d", device)]
        return str(rig.json("session", "open", *named, "-s", "P-2", "-p", "x", "-k", "pose")["session"])

    for name in ("left hand", "right hand"):
        rig.json("device", "add", name)
    assert "there is no open session 'nobody'" in rig("session", "close", "nobody").stderr
    assert "no open session has the device 'left hand'" in rig("session", "close", "left hand").stderr
    session = opened("left hand", "right hand")
    closed = rig("session", "close", "right hand", "--now")
    assert (closed.exit_code, closed.stdout.strip()) == (0, f"{session}: closed"), closed.stderr
    first, second = opened("left hand"), opened("right hand")
    rig.json("device", "add", "left hand")
    number = rig.json("device", "add", "right hand")["device"]
    third = opened(str(number))
    many = rig("session", "close", "right hand")
    assert many.exit_code == EXIT_USAGE
    assert second in many.stderr
    assert third in many.stderr
    for one in (first, second, third):
        assert rig("session", "close", one, "--now").exit_code == 0


def test_an_erased_subject_has_sessions_without_a_name_and_no_proofs(rig: Rig) -> None:
    number = rig.json("device", "add", "of the erased")["device"]
    opened = ("session", "open", "-d", str(number), "-s", "P-erased", "-p", "x", "-k", "pose")
    session = str(rig.json(*opened)["session"])
    assert rig("session", "close", session, "--now").exit_code == 0
    layout = Layout(rig.data_dir)
    subjects = Subjects(layout.subjects, load_keys(layout).master)
    ref = subjects.find("P-erased")
    assert ref is not None
    assert subjects.destroy(ref)
    subjects.close()
    shown = rig("session", "list", "--all")
    assert shown.exit_code == 0, shown.stderr
    assert re.search(rf"{session[:8]}\w* +\(erased\)", shown.stdout)
    assert "P-erased" not in shown.stdout
    assert "P-0017" in shown.stdout
    denied = rig("prove", session, "0", "0")
    assert denied.exit_code == EXIT_REFUSED
    assert "this subject was erased" in denied.stderr
    assert "the proof of a whole batch still holds" in denied.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["-k", "poze"], "Known kinds: pose"),
        (["-k", "pose", "-d", "99"], "device 99 is not paired"),
    ],
)
def test_a_session_that_cannot_be_opened_says_why(rig: Rig, args: list[str], said: str) -> None:
    rig.json("device", "add", said)
    named = [] if "-d" in args else ["-d", said]
    done = rig("session", "open", "-s", "P-1", "-p", "x", *named, *args)
    assert done.exit_code == EXIT_USAGE
    assert said in done.stderr


def test_the_store_is_verified_while_the_daemon_runs(rig: Rig) -> None:
    rig.json("device", "add", "one entry more")
    told = rig.json("verify")
    assert told["ok"] is True
    assert rig("verify", "--without-keys").exit_code == 0


def test_a_sample_is_proven_by_its_file_alone(rig: Rig, tmp_path: Path) -> None:
    key = tmp_path / "key.json"
    number = rig.json("device", "add", "witnessed", "--out", key)["device"]
    session = str(
        rig.json(
            "session", "open", "-d", "witnessed", "-s", "P-0042", "-p", "therapy", "-k", "pose", "-k", "clock"
        )["session"]
    )
    port = int(str(rig.json("status")["udp"]).rpartition(":")[2])
    send_poses(key, port, 500)
    assert rig("session", "close", session[:8]).exit_code == 0
    shown = rig("session", "list", "--all", "--streams").stdout
    found = re.search(rf"{session[:8]} +{number} +([0-9a-f]{{16}}) +(\d+) +pose +500 +500 +0 +0", shown)
    assert found is not None, shown

    vkey = str(rig.json("key", "show")["log"])
    sample, batch = tmp_path / "sample.proof", tmp_path / "batch.proof"
    made = rig("prove", session[:8], found[2], "123", "--run", found[1], "-o", sample)
    assert made.exit_code == 0, made.stderr
    assert stat.S_IMODE(sample.stat().st_mode) == 0o600
    shown_proof = CliRunner().invoke(root, ["verify", "--proof", str(sample), "--vkey", vkey])
    assert shown_proof.exit_code == 0, shown_proof.stderr
    assert "proven      this frame of" in shown_proof.stdout
    assert "not proven  when it happened" in shown_proof.stdout

    told = json.loads(
        CliRunner().invoke(root, ["verify", "--proof", str(sample), "--vkey", vkey, "--json"]).stdout
    )
    assert (told["ok"], told["origin"], told["gateway"]) == (True, ORIGIN, rig.json("status")["did"])
    made = rig("prove", "--batch", str(told["batch"]), "-o", batch)
    assert made.exit_code == 0, made.stderr
    assert rig("verify", "--proof", batch, "--vkey", vkey).exit_code == 0

    sample.write_bytes(sample.read_bytes().replace(b'"frame_index":', b'"frame_index":1'))
    broken = rig("verify", "--proof", sample, "--vkey", vkey)
    assert (broken.exit_code, broken.stdout) == (EXIT_VERIFY, "")

    told = rig.json("ledger", "export", tmp_path / "log")
    assert told["size"] == rig.json("status")["log"]["size"]  # type: ignore[index]
    assert (tmp_path / "log" / "checkpoint").read_text().startswith(f"{ORIGIN}\n{told['size']}\n")


def send_poses(key: Path, port: int, n_samples: int) -> None:
    """Be a headset: deliver poses until each packet has its receipt."""
    samples = np.zeros(n_samples, kinds.POSE_DTYPE)
    samples["t_capture_ns"] = 1_000_000_000 + np.arange(n_samples, dtype=np.int64) * 13_888_889
    samples["orientation"][:, 3] = 1
    recording = Recording("poses", [Track("head", kinds.POSE, samples)], int(n_samples * 13_888_889), {})
    device = keyfile.read(key)
    done = asyncio.run(
        replay.with_keys(
            replay.Wanted([recording], speed=None),
            [(device, keyfile.Kept(key, device))],
            Way("127.0.0.1", port),
            lambda stage, done, total: None,
        )
    )
    assert done.held == 0


def test_what_the_daemon_refuses_keeps_its_exit_code(rig: Rig) -> None:
    done = rig("prove", "0" * 32, "0", "0")
    assert done.exit_code == EXIT_USAGE
    assert "there is no session '0000" in done.stderr
    second = rig("run")
    assert second.exit_code == EXIT_TRY_LATER
    assert "is in use by process" in second.stderr


def test_after_the_stop_the_store_is_checked_and_damage_is_placed(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    rig = Rig(tmp_path_factory.mktemp("q") / "s")
    try:
        key = tmp_path / "key.json"
        rig.json("device", "add", "one", "--out", key)
        rig.json("session", "open", "-d", "one", "-s", "P-1", "-p", "therapy", "-k", "pose")
        send_poses(key, int(str(rig.json("status")["udp"]).rpartition(":")[2]), 100)
        stopped = rig("stop")
    finally:
        code = rig.stop()
    assert (stopped.exit_code, stopped.stdout) == (0, "The gateway has stopped.\n"), stopped.stderr
    assert code == 0
    done = rig("status")
    assert done.exit_code == EXIT_UNREACHABLE
    assert f"`vestibule --data-dir {rig.data_dir} run`" in done.stderr
    assert rig("init", "--origin", ORIGIN).exit_code == EXIT_REFUSED
    assert rig.json("fsck")["faults"] == []

    (segment,) = (rig.data_dir / "vault").glob("*.seg")
    whole = bytearray(segment.read_bytes())
    whole[-40] ^= 1
    segment.write_bytes(whole)
    verified = rig("verify", "--json")
    assert (verified.exit_code, verified.stdout) == (EXIT_VERIFY, "")
    assert json.loads(verified.stderr)["error"]["where"]["batch"] >= 1
    listed = rig("fsck", "--json")
    assert listed.exit_code == EXIT_VERIFY
    told = json.loads(listed.stdout)
    assert told["ok"] is False
    assert told["faults"][0]["where"]["batch"] >= 1
    assert told["faults"][0]["repair"]
    shown = rig("fsck")
    assert shown.exit_code == EXIT_VERIFY
    assert "  mend   " in shown.stdout
    assert "in the data directory" not in shown.stdout


def test_a_name_that_is_taken_is_said_and_a_key_without_a_place_is_not_made(rig: Rig, tmp_path: Path) -> None:
    first = rig.json("device", "add", "kit of two")["device"]
    second = rig("device", "add", "kit of two", "--out", tmp_path / "second.json")
    assert second.exit_code == 0, second.stderr
    assert f"device {first} is called kit of two too" in second.stderr
    assert keyfile.read(tmp_path / "second.json").device != first
    before = rig.json("device", "list")
    refused = rig("device", "add", "third", "--out", tmp_path / ("x" * 300))
    assert refused.exit_code == EXIT_USAGE
    assert rig.json("device", "list") == before
