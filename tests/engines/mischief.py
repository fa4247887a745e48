"""What a traced device hears besides welcomes and receipts: commands of all kinds, and what no gateway should send."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any

from device_side import FarLink, OtherSide

from gateway.keys.link import handshake_key, tag
from gateway.wire import packet as wire


def spoiled(rng: random.Random, packet: bytes) -> bytes:
    """A packet with one bit turned, or cut short."""
    at = rng.randrange(len(packet) + 1)
    if rng.random() < 0.3 or at == len(packet):
        return packet[:at]
    return packet[:at] + bytes((packet[at] ^ 1 << rng.randrange(8),)) + packet[at + 1 :]


class Mischief:
    """Sends them.

    Args:
        rng: where chance comes from.
        far: the gateway's side.
        keys: every K_dev of the device, the newest last.
        down: carries a packet to the device.
    """

    def __init__(
        self, rng: random.Random, far: OtherSide, keys: list[bytes], down: Callable[[bytes], None]
    ) -> None:
        self.rng, self.far, self.keys = rng, far, keys
        self._down = down
        self.heard: deque[bytes] = deque(maxlen=300)
        """Packets that went to the device, to be sent once more."""
        self.sent: deque[bytes] = deque(maxlen=200)
        """Packets of the device on links, for a RESET to name."""
        self.link_keys: dict[int, bytes] = {}
        """The K_dev with which each link was made."""

    def chat(self, link: FarLink) -> None:
        """Commands, and mischief among them, on a link."""
        rng, far = self.rng, self.far
        key = rng.randbytes(32)
        mischief: tuple[Callable[[], bytes], ...] = (
            lambda: rng.choice(self.heard) if self.heard else b"",
            lambda: rng.randbytes(rng.randrange(60)),
            lambda: spoiled(rng, rng.choice(self.heard)) if self.heard else b"",
            lambda: far.down(
                link, rng.choice((wire.RECEIPT, wire.SYNC, wire.COMMAND)), rng.randbytes(rng.randrange(9))
            ),
            lambda: far.down(link, rng.choice((wire.DATA, wire.PAIRED, wire.BYE)), b"\x90"),
            self._command_again,
            self._command_again,
            lambda: self._reset(link, forged=True),
            lambda: self._reset(link, forged=False),
            lambda: self._forged_welcome(),
        )
        commands: tuple[tuple[Any, ...], ...] = (
            ("open",),
            (
                "stop",
                rng.choice(
                    ("closed", "withdrawn", "revoked", "", "x" * 65, "\U0001f600" * 17, "\U0001f600" * 16)
                ),
            ),
            ("stop",),
            ("hold", "disk_full"),
            ("hold", rng.choice(("weather", 5, ""))),
            ("hold",),
            ("rotate", key.hex()),
            ("rotate", rng.choice((key.hex().upper(), key.hex()[:-1], self.keys[-1].hex(), 7, "é" * 64))),
            (
                "haptic",
                rng.choice((0, 1, 2, 255, 256, -1)),
                rng.choice((0.0, 0.5, 1.0, 1.5)),
                100,
                rng.choice((0.0, 0.5, 200.0, 1e9)),
            ),
            ("haptic", rng.choice((0, 1)), 0.5, 20, 200.0),
            ("haptic", 1, 1, 100, 0.0),
            ("text", rng.choice(("", "Bitte umdrehen", "ü" * 256, "ü" * 257, 5))),
            ("marker", rng.choice((0, 65_535, 65_536, -1, 1.0)), rng.choice(("", "x", "é" * 257))),
            ("marker", 7, "a"),
        )
        if rng.random() < 0.05:
            self._flood(link)
        for _ in range(rng.choice((1, 1, 3, 25))):
            if rng.random() < 0.4:
                self._down(rng.choice(mischief)())
            else:
                verb, *args = rng.choice(commands)
                if verb == "rotate" and args == [key.hex()] and rng.random() < 0.7:
                    # A new key each time would hide what comes of an old one.
                    verb, args = "text", ["instead"]
                self._down(far.command(link, verb, *args))

    def _command_again(self) -> bytes:
        return self.rng.choice(
            [packet for packet in self.heard if packet[3:4] == bytes((wire.COMMAND,))] or [b""]
        )

    def _flood(self, link: FarLink) -> None:
        """More than a device remembers: of commands, of numbers, of refused frames."""
        rng, far = self.rng, self.far
        for _ in range(70):
            self._down(far.command(link, "text", "once more"))
        for _ in range(200):
            self._down(far.receipt(link))
        for _ in range(25):
            rows = [(rng.randrange(9), rng.randrange(300), "schema") for _ in range(80)]
            self._down(far.receipt(link, frames=rows))

    def _reset(self, link: FarLink, *, forged: bool) -> bytes:
        mine = [packet for packet in self.sent if wire.parse_header(packet).link == link.number]
        if not mine:
            return b""
        named = self.rng.choice(mine)
        key = self.link_keys.get(link.number, self.far.key)
        if not forged:
            return self.far.reset(link.number, named, self.rng.choice(("ended", "revoked", "moved")), key)
        wrong = self.rng.choice(({"seq": 1 << 63}, {"tag": bytes(16)}, {"reason": "because"}))
        return self.far.reset(link.number, named, key=self.rng.choice((key, bytes(32))), **wrong)

    def _forged_welcome(self) -> bytes:
        seq = self.far.hellos[-1][0] if self.far.hellos else 0
        head = wire.pack_header(wire.WELCOME, 0, seq, 5) + b"\x9c" + self.rng.randbytes(20)
        return head + tag(handshake_key(self.keys[-1]), head)
