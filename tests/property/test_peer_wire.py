"""Properties of bodies between peers: they survive the wire, have one form, and nothing else gets through."""

from __future__ import annotations

import msgpack
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import WireError
from gateway.wire import peer as wire

HASH = st.binary(min_size=32, max_size=32)
SIZE = st.integers(0, 2**63 - 1)


@st.composite
def rows(draw: st.DrawFn) -> list[wire.Row]:
    digests = sorted(draw(st.sets(HASH, max_size=6)))
    sizes = [draw(SIZE) for _ in digests]
    return [
        wire.Row(d, size, draw(HASH), draw(st.integers(0, size)))
        for d, size in zip(digests, sizes, strict=True)
    ]


FORKS = st.sets(HASH, max_size=5).map(sorted)
LINE = st.text(max_size=100)
PROOF = st.lists(HASH, max_size=wire.MAX_PROOF_HASHES)
ENTRIES = st.lists(st.binary(max_size=500), max_size=wire.MAX_ENTRIES)
NOTE = st.binary(max_size=300)
HEADS = st.one_of(
    st.builds(wire.Head, HASH, NOTE, SIZE, HASH, PROOF, st.just([])),
    st.builds(wire.Head, HASH, NOTE, SIZE, HASH, st.just([]), ENTRIES),
)
SUMMARIES = st.builds(wire.Summary, st.integers(0, 2**32 - 1), HASH, HASH, HASH, st.booleans())
TABLES = st.builds(wire.Heads, rows(), FORKS, st.booleans())
COSIGS = st.builds(wire.Cosig, HASH, SIZE, HASH, st.lists(LINE, min_size=1, max_size=wire.MAX_LINES))
EVIDENCE = st.builds(wire.Evidence, HASH, st.binary(max_size=500))
ROSTERS = st.builds(wire.RosterDoc, st.binary(max_size=500))


def up_to(most: int, of: st.SearchStrategy[wire.Message]) -> st.SearchStrategy[list[wire.Message]]:
    return st.lists(of, max_size=most)


@st.composite
def bodies(draw: st.DrawFn) -> list[wire.Message]:
    heads = draw(st.lists(HEADS, max_size=5, unique_by=lambda head: head.origin_hash))
    others = [
        draw(up_to(1, SUMMARIES)),
        draw(up_to(1, TABLES)),
        draw(up_to(3, COSIGS)),
        draw(up_to(3, EVIDENCE)),
        draw(up_to(3, ROSTERS)),
    ]
    return draw(st.permutations([*heads, *(message for some in others for message in some)]))


@given(bodies())
def test_messages_survive_in_their_order(messages: list[wire.Message]) -> None:
    body = wire.encode_body(messages)
    assert wire.decode_body(body) == messages
    assert len(body) <= 3 + sum(map(wire.weight, messages))


@given(bodies(), st.data())
def test_a_changed_byte_is_refused_or_says_something_else(
    messages: list[wire.Message], data: st.DataObject
) -> None:
    body = bytearray(wire.encode_body(messages))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= data.draw(st.integers(1, 255))
    try:
        heard = wire.decode_body(bytes(body))
    except WireError:
        return
    assert heard != messages
    assert wire.encode_body(heard) == body


@given(st.binary(max_size=400))
def test_any_bytes_are_a_body_or_refused(body: bytes) -> None:
    try:
        heard = wire.decode_body(body)
    except WireError:
        return
    assert wire.encode_body(heard) == body


LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | HASH
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(st.lists(st.tuples(st.integers(0, 8), TREES, TREES).map(list) | TREES, max_size=3))
def test_any_messagepack_is_a_body_or_refused(tree: object) -> None:
    body = msgpack.packb(tree)
    try:
        heard = wire.decode_body(body)
    except WireError:
        return
    assert wire.encode_body(heard) == body
