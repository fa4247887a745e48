"""The device: capture, links, handshakes, clock and resends, as one machine. Source: VT1.

`step(event, now_ns)` takes what happened and gives what to do; `wake_at` says when a `Tick` is wanted. All times are
the device's monotonic clock in nanoseconds. At most one link is current; all others have said BYE and drain beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gateway.device import events as ev
from gateway.device.account import Account
from gateway.device.clock import ClockReading
from gateway.device.commands import DONE, REFUSED, Commands
from gateway.device.config import MAX_BYTES, MS, DeviceConfig
from gateway.device.handshake import Greeter, open_welcome
from gateway.device.link import Link
from gateway.device.links import Links
from gateway.device.live import Live
from gateway.device.spool import KeptLink
from gateway.device.visible import visible
from gateway.errors import LocalError, RemoteError, WireError
from gateway.keys.link import handshake_key
from gateway.wire import control
from gateway.wire import packet as wire
from gateway.wire.frame import BYE_REASONS


class Device:
    """A device of VT1.

    Args:
        config: who it is and how it works.
        random_bytes: gives n fresh random bytes; for nonces.
    """

    def __init__(self, config: DeviceConfig, random_bytes: Callable[[int], bytes]) -> None:
        self.config = config
        """As it was given; the key is the newest."""
        self.account = Account()
        self.earlier = Account()
        """Of links of earlier runs, which the spool gave back."""
        self.links = Links(config, self.account)
        """Every link that is current or drains."""
        self.welcome: control.Welcome | None = None
        """The newest WELCOME."""
        self.wake_at: int | None = None
        """When a Tick is wanted; None for never."""
        self._k_hs = handshake_key(config.key)
        self._greeter = Greeter(config, self._k_hs, random_bytes)
        self._live = Live(config, self.links, self.account)
        self._commands = Commands(config)
        self._wanted = False
        self._why = "not_started"
        self._shown = ev.Changed(ev.NOT_RECORDING, "not_started")

    # What people and drivers ask.

    @property
    def current(self) -> Link | None:
        """The link that is recording or waiting."""
        return self._live.link

    @property
    def clock(self) -> ClockReading | None:
        """The newest clock measurement."""
        return self._live.clock

    @property
    def idle(self) -> bool:
        """Drained: nothing is unsealed or without a receipt, and the gateway knows the end of each link."""
        live, pending = self._live, self._greeter.pending
        telling = self.links.unsaid or (pending is not None and pending.cause in ("finished", "leave"))
        held = self.links.held_packets or live.gather.due_ns is not None
        return live.recording is None and not held and not telling

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
        return self._live.gather.totals(session)

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
            "kept_packets": self.links.kept_packets,
            "kept_bytes": self.links.kept_bytes,
            "unsealed": self._live.gather.waiting_samples,
            **self.account.as_dict(),
            "earlier": self.earlier.as_dict() if self.earlier.captured else None,
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
            LocalError: from the app's own calls: `reason`, `restored`, and those of `capture`.
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
            case ev.Restored(kept):
                self._restore(kept, now_ns, out)
            case ev.SpoolLost(number, seq):
                if (link := self.links.get(number)) is not None:
                    self.links.lose(link, seq, out)
            case ev.Tick():
                pass  # what is due is done below, after every event
        self._due(now_ns, out)
        shown = visible(
            self._live.link, self._wanted and self._greeter.is_unanswered(), self._why, self.links, now_ns
        )
        if shown != self._shown:
            self._shown = shown
            out.append(shown)
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
            `Send` effects of the packets that are full now; with a spool, those of what had to give way to them.

        Raises:
            LocalError: `kind`, `stream`, `stream_kind`, `sample_size`.
        """
        out = self._live.capture(stream, kind, samples, count, now_ns)
        wake_ns = self._live.gather.due_ns
        if out:
            resend_ns = now_ns + self.config.resend_first_ms * MS
            wake_ns = resend_ns if wake_ns is None else min(wake_ns, resend_ns)
        if wake_ns is not None and (self.wake_at is None or wake_ns < self.wake_at):
            self.wake_at = wake_ns
        return out

    def _restore(self, kept: KeptLink, now_ns: int, out: list[ev.Effect]) -> None:
        if self._wanted or self._live.link or not self.config.spool_bytes:
            raise LocalError(
                "restored", "a link of an earlier run comes too late", "Restore links before the first start."
            )
        if kept.packets and kept.card.link not in self.links:
            link = Link.restored(self.config, self.earlier, self._k_hs, kept, now_ns)
            self.links.add(link, out)
            self.links.bound(out)

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
        self._greeter.leave(now_ns)
        self._live.end(reason, now_ns, out)
        self.links.keep(None, out)

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
                self._reset(link, packet, now_ns, out)
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
        link.heard(now_ns)
        if header.type == wire.RECEIPT:
            out += link.settle(control.decode(control.Receipt, body), now_ns)
            self.links.forget_drained(link, out)
        elif header.type == wire.SYNC:
            reply = control.decode(control.ProbeReply, body)
            if link is self._live.link and self._live.probes:
                self._live.probes.reply(reply, now_ns)
        elif link.restored_only:
            raise WireError(
                "unanswerable", "a COMMAND on a link of an earlier run, on which nothing is sealed"
            )
        else:
            self._commanded(link, header.seq, control.decode(control.Command, body), now_ns, out)

    def _commanded(
        self, link: Link, seq: int, command: control.Command, now_ns: int, out: list[ev.Effect]
    ) -> None:
        result = DONE
        new_key: bytes | None = None
        match command.verb:
            case "open":
                if not self._wanted:
                    result = REFUSED
                elif self._greeter.pending is None:
                    self._greeter.begin("open", self.links.numbers, now_ns, out)
            case "stop":
                if link is self._live.link:
                    self._stopped(link, seq, command, now_ns, out)
                    return
            case "hold":
                if command.args in [[reason] for reason in control.HOLD_REASONS]:
                    link.hold = str(command.args[0])
                else:
                    result = REFUSED
            case "rotate":
                new_key = control.decode_key(command.args)
                if new_key is None:
                    result = REFUSED
                elif new_key != self.config.key:
                    # Before anything says that it was: an answer that outlives the key would lock the device out.
                    out.append(ev.PersistKey(new_key))
            case _:
                result = self._commands.judge(command, now_ns)
                if result == DONE:
                    out.append(ev.Commanded(command.verb, tuple(command.args), seq, link.number))
        if link.recording:
            # A waiting link carries SYNC and BYE only: there the HELLO is the answer to `open` and `rotate`.
            self.links.send(link, link.answer(seq, result, now_ns), out)
        if new_key is not None and new_key != self.config.key:
            self.config = replace(self.config, key=new_key)
            self._k_hs = handshake_key(new_key)
            self._greeter.rekey(self._k_hs)
            self._greeter.begin("rotate", self.links.numbers, now_ns, out)

    def _stopped(
        self, link: Link, seq: int, command: control.Command, now_ns: int, out: list[ev.Effect]
    ) -> None:
        """The clinic ended this session; the device comes back for the next one."""
        if link.recording:
            # Before BYE, which is the link's last packet; what was captured goes before both.
            self._live.flush(now_ns, out)
            self.links.send(link, link.answer(seq, DONE, now_ns), out)
        self._live.end("stop", now_ns, out)
        reason = command.args[0] if command.args else ""
        self._why = (
            reason
            if isinstance(reason, str) and 0 < len(reason.encode()) <= control.MAX_NAME_BYTES
            else "stop"
        )
        self._greeter.retry_in(self.config.wait_retry_ms * MS, now_ns)

    # Links.

    def _welcomed(self, packet: bytes, header: wire.Header, now_ns: int, out: list[ev.Effect]) -> None:
        pending = self._greeter.pending
        if pending is None:
            raise WireError("unexpected", "a WELCOME that nothing asked for")
        welcome = open_welcome(packet, header, self._k_hs, pending)
        gone = [number for number in pending.links if number not in welcome.kept]
        # A gateway that lost its store may give a number again; then it does not keep the old link of that number.
        if welcome.link in self.links and welcome.link not in gone:
            raise WireError("malformed", "a WELCOME for a link that exists")
        self._greeter.pending = self._greeter.retry_ns = None
        self.welcome = welcome
        if welcome.state == control.REFUSED:
            # It says nothing about old links: they go on draining.
            self._live.end("error", now_ns, out)
            self._why = welcome.reason or control.REFUSED
        else:
            for number in gone:
                if (link := self.links.get(number)) is not None:
                    self._drop(link, out)
            self._live.end("error" if pending.cause == "recover" else "end", now_ns, out)
            made = Link.welcomed(self.config, self.account, self._k_hs, pending.nonce_d, welcome, now_ns)
            self._live.adopt(made, welcome, now_ns, out)
        if not self._wanted:
            self._live.end("end", now_ns, out)  # it only asked which links are kept
        elif welcome.state != control.RECORDING:
            self._greeter.retry_in(self.config.wait_retry_ms * MS, now_ns)

    def _drop(self, link: Link, out: list[ev.Effect]) -> None:
        """The gateway no longer keeps a link: what it holds is lost, sealed or not."""
        self.links.drop(link, out)
        if link is self._live.link:
            self._live.lose()

    def _reset(self, link: Link, packet: bytes, now_ns: int, out: list[ev.Effect]) -> None:
        reset = link.open_reset(packet)
        if link is self._live.link:
            self._why = reset.reason
            self._greeter.retry_soon(now_ns)
        self._drop(link, out)

    # Time.

    def _due(self, now_ns: int, out: list[ev.Effect]) -> None:
        self._live.due(now_ns, out)
        greeter, links = self._greeter, self.links
        if greeter.pending is not None:
            greeter.again(links.numbers, now_ns, out)
        elif greeter.retry_ns is not None and now_ns >= greeter.retry_ns:
            greeter.begin("retry", links.numbers, now_ns, out)
        elif self.current is not None and self.current.silent(now_ns):
            greeter.begin("recover", links.numbers, now_ns, out)
        elif links.finished:
            links.unsaid = False  # told once for all of them
            greeter.begin("finished", links.numbers, now_ns, out)
        elif links.ask(now_ns):
            greeter.begin("ask", links.numbers, now_ns, out)
        links.keep(now_ns, out)
        links.resend(now_ns, out)

    def _plan(self, now_ns: int) -> None:
        """Set `wake_at`: everything that `_due` looks at, at its earliest."""
        greeter = self._greeter
        times = self._live.times()
        if greeter.pending is not None:
            times.append(greeter.pending.wake_ns)
        else:
            times.append(greeter.retry_ns)
            if self.current is not None:
                times.append(self.current.heard_ns + self.config.silence_ms * MS)
            times += self.links.ask_times()
            if self.links.finished:
                times.append(now_ns)  # a link was forgotten after `_due` had looked
        times += self.links.keep_times()
        times += self.links.resend_times(now_ns)
        self.wake_at = min((time for time in times if time is not None), default=None)
