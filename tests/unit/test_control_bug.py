"""A bug behind the control socket: the caller learns that it is one, the daemon says where, and no value is told."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.app.observe import Observer
from gateway.errors import LocalError, VestibuleError
from gateway.net.control import Caller, ControlServer, call
from gateway.wire import packet

SECRET = "P-0017"


async def answers(path: Path, verb: str) -> tuple[list[tuple[str, str]], VestibuleError]:
    bugs: list[tuple[str, str]] = []

    async def handle(verb: str, args: dict[str, Any], caller: Caller) -> dict[str, Any]:
        if verb == "ours":
            raise LocalError("named", "a mistake", "Do otherwise.")
        if verb == "through":
            packet.pack_header(SECRET, SECRET, SECRET, SECRET)  # type: ignore[arg-type]
        if verb == "unencodable":
            return {"result": object()}
        raise ValueError(SECRET)

    server = ControlServer(path, handle, lambda error, at: bugs.append((error, at)))
    await server.start()
    try:
        with pytest.raises(VestibuleError) as raised:
            await asyncio.to_thread(call, path, verb, {"name": SECRET})
        with pytest.raises(VestibuleError):
            await asyncio.to_thread(call, path, "ours", {})  # it goes on
    finally:
        await server.stop()
    return bugs, raised.value


@pytest.mark.parametrize(
    ("verb", "error", "where"),
    [
        ("handled", "ValueError", "gateway/net/control.py:"),
        ("through", "error", "gateway/wire/packet.py:"),
        ("unencodable", "TypeError", "gateway/net/control.py:"),
    ],
)
async def test_a_bug_is_told_by_type_and_place(tmp_path: Path, verb: str, error: str, where: str) -> None:
    bugs, told = await answers(tmp_path / "s", verb)
    ((kind, at),) = bugs
    assert kind == error
    assert at.startswith(where)
    assert at.removeprefix(where).isdigit()
    assert (told.code, told.exit_code) == ("internal", 2)
    assert "bug" in told.message
    assert "`bug`" in told.hint
    assert SECRET not in f"{told.message}{told.hint}{bugs}"


async def test_an_error_of_the_house_is_no_bug(tmp_path: Path) -> None:
    bugs, told = await answers(tmp_path / "s", "ours")
    assert bugs == []
    assert told.code == "named"


def test_the_daemon_writes_one_line() -> None:
    out = io.StringIO()
    Observer("json", "error", out).bug("ValueError", "gateway/app/verbs.py:12")
    (line,) = out.getvalue().splitlines()
    said = json.loads(line)
    assert said.pop("timestamp")
    assert said == {"event": "bug", "level": "error", "error": "ValueError", "at": "gateway/app/verbs.py:12"}
