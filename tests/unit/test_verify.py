"""`verify` and `fsck`: what they count, what they find, and how exactly they name it."""

from __future__ import annotations

import ast
import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from paths import ROOT

from gateway.app.fsck import REPAIRS, SET_BYTE, fsck_store
from gateway.app.release import open_part
from gateway.app.startup import open_store
from gateway.app.verify import verify_store
from gateway.core.records import Pairing, PartRow, Writes
from gateway.errors import EXIT_VERIFY, ConfigError, Damage, StoreRefused, VestibuleError
from gateway.store.db import Database
from gateway.store.keyfiles import load_keys
from gateway.store.layout import Layout
from gateway.store.load import LoadedState, load_state
from gateway.store.mark import SLOT_OFFSETS, Mark
from gateway.store.snapshot import Snapshot
from gateway.store.subjects import Subjects
from gateway.store.vault import RECORD_BYTES, Vault
from gateway.tlog.checkpoint import origin_hash
from gateway.tlog.merkle import EMPTY_ROOT
from tests.stores import Facts, Gateway, copy_store, make_store, open_gateway, pose


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    return asyncio.run(make_store(tmp_path_factory.mktemp("filled") / "data"))


@pytest.fixture
def facts(filled: Facts, tmp_path: Path) -> Facts:
    return copy_store(filled, tmp_path / "data")


def sql(layout: Layout, statement: str, *args: object) -> None:
    with closing(sqlite3.connect(layout.database)) as db:
        assert db.execute(statement, args).rowcount == 1, "the test changes nothing"
        db.commit()


def part_rows(layout: Layout) -> list[PartRow]:
    with Snapshot(layout.database) as snapshot:
        return list(snapshot.iter_parts())


def flip(path: Path, offset: int, mask: int = 1) -> int:
    """Change one byte; returns what it was."""
    with path.open("r+b") as file:
        file.seek(offset)
        was = file.read(1)[0]
        file.seek(offset)
        file.write(bytes((was ^ mask,)))
    return was


def segment(layout: Layout, number: int = 1) -> Path:
    return layout.vault / f"{number:08}.seg"


def found(layout: Layout, keys: bool = True) -> Damage:
    with pytest.raises(Damage) as damage:
        verify_store(layout, keys=keys)
    return damage.value


# ---- what it counts ---------------------------------------------------------------------------------------------


def test_everything_is_counted(filled: Facts) -> None:
    seen: list[tuple[str, int, int]] = []
    report = verify_store(filled.layout, lambda *step: seen.append(step))
    assert (report.batches, report.parts, report.entries) == (filled.batches, filled.parts, filled.entries)
    assert (report.frames, report.samples) == (len(filled.frames), filled.samples)
    assert (report.opened, report.unopened) == (filled.parts, 0)
    assert filled.refused > 0
    assert {what for what, _, _ in seen} == {"entries", "parts"}
    assert all(done <= total for _, done, total in seen)


def test_without_keys_it_goes_down_to_the_sealed_bytes(filled: Facts) -> None:
    report = verify_store(filled.layout, keys=False)
    assert (report.opened, report.unopened) == (0, filled.parts)
    assert (report.frames, report.samples) == (len(filled.frames), filled.samples)
    assert any(f"{filled.parts} of {filled.parts} parts" in note for note in report.notes)


def test_an_empty_log_of_many_sessions_spans_tiles(tmp_path: Path) -> None:
    def between(gateway: Gateway, batch: int) -> None:
        for number in range(90):
            gateway.open_session(f"B{batch}-{number}")

    facts = asyncio.run(make_store(tmp_path / "data", sessions=1, frames=2, between=between))
    report = verify_store(facts.layout)
    assert report.entries == facts.entries > 256
    with Snapshot(facts.layout.database) as snapshot:
        assert snapshot.tile(1, 0) is not None


def test_it_changes_nothing(facts: Facts) -> None:
    before = {path: path.read_bytes() for path in facts.layout.data_dir.rglob("*") if path.is_file()}
    verify_store(facts.layout)
    fsck_store(facts.layout)
    after = {path: path.read_bytes() for path in facts.layout.data_dir.rglob("*") if path.is_file()}
    assert after == before


# ---- what is no damage ------------------------------------------------------------------------------------------


def test_an_erased_subject_leaves_every_proof(facts: Facts) -> None:
    keys = load_keys(facts.layout)
    subjects = Subjects(facts.layout.subjects, keys.master)
    subjects.destroy(facts.subjects[0])
    subjects.close()
    report = verify_store(facts.layout)
    gone = sum(row.session == facts.sessions[0] for row in part_rows(facts.layout))
    assert (report.unopened, report.opened) == (gone, facts.parts - gone)
    assert any("erased" in note for note in report.notes)


def test_missing_keys_bound_the_check(facts: Facts) -> None:
    facts.layout.subjects.unlink()
    report = verify_store(facts.layout)
    assert report.unopened == facts.parts
    assert any("Without subject keys".lower() in note.lower() for note in report.notes)
    shutil.rmtree(facts.layout.keys)
    assert any("without keys" in note for note in verify_store(facts.layout).notes)


def test_a_key_file_that_is_open_to_others_is_refused(facts: Facts) -> None:
    facts.layout.key("log").chmod(0o644)
    with pytest.raises(ConfigError):
        verify_store(facts.layout)


def test_a_tail_that_no_row_names_is_a_note(facts: Facts) -> None:
    path = segment(facts.layout)
    with path.open("ab") as file:
        file.write(b"VTP1" + bytes(100))
    notes = verify_store(facts.layout).notes
    assert any(note.startswith("104 bytes lie behind") for note in notes)
    report, repairs = fsck_store(facts.layout)
    assert repairs == []
    assert any("nothing in them was acknowledged" in note for note in report.notes)


def test_a_copied_store_and_one_without_a_mark_are_notes(facts: Facts) -> None:
    assert any("moved" in note for note in verify_store(facts.layout).notes)
    report, repairs = fsck_store(facts.layout)
    assert not repairs
    assert any("adopt" in note for note in report.notes)
    facts.layout.mark.unlink()
    assert any("no mark" in note for note in verify_store(facts.layout).notes)


async def test_fsck_says_where_a_start_will_refuse(facts: Facts) -> None:
    def refused() -> str:
        (said,) = [note for note in fsck_store(facts.layout)[0].notes if "`vestibule run` refuses" in note]
        return said

    async def code() -> str:
        with pytest.raises((ConfigError, StoreRefused)) as error:
            await open_store(facts.layout)
        return error.value.code

    assert "one log does not become two" in refused()
    assert await code() == "moved"
    facts.layout.mark.unlink()
    assert "without its mark nothing tells whether it is the newest copy" in refused()
    assert await code() == "mark_missing"
    mark = Mark.create(facts.layout.mark, 0, EMPTY_ROOT, 1)
    mark.close()
    assert not [note for note in fsck_store(facts.layout)[0].notes if "refuses" in note]
    facts.layout.key("log").unlink()
    assert "keys" in refused()
    assert await code() == "file_missing"


def test_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreRefused):
        verify_store(Layout(tmp_path))


async def test_a_live_store_is_checked_beside_its_writer(tmp_path: Path) -> None:
    facts = await make_store(tmp_path / "data", batches=1, close=0)
    gateway = await open_gateway(facts.layout, facts)
    try:
        link = gateway.link(facts.sessions[0], next(iter(gateway.registry.devices)))
        gateway.data(link, [pose(0, 0, 4)])
        await gateway.cycle()
        report = await asyncio.to_thread(verify_store, facts.layout)
        assert (report.entries, report.notes) == (gateway.ledger.size, [])
    finally:
        await gateway.store.close()


# ---- what it finds, and how it names it -------------------------------------------------------------------------


@pytest.mark.parametrize("where", [0.0, 0.3, 0.999, 1.0])
def test_one_changed_byte_of_a_payload_is_named_exactly(facts: Facts, where: float) -> None:
    row = part_rows(facts.layout)[1]
    at = row.offset + RECORD_BYTES + row.header_bytes + int(where * (row.payload_bytes - 1))
    was = flip(segment(facts.layout), at, 0x5A)
    damage = found(facts.layout)
    assert damage.code == "payload_hash"
    assert damage.exit_code == 65
    expected = {"batch": row.batch, "part": row.part, "segment": 1, "offset": at, "right": f"0x{was:02x}"}
    assert expected.items() <= damage.where.items()
    _, repairs = fsck_store(facts.layout)
    assert [repair.words for repair in repairs] == [SET_BYTE]
    assert "`vestibule fsck`: it names the byte and the value" in damage.hint, "both say the same next step"


def test_the_frame_that_was_changed_is_named(filled: Facts, facts: Facts) -> None:
    row = part_rows(facts.layout)[2]
    keys = load_keys(facts.layout)
    subjects = Subjects(facts.layout.subjects, keys.master)
    key = subjects.key(facts.subjects[facts.sessions.index(row.session)])
    subjects.close()
    part = open_part(*Vault.open(facts.layout.vault, _origin(facts.layout)).read_row(row), row.session, key)
    plain = msgspec.msgpack.encode(part.payload)
    start = 0
    for index, data in enumerate(part.payload.frames):
        start = plain.index(data, start)
        at = row.offset + RECORD_BYTES + row.header_bytes + start + len(data) // 2
        flip(segment(facts.layout), at)
        damage = found(facts.layout)
        assert (damage.where["frame"], damage.where["offset"]) == (index, at)
        flip(segment(facts.layout), at)
        start += len(data)
    assert verify_store(facts.layout).opened == facts.parts


def test_more_than_one_changed_byte_is_named_by_its_part(facts: Facts) -> None:
    row = part_rows(facts.layout)[1]
    at = row.offset + RECORD_BYTES + row.header_bytes
    flip(segment(facts.layout), at + 5)
    flip(segment(facts.layout), at + 500)
    damage = found(facts.layout)
    assert damage.code == "payload_hash"
    assert "right" not in damage.where
    assert damage.where["offset"] == row.offset


def test_without_keys_a_changed_payload_is_named_by_its_part(facts: Facts) -> None:
    row = part_rows(facts.layout)[0]
    flip(segment(facts.layout), row.offset + RECORD_BYTES + row.header_bytes + 7)
    damage = found(facts.layout, keys=False)
    where = {"batch": row.batch, "part": row.part, "segment": row.segment, "offset": row.offset}
    assert (damage.code, damage.where) == ("payload_hash", where)


@pytest.mark.parametrize(
    ("offset", "code"),
    [(0, "record_header"), (5, "record_header"), (RECORD_BYTES + 3, "header_hash"), (-1, "payload_hash")],
)
def test_a_changed_record_is_named(facts: Facts, offset: int, code: str) -> None:
    row = part_rows(facts.layout)[1]
    end = RECORD_BYTES + row.header_bytes + row.payload_bytes
    flip(segment(facts.layout), row.offset + offset % end)
    damage = found(facts.layout)
    assert damage.code == code
    assert {"batch": row.batch, "part": row.part, "segment": 1}.items() <= damage.where.items()


def test_a_segment_that_is_short_or_gone_is_named(facts: Facts) -> None:
    row = part_rows(facts.layout)[-1]
    path = segment(facts.layout)
    with path.open("r+b") as file:
        file.truncate(row.offset + 10)
    damage = found(facts.layout)
    assert damage.code == "vault_short"
    assert {"batch": row.batch, "part": row.part}.items() <= damage.where.items()
    path.unlink()
    assert found(facts.layout).where["batch"] == 1


SIGNED = {
    "head": ("size", "root"),
    "entries": ("idx", "data"),
    "tiles": ("level", "n", "data"),
    "batches": ("batch", "entry", "root", "parts", "frames", "samples", "opened_s", "sealed_s"),
    "parts": (
        "batch",
        "part",
        "session",
        "segment",
        '"offset"',
        "header_bytes",
        "payload_bytes",
        "frames",
        "samples",
        "first_ns",
        "last_ns",
        "header_hash",
    ),
    "sessions": (
        "session",
        "commitment",
        "subject",
        "purpose",
        "devices",
        "kinds",
        "opened_ms",
        "seq",
        "prev",
    ),
    "streams": ("session", "device", "run", "stream", "kind", "total", "stored", "refused", "accounted"),
}
OF_KEYS = {"purpose", "devices", "kinds", "opened_ms", "accounted", "subject"}


def columns() -> Iterator[tuple[str, str]]:
    for table, names in SIGNED.items():
        yield from ((table, name) for name in names)


@pytest.mark.parametrize(("table", "column"), list(columns()))
def test_no_signed_column_can_be_changed(facts: Facts, table: str, column: str) -> None:
    with closing(sqlite3.connect(facts.layout.database)) as db:
        count = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        key = ", ".join(row[1] for row in db.execute(f"PRAGMA table_info({table})") if row[5]) or "1"
        names = [name.strip() for name in key.split(",")]
        rows = db.execute(f"SELECT {key}, {column} FROM {table} ORDER BY {key}").fetchall()
    *wanted, value = rows[count // 2]
    changed: object
    if isinstance(value, int):
        changed = value + 1_000_000
    elif isinstance(value, str):
        changed = value + "x"
    else:
        changed = value[:-1] + bytes((value[-1] ^ 1,)) if value else b"\x01"
    where = " AND ".join(f"{name} = ?" for name in names)
    sql(facts.layout, f"UPDATE {table} SET {column} = ? WHERE {where}", changed, *wanted)
    assert found(facts.layout).exit_code == 65
    if column not in OF_KEYS:
        assert found(facts.layout, keys=False).exit_code == 65
    _, repairs = fsck_store(facts.layout)
    assert repairs
    assert all(repair.words for repair in repairs)


@pytest.mark.parametrize("table", ["entries", "tiles", "batches", "parts", "streams", "head"])
def test_no_signed_row_can_be_taken_out(facts: Facts, table: str) -> None:
    with closing(sqlite3.connect(facts.layout.database)) as db:
        key = ", ".join(row[1] for row in db.execute(f"PRAGMA table_info({table})") if row[5]) or "1"
        wanted = db.execute(f"SELECT {key} FROM {table} ORDER BY {key} LIMIT 1").fetchone()
    where = " AND ".join(f"{name} = ?" for name in key.split(", "))
    sql(facts.layout, f"DELETE FROM {table} WHERE {where}", *wanted)
    assert found(facts.layout).exit_code == 65
    _, repairs = fsck_store(facts.layout)
    assert repairs


def test_no_row_can_be_added(facts: Facts) -> None:
    added = (
        ("INSERT INTO entries VALUES (?, x'00')", facts.entries),
        ("INSERT INTO tiles VALUES (1, ?, zeroblob(32))", 0),
        ("INSERT INTO batches SELECT ?, entry, root, parts, frames, samples, 1, 1 FROM batches LIMIT 1", 99),
        (
            'INSERT INTO parts SELECT ?, part, session, segment, "offset", header_bytes, payload_bytes, frames, '
            "samples, first_ns, last_ns, header_hash FROM parts LIMIT 1",
            99,
        ),
        (
            "INSERT INTO streams SELECT session, device, run, ?, kind, total, stored, refused, accounted, 0, 0 "
            "FROM streams WHERE stored > 0 LIMIT 1",
            99,
        ),
    )
    for statement, value in added:
        sql(facts.layout, statement, value)
        assert found(facts.layout).exit_code == 65
        table = statement.split()[2]
        with closing(sqlite3.connect(facts.layout.database)) as db:
            db.execute(_undo(table), (value,))
            db.commit()
    assert verify_store(facts.layout).parts == facts.parts


def _undo(table: str) -> str:
    column = {"entries": "idx", "tiles": "level = 1 AND n", "streams": "stream"}.get(table, "batch")
    return f"DELETE FROM {table} WHERE {column} = ?"


def test_bytes_between_parts_are_damage(facts: Facts) -> None:
    # The last part goes, row and sums with it: what it leaves in the segment lies behind the tail, and is a note;
    # but moved in front of another part it would be a hiding place.
    rows = part_rows(facts.layout)
    sql(
        facts.layout,
        'UPDATE parts SET "offset" = "offset" + 1 WHERE batch = ? AND part = ?',
        rows[-1].batch,
        rows[-1].part,
    )
    damage = found(facts.layout)
    assert damage.code == "vault_gap"
    assert damage.where["batch"] == rows[-1].batch


def test_the_mark_catches_an_older_database(filled: Facts, tmp_path: Path) -> None:
    facts = copy_store(filled, tmp_path / "old")
    mark = facts.layout.mark.read_bytes()
    longer = asyncio.run(make_store(tmp_path / "longer", batches=5))
    shutil.copy(longer.layout.mark, facts.layout.mark)
    assert found(facts.layout).code == "rolled_back"
    facts.layout.mark.write_bytes(mark)
    assert verify_store(facts.layout).size == facts.entries
    for offset in SLOT_OFFSETS:
        flip(facts.layout.mark, offset + 30)
    assert found(facts.layout).code == "mark_invalid"


def test_fsck_lists_every_fault(facts: Facts) -> None:
    rows = part_rows(facts.layout)
    for row in (rows[0], rows[2]):
        flip(segment(facts.layout), row.offset + RECORD_BYTES + row.header_bytes + 100)
    flip(segment(facts.layout), rows[4].offset + RECORD_BYTES + 1)
    sql(facts.layout, "UPDATE batches SET sealed_s = sealed_s + 1 WHERE batch = 2")
    sql(facts.layout, "DELETE FROM entries WHERE idx = 1")
    report, repairs = fsck_store(facts.layout)
    codes = [fault.code for fault in report.faults]
    assert codes.count("payload_hash") == 2
    assert {"header_hash", "batch_row", "entry_missing"} <= set(codes)
    places = {(repair.fault.where.get("batch"), repair.fault.where.get("part")) for repair in repairs}
    assert {(row.batch, row.part) for row in (rows[0], rows[2], rows[4])} <= places


# 0xc1 is the one byte that begins nothing in MessagePack.
UNREADABLE = [
    ("devices", "key", lambda value: value[:-1] + bytes((value[-1] ^ 1,)), {"device"}),
    ("devices", "next_key", lambda value: bytes(60), {"device"}),
    ("pairings", "secret", lambda value: value[:-1] + bytes((value[-1] ^ 1,)), {"id"}),
    ("sessions", "devices", lambda value: b"\xc1", {"session"}),
    ("sessions", "kinds", lambda value: b"\xc1", {"session"}),
    ("links", "key", lambda value: value[:-1] + bytes((value[-1] ^ 1,)), {"link"}),
    ("links", "done", lambda value: b"\xc1", {"link"}),
    ("links", "bye", lambda value: b"\xc1", {"link"}),
    ("streams", "refused", lambda value: b"\xc1", {"session", "device", "run", "stream"}),
    ("streams", "accounted", lambda value: b"\xc1", {"session", "device", "run", "stream"}),
]
OPENED_WITH_KEYS = {"key", "next_key", "secret"}


async def with_pairing(layout: Layout) -> None:
    db = await Database.open(layout.database, load_keys(layout).store_key)
    await db.commit(Writes(pairings=[Pairing(code="123456", expires_ms=1, spent_by=b"", name="headset")]))
    await db.close()


async def start_reads(layout: Layout) -> LoadedState:
    db = await Database.open(layout.database, load_keys(layout).store_key)
    try:
        return await load_state(db)
    finally:
        await db.close()


@pytest.mark.parametrize(
    ("table", "column", "change", "names"), UNREADABLE, ids=[f"{row[0]}.{row[1]}" for row in UNREADABLE]
)
def test_a_row_that_a_start_cannot_read_is_named(
    facts: Facts, table: str, column: str, change: Callable[[bytes], bytes], names: set[str]
) -> None:
    asyncio.run(with_pairing(facts.layout))
    assert len(asyncio.run(start_reads(facts.layout)).pairings) == 1
    assert fsck_store(facts.layout)[1] == []
    # The newest row of a table that begins with the session belongs to one that is open, or the start passes it over.
    where = "session IN (SELECT session FROM sessions WHERE state = 'open')"
    where = where if table in ("sessions", "streams") else "1"
    with closing(sqlite3.connect(facts.layout.database)) as db:
        key = ", ".join(row[1] for row in db.execute(f"PRAGMA table_info({table})") if row[5])
        *wanted, value = db.execute(f"SELECT {key}, {column} FROM {table} WHERE {where}").fetchone()
    row = " AND ".join(f"{name} = ?" for name in key.split(", "))
    sql(facts.layout, f"UPDATE {table} SET {column} = ? WHERE {row}", change(value), *wanted)
    with pytest.raises(VestibuleError) as refused:
        asyncio.run(start_reads(facts.layout))
    assert refused.value.exit_code == EXIT_VERIFY
    assert "fsck" in refused.value.hint
    damage = found(facts.layout)
    assert damage.code == "row"
    assert (damage.where.pop("table"), damage.where.keys()) == (table, names)
    if column not in OPENED_WITH_KEYS:
        assert found(facts.layout, keys=False).code == "row"
    report, repairs = fsck_store(facts.layout)
    assert repairs[0].fault.where["table"] == table
    assert [repair.fault.code for repair in repairs].count("row") == 1
    assert report.parts == facts.parts, "the check went on behind the row"


def test_values_that_nobody_wrote_are_named(facts: Facts) -> None:
    sql(facts.layout, "UPDATE devices SET name = CAST(x'ff' AS TEXT) WHERE device = 1")
    sql(facts.layout, "UPDATE devices SET device = 1 << 40 WHERE device = 2")
    with closing(sqlite3.connect(facts.layout.database)) as db:
        key = db.execute("SELECT session, device, run, stream FROM streams").fetchone()
    place = "session = ? AND device = ? AND run = ? AND stream = ?"
    sql(facts.layout, f"UPDATE streams SET accounted = x'9101' WHERE {place}", *key)
    _, repairs = fsck_store(facts.layout)
    rows = [repair.fault.where for repair in repairs if repair.fault.code == "row"]
    session, device, run, stream = key
    assert rows == [
        {"table": "devices", "device": 1},
        {"table": "devices", "device": 1 << 40},
        {
            "table": "streams",
            "session": session.hex(),
            "device": device,
            "run": f"{run % (1 << 64):016x}",
            "stream": stream,
        },
    ]


def test_every_code_has_its_repair() -> None:
    codes = set()
    for path in [*(ROOT / "gateway" / "app").glob("verify*.py"), ROOT / "gateway" / "app" / "release.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not ast.unparse(node.func).endswith(("fault", "Damage")):
                continue
            if node.args and isinstance(node.args[0], ast.Constant):
                codes.add(node.args[0].value)
    assert len(codes) > 25
    assert codes <= REPAIRS.keys()


def _origin(layout: Layout) -> bytes:
    return bytes.fromhex(origin_hash(load_keys(layout).origin))
