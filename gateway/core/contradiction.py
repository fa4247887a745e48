"""What a signed head says against what is known of its log: evidence, if the two cannot both be true.

Guards the rule that a log is accused with what convinces anyone: its own two signatures, and where the sizes differ a
proof that verifies (gateway/tlog/fork.py). What only looks wrong gives nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.core.follow import Followed
from gateway.errors import ProofError, VestibuleError
from gateway.tlog.checkpoint import Checkpoint, open_checkpoint
from gateway.tlog.cosigned import bare
from gateway.tlog.fork import Fork, fork_from_tiles, verify_fork
from gateway.tlog.merkle import roots_from_consistency
from gateway.tlog.tiles import TileReader, root_from_tiles


@dataclass(frozen=True, slots=True)
class Alarm:
    """Somebody holds a head of our own log, signed with our key, that our log does not have: an older copy of this
    gateway was started, or another one runs with its keys."""

    where: str
    """Who showed it."""
    size: int
    """Of that head."""
    note: bytes
    """The head; log signatures only."""
    fork: Fork | None
    """Evidence where it contradicts our log; None where it only is larger."""


def contradiction(
    log: Followed,
    shelf: TileReader | None,
    checkpoint: Checkpoint,
    note: bytes,
    proof: Sequence[bytes] = (),
) -> Fork | None:
    """Evidence that a log signed two heads which cannot both be true.

    Args:
        log: what is known of it.
        shelf: its tiles, up to `log.whole_size` at least; None where there are none.
        checkpoint, note: a head of it that its key signed; of the note only log signatures.
        proof: what came as a consistency proof from `log.size` to that head, whether it holds or not.

    Returns:
        Evidence that verifies, or None.
    """
    try:
        fork = _fork(log, shelf, checkpoint, note, tuple(proof))
        if fork is not None:
            verify_fork(fork, *log.vkeys)
    except VestibuleError:
        return (
            None  # tiles that are not there, a head signed by a key that is no longer the log's, a bad proof
        )
    return fork


def own_head(log: Followed, shelf: TileReader, note: bytes, where: str) -> Alarm | None:
    """Judge a note that somebody holds as the newest head of our own log.

    Args:
        log: our own log, as it stands on disk.
        shelf: its tiles.
        note: what was shown.
        where: by whom.

    Returns:
        What is wrong, None if our log has this head.

    Raises:
        ProofError, SignatureError: it is no head of our log, so nothing is shown.
        VestibuleError: the tiles cannot be read.
    """
    checkpoint = open_checkpoint(note, *log.vkeys)
    if checkpoint.origin != log.origin:
        raise ProofError("checkpoint_origin", "a checkpoint is of another log than ours")
    stripped = bare(note, log.vkeys)
    if checkpoint.size > log.tree.size:
        return Alarm(where, checkpoint.size, stripped, None)
    if root_from_tiles(shelf, checkpoint.size) == checkpoint.root:
        return None
    return Alarm(where, checkpoint.size, stripped, contradiction(log, shelf, checkpoint, stripped))


def _fork(
    log: Followed, shelf: TileReader | None, checkpoint: Checkpoint, note: bytes, proof: tuple[bytes, ...]
) -> Fork | None:
    size, root = checkpoint.size, checkpoint.root
    if size == log.size and log.note and root != log.root:
        return Fork(log.note, note, root, ())
    if size == log.whole_size and log.whole:
        return Fork(log.whole, note, root, ())  # refused by its check if the two agree
    if 0 < size < log.whole_size and shelf is not None:
        found = fork_from_tiles(shelf, note, size, root, log.whole, log.whole_size)
        if found is not None:
            return found
    if 0 < log.size < size and log.size & (log.size - 1):
        # The proof names no root to start from, so it may be a good one, from another root than we were promised. At
        # a power of two it starts from the root that we hold, and tells nothing of another.
        old, new = roots_from_consistency(log.size, size, proof, log.root)
        if new == root and old != log.root:
            return Fork(log.note, note, old, proof)
    return None
