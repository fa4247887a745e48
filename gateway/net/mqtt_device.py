"""A device at its MQTT broker: how simulated headsets, and whoever tests the gateway, reach it by MQTT.

It carries packets and knows nothing of links: `device/` decides what is sent, and sends again what has no receipt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.device.events import Send
from gateway.net import mqtt_topics as topics
from gateway.net.mqtt_courier import LINK_KEEP_S, Courier
from gateway.net.mqtt_settings import BrokerSettings
from gateway.wire.packet import MAX_MQTT_BYTES

SUCCESS: Final = 0x00
PAYLOAD_INVALID: Final = 0x99


class DeviceClient:
    """A device's side of MQTT.

    Args:
        settings: the broker, with the device's user there.
        home: the device's home, where its HELLO goes.
        device: its number.
        on_packet: takes each packet of the gateway; must not wait.
        on_state: told True when the broker accepted us, False when it is gone.
        keep_s: how long the broker keeps answers for a device that is away.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        home: str,
        device: int,
        on_packet: Callable[[bytes], None],
        on_state: Callable[[bool], None] = lambda state: None,
        keep_s: int = LINK_KEEP_S,
    ) -> None:
        self._home = home
        self._device = device
        self._on_packet = on_packet
        # WELCOME tells which gateway of the home answers, and comes on that gateway's topic: so hear all of them. A
        # broker that checks filters and not topics may grant a device its home's alone, which is right for one gateway.
        heard = (topics.down(topics.ANY, device), topics.down(home, device))
        self._courier = Courier(
            settings, f"dev-{home}-{device}", keep_s, [heard], self._take, lambda: None, on_state
        )

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us."""
        return self._courier.connected

    @property
    def why(self) -> str:
        """Why it is not connected, one word; empty while it is."""
        return self._courier.why

    @property
    def dropped(self) -> int:
        """Packets dropped because the broker was away or slow for too long."""
        return self._courier.outbox.dropped

    @property
    def unsent(self) -> int:
        """Packets that the broker refused to take, as of the connections that ended."""
        return self._courier.refused

    async def _take(self, topic: str, payload: bytes, qos: int) -> int:
        if len(payload) > MAX_MQTT_BYTES:
            return PAYLOAD_INVALID
        self._on_packet(payload)
        return SUCCESS

    def send(self, effect: Send) -> None:
        """Publish a packet: HELLO to the home, all others to the gateway of their link."""
        if effect.hello:
            topic = topics.hello(self._home, self._device)
        else:
            topic = topics.up(effect.gateway, self._device)
        self._courier.send(topic, effect.packet)

    async def run(self) -> None:
        """Connect and stay connected until `stop`."""
        await self._courier.run()

    async def sent(self) -> None:
        """Until the broker has everything, or some seconds are over, or it is gone."""
        await self._courier.sent()

    async def stop(self) -> None:
        """Let the broker take what was sent, and disconnect; it keeps the answers that are still to come."""
        await self.sent()
        await self._courier.stop()
