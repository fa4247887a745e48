"""Vectors of VT1 on a link: frames, packets up, packets down."""

from __future__ import annotations

import math
from typing import Any

import vt1_oracle as oracle
import vt1_samples as sampled
from vt1_build import DEVICE, K_DEV, LINK, NEXT_K_DEV, NONCE_D, NONCE_G, WORKED, down_seq, sealed_packet

Json = dict[str, Any]


def value_json(value: Any) -> Any:
    """A field of a sample as JSON, by the rules of the module's text; 64-bit fields are the caller's."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [value_json(item) for item in value]
    if isinstance(value, dict):
        return {
            name: str(item) if name.endswith("_ns") and name != "uncertainty_ns" else value_json(item)
            for name, item in value.items()
        }
    return value


def frame_json(name: str) -> Json:
    kind, stream, first, samples = sampled.FRAMES[name]
    fields = sampled.frame_fields(name)
    return {
        "name": name,
        "kind_name": kind,
        "stream": stream,
        "kind": fields[1],
        "first_sample": str(first),
        "count": len(samples),
        "samples": [value_json(values) for values in samples],
        "samples_hex": fields[3].hex(),
        "frame": oracle.pack(fields).hex(),
    }


def frames_file() -> Json:
    numbers = (0, 1, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**53 - 1, 2**63, 2**64 - 1)
    negative = (-1, -32, -33, -128, -129, -32_768, -32_769, -(2**31), -(2**31) - 1, -(2**63))
    texts = ("", "stop", "s" * 31, "s" * 32, "s" * 255, "s" * 256)
    return {
        "messagepack": {
            "int": [{"value": str(n), "bytes": oracle.pack(n).hex()} for n in (*numbers, *negative)],
            "float64": [{"value": x, "bytes": oracle.pack(x).hex()} for x in (0.0, 0.5, -1.0, 0.1, 250.0)],
            "str": [{"value": text, "bytes": oracle.pack(text).hex()} for text in texts],
            "bin_head": [
                {"length": n, "head": oracle.pack(bytes(n)).hex()[: len(oracle.pack(bytes(n))) * 2 - 2 * n]}
                for n in (0, 1, 255, 256, 1136, 65_535, 65_536)
            ],
            "array_head": [
                {"length": n, "head": oracle.pack([0] * n).hex()[: -2 * n or None]}
                for n in (0, 1, 15, 16, 64)
            ],
        },
        "kinds": {name: {"number": number} | oracle.layout(name) for name, number in oracle.KINDS.items()},
        "parts": {name: oracle.layout(name) for name in ("eye", "joint")},
        "frames": [frame_json(name) for name in sampled.FRAMES],
    }


def data(name: str, seq: int, floor: int, totals: list[list[int]], frames: list[str]) -> Json:
    body = oracle.pack([floor, totals, [sampled.frame_fields(frame) for frame in frames]])
    fields = {"floor": str(floor), "totals": [[s, str(n)] for s, n in totals], "frames": frames}
    return sealed_packet(name, "data", WORKED, seq, body, fields) | {
        "frames": [oracle.pack(sampled.frame_fields(frame)).hex() for frame in frames]
    }


def uplink_packets() -> list[Json]:
    packets = [
        data("data_one_frame", 0, 0, [[1, 1]], ["pose"]),
        data(
            "data_several_frames",
            1,
            0,
            [[1, 130], [2, 2**32 + 2], [4, 2]],
            ["pose_three", "gaze_blink", "haptic_stop"],
        ),
        data("data_totals_only", 2, 1, [[1, 131]], []),
        data("data_nothing", 3, 1, [], []),
        data("data_far_on", 2**32 + 5, 2**32 - 1, [[1, 2**53 - 1]], ["pose_without_velocity"]),
    ]
    packets.append(data("data_full_datagram", 70, *sampled.FULL))
    for number, frame in enumerate(sampled.FRAMES):
        kind, stream, first, samples = sampled.FRAMES[frame]
        if len(sampled.samples_bytes(kind, samples)) <= 1140:
            packets.append(data(f"data_{frame}", 100 + number, 99, [[stream, first + len(samples)]], [frame]))
    for number, reason in enumerate(("end", "pause", "sleep", "stop", "error")):
        floor, total = 200, [[1, "144"], [2, str(2**32 + 2)]]
        body = oracle.pack([floor, [[s, int(n)] for s, n in total], reason])
        fields = {"floor": str(floor), "totals": total, "reason": reason}
        packets.append(sealed_packet(f"bye_{reason}", "bye", WORKED, 200 + number, body, fields))
    body = oracle.pack([0, [], "end"])
    packets.append(
        sealed_packet("bye_empty", "bye", WORKED, 9, body, {"floor": "0", "totals": [], "reason": "end"})
    )
    for name, seq, t1 in (
        ("sync", 210, sampled.START_NS),
        ("sync_young_clock", 211, 5),
        ("sync_negative", 212, -70_000),
    ):
        packets.append(sealed_packet(name, "sync", WORKED, seq, oracle.pack([t1]), {"t1_ns": str(t1)}))
    answers = (
        [(down_seq(2), "done"), (down_seq(3), "refused"), (down_seq(4), "unsupported")],
        [(1, "done")],
        [],
    )
    for name, seq, commands in zip(
        ("answer", "answer_small_seq", "answer_empty"), (220, 221, 222), answers, strict=True
    ):
        fields = {"commands": [[str(n), result] for n, result in commands]}
        body = oracle.pack([[list(pair) for pair in commands]])
        packets.append(sealed_packet(name, "receipt", WORKED, seq, body, fields))
    return packets


ROOT_A, ROOT_B = oracle.fixed("root a", 32), oracle.fixed("root b", 32)
RECEIPTS: dict[str, tuple[list[Any], list[Any], list[Any], list[Any]]] = {
    "receipt_stored": ([[4711, ROOT_A, [0, 0]]], [], [], []),
    "receipt_stored_two_batches": ([[4711, ROOT_A, [0, 5, 7, 9]], [4712, ROOT_B, [10, 300]]], [], [], []),
    "receipt_stored_copies": ([[0, b"", [3, 3, 2**32, 2**32 + 5]]], [], [], []),
    "receipt_refused": ([], [["closed", [4, 6]], ["not_canonical", [8, 8, 10, 10]]], [], []),
    "receipt_frames": (
        [[2**32, ROOT_B, [1, 1]]],
        [],
        [[1, 2, "not_permitted"], [1, 65_535, "not_finite"]],
        [],
    ),
    "receipt_totals": ([], [], [], [[1, 144, 140, 3, 1], [2, 2**32 + 2, 2**32, 0, 2]]),
    "receipt_everything": (
        [[9, ROOT_A, [20, 29]], [0, b"", [7, 7]]],
        [["withdrawn", [30, 31]]],
        [[21, 5, "kind_changed"]],
        [[1, 2000, 1990, 0, 10]],
    ),
    "receipt_nothing": ([], [], [], []),
}
COMMANDS: dict[str, tuple[str, list[Any]]] = {
    "command_open": ("open", []),
    "command_stop": ("stop", ["withdrawn"]),
    "command_haptic": ("haptic", [2, 0.75, 120, 180.0]),
    "command_haptic_shortest": ("haptic", [1, 1.0, 0, 0.0]),
    "command_text": ("text", ["Please sit down – 休憩"]),
    "command_marker": ("marker", [300, sampled.MARKER_TEXT]),
    "command_hold": ("hold", ["disk_full"]),
    "command_rotate": ("rotate", [NEXT_K_DEV.hex()]),
}
# Sound as bodies, and beyond the limits: SPEC, "Commands".
REFUSED: dict[str, tuple[str, list[Any]]] = {
    "command_hold_for_no_reason": ("hold", []),
    "command_hold_for_another": ("hold", ["weather"]),
    "command_rotate_capitals": ("rotate", [NEXT_K_DEV.hex().upper()]),
    "command_rotate_short": ("rotate", [NEXT_K_DEV.hex()[:-1]]),
    "command_rotate_two": ("rotate", [NEXT_K_DEV.hex(), NEXT_K_DEV.hex()]),
    "command_haptic_whole_numbers": ("haptic", [2, 1, 120, 180]),
    "command_haptic_too_long": ("haptic", [1, 0.5, 10_001, 0.0]),
    "command_haptic_other_target": ("haptic", [3, 0.5, 20, 0.0]),
    "command_text_empty": ("text", [""]),
    "command_marker_large_code": ("marker", [65_536, ""]),
}


def typed(value: int | float | str) -> Json:
    if isinstance(value, float):
        return {"float64": value}
    return {"int": str(value)} if isinstance(value, int) else {"str": value}


def downlink_packets() -> list[Json]:
    keys = oracle.link_keys(K_DEV, NONCE_D, NONCE_G, DEVICE, LINK, oracle.DOWN)
    packets = []
    for number, (name, (stored, refused, frames, totals)) in enumerate(RECEIPTS.items()):
        fields = {
            "stored": [[str(batch), root.hex(), [str(n) for n in ranges]] for batch, root, ranges in stored],
            "refused": [[reason, [str(n) for n in ranges]] for reason, ranges in refused],
            "frames": [[str(seq), stream, reason] for seq, stream, reason in frames],
            "totals": [[row[0], *(str(n) for n in row[1:])] for row in totals],
        }
        body = oracle.pack([stored, refused, frames, totals])
        packets.append(sealed_packet(name, "receipt", keys, down_seq(10 + number), body, fields))
    for name, counter, t1 in (("sync_reply", 1, sampled.START_NS), ("sync_reply_negative", 30, -70_000)):
        times = (t1, 5_000_000_900_000, 5_000_000_950_000)
        fields = dict(zip(("t1_ns", "t2_ns", "t3_ns"), map(str, times), strict=True))
        packets.append(sealed_packet(name, "sync", keys, down_seq(counter), oracle.pack(list(times)), fields))
    for number, (name, (verb, args)) in enumerate((COMMANDS | REFUSED).items()):
        fields = {"verb": verb, "args": [typed(value) for value in args]}
        packet = sealed_packet(
            name, "command", keys, down_seq(40 + number), oracle.pack([verb, args]), fields
        )
        packets.append(packet | {"answer": "refused" if name in REFUSED else "done"})
    return packets
