"""Between the socket and the spine: every packet passes here, both ways, and may be lost, copied or held on purpose.

The watcher is told in the order in which packets passed, those of the device with the verdict that the real intake gave
each. The intake looks link by link and so out of that order; what has its verdict early waits, and so does an answer.
What the trial loses is told as such; a copy that the trial makes is no packet of the device and is not told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.app.plugin_check import meanings
from gateway.app.plugin_check.say import Line
from gateway.app.plugin_check.watcher import Watcher
from gateway.core.effects import Arrival, Effect, MqttSource, Send
from gateway.core.intake import Intake
from gateway.wire import packet as wire

PATIENCE_NS: Final = 2_000_000_000  # an arrival without a verdict by then was shed by the queue
Told = Callable[[Arrival, str, tuple[str, ...]], None]


@dataclass(slots=True)
class Conditions:
    """What the network does at present.

    Args:
        down: whether the gateway is away: nothing passes, either way.
        lose_data: every how many-th DATA is lost; 0 for none.
        lose_receipts: the same for RECEIPT; 1 withholds all of them.
        copies: everything is delivered twice, both ways.
    """

    down: bool = False
    lose_data: int = 0
    lose_receipts: int = 0
    copies: bool = False


class Watched(Intake):
    """The intake, one arrival a step, so that each packet's own verdict shows.

    Args:
        intake: one that has not begun; what it holds moves here, so that the house goes on with this one.
        told: gets the arrival, its word, and the words of its refused frames.
    """

    def __init__(self, intake: Intake, told: Told) -> None:
        vars(self).update(vars(intake))
        self._told = told

    def step(self, slab: Sequence[Arrival], now_ns: int, now_ms: int) -> list[Effect]:
        """As `Intake.step`."""
        return self._each(super().step, slab, now_ns, now_ms)

    def listen(self, slab: Sequence[Arrival], now_ns: int, now_ms: int) -> list[Effect]:
        """As `Intake.listen`, while nothing can be stored."""
        return self._each(super().listen, slab, now_ns, now_ms)

    def _each(
        self,
        take: Callable[[Sequence[Arrival], int, int], list[Effect]],
        slab: Sequence[Arrival],
        now_ns: int,
        now_ms: int,
    ) -> list[Effect]:
        effects: list[Effect] = []
        for arrival in slab:
            refused, shed = self.refused.copy(), self.registry.shed.copy()
            frames = self.admission.refused.copy()
            effects += take([arrival], now_ns, now_ms)
            words = [*(self.refused - refused), *(self.registry.shed - shed)]
            self._told(arrival, words[0] if words else meanings.TAKEN, tuple(self.admission.refused - frames))
        return effects


@dataclass(slots=True)
class _Slot:
    arrival: Arrival
    verdict: str = ""
    frames: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Down:
    packet: bytes
    target: str
    fate: str
    at_ns: int


class Tap:
    """Where all packets pass.

    Args:
        watcher: told of each.
        clock_ns: monotonic.
        show: takes each line.
    """

    def __init__(self, watcher: Watcher, clock_ns: Callable[[], int], show: Callable[[Line], None]) -> None:
        self.conditions = Conditions()
        self.pass_up: Callable[[list[Arrival]], None] = lambda slab: None
        self.pass_down: Callable[[Send], None] = lambda send: None
        self.source: tuple[str, int] | None = None
        """Where a device was heard last."""
        self._watcher = watcher
        self._clock_ns = clock_ns
        self._show = show
        self._passed: deque[_Slot | _Down] = deque()  # what was not told yet, in order
        self._by_id: dict[int, _Slot] = {}
        self._counts: dict[str, int] = {}

    def arrived(self, slab: list[Arrival]) -> None:
        """Datagrams came."""
        passed = []
        for arrival in slab:
            slot = _Slot(arrival)
            self._passed.append(slot)
            kind = arrival.packet[3] if len(arrival.packet) > 3 else 0
            if self.conditions.down or (kind == wire.DATA and self._every("data", self.conditions.lose_data)):
                slot.verdict = meanings.LOST
                continue
            self._by_id[id(arrival)] = slot
            passed.append(arrival)
            if self.conditions.copies:
                passed.append(Arrival(*arrival))
        if passed:
            self.pass_up(passed)
        self.flush()

    def judged(self, arrival: Arrival, word: str, frames: tuple[str, ...]) -> None:
        """The intake decided."""
        slot = self._by_id.pop(id(arrival), None)
        if slot is not None:
            slot.verdict, slot.frames = word, frames
            self.flush()

    def flush(self, *, rest: bool = False) -> None:
        """Tell the watcher, in order, up to the first packet that still waits for its verdict.

        Args:
            rest: at the end: what has no verdict by now gets none.
        """
        late_ns = self._clock_ns() - PATIENCE_NS
        while self._passed:
            first = self._passed[0]
            if isinstance(first, _Slot) and not first.verdict:
                if not rest and first.arrival.arrived_ns >= late_ns:
                    return
                self._by_id.pop(id(first.arrival), None)
                first.verdict = "queue"
            self._passed.popleft()
            if isinstance(first, _Slot):
                self._tell(first)
            else:
                self._show(self._watcher.down(first.packet, first.target, first.fate, first.at_ns))

    def _tell(self, slot: _Slot) -> None:
        source = slot.arrival.source
        assert not isinstance(source, MqttSource)
        if slot.verdict == meanings.TAKEN:
            self.source = source
        where = f"{source[0]}:{source[1]}"
        line = self._watcher.up(
            slot.arrival.packet, where, slot.verdict, slot.arrival.arrived_ns, slot.frames
        )
        self._show(line)

    def send(self, effect: Send) -> None:
        """The gateway answers."""
        kind = effect.packet[3]
        lost = self.conditions.down or (
            kind == wire.RECEIPT and self._every("receipt", self.conditions.lose_receipts)
        )
        self._down(effect, meanings.LOST if lost else meanings.SENT)
        if not lost:
            self.pass_down(effect)
            if self.conditions.copies and kind != wire.WELCOME:
                self._down(effect, meanings.COPIED)
                self.pass_down(effect)

    def inject(self, packet: bytes, fate: str = meanings.FORGED) -> None:
        """A packet of the trial's own making, or a copy of an old one."""
        if self.source is not None:
            effect = Send(self.source, packet)
            self._down(effect, fate)
            self.pass_down(effect)

    def _down(self, effect: Send, fate: str) -> None:
        source = effect.source
        assert not isinstance(source, MqttSource)
        where = f"{source[0]}:{source[1]}"
        self._passed.append(_Down(effect.packet, where, fate, self._clock_ns()))
        self.flush()

    def _every(self, what: str, nth: int) -> bool:
        if not nth:
            return False
        self._counts[what] = self._counts.get(what, 0) + 1
        return self._counts[what] % nth == 0
