"""Ten times what the gateway can take: the queue stays bounded, the share fair, and every packet is accounted for."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from gateway.core.admission import MAX_STREAMS_PER_SESSION
from gateway.core.effects import Arrival, Effect, Source
from gateway.wire import control, kinds
from gateway.wire import packet as wire
from gateway.wire.frame import Frame
from tests.sim.attacker import Attacker, haptic_frame
from tests.sim.clinic import Network, Rig, make_rig
from tests.sim.oracle import Watched, drained, judge_all
from tests.sim.virtual import VirtualLoop, simulate

CAPACITY_S = 1_000  # packets that this gateway can admit each second
FLOOD_S = 10_000
SECONDS = 8
QUEUE_PACKETS = 1024


class Slow(Watched):
    """A gateway that needs time for each packet, and remembers what its queue shed."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.queue_packets = QUEUE_PACKETS
        self.shed: Counter[Source] = Counter()
        self.shed_first: Counter[Source] = Counter()
        self.first_sends: Counter[Source] = Counter()
        self.longest = 0
        self.sends: Counter[bytes] = Counter()

    async def start(self) -> None:
        await super().start()
        intake, self._queue = self.house.intake, self.house.queue
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        step, put_slab = intake.step, self._queue.put_slab

        def slow(slab: Sequence[Arrival], now_ns: int, now_ms: int) -> list[Effect]:
            loop._jumping.now_s += len(slab) / CAPACITY_S
            return step(slab, now_ns, now_ms)

        def watched(slab: list[Arrival]) -> list[Arrival]:
            shed = put_slab(slab)
            self.longest = max(self.longest, len(self._queue))
            for arrival in shed:
                self.shed[arrival.source] += 1
                if self.sends[arrival.packet] == 1:
                    self.shed_first[arrival.source] += 1
            return shed

        intake.step = slow  # type: ignore[method-assign]
        self._queue.put_slab = watched  # type: ignore[method-assign]

    def arrive(self, packet: bytes, source: tuple[str, int]) -> None:
        self.sends[packet] += 1
        self.first_sends[source] += self.sends[packet] == 1
        super().arrive(packet, source)


async def flood(send: Callable[[int], None], seconds: float = SECONDS, per_s: int = FLOOD_S) -> int:
    """`send(n)` for n = 0, 1, ... at a steady rate; returns how many."""
    loop = asyncio.get_running_loop()
    began, sent = loop.time(), 0
    while (passed := loop.time() - began) < seconds:
        while sent < passed * per_s:
            send(sent)
            sent += 1
        await asyncio.sleep(0.01)
    return sent


def one_spoofer(gateway: Watched, target: Callable[[], int]) -> Callable[[int], None]:
    """Forgeries of a device's link and of unknown links, from one address."""
    body = bytes(200)

    def send(n: int) -> None:
        link = target() if n % 2 else gateway.rng.getrandbits(32)
        gateway.forge(wire.pack_header(wire.DATA, link, n, 0) + body, ("203.0.113.66", 666))

    return send


def many_spoofers(gateway: Watched, target: Callable[[], int]) -> Callable[[int], None]:
    """The same from an address that is invented for each packet."""
    body = bytes(200)

    def send(n: int) -> None:
        link = target() if n % 2 else gateway.rng.getrandbits(32)
        source = (f"203.0.{n >> 8 & 255}.{n & 255}", gateway.rng.getrandbits(16))
        gateway.forge(wire.pack_header(wire.DATA, link, n, 0) + body, source)

    return send


@pytest.mark.slow
@pytest.mark.parametrize("spoofer", [one_spoofer, many_spoofers])
def test_honest_devices_keep_their_share(spoofer: Callable[..., Callable[[int], None]]) -> None:
    async def main() -> None:
        rng = random.Random(1)
        gateway, network = Slow(rng), Network(rng, delay_s=0.01)
        await gateway.start()
        keys = {number: await gateway.add_device(number) for number in (1, 2, 3, 66)}
        await gateway.open(*keys)
        rigs = [make_rig(gateway, network, number, keys[number]) for number in (1, 2, 3)]
        hostile = Attacker(gateway, 66, keys[66])
        await hostile.handshake()
        for rig in rigs:
            rig.start()
        await asyncio.sleep(2)
        before = sum(gateway.shed.values())

        def victim() -> int:
            return rigs[0].device.status()["link"]  # type: ignore[return-value]

        spoof = spoofer(gateway, victim)

        def send(n: int) -> None:
            if n % 2:
                hostile.data([haptic_frame(n)])
            else:
                spoof(n // 2)

        sent = await flood(send)
        assert sent > 9 * CAPACITY_S * SECONDS
        assert sum(gateway.shed.values()) - before > sent / 2, "it was no overload"
        assert gateway.longest <= QUEUE_PACKETS
        assert gateway.house.queue.bytes <= 16 << 20
        for rig in rigs:
            lost = gateway.shed_first[rig.source] / gateway.first_sends[rig.source]
            assert lost <= 0.01, f"an honest device lost {lost:.1%} of its first sends"
            assert rig.device.status()["state"] == "recording"
        await drained(gateway, rigs)
        found = judge_all(gateway, rigs)
        for rig in rigs:
            _nothing_is_lost(gateway, found.samples, rig)

    simulate(main())


def _nothing_is_lost(gateway: Watched, samples: dict, rig: Rig) -> None:  # type: ignore[type-arg]
    mine = [numbers for key, numbers in samples.items() if key[1] == rig.device.config.device and key[3] == 0]
    assert len(mine) == 1
    assert sorted(mine[0]) == list(range(rig.sent))


def test_a_device_gets_a_link_in_the_middle_of_a_flood() -> None:
    """Handshakes have lanes of their own among the outsiders, so that invented addresses do not keep anyone out."""

    async def main() -> None:
        rng = random.Random(3)
        gateway, network = Slow(rng), Network(rng, delay_s=0.01)
        await gateway.start()
        key = await gateway.add_device(1)
        await gateway.open(1)
        rig = make_rig(gateway, network, 1, key)
        spoof = many_spoofers(gateway, lambda: 1)
        flooding = asyncio.create_task(flood(spoof, 6))
        await asyncio.sleep(2)
        rig.start()
        await asyncio.sleep(2)
        assert rig.device.status()["state"] == "recording"
        assert not flooding.done()
        await flooding
        await drained(gateway, [rig])
        found = judge_all(gateway, [rig])
        _nothing_is_lost(gateway, found.samples, rig)
        assert rig.sent > 10

    simulate(main())


def test_packets_sent_are_accounted_for_exactly() -> None:
    """For a sender that does not resend: sent = admitted + shed + refused + copies."""

    async def main() -> None:
        rng = random.Random(2)
        gateway = Slow(rng)
        await gateway.start()
        key = await gateway.add_device(1)
        session = await gateway.open(1)
        device = Attacker(gateway, 1, key)
        await device.handshake()
        before = gateway.counted
        last: list[bytes] = []
        other = 0

        def send(n: int) -> None:
            nonlocal other
            match n % 8:
                case 0:
                    device.raw(wire.DATA, b"\xc1nothing")
                case 1:
                    gateway.arrive(bytes(50), device.source)
                case 2 if last:
                    device.send(last[-1])
                case 3:
                    packet = device.data_packet([haptic_frame(n)])
                    device.send(packet[:-1] + b"\x00")
                case 4:
                    other += 1
                    device.sync()
                case 5:
                    device.data([Frame(1, kinds.GAZE, n, bytes(112))])  # not permitted: a frame's refusal
                case _:
                    last.append(device.send(device.data_packet([haptic_frame(n)])))

        sent = await flood(send, 6, 3_000)
        sent -= 0 if last else 1
        await asyncio.sleep(5)
        assert len(gateway.house.queue) == 0
        await gateway.close(session, at_once=True)
        await asyncio.sleep(2)
        counted = gateway.counted - before
        frame_reasons = counted.pop("not_permitted")
        await gateway.stop()
        found = judge_all(gateway)
        admitted = len(found.arrivals) + _settled_besides(gateway, device.link, found.arrivals)
        assert counted["queue"] > 1000, "it was no overload"
        assert counted["copy"] > 0
        assert frame_reasons > 0
        assert sent == admitted + sum(counted.values()), (sent, admitted, counted)
        for stream in gateway.durable.streams.values():
            assert stream.total == stream.stored + sum(stream.refused.values()) + stream.missing

    simulate(main())


def _settled_besides(gateway: Watched, link: int, arrivals: dict[tuple[int, int], tuple[int, int]]) -> int:
    """SYNC packets that were admitted: settled as stored, and in no part."""
    rows = gateway.durable.links[link].done.rows()
    return sum(
        1
        for first, last, word in rows
        if word == "stored"
        for seq in range(first, last + 1)
        if (link, seq) not in arrivals
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_device_that_lies_about_its_numbers_closes_its_sums_too(seed: int) -> None:
    async def main() -> None:
        rng = random.Random(seed)
        gateway = Slow(rng)
        await gateway.start()
        keys = {number: await gateway.add_device(number) for number in (1, 2)}
        session = await gateway.open(1, 2)
        liar, honest = (Attacker(gateway, number, key) for number, key in keys.items())
        await liar.handshake()
        await honest.handshake()
        welcomed = gateway.sent[wire.WELCOME]

        def lie(n: int) -> None:
            first = rng.choice((n, n % 50, rng.randrange(2**20), rng.randrange(2**53)))
            count = rng.randrange(1, 9)
            stream = rng.randrange(4)
            told = rng.choice((first + count, first, 0, first + 2**24, rng.randrange(2**53)))
            totals = {stream: min(told, 2**53 - 1), rng.randrange(70): rng.randrange(2**25)}
            kind = rng.choice((kinds.HAPTIC, kinds.HAPTIC, kinds.POSE, 77))
            frame = haptic_frame(first, count, stream)
            if kind != kinds.HAPTIC:
                frame = Frame(stream, kind, first, bytes(64 * count))
            seq = rng.choice((None, None, None, rng.randrange(n + 1), n + rng.randrange(2**20)))
            liar.data([frame], totals=totals, floor=rng.choice((0, n, 2**40)), seq=seq)
            if n % 500 == 499:
                liar.bye({stream: rng.randrange(2**24)})
            if n % 10 == 0:
                honest.data([haptic_frame(n // 10)])

        await flood(lie, 6, 700)
        await asyncio.sleep(3)
        if seed:
            await gateway.kill()
            await gateway.start()
        judge_all(gateway)
        await gateway.close(session, at_once=True)
        await asyncio.sleep(3)
        await gateway.stop()
        found = judge_all(gateway)
        assert gateway.sent[wire.WELCOME] == welcomed
        ((_, mine),) = [(key, numbers) for key, numbers in found.samples.items() if key[1] == 2]
        assert sorted(mine) == list(range(len(mine)))
        assert len(mine) > 300
        for stream in gateway.durable.streams.values():
            assert stream.total == stream.stored + sum(stream.refused.values()) + stream.missing
            assert len(stream.accounted) <= 4096
        for link in gateway.durable.links.values():
            assert len(link.done) <= 4096

    simulate(main())


def test_a_hostile_device_cannot_make_links_without_end() -> None:
    """Each link costs keys and ranges; a device that asks for ever more loses its oldest."""

    async def main() -> None:
        rng = random.Random(4)
        gateway = Watched(rng)
        await gateway.start()
        key = await gateway.add_device(1)
        await gateway.open(1)
        device = Attacker(gateway, 1, key)
        for _ in range(600):
            assert (await device.handshake()).state == control.RECORDING
            device.data([haptic_frame(0)])
            await asyncio.sleep(0.25)  # as fast as new HELLOs of one device are taken
        assert len(gateway.house.registry.links) <= 256
        assert len(gateway.house.registry.touched) <= 600
        await asyncio.sleep(2)
        await gateway.stop()

    simulate(main())


def test_streams_of_a_session_are_bounded() -> None:
    """The last part tells every stream's sum: a device cannot make so many that its header no longer fits."""

    async def main() -> None:
        rng = random.Random(5)
        gateway = Watched(rng)
        await gateway.start()
        key = await gateway.add_device(1)
        session = await gateway.open(1)
        device = Attacker(gateway, 1, key)
        for _ in range(40):
            device.run = rng.getrandbits(63)
            assert (await device.handshake()).state == control.RECORDING
            device.data([], totals=dict.fromkeys(range(64), 1))
            await asyncio.sleep(0.3)
        await asyncio.sleep(2)
        assert len(gateway.house.registry.streams) <= MAX_STREAMS_PER_SESSION
        assert gateway.house.totals.refused["too_many_streams"] >= 24
        await gateway.close(session, at_once=True)
        await asyncio.sleep(2)
        assert session.session not in gateway.house.registry.sessions
        await gateway.stop()

    simulate(main())


def test_many_bad_frames_cost_no_more_than_they_are_worth() -> None:
    """Refused frames are told within bounds, and a packet of many frames spends more than one packet's rate."""

    async def main() -> None:
        rng = random.Random(6)
        gateway = Watched(rng)
        await gateway.start()
        key = await gateway.add_device(1)
        await gateway.open(1)
        device = Attacker(gateway, 1, key)
        await device.handshake()
        bad = [Frame(1, kinds.HAPTIC, 0, b"") for _ in range(63)]
        for number in range(2000):
            device.data([haptic_frame(number), *bad], totals={0: number + 1, 1: 1})
        await asyncio.sleep(3)
        assert gateway.house.totals.shed["rate"] > 500
        assert device.types[wire.RECEIPT] < 200
        await gateway.stop()

    simulate(main())


def test_what_a_stranger_repeats_does_not_spend_its_devices_rate() -> None:
    """Copies are dropped before the rate of their device is asked."""

    async def main() -> None:
        rng = random.Random(7)
        gateway = Watched(rng)
        await gateway.start()
        key = await gateway.add_device(1)
        await gateway.open(1)
        device = Attacker(gateway, 1, key)
        await device.handshake()
        packet = device.send(device.data_packet([haptic_frame(0)]))
        for number in range(1, 100):
            for _ in range(300):
                gateway.arrive(packet, ("198.51.100.7", 9))
            device.data([haptic_frame(number)])
            await asyncio.sleep(0.05)
        await asyncio.sleep(2)
        assert gateway.house.totals.shed["rate"] == 0
        assert sum(stream.stored for stream in gateway.house.registry.streams.values()) == 100
        await gateway.stop()

    simulate(main())
