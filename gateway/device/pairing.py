"""PAIR and PAIRED: how a device gets its number and its key. Source: VT1, "Pairing"."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from gateway.errors import LocalError, SignatureError, WireError
from gateway.keys.link import CODE_CHARACTERS, device_key, pairing_key, tag, tag_matches
from gateway.wire import control
from gateway.wire import packet as wire

BASE32: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")


@dataclass(frozen=True, slots=True)
class Paired:
    """What a pairing gives a device; to be kept in the app's private storage.

    Args:
        device: its number.
        key: K_dev, 32 bytes.
        home: the name its HELLO goes to.
    """

    device: int
    key: bytes = field(repr=False)
    home: str


def plain_code(code: str) -> bytes:
    """The code as keys take it: spaces and hyphens, which people type for reading, taken out, in capitals.

    Raises:
        LocalError: `code`.
    """
    plain = code.replace(" ", "").replace("-", "").upper()
    if len(plain) != CODE_CHARACTERS or not set(plain) <= BASE32:
        raise LocalError(
            "code",
            f"a pairing code has {CODE_CHARACTERS} letters A-Z and digits 2-7",
            "Type it again as it is shown.",
        )
    return plain.encode("ascii")


def pair_packet(code: str, nonce_d: bytes, name: str, now_ns: int) -> bytes:
    """PAIR: to be sent again, the same bytes, until PAIRED comes.

    Args:
        code: as `vestibule pair` shows it.
        nonce_d: 16 fresh random bytes.
        name: what the device calls itself, at most 64 bytes, no control characters.
        now_ns: device time.

    Raises:
        LocalError: `code`, `name`.
    """
    if not control.is_device_name(name):
        raise LocalError(
            "name",
            f"a name of more than {control.MAX_NAME_BYTES} bytes, or with control characters",
            "Choose a shorter name, of letters that can be read.",
        )
    pad = control.padding(len(control.encode(control.Pair(nonce_d, name, b""))), wire.PAIR_BYTES)
    head = wire.pack_header(wire.PAIR, 0, 0, now_ns) + control.encode(control.Pair(nonce_d, name, pad))
    return head + tag(pairing_key(plain_code(code)), head)


def open_paired(code: str, packet: bytes, nonce_d: bytes) -> Paired:
    """Check PAIRED and derive the device's key.

    Args:
        code: as for `pair_packet`.
        packet: the whole packet.
        nonce_d: the nonce of PAIR.

    Raises:
        LocalError: `code`.
        SignatureError: `bad_tag`.
        WireError: when it is no PAIRED, or answers another PAIR (`not_mine`).
    """
    plain = plain_code(code)
    header = wire.parse_header(packet)
    if header.type != wire.PAIRED:
        raise WireError("unexpected", f"not PAIRED but {wire.TYPE_NAMES[header.type]}")
    if not tag_matches(pairing_key(plain), packet):
        raise SignatureError("bad_tag", "a PAIRED with a wrong tag", "Check the code, and pair again.")
    paired = control.decode(control.Paired, bytes(wire.body_of(packet)))
    if paired.nonce_d != nonce_d:
        raise WireError("not_mine", "a PAIRED for another PAIR")
    return Paired(paired.device, device_key(plain, nonce_d, paired.nonce_g), paired.home)
