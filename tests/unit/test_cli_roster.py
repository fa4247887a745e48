"""`peer` without a daemon: roster keys, proposals signed by one keeper after another, evidence checked by anybody."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rosters import anchor_of, card, following, key, log_key, member, roster, roster_key, signed

from gateway.app.cli import peer_evidence, peer_view, peer_words
from gateway.app.cli.main import root
from gateway.app.cli.replies import ConfirmedRow, WitnessRow
from gateway.app.roster_edit import Proposal, awaited, parse_proposal
from gateway.core.roster import check_next, unsigned
from gateway.errors import EXIT_UNREACHABLE, EXIT_USAGE, EXIT_VERIFY, LocalError
from gateway.tlog.checkpoint import Checkpoint, sign_checkpoint
from gateway.tlog.fork import Fork, fork_id
from gateway.tlog.note import ED25519, PrivateKey, encode_private, parse_private

A, B = member("a"), member("b")
LOG = log_key("a")


def vestibule(*args: str | Path) -> Result:
    return CliRunner().invoke(root, [str(arg) for arg in args])


def answer(done: Result) -> Any:
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def key_file(folder: Path, name: str, sig_type: int = ED25519) -> Path:
    path = folder / f"{name}.key"
    path.write_text(encode_private(PrivateKey(name, sig_type, key(name))) + "\n")
    return path


# ---- keys -------------------------------------------------------------------------------------------------------


def test_a_roster_key_is_made_for_its_keeper_alone(tmp_path: Path) -> None:
    out = tmp_path / "roster.key"
    done = vestibule("peer", "roster-key", "--out", out, "--name", "Jane")
    assert done.exit_code == 0
    private = parse_private(out.read_text())
    assert done.stdout == private.verifier.encode() + "\n"
    assert (private.name, private.sig_type) == ("Jane", ED25519)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert encode_private(private) not in done.stdout + done.stderr
    again = vestibule("peer", "roster-key", "--out", out)
    assert again.exit_code == EXIT_USAGE
    assert out.read_text() == encode_private(private) + "\n"


def test_two_roster_keys_differ(tmp_path: Path) -> None:
    told = [answer(vestibule("peer", "roster-key", "--json", "-o", tmp_path / name)) for name in ("1", "2")]
    assert told[0]["vkey"] != told[1]["vkey"]
    assert told[0]["file"] == str(tmp_path / "1")


def test_a_name_that_no_key_can_have_makes_no_file(tmp_path: Path) -> None:
    done = vestibule("peer", "roster-key", "--out", tmp_path / "k", "--name", "Jane Doe")
    assert done.exit_code == EXIT_USAGE
    assert not (tmp_path / "k").exists()


# ---- proposals --------------------------------------------------------------------------------------------------

BEFORE = roster(A, keys=(roster_key("k1"), roster_key("k2"), roster_key("k3")), threshold=2)
AFTER = following(BEFORE, A, B)


@pytest.fixture
def proposal(tmp_path: Path) -> Path:
    path = tmp_path / "roster-2.proposal"
    path.write_bytes(Proposal(signed(BEFORE, "k1", "k2"), unsigned(AFTER)).encode())
    return path


def test_keepers_sign_one_after_another(tmp_path: Path, proposal: Path) -> None:
    first = vestibule("peer", "sign", proposal, "--roster-key", key_file(tmp_path, "k1"), "--yes")
    assert first.exit_code == 0, first.stderr
    assert "adds the gateway b" in first.stderr
    assert "Still 1 of these must sign" in first.stderr
    assert "k1+" not in first.stderr.partition("Still")[2]
    done = vestibule("peer", "sign", proposal, "--roster-key", key_file(tmp_path, "k3"), "--yes")
    assert "has all its signatures" in done.stderr
    check_next(parse_proposal(proposal.read_bytes()).after, BEFORE)


def test_signing_in_json(tmp_path: Path, proposal: Path) -> None:
    out = tmp_path / "signed"
    told = answer(
        vestibule(
            "peer",
            "sign",
            proposal,
            "--roster-key",
            key_file(tmp_path, "k1"),
            "--yes",
            "--json",
            "--out",
            out,
        )
    )
    assert told["version"] == 2
    assert told["hash"] == AFTER.hash().hex()
    assert told["missing"] == [
        {"signatures": 1, "keys": [roster_key("k2").encode(), roster_key("k3").encode()]}
    ]
    assert told["changes"][0].startswith("adds the gateway b")
    assert (told["quorum"], told["parties"], told["proposal"]) == (2, 2, str(out))
    assert len(parse_proposal(out.read_bytes()).after.sigs) == 1
    assert parse_proposal(proposal.read_bytes()).after.sigs == ()


def test_nothing_is_signed_unasked(tmp_path: Path, proposal: Path) -> None:
    kept = proposal.read_bytes()
    unasked = vestibule("peer", "sign", proposal, "--roster-key", key_file(tmp_path, "k1"))
    assert unasked.exit_code == EXIT_USAGE
    assert "--yes" in unasked.stderr
    dry = vestibule("peer", "sign", proposal, "--dry-run")
    assert dry.exit_code == 0
    assert "adds the gateway b" in dry.stderr
    assert "Nothing was signed." in dry.stdout
    assert vestibule("peer", "sign", proposal).exit_code == EXIT_USAGE
    assert proposal.read_bytes() == kept


def test_a_stranger_s_key_does_not_sign(tmp_path: Path, proposal: Path) -> None:
    kept = proposal.read_bytes()
    done = vestibule("peer", "sign", proposal, "--roster-key", key_file(tmp_path, "k4"), "--yes")
    assert done.exit_code == EXIT_USAGE
    assert "is no key of this roster" in done.stderr
    assert proposal.read_bytes() == kept


@pytest.mark.parametrize("text", ["", "PRIVATE+KEY+secret", "\xe9", "secret" * 300])
def test_what_is_no_roster_key_is_said(tmp_path: Path, proposal: Path, text: str) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text(text, encoding="latin-1")
    done = vestibule("peer", "sign", proposal, "--roster-key", wrong, "--yes")
    assert done.exit_code == EXIT_USAGE
    assert "secret" not in done.stderr


def test_a_witness_key_is_no_roster_key(tmp_path: Path, proposal: Path) -> None:
    done = vestibule("peer", "sign", proposal, "--roster-key", key_file(tmp_path, "k1", 4), "--yes")
    assert done.exit_code == EXIT_USAGE
    assert "is not a roster key" in done.stderr


def test_what_is_no_proposal_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(signed(BEFORE, "k1", "k2").raw)
    done = vestibule("peer", "sign", path, "--roster-key", key_file(tmp_path, "k1"), "--yes")
    assert done.exit_code == EXIT_VERIFY
    assert "not a proposal" in done.stderr


def test_what_lacks_signatures_is_not_published(proposal: Path) -> None:
    done = vestibule("peer", "publish", proposal)
    assert done.exit_code == EXIT_USAGE
    assert "Still 2 of these must sign: k1+" in done.stderr
    told = answer(vestibule("peer", "publish", proposal, "--dry-run", "--json"))
    assert told["published"] is False
    assert told["missing"][0]["signatures"] == 2


def test_publishing_needs_the_gateway(tmp_path: Path, proposal: Path) -> None:
    before = signed(BEFORE, "k1", "k2")
    proposal.write_bytes(Proposal(before, signed(AFTER, "k1", "k2")).encode())
    assert awaited(parse_proposal(proposal.read_bytes())) == []
    done = vestibule("--data-dir", tmp_path / "none", "peer", "publish", proposal)
    assert done.exit_code == EXIT_UNREACHABLE
    assert vestibule("peer", "publish", proposal, "--dry-run").exit_code == 0


# ---- cards ------------------------------------------------------------------------------------------------------


def test_a_card_is_read_from_a_file_a_word_and_standard_input(tmp_path: Path) -> None:
    made = card("b", anchor_of(roster(A)))
    path = tmp_path / "b.card"
    path.write_bytes(made.raw + b"\n")
    for named, typed in ((str(path), None), (made.text(), None), ("-", made.text())):
        done = CliRunner().invoke(root, ["peer", "accept", named, "--dry-run", "--json"], input=typed)
        told = answer(done)
        assert told["name"] == "b"
        assert told["fingerprint"] == made.fingerprint.hex()
        assert told["accepted"] is False
    shown = vestibule("peer", "accept", path, "--dry-run")
    assert peer_view.fingerprint(made.fingerprint) in shown.stderr
    assert "Nothing was changed." in shown.stdout


def test_a_card_without_a_federation_cannot_be_joined(tmp_path: Path) -> None:
    done = vestibule("peer", "accept", card("b").text(), "--yes")
    assert done.exit_code == EXIT_USAGE
    assert "vestibule peer init" in done.stderr


def test_a_card_that_was_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.card"
    path.write_bytes(card("b", anchor_of(roster(A))).raw.replace(b":4749", b":4750"))
    done = vestibule("peer", "accept", path, "--yes")
    assert done.exit_code == EXIT_VERIFY
    assert "not signed by its own entry key" in done.stderr


def test_joining_is_asked_first(tmp_path: Path) -> None:
    done = vestibule("--data-dir", tmp_path, "peer", "accept", card("b", anchor_of(roster(A))).text())
    assert done.exit_code == EXIT_USAGE
    assert "--yes" in done.stderr


# ---- evidence ---------------------------------------------------------------------------------------------------


def lie(root_byte: int, size: int = 3) -> bytes:
    head = Checkpoint(LOG.name, size, bytes([root_byte]) * 32)
    return sign_checkpoint(head, LOG.name, key("a log 1"))


FORK = Fork(lie(1), lie(2), b"\2" * 32, ())


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    path = tmp_path / "evidence.json"
    path.write_bytes(json.dumps(json.loads(FORK.encode()), indent=2).encode())
    return path


def test_evidence_convinces_with_the_key_alone(evidence: Path) -> None:
    done = vestibule("peer", "evidence", "--check", evidence, "--vkey", LOG.encode())
    assert done.exit_code == 0, done.stderr
    assert "a.clinic.example/vrlog contradicts itself" in done.stdout
    assert "A log has one root at each size." in done.stdout
    told = answer(vestibule("peer", "evidence", "--check", evidence, "--vkey", LOG.encode(), "--json"))
    assert told == {
        "holds": True,
        "id": fork_id(FORK).hex(),
        "origin": LOG.name,
        "size_a": 3,
        "size_b": 3,
    }


@pytest.mark.parametrize(
    ("text", "vkey"),
    [
        (FORK.encode(), log_key("b").encode()),
        (FORK.encode(), log_key("a", 2).encode()),
        (FORK.encode(), "nothing"),
        (Fork(lie(1), lie(1), b"\1" * 32, ()).encode(), LOG.encode()),
        (Fork(lie(1), lie(2, 4), b"\3" * 32, (b"\4" * 32,)).encode(), LOG.encode()),
        (b"{}", LOG.encode()),
    ],
)
def test_what_shows_nothing_is_65(tmp_path: Path, text: bytes, vkey: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(text)
    done = vestibule("peer", "evidence", "--check", path, "--vkey", vkey)
    assert done.exit_code == EXIT_VERIFY
    assert done.stdout == ""


@pytest.mark.parametrize(
    "args",
    [
        ["--check", "x"],
        ["--vkey", "x"],
        ["id", "--check", "x", "--vkey", "y"],
        ["-o", "x", "--check", "y"],
        ["--add", "x", "--check", "x", "--vkey", "y"],
        ["--add", "x", "id"],
        ["--add", "x", "-o", "y"],
        ["--dry-run"],
        ["--yes"],
    ],
)
def test_what_goes_with_what(args: list[str]) -> None:
    assert vestibule("peer", "evidence", *args).exit_code == EXIT_USAGE


ROW = peer_evidence.EvidenceRow(
    fork_id(FORK).hex(), LOG.name, 3, 3, 1_700_000_000_000, FORK.encode().decode()
)


def test_evidence_is_explained_in_words() -> None:
    said = peer_evidence.explain(ROW)
    for part in (LOG.name, "What it means", "What to do", "vestibule ledger new-generation", ROW.id[:8]):
        assert part in said
    assert all(len(line) <= 120 for line in said.split("\n"))
    assert peer_evidence.evidence_members(ROW)["evidence"] == json.loads(FORK.encode())


def test_evidence_is_chosen_by_id_or_by_log() -> None:
    rows = peer_evidence.EvidenceList([ROW])
    for named in ("", ROW.id[:4], ROW.id.upper(), LOG.name):
        assert list(peer_evidence.chosen(rows, named)) == [ROW]
    with pytest.raises(LocalError):
        peer_evidence.chosen(rows, "zz")


# ---- what is shown ----------------------------------------------------------------------------------------------


def test_the_roster_as_a_page() -> None:
    page = peer_view.roster_page(signed(following(BEFORE, A, member("b", "ward"), member("c", "ward")), "k1"))
    assert "confirmed by 2 of 2 parties, of which 0 may lie" in page
    assert "2 of 3: k1+" in page
    assert page.count("ward") == 2


def peers(**changed: Any) -> peer_view.Peers:
    row = peer_view.PeerRow("b", B.origin, B.url, "b", "away", **changed)
    us = peer_view.PeerRow("a", A.origin, A.url, "a", "us", size=9)
    return peer_view.Peers([us, row], peer_view.RosterRow(3, 1, 2), ConfirmedRow(True, 7, 0, 2, 3000))


def test_the_table_of_peers_says_what_needs_attention() -> None:
    shown = peer_view.peer_table(peers(frozen=True, lag_entries=4))
    assert "FROZEN" in shown
    assert "this gateway" in shown
    said = "\n".join(peer_view.peer_notes(peers(frozen=True, refused={"rate": 3})))
    assert "7 entries of this log confirmed; 2 more wait, for 3 s." in said
    assert "The log of b contradicts itself" in said
    assert "rate 3" in said


def test_why_a_witness_has_not_cosigned_is_said() -> None:
    away = WitnessRow("north", why="away")
    fine = WitnessRow("south", size=7)
    said = peer_view.peer_notes(
        peer_view.Peers([], peer_view.RosterRow(1, 1, 1), ConfirmedRow(witnesses=[away, fine]))
    )
    assert any(line.startswith("! north does not answer") for line in said)
    assert not any("south" in line for line in said)
    assert "Nothing is confirmed yet; it takes 1 party." in said


def test_every_reason_of_the_machine_has_words_or_needs_none() -> None:
    from typing import get_args

    from gateway.app.cli.peer_words import WITNESSES
    from gateway.core.asking import Why

    assert set(get_args(Why)) - set(WITNESSES) == {"", "not_asked", "asked", "other_size"}
    assert set(WITNESSES) <= set(get_args(Why))


def test_a_gateway_that_cosigns_nothing_yet_says_so() -> None:
    roster = peer_view.RosterRow(1, 1, 2)
    learning, grown = (
        peer_view.peer_notes(peer_view.Peers([], roster, learning=now)) for now in (True, False)
    )
    assert [line for line in learning if line not in grown] == [peer_words.LEARNING]


def test_the_comparison_shows_who_disagrees() -> None:
    rows = [
        peer_view.ComparedPeer("b", 5, "AAA=", True),
        peer_view.ComparedPeer("c", 6, "BBB=", False),
        peer_view.ComparedPeer("d", why="peer_away"),
        peer_view.ComparedPeer("e", 12, "DDD=", why="ahead"),
        peer_view.ComparedPeer("f", why="no_head"),
    ]
    compared = peer_view.Compared([peer_view.ComparedLog(A.origin, 9, "CCC=", False, rows)])
    shown = peer_view.compare_table(compared)
    assert compared.disagreement
    assert [word in shown for word in ("yes", "NO", "no answer", "is ahead", "has none yet")] == [True] * 5
    assert peer_words.OWN_AHEAD not in peer_view.compare_notes(compared)
    copy = peer_view.ComparedPeer("g", 12, "DDD=", False, why="own_ahead")
    compared = peer_view.Compared([peer_view.ComparedLog(A.origin, peers=[copy])])
    assert compared.disagreement
    assert "NO: has more of ours" in peer_view.compare_table(compared)
    assert peer_words.OWN_AHEAD in peer_view.compare_notes(compared)
    assert not peer_view.Compared([peer_view.ComparedLog(A.origin, peers=rows[:1])]).disagreement
    assert peer_view.Compared([peer_view.ComparedLog(A.origin, frozen=True)]).disagreement


def test_a_roster_key_file_is_made_readable_for_nobody_else_from_the_first_moment(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        vestibule("peer", "roster-key", "--out", tmp_path / "k")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o600
