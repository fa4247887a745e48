"""Corrupted twins: packets with one fault each, the stage that finds it, and the word they are refused with.

Stages in the order of the checks: `header`, `link`, `tag`, `body`, `frame`. Faults of body and frame are sealed and
tagged as a device with its key would do it, so that nothing before them can refuse the packet.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import vt1_oracle as oracle

Json = dict[str, Any]


def outside(every: dict[str, Json], keys: Json) -> Iterator[Json]:
    """Twins that are refused before anything is decrypted.

    Args:
        every: the sound packets by name.
        keys: `handshake_key`, `pairing_key` (hex), `up` and `down` (tables of hex).
    """
    yield from _headers(every, keys)
    yield from _links(every, keys)
    yield from _tags(every, keys)


def twin(base: Json, name: str, stage: str, reason: str, why: str, packet: bytes, receiver: str = "") -> Json:
    return {
        "name": f"{base['name']}: {stage}: {name}",
        "base": base["name"],
        "why": why,
        "receiver": receiver or _receiver(base),
        "stage": stage,
        "reason": reason,
        "packet": packet.hex(),
    }


def _receiver(base: Json) -> str:
    """Who would get the sound packet."""
    if base["type"] in ("receipt", "sync"):
        return "gateway" if int(base["seq"]) < 2**48 else "device"
    return "gateway" if base["type"] in ("pair", "hello", "data", "bye") else "device"


def _key(base: Json, keys: Json) -> bytes:
    if base["type"] in ("pair", "paired"):
        return bytes.fromhex(keys["pairing_key"])
    if base["type"] in ("hello", "welcome", "reset"):
        return bytes.fromhex(keys["handshake_key"])
    return bytes.fromhex(_direction(base, keys)["k_mac"])


def _direction(base: Json, keys: Json) -> Json:
    table: Json = keys["up" if _receiver(base) == "gateway" else "down"]
    return table


def tagged(base: Json, keys: Json, start: bytes) -> bytes:
    return start + oracle.tag(_key(base, keys), start)


def sealed(base: Json, keys: Json, body: bytes) -> bytes:
    """The base packet with another body, sealed and tagged by whoever has the key."""
    start = bytes.fromhex(base["header"])
    if "sealed" not in base:
        return tagged(base, keys, start + body)
    table = _direction(base, keys)
    crypted = oracle.ctr(bytes.fromhex(table["k_enc"]), bytes.fromhex(table["iv4"]), int(base["seq"]), body)
    return tagged(base, keys, start + crypted)


def _headers(every: dict[str, Json], keys: Json) -> Iterator[Json]:
    one, full = every["data_one_frame"], every["data_full_datagram"]
    packet = bytes.fromhex(one["packet"])
    longer = bytes.fromhex(full["header"] + full["sealed"]) + b"\0"
    yield twin(
        full,
        "one byte more",
        "header",
        "oversize",
        "1,201 bytes with a tag that fits",
        tagged(full, keys, longer),
    )
    yield twin(one, "nothing", "header", "truncated", "an empty datagram", b"")
    yield twin(one, "39 bytes", "header", "truncated", "the shortest packet has 40 bytes", packet[:39])
    for index, name in enumerate(("V", "T", "1")):
        start = bytearray(packet[:-16])
        start[index] ^= 0x20
        yield twin(
            one,
            f"magic, {name}",
            "header",
            "magic",
            f"byte {index} of the magic",
            tagged(one, keys, bytes(start)),
        )
    for number in (0, 11, 255):
        start = packet[:3] + bytes([number]) + packet[4:-16]
        yield twin(one, f"type {number}", "header", "type", "no such type", tagged(one, keys, start))
    for name in ("data_one_frame", "hello", "pair", "bye_end"):
        why = "a sound packet of a type that only devices send"
        yield twin(
            every[name], "reflected", "header", "type", why, bytes.fromhex(every[name]["packet"]), "device"
        )
    for name in ("hello", "pair"):
        packet = bytes.fromhex(every[name]["packet"])
        why = "its size is fixed, so that an answer is never larger than its question"
        yield twin(every[name], "cut", "header", "malformed", why, packet[:-1])
        longer = tagged(every[name], keys, packet[:-16] + b"\0")
        yield twin(every[name], "one byte more", "header", "malformed", why, longer)
    start = bytearray(bytes.fromhex(every["pair"]["packet"])[:-16])
    start[8] = 1
    yield twin(
        every["pair"],
        "seq 1",
        "header",
        "malformed",
        "PAIR has seq 0",
        tagged(every["pair"], keys, bytes(start)),
    )


def _links(every: dict[str, Json], keys: Json) -> Iterator[Json]:
    for name in ("data_one_frame", "receipt_stored"):
        base = every[name]
        packet = bytes.fromhex(base["packet"])
        for number in (0, int(base["link"]) ^ 1):
            start = packet[:4] + struct.pack("<I", number) + packet[8:-16]
            yield twin(
                base,
                f"link {number}",
                "link",
                "unknown_link",
                "a link nobody made",
                tagged(base, keys, start),
            )

    for name in ("welcome_recording", "paired"):
        why = "link 0 is for PAIR and HELLO alone"
        packet = bytes.fromhex(every[name]["packet"])
        yield twin(every[name], "reflected", "link", "unknown_link", why, packet, "gateway")
    for name in ("hello", "pair"):
        start = bytearray(bytes.fromhex(every[name]["packet"])[:-16])
        start[4] = 1
        yield twin(
            every[name],
            "link 1",
            "link",
            "unknown_link",
            "it has link 0",
            tagged(every[name], keys, bytes(start)),
        )
    stranger = bytearray(bytes.fromhex(every["hello"]["packet"])[:-16])
    assert stranger[25] == 7
    stranger[25] = 8
    why = "a device that was never paired; its number stands in the body"
    packet = tagged(every["hello"], keys, bytes(stranger))
    yield twin(every["hello"], "device 8", "link", "unknown_device", why, packet)


def _tags(every: dict[str, Json], keys: Json) -> Iterator[Json]:
    regions = (
        ("type", 3, 0x02),
        ("seq", 8, 1),
        ("time", 16, 1),
        ("body", 24, 0x80),
        ("tag, first", -16, 1),
        ("tag, last", -1, 0x80),
    )
    for name in (
        "pair",
        "paired",
        "hello",
        "welcome_recording",
        "reset_moved",
        "data_one_frame",
        "receipt_stored",
    ):
        base = every[name]
        for region, index, bit in regions:
            packet = bytearray(bytes.fromhex(base["packet"]))
            if region == "type":
                # to another type of the same direction and key, so that only the tag can tell
                other = {"reset": 4, "data": 9, "receipt": 8}
                if base["type"] not in other:
                    continue
                packet[3] = other[base["type"]]
            elif region == "seq" and name == "pair":
                continue  # a PAIR with another seq does not come as far as its tag
            elif region == "body" and name == "hello":
                # a HELLO is read before its tag is checked, since it says whose key that is: a byte of its nonce
                packet[40] ^= bit
            else:
                packet[index] ^= bit
            yield twin(base, f"bit of {region}", "tag", "bad_tag", f"one change in {region}", bytes(packet))
        start = bytes.fromhex(base["packet"])[:-16]
        yield twin(base, "tag of zeros", "tag", "bad_tag", "no tag at all", start + bytes(16))
        if name not in ("pair", "hello"):
            cut = bytes.fromhex(base["packet"])[:-1]
            yield twin(base, "cut", "tag", "bad_tag", "the last byte is missing", cut)
    data, hello = every["data_one_frame"], every["hello"]
    start = bytes.fromhex(data["packet"])[:-16]
    wrong = oracle.tag(bytes.fromhex(keys["down"]["k_mac"]), start)
    yield twin(data, "other direction's key", "tag", "bad_tag", "reflected", start + wrong)
    start = bytes.fromhex(hello["packet"])[:-16]
    wrong = oracle.tag(bytes.fromhex(keys["pairing_key"]), start)
    yield twin(hello, "pairing key", "tag", "bad_tag", "another key of the same device", start + wrong)
    for name in ("command_open", "reset_ended"):
        why = "a gateway's own packet, under a key that no device's packet has"
        yield twin(
            every[name], "reflected", "tag", "bad_tag", why, bytes.fromhex(every[name]["packet"]), "gateway"
        )
