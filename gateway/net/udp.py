"""Hop 1, arrive: datagrams into the queue, and answers out. One socket, drained at each wake-up.

`add_reader` and `recvfrom` instead of a `DatagramProtocol`: asyncio allocates 256 KiB for each datagram, which costs
two to three times the CPU. Kernel drops are read from `/proc/net/udp`, so that the sum of what was sent closes.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gateway.core.effects import Arrival, MqttSource, Send
from gateway.errors import LocalError
from gateway.wire.packet import MAX_DATAGRAM_BYTES

DRAIN: Final = 64  # datagrams a wake-up; then the loop gets its turn
_PROC_NET_UDP: Final = Path("/proc/net/udp")
_PROC_NET_UDP6: Final = Path("/proc/net/udp6")


class UdpEdge:
    """The gateway's UDP socket.

    Args:
        host: address to bind.
        port: 0 takes a free one.
        receive_buffer_bytes: asked of the kernel; `buffer_bytes` tells what it gave.
        arrive: takes each arrival; must not wait.
    """

    def __init__(
        self, host: str, port: int, receive_buffer_bytes: int, arrive: Callable[[Arrival], None]
    ) -> None:
        self._arrive = arrive
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._set_buffer(receive_buffer_bytes)
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            raise LocalError(
                "udp_bind",
                f"cannot listen for headsets on {host}:{port}: {error.strerror}",
                "Choose another [udp] listen in the configuration, or stop what uses the port.",
            ) from error
        self.host, self.port = self._socket.getsockname()[:2]
        self.buffer_bytes = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        self.received = 0
        self.unsent = 0
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
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._readable)

    def stop(self) -> None:
        """Stop receiving; answers can still be sent. What the kernel holds already is still taken."""
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        for _ in range(1024):
            before = self.received
            self._readable()
            if self.received == before:
                return

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _readable(self) -> None:
        receive, arrive, clock_ns = self._socket.recvfrom, self._arrive, time.monotonic_ns
        taken = 0
        try:
            for _ in range(DRAIN):
                # One byte more than allowed: an oversize datagram shows as such, whatever its length.
                packet, address = receive(MAX_DATAGRAM_BYTES + 1)
                taken += 1
                arrive(Arrival(packet, address, clock_ns()))
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            # An ICMP error of an earlier answer; it says nothing about what arrives.
            pass
        self.received += taken

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
