"""The ring of one link: sealed packets that wait for their receipts, and when each is to be sent again.

A packet stays the bytes it was; only a receipt, an overflow or the end of its link takes it out. Adding, removing and
finding the next resend cost the same however many packets wait: the waits grow in few fixed steps, so a queue for each
step is in order by itself, and an entry that no longer says what its packet says is skipped when it comes to the head.

Where the device has a spool, a packet is *kept* once its bytes are there too, and *loaded* while they are here. Packets
are kept and unloaded oldest first, so the kept ones come before all others.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Final

Span = tuple[int, int, int]
"""`(stream, first sample, count)`: what a packet carries of one stream."""

TAG_BYTES: Final = 16
NO_STREAM: Final = (
    -1
)  # in the span of a packet of an earlier run, of which only the number of samples is known
STALE_MIN: Final = 1024  # below this many stale entries, clearing them out costs more than it frees


@dataclass(slots=True)
class Held:
    """A packet without a receipt.

    Args:
        seq: its number on its link.
        packet: the bytes, the same at each send; empty once only the spool has them.
        spans: what it carries; empty for BYE.
        first_ns: device time of the first send.
        sends: how often it was sent.
        due_ns: when it is to be sent again.
        final: True for BYE, which overflow never drops: without it no link would ever drain.
        size: how many bytes it has.
        tag: its last 16 bytes.
        kept: whether the spool has it.
    """

    seq: int
    packet: bytes
    spans: tuple[Span, ...]
    first_ns: int
    sends: int
    due_ns: int
    final: bool
    size: int
    tag: bytes
    kept: bool = False


class Ring:
    """Packets by seq, oldest first.

    Args:
        delays_ns: waits after the first, second ... send; the last holds for all that follow.
        hurry_after: see `hurry`.
        spool: whether packets are kept.
    """

    __slots__ = (
        "_delays_ns",
        "_held",
        "_hurried_to",
        "_hurry_after",
        "_loaded",
        "_queues",
        "_spool",
        "_unkept",
        "_unloaded",
        "byte_count",
        "kept_bytes",
        "kept_packets",
    )

    def __init__(self, delays_ns: tuple[int, ...], hurry_after: int, *, spool: bool = False) -> None:
        self._delays_ns = delays_ns
        self._hurry_after = hurry_after
        self._hurried_to = 0
        # An OrderedDict because its first key is found at once even after thousands were removed before it.
        self._held: OrderedDict[int, Held] = OrderedDict()
        # One queue of (due_ns, seq) for each wait, and the first for packets in a hurry.
        self._queues: tuple[deque[tuple[int, int]], ...] = tuple(deque() for _ in range(len(delays_ns) + 1))
        self._spool = spool
        self._unkept: deque[int] = deque()  # with a spool: seqs to be kept, and seqs whose bytes are here
        self._loaded: deque[int] = deque()
        self._unloaded = 0
        self.byte_count = 0
        """Bytes of the packets that are loaded."""
        self.kept_packets = 0
        """Packets that the spool has."""
        self.kept_bytes = 0
        """Their bytes."""

    def __len__(self) -> int:
        """How many packets."""
        return len(self._held)

    def get(self, seq: int) -> Held | None:
        """The packet of that seq, or None when it is not here (any more)."""
        return self._held.get(seq)

    def oldest(self) -> Held | None:
        """The packet with the lowest seq, or None when the ring is empty."""
        for held in self._held.values():
            return held
        return None

    def floor(self, next_seq: int) -> int:
        """The lowest seq that is still held; `next_seq`, the seq of the packet being made, when there is none."""
        for seq in self._held:
            return seq
        return next_seq

    def add(
        self, seq: int, packet: bytes, spans: tuple[Span, ...], now_ns: int, *, final: bool = False
    ) -> None:
        """Keep a packet that is being sent now.

        Args:
            seq: above all that were added before.
            packet: the bytes.
            spans: what it carries.
            now_ns: device time.
            final: True for BYE.
        """
        held = Held(seq, packet, spans, now_ns, 0, 0, final, len(packet), packet[-TAG_BYTES:])
        self._held[seq] = held
        self.byte_count += len(packet)
        self._sent(held, now_ns)
        if self._spool:
            self._unkept.append(seq)
            self._loaded.append(seq)
        most = 2 * len(self._held) + STALE_MIN
        if sum(map(len, self._queues)) > most or len(self._loaded) > most:
            self._clear_stale()

    def restore(self, seq: int, samples: int, size: int, tag: bytes, now_ns: int, *, final: bool) -> None:
        """Take in a packet that only the spool has, from an earlier run; it is due at once.

        Args:
            seq: above all that were added before.
            samples: how many it carries, of whichever streams.
            size: its bytes.
            tag: its last 16 bytes.
            now_ns: device time.
            final: True for BYE.
        """
        spans = () if final else ((NO_STREAM, 0, samples),)
        held = Held(seq, b"", spans, now_ns, 1, now_ns, final, size, tag)
        self._held[seq] = held
        self._unloaded += 1
        self._keep(held)
        self._queues[0].append((now_ns, seq))

    def remove(self, first: int, last: int) -> list[Held]:
        """Take out `first..last`; numbers that are not here are no fault, so receipts may come twice.

        Returns:
            What was taken out, ascending.
        """
        if not self._held:
            return []
        first = max(first, next(iter(self._held)))
        last = min(last, next(reversed(self._held)))
        # A receipt may name a range as wide as it likes: never walk more numbers than there are packets.
        if last - first >= len(self._held):
            seqs = [seq for seq in self._held if first <= seq <= last]
        else:
            seqs = [seq for seq in range(first, last + 1) if seq in self._held]
        gone = [self._held.pop(seq) for seq in seqs]
        for held in gone:
            self._uncount(held)
        return gone

    def drop_oldest(self) -> Held | None:
        """Take out the oldest packet to make room; None when nothing but BYE is left."""
        held = self.oldest()
        if held is None or held.final:
            return None
        del self._held[held.seq]
        self._uncount(held)
        return held

    # With a spool.

    def next_keep_ns(self) -> int | None:
        """When the next packet is to be kept: as its first resend falls due; None when there is none."""
        while self._unkept:
            held = self._held.get(self._unkept[0])
            if held is not None and not held.kept:
                return held.first_ns + self._delays_ns[0]
            self._unkept.popleft()
        return None

    def keep_due(self, now_ns: int | None) -> list[Held]:
        """Packets to be kept now, marked as kept, oldest first.

        Args:
            now_ns: device time; None takes all.
        """
        due = []
        while (at_ns := self.next_keep_ns()) is not None and (now_ns is None or at_ns <= now_ns):
            held = self._held[self._unkept.popleft()]
            self._keep(held)
            due.append(held)
        return due

    def unload_oldest(self) -> tuple[Held, bytes | None] | None:
        """Let go of the bytes of the oldest packet that is loaded; None when none is.

        Returns:
            The packet, marked as kept, and its bytes if it is to be kept now.
        """
        while self._loaded:
            held = self._held.get(self._loaded.popleft())
            if held is None:
                continue
            packet = None if held.kept else held.packet
            if not held.kept:
                self._keep(held)
            self.byte_count -= held.size
            self._unloaded += 1
            held.packet = b""
            return held, packet
        return None

    def _keep(self, held: Held) -> None:
        held.kept = True
        self.kept_packets += 1
        self.kept_bytes += held.size

    def _uncount(self, held: Held) -> None:
        self.byte_count -= len(held.packet)
        self._unloaded -= not held.packet
        if held.kept:
            self.kept_packets -= 1
            self.kept_bytes -= held.size

    @property
    def loaded(self) -> int:
        """Packets whose bytes are here."""
        return len(self._held) - self._unloaded

    def clear(self) -> list[Held]:
        """Take out everything: the link is gone."""
        gone = list(self._held.values())
        self._held.clear()
        self._unkept.clear()
        self._loaded.clear()
        self.byte_count = self.kept_packets = self.kept_bytes = self._unloaded = 0
        for queue in self._queues:
            queue.clear()
        return gone

    def hurry(self, covered: int, now_ns: int) -> None:
        """A receipt named `covered`: what is `hurry_after` older and was sent once only is due now.

        It was overtaken by so many packets that it is lost, not late. Each packet is hurried once.

        Args:
            covered: highest seq that the receipt names, below the next seq of the link.
            now_ns: device time.
        """
        end = covered - self._hurry_after + 1
        for seq in range(max(self._hurried_to, self.floor(end)), end):
            held = self._held.get(seq)
            if held is not None and held.sends == 1 and held.due_ns > now_ns:
                held.due_ns = now_ns
                self._queues[0].append((now_ns, seq))
        self._hurried_to = max(self._hurried_to, end)

    def next_due_ns(self) -> int | None:
        """When the next resend is due, or None when nothing is held."""
        heads = [queue[0][0] for queue in self._queues if self._fresh_head(queue)]
        return min(heads) if heads else None

    def take_due(self, now_ns: int) -> Held | None:
        """The oldest packet that is due, marked as sent now; None when none is due."""
        best: deque[tuple[int, int]] | None = None
        for queue in self._queues:
            if (
                self._fresh_head(queue)
                and queue[0][0] <= now_ns
                and (best is None or queue[0][1] < best[0][1])
            ):
                best = queue
        if best is None:
            return None
        held = self._held[best.popleft()[1]]
        self._sent(held, now_ns)
        return held

    def _sent(self, held: Held, now_ns: int) -> None:
        step = min(held.sends, len(self._delays_ns) - 1)
        held.sends += 1
        held.due_ns = now_ns + self._delays_ns[step]
        self._queues[step + 1].append((held.due_ns, held.seq))

    def _is_fresh(self, entry: tuple[int, int]) -> bool:
        held = self._held.get(entry[1])
        return held is not None and held.due_ns == entry[0]

    def _fresh_head(self, queue: deque[tuple[int, int]]) -> bool:
        while queue and not self._is_fresh(queue[0]):
            queue.popleft()
        return bool(queue)

    def _clear_stale(self) -> None:
        for queue in self._queues:
            fresh = [entry for entry in queue if self._is_fresh(entry)]
            queue.clear()
            queue.extend(fresh)
        for seqs in (self._loaded, self._unkept):
            known = [seq for seq in seqs if seq in self._held]
            seqs.clear()
            seqs.extend(known)
