"""Cards: what a gateway says of itself, in one encoding and under its own signature."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest
from rosters import anchor_of, card, cert, key, log_key, member, roster, roster_key, vkey, witness_key

from gateway.core.card import DOMAIN, MAX_CARD_BYTES, PREFIX, make_card, parse_card
from gateway.core.roster import Member
from gateway.entries.envelope import b64u, canonical
from gateway.errors import LocalError, SignatureError, WireError
from gateway.keys.cert import certificate
from gateway.keys.sign import verify
from gateway.tlog.note import COSIGNATURE

ANCHOR = anchor_of(roster(member("a"), keys=(roster_key("k1"), roster_key("k2")), threshold=2))


@pytest.mark.parametrize("anchor", [None, ANCHOR])
def test_a_card_comes_back(anchor: Any) -> None:
    made = card("b", anchor, group="ward")
    for data in (
        made.raw,
        made.raw.decode(),
        made.text(),
        made.text().encode(),
        f" {made.text()}\n",
        made.raw + b"\n",
    ):
        assert parse_card(data) == made
    assert made.anchor == anchor
    assert made.member == member("b", "ward")
    assert made.fingerprint == sha256(made.raw).digest()


def test_the_layout_of_a_card() -> None:
    made = card("b", ANCHOR)
    text = json.loads(made.raw)
    assert sorted(text) == ["card", "sig"]
    body = json.dumps(text["card"], separators=(",", ":"), sort_keys=True).encode()
    assert text["card"]["member"]["group"] == "b"
    assert text["card"]["anchor"]["keys"] == [roster_key("k1").encode(), roster_key("k2").encode()]
    sig = key("b entry").sign(b"vestibule/card/v1\0" + body)
    assert text["sig"] == b64u(sig)
    assert verify(key("b entry").public, DOMAIN + body, sig)
    assert made.text() == "vestibule-peer:1?" + b64u(made.raw)


def test_a_word_that_a_mail_program_folded_is_read() -> None:
    word = card("b").text()
    folded = "\r\n ".join(word[at : at + 60] for at in range(0, len(word), 60))
    assert parse_card(folded) == card("b")


def test_a_card_fits_a_qr_code() -> None:
    import segno

    assert segno.make(card("b", anchor_of(roster(member("a")))).text(), error="l").version <= 31


def test_a_card_that_another_key_signed_is_refused() -> None:
    text = json.loads(card("b").raw)
    text["sig"] = b64u(key("a entry").sign(DOMAIN + canonical(text["card"])))
    with pytest.raises(SignatureError) as caught:
        parse_card(canonical(text))
    assert caught.value.code == "card_signature"


def test_a_changed_card_is_refused() -> None:
    changed = card("b").raw.replace(b"https://b.", b"https://c.")
    assert changed != card("b").raw
    with pytest.raises(SignatureError):
        parse_card(changed)


def spoilt(**changes: Any) -> bytes:
    """A card with other values, under a good signature of its key."""
    body = json.loads(card("b", ANCHOR).raw)["card"]
    for name, value in changes.items():
        place, _, inner = name.partition("_")
        if inner:
            body[place][inner] = value
        else:
            body[name] = value
    return canonical({"card": body, "sig": b64u(key("b entry").sign(DOMAIN + canonical(body)))})


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"member": {}},
        {"member": None},
        {"member_name": "Members"},
        {"member_name": "members"},
        {"member_name": ""},
        {"member_name": "c"},  # its certificate has another
        {"member_group": ""},
        {"member_colour": "red"},
        {"colour": "red"},
        {"member_did": "did:web:x"},
        {"member_log": [witness_key("b").encode()]},
        {"member_log": ["b"]},
        {"member_log": []},
        {"member_witness": [log_key("b").encode()]},
        {"member_witness": [vkey("b", "b log 1", COSIGNATURE).encode()]},
        {"member_witness": [vkey("b", "b entry", COSIGNATURE).encode()]},
        {"member_url": "http://b.clinic.example"},
        {"member_url": ""},
        {"member_certs": []},
        {"member_certs": [b64u(cert("b") + b"\0")]},
        {"member_certs": [b64u(cert("a"))]},
        {"member_certs": [b64u(certificate(key("b log 1"), "b"))]},
        {"anchor": {}},
        {"anchor": False},
        {"anchor_federation": b64u(bytes(15))},
        {"anchor_keys": []},
        {"anchor_keys": [roster_key("k1").encode()] * 2},
        {"anchor_keys": [vkey("k1", "k1", COSIGNATURE).encode()]},
        {"anchor_threshold": 0},
        {"anchor_threshold": 3},
        {"anchor_version": 0},
        {"anchor_url": "http://a.clinic.example"},
    ],
    ids=str,
)
def test_what_is_no_card_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(WireError) as caught:
        parse_card(spoilt(**changes))
    assert caught.value.code == "card"


def test_the_twins_of_the_refused_are_read() -> None:
    assert parse_card(spoilt()) == card("b", ANCHOR)
    assert parse_card(spoilt(anchor=None)) == card("b")
    assert parse_card(spoilt(member_group="ward", anchor_version=9)).member.group == "ward"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"null",
        b"\xff\xfe",
        "\ud800",
        PREFIX,
        PREFIX + "!!!!",
        PREFIX + b64u(b"{}"),
        card("b").text() + "A",
        card("b").text() + "=",
        card("b").raw.replace(b'{"card"', b'{ "card"'),
        card("b").raw + b" " * 2 * MAX_CARD_BYTES,
        PREFIX + "A" * (MAX_CARD_BYTES + 1000),
        b"[" * 10_000,
        canonical(json.loads(card("b").raw) | {"more": 1}),
        canonical(json.loads(card("b").raw) | {"sig": ""}),
        canonical(json.loads(card("b").raw) | {"sig": b64u(bytes(63))}),
    ],
)
def test_other_bytes_are_refused(data: bytes | str) -> None:
    with pytest.raises(WireError) as caught:
        parse_card(data)
    assert caught.value.code == "card"


@pytest.mark.parametrize(
    "of", [member("b", url=""), member("B"), member("b", log=(witness_key("b"),)), member("a")]
)
def test_our_own_card_says_what_is_wrong_with_it(of: Member) -> None:
    with pytest.raises(LocalError) as caught:
        make_card(key("b entry"), of)
    assert caught.value.code == "card"


def test_a_card_during_a_rotation_has_both_keys() -> None:
    both = {"log": (log_key("b"), log_key("b", 2)), "witness": (witness_key("b"), witness_key("b", 2))}
    made = card("b", certs=(cert("b"), cert("b", 2)), **both)
    assert parse_card(made.text()).member == member("b", certs=(cert("b"), cert("b", 2)), **both)
