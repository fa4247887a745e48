"""systemd hears what it should, over a real datagram socket."""

from __future__ import annotations

import os
import socket
import uuid
from pathlib import Path

import pytest

from gateway.app.notify import Watchdog, notify, watchdog_interval_s


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path):  # type: ignore[no-untyped-def]
    name = str(tmp_path / "notify") if request.param == "path" else f"@vestibule-test-{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name[1:] if name[0] == "@" else name)
        sock.settimeout(5)
        yield name, sock


def test_a_state_arrives_as_one_datagram(listener: tuple[str, socket.socket]) -> None:
    name, sock = listener
    assert notify("READY=1\nSTATUS=2 devices", {"NOTIFY_SOCKET": name})
    assert sock.recv(4096) == b"READY=1\nSTATUS=2 devices"


@pytest.mark.parametrize(
    "env", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "relative"}, {"NOTIFY_SOCKET": "/no/such"}]
)
def test_where_nobody_listens_nothing_happens(env: dict[str, str]) -> None:
    assert notify("READY=1", env) is False


def test_a_full_queue_does_not_block(listener: tuple[str, socket.socket]) -> None:
    name, _ = listener
    assert any(notify("WATCHDOG=1", {"NOTIFY_SOCKET": name}) is False for _ in range(100_000))


def test_the_interval_is_half_of_what_systemd_waits() -> None:
    assert watchdog_interval_s({"WATCHDOG_USEC": "20000000"}) == 10.0
    assert watchdog_interval_s({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(os.getpid())}) == 10.0
    assert watchdog_interval_s({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "5"}, pid=4) is None
    for env in ({}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "0"}):
        assert watchdog_interval_s(env) is None


def test_pings_follow_progress_and_are_not_more_than_needed() -> None:
    sent: list[str] = []

    def send(state: str) -> bool:
        sent.append(state)
        return True

    watchdog = Watchdog(10.0, send)
    assert [watchdog.progressed(now) for now in (0.0, 1.0, 9.9, 10.0, 12.0, 35.0)] == [
        True,
        False,
        False,
        True,
        False,
        True,
    ]
    assert sent == ["WATCHDOG=1"] * 3
    assert Watchdog(None, send).progressed(100.0) is False
