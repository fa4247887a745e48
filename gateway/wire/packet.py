"""The packet: an authenticated datagram or MQTT payload. Header and limits only; keys live in `keys/link`.

Layout, little-endian (`plugins/SPEC.md`, "Packet")::

    "VT1" type:u8 | link:u32 | seq:u64 | t_send_ns:i64 | body | tag[16]

Whatever comes in is measured before it is parsed: a packet that is too long costs one comparison.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from gateway.errors import WireError

MAGIC: Final = b"VT1"
HEADER: Final = struct.Struct("<3sBIQq")
HEADER_BYTES: Final = HEADER.size
TAG_BYTES: Final = 16
MIN_BYTES: Final = HEADER_BYTES + TAG_BYTES
MAX_DATAGRAM_BYTES: Final = 1200  # below the IPv6 minimum MTU less tunnels, so that Wi-Fi never fragments it
MAX_MQTT_BYTES: Final = 16 * 1024
HELLO_BYTES: Final = 512  # HELLO is padded to this; WELCOME never exceeds it, so an answer never amplifies
PAIR_BYTES: Final = 256  # the same for PAIR and PAIRED

PAIR: Final = 1
PAIRED: Final = 2
HELLO: Final = 3
WELCOME: Final = 4
DATA: Final = 5
RECEIPT: Final = 6
SYNC: Final = 7
COMMAND: Final = 8
BYE: Final = 9
RESET: Final = 10

TYPE_NAMES: Final[dict[int, str]] = {
    PAIR: "pair",
    PAIRED: "paired",
    HELLO: "hello",
    WELCOME: "welcome",
    DATA: "data",
    RECEIPT: "receipt",
    SYNC: "sync",
    COMMAND: "command",
    BYE: "bye",
    RESET: "reset",
}
CLEAR: Final = frozenset((PAIR, PAIRED, HELLO, WELCOME, RESET))
"""Types whose body is not encrypted: their tag is keyed by the code or the handshake key."""

UPLINK: Final = frozenset((PAIR, HELLO, DATA, RECEIPT, SYNC, BYE))
"""What a gateway accepts; every other type that reaches it is refused."""

DOWNLINK: Final = frozenset((PAIRED, WELCOME, RECEIPT, SYNC, COMMAND, RESET))
"""What a device accepts."""


class Header(NamedTuple):
    """The fixed fields of a packet.

    Args:
        type: one of the constants above.
        link: u32 link id; 0 for PAIR, PAIRED, HELLO.
        seq: u64; the counter of the sender in this direction, in HELLO the device's persistent counter.
        t_send_ns: i64, the sender's monotonic clock at the first send, in nanoseconds.
    """

    type: int
    link: int
    seq: int
    t_send_ns: int


def parse_header(packet: bytes, max_bytes: int = MAX_DATAGRAM_BYTES) -> Header:
    """Check length, magic and type, and read the header.

    Args:
        packet: the whole packet, tag included.
        max_bytes: `MAX_DATAGRAM_BYTES` or `MAX_MQTT_BYTES`.

    Returns:
        The header; nothing about it is authenticated yet.

    Raises:
        WireError: codes `oversize`, `truncated`, `magic`, `type`.
    """
    size = len(packet)
    if size > max_bytes:
        raise WireError("oversize", f"a packet of {size} bytes; at most {max_bytes} are taken")
    if size < MIN_BYTES:
        raise WireError("truncated", f"a packet of {size} bytes; the shortest has {MIN_BYTES}")
    magic, kind, link, seq, t_send_ns = HEADER.unpack_from(packet)
    if magic != MAGIC:
        raise WireError("magic", "not a VT1 packet")
    if kind not in TYPE_NAMES:
        raise WireError("type", f"unknown packet type {kind}")
    # As `Header(...)`, which would call a Python function for each packet.
    return tuple.__new__(Header, (kind, link, seq, t_send_ns))


def pack_header(kind: int, link: int, seq: int, t_send_ns: int) -> bytes:
    """The 24 header bytes of a packet; see `Header` for the fields."""
    return HEADER.pack(MAGIC, kind, link, seq, t_send_ns)


def body_of(packet: bytes) -> memoryview:
    """The bytes between header and tag, without a copy."""
    return memoryview(packet)[HEADER_BYTES:-TAG_BYTES]
