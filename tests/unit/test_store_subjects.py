"""Subjects: found by pseudonym, never readable in the file, and gone when they are erased."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.errors import Damage, Denied, LocalError, StoreRefused
from gateway.ids import SubjectRef
from gateway.store.subjects import Subjects

MASTER, NEW_MASTER = b"M" * 32, b"N" * 32
REF, OTHER = SubjectRef(b"r" * 16), SubjectRef(b"o" * 16)
KEY = b"subject key of thirty-two bytes!"
NAME = "patient-0815-pseudonym"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "subjects.db"


@pytest.fixture
def subjects(path: Path) -> Iterator[Subjects]:
    subjects = Subjects(path, MASTER, create=True)
    yield subjects
    subjects.close()


def test_a_subject_is_found_again(subjects: Subjects, path: Path) -> None:
    subjects.create(REF, NAME, KEY)
    subjects.create(OTHER, "another", b"2" * 32)
    for reader in (subjects, Subjects(path, MASTER)):
        assert reader.find(NAME) == REF
        assert reader.find("nobody") is None
        assert reader.key(REF) == KEY
        assert reader.pseudonym(REF) == NAME
        assert reader.all_refs() == [OTHER, REF]
    assert path.stat().st_mode & 0o777 == 0o600


def test_neither_pseudonym_nor_key_stands_in_the_directory(subjects: Subjects, path: Path) -> None:
    subjects.create(REF, NAME, KEY)
    assert [child.name for child in path.parent.iterdir()] == ["subjects.db"]
    data = path.read_bytes()
    assert NAME.encode() not in data
    assert KEY not in data
    assert REF in data


def test_a_subject_is_durable_when_create_returns(path: Path) -> None:
    script = (
        "import sys, os, pathlib\n"
        "from gateway.store.subjects import Subjects\n"
        "s = Subjects(pathlib.Path(sys.argv[1]), b'M' * 32, create=True)\n"
        "s.create(b'r' * 16, sys.argv[2], b'k' * 32)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path), NAME], check=False)
    assert done.returncode == -9
    assert Subjects(path, MASTER).key(REF) == b"k" * 32


def test_a_pseudonym_has_one_subject(subjects: Subjects) -> None:
    subjects.create(REF, NAME, KEY)
    with pytest.raises(LocalError) as caught:
        subjects.create(OTHER, NAME, b"2" * 32)
    assert caught.value.code == "subject_exists"
    assert NAME not in caught.value.message
    assert subjects.all_refs() == [REF]


@pytest.mark.parametrize(
    ("ref", "name", "key"),
    [(b"short", NAME, KEY), (REF, "", KEY), (REF, "x" * 257, KEY), (REF, NAME, KEY[1:])],
)
def test_odd_fields_are_refused(ref: bytes, name: str, key: bytes, subjects: Subjects) -> None:
    with pytest.raises(LocalError) as caught:
        subjects.create(SubjectRef(ref), name, key)
    assert caught.value.code == "subject_fields"
    assert subjects.all_refs() == []


def test_an_erased_subject_is_gone_from_the_file_too(subjects: Subjects, path: Path) -> None:
    subjects.create(REF, NAME, KEY)
    subjects.create(OTHER, "another", b"2" * 32)
    with closing(sqlite3.connect(path)) as connection:
        wrapped = connection.execute("SELECT wrapped FROM subjects WHERE ref = ?", (REF,)).fetchone()[0]
    assert wrapped in path.read_bytes()
    assert subjects.destroy(REF)
    assert not subjects.destroy(REF)
    for read in (subjects.key, subjects.pseudonym):
        with pytest.raises(Denied) as caught:
            read(REF)
        assert caught.value.code == "subject_gone"
    assert subjects.find(NAME) is None
    data = path.read_bytes()
    assert wrapped not in data
    assert wrapped[-32:] not in data
    assert REF not in data
    assert [child.name for child in path.parent.iterdir()] == ["subjects.db"]
    assert subjects.key(OTHER) == b"2" * 32


def test_after_a_rotation_an_old_copy_does_not_open(subjects: Subjects, path: Path, tmp_path: Path) -> None:
    subjects.create(REF, NAME, KEY)
    subjects.create(OTHER, "another", b"2" * 32)
    shutil.copy(path, tmp_path / "old-copy.db")
    subjects.destroy(REF)
    subjects.rotate(NEW_MASTER)
    for reader in (subjects, Subjects(path, NEW_MASTER)):
        assert reader.find("another") == OTHER
        assert reader.key(OTHER) == b"2" * 32
        assert reader.all_refs() == [OTHER]
    copy = Subjects(tmp_path / "old-copy.db", NEW_MASTER)
    assert copy.find(NAME) is None
    with pytest.raises(Damage) as caught:
        copy.key(REF)
    assert caught.value.code == "subject_sealed"


def test_a_crash_between_key_file_and_rotation_loses_nothing(subjects: Subjects, path: Path) -> None:
    subjects.create(REF, NAME, KEY)
    # the key file holds both epochs, the rows are still of the old one
    both = Subjects(path, NEW_MASTER, MASTER)
    assert both.find(NAME) == REF
    assert both.key(REF) == KEY
    both.create(OTHER, "another", b"2" * 32)
    both.rotate(NEW_MASTER)
    assert Subjects(path, NEW_MASTER).find(NAME) == REF


def test_a_rotation_that_meets_damage_changes_nothing(subjects: Subjects, path: Path) -> None:
    subjects.create(REF, NAME, KEY)
    subjects.create(OTHER, "another", b"2" * 32)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE subjects SET wrapped = zeroblob(80) WHERE ref = ?", (OTHER,))
    before = path.read_bytes()
    with pytest.raises(Damage):
        subjects.rotate(NEW_MASTER)
    assert path.read_bytes() == before
    assert subjects.key(REF) == KEY


def test_rows_cannot_be_exchanged(subjects: Subjects, path: Path) -> None:
    subjects.create(REF, NAME, KEY)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE subjects SET ref = ?", (OTHER,))
    with pytest.raises(Damage):
        subjects.key(OTHER)


@pytest.mark.parametrize(("pragma", "code"), [("user_version=2", "newer"), ("application_id=5", "not_ours")])
def test_another_format_is_refused(pragma: str, code: str, subjects: Subjects, path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA {pragma}")
    with pytest.raises(StoreRefused) as caught:
        Subjects(path, MASTER)
    assert caught.value.code == code


def test_only_init_makes_the_file(path: Path) -> None:
    with pytest.raises(StoreRefused) as caught:
        Subjects(path, MASTER)
    assert caught.value.code == "store_missing"
    assert not path.exists()
    assert os.listdir(path.parent) == []
