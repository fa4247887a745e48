"""Evidence of equivocation: two signed checkpoints of one log that cannot both be true.

A failed consistency proof proves nothing, as the prover may be at fault. Evidence convinces anyone with the log's
public key alone: either two roots at one size, or a VALID proof that the larger tree has, at the smaller size, another
root than the one that was signed.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.errors import ProofError
from gateway.tlog.checkpoint import Checkpoint, open_checkpoint
from gateway.tlog.merkle import verify_consistency
from gateway.tlog.note import VerifierKey


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
