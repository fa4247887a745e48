"""The front desk: asks a running daemon for devices and sessions, as a replay or a demonstration needs them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from gateway.app import keyfile
from gateway.app.keyfile import DeviceKey
from gateway.core.records import SESSION_OVER
from gateway.core.sessions import MAX_DEVICES
from gateway.net.control import call
from gateway.wire import kinds

CALL_S: Final = 30.0
LOOK_S: Final = 0.1  # people wait for a session to close; it takes a commit
ABOUT_DEVICES: Final = (kinds.CLOCK, kinds.INFO)
"""Kinds that every device sends besides what it records; a session that leaves them out refuses them."""

Row = dict[str, Any]


class Desk:
    """The daemon's verbs.

    Args:
        socket: the control socket.
    """

    def __init__(self, socket: Path) -> None:
        self.socket = socket

    async def ask(self, verb: str, timeout_s: float = CALL_S, **args: Any) -> Row:
        """Ask for anything.

        Raises:
            Unreachable: no daemon answers.
            VestibuleError: what the daemon said.
        """
        return await asyncio.to_thread(call, self.socket, verb, args, timeout_s)

    async def add_device(self, name: str) -> DeviceKey:
        """A new device that needs no pairing."""
        return keyfile.of_reply(await self.ask("device.add", name=name))

    async def open_session(
        self, devices: list[int], subject: str, purpose: str, allowed: Iterable[int]
    ) -> str:
        """Open a session.

        Args:
            devices: at most `MAX_DEVICES`.
            subject: pseudonym.
            purpose: why.
            allowed: numbers of the kinds, besides those about the device itself.

        Returns:
            Its id, hexadecimal.
        """
        numbers = sorted({*allowed, *ABOUT_DEVICES})
        reply = await self.ask(
            "session.open",
            devices=devices,
            subject=subject,
            purpose=purpose,
            kinds=[kinds.KINDS[number].name for number in numbers],
        )
        return str(reply["session"])

    async def open_sessions(
        self, devices: list[int], subject: str, purpose: str, allowed: Iterable[int]
    ) -> list[str]:
        """Open as many sessions as so many devices need."""
        allowed = set(allowed)
        return [
            await self.open_session(devices[first : first + MAX_DEVICES], subject, purpose, allowed)
            for first in range(0, len(devices), MAX_DEVICES)
        ]

    async def close_session(self, session: str, deadline_s: float) -> Row:
        """Close a session, and wait until it is closed.

        Args:
            session: its id.
            deadline_s: longest wait for what its devices still hold; then it is closed at once.

        Returns:
            Its row of `session.list`; `state` tells whether it is closed.
        """
        await self.ask("session.close", session=session, now=False)
        row = await self._closed(session, deadline_s)
        if row["state"] not in SESSION_OVER:
            await self.ask("session.close", session=session, now=True)
            row = await self._closed(session, deadline_s)
        return row

    async def sessions(self, wanted: Callable[[str], bool]) -> list[Row]:
        """Rows of `session.list`, closed sessions among them."""
        rows: list[Row] = (await self.ask("session.list", all=True))["sessions"]
        return [row for row in rows if wanted(row["session"])]

    async def _closed(self, session: str, deadline_s: float) -> Row:
        until_s = time.monotonic() + deadline_s
        while True:
            row = (await self.sessions(session.__eq__))[0]
            if row["state"] in SESSION_OVER or time.monotonic() > until_s:
                return row
            await asyncio.sleep(LOOK_S)
