"""Recordings through the real daemon: what lies in the vault is, float for float, a second reading of each file."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from e2e.daemon import NAME, Gateway, Stored
from independent import tracks_of
from paths import DATA, ROOT
from servers import Mosquitto, shipped_acl

from gateway.app import keyfile
from gateway.app.outcome import Outcome
from gateway.app.replay import Wanted, with_daemon, with_keys
from gateway.app.rig import Way
from gateway.app.transports import Weather
from gateway.errors import LocalError
from gateway.net.mqtt_settings import BrokerSettings
from gateway.sources.recording import read_recording
from gateway.wire import kinds

QUEST = DATA / "pose" / "quest2_touch_90hz.csv.gz"
PICO = DATA / "pose" / "pico_neo3_boxing_head_ctrl_gaze_90hz.tsv"
CLEAN = DATA / "eye" / "TESTNA01_2D_Fist3.csv"
FAULTY = DATA / "eye" / "TESTNA10_360VR_Fist3.csv"
CLIPS = sorted((DATA / "haptic").glob("*/*.haptic"))

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("replay") / "s") as made:
        yield made


def replay(
    gateway: Gateway,
    paths: list[Path],
    *,
    way: Way | None = None,
    devices: int = 1,
    speed: float | None = None,
) -> Outcome:
    recordings = [read_recording(path.name, path.read_bytes()) for path in paths]
    return asyncio.run(
        with_daemon(
            Wanted(recordings, speed),
            gateway.desk,
            way or gateway.way,
            devices,
            "subject-1",
            "replay",
            lambda what, done, total: None,
        )
    )


def assert_same(streams: dict[int, Stored], paths: list[Path]) -> int:
    """Hold what was read back against the second conversion; returns how many samples that were."""
    expected = [track for path in paths for track in tracks_of(path)]
    for number, track in enumerate(expected):
        if not track.records:
            assert number not in streams
            continue
        stored = streams[number]
        assert stored.kind == track.kind
        assert stored.numbers == list(range(len(track.records))), f"{track.name}: each sample once, from 0"
        assert stored.samples == track.raw, f"{track.name}: the bytes of every float"
    return sum(len(track.records) for track in expected)


def records(stored: Stored) -> Any:
    return kinds.view(kinds.KINDS[stored.kind], stored.samples)


def assert_whole(gateway: Gateway, done: Outcome, paths: list[Path]) -> dict[int, Stored]:
    """The sum closes with nothing missing or refused, and the vault holds what the files hold."""
    assert done.closes
    assert (done.missing, done.refused, done.withheld, done.unrecorded) == (0, {}, {}, 0)
    streams = gateway.streams(done.sessions[0])
    samples = assert_same(streams, paths)
    others = sum(len(stored.numbers) for stream, stored in streams.items() if stream >= 65_534)
    assert done.captured == done.stored == samples + others
    return streams


def test_quest(gateway: Gateway) -> None:
    streams = assert_whole(gateway, replay(gateway, [QUEST]), [QUEST])
    times = records(streams[0])["t_capture_ns"]
    assert len(times) == 26_556
    steps = np.diff(times)
    assert int((steps > 1.5 * np.median(steps)).sum()) == 45, "gaps over 1.5 medians, as the notes count them"
    assert 295.15e9 < times[-1] - times[0] < 295.25e9


def test_pico(gateway: Gateway) -> None:
    streams = assert_whole(gateway, replay(gateway, [PICO]), [PICO])
    poses = [records(streams[number]) for number in range(3)]
    assert [len(pose) for pose in poses] == [492, 492, 492]
    repeated = np.ones(491, bool)
    for pose in poses:
        same = (pose["position_m"][1:] == pose["position_m"][:-1]).all(axis=1)
        repeated &= same & (pose["orientation"][1:] == pose["orientation"][:-1]).all(axis=1)
    assert int(repeated.sum()) == 110, "of 491 consecutive rows repeat the same pose"
    for pose in poses:
        assert ((pose["flags"][1:][repeated] & kinds.HELD) != 0).all()


def test_both_vive_recordings_in_one_session(gateway: Gateway) -> None:
    streams = assert_whole(gateway, replay(gateway, [CLEAN, FAULTY]), [CLEAN, FAULTY])
    clean, faulty = records(streams[0]), records(streams[2])
    assert len(clean) + len(faulty) == 3_182
    assert set(np.diff(clean["device_seq"].astype(np.int64)).tolist()) == {1}
    steps = np.diff(faulty["device_seq"].astype(np.int64))
    counts = {step: int((steps == step).sum()) for step in (0, 2, 3)}
    assert counts == {0: 59, 2: 57, 3: 1}, "duplicated frame numbers, single drops, double drops"
    assert round(100 * float((faulty["flags_right"] != 31).mean())) == 99
    assert int(faulty["t_capture_ns"][0]) < 0 or int(clean["t_capture_ns"][0]) < 0, "signed device clocks"


def sound_clips() -> list[Path]:
    """The clips that are clips: three of the files are not meant to be."""
    sound, refused = [], 0
    for path in CLIPS:
        try:
            read_recording(path.name, path.read_bytes())
            sound.append(path)
        except LocalError:
            refused += 1
    assert (len(sound), refused) == (57, 3)
    return sound


def test_all_clips_in_one_session(gateway: Gateway) -> None:
    sound = sound_clips()
    streams = assert_whole(gateway, replay(gateway, sound), sound)
    longest = max(len(stored.numbers) for stored in streams.values())
    assert longest >= 6_880


def test_many_devices_in_one_session_have_streams_of_their_own(gateway: Gateway) -> None:
    done = replay(gateway, [PICO], devices=4)
    assert done.closes
    rows = gateway.session_row(done.sessions[0])["streams"]
    samples = {(row["device"], row["stream"]): row["stored"] for row in rows if row["stream"] < 4}
    assert len(samples) == 16
    assert set(samples.values()) == {492}


def test_a_bad_network_loses_nothing(gateway: Gateway) -> None:
    way = replace(gateway.way, weather=Weather(loss=0.05, duplicate=0.05, reorder=0.1, delay_ms=5.0), seed=7)
    done = replay(gateway, [PICO], way=way)
    assert_whole(gateway, done, [PICO])
    assert done.resends > 0


def test_a_kill_in_the_middle_loses_nothing(gateway: Gateway) -> None:
    async def run() -> Outcome:
        recording = read_recording(PICO.name, PICO.read_bytes())
        sent: list[int] = []
        half = asyncio.Event()

        def told(what: str, done: int, total: int) -> None:
            sent.append(done)
            if done > total // 2:
                half.set()

        async def kill() -> None:
            await half.wait()
            await asyncio.to_thread(gateway.kill9)
            await asyncio.to_thread(gateway.restart)

        key = keyfile.of_reply(await gateway.desk.ask("device.add", name="killed"))
        allowed = {kinds.POSE, kinds.GAZE}
        session = await gateway.desk.open_session([key.device], "subject-1", "replay", allowed)
        killing = asyncio.create_task(kill())
        done = await with_keys(Wanted([recording], 2.0), [(key, keyfile.unkept)], gateway.way, told)
        await killing
        row = await gateway.desk.close_session(session, 10.0)
        assert row["state"] == "closed"
        return replace(done, sessions=[session])

    done = asyncio.run(run())
    assert gateway.starts == 2
    streams = assert_whole(gateway, done, [PICO])
    assert len(streams[0].numbers) == 492


def vestibule(gateway: Gateway, *args: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", "--data-dir", str(gateway.layout.data_dir), *map(str, args)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)


def test_the_command_with_a_key_file(gateway: Gateway, tmp_path: Path) -> None:
    path = tmp_path / "kit.json"
    key = gateway.add_device("kit")
    keyfile.write(path, key)
    session = gateway.open_session([key.device], ["pose", "clock", "info"])
    args = (PICO, "--key", path, "--port", str(gateway.udp_port), "--flood", "--json")
    first = vestibule(gateway, "replay", *args)
    told = json.loads(first.stdout)
    assert (first.returncode, told["closes"]) == (0, True), first.stderr
    assert told["withheld"] == {"gaze": 492}, "what the session does not permit never leaves the device"
    assert keyfile.read(path).hello_seq == 0
    again = vestibule(gateway, "replay", *args)
    assert again.returncode == 0, again.stderr
    assert keyfile.read(path).hello_seq == 1, "a counter that was used twice would get no answer"
    gateway.close_session(session)
    rows = [row for row in gateway.session_row(session)["streams"] if row["stream"] < 4]
    assert len({row["run"] for row in rows}) == 2, "each start of the app is a run of its own"
    assert sum(row["stored"] for row in rows) == 2 * 3 * 492


def test_the_command_shows_a_sum_that_a_person_can_add_up(gateway: Gateway) -> None:
    done = vestibule(gateway, "replay", CLIPS[0], "--flood")
    assert done.returncode == 0, done.stderr
    assert "The sum closes" in done.stdout
    bad = vestibule(gateway, "replay", DATA / "pose" / "README.md")
    assert bad.returncode == 2
    assert "begins like no format" in bad.stderr


@pytest.mark.parametrize("what", ["pico", "quest", "eye", "faulty eye", "clips"])
def test_over_mqtt(tmp_path: Path, what: str) -> None:
    one = {"pico": PICO, "quest": QUEST, "eye": CLEAN, "faulty eye": FAULTY}
    paths = [one[what]] if what in one else sound_clips()
    password = tmp_path / "password"
    password.write_text("for the gateway\n")
    users = {f"gw-{NAME}": "for the gateway", f"dev-{NAME}-1": "for the device"}
    with Mosquitto(tmp_path / "broker", users, shipped_acl({NAME: [1]})) as broker:
        mqtt = {
            "enabled": True,
            "host": "localhost",
            "port": broker.port,
            "tls": True,
            "tls_ca_file": str(broker.folder / "ca.crt"),
            "username": f"gw-{NAME}",
            "password_file": str(password),
        }
        with Gateway(tmp_path / "s", config={"mqtt": mqtt}) as gateway:
            gateway.until(
                lambda: gateway.call("status")["mqtt"]["connected"], "the broker accepts the gateway"
            )
            settings = BrokerSettings("localhost", broker.port, broker.tls, f"dev-{NAME}-1", "for the device")
            done = replay(gateway, paths, way=Way(broker=lambda key: settings))
            assert_whole(gateway, done, paths)
            assert gateway.stop() == 0
