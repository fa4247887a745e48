"""The devices of a replay or a simulation: those whose keys are given, or new ones of a running daemon."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from gateway.app import keyfile
from gateway.app.desk import Desk
from gateway.app.keyfile import DeviceKey
from gateway.app.outcome import Outcome, outcome
from gateway.app.rig import Rig

CLOSE_S: Final = 10.0

Hand = tuple[DeviceKey, Callable[[int], None]]
"""The key of a device, and what makes its HELLO counter durable (`keyfile.Kept`)."""

Work = Callable[[Sequence[Hand]], Awaitable[tuple[list[Rig], float]]]
"""What the devices do; gives them back, drained or not, and the seconds that it took."""


async def with_keys(hands: Sequence[Hand], work: Work) -> Outcome:
    """Work as devices whose keys are given, in sessions that are open.

    Args:
        hands: the devices.
        work: what they do.

    Raises:
        VestibuleError: a device does not get to record, or gets no receipts.
    """
    rigs, seconds = await work(hands)
    return outcome(rigs, None, seconds, [])


async def with_daemon(
    desk: Desk, name: str, devices: int, subject: str, purpose: str, allowed: Iterable[int], work: Work
) -> Outcome:
    """Work as new devices in new sessions; the devices are revoked afterwards, since nobody keeps their keys.

    Args:
        desk: of the daemon.
        name: of the devices; a number is put behind it.
        devices: how many.
        subject, purpose: of the sessions.
        allowed: numbers of the kinds that the sessions permit.
        work: what the devices do.

    Raises:
        VestibuleError: as `with_keys`, and what the daemon said.
    """
    keys = [await desk.add_device(f"{name}-{index + 1}") for index in range(devices)]
    numbers = [key.device for key in keys]
    sessions = await desk.open_sessions(numbers, subject, purpose, allowed)
    wait_s = CLOSE_S
    try:
        rigs, seconds = await work([(key, keyfile.unkept) for key in keys])
    except asyncio.CancelledError:
        wait_s = 0.0  # the devices are gone: what they hold does not come any more
        raise
    finally:
        rows = [await desk.close_session(session, wait_s) for session in sessions]
        for number in numbers:
            await desk.ask("device.revoke", device=number)
    return outcome(rigs, [stream for row in rows for stream in row["streams"]], seconds, sessions)


@contextmanager
def ends_early(*signals: signal.Signals) -> Iterator[asyncio.Event]:
    """A signal ends the recording, and the rest goes on; the second time it ends everything.

    Args:
        signals: which; Ctrl-C is SIGINT.
    """
    loop, enough, task = asyncio.get_running_loop(), asyncio.Event(), asyncio.current_task()

    def interrupted() -> None:
        if enough.is_set() and task is not None:
            task.cancel()
        enough.set()

    for number in signals:
        loop.add_signal_handler(number, interrupted)
    try:
        yield enough
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
