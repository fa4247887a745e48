"""The daemon: open the store, wire the machines, take packets, and stop in the order that loses nothing.

Keepers (spine, HTTP, control) enclose takers (UDP, MQTT): shutdown stops receiving first, then the spine seals and
commits what it accepted and tells, then the edges close, and the store last.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway import events
from gateway.app import config as configuration
from gateway.app import gauges
from gateway.app.export import LogReader
from gateway.app.house import House
from gateway.app.notify import Watchdog, notify, watchdog_interval_s
from gateway.app.observe import Observer
from gateway.app.requests import Reach
from gateway.app.spine import Spine
from gateway.app.startup import Store, names_of, open_store
from gateway.app.verbs import Verbs
from gateway.app.verbs_peer import PeerVerbs
from gateway.app.wiring import among_peers, build_house
from gateway.errors import ConfigError, VestibuleError
from gateway.net.control import ControlServer
from gateway.net.http import HttpEdge
from gateway.net.mqtt import Broker, BrokerSettings
from gateway.net.mqtt_settings import read_password, tls_context
from gateway.net.udp import UdpEdge
from gateway.rights.door import Door
from gateway.store.layout import Layout
from gateway.store.queries import Head

Config = configuration.Config

WATCH_S = 1.0
STALLED_S = 30.0  # a spine that has not come round for so long is not alive, whatever its process says
STOP_S = 25.0  # systemd kills after 30
OUR_DOING = frozenset(("", "stopped", "closed"))  # ends of a connection to the broker that are no news


def run(layout: Layout, config_path: Path | None) -> None:
    """Run until SIGTERM or SIGINT.

    Args:
        layout: of the store.
        config_path: the configuration; None takes the store's own.

    Raises:
        VestibuleError: why it cannot start, or why it had to end.
    """
    config = configuration.load(config_path or layout.config)
    # Packets live until their seal, a second, and make no cycles: the collector would walk thousands of them again and
    # again (a quarter of the CPU, measured). What was made until now stays for ever; the rest is looked at rarely.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    loop_factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    with contextlib.suppress(ImportError):
        # The extra `speed`: the same program, less CPU in the loop.
        loop_factory = importlib.import_module("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(Daemon(layout, config).run())


class Daemon:
    """One run of the gateway.

    Args:
        layout: of the store.
        config: checked.
    """

    def __init__(self, layout: Layout, config: Config) -> None:
        self._layout = layout
        self._config = config
        self._stop = asyncio.Event()
        self._observer = Observer(config.log.format, config.log.level)
        self._udp: UdpEdge | None = None
        self._broker: Broker | None = None
        self._broker_was = (False, "")

    def stop(self) -> None:
        """Begin an orderly stop."""
        self._stop.set()

    async def run(self) -> None:
        """Start, serve until `stop`, drain, close."""
        started = time.monotonic()
        self._observer.emit(events.DaemonStarted())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        store = await open_store(self._layout, self._config.limits.link_keep_s)
        try:
            if store.keys.origin != self._config.gateway.origin:
                raise ConfigError(
                    "origin",
                    "the configuration names another origin than the store's keys",
                    f'Set [gateway] origin = "{store.keys.origin}": an origin never changes.',
                )
            self._observer.emit(
                events.StoreRecovered(store.frontier.size, store.cut_bytes, store.mark_advanced)
            )
            await self._serve(store, started)
        except BaseExceptionGroup as group:
            raise _first(group) from group
        finally:
            await store.close()

    async def _serve(self, store: Store, started: float) -> None:
        config = self._config
        house = build_house(store, config, self._observer)
        spine = Spine(house)
        house.utc_ms()
        reader = LogReader(store.db, lambda: house.checkpoint)
        federation = await among_peers(self._layout, config, self._observer, store, house, spine, reader)
        host, port = _address(config.http.listen)
        http = HttpEdge(
            host,
            port,
            federation.shown.resource if federation else reader.resource,
            self._not_ready(house),
            self._observer.render_metrics,
            federation.add_checkpoint if federation else None,
            federation.raw_roster if federation else bytes,
            self._observer.bug,
        )
        gauges.of_house(self._observer, house)
        gauges.of_broker(self._observer, lambda: self._broker)
        gauges.of_federation(self._observer, federation)
        async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as keepers:
            peers: asyncio.Task[None] | None = None
            if federation is not None:
                stack.push_async_callback(federation.stop)
                await federation.guard(Head(store.frontier.size, store.frontier.root()))
                await federation.start()
                house.on_head = federation.published
                peers = keepers.create_task(federation.run(), name="peers")
            house.publish()
            await http.start()
            if config.udp.enabled:
                udp_host, udp_port = _address(config.udp.listen)
                self._udp = UdpEdge(
                    udp_host, udp_port, config.udp.receive_buffer_bytes, spine.arrivals.arrive
                )
                house.udp = self._udp.send
            if config.mqtt.enabled:
                self._broker = self._make_broker(spine)
                house.mqtt, house.puback = self._broker.send, self._broker.acknowledge
            verbs = Verbs(
                spine,
                house,
                store,
                Door(config.access.actors),
                Reach(
                    self._udp.host if self._udp else "",
                    self._udp.port if self._udp else 0,
                    f"{http.host}:{http.port}",
                    config.limits.pairing_s,
                    int(time.time() * 1000),
                ),
                self._edges,
                self.stop,
                PeerVerbs(config, federation),
            )
            control = ControlServer(control_path(self._layout), verbs.handle, self._observer.bug)
            await control.start()
            spine_task = keepers.create_task(spine.run(), name="spine")
            watch = keepers.create_task(self._watch(house, spine_task), name="watch")
            broker = keepers.create_task(self._broker.run(), name="mqtt") if self._broker else None
            try:
                if self._udp is not None:
                    self._udp.start()
                self._observer.emit(events.DaemonReady(int((time.monotonic() - started) * 1000)))
                notify("READY=1")
                await self._until_stop(spine_task)
                stopping = time.monotonic()
                self._observer.emit(events.DaemonStopping())
                notify("STOPPING=1")
                # Takers first: nothing more comes in, then the spine makes durable what did, and tells.
                if self._udp is not None:
                    self._udp.stop()
                if self._broker is not None:
                    self._broker.hold()
                spine.stop()
                async with asyncio.timeout(STOP_S):
                    await spine_task
            finally:
                watch.cancel()
                if peers is not None:
                    peers.cancel()
                if self._broker is not None and broker is not None:
                    # A spine that was held owes PUBACKs that will not come: the broker keeps those payloads.
                    await self._broker.stop(wait=not house.held)
                await control.stop()
                await http.stop()
                if self._udp is not None:
                    self._udp.close()
            house.report()
            self._observer.emit(events.DaemonStopped(int((time.monotonic() - stopping) * 1000)))

    async def _until_stop(self, spine_task: asyncio.Task[None]) -> None:
        stop = asyncio.create_task(self._stop.wait(), name="stop")
        await asyncio.wait((stop, spine_task), return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if spine_task.done():
            # It ends by itself only when the outcome of a write is unknown: let that error end everything.
            await spine_task

    async def _watch(self, house: House, spine_task: asyncio.Task[None]) -> None:
        """Once a second: arrivals, kernel drops, the broker, systemd's watchdog (only after progress) and its line."""
        watchdog = Watchdog(watchdog_interval_s())
        dropped = 0
        edges: dict[events.Transport, UdpEdge | Broker | None] = {"udp": self._udp, "mqtt": self._broker}
        arrived: Counter[str] = Counter()
        while True:
            await asyncio.sleep(WATCH_S)
            if self._udp is not None:
                now = self._udp.kernel_dropped()
                if now > dropped:
                    self._observer.emit(events.KernelDropped(now - dropped))
                    dropped = now
            for transport, edge in edges.items():
                if edge is not None and edge.received > arrived[transport]:
                    self._observer.emit(events.PacketsArrived(transport, edge.received - arrived[transport]))
                    arrived[transport] = edge.received
            self._broker_news()
            idle_s = (time.monotonic_ns() - house.turned_ns) / 1e9
            if idle_s < STALLED_S and not spine_task.done():
                watchdog.progressed(time.monotonic())
            notify(
                f"STATUS={len(house.registry.devices)} devices, {len(house.registry.sessions)} sessions, "
                f"log {house.ledger.size}, {house.held or 'accepting'}"
            )

    def _make_broker(self, spine: Spine) -> Broker:
        mqtt = self._config.mqtt
        names = names_of(self._config.gateway.name)
        return Broker(
            BrokerSettings(
                mqtt.host,
                mqtt.port,
                tls_context(mqtt.tls_ca_file) if mqtt.tls else None,
                mqtt.username,
                read_password(mqtt.password_file),
                mqtt.receive_maximum,
                mqtt.keep_alive_s,
            ),
            names.gateway,
            names.home,
            spine.arrivals.arrive_when_room,
            lambda connected: self._broker_news(),
        )

    def _broker_news(self) -> None:
        """Say what changed at the broker: whether it is there, and while it is not, why."""
        broker = self._broker
        if broker is None or self._broker_was == (broker.connected, broker.why):
            return
        self._broker_was = broker.connected, broker.why
        if broker.connected:
            self._observer.emit(events.BrokerConnected())
        elif broker.why not in OUR_DOING:
            self._observer.emit(events.BrokerLost(events.reason(broker.why)))

    def _edges(self) -> dict[str, Any]:
        mqtt: dict[str, Any] = {"enabled": self._broker is not None, "connected": False}
        if (broker := self._broker) is not None:
            mqtt |= {
                "connected": broker.connected,
                "why": broker.why,
                "received": broker.received,
                "unacknowledged": broker.unacknowledged,
                "refused": dict(broker.refused),
                "dropped": broker.dropped,
                "unsent": broker.unsent,
            }
        return {
            "kernel_dropped": self._udp.kernel_dropped() if self._udp else 0,
            "received": self._udp.received if self._udp else 0,
            "receive_buffer_bytes": self._udp.buffer_bytes if self._udp else 0,
            "mqtt": mqtt,
        }

    def _not_ready(self, house: House) -> Callable[[], list[dict[str, Any]]]:
        def reasons() -> list[dict[str, Any]]:
            out: list[dict[str, Any]] = []
            if house.held:
                out.append({"code": house.held, "free_bytes": house.disk.free_bytes()})
            idle_s = (time.monotonic_ns() - house.turned_ns) / 1e9
            if idle_s > STALLED_S:
                out.append({"code": "stalled", "idle_s": int(idle_s)})
            if self._broker is not None and not self._broker.connected:
                out.append({"code": "broker_away", "why": self._broker.why})
            return out

        return reasons


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended everything: one of ours before any other, since the rest follows from it."""
    ours = group.subgroup(VestibuleError)
    found: BaseException = ours if ours is not None else group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


def control_path(layout: Layout) -> Path:
    """Where the control socket stands: the service's runtime directory, else the data directory."""
    runtime = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return Path(runtime) / "control.sock" if runtime else layout.data_dir / "control.sock"


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)
