"""Evidence of equivocation: two signed checkpoints of one log that cannot both be true.

A failed consistency proof proves nothing, as the prover may be at fault. Evidence convinces anyone with the log's
public key alone: either two roots at one size, or a VALID proof that the larger tree has, at the smaller size, another
root than the one that was signed.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import msgspec
import rfc8785

from gateway.errors import LocalError, ProofError
from gateway.tlog.checkpoint import Checkpoint, open_checkpoint
from gateway.tlog.merkle import verify_consistency
from gateway.tlog.note import MAX_NOTE_BYTES, VerifierKey
from gateway.tlog.text import decode_hash, encode_base64, encodes
from gateway.tlog.tiles import TileReader, consistency_from_tiles, root_from_tiles
from gateway.tlog.witness import MAX_PROOF_HASHES

MAX_FORK_BYTES = 300 * 1024  # two of the largest notes, and what JSON adds
_CODE = "fork"


@dataclass(frozen=True, slots=True)
class Fork:
    """Evidence, as it is stored and flooded."""

    a: bytes
    """Signed checkpoint note of the smaller (or equal) size."""
    b: bytes
    """Signed checkpoint note of the larger (or equal) size."""
    alt_root: bytes
    """Root at the size of `a` of the tree that `b` continues; for equal sizes the root of `b`.

    Given outright, because for a size that is a power of two it is not in the proof.
    """
    proof: tuple[bytes, ...]
    """Consistency proof from (size of a, alt_root) to (size, root) of b; empty for equal sizes."""

    def encode(self) -> bytes:
        """RFC 8785 JSON: the notes as text, hashes in padded base64.

        Raises:
            LocalError: `fork`, a note is no text, or all of it is larger than evidence may be.
        """
        try:
            members: dict[str, str | list[str]] = {
                "a": self.a.decode(),
                "alt_root_b64": encode_base64(self.alt_root),
                "b": self.b.decode(),
                "proof_b64": [encode_base64(digest) for digest in self.proof],
            }
        except UnicodeDecodeError:
            raise LocalError(_CODE, "a note of evidence is not text") from None
        data = rfc8785.dumps(members)
        if len(data) > MAX_FORK_BYTES:
            raise LocalError(_CODE, f"evidence has at most {MAX_FORK_BYTES} bytes")
        return data


def fork_from_tiles(
    reader: TileReader, a: bytes, size: int, root: bytes, b: bytes, b_size: int
) -> Fork | None:
    """Evidence against whoever signed `a`, by the tiles of the tree that `b` signed.

    Args:
        reader: tiles that have the root of `b`, which the caller knows.
        a: note of the smaller (or equal) size. size, root: what it says.
        b: note of the larger size. b_size: what it says.

    Returns:
        None if the tree has the root of `a` at its size: the one continues the other.

    Raises:
        ProofError: `tile_length`, `size_range`, the tiles do not reach so far.
    """
    alt_root = root_from_tiles(reader, size)
    if alt_root == root:
        return None
    return Fork(a, b, alt_root, tuple(consistency_from_tiles(reader, size, b_size)))


class _Form(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    a: str
    alt_root_b64: str
    b: str
    proof_b64: list[str]


def parse_fork(data: bytes) -> Fork:
    """Read evidence from JSON, in whatever order and spacing; shows nothing until `verify_fork` has checked it.

    Args:
        data: at most 300 KiB.

    Raises:
        ProofError: `fork`.
    """
    if len(data) > MAX_FORK_BYTES:
        raise ProofError(_CODE, f"evidence has at most {MAX_FORK_BYTES} bytes")
    try:
        form = msgspec.json.decode(data, type=_Form)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ProofError(
            _CODE, "evidence is JSON with the members a, alt_root_b64, b and proof_b64"
        ) from None
    if len(form.proof_b64) > MAX_PROOF_HASHES:
        raise ProofError(_CODE, f"a proof has at most {MAX_PROOF_HASHES} hashes")
    if not encodes(form.a + form.b):
        raise ProofError(_CODE, "a note of evidence is not text")
    a, b = form.a.encode(), form.b.encode()
    if max(len(a), len(b)) > MAX_NOTE_BYTES:
        raise ProofError(_CODE, f"a note has at most {MAX_NOTE_BYTES} bytes")
    proof = tuple(decode_hash(text, _CODE) for text in form.proof_b64)
    return Fork(a, b, decode_hash(form.alt_root_b64, _CODE), proof)


def fork_id(fork: Fork) -> bytes:
    """SHA-256 of the evidence as it is encoded: its name among peers.

    Returns:
        32 bytes.

    Raises:
        LocalError: `fork`.
    """
    return sha256(fork.encode()).digest()


def verify_fork(fork: Fork, *vkeys: VerifierKey) -> tuple[Checkpoint, Checkpoint]:
    """Check evidence; it may come from anyone.

    Args:
        fork: the evidence.
        vkeys: keys of the accused log.

    Returns:
        The two checkpoints, the smaller first.

    Raises:
        ProofError: `fork`, it shows no contradiction; else as `open_checkpoint` and `verify_consistency`.
        SignatureError: a signature is not the log's, so nothing is shown.
    """
    a, b = open_checkpoint(fork.a, *vkeys), open_checkpoint(fork.b, *vkeys)
    if a.origin != b.origin or a.size > b.size:
        raise ProofError("fork", "two checkpoints are not of one log, the smaller first")
    if fork.alt_root == a.root:
        raise ProofError("fork", "two checkpoints of one log agree")
    verify_consistency(a.size, b.size, fork.proof, fork.alt_root, b.root)
    return a, b
