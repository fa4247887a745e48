"""What happens to a rig: a lost disk with and without escrowed keys, a clone, an old backup, a machine set back as a
whole, keys changed while others record. After each the federation is level, and every check is clean."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
from e2e.circle import Circle
from e2e.daemon import Gateway
from e2e.test_peers import check_all, vestibule

from gateway.app.roster_edit import with_update
from gateway.errors import EXIT_REFUSED

pytestmark = pytest.mark.slow


@pytest.fixture
def circle(tmp_path: Path) -> object:
    """Three gateways, level."""
    with Circle(tmp_path, 3, faulty=0) as made:
        made.start()
        for gateway in made.gateways.values():
            made.work(gateway, 1)
        made.until_level()
        yield made


def keys_of(gateway: Gateway) -> dict[str, str]:
    return json.loads(vestibule("key", "show", "--json", data_dir=gateway.layout.data_dir))


def sources(circle: Circle, but: str) -> list[str]:
    return [arg for name in circle.gateways if name != but for arg in ("--from", circle.url(name))]


def size_of(gateway: Gateway) -> int:
    return int(gateway.call("status")["log"]["size"])


def in_place(backup: Path, data_dir: Path) -> None:
    """Set a store back as a snapshot of the machine does: other bytes in the same files, and nothing else differs."""
    for path in sorted(data_dir.rglob("*")):
        kept = backup / path.relative_to(data_dir)
        if path.is_file() and not path.is_socket():
            if kept.is_file():
                with path.open("r+b") as file:
                    file.write(kept.read_bytes())
                    file.truncate()
            else:
                path.unlink()


def copied(data_dir: Path, to: Path) -> Path:
    shutil.copytree(data_dir, to, ignore=shutil.ignore_patterns("control.sock"))
    return to


def test_a_wiped_disk_comes_back_with_its_escrowed_keys(circle: Circle, tmp_path: Path) -> None:
    two = circle.gateways["rig-2"]
    data_dir, passphrase = two.layout.data_dir, tmp_path / "passphrase"
    passphrase.write_text("correct horse battery staple\n")
    escrow = tmp_path / "rig-2.escrow"
    vestibule("key", "escrow", "--out", escrow, "--passphrase-file", passphrase, data_dir=data_dir)
    size, before = size_of(two), keys_of(two)
    two.kill9()
    shutil.rmtree(data_dir)

    data_dir.mkdir(mode=0o700)
    two.write_config()
    restore = (
        "ledger",
        "restore",
        "--escrow",
        escrow,
        "--passphrase-file",
        passphrase,
        *sources(circle, "rig-2"),
    )
    dry = json.loads(vestibule(*restore, "--dry-run", "--json", data_dir=data_dir))
    assert size in dry.values(), dry
    vestibule(*restore, "--yes", data_dir=data_dir)
    two.restart()
    assert keys_of(two) == before, "the same gateway"
    assert size_of(two) > size, "it goes on above the highest head that anybody holds"
    circle.work(two, 1)
    circle.until_level()
    check_all(circle, tmp_path)


def test_a_wiped_disk_without_keys_begins_a_new_generation(circle: Circle, tmp_path: Path) -> None:
    two = circle.gateways["rig-2"]
    old = keys_of(two)
    size = size_of(two)
    two.kill9()
    shutil.rmtree(two.layout.data_dir)

    vestibule(
        "ledger", "new-generation", "--to", two.layout.data_dir, *sources(circle, "rig-2"),
        "--old-origin", old["origin"], "--old-vkey", old["log"], "--compromised", "--reason", "lost",
        "--actor", "uid:0", "--yes", data_dir=tmp_path / "nothing",
    )  # fmt: skip
    anew = keys_of(two)
    assert anew["origin"] == old["origin"] + "-g2"
    assert set(anew.values()).isdisjoint(old.values())
    two.origin = anew["origin"]
    two.config["gateway"]["origin"] = anew["origin"]
    two.write_config()
    two.restart()
    circle.publish(with_update(circle.roster(), circle.card(two), time.time_ns() // 1_000_000))
    two.call("peer.accept", card=circle.gateways["rig-1"].call("peer.card")["card"])
    circle.until_all_know(circle.roster().version)
    circle.work(two, 1)
    circle.until_level()
    assert old["origin"] not in circle.heads(circle.gateways["rig-1"])
    assert size > 0
    check_all(circle, tmp_path)


def test_a_clone_and_old_backups_do_not_sign_and_catch_up(circle: Circle, tmp_path: Path) -> None:
    one, two, three = circle.gateways.values()

    # A clone of the directory, while the original goes on: refused where it stands, and where somebody adopts it.
    assert three.stop() == 0
    clone = copied(three.layout.data_dir, tmp_path / "clone")
    three.restart()
    circle.work(three, 1)
    circle.until_level()
    vestibule("run", code=EXIT_REFUSED, data_dir=clone)
    said = vestibule("ledger", "adopt", "--yes", code=EXIT_REFUSED, data_dir=clone)
    assert "rig-" in said

    # An old copy of the database, with the newer mark: refused, catches up, goes on.
    assert two.stop() == 0
    backup = copied(two.layout.data_dir, tmp_path / "backup")
    two.restart()
    circle.work(two, 2)
    circle.until_level()
    size = size_of(two)
    two.kill9()
    for name in ("state.db", "state.db-wal", "state.db-shm"):
        (two.layout.data_dir / name).unlink(missing_ok=True)
        if (backup / name).exists():
            shutil.copy(backup / name, two.layout.data_dir / name)
    vestibule("run", code=EXIT_REFUSED, data_dir=two.layout.data_dir)
    vestibule("ledger", "catch-up", "--dry-run", data_dir=two.layout.data_dir)
    vestibule("ledger", "catch-up", "--yes", data_dir=two.layout.data_dir)
    two.restart()
    assert size_of(two) > size
    circle.until_level()

    # The whole machine set back, mark and peers.db with it: only its peers can tell.
    assert one.stop() == 0
    snapshot = copied(one.layout.data_dir, tmp_path / "snapshot")
    one.restart()
    circle.work(one, 2)
    circle.until_level()
    size = size_of(one)
    one.kill9()
    in_place(snapshot, one.layout.data_dir)
    vestibule("run", code=EXIT_REFUSED, data_dir=one.layout.data_dir)
    vestibule("ledger", "catch-up", "--yes", data_dir=one.layout.data_dir)
    one.restart()
    assert size_of(one) > size
    circle.work(one, 1)
    circle.until_level()
    assert not one.call("peer.evidence")["evidence"]
    check_all(circle, tmp_path)


def test_keys_are_rotated_while_others_record(circle: Circle, tmp_path: Path) -> None:
    one, two, _ = circle.gateways.values()
    for role in ("log", "witness", "tls", "entry"):
        assert two.stop() == 0
        circle.work(one, 1)
        vestibule("key", "rotate", role, "--dry-run", data_dir=two.layout.data_dir)
        vestibule("key", "rotate", role, "--yes", data_dir=two.layout.data_dir)
        two.restart()
        circle.publish(with_update(circle.roster(), circle.card(two), time.time_ns() // 1_000_000))
        circle.until_all_know(circle.roster().version)
        circle.work(two, 1)
        circle.until_level()
        if role == "entry":
            continue
        assert two.stop() == 0
        circle.work(one, 1)
        vestibule("key", "retire", role, "--yes", data_dir=two.layout.data_dir)
        two.restart()
        circle.work(two, 1)
        circle.until_level()
        circle.publish(with_update(circle.roster(), circle.card(two), time.time_ns() // 1_000_000))
        circle.until_all_know(circle.roster().version)
    size = size_of(two)
    circle.until(lambda: two.call("status")["peers"]["confirmed"]["size"] >= size, "confirmed under new keys")
    check_all(circle, tmp_path)


@pytest.mark.parametrize("how", ["lost", "damaged"])
def test_without_its_peers_db_a_gateway_records_on_and_finds_its_peers_again(
    circle: Circle, tmp_path: Path, how: str
) -> None:
    two = circle.gateways["rig-2"]
    version = circle.roster().version
    assert two.stop() == 0
    for ending in ("", "-wal", "-shm"):
        path = two.layout.peers.with_name(two.layout.peers.name + ending)
        if how == "lost":
            path.unlink(missing_ok=True)
        elif path.exists():
            path.write_bytes(b"\xff" * path.stat().st_size)
    two.restart()
    assert two.call("peer.roster")["version"] == version, "its own log has the roster"
    circle.work(two, 1)
    circle.work(circle.gateways["rig-1"], 1)
    circle.until_level(30)
    size = size_of(two)
    circle.until(lambda: two.call("status")["peers"]["confirmed"]["size"] >= size, "confirmed", 30)
    check_all(circle, tmp_path)
