"""Who is on the network and has no key, or another device's: what each attack costs, and that it changes nothing.

More of them, packet by packet, are in `test_bad_input`.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest

from gateway.core.records import Pairing
from gateway.device.pairing import open_paired, pair_packet
from gateway.errors import RemoteError
from gateway.keys.link import LinkCipher, LinkKeys, device_key, handshake_key, pairing_key, tag
from gateway.wire import control
from gateway.wire import packet as wire
from tests.sim.attacker import Attacker, haptic_frame
from tests.sim.clinic import Network
from tests.sim.headset import Headset, make_headset
from tests.sim.oracle import Watched, drained, judge_all
from tests.sim.virtual import now_ns, simulate

EVE = ("203.0.113.9", 4000)
CODE = "A" * 26


async def clinic(
    seed: int, *numbers: int, folder: Path | None = None
) -> tuple[Watched, Network, list[Headset]]:
    """A gateway, an open session, and headsets that record in it."""
    print("seed", seed)
    rng = random.Random(seed)
    gateway, network = Watched(rng), Network(rng)
    await gateway.start()
    keys = {number: await gateway.add_device(number) for number in numbers}
    await gateway.open(*numbers)
    rigs = [
        make_headset(gateway, network, number, key, folder / str(number) if folder is not None else None)
        for number, key in keys.items()
    ]
    for rig in rigs:
        rig.start()
    await asyncio.sleep(3)
    return gateway, network, rigs


def capture_of(gateway: Watched) -> list[bytes]:
    """Record all that is sent to the gateway from now on, as who reads the network would."""
    seen: list[bytes] = []

    def tap(packet: bytes) -> bool:
        seen.append(packet)
        return False

    gateway.lose_up = tap
    return seen


def to_eve(gateway: Watched) -> list[bytes]:
    return [packet for source, packet in gateway.told if source == EVE]


# ---- replay ----------------------------------------------------------------------------------------------------


def test_a_capture_played_again_after_restarts_on_both_sides_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        gateway, network, (rig,) = await clinic(1, 1, folder=tmp_path)
        up = capture_of(gateway)
        await asyncio.sleep(10)
        down = [packet for _, packet in gateway.told]
        network.down = True
        await asyncio.sleep(10)
        await gateway.kill()
        rig.kill()
        await gateway.start()
        rig.restart(gateway)
        network.down = False
        gateway.lose_up = lambda packet: False
        link = rig.device.links.numbers[0]
        for packet in up:
            gateway.arrive(packet, EVE)
        # The device no longer knows which seqs it saw: what a gateway said of a link stays true, and no more is done.
        for packet in down:
            rig.receive(packet)
        await asyncio.sleep(30)
        for packet in up:
            gateway.arrive(packet, EVE)
        await asyncio.sleep(1)
        # A gateway that has just started knows no address of the link: what comes first is answered where it came from,
        # with less than it was, at most ten times, and unreadable. From the device's HELLO on it is the device's.
        assert len(to_eve(gateway)) <= 10
        assert all(packet[3] == wire.RECEIPT and len(packet) < 200 for packet in to_eve(gateway))
        assert link not in rig.device.links
        await drained(gateway, [rig])
        judge_all(gateway, [rig])
        assert sum(stream.missing for stream in gateway.durable.streams.values()) == 0

    simulate(main())


def test_a_hello_that_is_played_again_moves_no_link_and_opens_none() -> None:
    async def main() -> None:
        gateway, _, (rig,) = await clinic(2, 1)
        up = capture_of(gateway)
        rig.sleep()
        await asyncio.sleep(1)
        rig.wake()
        await asyncio.sleep(3)
        hellos = [packet for packet in up if packet[3] == wire.HELLO]
        assert hellos
        links = len(gateway.house.registry.links)
        for packet in hellos:
            gateway.arrive(packet, EVE)
        await asyncio.sleep(3)
        assert len(gateway.house.registry.links) == links
        assert gateway.counted["hello_replay"] == len(hellos)
        assert {link.source for link in gateway.house.registry.links.values()} <= {
            rig.source,
            (rig.source[0], 1001),
        }
        assert to_eve(gateway) == []
        await drained(gateway, [rig])
        judge_all(gateway, [rig])

    simulate(main())


def test_a_device_cannot_draw_another_devices_answers_by_naming_its_links() -> None:
    async def main() -> None:
        gateway, _, (rig,) = await clinic(3, 1)
        key = await gateway.add_device(9)
        insider = Attacker(gateway, 9, key)
        link = rig.device.links.numbers[0]
        welcome = await insider.handshake(links=(link,))
        assert welcome.kept == []
        await asyncio.sleep(3)
        assert gateway.house.registry.links[link].source == rig.source
        # Sealed with its own keys under the other's link, its own packet with the other's number, and the other way.
        own = insider.seal(wire.SYNC, control.encode(control.Probe(now_ns())))
        before = gateway.counted["bad_tag"]
        gateway.forge(own[:4] + link.to_bytes(4, "little") + own[8:], insider.source)
        gateway.forge(insider.retag(own[:4] + link.to_bytes(4, "little") + own[8:]), insider.source)
        await asyncio.sleep(0.1)
        assert gateway.counted["bad_tag"] == before + 2
        await drained(gateway, [rig])
        judge_all(gateway, [rig])

    simulate(main())


# ---- forgeries for a device ------------------------------------------------------------------------------------


def forged(rig: Headset, key: bytes) -> list[bytes]:
    """Everything a gateway could say to a device on its link, by somebody who has another key."""
    current = rig.device.current
    assert current is not None
    keys = LinkKeys.derive(key, bytes(16), bytes(16), rig.device.config.device, current.number, 1)
    down = LinkCipher(keys)
    made = []
    for seq, (kind, body) in enumerate(
        [
            (wire.RECEIPT, control.Receipt([(1, bytes(32), [0, 2**40])], [], [], [])),
            (wire.RECEIPT, control.Receipt([], [("closed", [0, 2**40])], [], [])),
            (wire.COMMAND, control.Command("stop", ["withdrawn"])),
            (wire.COMMAND, control.Command("hold", ["disk_full"])),
            (wire.COMMAND, control.Command("rotate", ["00" * 32])),
            (wire.COMMAND, control.Command("haptic", [1, 1.0, 10_000, 0.0])),
            (wire.SYNC, control.ProbeReply(now_ns(), now_ns(), now_ns())),
        ],
        2**60,
    ):
        head = wire.pack_header(kind, current.number, seq, 0) + down.crypt(seq, control.encode(body))
        made.append(head + down.tag(head))
    k_hs = handshake_key(key)
    reset = wire.pack_header(wire.RESET, current.number, 0, 0)
    reset += control.encode(control.Reset(0, bytes(16), "ended"))
    welcome = wire.pack_header(wire.WELCOME, 0, rig.hello_seq, 0) + control.encode(
        control.Welcome(bytes(16), b"", 0, "sim", b"", 0, [1], "refused", "revoked", [], [], 0)
    )
    return [*made, reset + tag(k_hs, reset), welcome + tag(k_hs, welcome)]


def test_a_device_obeys_nobody_who_lacks_its_key() -> None:
    async def main() -> None:
        gateway, network, (rig, other) = await clinic(4, 1, 2)
        link, key, before = rig.device.current, rig.key, rig.device.account.stored
        for stranger in (bytes(32), other.key):
            for packet in forged(rig, stranger):
                rig.receive(packet)
        assert rig.device.current is link
        assert rig.key == key == rig.device.config.key
        assert rig.device.status()["state"] == "recording"
        assert rig.device.account.stored == before
        assert rig.device.account.ignored["bad_tag"] + rig.device.account.ignored["unexpected"] == 18
        # While it asks, too: a WELCOME and a downgrade are believed from its gateway alone.
        network.down = True
        rig.sleep()
        rig.wake()
        asked = rig.device.account.ignored["bad_tag"]
        welcomes = [packet for _, packet in gateway.told if packet[3] == wire.WELCOME]
        for packet in welcomes:
            rig.receive(packet)
            rig.receive(packet.replace(b"\x91\x01\xa9recording", b"\x91\x02\xa9recording"))
        assert rig.device.current is None
        assert rig.device.account.ignored["bad_tag"] > asked
        network.down = False
        await asyncio.sleep(10)
        await drained(gateway, [rig, other])
        judge_all(gateway, [rig, other])

    simulate(main())


def test_packets_of_two_devices_cannot_be_spliced_down_either() -> None:
    async def main() -> None:
        gateway, _, (rig, other) = await clinic(5, 1, 2)
        current = rig.device.current
        assert current is not None
        theirs = [packet for source, packet in gateway.told if source == other.source and packet[3] in (6, 7)]
        ours = [packet for source, packet in gateway.told if source == rig.source and packet[3] in (6, 7)]
        number = current.number.to_bytes(4, "little")
        before = Counter(rig.device.account.ignored)
        stored = rig.device.account.stored
        for one, two in zip(theirs, ours, strict=False):
            rig.receive(one[:4] + number + one[8:])
            rig.receive(two[:24] + one[24:])
            rig.receive(two[:-16] + one[-16:])
            rig.receive(two[:8] + one[8:16] + two[16:])
        ignored = rig.device.account.ignored - before
        assert set(ignored) == {"bad_tag"}
        assert rig.device.account.stored == stored
        await drained(gateway, [rig, other])
        judge_all(gateway, [rig, other])

    simulate(main())


# ---- pairing ---------------------------------------------------------------------------------------------------


async def offered(gateway: Watched) -> None:
    def offer(now: int, now_ms: int) -> None:
        pairing = Pairing(CODE, now_ms + 600_000)
        gateway.house.registry.pairings.append(pairing)
        gateway.house.registry.staged.pairings.append(pairing)

    await gateway.spine.ask(offer)


def test_who_stands_between_a_pairing_without_the_code_learns_and_changes_nothing() -> None:
    async def main() -> None:
        gateway = Watched(random.Random(6))
        await gateway.start()
        await offered(gateway)
        heard: list[bytes] = []
        gateway.deliver = lambda source, packet: heard.append(packet)
        nonce = b"d" * 16
        pair = pair_packet(CODE, nonce, "headset", 0)
        guess = pairing_key(b"B" * 26)
        # Its own nonce into PAIR, so that it would share the device's key; and a PAIRED of its own making.
        for changed in (
            pair.replace(nonce, b"e" * 16),
            pair.replace(b"headset", b"hacksaw"),
            pair.replace(nonce, b"e" * 16)[:-16] + tag(guess, pair.replace(nonce, b"e" * 16)[:-16]),
        ):
            gateway.arrive(changed, EVE)
        await asyncio.sleep(0.5)
        assert (heard, gateway.durable.devices) == ([], {})
        assert gateway.counted["bad_tag"] == 3
        body = control.encode(control.Paired(nonce, b"e" * 16, 1, "evil"))
        head = wire.pack_header(wire.PAIRED, 0, 0, 0) + body
        for answer in (head + tag(guess, head), head + bytes(16), pair):
            with pytest.raises(RemoteError):
                open_paired(CODE, answer, nonce)
        # It may pass the packets on, and then it has seen both nonces; the key is made of the code as well.
        gateway.arrive(pair, EVE)
        await asyncio.sleep(0.5)
        paired = open_paired(CODE, heard[-1], nonce)
        with pytest.raises(RemoteError, match="another PAIR"):
            open_paired(CODE, heard[-1], b"x" * 16)
        seen = control.decode(control.Paired, bytes(wire.body_of(heard[-1])))
        assert device_key(b"B" * 26, nonce, seen.nonce_g) != paired.key
        (record,) = gateway.durable.devices.values()
        assert record.key == paired.key
        await gateway.stop()

    simulate(main())


def test_a_code_makes_one_device_whoever_plays_its_pair_again() -> None:
    async def main() -> None:
        gateway = Watched(random.Random(7))
        await gateway.start()
        await offered(gateway)
        pair = pair_packet(CODE, b"d" * 16, "headset", 0)
        gateway.arrive(pair, ("10.0.0.5", 5))
        await asyncio.sleep(0.5)
        (record,) = gateway.durable.devices.values()
        for wait_s in (0, 1, 500, 200):
            await asyncio.sleep(wait_s)
            gateway.arrive(pair, EVE)  # the same bytes: the same PAIRED, which tells nothing without the code
            gateway.arrive(pair_packet(CODE, b"e" * 16, "second", 0), ("10.0.0.6", 6))
        await asyncio.sleep(0.5)
        assert list(gateway.durable.devices.values()) == [record]
        assert len(set(to_eve(gateway))) == 1
        assert [packet for source, packet in gateway.told if source == ("10.0.0.6", 6)] == []
        assert gateway.counted["spent"] == 3
        assert gateway.counted["bad_tag"] == 2, "700 s later there is no such code"
        await gateway.stop()

    simulate(main())


# ---- floods ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["from everywhere", "from the device's own address"])
def test_a_spoofer_cannot_starve_a_known_link(where: str) -> None:
    async def main() -> None:
        gateway, _, (rig,) = await clinic(8, 1)
        current = rig.device.current
        assert current is not None
        rng = random.Random(9)
        behind = 0
        for _ in range(500):  # 10 s of 5,000 packets a second
            for _ in range(100):
                head = wire.pack_header(wire.DATA, current.number, rng.getrandbits(40), 0)
                source = (f"198.51.{rng.randrange(256)}.{rng.randrange(256)}", rng.randrange(1, 65_536))
                gateway.forge(
                    head + rng.randbytes(40),
                    rig.source if where == "from the device's own address" else source,
                )
            await asyncio.sleep(0.02)
            behind = max(behind, rig.device.behind_ns(now_ns()))
        assert rig.device.current is current, "the link is the same"
        if where == "from everywhere":
            assert behind < 5_000_000_000, "nobody at the headset saw anything of it"
        await asyncio.sleep(15)
        assert rig.device.status()["state"] == "recording"
        await drained(gateway, [rig])
        found = judge_all(gateway, [rig])
        assert sum(stream.missing for stream in gateway.durable.streams.values()) == 0
        assert rig.device.lost == {}
        assert max(found.every_sample) >= rig.sent - 1

    simulate(main())


def test_copies_played_at_a_high_rate_cost_the_device_no_receipt() -> None:
    async def main() -> None:
        gateway, network, (rig,) = await clinic(10, 1)
        up = capture_of(gateway)
        await asyncio.sleep(3)
        network.loss = 0.3
        copies = [packet for packet in up if packet[3] == wire.DATA]
        for turn in range(500):
            gateway.lose_up = lambda packet: False
            for packet in copies[turn % 10 :: 10]:
                gateway.arrive(packet, EVE)
            await asyncio.sleep(0.02)
        await drained(gateway, [rig])
        judge_all(gateway, [rig])
        assert to_eve(gateway) == []
        assert sum(stream.missing for stream in gateway.durable.streams.values()) == 0

    simulate(main())


def test_a_hello_of_another_version_is_refused_under_the_tag_and_believed_so() -> None:
    async def main() -> None:
        gateway, _, (rig,) = await clinic(11, 1)
        key = await gateway.add_device(9)
        await gateway.open(9)
        device = Attacker(gateway, 9, key)
        welcome = await device.handshake(versions=(2, 3))
        assert (welcome.state, welcome.reason, welcome.version) == ("refused", "version", 0)
        assert welcome.offered == [2, 3], "the echo shows whoever took a version out on the way"
        welcome = await device.handshake(versions=(1, 2))
        assert (welcome.state, welcome.version) == ("recording", 1)
        device.data([haptic_frame(0, 5)])
        await asyncio.sleep(1.5)
        assert device.stored
        await drained(gateway, [rig])
        judge_all(gateway, [rig])

    simulate(main())
