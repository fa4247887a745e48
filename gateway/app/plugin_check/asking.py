"""Steps of the trial that ask the device for something, or pretend to: commands, forgeries, hold, rotate."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from gateway.app.plugin_check import forge
from gateway.app.plugin_check.say import Finding
from gateway.app.plugin_check.wire import Conditions
from gateway.core.effects import Effect

if TYPE_CHECKING:
    from gateway.app.plugin_check.trial import Trial

AGAIN_S: Final = 20.0
BURST: Final = 45  # commands at once: 20 may be carried out, and 20 a second after
MARKER_CODE: Final = 61_000


async def limits(trial: Trial) -> None:
    """Commands within and outside of the limits, a burst, and a verb that does not exist."""
    orders: list[tuple[str, list[Any]]] = [
        ("haptic", [1, 0.25, 100, 0.0]),
        ("haptic", [2, 0.375, 100, 120.0]),
        ("text", ["This is a test of the plugin."]),
        ("marker", [MARKER_CODE, "plugin-check"]),
        ("haptic", [1, 1.5, 100, 0.0]),
        ("haptic", [1, 0.25, 10_001, 0.0]),
        ("haptic", [1, 0.25, 100, 1_001.0]),
        ("haptic", [1, 0.25, 100, 0.5]),
        ("haptic", [256, 0.25, 100, 0.0]),
        ("haptic", [1, 1, 100, 0.0]),
        ("haptic", [1, 0.25, 100]),
        ("text", [""]),
        ("text", ["x" * 513]),
        ("marker", [65_536, "above"]),
        ("marker", [MARKER_CODE + 1, "y" * 513]),
    ]
    for verb, args in orders:
        await trial.command(verb, args)
        await asyncio.sleep(0.15)
    # The device drops it, and the gateway would send it again for half a minute: once is enough.
    await _unknown_verb(trial)
    await asyncio.sleep(trial.options.step_s / 2)
    trial.watcher.orders.burst_done = trial.watcher.orders.facts["text.done"]
    for number in range(BURST):
        await trial.command("text", [f"burst {number}"])
    await asyncio.sleep(trial.options.step_s / 2)
    for finding in trial.watcher.orders.burst():
        trial.watcher.note(finding, time.monotonic_ns())
    await trial.until(lambda: False, trial.options.step_s / 2)


async def _unknown_verb(trial: Trial) -> None:
    await trial.command("dance", [])
    talk = trial.talk

    def forget(now_ns: int, _now_ms: int) -> tuple[None, list[Effect]]:
        link = trial.gate.house.registry.links.get(talk.link.of.link) if talk is not None else None
        if link is not None:
            link.drop_commands("dance")
        return None, []

    await trial.gate.tell(forget)


async def forged(trial: Trial) -> None:
    """Forged COMMAND, WELCOME and RESET."""
    talk = trial.talk
    if talk is None:
        return
    hellos = trial.watcher.facts["hello"]
    newest = max(0, talk.delivery.newest)
    for packet in (
        *forge.commands(talk.link),
        forge.welcome(talk.link),
        *forge.resets(talk.link, newest),
    ):
        trial.tap.inject(packet)
        await asyncio.sleep(0.2)
    await asyncio.sleep(trial.options.step_s)
    if trial.talk is talk and trial.watcher.facts["hello"] == hellos:
        trial.watcher.mark("reset.ignored")
        return
    what = "after a forged RESET, COMMAND or WELCOME it left its link"
    mend = "believe a RESET only if its tag verifies and it names (seq, tag) of a packet that you sent on that link"
    trial.watcher.note(Finding("reset.obeyed", 21, what, mend), time.monotonic_ns())


async def hold(trial: Trial) -> None:
    """The gateway says that it cannot store: no receipts come, and capture goes on."""
    trial.tap.conditions = Conditions(lose_receipts=1)
    data = trial.watcher.facts["data"]
    await trial.command("hold", ["disk_full"])
    await asyncio.sleep(trial.options.step_s)
    trial.watcher.mark("hold.went_on", int(trial.watcher.facts["data"] > data))
    trial.tap.conditions = Conditions()
    await trial.command("hold", ["bored"])
    await asyncio.sleep(trial.options.step_s / 3)


async def rotate(trial: Trial) -> None:
    """A new key for the device."""
    await trial.command("rotate", ["no key"])
    await trial.gate.ask("device.rotate", device=trial.device)
    device = trial.gate.house.registry.devices[trial.device]  # type: ignore[index]
    if device.next_key:
        trial.watcher.ring.know(trial.device, device.next_key)
    if await trial.until(lambda: not device.next_key, AGAIN_S):
        trial.watcher.mark("rotated")
        return
    what = "no HELLO under the new key came after COMMAND rotate"
    trial.watcher.note(
        Finding("rotate.no_hello", 25, what, "persist the key, answer `done`, say HELLO tagged with it"),
        time.monotonic_ns(),
    )
