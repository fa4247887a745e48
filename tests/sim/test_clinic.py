"""The real spine and real devices on a virtual clock: nothing receipted is missing, nothing is stored twice."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.sim.clinic import Gateway, Network, make_rig, stored, sums_close
from tests.sim.virtual import simulate


@pytest.mark.parametrize("seed", range(3))
def test_a_good_network_stores_everything_once(seed: int) -> None:
    async def main() -> None:
        rng = random.Random(seed)
        gateway, network = Gateway(rng), Network(rng)
        await gateway.start()
        key = await gateway.add_device(1)
        await gateway.open(1)
        rig = make_rig(gateway, network, 1, key)
        rig.start()
        await asyncio.sleep(20)
        await rig.finish(30)
        assert rig.device.idle
        await gateway.stop()
        ((_, numbers),) = stored(gateway.durable).items()
        assert sorted(numbers) == list(range(rig.sent))
        assert set(numbers.values()) == {1}
        assert rig.sent > 1500
        sums_close(gateway.durable)

    simulate(main())


@pytest.mark.parametrize("seed", range(5))
def test_a_bad_network_and_a_killed_gateway_lose_nothing(seed: int) -> None:
    async def main() -> None:
        rng = random.Random(seed)
        gateway = Gateway(rng)
        network = Network(rng, loss=0.2, duplicate=0.1, delay_s=0.3)
        await gateway.start()
        key = await gateway.add_device(1)
        await gateway.open(1)
        rig = make_rig(gateway, network, 1, key)
        rig.start()
        for _ in range(5):
            await asyncio.sleep(rng.uniform(2, 8))
            await gateway.kill()
            await asyncio.sleep(rng.uniform(0, 4))
            await gateway.start()
        await asyncio.sleep(5)
        await rig.finish(120)
        assert rig.device.idle, rig.device.status()
        await gateway.stop()
        ((_, numbers),) = stored(gateway.durable).items()
        assert sorted(numbers) == list(range(rig.sent))
        assert set(numbers.values()) == {1}
        sums_close(gateway.durable)

    print("seed", seed)
    simulate(main())
