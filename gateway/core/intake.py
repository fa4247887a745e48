"""Hop 2, admit: from a slab of arrivals to frames that may be sealed, and refusals with a counted reason.

The order of checks is VT1's: length and magic, then the link; for a known link the tag, the device's rate, seen or
done, decrypt, parse; for PAIR, HELLO and unknown links the rate by source address, then the tag. A stranger gets no
answer. Whatever is refused is counted under its reason and costs nothing else.

State changes of sessions and devices come in through `core/registry`, which shares its tables with the intake. What a
commit must make durable is named in `writes`; answers that wait for it stand in `answers`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.core import handshake
from gateway.core.admission import Admission, AskPermit
from gateway.core.effects import Acknowledge, AdmittedPacket, Arrival, Effect, MqttSource, Send, Source
from gateway.core.link import MAX_SEQ_JUMP, Link
from gateway.core.ranges import STORED, Ranges
from gateway.core.rates import Buckets
from gateway.core.receipts import receipts
from gateway.core.registry import Registry
from gateway.errors import WireError
from gateway.wire import control, frame
from gateway.wire import packet as wire

# MQTT 5 reason codes for what is refused before its tag is verified (VT1, "MQTT").
MQTT_MALFORMED: Final = 0x99
MQTT_NOT_AUTHORIZED: Final = 0x87
MQTT_IMPLEMENTATION: Final = 0x83

MQTT_QUOTA: Final = 0x97

BAD_TAGS_S: Final = 4  # of one source for one link; then its packets for that link are dropped unread
SUSPECT_NS: Final = 10_000_000_000  # how long a link's senders are looked up after a bad tag
HELLOS_S: Final = 5  # new HELLOs of one device: each is a commit
FRAMES_A_TOKEN: Final = 8  # frames that a packet carries at the price of a packet
REMIND_EVERY_NS: Final = 5_000_000_000  # how often a link that missed its COMMAND is told again


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what one sender may cost.

    Args:
        stranger_packets_s: PAIR, HELLO and unknown links, for each source address.
        streams_per_link: streams that one link may name.
    """

    stranger_packets_s: float = 20
    streams_per_link: int = 64


class Intake:
    """The machine that every packet goes through.

    Args:
        registry: devices, sessions, links and streams.
        permit: `permit(session, kind, now_ns)`; asked once for each (session, kind) while its answer stands.
        permit_version: the version of the rules now in force.
        limits: bounds.
    """

    def __init__(
        self, registry: Registry, permit: AskPermit, permit_version: Callable[[], int], limits: Limits
    ) -> None:
        self.registry = registry
        self.admission = Admission(registry, permit, permit_version, limits.streams_per_link)
        self._strangers = Buckets(limits.stranger_packets_s, 2 * limits.stranger_packets_s)
        self._bad_tags = Buckets(BAD_TAGS_S, 4 * BAD_TAGS_S)
        self._hellos = Buckets(HELLOS_S, 4 * HELLOS_S)
        self.refused: Counter[str] = Counter()
        self.accepted = 0
        """Fresh packets of known links that were not refused whole. What was sent on links = these + refused + copies
        + shed + what the kernel dropped; HELLO and PAIR that are answered show in `welcomed` and among the devices."""
        self.admitted: list[AdmittedPacket] = []
        self.tickets: list[object] = []
        self.owed = False
        """Whether a device waits for a receipt that no admitted frame brings about."""
        self._now_ns = 0
        self._now_ms = 0
        self._effects: list[Effect] = []

    def step(self, slab: Sequence[Arrival], now_ns: int, now_ms: int) -> list[Effect]:
        """Take a slab of arrivals.

        Args:
            slab: in order of arrival.
            now_ns: monotonic.
            now_ms: UTC.

        Returns:
            What to do at once. Frames go to `admitted`, tickets to acknowledge after the commit to `tickets`,
            what a commit must write to `registry.staged`, and what waits for it to `registry.answers`.
        """
        self._now_ns, self._now_ms = now_ns, now_ms
        effects: list[Effect] = []
        self._effects = effects
        self.admission.begin()
        links = self.registry.links
        for arrival in slab:
            packet = arrival.packet
            mqtt = type(arrival.source) is MqttSource
            try:
                header = wire.parse_header(packet, wire.MAX_MQTT_BYTES if mqtt else wire.MAX_DATAGRAM_BYTES)
            except WireError as error:
                self._drop(error.code, arrival, MQTT_MALFORMED)
                continue
            link = links.get(header.link)
            if link is not None:
                self._known(link, header, arrival)
            elif header.link or header.type not in (wire.PAIR, wire.HELLO):
                self._stranger("unknown_link", arrival)
            elif header.type == wire.HELLO:
                self._hello(header, arrival)
            else:
                self._pair(header, arrival)
        return effects

    # ---- strangers -------------------------------------------------------------------------------------------

    def _drop(self, reason: str, arrival: Arrival, mqtt_code: int) -> None:
        self.refused[reason] += 1
        if arrival.ticket is not None:
            self._effects.append(Acknowledge(arrival.ticket, mqtt_code))

    def _stranger(self, reason: str, arrival: Arrival) -> None:
        """An unknown link: silence; the device comes back with HELLO."""
        self._drop(reason, arrival, MQTT_NOT_AUTHORIZED)

    def _by_address(self, arrival: Arrival) -> bool:
        source = arrival.source
        # Of IPv6 the network part alone: whoever has one address there has 2^64.
        key = source.device if isinstance(source, MqttSource) else ":".join(source[0].split(":")[:4])
        if self._strangers.take(key, self._now_ns):
            return True
        self._drop("stranger_rate", arrival, MQTT_IMPLEMENTATION)
        return False

    def _pair(self, header: wire.Header, arrival: Arrival) -> None:
        if not self._by_address(arrival):
            return
        registry = self.registry
        if type(arrival.source) is MqttSource or len(arrival.packet) != wire.PAIR_BYTES or header.seq:
            return self._drop("malformed", arrival, MQTT_MALFORMED)
        try:
            pairing, device = handshake.answer_pair(
                arrival,
                registry.pairings,
                registry.next_device,
                registry.names,
                self._now_ms,
                registry.random,
            )
        except WireError as error:
            return self._drop(error.code, arrival, MQTT_NOT_AUTHORIZED)
        if device is not None:
            registry.pair(pairing, device)
        registry.answers.append(handshake.answer(arrival, pairing.answer))
        registry.urgent = True

    def _hello(self, header: wire.Header, arrival: Arrival) -> None:
        if not self._by_address(arrival):
            return
        registry = self.registry
        if len(arrival.packet) != wire.HELLO_BYTES:
            return self._drop("malformed", arrival, MQTT_MALFORMED)
        try:
            hello, device, key = handshake.open_hello(arrival, registry.devices)
        except WireError as error:
            return self._drop(error.code, arrival, MQTT_NOT_AUTHORIZED)
        if arrival.ticket is not None:
            self.tickets.append(arrival.ticket)
        seq = header.seq
        if seq <= device.hello_seq:
            half_open = registry.half_open(device.device)
            for link in half_open:
                if seq == device.hello_seq and link.record.hello == arrival.packet:
                    if not link.copies.take(self._now_ns):
                        break
                    registry.answers.append(handshake.answer(arrival, link.record.welcome))
                    registry.urgent = True
                    return
            refusal = registry.refusals.get(device.device)
            if refusal is not None and refusal[0] == arrival.packet:
                self._effects.append(handshake.answer(arrival, refusal[1]))
                return
            self.refused["hello_replay"] += 1
            return
        if not self._hellos.take(device.device, self._now_ns):
            # Each costs a commit; a device that retries sends the same bytes, and comes again later.
            registry.shed["rate"] += 1
            return
        device.hello_seq = seq
        registry.let_go(device.device, hello.links, header.t_send_ns)
        if key == device.next_key:
            device.key, device.next_key = key, b""
        registry.staged_device(device)
        refused = registry.why_refused(device, hello.versions)
        session = None if refused else registry.session_for(device.device)
        kept = [number for number in hello.links if registry.keeps(number, device.device)]
        number, nonce_g = 0, b""
        if not refused:
            # A link that the HELLO names is one that the device uses, although nothing of it has come yet.
            unused = [link for link in registry.half_open(device.device) if link.number not in hello.links]
            for link in unused[: -(handshake.MAX_HALF_OPEN - 1)]:
                registry.end(link, "ended")
            number, nonce_g = registry.take_link_number(), registry.random(control.NONCE_BYTES)
            record = handshake.new_link(number, hello, seq, key, nonce_g, session, arrival, self._now_ms)
        packet = handshake.welcome(
            hello,
            seq,
            key,
            registry.names,
            nonce_g,
            number,
            session,
            refused,
            kept,
            self._now_ns,
            self._now_ms,
        )
        if refused:
            registry.refusals[device.device] = (arrival.packet, packet)
        else:
            record.welcome = packet
            record.clock_ns = arrival.arrived_ns - header.t_send_ns + registry.utc_offset_ns
            registry.add_link(record, arrival.source)
        registry.welcomed[
            control.REFUSED if refused else control.RECORDING if session else control.WAITING
        ] += 1
        registry.answers.append(handshake.answer(arrival, packet))
        registry.urgent = True

    # ---- known links -----------------------------------------------------------------------------------------

    def _known(self, link: Link, header: wire.Header, arrival: Arrival) -> None:
        record, source, now_ns = link.record, arrival.source, self._now_ns
        if link.suspect_ns > now_ns and self._bad_tags.empty((link.number, source), now_ns):
            return self._drop("throttled", arrival, MQTT_NOT_AUTHORIZED)
        if (record.transport == "mqtt") != (type(source) is MqttSource):
            return self._drop("transport", arrival, MQTT_NOT_AUTHORIZED)
        if not link.up.matches(arrival.packet):
            link.bad_tag_count += 1
            link.suspect_ns = now_ns + SUSPECT_NS
            self._bad_tags.take((link.number, source), now_ns)
            return self._drop("bad_tag", arrival, MQTT_NOT_AUTHORIZED)
        if type(source) is MqttSource and source.device != record.device:
            return self._drop("topic", arrival, MQTT_NOT_AUTHORIZED)
        seq = header.seq
        if seq in link.seen:
            # Before the rate: an overheard packet that a stranger repeats must not spend its device's.
            self.refused["copy"] += 1
            if arrival.ticket is not None:
                self.tickets.append(arrival.ticket)
            return self._copy(link, header, source)
        if not link.packets_s.take(now_ns):
            # Shed, so never marked seen: the device sends it again when there is room.
            self.registry.shed["rate"] += 1
            if arrival.ticket is not None:
                self._effects.append(Acknowledge(arrival.ticket, MQTT_QUOTA))
            return
        if arrival.ticket is not None:
            self.tickets.append(arrival.ticket)
        if seq > link.newest + MAX_SEQ_JUMP:
            self.refused["seq_jump"] += 1
            return
        if record.state == "live" and record.session and record.session not in self.registry.sessions:
            # Its session ended while this gateway did not look.
            self.registry.end(link, "ended")
        if record.state != "live":
            self.refused[f"link_{record.state}"] += 1
            return self._reset(link, header, arrival)
        self.accepted += 1
        if link.clock.is_new:
            link.clock.restore(record.clock_ns, self.registry.utc_offset_ns, record.fresh_ms)
        link.heard(header, source, arrival.arrived_ns)
        record.fresh_ms = self._now_ms
        self.registry.touched[link.number] = link
        if not record.established:
            record.established, record.hello, record.welcome = True, b"", b""
        body = link.up.crypt(seq, wire.body_of(arrival.packet))
        if header.type in (wire.DATA, wire.BYE):
            self.owed = True
        try:
            if header.type == wire.DATA:
                data = frame.decode_data(body)
                if len(data.frames) > FRAMES_A_TOKEN:
                    link.packets_s.charge(now_ns, len(data.frames) // FRAMES_A_TOKEN)
                packet = self.admission.data(link, header, arrival.arrived_ns, data, now_ns)
                link.raise_floor(data.floor)
                link.admit(packet)
                self.admitted.append(packet)
                if packet.refused and packet.refused[0][1] == "closed":
                    self._remind(link)
            elif header.type == wire.SYNC:
                self._sync(link, control.decode(control.Probe, body), arrival)
                link.pending.append((seq, STORED))
            elif header.type == wire.BYE:
                self._bye(link, seq, frame.decode_bye(body))
            elif header.type == wire.RECEIPT:
                for command, _ in control.decode(control.Answer, body).commands:
                    link.commands.pop(command, None)
                link.pending.append((seq, STORED))
            else:
                raise WireError("type", "a packet that only a gateway sends")
        except WireError as error:
            self.accepted -= 1
            self.refused[error.code] += 1
            link.pending.append((seq, error.code))

    def _copy(self, link: Link, header: wire.Header, source: Source) -> None:
        """A copy of what is done is answered with its verdict; of what is only seen, not at all."""
        if header.type not in (wire.DATA, wire.BYE) or not link.copies.take(self._now_ns):
            return
        run = link.record.done.run(header.seq)
        if run is None:
            return
        # All that shares its verdict, since a copy comes of a lost receipt, and that one named many packets.
        first, last, verdict = run
        told = Ranges((first, last))
        stored, refused = (told, {}) if verdict == STORED else (Ranges(), {verdict: told})
        # To where the newest fresh packet came from, never to the copy's source: a replay must not draw packets.
        to = link.source if link.source is not None else source
        for body in receipts(0, b"", stored, refused, [], []):
            self._effects.append(Send(to, self.registry.to_device(link, wire.RECEIPT, body, self._now_ns)))

    def _reset(self, link: Link, header: wire.Header, arrival: Arrival) -> None:
        if link.resets.take(self._now_ns):
            tag = arrival.packet[-wire.TAG_BYTES :]
            packet = handshake.reset(link.record, header.seq, tag, link.record.state, self._now_ns)
            to = link.source if link.source is not None else arrival.source
            self._effects.append(Send(to, packet))

    def _sync(self, link: Link, probe: control.Probe, arrival: Arrival) -> None:
        now_ns = max(self.registry.clock_ns(), arrival.arrived_ns)
        body = control.encode(control.ProbeReply(probe.t1_ns, arrival.arrived_ns, now_ns))
        to = link.source if link.source is not None else arrival.source
        self._effects.append(Send(to, self.registry.to_device(link, wire.SYNC, body, now_ns)))
        self._remind(link)

    def _remind(self, link: Link) -> None:
        """A link that missed its COMMAND, or was restarted from the store, is told where it stands."""
        if link.commands or link.asked_ns > self._now_ns:
            return
        verb = self.registry.wanted_command(link)
        if verb:
            link.asked_ns = self._now_ns + REMIND_EVERY_NS
            self._effects += self.registry.command(link, *verb, self._now_ns)

    def _bye(self, link: Link, seq: int, bye: frame.Bye) -> None:
        self.admission.announce(link, bye.totals)
        link.bye = bye.totals
        link.commands.clear()  # the device says no more on this link, and would take the next for news
        link.raise_floor(bye.floor)
        link.pending.append((seq, STORED))
