"""One connection to an MQTT broker, over gmqtt: the only module that knows gmqtt, and the border of its types.

gmqtt's own reconnects, its store of unconfirmed packets and its log are not used:

* Its reconnect keeps one client for all connections, so a PUBACK that a commit releases late would go out on the next
  connection, where its number may belong to another packet: an acknowledgement of what is not durable. Here each
  connection has a client of its own, and what is written to a closed one is dropped.
* Its `publish` cannot be waited for. The store is a public argument, so `_Confirmed` stands in its place and tells
  when the broker has confirmed a packet.
* It ignores the reason code of a PUBACK, so a packet that the broker's ACL refused would look delivered.
* It takes whatever the broker sends. `_gate_reads` lets it stand in the socket.

`_count_refused`, `_gate_reads` and the end of `close` are the places that reach into gmqtt.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

from gmqtt import Client, Subscription
from gmqtt.mqtt.handler import MQTTConnectError

from gateway.errors import Unreachable
from gateway.net.mqtt_settings import BrokerSettings
from gateway.wire.packet import MAX_MQTT_BYTES

CONNECT_S: Final = 10.0  # TCP, TLS, CONNACK and SUBACK together
CLOSE_S: Final = 2.0  # for DISCONNECT and TLS's goodbye; then the socket is cut
GRACE_S: Final = 0.25  # a refusal and the end of the connection come together; the refusal says more
MAX_PACKET_BYTES: Final = MAX_MQTT_BYTES + 4096  # topic and properties; the same as in configs/mosquitto.conf
FAILED: Final = 0x80  # MQTT 5 reason codes from here on are errors (section 2.4)
ENDED_BY_BROKER: Final = {0x8B: "shutdown", 0x8E: "taken_over"}  # reason codes of its DISCONNECT
NO_RECONNECT: Final = -2  # -1 is gmqtt's "for ever", and 0 still reconnects once

# gmqtt writes topics, addresses and whole packets into Python's log; nothing of that may stand in ours.
logging.getLogger("gmqtt").setLevel(logging.CRITICAL + 1)


class _Confirmed:
    """Stands where gmqtt would store what it sent, and keeps nothing but the newest number."""

    is_empty = True

    def __init__(self, confirmed: Callable[[int], None]) -> None:
        self._confirmed = confirmed
        self.newest = 0

    def push_message(self, number: int, raw: bytes) -> None:
        self.newest = number

    def remove_message_by_mid(self, number: int) -> None:
        self._confirmed(number)

    async def wait_empty(self) -> None: ...

    def clear(self) -> None: ...


class Line:
    """One connection to the broker, from CONNECT to its end; never used twice.

    Args:
        settings: the broker.
        name: MQTT client identifier; the broker keeps an `mqtt_session` under it.
        keep_s: how long the broker keeps that, in seconds, when nobody is connected.
        on_packet: takes (topic, payload, QoS) and gives the reason code of the PUBACK, when it is time for it.
        on_confirmed: takes the number of a published packet when the broker has it.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        name: str,
        keep_s: int,
        on_packet: Callable[[str, bytes, int], Awaitable[int]],
        on_confirmed: Callable[[int], None],
    ) -> None:
        self._settings = settings
        self._on_packet = on_packet
        self._sent = _Confirmed(on_confirmed)
        self._granted: asyncio.Queue[Sequence[int]] = asyncio.Queue()
        self.lost = asyncio.Event()
        self.why = ""
        """Why it ended: `network`, `timeout`, `tls`, `not_authorized` (user, password), `refused`, `not_subscribed`,
        `shutdown` (of the broker), `taken_over` (by another of our name), `stopped` or `closed` (by us)."""
        self.may_read = asyncio.Event()
        """Cleared, it leaves what the broker sends in the socket, until the broker can send no more."""
        self.may_read.set()
        self.refused = 0
        """Published packets that the broker refused (its ACL, a quota)."""
        self._client: Any = Client(
            name,
            clean_session=False,
            optimistic_acknowledgement=False,
            persistent_storage=self._sent,
            session_expiry_interval=keep_s,
            receive_maximum=settings.receive_maximum,
            maximum_packet_size=MAX_PACKET_BYTES,
        )
        self._client.reconnect_retries = NO_RECONNECT
        if settings.username:
            self._client.set_auth_credentials(settings.username, settings.password)
        self._client.on_message = self._message
        self._client.on_disconnect = self._disconnected
        self._client.on_subscribe = self._subscribed
        self._count_refused()

    def _count_refused(self) -> None:
        handler = self._client._package_handler
        confirm = handler._handle_puback_packet

        def confirm_and_count(command: int, data: bytes) -> None:
            self.refused += len(data) > 2 and data[2] >= FAILED
            confirm(command, data)

        handler._handle_puback_packet = confirm_and_count

    def _gate_reads(self) -> None:
        protocol = self._client._connection._protocol
        read = protocol.read

        # Not `pause_reading` of the transport: asyncio's StreamReader in gmqtt resumes that by its own lights.
        async def read_when_allowed(most: int) -> bytes:
            await self.may_read.wait()
            data: bytes = await read(most)
            return data

        protocol.read = read_when_allowed

    # ---- what gmqtt calls ---------------------------------------------------------------------------------------

    async def _message(
        self, client: Any, topic: str | bytes, payload: bytes, qos: int, properties: Any
    ) -> int:
        # gmqtt gives bytes where a topic is not UTF-8; no topic of ours is empty, so that is refused like any other.
        return await self._on_packet(topic if isinstance(topic, str) else "", bytes(payload), qos)

    def _disconnected(self, client: Any, data: Any, error: Any = None) -> None:
        code = data[0] if isinstance(data, bytes) and data else 0
        self.drop(ENDED_BY_BROKER.get(code, "network"))

    def _subscribed(self, client: Any, number: int, granted: Sequence[int], properties: Any) -> None:
        self._granted.put_nowait(granted)

    # ---- what we call -------------------------------------------------------------------------------------------

    async def open(self, filters: Sequence[Sequence[str]]) -> None:
        """Connect with MQTT 5 and subscribe with QoS 1. Packets may come before this returns.

        Args:
            filters: for each subscription the topic filters to try, the first that the broker grants.

        Raises:
            Unreachable: code `broker`; `why` says more.
        """
        settings = self._settings
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._unless_lost(
                    self._client.connect(
                        settings.host,
                        settings.port,
                        ssl=settings.tls or False,
                        keepalive=settings.keep_alive_s,
                    )
                )
                self._gate_reads()
                for choices in filters:
                    await self._subscribe(choices)
        except TimeoutError as error:
            raise self._failed("timeout") from error
        except ssl.SSLError as error:
            raise self._failed("tls") from error
        except (OSError, UnicodeError) as error:  # the latter of a host name that cannot be one
            raise self._failed("network") from error
        except MQTTConnectError as error:
            known = error._code in (0x86, 0x87)
            raise self._failed("not_authorized" if known else "refused") from error

    async def _unless_lost(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run `work`, which would wait for ever on a connection that ends before its answer."""
        task = asyncio.ensure_future(work)
        ended = asyncio.ensure_future(self.lost.wait())
        try:
            await asyncio.wait({task, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                await asyncio.wait({task}, timeout=GRACE_S)
            if not task.done():
                raise ConnectionError("the broker ended the connection")
            return task.result()
        finally:
            task.cancel()
            ended.cancel()

    async def _subscribe(self, choices: Sequence[str]) -> None:
        for choice in choices:
            self._client.subscribe([Subscription(choice, qos=1)])
            granted = await self._unless_lost(self._granted.get())
            if granted and granted[0] == 1:
                return
        raise self._failed("not_subscribed")

    def _failed(self, why: str) -> Unreachable:
        # The end of the connection is told first; why the broker ended it says more.
        self.why = why if self.why == "network" else self.why
        self.drop(why)
        return Unreachable(
            "broker",
            f"no connection to the MQTT broker at {self._settings.host}:{self._settings.port} ({self.why})",
            "See that the broker runs and that [mqtt] of the configuration fits its certificate, users and rules.",
        )

    def publish(self, topic: str, payload: bytes) -> int | None:
        """Publish with QoS 1.

        Returns:
            The number that `on_confirmed` will be given; None while the broker takes no more (its Receive Maximum).
        """
        try:
            self._client.publish(topic, payload, qos=1)
        except OverflowError:
            return None
        return self._sent.newest

    def drop(self, why: str) -> None:
        """Give the connection up; the first reason stands."""
        self.why = self.why or why
        self.lost.set()

    async def close(self) -> None:
        """Disconnect. From the first moment on nothing more is written; the broker keeps the `mqtt_session`."""
        self.drop("closed")
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._client.disconnect()
        except OSError:  # TimeoutError is one
            pass
        finally:
            connection = self._client._connection
            if connection is not None:
                # A peer that is gone would hold the socket until the kernel gives up, a quarter of an hour.
                connection._transport.abort()
