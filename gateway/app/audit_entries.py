"""Reads the entries of a log in order: signatures, types, what each object and batch continues, and what people should
know of.

Every entry comes proven by a signed head, so a fault here is the log's, for ever; it is remembered and told in each
run. A log whose first entry is none of Vestibule's is followed by its tree alone. Source: docs/store-format.md,
"Entries".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.app.audit_report import Audited
from gateway.app.audit_state import MAX_FAULTS, Fault, Head, Key, State
from gateway.core.roster import check_first, check_next, parse_roster
from gateway.entries.envelope import Body, b64u, canonical, decode_entry, object_hash, verify_entry
from gateway.entries.rotation import ENTRY, LOG, verify_rotation
from gateway.entries.types import UNKNOWN, check_body
from gateway.errors import ProofError, SignatureError, WireError
from gateway.keys.did import parse_did_key
from gateway.tlog.note import parse_vkey

OURS: Final = "vestibule"
OTHER: Final = "other"
ASK: Final = "Ask the clinic: an entry never changes, so this stays in the log."
WRONG, OTHER_TYPES = "?", "*"
"""Names under which entries are counted that do not verify, or are of one type too many."""
MAX_TYPES: Final = 64
"""Ours; a log could otherwise fill the state with names."""
TOLD: Final = 20
"""As many findings of one code are told in a run; the others are counted."""


def is_ours(data: bytes) -> bool:
    """Tell whether leaf data has the form of an entry of Vestibule."""
    try:
        decode_entry(data)
    except WireError:
        return False
    return True


class EntryCheck:
    """The entries of one log, from where the last run stopped.

    Args:
        state: what is known; its `fold`, `keys` and `faults` are kept up.
        told: where findings go.
        root_at: root of the log at a size up to the entry that is read.
        elsewhere: the last head seen of another log, by its origin.
    """

    def __init__(
        self,
        state: State,
        told: Audited,
        root_at: Callable[[int], bytes],
        elsewhere: Callable[[str], Head | None],
    ) -> None:
        self._state, self._told = state, told
        self._root_at, self._elsewhere = root_at, elsewhere
        self._counts: dict[str, int] = {}
        self._unknown: dict[str, int] = {}
        self._publics: dict[str, bytes] = {}
        self._earlier: list[tuple[int, str, str]] = []
        self._before = parse_roster(state.fold.roster) if state.fold.roster else None

    def entry(self, index: int, data: bytes) -> None:
        """Check the next entry.

        Args:
            index: of the entry.
            data: its leaf data, proven by a head.
        """
        fold = self._state.fold
        try:
            entry = decode_entry(data)
            gateway = self._gateway(entry.body)
            verify_entry(entry, self._public_of(gateway))
            kind = check_body(entry.body)
        except (WireError, SignatureError) as error:
            self._fault("entry", f"entry {index} does not verify: {error.message}", index)
            self._count(WRONG)
            return
        if not fold.gateways:
            fold.gateways.append(gateway)
        body = entry.body
        name = str(body["type"])
        self._count(name)
        at_ms = body.get("at_ms")
        if isinstance(at_ms, int):
            fold.newest_ms = max(fold.newest_ms, at_ms)
        if kind == UNKNOWN:
            self._unknown[name] = self._unknown.get(name, 0) + 1
        elif "object" in body:
            self._object(index, body)
        match kind:
            case "batch":
                self._batch(index, body)
            case "key.rotate":
                self._rotation(index, body)
            case "roster":
                self._roster(index, body)
            case "log.adopt" | "log.restore":
                self._root(index, kind, body)
            case "log.generation":
                self._generation(index, body)

    def finish(self) -> None:
        """Tell what was only counted, and what could be judged only when all was read."""
        self._judge_earlier()
        for name, count in sorted(self._unknown.items())[:TOLD]:
            self._told.add(
                "note",
                "unknown_type",
                f"{count} of the entries read are of the type {name}, which this release does not know: their "
                "signatures hold, and nothing else of them was checked",
                "Audit with a newer release.",
            )
        for code, count in self._counts.items():
            if count > TOLD:
                self._told.add("note", "more", f"{count - TOLD} more findings like `{code}` are not listed")

    def _judge_earlier(self) -> None:
        """Log keys that were replaced by others before those that were given: good if they lead to a known one.

        Nothing is accepted for their sake; who begins to watch afterwards was given the newer key.
        """
        known = {key.vkey for key in self._state.keys}
        for index, old, new in reversed(self._earlier):
            if new in known:
                known.add(old)
                self._note(
                    "key_rotated",
                    f"entry {index}: the log key {old} was replaced by {new}, before the keys that are known here",
                    "",
                    index,
                )
            else:
                self._fault(
                    "key_rotate",
                    f"entry {index} changes the log key, and does not hold: {old} is no key that is known of this log",
                    index,
                )

    def _count(self, name: str) -> None:
        types = self._state.fold.types
        name = name if name in types or len(types) < MAX_TYPES else OTHER_TYPES
        types[name] = types.get(name, 0) + 1

    def _gateway(self, body: Body) -> str:
        """Whose entry it is: of the gateway that signed the first one, until that one hands over."""
        known, gateway = self._state.fold.gateways, body.get("gateway")
        if not isinstance(gateway, str):
            raise WireError("entry_body", "it names no gateway")
        if known and gateway != known[-1]:
            why = (
                "it is of an entry key that was replaced" if gateway in known else "it is of another gateway"
            )
            raise WireError("entry_body", why)
        return gateway

    def _public_of(self, gateway: str) -> bytes:
        if gateway not in self._publics:
            self._publics = {gateway: parse_did_key(gateway)}
        return self._publics[gateway]

    @property
    def _is_next(self) -> bool:
        """Whether this log takes the place of another, whose numbers may go on here."""
        return self._state.fold.types.get("log.generation", 0) > 0

    def _object(self, index: int, body: Body) -> None:
        objects, name = self._state.fold.objects, str(body["object"])
        count, before = objects.get(name, (0, ""))
        # What began in the log whose place this one takes goes on here.
        began_before = not count and self._is_next
        if not began_before and (body["seq"] != count or body["prev"] != (before or None)):
            self._fault("object", f"entry {index} does not follow the entry before it of its object", index)
        objects[name] = (int(str(body["seq"])) + 1, b64u(object_hash(body)))

    def _batch(self, index: int, body: Body) -> None:
        fold, number = self._state.fold, int(str(body["batch"]))
        if number != fold.batch + 1 and not (fold.batch == 0 and self._is_next):
            self._fault(
                "batch_number",
                f"entry {index} is batch {number}, after batch {fold.batch}: they must follow one another",
                index,
            )
        fold.batch = number

    def _rotation(self, index: int, body: Body) -> None:
        state, role, old, new = self._state, str(body["role"]), str(body["old"]), str(body["new"])
        try:
            verify_rotation(body)
            if role == LOG and parse_vkey(new).name != state.origin:
                raise SignatureError("rotation_signature", "the new key is of another log")
            if role == ENTRY and old != state.fold.gateways[-1]:
                raise SignatureError("rotation_signature", "the old key is not the one that signs entries")
        except (SignatureError, ProofError) as error:
            self._fault(
                "key_rotate", f"entry {index} changes the {role} key, and does not hold: {error}", index
            )
            return
        if role == LOG and old not in {key.vkey for key in state.keys}:
            self._earlier.append((index, old, new))
            return
        if role == LOG:
            state.keys = [*(key for key in state.keys if key.vkey != new), Key(new, index)]
        elif role == ENTRY:
            state.fold.gateways.append(new)
        self._note(
            "key_rotated",
            f"entry {index}: the {role} key {old} was replaced by {new}, and both signed that; from now on the new "
            "one is accepted",
            "Compare it with what the clinic publishes.",
            index,
        )

    def _roster(self, index: int, body: Body) -> None:
        document = body["roster"]
        assert isinstance(document, dict)  # check_body
        before = self._before.roster if self._before else None
        try:
            signed = parse_roster(canonical(document))
            roster = signed.roster
            same = before is not None and before.federation == roster.federation
            if before is None or not same or roster.version > before.version + 1:
                check_first(signed)
            elif roster.version == before.version + 1:
                check_next(signed, before)
            elif (roster.version, roster.hash()) != (before.version, before.hash()):
                raise WireError("roster", f"it is version {roster.version}, after version {before.version}")
        except (WireError, SignatureError) as error:
            self._fault("roster", f"the roster in entry {index} does not hold: {error.message}", index)
            return
        self._before, self._state.fold.roster = signed, signed.raw
        gap = ""
        if before is not None and not same:
            gap = ", of another federation than before"
        elif before is not None and roster.version > before.version + 1:
            gap = f", after version {before.version}: whether those between hold is not in this log"
        names = ", ".join(member.name for member in roster.members)
        self._note(
            "new_roster",
            f"entry {index}: version {roster.version} of the roster holds{gap}; its gateways are {names}",
            "A --policy of another version is out of date.",
            index,
        )

    def _root(self, index: int, kind: str, body: Body) -> None:
        size = int(str(body["size"]))
        fits = size <= index if kind == "log.restore" else size == index
        if not fits or b64u(self._root_at(size)) != body["root"]:
            code = "adopt" if kind == "log.adopt" else "restore"
            self._fault(code, f"entry {index} ({kind}) tells of a log that was not this one", index)
            return
        if kind == "log.adopt":
            self._note(
                "adopted",
                f"entry {index}: the store was taken over from elsewhere at {size} entries ({body['reason']})",
                "Ask the clinic what happened to the old copy: it must never run again.",
                index,
            )
            return
        first = int(str(body["first"]))
        self._note(
            "restored",
            f"entry {index}: entries {first} to {size - 1} came back from copies elsewhere ({body['reason']}); what "
            "their batches held may be lost",
            "Ask the clinic which recordings it still has.",
            index,
        )

    def _generation(self, index: int, body: Body) -> None:
        origin, size = str(body["old_origin"]), int(str(body["size"]))
        self._note(
            "new_generation",
            f"entry {index}: this log takes the place of {origin}, which ended at {size} entries ({body['reason']})",
            "Compare that with the last head you have of the old log: what is beyond it there is missing here.",
            index,
        )
        seen = self._elsewhere(origin)
        if seen is None:
            return
        if seen.size == size and b64u(seen.root) != body["root"]:
            self._fault(
                "generation", f"entry {index} ends {origin} with another root than was seen of it", index
            )
        elif seen.size > size:
            self._note(
                "generation_short",
                f"{seen.size - size} entries of {origin} that were seen are left out by the log that takes its place",
                "Ask the clinic what became of them; the heads in this state show that they were signed.",
                index,
            )

    def _note(self, code: str, message: str, hint: str, index: int) -> None:
        if self._counted(code):
            self._told.add("note", code, message, hint, index)

    def _fault(self, code: str, message: str, index: int) -> None:
        if self._counted(code):
            self._told.add("fault", code, message, ASK, index)
        if len(self._state.faults) < MAX_FAULTS:
            self._state.faults.append(Fault(code, message, index, self._told.at_ms))

    def _counted(self, code: str) -> bool:
        self._counts[code] = self._counts.get(code, 0) + 1
        return self._counts[code] <= TOLD
