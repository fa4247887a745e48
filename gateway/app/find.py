"""Where a sample lies: from session, stream and sample number to a part and a frame.

Part headers tell how many samples of each stream were stored so far, so that only the parts that brought some of it
are opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.app.release import OpenedPart, open_part
from gateway.core.part import ARRIVAL, parse_header
from gateway.core.records import PartRow, StreamRecord
from gateway.errors import Damage, LocalError, WireError
from gateway.ids import DeviceId, RunId, SessionId
from gateway.store.snapshot import Snapshot
from gateway.store.vault import Vault
from gateway.wire.frame import decode_frame, sample_count

Owners = dict[int, tuple[SessionId, DeviceId, RunId]]

SEE: Final = "See `vestibule session list` for its streams."


def find_sample(
    snapshot: Snapshot,
    vault: Vault,
    subject_key: bytes,
    session: bytes,
    stream: int,
    sample: int,
    device: int | None = None,
    run: int | None = None,
) -> tuple[PartRow, int]:
    """Find the frame that holds a sample.

    Args:
        snapshot: the database.
        vault: its segments.
        subject_key: of the session's subject, 32 bytes.
        session: id.
        stream, sample: numbers.
        device, run: needed where several devices or runs of the session have a stream of this number.

    Returns:
        The part, and the number of the frame in it.

    Raises:
        LocalError: `sample`: no such stream, more than one, or a sample that was not stored.
        Damage: a part is not what was signed.
    """
    wanted = _stream(snapshot, session, stream, sample, device, run)
    owners = snapshot.link_owners()
    for row, header, payload in _candidates(snapshot, vault, wanted):
        part = open_part(header, payload, session, subject_key)
        for index, data in _frames_of(part, owners, wanted):
            frame = decode_frame(data)
            if frame.stream == stream and 0 <= sample - frame.first_sample < sample_count(frame):
                return row, index
    raise LocalError("sample", f"sample {sample} of stream {stream} is refused or missing, not stored", SEE)


def _stream(
    snapshot: Snapshot, session: bytes, stream: int, sample: int, device: int | None, run: int | None
) -> StreamRecord:
    found = [
        record
        for record in snapshot.streams_of(session)
        if record.stream == stream and device in (None, record.device) and run in (None, record.run)
    ]
    holding = [record for record in found if 0 <= sample < record.total]
    if not found:
        raise LocalError("sample", f"the session has no stream {stream} like that", SEE)
    if not holding:
        most = max(record.total for record in found)
        raise LocalError("sample", f"stream {stream} has {most} samples, counted from 0", SEE)
    if len(holding) > 1:
        which = ", ".join(f"device {record.device} run {record.run:016x}" for record in holding)
        raise LocalError(
            "sample", f"stream {stream} is that of several: {which}", "Name --device and --run too."
        )
    return holding[0]


def _candidates(
    snapshot: Snapshot, vault: Vault, wanted: StreamRecord
) -> Iterator[tuple[PartRow, bytes, bytes]]:
    stored = 0
    for row in snapshot.parts_of_session(wanted.session):
        header, payload = vault.read_row(row)
        try:
            totals = parse_header(header)[0].totals
        except WireError as error:
            where: dict[str, int | str] = {"batch": row.batch, "part": row.part}
            raise Damage("part_header", error.message, where=where) from error
        for told in totals:
            if (told.device, told.run, told.stream) == (wanted.device, wanted.run, wanted.stream):
                if told.stored > stored:
                    yield row, header, payload
                stored = told.stored


def _frames_of(part: OpenedPart, owners: Owners, wanted: StreamRecord) -> Iterator[tuple[int, bytes]]:
    """The frames that the wanted device and run brought, by the links they came on."""
    at = 0
    for link, _, _, _, _, n_frames, _ in ARRIVAL.iter_unpack(part.payload.arrivals):
        if owners.get(link) == (wanted.session, wanted.device, wanted.run):
            yield from enumerate(part.payload.frames[at : at + n_frames], at)
        at += n_frames
