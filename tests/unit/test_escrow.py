"""Escrow: version 2 brings back every key file as it was, and version 1 still opens."""

from __future__ import annotations

import os
from base64 import b64encode
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from gateway.errors import ConfigError, LocalError, SignatureError
from gateway.keys.seal import wrap
from gateway.keys.sign import SigningKey
from gateway.store.escrow import MAX_BUNDLE_BYTES, _stretch, escrow_bundle, open_escrow
from gateway.store.keyfiles import ESCROWED, KeyRing, create_keys, key_text, load_keys, write_key
from gateway.store.layout import Layout
from gateway.tlog.note import COSIGNATURE, PrivateKey

ORIGIN, WITNESS = "gw01.clinic.example/vrlog", "gw01.clinic.example/vrlog/witness"
PASSPHRASE = "four random words here"


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    return create_keys(Layout(tmp_path_factory.mktemp("keys")), ORIGIN, WITNESS)


def sealed(keys: KeyRing) -> bytes:
    return escrow_bundle(keys, PASSPHRASE, os.urandom(16), os.urandom(12))


@pytest.fixture(scope="module")
def bundle(ring: KeyRing) -> bytes:
    return sealed(ring)


def version_1(keys: KeyRing) -> bytes:
    """As releases before wrote it: names, and three seeds."""
    begin, end = (f"-----{word} VESTIBULE KEY ESCROW 1-----" for word in ("BEGIN", "END"))
    fields = (keys.origin, keys.witness_name, keys.log.seed, keys.witness.seed, keys.entry.seed)
    salt = os.urandom(16)
    key = _stretch(PASSPHRASE, salt)
    blob = salt + wrap(key, os.urandom(12), msgspec.msgpack.encode(fields), begin.encode())
    return f"{begin}\n{b64encode(blob).decode()}\n{end}\n".encode()


def test_it_brings_back_the_tls_key_too(ring: KeyRing, bundle: bytes, tmp_path: Path) -> None:
    opened = open_escrow(bundle, PASSPHRASE)
    assert set(opened.files) == set(ESCROWED)
    assert (opened.origin, opened.witness_name) == (ORIGIN, WITNESS)
    again = create_keys(Layout(tmp_path), opened.origin, opened.witness_name, files=opened.files)
    for name in ("log", "witness", "entry", "tls"):
        assert getattr(again, name).seed == getattr(ring, name).seed
    assert again.master != ring.master
    assert opened.log_vkeys == ring.log_vkeys
    assert opened.entry.seed == ring.entry.seed


def test_version_1_still_opens_and_gets_a_new_tls_key(ring: KeyRing, tmp_path: Path) -> None:
    opened = open_escrow(version_1(ring), PASSPHRASE)
    assert set(opened.files) == {"log", "witness", "entry"}
    again = create_keys(Layout(tmp_path), opened.origin, opened.witness_name, files=opened.files)
    assert (again.log.seed, again.entry.seed, again.store_key) == (
        ring.log.seed,
        ring.entry.seed,
        ring.store_key,
    )
    assert again.tls.seed != ring.tls.seed


def test_a_rotation_that_is_under_way_is_kept(ring: KeyRing, tmp_path: Path) -> None:
    rotated = replace(
        ring,
        log=SigningKey(b"3" * 32),
        old_log=SigningKey(b"2" * 32),
        first_log=ring.log,
        next_witness=PrivateKey(WITNESS + "-2", COSIGNATURE, SigningKey(b"w" * 32)),
        next_tls=SigningKey(b"t" * 32),
    )
    bundle = sealed(rotated)
    assert len(bundle) < MAX_BUNDLE_BYTES
    opened = open_escrow(bundle, PASSPHRASE)
    again = create_keys(Layout(tmp_path), opened.origin, opened.witness_name, files=opened.files)
    assert again.store_key == ring.store_key
    assert [key.seed for key in again.log_keys] == [b"2" * 32, b"3" * 32]
    assert len(again.known_log_vkeys) == 3
    assert [vkey.name for vkey in again.witness_vkeys] == [WITNESS, WITNESS + "-2"]
    assert [key.seed for key in again.tls_keys] == [ring.tls.seed, b"t" * 32]
    for name in ESCROWED:
        assert key_text(again, name) == opened.files[name]


def test_versions_do_not_pass_for_each_other(bundle: bytes) -> None:
    with pytest.raises(SignatureError):
        open_escrow(bundle.replace(b"ESCROW 2", b"ESCROW 1"), PASSPHRASE)
    mixed = bundle.replace(b"END VESTIBULE KEY ESCROW 2", b"END VESTIBULE KEY ESCROW 1")
    with pytest.raises(LocalError) as caught:
        open_escrow(mixed, PASSPHRASE)
    assert caught.value.code == "escrow_format"


def test_another_escrow_is_refused_where_one_was_begun(ring: KeyRing, tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    files = {name: key_text(ring, name) for name in ESCROWED}
    create_keys(layout, ORIGIN, WITNESS, files=files)
    create_keys(layout, ORIGIN, WITNESS, files=files)
    files["entry"] = key_text(replace(ring, entry=SigningKey(b"o" * 32)), "entry")
    with pytest.raises(ConfigError) as caught:
        create_keys(layout, ORIGIN, WITNESS, files=files)
    assert caught.value.code == "key_other"


@pytest.mark.parametrize(
    "lines",
    [
        "retired {0}",  # nothing signs
        "{0}{1}{2}",  # three sign
        "{0}retired {1}",  # only the first is ever kept
        "retired {0}retired {1}{2}",
        "{0}\n{1}",
        "{0}{other}",  # of another log
    ],
)
def test_a_log_key_file_is_read_strictly(ring: KeyRing, tmp_path: Path, lines: str) -> None:
    layout = Layout(tmp_path)
    create_keys(layout, ORIGIN, WITNESS)
    keys = [key_text(replace(ring, log=SigningKey(bytes([n]) * 32)), "log") for n in (1, 2, 3)]
    other = key_text(replace(ring, origin="other.example/log"), "log")
    layout.key("log").write_text(lines.format(*keys, other=other))
    with pytest.raises(ConfigError) as caught:
        load_keys(layout, {})
    assert caught.value.code == "key_file"


def test_a_key_file_is_not_written_where_a_credential_is_read(
    ring: KeyRing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(tmp_path / "data")
    keys = create_keys(layout, ORIGIN, WITNESS)
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "log.key").write_text(key_text(ring, "log"))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    with pytest.raises(LocalError) as caught:
        write_key(layout, keys, "log")
    assert caught.value.code == "key_credential"
    write_key(layout, keys, "entry")
