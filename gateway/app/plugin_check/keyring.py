"""What the check knows of keys: codes on offer, devices, links. Learned from packets as they pass, and never shown."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from gateway.errors import VestibuleError
from gateway.keys import link as keys
from gateway.keys.link import DOWN, UP, LinkCipher, LinkKeys
from gateway.keys.mistakes import Handshake
from gateway.wire import control
from gateway.wire import packet as wire

MAX_LINKS: Final = 256
MAX_HELLOS: Final = 64  # HELLOs that wait for their WELCOME; a storm must not grow this


@dataclass(slots=True, repr=False)
class KnownLink:
    """A link, as its HELLO and WELCOME made it."""

    of: Handshake
    run: int
    session: bytes
    kinds: frozenset[int]
    up_keys: LinkKeys
    down_keys: LinkKeys
    up: LinkCipher = field(init=False)
    down: LinkCipher = field(init=False)

    def __post_init__(self) -> None:
        self.up, self.down = LinkCipher(self.up_keys), LinkCipher(self.down_keys)

    @property
    def recording(self) -> bool:
        """Whether it belongs to a session."""
        return bool(self.session)


class Keyring:
    """Codes, devices and links."""

    def __init__(self) -> None:
        self.codes: list[str] = []
        self.devices: dict[int, list[bytes]] = {}
        self.pairings: dict[int, tuple[str, bytes, bytes]] = {}
        self.links: OrderedDict[int, KnownLink] = OrderedDict()
        self._hellos: OrderedDict[bytes, control.Hello] = OrderedDict()

    def offer(self, code: str) -> None:
        """A pairing code is on offer."""
        self.codes.append(code)

    def know(self, device: int, key: bytes) -> None:
        """A device has this key; a rotated one stands beside the old one."""
        known = self.devices.setdefault(device, [])
        if key not in known:
            known.append(key)

    def code_of(self, packet: bytes) -> str | None:
        """The code whose pairing key tags a packet."""
        for code in self.codes:
            if keys.tag_matches(keys.pairing_key(code.encode()), packet):
                return code
        return None

    def key_of(self, device: int, packet: bytes) -> bytes | None:
        """The key of a device whose handshake key tags a packet."""
        for key in self.devices.get(device, []):
            if keys.tag_matches(keys.handshake_key(key), packet):
                return key
        return None

    def paired(self, packet: bytes) -> int:
        """A PAIRED goes down: learn the device; its number, or 0."""
        code = self.code_of(packet)
        if code is None:
            return 0
        try:
            body = control.decode(control.Paired, bytes(wire.body_of(packet)))
            key = keys.device_key(code.encode(), body.nonce_d, body.nonce_g)
        except VestibuleError:
            return 0
        self.know(body.device, key)
        self.pairings[body.device] = (code, body.nonce_d, body.nonce_g)
        return body.device

    def hello(self, hello: control.Hello) -> None:
        """A HELLO whose tag verifies passes."""
        self._hellos[hello.nonce_d] = hello
        while len(self._hellos) > MAX_HELLOS:
            self._hellos.popitem(last=False)

    def welcome(self, packet: bytes) -> tuple[control.Hello, control.Welcome] | None:
        """A WELCOME goes down: learn the link; None where it fits no HELLO."""
        try:
            body = control.decode(control.Welcome, bytes(wire.body_of(packet)))
        except VestibuleError:
            return None
        hello = self._hellos.get(body.nonce_d)
        key = self.key_of(hello.device, packet) if hello is not None else None
        if hello is None or key is None:
            return None
        if body.link and body.nonce_g and body.link not in self.links:
            of = Handshake(key, body.nonce_d, body.nonce_g, hello.device, body.link)
            up, down = (
                LinkKeys.derive(key, body.nonce_d, body.nonce_g, hello.device, body.link, way)
                for way in (UP, DOWN)
            )
            self.links[body.link] = KnownLink(of, hello.run, body.session, frozenset(body.kinds), up, down)
            while len(self.links) > MAX_LINKS:
                self.links.popitem(last=False)
        return hello, body

    def others(self, link: KnownLink) -> dict[str, bytes]:
        """Other keys that a device may have used by mistake, by what they are."""
        found = {
            "K_enc of this link": link.up_keys.k_enc,
            "K_mac of the other direction": link.down_keys.k_mac,
        }
        for number, other in list(self.links.items())[-8:]:
            if other is not link and other.of.device == link.of.device:
                found[f"K_mac of link {number}"] = other.up_keys.k_mac
        if (pairing := self.pairings.get(link.of.device)) is not None:
            found["the pairing key"] = keys.pairing_key(pairing[0].encode())
        return found
