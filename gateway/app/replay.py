"""`vestibule replay`: sends recordings as headsets would, and says what became of each sample.

One simulated device or many; each is a device machine with a key of its own, so that the gateway sees what it would
see of real ones. Either the keys are given and sessions are open already, or the daemon is asked for both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.app import crew
from gateway.app.crew import Hand
from gateway.app.desk import Desk
from gateway.app.feed import Feed, RecordingClock, Strand, play, strands_of
from gateway.app.outcome import Outcome
from gateway.app.report import Progress
from gateway.app.rig import Rig, Together, Way, side_by_side
from gateway.sources.track import Recording
from gateway.wire import kinds


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to replay, and how.

    Args:
        recordings: one after another, each track a stream of its own.
        speed: 1 is real time; None is as fast as receipts come.
        wait_s: longest wait for a session.
        drain_s: longest wait for the last receipts.
        slow: told what the devices wait for, if a session does not come at once.
    """

    recordings: Sequence[Recording]
    speed: float | None = 1.0
    wait_s: float = 30.0
    drain_s: float = 60.0
    slow: Callable[[str], None] = lambda text: None


async def with_keys(wanted: Wanted, hands: Sequence[Hand], way: Way, report: Progress) -> Outcome:
    """Replay as devices whose keys are given, in sessions that are open.

    Args:
        wanted: what and how.
        hands: the devices.
        way: to the gateway.
        report: progress.

    Raises:
        VestibuleError: a device does not get to record, or gets no receipts.
    """
    return await crew.with_keys(hands, lambda given: _send(wanted, given, way, report))


async def with_daemon(
    wanted: Wanted, desk: Desk, way: Way, devices: int, subject: str, purpose: str, report: Progress
) -> Outcome:
    """Replay as new devices in new sessions.

    Args:
        wanted: what and how.
        desk: of the daemon.
        way: to the gateway.
        devices: how many.
        subject, purpose: of the sessions.
        report: progress.
    """
    allowed = {track.kind for recording in wanted.recordings for track in recording.tracks}
    return await crew.with_daemon(
        desk,
        "replay",
        devices,
        subject,
        purpose,
        allowed,
        lambda given: _send(wanted, given, way, report),
    )


async def _send(wanted: Wanted, hands: Sequence[Hand], way: Way, report: Progress) -> tuple[list[Rig], float]:
    strands = strands_of(wanted.recordings)
    feeds = _feeds(wanted.recordings, strands)
    begin_ns = feeds()[0].begin_ns
    rigs = [Rig(key, keep, way, RecordingClock(begin_ns)) for key, keep in hands]
    total = sum(len(strand.due_ns) for strand in strands) * len(rigs)
    began_s = 0.0

    def told() -> None:
        accounts = [rig.device.account for rig in rigs]
        report(
            "sent", sum(one.captured for one in accounts), max(total, sum(one.captured for one in accounts))
        )

    async def one(rig: Rig) -> None:
        for strand in strands:
            kind = kinds.KINDS[strand.track.kind].name
            rig.describe(
                strand.stream,
                {"track": strand.track.name, "kind": kind, "vendor": "replay", "axes": "openxr"},
            )
        async with rig.days():
            for feed in feeds():
                await play(rig.driver, feed, wanted.speed, told)
        rig.drained = await rig.driver.stop(wanted.drain_s)

    async with Together([rig.driver for rig in rigs]):
        # One line is enough: they all ask the same gateway.
        await side_by_side(
            rig.begin(wanted.wait_s, *([wanted.slow] if rig is rigs[0] else [])) for rig in rigs
        )
        began_s = time.monotonic()
        await side_by_side(one(rig) for rig in rigs)
        told()
    return rigs, time.monotonic() - began_s


def _feeds(recordings: Sequence[Recording], strands: list[Strand]) -> Callable[[], list[Feed]]:
    """A maker of fresh feeds, one for each recording, over the same strands."""
    parts: list[list[Strand]] = []
    first = 0
    for recording in recordings:
        parts.append(strands[first : first + len(recording.tracks)])
        first += len(recording.tracks)
    return lambda: [Feed(part) for part in parts]
