"""A device that says whatever it is told: real keys and valid tags, by hand, without the device machine's rules."""

from __future__ import annotations

import asyncio
from collections import Counter

import numpy as np

from gateway.device.config import DeviceConfig
from gateway.device.handshake import hello
from gateway.keys.link import DOWN, UP, LinkCipher, LinkKeys, handshake_key, tag, tag_matches
from gateway.wire import control, kinds
from gateway.wire import packet as wire
from gateway.wire.frame import Bye, Data, Frame, encode_bye, encode_data
from tests.sim.clinic import Gateway
from tests.sim.virtual import now_ns

Address = tuple[str, int]


def haptic(first: int, count: int, at_ns: int | None = None) -> bytes:
    """Haptic records whose effect_id is their number."""
    samples = np.zeros(count, kinds.HAPTIC_DTYPE)
    samples["t_capture_ns"] = (now_ns() if at_ns is None else at_ns) + np.arange(count)
    samples["effect_id"] = np.arange(first, first + count)
    return samples.tobytes()


def haptic_frame(first: int, count: int = 1, stream: int = 0, at_ns: int | None = None) -> Frame:
    """A frame of them."""
    return Frame(stream, kinds.HAPTIC, first, haptic(first, count, at_ns))


class Attacker:
    """One device's keys and one link.

    Args:
        gateway: who it talks to; its answers to `source` are kept.
        device, key: who it is.
        source: its address.
        clock_offset_ns: the device's clock minus the gateway's.
    """

    def __init__(
        self,
        gateway: Gateway,
        device: int,
        key: bytes,
        source: Address | None = None,
        clock_offset_ns: int = 0,
    ) -> None:
        self.gateway = gateway
        self.device, self.key = device, key
        self.source = source or (f"10.1.0.{device}", 2000 + device)
        self.clock_offset_ns = clock_offset_ns
        self.heard: list[bytes] = []
        self.heard_ns: list[int] = []
        self.receipts: list[control.Receipt] = []
        self.stored: set[int] = set()
        self.refused: dict[int, str] = {}
        self.refused_frames: list[tuple[int, int, str]] = []
        self.commands: list[tuple[int, control.Command]] = []
        self.resets: list[control.Reset] = []
        self.types: Counter[int] = Counter()
        self.hello_seq = -1
        self.hello_packet = b""
        self.welcome: control.Welcome | None = None
        self.link = 0
        self.session = b""
        self.seq = 0
        self.run = gateway.rng.getrandbits(63)
        self.totals: dict[int, int] = {}
        self._ciphers: dict[int, tuple[LinkCipher, LinkCipher]] = {}
        before = gateway.deliver

        def deliver(source: Address, packet: bytes) -> None:
            if source == self.source:
                self._received(packet)
            else:
                before(source, packet)

        gateway.deliver = deliver

    # ---- handshake --------------------------------------------------------------------------------------------

    def make_hello(
        self, versions: tuple[int, ...] = (control.VERSION,), links: tuple[int, ...] = ()
    ) -> bytes:
        """A new HELLO with the next counter."""
        self.hello_seq += 1
        config = DeviceConfig(self.device, self.key, "sim", -1, self.run, versions=versions)
        self._nonce_d = self.gateway.rng.randbytes(control.NONCE_BYTES)
        made = hello(
            config, handshake_key(self.key), self.hello_seq, self._nonce_d, links, "start", self.now_ns()
        )
        self.hello_packet = made.packet
        return made.packet

    async def handshake(self, **options: object) -> control.Welcome:
        """HELLO, and the WELCOME."""
        self.welcome = None
        self.send(self.make_hello(**options))  # type: ignore[arg-type]
        return await self.welcomed()

    async def welcomed(self) -> control.Welcome:
        """Wait for the WELCOME of the newest HELLO."""
        async with asyncio.timeout(2):
            while self.welcome is None:
                await asyncio.sleep(0.01)
        return self.welcome

    def now_ns(self) -> int:
        """The device's own clock."""
        return now_ns() + self.clock_offset_ns

    # ---- sending ----------------------------------------------------------------------------------------------

    def send(self, packet: bytes, source: Address | None = None) -> bytes:
        """Put a packet on the wire, as if from `source`."""
        self.gateway.arrive(packet, source or self.source)
        return packet

    def seal(self, kind: int, body: bytes, seq: int | None = None, link: int | None = None) -> bytes:
        """A packet of the link with a valid tag, whatever its body is."""
        link = self.link if link is None else link
        if seq is None:
            seq, self.seq = self.seq, self.seq + 1
        up = self._ciphers[link][0]
        head = wire.pack_header(kind, link, seq, self.now_ns()) + up.crypt(seq, body)
        return head + up.tag(head)

    def data_packet(
        self,
        frames: list[Frame],
        totals: dict[int, int] | None = None,
        floor: int = 0,
        seq: int | None = None,
        link: int | None = None,
    ) -> bytes:
        """DATA; without `totals` they are what the frames need."""
        if totals is None:
            totals = {}
            for frame in frames:
                kind = kinds.KINDS.get(frame.kind)
                count = 1 if kind is None or kind.variable else len(frame.samples) // kind.sample_bytes
                reach = max(self.totals.get(frame.stream, 0), frame.first_sample + count)
                totals[frame.stream] = self.totals[frame.stream] = reach
        body = encode_data(Data(floor, list(totals.items()), frames))
        return self.seal(wire.DATA, body, seq, link)

    def data(self, frames: list[Frame], **options: object) -> int:
        """Send DATA; returns its seq."""
        packet = self.send(self.data_packet(frames, **options))  # type: ignore[arg-type]
        return int.from_bytes(packet[8:16], "little")

    def raw(self, kind: int, body: bytes) -> int:
        """Send any body under a valid tag; returns its seq."""
        return int.from_bytes(self.send(self.seal(kind, body))[8:16], "little")

    def bye(self, totals: dict[int, int] | None = None, reason: str = "end") -> int:
        """Send BYE; returns its seq."""
        told = list((self.totals if totals is None else totals).items())
        return self.raw(wire.BYE, encode_bye(Bye(0, told, reason)))

    def sync(self) -> int:
        """Send a probe; returns its seq."""
        return self.raw(wire.SYNC, control.encode(control.Probe(now_ns())))

    def answer(self, seq: int, result: str = "done") -> int:
        """Answer a command; returns the answer's own seq."""
        return self.raw(wire.RECEIPT, control.encode(control.Answer([(seq, result)])))

    # ---- receiving --------------------------------------------------------------------------------------------

    def _received(self, packet: bytes) -> None:
        self.heard.append(packet)
        self.heard_ns.append(now_ns())
        header = wire.parse_header(packet)
        self.types[header.type] += 1
        if header.type == wire.WELCOME:
            assert tag_matches(handshake_key(self.key), packet)
            self._welcomed(control.decode(control.Welcome, bytes(wire.body_of(packet))))
        elif header.type == wire.RESET:
            assert tag_matches(handshake_key(self.key), packet)
            self.resets.append(control.decode(control.Reset, bytes(wire.body_of(packet))))
        elif header.link in self._ciphers:
            down = self._ciphers[header.link][1]
            assert down.matches(packet)
            body = down.crypt(header.seq, wire.body_of(packet))
            if header.type == wire.RECEIPT:
                self._receipt(control.decode(control.Receipt, body))
            elif header.type == wire.COMMAND:
                self.commands.append((header.seq, control.decode(control.Command, body)))

    def _welcomed(self, welcome: control.Welcome) -> None:
        self.welcome = welcome
        if welcome.nonce_d != self._nonce_d or welcome.link in self._ciphers or not welcome.link:
            return
        keys = (self.key, welcome.nonce_d, welcome.nonce_g, self.device, welcome.link)
        self._ciphers[welcome.link] = (
            LinkCipher(LinkKeys.derive(*keys, UP)),
            LinkCipher(LinkKeys.derive(*keys, DOWN)),
        )
        self.link, self.session, self.seq = welcome.link, welcome.session, 0

    def _receipt(self, receipt: control.Receipt) -> None:
        self.receipts.append(receipt)
        for _, _, ranges in receipt.stored:
            for first, last in zip(ranges[::2], ranges[1::2], strict=True):
                assert last - first < 100_000
                self.stored.update(range(first, last + 1))
        for reason, ranges in receipt.refused:
            for first, last in zip(ranges[::2], ranges[1::2], strict=True):
                self.refused.update(dict.fromkeys(range(first, min(last, first + 100_000) + 1), reason))
        self.refused_frames += receipt.frames

    def retag(self, packet: bytes) -> bytes:
        """Any bytes with a valid tag of the link."""
        head = packet[: -wire.TAG_BYTES]
        return head + self._ciphers[self.link][0].tag(head)

    def retag_hello(self, packet: bytes) -> bytes:
        """Any bytes with a valid tag of the handshake key."""
        head = packet[: -wire.TAG_BYTES]
        return head + tag(handshake_key(self.key), head)
