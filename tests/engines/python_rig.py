"""The reference device behind the same orders as the engines: what the tests of the engines are proven with.

usage: python_rig.py PORT. It takes the orders of `rig.py`, save the watched file, which only the plugins have.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gateway.app import keyfile
from gateway.app.drive import Driver
from gateway.app.feed import info_sample, is_full, room
from gateway.app.spool_files import SpoolFiles
from gateway.device import events as ev
from gateway.device.config import SPOOL_BYTES
from gateway.device.machine import Device
from gateway.device.pairing import open_paired, pair_packet
from gateway.errors import VestibuleError
from gateway.net.udp_device import UdpDevice
from gateway.wire import kinds

Json = dict[str, Any]
INFO, HAPTIC, MARKER, LOAD = 10, 7, 9, 12
DEVICE_OPTIONS = frozenset(
    (
        "ring_bytes",
        "ring_packets",
        "linger_ms",
        "silence_ms",
        "wait_retry_ms",
        "resend_first_ms",
        "resend_most_ms",
    )
)
FRAME_ROOM = 64  # rows of a tape between two looks at the ring


class PythonRig:
    """One device, and the connection that gives it orders."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.driver: Driver | None = None
        self.asked: Json = {}
        self.fps = 90
        self.described: set[int] = set()
        self.session = b""
        self.tasks: set[asyncio.Task[None]] = set()
        self.totals: dict[int, int] = {}

    async def serve(self) -> None:
        while line := await self.reader.readline():
            order = json.loads(line)
            if order["do"] == "quit":
                return
            try:
                method = getattr(self, f"do_{order['do']}", None)
                if method is None:
                    raise ValueError(f"no order {order['do']!r}")
                answer = method(order)
                answer = await answer if asyncio.iscoroutine(answer) else answer
                self.say({"id": order["id"], "ok": True, **(answer or {})})
            except (VestibuleError, ValueError, OSError) as error:
                self.say({"id": order["id"], "ok": False, "error": str(error)})
        sys.exit(1)  # whoever gave the orders is gone

    def say(self, said: Json) -> None:
        self.writer.write(json.dumps(said).encode() + b"\n")

    # ---- its life

    @property
    def path(self) -> Path:
        return Path(self.asked["dir"]) / "identity.json"

    async def do_make(self, order: Json) -> None:
        self.asked = order
        self.fps = order["fps"]
        if self.path.exists():
            await self.embody()

    async def embody(self) -> None:
        if self.driver is not None:
            await self.driver.__aexit__(None, None, None)
        asked = self.asked["options"]
        options = {name: asked[name] for name in DEVICE_OPTIONS & asked.keys()}
        if "versions" in asked:
            options["versions"] = tuple(asked["versions"])
        if "commands" in asked:
            options["commands"] = frozenset(asked["commands"])
        if asked.get("spool"):
            options["spool_bytes"] = asked.get("spool_bytes", SPOOL_BYTES)
        key = keyfile.parse(self.path.read_bytes())
        device = Device(key.config(secrets.randbits(64), **options), secrets.token_bytes)
        kept = keyfile.Kept(self.path, key)
        self.driver = Driver(
            device,
            UdpDevice(key.host or self.asked["host"], key.port or self.asked["port"]),
            kept,
            tell=self.told,
            keep_key=kept.take_key,
            spool=SpoolFiles(self.path.parent / "spool", key.device) if asked.get("spool") else None,
        )
        await self.driver.__aenter__()

    def told(self, effect: ev.Effect) -> None:
        match effect:
            case ev.Changed(state, reason, behind_s):
                words = f"{state} {reason}".strip()
                self.say(
                    {"event": "state", "state": state, "reason": reason, "behind_s": behind_s, "words": words}
                )
                if self.driver and self.driver.device.welcome:
                    session = self.driver.device.welcome.session
                    if session and session != self.session:
                        self.session = session
                        self.described.clear()
            case ev.Commanded(verb, args):
                self.say({"event": "command", "verb": verb, "args": list(args)})
                if verb == "marker":
                    self.marker(int(args[0]), str(args[1]))

    def live(self) -> Driver:
        if self.driver is None:
            raise ValueError("not paired: there is no identity")
        return self.driver

    def do_start(self, order: Json) -> None:
        self.live().start()

    def do_pause(self, order: Json) -> None:
        self.live().pause(order.get("reason", "pause"))

    def do_resume(self, order: Json) -> None:
        self.live().resume()

    def do_stop(self, order: Json) -> None:
        self.live()._step(ev.Stop(order.get("reason", "end")))

    def do_clock(self, order: Json) -> None:
        pass  # a tape's rows have their own times; all else has the engine's

    async def do_pair(self, order: Json) -> None:
        text, host, port = order["text"], self.asked["host"], self.asked["port"]
        if text.startswith("vestibule://"):
            where, _, text = text.removeprefix("vestibule://").rpartition("/")
            host, _, port = where.rpartition(":")
        nonce = secrets.token_bytes(16)
        packet = pair_packet(text, nonce, order["name"], time.monotonic_ns())
        self.spawn(self.pairing(packet, text, nonce, host.strip("[]"), int(port), order["name"]))

    async def pairing(self, packet: bytes, code: str, nonce: bytes, host: str, port: int, name: str) -> None:
        answers: asyncio.Queue[bytes] = asyncio.Queue()
        transport = UdpDevice(host, port)
        await transport.open(answers.put_nowait)
        try:
            for _ in range(30):
                transport.send(ev.Send(packet, hello=False))
                try:
                    paired = open_paired(code, await asyncio.wait_for(answers.get(), 1), nonce)
                except (TimeoutError, VestibuleError):
                    self.told(ev.Changed(ev.NOT_RECORDING, "pair_no_answer"))
                    continue
                key = keyfile.DeviceKey(
                    paired.device, paired.key.hex(), paired.home, name, host=host, port=port
                )
                keyfile.write(self.path, key)
                await self.embody()
                self.say({"event": "paired", "device": paired.device})
                return
        finally:
            await transport.close()

    def spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    # ---- what it captures

    def capture(self, stream: int, kind: int, samples: bytes, count: int = 1) -> None:
        driver = self.live()
        if stream not in self.described and driver.device.status()["state"] in (ev.RECORDING, ev.BEHIND):
            self.described.add(stream)
            info = {"stream": stream, "kind": kinds.KINDS[kind].name, "plugin": "python-rig"}
            driver.capture(INFO, kinds.INFO, info_sample(time.monotonic_ns(), info), 1)
        driver.capture(stream, kind, samples, count)

    def marker(self, code: int, text: str) -> None:
        self.capture(MARKER, kinds.MARKER, _marker(time.monotonic_ns(), code, text))

    def do_marker(self, order: Json) -> None:
        self.marker(order["code"], order["text"])

    def do_haptic(self, order: Json) -> None:
        length = int(order["duration_ms"]) * 1_000_000
        sample = struct.pack(
            "<qqffBBHI",
            time.monotonic_ns(),
            length or -1,
            order["frequency_hz"],
            order["amplitude"],
            order["target"],
            0,
            0,
            0,
        )
        self.capture(HAPTIC, kinds.HAPTIC, sample)

    def do_tape(self, order: Json) -> None:
        self.spawn(self.tape(Path(order["path"]), order["speed"]))

    async def tape(self, path: Path, speed: float) -> None:
        samples, first_ns, began = 0, None, time.monotonic()
        for number, line in enumerate(path.read_text().splitlines()):
            row = json.loads(line)
            t_ns = int(row["t"])
            first_ns = t_ns if first_ns is None else first_ns
            if speed and (ahead := (t_ns - first_ns) / 1e9 / speed - (time.monotonic() - began)) > 0:
                await asyncio.sleep(ahead)
            self.capture(row["stream"], *RECORDS[row["kind"]](t_ns, row))
            samples += 1
            if number % FRAME_ROOM == 0:
                # In real time nothing waits for room: what overflows is part of what is tested.
                if not speed and (is_full(self.live()) or self.live().device.links.held_packets > 1000):
                    await room(self.live(), 500)
                await asyncio.sleep(0)
        self.say({"event": "tape", "done": True, "samples": samples})

    async def do_load(self, order: Json) -> Json:
        driver, spent = self.live(), []
        sent, began, frame = driver.device.account.sent, time.monotonic(), 0
        while (now := time.monotonic() - began) < order["seconds"]:
            want = int(now * order["packets_s"]) - (driver.device.account.sent - sent)
            began_ns = time.perf_counter_ns()
            for tracker in range(3):
                self.capture(tracker, kinds.POSE, _pose(time.monotonic_ns(), tracker, frame))
            spent.append((time.perf_counter_ns() - began_ns) / 1000)
            for number in range(max(0, want)):
                self.capture(LOAD + number % 8, kinds.POSE, _pose(time.monotonic_ns(), 3, frame))
                driver._step(ev.Tick())
            frame += 1
            await asyncio.sleep(max(0.0, frame / self.fps - (time.monotonic() - began)))
        p50, p99, most = (float(np.percentile(spent, share)) for share in (50, 99, 100))
        packets = driver.device.account.sent - sent
        return {"frames": frame, "packets": packets, "capture_us": {"p50": p50, "p99": p99, "max": most}}

    def do_status(self, order: Json) -> Json:
        if self.driver is None:
            return {"state": ev.NOT_RECORDING, "reason": "not_paired", "device": 0, "hello_seq": -1}
        device = self.driver.device
        try:
            self.totals = device.totals()
        except KeyError:
            pass
        return {
            **device.status(),
            "totals": {str(stream): total for stream, total in self.totals.items()},
            "queue_dropped": 0,
            "spool_packets": device.links.kept_packets,
            "spool_bytes": device.links.kept_bytes,
            "heap_bytes": 0,
            "hello_seq": json.loads(self.path.read_bytes())["hello_seq"],
            "device": device.config.device,
        }


def _marker(t_ns: int, code: int, text: str) -> bytes:
    return struct.pack("<qHH", t_ns, code, len(text.encode())) + text.encode()


def _pose(t_ns: int, tracker: int, number: int) -> bytes:
    nan = [float("nan")] * 6
    return struct.pack("<qBBH", t_ns, tracker, 3, 3) + struct.pack("<13f", number, 0, 0, 0, 0, 0, 1, *nan)


def _floats(*values: Any) -> bytes:
    """Numbers as f32, None as the NaN that SPEC asks for."""
    flat: list[float | None] = []
    for value in values:
        flat += value if isinstance(value, list) else [value]
    return b"".join(b"\0\0\xc0\x7f" if one is None else struct.pack("<f", one) for one in flat)


def _three(value: Any) -> list[Any]:
    return [None] * 3 if value is None else value


def _of_pose(t_ns: int, row: Json) -> tuple[int, bytes, int]:
    head = struct.pack("<qBBH", t_ns, row["tracker"], row["space"], row["flags"])
    return kinds.POSE, head + _floats(row["p"], row["q"], _three(row["v"]), _three(row["w"])), 1


def _of_gaze(t_ns: int, row: Json) -> tuple[int, bytes, int]:
    head = struct.pack("<qIHH", t_ns, row["device_seq"], row["flags_left"], row["flags_right"])
    eyes = [
        (
            _three(row[f"{eye}_origin"]),
            _three(row[f"{eye}_direction"]),
            row[f"{eye}_pupil_mm"],
            row[f"{eye}_openness"],
        )
        for eye in ("left", "right")
    ]
    both = (
        _three(row["combined_origin"]),
        _three(row["combined_direction"]),
        row["vergence_m"],
        row["confidence"],
    )
    return kinds.GAZE, head + _floats(*eyes[0], *eyes[1], *both), 1


def _of_haptic(t_ns: int, row: Json) -> tuple[int, bytes, int]:
    made = struct.pack(
        "<qqffBBHI",
        t_ns,
        int(row["duration_ns"]),
        row["frequency_hz"],
        row["amplitude"],
        row["target"],
        row["event"],
        row["actuator"],
        row["effect_id"],
    )
    return kinds.HAPTIC, made, 1


def _of_marker(t_ns: int, row: Json) -> tuple[int, bytes, int]:
    return kinds.MARKER, _marker(t_ns, row["code"], row["text"]), 1


def _of_button(t_ns: int, row: Json) -> tuple[int, bytes, int]:
    made = struct.pack("<qHB5xff", t_ns, row["control"], row["event"], row["x"], row["y"])
    return kinds.BUTTON, made, 1


RECORDS: dict[str, Callable[[int, Json], tuple[int, bytes, int]]] = {
    "pose": _of_pose,
    "gaze": _of_gaze,
    "haptic": _of_haptic,
    "marker": _of_marker,
    "button": _of_button,
}


async def _main(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await PythonRig(reader, writer).serve()
    writer.close()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
