"""Machines that break a rule on purpose: each must be noticed, or the invariants of the simulation watch nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.core import gossip_events as ev
from gateway.core.follow import Followed, KeepEntries, KeepFork, KeepHead
from gateway.core.gossip import Gossip
from gateway.errors import RemoteError
from gateway.tlog.checkpoint import cosign, open_checkpoint
from gateway.tlog.merkle import leaf_hash
from gateway.tlog.tiles import tails_after, tile_updates
from gateway.wire import peer as wire
from tests.sim.invariants import decoded
from tests.sim.peer_logs import quick_signatures
from tests.sim.test_federation import Run, Scenario, scenarios

# Each runs a whole scenario: in `make test`, so that `make check` stays short.
pytestmark = pytest.mark.slow

Broken = type[Gossip]


class Listening(Gossip):
    """A real machine, with a look at what comes and at what it wants done."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.name, _, self.logs, self.shelves, _, self.cosigner, *_ = arguments

    def step(self, event: ev.Event, now_ns: int, now_s: int) -> list[ev.Effect]:
        effects: list[ev.Effect] = []
        if isinstance(event, ev.Received):
            try:
                messages = decoded(event.body) if event.body else ()
            except RemoteError:
                messages = ()
            for message in messages:
                effects += self.hears(event.peer, message, now_s)
        return self.does([*effects, *super().step(event, now_ns, now_s)])

    def hears(self, peer: str, message: wire.Message, now_s: int) -> list[ev.Effect]:
        return []

    def does(self, effects: list[ev.Effect]) -> list[ev.Effect]:
        return effects

    def larger(self, message: wire.Message) -> tuple[Followed, Any] | None:
        """A head of another's log that is larger than ours, signed by that log."""
        log = self.logs.of_hash(message.origin_hash) if isinstance(message, wire.Head) else None
        if log is None or log.ours or not isinstance(message, wire.Head):
            return None
        try:
            checkpoint = open_checkpoint(message.note, *log.vkeys)
        except RemoteError:
            return None
        return (log, checkpoint) if checkpoint.size > log.size else None


class TellsBeforeItKeeps(Listening):
    def does(self, effects: list[ev.Effect]) -> list[ev.Effect]:
        return sorted(effects, key=lambda effect: not isinstance(effect, ev.Tell))


class CosignsBeforeItKeeps(Listening):
    def hears(self, peer: str, message: wire.Message, now_s: int) -> list[ev.Effect]:
        if (found := self.larger(message)) is None:
            return []
        log, checkpoint = found
        line = cosign(checkpoint, self.cosigner.name, self.cosigner.key, now_s)
        told = wire.Cosig(log.hash, checkpoint.size, checkpoint.root, [line])
        return [ev.Tell(peer, wire.encode_body([told]))]


class BelievesWithoutProof(Listening):
    def hears(self, peer: str, message: wire.Message, now_s: int) -> list[ev.Effect]:
        if (found := self.larger(message)) is None or found[0].frozen:
            return []
        assert isinstance(message, wire.Head)
        return [found[0].advance(found[1], message.note)]


class KeepsWhatComes(Listening):
    """Entries are kept as they come, with a tree that fits them."""

    def hears(self, peer: str, message: wire.Message, now_s: int) -> list[ev.Effect]:
        if (found := self.larger(message)) is None or not isinstance(message, wire.Head):
            return []
        log, _ = found
        if not message.entries or message.old_size != log.tree.size:
            return []
        leaves = [leaf_hash(entry) for entry in message.entries]
        writes = tile_updates(log.tree.size, leaves, log.tails)
        first = log.tree.size
        log.tails = tails_after(log.tails, writes)
        log.tree.extend(leaves)
        size, root = log.tree.size, log.tree.root()
        return [KeepEntries(log.origin, first, tuple(message.entries), tuple(writes), size, root)]


class GoesBack(Listening):
    """The head of a log is whatever was told last."""

    def hears(self, peer: str, message: wire.Message, now_s: int) -> list[ev.Effect]:
        log = self.logs.of_hash(message.origin_hash) if isinstance(message, wire.Head) else None
        if log is None or log.ours or not isinstance(message, wire.Head) or not log.size:
            return []
        try:
            checkpoint = open_checkpoint(message.note, *log.vkeys)
        except RemoteError:
            return []
        return [log.advance(checkpoint, message.note)] if 0 < checkpoint.size < log.size else []


class KeepsNoEvidence(Listening):
    def does(self, effects: list[ev.Effect]) -> list[ev.Effect]:
        return [effect for effect in effects if not isinstance(effect, KeepFork)]


class TellsNoEvidence(Listening):
    def does(self, effects: list[ev.Effect]) -> list[ev.Effect]:
        left = []
        for effect in effects:
            if isinstance(effect, ev.Tell):
                messages = [one for one in decoded(effect.body) if not isinstance(one, wire.Evidence)]
                effect = replace(effect, body=wire.encode_body(messages))
            left.append(effect)
        return left


class Thaws(Listening):
    """Evidence is kept, and the log is followed on."""

    def hears(self, peer: str, message: wire.Message, now_s: int) -> list[ev.Effect]:
        if (found := self.larger(message)) is None or not found[0].frozen:
            return []
        assert isinstance(message, wire.Head)
        return [found[0].advance(found[1], message.note)]


class SpoilsProofs(Listening):
    def does(self, effects: list[ev.Effect]) -> list[ev.Effect]:
        left = []
        for effect in effects:
            if isinstance(effect, ev.Tell):
                messages: list[wire.Message] = []
                for message in decoded(effect.body):
                    if isinstance(message, wire.Head) and message.proof:
                        proof = [bytes(32), *message.proof[1:]]
                        message = wire.Head(
                            message.origin_hash, message.note, message.old_size, message.old_root, proof, []
                        )
                    messages.append(message)
                effect = replace(effect, body=wire.encode_body(messages))
            left.append(effect)
        return left


class ForgetsItsHeads(Listening):
    """What it accepts is never written down."""

    def does(self, effects: list[ev.Effect]) -> list[ev.Effect]:
        return [effect for effect in effects if not isinstance(effect, KeepHead | KeepEntries)]


class Hoards(Listening):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.all: list[wire.Message] = []

    def hears(self, peer: str, message: wire.Message, now_s: int) -> list[ev.Effect]:
        self.all.append(message)
        return []


class AnswersAnybody(Listening):
    def hears(self, peer: str, message: wire.Message, now_s: int) -> list[ev.Effect]:
        return [ev.Tell(peer, wire.EMPTY_BODY)]


class LooksAtEverything(Listening):
    """Every signature is looked at, whoever sends it and however many."""

    def hears(self, peer: str, message: wire.Message, now_s: int) -> list[ev.Effect]:
        if isinstance(message, wire.Evidence | wire.Cosig):
            for log in self.logs:
                for _ in range(5):
                    open_checkpoint(log.note, *log.vkeys)
        return []


CASES: list[tuple[Broken, str, str]] = [
    (TellsBeforeItKeeps, "fork at the same size, to one", "I1: .* before it is kept"),
    (CosignsBeforeItKeeps, "one new head", "I1: a head is cosigned before it is kept"),
    (BelievesWithoutProof, "longer fork, to one, with loss", "I3: a head that does not continue"),
    (KeepsWhatComes, "forged entries", "I4: entries of"),
    (GoesBack, "stale heads", "I3: a head goes back"),
    (KeepsNoEvidence, "fork at the same size, to one", "I1: evidence"),
    (TellsNoEvidence, "fork at the same size, to one", "after|not within"),
    (Thaws, "fork at the same size, to half", "the head of a frozen log moves"),
    (SpoilsProofs, "more than travels with a head", "consistency path"),
    (ForgetsItsHeads, "one new head", "I1: a head is .* before it is kept"),
    (Hoards, "flood", "I8: the machine"),
    (AnswersAnybody, "sybils", "who is no member"),
    (LooksAtEverything, "flood", "I8: .* look at"),
]


def named(name: str) -> Scenario:
    return next(scenario for scenario in scenarios() if scenario.name == name)


@pytest.mark.parametrize(("machine", "name", "notice"), CASES, ids=[case[0].__name__ for case in CASES])
def test_a_broken_rule_is_noticed(machine: Broken, name: str, notice: str) -> None:
    with quick_signatures(), pytest.raises((AssertionError, RemoteError), match=notice):
        Run(named(name), 1, machine).run()


def test_the_same_seed_gives_the_same_run() -> None:
    def told() -> str:
        with quick_signatures():
            run = Run(named("all of it"), 3)
            run.run()
        return run.told()

    assert told() == told()
