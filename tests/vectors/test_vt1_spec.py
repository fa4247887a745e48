"""`plugins/SPEC.md` says what the code does: its tables against `gateway.wire`, its words against the counters."""

from __future__ import annotations

import re
import typing
from functools import cache

import numpy as np
import pytest
from paths import ROOT

from gateway import events
from gateway.device import config as device
from gateway.wire import control, frame, kinds, packet

NOT_ABOUT_PACKETS = {"tls", "not_authorized", "refused", "not_subscribed", "taken_over",
    "disk_low", "disk_full", "disk_io", "store_busy", "row", "outbox", "network", "timeout", "shutdown", "other",
}  # fmt: skip


@cache
def spec() -> str:
    return (ROOT / "plugins" / "SPEC.md").read_text(encoding="utf-8")


def section(number: int) -> str:
    found = re.search(rf"^## {number} .*?(?=^## |\Z)", spec(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[0]


def rows(text: str) -> list[list[str]]:
    """Cells of all table rows."""
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip()[1:-1])]
        for line in text.splitlines()
        if line.startswith("|") and not line.startswith("|---")
    ]


def test_types() -> None:
    told = {row[1]: row for row in rows(section(2)) if len(row) == 7 and row[1].isdigit()}
    assert {int(number): row[0].lower() for number, row in told.items()} == packet.TYPE_NAMES
    for number, row in told.items():
        assert (row[2] in ("up", "both")) == (int(number) in packet.UPLINK)
        assert (row[2] in ("down", "both")) == (int(number) in packet.DOWNLINK)
        assert (row[4] == "no") == (int(number) in packet.CLEAR)


def test_kinds_and_their_sizes() -> None:
    told: dict[int, tuple[str, int]] = {}
    for row in rows(section(13)):
        for at in (0, 3):
            if len(row) == 6 and row[at].isdigit() and row[at + 1].startswith("`"):
                told[int(row[at])] = (row[at + 1].strip("`"), int(row[at + 2].split()[0]))
    assert told == {kind.number: (kind.name, kind.sample_bytes) for kind in kinds.KINDS.values()}


@pytest.mark.parametrize("name", ["pose", "gaze", "hand", "haptic", "button", "clock"])
def test_offsets(name: str) -> None:
    text = re.search(rf"^### {name} .*?(?=^### )", section(13), re.MULTILINE | re.DOTALL)
    assert text is not None
    told = {
        row[2].split()[-1]: (int(row[0]), row[1])
        for row in rows(text[0])
        if row[0].isdigit() and len(row) == 4
    }
    dtype = kinds.KIND_BY_NAME[name].dtype
    widths = {"i64": 8, "u32": 4, "u16": 2, "u8": 1, "f32": 4}
    for field in dtype.names or ():
        if field in ("left", "joints", "right"):
            continue
        offset, kind = told[field]
        base, _, times = kind.partition(" x")
        inner, place = (dtype.fields or {})[field][:2]
        assert offset == place, field
        assert inner.itemsize == widths[base] * int(times or 1), field


def test_parts_of_records() -> None:
    eye = kinds.GAZE_DTYPE["left"].fields or {}
    text = section(13)
    for field, at in (("origin_m", 16), ("direction", 28), ("pupil_mm", 40), ("openness", 44)):
        assert re.search(rf"\| {at} \| f32(?: x3)? \| left {field} \|", text)
        assert eye[field][1] == at - 16
    joint = np.dtype(kinds.HAND_DTYPE["joints"].base)
    assert joint.itemsize == 36
    offsets = {name: place for name, (_, place, *_) in (joint.fields or {}).items()}
    assert offsets == {"position_m": 0, "orientation": 12, "radius_m": 28, "flags": 32}


def test_reasons_are_the_counters_names() -> None:
    told = {word for row in rows(section(17))[1:] for word in re.findall(r"`(\w+)`", row[0])}
    assert told == set(typing.get_args(events.Reason)) - NOT_ABOUT_PACKETS
    checks = {word for row in rows(section(16)) if len(row) == 3 for word in re.findall(r"`(\w+)`", row[2])}
    # the rest is told in other ways: two in WELCOME, one by the queue before any check
    assert told - checks == {"version", "revoked", "queue"}


def test_closed_sets_of_words() -> None:
    ten, eleven = {row[0]: row[1] for row in rows(section(10))}, rows(section(11))
    assert set(re.findall(r"`(\w+)`", ten["reason in BYE"])) == frame.BYE_REASONS
    assert set(re.findall(r"`(\w+)`", ten["reason in RESET"])) == control.RESET_REASONS
    assert set(re.findall(r"`(\w+)`", ten["result"])) == control.RESULTS
    assert {word for row in eleven for word in re.findall(r"^`(\w+)`$", row[0])} == control.COMMANDS


def test_limits() -> None:
    told = {row[0]: row[1] for row in rows(section(18))}

    def numbers(name: str) -> list[int]:
        return [int(text.replace(",", "")) for text in re.findall(r"\d[\d,]*", told[name])]

    assert numbers("datagram") == [packet.MAX_DATAGRAM_BYTES]
    assert numbers("MQTT payload") == [packet.MAX_MQTT_BYTES]
    assert numbers("HELLO / PAIR") == [packet.HELLO_BYTES, packet.PAIR_BYTES]
    assert numbers("links in HELLO") == [control.MAX_LINKS]
    assert numbers("versions in HELLO") == [control.MAX_VERSIONS]
    assert numbers("frames in a packet") == [frame.MAX_FRAMES]
    assert numbers("totals in a packet, streams of a link") == [frame.MAX_TOTALS]
    assert numbers("samples in a frame") == [frame.MAX_SAMPLES]
    assert told["sample number"] == "2^53 - 1"
    assert frame.SAMPLE_NUMBER_MAX == 2**53 - 1
    assert numbers("device ring") == [device.RING_BYTES >> 20, device.RING_PACKETS]


def test_the_worked_example_is_the_vector() -> None:
    hexes = re.search(r"`(565431 09 [0-9a-f ]+)`", section(2))
    assert hexes is not None
    uplink = (ROOT / "tests" / "vectors" / "vt1" / "uplink.json").read_text(encoding="ascii")
    assert f'"packet": "{hexes[1].replace(" ", "")}"' in uplink
