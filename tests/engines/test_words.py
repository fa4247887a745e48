"""What a person at the headset is told, and what the gateway says of the device: every answer in words."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crash.test_disk_full import MIB, allocate, free_bytes
from e2e.daemon import Gateway, free_port
from engines import tapes
from engines.rig import ALL, ENGINES
from engines.test_outages import HZ, Play
from engines.ward import HOST, Bed, bed, side_by_side

pytestmark = pytest.mark.slow

FAST = {"wait_retry_ms": 1_000, "silence_ms": 3_000}
SECONDS = 6


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("words") / "s") as made:
        yield made


def told(one: Bed, state: str, reason: str, after: int = 0, timeout_s: float = 20.0) -> str:
    """Wait until a person is told so; returns the sentence."""
    event = one.rig.event("state", after, timeout_s, state=state, reason=reason)
    words = str(event["words"])
    assert words
    if one.rig.engine in ENGINES:
        assert words.endswith("."), f"a sentence: {words!r}"
        assert reason not in words or reason.isalpha(), f"no code: {words!r}"
    return words


def captured(one: Bed) -> int:
    """Samples of its person that are stored: not those that speak of the device."""
    return sum(int(row["stored"]) for row in one.rows if row["kind"] == "pose")


def test_closed_and_withdrawn(gateway: Gateway, tmp_path: Path) -> None:
    def live(engine: str) -> None:
        with bed(gateway, engine, tmp_path / engine) as one:
            one.begin(**FAST)
            tape = tapes.write(tmp_path / f"{engine}.jsonl", tapes.moving(engine, 60 * HZ))
            one.rig.ask("clock", mode="tape")
            one.rig.ask("tape", path=str(tape), speed=1)
            gateway.until(lambda: captured(one) > 2 * HZ, "something is stored")
            gateway.close_session(one.session)
            told(one, "not_recording", "closed")
            told(one, "waiting", "no_session")
            gateway.until(lambda: one.row["state"] == "closed", "the session is closed")
            status = one.rig.status()
            assert not any(status["lost"].values()), status
            # What was captured after the close, until the device heard of it, is refused, and so counted.
            one.assert_closes(refused={"closed"})
            # The next session begins by itself, and its consent is withdrawn in the midst of it.
            seen = len(one.rig.events)
            one.session = gateway.open_session([one.device], ["pose"], f"subject-{one.device}")
            one.rig.event("state", seen, state="recording")
            gateway.until(lambda: captured(one) > 2 * HZ, "something is stored")
            gateway.call("session.close", session=one.session, now=False, withdrawn=True)
            told(one, "not_recording", "withdrawn", seen)
            gateway.until(lambda: one.row["state"] == "withdrawn", "the session shows that it was withdrawn")
            stored = captured(one)
            one.rig.event("state", seen, state="waiting", reason="no_session")
            assert captured(one) == stored, "nothing more is stored"

    side_by_side(live, ALL)


def test_a_full_disk(tmp_path: Path) -> None:
    """The device goes on and says why it is behind; once there is room nothing is missing."""
    gateway = Gateway(tmp_path / "s")
    filler = tmp_path / "filler"
    size = min(1024 * MIB, free_bytes(tmp_path) // 2)
    floor = free_bytes(tmp_path) - size // 2
    gateway.config["limits"] = {"free_disk_floor_bytes": floor, "urgent_disk_floor_bytes": floor - 1}
    with gateway:
        ready: set[str] = set()

        def live(engine: str) -> None:
            rows = tapes.moving(engine, SECONDS * HZ)
            (tmp_path / engine).mkdir()
            with bed(gateway, engine, tmp_path / engine) as one:
                one.begin(**FAST)
                with Play(one, rows, tmp_path / engine):
                    one.rig.until(lambda status: status["stored"] > 0, "something is stored")
                    ready.add(engine)
                    sentence = told(one, "behind", "disk_full", timeout_s=30)
                    assert engine == "python" or "disk is full" in sentence
                one.rig.event("state", timeout_s=60, state="recording")
                status = one.finish(60)
                one.assert_whole(status)
                one.assert_vault(rows)

        def fill() -> None:
            until = time.monotonic() + 60
            while len(ready) < len(ALL) and time.monotonic() < until:
                time.sleep(0.05)
            allocate(filler, size)
            gateway.until(lambda: gateway.call("status")["held"] == "disk_low", "it holds")
            time.sleep(2.0)  # for so long there is no room
            filler.unlink()

        side_by_side(lambda who: fill() if who == "filler" else live(who), [*ALL, "filler"])


def test_revoked_within_a_second(gateway: Gateway, tmp_path: Path) -> None:
    def live(engine: str) -> float:
        with bed(gateway, engine, tmp_path / engine) as one:
            one.begin(**FAST)
            tape = tapes.write(tmp_path / f"{engine}.jsonl", tapes.moving(engine, 30 * HZ))
            one.rig.ask("tape", path=str(tape), speed=1)
            one.rig.until(lambda status: status["stored"] > 0, "something is stored")
            began = time.monotonic()
            gateway.call("device.revoke", device=one.device)
            told(one, "not_recording", "revoked", timeout_s=1.0)
            return time.monotonic() - began

    # One after another: the second is the device's, and not what four of them share.
    took = {engine: live(engine) for engine in ALL}
    print({engine: round(seconds, 3) for engine, seconds in took.items()})


def test_refused_or_unanswered(gateway: Gateway, tmp_path: Path) -> None:
    """Another version; an address where nobody is; a key that is not the right one."""

    def start(one: Bed, port: int, key: dict[str, Any] | None = None, **options: Any) -> None:
        one.rig.give_identity(key or one.key, HOST, port)
        one.rig.make(HOST, port, **FAST, **options)
        one.rig.ask("start")

    def live(what: str) -> None:
        engine, _, fault = what.partition(" ")
        with bed(gateway, engine, tmp_path / what.replace(" ", "-")) as one:
            one.session = gateway.open_session([one.device], ["pose"])
            if fault == "version":
                start(one, gateway.udp_port, versions=[2])
                told(one, "not_recording", "version")
            elif fault == "host":
                start(one, free_port())
                words = told(one, "not_recording", "no_answer")
                assert engine == "python" or "vestibule status" in words, words
            else:
                start(one, gateway.udp_port, key={**one.key, "key": "ab" * 32})
                told(one, "not_recording", "no_answer")
                devices = gateway.call("status")["devices"]
                (row,) = (row for row in devices if row["device"] == one.device)
                assert row["bad_tags"], "the gateway names the device whose tags are bad"
                assert row["bad_tags"][0]["on"] == "hellos"

    side_by_side(live, [f"{engine} {fault}" for engine in ALL for fault in ("version", "host", "key")])
