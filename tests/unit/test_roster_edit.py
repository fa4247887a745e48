"""The next version of a roster: what changes, whose signatures it still lacks, and what signers are told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rosters import (
    AT_MS,
    card,
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

from gateway.app.roster_edit import (
    MAX_PROPOSAL_BYTES,
    Proposal,
    awaited,
    changes,
    first_roster,
    may_sign,
    parse_proposal,
    with_keys,
    with_member,
    with_outside,
    with_update,
    without,
)
from gateway.core.card import make_card
from gateway.core.roster import check_first, check_next, unsigned
from gateway.errors import LocalError, SignatureError, WireError
from gateway.keys.cert import pin
from gateway.keys.did import did_key
from gateway.tlog.note import ED25519

A, B = member("a"), member("b")
LATER = AT_MS + 5


def code_of(caught: pytest.ExceptionInfo[LocalError]) -> str:
    return caught.value.code


def test_a_federation_grows_and_shrinks_version_by_version() -> None:
    first = first_roster(card("a"), [roster_key()], 1, 0, bytes(16), AT_MS)
    check_first(signed(first))
    second = with_member(first, card("b"), LATER)
    third = with_member(second, card("c", group="ward"), LATER, faulty=1)
    fourth = with_outside(third, outside("north"), LATER)
    fifth = without(fourth, "b", LATER, faulty=0)
    sixth = without(fifth, "north", LATER)
    for before, after in zip(
        (first, second, third, fourth, fifth), (second, third, fourth, fifth, sixth), strict=True
    ):
        check_next(signed(after), before)
        assert after.at_ms == LATER
    assert third.members[2].group == "ward"
    assert (third.faulty, fourth.faulty, fifth.faulty) == (1, 1, 0)
    assert (fourth.outside_threshold, sixth.outside_threshold) == (1, 0)
    assert [m.name for m in sixth.members] == ["a", "c"]


def test_a_name_that_is_taken_is_not_added_again() -> None:
    with pytest.raises(LocalError) as caught:
        with_member(roster(A), card("a"), LATER)
    assert code_of(caught) == "member_known"
    assert "vestibule peer update" in caught.value.hint


def test_the_keeper_says_who_is_one_party() -> None:
    made = with_member(roster(A, B), card("c"), LATER, group="ward")
    assert list(made.parties) == ["a", "b", "c"]
    assert changes(roster(A, B), made)[0].endswith(", of the party ward")
    made = with_update(made, card("b"), LATER, group="ward")
    assert list(made.parties) == ["a", "ward"]
    # a newer card does not take a member out of its party
    again = with_update(made, card("b", url="https://elsewhere.example"), LATER)
    assert list(again.parties) == ["a", "ward"]


def test_who_is_not_there_cannot_be_removed_or_updated() -> None:
    for wrong in (
        lambda: without(roster(A), "b", LATER),
        lambda: with_update(roster(A), card("b"), LATER),
    ):
        with pytest.raises(LocalError) as caught:
            wrong()
        assert code_of(caught) == "member_unknown"
        assert "a" in caught.value.hint


def test_a_gateway_that_took_another_name_is_found() -> None:
    renamed = make_card(key("b entry"), replace(B, name="c", certs=(cert("c"),), group="c"))
    after = with_update(roster(A, B), renamed, LATER)
    assert [m.name for m in after.members] == ["a", "c"]
    assert after.members[1].group == "c"
    assert changes(roster(A, B), after)[:2] == [
        "adds the gateway c (https://b.clinic.example:4749), log b.clinic.example/vrlog",
        "removes the gateway b",
    ]


def test_nobody_can_be_left() -> None:
    with pytest.raises(LocalError) as caught:
        without(roster(A), "a", LATER)
    assert code_of(caught) == "roster"


def test_an_update_that_changes_nothing_is_said_to() -> None:
    for wrong in (
        lambda: with_update(roster(A, B), card("b"), LATER),
        lambda: with_update(roster(A, B), None, LATER, faulty=0),
    ):
        with pytest.raises(LocalError) as caught:
            wrong()
        assert code_of(caught) == "roster_same"
    assert with_update(roster(A, B), None, LATER, faulty=1).quorum == 2


def test_the_last_of_several_faulty_is_not_forgotten() -> None:
    three = roster(A, B, member("c"), faulty=2)
    with pytest.raises(LocalError) as caught:
        without(three, "c", LATER)
    assert "at most 1 may be faulty" in caught.value.message


# ---- proposals --------------------------------------------------------------------------------------------------


def keys(*names: str) -> tuple[object, ...]:
    return tuple(roster_key(name) for name in names)


def test_a_proposal_comes_back() -> None:
    first = signed(roster(A))
    for proposal in (
        Proposal(None, unsigned(roster(A))),
        Proposal(None, first),
        Proposal(first, signed(following(first.roster, A, B))),
        Proposal(first, unsigned(following(first.roster, A, B))),
    ):
        assert parse_proposal(proposal.encode()) == proposal
        assert len(proposal.encode()) <= MAX_PROPOSAL_BYTES


def test_a_proposal_that_does_not_follow_what_it_shows_is_refused() -> None:
    first = signed(roster(A))
    other = signed(roster(A, B))
    for wrong in (
        Proposal(other, signed(following(first.roster, A, B))),
        Proposal(None, signed(following(first.roster, A, B))),
        Proposal(first, first),
    ):
        with pytest.raises(WireError) as caught:
            parse_proposal(wrong.encode())
        assert caught.value.code == "proposal"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"{}",
        b"\xff",
        signed(roster(A)).raw,
        b'{"before":null,"proposal":null}',
        b'{"before":{},"proposal":' + signed(roster(A)).raw + b"}",
        b'{"before":null,"more":1,"proposal":' + signed(roster(A)).raw + b"}",
        b" " * (MAX_PROPOSAL_BYTES + 1),
    ],
)
def test_other_bytes_are_no_proposal(data: bytes) -> None:
    with pytest.raises(WireError) as caught:
        parse_proposal(data)
    assert caught.value.code in {"proposal", "roster"}


def test_whose_signatures_are_awaited() -> None:
    first = roster(A, keys=keys("k1", "k2", "k3"), threshold=2)
    (own,) = awaited(Proposal(None, unsigned(first)))
    assert (own.missing, own.keys) == (2, keys("k1", "k2", "k3"))
    before, second = signed(first, "k1", "k2"), following(first, A, B)
    (rest,) = awaited(Proposal(before, signed(second, "k2")))
    assert (rest.missing, rest.keys) == (1, keys("k1", "k3"))
    assert awaited(Proposal(before, signed(second, "k2", "k3"))) == []
    forged = signed(second, "k2")
    forged = type(forged)(forged.roster, ((forged.sigs[0][0], bytes(64)),), forged.raw)
    with pytest.raises(SignatureError):
        awaited(Proposal(before, forged))


def test_new_roster_keys_are_awaited_beside_the_old_ones() -> None:
    before = signed(roster(A))
    after = with_keys(before.roster, keys("k1", "k2"), 2, LATER)  # type: ignore[arg-type]
    old, new = awaited(Proposal(before, unsigned(after)))
    assert (old.missing, old.keys, new.missing, new.keys) == (1, keys("roster"), 2, keys("k1", "k2"))
    (rest,) = awaited(Proposal(before, signed(after, "roster", "k1")))
    assert (rest.missing, rest.keys) == (1, keys("k2"))
    done = signed(after, "roster", "k1", "k2")
    assert awaited(Proposal(before, done)) == []
    check_next(done, before.roster)


def test_only_old_and_new_keys_may_sign() -> None:
    before = signed(roster(A))
    proposal = Proposal(before, unsigned(with_keys(before.roster, [roster_key("k1")], 1, LATER)))
    assert may_sign(proposal, roster_key())
    assert may_sign(proposal, roster_key("k1"))
    assert not may_sign(proposal, roster_key("k2"))
    assert not may_sign(proposal, vkey("k1", "k2", ED25519))


# ---- what signers are told --------------------------------------------------------------------------------------


def test_the_first_version_is_told_whole() -> None:
    lines = changes(None, roster(A))
    assert lines[0].startswith("new federation ")
    assert "adds the gateway a (https://a.clinic.example:4749), log a.clinic.example/vrlog" in lines
    assert f"the roster is signed by 1 of 1 keys: roster+{roster_key().key_id.hex()}" in lines
    assert lines[-1] == "nothing can be confirmed: one party alone"


def test_every_change_of_a_member_is_told() -> None:
    before = roster(A, B)
    new_did = did_key(key("b new entry").public)
    after = following(
        before,
        A,
        member(
            "b",
            "ward",
            did=new_did,
            log=(log_key("b"), log_key("b", 2)),
            witness=(witness_key("b", 2),),
            url="https://elsewhere.example",
            certs=(cert("b"), cert("b", 2)),
        ),
    )
    assert changes(before, after) == [
        f"b: log key: takes {log_key('b', 2).encode()}",
        f"b: witness key: takes {witness_key('b', 2).encode()} and gives up {witness_key('b').encode()}",
        f"b: another entry key, {new_did}",
        f"b: certificate {pin(cert('b'))}, {pin(cert('b', 2))}",
        "b: url https://elsewhere.example instead of https://b.clinic.example:4749",
        "b: group ward instead of b",
    ]


def test_a_new_generation_of_a_log_is_told() -> None:
    before = roster(A, B)
    renewed = vkey("b.clinic.example/vrlog-g2", "b log 9", ED25519)
    after = following(before, A, member("b", log=(renewed,)))
    assert changes(before, after) == [
        "b: another log, b.clinic.example/vrlog-g2 instead of b.clinic.example/vrlog, which nobody follows any more"
    ]


def test_what_the_quorum_becomes_is_told() -> None:
    before = roster(A)
    after = following(before, A, B, outside=(outside("north"),), outside_threshold=1)
    assert changes(before, after) == [
        "adds the gateway b (https://b.clinic.example:4749), log b.clinic.example/vrlog",
        "adds the outside witness north (https://north.example/witness)",
        "confirmed by 2 of 2 parties, of which 0 may lie, and 1 of 1 witnesses outside; until now: nothing can be "
        "confirmed: one party alone",
    ]
    assert changes(after, following(after, A, outside=(), outside_threshold=0)) == [
        "removes the gateway b",
        "removes the outside witness north",
        "nothing can be confirmed: one party alone; until now: confirmed by 2 of 2 parties, of which 0 may lie, and 1 "
        "of 1 witnesses outside",
    ]


def test_nothing_that_is_signed_goes_untold() -> None:
    """Any two versions that differ in more than their numbers have a line to show."""
    before = roster(A, B, outside=(outside("north"), outside("south")), outside_threshold=1)
    for changed in (
        {"faulty": 1},
        {"outside_threshold": 2},
        {"outside": (outside("north"), outside("east"))},
        {"keys": (roster_key("k1"),)},
        {"keys": (roster_key(), roster_key("k1")), "threshold": 2},
    ):
        assert changes(before, following(before, **changed))
    assert changes(before, following(before)) == []
    for field, value in {
        "did": did_key(key("x").public),
        "log": (log_key("b", 2),),
        "witness": (witness_key("b", 2),),
        "url": "https://x.example",
        "certs": (cert("b", 2),),
        "group": "ward",
    }.items():
        assert changes(before, following(before, A, member("b", **{field: value}))), field
    swapped = (log_key("b", 2), log_key("b"))
    two = following(before, A, member("b", log=swapped[::-1]))
    assert changes(two, following(two, A, member("b", log=swapped)))
