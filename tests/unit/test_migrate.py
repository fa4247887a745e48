"""`migrate`: an older store becomes one of this release, whole or not at all, and the mark stays where it is."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from paths import ROOT

from gateway.app import migrate
from gateway.app.adopt import adopt_store
from gateway.app.migrate import migrate_store
from gateway.app.startup import open_store
from gateway.app.verify import verify_store
from gateway.errors import ConfigError, Damage, StoreError, StoreRefused
from gateway.store import schema
from gateway.store.layout import FORMAT, Layout
from gateway.store.lock import StoreLock
from gateway.store.snapshot import Snapshot
from tests.kills import killed_at_each_step
from tests.stores import make_store

FIXTURES = ROOT / "tests" / "fixtures"


def fixture_store(number: int, path: Path) -> Layout:
    """A store of a released format, as it was written then."""
    shutil.copytree(FIXTURES / f"format{number}", path)
    for item in [path, *path.rglob("*")]:
        item.chmod(0o700 if item.is_dir() else 0o600)  # a checkout does not keep that others may not read
    return Layout(path)


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def set_version(path: Path, number: int) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version={number}")


def streams(
    path: Path, columns: str = "session, device, run, stream, kind, total, stored, accounted, last_ns"
) -> object:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(f"SELECT {columns} FROM streams ORDER BY 1, 2, 3, 4").fetchall()


async def test_format_0_becomes_this_releases(tmp_path: Path) -> None:
    layout = fixture_store(0, tmp_path / "data")
    with pytest.raises(StoreRefused) as refused:
        Snapshot(layout.database)
    assert refused.value.code == "older"
    assert "migrate" in refused.value.hint
    before, mark, inode = streams(layout.database), layout.mark.read_bytes(), layout.mark.stat().st_ino
    seen: list[str] = []
    done = await asyncio.to_thread(migrate_store, layout, lambda what, *_: seen.append(what))
    assert (done.before, done.after) == (0, FORMAT)
    assert {"copy", "entries", "parts"} <= set(seen)
    assert streams(layout.database) == before
    assert (layout.mark.read_bytes(), layout.mark.stat().st_ino) == (mark, inode)
    assert (version(layout.database), version(layout.subjects)) == (FORMAT, FORMAT)
    report = verify_store(layout)
    assert report.opened == report.parts > 0
    # It runs: taken over here, as a checkout is another place, and started.
    await adopt_store(layout, lambda _: True, "copied")
    store = await open_store(layout)
    await store.close()


def test_the_migrated_schema_is_the_one_of_a_new_store(tmp_path: Path) -> None:
    layout = fixture_store(0, tmp_path / "data")
    migrate_store(layout)
    with Snapshot(layout.database) as snapshot:
        assert snapshot.odd_schema() == []


def test_the_old_database_is_kept_beside(tmp_path: Path) -> None:
    layout = fixture_store(0, tmp_path / "data")
    old = streams(layout.database)
    done = migrate_store(layout)
    assert done.kept is not None
    assert version(done.kept) == 0
    assert streams(done.kept) == old
    assert not (layout.data_dir / "state.db.new").exists()
    assert done.kept.stat().st_mode & 0o077 == layout.database.stat().st_mode & 0o077 == 0


def test_format_1_has_nothing_to_do(tmp_path: Path) -> None:
    layout = fixture_store(1, tmp_path / "data")
    before = layout.database.read_bytes()
    done = migrate_store(layout)
    assert (done.before, done.after, done.kept) == (FORMAT, FORMAT, None)
    assert layout.database.read_bytes() == before
    assert verify_store(layout).opened > 0


@pytest.mark.parametrize("name", ["state.db", "subjects.db"])
def test_a_newer_store_is_refused_and_untouched(tmp_path: Path, name: str) -> None:
    layout = fixture_store(1, tmp_path / "data")
    set_version(layout.data_dir / name, FORMAT + 1)
    before = (layout.data_dir / name).read_bytes()
    with pytest.raises(StoreRefused) as refused:
        migrate_store(layout)
    assert (refused.value.code, refused.value.exit_code) == ("newer", 78)
    assert (layout.data_dir / name).read_bytes() == before


def test_what_is_no_store_of_ours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreRefused):
        migrate_store(Layout(tmp_path / "nowhere"))
    with closing(sqlite3.connect(tmp_path / "state.db")) as db:
        db.execute("CREATE TABLE other (x)")
    with pytest.raises(StoreRefused) as refused:
        migrate_store(Layout(tmp_path))
    assert refused.value.code == "not_ours"


def test_a_store_in_use_is_not_migrated(tmp_path: Path) -> None:
    layout = fixture_store(0, tmp_path / "data")
    with StoreLock(layout.lock), pytest.raises(StoreError) as refused:
        migrate_store(layout)
    assert refused.value.code == "locked"
    assert version(layout.database) == 0


def test_a_damaged_store_stays_as_it_was(tmp_path: Path) -> None:
    layout = fixture_store(0, tmp_path / "data")
    with closing(sqlite3.connect(layout.database)) as db:
        db.execute("UPDATE batches SET frames = frames + 1 WHERE batch = 1")
        db.commit()
    with pytest.raises(Damage):
        migrate_store(layout)
    assert version(layout.database) == 0
    assert not list(layout.data_dir.glob("state.db.format*"))


def test_what_stood_in_the_write_ahead_log_is_taken_along(tmp_path: Path) -> None:
    layout = fixture_store(0, tmp_path / "data")
    # A reader that is killed leaves its log behind: here a copy of one, made while a writer is open.
    with closing(sqlite3.connect(layout.database, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA wal_autocheckpoint=0")
        db.execute("INSERT INTO meta VALUES ('in_the_log', '1')")
        (tmp_path / "killed").mkdir()
        for item in layout.data_dir.glob("state.db*"):
            shutil.copy(item, tmp_path / "killed" / item.name)
    for item in (tmp_path / "killed").iterdir():
        shutil.copy(item, layout.data_dir / item.name)
    assert (layout.data_dir / "state.db-wal").stat().st_size > 0
    migrate_store(layout)
    assert not (layout.data_dir / "state.db-wal").exists()
    with Snapshot(layout.database) as snapshot:
        assert snapshot.meta("in_the_log") == "1"


def test_a_refusal_leaves_no_copy_behind(tmp_path: Path) -> None:
    layout = fixture_store(0, tmp_path / "data")
    before = {"lock", *(path.name for path in layout.data_dir.iterdir())}
    layout.key("log").chmod(0o644)
    with pytest.raises(ConfigError) as refused:
        migrate_store(layout)
    assert refused.value.code == "file_permissions"
    assert {path.name for path in layout.data_dir.iterdir()} == before
    layout.key("log").chmod(0o600)
    assert migrate_store(layout).after == FORMAT


@pytest.mark.slow
def test_killed_at_any_step_the_next_run_finishes_it(tmp_path: Path) -> None:
    stores = [fixture_store(0, tmp_path / "s0")]
    mark = stores[0].mark.read_bytes()
    for _ in killed_at_each_step(lambda: migrate_store(stores[-1]) and None):
        layout = stores[-1]
        with closing(sqlite3.connect(layout.database)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert version(layout.database) in (0, FORMAT)
        migrate_store(layout)
        assert verify_store(layout).opened > 0
        assert layout.mark.read_bytes() == mark
        assert not (layout.data_dir / "state.db.new").exists()
        shutil.rmtree(layout.data_dir)
        stores.append(fixture_store(0, tmp_path / f"s{len(stores)}"))
    assert len(stores) > 15


def test_every_format_has_a_step_and_a_fixture() -> None:
    assert set(migrate.STEPS) == set(migrate.SUBJECT_STEPS) == set(range(FORMAT))
    for number in range(FORMAT + 1):
        assert version(FIXTURES / f"format{number}" / "state.db") == number


async def test_the_fixture_of_this_format_is_what_this_release_writes(tmp_path: Path) -> None:
    facts = await make_store(tmp_path / "data", batches=1)

    def definitions(path: Path) -> set[object]:
        with closing(sqlite3.connect(path)) as db:
            rows = db.execute("SELECT type, name, sql FROM sqlite_schema").fetchall()
            return {*rows, db.execute("PRAGMA application_id").fetchone()[0]}

    for name in ("state.db", "subjects.db"):
        assert definitions(facts.layout.data_dir / name) == definitions(FIXTURES / f"format{FORMAT}" / name)
    assert schema.FORMAT == FORMAT
