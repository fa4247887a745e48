"""One link's packets: numbers, resends, floors (SPEC, "Delivery"). What a device sends again must be the same bytes."""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass
from typing import Final

from gateway.app.plugin_check.say import Finding, Spot
from gateway.wire import packet as wire

SECOND: Final = 1_000_000_000
EARLY_NS: Final = 2_300_000_000  # 2.5 s less what a machine may be late with the first send
HURRY: Final = 64
NEVER_NS: Final = 20 * SECOND  # three resends would be due
STUCK_NS: Final = 12 * SECOND  # its receipt may be lost, and come again with the answer to a resend
MAX_KEPT: Final = 16_384  # digests of a link; what is older is taken for new, and the gateway says `copy`
LIVE_RESENDS: Final = 8  # a second, whatever the live rate: a driver that wakes late sends some together
IDLE_RESENDS: Final = 150  # 100 a second, and what a late driver or a busy machine moves over a second's edge


@dataclass(slots=True)
class _Held:
    packet: bytes | None  # the bytes, until it has a receipt
    digest: bytes
    kind: int
    first_ns: int
    last_ns: int
    sends: int = 1
    told_ns: int = 0  # when a receipt that names it was delivered
    hurried: bool = False
    tolds: int = 0  # receipts that name it and were delivered since it was sent again


class Pace:
    """How fast one device sends, over all its links: what drains on an old one is paced by what is live on the new."""

    def __init__(self) -> None:
        self._live: deque[int] = deque()
        self._again: deque[int] = deque()
        self._rate = 0.0  # most live packets a second, lately; a device's pace holds on to it when it stops
        self._idle_ns: int | None = None  # when it last began to be live after a second without

    def live(self, now_ns: int) -> None:
        """A DATA packet came for the first time."""
        if not self._live or now_ns - self._live[-1] > SECOND:
            self._idle_ns = now_ns
        self._live.append(now_ns)
        _forget(self._live, now_ns)
        self._rate = max(self._rate * 0.999, float(len(self._live)))

    def again(self, now_ns: int) -> list[Finding]:
        """A packet came again."""
        self._again.append(now_ns)
        for times in (self._again, self._live):
            _forget(times, now_ns)
        most = max(LIVE_RESENDS, 3 * self._rate + 4)
        if not self._live or (self._idle_ns is not None and now_ns - self._idle_ns <= SECOND):
            # Nothing is live, or was not at the beginning of this second.
            most = max(most, IDLE_RESENDS)
        if len(self._again) <= most:
            return []
        what = (
            f"{len(self._again)} packets came again within a second, with {len(self._live)} live ones on "
            f"all links (limit {most:.0f})"
        )
        return [
            Finding(
                "resend.burst",
                12,
                what,
                "at most twice the live rate, 100/s with nothing live; live packets first",
            )
        ]


def _forget(times: deque[int], now_ns: int) -> None:
    while times and now_ns - times[0] > SECOND:
        times.popleft()


class Delivery:
    """What was seen on a link, uplink.

    Args:
        pace: of its device; one of its own where nothing is said.
    """

    def __init__(self, pace: Pace | None = None) -> None:
        self._pace = pace if pace is not None else Pace()
        self._held: OrderedDict[int, _Held] = OrderedDict()
        self._open: OrderedDict[int, _Held] = OrderedDict()  # of those DATA and BYE without a receipt
        self._resent: dict[int, _Held] = {}
        self._highest_told = -1
        self._live = False  # whether DATA came
        self._late_copies = 0
        self.floor = -1
        self.newest = -1
        self.bye_seq: int | None = None
        self.resends = 0
        self.facts: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def unsettled(self) -> int:
        """DATA and BYE without a receipt that was delivered."""
        return len(self._open)

    def known(self, seq: int) -> bool:
        """Whether a packet of this number was seen before."""
        return seq in self._held

    def bytes_of(self, seq: int) -> bytes | None:
        """The bytes of the first send, while it has no receipt."""
        held = self._held.get(seq)
        return held.packet if held is not None else None

    def again(self, header: wire.Header, packet: bytes, now_ns: int) -> tuple[list[Finding], list[Spot]]:
        """A number that was seen before."""
        held = self._held[header.seq]
        if hashlib.sha256(packet).digest() != held.digest:
            return self._changed(header, packet, held)
        findings = []
        if held.kind not in (wire.DATA, wire.BYE):
            self.facts["resend.probe"] += 1
            findings.append(
                Finding(
                    "resend.once_only",
                    10,
                    f"a {wire.TYPE_NAMES[held.kind].upper()} was sent twice",
                    "send DATA and BYE again, nothing else",
                )
            )
            return findings, []
        self.resends += 1
        self.facts["resend.same"] += 1
        gap_ns = now_ns - held.last_ns
        hurried = self._highest_told >= header.seq + HURRY and not held.hurried
        if gap_ns < EARLY_NS and not hurried:
            findings.append(
                Finding(
                    "resend.early",
                    10,
                    f"seq {header.seq} came again after {gap_ns / 1e9:.2f} s",
                    "wait 2.5 s, then double up to 10 s; sooner only once, when a receipt names a packet 64 above it",
                )
            )
        if hurried and gap_ns < EARLY_NS:
            held.hurried = True
        if held.tolds >= 2 and now_ns - held.told_ns > SECOND:
            self._late_copies += 1
            if self._late_copies >= 3:
                findings.append(
                    Finding(
                        "resend.after_receipt",
                        10,
                        "packets come again that have their receipt",
                        "drop a packet when a RECEIPT names its seq, stored or refused",
                    )
                )
        held.sends += 1
        held.last_ns = now_ns
        self._resent[header.seq] = held
        return [*findings, *self._pace.again(now_ns)], []

    def _changed(self, header: wire.Header, packet: bytes, held: _Held) -> tuple[list[Finding], list[Spot]]:
        self.facts["resend.changed"] += 1
        before = held.packet
        where, spots = "other bytes", []
        if before is not None:
            at = next(
                (n for n, (a, b) in enumerate(zip(before, packet, strict=False)) if a != b),
                min(len(before), len(packet)),
            )
            where = (
                "another type"
                if at == 3
                else "another t_send_ns"
                if 16 <= at < 24
                else "another body"
                if at >= 24
                else "another header"
            )
            spots = [Spot(at, packet[at : at + 8], before[at : at + 8].hex(" "), packet=True)]
        return [
            Finding(
                "resend.changed",
                10,
                f"seq {header.seq} came again with {where}",
                "send the kept bytes of the first send: two bodies under one seq share a key stream",
            )
        ], spots

    def fresh(
        self, header: wire.Header, packet: bytes, now_ns: int, *, crossed: bool = False
    ) -> list[Finding]:
        """A number that is new, of a packet whose tag verifies.

        Args:
            header, packet: of it.
            now_ns: its arrival.
            crossed: whether it may follow BYE: an answer to a COMMAND that crossed the BYE.
        """
        seq, findings = header.seq, []
        if self.newest < 0 and seq:
            findings.append(
                Finding("seq.start", 10, f"the link begins with seq {seq}", "seq starts at 0 with each link")
            )
        elif self.newest >= 0 and seq > self.newest + 1:
            what = f"seq goes from {self.newest} to {seq}"
            findings.append(
                Finding(
                    "seq.gap",
                    10,
                    what,
                    "count every packet of the link, whatever its type, by one",
                    fails=False,
                )
            )
        if self.bye_seq is not None and seq > self.bye_seq and not crossed:
            findings.append(
                Finding(
                    "bye.not_last",
                    14,
                    "a new packet on a link that said BYE",
                    "BYE is the last packet of its link; go on under a new one",
                )
            )
        held = self._held[seq] = _Held(packet, hashlib.sha256(packet).digest(), header.type, now_ns, now_ns)
        if header.type in (wire.DATA, wire.BYE):
            self._open[seq] = held
        else:
            held.packet = None
        if header.type == wire.BYE:
            self.bye_seq = seq
        if header.type == wire.DATA:
            self._live = True
            self._pace.live(now_ns)
        self.newest = max(self.newest, seq)
        while len(self._held) > MAX_KEPT:
            oldest, _ = self._held.popitem(last=False)
            self._open.pop(oldest, None)
            self._resent.pop(oldest, None)
        return findings

    def floored(self, seq: int, floor: int, now_ns: int) -> list[Finding]:
        """A fresh DATA or BYE tells its floor."""
        findings = []
        if floor > seq:
            findings.append(
                Finding(
                    "floor.above",
                    11,
                    f"floor {floor} is above the packet's own seq {seq}",
                    "the lowest seq that is still held; the packet's own if none is",
                )
            )
        if floor < self.floor:
            findings.append(
                Finding(
                    "floor.falls",
                    11,
                    f"floor falls from {self.floor} to {floor}",
                    "it only rises, as receipts come",
                    fails=False,
                )
            )
        if floor > self.floor >= 0:
            self.facts["floor.rises"] += 1
        skipped = [number for number in self._first_open() if number < min(floor, seq)]
        if skipped:
            findings.append(
                Finding(
                    "floor.skips",
                    11,
                    f"floor {floor} passes seq {skipped[0]}, which has no receipt",
                    "hold a packet until its receipt; only a full ring lets it go",
                )
            )
        stuck = self._held.get(floor)
        if stuck is not None and stuck.told_ns and now_ns - stuck.told_ns > STUCK_NS and floor < seq:
            findings.append(
                Finding(
                    "floor.stuck",
                    11,
                    f"floor stays at {floor}, which has its receipt for {(now_ns - stuck.told_ns) // SECOND} s",
                    "raise it to the lowest seq that is still held",
                )
            )
        self.floor = max(self.floor, min(floor, seq))
        return findings

    def told(self, ranges: list[tuple[int, int]], now_ns: int) -> None:
        """A receipt that was delivered names these seqs."""
        for _, last in ranges:
            self._highest_told = max(self._highest_told, min(last, self.newest))
        for seq in [seq for seq in self._open if any(first <= seq <= last for first, last in ranges)]:
            held = self._open.pop(seq)
            held.told_ns, held.packet = now_ns, None
        for seq, held in self._resent.items():
            if held.told_ns and any(first <= seq <= last for first, last in ranges):
                held.tolds, held.told_ns = held.tolds + 1, now_ns

    def _first_open(self) -> list[int]:
        return [next(iter(self._open))] if self._open else []

    def overdue(self, now_ns: int, heard: bool) -> list[Finding]:
        """What should have come by now.

        Args:
            now_ns: the time.
            heard: whether the device hears the gateway at all.
        """
        if not heard or self.resends or not self._live:
            return []
        waits = [held for held in self._open.values() if now_ns - held.first_ns > NEVER_NS]
        if not waits:
            return []
        return [
            Finding(
                "resend.never",
                10,
                f"{len(waits)} packets have no receipt for {NEVER_NS // SECOND} s and were never sent again",
                "keep each DATA and BYE, and send it again after 2.5 s",
            )
        ]
