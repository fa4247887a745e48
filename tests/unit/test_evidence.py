"""The proof document: it holds with nothing but the log's key, and every link that is broken is named."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode, b64encode
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.app.evidence import encode_evidence, find_sample, prove_batch, prove_frame, verify_evidence
from gateway.core.records import PartRow
from gateway.errors import Damage, LocalError, ProofError
from gateway.keys.sign import SigningKey
from gateway.store.keyfiles import KeyRing, load_keys
from gateway.store.snapshot import Snapshot
from gateway.store.subjects import Subjects
from gateway.store.vault import Vault
from gateway.tlog.checkpoint import Checkpoint, cosign, origin_hash, sign_checkpoint
from gateway.tlog.note import COSIGNATURE, VerifierKey
from tests.stores import Facts, Gateway, make_store, open_gateway, pose


class Case:
    """An open store, its keys, and a signed checkpoint."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.keys: KeyRing = load_keys(facts.layout)
        self.snapshot = Snapshot(facts.layout.database)
        self.vault = Vault.open(facts.layout.vault, bytes.fromhex(origin_hash(self.keys.origin)))
        head = self.snapshot.head()
        self.head = Checkpoint(self.keys.origin, head.size, head.root)
        self.checkpoint = sign_checkpoint(self.head, self.keys.origin, self.keys.log)
        self.vkey = VerifierKey.of(self.keys.origin, self.keys.log.public).encode()
        self.rows: list[PartRow] = list(self.snapshot.iter_parts())
        self.document = encode_evidence(self.frame(self.rows[0], 0)) if self.rows[0].frames else b""

    def subject_key(self, session: bytes) -> bytes:
        subjects = Subjects(self.facts.layout.subjects, self.keys.master)
        try:
            return subjects.key(self.facts.subjects[[bytes(s) for s in self.facts.sessions].index(session)])
        finally:
            subjects.close()

    def frame(self, row: PartRow, index: int) -> dict[str, Any]:
        return prove_frame(
            self.snapshot, self.vault, self.subject_key(row.session), row, index, self.checkpoint
        )

    def batch(self, number: int, part: int | None = None) -> dict[str, Any]:
        return prove_batch(self.snapshot, self.vault, number, self.checkpoint, part)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(asyncio.run(make_store(tmp_path_factory.mktemp("evidence") / "data", sessions=3, frames=7)))


def broken(document: bytes, vkey: str, policy: str | None = None) -> str:
    with pytest.raises(ProofError) as error:
        verify_evidence(document, vkey, policy)
    assert error.value.exit_code == 65
    return error.value.code


# ---- what holds -------------------------------------------------------------------------------------------------


def test_every_frame_can_be_proven(case: Case) -> None:
    proven = []
    for row in case.rows:
        for index in range(row.frames):
            document = encode_evidence(case.frame(row, index))
            checked = verify_evidence(document, case.vkey)
            assert (checked.batch, checked.log.checkpoint) == (row.batch, case.head)
            proven.append(checked.frame)
    assert sorted(proven, key=bytes) == sorted(data for *_, data in case.facts.frames)


def test_a_batch_can_be_proven_with_and_without_a_part(case: Case) -> None:
    for number in range(1, case.facts.batches + 1):
        checked = verify_evidence(encode_evidence(case.batch(number)), case.vkey)
        assert (checked.batch, checked.frame, checked.core) == (number, None, None)
        checked = verify_evidence(encode_evidence(case.batch(number, 0)), case.vkey)
        assert checked.core is not None
        assert checked.frame is None


def test_it_says_what_is_proven_and_what_is_not(case: Case) -> None:
    checked = verify_evidence(encode_evidence(case.frame(case.rows[0], 0)), case.vkey)
    assert len(checked.proven) == 4
    assert checked.gateway in " ".join(checked.proven)
    assert [
        word for word in ("when", "device", "quorum", "clinic") if word in " ".join(checked.not_proven)
    ] == [
        "when",
        "device",
        "quorum",
        "clinic",
    ]


def test_a_quorum_is_checked_when_a_policy_asks(case: Case) -> None:
    witness = SigningKey(bytes(31) + b"\x07")
    name = "w1.example/witness"
    line = cosign(case.head, name, witness, 1_700_000_000)
    document = case.frame(case.rows[0], 0)
    cosigned = encode_evidence(document | {"tlog_proof": document["tlog_proof"] + line})
    policy = f"log {case.vkey}\nwitness w1 {VerifierKey.of(name, witness.public, COSIGNATURE).encode()}\nquorum w1\n"
    checked = verify_evidence(cosigned, case.vkey, policy)
    assert "w1" in " ".join(checked.proven)
    assert "quorum" not in " ".join(checked.not_proven)
    assert broken(encode_evidence(document), case.vkey, policy) == "log"
    assert broken(cosigned, case.vkey, "quorum nobody\n") == "policy"


def test_the_document_is_plain_json_in_its_canonical_form(case: Case) -> None:
    document = case.frame(case.rows[0], 1)
    data = encode_evidence(document)
    assert json.loads(data) == document
    assert data == rfc8785.dumps(document) + b"\n"
    assert document["format"] == "vestibule-proof/1"


# ---- what does not ----------------------------------------------------------------------------------------------


def test_another_logs_key_or_a_witness_key_proves_nothing(case: Case) -> None:
    document = encode_evidence(case.batch(1))
    other = SigningKey(bytes(32))
    assert broken(document, VerifierKey.of(case.keys.origin, other.public).encode()) == "log"
    assert broken(document, VerifierKey.of(case.keys.origin, other.public, COSIGNATURE).encode()) == "vkey"
    assert broken(document, "nonsense") == "vkey"


LINKS = {
    "format": {"document"},
    "frame": {"frame", "frame_path"},
    "salt": {"frame", "frame_path"},
    "frame_index": {"frame_path"},
    "frame_count": {"frame_path"},
    "header": {"header", "header_path", "frame_path"},
    "part_index": {"header_path"},
    "part_count": {"header_path"},
    "entry": {"entry", "entry_signature", "header_path", "log"},
    "tlog_proof": {"log"},
}


# 11 has no factor in common with the bits of a byte or of a base64 digit: each place in one comes up.
@pytest.mark.parametrize(
    "step", [11, pytest.param(1, marks=[pytest.mark.slow, pytest.mark.torture])], ids=["sampled", "each"]
)
def test_every_bit_of_every_field_counts(case: Case, step: int) -> None:
    document = case.frame(case.rows[1], 2)
    checked = 0
    for name, value in document.items():
        if isinstance(value, int):
            for bit in range(16):
                assert broken(encode_evidence(document | {name: value ^ 1 << bit}), case.vkey) in LINKS[name]
                checked += 1
        elif isinstance(value, list):
            code = {"frame_path": "frame_path", "header_path": "header_path"}[name]
            for index, item in enumerate(value):
                for bit in range(index % step, 256, step):
                    changed = [*value]
                    changed[index] = flipped(item, bit)
                    assert broken(encode_evidence(document | {name: changed}), case.vkey) == code
                    checked += 1
            for changed in (value[:-1], [*value, value[0]], [*value[:-1], ""]):
                assert broken(encode_evidence(document | {name: changed}), case.vkey) == code
        elif name in ("format", "tlog_proof"):
            raw = value.encode()
            for bit in range(0, len(raw) * 8, step):
                data = bytearray(raw)
                data[bit // 8] ^= 1 << bit % 8
                text = data.decode("utf-8", "replace")
                assert broken(encode_evidence(document | {name: text}), case.vkey) in LINKS[name], text
                checked += 1
        else:
            for bit in range(0, len(b64decode(value)) * 8, step):
                assert (
                    broken(encode_evidence(document | {name: flipped(value, bit)}), case.vkey) in LINKS[name]
                )
                checked += 1
    assert checked > 5000 // step


def flipped(text: str, bit: int) -> str:
    data = bytearray(b64decode(text))
    data[bit // 8] ^= 1 << bit % 8
    return b64encode(data).decode()


@given(data=st.data())
@settings(max_examples=300)
def test_every_bit_of_the_file_counts(case: Case, data: st.DataObject) -> None:
    document = bytearray(case.document)
    bit = data.draw(st.integers(0, len(document) * 8 - 1))
    document[bit // 8] ^= 1 << bit % 8
    assert broken(bytes(document), case.vkey)


@given(st.binary(max_size=300))
def test_rubbish_is_a_proof_error(case: Case, data: bytes) -> None:
    assert broken(data, case.vkey) == "document"


def test_other_shapes_are_refused(case: Case) -> None:
    document = case.frame(case.rows[0], 0)
    for name in document:
        less = {key: value for key, value in document.items() if key != name}
        assert broken(encode_evidence(less), case.vkey) == "document"
        wrong: Any
        for wrong in (None, 1.5, [], {}, "", True, 7, -1, ["x"]):
            assert broken(encode_evidence(document | {name: wrong}), case.vkey)
    for data in (
        encode_evidence(document | {"note": "more"}),
        json.dumps(document, indent=1).encode(),
        encode_evidence(document).rstrip(),
        encode_evidence(document) + b"\n",
        b'{"a":1,"a":1}\n',
    ):
        assert broken(data, case.vkey) == "document"
    assert broken(b" " * 10_000_000, case.vkey) == "document"


def test_parts_of_two_documents_do_not_mix(case: Case) -> None:
    one, two = case.frame(case.rows[0], 0), case.frame(case.rows[-2], 1)
    for names, code in (
        (("frame", "salt"), {"frame_path"}),
        (("frame", "salt", "frame_index", "frame_count", "frame_path"), {"frame_path"}),
        (("header", "part_index", "part_count", "header_path"), {"frame_path", "header_path"}),
        (("entry",), {"header_path", "log"}),
        (("tlog_proof",), {"log"}),
    ):
        mixed = one | {name: two[name] for name in names}
        assert broken(encode_evidence(mixed), case.vkey) in code


def test_an_entry_that_is_no_batch_proves_no_batch(case: Case) -> None:
    entry = case.snapshot.entry(0)
    assert entry is not None
    document = case.batch(1) | {"entry": b64encode(entry).decode()}
    assert broken(encode_evidence(document), case.vkey) == "entry"


def test_what_cannot_be_proven_is_said(case: Case) -> None:
    row = case.rows[0]
    with pytest.raises(LocalError):
        case.frame(row, row.frames)
    with pytest.raises(LocalError):
        case.batch(999)
    with pytest.raises(LocalError):
        case.batch(1, 99)
    with pytest.raises(Damage):
        prove_frame(case.snapshot, case.vault, bytes(32), row, 0, case.checkpoint)
    old = sign_checkpoint(Checkpoint(case.keys.origin, 1, bytes(32)), case.keys.origin, case.keys.log)
    with pytest.raises(LocalError):
        prove_batch(case.snapshot, case.vault, 1, old)


# ---- finding ----------------------------------------------------------------------------------------------------


def test_every_stored_sample_is_found(case: Case) -> None:
    session = case.facts.sessions[1]
    key = case.subject_key(session)
    wanted = [(stream, first, data) for owner, stream, first, data in case.facts.frames if owner == session]
    for stream, first, data in wanted:
        row, index = find_sample(case.snapshot, case.vault, key, session, stream, first)
        checked = verify_evidence(encode_evidence(case.frame(row, index)), case.vkey)
        assert checked.frame == data
    with pytest.raises(LocalError, match="refused or missing"):
        find_sample(case.snapshot, case.vault, key, session, 0, 12)
    with pytest.raises(LocalError, match="no stream 55"):
        find_sample(case.snapshot, case.vault, key, session, 55, 0)
    with pytest.raises(LocalError, match="counted from 0"):
        find_sample(case.snapshot, case.vault, key, session, 1, 10_000)


async def test_streams_of_the_same_number_are_told_apart(tmp_path: Any) -> None:
    facts = await make_store(tmp_path / "data", batches=0, sessions=0)
    gateway: Gateway = await open_gateway(facts.layout, facts)
    links = gateway.open_session("P-1", devices=2)
    again = gateway.link(links[0].record.session, links[0].record.device)
    for number, link in enumerate([*links, again]):
        gateway.data(link, [pose(0, 0, 1 + number)])
    await gateway.cycle()
    await gateway.store.close()
    case = Case(facts)
    session, key = facts.sessions[0], case.subject_key(facts.sessions[0])
    with pytest.raises(LocalError, match="several"):
        find_sample(case.snapshot, case.vault, key, session, 0, 0)
    for number, link in enumerate([*links, again]):
        device, run = link.record.device, link.record.run
        row, index = find_sample(case.snapshot, case.vault, key, session, 0, 0, device, run)
        assert (row.batch, index) == (1, number)
