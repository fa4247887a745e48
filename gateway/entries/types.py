"""Builders of the entries that are written today: a closed set.

Guards the rule that nothing personal reaches the ledger: a builder takes numbers, hashes, random ids, keys and single
words of a fixed alphabet, never free text; whatever concerns a person comes in as a salted commitment. A type from
outside the set is kept, folded as nothing, and flagged. Source: docs/store-format.md, "Entries".
"""

from __future__ import annotations

from hashlib import sha256
from typing import Literal

from gateway.entries.envelope import Body, b64u, canonical
from gateway.entries.rotation import Role
from gateway.entries.rules import (
    DEVICE_EVENTS,
    HASH_BYTES,
    OBJECT_BYTES,
    SESSION_EVENTS,
    TYPES,
    UNKNOWN,
    check_body,
)
from gateway.errors import LocalError, WireError

# who writes entries looks here for all of it
__all__ = [
    "TYPES",
    "UNKNOWN",
    "HASH_BYTES",
    "OBJECT_BYTES",
    "SALT_BYTES",
    "SESSION_EVENTS",
    "DEVICE_EVENTS",
    "SessionEvent",
    "DeviceEvent",
    "check_body",
    "batch_body",
    "session_body",
    "access_body",
    "adopt_body",
    "generation_body",
    "restore_body",
    "rotate_body",
    "roster_body",
    "device_body",
    "commitment",
]

SALT_BYTES = 32  # of a commitment: docs/store-format.md, "Entries"

SessionEvent = Literal["open", "drain", "close"]
DeviceEvent = Literal["add", "rotate", "revoke"]


def batch_body(
    gateway: str,
    at_ms: int,
    batch: int,
    root: bytes,
    parts: int,
    frames: int,
    samples: int,
    refused: int,
    opened_s: int,
    sealed_s: int,
) -> Body:
    """A batch: one root over all that was sealed in a cycle, with sums over all sessions.

    Args:
        gateway: DID.
        at_ms: UTC.
        batch: its number, from 1.
        root: batch root, 32 bytes.
        parts: in the batch.
        frames: stored in it.
        samples: stored in it.
        refused: frames refused while it was gathered, whatever the reason; samples are counted by stream, not here.
        opened_s: UTC second of its first arrival; no finer, so that an entry does not time a person's movements.
        sealed_s: UTC second of the seal.

    Raises:
        LocalError: `entry_body`.
    """
    return _built(
        {
            "type": "batch",
            "gateway": gateway,
            "at_ms": at_ms,
            "batch": batch,
            "root": b64u(root),
            "parts": parts,
            "frames": frames,
            "samples": samples,
            "refused": refused,
            "opened_s": opened_s,
            "sealed_s": sealed_s,
        }
    )


def session_body(
    gateway: str,
    at_ms: int,
    object: bytes,
    seq: int,
    prev: bytes | None,
    commit: bytes,
    event: SessionEvent,
) -> Body:
    """A session opens, drains or closes.

    Args:
        gateway: DID.
        at_ms: UTC.
        object: 16 random bytes that stand for the session on the log; not its id.
        seq: 0 for the object's first entry, then one more each.
        prev: `object_hash` of the object's previous body, None exactly when `seq` is 0.
        commit: salted commitment to what the session is, 32 bytes.
        event: `open`, `drain` or `close`.

    Raises:
        LocalError: `entry_body`.
    """
    return _built(
        {
            "type": "session",
            "gateway": gateway,
            "at_ms": at_ms,
            "object": b64u(object),
            "seq": seq,
            "prev": None if prev is None else b64u(prev),
            "commit": b64u(commit),
            "event": event,
        }
    )


def access_body(gateway: str, at_ms: int, commit: bytes, op: str, allowed: bool) -> Body:
    """Somebody asked for data, and was given it or not; durable before the first byte leaves.

    Args:
        gateway: DID.
        at_ms: UTC.
        commit: salted commitment to who asked for what of whom and why, 32 bytes.
        op: what was asked for, a word such as `export` or `view`.
        allowed: the decision.

    Raises:
        LocalError: `entry_body`.
    """
    return _built(
        {
            "type": "access",
            "gateway": gateway,
            "at_ms": at_ms,
            "commit": b64u(commit),
            "op": op,
            "allowed": allowed,
        }
    )


def adopt_body(gateway: str, at_ms: int, size: int, root: bytes, reason: str) -> Body:
    """An operator took a store over that was made elsewhere (`vestibule ledger adopt`).

    Args:
        gateway: DID.
        at_ms: UTC.
        size: of the log at adoption, this entry not counted.
        root: at that size, 32 bytes.
        reason: a word such as `disk`, `machine` or `copied`.

    Raises:
        LocalError: `entry_body`.
    """
    return _built(
        {
            "type": "log.adopt",
            "gateway": gateway,
            "at_ms": at_ms,
            "size": size,
            "root": b64u(root),
            "reason": reason,
        }
    )


def generation_body(
    gateway: str, at_ms: int, old_origin: str, size: int, root: bytes, note: str, reason: str
) -> Body:
    """The first entry of a log that takes another's place, since that one cannot go on.

    Args:
        gateway: DID.
        at_ms: UTC.
        old_origin: name of the log that ended.
        size: of its newest known head.
        root: of that head, 32 bytes.
        note: the signed checkpoint of that head, with cosignatures where there are any; empty where none is known.
        reason: a word such as `forked`, `lost` or `compromised`.

    Raises:
        LocalError: `entry_body`.
    """
    return _built(
        {
            "type": "log.generation",
            "gateway": gateway,
            "at_ms": at_ms,
            "old_origin": old_origin,
            "size": size,
            "root": b64u(root),
            "note": note,
            "reason": reason,
        }
    )


def restore_body(gateway: str, at_ms: int, first: int, size: int, root: bytes, reason: str) -> Body:
    """Entries of this log were fetched back from mirrors; what their batches held may be lost.

    Args:
        gateway: DID.
        at_ms: UTC.
        first: index of the first entry that came from a mirror.
        size: of the log afterwards, this entry not counted.
        root: at that size, 32 bytes.
        reason: a word such as `wiped` or `backup`.

    Raises:
        LocalError: `entry_body`.
    """
    return _built(
        {
            "type": "log.restore",
            "gateway": gateway,
            "at_ms": at_ms,
            "first": first,
            "size": size,
            "root": b64u(root),
            "reason": reason,
        }
    )


def rotate_body(
    gateway: str, at_ms: int, role: Role, old: str, new: str, by_old: bytes = b"", by_new: bytes = b""
) -> Body:
    """A key of the gateway takes the place of another; `rotation.rotation_bytes` is what both sign.

    Args:
        gateway: DID, as in what was signed.
        at_ms: UTC.
        role: `log`, `witness`, `entry` or `tls`.
        old: the key until now: a C2SP verifier key, for `entry` a did:key, for `tls` the unpadded base64url of the
            SHA-256 of the certificate.
        new: the key from now on, in the same form.
        by_old: signature of the old key, 64 bytes; empty for `tls`, whose keys sign nothing but handshakes.
        by_new: of the new key.

    Raises:
        LocalError: `entry_body`.
    """
    return _built(
        {
            "type": "key.rotate",
            "gateway": gateway,
            "at_ms": at_ms,
            "role": role,
            "old": old,
            "new": new,
            "by_old": b64u(by_old),
            "by_new": b64u(by_new),
        }
    )


def roster_body(gateway: str, at_ms: int, version: int, digest: bytes, document: Body) -> Body:
    """This gateway follows a version of the roster from here on.

    Args:
        gateway: DID.
        at_ms: UTC.
        version: of the roster, from 1.
        digest: SHA-256 of the JCS of what its keys signed, 32 bytes.
        document: the whole signed roster as JSON; it names gateways and whoever runs them, never a person treated.

    Raises:
        LocalError: `entry_body`.
    """
    return _built(
        {
            "type": "roster",
            "gateway": gateway,
            "at_ms": at_ms,
            "version": version,
            "hash": b64u(digest),
            "roster": document,
        }
    )


def device_body(
    gateway: str,
    at_ms: int,
    object: bytes,
    seq: int,
    prev: bytes | None,
    commit: bytes,
    event: DeviceEvent,
) -> Body:
    """A device's key was made, rotated or revoked: type `id.key`, and nothing of the device but a commitment.

    Args:
        gateway: DID.
        at_ms: UTC.
        object: 16 random bytes that stand for the device on the log.
        seq: 0 for the object's first entry, then one more each.
        prev: `object_hash` of the object's previous body, None exactly when `seq` is 0.
        commit: salted commitment to the device's name and key, 32 bytes.
        event: `add`, `rotate` or `revoke`.

    Raises:
        LocalError: `entry_body`.
    """
    return _built(
        {
            "type": "id.key",
            "gateway": gateway,
            "at_ms": at_ms,
            "object": b64u(object),
            "seq": seq,
            "prev": None if prev is None else b64u(prev),
            "commit": b64u(commit),
            "event": event,
        }
    )


def commitment(salt32: bytes, text_body: Body) -> bytes:
    """SHA-256(salt || JCS(text_body)): what stands on the log for a text that stays in the vault.

    Args:
        salt32: 32 random bytes, kept with the text under the person's key; with it goes all that links the two.
        text_body: the text.

    Returns:
        32 bytes.

    Raises:
        LocalError: `salt_length`, `entry_body`.
    """
    if len(salt32) != SALT_BYTES:
        raise LocalError("salt_length", f"the salt of a commitment has {SALT_BYTES} bytes")
    return sha256(salt32 + canonical(text_body)).digest()


def _built(body: Body) -> Body:
    try:
        check_body(body)
    except WireError as error:
        raise LocalError("entry_body", error.message) from None
    return body
