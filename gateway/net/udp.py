"""Hop 1, arrive: datagrams into the queue, and answers out. One socket, read in looks.

The kernel stamps each datagram (`SO_TIMESTAMPNS`), so that its arrival is known to the microsecond however late it is
read: clock probes stay exact while a batch is sealed, and datagrams can be read in slabs. While they come, the socket
is looked at some ten times a second instead of waking for each one, which halves the CPU of a busy gateway; when
nothing came for a while, the loop waits for the next one again. Kernel drops are read from `/proc/net/udp`, so that
the sum of what was sent closes.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gateway.core.effects import Arrival, MqttSource, Send
from gateway.errors import ConfigError
from gateway.wire.packet import MAX_DATAGRAM_BYTES

DRAIN: Final = 512  # datagrams a slab
# Between looks while datagrams come. A busy clinic brings some two hundred in that time: code and tables that were
# pushed out of the caches are fetched once for all of them (62 us a packet in slabs of 10, 36 in slabs of 120).
LOOK_S: Final = 0.1
LEAST_LOOK_S: Final = 0.005
DATAGRAM_BYTES: Final = 2560  # what the kernel charges a receive buffer for one of 1,200 bytes, about
QUIET_LOOKS: Final = 4  # looks without a datagram after which the loop waits for the next one
SLABS_A_LOOK: Final = 4
SO_TIMESTAMPNS: Final = 35  # Linux; Python's socket module does not name it
MAX_DELAY_NS: Final = (
    2_000_000_000  # a stamp that is older says that the wall clock was set; then now is the truth
)
_PROC_NET_UDP: Final = Path("/proc/net/udp")
_PROC_NET_UDP6: Final = Path("/proc/net/udp6")
_TIMESPEC: Final = struct.Struct("qq")
_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(_TIMESPEC.size)


class UdpEdge:
    """The gateway's UDP socket.

    Args:
        host: address to bind.
        port: 0 takes a free one.
        receive_buffer_bytes: asked of the kernel; `buffer_bytes` tells what it gave.
        arrive: takes a slab of arrivals; must not wait.
    """

    def __init__(
        self, host: str, port: int, receive_buffer_bytes: int, arrive: Callable[[list[Arrival]], None]
    ) -> None:
        self._arrive = arrive
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._set_buffer(receive_buffer_bytes)
            self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            raise ConfigError(
                "udp_bind",
                f"cannot listen for headsets on {host}:{port}: {error.strerror}",
                "Choose another [udp] listen in the configuration, or stop what uses the port.",
            ) from error
        self.host, self.port = self._socket.getsockname()[:2]
        # The kernel tells twice what it granted: the other half is for its own books, socket(7).
        self.buffer_bytes = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
        self.received = 0
        self.unsent = 0
        self._quiet = 0
        self._look_s = LEAST_LOOK_S
        self._capacity = max(16, self.buffer_bytes // DATAGRAM_BYTES)
        self._timer: asyncio.TimerHandle | None = None
        self._inode = str(self._inode_of())
        self._drops_at_start = self._kernel_drops()

    def _set_buffer(self, wanted: int) -> None:
        force = getattr(socket, "SO_RCVBUFFORCE", 33)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, force, wanted)
        except OSError:
            # Not privileged: the kernel grants net.core.rmem_max at most.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted)

    def start(self) -> None:
        """Begin to receive, in the running loop."""
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._woken)

    def stop(self) -> None:
        """Stop receiving; answers can still be sent. What the kernel holds already is still taken."""
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for _ in range(64):
            if not self._drain():
                return

    def _woken(self) -> None:
        """The first datagram after a quiet time: from now on, look instead of being woken."""
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._quiet = 0
        self._look()

    def _look(self) -> None:
        """Take all that came. A flood must wait in the queue, which is fair, and not in the kernel, which is not."""
        loop = asyncio.get_running_loop()
        taken = 0
        for _ in range(SLABS_A_LOOK):
            slab = self._drain()
            taken += slab
            if slab < DRAIN:
                break
        else:
            # Still more: the rest of the loop gets its turn, then this goes on at once.
            self._timer = loop.call_later(0, self._look)
            return
        self._quiet = 0 if taken else self._quiet + 1
        # As seldom as the kernel's buffer allows: an ordinary service is granted little, and must not let it fill.
        if taken > self._capacity // 8:
            self._look_s = max(LEAST_LOOK_S, self._look_s / 2)
        elif taken < self._capacity // 32:
            self._look_s = min(LOOK_S, self._look_s * 1.25)
        if self._quiet < QUIET_LOOKS:
            self._timer = loop.call_later(self._look_s, self._look)
        else:
            self._timer = None
            loop.add_reader(self._socket.fileno(), self._woken)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _drain(self) -> int:
        """Take what is there; returns how many datagrams that were."""
        receive, unpack, new = self._socket.recvmsg, _TIMESPEC.unpack_from, tuple.__new__
        slab: list[Arrival] = []
        now_ns, wall_ns = time.monotonic_ns(), time.time_ns()
        try:
            for _ in range(DRAIN):
                # One byte more than allowed: an oversize datagram shows as such, whatever its length.
                packet, ancillary, _, address = receive(MAX_DATAGRAM_BYTES + 1, _ANCILLARY_BYTES)
                arrived_ns = now_ns
                if ancillary:
                    seconds, nanoseconds = unpack(ancillary[0][2])
                    delay_ns = wall_ns - seconds * 1_000_000_000 - nanoseconds
                    if 0 < delay_ns < MAX_DELAY_NS:
                        arrived_ns -= delay_ns
                # As `Arrival(...)`, which would call a Python function for each datagram.
                slab.append(new(Arrival, (packet, address, arrived_ns, None)))
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            # An ICMP error of an earlier answer; it says nothing about what arrives.
            pass
        if slab:
            self.received += len(slab)
            self._arrive(slab)
        return len(slab)

    def send(self, effect: Send) -> None:
        """Send an answer; a full send buffer drops it, as a network would: the device asks again."""
        assert not isinstance(effect.source, MqttSource)
        try:
            self._socket.sendto(effect.packet, effect.source)
        except (BlockingIOError, OSError):
            self.unsent += 1

    def kernel_dropped(self) -> int:
        """Datagrams that the kernel dropped on this socket since it was opened, because its buffer was full."""
        return self._kernel_drops() - self._drops_at_start

    def _inode_of(self) -> int:
        return os.fstat(self._socket.fileno()).st_ino

    def _kernel_drops(self) -> int:
        for path in (_PROC_NET_UDP, _PROC_NET_UDP6):
            try:
                lines = path.read_text().splitlines()[1:]
            except OSError:
                continue
            for line in lines:
                fields = line.split()
                if len(fields) >= 13 and fields[9] == self._inode:
                    return int(fields[12])
        return 0
