"""Bodies between peers: their exact bytes, every limit, and one encoding only."""

from __future__ import annotations

import msgpack
import pytest

from gateway.errors import LocalError, WireError
from gateway.wire import peer as wire
from gateway.wire.peer import Cosig, Evidence, Head, Heads, RosterDoc, Row, Summary

A, B = b"a" * 32, b"b" * 32

ONE_OF_EACH = [
    Summary(3, A, B, A, True),
    Heads([Row(A, 300, B, 256)], [B], False),
    Head(A, b"note", 5, B, [A], []),
    Cosig(A, 300, B, ["line\n"]),
    Evidence(A, b"{}"),
    RosterDoc(b"{}"),
]
# written out from docs/gossip.md, byte by byte
AS_BYTES = (
    "96"
    f"960103c420{A.hex()}c420{B.hex()}c420{A.hex()}c3"
    f"94029194c420{A.hex()}cd012cc420{B.hex()}cd010091c420{B.hex()}c2"
    f"9703c420{A.hex()}c4046e6f746505c420{B.hex()}91c420{A.hex()}90"
    f"9504c420{A.hex()}cd012cc420{B.hex()}91a56c696e650a"
    f"9305c420{A.hex()}c4027b7d"
    "9206c4027b7d"
)


def test_every_message_has_these_bytes() -> None:
    assert wire.encode_body(ONE_OF_EACH).hex() == AS_BYTES
    assert wire.decode_body(bytes.fromhex(AS_BYTES)) == ONE_OF_EACH


def test_a_body_with_nothing_to_say_is_one_byte() -> None:
    assert wire.encode_body([]) == wire.EMPTY_BODY == b"\x90"
    assert wire.decode_body(wire.EMPTY_BODY) == []


@pytest.mark.parametrize("message", ONE_OF_EACH, ids=lambda message: type(message).__name__)
def test_the_weight_is_never_below_the_bytes(message: wire.Message) -> None:
    assert len(wire.encode_body([message])) <= wire.weight(message) + 1


def summary(**changed: object) -> Summary:
    fields: dict[str, object] = {
        "roster_version": 1,
        "roster_hash": A,
        "heads": A,
        "forks": A,
        "answer": True,
    } | changed
    return Summary(**fields)  # type: ignore[arg-type]


def head(**changed: object) -> Head:
    fields: dict[str, object] = {
        "origin_hash": A,
        "note": b"",
        "old_size": 0,
        "old_root": A,
        "proof": [],
        "entries": [],
    }
    return Head(**fields | changed)  # type: ignore[arg-type]


def rows(count: int) -> list[Row]:
    return [Row(number.to_bytes(32, "big"), 1, A, 1) for number in range(count)]


def digests(count: int) -> list[bytes]:
    return [number.to_bytes(32, "big") for number in range(count)]


WITHIN = [
    [summary(roster_version=2**32 - 1)],
    [Heads(rows(wire.MAX_ROWS), [], True)],
    [Heads([], digests(wire.MAX_FORKS), True)],
    [Heads([Row(A, 0, A, 0)], [], False)],
    [Heads([Row(A, 2**63 - 1, A, 2**63 - 1)], [], False)],
    [head(note=b"n" * wire.MAX_NOTE_BYTES, old_size=2**63 - 1)],
    [head(proof=[A] * wire.MAX_PROOF_HASHES)],
    [head(entries=[b"x" * 512] * wire.MAX_ENTRIES)],
    [head(entries=[b"x" * wire.MAX_ENTRIES_BYTES])],
    [head(origin_hash=digest) for digest in digests(wire.MAX_HEADS)],
    [Cosig(A, 2**63 - 1, A, ["x" * wire.MAX_LINE_BYTES] * wire.MAX_LINES)] * wire.MAX_COSIGS,
    [Evidence(A, b"x" * wire.MAX_FORK_BYTES)],
    [Evidence(A, b"x")] * wire.MAX_EVIDENCE,
    [RosterDoc(b"x" * wire.MAX_ROSTER_BYTES)] * wire.MAX_ROSTERS,
]
BEYOND = [
    [summary(roster_version=2**32)],
    [summary(roster_version=-1)],
    [summary(roster_hash=A[:-1])],
    [summary(heads=A + b"x")],
    [summary(forks=b"")],
    [summary(), summary()],
    [Heads(rows(wire.MAX_ROWS + 1), [], True)],
    [Heads([], digests(wire.MAX_FORKS + 1), True)],
    [Heads([Row(A[:31], 1, A, 1)], [], True)],
    [Heads([Row(A, 1, A[:31], 1)], [], True)],
    [Heads([Row(A, 2**63, A, 1)], [], True)],
    [Heads([Row(A, -1, A, 0)], [], True)],
    [Heads([Row(A, 1, A, 2)], [], True)],
    [Heads([Row(A, 1, A, -1)], [], True)],
    [Heads([Row(B, 1, A, 1), Row(A, 1, A, 1)], [], True)],
    [Heads([Row(A, 1, A, 1), Row(A, 2, A, 1)], [], True)],
    [Heads([], [B, A], True)],
    [Heads([], [A, A], True)],
    [Heads([], [A[:5]], True)],
    [Heads([], [], True), Heads([], [], True)],
    [head(origin_hash=b"")],
    [head(note=b"n" * (wire.MAX_NOTE_BYTES + 1))],
    [head(old_size=2**63)],
    [head(old_size=-1)],
    [head(old_root=A[1:])],
    [head(proof=[A] * (wire.MAX_PROOF_HASHES + 1))],
    [head(proof=[A[1:]])],
    [head(proof=[A], entries=[b"x"])],
    [head(entries=[b"x"] * (wire.MAX_ENTRIES + 1))],
    [head(entries=[b"x" * wire.MAX_ENTRIES_BYTES, b"x"])],
    [head(origin_hash=digest) for digest in digests(wire.MAX_HEADS + 1)],
    [head(), head(old_size=3)],
    [Cosig(A, 2**63, A, ["x"])],
    [Cosig(A, 1, A, [])],
    [Cosig(A, 1, A, ["x"] * (wire.MAX_LINES + 1))],
    [Cosig(A, 1, A, ["x" * (wire.MAX_LINE_BYTES + 1)])],
    [Cosig(A, 1, A, ["é" * wire.MAX_LINE_BYTES])],
    [Cosig(A, 1, A, ["x"])] * (wire.MAX_COSIGS + 1),
    [Evidence(A, b"x" * (wire.MAX_FORK_BYTES + 1))],
    [Evidence(A[:-1], b"x")],
    [Evidence(A, b"x")] * (wire.MAX_EVIDENCE + 1),
    [RosterDoc(b"x" * (wire.MAX_ROSTER_BYTES + 1))],
    [RosterDoc(b"x")] * (wire.MAX_ROSTERS + 1),
]


@pytest.mark.parametrize("messages", WITHIN, ids=lambda messages: type(messages[0]).__name__)
def test_what_is_within_the_limits_passes(messages: list[wire.Message]) -> None:
    assert wire.decode_body(wire.encode_body(messages)) == messages


@pytest.mark.parametrize("messages", BEYOND, ids=lambda messages: type(messages[0]).__name__)
def test_what_is_beyond_a_limit_is_refused_on_both_sides(messages: list[wire.Message]) -> None:
    with pytest.raises(LocalError, match="peers") as told:
        wire.encode_body(messages)
    assert told.value.code == "peer_body"
    with pytest.raises(WireError) as heard:
        wire.decode_body(wire._encode(messages))
    assert heard.value.code == "peer_body"


def test_a_body_that_is_too_long_is_not_even_parsed() -> None:
    most = [Evidence(A, b"x" * wire.MAX_FORK_BYTES)] * 4
    with pytest.raises(LocalError):
        wire.encode_body(most)
    with pytest.raises(WireError, match="bytes"):
        wire.decode_body(bytes(wire.MAX_BODY_BYTES + 1))


GOOD = bytes.fromhex(AS_BYTES)
NOT_CANONICAL = {
    "nothing": b"",
    "no array": b"\xc0",
    "a long array header": b"\xdc\x00\x00",
    "a longer one": b"\xdd\x00\x00\x00\x00",
    "something after it": GOOD + b"\x90",
    "cut": GOOD[:-1],
    "an unknown number": b"\x91\x92\x07\xc4\x00",
    "a number of no kind": b"\x91\x92\xa1x\xc4\x00",
    "one item too many": b"\x91\x93\x06\xc4\x00\xc0",
    "one too few": b"\x91\x91\x06",
    "text for bytes": b"\x91\x92\x06\xa0",
    "a long length of bytes": b"\x91\x92\x06\xc5\x00\x00",
    "a long number": GOOD.replace(b"\x01\x03\xc4", b"\x01\xcc\x03\xc4", 1),
    "a float for a number": GOOD.replace(b"\x01\x03\xc4", b"\x01\xca\x40\x40\x00\x00\xc4", 1),
    "a map": b"\x91\x82\x00\x06\x01\xc4\x00",
    "a lone surrogate": b"\x91\x95\x04\xc4\x20" + A + b"\x01\xc4\x20" + A + b"\x91\xa3\xed\xa0\x80",
    "a list that claims four billion": b"\xdd\xff\xff\xff\xff",
    "bytes that claim four billion": b"\x91\x92\x06\xc6\xff\xff\xff\xff",
    "a thousand lists in one another": b"\x91" * 1000 + b"\x90",
}


@pytest.mark.parametrize("body", NOT_CANONICAL.values(), ids=NOT_CANONICAL)
def test_whatever_has_another_form_is_refused(body: bytes) -> None:
    with pytest.raises(WireError) as error:
        wire.decode_body(body)
    assert error.value.code == "peer_body"


def test_the_same_bytes_come_from_another_library() -> None:
    tree = [
        [1, 3, A, B, A, True],
        [2, [[A, 300, B, 256]], [B], False],
        [3, A, b"note", 5, B, [A], []],
        [4, A, 300, B, ["line\n"]],
        [5, A, b"{}"],
        [6, b"{}"],
    ]
    assert msgpack.packb(tree, use_bin_type=True) == wire.encode_body(ONE_OF_EACH)
