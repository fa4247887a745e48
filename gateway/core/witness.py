"""Our witness: logs ask it for cosignatures, monitors for what it cosigned last (C2SP tlog-witness v1.0.0).

Guards the promise of a cosignature: of each log this is the largest head that was seen, and it continues all earlier
ones. So what a request changes is written down before its answer leaves, and no request is looked at in between: the
caller performs what `add_checkpoint` returns, in order, before it sends the answer, under the one lock of `Logs`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.core.contradiction import Alarm, contradiction, own_head
from gateway.core.follow import Followed, Keep, KeepFork, Logs, Shelves
from gateway.errors import ProofError, SignatureError
from gateway.keys.sign import SigningKey
from gateway.tlog.checkpoint import Checkpoint, cosign, parse_checkpoint
from gateway.tlog.cosigned import bare
from gateway.tlog.merkle import EMPTY_ROOT, verify_consistency
from gateway.tlog.note import Note, VerifierKey, parse_note, verify_note
from gateway.tlog.text import decode_hash, encode_base64
from gateway.tlog.tiles import consistency_from_tiles
from gateway.tlog.witness import AddCheckpoint, parse_add_checkpoint

SIZE_TYPE = "text/x.tlog.size"
TEXT_TYPE = "text/plain; charset=utf-8"
_ORIGIN_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a request over HTTP."""

    status: int
    content_type: str
    body: bytes


Answered = tuple[list[Keep | Alarm], Answer]
"""What to do first, in this order, and what to answer then."""


class Witness:
    """Answers what logs and monitors ask.

    Args:
        name: of the witness key.
        key: the witness key; its own, as a cosignature does not cover the name.
        logs: what is followed; shared with gossip and mirrors.
        shelves: entries and tiles of logs whose data is here.
    """

    def __init__(self, name: str, key: SigningKey, logs: Logs, shelves: Shelves) -> None:
        self.name = name
        self._key = key
        self._logs = logs
        self._shelves = shelves
        # origin -> text and line of the last cosignature: monitors are shown the line that the log was given
        self._lines: dict[str, tuple[str, str]] = {}
        self._suspects: set[str] = set()

    def add_checkpoint(self, body: bytes, now_s: int) -> Answered:
        """Answer `POST <prefix>/add-checkpoint`.

        The order of the checks is part of the interface: 400 the request does not parse, 404 unknown log, 403 not
        signed by it, 400 the old size is above the new one, 409 the old size is not the one that was cosigned last,
        422 the two heads are not consistent, 200.

        Args:
            body: at most 16 KiB, larger ones are refused.
            now_s: seconds since 1970, positive.
        """
        try:
            request = parse_add_checkpoint(body)
            note = parse_note(request.note)
            checkpoint = _read(note.text)
        except ProofError as error:
            return [], _refused(400, error.message)
        log = self._logs.of(checkpoint.origin)
        if log is None:
            return [], _refused(404, "this log is not known here")
        if problem := _unsigned(note, log):
            return [], _refused(403, problem)
        signed = bare(request.note, log.vkeys)
        if log.ours and (alarm := self._stranger(log, checkpoint, signed)):
            return [alarm], _refused(403, "this is our own log, and it has no such head")
        if checkpoint.extensions and log.data:
            # peers pass the heads of members on without them, so one of them must not get what the others would refuse
            return [], _refused(400, "checkpoints of members have no extension lines")
        if request.old_size > checkpoint.size:
            return [], _refused(400, "the old size is above the size of the checkpoint")
        if request.old_size != log.size:
            found = self._evidence(log, checkpoint, signed, (), now_s)
            return found, Answer(409, SIZE_TYPE, b"%d\n" % log.size)
        try:
            verify_consistency(log.size, checkpoint.size, request.proof, log.root, checkpoint.root)
        except ProofError as error:
            found = self._evidence(log, checkpoint, signed, request.proof, now_s)
            return found, _refused(422, error.message)
        line = self._cosign(log, checkpoint, note.text, now_s)
        if log.note and (before := parse_note(log.note)).text == note.text:
            # The same head: while the log's key is rotated, anybody may leave one of its signatures out.
            now = parse_note(signed).signatures
            more = set(now).difference(before.signatures)
            both = Note(note.text, now + before.signatures)
            signed = bare(both.encode(), log.vkeys) if more else log.note
        # a refresh of the same head changes nothing that would have to be written down again
        keeps: list[Keep | Alarm] = [] if signed == log.note else [log.advance(checkpoint, signed)]
        return keeps, Answer(200, TEXT_TYPE, line.encode())

    def cosign_own(self, note: bytes, now_s: int) -> tuple[list[Keep | Alarm], str]:
        """Cosign a head of our own log, as any other log's.

        Args:
            note: a signed head, at most as large as our log on disk.
            now_s: seconds since 1970.

        Returns:
            What to do first, and the signature line with its line end; "" where it is not to be cosigned, because
            this witness promised a larger head, or one that our log does not have: then there is an alarm.

        Raises:
            ProofError: the note is no signed checkpoint of a log that is followed.
            VestibuleError: the tiles cannot be read.
        """
        checkpoint = parse_checkpoint(parse_note(note).text)
        log = self._logs.of(checkpoint.origin)
        if log is None or not log.ours:
            raise ProofError("checkpoint_origin", "a checkpoint is of another log than ours")
        shelf = self._shelves(log.origin)
        if checkpoint.size >= log.size:
            proof = consistency_from_tiles(shelf, log.size, checkpoint.size)
            body = AddCheckpoint(log.size, tuple(proof), note).encode()
            keeps, answer = self.add_checkpoint(body, now_s)
            if answer.status == 200 or keeps:
                return keeps, answer.body.decode() if answer.status == 200 else ""
        alarm = own_head(log, shelf, log.note, self.name) if log.note else None
        return [alarm] if alarm else [], ""

    def monitor(self, origin_hash: str, now_s: int) -> bytes | None:
        """Answer `GET <prefix>/<origin hash>/checkpoint`.

        Args:
            origin_hash: lower-case hex of the SHA-256 of a log's name.
            now_s: seconds since 1970, positive.

        Returns:
            The newest head of which this witness promised that it continues all earlier ones, with the log's
            signatures and ours; None where there is none.
        """
        if _ORIGIN_HASH.fullmatch(origin_hash) is None:
            return None
        log = self._logs.of_hash(bytes.fromhex(origin_hash))
        if log is None or not log.note:
            return None
        text = parse_note(log.note).text
        known, line = self._lines.get(log.origin, ("", ""))
        if known != text:
            if log.frozen:
                return None  # what was cosigned before stays true, but nothing more is cosigned
            line = self._cosign(log, parse_checkpoint(text), text, now_s)
        return log.note + line.encode()

    def _cosign(self, log: Followed, checkpoint: Checkpoint, text: str, now_s: int) -> str:
        line = cosign(checkpoint, self.name, self._key, now_s)
        self._lines[log.origin] = text, line
        return line

    def _stranger(self, log: Followed, checkpoint: Checkpoint, signed: bytes) -> Alarm | None:
        if checkpoint.size == 0:
            return None
        return own_head(log, self._shelves(log.origin), signed, self.name)

    def _evidence(
        self,
        log: Followed,
        checkpoint: Checkpoint,
        signed: bytes,
        proof: tuple[bytes, ...],
        now_s: int,
    ) -> list[Keep | Alarm]:
        if log.ours or log.origin in self._suspects:
            return []
        shelf = self._shelves(log.origin) if log.data else None
        fork = contradiction(log, shelf, checkpoint, signed, proof)
        if fork is None:
            return []
        # Of a log outside the roster evidence is kept, once, but it is not frozen: nobody could lift that, and a
        # witness goes on from the head it promised (tlog-witness: it must not cosign the other one).
        if log.data:
            log.frozen, log.fork = True, fork
        self._suspects.add(log.origin)
        return [KeepFork(log.origin, fork, now_s * 1000)]


def _read(text: str) -> Checkpoint:
    """A checkpoint, also one that claims a wrong root for the empty tree: that is no 400, but 422 after all else."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[1] != "0":
        return parse_checkpoint(text)
    root = decode_hash(lines[2], "checkpoint")
    empty = parse_checkpoint("\n".join((*lines[:2], encode_base64(EMPTY_ROOT), *lines[3:])))
    return Checkpoint(empty.origin, 0, root, empty.extensions)


def _unsigned(note: Note, log: Followed) -> str:
    """Why a note is not one that this log signed; "" if it is."""
    if log.frozen:
        return "there is evidence against this log; its key is no longer trusted here"
    try:
        signers: list[VerifierKey] = verify_note(note, log.vkeys)
    except SignatureError as error:
        return error.message
    return "" if any(signer.name == log.origin for signer in signers) else "not signed in the name of its log"


def _refused(status: int, why: str) -> Answer:
    return Answer(status, TEXT_TYPE, f"{why}\n".encode())
