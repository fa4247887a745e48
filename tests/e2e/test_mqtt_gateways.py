"""The whole way by MQTT: two gateways and their headsets at one real broker, each process killed in the middle of it.

Headsets, broker (TLS, passwords, the shipped access rules) and daemons are the real ones. What a headset captured is
held against what lies in the vault, sample by sample: nothing is lost, nothing is there twice.
"""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from e2e.daemon import Gateway
from servers import Mosquitto, shipped_acl

from gateway.app import keyfile
from gateway.app.drive import Transport
from gateway.app.feed import Feed, RecordingClock, play, strands_of
from gateway.app.keyfile import DeviceKey
from gateway.app.replay import Wanted, with_daemon
from gateway.app.rig import Rig, Way
from gateway.app.transports import MqttDevice
from gateway.app.verify import verify_store
from gateway.core.part import ARRIVAL
from gateway.device.events import Send
from gateway.errors import EXIT_REFUSED
from gateway.net.mqtt_courier import LINK_KEEP_S
from gateway.net.mqtt_line import Line
from gateway.net.mqtt_settings import BrokerSettings
from gateway.sources.track import Recording, Track
from gateway.wire import kinds
from gateway.wire import packet as wire

pytestmark = [
    pytest.mark.slow,
]

NAMES = ("rig-1", "rig-2")
DEVICES = range(1, 6)
WAIT_S = 15.0
STREAMS = 4
SAMPLES = 960  # a stream's; a frame holds 16, so 240 packets of one frame in all
STEP_NS = 2_500_000  # between two samples: 2.4 s of recording, 100 packets a second
NEVER_MS = 60_000  # of a headset that leaves it all to the broker's custody
SEAL_MS = 300  # some thirty packets are on the way at any moment
ALLOWED = {kinds.POSE, kinds.CLOCK, kinds.INFO}


def secret(user: str) -> str:
    return f"{user} secret"


@dataclass
class Clinic:
    """A broker and its two gateways."""

    broker: Mosquitto
    gateways: tuple[Gateway, Gateway]

    def settings(self, user: str) -> BrokerSettings:
        return BrokerSettings("localhost", self.broker.port, self.broker.tls, user, secret(user))

    def device(self, key: DeviceKey) -> BrokerSettings:
        return self.settings(f"dev-{key.home}-{key.device}")


def mqtt_config(folder: Path, broker: Mosquitto, user: str, password: str) -> dict[str, Any]:
    file = folder / f"{user}.password"
    file.write_text(password + "\n")
    return {
        "enabled": True,
        "host": "localhost",
        "port": broker.port,
        "tls_ca_file": str(broker.folder / "ca.crt"),
        "username": user,
        "password_file": str(file),
    }


def connected(gateway: Gateway) -> bool:
    return bool(gateway.call("status")["mqtt"]["connected"])


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    folder = tmp_path_factory.mktemp("c")
    users = [f"gw-{name}" for name in NAMES] + [
        f"dev-{name}-{number}" for name in NAMES for number in DEVICES
    ]
    acl = shipped_acl(dict.fromkeys(NAMES, DEVICES))
    with Mosquitto(folder / "broker", {user: secret(user) for user in users}, acl) as broker:
        made = tuple(
            Gateway(
                folder / name,
                seal_ms=SEAL_MS,
                name=name,
                origin=f"gateway.test/{name}",
                config={"mqtt": mqtt_config(folder, broker, f"gw-{name}", secret(f"gw-{name}"))},
            )
            for name in NAMES
        )
        try:
            for gateway in made:
                gateway.start(wait=False)
            for gateway in made:
                gateway.wait_ready()
                gateway.until(lambda gateway=gateway: connected(gateway), "the broker accepts the gateway")
            one, two = made
            yield Clinic(broker, (one, two))
        finally:
            for gateway in made:
                if gateway.process is not None and gateway.process.poll() is None:
                    gateway.stop()


def recording(tag: int) -> Recording:
    """Poses that tell whose they are (`tag`), of which stream, and which."""
    tracks = []
    for stream in range(STREAMS):
        samples = np.zeros(SAMPLES, kinds.POSE_DTYPE)
        samples["t_capture_ns"] = np.arange(SAMPLES) * STEP_NS
        samples["flags"] = kinds.POSITION_VALID
        samples["position_m"][:, 0] = tag
        samples["position_m"][:, 1] = stream
        samples["position_m"][:, 2] = np.arange(SAMPLES)
        tracks.append(Track(f"track-{stream}", kinds.POSE, samples))
    return Recording(f"recording-{tag}", tracks, SAMPLES * STEP_NS, {})


class Tapped:
    """A transport that remembers what was sent."""

    def __init__(self, inner: Transport, sent: list[bytes]) -> None:
        assert isinstance(inner, MqttDevice)
        self.inner = inner
        self._sent = sent

    async def open(self, receive: Callable[[bytes], None]) -> None:
        await self.inner.open(receive)

    def send(self, effect: Send) -> None:
        self._sent.append(effect.packet)
        self.inner.send(effect)

    async def close(self) -> None:
        await self.inner.close()


@dataclass(frozen=True)
class TappedWay(Way):
    """A way by MQTT that remembers what was sent on it, and all its transports."""

    sent: list[bytes] = field(default_factory=list)
    transports: list[Tapped] = field(default_factory=list)

    def transport(self, key: DeviceKey) -> Transport:
        self.transports.append(Tapped(Way.transport(self, key), self.sent))
        return self.transports[-1]

    @property
    def data(self) -> set[tuple[int, int]]:
        """(link, seq) of every DATA packet."""
        return {of(packet) for packet in self.sent if packet[3] == wire.DATA}

    async def taken(self) -> None:
        """Until the broker has everything that was sent."""
        client = self.transports[-1].inner._client
        assert client is not None
        await client.sent()
        assert len(client._courier.outbox) == 0


def of(packet: bytes) -> tuple[int, int]:
    header = wire.parse_header(packet, wire.MAX_MQTT_BYTES)
    return header.link, header.seq


class Sitting:
    """A headset that plays a recording to its gateway, in a session of its own.

    Args:
        clinic: where.
        gateway: its gateway.
        tag: of its recording.
        resend_ms: how long the headset waits for a receipt before it sends again.
    """

    def __init__(self, clinic: Clinic, gateway: Gateway, tag: int, resend_ms: int) -> None:
        self.gateway = gateway
        self.recording = recording(tag)
        self.way = TappedWay(broker=clinic.device)
        self.session = ""
        self.rig: Rig
        self._resend_ms = resend_ms
        self._share = 0.0
        self._news = asyncio.Event()

    async def open(self) -> None:
        desk = self.gateway.desk
        key = await desk.add_device("headset")
        self.session = await desk.open_session([key.device], "subject-1", "test", ALLOWED)
        self.rig = Rig(
            key,
            keyfile.unkept,
            self.way,
            RecordingClock(0),
            max_packet=1200,  # small ones, so that many are on the way
            resend_first_ms=self._resend_ms,
            resend_most_ms=2 * self._resend_ms,
        )

    async def play(self) -> None:
        feed = Feed(strands_of([self.recording]))

        def told() -> None:
            self._share = feed.given / feed.total
            self._news.set()

        await play(self.rig.driver, feed, 1.0, told)

    async def played(self, share: float) -> None:
        """Until so much of the recording was captured."""
        async with asyncio.timeout(WAIT_S):
            while self._share < share:
                self._news.clear()
                await self._news.wait()

    async def some_are_stored(self) -> None:
        assert await self.rig.driver.until(lambda: self.rig.device.account.stored > 0, WAIT_S)

    async def finish(self) -> None:
        """Stop, drain, close; then all that was captured is in the vault, once, and everything verifies."""
        device = self.rig.device
        assert await self.rig.driver.stop(20.0), device.status()
        assert device.lost == {}
        assert device.account.refused == {}
        assert device.account.stored == device.account.captured
        row = await self.gateway.desk.close_session(self.session, WAIT_S)
        assert row["state"] == "closed"
        await asyncio.to_thread(self._assert_whole, row)

    def _assert_whole(self, row: dict[str, Any]) -> None:
        captured = self.rig.device.totals()
        assert {one["stream"]: (one["total"], one["stored"]) for one in row["streams"]} == {
            stream: (total, total) for stream, total in captured.items()
        }
        assert all(one["missing"] == 0 and one["refused"] == {} for one in row["streams"])
        stored = self.gateway.streams(self.session)
        assert {stream: one.numbers for stream, one in stored.items()} == {
            stream: list(range(total)) for stream, total in captured.items()
        }
        for stream, track in enumerate(self.recording.tracks):
            assert stored[stream].samples == track.samples.tobytes()
        report = verify_store(self.gateway.layout)
        assert report.faults == []
        assert report.samples >= STREAMS * SAMPLES

    def durable(self) -> set[tuple[int, int]]:
        """(link, seq) of what lies in the vault."""
        return {
            (link, seq)
            for part in self.gateway.opened_parts(self.session)
            for link, seq, *_ in ARRIVAL.iter_unpack(part.payload.arrivals)
        }


async def assert_acknowledged_is_durable(clinic: Clinic, sitting: Sitting) -> None:
    """The gateway is gone: what the broker had and does not keep any more was acknowledged, and must be durable."""
    await sitting.way.taken()
    assert sitting.rig.device.account.resent == 0, (
        "a copy at the broker would stand for one that it gave away"
    )
    had, durable = sitting.way.data, await asyncio.to_thread(sitting.durable)
    kept: set[tuple[int, int]] = set()
    news, over = asyncio.Event(), asyncio.Event()

    async def look(topic: str, payload: bytes, qos: int) -> int:
        kept.add(of(payload))
        news.set()
        # Without a PUBACK it stays the broker's, for the gateway that comes back.
        await over.wait()
        return 0

    # In the gateway's place: the broker gives all that it keeps for it.
    name = sitting.gateway.name
    line = Line(clinic.settings(f"gw-{name}"), f"vestibule-{name}", LINK_KEEP_S, look, lambda number: None)
    await line.open([])
    try:
        async with asyncio.timeout(WAIT_S):
            while not had <= durable | kept:
                news.clear()
                await news.wait()
    except TimeoutError:
        raise AssertionError(f"acknowledged and not durable: {sorted(had - durable - kept)}") from None
    finally:
        await line.close()
        over.set()
    assert durable, "some were durable already"
    assert kept & had - durable, "and some were still on their way"


async def test_each_gateway_gets_only_what_is_its_own(clinic: Clinic) -> None:
    ways = [TappedWay(broker=clinic.device) for _ in NAMES]
    before = [gateway.call("status")["mqtt"]["received"] for gateway in clinic.gateways]
    done = await asyncio.gather(
        *(
            with_daemon(
                Wanted([recording(tag)], 2.0), gateway.desk, way, 1, "subject-1", "test", lambda *_: None
            )
            for tag, (gateway, way) in enumerate(zip(clinic.gateways, ways, strict=True))
        )
    )
    for tag, (gateway, way, outcome) in enumerate(zip(clinic.gateways, ways, done, strict=True)):
        assert outcome.closes
        assert (outcome.missing, outcome.refused, outcome.captured) == (0, {}, outcome.stored)
        (session,) = outcome.sessions
        status = gateway.call("status")
        assert [device["device"] for device in status["devices"]] == [1], "the same number in both homes"
        # Every payload came from the own headset, and nothing of the other's came and was refused.
        assert status["mqtt"]["received"] - before[tag] == len(way.sent)
        assert (status["mqtt"]["refused"], status["mqtt"]["unsent"], status["mqtt"]["dropped"]) == ({}, 0, 0)
        assert set(status["refused"]) <= {"copy"}
        assert [row["session"] for row in gateway.call("session.list", all=True)["sessions"]] == [session]
        streams = gateway.streams(session)
        for stream, track in enumerate(recording(tag).tracks):
            assert streams[stream].numbers == list(range(SAMPLES))
            assert streams[stream].samples == track.samples.tobytes()
        assert verify_store(gateway.layout).faults == []


async def test_a_killed_broker_costs_nothing(clinic: Clinic) -> None:
    gateway = clinic.gateways[0]
    sitting = Sitting(clinic, gateway, 11, resend_ms=1000)
    await sitting.open()
    async with sitting.rig.driver:
        await sitting.rig.begin(WAIT_S)
        playing = asyncio.create_task(sitting.play())
        await sitting.some_are_stored()
        await sitting.played(0.4)
        clinic.broker.kill9()
        await asyncio.to_thread(
            gateway.until, lambda: not connected(gateway), "the gateway sees that it is gone"
        )
        mqtt = (await gateway.desk.ask("status"))["mqtt"]
        assert mqtt["why"] in ("network", "timeout")
        assert mqtt["unacknowledged"] == 0, "they will come again"
        assert ("mqtt_connected", 0.0) in await asyncio.to_thread(gauges, gateway)
        await sitting.played(0.7)
        await asyncio.to_thread(clinic.broker.start)
        await asyncio.to_thread(gateway.until, lambda: connected(gateway), "the gateway comes back")
        await playing
        await sitting.finish()
    reasons = [line["reason"] for line in told(gateway, "broker_lost")]
    assert reasons
    assert set(reasons) <= {"network", "timeout"}
    assert (await gateway.desk.ask("status"))["mqtt"]["why"] == ""
    assert ("mqtt_connected", 1.0) in await asyncio.to_thread(gauges, gateway)


async def test_a_killed_gateway_costs_nothing(clinic: Clinic) -> None:
    gateway = clinic.gateways[0]
    sitting = Sitting(clinic, gateway, 12, NEVER_MS)
    await sitting.open()
    async with sitting.rig.driver:
        await sitting.rig.begin(WAIT_S)
        playing = asyncio.create_task(sitting.play())
        await sitting.some_are_stored()
        await sitting.played(0.5)
        await asyncio.to_thread(gateway.kill9)
        await playing
        await assert_acknowledged_is_durable(clinic, sitting)
        await asyncio.to_thread(gateway.restart)
        await sitting.finish()


async def test_an_orderly_stop_acknowledges_only_what_is_durable(clinic: Clinic) -> None:
    gateway = clinic.gateways[1]
    sitting = Sitting(clinic, gateway, 13, NEVER_MS)
    await sitting.open()
    async with sitting.rig.driver:
        await sitting.rig.begin(WAIT_S)
        playing = asyncio.create_task(sitting.play())
        await sitting.some_are_stored()
        await sitting.played(0.5)
        losses = len(told(gateway, "broker_lost"))
        assert await asyncio.to_thread(gateway.stop) == 0
        assert len(told(gateway, "broker_lost")) == losses, "an end of our own is no news"
        await playing
        await assert_acknowledged_is_durable(clinic, sitting)
        await asyncio.to_thread(gateway.restart)
        await sitting.finish()


def test_why_there_is_no_broker_is_told(clinic: Clinic, tmp_path: Path) -> None:
    mqtt = mqtt_config(tmp_path, clinic.broker, "gw-rig-1", "another password")
    with Gateway(tmp_path / "s", config={"mqtt": mqtt}) as gateway:
        gateway.until(lambda: gateway.call("status")["mqtt"]["why"], "the broker answers")
        assert gateway.call("status")["mqtt"]["why"] == "not_authorized"
        gateway.until(lambda: told(gateway, "broker_lost"), "it stands in the journal")
        assert {line["reason"] for line in told(gateway, "broker_lost")} == {"not_authorized"}
        assert gateway.stop() == 0


def test_a_password_that_cannot_be_read_is_for_a_person_to_mend(clinic: Clinic, tmp_path: Path) -> None:
    mqtt = mqtt_config(tmp_path, clinic.broker, "gw-rig-1", "x") | {"password_file": str(tmp_path / "none")}
    gateway = Gateway(tmp_path / "s", config={"mqtt": mqtt})
    gateway.start(wait=False)
    assert gateway.process is not None
    assert gateway.process.wait(WAIT_S) == EXIT_REFUSED, "systemd does not start it again"
    assert "password_file" in gateway.log()
    assert "Traceback" not in gateway.log()


def told(gateway: Gateway, event: str) -> list[dict[str, Any]]:
    """Lines of one event in the gateway's log."""
    lines = (json.loads(line) for line in gateway.log().splitlines() if line.startswith("{"))
    return [line for line in lines if line["event"] == event]


def gauges(gateway: Gateway) -> list[tuple[str, float]]:
    """Name and value of the gauges about the broker."""
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.http_port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return [
        (name.removeprefix("vestibule_"), float(value))
        for name, _, value in (line.partition(" ") for line in lines if line.startswith("vestibule_mqtt_"))
    ]
