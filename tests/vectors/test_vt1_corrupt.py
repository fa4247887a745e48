"""Corrupted twins of the vectors of VT1: refused at their stage with exactly their reason, by the gateway's parsers."""

from __future__ import annotations

from typing import Any

import pytest
from vectors.vt1_reader import Json, decode, load, packets, raw

from gateway.errors import WireError
from gateway.keys import link as link_keys
from gateway.wire import frame, packet


class Refused(Exception):
    """A check said no: (stage, reason)."""


def refuse_unless(sound: bool, stage: str, reason: str) -> None:
    if not sound:
        raise Refused(stage, reason)


def read(kind: str, body: bytes, *, gateway_receives: bool) -> Any:
    try:
        return decode(kind, body, gateway_receives=gateway_receives)
    except WireError as error:
        raise Refused("body", error.code) from error


def cipher_of(name: str) -> link_keys.LinkCipher:
    table = load("corrupt")["keys"][name]
    return link_keys.LinkCipher(
        link_keys.LinkKeys(raw(table["k_enc"]), raw(table["k_mac"]), raw(table["iv4"]))
    )


def at_the_gateway(data: bytes, head: packet.Header) -> None:
    """SPEC, "Order of checks", left column."""
    file = load("corrupt")
    if head.link == file["link"]:
        up = cipher_of("up")
        refuse_unless(up.matches(data), "tag", "bad_tag")
        body = up.crypt(head.seq, packet.body_of(data))
        refuse_unless(head.type in packet.UPLINK - packet.CLEAR, "body", "type")
        value = read(packet.TYPE_NAMES[head.type], body, gateway_receives=True)
        for one in value.frames if isinstance(value, frame.Data) else ():
            try:
                frame.sample_count(one)
                frame.check_samples(one)
            except WireError as error:
                raise Refused("frame", error.code) from error
        return
    refuse_unless(head.link == 0 and head.type in (packet.PAIR, packet.HELLO), "link", "unknown_link")
    body = bytes(packet.body_of(data))
    if head.type == packet.HELLO:
        refuse_unless(len(data) == packet.HELLO_BYTES, "header", "malformed")
        hello = read("hello", body, gateway_receives=True)
        refuse_unless(hello.device == file["device"], "link", "unknown_device")
        refuse_unless(link_keys.tag_matches(raw(file["keys"]["handshake_key"]), data), "tag", "bad_tag")
        return
    refuse_unless(len(data) == packet.PAIR_BYTES and head.seq == 0, "header", "malformed")
    refuse_unless(link_keys.tag_matches(raw(file["keys"]["pairing_key"]), data), "tag", "bad_tag")
    read("pair", body, gateway_receives=True)


def at_the_device(data: bytes, head: packet.Header) -> None:
    """SPEC, "Order of checks", right column."""
    file = load("corrupt")
    refuse_unless(head.type in packet.DOWNLINK, "header", "type")
    if head.type not in (packet.PAIRED, packet.WELCOME):
        refuse_unless(head.link == file["link"], "link", "unknown_link")
    body = bytes(packet.body_of(data))
    if head.type in packet.CLEAR:
        key = raw(file["keys"]["pairing_key" if head.type == packet.PAIRED else "handshake_key"])
        refuse_unless(link_keys.tag_matches(key, data), "tag", "bad_tag")
    else:
        down = cipher_of("down")
        refuse_unless(down.matches(data), "tag", "bad_tag")
        body = down.crypt(head.seq, body)
    read(packet.TYPE_NAMES[head.type], body, gateway_receives=False)


def receive(data: bytes, receiver: str) -> tuple[str, str]:
    """Walk the checks: (stage, reason), or ("", "") for a sound packet."""
    try:
        head = packet.parse_header(data)
    except WireError as error:
        return "header", error.code
    try:
        (at_the_gateway if receiver == "gateway" else at_the_device)(data, head)
    except Refused as refused:
        return refused.args[0], refused.args[1]
    return "", ""


@pytest.mark.parametrize("twin", packets("corrupt"))
def test_a_corrupted_twin_is_refused_with_its_reason(twin: Json) -> None:
    assert receive(raw(twin["packet"]), twin["receiver"]) == (twin["stage"], twin["reason"])


@pytest.mark.parametrize("entry", packets("pairing", "handshake", "uplink", "downlink"))
def test_a_sound_packet_passes_the_same_checks(entry: Json) -> None:
    down = entry["type"] in ("paired", "welcome", "command", "reset")
    if entry["type"] in ("receipt", "sync"):
        down = entry in load("downlink")["packets"]
    assert receive(raw(entry["packet"]), "device" if down else "gateway") == ("", "")


def test_every_reason_that_bytes_alone_can_have_is_among_the_twins() -> None:
    assert {twin["reason"] for twin in load("corrupt")["packets"]} == {
        "oversize",
        "truncated",
        "magic",
        "type",
        "unknown_link",
        "unknown_device",
        "bad_tag",
        "malformed",
        "not_canonical",
        "numbers",
        "too_many",
        "kind",
        "sample_size",
        "not_finite",
        "schema",
    }
