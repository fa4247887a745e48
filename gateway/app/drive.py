"""Runs a device machine over a real network: performs its effects, wakes it when it asks, hands it what arrives.

One driver a device and many drivers a process: a driver holds one timer and no task, so that fifty devices cost the
loop little more than their packets.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from gateway.device import events as ev
from gateway.device.machine import Device
from gateway.device.spool import KeptLink


class Transport(Protocol):
    """A device's way to its gateway."""

    async def open(self, receive: Callable[[bytes], None]) -> None:
        """Connect; `receive` takes each packet that comes."""

    def send(self, effect: ev.Send) -> None:
        """Send a packet without waiting; what cannot be sent is lost."""

    async def close(self) -> None:
        """Disconnect; nothing is received any more."""


class Spool(Protocol):
    """Where a device keeps packets beyond its ring (`spool_files.SpoolFiles`)."""

    def load(self) -> list[KeptLink]:
        """What earlier runs left, oldest link first."""

    def perform(self, effect: ev.Spooled) -> bytes | None:
        """Do what the machine wants; the packet that `SendKept` asks for, or None when it is not there."""

    def flush(self) -> None:
        """Write down what was kept so far."""

    def close(self) -> None:
        """Nothing more comes."""


def forget_key(key: bytes) -> None:
    """For a device that lives no longer than this process: there is nothing to keep."""


class Driver:
    """One device at work, between `async with` and its end.

    Args:
        device: the machine.
        transport: opened and closed by the driver.
        keep: makes the HELLO counter durable (`keyfile.Kept`); called before the HELLO is sent.
        clock_ns: the device's clock.
        tell: takes every effect after it was performed.
        keep_key: makes a new K_dev durable; called before anything is said that uses it.
        spool: of a device that is configured with one; what earlier runs left in it drains first.
    """

    def __init__(
        self,
        device: Device,
        transport: Transport,
        keep: Callable[[int], None],
        clock_ns: Callable[[], int] = time.monotonic_ns,
        tell: Callable[[ev.Effect], None] | None = None,
        keep_key: Callable[[bytes], None] = forget_key,
        spool: Spool | None = None,
    ) -> None:
        self.device = device
        self._transport = transport
        self._keep = keep
        self._clock_ns = clock_ns
        self._tell = tell
        self._keep_key = keep_key
        self._spool = spool
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = 0
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._broken: BaseException | None = None
        self._open = False

    async def __aenter__(self) -> Driver:
        kept = self._spool.load() if self._spool is not None else []
        await self._transport.open(self._received)
        self._open = True
        for link in kept:
            self._step(ev.Restored(link))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._spool is not None:
            self._spool.close()
        await self._close()

    async def _close(self) -> None:
        self._open = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._transport.close()

    # What the app does.

    def start(self) -> None:
        """Ask the gateway for a link."""
        self._step(ev.Start())

    def pause(self, reason: str = "pause") -> None:
        """Stop capturing for a while; what was captured drains."""
        self._step(ev.Pause(reason))

    def resume(self) -> None:
        """Capture again."""
        self._step(ev.Resume())

    async def sleep(self) -> None:
        """The headset sleeps: BYE, and then nothing is sent, received or timed until `wake`."""
        self.pause("sleep")
        await self._close()

    async def wake(self) -> None:
        """A new socket, and capture again (VT1, "Links").

        Raises:
            Unreachable: the way to the gateway cannot be opened.
        """
        await self._transport.open(self._received)
        self._open = True
        self.resume()

    def capture(self, stream: int, kind: int, samples: bytes, count: int) -> None:
        """Take samples in and send what is full.

        Args:
            stream: u16.
            kind: number of the kind.
            samples: `count` records, little-endian.
            count: how many; 1 for kinds of variable size.

        Raises:
            LocalError: as `Device.capture`.
        """
        now_ns = self._clock_ns()
        self._perform(self.device.capture(stream, kind, samples, count, now_ns))
        self._plan(now_ns)

    async def stop(self, deadline_s: float, reason: str = "end") -> bool:
        """Stop capturing, and wait until everything has its receipt.

        Args:
            deadline_s: longest wait.
            reason: a word of BYE.

        Returns:
            True when everything has; False when the time was over first.
        """
        self._step(ev.Stop(reason))
        return await self.until(lambda: self.device.idle, deadline_s)

    async def recording(self, deadline_s: float) -> bool:
        """Wait until the device records; False when the time was over first."""
        return await self.until(lambda: self.device.status()["state"] == ev.RECORDING, deadline_s)

    async def until(self, holds: Callable[[], bool], deadline_s: float) -> bool:
        """Wait for something that the gateway's packets bring about.

        Args:
            holds: looked at after each event of this device.
            deadline_s: longest wait.

        Returns:
            Whether it holds.

        Raises:
            VestibuleError: what ended this device's work, such as a disk that took no HELLO counter.
        """
        self._raise_broken()
        if holds():
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (holds, future)
        self._waiting.append(entry)
        try:
            async with asyncio.timeout(deadline_s):
                await future
        except TimeoutError:
            return holds()
        finally:
            self._waiting.remove(entry)
        self._raise_broken()
        return True

    # What happens.

    def _received(self, packet: bytes) -> None:
        self._happened(ev.Received(packet))

    def _woken(self) -> None:
        self._timer = None
        wake_at = self.device.wake_at
        if wake_at is None or not self._open:
            return
        now_ns = self._clock_ns()
        if now_ns < wake_at:
            self._plan(
                now_ns
            )  # what it waited for happened already, or the loop's clock is coarser than the device's
        else:
            self._happened(ev.Tick())

    def _happened(self, event: ev.Event) -> None:
        """From the loop, where nobody catches: an error is kept for whoever waits."""
        if self._broken is not None:
            return
        try:
            self._step(event)
        except Exception as error:
            self._broken = error
            self._wake()

    def _step(self, event: ev.Event) -> None:
        self._raise_broken()
        now_ns = self._clock_ns()
        self._perform(self.device.step(event, now_ns))
        self._plan(now_ns)
        if self._waiting:
            self._wake()

    def _perform(self, effects: list[ev.Effect]) -> None:
        spooled, lost = False, []
        for effect in effects:
            if isinstance(effect, ev.Send):
                self._transport.send(effect)
            elif isinstance(effect, ev.Persist):
                self._keep(effect.hello_seq)
            elif isinstance(effect, ev.PersistKey):
                self._keep_key(effect.key)
            elif isinstance(effect, ev.Spooled) and self._spool is not None:
                spooled = True
                packet = self._spool.perform(effect)
                if packet is not None and isinstance(effect, ev.SendKept):
                    self._transport.send(ev.Send(packet, False, effect.gateway))
                elif isinstance(effect, ev.SendKept):
                    lost.append(ev.SpoolLost(effect.link, effect.seq))
            if self._tell is not None:
                self._tell(effect)
        if spooled and self._spool is not None:
            self._spool.flush()
        for event in lost:
            self._step(event)

    def _plan(self, now_ns: int) -> None:
        wake_at = self.device.wake_at
        if wake_at is None or not self._open:
            return
        if self._timer is not None:
            # A timer that is early costs one look; to move it with each packet would cost more.
            if self._timer_ns <= wake_at:
                return
            self._timer.cancel()
        self._timer_ns = wake_at
        delay_s = max(0, wake_at - now_ns) / 1e9
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._woken)

    def _wake(self) -> None:
        for holds, future in self._waiting:
            if not future.done() and (self._broken is not None or holds()):
                future.set_result(None)

    def _raise_broken(self) -> None:
        if self._broken is not None:
            raise self._broken
