"""Finds the one byte that was changed in sealed bytes, and what it was, from the Poly1305 tag (RFC 8439 section 2.5).

A tag does more than say yes or no: it is a polynomial in the blocks of the message, so with the key the difference of
two tags tells which block differs and by how much, if it is one byte. `fsck` names the exact place of bit rot with it.
Nothing is decrypted. More than one changed byte is not found, and a find is to be confirmed against a hash.
"""

from __future__ import annotations

from typing import Final

from gateway.errors import LocalError
from gateway.keys.seal import KEY_BYTES, TAG_BYTES, keystream

BLOCK_BYTES: Final = 16
MAX_BYTES: Final = 64 << 20  # ours; one multiplication a block, so some seconds

_PRIME: Final = (1 << 130) - 5
_CLAMP: Final = 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
_TAG_SPAN: Final = 1 << 128


def changed_byte(key: bytes, sealed: bytes, aad: bytes) -> tuple[int, int] | None:
    """Which byte of sealed bytes was changed.

    Args:
        key: 32 bytes, of `seal`.
        sealed: ciphertext and tag, as they are now.
        aad: bound to the seal; unchanged.

    Returns:
        `(position, right value)`; None if nothing was changed, or more than one byte.

    Raises:
        LocalError: `key_length`.
    """
    if len(key) != KEY_BYTES:
        raise LocalError("key_length", f"a ChaCha20-Poly1305 key has {KEY_BYTES} bytes, not {len(key)}")
    if not TAG_BYTES <= len(sealed) <= MAX_BYTES:
        return None
    text, tag = sealed[:-TAG_BYTES], sealed[-TAG_BYTES:]
    one_time = keystream(key, 32)  # RFC 8439 section 2.6: the first block of the stream
    r = int.from_bytes(one_time[:16], "little") & _CLAMP
    s = int.from_bytes(one_time[16:], "little")
    message = _padded(aad) + _padded(text) + len(aad).to_bytes(8, "little") + len(text).to_bytes(8, "little")
    value = _polynomial(message, r)
    right_tag = ((value + s) % _TAG_SPAN).to_bytes(TAG_BYTES, "little")
    if right_tag == tag or not r:
        return None
    differ = [at for at in range(TAG_BYTES) if tag[at] != right_tag[at]]
    if len(differ) == 1:
        return len(text) + differ[0], right_tag[differ[0]]
    return _in_text(text, len(_padded(aad)) // BLOCK_BYTES, len(message) // BLOCK_BYTES, r, value, s, tag)


def _in_text(
    text: bytes, aad_blocks: int, blocks: int, r: int, value: int, s: int, tag: bytes
) -> tuple[int, int] | None:
    # One byte of block i, weight 256^b, changed by c: the polynomials differ by c * 256^b * r^(blocks - i).
    changes = {
        change * (1 << 8 * at) % _PRIME: (at, change)
        for at in range(BLOCK_BYTES)
        for change in range(-255, 256)
        if change
    }
    inverse = pow(r, -1, _PRIME)
    low = (int.from_bytes(tag, "little") - s) % _TAG_SPAN
    # The tag keeps 128 of the polynomial's 130 bits, so the right value is one of four.
    for right in range(low, _PRIME, _TAG_SPAN):
        difference = (right - value) * inverse % _PRIME  # the last block holds the lengths
        for block in range(blocks - 2, aad_blocks - 1, -1):
            difference = difference * inverse % _PRIME
            if (found := changes.get(difference)) is not None:
                position = (block - aad_blocks) * BLOCK_BYTES + found[0]
                if position < len(text) and 0 <= text[position] + found[1] <= 255:
                    return position, text[position] + found[1]
    return None


def _polynomial(message: bytes, r: int) -> int:
    value = 0
    for at in range(0, len(message), BLOCK_BYTES):
        block = int.from_bytes(message[at : at + BLOCK_BYTES], "little") | _TAG_SPAN
        value = (value + block) * r % _PRIME
    return value


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK_BYTES)
