"""Sealing data at rest: HKDF-SHA256 (RFC 5869), ChaCha20-Poly1305 and the salt key stream (RFC 8439).

Guards the rule that no counter is ever a nonce for data at rest (docs/store-format.md, "Parts"). Every part has its
own keys, derived from a fresh random `part_id`, and each of those keys seals exactly once, with nonce zero.
"""

from __future__ import annotations

import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from gateway.errors import LocalError, SignatureError

KEY_BYTES = 32
NONCE_BYTES = 12  # RFC 8439 section 2.8
TAG_BYTES = 16
SALT_BYTES = 16  # one leaf's salt: docs/store-format.md, "Parts"
HASH_BYTES = 32
MAX_HKDF_BYTES = 255 * HASH_BYTES  # RFC 5869 section 2.3
MAX_STREAM_BYTES = 64 << 32  # RFC 8439 section 2.4: the block counter has 32 bits

_ZERO_NONCE = bytes(NONCE_BYTES)


def hkdf(ikm: bytes, info: bytes, length: int = 32, salt: bytes = b"") -> bytes:
    """HKDF-SHA256, extract and expand.

    Args:
        ikm: input key material, any length.
        info: what the key is for; the domain separation.
        length: bytes wanted, 1..8160.
        salt: may be empty, which RFC 5869 defines as 32 zero bytes.

    Returns:
        `length` bytes.

    Raises:
        LocalError: `key_length`, `length` out of range.
    """
    if not 0 < length <= MAX_HKDF_BYTES:
        raise LocalError("key_length", f"HKDF-SHA256 gives 1 to {MAX_HKDF_BYTES} bytes, not {length}")
    prk = hmac.digest(salt or bytes(HASH_BYTES), ikm, "sha256")
    block = b""
    out = b""
    counter = 1
    while len(out) < length:
        block = hmac.digest(prk, block + info + bytes((counter,)), "sha256")
        out += block
        counter += 1
    return out[:length]


def seal(key: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """Seal with ChaCha20-Poly1305 under nonce zero: ONE use per key.

    A second call with the same key and other bytes gives both plaintexts away (their XOR) and the tag key with them.
    Only a key that was derived for this one purpose, from a fresh `part_id`, may come here.

    Args:
        key: 32 bytes, never used before.
        plaintext: any length.
        aad: bound to the seal, not contained in it.

    Returns:
        Ciphertext and 16-byte tag.

    Raises:
        LocalError: `key_length`.
    """
    return _aead(key).encrypt(_ZERO_NONCE, plaintext, aad)


def unseal(key: bytes, sealed: bytes, aad: bytes) -> bytes:
    """Open what `seal` made.

    Raises:
        SignatureError: `seal`, key, bytes or `aad` are not those it was sealed with.
        LocalError: `key_length`.
    """
    return _open(key, _ZERO_NONCE, sealed, aad)


def wrap(key: bytes, nonce12: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """Seal a small secret at rest under a long-lived key.

    Args:
        key: 32 bytes; may wrap many secrets, so each needs its own nonce.
        nonce12: 12 fresh RANDOM bytes from the caller (this floor has no randomness).
        plaintext: the secret.
        aad: what the secret is and whose, so that one wrapped secret cannot stand in for another.

    Returns:
        nonce || ciphertext || tag.

    Raises:
        LocalError: `key_length`, `nonce_length`.
    """
    if len(nonce12) != NONCE_BYTES:
        raise LocalError("nonce_length", f"a wrap nonce has {NONCE_BYTES} bytes, not {len(nonce12)}")
    return nonce12 + _aead(key).encrypt(nonce12, plaintext, aad)


def unwrap(key: bytes, wrapped: bytes, aad: bytes) -> bytes:
    """Open what `wrap` made.

    Raises:
        SignatureError: `seal`, key, bytes or `aad` are not those it was wrapped with.
        LocalError: `key_length`.
    """
    return _open(key, wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], aad)


def keystream(key: bytes, n_bytes: int) -> bytes:
    """The first bytes of raw ChaCha20 (RFC 8439 section 2.4), block counter 0, nonce zero.

    Args:
        key: 32 bytes, for this stream only.
        n_bytes: 0 to 2^38.

    Returns:
        `n_bytes` bytes; a longer stream of the same key begins with a shorter one.

    Raises:
        LocalError: `key_length`, `stream_length`.
    """
    if len(key) != KEY_BYTES:
        raise LocalError("key_length", f"a ChaCha20 key has {KEY_BYTES} bytes, not {len(key)}")
    if not 0 <= n_bytes <= MAX_STREAM_BYTES:
        raise LocalError("stream_length", f"a ChaCha20 stream has at most {MAX_STREAM_BYTES} bytes")
    # the library's 16-byte nonce is the little-endian block counter, then the nonce of RFC 8439
    return Cipher(ChaCha20(key, bytes(16)), mode=None).encryptor().update(bytes(n_bytes))


def session_data_key(subject_key: bytes, session: bytes) -> bytes:
    """Key of a session's payloads, derived so that only a new subject needs a key write.

    Args:
        subject_key: 32 bytes.
        session: session id, 16 bytes.
    """
    return hkdf(subject_key, b"vestibule/session/data", salt=session)


def session_salt_key(subject_key: bytes, session: bytes) -> bytes:
    """Key of a session's leaf salts; same arguments as `session_data_key`."""
    return hkdf(subject_key, b"vestibule/session/salt", salt=session)


def part_data_key(session_data_key: bytes, part_id: bytes) -> bytes:
    """Key that seals one part's payload, once.

    Args:
        session_data_key: 32 bytes, of `session_data_key`.
        part_id: 32 fresh random bytes, new for each sealing, also after a crash.
    """
    return hkdf(session_data_key, b"vestibule/part/data", salt=part_id)


def part_salt_key(session_salt_key: bytes, part_id: bytes) -> bytes:
    """Key of one part's leaf salts; same `part_id` as `part_data_key`."""
    return hkdf(session_salt_key, b"vestibule/part/salt", salt=part_id)


def part_salts(session_salt_key: bytes, part_id: bytes, n: int) -> bytes:
    """Salts of the first `n` leaves of a part.

    Returns:
        16 * n bytes; salt i is `[16 * i : 16 * i + 16]`.
    """
    return keystream(part_salt_key(session_salt_key, part_id), SALT_BYTES * n)


def _aead(key: bytes) -> ChaCha20Poly1305:
    if len(key) != KEY_BYTES:
        raise LocalError("key_length", f"a ChaCha20-Poly1305 key has {KEY_BYTES} bytes, not {len(key)}")
    return ChaCha20Poly1305(key)


def _open(key: bytes, nonce: bytes, sealed: bytes, aad: bytes) -> bytes:
    aead = _aead(key)
    if len(nonce) != NONCE_BYTES or len(sealed) < TAG_BYTES:
        raise SignatureError("seal", "sealed bytes are shorter than their nonce and tag")
    try:
        return aead.decrypt(nonce, sealed, aad)
    except InvalidTag:
        raise SignatureError(
            "seal",
            "sealed bytes do not open: the key, the bytes or what they are bound to was changed",
            "Run `vestibule fsck` to find what is damaged.",
        ) from None
