"""Why a tag does not verify: the mistakes of `keys/mistakes`, as findings; and bytes of a packet that were changed."""

from __future__ import annotations

from typing import Final

from gateway.app.plugin_check.keyring import Keyring, KnownLink
from gateway.app.plugin_check.say import Finding, Spot
from gateway.keys import mistakes
from gateway.wire import packet as wire

BUDGET: Final = (
    64  # packets whose mistakes are looked for; a client repeats its mistake, and each costs milliseconds
)
EVERY: Final = 64  # of those that follow
MEND: Final[dict[str, str]] = {
    "nonces_swapped": "the salt is nonce_d || nonce_g, always in this order",
    "info_big_endian": "device and link are u32 little-endian in info",
    "info_terminator": "info is exactly its ASCII letters and numbers, without a terminator",
    "info_no_direction": "info ends with the direction: 0 up, 1 down",
    "info_direction": "info ends with one byte, the direction: 0 for what you send",
    "k_dev_direct": "K_dev derives K_hs and the link keys, and tags nothing itself",
    "tag_over_plain": "encrypt first, then tag header and encrypted body",
    "tag_without_header": "the tag covers all bytes before it, the header too",
    "tag_cut": "the tag is the first 16 of the 32 bytes",
    "handshake_key": "K_hs tags HELLO, WELCOME and RESET; all on links is tagged with K_mac",
    "key_order": "bytes 0..31 K_enc, 32..63 K_mac, 64..67 iv4",
}


class Tags:
    """Explains tags, within a budget."""

    def __init__(self, ring: Keyring) -> None:
        self._ring = ring
        self._asked = 0

    def _may(self) -> bool:
        self._asked += 1
        return self._asked <= BUDGET or self._asked % EVERY == 0

    def link(self, header: wire.Header, packet: bytes, link: KnownLink) -> list[Finding]:
        """Of a packet on a link that is known."""
        if not self._may():
            return []
        if packet[-wire.TAG_BYTES :] == bytes(wire.TAG_BYTES):
            return [_zeros()]
        if link.down.matches(packet):
            return [
                _found(
                    "tag.direction",
                    "your tag verifies with the keys of the other direction (down)",
                    "derive with direction 0 for what you send; or is a packet of the gateway sent back?",
                )
            ]
        guesses = mistakes.of_link(packet, link.of, header.seq, self._ring.others(link))
        return [_guessed(guesses)] if guesses else [_unknown(1)]

    def hello(self, packet: bytes, device: int) -> list[Finding]:
        """Of a HELLO of a device that is known."""
        if not self._may():
            return []
        if packet[-wire.TAG_BYTES :] == bytes(wire.TAG_BYTES):
            return [_zeros()]
        for key in self._ring.devices.get(device, []):
            if guesses := mistakes.of_hello(packet, key, self._ring.pairings.get(device)):
                return [_guessed(guesses)]
        return [_unknown(1)]

    def pair(self, packet: bytes) -> list[Finding]:
        """Of a PAIR."""
        if not self._may():
            return []
        if packet[-wire.TAG_BYTES :] == bytes(wire.TAG_BYTES):
            return [_zeros()]
        if guesses := mistakes.of_pair(packet, self._ring.codes):
            return [_guessed(guesses)]
        return [
            _found(
                "pair.code",
                "no code on offer tags it: another code, or another derivation",
                "type the code without spaces and hyphens, in capitals; compare `pairing_key` with keys.json",
                4,
            )
        ]


def changed(header: wire.Header, packet: bytes, before: bytes) -> tuple[Finding, Spot] | None:
    """A packet with the tag of one that was sent before, but other bytes."""
    if before[-wire.TAG_BYTES :] != packet[-wire.TAG_BYTES :] or len(before) != len(packet):
        return None
    at = next((n for n, (a, b) in enumerate(zip(before, packet, strict=True)) if a != b), len(packet))
    where = "t_send_ns" if 16 <= at < 24 else "the body" if at >= 24 else "the header"
    finding = _found(
        "resend.changed_untagged",
        f"it has the tag of the first send of seq {header.seq}, but {where} was changed",
        "send the kept bytes again, untouched",
        10,
    )
    return finding, Spot(at, packet[at : at + 8], before[at : at + 8].hex(" "), packet=True)


def _guessed(guesses: list[mistakes.Guess]) -> Finding:
    says = "; and ".join(guess.says for guess in guesses)
    mend = ". ".join(
        dict.fromkeys(MEND.get(guess.code, "see the table of SPEC, 4, and keys.json") for guess in guesses)
    )
    return _found(f"tag.{guesses[0].code}", f"your tag verifies if {says}", mend)


def _zeros() -> Finding:
    return _found(
        "tag.zeros",
        "the tag is all zero: there is no tag",
        "HMAC-SHA256 over all bytes before it, first 16 bytes",
        4,
    )


def _unknown(row: int) -> Finding:
    what = "no usual mistake gives this tag: another key, or bytes changed after it was made"
    return _found(
        "tag.unknown",
        what,
        "compare PRK, OKM, counter block and tag with keys.json and uplink.json, one after another",
        row,
    )


def _found(code: str, what: str, mend: str, row: int = 1) -> Finding:
    return Finding(code, row, what, mend)
