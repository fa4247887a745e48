"""What a row of the database must not show: keys of devices, pairing codes and their answers, wrapped under one key."""

from __future__ import annotations

import hmac
import os

import msgspec

from gateway.core.records import Pairing
from gateway.errors import Damage
from gateway.keys.seal import NONCE_BYTES, hkdf, unwrap, wrap

_PAIRING_AAD = b"vestibule/pairing/v1"


class Secrets:
    """Wraps and unwraps what a row must not show.

    Args:
        store_key: 32 bytes, `KeyRing.store_key`.
    """

    __slots__ = ("_find_key", "_key", "_wrapped")

    def __init__(self, store_key: bytes) -> None:
        self._key = hkdf(store_key, b"vestibule/store/wrap/v1")
        self._find_key = hkdf(store_key, b"vestibule/store/find/v1")
        # A device's key stands in its own row and in those of its links, which are written every cycle.
        self._wrapped: dict[tuple[int, bytes], bytes] = {}

    def wrap_key(self, device: int, key: bytes) -> bytes:
        """A key of a device as it may be stored; an empty one stays empty."""
        if not key:
            return b""
        wrapped = self._wrapped.get((device, key))
        if wrapped is None:
            wrapped = wrap(self._key, os.urandom(NONCE_BYTES), key, _device_aad(device))
            self._wrapped[device, key] = wrapped
        return wrapped

    def unwrap_key(self, device: int, wrapped: bytes) -> bytes:
        """What `wrap_key` was given.

        Raises:
            SignatureError: `seal`, another store's key, or a changed row.
        """
        return unwrap(self._key, wrapped, _device_aad(device)) if wrapped else b""

    def pairing_id(self, code: str) -> bytes:
        """Names a pairing without showing its code; 32 bytes."""
        return hmac.digest(self._find_key, code.encode(), "sha256")

    def wrap_pairing(self, pairing: Pairing) -> bytes:
        """Code and answer; together they would give the device's key away."""
        plain = msgspec.msgpack.encode((pairing.code, pairing.answer))
        return wrap(self._key, os.urandom(NONCE_BYTES), plain, _PAIRING_AAD)

    def unwrap_pairing(self, wrapped: bytes) -> tuple[str, bytes]:
        """Code and answer.

        Raises:
            SignatureError: `seal`.
            Damage: `row`.
        """
        try:
            return msgspec.msgpack.decode(unwrap(self._key, wrapped, _PAIRING_AAD), type=tuple[str, bytes])
        except msgspec.DecodeError as error:
            raise Damage("row", "a pairing does not decode", "Run `vestibule fsck`.") from error


def _device_aad(device: int) -> bytes:
    return b"vestibule/device-key/v1\0" + device.to_bytes(4, "little")
