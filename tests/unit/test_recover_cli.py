"""The verbs of a lost disk, key or backup, on the command line: JSON, exit codes, questions, what comes next."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.app.cli.main import root
from gateway.core.follow import KeepCosigned, KeepHead, KeepRoster
from gateway.errors import EXIT_REFUSED, EXIT_TRY_LATER, EXIT_USAGE, EXIT_VERIFY
from gateway.keys.did import did_key
from gateway.store.keyfiles import load_keys
from gateway.store.layout import Layout
from gateway.store.mark import Mark
from gateway.store.peers import PeerStore
from gateway.store.snapshot import Snapshot
from gateway.tlog.checkpoint import Checkpoint, sign_checkpoint
from gateway.tlog.fork import parse_fork, verify_fork
from gateway.tlog.note import parse_vkey
from tests import rosters
from tests.mirrors import Mirror, export, lie, record
from tests.stores import ORIGIN, Facts, copy_store, make_store

PASSPHRASE = "four quite random words"


async def at(data_dir: Path, *args: str | Path) -> Result:
    """A command, in a thread of its own beside the servers of the test."""
    words = ["--data-dir", str(data_dir), *map(str, args)]
    return await asyncio.to_thread(CliRunner().invoke, root, words)


async def told(data_dir: Path, *args: str | Path) -> dict[str, object]:
    done = await at(data_dir, *args, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


@dataclass
class Case:
    """A store, its old database, an export of its log, and its escrow with the passphrase's file."""

    facts: Facts
    old: Path
    log: Path
    escrow: Path
    words: Path
    before: int
    now: int

    def behind(self, path: Path) -> Path:
        """The store with its old database, at home."""
        facts = copy_store(self.facts, path)
        mark = Mark.open(facts.layout.mark)
        mark.rewrite()
        mark.close()
        shutil.copy(self.old, facts.layout.database)
        return path


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("recover")
    facts = asyncio.run(make_store(folder / "data", batches=1, frames=4))
    shutil.copy(facts.layout.database, folder / "old")
    before = facts.entries
    asyncio.run(record(facts.layout, batches=2))
    export(facts.layout, folder / "log")
    (folder / "words").write_text(PASSPHRASE + "\n")
    words = ("key", "escrow", "--out", str(folder / "escrow"), "--passphrase-file", str(folder / "words"))
    done = CliRunner().invoke(root, ["--data-dir", str(facts.layout.data_dir), *words])
    assert done.exit_code == 0, done.output
    with Snapshot(facts.layout.database) as snapshot:
        now = snapshot.head().size
    return Case(facts, folder / "old", folder / "log", folder / "escrow", folder / "words", before, now)


async def test_catch_up_says_what_it_does_and_does_it(case: Case, tmp_path: Path) -> None:
    store = case.behind(tmp_path / "store")
    faulty = await at(store, "fsck")
    assert faulty.exit_code == EXIT_VERIFY
    assert "ledger catch-up" in faulty.stdout
    async with Mirror({ORIGIN: case.log}) as mirror:
        dry = await told(store, "ledger", "catch-up", "--from", mirror.url, "--dry-run")
        assert (dry["before"], dry["newest"], dry["written"], dry["dry_run"]) == (
            case.before,
            case.now,
            None,
            True,
        )
        asked = await at(store, "ledger", "catch-up", "--from", mirror.url)
        assert asked.exit_code == EXIT_USAGE
        assert "Is this the only copy that will ever run?" in asked.stderr
        assert "--yes" in asked.stderr
        done = await at(store, "ledger", "catch-up", "--from", mirror.url, "--yes", "--progress", "none")
        assert done.exit_code == 0, done.output
        assert f"{case.now - case.before} entries came back" in done.stdout
        assert "revoke again" in done.stderr
        again = await told(store, "ledger", "catch-up", "--from", mirror.url)
        assert (again["written"], again["newest"]) == (None, case.now + 1)
    assert (await at(store, "fsck")).exit_code == 0
    nobody = await at(store, "ledger", "catch-up", "--from", "http://127.0.0.1:9")
    assert nobody.exit_code == EXIT_TRY_LATER


async def test_restore_from_nothing_but_escrow_and_a_mirror(case: Case, tmp_path: Path) -> None:
    store = tmp_path / "store"
    args = ("ledger", "restore", "--escrow", case.escrow, "--passphrase-file", case.words)
    assert (await at(store, *args)).exit_code == EXIT_USAGE, "whom to ask?"
    async with Mirror({ORIGIN: case.log}, at_top=True) as web_server:
        dry = await told(store, *args, "--from", web_server.url, "--dry-run")
        assert (dry["newest"], dry["written"]) == (case.now, None)
        assert not store.exists()
        done = await at(store, *args, "--from", web_server.url, "--yes")
        assert done.exit_code == 0, done.output
        assert "vestibule" in done.stderr
        assert "pair" in done.stderr
        exists = await at(store, *args, "--from", web_server.url, "--yes")
        assert exists.exit_code == EXIT_REFUSED
        assert "ledger catch-up" in exists.stderr
    assert (await at(store, "fsck")).exit_code == 0
    shown = await told(store, "key", "show")
    assert shown == await told(case.facts.layout.data_dir, "key", "show")


async def test_a_new_generation_from_a_store_and_from_nothing(case: Case, tmp_path: Path) -> None:
    old = copy_store(case.facts, tmp_path / "old").layout
    dry = await told(old.data_dir, "ledger", "new-generation", "--to", tmp_path / "new", "--dry-run")
    assert (dry["origin"], dry["size"], dry["old"]["size"]) == (f"{ORIGIN}-g2", 0, case.now)  # type: ignore[index]
    assert not (tmp_path / "new").exists()
    done = await at(old.data_dir, "ledger", "new-generation", "--to", tmp_path / "new", "--yes")
    assert done.exit_code == 0, done.output
    assert f"{ORIGIN}-g2 begins in" in done.stdout
    assert "erasure" in done.stderr
    assert (await at(tmp_path / "new", "fsck")).exit_code == 0
    vkey = (await told(old.data_dir, "key", "show"))["log"]
    async with Mirror({ORIGIN: case.log}) as mirror:
        from_nothing = await told(
            tmp_path / "gone",
            *("ledger", "new-generation", "--to", tmp_path / "other", "--from", mirror.url, "--yes"),
            *("--old-origin", ORIGIN, "--old-vkey", str(vkey), "--reason", "lost"),
        )
    assert from_nothing["old"]["size"] == case.now  # type: ignore[index]
    assert (await at(tmp_path / "other", "fsck")).exit_code == 0
    wrong = await at(
        tmp_path / "gone", "ledger", "new-generation", "--to", tmp_path / "x", "--old-vkey", "no"
    )
    assert wrong.exit_code == EXIT_USAGE


async def test_keys_are_rotated_shown_and_retired(case: Case, tmp_path: Path) -> None:
    store = case.behind(tmp_path / "store")
    shutil.copy(case.facts.layout.database, store / "state.db")
    before = await told(store, "key", "show")
    dry = await told(store, "key", "rotate", "log", "--dry-run")
    assert (dry["old"], dry["entry"]) == (before["log"], None)
    assert (await at(store, "key", "rotate", "log")).exit_code == EXIT_USAGE
    done = await at(store, "key", "rotate", "log", "--yes")
    assert done.exit_code == 0, done.output
    assert "key retire log" in done.stderr
    assert "peer update" in done.stderr
    shown = await told(store, "key", "show")
    assert shown["old_log"] == before["log"] != shown["log"]
    assert parse_vkey(str(shown["log"])).name == ORIGIN
    again = await at(store, "key", "rotate", "log", "--yes")
    assert again.exit_code == EXIT_USAGE
    assert "key retire log" in again.stderr
    await told(store, "key", "retire", "log", "--yes")
    assert "old_log" not in await told(store, "key", "show")
    witness = await told(store, "key", "rotate", "witness", "--yes")
    assert (await told(store, "key", "show"))["next_witness"] == witness["new"]
    await told(store, "key", "rotate", "tls", "--yes")
    await told(store, "key", "rotate", "entry", "--yes")
    assert (await told(store, "key", "show"))["gateway"] != before["gateway"]
    assert (await at(store, "key", "retire", "entry", "--yes")).exit_code == EXIT_USAGE
    assert (await at(store, "fsck")).exit_code == 0


async def test_adopt_asks_whom_it_is_told_to(case: Case, tmp_path: Path) -> None:
    moved = copy_store(case.facts, tmp_path / "moved").layout
    async with Mirror({ORIGIN: case.log}) as mirror:
        done = await told(moved.data_dir, "ledger", "adopt", "--yes", "--witness", mirror.url)
    assert [(one["says"], one["size"]) for one in done["asked"]] == [("same", case.now)]  # type: ignore[attr-defined]


async def test_where_nothing_is_said_the_roster_is_asked_and_evidence_kept(
    case: Case, tmp_path: Path
) -> None:
    store = case.behind(tmp_path / "store")
    layout = Layout(store)
    keys = load_keys(layout)
    with Snapshot(layout.database) as snapshot:
        head = snapshot.head()
    signed = sign_checkpoint(Checkpoint(ORIGIN, head.size, head.root), ORIGIN, keys.log)
    lying = tmp_path / "lying"
    shutil.copytree(case.log, lying)
    us = rosters.member(
        "gw01", log=keys.log_vkeys, witness=keys.witness_vkeys, did=did_key(keys.entry.public)
    )
    # A roster holds https alone, and nobody answers there: which is what is shown.
    other = rosters.member("gw02", url="https://127.0.0.1:9")
    raw = rosters.signed(rosters.roster(us, other)).raw
    peers = await PeerStore.open(layout.peers, create=True)
    await peers.keep(
        [
            KeepRoster(1, raw),
            KeepHead(ORIGIN, 0, head.size, head.root, signed),
            KeepCosigned(head.size, signed, 1),
        ]
    )
    await peers.close()
    away = await at(store, "ledger", "catch-up", "--yes", "--json")
    assert away.exit_code == EXIT_TRY_LATER, away.output
    dry = await told(store, "key", "rotate", "log", "--dry-run")
    assert [(one["name"], one["says"]) for one in dry["asked"]] == [("gw02", "away")]  # type: ignore[attr-defined]
    lie(case.facts.layout, lying, head.size, bytes(32))
    async with Mirror({ORIGIN: lying}) as mirror:
        forked = await at(store, "ledger", "catch-up", "--from", mirror.url, "--yes")
    assert forked.exit_code == EXIT_REFUSED
    assert "peer evidence" in forked.stderr
    peers = await PeerStore.open(layout.peers)
    (kept,) = await peers.forks()
    await peers.close()
    a, b = verify_fork(parse_fork(kept.data), *keys.log_vkeys)
    assert (kept.origin, a.size, b.size) == (ORIGIN, head.size, head.size)


async def test_evidence_without_a_place_goes_into_a_file(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = [tmp_path / "one", tmp_path / "two"]
    for number, folder in enumerate(folders):
        folder.mkdir()
        lie(case.facts.layout, folder, 99, bytes([number]) * 32)
    async with Mirror({ORIGIN: folders[0]}) as one, Mirror({ORIGIN: folders[1]}) as two:
        args = ("ledger", "restore", "--escrow", case.escrow, "--passphrase-file", case.words)
        done = await at(tmp_path / "store", *args, "--from", one.url, "--from", two.url, "--yes")
    assert done.exit_code == EXIT_REFUSED
    (name,) = [name for name in os.listdir(tmp_path) if name.startswith("fork-")]
    assert name in done.stderr
    verify_fork(parse_fork((tmp_path / name).read_bytes()), *load_keys(case.facts.layout).log_vkeys)
