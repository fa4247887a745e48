"""Rosters, cards and evidence that are almost right: read as something, or refused with one error of their own."""

from __future__ import annotations

import random

import pytest
from fuzz.mutate import spoil
from hypothesis import given
from hypothesis import strategies as st
from rosters import (
    anchor_of,
    card,
    following,
    key,
    log_key,
    member,
    outside,
    roster,
    roster_key,
    signed,
    witness_key,
)

from gateway.core.card import parse_card
from gateway.core.roster import check_first, parse_roster
from gateway.errors import ProofError, SignatureError, WireError
from gateway.tlog.checkpoint import Checkpoint, sign_checkpoint
from gateway.tlog.fork import Fork, parse_fork, verify_fork

FIRST = roster(member("a"), member("b", witness=(witness_key("b"), witness_key("b", 2))))
ROSTERS = [
    signed(FIRST).raw,
    signed(following(FIRST, keys=(roster_key("k1"), roster_key("k2"))), "roster", "k1").raw,
    signed(roster(member("a"), outside=(outside("north"),), outside_threshold=1)).raw,
]
CARDS = [card("a").raw, card("b", anchor_of(FIRST)).raw, card("b", group="ward").text().encode()]
LOG = log_key("a")
NOTES = [sign_checkpoint(Checkpoint(LOG.name, 3, bytes([n]) * 32), LOG.name, key("a log 1")) for n in (1, 2)]
FORK = Fork(NOTES[0], NOTES[1], b"\2" * 32, ())

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS)
def test_a_spoilt_roster_is_refused_or_not_signed(seed: int) -> None:
    rng = random.Random(seed)
    data = spoil(rng, rng.choice(ROSTERS), ROSTERS)
    try:
        read = parse_roster(data)
        check_first(read)
        got = read.roster.hash()  # signatures may be left out, as long as enough are there
    except (WireError, SignatureError) as error:
        got = error.code.encode()
    assert got in {b"roster", b"roster_signature", *(parse_roster(one).roster.hash() for one in ROSTERS)}


@given(SEEDS)
def test_a_spoilt_card_is_refused(seed: int) -> None:
    rng = random.Random(seed)
    data = spoil(rng, rng.choice(CARDS), CARDS)
    try:
        got = parse_card(data).raw
    except (WireError, SignatureError) as error:
        got = error.code.encode()
    assert got in {b"card", b"card_signature", *(parse_card(one).raw for one in CARDS)}  # blanks around it


@given(SEEDS)
def test_spoilt_evidence_accuses_nobody_of_something_else(seed: int) -> None:
    rng = random.Random(seed)
    data = spoil(rng, FORK.encode(), [FORK.encode()])
    try:
        read = parse_fork(data)
        a, b = verify_fork(read, LOG)
    except (ProofError, SignatureError):
        return
    assert {a.root, b.root} == {b"\1" * 32, b"\2" * 32}
    assert parse_fork(read.encode()) == read


@given(st.binary(max_size=400))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        parse_roster(data)
    with pytest.raises(WireError):
        parse_card(data)
    with pytest.raises(ProofError):
        parse_fork(data)
