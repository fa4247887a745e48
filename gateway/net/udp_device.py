"""A device's UDP socket: connected, so that the kernel drops whatever another address sends, and never waiting."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from gateway.device.events import Send
from gateway.errors import Unreachable
from gateway.wire.packet import MAX_DATAGRAM_BYTES

DRAIN: Final = 64  # datagrams a wake-up; then the loop gets its turn
RECEIVE_BUFFER_BYTES: Final = 1 << 18  # receipts of a second; a gateway sends a device a few packets a second


class UdpDevice:
    """One device's way to its gateway. A `Transport` of `app/drive`.

    Args:
        host: the gateway's name or address.
        port: the gateway's port.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._socket: socket.socket | None = None
        self._receive: Callable[[bytes], None] = lambda packet: None
        self.unsent = 0
        """Packets that the system did not take: lost, as on any network."""

    async def open(self, receive: Callable[[bytes], None]) -> None:
        """Find the gateway's address and begin to receive.

        Args:
            receive: takes each datagram; must not wait.

        Raises:
            Unreachable: the name or the address leads nowhere.
        """
        loop = asyncio.get_running_loop()
        made: socket.socket | None = None
        try:
            found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)
            family, kind, protocol, _, address = found[0]
            made = socket.socket(family, kind, protocol)
            made.setblocking(False)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            made.connect(address)
        except OSError as error:
            if made is not None:
                made.close()
            raise Unreachable(
                "gateway",
                f"the gateway at {self._host}:{self._port} cannot be addressed: {error.strerror or error}",
                "Check --host and --port; `vestibule status` on the gateway shows both.",
            ) from error
        self._socket, self._receive = made, receive
        loop.add_reader(made.fileno(), self._readable)

    def send(self, effect: Send) -> None:
        """Send a datagram."""
        if self._socket is None:
            return
        try:
            self._socket.send(effect.packet)
        except OSError:
            # A full buffer, or nobody listens there now: the device sends again what needs a receipt.
            self.unsent += 1

    async def close(self) -> None:
        """Close the socket; what comes later is nobody's."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _readable(self) -> None:
        opened = self._socket
        try:
            for _ in range(DRAIN):
                if opened is None or opened is not self._socket:
                    return  # closed by what was received
                # One byte more than allowed: an oversize datagram shows as such.
                self._receive(opened.recv(MAX_DATAGRAM_BYTES + 1))
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            # An ICMP error of an earlier send: the gateway is away. It says nothing about what arrives.
            pass
