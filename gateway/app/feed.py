"""The samples of recordings, given to a device in the order and at the pace in which a headset would capture them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np

from gateway.app.drive import Driver
from gateway.errors import LocalError
from gateway.sources.track import Recording, Times, Track
from gateway.wire import kinds

INFO_STREAM: Final = 65_534
"""Stream of the info samples, which say what each stream is; the clock's is the number above it."""

MAX_TRACKS: Final = 62  # of the 64 streams of a link, two are the clock and the info
TICK_S: Final = 0.02  # how finely samples are paced: far below the 200 ms that a sample may wait for company
FLOOD_STEP_NS: Final = 200_000_000  # of the recording, in one go: about a packet of each track
FLOOD_WINDOW: Final = 1024  # packets without a receipt: a second's work, and far below what a ring holds
FLOOD_PACKETS_S: Final = 3000.0  # a gateway takes 4,000 a second from one device (limits.device_packets_s)
RING_SHARE: Final = (
    0.75  # of a device's ring, above which a feed waits: it must never overflow by our own haste
)
WAIT_S: Final = 60.0  # no receipt for so long, and the feed gives up

Chunk = tuple[int, int, bytes, int]
"""Stream, kind, samples, count: the arguments of `capture`."""


@dataclass(frozen=True, slots=True, eq=False)
class Strand:
    """One track as one stream.

    Args:
        stream: its number.
        track: the samples.
        due_ns: `(n,)`: when each may be captured; the capture times, but never falling: a sample whose clock ran
            backwards is captured after the one before it all the same.
    """

    stream: int
    track: Track
    due_ns: Times


def strands_of(recordings: Sequence[Recording]) -> list[Strand]:
    """Number the tracks of some recordings, one stream each, from 0.

    Raises:
        LocalError: `recording`, there are more tracks than a link has streams.
    """
    tracks = [track for recording in recordings for track in recording.tracks]
    if len(tracks) > MAX_TRACKS:
        raise LocalError(
            "recording",
            f"{len(tracks)} tracks in all; at most {MAX_TRACKS} go into one session",
            "Replay fewer files at a time.",
        )
    return [
        Strand(stream, track, np.maximum.accumulate(track.times_ns)) for stream, track in enumerate(tracks)
    ]


class Feed:
    """What one device has still to capture of a recording's strands.

    Args:
        strands: of one recording, of at least one sample.
    """

    def __init__(self, strands: Sequence[Strand]) -> None:
        self._strands = [strand for strand in strands if len(strand.due_ns)]
        self._given = [0] * len(self._strands)
        self.begin_ns = min((int(strand.due_ns[0]) for strand in self._strands), default=0)
        self.total = sum(len(strand.due_ns) for strand in self._strands)
        self.given = 0

    @property
    def next_ns(self) -> int | None:
        """When the next sample is due, on the recording's clock; None when all were given."""
        return min(
            (
                int(strand.due_ns[given])
                for strand, given in zip(self._strands, self._given, strict=True)
                if given < len(strand.due_ns)
            ),
            default=None,
        )

    def take(self, until_ns: int) -> Iterator[Chunk]:
        """Everything due up to a moment of the recording's clock that was not given before."""
        for index, strand in enumerate(self._strands):
            first = self._given[index]
            end = int(np.searchsorted(strand.due_ns, until_ns, side="right"))
            if end > first:
                self._given[index] = end
                self.given += end - first
                samples = strand.track.samples[first:end]
                yield strand.stream, strand.track.kind, samples.tobytes(), end - first


def info_sample(t_capture_ns: int, info: dict[str, Any]) -> bytes:
    """One info sample: a JSON object behind its header.

    Args:
        t_capture_ns: the device's clock.
        info: at most 1,024 bytes of JSON.
    """
    data = msgspec.json.encode(info)
    header = np.zeros(1, kinds.INFO_HEADER)
    header["t_capture_ns"] = t_capture_ns
    header["length"] = len(data)
    return header.tobytes() + data


class RecordingClock:
    """A device's clock that shows a recording's time, in real time: 0 of ours is `begin_ns` of the recording."""

    def __init__(self, begin_ns: int) -> None:
        self._offset_ns = begin_ns - time.monotonic_ns()

    def __call__(self) -> int:
        """Now, in nanoseconds."""
        return time.monotonic_ns() + self._offset_ns


async def play(driver: Driver, feed: Feed, speed: float | None, told: Callable[[], None]) -> None:
    """Let a device capture a feed.

    Args:
        driver: records.
        feed: given whole, unless the device stops recording for good.
        speed: 1 is real time; None is as fast as receipts come.
        told: called now and then.

    Raises:
        LocalError: `no_receipts`.
    """
    if speed is None:
        await _flood(driver, feed, told)
        return
    began_s = time.monotonic()
    while (next_ns := feed.next_ns) is not None:
        now_ns = feed.begin_ns + int((time.monotonic() - began_s) * speed * 1e9)
        if next_ns > now_ns:
            await asyncio.sleep(max(TICK_S, min((next_ns - now_ns) / 1e9 / speed, 1.0)))
            told()
            continue
        for chunk in feed.take(now_ns):
            driver.capture(*chunk)
        told()
        if is_full(driver):
            await room(driver, driver.device.config.ring_packets // 2)
        await asyncio.sleep(TICK_S)


async def _flood(driver: Driver, feed: Feed, told: Callable[[], None]) -> None:
    began_s, sent_before = time.monotonic(), driver.device.account.sent
    while (next_ns := feed.next_ns) is not None:
        for chunk in feed.take(next_ns + FLOOD_STEP_NS):
            driver.capture(*chunk)
        told()
        if driver.device.links.held_packets >= FLOOD_WINDOW:
            await room(driver, FLOOD_WINDOW // 2)
            began_s, sent_before = time.monotonic(), driver.device.account.sent
        ahead_s = (driver.device.account.sent - sent_before) / FLOOD_PACKETS_S - (time.monotonic() - began_s)
        await asyncio.sleep(max(0.0, ahead_s))


def is_full(driver: Driver) -> bool:
    """Whether the device's ring holds so much that capturing more could overflow it."""
    links, config = driver.device.links, driver.device.config
    if config.spool_bytes:
        return (
            links.kept_packets > RING_SHARE * config.spool_packets
            or links.kept_bytes > RING_SHARE * config.spool_bytes
        )
    return (
        links.held_packets > RING_SHARE * config.ring_packets
        or links.held_bytes > RING_SHARE * config.ring_bytes
    )


async def room(driver: Driver, packets: int) -> None:
    """Wait until a device holds fewer packets.

    Raises:
        LocalError: `no_receipts`.
    """
    held = driver.device.links
    most = int(RING_SHARE / 2 * driver.device.config.ring_bytes)
    if not await driver.until(lambda: held.held_packets < packets and held.held_bytes < most, WAIT_S):
        raise LocalError(
            "no_receipts",
            f"the gateway gave no receipts for {WAIT_S:.0f} s",
            "See `vestibule status`: perhaps its disk is full, or it is gone.",
        )
