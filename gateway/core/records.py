"""What the machines remember and the store keeps: plain records, one class for each table.

A machine changes its record and names it in the next cycle's writes; the store writes it down as it is. Nothing here
decides anything. Keys and codes are not in a `repr`, so that no test, debugger or crash shows them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from gateway.core.ranges import Ranges, Verdicts
from gateway.ids import DeviceId, LinkId, RunId, SessionId, StreamId, StreamKey, SubjectRef

SESSION_OVER: Final = ("closed", "withdrawn")
"""States in which a session stays for ever."""


@dataclass(slots=True)
class Device:
    """A paired device.

    Args:
        device: its number.
        name: what it called itself at the pairing (at most 64 bytes; chosen by staff, not by patients).
        key: K_dev, 32 bytes; the store keeps it wrapped.
        state: `active` or `revoked`.
        created_ms: UTC of the pairing.
        hello_seq: highest HELLO counter seen.
        next_key: a key that `device rotate` made and the device has not used yet; else empty.
        next_by_file: whether only a file may carry that key to the device.
    """

    device: DeviceId
    name: str
    key: bytes = field(repr=False)
    state: str
    created_ms: int
    hello_seq: int = -1
    next_key: bytes = field(default=b"", repr=False)
    next_by_file: bool = False


@dataclass(slots=True)
class Pairing:
    """A pairing code on offer or spent.

    Args:
        code: the 26 base32 characters; empty once it is expired, so that the store forgets it.
        expires_ms: UTC after which it is worth nothing.
        spent_by: SHA-256 of the PAIR packet that spent it; empty while unspent.
        answer: the PAIRED packet, sent again for the same PAIR.
        name: the name staff gave the device beforehand; empty takes the device's own.
    """

    code: str = field(repr=False)
    expires_ms: int
    spent_by: bytes = b""
    answer: bytes = b""
    name: str = ""


@dataclass(slots=True)
class Session:
    """One sitting.

    Args:
        session: its id.
        commitment: 32 bytes; the salted commitment that stands in entries and part headers.
        subject: reference to the subject's key.
        purpose: why it is recorded, a word of the configuration's or staff's choosing (in the store only).
        devices: numbers of the devices that may stream.
        kinds: numbers of the permitted kinds.
        state: `open`; `draining`, and then `closed`; or `withdrawing` (nothing more is stored), and then `withdrawn`.
        opened_ms: UTC.
        closed_ms: UTC of the close (start of draining) or of the withdrawal; 0 while open.
        seq: how many entries the log has of it.
        prev: SHA-256 of the body of the newest of them; 32 bytes, or empty before the first.
    """

    session: SessionId
    commitment: bytes
    subject: SubjectRef
    purpose: str
    devices: tuple[DeviceId, ...]
    kinds: tuple[int, ...]
    state: str
    opened_ms: int
    closed_ms: int = 0
    seq: int = 0
    prev: bytes = b""


@dataclass(slots=True)
class LinkRecord:
    """The durable part of a link.

    Args:
        link: its number.
        device, run, session: what it belongs to for ever; `session` is empty for a link welcomed as waiting.
        transport: `udp` or `mqtt`; a link keeps it.
        nonce_d, nonce_g: 16 bytes each; with K_dev they give the keys again after a restart.
        hello_seq: counter of its HELLO.
        hello: the HELLO packet, for its byte-equal copy; empty once the link is established.
        welcome: the WELCOME packet, sent again for that copy; empty once the link is established.
        established: True after its first valid DATA, SYNC or BYE.
        key: which of the device's keys it derives from; 32 bytes.
        state: `live`, or why it is not: `ended`, `revoked`, `moved`.
        fresh_ms: UTC of the last fresh packet.
        done: verdicts by seq.
        floor: highest floor told by the device.
        bye: totals of its BYE, or None while there was none; empty as well for a link that its device let go.
        clock_ns: UTC minus the device's clock, at most; None while nothing is known.
    """

    link: LinkId
    device: DeviceId
    run: RunId
    session: SessionId
    transport: str
    nonce_d: bytes
    nonce_g: bytes
    key: bytes = field(repr=False)
    hello_seq: int
    hello: bytes
    welcome: bytes
    established: bool
    state: str
    fresh_ms: int
    done: Verdicts = field(default_factory=Verdicts)
    floor: int = 0
    bye: list[tuple[int, int]] | None = None
    clock_ns: int | None = None


@dataclass(slots=True)
class StreamRecord:
    """Accounting of one stream, by sample number.

    Invariant: `total == stored + sum(refused.values()) + missing`, and `accounted` holds every number that is
    stored, refused or closed.

    Args:
        session, device, run, stream: its identity.
        kind: number of the kind; 0 while only totals named the stream.
        total: last known sample number + 1.
        stored: samples stored.
        refused: samples refused, by reason.
        accounted: sample numbers that are settled.
        closed_below: numbers below it were closed at least in part; a frame that touches them is late.
        last_ns: device time of the sample with the highest number, for observations; 0 where unknown.
    """

    session: SessionId
    device: DeviceId
    run: RunId
    stream: StreamId
    kind: int = 0
    total: int = 0
    stored: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    accounted: Ranges = field(default_factory=Ranges)
    closed_below: int = 0
    last_ns: int = 0

    @property
    def key(self) -> StreamKey:
        """What identifies the stream, whatever link carries it."""
        return (self.session, self.device, self.run, self.stream)

    @property
    def missing(self) -> int:
        """Sample numbers that were announced and never settled."""
        return self.total - self.stored - sum(self.refused.values())


@dataclass(frozen=True, slots=True)
class PartRow:
    """Where a part lies.

    Args:
        batch, part: its number.
        session: whose frames.
        segment: number of the segment file.
        offset: byte offset of the record in it.
        header_bytes: length of core || SHA-256(payload).
        payload_bytes: length of the sealed payload.
        frames, samples: how many.
        first_ns, last_ns: the gateway's monotonic clock at the first and last packet.
        header_hash: SHA-256(0x00 || header), its leaf in the batch tree.
    """

    batch: int
    part: int
    session: SessionId
    segment: int
    offset: int
    header_bytes: int
    payload_bytes: int
    frames: int
    samples: int
    first_ns: int
    last_ns: int
    header_hash: bytes


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A sealed batch: its number, the index of its entry, its root and sums, and the span of time in seconds."""

    batch: int
    entry: int
    root: bytes
    parts: int
    frames: int
    samples: int
    opened_s: int
    sealed_s: int


@dataclass(frozen=True, slots=True)
class Text:
    """The text behind a commitment, sealed under its subject's key (or the store's key for what has no subject)."""

    commit: bytes
    subject: SubjectRef
    sealed: bytes


@dataclass(frozen=True, slots=True)
class HeadMove:
    """The compare-and-swap of the log's head: from `(old_size, old_root)` to `(size, root)`."""

    old_size: int
    old_root: bytes
    size: int
    root: bytes


@dataclass(slots=True)
class Writes:
    """Everything that one transaction makes durable; empty lists write nothing.

    `tiles` are whole rows `(level, n, data)`; `entries` are `(index, leaf data)`; `dropped_links` are numbers of links
    that never belonged to a session: their rows go. `links` are durable with the next commit, sealing or not. `lost`
    are batches whose entries were fetched back from mirrors, and whose parts are gone.
    """

    devices: list[Device] = field(default_factory=list)
    pairings: list[Pairing] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    links: list[LinkRecord] = field(default_factory=list)
    dropped_links: list[LinkId] = field(default_factory=list)
    streams: list[StreamRecord] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    parts: list[PartRow] = field(default_factory=list)
    batch: BatchRow | None = None
    lost: list[BatchRow] = field(default_factory=list)
    entries: list[tuple[int, bytes]] = field(default_factory=list)
    tiles: list[tuple[int, int, bytes]] = field(default_factory=list)
    head: HeadMove | None = None
    boot: int | None = None

    def __bool__(self) -> bool:
        return bool(
            self.devices
            or self.pairings
            or self.sessions
            or self.links
            or self.dropped_links
            or self.streams
            or self.texts
            or self.parts
            or self.batch
            or self.entries
            or self.head
            or self.boot is not None
        )
