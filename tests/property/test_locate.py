"""The one changed byte of sealed bytes is found, with its right value; anything else is not guessed at."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import LocalError
from gateway.keys.locate import changed_byte
from gateway.keys.seal import seal

KEYS = st.binary(min_size=32, max_size=32)


@given(KEYS, st.binary(max_size=600), st.binary(max_size=80), st.data())
def test_one_changed_byte_is_found(key: bytes, plain: bytes, aad: bytes, data: st.DataObject) -> None:
    sealed = seal(key, plain, aad)
    at = data.draw(st.integers(0, len(sealed) - 1))
    mask = data.draw(st.integers(1, 255))
    changed = sealed[:at] + bytes((sealed[at] ^ mask,)) + sealed[at + 1 :]
    assert changed_byte(key, changed, aad) == (at, sealed[at])


@given(KEYS, st.binary(max_size=100), st.binary(max_size=40))
def test_nothing_changed_is_nothing_found(key: bytes, plain: bytes, aad: bytes) -> None:
    assert changed_byte(key, seal(key, plain, aad), aad) is None


@given(KEYS, st.binary(min_size=20, max_size=200), st.binary(max_size=40), st.data())
def test_two_changed_bytes_are_not_found(key: bytes, plain: bytes, aad: bytes, data: st.DataObject) -> None:
    sealed = bytearray(seal(key, plain, aad))
    first, second = data.draw(
        st.lists(st.integers(0, len(plain) - 1), min_size=2, max_size=2, unique=True), label="places"
    )
    sealed[first] ^= data.draw(st.integers(1, 255))
    sealed[second] ^= data.draw(st.integers(1, 255))
    # Two neighbours can differ as one byte does with a carry; then it is one byte of another message, and a hash tells.
    found = changed_byte(key, bytes(sealed), aad)
    assert found is None or abs(first - second) == 1


def test_other_keys_and_other_lengths_find_nothing() -> None:
    sealed = seal(bytes(32), b"text", b"")
    assert changed_byte(b"\x01" * 32, sealed, b"") is None
    assert changed_byte(bytes(32), sealed[:15], b"") is None
    with pytest.raises(LocalError):
        changed_byte(b"short", sealed, b"")
