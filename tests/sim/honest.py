"""An honest gateway of the simulated federation: the real machines, and a driver that performs what they say.

Every effect is performed in its order, and the power may go out before any of them. What machines have in memory is
lost then; a start makes them again from what was kept.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gateway.core import confirm_events as cev
from gateway.core import gossip_events as ev
from gateway.core import mirror_events as mev
from gateway.core.confirm import Confirm
from gateway.core.contradiction import Alarm
from gateway.core.follow import Followed, KeepCosigned, KeepEntries, KeepFork, KeepHead, KeepRoster, Logs
from gateway.core.gossip import Gossip
from gateway.core.gossip_events import Cosigner
from gateway.core.mirror import Mirror
from gateway.core.roster import Roster, SignedRoster
from gateway.core.witness import Answer, Witness
from gateway.errors import ProofError
from gateway.tlog.checkpoint import origin_hash
from gateway.tlog.note import VerifierKey
from gateway.tlog.tiles import ENTRIES_LEVEL, encode_bundle, parse_tile_path, width_at
from gateway.wire.peer import EMPTY_BODY
from tests.sim.federation import PERIOD_NS, SECOND, World, policy_of
from tests.sim.invariants import Watch
from tests.sim.peer_logs import Branch, checks, key_of, witness_name
from tests.sim.peer_memory import PeerStore

MAX_URGENT = 16
KEEPS = (KeepHead, KeepEntries, KeepFork, KeepRoster, KeepCosigned)


class Crashed(Exception):
    """The power went out between two effects."""


class Outbox:
    """What waits for one peer: the newest body, and a few urgent ones that nothing replaces."""

    __slots__ = ("busy", "newest", "urgent")

    def __init__(self) -> None:
        self.busy = False
        self.newest: bytes | None = None
        self.urgent: deque[bytes] = deque(maxlen=MAX_URGENT)

    def put(self, told: ev.Tell) -> None:
        if told.urgent:
            self.urgent.append(told.body)
        else:
            self.newest = told.body

    def take(self) -> bytes | None:
        if self.urgent:
            return self.urgent.popleft()
        body, self.newest = self.newest, None
        return body

    @property
    def waiting_bytes(self) -> int:
        return len(self.newest or b"") + sum(map(len, self.urgent))


class Peer:
    """An honest gateway.

    Args:
        world: where it stands.
        name: its name in the roster.
        roster: what it has at first.
        watch: checks all that it does; None for a liar's machine, which nobody answers for.
        own: its log.
        follow: names of those whose logs it follows; everybody of the roster where None.
        confirms: whether it asks witnesses, beside what gossip brings.
        machine: the gossip machine's class, for those that break a rule on purpose.
    """

    def __init__(
        self,
        world: World,
        name: str,
        roster: SignedRoster,
        watch: Watch | None,
        own: Branch | None = None,
        follow: Sequence[str] | None = None,
        confirms: bool = False,
        machine: type[Gossip] = Gossip,
    ) -> None:
        self.world, self.name, self.watch = world, name, watch
        self.own = own or Branch(name)
        self.store = PeerStore(self.own)
        self.store.perform(KeepRoster(roster.roster.version, roster.raw))
        self.rosters = {roster.roster.version: roster}
        self.signed_roster = roster
        self.follow = follow
        self.confirms = confirms
        self.machine = machine
        self.up = False
        self.boot = 0
        self.power_s: Callable[[], float] = lambda: 1.0
        """How long it stays away after a crash."""
        self.fails: Callable[[], bool] | None = None
        """Asked before each effect: whether the power goes out now."""
        self.refusals: Counter[str] = Counter()
        self.alarms: list[object] = []
        self.logs: Logs
        self.ours: Followed
        self.gossip: Gossip
        self.mirror: Mirror
        self.witness: Witness
        self.confirm: Confirm | None = None
        self.outboxes: dict[str, Outbox] = {}
        self.waiting_bytes = 0
        self.heard_from: dict[str, str] = {}
        """Origin -> who told of it last, so has its tree."""
        self._waking_ns = 0

    @property
    def roster(self) -> Roster:
        """The newest that counts."""
        return self.signed_roster.roster

    def __repr__(self) -> str:
        return self.name

    # ---- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start from what is on disk."""
        self.boot += 1
        self.up = True
        self.outboxes, self.heard_from, self.waiting_bytes = {}, {}, 0
        self._waking_ns = 0
        self.logs = self.store.load(self.keys(), again=self.boot > 1)
        ours = self.logs.of(self.own.origin)
        assert ours is not None
        self.ours = ours
        witness = Cosigner(witness_name(self.name), key_of(self.name, "witness"))
        self.gossip = self.machine(
            self.name,
            lambda: self.signed_roster.roster,
            self.logs,
            self.store.shelf,
            self.world.rng.randbytes,
            witness,
            PERIOD_NS,
            self.world.now_ns,
            lambda version: self.rosters[version].raw if version in self.rosters else None,
        )
        self.mirror = Mirror(self.logs, self._sources)
        self.witness = Witness(witness.name, witness.key, self.logs, self.store.shelf)
        if self.confirms:
            policy = policy_of(self.signed_roster)
            told = self.gossip.liveness.answers
            self.confirm = Confirm(self.ours, self.own, policy, self.name, self.store.cosigned, told)
        boot = self.boot
        if self.own.size:
            self._published()
        for log in self.logs:
            if boot == self.boot and log.tree.size < log.size:
                self._step(lambda log=log: self._mirrored(mev.Wanted(log.origin)))  # type: ignore[misc]
        self._wake_later()

    def crash(self) -> None:
        """Lose everything but what was kept."""
        self.up = False
        self.boot += 1
        self.world.after(int(self.power_s() * SECOND), self.start)

    def grow(self, count: int = 1, entry_bytes: int = 0) -> None:
        """Entries are committed to our own log, and its new checkpoint is published."""
        self.own.grow(count, entry_bytes)
        if self.up:
            self._published()

    def _published(self) -> None:
        self.store.follow_own(self.ours)
        note, size, root = self.ours.whole, self.own.size, self.own.roots[self.own.size]
        if self.confirm is not None:
            self._step(lambda: self._confirm(cev.Published(note, size, root)))
        if self.up:
            self.step(ev.Published(note, size, root))

    def keys(self) -> dict[str, tuple[VerifierKey, ...]]:
        """Origins and keys of the logs that it follows."""
        followed = self.follow
        return {
            one.origin: one.log
            for one in self.roster.members
            if followed is None or one.name in followed or one.name == self.name
        }

    # ---- steps ------------------------------------------------------------------------------------------------------

    def step(self, event: ev.Event, answering: str = "") -> bytes | None:
        """Give gossip an event and perform what it says.

        Returns:
            The answer to the peer that is being answered; None if the power went out before it was sent.
        """
        return self._step(lambda: self._gossiped(event), answering)

    def _step(self, machine: Callable[[], Iterable[Any]], answering: str = "") -> bytes | None:
        try:
            answer = self._perform(machine(), answering)
        except Crashed:
            self.crash()
            return None
        if self.watch is not None:
            self.watch.stepped(self)
        self._wake_later()
        return answer

    def _gossiped(self, event: ev.Event) -> list[ev.Effect]:
        return self.gossip.step(event, self.world.now_ns, self.world.now_s)

    def _mirrored(self, event: mev.Event) -> list[mev.Effect]:
        return self.mirror.step(event, self.world.now_ns)

    def _confirm(self, event: cev.Event) -> list[cev.Effect]:
        assert self.confirm is not None
        return self.confirm.step(event, self.world.now_ns, self.world.now_s * 1000)

    def _perform(self, effects: Iterable[Any], answering: str) -> bytes:
        answer = EMPTY_BODY
        for effect in effects:
            if self.fails is not None and self.fails():
                raise Crashed
            if isinstance(effect, KEEPS):
                if self.watch is not None:
                    self.watch.keeps(self, effect)
                self.store.perform(effect)
            elif isinstance(effect, ev.Tell):
                if self.watch is not None:
                    self.watch.tells(self, effect)
                if effect.peer == answering and answer == EMPTY_BODY:
                    answer = effect.body
                else:
                    self.tell(effect)
            else:
                self._notice(effect)
        return answer

    def _notice(self, effect: object) -> None:
        match effect:
            case ev.Refused(_, code) | mev.Blamed(_, _, code):
                self.refusals[code] += 1
            case ev.Behind(origin, peer):
                self.heard_from[origin] = peer
                self._later(lambda: self._step(lambda: self._mirrored(mev.Wanted(origin))))
            case ev.Cosigned():
                if self.watch is not None:
                    self.watch.cosigned(self, effect)
                if self.confirm is not None:
                    seen = cev.CosigSeen(effect.size, effect.line)
                    self._later(lambda: self._step(lambda: self._confirm(seen)))
            case ev.RosterKept(signed):
                self._take_roster(signed)
            case mev.Fetch():
                self._fetch(effect)
            case mev.Broken(origin):
                raise AssertionError(f"the mirror of {origin} at {self.name} is not what was kept")
            case cev.Ask() | cev.AskHead():
                self._ask(effect)
            case cev.TellOwn():
                self._later(lambda: self.step(ev.TellOwn()))
            case cev.AskOwn(note):
                self._later(lambda: self._cosign_own(note))
            case ev.OwnAhead() | ev.OwnForked() | ev.RosterDiffers() | Alarm():
                self.alarms.append(effect)

    def _later(self, act: Callable[[], object]) -> None:
        """After this step, unless the power goes out."""
        boot = self.boot

        def later() -> None:
            if boot == self.boot and self.up:
                act()

        self.world.after(0, later)

    def brought(self, signed: SignedRoster) -> None:
        """A person brings the next version of the roster."""
        self.store.perform(KeepRoster(signed.roster.version, signed.raw))
        self._take_roster(signed)

    def _take_roster(self, signed: SignedRoster) -> None:
        self.signed_roster = signed
        self.rosters[signed.roster.version] = signed
        keys = self.keys()
        for log in list(self.logs):
            if log.origin not in keys:
                self.logs.drop(log.origin)
        for log in self.store.load(keys):
            if (known := self.logs.of(log.origin)) is None:
                self.logs.add(log)
            else:
                known.vkeys = log.vkeys
        self._later(lambda: self.step(ev.RosterChanged()))

    # ---- time -------------------------------------------------------------------------------------------------------

    def _wake_later(self) -> None:
        if not self.up:
            return
        now_ns = self.world.now_ns
        due = min(self.gossip.wake_at, self.mirror.wake_at)
        if self.confirm is not None:
            due = min(due, self.confirm.wake_at)
        if self._waking_ns <= now_ns or due < self._waking_ns:
            self._waking_ns = max(due, now_ns + 1)
            self.world.at(self._waking_ns, lambda boot=self.boot: self._wake(boot))  # type: ignore[misc]

    def _wake(self, boot: int) -> None:
        now_ns = self.world.now_ns
        if boot == self.boot and now_ns >= self.gossip.wake_at:
            self.step(ev.Tick())
        if boot == self.boot and now_ns >= self.mirror.wake_at:
            self._step(lambda: self._mirrored(mev.Tick()))
        if boot == self.boot and self.confirm is not None and now_ns >= self.confirm.wake_at:
            self._step(lambda: self._confirm(cev.Tick()))
        if boot == self.boot:
            self._wake_later()

    # ---- what goes out ----------------------------------------------------------------------------------------------

    def tell(self, told: ev.Tell) -> None:
        """Put a body into the outbox of a peer."""
        outbox = self.outboxes.setdefault(told.peer, Outbox())
        self.waiting_bytes -= outbox.waiting_bytes
        outbox.put(told)
        self.waiting_bytes += outbox.waiting_bytes
        self._pump(told.peer)

    def _pump(self, peer: str) -> None:
        outbox = self.outboxes[peer]
        if outbox.busy or (body := outbox.take()) is None:
            return
        self.waiting_bytes -= len(body)
        outbox.busy = True
        boot = self.boot

        def done(answer: bytes | None) -> None:
            if boot != self.boot:
                return
            outbox.busy = False
            if answer is None:
                self.step(ev.Unreached(peer))
            else:
                self.step(ev.Sent(peer))
                if boot == self.boot and answer != EMPTY_BODY:
                    self._heard(peer, answer)
            if boot == self.boot:
                self._pump(peer)

        self.world.exchange(self.name, peer, body, done)

    def _sources(self, log: Followed) -> list[mev.Source]:
        """Where a log can be fetched from: its owner, who told of it, and whoever else answers."""
        members = self.roster.members
        teller = self.heard_from.get(log.origin)
        rest = [one for one in members if one.origin != log.origin and one.name != self.name]
        rest.sort(key=lambda one: (one.name != teller, not self.gossip.liveness.answers(one.name)))
        own = [mev.Source(one.name, one.url) for one in members if one.origin == log.origin]
        below = origin_hash(log.origin)
        return own + [mev.Source(one.name, f"{one.url}/{below}") for one in rest]

    def _fetch(self, fetch: mev.Fetch) -> None:
        boot = self.boot

        def done(data: bytes | None) -> None:
            if boot == self.boot:
                whole = data is not None and len(data) <= fetch.limit
                event = mev.Got(fetch, data) if data and whole else mev.Missing(fetch, data is not None)
                self._step(lambda: self._mirrored(event))

        _, _, path = f"{fetch.source.url}/{fetch.path}".removeprefix("https://").partition("/")
        self.world.fetch(self.name, fetch.source.name, path, done)

    def _ask(self, ask: cev.Ask | cev.AskHead) -> None:
        boot, to = self.boot, ask.witness.partition("/")[0]

        def answered(answer: Answer | None) -> None:
            event: cev.Event = cev.Unanswered(ask.witness)
            if answer is not None:
                event = cev.Answered(ask.witness, answer.status, answer.body)
            if boot == self.boot:
                self._step(lambda: self._confirm(event))

        def shown(note: bytes | None) -> None:
            if boot == self.boot:
                self._step(lambda: self._confirm(cev.HeadSeen(ask.witness, note or None)))

        if isinstance(ask, cev.Ask):
            self.world.post(self.name, to, ask.body, answered)
        else:
            self.world.fetch(self.name, to, ask.path, shown)

    def _cosign_own(self, note: bytes) -> None:
        line = ""

        def cosign() -> list[Any]:
            nonlocal line
            effects, line = self.witness.cosign_own(note, self.world.now_s)
            return effects

        boot = self.boot
        self._step(cosign)
        if line and boot == self.boot:
            size = self.own.size
            self._step(lambda: self._confirm(cev.CosigSeen(size, line)))

    # ---- what comes in ----------------------------------------------------------------------------------------------

    def asked(self, sender: str, body: bytes) -> bytes | None:
        """An exchange. A stranger's never comes so far over TLS; the machine shall not mind it either."""
        return self._heard(sender, body, answering=sender)

    def _heard(self, sender: str, body: bytes, answering: str = "") -> bytes | None:
        def machine() -> list[ev.Effect]:
            before = checks["signatures"]
            effects = self._gossiped(ev.Received(sender, body))
            if self.watch is not None:
                self.watch.paid(self, sender, checks["signatures"] - before)
            return effects

        return self._step(machine, answering)

    def posted(self, sender: str, body: bytes) -> Answer | None:
        """An `add-checkpoint`."""
        answer = Answer(500, "", b"")
        found: list[KeepFork] = []

        def witness() -> list[Any]:
            nonlocal answer
            effects, answer = self.witness.add_checkpoint(body, self.world.now_s)
            found.extend(effect for effect in effects if isinstance(effect, KeepFork))
            return effects

        boot = self.boot
        self._step(witness)
        for kept in found:
            if boot == self.boot:
                self.step(ev.ForkFound(kept.origin, kept.fork))
        if boot != self.boot:
            return None
        if self.watch is not None:
            self.watch.answers(self, body, answer)
        return answer

    def fetched(self, sender: str, path: str) -> bytes | None:
        """A GET of our log or of a mirror."""
        digest, _, rest = path.partition("/")
        log = self.logs.of_hash(bytes.fromhex(digest)) if len(digest) == 64 else self.ours
        path = rest if len(digest) == 64 else path
        if log is None:
            return b""
        if path == "checkpoint":
            return (self.witness.monitor(digest, self.world.now_s) if rest else log.whole) or b""
        try:
            coord = parse_tile_path(path)
        except ProofError:
            return b""
        level = max(coord.level, 0)
        if coord.width > width_at(log.whole_size, level, coord.n):
            return b""
        shelf = self.store.shelf(log.origin)
        if coord.level == ENTRIES_LEVEL:
            return encode_bundle(shelf.entries(coord.n * 256, coord.width))
        return shelf.hash_tile(level, coord.n, coord.width)
