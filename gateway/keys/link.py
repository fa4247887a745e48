"""Keys of a device and its links, and the tag and cipher of VT1 packets.

Source: VT1, "Packet", "Keys". Tag = HMAC-SHA256(K_mac, all before it)[:16]; body = AES-256-CTR with the counter
block iv4 || seq (u64 little-endian) || block index (u32 big-endian). This is the hottest code of the gateway: what can
be computed once for a link is computed once.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from hashlib import sha256
from struct import Struct

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from gateway.errors import LocalError
from gateway.ids import U32_MAX
from gateway.keys.seal import hkdf

UP = 0
DOWN = 1
TAG_BYTES = 16
DEVICE_KEY_BYTES = 32
CODE_CHARACTERS = 26  # base32, 130 bits: VT1, "Pairing"
IV_BYTES = 4
LINK_KEY_BYTES = 32 + 32 + IV_BYTES

_HMAC_BLOCK = 64
_IPAD = bytes(b ^ 0x36 for b in range(256))
_OPAD = bytes(b ^ 0x5C for b in range(256))
_LINK_INFO = Struct("<8sIIB")
_SEQ = Struct("<Q")
_BLOCK_ZERO = bytes(4)


def handshake_key(k_dev: bytes) -> bytes:
    """K_hs: tags HELLO, WELCOME and RESET of a device.

    Args:
        k_dev: 32 bytes, of `device_key` or a key file; used for nothing but derivation.
    """
    return hkdf(_device(k_dev), b"VT1 handshake")


def pairing_key(code: bytes) -> bytes:
    """Key that tags PAIR and PAIRED.

    Args:
        code: the ASCII of the 26 upper-case base32 characters that `vestibule pair` shows.
    """
    return hkdf(_code(code), b"VT1 pair")


def device_key(code: bytes, nonce_d: bytes, nonce_g: bytes) -> bytes:
    """K_dev: what a pairing gives a device.

    Args:
        code: as for `pairing_key`.
        nonce_d: the device's nonce of PAIR.
        nonce_g: the gateway's nonce of PAIRED, of the same length.
    """
    return hkdf(_code(code), b"VT1 device", salt=_nonces(nonce_d, nonce_g))


def tag(k: bytes, data: bytes | memoryview) -> bytes:
    """Tag of a handshake packet: HMAC-SHA256(k, data)[:16]. Links use `LinkCipher.tag`."""
    return hmac.digest(k, data, "sha256")[:TAG_BYTES]


def tag_matches(k: bytes, packet: bytes | memoryview) -> bool:
    """Tell, in constant time, whether the last 16 bytes of a packet are the tag of all before them."""
    view = memoryview(packet)
    return len(view) > TAG_BYTES and hmac.compare_digest(tag(k, view[:-TAG_BYTES]), view[-TAG_BYTES:])


@dataclass(frozen=True, slots=True, repr=False)
class LinkKeys:
    """Keys of one direction of one link."""

    k_enc: bytes
    """32 bytes, AES-256."""
    k_mac: bytes
    """32 bytes, HMAC-SHA256."""
    iv4: bytes
    """4 bytes, the head of every counter block."""

    @classmethod
    def derive(
        cls, k_dev: bytes, nonce_d: bytes, nonce_g: bytes, device: int, link: int, direction: int
    ) -> LinkKeys:
        """Derive from the device's key and the handshake.

        Args:
            k_dev: 32 bytes.
            nonce_d: the device's nonce of HELLO.
            nonce_g: the gateway's nonce of WELCOME, of the same length.
            device: u32.
            link: u32, as WELCOME gave it.
            direction: `UP` (device to gateway) or `DOWN`.

        Raises:
            LocalError: `key_length`, `nonce_length`, `direction`, `id_range`.
        """
        if direction not in (UP, DOWN):
            raise LocalError("direction", "a direction is 0 (up) or 1 (down)")
        if not (0 <= device <= U32_MAX and 0 <= link <= U32_MAX):
            raise LocalError("id_range", "device and link ids have 32 bits")
        info = _LINK_INFO.pack(b"VT1 link", device, link, direction)
        okm = hkdf(_device(k_dev), info, LINK_KEY_BYTES, _nonces(nonce_d, nonce_g))
        return cls(okm[:32], okm[32:64], okm[64:])


class LinkCipher:
    """Tags and encrypts the packets of one direction of one link.

    NOT thread safe: one AES context and its nonce are shared by all calls. One task owns it.

    Args:
        keys: of this direction.
    """

    __slots__ = ("_ctr", "_inner", "_iv4", "_outer")

    def __init__(self, keys: LinkKeys) -> None:
        block = keys.k_mac.ljust(_HMAC_BLOCK, b"\0")
        # both pads hashed once: a tag then costs two copies instead of two more compressions and an HMAC set-up
        self._inner = sha256(block.translate(_IPAD))
        self._outer = sha256(block.translate(_OPAD))
        self._iv4 = keys.iv4
        self._ctr = Cipher(AES(keys.k_enc), CTR(bytes(16))).encryptor()

    def tag(self, data: bytes | memoryview) -> bytes:
        """16-byte tag of a packet without its tag."""
        inner = self._inner.copy()
        inner.update(data)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()[:TAG_BYTES]

    def matches(self, packet: bytes | memoryview) -> bool:
        """Tell, in constant time, whether the last 16 bytes are the tag of all before them."""
        if len(packet) <= TAG_BYTES:
            return False
        # As `tag`, without a call: this is the first thing that every packet costs.
        inner = self._inner.copy()
        inner.update(memoryview(packet)[:-TAG_BYTES])
        outer = self._outer.copy()
        outer.update(inner.digest())
        return hmac.compare_digest(outer.digest()[:TAG_BYTES], packet[-TAG_BYTES:])

    def crypt(self, seq: int, body: bytes | memoryview) -> bytes:
        """Encrypt or decrypt a body; in CTR both are the same.

        Args:
            seq: the packet's sequence number, u64. Never two bodies under one seq: their XOR would show.
            body: at most 16 KiB (VT1, "Limits"), far below the 2^32 blocks of the index.

        Returns:
            As many bytes as `body` has.
        """
        ctr = self._ctr
        ctr.reset_nonce(self._iv4 + _SEQ.pack(seq) + _BLOCK_ZERO)
        return ctr.update(body)


def _device(k_dev: bytes) -> bytes:
    if len(k_dev) != DEVICE_KEY_BYTES:
        raise LocalError("key_length", f"a device key has {DEVICE_KEY_BYTES} bytes, not {len(k_dev)}")
    return k_dev


def _code(code: bytes) -> bytes:
    if len(code) != CODE_CHARACTERS:
        raise LocalError("code_length", f"a pairing code has {CODE_CHARACTERS} characters")
    return code


def _nonces(nonce_d: bytes, nonce_g: bytes) -> bytes:
    # joined without a length, so two lengths could give one salt for two pairs of nonces
    if not nonce_d or len(nonce_d) != len(nonce_g):
        raise LocalError("nonce_length", "the nonces of device and gateway must be equally long")
    return nonce_d + nonce_g
