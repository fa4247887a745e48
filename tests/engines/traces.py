"""Traces: what the Python machine did, step by step, for the machines of the plugins to do again.

A trace is JSON lines. A line with `config` starts a machine; every other line is a step: the device's time, what
happened, the random bytes that were handed out, and all that came of it, as lines of text which each language writes
for itself. 64-bit integers are decimal strings. `Stored` and `Refused...` effects are left out: the plugins count only.

    PYTHONPATH=tests:. python -m engines.traces SEED [STEPS] > trace.jsonl     with the full bytes of every packet
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from gateway.device import events as ev
from gateway.device.config import DeviceConfig
from gateway.device.machine import Device
from gateway.device.spool import encode_header
from gateway.errors import LocalError

FULL_STEPS: Final = (
    40  # of each machine: their packets stand in the trace in full, so that a difference can be read
)
HEAD_BYTES: Final = 24
COUNT_EVERY: Final = 32  # steps between two tellings of all counters


class Trace:
    """Writes one trace.

    Args:
        full_steps: for how many steps of each machine packets are written in full.
    """

    def __init__(self, full_steps: int = FULL_STEPS) -> None:
        self.lines: list[str] = []
        self.steps = 0
        self._full_steps = full_steps
        self._machine_steps = 0

    def begin(self, config: DeviceConfig) -> None:
        """A machine is made: the app starts."""
        self._machine_steps = 0
        told = {
            "device": config.device,
            "key": config.key.hex(),
            "home": config.home,
            "hello_seq": str(config.hello_seq),
            "run": str(config.run),
            "ring_bytes": config.ring_bytes,
            "ring_packets": config.ring_packets,
            "spool_bytes": config.spool_bytes,
            "linger_ms": config.linger_ms,
            "resend_first_ms": config.resend_first_ms,
            "resend_most_ms": config.resend_most_ms,
            "silence_ms": config.silence_ms,
            "wait_retry_ms": config.wait_retry_ms,
            "versions": list(config.versions),
            "commands": sorted(config.commands),
            "targets": sorted(config.targets),
            "full_steps": self._full_steps,
        }
        self.lines.append(json.dumps({"config": told}))

    def step(self, device: Device, event: dict[str, Any], random: bytes, out: list[str], now_ns: int) -> None:
        """One step of the machine that was begun last."""
        line: dict[str, Any] = {"t": str(now_ns)} | event
        if random:
            line["random"] = random.hex()
        line["out"] = out
        line["now"] = state(device)
        if self._machine_steps % COUNT_EVERY == 0:
            line["counts"] = counters(device)
        self.lines.append(json.dumps(line, separators=(",", ":")))
        self.steps += 1
        self._machine_steps += 1

    def packet(self, packet: bytes) -> str:
        """A packet in an effect: its bytes, or later on its header, how long it is, and its SHA-256."""
        if self._machine_steps < self._full_steps:
            return packet.hex()
        digest = hashlib.sha256(packet).hexdigest()[:32]
        return f"{packet[:HEAD_BYTES].hex()}:{len(packet)}:{digest}"


class Traced(Device):
    """A device that writes down all that it does.

    Args:
        config: as for `Device`.
        random_bytes: as for `Device`.
        trace: takes the steps.
    """

    def __init__(self, config: DeviceConfig, random_bytes: Callable[[int], bytes], trace: Trace) -> None:
        self._trace = trace
        self._handed = b""

        def handed(count: int) -> bytes:
            made = random_bytes(count)
            self._handed += made
            return made

        super().__init__(config, handed)
        trace.begin(config)

    def step(self, event: ev.Event, now_ns: int) -> list[ev.Effect]:
        effects = super().step(event, now_ns)
        self._told(told_event(event), effects_told(effects, self._trace.packet), now_ns)
        return effects

    def capture(self, stream: int, kind: int, samples: bytes, count: int, now_ns: int) -> list[ev.Effect]:
        assert not samples.strip(samples[:1]), (
            "samples of one byte value: so much of a trace they are not worth"
        )
        event = {"do": "capture", "stream": stream, "kind": kind, "count": count}
        event |= {"fill": samples[0] if samples else 0, "size": len(samples)}
        try:
            effects = super().capture(stream, kind, samples, count, now_ns)
        except LocalError as error:
            self._told(event, [f"fault {error.code}"], now_ns)
            raise
        self._told(event, effects_told(effects, self._trace.packet), now_ns)
        return effects

    def _told(self, event: dict[str, Any], out: list[str], now_ns: int) -> None:
        self._trace.step(self, event, self._handed, out, now_ns)
        self._handed = b""


def told_event(event: ev.Event) -> dict[str, Any]:
    """An event as a trace has it."""
    match event:
        case ev.Received(packet):
            return {"do": "received", "packet": packet.hex()}
        case ev.Pause(reason) | ev.Stop(reason):
            return {"do": "cease", "reason": reason}
        case ev.Restored(kept):
            card = kept.card
            down = card.down.k_enc + card.down.k_mac + card.down.iv4
            rows = [[str(p.seq), p.samples, p.size, p.tag.hex(), p.final] for p in kept.packets]
            return {
                "do": "restore",
                "link": card.link,
                "run": str(card.run),
                "session": card.session.hex(),
                "gateway": card.gateway,
                "up_mac": card.up_mac.hex(),
                "down": down.hex(),
                "packets": rows,
            }
        case ev.SpoolLost(link, seq):
            return {"do": "spool_lost", "link": link, "seq": str(seq)}
        case ev.Start() | ev.Resume():
            return {"do": "start"}
        case ev.Tick():
            return {"do": "tick"}
    raise AssertionError(f"{event} is not for traces")


def effects_told(effects: list[ev.Effect], packet: Callable[[bytes], str]) -> list[str]:
    """Effects as lines of text, in their order."""
    out = []
    for effect in effects:
        match effect:
            case ev.Send():
                out.append(f"{'hello' if effect.hello else 'send'} {packet(effect.packet)}")
            case ev.Persist(hello_seq):
                out.append(f"seq {hello_seq}")
            case ev.PersistKey(key):
                out.append(f"key {key.hex()}")
            case ev.Changed(visible, reason, behind_s):
                out.append(f"show {visible}|{reason}|{behind_s}")
            case ev.Commanded(verb, args):
                out.append(" ".join([f"do {verb}", *map(told_argument, args)]))
            case ev.Keep(card, seq, samples, kept):
                head = hashlib.sha256(encode_header(card)).hexdigest()[:16]
                out.append(f"keep {card.link} {seq} {samples} {head} {packet(kept)}")
            case ev.SendKept(link, seq):
                out.append(f"kept {link} {seq}")
            case ev.Settled(link, first, last):
                out.append(f"settled {link} {first} {last}")
            case ev.Dropped(link):
                out.append(f"dropped {link}")
            case ev.Stored() | ev.RefusedPackets() | ev.RefusedFrame():
                pass
    return out


def told_argument(value: int | float | str) -> str:
    """An argument of a command: floats by their bits, so that no language's way of writing them matters."""
    if isinstance(value, float):
        return f"f:{struct.pack('>d', value).hex()}"
    return f"i:{value}" if isinstance(value, int) else f"s:{value.encode().hex()}"


def state(device: Device) -> str:
    """When a Tick is wanted, whether it is idle, the current link, links, packets held, samples not sealed."""
    wake = "never" if device.wake_at is None else str(device.wake_at)
    current = device.current.number if device.current else 0
    unsealed = device.status()["unsealed"]
    idle = "idle" if device.idle else "busy"
    return f"wake {wake} {idle} link {current} of {len(device.links)} holds {device.links.held_packets}+{unsealed}"


def counters(device: Device) -> str:
    """Every counter that is not 0, by name, in the order of the names."""
    links = device.links
    found = {
        "held_bytes": links.held_bytes,
        "kept_bytes": links.kept_bytes,
        "kept_packets": links.kept_packets,
        "clock.offset": device.clock.offset_ns if device.clock else 0,
        "clock.uncertainty": device.clock.uncertainty_ns if device.clock else 0,
    }
    found |= {f"total.{stream}": count for stream, count in device.totals().items()}
    for prefix, account in (("", device.account), ("earlier.", device.earlier)):
        found |= {
            f"{prefix}captured": account.captured,
            f"{prefix}stored": account.stored,
            f"{prefix}unrecorded": account.unrecorded,
            f"{prefix}sent": account.sent,
            f"{prefix}resent": account.resent,
        }
        for name in ("refused", "lost", "withheld", "ignored"):
            found |= {f"{prefix}{name}.{word}": count for word, count in getattr(account, name).items()}
    return " ".join(f"{name}={found[name]}" for name in sorted(found) if found[name])


def write(path: Path, trace: Trace) -> None:
    """A trace as a file."""
    path.write_text("".join(f"{line}\n" for line in trace.lines))


def main() -> None:
    """Print the trace of one seed."""
    from engines.storm import make

    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 3_000
    trace = Trace(full_steps=1 << 30)
    make(int(sys.argv[1]), steps, trace)
    print("\n".join(trace.lines))


if __name__ == "__main__":
    main()
