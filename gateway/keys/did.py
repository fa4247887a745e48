"""did:key of an Ed25519 public key: the name of a gateway in every entry.

Source: the did:key method, section "Ed25519 X25519"; multicodec 0xed as varint `ed 01`; multibase `z` = base58btc.
"""

from __future__ import annotations

from gateway.errors import LocalError, WireError
from gateway.keys.sign import PUBLIC_BYTES

PREFIX = "did:key:z"
ED25519_CODEC = b"\xed\x01"
DID_LENGTH = 56  # 34 bytes beginning with ed 01 are always 47 base58 digits
ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGITS = {digit: value for value, digit in enumerate(ALPHABET)}


def did_key(public: bytes) -> str:
    """Name a public key.

    Args:
        public: 32 bytes.

    Returns:
        `did:key:z6Mk...`

    Raises:
        LocalError: `key_length`.
    """
    if len(public) != PUBLIC_BYTES:
        raise LocalError("key_length", f"an Ed25519 public key has {PUBLIC_BYTES} bytes, not {len(public)}")
    return PREFIX + _base58(ED25519_CODEC + public)


def parse_did_key(did: str) -> bytes:
    """The public key that a DID names.

    Strict: the DID is built again from the key and must be equal.

    Returns:
        32 bytes.

    Raises:
        WireError: `did`, not the did:key of an Ed25519 key.
    """
    if len(did) != DID_LENGTH or not did.startswith(PREFIX):
        raise WireError("did", "not a did:key of an Ed25519 key")
    number = 0
    for digit in did[len(PREFIX) :]:
        value = _DIGITS.get(digit)
        if value is None:
            raise WireError("did", "a did:key has a character outside base58btc")
        number = number * 58 + value
    n_bytes = len(ED25519_CODEC) + PUBLIC_BYTES
    if number >> (8 * n_bytes):
        raise WireError("did", "a did:key is longer than an Ed25519 key")
    public = number.to_bytes(n_bytes, "big")[len(ED25519_CODEC) :]
    if did_key(public) != did:
        raise WireError("did", "a did:key is not of an Ed25519 key, or not written canonically")
    return public


def _base58(data: bytes) -> str:
    # no leading zero bytes: the codec comes first, so the rule of "1" for each zero byte is not needed
    number = int.from_bytes(data, "big")
    digits = []
    while number:
        number, rest = divmod(number, 58)
        digits.append(ALPHABET[rest])
    return "".join(reversed(digits))
