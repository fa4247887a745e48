"""What must hold of honest peers at each step, whatever liars, network and power do.

`Watch` knows what no peer knows: every history that any log ever had. It is asked before each effect of an honest peer
is performed, so that the first wrong step fails with the step in hand. The nine invariants of the simulations, as they
apply here:

I1  what is told is durable: a head, entries, evidence or a roster is kept before it is told, a head is kept before it
    is cosigned (`tells`, `cosigned`). That what is receipted is durable is the clinic's (oracle.py).
I2  one root for each (origin, size) among all that one peer cosigned or kept, and over all peers for each log whose
    owner does not lie; of a liar's log no two heads that contradict each other can both have a quorum (`quorums`).
I3  kept heads only grow, and each continues the one before (`keeps`); also over crashes, since the store outlives them.
I4  each proof, each run of entries and each piece of evidence that an honest peer tells verifies (`tells`), and what
    it keeps as entries is a history that its log's owner wrote: no bad entry is stored (`keeps`).
I5  sent = stored + refused + missing: the clinic's, as peers carry no samples. What a peer does not take, it refuses
    with a code; the machines have no other way out (`federation.Peer._notice` counts them).
I6  no sample without consent, and
I7  nothing erased remains: the clinic's; what peers carry are entries, in which nothing personal stands.
I8  memory, what waits, what is kept and what is sent stay bounded for each peer (`bounded`, `stepped`).
I9  two peers that keep one size of a log have one root, or their two notes are evidence that verifies (`keeps`).
"""

from __future__ import annotations

import sys
from collections import Counter, deque
from functools import lru_cache
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING

from gateway.core import gossip_events as ev
from gateway.core.follow import (
    Followed,
    Keep,
    KeepCosigned,
    KeepEntries,
    KeepFork,
    KeepHead,
    KeepRoster,
    Logs,
)
from gateway.core.roster import Member, Roster
from gateway.core.witness import Answer
from gateway.keys.sign import SigningKey
from gateway.tlog.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint, verify_cosignature
from gateway.tlog.fork import Fork, parse_fork, verify_fork
from gateway.tlog.merkle import EMPTY_ROOT, Frontier, leaf_hash, verify_consistency
from gateway.tlog.note import VerifierKey, parse_note
from gateway.tlog.policy import quorum_size
from gateway.tlog.witness import parse_add_checkpoint
from gateway.wire import peer as wire
from tests.sim.peer_logs import Branch, log_vkey, origin_of, witness_name, witness_vkey

if TYPE_CHECKING:
    from tests.sim.honest import Peer

MAX_MACHINE_BYTES, MEMBER_BYTES = 64 * 1024, 1024
"""The gossip machine of one peer, without logs, roster and what is on disk; and what a member may add to it."""
MAX_WAITING_BYTES = 1024 * 1024
"""Bodies in the outboxes of one peer."""
MAX_TOLD_BYTES, FLOODED_BYTES = 64 * 1024, 96 * 1024
"""Bodies that one peer sends in a second, evidence to 32 others at once among them; and what each flood makes it answer
besides."""
MAX_PAID, PAID_S = 300, 70
"""Signatures that one peer may make another look at: at once, and in a second. Evidence has two, for one token."""

Point = tuple[int, bytes]
"""Size and root."""


class Watch:
    """Watches all honest peers of one world.

    Args:
        liars: names of members that may do anything.
        members: everybody in the roster.
    """

    def __init__(self, members: tuple[str, ...], liars: frozenset[str] = frozenset()) -> None:
        self.liars = liars
        self.members = frozenset(members)
        self.branches: dict[str, list[Branch]] = {}
        self.claims: dict[str, dict[Point, tuple[Branch, int]]] = {}
        """Heads that a liar signed without a tree below: what they continue, and up to which size."""
        self.witnesses = {witness_name(name): name for name in members}
        self.vkeys = {origin_of(name): log_vkey(name) for name in members}
        self.origins = {sha256(origin.encode()).digest(): origin for origin in self.vkeys}
        self.notes: dict[str, dict[int, dict[bytes, bytes]]] = {}
        """Origin -> size -> root -> note, of all heads that honest peers kept."""
        self.promised: dict[str, dict[Point, set[str]]] = {}
        """Origin -> head -> who of the honest cosigned it."""
        self.conflict_ns: dict[str, int] = {}
        """Origin -> when honest peers first held heads of it that contradict each other, or one saw that they do."""
        self.true_rows: dict[str, set[wire.Row]] = {}
        self.costs: Counter[tuple[str, str]] = Counter()
        """(peer, sender) -> signatures that were looked at for what the sender told."""
        self.floods: Counter[str] = Counter()
        """How many flood this peer."""
        self.began_ns = 0
        self.steps = 0
        self.told: Counter[str] = Counter()
        self.peaks: Counter[str] = Counter()

    def knows(self, branch: Branch) -> None:
        """This history exists."""
        self.branches.setdefault(branch.origin, []).append(branch)

    def lists(self, origin: str, vkey: VerifierKey) -> None:
        """A roster lists this log too."""
        self.vkeys[origin] = vkey
        self.origins[sha256(origin.encode()).digest()] = origin

    def claims_to_be(self, branch: Branch, base: int, size: int, root: bytes) -> None:
        """This head is signed; it continues a branch up to `base`, and nothing else is known of it."""
        self.claims.setdefault(branch.origin, {})[size, root] = branch, base

    # ---- each effect of an honest peer, before it is performed ------------------------------------------------------

    def keeps(self, peer: Peer, keep: Keep) -> None:
        """Judge what is about to be kept."""
        match keep:
            case KeepHead():
                self._keeps_head(peer, keep)
            case KeepEntries():
                self._keeps_entries(keep)
            case KeepFork(origin, fork):
                verify_fork(fork, self.vkeys[origin])  # I4
                assert self._is_liar(origin), f"evidence against {origin}, which never lied"
                self.conflict_ns.setdefault(origin, peer.world.now_ns)
            case KeepRoster() | KeepCosigned():
                pass

    def _keeps_head(self, peer: Peer, keep: KeepHead) -> None:
        point = keep.size, keep.root
        assert keep.origin not in peer.store.forks, "the head of a frozen log moves"
        opened = _opened(keep.note, self.vkeys[keep.origin])
        assert (opened.origin, opened.size, opened.root) == (keep.origin, *point), "a note of another head"
        before = peer.store.heads.get(keep.origin, (0, EMPTY_ROOT, b""))[:2]
        assert before[0] == keep.old_size <= keep.size, "I3: a head goes back"
        assert self.continues(keep.origin, before, point), "I3: a head that does not continue the one before"
        roots = self.notes.setdefault(keep.origin, {}).setdefault(keep.size, {})
        roots.setdefault(keep.root, keep.note)
        if len(roots) > 1:
            assert self._is_liar(keep.origin), f"I2: two roots of {keep.origin} at {keep.size}"
            (a, b), root = list(roots.values())[:2], list(roots)[1]
            verify_fork(Fork(a, b, root, ()), self.vkeys[keep.origin])  # I9
        if keep.origin not in self.conflict_ns and self._is_liar(keep.origin):
            self._look_for_conflict(peer, keep.origin, point)

    def _look_for_conflict(self, peer: Peer, origin: str, point: Point) -> None:
        for size, roots in self.notes[origin].items():
            for root in roots:
                first, second = sorted(((size, root), point))
                if not self.continues(origin, first, second):
                    self.conflict_ns[origin] = peer.world.now_ns
                    return

    def _keeps_entries(self, keep: KeepEntries) -> None:
        last = keep.first + len(keep.entries)
        for branch in self.branches[keep.origin]:
            same = branch.size >= last and branch.roots[last] == keep.root
            if same and branch.data[keep.first : last] == list(keep.entries):
                return
        raise AssertionError(f"I4: entries of {keep.origin} that its owner never wrote")

    def tells(self, peer: Peer, told: ev.Tell) -> None:
        """Judge what is about to be told."""
        assert told.peer in self.members, f"a body for {told.peer}, who is no member"
        for message in decoded(told.body):
            self.told[type(message).__name__] += 1
            match message:
                case wire.Head():
                    self._tells_head(peer, message)
                case wire.Heads(rows, forks):
                    for row in rows:
                        self._tells_row(peer, row)
                    assert all(self.origins[digest] in peer.store.forks for digest in forks), "I1: evidence"
                case wire.Cosig(digest, size, root, lines):
                    for line in lines:
                        self._promises(peer, self.origins[digest], size, root, line)
                case wire.Evidence(digest, data):
                    origin = self.origins[digest]
                    fork = _shown(data, self.vkeys[origin])
                    assert fork in peer.store.forks.get(origin, ()), "I1: evidence is told before it is kept"
                case wire.RosterDoc(raw):
                    assert raw in {signed.raw for signed in peer.rosters.values()}, "I1: a roster not kept"
                case wire.Summary(version):
                    assert peer.store.roster is not None
                    assert version == peer.store.roster.version, "I1: a roster is told before it is kept"

    def _tells_head(self, peer: Peer, head: wire.Head) -> None:
        origin = self.origins[head.origin_hash]
        size, root = _proved(
            head.note,
            head.old_size,
            head.old_root,
            tuple(head.proof),
            tuple(head.entries),
            self.vkeys[origin],
        )
        self._is_kept(peer, origin, size, root)
        if head.old_size:
            # the root that it says is the one of its own tree
            assert self.continues(origin, (head.old_size, head.old_root), (size, root)), "I4: an old root"

    def _tells_row(self, peer: Peer, row: wire.Row) -> None:
        # What was kept stays kept, so that a row which was true once is true for ever.
        if row in (true := self.true_rows.setdefault(peer.name, set())):
            return
        origin = self.origins[row.origin_hash]
        self._is_kept(peer, origin, row.size, row.root)
        mirror = peer.own if origin == peer.own.origin else peer.store.mirrors.get(origin)
        durable = len(mirror.data) if mirror else 0
        assert row.tree <= min(durable, row.size), "I1: a tree is told that is not here"
        true.add(row)

    def _is_kept(self, peer: Peer, origin: str, size: int, root: bytes) -> None:
        if size == 0:
            assert root == EMPTY_ROOT
        elif origin == peer.own.origin:
            assert peer.own.roots[size : size + 1] == [root], (
                "I1: a head of our own log that it does not have"
            )
        else:
            assert peer.store.history.get(origin, {}).get(size) == root, (
                "I1: a head is told before it is kept"
            )

    def cosigned(self, peer: Peer, effect: ev.Cosigned) -> None:
        """Judge a cosignature of a peer's own log; it may be its own witness' or another's."""
        assert effect.origin == peer.own.origin
        name = self.witnesses[effect.name]
        _cosigned(Checkpoint(effect.origin, effect.size, effect.root), effect.line, witness_vkey(name))
        assert peer.own.roots[effect.size] == effect.root, "I2: a cosignature of another root is taken"
        if name == peer.name:
            self._promises(peer, effect.origin, effect.size, effect.root, effect.line)

    def _promises(self, peer: Peer, origin: str, size: int, root: bytes, line: str) -> None:
        _cosigned(Checkpoint(origin, size, root), line, witness_vkey(peer.name))
        assert peer.store.history.get(origin, {}).get(size) == root, (
            "I1: a head is cosigned before it is kept"
        )
        points = self.promised.setdefault(origin, {})
        points.setdefault((size, root), set()).add(peer.name)
        for (other_size, other_root), names in points.items():
            if peer.name in names and not self._agree(origin, (size, root), (other_size, other_root)):
                raise AssertionError(
                    f"I2: {peer.name} cosigned two heads of {origin} that contradict each other"
                )

    def answers(self, peer: Peer, body: bytes, answer: Answer) -> None:
        """Judge what a peer's witness is about to answer."""
        if answer.status == 200:
            checkpoint = parse_checkpoint(parse_note(parse_add_checkpoint(body).note).text)
            self._promises(peer, checkpoint.origin, checkpoint.size, checkpoint.root, answer.body.decode())

    def stepped(self, peer: Peer) -> None:
        """Judge a peer after a whole step (I8)."""
        self.steps += 1
        waiting = peer.waiting_bytes
        assert waiting <= MAX_WAITING_BYTES, f"I8: {waiting} bytes wait at {peer.name}"
        self.peaks["waiting"] = max(self.peaks["waiting"], waiting)

    def paid(self, peer: Peer, sender: str, signatures: int) -> None:
        """Count what one peer made another look at (I8)."""
        if not signatures:
            return
        assert sender in self.members, "signatures of a stranger are looked at"
        paid = self.costs[peer.name, sender] = self.costs[peer.name, sender] + signatures
        seconds = (peer.world.now_ns - self.began_ns) / 1e9
        assert paid <= MAX_PAID + PAID_S * seconds, f"I8: {sender} made {peer.name} look at {paid} signatures"
        self.peaks["signatures for one"] = max(self.peaks["signatures for one"], paid)

    def told_in_a_second(self, name: str, bytes_: int) -> None:
        """Judge how much a peer sent (I8)."""
        most = MAX_TOLD_BYTES + FLOODED_BYTES * self.floods[name]
        assert bytes_ <= most, f"I8: {name} sent {bytes_} bytes in a second"
        self.peaks["told in a second"] = max(self.peaks["told in a second"], bytes_)

    # ---- the whole world --------------------------------------------------------------------------------------------

    def bounded(self, peer: Peer) -> None:
        """Judge how much a peer remembers and keeps (I8); costs time, so not at each step."""
        bytes_ = weigh(peer.gossip)
        most = MAX_MACHINE_BYTES + MEMBER_BYTES * len(self.members)
        assert bytes_ <= most, f"I8: the machine of {peer.name} has {bytes_} bytes"
        self.peaks["machine"] = max(self.peaks["machine"], bytes_)
        assert peer.store.heads.keys() <= self.vkeys.keys(), "I8: heads of logs that nobody has"
        assert all(len(forks) <= 1 for forks in peer.store.forks.values()), "I8: evidence without end"
        for origin, mirror in peer.store.mirrors.items():
            most = max((branch.size for branch in self.branches.get(origin, ())), default=0)
            assert len(mirror.data) <= most

    def quorums(self) -> None:
        """No two heads that contradict each other can both be confirmed, with liars that cosign anything (I2)."""
        faulty = (len(self.members) - 1) // 3
        if len(self.liars) > faulty:
            return
        needed = quorum_size(len(self.members), faulty)
        for origin, points in self.promised.items():
            confirmed = sorted(point for point, who in points.items() if len(who | self.liars) >= needed)
            for first, second in pairwise(confirmed):
                assert self.continues(origin, first, second), f"I2: two heads of {origin} are confirmed"

    def continues(self, origin: str, first: Point, second: Point) -> bool:
        """Whether the second head continues the first, as all histories of that log say."""
        if first[0] == 0 or first == second:
            return first[0] != 0 or first[1] == EMPTY_ROOT
        for branch in self.branches.get(origin, ()):
            if _is_on(branch, first) and _is_on(branch, second):
                return first[0] <= second[0]
        claimed = self.claims.get(origin, {}).get(second)
        return claimed is not None and first[0] <= claimed[1] and _is_on(claimed[0], first)

    def _agree(self, origin: str, one: Point, other: Point) -> bool:
        first, second = sorted((one, other), key=lambda point: point[0])
        return self.continues(origin, first, second)

    def _is_liar(self, origin: str) -> bool:
        return any(origin_of(name) == origin for name in self.liars)


def _is_on(branch: Branch, point: Point) -> bool:
    return point[0] <= branch.size and branch.roots[point[0]] == point[1]


@lru_cache(1 << 14)
def decoded(body: bytes) -> tuple[wire.Message, ...]:
    """The messages of a body."""
    return tuple(wire.decode_body(body))


# The same heads and cosignatures pass many peers; each is verified once.
@lru_cache(1 << 16)
def _opened(note: bytes, vkey: VerifierKey) -> Checkpoint:
    return open_checkpoint(note, vkey)


@lru_cache(1 << 12)
def _shown(data: bytes, vkey: VerifierKey) -> Fork:
    fork = parse_fork(data)
    verify_fork(fork, vkey)
    return fork


@lru_cache(1 << 16)
def _cosigned(checkpoint: Checkpoint, line: str, vkey: VerifierKey) -> int:
    return verify_cosignature(checkpoint, line, vkey)


@lru_cache(1 << 16)
def _proved(
    note: bytes,
    old_size: int,
    old_root: bytes,
    proof: tuple[bytes, ...],
    entries: tuple[bytes, ...],
    vkey: VerifierKey,
) -> Point:
    # I4
    checkpoint = _opened(note, vkey)
    if entries:
        assert len(entries) == checkpoint.size - old_size, "I4: entries that do not reach the head"
        if old_size == 0:
            frontier = Frontier()
            frontier.extend(map(leaf_hash, entries))
            assert frontier.root() == checkpoint.root, "I4: entries that lead to another root"
    elif old_size:
        verify_consistency(old_size, checkpoint.size, proof, old_root, checkpoint.root)
    else:
        assert not proof, "I4: a proof of nothing"
    return checkpoint.size, checkpoint.root


SHARED = (Logs, Followed, Roster, Member, SigningKey, VerifierKey, type, type(sys))


def weigh(root: object) -> int:
    """Bytes of an object and of everything it alone holds: not of what peers share (logs, rosters, keys, code)."""
    seen: set[int] = set()
    waiting: list[object] = [root]
    total = 0
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, SHARED) or (callable(one) and one is not root):
            continue
        seen.add(id(one))
        total += sys.getsizeof(one)
        if isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set | frozenset | deque):
            waiting += one
        waiting += vars(one).values() if hasattr(one, "__dict__") else ()
        waiting += [getattr(one, field) for field in getattr(one, "__struct_fields__", ())]
        for kind in type(one).__mro__:
            slots = kind.__dict__.get("__slots__", ())
            for slot in (slots,) if isinstance(slots, str) else slots:
                waiting.append(getattr(one, slot, None))
    return total
