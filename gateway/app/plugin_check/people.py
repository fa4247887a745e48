"""Steps of the trial that need a person: sleep, a killed app, a covered sensor, movements."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from gateway.app.plugin_check import asking, motion
from gateway.app.plugin_check.say import Finding

if TYPE_CHECKING:
    from gateway.app.plugin_check.trial import Trial

ASK_S: Final = 90.0
MOVE_S: Final = 30.0
Ask = Callable[[str, float], Awaitable[bool]]
"""`(what to do, seconds)`: True when the person did it, False when they pass over it or the time is over."""

MOVES: Final = {
    motion.RIGHT: "Move the headset half a metre to the RIGHT and hold it there",
    motion.UP: "Move the headset 30 cm UP and hold it there",
    motion.FORWARD: "Move the headset half a metre FORWARD, where it looks, and hold it there",
    motion.LEFT_TURN: "Turn the headset 90 degrees to the LEFT and hold it there",
}


async def _sleep(trial: Trial, ask: Ask) -> None:
    links = len(trial.watcher.talks)
    if await ask("Put the headset to sleep (take it off, or press its power key), wait 5 s, wake it", ASK_S):
        await trial.until(lambda: len(trial.watcher.talks) > links and trial.talk is not None, ASK_S)


async def _kill(trial: Trial, ask: Ask) -> None:
    runs = len(trial.watcher.runs)
    if await ask("Kill the app while it records (swipe it away), and start it again", ASK_S):
        await trial.until(lambda: len(trial.watcher.runs) > runs, ASK_S)


async def _kill_between(trial: Trial, ask: Ask) -> None:
    words = "Kill the app between storing the HELLO counter and sending HELLO (a debug switch), then start it again"
    welcomes = trial.watcher.facts["welcome.recording"]
    if await ask(words, ASK_S):
        trial.watcher.mark("person.killed")
        came = await trial.until(lambda: trial.watcher.facts["welcome.recording"] > welcomes, ASK_S)
        trial.watcher.mark("killed.welcome", int(came))


async def _rotate_between(trial: Trial, ask: Ask) -> None:
    words = (
        "Make the app die between storing a new key and its HELLO (a debug switch); `rotate` is sent on Enter"
    )
    welcomes = trial.watcher.facts["welcome.recording"]
    if not await ask(words, ASK_S):
        return
    await asking.rotate(trial)
    if await ask("Start the app again", ASK_S):
        trial.watcher.mark("person.rotated")
        came = await trial.until(lambda: trial.watcher.facts["welcome.recording"] > welcomes, ASK_S)
        trial.watcher.mark("killed.rotated", int(came))


async def _cover(trial: Trial, ask: Ask) -> None:
    if await ask("Cover the sensors of the eyes (or a camera) for 5 s, then uncover them", ASK_S):
        trial.watcher.mark("person.covered")


async def _move(trial: Trial, ask: Ask) -> None:
    for asked, words in MOVES.items():
        before = _head(trial)
        if before is None:
            trial.say("    no valid pose of tracker 0 (head) comes: movements cannot be judged")
            return
        if not await ask(words, MOVE_S):
            continue
        after = _head(trial)
        assert after is not None  # what was seen stays
        good, seen = motion.judge(asked, before, after)
        trial.say(f"    {seen}")
        if good:
            trial.watcher.mark(f"moved.{asked}")
        elif good is False:
            what = f"asked to go {motion.ASKED[asked]}: {seen}"
            mend = "convert by the row of your engine in SPEC, 14"
            trial.watcher.note(Finding(f"axes.{asked}", 19, what, mend), 0)


def _head(trial: Trial) -> tuple[motion.Vector, motion.Vector] | None:
    talk = trial.talk
    tracker = trial.watcher.numbering(talk.link).head() if talk is not None else None
    return tracker.last if tracker is not None else None


STEPS: Final[tuple[tuple[str, Callable[[Trial, Ask], Awaitable[None]]], ...]] = (
    ("Movements of the head, for the axes.", _move),
    ("A covered sensor: validity bits go, values are not 0.", _cover),
    ("Sleep and wake.", _sleep),
    ("The app is killed while it records.", _kill),
    ("The app is killed between the counter and its HELLO.", _kill_between),
    ("The app is killed between a new key and its HELLO.", _rotate_between),
)
