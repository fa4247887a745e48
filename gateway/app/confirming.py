"""Drives the machine that gathers cosignatures for our own log: asks witnesses, one task each, and takes answers.

Recording and signing wait for none of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Final

from gateway import events
from gateway.app.observe import Observer
from gateway.core.confirm import Confirm
from gateway.core.confirm_events import (
    Answered,
    Ask,
    AskHead,
    AskOwn,
    Confirmed,
    CosigSeen,
    Effect,
    Event,
    HeadSeen,
    TellOwn,
    Tick,
    Unanswered,
)
from gateway.core.contradiction import Alarm
from gateway.core.follow import KeepCosigned
from gateway.errors import RemoteError, Unreachable, VestibuleError
from gateway.net.peer_client import PeerClient

LONGEST_S: Final = 60.0
"""The loop looks at the clock at least this often."""


class Confirming:
    """Asks witnesses and collects what they sign.

    Args:
        machine: decides whom to ask for what.
        client: asks.
        certs: URL -> certificates that must be there; None asks whatever stands there (witnesses outside).
        keep: makes the newest confirmed head durable.
        own: has our own witness cosign a head, and returns the line; empty where it must not.
        tell_own: has gossip tell our newest head to all members.
        alarm: told when somebody shows a head of ours that our log does not have.
        observer: takes events.
        cosigned: what was confirmed last, if anything.
    """

    def __init__(
        self,
        machine: Confirm,
        client: PeerClient,
        certs: Callable[[str], tuple[bytes, ...] | None],
        keep: Callable[[KeepCosigned], Awaitable[None]],
        own: Callable[[bytes], Awaitable[str]],
        tell_own: Callable[[], Awaitable[None]],
        alarm: Callable[[Alarm], Awaitable[None]],
        observer: Observer,
        cosigned: KeepCosigned | None = None,
    ) -> None:
        self.machine = machine
        self.note = cosigned.note if cosigned else b""
        """The newest head that a quorum cosigned, with all cosignatures that were gathered for it."""
        self.size = cosigned.size if cosigned else 0
        self._client = client
        self._certs = certs
        self._keep = keep
        self._own = own
        self._tell_own = tell_own
        self._alarm = alarm
        self._observer = observer
        self._waiting: list[Event] = []
        self._wake = asyncio.Event()

    def tell(self, event: Event) -> None:
        """Something happened; the loop takes it up."""
        self._waiting.append(event)
        self._wake.set()

    def tell_line(self, size: int, line: str) -> None:
        """A cosignature of one of our heads came by gossip."""
        self.tell(CosigSeen(size, line))

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as asks:
            while True:
                taken, self._waiting = self._waiting, []
                for event in taken or (Tick(),):  # each looks at the clock
                    effects = self.machine.step(event, time.monotonic_ns(), time.time_ns() // 1_000_000)
                    for effect in effects:
                        await self._perform(effect, asks)
                if self._waiting:
                    continue
                self._wake.clear()
                delay_s = (self.machine.wake_at - time.monotonic_ns()) / 1e9
                try:
                    async with asyncio.timeout(min(max(delay_s, 0.0), LONGEST_S)):
                        await self._wake.wait()
                except TimeoutError:
                    pass  # its time has come

    async def _perform(self, effect: Effect, asks: asyncio.TaskGroup) -> None:
        match effect:
            case Ask():
                asks.create_task(self._ask(effect), name=f"witness-{effect.witness}")
            case AskHead():
                asks.create_task(self._ask_head(effect), name=f"witness-{effect.witness}")
            case AskOwn(note):
                asks.create_task(self._ask_own(note), name="witness-own")
            case TellOwn():
                asks.create_task(self._tell_members(), name="tell-own")
            case KeepCosigned():
                await self._keep(effect)
                self.note, self.size = effect.note, effect.size
            case Confirmed(size, _, waited_ms):
                self._observer.emit(events.HeadConfirmed(size, waited_ms))
            case Alarm():
                await self._alarm(effect)

    async def _ask(self, ask: Ask) -> None:
        try:
            status, _, body = await self._client.post(
                ask.url, "add-checkpoint", ask.body, ask.limit, self._certs(ask.url)
            )
        except (Unreachable, RemoteError):
            self.tell(Unanswered(ask.witness))
        else:
            self.tell(Answered(ask.witness, status, body))

    async def _ask_head(self, ask: AskHead) -> None:
        note: bytes | None = None
        try:
            note = await self._client.get(ask.url, ask.path, ask.limit, self._certs(ask.url))
        except (Unreachable, RemoteError):
            pass  # it showed nothing
        self.tell(HeadSeen(ask.witness, note))

    async def _tell_members(self) -> None:
        with contextlib.suppress(VestibuleError):  # as of `_ask_own`; who was not told is asked
            await self._tell_own()

    async def _ask_own(self, note: bytes) -> None:
        try:
            line = await self._own(note)
        except VestibuleError:
            return  # of peers.db: whoever drives it takes care of that; the next head asks again
        if line:
            self.tell(CosigSeen(_size_of(note), line))


def _size_of(note: bytes) -> int:
    return int(note.split(b"\n", 2)[1])
