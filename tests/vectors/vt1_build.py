"""What the vectors of VT1 have in common: one device, one link, and how a packet becomes an entry of a file."""

from __future__ import annotations

from typing import Any

import vt1_oracle as oracle

Json = dict[str, Any]

CODE = "K7Q2ZB5XWN4JYTRD3HGAMPC6VE"
K_DEV = oracle.fixed("device key", 32)
NEXT_K_DEV = oracle.fixed("next device key", 32)  # of `rotate`
DEVICE, RUN, LINK, WAITING_LINK = 7, 0xFEDC_BA98_7654_3210, 4242, 4243
HOME, GATEWAY = "clinic-a", "clinic-a-1"
SESSION = oracle.fixed("session", 16)
NONCE_D, NONCE_G = oracle.fixed("nonce of the device", 16), oracle.fixed("nonce of the gateway", 16)
SENT_NS, GATEWAY_NS, AT_MS = 81_234_999_000_001, 5_000_001_000_000, 1_790_000_000_123
BOOT = 513  # seqs of the gateway: boot << 48 | counter, far beyond 2^53
WORKED = oracle.link_keys(K_DEV, NONCE_D, NONCE_G, DEVICE, LINK, oracle.UP)


def down_seq(counter: int) -> int:
    return BOOT << 48 | counter


def keys_json(keys: oracle.Keys) -> Json:
    return {
        "salt": keys.salt.hex(),
        "info": keys.info.hex(),
        "prk": keys.prk.hex(),
        "okm": keys.okm.hex(),
        "k_enc": keys.k_enc.hex(),
        "k_mac": keys.k_mac.hex(),
        "iv4": keys.iv4.hex(),
    }


def derivation(ikm: bytes, info: bytes, salt: bytes = b"") -> Json:
    prk = oracle.hkdf_extract(salt, ikm)
    return {
        "ikm": ikm.hex(),
        "salt": salt.hex(),
        "info": info.hex(),
        "prk": prk.hex(),
        "key": oracle.hkdf_expand(prk, info, 32).hex(),
    }


def clear_packet(
    name: str, kind: str, key: bytes, head: tuple[int, int, int], body: bytes, fields: Json
) -> Json:
    """A packet whose body is not encrypted."""
    start = oracle.header(kind, *head)
    return _entry(name, kind, head, fields) | {
        "header": start.hex(),
        "body": body.hex(),
        "tag": oracle.tag(key, start + body).hex(),
        "packet": (start + body + oracle.tag(key, start + body)).hex(),
    }


def sealed_packet(name: str, kind: str, keys: oracle.Keys, seq: int, body: bytes, fields: Json) -> Json:
    """A packet of a link."""
    t_send_ns = SENT_NS + seq % 1000
    start = oracle.header(kind, LINK, seq, t_send_ns)
    sealed = oracle.ctr(keys.k_enc, keys.iv4, seq, body)
    tag = oracle.tag(keys.k_mac, start + sealed)
    assert len(start + sealed + tag) <= 1200, name
    return _entry(name, kind, (LINK, seq, t_send_ns), fields) | {
        "header": start.hex(),
        "body": body.hex(),
        "counter_block_0": oracle.counter_block(keys.iv4, seq, 0).hex(),
        "sealed": sealed.hex(),
        "tag": tag.hex(),
        "packet": (start + sealed + tag).hex(),
    }


def _entry(name: str, kind: str, head: tuple[int, int, int], fields: Json) -> Json:
    return {
        "name": name,
        "type": kind,
        "type_number": oracle.TYPES[kind],
        "link": head[0],
        "seq": str(head[1]),
        "t_send_ns": str(head[2]),
        "fields": fields,
    }
