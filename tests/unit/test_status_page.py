"""The page of `status`: which devices it shows, and that each reason has a step of its own."""

from __future__ import annotations

import pytest

from gateway.app.cli import status, words
from gateway.app.cli.replies import DeviceRow, LogRow, Status

NOW_MS = 1_700_000_000_000


def page(every: bool = False, **fields: object) -> str:
    told = Status("0.1", "rig-1", "clinic.example/rig-1", 7, NOW_MS, LogRow(3), **fields)  # type: ignore[arg-type]
    return status.render(told, NOW_MS, every)


DEVICES = [
    DeviceRow(1, "room 1", "revoked"),
    DeviceRow(2, "room 2", "active"),
    DeviceRow(3, "room 3", "revoked"),
]


def test_revoked_devices_are_counted_and_not_shown() -> None:
    shown = page(devices=DEVICES)
    assert "room 2" in shown
    assert "room 1" not in shown
    assert "2 revoked devices not shown; `vestibule status --all` shows them." in shown
    everything = page(every=True, devices=DEVICES)
    assert "room 1" in everything
    assert "not shown" not in everything


def test_without_a_device_that_may_send_one_is_wanted() -> None:
    for devices in ([], DEVICES[:1]):
        assert "No device is paired yet." in page(devices=devices)
    assert "No device is paired yet." not in page(devices=DEVICES)


def test_every_reason_has_a_step() -> None:
    assert words.ADVICE.keys() == words.REASONS.keys()
    assert all(step.endswith((".", "`.")) for step in words.ADVICE.values())


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"refused": {"unknown_device": 5}}, "A headset tries that is not paired here"),
        ({"refused": {"bad_tag": 5}}, "Pair that headset again."),
        ({"frames_refused": {"not_permitted": 5}}, "only the kinds it was opened with"),
        ({"shed": {"queue": 5}}, "send it again"),
        ({"refused": {"new_word": 5}}, "See docs/operator.md"),
    ],
)
def test_the_step_fits_the_reason(counts: dict[str, dict[str, int]], said: str) -> None:
    assert said in page(**counts)


def test_what_a_healthy_network_does_is_not_told() -> None:
    assert "copy" not in page(refused={"copy": 10_000})


def test_a_counter_that_does_not_go_on_is_told() -> None:
    """The only sign of a headset whose app lost its HELLO counter."""
    assert "hello_replay" in page(refused={"hello_replay": 3})


def test_the_buffer_that_the_kernel_granted_is_shown() -> None:
    assert "udp 0.0.0.0:4747 (buffer of 8.0 MiB)" in page(udp="0.0.0.0:4747", receive_buffer_bytes=8 << 20)
