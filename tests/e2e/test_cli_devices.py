"""Devices at a real daemon, by the commands that people type: keys, commands, revocation, withdrawal, wrong keys."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from e2e.daemon import Gateway

from gateway.app import keyfile
from gateway.app.cli.main import root
from gateway.app.rig import Rig, Together
from gateway.device.pairing import pair_packet
from gateway.errors import EXIT_UNREACHABLE, EXIT_USAGE
from gateway.wire import kinds

LOOK_S = 0.01


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("d") / "s", seal_ms=100) as running:
        yield running


def typed(gateway: Gateway, *args: str | Path | int) -> Result:
    return CliRunner().invoke(root, ["--data-dir", str(gateway.layout.data_dir), *map(str, args)])


async def types(gateway: Gateway, *args: str | Path | int) -> Result:
    return await asyncio.to_thread(typed, gateway, *args)


async def until(holds: Callable[[], object], within_s: float, what: str) -> float:
    """Wait for a condition; returns the seconds it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < within_s, f"not in {within_s} s: {what}"
        await asyncio.sleep(LOOK_S)
    return time.monotonic() - began


def pulses(rig: Rig, count: int) -> None:
    """Capture haptic samples now."""
    samples = np.zeros(count, kinds.HAPTIC_DTYPE)
    samples["t_capture_ns"] = rig.clock_ns()
    rig.driver.capture(0, kinds.HAPTIC, samples.tobytes(), count)


@asynccontextmanager
async def headset(gateway: Gateway, folder: Path, name: str, *, session: bool = True) -> AsyncIterator[Rig]:
    """A device with a key file of its own, in a session of its own, recording."""
    path = folder / f"{name}.json"
    made = await types(gateway, "device", "add", name, "--out", path)
    assert made.exit_code == 0, made.stderr
    key = keyfile.read(path)
    rig = Rig(key, keyfile.Kept(path, key), gateway.way)
    if session:
        gateway.open_session([key.device], ["haptic"])
    async with Together([rig.driver]):
        if session:
            await rig.begin(10)
            pulses(rig, 5)
        else:
            rig.driver.start()
            await until(lambda: rig.device.status()["state"] == "waiting", 5, "it waits")
        yield rig


# ---- key files and rotation -------------------------------------------------------------------------------------


async def test_a_headset_takes_its_new_key_over_its_link(gateway: Gateway, tmp_path: Path) -> None:
    async with headset(gateway, tmp_path, "rotates") as rig:
        path = tmp_path / "rotates.json"
        before = json.loads(path.read_text())
        assert (before["host"], before["port"]) == ("127.0.0.1", gateway.udp_port)
        path.write_text(json.dumps({**before, "hello_seq": rig.key.hello_seq, "note": "room 2"}))
        rotated = await types(gateway, "device", "rotate", "rotates", "--wait")
        assert rotated.exit_code == 0, rotated.stderr
        assert rotated.stdout == f"Device {rig.key.device} uses its new key.\n"
        after = json.loads(path.read_text())
        assert after["key"] != before["key"]
        assert after["key"] not in rotated.output
        pulses(rig, 5)
        await until(lambda: not rig.device.links.held_packets, 5, "what it sends under the new key is stored")
        row = next(row for row in gateway.call("device.list")["devices"] if row["name"] == "rotates")
        assert not row["rotating"]


async def test_without_a_link_it_waits_for_the_headset_and_is_the_same_key_again(
    gateway: Gateway, tmp_path: Path
) -> None:
    made = await types(gateway, "device", "add", "away", "--out", tmp_path / "old.json")
    assert made.exit_code == 0
    told = await types(gateway, "device", "rotate", "away")
    assert (told.exit_code, told.stdout) == (0, "")
    assert "takes it over its link, the next time it is heard" in told.stderr
    assert not [word for word in told.output.split() if len(word) == 64], "no secret"
    first = await types(gateway, "device", "rotate", "away", "--out", tmp_path / "first.json")
    assert first.exit_code == 0, first.stderr
    assert "pending already" in first.stderr
    again = json.loads((await types(gateway, "device", "rotate", "away", "--show", "--json")).stdout)
    assert again["key"] == keyfile.read(tmp_path / "first.json").key
    assert again["port"] == gateway.udp_port
    endless = await types(gateway, "device", "rotate", "away", "--show", "--wait", "--json")
    assert (endless.exit_code, "leave one out" in endless.stderr) == (EXIT_USAGE, True)
    refused = await types(gateway, "device", "rotate", "away", "--anew")
    assert refused.exit_code == EXIT_USAGE
    assert "--yes" in refused.stderr
    anew = json.loads(
        (await types(gateway, "device", "rotate", "away", "--anew", "--yes", "--show", "--json")).stdout
    )
    assert (anew["key"] != again["key"], again["by_file"], anew["by_file"]) == (True, False, True)
    # The headset comes with its old file, and is told.
    path = tmp_path / "old.json"
    key = keyfile.read(path)
    rig = Rig(key, keyfile.Kept(path, key), gateway.way)
    async with Together([rig.driver]):
        rig.driver.start()
        await until(lambda: rig.device.status()["state"] == "waiting", 5, "it waits")
        await until(lambda: heard(gateway, key.device), 5, "it was heard")
        assert keyfile.read(path).key == key.key, "no link carries a key that was given out in a file"
        asked = await types(gateway, "device", "rotate", "away", "--wait")
        assert (asked.exit_code, "--yes" in asked.stderr) == (EXIT_USAGE, True), "nor by an oversight"
        assert keyfile.read(path).key == key.key
        waited = await types(gateway, "device", "rotate", "away", "--wait", "--yes")
        assert waited.exit_code == 0, waited.stderr
    assert keyfile.read(path).key == anew["key"]


def heard(gateway: Gateway, device: int) -> bool:
    """Whether a link of a device has carried a packet, the moment at which it would be told what it missed."""
    rows = gateway.call("device.list")["devices"]
    return any(link["established"] for row in rows if row["device"] == device for link in row["links"])


# ---- what people ask for ----------------------------------------------------------------------------------------


async def test_a_headset_does_what_it_is_asked_and_says_so(gateway: Gateway, tmp_path: Path) -> None:
    async with headset(gateway, tmp_path, "asked") as rig:
        number = rig.key.device
        for args, said in (
            (["haptic", "asked", "--target", "left", "--amplitude", "0.5", "--ms", "20"], "played it"),
            (["text", "asked", "Look ahead."], "showed it"),
            (["marker", "asked", "17", "second exercise"], "recorded it"),
            (["marker", "asked", "18"], "recorded it"),
        ):
            done = await types(gateway, "device", *args)
            assert done.exit_code == 0, done.stderr
            assert done.stdout.startswith(f"Device {number} {said} (")
        refused = await types(
            gateway, "device", "haptic", "asked", "--target", "200", "--amplitude", "1", "--ms", "1"
        )
        assert refused.exit_code == EXIT_USAGE
        assert f"device {number} refused it" in refused.stderr
        told = await types(
            gateway, "device", "haptic", "asked", "--target", "200", "--amplitude", "1", "--ms", "1", "--json"
        )
        assert (told.exit_code, json.loads(told.stdout)["result"]) == (EXIT_USAGE, "refused")
        for args, said in (
            (["haptic", "asked", "--target", "left", "--amplitude", "2", "--ms", "20"], "amplitude is 2.0"),
            (
                ["haptic", "asked", "--target", "nose", "--amplitude", "1", "--ms", "20"],
                "neither left, right",
            ),
            (["text", "asked", "see http://a.example"], "markup or a link"),
            (["text", "asked", "x" * 513], "513 bytes"),
            (["marker", "asked", "65536"], "code is 65536"),
        ):
            wrong = await types(gateway, "device", *args)
            assert wrong.exit_code == EXIT_USAGE
            assert said in wrong.stderr


async def test_who_cannot_answer_is_told_as_that(gateway: Gateway, tmp_path: Path) -> None:
    async with headset(gateway, tmp_path, "waits", session=False):
        refused = await types(gateway, "device", "text", "waits", "hello")
        assert refused.exit_code == EXIT_USAGE
        assert "is in no open session" in refused.stderr
    async with headset(gateway, tmp_path, "silent") as rig:
        assert await rig.driver.stop(5)
        gone = await types(gateway, "device", "text", "silent", "hello")
        assert gone.exit_code == EXIT_USAGE
        assert "does not record" in gone.stderr
    async with headset(gateway, tmp_path, "crashed") as rig:
        pass  # its socket is gone, without a word
    silent = await types(gateway, "device", "text", "crashed", "hello", "--timeout", "1")
    assert silent.exit_code == EXIT_UNREACHABLE
    assert f"no answer from device {rig.key.device} in 1 s" in silent.stderr


# ---- revoking and withdrawing -----------------------------------------------------------------------------------


async def test_a_revocation_takes_effect_within_a_second(gateway: Gateway, tmp_path: Path) -> None:
    async with headset(gateway, tmp_path, "lost") as rig:
        session = gateway.call("session.list")["sessions"][-1]["session"]
        sending = asyncio.create_task(keep_sending(rig))
        await until(lambda: rig.device.status()["stored"], 5, "something is stored")
        revoked = await types(gateway, "device", "revoke", "lost", "--yes")
        answered_ns = rig.clock_ns()
        assert revoked.exit_code == 0, revoked.stderr
        await until(lambda: rig.device.status()["state"] == "not_recording", 1, "it stops")
        links = next(row for row in gateway.call("device.list")["devices"] if row["name"] == "lost")["links"]
        assert {link["state"] for link in links} == {"revoked"}
        await until(lambda: rig.device.status()["reason"] == "revoked", 8, "its HELLO is refused")
        sending.cancel()
    gateway.close_session(session, now=True)
    gateway.until(lambda: gateway.session_row(session)["state"] == "closed", "it closes")
    times = capture_times(gateway, session)
    assert len(times) > 5
    assert max(times) <= answered_ns


async def test_from_a_withdrawal_on_nothing_is_stored(gateway: Gateway, tmp_path: Path) -> None:
    async with headset(gateway, tmp_path, "unwilling") as rig:
        session = gateway.call("session.list")["sessions"][-1]["session"]
        sending = asyncio.create_task(keep_sending(rig))
        await until(lambda: rig.device.status()["stored"], 5, "something is stored")
        asked = await types(gateway, "session", "close", session, "--withdrawn")
        assert (asked.exit_code, "--yes" in asked.stderr) == (EXIT_USAGE, True), (
            "nobody was there to be asked"
        )
        both = await types(gateway, "session", "close", session, "--withdrawn", "--now")
        assert both.exit_code == EXIT_USAGE
        done = await types(gateway, "session", "close", session, "--withdrawn", "--yes")
        answered_ns = rig.clock_ns()
        assert (done.exit_code, done.stdout) == (0, f"{session}: withdrawn\n"), done.stderr
        await until(lambda: rig.device.status()["reason"] == "withdrawn", 1, "the person sees it")
        sending.cancel()
        gateway.until(lambda: gateway.session_row(session)["state"] == "withdrawn", "it waits for nobody")
    times = capture_times(gateway, session)
    assert len(times) > 5
    assert max(times) <= answered_ns
    assert "session_withdrawn" in gateway.log()


async def keep_sending(rig: Rig) -> None:
    """Record whatever is permitted, a sample every few milliseconds, until it is cancelled."""
    while True:
        pulses(rig, 1)
        await asyncio.sleep(0.005)


def capture_times(gateway: Gateway, session: str) -> list[int]:
    return [
        int(time)
        for frame in gateway.frames(session)
        if frame.kind == kinds.HAPTIC
        for time in np.frombuffer(frame.samples, kinds.HAPTIC_DTYPE)["t_capture_ns"]
    ]


# ---- wrong keys -------------------------------------------------------------------------------------------------


async def test_a_device_with_a_wrong_key_is_named_with_what_to_do(gateway: Gateway, tmp_path: Path) -> None:
    made = await types(gateway, "device", "add", "mistaken", "--out", tmp_path / "k.json")
    assert made.exit_code == 0
    key = keyfile.read(tmp_path / "k.json")
    wrong = keyfile.DeviceKey(key.device, os.urandom(32).hex(), key.home)
    rig = Rig(wrong, keyfile.unkept, gateway.way)

    def named() -> bool:
        row = next(row for row in gateway.call("device.list")["devices"] if row["device"] == key.device)
        return bool(row["bad_tags"] and row["bad_tags"][0]["count"] >= 2)

    async with Together([rig.driver]):
        rig.driver.start()
        await until(named, 5, "its HELLOs are counted")
        for shown in (
            (await types(gateway, "status")).stdout,
            (await types(gateway, "device", "list")).stderr,
        ):
            assert f"Device {key.device} (mistaken): " in shown
            assert "HELLOs under a wrong key (first " in shown
            assert "its app has an older key, or that of another gateway" in shown
            assert (
                f"`vestibule --data-dir {gateway.layout.data_dir} pair`" in shown
                or "`vestibule pair`" in shown
            )
    right = Rig(key, keyfile.Kept(tmp_path / "k.json", key), gateway.way)
    async with Together([right.driver]):
        right.driver.start()
        await until(lambda: right.device.status()["state"] == "waiting", 5, "its own key is good")
    assert "(mistaken)" not in (await types(gateway, "device", "list")).stderr, "that is mended"


async def test_packets_altered_on_a_link_name_its_device(gateway: Gateway, tmp_path: Path) -> None:
    async with headset(gateway, tmp_path, "altered") as rig:
        link = rig.device.current
        assert link is not None
        forged = bytearray(link.probe(rig.clock_ns()))
        forged[-1] ^= 1
        send_raw(gateway, bytes(forged), 3)
        said = f"Device {rig.key.device} (altered): 3 packets on its links not authentic"
        await until(lambda: said in typed(gateway, "status").stdout, 5, "the device is named")


async def test_a_wrong_code_is_counted_without_a_name(gateway: Gateway) -> None:
    packet = pair_packet("A" * 26, os.urandom(16), "newcomer", time.monotonic_ns())
    send_raw(gateway, packet, 1)
    await until(lambda: gateway.call("status")["bad_codes"], 5, "it is counted")
    shown = typed(gateway, "status").stdout
    assert "1 pairing tried under a wrong code" in shown
    assert "newcomer" not in shown


def send_raw(gateway: Gateway, packet: bytes, times: int) -> None:
    """Be somebody who sends bytes from an address of their own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for _ in range(times):
            stranger.sendto(packet, ("127.0.0.1", gateway.udp_port))
