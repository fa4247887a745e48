"""A device's spool on disk: segments of sealed packets, one folder for each device. Source: VT1, "Spool".

It performs what the device machine decided and decides nothing itself. Whatever the disk refuses is lost the way that a
full ring loses it, and the device goes on.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from gateway.device import spool
from gateway.device.events import Dropped, Keep, SendKept, Settled, Spooled
from gateway.device.spool import KeptLink, LinkCard
from gateway.errors import StoreError, WireError

MAX_SEGMENT_BYTES: Final = 2 * spool.SEGMENT_BYTES  # anything much larger is another file by mistake
FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600

TORN: Final = "torn"
FOREIGN: Final = "foreign"
UNREADABLE: Final = "unreadable"
UNWRITTEN: Final = "unwritten"


@dataclass(slots=True)
class _Segment:
    """A file: the packets in it that are still held, and while it is written, its handle."""

    path: Path
    held: set[int] = field(default_factory=set)
    size: int = 0
    handle: IO[bytes] | None = None


@dataclass(slots=True)
class _Link:
    """What is kept of a link: its segments by number, and where each packet lies."""

    segments: dict[int, _Segment] = field(default_factory=dict)
    places: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    """seq -> segment, offset, bytes."""
    writing: int | None = None
    next_number: int = 0


class SpoolFiles:
    """The spool of one device.

    Args:
        folder: made if it is not there, for its owner alone; nothing else may be in it.
        device: its number: what another device left here is deleted.

    Raises:
        StoreError: `spool`, the folder cannot be made or listed.
    """

    def __init__(self, folder: Path, device: int) -> None:
        self._folder = folder
        self._device = device
        self._links: dict[int, _Link] = {}
        self.faults: Counter[str] = Counter()
        """`torn`: files that were cut at a record that is not sound. `foreign`: files of another device. `unreadable`:
        files that are no segments. `unwritten`: packets that the disk did not take."""
        try:
            folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            os.listdir(folder)
        except OSError as error:
            raise StoreError(
                "spool",
                f"the spool's folder {folder} cannot be used: {error.strerror}",
                "Name a folder that you may write to.",
            ) from error

    @property
    def file_count(self) -> int:
        """Segments on disk."""
        return sum(len(link.segments) for link in self._links.values())

    # At the start.

    def load(self) -> list[KeptLink]:
        """Read what earlier runs left; files that cannot be used are deleted, torn ones cut, and both counted.

        Returns:
            The links, oldest first. A gateway numbers its links upwards, so the lowest number is the oldest.
        """
        cards: dict[int, LinkCard] = {}
        packets: dict[int, list[spool.KeptPacket]] = {}
        for number, segment, path in self._found():
            read = self._read_segment(path, number, cards.get(number))
            if read is None:
                continue
            card, records = read
            cards[number] = card
            link = self._links.setdefault(number, _Link())
            link.next_number = segment + 1
            kept = _Segment(path)
            for record in records:
                # Of a packet that was kept twice the first counts.
                if record.packet.seq not in link.places:
                    link.places[record.packet.seq] = (segment, record.offset, record.packet.size)
                    kept.held.add(record.packet.seq)
                    packets.setdefault(number, []).append(record.packet)
            link.segments[segment] = kept
            if not kept.held:
                self._delete(link, segment)
        self._links = {number: link for number, link in self._links.items() if link.places}
        return [KeptLink(cards[number], spool.in_order(packets[number])) for number in sorted(self._links)]

    def _found(self) -> Iterator[tuple[int, int, Path]]:
        found = []
        for name in os.listdir(self._folder):
            if (parsed := spool.parse_segment_name(name)) is not None:
                found.append((*parsed, self._folder / name))
        yield from sorted(found)

    def _read_segment(
        self, path: Path, number: int, known: LinkCard | None
    ) -> tuple[LinkCard, list[spool.Record]] | None:
        try:
            data = path.read_bytes() if path.stat().st_size <= MAX_SEGMENT_BYTES else b""
            card, begin = spool.decode_header(data)
            if card.link != number or known not in (None, card):
                raise WireError("spool", "a segment of another link")
        except (OSError, WireError):
            self.faults[UNREADABLE] += 1
            path.unlink(missing_ok=True)
            return None
        if card.device != self._device:
            self.faults[FOREIGN] += 1
            path.unlink(missing_ok=True)
            return None
        records = list(spool.records(card, data, begin))
        end = records[-1].offset + records[-1].packet.size if records else begin
        if end < len(data):
            self.faults[TORN] += 1
            with contextlib.suppress(OSError):
                os.truncate(path, end)
        return card, records

    # At work.

    def perform(self, effect: Spooled) -> bytes | None:
        """Do what the machine wants.

        Returns:
            The packet that `SendKept` asks for; None when it is not there, and for all other effects.
        """
        match effect:
            case Keep():
                self._keep(effect)
            case SendKept(number, seq):
                return self._read(number, seq)
            case Settled(number, first, last):
                self._settle(number, first, last)
            case Dropped(number):
                self._drop(number)
        return None

    def flush(self) -> None:
        """Give what was written to the system, which has it on disk some seconds later."""
        for link in self._links.values():
            if link.writing is not None:
                self._flush(link)

    def close(self) -> None:
        """Close all files; what is in them stays for the next run."""
        for link in self._links.values():
            self._end_segment(link)

    def _keep(self, keep: Keep) -> None:
        link = self._links.setdefault(keep.card.link, _Link())
        record = spool.encode_record(keep.samples, keep.packet)
        try:
            segment = self._writable(link, keep.card)
            assert segment.handle is not None
            segment.handle.write(record)
        except OSError:
            self._unwritten(link)
            return
        offset = segment.size + len(record) - len(keep.packet)
        assert link.writing is not None
        link.places[keep.seq] = (link.writing, offset, len(keep.packet))
        segment.held.add(keep.seq)
        segment.size += len(record)

    def _writable(self, link: _Link, card: LinkCard) -> _Segment:
        if link.writing is not None:
            segment = link.segments[link.writing]
            if segment.size < spool.SEGMENT_BYTES:
                return segment
            self._end_segment(link)
        number, link.next_number = link.next_number, link.next_number + 1
        path = self._folder / spool.segment_name(card.link, number)
        handle = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "wb")
        header = spool.encode_header(card)
        link.segments[number] = segment = _Segment(path, size=len(header), handle=handle)
        link.writing = number
        handle.write(header)
        return segment

    def _read(self, number: int, seq: int) -> bytes | None:
        link = self._links.get(number)
        place = link.places.get(seq) if link is not None else None
        if link is None or place is None:
            return None
        segment, offset, size = place
        if segment == link.writing:
            self._flush(link)
        try:
            with link.segments[segment].path.open("rb") as file:
                file.seek(offset)
                packet = file.read(size)
        except (OSError, KeyError):
            return None
        return packet if len(packet) == size else None

    def _settle(self, number: int, first: int, last: int) -> None:
        link = self._links.get(number)
        if link is None:
            return
        if last - first < len(link.places):
            seqs = [seq for seq in range(first, last + 1) if seq in link.places]
        else:
            seqs = [seq for seq in link.places if first <= seq <= last]
        for seq in seqs:
            segment = link.places.pop(seq)[0]
            held = link.segments[segment].held
            held.discard(seq)
            if not held:
                self._delete(link, segment)

    def _drop(self, number: int) -> None:
        link = self._links.pop(number, None)
        if link is not None:
            for segment in list(link.segments):
                self._delete(link, segment)

    def _delete(self, link: _Link, number: int) -> None:
        if link.writing == number:
            self._end_segment(link)
        with contextlib.suppress(
            OSError
        ):  # a file that stays is found, and deleted or sent, at the next start
            link.segments[number].path.unlink(missing_ok=True)
        del link.segments[number]

    def _flush(self, link: _Link) -> None:
        handle = link.segments[link.writing].handle if link.writing is not None else None
        try:
            if handle is not None:
                handle.flush()
        except OSError:
            self._unwritten(link)

    def _unwritten(self, link: _Link) -> None:
        """The disk did not take it: nothing may follow a torn record, so the segment ends here."""
        self.faults[UNWRITTEN] += 1
        self._end_segment(link)

    def _end_segment(self, link: _Link) -> None:
        if link.writing is not None:
            handle, link.segments[link.writing].handle = link.segments[link.writing].handle, None
            with contextlib.suppress(OSError):
                if handle is not None:
                    handle.close()
            link.writing = None
