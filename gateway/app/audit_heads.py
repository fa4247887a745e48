"""What a signed head says against those that were seen before: nothing new, a continuation, or evidence.

Guards the rule that a log is accused with what convinces anyone: two of its own signatures, and where the sizes differ
a proof that verifies (gateway/tlog/fork.py). Tiles that do not fit, or are withheld, are told as such, and convict
nobody.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.app.audit_source import Source
from gateway.app.audit_state import Head, LogFolder, State
from gateway.app.audit_tiles import HeadTiles
from gateway.errors import ProofError, RemoteError, SignatureError, Unreachable
from gateway.tlog.checkpoint import Checkpoint, open_parsed, origin_hash, parse_checkpoint
from gateway.tlog.cosigned import bare_fork
from gateway.tlog.fork import Fork, fork_from_tiles, verify_fork
from gateway.tlog.merkle import consistency_ranges
from gateway.tlog.note import VerifierKey, parse_note, verify_note
from gateway.tlog.tiles import TileReader, tiles_of


@dataclass(frozen=True, slots=True)
class Signed:
    """A head whose signature is verified.

    Args:
        checkpoint: what it says.
        note: the whole note, cosignatures included.
        signers: keys of the log that signed it.
    """

    checkpoint: Checkpoint
    note: bytes
    signers: list[VerifierKey]


def open_head(note: bytes, origin: str, accepted: list[VerifierKey]) -> Signed:
    """Verify a head that is served.

    Args:
        note: as it was read.
        origin: the log that is followed.
        accepted: keys that may sign for it now.

    Raises:
        ProofError: `note_size`, `note_format`, `checkpoint`; `head_origin`, it is of another log.
        SignatureError: `note_signature`; `head_key`, no key that is known signed it.
    """
    parsed = parse_note(note)
    checkpoint = parse_checkpoint(parsed.text)
    if checkpoint.origin != origin:
        raise ProofError(
            "head_origin",
            f"what is served is the log {checkpoint.origin}, and not {origin}",
            f"Name the URL of that log; a gateway serves its copy of it below URL/{origin_hash(origin)}.",
        )
    try:
        signed = Signed(open_parsed(parsed, *accepted), note, verify_note(parsed, accepted))
    except SignatureError as error:
        if error.code != "note_unknown":
            raise
        names = [f"{one.name}+{one.key_id.hex()}" for one in parsed.signatures if one.name == origin]
        by = f"only by {', '.join(names)}" if names else "by nobody of that name"
        raise SignatureError(
            "head_key",
            f"the head of {checkpoint.size} entries is signed {by}, which is no key that is known of this log",
            "Believe it only if the log's owner published that key in a way that you trust; then give it as one more "
            "--vkey.",
        ) from None
    return signed


def same_size(ours: Head, new: Signed, vkeys: list[VerifierKey]) -> Fork | None:
    """Two heads of one size: evidence, unless they agree."""
    if ours.root == new.checkpoint.root:
        return None
    return _checked(Fork(ours.note, new.note, new.checkpoint.root, ()), vkeys)


async def later(ours: Head, new: Signed, tiles: HeadTiles, vkeys: list[VerifierKey]) -> Fork | None:
    """A larger head: evidence, unless it continues ours.

    Args:
        ours: the largest head until now.
        new: the larger one.
        tiles: of the larger one, open.
        vkeys: every key the log ever had.

    Raises:
        ProofError, Unreachable, RemoteError: as `HeadTiles.load`.
    """
    m, n = ours.size, new.checkpoint.size
    if m == 0:
        return None  # every log continues an empty one
    await tiles.load(tiles_of([(0, m), *consistency_ranges(m, n)], n))
    # All these tiles are proven by the new head, so the root at the old size is what it continues.
    found = fork_from_tiles(tiles, ours.note, m, ours.root, new.note, n)
    return found and _checked(found, vkeys)


async def earlier(folder: LogFolder, state: State, new: Signed, source: Source) -> Fork | bool:
    """A smaller head than was seen: an old copy, or another history.

    Asked in this order: the heads that were seen, the leaf hashes that were kept, the tiles that are served.

    Returns:
        Evidence; True if it is an earlier head of the same log; False if nothing at hand can tell.

    Raises:
        StoreError: `disk_io`.
        StoreRefused: `audit_damaged`, what was kept is not what was signed.
    """
    size, root, vkeys = new.checkpoint.size, new.checkpoint.root, state.vkeys
    if size == 0:
        return True
    for note in folder.heads():
        try:
            parsed = parse_note(note)
            if parse_checkpoint(parsed.text).size != size:
                continue
            seen = open_parsed(parsed, *vkeys)
        except (ProofError, SignatureError):
            continue  # a damaged line of the archive; there are other ways to tell
        if seen.root == root:
            return True
        return _checked(Fork(note, new.note, root, ()), vkeys)
    if state.whole is not None and size < state.whole.size:
        try:
            return _earlier_by(folder.hashes, state.whole, new, vkeys)
        except ProofError:
            raise folder.damaged("its leaf hashes are not those of the head that was signed") from None
    assert state.head is not None
    tiles = HeadTiles(source, state.head.size, state.head.root)
    try:
        await tiles.open()
        await tiles.load(tiles_of([(0, size), *consistency_ranges(size, state.head.size)], state.head.size))
    except (Unreachable, ProofError, RemoteError):
        return False  # whoever shows an older head need not show the tiles of the newer one
    return _earlier_by(tiles, state.head, new, vkeys)


def _earlier_by(reader: TileReader, ours: Head, new: Signed, vkeys: list[VerifierKey]) -> Fork | bool:
    size, root = new.checkpoint.size, new.checkpoint.root
    found = fork_from_tiles(reader, new.note, size, root, ours.note, ours.size)
    return True if found is None else _checked(found, vkeys)


def _checked(fork: Fork, vkeys: list[VerifierKey]) -> Fork:
    """Evidence with the signatures of the log alone, as anyone will check it."""
    stripped = bare_fork(fork, vkeys)
    verify_fork(stripped, *vkeys)
    return stripped
