"""Our witness against the table of tlog-witness, written out a second time over whole lists of leaves; and its promise:
whatever it is sent, all that it ever cosigned of a log is one history."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.follow import Followed, KeepFork, KeepHead, Logs
from gateway.core.witness import Witness
from gateway.tlog.checkpoint import Checkpoint, sign_checkpoint, verify_cosignature
from gateway.tlog.fork import verify_fork
from gateway.tlog.merkle import consistency_path, leaf_hash
from gateway.tlog.witness import AddCheckpoint
from tests.sim.peer_logs import Branch, key_of, log_vkey, origin_of, witness_name, witness_vkey

LARGEST = 24
NOW_S = 1_790_000_000
ORIGIN = origin_of("log")


def branches() -> list[Branch]:
    """One history, and three that leave it at different sizes."""
    trunk = Branch("log")
    trunk.grow(LARGEST)
    found = [trunk]
    for at in (1, 7, 16):
        other = trunk.fork(at, f"from {at}")
        other.grow(LARGEST - at)
        found.append(other)
    return found


BRANCHES = branches()

requests = st.lists(
    st.tuples(
        st.integers(0, len(BRANCHES) - 1),
        st.integers(0, LARGEST),  # size
        st.integers(-1, LARGEST),  # old; -1: what is promised
        st.sampled_from(["proof", "none", "long", "wrong", "theirs"]),
        st.sampled_from(["", "", "", "stranger"]),
    ),
    min_size=1,
    max_size=30,
)


def proof_of(branch: Branch, old: int, size: int, kind: str) -> tuple[bytes, ...]:
    hashes = [leaf_hash(entry) for entry in branch.data[:size]]
    proof = consistency_path(old, hashes) if 0 < old <= size else []
    match kind:
        case "none":
            return ()
        case "long":
            return (*proof, bytes(32))
        case "wrong":
            return tuple(bytes([digest[0] ^ 1]) + digest[1:] for digest in proof)
    return tuple(proof)


def expected(
    promised: int, root: bytes, branch: Branch, old: int, size: int, proof: tuple[bytes, ...], key: str
) -> int:
    """The status that the table gives."""
    if key:
        return 403
    if old > size:
        return 400
    if old != promised:
        return 409
    hashes = [leaf_hash(entry) for entry in branch.data[:size]]
    needed = consistency_path(old, hashes) if old > 0 else []
    return 200 if branch.roots[old] == root and list(proof) == needed else 422


@given(requests=requests, data=st.booleans())
def test_the_table_and_the_promise(requests: list[tuple[int, int, int, str, str]], data: bool) -> None:
    log = Followed(ORIGIN, (log_vkey("log"),), data=data)
    witness = Witness(witness_name("w"), key_of("w", "witness"), Logs([log]), lambda _: BRANCHES[0])
    cosigned: list[tuple[int, bytes]] = []
    kept: list[tuple[int, bytes]] = [(0, BRANCHES[0].roots[0])]
    accused = False
    for number, size, old, kind, key in requests:
        branch = BRANCHES[number]
        old = kept[-1][0] if old < 0 else old
        proof = proof_of(branch, old, size, kind)
        signer = key_of(key or "log", "log 1")
        note = sign_checkpoint(Checkpoint(ORIGIN, size, branch.roots[size]), ORIGIN, signer)
        keeps, answer = witness.add_checkpoint(AddCheckpoint(old, proof, note).encode(), NOW_S)
        want = expected(*kept[-1], branch, old, size, proof, key)
        assert answer.status == (403 if accused and data else want)
        for keep in keeps:
            if isinstance(keep, KeepFork):
                verify_fork(keep.fork, log_vkey("log"))
                assert answer.status in (409, 422)
                accused = True
            else:
                assert isinstance(keep, KeepHead)
                assert keep.old_size == kept[-1][0]
                kept.append((keep.size, keep.root))
        if answer.status == 200:
            checkpoint = Checkpoint(ORIGIN, size, branch.roots[size])
            verify_cosignature(checkpoint, answer.body.decode(), witness_vkey("w"))
            assert kept[-1] == (size, branch.roots[size]), "it is written down before it is said"
            cosigned.append(kept[-1])
        if answer.status == 409:
            assert answer.body == b"%d\n" % kept[-1][0]
    assert log.frozen == (accused and data)
    sizes = [size for size, _ in cosigned]
    assert sizes == sorted(sizes)
    assert any(all(branch.roots[size] == root for size, root in cosigned) for branch in BRANCHES), (
        "two histories"
    )


@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"old 0\n\n", b"old 3\n", b"old 0\n\n" + BRANCHES[0].note(3)[:60]]),
)
def test_no_bytes_do_harm(tail: bytes, head: bytes) -> None:
    log = Followed(ORIGIN, (log_vkey("log"),))
    witness = Witness(witness_name("w"), key_of("w", "witness"), Logs([log]), lambda _: BRANCHES[0])
    keeps, answer = witness.add_checkpoint(head + tail, NOW_S)
    assert (keeps, log.size) == ([], 0)
    assert answer.status in (400, 403, 404)
