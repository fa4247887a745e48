"""Corrupted twins whose body is at fault: sealed and tagged as a device with its key would do it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

import vt1_corrupt as corrupt
import vt1_oracle as oracle
import vt1_samples as sampled

Json = dict[str, Any]
Bits = Callable[[bytes], bytes]


def _patched(index: int, cut: int, new: str) -> Bits:
    return lambda body: body[:index] + bytes.fromhex(new) + body[index + cut :]


def _long_args(body: bytes) -> bytes:
    """The array of one argument, in three bytes instead of one."""
    return body.replace(b"\xa6rotate\x91", b"\xa6rotate\xdc\x00\x01")


def hello(fields: list[Any]) -> bytes:
    return oracle.pack_padded(fields, oracle.HELLO_BYTES)[0]


def pair(fields: list[Any]) -> bytes:
    return oracle.pack_padded(fields, oracle.PAIR_BYTES)[0]


def bodies(every: dict[str, Json], keys: Json) -> Iterator[Json]:
    """One twin for each rule of each body."""
    pack = oracle.pack
    frame = sampled.frame_fields("pose")
    stream, kind, first, samples = frame
    data = [
        ("long integer", "not_canonical", "floor 0 in two bytes", _patched(1, 1, "cc00")),
        ("longest integer", "not_canonical", "floor 0 in nine bytes", _patched(1, 1, "cf0000000000000000")),
        ("signed integer", "not_canonical", "floor 0 as int8", _patched(1, 1, "d000")),
        ("long array", "not_canonical", "the body's array with a 16-bit length", _patched(0, 1, "dc0003")),
        (
            "longest array",
            "not_canonical",
            "the body's array with a 32-bit length",
            _patched(0, 1, "dd00000003"),
        ),
        (
            "long bytes",
            "not_canonical",
            "64 bytes of samples with a 16-bit length",
            lambda body: body.replace(b"\xc4\x40", b"\xc5\x00\x40"),
        ),
        (
            "text for bytes",
            "malformed",
            "the samples as str",
            lambda body: body.replace(b"\xc4\x40", b"\xd9\x40"),
        ),
        ("float", "malformed", "floor as float64", _patched(1, 1, "cb0000000000000000")),
        ("true", "malformed", "floor as true", _patched(1, 1, "c3")),
        ("nil", "malformed", "floor as nil", _patched(1, 1, "c0")),
        ("extension", "malformed", "floor as an extension", _patched(1, 1, "d40100")),
        ("no body", "malformed", "an empty body", lambda _: b""),
        ("cut", "malformed", "the last byte of the body is missing", lambda body: body[:-1]),
        ("trailing byte", "malformed", "a byte after the body", lambda body: body + b"\0"),
        ("reserved byte", "malformed", "the byte c1, which MessagePack never uses", lambda _: b"\xc1"),
        (
            "map",
            "malformed",
            "a map in place of the array",
            lambda _: pack({"floor": 0, "totals": [], "frames": []}),
        ),
        ("too few fields", "malformed", "two fields", lambda _: pack([0, []])),
        ("too many fields", "malformed", "four fields", lambda _: pack([0, [], [], 0])),
        (
            "short frame",
            "malformed",
            "a frame of three fields",
            lambda _: pack([0, [], [[stream, kind, first]]]),
        ),
        ("long frame", "malformed", "a frame of five fields", lambda _: pack([0, [], [[*frame, 0]]])),
        ("short total", "malformed", "a total without its number", lambda _: pack([0, [[1]], []])),
        ("deep nesting", "malformed", "1,000 arrays in one another", lambda _: b"\x91" * 1000 + b"\xc0"),
        (
            "promised too much",
            "malformed",
            "an array of 2^32 - 1 that is not there",
            lambda _: bytes.fromhex("ddffffffff00"),
        ),
        ("negative floor", "numbers", "floor -1", lambda _: pack([-1, [], [frame]])),
        ("negative stream", "numbers", "stream -1", lambda _: pack([0, [], [[-1, kind, first, samples]]])),
        (
            "large stream",
            "numbers",
            "stream 65,536",
            lambda _: pack([0, [], [[65_536, kind, first, samples]]]),
        ),
        ("negative kind", "numbers", "kind -1", lambda _: pack([0, [], [[stream, -1, first, samples]]])),
        (
            "negative sample",
            "numbers",
            "first sample -1",
            lambda _: pack([0, [], [[stream, kind, -1, samples]]]),
        ),
        (
            "large sample",
            "numbers",
            "first sample 2^53",
            lambda _: pack([0, [], [[stream, kind, 2**53, samples]]]),
        ),
        ("large total", "numbers", "a total of 2^53", lambda _: pack([0, [[1, 2**53]], [frame]])),
        ("negative total", "numbers", "a total of -1", lambda _: pack([0, [[1, -1]], [frame]])),
        (
            "total of a large stream",
            "numbers",
            "a total of stream 65,536",
            lambda _: pack([0, [[65_536, 1]], []]),
        ),
        ("65 frames", "too_many", "64 frames are taken", lambda _: pack([0, [], [[1, 7, 0, b""]] * 65])),
        (
            "65 totals",
            "too_many",
            "64 totals are taken",
            lambda _: pack([0, [[n, 1] for n in range(65)], []]),
        ),
    ]
    bye = [
        (
            "long text",
            "not_canonical",
            "the reason with an 8-bit length",
            lambda body: body.replace(b"\xa3end", b"\xd9\x03end"),
        ),
        (
            "bytes for text",
            "malformed",
            "the reason as bin",
            lambda body: body.replace(b"\xa3end", b"\xc4\x03end"),
        ),
        (
            "not UTF-8",
            "malformed",
            "a reason that is not UTF-8",
            lambda body: body.replace(b"\xa3end", b"\xa3\xff\xfe\xfd"),
        ),
        (
            "unknown reason",
            "malformed",
            "a reason that is none",
            lambda body: body.replace(b"\xa3end", b"\xa4gone"),
        ),
        (
            "65 totals",
            "too_many",
            "64 totals are taken",
            lambda _: pack([0, [[n, 1] for n in range(65)], "end"]),
        ),
        ("negative floor", "numbers", "floor -1", lambda _: pack([-1, [], "end"])),
    ]
    nonce = oracle.fixed("nonce of the device", 16)
    others: list[tuple[str, list[tuple[str, str, str, Bits]]]] = [
        ("data_one_frame", data),
        ("bye_end", bye),
        (
            "sync",
            [
                ("float", "malformed", "the time as float64", lambda _: pack([5.5])),
                ("two times", "malformed", "two fields", lambda _: pack([1, 2])),
                (
                    "long integer",
                    "not_canonical",
                    "5 in nine bytes",
                    lambda _: b"\x91\xd3" + (5).to_bytes(8, "big"),
                ),
            ],
        ),
        (
            "answer",
            [
                ("unknown result", "numbers", "a result that is none", lambda _: pack([[[1, "maybe"]]])),
                ("negative seq", "numbers", "seq -1", lambda _: pack([[[-1, "done"]]])),
                ("no list", "malformed", "one answer without its list", lambda _: pack([[1, "done"]])),
            ],
        ),
        (
            "pair",
            [
                ("short nonce", "numbers", "a nonce of 15 bytes", lambda _: pair([nonce[:15], "x"])),
                ("long name", "numbers", "a name of 65 bytes", lambda _: pair([nonce, "n" * 65])),
                ("control character", "numbers", "U+001B in a name", lambda _: pair([nonce, "a\x1b[2J"])),
                (
                    "name not UTF-8",
                    "malformed",
                    "a name that is not UTF-8",
                    lambda _: pair([nonce, "x"]).replace(b"\xa1x", b"\xa1\xff"),
                ),
            ],
        ),
        (
            "paired",
            [
                ("device 0", "numbers", "device 0", lambda _: pack([nonce, nonce, 0, "a"])),
                ("large device", "numbers", "device 2^32", lambda _: pack([nonce, nonce, 2**32, "a"])),
                ("no home", "numbers", "an empty home", lambda _: pack([nonce, nonce, 7, ""])),
                ("long home", "numbers", "a home of 33 bytes", lambda _: pack([nonce, nonce, 7, "h" * 33])),
            ],
        ),
        (
            "hello",
            [
                ("device 0", "numbers", "device 0", lambda _: hello([0, 1, nonce, [1], []])),
                ("negative run", "numbers", "run -1", lambda _: hello([7, -1, nonce, [1], []])),
                ("no version", "numbers", "no version", lambda _: hello([7, 1, nonce, [], []])),
                ("version 0", "numbers", "version 0", lambda _: hello([7, 1, nonce, [0], []])),
                (
                    "nine versions",
                    "numbers",
                    "nine versions",
                    lambda _: hello([7, 1, nonce, list(range(1, 10)), []]),
                ),
                ("link 0", "numbers", "holds link 0", lambda _: hello([7, 1, nonce, [1], [0]])),
                (
                    "25 links",
                    "numbers",
                    "holds 25 links",
                    lambda _: hello([7, 1, nonce, [1], list(range(1, 26))]),
                ),
                ("no padding field", "malformed", "five fields", lambda _: hello([7, 1, nonce, [1]])),
            ],
        ),
        (
            "welcome_recording",
            [
                (
                    "unknown state",
                    "numbers",
                    "a state that is none",
                    lambda body: body.replace(b"\xa9recording", b"\xa8recorded"),
                ),
                (
                    "short session",
                    "numbers",
                    "a session of 4 bytes",
                    lambda _: pack([nonce, nonce, 1, "g", b"1234", 1, [1], "recording", "", [], [], 0]),
                ),
                ("trailing byte", "malformed", "a byte after the body", lambda body: body + b"\0"),
            ],
        ),
        (
            "reset_ended",
            [
                (
                    "unknown reason",
                    "numbers",
                    "a reason that is none",
                    lambda body: body.replace(b"\xa5ended", b"\xa5bored"),
                ),
                ("short tag", "numbers", "a tag of 15 bytes", lambda _: pack([1, bytes(15), "ended"])),
            ],
        ),
        (
            "receipt_stored",
            [
                (
                    "odd ranges",
                    "numbers",
                    "a range without its end",
                    lambda _: pack([[[1, bytes(32), [1, 2, 4]]], [], [], []]),
                ),
                (
                    "range backwards",
                    "numbers",
                    "first above last",
                    lambda _: pack([[[1, bytes(32), [5, 4]]], [], [], []]),
                ),
                (
                    "ranges overlap",
                    "numbers",
                    "ranges that overlap",
                    lambda _: pack([[], [["closed", [1, 5, 5, 6]]], [], []]),
                ),
                ("three fields", "malformed", "no totals", lambda _: pack([[], [], []])),
            ],
        ),
        ("sync_reply", [("probe back", "malformed", "only the probe's time", lambda _: pack([1]))]),
        (
            "command_haptic",
            [
                ("unknown verb", "numbers", "a verb that is none", lambda _: pack(["reboot", []])),
                (
                    "float32",
                    "not_canonical",
                    "amplitude as float32",
                    lambda _: pack(["haptic", [2, 0.75, 120, 180.0]]).replace(
                        struct.pack(">Bd", 0xCB, 0.75), struct.pack(">Bf", 0xCA, 0.75)
                    ),
                ),
                ("true", "malformed", "amplitude true", lambda _: pack(["haptic", [2, True, 120, 180.0]])),
                (
                    "not UTF-8",
                    "malformed",
                    "a text that is not UTF-8",
                    lambda _: pack(["text", ["x"]]).replace(b"\xa1x", b"\xa1\xff"),
                ),
            ],
        ),
        (
            "command_rotate",
            [
                ("bytes for text", "malformed", "the key as bin", lambda _: pack(["rotate", [bytes(32)]])),
                ("long array", "not_canonical", "one argument with a 16-bit length", _long_args),
            ],
        ),
        ("command_hold", [("nil", "malformed", "the reason as nil", lambda _: pack(["hold", [None]]))]),
    ]
    for base_name, faults in others:
        base = every[base_name]
        for name, reason, why, change in faults:
            body = change(bytes.fromhex(base["body"]))
            assert body.hex() != base["body"], f"{base_name}: {name} changes nothing"
            faulty = corrupt.twin(base, name, "body", reason, why, corrupt.sealed(base, keys, body))
            yield faulty | {"body": body.hex()}
    base = every["data_one_frame"]
    for kind in ("command", "welcome"):
        start = bytearray(bytes.fromhex(base["header"] + base["sealed"]))
        start[3] = oracle.TYPES[kind]
        why = "a device says with its own key what only a gateway says"
        packet = corrupt.tagged(base, keys, bytes(start))
        yield corrupt.twin(base, f"as {kind}", "body", "type", why, packet) | {"body": base["body"]}
