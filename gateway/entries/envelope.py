"""The envelope of an entry: JCS `{"body":...,"sig":...,"v":1}`, signed by the gateway's entry key.

Guards three rules: an entry has exactly one encoding (RFC 8785; what is decoded is encoded again and must be equal),
it fits a bundle (65,535 bytes), and it says nothing that a JSON reader elsewhere could read differently: no floats, no
integers beyond 2^53 - 1, no bytes but as unpadded base64url. Source: docs/store-format.md, "Entries".
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256

import msgspec
import rfc8785

from gateway.errors import LocalError, SignatureError, WireError
from gateway.keys.sign import SIGNATURE_BYTES, SigningKey, verify

Json = None | bool | int | str | list["Json"] | dict[str, "Json"]
"""What a body is made of."""

Body = dict[str, Json]

ENTRY_DOMAIN = b"vestibule/entry/v1\0"
VERSION = 1
MAX_ENTRY_BYTES = 65_535  # tlog-tiles: u16 length in a bundle
MAX_INTEGER = 2**53 - 1  # RFC 8785 section 3.2.2.3, by way of I-JSON
MAX_DEPTH = 16  # ours; bodies are flat, deeper nesting only serves to exhaust a stack


@dataclass(frozen=True, slots=True)
class Entry:
    """A decoded entry; its signature is not verified yet."""

    body: Body
    sig: bytes
    """64 bytes."""
    raw: bytes
    """Exactly the leaf data."""


def encode_entry(body: Body, key: SigningKey) -> bytes:
    """Sign a body and put it into its envelope.

    Args:
        body: of a builder of `types`.
        key: the gateway's entry key.

    Returns:
        Leaf data, at most 65,535 bytes.

    Raises:
        LocalError: `entry_body` if JCS cannot hold it, `entry_size`.
    """
    raw = _envelope(body, key.sign(ENTRY_DOMAIN + canonical(body)))
    if len(raw) > MAX_ENTRY_BYTES:
        raise LocalError("entry_size", f"an entry has at most {MAX_ENTRY_BYTES} bytes, this one {len(raw)}")
    return raw


def decode_entry(data: bytes) -> Entry:
    """Take leaf data apart; strict.

    Raises:
        WireError: `entry_size`, `entry_format`, `base64url`.
    """
    if len(data) > MAX_ENTRY_BYTES:
        raise WireError("entry_size", f"an entry has at most {MAX_ENTRY_BYTES} bytes")
    try:
        envelope = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise WireError("entry_format", "an entry is not JSON") from None
    if not isinstance(envelope, dict) or set(envelope) != {"body", "sig", "v"}:
        raise WireError("entry_format", "an entry has the fields body, sig and v")
    body, sig_text, version = envelope["body"], envelope["sig"], envelope["v"]
    if version is True or version != VERSION:
        raise WireError("entry_format", "an entry is of another version")
    if not isinstance(body, dict) or not isinstance(sig_text, str):
        raise WireError("entry_format", "an entry's body is an object and its sig a text")
    sig = unb64u(sig_text)
    if len(sig) != SIGNATURE_BYTES:
        raise WireError("entry_format", f"an entry's signature has {SIGNATURE_BYTES} bytes")
    try:
        raw = _envelope(body, sig)
    except LocalError as error:
        raise WireError("entry_format", error.message) from None
    if raw != data:
        raise WireError("entry_format", "an entry is not written canonically")
    return Entry(body, sig, raw)


def verify_entry(entry: Entry, public: bytes) -> None:
    """Check an entry's signature.

    Args:
        entry: of `decode_entry`.
        public: 32 bytes, the entry key that is known for the gateway; not merely the one the body names.

    Raises:
        SignatureError: `entry_signature`.
    """
    if not verify(public, ENTRY_DOMAIN + canonical(entry.body), entry.sig):
        raise SignatureError("entry_signature", "an entry is not signed by the key of its gateway")


def object_hash(body: Body) -> bytes:
    """SHA-256 of a body's JCS: what the next entry of the same object carries as `prev`.

    Returns:
        32 bytes.

    Raises:
        LocalError: `entry_body`.
    """
    return sha256(canonical(body)).digest()


def canonical(body: Body) -> bytes:
    """JCS (RFC 8785) of a body.

    Raises:
        LocalError: `entry_body`, it holds what an entry may not hold.
    """
    _check(body, MAX_DEPTH)
    try:
        return rfc8785.dumps(body)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError):
        raise LocalError("entry_body", "a body holds a text that is not Unicode") from None


def b64u(data: bytes) -> str:
    """Unpadded base64url."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def unb64u(text: str) -> bytes:
    """Unpadded base64url, canonical or nothing.

    Raises:
        WireError: `base64url`.
    """
    try:
        data = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (binascii.Error, UnicodeEncodeError):
        raise WireError("base64url", "base64url does not decode") from None
    # also catches padding and characters outside the alphabet, which the decoder passes over
    if b64u(data) != text:
        raise WireError("base64url", "base64url is not canonical")
    return data


def _envelope(body: Body, sig: bytes) -> bytes:
    # the members are in the order of JCS, so the body is canonicalised once and placed
    return b'{"body":%b,"sig":"%b","v":%d}' % (canonical(body), b64u(sig).encode(), VERSION)


def _check(value: object, depth: int) -> None:
    if depth == 0:
        raise LocalError("entry_body", f"a body is nested deeper than {MAX_DEPTH}")
    match value:
        case None | bool() | str():
            return
        case int():
            if not -MAX_INTEGER <= value <= MAX_INTEGER:
                raise LocalError("entry_body", "a body holds an integer beyond 2^53 - 1")
        case list():
            for item in value:
                _check(item, depth - 1)
        case dict():
            for name, item in value.items():
                if not isinstance(name, str):
                    raise LocalError("entry_body", "a body has a name that is not a text")
                _check(item, depth - 1)
        case _:
            raise LocalError(
                "entry_body", "a body holds something else than texts, integers and truth values"
            )
