"""What one session brings between two seals, put in order as it comes.

Leaves, arrival records and the samples of each stream are gathered at the admission, while a packet's objects are in
the processor's caches. A second later, at the seal, they are not: to walk through thousands of packets again then cost
a fifth of the gateway's time.
"""

from __future__ import annotations

from collections import Counter

from gateway.core.effects import AdmittedPacket
from gateway.core.part import ARRIVAL
from gateway.core.records import StreamRecord
from gateway.core.screening import Strand
from gateway.ids import StreamKey

_pack = ARRIVAL.pack


class Gathered:
    """The packets of one session since the last seal.

    `arrivals` are packed `ARRIVAL` records, `leaves` the frames' bytes in order, `strands` the samples by `id` of their
    stream's record, `samples` how many those are, `refusals` refused frames by reason, `totals` the streams whose sums
    the part must tell.
    """

    __slots__ = (
        "_utc_offset_ns",
        "arrivals",
        "leaves",
        "packets",
        "refusals",
        "samples",
        "strands",
        "totals",
    )

    def __init__(self) -> None:
        self.packets: list[AdmittedPacket] = []
        self.totals: dict[StreamKey, StreamRecord] = {}
        self._utc_offset_ns: list[int] = []
        self._clear()

    def _clear(self) -> None:
        self.arrivals = bytearray()
        self.leaves: list[bytes] = []
        self.strands: dict[int, Strand] = {}
        self.samples = 0
        self.refusals: Counter[str] = Counter()

    def take(self, packet: AdmittedPacket, utc_offset_ns: int) -> int:
        """Gather a packet.

        Args:
            packet: admitted.
            utc_offset_ns: UTC minus monotonic at its admission.

        Returns:
            Bytes of its frames.
        """
        self.packets.append(packet)
        self._utc_offset_ns.append(utc_offset_ns)
        return self._take(packet, utc_offset_ns)

    def again(self) -> None:
        """Gather everything anew: frames were discarded from the packets since."""
        self._clear()
        for packet, utc_offset_ns in zip(self.packets, self._utc_offset_ns, strict=True):
            self._take(packet, utc_offset_ns)

    def _take(self, packet: AdmittedPacket, utc_offset_ns: int) -> int:
        arrived_ns = packet.arrived_ns
        frames = packet.frames
        self.arrivals += _pack(
            packet.link,
            packet.seq,
            packet.t_send_ns,
            arrived_ns,
            (arrived_ns + utc_offset_ns) // 1_000_000,
            len(frames),
            len(packet.refused),
        )
        size = 0
        for item in frames:
            data, frame, count, stream = item.data, item.frame, item.count, item.stream
            size += len(data)
            self.leaves.append(data)
            self.samples += count
            strand = self.strands.get(id(stream))
            if strand is None:
                strand = self.strands[id(stream)] = Strand(stream)
            strand.numbers.append((frame.first_sample, count))
            strand.samples.append(frame.samples)
        for _, reason in packet.refused:
            self.refusals[reason] += 1
        return size

    @property
    def span_ns(self) -> tuple[int, int]:
        """Monotonic time of the first and the last packet; zeros without packets."""
        return (self.packets[0].arrived_ns, self.packets[-1].arrived_ns) if self.packets else (0, 0)
