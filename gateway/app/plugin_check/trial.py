"""The guided trial: steps on a clock, each of which provokes what one or more lines of the sheet ask for.

Each step says what the author should see. A step fails nothing by itself: the watcher judges what the device did.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from gateway.app.plugin_check import asking, forge, people
from gateway.app.plugin_check.gate import Gate
from gateway.app.plugin_check.people import Ask
from gateway.app.plugin_check.say import Finding
from gateway.app.plugin_check.watcher import Talk, Watcher
from gateway.app.plugin_check.wire import Conditions, Tap
from gateway.core import commands
from gateway.core.effects import Effect
from gateway.errors import LocalError, VestibuleError
from gateway.wire import kinds

LOOK_S: Final = 0.1
DRAIN_S: Final = 60.0
AGAIN_S: Final = 20.0  # a device that waits asks again every 5 s or slower
MARKER_CODE: Final = 61_000


@dataclass(frozen=True, slots=True)
class Options:
    """What the trial does.

    Args:
        permitted: names of the kinds of the sessions.
        without: the kind that the first session leaves out.
        outage_s: how long the gateway is away.
        wait_s: longest wait for a device.
        step_s: length of a step that only watches.
    """

    permitted: tuple[str, ...]
    without: str
    outage_s: float = 30.0
    wait_s: float = 600.0
    step_s: float = 6.0

    @property
    def first(self) -> list[str]:
        """Kinds of the first session."""
        return [name for name in self.permitted if name != self.without]


class Trial:
    """Runs the steps for the first device that records.

    Args:
        gate, tap, watcher: the gateway, its wire, and who looks.
        options: what to do.
        say: told of each step, and what to look for.
        ask: asks a person; None where nobody is there.
    """

    def __init__(
        self,
        gate: Gate,
        tap: Tap,
        watcher: Watcher,
        options: Options,
        say: Callable[[str], None],
        ask: Ask | None,
    ) -> None:
        self.gate, self.tap, self.watcher = gate, tap, watcher
        self.options = options
        self.say, self.ask = say, ask
        self.device = 0
        self.session = ""

    # ---- what steps are made of --------------------------------------------------------------------------------

    @property
    def talk(self) -> Talk | None:
        """The link that records now: one that the device took up, has not left, and sends on."""
        for talk in reversed(self.watcher.talks.values()):
            live = (
                talk.link.recording and not talk.bye and self.watcher.expects(talk.link.of.link) is not None
            )
            if talk.link.of.device == self.device and live:
                return talk
        return None

    async def until(self, holds: Callable[[], bool], deadline_s: float) -> bool:
        """Wait for something; False when the time was over first."""
        end_s = time.monotonic() + deadline_s
        while not holds():
            if time.monotonic() > end_s:
                return False
            await asyncio.sleep(LOOK_S)
        return True

    def settled(self) -> bool:
        """Whether the device holds nothing that has no receipt."""
        return not any(
            talk.delivery.unsettled
            for talk in self.watcher.talks.values()
            if talk.link.of.device == self.device and talk.link.recording
        )

    async def run(self) -> None:
        """All steps in order.

        Raises:
            LocalError: `no_device`, nobody came in time.
        """
        await self._begin()
        steps: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("Plain recording. Probes, info samples and receipts are looked at.", self._plain),
            (
                "Every fourth DATA and every third RECEIPT is lost. The plugin sends the same bytes again after 2.5 s.",
                self._loss,
            ),
            ("Everything comes twice, both ways. The plugin acts once.", self._copies),
            (
                "No RECEIPT comes, but a forged one. The plugin holds what it sent, and its floor stands still.",
                self._withheld,
            ),
            (
                "Commands within and outside of the limits, a burst of them, and a verb that does not exist.",
                lambda: asking.limits(self),
            ),
            (
                "Forged COMMAND, WELCOME and RESET. The plugin drops them all, and nothing shows.",
                lambda: asking.forged(self),
            ),
            (
                "COMMAND hold: the gateway cannot store. The plugin shows that it is behind, and goes on.",
                lambda: asking.hold(self),
            ),
            (
                "COMMAND rotate: a new key. The plugin stores it and says HELLO with it.",
                lambda: asking.rotate(self),
            ),
            (
                f"The gateway is away for {self.options.outage_s:.0f} s. HELLO after 10 s, then it catches up.",
                self._outage,
            ),
        ]
        if self.ask is not None:
            steps += [(words, lambda step=step: step(self, self._ask())) for words, step in people.STEPS]  # type: ignore[misc]
        steps += [
            (
                "The session is closed. The plugin stops, sends the rest, answers, says BYE, and waits.",
                self._close,
            ),
            (
                f"A new session is opened, with {self.options.without} this time. All streams begin at 0.",
                self._again,
            ),
            ("Consent is withdrawn. The plugin stops at once and says so.", self._withdraw),
        ]
        for number, (words, step) in enumerate(steps, 1):
            self.say(f"[{number}/{len(steps)}] {words}")
            try:
                await step()
            except VestibuleError as error:
                self.say(f"    this step was not carried out: {error.message}")
            finally:
                self.tap.conditions = Conditions()
        self.watcher.mark("trial.done")

    def _ask(self) -> Ask:
        assert self.ask is not None
        return self.ask

    async def _begin(self) -> None:
        self.say("Waiting for a device: PAIR, or HELLO with the key file.")

        def came() -> bool:
            for talk in self.watcher.talks.values():
                if talk.link.recording and len(talk.delivery):
                    self.device, self.session = talk.link.of.device, talk.link.session.hex()
                    return True
            return False

        if not await self.until(came, self.options.wait_s):
            raise LocalError(
                "no_device",
                f"no device recorded within {self.options.wait_s:.0f} s",
                "See the lines above: each packet that came is explained. Host and port must be those shown.",
            )
        self.say(f"Device {self.device} records.")

    # ---- the network -------------------------------------------------------------------------------------------

    async def _plain(self) -> None:
        await asyncio.sleep(self.options.step_s)
        talk = self.talk
        if talk is None:
            return
        for stream in self.watcher.numbering(talk.link).undescribed()[:1]:
            self.watcher.note(
                Finding(
                    "info.missing",
                    0,
                    f"stream {stream} has no info sample",
                    "describe each stream once when it begins (SPEC, 13)",
                    False,
                ),
                time.monotonic_ns(),
            )

    async def _loss(self) -> None:
        self.tap.conditions = Conditions(lose_data=4, lose_receipts=3)
        await asyncio.sleep(self.options.step_s)
        self.tap.conditions = Conditions()
        await self.until(self.settled, DRAIN_S / 4)

    async def _copies(self) -> None:
        self.tap.conditions = Conditions(copies=True)
        await self.command("marker", [MARKER_CODE - 1, "copy"])
        await asyncio.sleep(self.options.step_s / 2)

    async def _withheld(self) -> None:
        self.tap.conditions = Conditions(lose_receipts=1)
        await asyncio.sleep(self.options.step_s / 2)
        if (talk := self.talk) is not None:
            for packet in forge.receipts(talk.link, max(0, talk.delivery.newest)):
                self.tap.inject(packet)
        await asyncio.sleep(self.options.step_s)
        self.tap.conditions = Conditions()
        await self.until(self.settled, DRAIN_S / 4)

    async def _outage(self) -> None:
        self.tap.conditions = Conditions(down=True)
        began_s = time.monotonic()
        await self.gate.stop()
        await asyncio.sleep(self.options.outage_s)
        await self.gate.start()
        away_s = time.monotonic() - began_s
        self.tap.conditions = Conditions()
        data = self.watcher.facts["data"]
        await self.until(lambda: self.talk is not None and self.watcher.facts["data"] > data, AGAIN_S)
        self.watcher.mark("outage.s", int(away_s))
        self.watcher.mark("outage.drained", await self.until(self.settled, DRAIN_S + 2 * away_s))
        if not self.watcher.facts["outage.drained"]:
            what = f"packets have no receipt {DRAIN_S + 2 * away_s:.0f} s after the gateway came back"
            self.watcher.note(
                Finding(
                    "outage.not_drained",
                    12,
                    what,
                    "keep packets of old links too, name these links in HELLO, send them again",
                ),
                time.monotonic_ns(),
            )

    # ---- commands ----------------------------------------------------------------------------------------------

    async def command(self, verb: str, args: list[Any]) -> bool:
        """Send a COMMAND as the gateway sends its own; False where no link records."""
        talk = self.talk
        if talk is None:
            return False
        number = talk.link.of.link

        def work(now_ns: int, _now_ms: int) -> tuple[bool, list[Effect]]:
            registry = self.gate.house.registry
            link = registry.links.get(number)
            return (True, commands.send(registry, link, verb, args, now_ns)) if link else (False, [])

        done: bool = await self.gate.tell(work)
        return done

    # ---- sessions ----------------------------------------------------------------------------------------------

    async def _close(self) -> None:
        await self._over(withdrawn=False)
        self.watcher.mark("stop.closed")
        left_out = kinds.KIND_BY_NAME[self.options.without].number
        came = self.watcher.facts[f"kind.{left_out}"] or self.watcher.facts["frame.not_permitted"]
        self.watcher.mark("left_out.quiet", int(not came))
        row = await self.gate.session(self.session)
        missing = sum(stream["missing"] for stream in row["streams"])
        if missing:
            worst = max(row["streams"], key=lambda stream: int(stream["missing"]))
            what = f"{missing} samples are missing at the end, {worst['missing']} of them in stream {worst['stream']}"
            mend = "keep every packet until its receipt; number a sample only when it is captured"
            self.watcher.note(Finding("session.missing", 12, what, mend), time.monotonic_ns())

    async def _over(self, *, withdrawn: bool) -> None:
        how = {"withdrawn": True} if withdrawn else {}
        await self.gate.ask("session.close", session=self.session, **how)

        async def closed() -> bool:
            return bool((await self.gate.session(self.session))["state"] == "closed")

        end_s = time.monotonic() + DRAIN_S / 2
        while not await closed() and time.monotonic() < end_s:
            await asyncio.sleep(LOOK_S)
        await self.until(lambda: self.talk is None, self.options.step_s)

    async def _again(self) -> None:
        self.session = await self.gate.open_session(self.device, list(self.options.permitted))
        if not await self.until(lambda: self.talk is not None and len(self.talk.delivery) > 0, AGAIN_S):
            what = f"nothing was recorded within {AGAIN_S:.0f} s after a new session was opened"
            mend = "on a waiting link take COMMAND `open`, or say HELLO every 5 s"
            self.watcher.note(Finding("session.not_taken", 16, what, mend), time.monotonic_ns())
            return
        await asyncio.sleep(self.options.step_s)
        left_out = kinds.KIND_BY_NAME[self.options.without].number
        self.watcher.mark("left_out.came", int(bool(self.watcher.facts[f"kind.{left_out}"])))

    async def _withdraw(self) -> None:
        await self._over(withdrawn=True)
        self.watcher.mark("stop.withdrawn")
        await asyncio.sleep(self.options.step_s / 2)
