"""A device made by hand for the check of plugins: each test breaks one thing of it, and looks for what is said."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from gateway.app.plugin_check.say import Line
from gateway.app.plugin_check.watcher import Watcher
from gateway.keys.link import DOWN, UP, LinkCipher, LinkKeys, handshake_key, tag
from gateway.wire import control, kinds
from gateway.wire import packet as wire
from gateway.wire.frame import Bye, Data, Frame, encode_bye, encode_data

S = 1_000_000_000
MS = 1_000_000
KEY = hashlib.sha256(b"a key of the tests").digest()
DEVICE = 7
BOOT = 3 << 48
RUN = 0x8123_4567_89AB_CDEF
encode = msgspec.msgpack.Encoder().encode


def nonce(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:16]


def poses(count: int, t_ns: int = S, **values: Any) -> bytes:
    rows = np.zeros(count, kinds.POSE_DTYPE)
    rows["t_capture_ns"] = t_ns + np.arange(count) * 11 * MS
    rows["flags"] = kinds.POSITION_VALID | kinds.ORIENTATION_VALID
    rows["position_m"] = (0.1, 1.6, -0.2)
    rows["orientation"] = (0, 0.6, 0, 0.8)
    rows["linear_velocity"] = rows["angular_velocity"] = np.frombuffer(b"\0\0\xc0\x7f", "<f4")
    for name, value in values.items():
        rows[name] = value
    return rows.tobytes()


@dataclass
class Lab:
    """A watcher, and a device on one link."""

    watcher: Watcher = field(default_factory=Watcher)
    now: int = 100 * S
    kinds: tuple[int, ...] = (kinds.POSE, kinds.HAPTIC, kinds.MARKER, kinds.CLOCK, kinds.INFO)
    link: int = 4242
    hello_seq: int = 5
    seq: int = 0
    down_seq: int = BOOT
    codes: list[str] = field(default_factory=list)
    spoken: list[Line] = field(default_factory=list)
    samples: int = 0
    last: bytes = b""

    def __post_init__(self) -> None:
        self.watcher.ring.know(DEVICE, KEY)
        self.connect()

    def hello(self, **changes: Any) -> bytes:
        values: dict[str, Any] = {
            "device": DEVICE,
            "run": RUN,
            "nonce_d": nonce(f"d{self.hello_seq}"),
            "versions": [1],
            "links": [],
        }
        key = changes.pop("key", handshake_key(KEY))
        size = changes.pop("size", wire.HELLO_BYTES)
        values |= changes
        body = encode([*values.values(), b""])
        body = body[:-2] + encode(control.padding(len(body), size))
        head = wire.pack_header(wire.HELLO, 0, self.hello_seq, self.now - 50 * S) + body
        return head + tag(key, head)

    def connect(self, session: bytes = b"s" * 16, **changes: Any) -> None:
        """HELLO and WELCOME, as they should be."""
        packet = self.hello(**changes)
        self.up(packet)
        nonce_d, nonce_g = nonce(f"d{self.hello_seq}"), nonce(f"g{self.hello_seq}")
        state = "recording" if session else "waiting"
        body = control.Welcome(
            nonce_d, nonce_g, self.link, "gate", session, 1, [1], state, "", [], list(self.kinds), 1
        )
        head = wire.pack_header(wire.WELCOME, 0, self.hello_seq, 5) + control.encode(body)
        self.watcher.down(head + tag(handshake_key(KEY), head), "x", "sent", self.now)
        keys = [LinkKeys.derive(KEY, nonce_d, nonce_g, DEVICE, self.link, way) for way in (UP, DOWN)]
        self.up_keys, self.down_keys = keys
        self.nonces = nonce_d, nonce_g
        self.up_cipher, self.down_cipher = (LinkCipher(one) for one in keys)

    def up(self, packet: bytes, verdict: str = "taken in") -> Line:
        self.last = packet
        line = self.watcher.up(packet, "127.0.0.1:9", verdict, self.now)
        self.codes += [finding.code for finding in line.new]
        self.spoken.append(line)
        return line

    def seal(self, kind: int, body: bytes, seq: int | None = None, **changes: Any) -> bytes:
        """A packet as it should be, but for `changes`: mac (key), cipher, t (t_send_ns), link."""
        if seq is None:
            seq, self.seq = self.seq, self.seq + 1
        head = wire.pack_header(
            kind, changes.get("link", self.link), seq, changes.get("t", self.now - 50 * S)
        )
        head += changes.get("sealed") or changes.get("cipher", self.up_cipher).crypt(seq, body)
        return head + (tag(changes["mac"], head) if "mac" in changes else self.up_cipher.tag(head))

    def send(self, kind: int, body: bytes, seq: int | None = None, **changes: Any) -> Line:
        return self.up(self.seal(kind, body, seq, **changes))

    def data(
        self, *frames: Frame, floor: int = 0, totals: list[tuple[int, int]] | None = None, **changes: Any
    ) -> Line:
        if totals is None:
            totals = [
                (frame.stream, frame.first_sample + max(1, len(frame.samples) // 64)) for frame in frames
            ]
        return self.send(wire.DATA, encode_data(Data(floor, totals, list(frames))), **changes)

    def bye(self, reason: str = "end", floor: int = 0) -> Line:
        return self.send(wire.BYE, encode_bye(Bye(floor, [], reason)))

    def answer(self, seq: int, result: str) -> Line:
        return self.send(wire.RECEIPT, control.encode(control.Answer([(seq, result)])))

    def down(self, kind: int, body: bytes, fate: str = "sent") -> int:
        """A packet of the gateway; returns its seq."""
        self.down_seq += 1
        head = wire.pack_header(kind, self.link, self.down_seq, 5) + self.down_cipher.crypt(
            self.down_seq, body
        )
        self.watcher.down(head + self.down_cipher.tag(head), "x", fate, self.now)
        return self.down_seq

    def command(self, verb: str, *args: Any, fate: str = "sent") -> int:
        return self.down(wire.COMMAND, encode([verb, list(args)]), fate)

    def receipt(self, *ranges: int) -> None:
        self.down(wire.RECEIPT, control.encode(control.Receipt([(1, bytes(32), list(ranges))], [], [], [])))

    def tick(self) -> None:
        self.codes += [finding.code for finding in self.watcher.tick(self.now)]

    def later(self, seconds: float) -> None:
        self.now += int(seconds * S)
