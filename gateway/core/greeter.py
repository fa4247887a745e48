"""Hop 2, PAIR and HELLO: who may have a key, who may have a link (VT1, "Pairing", "Handshake", "Order of checks").

The first who speaks is a stranger: the rate of its address comes before any cipher, and what does not verify gets
silence. What is taken is staged in the registry, and its answer waits there for the commit.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.core import handshake, rotation
from gateway.core.effects import (
    MQTT_IMPLEMENTATION,
    MQTT_MALFORMED,
    MQTT_NOT_AUTHORIZED,
    MQTT_TAKEN,
    Arrival,
    Effect,
    MqttSource,
)
from gateway.core.rates import Buckets
from gateway.core.records import Device
from gateway.core.registry import Registry
from gateway.errors import WireError
from gateway.wire import control
from gateway.wire import packet as wire

HELLOS_S: Final = 5  # new HELLOs of one device: each is a commit


class Refusal(NamedTuple):
    """Why a handshake was refused, and what its MQTT payload is told."""

    reason: str
    mqtt_code: int


_BAD_SIZE: Final = Refusal("malformed", MQTT_MALFORMED)


class Greeter:
    """Answers PAIR and HELLO, over the registry's tables.

    Args:
        registry: devices, sessions, links and codes.
        stranger_packets_s: PAIR and HELLO of one source address.
    """

    def __init__(self, registry: Registry, stranger_packets_s: float) -> None:
        self._registry = registry
        self._strangers = Buckets(stranger_packets_s, 2 * stranger_packets_s)
        self._hellos = Buckets(HELLOS_S, 4 * HELLOS_S)

    def _by_address(self, arrival: Arrival, now_ns: int) -> bool:
        source = arrival.source
        # Of IPv6 the network part alone: whoever has one address there has 2^64.
        key = source.device if isinstance(source, MqttSource) else ":".join(source[0].split(":")[:4])
        return self._strangers.take(key, now_ns)

    def pair(
        self, header: wire.Header, arrival: Arrival, now_ns: int, now_ms: int, effects: list[Effect]
    ) -> Refusal | None:
        """Take a PAIR; returns why not. Its answer waits for the commit."""
        registry = self._registry
        if not self._by_address(arrival, now_ns):
            return Refusal("stranger_rate", MQTT_IMPLEMENTATION)
        if type(arrival.source) is MqttSource or len(arrival.packet) != wire.PAIR_BYTES or header.seq:
            return _BAD_SIZE
        try:
            pairing, device = handshake.answer_pair(
                arrival, registry.pairings, registry.next_device, registry.names, now_ms, registry.random
            )
        except WireError as error:
            if error.code == "bad_tag":
                registry.faults.pairs.note(now_ms)
            return Refusal(error.code, MQTT_NOT_AUTHORIZED)
        if device is not None:
            registry.pair(pairing, device)
        registry.answers.append(handshake.answer(arrival, pairing.answer))
        registry.urgent = True
        return None

    def hello(
        self, header: wire.Header, arrival: Arrival, now_ns: int, now_ms: int, effects: list[Effect]
    ) -> Refusal | None:
        """Take a HELLO; returns why not. The WELCOME of a new link waits for the commit; copies may be answered now."""
        registry = self._registry
        if not self._by_address(arrival, now_ns):
            return Refusal("stranger_rate", MQTT_IMPLEMENTATION)
        if len(arrival.packet) != wire.HELLO_BYTES:
            return _BAD_SIZE
        try:
            hello, device = handshake.read_hello(arrival, registry.devices)
        except WireError as error:
            return Refusal(error.code, MQTT_NOT_AUTHORIZED)
        key = handshake.key_of(arrival.packet, device)
        if not key:
            registry.faults.in_hello(device.device, now_ms)
            return Refusal("bad_tag", MQTT_NOT_AUTHORIZED)
        if header.seq <= device.hello_seq:
            return self._copy(header, arrival, device, now_ns, effects)
        if not self._hellos.take(device.device, now_ns):
            # Each costs a commit; a device that retries sends the same bytes, and comes again later.
            registry.shed["rate"] += 1
            return None
        device.hello_seq = header.seq
        registry.let_go(device.device, hello.links, header.t_send_ns)
        self._follow(device, hello.links, arrival)
        registry.faults.welcomed(device.device)
        if key == device.next_key:
            rotation.use(registry, device)
        registry.staged_device(device)
        self._welcome(header, arrival, hello, device, key, now_ns, now_ms)
        return None

    def _follow(self, device: Device, links: list[int], arrival: Arrival) -> None:
        """Answers on the links that a fresh HELLO names go to where it came from.

        A device that woke up, or whose app was started again, has another port; what it sends on its old links are
        copies, which move no link, and without this their answers would go for ever to where nobody listens.
        """
        for number in links:
            link = self._registry.links.get(number)
            if link is None or link.record.device != device.device:
                continue
            if (link.record.transport == "mqtt") == (type(arrival.source) is MqttSource):
                link.source = arrival.source

    def _copy(
        self, header: wire.Header, arrival: Arrival, device: Device, now_ns: int, effects: list[Effect]
    ) -> Refusal | None:
        """A HELLO that came before: the newest gets the same answer while it may be missing, all others none."""
        registry = self._registry
        if header.seq == device.hello_seq:
            for link in registry.half_open(device.device):
                if link.record.hello == arrival.packet:
                    if not link.copies.take(now_ns):
                        break
                    registry.answers.append(handshake.answer(arrival, link.record.welcome))
                    registry.urgent = True
                    return None
        refusal = registry.refusals.get(device.device)
        if refusal is not None and refusal[0] == arrival.packet:
            effects.append(handshake.answer(arrival, refusal[1]))
            return None
        return Refusal("hello_replay", MQTT_TAKEN)

    def _welcome(
        self,
        header: wire.Header,
        arrival: Arrival,
        hello: control.Hello,
        device: Device,
        key: bytes,
        now_ns: int,
        now_ms: int,
    ) -> None:
        registry = self._registry
        seq = header.seq
        refused = _why_refused(device, hello.versions)
        session = None if refused else registry.session_for(device.device)
        kept = [number for number in hello.links if registry.keeps(number, device.device)]
        number, nonce_g = 0, b""
        if not refused:
            # A link that the HELLO names is one that the device uses, although nothing of it has come yet.
            unused = [link for link in registry.half_open(device.device) if link.number not in hello.links]
            for link in unused[: -(handshake.MAX_HALF_OPEN - 1)]:
                registry.end(link, "ended")
            number, nonce_g = registry.take_link_number(), registry.random(control.NONCE_BYTES)
            record = handshake.new_link(number, hello, seq, key, nonce_g, session, arrival, now_ms)
        packet = handshake.welcome(
            hello, seq, key, registry.names, nonce_g, number, session, refused, kept, now_ns, now_ms
        )
        if refused:
            registry.refusals[device.device] = (arrival.packet, packet)
        else:
            record.welcome = packet
            record.clock_ns = arrival.arrived_ns - header.t_send_ns + registry.utc_offset_ns
            registry.add_link(record, arrival.source)
        state = control.REFUSED if refused else control.RECORDING if session else control.WAITING
        registry.welcomed[state] += 1
        registry.answers.append(handshake.answer(arrival, packet))
        registry.urgent = True


def _why_refused(device: Device, versions: list[int]) -> str:
    """Why a HELLO gets no link; empty when it gets one."""
    if device.state != "active":
        return "revoked"
    return "" if control.VERSION in versions else "version"
