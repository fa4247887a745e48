"""Who asks over the control socket: the kernel's word for user and groups, of a real process."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import LocalError
from gateway.net.control import Caller, ControlServer, call

ASK = "import sys; from pathlib import Path; from gateway.net.control import call; call(Path(sys.argv[1]), 'who', {})"


async def seen(path: Path, **options: Any) -> Caller:
    """The caller that the server sees when a process of its own asks."""
    callers: list[Caller] = []

    async def handle(verb: str, args: dict[str, Any], caller: Caller) -> dict[str, Any]:
        callers.append(caller)
        return {}

    server = ControlServer(path, handle, lambda error, at: None)
    await server.start()
    try:
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", ASK, str(path), **options)
        assert await child.wait() == 0
    finally:
        await server.stop()
    (caller,) = callers
    assert caller.pid == child.pid
    return caller


async def test_the_kernel_says_who_asks(tmp_path: Path) -> None:
    caller = await seen(tmp_path / "s")
    assert (caller.uid, caller.gid) == (os.getuid(), os.getgid())
    assert set(caller.groups) == set(os.getgroups())
    assert caller.names[:2] == (f"uid:{os.getuid()}", f"gid:{os.getgid()}")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may choose the groups of a process")
async def test_all_groups_of_the_caller_count(tmp_path: Path) -> None:
    caller = await seen(tmp_path / "s", extra_groups=[4242, 4243], group=os.getgid())
    assert caller.names == (f"uid:{os.getuid()}", f"gid:{os.getgid()}", "gid:4242", "gid:4243")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may choose the groups of a process")
async def test_more_groups_than_are_read_are_none(tmp_path: Path) -> None:
    caller = await seen(tmp_path / "s", extra_groups=list(range(5000, 5300)), group=os.getgid())
    assert caller.names == (f"uid:{os.getuid()}", f"gid:{os.getgid()}")


def test_a_group_is_named_once() -> None:
    assert Caller(1, 2, 3, (3, 4, 4)).names == ("uid:2", "gid:3", "gid:4")


def test_bytes_that_are_no_text_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="not UTF-8"):
        call(tmp_path / "nobody", "device.add", {"name": os.fsdecode(b"\xff")})
