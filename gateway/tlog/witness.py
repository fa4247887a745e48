"""The request of C2SP tlog-witness v1.0.0: `add-checkpoint`, by which a log asks for a cosignature.

The order of a witness' checks and its status codes belong to the machine that answers; here is only the body.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.errors import LocalError, ProofError
from gateway.tlog.text import HASH_BYTES, MAX_SIZE, decode_decimal, decode_hash, encode_base64

MAX_PROOF_HASHES = 63  # tlog-witness
MAX_BODY_BYTES = 16 * 1024  # what the common witness implementation accepts
_CODE = "add_checkpoint"


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """Ask a witness to cosign a newer checkpoint."""

    old_size: int
    """Size that the witness cosigned last, 0 for none."""
    proof: tuple[bytes, ...]
    """Consistency proof from there, 32 bytes each; empty for 0 or for the same size."""
    note: bytes
    """The signed checkpoint; foreign cosignatures are better left out."""

    def encode(self) -> bytes:
        """The request's body.

        Raises:
            LocalError: `add_checkpoint`, out of the limits.
        """
        if (
            not 0 <= self.old_size <= MAX_SIZE
            or len(self.proof) > MAX_PROOF_HASHES
            or any(len(digest) != HASH_BYTES for digest in self.proof)
        ):
            raise LocalError(_CODE, "an old size or a consistency proof is out of range")
        lines = [f"old {self.old_size}\n", *(encode_base64(digest) + "\n" for digest in self.proof), "\n"]
        body = "".join(lines).encode() + self.note
        if len(body) > MAX_BODY_BYTES:
            raise LocalError(_CODE, f"a request to a witness has at most {MAX_BODY_BYTES} bytes")
        return body


def parse_add_checkpoint(body: bytes) -> AddCheckpoint:
    """Read the body; the note in it is neither parsed nor verified.

    Raises:
        ProofError: `add_checkpoint`.
    """
    if len(body) > MAX_BODY_BYTES:
        raise ProofError(_CODE, f"a request to a witness has at most {MAX_BODY_BYTES} bytes")
    head, blank, note = body.partition(b"\n\n")
    try:
        first, *hashes = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise ProofError(_CODE, "the head of a request to a witness is not ASCII") from None
    if not blank or not first.startswith("old ") or len(hashes) > MAX_PROOF_HASHES:
        raise ProofError(_CODE, "not a request to a witness")
    request = AddCheckpoint(
        decode_decimal(first[len("old ") :], _CODE), tuple(decode_hash(line, _CODE) for line in hashes), note
    )
    if request.encode() != body:
        raise ProofError(_CODE, "a request to a witness is not written canonically")
    return request
