"""The machine of the check: packets of both ways and the gateway's verdicts in, lines and findings out.

It decides nothing: what is refused is refused by the real gateway, and the verdict comes in with the packet. Here is
said what that means, what is wrong besides, and how to mend it. No clock, no socket; no input raises.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Final

from gateway.app.plugin_check import bodies, down, meanings, records, shapes, strangers, tags
from gateway.app.plugin_check.delivery import Delivery, Pace
from gateway.app.plugin_check.greeting import Greeting, Pairings
from gateway.app.plugin_check.keyring import Keyring, KnownLink
from gateway.app.plugin_check.numbering import Numbering
from gateway.app.plugin_check.orders import Orders
from gateway.app.plugin_check.probes import Probing
from gateway.app.plugin_check.say import Finding, Line, Notes
from gateway.app.plugin_check.stopping import Stopping
from gateway.errors import VestibuleError
from gateway.keys import mistakes
from gateway.wire import control, kinds
from gateway.wire import frame as frames
from gateway.wire import packet as wire

SECOND: Final = 1_000_000_000
HEARD_NS: Final = 4 * SECOND  # a gateway that is there answers probes and seals every second
SILENT_NS: Final = 13 * SECOND  # 10 s of silence, and the timers of both sides
MAX_LINKS: Final = 256


class Talk:
    """One link as it goes on."""

    def __init__(self, link: KnownLink, now_ns: int, pace: Pace) -> None:
        self.link = link
        self.delivery = Delivery(pace)
        self.probing = Probing(link.recording, now_ns)
        self.heard_ns = now_ns
        self.came_ns = now_ns
        self.taken_up_ns: int | None = None
        """When the device first sent on it. Its WELCOME may be lost: then only the gateway knows the link."""
        self.let_go_ns: int | None = None
        """By the device's clock, when a HELLO that does not name it was made: it is finished then."""
        self.silent_told = False
        self.bye = ""
        self.totals: dict[int, tuple[int, int, int, int]] = {}


class Watcher:
    """Looks at everything that passes."""

    def __init__(self) -> None:
        self.ring = Keyring()
        self.notes = Notes()
        self.facts: Counter[str] = Counter()
        self.orders = Orders()
        self.stopping = Stopping()
        self.talks: OrderedDict[int, Talk] = OrderedDict()
        self.runs: OrderedDict[tuple[int, bytes, int], Numbering] = OrderedDict()
        self.tags = tags.Tags(self.ring)
        self.greetings: dict[int, Greeting] = {}
        self.pairings = Pairings()
        self._paces: dict[int, Pace] = {}
        self._number = 0
        self.loud_ns: dict[int, int] = {}

    # ---- what the trial tells ----------------------------------------------------------------------------------

    def mark(self, word: str, times: int = 1) -> None:
        """Note something that no packet tells: a step of the trial, what a person saw, what the store says."""
        self.facts[word] += times

    def note(self, finding: Finding, now_ns: int) -> None:
        """A finding that no packet brings."""
        self.notes.add([finding], 0, now_ns)

    def tick(self, now_ns: int) -> list[Finding]:
        """Time passes: what should have come by now."""
        findings: list[Finding] = []
        for talk in self.talks.values():
            alive = now_ns - talk.came_ns < HEARD_NS and talk.delivery.bye_seq is None
            heard = now_ns - talk.heard_ns < HEARD_NS
            findings += talk.delivery.overdue(now_ns, heard and alive)
            findings += talk.probing.overdue(now_ns, heard and alive)
            loud_ns = self.loud_ns.get(talk.link.of.device, 0)
            if (
                alive
                and talk.link.recording
                and not talk.silent_told
                and now_ns - max(talk.heard_ns, loud_ns) > SILENT_NS
            ):
                talk.silent_told = True
                findings.append(
                    Finding(
                        "silence.no_hello",
                        12,
                        "no HELLO after 10 s without a word of the gateway",
                        "a device that hears nothing on its live link for 10 s sends HELLO",
                    )
                )
        taken_up = (talk for talk in reversed(self.talks.values()) if talk.taken_up_ns is not None)
        newest = next(taken_up, None)
        heard = (
            newest is not None and now_ns - newest.heard_ns < HEARD_NS and now_ns - newest.came_ns < HEARD_NS
        )
        findings += self.orders.overdue(now_ns, heard, self.expects)
        findings += self.stopping.overdue(now_ns, self.expects)
        return self.notes.add(findings, 0, now_ns)

    # ---- from the device ---------------------------------------------------------------------------------------

    def up(
        self, packet: bytes, source: str, verdict: str, now_ns: int, refused: tuple[str, ...] = ()
    ) -> Line:
        """A packet of a device.

        Args:
            packet: as it came.
            source: its address.
            verdict: the gateway's word; `taken in` where it was not refused.
            now_ns: its arrival.
            refused: words for frames that were refused while the packet was taken in.
        """
        line = self._line(True, source, verdict, now_ns, packet)
        self.facts["up"] += 1
        self.facts[f"verdict.{verdict}"] += 1
        for word in refused:
            self.facts[f"frame.{word}"] += 1
        try:
            header = wire.parse_header(packet)
        except VestibuleError as error:
            findings = strangers.no_packet(packet, error.code, line)
        else:
            line.kind, line.link, line.seq = wire.TYPE_NAMES[header.type].upper(), header.link, header.seq
            try:
                findings = self._about(header, packet, verdict, now_ns, line)
            except VestibuleError as error:
                # The gateway's own reader is stricter than the patient one somewhere: its word stands.
                findings = [
                    Finding(
                        f"verdict.{error.code}", _ROW_OF.get(error.code, 4), error.message, "see SPEC, 10"
                    )
                ]
        for word in refused if not findings else ():
            if word in _SPEAKS:
                means, todo = meanings.meaning(word)
                findings.append(
                    Finding(f"frame.{word}", _ROW_OF.get(word, 0), f"a frame was refused: {means}", todo)
                )
        if not findings and verdict in _SPEAKS:
            means, todo = meanings.meaning(verdict)
            findings = [Finding(f"verdict.{verdict}", _ROW_OF.get(verdict, 0), f"refused: {means}", todo)]
        line.new = self.notes.add(findings, line.number, now_ns)
        return line

    def _about(
        self, header: wire.Header, packet: bytes, verdict: str, now_ns: int, line: Line
    ) -> list[Finding]:
        link = self.ring.links.get(header.link)
        if link is not None:
            return self._on_link(header, packet, link, verdict, now_ns, line)
        if header.link == 0 and header.type == wire.PAIR:
            return strangers.pair(self, header, packet, now_ns, line)
        if header.link == 0 and header.type == wire.HELLO:
            return strangers.hello(self, header, packet, now_ns, line)
        return strangers.unknown(self, header, line)

    def _line(self, up: bool, who: str, verdict: str, now_ns: int, packet: bytes) -> Line:
        self._number += 1
        means, todo = meanings.meaning(verdict)
        return Line(
            self._number, now_ns, up, who, "?", verdict=verdict, means=means, todo=todo, size=len(packet)
        )

    # ---- on a link ---------------------------------------------------------------------------------------------

    def talk(self, number: int, now_ns: int) -> Talk:
        """What is kept of a link that is known."""
        known = self.talks.get(number)
        if known is None:
            known = self.talks[number] = self._talk(self.ring.links[number], now_ns)
            while len(self.talks) > MAX_LINKS:
                self.talks.popitem(last=False)
        return known

    def _talk(self, link: KnownLink, now_ns: int) -> Talk:
        return Talk(link, now_ns, self._paces.setdefault(link.of.device, Pace()))

    def let_go(self, hello: control.Hello, t_send_ns: int) -> None:
        """A new HELLO: what it does not name of the device's links counts as finished (SPEC, "Handshake")."""
        for number, talk in self.talks.items():
            if talk.link.of.device == hello.device and number not in hello.links:
                talk.let_go_ns = t_send_ns

    def expects(self, link: int) -> int | None:
        """Since when a device can be expected to answer on a link; None if it never took it up, or let it go."""
        talk = self.talks.get(link)
        return talk.taken_up_ns if talk is not None and talk.let_go_ns is None else None

    def _on_link(
        self, header: wire.Header, packet: bytes, link: KnownLink, verdict: str, now_ns: int, line: Line
    ) -> list[Finding]:
        line.who = f"device {link.of.device}"
        talk = self.talk(header.link, now_ns)
        if not link.up.matches(packet):
            line.says = "its tag does not verify"
            before = talk.delivery.bytes_of(header.seq)
            if before is not None and (found := tags.changed(header, packet, before)) is not None:
                line.spots = [found[1]]
                return [found[0]]
            return self.tags.link(header, packet, link)
        talk.came_ns = now_ns
        self.facts["verified"] += 1
        swapped = int.from_bytes(header.seq.to_bytes(8, "little"), "big")
        if header.seq > talk.delivery.newest + 2**20 and swapped <= talk.delivery.newest + 2**20:
            line.says = "seq far above the newest"
            return [
                Finding(
                    "seq.big_endian",
                    4,
                    f"seq {header.seq} is {swapped} with its bytes reversed",
                    "seq is u64 little-endian in the header",
                )
            ]
        if talk.delivery.known(header.seq):
            line.says = "sent again"
            findings, line.spots = talk.delivery.again(header, packet, now_ns)
            return findings
        if header.type not in shapes.SHAPES or header.type in wire.CLEAR:
            return [
                Finding(
                    "header.way",
                    4,
                    f"{line.kind} on a link: only a gateway sends that",
                    "see the table of types in SPEC, 2",
                )
            ]
        if talk.taken_up_ns is None:
            talk.taken_up_ns = now_ns
        if talk.let_go_ns is not None and header.t_send_ns > talk.let_go_ns:
            talk.let_go_ns = None
        crossed = header.type == wire.RECEIPT and talk.bye != "stop"
        findings = talk.delivery.fresh(header, packet, now_ns, crossed=crossed)
        body = link.up.crypt(header.seq, wire.body_of(packet))
        root, wrong, line.spots = bodies.look(header.type, body)
        if root is None or not bodies.plausible(header.type, root, header.t_send_ns):
            sealed = bytes(wire.body_of(packet))
            sound = bodies.sound_for(header.type, header.t_send_ns)
            guess = mistakes.of_cipher(
                sealed, link.up_keys, link.down_keys, header.seq, header.t_send_ns, sound
            )
            if guess is not None:
                line.spots = []
                return [
                    *findings,
                    Finding(
                        f"cipher.{guess.code}",
                        1,
                        f"the body reads if {guess.says}",
                        "counter block: iv4 || seq little-endian || index big-endian (SPEC, 2)",
                    ),
                ]
            if root is None:
                return findings + wrong
            findings.append(_FAR)
        line.says, line.fields = bodies.in_words(header.type, root)
        return findings + self._body(header, body, talk, now_ns, line)

    def _body(self, header: wire.Header, body: bytes, talk: Talk, now_ns: int, line: Line) -> list[Finding]:
        link = talk.link
        if header.type == wire.SYNC:
            self.facts["probe"] += 1
            return talk.probing.probe(control.decode(control.Probe, body).t1_ns, now_ns)
        if header.type == wire.RECEIPT:
            answers = control.decode(control.Answer, body).commands
            self.stopping.answered(link.of.link, {seq for seq, _ in answers})
            return [one for seq, result in answers for one in self.orders.answered(header.link, seq, result)]
        if header.type == wire.BYE:
            bye = frames.decode_bye(body)
            self.facts["bye"] += 1
            self.facts[f"bye.{bye.reason}"] += 1
            talk.bye = bye.reason
            findings = talk.delivery.floored(header.seq, bye.floor, now_ns)
            findings += self.stopping.bye(header.link, bye.reason)
            return findings + (self.numbering(link).totals(bye.totals) if link.recording else [])
        data = frames.decode_data(body)
        findings = talk.delivery.floored(header.seq, data.floor, now_ns)
        if not link.recording:
            return [
                *findings,
                Finding(
                    "data.waiting",
                    17,
                    "DATA on a link that waits for a session",
                    "capture nothing until WELCOME says `recording`",
                ),
            ]
        self.facts["data"] += 1
        findings += self.numbering(link).data(data)
        self.stopping.packet(link.of.link, header.t_send_ns, now_ns)
        for item in data.frames:
            wrong = records.look(item, link.kinds)
            findings += wrong
            if not wrong or not wrong[0].code.startswith("frame."):
                self.facts[f"kind.{item.kind}"] += 1
                findings += self.orders.frame(item)
                findings += self.stopping.frame(link.of.link, item)
                if item.kind == kinds.CLOCK:
                    findings += talk.probing.sample(item.samples)
        return findings

    def numbering(self, link: KnownLink) -> Numbering:
        """The numbers of the run and session that a link belongs to."""
        key = (link.of.device, link.session, link.run)
        known = self.runs.get(key)
        if known is None:
            known = self.runs[key] = Numbering()
            while len(self.runs) > MAX_LINKS:
                self.runs.popitem(last=False)
        return known

    # ---- from the gateway --------------------------------------------------------------------------------------

    def down(self, packet: bytes, target: str, fate: str, now_ns: int) -> Line:
        """A packet of the gateway.

        Args:
            packet: as it was sent.
            target: the address.
            fate: `sent`, `lost on purpose`, `copied on purpose` or `forged on purpose`.
            now_ns: when.
        """
        line = self._line(False, target, fate, now_ns, packet)
        down.look(self, packet, fate, now_ns, line)
        return line


_FAR: Final = Finding(
    "time.far",
    18,
    "capture times lie more than a year from t_send_ns",
    "one monotonic clock in nanoseconds for both; or is the body encrypted with a wrong block index?",
    False,
)
_QUIET: Final = frozenset(
    (
        meanings.TAKEN,
        meanings.LOST,
        meanings.COPIED,
        "copy",
        "rate",
        "queue",
        "unknown_link",
        "throttled",
        "revoked",
    )
) | {"closed", "withdrawn", "link_ended", "link_revoked", "link_moved"}
"""Verdicts without a finding. After a stop the second kind is still on its way; `stopping` finds what came too late."""
_SPEAKS: Final = frozenset(meanings.WORDS) - _QUIET
"""Verdicts that are a finding by themselves where nothing else explains them."""

_ROW_OF: Final[dict[str, int]] = {
    "malformed": 4,
    "not_canonical": 3,
    "numbers": 4,
    "too_many": 4,
    "type": 4,
    "bad_tag": 1,
    "hello_replay": 9,
    "totals": 13,
    "no_session": 17,
    "not_permitted": 17,
    "not_finite": 18,
    "schema": 2,
    "sample_size": 2,
    "kind": 2,
    "kind_changed": 2,
    "overlap": 14,
    "late": 11,
    "closed": 16,
    "seq_jump": 7,
}
