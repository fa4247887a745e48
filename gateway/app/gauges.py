"""Figures that are read when somebody asks for metrics: what waits, what is kept, how far others are."""

from __future__ import annotations

import time
from collections.abc import Callable

from gateway.app.federation import Federation
from gateway.app.house import House
from gateway.app.observe import Observer
from gateway.net.mqtt import Broker


def of_house(observer: Observer, house: House) -> None:
    """Queue, sessions, links, disk."""
    gauge = observer.gauge
    gauge("queue_packets", "Packets that wait for admission.", lambda: house.queue.packets)
    gauge("queue_bytes", "Bytes that wait for admission.", lambda: house.queue.bytes)
    gauge("sessions", "Sessions that are open or draining.", lambda: len(house.registry.sessions))
    gauge("links", "Links that are kept.", lambda: len(house.registry.links))
    gauge("state_free_bytes", "Free disk under the store.", house.disk.free_bytes)


def of_broker(observer: Observer, broker: Callable[[], Broker | None]) -> None:
    """The MQTT broker, 0 without one.

    Args:
        observer: takes the gauges.
        broker: gives it, as far as there is one.
    """

    def reading(read: Callable[[Broker], float]) -> Callable[[], float]:
        def value() -> float:
            there = broker()
            return 0 if there is None else read(there)

        return value

    gauge = observer.gauge
    gauge("mqtt_connected", "1 while the broker has accepted us.", reading(lambda b: b.connected))
    gauge("mqtt_unacknowledged", "Payloads without a PUBACK yet.", reading(lambda b: b.unacknowledged))
    gauge(
        "mqtt_refused",
        "Payloads of topic, size or QoS that is not taken.",
        reading(lambda b: b.refused.total()),
    )
    gauge("mqtt_dropped", "Answers dropped: the broker was away or slow.", reading(lambda b: b.dropped))
    gauge("mqtt_unsent", "Answers that the broker refused to take.", reading(lambda b: b.unsent))


def of_federation(observer: Observer, federation: Federation | None) -> None:
    """What is confirmed and what is copied; 0 without peers."""

    def reading(read: Callable[[Federation], float]) -> Callable[[], float]:
        return lambda: read(federation) if federation is not None else 0

    def lag_entries(peers: Federation) -> float:
        machine = peers.machines.confirming.machine
        return machine.lag.entries if machine.active else 0

    def lag_seconds(peers: Federation) -> float:
        machine = peers.machines.confirming.machine
        return machine.lag.age_ns(time.monotonic_ns()) / 1e9 if machine.active else 0

    gauge = observer.gauge
    gauge("confirm_lag_entries", "Entries that no quorum cosigned yet.", reading(lag_entries))
    gauge("confirm_lag_seconds", "Since when the oldest of them waits.", reading(lag_seconds))
    gauge(
        "mirror_lag_entries",
        "Entries of peers that are promised and not copied yet.",
        reading(lambda peers: peers.machines.logs.mirror_lag),
    )
    gauge(
        "logs_frozen",
        "Logs against which there is evidence.",
        reading(lambda peers: sum(log.frozen for log in peers.machines.logs)),
    )
