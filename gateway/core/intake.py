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

from gateway.core import commands, handshake
from gateway.core.admission import Admission, AskPermit
from gateway.core.effects import (
    MQTT_MALFORMED,
    MQTT_NOT_AUTHORIZED,
    MQTT_QUOTA,
    MQTT_TAKEN,
    Acknowledge,
    AdmittedPacket,
    Arrival,
    Effect,
    MqttSource,
    Send,
    Source,
)
from gateway.core.greeter import Greeter
from gateway.core.link import Link
from gateway.core.ranges import STORED, Ranges
from gateway.core.rates import Buckets
from gateway.core.receipts import receipts
from gateway.core.registry import Registry
from gateway.errors import WireError
from gateway.wire import control, frame
from gateway.wire import packet as wire

BAD_TAGS_S: Final = 4  # of one source for one link; then its packets for that link are dropped unread
SUSPECT_NS: Final = 10_000_000_000  # how long a link's senders are looked up after a bad tag
FRAMES_A_TOKEN: Final = 8  # frames that a packet carries at the price of a packet
WORDS: Final = frozenset((bytes([wire.SYNC]), bytes([wire.RECEIPT])))
"""Types of packets that bring nothing to store: they are answered also while nothing can be."""
HANDSHAKES: Final = frozenset((bytes([wire.PAIR]), bytes([wire.HELLO])))
"""Types of packets each of which needs a small commit, and no more."""


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
        self._greeter = Greeter(registry, limits.stranger_packets_s)
        self._bad_tags = Buckets(BAD_TAGS_S, 4 * BAD_TAGS_S)
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
        effects = self._begin(now_ns, now_ms)
        self.admission.begin()
        links = self.registry.links
        for arrival in slab:
            header = self._header(arrival)
            if header is None:
                continue
            link = links.get(header.link)
            if link is not None:
                self._known(link, header, arrival)
            elif header.link or header.type not in (wire.PAIR, wire.HELLO):
                # An unknown link: silence; the device comes back with HELLO.
                self._drop("unknown_link", arrival, MQTT_NOT_AUTHORIZED)
            else:
                self._handshake(header, arrival)
        return effects

    def listen(self, slab: Sequence[Arrival], now_ns: int, now_ms: int) -> list[Effect]:
        """Take arrivals while nothing can be stored: handshakes, probes, and answers to commands.

        So a device sees that the gateway is there, and why it gets no receipts. No number of a link is settled: what
        is not seen may come again, and a hole that DATA will fill must stay one.

        Args:
            slab: packets of the types `WORDS` and `HANDSHAKES`.
            now_ns: monotonic.
            now_ms: UTC.

        Returns:
            As of `step`.
        """
        effects = self._begin(now_ns, now_ms)
        for arrival in slab:
            header = self._header(arrival)
            if header is None:
                continue
            link = self.registry.links.get(header.link)
            if link is None and header.type in (wire.PAIR, wire.HELLO) and not header.link:
                self._handshake(header, arrival)
            elif link is None or header.type not in (wire.SYNC, wire.RECEIPT):
                self._drop("unknown_link" if link is None else "type", arrival, MQTT_NOT_AUTHORIZED)
            elif self._is_authentic(link, arrival):
                self._heard(link, header, arrival)
                if arrival.ticket is not None:
                    effects.append(Acknowledge(arrival.ticket, MQTT_TAKEN))
        return effects

    def _heard(self, link: Link, header: wire.Header, arrival: Arrival) -> None:
        seq, state = header.seq, link.record.state
        if seq <= max(link.newest, link.listened):
            self.refused["copy"] += 1
        elif not link.packets_s.take(self._now_ns):
            self.registry.shed["rate"] += 1
        elif link.is_jump(seq):
            self.refused["seq_jump"] += 1
        elif state != "live":
            self.refused[f"link_{state}"] += 1
        else:
            link.listened, link.source, link.heard_ns = seq, arrival.source, arrival.arrived_ns
            try:
                self._word(link, header, link.up.crypt(seq, wire.body_of(arrival.packet)), arrival)
                self.accepted += 1
            except WireError as error:
                self.refused[error.code] += 1

    def _begin(self, now_ns: int, now_ms: int) -> list[Effect]:
        self._now_ns, self._now_ms = now_ns, now_ms
        self._effects = []
        return self._effects

    def _header(self, arrival: Arrival) -> wire.Header | None:
        mqtt = type(arrival.source) is MqttSource
        try:
            return wire.parse_header(arrival.packet, wire.MAX_MQTT_BYTES if mqtt else wire.MAX_DATAGRAM_BYTES)
        except WireError as error:
            self._drop(error.code, arrival, MQTT_MALFORMED)
            return None

    def _drop(self, reason: str, arrival: Arrival, mqtt_code: int) -> None:
        self.refused[reason] += 1
        if arrival.ticket is not None:
            self._effects.append(Acknowledge(arrival.ticket, mqtt_code))

    def _handshake(self, header: wire.Header, arrival: Arrival) -> None:
        greet = self._greeter.hello if header.type == wire.HELLO else self._greeter.pair
        refusal = greet(header, arrival, self._now_ns, self._now_ms, self._effects)
        if refusal is not None and refusal.mqtt_code != MQTT_TAKEN:
            return self._drop(refusal.reason, arrival, refusal.mqtt_code)
        if refusal is not None:
            self.refused[refusal.reason] += 1
        if arrival.ticket is not None:
            self.tickets.append(arrival.ticket)

    # ---- known links -----------------------------------------------------------------------------------------

    def _is_authentic(self, link: Link, arrival: Arrival) -> bool:
        record, source, now_ns = link.record, arrival.source, self._now_ns
        why = ""
        if link.suspect_ns > now_ns and self._bad_tags.empty((link.number, source), now_ns):
            why = "throttled"
        elif (record.transport == "mqtt") != (type(source) is MqttSource):
            why = "transport"
        elif not link.up.matches(arrival.packet):
            why = "bad_tag"
            link.bad_tag_count += 1
            link.suspect_ns = now_ns + SUSPECT_NS
            self._bad_tags.take((link.number, source), now_ns)
            self.registry.faults.on_link(record.device, self._now_ms)
        elif type(source) is MqttSource and source.device != record.device:
            why = "topic"
        if why:
            self._drop(why, arrival, MQTT_NOT_AUTHORIZED)
        return not why

    def _known(self, link: Link, header: wire.Header, arrival: Arrival) -> None:
        if not self._is_authentic(link, arrival):
            return
        record, source, now_ns = link.record, arrival.source, self._now_ns
        seq = header.seq
        if seq in link.seen or (seq <= link.listened and header.type in (wire.SYNC, wire.RECEIPT)):
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
        if link.is_jump(seq):
            self.refused["seq_jump"] += 1
            return
        over = record.state == "live" and record.session and record.session not in self.registry.sessions
        if over and record.session not in self.registry.withdrawn:
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
                if over:
                    raise WireError("withdrawn", "DATA of a session whose consent was withdrawn")
                data = frame.decode_data(body)
                if len(data.frames) > FRAMES_A_TOKEN:
                    link.packets_s.charge(now_ns, len(data.frames) // FRAMES_A_TOKEN)
                packet = self.admission.data(link, header, arrival.arrived_ns, data, now_ns)
                link.raise_floor(data.floor)
                link.admit(packet)
                self.admitted.append(packet)
                if packet.refused and packet.refused[0][1] in ("closed", "withdrawn"):
                    self._remind(link)
            elif header.type == wire.BYE:
                self._bye(link, seq, frame.decode_bye(body))
            else:
                self._word(link, header, body, arrival)
                link.pending.append((seq, STORED))
        except WireError as error:
            self.accepted -= 1
            self.refused[error.code] += 1
            link.pending.append((seq, error.code))
            if over:
                self._remind(link)

    def _word(self, link: Link, header: wire.Header, body: bytes, arrival: Arrival) -> None:
        """A packet that brings nothing to store: a probe, or answers to commands."""
        if header.type == wire.SYNC:
            self._sync(link, control.decode(control.Probe, body), arrival)
        elif header.type == wire.RECEIPT:
            commands.answered(self.registry, link, control.decode(control.Answer, body))
        else:
            raise WireError("type", "a packet that only a gateway sends")

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
        self._effects += commands.remind(self.registry, link, self._now_ns)

    def _bye(self, link: Link, seq: int, bye: frame.Bye) -> None:
        if link.record.session not in self.registry.withdrawn:
            self.admission.announce(link, bye.totals)
        link.bye = bye.totals
        # The device says no more on this link, and would take the next for news.
        self.registry.outcomes += link.drop_commands()
        link.raise_floor(bye.floor)
        link.pending.append((seq, STORED))
