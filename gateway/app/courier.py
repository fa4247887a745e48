"""Bodies on their way to peers: one bounded outbox and one request at a time for each.

A peer that is slow or away delays nobody else. What was not sent when something newer comes is dropped, since a newer
head says all that an older one said; only evidence and rosters wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from gateway.core.member import Member
from gateway.errors import RemoteError, Unreachable
from gateway.net.peer_client import PeerClient

MAX_URGENT: Final = 16  # bodies; the oldest gives way, since evidence is asked for again by its log's name

OnAnswer = Callable[[str, bytes], Awaitable[None]]
OnFailure = Callable[[str, str], Awaitable[None]]


@dataclass(slots=True)
class _Outbox:
    member: Member
    urgent: deque[bytes] = field(default_factory=lambda: deque(maxlen=MAX_URGENT))
    newest: bytes | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    gone: bool = False

    def take(self) -> bytes | None:
        if self.urgent:
            return self.urgent.popleft()
        body, self.newest = self.newest, None
        return body


class Courier:
    """Sends bodies.

    Args:
        client: asks peers.
        on_answer: told (peer, body) of every answer.
        on_failure: told (peer, code) when one cannot be asked.
    """

    def __init__(self, client: PeerClient, on_answer: OnAnswer, on_failure: OnFailure) -> None:
        self._client = client
        self._on_answer = on_answer
        self._on_failure = on_failure
        self._boxes: dict[str, _Outbox] = {}
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Send until cancelled; may be run again."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for box in self._boxes.values():
                    self._begin(box)
                await asyncio.Event().wait()
        finally:
            self._tasks = None

    def members(self, members: dict[str, Member]) -> None:
        """Who may be sent to from now on."""
        for name in list(self._boxes):
            if name not in members:
                # Not cancelled: its task may be taking the very answer that brought this roster.
                box = self._boxes.pop(name)
                box.gone = True
                box.wake.set()
        for name, member in members.items():
            if name not in self._boxes:
                self._boxes[name] = _Outbox(member)
                self._begin(self._boxes[name])
            self._boxes[name].member = member

    def send(self, peer: str, body: bytes, *, urgent: bool) -> None:
        """Put a body into a peer's outbox; one for nobody we know is dropped."""
        box = self._boxes.get(peer)
        if box is None:
            return
        if urgent:
            box.urgent.append(body)
        else:
            box.newest = body
        box.wake.set()

    def _begin(self, box: _Outbox) -> None:
        if self._tasks is not None:
            self._tasks.create_task(self._carry(box), name=f"peer-{box.member.name}")

    async def _carry(self, box: _Outbox) -> None:
        while not box.gone:
            if (body := box.take()) is None:
                await box.wake.wait()
                box.wake.clear()
                continue
            member = box.member
            try:
                answer = await self._client.exchange(member.url, member.certs, body)
            except (Unreachable, RemoteError) as error:
                await self._on_failure(member.name, error.code)
            else:
                await self._on_answer(member.name, answer)
