"""The gateway's end of VT1 as a device sees it, made of wire and keys alone, and a rig that runs a device against it.

Nothing here is code of the gateway: it is the oracle that device tests measure with.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.device.account import samples_in
from gateway.device.config import DeviceConfig
from gateway.device.events import (
    Dropped,
    Effect,
    Event,
    Keep,
    Persist,
    PersistKey,
    Received,
    Restored,
    Send,
    SendKept,
    Settled,
    SpoolLost,
    Tick,
)
from gateway.device.machine import Device
from gateway.device.spool import KeptLink, KeptPacket, in_order
from gateway.keys.link import DOWN, UP, LinkCipher, LinkKeys, handshake_key, tag, tag_matches
from gateway.wire import control, kinds
from gateway.wire import packet as wire
from gateway.wire.frame import Bye, Data, check_samples, decode_bye, decode_data, sample_count

MS = 1_000_000
S = 1_000 * MS
KEY = bytes(range(32))
SESSION = b"s" * 16
BOOT = 3 << 48
ALL_KINDS = sorted(kinds.KINDS)


def config(**changes: object) -> DeviceConfig:
    values: dict[str, object] = {"device": 7, "key": KEY, "home": "home", "hello_seq": 4, "run": 99}
    return DeviceConfig(**(values | changes))  # type: ignore[arg-type]


@dataclass
class FarLink:
    """What the gateway's end knows of a link."""

    number: int
    session: bytes
    state: str
    up: LinkCipher
    down: LinkCipher
    got: dict[int, bytes] = field(default_factory=dict)
    """seq -> packet, DATA and BYE only."""
    bodies: dict[int, Data | Bye] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)
    copies: int = 0
    types: list[int] = field(default_factory=list)
    answers: list[tuple[int, str]] = field(default_factory=list)
    seq: int = BOOT


class OtherSide:
    """Answers HELLO, reads packets, makes downlink packets."""

    def __init__(self, key: bytes = KEY, device: int = 7) -> None:
        self.key, self.device = key, device
        self.k_hs = handshake_key(key)
        self.next_key = b""
        """Taken from the first HELLO under it on."""
        self.links: dict[int, FarLink] = {}
        self.hellos: list[tuple[int, control.Hello]] = []
        self.state = control.RECORDING
        self.session = SESSION
        self.reason = ""
        self.kinds = ALL_KINDS
        self.kept: Callable[[int], bool] = lambda link: link in self.links
        self.batch = 0

    def welcome(self, packet: bytes, **changes: object) -> bytes:
        header = wire.parse_header(packet)
        assert header.type == wire.HELLO
        assert len(packet) == wire.HELLO_BYTES
        if self.next_key and tag_matches(handshake_key(self.next_key), packet):
            self.key, self.next_key = self.next_key, b""
            self.k_hs = handshake_key(self.key)
        assert tag_matches(self.k_hs, packet)
        hello = control.decode(control.Hello, bytes(wire.body_of(packet)))
        assert hello.device == self.device
        self.hellos.append((header.seq, hello))
        number = len(self.links) + 101
        nonce_g = number.to_bytes(16, "big")
        recording = self.state == control.RECORDING
        values: dict[str, object] = {
            "nonce_d": hello.nonce_d,
            "nonce_g": nonce_g,
            "link": number,
            "gateway": "gate",
            "session": self.session if recording else b"",
            "version": 1,
            "offered": hello.versions,
            "state": self.state,
            "reason": self.reason,
            "kept": [link for link in hello.links if self.kept(link)],
            "kinds": self.kinds if recording else [],
            "at_ms": 1_700_000_000_000,
        }
        if self.state == control.REFUSED:
            values |= {"nonce_g": b"", "link": 0}
        else:
            keys = [
                LinkKeys.derive(self.key, hello.nonce_d, nonce_g, self.device, number, way)
                for way in (UP, DOWN)
            ]
            self.links[number] = FarLink(
                number, self.session, self.state, LinkCipher(keys[0]), LinkCipher(keys[1])
            )
        link = values["link"]
        assert isinstance(link, int)
        head = wire.pack_header(wire.WELCOME, link, header.seq, 5)
        head += control.encode(control.Welcome(**(values | changes)))  # type: ignore[arg-type]
        assert len(head) + 16 <= wire.HELLO_BYTES
        return head + tag(self.k_hs, head)

    def read(
        self, packet: bytes, max_bytes: int = wire.MAX_DATAGRAM_BYTES
    ) -> tuple[FarLink, wire.Header, bytes]:
        """Check tag and header of an uplink packet; remember DATA and BYE after checking them in full."""
        header = wire.parse_header(packet, max_bytes)
        assert header.type in wire.UPLINK
        link = self.links[header.link]
        assert link.up.matches(packet)
        body = link.up.crypt(header.seq, wire.body_of(packet))
        link.types.append(header.type)
        if header.type in (wire.DATA, wire.BYE):
            assert link.state == control.RECORDING or header.type == wire.BYE
            if header.seq in link.got:
                assert link.got[header.seq] == packet, "a resend is the same bytes"
                link.copies += 1
            else:
                link.got[header.seq] = packet
                link.bodies[header.seq] = _checked(header, body)
        elif header.type == wire.RECEIPT:
            link.answers += control.decode(control.Answer, body).commands
        return link, header, body

    def down(self, link: FarLink, kind: int, body: bytes, seq: int | None = None) -> bytes:
        if seq is None:
            link.seq += 1
            seq = link.seq
        head = wire.pack_header(kind, link.number, seq, 5) + link.down.crypt(seq, body)
        return head + link.down.tag(head)

    def receipt(
        self,
        link: FarLink,
        stored: list[tuple[int, bytes, list[int]]] | None = None,
        refused: list[tuple[str, list[int]]] | None = None,
        frames: list[tuple[int, int, str]] | None = None,
        totals: list[tuple[int, int, int, int, int]] | None = None,
    ) -> bytes:
        body = control.Receipt(stored or [], refused or [], frames or [], totals or [])
        return self.down(link, wire.RECEIPT, control.encode(body))

    def commit(self, link: FarLink) -> bytes | None:
        """Receipt for all that came and has none yet."""
        fresh = sorted(link.got.keys() - link.done)
        if not fresh:
            return None
        self.batch += 1
        link.done.update(fresh)
        return self.receipt(link, [(self.batch, bytes(32), ranges(fresh))])

    def command(self, link: FarLink, verb: str, *args: int | float | str, seq: int | None = None) -> bytes:
        return self.down(link, wire.COMMAND, control.encode(control.Command(verb, list(args))), seq)

    def reset(
        self, link: int, packet: bytes, reason: str = "ended", key: bytes = b"", **changes: object
    ) -> bytes:
        values: dict[str, object] = {
            "seq": wire.parse_header(packet).seq,
            "tag": packet[-16:],
            "reason": reason,
        }
        head = wire.pack_header(wire.RESET, link, 0, 5)
        head += control.encode(control.Reset(**(values | changes)))  # type: ignore[arg-type]
        return head + tag(handshake_key(key or self.key), head)

    def samples(self, session: bytes = SESSION) -> dict[int, list[tuple[int, int]]]:
        """(first, count) of every frame received, by stream, ascending."""
        found: dict[int, list[tuple[int, int]]] = {}
        for link in self.links.values():
            for body in link.bodies.values():
                if link.session == session and isinstance(body, Data):
                    for frame in body.frames:
                        found.setdefault(frame.stream, []).append((frame.first_sample, sample_count(frame)))
        return {stream: sorted(spans) for stream, spans in found.items()}

    def bye(self, link: int) -> Bye | None:
        return next((body for body in self.links[link].bodies.values() if isinstance(body, Bye)), None)


def _checked(header: wire.Header, body: bytes) -> Data | Bye:
    if header.type == wire.BYE:
        bye = decode_bye(body)
        assert bye.floor <= header.seq
        return bye
    data = decode_data(body)
    assert data.floor <= header.seq
    assert data.frames
    totals = dict(data.totals)
    assert len(totals) == len(data.totals)
    for frame in data.frames:
        assert totals[frame.stream] >= frame.first_sample + sample_count(frame)
        check_samples(frame)
    return data


def balanced(rig: Rig) -> bool:
    """Whether every sample of the device is accounted for."""
    device = rig.device
    unsealed = device.status()["unsealed"]
    assert isinstance(unsealed, int)
    for account, more in ((device.account, unsealed), (device.earlier, 0)):
        held = sum(
            samples_in([one])
            for link in device.links
            if link.account is account
            for seq in range(link.next_seq)
            if (one := link.ring.get(seq))
        )
        gone = account.stored + sum(account.refused.values()) + sum(account.lost.values())
        if account.captured != gone + held + more:
            return False
    return True


def _kept(keep: Keep) -> KeptPacket:
    header = wire.parse_header(keep.packet)
    return KeptPacket(keep.seq, keep.samples, len(keep.packet), keep.packet[-16:], header.type == wire.BYE)


def ranges(seqs: list[int]) -> list[int]:
    """Ascending numbers as first, last, first, last ..."""
    flat: list[int] = []
    for seq in seqs:
        if flat and seq == flat[-1] + 1:
            flat[-1] = seq
        else:
            flat += (seq, seq)
    return flat


@dataclass
class Rig:
    """A device, the other side, and a network between them, in virtual time.

    Args:
        far: the other side.
        device: the device.
        up, down: whether packets get through; `lose` decides on single uplink packets.
        commit_ns: how often the other side sends receipts.
        delay_ns: of the network, each way.
    """

    far: OtherSide
    device: Device
    now: int = 10 * S
    up: bool = True
    down: bool = True
    lose: Callable[[wire.Header], bool] = lambda header: False
    commit_ns: int = S
    delay_ns: int = MS
    sent: list[tuple[int, bytes]] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    persisted: list[int] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    """The device's storage of keys: the last is the one it would start with."""
    spool: dict[int, dict[int, Keep]] = field(default_factory=dict)
    """Its spool, by link and seq; what is settled is gone at once."""
    max_bytes: int = wire.MAX_DATAGRAM_BYTES
    _queue: list[tuple[int, bytes]] = field(default_factory=list)
    _next_commit: int = 0

    @classmethod
    def make(cls, far: OtherSide | None = None, **changes: object) -> Rig:
        made = config(**changes)
        return cls(far or OtherSide(), Device(made, random.Random(1).randbytes), max_bytes=made.packet_bytes)

    def restart(self, **changes: object) -> None:
        """The app was killed and starts again: what it kept is what it knows."""
        kept = {
            "hello_seq": self.persisted[-1] if self.persisted else 4,
            "key": self.keys[-1] if self.keys else KEY,
            "run": self.device.config.run + 1,
            "spool_bytes": self.device.config.spool_bytes,
        }
        self.device = Device(config(**(kept | changes)), random.Random(self.now).randbytes)
        self._queue.clear()
        for number, packets in sorted(self.spool.items()):
            if packets:
                card = next(iter(packets.values())).card
                assert card.link == number
                self.step(Restored(KeptLink(card, in_order(map(_kept, packets.values())))))

    def step(self, event: Event) -> list[Effect]:
        effects = self.device.step(event, self.now)
        self.perform(effects)
        return effects

    def capture(self, stream: int, kind: int, count: int = 1, samples: bytes | None = None) -> list[Effect]:
        data = bytes(count * kinds.KINDS[kind].sample_bytes) if samples is None else samples
        effects = self.device.capture(stream, kind, data, count, self.now)
        self.perform(effects)
        return effects

    def perform(self, effects: list[Effect]) -> None:
        self.effects += effects
        for effect in effects:
            if isinstance(effect, Persist):
                self.persisted.append(effect.hello_seq)
            elif isinstance(effect, PersistKey):
                self.keys.append(effect.key)
            elif isinstance(effect, Send):
                self._send(effect.packet, hello=effect.hello)
            elif isinstance(effect, Keep):
                assert effect.seq not in self.spool.setdefault(effect.card.link, {}), "kept once"
                assert effect.packet
                self.spool[effect.card.link][effect.seq] = effect
            elif isinstance(effect, SendKept):
                kept = self.spool.get(effect.link, {}).get(effect.seq)
                if kept is None:
                    self.step(SpoolLost(effect.link, effect.seq))
                else:
                    self._send(kept.packet)
            elif isinstance(effect, Settled):
                for seq in [seq for seq in self.spool[effect.link] if effect.first <= seq <= effect.last]:
                    del self.spool[effect.link][seq]
            elif isinstance(effect, Dropped):
                self.spool.pop(effect.link, None)

    def _send(self, packet: bytes, *, hello: bool = False) -> None:
        self.sent.append((self.now, packet))
        header = wire.parse_header(packet, self.max_bytes)
        if hello:
            assert self.persisted, "the counter is kept before its HELLO leaves"
            assert self.persisted[-1] == header.seq
        if self.up and not self.lose(header):
            self._answer(packet, header)

    def _answer(self, packet: bytes, header: wire.Header) -> None:
        if header.type == wire.HELLO:
            if not self.far.hellos or self.far.hellos[-1][0] < header.seq:
                self.reply(self.far.welcome(packet))
            return
        if header.link not in self.far.links or not self.far.links[header.link].up.matches(packet):
            return
        link, _, body = self.far.read(packet, self.max_bytes)
        if header.type == wire.SYNC:
            probe = control.decode(control.Probe, body)
            arrived = self.now + self.delay_ns + 1_000 * S  # its clock is 1,000 s ahead
            reply = control.ProbeReply(probe.t1_ns, arrived, arrived + 10)
            self.reply(self.far.down(link, wire.SYNC, control.encode(reply)))

    def reply(self, packet: bytes) -> None:
        """Send a packet to the device; it arrives after both ways' delays."""
        if self.down:
            self._queue.append((self.now + 2 * self.delay_ns, packet))

    def give(self, packet: bytes) -> list[Effect]:
        """Let a packet arrive at the device at once."""
        return self.step(Received(packet))

    def run(self, for_ns: int, feed: Callable[[Rig], None] | None = None, every_ns: int = 0) -> None:
        """Let time pass; `feed` is called every `every_ns`."""
        end = self.now + for_ns
        next_feed = self.now if feed else end + 1
        idle_ticks = 0
        while True:
            times = [end, *([next_feed] if feed else [])]
            times += [at for at, _ in self._queue[:1]]
            if self.commit_ns and self.up:
                times.append(max(self._next_commit, self.now))
            if self.device.wake_at is not None:
                times.append(max(self.device.wake_at, self.now))
            at = min(times)
            idle_ticks = idle_ticks + 1 if at == self.now else 0
            assert idle_ticks < 1_000, "the device wants Ticks without end"
            self.now = at
            if self._queue and self._queue[0][0] <= at:
                self.give(self._queue.pop(0)[1])
            elif self.device.wake_at is not None and self.device.wake_at <= at:
                self.step(Tick())
            elif self.commit_ns and self.up and self._next_commit <= at:
                self._next_commit = at + self.commit_ns
                for link in self.far.links.values():
                    if (packet := self.far.commit(link)) is not None:
                        self.reply(packet)
            elif feed and next_feed <= at < end:
                feed(self)
                next_feed += every_ns
            elif at >= end:
                return

    def of(self, kind: type[Effect]) -> list[Effect]:
        """All effects of a class so far."""
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def sent_of(self, kind: int) -> list[bytes]:
        """Packets of a type, in the order they were sent, resends included."""
        return [packet for _, packet in self.sent if packet[3] == kind]
