"""Sends the clinic mix as 50 paired devices, from a process of its own, and tells what their receipts said.

50 rigs with three pose streams at 90 Hz, one gaze at 120 Hz and two haptic at 320 Hz: 51,500 samples a second. Run by
`test_gateway.py`; reads a JSON job from the standard input and writes a JSON result.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from typing import Any

import numpy as np

from gateway.app.drive import Driver
from gateway.app.keyfile import DeviceKey
from gateway.device import events as ev
from gateway.device.machine import Device
from gateway.net.udp_device import UdpDevice
from gateway.wire import kinds

STREAMS = (
    (0, kinds.POSE, 90),
    (1, kinds.POSE, 90),
    (2, kinds.POSE, 90),
    (3, kinds.GAZE, 120),
    (4, 4, 320),
    (5, 4, 320),
)
FULL = {kinds.POSE: 16, kinds.GAZE: 10, kinds.HAPTIC: 32}


class Rig:
    """One device, its prepared frames, and the times between a packet's send and its receipt."""

    def __init__(self, job: dict[str, Any], number: int, rng: np.random.Generator) -> None:
        key = DeviceKey(**job["devices"][number])
        config = key.config(
            int(rng.integers(1 << 62)), linger_ms=1 if job["per_packet"] else 5_000, probes=False
        )
        self.sent_ns: dict[int, int] = {}
        self.latency_ms: list[float] = []
        self.refused = 0
        self.driver = Driver(
            Device(config, lambda n: rng.bytes(n)),
            UdpDevice("127.0.0.1", job["port"]),
            lambda seq: None,
            tell=self._tell,
        )
        self.samples = 0
        self.next_seq = 0
        self.frames: dict[int, list[bytes]] = {}
        for stream, kind, _ in STREAMS:
            count = job["per_packet"] or FULL[kind]
            self.frames[stream] = [self._frame(kind, count, rng) for _ in range(4)]

    @staticmethod
    def _frame(kind: int, count: int, rng: np.random.Generator) -> bytes:
        samples = np.zeros(count, kinds.KINDS[kind].dtype)
        if kind == kinds.POSE:
            samples["flags"] = 0x3F
            samples["position_m"] = rng.normal(0, 1, (count, 3))
            samples["orientation"] = rng.normal(0, 0.5, (count, 4))
        elif kind == kinds.GAZE:
            samples["flags_left"] = samples["flags_right"] = 0xCF
            for eye in ("left", "right"):
                samples[eye]["origin_m"] = rng.normal(0, 0.03, (count, 3))
                samples[eye]["direction"] = rng.normal(0, 0.5, (count, 3))
        else:
            samples["amplitude"] = rng.random(count)
        return samples.tobytes()

    def _tell(self, effect: ev.Effect) -> None:
        now = time.monotonic_ns()
        if isinstance(effect, ev.Send) and not effect.hello:
            seq = int.from_bytes(effect.packet[8:16], "little")
            if effect.packet[3] == 5:
                self.sent_ns.setdefault(seq, now)
        elif isinstance(effect, ev.Stored):
            for seq in range(effect.first_seq, effect.last_seq + 1):
                sent = self.sent_ns.pop(seq, None)
                if sent is not None:
                    self.latency_ms.append((now - sent) / 1e6)
        elif isinstance(effect, ev.RefusedPackets):
            self.refused += effect.packets

    def capture(self, stream: int, kind: int, count: int, turn: int, now_ns: int) -> None:
        frames = self.frames[stream]
        data = bytearray(frames[turn % len(frames)])
        samples = np.frombuffer(data, kinds.KINDS[kind].dtype)
        samples["t_capture_ns"] = now_ns + np.arange(count)
        self.driver.capture(stream, kind, bytes(data), count)
        self.samples += count


async def main(job: dict[str, Any]) -> dict[str, Any]:
    rng = np.random.default_rng(7)
    rigs = [Rig(job, number, rng) for number in range(len(job["devices"]))]
    for rig in rigs:
        await rig.driver.__aenter__()
        rig.driver.start()
    for rig in rigs:
        if not await rig.driver.recording(15):
            raise SystemExit("a device does not record")
    print("recording", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    plan: list[tuple[float, Rig, int, int, int]] = []
    for rig in rigs:
        for stream, kind, hz in STREAMS:
            count = job["per_packet"] or FULL[kind]
            period = count / (hz * job["scale"])
            at = float(rng.random()) * period
            while at < job["seconds"]:
                plan.append((at, rig, stream, kind, count))
                at += period
    plan.sort(key=lambda row: row[0])
    start, late = time.monotonic(), 0.0
    for turn, (at, rig, stream, kind, count) in enumerate(plan):
        wait = at - (time.monotonic() - start)
        if wait > 0.001:
            await asyncio.sleep(wait)
        elif turn % 64 == 0:
            late = max(late, -wait)
            await asyncio.sleep(0)
        rig.capture(stream, kind, count, turn, time.monotonic_ns())
    took = time.monotonic() - start
    drained = await asyncio.gather(*(rig.driver.stop(30) for rig in rigs))
    for rig in rigs:
        await rig.driver.__aexit__(None, None, None)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    latency = np.array([ms for rig in rigs for ms in rig.latency_ms] or [0.0])
    sent = [int(rig.driver.device.status()["sent"]) for rig in rigs]  # type: ignore[call-overload]
    resent = [int(rig.driver.device.status()["resent"]) for rig in rigs]  # type: ignore[call-overload]
    return {
        "samples": sum(rig.samples for rig in rigs),
        "packets": sum(sent),
        "seconds": took,
        "late_ms": late * 1000,
        "drained": all(drained),
        "resent": sum(resent),
        "refused": sum(rig.refused for rig in rigs),
        "p50_ms": float(np.percentile(latency, 50)),
        "p99_ms": float(np.percentile(latency, 99)),
        "cpu_s": usage.ru_utime + usage.ru_stime,
    }


if __name__ == "__main__":
    job_ = json.loads(sys.stdin.readline())
    with asyncio.Runner() as runner:
        print(json.dumps(runner.run(main(job_))), flush=True)
