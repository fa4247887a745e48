"""Devices, sessions, links and streams: the tables that intake, sessions and the commit cycle share.

The registry changes its records at once and names them in `staged`; the next commit makes them durable, and what must
not be said before that waits in `answers`. After a start it is filled from the store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from gateway.core.effects import Effect, MqttSource, Source
from gateway.core.faults import Faults
from gateway.core.handshake import MAX_HALF_OPEN, Names, RandomBytes
from gateway.core.link import Link, Outcome
from gateway.core.rates import Bucket
from gateway.core.records import (
    Device,
    LinkRecord,
    Pairing,
    Session,
    StreamRecord,
    Writes,
)
from gateway.ids import DeviceId, LinkId, RunId, SessionId, StreamId, StreamKey

_Key = TypeVar("_Key")

DOWN_COUNTER_BITS: Final = 48
MAX_LINKS_PER_DEVICE: Final = 256  # a week of pauses; a device that asks for more loses its oldest
# Of one device. A waiting headset asks for a link every few seconds, for days: besides those that may still be half
# open only one is kept, for its BYE.
MAX_WAITING_LINKS: Final = MAX_HALF_OPEN + 1


class Registry:
    """The tables, and the small rules that keep them consistent.

    Args:
        names: the gateway's own name and its home.
        random: source of nonces, keys and ids.
        clock_ns: the monotonic clock, for clock probes, whose reply must tell the time of its own send.
        boot: number of this start; the upper 16 bits of every downlink seq.
        device_packets_s: packets each second that one device may send.
        max_links: links that are kept at once, of all devices; above it the least important is forgotten.
    """

    def __init__(
        self,
        names: Names,
        random: RandomBytes,
        clock_ns: Callable[[], int],
        boot: int,
        device_packets_s: float = 4000,
        max_links: int = 4096,
    ) -> None:
        self.names = names
        self.random = random
        self.clock_ns = clock_ns
        self.newest_down = boot << DOWN_COUNTER_BITS
        """The newest downlink seq; of all links together, so that none is used twice."""
        self._device_packets_s = device_packets_s
        self._max_links = max_links
        self._buckets: dict[int, Bucket] = {}
        self.devices: dict[DeviceId, Device] = {}
        self.pairings: list[Pairing] = []
        # Which device a code became, for whoever waits for it; a restart forgets it.
        self.paired: dict[str, DeviceId] = {}
        self.new_pairs = 0
        self.sessions: dict[SessionId, Session] = {}
        self.links: dict[int, Link] = {}
        self.streams: dict[StreamKey, StreamRecord] = {}
        # The same again, by what they are asked for: no packet and no start may cost a walk through all of them.
        self._of_device: dict[DeviceId, dict[int, Link]] = {}
        self._of_session: dict[SessionId, dict[int, Link]] = {}
        self._runs: dict[SessionId, dict[tuple[DeviceId, RunId], list[StreamRecord]]] = {}
        self.closed_ns: dict[SessionId, int] = {}
        # Over by a withdrawal, while links of theirs are kept: what still comes on those is refused, and why is said.
        self.withdrawn: set[SessionId] = set()
        self.next_link = 1
        self.next_device = 1
        self.utc_offset_ns = 0
        # What the next commit writes, and what may be said only after it.
        self.staged = Writes()
        self.touched: dict[int, Link] = {}
        # By id(): streams live as long as their session, and the tuple that names one is slow to make.
        self.changed_streams: dict[int, StreamRecord] = {}
        self.answers: list[Effect] = []
        self.urgent = False
        self.shed: Counter[str] = Counter()
        self.welcomed: Counter[str] = Counter()
        self.refusals: dict[DeviceId, tuple[bytes, bytes]] = {}
        # Next keys that are durable, so that a device may be told: one told before it was kept would lock it out.
        self.rotations: dict[DeviceId, bytes] = {}
        self.rotated = 0
        self.commanded: Counter[str] = Counter()
        self.outcomes: list[Outcome] = []
        # Why nothing can be stored now, as devices are told; and how many such periods there were.
        self.holding = ""
        self.held_periods = 0
        self.faults = Faults()

    # ---- filling ---------------------------------------------------------------------------------------------

    def restore(
        self,
        devices: Iterable[Device],
        pairings: Iterable[Pairing],
        sessions: Iterable[Session],
        links: Iterable[LinkRecord],
        streams: Iterable[StreamRecord],
        next_link: int,
        next_device: int,
        withdrawn: Iterable[SessionId] = (),
    ) -> None:
        """Fill the tables from the store, before the first packet; links beyond the bounds are forgotten."""
        self.devices = {device.device: device for device in devices}
        self.rotations = {
            number: device.next_key
            for number, device in self.devices.items()
            if device.state == "active" and device.next_key and not device.next_by_file
        }
        self.pairings = list(pairings)
        self.sessions = {session.session: session for session in sessions}
        self.withdrawn = set(withdrawn)
        self.next_link, self.next_device = next_link, next_device
        for stream in streams:
            self._add_stream(stream)
        for record in self._within_bounds(links):
            link = self._link(record)
            for stream in self._runs.get(record.session, {}).get((record.device, record.run), ()):
                link.streams[stream.stream] = stream
            known = not record.session or record.session in self.sessions or record.session in self.withdrawn
            if record.state == "live" and not known:
                # Its session was closed while the link was out of sight: nothing may be filed under it any more.
                self.end(link, "ended")
                self.urgent = True

    def _within_bounds(self, records: Iterable[LinkRecord]) -> list[LinkRecord]:
        """The links that are kept, oldest first; what is too much is staged as forgotten, before it costs keys."""
        kept: list[LinkRecord] = []
        total: Counter[DeviceId] = Counter()
        waiting: Counter[DeviceId] = Counter()
        for record in sorted(records, key=_importance, reverse=True):
            device = record.device
            if (
                len(kept) >= self._max_links
                or total[device] >= MAX_LINKS_PER_DEVICE
                or (not record.session and waiting[device] >= MAX_WAITING_LINKS)
            ):
                self._stage_forgotten(record)
                continue
            kept.append(record)
            total[device] += 1
            waiting[device] += not record.session
        return sorted(kept, key=lambda record: record.link)

    # ---- devices ---------------------------------------------------------------------------------------------

    def add_device(self, device: Device) -> None:
        """A new device; its number is taken."""
        self.devices[device.device] = device
        self.next_device = max(self.next_device, device.device + 1)
        self.staged.devices.append(device)

    def pair(self, pairing: Pairing, device: Device) -> None:
        """A code was spent on a new device."""
        self.add_device(device)
        self.staged.pairings.append(pairing)
        self.paired[pairing.code] = device.device
        self.new_pairs += 1

    def staged_device(self, device: Device) -> None:
        """A device's record changed."""
        if device not in self.staged.devices:
            self.staged.devices.append(device)

    def revoke(self, device: Device) -> None:
        """No new link, and no packet of the old ones is taken; under either key a device still learns that."""
        device.state = "revoked"
        self.rotations.pop(device.device, None)
        self.staged_device(device)
        for link in self.links_of_device(device.device):
            self.end(link, "revoked")

    # ---- sessions --------------------------------------------------------------------------------------------

    def session_for(self, device: DeviceId) -> Session | None:
        """The open session that names the device; there is at most one."""
        for session in self.sessions.values():
            if session.state == "open" and device in session.devices:
                return session
        return None

    def closed_at_ns(self, session: Session) -> int:
        """When a session was closed, on the monotonic clock."""
        closed_ns = self.closed_ns.get(session.session)
        if closed_ns is None:
            # Closed in an earlier run: only UTC remembers. From here on a jump of UTC moves it no more.
            closed_ns = session.closed_ms * 1_000_000 - self.utc_offset_ns
            self.closed_ns[session.session] = closed_ns
        return closed_ns

    def links_of(self, session: SessionId) -> list[Link]:
        """The links that belong to a session; those of the empty one wait."""
        return list(self._of_session.get(session, {}).values())

    def links_of_device(self, device: DeviceId) -> list[Link]:
        """The links of a device that are kept, oldest first."""
        return list(self._of_device.get(device, {}).values())

    def streams_of(self, session: SessionId) -> list[StreamRecord]:
        """The streams of a session that are in memory."""
        return [stream for run in self._runs.get(session, {}).values() for stream in run]

    def forget_session(self, session: SessionId) -> None:
        """A session is closed: it, its streams and what its links know of both."""
        del self.sessions[session]
        self.closed_ns.pop(session, None)
        for stream in self.streams_of(session):
            del self.streams[stream.key]
        self._runs.pop(session, None)
        for link in self.links_of(session):
            link.streams.clear()
            link.permits.clear()
            if link.record.state == "live" and session not in self.withdrawn:
                self.end(link, "ended")

    # ---- links -----------------------------------------------------------------------------------------------

    def _link(self, record: LinkRecord) -> Link:
        bucket = self._buckets.get(record.device)
        if bucket is None:
            bucket = self._buckets[record.device] = Bucket(self._device_packets_s, 2 * self._device_packets_s)
        link = self.links[record.link] = Link(record, bucket)
        self._of_device.setdefault(record.device, {})[record.link] = link
        self._of_session.setdefault(record.session, {})[record.link] = link
        if record.transport == "mqtt":
            link.source = MqttSource(record.device)
        return link

    def take_link_number(self) -> LinkId:
        """A number that no link of this store ever had."""
        number = self.next_link
        self.next_link += 1
        return LinkId(number)

    def add_link(self, record: LinkRecord, source: Source) -> Link:
        """A new link: durable with the next commit. Where it is one too many, the one that matters least goes."""
        link = self._link(record)
        link.source = source
        self.touched[link.number] = link
        self.staged.links.append(record)
        mine = self._of_device[record.device]
        waiting = {number: other for number, other in mine.items() if not other.record.session}
        for links, most in (
            (waiting, MAX_WAITING_LINKS),
            (mine, MAX_LINKS_PER_DEVICE),
            (self.links, self._max_links),
        ):
            while len(links) > most and (others := [other for other in links.values() if other is not link]):
                least = min(others, key=lambda other: _importance(other.record))
                waiting.pop(least.number, None)
                self._forget(least)
        return link

    def _forget(self, link: Link) -> None:
        """Keep a link no longer: to its device it is unknown from now on."""
        record = link.record
        del self.links[link.number]
        _take_out(self._of_device, record.device, link.number)
        _take_out(self._of_session, record.session, link.number)
        self._stage_forgotten(record)

    def _stage_forgotten(self, record: LinkRecord) -> None:
        """What stays of a link in the store: its ended row, which says whose frames it brought; else nothing."""
        if record.session:
            if record.state == "live":
                self._stage_end(record, "ended")
        elif record.link < self.next_link - 1:
            # Never the row of the highest number: a start would give that number again.
            self.touched.pop(record.link, None)
            self.staged.dropped_links.append(record.link)
        self.urgent = True

    def half_open(self, device: DeviceId) -> list[Link]:
        """Links of a device that carried nothing yet, oldest first."""
        return [
            link
            for link in self.links_of_device(device)
            if not link.record.established and link.record.state == "live"
        ]

    def keeps(self, number: int, device: DeviceId) -> bool:
        """Whether a link that a device asks about is still known and its own."""
        link = self.links.get(number)
        return link is not None and link.record.device == device and link.record.state != "revoked"

    def let_go(self, device: DeviceId, held: Sequence[int], sent_ns: int) -> None:
        """A device's HELLO names all links that it holds packets for: on its others nothing comes any more.

        An app that crashed says no BYE; without this its session would wait for one as long as links are kept. And a
        device whose ring was full may have let go of packets above the floor that its BYE told.

        Args:
            device: whose.
            held: numbers of the links it named.
            sent_ns: the device's time of its HELLO.
        """
        for link in self.links_of_device(device):
            if link.number in held or link.record.state != "live" or link.bye == []:
                continue
            if link.bye is None or link.seen.holes_below(link.newest + 1):
                link.bye, link.let_go_ns = [], sent_ns
                self.outcomes += link.drop_commands()
                self.touched[link.number] = link

    def end(self, link: Link, state: str) -> None:
        """A link is over: copies are still answered, anything fresh gets RESET."""
        self._stage_end(link.record, state)
        self.outcomes += link.drop_commands()
        self.touched[link.number] = link

    def _stage_end(self, record: LinkRecord, state: str) -> None:
        record.state = state
        record.hello = record.welcome = b""
        self.staged.links.append(record)

    def expire(self, now_ms: int, keep_s: int) -> None:
        """Forget links that were idle too long, and codes that are too old."""
        # By both clocks: a rig without a clock battery may learn the date late, and must not end all links by it.
        heard_ns = self.clock_ns() - keep_s * 1_000_000_000
        idle = [
            link
            for link in self.links.values()
            if link.record.fresh_ms + keep_s * 1000 < now_ms
            and (link.heard_ns is None or link.heard_ns < heard_ns)
        ]
        for link in idle:
            self._forget(link)
        self.withdrawn &= self._of_session.keys()
        for pairing in [pairing for pairing in self.pairings if pairing.expires_ms <= now_ms]:
            self.pairings.remove(pairing)
            self.paired.pop(pairing.code, None)
            # The store forgets it too, and with it the secret: a code without its characters says so.
            self.staged.pairings.append(replace(pairing, code=""))
            self.urgent = True

    def known_stream(self, record: LinkRecord, number: StreamId) -> StreamRecord | None:
        """The accounting of a stream if any link of its run named it before."""
        return self.streams.get((record.session, record.device, record.run, number))

    def stream(self, record: LinkRecord, number: StreamId) -> StreamRecord:
        """The accounting of a stream, whichever link of its run names it first."""
        key = (record.session, record.device, record.run, number)
        stream = self.streams.get(key)
        if stream is None:
            stream = self._add_stream(StreamRecord(*key))
        return stream

    def _add_stream(self, stream: StreamRecord) -> StreamRecord:
        self.streams[stream.key] = stream
        runs = self._runs.setdefault(stream.session, {})
        runs.setdefault((stream.device, stream.run), []).append(stream)
        return stream

    # ---- downlink --------------------------------------------------------------------------------------------

    def to_device(self, link: Link, kind: int, body: bytes, now_ns: int) -> bytes:
        """An encrypted packet to a device, under a seq that no packet ever had."""
        self.newest_down += 1
        return link.packet_down(kind, self.newest_down, now_ns, body)


def _take_out(index: dict[_Key, dict[int, Link]], key: _Key, number: int) -> None:
    of_key = index[key]
    del of_key[number]
    if not of_key:
        del index[key]


def _importance(record: LinkRecord) -> tuple[bool, int, int]:
    """Which link to keep rather: a live one before one that ended, then the one that was heard last."""
    return (record.state == "live", record.fresh_ms, record.link)
