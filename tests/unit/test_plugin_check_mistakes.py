"""The check of plugins names the mistake: wrong derivations, wrong ciphers, wrong MessagePack, wrong records.

Each test is a device that does one thing wrong; it must be told exactly that.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from struct import pack

import numpy as np
import pytest
from plugin_check_side import DEVICE, KEY, Lab, S, encode, nonce, poses

from gateway.app.plugin_check import motion, reading
from gateway.keys.link import LinkCipher, LinkKeys, device_key, handshake_key, pairing_key, tag
from gateway.keys.mistakes import stream
from gateway.keys.seal import hkdf
from gateway.wire import control, kinds
from gateway.wire import packet as wire
from gateway.wire.frame import Data, Frame, encode_data

CODE = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def body() -> bytes:
    return encode_data(Data(0, [(0, 2)], [Frame(0, kinds.POSE, 0, poses(2))]))


def derived(lab: Lab, *, ikm: bytes = KEY, salt: bytes = b"", info: bytes = b"") -> LinkKeys:
    right = b"VT1 link" + pack("<IIB", DEVICE, lab.link, 0)
    okm = hkdf(ikm, info or right, 68, salt or b"".join(lab.nonces))
    return LinkKeys(okm[:32], okm[32:64], okm[64:])


def with_keys(lab: Lab, keys: LinkKeys) -> bytes:
    return lab.seal(wire.DATA, body(), cipher=LinkCipher(keys), mac=keys.k_mac)


NAME = b"VT1 link"
TAGS: dict[str, Callable[[Lab], bytes]] = {
    "tag.nonces_swapped": lambda lab: with_keys(lab, derived(lab, salt=lab.nonces[1] + lab.nonces[0])),
    "tag.info_big_endian": lambda lab: with_keys(
        lab, derived(lab, info=NAME + pack(">IIB", DEVICE, lab.link, 0))
    ),
    "tag.info_terminator": lambda lab: with_keys(
        lab, derived(lab, info=NAME + b"\0" + pack("<IIB", DEVICE, lab.link, 0))
    ),
    "tag.info_no_direction": lambda lab: with_keys(
        lab, derived(lab, info=NAME + pack("<II", DEVICE, lab.link))
    ),
    "tag.info_swapped": lambda lab: with_keys(
        lab, derived(lab, info=NAME + pack("<IIB", lab.link, DEVICE, 0))
    ),
    "tag.direction": lambda lab: with_keys(lab, lab.down_keys),
    "tag.k_dev_direct": lambda lab: lab.seal(wire.DATA, body(), mac=KEY),
    "tag.handshake_key": lambda lab: lab.seal(wire.DATA, body(), mac=handshake_key(KEY)),
    "tag.key_text": lambda lab: with_keys(lab, derived(lab, ikm=KEY.hex().encode())),
    "tag.salt": lambda lab: with_keys(lab, derived(lab, salt=bytes(32))),
    "tag.key_order": lambda lab: lab.seal(wire.DATA, body(), mac=lab.up_keys.k_enc),
    "tag.prk": lambda lab: lab.seal(wire.DATA, body(), mac=hmac.digest(b"".join(lab.nonces), KEY, "sha256")),
    "tag.tag_over_plain": lambda lab: _retagged(lab, lambda head, sealed: head + body()),
    "tag.tag_without_header": lambda lab: _retagged(lab, lambda head, sealed: sealed),
    "tag.tag_without_magic": lambda lab: _retagged(lab, lambda head, sealed: head[4:] + sealed),
    "tag.tag_cut": lambda lab: _retagged(lab, lambda head, sealed: head + sealed, slice(16, 32)),
    "tag.zeros": lambda lab: lab.seal(wire.DATA, body())[:-16] + bytes(16),
    "tag.unknown": lambda lab: lab.seal(wire.DATA, body(), mac=b"q" * 32),
}


def _retagged(lab: Lab, text: Callable[[bytes, bytes], bytes], cut: slice = slice(0, 16)) -> bytes:
    packet = lab.seal(wire.DATA, body())
    head, sealed = packet[:24], packet[24:-16]
    return packet[:-16] + hmac.digest(lab.up_keys.k_mac, text(head, sealed), "sha256")[cut]


@pytest.mark.parametrize("code", TAGS)
def test_a_wrong_tag_is_explained(code: str) -> None:
    lab = Lab()
    line = lab.up(TAGS[code](lab), "bad_tag")
    assert lab.codes == [code], line.new
    assert line.new[0].fails
    assert line.new[0].mend


def test_a_whole_hmac_as_tag_and_two_mistakes_at_once_are_explained() -> None:
    lab = Lab()
    packet = lab.seal(wire.DATA, body())
    lab.up(packet[:-16] + hmac.digest(lab.up_keys.k_mac, packet[:-16], "sha256"), "bad_tag")
    keys = derived(lab, salt=lab.nonces[1] + lab.nonces[0], info=NAME + pack(">IIB", DEVICE, lab.link, 0))
    line = lab.up(with_keys(lab, keys), "bad_tag")
    assert lab.codes == ["tag.tag_cut", "tag.nonces_swapped"]
    assert "big-endian" in line.new[0].what


def test_the_keys_of_an_old_link() -> None:
    lab = Lab()
    old = lab.up_keys
    lab.hello_seq, lab.link = 6, 4243
    lab.connect()
    line = lab.up(with_keys(lab, old), "bad_tag")
    assert lab.codes == ["tag.other_key"]
    assert "K_mac of link 4242" in line.new[0].what


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (KEY, "tag.k_dev_direct"),
        (hkdf(KEY, b"VT1 handshake\0"), "tag.info_terminator"),
        (hkdf(KEY, b"VT1 link"), "tag.info_name"),
        (handshake_key(KEY)[::-1], "tag.unknown"),
    ],
)
def test_a_hello_under_a_wrong_key(key: bytes, code: str) -> None:
    lab = Lab()
    lab.hello_seq = 6
    lab.up(lab.hello(key=key), "bad_tag")
    assert lab.codes == [code]


def test_a_hello_whose_device_key_was_derived_with_swapped_nonces() -> None:
    lab = Lab()
    lab.watcher.ring.pairings[DEVICE] = (CODE, nonce("a"), nonce("b"))
    lab.watcher.ring.know(DEVICE, device_key(CODE.encode(), nonce("a"), nonce("b")))
    lab.hello_seq = 6
    wrong = device_key(CODE.encode(), nonce("b"), nonce("a"))
    lab.up(lab.hello(key=handshake_key(wrong)), "bad_tag")
    assert lab.codes == ["tag.nonces_swapped"]


def pair(key: bytes, *, seq: int = 0, size: int = wire.PAIR_BYTES, nonce_d: bytes = b"") -> bytes:
    empty = encode([nonce_d or nonce("p"), "lab", b""])
    packet = wire.pack_header(wire.PAIR, 0, seq, 5) + empty[:-2] + encode(control.padding(len(empty), size))
    return packet + tag(key, packet)


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        (pair(pairing_key(CODE[::-1].encode())), "pair.code"),
        (pair(hkdf(CODE.lower().encode(), b"VT1 pair")), "tag.code_form"),
        (pair(CODE.encode()), "tag.code_direct"),
        (pair(pairing_key(CODE.encode()), seq=1), "pair.seq"),
        (pair(pairing_key(CODE.encode()), size=250), "pair.size"),
        (pair(pairing_key(CODE.encode()), nonce_d=bytes(16)), "nonce.weak"),
    ],
)
def test_a_wrong_pair(packet: bytes, code: str) -> None:
    lab = Lab()
    lab.watcher.ring.offer(CODE)
    lab.up(packet, "bad_tag")
    assert lab.codes == [code]


def test_another_pair_under_a_used_code() -> None:
    lab = Lab()
    lab.watcher.ring.offer(CODE)
    key = pairing_key(CODE.encode())
    lab.up(pair(key))
    lab.up(pair(key))
    assert lab.codes == []
    lab.up(pair(key, nonce_d=nonce("another")), "spent")
    assert lab.codes == ["pair.changed"]


def sealed_with(
    lab: Lab, seq: int, order: str = ">", keys: LinkKeys | None = None, number: int | None = None
) -> bytes:
    plain = body()
    key = stream(keys or lab.up_keys, seq if number is None else number, len(plain), order)
    return bytes(a ^ b for a, b in zip(plain, key, strict=True))


CIPHERS: dict[str, Callable[[Lab], bytes]] = {
    "cipher.not_encrypted": lambda lab: body(),
    "cipher.index_little_endian": lambda lab: sealed_with(lab, 0, "<"),
    "cipher.index_stands": lambda lab: sealed_with(lab, 0, "="),
    "cipher.index_from_one": lambda lab: sealed_with(lab, 0, "1"),
    "cipher.iv_missing": lambda lab: sealed_with(lab, 0, keys=LinkKeys(lab.up_keys.k_enc, b"", bytes(4))),
    "cipher.down_keys": lambda lab: sealed_with(lab, 0, keys=lab.down_keys),
    "cipher.seq_other": lambda lab: sealed_with(lab, 0, number=1),
}


@pytest.mark.parametrize("code", CIPHERS)
def test_a_wrong_counter_block_is_explained(code: str) -> None:
    lab = Lab()
    lab.up(lab.seal(wire.DATA, b"", sealed=CIPHERS[code](lab)), "malformed")
    assert lab.codes == [code]


def test_seq_big_endian_in_the_block_and_in_the_header() -> None:
    lab = Lab()
    lab.seq = 1
    lab.up(lab.seal(wire.DATA, b"", seq=1, sealed=sealed_with(lab, 1, number=1 << 56)), "malformed")
    assert "cipher.seq_big_endian" in lab.codes
    lab.codes.clear()
    lab.up(lab.seal(wire.DATA, body(), seq=2 << 56), "seq_jump")
    assert lab.codes == ["seq.big_endian"]


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        (b"", "header.truncated"),
        (b"VT2" + bytes(60), "header.magic"),
        (b"VT1\x0b" + bytes(60), "header.type"),
        (b"VT1\x05" + bytes(1300), "header.oversize"),
    ],
)
def test_what_is_no_packet(packet: bytes, code: str) -> None:
    lab = Lab()
    lab.up(packet, code.partition(".")[2])
    assert lab.codes == [code]


def test_links_that_nobody_made() -> None:
    lab = Lab()
    lab.up(
        lab.seal(wire.DATA, body(), link=int.from_bytes((4242).to_bytes(4, "little"), "big")), "unknown_link"
    )
    lab.up(lab.seal(wire.DATA, body(), link=0), "unknown_link")
    lab.up(lab.seal(wire.DATA, body(), link=77), "unknown_link")
    assert lab.codes == ["header.link_big_endian", "header.link_missing", "header.link_unknown"]


# ---- bodies ------------------------------------------------------------------------------------------------------

GOOD = encode([0, [[0, 1]], [[0, kinds.POSE, 0, poses(1)]]])


@pytest.mark.parametrize(
    ("data", "offset", "short"),
    [
        (b"\x93\xcc\x00" + GOOD[2:], 1, "00"),
        (b"\x93\xd0\x05" + GOOD[2:], 1, "05"),
        (b"\xdc\x00\x03" + GOOD[1:], 0, "93"),
        (GOOD.replace(b"\xc4\x40", b"\xc5\x00\x40", 1), 11, "c4 40"),
    ],
)
def test_what_is_not_shortest_is_told_with_its_byte_and_the_form_that_is_wanted(
    data: bytes, offset: int, short: str
) -> None:
    lab = Lab()
    line = lab.send(wire.DATA, data)
    assert lab.codes == ["body.not_shortest"]
    assert (line.spots[0].offset, line.spots[0].wanted) == (offset, short)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (GOOD[:-1], "body.broken"),
        (GOOD + b"\0", "body.trailing"),
        (b"\x93\xc0" + GOOD[2:], "body.foreign"),
        (b"\x93\xca\0\0\0\0" + GOOD[2:], "body.foreign"),
        (b"\x83" + GOOD[1:], "body.broken"),
        (b"\xc1", "body.broken"),
        (encode([0, []]), "body.fields"),
        (encode([0, [], [], 0]), "body.fields"),
        (encode([-1, [], []]), "body.range"),
        (encode([0, [[70_000, 1]], []]), "body.range"),
        (encode([0, [[1, 1], [1, 2]], []]), "body.field"),
        (encode([0, [], [[0, 1, 0, "text"]]]), "body.field"),
        (encode([0, [], [[0, 1, 0]]]), "body.fields"),
    ],
)
def test_what_is_no_body_is_told(data: bytes, code: str) -> None:
    lab = Lab()
    lab.send(wire.DATA, data)
    assert code in lab.codes


@pytest.mark.parametrize(
    "value",
    [
        0,
        1,
        127,
        128,
        255,
        256,
        65_535,
        65_536,
        2**32 - 1,
        2**32,
        2**64 - 1,
        -1,
        -32,
        -33,
        -128,
        -129,
        -32_768,
        -32_769,
        -(2**31),
        -(2**31) - 1,
        -(2**63),
    ],
)
def test_the_shortest_form_of_an_integer_is_what_the_encoder_gives(value: int) -> None:
    assert bytes.fromhex(reading.shortest(value)) == encode(value)
    assert reading.read(encode(value)).longer == []


# ---- records -----------------------------------------------------------------------------------------------------

NAN = np.float32("nan")


def pose_frame(**values: object) -> Frame:
    return Frame(0, kinds.POSE, 0, poses(4, **values))


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (pose_frame(position_m=NAN), "frame.not_finite"),
        (pose_frame(orientation=(1, 1, 1, 1)), "record.quaternion"),
        (pose_frame(orientation=0), "record.zero_filled"),
        (pose_frame(orientation=(0, 0, 0, 1), position_m=0), "record.zero_pose"),
        (pose_frame(flags=0x8003), "record.unused"),
        (pose_frame(space=9), "record.space"),
        (pose_frame(position_m=(0, 1600, 0)), "record.far"),
        (pose_frame(linear_velocity=-NAN), "record.nan_form"),
        (Frame(0, kinds.POSE, 0, poses(1)[:-1]), "frame.size"),
        (Frame(0, 99, 0, b"x"), "frame.kind"),
        (Frame(0, kinds.GAZE, 0, bytes(112)), "frame.not_permitted"),
        (Frame(0, kinds.MARKER, 0, bytes(12) + b"x"), "frame.size"),
        (Frame(0, kinds.INFO, 0, bytes(8) + b"\x02\0[]"), "frame.text"),
    ],
)
def test_a_wrong_record_is_told(frame: Frame, code: str) -> None:
    lab = Lab()
    lab.data(frame, totals=[(0, 4)])
    assert code in lab.codes


def test_gaze_that_is_zero_and_called_valid() -> None:
    lab = Lab(kinds=(kinds.GAZE,))
    row = np.zeros(1, kinds.GAZE_DTYPE)
    row["t_capture_ns"], row["flags_left"] = S, kinds.EYE_DIRECTION_VALID
    lab.data(Frame(0, kinds.GAZE, 0, row.tobytes()))
    assert lab.codes == ["record.zero_filled"]


def test_clock_samples_of_wrong_arithmetic() -> None:
    lab = Lab()
    row = np.zeros(1, kinds.CLOCK_DTYPE)
    row["t_capture_ns"], row["gateway_received_ns"], row["gateway_sent_ns"], row["t_returned_ns"] = (
        100,
        1000,
        1010,
        130,
    )
    row["offset_ns"], row["uncertainty_ns"] = 890 * 2, 10
    lab.data(Frame(9, kinds.CLOCK, 0, row.tobytes()))
    assert lab.codes == ["record.offset"]


def walking(axis: int, sign: float) -> np.ndarray:
    rows = np.zeros(600, kinds.POSE_DTYPE)
    t = np.arange(600) / 90
    rows["t_capture_ns"] = S + (t * 1e9).astype(np.int64)
    rows["flags"] = kinds.POSITION_VALID | kinds.LINEAR_VELOCITY_VALID
    rows["position_m"][:, axis] = np.sin(t)
    rows["linear_velocity"][:, axis] = sign * np.cos(t)
    return rows


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_velocity_that_runs_against_its_position(axis: int) -> None:
    assert motion.Tracker().add(walking(axis, 1.0)) == []
    found = motion.Tracker().add(walking(axis, -1.0))
    assert [one.code for one in found] == ["axes.linear_velocity"]
    assert found[0].what.startswith(f"linear_velocity: {'xyz'[axis]} runs")


def test_an_angular_velocity_that_runs_against_its_rotation() -> None:
    def turning(sign: float) -> np.ndarray:
        rows = np.zeros(600, kinds.POSE_DTYPE)
        t = np.arange(600) / 90
        rows["t_capture_ns"] = S + (t * 1e9).astype(np.int64)
        rows["flags"] = kinds.ORIENTATION_VALID | kinds.ANGULAR_VELOCITY_VALID
        rows["orientation"][:, 1], rows["orientation"][:, 3] = np.sin(t / 2), np.cos(t / 2)
        rows["angular_velocity"][:, 1] = sign
        return rows

    assert motion.Tracker().add(turning(1.0)) == []
    assert [one.code for one in motion.Tracker().add(turning(-1.0))] == ["axes.angular_velocity"]


def test_movements_are_judged_by_where_the_head_looks() -> None:
    ahead, here = np.array([0, 0, 0, 1.0]), np.zeros(3)
    left = np.array([0, np.sin(np.pi / 4), 0, np.cos(np.pi / 4)])
    assert motion.judge("forward", (here, ahead), (np.array([0, 0, -0.5]), ahead))[0] is True
    assert motion.judge("forward", (here, ahead), (np.array([0, 0, 0.5]), ahead))[0] is False, "Unity's z"
    assert motion.judge("right", (here, left), (np.array([0, 0, -0.5]), left))[0] is True, "it looks to -x"
    assert motion.judge("up", (here, ahead), (np.array([0, 0.02, 0]), ahead))[0] is None
    assert motion.judge("turn_left", (here, ahead), (here, left))[0] is True
    assert motion.judge("turn_left", (here, ahead), (here, left * [1, -1, 1, 1]))[0] is False


def test_nothing_secret_is_said() -> None:
    lab = Lab()
    for code, make in TAGS.items():
        if code != "tag.zeros":
            lab.up(make(lab), "bad_tag")
    lab.data(Frame(0, kinds.POSE, 0, poses(2)))
    said = repr(lab.spoken) + repr(lab.watcher.notes.kept.values())
    secrets = [KEY, handshake_key(KEY), lab.up_keys.k_mac, lab.up_keys.k_enc, *lab.nonces]
    assert not any(one.hex() in said or repr(one) in said for one in secrets)
