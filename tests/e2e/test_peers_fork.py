"""A log that contradicts itself, among real gateways: the proof of it reaches everybody, outlives restarts, and
convinces outsiders; the accused stops signing."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from e2e.circle import Circle
from e2e.daemon import Gateway
from e2e.test_peers import vestibule

from gateway.errors import EXIT_REFUSED, EXIT_VERIFY
from gateway.store.keyfiles import load_keys
from gateway.tlog.checkpoint import Checkpoint, sign_checkpoint
from gateway.tlog.witness import AddCheckpoint

pytestmark = pytest.mark.slow


def submit(gateway: Gateway, request: AddCheckpoint) -> int:
    """Ask a gateway's witness, as any log would; returns the status."""
    url = f"http://127.0.0.1:{gateway.http_port}/add-checkpoint"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, request.encode(), method="POST")) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code


def forged(thief: Gateway, size: int) -> bytes:
    """A head of a gateway's log with another history, signed with its own key: what a thief or a clone would sign."""
    keys = load_keys(thief.layout)
    return sign_checkpoint(Checkpoint(keys.origin, size, b"\x5a" * 32), keys.origin, keys.log)


def test_evidence_reaches_all_freezes_for_ever_and_stops_the_accused(tmp_path: Path) -> None:
    with Circle(tmp_path, 4) as circle:
        circle.start()
        one, two, three, four = circle.gateways.values()
        circle.work(four, 2)
        circle.until_level()
        size = circle.heads(one)[four.origin]
        assert submit(one, AddCheckpoint(size, (), forged(four, size))) == 422

        honest = (one, two, three)
        circle.until(
            lambda: all(g.call("peer.evidence")["evidence"] for g in honest), "evidence at all honest peers"
        )
        circle.until(
            lambda: four.process is not None and four.process.poll() is not None, "the accused stops"
        )
        assert four.process is not None
        assert four.process.returncode == EXIT_REFUSED
        for gateway in honest:
            row = next(r for r in gateway.call("peer.list")["peers"] if r["origin"] == four.origin)
            assert row["frozen"]

        # Frozen across a restart, and nothing of it is cosigned; the others go on.
        two.stop()
        two.restart()
        assert next(r for r in two.call("peer.list")["peers"] if r["origin"] == four.origin)["frozen"]
        assert submit(two, AddCheckpoint(size, (), forged(four, size))) == 403
        circle.work(one, 1)
        grown = one.call("status")["log"]["size"]
        circle.until(
            lambda: one.call("status")["peers"]["confirmed"]["size"] >= grown, "confirmed by three of four"
        )

        # A person is told, and can take the proof anywhere.
        said = vestibule("peer", "evidence", data_dir=two.layout.data_dir)
        assert four.origin in said
        shown = json.loads(vestibule("peer", "evidence", "--json", data_dir=two.layout.data_dir))
        (row,) = shown["evidence"]
        proof = tmp_path / "evidence.json"
        vestibule("peer", "evidence", row["id"], "--out", proof, data_dir=two.layout.data_dir)
        keys = json.loads(vestibule("key", "show", "--json", data_dir=four.layout.data_dir))
        vestibule("peer", "evidence", "--check", proof, "--vkey", keys["log"])
        other = json.loads(vestibule("key", "show", "--json", data_dir=one.layout.data_dir))
        vestibule("peer", "evidence", "--check", proof, "--vkey", other["log"], code=EXIT_VERIFY)

        # The accused does not start again, and says why.
        vestibule("run", code=EXIT_REFUSED, data_dir=four.layout.data_dir)
