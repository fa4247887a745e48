"""An auditor's store on a read-only medium: looking needs the right to read, and nothing else."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stores import make_store

from gateway.app.evidence import prove_batch
from gateway.app.export import export_log, mark_here, signed_checkpoint
from gateway.app.fsck import fsck_store
from gateway.app.verify import verify_store
from gateway.core.follow import KeepEntries, KeepHead
from gateway.errors import EXIT_REFUSED, VestibuleError
from gateway.store.keyfiles import load_keys
from gateway.store.layout import Layout, disk_error
from gateway.store.mark import Mark
from gateway.store.peers import PeerStore
from gateway.store.snapshot import Snapshot
from gateway.store.vault import Vault
from gateway.tlog.checkpoint import origin_hash
from tests.sim.peer_logs import Branch

NOBODY = 65534


@pytest.fixture
def closed() -> Iterator[Layout]:
    """A filled store that nobody has open, and that its reader cannot write."""
    # Not below pytest's directory, which is closed to everybody but who runs the tests.
    above = Path(tempfile.mkdtemp())
    above.chmod(0o755)
    try:
        facts = asyncio.run(make_store(above / "store"))
        asyncio.run(make_peers(facts.layout))
        yield facts.layout
    finally:
        for folder, _, _ in os.walk(above):
            os.chmod(folder, 0o700)
        shutil.rmtree(above)


async def make_peers(layout: Layout) -> None:
    """Three entries of another log, which nobody's key here signed."""
    other = Branch("alice")
    tiles = other.adopt([b"one", b"two", b"three"])
    head = KeepHead(other.origin, 0, 3, other.roots[3], other.note())
    entries = KeepEntries(other.origin, 0, tuple(other.data), tuple(tiles), 3, other.roots[3], other.note())
    store = await PeerStore.open(layout.peers, create=True)
    await store.keep([head, entries])
    await store.close()


def make_read_only(layout: Layout) -> None:
    for folder, _, names in os.walk(layout.data_dir):
        for path in [*(Path(folder) / name for name in names), Path(folder)]:
            if os.geteuid() == 0:
                os.chown(path, NOBODY, NOBODY)
            path.chmod(0o500 if path.is_dir() else 0o400)


def as_reader(work: Callable[[], str]) -> str:
    """Do it in a child that is not root, and return what it says; modes mean nothing to root."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(out)
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            try:
                said = work()
            except VestibuleError as error:
                said = f"{error.exit_code} {error.code}: {error.message} / {error.hint}"
            except BaseException as error:
                said = f"bug: {error!r}"
            os.write(into, said.encode())
        finally:
            os._exit(0)
    os.close(into)
    with open(out, encoding="utf-8") as file:
        said = file.read()
    os.waitpid(child, 0)
    return said


def test_everything_that_only_looks_works_on_a_medium_that_is_read_only(closed: Layout) -> None:
    batches, opened = verify_store(closed).batches, verify_store(closed).opened
    make_read_only(closed)
    before = sorted(os.listdir(closed.data_dir))

    def look() -> str:
        with pytest.raises(PermissionError):
            (closed.data_dir / "x").touch()
        report = verify_store(closed)
        assert (report.batches, report.opened, report.mirrored) == (batches, opened, 3)
        assert opened
        assert not report.unopened
        checked, repairs = fsck_store(closed)
        assert repairs == []
        assert checked.notes == report.notes
        with tempfile.TemporaryDirectory() as out:
            exported = export_log(closed, Path(out) / "log")
        keys, mark = load_keys(closed), mark_here(closed)
        with Snapshot(closed.database) as snapshot:
            checkpoint = signed_checkpoint(snapshot, mark, keys)
            vault = Vault.open(closed.vault, bytes.fromhex(origin_hash(keys.origin)))
            document = prove_batch(snapshot, vault, 1, checkpoint)
        assert document["entry"]
        assert exported.size == report.size
        return "done"

    assert as_reader(look) == "done"
    assert sorted(os.listdir(closed.data_dir)) == before


def test_a_log_that_was_not_folded_in_is_said_plainly(closed: Layout) -> None:
    # As after a crash: a reader that is still there keeps the last writer from folding its log in.
    reader = sqlite3.connect(closed.database)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM head").fetchone()
    writer = sqlite3.connect(closed.database)
    writer.execute("INSERT INTO meta VALUES ('more', 'text')")
    writer.commit()
    log = closed.database.with_name("state.db-wal")
    kept = log.read_bytes()
    reader.close()
    writer.close()
    log.write_bytes(kept)
    make_read_only(closed)
    said = as_reader(lambda: verify_store(closed) and "done")
    assert said.startswith(f"{EXIT_REFUSED} wal_unreadable: state.db has a write-ahead log")
    assert str(closed.data_dir) in said


def test_an_empty_log_hides_nothing(closed: Layout) -> None:
    batches = verify_store(closed).batches
    closed.database.with_name("state.db-wal").touch()
    make_read_only(closed)
    assert as_reader(lambda: str(verify_store(closed).batches)) == str(batches)


def test_a_mark_that_may_not_be_read_is_a_matter_of_access(closed: Layout) -> None:
    make_read_only(closed)
    closed.mark.chmod(0)
    said = as_reader(lambda: verify_store(closed) and "done")
    assert said.startswith(
        f"{EXIT_REFUSED} disk_io: the mark cannot be opened: {closed.mark}: Permission denied"
    )
    assert "needs access" in said
    assert "dmesg" not in said


def test_a_mark_that_was_opened_to_look_is_not_written(closed: Layout) -> None:
    before = closed.mark.read_bytes()
    mark = Mark.open(closed.mark, write=False)
    with pytest.raises(VestibuleError):
        mark.advance(mark.value.size + 1, bytes(32), 1)
    mark.close()
    assert closed.mark.read_bytes() == before


def test_an_error_of_a_file_that_was_open_is_one_of_the_disk() -> None:
    found = disk_error(OSError(30, "Read-only file system"), "it cannot be written", fatal=True)
    assert "dmesg" in found.hint
    assert found.exit_code != EXIT_REFUSED
    assert found.fatal
