"""The signatures under which a key of a gateway takes the place of another.

Guards the rule that nobody is given another key than by the holder of both: old and new sign the same bytes, which name
the gateway and the key's role, so that no signature serves for another key (docs/store-format.md, "Entries").
"""

from __future__ import annotations

import re
from base64 import b64decode
from typing import Final, Literal, get_args

from gateway.entries.envelope import Body, canonical, unb64u
from gateway.errors import SignatureError, WireError
from gateway.keys.did import parse_did_key
from gateway.keys.sign import PUBLIC_BYTES, SigningKey, verify

Role = Literal["log", "witness", "entry", "tls"]

DOMAIN: Final = b"vestibule/key-rotate/v1\0"
ROLES: Final = get_args(Role)
LOG: Final = "log"
ENTRY: Final = "entry"
TLS: Final = "tls"
_SIG_TYPES: Final = {"log": 0x01, "witness": 0x04}  # C2SP signed-note
_VKEY: Final = re.compile(
    r"[^\s+\x00-\x1f]{1,256}\+[0-9a-f]{8}\+([A-Za-z0-9+/]{44})"
)  # of 33 bytes: no padding


def rotation_bytes(gateway: str, role: Role, old: str, new: str) -> bytes:
    """What the old and the new key sign.

    Args:
        gateway: DID, as the entry has it.
        role: whose key it is.
        old: the key until now, written as in the entry.
        new: the key from now on.

    Raises:
        LocalError: `entry_body`.
    """
    return DOMAIN + canonical({"gateway": gateway, "role": role, "old": old, "new": new})


def sign_rotation(
    gateway: str, role: Role, old: str, new: str, old_key: SigningKey, new_key: SigningKey
) -> tuple[bytes, bytes]:
    """Sign with both keys; `tls` is not signed by its keys.

    Returns:
        Signatures of the old and of the new key, 64 bytes each.

    Raises:
        LocalError: `entry_body`.
    """
    message = rotation_bytes(gateway, role, old, new)
    return old_key.sign(message), new_key.sign(message)


def verify_rotation(body: Body) -> None:
    """Verify both signatures of a `key.rotate` body that `check_body` let pass. One of role `tls` has none: that a
    certificate is its gateway's is said by the entry's own signature.

    Raises:
        SignatureError: `rotation_signature`.
    """
    gateway, role, old, new = (str(body[name]) for name in ("gateway", "role", "old", "new"))
    if role == TLS:
        return
    message = DOMAIN + canonical({"gateway": gateway, "role": role, "old": old, "new": new})
    for key, sig in ((old, body["by_old"]), (new, body["by_new"])):
        public = rotated_key(role, key)
        if public is None or not isinstance(sig, str) or not verify(public, message, unb64u(sig)):
            raise SignatureError(
                "rotation_signature", f"the change of the {role} key is not signed by the old and the new key"
            )


def rotated_key(role: str, text: str) -> bytes | None:
    """The public key (of `tls`: the hash) that a rotation names; None where it is not written as its role asks.

    Returns:
        32 bytes.
    """
    try:
        if role == ENTRY:
            return parse_did_key(text)
        if role == TLS:
            digest = unb64u(text)
            return digest if len(digest) == PUBLIC_BYTES else None
    except WireError:
        return None
    found = _VKEY.fullmatch(text)
    blob = b64decode(found[1]) if found else b""
    return blob[1:] if blob and blob[0] == _SIG_TYPES.get(role) else None
