"""Lock, layout and key files: who may hold a store, and who may read its secrets."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from gateway.errors import ConfigError, LocalError, SignatureError, StoreError
from gateway.keys.sign import verify
from gateway.store.escrow import escrow_bundle, open_escrow
from gateway.store.keyfiles import KeyRing, create_keys, load_keys, write_masters
from gateway.store.layout import KEY_NAMES, Layout, write_private
from gateway.store.lock import StoreLock
from gateway.tlog.note import parse_private

ORIGIN, WITNESS = "rig1.clinic.example/vestibule", "rig1.clinic.example/witness"

HOLDER = """
import sys
from pathlib import Path
from gateway.store.lock import StoreLock
lock = StoreLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "store")
    layout.make_dirs()
    return layout


@pytest.fixture
def keys(layout: Layout) -> KeyRing:
    return create_keys(layout, ORIGIN, WITNESS)


@pytest.fixture
def holder(layout: Layout) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLDER, str(layout.lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_told_who_holds_the_store(holder: subprocess.Popen[str], layout: Layout) -> None:
    with pytest.raises(StoreError) as caught:
        StoreLock(layout.lock)
    assert caught.value.code == "locked"
    assert caught.value.exit_code == 75
    assert f"process {holder.pid} since 20" in caught.value.message
    assert caught.value.hint


def test_a_killed_holder_leaves_no_lock(holder: subprocess.Popen[str], layout: Layout) -> None:
    holder.kill()
    holder.wait()
    with StoreLock(layout.lock):
        assert layout.lock.read_text().split()[0] == str(os.getpid())


def test_a_lock_is_taken_once_and_given_back(layout: Layout) -> None:
    with StoreLock(layout.lock):
        with pytest.raises(StoreError, match=f"process {os.getpid()} "):
            StoreLock(layout.lock)
    again = StoreLock(layout.lock)
    again.release()
    again.release()
    assert layout.lock.exists()


def test_directories_are_closed_to_others(layout: Layout) -> None:
    layout.make_dirs()
    for path in (layout.data_dir, layout.keys, layout.vault):
        assert path.stat().st_mode & 0o777 == 0o700


def test_a_private_file_is_whole_and_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    (tmp_path / "secret.new").write_bytes(b"left by a crash")
    write_private(path, b"one")
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(StoreError) as caught:
        write_private(path, b"two")
    assert caught.value.code == "file_exists"
    assert path.read_bytes() == b"one"
    assert [child.name for child in tmp_path.iterdir()] == ["secret"]


def test_a_replaced_secret_is_overwritten_where_it_lay(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_private(path, b"old secret")
    os.link(path, tmp_path / "same-bytes")
    write_private(path, b"new", replace=True)
    assert path.read_bytes() == b"new"
    assert (tmp_path / "same-bytes").read_bytes() == bytes(10)


def test_keys_are_five_different_private_files(layout: Layout, keys: KeyRing) -> None:
    assert {path.name for path in layout.keys.iterdir()} == {f"{name}.key" for name in KEY_NAMES}
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in layout.keys.iterdir())
    seeds = {keys.log.seed, keys.witness.seed, keys.entry.seed, keys.tls.seed, keys.master}
    assert len(seeds) == 5
    assert parse_private(layout.key("log").read_text()).name == ORIGIN
    assert layout.key("entry").read_text() == f"vestibule-entry-key/1 {keys.entry.seed.hex()}\n"


def test_keys_are_read_as_they_were_made(layout: Layout, keys: KeyRing) -> None:
    again = load_keys(layout, {})
    assert (again.origin, again.witness_name) == (ORIGIN, WITNESS)
    assert again.master == keys.master
    assert again.store_key == keys.store_key
    assert again.store_key not in (again.master, again.log.seed)
    for name in ("log", "witness", "entry", "tls"):
        assert verify(getattr(keys, name).public, b"x", getattr(again, name).sign(b"x"))


def test_no_secret_shows_in_the_repr(keys: KeyRing) -> None:
    for secret in (keys.master, keys.log.seed, keys.entry.seed):
        assert secret.hex() not in repr(keys)
        assert repr(secret) not in repr(keys)


def test_an_unfinished_init_goes_on_with_the_keys_that_are_there(layout: Layout, keys: KeyRing) -> None:
    layout.key("tls").unlink()
    again = create_keys(layout, ORIGIN, WITNESS)
    assert again.log.seed == keys.log.seed
    assert again.master == keys.master
    assert again.tls.seed != keys.tls.seed


def test_the_origin_is_never_changed(layout: Layout, keys: KeyRing) -> None:
    with pytest.raises(ConfigError) as caught:
        create_keys(layout, "other.example/log", WITNESS)
    assert caught.value.code == "key_names"
    assert load_keys(layout, {}).origin == ORIGIN


@pytest.mark.parametrize("name", KEY_NAMES)
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_touch_is_refused(name: str, mode: int, layout: Layout, keys: KeyRing) -> None:
    layout.key(name).chmod(mode)
    with pytest.raises(ConfigError) as caught:
        load_keys(layout, {})
    assert caught.value.code == "file_permissions"
    assert f"chmod 600 {layout.key(name)}" in caught.value.hint
    assert caught.value.exit_code == 78


@pytest.mark.parametrize("name", KEY_NAMES)
@pytest.mark.parametrize("damage", ["", "\n", "cut", "swap", "more", "case", "binary"])
def test_a_key_file_is_read_strictly(name: str, damage: str, layout: Layout, keys: KeyRing) -> None:
    text = layout.key(name).read_text()
    other = layout.key("tls" if name != "tls" else "entry").read_text()
    spoiled = {
        "cut": text[:-3].encode(),
        "swap": other.encode(),
        "more": (text * 3).encode(),
        "case": text.upper().encode(),
        "binary": b"\xff\xfe" + text.encode(),
    }.get(damage, damage.encode())
    layout.key(name).write_bytes(spoiled)
    with pytest.raises(ConfigError) as caught:
        load_keys(layout, {})
    assert caught.value.code == "key_file"
    # The last field of a private key of a note is base64, and may hold a + of its own.
    assert text.split("+", 4)[-1].split()[-1] not in caught.value.message


def test_a_missing_or_linked_or_huge_key_is_refused(layout: Layout, keys: KeyRing, tmp_path: Path) -> None:
    path = layout.key("entry")
    path.rename(tmp_path / "entry.key")
    with pytest.raises(ConfigError) as caught:
        load_keys(layout, {})
    assert caught.value.code == "file_missing"
    path.symlink_to(tmp_path / "entry.key")
    with pytest.raises(ConfigError) as caught:
        load_keys(layout, {})
    assert caught.value.code == "file_unreadable"
    path.unlink()
    path.touch(0o600)
    path.write_bytes(bytes(100_000))
    with pytest.raises(ConfigError) as caught:
        load_keys(layout, {})
    assert caught.value.code == "file_size"


def test_a_credential_is_preferred_whatever_its_mode(layout: Layout, keys: KeyRing, tmp_path: Path) -> None:
    other = Layout(tmp_path / "other")
    theirs = create_keys(other, ORIGIN, WITNESS)
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    for name in ("log", "master"):
        (credentials / f"{name}.key").write_bytes(other.key(name).read_bytes())
        (credentials / f"{name}.key").chmod(0o440)
    loaded = load_keys(layout, {"CREDENTIALS_DIRECTORY": str(credentials)})
    assert loaded.log.seed == theirs.log.seed
    assert loaded.master == theirs.master
    assert loaded.entry.seed == keys.entry.seed


def test_the_master_file_holds_two_epochs_while_they_change(layout: Layout, keys: KeyRing) -> None:
    new = os.urandom(32)
    write_masters(layout, new, keys.master)
    both = load_keys(layout, {})
    assert (both.master, both.old_master) == (new, keys.master)
    write_masters(layout, new)
    one = load_keys(layout, {})
    assert (one.master, one.old_master) == (new, b"")
    assert keys.master.hex() not in layout.key("master").read_text()


PASSPHRASE = "four random words here"


@pytest.fixture(scope="module")
def escrowed(tmp_path_factory: pytest.TempPathFactory) -> tuple[KeyRing, bytes]:
    layout = Layout(tmp_path_factory.mktemp("escrow"))
    numbers = count(1)
    ring = create_keys(layout, ORIGIN, WITNESS, lambda n: bytes([next(numbers)]) * n)
    return ring, escrow_bundle(ring, PASSPHRASE, bytes(16), bytes(12))


def test_an_escrow_gives_back_the_keys_that_name_the_gateway(
    escrowed: tuple[KeyRing, bytes], layout: Layout
) -> None:
    ring, bundle = escrowed
    assert bundle.isascii()
    assert max(map(len, bundle.splitlines())) <= 64
    # as it comes back from a mail or a scan
    opened = open_escrow(b"  " + bundle.replace(b"\n", b" \r\n"), PASSPHRASE)
    restored = create_keys(layout, opened.origin, opened.witness_name, files=opened.files)
    assert restored.log.seed == ring.log.seed
    assert restored.witness.seed == ring.witness.seed
    assert restored.entry.seed == ring.entry.seed
    assert restored.master != ring.master
    assert restored.store_key == ring.store_key


def test_an_escrow_never_holds_what_opens_recordings(escrowed: tuple[KeyRing, bytes]) -> None:
    ring, bundle = escrowed
    opened = open_escrow(bundle, PASSPHRASE)
    assert set(opened.files) == {"log", "witness", "entry", "tls"}
    assert not any(ring.master.hex() in text for text in opened.files.values())
    assert ring.log.seed.hex() not in repr(opened)


def test_a_passphrase_is_the_same_in_every_normal_form(escrowed: tuple[KeyRing, bytes]) -> None:
    ring, _ = escrowed
    bundle = escrow_bundle(ring, "vier W\u00f6rter und mehr", os.urandom(16), os.urandom(12))
    assert open_escrow(bundle, "vier Wo\u0308rter und mehr").origin == ORIGIN


def test_a_wrong_passphrase_or_a_changed_letter_does_not_open(escrowed: tuple[KeyRing, bytes]) -> None:
    _, bundle = escrowed
    changed = bytearray(bundle)
    changed[90] = ord("A") if changed[90] != ord("A") else ord("B")
    for data, phrase in [(bundle, PASSPHRASE + "!"), (bytes(changed), PASSPHRASE)]:
        with pytest.raises(SignatureError) as caught:
            open_escrow(data, phrase)
        assert caught.value.code == "escrow"
        assert caught.value.hint


@pytest.mark.parametrize("spoil", [b"", b"hello", b"x" * 10_000])
def test_what_is_no_escrow_is_said_to_be_none(spoil: bytes) -> None:
    with pytest.raises(LocalError) as caught:
        open_escrow(spoil, PASSPHRASE)
    assert caught.value.code == "escrow_format"


def test_a_short_passphrase_is_refused(keys: KeyRing) -> None:
    with pytest.raises(LocalError) as caught:
        escrow_bundle(keys, "short", bytes(16), bytes(12))
    assert caught.value.code == "passphrase_short"
