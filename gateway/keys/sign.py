"""Ed25519 signatures (RFC 8032), by libsodium.

Guards one rule: whoever signs puts a domain line before the bytes (`vestibule/entry/v1\\0`, `cosignature/v1\\n` ...);
these functions sign and verify exactly what they are given and add nothing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from gateway.errors import LocalError

SEED_BYTES = 32  # RFC 8032 section 5.1.5
PUBLIC_BYTES = 32
SIGNATURE_BYTES = 64
REMEMBERED: Final = 512
REMEMBERED_BYTES: Final = 512  # of a message; a checkpoint under a cosignature's header has some 150


class SigningKey:
    """An Ed25519 private key.

    Its `repr` shows nothing, so that a key never reaches a log line by accident.

    Args:
        seed: 32 bytes, the private key of RFC 8032.

    Raises:
        LocalError: `key_length`, the seed is not 32 bytes.
    """

    __slots__ = ("_secret", "public", "seed")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise LocalError("key_length", f"an Ed25519 seed has {SEED_BYTES} bytes, not {len(seed)}")
        self.seed = bytes(seed)
        public, secret = crypto_sign_seed_keypair(self.seed)
        self.public: bytes = public
        self._secret: bytes = secret

    def __repr__(self) -> str:
        return "SigningKey(...)"

    def sign(self, message: bytes) -> bytes:
        """Sign `message`.

        Ed25519 is deterministic: signing the same bytes again gives the same signature, which the start of the
        daemon relies on (docs/adr/0003).

        Returns:
            64 bytes.
        """
        return crypto_sign(message, self._secret)[:SIGNATURE_BYTES]


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether `signature` is one of `public` over `message`.

    Args:
        public: 32 bytes; any other length is simply not a key, so the answer is False.
        message: the signed bytes, domain line included.
        signature: 64 bytes; any other length gives False.

    Returns:
        True only if it verifies; small-order keys and non-canonical scalars are refused by libsodium.
    """
    if len(public) != PUBLIC_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    # A cosignature is verified by each machine that takes it, and once more in the note that it becomes a line of.
    if len(message) <= REMEMBERED_BYTES:
        return _remembered(public, message, signature)
    return _verify(public, message, signature)


def _verify(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        crypto_sign_open(signature + message, public)
    except BadSignatureError:
        return False
    return True


_remembered = lru_cache(maxsize=REMEMBERED)(_verify)
