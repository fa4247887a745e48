"""A device with a spool through outages, pauses and kills: what it kept arrives, and every sample is accounted for."""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from device_side import MS, Rig, S, balanced
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.app.spool_files import SpoolFiles
from gateway.device import spool
from gateway.device.events import Dropped, Keep, Pause, Resume, SendKept, Settled, Start, Stop
from gateway.errors import WireError
from gateway.keys.link import LinkCipher, LinkKeys
from gateway.wire import kinds
from gateway.wire import packet as wire

MIB = 1 << 20


@pytest.mark.slow
@given(st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_what_was_kept_arrives_whatever_happens(seed: int) -> None:
    chance = random.Random(seed)
    ring_bytes = chance.choice((4_096, 32_768, 16 * MIB))
    rig = Rig.make(spool_bytes=64 * MIB, ring_bytes=ring_bytes)
    rig.lose = lambda header: chance.random() < 0.1 and header.type != wire.HELLO

    def feed(rig: Rig) -> None:
        for stream in range(3):
            if chance.random() < 0.8:
                rig.capture(stream, kinds.POSE, chance.randint(1, 3))

    kept: set[tuple[int, int]] = set()  # what the spool held at some kill
    rig.step(Start())
    for _ in range(6):
        match chance.choice(("run", "pause", "outage", "kill", "kill in an outage")):
            case "pause":
                rig.step(Pause())
                rig.run(chance.randint(0, 2_000) * MS, feed, 11 * MS)
                rig.step(Resume())
            case "outage":
                rig.up = rig.down = False
                rig.run(chance.randint(0, 30_000) * MS, feed, 23 * MS)
                rig.up = rig.down = True
            case "kill in an outage":
                rig.up = rig.down = False
                rig.run(chance.randint(0, 30_000) * MS, feed, 23 * MS)
                kept |= {(link, seq) for link, packets in rig.spool.items() for seq in packets}
                rig.restart(ring_bytes=ring_bytes)
                rig.up = rig.down = True
                rig.step(Start())
            case "kill":
                kept |= {(link, seq) for link, packets in rig.spool.items() for seq in packets}
                rig.restart(ring_bytes=ring_bytes)
                rig.step(Start())
        rig.run(chance.randint(0, 3_000) * MS, feed, 11 * MS)
        assert balanced(rig)
        assert rig.device.links.held_bytes <= ring_bytes
    rig.step(Stop())
    rig.lose = lambda header: False
    for far in rig.far.links.values():
        far.done.clear()  # receipts that were lost are told again
    rig.run(120 * S)
    assert rig.device.idle
    assert rig.device.lost == {}
    assert balanced(rig)
    assert sum(map(len, rig.spool.values())) == 0
    assert all(seq in rig.far.links[link].got for link, seq in kept)


def card(number: int = 5) -> spool.LinkCard:
    keys = LinkKeys(bytes(32), b"m" * 32, bytes(4))
    return spool.LinkCard(
        7, 99, number, b"s" * 16, "gate", keys.k_mac, LinkKeys(b"e" * 32, b"d" * 32, b"ivfo")
    )


def sealed(seq: int, size: int, number: int = 5) -> bytes:
    head = wire.pack_header(wire.DATA, number, seq, 0) + bytes(size)
    return head + LinkCipher(LinkKeys(bytes(32), b"m" * 32, bytes(4))).tag(head)


@given(st.binary(max_size=400))
def test_no_bytes_can_raise_anything_else(data: bytes) -> None:
    try:
        found, begin = spool.decode_header(data)
    except WireError:
        return
    list(spool.records(found, data, begin))


@given(st.integers(0, 12), st.data())
def test_a_segment_that_is_cut_or_spoiled_anywhere_gives_what_came_before(
    count: int, draw: st.DataObject
) -> None:
    header = spool.encode_header(card())
    parts = [spool.encode_record(seq, sealed(seq, 20 + seq)) for seq in range(count)]
    data = bytearray(header + b"".join(parts))
    at = draw.draw(st.integers(len(header), len(data)))
    if at < len(data) and draw.draw(st.booleans()):
        data[at] ^= draw.draw(st.integers(1, 255))
        samples_of = {len(header) + sum(map(len, parts[:n])) + 2 + i for n in range(count) for i in range(4)}
        if at in samples_of:
            return  # how many samples a packet carries is the one thing that no tag covers
    else:
        del data[at:]
    whole = 0
    while whole < count and len(header) + sum(map(len, parts[: whole + 1])) <= at:
        whole += 1
    found, begin = spool.decode_header(bytes(data))
    records = list(spool.records(found, bytes(data), begin))
    assert [record.packet.seq for record in records] == list(range(whole))


steps = st.lists(
    st.one_of(
        st.tuples(st.just("keep"), st.integers(1, 3), st.integers(0, 60)),
        st.tuples(st.just("settle"), st.integers(0, 40), st.integers(0, 40)),
        st.tuples(st.just("drop"), st.just(0), st.just(0)),
        st.tuples(st.just("reopen"), st.just(0), st.just(0)),
    ),
    max_size=40,
)


@given(steps)
@settings(max_examples=60, deadline=None)
def test_files_hold_what_the_model_holds(script: list[tuple[str, int, int]]) -> None:
    model: dict[int, dict[int, bytes]] = {}
    next_seq = dict.fromkeys((1, 2, 3), 0)
    small, spool.SEGMENT_BYTES = spool.SEGMENT_BYTES, 600  # type: ignore[misc]
    try:
        with TemporaryDirectory() as folder:
            files = SpoolFiles(Path(folder), 7)
            for verb, a, b in script:
                match verb:
                    case "keep":
                        seq, next_seq[a] = next_seq[a], next_seq[a] + 1
                        model.setdefault(a, {})[seq] = sealed(seq, b, a)
                        files.perform(Keep(card(a), seq, 1, model[a][seq]))
                    case "settle":
                        for link in model:
                            files.perform(Settled(link, a, b))
                            for seq in [seq for seq in model[link] if a <= seq <= b]:
                                del model[link][seq]
                    case "drop":
                        files.perform(Dropped(2))
                        model.pop(2, None)
                    case "reopen":
                        files.close()
                        files = SpoolFiles(Path(folder), 7)
                        found = {link.card.link: link for link in files.load()}
                        for link, packets in model.items():
                            assert (
                                {one.seq for one in found[link].packets} >= packets.keys()
                                if packets
                                else True
                            )
                            if packets:
                                again = {one.seq for one in found[link].packets} - packets.keys()
                                for seq in again:  # had its receipt; its segment holds others that have none
                                    files.perform(Settled(link, seq, seq))
                        for link in found.keys() - {link for link, packets in model.items() if packets}:
                            raise AssertionError(f"link {link} holds nothing")
                for link, packets in model.items():
                    for seq, packet in packets.items():
                        assert files.perform(SendKept(link, seq, "")) == packet
            assert files.faults == {}
            files.close()
            if not any(model.values()):
                assert list(Path(folder).iterdir()) == []
    finally:
        spool.SEGMENT_BYTES = small  # type: ignore[misc]
