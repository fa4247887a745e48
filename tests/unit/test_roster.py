"""The roster: the policy that follows from it, one encoding, and which version counts after which."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from rosters import (
    AT_MS,
    FEDERATION,
    anchor_of,
    cert,
    following,
    key,
    log_key,
    member,
    outside,
    roster,
    roster_key,
    signed,
    vkey,
    witness_key,
)

from gateway.core.member import derive_policy, parties_of
from gateway.core.roster import (
    DOMAIN,
    MAX_BODY_BYTES,
    MAX_ROSTER_BYTES,
    Member,
    Roster,
    SignedRoster,
    check_first,
    check_next,
    missing_signatures,
    parse_roster,
    sign_roster,
    unsigned,
)
from gateway.entries.envelope import MAX_ENTRY_BYTES, b64u, canonical, encode_entry
from gateway.entries.types import check_body, roster_body
from gateway.errors import LocalError, SignatureError, WireError
from gateway.keys.cert import certificate
from gateway.keys.did import did_key
from gateway.keys.sign import verify
from gateway.tlog.checkpoint import Checkpoint, cosign, sign_checkpoint
from gateway.tlog.cosigned import with_cosignatures
from gateway.tlog.note import COSIGNATURE, ED25519, VerifierKey, parse_note

A, B, C, D = (member(name) for name in "abcd")


def lines(text: str) -> list[str]:
    assert text.endswith("\n")
    return text.split("\n")[:-1]


# ---- the policy -------------------------------------------------------------------------------------------------


def test_the_policy_of_one_alone_confirms_nothing() -> None:
    alone = roster(A)
    assert lines(alone.policy) == [
        "log a.clinic.example/vrlog+39632284+AQBpU8IqmAQi7Py3ClY4GtPI1UGdpkHOf0kmlDEyEKiI "
        "https://a.clinic.example:4749",
        "witness a a.clinic.example/witness+614678fb+BAU9BzfRRuTiSd7NJ/B91i2m+9AoAcJGsIXhmiLoqHhX "
        "https://a.clinic.example:4749",
        "quorum none",
    ]
    assert alone.quorum == 0


def test_the_policy_of_several() -> None:
    made = roster(A, B, C, D, faulty=1)
    assert lines(made.policy) == [
        *(f"log {log_key(n).encode()} https://{n}.clinic.example:4749" for n in "abcd"),
        *(f"witness {n} {witness_key(n).encode()} https://{n}.clinic.example:4749" for n in "abcd"),
        "group members 3 a b c d",
        "quorum members",
    ]
    assert made.quorum == 3
    assert made.parsed_policy().groups["members"].threshold == 3


def test_a_group_counts_once() -> None:
    made = roster(A, member("b", "ward"), member("c", "ward"), D)
    assert lines(made.policy)[-3:] == ["group ward any b c", "group members 2 a ward d", "quorum members"]
    assert made.parties == {"a": ("a",), "ward": ("b", "c"), "d": ("d",)}


def test_a_group_of_one_counts_under_the_name_of_its_member() -> None:
    made = roster(A, member("b", "ward"))
    assert lines(made.policy)[-2:] == ["group members 2 a b", "quorum members"]


def test_two_gateways_of_one_group_are_one_party() -> None:
    assert roster(member("a", "ward"), member("b", "ward")).policy.endswith("\nquorum none\n")


def test_a_witness_key_in_rotation_counts_once() -> None:
    old, new = witness_key("a"), witness_key("a", 2)
    rotating = member("a", witness=(old, new), log=(log_key("a"), log_key("a", 2)))
    url = "https://a.clinic.example:4749"
    assert lines(roster(rotating, B).policy) == [
        f"log {log_key('a').encode()} {url}",
        f"log {log_key('a', 2).encode()} {url}",
        f"log {log_key('b').encode()} https://b.clinic.example:4749",
        f"witness a/1 {old.encode()} {url}",
        f"witness a/2 {new.encode()} {url}",
        "group a any a/1 a/2",
        f"witness b {witness_key('b').encode()} https://b.clinic.example:4749",
        "group members 2 a b",
        "quorum members",
    ]


def test_outside_witnesses_are_needed_beside_the_members() -> None:
    made = roster(A, B, outside=(outside("north"), outside("south")), outside_threshold=1)
    north, south = outside("north"), outside("south")
    assert lines(made.policy)[-6:] == [
        "group members 2 a b",
        f"witness north {north.vkey.encode()} https://north.example/witness",
        f"witness south {south.vkey.encode()} https://south.example/witness",
        "group outside 1 north south",
        "group everyone all members outside",
        "quorum everyone",
    ]


def test_one_alone_with_an_outside_witness_can_be_confirmed() -> None:
    made = roster(A, outside=(outside("north"),), outside_threshold=1)
    assert made.quorum == 1
    note = sign_checkpoint(Checkpoint(A.origin, 3, sha256(b"root").digest()), A.origin, key("a log 1"))
    checkpoint = Checkpoint(A.origin, 3, sha256(b"root").digest())
    own = cosign(checkpoint, witness_key("a").name, key("a witness 1"), 1_700_000_000)
    north = cosign(checkpoint, "north.example", key("north outside"), 1_700_000_000)
    policy = made.parsed_policy()
    vkeys = [witness_key("a"), outside("north").vkey]
    assert not policy.satisfied(parse_note(with_cosignatures(note, [own], vkeys)))
    assert not policy.satisfied(parse_note(with_cosignatures(note, [north], vkeys)))
    assert policy.satisfied(parse_note(with_cosignatures(note, [own, north], vkeys)))


def test_every_quorum_of_the_policy_is_a_quorum_of_parties() -> None:
    """Two keys of one party in a note are one voice."""
    rotating = member("a", witness=(witness_key("a"), witness_key("a", 2)))
    made = roster(rotating, member("b", "ward"), member("c", "ward"), D)
    checkpoint = Checkpoint(D.origin, 3, sha256(b"root").digest())
    note = sign_checkpoint(checkpoint, D.origin, key("d log 1"))

    def satisfied(*who: tuple[str, int]) -> bool:
        vkeys = [witness_key(name, number) for name, number in who]
        said = [
            cosign(checkpoint, k.name, key(f"{name} witness {number}"), 1)
            for k, (name, number) in zip(vkeys, who, strict=True)
        ]
        return made.parsed_policy().satisfied(parse_note(with_cosignatures(note, said, vkeys)))

    assert not satisfied(("a", 1), ("a", 2))
    assert not satisfied(("b", 1), ("c", 1))
    assert satisfied(("a", 2), ("c", 1))
    assert satisfied(("d", 1), ("b", 1))


# ---- the document -----------------------------------------------------------------------------------------------


def test_the_layout_of_a_document() -> None:
    made = roster(A, B)
    document = signed(made)
    text = json.loads(document.raw)
    assert sorted(text) == ["roster", "sigs"]
    body = json.dumps(text["roster"], separators=(",", ":"), sort_keys=True).encode()
    assert body == made.body()
    assert made.hash() == sha256(body).digest()
    assert text["roster"]["federation"] == b64u(FEDERATION)
    assert text["roster"]["at_ms"] == AT_MS
    assert text["roster"]["members"][1]["certs"] == [b64u(cert("b"))]
    ((who, sig),) = document.sigs
    assert text["sigs"] == [{"key": roster_key().encode(), "sig": b64u(sig)}]
    assert verify(who.public, b"vestibule/roster/v1\0" + body, sig)


@pytest.mark.parametrize(
    "made",
    [
        roster(A),
        roster(A, B, C, faulty=2),
        roster(A, B, outside=(outside("north"),), outside_threshold=1),
        roster(member("a", witness=(witness_key("a"), witness_key("a", 2)), certs=(cert("a"), cert("a", 2)))),
        roster(A, keys=(roster_key("k1"), roster_key("k2")), threshold=2),
        roster(A, version=7, prev=bytes(32)),
    ],
)
def test_a_document_comes_back(made: Roster) -> None:
    for document in (unsigned(made), signed(made), signed(made, "k2", "k1", "roster")):
        assert parse_roster(document.raw) == document


def test_members_are_found() -> None:
    made = roster(A, B)
    assert made.member("b") is made.of_origin(B.origin) is made.of_cert(cert("b")) is B
    assert made.member("c") is made.of_origin("c") is made.of_cert(cert("c")) is None


def spoilt(change: Callable[[dict[str, Any]], None]) -> bytes:
    """A document changed, then written canonically and signed anew, so that only the change is wrong with it."""
    text = json.loads(signed(roster(A, B)).raw)
    change(text)
    body = canonical(text["roster"])
    if text["sigs"] == json.loads(signed(roster(A, B)).raw)["sigs"]:
        text["sigs"][0]["sig"] = b64u(key("roster").sign(DOMAIN + body))
    return canonical(text)


def put(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda text: text["roster"].__setitem__(name, value)


def put_member(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda text: text["roster"]["members"][0].__setitem__(name, value)


NOT_ROSTERS: dict[str, Callable[[dict[str, Any]], None]] = {
    "another format": put("v", 2),
    "a truth value as format": put("v", True),
    "a number as text": put("version", "1"),
    "a field too many": put("colour", "red"),
    "a member's field too many": put_member("colour", "red"),
    "no members": put("members", []),
    "version 0": put("version", 0),
    "version 2 without prev": put("version", 2),
    "prev in version 1": put("prev", b64u(bytes(32))),
    "a short prev": lambda text: text["roster"].update(version=2, prev=b64u(bytes(31))),
    "a short federation": put("federation", b64u(bytes(15))),
    "threshold 0": put("threshold", 0),
    "threshold above the keys": put("threshold", 2),
    "as many faulty as parties": put("faulty", 2),
    "fewer than no faulty": put("faulty", -1),
    "an outside threshold without witnesses": put("outside_threshold", 1),
    "no roster key": put("keys", []),
    "a witness key as roster key": put("keys", [vkey("roster", "roster", COSIGNATURE).encode()]),
    "a roster key twice": put("keys", [roster_key().encode()] * 2),
    "a roster key that is a member's log key": put("keys", [log_key("a").encode()]),
    "17 roster keys": put("keys", [roster_key(f"k{n}").encode() for n in range(17)]),
    "another policy": put("policy", roster(A, B).policy.replace("group members 2", "group members 1")),
    "a policy with a comment": put("policy", "# ours\n" + roster(A, B).policy),
    "a policy with another blank": put("policy", roster(A, B).policy.replace("members 2 ", "members 2  ")),
    "an empty name": put_member("name", ""),
    "a name in capitals": put_member("name", "A"),
    "a name with a blank": put_member("name", "a b"),
    "a name with a line end": put_member("name", "a\n"),
    "a long name": put_member("name", "a" * 33),
    "the policy's own name": put_member("name", "members"),
    "a name that is taken": put_member("name", "b"),
    "a group with another member's name": put_member("group", "b"),
    "a group called outside": put_member("group", "outside"),
    "a did of another method": put_member("did", "did:web:clinic.example"),
    "the did of another": put_member("did", did_key(key("b entry").public)),
    "the did of its log key": put_member("did", did_key(key("a log 1").public)),
    "no log key": put_member("log", []),
    "three log keys": put_member("log", [log_key("a", n).encode() for n in (1, 2, 3)]),
    "log keys of two names": put_member("log", [log_key("a").encode(), log_key("x").encode()]),
    "a witness key as log key": put_member("log", [witness_key("a").encode()]),
    "a log key as witness key": put_member("witness", [log_key("a").encode()]),
    "the origin of another": put_member("log", [vkey(B.origin, "a log 1", ED25519).encode()]),
    "the log key of another": put_member("log", [vkey(A.origin, "b log 1", ED25519).encode()]),
    "one key as log and witness": put_member("witness", [vkey("a.w", "a log 1", COSIGNATURE).encode()]),
    "a vkey with a wrong id": put_member("log", [log_key("a").encode().replace("+39632284", "+39632285")]),
    "a vkey that is none": put_member("log", ["a"]),
    "a long origin": put_member("log", [vkey("o" * 129, "a log 1", ED25519).encode()]),
    "a url without TLS": put_member("url", "http://a.clinic.example"),
    "a url with a slash at the end": put_member("url", "https://a.clinic.example/"),
    "a url with a query": put_member("url", "https://a.clinic.example?x=1"),
    "a url with a user": put_member("url", "https://me@a.clinic.example"),
    "a url with a blank": put_member("url", "https://a.clinic.example/x y"),
    "a url with a line end": put_member("url", "https://a.clinic.example\n"),
    "no url": put_member("url", ""),
    "a long url": put_member("url", "https://" + "a" * 249),
    "no certificate": put_member("certs", []),
    "a certificate of another name": put_member("certs", [b64u(certificate(key("a tls 1"), "x"))]),
    "a certificate of the log key": put_member("certs", [b64u(certificate(key("a log 1"), "a"))]),
    "another's TLS key": put_member("certs", [b64u(certificate(key("b tls 1"), "a"))]),
    "an empty certificate": put_member("certs", [""]),
    "a certificate with more behind it": put_member("certs", [b64u(cert("a") + b"\0")]),
    "a certificate cut short": put_member("certs", [b64u(cert("a")[:-1])]),
    "the certificate of another": put_member("certs", [b64u(cert("b"))]),
    "one certificate twice": put_member("certs", [b64u(cert("a"))] * 2),
    "padded base64": put_member("certs", [b64u(cert("a")) + "="]),
    "a signature twice": lambda text: text.__setitem__("sigs", text["sigs"] * 2),
    "a short signature": lambda text: text["sigs"][0].__setitem__("sig", b64u(bytes(63))),
    "a signature's field too many": lambda text: text["sigs"][0].__setitem__("at_ms", 1),
    "33 signatures": lambda text: text.__setitem__(
        "sigs",
        sorted(
            ({"key": roster_key(f"k{n}").encode(), "sig": b64u(bytes(64))} for n in range(33)),
            key=lambda sig: sig["key"],
        ),
    ),
}


@pytest.mark.parametrize("name", NOT_ROSTERS)
def test_what_is_no_roster_is_refused(name: str) -> None:
    with pytest.raises(WireError) as caught:
        parse_roster(spoilt(NOT_ROSTERS[name]))
    assert caught.value.code == "roster"
    # almost any change also makes the policy another one; each must be seen before that
    assert ("the policy of a roster" in caught.value.message) == (
        "policy with" in name or name == "another policy"
    )


def test_the_twin_of_the_refused_is_read() -> None:
    for change in (put("at_ms", 5), put_member("url", "https://[::1]:4749/a/b-c.d"), put("faulty", 0)):
        document = spoilt(change)
        if b"::1" in document:  # the policy follows the url
            text = json.loads(document)
            text["roster"]["policy"] = text["roster"]["policy"].replace(A.url, "https://[::1]:4749/a/b-c.d")
            body = canonical(text["roster"])
            text["sigs"][0]["sig"] = b64u(key("roster").sign(DOMAIN + body))
            document = canonical(text)
        check_first(parse_roster(document))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: b" " + raw,
        lambda raw: raw + b"\n",
        lambda raw: raw.replace(b'{"at_ms"', b'{ "at_ms"'),
        lambda raw: b'{"sigs":[],' + raw[1:-1].rpartition(b',"sigs"')[0] + b"}",
        lambda raw: raw[:-1] + b',"sigs":[]}',
        lambda raw: raw.replace(b"clinic", b"clin\\u0069c"),
        lambda raw: raw[:-1],
        lambda raw: b"",
        lambda raw: b"null",
        lambda raw: b"\xff" + raw,
        lambda raw: b"[" * 20_000,
        lambda raw: raw + b" " * MAX_ROSTER_BYTES,
    ],
)
def test_another_spelling_is_refused(spoil: Callable[[bytes], bytes]) -> None:
    with pytest.raises(WireError) as caught:
        parse_roster(spoil(signed(roster(A, B)).raw))
    assert caught.value.code == "roster"


def fits(members: list[Member]) -> bool:
    try:
        return bool(roster(*members).members)
    except LocalError:
        return False


def test_the_largest_roster_fits_an_entry_and_one_more_member_is_refused() -> None:
    members = [member(f"rig-{number}") for number in range(60)]
    room = max(count for count in range(61) if count and fits(members[:count]))
    assert 40 <= room < 60
    with pytest.raises(LocalError) as caught:
        roster(*members[: room + 1])
    assert caught.value.code == "roster"
    assert str(MAX_BODY_BYTES) in caught.value.message
    made = roster(*members[:room])
    document = signed(made)
    assert len(document.raw) <= MAX_ROSTER_BYTES
    body = roster_body(A.did, AT_MS, 1, made.hash(), json.loads(document.raw))
    assert len(encode_entry(body, key("a entry"))) <= MAX_ENTRY_BYTES
    assert check_body(body) == "roster"


def test_a_note_has_room_for_every_witness_of_the_largest_federation() -> None:
    few = [member(f"m{n}", witness=(witness_key(f"m{n}"), witness_key(f"m{n}", 2))) for n in range(31)]
    roster(*few)
    with pytest.raises(LocalError) as caught:
        roster(*few, A)
    assert "62 witness keys" in caught.value.message


def test_faulty_parties_are_fewer_than_parties() -> None:
    roster(A, B, faulty=1)
    with pytest.raises(LocalError) as caught:
        roster(A, member("b", "ward"), member("c", "ward"), faulty=2)
    assert caught.value.code == "roster"
    with pytest.raises(LocalError):
        derive_policy([A], [], 1, 0)


def test_parties_keep_their_order() -> None:
    assert list(parties_of([member("z", "g"), A, member("y", "g"), B])) == ["g", "a", "b"]


# ---- versions and signatures ------------------------------------------------------------------------------------


def test_a_version_counts_with_the_signatures_of_the_one_before() -> None:
    first = roster(A)
    second = following(first, A, B)
    check_first(signed(first))
    check_next(signed(second), first)


def refusal(document: SignedRoster, before: Roster) -> str:
    with pytest.raises((SignatureError, WireError)) as caught:
        check_next(document, before)
    return caught.value.code


def test_a_version_out_of_turn_does_not_count() -> None:
    first = roster(A)
    second, other = following(first, A, B), following(first, A, C)
    assert refusal(signed(first), first) == "roster_version"
    assert refusal(signed(following(second, A)), first) == "roster_version"
    assert refusal(signed(following(other, A)), second) == "roster_prev"
    assert refusal(signed(following(first, A, federation=bytes(16))), first) == "roster_federation"


def test_a_version_without_enough_signatures_does_not_count() -> None:
    three = (roster_key("k1"), roster_key("k2"), roster_key("k3"))
    first = roster(A, keys=three, threshold=2)
    second = following(first, A, B)
    assert refusal(unsigned(second), first) == "roster_signature"
    assert refusal(signed(second, "k1"), first) == "roster_signature"
    assert refusal(signed(second, "k1", "roster", "stranger"), first) == "roster_signature"
    check_next(signed(second, "k3", "k1"), first)
    assert missing_signatures(signed(second, "k3"), three, 2) == 1
    with pytest.raises(SignatureError):
        check_first(signed(first, "k2"))


def test_new_roster_keys_must_sign_too() -> None:
    first = roster(A)
    second = following(first, keys=(roster_key("k1"), roster_key("k2")), threshold=2)
    assert refusal(signed(second), first) == "roster_signature"
    assert refusal(signed(second, "k1", "k2"), first) == "roster_signature"
    assert refusal(signed(second, "roster", "k1"), first) == "roster_signature"
    check_next(signed(second, "roster", "k1", "k2"), first)
    third = following(second, A, B)
    assert refusal(signed(third), second) == "roster_signature"
    check_next(signed(third, "k1", "k2"), second)


def test_a_raised_threshold_is_met_at_once() -> None:
    first = roster(A, keys=(roster_key("k1"), roster_key("k2")))
    second = following(first, threshold=2)
    assert refusal(signed(second, "k1"), first) == "roster_signature"
    check_next(signed(second, "k1", "k2"), first)


def test_one_bad_signature_of_a_known_key_refuses_all() -> None:
    first = roster(A, keys=(roster_key("k1"), roster_key("k2")))
    second = signed(following(first, A, B), "k1", "k2")
    (one, sig), (two, _) = second.sigs
    forged = SignedRoster(second.roster, ((one, sig), (two, bytes(64))), b"")
    assert refusal(forged, first) == "roster_signature"


def test_a_changed_roster_has_no_signature() -> None:
    first = roster(A)
    document = signed(following(first, A, B))
    other = following(first, A, C)
    assert refusal(SignedRoster(other, document.sigs, b""), first) == "roster_signature"


def test_signing_twice_gives_the_same() -> None:
    document = signed(roster(A))
    assert signed(document) == document
    assert parse_roster(sign_roster(document, key("k0"), "k0").raw).sigs[1:] == document.sigs


def test_an_anchor_finds_its_federation() -> None:
    first = roster(A)
    second = following(first, A, B)
    check_first(signed(first), anchor_of(first))
    check_first(signed(second), anchor_of(first))
    for document, anchor, code in (
        (signed(first), anchor_of(second), "roster_version"),
        (signed(roster(A, federation=bytes(16))), anchor_of(first), "roster_federation"),
        (signed(roster(A, keys=(roster_key("k1"),)), "k1"), anchor_of(first), "roster_signature"),
    ):
        with pytest.raises((SignatureError, WireError)) as caught:
            check_first(document, anchor)
        assert caught.value.code == code


def test_an_anchor_with_older_keys_needs_their_signatures() -> None:
    first = roster(A)
    second = following(first, keys=(roster_key("k1"),))
    check_first(signed(second, "roster", "k1"), anchor_of(first))
    third = following(second, A, B)
    with pytest.raises(SignatureError):
        check_first(signed(third, "k1"), anchor_of(first))


def test_the_words_of_a_verifier_key_are_kept() -> None:
    assert VerifierKey.of("roster", key("roster").public).encode() == roster_key().encode()
