"""Reads the vectors of VT1 and turns their fields into the gateway's values; for the tests beside it."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from paths import VECTORS

from gateway.wire import control, frame

Json = dict[str, Any]
U64 = {"batch", "floor", "run", "seq"}  # fields written as decimal strings, besides all `*_ns` and `at_ms`


@cache
def load(name: str) -> Json:
    content: Json = json.loads((VECTORS / "vt1" / f"{name}.json").read_text(encoding="ascii"))
    return content


def packets(*names: str) -> list[Any]:
    return [pytest.param(entry, id=entry["name"]) for name in names for entry in load(name)["packets"]]


def raw(text: str) -> bytes:
    return bytes.fromhex(text)


def frame_of(name: str) -> frame.Frame:
    entry = next(entry for entry in load("frames")["frames"] if entry["name"] == name)
    return frame.Frame(entry["stream"], entry["kind"], int(entry["first_sample"]), raw(entry["samples_hex"]))


def body_value(entry: Json) -> Any:
    """The gateway's value for the fields of an entry."""
    fields, kind = entry["fields"], entry["type"]
    totals = [(row[0], int(row[1])) for row in fields.get("totals", [])]
    plain = {
        name: int(value) if name in U64 or name.endswith(("_ns", "_ms")) else value
        for name, value in fields.items()
        if name != "pad_bytes"
    }
    for name in plain.keys() & {"nonce_d", "nonce_g", "session", "tag"}:
        plain[name] = raw(plain[name])
    if "pad_bytes" in fields:
        plain["pad"] = bytes(fields["pad_bytes"])
    if kind == "data":
        return frame.Data(plain["floor"], totals, [frame_of(name) for name in fields["frames"]])
    if kind == "bye":
        return frame.Bye(plain["floor"], totals, plain["reason"])
    if kind == "receipt" and "commands" in fields:
        return control.Answer([(int(seq), result) for seq, result in fields["commands"]])
    if kind == "receipt":
        return control.Receipt(
            [(int(batch), raw(root), [int(n) for n in ranges]) for batch, root, ranges in fields["stored"]],
            [(reason, [int(n) for n in ranges]) for reason, ranges in fields["refused"]],
            [(int(seq), stream, reason) for seq, stream, reason in fields["frames"]],
            [
                (stream, int(total), int(stored), int(refused), int(missing))
                for stream, total, stored, refused, missing in fields["totals"]
            ],
        )
    if kind == "command":
        read = {"int": int, "float64": float, "str": str}
        args = [read[name](value) for typed in fields["args"] for name, value in typed.items()]
        return control.Command(fields["verb"], args)
    return body_class(kind, gateway_receives="t2_ns" not in fields)(**plain)


def body_class(kind: str, *, gateway_receives: bool) -> Any:
    return {
        "pair": control.Pair,
        "paired": control.Paired,
        "hello": control.Hello,
        "welcome": control.Welcome,
        "receipt": control.Answer if gateway_receives else control.Receipt,
        "sync": control.Probe if gateway_receives else control.ProbeReply,
        "command": control.Command,
        "reset": control.Reset,
    }[kind]


def encode(value: Any) -> bytes:
    if isinstance(value, frame.Data):
        return frame.encode_data(value)
    if isinstance(value, frame.Bye):
        return frame.encode_bye(value)
    return control.encode(value)


def decode(kind: str, body: bytes, *, gateway_receives: bool) -> Any:
    if kind == "data":
        return frame.decode_data(body)
    if kind == "bye":
        return frame.decode_bye(body)
    return control.decode(body_class(kind, gateway_receives=gateway_receives), body)
