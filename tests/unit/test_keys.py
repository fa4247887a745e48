"""Keys against the vectors of their standards, then what is ours."""

from __future__ import annotations

import hmac
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import LocalError, SignatureError, WireError
from gateway.keys import link
from gateway.keys.did import ALPHABET, did_key, parse_did_key
from gateway.keys.link import DOWN, UP, LinkCipher, LinkKeys
from gateway.keys.seal import (
    hkdf,
    keystream,
    part_data_key,
    part_salt_key,
    part_salts,
    seal,
    session_data_key,
    session_salt_key,
    unseal,
    unwrap,
    wrap,
)
from gateway.keys.sign import SigningKey, verify

h = bytes.fromhex
KEY = bytes(range(32))


@pytest.mark.parametrize(
    ("ikm", "salt", "info", "okm"),
    [
        (
            b"\x0b" * 22,
            bytes(range(13)),
            bytes(range(0xF0, 0xFA)),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            bytes(range(0x50)),
            bytes(range(0x60, 0xB0)),
            bytes(range(0xB0, 0x100)),
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c6"
            "5e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
        ),
        (
            b"\x0b" * 22,
            b"",
            b"",
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ],
)
def test_hkdf_of_rfc_5869_appendix_a(ikm: bytes, salt: bytes, info: bytes, okm: str) -> None:
    assert hkdf(ikm, info, len(okm) // 2, salt) == h(okm)


def test_hkdf_lengths() -> None:
    assert len(hkdf(KEY, b"", 8160)) == 8160
    for length in (0, -1, 8161):
        with pytest.raises(LocalError):
            hkdf(KEY, b"", length)


RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC_8032)
def test_ed25519_of_rfc_8032_section_7_1(seed: str, public: str, message: str, signature: str) -> None:
    key = SigningKey(h(seed))
    assert key.public == h(public)
    assert key.sign(h(message)) == h(signature)
    assert verify(h(public), h(message), h(signature))
    assert not verify(h(public), h(message) + b"\0", h(signature))
    assert not verify(key.public[::-1], h(message), h(signature))


def test_a_signing_key_shows_nothing() -> None:
    key = SigningKey(KEY)
    assert KEY.hex() not in repr(key)
    assert repr(KEY) not in repr(key)
    assert key.seed == KEY


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_keys_and_signatures_of_other_lengths(length: int) -> None:
    with pytest.raises(LocalError):
        SigningKey(bytes(length))
    key = SigningKey(KEY)
    assert not verify(bytes(length), b"", key.sign(b""))
    assert not verify(key.public, b"", bytes(length))


def test_a_small_order_key_signs_nothing() -> None:
    # with the neutral element as key, R = neutral and S = 0 satisfy the bare equation for every message
    neutral = b"\1" + bytes(31)
    assert not verify(neutral, b"anything", neutral + bytes(32))


def test_a_scalar_that_is_not_reduced_is_refused() -> None:
    order = 2**252 + 27742317777372353535851937790883648493
    key = SigningKey(KEY)
    signature = key.sign(b"message")
    scalar = int.from_bytes(signature[32:], "little") + order
    assert not verify(key.public, b"message", signature[:32] + scalar.to_bytes(32, "little"))


SUNSCREEN = (
    b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
    b"sunscreen would be it."
)


def test_aead_of_rfc_8439_section_2_8_2() -> None:
    key, nonce, aad = bytes(range(0x80, 0xA0)), h("070000004041424344454647"), h("50515253c0c1c2c3c4c5c6c7")
    sealed = h(
        "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b"
        "1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
        "3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691"
    )
    assert wrap(key, nonce, SUNSCREEN, aad) == nonce + sealed
    assert unwrap(key, nonce + sealed, aad) == SUNSCREEN


def test_seal_is_the_aead_under_nonce_zero() -> None:
    sealed = seal(KEY, SUNSCREEN, b"core")
    assert bytes(12) + sealed == wrap(KEY, bytes(12), SUNSCREEN, b"core")
    assert unseal(KEY, sealed, b"core") == SUNSCREEN


@pytest.mark.parametrize("length", [0, 15, 16, 40])
def test_what_was_not_sealed_does_not_open(length: int) -> None:
    for opened in (lambda: unseal(KEY, bytes(length), b""), lambda: unwrap(KEY, bytes(length), b"")):
        with pytest.raises(SignatureError) as caught:
            opened()
        assert caught.value.code == "seal"


def test_a_seal_is_bound_to_its_key_and_data() -> None:
    sealed = seal(KEY, b"payload", b"core")
    for key, aad in ((KEY[::-1], b"core"), (KEY, b"Core"), (KEY, b"")):
        with pytest.raises(SignatureError):
            unseal(key, sealed, aad)


@pytest.mark.parametrize("key", [b"", bytes(16), bytes(33)])
def test_seal_keys_have_32_bytes(key: bytes) -> None:
    for use in (
        lambda: seal(key, b"", b""),
        lambda: unseal(key, bytes(16), b""),
        lambda: wrap(key, bytes(12), b"", b""),
        lambda: unwrap(key, bytes(28), b""),
        lambda: keystream(key, 1),
    ):
        with pytest.raises(LocalError):
            use()
    with pytest.raises(LocalError):
        wrap(KEY, bytes(11), b"", b"")


def test_keystream_of_rfc_8439_appendix_a_1() -> None:
    blocks = h(
        "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
        "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"
        "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
        "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f"
    )
    assert keystream(bytes(32), 128) == blocks
    assert keystream(bytes(32), 16) == blocks[:16]
    assert keystream(bytes(32), 0) == b""
    with pytest.raises(LocalError):
        keystream(bytes(32), -1)


def test_keys_of_sessions_and_parts() -> None:
    subject, session, part = KEY, bytes(16), bytes(range(32, 64))
    data, salt = session_data_key(subject, session), session_salt_key(subject, session)
    assert data == hkdf(subject, b"vestibule/session/data", 32, session)
    assert salt == hkdf(subject, b"vestibule/session/salt", 32, session)
    assert part_data_key(data, part) == hkdf(data, b"vestibule/part/data", 32, part)
    assert part_salt_key(salt, part) == hkdf(salt, b"vestibule/part/salt", 32, part)
    assert part_salts(salt, part, 5) == keystream(part_salt_key(salt, part), 80)
    assert part_salts(salt, part, 9)[:80] == part_salts(salt, part, 5)
    keys = {
        subject,
        data,
        salt,
        part_data_key(data, part),
        part_salt_key(salt, part),
        part_data_key(data, KEY),
    }
    assert len(keys) == 6


@pytest.mark.parametrize(
    ("key", "nonce", "iv", "plain", "cipher"),
    [
        (
            "776beff2851db06f4c8a0542c8696f6c6a81af1eec96b4d37fc1d689e6c1c104",
            "00000060",
            "db5672c97aa8f0b2",
            b"Single block msg",
            "145ad01dbf824ec7560863dc71e3e0c0",
        ),
        (
            "f6d66d6bd52d59bb0796365879eff886c66dd51a5b6a99744b50590c87a23884",
            "00faac24",
            "c1585ef15a43d875",
            bytes(range(32)),
            "f05e231b3894612c49ee000b804eb2a9b8306b508f839d6a5530831d9344af1c",
        ),
        (
            "ff7a617ce69148e4f1726e2f43581de2aa62d9f805532edff1eed687fb54153d",
            "001cc5b7",
            "51a51d70a1c11148",
            bytes(range(36)),
            "eb6c52821d0bbbf7ce7594462aca4faab407df866569fd07f48cc0b583d6071f1ec0e6b8",
        ),
    ],
)
def test_ctr_of_rfc_3686_section_6(key: str, nonce: str, iv: str, plain: bytes, cipher: str) -> None:
    # its counter block is ours (4 bytes, 8 bytes, u32 big-endian) but begins at 1: one block goes before
    seq = int.from_bytes(h(iv), "little")
    got = LinkCipher(LinkKeys(h(key), bytes(32), h(nonce))).crypt(seq, bytes(16) + plain)
    assert got[16:] == h(cipher)


SP800_KEY = h("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
SP800_PLAIN = h(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)


def ctr_block_by_block(key: bytes, counter: int, data: bytes) -> bytes:
    """CTR of SP 800-38A section 6.5 from the bare block cipher, one block at a time."""
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import ECB

    aes = Cipher(AES(key), ECB()).encryptor()
    out = b""
    for at in range(0, len(data), 16):
        stream = aes.update((counter + at // 16).to_bytes(16, "big"))
        out += bytes(a ^ b for a, b in zip(data[at : at + 16], stream, strict=False))
    return out


def test_ctr_of_sp_800_38a_f_5_5_and_ours() -> None:
    counter = int("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", 16)
    assert ctr_block_by_block(SP800_KEY, counter, SP800_PLAIN) == h(
        "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
        "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6"
    )
    cipher = LinkCipher(LinkKeys(SP800_KEY, bytes(32), h("01020304")))
    for seq in (0, 1, 2**40 + 7, 2**64 - 1):
        first = h("01020304") + seq.to_bytes(8, "little") + bytes(4)
        body = SP800_PLAIN * 19 + b"tail"
        expected = ctr_block_by_block(SP800_KEY, int.from_bytes(first, "big"), body)
        assert cipher.crypt(seq, body) == expected
        assert cipher.crypt(seq, memoryview(expected)) == body
    assert cipher.crypt(5, b"") == b""


@pytest.mark.parametrize(
    ("key", "data", "mac"),
    [
        (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b"),
        (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c7"),
        (b"\xaa" * 20, b"\xdd" * 50, "773ea91e36800e46854db8ebd09181a7"),
    ],
)
def test_tags_of_rfc_4231(key: bytes, data: bytes, mac: str) -> None:
    cipher = LinkCipher(LinkKeys(bytes(32), key, bytes(4)))
    assert link.tag(key, data) == h(mac)
    assert cipher.tag(data) == h(mac)
    assert cipher.matches(data + h(mac))
    assert cipher.matches(memoryview(data + h(mac)))
    assert link.tag_matches(key, data + h(mac))


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=1300))
def test_both_tags_are_hmac_sha256(key: bytes, data: bytes) -> None:
    expected = hmac.new(key, data, sha256).digest()[:16]
    cipher = LinkCipher(LinkKeys(bytes(32), key, bytes(4)))
    assert cipher.tag(data) == link.tag(key, data) == expected
    assert cipher.tag(data) == expected, "the precomputed states are copied, never used up"


@given(st.binary(min_size=17, max_size=200), st.data())
def test_a_changed_packet_does_not_match(packet: bytes, data: st.DataObject) -> None:
    cipher = LinkCipher(LinkKeys(bytes(32), KEY, bytes(4)))
    good = bytearray(packet + cipher.tag(packet))
    assert cipher.matches(bytes(good))
    bit = data.draw(st.integers(0, 8 * len(good) - 1))
    good[bit // 8] ^= 1 << bit % 8
    assert not cipher.matches(bytes(good))
    assert not link.tag_matches(KEY, bytes(good))


@pytest.mark.parametrize("length", [0, 15, 16])
def test_a_packet_shorter_than_its_tag_does_not_match(length: int) -> None:
    assert not LinkCipher(LinkKeys(bytes(32), KEY, bytes(4))).matches(bytes(length))
    assert not link.tag_matches(KEY, link.tag(KEY, b"")[:length])


def test_link_keys_follow_the_protocol() -> None:
    nonce_d, nonce_g = b"d" * 16, b"g" * 16
    keys = LinkKeys.derive(KEY, nonce_d, nonce_g, 0x01020304, 0xA0B0C0D0, DOWN)
    info = b"VT1 link" + h("04030201") + h("d0c0b0a0") + b"\1"
    okm = hkdf(KEY, info, 68, nonce_d + nonce_g)
    assert (keys.k_enc, keys.k_mac, keys.iv4) == (okm[:32], okm[32:64], okm[64:])
    others = [
        LinkKeys.derive(KEY, nonce_d, nonce_g, 0x01020304, 0xA0B0C0D0, UP),
        LinkKeys.derive(KEY, nonce_g, nonce_d, 0x01020304, 0xA0B0C0D0, DOWN),
        LinkKeys.derive(KEY, nonce_d, nonce_g, 0x01020305, 0xA0B0C0D0, DOWN),
        LinkKeys.derive(KEY, nonce_d, nonce_g, 0x01020304, 0xA0B0C0D1, DOWN),
        LinkKeys.derive(KEY[::-1], nonce_d, nonce_g, 0x01020304, 0xA0B0C0D0, DOWN),
    ]
    assert len({keys.k_enc, *(other.k_enc for other in others)}) == 6
    assert okm.hex()[:16] not in repr(keys)


def test_handshake_and_pairing_keys_follow_the_protocol() -> None:
    code = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    assert link.handshake_key(KEY) == hkdf(KEY, b"VT1 handshake")
    assert link.pairing_key(code) == hkdf(code, b"VT1 pair")
    assert link.device_key(code, b"d" * 16, b"g" * 16) == hkdf(code, b"VT1 device", 32, b"d" * 16 + b"g" * 16)


def test_link_keys_refuse_what_no_protocol_step_gives() -> None:
    n = b"n" * 16
    for wrong in (
        lambda: LinkKeys.derive(KEY, n, n, 1, 2, 2),
        lambda: LinkKeys.derive(KEY, n, n, -1, 2, UP),
        lambda: LinkKeys.derive(KEY, n, n, 1, 2**32, UP),
        lambda: LinkKeys.derive(KEY, n, n[1:], 1, 2, UP),
        lambda: LinkKeys.derive(KEY, b"", b"", 1, 2, UP),
        lambda: LinkKeys.derive(KEY[1:], n, n, 1, 2, UP),
        lambda: link.handshake_key(b""),
        lambda: link.pairing_key(b"ABC"),
        lambda: link.device_key(b"ABC", n, n),
    ):
        with pytest.raises(LocalError):
            wrong()


DID = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"


def test_did_key_known_vector() -> None:
    public = h("2e6fcce36701dc791488e0d0b1745cc1e33a4c1c9fcc41c63bd343dbbe0970e6")
    assert parse_did_key(DID) == public
    assert did_key(public) == DID


@given(st.binary(min_size=32, max_size=32))
def test_did_keys_come_back(public: bytes) -> None:
    did = did_key(public)
    assert did.startswith("did:key:z6Mk")
    assert parse_did_key(did) == public


@pytest.mark.parametrize(
    "did",
    [
        "",
        "did:key:z",
        DID[:-1],
        DID + "1",
        DID + "\n",
        DID.upper(),
        DID.replace("did:key", "did:web"),
        DID.replace("6Mk", "6LS"),
        DID.replace("6Mk", "0Mk"),
        DID.replace("6Mk", "1Mk"),
        "did:key:z" + "z" * 47,
        "did:key:z" + "1" * 47,
        DID[:-1] + "\u0661",
    ],
)
def test_other_dids_are_refused(did: str) -> None:
    with pytest.raises(WireError) as caught:
        parse_did_key(did)
    assert caught.value.code == "did"


@given(st.text(alphabet=ALPHABET, min_size=44, max_size=44))
def test_a_did_that_parses_is_the_one_that_its_key_gives(rest: str) -> None:
    did = "did:key:z6Mk" + rest
    try:
        public = parse_did_key(did)
    except WireError:
        return
    assert did_key(public) == did


def test_did_key_of_another_length() -> None:
    with pytest.raises(LocalError):
        did_key(bytes(31))
