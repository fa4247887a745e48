"""`key rotate` and `key retire`: the log goes on under other keys, and everybody can follow."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.app import rotate
from gateway.app.evidence import encode_evidence, prove_batch, verify_evidence
from gateway.app.export import export_log, mark_here, signed_checkpoint
from gateway.app.fsck import fsck_store
from gateway.app.guard import Source
from gateway.app.rotate import Role, Rotated, retire_key, rotate_key
from gateway.app.rotations import rotations_of
from gateway.app.startup import open_store
from gateway.app.verify import verify_store
from gateway.core.ledger import Ledger
from gateway.entries.envelope import b64u, canonical, decode_entry
from gateway.errors import ConfigError, Damage, LocalError, StoreRefused
from gateway.keys.did import did_key
from gateway.keys.sign import SigningKey
from gateway.store.keyfiles import load_keys
from gateway.store.layout import Layout
from gateway.store.snapshot import Snapshot
from gateway.store.vault import Vault
from gateway.tlog.checkpoint import open_checkpoint, origin_hash
from gateway.tlog.note import parse_note
from tests.kills import killed_at_each_step
from tests.mirrors import Mirror, export, get, record
from tests.stores import Facts, make_store

ROLES: tuple[Role, ...] = ("log", "witness", "entry", "tls")


@pytest.fixture
async def facts(tmp_path: Path) -> Facts:
    return await make_store(tmp_path / "data", batches=2, frames=4)


def yes(question: str) -> bool:
    return True


async def rotated(layout: Layout, role: Role, *sources: Source, dry_run: bool = False) -> Rotated:
    return await rotate_key(layout, role, sources, get, yes, os.urandom, dry_run=dry_run)


def clean(layout: Layout) -> list[str]:
    _, repairs = fsck_store(layout)
    assert [repair.fault.message for repair in repairs] == []
    return verify_store(layout).notes


def entry(layout: Layout, index: int) -> dict[str, object]:
    with Snapshot(layout.database) as snapshot:
        data = snapshot.entry(index)
    assert data is not None
    return dict(decode_entry(data).body)


def checkpoint(layout: Layout) -> bytes:
    with Snapshot(layout.database) as snapshot:
        return signed_checkpoint(snapshot, mark_here(layout), load_keys(layout))


async def goes_on(layout: Layout) -> None:
    """Devices, sessions and batches work as before, and everything verifies."""
    await record(layout, batches=2, close=True)
    assert clean(layout) == []


@pytest.mark.parametrize("role", ROLES)
async def test_the_entry_names_both_and_everything_verifies(facts: Facts, role: Role) -> None:
    layout = facts.layout
    before = load_keys(layout)
    done = await rotated(layout, role)
    body = entry(layout, done.entry)
    assert (body["type"], body["role"], body["old"], body["new"]) == ("key.rotate", role, done.old, done.new)
    assert body["gateway"] == did_key(before.entry.public), "the old entry key signs it"
    assert done.old != done.new
    assert load_keys(layout).store_key == before.store_key
    assert clean(layout) == []
    await goes_on(layout)


async def test_both_log_keys_sign_until_the_old_one_is_retired(facts: Facts) -> None:
    layout = facts.layout
    old = load_keys(layout)
    await rotated(layout, "log")
    both = load_keys(layout)
    assert both.log_vkeys[0] == old.log_vkeys[0]
    note = checkpoint(layout)
    assert len(parse_note(note).signatures) == 2
    for vkey in both.log_vkeys:
        assert open_checkpoint(note, vkey).origin == old.origin
    store = await open_store(layout)
    ledger = Ledger(old.origin, store.keys.log_keys, store.keys.entry, store.frontier, store.tails)
    again = ledger.checkpoint()
    await store.close()
    assert again == note, "a start signs the same bytes"
    with pytest.raises(LocalError) as refused:
        await rotated(layout, "log")
    assert refused.value.code == "rotation_open"
    retire_key(layout, "log", yes)
    new = load_keys(layout)
    assert (new.log_vkeys, new.known_log_vkeys) == (both.log_vkeys[1:], both.log_vkeys)
    assert new.store_key == old.store_key
    assert len(parse_note(checkpoint(layout)).signatures) == 1
    await goes_on(layout)
    # A second time: of the keys that signed in between nothing stays, of the first its seed alone.
    await rotated(layout, "log")
    assert len(load_keys(layout).known_log_vkeys) == 3
    retire_key(layout, "log", yes)
    last = load_keys(layout)
    assert last.store_key == old.store_key
    assert old.log_vkeys[0] in last.known_log_vkeys
    assert new.log_vkeys[0] not in last.known_log_vkeys
    assert new.log.seed.hex().encode() not in layout.key("log").read_bytes()
    await goes_on(layout)


async def test_an_export_goes_on_over_two_rotations(facts: Facts, tmp_path: Path) -> None:
    layout = facts.layout
    export_log(layout, tmp_path / "log")
    for _ in range(2):
        await rotated(layout, "log")
        retire_key(layout, "log", yes)
    # The head in the directory is signed by the first key; then by one that is gone.
    export_log(layout, tmp_path / "log")
    await rotated(layout, "log")
    retire_key(layout, "log", yes)
    done = export_log(layout, tmp_path / "log")
    with Snapshot(layout.database) as snapshot:
        assert done.size == snapshot.head().size
    other = await make_store(tmp_path / "other", batches=1, frames=4)
    with pytest.raises(LocalError) as refused:
        export_log(other.layout, tmp_path / "log")
    assert refused.value.code == "directory_used"


async def test_proofs_of_before_and_after_verify_under_either_key(facts: Facts) -> None:
    layout = facts.layout
    await rotated(layout, "log")
    await rotated(layout, "entry")
    await record(layout)
    keys = load_keys(layout)
    note = checkpoint(layout)
    with Snapshot(layout.database) as snapshot:
        vault = Vault.open(layout.vault, bytes.fromhex(origin_hash(keys.origin)))
        batches = [row.batch for row in snapshot.iter_batches()]
        documents = [prove_batch(snapshot, vault, batch, note) for batch in (batches[0], batches[-1])]
        vault.close()
    gateways = set()
    for document in documents:
        for vkey in keys.log_vkeys:
            gateways.add(verify_evidence(encode_evidence(document), vkey.encode()).gateway)
    assert len(gateways) == 2
    assert did_key(keys.entry.public) in gateways


async def test_the_witness_and_the_tls_key_change_when_the_old_one_is_retired(facts: Facts) -> None:
    layout = facts.layout
    before = load_keys(layout)
    for role in ("witness", "tls"):
        await rotated(layout, role)
        with pytest.raises(LocalError) as refused:
            await rotated(layout, role)
        assert refused.value.code == "rotation_open"
    both = load_keys(layout)
    assert (both.witness.seed, both.tls.seed) == (before.witness.seed, before.tls.seed)
    assert [vkey.name for vkey in both.witness_vkeys] == [
        before.witness_name,
        f"{before.witness_name}-2",
    ]
    assert len(both.tls_keys) == 2
    for role in ("witness", "tls"):
        retire_key(layout, role, yes)
        with pytest.raises(LocalError) as refused:
            retire_key(layout, role, yes)
        assert refused.value.code == "no_rotation"
    after = load_keys(layout)
    assert after.witness_vkeys == both.witness_vkeys[1:]
    assert after.tls.seed == both.tls_keys[1].seed
    assert before.tls.seed.hex() not in layout.key("tls").read_text()
    await rotated(layout, "witness")
    assert load_keys(layout).witness_vkeys[1].name == f"{before.witness_name}-3"
    await goes_on(layout)


@pytest.mark.parametrize("role", ROLES)
async def test_a_dry_run_and_a_no_change_nothing(facts: Facts, role: Role) -> None:
    layout = facts.layout

    def contents() -> dict[str, bytes]:
        files = [path for path in layout.data_dir.rglob("*") if path.is_file() and path.name != "lock"]
        return {path.name: path.read_bytes() for path in files if not path.name.endswith(("-wal", "-shm"))}

    before = contents()
    told = await rotated(layout, role, dry_run=True)
    assert (told.entry, bool(told.old), told.new) == (-1, True, "")
    with pytest.raises(LocalError) as refused:
        await rotate_key(layout, role, [], get, lambda _: False, os.urandom)
    assert refused.value.code == "not_confirmed"
    with pytest.raises(LocalError) as refused:
        retire_key(layout, role, yes)
    assert refused.value.code == "no_rotation"
    assert contents() == before
    await rotated(layout, role)
    if role == "entry":
        return
    before = contents()
    assert retire_key(layout, role, yes, dry_run=True).new
    with pytest.raises(LocalError) as refused:
        retire_key(layout, role, lambda _: False)
    assert refused.value.code == "not_confirmed"
    assert contents() == before


async def test_nothing_is_rotated_where_the_log_went_on_elsewhere(facts: Facts, tmp_path: Path) -> None:
    layout = facts.layout
    old = {name: (layout.data_dir / name).read_bytes() for name in ("state.db", "mark")}
    await record(layout)
    origin, log = export(layout, tmp_path / "log")
    for name, data in old.items():
        # The same files with what they held before: as a snapshot of the machine brings them back.
        (layout.data_dir / name).write_bytes(data)
    async with Mirror({origin: log}) as mirror:
        with pytest.raises(StoreRefused) as refused:
            await rotated(layout, "entry", mirror.source)
    assert refused.value.code == "rolled_back"
    assert load_keys(layout).next_entry is None


def forged(layout: Layout, index: int, change: dict[str, object], key: SigningKey) -> None:
    """Put another entry in the place of one; tiles and head stay, so that more than its signature is wrong."""
    with Snapshot(layout.database) as snapshot:
        data = snapshot.entry(index)
    assert data is not None
    body = {**decode_entry(data).body, **change}
    raw = canonical(body)
    sig = key.sign(b"vestibule/entry/v1\0" + raw)
    changed = b'{"body":%b,"sig":"%b","v":1}' % (raw, b64u(sig).encode())
    with closing(sqlite3.connect(layout.database)) as db:
        db.execute("UPDATE entries SET data = ? WHERE idx = ?", (changed, index))
        db.commit()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"by_old": b64u(bytes(64))}, "not signed by the old and the new key"),
        ({"by_new": b64u(bytes(64))}, "not signed by the old and the new key"),
    ],
)
async def test_a_rotation_that_not_both_keys_signed_is_a_fault(
    facts: Facts, change: dict[str, object], words: str
) -> None:
    layout = facts.layout
    old = load_keys(layout)
    done = await rotated(layout, "entry")
    forged(layout, done.entry, change, old.entry)
    with pytest.raises(Damage, match=words):
        verify_store(layout)


async def test_entries_of_the_old_key_after_its_rotation_are_faults(facts: Facts) -> None:
    layout = facts.layout
    old = layout.key("entry").read_bytes()
    await rotated(layout, "entry")
    new = layout.key("entry").read_bytes()
    layout.key("entry").write_bytes(old)
    await record(layout)
    layout.key("entry").write_bytes(new)
    _, repairs = fsck_store(layout)
    assert {repair.fault.code for repair in repairs} >= {"entry"}
    # And where the old key lies here, it does not fit the log that ends with the new one.
    layout.key("entry").write_bytes(old)
    with pytest.raises(Damage):
        verify_store(layout)


@pytest.mark.slow
@pytest.mark.parametrize("role", ROLES)
def test_killed_at_any_step_the_next_run_finishes_it(tmp_path: Path, role: Role) -> None:
    asyncio.run(make_store(tmp_path / "store", batches=1, frames=4))
    made: list[Layout] = []

    def fresh() -> None:
        # The same files, so that the mark is at home: from a copy of what they hold.
        layout = Layout(tmp_path / "store")
        if not made:
            made.append(layout)
            kept.update({p: p.read_bytes() for p in layout.data_dir.rglob("*") if p.is_file()})
            return
        for path in [p for p in layout.data_dir.rglob("*") if p.is_file() and p not in kept]:
            path.unlink()
        for path, data in kept.items():
            if path.name == "mark":
                with path.open("r+b") as file:
                    file.write(data)
            else:
                path.unlink(missing_ok=True)
                path.write_bytes(data)
                path.chmod(0o600)

    kept: dict[Path, bytes] = {}
    fresh()
    layout = made[0]
    before = did_key(load_keys(layout).entry.public)
    seen = set()
    for _ in killed_at_each_step(lambda: asyncio.run(rotated(layout, role)) and None):
        keys = load_keys(layout)
        with Snapshot(layout.database) as snapshot:
            told = [one.role for one in rotations_of(snapshot)]
        two = {
            "log": keys.old_log,
            "entry": keys.next_entry,
            "witness": keys.next_witness,
            "tls": keys.next_tls,
        }[role] is not None
        seen.add((two, len(told), did_key(keys.entry.public) == before))
        assert clean(layout) == [] or told
        if keys.next_entry is not None:
            with pytest.raises(ConfigError) as refused:
                asyncio.run(open_store(layout))
            assert refused.value.code == "rotation_unfinished"
        if not told or (role == "entry" and two):
            asyncio.run(rotated(layout, role))
        with Snapshot(layout.database) as snapshot:
            assert [one.role for one in rotations_of(snapshot)] == [role]
        assert load_keys(layout).next_entry is None
        assert clean(layout) == []
        fresh()
    assert len(seen) >= (3 if role == "entry" else 2), seen


def test_every_role_is_explained() -> None:
    assert set(rotate.EXPLAINED) == set(ROLES)
    assert set(rotate.RETIRED) == set(ROLES) - {"entry"}
