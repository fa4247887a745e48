"""Limits of what people may ask of a headset: the gateway refuses, in words, exactly what the device would refuse."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core import commands as ours
from gateway.device import commands as theirs
from gateway.device.config import DeviceConfig
from gateway.errors import LocalError
from gateway.wire.control import Command
from gateway.wire.kinds import MARKER_MAX_BYTES


def device_says(verb: str, args: list[Any], targets: frozenset[int] = frozenset(range(256))) -> str:
    config = DeviceConfig(1, bytes(32), "rig-1", -1, 1, targets=targets)
    return theirs.Commands(config).judge(Command(verb, args), 0)


def test_the_limits_are_those_of_the_device() -> None:
    for name in ("MAX_DURATION_MS", "MIN_FREQUENCY_HZ", "MAX_FREQUENCY_HZ", "MAX_TEXT_BYTES", "MAX_CODE"):
        assert getattr(ours, name) == getattr(theirs, name), name


GOOD: list[tuple[str, list[Any]]] = [
    ("haptic", [0, 0, 0, 0]),
    ("haptic", [255, 1, 10_000, 1_000]),
    ("haptic", [1, 0.5, 200, 1.0]),
    ("text", ["x" * 512]),
    ("text", ["\u00e4" * 256]),
    ("text", ["first line\nsecond line"]),
    ("text", ["smaller < larger, 3 > 2"]),
    ("marker", [0, ""]),
    ("marker", [65_535, "y" * MARKER_MAX_BYTES]),
]


@pytest.mark.parametrize(("verb", "args"), GOOD)
def test_what_is_within_the_limits_the_device_takes(verb: str, args: list[Any]) -> None:
    assert device_says(verb, ours.checked(verb, args)) == theirs.DONE


BAD: list[tuple[str, list[Any], str]] = [
    ("haptic", [256, 0.5, 10, 0.0], "target is 256"),
    ("haptic", [-1, 0.5, 10, 0.0], "target is -1"),
    ("haptic", [1, 1.0001, 10, 0.0], "amplitude is 1.0001"),
    ("haptic", [1, -0.0001, 10, 0.0], "amplitude is -0.0001"),
    ("haptic", [1, float("nan"), 10, 0.0], "amplitude is nan"),
    ("haptic", [1, 0.5, 10_001, 0.0], "ms is 10001"),
    ("haptic", [1, 0.5, -1, 0.0], "ms is -1"),
    ("haptic", [1, 0.5, 10, 0.5], "hz is 0.5"),
    ("haptic", [1, 0.5, 10, 1_001.0], "hz is 1001.0"),
    ("haptic", [1, 0.5, 10, float("inf")], "hz is inf"),
    ("text", [""], "the text has 0 bytes"),
    ("text", ["x" * 513], "the text has 513 bytes"),
    ("text", ["\u00e4" * 257], "the text has 514 bytes"),
    ("marker", [65_536, ""], "code is 65536"),
    ("marker", [-1, ""], "code is -1"),
    ("marker", [0, "y" * (MARKER_MAX_BYTES + 1)], "the text has 513 bytes"),
]


@pytest.mark.parametrize(("verb", "args", "said"), BAD)
def test_what_is_outside_of_them_both_refuse(verb: str, args: list[Any], said: str) -> None:
    with pytest.raises(LocalError) as refused:
        ours.checked(verb, args)
    assert refused.value.message == said
    assert refused.value.hint
    if args[:1] != [256]:
        assert device_says(verb, args) == theirs.REFUSED


@pytest.mark.parametrize(
    "text",
    ["see http://a.example", "www.a.example", "<b>stop</b>", "[here](x)", "bell\x07", "a\x9fb", "\ud800"],
)
def test_a_text_is_plain(text: str) -> None:
    with pytest.raises(LocalError):
        ours.checked("text", [text])


@pytest.mark.parametrize(
    ("verb", "args"),
    [("rotate", ["00" * 32]), ("stop", []), ("haptic", [1, 0.5, 10]), ("text", [7]), ("marker", ["7", ""])],
)
def test_people_may_send_nothing_else(verb: str, args: list[Any]) -> None:
    with pytest.raises(LocalError, match="is no command"):
        ours.checked(verb, args)
