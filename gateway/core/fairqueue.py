"""The one bounded queue of arrivals, shared fairly by (link, source): nobody takes another's room or turn.

The link is read from the header before anything is authenticated, so both parts of the key count: a spoofer at another
address has its own share, and a hostile device cannot fill the queue for others. When the queue is full, the longest
share gives way (VT1, "Order of checks"; DESIGN.md, hop 1).
"""

from __future__ import annotations

from collections import deque

from gateway.core.effects import Arrival, Source

_Key = tuple[bytes, Source]


class FairQueue:
    """A queue with a share for each sender, emptied in turn.

    Args:
        max_packets: most packets that wait.
        max_bytes: most bytes that wait.
    """

    def __init__(self, max_packets: int, max_bytes: int) -> None:
        self._max_packets = max_packets
        self._max_bytes = max_bytes
        self._shares: dict[_Key, deque[Arrival]] = {}
        self._turns: deque[_Key] = deque()
        self._longest: _Key | None = None
        self._alone: list[Arrival] = []
        """A slab that found the queue empty: nobody waits, so there is nothing to share."""
        self.packets = 0
        self.bytes = 0

    def __len__(self) -> int:
        """Packets that wait."""
        return self.packets

    @property
    def has_room(self) -> bool:
        """Whether a packet can be taken without shedding another; MQTT waits for it."""
        return self.packets < self._max_packets and self.bytes < self._max_bytes

    def put_slab(self, slab: list[Arrival]) -> list[Arrival]:
        """Queue what one look at the socket brought.

        Returns:
            The packets that were shed.
        """
        size = sum([len(arrival.packet) for arrival in slab])
        if not self.packets and len(slab) <= self._max_packets and size <= self._max_bytes:
            self._alone = slab
            self.packets, self.bytes = len(slab), size
            return []
        return [shed for arrival in slab if (shed := self.put(arrival)) is not None]

    def _share_out(self) -> None:
        slab, self._alone = self._alone, []
        self.packets = self.bytes = 0
        for arrival in slab:
            self.put(arrival)

    def put(self, arrival: Arrival) -> Arrival | None:
        """Queue an arrival.

        Returns:
            The packet that was shed for it (this one or another), or None.
        """
        if self._alone:
            self._share_out()
        packet = arrival.packet
        key = (packet[4:8], arrival.source)
        share = self._shares.get(key)
        shed = None
        if not self.has_room:
            fair = self.packets // (len(self._shares) or 1)
            if share is not None and len(share) >= fair:
                return arrival
            shed = self._shed()
            share = self._shares.get(key)
        if share is None:
            share = self._shares[key] = deque()
            self._turns.append(key)
        share.append(arrival)
        self.packets += 1
        self.bytes += len(packet)
        return shed

    def _shed(self) -> Arrival:
        """Take the newest packet of the longest share, so that what that sender sent first still comes through."""
        longest = self._longest
        fair = self.packets // len(self._shares)
        # The share found last time serves as long as it holds more than its part: a scan for each shed packet would
        # let a flood from many invented addresses cost as much as it can.
        if longest is None or len(self._shares.get(longest, ())) <= fair + 1:
            longest = self._longest = max(self._shares, key=lambda key: len(self._shares[key]))
        share = self._shares[longest]
        shed = share.pop()
        if not share:
            del self._shares[longest]
            self._turns.remove(longest)
            self._longest = None
        self.packets -= 1
        self.bytes -= len(shed.packet)
        return shed

    def take(self, most: int) -> list[Arrival]:
        """Up to `most` arrivals, one of each share in turn; a share's own order stays."""
        if self._alone:
            if len(self._alone) <= most:
                out, self._alone = self._alone, []
                self.packets = self.bytes = 0
                return out
            self._share_out()
        out = []
        shares, turns = self._shares, self._turns
        size = 0
        while turns and len(out) < most:
            key = turns.popleft()
            share = shares[key]
            arrival = share.popleft()
            if share:
                turns.append(key)
            else:
                del shares[key]
            out.append(arrival)
            size += len(arrival.packet)
        self.packets -= len(out)
        self.bytes -= size
        return out
