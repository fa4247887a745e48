"""The vault: sealed parts in append-only segment files (docs/store-format.md, "Segments").

Segment: a header of 64 bytes, then records `"VTP1" | batch u64 | part u32 | header length u32 | payload length u64 |
header | payload`, little-endian. Where a record lies stands in the database only; what no row names is not stored,
and is cut off at the next start of an accepted store.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from gateway.core.records import PartRow
from gateway.errors import Damage, StoreError
from gateway.store.layout import create_file, disk_error, fsync_dir, open_file, write_all

SEGMENT_FORMAT: Final = 1
SEGMENT_BYTES: Final = 256 << 20  # ours: large enough for few files, small enough to copy
SEGMENT_HEADER_BYTES: Final = 64
RECORD_BYTES: Final = 28
"""What a record has before its header and payload."""
MAX_HEADER_BYTES: Final = 1 << 20  # ours: a core of some hundred streams has a few KiB
MAX_PAYLOAD_BYTES: Final = SEGMENT_BYTES  # ours: the arrivals of one cycle are bounded far below
HASH_BYTES: Final = 32

_MAGIC = b"VTSEG\x01\0\0"
_SEGMENT = struct.Struct("<8sIQ32s12x")
_RECORD_MAGIC = b"VTP1"
_RECORD = struct.Struct("<4sQIIQ")
_NAME = re.compile(r"[0-9]{8}\.seg", re.ASCII)


@dataclass(frozen=True, slots=True)
class Location:
    """Where a part lies.

    Args:
        segment: number of the segment, from 1.
        offset: of the record in it, in bytes.
        header_bytes: length of core || SHA-256(payload).
        payload_bytes: length of the sealed payload.
    """

    segment: int
    offset: int
    header_bytes: int
    payload_bytes: int

    @property
    def end(self) -> int:
        """Offset of what comes after the record."""
        return self.offset + RECORD_BYTES + self.header_bytes + self.payload_bytes


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a segment, as it stands there."""

    batch: int
    part: int
    location: Location
    header: bytes
    payload: bytes


def segment_path(directory: Path, number: int) -> Path:
    """The file of a segment.

    Args:
        directory: `Layout.vault`.
        number: of the segment, from 1.
    """
    return directory / f"{number:08}.seg"


def location_of(row: PartRow) -> Location:
    """Where the database says that a part lies."""
    return Location(row.segment, row.offset, row.header_bytes, row.payload_bytes)


class Vault:
    """The segments of a store. Blocking: one thread appends; any thread may read.

    Args:
        directory: `Layout.vault`.
        origin_hash: SHA-256 of the log's origin; a segment of another store is refused.
        tail: (segment, offset) where the next record goes.
        segment_bytes: length above which a new segment is begun.
    """

    def __init__(
        self, directory: Path, origin_hash: bytes, tail: tuple[int, int], segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        self._dir = directory
        self._origin_hash = origin_hash
        self._segment, self._offset = tail
        self._segment_bytes = segment_bytes
        self._fd = -1
        self._new_name = False
        self._broken = False

    @classmethod
    def open(cls, directory: Path, origin_hash: bytes, *, segment_bytes: int = SEGMENT_BYTES) -> Vault:
        """Open a vault as it lies there; changes nothing.

        Raises:
            Damage: `segment_missing`, the numbers of the segments have a hole.
            StoreError: `disk_io`.
        """
        vault = cls(directory, origin_hash, (1, SEGMENT_HEADER_BYTES), segment_bytes)
        try:
            numbers = vault.segments()
            if numbers:
                size = vault._path(numbers[-1]).stat().st_size
                vault._segment, vault._offset = numbers[-1], max(size, SEGMENT_HEADER_BYTES)
        except OSError as error:
            raise disk_error(error, "the vault cannot be read") from error
        return vault

    @property
    def tail(self) -> tuple[int, int]:
        """(segment, offset) where the next record goes; (1, 64) in an empty vault."""
        return self._segment, self._offset

    @property
    def empty(self) -> bool:
        """Whether no record was ever appended."""
        return self.tail == (1, SEGMENT_HEADER_BYTES)

    def segments(self) -> list[int]:
        """Numbers of the segments, ascending from 1.

        Raises:
            Damage: `segment_missing`.
            OSError: as the system said it.
        """
        numbers = sorted(int(name[:8]) for name in os.listdir(self._dir) if _NAME.fullmatch(name))
        for expected, number in enumerate(numbers, 1):
            if number != expected:
                raise Damage(
                    "segment_missing",
                    f"segment {expected} of the vault is not there",
                    "Restore the vault directory from a backup.",
                    where={"segment": expected},
                )
        return numbers

    def append(self, batch: int, parts: Sequence[tuple[bytes, bytes]]) -> list[Location]:
        """Append the parts of one batch; durable only after `sync`.

        Args:
            batch: its number.
            parts: (header, sealed payload) of parts 0, 1, 2 ...

        Returns:
            Where each lies.

        Raises:
            StoreError: `part_size`, `disk_full`, `disk_io`: nothing was appended; with `fatal=True` the outcome is
                unknown.
        """
        self._check_usable()
        if any(
            len(header) > MAX_HEADER_BYTES or len(payload) > MAX_PAYLOAD_BYTES for header, payload in parts
        ):
            raise StoreError("part_size", "a part is larger than a record of the vault may be")
        before = self.tail
        try:
            return [self._append_one(batch, number, *part) for number, part in enumerate(parts)]
        except OSError as error:
            # What was written has to go before anybody appends behind it.
            try:
                self.cut(*before)
            except (StoreError, Damage, OSError) as second:
                self._broken = True
                raise disk_error(error, "the vault cannot be written nor cut back", fatal=True) from second
            raise disk_error(error, "the vault cannot be written") from error

    def sync(self) -> None:
        """Make everything appended durable, and the name of a new file too.

        Raises:
            StoreError: with `fatal=True`; the outcome is unknown, and this vault appends no more.
        """
        self._check_usable()
        try:
            self._sync()
        except OSError as error:
            # A second fsync could succeed without the data (fsync(2)).
            self._broken = True
            raise disk_error(error, "the vault cannot be made durable", fatal=True) from error

    def cut(self, segment: int, offset: int) -> None:
        """Cut off what lies behind a position, durably: only in an accepted store, for what no row names.

        Args:
            segment, offset: end of the last record that a row names; (1, 64) for none.

        Raises:
            Damage: `vault_short`, there is less than rows name.
            StoreError: `disk_io`.
        """
        self._close()
        try:
            numbers = self.segments()
            for number in reversed(numbers):
                if number > segment:
                    self._path(number).unlink()
            if segment in numbers:
                self._cut_segment(segment, offset)
            elif (segment, offset) != (len(numbers) + 1, SEGMENT_HEADER_BYTES):
                raise _short(segment, offset)
            fsync_dir(self._dir)
        except OSError as error:
            raise disk_error(error, "the tail of the vault cannot be cut off") from error
        self._segment, self._offset = segment, offset

    def read_part(self, location: Location) -> tuple[bytes, bytes]:
        """Header and sealed payload of a part.

        Raises:
            Damage: `vault_short`, `segment_header`, `record_header`, `payload_hash`, with `where`.
            StoreError: `disk_io`.
        """
        record = self._read(location.segment, location.offset)
        if record.location != location:
            raise _damage("record_header", "a record has other lengths than its row says", location)
        return record.header, record.payload

    def read_row(self, row: PartRow) -> tuple[bytes, bytes]:
        """As `read_part`, and it must be exactly the part that the row names.

        Raises:
            Damage: those of `read_part`; `record_header`, `header_hash`.
            StoreError: `disk_io`.
        """
        location = location_of(row)
        record = self._read(row.segment, row.offset)
        if (record.location, record.batch, record.part) != (location, row.batch, row.part):
            raise _damage("record_header", "a record is not the part that its row names", location, row)
        if sha256(b"\0" + record.header).digest() != row.header_hash:
            raise _damage("header_hash", "the header of a part was changed", location, row)
        return record.header, record.payload

    def iter_records(self, segment: int) -> Iterator[Record]:
        """The records of a segment, in order, up to its end.

        Raises:
            Damage: as `read_part`, at the first record that does not hold.
            StoreError: `disk_io`.
        """
        offset = SEGMENT_HEADER_BYTES
        try:
            size = self._path(segment).stat().st_size
        except OSError as error:
            raise disk_error(error, f"segment {segment} cannot be read") from error
        while offset < size:
            record = self._read(segment, offset)
            yield record
            offset = record.location.end

    def free_bytes(self) -> int:
        """Room on the vault's disk for an unprivileged process.

        Raises:
            StoreError: `disk_io`.
        """
        try:
            status = os.statvfs(self._dir)
        except OSError as error:
            raise disk_error(error, "the free space cannot be told") from error
        return status.f_bavail * status.f_frsize

    def close(self) -> None:
        """Close the open segment; what was not synced is not durable."""
        self._close()

    def _path(self, segment: int) -> Path:
        return segment_path(self._dir, segment)

    def _segment_header(self, segment: int) -> bytes:
        return _SEGMENT.pack(_MAGIC, SEGMENT_FORMAT, segment, self._origin_hash)

    def _check_usable(self) -> None:
        if self._broken:
            raise StoreError(
                "vault_failed", "the vault failed before with an unknown outcome", "Restart.", fatal=True
            )

    def _append_one(self, batch: int, part: int, header: bytes, payload: bytes) -> Location:
        length = RECORD_BYTES + len(header) + len(payload)
        if self._offset + length > self._segment_bytes and self._offset > SEGMENT_HEADER_BYTES:
            self.sync()
            self._close()
            self._segment, self._offset = self._segment + 1, SEGMENT_HEADER_BYTES
        if self._fd < 0:
            self._open_tail()
        location = Location(self._segment, self._offset, len(header), len(payload))
        fields = _RECORD.pack(_RECORD_MAGIC, batch, part, len(header), len(payload))
        write_all(self._fd, b"".join((fields, header, payload)), self._offset)
        self._offset = location.end
        return location

    def _open_tail(self) -> None:
        path = self._path(self._segment)
        try:
            self._fd = open_file(path, write=True)
        except FileNotFoundError:
            self._fd = create_file(path)
            self._new_name = True
        size = os.fstat(self._fd).st_size
        if self._offset == SEGMENT_HEADER_BYTES and size <= SEGMENT_HEADER_BYTES:
            write_all(self._fd, self._segment_header(self._segment), 0)
        elif size != self._offset:
            # Somebody else wrote here: whatever we do next could destroy a part.
            self._broken = True
            raise StoreError(
                "vault_moved", "the vault was changed by another process", "Restart.", fatal=True
            )

    def _cut_segment(self, segment: int, offset: int) -> None:
        path = self._path(segment)
        fd = open_file(path, write=True)
        try:
            size = os.fstat(fd).st_size
            whole = os.pread(fd, SEGMENT_HEADER_BYTES, 0) == self._segment_header(segment)
            if offset == SEGMENT_HEADER_BYTES and not whole:
                path.unlink()  # a power cut while the file was begun; no row names it
            elif size < offset or not whole:
                raise _short(segment, offset)
            elif size > offset:
                os.ftruncate(fd, offset)
                os.fsync(fd)
        finally:
            os.close(fd)

    def _read(self, segment: int, offset: int) -> Record:
        try:
            fd = open_file(self._path(segment))
        except FileNotFoundError:
            raise _short(segment, offset) from None
        except OSError as error:
            raise disk_error(error, f"segment {segment} cannot be opened") from error
        try:
            return self._read_record(fd, segment, offset)
        except OSError as error:
            raise disk_error(error, f"segment {segment} cannot be read") from error
        finally:
            os.close(fd)

    def _read_record(self, fd: int, segment: int, offset: int) -> Record:
        here = Location(segment, offset, 0, 0)
        if os.pread(fd, SEGMENT_HEADER_BYTES, 0) != self._segment_header(segment):
            raise _damage("segment_header", "a segment does not begin as one of this store", here)
        fields = os.pread(fd, RECORD_BYTES, offset)
        if len(fields) < RECORD_BYTES:
            raise _short(segment, offset)
        magic, batch, part, header_bytes, payload_bytes = _RECORD.unpack(fields)
        if magic != _RECORD_MAGIC or header_bytes > MAX_HEADER_BYTES or payload_bytes > MAX_PAYLOAD_BYTES:
            raise _damage("record_header", "a record does not begin as one", here)
        data = os.pread(fd, header_bytes + payload_bytes, offset + RECORD_BYTES)
        if len(data) < header_bytes + payload_bytes:
            raise _short(segment, offset)
        header, payload = data[:header_bytes], data[header_bytes:]
        if header[-HASH_BYTES:] != sha256(payload).digest():
            raise _damage("payload_hash", "a payload is not the one that its header names", here)
        return Record(batch, part, Location(segment, offset, header_bytes, payload_bytes), header, payload)

    def _sync(self) -> None:
        if self._fd >= 0:
            os.fsync(self._fd)
        if self._new_name:
            fsync_dir(self._dir)
            self._new_name = False

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _damage(code: str, message: str, at: Location, row: PartRow | None = None) -> Damage:
    where: dict[str, int | str] = {"segment": at.segment, "offset": at.offset}
    if row is not None:
        where |= {"batch": row.batch, "part": row.part}
    return Damage(
        code, message, "Restore the segment from a backup; its parts are checked again.", where=where
    )


def _short(segment: int, offset: int) -> Damage:
    return _damage("vault_short", "a segment ends before what rows name", Location(segment, offset, 0, 0))
