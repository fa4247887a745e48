"""One changed bit, anywhere in what is signed or proved, is caught; and nothing but our own errors comes out."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.entries.envelope import decode_entry, encode_entry, verify_entry
from gateway.entries.types import batch_body, session_body
from gateway.errors import ProofError, RemoteError
from gateway.keys.did import did_key
from gateway.keys.seal import seal, unseal, unwrap, wrap
from gateway.keys.sign import SigningKey, verify
from gateway.tlog.checkpoint import Checkpoint, cosign, open_checkpoint, sign_checkpoint
from gateway.tlog.merkle import (
    consistency_path,
    inclusion_path,
    leaf_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from gateway.tlog.note import COSIGNATURE, VerifierKey
from gateway.tlog.policy import parse_policy
from gateway.tlog.proof import TlogProof, verify_tlog_proof

KEY = SigningKey(bytes(range(32)))
WITNESS = SigningKey(bytes(range(32, 64)))
NAME = "rig.example/vrlog"
WITNESS_NAME = "other.example/witness"
LOG = VerifierKey.of(NAME, KEY.public)
WITNESS_KEY = VerifierKey.of(WITNESS_NAME, WITNESS.public, COSIGNATURE)
POLICY = parse_policy(f"log {LOG.encode()}\nwitness w {WITNESS_KEY.encode()}\nquorum w\n".encode())
LEAVES = [b"leaf %d" % i for i in range(23)]
HASHES = [leaf_hash(leaf) for leaf in LEAVES]


def flips(data: bytes) -> Iterator[bytes]:
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


@pytest.mark.parametrize("index", [0, 7, 15, 16, 22])
def test_inclusion(index: int) -> None:
    size = len(HASHES)
    path, root = inclusion_path(index, HASHES), root_of(HASHES)
    verify_inclusion(HASHES[index], index, size, path, root)
    for leaf in flips(HASHES[index]):
        with pytest.raises(ProofError):
            verify_inclusion(leaf, index, size, path, root)
    for other in flips(root):
        with pytest.raises(ProofError):
            verify_inclusion(HASHES[index], index, size, path, other)
    for at, digest in enumerate(path):
        for other in flips(digest):
            with pytest.raises(ProofError):
                verify_inclusion(HASHES[index], index, size, [*path[:at], other, *path[at + 1 :]], root)


@pytest.mark.parametrize("m", [1, 8, 16, 22])
def test_consistency(m: int) -> None:
    n = len(HASHES)
    path, old, new = consistency_path(m, HASHES), root_of(HASHES[:m]), root_of(HASHES)
    verify_consistency(m, n, path, old, new)
    for other in flips(old):
        with pytest.raises(ProofError):
            verify_consistency(m, n, path, other, new)
    for other in flips(new):
        with pytest.raises(ProofError):
            verify_consistency(m, n, path, old, other)
    for at, digest in enumerate(path):
        for other in flips(digest):
            with pytest.raises(ProofError):
                verify_consistency(m, n, [*path[:at], other, *path[at + 1 :]], old, new)


def test_leaf_data() -> None:
    assert all(leaf_hash(other) != HASHES[3] for other in flips(LEAVES[3]))


def test_checkpoint() -> None:
    checkpoint = Checkpoint(NAME, 23, root_of(HASHES))
    note = sign_checkpoint(checkpoint, NAME, KEY)
    assert open_checkpoint(note, LOG) == checkpoint
    for other in flips(note):
        with pytest.raises(RemoteError):
            open_checkpoint(other, LOG)


def test_proof_file() -> None:
    checkpoint = Checkpoint(NAME, 23, root_of(HASHES))
    note = sign_checkpoint(checkpoint, NAME, KEY) + cosign(checkpoint, WITNESS_NAME, WITNESS, 1).encode()
    data = TlogProof(13, tuple(inclusion_path(13, HASHES)), note).encode()
    assert verify_tlog_proof(data, LEAVES[13], LOG, POLICY).checkpoint == checkpoint
    for other in flips(data):
        with pytest.raises(RemoteError):
            verify_tlog_proof(other, LEAVES[13], LOG, POLICY)


def test_entry() -> None:
    did = did_key(KEY.public)
    bodies = [
        batch_body(did, 1_700_000_000_123, 7, HASHES[0], 2, 30, 4_000, 5, 1_699_999_999, 1_700_000_000),
        session_body(did, 1_700_000_000_123, bytes(16), 0, None, HASHES[1], "open"),
    ]
    for body in bodies:
        raw = encode_entry(body, KEY)
        verify_entry(decode_entry(raw), KEY.public)
        for other in flips(raw):
            with pytest.raises(RemoteError):
                verify_entry(decode_entry(other), KEY.public)


def test_seal_and_wrap() -> None:
    key = sha256(b"key").digest()
    sealed, wrapped = seal(key, b"payload", b"core"), wrap(key, bytes(12), b"secret", b"whose")
    for other in flips(sealed):
        with pytest.raises(RemoteError):
            unseal(key, other, b"core")
    for other in flips(b"core"):
        with pytest.raises(RemoteError):
            unseal(key, sealed, other)
    for other in flips(wrapped):
        with pytest.raises(RemoteError):
            unwrap(key, other, b"whose")


@given(st.binary(max_size=100))
def test_signature(message: bytes) -> None:
    signature = KEY.sign(message)
    assert verify(KEY.public, message, signature)
    assert not any(verify(KEY.public, message, other) for other in flips(signature))
    assert not any(verify(KEY.public, other, signature) for other in flips(message))
