"""What a body of each type must hold, and the check of one that was read from a log.

Guards the rule that a log holds nothing from outside the list: a field that is not named here could carry anything,
also what must not be on a log. Source: docs/store-format.md, "Entries".
"""

from __future__ import annotations

import re
from base64 import standard_b64encode
from collections.abc import Callable
from hashlib import sha256

from gateway.entries.envelope import MAX_INTEGER, Body, Json, canonical, unb64u
from gateway.entries.rotation import LOG, ROLES, TLS, rotated_key
from gateway.errors import LocalError, WireError
from gateway.keys.did import parse_did_key
from gateway.keys.sign import SIGNATURE_BYTES

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
        "log.generation",
        "log.restore",
        "key.rotate",
        "roster",
    }
)
UNKNOWN = "unknown"
"""What `check_body` calls a type that is not in `TYPES`."""

HASH_BYTES = 32
OBJECT_BYTES = 16  # random ids, 128 bits
MAX_ORIGIN_BYTES = 128  # as of a checkpoint
MAX_NOTE_BYTES = 40_000  # a checkpoint with 64 cosignatures has about 10,000; an entry has at most 65,535

SESSION_EVENTS = ("open", "drain", "close")
DEVICE_EVENTS = ("add", "rotate", "revoke")

_WORD = re.compile(r"[a-z][a-z0-9_.]{0,31}", re.ASCII)
_TYPE = re.compile(r"[a-z0-9_.]{1,64}", re.ASCII)

_Check = Callable[[Json], bool]


def check_body(body: Body) -> str:
    """Check a body that was read from a log.

    The types that are written today must have exactly its fields; of the other known types the common fields are
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
    if kind in _TOGETHER and not _TOGETHER[kind](body):
        raise WireError("entry_body", f"the fields of a body of type {kind} do not belong together")
    return kind


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


def _origin(value: Json) -> bool:
    return (
        isinstance(value, str)
        and 0 < len(value.encode("utf-8", "replace")) <= MAX_ORIGIN_BYTES
        and not any(character.isspace() or character < " " or character == "+" for character in value)
    )


def _note(value: Json) -> bool:
    return isinstance(value, str) and len(value.encode("utf-8", "replace")) <= MAX_NOTE_BYTES


def _text(value: Json) -> bool:
    return isinstance(value, str)


def _document(value: Json) -> bool:
    return isinstance(value, dict) and set(value) == {"roster", "sigs"} and isinstance(value["sigs"], list)


def _roster_together(body: Body) -> bool:
    """The hash is that of the roster which stands beside it; whether that is one, its own reader says."""
    document = body["roster"]
    roster = document["roster"] if isinstance(document, dict) else None
    if not isinstance(roster, dict) or roster.get("version") != body["version"]:
        return False
    try:
        digest = sha256(canonical(roster)).digest()
    except LocalError:
        return False
    return isinstance(body["hash"], str) and unb64u(body["hash"]) == digest


def _rotation_together(body: Body) -> bool:
    role, old, new = body["role"], body["old"], body["new"]
    if not (isinstance(role, str) and isinstance(old, str) and isinstance(new, str)) or old == new:
        return False
    if rotated_key(role, old) is None or rotated_key(role, new) is None:
        return False
    if role == LOG and old.partition("+")[0] != new.partition("+")[0]:
        return False  # the key's name is the log's, which a rotation keeps
    signature = _bytes(0 if role == TLS else SIGNATURE_BYTES)
    return signature(body["by_old"]) and signature(body["by_new"])


def _generation_together(body: Body) -> bool:
    note, origin, root = body["note"], body["old_origin"], body["root"]
    if not (isinstance(note, str) and isinstance(root, str)):
        return False
    text = f"{origin}\n{body['size']}\n{standard_b64encode(unb64u(root)).decode('ascii')}\n\n"
    return not note or note.startswith(text)


def _restore_together(body: Body) -> bool:
    first, size = body["first"], body["size"]
    return isinstance(first, int) and isinstance(size, int) and first < size


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
    "log.generation": {
        "old_origin": _origin,
        "size": _count,
        "root": _bytes(HASH_BYTES),
        "note": _note,
        "reason": _word,
    },
    "log.restore": {"first": _count, "size": _count, "root": _bytes(HASH_BYTES), "reason": _word},
    "key.rotate": {"role": _one_of(ROLES), "old": _text, "new": _text, "by_old": _text, "by_new": _text},
    "roster": {"version": _from_one, "hash": _bytes(HASH_BYTES), "roster": _document},
}
_TOGETHER: dict[str, Callable[[Body], bool]] = {
    "log.generation": _generation_together,
    "log.restore": _restore_together,
    "key.rotate": _rotation_together,
    "roster": _roster_together,
}
