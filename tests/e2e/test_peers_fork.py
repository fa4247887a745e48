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

from gateway.errors import EXIT_REFUSED, EXIT_USAGE, EXIT_VERIFY
from gateway.keys.sign import SigningKey
from gateway.store.keyfiles import load_keys
from gateway.tlog.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from gateway.tlog.fork import Fork
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

        # The accused does not start again, and says why; its operator sees what it is accused of all the same.
        vestibule("run", code=EXIT_REFUSED, data_dir=four.layout.data_dir)
        shown = json.loads(vestibule("peer", "evidence", "--json", data_dir=four.layout.data_dir))
        assert [row["origin"] for row in shown["evidence"]] == [four.origin]
        assert "What to do" in vestibule("peer", "evidence", four.origin, data_dir=four.layout.data_dir)


def test_what_an_outsider_found_is_taken_in_and_reaches_everybody(tmp_path: Path) -> None:
    with Circle(tmp_path, 3, faulty=0) as circle:
        circle.start()
        one, two, three = circle.gateways.values()
        circle.work(three, 1)
        circle.until_level()
        with urllib.request.urlopen(f"http://127.0.0.1:{three.http_port}/checkpoint") as reply:
            seen = open_checkpoint(note := reply.read(), load_keys(three.layout).log_vkeys[0])
        path, false = tmp_path / "evidence.json", tmp_path / "false.json"
        path.write_bytes(Fork(note, forged(three, seen.size), b"\x5a" * 32, ()).encode())
        false.write_bytes(Fork(note, note, seen.root, ()).encode())

        def frozen(gateway: Gateway) -> list[str]:
            return [row["origin"] for row in gateway.call("peer.list")["peers"] if row["frozen"]]

        at = one.layout.data_dir
        vestibule("peer", "evidence", "--add", false, "--yes", code=EXIT_VERIFY, data_dir=at)
        vestibule("peer", "evidence", "--add", path, "--dry-run", data_dir=at)
        assert "--yes" in vestibule("peer", "evidence", "--add", path, code=EXIT_USAGE, data_dir=at)
        assert not frozen(one)
        told = json.loads(vestibule("peer", "evidence", "--add", path, "--yes", "--json", data_dir=at))
        assert (told["origin"], told["ours"], told["known"], told["added"]) == (
            three.origin,
            False,
            False,
            True,
        )
        assert frozen(one) == [three.origin]
        circle.until(lambda: frozen(two) == [three.origin], "the other knows")
        circle.until(
            lambda: three.process is not None and three.process.poll() == EXIT_REFUSED, "the accused stops"
        )
        again = json.loads(vestibule("peer", "evidence", "--add", path, "--json", data_dir=at))
        assert (again["known"], again["id"]) == (True, told["id"])
        (row,) = json.loads(vestibule("peer", "evidence", "--json", data_dir=at))["evidence"]
        assert row["id"] == told["id"]


def test_evidence_against_a_log_of_no_member_is_refused(tmp_path: Path) -> None:
    with Circle(tmp_path, 2, faulty=0) as circle:
        circle.start()
        key, origin = SigningKey(bytes(32)), "stranger.example/log"
        a, b = (sign_checkpoint(Checkpoint(origin, 3, bytes([n]) * 32), origin, key) for n in (1, 2))
        path = tmp_path / "evidence.json"
        path.write_bytes(Fork(a, b, b"\x02" * 32, ()).encode())
        at = circle.gateways["rig-1"].layout.data_dir
        assert origin in vestibule("peer", "evidence", "--add", path, "--yes", code=EXIT_USAGE, data_dir=at)
