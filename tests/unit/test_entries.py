"""Entries: one encoding, the closed set of types, commitments."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rosters import cert, log_key, member, roster, signed, witness_key
from rosters import key as key_of

from gateway.entries.envelope import (
    MAX_ENTRY_BYTES,
    MAX_INTEGER,
    b64u,
    canonical,
    decode_entry,
    encode_entry,
    object_hash,
    unb64u,
    verify_entry,
)
from gateway.entries.rotation import Role, rotation_bytes, sign_rotation, verify_rotation
from gateway.entries.types import (
    TYPES,
    UNKNOWN,
    access_body,
    adopt_body,
    batch_body,
    check_body,
    commitment,
    device_body,
    generation_body,
    restore_body,
    roster_body,
    rotate_body,
    session_body,
)
from gateway.errors import LocalError, SignatureError, WireError
from gateway.keys.did import did_key
from gateway.keys.sign import SigningKey, verify
from gateway.tlog.checkpoint import Checkpoint, cosign, sign_checkpoint
from gateway.tlog.cosigned import with_cosignatures

KEY = SigningKey(bytes(range(32)))
DID = did_key(KEY.public)
AT_MS = 1_700_000_000_123
HASH = sha256(b"something").digest()
OBJECT = bytes(range(16))

OLD_LOG = log_key("a")
OLD_HEAD = Checkpoint(OLD_LOG.name, 12, HASH)
OLD_NOTE = with_cosignatures(
    sign_checkpoint(OLD_HEAD, OLD_LOG.name, key_of("a log 1")),
    [cosign(OLD_HEAD, witness_key("b").name, key_of("b witness 1"), 1_700_000_000)],
    [witness_key("b")],
).decode()
ROSTER = roster(member("a"), member("b"))
DOCUMENT = json.loads(signed(ROSTER).raw)
ROTATED = log_key("a").encode(), log_key("a", 2).encode()
SIGNATURES = sign_rotation(DID, "log", *ROTATED, key_of("a log 1"), key_of("a log 2"))

BODIES: dict[str, dict[str, Any]] = {
    "batch": batch_body(DID, AT_MS, 1, HASH, 2, 300, 24_000, 3, 1_699_999_999, 1_700_000_000),
    "session": session_body(DID, AT_MS, OBJECT, 0, None, HASH, "open"),
    "access": access_body(DID, AT_MS, HASH, "export", False),
    "log.adopt": adopt_body(DID, AT_MS, 12, HASH, "disk"),
    "id.key": device_body(DID, AT_MS, OBJECT, 3, HASH, HASH, "rotate"),
    "log.generation": generation_body(DID, AT_MS, OLD_LOG.name, 12, HASH, OLD_NOTE, "forked"),
    "log.restore": restore_body(DID, AT_MS, 7, 12, HASH, "wiped"),
    "key.rotate": rotate_body(DID, AT_MS, "log", *ROTATED, *SIGNATURES),
    "roster": roster_body(DID, AT_MS, 1, ROSTER.hash(), DOCUMENT),
}


def enveloped(body: str, sig: str | None = None, rest: str = ',"v":1') -> bytes:
    return f'{{"body":{body},"sig":"{b64u(bytes(64)) if sig is None else sig}"{rest}}}'.encode()


@pytest.mark.parametrize("kind", BODIES)
def test_an_entry_comes_back(kind: str) -> None:
    body = BODIES[kind]
    raw = encode_entry(body, KEY)
    entry = decode_entry(raw)
    assert entry.body == body
    assert entry.raw == raw
    verify_entry(entry, KEY.public)
    assert check_body(entry.body) == kind


def test_the_layout_of_an_entry() -> None:
    body = BODIES["access"]
    raw = encode_entry(body, KEY)
    members = json.loads(raw)
    assert list(members) == ["body", "sig", "v"]
    assert members["v"] == 1
    # plain sorted JSON is JCS as long as names and texts are ASCII
    plain = json.dumps(body, separators=(",", ":"), sort_keys=True).encode()
    assert raw == b'{"body":' + plain + b',"sig":"' + members["sig"].encode() + b'","v":1}'
    assert verify(KEY.public, b"vestibule/entry/v1\0" + plain, unb64u(members["sig"]))
    assert object_hash(body) == sha256(plain).digest()


def test_names_are_ordered_as_in_rfc_8785_section_3_2_3() -> None:
    body = {
        "\u20ac": "Euro Sign",
        "\r": "Carriage Return",
        "\ufb33": "Hebrew Letter Dalet With Dagesh",
        "1": "One",
        "\U0001f600": "Emoji: Grinning Face",
        "\x80": "Control",
        "\xf6": "Latin Small Letter O With Diaeresis",
    }
    order = [name for name, _ in json.loads(canonical(dict(body)), object_pairs_hook=list)]
    assert order == ["\r", "1", "\x80", "\xf6", "\u20ac", "\U0001f600", "\ufb33"]


def test_another_key_is_noticed() -> None:
    entry = decode_entry(encode_entry(BODIES["batch"], KEY))
    with pytest.raises(SignatureError) as caught:
        verify_entry(entry, SigningKey(bytes(32)).public)
    assert caught.value.code == "entry_signature"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b'{"body":{}}',
        enveloped("{}", rest=""),
        enveloped("{}", rest=',"v":2'),
        enveloped("{}", rest=',"v":true'),
        enveloped("{}", rest=',"v":1.0'),
        enveloped("{}", rest=',"v":"1"'),
        enveloped("{}", rest=',"v":1,"w":1'),
        enveloped("{}", rest=', "v":1'),
        enveloped("{}") + b"\n",
        b" " + enveloped("{}"),
        enveloped("[]"),
        enveloped("null"),
        enveloped('{"b":1,"a":1}'),
        enveloped('{"a":1,"a":1}'),
        enveloped('{"a": 1}'),
        enveloped('{"a":1.5}'),
        enveloped('{"a":1.0}'),
        enveloped('{"a":1e3}'),
        enveloped('{"a":-0}'),
        enveloped('{"a":9007199254740992}'),
        enveloped('{"a":-9007199254740992}'),
        enveloped('{"a":' + "9" * 5000 + "}"),
        enveloped('{"a":"\\u0061"}'),
        enveloped('{"a":"\\ud800"}'),
        enveloped('{"a":"\\/"}'),
        enveloped('{"a":NaN}'),
        enveloped("{}", sig=""),
        enveloped("{}", sig="AAAA"),
        enveloped("{}", sig=b64u(bytes(63)) + "=="),
        enveloped("{}", sig="+" * 86),
        enveloped('{"a":' + "[" * 30_000 + "]" * 30_000 + "}"),
        enveloped('{"a":' + "[" * 16 + "]" * 16 + "}"),
    ],
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(WireError) as caught:
        decode_entry(data)
    assert caught.value.code in {"entry_format", "base64url"}


def test_the_twin_of_the_refused_is_read() -> None:
    body = {"a": [1, -1, MAX_INTEGER, True, None, "\u00e9\n"], "b": {"c": {}}}
    assert decode_entry(enveloped(canonical(dict(body)).decode())).body == body


def test_the_size_limit() -> None:
    empty = len(encode_entry({"a": ""}, KEY))
    raw = encode_entry({"a": "x" * (MAX_ENTRY_BYTES - empty)}, KEY)
    assert len(raw) == MAX_ENTRY_BYTES
    assert decode_entry(raw).raw == raw
    with pytest.raises(LocalError) as local:
        encode_entry({"a": "x" * (MAX_ENTRY_BYTES - empty + 1)}, KEY)
    assert local.value.code == "entry_size"
    with pytest.raises(WireError) as caught:
        decode_entry(raw + b" ")
    assert caught.value.code == "entry_size"


@pytest.mark.parametrize(
    "value", [1.5, MAX_INTEGER + 1, -MAX_INTEGER - 1, b"x", "\ud800", {1: 2}, (1,), {"\udfff": 1}]
)
def test_what_jcs_cannot_hold_is_not_signed(value: Any) -> None:
    with pytest.raises(LocalError) as caught:
        encode_entry({"a": value}, KEY)
    assert caught.value.code == "entry_body"


@given(st.binary(max_size=300))
def test_any_bytes_give_an_entry_or_our_error(data: bytes) -> None:
    try:
        entry = decode_entry(data)
    except WireError:
        return
    assert entry.raw == data


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=4))
def test_any_body_comes_back(body: dict[str, Any]) -> None:
    raw = encode_entry(body, KEY)
    entry = decode_entry(raw)
    assert entry.body == body
    assert encode_entry(entry.body, KEY) == raw


@given(st.binary(max_size=70))
def test_base64url_comes_back(data: bytes) -> None:
    assert unb64u(b64u(data)) == data


@pytest.mark.parametrize("text", ["A", "AA==", "AB", "A A", "+/+/", "AAA\n", "\u00e9AAA", "=", "AAAA="])
def test_other_base64url_is_refused(text: str) -> None:
    with pytest.raises(WireError) as caught:
        unb64u(text)
    assert caught.value.code == "base64url"


@pytest.mark.parametrize("kind", BODIES)
def test_every_field_is_required_and_none_may_be_added(kind: str) -> None:
    body = BODIES[kind]
    for name in body:
        if name == "type":
            continue
        for wrong in (
            {k: v for k, v in body.items() if k != name},
            body | {name: 1.5},
            body | {name: "free text"},
        ):
            with pytest.raises(WireError) as caught:
                check_body(wrong)
            assert caught.value.code == "entry_body"
            assert "free text" not in str(caught.value)
    with pytest.raises(WireError):
        check_body(body | {"name": "x"})


@pytest.mark.parametrize("kind", [None, 1, "", "Batch", "a b", "x" * 65, ["batch"]])
def test_a_body_without_a_proper_type_is_refused(kind: Any) -> None:
    with pytest.raises(WireError):
        check_body(BODIES["batch"] | {"type": kind})


def test_unknown_types_are_flagged_and_known_ones_are_named() -> None:
    assert check_body({"type": "weather", "anything": 1}) == UNKNOWN
    assert UNKNOWN not in TYPES
    common = {"gateway": DID, "at_ms": AT_MS}
    for kind in TYPES - set(BODIES):
        assert check_body(common | {"type": kind, "more": "of its own"}) == kind
        with pytest.raises(WireError):
            check_body({"type": kind, "at_ms": AT_MS})
        with pytest.raises(WireError):
            check_body(common | {"type": kind, "object": b64u(OBJECT)})


def test_prev_goes_with_seq() -> None:
    for seq, prev in ((0, HASH), (1, None)):
        with pytest.raises(LocalError):
            session_body(DID, AT_MS, OBJECT, seq, prev, HASH, "close")
    first = session_body(DID, AT_MS, OBJECT, 0, None, HASH, "open")
    then = session_body(DID, AT_MS, OBJECT, 1, object_hash(first), HASH, "close")
    assert unb64u(str(then["prev"])) == sha256(canonical(first)).digest()


def test_builders_refuse_what_no_entry_may_say() -> None:
    event: Any = "pause"
    for wrong in (
        lambda: batch_body(DID, AT_MS, 0, HASH, 1, 1, 1, 0, 0, 0),
        lambda: batch_body(DID, AT_MS, 1, HASH[1:], 1, 1, 1, 0, 0, 0),
        lambda: batch_body("did:web:example.com", AT_MS, 1, HASH, 1, 1, 1, 0, 0, 0),
        lambda: batch_body(DID, -1, 1, HASH, 1, 1, 1, 0, 0, 0),
        lambda: batch_body(DID, AT_MS, 1, HASH, True, 1, 1, 0, 0, 0),
        lambda: session_body(DID, AT_MS, OBJECT[1:], 0, None, HASH, "open"),
        lambda: session_body(DID, AT_MS, OBJECT, 0, None, HASH, event),
        lambda: access_body(DID, AT_MS, HASH, "export for Dr. Jones", True),
        lambda: adopt_body(DID, AT_MS, 1, HASH, "the old disk died"),
        lambda: device_body(DID, AT_MS, OBJECT, 0, None, b"", "add"),
        lambda: restore_body(DID, AT_MS, 12, 12, HASH, "wiped"),
        lambda: restore_body(DID, AT_MS, 0, 12, HASH, "the cat did it"),
        lambda: generation_body(DID, AT_MS, "Ward of Dr. Jones", 12, HASH, "", "forked"),
        lambda: generation_body(DID, AT_MS, "", 12, HASH, "", "forked"),
        lambda: generation_body(DID, AT_MS, "o" * 129, 12, HASH, "", "forked"),
        lambda: generation_body(DID, AT_MS, OLD_LOG.name, 13, HASH, OLD_NOTE, "forked"),
        lambda: generation_body(DID, AT_MS, OLD_LOG.name, 12, HASH[::-1], OLD_NOTE, "forked"),
        lambda: generation_body(DID, AT_MS, "other.example/log", 12, HASH, OLD_NOTE, "forked"),
        lambda: generation_body(DID, AT_MS, OLD_LOG.name, 12, HASH, OLD_NOTE + "x" * 40_000, "forked"),
        lambda: roster_body(DID, AT_MS, 0, ROSTER.hash(), DOCUMENT),
        lambda: roster_body(DID, AT_MS, 2, ROSTER.hash(), DOCUMENT),
        lambda: roster_body(DID, AT_MS, 1, HASH, DOCUMENT),
        lambda: roster_body(DID, AT_MS, 1, ROSTER.hash(), DOCUMENT | {"more": 1}),
        lambda: roster_body(DID, AT_MS, 1, ROSTER.hash(), {"roster": DOCUMENT["roster"]}),
        lambda: roster_body(DID, AT_MS, 1, ROSTER.hash(), DOCUMENT | {"roster": []}),
        lambda: roster_body(DID, AT_MS, 1, ROSTER.hash(), DOCUMENT | {"roster": {"version": 1, "x": 1.5}}),
        lambda: roster_body(
            DID, AT_MS, 1, ROSTER.hash(), {"roster": DOCUMENT["roster"] | {"at_ms": 1}, "sigs": []}
        ),
    ):
        with pytest.raises(LocalError) as caught:
            wrong()
        assert caught.value.code == "entry_body"


def test_a_generation_may_have_no_checkpoint_to_show() -> None:
    assert check_body(generation_body(DID, AT_MS, OLD_LOG.name, 12, HASH, "", "lost")) == "log.generation"


CERTS = tuple(b64u(sha256(cert("a", number)).digest()) for number in (1, 2))
ROTATIONS: dict[Role, tuple[str, str]] = {
    "log": ROTATED,
    "witness": (witness_key("a").encode(), witness_key("a", 2).encode()),
    "entry": (did_key(key_of("a entry 1").public), did_key(key_of("a entry 2").public)),
    "tls": (CERTS[0], CERTS[1]),
}


def rotation(role: Role, /, **changes: Any) -> dict[str, Any]:
    old, new = ROTATIONS[role]
    sigs = sign_rotation(DID, role, old, new, key_of(f"a {role} 1"), key_of(f"a {role} 2"))
    by_old, by_new = (b"", b"") if role == "tls" else sigs
    fields = {"role": role, "old": old, "new": new, "by_old": by_old, "by_new": by_new} | changes
    return rotate_body(DID, AT_MS, **fields)


@pytest.mark.parametrize("role", ROTATIONS)
def test_a_rotation_is_signed_by_both_keys(role: Role) -> None:
    body = rotation(role)
    assert check_body(body) == "key.rotate"
    verify_rotation(body)
    if role == "tls":
        return
    old, new = ROTATIONS[role]
    plain = json.dumps({"gateway": DID, "new": new, "old": old, "role": role}, separators=(",", ":"))
    assert rotation_bytes(DID, role, old, new) == b"vestibule/key-rotate/v1\0" + plain.encode()
    assert verify(key_of(f"a {role} 2").public, rotation_bytes(DID, role, old, new), unb64u(body["by_new"]))
    for wrong in (
        body | {"by_old": body["by_new"]},
        body | {"by_new": body["by_old"]},
        body | {"gateway": did_key(key_of("b").public)},
    ):
        assert check_body(wrong) == "key.rotate"
        with pytest.raises(SignatureError) as caught:
            verify_rotation(wrong)
        assert caught.value.code == "rotation_signature"


@pytest.mark.parametrize(
    ("role", "changes"),
    [
        ("log", {"role": "roster"}),
        ("log", {"role": "witness"}),
        ("log", {"new": ROTATED[0]}),
        ("log", {"new": log_key("b").encode()}),  # another name: another log
        ("log", {"new": ROTATIONS["entry"][1]}),
        ("log", {"new": ROTATED[1][:-1]}),
        ("log", {"new": ROTATED[1] + "\n"}),
        ("log", {"new": "Dr. Jones " + ROTATED[1]}),
        ("log", {"by_old": b""}),
        ("log", {"by_new": bytes(63)}),
        ("witness", {"role": "log"}),
        ("entry", {"new": "did:web:clinic.example"}),
        ("entry", {"role": "tls"}),
        ("tls", {"new": CERTS[1] + "A"}),
        ("tls", {"by_old": bytes(64)}),
        ("tls", {"role": "entry"}),
    ],
)
def test_what_is_no_rotation_is_refused(role: Role, changes: dict[str, Any]) -> None:
    with pytest.raises(LocalError) as caught:
        rotation(role, **changes)
    assert caught.value.code == "entry_body"


def test_a_witness_key_may_take_another_name() -> None:
    assert witness_key("a").name != witness_key("a", 2).name
    verify_rotation(rotation("witness"))


def test_commitment() -> None:
    salt = bytes(range(32))
    assert commitment(salt, {"b": 1, "a": "x"}) == sha256(salt + b'{"a":"x","b":1}').digest()
    assert commitment(salt, {"a": 1}) != commitment(salt[::-1], {"a": 1})
    for length in (0, 16, 31, 33):
        with pytest.raises(LocalError):
            commitment(bytes(length), {"a": 1})
