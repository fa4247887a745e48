"""The link in use: what is captured for it, sealed and sent, and the probes that measure the gateway's clock."""

from __future__ import annotations

from gateway.device import events as ev
from gateway.device.account import LINK_GONE, Account
from gateway.device.clock import ClockReading, Probes
from gateway.device.config import DeviceConfig
from gateway.device.gather import Gather, frame_samples
from gateway.device.link import Link
from gateway.device.links import Links
from gateway.wire import control, kinds
from gateway.wire.frame import Frame


class Live:
    """The current link of a device, if it has one.

    Args:
        config: of the device.
        links: takes each link in, and keeps it when it ends.
        account: where samples are counted.
    """

    def __init__(self, config: DeviceConfig, links: Links, account: Account) -> None:
        self.link: Link | None = None
        """The link that is recording or waiting."""
        self.recording: Link | None = None
        """The same, unless it is a waiting one."""
        self.gather = Gather(config)
        self.probes: Probes | None = None
        self.clock: ClockReading | None = None
        """The newest clock measurement."""
        self._config = config
        self._links = links
        self._account = account
        self._permitted: frozenset[int] = frozenset()

    def adopt(self, link: Link, welcome: control.Welcome, now_ns: int, out: list[ev.Effect]) -> None:
        """Use a link that a WELCOME made; the one before it has ended."""
        self._links.add(link, out)
        self.link = link
        self.probes = Probes(now_ns, measure=link.recording and self._config.probes)
        self._links.pace.recording = link.recording
        if not link.recording:
            return
        self.recording = link
        # Nothing leaves the headset that the session does not permit: it would be refused, and should not travel.
        self._permitted = frozenset(welcome.kinds)
        self.gather.enter(link.session)

    def capture(self, stream: int, kind: int, samples: bytes, count: int, now_ns: int) -> list[ev.Effect]:
        """Take samples in, and send the packets that are full now; as `Device.capture`."""
        if self.recording is None:
            self._account.unrecorded += count
            return []
        if kind not in self._permitted and kind in kinds.KINDS and not self._config.send_unpermitted:
            self._account.withheld[kind] += count
            return []
        packets = self.gather.add(stream, kind, samples, count, now_ns)
        self._account.captured += count
        out: list[ev.Effect] = []
        if packets:
            self._seal(packets, now_ns, out)
        return out

    def flush(self, now_ns: int, out: list[ev.Effect]) -> None:
        """Seal and send all that was captured."""
        self._seal(self.gather.flush(), now_ns, out)

    def end(self, reason: str, now_ns: int, out: list[ev.Effect]) -> None:
        """Say BYE on the current link, if there is one; it drains from now on."""
        link = self.link
        if link is None:
            return
        self.flush(now_ns, out)
        totals = list(self.gather.totals().items()) if link.recording else []
        self._links.send(link, link.bye(totals, reason, now_ns), out)
        self._links.bound(out)
        self._leave()

    def lose(self) -> None:
        """The current link is gone at the gateway: what is not sealed yet is lost with it."""
        self._account.lost[LINK_GONE] += self.gather.clear()
        self._leave()

    def due(self, now_ns: int, out: list[ev.Effect]) -> None:
        """Send what has waited long enough for company, and the probes."""
        if self.gather.due_ns is not None and now_ns >= self.gather.due_ns:
            self.flush(now_ns, out)
        if self.link is not None and self.probes is not None:
            send, reading = self.probes.poll(now_ns)
            if send:
                self._links.send(self.link, self.link.probe(now_ns), out)
            if reading is not None:
                self.clock = reading
                out += self.capture(self._config.clock_stream, kinds.CLOCK, reading.sample(), 1, now_ns)

    def times(self) -> list[int | None]:
        """When `due` has something to do."""
        return [self.gather.due_ns, self.probes.next_ns if self.probes else None]

    def _leave(self) -> None:
        self.link = self.recording = self.probes = None
        self._links.pace.recording = False

    def _seal(self, packets: list[list[Frame]], now_ns: int, out: list[ev.Effect]) -> None:
        link = self.recording
        if link is None:
            return
        for frames in packets:
            body = self.gather.body(frames, link.ring.floor(link.next_seq))
            spans = tuple((frame.stream, frame.first_sample, frame_samples(frame)) for frame in frames)
            self._links.send(link, link.data(body, spans, now_ns), out)
            self._links.pace.live(now_ns)
        self._links.bound(out)
