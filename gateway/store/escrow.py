"""Escrow: the log, witness and entry keys under a passphrase, as one text to keep off the rig.

Subject and master keys are never in it: what is archived cannot be erased (docs/operator.md, "Keys").
"""

from __future__ import annotations

import hashlib
import textwrap
import unicodedata
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Final

import msgspec

from gateway.errors import LocalError, SignatureError
from gateway.keys.seal import NONCE_BYTES, unwrap, wrap
from gateway.keys.sign import SEED_BYTES
from gateway.store.keyfiles import KeyRing

SALT_BYTES: Final = 16
MIN_PASSPHRASE: Final = 12  # characters; the text may be photographed and guessed at for years
MAX_BUNDLE_BYTES: Final = 8192
# scrypt (RFC 7914): 128 MiB and about half a second for each guess
_N, _R, _P = 1 << 17, 8, 1
_MAX_MEMORY = 256 << 20

_BEGIN = "-----BEGIN VESTIBULE KEY ESCROW 1-----"
_END = "-----END VESTIBULE KEY ESCROW 1-----"
_COLUMNS = 64


@dataclass(frozen=True, slots=True, repr=False)
class Escrowed:
    """What a bundle holds.

    Args:
        origin, witness_name: the names that belong to the keys.
        seeds: 32 bytes each, by the names `log`, `witness`, `entry`; for `keyfiles.create_keys`.
    """

    origin: str
    witness_name: str
    seeds: dict[str, bytes]


def escrow_bundle(keys: KeyRing, passphrase: str, salt: bytes, nonce: bytes) -> bytes:
    """Seal the keys that identify this gateway.

    Args:
        keys: of which the log, witness and entry keys are taken.
        passphrase: at least 12 characters.
        salt: 16 fresh random bytes.
        nonce: 12 fresh random bytes.

    Returns:
        ASCII lines, to print or to store.

    Raises:
        LocalError: `passphrase_short`, `salt_length`, `nonce_length`.
    """
    if len(passphrase) < MIN_PASSPHRASE:
        raise LocalError(
            "passphrase_short",
            f"a passphrase has at least {MIN_PASSPHRASE} characters",
            "Use four or more random words.",
        )
    if len(salt) != SALT_BYTES:
        raise LocalError("salt_length", f"a salt has {SALT_BYTES} bytes, not {len(salt)}")
    plain = msgspec.msgpack.encode(
        (keys.origin, keys.witness_name, keys.log.seed, keys.witness.seed, keys.entry.seed)
    )
    return _armour(salt + wrap(_stretch(passphrase, salt), nonce, plain, _BEGIN.encode()))


def open_escrow(bundle: bytes, passphrase: str) -> Escrowed:
    """Open what `escrow_bundle` sealed. Line ends and blank space around the lines do not matter.

    Raises:
        LocalError: `escrow_format`, this is no bundle.
        SignatureError: `escrow`, another passphrase, or a changed bundle.
    """
    blob = _unarmour(bundle)
    salt, wrapped = blob[:SALT_BYTES], blob[SALT_BYTES:]
    try:
        plain = unwrap(_stretch(passphrase, salt), wrapped, _BEGIN.encode())
    except SignatureError:
        raise SignatureError(
            "escrow", "the escrow does not open", "Check the passphrase, then the text for copying faults."
        ) from None
    try:
        fields = msgspec.msgpack.decode(plain, type=tuple[str, str, bytes, bytes, bytes])
    except msgspec.DecodeError:
        raise _no_bundle() from None
    origin, witness_name, *seeds = fields
    if any(len(seed) != SEED_BYTES for seed in seeds):
        raise _no_bundle()
    return Escrowed(origin, witness_name, dict(zip(("log", "witness", "entry"), seeds, strict=True)))


def _stretch(passphrase: str, salt: bytes) -> bytes:
    # The same words typed on another keyboard may come in another normal form.
    words = unicodedata.normalize("NFKC", passphrase).encode()
    return hashlib.scrypt(words, salt=salt, n=_N, r=_R, p=_P, maxmem=_MAX_MEMORY, dklen=32)


def _armour(blob: bytes) -> bytes:
    lines = textwrap.wrap(b64encode(blob).decode(), _COLUMNS)
    return "\n".join((_BEGIN, *lines, _END, "")).encode()


def _unarmour(bundle: bytes) -> bytes:
    if len(bundle) > MAX_BUNDLE_BYTES:
        raise _no_bundle()
    lines = bundle.decode("ascii", "replace").split()
    text = " ".join(lines)
    if not (text.startswith(_BEGIN) and text.endswith(_END)):
        raise _no_bundle()
    inner = text.removeprefix(_BEGIN).removesuffix(_END).replace(" ", "")
    try:
        blob = b64decode(inner, validate=True)
    except ValueError:
        raise _no_bundle() from None
    if b64encode(blob).decode() != inner or len(blob) <= SALT_BYTES + NONCE_BYTES:
        raise _no_bundle()
    return blob


def _no_bundle() -> LocalError:
    return LocalError(
        "escrow_format",
        "this is not an escrow of Vestibule's keys",
        "Give the whole text with both its frame lines.",
    )
