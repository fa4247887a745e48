"""Certificates of TLS keys: self-signed, Ed25519, written byte for byte from a name and a key.

A certificate here is a key with a name and nothing else: no authority signs it, it never runs out, and the same name
and key give the same bytes for ever, whatever library is in use. That lets a restored key keep its pin, and lets a
reader refuse every other form: what the roster holds can then mean nothing to a TLS library but "this key".
Sources: RFC 5280 sections 4.1 and 4.2, RFC 8410, X.690 (DER).
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from gateway.errors import LocalError, WireError
from gateway.keys.sign import PUBLIC_BYTES, SIGNATURE_BYTES, SigningKey, verify

MAX_NAME_CHARACTERS: Final = 64  # of a common name: RFC 5280, appendix A.1, ub-common-name

_SEQUENCE: Final = 0x30
_SET: Final = 0x31
_INTEGER: Final = 0x02
_BITS: Final = 0x03
_OCTETS: Final = 0x04
_OID: Final = 0x06
_UTF8: Final = 0x0C
_VERSION: Final = 0xA0
_EXTENSIONS: Final = 0xA3
_KEY_ID_BYTES: Final = 20


def _der(kind: int, *parts: bytes) -> bytes:
    """One value with its tag and length (X.690, 8.1); at most 65535 bytes."""
    body = b"".join(parts)
    size = len(body)
    if size < 0x80:
        return bytes((kind, size)) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((kind, 0x80 | len(length))) + length + body


_ED25519: Final = _der(_SEQUENCE, _der(_OID, bytes.fromhex("2b6570")))  # 1.3.101.112, RFC 8410 section 3
_COMMON_NAME: Final = _der(_OID, bytes.fromhex("550403"))
_SUBJECT_KEY_ID: Final = _der(_OID, bytes.fromhex("551d0e"))
_CONSTRAINTS: Final = _der(_OID, bytes.fromhex("551d13"))
_AUTHORITY_KEY_ID: Final = _der(_OID, bytes.fromhex("551d23"))
_V3: Final = _der(_VERSION, _der(_INTEGER, b"\x02"))
_SERIAL: Final = _der(_INTEGER, b"\x01")
# From 2020 until "never" (RFC 5280, 4.1.2.5): a pin is changed by a new roster, not by the passing of a day.
_VALIDITY: Final = _der(_SEQUENCE, _der(0x17, b"200101000000Z"), _der(0x18, b"99991231235959Z"))
# Signs no other certificate: an empty BasicConstraints, critical.
_NO_AUTHORITY: Final = _der(_SEQUENCE, _CONSTRAINTS, _der(0x01, b"\xff"), _der(_OCTETS, _der(_SEQUENCE)))


def certificate(key: SigningKey, name: str) -> bytes:
    """The certificate of a TLS key.

    Args:
        key: its own key for TLS; no other use.
        name: the member's name, 1..64 printable ASCII characters.

    Returns:
        DER; the same for the same arguments.

    Raises:
        LocalError: `certificate_name`.
    """
    if not _nameable(name):
        raise LocalError("certificate_name", "a certificate's name has 1 to 64 printable ASCII characters")
    return _signed(_to_sign(key.public, name), key.sign(_to_sign(key.public, name)))


def check_certificate(der: bytes, name: str) -> bytes:
    """Tell that bytes are what `certificate` makes for this name, by whoever has the key.

    Args:
        der: of a stranger; any length.
        name: of the member that it is said to belong to.

    Returns:
        Its public key, 32 bytes.

    Raises:
        WireError: `certificate`, any other form, another name, or a signature that does not verify.
    """
    if not _nameable(name):
        raise WireError("certificate", "a certificate's name has 1 to 64 printable ASCII characters")
    empty = bytes(PUBLIC_BYTES)
    shape = _signed(_to_sign(empty, name), bytes(SIGNATURE_BYTES))
    at = shape.index(_public(empty)) + len(_public(empty)) - PUBLIC_BYTES
    public = der[at : at + PUBLIC_BYTES]
    signature = der[-SIGNATURE_BYTES:]
    if len(der) != len(shape) or der != _signed(_to_sign(public, name), signature):
        raise WireError("certificate", "a certificate is not of the one form, or not of this name")
    if not verify(public, _to_sign(public, name), signature):
        raise WireError("certificate", "a certificate is not signed by its own key")
    return public


def pin(der: bytes) -> str:
    """What people compare: the SHA-256 of a certificate, as 64 lower hexadecimal digits."""
    return sha256(der).hexdigest()


def _nameable(name: str) -> bool:
    return 0 < len(name) <= MAX_NAME_CHARACTERS and name.isascii() and name.isprintable()


def _public(public: bytes) -> bytes:
    return _der(_SEQUENCE, _ED25519, _der(_BITS, b"\0", public))


def _to_sign(public: bytes, name: str) -> bytes:
    """TBSCertificate of RFC 5280, section 4.1."""
    who = _der(_SEQUENCE, _der(_SET, _der(_SEQUENCE, _COMMON_NAME, _der(_UTF8, name.encode()))))
    # With key ids OpenSSL tells two certificates of one name apart, as there are while a key is changed.
    key_id = sha256(public).digest()[:_KEY_ID_BYTES]
    extensions = _der(
        _SEQUENCE,
        _NO_AUTHORITY,
        _der(_SEQUENCE, _SUBJECT_KEY_ID, _der(_OCTETS, _der(_OCTETS, key_id))),
        _der(_SEQUENCE, _AUTHORITY_KEY_ID, _der(_OCTETS, _der(_SEQUENCE, _der(0x80, key_id)))),
    )
    key = _public(public)
    return _der(_SEQUENCE, _V3, _SERIAL, _ED25519, who, _VALIDITY, who, key, _der(_EXTENSIONS, extensions))


def _signed(to_sign: bytes, signature: bytes) -> bytes:
    return _der(_SEQUENCE, to_sign, _ED25519, _der(_BITS, b"\0", signature))
