"""Where exactly a sealed payload was changed: the byte in its segment, and the frame it belongs to.

The hash in the header says that a payload was changed; the tag of its seal, with the subject's key, says where, if it
was one byte. What is found is confirmed against that same hash, so a place that is named is certain.
"""

from __future__ import annotations

import os
from hashlib import sha256
from typing import Final

from gateway.app.release import open_part
from gateway.core.part import parse_header
from gateway.core.records import PartRow
from gateway.errors import Damage, WireError
from gateway.keys import seal
from gateway.keys.locate import changed_byte
from gateway.store.layout import Layout, open_file
from gateway.store.vault import RECORD_BYTES, segment_path

ONE_BYTE: Final = (
    "Keep the store as it is, and run `vestibule fsck`: it names the byte and the value to set it to."
)


def localise(damage: Damage, layout: Layout, row: PartRow, subject_key: bytes | None) -> Damage:
    """Sharpen a fault of a payload.

    Args:
        damage: what reading the part raised.
        layout: of the store.
        row: of the part.
        subject_key: None where it is not here.

    Returns:
        The same, with `offset` (the byte in the segment), `right` (the value that it should have) and `frame` where
        they could be found.
    """
    if damage.code != "payload_hash" or subject_key is None:
        return damage
    header, payload = _bytes_of(layout, row)
    try:
        core, core_bytes, digest = parse_header(header)
    except WireError:
        return damage
    key = seal.part_data_key(seal.session_data_key(subject_key, row.session), core.part_id)
    found = changed_byte(key, payload, core_bytes)
    if found is None:
        return damage
    position, right = found
    mended = payload[:position] + bytes((right,)) + payload[position + 1 :]
    if sha256(mended).digest() != digest:
        return damage
    where = dict(damage.where)
    where["offset"] = row.offset + RECORD_BYTES + row.header_bytes + position
    where["right"] = f"0x{right:02x}"
    try:
        frames = open_part(header, mended, row.session, subject_key).payload.frames
    except Damage:
        frames = []
    if (frame := _frame_at(frames, len(payload) - seal.TAG_BYTES, position)) is not None:
        where["frame"] = frame
    return Damage(damage.code, "one byte of a payload was changed", ONE_BYTE, where=where)


def _bytes_of(layout: Layout, row: PartRow) -> tuple[bytes, bytes]:
    fd = open_file(segment_path(layout.vault, row.segment))
    try:
        data = os.pread(fd, row.header_bytes + row.payload_bytes, row.offset + RECORD_BYTES)
    finally:
        os.close(fd)
    return data[: row.header_bytes], data[row.header_bytes :]


def _frame_at(frames: list[bytes], plain_bytes: int, position: int) -> int | None:
    # The frames are the end of the plaintext, each behind its MessagePack length.
    end = plain_bytes
    for index in range(len(frames) - 1, -1, -1):
        size = len(frames[index])
        start = end - size
        if start <= position < end:
            return index
        end = start - (2 if size < 1 << 8 else 3 if size < 1 << 16 else 5)
        if end <= position < start:
            return index
    return None
