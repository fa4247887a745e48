"""What a tag or a cipher would be if a client had made one of the usual mistakes: to explain, never to accept.

`plugin-check` tries these after the right way failed. A packet that fits one of them stays refused; the author learns
which line of the derivation is wrong. Every table here has the right way as its first row, so that one departure is
found before two. Source: VT1, "Packet", "Keys".
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from struct import pack
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from gateway.keys.link import TAG_BYTES, LinkKeys, handshake_key, pairing_key
from gateway.keys.seal import hkdf

HEADER_BYTES: Final = 24
MAX_DEPARTURES: Final = 2  # three mistakes in one derivation are found one after another, as they are mended


class Guess(NamedTuple):
    """A mistake that fits: a stable code, and what the author did."""

    code: str
    says: str


RIGHT: Final = Guess("", "")
Row = tuple[Guess, bytes]


@dataclass(frozen=True, slots=True, repr=False)
class Handshake:
    """What the keys of a link are derived from."""

    k_dev: bytes
    nonce_d: bytes
    nonce_g: bytes
    device: int
    link: int


def _infos(device: int, link: int) -> list[Row]:
    name = b"VT1 link"
    right = name + pack("<IIB", device, link, 0)
    return [
        (RIGHT, right),
        (
            Guess("info_big_endian", "the numbers in info are big-endian"),
            name + pack(">IIB", device, link, 0),
        ),
        (Guess("info_terminator", "info has a terminator after `VT1 link`"), name + b"\0" + right[8:]),
        (Guess("info_terminator", "info has a zero byte at its end"), right + b"\0"),
        (Guess("info_no_direction", "info lacks the direction byte"), right[:-1]),
        (Guess("info_direction", "info has direction 1 (down) for an uplink packet"), right[:-1] + b"\1"),
        (Guess("info_direction", "the direction in info has four bytes"), right[:-1] + pack("<I", 0)),
        (Guess("info_swapped", "device and link are swapped in info"), name + pack("<IIB", link, device, 0)),
        (Guess("info_width", "the numbers in info have 64 bits"), name + pack("<QQB", device, link, 0)),
        (Guess("info_device", "info lacks the device number"), name + pack("<IB", link, 0)),
        (Guess("info_text", "the numbers in info are text"), name + f"{device}{link}0".encode()),
    ]


def _salts(nonce_d: bytes, nonce_g: bytes) -> list[Row]:
    return [
        (RIGHT, nonce_d + nonce_g),
        (Guess("nonces_swapped", "the nonces are swapped in the salt"), nonce_g + nonce_d),
        (Guess("salt", "the salt is empty"), b""),
        (Guess("salt", "the salt is nonce_d alone"), nonce_d),
        (Guess("salt", "the salt is nonce_g alone"), nonce_g),
        (
            Guess("salt", "the nonces stand in the salt as hexadecimal text"),
            (nonce_d + nonce_g).hex().encode(),
        ),
    ]


def _device_keys(k_dev: bytes) -> list[Row]:
    return [
        (RIGHT, k_dev),
        (
            Guess("key_text", "K_dev was taken as its 64 hexadecimal digits and not as 32 bytes"),
            k_dev.hex().encode(),
        ),
        (Guess("handshake_key", "the handshake key was taken in place of K_dev"), handshake_key(k_dev)),
    ]


def link_keys(of: Handshake) -> Iterator[tuple[list[Guess], LinkKeys]]:
    """Uplink keys as they come out with at most two mistakes; the right ones first."""
    found: list[tuple[list[Guess], LinkKeys]] = []
    cuts = [
        (RIGHT, slice(0, 32), slice(32, 64), slice(64, 68)),
        (
            Guess("key_order", "K_mac was cut from the place of K_enc"),
            slice(32, 64),
            slice(0, 32),
            slice(64, 68),
        ),
        (Guess("key_order", "iv4 was cut before the keys"), slice(4, 36), slice(36, 68), slice(0, 4)),
    ]
    for ikm_guess, ikm in _device_keys(of.k_dev):
        for salt_guess, salt in _salts(of.nonce_d, of.nonce_g):
            for info_guess, info in _infos(of.device, of.link):
                made = [guess for guess in (ikm_guess, salt_guess, info_guess) if guess.code]
                if len(made) > MAX_DEPARTURES:
                    continue
                okm = hkdf(ikm, info, 68, salt)
                for cut, enc, mac, iv in cuts:
                    guesses = [*made, cut] if cut.code else made
                    if len(guesses) <= MAX_DEPARTURES:
                        found.append((guesses, LinkKeys(okm[enc], okm[mac], okm[iv])))
    yield from sorted(found, key=lambda one: len(one[0]))


def other_keys(of: Handshake, others: dict[str, bytes]) -> Iterator[Row]:
    """Keys that are not the link's, used for its tag as they are.

    Args:
        of: the handshake.
        others: more keys that this device has, by what they are.
    """
    yield Guess("k_dev_direct", "K_dev itself tags it"), of.k_dev
    yield Guess("handshake_key", "the handshake key tags it"), handshake_key(of.k_dev)
    yield (
        Guess("prk", "HKDF stops after its first step (PRK tags it)"),
        hmac.digest(of.nonce_d + of.nonce_g, of.k_dev, "sha256"),
    )
    for what, key in others.items():
        yield Guess("other_key", f"{what} tags it"), key


def tagged(key: bytes, packet: bytes, plain: bytes | None) -> Guess | None:
    """How a packet's tag follows from a key, if it does; RIGHT for the right way.

    Args:
        key: the key that is tried.
        packet: the whole packet, of at least 40 bytes.
        plain: the body before encryption; None where it is not encrypted.
    """
    sealed, last = packet[:-TAG_BYTES], packet[-TAG_BYTES:]
    head, body = sealed[:HEADER_BYTES], sealed[HEADER_BYTES:]
    texts: list[Row] = [(RIGHT, sealed)]
    if plain is not None:
        texts += [
            (Guess("tag_over_plain", "the tag is over the body before encryption"), head + plain),
            (
                Guess("tag_over_plain", "the tag is over the body before encryption, without the header"),
                plain,
            ),
        ]
    texts += [
        (Guess("tag_without_header", "the tag is over the body alone, without the 24 header bytes"), body),
        (Guess("tag_without_magic", "the tag leaves out magic and type"), sealed[4:]),
        (
            Guess("tag_over_room", "the tag is over the packet with 16 zero bytes in the tag's place"),
            sealed + bytes(16),
        ),
    ]
    for guess, text in texts:
        whole = hmac.digest(key, text, "sha256")
        if hmac.compare_digest(whole[:TAG_BYTES], last):
            return guess
        how = ""
        if whole[TAG_BYTES:] == last:
            how = "the last 16 bytes of the HMAC were taken and not the first"
        elif whole[:TAG_BYTES] == last[::-1]:
            how = "the tag's bytes are in reverse order"
        elif sha256(key + text).digest()[:TAG_BYTES] == last:
            how = "it is SHA-256 over key and packet and not HMAC"
        if how:
            return Guess("tag_cut" if "HMAC were" in how else "tag_form", f"{guess.says}; {how}".lstrip("; "))
    if len(packet) >= 72 and hmac.compare_digest(hmac.digest(key, packet[:-32], "sha256"), packet[-32:]):
        return Guess("tag_cut", "the tag has all 32 bytes of the HMAC and was not cut to 16")
    return None


def of_link(packet: bytes, of: Handshake, seq: int, others: dict[str, bytes]) -> list[Guess]:
    """Mistakes that explain the tag of a packet of a link; empty where none is known.

    Args:
        packet: whose tag does not verify, 40 bytes or more.
        of: the handshake of its link.
        seq: of its header.
        others: more keys of the device, by what they are.
    """
    body = packet[HEADER_BYTES:-TAG_BYTES]
    for guesses, keys in link_keys(of):
        plain = _xor(body, stream(keys, seq, len(body))) if len(guesses) < MAX_DEPARTURES else None
        if (how := tagged(keys.k_mac, packet, plain)) is not None:
            return [*guesses, *([how] if how.code else [])]
    for guess, key in other_keys(of, others):
        if (how := tagged(key, packet, None)) is not None:
            return [guess, *([how] if how.code else [])]
    return []


def of_hello(packet: bytes, k_dev: bytes, pairing: tuple[str, bytes, bytes] | None) -> list[Guess]:
    """Mistakes that explain the tag of a HELLO.

    Args:
        packet: of 40 bytes or more.
        k_dev: the device's key.
        pairing: code, nonce_d and nonce_g that K_dev came from, where they are known.
    """
    tried: list[Row] = [(RIGHT, k_dev), *_device_keys(k_dev)[1:2]]
    if pairing is not None:
        code, nonce_d, nonce_g = pairing
        text = code.encode()
        for salt_guess, salt in _salts(nonce_d, nonce_g)[1:]:
            tried.append(
                (Guess(salt_guess.code, f"{salt_guess.says} of K_dev"), hkdf(text, b"VT1 device", salt=salt))
            )
        salt = nonce_d + nonce_g
        tried.append(
            (
                Guess("info_terminator", "info `VT1 device` has a terminator"),
                hkdf(text, b"VT1 device\0", salt=salt),
            )
        )
        tried.append(
            (
                Guess("code_form", "K_dev was derived from the code in small letters"),
                hkdf(text.lower(), b"VT1 device", salt=salt),
            )
        )
        tried.append(
            (
                Guess("pairing_key", "K_dev was derived from the pairing key and not from the code"),
                hkdf(pairing_key(text), b"VT1 device", salt=salt),
            )
        )
    for guess, key in tried:
        keys = [
            (RIGHT, hkdf(key, b"VT1 handshake")),
            (Guess("k_dev_direct", "K_dev itself tags it and not the handshake key"), key),
            (
                Guess("info_terminator", "info `VT1 handshake` has a terminator"),
                hkdf(key, b"VT1 handshake\0"),
            ),
            (Guess("info_name", "the info is `VT1 link` and not `VT1 handshake`"), hkdf(key, b"VT1 link")),
            (
                Guess("prk", "HKDF stops after its first step (PRK tags it)"),
                hmac.digest(bytes(32), key, "sha256"),
            ),
        ]
        if pairing is not None:
            keys.append((Guess("pairing_key", "the pairing key tags it"), pairing_key(pairing[0].encode())))
        for more, hs in keys:
            if (how := tagged(hs, packet, None)) is not None:
                return [one for one in (guess, more, how) if one.code]
    return []


def of_pair(packet: bytes, codes: list[str]) -> list[Guess]:
    """Mistakes that explain the tag of a PAIR under one of the codes on offer."""
    for code in codes:
        text = code.encode()
        for guess, key in (
            (RIGHT, hkdf(text, b"VT1 pair")),
            (Guess("code_form", "the code was taken in small letters"), hkdf(text.lower(), b"VT1 pair")),
            (Guess("code_form", "the code was taken with a line end"), hkdf(text + b"\n", b"VT1 pair")),
            (Guess("code_form", "the code was taken with a terminator"), hkdf(text + b"\0", b"VT1 pair")),
            (Guess("code_form", "the code was taken in UTF-16"), hkdf(code.encode("utf-16-le"), b"VT1 pair")),
            (Guess("info_terminator", "info `VT1 pair` has a terminator"), hkdf(text, b"VT1 pair\0")),
            (Guess("info_name", "the info is `VT1 device` and not `VT1 pair`"), hkdf(text, b"VT1 device")),
            (Guess("code_direct", "the code itself is the key"), text),
            (
                Guess("prk", "HKDF stops after its first step (PRK tags it)"),
                hmac.digest(bytes(32), text, "sha256"),
            ),
        ):
            if (how := tagged(key, packet, None)) is not None:
                return [one for one in (guess, how) if one.code]
    return []


def of_cipher(
    body: bytes, up: LinkKeys, down: LinkKeys, seq: int, t_send_ns: int, sound: Callable[[bytes], bool]
) -> Guess | None:
    """The mistake that explains why an authentic body does not read, or None.

    Args:
        body: as it came.
        up, down: the link's keys.
        seq, t_send_ns: of its header.
        sound: tells whether bytes are a body of its type.
    """
    if sound(body):
        return Guess("not_encrypted", "the body is not encrypted")
    size = len(body)
    swapped = int.from_bytes(seq.to_bytes(8, "little"), "big")
    sent = t_send_ns & (2**64 - 1)
    tried = [
        (
            Guess("index_little_endian", "the block index is little-endian; it is the one big-endian number"),
            up,
            seq,
            "<",
        ),
        (Guess("index_stands", "the block index is not counted up"), up, seq, "="),
        (Guess("index_from_one", "the block index begins at 1"), up, seq, "1"),
        (Guess("seq_big_endian", "seq is big-endian in the counter block"), up, swapped, ">"),
        (
            Guess("seq_big_endian", "seq is big-endian and the index little-endian in the counter block"),
            up,
            swapped,
            "<",
        ),
        (
            Guess("iv_missing", "iv4 is zero in the counter block"),
            LinkKeys(up.k_enc, up.k_mac, bytes(4)),
            seq,
            ">",
        ),
        (Guess("seq_other", "the counter block has t_send_ns in place of seq"), up, sent, ">"),
        (
            Guess("seq_other", "the counter block has the seq of the packet before"),
            up,
            (seq - 1) % 2**64,
            ">",
        ),
        (Guess("seq_other", "the counter block has the seq of the packet after"), up, (seq + 1) % 2**64, ">"),
        (Guess("seq_other", "the counter block has seq 0"), up, 0, ">"),
        (Guess("down_keys", "it is encrypted with the keys of the other direction"), down, seq, ">"),
        (Guess("key_order", "it is encrypted with K_mac"), LinkKeys(up.k_mac, up.k_enc, up.iv4), seq, ">"),
    ]
    for guess, keys, number, order in tried:
        if sound(_xor(body, stream(keys, number, size, order))):
            return guess
    return None


def stream(keys: LinkKeys, seq: int, size: int, order: str = ">") -> bytes:
    """What a body is XORed with.

    Args:
        keys: K_enc and iv4 of it.
        seq: u64.
        size: bytes wanted.
        order: of the block index: ">" the right way, "<" little-endian, "=" always 0, "1" counted from 1.
    """
    head = keys.iv4 + pack("<Q", seq)
    blocks = b"".join(head + _index(index, order) for index in range((size + 15) // 16))
    return Cipher(AES(keys.k_enc), ECB()).encryptor().update(blocks)[:size]


def _index(index: int, order: str) -> bytes:
    number = {"=": 0, "1": index + 1}.get(order, index)
    return number.to_bytes(4, "little" if order == "<" else "big")


def _xor(one: bytes, other: bytes) -> bytes:
    size = len(one)
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(size, "big")
