"""Signed notes (C2SP signed-note v1.0.0): text, signature lines, verifier keys and private keys.

Guards the rules of verification: a signature of an unknown key is ignored, one of a known key MUST verify or the whole
note is refused, and a note without any known signature is nothing. The signature type is a field, so that another
algorithm is one more line later; Ed25519 over the text (0x01) and the timestamped cosignature (0x04) are known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from gateway.errors import LocalError, ProofError, SignatureError
from gateway.keys.sign import PUBLIC_BYTES, SEED_BYTES, SIGNATURE_BYTES, SigningKey, verify
from gateway.tlog.text import MAX_SIZE, decode_base64, encode_base64, encodes

ED25519 = 0x01
COSIGNATURE = 0x04
KNOWN_TYPES = (ED25519, COSIGNATURE)

MAX_NOTE_BYTES = 128 * 1024  # ours; Go's x/mod stops at 1 MB, the specification asks for some limit
MAX_SIGNATURES = 64  # ours; signed-note asks for at least 16, Go's x/mod stops at 100
MAX_NAME_BYTES = 256  # ours; the specification has no limit
MAX_VKEY_CHARACTERS = 4096  # an ML-DSA-44 key (1,313 bytes) in base64 with the longest name

KEY_ID_BYTES = 4
TIMESTAMP_BYTES = 8
COSIGNATURE_HEADER = "cosignature/v1\n"
SIGNATURE_PREFIX = "\u2014 "
PRIVATE_PREFIX = "PRIVATE+KEY+"

# One search of a compiled pattern each: gossip takes thousands of notes apart in a second.
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f]")
_NOT_IN_NAMES = re.compile(r"[\s+\x00-\x1f]")  # \s is any Unicode space here


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with the name and id that its signatures carry ("vkey")."""

    name: str
    key_id: bytes
    """4 bytes, big-endian order as in the signature."""
    sig_type: int
    public: bytes
    """32 bytes for the known types."""

    @classmethod
    def of(cls, name: str, public: bytes, sig_type: int = ED25519) -> VerifierKey:
        """Make a verifier key with the id that the specification recommends.

        Raises:
            LocalError: `note_name`.
        """
        return cls(_own_name(name), key_id(name, sig_type, public), sig_type, public)

    def encode(self) -> str:
        """`<name>+<key id in hex>+<base64(type || public)>`."""
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(bytes((self.sig_type,)) + self.public)}"


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line."""

    name: str
    key_id: bytes
    blob: bytes
    """What follows the key id; its layout depends on the signature type."""

    def encode(self) -> str:
        """The line with its line end."""
        return f"{SIGNATURE_PREFIX}{self.name} {encode_base64(self.key_id + self.blob)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """Text and signatures, nothing verified yet."""

    text: str
    """Ends with a line end; exactly what is signed."""
    signatures: tuple[Signature, ...]

    def encode(self) -> bytes:
        """The note as it is stored and sent."""
        return join_note(self.text, [signature.encode() for signature in self.signatures])


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A signing key with its name and type, as a key file holds it."""

    name: str
    sig_type: int
    key: SigningKey

    @property
    def verifier(self) -> VerifierKey:
        """The public side."""
        return VerifierKey.of(self.name, self.key.public, self.sig_type)


def key_id(name: str, sig_type: int, public: bytes) -> bytes:
    """SHA-256(name || LF || type || public key)[:4]."""
    return sha256(name.encode() + b"\n" + bytes((sig_type,)) + public).digest()[:KEY_ID_BYTES]


def parse_vkey(text: str) -> VerifierKey:
    """Read a verifier key.

    A key of an unknown type is read, and `verify_note` ignores it; its id is not checked, as ids are only
    recommended to be made like ours (signed-note, Signatures).

    Raises:
        ProofError: `vkey`.
    """
    name, id_text, key_text = _three_parts(text, "vkey")
    blob = decode_base64(key_text, "vkey")
    if len(blob) < 2:
        raise ProofError("vkey", "a verifier key has no public key")
    key = VerifierKey(name, _hex_id(id_text, "vkey"), blob[0], blob[1:])
    if key.sig_type in KNOWN_TYPES:
        if len(key.public) != PUBLIC_BYTES:
            raise ProofError("vkey", f"an Ed25519 key has {PUBLIC_BYTES} bytes")
        if key.key_id != key_id(name, key.sig_type, key.public):
            raise ProofError("vkey", "a verifier key's id is not that of its name and key")
    return key


def encode_private(private: PrivateKey) -> str:
    """`PRIVATE+KEY+<name>+<key id>+<base64(type || seed)>`, the layout of Go's x/mod, without a line end."""
    blob = encode_base64(bytes((private.sig_type,)) + private.key.seed)
    return f"{PRIVATE_PREFIX}{private.name}+{private.verifier.key_id.hex()}+{blob}"


def parse_private(text: str) -> PrivateKey:
    """Read what `encode_private` wrote; one line end after it is allowed, as editors add it.

    Raises:
        ProofError: `private_key`; the message never shows the text.
    """
    code = "private_key"
    text = text.removesuffix("\n")
    if not text.startswith(PRIVATE_PREFIX):
        raise ProofError(code, "not the private key of a note signer")
    name, id_text, key_text = _three_parts(text[len(PRIVATE_PREFIX) :], code)
    blob = decode_base64(key_text, code)
    if len(blob) != 1 + SEED_BYTES or blob[0] not in KNOWN_TYPES:
        raise ProofError(code, "a private key is not an Ed25519 key of a known type")
    private = PrivateKey(name, blob[0], SigningKey(blob[1:]))
    if private.verifier.key_id != _hex_id(id_text, code):
        raise ProofError(code, "a private key's id is not that of its name and key")
    return private


def sign_note(text: str, name: str, key: SigningKey) -> str:
    """Sign a text with type 0x01.

    Args:
        text: ends with a line end.
        name: key name.
        key: whose public key is the vkey.

    Returns:
        The signature line with its line end.

    Raises:
        LocalError: `note_text`, `note_name`.
    """
    _own_text(text)
    identity = key_id(_own_name(name), ED25519, key.public)
    return Signature(name, identity, key.sign(text.encode())).encode()


def cosign_note(text: str, name: str, key: SigningKey, time_s: int) -> str:
    """Cosign a text with type 0x04; for checkpoints, by `checkpoint.cosign`.

    Raises:
        LocalError: `note_text`, `note_name`, `cosignature_time` unless 0 < time_s < 2^63.
    """
    _own_text(text)
    if not 0 < time_s <= MAX_SIZE:
        raise LocalError("cosignature_time", "a cosignature time is a positive number of seconds")
    identity = key_id(_own_name(name), COSIGNATURE, key.public)
    signature = key.sign(_cosigned_bytes(text, time_s))
    return Signature(name, identity, time_s.to_bytes(TIMESTAMP_BYTES, "big") + signature).encode()


def join_note(text: str, lines: Iterable[str]) -> bytes:
    """Put a text and its signature lines together.

    Raises:
        LocalError: `note_text`.
    """
    _own_text(text)
    return (text + "\n" + "".join(lines)).encode()


def parse_signature_line(line: str) -> Signature:
    """Read one signature line with its line end.

    Raises:
        ProofError: `note_format`.
    """
    head, _, encoded = line.partition(SIGNATURE_PREFIX)
    name, space, blob_text = encoded.removesuffix("\n").partition(" ")
    if head or not space or not line.endswith("\n") or not valid_name(name):
        raise ProofError("note_format", "not a signature line")
    blob = decode_base64(blob_text, "note_format")
    if len(blob) <= KEY_ID_BYTES:
        raise ProofError("note_format", "a signature line has no signature")
    return Signature(name, blob[:KEY_ID_BYTES], blob[KEY_ID_BYTES:])


def parse_note(data: bytes) -> Note:
    """Take a note apart; verifies nothing.

    Args:
        data: at most 128 KiB, at most 64 signatures.

    Raises:
        ProofError: `note_size`, `note_format`.
    """
    if len(data) > MAX_NOTE_BYTES:
        raise ProofError("note_size", f"a note has at most {MAX_NOTE_BYTES} bytes")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError:
        raise ProofError("note_format", "a note is not UTF-8") from None
    if _has_control(whole):
        raise ProofError("note_format", "a note has a control character")
    end = whole.rfind("\n\n")
    if end < 0 or not whole.endswith("\n"):
        raise ProofError("note_format", "a note has no blank line before its signatures")
    text, rest = whole[: end + 1], whole[end + 2 :]
    if rest.count("\n") > MAX_SIGNATURES:
        raise ProofError("note_size", f"a note has at most {MAX_SIGNATURES} signatures")
    # not splitlines(): it also breaks at U+2028 and others, which a name or a text may hold
    note = Note(text, tuple(parse_signature_line(line + "\n") for line in rest.split("\n")[:-1]))
    if not note.signatures:
        raise ProofError("note_format", "a note has no signature")
    if note.encode() != data:
        raise ProofError("note_format", "a note is not written canonically")
    return note


def verify_note(note: Note, vkeys: Sequence[VerifierKey]) -> list[VerifierKey]:
    """Verify every signature of a known key.

    Args:
        note: of `parse_note`.
        vkeys: keys that are trusted; those of an unknown type count as unknown.

    Returns:
        The keys that signed, each once, in the order of the signature lines; never empty.

    Raises:
        SignatureError: `note_signature`, a known key's signature fails; `note_unknown`, no known key signed.
        LocalError: `vkey_twice`, two trusted keys share name and id, so a signature could be of either.
    """
    known: dict[tuple[str, bytes], VerifierKey] = {}
    for vkey in vkeys:
        if known.setdefault((vkey.name, vkey.key_id), vkey) != vkey:
            raise LocalError("vkey_twice", "two verifier keys share one name and one id")
    signers: list[VerifierKey] = []
    # Each line once: anybody can copy a good one sixty times, and whoever reads it would pay for each.
    for signature in dict.fromkeys(note.signatures):
        key = known.get((signature.name, signature.key_id))
        if key is None or key.sig_type not in KNOWN_TYPES:
            continue
        verify_signature(note.text, signature, key)
        if key not in signers:
            signers.append(key)
    if not signers:
        raise SignatureError(
            "note_unknown",
            "a note has no signature of a key that is trusted here",
            "Check that the verifier key or policy is that of this log.",
        )
    return signers


def verify_signature(text: str, signature: Signature, vkey: VerifierKey) -> int:
    """Verify one signature of `vkey` over a text.

    Returns:
        The time of a cosignature in seconds, 0 for a signature without one.

    Raises:
        SignatureError: `note_signature`.
    """
    message, time_s, proper = text.encode(), 0, signature.blob
    if vkey.sig_type == COSIGNATURE:
        time_s = int.from_bytes(signature.blob[:TIMESTAMP_BYTES], "big")
        message, proper = _cosigned_bytes(text, time_s), signature.blob[TIMESTAMP_BYTES:]
    matches = (signature.name, signature.key_id) == (vkey.name, vkey.key_id)
    if (
        not matches
        or vkey.sig_type not in KNOWN_TYPES
        or len(proper) != SIGNATURE_BYTES
        or time_s > MAX_SIZE
        or not verify(vkey.public, message, proper)
    ):
        raise SignatureError("note_signature", "a note's signature of a trusted key does not verify")
    return time_s


def valid_name(name: str) -> bool:
    """Tell whether a key name is one: not empty, no Unicode space, no plus, no control character."""
    return encodes(name) and 0 < len(name.encode()) <= MAX_NAME_BYTES and _NOT_IN_NAMES.search(name) is None


def _cosigned_bytes(text: str, time_s: int) -> bytes:
    # the witness' name is not covered: never share a witness key between names (tlog-cosignature)
    return f"{COSIGNATURE_HEADER}time {time_s}\n{text}".encode()


def _three_parts(text: str, code: str) -> tuple[str, str, str]:
    # only the first two pluses separate: base64 may contain more
    parts = text.split("+", 2) if len(text) <= MAX_VKEY_CHARACTERS else []
    if len(parts) != 3 or not valid_name(parts[0]):
        raise ProofError(code, "a key is not written as name, id and key")
    return parts[0], parts[1], parts[2]


def _hex_id(text: str, code: str) -> bytes:
    if len(text) != 2 * KEY_ID_BYTES or set(text) - set("0123456789abcdef"):
        raise ProofError(code, "a key id is not eight lower-case hexadecimal digits")
    return bytes.fromhex(text)


def _has_control(text: str) -> bool:
    return _CONTROL.search(text) is not None


def _own_name(name: str) -> str:
    if not valid_name(name):
        raise LocalError("note_name", "a key name is empty, too long, or has a space or a plus")
    return name


def _own_text(text: str) -> None:
    if not text.endswith("\n") or _has_control(text) or not encodes(text):
        raise LocalError("note_text", "a note's text ends with a line end and has no other control character")
