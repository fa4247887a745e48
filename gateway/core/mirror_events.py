"""What mirrors are told and what they want done: events and effects of core/mirror.py."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.core.follow import KeepEntries


@dataclass(frozen=True, slots=True)
class Source:
    """Where a log can be fetched from.

    Args:
        name: the peer's; what is held against it is held against this name.
        url: prefix of that log there, without a slash at its end.
    """

    name: str
    url: str


@dataclass(frozen=True, slots=True)
class Fetch:
    """GET `source.url`/`path`, at most `limit` bytes; answered by one `Got` or `Missing`."""

    source: Source
    origin: str
    path: str
    limit: int
    number: int


@dataclass(frozen=True, slots=True)
class Whole:
    """The whole tree of a head is kept now; its note is served."""

    origin: str
    size: int


@dataclass(frozen=True, slots=True)
class Blamed:
    """A source gave bytes that are not true."""

    source: Source
    origin: str
    why: str
    """`tile` or `bundle`."""


@dataclass(frozen=True, slots=True)
class Broken:
    """What is here of a log is not the beginning of what its head says: the disk, or a bug of ours.

    To do: drop the mirror, set `tree`, `tails`, `whole` and `whole_size` back, and say `Wanted` again.
    """

    origin: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """A log may be behind its head; as often as one likes."""

    origin: str


@dataclass(frozen=True, slots=True)
class Got:
    """What a fetch brought."""

    fetch: Fetch
    data: bytes


@dataclass(frozen=True, slots=True)
class Missing:
    """A fetch brought nothing: no answer, not found, too large.

    Args:
        fetch: of which.
        answered: whether the source was there; then a partial tile that it deleted may be in its full one.
    """

    fetch: Fetch
    answered: bool = True


@dataclass(frozen=True, slots=True)
class Tick:
    """The time of `wake_at` has come."""


@dataclass(frozen=True, slots=True)
class Pulling:
    """How far one log is, for people.

    Args:
        origin: the log.
        at: entries that are kept.
        size: of the head.
        source: who is asked; empty if nobody.
        why: what it waits for: `turn`, `source`, `room`; empty while it is pulled.
    """

    origin: str
    at: int
    size: int
    source: str
    why: str


Event = Wanted | Got | Missing | Tick
Effect = Fetch | KeepEntries | Whole | Blamed | Broken
