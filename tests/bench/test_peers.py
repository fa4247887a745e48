"""What being a peer costs: CPU and bytes of twenty gateways whose logs all grow each second, and the time to a quorum.

Real daemons on loopback. The load is a session that each opens each second: an entry, and a new head. CPU is user and
system time of the daemons (`/proc`), with peers less without; bytes are what the kernel counts for their sockets
(`ss`), TLS and HTTP included. Figures are for reading; what must hold whatever the machine is that heads were
confirmed.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.app.roster_edit import first_roster
from gateway.core.roster import make_roster
from gateway.tlog.note import VerifierKey
from tests.e2e.circle import ROSTER_KEY, Circle
from tests.e2e.daemon import Gateway

OUT = Path(__file__).parent / "out"
PEERS = int(os.environ.get("VESTIBULE_BENCH_PEERS", "20"))
SECONDS = float(os.environ.get("VESTIBULE_BENCH_PEER_SECONDS", "30"))
HEADS = int(os.environ.get("VESTIBULE_BENCH_HEADS", "200"))
WARM_S = 8.0
LOOK_S = 5.0
PERIOD_MS = 1000
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


@pytest.fixture(scope="module")
def table() -> Iterator[list[str]]:
    rows: list[str] = []
    yield rows
    OUT.mkdir(exist_ok=True)
    (OUT / "peers.md").write_text("\n".join(rows) + "\n")
    print("\n" + "\n".join(rows))


class Load:
    """Opens a session at each gateway each second, so that its log grows by one entry and has a new head.

    Args:
        gateways: of whom.
        seconds: how long it can go on; a device for each session is added before the first.
    """

    def __init__(self, gateways: list[Gateway], seconds: float) -> None:
        self.appended: list[list[float]] = [[] for _ in gateways]
        """Of each gateway, when (UTC) each entry was durable."""
        self._end = threading.Event()
        self._ready = threading.Barrier(len(gateways))
        self._threads = [
            threading.Thread(target=self._work, args=(gateway, number / len(gateways), int(seconds), times))
            for number, (gateway, times) in enumerate(zip(gateways, self.appended, strict=True))
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _work(self, gateway: Gateway, phase_s: float, most: int, times: list[float]) -> None:
        devices = [gateway.add_device(f"device {number}").device for number in range(most)]
        self._ready.wait(60)
        due = time.monotonic() + phase_s
        for device in devices:
            if self._end.wait(max(0.0, due - time.monotonic())):
                return
            gateway.open_session([device], ["pose"])
            times.append(time.time())
            due += 1.0


class Wire:
    """Counts what some processes send and hear over TCP, TLS included and headers of TCP and IP not.

    A connection that ends between two looks is counted up to the earlier one.
    """

    def __init__(self, pids: list[int]) -> None:
        self.sent = dict.fromkeys(pids, 0)
        self.heard = dict.fromkeys(pids, 0)
        self._seen: dict[tuple[str, str], tuple[int, int]] = {}
        self.look()
        self.sent, self.heard = dict.fromkeys(pids, 0), dict.fromkeys(pids, 0)

    def look(self) -> None:
        """Count on."""
        done = subprocess.run(["ss", "-tinOHp"], capture_output=True, text=True, check=True)
        for line in done.stdout.splitlines():
            pid, ends = re.search(r"pid=(\d+)", line), tuple(line.split()[3:5])
            if pid is None or int(pid[1]) not in self.sent:
                continue
            counts = [re.search(rf"\b{name}:(\d+)", line) for name in ("bytes_sent", "bytes_received")]
            sent, heard = (int(count[1]) if count else 0 for count in counts)
            before = self._seen.get(ends, (0, 0))
            self.sent[int(pid[1])] += sent - before[0]
            self.heard[int(pid[1])] += heard - before[1]
            self._seen[ends] = sent, heard


def federate(circle: Circle) -> None:
    """All others at once into the second version of a roster, which `Circle.join` lets in one by one."""
    first, *others = circle.gateways.values()
    keys = [VerifierKey.of(ROSTER_KEY, circle.key.public)]
    alone = first_roster(circle.card(first), keys, 1, 0, bytes(16), 1)
    circle.publish(alone)
    members = [*alone.members, *(circle.card(gateway).member for gateway in others)]
    circle.publish(make_roster(alone.federation, 2, alone.hash(), 2, keys, 1, circle.faulty, members))
    card = first.call("peer.card")["card"]
    for gateway in others:
        gateway.call("peer.accept", card=card)
    circle.until_all_know(2)


def started(folder: Path, count: int, *, peers: bool, level: str) -> Circle:
    """That many gateways, running."""
    circle = Circle(folder, count, period_ms=PERIOD_MS, seal_ms=1000, relayed=False)
    for gateway in circle.gateways.values():
        gateway.config["peers"]["enabled"] = peers
        gateway.config["log"]["level"] = level
    circle.start(join=False)
    if peers:
        federate(circle)
    return circle


@dataclass
class Cost:
    """Of each gateway, in its order."""

    cpu: list[float]
    """Share of a core."""
    sent: list[float]
    """Bytes a second, payload of TCP."""
    heard: list[float]
    entries: list[float]
    """Appended each second."""
    mib: list[float]
    confirmed: list[int]
    """Entries of its log that are confirmed at the end, less those before the load began."""
    lag: list[int]
    """Entries of others that it does not have, all logs together."""


def cost(folder: Path, *, peers: bool) -> Cost:
    """Run the load."""
    with started(folder, PEERS, peers=peers, level="info") as circle:
        gateways = list(circle.gateways.values())
        pids = [gateway.process.pid for gateway in gateways if gateway.process is not None]
        first = [int(gateway.call("status")["log"]["size"]) for gateway in gateways]
        with Load(gateways, 3 * WARM_S + SECONDS) as load:
            time.sleep(2 * WARM_S)
            assert all(load.appended), "a gateway takes no session"
            wire = Wire(pids)
            cpu, count = list(map(cpu_s, pids)), [len(times) for times in load.appended]
            start = time.monotonic()
            while time.monotonic() < start + SECONDS:
                time.sleep(LOOK_S)
                wire.look()
            took = time.monotonic() - start
            cpu = [(cpu_s(pid) - before) / took for pid, before in zip(pids, cpu, strict=True)]
            entries = [(len(times) - n) / took for times, n in zip(load.appended, count, strict=True)]
        rows = [gateway.call("peer.list")["peers"] for gateway in gateways] if peers else []
        confirmed = (
            [int(g.call("status")["peers"]["confirmed"]["size"]) for g in gateways] if peers else first
        )
        return Cost(
            cpu,
            [wire.sent[pid] / took for pid in pids],
            [wire.heard[pid] / took for pid in pids],
            entries,
            list(map(rss_mib, pids)),
            [now - before for now, before in zip(confirmed, first, strict=True)],
            [sum(row["lag_entries"] for row in of) for of in rows],
        )


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Cost:
    return cost(tmp_path_factory.mktemp("alone"), peers=False)


def test_the_same_load_without_peers(alone: Cost) -> None:
    assert min(alone.cpu) > 0


def test_steady_gossip(tmp_path: Path, alone: Cost, table: list[str]) -> None:
    off, on = alone, cost(tmp_path, peers=True)
    net = sorted(100 * (mine - statistics.median(off.cpu)) for mine in on.cpu)
    both = sorted((mine + theirs) / 1000 for mine, theirs in zip(on.sent, on.heard, strict=True))
    table += [
        f"{PEERS} peers, period {PERIOD_MS} ms, {statistics.median(on.entries):.2f} entries a second in each log, "
        f"{SECONDS:.0f} s",
        "",
        "| of one peer | median | least | most |",
        "|---|---|---|---|",
        f"| CPU with peers less without, % of a core | {statistics.median(net):.2f} | {net[0]:.2f} | {net[-1]:.2f} |",
        f"| CPU without peers, % of a core | {100 * statistics.median(off.cpu):.2f} | {100 * min(off.cpu):.2f} "
        f"| {100 * max(off.cpu):.2f} |",
        f"| sent, kB/s | {_row(on.sent, 1000)} |",
        f"| heard, kB/s | {_row(on.heard, 1000)} |",
        f"| both, kB/s | {statistics.median(both):.1f} | {both[0]:.1f} | {both[-1]:.1f} |",
        f"| memory, MiB (without peers {statistics.median(off.mib):.0f}) | {_row(on.mib, 1)} |",
        f"| entries of others not here yet | {_row(on.lag, 1)} |",
        "",
    ]
    assert min(on.confirmed) > 0, on.confirmed


def test_time_to_a_quorum(tmp_path: Path, table: list[str]) -> None:
    with started(tmp_path, 5, peers=True, level="debug") as circle:
        gateways = list(circle.gateways.values())
        circle.until(lambda: all(map(_confirmed, gateways)), "a first head of each is confirmed")
        first = [int(gateway.call("status")["log"]["size"]) for gateway in gateways]
        with Load(gateways, HEADS // 5) as load:
            while min(map(len, load.appended)) < HEADS // 5:
                time.sleep(0.2)
        size = [before + len(times) for before, times in zip(first, load.appended, strict=True)]
        for gateway, to in zip(gateways, size, strict=True):
            circle.until(lambda g=gateway, n=to: _confirmed(g) >= n, f"{to} entries are confirmed", 20)
        waits, entries = [], []
        for gateway, before, times in zip(gateways, first, load.appended, strict=True):
            heads = _heads_confirmed(gateway)
            waits += [row["wait_ms"] for row in heads if row["size"] > before]
            for index, at in enumerate(times, before + 1):
                entries.append(next(_utc(row) for row in heads if row["size"] >= index) - at)
    table += [
        f"5 peers, quorum of 4, period {PERIOD_MS} ms: {len(waits)} heads confirmed, {len(entries)} entries",
        "",
        "| from | p50 | p99 | most |",
        "|---|---|---|---|",
        f"| a head's signature to its quorum, ms | {_percentiles(waits)} |",
        f"| an entry's commit to a quorum on a head with it, ms | {_percentiles([s * 1000 for s in entries])} |",
    ]
    assert len(waits) >= HEADS // 2


def _confirmed(gateway: Gateway) -> int:
    return int(gateway.call("status")["peers"]["confirmed"]["size"])


def _heads_confirmed(gateway: Gateway) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in gateway.log().splitlines() if '"head_confirmed"' in line]
    return sorted(rows, key=lambda row: row["size"])


def _utc(row: dict[str, Any]) -> float:
    return datetime.fromisoformat(row["timestamp"]).timestamp()


def _row(values: list[float] | list[int], per: float) -> str:
    return f"{statistics.median(values) / per:.1f} | {min(values) / per:.1f} | {max(values) / per:.1f}"


def _percentiles(values: list[float]) -> str:
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return f"{statistics.median(ordered):.0f} | {p99:.0f} | {ordered[-1]:.0f}"
