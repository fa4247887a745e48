"""The whole of `tlog_vectors.json`: made independently and cross-checked against five implementations."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Any

import pytest

from gateway.errors import ProofError
from gateway.keys.sign import SigningKey
from gateway.tlog.checkpoint import (
    Checkpoint,
    cosign,
    open_checkpoint,
    origin_hash,
    parse_checkpoint,
    sign_checkpoint,
    verify_cosignature,
)
from gateway.tlog.fork import Fork, fork_id, parse_fork, verify_fork
from gateway.tlog.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_path,
    inclusion_path,
    leaf_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from gateway.tlog.note import COSIGNATURE, ED25519, VerifierKey, parse_note, parse_vkey, verify_note
from gateway.tlog.policy import parse_policy
from gateway.tlog.proof import parse_tlog_proof, verify_tlog_proof
from gateway.tlog.tiles import (
    TileCoord,
    decode_bundle,
    encode_bundle,
    entries_path,
    number_path,
    parse_tile_path,
    tails_at,
    tile_path,
    tile_updates,
    width_at,
)
from gateway.tlog.witness import parse_add_checkpoint
from tests.paths import SHARED

V: dict[str, Any] = json.loads((SHARED / "tlog_vectors.json").read_text("utf-8"))
CT_HASHES = [leaf_hash(bytes.fromhex(leaf)) for leaf in V["ct_leaves_hex"]]
ENTRIES = [b"entry-%d" % i for i in range(300)]
HASHES = [leaf_hash(entry) for entry in ENTRIES]
TIME_S = 1_700_000_000
LOG = parse_vkey(V["log"]["vkey"])
WITNESSES = [parse_vkey(V[name]["vkey"]) for name in ("witness1", "witness2")]


def key_of(name: str) -> SigningKey:
    return SigningKey(bytes.fromhex(V[name]["seed"]))


def unbase64(texts: list[str]) -> list[bytes]:
    return [b64decode(text) for text in texts]


def test_every_member_of_the_file_is_used_here() -> None:
    used = {
        "ct_leaves_hex",
        "ct_leaf_hashes_hex",
        "ct_roots_hex",
        "ct_inclusion_b64",
        "ct_consistency_b64",
        "log",
        "witness1",
        "witness2",
        "checkpoints",
        "tiles_300",
        "bundles_300",
        "tile_paths",
        "tiles_70000_full_and_partial",
        "add_checkpoint_256_to_300",
        "tlog_proof_idx_257_of_300",
        "monitor_origin_hash",
        "fork_proof",
    }
    assert set(V) == used


def test_leaf_hashes() -> None:
    assert [h.hex() for h in CT_HASHES] == V["ct_leaf_hashes_hex"]


@pytest.mark.parametrize(("size", "root"), V["ct_roots_hex"].items())
def test_roots(size: str, root: str) -> None:
    hashes = CT_HASHES[: int(size)]
    frontier = Frontier()
    frontier.extend(hashes)
    assert root_of(hashes).hex() == root
    assert frontier.root().hex() == root


@pytest.mark.parametrize(("where", "path"), V["ct_inclusion_b64"].items())
def test_inclusion(where: str, path: list[str]) -> None:
    index, size = map(int, where.split("/"))
    expected = unbase64(path)
    assert inclusion_path(index, CT_HASHES[:size]) == expected
    verify_inclusion(CT_HASHES[index], index, size, expected, bytes.fromhex(V["ct_roots_hex"][str(size)]))


@pytest.mark.parametrize(("where", "path"), V["ct_consistency_b64"].items())
def test_consistency(where: str, path: list[str]) -> None:
    m, n = map(int, where.split("->"))
    expected = unbase64(path)
    roots = V["ct_roots_hex"]
    assert consistency_path(m, CT_HASHES[:n]) == expected
    verify_consistency(m, n, expected, bytes.fromhex(roots[str(m)]), bytes.fromhex(roots[str(n)]))


@pytest.mark.parametrize(
    ("name", "sig_type"), [("log", ED25519), ("witness1", COSIGNATURE), ("witness2", COSIGNATURE)]
)
def test_vkeys(name: str, sig_type: int) -> None:
    item = V[name]
    key = key_of(name)
    vkey = VerifierKey.of(item["name"], key.public, sig_type)
    assert key.public.hex() == item["pub"]
    assert vkey.encode() == item["vkey"]
    assert vkey.key_id.hex() == item["key_id"]
    assert parse_vkey(item["vkey"]) == vkey


def test_one_key_has_another_id_for_another_type() -> None:
    vkey = VerifierKey.of(V["log"]["name"], key_of("log").public, COSIGNATURE)
    assert vkey.encode() == V["log"]["vkey_0x04_same_pub"]
    assert parse_vkey(V["log"]["vkey_0x04_same_pub"]).key_id != LOG.key_id


@pytest.mark.parametrize(("size", "item"), V["checkpoints"].items())
def test_checkpoints_are_signed_and_cosigned_byte_for_byte(size: str, item: dict[str, str]) -> None:
    root = root_of(HASHES[: int(size)])
    checkpoint = Checkpoint(V["log"]["name"], int(size), root)
    assert checkpoint.encode() == item["body"]
    assert parse_checkpoint(item["body"]) == checkpoint

    signed = sign_checkpoint(checkpoint, V["log"]["name"], key_of("log"))
    assert signed == item["signed"].encode()
    assert open_checkpoint(signed, LOG) == checkpoint

    cosigned = item["cosigned"].encode()
    note = parse_note(cosigned)
    lines = [cosign(checkpoint, V[w]["name"], key_of(w), TIME_S) for w in ("witness1", "witness2")]
    lines = lines[: len(note.signatures) - 1]
    assert lines
    assert signed + "".join(lines).encode() == cosigned
    assert verify_note(note, [*WITNESSES, LOG]) == [LOG, *WITNESSES[: len(lines)]]
    for line, vkey in zip(lines, WITNESSES, strict=False):
        assert verify_cosignature(checkpoint, line, vkey) == TIME_S


def test_empty_root_is_that_of_the_empty_checkpoint() -> None:
    assert parse_checkpoint(V["checkpoints"]["0"]["body"]).root == EMPTY_ROOT


def test_tiles_of_300_entries() -> None:
    rows = tile_updates(0, HASHES, {})
    paths = {tile_path(row.level, row.n, len(row.data) // 32): row.data for row in rows}
    assert {path: sha256(data).hexdigest() for path, data in paths.items()} == V["tiles_300"]


def test_bundles_of_300_entries() -> None:
    bundles = {
        entries_path(0): encode_bundle(ENTRIES[:256]),
        entries_path(1, 44): encode_bundle(ENTRIES[256:]),
    }
    assert {path: sha256(data).hexdigest() for path, data in bundles.items()} == V["bundles_300"]
    assert decode_bundle(bundles["tile/entries/000"], 256) == ENTRIES[:256]
    assert decode_bundle(bundles["tile/entries/001.p/44"], 44) == ENTRIES[256:]


@pytest.mark.parametrize(("n", "path"), V["tile_paths"].items())
def test_tile_paths(n: str, path: str) -> None:
    assert number_path(int(n)) == path
    for level in (-1, 0, 63):
        for width in (1, 255, 256):
            assert parse_tile_path(tile_path(level, int(n), width)) == TileCoord(level, int(n), width)
    assert tile_path(0, int(n)) == f"tile/0/{path}"
    assert entries_path(int(n), 7) == f"tile/entries/{path}.p/7"


@pytest.mark.parametrize(("level", "full_and_partial"), V["tiles_70000_full_and_partial"].items())
def test_widths_of_70000_entries(level: str, full_and_partial: list[int]) -> None:
    full, partial = full_and_partial
    assert [width_at(70_000, int(level), n) for n in range(full)] == [256] * full
    assert width_at(70_000, int(level), full) == partial
    assert width_at(70_000, int(level), full + 1) == 0
    assert TileCoord(int(level), full, partial) in tails_at(70_000)


def test_add_checkpoint() -> None:
    body = V["add_checkpoint_256_to_300"].encode()
    request = parse_add_checkpoint(body)
    assert request.encode() == body
    assert request.old_size == 256
    assert list(request.proof) == consistency_path(256, HASHES)
    checkpoint = open_checkpoint(request.note, LOG)
    verify_consistency(256, checkpoint.size, request.proof, root_of(HASHES[:256]), checkpoint.root)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"old 256\n", b"old 0256\n"),
        (b"old 256\n", b"old  256\n"),
        (b"old 256\n", b"old -1\n"),
        (b"old 256\n", b"size 256\n"),
        (b"old 256\n", b"old 256\r\n"),
        (b"Je8=\n\n", b"Je9=\n\n"),
        (b"Je8=\n\n", b"\n\n"),
        (b"Je8=\n\n", b"Je8=\n"),
    ],
)
def test_add_checkpoint_is_strict(old: bytes, new: bytes) -> None:
    body = V["add_checkpoint_256_to_300"].encode()
    assert body.count(old) == 1
    with pytest.raises(ProofError, match="witness|decimal|hash|base64"):
        parse_add_checkpoint(body.replace(old, new))


def test_tlog_proof() -> None:
    text = V["tlog_proof_idx_257_of_300"]
    proof = parse_tlog_proof(text)
    assert proof.encode() == text.encode()
    assert proof.index == 257
    assert list(proof.path) == inclusion_path(257, HASHES)
    assert verify_tlog_proof(text, ENTRIES[257], LOG).checkpoint.size == 300


def test_tlog_proof_under_a_policy() -> None:
    text = V["tlog_proof_idx_257_of_300"]
    lines = [f"log {V['log']['vkey']}"]
    lines += [f"witness w{i} {vkey.encode()}" for i, vkey in enumerate(WITNESSES)]
    policy = parse_policy("\n".join([*lines, "group both all w0 w1", "quorum both", ""]).encode())
    proved = verify_tlog_proof(text, ENTRIES[257], LOG, policy)
    assert proved.report is not None
    assert proved.report.witnesses == ("w0", "w1")
    with pytest.raises(ProofError) as caught:
        verify_tlog_proof(text, ENTRIES[256], LOG, policy)
    assert caught.value.code == "inclusion"


def test_tlog_proof_with_too_few_witnesses() -> None:
    stranger = VerifierKey.of("gw09.clinic.example/witness", SigningKey(bytes(32)).public, COSIGNATURE)
    policy = parse_policy(f"witness a {stranger.encode()}\nquorum a\n".encode())
    with pytest.raises(ProofError) as caught:
        verify_tlog_proof(V["tlog_proof_idx_257_of_300"], ENTRIES[257], LOG, policy)
    assert caught.value.code == "quorum"


def test_origin_hash() -> None:
    assert origin_hash(V["log"]["name"]) == V["monitor_origin_hash"]


def test_fork_proof() -> None:
    item = V["fork_proof"]
    fork = Fork(
        item["a"].encode(),
        item["b"].encode(),
        b64decode(item["alt_root_b64"]),
        tuple(unbase64(item["proof_b64"])),
    )
    a, b = verify_fork(fork, LOG)
    assert (a.size, b.size) == (300, 310)
    assert a.root == root_of(HASHES)
    assert parse_fork(json.dumps(item).encode()) == fork
    plain = json.dumps(item, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
    assert fork.encode() == plain
    assert fork_id(fork) == sha256(plain).digest()


def test_fork_proof_accuses_nobody_of_an_honest_pair() -> None:
    checkpoints = V["checkpoints"]
    older, newer = checkpoints["256"]["signed"].encode(), checkpoints["300"]["signed"].encode()
    honest = Fork(older, newer, root_of(HASHES[:256]), tuple(consistency_path(256, HASHES)))
    with pytest.raises(ProofError) as caught:
        verify_fork(honest, LOG)
    assert caught.value.code == "fork"
    invented = Fork(older, newer, sha256(b"another").digest(), honest.proof)
    with pytest.raises(ProofError) as caught:
        verify_fork(invented, LOG)
    assert caught.value.code == "consistency"


def test_two_roots_at_one_size_are_a_fork() -> None:
    other = root_of([*HASHES[:299], leaf_hash(b"another")])
    lie = sign_checkpoint(Checkpoint(LOG.name, 300, other), LOG.name, key_of("log"))
    fork = Fork(V["checkpoints"]["300"]["signed"].encode(), lie, other, ())
    a, b = verify_fork(fork, LOG)
    assert a.size == b.size
    assert b64encode(a.root) != b64encode(b.root)
