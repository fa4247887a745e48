"""Pairing and handshake, the gateway's side: PAIR to PAIRED, HELLO to WELCOME (VT1, "Pairing", "Handshake").

Nothing is answered before the commit that makes it durable: each answer waits in `Registry.answers` until then. A
stranger, a copy of an old HELLO and a spent code get silence, and a counter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.core.effects import Arrival, MqttSource, Send
from gateway.core.records import Device, LinkRecord, Pairing, Session
from gateway.errors import WireError
from gateway.ids import DeviceId, LinkId, RunId, SessionId
from gateway.keys import link as keys
from gateway.wire import control
from gateway.wire import packet as wire

MAX_HALF_OPEN: Final = 2  # VT1: a third half-open link replaces the oldest
MAX_PAIRINGS: Final = 8  # codes on offer at once; each costs one HMAC for every PAIR that comes

RandomBytes = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Names:
    """What the gateway calls itself on the wire: its own name and its home's, both safe in MQTT topics."""

    gateway: str
    home: str


def tagged(kind: int, link: int, seq: int, now_ns: int, body: bytes, key: bytes) -> bytes:
    """A packet whose body is in the clear, with its tag."""
    packet = wire.pack_header(kind, link, seq, now_ns) + body
    return packet + keys.tag(key, packet)


def answer_pair(
    arrival: Arrival,
    pairings: list[Pairing],
    next_device: int,
    names: Names,
    now_ms: int,
    random: RandomBytes,
) -> tuple[Pairing, Device | None]:
    """Find the code that a PAIR was tagged with, and make the device.

    Args:
        arrival: a PAIR packet, at most `PAIR_BYTES`.
        pairings: codes on offer and spent ones that have not expired.
        next_device: number that a new device gets.
        names: for PAIRED.
        now_ms: UTC.
        random: source of nonces.

    Returns:
        The pairing, its `answer` filled, and the new device; None for a repeat of the PAIR that spent the code.

    Raises:
        WireError: `bad_tag` (no code matches), `spent` (another PAIR under a spent code), and those of the parser.
    """
    packet = arrival.packet
    for pairing in pairings:
        if pairing.expires_ms <= now_ms:
            continue
        key = keys.pairing_key(pairing.code.encode())
        if not keys.tag_matches(key, packet):
            continue
        digest = hashlib.sha256(packet).digest()
        if pairing.spent_by:
            if pairing.spent_by != digest:
                raise WireError("spent", "another PAIR under a code that is spent")
            return pairing, None
        pair = control.decode(control.Pair, bytes(wire.body_of(packet)))
        nonce_g = random(control.NONCE_BYTES)
        body = control.encode(control.Paired(pair.nonce_d, nonce_g, next_device, names.home))
        pairing.spent_by = digest
        pairing.answer = tagged(wire.PAIRED, 0, 0, arrival.arrived_ns, body, key)
        device = Device(
            device=DeviceId(next_device),
            name=pairing.name or pair.name,
            key=keys.device_key(pairing.code.encode(), pair.nonce_d, nonce_g),
            state="active",
            created_ms=now_ms,
        )
        return pairing, device
    raise WireError("bad_tag", "a PAIR under no code on offer")


def read_hello(arrival: Arrival, devices: dict[DeviceId, Device]) -> tuple[control.Hello, Device]:
    """Parse a HELLO, and find the device that it names; whether it is that device's, `key_of` tells.

    Raises:
        WireError: `unknown_device`, `topic`, and those of the parser.
    """
    hello = control.decode(control.Hello, bytes(wire.body_of(arrival.packet)))
    if isinstance(arrival.source, MqttSource) and arrival.source.device != hello.device:
        raise WireError("topic", "a HELLO on another device's topic")
    device = devices.get(DeviceId(hello.device))
    if device is None:
        raise WireError("unknown_device", "a HELLO of a device that is not paired")
    return hello, device


def key_of(packet: bytes, device: Device) -> bytes:
    """Which of a device's keys a HELLO was tagged with: a rotated key counts from its first use on. Empty: none."""
    for key in (device.key, device.next_key):
        if key and keys.tag_matches(keys.handshake_key(key), packet):
            return key
    return b""


def welcome(
    hello: control.Hello,
    seq: int,
    key: bytes,
    names: Names,
    nonce_g: bytes,
    link: int,
    session: Session | None,
    refused: str,
    kept: list[int],
    now_ns: int,
    now_ms: int,
) -> bytes:
    """The WELCOME packet for a HELLO.

    Args:
        hello, seq: what it answers.
        key: the device key in use.
        nonce_g: 16 bytes; empty when refused.
        link: the new link; 0 when refused.
        session: the session it belongs to; None makes it wait.
        refused: why no link is given; empty otherwise.
        kept: those of the HELLO's links that are still known.
    """
    if refused:
        state, reason = control.REFUSED, refused
    elif session is None:
        state, reason = control.WAITING, "no_session"
    else:
        state, reason = control.RECORDING, ""
    body = control.Welcome(
        nonce_d=hello.nonce_d,
        nonce_g=nonce_g,
        link=link,
        gateway=names.gateway,
        session=session.session if session else b"",
        version=0 if refused == "version" else control.VERSION,
        offered=hello.versions,
        state=state,
        reason=reason,
        kept=kept,
        kinds=list(session.kinds) if session else [],
        at_ms=now_ms,
    )
    return tagged(wire.WELCOME, 0, seq, now_ns, control.encode(body), keys.handshake_key(key))


def new_link(
    link: int,
    hello: control.Hello,
    seq: int,
    key: bytes,
    nonce_g: bytes,
    session: Session | None,
    arrival: Arrival,
    now_ms: int,
) -> LinkRecord:
    """The durable record of a link that a HELLO asked for; its WELCOME is filled in by the caller."""
    return LinkRecord(
        link=LinkId(link),
        device=DeviceId(hello.device),
        run=RunId(hello.run),
        session=session.session if session else SessionId(b""),
        transport="mqtt" if isinstance(arrival.source, MqttSource) else "udp",
        nonce_d=hello.nonce_d,
        nonce_g=nonce_g,
        key=key,
        hello_seq=seq,
        hello=arrival.packet,
        welcome=b"",
        established=False,
        state="live",
        fresh_ms=now_ms,
    )


def reset(record: LinkRecord, seq: int, tag: bytes, reason: str, now_ns: int) -> bytes:
    """RESET for a packet of a link that is gone: it names that packet, so that it can be used for no other."""
    body = control.encode(control.Reset(seq, tag, reason))
    return tagged(wire.RESET, record.link, seq, now_ns, body, keys.handshake_key(record.key))


def answer(source: Arrival, packet: bytes) -> Send:
    """An answer that never is larger than what it answers (no amplification)."""
    assert len(packet) <= len(source.packet)
    return Send(source.source, packet)
