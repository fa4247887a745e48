"""Samples to frames, frames to packets: numbering, filling, and how long a sample waits for company.

Numbers run from 0 in each stream of a session and go on over its links, because a stream is (session, device, run,
stream) whatever link carries it (gateway/README.md, "Words"). Sizes are computed, not tried: a body is encoded once.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from gateway.device.config import MS, DeviceConfig
from gateway.errors import LocalError
from gateway.ids import U16_MAX
from gateway.wire import kinds
from gateway.wire.frame import MAX_FRAMES, MAX_TOTALS, Data, Frame, encode_data
from gateway.wire.packet import MIN_BYTES

# Samples a frame, so that one full frame and its total fill a datagram; the rest: what fits, at most `OTHER_SAMPLES`.
FRAME_SAMPLES: Final = {kinds.POSE: 16, kinds.GAZE: 10, kinds.HAPTIC: 32}
OTHER_SAMPLES: Final = 32
FLOOR_BYTES: Final = 5  # a floor below 2^32: 49 days of one link at 1,000 packets a second
TOTAL_BYTES: Final = 5  # likewise a total; counted in full, since it may grow until its packet is sealed
BIN_BYTES: Final = 3  # length field of up to 64 KiB of samples
SHORT_ARRAY: Final = 15  # MessagePack: up to here the length of an array costs no byte of its own
LONG_ARRAY_BYTES: Final = 2
MAX_SESSIONS: Final = 16  # whose numbers are remembered; more sessions in one run of an app are not expected
WORTH_WAITING: Final = 4  # a packet with less than a quarter of its room left goes at once


def int_bytes(number: int) -> int:
    """Bytes of a non-negative integer in MessagePack."""
    if number < 0x80:
        return 1
    if number <= 0xFF:
        return 2
    if number <= 0xFFFF:
        return 3
    return 5 if number <= 0xFFFF_FFFF else 9


def total_bytes(stream: int, total: int) -> int:
    """Bytes of one row of totals, with room to grow."""
    return 1 + int_bytes(stream) + max(TOTAL_BYTES, int_bytes(total))


@dataclass(slots=True)
class Streams:
    """The streams of one session in this run: kind and samples captured, by stream number."""

    kinds: dict[int, int] = field(default_factory=dict)
    totals: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Open:
    """A frame that is being filled."""

    stream: int
    kind: int
    size: int
    first: int
    capacity: int
    opened_ns: int
    count: int = 0
    samples: list[bytes] = field(default_factory=list)


class Gather:
    """Fills frames and packets of the link that is recording.

    Args:
        config: sizes and the linger time.
    """

    __slots__ = (
        "_clock",
        "_linger_ns",
        "_open",
        "_ready",
        "_ready_bytes",
        "_ready_ns",
        "_room",
        "_sessions",
        "_told",
        "due_ns",
        "streams",
    )

    def __init__(self, config: DeviceConfig) -> None:
        self._linger_ns = config.linger_ms * MS
        self._room = config.packet_bytes - MIN_BYTES - (FLOOR_BYTES + 3)  # and three short arrays
        self._open: dict[int, _Open] = {}
        self._ready: list[Frame] = []
        self._ready_bytes = 0
        self._ready_ns = 0
        self._told = 0
        self._sessions: OrderedDict[bytes, Streams] = OrderedDict()
        self._clock = {config.clock_stream: kinds.CLOCK} if config.probes else {}
        self.streams = Streams()
        """Of the session that is being recorded."""
        self.due_ns: int | None = None
        """When the oldest sample has waited long enough; None while there is none."""

    def enter(self, session: bytes) -> None:
        """Record a session from now on; nothing is open. One that was recorded before goes on with its numbers."""
        # The clock's stream is taken from the start, so that an app cannot leave the clock without one.
        self.streams = self._sessions.setdefault(session, Streams(self._clock.copy()))
        self._sessions.move_to_end(session)
        if len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)

    def totals(self, session: bytes | None = None) -> dict[int, int]:
        """Samples captured by stream, of a session or of the one recorded last."""
        streams = self.streams if session is None else self._sessions.get(session, Streams())
        return dict(streams.totals)

    def add(self, stream: int, kind: int, samples: bytes, count: int, now_ns: int) -> list[list[Frame]]:
        """Take samples in.

        Args:
            stream: u16.
            kind: number of the kind; the same for a stream in all of its session.
            samples: `count` records.
            count: how many.
            now_ns: device time.

        Returns:
            The frames of packets that are full, a list for each packet.

        Raises:
            LocalError: `kind`, `stream`, `stream_kind`, `sample_size`.
        """
        frame = self._open.get(stream)
        if frame is None or frame.kind != kind or len(samples) != count * frame.size or count < 1:
            size = self._check(stream, kind, samples, count)
            frame = self._start(stream, kind, size, now_ns)
        packets: list[list[Frame]] = []
        totals = self.streams.totals
        offset = 0
        while True:
            room = frame.capacity - frame.count
            if count < room:
                frame.samples.append(samples[offset:] if offset else samples)
                frame.count += count
                totals[stream] += count
                return packets
            end = offset + room * frame.size
            frame.samples.append(samples[offset:end])
            frame.count += room
            totals[stream] += room
            count -= room
            offset = end
            self._close(frame, packets)
            if not count:
                return packets
            frame = self._start(stream, kind, frame.size, now_ns)

    def flush(self) -> list[list[Frame]]:
        """Close everything that is open: the linger time is over, or the link ends."""
        packets: list[list[Frame]] = []
        for frame in list(self._open.values()):
            self._close(frame, packets)
        self._pack(packets)
        return packets

    def clear(self) -> int:
        """Throw away what is not sealed: its link is gone.

        Returns:
            How many samples that were.
        """
        lost = self.waiting_samples
        self._open.clear()
        self._ready = []
        self._ready_bytes = 0
        self.due_ns = None
        return lost

    @property
    def waiting_samples(self) -> int:
        """Samples captured and not sealed yet."""
        ready = sum(frame_samples(frame) for frame in self._ready)
        return ready + sum(frame.count for frame in self._open.values())

    def body(self, frames: list[Frame], floor: int) -> bytes:
        """The body of DATA: the frames, the totals of their streams, and that of one other stream in turn.

        Args:
            frames: as `add` or `flush` gave them.
            floor: lowest seq that the device holds.
        """
        totals = self.streams.totals
        told = {frame.stream: totals[frame.stream] for frame in frames}
        # All totals in every packet would cost more than the frames of small packets; in turn, each is told again
        # within as many packets as there are streams, and BYE tells them all.
        others = [stream for stream in totals if stream not in told]
        if others:
            other = others[self._told % len(others)]
            size = sum(frame_bytes(frame) for frame in frames) + LONG_ARRAY_BYTES * (
                len(frames) > SHORT_ARRAY
            )
            size += LONG_ARRAY_BYTES * (len(told) >= SHORT_ARRAY)
            size += sum(total_bytes(*row) for row in told.items()) + total_bytes(other, totals[other])
            if size <= self._room:
                told[other] = totals[other]
                self._told += 1
        return encode_data(Data(floor, list(told.items()), frames))

    def _check(self, stream: int, kind: int, samples: bytes, count: int) -> int:
        """Check what a caller gave, and tell the size of one record."""
        record = kinds.KINDS.get(kind)
        if record is None:
            raise LocalError("kind", f"unknown kind {kind}", "Use a number of the table of kinds.")
        known = self.streams.kinds.get(stream)
        if known is None and (not 0 <= stream <= U16_MAX or len(self.streams.kinds) >= MAX_TOTALS):
            raise LocalError(
                "stream", f"stream {stream}: a u16, and at most {MAX_TOTALS} streams", "Use fewer streams."
            )
        if known not in (None, kind):
            raise LocalError(
                "stream_kind", f"stream {stream} has another kind", "Use one stream for each kind."
            )
        size = len(samples) if record.variable else record.sample_bytes
        # A kind of variable size has its header at least; without the check nothing at all would be a sample.
        if (
            count < 1
            or len(samples) != count * size
            or (record.variable and (count != 1 or size < record.sample_bytes))
        ):
            raise LocalError(
                "sample_size",
                f"{len(samples)} bytes are not {count} samples of {record.name}",
                "Give whole records, one at a time for kinds of variable size.",
            )
        if self._capacity(stream, kind, size) < 1:
            raise LocalError(
                "sample_size",
                f"a {record.name} of {size} bytes fits no packet",
                "Give smaller samples, such as less sound.",
            )
        return size

    def _capacity(self, stream: int, kind: int, size: int) -> int:
        first = self.streams.totals.get(stream, 0)
        # Counted with room to grow: a size that fits at the first sample must fit at the millionth.
        head = 1 + int_bytes(stream) + int_bytes(kind) + max(TOTAL_BYTES, int_bytes(first)) + BIN_BYTES
        fits = (self._room - head - total_bytes(stream, first + OTHER_SAMPLES)) // size
        if kinds.KINDS[kind].variable:
            return min(fits, 1)
        return min(fits, FRAME_SAMPLES.get(kind, OTHER_SAMPLES))

    def _start(self, stream: int, kind: int, size: int, now_ns: int) -> _Open:
        self.streams.kinds[stream] = kind
        first = self.streams.totals.setdefault(stream, 0)
        frame = _Open(stream, kind, size, first, self._capacity(stream, kind, size), now_ns)
        self._open[stream] = frame
        if self.due_ns is None:
            self.due_ns = now_ns + self._linger_ns
        return frame

    def _close(self, frame: _Open, packets: list[list[Frame]]) -> None:
        """Make the frame and put it into the packet, which is given out when it is full.

        A packet has one frame of a stream: a receipt names refused frames by packet and stream (VT1, "Bodies").
        """
        del self._open[frame.stream]
        made = Frame(frame.stream, frame.kind, frame.first, b"".join(frame.samples))
        for at, ready in enumerate(self._ready):
            if ready.stream == made.stream:
                if self._lengthen(at, made):
                    self._give_if_full(packets)
                    return
                self._pack(packets)
                break
        size = frame_bytes(made) + total_bytes(frame.stream, self.streams.totals[frame.stream])
        # Room for long arrays is kept from the 15th frame on; totals of other streams yield to frames.
        long = 2 * LONG_ARRAY_BYTES if len(self._ready) >= SHORT_ARRAY else 0
        if self._ready and (self._ready_bytes + size + long > self._room or len(self._ready) == MAX_FRAMES):
            self._pack(packets)
        if not self._ready:
            self._ready_ns = frame.opened_ns
        self._ready.append(made)
        self._ready_bytes += size
        self._give_if_full(packets)

    def _lengthen(self, at: int, more: Frame) -> bool:
        """Put a frame's samples behind those of the frame of its stream that waits; False where they do not fit."""
        ready = self._ready[at]
        long = 2 * LONG_ARRAY_BYTES if len(self._ready) > SHORT_ARRAY else 0
        if kinds.KINDS[more.kind].variable or self._ready_bytes + len(more.samples) + long > self._room:
            return False
        self._ready[at] = Frame(ready.stream, ready.kind, ready.first_sample, ready.samples + more.samples)
        self._ready_bytes += len(more.samples)
        return True

    def _give_if_full(self, packets: list[list[Frame]]) -> None:
        if self._room - self._ready_bytes < self._room // WORTH_WAITING:
            self._pack(packets)
        else:
            self._set_due()

    def _pack(self, packets: list[list[Frame]]) -> None:
        if self._ready:
            packets.append(self._ready)
            self._ready = []
            self._ready_bytes = 0
        self._set_due()

    def _set_due(self) -> None:
        opened = [frame.opened_ns for frame in self._open.values()]
        if self._ready:
            opened.append(self._ready_ns)
        self.due_ns = min(opened) + self._linger_ns if opened else None


def frame_bytes(frame: Frame) -> int:
    """Bytes of a frame in a body; at most one more than the encoder takes."""
    return (
        1
        + int_bytes(frame.stream)
        + int_bytes(frame.kind)
        + int_bytes(frame.first_sample)
        + BIN_BYTES
        + len(frame.samples)
    )


def frame_samples(frame: Frame) -> int:
    """How many samples a frame of this device holds."""
    kind = kinds.KINDS[frame.kind]
    return 1 if kind.variable else len(frame.samples) // kind.sample_bytes
