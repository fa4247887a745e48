"""Subject keys and pseudonyms, wrapped under the master epoch key, in a file of their own.

Guards the erasure: no plaintext pseudonym stands in the file, what is deleted is overwritten, no write-ahead log keeps
a copy, and after `rotate` whatever a disk still holds of old rows opens with no key that is left. Source:
docs/store-format.md, "subjects.db".
"""

from __future__ import annotations

import hmac
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from gateway.errors import Damage, Denied, LocalError, SignatureError, StoreError, StoreRefused
from gateway.ids import SubjectRef
from gateway.keys.seal import KEY_BYTES, NONCE_BYTES, hkdf, unwrap, wrap
from gateway.store import schema
from gateway.store.db import sqlite_error
from gateway.store.layout import FORMAT, make_database_file

APPLICATION_ID: Final = 0x5654_5355  # "VTSU"
REF_BYTES: Final = 16
MAX_PSEUDONYM_BYTES: Final = 256  # ours; clinics' numbers have some 20

_TABLE = """
CREATE TABLE subjects (
    ref BLOB PRIMARY KEY, epoch BLOB NOT NULL, find BLOB NOT NULL UNIQUE, wrapped BLOB NOT NULL
) STRICT, WITHOUT ROWID;
"""
_PRAGMAS = (
    "PRAGMA secure_delete=ON",
    "PRAGMA journal_mode=DELETE",  # a write-ahead log would keep what is deleted here
    "PRAGMA synchronous=EXTRA",  # with DELETE only EXTRA makes the end of the journal durable: sqlite.org/pragma.html
    "PRAGMA temp_store=MEMORY",
    "PRAGMA mmap_size=0",
    f"PRAGMA busy_timeout={schema.BUSY_MS}",
    "PRAGMA trusted_schema=OFF",
)


class _Epoch:
    """What follows from one master key."""

    __slots__ = ("find_key", "name", "wrap_key")

    def __init__(self, master: bytes) -> None:
        if len(master) != KEY_BYTES:
            raise LocalError("key_length", f"a master key has {KEY_BYTES} bytes, not {len(master)}")
        self.name = hkdf(master, b"vestibule/master/name/v1", 8)
        self.wrap_key = hkdf(master, b"vestibule/master/wrap/v1")
        self.find_key = hkdf(master, b"vestibule/master/find/v1")

    def find(self, pseudonym: str) -> bytes:
        return hmac.digest(self.find_key, pseudonym.encode(), "sha256")

    def row(self, ref: bytes, pseudonym: str, key: bytes) -> tuple[bytes, bytes, bytes, bytes]:
        plain = msgspec.msgpack.encode((pseudonym, key))
        wrapped = wrap(self.wrap_key, os.urandom(NONCE_BYTES), plain, _aad(ref))
        return (ref, self.name, self.find(pseudonym), wrapped)


class Subjects:
    """The file of subject keys. Blocking; any thread, one call at a time. Everything is durable when it returns.

    Args:
        path: `Layout.subjects`.
        master: 32 bytes, `KeyRing.master`.
        old_master: `KeyRing.old_master`.
        create: make the file if it is not there; only `init` may.

    Raises:
        StoreRefused: `store_missing`, `not_ours`, `newer`, `older`.
        StoreError: `disk_full`, `disk_io`, `store_busy`.
        LocalError: `key_length`.
    """

    __slots__ = ("_connection", "_epochs", "_turn")

    def __init__(self, path: Path, master: bytes, old_master: bytes = b"", *, create: bool = False) -> None:
        self._epochs = [_Epoch(key) for key in (master, old_master) if key]
        self._turn = threading.Lock()
        if create:
            make_database_file(path, "the file of the subjects cannot be made")
        elif not path.exists():
            raise StoreRefused(
                "store_missing",
                f"{path.name} is not there",
                "Restore it from its replica; no backup holds it. Without it recordings cannot be opened.",
            )
        with _errors("the subjects cannot be opened"):
            self._connection = sqlite3.connect(
                schema.uri(path, "rw"), uri=True, isolation_level=None, check_same_thread=False
            )
            try:
                _set_up(self._connection, create)
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """Close the file."""
        with self._turn:
            self._connection.close()

    def create(self, ref: SubjectRef, pseudonym: str, key: bytes) -> None:
        """Add a subject.

        Args:
            ref: 16 random bytes.
            pseudonym: as the clinic writes it; at most 256 bytes of UTF-8.
            key: 32 random bytes.

        Raises:
            LocalError: `subject_fields`, `subject_exists`.
            StoreError: `disk_full`, `disk_io`, `store_busy`; with `fatal=True` the outcome is unknown.
        """
        if (
            len(ref) != REF_BYTES
            or len(key) != KEY_BYTES
            or not 0 < len(pseudonym.encode()) <= MAX_PSEUDONYM_BYTES
        ):
            raise LocalError(
                "subject_fields", "a subject has a reference of 16 bytes, a pseudonym, and a key of 32"
            )
        with self._turn:
            if self._find(pseudonym) is not None:
                raise LocalError("subject_exists", "there is a subject of this pseudonym already")
            row = self._epochs[0].row(ref, pseudonym, key)
            with self._transaction():
                self._connection.execute("INSERT INTO subjects VALUES (?, ?, ?, ?)", row)

    def find(self, pseudonym: str) -> SubjectRef | None:
        """The subject of a pseudonym.

        Raises:
            StoreError: `disk_io`, `store_busy`.
        """
        with self._turn:
            return self._find(pseudonym)

    def key(self, ref: SubjectRef) -> bytes:
        """A subject's key, 32 bytes.

        Raises:
            Denied: `subject_gone`, it was erased, or never was here.
            Damage: `subject_sealed`, no master key that is left opens it.
            StoreError: `disk_io`, `store_busy`.
        """
        with self._turn:
            return self._open(ref)[1]

    def pseudonym(self, ref: SubjectRef) -> str:
        """A subject's pseudonym; raises as `key`."""
        with self._turn:
            return self._open(ref)[0]

    def all_refs(self) -> list[SubjectRef]:
        """All subjects that are not erased.

        Raises:
            StoreError: `disk_io`, `store_busy`.
        """
        with self._turn, _errors("the subjects cannot be read"):
            return [
                SubjectRef(row[0])
                for row in self._connection.execute("SELECT ref FROM subjects ORDER BY ref")
            ]

    def destroy(self, ref: SubjectRef) -> bool:
        """Delete and overwrite a subject's row: the first half of an erase, `rotate` is the second.

        Returns:
            Whether there was one.

        Raises:
            StoreError: as `create`.
        """
        with self._turn, self._transaction():
            return self._connection.execute("DELETE FROM subjects WHERE ref = ?", (ref,)).rowcount == 1

    def rotate(self, master: bytes) -> None:
        """Wrap every row anew under the master key of a new epoch, in one transaction.

        Only after it returned may the old key be given up (`keyfiles.write_masters`).

        Args:
            master: 32 bytes; already durable in the key file.

        Raises:
            Damage: `subject_sealed`; nothing was changed.
            StoreError: as `create`.
        """
        epoch = _Epoch(master)
        with self._turn:
            with self._transaction():
                refs = [row[0] for row in self._connection.execute("SELECT ref FROM subjects")]
                rows = [epoch.row(ref, *self._open(SubjectRef(ref))) for ref in refs]
                self._connection.executemany("INSERT OR REPLACE INTO subjects VALUES (?, ?, ?, ?)", rows)
            self._epochs = [epoch]

    def _find(self, pseudonym: str) -> SubjectRef | None:
        with _errors("the subjects cannot be read"):
            for epoch in self._epochs:
                found = self._connection.execute(
                    "SELECT ref FROM subjects WHERE find = ?", (epoch.find(pseudonym),)
                ).fetchone()
                if found:
                    return SubjectRef(found[0])
        return None

    def _open(self, ref: SubjectRef) -> tuple[str, bytes]:
        with _errors("the subjects cannot be read"):
            row = self._connection.execute(
                "SELECT epoch, wrapped FROM subjects WHERE ref = ?", (ref,)
            ).fetchone()
        if row is None:
            raise Denied(
                "subject_gone",
                "this subject was erased, or its key never was here",
                "What was recorded of it cannot be opened any more; the proof of a whole batch still holds.",
            )
        for epoch in self._epochs:
            if epoch.name == row[0]:
                try:
                    plain = unwrap(epoch.wrap_key, row[1], _aad(ref))
                    return msgspec.msgpack.decode(plain, type=tuple[str, bytes])
                except (SignatureError, msgspec.DecodeError):
                    break
        raise Damage(
            "subject_sealed",
            "a subject's key does not open with the master key",
            "Restore it from its replica.",
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _errors("the subjects cannot be written"):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise sqlite_error(
                error, "the outcome of a commit of the subjects is unknown", fatal=True
            ) from error


def _aad(ref: bytes) -> bytes:
    return b"vestibule/subject/v1\0" + ref


@contextmanager
def _errors(what: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise sqlite_error(error, what) from error


def _set_up(connection: sqlite3.Connection, create: bool) -> None:
    unfinished = create and connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    if not unfinished:
        application_id, version = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        schema.check_format(application_id, version, APPLICATION_ID)
    for pragma in _PRAGMAS:
        connection.execute(pragma)
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "delete":
        raise StoreError("journal", "the file of the subjects is in use in another way", "Stop what uses it.")
    if unfinished:
        connection.executescript(
            f"BEGIN IMMEDIATE; {_TABLE}"
            f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={FORMAT}; COMMIT;"
        )
