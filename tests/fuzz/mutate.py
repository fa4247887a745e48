"""Bytes that are almost right: seeds from the vectors and from valid packets, and ways to spoil them."""

from __future__ import annotations

import json
import os
import random
import secrets
import time
from collections.abc import Iterator

from paths import VECTORS

INTERESTING = (
    0,
    1,
    0x7F,
    0x80,
    0x90,
    0x92,
    0x9F,
    0xC0,
    0xC1,
    0xC4,
    0xC6,
    0xCC,
    0xCF,
    0xD3,
    0xDC,
    0xDD,
    0xDF,
    0xFF,
)


def seed() -> int:
    """The seed of this run; `VESTIBULE_FUZZ_SEED` repeats one."""
    given = os.environ.get("VESTIBULE_FUZZ_SEED")
    return int(given) if given else secrets.randbits(32)


def rounds(count: int | None) -> Iterator[int]:
    """0, 1, 2 ...: so many, or for `VESTIBULE_FUZZ_SECONDS` (5 without it)."""
    until = time.monotonic() + float(os.environ.get("VESTIBULE_FUZZ_SECONDS", "5"))
    n = 0
    while n < count if count is not None else n % 64 or time.monotonic() < until:
        yield n
        n += 1


def vector_packets() -> list[tuple[bytes, int, bytes]]:
    """`(packet, type, body in the clear)` of every packet of the vectors, the spoilt ones too."""
    found = []
    for name in ("uplink", "downlink", "handshake", "pairing", "corrupt"):
        for row in json.loads((VECTORS / "vt1" / f"{name}.json").read_text(encoding="ascii"))["packets"]:
            packet = bytes.fromhex(row["packet"])
            if len(packet) > 40:
                found.append((packet, packet[3], bytes.fromhex(row.get("body") or row["packet"][48:-32])))
    return found


def spoil(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """One to four small changes: bits, bytes, cuts, repeats, numbers, or a piece of another."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        size = len(out)
        at = rng.randrange(size + 1)
        match rng.randrange(9):
            case 0 if size:
                out[at % size] ^= 1 << rng.randrange(8)
            case 1 if size:
                out[at % size] = rng.choice(INTERESTING)
            case 2:
                del out[at : at + rng.randrange(1, 9)]
            case 3:
                out[at:at] = rng.randbytes(rng.randrange(1, 9))
            case 4:
                out[at:at] = out[at : at + rng.randrange(1, 40)]
            case 5:
                other = rng.choice(others)
                cut = rng.randrange(len(other) + 1)
                out[at:] = other[cut:]
            case 6:
                del out[at:]
            case 7:
                width = rng.choice((2, 4, 8))
                number = rng.choice((0, 1, 2**15, 2**24 + 1, 2**31, 2**53, 2**63, 2**64 - 1)) % (
                    1 << 8 * width
                )
                out[at : at + width] = number.to_bytes(width, rng.choice(("little", "big")))
            case _:
                out[at : at + 1] = bytes([rng.choice(INTERESTING)])
    return bytes(out)
