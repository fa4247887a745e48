"""Members of the federation that lie, strangers that pretend to be members, and what they say.

A liar keeps real machines behind its faces: so that it is believed, knows what everybody knows, and its lies come
beside what is true. Each lie is a class with `tick`, which is asked once a second; all chance is the world's.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from hashlib import sha256

from gateway.core import gossip_events as ev
from gateway.core.roster import SignedRoster, make_roster, sign_roster
from gateway.core.witness import Answer
from gateway.errors import LocalError
from gateway.tlog.checkpoint import Checkpoint, sign_checkpoint
from gateway.tlog.fork import Fork
from gateway.tlog.merkle import EMPTY_ROOT, consistency_ranges, node_hash, range_root
from gateway.tlog.note import VerifierKey
from gateway.tlog.text import MAX_SIZE
from gateway.tlog.tiles import hash_at
from gateway.wire import peer as wire
from tests.sim.federation import SECOND, World
from tests.sim.honest import Peer
from tests.sim.invariants import Watch, decoded
from tests.sim.peer_logs import Branch, key_of, origin_of, signed


class Face(Peer):
    """What a liar shows to some: a real machine on one history of its log, which tells nothing against itself."""

    def __init__(
        self,
        world: World,
        name: str,
        roster: SignedRoster,
        own: Branch,
        follow: list[str] | None,
        confirms: bool,
    ) -> None:
        super().__init__(world, name, roster, None, own, follow, confirms)
        self.audience: Callable[[str], bool] = lambda peer: True

    def tell(self, told: ev.Tell) -> None:
        if self.audience(told.peer) and not told.urgent:
            super().tell(told)
        else:
            self.world.after(0, lambda boot=self.boot: self._unreached(boot, told.peer))  # type: ignore[misc]

    def _unreached(self, boot: int, peer: str) -> None:
        if boot == self.boot:
            self.step(ev.Unreached(peer))


class Liar:
    """A member that lies: faces with real machines, and lies beside.

    Args:
        world: where it stands.
        name: its name in the roster.
        roster: the roster.
        watch: is told what it signs.
        honest: whom it lies to.
        follow: whose logs it follows; everybody's where None.
        confirms: whether it asks witnesses to cosign its histories.
    """

    def __init__(
        self,
        world: World,
        name: str,
        roster: SignedRoster,
        watch: Watch,
        honest: Iterable[str],
        follow: list[str] | None = None,
        confirms: bool = False,
    ) -> None:
        self.world, self.name, self.roster, self.watch = world, name, roster, watch
        self.confirms = confirms
        self.honest = list(honest)
        self.follow = follow
        self.up = True
        self.mute = False
        self.silent_to: set[str] = set()
        self._branches: dict[str, Branch] = {}
        self.lies: list[Lie] = []
        self.faces: list[Face] = []
        self.face_of: Callable[[str], Face] = lambda sender: self.faces[0]
        world.speakers[name] = self

    @property
    def rng(self) -> random.Random:
        """All chance."""
        return self.world.rng

    def show(self, branch: Branch) -> Face:
        """Another face, with this history of its log."""
        face = Face(self.world, self.name, self.roster, branch, self.follow, self.confirms)
        self.watch.knows(branch)
        self.faces.append(face)
        return face

    def start(self) -> None:
        """Begin to lie."""
        for face in self.faces:
            face.start()
        self.world.after(self.rng.randrange(SECOND), self._tick)

    def _tick(self) -> None:
        for lie in self.lies:
            lie.tick()
        self.world.after(SECOND, self._tick)

    def say(self, to: str, *messages: wire.Message) -> None:
        """Tell somebody something, whatever its limits say."""
        try:
            body = wire.encode_body(messages)
        except LocalError:
            return
        self.say_bytes(to, body)

    def say_bytes(self, to: str, body: bytes) -> None:
        """Send bytes."""
        self.world.exchange(self.name, to, body, self._heard)

    def _heard(self, answer: bytes | None) -> None:
        pass

    def _face(self, sender: str) -> Face | None:
        """Which face answers; None for none."""
        if self.mute or not self.faces or sender in self.silent_to:
            return None
        face = self.face_of(sender)
        return face if face.up else None

    def asked(self, sender: str, body: bytes) -> bytes | None:
        face = self._face(sender)
        return None if face is None else face.asked(sender, body)

    def posted(self, sender: str, body: bytes) -> Answer | None:
        face = self._face(sender)
        return None if face is None else face.posted(sender, body)

    def fetched(self, sender: str, path: str) -> bytes | None:
        face = self._face(sender)
        data = None if face is None else face.fetched(sender, path)
        for lie in self.lies:
            data = lie.served(data)
        return data

    # ---- what lies are made of --------------------------------------------------------------------------------------

    def victim(self) -> str:
        """Somebody honest."""
        return self.rng.choice(self.honest)

    def branch_of(self, name: str) -> Branch:
        """The log of any member, as it is: a liar knows all that was ever published."""
        if (known := self._branches.get(name)) is None:
            known = self._branches[name] = self.watch.branches[origin_of(name)][0]
        return known

    def laggard(self) -> tuple[str, Branch, int]:
        """Somebody honest, somebody else's honest log, and what the first has of it: less than there is, if anybody.

        A liar may well know, from the tables that it is told; here it looks.
        """
        for _ in range(20):
            to, branch = self.victim(), self.some_branch()
            speaker = self.world.speakers[to]
            assert isinstance(speaker, Peer)
            mirror = speaker.store.mirrors.get(branch.origin)
            size = len(mirror.data) if mirror else 0
            if speaker.own is not branch and size < branch.size:
                return to, branch, size
        return to, branch, self.rng.randrange(1, branch.size)

    def some_branch(self) -> Branch:
        """The log of somebody honest that has entries."""
        grown = (branch for _ in range(1000) if (branch := self.branch_of(self.victim())).size > 1)
        return next(grown)


class Lie:
    """One kind of lie.

    Args:
        liar: who tells it.
    """

    def __init__(self, liar: Liar) -> None:
        self.liar, self.rng = liar, liar.rng

    RATE = 1
    """How many lies in a second, where they are told one by one."""
    marks: tuple[str, ...] = ()
    """Codes of which at least one must be held against somebody: else these lies reach nobody."""

    def tick(self) -> None:
        """Lie for a second."""

    def often(self, one: Callable[[], None]) -> None:
        """Tell lies at random times within a second."""
        for _ in range(self.RATE):
            self.liar.world.after(self.rng.randrange(SECOND), one)

    def served(self, data: bytes | None) -> bytes | None:
        """What is served instead of this."""
        return data


def two_faced(
    liar: Liar, common: Branch, at: str, victims: Iterable[str], bare: bool = False
) -> Callable[[], None]:
    """Let a liar have two histories of its log, one for `victims` and one for all others.

    Args:
        liar: with no face yet.
        common: its log until now.
        at: `same` size, or the victims' history is `longer` or `shorter`.
        victims: who is shown the second.
        bare: no entries of the second are shown: victims hold a head that they cannot prove to anybody. The first
            becomes the longer one after some seconds, which is when evidence can be made at all.

    Returns:
        Begins to show them.
    """
    chosen = set(victims)
    second = common.fork(common.size, "second history")
    size = common.size
    for branch in (common, second):
        face = liar.show(branch)
        face.audience = (lambda peer: peer in chosen) if branch is second else lambda peer: peer not in chosen
    first_face, second_face = liar.faces
    liar.face_of = lambda sender: second_face if sender in chosen else first_face
    counts = {"same": (2, 2), "longer": (2, 5), "shorter": (5, 2)}[at]

    def begin() -> None:
        others = sorted(set(liar.honest) - chosen)
        first_face.grow(counts[0])
        second_face.grow(counts[1])
        # it sees to it that both are seen soon
        _push(liar, common, liar.rng.choice(others), size)
        if bare:
            second_face.audience = lambda peer: False
            liar.silent_to = chosen
            proof = consistency(second, size, second.size)
            for to in sorted(chosen):
                for _ in range(12):  # often enough that one of them arrives
                    head = wire.Head(_hash(second), second.note(), size, second.roots[size], proof, [])
                    liar.say(to, head)
            liar.world.after(3 * SECOND, lambda: first_face.grow(10))
        else:
            _push(liar, second, sorted(chosen)[0], size)
            liar.world.after(SECOND, on)

    def on() -> None:
        # whoever has frozen its log must not follow it any further
        for face in liar.faces:
            if face.up:
                face.grow()
                to = liar.rng.choice([name for name in liar.honest if face.audience(name)])
                # From where all agree, as long as that fits: what was told before may have been lost.
                _push(liar, face.own, to, max(size, face.own.size - wire.MAX_ENTRIES))
        liar.world.after(SECOND, on)

    return begin


def _push(liar: Liar, branch: Branch, to: str, old_size: int) -> None:
    entries = branch.data[old_size:]
    liar.say(to, wire.Head(_hash(branch), branch.note(), old_size, branch.roots[old_size], [], list(entries)))


def _hash(branch: Branch) -> bytes:
    return sha256(branch.origin.encode()).digest()


class Forge(Lie):
    """Entries, signatures and rosters that nobody wrote."""

    RATE = 12
    marks = ("head_entries", "note_unknown", "note_format", "roster_signature")

    def __init__(self, liar: Liar) -> None:
        super().__init__(liar)
        self.roster = _forged_roster(liar.name, liar.roster)

    def tick(self) -> None:
        self.often(self._one)

    def _one(self) -> None:
        rng, liar = self.rng, self.liar
        to, branch, old = liar.laggard()
        size, key = branch.size, key_of(liar.name, "log 1")
        entries = branch.data[old:]
        more = Checkpoint(branch.origin, size + 2, rng.randbytes(32))
        flipped = bytearray(branch.note())
        flipped[-3] ^= 1
        lies: list[tuple[bytes, int, list[bytes]]] = [
            (branch.note(), old, [rng.randbytes(20) for _ in entries]),
            (branch.note(), old, [*entries[:-1], b"forged"]),
            (branch.note(), old, entries[:-1]),
            (branch.note(), old, [*entries, b"more"]),
            (sign_checkpoint(more, branch.origin, key), size, [b"x", b"y"]),
            (sign_checkpoint(more, origin_of(liar.name), key), size, [b"x", b"y"]),
            (bytes(flipped), old, entries),
            (f"{branch.origin}\n{size + 2}\n".encode(), size, [b"x", b"y"]),
            (b"", 0, []),
        ]
        note, at, told = rng.choice(lies)
        head = wire.Head(_hash(branch), note, at, branch.roots[at], [], list(told))
        own = liar.faces[0].own
        beside: list[wire.Message] = [
            wire.Head(_hash(own), own.note(), own.size, own.roots[-1], [], [b"no", b"way"]),
            wire.Cosig(_hash(branch), size, branch.roots[size], ["\u2014 nobody AAAAAAAA\n"]),
            wire.RosterDoc(self.roster.raw),
        ]
        liar.say(to, head, rng.choice(beside))


def _forged_roster(name: str, roster: SignedRoster) -> SignedRoster:
    before = roster.roster
    keys = (VerifierKey.of("federation", key_of(name, "roster").public),)
    made = make_roster(
        before.federation, before.version + 1, before.hash(), 1, keys, 1, 0, before.members[:2]
    )
    return sign_roster(made, key_of(name, "roster"), "federation")


class BadProof(Lie):
    """True heads with proofs that do not hold, and evidence that shows nothing, all against honest logs."""

    RATE = 12
    marks = ("head_proof", "fork", "consistency")

    def tick(self) -> None:
        self.often(self._one)

    def _one(self) -> None:
        rng, liar = self.rng, self.liar
        to, branch, old = liar.laggard()
        old = max(old, 1)
        size, root, digest = branch.size, branch.roots[old], _hash(branch)
        proof = consistency(branch, old, size)
        spoilt = list(proof) or [b""]
        spoilt[rng.randrange(len(spoilt))] = rng.randbytes(32)
        heads = [
            (old, root, spoilt),
            (old, root, proof[:-1]),
            (old, root, [*proof, rng.randbytes(32)]),
            (old, rng.randbytes(32), proof),
            (old, rng.randbytes(32), [rng.randbytes(32)]),
            (MAX_SIZE, root, proof),
            (0, EMPTY_ROOT, proof),
        ]
        at, old_root, hashes = rng.choice(heads)
        forks = [
            Fork(branch.note(old), branch.note(), rng.randbytes(32), tuple(proof)),
            Fork(branch.note(old), branch.note(), root, tuple(proof)),
            Fork(branch.note(), branch.note(), root, ()),
            Fork(branch.note(), branch.note(old), root, tuple(proof)),
            Fork(branch.note(old), signed(liar.name, size, rng.randbytes(32)), root, ()),
        ]
        liar.say(
            to,
            wire.Head(digest, branch.note(), at, old_root, hashes, []),
            wire.Evidence(digest, rng.choice(forks).encode()),
        )


def consistency(branch: Branch, old: int, size: int) -> list[bytes]:
    """A proof that holds."""
    return [
        range_root(start, end, lambda level, index: hash_at(branch, branch.size, level, index))
        for start, end in consistency_ranges(old, size)
    ]


class Huge(Lie):
    """One claim to be the largest log there can be, with proofs that hold; and boasts about everybody's."""

    def __init__(self, liar: Liar) -> None:
        super().__init__(liar)
        self.branch = liar.faces[0].own
        self.base = self.branch.size
        root = self._range(0, MAX_SIZE)
        self.note = signed(liar.name, MAX_SIZE, root)
        liar.watch.claims_to_be(self.branch, self.base, MAX_SIZE, root)

    def _range(self, start: int, end: int) -> bytes:
        """Root of a range: what is known to all below `base`, and anything above it."""
        if end <= self.base:
            return range_root(start, end, lambda level, index: hash_at(self.branch, self.base, level, index))
        if start >= self.base:
            return sha256(b"nothing %d %d" % (start, end)).digest()
        middle = start + (1 << ((end - start - 1).bit_length() - 1))
        return node_hash(self._range(start, middle), self._range(middle, end))

    def tick(self) -> None:
        rng, liar = self.rng, self.liar
        for _ in range(3):
            old = rng.randint(max(1, self.base - 2), self.base)
            proof = [self._range(start, end) for start, end in consistency_ranges(old, MAX_SIZE)]
            liar.say(
                liar.victim(),
                wire.Head(_hash(self.branch), self.note, old, self.branch.roots[old], proof, []),
            )
        rows = sorted(
            [
                *(wire.Row(digest, MAX_SIZE, rng.randbytes(32), MAX_SIZE) for digest in liar.watch.origins),
                *(wire.Row(rng.randbytes(32), MAX_SIZE, rng.randbytes(32), 0) for _ in range(50)),
            ]
        )
        liar.say(liar.victim(), wire.Heads(rows, [], rng.random() < 0.5))


class Stale(Lie):
    """Old heads, old tables and old summaries, again and again."""

    def tick(self) -> None:
        rng, liar = self.rng, self.liar
        branches = [liar.branch_of(name) for name in liar.honest]
        grown = [branch for branch in branches if branch.size > 1]
        for _ in range(4):
            heads = []
            for branch in rng.sample(grown, min(5, len(grown))):
                size = rng.randrange(1, branch.size)
                old = rng.randrange(size)
                entries = branch.data[old:size]
                heads.append(
                    wire.Head(_hash(branch), branch.note(size), old, branch.roots[old], [], list(entries))
                )
            liar.say(liar.victim(), *heads)
        rows = []
        for branch in grown:
            size = rng.randrange(1, branch.size)
            rows.append(wire.Row(_hash(branch), size, branch.roots[size], rng.randrange(size + 1)))
        liar.say(liar.victim(), wire.Heads(sorted(rows), [], True))
        liar.say(liar.victim(), wire.Summary(1, bytes(32), rng.randbytes(32), rng.randbytes(32), True))


class Flood(Lie):
    """Much of everything, at one victim: `RATE` bodies in a second."""

    RATE = 150
    marks = ("rate",)

    def __init__(self, liar: Liar) -> None:
        super().__init__(liar)
        self.prey = liar.victim()
        # Random bytes are dear where there are so many: what is told is drawn from these.
        self.junk = [self.rng.randbytes(32) for _ in range(2_000)]
        self.rows = [wire.Row(junk, 1 + self.rng.randrange(9), bytes(32), 0) for junk in self.junk]

    def tick(self) -> None:
        self.often(self._one)

    def _one(self) -> None:
        rng, liar = self.rng, self.liar
        branch = liar.some_branch()
        kind = rng.randrange(8)
        if kind == 0:
            liar.say_bytes(self.prey, rng.randbytes(rng.choice((1, 100, 10_000))))
        elif kind == 1:
            liar.say(self.prey, wire.Summary(1, bytes(32), rng.randbytes(32), rng.randbytes(32), True))
        elif kind == 2:
            new = (wire.Row(rng.randbytes(32), 1, bytes(32), 0) for _ in range(10))
            rows = sorted([*rng.sample(self.rows, 290), *new])
            forks = sorted(rng.sample(self.junk, 200))
            liar.say(self.prey, wire.Heads(rows, forks, True))
        elif kind == 3:
            note = signed(liar.name, rng.randrange(1, 500), bytes(32))
            junk = Fork(note, branch.note(), rng.randbytes(32), (rng.randbytes(32),) * 60).encode()
            hashes = [_hash(branch), rng.randbytes(32), _hash(liar.faces[0].own)]
            liar.say(self.prey, *(wire.Evidence(digest, junk) for digest in hashes))
        elif kind == 4:
            note = sign_checkpoint(
                Checkpoint(branch.origin, branch.size + 1 + rng.randrange(99), bytes(32)),
                branch.origin,
                key_of(liar.name, "log 1"),
            )
            liar.say(self.prey, wire.Head(_hash(branch), note, 0, EMPTY_ROOT, [rng.randbytes(32)] * 64, []))
        elif kind == 5:
            lines = [f"\u2014 {rng.randbytes(8).hex()} {'A' * 96}\n"] * 4
            prey = self.liar.branch_of(self.prey)
            liar.say(
                self.prey,
                *(wire.Cosig(_hash(prey), size, prey.roots[size], lines) for size in range(1, prey.size)),
            )
        elif kind == 6:
            liar.say(self.prey, wire.RosterDoc(rng.randbytes(40_000)))
        else:
            rows = [wire.Row(_hash(branch), 1, branch.roots[1], 1)]
            liar.say(self.prey, wire.Heads(rows, [], True))


class Mute(Lie):
    """Takes everything and says nothing."""

    def tick(self) -> None:
        self.liar.mute = True


class BadMirror(Lie):
    """Serves entries and tiles that are not those of the log, or too many, or none."""

    marks = ("tile", "bundle")

    def served(self, data: bytes | None) -> bytes | None:
        rng = self.rng
        if not data:
            return data
        at = rng.randrange(len(data))
        return rng.choice(
            (
                data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :],
                data[:-1],
                data + bytes(200_000),
                rng.randbytes(len(data)),
                b"",
                None,
            )
        )


class Sybil(Liar):
    """A stranger, who would like to be a member; it has no key of the roster."""

    def __init__(
        self, world: World, name: str, roster: SignedRoster, watch: Watch, honest: Iterable[str]
    ) -> None:
        super().__init__(world, name, roster, watch, honest)
        self.own = Branch(name)
        self.own.grow(3)

    def start(self) -> None:
        self.world.after(self.rng.randrange(SECOND), self._tick)

    def _tick(self) -> None:
        digest = _hash(self.own)
        head = wire.Head(digest, self.own.note(), 0, EMPTY_ROOT, [], list(self.own.data))
        row = wire.Row(digest, self.own.size, self.own.roots[-1], self.own.size)
        for to in self.rng.sample(self.honest, min(2, len(self.honest))):
            self.say(to, head, wire.Heads([row], [], True))
        self.world.after(SECOND, self._tick)

    def _heard(self, answer: bytes | None) -> None:
        assert not answer or not decoded(answer), "a stranger is answered"


LIES: dict[str, type[Lie]] = {
    "forge": Forge,
    "bad proof": BadProof,
    "huge": Huge,
    "stale": Stale,
    "flood": Flood,
    "mute": Mute,
    "bad mirror": BadMirror,
}
