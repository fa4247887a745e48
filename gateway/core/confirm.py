"""Confirmation: gathers cosignatures for heads of our own log until a quorum of witnesses has signed one.

Guards two rules. A head is confirmed only by lines that were verified one by one, under a policy that is understood to
its last word. And no witness holds up another: each has one request under way at most, its own memory and its own
patience. Recording and signing never wait for any of this.

One head at a time is the target. It stays until a quorum has it, or nobody is left who could still answer; then, at
the pace, the newest head takes its place, while stragglers may still answer for the old one. Cosignatures that come by
gossip count the same. Order of things and answers: C2SP tlog-witness v1.0.0.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from gateway.core.asking import Asking, Candidate, WitnessRow, member_of, pace_ns, read_reply
from gateway.core.confirm_events import (
    Answered,
    Ask,
    AskHead,
    AskOwn,
    Confirmed,
    CosigSeen,
    Effect,
    Event,
    HeadSeen,
    Heard,
    PolicyChanged,
    Published,
    TellOwn,
    Tick,
    Unanswered,
)
from gateway.core.contradiction import own_head
from gateway.core.follow import Followed, KeepCosigned
from gateway.core.quorum import Lag
from gateway.errors import Divergence, ProofError, RemoteError, SignatureError, VestibuleError
from gateway.tlog.checkpoint import origin_hash, parse_checkpoint, verify_cosignature
from gateway.tlog.cosigned import cosigners
from gateway.tlog.note import MAX_SIGNATURES, Signature, VerifierKey, parse_note, parse_signature_line
from gateway.tlog.policy import NO_QUORUM, Party, Policy
from gateway.tlog.tiles import TileReader, consistency_from_tiles
from gateway.tlog.witness import AddCheckpoint

REFRESH_NS: Final = 600_000_000_000  # a log that stands still is cosigned again, so that its time stays fresh
MAX_CANDIDATES: Final = 64  # newest heads for which cosignatures are taken
MAX_LOG_SIGNATURES: Final = 2  # while our log's key is being rotated
NEVER: Final = 2**63 - 1


class Confirm:
    """Gathers cosignatures for our own log.

    Args:
        log: our own log, as it stands on disk; its tree too, already at the start.
        shelf: its tiles.
        policy: of the roster; None or one without a quorum: nothing is ever confirmed, nobody is asked.
        me: our own name in the policy; our own witness is not asked over the network.
        cosigned: what was kept last by `KeepCosigned`, if anything.
        told: whether gossip reaches a member, so that it hears of a head without being asked.
    """

    def __init__(
        self,
        log: Followed,
        shelf: TileReader,
        policy: Policy | None,
        me: str = "",
        cosigned: KeepCosigned | None = None,
        told: Callable[[str], bool] = lambda member: False,
    ) -> None:
        self.wake_at = NEVER
        self.lag = Lag()
        self.confirmed_at_ms = 0
        self._log = log
        self._shelf = shelf
        self._me = me
        self._told = told
        self._own_names: list[str] = []
        self._own_asked: Candidate | None = None
        self._policy: Policy | None = None
        self._asking: dict[str, Asking] = {}
        self._vkeys: dict[tuple[str, bytes], tuple[str, VerifierKey]] = {}
        self._recent: OrderedDict[int, Candidate] = OrderedDict()
        self._newest: Candidate | None = None
        self._target: Candidate | None = None
        self._confirmed: Candidate | None = None
        self._kept = 0  # lines of the confirmed head that were kept
        self._next_ns = 0
        self._refresh_ns = NEVER
        self._before: KeepCosigned | None = None
        """What was confirmed before the start: whoever cosigned it holds at least that."""
        # Our log may have gone back; what that means is for the start to judge.
        if cosigned is not None and cosigned.size <= log.tree.size:
            self.lag.sign(cosigned.size, 0)
            self.lag.confirm(cosigned.size)
            self.confirmed_at_ms, self._before = cosigned.at_ms, cosigned
        self._use(policy)

    @property
    def active(self) -> bool:
        """Whether there is anything that could confirm: a policy with a quorum."""
        return self._policy is not None and self._policy.quorum != NO_QUORUM

    @property
    def pace_ns(self) -> int:
        """The least time between two targets."""
        return pace_ns(len(self._asking))

    def rows(self) -> list[WitnessRow]:
        """The witnesses that are asked, in the order of the policy."""
        return [asking.row() for asking in self._asking.values()]

    def misses(self, member: str) -> bool:
        """Whether it waits for a member that was away: to be told `Heard`."""
        return any(asking.away and asking.member == member for asking in self._asking.values())

    def step(self, event: Event, now_ns: int, now_ms: int) -> list[Effect]:
        """Take what happened.

        Args:
            event: what.
            now_ns: monotonic.
            now_ms: UTC.

        Returns:
            What to do, in this order.

        Raises:
            Divergence: `own_head`, our log was published with two roots at one size, or smaller than before.
        """
        effects: list[Effect] = []
        match event:
            case Published():
                self._published(event, now_ns)
            case Answered(witness, status, body):
                if (asking := self._asking.get(witness)) is not None and asking.asked is not None:
                    effects += self._answered(asking, asking.asked, status, body, now_ns, now_ms)
            case Unanswered(witness):
                if (asking := self._asking.get(witness)) is not None and asking.asked is not None:
                    asking.busy, asking.asked = False, None
                    asking.bad("away", now_ns)
            case HeadSeen(witness, note):
                if (asking := self._asking.get(witness)) is not None and asking.busy:
                    effects += self._head_seen(asking, note, now_ns)
            case CosigSeen(size, line):
                effects += self._seen(size, line, now_ns, now_ms)
                if not effects and now_ns < self.wake_at:
                    self.wake_at = min(self.wake_at, self._next_ns) if self._better else self.wake_at
                    return []  # one more of many; nothing is due
            case Heard(member):
                for asking in self._asking.values():
                    if asking.member == member:
                        asking.back()
            case PolicyChanged(policy):
                self._use(policy)
                self._refresh_ns = now_ns  # what was confirmed under the old one is asked for again
                for candidate in list(self._recent.values()):
                    effects += self._judge(candidate, now_ns, now_ms)
            case Tick():
                pass
        return effects + self._go_on(now_ns)

    # ---- the policy and what was known before ----------------------------------------------------------------------

    def _use(self, policy: Policy | None) -> None:
        before = {asking.url: asking for asking in self._asking.values()}
        self._policy, self._asking, self._vkeys, self._own_names = policy, {}, {}, []
        if policy is None or policy.quorum == NO_QUORUM:
            return
        for name, party in policy.witnesses.items():
            self._vkeys[party.vkey.name, party.vkey.key_id] = name, party.vkey
            if member_of(name) == self._me:
                self._own_names.append(name)
            elif party.url:
                self._add(name, party, before.get(party.url))
        for candidate in self._recent.values():
            # a line counts under the name that its key has now
            lines = list(candidate.lines.values())
            candidate.lines.clear()
            self._take(candidate, map(parse_signature_line, lines))
        kept = self._before
        for asking in self._asking.values():
            if kept and not asking.size and cosigners(kept.note, list(asking.vkeys.values())):
                asking.size = kept.size

    def _add(self, name: str, party: Party, before: Asking | None) -> None:
        for asking in self._asking.values():
            if asking.url == party.url:
                asking.vkeys[name] = party.vkey
                return
        if before is None or before.name != name:
            # what is still asked of it under its old name is not waited for
            before = Asking(name, party.url, {}, size=before.size if before is not None else 0)
        before.vkeys = {name: party.vkey}
        self._asking[name] = before

    # ---- what comes in ---------------------------------------------------------------------------------------------

    def _published(self, event: Published, now_ns: int) -> None:
        newest = self._newest
        if newest is not None and event.size <= newest.size:
            if (event.size, event.root) != (newest.size, newest.checkpoint.root):
                raise Divergence("own_head", "our own log was published with another or an older head")
            newest.note = event.note  # signed by another key too, perhaps
            return
        checkpoint = parse_checkpoint(parse_note(event.note).text)
        self._newest = self._recent[event.size] = Candidate(event.note, checkpoint, now_ns)
        self.lag.sign(event.size, now_ns)
        if len(self._recent) > MAX_CANDIDATES:
            self._recent.popitem(last=False)

    def _answered(
        self, asking: Asking, candidate: Candidate, status: int, body: bytes, now_ns: int, now_ms: int
    ) -> list[Effect]:
        asking.busy, asking.asked = False, None
        reply = read_reply(status, body)
        if status == 200:
            good, bad = self._take(candidate, reply.signatures)
            if good & asking.vkeys.keys():
                asking.good(candidate.size)
            else:
                asking.bad("bad_signature" if bad & asking.vkeys.keys() else "no_signature", now_ns)
            return self._judge(candidate, now_ns, now_ms) if good else []
        newest = self._newest.size if self._newest is not None else 0
        match reply.size:
            case None:
                asking.bad(reply.why, now_ns)
            case size if size <= newest:
                # above the target it waits for the next one
                asking.again(size, now_ns)
            case _:
                # Anyone can say a number. Only a head that our key signed shows that there is another log of ours.
                asking.bad("claims_more", now_ns)
        if asking.why not in ("conflict", "claims_more", "inconsistent"):
            return []
        asking.busy = True
        return [AskHead(asking.name, asking.url, f"{origin_hash(self._log.origin)}/checkpoint")]

    def _head_seen(self, asking: Asking, note: bytes | None, now_ns: int) -> list[Effect]:
        asking.busy = False
        if note is None:
            return []
        try:
            alarm = own_head(self._log, self._shelf, note, asking.name)
            size = parse_checkpoint(parse_note(note).text).size
        except RemoteError:
            return []  # no head of ours: it has shown nothing
        except VestibuleError:
            asking.bad("own_tiles", now_ns)
            return []
        if alarm is not None:
            return [alarm]
        if size != asking.size:
            asking.again(size, now_ns)
        return []

    def _seen(self, size: int, line: str, now_ns: int, now_ms: int) -> list[Effect]:
        candidate = self._recent.get(size)
        if self._target is not None and self._target.size == size:
            candidate = self._target  # perhaps the same head once more, for a fresh time
        if candidate is None:
            return []
        try:
            good, _ = self._take(candidate, [parse_signature_line(line)])
        except ProofError:
            return []
        for asking in self._asking.values():
            if good & asking.vkeys.keys():
                asking.size = max(asking.size, size)
                asking.back()
        return self._judge(candidate, now_ns, now_ms)

    def _take(self, candidate: Candidate, signatures: Iterable[Signature]) -> tuple[set[str], set[str]]:
        """Verify lines; returns whose were good and whose were not, by their names in the policy."""
        good: set[str] = set()
        bad: set[str] = set()
        for signature in signatures:
            name, vkey = self._vkeys.get((signature.name, signature.key_id), ("", None))
            if vkey is None:
                continue  # of a key that does not count (tlog-witness: ignored)
            try:
                verify_cosignature(candidate.checkpoint, signature, vkey)
            except SignatureError:
                bad.add(name)
                continue
            good.add(name)
            candidate.lines[name] = signature.encode()
        return good, bad

    # ---- what follows ----------------------------------------------------------------------------------------------

    def _judge(self, candidate: Candidate, now_ns: int, now_ms: int) -> list[Effect]:
        """See whether a head is confirmed now."""
        if candidate is self._confirmed:
            return []  # what comes late is kept when the target moves on
        # one of the same size only counts as a refresh: with younger lines, after a start or because it is time
        younger = self._confirmed is None or candidate is self._target
        if candidate.size < self.lag.confirmed + (0 if younger else 1):
            return []
        if self._policy is None or not self._policy.enough(candidate.lines):
            return []
        note = self._cosigned(candidate)
        if not self._policy.satisfied(parse_note(note)):
            return []  # our own log is not in the policy
        further = candidate.size > self.lag.confirmed
        self._confirmed, self._kept, self.confirmed_at_ms = candidate, len(candidate.lines), now_ms
        self._refresh_ns = now_ns + REFRESH_NS
        self.lag.confirm(candidate.size)
        effects: list[Effect] = [KeepCosigned(candidate.size, note, now_ms)]
        if further:
            effects.append(Confirmed(candidate.size, note, (now_ns - candidate.at_ns) // 1_000_000))
        return effects

    def _cosigned(self, candidate: Candidate) -> bytes:
        """The head with its lines in the order of the policy; if a note cannot hold them all, with enough of them."""
        policy = self._policy
        names = [name for name in policy.witnesses if name in candidate.lines] if policy is not None else []
        spare = len(names) + MAX_LOG_SIGNATURES - MAX_SIGNATURES
        for name in list(names):
            others = [other for other in names if other != name]
            if spare > 0 and policy is not None and policy.enough(others):
                names, spare = others, spare - 1
        return candidate.note + "".join(candidate.lines[name] for name in names).encode()

    def _go_on(self, now_ns: int) -> list[Effect]:
        """Move the target, ask whoever may be asked, and set the time of the next look."""
        self.wake_at = NEVER
        if not self.active or self._newest is None:
            return []
        effects: list[Effect] = []
        target = self._target
        if target is None:
            target = self._newest
        elif now_ns >= self._next_ns and self._done(target):
            if self._better and self._confirmed is not None:
                self._kept = len(self._confirmed.lines)
                note = self._cosigned(self._confirmed)
                effects.append(KeepCosigned(self._confirmed.size, note, self.confirmed_at_ms))
            if target.size < self._newest.size:
                target = self._newest
            elif now_ns >= self._refresh_ns:
                target, self._refresh_ns = Candidate(target.note, target.checkpoint, target.at_ns), NEVER
        if target is not self._target:
            self._target, self._next_ns = target, now_ns + self.pace_ns
            for asking in self._asking.values():
                asking.tries = 0
                if self._told(asking.member):
                    asking.tell(target, now_ns)
            if any(asking.told is target for asking in self._asking.values()):
                effects.append(TellOwn())
        if self._own_asked is not target and self._own_names:
            self._own_asked = target
            effects.append(AskOwn(target.note))
        for asking in self._asking.values():
            if asking.free(now_ns) and asking.wants(target):
                effects += self._ask(asking, target, now_ns)
        self.wake_at = self._next_look(target)
        return effects

    @property
    def _better(self) -> bool:
        """Whether the confirmed head has more lines than were kept."""
        return self._confirmed is not None and len(self._confirmed.lines) > self._kept

    def _next_look(self, target: Candidate) -> int:
        times = [
            asking.not_before_ns
            for asking in self._asking.values()
            if not asking.busy and asking.wants(target)
        ]
        if self._done(target):  # otherwise an answer that is awaited comes first
            further = self._newest is not None and target.size < self._newest.size
            times.append(self._next_ns if further or self._better else max(self._refresh_ns, self._next_ns))
        return min(times, default=NEVER)

    def _done(self, target: Candidate) -> bool:
        """Whether a target has what it can get for now: a quorum, or nobody left to wait for."""
        if target is self._confirmed or target.size < self.lag.confirmed:
            return True
        return not any(asking.awaited(target) for asking in self._asking.values())

    def _ask(self, asking: Asking, target: Candidate, now_ns: int) -> list[Effect]:
        asking.told = None
        try:
            proof = consistency_from_tiles(self._shelf, asking.size, target.size)
        except VestibuleError:
            asking.bad("own_tiles", now_ns)
            return []
        asking.busy, asking.asked, asking.why = True, target, "asked"
        return [Ask(asking.name, asking.url, AddCheckpoint(asking.size, tuple(proof), target.note).encode())]
