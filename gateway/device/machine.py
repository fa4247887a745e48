"""The device: capture, links, handshakes, clock and resends, as one machine. Source: VT1.

`step(event, now_ns)` takes what happened and gives what to do; `wake_at` says when a `Tick` is wanted. All times are
the device's monotonic clock in nanoseconds. At most one link is current; all others have said BYE and drain beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.device import events as ev
from gateway.device.account import LINK_GONE, Account
from gateway.device.clock import ClockReading, Probes
from gateway.device.commands import DONE, REFUSED, Commands
from gateway.device.config import MAX_BYTES, MS, DeviceConfig
from gateway.device.gather import Gather, frame_samples
from gateway.device.handshake import Greeter, open_welcome
from gateway.device.link import Link
from gateway.device.links import Links
from gateway.errors import LocalError, RemoteError, WireError
from gateway.keys.link import handshake_key
from gateway.wire import control, kinds
from gateway.wire import packet as wire
from gateway.wire.frame import BYE_REASONS, Frame

SECOND: Final = 1_000 * MS
BEHIND_AFTER_S: Final = 5  # five seal intervals: receipts are late, not merely on their way
BEHIND_STEP_S: Final = 5  # how finely `Changed` tells it, so that a display is not told every second


class Device:
    """A device of VT1.

    Args:
        config: who it is and how it works.
        random_bytes: gives n fresh random bytes; for nonces.
    """

    def __init__(self, config: DeviceConfig, random_bytes: Callable[[int], bytes]) -> None:
        self.config = config
        self.account = Account()
        self.links = Links(config, self.account)
        """Every link that is current or drains."""
        self.current: Link | None = None
        """The link that is recording or waiting."""
        self.welcome: control.Welcome | None = None
        """The newest WELCOME."""
        self.clock: ClockReading | None = None
        """The newest clock measurement."""
        self.wake_at: int | None = None
        """When a Tick is wanted; None for never."""
        self._k_hs = handshake_key(config.key)
        self._greeter = Greeter(config, self._k_hs, random_bytes)
        self._recording: Link | None = None  # the current link, unless it is a waiting one
        self._permitted: frozenset[int] = frozenset()
        self._gather = Gather(config)
        self._commands = Commands(config)
        self._probes: Probes | None = None
        self._wanted = False
        self._why = "not_started"
        self._shown = ev.Changed(ev.NOT_RECORDING, "not_started")

    # What people and drivers ask.

    @property
    def idle(self) -> bool:
        """Drained: nothing is unsealed or without a receipt, and each link's BYE has its own."""
        return self._recording is None and not self.links.held_packets and self._gather.due_ns is None

    @property
    def gateway(self) -> str:
        """Name of the gateway that welcomed last, for MQTT's topics; empty before."""
        return self.welcome.gateway if self.welcome else ""

    @property
    def lost(self) -> dict[str, int]:
        """Samples lost on this side, by cause: `overflow`, `link_gone`."""
        return dict(self.account.lost)

    def totals(self, session: bytes | None = None) -> dict[int, int]:
        """Samples captured by stream.

        Args:
            session: of which session; None takes the one recorded last.
        """
        return self._gather.totals(session)

    def behind_ns(self, now_ns: int) -> int:
        """Age of the oldest packet without a receipt, from its first send; 0 when there is none."""
        return self.links.behind_ns(now_ns)

    def status(self) -> dict[str, object]:
        """What a person may want to see, as of the last step; nothing personal."""
        return {
            "state": self._shown.state,
            "reason": self._shown.reason,
            "behind_s": self._shown.behind_s,
            "link": self.current.number if self.current else 0,
            "links": len(self.links),
            "held_packets": self.links.held_packets,
            "held_bytes": self.links.held_bytes,
            "unsealed": self._gather.waiting_samples,
            **self.account.as_dict(),
            "clock_offset_ns": self.clock.offset_ns if self.clock else None,
            "clock_uncertainty_ns": self.clock.uncertainty_ns if self.clock else None,
        }

    # What happens.

    def step(self, event: ev.Event, now_ns: int) -> list[ev.Effect]:
        """Take one event.

        Args:
            event: what happened.
            now_ns: device time; never less than before.

        Returns:
            What to do, in this order.

        Raises:
            LocalError: from the app's own calls: `reason`, and those of `capture`.
        """
        out: list[ev.Effect] = []
        match event:
            case ev.Received(packet):
                self._received(packet, now_ns, out)
            case ev.Captured(stream, kind, samples, count):
                out += self.capture(stream, kind, samples, count, now_ns)
            case ev.Start() | ev.Resume():
                self._begin(now_ns, out)
            case ev.Pause(reason) | ev.Stop(reason):
                self._cease(reason, now_ns, out)
            case ev.Tick():
                pass  # what is due is done below, after every event
        self._due(now_ns, out)
        visible = self._visible(now_ns)
        if visible != self._shown:
            self._shown = visible
            out.append(visible)
        self._plan(now_ns)
        return out

    def capture(self, stream: int, kind: int, samples: bytes, count: int, now_ns: int) -> list[ev.Effect]:
        """Take samples in: the hot path, without the look at the timers that `step` takes.

        While nothing is recorded the samples are not kept and get no numbers.

        Args:
            stream: u16.
            kind: number of the kind.
            samples: `count` records, little-endian.
            count: how many; 1 for kinds of variable size.
            now_ns: device time.

        Returns:
            `Send` effects of the packets that are full now.

        Raises:
            LocalError: `kind`, `stream`, `stream_kind`, `sample_size`.
        """
        if self._recording is None:
            self.account.unrecorded += count
            return []
        if kind not in self._permitted and kind in kinds.KINDS and not self.config.send_unpermitted:
            self.account.withheld[kind] += count
            return []
        packets = self._gather.add(stream, kind, samples, count, now_ns)
        self.account.captured += count
        out: list[ev.Effect] = []
        wake_ns = self._gather.due_ns
        if packets:
            self._seal(packets, now_ns, out)
            resend_ns = now_ns + self.config.resend_first_ms * MS
            wake_ns = resend_ns if wake_ns is None else min(wake_ns, resend_ns)
        if wake_ns is not None and (self.wake_at is None or wake_ns < self.wake_at):
            self.wake_at = wake_ns
        return out

    def _begin(self, now_ns: int, out: list[ev.Effect]) -> None:
        if not self._wanted:
            self._wanted = True
            self._why = "connecting"
            self._greeter.begin("start", self.links.numbers, now_ns, out)

    def _cease(self, reason: str, now_ns: int, out: list[ev.Effect]) -> None:
        if reason not in BYE_REASONS:
            raise LocalError(
                "reason", f"{reason!r} is no reason of BYE", f"Use one of {sorted(BYE_REASONS)}."
            )
        self._wanted = False
        self._why = reason
        self._greeter.retry_ns = None
        if self._greeter.pending and self._greeter.pending.cause != "ask":
            self._greeter.pending = None
        self._end(reason, now_ns, out)

    def _received(self, packet: bytes, now_ns: int, out: list[ev.Effect]) -> None:
        """Act on a packet from the network, or count why not; no packet can raise."""
        try:
            header = wire.parse_header(packet, MAX_BYTES[self.config.transport])
            if header.type == wire.WELCOME:
                self._welcomed(packet, header, now_ns, out)
                return
            if header.type not in wire.DOWNLINK or header.type == wire.PAIRED:
                raise WireError("unexpected", "not a packet for a device that is paired")
            link = self.links.get(header.link)
            if link is None:
                raise WireError("unknown_link", "a packet of no link of ours")
            if header.type == wire.RESET:
                self._reset(link, packet, now_ns)
                return
            if not link.is_authentic(packet):
                raise WireError("bad_tag", "a packet with a wrong tag")
            if not link.is_fresh(header.seq):
                again = link.answer_again(header.seq, now_ns) if header.type == wire.COMMAND else None
                if again is None:
                    raise WireError("copy", "a packet seen before")
                self.links.send(link, again, out)
                return
            self._fresh(link, header, link.decrypt(header, packet), now_ns, out)
        except RemoteError as error:
            self.account.ignored[error.code] += 1

    def _fresh(self, link: Link, header: wire.Header, body: bytes, now_ns: int, out: list[ev.Effect]) -> None:
        self._greeter.heard(is_current=link is self.current, asked=link.asked)
        link.heard(now_ns)
        if header.type == wire.RECEIPT:
            out += link.settle(control.decode(control.Receipt, body), self.account, now_ns)
            self.links.forget_drained(link)
        elif header.type == wire.SYNC:
            reply = control.decode(control.ProbeReply, body)
            if link is self.current and self._probes:
                self._probes.reply(reply, now_ns)
        else:
            self._commanded(link, header.seq, control.decode(control.Command, body), now_ns, out)

    def _commanded(
        self, link: Link, seq: int, command: control.Command, now_ns: int, out: list[ev.Effect]
    ) -> None:
        result = DONE
        if command.verb == "open":
            if not self._wanted:
                result = REFUSED
            elif self._greeter.pending is None:
                self._greeter.begin("open", self.links.numbers, now_ns, out)
        elif command.verb != "stop":
            result = self._commands.judge(command, now_ns)
            if result == DONE:
                out.append(ev.Commanded(command.verb, tuple(command.args), seq, link.number))
        if command.verb == "stop" and link is self.current:
            if link.recording:
                # Before BYE, which is the link's last packet; what was captured goes before both.
                self._seal(self._gather.flush(), now_ns, out)
                self.links.send(link, link.answer(seq, result, now_ns), out)
            self._end("stop", now_ns, out)
            reason = command.args[0] if command.args else ""
            self._why = (
                reason if isinstance(reason, str) and 0 < len(reason) <= control.MAX_NAME_BYTES else "stop"
            )
            # The clinic ended this session; the device comes back for the next one.
            self._greeter.retry_in(self.config.wait_retry_ms * MS, now_ns)
        elif link.recording:
            # A waiting link carries SYNC and BYE only: there the HELLO is the answer to `open`.
            self.links.send(link, link.answer(seq, result, now_ns), out)

    # Links.

    def _welcomed(self, packet: bytes, header: wire.Header, now_ns: int, out: list[ev.Effect]) -> None:
        pending = self._greeter.pending
        if pending is None:
            raise WireError("unexpected", "a WELCOME that nothing asked for")
        welcome = open_welcome(packet, header, self._k_hs, pending)
        gone = set(pending.links) - set(welcome.kept)
        # A gateway that lost its store may give a number again; then it does not keep the old link of that number.
        if welcome.link in self.links and welcome.link not in gone:
            raise WireError("malformed", "a WELCOME for a link that exists")
        self._greeter.pending = self._greeter.retry_ns = None
        self.welcome = welcome
        if welcome.state == control.REFUSED:
            # It says nothing about old links: they go on draining.
            self._end("error", now_ns, out)
            self._why = welcome.reason or control.REFUSED
        else:
            for number in gone:
                if (link := self.links.get(number)) is not None:
                    self._drop(link)
            self._end("error" if pending.cause == "recover" else "end", now_ns, out)
            self._adopt(Link(self.config, pending.nonce_d, welcome, now_ns), welcome, now_ns)
        if not self._wanted:
            self._end("end", now_ns, out)  # it only asked which links are kept
        elif welcome.state != control.RECORDING:
            self._greeter.retry_in(self.config.wait_retry_ms * MS, now_ns)

    def _adopt(self, link: Link, welcome: control.Welcome, now_ns: int) -> None:
        self.links.add(link)
        self.current = link
        self._probes = Probes(now_ns, measure=link.recording and self.config.probes)
        self.links.pace.recording = link.recording
        if not link.recording:
            return
        self._recording = link
        # Nothing leaves the headset that the session does not permit: it would be refused, and should not travel.
        self._permitted = frozenset(welcome.kinds)
        self._gather.enter(link.session)

    def _end(self, reason: str, now_ns: int, out: list[ev.Effect]) -> None:
        """Say BYE on the current link, if there is one; it drains from now on."""
        link = self.current
        if link is None:
            return
        self._seal(self._gather.flush(), now_ns, out)
        totals = list(self._gather.totals().items()) if link.recording else []
        self.links.send(link, link.bye(totals, reason, now_ns), out)
        self.links.bound()
        self._leave()

    def _leave(self) -> None:
        self.current = self._recording = self._probes = None
        self.links.pace.recording = False

    def _drop(self, link: Link) -> None:
        """The gateway no longer keeps a link: what it holds is lost, sealed or not."""
        self.links.drop(link)
        if link is self.current:
            self.account.lost[LINK_GONE] += self._gather.clear()
            self._leave()

    def _reset(self, link: Link, packet: bytes, now_ns: int) -> None:
        reset = link.open_reset(self._k_hs, packet)
        if link is self.current:
            self._why = reset.reason
            self._greeter.retry_soon(now_ns)
        self._drop(link)

    def _seal(self, packets: list[list[Frame]], now_ns: int, out: list[ev.Effect]) -> None:
        link = self._recording
        if link is None:
            return
        for frames in packets:
            body = self._gather.body(frames, link.ring.floor(link.next_seq))
            spans = tuple((frame.stream, frame.first_sample, frame_samples(frame)) for frame in frames)
            self.links.send(link, link.data(body, spans, now_ns), out)
            self.links.pace.live(now_ns)
        self.links.bound()

    # Time.

    def _due(self, now_ns: int, out: list[ev.Effect]) -> None:
        if self._gather.due_ns is not None and now_ns >= self._gather.due_ns:
            self._seal(self._gather.flush(), now_ns, out)
        if self.current is not None and self._probes is not None:
            send, reading = self._probes.poll(now_ns)
            if send:
                self.links.send(self.current, self.current.probe(now_ns), out)
            if reading is not None:
                self.clock = reading
                out += self.capture(self.config.clock_stream, kinds.CLOCK, reading.sample(), 1, now_ns)
        greeter, links = self._greeter, self.links
        if greeter.pending is not None:
            greeter.again(links.numbers, now_ns, out)
        elif greeter.retry_ns is not None and now_ns >= greeter.retry_ns:
            greeter.begin("retry", links.numbers, now_ns, out)
        elif self.current is not None and self.current.silent(now_ns):
            greeter.begin("recover", links.numbers, now_ns, out)
        elif links.ask(now_ns):
            greeter.begin("ask", links.numbers, now_ns, out)
        links.resend(now_ns, out)

    def _plan(self, now_ns: int) -> None:
        """Set `wake_at`: everything that `_due` looks at, at its earliest."""
        greeter = self._greeter
        times = [self._gather.due_ns, self._probes.next_ns if self._probes else None]
        if greeter.pending is not None:
            times.append(greeter.pending.next_ns)
        else:
            times.append(greeter.retry_ns)
            if self.current is not None:
                times.append(self.current.heard_ns + self.config.silence_ms * MS)
            times += self.links.ask_times()
        times += self.links.resend_times(now_ns)
        self.wake_at = min((time for time in times if time is not None), default=None)

    def _visible(self, now_ns: int) -> ev.Changed:
        link = self.current
        if link is None:
            unanswered = self._wanted and self._greeter.is_unanswered()
            return ev.Changed(ev.NOT_RECORDING, "no_answer" if unanswered else self._why)
        if not link.recording:
            return ev.Changed(ev.WAITING, link.reason)
        behind_s = self.behind_ns(now_ns) // SECOND
        if behind_s < BEHIND_AFTER_S:
            return ev.Changed(ev.RECORDING, "")
        reason = "no_answer" if link.silent(now_ns) else "backlog"
        return ev.Changed(ev.BEHIND, reason, behind_s - behind_s % BEHIND_STEP_S)
