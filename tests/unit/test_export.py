"""The log as others read it: static files and HTTP resources, byte for byte the same, and nothing beyond the mark."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from pathlib import Path

import pytest

from gateway.app.export import LogReader, export_log
from gateway.core.records import Device
from gateway.core.sessions import Opening
from gateway.errors import Divergence, LocalError, StoreRefused
from gateway.ids import DeviceId
from gateway.store.db import Database
from gateway.store.keyfiles import load_keys
from gateway.store.layout import Layout
from gateway.store.mark import Mark
from gateway.store.snapshot import Snapshot
from gateway.tlog import merkle
from gateway.tlog.checkpoint import open_checkpoint
from gateway.tlog.note import VerifierKey
from gateway.tlog.tiles import decode_bundle, inclusion_from_tiles, width_at
from gateway.wire import kinds
from tests.kills import killed_at_each_step
from tests.stores import ACTOR, START_MS, Facts, Gateway, copy_store, make_store, open_gateway

SESSIONS = 270
"""Enough entries for a full tile and one above it."""


def open_many(gateway: Gateway, count: int) -> None:
    """An entry each, all of one subject: a key for each would be a transaction on the disk for each."""
    pseudonym = f"P-{gateway.ledger.size}"
    subject = gateway.subject(pseudonym)
    for _ in range(count):
        number = DeviceId(gateway.registry.next_device)
        gateway.registry.add_device(
            Device(number, f"headset {number}", gateway.random(32), "active", START_MS)
        )
        asked = Opening((number,), subject, pseudonym, "care", (kinds.POSE,), ACTOR)
        gateway.sessions.open(asked, gateway.now_ns, gateway.now_ms)


def many(gateway: Gateway, batch: int) -> None:
    open_many(gateway, SESSIONS)


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    path = tmp_path_factory.mktemp("export") / "data"
    return asyncio.run(make_store(path, batches=1, sessions=1, frames=2, between=many))


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def check_static(folder: Path, layout: Layout) -> int:
    """Read an export as a stranger does: with the log's key alone; returns its size."""
    keys = load_keys(layout)
    there = files(folder)
    checkpoint = open_checkpoint(there.pop("checkpoint"), VerifierKey.of(keys.origin, keys.log.public))
    size = checkpoint.size
    leaves: list[bytes] = []
    for n in range(-(-size // 256)):
        width = width_at(size, 0, n)
        name = f"{n:03}" + ("" if width == 256 else f".p/{width}")
        bundle = decode_bundle(there.pop(f"tile/entries/{name}"), width)
        hashes = [merkle.leaf_hash(entry) for entry in bundle]
        assert there.pop(f"tile/0/{name}") == b"".join(hashes)
        leaves += hashes
    assert merkle.root_of(leaves) == checkpoint.root
    if size >= 256:
        full = size // 256
        above = [merkle.root_of(leaves[256 * n : 256 * (n + 1)]) for n in range(full)]
        assert there.pop(f"tile/1/000.p/{full}") == b"".join(above)
    assert not [name for name in there if not is_older_partial(name, size)], "nothing else stands there"
    return size


def is_older_partial(name: str, size: int) -> bool:
    folder, _, width = name.rpartition("/")
    return folder.endswith(".p") and int(width) < 256 and size % 256 > 0


def test_the_static_layout_is_complete_and_verifies(facts: Facts, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    done = export_log(facts.layout, tmp_path / "out", lambda *step: seen.append(step))
    assert done.size == check_static(tmp_path / "out", facts.layout) == facts.entries > 256
    assert done.written == len(files(tmp_path / "out")) - 1
    assert seen[-1] == ("tiles", done.written, done.written)


def test_a_repeated_export_changes_nothing(facts: Facts, tmp_path: Path) -> None:
    first = export_log(facts.layout, tmp_path / "out")
    before = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "tile").rglob("*") if path.is_file()
    }
    again = export_log(facts.layout, tmp_path / "out")
    assert (again.written, again.kept) == (0, first.written)
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


async def test_an_export_grows_with_the_log(tmp_path: Path) -> None:
    facts = await make_store(tmp_path / "data", batches=1, sessions=1, frames=2)
    out = tmp_path / "out"
    sizes = [(await asyncio.to_thread(export_log, facts.layout, out)).size]
    for _ in range(3):
        gateway = await open_gateway(facts.layout, facts, seed=f"again {len(sizes)}")
        open_many(gateway, 100)
        await gateway.cycle()
        await gateway.store.close()
        sizes.append((await asyncio.to_thread(export_log, facts.layout, out)).size)
        assert check_static(out, facts.layout) == sizes[-1] == facts.entries
    assert sizes[-1] > 256
    assert not (out / "tile" / "0" / "000.p").exists(), "a full tile needs no partial one"


def test_an_empty_log_is_a_checkpoint(tmp_path: Path) -> None:
    facts = asyncio.run(make_store(tmp_path / "data", batches=0, sessions=0))
    assert export_log(facts.layout, tmp_path / "out").size == 0
    assert list(files(tmp_path / "out")) == ["checkpoint"]
    assert check_static(tmp_path / "out", facts.layout) == 0


def test_a_directory_with_anything_else_is_refused(facts: Facts, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(LocalError) as refused:
        export_log(facts.layout, tmp_path)
    assert refused.value.code == "directory_used"
    other = asyncio.run(make_store(tmp_path / "other", batches=1, seed="other"))
    export_log(other.layout, tmp_path / "out")
    with pytest.raises(LocalError):
        export_log(facts.layout, tmp_path / "out")


def test_another_history_is_never_overwritten(facts: Facts, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_log(facts.layout, out)
    tile = out / "tile" / "0" / "000"
    data = bytearray(tile.read_bytes())
    data[40] ^= 1
    tile.write_bytes(data)
    with pytest.raises(Divergence):
        export_log(facts.layout, out)
    assert tile.read_bytes() == data


def test_only_what_the_mark_allows_is_signed(facts: Facts, tmp_path: Path) -> None:
    copy = copy_store(facts, tmp_path / "copy")
    with pytest.raises(StoreRefused) as refused:
        export_log(copy.layout, tmp_path / "out")
    assert refused.value.code == "moved"
    mark = Mark.open(copy.layout.mark)
    mark.rewrite()
    mark.close()
    assert export_log(copy.layout, tmp_path / "out").size == facts.entries
    # Behind the database, as after a crash between commit and mark: what is signed is what the mark says.
    copy.layout.mark.unlink()
    with Snapshot(copy.layout.database) as snapshot:
        leaves = [merkle.leaf_hash(entry) for entry in snapshot.entries(0, 1)]
    Mark.create(copy.layout.mark, 1, merkle.root_of(leaves), 1).close()
    assert export_log(copy.layout, tmp_path / "behind").size == 1
    assert check_static(tmp_path / "behind", facts.layout) == 1
    copy.layout.mark.unlink()
    Mark.create(copy.layout.mark, facts.entries + 5, bytes(32), 1).close()
    with pytest.raises(StoreRefused) as refused:
        export_log(copy.layout, tmp_path / "ahead")
    assert refused.value.code == "rolled_back"
    copy.layout.mark.unlink()
    Mark.create(copy.layout.mark, facts.entries, bytes(32), 1).close()
    with pytest.raises(StoreRefused) as refused:
        export_log(copy.layout, tmp_path / "fork")
    assert refused.value.code == "forked"


@pytest.mark.slow
def test_killed_at_any_step_the_next_export_goes_on(tmp_path: Path) -> None:
    facts = asyncio.run(make_store(tmp_path / "data", batches=1, sessions=1, frames=2))
    whole = tmp_path / "whole"
    export_log(facts.layout, whole)
    kills = 0
    for _ in killed_at_each_step(lambda: export_log(facts.layout, tmp_path / "out") and None):
        kills += 1
        if (tmp_path / "out" / "checkpoint").exists():
            check_static(tmp_path / "out", facts.layout)
            shutil.rmtree(tmp_path / "out")
    assert kills > 10
    export_log(facts.layout, tmp_path / "out")
    assert files(tmp_path / "out") == files(whole)


# ---- HTTP resources ---------------------------------------------------------------------------------------------


async def test_resources_are_the_bytes_of_the_static_files(facts: Facts, tmp_path: Path) -> None:
    await asyncio.to_thread(export_log, facts.layout, tmp_path)
    there = files(tmp_path)
    keys = load_keys(facts.layout)
    db = await Database.open(facts.layout.database, keys.store_key)
    try:
        reader = LogReader(db, lambda: there["checkpoint"])
        for name, data in there.items():
            assert await reader.resource(name) == data, name
        # Any narrower width is a slice, a wider one is not there.
        rest = facts.entries % 256
        row = there[f"tile/0/001.p/{rest}"]
        for width in range(1, 256):
            data = await reader.resource(f"tile/0/001.p/{width}")
            bundle = await reader.resource(f"tile/entries/001.p/{width}")
            if width > rest:
                assert data is None
                assert bundle is None
            else:
                assert data == row[: 32 * width]
                assert bundle is not None
                assert len(decode_bundle(bundle, width)) == width
        assert await reader.resource("tile/0/000.p/7") == there["tile/0/000"][: 32 * 7]
        for path in (
            "", "tile", "tile/", "tile/0/0", "tile/0/1", "tile/0/001", "tile/0/002", "tile/2/000.p/1", "tile/00/000",
            "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/07", "tile/0/000/", "/tile/0/000", "tile/0/../0/000",
            "tile/entries/002", "tile/entries/x000/000", "tile/64/000", "tile/-1/000", "checkpoint/", "tile/0/000?x",
            "tile/1/000", "tile/0/999999999999999999999",
        ):  # fmt: skip
            assert await reader.resource(path) is None, path
        assert await LogReader(db, lambda: b"").resource("checkpoint") is None
        assert await LogReader(db, lambda: b"").resource("tile/0/000") is None
    finally:
        await db.close()


async def test_nothing_beyond_the_checkpoint_is_served(tmp_path: Path) -> None:
    facts = await make_store(tmp_path / "data", batches=1, sessions=1, frames=2)
    gateway = await open_gateway(facts.layout, facts)
    try:
        old = gateway.ledger.checkpoint()
        size = gateway.ledger.size
        gateway.open_session("P-2")
        await gateway.cycle()
        assert gateway.ledger.size == size + 1
        reader = LogReader(gateway.store.db, lambda: old)
        assert await reader.resource(f"tile/0/000.p/{size}") is not None
        assert await reader.resource(f"tile/0/000.p/{size + 1}") is None
        assert await reader.resource(f"tile/entries/000.p/{size + 1}") is None
    finally:
        await gateway.store.close()


def test_a_proof_can_be_made_from_the_export_alone(facts: Facts, tmp_path: Path) -> None:
    export_log(facts.layout, tmp_path)

    class Files:
        def hash_tile(self, level: int, n: int, width: int) -> bytes:
            partial = "" if width == 256 else f".p/{width}"
            return (tmp_path / f"tile/{level}/{n:03}{partial}").read_bytes()

    keys = load_keys(facts.layout)
    checkpoint = open_checkpoint(
        (tmp_path / "checkpoint").read_bytes(), VerifierKey.of(keys.origin, keys.log.public)
    )
    width = checkpoint.size % 256
    entry = decode_bundle((tmp_path / f"tile/entries/001.p/{width}").read_bytes(), width)[3]
    path = inclusion_from_tiles(Files(), 259, checkpoint.size)
    merkle.verify_inclusion(merkle.leaf_hash(entry), 259, checkpoint.size, path, checkpoint.root)
    assert hashlib.sha256(b"\x00" + entry).digest() == merkle.leaf_hash(entry)
