"""The closed set of entry types, builders for those written today, and the check of a body that was read.

Guards the rule that nothing personal reaches the ledger: a builder takes numbers, hashes, random ids and single words
of a fixed alphabet, never free text; whatever concerns a person comes in as a salted commitment. A type from outside
the set is kept, folded as nothing, and flagged. Source: docs/store-format.md, "Entries", which has those that are
written today.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from typing import Literal

from gateway.entries.envelope import MAX_INTEGER, Body, Json, b64u, canonical, unb64u
from gateway.errors import LocalError, WireError
from gateway.keys.did import parse_did_key

TYPES = frozenset(
    {
        "id.key",
        "cred.issue",
        "cred.revoke",
        "policy.set",
        "consent.grant",
        "consent.revoke",
        "batch",
        "session",
        "metric",
        "access",
        "erase",
        "rectify",
        "ai.model",
        "ai.infer",
        "gov.propose",
        "gov.vote",
        "insight",
        "attest",
        "log.adopt",
    }
)
UNKNOWN = "unknown"
"""What `check_body` calls a type that is not in `TYPES`."""

HASH_BYTES = 32
OBJECT_BYTES = 16  # random ids, 128 bits
SALT_BYTES = 32  # of a commitment: docs/store-format.md, "Entries"

SESSION_EVENTS = ("open", "drain", "close")
DEVICE_EVENTS = ("add", "rotate", "revoke")

_WORD = re.compile(r"[a-z][a-z0-9_.]{0,31}", re.ASCII)
_TYPE = re.compile(r"[a-z0-9_.]{1,64}", re.ASCII)

SessionEvent = Literal["open", "drain", "close"]
DeviceEvent = Literal["add", "rotate", "revoke"]
_Check = Callable[[Json], bool]


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


def check_body(body: Body) -> str:
    """Check a body that was read from a log.

    The types with a builder here must have exactly its fields; of the other known types the common fields are
    checked, and of an unknown type nothing but its name.

    Returns:
        The type, or `UNKNOWN`: keep it, fold it as nothing, flag it.

    Raises:
        WireError: `entry_body`; the message names the field, never its value.
    """
    kind = body.get("type")
    if not isinstance(kind, str) or _TYPE.fullmatch(kind) is None:
        raise WireError("entry_body", "a body has no type")
    if kind not in TYPES:
        return UNKNOWN
    fields = _FIELDS.get(kind)
    if fields is None:
        required = _COMMON
        optional: dict[str, _Check] = {} if "object" not in body else _OBJECT
    else:
        required, optional = _COMMON | fields, {}
        if unexpected := set(body) - set(required):
            # a field from outside the list could carry anything, also what must not be on a log
            raise WireError("entry_body", f"a body of type {kind} has {len(unexpected)} field(s) too many")
    for name, check in (required | optional).items():
        if name not in body:
            raise WireError("entry_body", f"a body of type {kind} lacks {name}")
        if not check(body[name]):
            raise WireError("entry_body", f"a body of type {kind} has no proper {name}")
    if "seq" in body and "prev" in body and (body["seq"] == 0) != (body["prev"] is None):
        raise WireError("entry_body", f"a body of type {kind} has a prev exactly when its seq is above 0")
    return kind


def _built(body: Body) -> Body:
    try:
        check_body(body)
    except WireError as error:
        raise LocalError("entry_body", error.message) from None
    return body


def _count(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_INTEGER


def _from_one(value: Json) -> bool:
    return _count(value) and value != 0


def _bytes(length: int) -> _Check:
    def check(value: Json) -> bool:
        try:
            return isinstance(value, str) and len(unb64u(value)) == length
        except WireError:
            return False

    return check


def _hash_or_none(value: Json) -> bool:
    return value is None or _bytes(HASH_BYTES)(value)


def _did(value: Json) -> bool:
    try:
        return isinstance(value, str) and len(parse_did_key(value)) > 0
    except WireError:
        return False


def _word(value: Json) -> bool:
    return isinstance(value, str) and _WORD.fullmatch(value) is not None


def _truth(value: Json) -> bool:
    return isinstance(value, bool)


def _one_of(words: tuple[str, ...]) -> _Check:
    return lambda value: isinstance(value, str) and value in words


_COMMON: dict[str, _Check] = {"type": _word, "gateway": _did, "at_ms": _count}
_OBJECT: dict[str, _Check] = {"object": _bytes(OBJECT_BYTES), "seq": _count, "prev": _hash_or_none}
_COMMIT: dict[str, _Check] = {"commit": _bytes(HASH_BYTES)}
_FIELDS: dict[str, dict[str, _Check]] = {
    "batch": {
        "batch": _from_one,
        "root": _bytes(HASH_BYTES),
        "parts": _count,
        "frames": _count,
        "samples": _count,
        "refused": _count,
        "opened_s": _count,
        "sealed_s": _count,
    },
    "session": _OBJECT | _COMMIT | {"event": _one_of(SESSION_EVENTS)},
    "access": _COMMIT | {"op": _word, "allowed": _truth},
    "log.adopt": {"size": _count, "root": _bytes(HASH_BYTES), "reason": _word},
    "id.key": _OBJECT | _COMMIT | {"event": _one_of(DEVICE_EVENTS)},
}
