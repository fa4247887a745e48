"""The plugins under attack by the network: strange packets, floods, wrong codes, what people type.

Whatever comes, the app goes on, the recording goes on where it can, and the person is told in words where it cannot.
Beside `tests/vectors`, which hold the machines to single packets, these run whole plugins in their engines.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import time
from pathlib import Path

import pytest
from engines.foe import CODE, SECRET, Foe, Offer, each, loaded, recording, strange, until
from engines.rig import rig

from gateway.wire import control
from gateway.wire import packet as wire

pytestmark = pytest.mark.slow

OTHER_CODE = "ZYXWVUTSRQPONMLKJIHGFEDCBA"
MB = 1 << 20
FLOOD_S = 2.0


# ---- the network ---------------------------------------------------------------------------------------------


@each
def test_packets_that_no_gateway_sends(engine: str, tmp_path: Path) -> None:
    """Half of them carry a tag that verifies. None is obeyed or answered, and nothing of the recording is lost."""
    draw = random.Random(11)
    with Foe() as foe, rig(engine, tmp_path) as running, recording(foe, running):
        with loaded(running, 2.0) as load:
            before = running.rss_bytes
            end = time.monotonic() + 2.0
            while time.monotonic() < end:
                with foe.lock:
                    batch = [strange(foe, draw) for _ in range(60)]
                for packet in batch:
                    foe.send(packet)
                time.sleep(0.02)
        running.ask("stop", reason="end")
        status = running.drained()
        assert load["frames"] > 0
        assert status["captured"] == status["stored"], status
        assert sum(status["ignored"].values()) > 1_000, status
        assert not foe.bad, foe.bad[:3]
        assert len(foe.side.hellos) == 1, "it said HELLO again"
        assert running.rss_bytes - before < 48 * MB
        assert SECRET.hex() not in running.output


def _flood(foe: Foe, packet: bytes, seconds: float, per_s: int) -> None:
    began = time.monotonic()
    sent = 0
    while (passed := time.monotonic() - began) < seconds:
        for _ in range(50):
            foe.send(packet)
        sent += 50
        if sent > per_s * passed:
            time.sleep(0.0005)


@pytest.mark.parametrize(
    "engine", ["godot", *(pytest.param(one, marks=pytest.mark.torture) for one in ("coreclr", "mono"))]
)
def test_a_flood_from_the_gateways_own_address(engine: str, tmp_path: Path) -> None:
    """Who spoofs address and port costs work, and no more: receipts get through, memory and log stay as they are."""
    with Foe() as foe, rig(engine, tmp_path) as running, recording(foe, running):
        with foe.lock:
            forged = bytearray(foe.side.down(foe.link, wire.RECEIPT, b"\x94\x90\x90\x90\x90", seq=5))
        forged[-1] ^= 1
        before = running.rss_bytes
        process = multiprocessing.get_context("fork").Process(
            target=_flood, args=(foe, bytes(forged), FLOOD_S, 50_000)
        )
        with loaded(running, FLOOD_S):
            process.start()
            process.join(30)
        # While it lasts, what was captured a second ago has its receipt.
        during = running.status()
        assert during["held_packets"] < 120, during
        running.ask("stop", reason="end")
        status = running.drained()
        assert status["captured"] == status["stored"], status
        assert status["ignored"]["bad_tag"] > 1_000
        assert len(foe.side.hellos) == 1, "it took the gateway for silent"
        assert running.rss_bytes - before < 48 * MB
        assert len(running.output) < 20_000, running.output[:2_000]


# ---- pairing -------------------------------------------------------------------------------------------------


@each
def test_pressing_pair_again(engine: str, tmp_path: Path) -> None:
    """The code may be spent by then: only the same PAIR is answered, so the one that is under way goes on."""
    with Foe() as foe, rig(engine, tmp_path) as running:
        offer = Offer(foe, loses=2)
        running.make(foe.host, foe.port)
        running.ask("pair", text=CODE, name="x")
        until(lambda: offer.pairs, "PAIR came")
        running.ask("pair", text="abcdef-ghijkl mnopqr-stuvwxyz", name="x")
        running.event("paired", device=7)
        assert set(offer.pairs) == {offer.first}
        running.ask("start")
        assert running.recording()["device"] == 7


@each
def test_a_stranger_between_device_and_gateway(engine: str, tmp_path: Path) -> None:
    """Without the code nobody pairs a device with himself; an old PAIRED, and one under another code, do nothing."""
    with Foe() as foe, rig(engine, tmp_path) as running:
        offer = Offer(foe, loses=10**6)
        running.make(foe.host, foe.port)
        running.ask("pair", text=f"vestibule://{foe.host}:{foe.port}/{CODE}", name="x")
        until(lambda: offer.pairs, "PAIR came")
        nonce = control.decode(control.Pair, bytes(wire.body_of(offer.first))).nonce_d
        good = offer.paired(nonce)
        for packet in (
            offer.paired(b"n" * 16),  # recorded at another pairing
            offer.paired(nonce, code=OTHER_CODE),
            good[:-1] + bytes([good[-1] ^ 1]),
            good[:-1],
            offer.first,  # its own words, sent back
            os.urandom(200),
        ):
            foe.send(packet)
        time.sleep(0.4)  # nothing is to happen: there is nothing to wait for
        assert not [event for event in running.events if event["event"] == "paired"]
        assert not (running.dir / "identity.json").exists()
        assert CODE not in running.output
        foe.send(good)
        running.event("paired", device=7)


TEXTS = (
    "",
    " ",
    "vestibule://",
    "vestibule:///" + CODE,
    "vestibule://:4747/" + CODE,
    "vestibule://h:0/" + CODE,
    "vestibule://h:65536/" + CODE,
    "vestibule://h:-1/" + CODE,
    "vestibule://h:99999999999999999999/" + CODE,
    "vestibule://[::1/" + CODE,
    "vestibule://[fe80::1%nothing]:4747/" + CODE,
    "vestibule://" + "a" * 5_000 + ":4747/" + CODE,
    "vestibule://a b\n\x01c:4747/" + CODE,
    "vestibule://%s%n$(id);'\":4747/" + CODE,
    "vestibule://\u0131\u2024example.invalid:4747/" + CODE,
    "x" * 100_000,
    "ABCDEFGHIJKLMNOPQRSTUVWXY\u0131",
    "\U0001f600" * 26,
)


@each
def test_what_people_type(engine: str, tmp_path: Path) -> None:
    """No text ends the app, or the pairing after it."""
    with Foe() as foe, rig(engine, tmp_path) as running:
        Offer(foe)
        running.make(foe.host, foe.port)
        for text in TEXTS:
            running.ask("pair", text=text, name="x")
            running.status()
        running.ask("pair", text=CODE, name="\x07" * 3)
        running.ask("pair", text=CODE, name="n" * 65)
        running.ask("pair", text=CODE, name="x")
        running.event("paired", device=7)
        told = [event["words"] for event in running.events if event["event"] == "trouble"]
        assert told
        assert max(map(len, told)) < 600, told
        assert CODE not in running.output + json.dumps(told)


@each
def test_pairing_over_ipv6(engine: str, tmp_path: Path) -> None:
    """An address in brackets, as the QR code has it."""
    with Foe("::1") as foe, rig(engine, tmp_path) as running:
        Offer(foe)
        running.make("", 4747)
        running.ask("pair", text=f"vestibule://[::1]:{foe.port}/{CODE}", name="x")
        running.event("paired", device=7)
        running.ask("start")
        running.recording()
        assert json.loads((running.dir / "identity.json").read_text())["host"] == "::1"
