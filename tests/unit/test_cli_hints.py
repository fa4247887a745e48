"""What a command says that cannot go on: the cause in words, and a next step that can be typed as it stands."""

from __future__ import annotations

import asyncio
import json
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from stores import ORIGIN, make_store

from gateway.app import keyfile
from gateway.app.cli import progress
from gateway.app.cli.main import root
from gateway.app.cli.state import State, reserved
from gateway.app.config_rules import origin
from gateway.app.rig import SLOW_S, Rig, Way
from gateway.errors import EXIT_REFUSED, EXIT_TRY_LATER, EXIT_UNREACHABLE, EXIT_USAGE, EXIT_VERIFY, LocalError
from gateway.keys.sign import SigningKey
from gateway.tlog.note import VerifierKey


def at(data_dir: Path, *args: str | Path) -> Result:
    return CliRunner().invoke(root, ["--data-dir", str(data_dir), *map(str, args)])


@pytest.fixture
def store(tmp_path: Path) -> Path:
    data_dir = tmp_path / "st ore"
    assert at(data_dir, "init", "--origin", ORIGIN).exit_code == 0
    return data_dir


@pytest.mark.parametrize(
    "words",
    ["run", "verify", "fsck", "ledger export log", "key show", "check", "prove --batch 1", "migrate"],
)
def test_where_no_store_is_every_verb_says_so(tmp_path: Path, words: str) -> None:
    done = at(tmp_path / "none", *words.split())
    assert done.exit_code == EXIT_REFUSED
    assert f"there is no store in {tmp_path / 'none'}" in done.stderr
    assert "--data-dir" in done.stderr
    assert " init`" in done.stderr
    assert not (tmp_path / "none").exists()


def test_status_says_the_same(tmp_path: Path) -> None:
    done = at(tmp_path / "none", "status")
    assert done.exit_code == EXIT_UNREACHABLE
    assert f"There is no store in {tmp_path / 'none'}. Name its directory with --data-dir" in done.stderr


def test_commands_that_need_no_store_are_told_without_one(tmp_path: Path) -> None:
    state = State(tmp_path, named=True)
    assert state.told("Run `vestibule peer list`.") == f"Run `vestibule --data-dir {tmp_path} peer list`."
    for elsewhere in (
        "peer sign F --roster-key K",
        "peer evidence --check F --vkey V",
        "--data-dir other run",
    ):
        assert state.told(f"`vestibule {elsewhere}`") == f"`vestibule {elsewhere}`"
    assert State(tmp_path).told("`vestibule peer list`") == "`vestibule peer list`"


def test_no_bar_is_drawn_while_somebody_is_asked() -> None:
    with progress._bar():
        (bar,) = progress._live
        with progress.paused():
            assert not bar.live.is_started
        assert bar.live.is_started
    assert not progress._live


def test_data_dir_after_the_verb(tmp_path: Path) -> None:
    done = CliRunner().invoke(root, ["status", "--data-dir", str(tmp_path)])
    assert done.exit_code == EXIT_USAGE
    assert "stands before the verb" in done.stderr
    assert "--data-dir DIR status" in done.stderr


def test_a_hint_names_the_store_that_was_named(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = at(store, "init", "--origin", ORIGIN)
    assert f"`vestibule --data-dir {shlex.quote(str(store))} run`" in done.stderr
    monkeypatch.setenv("VESTIBULE_DATA_DIR", str(store))
    done = CliRunner().invoke(root, ["init", "--origin", ORIGIN])
    assert "`vestibule run`" in done.stderr


def test_the_file_whose_mode_is_wrong_is_named_whole(store: Path) -> None:
    key = store / "keys" / "log.key"
    key.chmod(0o644)
    done = at(store, "key", "show")
    assert done.exit_code == EXIT_REFUSED
    assert f"chmod 600 {shlex.quote(str(key))}" in done.stderr


@pytest.mark.parametrize(
    ("kind", "taken", "free", "verb"),
    [
        (socket.SOCK_DGRAM, "0.0.0.0:4747", "127.0.0.1:4748", "headsets"),
        (socket.SOCK_STREAM, "127.0.0.1:4748", "0.0.0.0:4747", "HTTP"),
    ],
)
def test_a_port_that_is_taken(store: Path, kind: socket.SocketKind, taken: str, free: str, verb: str) -> None:
    config = store / "vestibule.toml"
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            other.listen()
        text = config.read_text().replace(free, "127.0.0.1:0")
        assert taken in text
        config.write_text(text.replace(taken, f"127.0.0.1:{other.getsockname()[1]}"))
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "--data-dir", str(store), "run"],
            capture_output=True,
            text=True,
            timeout=30,
        )
    said = next(line for line in done.stderr.splitlines() if "vestibule:" in line)
    assert done.returncode == EXIT_REFUSED
    assert verb in said
    assert said.lower().count("address already in use") == 1
    assert said.count("127.0.0.1") == 1


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("https://clinic.example/rig-1", "clinic.example/rig-1"),
        ("clinic.example/rig-1/", "clinic.example/rig-1"),
        (" clinic.example/rig-1 ", "clinic.example/rig-1"),
    ],
)
def test_an_origin_is_taken_in_its_one_form(tmp_path: Path, typed: str, meant: str) -> None:
    done = at(tmp_path / "store", "init", "--origin", typed)
    assert done.exit_code == EXIT_USAGE
    assert json.dumps(meant) in done.stderr
    assert not (tmp_path / "store").exists()
    assert origin().check(meant) is None


@pytest.mark.parametrize("typed", ["", "two words", "https://", "/", "a+b"])
def test_an_origin_that_is_none_is_refused(typed: str) -> None:
    assert "must be" in str(origin().check(typed))


def test_a_key_that_is_none_is_a_matter_of_usage_and_another_logs_key_is_named(tmp_path: Path) -> None:
    facts = asyncio.run(make_store(tmp_path / "store"))
    proof = tmp_path / "batch.proof"
    assert at(facts.layout.data_dir, "prove", "--batch", "1", "-o", proof).exit_code == 0
    done = at(tmp_path, "verify", "--proof", proof, "--vkey", "clinic.example")
    assert done.exit_code == EXIT_USAGE
    assert "--vkey" in done.stderr
    assert "key show" in done.stderr
    other = VerifierKey.of("other.example/log", SigningKey(bytes(32)).public).encode()
    done = at(tmp_path, "verify", "--proof", proof, "--vkey", other)
    assert done.exit_code == EXIT_VERIFY
    assert ORIGIN in done.stderr
    assert "other.example/log" in done.stderr
    same = VerifierKey.of(ORIGIN, SigningKey(bytes(32)).public).encode()
    done = at(tmp_path, "verify", "--proof", proof, "--vkey", same)
    assert done.exit_code == EXIT_VERIFY
    assert "other" not in done.stderr


def test_a_reserved_name_is_given_up_where_nothing_came_of_it(tmp_path: Path) -> None:
    path = tmp_path / "kit.json"

    def fail() -> None:
        with reserved(path):
            assert path.exists()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not path.exists()
    key = keyfile.DeviceKey(1, "00" * 32, "rig-1")
    with reserved(path):
        keyfile.write(path, key, replace=True)
    assert keyfile.read(path) == key
    with pytest.raises(LocalError, match="there already"), reserved(path):
        raise AssertionError


def test_the_daemon_is_not_asked_for_a_key_that_has_nowhere_to_go(store: Path) -> None:
    done = at(store, "device", "rotate", "3", "--out", store / "none" / "kit.json")
    assert done.exit_code == EXIT_USAGE
    assert "cannot be written" in done.stderr


def test_a_key_file_may_say_more_than_this_version_reads() -> None:
    made = keyfile.parse(
        json.dumps({"device": 7, "key": "0f" * 32, "home": "rig-1", "note": "room 2"}).encode()
    )
    assert made == keyfile.DeviceKey(7, "0f" * 32, "rig-1")


def test_replay_says_whom_it_asks_and_that_nobody_answered() -> None:
    async def ask(port: int) -> tuple[list[str], LocalError]:
        told: list[str] = []
        rig = Rig(keyfile.DeviceKey(1, "00" * 32, "rig-1"), keyfile.unkept, Way(port=port))
        async with rig.driver:
            with pytest.raises(LocalError) as caught:
                await rig.begin(SLOW_S + 0.1, told.append)
        return told, caught.value

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        told, error = asyncio.run(ask(port))
    assert told == [f"asking 127.0.0.1:{port} for a session ..."]
    assert error.exit_code == EXIT_TRY_LATER
    assert f"no answer from 127.0.0.1:{port}" in error.message
    assert "_" not in error.message
    assert SLOW_S < 2
