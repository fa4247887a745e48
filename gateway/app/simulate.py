"""`vestibule simulate`: simulated people in simulated headsets, for a time or until it is told to stop.

The devices are those of `replay`: the same machine, the same ways through the same bad networks. Only the samples come
from people who never end.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.app import crew
from gateway.app.crew import Hand
from gateway.app.desk import Desk
from gateway.app.feed import RecordingClock
from gateway.app.outcome import Outcome
from gateway.app.report import Progress
from gateway.app.rig import Rig, Together, Way, side_by_side
from gateway.sources.people import NOMINAL_HZ, TRACK_KINDS, Person
from gateway.wire import kinds

TICK_S: Final = 0.02
TELL_S: Final = 0.25
"""How often progress is told."""

DRAINS: Final = "waiting for the last receipts, packets left"
SILENT: Final = "the gateway does not answer, packets left"
"""Stages of progress at the end, with the packets that have no receipt yet."""

SECOND_NS: Final = 1_000_000_000
MAX_HZ: Final = max(NOMINAL_HZ.values())


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to simulate.

    Args:
        seconds: how long to record; None until a signal comes.
        allowed: numbers of the kinds that are captured.
        hz: most samples a second of each stream.
        seed: the same people again.
        wait_s: longest wait for a session.
        drain_s: longest wait for the last receipts.
        slow: told what the devices wait for, if a session does not come at once.
    """

    seconds: float | None
    allowed: frozenset[int] = frozenset(TRACK_KINDS.values())
    hz: int = MAX_HZ
    seed: int = 0
    wait_s: float = 30.0
    drain_s: float = 60.0
    slow: Callable[[str], None] = lambda text: None


async def with_keys(wanted: Wanted, hands: Sequence[Hand], way: Way, report: Progress) -> Outcome:
    """Simulate devices whose keys are given, in sessions that are open.

    Raises:
        VestibuleError: a device does not get to record.
    """
    return await crew.with_keys(hands, lambda given: _record(wanted, given, way, report))


async def with_daemon(
    wanted: Wanted, desk: Desk, way: Way, devices: int, subject: str, purpose: str, report: Progress
) -> Outcome:
    """Simulate new devices in new sessions.

    Raises:
        VestibuleError: as `with_keys`, and what the daemon said.
    """
    return await crew.with_daemon(
        desk,
        "simulated",
        devices,
        subject,
        purpose,
        wanted.allowed,
        lambda given: _record(wanted, given, way, report),
    )


async def wear(
    rig: Rig,
    person: Person,
    tracks: Sequence[str],
    enough: asyncio.Event,
    seconds: float | None = None,
    hz: int = MAX_HZ,
) -> None:
    """Let a person wear a rig that records; its clock shows 0 when the person begins.

    Args:
        rig: records.
        person: who.
        tracks: of the person; a stream each, in this order.
        enough: set to end it.
        seconds: how long; None until `enough`.
        hz: most samples a second of each stream.
    """
    for stream, track in enumerate(tracks):
        kind = kinds.KINDS[TRACK_KINDS[track]].name
        nominal_hz = min(NOMINAL_HZ[track], hz)
        info = {"track": track, "kind": kind, "vendor": "simulated", "axes": "openxr"}
        rig.describe(stream, {**info, "nominal_hz": nominal_hz})
    done_ns = rig.clock_ns()
    end_ns = None if seconds is None else done_ns + int(seconds * 1e9)
    while (end_ns is None or done_ns < end_ns) and not enough.is_set():
        await asyncio.sleep(TICK_S)
        now_ns = rig.clock_ns() if end_ns is None else min(rig.clock_ns(), end_ns)
        # While the headset sleeps nobody is looking; what the person did meanwhile was never captured.
        for stream, track in enumerate(tracks if not rig.asleep else ()):
            samples = thin(person.render(track, done_ns, now_ns), NOMINAL_HZ[track], hz)
            if len(samples):
                rig.driver.capture(stream, TRACK_KINDS[track], samples.tobytes(), len(samples))
        done_ns = now_ns


def thin(samples: kinds.Samples, nominal_hz: int, hz: int) -> kinds.Samples:
    """Of a track with a rate, `hz` samples a second, evenly; the same ones however the time is cut.

    Args:
        samples: of a person: sample n is captured at `n * 10**9 // nominal_hz`.
        nominal_hz: their rate; 0 for none, and then all are given.
        hz: as many at most.
    """
    if hz >= nominal_hz:
        return samples
    number = -(-samples["t_capture_ns"].astype(np.int64) * nominal_hz // SECOND_NS)
    return samples[(number + 1) * hz // nominal_hz > number * hz // nominal_hz]


async def _record(
    wanted: Wanted, hands: Sequence[Hand], way: Way, report: Progress
) -> tuple[list[Rig], float]:
    rigs = [Rig(key, keep, way, RecordingClock(0)) for key, keep in hands]
    people = [Person(np.random.default_rng(wanted.seed), index) for index in range(len(rigs))]
    tracks = [track for track, kind in TRACK_KINDS.items() if kind in wanted.allowed]
    began_s = time.monotonic()
    worn = len(rigs)

    def tell() -> None:
        passed_s = int(time.monotonic() - began_s)
        if not worn:
            report(*draining(rigs))
        elif wanted.seconds is None:
            report("sent", sum(rig.device.account.captured for rig in rigs), 0)
        else:
            report("seconds", min(passed_s, int(wanted.seconds)), int(wanted.seconds))

    async def one(rig: Rig, person: Person) -> None:
        nonlocal worn
        async with rig.days():
            await wear(rig, person, tracks, enough, wanted.seconds, wanted.hz)
        worn -= 1
        if not worn:
            enough.set()  # the recording is over, so that Ctrl-C ends the waiting
        rig.drained = await rig.driver.stop(wanted.drain_s)

    with crew.ends_early(signal.SIGINT, signal.SIGTERM) as enough:
        async with Together([rig.driver for rig in rigs]):
            # One line is enough: they all ask the same gateway.
            await side_by_side(
                rig.begin(wanted.wait_s, *([wanted.slow] if rig is rigs[0] else [])) for rig in rigs
            )
            began_s = time.monotonic()
            teller = asyncio.create_task(_tell_again(tell))
            try:
                await side_by_side(one(rig, person) for rig, person in zip(rigs, people, strict=True))
            finally:
                teller.cancel()
            tell()
    return rigs, time.monotonic() - began_s


def draining(rigs: Sequence[Rig]) -> tuple[str, int, int]:
    """What is told while the last receipts are awaited: stage, packets left, and no total."""
    left = sum(rig.device.links.held_packets for rig in rigs)
    links = [link.silent(rig.clock_ns()) for rig in rigs for link in rig.device.links]
    return SILENT if left and links and all(links) else DRAINS, left, 0


async def _tell_again(tell: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(TELL_S)
        tell()
