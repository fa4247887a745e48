"""The gossip machine, exchange by exchange: rounds, heads, cosignatures, evidence, rosters, and what a liar costs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core import circle
from gateway.core import gossip_events as ev
from gateway.core.follow import Followed, KeepEntries, KeepFork, KeepHead, KeepRoster
from gateway.core.liveness import MISSES, RETRY_ROUNDS, Liveness
from gateway.core.roster import SignedRoster, check_next, make_roster, parse_roster, sign_roster
from gateway.errors import ProofError, SignatureError
from gateway.tlog.checkpoint import Checkpoint, cosign, sign_checkpoint, verify_cosignature
from gateway.tlog.fork import Fork, parse_fork, verify_fork
from gateway.tlog.merkle import EMPTY_ROOT
from gateway.tlog.note import VerifierKey, join_note, sign_note
from gateway.tlog.tiles import consistency_from_tiles
from gateway.wire import peer as wire
from tests.gossipers import PERIOD, SECOND, Gateway, meet, talk
from tests.sim.federation import member, roster_of
from tests.sim.peer_logs import Branch, key_of, log_vkey, origin_of, signed, witness_name, witness_vkey

A, B, C, D = names = ("a", "b", "c", "d")


def digest(name: str) -> bytes:
    return Followed(origin_of(name), ()).hash


@pytest.fixture
def a() -> Gateway:
    return Gateway(A, names)


@pytest.fixture
def b() -> Gateway:
    return Gateway(B, names)


@pytest.fixture
def c() -> Gateway:
    return Gateway(C, names)


def push(branch: Branch, old: int, size: int | None = None) -> wire.Head:
    """A HEAD with entries."""
    size = branch.size if size is None else size
    return wire.Head(
        digest(branch.name), branch.note(size), old, branch.roots[old], [], branch.data[old:size]
    )


def two_histories(common: int, size: int, other: int) -> tuple[Branch, Branch]:
    first = Branch(D)
    first.grow(common)
    second = first.fork(common, "second")
    first.grow(size - common)
    second.grow(other - common)
    return first, second


# ---- rounds ---------------------------------------------------------------------------------------------------------


def test_a_round_asks_two_members_at_random(a: Gateway) -> None:
    asked: dict[str, int] = {}
    for _ in range(200):
        told = a.tick()
        assert len(told) == 2
        assert A not in told
        for name in told:
            asked[name] = asked.get(name, 0) + 1
    assert set(asked) == {B, C, D}
    assert min(asked.values()) > 90


def test_rounds_are_a_period_apart_and_do_not_keep_step(a: Gateway) -> None:
    gaps = []
    for _ in range(300):
        before = a.machine.wake_at
        a.now_ns = before - 1
        assert a.step(ev.Tick()) == []
        a.now_ns = before
        assert a.step(ev.Tick())
        gaps.append(a.machine.wake_at - before)
    assert min(gaps) >= 0.8 * PERIOD
    assert max(gaps) <= 1.2 * PERIOD
    assert 0.97 * PERIOD < sum(gaps) / len(gaps) < 1.03 * PERIOD
    assert len(set(gaps)) > 250


def test_a_round_tells_the_table_only_after_something_changed(a: Gateway) -> None:
    kinds = [type(message) for message in next(iter(a.tick().values()))]
    assert kinds == [wire.Summary, wire.Heads]  # the first of this run
    assert [type(message) for message in next(iter(a.tick().values()))] == [wire.Summary]
    a.grow()
    assert wire.Heads in map(type, next(iter(a.tick().values())))
    assert wire.Heads not in map(type, next(iter(a.tick().values())))


def test_equal_summaries_need_no_answer(a: Gateway, b: Gateway) -> None:
    a.grow(3)
    meet(a, b)
    summary = a.machine._telling.summary(answer=True)
    assert b.hear(A, summary) == []
    a.grow()
    answer = b.hear(A, a.machine._telling.summary(answer=True))
    assert [type(message) for message in answer] == [wire.Heads]


def test_a_summary_is_made_as_documented(a: Gateway, b: Gateway) -> None:
    from hashlib import sha256

    a.grow(3)
    b.grow(300)
    meet(a, b)
    heads = b"".join(
        sorted(digest(one.name) + one.own.size.to_bytes(8, "big") + one.own.roots[-1] for one in (a, b))
    )
    summary = a.machine._telling.summary(answer=False)
    assert summary.heads == sha256(heads).digest()
    assert summary.forks == sha256(b"").digest()
    assert summary.roster_hash == a.signed.roster.hash()


def test_nobody_is_asked_before_there_is_a_roster_or_where_it_does_not_list_us(a: Gateway) -> None:
    stranger = Gateway("x", names, signed=roster_of(names))
    assert stranger.machine.peers == []
    assert stranger.tick() == {}
    assert stranger.hear(A, a.machine._telling.summary(answer=True)) == []


# ---- heads ----------------------------------------------------------------------------------------------------------


def test_a_head_with_its_entries_is_kept_then_cosigned(a: Gateway, b: Gateway) -> None:
    a.grow(3)
    answer = b.hear(A, push(a.own, 0))
    assert [type(effect) for effect in b.effects] == [KeepHead, KeepEntries, ev.Tell]
    (cosig,) = answer
    assert isinstance(cosig, wire.Cosig)
    checkpoint = Checkpoint(a.own.origin, 3, a.own.roots[3])
    assert verify_cosignature(checkpoint, cosig.lines[0], witness_vkey(B)) > 0
    a.hear(B, cosig)
    (cosigned,) = a.of(ev.Cosigned)
    assert (cosigned.size, cosigned.name, cosigned.line) == (3, witness_name(B), cosig.lines[0])


def test_one_exchange_brings_both_to_the_same_heads(a: Gateway, b: Gateway, c: Gateway) -> None:
    a.grow(3)
    b.grow(4)
    c.grow(5)
    meet(b, c)
    assert meet(a, b) == 2
    for one in (a, b):
        assert {log.origin[0]: log.size for log in one.logs} == {A: 3, B: 4, C: 5, D: 0}
        assert all(log.tree.size == log.size for log in one.logs)


def test_a_large_step_comes_with_a_proof_and_the_entries_are_pulled(a: Gateway, b: Gateway) -> None:
    a.grow(3)
    meet(a, b)
    a.grow(40)
    meet(a, b)
    log = b.log(A)
    assert (log.size, log.tree.size, log.whole_size) == (43, 3, 3)


def test_who_is_behind_with_entries_says_so(a: Gateway, b: Gateway) -> None:
    a.grow(3)
    meet(a, b)
    a.grow(40)
    proof = consistency_from_tiles(a.own, 3, 43)
    b.hear(A, wire.Head(digest(A), a.own.note(), 3, a.own.roots[3], proof, []))
    assert b.of(ev.Behind) == [ev.Behind(a.own.origin, A)]
    assert isinstance(b.effects[0], KeepHead)
    assert b.log(A).size == 43
    # until they are here, nobody can be told of that head with a proof
    c = Gateway(C, names)
    meet(b, c)
    assert c.log(A).size == 3


def test_a_head_that_was_promised_without_its_entries_gets_them_with_the_next(a: Gateway, b: Gateway) -> None:
    """As after `add-checkpoint`, or a crash between head and entries."""
    a.grow(3)
    meet(a, b)
    a.grow(2)
    log = b.log(A)
    b.store.perform(log.advance(Checkpoint(a.own.origin, 5, a.own.roots[5]), a.own.note()))
    told = b.tick()
    b.tick()
    assert wire.Heads in map(type, next(iter(b.tick().values()))), "a summary does not tell what is missing"
    assert told
    meet(b, a)
    assert (log.tree.size, log.whole_size) == (5, 5)
    assert not b.of(KeepHead)
    b.store.perform(log.advance(Checkpoint(a.own.origin, 5, a.own.roots[5]), a.own.note()))
    a.grow(1)
    meet(a, b)
    assert log.tree.size == log.size == 6


def test_a_copy_of_a_head_costs_nothing(a: Gateway, b: Gateway) -> None:
    a.grow(3)
    for _ in range(10_000):
        assert len(b.hear(A, push(a.own, 0))) <= 1
        b.now_ns += SECOND
        if b.codes():
            raise AssertionError(b.codes())
    assert b.log(A).size == 3


def test_what_moved_in_a_step_is_told_with_the_next(a: Gateway, b: Gateway) -> None:
    """Its entries are on the shelf only after the effects were performed."""
    a.grow(3)
    empty_table = wire.Heads([], [], True)
    answer = b.hear(A, push(a.own, 0), empty_table)
    assert [type(message) for message in answer] == [wire.Cosig]
    assert wire.Head in map(type, b.hear(A, empty_table))


def test_a_head_from_elsewhere_than_our_own_is_asked_for_again(a: Gateway, b: Gateway) -> None:
    a.grow(40)
    b.hear(A, push(a.own, 38, 39))
    (asked,) = [message for message in b.hear(A, push(a.own, 38)) if isinstance(message, wire.Heads)]
    assert asked == wire.Heads([wire.Row(digest(A), 0, EMPTY_ROOT, 0)], [], False)
    answer = a.hear(B, asked)
    assert [type(message) for message in answer] == [wire.Head]
    b.hear(A, *answer)
    a.grow(50)
    proof = consistency_from_tiles(a.own, 38, 90)
    told = b.hear(A, wire.Head(digest(A), a.own.note(), 38, a.own.roots[38], proof, []))
    assert [type(message) for message in told] == [wire.Heads]
    assert b.codes() == []


def test_a_head_is_kept_without_what_was_added_to_it(a: Gateway, b: Gateway) -> None:
    a.grow(3)
    line = cosign(Checkpoint(a.own.origin, 3, a.own.roots[3]), witness_name(C), key_of(C, "witness"), 5)
    b.hear(A, _with(push(a.own, 0), note=a.own.note() + line.encode()))
    assert b.log(A).note == b.log(A).whole == a.own.note()


def test_the_first_head_of_a_log_has_no_proof(a: Gateway, b: Gateway) -> None:
    a.grow(40)
    b.hear(C, wire.Head(digest(A), a.own.note(), 0, EMPTY_ROOT, [bytes(32)], []))
    assert b.codes() == ["head_proof"]
    b.hear(D, wire.Head(digest(A), a.own.note(), 0, bytes(32), [], []))
    assert b.codes() == ["head_proof"]
    b.hear(C, wire.Head(digest(A), a.own.note(), 0, EMPTY_ROOT, [], []))
    assert b.log(A).size == 40


def test_a_body_holds_a_bounded_number_of_heads_and_the_rest_comes_later() -> None:
    many = tuple(f"m{number}" for number in range(120))
    one, other = Gateway("m0", many), Gateway("m1", many)
    for name in many[2:]:
        branch = Branch(name)
        branch.grow(1)
        one.step(ev.Received(name, wire.encode_body([push(branch, 0)])))
    assert sum(log.size for log in one.logs) == 118
    first = one.hear("m1", wire.Heads([], [], True))
    heads = [message for message in first if isinstance(message, wire.Head)]
    assert len(heads) == wire.MAX_HEADS
    talk(other, one, [other.machine._telling.table()])
    known = {log.origin for log in other.logs if log.size}
    assert len(known) == wire.MAX_HEADS
    in_order = [log.origin for log in other.machine._circle.logs if log.origin[:3] not in ("m0.", "m1.")]
    assert known != set(in_order[: wire.MAX_HEADS]), "always the same ones"
    one.now_ns += 10 * PERIOD
    meet(other, one)
    assert sum(log.size for log in other.logs) == 118


def test_what_is_made_for_one_peer_is_bounded() -> None:
    many = tuple(f"m{number}" for number in range(60))
    one = Gateway("m0", many)
    for name in many[2:]:
        branch = Branch(name)
        branch.grow(1)
        one.step(ev.Received(name, wire.encode_body([push(branch, 0)])))
    told = [
        message
        for _ in range(20)
        for message in one.hear("m1", wire.Heads([], [], True))
        if isinstance(message, wire.Head)
    ]
    assert len(told) == circle.SERVE[1]
    assert one.hear("m2", wire.Heads([], [], True)), "of another peer it is not taken"


def test_large_entries_do_not_burst_a_body() -> None:
    many = tuple(f"m{number}" for number in range(30))
    one, other = Gateway("m0", many), Gateway("m1", many)
    for name in many[2:]:
        branch = Branch(name)
        branch.grow(1, 16_000)
        one.step(ev.Received(name, wire.encode_body([push(branch, 0)])))
    for _ in range(3):
        one.now_ns += 10 * PERIOD
        meet(other, one)
    assert sum(log.tree.size for log in other.logs) == 28


def test_our_own_head_is_told_to_all_and_comes_back_cosigned(a: Gateway, b: Gateway) -> None:
    a.grow(40, 100)
    told = {tell.peer: wire.decode_body(tell.body) for tell in a.step(ev.TellOwn())}
    assert set(told) == {B, C, D}
    (head,) = told[B]
    assert (head.old_size, head.entries, head.proof) == (0, [], [])  # type: ignore[union-attr]
    (cosig,) = b.hear(A, head)
    a.hear(B, cosig)
    (cosigned,) = a.of(ev.Cosigned)
    assert (cosigned.size, cosigned.name) == (40, witness_name(B))


def test_our_own_head_brings_what_a_member_has_not_said_that_it_has(a: Gateway, b: Gateway) -> None:
    a.grow(30)
    meet(a, b)
    meet(b, a)
    a.grow(3)
    a.now_ns += PERIOD
    told = {tell.peer: wire.decode_body(tell.body) for tell in a.step(ev.TellOwn())}
    (head,) = told[B]
    assert isinstance(head, wire.Head)
    assert (head.old_size, head.entries) == (30, a.own.data[30:])
    # It has come further by way of others, which does no harm.
    b.hear(C, push(a.own, 30, 32))
    (cosig,) = b.hear(A, head)
    assert isinstance(cosig, wire.Cosig)
    assert (cosig.size, b.log(A).tree.size) == (33, 33)


def test_our_own_head_reaches_a_member_that_lost_what_it_had(a: Gateway, b: Gateway) -> None:
    a.grow(30)
    meet(a, b)
    meet(b, a)
    a.grow(3)
    a.now_ns += PERIOD
    head = next(wire.decode_body(tell.body)[0] for tell in a.step(ev.TellOwn()) if tell.peer == B)
    fresh = Gateway(B, names)
    (rows,) = fresh.hear(A, head)
    (again,) = a.hear(B, rows)
    fresh.hear(A, again)
    assert fresh.log(A).size == 33


def test_our_own_head_is_told_no_oftener_than_members_listen(a: Gateway) -> None:
    a.grow(1)
    assert a.step(ev.TellOwn())
    a.now_ns += PERIOD // 2 - 1
    a.grow(1)
    assert not a.step(ev.TellOwn())
    a.now_ns += 1
    assert a.step(ev.TellOwn())


# ---- lies about heads -----------------------------------------------------------------------------------------------


def lies(branch: Branch) -> dict[str, wire.Head]:
    """HEADs that do not hold, for one who knows 3 of 9."""
    true = push(branch, 3)
    proof = consistency_from_tiles(branch, 3, 9)
    spoilt = bytearray(branch.note())
    spoilt[-5] ^= 1
    foreign = sign_checkpoint(
        Checkpoint(branch.origin, 9, branch.roots[9]), branch.origin, key_of(B, "log 1")
    )
    extended = sign_checkpoint(
        Checkpoint(branch.origin, 9, branch.roots[9], ("more",)), branch.origin, key_of(branch.name, "log 1")
    )
    return {
        "note_format": _with(true, note=b"nothing"),
        "note_signature": _with(true, note=bytes(spoilt)),
        "note_unknown": _with(true, note=foreign),
        "head_extensions": _with(true, note=extended),
        "head_entries": _with(true, entries=[*branch.data[3:8], b"x"]),
        "head_proof": _with(true, entries=[], proof=proof[:-1]),
        "checkpoint_origin": _with(true, note=signed(B, 9, branch.roots[9])),
    }


def _with(head: wire.Head, **changed: object) -> wire.Head:
    fields = {name: getattr(head, name) for name in head.__struct_fields__}
    return wire.Head(**fields | changed)  # type: ignore[arg-type]


LIES = "note_format note_signature note_unknown head_extensions head_entries head_proof checkpoint_origin"


@pytest.mark.parametrize("code", LIES.split())
def test_a_lie_changes_nothing_and_is_held_against_who_told_it(a: Gateway, b: Gateway, code: str) -> None:
    a.grow(3)
    meet(a, b)
    a.grow(6)
    before = b.state()
    performed = b.store.performed
    answer = b.hear(C, lies(a.own)[code])
    assert b.codes() == [code]
    assert b.of(ev.Refused)[0].peer == C
    assert b.state() == before
    assert b.store.performed == performed
    assert not any(isinstance(message, wire.Evidence) for message in answer)


def test_a_liar_costs_ever_less_and_others_are_still_heard(a: Gateway, b: Gateway) -> None:
    a.grow(3)
    meet(a, b)
    a.grow(6)
    lie = lies(a.own)["note_signature"]
    codes = []
    for _ in range(100):
        b.hear(C, lie)
        codes += b.codes()
        b.now_ns += PERIOD // 100
    checked = codes.count("note_signature")
    assert checked <= circle.WORK[1] // circle.WRONG + circle.WORK[0] // circle.WRONG + 1
    assert codes.count("rate") > 60
    b.hear(D, push(a.own, 3))
    assert b.log(A).size == 9


def test_a_flood_of_bodies_is_cut_off_but_not_for_ever(a: Gateway, b: Gateway) -> None:
    a.grow(1)
    heard = 0
    for _ in range(1000):
        heard += bool(b.hear(A, wire.Heads([], [], True), *[]) or not b.codes())
    assert heard <= circle.BODIES[1] + 1
    b.now_ns += 2 * PERIOD
    b.hear(A, push(a.own, 0))
    assert b.log(A).size == 1


def test_a_body_that_is_none_is_held_against_who_sent_it(b: Gateway) -> None:
    b.step(ev.Received(A, b"\xc1"))
    assert b.codes() == ["peer_body"]
    b.step(ev.Received(A, b"\xc1"))
    b.step(ev.Received(A, b"\xc1"))
    assert b.codes() == ["rate"]


def test_nothing_is_heard_of_strangers_or_of_unknown_logs(a: Gateway, b: Gateway) -> None:
    a.grow(1)
    before = b.state()
    b.step(ev.Received("x", wire.encode_body([push(a.own, 0)])))
    assert b.effects == []
    stranger = Branch("stranger")
    stranger.grow(4)
    fork = Fork(stranger.note(), signed("stranger", 4, bytes(32)), bytes(32), ())
    b.hear(A, push(stranger, 0), wire.Evidence(digest("stranger"), fork.encode()))
    assert [type(effect) for effect in b.effects] in ([], [ev.Tell])
    assert b.state() == before


def test_huge_claims_cost_nothing(a: Gateway, b: Gateway) -> None:
    a.grow(3)
    meet(a, b)
    most = 2**63 - 1
    rows = sorted(wire.Row(digest(name), most, bytes(32), most) for name in names)
    answer = b.hear(C, wire.Heads(rows, [], True))
    asked = [message for message in answer if isinstance(message, wire.Heads)]
    assert len(asked) == 1
    assert not any(isinstance(message, wire.Head) for message in answer)
    claim = signed(A, most, bytes(32))
    b.hear(C, wire.Head(digest(A), claim, 3, a.own.roots[3], [bytes(32)] * 62, []))
    assert b.codes() == ["head_proof"]
    b.hear(C, wire.Head(digest(A), claim, most, bytes(32), [], []))
    assert b.codes() == []
    assert b.log(A).size == 3


# ---- evidence -------------------------------------------------------------------------------------------------------

SIZES = [(4, 6, 6), (4, 8, 6), (4, 6, 8), (0, 1, 1), (0, 1, 2), (3, 4, 9), (7, 8, 8), (8, 9, 16), (0, 16, 5)]


@pytest.mark.parametrize(("common", "size", "other"), SIZES)
def test_two_who_were_told_different_histories_find_out(common: int, size: int, other: int) -> None:
    first, second = two_histories(common, size, other)
    a, b = Gateway(A, names), Gateway(B, names)
    a.hear(D, push(first, 0))
    b.hear(D, push(second, 0))
    meet(a, b)
    for one in (a, b):
        log = one.log(D)
        assert log.frozen, one.name
        assert log.fork is not None
        verify_fork(log.fork, log_vkey(D))
        assert one.store.forks[log.origin] == [log.fork]
    assert meet(a, b) == 1, "there is nothing left to say"


def test_evidence_is_kept_before_it_is_told_and_told_to_all_at_once(a: Gateway) -> None:
    first, second = two_histories(4, 6, 6)
    a.hear(D, push(first, 0))
    a.hear(B, push(second, 0))
    kinds = [type(effect) for effect in a.effects]
    assert kinds.index(KeepFork) < kinds.index(ev.ForkKept) < kinds.index(ev.Tell)
    told = {tell.peer: wire.decode_body(tell.body) for tell in a.of(ev.Tell)}
    assert set(told) == {B, C, D}
    assert all(any(isinstance(message, wire.Evidence) for message in body) for body in told.values())
    assert all(tell.urgent for tell in a.of(ev.Tell))
    (kept,) = a.of(ev.ForkKept)
    assert (kept.origin, kept.peer) == (first.origin, B)


def test_evidence_comes_from_anyone_and_is_told_on_once(a: Gateway, b: Gateway) -> None:
    first, second = two_histories(4, 6, 6)
    fork = Fork(first.note(), second.note(), second.roots[-1], ())
    told = wire.Evidence(digest(D), fork.encode())
    a.hear(C, told)
    assert {tell.peer for tell in a.of(ev.Tell)} == {B, D}, "not to the one who brought it"
    assert a.log(D).frozen
    a.hear(B, told)
    assert a.effects == []
    other = first.fork(2, "third")
    other.grow(5)
    again = Fork(first.note(), signed(D, 6, bytes(32)), bytes(32), ())
    a.hear(B, wire.Evidence(digest(D), again.encode()))
    assert a.effects == [], "one is enough"


def test_evidence_that_shows_nothing_is_held_against_who_told_it(a: Gateway, b: Gateway) -> None:
    b.grow(6)
    of = b.own
    proof = tuple(consistency_from_tiles(of, 4, 6))
    unsigned = sign_checkpoint(Checkpoint(of.origin, 6, bytes(32)), of.origin, key_of(C, "log 1"))
    shows_nothing = {
        "two heads that agree": Fork(of.note(4), of.note(), of.roots[4], proof),
        "one head twice": Fork(of.note(), of.note(), of.roots[-1], ()),
        "a proof that does not hold": Fork(of.note(4), of.note(), bytes(32), proof),
        "another log's": Fork(signed(A, 6, bytes(32)), signed(A, 6, b"x" * 32), b"x" * 32, ()),
        "nobody's signature": Fork(of.note(), unsigned, bytes(32), ()),
    }
    for what, fork in shows_nothing.items():
        one = Gateway(A, names)
        one.hear(C, wire.Evidence(digest(B), fork.encode()))
        assert len(one.codes()) == 1, what
        assert not one.log(B).frozen, what
        assert not one.of(KeepFork), what
    both = Gateway(A, names)
    both.log(B).vkeys = (log_vkey(B), log_vkey(A))
    both.hear(C, wire.Evidence(digest(B), shows_nothing["another log's"].encode()))
    assert both.codes() == ["fork"]
    for text in (b"", b"{}", b"[]", b"\xff", fork.encode()[:-1]):
        one = Gateway(A, names)
        one.hear(C, wire.Evidence(digest(B), text))
        assert one.codes() == ["fork"]


def test_a_frozen_log_accepts_nothing_more(a: Gateway) -> None:
    first, second = two_histories(4, 6, 6)
    a.hear(D, push(first, 0))
    a.hear(D, push(second, 0))
    before = a.state()
    first.grow(2)
    a.hear(D, push(first, 6))
    assert a.codes() == []
    assert a.state() == before
    assert not any(
        isinstance(message, wire.Cosig) for tell in a.of(ev.Tell) for message in wire.decode_body(tell.body)
    )
    # nor after a start
    a.start()
    a.hear(D, push(first, 6))
    assert a.state() == before
    for _ in range(30):
        for body in a.tick().values():
            assert not any(isinstance(message, wire.Cosig) for message in body)
    assert a.machine._telling.table().rows == []


def test_evidence_reaches_those_who_were_away(a: Gateway, b: Gateway, c: Gateway) -> None:
    first, second = two_histories(4, 6, 6)
    a.hear(D, push(first, 0))
    a.hear(B, push(second, 0))
    assert meet(b, a) == 1
    assert b.log(D).frozen
    a.start()  # it is told on after a restart too
    summary = c.machine._telling.summary(answer=True)
    talk(c, a, [summary])
    assert c.log(D).frozen


def test_two_with_different_evidence_agree(a: Gateway, b: Gateway) -> None:
    first, second = two_histories(4, 6, 6)
    third = first.fork(3, "third")
    third.grow(2)
    a.hear(D, wire.Evidence(digest(D), Fork(first.note(), second.note(), second.roots[-1], ()).encode()))
    one = Fork(third.note(5), signed(D, 5, bytes(32)), bytes(32), ())
    b.hear(D, push(third, 0), wire.Evidence(digest(D), one.encode()))
    assert a.log(D).size != b.log(D).size
    ours = a.machine._telling.summary(answer=True)
    assert b.hear(A, ours) == []
    assert meet(a, b) == 1
    assert b.hear(A, a.machine._telling.table()) == []


def test_evidence_is_kept_without_what_was_added_to_it(a: Gateway) -> None:
    first, second = two_histories(4, 6, 6)
    line = cosign(Checkpoint(first.origin, 6, first.roots[6]), witness_name(B), key_of(B, "witness"), 5)
    fork = Fork(first.note() + line.encode(), second.note(), second.roots[-1], ())
    a.hear(C, wire.Evidence(digest(D), fork.encode()))
    kept = a.log(D).fork
    assert kept == Fork(first.note(), second.note(), second.roots[-1], ())


def test_evidence_that_the_witness_found_is_told_on(a: Gateway) -> None:
    first, second = two_histories(4, 6, 6)
    fork = Fork(first.note(), second.note(), second.roots[-1], ())
    a.step(ev.ForkFound(first.origin, fork))
    assert a.of(KeepFork)
    assert {tell.peer for tell in a.of(ev.Tell)} == {B, C, D}
    # or where it has frozen the log and kept the evidence itself
    other = Gateway(A, names)
    log = other.log(D)
    log.frozen, log.fork = True, fork
    other.step(ev.ForkFound(first.origin, fork))
    assert not other.of(KeepFork)
    assert {tell.peer for tell in other.of(ev.Tell)} == {B, C, D}
    with pytest.raises((ProofError, SignatureError)):
        Gateway(A, names).step(ev.ForkFound(first.origin, replace(fork, b=fork.a)))


# ---- our own log ----------------------------------------------------------------------------------------------------


def test_a_larger_head_of_our_own_log_is_an_alarm_and_no_step(a: Gateway, b: Gateway) -> None:
    a.grow(3)
    meet(a, b)
    elsewhere = a.own.fork(3, "a")
    elsewhere.grow(4)
    b.hear(C, push(elsewhere, 3))
    before = a.state()
    meet(a, b)
    assert a.state() == before
    told: list[ev.OwnAhead] = []
    a.hear(B, push(elsewhere, 3))
    told += a.of(ev.OwnAhead)
    assert told == [], "once is enough"
    fresh = Gateway(A, names, own=a.own)
    fresh.publish()
    fresh.hear(B, push(elsewhere, 3))
    assert fresh.of(ev.OwnAhead) == [ev.OwnAhead(elsewhere.note(), 7)]


@pytest.mark.parametrize("size", [3, 5, 8])
def test_another_history_of_our_own_log_is_evidence_against_us(size: int) -> None:
    a, b = Gateway(A, names), Gateway(B, names)
    a.grow(5)
    elsewhere = a.own.fork(2, "clone")
    elsewhere.grow(size - 2)
    b.hear(C, push(elsewhere, 0))
    meet(b, a)
    assert a.log(A).frozen or b.log(A).frozen
    meet(a, b)
    assert a.log(A).frozen
    assert b.log(A).frozen
    a.grow()
    assert a.effects == [], "a frozen log is not promised any further, ours or not"


def test_our_own_fork_raises_the_alarm(a: Gateway) -> None:
    a.grow(5)
    elsewhere = a.own.fork(2, "clone")
    elsewhere.grow(3)
    a.hear(B, push(elsewhere, 0))
    kinds = [type(effect) for effect in a.effects]
    assert kinds[:3] == [KeepFork, ev.ForkKept, ev.OwnForked]


def test_a_head_of_ours_that_was_not_published_yet_is_known(a: Gateway) -> None:
    """A peer may have it from the run before."""
    a.grow(3)
    a.own.grow(2)
    a.store.follow_own(a.log(A))
    a.log(A).whole, a.log(A).whole_size = a.own.note(3), 3
    a.hear(B, push(a.own, 3))
    assert a.effects == []


def test_a_log_that_fell_behind_its_own_promises_is_an_alarm(a: Gateway) -> None:
    a.grow(5)
    older = Branch(A)
    older.grow(3)
    a.store.own = older
    a.own = older
    a.start()
    a.publish()
    assert [type(effect) for effect in a.effects] == [ev.OwnAhead]
    assert a.log(A).size == 5


@pytest.mark.parametrize("size", [5, 9])
def test_a_log_that_left_its_own_promises_is_evidence(a: Gateway, size: int) -> None:
    a.grow(5)
    other = a.own.fork(2, "restored")
    other.grow(size - 2)
    a.store.own = a.own = other
    a.start()
    a.publish()
    (forked,) = a.of(ev.OwnForked)
    verify_fork(forked.fork, log_vkey(A))
    assert not a.of(KeepHead)


def test_our_own_log_takes_no_entries_of_others(a: Gateway, b: Gateway) -> None:
    """Not even those that its own promises name: that is what `ledger` verbs are for."""
    a.grow(5)
    meet(a, b)
    older = Branch(A)
    older.grow(3)
    a.store.own = older
    a.start()
    a.hear(B, push(a.own, 3))
    assert not a.of(KeepEntries)
    assert a.log(A).tree.size == 3
    a.tick()
    assert all(wire.Heads not in map(type, body) for body in a.tick().values())


def test_an_own_head_goes_on_after_a_start(a: Gateway) -> None:
    a.grow(5)
    a.start()
    a.grow(2)
    assert [type(effect) for effect in a.effects] == [KeepHead]
    a.start()
    a.publish()
    assert a.effects == []


# ---- cosignatures ---------------------------------------------------------------------------------------------------


def cosig(of: Branch, by: str, size: int, root: bytes | None = None) -> wire.Cosig:
    root = of.roots[size] if root is None else root
    line = cosign(Checkpoint(of.origin, size, root), witness_name(by), key_of(by, "witness"), 5)
    return wire.Cosig(digest(of.name), size, root, [line])


def test_a_cosignature_counts_once_for_heads_that_were_published(a: Gateway) -> None:
    a.grow(3)
    a.grow(2)
    a.hear(B, cosig(a.own, B, 3))
    a.hear(B, cosig(a.own, B, 3))
    assert a.of(ev.Cosigned) == []
    a.hear(B, cosig(a.own, B, 5))
    assert len(a.of(ev.Cosigned)) == 1
    a.hear(B, cosig(a.own, B, 4))
    assert a.effects == [], "no head of ours"
    a.hear(B, cosig(a.own, B, 5, bytes(32)))
    assert a.effects == []
    a.hear(B, cosig(a.own, C, 5))
    assert len(a.of(ev.Cosigned)) == 1, "anybody may bring it"
    for _ in range(70):
        a.grow()
    a.hear(D, cosig(a.own, D, 5))
    assert a.effects == [], "too long ago"
    a.hear(D, cosig(a.own, D, a.own.size - 1))
    assert len(a.of(ev.Cosigned)) == 1


def test_a_cosignature_that_does_not_verify_is_held_against_who_told_it(a: Gateway) -> None:
    a.grow(3)
    spoilt = cosig(a.own, B, 3, bytes(32))
    a.hear(B, wire.Cosig(spoilt.origin_hash, 3, a.own.roots[3], spoilt.lines))
    assert a.codes() == ["note_signature"]
    a.hear(B, wire.Cosig(spoilt.origin_hash, 3, a.own.roots[3], ["nothing\n"]))
    assert a.codes() == ["note_format"]
    a.hear(B, cosig(a.own, "stranger", 3))
    assert a.effects == []


def test_a_cosignature_goes_along_with_whatever_is_told_to_the_owner(a: Gateway, b: Gateway) -> None:
    a.grow(3)
    b.hear(C, push(a.own, 0))
    assert not any(
        isinstance(message, wire.Cosig) for tell in b.of(ev.Tell) for message in wire.decode_body(tell.body)
    )
    for _ in range(50):
        told = b.tick()
        if A in told:
            break
    assert [message.size for message in told[A] if isinstance(message, wire.Cosig)] == [3]
    later = [message for _ in range(5) for message in b.tick().get(A, ()) if isinstance(message, wire.Cosig)]
    assert later == [], "not again at once"
    b.step(ev.Unreached(A))
    again = b.hear(A, b.machine._telling.summary(answer=True))
    assert [type(message) for message in again] == [wire.Cosig], "unless it did not get through"
    b.now_ns += 20 * PERIOD
    again = [message for _ in range(8) for message in b.tick().get(A, ()) if isinstance(message, wire.Cosig)]
    assert len(again) == 1, "or long after"


def test_nothing_is_cosigned_while_the_witness_may_have_forgotten(a: Gateway, b: Gateway) -> None:
    a.grow(3)
    b.machine.cosigns = False
    assert b.hear(A, push(a.own, 0)) == []
    assert b.log(A).size == 3
    b.machine.cosigns = True
    told = [message for _ in range(8) for message in b.tick().get(A, ()) if isinstance(message, wire.Cosig)]
    assert len(told) == 1


# ---- rosters --------------------------------------------------------------------------------------------------------


def next_roster(before: SignedRoster, members: tuple[str, ...], key: str = "federation") -> SignedRoster:
    old = before.roster
    listed = [member(name) for name in members]
    made = make_roster(
        old.federation, old.version + 1, old.hash(), old.at_ms + 1, old.keys, old.threshold, 0, listed
    )
    return sign_roster(made, key_of(key, "roster"), key)


def test_a_newer_roster_comes_version_by_version(a: Gateway, b: Gateway) -> None:
    signed_one = a.signed
    versions = [signed_one]
    for number in range(6):
        versions.append(next_roster(versions[-1], (*names, f"n{number}")))
    b.signed = versions[-1]
    b.documents = {one.roster.version: one.raw for one in versions}
    b.start()
    talk(a, b, [a.machine._telling.summary(answer=True)])
    assert a.signed.roster.version == 5, "four in a body"
    assert [keep.version for keep in (a.store.roster,) if isinstance(keep, KeepRoster)] == [5]
    a.step(ev.RosterChanged())
    talk(b, a, [b.machine._telling.summary(answer=True)])
    assert a.signed.roster.version == 7
    assert a.signed.raw == versions[-1].raw
    a.step(ev.RosterChanged())
    assert a.machine.peers == [B, C, D, "n5"]


def test_a_roster_that_does_not_follow_is_not_taken(a: Gateway) -> None:
    good = next_roster(a.signed, names[:3])
    forged = next_roster(a.signed, names[:2], key="somebody")
    later = next_roster(good, names)
    for raw, code in (
        (forged.raw, ["roster_signature"]),
        (b"{}", ["roster"]),
        (good.raw[:-1], ["roster"]),
        (later.raw, []),
        (a.signed.raw, []),
    ):
        one = Gateway(A, names)
        one.hear(B, wire.RosterDoc(raw))
        assert one.codes() == code
        assert not one.of(KeepRoster)
    check_next(parse_roster(good.raw), a.signed.roster)
    a.hear(B, wire.RosterDoc(good.raw), wire.RosterDoc(later.raw))
    assert [type(effect) for effect in a.effects] == [KeepRoster, ev.RosterKept, KeepRoster, ev.RosterKept]


def test_two_rosters_of_one_version_raise_an_alarm(a: Gateway, b: Gateway) -> None:
    b.signed = roster_of(names[:3])
    b.start()
    summary = b.machine._telling.summary(answer=True)
    a.hear(B, summary)
    assert a.of(ev.RosterDiffers) == [ev.RosterDiffers(B, 1)]
    a.hear(B, summary)
    assert a.of(ev.RosterDiffers) == [], "once"


def test_who_has_an_older_roster_says_so_once(a: Gateway) -> None:
    newer = wire.Summary(2, bytes(32), bytes(32), bytes(32), False)
    assert a.hear(B, newer) == []
    (told,) = [
        message
        for message in a.hear(B, _summary_with(newer, answer=True))
        if isinstance(message, wire.Summary)
    ]
    assert (told.roster_version, told.answer) == (1, False)


def _summary_with(summary: wire.Summary, *, answer: bool) -> wire.Summary:
    return wire.Summary(summary.roster_version, summary.roster_hash, summary.heads, summary.forks, answer)


def test_who_left_the_roster_is_forgotten(a: Gateway) -> None:
    d = Branch(D)
    d.grow(2)
    a.hear(D, push(d, 0))
    a.signed = next_roster(a.signed, names[:3])
    a.logs.drop(origin_of(D))
    a.step(ev.RosterChanged())
    assert a.machine.peers == [B, C]
    assert a.hear(D, push(d, 0)) == []
    assert all(D not in a.tick() for _ in range(20))
    assert digest(D) not in {row.origin_hash for row in a.machine._telling.table().rows}


def test_two_keys_of_one_name_are_one_log(a: Gateway) -> None:
    """While a log's key is rotated, a head may be signed with either, or with both."""
    new = VerifierKey.of(origin_of(D), key_of(D, "new log").public)
    a.log(D).vkeys = (log_vkey(D), new)
    of = Branch(D)

    def note(*roles: str) -> bytes:
        text = Checkpoint(of.origin, of.size, of.roots[-1]).encode()
        return join_note(text, [sign_note(text, of.origin, key_of(D, role)) for role in roles])

    for roles in (("log 1",), ("log 1", "new log"), ("new log",)):
        old = of.size
        of.grow(2)
        a.hear(D, _with(push(of, old), note=note(*roles)))
        assert a.log(D).size == of.size
        assert a.log(D).note == note(*roles)
    same = _with(push(of, 0), note=note("log 1"), entries=[])
    a.hear(D, same)
    assert a.effects == [], "the same head under the other key says nothing new"
    other = of.fork(5, "second")
    other.grow(1)
    a.hear(D, push(other, 0))
    fork = a.log(D).fork
    assert fork is not None, "a history under the old key against one under the new"
    verify_fork(fork, *a.log(D).vkeys)
    assert parse_fork(fork.encode()) == fork


def test_a_contradiction_that_nobody_could_check_accuses_nobody(a: Gateway) -> None:
    """The head that is here was signed with a key that is listed no longer."""
    first, second = two_histories(4, 6, 6)
    a.hear(D, push(first, 0))
    a.log(D).vkeys = (VerifierKey.of(origin_of(D), key_of(D, "new log").public),)
    text = Checkpoint(second.origin, 6, second.roots[-1]).encode()
    note = join_note(text, [sign_note(text, second.origin, key_of(D, "new log"))])
    a.hear(D, _with(push(second, 0), note=note))
    assert a.codes() == ["head_contradicts"]
    assert not a.log(D).frozen


# ---- whom to ask ----------------------------------------------------------------------------------------------------


def test_who_does_not_answer_is_asked_now_and_then_for_ever() -> None:
    many = [f"m{number}" for number in range(10)]
    a = Gateway("m0", many)
    for name in many[5:]:
        for _ in range(MISSES):
            assert a.machine.liveness.answers(name)
            a.step(ev.Unreached(name))
        assert not a.machine.liveness.answers(name)
    for _ in range(5):
        away = sum(name in many[5:] for _ in range(10 * RETRY_ROUNDS) for name in a.tick())
        assert 9 <= away <= 11, "one in ten rounds, whoever they are"
    a.step(ev.Sent("m7"))
    assert a.machine.liveness.answers("m7")
    a.step(ev.Received("m8", wire.EMPTY_BODY))
    assert a.machine.liveness.answers("m8")


def test_one_that_comes_back_makes_us_look_at_one_more_that_is_away_and_no_further() -> None:
    many = [f"m{number}" for number in range(10)]
    a = Gateway("m0", many)
    for name in many[2:]:
        for _ in range(MISSES):
            a.step(ev.Unreached(name))
    for _ in range(3):
        a.step(ev.Received("m2", wire.EMPTY_BODY))
        looks = [set(a.tick()) & set(many[3:]) for _ in range(RETRY_ROUNDS - 2)]
        assert [len(look) for look in looks] == [1] + [0] * (RETRY_ROUNDS - 3)
        for _ in range(MISSES):
            a.step(ev.Unreached("m2"))


def test_who_has_nobody_else_asks_those_who_are_away_each_round(a: Gateway) -> None:
    for name in (B, C, D):
        for _ in range(MISSES):
            a.step(ev.Unreached(name))
    assert all(len(a.tick()) == 2 for _ in range(20))
    a.step(ev.Sent(B))
    assert all(B in told and len(told) == 2 for told in (a.tick() for _ in range(20)))


def test_liveness_remembers_members_only() -> None:
    liveness = Liveness(bytes, PERIOD, 0)
    liveness.follow(["x", "y"])
    liveness.heard("x", 5)
    liveness.heard("stranger", 5)
    liveness.missed("stranger")
    assert liveness.heard_ns("x") == 5
    assert liveness.heard_ns("stranger") is None
    assert not liveness.answers("stranger")
    liveness.follow(["y"])
    assert liveness.heard_ns("x") is None
    assert liveness.some(5) == ["y"]
