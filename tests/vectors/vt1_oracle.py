"""VT1 built a second time, from `plugins/SPEC.md` alone: struct, hmac, hashlib, AES blocks and the msgpack package.

It shares no line with the gateway, so that what both agree on is the specification and not one program's habit. The
cipher is made as a plugin makes it, out of single AES blocks, and compared with the library's counter mode.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import struct
from dataclasses import dataclass
from typing import Any

import msgpack
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR, ECB

TYPES = {
    name: number
    for number, name in enumerate(
        ("pair", "paired", "hello", "welcome", "data", "receipt", "sync", "command", "bye", "reset"), 1
    )
}
HELLO_BYTES = 512
PAIR_BYTES = 256
UP, DOWN = 0, 1
NAN_BITS = 0x7FC0_0000  # the quiet NaN that vectors use; SPEC, "Sample records"

SEED = bytes.fromhex("5654312076656374 6f72732c20736565 6420312e20202020 2020202020202020")


def fixed(label: str, size: int) -> bytes:
    """Bytes that look random and are the same in every run: HMAC-SHA256(SEED, label || counter)."""
    out = b""
    while len(out) < size:
        out += hmac.new(SEED, label.encode() + bytes([len(out) // 32]), hashlib.sha256).digest()
    return out[:size]


def hkdf_extract(salt: bytes, ikm: bytes) -> bytes:
    """RFC 5869, section 2.2; an empty salt is 32 zero bytes."""
    return hmac.new(salt or bytes(32), ikm, hashlib.sha256).digest()


def hkdf_expand(prk: bytes, info: bytes, size: int) -> bytes:
    """RFC 5869, section 2.3."""
    out = previous = b""
    for counter in range(1, -(-size // 32) + 1):
        previous = hmac.new(prk, previous + info + bytes([counter]), hashlib.sha256).digest()
        out += previous
    return out[:size]


def hkdf(ikm: bytes, info: bytes, salt: bytes = b"", size: int = 32) -> bytes:
    """Extract and expand."""
    return hkdf_expand(hkdf_extract(salt, ikm), info, size)


def aes_block(key: bytes, block: bytes) -> bytes:
    """One AES-256 block, as every engine has it."""
    return Cipher(AES(key), ECB()).encryptor().update(block)


def counter_block(iv4: bytes, seq: int, index: int) -> bytes:
    """iv4 || seq u64 little-endian || block index u32 big-endian."""
    return iv4 + struct.pack("<Q", seq) + struct.pack(">I", index)


def ctr(key: bytes, iv4: bytes, seq: int, data: bytes) -> bytes:
    """Encrypt or decrypt a body out of single blocks."""
    blocks = range(-(-len(data) // 16))
    stream = b"".join(aes_block(key, counter_block(iv4, seq, index)) for index in blocks)
    out = bytes(a ^ b for a, b in zip(data, stream, strict=False))
    library = Cipher(AES(key), CTR(counter_block(iv4, seq, 0))).encryptor().update(data)
    assert out == library, "our blocks and the library's counter mode differ"
    return out


@dataclass(frozen=True)
class Keys:
    """Keys of one direction of one link, with the steps that lead to them."""

    salt: bytes
    info: bytes
    prk: bytes
    okm: bytes

    @property
    def k_enc(self) -> bytes:
        return self.okm[:32]

    @property
    def k_mac(self) -> bytes:
        return self.okm[32:64]

    @property
    def iv4(self) -> bytes:
        return self.okm[64:68]


def link_keys(k_dev: bytes, nonce_d: bytes, nonce_g: bytes, device: int, link: int, direction: int) -> Keys:
    """SPEC, "Keys"."""
    salt = nonce_d + nonce_g
    info = b"VT1 link" + struct.pack("<IIB", device, link, direction)
    prk = hkdf_extract(salt, k_dev)
    return Keys(salt, info, prk, hkdf_expand(prk, info, 68))


def tag(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()[:16]


def header(kind: str | int, link: int, seq: int, t_send_ns: int) -> bytes:
    number = TYPES[kind] if isinstance(kind, str) else kind
    return b"VT1" + struct.pack("<BIQq", number, link, seq, t_send_ns)


def pack(value: object) -> bytes:
    """MessagePack in its shortest form; floats are float64."""
    packed: bytes = msgpack.packb(value, use_bin_type=True, use_single_float=False)
    return packed


def pack_padded(fields: list[Any], packet_bytes: int) -> tuple[bytes, int]:
    """A body whose last field is zero bytes, so many that header, body and tag have `packet_bytes`; and how many."""
    for size in range(packet_bytes):
        body = pack([*fields, bytes(size)])
        if len(body) == packet_bytes - 40:
            return body, size
    raise AssertionError("no padding gives this size")


# Sample records: name -> fields as (name, type, count). A type is a number's or another record's name.
RECORDS: dict[str, list[tuple[str, str, int]]] = {
    "pose": [
        ("t_capture_ns", "i64", 1),
        ("tracker", "u8", 1),
        ("space", "u8", 1),
        ("flags", "u16", 1),
        ("position_m", "f32", 3),
        ("orientation", "f32", 4),
        ("linear_velocity", "f32", 3),
        ("angular_velocity", "f32", 3),
    ],
    "eye": [("origin_m", "f32", 3), ("direction", "f32", 3), ("pupil_mm", "f32", 1), ("openness", "f32", 1)],
    "gaze": [
        ("t_capture_ns", "i64", 1),
        ("device_seq", "u32", 1),
        ("flags_left", "u16", 1),
        ("flags_right", "u16", 1),
        ("left", "eye", 1),
        ("right", "eye", 1),
        ("combined_origin_m", "f32", 3),
        ("combined_direction", "f32", 3),
        ("vergence_m", "f32", 1),
        ("confidence", "f32", 1),
    ],
    "joint": [
        ("position_m", "f32", 3),
        ("orientation", "f32", 4),
        ("radius_m", "f32", 1),
        ("flags", "u32", 1),
    ],
    "hand": [
        ("t_capture_ns", "i64", 1),
        ("hand", "u8", 1),
        ("source", "u8", 1),
        ("flags", "u16", 1),
        ("confidence", "f32", 1),
        ("joints", "joint", 26),
    ],
    "haptic": [
        ("t_capture_ns", "i64", 1),
        ("duration_ns", "i64", 1),
        ("frequency_hz", "f32", 1),
        ("amplitude", "f32", 1),
        ("target", "u8", 1),
        ("event", "u8", 1),
        ("actuator", "u16", 1),
        ("effect_id", "u32", 1),
    ],
    "button": [
        ("t_capture_ns", "i64", 1),
        ("control", "u16", 1),
        ("event", "u8", 1),
        ("reserved", "u8", 5),
        ("value", "f32", 2),
    ],
    "clock": [
        ("t_capture_ns", "i64", 1),
        ("gateway_received_ns", "i64", 1),
        ("gateway_sent_ns", "i64", 1),
        ("t_returned_ns", "i64", 1),
        ("offset_ns", "i64", 1),
        ("uncertainty_ns", "u32", 1),
        ("source", "u8", 1),
        ("reserved", "u8", 3),
    ],
    "marker": [("t_capture_ns", "i64", 1), ("code", "u16", 1), ("length", "u16", 1), ("text", "bytes", 0)],
    "info": [("t_capture_ns", "i64", 1), ("length", "u16", 1), ("json", "bytes", 0)],
    "pcm": [
        ("t_capture_ns", "i64", 1),
        ("sample_rate_hz", "u32", 1),
        ("count", "u16", 1),
        ("target", "u8", 1),
        ("format", "u8", 1),
        ("values", "i16", 0),
    ],
}
KINDS = {
    "pose": 1,
    "gaze": 2,
    "hand": 3,
    "haptic": 4,
    "button": 5,
    "clock": 6,
    "marker": 7,
    "info": 8,
    "pcm": 9,
    "face_fb2": 16,
    "face_arkit": 17,
    "face_unified": 18,
    "face_htc": 19,
}
FACES = {"face_fb2": (1, 70), "face_arkit": (2, 52), "face_unified": (3, 143), "face_htc": (4, 51)}
for _name, (_schema, _weights) in FACES.items():
    RECORDS[_name] = [
        ("t_capture_ns", "i64", 1),
        ("schema", "u16", 1),
        ("count", "u16", 1),
        ("flags", "u16", 1),
        ("upper_confidence", "u8", 1),
        ("lower_confidence", "u8", 1),
        ("weights", "f32", _weights),
    ]
NUMBERS = {"i64": "<q", "u32": "<I", "u16": "<H", "i16": "<h", "u8": "<B"}


def record_bytes(name: str, values: dict[str, Any]) -> bytes:
    """Encode one sample; scalars where the count is 1, lists elsewhere."""
    out = b""
    for field, kind, count in RECORDS[name]:
        value = values[field]
        if kind == "bytes":
            out += value
            continue
        for item in value if count != 1 else [value]:
            if kind in RECORDS:
                out += record_bytes(kind, item)
            elif kind == "f32":
                out += struct.pack("<I", NAN_BITS) if math.isnan(item) else struct.pack("<f", item)
            else:
                out += struct.pack(NUMBERS[kind], item)
    return out


def layout(name: str) -> dict[str, Any]:
    """The record as a table with offsets, for other languages; count 0 means "as many as the header says"."""
    sizes = {"i64": 8, "u32": 4, "u16": 2, "i16": 2, "u8": 1, "f32": 4, "bytes": 1}
    offset, rows = 0, []
    for field, kind, count in RECORDS[name]:
        rows.append({"name": field, "type": kind, "count": count, "offset": offset})
        offset += count * (layout(kind)["bytes"] if kind in RECORDS else sizes[kind])
    return {"bytes": offset, "fields": rows}
