"""A hostile network between a device and its gateway: a UDP proxy on loopback that loses, doubles, delays and stops.

It runs in a thread of its own. What it does to a packet is drawn from a seeded generator, so that the same packets in
the same order meet the same fate.
"""

from __future__ import annotations

import heapq
import random
import selectors
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import Self

LOOK_S = 0.05
BUFFER_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Ill:
    """What may happen to a packet, the same both ways.

    Args:
        loss, duplicate: share of packets, 0..1.
        reorder: share of packets that wait for `late_ms` besides, so that others overtake them.
        jitter_ms: each packet takes 0 to so long.
        late_ms: see `reorder`.
    """

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    jitter_ms: float = 0.0
    late_ms: float = 100.0


class Proxy:
    """Between devices and one gateway. Use it in a `with` block; devices send to `port`.

    Args:
        gateway_port: UDP port of the gateway on 127.0.0.1.
        ill: what happens to packets.
        seed: of the generator.
    """

    def __init__(self, gateway_port: int, ill: Ill | None = None, seed: int = 1) -> None:
        self.gateway_port = gateway_port
        self.ill = ill or Ill()
        self.counts: Counter[str] = Counter()
        """`up`, `down` (came in), and what became of them: `lost`, `doubled`, `late`, `cut` (in an outage)."""
        self._draw = random.Random(seed)
        self._cut_up = self._cut_down = False
        self._ended = threading.Event()
        self._select = selectors.DefaultSelector()
        self._front = _socket(("127.0.0.1", 0))
        self.port = int(self._front.getsockname()[1])
        self._ways: dict[tuple[str, int], socket.socket] = {}
        self._late: list[tuple[float, int, socket.socket, bytes, tuple[str, int]]] = []
        self._number = 0
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._select.register(self._front, selectors.EVENT_READ, None)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(10)
        for way in self._ways.values():
            way.close()
        self._front.close()
        self._select.close()

    def cut(self, *, down: bool = True) -> None:
        """Nothing passes any more, as with a gateway or a Wi-Fi that is off; also what is under way is gone.

        Args:
            down: False lets what the gateway sends pass.
        """
        self._cut_up, self._cut_down = True, down

    def mend(self) -> None:
        """Packets pass again."""
        self._cut_up = self._cut_down = False

    def outage(self, seconds: float, quiet_s: float = 0.0) -> None:
        """Be cut for so long.

        Args:
            seconds: how long nothing comes up.
            quiet_s: how long the gateway is heard after that began, so that no receipt is lost with it.
        """
        self.cut(down=quiet_s == 0)
        if quiet_s:
            time.sleep(quiet_s)
            self.cut()
        time.sleep(seconds - quiet_s)  # the outage itself, and no wait for a condition
        self.mend()

    def _run(self) -> None:
        while not self._ended.is_set():
            wait_s = max(0.0, min(LOOK_S, self._late[0][0] - time.monotonic())) if self._late else LOOK_S
            for key, _ in self._select.select(wait_s):
                self._readable(key.fileobj, key.data)  # type: ignore[arg-type]
            now = time.monotonic()
            while self._late and self._late[0][0] <= now:
                _, _, way, packet, address = heapq.heappop(self._late)
                self._pass(way, packet, address)

    def _readable(self, source: socket.socket, device: tuple[str, int] | None) -> None:
        for _ in range(256):
            try:
                packet, address = source.recvfrom(65_535)
            except BlockingIOError:
                return
            except ConnectionError:
                # The gateway's port is closed for a moment: an ICMP error of an earlier send.
                continue
            if device is None:
                self.counts["up"] += 1
                self._fate(self._way(address), packet, ("127.0.0.1", self.gateway_port))
            else:
                self.counts["down"] += 1
                self._fate(self._front, packet, device)

    def _way(self, address: tuple[str, int]) -> socket.socket:
        """The socket by which a device's packets go on, so that the gateway sees its devices apart."""
        if address not in self._ways:
            self._ways[address] = _socket(("127.0.0.1", 0))
            self._select.register(self._ways[address], selectors.EVENT_READ, address)
        return self._ways[address]

    def _fate(self, way: socket.socket, packet: bytes, address: tuple[str, int]) -> None:
        ill, draw = self.ill, self._draw
        if draw.random() < ill.loss:
            self.counts["lost"] += 1
            return
        copies = 2 if draw.random() < ill.duplicate else 1
        self.counts["doubled"] += copies - 1
        for _ in range(copies):
            delay_ms = ill.jitter_ms * draw.random()
            if draw.random() < ill.reorder:
                self.counts["late"] += 1
                delay_ms += ill.late_ms
            if delay_ms:
                self._number += 1
                when = time.monotonic() + delay_ms / 1000
                heapq.heappush(self._late, (when, self._number, way, packet, address))
            else:
                self._pass(way, packet, address)

    def _pass(self, way: socket.socket, packet: bytes, address: tuple[str, int]) -> None:
        if self._cut_down if way is self._front else self._cut_up:
            self.counts["cut"] += 1
            return
        try:
            way.sendto(packet, address)
        except OSError:
            self.counts["unsent"] += 1


def _socket(address: tuple[str, int]) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    made.bind(address)
    made.setblocking(False)
    return made
