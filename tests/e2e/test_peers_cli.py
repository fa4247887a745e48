"""A federation as people make one: by the commands, with cards as files; and a proof that is held to a quorum."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from e2e.circle import Circle
from e2e.test_peers import vestibule

pytestmark = pytest.mark.slow


def test_three_clinics_join_by_cards_and_a_proof_carries_their_quorum(tmp_path: Path) -> None:
    with Circle(tmp_path, 3) as circle:
        circle.start(join=False)
        one, two, three = circle.gateways.values()
        dirs = {gateway.name: gateway.layout.data_dir for gateway in circle.gateways.values()}
        key = tmp_path / "roster.key"
        shown = json.loads(vestibule("peer", "roster-key", "--out", key, "--json"))
        assert shown["vkey"].startswith("roster+")
        assert key.stat().st_mode & 0o077 == 0

        # Before anything: what is missing is said, with the next step.
        vestibule("peer", "list", data_dir=dirs["rig-1"])
        vestibule("peer", "init", "--roster-key", key, "--yes", data_dir=dirs["rig-1"])
        first = tmp_path / "first.card"
        vestibule("peer", "invite", "--out", first, data_dir=dirs["rig-1"])
        for gateway in (two, three):
            card = tmp_path / f"{gateway.name}.card"
            vestibule("peer", "accept", first, "--yes", data_dir=dirs[gateway.name])
            vestibule("peer", "invite", "--out", card, data_dir=dirs[gateway.name])
            before = one.call("peer.roster")["version"]
            vestibule("peer", "add", card, "--roster-key", key, "--dry-run", data_dir=dirs["rig-1"])
            assert one.call("peer.roster")["version"] == before, "a dry run changes nothing"
            vestibule("peer", "add", card, "--roster-key", key, "--yes", data_dir=dirs["rig-1"])
        circle.until_all_know(3)
        circle.until_all_cosign()
        circle.work(one, 1)
        circle.until_level()

        peers = json.loads(vestibule("peer", "list", "--json", data_dir=dirs["rig-2"]))
        assert {row["name"]: row["state"] for row in peers["peers"]} == {
            "rig-1": "alive",
            "rig-2": "us",
            "rig-3": "alive",
        }
        assert peers["roster"]["quorum"] == 2
        assert one.call("status")["peers"]["down"] is False
        compared = json.loads(vestibule("peer", "compare", "--json", data_dir=dirs["rig-3"]))
        assert all(peer["agrees"] for row in compared["logs"] for peer in row["peers"]), compared
        circle.work(one, 1)
        growing = json.loads(vestibule("peer", "compare", "--json", data_dir=dirs["rig-3"]))
        said = {(peer["agrees"], peer["why"]) for row in growing["logs"] for peer in row["peers"]}
        assert said <= {(True, ""), (None, "ahead")}, growing

        # A proof of a batch, held to the quorum by somebody who has only the policy and the key.
        policy, proof = tmp_path / "policy", tmp_path / "proof.json"
        vestibule("peer", "roster", "--policy", "--out", policy, data_dir=dirs["rig-1"])
        vestibule("simulate", "--seconds", "1", "--kinds", "pose", data_dir=dirs["rig-1"])
        size = one.call("status")["log"]["size"]
        circle.until(lambda: one.call("status")["peers"]["confirmed"]["size"] >= size, "confirmed")
        batches = json.loads(vestibule("ledger", "batches", "--last", "1", "--json", data_dir=dirs["rig-1"]))
        assert [row["state"] for row in batches["batches"]] == ["confirmed"]
        vestibule("prove", "--batch", "1", "--out", proof, data_dir=dirs["rig-1"])
        keys = json.loads(vestibule("key", "show", "--json", data_dir=dirs["rig-1"]))
        verify = ("verify", "--proof", proof, "--vkey", keys["log"], "--policy", policy)
        vestibule(*verify)
        # Without two of the three witnesses' lines it is held to be unconfirmed.
        document = json.loads(proof.read_text())
        lines = document["tlog_proof"].split("\n")
        bare = [line for line in lines if not (line.startswith("\u2014") and "/witness " in line)]
        document["tlog_proof"] = "\n".join(bare)
        proof.write_text(
            json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
        )
        refused = vestibule(*verify, code=65)
        assert "too few of the policy" in refused
        vestibule(*verify[:-2])
