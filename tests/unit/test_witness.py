"""Our witness: each check in its order, what is written down before the answer, and what becomes evidence.

`tests/e2e/test_witness_battery.py` asks the same over HTTP, with a signer and a tree of its own.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace

import pytest

from gateway.core.contradiction import Alarm, contradiction, own_head
from gateway.core.follow import Followed, Keep, KeepFork, KeepHead, Logs
from gateway.core.witness import SIZE_TYPE, Answer, Witness
from gateway.errors import LocalError, ProofError, SignatureError
from gateway.tlog.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint, verify_cosignature
from gateway.tlog.fork import verify_fork
from gateway.tlog.merkle import EMPTY_ROOT
from gateway.tlog.note import COSIGNATURE, VerifierKey, cosign_note, join_note, parse_note, sign_note
from gateway.tlog.text import MAX_SIZE
from gateway.tlog.tiles import consistency_from_tiles
from gateway.tlog.witness import AddCheckpoint
from tests.sim.peer_logs import Branch, key_of, log_vkey, origin_of, signed, witness_name, witness_vkey

NOW_S = 1_790_000_000
OTHER_SEED = key_of("stranger", "log")
WITNESS = witness_vkey("w")


class Rig:
    """A witness that follows the logs `member` and `standard`, and has the log `own`."""

    def __init__(self, size: int = 0) -> None:
        self.branches = {name: Branch(name) for name in ("member", "standard", "own")}
        for branch in self.branches.values():
            branch.grow(size)
        self.logs = Logs(
            Followed(origin_of(name), (log_vkey(name),), ours=name == "own", data=name != "standard")
            for name in self.branches
        )
        self.catch_up("own")
        self.by_origin = {branch.origin: branch for branch in self.branches.values()}
        self.witness = Witness(
            witness_name("w"), key_of("w", "witness"), self.logs, self.by_origin.__getitem__
        )
        self.kept: list[Keep | Alarm] = []

    def log(self, name: str) -> Followed:
        log = self.logs.of(origin_of(name))
        assert log is not None
        return log

    def catch_up(self, name: str) -> None:
        """The tree of this log is here up to its newest head."""
        log, branch = self.log(name), self.branches[name]
        log.tree, log.tails = branch.frontier.copy(), dict(branch.tails)
        log.whole, log.whole_size = branch.note(), branch.size

    def put(self, name: str, branch: Branch) -> None:
        """This log is another one on disk."""
        self.branches[name] = self.by_origin[branch.origin] = branch
        self.catch_up(name)

    def send(self, body: bytes, now_s: int = NOW_S) -> Answer:
        keeps, answer = self.witness.add_checkpoint(body, now_s)
        self.kept += keeps
        return answer

    def ask(self, branch: Branch, old: int, size: int | None = None, **values: object) -> Answer:
        size = branch.size if size is None else size
        proof = consistency_from_tiles(branch, old, size) if 0 < old <= size else []
        request = replace(AddCheckpoint(old, tuple(proof), branch.note(size)), **values)
        return self.send(request.encode())

    def promised(self, name: str) -> int:
        return self.log(name).size


@pytest.fixture
def rig() -> Rig:
    rig = Rig(10)
    rig.branches["standard"].grow(10)
    return rig


def lines(answer: Answer) -> list[str]:
    assert answer.status == 200, answer
    text = answer.body.decode()
    assert text.endswith("\n")
    return text.splitlines(keepends=True)


# ---- what is cosigned -----------------------------------------------------------------------------------------------


def test_a_first_head_a_step_and_a_refresh_are_cosigned_after_they_are_kept(rig: Rig) -> None:
    branch = rig.branches["standard"]
    (line,) = lines(rig.ask(branch, 0, 7))
    assert verify_cosignature(Checkpoint(branch.origin, 7, branch.roots[7]), line, WITNESS) == NOW_S
    assert rig.kept == [KeepHead(branch.origin, 0, 7, branch.roots[7], branch.note(7))]

    (line,) = lines(rig.ask(branch, 7, 16))
    assert verify_cosignature(Checkpoint(branch.origin, 16, branch.roots[16]), line, WITNESS) == NOW_S
    assert rig.kept[1:] == [KeepHead(branch.origin, 7, 16, branch.roots[16], branch.note(16))]

    answer = rig.send(AddCheckpoint(16, (), branch.note(16)).encode(), NOW_S + 60)
    (again,) = lines(answer)
    assert verify_cosignature(Checkpoint(branch.origin, 16, branch.roots[16]), again, WITNESS) == NOW_S + 60
    assert rig.kept[2:] == []  # nothing new to write down


@pytest.mark.parametrize("old", range(1, 20))
def test_every_step_needs_and_takes_its_proof(old: int) -> None:
    rig = Rig()
    branch = rig.branches["standard"]
    branch.grow(20)
    assert rig.ask(branch, 0, old).status == 200
    proof = tuple(consistency_from_tiles(branch, old, 20))
    for bad in (proof[:-1], (*proof, bytes(32)), (bytes(32), *proof[1:]), tuple(reversed(proof))):
        assert rig.ask(branch, old, proof=bad).status == (200 if bad == proof else 422)
        if bad == proof:
            return  # one hash is its own reverse
    assert rig.ask(branch, old).status == 200


def test_the_empty_log_can_be_cosigned_and_grows_from_there() -> None:
    rig = Rig()
    branch = rig.branches["standard"]
    lines(rig.ask(branch, 0))
    assert rig.kept == [KeepHead(branch.origin, 0, 0, EMPTY_ROOT, branch.note(0))]
    lines(rig.ask(branch, 0))
    assert len(rig.kept) == 1
    assert rig.witness.monitor(rig.log("standard").hash.hex(), NOW_S) is not None
    branch.grow(3)
    lines(rig.ask(branch, 0))
    assert rig.promised("standard") == 3


def test_extension_lines_are_part_of_what_is_cosigned(rig: Rig) -> None:
    branch = rig.branches["standard"]
    checkpoint = Checkpoint(branch.origin, 4, branch.roots[4], ("more 1", "\u2014 not a signature"))
    note = sign_checkpoint(checkpoint, branch.origin, key_of("standard", "log 1"))
    (line,) = lines(rig.send(AddCheckpoint(0, (), note).encode()))
    assert verify_cosignature(checkpoint, line, WITNESS) == NOW_S
    with pytest.raises(SignatureError):
        verify_cosignature(replace(checkpoint, extensions=()), line, WITNESS)
    # the same head without them is another text, so it is written down and cosigned as such
    assert rig.ask(branch, 4, 4).status == 200
    assert rig.log("standard").note == branch.note(4)


def test_a_member_has_no_extension_lines(rig: Rig) -> None:
    branch = rig.branches["member"]
    checkpoint = Checkpoint(branch.origin, 4, branch.roots[4], ("more",))
    note = sign_checkpoint(checkpoint, branch.origin, key_of("member", "log 1"))
    assert rig.send(AddCheckpoint(0, (), note).encode()).status == 400
    assert rig.promised("member") == 0


def test_only_signatures_of_the_log_are_kept(rig: Rig) -> None:
    branch = rig.branches["standard"]
    text = parse_note(branch.note(5)).text
    mine = sign_note(text, branch.origin, key_of("standard", "log 1"))
    foreign = sign_note(text, "someone.example", OTHER_SEED)
    same_name = sign_note(text, branch.origin, OTHER_SEED)  # another key, so another id: unknown, ignored
    assert (
        rig.send(AddCheckpoint(0, (), join_note(text, [foreign, same_name, mine, foreign])).encode()).status
        == 200
    )
    assert rig.log("standard").note == branch.note(5)


def test_two_keys_of_a_log_are_both_good_during_a_rotation(rig: Rig) -> None:
    branch = rig.branches["standard"]
    text = parse_note(branch.note(5)).text
    new = key_of("standard", "next log")
    note = join_note(text, [sign_note(text, branch.origin, new)])
    assert rig.send(AddCheckpoint(0, (), note).encode()).status == 403
    rig.log("standard").vkeys = (log_vkey("standard"), VerifierKey.of(branch.origin, new.public))
    assert rig.send(AddCheckpoint(0, (), note).encode()).status == 200
    both = join_note(
        text,
        [sign_note(text, branch.origin, key_of("standard", "log 1")), sign_note(text, branch.origin, new)],
    )
    assert rig.send(AddCheckpoint(5, (), both).encode()).status == 200
    assert rig.log("standard").note == both


# ---- what is refused, in the order of the checks --------------------------------------------------------------------

GOOD_HEAD = f"{origin_of('standard')}\n5\n{b64encode(bytes(32)).decode()}\n"


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\n",
        b"old 0",
        b"old 0\n",
        b"old -1\n\n",
        b"old 00\n\n",
        b"old +0\n\n",
        b"old  0\n\n",
        b"old 0 \n\n",
        b"Old 0\n\n",
        b"\nold 0\n\n",
        b"old 0\r\n\r\n",
        b"\xef\xbb\xbfold 0\n\n",
        b"old \xd9\xa0\n\n",
        b"old %d\n\n" % (MAX_SIZE + 1),
        b"old 0\nAAAA\n\n",
        b"old 0\n" + b64encode(bytes(31)) + b"\n\n",
        b"old 0\n" + b64encode(bytes(32)).rstrip(b"=") + b"\n\n",
        b"old 0\n" + b"\n".join([b64encode(bytes(32))] * 64) + b"\n\n",
    ],
    ids=lambda head: repr(head[:24]),
)
def test_a_body_that_does_not_parse_is_a_bad_request(rig: Rig, head: bytes) -> None:
    assert rig.send(head + rig.branches["standard"].note(5)).status == 400
    assert rig.kept == []


@pytest.mark.parametrize("body", [b"", b"old 0\n\n", b"old 0\n\nnote", b"old 0\n\nno signature\n"])
def test_a_body_without_a_note_is_a_bad_request(rig: Rig, body: bytes) -> None:
    assert rig.send(body).status == 400


@pytest.mark.parametrize(
    "text",
    [
        "\n5\n{root}\n",
        "{origin}\n05\n{root}\n",
        "{origin}\n+5\n{root}\n",
        "{origin}\n5 \n{root}\n",
        "{origin}\n9223372036854775808\n{root}\n",
        "{origin}\n5\n{short}\n",
        "{origin}\n5\n",
        "{origin}\n0\n{short}\n",
        "{origin}\n5\n{root}\n\n",
        "{origin}\n0\n{root}\n\n",
    ],
)
def test_a_checkpoint_that_is_not_canonical_is_a_bad_request(rig: Rig, text: str) -> None:
    root = b64encode(bytes(32)).decode()
    text = text.format(origin=origin_of("standard"), root=root, short=b64encode(bytes(31)).decode())
    note = join_note(text, [sign_note(text, origin_of("standard"), key_of("standard", "log 1"))])
    assert rig.send(AddCheckpoint(0, (), note).encode()).status == 400


def test_sizes_are_looked_at_first(rig: Rig) -> None:
    branch = rig.branches["standard"]
    text = parse_note(branch.note(5)).text
    mine = sign_note(text, branch.origin, key_of("standard", "log 1"))
    filler = sign_note(text, "x" * 200, OTHER_SEED)
    body = b"old 0\n\n" + join_note(text, [mine, *[filler] * 40])
    assert len(body) <= 16 * 1024
    assert rig.send(body).status == 200
    body = b"old 5\n\n" + join_note(text, [mine, *[filler] * 55])
    assert len(body) > 16 * 1024
    assert rig.send(body).status == 400


def test_each_check_comes_before_the_next(rig: Rig) -> None:
    branch = rig.branches["standard"]
    unknown = Branch("nobody")
    unknown.grow(3)
    assert rig.ask(branch, 0, 8).status == 200
    wrong_key = join_note(GOOD_HEAD, [sign_note(GOOD_HEAD, branch.origin, OTHER_SEED)])
    # 404: before the signature, the sizes and the proof
    assert rig.ask(unknown, 99, 3, proof=(bytes(32),)).status == 404
    # 403: before old > size, before 409
    assert rig.send(AddCheckpoint(99, (bytes(32),), wrong_key).encode()).status == 403
    # 400 for old > size: before 409
    assert rig.ask(branch, 9, 5).status == 400
    # 409: before 422
    answer = rig.ask(branch, 3, 5, proof=(bytes(32),) * 5)
    assert answer == Answer(409, SIZE_TYPE, b"8\n")
    assert rig.ask(branch, 0, 12) == Answer(409, SIZE_TYPE, b"8\n")
    assert rig.ask(branch, 8, 12, proof=(bytes(32),)).status == 422
    assert rig.promised("standard") == 8


def test_a_bad_signature_of_a_known_key_spoils_the_note(rig: Rig) -> None:
    branch = rig.branches["standard"]
    text = parse_note(branch.note(5)).text
    mine = sign_note(text, branch.origin, key_of("standard", "log 1"))
    other = sign_note(text.replace("\n5\n", "\n6\n"), branch.origin, key_of("standard", "log 1"))
    for signatures in ([other], [mine, other], [other, mine]):
        assert rig.send(AddCheckpoint(0, (), join_note(text, signatures)).encode()).status == 403
    assert rig.send(AddCheckpoint(0, (), join_note(text, [mine])).encode()).status == 200


def test_a_cosignature_by_the_same_key_is_not_the_signature_of_the_log(rig: Rig) -> None:
    # the log's key as type 0x04 has another id: it is an unknown key, whatever it signed
    branch = rig.branches["standard"]
    text = parse_note(branch.note(5)).text
    line = cosign_note(text, branch.origin, key_of("standard", "log 1"), NOW_S)
    assert rig.send(AddCheckpoint(0, (), join_note(text, [line])).encode()).status == 403
    # a log whose listed key is of that type signs just so
    rig.log("standard").vkeys = (
        VerifierKey.of(branch.origin, key_of("standard", "log 1").public, COSIGNATURE),
    )
    assert rig.send(AddCheckpoint(0, (), join_note(text, [line])).encode()).status == 200


def test_a_signature_in_another_name_is_not_enough(rig: Rig) -> None:
    branch = rig.branches["standard"]
    rig.log("standard").vkeys = (VerifierKey.of("operator.example", key_of("standard", "log 1").public),)
    text = parse_note(branch.note(5)).text
    note = join_note(text, [sign_note(text, "operator.example", key_of("standard", "log 1"))])
    assert rig.send(AddCheckpoint(0, (), note).encode()).status == 403


def test_the_empty_tree_has_one_root(rig: Rig) -> None:
    text = f"{origin_of('standard')}\n0\n{b64encode(bytes(32)).decode()}\n"
    note = join_note(text, [sign_note(text, origin_of("standard"), key_of("standard", "log 1"))])
    assert rig.send(AddCheckpoint(0, (), note).encode()).status == 422
    assert rig.ask(rig.branches["standard"], 0, 5).status == 200
    assert rig.send(AddCheckpoint(0, (), note).encode()).status == 409
    assert rig.kept == [
        KeepHead(
            origin_of("standard"),
            0,
            5,
            rig.branches["standard"].roots[5],
            signed("standard", 5, rig.branches["standard"].roots[5]),
        )
    ]


@pytest.mark.parametrize("old", [0, 6])
def test_a_proof_where_none_is_needed(old: int, rig: Rig) -> None:
    branch = rig.branches["standard"]
    if old:
        rig.ask(branch, 0, old)
    assert rig.ask(branch, old, 6, proof=(bytes(32),)).status == 422
    assert rig.ask(branch, old, 6, proof=()).status == 200


# ---- evidence -------------------------------------------------------------------------------------------------------


def forks(rig: Rig) -> list[KeepFork]:
    return [keep for keep in rig.kept if isinstance(keep, KeepFork)]


def test_another_root_at_the_promised_size_is_evidence(rig: Rig) -> None:
    for name, frozen in (("member", True), ("standard", False)):
        branch = rig.branches[name]
        other = branch.fork(5, "other")
        other.grow(3)
        assert rig.ask(branch, 0, 8).status == 200
        assert rig.ask(other, 8).status == 422
        (keep,) = forks(rig)[-1:]
        assert keep.origin == branch.origin
        a, b = verify_fork(keep.fork, log_vkey(name))
        assert (a.size, b.size) == (8, 8)
        assert rig.log(name).frozen is frozen
        assert rig.promised(name) == 8


def test_a_member_is_not_cosigned_any_more_a_standard_log_goes_on(rig: Rig) -> None:
    for name in ("member", "standard"):
        branch = rig.branches[name]
        other = branch.fork(5, "other")
        other.grow(3)
        rig.ask(branch, 0, 8)
        before = rig.witness.monitor(rig.log(name).hash.hex(), NOW_S + 5)
        rig.ask(other, 8)
        rig.ask(other, 8)
        # what was cosigned before stays to be seen, byte for byte
        assert rig.witness.monitor(rig.log(name).hash.hex(), NOW_S + 99) == before
    assert len(forks(rig)) == 2  # each once
    rig.branches["standard"].grow(1)
    assert rig.ask(rig.branches["standard"], 8).status == 200
    assert rig.ask(rig.branches["standard"].fork(5, "other"), 5).status == 409
    assert rig.ask(rig.branches["member"], 8).status == 403
    assert rig.ask(rig.branches["member"], 8, 8).status == 403
    rig.witness._lines.clear()  # as after a start
    assert rig.witness.monitor(rig.log("member").hash.hex(), NOW_S) is None
    assert rig.witness.monitor(rig.log("standard").hash.hex(), NOW_S) is not None


def test_a_good_proof_from_another_root_is_evidence(rig: Rig) -> None:
    branch = rig.branches["member"]
    other = branch.fork(3, "other")
    other.grow(9)
    assert rig.ask(branch, 0, 7).status == 200
    assert rig.ask(other, 7).status == 422
    (keep,) = forks(rig)
    assert keep.fork.alt_root == other.roots[7]
    verify_fork(keep.fork, log_vkey("member"))
    assert rig.log("member").frozen


def test_a_proof_that_leads_nowhere_is_no_evidence(rig: Rig) -> None:
    branch = rig.branches["member"]
    assert rig.ask(branch, 0, 7).status == 200
    assert rig.ask(branch, 7, 10, proof=(bytes(32),) * 4).status == 422
    # from a power of two the proof starts at the root that is known here: it cannot show another one
    standard = rig.branches["standard"]
    other = standard.fork(3, "other")
    other.grow(9)
    assert rig.ask(standard, 0, 8).status == 200
    assert rig.ask(other, 8).status == 422
    assert forks(rig) == []
    assert not rig.log("member").frozen


def test_an_earlier_head_is_compared_with_the_tree_that_is_here(rig: Rig) -> None:
    branch = rig.branches["member"]
    other = branch.fork(3, "other")
    other.grow(3)
    assert rig.ask(branch, 0, 10).status == 200
    assert rig.ask(other, 2, 6).status == 409
    assert forks(rig) == []  # the tree is not here, so nothing can be shown
    rig.catch_up("member")
    assert rig.ask(branch, 2, 6).status == 409
    assert forks(rig) == []
    assert rig.ask(other, 2, 6) == Answer(409, SIZE_TYPE, b"10\n")
    (keep,) = forks(rig)
    a, b = verify_fork(keep.fork, log_vkey("member"))
    assert (a.size, b.size) == (6, 10)


def test_a_head_signed_by_a_key_that_is_gone_accuses_nobody(rig: Rig) -> None:
    branch = rig.branches["member"]
    assert rig.ask(branch, 0, 8).status == 200
    new = key_of("member", "next log")
    rig.log("member").vkeys = (VerifierKey.of(branch.origin, new.public),)
    note = sign_checkpoint(Checkpoint(branch.origin, 8, bytes(32)), branch.origin, new)
    assert rig.send(AddCheckpoint(8, (), note).encode()).status == 422
    assert forks(rig) == []


# ---- our own log ----------------------------------------------------------------------------------------------------


def test_our_own_head_is_cosigned_like_any_other(rig: Rig) -> None:
    branch = rig.branches["own"]
    keeps, line = rig.witness.cosign_own(branch.note(6), NOW_S)
    assert keeps == [KeepHead(branch.origin, 0, 6, branch.roots[6], branch.note(6))]
    verify_cosignature(Checkpoint(branch.origin, 6, branch.roots[6]), line, WITNESS)
    keeps, line = rig.witness.cosign_own(branch.note(10), NOW_S)
    assert [keep.size for keep in keeps if isinstance(keep, KeepHead)] == [10]
    assert line
    assert rig.witness.cosign_own(branch.note(10), NOW_S + 9)[0] == []
    assert rig.witness.cosign_own(branch.note(6), NOW_S) == ([], "")
    with pytest.raises(ProofError):
        rig.witness.cosign_own(rig.branches["member"].note(), NOW_S)


def test_a_head_of_our_own_log_that_is_not_ours_is_an_alarm(rig: Rig) -> None:
    branch = rig.branches["own"]
    clone = branch.fork(10, "clone")
    clone.grow(4)
    assert rig.ask(clone, 0).status == 403
    assert rig.kept == [Alarm(rig.witness.name, 14, clone.note(), None)]
    # the same size with another root, and a smaller one
    other = branch.fork(4, "other")
    other.grow(6)
    assert rig.ask(other, 0).status == 403
    assert rig.ask(other, 0, 7).status == 403
    for alarm in rig.kept[1:]:
        assert isinstance(alarm, Alarm)
        assert alarm.fork is not None
        verify_fork(alarm.fork, log_vkey("own"))
    assert rig.promised("own") == 0
    assert not rig.log("own").frozen  # that is for the start and the driver to decide


def test_a_database_that_went_back_is_noticed_by_our_own_witness(rig: Rig) -> None:
    branch = rig.branches["own"]
    rig.witness.cosign_own(branch.note(10), NOW_S)
    # an old copy: 8 entries, and other ones from there
    older = branch.fork(8, "restored")
    rig.put("own", older)
    keeps, line = rig.witness.cosign_own(older.note(8), NOW_S)
    assert line == ""
    assert [type(keep) for keep in keeps] == [Alarm]
    older.grow(4)
    rig.catch_up("own")
    keeps, line = rig.witness.cosign_own(older.note(), NOW_S)
    assert line == ""
    (alarm,) = keeps
    assert isinstance(alarm, Alarm)
    assert alarm.size == 10
    assert alarm.fork is not None
    verify_fork(alarm.fork, log_vkey("own"))


def test_what_is_shown_of_our_log_counts_by_our_signature_alone(rig: Rig) -> None:
    log, branch = rig.log("own"), rig.branches["own"]
    assert own_head(log, branch, branch.note(3), "w") is None
    assert own_head(log, branch, branch.note(0), "w") is None
    assert own_head(log, branch, branch.note(10), "w") is None
    with pytest.raises(SignatureError):
        own_head(log, branch, rig.branches["member"].note(), "w")
    forged = sign_checkpoint(Checkpoint(branch.origin, 99, bytes(32)), branch.origin, OTHER_SEED)
    with pytest.raises(SignatureError):
        own_head(log, branch, forged, "w")
    with pytest.raises(ProofError):
        own_head(log, branch, b"no note", "w")


def test_two_heads_that_agree_are_no_contradiction(rig: Rig) -> None:
    log, branch = rig.log("own"), rig.branches["own"]
    for size in range(11):
        note = branch.note(size)
        assert contradiction(log, branch, open_checkpoint(note, log_vkey("own")), note) is None


# ---- monitors -------------------------------------------------------------------------------------------------------


def test_monitors_see_the_head_with_both_signatures(rig: Rig) -> None:
    branch = rig.branches["standard"]
    where = rig.log("standard").hash.hex()
    assert rig.witness.monitor(where, NOW_S) is None
    answer = rig.ask(branch, 0, 9)
    note = rig.witness.monitor(where, NOW_S + 3)
    assert note == branch.note(9) + answer.body  # the line that the log was given
    assert open_checkpoint(note, log_vkey("standard"), WITNESS).size == 9


def test_monitors_of_what_gossip_brought_get_a_line_too(rig: Rig) -> None:
    branch = rig.branches["member"]
    rig.log("member").advance(Checkpoint(branch.origin, 4, branch.roots[4]), branch.note(4))
    note = rig.witness.monitor(rig.log("member").hash.hex(), NOW_S)
    assert note is not None
    open_checkpoint(note, log_vkey("member"), WITNESS)
    assert parse_note(note).signatures[1].name == WITNESS.name


@pytest.mark.parametrize(
    "where", ["", "x", "00", "0" * 63, "0" * 65, "g" * 64, " " + "0" * 63, "\u0660" * 64]
)
def test_monitors_that_ask_for_nothing_get_nothing(rig: Rig, where: str) -> None:
    assert rig.witness.monitor(where, NOW_S) is None


def test_a_hash_is_written_in_one_way(rig: Rig) -> None:
    rig.ask(rig.branches["standard"], 0, 9)
    assert rig.witness.monitor(rig.log("standard").hash.hex().upper(), NOW_S) is None


def test_nothing_is_cosigned_without_a_time(rig: Rig) -> None:
    with pytest.raises(LocalError):
        rig.witness.add_checkpoint(AddCheckpoint(0, (), rig.branches["standard"].note(5)).encode(), 0)
    assert rig.promised("standard") == 0
