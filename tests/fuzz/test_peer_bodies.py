"""Bodies of peers that are almost right: a value or a WireError, and never more than a step forward in an honest log.

`VESTIBULE_FUZZ_SECONDS` and `VESTIBULE_FUZZ_SEED` as in test_packets.py.
"""

from __future__ import annotations

import random
import tracemalloc
from collections import Counter

import pytest
from fuzz.mutate import rounds, seed, spoil
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import gossip_events as ev
from gateway.errors import WireError
from gateway.tlog.fork import Fork
from gateway.tlog.merkle import EMPTY_ROOT
from gateway.tlog.tiles import consistency_from_tiles
from gateway.wire import peer as wire
from tests.gossipers import PERIOD, Gateway
from tests.sim.peer_logs import Branch, quick_signatures, signed

MILLION = 1_000_000
PEAK_BYTES = 4 << 20  # sixteen times the longest body
NAMES = ("a", "b", "c")


def valid(branches: list[Branch], rng: random.Random) -> list[wire.Message]:
    """Messages that an honest gateway, or a clever one, could tell."""
    branch = rng.choice(branches)
    digest = Gateway("a", NAMES).log(branch.name).hash
    size = rng.randrange(1, branch.size + 1)
    old = rng.randrange(size)
    proof = consistency_from_tiles(branch, old, size) if old else []
    entries = branch.data[old:size][:32]
    fork = Fork(branch.note(old or 1), branch.note(size), branch.roots[old or 1], tuple(proof))
    rows = sorted(
        wire.Row(Gateway("a", NAMES).log(one.name).hash, one.size, one.roots[-1], one.size)
        for one in {one.name: one for one in branches}.values()
    )
    return [
        wire.Summary(1, bytes(32), rng.randbytes(32), bytes(32), True),
        wire.Heads(rows, [], rng.random() < 0.5),
        rng.choice(
            [
                wire.Head(digest, branch.note(size), old, branch.roots[old], proof, []),
                wire.Head(digest, branch.note(size), size - len(entries), EMPTY_ROOT, [], entries),
                wire.Head(
                    digest, signed(branch.name, 2**63 - 1, bytes(32)), old, branch.roots[old], proof, []
                ),
            ]
        ),
        wire.Cosig(digest, size, branch.roots[size], ["\u2014 x y\n"]),
        wire.Evidence(digest, fork.encode()),
        wire.RosterDoc(Gateway("a", NAMES).signed.raw),
    ]


def bodies(rng: random.Random) -> list[bytes]:
    """Seeds."""
    branches = []
    for name in ("b", "c"):
        branch = Branch(name)
        branch.grow(rng.randrange(40, 60))
        branches.append(branch)
    # By chance none of the others may lead on from where a new gateway is.
    found = [
        wire.encode_body(
            [
                wire.Head(
                    Gateway("a", NAMES).log(branch.name).hash,
                    branch.note(size),
                    0,
                    EMPTY_ROOT,
                    [],
                    branch.data[:size],
                )
            ]
        )
        for branch in branches
        for size in (1, 20)
    ]
    for _ in range(40):
        messages = valid(branches, rng)
        found += [wire.encode_body([message]) for message in messages]
        found.append(wire.encode_body(rng.sample(messages, rng.randrange(len(messages) + 1))))
    return found


def parse(data: bytes) -> list[wire.Message] | None:
    refused: list[WireError] = []
    try:
        messages = wire.decode_body(data)
    except WireError as error:
        refused.append(error)
    if refused:
        assert refused[0].code == "peer_body"
        assert len(str(refused[0])) < 200
        return None
    assert wire.encode_body(messages) == data
    return messages


def fuzz(count: int | None) -> None:
    run = seed()
    rng = random.Random(run)
    with quick_signatures():
        seeds = bodies(rng)
        gateway = Gateway("a", NAMES, run)
        parsed, codes, moved, data, n = 0, Counter[str](), 0, b"", 0
        try:
            for n in rounds(count):
                data = spoil(rng, rng.choice(seeds), seeds)
                if rng.random() < 0.05:
                    data = rng.choice(seeds)
                parsed += parse(data) is not None
                before = gateway.state()
                gateway.now_ns += PERIOD
                gateway.step(ev.Received(rng.choice(("b", "c", "nobody")), data))
                codes.update(gateway.codes())
                moved += gateway.state() != before
                # the store of gossipers refuses whatever is not a step of one and the same tree
                assert not gateway.of(ev.ForkKept), "an honest log is accused"
                if n % 500 == 499:
                    gateway = Gateway("a", NAMES, n)
        except BaseException as error:
            error.add_note(f"VESTIBULE_FUZZ_SEED={run}, body {n}: {data.hex()}")
            raise
    print(f"seed {run}: {n + 1} bodies, {parsed} parsed, {moved} moved a head, refused {dict(codes)}")
    assert parsed > n / 50, "the fuzzer hardly ever gets past the form"
    assert moved
    assert {"peer_body", "note_signature"} <= set(codes), f"not reached (seed {run})"


@pytest.mark.slow
def test_gossip_takes_anything() -> None:
    fuzz(None)


@pytest.mark.torture
def test_gossip_takes_a_million_of_anything() -> None:
    fuzz(MILLION)


@given(st.binary(max_size=1300))
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    parse(data)


def test_no_body_makes_the_parser_allocate_much() -> None:
    """Whatever lengths it claims."""
    run = seed()
    rng = random.Random(run)
    seeds = bodies(rng)
    most = wire.MAX_BODY_BYTES
    bombs = [
        b"\xdd\xff\xff\xff\xff",
        b"\xdd\x00\x03\xff\xf0" + b"\x90" * (most - 5),
        b"\x91\x94\x02\xdd\xff\xff\xff\xff",
        b"\x91\x94\x02\xdd\x00\x00\xff\xff" + b"\x94\xc4\x00\x00\xc4\x00\x00" * 30_000,
        b"\x91\x94\x02\x90\xdd\x00\x01\x00\x00" + b"\xc4\x00" * 65_536,
        b"\x91\x92\x06\xc6\xff\xff\xff\xff",
        b"\x91" * most,
        b"\xdf\xff\xff\xff\xff",
        b"\xc1" * (100 * most),
    ]
    worst, culprit = 0, b""
    tracemalloc.start()
    try:
        for data in [*bombs, *(spoil(rng, rng.choice(seeds), bombs[:8]) for _ in range(1500))]:
            tracemalloc.reset_peak()
            start, _ = tracemalloc.get_traced_memory()
            parse(data)
            _, peak = tracemalloc.get_traced_memory()
            if peak - start > worst:
                worst, culprit = peak - start, data
    finally:
        tracemalloc.stop()
    assert worst < PEAK_BYTES, f"{worst} bytes (seed {run}): {culprit[:50].hex()}"
