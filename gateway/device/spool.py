"""The spool's bytes: sealed packets in files, and the links of an earlier run that are read from them.

Source: VT1, "Spool". Nothing here touches a disk: a driver gives and takes bytes. What encrypts the uplink is not kept:
after a restart nothing can be sealed on such a link, so no seq can be used twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from struct import Struct
from typing import Final

import msgspec

from gateway.errors import WireError
from gateway.ids import U32_MAX, U64_MAX
from gateway.keys.link import LINK_KEY_BYTES, LinkKeys, tag_matches
from gateway.wire import control
from gateway.wire import packet as wire

MAGIC: Final = b"VTS1"
SEGMENT_BYTES: Final = 4 * 1024 * 1024  # a segment goes when all of its packets have: smaller ones go sooner
MAC_BYTES: Final = 32
SESSION_BYTES: Final = 16
MAX_HEADER_BYTES: Final = 512  # some 200 are used

_RECORD: Final = Struct("<HI")
_HEAD: Final = Struct("<4sH")


@dataclass(frozen=True, slots=True)
class LinkCard:
    """What a link is known by, and what it takes to go on waiting for its receipts.

    Args:
        device: its number.
        run: u64, of the start of the app that made the link.
        link: its number.
        session: 16 bytes.
        gateway: name of the gateway, for MQTT's topics.
        up_mac: K_mac up, 32 bytes: checks what is read back; whoever reads it can forge tags, and decrypt nothing.
        down: keys of the downlink.
    """

    device: int
    run: int
    link: int
    session: bytes
    gateway: str
    up_mac: bytes = field(repr=False)
    down: LinkKeys = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeptPacket:
    """A packet that lies in the spool.

    Args:
        seq: its number on its link.
        samples: how many it carries.
        size: its bytes.
        tag: its last 16 bytes, so that a RESET may name it.
        final: True for BYE.
    """

    seq: int
    samples: int
    size: int
    tag: bytes
    final: bool


@dataclass(frozen=True, slots=True)
class KeptLink:
    """A link of an earlier run.

    Args:
        card: what it is known by.
        packets: what is kept of it, ascending, each seq once.
    """

    card: LinkCard
    packets: tuple[KeptPacket, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """A record of a segment.

    Args:
        packet: what is kept.
        offset: where the packet's bytes begin in the file.
    """

    packet: KeptPacket
    offset: int


class _Head(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    device: int
    run: int
    link: int
    session: bytes
    gateway: str
    up_mac: bytes
    down: bytes


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(_Head)


def segment_name(link: int, number: int) -> str:
    """Name of a segment's file: `LINK-N.vts`."""
    return f"{link}-{number}.vts"


def parse_segment_name(name: str) -> tuple[int, int] | None:
    """Link and number of a segment's file; None for another file's name."""
    link, dash, number = name.removesuffix(".vts").partition("-")
    if not dash or not (link.isdecimal() and number.isdecimal() and link.isascii() and number.isascii()):
        return None
    if len(name) > 32 or segment_name(int(link), int(number)) != name:
        return None
    return int(link), int(number)


def encode_header(card: LinkCard) -> bytes:
    """How a segment begins."""
    down = card.down.k_enc + card.down.k_mac + card.down.iv4
    body = _encode(_Head(card.device, card.run, card.link, card.session, card.gateway, card.up_mac, down))
    return _HEAD.pack(MAGIC, len(body)) + body


def encode_record(samples: int, packet: bytes) -> bytes:
    """One packet of a segment.

    Args:
        samples: u32, how many it carries.
        packet: DATA or BYE, as it was sent.
    """
    return _RECORD.pack(len(packet), samples) + packet


def decode_header(data: bytes) -> tuple[LinkCard, int]:
    """Read the beginning of a segment.

    Returns:
        The link, and where the first record begins.

    Raises:
        WireError: `spool`, it is no segment of this format, or it is torn in its header.
    """
    if len(data) < _HEAD.size:
        raise WireError("spool", "a segment that ends in its header")
    magic, size = _HEAD.unpack_from(data)
    end = _HEAD.size + size
    if magic != MAGIC or size > MAX_HEADER_BYTES or end > len(data):
        raise WireError("spool", "no segment of a spool, or one that ends in its header")
    try:
        head = _decoder.decode(data[_HEAD.size : end])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError("spool", "a segment whose header does not parse") from error
    sound = (
        0 < head.device <= U32_MAX
        and 0 <= head.run <= U64_MAX
        and 0 < head.link <= U32_MAX
        and len(head.session) == SESSION_BYTES
        and control.is_topic_name(head.gateway)
        and len(head.up_mac) == MAC_BYTES
        and len(head.down) == LINK_KEY_BYTES
    )
    if not sound:
        raise WireError("spool", "a segment whose header is out of range")
    down = LinkKeys(head.down[:32], head.down[32:64], head.down[64:])
    card = LinkCard(head.device, head.run, head.link, head.session, head.gateway, head.up_mac, down)
    return card, end


def records(card: LinkCard, data: bytes, offset: int) -> Iterator[Record]:
    """The records of a segment, up to its end or the first that is not sound.

    Args:
        card: of the segment's header.
        data: the whole file.
        offset: where the first record begins.

    Yields:
        Sound records. What follows the last of them is a torn tail: `Record.offset + packet.size` is where it begins.
    """
    while offset + _RECORD.size <= len(data):
        size, samples = _RECORD.unpack_from(data, offset)
        begin = offset + _RECORD.size
        if begin + size > len(data):
            return
        packet = data[begin : begin + size]
        try:
            header = wire.parse_header(packet, wire.MAX_MQTT_BYTES)
        except WireError:
            return
        if header.link != card.link or header.type not in (wire.DATA, wire.BYE):
            return
        if not tag_matches(card.up_mac, packet):
            return
        tag = packet[-wire.TAG_BYTES :]
        yield Record(KeptPacket(header.seq, samples, size, tag, header.type == wire.BYE), begin)
        offset = begin + size


def in_order(packets: Iterable[KeptPacket]) -> tuple[KeptPacket, ...]:
    """Packets of one link, ascending; of one that was kept twice the first counts."""
    found: dict[int, KeptPacket] = {}
    for packet in packets:
        found.setdefault(packet.seq, packet)
    return tuple(found[seq] for seq in sorted(found))
