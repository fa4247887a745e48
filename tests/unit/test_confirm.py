"""Gathering cosignatures: who is asked when, what answers are worth, and when a head is confirmed.

The witnesses are either real ones (`gateway.core.witness`) or answer what a test says. Time is a number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.core.asking import (
    FEW,
    GRACE_NS,
    LEAST_PACE_NS,
    LONGEST_WAIT_NS,
    MAX_ANSWER_BYTES,
    MAX_TRIES,
    MOST_PACE_NS,
    PACE_NS,
    pace_ns,
    read_reply,
)
from gateway.core.confirm import MAX_CANDIDATES, NEVER, REFRESH_NS, Confirm
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
from gateway.core.contradiction import Alarm
from gateway.core.follow import Followed, KeepCosigned, Logs
from gateway.core.quorum import MAX_MARKS, Lag, State, state_of
from gateway.core.witness import Witness
from gateway.errors import Divergence
from gateway.tlog.checkpoint import Checkpoint, cosign, origin_hash, parse_checkpoint
from gateway.tlog.fork import verify_fork
from gateway.tlog.note import parse_note
from gateway.tlog.policy import Policy, parse_policy
from gateway.tlog.witness import parse_add_checkpoint
from tests.sim.peer_logs import Branch, key_of, log_vkey, origin_of, witness_name, witness_vkey

S = 1_000_000_000
AT_MS = 1_790_000_000_000
NOW_S = AT_MS // 1000


def policy_of(names: list[str], quorum: int, outside: list[str] | None = None) -> Policy:
    """The log `own` and these members, `quorum` of them; and one of those outside."""
    lines = [f"log {log_vkey('own').encode()} http://own"]
    lines += [f"witness {name} {witness_vkey(name).encode()} http://{name}" for name in names]
    lines.append(f"group members {quorum} {' '.join(names)}")
    if outside:
        lines += [f"witness {name} {witness_vkey(name).encode()} http://{name}" for name in outside]
        lines.append(f"group outside any {' '.join(outside)}")
        lines.append("group everyone all members outside")
    lines.append(f"quorum {'everyone' if outside else 'members'}")
    return parse_policy("".join(f"{line}\n" for line in lines).encode())


class World:
    """A log, its machine, a clock, and witnesses that answer as they are told to."""

    def __init__(
        self, members: int = 4, quorum: int = 3, *, size: int = 10, me: str = "own", **more: object
    ) -> None:
        self.names = ["own", *(f"w{number}" for number in range(1, members))]
        self.policy = policy_of(self.names, quorum)
        self.branch = Branch("own")
        self.branch.grow(size)
        self.log = Followed(origin_of("own"), (log_vkey("own"),), ours=True)
        self.follow()
        self.now_ns = 5 * S
        self.confirm = Confirm(self.log, self.branch, self.policy, me, **more)  # type: ignore[arg-type]
        self.witnesses = {name: self.witness(name) for name in self.names}
        self.asked: list[Ask] = []
        self.heads: list[AskHead] = []
        self.kept: list[KeepCosigned] = []
        self.confirmed: list[Confirmed] = []
        self.alarms: list[Alarm] = []
        self.own: list[AskOwn] = []
        self.auto_own = True

    def witness(self, name: str) -> Witness:
        logs = Logs([Followed(self.log.origin, self.log.vkeys, data=False)])
        return Witness(witness_name(name), key_of(name, "witness"), logs, lambda _: self.branch)

    def follow(self) -> None:
        self.log.tree, self.log.tails = self.branch.frontier.copy(), dict(self.branch.tails)
        self.log.whole, self.log.whole_size = self.branch.note(), self.branch.size

    def step(self, event: Event) -> list[Effect]:
        effects = self.confirm.step(event, self.now_ns, AT_MS)
        for effect in effects:
            match effect:
                case Ask():
                    self.asked.append(effect)
                case AskHead():
                    self.heads.append(effect)
                case KeepCosigned():
                    self.kept.append(effect)
                case Confirmed():
                    assert self.kept[-1].note == effect.note, "it is written down before it is said"
                    self.confirmed.append(effect)
                case Alarm():
                    self.alarms.append(effect)
                case AskOwn(note):
                    self.own.append(effect)
                    if self.auto_own:
                        checkpoint = self.checkpoint(note)
                        line = cosign(checkpoint, witness_name("own"), key_of("own", "witness"), NOW_S)
                        effects = effects + self.step(CosigSeen(checkpoint.size, line))
        return effects

    @staticmethod
    def checkpoint(note: bytes) -> Checkpoint:
        return parse_checkpoint(parse_note(note).text)

    def publish(self, entries: int = 0) -> list[Effect]:
        self.branch.grow(entries)
        self.follow()
        return self.step(Published(self.branch.note(), self.branch.size, self.branch.roots[-1]))

    def take(self, name: str) -> Ask:
        """What this witness was asked, once."""
        found = [ask for ask in self.asked if ask.witness == name]
        assert len(found) == 1, (name, self.asked)
        self.asked.remove(found[0])
        return found[0]

    def answer(self, name: str, status: int | None = None, body: bytes = b"") -> list[Effect]:
        """Let a witness answer what it was asked: as a real one, or with this."""
        ask = self.take(name)
        if status is None:
            _, answer = self.witnesses[name].add_checkpoint(ask.body, NOW_S)
            status, body = answer.status, answer.body
        return self.step(Answered(name, status, body))

    def away(self, name: str) -> list[Effect]:
        self.take(name)
        return self.step(Unanswered(name))

    def old(self, name: str) -> int:
        """The size that a witness is asked from."""
        (ask,) = [ask for ask in self.asked if ask.witness == name]
        return parse_add_checkpoint(ask.body).old_size

    def target(self, name: str) -> int:
        (ask,) = [ask for ask in self.asked if ask.witness == name]
        return self.checkpoint(parse_add_checkpoint(ask.body).note).size

    def why(self, name: str) -> str:
        return {row.name: row.why for row in self.confirm.rows()}[name]

    def pass_time(self, seconds: float) -> None:
        """Let time pass, ticking when it is wanted."""
        until = self.now_ns + int(seconds * S)
        for _ in range(10_000):
            if self.confirm.wake_at > until:
                break
            assert self.confirm.wake_at > self.now_ns, "it wakes without end"
            self.now_ns = self.confirm.wake_at
            self.step(Tick())
        self.now_ns = until


@pytest.fixture
def world() -> World:
    return World()


# ---- the way to a quorum --------------------------------------------------------------------------------------------


def test_all_are_asked_at_once_and_the_quorum_confirms(world: World) -> None:
    world.publish()
    assert [ask.witness for ask in world.asked] == ["w1", "w2", "w3"]
    assert {ask.url for ask in world.asked} == {"http://w1", "http://w2", "http://w3"}
    assert world.own == [AskOwn(world.branch.note())]
    world.now_ns += S // 5
    world.answer("w2")
    assert world.confirmed == []
    world.answer("w3")
    (confirmed,) = world.confirmed
    assert (confirmed.size, confirmed.waited_ms) == (10, 200)
    report = world.policy.report(parse_note(confirmed.note))
    assert report.satisfied
    assert report.witnesses == ("own", "w2", "w3")
    assert world.kept == [KeepCosigned(10, confirmed.note, AT_MS)]
    assert world.confirm.lag.entries == 0


def test_a_line_that_comes_late_is_kept_when_the_target_moves_on(world: World) -> None:
    world.publish()
    world.answer("w2")
    world.answer("w3")
    world.answer("w1")
    assert len(world.kept) == 1
    world.pass_time(2)
    assert len(world.kept) == 2
    assert world.policy.report(parse_note(world.kept[1].note)).witnesses == ("own", "w1", "w2", "w3")
    assert len(world.confirmed) == 1
    world.pass_time(60)
    assert len(world.kept) == 2


def test_the_pace_bounds_how_often_anybody_is_asked(world: World) -> None:
    world.publish()
    pace = world.confirm.pace_ns
    started = world.now_ns
    rounds = 0
    while world.now_ns < started + 10 * S:
        for name in ("w1", "w2", "w3"):
            if any(ask.witness == name for ask in world.asked):
                world.answer(name)
                rounds += name == "w1"
        world.publish(1)
        world.pass_time(0.05)
    assert 10 * S // pace <= rounds <= 10 * S // pace + 1
    assert world.confirmed[-1].size == world.branch.size - 1 or world.confirm.lag.age_ns(world.now_ns) <= pace
    sizes = [confirmed.size for confirmed in world.confirmed]
    assert sizes == sorted(set(sizes))


def test_a_large_federation_is_asked_less_often_and_never_too_seldom() -> None:
    assert pace_ns(0) == pace_ns(4) == LEAST_PACE_NS
    assert pace_ns(19) == (19 - FEW) * PACE_NS
    assert pace_ns(99) == MOST_PACE_NS


def test_from_the_second_head_on_each_is_asked_from_what_it_holds(world: World) -> None:
    world.publish()
    assert [world.old(name) for name in ("w1", "w2", "w3")] == [0, 0, 0]
    for name in ("w1", "w2", "w3"):
        world.answer(name)
    world.publish(7)
    world.pass_time(1)
    assert [world.old(name) for name in ("w1", "w2", "w3")] == [10, 10, 10]
    for name in ("w1", "w2", "w3"):
        world.answer(name)
    assert [confirmed.size for confirmed in world.confirmed] == [10, 17]


def test_one_that_does_not_answer_holds_up_nobody(world: World) -> None:
    world.publish()
    world.answer("w2")
    world.answer("w3")
    for round_ in range(20):
        world.publish(1)
        world.pass_time(1)
        world.answer("w2")
        world.answer("w3")
        assert world.confirmed[-1].size == 11 + round_
    # it still has its one request, for the first head; its answer is late and changes nothing that counts
    assert world.target("w1") == 10
    world.answer("w1")
    assert world.confirmed[-1].size == 30


def test_two_slow_witnesses_that_are_both_needed_are_asked_for_the_same_head() -> None:
    # at a speed of their own each would get heads that the other never sees
    world = World(members=3, quorum=3)
    latency = {"w1": 3, "w2": 5}
    due: dict[str, int] = {}
    for second in range(60):
        world.publish(1)
        for name, when in list(due.items()):
            if when <= second:
                del due[name]
                world.answer(name)
        for ask in world.asked:
            due.setdefault(ask.witness, second + latency[ask.witness])
        world.pass_time(1)
    assert len(world.confirmed) >= 60 // 7


def test_without_a_quorum_in_reach_the_newest_head_is_tried_again_and_again(world: World) -> None:
    world.publish()
    for name in ("w2", "w3"):
        world.away(name)
    world.answer("w1")
    for _ in range(100):
        world.publish(1)
        world.pass_time(1)
        for ask in list(world.asked):
            world.answer("w1") if ask.witness == "w1" else world.away(ask.witness)
    assert world.confirmed == []
    assert world.confirm.lag.entries == world.branch.size
    assert world.why("w2") == "away"
    assert 99 * S < world.confirm.lag.age_ns(world.now_ns) <= 101 * S
    # one more is enough: it takes no longer than the patience with it
    world.pass_time(31)
    world.answer("w2")
    assert world.confirmed[-1].size == world.branch.size
    assert world.confirm.lag.age_ns(world.now_ns) == 0


def test_a_witness_that_is_heard_of_again_is_asked_at_once(world: World) -> None:
    world.publish()
    for _ in range(8):
        world.away("w1")
        world.step(Tick())
        while not any(ask.witness == "w1" for ask in world.asked):
            world.pass_time(1)
    world.away("w1")
    world.step(Heard("w2"))
    assert not any(ask.witness == "w1" for ask in world.asked)
    world.step(Heard("w1"))
    assert world.target("w1") == 10


def test_own_and_gossiped_lines_count_like_others(world: World) -> None:
    world.auto_own = False
    world.publish()
    checkpoint = world.checkpoint(world.branch.note())
    for name in ("own", "w1", "w2"):
        assert world.confirmed == []
        line = cosign(checkpoint, witness_name(name), key_of(name, "witness"), NOW_S)
        world.step(CosigSeen(10, line))
    assert world.confirmed[0].size == 10


def test_a_line_by_gossip_of_a_later_head_confirms_that_one(world: World) -> None:
    world.auto_own = False
    world.publish()
    world.publish(1)
    checkpoint = world.checkpoint(world.branch.note())
    for name in ("own", "w1", "w2"):
        world.step(CosigSeen(11, cosign(checkpoint, witness_name(name), key_of(name, "witness"), NOW_S)))
    assert [confirmed.size for confirmed in world.confirmed] == [11]
    # what is asked for already may come; the next target is not below what is confirmed
    world.answer("w3")
    world.publish(1)
    world.pass_time(1)
    assert world.target("w3") == 12
    assert [confirmed.size for confirmed in world.confirmed] == [11]


def test_lines_that_are_worth_nothing(world: World) -> None:
    world.auto_own = False
    world.publish()
    checkpoint = world.checkpoint(world.branch.note())
    good = cosign(checkpoint, witness_name("w1"), key_of("w1", "witness"), NOW_S)
    for size, line in (
        (10, "no line"),
        (10, good.rstrip("\n")),
        (10, cosign(checkpoint, witness_name("w1"), key_of("w2", "witness"), NOW_S)),
        (10, cosign(checkpoint, "stranger.example", key_of("w2", "witness"), NOW_S)),
        (10, cosign(replace(checkpoint, size=9), witness_name("w1"), key_of("w1", "witness"), NOW_S)),
        (9, good),
        (11, good),
    ):
        world.step(CosigSeen(size, line))
    for _ in range(5):
        world.step(CosigSeen(10, good))  # one voice, however often
    assert world.confirmed == []
    world.step(CosigSeen(10, cosign(checkpoint, witness_name("w2"), key_of("w2", "witness"), NOW_S)))
    assert world.confirmed == []


# ---- told by gossip -------------------------------------------------------------------------------------------------


def cosigned_by(world: World, name: str, size: int | None = None) -> list[Effect]:
    """A member's cosignature of the head of this size comes by gossip."""
    checkpoint = world.checkpoint(world.branch.note(size or world.branch.size))
    line = cosign(checkpoint, witness_name(name), key_of(name, "witness"), NOW_S)
    return world.step(CosigSeen(checkpoint.size, line))


def told_world(*told: str) -> World:
    return World(told=lambda name: name in told)


def test_members_that_gossip_reaches_are_told_and_not_asked() -> None:
    world = told_world("w1", "w2", "w3")
    assert TellOwn() in world.publish()
    cosigned_by(world, "w1")
    assert world.confirmed == []
    cosigned_by(world, "w2")
    assert [head.size for head in world.confirmed] == [10]
    cosigned_by(world, "w3")
    world.pass_time(1)
    assert world.asked == []
    assert len(world.kept) == 2, "the late line is kept too"
    assert TellOwn() in world.publish(1)


def test_members_that_gossip_does_not_reach_are_asked_at_once() -> None:
    world = told_world("w1", "w2")
    assert TellOwn() in world.publish()
    assert [ask.witness for ask in world.asked] == ["w3"]
    assert TellOwn() not in told_world().publish()


def test_who_was_told_and_says_nothing_is_asked() -> None:
    world = told_world("w1", "w2", "w3")
    world.publish()
    cosigned_by(world, "w1")
    world.publish(1)
    world.pass_time(GRACE_NS / S - 0.01)
    assert world.asked == []
    world.pass_time(0.02)
    assert [ask.witness for ask in world.asked] == ["w2", "w3"]
    assert world.target("w2") == 10, "the head stays until those that were told have had their time"
    world.answer("w2")
    assert [head.size for head in world.confirmed] == [10]
    world.away("w3")
    world.pass_time(1)
    for name in world.names[1:]:
        cosigned_by(world, name)
    assert [head.size for head in world.confirmed] == [10, 11]


def test_nobody_who_will_not_answer_soon_is_waited_for() -> None:
    world = told_world("w1", "w2", "w3")
    world.publish()
    world.pass_time(1.1)
    world.answer("w1", 403)
    world.answer("w2", 403)
    world.answer("w3", 403)
    world.publish(1)
    world.pass_time(1)
    world.publish(1)
    world.pass_time(1)
    cosigned_by(world, "w1", 12)
    cosigned_by(world, "w2", 12)
    assert [head.size for head in world.confirmed] == [12]


# ---- what real and other witnesses answer ---------------------------------------------------------------------------


def test_a_witness_that_holds_less_is_asked_from_there(world: World) -> None:
    world.publish()
    for name in ("w1", "w2", "w3"):
        world.answer(name)
    world.witnesses["w1"] = world.witness("w1")  # it lost what it had
    world.publish(5)
    world.pass_time(1)
    assert world.old("w1") == 10
    world.answer("w1")
    assert world.old("w1") == 0  # at once
    world.answer("w1")
    assert world.why("w1") == ""


def test_a_lost_answer_is_asked_for_again_with_the_same_size(world: World) -> None:
    world.publish()
    ask = world.take("w1")
    assert world.witnesses["w1"].add_checkpoint(ask.body, NOW_S)[1].status == 200
    world.step(Unanswered("w1"))
    world.pass_time(1)
    world.answer("w1")  # 409: 10
    assert (world.old("w1"), world.target("w1")) == (10, 10)
    world.answer("w1")
    assert world.why("w1") == ""


def test_a_witness_that_gossip_moved_on_waits_for_the_next_head(world: World) -> None:
    world.publish()
    world.publish(3)
    world.answer("w1", 409, b"13\n")
    assert not any(ask.witness == "w1" for ask in world.asked)
    world.answer("w2")
    world.answer("w3")
    world.pass_time(1)
    assert (world.old("w1"), world.target("w1")) == (13, 13)


def test_a_witness_that_gossip_moves_on_each_time_is_not_blamed(world: World) -> None:
    world.publish()
    for _ in range(3 * MAX_TRIES):
        world.publish(1)
        world.answer("w1", 409, b"%d\n" % world.branch.size)
        assert world.why("w1") == "other_size"
        world.answer("w2")
        world.answer("w3")
        world.pass_time(1)
    assert world.heads == []


@pytest.mark.parametrize("body", [b"7\n", b"7", b" 7 \r\n"])
def test_sizes_are_read_as_they_come(world: World, body: bytes) -> None:
    world.publish()
    world.answer("w1", 409, body)
    assert world.old("w1") == 7


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        b"seven\n",
        b"-7\n",
        b"7.0\n",
        b"7 8\n",
        b"9" * 21,
        b"\xff\xfe",
        b"\xd9\xa7\n",
        b"9223372036854775808\n",
    ],
)
def test_a_conflict_without_a_size_leads_to_the_head_that_is_held(world: World, body: bytes) -> None:
    world.publish()
    world.answer("w1", 409, body)
    assert world.why("w1") == "conflict"
    (ask,) = world.heads
    assert (ask.witness, ask.url, ask.path) == (
        "w1",
        "http://w1",
        f"{origin_hash(world.log.origin)}/checkpoint",
    )
    assert not any(ask.witness == "w1" for ask in world.asked)
    world.step(HeadSeen("w1", world.branch.note(4)))
    assert world.old("w1") == 4  # the head it shows is ours, so it is asked from there
    assert world.alarms == []


def test_a_witness_that_changes_its_mind_for_ever_is_left_alone(world: World) -> None:
    world.publish()
    asked = 0
    for _ in range(60):
        while any(ask.witness == "w1" for ask in world.asked):
            asked += 1
            assert asked < 100
            world.answer("w1", 409, b"%d\n" % (asked % 7))
        for _ in world.heads:
            world.step(HeadSeen("w1", None))
        world.heads.clear()
        world.pass_time(1)
    assert asked <= (MAX_TRIES + 1) * 3


def test_a_larger_size_is_only_a_claim(world: World) -> None:
    world.publish()
    world.answer("w1", 409, b"11\n")
    assert world.why("w1") == "claims_more"
    assert world.alarms == []
    forged = Branch("w1")
    forged.grow(11)
    for note in (None, b"nothing", forged.note(), world.branch.note(10).replace(b"\n10\n", b"\n11\n")):
        (ask,) = world.heads
        world.heads.clear()
        assert ask.witness == "w1"
        world.step(HeadSeen("w1", note))
        assert world.alarms == []
        world.pass_time(31)
        world.answer("w1", 409, b"11\n")
    world.answer("w2")
    assert world.confirmed == []
    world.answer("w3")
    assert world.confirmed[0].size == 10


def test_a_larger_head_that_our_key_signed_is_an_alarm(world: World) -> None:
    clone = world.branch.fork(10, "clone")
    clone.grow(2)
    world.publish()
    world.answer("w1", 409, b"12\n")
    world.step(HeadSeen("w1", clone.note()))
    assert world.alarms == [Alarm("w1", 12, clone.note(), None)]


def test_a_head_that_contradicts_ours_is_an_alarm_with_evidence(world: World) -> None:
    other = world.branch.fork(4, "other")
    other.grow(2)
    world.publish()
    world.answer("w1", 422)
    assert world.why("w1") == "inconsistent"
    world.step(HeadSeen("w1", other.note()))
    (alarm,) = world.alarms
    assert (alarm.where, alarm.size, alarm.note) == ("w1", 6, other.note())
    assert alarm.fork is not None
    a, b = verify_fork(alarm.fork, log_vkey("own"))
    assert (a.size, b.size) == (6, 10)


def test_a_head_that_tells_nothing_new_is_no_reason_to_ask_again(world: World) -> None:
    world.publish()
    for name in ("w1", "w2", "w3"):
        world.answer(name)
    world.publish(3)
    world.pass_time(1)
    world.answer("w1", 422)
    world.step(HeadSeen("w1", world.branch.note(10)))
    assert world.why("w1") == "inconsistent"
    assert not any(ask.witness == "w1" for ask in world.asked)
    world.pass_time(31)
    assert world.old("w1") == 10


def test_an_alarm_needs_no_size_that_is_known(world: World) -> None:
    # the answer names a size below ours; what stands there shows only with the head
    other = world.branch.fork(4, "other")
    other.grow(2)
    world.publish()
    for _ in range(MAX_TRIES + 1):
        world.answer("w1", 409, b"6\n")
    assert world.why("w1") == "conflict"
    world.step(HeadSeen("w1", other.note()))
    assert len(world.alarms) == 1


LATER = [(400, "bad_request"), (403, "refused"), (404, "unknown_log"), (301, "status"), (418, "status")]


@pytest.mark.parametrize(("status", "why"), LATER)
def test_what_does_not_get_better_soon_is_asked_seldom(world: World, status: int, why: str) -> None:
    world.publish()
    for _ in range(3):
        world.answer("w1", status, b"<html>")
        assert world.why("w1") == why
        world.pass_time(LONGEST_WAIT_NS / S - 1)
        assert not any(ask.witness == "w1" for ask in world.asked)
        world.step(Heard("w1"))
        assert not any(ask.witness == "w1" for ask in world.asked)
        world.pass_time(1)
    world.answer("w1")
    assert world.why("w1") == ""


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_what_may_get_better_is_asked_less_and_less_often(world: World, status: int) -> None:
    world.publish()
    waits = []
    for _ in range(9):
        world.answer("w1", status, b"sorry")
        assert world.why("w1") == "busy"
        before = world.now_ns
        while not any(ask.witness == "w1" for ask in world.asked):
            world.pass_time(0.25)
        waits.append((world.now_ns - before) // S)
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30, 30]


def test_of_an_answer_only_good_lines_of_known_keys_count(world: World) -> None:
    checkpoint = world.checkpoint(world.branch.note())
    good = cosign(checkpoint, witness_name("w1"), key_of("w1", "witness"), NOW_S)
    unknown = cosign(checkpoint, "more.example", key_of("w9", "witness"), NOW_S)
    world.publish()
    # the whole note, with a line of somebody unknown and one of the log: what the first witnesses sent
    world.answer("w1", 200, world.branch.note() + (unknown + good).encode())
    assert world.why("w1") == ""
    other = cosign(replace(checkpoint, size=9), witness_name("w2"), key_of("w2", "witness"), NOW_S)
    world.answer("w2", 200, (unknown + other).encode())
    assert world.why("w2") == "bad_signature"
    world.answer("w3", 200, unknown.encode())
    assert world.why("w3") == "no_signature"
    assert world.confirmed == []


@pytest.mark.parametrize(
    "body", [b"", b"\n", b"ok\n", b"\xff" * 100, "\u2014 x\n".encode(), b"x" * (MAX_ANSWER_BYTES + 1)]
)
def test_an_answer_without_a_line_is_no_cosignature(world: World, body: bytes) -> None:
    world.publish()
    world.answer("w1", 200, body)
    assert world.why("w1") == "no_signature"


def test_reading_an_answer_costs_a_bounded_number_of_signatures() -> None:
    line = cosign(
        Checkpoint(origin_of("own"), 0, Branch("own").roots[0]), "w", key_of("w", "witness"), 1
    ).encode()
    assert len(read_reply(200, line * 100).signatures) == 64
    assert read_reply(200, line * 1000).signatures == ()  # too long altogether


def test_a_line_of_another_member_in_the_answer_counts_too(world: World) -> None:
    checkpoint = world.checkpoint(world.branch.note())
    both = "".join(cosign(checkpoint, witness_name(n), key_of(n, "witness"), NOW_S) for n in ("w1", "w2"))
    world.publish()
    world.answer("w1", 200, both.encode())
    assert [confirmed.size for confirmed in world.confirmed] == [10]


def test_a_proof_of_tiles_that_cannot_be_read_costs_nothing_but_patience(world: World) -> None:
    world.publish()
    for name in ("w1", "w2", "w3"):
        world.answer(name)
    tiles = world.branch.tiles
    world.branch.tiles = dict.fromkeys(tiles, b"")
    world.step(Published(*grown(world.branch, tiles)))
    world.pass_time(2)
    assert world.asked == []
    assert world.why("w1") == "own_tiles"
    world.branch.tiles = tiles
    world.pass_time(31)
    assert world.target("w1") == 12


def grown(branch: Branch, tiles: dict[tuple[int, int], bytes]) -> tuple[bytes, int, bytes]:
    lost, branch.tiles = branch.tiles, tiles
    branch.grow(2)
    branch.tiles = lost
    return branch.note(), branch.size, branch.roots[-1]


# ---- policies -------------------------------------------------------------------------------------------------------


def test_without_a_quorum_nobody_is_asked() -> None:
    for policy in (None, parse_policy(b"quorum none\n")):
        world = World()
        world.step(PolicyChanged(policy))
        world.publish()
        world.pass_time(100)
        assert not world.confirm.active
        assert world.asked == [] == world.own
        assert world.confirm.wake_at == NEVER
        assert world.confirm.rows() == []
        # one comes, and counts for what is there
        world.step(PolicyChanged(world.policy))
        assert len(world.asked) == 3
        for name in ("w1", "w2"):
            world.answer(name)
        assert world.confirmed[0].size == 10


def test_witnesses_outside_are_needed_beside_the_members(world: World) -> None:
    policy = policy_of(world.names, 3, ["x1", "x2"])
    world.step(PolicyChanged(policy))
    world.witnesses |= {name: world.witness(name) for name in ("x1", "x2")}
    world.publish()
    for name in ("w1", "w2", "w3"):
        world.answer(name)
    assert world.confirmed == []
    world.away("x1")
    world.answer("x2")
    assert world.confirmed[0].size == 10
    assert policy.satisfied(parse_note(world.confirmed[0].note))


def test_a_log_that_the_policy_does_not_list_is_not_confirmed(world: World) -> None:
    other = "".join(
        line + "\n"
        for line in [
            f"log {log_vkey('else').encode()}",
            f"witness w1 {witness_vkey('w1').encode()} http://w1",
            "quorum w1",
        ]
    )
    world.step(PolicyChanged(parse_policy(other.encode())))
    world.publish()
    world.answer("w1")
    assert world.confirmed == []


def rotating(world: World) -> Policy:
    text = (
        f"log {log_vkey('own').encode()} http://own\n"
        f"witness own {witness_vkey('own').encode()} http://own\n"
        f"witness w1/1 {witness_vkey('w1').encode()} http://w1\n"
        f"witness w1/2 {witness_vkey('w1-next').encode()} http://w1\n"
        "group w1 any w1/1 w1/2\n"
        f"witness w2 {witness_vkey('w2').encode()} http://w2\n"
        "group members 2 own w1 w2\nquorum members\n"
    )
    return parse_policy(text.encode())


def test_two_keys_of_one_witness_are_asked_once_and_count_once(world: World) -> None:
    world.step(PolicyChanged(rotating(world)))
    world.auto_own = False
    world.publish()
    assert sorted(ask.witness for ask in world.asked) == ["w1/1", "w2"]
    checkpoint = world.checkpoint(world.branch.note())
    both = "".join(
        cosign(checkpoint, witness_name(n), key_of(n, "witness"), NOW_S) for n in ("w1", "w1-next")
    )
    world.answer("w1/1", 200, both.encode())
    assert world.confirmed == []  # one party
    world.answer("w2")
    assert len(world.confirmed) == 1
    # with its new key alone it is as good
    world.publish(1)
    world.pass_time(1)
    checkpoint = world.checkpoint(world.branch.note())
    world.answer(
        "w1/1", 200, cosign(checkpoint, witness_name("w1-next"), key_of("w1-next", "witness"), NOW_S).encode()
    )
    assert world.why("w1/1") == ""
    world.away("w2")
    world.step(Heard("w2"))
    assert world.target("w2") == 11


def test_a_change_of_the_policy_keeps_what_is_known_and_leaves_nothing_hanging(world: World) -> None:
    world.publish()
    for name in ("w1", "w2", "w3"):
        world.answer(name)
    world.publish(2)
    world.pass_time(1)
    old = world.take("w1"), world.take("w2"), world.take("w3")
    world.step(PolicyChanged(rotating(world)))
    # w1 has another name now, so it is asked anew, from the size that is known; what it still answers is ignored
    assert world.old("w1/1") == 10
    assert [row.name for row in world.confirm.rows()] == ["w1/1", "w2"]
    for ask in old:
        world.step(Answered(ask.witness, 500, b""))
    assert world.why("w1/1") == "asked"
    assert world.why("w2") == "busy"
    world.witnesses["w1/1"] = world.witnesses["w1"]
    world.answer("w1/1")
    assert world.confirmed[-1].size == 12


def test_our_own_witness_is_never_asked_over_the_network(world: World) -> None:
    world.publish()
    assert all(ask.witness != "own" for ask in world.asked)
    assert World(me="").publish()[0].witness == "own"  # type: ignore[union-attr]


# ---- starts, refreshes, bounds --------------------------------------------------------------------------------------


def test_after_a_start_the_kept_head_tells_what_each_holds(world: World) -> None:
    world.publish()
    world.answer("w1")
    world.answer("w2")
    (kept,) = world.kept
    again = World(size=15, cosigned=kept)
    assert again.confirm.lag.confirmed == 10
    assert again.confirm.confirmed_at_ms == AT_MS
    again.publish()
    assert [again.old(name) for name in ("w1", "w2", "w3")] == [10, 10, 0]
    assert again.confirm.lag.entries == 5


def test_the_kept_head_tells_so_too_where_the_roster_is_read_later(world: World) -> None:
    world.publish()
    world.answer("w1")
    world.answer("w2")
    again = World(size=15)
    again.confirm = Confirm(again.log, again.branch, None, "own", world.kept[0])
    assert again.confirm.lag.confirmed == 10
    assert again.confirm.confirmed_at_ms == AT_MS
    again.step(PolicyChanged(again.policy))
    again.publish()
    assert [again.old(name) for name in ("w1", "w2", "w3")] == [10, 10, 0]
    assert again.confirm.lag.entries == 5


def test_after_a_start_at_the_same_head_it_is_cosigned_again_but_confirmed_once(world: World) -> None:
    world.publish()
    world.answer("w1")
    world.answer("w2")
    again = World(cosigned=world.kept[0])
    again.witnesses = world.witnesses
    again.publish()
    again.answer("w1")
    again.answer("w2")
    assert again.confirmed == []
    assert [kept.size for kept in again.kept] == [10]


def test_a_kept_head_that_is_above_our_log_is_not_believed(world: World) -> None:
    world.publish()
    world.answer("w1")
    world.answer("w2")
    older = World(size=8, cosigned=world.kept[0])
    assert older.confirm.lag.confirmed == 0
    older.publish()
    assert older.old("w1") == 0


def test_a_log_that_stands_still_is_cosigned_afresh(world: World) -> None:
    world.publish()
    for name in ("w1", "w2", "w3"):
        world.answer(name)
    world.pass_time(REFRESH_NS / S - 5)
    assert world.asked == []
    world.pass_time(10)
    assert [world.old(name) for name in ("w1", "w2", "w3")] == [10, 10, 10]
    kept = len(world.kept)
    for name in ("w1", "w2", "w3"):
        world.answer(name)
    assert len(world.kept) == kept + 2  # with a quorum, and with all
    assert len(world.confirmed) == 1
    assert len(world.own) == 2
    world.pass_time(REFRESH_NS / S + 5)
    assert len(world.asked) == 3
    # meanwhile all go away for long; when they are back it is done
    for name in ("w1", "w2", "w3"):
        world.away(name)
    world.pass_time(2 * REFRESH_NS / S)
    assert len(world.asked) == 3


def test_our_own_log_cannot_be_published_twice(world: World) -> None:
    world.publish()
    world.publish()  # the same head once more is nothing
    other = world.branch.fork(5, "other")
    other.grow(5)
    for branch in (other, world.branch.fork(5, "")):
        with pytest.raises(Divergence):
            world.step(Published(branch.note(), branch.size, branch.roots[-1]))


def test_memory_is_bounded(world: World) -> None:
    world.publish()
    for name in ("w1", "w2", "w3"):
        world.away(name)
    for _ in range(1000):
        world.publish(1)
        world.asked.clear()
    assert len(world.confirm._recent) == MAX_CANDIDATES
    assert len(world.confirm.lag._marks) <= MAX_MARKS + 1


def test_answers_that_nobody_waits_for_are_ignored(world: World) -> None:
    nobody: list[Callable[[str], Event]] = [
        lambda name: Answered(name, 409, b"3\n"),
        Unanswered,
        lambda name: HeadSeen(name, world.branch.note()),
    ]
    for event in nobody:
        assert world.step(event("w1")) == []
        assert world.step(event("stranger")) == []
    world.publish()
    world.answer("w1")
    for event in nobody:
        assert world.step(event("w1")) == []
    assert world.why("w1") == ""


def test_a_note_that_cannot_hold_all_lines_holds_enough_of_them() -> None:
    world = World(members=80, quorum=41)
    world.publish()
    checkpoint = world.checkpoint(world.branch.note())
    for name in world.names[1:40]:
        world.answer(name)
    assert world.confirmed == []
    world.answer(world.names[40])
    for name in world.names[41:]:
        world.step(CosigSeen(10, cosign(checkpoint, witness_name(name), key_of(name, "witness"), NOW_S)))
    world.pass_time(20)
    assert len(world.kept) == 2
    for kept in world.kept:
        assert world.policy.satisfied(parse_note(kept.note))


# ---- states and lag -------------------------------------------------------------------------------------------------


def test_states_of_an_entry() -> None:
    assert [state_of(index, 5, 3) for index in range(7)] == [
        State.CONFIRMED,
        State.CONFIRMED,
        State.CONFIRMED,
        State.LOGGED,
        State.LOGGED,
        State.STORED,
        State.STORED,
    ]


def test_lag_is_never_told_too_small() -> None:
    lag = Lag()
    signed: list[tuple[int, int]] = []
    for number in range(1, 3000):
        lag.sign(number * 3, number * S)
        signed.append((number * 3, number * S))
        if number % 400 == 0:
            lag.confirm(number * 2)
            signed = [mark for mark in signed if mark[0] > number * 2]
        true_age = number * S - signed[0][1] if signed else 0
        assert true_age <= lag.age_ns(number * S) <= true_age + 64 * S
        assert lag.entries == number * 3 - lag.confirmed
    lag.confirm(10_000)
    assert (lag.age_ns(9 * S), lag.entries) == (0, 0)
