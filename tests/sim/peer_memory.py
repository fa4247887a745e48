"""What a simulated peer has on disk of the other peers: performs the `Keep` records and survives crashes.

It is strict where the database is: heads move by compare and set, entries and tiles only grow, evidence stays, and the
tree that entries lead to is the one that was named. What a start reads comes from here alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from gateway.core.follow import (
    Followed,
    Keep,
    KeepCosigned,
    KeepEntries,
    KeepFork,
    KeepHead,
    KeepRoster,
    Logs,
    Shelf,
)
from gateway.tlog.checkpoint import parse_checkpoint
from gateway.tlog.fork import Fork
from gateway.tlog.merkle import EMPTY_ROOT, Frontier, leaf_hash
from gateway.tlog.note import VerifierKey, parse_note
from gateway.tlog.tiles import TileWrite, frontier_from_tiles, tails_at
from tests.sim.peer_logs import Branch


@dataclass
class Mirrored:
    """Entries and tiles of one other log: a `Shelf`."""

    data: list[bytes] = field(default_factory=list)
    tiles: dict[tuple[int, int], bytes] = field(default_factory=dict)
    frontier: Frontier = field(default_factory=Frontier)
    whole: bytes = b""
    whole_size: int = 0

    def hash_tile(self, level: int, n: int, width: int) -> bytes:
        return self.tiles[level, n][: 32 * width]

    def entries(self, first: int, count: int) -> list[bytes]:
        return self.data[first : first + count]

    def copy(self) -> Mirrored:
        """The same on another disk."""
        return Mirrored(list(self.data), dict(self.tiles), self.frontier.copy(), self.whole, self.whole_size)

    def write(self, tiles: Iterable[TileWrite]) -> None:
        for tile in tiles:
            assert tile.data.startswith(self.tiles.get((tile.level, tile.n), b"")), (
                "a row of tiles only grows"
            )
            self.tiles[tile.level, tile.n] = tile.data


class PeerStore:
    """peers.db of one peer.

    Args:
        own: its own log, which another database keeps.
    """

    def __init__(self, own: Branch) -> None:
        self.own = own
        self.heads: dict[str, tuple[int, bytes, bytes]] = {}
        """Origin -> size, root, note."""
        self.history: dict[str, dict[int, bytes]] = {}
        """Origin -> every size that was ever kept as its head, and its root."""
        self.mirrors: dict[str, Mirrored] = {}
        self.forks: dict[str, list[Fork]] = {}
        self.roster: KeepRoster | None = None
        self.cosigned: KeepCosigned | None = None
        self.performed = 0

    def perform(self, keep: Keep) -> None:
        """Make one thing durable."""
        self.performed += 1
        match keep:
            case KeepHead():
                self._head(keep)
            case KeepEntries():
                self._entries(keep)
            case KeepFork():
                forks = self.forks.setdefault(keep.origin, [])
                if keep.fork not in forks:
                    forks.append(keep.fork)
            case KeepRoster():
                assert self.roster is None or keep.version > self.roster.version, "a roster goes back"
                self.roster = keep
            case KeepCosigned():
                assert self.cosigned is None or keep.size >= self.cosigned.size, "what is confirmed goes back"
                self.cosigned = keep

    def _head(self, keep: KeepHead) -> None:
        size, root, _ = self.heads.get(keep.origin, (0, EMPTY_ROOT, b""))
        assert size == keep.old_size, f"compare and set: the head is at {size}, not at {keep.old_size}"
        assert keep.size >= size, "a head goes back"
        assert keep.size > size or keep.root == root, "two roots at one size"
        self.heads[keep.origin] = keep.size, keep.root, keep.note
        self.history.setdefault(keep.origin, {})[keep.size] = keep.root

    def _entries(self, keep: KeepEntries) -> None:
        assert keep.origin != self.own.origin, "our own log is no mirror"
        mirrored = self.mirrors.setdefault(keep.origin, Mirrored())
        assert keep.first == len(mirrored.data), "entries have no holes"
        assert keep.size == keep.first + len(keep.entries), "a size that is not that of the entries"
        mirrored.frontier.extend(map(leaf_hash, keep.entries))
        assert mirrored.frontier.root() == keep.root, "entries that lead to another root"
        mirrored.data.extend(keep.entries)
        mirrored.write(keep.tiles)
        if keep.whole:
            assert _head_of(keep.whole) == (keep.size, keep.root), "a note of another tree"
            mirrored.whole, mirrored.whole_size = keep.whole, keep.size

    def knows(self, branch: Branch) -> None:
        """Begin with the knowledge of a log as it is now, as if it had been told and kept before."""
        head = branch.size, branch.roots[-1], branch.note()
        self.heads[branch.origin] = head
        self.history[branch.origin] = {head[0]: head[1]}
        if branch is not self.own:
            mirrored = Mirrored(branch.data, branch.tiles, branch.frontier, head[2], head[0])
            self.mirrors[branch.origin] = mirrored.copy()

    def shelf(self, origin: str) -> Shelf:
        """Entries and tiles of one log."""
        if origin == self.own.origin:
            return self.own
        return self.mirrors.setdefault(origin, Mirrored())

    def load(self, keys: dict[str, tuple[VerifierKey, ...]], again: bool = True) -> Logs:
        """What a start makes of all this: the logs that are followed, rebuilt from heads, tiles and evidence.

        Args:
            keys: origin -> keys of its log, for all logs to follow.
            again: whether there is anything that an earlier run wrote, so that tiles must be read.
        """
        return Logs(self._followed(origin, vkeys, again) for origin, vkeys in keys.items())

    def _followed(self, origin: str, vkeys: tuple[VerifierKey, ...], again: bool) -> Followed:
        size, root, note = self.heads.get(origin, (0, EMPTY_ROOT, b""))
        log = Followed(origin, vkeys, size, root, note)
        log.frozen, log.fork = origin in self.forks, self.forks.get(origin, [None])[0]
        if origin == self.own.origin:
            log.ours = True
            self.follow_own(log)
        elif (mirrored := self.mirrors.get(origin)) is not None and mirrored.data:
            log.tree = mirrored.frontier.copy()
            if again:
                log.tree = frontier_from_tiles(mirrored, len(mirrored.data))
                assert log.tree.root() == mirrored.frontier.root(), "tiles that lead to another root"
            log.tails = {
                tail.level: mirrored.hash_tile(tail.level, tail.n, tail.width)
                for tail in tails_at(len(mirrored.data))
            }
            log.whole, log.whole_size = mirrored.whole, mirrored.whole_size
        return log

    def follow_own(self, log: Followed) -> None:
        """Bring our own log's state up to what its database has, after a start or a commit."""
        log.tree, log.tails = self.own.frontier.copy(), dict(self.own.tails)
        log.whole, log.whole_size = self.own.note(), self.own.size


@lru_cache(1 << 14)
def _head_of(note: bytes) -> tuple[int, bytes]:
    checkpoint = parse_checkpoint(parse_note(note).text)
    return checkpoint.size, checkpoint.root
