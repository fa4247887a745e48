"""Checkpoints with the cosignatures that were gathered for them: put together, stripped, counted.

Guards the rule that what is passed on carries nothing that was not verified: of each witness its newest good line, and
of the log its own (C2SP tlog-cosignature v1.0.1, tlog-witness v1.0.0).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.errors import ProofError, SignatureError
from gateway.tlog.checkpoint import parse_checkpoint
from gateway.tlog.fork import Fork
from gateway.tlog.note import (
    COSIGNATURE,
    MAX_SIGNATURES,
    TIMESTAMP_BYTES,
    Note,
    Signature,
    VerifierKey,
    parse_note,
    parse_signature_line,
    verify_signature,
)


def with_cosignatures(note: bytes, lines: Iterable[str], vkeys: Sequence[VerifierKey]) -> bytes:
    """Put cosignatures to a signed checkpoint.

    Args:
        note: a checkpoint with the signatures of its log, perhaps with cosignatures; the log's are taken as they are.
        lines: more signature lines, of anybody; what does not parse or verify is left out.
        vkeys: the witnesses' keys (type 0x04), in the order in which their lines are wanted.

    Returns:
        The log's lines as they were, then of each key its newest line that verifies, and no other; at most 64.

    Raises:
        ProofError: `note_size`, `note_format`, `checkpoint`.
        SignatureError: `note_unknown`, no line is the log's.
    """
    parsed = parse_note(note)
    origin = parse_checkpoint(parsed.text).origin
    known = {(vkey.name, vkey.key_id) for vkey in vkeys if vkey.sig_type == COSIGNATURE}
    kept = [
        signature
        for signature in parsed.signatures
        if signature.name == origin and (signature.name, signature.key_id) not in known
    ]
    if not kept:
        raise SignatureError("note_unknown", "a checkpoint has no signature of its log")
    offered = [*parsed.signatures, *_parsed(lines)]
    for vkey in vkeys:
        newest = _newest(parsed.text, offered, vkey)
        if newest is not None and newest not in kept:
            kept.append(newest)
    return Note(parsed.text, tuple(kept[:MAX_SIGNATURES])).encode()


def bare(note: bytes, log_vkeys: Sequence[VerifierKey]) -> bytes:
    """Strip a signed checkpoint of everything but the log's signatures, each key's first.

    Args:
        note: verified by `open_checkpoint` with the same keys.
        log_vkeys: keys of the log.

    Raises:
        ProofError: `note_size`, `note_format`.
        SignatureError: `note_unknown`, none of these keys signed.
    """
    parsed = parse_note(note)
    known = {(vkey.name, vkey.key_id) for vkey in log_vkeys}
    first: dict[tuple[str, bytes], Signature] = {}
    for signature in parsed.signatures:
        if (signature.name, signature.key_id) in known:
            first.setdefault((signature.name, signature.key_id), signature)
    if not first:
        raise SignatureError("note_unknown", "a checkpoint has no signature of its log")
    return Note(parsed.text, tuple(first.values())).encode()


def bare_fork(fork: Fork, log_vkeys: Sequence[VerifierKey]) -> Fork:
    """Strip evidence of everything but the log's signatures, so that it stays small and anyone checks the same.

    Args:
        fork: its two notes are as `bare` takes them.
        log_vkeys: keys of the log.

    Raises:
        ProofError, SignatureError: as `bare`.
    """
    return Fork(bare(fork.a, log_vkeys), bare(fork.b, log_vkeys), fork.alt_root, fork.proof)


def cosigners(note: bytes, vkeys: Sequence[VerifierKey]) -> list[VerifierKey]:
    """Which witnesses cosigned a checkpoint; lines that do not verify count for nothing.

    Returns:
        Those of `vkeys` with a line that verifies, in their order, each once.

    Raises:
        ProofError: `note_size`, `note_format`.
    """
    parsed = parse_note(note)
    return [
        vkey for vkey in dict.fromkeys(vkeys) if _newest(parsed.text, parsed.signatures, vkey) is not None
    ]


def _parsed(lines: Iterable[str]) -> list[Signature]:
    signatures = []
    for line in lines:
        try:
            signatures.append(parse_signature_line(line))
        except ProofError:
            continue  # of a witness that sent something else; it has no cosignature then
    return signatures


def _newest(text: str, offered: Iterable[Signature], vkey: VerifierKey) -> Signature | None:
    """The line of this key with the latest time that verifies."""
    if vkey.sig_type != COSIGNATURE:
        return None
    own = {
        signature for signature in offered if (signature.name, signature.key_id) == (vkey.name, vkey.key_id)
    }
    for signature in sorted(own, key=lambda line: line.blob[:TIMESTAMP_BYTES], reverse=True):
        try:
            if verify_signature(text, signature, vkey) > 0:
                return signature
        except SignatureError:
            continue
    return None
