"""One changed bit anywhere in a store: `verify` finds it, or nothing that was signed is read from there."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.app.fsck import fsck_store
from gateway.app.verify import verify_store
from gateway.errors import StoreError, VestibuleError
from gateway.store.layout import Layout
from gateway.store.mark import MARK_BYTES, SLOT_OFFSETS, Mark
from tests.stores import Facts, make_store

# What stands in these is signed, or hangs on what is signed. The rest is the daemon's own memory (keys of devices,
# links, the boot number): wrapped where it is secret, and no part of a recording.
QUERIES = (
    "SELECT * FROM head",
    "SELECT * FROM entries ORDER BY idx",
    "SELECT * FROM tiles ORDER BY level, n",
    "SELECT * FROM batches ORDER BY batch",
    "SELECT * FROM parts ORDER BY batch, part",
    "SELECT session, commitment, subject, purpose, devices, kinds, opened_ms, seq, prev FROM sessions ORDER BY session",
    "SELECT session, device, run, stream, kind, total, stored, refused FROM streams ORDER BY session, device, stream",
)


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    return asyncio.run(make_store(tmp_path_factory.mktemp("tamper") / "data", batches=2, frames=8))


def signed(layout: Layout) -> list[list[tuple[object, ...]]]:
    with closing(sqlite3.connect(f"file:{layout.database}?mode=ro", uri=True)) as db:
        return [db.execute(query).fetchall() for query in QUERIES]


class Changed:
    """A file with one bit changed, for as long as it takes to look."""

    def __init__(self, path: Path, bit: int) -> None:
        self.path = path
        self.at, self.mask = bit // 8, 1 << bit % 8

    def __enter__(self) -> None:
        self._flip()

    def __exit__(self, *_: object) -> None:
        self._flip()

    def _flip(self) -> None:
        with self.path.open("r+b") as file:
            file.seek(self.at)
            byte = file.read(1)[0]
            file.seek(self.at)
            file.write(bytes((byte ^ self.mask,)))


def refuses(layout: Layout, keys: bool) -> bool:
    try:
        verify_store(layout, keys=keys)
    except VestibuleError as error:
        return error.exit_code != 1
    return False


@given(data=st.data())
@settings(max_examples=150)
def test_every_bit_of_a_segment_counts(facts: Facts, data: st.DataObject) -> None:
    path = facts.layout.vault / "00000001.seg"
    bit = data.draw(st.integers(0, path.stat().st_size * 8 - 1))
    keys = data.draw(st.booleans())
    with Changed(path, bit):
        assert refuses(facts.layout, keys)
        report, repairs = fsck_store(facts.layout, keys=keys)
        assert repairs
        places = [fault.where for fault in report.faults if fault.where.get("right")]
        assert all(where["offset"] == bit // 8 for where in places)
    assert verify_store(facts.layout).parts == facts.parts


@given(data=st.data())
@settings(max_examples=300)
def test_no_bit_of_the_database_changes_what_was_signed(facts: Facts, data: st.DataObject) -> None:
    path = facts.layout.database
    bit = data.draw(st.integers(0, path.stat().st_size * 8 - 1))
    before = signed(facts.layout)
    with Changed(path, bit):
        if not refuses(facts.layout, True):
            assert signed(facts.layout) == before
        # fsck goes on where verify stops, and must not trip over what it finds.
        with suppress(StoreError):
            fsck_store(facts.layout)
    assert signed(facts.layout) == before


@given(bit=st.integers(0, MARK_BYTES * 8 - 1))
@example(bit=SLOT_OFFSETS[0] * 8 + 300)
@example(bit=SLOT_OFFSETS[1] * 8 + 300)
@settings(max_examples=100)
def test_no_bit_of_the_mark_passes_for_another_head(facts: Facts, bit: int) -> None:
    with Changed(facts.layout.mark, bit):
        if refuses(facts.layout, True):
            return
        notes = verify_store(facts.layout).notes
        mark = Mark.open(facts.layout.mark)
        value = mark.value
        mark.close()
        assert value.size == facts.entries or any("mark stands at" in note for note in notes)


def test_every_byte_of_every_signed_value(facts: Facts) -> None:
    """As the property, but at bytes of entries, tiles, roots and header hashes."""
    raw = facts.layout.database.read_bytes()
    with closing(sqlite3.connect(f"file:{facts.layout.database}?mode=ro", uri=True)) as db:
        values = [row[0] for row in db.execute("SELECT data FROM entries UNION ALL SELECT data FROM tiles")]
        values += [
            row[0] for row in db.execute("SELECT root FROM batches UNION ALL SELECT header_hash FROM parts")
        ]
    checked = 0
    for value in values:
        at = raw.find(value)
        assert at >= 0
        for offset in range(at, at + len(value), 16):
            with Changed(facts.layout.database, offset * 8 + 3):
                assert refuses(facts.layout, False)
            checked += 1
    assert checked > 150
