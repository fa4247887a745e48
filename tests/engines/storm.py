"""Bad weather for a traced device: a gateway's side with moods, a network, an app and its storage, from one seed.

The gateway's side is made of wire and keys alone (`device_side.py`), so it can also do what no gateway should.
"""

from __future__ import annotations

import heapq
import random
from typing import Any, Final

from device_side import MS, FarLink, OtherSide, config, ranges
from engines.mischief import Mischief, spoiled
from engines.traces import Trace, Traced

from gateway.device import events as ev
from gateway.device.spool import KeptLink, KeptPacket, in_order
from gateway.errors import LocalError
from gateway.keys.link import handshake_key, tag_matches
from gateway.wire import control, kinds
from gateway.wire import packet as wire
from gateway.wire.frame import Data, decode_data

S: Final = 1_000 * MS
VARIABLE: Final = (kinds.MARKER, kinds.INFO, kinds.PCM)
REASONS: Final = ("not_permitted", "closed", "schema", "overlap", "withdrawn")
FAULTY: Final = (  # stream, kind, size, count: none of them can be sent
    (1, 200, 8, 1),
    (2, kinds.POSE, 63, 1),
    (2, kinds.POSE, 0, 0),
    (3, kinds.MARKER, 40, 2),
    (3, kinds.MARKER, 0, 1),
    (3, kinds.INFO, 9, 1),
    (4, kinds.PCM, 1_170, 1),
    (65_535, kinds.POSE, 64, 1),
)


def make(seed: int, steps: int, trace: Trace) -> None:
    """Write a trace of at least so many steps."""
    Storm(seed, trace).run(steps)


class Storm:
    """One device in its weather.

    Args:
        seed: decides everything.
        trace: takes the steps.
    """

    def __init__(self, seed: int, trace: Trace) -> None:
        self.rng = rng = random.Random(seed)
        self.trace = trace
        self.now = rng.choice((0, 10 * S, 1 << 40, 1 << 52))
        self.far = OtherSide()
        self.keys = [self.far.key]
        # What chance would hardly bring: the app pauses all the time, and nothing has a receipt, so that links pile up;
        # it pauses all the time, and each link is of another session; more streams than a session may have.
        self.nervous, self.stingy, self.wide = seed % 5 < 2, seed % 5 == 0, seed % 5 == 2
        self.sessions = [rng.randbytes(16) for _ in range(40 if seed % 5 == 1 else 3)]
        self.far.session = self.sessions[0]
        self.welcomes: dict[bytes, bytes] = {}
        self.mischief = Mischief(rng, self.far, self.keys, self._down)
        self.queue: list[tuple[int, int, str, bytes]] = []
        self.order = 0
        self.spool: dict[int, dict[int, ev.Keep]] = {}
        self.hello_seq = rng.choice((-1, 4, 1 << 40))
        self.run_number = rng.getrandbits(64)
        self.options = self._options()
        self.device = self._device()
        self.boot = rng.choice((1, 3, 32_767, 40_000))
        self.mood_ns = self.app_ns = self.commit_ns = self.now
        self._mood()
        self._taste()

    def _options(self) -> dict[str, Any]:
        rng = self.rng
        first_ms = rng.choice((200, 2_500))
        return {
            "ring_bytes": rng.choice((2_400, 20_000, 16 << 20)),
            "ring_packets": rng.choice((1, 2, 8, 100, 32_768)),
            "spool_bytes": rng.choice((0, 0, 2_400, 30_000, 256 << 20)),
            "linger_ms": rng.choice((1, 20, 200)),
            "resend_first_ms": first_ms,
            "resend_most_ms": first_ms * rng.choice((1, 3, 4)),
            "silence_ms": rng.choice((1_000, 10_000)),
            "wait_retry_ms": rng.choice((300, 5_000)),
            "versions": rng.choice(((1,), (1, 2), (1, 7, 255))),
            "commands": rng.choice((frozenset(("haptic", "text", "marker")), frozenset(("text",)))),
            "targets": rng.choice((frozenset((1, 2)), frozenset((0, 255)))),
        }

    def _device(self) -> Traced:
        told = config(run=self.run_number, hello_seq=self.hello_seq, key=self.keys[-1], **self.options)
        return Traced(told, self.rng.randbytes, self.trace)

    # Moods, which last a while.

    def _mood(self) -> None:
        """Another weather, and another temper of the gateway."""
        rng = self.rng
        self.loss = rng.choice((0.0, 0.0, 0.0, 0.1, 0.1, 0.5, 1.0))
        self.delay_ns = rng.choice((MS, 20 * MS, 300 * MS))
        self.twice = rng.choice((0.0, 0.0, 0.3))
        self.spoil = rng.choice((0.0, 0.0, 0.0, 0.3))
        self.answers = rng.random() < 0.85
        self.settles = 0.0 if self.stingy else rng.choice((0.0, 0.3, 1.0, 1.0))
        self.refuses = rng.choice((0.0, 0.0, 0.3))
        self.chat = rng.choice((0.0, 0.05, 0.3))  # of commands and mischief at each commit
        self.commit_every_ns = rng.choice((100 * MS, S, 3 * S))
        if rng.random() < 0.3:
            self.far.state = rng.choice((*[control.RECORDING] * 2, control.WAITING, control.REFUSED))
            self.far.reason = {
                control.WAITING: "no_session",
                control.REFUSED: rng.choice(("version", "revoked", "")),
            }.get(self.far.state, "")
            self.far.session = rng.choice(self.sessions)
            some = rng.random() < 0.3
            self.far.kinds = sorted(rng.sample(sorted(kinds.KINDS), 8)) if some else sorted(kinds.KINDS)
        forgets = rng.random() < 0.1
        self.far.kept = lambda link: link in self.far.links and not (forgets and link % 3 == 0)
        if rng.random() < 0.1:  # the gateway restarts
            self.boot = min(65_535, self.boot + rng.choice((1, 5, 30_000)))
        if self.nervous:
            self.loss, self.delay_ns, self.far.state, self.far.reason = 0.0, MS, control.RECORDING, ""
        for link in self.far.links.values():
            link.seq = max(link.seq, self.boot << 48)
        self.mood_ns = self.now + rng.randrange(S, 8 * S)
        if rng.random() < 0.08:  # nobody answers for minutes
            self.answers, self.mood_ns = False, self.now + 150 * S

    def _taste(self) -> None:
        """What the app captures from now on: rows of stream, kind, count, and how often."""
        rng = self.rng
        many = 200 if self.wide else rng.choice((1, 3, 8, 70))
        picks = 30 if self.wide else rng.choice((1, 1, 2, 3, 12))
        self.streams = [self._stream(rng.randrange(many)) for _ in range(picks)]
        # Fast ones for a moment only: a trace has so many steps, and time has to pass in them.
        self.every_ns, lasts_ns = rng.choice(((MS, S // 5), (11 * MS, S), (150 * MS, 10 * S), (S, 20 * S)))
        lasts_ns = min(lasts_ns, 2 * S) if self.wide else lasts_ns
        self.taste_ns = self.now + rng.randrange(lasts_ns // 2, lasts_ns)
        self.capture_ns = self.now + self.every_ns

    def _stream(self, number: int) -> tuple[int, int, int]:
        kind = sorted(kinds.KINDS)[number % len(kinds.KINDS)]
        count = 1 if kind in VARIABLE else self.rng.choice((1, 1, 1, 2, 7, 40))
        return number * 300 if number % 5 == 4 else number, kind, count

    # Time.

    def run(self, steps: int) -> None:
        """Let things happen until the trace is long enough."""
        self.step(ev.Start())
        while self.trace.steps < steps:
            wake = self.device.wake_at
            arrival = self.queue[0][0] if self.queue else None
            times = [self.mood_ns, self.taste_ns, self.capture_ns, self.commit_ns, self.app_ns]
            at = max(self.now, min([*times, *(t for t in (wake, arrival) if t is not None)]))
            self.now = at
            if arrival is not None and arrival <= at:
                _, _, to, packet = heapq.heappop(self.queue)
                if to == "device":
                    self.step(ev.Received(packet))
                else:
                    self._arrived(packet)
            elif wake is not None and wake <= at:
                self.step(ev.Tick())
            elif self.capture_ns <= at:
                self._capture()
            elif self.commit_ns <= at:
                self._commit()
            elif self.app_ns <= at:
                self._app()
            elif self.taste_ns <= at:
                self._taste()
            else:
                self._mood()

    def step(self, event: ev.Event) -> None:
        """One event of the device, and what it leads to."""
        self._perform(self.device.step(event, self.now))

    def _perform(self, effects: list[ev.Effect]) -> None:
        for effect in effects:
            match effect:
                case ev.Send(packet, hello):
                    if not hello:
                        self.mischief.sent.append(packet)
                    self._carry("gateway", packet)
                case ev.Persist(hello_seq):
                    self.hello_seq = hello_seq
                case ev.PersistKey(key):
                    self.keys.append(key)
                case ev.Keep(card, seq):
                    self.spool.setdefault(card.link, {})[seq] = effect
                case ev.SendKept(link, seq):
                    kept = self.spool.get(link, {}).get(seq)
                    if kept is None or self.rng.random() < 0.02:
                        self.step(ev.SpoolLost(link, seq))
                    else:
                        self._carry("gateway", kept.packet)
                case ev.Settled(link, first, last):
                    mine = self.spool.get(link, {})
                    self.spool[link] = {seq: one for seq, one in mine.items() if not first <= seq <= last}
                case ev.Dropped(link):
                    self.spool.pop(link, None)

    def _carry(self, to: str, packet: bytes) -> None:
        """The network, one way."""
        rng = self.rng
        for _ in range(1 + (rng.random() < self.twice)):
            if rng.random() < self.loss:
                continue
            if rng.random() < self.spoil:
                packet = spoiled(rng, packet)
            self.order += 1
            late = self.now + rng.randrange(self.delay_ns) + 1
            heapq.heappush(self.queue, (late, self.order, to, packet))

    # The app.

    def _capture(self) -> None:
        self.capture_ns = self.now + self.every_ns
        if self.device.current is None and self.rng.random() < 0.9:
            return
        for stream, kind, count in self.streams:
            size = kinds.KINDS[kind].sample_bytes * count
            if kind in VARIABLE:
                size += 2 * self.rng.randrange(250)
            self._give(stream, kind, size, count)
        if self.rng.random() < 0.01:
            self._give(*self.rng.choice(FAULTY))

    def _give(self, stream: int, kind: int, size: int, count: int) -> None:
        samples = bytes((self.rng.randrange(256),)) * size
        try:
            self._perform(self.device.capture(stream, kind, samples, count, self.now))
        except LocalError:
            pass  # the trace has it

    def _app(self) -> None:
        """Something in the app's life."""
        rng = self.rng
        self.app_ns = self.now + rng.randrange(S // 5, S if self.nervous else 20 * S)
        if rng.random() < 0.1:
            self.step(ev.SpoolLost(max(self.far.links, default=1), rng.randrange(50)))
        what = rng.random()
        if what < 0.35:
            self.step(ev.Pause(rng.choice(("pause", "sleep"))))
            self.app_ns = self.now + rng.choice((MS, S, 8 * S, 35 * S) if not self.nervous else (MS, S // 2))
        elif what < 0.45:
            self.step(ev.Stop(rng.choice(("end", "stop", "error"))))
        elif what < (0.46 if self.nervous else 0.55):
            self._restart()
        self.step(ev.Resume() if rng.random() < 0.85 else ev.Tick())

    def _restart(self) -> None:
        """The app is killed and starts again: what it kept is what it knows."""
        self.run_number = self.rng.getrandbits(64)
        if self.rng.random() < 0.3:
            spool = bool(self.options["spool_bytes"])
            self.options = self._options() | ({"spool_bytes": 30_000} if spool else {})
        self.device = self._device()
        for link, kept in sorted(self.spool.items()) if self.options["spool_bytes"] else ():
            packets = in_order(
                KeptPacket(seq, one.samples, len(one.packet), one.packet[-16:], one.packet[3] == wire.BYE)
                for seq, one in kept.items()
            )
            if packets:
                card = next(iter(kept.values())).card
                assert card.link == link
                self.step(ev.Restored(KeptLink(card, packets)))

    # The gateway.

    def _arrived(self, packet: bytes) -> None:
        """A packet came to the gateway; what is spoiled is dropped in silence."""
        if not self.answers:
            return
        try:
            header = wire.parse_header(packet)
        except wire.WireError:
            return
        if header.type == wire.HELLO:
            self._hello(packet)
        elif header.link in self.far.links and self.far.links[header.link].up.matches(packet):
            self._read(self.far.links[header.link], header, packet)

    def _read(self, link: FarLink, header: wire.Header, packet: bytes) -> None:
        # Not `OtherSide.read`, which also looks into records: these are of one byte value.
        if header.type == wire.SYNC:
            self._reply(
                link, control.decode(control.Probe, link.up.crypt(header.seq, wire.body_of(packet))).t1_ns
            )
        elif header.type in (wire.DATA, wire.BYE):
            assert link.got.setdefault(header.seq, packet) == packet, "a resend is the same bytes"
            if header.type == wire.DATA and self.refuses and header.seq not in link.bodies:
                link.bodies[header.seq] = decode_data(link.up.crypt(header.seq, wire.body_of(packet)))

    def _hello(self, packet: bytes) -> None:
        if packet not in self.welcomes or self.rng.random() < 0.1:
            key = next((key for key in self.keys if tag_matches(handshake_key(key), packet)), None)
            if key is None:
                return
            self.far.key, self.far.k_hs = key, handshake_key(key)
            number = len(self.far.links) + 101
            if len(self.sessions) > 3:
                self.far.session = self.rng.choice(self.sessions)
            changes: dict[str, object] = {}
            if self.rng.random() < 0.03:
                changes = self.rng.choice(
                    (
                        {"version": 9},
                        {"offered": [3]},
                        {"nonce_d": bytes(16)},
                        {"link": max(self.far.links, default=5)},
                        {"session": b""},
                    )
                )
            self.welcomes[packet] = self.far.welcome(packet, **changes)
            if number in self.far.links:
                self.mischief.link_keys[number] = key
                self.far.links[number].seq = self.boot << 48
        self._down(self.welcomes[packet])

    def _reply(self, link: FarLink, t1_ns: int) -> None:
        rng = self.rng
        t2 = self.now + 1_000 * S
        t3 = t2 + rng.choice((10, MS, 50 * MS))
        if rng.random() < 0.02:
            t2, t3 = rng.choice(
                ((t3, t2), (-5, 5), (1 << 62, 1 << 62), ((1 << 63) - 2, (1 << 63) - 1), (0, 0))
            )
        reply = control.ProbeReply(t1_ns, t2, t3)
        self._down(self.far.down(link, wire.SYNC, control.encode(reply)))

    def _down(self, packet: bytes) -> None:
        self.mischief.heard.append(packet)
        self._carry("device", packet)

    def _commit(self) -> None:
        rng = self.rng
        self.commit_ns = self.now + self.commit_every_ns
        if not self.answers:
            return
        for link in list(self.far.links.values())[-30:]:
            fresh = [seq for seq in sorted(link.got.keys() - link.done) if rng.random() < self.settles]
            if fresh:
                self._receipt(link, fresh)
        if rng.random() < self.chat and self.far.links:
            self.mischief.chat(rng.choice(list(self.far.links.values())[-3:]))

    def _receipt(self, link: FarLink, fresh: list[int]) -> None:
        rng, far = self.rng, self.far
        link.done.update(fresh)
        far.batch += 1
        refused = [seq for seq in fresh if rng.random() < self.refuses]
        stored = [seq for seq in fresh if seq not in refused]
        frames = []
        for seq in stored:
            body = link.bodies.get(seq)
            if isinstance(body, Data) and len(body.frames) > 1 and rng.random() < self.refuses:
                frames.append((seq, body.frames[0].stream, rng.choice(REASONS)))
        rows = [(far.batch, rng.randbytes(32), ranges(stored))] if stored or rng.random() < 0.1 else []
        words = [(rng.choice(REASONS), ranges(refused))] if refused else []
        if rng.random() < 0.01:
            words.append(("closed", [0, rng.choice((0, 5, 1 << 40, (1 << 64) - 1))]))
        if len(rows) == 1 and len(rows[0][2]) > 80:
            rows = [(far.batch, rows[0][1], rows[0][2][:80])]
        self._down(far.receipt(link, rows, words, frames[:20], [(0, far.batch, 1, 0, 0)]))
