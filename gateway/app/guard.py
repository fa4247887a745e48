"""The rollback guard: before the first signature of a run, whoever holds a head of our own log is asked for it.

Guards the rule that one size of our log is signed with one root only. A database that was set back together with its
mark (a snapshot of the whole machine, a clone) looks sound by itself; only somebody who saw what was signed later can
tell. Answers count by our own signature in them and by nothing else, so anybody may be asked (C2SP tlog-witness, the
monitoring path).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from gateway.core.roster import Roster
from gateway.errors import LocalError, ProofError, RemoteError, SignatureError, StoreError, StoreRefused
from gateway.store.queries import Head
from gateway.tlog.checkpoint import Checkpoint, open_checkpoint, origin_hash
from gateway.tlog.cosigned import bare
from gateway.tlog.fork import Fork, fork_from_tiles, verify_fork
from gateway.tlog.note import MAX_NOTE_BYTES, VerifierKey
from gateway.tlog.tiles import TileReader, root_from_tiles

ASK_S: Final = 2.0
"""How long anybody is waited for; all are asked at once."""
CHECKPOINT: Final = "checkpoint"

Get = Callable[[str, str, int], Awaitable[bytes | None]]
"""(base URL, path below it, bytes at most) -> the resource, or None where there is none; raises a `VestibuleError`."""


class NoTiles:
    """The tiles of an empty log, as a `TileReader`."""

    def hash_tile(self, level: int, n: int, width: int) -> bytes:
        """Never asked for: an empty log has none."""
        return b""


Word = Literal["away", "unusable", "nothing", "behind", "same", "ahead", "other"]


class Forked(StoreRefused):
    """Two histories of our log were signed, or stand beside each other.

    Args:
        what: what was seen.
        fork: evidence of it, to be kept; None where none can be made that others could check.
    """

    def __init__(self, what: str, fork: Fork | None = None) -> None:
        super().__init__(
            "forked",
            what,
            "Keep all as it is: this log must not sign again. Begin a new one with `vestibule ledger new-generation`.",
        )
        self.fork = fork


WORDS: Final[dict[Word, str]] = {
    "away": "does not answer",
    "unusable": "answered with something that this log never signed",
    "nothing": "knows nothing of this log",
    "behind": "has an earlier head of it",
    "same": "has the same head",
    "ahead": "has a larger one",
    "other": "has another history, signed by our key",
}
"""What an answer means, for people."""


@dataclass(frozen=True, slots=True)
class Source:
    """Somebody who may know our log.

    Args:
        name: for people.
        url: base URL, no slash at the end.
    """

    name: str
    url: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What one of them said.

    Args:
        source: who.
        word: what it means for us.
        head: signed by our key; None where there is none.
        note: the signed note, without cosignatures; raw: as it came.
        prefix: path below the URL at which our log lies there; empty, or with a slash at its end.
    """

    source: Source
    word: Word
    head: Checkpoint | None = None
    note: bytes = b""
    prefix: str = ""
    raw: bytes = b""

    @property
    def said(self) -> str:
        """In words."""
        size = f", at {self.head.size} entries" if self.head is not None else ""
        return f"{self.source.name} {WORDS[self.word]}{size}"


@dataclass(frozen=True, slots=True)
class GuardReport:
    """What was asked and answered.

    Args:
        size: of our log here.
        answers: of each source, in their order.
        fork: evidence that two histories were signed; it is to be kept, whatever is done then.
    """

    size: int
    answers: tuple[Answer, ...]
    fork: Fork | None = None

    @property
    def reached(self) -> int:
        """How many gave an answer that says something."""
        return sum(answer.word not in ("away", "unusable") for answer in self.answers)

    @property
    def said(self) -> str:
        """Who was asked and what they said, as one or two sentences."""
        if not self.answers:
            return "Nobody was asked whether this log went on elsewhere."
        return (
            f"Asked whether this log went on elsewhere: {'; '.join(answer.said for answer in self.answers)}."
        )

    @property
    def heads(self) -> list[Answer]:
        """Those that have a head of ours, the largest first."""
        held = [(answer.head.size, answer) for answer in self.answers if answer.head is not None]
        return [answer for _, answer in sorted(held, key=lambda item: -item[0])]

    @property
    def refusal(self) -> StoreRefused | None:
        """Why nothing may be signed; None where nothing speaks against it."""
        if other := [answer for answer in self.answers if answer.word == "other"]:
            return Forked(f"{other[0].said}, and not the one that is here", self.fork)
        if self.fork is not None:
            return Forked("two histories of this log were signed", self.fork)
        if ahead := [answer for answer in self.heads if answer.word == "ahead"]:
            return StoreRefused(
                "rolled_back",
                f"{ahead[0].said}; here are {self.size}: this store was set back, or a copy of it went on",
                "If no other copy runs, get the lost entries back with `vestibule ledger catch-up`.",
            )
        return None


def require(report: GuardReport, start_alone: bool) -> None:
    """Go on only if nothing speaks against signing.

    Args:
        report: of `ask_witnesses`.
        start_alone: whether to go on where nobody could be asked.

    Raises:
        StoreRefused: `rolled_back`, `forked`.
        StoreError: `no_witness`, exit code 75.
    """
    if report.refusal is not None:
        raise report.refusal
    if not report.reached and not start_alone:
        raise StoreError(
            "no_witness",
            "nobody could be asked whether this log went on elsewhere, and [peers] start_alone is false",
            "Make a peer reachable and start again; or set it to true, if this machine was surely not set back.",
        )


async def ask_witnesses(
    origin: str,
    vkeys: Sequence[VerifierKey],
    head: Head,
    reader: TileReader,
    sources: Sequence[Source],
    get: Get,
    signed: bytes = b"",
) -> GuardReport:
    """Ask everybody for the newest head of our own log, all at once.

    Args:
        origin: of our log.
        vkeys: all keys that ever signed it, `KeyRing.known_log_vkeys`.
        head: as committed here.
        reader: its tiles.
        sources: whom to ask.
        get: how.
        signed: the newest of our own notes that is on record; evidence needs one, and none is signed for it.
    """
    answers = await asyncio.gather(*(_ask(origin, vkeys, head, reader, source, get) for source in sources))
    return GuardReport(head.size, tuple(answers), _evidence(vkeys, head, reader, answers, signed))


def sources_of(roster: Roster | None, origin: str) -> list[Source]:
    """Whom a roster lets us ask about our own log: every other member."""
    members = roster.members if roster is not None else ()
    return [Source(member.name, member.url) for member in members if member.origin != origin]


def named(urls: Sequence[str]) -> list[Source]:
    """Sources that a person named by their URLs."""
    return [Source(url, url.rstrip("/")) for url in urls]


def judge_note(
    vkeys: Sequence[VerifierKey], head: Head, reader: TileReader, note: bytes
) -> tuple[Word, Checkpoint | None, bytes]:
    """What a note that somebody holds means for our log.

    Args:
        vkeys, head, reader: as `ask_witnesses`.
        note: as it came.

    Returns:
        The word, the head in it where it is ours, and the note without cosignatures.
    """
    try:
        found = open_checkpoint(note, *vkeys)
        note = bare(note, vkeys)
    except (ProofError, SignatureError):
        return "unusable", None, b""
    if found.size > head.size:
        return "ahead", found, note
    if root_from_tiles(reader, found.size) != found.root:
        return "other", found, note
    return "same" if found.size == head.size else "behind", found, note


def opened(note: bytes, vkeys: Sequence[VerifierKey]) -> Checkpoint | None:
    """A note of ours that is on record; None without one, or where its key is retired and gone."""
    try:
        return open_checkpoint(note, *vkeys) if note else None
    except (ProofError, SignatureError):
        return None


async def _ask(
    origin: str, vkeys: Sequence[VerifierKey], head: Head, reader: TileReader, source: Source, get: Get
) -> Answer:
    try:
        async with asyncio.timeout(ASK_S):
            return await _asked(origin, vkeys, head, reader, source, get)
    except RemoteError:
        return Answer(source, "unusable")
    except (LocalError, TimeoutError):
        return Answer(source, "away")


async def _asked(
    origin: str, vkeys: Sequence[VerifierKey], head: Head, reader: TileReader, source: Source, get: Get
) -> Answer:
    # A mirror or witness has it under the hash of its origin; an export of the log alone at the top.
    for prefix in (f"{origin_hash(origin)}/", ""):
        raw = await get(source.url, prefix + CHECKPOINT, MAX_NOTE_BYTES)
        if raw is None:
            continue
        word, found, note = judge_note(vkeys, head, reader, raw)
        if found is not None:
            return Answer(source, word, found, note, prefix, raw)
        # At the top stands a peer's own log, which is not ours.
        return Answer(source, "unusable" if prefix else "nothing")
    return Answer(source, "nothing")


def _evidence(
    vkeys: Sequence[VerifierKey], head: Head, reader: TileReader, answers: Sequence[Answer], signed: bytes
) -> Fork | None:
    held = [(answer.head, answer.note) for answer in answers if answer.head is not None]
    for number, (one, one_note) in enumerate(held):
        for another, another_note in held[:number]:
            if one.size == another.size and one.root != another.root:
                return Fork(another_note, one_note, one.root, ())
    own = opened(signed, vkeys)
    if own is None:
        return None
    for answer in answers:
        there = answer.head
        if answer.word != "other" or there is None or not there.size <= own.size <= head.size:
            continue
        fork = fork_from_tiles(reader, answer.note, there.size, there.root, bare(signed, vkeys), own.size)
        if fork is None:
            continue
        try:
            verify_fork(fork, *vkeys)
        except ProofError:
            continue  # our own note is not of what is here: nothing that others could check
        return fork
    return None
