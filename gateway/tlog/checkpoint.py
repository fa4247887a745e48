"""Checkpoints and their cosignatures (C2SP tlog-checkpoint v1.0.0, tlog-cosignature v1.0.1).

A checkpoint says: this log had this size and this root. Whoever signs two that cannot both be true is caught with
them, so nothing here signs what it has not encoded itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256

from gateway.errors import LocalError, ProofError, SignatureError
from gateway.keys.sign import SigningKey
from gateway.tlog.merkle import EMPTY_ROOT
from gateway.tlog.note import (
    COSIGNATURE,
    Note,
    Signature,
    VerifierKey,
    cosign_note,
    join_note,
    parse_note,
    parse_signature_line,
    sign_note,
    verify_note,
    verify_signature,
)
from gateway.tlog.text import HASH_BYTES, MAX_SIZE, decode_decimal, decode_hash, encode_base64, encodes

MAX_ORIGIN_BYTES = 128  # ours: the first line must fit every witness's limits
_CONTROL = re.compile("[\x00-\x1f]")
MAX_EXTENSIONS = 16  # ours; extension lines are not recommended, and we write none


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log at one size."""

    origin: str
    """Names the log; a URL without scheme, and the key name of its signer."""
    size: int
    """Leaves, 0 to 2^63 - 1."""
    root: bytes
    """32 bytes."""
    extensions: tuple[str, ...] = ()
    """Further lines, without line ends; opaque, none of ours."""

    def encode(self) -> str:
        """The note text.

        Raises:
            LocalError: `checkpoint`, a field is not what a checkpoint may hold.
        """
        if problem := _problem(self):
            raise LocalError("checkpoint", problem)
        lines = (self.origin, str(self.size), encode_base64(self.root), *self.extensions)
        return "".join(line + "\n" for line in lines)


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the text of a checkpoint note.

    Raises:
        ProofError: `checkpoint`, not a canonical checkpoint.
    """
    lines = text.split("\n")
    if len(lines) < 4 or lines.pop():
        raise ProofError("checkpoint", "a checkpoint has three lines at least, each with its line end")
    origin, size_text, root_text, *extensions = lines
    checkpoint = Checkpoint(
        origin,
        decode_decimal(size_text, "checkpoint"),
        decode_hash(root_text, "checkpoint"),
        tuple(extensions),
    )
    if problem := _problem(checkpoint):
        raise ProofError("checkpoint", problem)
    return checkpoint


def origin_hash(origin: str) -> str:
    """Lower-case hex of SHA-256(origin): a log's place below a witness' or mirror's monitoring prefix."""
    return sha256(origin.encode()).hexdigest()


def sign_checkpoint(checkpoint: Checkpoint, name: str, *keys: SigningKey) -> bytes:
    """Sign with the log's key; with both of them while it is being rotated.

    The caller must have made (size, root) durable first: from the signature on, only this root may ever be signed
    at this size (docs/adr/0003).

    Args:
        checkpoint: what to sign.
        name: key name; the origin, unless the log's key has another.
        keys: of the log, type 0x01, at least one; a line for each, in this order.

    Returns:
        The whole signed note.

    Raises:
        LocalError: `checkpoint`, `note_name`.
    """
    text = checkpoint.encode()
    return join_note(text, [sign_note(text, name, key) for key in keys])


def open_checkpoint(note: bytes, *vkeys: VerifierKey) -> Checkpoint:
    """Parse and verify a signed checkpoint of one log.

    Args:
        note: the whole signed note.
        vkeys: keys of that log; more than one while its key is being rotated. The origin must be the name of a
            key that signed (tlog-policy, Defining a log).

    Raises:
        ProofError: `note_size`, `note_format`, `checkpoint`, `checkpoint_origin`.
        SignatureError: `note_signature`, `note_unknown`.
    """
    return open_parsed(parse_note(note), *vkeys)


def open_parsed(note: Note, *vkeys: VerifierKey) -> Checkpoint:
    """`open_checkpoint` of a note that is already taken apart."""
    signers = verify_note(note, vkeys)
    checkpoint = parse_checkpoint(note.text)
    if checkpoint.origin not in {signer.name for signer in signers}:
        raise ProofError("checkpoint_origin", "a checkpoint is of another log than its signer's")
    return checkpoint


def cosign(checkpoint: Checkpoint, name: str, key: SigningKey, time_s: int) -> str:
    """Cosign as a witness: "at this time this is the largest consistent head of this log that I have seen".

    Args:
        checkpoint: whose consistency with all earlier ones of its origin has been verified and recorded.
        name: the witness' key name. Not covered by the signature, so the key belongs to this name alone.
        key: the witness key, type 0x04, never the log's.
        time_s: seconds since 1970, positive.

    Returns:
        The signature line with its line end.

    Raises:
        LocalError: `checkpoint`, `note_name`, `cosignature_time`.
    """
    return cosign_note(checkpoint.encode(), name, key, time_s)


def verify_cosignature(checkpoint: Checkpoint, line: str | Signature, vkey: VerifierKey) -> int:
    """Verify a witness' line over a checkpoint.

    Args:
        checkpoint: what was submitted to the witness.
        line: its answer, one signature line with its line end.
        vkey: the witness' key, type 0x04.

    Returns:
        The time of the cosignature, seconds since 1970, positive.

    Raises:
        ProofError: `note_format`.
        SignatureError: `note_signature`, also for another key's line or a time of zero.
    """
    signature = parse_signature_line(line) if isinstance(line, str) else line
    if vkey.sig_type != COSIGNATURE:
        raise SignatureError("note_signature", "a witness key is not a key for cosignatures")
    time_s = verify_signature(checkpoint.encode(), signature, vkey)
    if time_s == 0:
        raise SignatureError("note_signature", "a witness' cosignature has no time")
    return time_s


def _problem(checkpoint: Checkpoint) -> str:
    origin = checkpoint.origin
    lines = (origin, *checkpoint.extensions)
    if not all(encodes(line) for line in lines):
        return "a line of a checkpoint is not text"
    if not 0 < len(origin.encode()) <= MAX_ORIGIN_BYTES:
        return f"an origin has 1 to {MAX_ORIGIN_BYTES} bytes"
    if not 0 <= checkpoint.size <= MAX_SIZE:
        return "a tree size is out of range"
    if len(checkpoint.root) != HASH_BYTES:
        return f"a root has {HASH_BYTES} bytes"
    if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
        return "the root of an empty tree is the hash of nothing"
    if len(checkpoint.extensions) > MAX_EXTENSIONS:
        return f"a checkpoint has at most {MAX_EXTENSIONS} extension lines"
    if not all(lines) or _CONTROL.search("".join(lines)) is not None:
        return "a line of a checkpoint is empty or has a control character"
    return ""
