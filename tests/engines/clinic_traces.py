"""Traces of a device at the real gateway: the simulated clinic (`tests/sim`) with a headset that is written down.

`storm.py` does what no gateway should; here it is the gateway's own receipts, resets, commands, and its restarts.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path
from typing import Any

from engines.traces import Trace, Traced

from gateway.app.spool_files import SpoolFiles
from gateway.core.records import Session
from gateway.device import events as ev
from gateway.device.config import DeviceConfig
from gateway.errors import LocalError
from gateway.wire import kinds
from tests.sim.clinic import Gateway, Network
from tests.sim.front import Front
from tests.sim.headset import Headset, make_headset
from tests.sim.memory import Durable
from tests.sim.virtual import now_ns, simulate

KINDS = (
    kinds.POSE,
    kinds.HAPTIC,
    kinds.FACE_ARKIT,
    kinds.CLOCK,
)  # a face of one byte value is refused (`schema`)
LIMIT_S = 900  # of simulated time


def make(seed: int, steps: int, trace: Trace, folder: Path) -> None:
    """Write a trace of about so many steps; `folder` is empty and takes the spool."""
    simulate(_visit(random.Random(seed), steps, trace, folder))


class TracedHeadset(Headset):
    """A headset whose machine is written down."""

    trace: Trace
    rng: random.Random

    def _capture(self) -> None:
        """Samples of one byte value, of some of its streams."""
        every_s = self.rng.choice((0.011, 0.1, 0.1, 1.0))
        asyncio.get_running_loop().call_later(every_s, self._capture)
        if self.asleep or not self.capturing:
            return
        for stream, kind in enumerate((kinds.POSE, kinds.HAPTIC, kinds.POSE, kinds.GAZE, kinds.FACE_ARKIT)):
            if self.rng.random() < 0.4:
                count = self.rng.choice((1, 1, 9))
                self.perform(
                    self.device.capture(
                        stream, kind, bytes(count * kinds.KINDS[kind].sample_bytes), count, now_ns()
                    )
                )

    def restart(self, gateway: Gateway) -> None:
        """As `Headset.restart`, with another machine that is written down."""
        old = self.device.config
        self.make_machine(
            DeviceConfig(
                old.device, self.key, "sim", self.hello_seq, self.rng.getrandbits(64), **self.options
            )  # type: ignore[arg-type]
        )
        self.asleep = False
        self.source = (self.source[0], self.source[1] + 1)
        assert self.folder is not None
        self.spool = SpoolFiles(self.folder, old.device)
        for link in self.spool.load():
            self.perform(self.device.step(ev.Restored(link), now_ns()))
        self.perform(self.device.step(ev.Start(), now_ns()))

    def make_machine(self, config: DeviceConfig) -> None:
        """Begin a machine in the trace."""
        self.device = Traced(config, self.rng.randbytes, self.trace)


async def _visit(rng: random.Random, steps: int, trace: Trace, folder: Path) -> None:
    durable = Durable()
    durable.boot = rng.choice((0, 32_766, 50_000))  # a start away from seqs of 2^63 and more, or beyond
    gateway = Gateway(rng, durable)
    network = Network(rng)
    await gateway.start()
    key = await gateway.add_device(1)
    options: dict[str, Any] = {
        "spool_bytes": rng.choice((20_000, 64 << 20)),
        "ring_packets": rng.choice((20, 32_768)),
        "linger_ms": rng.choice((20, 200)),
        "silence_ms": rng.choice((2_000, 10_000)),
        "wait_retry_ms": rng.choice((500, 5_000)),
    }
    rig = make_headset(gateway, network, 1, key, folder, **options)
    rig.__class__ = TracedHeadset
    assert isinstance(rig, TracedHeadset)
    rig.trace, rig.rng = trace, rng
    rig.make_machine(rig.device.config)
    rig.start()
    session = await gateway.open(1, kinds_=KINDS)
    end = now_ns() + LIMIT_S * 1_000_000_000
    while trace.steps < steps and now_ns() < end:
        await asyncio.sleep(rng.choice((0.3, 2, 5)))
        session = await _happen(rng, gateway, network, rig, session)
    rig.kill()
    await gateway.kill()


async def _happen(
    rng: random.Random, gateway: Gateway, network: Network, rig: TracedHeadset, session: Session
) -> Session:
    """Something in the clinic; returns the session that is open."""
    match rng.randrange(8):
        case 0:
            network.loss, network.duplicate = rng.choice((0.0, 0.2, 0.6)), rng.choice((0.0, 0.2))
            network.delay_s, network.down = rng.choice((0.0, 0.05, 0.4)), rng.random() < 0.2
        case 1:
            await gateway.kill()
            await asyncio.sleep(rng.choice((0.1, 4, 13)))
            await gateway.start()
        case 2:
            rig.sleep()
            await asyncio.sleep(rng.choice((0.1, 3, 40)))
            rig.wake()
        case 3:
            await gateway.close(session, at_once=rng.random() < 0.3)
            await asyncio.sleep(rng.choice((0.1, 7)))
            session = await gateway.open(1, kinds_=KINDS)
        case 4:
            rig.kill()
            rig.restart(gateway)
        case 5:
            await Front(gateway).rotate(1)
        case 6:
            with contextlib.suppress(LocalError):  # it does not record
                await Front(gateway).ask(1, "text", "Bitte umdrehen", seconds=0.2)
        case _:
            network.loss, network.down = 0.0, False
    return session
