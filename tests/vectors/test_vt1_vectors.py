"""The golden vectors of VT1 against `gateway.wire` and `gateway.keys`: byte for byte, in both directions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from paths import VECTORS
from vectors import generate
from vectors.vt1_reader import Json, body_value, decode, encode, frame_of, load, packets, raw

from gateway.device.events import Start
from gateway.keys import link as link_keys
from gateway.keys.seal import hkdf
from gateway.wire import control, frame, kinds, packet
from tests.device_side import MS, OtherSide, Rig

FILES = ("keys", "pairing", "handshake", "frames", "uplink", "downlink", "spool", "corrupt")


# --- files ----------------------------------------------------------------------------------------------------------


def test_generating_again_gives_the_same_files() -> None:
    for _ in range(2):
        assert generate.build() == {
            path.name: path.read_text(encoding="ascii") for path in (VECTORS / "vt1").glob("*.json")
        }


@pytest.mark.parametrize("name", FILES)
def test_every_number_survives_a_reader_whose_numbers_are_doubles(name: str) -> None:
    def numbers(value: Any) -> list[int]:
        if isinstance(value, dict):
            return [n for item in value.values() for n in numbers(item)]
        if isinstance(value, list):
            return [n for item in value for n in numbers(item)]
        return [value] if type(value) is int else []

    found = numbers(load(name))
    assert found
    assert max(map(abs, found)) < 2**53


@pytest.mark.parametrize("name", ["uplink", "downlink"])
def test_no_two_bodies_share_a_seq(name: str) -> None:
    seqs = [entry["seq"] for entry in load(name)["packets"]]
    assert len(seqs) == len(set(seqs))


# --- keys -----------------------------------------------------------------------------------------------------------


def test_primitives_are_those_of_their_standards() -> None:
    found = load("keys")["primitives"]
    assert found["hmac_sha256_rfc4231_2"]["mac"].startswith("5bdcc146bf60754e6a042426089575c7")
    assert found["hkdf_sha256_rfc5869_1"]["okm"].startswith("3cb25f25faacd57a90434f64d0362f2a")
    assert found["aes256_ecb_sp800_38a"]["out"] == "f3eed1bdb5d2a03c064b5a7e3db181f8"


def test_device_keys() -> None:
    found = load("keys")
    code, k_dev = found["code"].encode(), raw(found["k_dev"])
    nonces = raw(found["nonce_d"]), raw(found["nonce_g"])
    assert link_keys.handshake_key(k_dev).hex() == found["handshake_key"]["key"]
    assert link_keys.pairing_key(code).hex() == found["pairing_key"]["key"]
    assert link_keys.device_key(code, *nonces).hex() == found["device_key"]["key"]
    after = found["handshake_key_after_rotate"]
    assert link_keys.handshake_key(raw(after["ikm"])).hex() == after["key"]
    for name in ("handshake_key", "pairing_key", "device_key"):
        steps = found[name]
        assert hkdf(raw(steps["ikm"]), raw(steps["info"]), 32, raw(steps["salt"])).hex() == steps["key"]


def test_link_keys() -> None:
    found, handshake = load("keys"), load("handshake")
    for stage in [*found["link_keys"], *[entry | {"device": 7} for entry in handshake["derived"]]]:
        keys = link_keys.LinkKeys.derive(
            raw(found["k_dev"]),
            raw(found["nonce_d"]),
            raw(found["nonce_g"]),
            stage["device"],
            stage["link"],
            stage["direction"],
        )
        assert (keys.k_enc.hex(), keys.k_mac.hex(), keys.iv4.hex()) == (
            stage["k_enc"],
            stage["k_mac"],
            stage["iv4"],
        )
        assert stage["okm"] == stage["k_enc"] + stage["k_mac"] + stage["iv4"]


def test_counter_mode() -> None:
    found = load("keys")
    up = found["link_keys"][0]
    cipher = link_keys.LinkCipher(link_keys.LinkKeys(raw(up["k_enc"]), raw(up["k_mac"]), raw(up["iv4"])))
    for case in found["counter_mode"]:
        assert cipher.crypt(int(case["seq"]), raw(case["plain"])).hex() == case["sealed"]
        assert cipher.crypt(int(case["seq"]), raw(case["sealed"])).hex() == case["plain"]


# --- bodies: fields <-> bytes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", packets("pairing", "handshake", "uplink", "downlink"))
def test_bodies_both_ways(entry: Json) -> None:
    value = body_value(entry)
    body = raw(entry["body"])
    up = "t2_ns" not in entry["fields"] and "stored" not in entry["fields"]
    assert encode(value) == body
    assert decode(entry["type"], body, gateway_receives=up) == value


@pytest.mark.parametrize("entry", packets("pairing", "handshake", "uplink", "downlink"))
def test_headers_both_ways(entry: Json) -> None:
    head = packet.Header(entry["type_number"], entry["link"], int(entry["seq"]), int(entry["t_send_ns"]))
    whole = raw(entry["packet"])
    assert packet.parse_header(whole) == head
    assert packet.pack_header(*head).hex() == entry["header"]
    assert packet.body_of(whole).hex() == entry.get("sealed", entry["body"])
    assert packet.TYPE_NAMES[head.type] == entry["type"]
    assert (head.type in packet.CLEAR) == ("sealed" not in entry)


@pytest.mark.parametrize("entry", packets("pairing", "handshake"))
def test_clear_packets(entry: Json) -> None:
    name = "pairing_key" if entry["type"] in ("pair", "paired") else "handshake_key"
    key = raw(load("pairing" if name == "pairing_key" else "handshake")[name])
    start = raw(entry["header"]) + raw(entry["body"])
    assert start + link_keys.tag(key, start) == raw(entry["packet"])
    assert link_keys.tag_matches(key, raw(entry["packet"]))
    size = len(raw(entry["packet"]))
    if entry["type"] == "hello":
        assert size == packet.HELLO_BYTES
    elif entry["type"] == "pair":
        assert size == packet.PAIR_BYTES
    else:
        # an answer is never larger than what it answers, so nobody can make it hit a third party harder
        assert size <= (packet.PAIR_BYTES if entry["type"] == "paired" else packet.HELLO_BYTES)


@pytest.mark.parametrize("name", ["uplink", "downlink"])
def test_sealed_packets(name: str) -> None:
    file = load(name)
    direction = link_keys.UP if name == "uplink" else link_keys.DOWN
    nonces = raw(file["nonce_d"]), raw(file["nonce_g"])
    keys = link_keys.LinkKeys.derive(raw(file["k_dev"]), *nonces, file["device"], file["link"], direction)
    cipher = link_keys.LinkCipher(keys)
    for entry in file["packets"]:
        seq = int(entry["seq"])
        start = raw(entry["header"]) + cipher.crypt(seq, raw(entry["body"]))
        assert (start + cipher.tag(start)).hex() == entry["packet"], entry["name"]
        assert cipher.matches(raw(entry["packet"]))
        assert cipher.crypt(seq, packet.body_of(raw(entry["packet"]))).hex() == entry["body"]


def test_padding_is_what_the_vectors_have() -> None:
    for entry in [*load("pairing")["packets"], *load("handshake")["packets"]]:
        if "pad_bytes" in entry["fields"]:
            value = body_value(entry | {"fields": entry["fields"] | {"pad_bytes": 0}})
            size = packet.HELLO_BYTES if entry["type"] == "hello" else packet.PAIR_BYTES
            assert control.padding(len(control.encode(value)), size) == bytes(entry["fields"]["pad_bytes"])


def test_a_device_answers_each_command_as_the_vectors_say() -> None:
    for entry in load("downlink")["packets"]:
        if entry["type"] != "command" or entry["fields"]["verb"] == "stop":
            continue
        far, args = OtherSide(), entry["fields"]["args"]
        far.next_key = bytes.fromhex(args[0]["str"]) if entry["name"] == "command_rotate" else b""
        rig = Rig.make(far)
        rig.step(Start())
        rig.run(100 * MS)
        link = far.links[101]
        rig.give(far.down(link, packet.COMMAND, raw(entry["body"])))
        assert [result for _, result in link.answers] == [entry["answer"]], entry["name"]


# --- frames ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", [pytest.param(e, id=e["name"]) for e in load("frames")["frames"]])
def test_frames_both_ways(entry: Json) -> None:
    value = frame_of(entry["name"])
    assert frame.encode_frame(value).hex() == entry["frame"]
    assert frame.decode_frame(raw(entry["frame"])) == value
    assert frame.sample_count(value) == entry["count"]
    frame.check_samples(value)
    kind = kinds.KINDS[entry["kind"]]
    assert kind.name == entry["kind_name"]
    record = np.frombuffer(value.samples, kind.dtype, 1 if kind.variable else -1)
    for sample, expected in zip(record, entry["samples"], strict=True):
        assert_same(sample, expected, kind.dtype)


def assert_same(sample: Any, expected: Json, dtype: np.dtype[np.void]) -> None:
    for name in dtype.names or ():
        field, want = sample[name], expected[name]
        inner = dtype[name].base
        if inner.names:
            for one, wanted in zip(
                np.atleast_1d(field), want if isinstance(want, list) else [want], strict=True
            ):
                assert_same(one, wanted, inner)
            continue
        wanted = want if isinstance(want, list) else [want]
        for got, item in zip(np.atleast_1d(field).tolist(), wanted, strict=True):
            same = math.isnan(got) if item == "nan" else got == type(got)(item)
            assert same, f"{name}: {got} is not {item}"


def test_layouts_are_the_gateways() -> None:
    file = load("frames")
    assert {name: entry["number"] for name, entry in file["kinds"].items()} == {
        name: kind.number for name, kind in kinds.KIND_BY_NAME.items()
    }
    widths = {"i64": "<i8", "u32": "<u4", "u16": "<u2", "u8": "|u1", "f32": "<f4"}
    for name, kind in kinds.KIND_BY_NAME.items():
        table = file["kinds"][name]
        assert table["bytes"] == kind.sample_bytes
        fields = kind.dtype.fields or {}
        rows = [row for row in table["fields"] if row["count"]]
        assert [row["name"] for row in rows] == list(kind.dtype.names or ())
        for row in rows:
            dtype, offset = fields[row["name"]][:2]
            assert offset == row["offset"]
            assert dtype.itemsize == row["count"] * (
                file["parts"][row["type"]]["bytes"]
                if row["type"] in file["parts"]
                else np.dtype(widths[row["type"]]).itemsize
            )


def test_every_kind_has_a_frame_and_a_packet() -> None:
    assert {entry["kind"] for entry in load("frames")["frames"]} == kinds.KINDS.keys()
    carried = {
        frame.decode_frame(raw(text)).kind
        for entry in load("uplink")["packets"]
        for text in entry.get("frames", [])
    }
    assert carried == kinds.KINDS.keys()


def test_the_frames_of_a_body_are_cut_out_as_they_stand() -> None:
    for entry in load("uplink")["packets"]:
        if entry["type"] == "data":
            assert [
                frame.encode_frame(f).hex() for f in frame.decode_data(raw(entry["body"])).frames
            ] == entry["frames"]
            assert entry["body"].endswith("".join(entry["frames"]))
