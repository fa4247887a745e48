"""The logs that this gateway follows: of each the newest head that continues all earlier ones, and how much of its tree
is here.

What is asked to be kept is durable before anything that follows it is done: a head is written down before it is
cosigned or told (C2SP tlog-witness: compare and persist, then answer). Gossip, witness and mirror share this state, so
that no two of them can promise different things of one log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from gateway.errors import Damage, LocalError, ProofError
from gateway.tlog.checkpoint import Checkpoint, origin_hash
from gateway.tlog.fork import Fork
from gateway.tlog.merkle import EMPTY_ROOT, Frontier
from gateway.tlog.note import VerifierKey
from gateway.tlog.tiles import TileReader, TileWrite, root_from_tiles

EARLIER_HEADS = 8  # of each log: what a peer asks from is mostly one of these


@dataclass(slots=True)
class Followed:
    """One log.

    Args:
        origin: its name.
        vkeys: keys that may sign its checkpoints; two while its key is being rotated.
        size, root, note: the largest head seen that continues all earlier ones, as it was signed; size 0 and an empty
            note before the first. What a witness promises, it promises of this.
        tree: right edge of the part of the tree whose entries and tiles are here; never larger than `size`, except of
            our own log, where it is the log itself.
        tails: level -> content of the last, partial row of tiles, at the size of `tree`.
        whole: the newest signed note whose whole tree is here: what is served and passed on. Empty before the first.
        frozen: whether evidence against it is known: nothing of it is accepted any more.
        fork: that evidence, log signatures only, as it is told on.
        ours: whether it is our own log.
        data: whether entries and tiles are kept; a log that is only witnessed has heads alone.
    """

    origin: str
    vkeys: tuple[VerifierKey, ...]
    size: int = 0
    root: bytes = EMPTY_ROOT
    note: bytes = b""
    tree: Frontier = field(default_factory=Frontier)
    tails: dict[int, bytes] = field(default_factory=dict)
    whole: bytes = b""
    whole_size: int = 0
    frozen: bool = False
    ours: bool = False
    data: bool = True
    fork: Fork | None = None
    hash: bytes = field(init=False)
    """SHA-256 of the origin, by which requests name it."""
    _earlier: dict[int, bytes] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.hash = bytes.fromhex(origin_hash(self.origin))

    @property
    def mirrored(self) -> bool:
        """Whether it is a log of another gateway whose entries and tiles are kept here."""
        return self.data and not self.ours

    @property
    def lag(self) -> int:
        """Entries that its head promises and that are not here whole yet."""
        return max(self.size - self.whole_size, 0)

    def advance(self, checkpoint: Checkpoint, note: bytes) -> KeepHead:
        """Move the head; the caller has verified signature and consistency, and performs what is returned first."""
        kept = KeepHead(self.origin, self.size, checkpoint.size, checkpoint.root, note)
        self._earlier[self.size] = self.root
        if len(self._earlier) > EARLIER_HEADS:
            del self._earlier[next(iter(self._earlier))]
        self.size, self.root, self.note = checkpoint.size, checkpoint.root, note
        return kept

    def root_at(self, size: int, shelf: TileReader) -> bytes | None:
        """Root at an earlier size, without a look at the shelf where it was a head a moment ago.

        Args:
            size: from 0.
            shelf: its tiles.

        Returns:
            None where the tree is not here up to that size, and it was no head lately.

        Raises:
            ProofError: `tile_length`, a tile is not as it was written.
        """
        if size == self.size:
            return self.root
        if (known := self._earlier.get(size)) is not None:
            return known
        if size < self.tree.size:
            return root_from_tiles(shelf, size)
        return self.tree.root() if size == self.tree.size else None


@dataclass(frozen=True, slots=True)
class KeepHead:
    """Write down a head, by compare and set: the row must still have `old_size` (0 for no row)."""

    origin: str
    old_size: int
    size: int
    root: bytes
    note: bytes
    """The signed note; log signatures only."""


@dataclass(frozen=True, slots=True)
class KeepEntries:
    """Write down entries and tiles of another log, verified against one of its heads."""

    origin: str
    first: int
    """Index of the first; the tree must end there."""
    entries: tuple[bytes, ...]
    tiles: tuple[TileWrite, ...]
    size: int
    """Of the tree afterwards: `first + len(entries)`."""
    root: bytes
    whole: bytes = b""
    """A signed note of exactly this size, if there is one: served from now on."""


@dataclass(frozen=True, slots=True)
class KeepFork:
    """Write down evidence, and that its log is frozen; what is there already stays."""

    origin: str
    fork: Fork
    seen_ms: int


@dataclass(frozen=True, slots=True)
class KeepRoster:
    """Write down a version of the roster that was verified."""

    version: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class KeepCosigned:
    """Write down the newest checkpoint of our own log that a quorum cosigned."""

    size: int
    note: bytes
    """With all cosignatures."""
    at_ms: int


Keep = KeepHead | KeepEntries | KeepFork | KeepRoster | KeepCosigned
"""What must be durable before anything after it is done."""


class Shelf(TileReader, Protocol):
    """Entries and tiles of one log as they are on disk: our own log's, or a mirror's."""

    def entries(self, first: int, count: int) -> list[bytes]:
        """Leaf data of up to `count` entries from `first` on."""
        ...


UNREADABLE = (ProofError, Damage)
"""What is raised where entries or tiles are not as they were written. Nothing is judged by them then; the checks of the
store report it."""

Shelves = Callable[[str], Shelf]
"""Origin -> its entries and tiles. Answers what was kept until now, at once, without waiting."""


class Logs:
    """All logs that are followed.

    Args:
        followed: of the roster, of the configuration, and our own.
    """

    def __init__(self, followed: Iterable[Followed] = ()) -> None:
        self._by_origin: dict[str, Followed] = {}
        self._by_hash: dict[bytes, Followed] = {}
        for log in followed:
            self.add(log)

    def __iter__(self) -> Iterator[Followed]:
        return iter(self._by_origin.values())

    def __len__(self) -> int:
        return len(self._by_origin)

    @property
    def mirror_lag(self) -> int:
        """Entries of other gateways' logs that are promised and not copied yet."""
        return sum(log.lag for log in self if log.mirrored)

    def add(self, log: Followed) -> None:
        """Follow another log.

        Raises:
            LocalError: `followed`, it is followed already.
        """
        if log.origin in self._by_origin:
            raise LocalError("followed", f"the log {log.origin} is followed already")
        self._by_origin[log.origin] = self._by_hash[log.hash] = log

    def drop(self, origin: str) -> None:
        """Follow a log no longer; what is on disk of it stays there."""
        log = self._by_origin.pop(origin, None)
        if log is not None:
            del self._by_hash[log.hash]

    def of(self, origin: str) -> Followed | None:
        """A log by its name."""
        return self._by_origin.get(origin)

    def of_hash(self, digest: bytes) -> Followed | None:
        """A log by the SHA-256 of its name."""
        return self._by_hash.get(digest)
