"""Checks the log from its bytes: entries and their signatures, tiles, head, checkpoint, mark, and what entries name.

One walk over the entries. Each leaf is held against its tile, so that where both are sound by themselves and differ,
both are named.
"""

from __future__ import annotations

from typing import Final

from gateway.app.known import Known
from gateway.app.release import open_text
from gateway.app.report import Findings
from gateway.app.rotations import Rotation, first_gateway, rotation_of, rotations_of
from gateway.app.verify_tiles import TileCheck
from gateway.core.records import BatchRow, Session
from gateway.entries.envelope import Body, b64u, decode_entry, object_hash, unb64u, verify_entry
from gateway.entries.rotation import verify_rotation
from gateway.entries.types import OBJECT_BYTES, UNKNOWN, check_body
from gateway.errors import Damage, SignatureError, WireError
from gateway.keys.did import did_key, parse_did_key
from gateway.store.mark import MarkValue
from gateway.store.snapshot import Snapshot
from gateway.tlog import merkle
from gateway.tlog.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from gateway.tlog.tiles import TILE_WIDTH
from gateway.wire.kinds import KINDS

BATCH_FIELDS: Final = ("parts", "frames", "samples", "opened_s", "sealed_s")


class LogCheck:
    """One check of the log.

    Args:
        snapshot: the database.
        found: where to report to.
        known: keys that are here.
        mark: what was last signed; None without a mark.
    """

    def __init__(self, snapshot: Snapshot, found: Findings, known: Known, mark: MarkValue | None) -> None:
        self._snapshot = snapshot
        self._found = found
        self._known = known
        self._mark = mark
        self._size = snapshot.head().size
        self._gateway = self._first_gateway()
        self._public = b""
        self._rotated: dict[str, Rotation] = {}
        self._tree = TileCheck(snapshot, found, self._size)
        self._objects: dict[str, tuple[int, bytes]] = {}
        self._opened: dict[str, str] = {}
        self._rows = snapshot.iter_batches()
        self._last = 0
        self._later = False
        self.refused: dict[int, int] = {}
        """Batch -> frames refused, as its entry says."""
        self.lost: list[range] = []
        """Entries that came back from mirrors: what their batches held may be lost."""

    def run(self) -> None:
        """Check everything.

        Raises:
            Damage: the first fault, if that ends the check.
        """
        found, size = self._found, self._size
        at = 0
        for index, data in self._snapshot.iter_entries():
            while at < min(index, size):
                self._missing(at)
                at += 1
            if index != at or index >= size:
                found.fault("entry_beyond", f"entry {index} lies beyond the head of the log", entry=index)
                break
            self._entry(index, data)
            at += 1
            if not at % TILE_WIDTH:
                found.progress("entries", at, size)
        while at < size:
            self._missing(at)
            at += 1
        if (row := next(self._rows, None)) is not None:
            found.fault("batch_entry", f"batch {row.batch} has no entry", batch=row.batch)
        self._tree.finish()
        self._check_head()
        self._check_sessions()
        found.progress("entries", size, size)

    def _first_gateway(self) -> str:
        """The DID under which the log must begin; empty where no key here says it."""
        ring = self._known.ring
        if ring is None:
            return ""
        rotated = rotations_of(self._snapshot)
        now = did_key(ring.entry.public)
        if ring.next_entry is not None:
            following = did_key(ring.next_entry.public)
            # A rotation was interrupted: where the log tells of it already, the new key is the one that counts.
            now = following if any(one.new == following for one in rotated) else now
        first = first_gateway(rotated, now)
        behind = self._mark is None or self._mark.size > self._size
        if behind and first == now and self._begins_otherwise(now):
            # An old copy beside newer keys: what led from one to the other stands in entries that are not here.
            self._found.note(
                "The entries here are of another entry key than the one that is here: an older one."
            )
            return ""
        return first

    def _begins_otherwise(self, gateway: str) -> bool:
        data = self._snapshot.entry(0)
        try:
            return data is not None and decode_entry(data).body.get("gateway") != gateway
        except WireError:
            return False

    # ---- entries ----------------------------------------------------------------------------------------------

    def _missing(self, index: int) -> None:
        self._found.fault("entry_missing", f"entry {index} is not in the database", entry=index)
        self._leaf(index, None)

    def _entry(self, index: int, data: bytes) -> None:
        self._found.report.entries += 1
        try:
            entry = decode_entry(data)
            self._check_gateway(entry.body, index)
            verify_entry(entry, self._public)
            kind = check_body(entry.body)
            if kind == "key.rotate":
                verify_rotation(entry.body)
        except (WireError, SignatureError) as error:
            self._found.fault("entry", f"entry {index}: {error.message}", entry=index)
            self._leaf(index, None)
            return
        body = entry.body
        if kind in ("log.adopt", "log.restore") and (body["size"], body["root"]) != (
            index,
            b64u(self._tree.root()),
        ):
            self._found.fault("adopt", f"entry {index} goes on with a log that was not this one", entry=index)
        if kind == "batch":
            self._batch(index, body)
        elif kind == "key.rotate":
            self._rotation(rotation_of(index, body))
        elif kind == "log.restore":
            self.lost.append(range(int(str(body["first"])), int(str(body["size"]))))
        elif kind == "log.generation":
            self._generation(index, body)
        elif kind == UNKNOWN:
            self._found.report.unknown += 1
        if "object" in body:
            self._object(index, body)
        if "commit" in body:
            self._commit(index, body)
        self._leaf(index, merkle.leaf_hash(data))

    def _check_gateway(self, body: Body, index: int) -> None:
        gateway = body.get("gateway")
        if not isinstance(gateway, str):
            raise WireError("entry_body", "it names no gateway")
        self._gateway = self._gateway or gateway
        if gateway != self._gateway:
            raise WireError("entry_body", "it is of another gateway than this log's")
        self._public = self._public or parse_did_key(gateway)

    def _rotation(self, rotation: Rotation) -> None:
        before = self._rotated.get(rotation.role)
        known = self._gateway if rotation.role == "entry" else before.new if before else rotation.old
        if rotation.old != known:
            self._found.fault(
                "rotation",
                f"entry {rotation.index} rotates a {rotation.role} key that was not in use",
                entry=rotation.index,
            )
        self._rotated[rotation.role] = rotation
        if rotation.role == "entry":
            # What follows is signed by the new key alone.
            self._gateway, self._public = rotation.new, parse_did_key(rotation.new)

    def _generation(self, index: int, body: Body) -> None:
        origin = self._snapshot.meta("origin")
        if index or body["old_origin"] == origin:
            self._found.fault(
                "generation", f"entry {index} begins another generation in the midst of this log", entry=index
            )
        else:
            self._later = True
            self._found.note(
                f"This log goes on from {body['old_origin']}, which ended at {body['size']} entries."
            )

    def _batch(self, index: int, body: Body) -> None:
        number = int(str(body["batch"]))
        row: BatchRow | None = next(self._rows, None)
        while row is not None and row.batch < number:
            self._found.fault("batch_entry", f"batch {row.batch} has no entry", batch=row.batch)
            row = next(self._rows, None)
        self._last, before = number, self._last
        if number != before + 1:
            self._found.fault(
                "batch_number", f"entry {index} skips to batch {number}", entry=index, batch=number
            )
        self.refused[number] = int(str(body["refused"]))
        if row is None or row.batch != number:
            self._found.fault(
                "batch_missing", f"batch {number} is not in the database", batch=number, entry=index
            )
            return
        same = (row.entry, b64u(row.root)) == (index, body["root"])
        if not same or any(getattr(row, name) != body[name] for name in BATCH_FIELDS):
            self._found.fault(
                "batch_row", f"batch {number} is not what its entry says", batch=number, entry=index
            )

    def _object(self, index: int, body: Body) -> None:
        name = str(body["object"])
        count, before = self._objects.get(name, (0, b""))
        if self._later and name not in self._objects:
            count = int(str(body["seq"]))  # its earlier entries stand in the log that this one goes on from
        elif body["seq"] != count or body["prev"] != (b64u(before) if count else None):
            self._found.fault(
                "object", f"entry {index} does not follow its object's previous one", entry=index
            )
        if not count:
            self._opened[name] = str(body.get("commit", ""))
        self._objects[name] = (count + 1, object_hash(body))

    def _commit(self, index: int, body: Body) -> None:
        text = self._snapshot.text(unb64u(str(body["commit"])))
        key = self._known.key(text.subject) if text else None
        if text is None or key is None:
            return
        try:
            open_text(text, key)
            self._found.report.texts += 1
        except Damage as damage:
            self._found.damage(damage, entry=index)

    def _leaf(self, index: int, leaf: bytes | None) -> None:
        if self._mark is not None and self._mark.size == self._tree.size:
            self._check_mark(self._mark)
        self._tree.leaf(index, leaf)

    # ---- head -------------------------------------------------------------------------------------------------

    def _check_head(self) -> None:
        found, head = self._found, self._snapshot.head()
        found.report.size, found.report.root = head.size, head.root
        if self._tree.root() != head.root:
            found.fault("root", "the entries do not have the root that the database names", size=head.size)
        if self._mark is None:
            found.note("There is no mark here: the store is a restored backup, or was never finished.")
        elif self._mark.size > head.size:
            message = (
                f"{self._mark.size} entries were signed, and the database has {head.size}: it is an old copy"
            )
            found.fault("rolled_back", message, size=head.size)
        elif self._mark.size == head.size:
            self._check_mark(self._mark)
        else:
            found.note(
                f"The mark stands at {self._mark.size} of {head.size} entries: a commit was under way, or one of the "
                "mark's two records is lost. The next start moves it."
            )
        if self._known.ring is None:
            found.note("The log's key is not here, so no checkpoint was signed and verified.")
            return
        ring = self._known.ring
        note = sign_checkpoint(Checkpoint(ring.origin, head.size, head.root), ring.origin, *ring.log_keys)
        checkpoint = open_checkpoint(note, *ring.log_vkeys)
        if self._snapshot.meta("origin") not in (None, checkpoint.origin):
            found.fault("origin", "the database is of another log than the keys")
        rotated = self._rotated.get("log")
        if rotated is not None and rotated.new != ring.log_vkeys[-1].encode():
            found.note("The log key that is here is older than the one that the log was rotated to.")

    def _check_mark(self, mark: MarkValue) -> None:
        if mark.root != self._tree.root():
            message = f"at {mark.size} entries another root was signed than the entries here give"
            self._found.fault("forked", message, size=mark.size)

    # ---- sessions ---------------------------------------------------------------------------------------------

    def _check_sessions(self) -> None:
        for session in self._snapshot.session_rows(all=True):
            name = b64u(session.commitment[:OBJECT_BYTES])
            if (session.seq, session.prev) != self._objects.get(name, (0, b"")):
                self._found.fault(
                    "session", "a session is not where its entries leave it", session=_hex(session)
                )
            elif self._opened.get(name) != b64u(session.commitment):
                self._found.fault(
                    "session", "a session has another commitment than its entry", session=_hex(session)
                )
            else:
                self._check_opening(session)

    def _check_opening(self, session: Session) -> None:
        text, key = self._snapshot.text(session.commitment), self._known.key(session.subject)
        if text is not None and text.subject != session.subject:
            # Else a session could pass for one whose subject was erased, and none of its frames would be looked at.
            self._found.fault(
                "session", "a session is of another subject than its text", session=_hex(session)
            )
        if text is None or key is None:
            return
        try:
            body = open_text(text, key)
        except Damage:
            return  # told already where its entry was checked
        row: Body = {
            "session": b64u(session.session),
            "devices": list(session.devices),
            "purpose": session.purpose,
            "kinds": [KINDS[number].name if number in KINDS else "" for number in session.kinds],
            "opened_ms": session.opened_ms,
        }
        if any(body.get(name) != value for name, value in row.items()):
            self._found.fault("session", "a session is not what was opened", session=_hex(session))


def _hex(session: Session) -> str:
    return session.session.hex()
