"""Real gateways as peers: joined by cards, levelled by gossip, cut apart and healed, killed; everything checked by
`fsck` and by an outsider's `audit` at the end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from e2e.circle import Circle
from e2e.daemon import Gateway
from paths import ROOT

pytestmark = pytest.mark.slow


def vestibule(*args: str | Path, code: int = 0, data_dir: Path | None = None) -> str:
    """Run the command as a person would; returns what it printed, or what it said where it failed."""
    where = ["--data-dir", str(data_dir)] if data_dir else []
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *where, *map(str, args)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == code, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout if code == 0 else done.stderr


def check_all(circle: Circle, folder: Path) -> None:
    """Every gateway's own check and an outsider's, over HTTP and at every mirror."""
    policy = folder / "policy"
    policy.write_text(circle.running()[0].call("peer.roster")["policy"])
    for gateway in circle.running():
        keys = json.loads(vestibule("key", "show", "--json", data_dir=gateway.layout.data_dir))
        url = f"http://127.0.0.1:{gateway.http_port}"
        state = folder / f"audit-{gateway.name}"
        audit = ("audit", url, "--vkey", keys["log"], "--state", state, "--policy", policy, "--json")
        report = json.loads(vestibule(*audit))
        assert report["head"]["size"] > 0, report
    for gateway in list(circle.running()):
        assert gateway.stop() == 0
        vestibule("fsck", data_dir=gateway.layout.data_dir)


def confirmed(gateway: Gateway) -> int:
    return int(gateway.call("status")["peers"]["confirmed"]["size"])


def test_five_gateways_level_confirm_part_heal_and_survive_kills(tmp_path: Path) -> None:
    with Circle(tmp_path, 5) as circle:
        circle.start()
        one, two, *_ = circle.gateways.values()

        circle.work(one, 3)
        circle.until_level()
        size = one.call("status")["log"]["size"]
        circle.until(lambda: confirmed(one) >= size, "the log of rig-1 is confirmed")

        # Two halves: both go on recording, neither is confirmed; three cannot make a quorum of four.
        names = list(circle.gateways)
        circle.switch.part(names[:2], names[2:])
        circle.work(one, 2)
        circle.work(two, 2)
        cut = one.call("status")["log"]["size"]
        circle.until(lambda: circle.heads(two)[one.origin] >= cut, "rig-2 hears rig-1")
        circle.until(lambda: one.call("status")["peers"]["alive"] == 1 and confirmed(one) < cut, "cut in two")
        circle.switch.heal()
        circle.until_level(30)
        circle.until(lambda: confirmed(one) >= cut, "confirmed after the heal", 30)

        # Killed while others record: comes back, goes on, catches up.
        two.kill9()
        circle.work(one, 2)
        two.restart()
        circle.work(two, 1)
        circle.until_level(30)

        rows = one.call("peer.compare")["logs"]
        assert len(rows) == 5
        assert all(peer["agrees"] for row in rows for peer in row["peers"]), rows
        assert not one.call("peer.evidence")["evidence"]
        check_all(circle, tmp_path)


def test_a_removed_gateway_gets_no_answer_and_the_others_go_on(tmp_path: Path) -> None:
    with Circle(tmp_path, 3, faulty=0) as circle:
        circle.start()
        circle.until_level()
        one, _, three = circle.gateways.values()
        from e2e.circle import without

        circle.publish(without(circle.roster(), "rig-3", 1))
        circle.until(
            lambda: all(g.call("peer.roster")["version"] == 4 for g in list(circle.gateways.values())[:2]),
            "the new roster",
        )
        circle.work(one, 1)
        size = one.call("status")["log"]["size"]
        circle.until(lambda: circle.heads(circle.gateways["rig-2"])[one.origin] >= size, "rig-2 follows")
        circle.until(
            lambda: three.call("peer.list")["peers"][1]["refused"].get("peer_status", 0) > 0,
            "rig-3 is refused",
        )
        circle.until(lambda: three.call("status")["peers"]["removed_in"] == 4, "rig-3 knows why")
        assert circle.heads(three).get(one.origin, 0) < size
        assert three.origin not in circle.heads(one)
