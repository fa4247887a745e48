"""The small text rules that all C2SP formats share: padded base64, canonical decimals, lines.

Strict: what is decoded is encoded again and must be equal (RFC 4648, section 4).
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64

from gateway.errors import ProofError

HASH_BYTES = 32
MAX_SIZE = 2**63 - 1  # tlog-cosignature bounds times so; Go logs hold sizes in an int64
MAX_DECIMAL_DIGITS = 20  # digits of 2^64


def encode_base64(data: bytes) -> str:
    """Standard padded base64."""
    return b2a_base64(data, newline=False).decode("ascii")


def decode_base64(text: str, code: str) -> bytes:
    """Standard padded base64, canonical or nothing.

    Args:
        text: the encoded text, without line end.
        code: code of the error, which names the format that is being parsed.

    Raises:
        ProofError: `code`.
    """
    try:
        data = a2b_base64(text.encode("ascii"), strict_mode=True)
    except ValueError:  # of binascii too
        raise ProofError(code, "base64 does not decode") from None
    if encode_base64(data) != text:
        raise ProofError(code, "base64 is not canonical")
    return data


def decode_hash(text: str, code: str) -> bytes:
    """Base64 of exactly 32 bytes.

    Raises:
        ProofError: `code`.
    """
    data = decode_base64(text, code)
    if len(data) != HASH_BYTES:
        raise ProofError(code, f"a hash has {HASH_BYTES} bytes, not {len(data)}")
    return data


def decode_decimal(text: str, code: str, maximum: int = MAX_SIZE) -> int:
    """Decimal digits without sign or leading zero.

    Raises:
        ProofError: `code`.
    """
    if not (0 < len(text) <= MAX_DECIMAL_DIGITS and text.isascii() and text.isdigit()):
        raise ProofError(code, "not a decimal number")
    value = int(text)
    if str(value) != text:
        raise ProofError(code, "a decimal number has leading zeros")
    if value > maximum:
        raise ProofError(code, "a number is out of range")
    return value


def encodes(text: str) -> bool:
    """Tell whether a text is UTF-8 text at all: lone surrogates, as `surrogateescape` makes them, are not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
