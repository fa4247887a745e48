"""One HEAD against everything a log may have been told before: true steps are taken, contradictions become evidence
that anybody can check, and no lie changes anything or accuses an honest log."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.follow import Followed, KeepEntries, KeepHead
from gateway.core.judge import AGAIN, KNOWN, Ahead, Contradicted, Onward, Verdict, Wrong, accept, judge
from gateway.core.offer import has_more, lacks, nothing, offer, row_of
from gateway.errors import ProofError
from gateway.tlog.fork import parse_fork, verify_fork
from gateway.tlog.merkle import EMPTY_ROOT, Frontier, leaf_hash
from gateway.tlog.text import MAX_SIZE
from gateway.tlog.tiles import consistency_from_tiles, tails_at
from gateway.wire.peer import Head, Row
from tests.sim.peer_logs import Branch, log_vkey, origin_of, quick_signatures, signed

VKEY = log_vkey("liar")
MOST = 40  # past one full tile would cost time; powers of two and their neighbours are what matters


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    with quick_signatures():
        yield


def branch(size: int) -> Branch:
    made = Branch("liar")
    made.grow(size)
    return made


def split(common: int, size: int, other: int) -> tuple[Branch, Branch]:
    """Two histories that agree up to `common`."""
    first = branch(size)
    second = first.fork(common, "other")
    second.grow(other - common)
    return first, second


def followed(of: Branch, size: int, tree: int | None = None, ours: bool = False) -> Followed:
    """What is known of a log after this head; `tree` entries of it are here."""
    tree = size if tree is None else tree
    frontier = Frontier()
    frontier.extend(map(leaf_hash, of.data[:tree]))
    tails = {tail.level: of.hash_tile(tail.level, tail.n, tail.width) for tail in tails_at(tree)}
    note = of.note(size) if size else b""
    whole = of.note(tree) if tree else b""
    return Followed(
        origin_of("liar"), (VKEY,), size, of.roots[size], note, frontier, tails, whole, tree, ours=ours
    )


def proof_of(of: Branch, old: int, size: int) -> list[bytes]:
    return consistency_from_tiles(of, old, size) if 0 < old < size else []


def check_accepted(log: Followed, verdict: Onward, of: Branch) -> None:
    """After the step the log is exactly the branch."""
    before = log.size
    kept = accept(log, verdict)
    assert (log.size, log.root) == (verdict.checkpoint.size, of.roots[verdict.checkpoint.size])
    heads = [keep for keep in kept if isinstance(keep, KeepHead)]
    assert [keep.old_size for keep in heads] == ([before] if before < log.size else [])
    for keep in kept:
        if isinstance(keep, KeepEntries):
            assert keep.entries == tuple(of.data[keep.first : log.size])
            assert log.tree.root() == log.root == keep.root
            assert log.whole == log.note
            assert log.tails == {
                tail.level: of.hash_tile(tail.level, tail.n, tail.width) for tail in tails_at(log.size)
            }


def check_evidence(verdict: Verdict) -> None:
    assert isinstance(verdict, Contradicted)
    a, b = verify_fork(verdict.fork, VKEY)
    assert a.size <= b.size
    assert parse_fork(verdict.fork.encode()) == verdict.fork


# ---- two honest gateways, two histories -----------------------------------------------------------------------------


def exchange(mine: Followed, shelf: Branch, theirs: Followed, their_shelf: Branch) -> list[Verdict]:
    """Each tells the other what its row calls for; verdicts of both."""
    verdicts = []
    for teller, books, hearer, own in (
        (mine, shelf, theirs, their_shelf),
        (theirs, their_shelf, mine, shelf),
    ):
        row = row_of(hearer)
        if has_more(teller, row):
            assert lacks(hearer, row_of(teller))
            if (head := offer(teller, row, books)) is not None:
                verdicts.append(judge(hearer, head, own))
    return verdicts


@pytest.mark.parametrize("common", range(0, 18))
def test_two_histories_meet_at_any_sizes(common: int) -> None:
    """All sizes up to 17 of either, equal, smaller and larger, with every power of two between them."""
    for size in range(common, 18):
        for other in range(common, 18):
            first, second = split(common, size, other)
            mine, theirs = followed(first, size), followed(second, other)
            verdicts = exchange(mine, first, theirs, second)
            if common == min(size, other):  # the smaller is the beginning of the larger: no lie
                assert all(isinstance(verdict, Onward) for verdict in verdicts)
                assert len(verdicts) == (size != other)
            else:
                assert verdicts
                for verdict in verdicts:
                    check_evidence(verdict)


@given(st.data())
def test_two_histories_meet_at_large_sizes(data: st.DataObject) -> None:
    common = data.draw(st.integers(0, 300))
    size, other = data.draw(st.integers(common, 600)), data.draw(st.integers(common, 600))
    first, second = split(common, size, other)
    verdicts = exchange(followed(first, size), first, followed(second, other), second)
    for verdict in verdicts:
        if common == min(size, other):
            assert isinstance(verdict, Onward)
        else:
            check_evidence(verdict)
    assert verdicts or size == other == common


@given(st.data())
def test_a_smaller_head_is_judged_by_the_tree_that_is_here(data: st.DataObject) -> None:
    """Whoever tells it, and whatever comes with it."""
    common, size = data.draw(st.integers(0, MOST)), data.draw(st.integers(1, MOST))
    common = min(common, size)
    other = data.draw(st.integers(1, size))
    tree = data.draw(st.integers(0, size))
    first, second = split(common, size, max(common, other))
    log = followed(first, size, tree)
    told = Head(log.hash, second.note(other), data.draw(st.integers(0, MOST)), EMPTY_ROOT, [], [])
    verdict = judge(log, told, first)
    if other <= common:
        assert verdict == KNOWN
    elif other == size or other <= tree:
        check_evidence(verdict)
    else:
        assert verdict == KNOWN  # its entries are not here; it is no reason to believe anything


# ---- true steps -----------------------------------------------------------------------------------------------------


@given(st.data())
def test_what_an_honest_peer_offers_is_taken(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, MOST + 40))
    at = data.draw(st.integers(0, size))
    tree = data.draw(st.integers(0, at))
    of = branch(size)
    log = followed(of, at, tree)
    head = offer(followed(of, size), row_of(log), of)
    if head is None:
        assert at == size
        assert tree == size or size - tree > 32
        return
    verdict = judge(log, head, of)
    assert isinstance(verdict, Onward), verdict
    check_accepted(log, verdict, of)
    if size - tree <= 32:
        assert log.tree.size == log.size == size


@given(st.data())
def test_entries_from_an_earlier_head_still_fit(data: st.DataObject) -> None:
    """Between row and answer the log went on: what is known of the entries is skipped."""
    size = data.draw(st.integers(2, 30))
    old = data.draw(st.integers(0, size - 1))
    at = data.draw(st.integers(old, size - 1))
    of = branch(size)
    log = followed(of, at)
    head = Head(log.hash, of.note(), old, of.roots[old], [], of.data[old:])
    verdict = judge(log, head, of)
    assert isinstance(verdict, Onward)
    check_accepted(log, verdict, of)


# ---- lies -----------------------------------------------------------------------------------------------------------


def snapshot(log: Followed) -> tuple[object, ...]:
    return (
        log.size, log.root, log.note, log.tree.size, log.tree.hashes, dict(log.tails), log.whole, log.whole_size,
        log.frozen, log.fork,
    )  # fmt: skip


JUNK = st.binary(min_size=32, max_size=32)


@st.composite
def spoilt_proofs(draw: st.DrawFn, proof: list[bytes]) -> list[bytes]:
    spoilt = list(proof)
    match draw(st.integers(0, 4)):
        case 0:
            return draw(st.lists(JUNK, max_size=7))
        case 1 if spoilt:
            spoilt[draw(st.integers(0, len(spoilt) - 1))] = draw(JUNK)
        case 2:
            spoilt.insert(draw(st.integers(0, len(spoilt))), draw(JUNK))
        case 3 if spoilt:
            del spoilt[draw(st.integers(0, len(spoilt) - 1))]
        case _:
            spoilt.reverse()
    return spoilt


@given(st.data())
def test_no_lie_moves_or_accuses_an_honest_log(data: st.DataObject) -> None:
    """Its true heads, with whatever a liar adds or changes: the log is where it was, or further on in itself."""
    of = branch(MOST)
    at = data.draw(st.integers(0, MOST))
    log = followed(of, at, data.draw(st.integers(0, at)))
    size = data.draw(st.integers(0, MOST))
    old = data.draw(st.one_of(st.just(at), st.integers(0, MOST), st.just(MAX_SIZE)))
    root = data.draw(st.one_of(st.just(log.root), st.just(EMPTY_ROOT), JUNK))
    true = proof_of(of, min(old, size), size)
    proof = data.draw(st.one_of(st.just(true), spoilt_proofs(true)))
    entries: list[bytes] = []
    if data.draw(st.booleans()):
        proof = []
        entries = of.data[min(old, size) : size][:32]
        if entries and data.draw(st.booleans()):
            entries[data.draw(st.integers(0, len(entries) - 1))] = data.draw(st.binary(max_size=20))
        if entries and data.draw(st.booleans()):
            entries.pop()
    before = snapshot(log)
    verdict = judge(log, Head(log.hash, of.note(size), old, root, proof, entries), of)
    assert snapshot(log) == before, "judging changes nothing"
    assert not isinstance(verdict, Contradicted | Ahead)
    if isinstance(verdict, Onward):
        check_accepted(log, verdict, of)


@given(st.data())
def test_no_signature_no_step(data: st.DataObject) -> None:
    """A note that is spoilt anywhere is not taken, unless the place was not signed and it says the same."""
    of = branch(9)
    log = followed(of, 5)
    note = bytearray(of.note())
    match data.draw(st.integers(0, 2)):
        case 0:
            note[data.draw(st.integers(0, len(note) - 1))] ^= data.draw(st.integers(1, 255))
        case 1:
            del note[data.draw(st.integers(0, len(note) - 1)) :]
        case _:
            note += data.draw(st.binary(min_size=1, max_size=50))
    before = snapshot(log)
    verdict = judge(log, Head(log.hash, bytes(note), 5, of.roots[5], [], of.data[5:]), of)
    assert isinstance(verdict, Wrong)
    assert snapshot(log) == before


@given(st.integers(1, MOST), st.integers(1, MAX_SIZE), JUNK, st.lists(JUNK, max_size=64), st.data())
def test_a_signed_claim_without_a_proof_moves_nothing(
    at: int, size: int, root: bytes, proof: list[bytes], data: st.DataObject
) -> None:
    """The log itself lies: any size, any root, no way there."""
    of = branch(MOST)
    log = followed(of, at)
    old_root = data.draw(st.one_of(st.just(log.root), JUNK))
    verdict = judge(log, Head(log.hash, signed("liar", size, root), at, old_root, proof, []), of)
    assert not isinstance(verdict, Onward)
    if size <= at:
        check_evidence(verdict)
    elif isinstance(verdict, Contradicted):
        # a path of random hashes that verifies would be a collision
        raise AssertionError(verdict)


@given(st.data())
def test_a_proof_from_another_root_is_evidence_and_one_that_does_not_hold_is_not(data: st.DataObject) -> None:
    common = data.draw(st.integers(0, MOST - 2))
    at = data.draw(st.integers(common + 1, MOST - 1))
    size = data.draw(st.integers(at + 1, MOST))
    first, second = split(common, at, size)
    log = followed(first, at)
    proof = proof_of(second, at, size)
    check_evidence(judge(log, Head(log.hash, second.note(), at, second.roots[at], proof, []), first))
    spoilt = data.draw(spoilt_proofs(proof))
    if spoilt != proof:
        told = Head(log.hash, second.note(), at, second.roots[at], spoilt, [])
        assert judge(log, told, first) == Wrong("head_proof")
    # the liar says that its old root is ours, and proves from it: that proof cannot hold
    assert judge(log, Head(log.hash, second.note(), at, first.roots[at], proof, []), first) == Wrong(
        "head_proof"
    )


def test_entries_of_another_history_ask_for_a_proof() -> None:
    """Where the head that is here was promised without its entries, they may be of a history that left it."""
    first, second = split(5, 8, 9)
    log = followed(first, 8, tree=5)
    told = Head(log.hash, second.note(), 5, first.roots[5], [], second.data[5:])
    assert judge(log, told, first) == AGAIN
    head = offer(followed(second, 9), row_of(log), second)
    assert head is not None
    check_evidence(judge(log, head, first))


# ---- our own log ----------------------------------------------------------------------------------------------------


@given(st.data())
def test_our_own_log_is_never_moved_by_others(data: st.DataObject) -> None:
    common = data.draw(st.integers(0, 20))
    size, other = data.draw(st.integers(common, 30)), data.draw(st.integers(common, 30))
    published = data.draw(st.integers(0, size))
    first, second = split(common, size, other)
    log = followed(first, published, tree=size, ours=True)
    log.whole, log.whole_size = log.note, log.size  # no more than that was ever signed here
    before = snapshot(log)
    row = row_of(log)
    head = offer(followed(second, other), row, second) if has_more(followed(second, other), row) else None
    told = head or Head(log.hash, second.note(), 0, EMPTY_ROOT, [], [])
    verdict = judge(log, told, first)
    assert snapshot(log) == before
    if other <= common:
        assert verdict == KNOWN  # it is a head of ours, published or not
    elif other <= size:
        if other <= published:
            check_evidence(verdict)
        elif common < published:
            assert isinstance(verdict, Ahead | Contradicted)
        else:
            assert verdict == Ahead(second.note(), other)
    else:
        assert isinstance(verdict, Ahead | Contradicted)
        if isinstance(verdict, Contradicted):
            check_evidence(verdict)
        assert isinstance(verdict, Contradicted) == (common < published)


# ---- other logs and keys --------------------------------------------------------------------------------------------


def test_a_head_of_another_log_is_not_taken() -> None:
    other = Branch("other")
    other.grow(3)
    log = followed(branch(0), 0)
    told = Head(log.hash, other.note(), 0, EMPTY_ROOT, [], other.data)
    assert judge(log, told, branch(0)) == Wrong("checkpoint_origin")
    log.vkeys = (VKEY, log_vkey("other"))  # not even where its key is known here
    assert judge(log, told, branch(0)) == Wrong("checkpoint_origin")


def test_a_log_whose_data_is_not_kept_takes_heads_alone() -> None:
    of = branch(9)
    log = followed(of, 5, tree=0)
    log.data = False
    by_proof = judge(log, Head(log.hash, of.note(), 5, of.roots[5], proof_of(of, 5, 9), []), of)
    assert isinstance(by_proof, Onward)
    assert by_proof.tree is None
    fresh = followed(of, 0)
    fresh.data = False
    by_entries = judge(fresh, Head(log.hash, of.note(), 0, EMPTY_ROOT, [], of.data), of)
    assert isinstance(by_entries, Onward)
    assert len(accept(fresh, by_entries)) == 1
    assert judge(log, Head(log.hash, of.note(), 5, of.roots[5], [], of.data[5:]), of) == KNOWN


def test_an_offer_never_names_what_is_not_here() -> None:
    of = branch(60)
    behind = followed(of, 60, tree=20)
    assert offer(behind, Row(behind.hash, 30, of.roots[30], 30), of) is None
    head = offer(behind, Row(behind.hash, 10, of.roots[10], 10), of)
    assert head is not None
    assert head.note == of.note(20)
    bare = followed(of, 60, tree=0)
    first = offer(bare, nothing(bare), of)
    assert first is not None
    assert first.note == of.note(60)
    assert offer(followed(of, 0), nothing(bare), of) is None


def test_an_offer_stops_at_the_limits_of_a_head() -> None:
    of = Branch("liar")
    of.grow(33, 10)
    log = followed(of, 33)
    many = offer(log, nothing(log), of)
    assert many is not None
    assert not many.entries
    few = offer(log, Row(log.hash, 1, of.roots[1], 1), of)
    assert few is not None
    assert len(few.entries) == 32
    large = Branch("liar", "large")
    large.grow(4, 5000)
    log = followed(large, 4)
    row = Row(log.hash, 1, large.roots[1], 1)
    three = offer(log, row, large)
    assert three is not None
    assert len(three.entries) == 3
    four = offer(log, nothing(log), large)
    assert four is not None
    assert not four.entries
    assert not four.proof  # the first head needs none


def test_a_shelf_that_cannot_be_read_offers_and_judges_nothing() -> None:
    class Torn(Branch):
        def hash_tile(self, level: int, n: int, width: int) -> bytes:
            raise ProofError("tile_length", "a tile is not as it was written")

    of, torn = branch(20), Torn("liar")
    log = followed(of, 20)
    assert offer(log, Row(log.hash, 7, of.roots[7], 0), torn) is None
    told = Head(log.hash, signed("liar", 7, bytes(32)), 0, EMPTY_ROOT, [], [])
    assert judge(log, told, torn) == KNOWN


def test_a_judgement_can_be_repeated() -> None:
    """The frontier that is tried out is a copy."""
    of = branch(9)
    log = followed(of, 5)
    head = Head(log.hash, of.note(), 5, of.roots[5], [], of.data[5:])
    first = judge(log, head, of)
    second = judge(copy.deepcopy(log), head, of)
    assert isinstance(first, Onward)
    assert isinstance(second, Onward)
    assert first.tree is not None
    assert first.tree.hashes == second.tree.hashes  # type: ignore[union-attr]
    assert log.tree.size == 5
