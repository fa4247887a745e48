"""Vectors of VT1 before a link exists: keys, pairing, handshake."""

from __future__ import annotations

from typing import Any

import vt1_oracle as oracle
from vt1_build import (
    AT_MS,
    CODE,
    DEVICE,
    GATEWAY,
    GATEWAY_NS,
    HOME,
    K_DEV,
    LINK,
    NEXT_K_DEV,
    NONCE_D,
    NONCE_G,
    RUN,
    SENT_NS,
    SESSION,
    WAITING_LINK,
    WORKED,
    clear_packet,
    derivation,
    down_seq,
    keys_json,
)

Json = dict[str, Any]


def keys_file() -> Json:
    stages = []
    for name, link, direction in (("up", LINK, 0), ("down", LINK, 1), ("largest_link_up", 2**32 - 1, 0)):
        keys = oracle.link_keys(K_DEV, NONCE_D, NONCE_G, DEVICE, link, direction)
        stages.append(
            {"name": name, "device": DEVICE, "link": link, "direction": direction} | keys_json(keys)
        )
    rfc_ikm, rfc_salt, rfc_info = b"\x0b" * 22, bytes(range(13)), bytes(range(0xF0, 0xFA))
    rfc_prk = oracle.hkdf_extract(rfc_salt, rfc_ikm)
    aes_key = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    aes_block = bytes.fromhex("6bc1bee22e409f96e93d7e117393172a")
    text = bytes(range(100))
    return {
        "primitives": {
            "hmac_sha256_rfc4231_2": {
                "key": b"Jefe".hex(),
                "data": b"what do ya want for nothing?".hex(),
                "mac": oracle.hmac.new(b"Jefe", b"what do ya want for nothing?", "sha256").hexdigest(),
            },
            "hkdf_sha256_rfc5869_1": {
                "ikm": rfc_ikm.hex(),
                "salt": rfc_salt.hex(),
                "info": rfc_info.hex(),
                "prk": rfc_prk.hex(),
                "okm": oracle.hkdf_expand(rfc_prk, rfc_info, 42).hex(),
            },
            "aes256_ecb_sp800_38a": {
                "key": aes_key.hex(),
                "block": aes_block.hex(),
                "out": oracle.aes_block(aes_key, aes_block).hex(),
            },
        },
        "code": CODE,
        "k_dev": K_DEV.hex(),
        "nonce_d": NONCE_D.hex(),
        "nonce_g": NONCE_G.hex(),
        "handshake_key": derivation(K_DEV, b"VT1 handshake"),
        "handshake_key_after_rotate": derivation(NEXT_K_DEV, b"VT1 handshake"),
        "pairing_key": derivation(CODE.encode(), b"VT1 pair"),
        "device_key": derivation(CODE.encode(), b"VT1 device", NONCE_D + NONCE_G),
        "link_keys": stages,
        "counter_mode": [
            {
                "seq": str(seq),
                "counter_blocks": [oracle.counter_block(WORKED.iv4, seq, n).hex() for n in range(7)],
                "plain": text.hex(),
                "sealed": oracle.ctr(WORKED.k_enc, WORKED.iv4, seq, text).hex(),
            }
            for seq in (0, 1, 2**32 + 5, down_seq(9), 2**64 - 1)
        ],
    }


def pairing_file() -> Json:
    key = oracle.hkdf(CODE.encode(), b"VT1 pair")
    packets = []
    for name, device_name in (
        ("pair", "Room 2 left"),
        ("pair_longest_name", "Ü" * 32),
        ("pair_without_name", ""),
    ):
        body, pad = oracle.pack_padded([NONCE_D, device_name], oracle.PAIR_BYTES)
        fields = {"nonce_d": NONCE_D.hex(), "name": device_name, "pad_bytes": pad}
        packets.append(clear_packet(name, "pair", key, (0, 0, SENT_NS), body, fields))
    body = oracle.pack([NONCE_D, NONCE_G, DEVICE, HOME])
    fields = {"nonce_d": NONCE_D.hex(), "nonce_g": NONCE_G.hex(), "device": DEVICE, "home": HOME}
    packets.append(clear_packet("paired", "paired", key, (0, 0, GATEWAY_NS), body, fields))
    k_dev = oracle.hkdf(CODE.encode(), b"VT1 device", NONCE_D + NONCE_G)
    return {"code": CODE, "pairing_key": key.hex(), "k_dev": k_dev.hex(), "packets": packets}


def hello(name: str, counter: int, versions: list[int], links: list[int], key: bytes) -> Json:
    body, pad = oracle.pack_padded([DEVICE, RUN, NONCE_D, versions, links], oracle.HELLO_BYTES)
    fields = {
        "device": DEVICE,
        "run": str(RUN),
        "nonce_d": NONCE_D.hex(),
        "versions": versions,
        "links": links,
        "pad_bytes": pad,
    }
    return clear_packet(name, "hello", key, (0, counter, SENT_NS), body, fields)


def welcome(name: str, counter: int, key: bytes, **changed: Any) -> Json:
    values: Json = {
        "nonce_d": NONCE_D,
        "nonce_g": NONCE_G,
        "link": LINK,
        "gateway": GATEWAY,
        "session": SESSION,
        "version": 1,
        "offered": [1],
        "state": "recording",
        "reason": "",
        "kept": [],
        "kinds": [],
        "at_ms": AT_MS,
    } | changed
    fields = {k: v.hex() if isinstance(v, bytes) else v for k, v in values.items()} | {"at_ms": str(AT_MS)}
    return clear_packet(
        name, "welcome", key, (0, counter, GATEWAY_NS), oracle.pack(list(values.values())), fields
    )


REFUSED: Json = {"nonce_g": b"", "link": 0, "session": b"", "state": "refused"}


def handshake_file() -> Json:
    key = oracle.hkdf(K_DEV, b"VT1 handshake")
    held = [2**32 - 1 - n for n in range(23, -1, -1)]
    waiting = {"link": WAITING_LINK, "session": b"", "state": "waiting", "reason": "no_session"}
    packets = [
        hello("hello", 1, [1], [], key),
        welcome("welcome_recording", 1, key, kinds=[1, 2, 4, 6, 7, 8]),
        hello("hello_holding_links", 2, [1], [17, 4000, 70_000], key),
        welcome("welcome_keeping_links", 2, key, kinds=list(oracle.KINDS.values()), kept=[17, 70_000]),
        hello("hello_most_links", 2**40, [1, 2, 3, 4, 5, 6, 7, 255], held, key),
        welcome(
            "welcome_most_links", 2**40, key, gateway="g" * 32, offered=[1, 2, 3, 4, 5, 6, 7, 255], kept=held
        ),
        hello("hello_for_waiting", 2**40 + 1, [1], [], key),
        welcome("welcome_waiting", 2**40 + 1, key, **waiting),
        hello("hello_unknown_version", 2**40 + 2, [2, 3], [], key),
        welcome(
            "welcome_refused_version", 2**40 + 2, key, **REFUSED, version=0, offered=[2, 3], reason="version"
        ),
        welcome("welcome_refused_revoked", 1, key, **REFUSED, reason="revoked"),
    ]
    for number, reason in enumerate(("ended", "revoked", "moved")):
        answered, tag = 2**33 + number, oracle.fixed(f"tag of packet {number}", 16)
        body, fields = (
            oracle.pack([answered, tag, reason]),
            {"seq": str(answered), "tag": tag.hex(), "reason": reason},
        )
        head = (LINK, answered, GATEWAY_NS + number)
        packets.append(clear_packet(f"reset_{reason}", "reset", key, head, body, fields))
    derived = [
        {"name": name, "link": link, "direction": direction}
        | keys_json(oracle.link_keys(K_DEV, NONCE_D, NONCE_G, DEVICE, link, direction))
        for name, link in (("welcome_recording", LINK), ("welcome_waiting", WAITING_LINK))
        for direction in (oracle.UP, oracle.DOWN)
    ]
    return {"k_dev": K_DEV.hex(), "handshake_key": key.hex(), "packets": packets, "derived": derived}
