"""Packets that are almost right, by the million: no exception, no answer to a stranger, only canonical frames stored.

The mutation fuzzers run `VESTIBULE_FUZZ_SECONDS` (5) each, and a million packets in torture. `VESTIBULE_FUZZ_SEED`
repeats a run.
"""

from __future__ import annotations

import random
import resource
import tracemalloc
from collections import Counter

import numpy as np
import pytest
from fuzz.mutate import rounds, seed, spoil, vector_packets
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import part
from gateway.core.batcher import Batcher
from gateway.core.effects import Arrival, MqttSource, Send
from gateway.core.handshake import Names
from gateway.core.intake import Intake, Limits
from gateway.core.records import Device as DeviceRecord
from gateway.core.records import LinkRecord, Pairing, Session, Writes
from gateway.core.registry import Registry
from gateway.device import events as ev
from gateway.device.config import DeviceConfig
from gateway.device.handshake import hello
from gateway.device.machine import Device
from gateway.device.pairing import open_paired
from gateway.errors import SignatureError, WireError
from gateway.ids import DeviceId, LinkId, RunId, SessionId, SubjectRef
from gateway.keys.link import DOWN, UP, LinkCipher, LinkKeys, handshake_key, pairing_key, tag, tag_matches
from gateway.permit import FOREVER_NS, Permit
from gateway.wire import control, frame, kinds
from gateway.wire import packet as wire

MILLION = 1_000_000
SECOND_NS = 1_000_000_000
SESSION = SessionId(b"S" * 16)
CODE = "K7Q2ZB5XWN4JYTRD3HGAMPC6VE"
STRANGER = ("203.0.113.9", 9)
SEAL_EVERY = 256
GROWTH_BYTES = 96 << 20
BODIES = (
    control.Pair,
    control.Paired,
    control.Hello,
    control.Welcome,
    control.Receipt,
    control.Answer,
    control.Probe,
    control.ProbeReply,
    control.Command,
    control.Reset,
)


def records(rng: random.Random, kind: kinds.Kind, count: int) -> bytes:
    """Records of a kind, plausible or not."""
    if kind.variable:
        text = rng.choice((b"{}", b'{"name":"x"}', b"start", b"\xff\xfe", b""))
        header = np.zeros(1, kind.dtype)
        names = kind.dtype.names or ()
        header["count" if "count" in names else "length"] = len(text) // kind.unit_bytes
        return header.tobytes() + text
    if rng.random() < 0.5:
        samples = np.zeros(count, kind.dtype)
        samples["t_capture_ns"] = rng.getrandbits(40)
        return samples.tobytes()
    return rng.randbytes(count * kind.sample_bytes)


class Hall:
    """The gateway's intake and seal with two devices on links, on a clock that moves with each packet."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.now_ns = 90_000 * SECOND_NS
        self.registry = Registry(Names("g", "g"), rng.randbytes, lambda: self.now_ns, 1, 1e9)
        self.keys = {number: rng.randbytes(32) for number in (1, 2)}
        self.up: dict[int, LinkCipher] = {}
        self.seq = Counter({11: 0, 12: 0})
        self.hello_seq = 0
        links = []
        for number, key in self.keys.items():
            link = 10 + number
            self.up[link] = LinkCipher(LinkKeys.derive(key, b"d" * 16, b"g" * 16, number, link, UP))
            links.append(
                LinkRecord(
                    LinkId(link),
                    DeviceId(number),
                    RunId(number),
                    SESSION,
                    "udp",
                    b"d" * 16,
                    b"g" * 16,
                    key,
                    0,
                    b"",
                    b"",
                    True,
                    "live",
                    self.now_ms,
                )
            )
        permitted = tuple(set(kinds.KINDS) - {kinds.GAZE})
        session = Session(
            SESSION,
            bytes(32),
            SubjectRef(b"s" * 16),
            "t",
            (DeviceId(1), DeviceId(2)),
            permitted,
            "open",
            self.now_ms,
        )
        self.registry.restore(
            [DeviceRecord(DeviceId(n), "", key, "active", 0) for n, key in self.keys.items()],
            [Pairing(CODE, self.now_ms + 10**12)],
            [session],
            links,
            [],
            100,
            3,
        )
        self.intake = Intake(self.registry, self.permit, lambda: 1, Limits(1e9, 64))
        self.batcher = Batcher(SECOND_NS, 1 << 24)
        self.stored = 0

    @property
    def now_ms(self) -> int:
        return 1_790_000_000_000 + self.now_ns // 1_000_000

    @property
    def reasons(self) -> set[str]:
        """What was refused here, packets and frames."""
        return set(self.intake.refused) | set(self.intake.admission.refused)

    @staticmethod
    def permit(session: object, kind: int, now_ns: int) -> Permit:
        allowed = kind != kinds.GAZE
        return Permit(allowed, "" if allowed else "not_permitted", FOREVER_NS, 1)

    def valid_body(self) -> tuple[int, bytes]:
        """A body in the clear that may well be taken."""
        rng = self.rng
        match rng.randrange(8):
            case 0:
                return wire.SYNC, control.encode(control.Probe(rng.getrandbits(63)))
            case 1:
                return wire.RECEIPT, control.encode(control.Answer([(rng.getrandbits(63), "done")]))
            case 2:
                totals = [(rng.randrange(8), rng.getrandbits(rng.choice((8, 20, 53))))]
                return wire.BYE, frame.encode_bye(frame.Bye(rng.choice((0, 3)), totals, "pause"))
            case _:
                frames = []
                totals_: dict[int, int] = {}
                for _ in range(rng.randrange(1, 4)):
                    kind = kinds.KINDS[rng.choice(tuple(kinds.KINDS))]
                    count = 1 if kind.variable else rng.randrange(1, 4)
                    first = rng.choice((rng.randrange(100), rng.getrandbits(20), self.seq[11]))
                    stream = kind.number
                    frames.append(frame.Frame(stream, kind.number, first, records(rng, kind, count)))
                    totals_[stream] = max(totals_.get(stream, 0), first + count)
                data = frame.Data(rng.choice((0, 0, 0, 1, 5)), list(totals_.items()), frames)
                return wire.DATA, frame.encode_data(data)

    def seal_up(self, link: int, kind: int, body: bytes, seq: int | None = None) -> bytes:
        """A packet with a valid tag; a body that does not fit is cut."""
        if seq is None:
            seq, self.seq[link] = self.seq[link], self.seq[link] + 1
        body = body[: wire.MAX_DATAGRAM_BYTES - wire.MIN_BYTES]
        head = wire.pack_header(kind, link, seq, self.now_ns) + self.up[link].crypt(seq, body)
        return head + self.up[link].tag(head)

    def hello(self) -> bytes:
        """A HELLO with the next counter."""
        self.hello_seq += 1
        config = DeviceConfig(1, self.keys[1], "g", -1, 1)
        nonce = self.rng.randbytes(16)
        return hello(config, handshake_key(self.keys[1]), self.hello_seq, nonce, (11,), "start", 0).packet

    def authentic(self, packet: bytes) -> bool:
        """Whether any key of this hall tagged it."""
        keys = [handshake_key(key) for key in self.keys.values()] + [pairing_key(CODE.encode())]
        return any(cipher.matches(packet) for cipher in self.up.values()) or any(
            tag_matches(key, packet) for key in keys
        )

    def take(self, packet: bytes, source: tuple[str, int] | MqttSource) -> list[object]:
        """One arrival, judged."""
        self.now_ns += 1_000_000
        ticket = object() if isinstance(source, MqttSource) else None
        effects = self.intake.step([Arrival(packet, source, self.now_ns, ticket)], self.now_ns, self.now_ms)
        answers, self.registry.answers = self.registry.answers, []
        sends = [effect for effect in (*effects, *answers) if isinstance(effect, Send)]
        if sends and source == STRANGER:
            assert self.authentic(packet), "a stranger was answered"
        for send in sends:
            wire.parse_header(send.packet, wire.MAX_MQTT_BYTES)
        admitted, self.intake.admitted = self.intake.admitted, []
        for item in (item for one in admitted for item in one.frames):
            assert frame.decode_frame(item.data) == item.frame
            assert item.count == frame.sample_count(item.frame)
        self.batcher.add(admitted, self.now_ns, self.now_ms)
        return list(effects)

    def seal(self) -> None:
        """End a cycle: seal, settle, and check what would be stored."""
        registry = self.registry
        self.batcher.changed(registry.changed_streams.values(), self.now_ns, self.now_ms)
        batch = self.batcher.seal(
            lambda session: registry.sessions[session],
            lambda session: b"k" * 32,
            lambda session, kind, now: self.permit(session, kind, now),
            self.rng.randbytes,
            self.now_ns,
        )
        for link in registry.touched.values():
            link.settle(0)
            assert len(link.record.done) <= 4096
            assert len(link.seen) <= 4096
        for stream in registry.changed_streams.values():
            assert stream.total == stream.stored + sum(stream.refused.values()) + stream.missing
            assert stream.missing >= 0
            assert len(stream.accounted) <= 4096
        registry.touched, registry.changed_streams, registry.staged = {}, {}, Writes()
        self.intake.tickets = []
        if batch is None:
            return
        for _, sealed in batch.parts:
            core, core_bytes, _ = part.parse_header(sealed.header)
            key = part.seal.part_data_key(part.seal.session_data_key(b"k" * 32, SESSION), core.part_id)
            payload = part.parse_payload(part.seal.unseal(key, sealed.payload, core_bytes))
            for data in payload.frames:
                item = frame.decode_frame(data)
                assert frame.encode_frame(item) == data
                frame.sample_count(item)
                frame.check_samples(item)
                assert item.kind != kinds.GAZE
                self.stored += 1


def fuzz_gateway(count: int | None) -> None:
    run = seed()
    rng = random.Random(run)
    hall = Hall(rng)
    vectors = vector_packets()
    seeds = [packet for packet, _, _ in vectors]
    bodies = [body for _, _, body in vectors]
    packet = b""
    n = stored = 0
    reasons: set[str] = set()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        for n in rounds(count):
            kind, body = hall.valid_body()
            link = rng.choice((11, 12))
            source: tuple[str, int] | MqttSource = ("10.0.0.1", 1)
            match rng.randrange(12):
                case 0:
                    packet = spoil(rng, rng.choice(seeds), seeds)
                    source = STRANGER
                case 1:
                    packet = spoil(rng, hall.seal_up(link, kind, body), seeds)
                    source = STRANGER
                case 2:
                    packet = hall.seal_up(link, kind, spoil(rng, body, bodies))
                case 3:
                    row = rng.choice(vectors)
                    packet = hall.seal_up(link, rng.choice((row[1], wire.DATA)), spoil(rng, row[2], bodies))
                case 4:
                    packet = hall.seal_up(link, rng.randrange(1, 11), body)
                case 5:
                    packet = hall.seal_up(link, kind, body, rng.getrandbits(rng.choice((4, 12, 21, 64))))
                case 6:
                    packet = hall.hello()
                    head = packet[:24] + spoil(rng, packet[24:-16], bodies)
                    head = head[:496] if rng.random() < 0.7 else head
                    head += bytes(max(0, 496 - len(head))) if rng.random() < 0.7 else b""
                    packet = head + tag(handshake_key(hall.keys[1]), head)
                case 7:
                    pair = control.encode(control.Pair(rng.randbytes(16), "x", bytes(190)))
                    head = wire.pack_header(wire.PAIR, 0, 0, 0) + spoil(rng, pair, bodies)
                    head = head[:240] + bytes(max(0, 240 - len(head)))
                    packet = head + tag(pairing_key(CODE.encode()), head)
                case 8:
                    packet = hall.hello()
                    source = rng.choice((source, STRANGER, MqttSource(1), MqttSource(2)))
                case 9:
                    packet = spoil(rng, hall.seal_up(link, kind, body), seeds)
                    source = MqttSource(rng.choice((1, 2)))
                case _:
                    packet = hall.seal_up(link, kind, body)
            hall.take(packet, source)
            if n % SEAL_EVERY == SEAL_EVERY - 1:
                hall.seal()
                hall.registry.expire(hall.now_ms, 604_800)
            if n % 50_000 == 49_999:
                # Ever the same two links would fill their ranges; the rest of the hall stays.
                reasons |= hall.reasons
                stored += hall.stored
                hall = Hall(rng)
        hall.seal()
    except BaseException as error:
        error.add_note(f"VESTIBULE_FUZZ_SEED={run}, packet {n}: {packet.hex()}")
        raise
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    assert grown < GROWTH_BYTES, f"{grown >> 20} MiB more than before (seed {run})"
    assert n > 500
    reasons |= hall.reasons
    deep = {"malformed", "bad_tag", "copy", "totals", "overlap", "sample_size", "not_permitted"}
    assert deep <= reasons, f"the fuzzer does not reach {deep - reasons} (seed {run})"
    assert stored + hall.stored > n // 100
    print(f"seed {run}: {n + 1} packets, {stored + hall.stored} frames stored, refused {sorted(reasons)}")


@pytest.mark.slow
def test_the_gateway_takes_anything() -> None:
    fuzz_gateway(None)


@pytest.mark.torture
def test_the_gateway_takes_a_million_of_anything() -> None:
    fuzz_gateway(MILLION)


def fuzz_device(count: int | None) -> None:
    run = seed()
    rng = random.Random(run)
    vectors = vector_packets()
    seeds = [packet for packet, _, _ in vectors]
    bodies = [body for _, _, body in vectors]
    key = rng.randbytes(32)
    k_hs = handshake_key(key)
    now_ns, packet, n = SECOND_NS, b"", 0
    device = Device(DeviceConfig(1, key, "g", -1, 5), rng.randbytes)
    down: dict[int, LinkCipher] = {}
    down_seq = 1 << 48
    recorded = 0

    def welcome(out: list[ev.Effect], number: int) -> bytes | None:
        for effect in out:
            if isinstance(effect, ev.Send) and effect.hello:
                asked = control.decode(control.Hello, bytes(wire.body_of(effect.packet)))
                body = control.encode(
                    control.Welcome(
                        asked.nonce_d,
                        b"g" * 16,
                        number,
                        "g",
                        SESSION,
                        1,
                        asked.versions,
                        "recording",
                        "",
                        [],
                        [kinds.HAPTIC],
                        1,
                    )
                )
                head = wire.pack_header(wire.WELCOME, 0, wire.parse_header(effect.packet).seq, 0) + body
                keys = LinkKeys.derive(key, asked.nonce_d, b"g" * 16, 1, number, DOWN)
                down[number] = LinkCipher(keys)
                return head + tag(k_hs, head)
        return None

    try:
        out = device.step(ev.Start(), now_ns)
        for n in rounds(count):
            now_ns += rng.randrange(50_000_000)
            if made := welcome(out, 1000 + n):
                packet = made if rng.random() < 0.8 else spoil(rng, made, seeds)
                out = device.step(ev.Received(packet), now_ns)
            link = device.current
            if link is not None and link.number in down:
                recorded += 1
                cipher = down[link.number]
                down_seq += 1
                sent = link.next_seq
                body = rng.choice(
                    (
                        control.encode(
                            control.Receipt(
                                [(1, b"r" * 32, [0, rng.randrange(sent + 2)])],
                                [("closed", [sent + 1, 2**60])],
                                [(rng.randrange(sent + 1), 0, "overlap")],
                                [(0, 1, 1, 0, 0)],
                            )
                        ),
                        control.encode(
                            control.Command(rng.choice(sorted(control.COMMANDS)), [rng.choice((0.5, 3, "x"))])
                        ),
                        control.encode(control.ProbeReply(now_ns, rng.getrandbits(63), rng.getrandbits(63))),
                        rng.choice(bodies),
                    )
                )
                if rng.random() < 0.7:
                    body = spoil(rng, body, bodies)
                kind = rng.choice((wire.RECEIPT, wire.COMMAND, wire.SYNC, wire.RESET, rng.randrange(1, 11)))
                body = body[:1000]
                if kind == wire.RESET:
                    head = wire.pack_header(kind, link.number, rng.randrange(9), 0) + body
                    packet = head + tag(k_hs, head)
                else:
                    head = wire.pack_header(kind, link.number, down_seq, 0) + cipher.crypt(down_seq, body)
                    packet = head + cipher.tag(head)
                if rng.random() < 0.2:
                    packet = spoil(rng, packet, seeds)
                out = device.step(ev.Received(packet), now_ns)
                samples = bytes(kinds.KINDS[kinds.HAPTIC].sample_bytes)
                device.capture(0, kinds.HAPTIC, samples, 1, now_ns)
            else:
                packet = spoil(rng, rng.choice(seeds), seeds)
                out = device.step(ev.Received(packet), now_ns)
            if not any(isinstance(effect, ev.Send) and effect.hello for effect in out):
                out = device.step(ev.Tick(), now_ns)
            if device.status()["state"] == "not_recording" and rng.random() < 0.05:
                out += device.step(ev.Resume(), now_ns)
            assert len(device.links) <= control.MAX_LINKS
            if n % 20_000 == 19_999:
                device = Device(DeviceConfig(1, key, "g", n, 5), rng.randbytes)
                out = device.step(ev.Start(), now_ns)
    except BaseException as error:
        error.add_note(f"VESTIBULE_FUZZ_SEED={run}, packet {n}: {packet.hex()}")
        raise
    assert recorded > n / 20, "the device hardly ever had a link"


@pytest.mark.slow
def test_the_device_takes_anything() -> None:
    fuzz_device(None)


@pytest.mark.torture
def test_the_device_takes_a_million_of_anything() -> None:
    fuzz_device(MILLION)


def test_a_pairing_device_believes_no_paired_but_its_own() -> None:
    run = seed()
    rng = random.Random(run)
    vectors = [packet for packet, _, _ in vector_packets()]
    nonce = b"n" * 16
    body = control.encode(control.Paired(nonce, b"g" * 16, 7, "home"))
    head = wire.pack_header(wire.PAIRED, 0, 0, 0) + body
    good = head + tag(pairing_key(CODE.encode()), head)
    assert open_paired(CODE, good, nonce).device == 7
    for n in range(3000):
        packet = spoil(rng, good, vectors)
        if n % 2:
            packet = packet[:-16] + tag(pairing_key(CODE.encode()), packet[:-16])
        try:
            paired = open_paired(CODE, packet, nonce)
        except (WireError, SignatureError):
            continue
        assert packet[-16:] == tag(pairing_key(CODE.encode()), packet[:-16]), run
        assert paired.device > 0


def parse_everything(data: bytes) -> None:
    """Each parser of what comes from outside gives a value or a WireError."""
    refused: list[WireError] = []
    for parse in (
        lambda: wire.parse_header(data),
        lambda: frame.decode_data(data),
        lambda: frame.decode_bye(data),
        lambda: frame.decode_frame(data),
        lambda: part.parse_header(data),
        lambda: part.parse_payload(data),
        *(lambda body=body: control.decode(body, data) for body in BODIES),
    ):
        try:
            value = parse()
        except WireError as error:
            refused.append(error)
            continue
        if isinstance(value, frame.Frame):
            assert frame.encode_frame(value) == data
            for kind in kinds.KINDS:
                item = frame.Frame(value.stream, kind, value.first_sample, value.samples)
                try:
                    frame.sample_count(item)
                    frame.check_samples(item)
                except WireError as error:
                    refused.append(error)
    assert all(error.code and len(str(error)) < 200 for error in refused), refused


def fuzz_parsers(count: int | None) -> None:
    run = seed()
    rng = random.Random(run)
    hall = Hall(rng)
    bodies = [body for _, _, body in vector_packets()]
    data, n = b"", 0
    try:
        for n in rounds(count):
            body = hall.valid_body()[1] if n % 2 else rng.choice(bodies)
            data = spoil(rng, body, bodies)
            parse_everything(data)
    except BaseException as error:
        error.add_note(f"VESTIBULE_FUZZ_SEED={run}, body {n}: {data.hex()}")
        raise


@pytest.mark.slow
def test_parsers_raise_only_their_own_error() -> None:
    fuzz_parsers(None)


@pytest.mark.torture
def test_parsers_raise_only_their_own_error_a_million_times() -> None:
    fuzz_parsers(MILLION)


@given(st.binary(max_size=1300))
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    parse_everything(data)


LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary()
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(TREES)
def test_any_messagepack_is_parsed_or_refused(tree: object) -> None:
    import msgpack

    parse_everything(msgpack.packb(tree))


def test_no_packet_makes_the_gateway_allocate_much() -> None:
    """Peak of one packet's way, from slab to effects, whatever lengths it claims."""
    run = seed()
    rng = random.Random(run)
    hall = Hall(rng)
    bombs = [
        b"\x93\x00\x90\xdd\xff\xff\xff\xff",
        b"\x93\x00\x90\x91\x94\x00\x04\x00\xc6\xff\xff\xff\xff",
        b"\x91" * 1100,
        b"\xdd\x7f\xff\xff\xff" * 200,
        b"\x93\x00\xdc\xff\xff" + b"\x92\x00\x00" * 300,
    ]
    worst, culprit = 0, b""
    tracemalloc.start()
    try:
        for n in range(1500):
            kind, body = hall.valid_body()
            body = bombs[n] if n < len(bombs) else spoil(rng, body, bombs)
            packet = hall.seal_up(11, wire.DATA if n < len(bombs) else kind, body)
            tracemalloc.reset_peak()
            start, _ = tracemalloc.get_traced_memory()
            hall.take(packet, ("10.0.0.1", 1))
            _, peak = tracemalloc.get_traced_memory()
            if peak - start > worst:
                worst, culprit = peak - start, packet
            if n % SEAL_EVERY == SEAL_EVERY - 1:
                hall.seal()
    finally:
        tracemalloc.stop()
    assert worst < 512 << 10, f"{worst} bytes for one packet (seed {run}): {culprit.hex()}"
