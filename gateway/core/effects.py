"""What goes into the intake and what comes out of it: arrivals, and the effects that the edges perform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from gateway.core.records import StreamRecord
from gateway.ids import SessionId
from gateway.wire.frame import Frame

# MQTT 5 reason codes of PUBACK (VT1, "MQTT"): for what is refused before its tag is verified, for what is shed, and for
# what is or will be durable.
MQTT_TAKEN: Final = 0x00
MQTT_IMPLEMENTATION: Final = 0x83
MQTT_NOT_AUTHORIZED: Final = 0x87
MQTT_QUOTA: Final = 0x97
MQTT_MALFORMED: Final = 0x99


class MqttSource(NamedTuple):
    """Where an MQTT payload came from: the device number in its topic."""

    device: int


Source = tuple[str, int] | MqttSource
"""A UDP address, or the device of an MQTT topic."""


class Arrival(NamedTuple):
    """A packet as it came.

    Args:
        packet: the bytes.
        source: who sent them, as far as the network says; proves nothing.
        arrived_ns: the gateway's monotonic clock at the receive, in nanoseconds.
        ticket: what MQTT needs to acknowledge it; None for UDP.
    """

    packet: bytes
    source: Source
    arrived_ns: int
    ticket: Any = None


@dataclass(frozen=True, slots=True)
class Send:
    """Send a packet to where the newest fresh packet of its link came from.

    Args:
        source: the address, or the device for MQTT.
        packet: the bytes.
    """

    source: Source
    packet: bytes


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """PUBACK an MQTT payload: after the commit that holds it, or since it will be part of none.

    Args:
        ticket: of its arrival.
        reason_code: MQTT 5 reason code (0x00, 0x83, 0x87, 0x97, 0x99).
    """

    ticket: Any
    reason_code: int


Effect = Send | Acknowledge


@dataclass(slots=True)  # not frozen: one is made for every frame, and a frozen one costs a microsecond
class AdmittedFrame:
    """A frame that may be stored.

    Args:
        stream: its accounting.
        frame: decoded.
        data: its bytes: the leaf.
        count: samples.
    """

    stream: StreamRecord
    frame: Frame
    data: bytes
    count: int


@dataclass(slots=True)
class AdmittedPacket:
    """A fresh, authenticated packet on its way to the seal.

    Args:
        session: whose part it goes into.
        link: number of its link.
        seq, t_send_ns, arrived_ns: as in its header and arrival.
        frames: what may be stored.
        refused: `(stream, reason)` of frames that may not.
    """

    session: SessionId
    link: int
    seq: int
    t_send_ns: int
    arrived_ns: int
    frames: list[AdmittedFrame]
    refused: list[tuple[int, str]]
