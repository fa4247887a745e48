"""A gateway that is not to be trusted: it knows a device's key, and sends besides what it should whatever a test likes.

A thread of its own answers HELLO, gives receipts and replies to probes. What a test sends comes from the same port, so
that the device's connected socket takes it.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from device_side import OtherSide
from engines.rig import ENGINES, Rig
from engines.ward import side_by_side
from fuzz.mutate import INTERESTING

from gateway.keys.link import device_key, handshake_key, pairing_key, tag
from gateway.wire import control
from gateway.wire import packet as wire

LOOK_S = 0.02
COMMIT_S = 0.1
DEVICE = 7
CODE = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SECRET = bytes(range(100, 132))


class Side(OtherSide):
    """The gateway's end, whose device may get another key."""

    def become(self, key: bytes) -> None:
        """HELLOs are under this key from now on."""
        self.key, self.k_hs = key, handshake_key(key)


class Foe:
    """Use it in a `with` block; devices send to `port`.

    Args:
        host: address to listen at.
        port: UDP port; 0 takes a free one.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.side = Side(SECRET, DEVICE)
        self.pair: Callable[[bytes], None] = lambda packet: None
        """Takes PAIR."""
        self.lock = threading.Lock()
        self.answers = True
        """False: as a gateway that is off."""
        self.peer: Any = None
        """Where the device was heard last."""
        self.heard = 0
        """Packets that came."""
        self.bad: list[str] = []
        """What came and was no packet of the device."""
        self.host = host
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind((host, port))
        self.socket.settimeout(LOOK_S)
        self.port = int(self.socket.getsockname()[1])
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="foe", daemon=True)

    def __enter__(self) -> Foe:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(10)
        self.socket.close()

    def key_file(self) -> dict[str, Any]:
        """What `vestibule device add` would have written."""
        return {"device": DEVICE, "key": self.side.key.hex(), "home": "home", "name": "x", "hello_seq": -1}

    def send(self, packet: bytes) -> None:
        """To where the device was heard last."""
        # Nobody listens there for a moment: as on any network.
        with contextlib.suppress(OSError):
            self.socket.sendto(packet, self.peer)

    @property
    def link(self) -> Any:
        """The newest link."""
        return self.side.links[max(self.side.links)]

    def _run(self) -> None:
        due = 0.0
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError, ConnectionRefusedError):
                packet, self.peer = self.socket.recvfrom(2048)
                self.heard += 1
                if self.answers:
                    with self.lock:
                        self._hear(packet)
            if self.answers and time.monotonic() >= due and self.peer:
                due = time.monotonic() + COMMIT_S
                with self.lock:
                    for link in self.side.links.values():
                        if receipt := self.side.commit(link):
                            self.send(receipt)

    def _hear(self, packet: bytes) -> None:
        try:
            if packet[3] == wire.HELLO:
                self.send(self.side.welcome(packet))
            elif packet[3] == wire.PAIR:
                self.pair(packet)
            else:
                link, header, body = self.side.read(packet)
                if header.seq in link.done and header.type in (wire.DATA, wire.BYE):
                    self.send(self.side.receipt(link, [(0, b"", [header.seq, header.seq])]))
                if header.type == wire.SYNC:
                    t1 = control.decode(control.Probe, body).t1_ns
                    now = time.monotonic_ns()
                    reply = control.encode(control.ProbeReply(t1, now, now))
                    self.send(self.side.down(link, wire.SYNC, reply))
        except (AssertionError, KeyError, ValueError) as error:
            self.bad.append(f"{type(error).__name__} {error} of {packet.hex()}")


@contextlib.contextmanager
def recording(foe: Foe, rig: Rig, **options: Any) -> Iterator[dict[str, Any]]:
    """The rig, recording to a foe."""
    rig.give_identity(foe.key_file(), foe.host, foe.port)
    rig.make(foe.host, foe.port, **options)
    rig.ask("start")
    yield rig.recording()


def strange(foe: Foe, draw: random.Random) -> bytes:
    """Bytes that no gateway sends; about half with a tag that verifies."""
    side = foe.side
    kind = draw.randrange(8)
    link = foe.link
    if kind == 0:
        return draw.randbytes(draw.choice((0, 1, 39, 40, 41, 100, 1200, 1201, 1400)))
    if kind == 1:  # a header that is right, over noise
        head = wire.pack_header(
            draw.randrange(256), draw.choice((0, link.number, 2**32 - 1)), draw.getrandbits(64), 5
        )
        return head + draw.randbytes(draw.choice((16, 17, 60, 1176, 1177)))
    if kind == 2:  # a good packet, spoilt
        good = bytearray(side.down(link, wire.SYNC, b"\x93\x01\x02\x03", seq=2**63 + draw.getrandbits(40)))
        good[draw.randrange(len(good))] ^= 1 << draw.randrange(8)
        return bytes(good)
    types = (wire.RECEIPT, wire.SYNC, wire.COMMAND, wire.DATA, wire.BYE, wire.HELLO, wire.PAIRED)
    # Never far above what is true: a gateway that does so has only itself to blame, its later packets count as seen.
    seq = draw.choice((None, None, None, 0, draw.getrandbits(48)))
    if kind == 3:
        return side.down(link, draw.choice(types[:5]), draw.randbytes(draw.randrange(300)), seq)
    if kind == 4:
        head = wire.pack_header(
            draw.choice((wire.WELCOME, wire.RESET)), draw.choice((0, link.number)), draw.getrandbits(64), 5
        )
        head += odd(draw)
        return (head + tag(side.k_hs, head))[:1300]
    if kind == 5:
        return side.down(link, draw.choice(types[:3]), odd(draw)[:1100], seq)
    if kind == 6:
        return side.down(link, wire.RECEIPT, receipt(draw), seq)
    return side.down(link, wire.COMMAND, command(draw), seq)


def receipt(draw: random.Random) -> bytes:
    """A body of RECEIPT whose numbers are at the edges."""

    def ranges() -> list[int]:
        edges = (0, 1, 5, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1)
        # Not from 0 on: what is true would be settled too.
        return sorted(draw.sample(edges[3:], draw.choice((0, 2, 4, 6, 3))))

    body = [
        [
            [draw.choice((0, 2**64 - 1)), draw.choice((b"", bytes(32), b"x")), ranges()]
            for _ in range(draw.randrange(4))
        ],
        [[draw.choice(("closed", "", "x" * 300, "\x00")), ranges()] for _ in range(draw.randrange(4))],
        [
            [draw.getrandbits(64) | 1 << 40, draw.getrandbits(64), draw.choice(("closed", "nonsense"))]
            for _ in range(draw.randrange(4))
        ],
        [[draw.getrandbits(64) for _ in range(draw.choice((5, 4)))] for _ in range(draw.randrange(4))],
    ]
    return pack(body)


def command(draw: random.Random) -> bytes:
    """A body of COMMAND that means no `stop`, `open` or `rotate` that would be obeyed."""
    verb = draw.choice(("haptic", "text", "marker", "hold", "rotate", "nonsense", "", "open\x00x", "x" * 500))
    args = [
        draw.choice(
            (
                0,
                -1,
                2**63,
                2**64 - 1,
                -(2**63),
                0.5,
                1e308,
                -0.0,
                "",
                "\x00",
                "a" * 600,
                "\u202e",
                "[b]x[/b]",
                float("nan"),
                float("inf"),
            )
        )
        for _ in range(draw.randrange(6))
    ]
    return pack([verb, args])


def odd(draw: random.Random) -> bytes:
    """MessagePack that is nearly a body, or deep, or long, or lies about its lengths."""
    kind = draw.randrange(5)
    if kind == 0:
        return bytes([0x91]) * draw.randrange(1, 1000)
    if kind == 1:
        return (
            bytes([draw.choice((0xDD, 0xDB, 0xC6, 0xDF))])
            + draw.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"))
            + draw.randbytes(20)
        )
    if kind == 2:
        return bytes(draw.choice(INTERESTING) for _ in range(draw.randrange(200)))
    if kind == 3:
        return pack(
            [[draw.getrandbits(64) for _ in range(draw.randrange(20))] for _ in range(draw.randrange(6))]
        )
    return pack(
        [
            draw.choice((0, b"x" * 16, "recording", [1], 2**64 - 1))
            for _ in range(draw.choice((1, 2, 3, 4, 12)))
        ]
    )


def pack(body: Any) -> bytes:
    """As MessagePack, in its shortest form."""
    return msgspec.msgpack.encode(body)


class Offer:
    """A code on offer, as a gateway keeps it: the first PAIR spends it, and only its bytes are answered again."""

    def __init__(self, foe: Foe, code: str = CODE, loses: int = 0) -> None:
        self.foe, self.code, self.loses = foe, code, loses
        self.pairs: list[bytes] = []
        self.first = b""
        foe.pair = self.take

    def take(self, packet: bytes) -> None:
        """A PAIR came."""
        self.pairs.append(packet)
        body = control.decode(control.Pair, bytes(wire.body_of(packet)))
        assert tag(pairing_key(self.code.encode()), packet[:-16]) == packet[-16:]
        self.first = self.first or packet
        if packet == self.first and len(self.pairs) > self.loses:
            self.foe.send(self.paired(body.nonce_d))

    def paired(self, nonce_d: bytes, nonce_g: bytes = b"g" * 16, code: str = "") -> bytes:
        """PAIRED for a nonce."""
        head = wire.pack_header(wire.PAIRED, 0, 0, 5)
        head += control.encode(control.Paired(nonce_d, nonce_g, 7, "home"))
        made = head + tag(pairing_key((code or self.code).encode()), head)
        key = device_key(self.code.encode(), nonce_d, nonce_g)
        self.foe.side.become(key)
        return made


def each(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test with all engines at once: mostly they wait."""
    names = list(inspect.signature(test).parameters.values())[1:]

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        side_by_side(lambda engine: test(engine, **fixtures), ENGINES)

    run.__signature__ = inspect.Signature(names)  # type: ignore[attr-defined]
    return run


def until(holds: Callable[[], Any], what: str, timeout_s: float = 15.0) -> Any:
    """Wait for something that nobody tells of."""
    end = time.monotonic() + timeout_s
    while not (found := holds()):
        assert time.monotonic() < end, f"not in {timeout_s:.0f} s: {what}"
        time.sleep(0.02)
    return found


@contextlib.contextmanager
def loaded(running: Rig, seconds: float) -> Iterator[dict[str, Any]]:
    """The app captures while the block runs."""
    answer: dict[str, Any] = {}
    order = {"packets_s": 90, "seconds": seconds, "kind": "pose"}
    thread = threading.Thread(target=lambda: answer.update(running.ask("load", seconds + 20, **order)))
    thread.start()
    try:
        yield answer
    finally:
        thread.join()
