"""What to tell a peer of one log: the HEAD that brings it from where it is to where we are.

The counterpart of `judge`. Only what is here whole is offered, as only that can be proved. A HEAD names our root at the
peer's size, so that a peer that was told another history gets the evidence with it (docs/adr/0018).
"""

from __future__ import annotations

from gateway.core.follow import UNREADABLE, Followed, Shelf
from gateway.tlog.merkle import EMPTY_ROOT
from gateway.tlog.tiles import consistency_from_tiles
from gateway.wire.peer import MAX_ENTRIES, MAX_ENTRIES_BYTES, Head, Row


def nothing(log: Followed) -> Row:
    """The row of a peer that has nothing of a log."""
    return Row(log.hash, 0, EMPTY_ROOT, 0)


def row_of(log: Followed) -> Row:
    """Our row of a log."""
    return Row(log.hash, log.size, log.root, min(log.tree.size, log.size))


def nearly_whole(log: Followed) -> bool:
    """Whether so little of the tree is missing that peers bring it with a HEAD."""
    return log.mirrored and not log.frozen and 0 < log.size - log.tree.size <= MAX_ENTRIES


def has_more(log: Followed, row: Row) -> bool:
    """Whether we have something to tell a peer with this row; not whether it can be proved."""
    if log.size != row.size:
        return log.size > row.size
    return log.root != row.root or row.tree < min(log.tree.size, log.size)


def lacks(log: Followed, row: Row) -> bool:
    """Whether a peer with this row has something to tell us."""
    if log.size != row.size:
        return log.size < row.size
    return log.root != row.root or (log.mirrored and log.tree.size < row.tree)


def offer(log: Followed, row: Row, shelf: Shelf) -> Head | None:
    """The HEAD for a peer.

    Args:
        log: the log, not frozen.
        row: what the peer has of it.
        shelf: entries and tiles of the log.

    Returns:
        None where we have nothing that the peer lacks, or cannot prove it yet.
    """
    if row.size == log.size and row.root != log.root:
        return _bare(log, log.note) if log.note else None
    here = log.size <= log.tree.size
    size, note = (log.size, log.note) if here else (log.whole_size, log.whole)
    if row.size == 0 and not note and log.note:
        return _bare(log, log.note)  # the first head of a log needs no proof
    if not note or row.size > size:
        return None
    try:
        return _from(log, row, size, note, shelf)
    except UNREADABLE:
        return None


def _from(log: Followed, row: Row, size: int, note: bytes, shelf: Shelf) -> Head | None:
    root = log.root_at(row.size, shelf)
    if root is None:
        return None
    if row.size == size and row.root != root:
        return _bare(log, note)
    if row.root == root and 0 < size - row.tree <= MAX_ENTRIES:
        # From where its tree ends, which a head that it was promised in another way may have left behind.
        entries = shelf.entries(row.tree, size - row.tree)
        old_root = log.root_at(row.tree, shelf)
        small = sum(map(len, entries)) <= MAX_ENTRIES_BYTES
        if len(entries) == size - row.tree and small and old_root is not None:
            return Head(log.hash, note, row.tree, old_root, [], entries)
    if row.size == size:
        return None
    return Head(log.hash, note, row.size, root, consistency_from_tiles(shelf, row.size, size), [])


def _bare(log: Followed, note: bytes) -> Head:
    # Two roots at one size need no proof: both signed heads together are the evidence.
    return Head(log.hash, note, 0, EMPTY_ROOT, [], [])
