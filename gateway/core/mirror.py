"""Mirrors: brings the trees of followed logs up to their heads, from whoever serves them.

A machine: `step(event, now_ns)` gives what to fetch and what to keep, `wake_at` says when it wants a `Tick`. What comes
is checked in `pull.py` before it is kept, so a source can only be slow or useless; one that gives wrong bytes, or none,
is left alone for a while and another one is asked. A head is pulled to its end even if the log grows meanwhile; then
its newest head is next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.core.follow import Followed, KeepEntries, Logs
from gateway.core.mirror_events import (
    Blamed,
    Broken,
    Effect,
    Event,
    Fetch,
    Got,
    Missing,
    Pulling,
    Source,
    Tick,
    Wanted,
    Whole,
)
from gateway.core.pull import WINDOW, Pull, limit_of
from gateway.errors import Divergence, ProofError
from gateway.tlog.tiles import ENTRIES_LEVEL, TILE_WIDTH, TileCoord, tile_path

__all__ = [
    "Blamed",
    "Broken",
    "Effect",
    "Event",
    "Fetch",
    "Got",
    "Mirror",
    "Missing",
    "Pulling",
    "Source",
    "Tick",
    "Wanted",
    "Whole",
]

MAX_PULLS: Final = 8  # logs at a time; others wait for their turn
TURN_ENTRIES: Final = 16_384  # kept of a log, before another one that waits has its turn
MAX_FETCHES: Final = 8  # in all, so that bundles take 128 MiB at the very worst
MAX_TRIES: Final = 3  # sources in a row that were of no use, before a log goes to the end of the queue
SECOND_NS: Final = 1_000_000_000
AWAY_NS: Final = SECOND_NS  # for which a source that did not answer is left alone, then for twice as long ...
LIAR_NS: Final = 60 * SECOND_NS  # the same after wrong bytes
MAX_DOUBLINGS: Final = 6
ROOM_NS: Final = 10 * SECOND_NS  # between looks whether the disk has room again
BROKEN_NS: Final = 60 * SECOND_NS  # before a mirror that was dropped is pulled again
NEVER: Final = (1 << 63) - 1


@dataclass(slots=True)
class _Standing:
    """What is held against a source, about one log."""

    failures: int = 0
    until: int = 0


@dataclass(slots=True)
class _Job:
    """A pull at work.

    Args:
        pull: of which.
        source: who is asked.
        fetches: number -> what was asked, and what for.
        tries: sources in a row that were of no use.
        kept: entries that came of it.
    """

    pull: Pull
    source: Source | None = None
    fetches: dict[int, tuple[Fetch, TileCoord]] = field(default_factory=dict)
    tries: int = 0
    kept: int = 0


class Mirror:
    """The machine.

    Args:
        logs: what is followed; of these `tree`, `tails`, `whole` and `whole_size` are moved here.
        sources: where a log can be fetched from, the best first.
        room: whether the disk has room for mirrors.
    """

    def __init__(
        self,
        logs: Logs,
        sources: Callable[[Followed], Sequence[Source]],
        room: Callable[[], bool] = lambda: True,
    ) -> None:
        self.wake_at = NEVER
        self._logs = logs
        self._sources = sources
        self._room = room
        self._full = False
        self._jobs: dict[str, _Job] = {}
        self._queue: dict[str, int] = {}
        """Origins that wait, in order -> not before when."""
        self._asked: set[int] = set()
        """Fetches that were not answered yet, also those of jobs that are gone."""
        self._standing: dict[tuple[str, str], _Standing] = {}
        """(origin, name of the source); at most one for each pair of members."""
        self._number = 0

    def step(self, event: Event, now_ns: int) -> list[Effect]:
        """Take an event.

        Args:
            event: what happened.
            now_ns: our monotonic clock.

        Returns:
            What to do, in this order; the fetches first, since they wait for nothing.
        """
        done: list[Effect] = []
        match event:
            case Wanted(origin):
                if origin not in self._jobs and _behind(self._logs.of(origin)):
                    self._queue.setdefault(origin, now_ns)
            case Got(fetch, data):
                self._got(fetch, data, now_ns, done)
            case Missing(fetch, answered):
                self._missing(fetch, answered, now_ns, done)
            case Tick():
                pass
        self._forget()
        self._begin(now_ns, done)
        fetches = self._ask(now_ns, done)
        self._set_wake(now_ns)
        return [*fetches, *done]

    def pulling(self, origin: str) -> bool:
        """Whether a log is being brought up to its head, or waits for that."""
        return origin in self._jobs or origin in self._queue

    def progress(self) -> list[Pulling]:
        """All logs that are not at their heads, for people."""
        rows = []
        for origin, job in self._jobs.items():
            source = job.source.name if job.source else ""
            rows.append(Pulling(origin, job.pull.at, job.pull.size, source, "room" if self._full else ""))
        for origin in self._queue:
            if (log := self._logs.of(origin)) is not None:
                held = any(who[0] == origin for who in self._standing)
                rows.append(Pulling(origin, log.tree.size, log.size, "", "source" if held else "turn"))
        return rows

    # ---- answers --------------------------------------------------------------------------------------------------

    def _got(self, fetch: Fetch, data: bytes, now_ns: int, done: list[Effect]) -> None:
        job, coord = self._answered(fetch)
        if job is None:
            return
        pull = job.pull
        try:
            pull.take(coord, data)
            kept = pull.keep()
        except ProofError:
            done.append(
                Blamed(fetch.source, fetch.origin, "bundle" if coord.level == ENTRIES_LEVEL else "tile")
            )
            self._useless(job, fetch.source, LIAR_NS, now_ns, done)
            return
        except Divergence:
            del self._jobs[fetch.origin]
            self._queue[fetch.origin] = now_ns + BROKEN_NS
            done.append(Broken(fetch.origin))
            return
        self._standing.pop((fetch.origin, fetch.source.name), None)
        job.tries = 0
        if kept is not None:
            done.append(kept)
            job.kept += len(kept.entries)
        if pull.done:
            done.append(Whole(fetch.origin, pull.size))
            self._end(fetch.origin, now_ns)
        elif job.kept >= TURN_ENTRIES and len(self._jobs) >= MAX_PULLS and self._due(now_ns):
            # Nobody knows whether a log that says so many entries has an end; it goes on when its turn comes again.
            self._end(fetch.origin, now_ns)

    def _missing(self, fetch: Fetch, answered: bool, now_ns: int, done: list[Effect]) -> None:
        job, coord = self._answered(fetch)
        if job is None:
            return
        if answered and coord.width < TILE_WIDTH and fetch.path == _path(coord):
            # Whoever has the full tile may have deleted the partial one (tlog-tiles).
            full = TileCoord(coord.level, coord.n)
            done.append(self._fetch(job, fetch.source, full, coord))
        else:
            self._useless(job, fetch.source, AWAY_NS, now_ns, done)

    def _answered(self, fetch: Fetch) -> tuple[_Job | None, TileCoord]:
        self._asked.discard(fetch.number)
        job = self._jobs.get(fetch.origin)
        asked = job.fetches.pop(fetch.number, None) if job is not None else None
        if job is None or asked is None or (job.pull.on_edge and fetch.source != job.source):
            return None, TileCoord(0, 0)
        return job, asked[1]

    def _useless(self, job: _Job, source: Source, base_ns: int, now_ns: int, done: list[Effect]) -> None:
        """Leave a source alone for a while; after some, the log waits too."""
        standing = self._standing.setdefault((job.pull.log.origin, source.name), _Standing())
        if standing.until > now_ns:
            return  # for the same reason already
        standing.until = now_ns + (base_ns << min(standing.failures, MAX_DOUBLINGS))
        standing.failures += 1
        job.tries += 1
        if job.tries >= MAX_TRIES:
            self._park(job, now_ns, done)

    # ---- jobs -----------------------------------------------------------------------------------------------------

    def _forget(self) -> None:
        """Drop the jobs whose log went on by other means, was frozen, or is followed no longer."""
        for origin, job in list(self._jobs.items()):
            log = self._logs.of(origin)
            if log is not job.pull.log or not job.pull.current:
                del self._jobs[origin]
                if _behind(log):
                    self._queue[origin] = 0
        for origin in [origin for origin in self._queue if not _behind(self._logs.of(origin))]:
            del self._queue[origin]

    def _begin(self, now_ns: int, done: list[Effect]) -> None:
        for origin, when in list(self._queue.items()):
            log = self._logs.of(origin)
            if when > now_ns or len(self._jobs) >= MAX_PULLS or log is None:
                continue
            del self._queue[origin]
            if log.tree.size < log.size:
                self._jobs[origin] = _Job(Pull(log))
            else:
                # The tree came by gossip, or the head was signed again: only the note is missing.
                log.whole, log.whole_size = log.note, log.size
                done.append(KeepEntries(origin, log.size, (), (), log.size, log.root, log.note))
                done.append(Whole(origin, log.size))

    def _park(self, job: _Job, now_ns: int, done: list[Effect]) -> None:
        """Let others have their turn; what came in order is kept, the rest is fetched again."""
        log = job.pull.log
        del self._jobs[log.origin]
        try:
            if (kept := job.pull.keep(all=True)) is not None:
                done.append(kept)
        except Divergence:
            done.append(Broken(log.origin))
            self._queue[log.origin] = now_ns + BROKEN_NS
            return
        free = [self._free_at(log.origin, source) for source in self._sources(log)]
        self._queue[log.origin] = max(now_ns + SECOND_NS, min(free, default=now_ns + ROOM_NS))

    def _due(self, now_ns: int) -> bool:
        return any(when <= now_ns for when in self._queue.values())

    def _end(self, origin: str, now_ns: int) -> None:
        del self._jobs[origin]
        if _behind(self._logs.of(origin)):
            self._queue[origin] = now_ns

    # ---- fetches --------------------------------------------------------------------------------------------------

    def _ask(self, now_ns: int, done: list[Effect]) -> list[Effect]:
        """As many fetches as may be, the job with the fewest first."""
        self._full = bool(self._jobs) and not self._room()
        fetches: list[Effect] = []
        while not self._full and len(self._asked) < MAX_FETCHES:
            jobs = sorted(self._jobs.values(), key=lambda job: len(job.fetches))
            fetch = next(filter(None, (self._next(job, now_ns, done) for job in jobs)), None)
            if fetch is None:
                break
            fetches.append(fetch)
        return fetches

    def _next(self, job: _Job, now_ns: int, done: list[Effect]) -> Fetch | None:
        if len(job.fetches) >= WINDOW:
            return None
        pull = job.pull
        if job.source is None or self._free_at(pull.log.origin, job.source) > now_ns:
            free = (one for one in self._sources(pull.log) if self._free_at(pull.log.origin, one) <= now_ns)
            job.source = next(free, None)
            pull.restart_edge()
            if job.source is None:
                self._park(job, now_ns, done)
                return None
        source = job.source
        asked = [coord for fetch, coord in job.fetches.values() if not pull.on_edge or fetch.source == source]
        coord = pull.want(asked)
        return None if coord is None else self._fetch(job, source, coord, coord)

    def _fetch(self, job: _Job, source: Source, coord: TileCoord, wanted: TileCoord) -> Fetch:
        self._number += 1
        fetch = Fetch(source, job.pull.log.origin, _path(coord), limit_of(coord), self._number)
        job.fetches[fetch.number] = fetch, wanted
        self._asked.add(fetch.number)
        return fetch

    def _free_at(self, origin: str, source: Source) -> int:
        standing = self._standing.get((origin, source.name))
        return standing.until if standing is not None else 0

    def _set_wake(self, now_ns: int) -> None:
        times = [now_ns + ROOM_NS] if self._full else []
        if len(self._jobs) < MAX_PULLS:
            times += self._queue.values()
        self.wake_at = min(times, default=NEVER)


def _behind(log: Followed | None) -> bool:
    if log is None or log.frozen or not log.data:
        return False
    return log.tree.size < log.size or (not log.ours and log.tree.size == log.size and log.whole != log.note)


def _path(coord: TileCoord) -> str:
    return tile_path(coord.level, coord.n, coord.width)
