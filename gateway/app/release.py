"""The one place where what is sealed becomes plaintext: parts and texts, opened and held against what was signed.

Whoever gives any of it to a person has asked `decide` before and made the `access` entry durable (hop 7 in
gateway/README.md); `verify` opens parts too, looks whether they are what their roots say, and gives nothing away.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import msgspec

from gateway.core.part import Core, Payload, leaves_of, parse_header, parse_payload
from gateway.core.records import Text
from gateway.entries.envelope import Body
from gateway.entries.types import commitment
from gateway.errors import Damage, LocalError, SignatureError, WireError
from gateway.keys import seal
from gateway.tlog.merkle import root_of


@dataclass(frozen=True, slots=True)
class OpenedPart:
    """A part whose frames are those that its root names.

    Args:
        core: from its header.
        payload: plaintext.
        salts: 16 bytes for each frame.
        leaves: salted leaf hashes, in the order of the frames.
    """

    core: Core
    payload: Payload
    salts: bytes
    leaves: list[bytes]


def open_part(header: bytes, payload: bytes, session: bytes, subject_key: bytes) -> OpenedPart:
    """Open a part, and check it down to its root.

    Args:
        header: core || SHA-256(payload), as the vault holds it.
        payload: sealed.
        session: id of its session, 16 bytes.
        subject_key: 32 bytes.

    Raises:
        Damage: `part_header`, `payload_hash`, `payload_seal`, `payload`, `part_frames`, `part_root`.
    """
    try:
        core, core_bytes, digest = parse_header(header)
    except WireError as error:
        raise Damage("part_header", error.message) from error
    if sha256(payload).digest() != digest:
        raise Damage("payload_hash", "a payload is not the one that its header names")
    key = seal.part_data_key(seal.session_data_key(subject_key, session), core.part_id)
    try:
        plain = parse_payload(seal.unseal(key, payload, core_bytes))
    except SignatureError as error:
        raise Damage("payload_seal", "a payload does not open with its subject's key") from error
    except WireError as error:
        raise Damage("payload", error.message) from error
    if len(plain.frames) != core.counts[0]:
        raise Damage(
            "part_frames", f"a part holds {len(plain.frames)} frames, and its header says {core.counts[0]}"
        )
    salts = seal.part_salts(seal.session_salt_key(subject_key, session), core.part_id, len(plain.frames))
    leaves = leaves_of(plain.frames, salts)
    if root_of(leaves) != core.root:
        raise Damage("part_root", "the frames of a part do not have the root that its header names")
    return OpenedPart(core, plain, salts, leaves)


def open_text(text: Text, key: bytes) -> Body:
    """Open the text behind a commitment, and check that it is the one that was committed to.

    Args:
        text: as it is stored.
        key: its subject's, or the store's for what has no subject.

    Raises:
        Damage: `text`.
    """
    try:
        own = seal.hkdf(key, b"vestibule/text", salt=text.commit)
        salt, encoded = msgspec.msgpack.decode(
            seal.unseal(own, text.sealed, text.commit), type=tuple[bytes, bytes]
        )
        body = msgspec.json.decode(encoded, type=dict[str, object])
        if commitment(salt, body) == text.commit:  # type: ignore[arg-type]
            return body  # type: ignore[return-value]
    except (SignatureError, LocalError, msgspec.DecodeError) as error:
        raise Damage("text", "the text behind a commitment does not open") from error
    raise Damage("text", "a text is not the one that was committed to")
