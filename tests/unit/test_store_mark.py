"""The mark: torn slots, copies of it, and what it refuses to write."""

from __future__ import annotations

import os
import resource
import shutil
import signal
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from gateway.errors import Divergence, StoreError, StoreRefused
from gateway.store.mark import MARK_BYTES, SLOT_OFFSETS, Mark, MarkValue

ROOTS = [sha256(bytes((n,))).digest() for n in range(8)]


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    path = tmp_path / "machine-id"
    path.write_text("0123456789abcdef0123456789abcdef\n")
    return path


@pytest.fixture
def mark(tmp_path: Path, machine: Path) -> Iterator[Mark]:
    mark = Mark.create(tmp_path / "mark", 0, ROOTS[0], 0, machine_file=machine)
    yield mark
    mark.close()


def reopened(path: Path, machine: Path) -> Mark:
    return Mark.open(path, machine_file=machine)


def tear(path: Path, slot: int) -> None:
    data = bytearray(path.read_bytes())
    data[SLOT_OFFSETS[slot] + 40] ^= 0x10
    with path.open("r+b") as file:
        file.write(data)


def test_a_new_mark_is_preallocated_private_and_at_home(mark: Mark, tmp_path: Path, machine: Path) -> None:
    path = tmp_path / "mark"
    assert path.stat().st_size == MARK_BYTES
    assert path.stat().st_mode & 0o777 == 0o600
    assert mark.value == MarkValue(0, ROOTS[0], 0)
    assert mark.made_here() is None
    assert reopened(path, machine).value == mark.value


def test_advancing_is_read_back_and_never_changes_the_file_size(
    mark: Mark, tmp_path: Path, machine: Path
) -> None:
    for n in range(1, 7):
        mark.advance(n * 10, ROOTS[n], 65_535)
        assert reopened(tmp_path / "mark", machine).value == MarkValue(n * 10, ROOTS[n], 65_535)
    assert (tmp_path / "mark").stat().st_size == MARK_BYTES


@pytest.mark.parametrize("advances", [1, 2, 3])
def test_a_torn_slot_falls_back_to_the_other_one(
    advances: int, mark: Mark, tmp_path: Path, machine: Path
) -> None:
    for n in range(1, advances + 1):
        mark.advance(n, ROOTS[n], 1)
    newest = advances % 2  # create writes slot 0, then they take turns
    tear(tmp_path / "mark", newest)
    assert reopened(tmp_path / "mark", machine).value.size == advances - 1
    # and the next write goes to the torn slot, not over the only valid one
    again = reopened(tmp_path / "mark", machine)
    again.advance(advances, ROOTS[advances], 2)
    tear(tmp_path / "mark", 1 - newest)
    assert reopened(tmp_path / "mark", machine).value == MarkValue(advances, ROOTS[advances], 2)


def test_no_valid_slot_is_refused(mark: Mark, tmp_path: Path, machine: Path) -> None:
    mark.advance(1, ROOTS[1], 1)
    tear(tmp_path / "mark", 0)
    tear(tmp_path / "mark", 1)
    with pytest.raises(StoreRefused) as caught:
        reopened(tmp_path / "mark", machine)
    assert caught.value.code == "mark_invalid"
    assert caught.value.exit_code == 78


@pytest.mark.parametrize("length", [0, 1, 100, 4096])
def test_a_truncated_mark_is_never_misread(length: int, mark: Mark, tmp_path: Path, machine: Path) -> None:
    path = tmp_path / "mark"
    os.truncate(path, length)
    if length > SLOT_OFFSETS[0] + 200:
        assert reopened(path, machine).value.size == 0
    else:
        with pytest.raises(StoreRefused, match="no valid record"):
            reopened(path, machine)


def test_a_missing_mark_is_refused(tmp_path: Path, machine: Path) -> None:
    with pytest.raises(StoreRefused) as caught:
        reopened(tmp_path / "mark", machine)
    assert caught.value.code == "mark_missing"
    assert "adopt" not in caught.value.hint, "adopting refuses it just the same"


def test_a_symbolic_link_is_not_followed(mark: Mark, tmp_path: Path, machine: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "mark")
    with pytest.raises(StoreError):
        reopened(tmp_path / "link", machine)


def test_a_newer_mark_is_refused(mark: Mark, tmp_path: Path, machine: Path) -> None:
    path = tmp_path / "mark"
    data = bytearray(path.read_bytes())
    data[8:12] = (2).to_bytes(4, "little")
    data[120:152] = sha256(data[:120]).digest()
    path.write_bytes(data)
    with pytest.raises(StoreRefused) as caught:
        reopened(path, machine)
    assert caught.value.code == "newer"


def test_a_copy_is_noticed_by_its_inode_and_can_be_adopted(mark: Mark, tmp_path: Path, machine: Path) -> None:
    mark.advance(5, ROOTS[5], 3)
    shutil.copy2(tmp_path / "mark", tmp_path / "copy")
    copy = reopened(tmp_path / "copy", machine)
    assert copy.value == mark.value
    assert copy.made_here() == "inode"
    copy.rewrite()
    assert copy.made_here() is None
    for slot in range(2):
        shutil.copyfile(tmp_path / "copy", tmp_path / "saved")
        tear(tmp_path / "copy", slot)
        torn = reopened(tmp_path / "copy", machine)
        assert (torn.value, torn.made_here()) == (mark.value, None)
        with (tmp_path / "copy").open("r+b") as file:
            file.write((tmp_path / "saved").read_bytes())


def test_a_rename_is_no_copy(mark: Mark, tmp_path: Path, machine: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    os.rename(tmp_path / "mark", tmp_path / "elsewhere" / "mark")
    assert reopened(tmp_path / "elsewhere" / "mark", machine).made_here() is None


@pytest.mark.parametrize("text", ["fedcba9876543210fedcba9876543210\n", "", "uninitialized\n", None])
def test_another_machine_is_noticed(text: str | None, mark: Mark, tmp_path: Path, machine: Path) -> None:
    if text is None:
        machine.unlink()
    else:
        machine.write_text(text)
    assert reopened(tmp_path / "mark", machine).made_here() == "machine"


def test_a_machine_without_a_name_is_no_reason_to_refuse(tmp_path: Path) -> None:
    nowhere = tmp_path / "no-machine-id"
    Mark.create(tmp_path / "mark", 0, ROOTS[0], 0, machine_file=nowhere).close()
    assert reopened(tmp_path / "mark", nowhere).made_here() is None


def test_a_mark_is_made_once(mark: Mark, tmp_path: Path, machine: Path) -> None:
    with pytest.raises(StoreError) as caught:
        Mark.create(tmp_path / "mark", 0, ROOTS[1], 0, machine_file=machine)
    assert caught.value.code == "mark_exists"
    assert reopened(tmp_path / "mark", machine).value.root == ROOTS[0]
    assert {path.name for path in tmp_path.iterdir()} == {"mark", "machine-id"}


def test_an_unfinished_mark_does_not_hinder_init(tmp_path: Path, machine: Path) -> None:
    (tmp_path / "mark.new").write_bytes(b"half")
    assert Mark.create(tmp_path / "mark", 0, ROOTS[0], 0, machine_file=machine).value.size == 0


@pytest.mark.parametrize(("size", "root"), [(4, ROOTS[4]), (5, ROOTS[4])])
def test_it_never_goes_back_nor_changes_a_root(
    size: int, root: bytes, mark: Mark, tmp_path: Path, machine: Path
) -> None:
    mark.advance(5, ROOTS[5], 1)
    with pytest.raises(Divergence):
        mark.advance(size, root, 1)
    assert reopened(tmp_path / "mark", machine).value == MarkValue(5, ROOTS[5], 1)
    mark.advance(5, ROOTS[5], 2)
    assert mark.value.boot == 2


def test_a_failed_write_is_fatal_and_the_last(mark: Mark, tmp_path: Path, machine: Path) -> None:
    # A real failure: the process may not write as far as the slots lie.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (16, before[1]))
        with pytest.raises(StoreError) as caught:
            mark.advance(1, ROOTS[1], 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.fatal
    with pytest.raises(StoreError) as caught:
        mark.advance(1, ROOTS[1], 1)
    assert caught.value.fatal
    assert mark.value.size == 0
    assert reopened(tmp_path / "mark", machine).value.size == 0
