"""Five gateways for two minutes: lines cut and healed, processes killed, everybody recording, by chance from a seed."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
from e2e.circle import Circle
from e2e.test_peers import check_all, confirmed

SECONDS = float(os.environ.get("VESTIBULE_TORTURE_SECONDS", "120"))


@pytest.mark.torture
def test_whatever_happens_for_two_minutes_all_are_level_and_clean_afterwards(tmp_path: Path) -> None:
    seed = int(os.environ.get("VESTIBULE_SEED", str(time.time_ns() % 1_000_000)))
    print(f"VESTIBULE_SEED={seed}")
    rng = random.Random(seed)
    with Circle(tmp_path, 5) as circle:
        circle.start()
        names = list(circle.gateways)
        until = time.monotonic() + SECONDS
        counts = dict.fromkeys(("work", "cut", "part", "heal", "kill", "stop"), 0)
        while time.monotonic() < until:
            act = rng.choices(tuple(counts), weights=(10, 3, 1, 3, 2, 1))[0]
            counts[act] += 1
            match act:
                case "work":
                    if running := circle.running():
                        circle.work(rng.choice(running), rng.randint(1, 3))
                case "cut":
                    circle.switch.cut(*rng.sample(names, 2))
                case "part":
                    some = rng.sample(names, 2)
                    circle.switch.part(some, [name for name in names if name not in some])
                case "heal":
                    circle.switch.heal()
                case "kill" | "stop":
                    gateway = circle.gateways[rng.choice(names)]
                    if gateway in circle.running():
                        gateway.kill9() if act == "kill" else gateway.stop()
                        gateway.restart()
        print(counts)
        circle.switch.heal()
        sizes = {gateway: gateway.call("status")["log"]["size"] for gateway in circle.running()}
        assert len(sizes) == 5
        circle.until_level(20)
        for gateway, size in sizes.items():
            circle.until(lambda g=gateway, n=size: confirmed(g) >= n, f"{gateway.name} is confirmed", 20)
            assert not gateway.call("peer.evidence")["evidence"], f"seed {seed}"
        check_all(circle, tmp_path)
