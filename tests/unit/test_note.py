"""Notes, checkpoints, proofs and policies: each rule beside a twin that breaks it."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import LocalError, ProofError, RemoteError, SignatureError
from gateway.keys.sign import SigningKey
from gateway.tlog.checkpoint import (
    Checkpoint,
    cosign,
    open_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
    verify_cosignature,
)
from gateway.tlog.merkle import EMPTY_ROOT, leaf_hash
from gateway.tlog.note import (
    COSIGNATURE,
    ED25519,
    MAX_NOTE_BYTES,
    MAX_SIGNATURES,
    PrivateKey,
    Signature,
    VerifierKey,
    encode_private,
    join_note,
    parse_note,
    parse_private,
    parse_signature_line,
    parse_vkey,
    sign_note,
    verify_note,
)
from gateway.tlog.policy import Policy, parse_policy, quorum_size
from gateway.tlog.proof import TlogProof, parse_tlog_proof, verify_tlog_proof

KEY = SigningKey(bytes(range(32)))
NAME = "rig.example/vrlog"
LOG = VerifierKey.of(NAME, KEY.public)
TEXT = "text\n\nwith a blank line, and \u2014 a dash\n"
GOOD = join_note(TEXT, [sign_note(TEXT, NAME, KEY)])
ROOT = leaf_hash(b"leaf")
CHECKPOINT = Checkpoint(NAME, 1, ROOT)
ROOT_64 = b64encode(ROOT).decode()
WITNESS_SEEDS = [SigningKey(bytes([i]) * 32) for i in range(1, 6)]
WITNESSES = [VerifierKey.of(f"w{i}.example", key.public, COSIGNATURE) for i, key in enumerate(WITNESS_SEEDS)]

# the example of the signed-note specification
SPEC_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SPEC_NOTE = (
    "This is an example message.\n\n\u2014 example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
# the example key of Go's golang.org/x/mod/sumdb/note
GO_PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
)
GO_LINE = (
    "\u2014 PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_the_specification_s_example_verifies() -> None:
    vkey = parse_vkey(SPEC_VKEY)
    note = parse_note(SPEC_NOTE.encode())
    assert verify_note(note, [LOG, vkey]) == [vkey]
    assert note.encode() == SPEC_NOTE.encode()
    assert vkey.encode() == SPEC_VKEY


def test_go_s_example_key_signs_the_same_bytes() -> None:
    private = parse_private(GO_PRIVATE + "\n")
    assert encode_private(private) == GO_PRIVATE
    assert private.verifier.encode() == GO_VKEY
    assert sign_note(GO_TEXT, private.name, private.key) == GO_LINE
    assert GO_PRIVATE[-44:] not in repr(private)


@pytest.mark.parametrize("sig_type", [ED25519, COSIGNATURE])
def test_private_keys_come_back(sig_type: int) -> None:
    text = encode_private(PrivateKey(NAME, sig_type, KEY))
    private = parse_private(text)
    assert (private.name, private.sig_type, private.key.seed) == (NAME, sig_type, KEY.seed)
    assert private.verifier == VerifierKey.of(NAME, KEY.public, sig_type)


@pytest.mark.parametrize(
    "text",
    [
        "",
        GO_PRIVATE + "\n\n",
        GO_PRIVATE.replace("c74f20a3", "c74f20a4"),
        GO_PRIVATE.replace("c74f20a3", "C74F20A3"),
        GO_PRIVATE.replace("+AYEK", "+AYEL"),
        GO_PRIVATE.replace("+AYEK", "+AoEK"),
        GO_PRIVATE.replace("PeterNeumann", "Peter Neumann"),
        GO_PRIVATE.replace("PRIVATE+KEY+", "private+key+"),
        GO_PRIVATE[:-4],
        GO_VKEY,
    ],
)
def test_other_private_keys_are_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ProofError) as caught:
        parse_private(text)
    assert caught.value.code == "private_key"
    assert "AYEK" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a+b",
        GO_VKEY + "=",
        GO_VKEY + "\n",
        GO_VKEY.replace("c74f20a3", "c74f20a"),
        GO_VKEY.replace("c74f20a3", "0c74f20a3"),
        GO_VKEY.replace("c74f20a3", "C74f20a3"),
        GO_VKEY.replace("c74f20a3", "c74f20a4"),
        GO_VKEY.replace("Peter", "Peter\u2003"),
        GO_VKEY.replace("Peter", "Peter\n"),
        GO_VKEY.replace("Peter", "\udc80"),
        GO_VKEY.replace("PeterNeumann", ""),
        GO_VKEY.replace("ARpc", "BBpc"),
        GO_VKEY[:-4],
        "n+00000000+AQ==",
        "n+00000000+",
        "n" * 5000,
    ],
)
def test_other_verifier_keys_are_refused(text: str) -> None:
    with pytest.raises(ProofError) as caught:
        parse_vkey(text)
    assert caught.value.code == "vkey"


def test_a_key_of_an_unknown_type_is_read_and_signs_nothing() -> None:
    other = parse_vkey("rig.example/vrlog+00000000+" + b64encode(b"\x06" + bytes(1312)).decode())
    assert other.sig_type == 6
    line = Signature(other.name, other.key_id, bytes(2428)).encode()
    note = parse_note(join_note(TEXT, [line, sign_note(TEXT, NAME, KEY)]))
    assert verify_note(note, [other, LOG]) == [LOG]
    with pytest.raises(SignatureError) as caught:
        verify_note(note, [other])
    assert caught.value.code == "note_unknown"


def test_the_last_blank_line_ends_the_text() -> None:
    note = parse_note(GOOD)
    assert note.text == TEXT
    assert verify_note(note, [LOG]) == [LOG]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"blank", b"Blank"),
        (b"\n\n\xe2\x80\x94 rig", b"\n\xe2\x80\x94 rig"),
        (b"\n\xe2\x80\x94 rig", b"\n- rig"),
        (b"\n\xe2\x80\x94 rig", b"\n\xe2\x80\x94  rig"),
        (b"\n\xe2\x80\x94 rig", b"\n \xe2\x80\x94 rig"),
        (b"\n\xe2\x80\x94 rig", b"\n\xe2\x80\x93 rig"),
        (b"rig.example", b"rig\xc2\xa0example"),
        (b"rig.example", b"rig+example"),
        (b"rig.example", b"rag.example"),
        (b"with a", b"with\ta"),
        (b"with a", b"with\ra"),
        (b"with a", b"with\0a"),
        (b"with a", b"with\xffa"),
        (b"=\n", b"\n"),
        (b"=\n", b"=\r\n"),
        (b"=\n", b"=\n\n"),
        (b"=\n", b"="),
        (b"=\n", b"= \n"),
        (b"=\n", b"=\nmore\n"),
        (b"/vrlog ", b"/vrlog AAAA"),
    ],
)
def test_a_corrupt_twin_is_refused(old: bytes, new: bytes) -> None:
    assert old in GOOD
    head, _, tail = GOOD.rpartition(old)
    with pytest.raises(RemoteError) as caught:
        verify_note(parse_note(head + new + tail), [LOG])
    assert caught.value.code in {"note_format", "note_signature", "note_unknown"}


def test_a_known_key_that_fails_refuses_the_whole_note() -> None:
    other = SigningKey(bytes(32))
    vkey = VerifierKey.of("other", other.public)
    bad = Signature("other", vkey.key_id, bytes(64)).encode()
    note = parse_note(join_note(TEXT, [sign_note(TEXT, NAME, KEY), bad]))
    assert verify_note(note, [LOG]) == [LOG], "the other key is unknown, so its line is ignored"
    with pytest.raises(SignatureError) as caught:
        verify_note(note, [LOG, vkey])
    assert caught.value.code == "note_signature"


def test_a_key_that_signs_twice_counts_once() -> None:
    line = sign_note(TEXT, NAME, KEY)
    assert verify_note(parse_note(join_note(TEXT, [line, line])), [LOG]) == [LOG]


def test_a_shared_name_or_id_alone_is_not_a_known_key() -> None:
    key = SigningKey(bytes(32))
    same_name = VerifierKey.of(NAME, key.public)
    same_id = VerifierKey("other", LOG.key_id, ED25519, key.public)
    assert verify_note(parse_note(GOOD), [same_name, same_id, LOG]) == [LOG]
    with pytest.raises(SignatureError):
        verify_note(parse_note(GOOD), [same_name, same_id])
    with pytest.raises(LocalError):
        verify_note(parse_note(GOOD), [LOG, VerifierKey(NAME, LOG.key_id, ED25519, key.public)])


def test_limits_of_notes() -> None:
    line = sign_note(TEXT, NAME, KEY)
    assert len(parse_note(join_note(TEXT, [line] * MAX_SIGNATURES)).signatures) == MAX_SIGNATURES
    long = "x" * (MAX_NOTE_BYTES - len(GOOD)) + TEXT
    assert len(join_note(long, [line])) == MAX_NOTE_BYTES
    assert parse_note(join_note(long, [line])).text == long
    for data in (join_note(TEXT, [line] * (MAX_SIGNATURES + 1)), join_note("x" + long, [line])):
        with pytest.raises(ProofError) as caught:
            parse_note(data)
        assert caught.value.code == "note_size"


@pytest.mark.parametrize("text", ["", "no line end", "a\tb\n", "a\r\n", "\ud800\n"])
def test_what_is_no_note_text_is_not_signed(text: str) -> None:
    with pytest.raises(LocalError):
        sign_note(text, NAME, KEY)
    with pytest.raises(LocalError):
        join_note(text, [])


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u3000b", "a\nb", "x" * 257, "\ud800"])
def test_what_is_no_name_does_not_sign(name: str) -> None:
    with pytest.raises(LocalError):
        sign_note(TEXT, name, KEY)
    with pytest.raises(LocalError):
        VerifierKey.of(name, KEY.public)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_note_or_our_error(data: bytes) -> None:
    for candidate in (data, data + b"\n\n\xe2\x80\x94 a AAAAAAA=\n"):
        try:
            note = parse_note(candidate)
        except ProofError:
            continue
        assert note.encode() == candidate


@given(st.text(max_size=60))
def test_any_text_gives_a_value_or_our_error(text: str) -> None:
    for parse in (parse_vkey, parse_private, parse_signature_line, parse_checkpoint, parse_tlog_proof):
        for candidate in (
            text,
            f"c2sp.org/tlog-proof@v1\n{text}",
            f"\u2014 {text}\n",
            f"o\n1\n{ROOT_64}\n{text}\n",
        ):
            try:
                value = parse(candidate)
            except ProofError:
                continue
            encoded = encode_private(value) if isinstance(value, PrivateKey) else value.encode()
            assert encoded in (candidate, candidate.encode())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        f"{NAME}\n1\n{ROOT_64}",
        f"{NAME}\n1\n{ROOT_64}\n\n",
        f"{NAME}\n1\n{ROOT_64}\nextension\n\n",
        f"\n1\n{ROOT_64}\n",
        f"{NAME}\n01\n{ROOT_64}\n",
        f"{NAME}\n+1\n{ROOT_64}\n",
        f"{NAME}\n-1\n{ROOT_64}\n",
        f"{NAME}\n1 \n{ROOT_64}\n",
        f"{NAME}\n\u0661\n{ROOT_64}\n",
        f"{NAME}\n{2**63}\n{ROOT_64}\n",
        f"{NAME}\n{10**30}\n{ROOT_64}\n",
        f"{NAME}\n0\n{ROOT_64}\n",
        f"{NAME}\n1\n{ROOT_64[:-1]}\n",
        f"{NAME}\n1\n{ROOT_64[:-4]}\n",
        f"{NAME}\n1\n{ROOT_64[:-2]}9=\n",
        f"{NAME}\n1\n {ROOT_64}\n",
        f"{NAME}\n1\n{ROOT_64}\na\tb\n",
        f"{'x' * 129}\n1\n{ROOT_64}\n",
        f"{NAME}\n1\n{ROOT_64}\n" + "e\n" * 17,
    ],
)
def test_other_checkpoints_are_refused(text: str) -> None:
    with pytest.raises(ProofError) as caught:
        parse_checkpoint(text)
    assert caught.value.code == "checkpoint"


def test_checkpoints_come_back() -> None:
    for checkpoint in (
        CHECKPOINT,
        Checkpoint(NAME, 0, EMPTY_ROOT),
        Checkpoint("o", 2**63 - 1, ROOT, ("one", "two words")),
    ):
        assert parse_checkpoint(checkpoint.encode()) == checkpoint
        assert (
            open_checkpoint(sign_checkpoint(checkpoint, checkpoint.origin, KEY), *_named(checkpoint))
            == checkpoint
        )
    for wrong in (
        Checkpoint(NAME, 1, b""),
        Checkpoint("", 1, ROOT),
        Checkpoint(NAME, 0, ROOT),
        Checkpoint("a\nb", 1, ROOT),
    ):
        with pytest.raises(LocalError):
            sign_checkpoint(wrong, NAME, KEY)


def _named(checkpoint: Checkpoint) -> list[VerifierKey]:
    return [VerifierKey.of(checkpoint.origin, KEY.public)]


def test_a_checkpoint_of_another_origin_is_refused() -> None:
    note = sign_checkpoint(Checkpoint("another.example/log", 1, ROOT), NAME, KEY)
    with pytest.raises(ProofError) as caught:
        open_checkpoint(note, LOG)
    assert caught.value.code == "checkpoint_origin"


def test_a_log_key_may_be_rotated() -> None:
    new = SigningKey(bytes(32))
    vkey = VerifierKey.of(NAME, new.public)
    note = sign_checkpoint(CHECKPOINT, NAME, KEY) + sign_note(CHECKPOINT.encode(), NAME, new).encode()
    assert (
        open_checkpoint(note, LOG)
        == open_checkpoint(note, vkey)
        == open_checkpoint(note, LOG, vkey)
        == CHECKPOINT
    )


def test_cosignatures() -> None:
    line = cosign(CHECKPOINT, "w0.example", WITNESS_SEEDS[0], 1_700_000_000)
    assert verify_cosignature(CHECKPOINT, line, WITNESSES[0]) == 1_700_000_000
    wrong = [
        (Checkpoint(NAME, 2, ROOT), line, WITNESSES[0]),
        (CHECKPOINT, line, WITNESSES[1]),
        (CHECKPOINT, line.replace("w0.", "w1."), WITNESSES[0]),
        (CHECKPOINT, sign_note(CHECKPOINT.encode(), NAME, KEY), LOG),
        (CHECKPOINT, sign_note(CHECKPOINT.encode(), "w0.example", WITNESS_SEEDS[0]), WITNESSES[0]),
    ]
    for checkpoint, wrong_line, vkey in wrong:
        with pytest.raises(SignatureError):
            verify_cosignature(checkpoint, wrong_line, vkey)
    for time_s in (0, -1, 2**63):
        with pytest.raises(LocalError):
            cosign(CHECKPOINT, "w0.example", WITNESS_SEEDS[0], time_s)


def test_a_cosignature_at_time_zero_is_not_a_witness() -> None:
    message = b"cosignature/v1\ntime 0\n" + CHECKPOINT.encode().encode()
    blob = bytes(8) + WITNESS_SEEDS[0].sign(message)
    with pytest.raises(SignatureError):
        verify_cosignature(CHECKPOINT, Signature("w0.example", WITNESSES[0].key_id, blob), WITNESSES[0])


def proof_bytes() -> bytes:
    return TlogProof(0, (), sign_checkpoint(CHECKPOINT, NAME, KEY), b"extra data").encode()


def test_a_proof_with_extra_data_comes_back() -> None:
    data = proof_bytes()
    proof = parse_tlog_proof(data)
    assert proof.encode() == data
    assert proof.extra == b"extra data"
    assert verify_tlog_proof(data, b"leaf", LOG).leaf == ROOT


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"@v1", b"@v2"),
        (b"extra ", b"extra  "),
        (b"extra ZXh0cmEgZGF0YQ==", b"extra "),
        (b"extra ZXh0cmEgZGF0YQ==", b"extra ZXh0cmEgZGF0YR=="),
        (b"extra ZXh0cmEgZGF0YQ==\n", b"\n"),
        (b"index 0", b"index 00"),
        (b"index 0", b"index -0"),
        (b"index 0", b"index 1"),
        (b"index 0", b"Index 0"),
        (b"index 0\n\n", b"index 0\n"),
        (b"index 0\n\n", b"index 0\n\n\n"),
        (b"index 0\n", b"index 0\nAAAA\n"),
        (b"index 0\n", b"index 0\n" + b64encode(ROOT) + b"\n"),
        (b"index 0\n", b"index 0\r\n"),
    ],
)
def test_a_corrupt_proof_is_refused(old: bytes, new: bytes) -> None:
    data = proof_bytes()
    assert data.count(old) == 1
    with pytest.raises(RemoteError):
        verify_tlog_proof(data.replace(old, new), b"leaf", LOG)


def policy_text(*rules: str, n: int = 5) -> bytes:
    lines = [f"log {LOG.encode()} https://rig.example/vrlog"]
    lines += [f"witness W{i} {vkey.encode()}" for i, vkey in enumerate(WITNESSES[:n])]
    return "\n".join([*lines, *rules, ""]).encode()


def cosigned(*numbers: int) -> bytes:
    lines = [cosign(CHECKPOINT, WITNESSES[i].name, WITNESS_SEEDS[i], 5) for i in numbers]
    return sign_checkpoint(CHECKPOINT, NAME, KEY) + "".join(lines).encode()


@pytest.mark.parametrize(
    ("rules", "enough", "too_few"),
    [
        (["quorum none"], [(), (1, 2)], []),
        (["quorum W1"], [(1,), (0, 1)], [(), (0, 2)]),
        (["group g any W0 W1", "quorum g"], [(0,), (1,), (0, 1)], [(), (2,)]),
        (["group g all W0 W1", "quorum g"], [(0, 1), (0, 1, 2)], [(), (0,), (1, 2)]),
        (["group g 2 W0 W1 W2", "quorum g"], [(0, 2), (0, 1, 2)], [(0,), (0, 3, 4)]),
        (
            ["group X 2 W0 W1 W2", "group Y any W3 W4", "group both all X Y", "quorum both"],
            [(0, 1, 3), (1, 2, 4), (0, 1, 2, 3, 4)],
            [(0, 1, 2), (0, 3, 4), (3, 4)],
        ),
        (["# a comment", "\t group  g\t1 W0 ", "", " # more", "quorum g"], [(0,)], [()]),
    ],
)
def test_quorums(rules: list[str], enough: list[tuple[int, ...]], too_few: list[tuple[int, ...]]) -> None:
    policy = parse_policy(policy_text(*rules))
    for numbers in enough:
        report = policy.report(parse_note(cosigned(*numbers)))
        assert report.satisfied
        assert report.log == LOG
        assert report.witnesses == tuple(f"W{i}" for i in numbers)
    for numbers in too_few:
        assert not policy.satisfied(parse_note(cosigned(*numbers)))


def test_one_witness_cosigning_twice_is_one() -> None:
    policy = parse_policy(policy_text("group g 2 W0 W1", "quorum g"))
    again = cosign(CHECKPOINT, WITNESSES[0].name, WITNESS_SEEDS[0], 6).encode()
    assert not policy.satisfied(parse_note(cosigned(0) + again))


def test_a_checkpoint_of_an_unlisted_log_is_not_valid() -> None:
    other = VerifierKey.of("other.example/log", SigningKey(bytes(32)).public)
    witness = f"witness W0 {WITNESSES[0].encode()}\n"
    for log, satisfied in ((f"log {other.encode()}\n", False), ("", True)):
        policy = parse_policy((log + witness + "quorum W0\n").encode())
        assert policy.satisfied(parse_note(cosigned(0))) is satisfied
    stranger = sign_checkpoint(Checkpoint("other.example/log", 1, ROOT), NAME, KEY)
    assert not parse_policy(policy_text("quorum none")).satisfied(parse_note(stranger))


def test_a_note_with_a_failing_witness_is_not_valid() -> None:
    policy = parse_policy(policy_text("quorum none"))
    bad = Signature(WITNESSES[0].name, WITNESSES[0].key_id, bytes(72)).encode().encode()
    assert not policy.satisfied(parse_note(cosigned() + bad))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        policy_text(),
        policy_text("quorum none", "quorum none"),
        policy_text("quorum g"),
        policy_text("quorum g", "group g any W0"),
        policy_text("group g any", "quorum g"),
        policy_text("group g 0 W0", "quorum g"),
        policy_text("group g 2 W0", "quorum g"),
        policy_text("group g 01 W0", "quorum g"),
        policy_text("group g some W0", "quorum g"),
        policy_text("group g any g", "quorum g"),
        policy_text("group g any none", "quorum g"),
        policy_text("group none any W0", "quorum none"),
        policy_text("group W0 any W1", "quorum W0"),
        policy_text("group g 2 W0 W0", "quorum g"),
        policy_text("group g any W0", "group h any W0", "quorum g"),
        policy_text("quorum none") + policy_text("", n=0),
        policy_text("quorum none", f"witness again {WITNESSES[0].encode()}"),
        policy_text("quorum none", f"witness plain {SPEC_VKEY}"),
        policy_text("quorum none", f"log {SPEC_VKEY} a b"),
        policy_text("quorum none", "log"),
        policy_text("quorum none", "log nonsense"),
        policy_text("quorum none", "Quorum none"),
        policy_text("quorum none")[:-1],
        policy_text("quorum none\r"),
        policy_text("quorum\u00a0none"),
        policy_text("quorum none", "#" * 65_536),
        policy_text("quorum none") + b"# \x00\n",
        policy_text("quorum none") + b"log \x80" + LOG.encode().encode() + b"\n",
    ],
)
def test_other_policies_are_refused(data: bytes) -> None:
    with pytest.raises(ProofError) as caught:
        parse_policy(data)
    assert caught.value.code == "policy"


def test_policy_names_are_opaque_octets() -> None:
    vkey = WITNESSES[0].encode().encode()
    policy = parse_policy(b"witness \xff " + vkey + b"\nquorum \xff\n")
    assert policy.satisfied(parse_note(cosigned(0)))
    with pytest.raises(ProofError):
        parse_policy(b"witness K " + vkey + b"\nquorum \xe2\x84\xaa\n")


def test_quorum_sizes() -> None:
    # Two quorums must share more witnesses than can be malicious
    table = {(3, 0): 2, (3, 1): 3, (4, 1): 3, (5, 1): 4, (7, 2): 5, (10, 2): 7}
    for (n, f), q in table.items():
        assert quorum_size(n, f) == q
    for n in range(1, 12):
        for f in range(n):
            assert 2 * quorum_size(n, f) - n > f >= 2 * (quorum_size(n, f) - 1) - n
    with pytest.raises(LocalError):
        quorum_size(3, 3)


def test_a_policy_is_a_value() -> None:
    data = policy_text("quorum none")
    first: Policy = parse_policy(data)
    assert first == parse_policy(data)
    assert first.logs[0].url == "https://rig.example/vrlog"
