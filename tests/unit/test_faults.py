"""Packets that do not verify: counted by device while they last, and told with a likely cause and a next step."""

from __future__ import annotations

import pytest

from gateway.app.cli import words
from gateway.app.cli.replies import BadTags, DeviceRow, LinkRow, LogRow, Status
from gateway.app.cli.status import render
from gateway.core.faults import QUIET_MS, Fault, Faults
from gateway.ids import DeviceId

NOW_MS = 1_700_000_000_000
SEVEN = DeviceId(7)


def test_a_trouble_is_counted_from_its_first_packet_on() -> None:
    fault = Fault()
    assert not fault.lasts(NOW_MS)
    for at in range(5):
        fault.note(NOW_MS + at * 1000)
    assert (fault.count, fault.first_ms, fault.last_ms) == (5, NOW_MS, NOW_MS + 4000)
    assert fault.lasts(NOW_MS + 4000 + QUIET_MS)
    assert not fault.lasts(NOW_MS + 4001 + QUIET_MS)


def test_a_date_that_is_set_back_ends_it() -> None:
    fault = Fault()
    fault.note(NOW_MS + 10 * QUIET_MS)
    assert not fault.lasts(NOW_MS)
    fault.note(NOW_MS)
    assert (fault.count, fault.first_ms) == (1, NOW_MS)


def test_after_a_quiet_time_the_next_one_begins_anew() -> None:
    fault = Fault(9, 1, NOW_MS)
    fault.note(NOW_MS + QUIET_MS + 1)
    assert (fault.count, fault.first_ms) == (1, NOW_MS + QUIET_MS + 1)


def test_a_hello_that_verifies_ends_what_was_wrong_with_hellos_alone() -> None:
    faults = Faults()
    faults.in_hello(SEVEN, NOW_MS)
    faults.on_link(SEVEN, NOW_MS)
    faults.welcomed(SEVEN)
    faults.welcomed(DeviceId(8))
    assert (SEVEN in faults.hellos, SEVEN in faults.links) == (False, True)


def row(bad: BadTags, fresh_ms: int = 0, rotating: bool = False) -> DeviceRow:
    link = LinkRow(1, "live", fresh_ms=fresh_ms)
    return DeviceRow(7, "Quest, room 2", "active", rotating=rotating, bad_tags=[bad], links=[link])


@pytest.mark.parametrize(
    ("device", "cause", "step"),
    [
        (
            row(BadTags(3, NOW_MS - 60_000, NOW_MS - 1000, "hellos")),
            "somebody sends in its name",
            "Once it records",
        ),
        (
            row(BadTags(3, NOW_MS - 60_000, NOW_MS - 1000, "hellos"), rotating=True),
            "neither the old nor the new one",
            "`vestibule device rotate 7 --out FILE`",
        ),
        (
            row(BadTags(3, NOW_MS - 60_000, NOW_MS - 1000, "hellos"), fresh_ms=NOW_MS - 500),
            "something else uses its number",
            "Find the app",
        ),
        (row(BadTags(3, NOW_MS - 60_000, NOW_MS - 1000, "links")), "altered on the way", "network between"),
    ],
)
def test_the_page_names_the_device_the_count_the_times_the_cause_and_the_step(
    device: DeviceRow, cause: str, step: str
) -> None:
    shown = render(
        Status("0.1", "rig-1", "clinic.example/rig-1", 7, NOW_MS, LogRow(3), devices=[device]), NOW_MS
    )
    assert "Device 7 (Quest, room 2): 3 " in shown
    assert "first 1 min ago, last 1 s ago" in shown
    assert cause in shown
    assert step in shown


def test_a_revoked_device_is_not_told() -> None:
    gone = DeviceRow(7, "x", "revoked", bad_tags=[BadTags(3, 1, 2, "hellos")])
    assert words.bad_tags(gone, NOW_MS) == []


def test_codes_that_fit_none_are_told_without_a_name() -> None:
    status = Status(
        "0.1", "rig-1", "clinic.example/rig-1", 7, NOW_MS, LogRow(3), bad_codes=[BadTags(1, NOW_MS, NOW_MS)]
    )
    shown = render(status, NOW_MS)
    assert "1 pairing tried under a wrong code" in shown
    assert "Make a new code and scan it: `vestibule pair`." in shown
