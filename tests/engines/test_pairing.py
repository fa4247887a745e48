"""From a headset that knows nobody to a recording: by a typed code, a scanned one, or a file that staff laid down.

And a key that is changed over the link.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.daemon import Gateway
from engines.rig import ALL, ENGINES
from engines.ward import HOST, Bed, bed, side_by_side

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("pairing") / "s") as made:
        yield made


def records(one: Bed, device: int) -> None:
    """What was paired can record: a session for it, a marker in the vault."""
    one.device = device
    one.session = one.gateway.open_session([device], ["marker"], f"subject-{device}")
    one.rig.ask("start")
    one.rig.recording()
    one.rig.ask("marker", code=7, text="paired")
    one.assert_whole(one.finish())
    assert one.gateway.streams(one.session)[9].numbers == [0]


def identity(one: Bed) -> dict[str, Any]:
    return dict(json.loads((one.rig.dir / "identity.json").read_text()))


def spelled(code: str) -> str:
    """As a person types it: in groups, in small letters."""
    return "-".join(code[at : at + 4] for at in range(0, len(code), 4)).lower().replace("-", " ", 2)


@pytest.mark.parametrize("way", ["code", "uri"])
def test_pair(gateway: Gateway, tmp_path: Path, way: str) -> None:
    def live(engine: str) -> None:
        offer = gateway.call("pair")
        with bed(gateway, engine, tmp_path / engine) as one:
            # Where the code is typed, host and port are known; where it is scanned, they stand in it.
            port = gateway.udp_port if way == "code" else 9
            one.rig.make(HOST, port)
            status = one.rig.status()
            assert (status["state"], status["reason"]) == ("not_recording", "not_paired") or status[
                "reason"
            ] == "not_started"
            text = spelled(offer["code"]) if way == "code" else offer["uri"]
            one.rig.ask("pair", text=text, name=f"{engine} headset")
            device = int(one.rig.event("paired")["device"])
            names = {row["device"]: row["name"] for row in gateway.call("device.list")["devices"]}
            assert names[device] == f"{engine} headset"
            kept = identity(one)
            assert (int(kept["device"]), kept["host"], int(kept["port"])) == (device, HOST, gateway.udp_port)
            records(one, device)
            # The code is spent: whoever comes with it later gets no answer, and is told what that may mean.
            with bed(gateway, engine, tmp_path / f"{engine}-late") as late:
                late.rig.make(HOST, gateway.udp_port)
                late.rig.ask("pair", text=offer["uri"], name="late")
                words = late.rig.event("state", state="not_recording", reason="pair_no_answer")["words"]
                assert engine == "python" or "used" in words
                assert not (late.rig.dir / "identity.json").exists()

    side_by_side(live, ALL)


def test_a_name_that_is_not_found(gateway: Gateway, tmp_path: Path) -> None:
    """That is said, and not that the code may be wrong; a pairing with the right address then goes on as always."""

    def live(engine: str) -> None:
        offer = gateway.call("pair")
        with bed(gateway, engine, tmp_path / engine) as one:
            # Longer than any name may be: the system refuses it without asking a name server.
            nowhere = ".".join(["a" * 60] * 6)
            one.rig.make(HOST, gateway.udp_port)
            one.rig.ask("pair", text=f"vestibule://{nowhere}:{gateway.udp_port}/{offer['code']}", name="x")
            words = one.rig.event("state", reason="pair_no_address", timeout_s=20)["words"]
            assert "name" in words
            assert "code" not in words
            time.sleep(7.0)  # it looks for the name every five seconds
            told = [event for event in one.rig.events if event["event"] == "trouble"]
            assert len(told) == 1, told
            one.rig.ask("pair", text=offer["uri"], name="x")
            records(one, int(one.rig.event("paired")["device"]))

    side_by_side(live, ENGINES)


@pytest.mark.parametrize("what", ["pair", "key"])
def test_watched_file(gateway: Gateway, tmp_path: Path, what: str) -> None:
    def live(engine: str) -> None:
        with bed(gateway, engine, tmp_path / engine) as one:
            offer = gateway.call("pair") if what == "pair" else one.key
            place = {"host": HOST, "port": gateway.udp_port}
            one.rig.make(HOST, 9, watch=True)
            file = one.rig.watch / "vestibule.json"
            file.with_suffix(".half").write_text("{ this is no file of ours")
            file.with_suffix(".half").rename(file)
            gateway.until((one.rig.watch / "vestibule.json.bad").exists, "what cannot be read is put aside")
            file.with_suffix(".half").write_text(json.dumps({**offer, **place}))
            file.with_suffix(".half").rename(file)
            gateway.until(lambda: (one.rig.dir / "identity.json").exists(), "it is taken")
            gateway.until(lambda: not file.exists(), "and removed, since it holds a secret")
            records(one, int(identity(one)["device"]))

    side_by_side(live, ENGINES)


def test_rotate_over_the_link(gateway: Gateway, tmp_path: Path) -> None:
    def live(engine: str) -> None:
        with bed(gateway, engine, tmp_path / engine) as one:
            before = one.begin(("marker",))
            old = identity(one)["key"]
            one.rig.ask("marker", code=1, text="under the old key")
            gateway.call("device.rotate", device=one.device)
            gateway.until(lambda: identity(one)["key"] != old, "the new key is kept")

            def taken() -> bool:
                devices = gateway.call("device.list")["devices"]
                return not next(row for row in devices if row["device"] == one.device)["rotating"]

            gateway.until(taken, "the first HELLO under the new key came")
            counter = before["hello_seq"]
            one.rig.until(lambda status: status["hello_seq"] > counter, "the counter goes on")
            one.rig.recording()
            one.rig.ask("marker", code=2, text="under the new key")
            one.assert_whole(one.finish())
            assert gateway.streams(one.session)[9].numbers == [0, 1]

    side_by_side(live, ALL)
