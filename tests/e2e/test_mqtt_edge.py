"""The MQTT edges against a real mosquitto: PUBACK after the commit, nothing lost, nobody else's packets, bounded."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from paths import ROOT
from servers import Mosquitto, shipped_acl

from gateway.core.effects import Acknowledge, Arrival, MqttSource
from gateway.core.effects import Send as Answer
from gateway.device.events import Send
from gateway.net.mqtt import Broker, BrokerSettings
from gateway.net.mqtt_device import DeviceClient
from gateway.net.mqtt_line import Line
from gateway.wire.packet import MAX_MQTT_BYTES

WAIT_S = 15.0
HOMES = {"rig-1": (7, 8), "rig-2": (7,)}
USERS = {f"gw-{home}": f"{home} secret" for home in HOMES} | {
    f"dev-{home}-{number}": f"{home} {number} secret" for home, numbers in HOMES.items() for number in numbers
}
ANYBODY = "anybody"  # a user without bounds, as on a broker whose rules are too wide
ACL = shipped_acl(HOMES) + f"user {ANYBODY}\ntopic readwrite #\n"


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    # Sizes beyond the shipped ones, so that our own limit is the one that shows.
    larger = {"message_size_limit": 40_000, "max_packet_size": 50_000}
    with Mosquitto(tmp_path, USERS | {ANYBODY: "x"}, ACL, larger) as running:
        yield running


def settings(
    broker: Mosquitto, user: str, receive_maximum: int = 64, password: str | None = None
) -> BrokerSettings:
    known = USERS | {ANYBODY: "x"}
    return BrokerSettings(
        "localhost",
        broker.port,
        broker.tls,
        user,
        known[user] if password is None else password,
        receive_maximum,
    )


class Switch:
    """Connected or not, to wait for."""

    def __init__(self) -> None:
        self.states: list[bool] = []
        self._news = asyncio.Event()

    def __call__(self, state: bool) -> None:
        self.states.append(state)
        self._news.set()

    async def until(self, *states: bool) -> None:
        """Until exactly these have been told."""
        async with asyncio.timeout(WAIT_S):
            while self.states != list(states):
                self._news.clear()
                await self._news.wait()


class Rig:
    """A gateway's edge and what it handed over. Tickets are resolved by the test, in the place of the commit."""

    def __init__(self, settings: BrokerSettings, gateway: str = "rig-1") -> None:
        self.arrived: asyncio.Queue[Arrival] = asyncio.Queue()
        self.room = asyncio.Event()
        self.room.set()
        self.state = Switch()
        self.broker = Broker(settings, gateway, gateway, self._arrive, self.state)
        self.task: asyncio.Task[None] | None = None

    async def _arrive(self, arrival: Arrival) -> None:
        await self.room.wait()
        self.arrived.put_nowait(arrival)

    async def next(self) -> Arrival:
        async with asyncio.timeout(WAIT_S):
            return await self.arrived.get()

    def acknowledge(self, arrival: Arrival, code: int = 0) -> None:
        self.broker.acknowledge(Acknowledge(arrival.ticket, code))

    async def open(self, count: int) -> None:
        """Until this many have no PUBACK written."""
        async with asyncio.timeout(WAIT_S):
            while self.broker.unacknowledged != count:
                await asyncio.sleep(0)

    async def take(self, count: int) -> list[bytes]:
        """The next packets, each acknowledged as it comes."""
        packets = []
        for _ in range(count):
            arrival = await self.next()
            self.acknowledge(arrival)
            packets.append(arrival.packet)
        return packets

    async def start(self) -> None:
        self.task = asyncio.create_task(self.broker.run())
        await self.state.until(True)

    async def cut(self) -> None:
        """End it in the middle of whatever it does."""
        if self.task is not None:
            self.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.task


class Headset:
    """A device's edge and what it received."""

    def __init__(self, settings: BrokerSettings, home: str = "rig-1", number: int = 7) -> None:
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()
        self.state = Switch()
        self.client = DeviceClient(settings, home, number, self.heard.put_nowait, self.state)
        self.gateway = home
        self.task: asyncio.Task[None] | None = None

    def send(self, *packets: bytes) -> None:
        for packet in packets:
            self.client.send(Send(packet, False, self.gateway))

    async def start(self) -> None:
        self.task = asyncio.create_task(self.client.run())
        await self.state.until(True)


@contextlib.asynccontextmanager
async def rig(broker: Mosquitto, name: str = "rig-1", **more: int) -> AsyncIterator[Rig]:
    made = Rig(settings(broker, f"gw-{name}", **more), name)
    await made.start()
    try:
        yield made
    finally:
        await made.cut()


@contextlib.asynccontextmanager
async def headset(broker: Mosquitto, home: str = "rig-1", number: int = 7) -> AsyncIterator[Headset]:
    made = Headset(settings(broker, f"dev-{home}-{number}"), home, number)
    await made.start()
    try:
        yield made
    finally:
        await made.client.stop()


async def nothing(topic: str, payload: bytes, qos: int) -> int:
    return 0


@contextlib.asynccontextmanager
async def anybody(broker: Mosquitto) -> AsyncIterator[Line]:
    """A connection that may publish anywhere."""
    line = Line(settings(broker, ANYBODY), ANYBODY, 0, nothing, lambda number: None)
    await line.open([])
    try:
        yield line
    finally:
        await line.close()


def packets(count: int, first: int = 0) -> list[bytes]:
    return [b"packet %d" % number for number in range(first, first + count)]


# ---- both ways ------------------------------------------------------------------------------------------------------


async def test_packets_and_answers_go_both_ways(mosquitto: Mosquitto) -> None:
    async with rig(mosquitto) as gateway, headset(mosquitto) as device:
        device.client.send(Send(b"greeting", True))
        device.send(b"samples")
        first, second = await gateway.next(), await gateway.next()
        assert (first.packet, first.source) == (b"greeting", MqttSource(7))
        assert (second.packet, second.source) == (b"samples", MqttSource(7))
        assert first.arrived_ns <= second.arrived_ns
        gateway.broker.send(Answer(MqttSource(7), b"welcome"))
        async with asyncio.timeout(WAIT_S):
            assert await device.heard.get() == b"welcome"
        assert gateway.broker.unacknowledged == 2


async def test_answers_wait_for_a_device_that_is_away(mosquitto: Mosquitto) -> None:
    async with rig(mosquitto) as gateway:
        async with headset(mosquitto):
            pass
        gateway.broker.send(Answer(MqttSource(7), b"while you were out"))
        async with headset(mosquitto) as device, asyncio.timeout(WAIT_S):
            assert await device.heard.get() == b"while you were out"


# ---- PUBACK after the commit ----------------------------------------------------------------------------------------


async def test_the_broker_keeps_what_has_no_puback_and_nothing_else(mosquitto: Mosquitto) -> None:
    async with rig(mosquitto) as first, headset(mosquitto) as device:
        device.send(b"a", b"b", b"c")
        arrivals = [await first.next() for _ in range(3)]
        # The second is committed; the others are not when the gateway goes.
        first.acknowledge(arrivals[1])
        await first.open(2)
        await first.cut()
        # A commit that ends later must reach nobody: its connection is gone.
        first.acknowledge(arrivals[0])
        async with rig(mosquitto) as second:
            assert await second.take(2) == [b"a", b"c"]
            device.send(b"d")
            assert await second.take(1) == [b"d"]


async def test_a_late_ticket_of_an_old_connection_confirms_nothing_on_the_new_one(
    mosquitto: Mosquitto,
) -> None:
    async with rig(mosquitto) as gateway, headset(mosquitto) as device:
        device.send(b"a", b"b")
        old = [await gateway.next() for _ in range(2)]
        gateway.broker._courier.drop("network")
        await gateway.state.until(True, False, True)
        again = [await gateway.next() for _ in range(2)]
        assert [arrival.packet for arrival in again] == [b"a", b"b"]
        for arrival in old:
            gateway.acknowledge(arrival)
        assert gateway.broker.unacknowledged == 2
        await gateway.cut()
        async with rig(mosquitto) as second:
            assert await second.take(2) == [b"a", b"b"]


@pytest.mark.parametrize("code", [0x83, 0x87, 0x99])
async def test_a_refusal_is_a_puback_too(mosquitto: Mosquitto, code: int) -> None:
    async with rig(mosquitto, receive_maximum=2) as gateway, headset(mosquitto) as device:
        device.send(b"kept", b"refused", b"next")
        kept, refused = await gateway.next(), await gateway.next()
        # The broker may have two on the way: the third comes because the second was answered, at once, before the
        # first, whose commit is still to come.
        gateway.acknowledge(refused, code)
        assert (await gateway.next()).packet == b"next"
        assert not kept.ticket.done()
        await gateway.cut()
        async with rig(mosquitto) as second:
            assert await second.take(2) == [b"kept", b"next"]


async def test_nothing_is_lost_when_the_gateway_is_killed(mosquitto: Mosquitto) -> None:
    script = (
        "import asyncio, ssl, sys\n"
        "from gateway.net.mqtt import Broker, BrokerSettings\n"
        "async def arrive(arrival): print(arrival.packet.decode(), flush=True)\n"
        "tls = ssl.create_default_context(cafile=sys.argv[2])\n"
        "to = BrokerSettings('localhost', int(sys.argv[1]), tls, 'gw-rig-1', sys.argv[3])\n"
        "async def main():\n"
        "    await Broker(to, 'rig-1', 'rig-1', arrive, lambda up: print('up' if up else 'down', flush=True)).run()\n"
        "asyncio.run(main())\n"
    )
    arguments = [str(mosquitto.port), str(mosquitto.folder / "ca.crt"), USERS["gw-rig-1"]]
    victim = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert victim.stdout is not None
        async with headset(mosquitto) as device, asyncio.timeout(2 * WAIT_S):
            assert await victim.stdout.readline() == b"up\n"
            sent = packets(20)
            device.send(*sent)
            for packet in sent:
                assert await victim.stdout.readline() == packet + b"\n"
            victim.send_signal(signal.SIGKILL)
            await victim.wait()
            more = packets(5, first=20)
            device.send(*more)
            async with rig(mosquitto) as gateway:
                assert await gateway.take(25) == sent + more
    finally:
        if victim.returncode is None:
            victim.kill()
            await victim.wait()


# ---- the broker goes away -------------------------------------------------------------------------------------------


async def test_both_come_back_after_the_broker_was_killed(mosquitto: Mosquitto) -> None:
    async with rig(mosquitto) as gateway, headset(mosquitto) as device:
        device.send(b"before")
        open_ = await gateway.next()
        mosquitto.kill9()
        await gateway.state.until(True, False)
        await device.state.until(True, False)
        assert gateway.broker.unacknowledged == 0
        gateway.acknowledge(open_)  # the commit ends meanwhile, and has nobody to tell
        device.send(b"meanwhile")
        mosquitto.start()
        await gateway.state.until(True, False, True)
        await device.state.until(True, False, True)
        gateway.broker.send(Answer(MqttSource(7), b"receipt"))
        async with asyncio.timeout(WAIT_S):
            assert await device.heard.get() == b"receipt"
        # The device may have been the first to come back, and then the killed broker knew nobody to keep it for: what
        # has no receipt is sent again by the device's machine, not by its edge.
        device.send(b"after")
        while (arrival := await gateway.next()).packet != b"after":
            assert arrival.packet in {b"before", b"meanwhile"}
        assert gateway.broker.dropped == device.client.dropped == 0


async def test_what_is_open_survives_a_restart_of_the_broker(mosquitto: Mosquitto) -> None:
    async with rig(mosquitto) as gateway, headset(mosquitto) as device:
        device.send(b"a", b"b")
        assert [(await gateway.next()).packet for _ in range(2)] == [b"a", b"b"]
        mosquitto.stop()
        await gateway.state.until(True, False)
        assert gateway.broker.why in {"shutdown", "network"}
        mosquitto.start()
        await gateway.state.until(True, False, True)
        assert await gateway.take(2) == [b"a", b"b"]


async def test_a_broker_that_is_not_there_is_waited_for(mosquitto: Mosquitto) -> None:
    mosquitto.stop()
    gateway = Rig(settings(mosquitto, "gw-rig-1"))
    gateway.task = asyncio.create_task(gateway.broker.run())
    try:
        await gateway.state.until(False)
        assert (gateway.broker.connected, gateway.broker.why) == (False, "network")
        for number in range(5000):
            gateway.broker.send(Answer(MqttSource(7), b"%d" % number))
        assert gateway.broker.dropped == 5000 - 4096
        mosquitto.start()
        await gateway.state.until(False, True)
        assert gateway.broker.why == ""
    finally:
        await gateway.cut()


# ---- each its own ---------------------------------------------------------------------------------------------------


async def test_devices_of_one_number_reach_each_their_own_gateway(mosquitto: Mosquitto) -> None:
    async with rig(mosquitto, "rig-1") as one, rig(mosquitto, "rig-2") as two:
        async with headset(mosquitto, "rig-1") as first, headset(mosquitto, "rig-2") as second:
            first.send(b"for one")
            second.send(b"for two")
            assert await one.take(1) == [b"for one"]
            assert await two.take(1) == [b"for two"]
            one.broker.send(Answer(MqttSource(7), b"from one"))
            two.broker.send(Answer(MqttSource(7), b"from two"))
            async with asyncio.timeout(WAIT_S):
                assert (await first.heard.get(), await second.heard.get()) == (b"from one", b"from two")
            assert first.heard.empty()
            assert second.heard.empty()
        assert one.arrived.empty()
        assert two.arrived.empty()


async def test_a_gateway_that_listens_to_anothers_topics_hears_nothing(mosquitto: Mosquitto) -> None:
    heard: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def hear(topic: str, payload: bytes, qos: int) -> int:
        heard.put_nowait((topic, payload))
        return 0

    confirmed: asyncio.Queue[int] = asyncio.Queue()
    thief = Line(settings(mosquitto, "gw-rig-2"), "thief", 0, hear, confirmed.put_nowait)
    await thief.open([("vestibule/rig-1/+/up",), ("vestibule/rig-1/hello/+",), ("vestibule/rig-2/+/up",)])
    try:
        async with (
            rig(mosquitto) as owner,
            headset(mosquitto) as device,
            headset(mosquitto, "rig-2") as other,
        ):
            device.client.send(Send(b"greeting", True))
            device.send(b"secret")
            assert await owner.take(2) == [b"greeting", b"secret"]
            # What the broker passed on to the owner it would have passed on to the thief before this.
            other.send(b"own")
            async with asyncio.timeout(WAIT_S):
                assert await heard.get() == ("vestibule/rig-2/7/up", b"own")
                assert heard.empty()
                # Nor can it speak for another: it learns that the broker refused.
                thief.publish("vestibule/rig-1/7/down", b"forged")
                await confirmed.get()
                assert thief.refused == 1
                owner.broker.send(Answer(MqttSource(7), b"true"))
                assert await device.heard.get() == b"true"
    finally:
        await thief.close()


async def test_an_answer_that_the_rules_forbid_is_counted(mosquitto: Mosquitto) -> None:
    gateway = Rig(settings(mosquitto, "gw-rig-2"), "rig-1")
    await gateway.start()
    gateway.broker.send(Answer(MqttSource(7), b"x"))
    await gateway.broker.stop()
    assert gateway.broker.unsent == 1


# ---- the way in -----------------------------------------------------------------------------------------------------


async def failure(to: BrokerSettings) -> str:
    gateway = Rig(to)
    gateway.task = asyncio.create_task(gateway.broker.run())
    await gateway.state.until(False)
    why = gateway.broker.why
    await gateway.broker.stop()
    assert gateway.task.done() or await gateway.task is None
    return why


async def test_password_and_tls_are_needed(mosquitto: Mosquitto, tmp_path: Path) -> None:
    good = settings(mosquitto, "gw-rig-1")
    assert await failure(settings(mosquitto, "gw-rig-1", password="wrong")) == "not_authorized"
    in_clear = BrokerSettings(good.host, good.port, None, good.username, good.password)
    assert await failure(in_clear) == "network"
    strange = Mosquitto(tmp_path / "strange", {})
    wrong_authority = BrokerSettings(good.host, good.port, strange.tls, good.username, good.password)
    assert await failure(wrong_authority) == "tls"
    other_name = BrokerSettings("127.0.0.1", good.port, good.tls, good.username, good.password)
    assert await failure(other_name) == "tls"
    assert "secret" not in repr(good)


# ---- what is refused ------------------------------------------------------------------------------------------------


async def test_bad_topics_and_oversize_are_refused_and_counted(mosquitto: Mosquitto) -> None:
    bad = ["007", "-7", "+7", "7.0", "4294967296", "99999999999", "x", " 7", "٧", "0x7", "7_0"]
    topics = [f"vestibule/rig-1/{number}/up" for number in bad if "+" not in number]
    topics += [f"vestibule/rig-1/hello/{number}" for number in bad if "+" not in number] + [
        "vestibule/rig-1//up"
    ]
    async with rig(mosquitto, receive_maximum=1) as gateway, anybody(mosquitto) as line:
        for topic in topics:
            assert line.publish(topic, b"x") is not None
        assert line.publish("vestibule/rig-1/7/up", b"x" * (MAX_MQTT_BYTES + 1)) is not None
        line._client.publish("vestibule/rig-1/7/up", b"x", qos=0)
        assert line.publish("vestibule/rig-1/4294967295/up", b"x" * MAX_MQTT_BYTES) is not None
        # One at a time: that this comes through shows that each before it was answered.
        good = await gateway.next()
        assert (good.source, len(good.packet)) == (MqttSource(4294967295), MAX_MQTT_BYTES)
        refused = gateway.broker.refused
        assert refused["topic"] == len(topics)
        assert (refused["oversize"], refused["qos"]) == (1, 1)
        assert gateway.arrived.empty()


# ---- bounds ---------------------------------------------------------------------------------------------------------


async def test_a_core_without_room_holds_the_broker_back(mosquitto: Mosquitto) -> None:
    async with rig(mosquitto, receive_maximum=16) as gateway, headset(mosquitto) as device:
        gateway.room.clear()
        sent = packets(400)
        device.send(*sent)
        await device.client.sent()
        # The broker has all 400 and could send them.
        assert gateway.broker.unacknowledged == 16
        assert gateway.arrived.empty()
        gateway.room.set()
        assert await gateway.take(400) == sent


async def test_a_broker_that_ignores_our_receive_maximum_is_not_read_from(mosquitto: Mosquitto) -> None:
    size, count = 8192, 400
    async with rig(mosquitto, receive_maximum=16) as gateway, headset(mosquitto) as device:
        sent = [bytes([number & 0xFF]) * size for number in range(count)]
        device.send(*sent)
        await device.client.sent()
        first = [await gateway.next() for _ in range(16)]
        # A commit, and with it 16 PUBACKs in a row: this mosquitto takes that for leave to send hundreds.
        for arrival in first:
            gateway.acknowledge(arrival)
        # Whatever it sends for them it has sent when it has answered others, one after another.
        for number in range(8):
            device.send(b"later %d" % number)
            await device.client.sent()
        # What came beyond 16 is what was in the buffers between us.
        assert gateway.broker.unacknowledged * size <= 16 * size + 2**20
        got = [arrival.packet for arrival in first] + await gateway.take(count - 16 + 8)
        assert got[:count] == sent


async def test_connections_that_end_leave_nothing_behind(mosquitto: Mosquitto) -> None:
    async with rig(mosquitto, receive_maximum=16) as gateway, headset(mosquitto) as device:
        gateway.room.clear()
        device.send(*packets(30))
        await device.client.sent()
        told = [True]
        for _ in range(3):
            gateway.broker._courier.drop("network")
            told += [False, True]
            await gateway.state.until(*told)
        tasks = [task for task in asyncio.all_tasks() if task.get_name().startswith("Task")]
        assert gateway.broker.unacknowledged <= 16
        assert len(tasks) <= 16 + 10
        gateway.room.set()
        # One that was being handed over when its connection ended may come twice: the core drops the copy.
        got = []
        while len(set(got)) < 30:
            got += await gateway.take(1)
        assert sorted(set(got)) == sorted(packets(30))
        assert len(got) <= 31


# ---- the end --------------------------------------------------------------------------------------------------------


async def test_stop_waits_for_the_commit_and_leaves_the_rest_to_the_broker(mosquitto: Mosquitto) -> None:
    async with headset(mosquitto) as device:
        gateway = Rig(settings(mosquitto, "gw-rig-1"))
        await gateway.start()
        device.send(b"taken")
        taken = await gateway.next()
        gateway.broker.hold()
        device.send(b"held back")
        stopping = asyncio.create_task(gateway.broker.stop())
        gateway.broker.send(Answer(MqttSource(7), b"receipt"))
        async with asyncio.timeout(WAIT_S):
            assert await device.heard.get() == b"receipt"
            assert not stopping.done()
            gateway.acknowledge(taken)
            await stopping
            assert gateway.task is not None
            await gateway.task
        assert gateway.state.states == [True, False]
        assert gateway.arrived.empty()
        async with rig(mosquitto) as after:
            assert await after.take(1) == [b"held back"]
