"""The walk of a frame: arrive, admit, seal, anchor, commit, tell. Read this file first.

One task calls the hops in order, and nothing calls back::

    net/udp, net/mqtt --> FairQueue --> Intake --> Batcher --> Ledger --> commit --> receipts, PUBACKs, checkpoint
         1 arrive                      2 admit    3 seal     4 anchor    5 commit            6 tell

Everything that changes state goes through this task: packets as slabs from the queue, and what people ask for through
the control socket as requests. Whatever a step changes is durable before anyone is told (`_cycle`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from gateway.app.arrivals import Arrivals
from gateway.app.cycle import Cycle, commit
from gateway.app.house import House
from gateway.core import commands
from gateway.core.effects import Acknowledge, Arrival, Effect, Send
from gateway.core.link import Link
from gateway.core.ranges import Ranges
from gateway.core.receipts import receipts
from gateway.core.records import Writes
from gateway.entries.envelope import Body
from gateway.errors import StoreError
from gateway.wire import packet as wire

T = TypeVar("T")

URGENT_NS: Final = 5_000_000  # a handshake or a withdrawal waits this long for company
HOUSEKEEPING_NS: Final = 1_000_000_000
SETTLE_NS: Final = 5_000_000_000  # probes of links that bring no data become durable at least this often
RETRY_NS: Final = 500_000_000  # after a commit that left no trace, or without room on the disk
PASSING: Final = frozenset({"disk_full", "disk_io", "store_busy"})
"""Errors that may pass by themselves. Any other would come again with the same bytes, for ever."""


@dataclass(slots=True)
class _Request:
    """Something asked through the control socket, run in the spine's task; `durable`: answered after a commit."""

    work: Callable[[int, int], Any]
    future: asyncio.Future[Any]
    durable: bool = True


class Spine:
    """The task that everything goes through.

    Args:
        house: the machines, the disk and the edges to tell.
    """

    def __init__(self, house: House) -> None:
        self._house = house
        self._clock_ns = house.registry.clock_ns
        self._requests: deque[_Request] = deque()
        self._wake = asyncio.Event()
        self.arrivals = Arrivals(house.queue, house.registry, self._wake, house.acknowledge)
        self._stopping = False
        self._after: list[Effect] = []
        self._bodies: list[Body] = []
        self._urgent_ns: int | None = None
        self._housekeeping_ns = 0
        self._settle_ns = 0
        self._retry_ns = 0
        self._waiting: list[tuple[asyncio.Future[Any], Any]] = []
        self._failed: StoreError | None = None
        self.held = ""

    # ---- what it is asked -------------------------------------------------------------------------------------

    async def ask(self, work: Callable[[int, int], T]) -> T:
        """Run `work(now_ns, now_ms)` in the spine's task.

        Returns:
            What it returned, after the commit of everything it changed.

        Raises:
            VestibuleError: what `work` raised, at once.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._requests.append(_Request(work, future))
        self._wake.set()
        return await future

    async def tell(self, work: Callable[[int, int], tuple[T, list[Effect]]]) -> T:
        """Run `work(now_ns, now_ms)`, which changes nothing that a commit keeps, in the spine's task.

        Returns:
            Its result, at once: its effects are performed and no commit is waited for, so that it works on a full disk.

        Raises:
            VestibuleError: what `work` raised.
        """
        future: asyncio.Future[tuple[T, list[Effect]]] = asyncio.get_running_loop().create_future()
        self._requests.append(_Request(work, future, durable=False))
        self._wake.set()
        result, effects = await future
        self._tell(effects)
        return result

    def enter(self, bodies: list[Body], after: list[Effect]) -> None:
        """From inside `work`: entries for the next commit, and effects to perform after it."""
        self._bodies += bodies
        self._after += after
        self._house.registry.urgent = True

    def stop(self) -> None:
        """Drain: take what is queued, seal and commit it, tell, and return from `run`."""
        self._stopping = True
        self._wake.set()

    def fail(self, error: StoreError) -> None:
        """End as after a commit of unknown outcome: a write beside the commits, of a subject's key, had one."""
        self._failed = error
        self._wake.set()

    # ---- the loop ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until `stop`, and then until everything accepted is durable.

        Raises:
            StoreError: the outcome of a write is unknown, or it can never succeed; the process must end.
        """
        house = self._house
        while True:
            if self._failed is not None:
                self._disappoint(self._waiting, self._failed)
                raise self._failed
            now_ns, now_ms = self._clock_ns(), house.utc_ms()
            self._lift(now_ns)
            if not self.held:
                self._admit(self.arrivals.take(), now_ns, now_ms)
            else:
                self.arrivals.hold(handshakes=not house.no_room(urgent=True))
                self._listen(now_ns, now_ms)
            self._serve(now_ns, now_ms)
            if now_ns >= self._housekeeping_ns:
                self._housekeeping_ns = now_ns + HOUSEKEEPING_NS
                self._keep_house(now_ns, now_ms)
            if house.registry.urgent and self._urgent_ns is None:
                self._urgent_ns = now_ns + URGENT_NS
            last = self._stopping and (bool(self.held) or not len(house.queue))
            if (last or self._seal_is_due(now_ns)) and self._has_room(now_ns, urgent=False):
                await self._cycle(now_ns, now_ms, seal=True)
            elif (self._waiting or _is_due(self._urgent_ns, now_ns)) and self._has_room(now_ns, urgent=True):
                await self._cycle(now_ns, now_ms, seal=False)
            if last and not self._requests:
                # Without room for a last cycle its frames stay with their devices, which have no receipt for them.
                self._disappoint(
                    self._waiting, StoreError("held", "nothing could be written", "Free disk space.")
                )
                return
            await self._rest()

    def _seal_is_due(self, now_ns: int) -> bool:
        house = self._house
        return house.batcher.due(now_ns) or (bool(house.registry.touched) and now_ns >= self._settle_ns)

    def _has_room(self, now_ns: int, urgent: bool) -> bool:
        """Whether a cycle may begin; below the floor nothing does, and it is asked again a little later."""
        if now_ns < self._retry_ns and not urgent:
            return False
        why = self._house.no_room(urgent)
        if why:
            self._retry_ns = now_ns + RETRY_NS
            self._hold(why)
        return not why

    async def _rest(self) -> None:
        """Sleep until something arrives, is asked, or is due; with a backlog only let the edges run."""
        house = self._house
        busy = (len(house.queue) or self._stopping) and not self.held
        if busy or self._requests or self._failed is not None:
            await asyncio.sleep(0)
            return
        self._wake.clear()
        due = [self._housekeeping_ns]
        if self._urgent_ns is not None:
            due.append(self._urgent_ns)
        if house.batcher.wake_at is not None:
            due.append(house.batcher.wake_at)
        at_ns = max(min(due), self._retry_ns) if self.held else min(due)
        delay_s = max(0.0, (at_ns - self._clock_ns()) / 1e9)
        timer = asyncio.get_running_loop().call_later(delay_s, self._wake.set)
        await self._wake.wait()
        timer.cancel()

    # ---- 2 admit ----------------------------------------------------------------------------------------------

    def _admit(self, slab: list[Arrival], now_ns: int, now_ms: int) -> None:
        if not slab:
            return
        house = self._house
        self._tell(house.intake.step(slab, now_ns, now_ms))
        admitted = house.intake.admitted
        if admitted:
            house.intake.admitted = []
            house.batcher.add(admitted, now_ns, now_ms)
        if house.intake.owed:
            house.intake.owed = False
            house.batcher.expect(now_ns, now_ms)
        house.answered()

    def _listen(self, now_ns: int, now_ms: int) -> None:
        """Held, nothing more is taken in: the queue is bounded, and sheds. What brings nothing to store is answered."""
        if slab := self.arrivals.take_round():
            self._tell(self._house.intake.listen(slab, now_ns, now_ms))
            self._house.answered()

    def _serve(self, now_ns: int, now_ms: int, durable: bool = True) -> None:
        """Run what people asked for; the answer waits for the commit of what it changed.

        Args:
            durable: whether what needs a commit can be taken up now; else it waits.
        """
        requests, self._requests = self._requests, deque()
        for request in requests:
            if request.future.cancelled():
                continue
            if request.durable and not durable:
                self._requests.append(request)
                continue
            try:
                result = request.work(now_ns, now_ms)
            except Exception as error:
                request.future.set_exception(error)
                continue
            if request.durable:
                self._waiting.append((request.future, result))
            else:
                request.future.set_result(result)

    def _keep_house(self, now_ns: int, now_ms: int) -> None:
        house = self._house
        self._tell(commands.resend(house.registry, now_ns))
        house.answered()
        house.sessions.finish_drained(now_ns, now_ms)
        house.registry.expire(now_ms, house.link_keep_s)
        house.report()
        tickets = house.intake.tickets
        if (
            tickets
            and house.batcher.wake_at is None
            and not (house.registry.touched or house.registry.urgent)
        ):
            # Copies of what is durable: no commit will come for them.
            house.intake.tickets = []
            self._tell([Acknowledge(ticket, 0) for ticket in tickets])

    # ---- 3 seal, 4 anchor, 5 commit, 6 tell -------------------------------------------------------------------

    async def _cycle(self, now_ns: int, now_ms: int, seal: bool) -> None:
        """One commit, and what may be said after it.

        Args:
            seal: whether frames are sealed; handshakes and entries alone do not wait for that.
        """
        house = self._house
        registry = house.registry
        if seal:
            house.sessions.close_ended(now_ms)
        cycle = Cycle(registry.staged, house.boot)
        bodies: list[Body] = []
        settled: list[tuple[Link, Ranges, dict[str, Ranges]]] = []
        if seal:
            house.batcher.changed(registry.changed_streams.values(), now_ns, now_ms)
            opened_ms = house.batcher.opened_ms
            cycle.batch = house.seal(now_ns)
            settled = [(link, *link.settle(registry.utc_offset_ns)) for link in registry.touched.values()]
            cycle.writes.streams = list(registry.changed_streams.values())
            if cycle.batch is not None:
                cycle.number = house.take_batch_number()
                cycle.opened_s, cycle.sealed_s = opened_ms // 1000, now_ms // 1000
                bodies.append(cycle.body(house.ledger.gateway, now_ms))
            # All that something came on; without a seal only links that are new or ended, which stand there already.
            touched = registry.touched
            cycle.writes.links = [row for row in cycle.writes.links if row.link not in touched]
            cycle.writes.links += [link.record for link in touched.values()]
            registry.changed_streams = {}
            self._settle_ns = now_ns + SETTLE_NS
        bodies += house.sessions.bodies + self._bodies
        cycle.plan = house.ledger.plan(bodies) if bodies else None
        answers, tickets = registry.answers + self._after, house.intake.tickets
        registry.staged, registry.answers = Writes(), []
        registry.urgent, self._urgent_ns = False, None
        house.sessions.bodies, self._bodies, self._after = [], [], []
        if seal:
            registry.touched, house.intake.tickets = {}, []
        else:
            tickets = []
        waiting, self._waiting = self._waiting, []
        started_ns = self._clock_ns()
        try:
            await self._commit(cycle)
        except StoreError as error:
            self._disappoint(waiting, error)
            raise
        if cycle.plan is not None:
            house.ledger.advance(cycle.plan)
            house.publish()
        self._tell(answers)
        self._tell([Acknowledge(ticket, 0) for ticket in tickets])
        receipts_sent = 0
        for link, stored, refused in settled:
            receipts_sent += self._receipt(link, cycle, stored, refused)
        for future, result in waiting:
            if not future.done():
                future.set_result(result)
        house.committed(
            cycle, (started_ns - now_ns) // 1_000_000, (self._clock_ns() - started_ns) // 1_000_000
        )
        house.told(receipts_sent, house.sessions.drop_closed())

    @staticmethod
    def _disappoint(waiting: list[tuple[asyncio.Future[Any], Any]], error: StoreError) -> None:
        """Whoever waits for a commit that will not come learns it, instead of waiting for ever."""
        for future, _ in waiting:
            if not future.done():
                future.set_exception(error)

    async def _commit(self, cycle: Cycle) -> None:
        """Commit; what left no trace and may pass is tried again, the same bytes, until it succeeds."""
        while True:
            try:
                if cycle.writes or cycle.plan is not None:
                    await commit(self._house.disk, cycle)
                break
            except StoreError as error:
                if error.fatal or error.code not in PASSING or self._stopping or self._failed is not None:
                    raise
                self._hold(error.code)
                self.arrivals.hold(handshakes=False)
                await asyncio.sleep(RETRY_NS / 1e9)
                # It says too that the spine comes round: a start would find the same disk, and forget who waits.
                now_ns, now_ms = self._clock_ns(), self._house.utc_ms()
                self._tell(commands.resend(self._house.registry, now_ns))
                self._listen(now_ns, now_ms)
                self._serve(now_ns, now_ms, durable=False)
        self._lift(self._clock_ns())

    def _hold(self, why: str) -> None:
        if self.held != why:
            self.held = why
            self.arrivals.hold(handshakes=not self._house.no_room(urgent=True))
            self._tell(self._house.hold(why, self._clock_ns()))

    def _lift(self, now_ns: int) -> None:
        """Go on once there is room for batches: what is due then need not be what was held."""
        if self.held and self._has_room(now_ns, urgent=False):
            self.held = ""
            self.arrivals.release()
            self._house.ready()

    def _receipt(self, link: Link, cycle: Cycle, stored: Ranges, refused: dict[str, Ranges]) -> int:
        """Tell a device what became of its packets; returns how many receipts that took."""
        if link.source is None or not (stored or refused):
            return 0
        root = cycle.batch.root if cycle.batch is not None else b""
        frames, link.refused_frames = link.refused_frames, []
        bodies = list(
            receipts(cycle.number if root else 0, root, stored, refused, frames, list(link.streams.values()))
        )
        now_ns = self._clock_ns()
        self._tell(
            [
                Send(link.source, self._house.registry.to_device(link, wire.RECEIPT, body, now_ns))
                for body in bodies
            ]
        )
        return len(bodies)

    def _tell(self, effects: list[Effect]) -> None:
        """Hand effects to the edges; none of them waits."""
        for effect in effects:
            if isinstance(effect, Send):
                self._house.send(effect)
            else:
                self._house.acknowledge(effect)


def _is_due(at_ns: int | None, now_ns: int) -> bool:
    return at_ns is not None and now_ns >= at_ns
