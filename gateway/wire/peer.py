"""What gateways tell one another: bodies of gossip, bytes to values and back. docs/gossip.md has every byte.

A body is one canonical MessagePack array of messages, each an array that begins with its number. Nothing in it is
believed here: notes, proofs and evidence are only byte strings of bounded length. Sizes are looked at before anything
is parsed, encoding again must give the same bytes, and nothing but `WireError` is raised.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Final, NamedTuple

import msgspec

from gateway.errors import LocalError, WireError
from gateway.ids import U32_MAX

MAX_BODY_BYTES: Final = 256 * 1024  # ours; the longest of what follows, several times
MAX_HEADS: Final = 64  # ours: HEADs in a body, each of another log; what is left over comes with the next one
MAX_ROWS: Final = 2048  # ours; a roster has a hundred logs
MAX_FORKS: Final = 256  # ours
MAX_EVIDENCE: Final = 16  # ours: EVIDENCEs in a body
MAX_ROSTERS: Final = 4  # ours: ROSTERs in a body
MAX_COSIGS: Final = 8  # ours: COSIGs in a body
MAX_NOTE_BYTES: Final = 4096  # ours: a checkpoint with the signatures of its log, no cosignatures
MAX_PROOF_HASHES: Final = 64  # RFC 6962: of a tree of 2^63 leaves
MAX_ENTRIES: Final = 32  # docs/adr/0018: what is more is pulled
MAX_ENTRIES_BYTES: Final = 16 * 1024  # docs/adr/0018
MAX_LINES: Final = 4  # ours: a member has two witness keys at most
MAX_LINE_BYTES: Final = 512  # ours: name, id, time and signature in base64
MAX_FORK_BYTES: Final = 64 * 1024  # ours: two notes and a proof in base64; mostly 2 KiB
MAX_ROSTER_BYTES: Final = 48 * 1024  # as an entry of a log holds it
HASH_BYTES: Final = 32
MAX_SIZE: Final = 2**63 - 1  # as in checkpoints


class Row(NamedTuple):
    """The head of one log, as one gateway knows it."""

    origin_hash: bytes
    """SHA-256 of the log's origin."""
    size: int
    root: bytes
    tree: int
    """How many entries, from the first on, are here too; never above `size`."""


class _Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Common options of all messages."""


class Summary(_Message, frozen=True, tag=1):
    """SUMMARY: what I know, in 32 bytes each. With `answer`, the other tells what differs."""

    roster_version: int
    roster_hash: bytes
    heads: bytes
    """SHA-256 over `origin hash || size as u64, big-endian || root` of each log that is neither empty nor frozen,
    by origin hash."""
    forks: bytes
    """SHA-256 over the origin hashes of all frozen logs, ascending."""
    answer: bool


class Heads(_Message, frozen=True, tag=2):
    """HEADS: rows of my table, and whose logs are frozen here.

    With `answer` these are all rows, a log without a row is empty here, and the other answers with what it has more
    and asks for what it has less. Without, only what these rows lack is asked for.
    """

    rows: list[Row]
    forks: list[bytes]
    """Origin hashes of the logs of which I hold evidence, ascending."""
    answer: bool


class Head(_Message, frozen=True, tag=3):
    """HEAD: a newer head of a log, and what leads to it from the receiver's."""

    origin_hash: bytes
    note: bytes
    """Signed checkpoint."""
    old_size: int
    """Size from which `proof` or `entries` lead; the receiver's, as far as the sender knows it."""
    old_root: bytes
    """Root at that size of the SENDER's tree. Another than the receiver's makes the proof evidence."""
    proof: list[bytes]
    """Consistency proof; empty where entries are given, or nothing is to be proved."""
    entries: list[bytes]
    """Leaf data of all entries from `old_size` to the size of the note, or nothing."""


class Cosig(_Message, frozen=True, tag=4):
    """COSIG: cosignatures of a head, for the gateway whose log it is."""

    origin_hash: bytes
    size: int
    root: bytes
    lines: list[str]
    """Signature lines with their line ends."""


class Evidence(_Message, frozen=True, tag=5):
    """EVIDENCE: a log's two heads that cannot both be true, as JSON."""

    origin_hash: bytes
    fork: bytes


class RosterDoc(_Message, frozen=True, tag=6):
    """ROSTER: one signed version of the roster."""

    raw: bytes


Message = Summary | Heads | Head | Cosig | Evidence | RosterDoc

MOST: Final[dict[type[Message], int]] = {
    Summary: 1,
    Heads: 1,
    Head: MAX_HEADS,
    Cosig: MAX_COSIGS,
    Evidence: MAX_EVIDENCE,
    RosterDoc: MAX_ROSTERS,
}
"""How many of each a body may have."""

EMPTY_BODY: Final = b"\x90"
"""A body without messages: the answer of one who has nothing to say."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Message]).decode


def weight(message: Message) -> int:
    """At most how many bytes a message takes in a body."""
    match message:
        case Heads(rows, forks):
            return 16 + 88 * len(rows) + 34 * len(forks)
        case Head(_, note, _, _, proof, entries):
            return 96 + len(note) + 34 * len(proof) + 5 * len(entries) + sum(map(len, entries))
        case Cosig(_, _, _, lines):
            return 96 + sum(5 + len(line.encode()) for line in lines)
        case Evidence(_, fork):
            return 48 + len(fork)
        case RosterDoc(raw):
            return 16 + len(raw)
        case Summary():
            return 128


def encode_body(messages: Iterable[Message]) -> bytes:
    """The canonical bytes of a body.

    Raises:
        LocalError: `peer_body`, a limit is not kept.
    """
    told = list(messages)
    if problem := _problem(told):
        raise LocalError("peer_body", problem)
    data = _encode(told)
    if len(data) > MAX_BODY_BYTES:
        raise LocalError("peer_body", f"a body between peers has at most {MAX_BODY_BYTES} bytes")
    return data


def decode_body(data: bytes) -> list[Message]:
    """Parse a body strictly.

    Raises:
        WireError: `peer_body`.
    """
    if len(data) > MAX_BODY_BYTES:
        raise WireError("peer_body", f"a body between peers has at most {MAX_BODY_BYTES} bytes")
    try:
        messages = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError("peer_body", "a body between peers is not an array of messages") from error
    if problem := _problem(messages):
        raise WireError("peer_body", problem)
    if _encode(messages) != data:
        raise WireError("peer_body", "a body between peers is not in its canonical form")
    return messages


def _problem(messages: list[Message]) -> str:
    counts: dict[type[Message], int] = {}
    logs: set[bytes] = set()
    for message in messages:
        kind = type(message)
        count = counts[kind] = counts.get(kind, 0) + 1
        if count > MOST[kind]:
            return f"a body between peers has at most {MOST[kind]} {kind.__name__}"
        if problem := _fault(message):
            return problem
        if isinstance(message, Head):
            logs.add(message.origin_hash)
            if len(logs) < count:
                return "a body between peers has at most one HEAD for each log"
    return ""


def _fault(message: Message) -> str:
    match message:
        case Summary(version, roster, heads, forks):
            fits = 0 <= version <= U32_MAX and _hashes((roster, heads, forks))
        case Heads(rows, forks):
            fits = len(rows) <= MAX_ROWS and len(forks) <= MAX_FORKS and _hashes(forks)
            fits = fits and _ascending(forks) and _ascending([row.origin_hash for row in rows])
            fits = fits and all(map(_row, rows))
        case Head(origin, note, old_size, old_root, proof, entries):
            fits = len(note) <= MAX_NOTE_BYTES and 0 <= old_size <= MAX_SIZE and _hashes((origin, old_root))
            fits = fits and len(proof) <= MAX_PROOF_HASHES and _hashes(proof) and not (proof and entries)
            fits = fits and len(entries) <= MAX_ENTRIES and sum(map(len, entries)) <= MAX_ENTRIES_BYTES
        case Cosig(origin, size, root, lines):
            fits = 0 <= size <= MAX_SIZE and _hashes((origin, root)) and 0 < len(lines) <= MAX_LINES
            fits = fits and all(len(line.encode()) <= MAX_LINE_BYTES for line in lines)
        case Evidence(origin, fork):
            fits = _hashes((origin,)) and len(fork) <= MAX_FORK_BYTES
        case RosterDoc(raw):
            fits = len(raw) <= MAX_ROSTER_BYTES
    return "" if fits else f"a {type(message).__name__} between peers is out of its limits"


def _row(row: Row) -> bool:
    return (
        len(row.origin_hash) == len(row.root) == HASH_BYTES
        and 0 <= row.size <= MAX_SIZE
        and 0 <= row.tree <= row.size
    )


def _hashes(values: Iterable[bytes]) -> bool:
    return all(len(value) == HASH_BYTES for value in values)


def _ascending(values: list[bytes]) -> bool:
    return all(before < after for before, after in pairwise(values))
