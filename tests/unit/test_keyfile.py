"""A device's key file: what is written back keeps all that others wrote, and is readable by its owner alone."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from gateway.app import keyfile
from gateway.errors import LocalError

FILE = {
    "device": 7,
    "key": "0f" * 32,
    "home": "rig-1",
    "name": "Quest, room 2",
    "hello_seq": 4,
    "host": "192.0.2.7",
    "port": 4747,
    "mqtt": {"broker": "b.example"},
    "note": "kit 7",
}


def written(folder: Path, members: dict[str, object]) -> Path:
    path = folder / "vestibule.json"
    path.write_text(json.dumps(members))
    path.chmod(0o600)
    return path


def test_host_and_port_are_read_and_kept(tmp_path: Path) -> None:
    key = keyfile.read(written(tmp_path, FILE))
    assert (key.host, key.port, key.hello_seq) == ("192.0.2.7", 4747, 4)
    keyfile.write(tmp_path / "copy.json", key)
    assert keyfile.read(tmp_path / "copy.json") == key


def test_the_counter_is_written_back_and_nothing_else_changes(tmp_path: Path) -> None:
    path = written(tmp_path, FILE)
    keep = keyfile.Kept(path, keyfile.read(path))
    for counter in (5, 6):
        keep(counter)
        assert json.loads(path.read_text()) == {**FILE, "hello_seq": counter}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_new_key_is_written_back_and_nothing_else_changes(tmp_path: Path) -> None:
    path = written(tmp_path, FILE)
    keep = keyfile.Kept(path, keyfile.read(path))
    keep.take_key(b"\x01" * 32)
    keep(5)
    assert json.loads(path.read_text()) == {**FILE, "key": "01" * 32, "hello_seq": 5}


def test_a_file_without_host_and_port_stays_one(tmp_path: Path) -> None:
    short: dict[str, object] = {"device": 7, "key": "0f" * 32, "home": "rig-1"}
    path = written(tmp_path, short)
    keyfile.Kept(path, keyfile.read(path))(0)
    assert json.loads(path.read_text()) == {**short, "name": "", "hello_seq": 0}


def test_a_file_that_was_spoilt_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    path = written(tmp_path, FILE)
    keep = keyfile.Kept(path, keyfile.read(path))
    path.write_text("somebody's notes")
    with pytest.raises(LocalError, match="no key file"):
        keep(5)
    assert path.read_text() == "somebody's notes"
