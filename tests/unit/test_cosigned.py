"""Checkpoints with cosignatures: of each witness its newest good line, of the log its own, and nothing else."""

from __future__ import annotations

from hashlib import sha256

import pytest
from rosters import key, log_key, vkey, witness_key

from gateway.errors import ProofError, SignatureError
from gateway.tlog.checkpoint import Checkpoint, cosign, open_checkpoint, sign_checkpoint, verify_cosignature
from gateway.tlog.cosigned import bare, cosigners, with_cosignatures
from gateway.tlog.note import (
    COSIGNATURE,
    ED25519,
    MAX_SIGNATURES,
    Signature,
    VerifierKey,
    join_note,
    parse_note,
    sign_note,
)

LOG = log_key("a")
HEAD = Checkpoint(LOG.name, 8, sha256(b"root").digest())
TEXT = HEAD.encode()
OWN = sign_note(TEXT, LOG.name, key("a log 1"))
NOTE = sign_checkpoint(HEAD, LOG.name, key("a log 1"))
B, C, D = (witness_key(name) for name in "bcd")
NOW_S = 1_700_000_000


def line(name: str, at_s: int = NOW_S, head: Checkpoint = HEAD) -> str:
    return cosign(head, witness_key(name).name, key(f"{name} witness 1"), at_s)


def broken(text: str) -> str:
    signature = parse_note(join_note(TEXT, [text])).signatures[0]
    return Signature(signature.name, signature.key_id, signature.blob[:-1] + b"\0").encode()


def test_cosignatures_come_in_the_order_that_is_asked_for() -> None:
    lines = [line("d"), line("b"), line("c")]
    assert with_cosignatures(NOTE, lines, [B, C, D]) == join_note(
        TEXT, [OWN, line("b"), line("c"), line("d")]
    )
    assert with_cosignatures(NOTE, lines, [D, B]) == join_note(TEXT, [OWN, line("d"), line("b")])
    assert with_cosignatures(NOTE, [], [B]) == NOTE


def test_the_newest_line_of_each_counts_wherever_it_stands() -> None:
    note = join_note(TEXT, [OWN, line("b", 20), line("c", 10), line("b", 10)])
    got = with_cosignatures(note, [line("c", 30), line("c", 20), line("b", 5)], [B, C])
    assert got == join_note(TEXT, [OWN, line("b", 20), line("c", 30)])
    assert with_cosignatures(got, [line("b", 20)], [B, C]) == got


def test_what_does_not_verify_is_left_out_and_an_older_good_line_takes_its_place() -> None:
    other = Checkpoint(LOG.name, 9, HEAD.root)
    lines = [broken(line("b", 30)), line("b", 20), line("c", 10, other), "\u2014 b\n", "nothing", ""]
    assert with_cosignatures(NOTE, lines, [B, C]) == join_note(TEXT, [OWN, line("b", 20)])


def test_unknown_witnesses_and_signers_are_left_out() -> None:
    stranger = sign_note(TEXT, "stranger.example", key("stranger"))
    note = join_note(TEXT, [stranger, OWN, line("d")])
    assert with_cosignatures(note, [line("c")], [B, C]) == join_note(TEXT, [OWN, line("c")])


def test_a_cosignature_without_a_time_is_none() -> None:
    blob = b"\0" * 8 + key("b witness 1").sign(f"cosignature/v1\ntime 0\n{TEXT}".encode())
    assert with_cosignatures(NOTE, [Signature(B.name, B.key_id, blob).encode()], [B]) == NOTE


def test_the_log_s_two_signatures_during_a_rotation_stay() -> None:
    second = sign_note(TEXT, LOG.name, key("a log 2"))
    note = join_note(TEXT, [second, OWN, line("b")])
    got = with_cosignatures(note, [line("c")], [B, C])
    assert got == join_note(TEXT, [second, OWN, line("b"), line("c")])
    assert bare(got, [log_key("a"), log_key("a", 2)]) == join_note(TEXT, [second, OWN])
    assert bare(got, [log_key("a")]) == NOTE


def test_a_witness_that_has_the_name_of_the_log_is_a_witness() -> None:
    twin = vkey(LOG.name, "twin", COSIGNATURE)
    said = cosign(HEAD, LOG.name, key("twin"), NOW_S)
    assert with_cosignatures(NOTE, [broken(said)], [twin]) == NOTE
    got = with_cosignatures(NOTE, [said], [twin])
    assert got == join_note(TEXT, [OWN, said])
    assert with_cosignatures(got, [], [twin]) == got


def test_a_log_key_is_no_witness() -> None:
    assert with_cosignatures(NOTE, [OWN], [LOG]) == NOTE
    assert cosigners(NOTE, [vkey(LOG.name, "a log 1", ED25519)]) == []


def test_cosignatures_alone_are_nothing() -> None:
    with pytest.raises(SignatureError) as caught:
        with_cosignatures(join_note(TEXT, [line("b")]), [line("c")], [B, C])
    assert caught.value.code == "note_unknown"


def test_what_comes_out_is_a_note_however_many_cosign() -> None:
    names = [f"w{number}" for number in range(70)]
    got = with_cosignatures(NOTE, [line(name) for name in names], [witness_key(name) for name in names])
    assert len(parse_note(got).signatures) == MAX_SIGNATURES
    assert open_checkpoint(got, LOG) == HEAD


def test_bare_is_what_the_log_signed() -> None:
    got = with_cosignatures(NOTE, [line("b"), line("c")], [B, C])
    assert bare(got, [LOG]) == NOTE
    assert bare(join_note(TEXT, [OWN, OWN]), [LOG]) == NOTE
    with pytest.raises(SignatureError) as caught:
        bare(got, [log_key("b")])
    assert caught.value.code == "note_unknown"
    with pytest.raises(ProofError):
        bare(b"nothing", [LOG])


def test_cosigners_are_those_whose_lines_verify() -> None:
    note = join_note(TEXT, [OWN, line("d"), broken(line("c")), line("b")])
    assert cosigners(note, [B, C, D, B]) == [B, D]
    assert cosigners(NOTE, [B]) == []


def test_what_was_put_together_verifies_line_by_line() -> None:
    got = parse_note(with_cosignatures(NOTE, [line("b"), line("c")], [B, C]))
    witnesses: list[VerifierKey] = [B, C]
    assert [
        verify_cosignature(HEAD, sig, k) for sig, k in zip(got.signatures[1:], witnesses, strict=True)
    ] == [
        NOW_S,
        NOW_S,
    ]


def test_what_is_no_checkpoint_is_refused() -> None:
    with pytest.raises(ProofError) as caught:
        with_cosignatures(join_note("a text\n", [OWN]), [], [])
    assert caught.value.code == "checkpoint"
