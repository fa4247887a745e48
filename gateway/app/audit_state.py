"""What a monitor remembers of the logs it follows: one folder for each log in the state directory.

Guards two rules. What was seen is durable before anything is said of it, so that a log cannot take it back; and a state
that is damaged, of another log, or of another program is refused, never begun anew in silence: with it would go what a
log could be convicted with. One run at a time uses a log's folder.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec

from gateway.app.audit_hashes import Hashes
from gateway.core.roster import parse_roster
from gateway.errors import ProofError, RemoteError, StoreError, StoreRefused
from gateway.store.layout import disk_error, fsync_dir, write_all
from gateway.tlog.checkpoint import open_checkpoint, origin_hash
from gateway.tlog.fork import MAX_FORK_BYTES, parse_fork, verify_fork
from gateway.tlog.merkle import EMPTY_ROOT
from gateway.tlog.note import MAX_NOTE_BYTES, VerifierKey, parse_vkey
from gateway.tlog.tiles import root_from_tiles

FORMAT: Final = 1
MARKER: Final = "vestibule-audit"
"""Tells a state directory from any other."""
STATE: Final = "state"
HEADS: Final = "heads"
LOCK: Final = "lock"
EVIDENCE: Final = "evidence-"
FILE_MODE: Final = 0o644  # all in it is public
MAX_STATE_BYTES: Final = 256 * 1024 * 1024  # ours; about 80 bytes for each session and device of a log
MAX_FAULTS: Final = 100
MAX_HEAD_LINE_BYTES: Final = (
    2 * MAX_NOTE_BYTES + 100
)  # JSON writes a line end or a quotation mark as two bytes


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A head that was seen and verified."""

    size: int
    root: bytes
    note: bytes
    """The signed checkpoint with all its cosignatures."""
    seen_ms: int
    """When this monitor first saw this size and root, UTC."""


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key of the log."""

    vkey: str
    entry: int | None = None
    """Index of the `key.rotate` entry that brought it; None of one that was given by hand."""


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something in the log that is not as it must be; a log keeps it for ever, and so does its monitor."""

    code: str
    message: str
    entry: int
    seen_ms: int


class Fold(msgspec.Struct, forbid_unknown_fields=True):
    """What follows from the entries that were read."""

    gateways: list[str] = []
    """DIDs that may sign entries; the last one signs now."""
    batch: int = 0
    """Number of the newest batch."""
    objects: dict[str, tuple[int, str]] = {}
    """Object -> entries of it, and the hash of its newest body, unpadded base64url."""
    types: dict[str, int] = {}
    """Type -> entries."""
    newest_ms: int = 0
    """The latest `at_ms`."""
    roster: bytes = b""
    """The newest signed roster."""


class State(msgspec.Struct, forbid_unknown_fields=True):
    """All that is known of one log."""

    origin: str
    format: int = FORMAT
    keys: list[Key] = []
    head: Head | None = None
    """The largest head that continues all earlier ones."""
    whole: Head | None = None
    """The newest one whose every leaf hash is here."""
    checked: int = 0
    """Entries that were read and verified; so many leaf hashes are here."""
    kind: str = ""
    """`vestibule`, `other`, or empty while no entry was read."""
    fold: Fold = msgspec.field(default_factory=Fold)
    older_ms: int = 0
    """Since when an older head is served; 0 while that is not so."""
    faults: list[Fault] = []
    evidence: str = ""
    """File name of the evidence against the log."""

    @property
    def vkeys(self) -> list[VerifierKey]:
        """Every key that was ever taken as the log's."""
        return [parse_vkey(key.vkey) for key in self.keys]


class LogFolder:
    """The folder of one log, held by one run; a context manager.

    Args:
        state_dir: made if it is not there.
        origin: of the log.

    Raises:
        StoreRefused: `audit_foreign`, the directory is something else; `audit_newer`.
        StoreError: `audit_running`, another run holds it; `disk_io`, `disk_full`.
    """

    def __init__(self, state_dir: Path, origin: str) -> None:
        self.path = state_dir / origin_hash(origin)
        self.origin = origin
        self._lock = -1
        try:
            _mark(state_dir)
            if not self.path.is_dir():
                self.path.mkdir(exist_ok=True)
                fsync_dir(state_dir)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._lock = os.open(self.path / LOCK, flags, FILE_MODE)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.hashes = Hashes(self.path)
        except BlockingIOError:
            os.close(self._lock)
            raise StoreError(
                "audit_running",
                f"another run follows {origin} with this state",
                "Wait for it, or give this one a state directory of its own.",
            ) from None
        except OSError as error:
            if self._lock >= 0:
                os.close(self._lock)
            raise disk_error(error, "the state directory cannot be used") from error

    def __enter__(self) -> LogFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hashes.close()
        os.close(self._lock)

    def load(self) -> State:
        """What is remembered; a new state where there is none.

        Raises:
            StoreRefused: `audit_damaged`, `audit_foreign`, `audit_newer`.
            StoreError: `disk_io`.
        """
        try:
            with (self.path / STATE).open("rb") as file:
                data = file.read(MAX_STATE_BYTES + 1)
        except FileNotFoundError:
            if (self.path / HEADS).exists():
                raise self.damaged("it has heads and no state") from None
            return State(self.origin)
        except OSError as error:
            raise disk_error(error, "the state cannot be read") from error
        line, _, digest = data.partition(b"\n")
        if digest != sha256(line).hexdigest().encode() + b"\n":
            raise self.damaged("its checksum is not that of its bytes")
        try:
            if msgspec.json.decode(line, type=_Any).format > FORMAT:
                raise StoreRefused(
                    "audit_newer",
                    f"the state in {self.path} was written by a newer Vestibule",
                    "Use that one, or another state directory.",
                )
            state = msgspec.json.decode(line, type=State)
            self._check(state)
        except (msgspec.DecodeError, RemoteError) as error:
            raise self.damaged(str(error)) from None
        return state

    def save(self, state: State) -> None:
        """Write the state, and the leaf hashes before it; durable when it returns.

        Raises:
            StoreRefused: `audit_size`, the log has more to be remembered than anybody has.
            StoreError: `disk_full`, `disk_io`.
        """
        line = msgspec.json.encode(state)
        if len(line) > MAX_STATE_BYTES - 100:
            raise StoreRefused(
                "audit_size",
                f"the log {self.origin} has too many objects to be remembered",
                "Follow its tree alone, with --no-entries and another state directory.",
            )
        try:
            self.hashes.sync()
            self._replace(STATE, line + b"\n" + sha256(line).hexdigest().encode() + b"\n")
        except OSError as error:
            raise disk_error(error, "the state cannot be written") from error

    def remember(self, head: Head) -> None:
        """Add a head to those that were seen; durable when it returns.

        Raises:
            StoreError: `disk_full`, `disk_io`.
        """
        line = msgspec.json.encode({"seen_ms": head.seen_ms, "note": head.note.decode()}) + b"\n"
        try:
            fd = os.open(self.path / HEADS, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
            try:
                end = os.fstat(fd).st_size
                if end and os.pread(fd, 1, end - 1) != b"\n":
                    line = b"\n" + line  # a line that a crash cut short stays alone
                write_all(fd, line, end)
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise disk_error(error, "a head cannot be written down") from error

    def heads(self) -> Iterator[bytes]:
        """The signed checkpoints that were seen, oldest first; what is no line of ours is passed over.

        Raises:
            StoreError: `disk_io`.
        """
        try:
            with (self.path / HEADS).open("rb") as file:
                while line := file.readline(MAX_HEAD_LINE_BYTES):
                    try:
                        yield msgspec.json.decode(line, type=_Seen).note.encode()
                    except (msgspec.DecodeError, UnicodeError):
                        continue
        except FileNotFoundError:
            return
        except OSError as error:
            raise disk_error(error, "the heads cannot be read") from error

    def keep_evidence(self, identity: bytes, data: bytes) -> str:
        """Write evidence; durable when it returns.

        Args:
            identity: `fork.fork_id`.
            data: `Fork.encode`.

        Returns:
            The file's name.

        Raises:
            StoreError: `disk_full`, `disk_io`.
        """
        name = f"{EVIDENCE}{identity[:8].hex()}.json"
        try:
            self._replace(name, data)
        except OSError as error:
            raise disk_error(error, "the evidence cannot be written") from error
        return name

    def _evidence(self, name: str) -> bytes:
        if not name.startswith(EVIDENCE) or "/" in name:
            raise ProofError("state", "its evidence has another name than evidence has")
        try:
            with (self.path / name).open("rb") as file:
                return file.read(MAX_FORK_BYTES + 1)
        except FileNotFoundError:
            raise ProofError("state", f"{name} is missing, the evidence against the log") from None
        except OSError as error:
            raise disk_error(error, "the evidence cannot be read") from error

    def damaged(self, why: str) -> StoreRefused:
        """The refusal of a state that is not as it was written."""
        return StoreRefused(
            "audit_damaged",
            f"the state in {self.path} is damaged: {why}",
            "Keep that folder, for the signed heads in it; move it elsewhere, and the next run begins anew.",
        )

    def _replace(self, name: str, data: bytes) -> None:
        beside = self.path / (name + ".new")
        _write(beside, data)
        os.rename(beside, self.path / name)
        fsync_dir(self.path)

    def _check(self, state: State) -> None:
        """Hold a state against itself: its signatures, and the leaf hashes beside it."""
        if state.origin != self.origin:
            raise StoreRefused(
                "audit_foreign",
                f"the state in {self.path} is of the log {state.origin}",
                "Put it back where it was, or use another state directory.",
            )
        for head in (state.head, state.whole):
            if head is not None:
                checkpoint = open_checkpoint(head.note, *state.vkeys)
                if (checkpoint.size, checkpoint.root) != (head.size, head.root):
                    raise ProofError("state", "a head is not the one that was signed")
        if state.fold.roster:
            parse_roster(state.fold.roster)
        if state.evidence:
            verify_fork(parse_fork(self._evidence(state.evidence)), *state.vkeys)
        if state.checked > (state.head.size if state.head else 0) or state.checked < 0:
            raise ProofError("state", "more entries were checked than there are")
        self.hashes.begin(state.checked)
        if state.whole is not None:
            if state.whole.size > state.checked:
                raise ProofError("state", "fewer entries were checked than it says")
            root = root_from_tiles(self.hashes, state.whole.size) if state.whole.size else EMPTY_ROOT
            if root != state.whole.root:
                raise ProofError("state", "the leaf hashes are not those of the head that was signed")


def last_head(state_dir: Path, origin: str) -> Head | None:
    """The last head seen of another log, to compare with; None where this state knows none."""
    try:
        line = (state_dir / origin_hash(origin) / STATE).read_bytes().partition(b"\n")[0]
        state = msgspec.json.decode(line, type=State)
    except (OSError, msgspec.DecodeError):
        return None
    return state.head if state.origin == origin else None


class _Any(msgspec.Struct):
    format: int


class _Seen(msgspec.Struct):
    seen_ms: int
    note: str


def _mark(state_dir: Path) -> None:
    """Make the directory a state directory, or see that it is one."""
    marker, beside = state_dir / MARKER, state_dir / f"{MARKER}.new"
    if state_dir.exists() and not (state_dir.is_dir() and set(os.listdir(state_dir)) <= {beside.name}):
        if not marker.is_file():
            raise StoreRefused(
                "audit_foreign",
                f"{state_dir} is something else than the state directory of a monitor",
                "Name an empty directory with --state, or a new one.",
            )
    else:
        state_dir.mkdir(parents=True, exist_ok=True)
        _write(beside, f"{FORMAT}\n".encode())
        os.rename(beside, marker)
        fsync_dir(state_dir)
    if marker.read_bytes() != f"{FORMAT}\n".encode():
        raise StoreRefused(
            "audit_newer",
            f"{state_dir} is the state directory of another release",
            "Use that one, or another state directory.",
        )


def _write(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        write_all(fd, data, 0)
        os.fsync(fd)
    finally:
        os.close(fd)
