"""Offline proofs (C2SP tlog-proof): an index, a path and a cosigned checkpoint in one small file, `.tlog-proof`.

Whoever holds the leaf's bytes and the log's public key can verify it without asking anyone.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.errors import LocalError, ProofError
from gateway.tlog.checkpoint import Checkpoint, open_parsed
from gateway.tlog.merkle import MAX_PATH, leaf_hash, verify_inclusion
from gateway.tlog.note import MAX_NOTE_BYTES, VerifierKey, parse_note
from gateway.tlog.policy import Policy, PolicyReport
from gateway.tlog.text import (
    HASH_BYTES,
    MAX_SIZE,
    decode_base64,
    decode_decimal,
    decode_hash,
    encode_base64,
)

HEADER = "c2sp.org/tlog-proof@v1\n"
MAX_EXTRA_BYTES = 64 * 1024  # ours; the specification has no limit
MAX_PROOF_BYTES = MAX_NOTE_BYTES + 2 * MAX_EXTRA_BYTES  # base64 of the extra data, the path and the note
_CODE = "tlog_proof"


@dataclass(frozen=True, slots=True)
class TlogProof:
    """A proof file, nothing verified yet."""

    index: int
    """Of the leaf, from 0."""
    path: tuple[bytes, ...]
    """Inclusion path of 32-byte hashes, the leaf's sibling first."""
    note: bytes
    """The cosigned checkpoint, verbatim."""
    extra: bytes = b""
    """NOT authenticated: whoever uses it must check it against something that is."""

    def encode(self) -> bytes:
        """The file.

        Raises:
            LocalError: `tlog_proof`, out of the limits.
        """
        if (
            not 0 <= self.index <= MAX_SIZE
            or len(self.path) > MAX_PATH
            or len(self.extra) > MAX_EXTRA_BYTES
            or any(len(digest) != HASH_BYTES for digest in self.path)
        ):
            raise LocalError(_CODE, "an index, a path or extra data is out of range")
        extra = f"extra {encode_base64(self.extra)}\n" if self.extra else ""
        path = "".join(encode_base64(digest) + "\n" for digest in self.path)
        return f"{HEADER}{extra}index {self.index}\n{path}\n".encode() + self.note


@dataclass(frozen=True, slots=True)
class VerifiedProof:
    """What a proof has proved."""

    index: int
    leaf: bytes
    """Leaf hash, 32 bytes."""
    checkpoint: Checkpoint
    report: PolicyReport | None
    """Of the policy, if one was given; it is satisfied."""


def parse_tlog_proof(data: bytes | str) -> TlogProof:
    """Read a proof file.

    Raises:
        ProofError: `tlog_proof`, `note_size`, `note_format`.
    """
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if len(raw) > MAX_PROOF_BYTES:
        raise ProofError(_CODE, f"a proof has at most {MAX_PROOF_BYTES} bytes")
    head, blank, note = raw.partition(b"\n\n")
    try:
        lines = (head + b"\n").decode("ascii")
    except UnicodeDecodeError:
        raise ProofError(_CODE, "the head of a proof is not ASCII") from None
    if not blank or not lines.startswith(HEADER):
        raise ProofError(_CODE, "not a proof of a known version")
    rest = lines[len(HEADER) : -1].split("\n")
    extra = b""
    if rest[0].startswith("extra "):
        extra = decode_base64(rest.pop(0)[len("extra ") :], _CODE)
    if (
        not rest
        or not rest[0].startswith("index ")
        or len(rest) > 1 + MAX_PATH
        or len(extra) > MAX_EXTRA_BYTES
    ):
        raise ProofError(_CODE, "a proof has no index, or a path or extra data out of range")
    index = decode_decimal(rest[0][len("index ") :], _CODE)
    parse_note(note)
    proof = TlogProof(index, tuple(decode_hash(line, _CODE) for line in rest[1:]), note, extra)
    if proof.encode() != raw:
        raise ProofError(_CODE, "a proof is not written canonically")
    return proof


def verify_tlog_proof(
    proof_text: bytes | str, leaf_data: bytes, log_vkey: VerifierKey, policy: Policy | None = None
) -> VerifiedProof:
    """Verify a proof file: log signature and origin, then the quorum, then the inclusion.

    Args:
        proof_text: the file.
        leaf_data: bytes of the leaf, before hashing.
        log_vkey: the log's key; also with a policy, as the proof must be of this log and not of any listed one.
        policy: whose quorum must have cosigned; None asks for no witness.

    Raises:
        ProofError: `tlog_proof`, `quorum`, `inclusion` and those of notes, checkpoints and paths.
        SignatureError: `note_signature`, `note_unknown`.
    """
    proof = parse_tlog_proof(proof_text)
    note = parse_note(proof.note)
    checkpoint = open_parsed(note, log_vkey)
    report = None
    if policy is not None:
        report = policy.report(note)
        if not report.satisfied:
            raise ProofError(
                "quorum",
                "too few of the policy's witnesses cosigned the checkpoint, or it does not list the log",
                "Fetch a newer proof, or name a policy that fits.",
            )
    leaf = leaf_hash(leaf_data)
    verify_inclusion(leaf, proof.index, checkpoint.size, proof.path, checkpoint.root)
    return VerifiedProof(proof.index, leaf, checkpoint, report)
