"""A link as the gateway runs it: keys, ranges of seq, where it was last heard, and the commands it has not answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway.core.clocks import LinkClock
from gateway.core.effects import AdmittedPacket, Source
from gateway.core.ranges import MAX_RANGES, STORED, Ranges
from gateway.core.rates import Bucket
from gateway.core.records import LinkRecord, StreamRecord
from gateway.keys.link import DOWN, UP, LinkCipher, LinkKeys
from gateway.permit import Permit
from gateway.wire import packet as wire

MAX_SEQ_JUMP: Final = 2**20  # VT1, "Delivery"
COPY_ANSWERS_S: Final = 10  # VT1: a copy is answered at most ten times a second
MAX_REFUSED_FRAMES: Final = 256  # told one by one in a cycle; all of them stand in the part and in the totals
COMMAND_EVERY_NS: Final = 1_000_000_000
COMMAND_TRIES: Final = 30

DONE: Final = "done"
NO_ANSWER: Final = "no_answer"
ENDED: Final = "ended"


@dataclass(slots=True)
class Pending:
    """A COMMAND that its device has not answered yet.

    Args:
        packet: the bytes, the same each time they are sent.
        verb: what it asks.
        due_ns: monotonic time of the next send.
        tries: sends so far.
    """

    packet: bytes
    verb: str
    due_ns: int
    tries: int = 1


class Outcome(NamedTuple):
    """What became of a COMMAND.

    Args:
        seq: its downlink seq, which no other packet of this gateway has.
        verb: what it asked.
        result: the device's word (`done`, `refused`, `unsupported`), `no_answer`, or `ended`: its link did first.
    """

    seq: int
    verb: str
    result: str


class Link:
    """The running side of a `LinkRecord`.

    Args:
        record: its durable part; `record.done` holds what a commit settled.
        packets_s: rate of its device, a bucket shared by all links of the device.
    """

    __slots__ = (
        "asked_ns",
        "bye",
        "bad_tag_count",
        "suspect_ns",
        "clock",
        "commands",
        "copies",
        "down",
        "heard_ns",
        "held_period",
        "let_go_ns",
        "listened",
        "newest",
        "packets_s",
        "pending",
        "permits",
        "record",
        "refused_frames",
        "resets",
        "rotate_result",
        "rotated_to",
        "seen",
        "source",
        "stored",
        "streams",
        "up",
    )

    def __init__(self, record: LinkRecord, packets_s: Bucket) -> None:
        self.record = record
        self.packets_s = packets_s
        keys = (record.key, record.nonce_d, record.nonce_g, record.device, record.link)
        self.up = LinkCipher(LinkKeys.derive(*keys, UP))
        self.down = LinkCipher(LinkKeys.derive(*keys, DOWN))
        # VT1: on start, seen = done.
        self.seen: Ranges = record.done.numbers()
        self.newest = self.seen.lasts[-1] if len(self.seen) else -1
        self.source: Source | None = None
        self.heard_ns: int | None = None
        """When this run of the gateway last heard something fresh."""
        self.let_go_ns: int | None = None
        """The device's time of a HELLO that did not name this link; what it sends later takes that back."""
        self.clock = LinkClock()
        self.streams: dict[int, StreamRecord] = {}
        self.permits: dict[int, Permit] = {}
        # What this cycle will settle: packets on their way to the seal, or seq with a verdict.
        self.pending: list[AdmittedPacket | tuple[int, str]] = []
        # Of those the packets all of whose frames may be stored, by runs of seq: the seal need not look at each again.
        self.stored: list[tuple[int, int]] = []
        self.refused_frames: list[tuple[int, int, str]] = []
        # Totals of a BYE that came; the record gets them with the cycle that settles what came before it.
        self.bye: list[tuple[int, int]] | None = record.bye
        self.copies = Bucket(COPY_ANSWERS_S, COPY_ANSWERS_S)
        self.resets = Bucket(1, 1)
        self.bad_tag_count = 0
        self.suspect_ns = 0
        """Until when senders of bad tags are looked up before this link's packets are."""
        self.commands: dict[int, Pending] = {}
        self.asked_ns = 0
        self.held_period = 0
        """The newest period without room on the disk that this link was told of."""
        self.rotated_to = b""
        """The next key of its device that was told here and answered, and how."""
        self.rotate_result = ""
        self.listened = -1
        """The newest seq that was heard while nothing could be stored; it is not settled, and probes up to it are
        copies for ever."""

    @property
    def number(self) -> int:
        """The link id."""
        return self.record.link

    def is_jump(self, seq: int) -> bool:
        """Whether a seq is too far above the newest that was heard, stored or not."""
        return seq > self.newest + MAX_SEQ_JUMP and seq > self.listened + MAX_SEQ_JUMP

    def heard(self, header: wire.Header, source: Source, arrived_ns: int) -> None:
        """Note a fresh packet: seen, and if it is the newest, where answers go."""
        seq = header.seq
        if seq == self.newest + 1 and seq:
            # In order, as nearly always: the last range grows.
            self.seen.lasts[-1] = self.newest = seq
            self.source = source
        else:
            self.seen.add(seq, seq)
            if len(self.seen) > MAX_RANGES:
                for first, last in self.seen.bound():
                    self.record.done.settle(first, last, "closed")
            if seq > self.newest:
                self.newest = seq
                self.source = source
            elif self.source is None:
                # After a restart: what comes fresh below the newest seq of the store is the first sign of where.
                self.source = source
        self.heard_ns = arrived_ns
        if self.let_go_ns is not None and header.t_send_ns > self.let_go_ns:
            self.bye = self.let_go_ns = None
        self.clock.packet(header.t_send_ns, arrived_ns)

    def drop_commands(self, verb: str = "") -> list[Outcome]:
        """Send commands no more.

        Args:
            verb: which; all without one.

        Returns:
            What became of them. A link that waits answers nothing: there HELLO, with which it ends, is the answer.
        """
        result = ENDED if self.record.session else DONE
        gone = [seq for seq, pending in self.commands.items() if verb in ("", pending.verb)]
        return [Outcome(seq, self.commands.pop(seq).verb, result) for seq in gone]

    def raise_floor(self, floor: int) -> None:
        """Close the holes below the lowest seq that the device still holds."""
        record = self.record
        if floor <= record.floor:
            return
        # A floor above what was ever sent would close the future; the device cannot hold less than nothing.
        record.floor = floor = min(floor, self.newest + 1)
        for first, last in self.seen.holes_below(floor):
            self.seen.add(first, last)
            record.done.settle(first, last, "closed")

    def packet_down(self, kind: int, seq: int, now_ns: int, body: bytes) -> bytes:
        """An encrypted, tagged packet to the device.

        Args:
            kind: RECEIPT, SYNC or COMMAND.
            seq: a downlink seq never used before.
            now_ns: monotonic time of the send.
            body: in the clear.
        """
        packet = wire.pack_header(kind, self.record.link, seq, now_ns) + self.down.crypt(seq, body)
        return packet + self.down.tag(packet)

    def admit(self, packet: AdmittedPacket) -> None:
        """Note a packet on its way to the seal."""
        seq, runs = packet.seq, self.stored
        if packet.refused:
            self.pending.append(packet)
        elif runs and runs[-1][1] + 1 == seq:
            runs[-1] = (runs[-1][0], seq)
        else:
            runs.append((seq, seq))

    def discard(self, packet: AdmittedPacket) -> None:
        """A packet lost frames at the seal: its verdict is its own."""
        seq = packet.seq
        for at, (first, last) in enumerate(self.stored):
            if first <= seq <= last:
                self.stored[at : at + 1] = [
                    run for run in ((first, seq - 1), (seq + 1, last)) if run[0] <= run[1]
                ]
                self.pending.append(packet)
                return

    @property
    def unsettled(self) -> bool:
        """Whether something waits for the next seal."""
        return bool(self.pending or self.stored)

    def settle(self, utc_offset_ns: int) -> tuple[Ranges, dict[str, Ranges]]:
        """Give every pending packet its verdict, in the durable record; the next commit makes it last.

        Args:
            utc_offset_ns: UTC minus monotonic, so that what is known of the device's clock outlives this process.

        Returns:
            `(stored, refused by reason)` ranges of seq of this cycle, for the receipt.
        """
        stored = Ranges()
        refused: dict[str, Ranges] = {}
        done = self.record.done
        # By runs of one verdict: nearly always a whole second is one.
        runs: list[tuple[int, int, str]] = [(first, last, STORED) for first, last in self.stored]
        self.stored = []
        first, last, word = 0, -1, ""
        for item in self.pending:
            if isinstance(item, tuple):
                seq, verdict = item
            else:
                seq = item.seq
                verdict = STORED if item.frames or not item.refused else item.refused[0][1]
                if item.frames and item.refused and len(self.refused_frames) < MAX_REFUSED_FRAMES:
                    self.refused_frames += [(seq, stream, reason) for stream, reason in item.refused]
            if seq == last + 1 and verdict == word:
                last = seq
                continue
            if last >= 0:
                runs.append((first, last, word))
            first, last, word = seq, seq, verdict
        if last >= 0:
            runs.append((first, last, word))
        for first, last, word in runs:
            done.settle(first, last, word)
            (stored if word == STORED else refused.setdefault(word, Ranges())).add(first, last)
        self.pending = []
        self.record.bye = self.bye
        if not self.clock.is_new:
            self.record.clock_ns = self.clock.least_utc_ns(utc_offset_ns)
        done.bound()
        return stored, refused

    def covered(self) -> bool:
        """Whether a BYE came and every total it told is settled."""
        totals = self.record.bye
        if totals is None:
            return False
        return all(
            (stream := self.streams.get(number)) is not None and stream.missing == 0 for number, _ in totals
        ) or not self.seen.holes_below(self.newest + 1)
