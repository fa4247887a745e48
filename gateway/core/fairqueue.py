"""The one bounded queue of arrivals, shared fairly: nobody takes another's room or turn.

The link is read from the header before anything is authenticated, so the source counts with it. A packet that names a
link and comes from where that link was last heard is in its device's share, whatever link of the device it names.
Everything else - strangers, forgeries from elsewhere, links that nobody knows, a device that has just changed its
address - is one share together: inside it the addresses are spread over a few lanes, so that neither invented
addresses nor invented links make anyone's part smaller. When the queue is full, the longest share gives way (VT1,
"Order of checks"; hop 1 in gateway/README.md).
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Mapping
from typing import Final

from gateway.core.effects import Arrival, MqttSource
from gateway.core.link import Link
from gateway.wire.packet import HELLO, PAIR

OUTSIDERS: Final = 0  # no device has this number
LANES: Final = 32  # of outsiders: so many for handshakes, for other datagrams, and for what comes by MQTT


class _Outsiders:
    """The share of all who are not known by their address: a queue with lanes, emptied in turn."""

    __slots__ = ("_lanes", "_length", "_salt", "_turns")

    def __init__(self, salt: int) -> None:
        self._salt = salt
        self._lanes: dict[int, deque[Arrival]] = {}
        self._turns: deque[int] = deque()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def append(self, arrival: Arrival) -> None:
        """Take an arrival in."""
        # By host alone: whoever has one address may invent ports. The salt keeps anyone from aiming at a lane.
        number = zlib.crc32(repr(arrival.source[0]).encode(), self._salt) % LANES
        if isinstance(arrival.source, MqttSource):
            number += 2 * LANES
        elif arrival.packet[3:4] in _HANDSHAKES:
            number += LANES
        lane = self._lanes.get(number)
        if lane is None:
            lane = self._lanes[number] = deque()
            self._turns.append(number)
        lane.append(arrival)
        self._length += 1

    def popleft(self) -> Arrival:
        """The first arrival of the lane whose turn it is."""
        number = self._turns.popleft()
        lane = self._lanes[number]
        arrival = lane.popleft()
        if lane:
            self._turns.append(number)
        else:
            del self._lanes[number]
        self._length -= 1
        return arrival

    def pop(self) -> Arrival:
        """The newest arrival of the longest lane."""
        number = max(self._lanes, key=lambda number: len(self._lanes[number]))
        lane = self._lanes[number]
        arrival = lane.pop()
        if not lane:
            del self._lanes[number]
            self._turns.remove(number)
        self._length -= 1
        return arrival


_HANDSHAKES = (bytes([HELLO]), bytes([PAIR]))
_Share = deque[Arrival] | _Outsiders


class FairQueue:
    """A queue with a share for each sender, emptied in turn.

    Args:
        max_packets: most packets that wait.
        max_bytes: most bytes that wait.
    """

    def __init__(self, max_packets: int, max_bytes: int) -> None:
        self._max_packets = max_packets
        self._max_bytes = max_bytes
        self._links: Mapping[int, Link] = {}
        self._salt = 0
        self._shares: dict[int, _Share] = {}
        self._turns: deque[int] = deque()
        self._longest: int | None = None
        self._alone: list[Arrival] = []
        """A slab that found the queue empty: nobody waits, so there is nothing to share."""
        self.packets = 0
        self.bytes = 0

    def know(self, links: Mapping[int, Link], salt: int) -> None:
        """Tell devices by their links from now on.

        Args:
            links: the links that are known at any time, by number.
            salt: a random u32.
        """
        self._links, self._salt = links, salt

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
        link = self._links.get(int.from_bytes(packet[4:8], "little"))
        key = OUTSIDERS if link is None or link.source != arrival.source else link.record.device
        share = self._shares.get(key)
        shed = None
        if not self.has_room:
            if key != OUTSIDERS and share is not None and len(share) >= self.packets // len(self._shares):
                return arrival
            # An outsider never gives way itself: the longest lane does, so that a quiet address gets in.
            shed = self._shed()
            share = self._shares.get(key)
        if share is None:
            share = self._shares[key] = _Outsiders(self._salt) if key == OUTSIDERS else deque()
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
