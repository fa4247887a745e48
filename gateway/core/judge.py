"""What one HEAD means: nothing new, a step forward, evidence, or a lie of whoever told it.

Guards three rules. A head counts only with a signature of its log, and moves nothing but by a proof or by its entries.
What does not verify is held against the sender, never against the log: anybody can tell a bad proof of an honest log.
And two signed heads that cannot both be true are evidence only together with a proof that anybody can check with the
log's key alone (tlog/fork.py). Changes nothing; `accept` does.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.core.contradiction import contradiction, own_head
from gateway.core.follow import UNREADABLE, Followed, Keep, KeepEntries, Shelf
from gateway.errors import ProofError, SignatureError, VestibuleError
from gateway.tlog.checkpoint import Checkpoint, parse_checkpoint
from gateway.tlog.cosigned import bare
from gateway.tlog.fork import Fork, verify_fork
from gateway.tlog.merkle import EMPTY_ROOT, Frontier, leaf_hash, verify_consistency
from gateway.tlog.note import parse_note, verify_note
from gateway.tlog.tiles import tails_after, tile_updates
from gateway.wire.peer import Head


@dataclass(frozen=True, slots=True)
class Known:
    """It says nothing new, or nothing that could be judged with what is here."""


@dataclass(frozen=True, slots=True)
class Again:
    """It leads from another head than ours: tell the sender where we are."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """It does not hold, and that is the sender's fault."""

    code: str


@dataclass(frozen=True, slots=True)
class Contradicted:
    """Evidence: it and a head that is here cannot both be true. Verified."""

    fork: Fork


@dataclass(frozen=True, slots=True)
class Ahead:
    """It is a head of our own log, signed with our key, that our log does not know."""

    note: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Onward:
    """The next head, or entries that were missing of the one that is here. Verified: signature, and that it continues
    the one that is here."""

    checkpoint: Checkpoint
    note: bytes
    """Log signatures only."""
    entries: tuple[bytes, ...] = ()
    leaves: tuple[bytes, ...] = ()
    tree: Frontier | None = None
    """The tree with these entries; None where they were not given."""


Verdict = Known | Again | Wrong | Contradicted | Ahead | Onward

KNOWN, AGAIN = Known(), Again()


def judge(log: Followed, head: Head, shelf: Shelf) -> Verdict:
    """Judge one HEAD of a log that is followed and not frozen.

    Costs up to one signature check for each key of the log, and for a head that is smaller than ours some tiles.

    Args:
        log: the log.
        head: what a peer told; its origin hash is that of the log.
        shelf: entries and tiles of the log.
    """
    fills = bool(head.entries) and log.mirrored and log.tree.size < log.size
    if head.note == log.note and not fills:
        return KNOWN
    try:
        note = parse_note(head.note)
        claimed = parse_checkpoint(note.text)
        if claimed.origin != log.origin:
            return Wrong("checkpoint_origin")
        # Before its signature is looked at: what is here already need not be signed again.
        if (claimed.size, claimed.root) == (log.size, log.root):
            return _by_entries(log, claimed, log.note, head) if fills else KNOWN
        if log.origin not in {signer.name for signer in verify_note(note, log.vkeys)}:
            return Wrong("checkpoint_origin")
        if claimed.extensions:
            return Wrong("head_extensions")  # none of our logs writes any, and one size must have one text
        signed = bare(head.note, log.vkeys) if len(note.signatures) > 1 else head.note
    except (ProofError, SignatureError) as error:
        return Wrong(error.code)
    if claimed.size == log.size:
        return _evidence(log, Fork(log.note, signed, claimed.root, ()))
    if log.ours:
        return _own(log, claimed, signed, head, shelf)
    if claimed.size < log.size:
        return _earlier(log, claimed, signed, shelf)
    return _later(log, claimed, signed, head)


def accept(log: Followed, onward: Onward, *, entries: bool = True) -> list[Keep]:
    """Follow a log to its next head.

    Args:
        log, onward: as they were judged.
        entries: whether those that came with it are kept; without room for them the head is followed all the same.

    Returns:
        What must be durable before the head is cosigned or told.
    """
    kept: list[Keep] = []
    if onward.checkpoint.size > log.size:
        kept.append(log.advance(onward.checkpoint, onward.note))
    if entries and onward.tree is not None:
        first = log.tree.size
        writes = tile_updates(first, onward.leaves, log.tails)
        log.tree, log.tails = onward.tree, tails_after(log.tails, writes)
        log.whole, log.whole_size = onward.note, onward.checkpoint.size
        kept.append(
            KeepEntries(
                log.origin,
                first,
                onward.entries,
                tuple(writes),
                onward.checkpoint.size,
                onward.checkpoint.root,
                onward.note,
            )
        )
    return kept


def _own(log: Followed, checkpoint: Checkpoint, note: bytes, head: Head, shelf: Shelf) -> Verdict:
    if 0 < head.old_size == log.size < checkpoint.size and head.old_root != log.root:
        proven = _proven(log, checkpoint, note, head)
        if isinstance(proven, Contradicted):
            return proven
    try:
        alarm = own_head(log, shelf, note, "")
    except VestibuleError:
        return KNOWN  # our own tiles cannot be read; whoever has to read them next will say so
    if alarm is None:
        return KNOWN
    return Ahead(note, checkpoint.size) if alarm.fork is None else Contradicted(alarm.fork)


def _earlier(log: Followed, checkpoint: Checkpoint, note: bytes, shelf: Shelf) -> Verdict:
    # A head below ours whose tree is not here yet says nothing: whoever sent it gets ours, with a proof from its size.
    try:
        if log.root_at(checkpoint.size, shelf) == checkpoint.root:
            return KNOWN
    except UNREADABLE:
        return KNOWN
    fork = contradiction(log, shelf, checkpoint, note)
    return KNOWN if fork is None else Contradicted(fork)


def _later(log: Followed, checkpoint: Checkpoint, note: bytes, head: Head) -> Verdict:
    if head.entries:
        return _by_entries(log, checkpoint, note, head)
    if head.old_size != log.size:
        return AGAIN
    if log.size == 0:  # any tree continues the empty one, and nothing proves it (tlog-witness)
        fits = not head.proof and head.old_root == EMPTY_ROOT
        return Onward(checkpoint, note) if fits else Wrong("head_proof")
    return _proven(log, checkpoint, note, head)


def _by_entries(log: Followed, checkpoint: Checkpoint, note: bytes, head: Head) -> Verdict:
    if head.old_size + len(head.entries) != checkpoint.size:
        return Wrong("head_entries")
    tree = log.tree.copy()
    if head.old_size > tree.size:
        return AGAIN if log.data else KNOWN
    entries = head.entries[tree.size - head.old_size :]
    leaves = tuple(map(leaf_hash, entries))
    # What is missing of the head that is here has to lead to it, before anything goes on from there.
    promised = log.size - tree.size
    tree.extend(leaves[:promised])
    if tree.size == log.size and tree.root() == log.root:
        tree.extend(leaves[promised:])
        if tree.size == checkpoint.size and tree.root() == checkpoint.root:
            return Onward(checkpoint, note, tuple(entries), leaves, tree if log.data else None)
    # Told without knowing our head, they may be of a history that left it on the way: let a proof tell.
    return Wrong("head_entries") if head.old_size == log.size else AGAIN


def _proven(log: Followed, checkpoint: Checkpoint, note: bytes, head: Head) -> Verdict:
    try:
        verify_consistency(log.size, checkpoint.size, head.proof, head.old_root, checkpoint.root)
    except ProofError:
        return Wrong("head_proof")
    if head.old_root == log.root:
        return Onward(checkpoint, note)
    # The proof holds, from another root than the one that was signed at that size: the log has two histories.
    return _evidence(log, Fork(log.note, note, head.old_root, tuple(head.proof)))


def _evidence(log: Followed, fork: Fork) -> Verdict:
    try:
        verify_fork(fork, *log.vkeys)
    except (ProofError, SignatureError):
        # Such a head that is here was signed with a key that the roster no longer lists: nobody could check it.
        return Wrong("head_contradicts")
    return Contradicted(fork)
