"""Evidence as JSON: one way to write it, many to read it, and a name that follows from what it says."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest
from rosters import key, log_key

from gateway.errors import LocalError, ProofError
from gateway.tlog.checkpoint import Checkpoint, sign_checkpoint
from gateway.tlog.fork import MAX_FORK_BYTES, Fork, fork_from_tiles, fork_id, parse_fork, verify_fork
from gateway.tlog.merkle import consistency_path, leaf_hash, root_of
from gateway.tlog.text import encode_base64
from gateway.tlog.tiles import tile_updates

LOG = log_key("a")


def note(size: int, root: bytes) -> bytes:
    return sign_checkpoint(Checkpoint(LOG.name, size, root), LOG.name, key("a log 1"))


def trees(same: int, size: int) -> tuple[list[bytes], list[bytes]]:
    """Two trees of one size that differ from leaf `same` on."""
    one = [leaf_hash(b"%d" % n) for n in range(size)]
    return one, [*one[:same], *(leaf_hash(b"other %d" % n) for n in range(same, size))]


def forked(small: int, large: int) -> Fork:
    one, other = trees(small - 1, large)
    proof = tuple(consistency_path(small, other)) if small < large else ()
    return Fork(note(small, root_of(one[:small])), note(large, root_of(other)), root_of(other[:small]), proof)


@pytest.mark.parametrize(("small", "large"), [(1, 1), (1, 2), (2, 2), (7, 8), (8, 9), (64, 300), (255, 257)])
def test_evidence_comes_back_and_convinces(small: int, large: int) -> None:
    fork = forked(small, large)
    read = parse_fork(fork.encode())
    assert read == fork
    a, b = verify_fork(read, LOG)
    assert (a.size, b.size) == (small, large)
    assert fork_id(read) == sha256(fork.encode()).digest()


class Rows:
    """Tiles of a whole tree."""

    def __init__(self, leaves: list[bytes]) -> None:
        self._rows = {(row.level, row.n): row.data for row in tile_updates(0, leaves, {})}

    def hash_tile(self, level: int, n: int, width: int) -> bytes:
        return self._rows[level, n][: width * 32]


@pytest.mark.parametrize(("small", "large"), [(1, 1), (1, 2), (7, 8), (64, 300), (255, 257), (256, 257)])
def test_tiles_give_the_evidence_and_none_against_who_told_the_same(small: int, large: int) -> None:
    one, other = trees(small - 1, large)
    wanted = forked(small, large)
    root = root_of(one[:small])
    assert fork_from_tiles(Rows(other), wanted.a, small, root, wanted.b, large) == wanted
    assert fork_from_tiles(Rows(one), wanted.a, small, root, wanted.b, large) is None


def test_the_layout() -> None:
    fork = forked(7, 8)
    plain = {
        "a": fork.a.decode(),
        "alt_root_b64": encode_base64(fork.alt_root),
        "b": fork.b.decode(),
        "proof_b64": [encode_base64(digest) for digest in fork.proof],
    }
    assert fork.encode() == json.dumps(plain, separators=(",", ":"), ensure_ascii=False).encode()


def test_any_spelling_is_the_same_evidence() -> None:
    fork = forked(7, 8)
    members = json.loads(fork.encode())
    for text in (
        json.dumps(members, indent=4),
        json.dumps(dict(reversed(members.items()))),
        json.dumps(members, ensure_ascii=True).replace("clinic", "\\u0063linic"),
    ):
        assert parse_fork(text.encode()) == fork
        assert fork_id(parse_fork(text.encode())) == fork_id(fork)


GOOD: dict[str, Any] = json.loads(forked(7, 8).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        json.dumps(GOOD | {"more": 1}).encode(),
        *(json.dumps({k: v for k, v in GOOD.items() if k != name}).encode() for name in GOOD),
        *(json.dumps(GOOD | {name: None}).encode() for name in GOOD),
        json.dumps(GOOD | {"alt_root_b64": encode_base64(bytes(31))}).encode(),
        json.dumps(GOOD | {"alt_root_b64": GOOD["alt_root_b64"].rstrip("=")}).encode(),
        json.dumps(GOOD | {"proof_b64": [encode_base64(bytes(33))]}).encode(),
        json.dumps(GOOD | {"proof_b64": [1]}).encode(),
        json.dumps(GOOD | {"proof_b64": [encode_base64(bytes(32))] * 64}).encode(),
        json.dumps(GOOD | {"a": "\ud800"}).encode(),
        json.dumps(GOOD | {"a": "x" * 140_000}).encode(),
        json.dumps(GOOD).encode() + b" " * MAX_FORK_BYTES,
    ],
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ProofError) as caught:
        parse_fork(data)
    assert caught.value.code == "fork"


def test_what_was_read_can_be_written() -> None:
    largest = GOOD | {"a": "\n" * 131_072, "b": "x" * 30_000, "proof_b64": [encode_base64(bytes(32))] * 63}
    data = json.dumps(largest, separators=(",", ":")).encode()
    assert len(data) < MAX_FORK_BYTES
    assert parse_fork(parse_fork(data).encode()) == parse_fork(data)


def test_a_note_that_is_no_text_is_not_written() -> None:
    with pytest.raises(LocalError) as caught:
        Fork(b"\xff", b"", bytes(32), ()).encode()
    assert caught.value.code == "fork"


def test_another_root_is_another_name() -> None:
    fork = forked(7, 8)
    assert fork_id(Fork(fork.b, fork.a, fork.alt_root, fork.proof)) != fork_id(fork)
