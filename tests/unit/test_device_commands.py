"""Limits of commands: out of them a device answers `refused`, and the app hears nothing. Source: VT1, "Commands"."""

from __future__ import annotations

import math

import pytest
from device_side import MS, Rig, S, config

from gateway.device.commands import COMMANDS_S, Commands
from gateway.device.events import Commanded, Start
from gateway.wire.control import Command

Arg = int | float | str


def started() -> Rig:
    rig = Rig.make(probes=False)
    rig.step(Start())
    rig.run(100 * MS)
    return rig


@pytest.mark.parametrize(
    ("verb", "args"),
    [
        ("haptic", (1, 0.0, 0, 0.0)),
        ("haptic", (2, 1.0, 10_000, 1.0)),
        ("haptic", (2, 0.5, 20, 1_000.0)),
        ("text", ("x",)),
        ("text", ("é" * 256,)),
        ("marker", (0, "")),
        ("marker", (65_535, "m" * 512)),
    ],
)
def test_at_its_limits_a_command_is_told(verb: str, args: tuple[Arg, ...]) -> None:
    rig = started()
    far = rig.far.links[101]
    effects = rig.give(rig.far.command(far, verb, *args))
    assert Commanded(verb, args, far.seq, 101) in effects
    assert far.answers == [(far.seq, "done")]


@pytest.mark.parametrize(
    ("verb", "args"),
    [
        ("haptic", ()),
        ("haptic", (1, 0.5, 20)),
        ("haptic", (1, 0.5, 20, 0.0, 0)),
        ("haptic", (1, 1, 20, 0.0)),  # a whole number is no float64
        ("haptic", (1, 0.5, 20, 100)),
        ("haptic", (1, 0.5, 20.0, 0.0)),
        ("haptic", ("left", 0.5, 20, 0.0)),
        ("haptic", (3, 0.5, 20, 0.0)),
        ("haptic", (-1, 0.5, 20, 0.0)),
        ("haptic", (1, 1.0000001, 20, 0.0)),
        ("haptic", (1, -0.1, 20, 0.0)),
        ("haptic", (1, 0.5, 10_001, 0.0)),
        ("haptic", (1, 0.5, -1, 0.0)),
        ("haptic", (1, 0.5, 20, 0.9)),
        ("haptic", (1, 0.5, 20, -5.0)),
        ("haptic", (1, 0.5, 20, 1_000.1)),
        ("text", ()),
        ("text", ("",)),
        ("text", ("é" * 257,)),
        ("text", (5,)),
        ("text", ("a", "b")),
        ("marker", (65_536, "")),
        ("marker", (-1, "")),
        ("marker", (1, "m" * 513)),
        ("marker", (1,)),
        ("marker", ("1", "")),
    ],
)
def test_out_of_its_limits_a_command_is_refused(verb: str, args: tuple[Arg, ...]) -> None:
    rig = started()
    far = rig.far.links[101]
    rig.give(rig.far.command(far, verb, *args))
    assert far.answers == [(far.seq, "refused")]
    assert rig.of(Commanded) == []


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_finite_number_is_refused(number: float) -> None:
    commands = Commands(config())
    assert commands.judge(Command("haptic", [1, number, 20, 0.0]), 0) == "refused"
    assert commands.judge(Command("haptic", [1, 0.5, 20, number]), 0) == "refused"


def test_more_than_twenty_commands_a_second_are_refused() -> None:
    rig = started()
    far = rig.far.links[101]
    for number in range(50):
        rig.give(rig.far.command(far, "marker", number, ""))
    assert [result for _, result in far.answers] == ["done"] * COMMANDS_S + ["refused"] * 30
    assert len(rig.of(Commanded)) == COMMANDS_S == 20
    rig.run(S // 4)
    for number in range(50):
        rig.give(rig.far.command(far, "marker", number, ""))
    assert len(rig.of(Commanded)) == COMMANDS_S + 5


def test_stop_counts_as_no_command_of_the_app() -> None:
    rig = started()
    far = rig.far.links[101]
    for number in range(50):
        rig.give(rig.far.command(far, "marker", number, ""))
    rig.give(rig.far.command(far, "stop", "withdrawn"))
    assert far.answers[-1] == (far.seq, "done")
    assert rig.far.bye(101) is not None


def test_a_stored_row_without_ranges_does_not_end_a_hold() -> None:
    rig = Rig.make()
    rig.step(Start())
    rig.run(S)
    link = rig.far.links[101]
    rig.give(rig.far.command(link, "hold", "disk_full"))
    assert rig.device.status()["reason"] == "disk_full"
    rig.give(rig.far.receipt(link, [(0, b"", [])]))
    assert rig.device.status()["reason"] == "disk_full"
    rig.give(rig.far.receipt(link, [(1, bytes(32), [0, 0])]))
    assert rig.device.status()["state"] == "recording"
