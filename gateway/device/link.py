"""The device's side of one link: keys, numbers, what it sealed and what the gateway said about it.

Source: VT1, "Packet", "Delivery". A link never changes its keys, its session or its run; nothing that was sealed is
ever encrypted again, for this link or another.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from gateway.device.account import Account, samples_in
from gateway.device.config import MS, DeviceConfig
from gateway.device.events import Effect, RefusedFrame, RefusedPackets, Settled, Stored
from gateway.device.ring import Held, Ring, Span
from gateway.device.seen import Seen
from gateway.device.spool import KeptLink, LinkCard
from gateway.errors import SignatureError, WireError
from gateway.keys.link import DOWN, UP, LinkCipher, LinkKeys, tag_matches
from gateway.wire import control
from gateway.wire import packet as wire
from gateway.wire.frame import Bye, encode_bye

REMEMBERED_TAGS: Final = (
    64  # of packets that are not held (SYNC, answers), so that a RESET may name one: 16 s of SYNC
)
REMEMBERED_ANSWERS: Final = 64  # COMMANDs whose copies are answered again
REMEMBERED_REFUSALS: Final = (
    1024  # refused frames told to the app, so that a repeated receipt tells them once
)
ANSWER_AGAIN_NS: Final = 100 * MS  # whoever replays a COMMAND cannot make the device send more than 10/s


class Link:
    """One link.

    Args:
        config: of the device.
        account: where its samples are counted.
        card: what the link is known by.
        up: cipher of the uplink; None for a link of an earlier run, on which nothing is sealed any more.
        k_hs: handshake key of the K_dev that the link was made with: RESET is tagged with it.
        state: `recording` or `waiting`.
        reason: the WELCOME's.
        now_ns: device time.
    """

    def __init__(
        self,
        config: DeviceConfig,
        account: Account,
        card: LinkCard,
        up: LinkCipher | None,
        k_hs: bytes,
        state: str,
        reason: str,
        now_ns: int,
    ) -> None:
        self.account = account
        self.card = card
        self.number = card.link
        self.session = card.session
        self.gateway = card.gateway
        self.recording = state == control.RECORDING
        """False for a link welcomed as waiting: it carries SYNC and BYE only."""
        self.reason = reason
        self.hold = ""
        """Why the gateway stores nothing at present; empty while it may."""
        self.unsaid = up is None
        """No BYE will reach the gateway: its end has to be told by a HELLO that does not name it."""
        # A waiting link has no session, and nothing to lose but its BYE: the next HELLO tells its end as well.
        self.ring = Ring(
            config.resend_delays_ns, config.hurry_after, spool=config.spool_bytes > 0 and self.recording
        )
        self.next_seq = 0
        self.ended = up is None
        """BYE was sealed, or the app that could seal it is gone; what is held drains."""
        self.asked = False
        """A HELLO asked for this link, since nothing was heard on it."""
        self.heard_ns = now_ns
        """When something authentic and fresh last came, or the link began."""
        self.probe_ns = now_ns
        """While nothing is heard: when one packet may be sent again to see whether anybody is there."""
        self.answers: OrderedDict[int, tuple[str, int]] = OrderedDict()
        """COMMAND seq -> result and when it was told."""
        self.totals: dict[int, tuple[int, int, int, int]] = {}
        """The gateway's totals by stream: total, stored, refused, missing."""
        self._silence_ns = config.silence_ms * MS
        self._up = up
        self._down = LinkCipher(card.down)
        self._k_hs = k_hs
        self._seen = Seen()
        self._tags: OrderedDict[int, bytes] = OrderedDict()
        self._told: OrderedDict[tuple[int, int], None] = OrderedDict()

    @classmethod
    def welcomed(
        cls,
        config: DeviceConfig,
        account: Account,
        k_hs: bytes,
        nonce_d: bytes,
        welcome: control.Welcome,
        now_ns: int,
    ) -> Link:
        """A link that a WELCOME made.

        Args:
            config: of the device; its key is that of the HELLO.
            account: where its samples are counted.
            k_hs: handshake key of the HELLO.
            nonce_d: the nonce of the HELLO.
            welcome: the answer.
            now_ns: device time.
        """
        nonces = (nonce_d, welcome.nonce_g)
        up, down = (
            LinkKeys.derive(config.key, *nonces, config.device, welcome.link, way) for way in (UP, DOWN)
        )
        card = LinkCard(
            config.device, config.run, welcome.link, welcome.session, welcome.gateway, up.k_mac, down
        )
        return cls(config, account, card, LinkCipher(up), k_hs, welcome.state, welcome.reason, now_ns)

    @classmethod
    def restored(
        cls, config: DeviceConfig, account: Account, k_hs: bytes, kept: KeptLink, now_ns: int
    ) -> Link:
        """A link of an earlier run: it only drains."""
        link = cls(config, account, kept.card, None, k_hs, control.RECORDING, "", now_ns)
        for packet in kept.packets:
            account.captured += packet.samples
            link.ring.restore(packet.seq, packet.samples, packet.size, packet.tag, now_ns, final=packet.final)
            link.next_seq = packet.seq + 1
            link.unsaid = link.unsaid and not packet.final
        return link

    @property
    def restored_only(self) -> bool:
        """Whether it is of an earlier run."""
        return self._up is None

    def silent(self, now_ns: int) -> bool:
        """Whether nothing was heard for so long that resends shrink to probes."""
        return now_ns - self.heard_ns >= self._silence_ns

    def heard(self, now_ns: int) -> None:
        """Something authentic and fresh came on this link."""
        self.heard_ns = now_ns
        self.asked = False

    # What the link sends.

    def data(self, body: bytes, spans: tuple[Span, ...], now_ns: int) -> bytes:
        """Seal DATA and keep it; `body` was made with `ring.floor(next_seq)`."""
        seq, packet = self._seal(wire.DATA, body, now_ns)
        self.ring.add(seq, packet, spans, now_ns)
        return packet

    def bye(self, totals: list[tuple[int, int]], reason: str, now_ns: int) -> bytes:
        """Seal BYE, the link's last packet, and keep it until it has its receipt.

        Args:
            totals: of all streams of the session.
            reason: a word of `BYE_REASONS`.
            now_ns: device time.
        """
        body = encode_bye(Bye(self.ring.floor(self.next_seq), totals, reason))
        seq, packet = self._seal(wire.BYE, body, now_ns)
        self.ring.add(seq, packet, (), now_ns, final=True)
        self.ended = True
        return packet

    def probe(self, now_ns: int) -> bytes:
        """Seal a SYNC probe; it is never sent again."""
        return self._seal_unheld(wire.SYNC, control.encode(control.Probe(now_ns)), now_ns)

    def answer(self, seq: int, result: str, now_ns: int) -> bytes:
        """Seal the answer to a COMMAND, and remember it for copies."""
        self.answers[seq] = (result, now_ns)
        self.answers.move_to_end(seq)
        if len(self.answers) > REMEMBERED_ANSWERS:
            self.answers.popitem(last=False)
        return self._seal_unheld(wire.RECEIPT, control.encode(control.Answer([(seq, result)])), now_ns)

    def answer_again(self, seq: int, now_ns: int) -> bytes | None:
        """The same answer for a copy of a COMMAND; None when there was none, or a moment ago."""
        result, told_ns = self.answers.get(seq, ("", now_ns))
        if now_ns - told_ns < ANSWER_AGAIN_NS:
            return None
        return self.answer(seq, result, now_ns)

    def _seal(self, kind: int, body: bytes, now_ns: int) -> tuple[int, bytes]:
        assert self._up is not None, "nothing is sealed on a link of an earlier run"
        seq = self.next_seq
        self.next_seq += 1
        head = wire.pack_header(kind, self.number, seq, now_ns) + self._up.crypt(seq, body)
        return seq, head + self._up.tag(head)

    def _seal_unheld(self, kind: int, body: bytes, now_ns: int) -> bytes:
        seq, packet = self._seal(kind, body, now_ns)
        self._tags[seq] = packet[-wire.TAG_BYTES :]
        if len(self._tags) > REMEMBERED_TAGS:
            self._tags.popitem(last=False)
        return packet

    # What the link receives.

    def is_authentic(self, packet: bytes) -> bool:
        """Whether the tag is the gateway's, by this link's downlink key."""
        return self._down.matches(packet)

    def is_fresh(self, seq: int) -> bool:
        """Remember the seq of an authentic packet; False for a copy."""
        return self._seen.add(seq)

    def decrypt(self, header: wire.Header, packet: bytes) -> bytes:
        """The body of an authentic packet."""
        return self._down.crypt(header.seq, wire.body_of(packet))

    def open_reset(self, packet: bytes) -> control.Reset:
        """Check a RESET of this link.

        Args:
            packet: the whole packet.

        Raises:
            SignatureError: `bad_tag`.
            WireError: `not_mine` when it names no packet of this link, so that one RESET cannot be made from another.
        """
        if not tag_matches(self._k_hs, packet):
            raise SignatureError("bad_tag", "a RESET with a wrong tag")
        reset = control.decode(control.Reset, bytes(wire.body_of(packet)))
        held = self.ring.get(reset.seq)
        known = held.tag if held is not None else self._tags.get(reset.seq)
        if known != reset.tag:
            raise WireError("not_mine", "a RESET for a packet that was not sent")
        return reset

    def settle(self, receipt: control.Receipt, now_ns: int) -> list[Effect]:
        """Take out of the ring what a receipt names; idempotent.

        Args:
            receipt: from the gateway.
            now_ns: device time.

        Returns:
            `Stored`, `RefusedPackets` and `RefusedFrame` for what is news, and `Settled` for what the spool has of it.
        """
        effects: list[Effect] = []
        account = self.account
        covered = -1
        if any(ranges for _, _, ranges in receipt.stored):
            self.hold = ""
        # Frames first: their packets leave the ring below, and with them how many samples they held.
        for seq, stream, reason in receipt.frames:
            self._refuse_frame(seq, stream, reason, effects)
        for batch, root, ranges in receipt.stored:
            for first, last in zip(ranges[::2], ranges[1::2], strict=True):
                covered = max(covered, last)
                if gone := self.ring.remove(first, last):
                    account.stored += samples_in(gone)
                    effects.append(Stored(gone[0].seq, gone[-1].seq, batch, root, self.number, len(gone)))
                    self.settled(gone, effects)
        for reason, ranges in receipt.refused:
            for first, last in zip(ranges[::2], ranges[1::2], strict=True):
                covered = max(covered, last)
                if gone := self.ring.remove(first, last):
                    account.refused[reason] += samples_in(gone)
                    effects.append(RefusedPackets(reason, gone[0].seq, gone[-1].seq, self.number, len(gone)))
                    self.settled(gone, effects)
        for stream, total, stored, refused, missing in receipt.totals:
            if total >= self.totals.get(stream, (0, 0, 0, 0))[0]:
                self.totals[stream] = (total, stored, refused, missing)
        if covered >= 0:
            self.ring.hurry(min(covered, self.next_seq - 1), now_ns)
        return effects

    def settled(self, gone: list[Held], effects: list[Effect]) -> None:
        """Tell the spool of packets that left the ring, if it has any of them."""
        kept = [held.seq for held in gone if held.kept]
        if kept:
            effects.append(Settled(self.number, kept[0], kept[-1]))

    def _refuse_frame(self, seq: int, stream: int, reason: str, effects: list[Effect]) -> None:
        if (seq, stream) in self._told or not 0 <= seq < self.next_seq:
            return
        self._told[seq, stream] = None
        if len(self._told) > REMEMBERED_REFUSALS:
            self._told.popitem(last=False)
        effects.append(RefusedFrame(reason, seq, stream, self.number))
        held = self.ring.get(seq)
        if held is not None:
            count = sum(count for of, _, count in held.spans if of == stream)
            self.account.refused[reason] += count
            self.account.stored -= count  # the packet is counted as stored whole when it leaves the ring
