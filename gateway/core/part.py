"""A part: the frames of one session in one cycle, as salted leaves under a root and a sealed payload.

Builds and opens; both sides are here so that what `verify` reads is what the seal wrote. Nothing here decides. Source:
docs/store-format.md, "Parts".
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from gateway.errors import WireError
from gateway.keys import seal
from gateway.tlog import merkle

FORMAT: Final = 1
PART_ID_BYTES: Final = 32
SALT_BYTES: Final = 16
ARRIVAL: Final = struct.Struct("<IQqqqHH")
"""link u32, seq u64, t_send_ns i64, arrived_ns i64, at_ms i64, frames stored u16, frames refused u16."""

Observation = tuple[int, int, int, str]
"""`(stream, first_sample, last_sample, code)`; codes in `core/observations`."""


class StreamTotals(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """How one stream's sum stands after this part: `total = stored + refused + missing`, in samples."""

    device: int
    run: int
    stream: int
    kind: int
    total: int
    stored: int
    missing: int
    refused: list[tuple[str, int]]


class Core(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The part header without the payload's hash.

    Args:
        format: 1.
        part_id: 32 random bytes; the payload key and the salts derive from it.
        session_commitment: 32 bytes, as in the session's entries.
        root: RFC 6962 root over the salted leaves.
        counts: `(frames, samples, packets)`.
        first_ns, last_ns: the gateway's monotonic clock at the first and the last packet; 0 without packets.
        totals: streams that changed, or all of them at a session's end; the latest part is the truth.
        refusals: `(reason, frames)` refused in this cycle, inside and outside the sum.
    """

    format: int
    part_id: bytes
    session_commitment: bytes
    root: bytes
    counts: tuple[int, int, int]
    first_ns: int
    last_ns: int
    totals: list[StreamTotals]
    refusals: list[tuple[str, int]]


class Payload(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The plaintext of a part's payload: arrivals (`ARRIVAL` records), observations, frames in leaf order."""

    format: int
    arrivals: bytes
    observations: list[Observation]
    frames: list[bytes]


@dataclass(frozen=True, slots=True)
class SealedPart:
    """A part ready for the vault.

    Args:
        header: core || SHA-256(payload).
        payload: sealed.
        core: decoded.
    """

    header: bytes
    payload: bytes
    core: Core


_encode = msgspec.msgpack.Encoder().encode
_decode_core = msgspec.msgpack.Decoder(Core).decode
_decode_payload = msgspec.msgpack.Decoder(Payload).decode


def leaves_of(frames: Sequence[bytes], salts: bytes) -> list[bytes]:
    """Leaf hashes `H(0x00 || salt || frame)`; `salts` has 16 bytes for each frame."""
    sha256 = hashlib.sha256
    return [
        sha256(b"\x00" + salts[at : at + SALT_BYTES] + data).digest()
        for at, data in zip(range(0, len(frames) * SALT_BYTES, SALT_BYTES), frames, strict=True)
    ]


def build(
    part_id: bytes,
    session: bytes,
    commitment: bytes,
    subject_key: bytes,
    arrivals: bytes,
    observations: list[Observation],
    frames: list[bytes],
    samples: int,
    span_ns: tuple[int, int],
    totals: list[StreamTotals],
    refusals: list[tuple[str, int]],
) -> SealedPart:
    """Seal one part.

    Args:
        part_id: 32 fresh random bytes; never used again, also not after a crash.
        session: 16 bytes.
        commitment: the session's.
        subject_key: 32 bytes.
        arrivals: packed `ARRIVAL` records.
        frames: leaf data in order.
        samples: how many samples the frames hold.
        span_ns: arrival of the first and last packet.
    """
    salts = seal.part_salts(seal.session_salt_key(subject_key, session), part_id, len(frames))
    core = Core(
        FORMAT,
        part_id,
        commitment,
        merkle.root_of(leaves_of(frames, salts)),
        (len(frames), samples, len(arrivals) // ARRIVAL.size),
        *span_ns,
        totals,
        refusals,
    )
    core_bytes = _encode(core)
    key = seal.part_data_key(seal.session_data_key(subject_key, session), part_id)
    payload = seal.seal(key, _encode(Payload(FORMAT, arrivals, observations, frames)), core_bytes)
    return SealedPart(core_bytes + hashlib.sha256(payload).digest(), payload, core)


def parse_header(header: bytes) -> tuple[Core, bytes, bytes]:
    """Read a part header.

    Returns:
        `(core, core bytes, SHA-256 of the sealed payload)`.

    Raises:
        WireError: `malformed`, `not_canonical`.
    """
    core_bytes, digest = header[:-32], header[-32:]
    try:
        core = _decode_core(core_bytes)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError("malformed", "not a part header") from error
    if core.format != FORMAT or _encode(core) != core_bytes or len(digest) != 32:
        raise WireError("not_canonical", "a part header that is not in its canonical form")
    return core, core_bytes, digest


def parse_payload(plaintext: bytes) -> Payload:
    """Read a payload that was unsealed.

    Raises:
        WireError: `malformed`, `not_canonical`.
    """
    try:
        payload = _decode_payload(plaintext)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError("malformed", "not a part payload") from error
    if payload.format != FORMAT or _encode(payload) != plaintext or len(payload.arrivals) % ARRIVAL.size:
        raise WireError("not_canonical", "a part payload that is not in its canonical form")
    return payload
