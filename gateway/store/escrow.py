"""Escrow: the log, witness, entry and TLS keys under a passphrase, as one text to keep off the rig.

Subject and master keys are never in it: what is archived cannot be erased (docs/operator.md, "Keys"). Version 1 had no
TLS key and one log key; it still opens.
"""

from __future__ import annotations

import hashlib
import textwrap
import unicodedata
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Final

import msgspec

from gateway.errors import ConfigError, LocalError, SignatureError
from gateway.keys.seal import NONCE_BYTES, unwrap, wrap
from gateway.keys.sign import SEED_BYTES, SigningKey
from gateway.store.keyfiles import ESCROWED, KeyRing, first_text, key_text, ring_of
from gateway.tlog.note import VerifierKey

SALT_BYTES: Final = 16
MIN_PASSPHRASE: Final = 12  # characters; the text may be photographed and guessed at for years
MAX_BUNDLE_BYTES: Final = 8192
# scrypt (RFC 7914): 128 MiB and about half a second for each guess
_N, _R, _P = 1 << 17, 8, 1
_MAX_MEMORY = 256 << 20

_BEGIN: Final = {version: f"-----BEGIN VESTIBULE KEY ESCROW {version}-----" for version in (1, 2)}
_END: Final = {version: f"-----END VESTIBULE KEY ESCROW {version}-----" for version in (1, 2)}
_NEWEST: Final = 2
_COLUMNS = 64


@dataclass(frozen=True, slots=True, repr=False)
class Escrowed:
    """What a bundle holds.

    Args:
        origin, witness_name: the names that belong to the keys.
        files: texts of key files, by the names of `keyfiles.ESCROWED`; for `keyfiles.create_keys`.
        log_vkeys: keys under which a head of this log is its own, `KeyRing.known_log_vkeys`.
        entry: signs entries.
    """

    origin: str
    witness_name: str
    files: dict[str, str]
    log_vkeys: tuple[VerifierKey, ...]
    entry: SigningKey


def escrow_bundle(keys: KeyRing, passphrase: str, salt: bytes, nonce: bytes) -> bytes:
    """Seal the keys that identify this gateway.

    Args:
        keys: of which all but the master keys are taken, also those of a rotation that is under way.
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
    plain = msgspec.msgpack.encode({name: key_text(keys, name) for name in ESCROWED})
    return _armour(salt + wrap(_stretch(passphrase, salt), nonce, plain, _BEGIN[_NEWEST].encode()))


def open_escrow(bundle: bytes, passphrase: str) -> Escrowed:
    """Open what `escrow_bundle` sealed. Line ends and blank space around the lines do not matter.

    Raises:
        LocalError: `escrow_format`, this is no bundle.
        SignatureError: `escrow`, another passphrase, or a changed bundle.
    """
    version, blob = _unarmour(bundle)
    salt, wrapped = blob[:SALT_BYTES], blob[SALT_BYTES:]
    try:
        plain = unwrap(_stretch(passphrase, salt), wrapped, _BEGIN[version].encode())
    except SignatureError:
        raise SignatureError(
            "escrow", "the escrow does not open", "Check the passphrase, then the text for copying faults."
        ) from None
    try:
        files = _files_1(plain) if version == 1 else msgspec.msgpack.decode(plain, type=dict[str, str])
        if not {"log", "witness", "entry"} <= set(files) <= set(ESCROWED):
            raise _no_bundle()
        # The others are needed to read them; what they hold does not matter here.
        ring = ring_of({name: first_text(name, bytes(SEED_BYTES)) for name in ("tls", "master")} | files)
    except (msgspec.DecodeError, ConfigError):
        raise _no_bundle() from None
    return Escrowed(ring.origin, ring.witness_name, files, ring.known_log_vkeys, ring.entry)


def _files_1(plain: bytes) -> dict[str, str]:
    origin, witness_name, *seeds = msgspec.msgpack.decode(plain, type=tuple[str, str, bytes, bytes, bytes])
    if any(len(seed) != SEED_BYTES for seed in seeds):
        raise _no_bundle()
    named = zip(("log", "witness", "entry"), seeds, strict=True)
    return {name: first_text(name, seed, origin, witness_name) for name, seed in named}


def _stretch(passphrase: str, salt: bytes) -> bytes:
    # The same words typed on another keyboard may come in another normal form.
    words = unicodedata.normalize("NFKC", passphrase).encode()
    return hashlib.scrypt(words, salt=salt, n=_N, r=_R, p=_P, maxmem=_MAX_MEMORY, dklen=32)


def _armour(blob: bytes) -> bytes:
    lines = textwrap.wrap(b64encode(blob).decode(), _COLUMNS)
    return "\n".join((_BEGIN[_NEWEST], *lines, _END[_NEWEST], "")).encode()


def _unarmour(bundle: bytes) -> tuple[int, bytes]:
    if len(bundle) > MAX_BUNDLE_BYTES:
        raise _no_bundle()
    text = " ".join(bundle.decode("ascii", "replace").split())
    for version, begin in _BEGIN.items():
        if text.startswith(begin) and text.endswith(_END[version]):
            break
    else:
        raise _no_bundle()
    inner = text.removeprefix(begin).removesuffix(_END[version]).replace(" ", "")
    try:
        blob = b64decode(inner, validate=True)
    except ValueError:
        raise _no_bundle() from None
    if b64encode(blob).decode() != inner or len(blob) <= SALT_BYTES + NONCE_BYTES:
        raise _no_bundle()
    return version, blob


def _no_bundle() -> LocalError:
    return LocalError(
        "escrow_format",
        "this is not an escrow of Vestibule's keys",
        "Give the whole text with both its frame lines.",
    )
