"""Ends without a goodbye: of the gateway in the midst of a session, and of an app whose packets lie in the spool."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from e2e.daemon import Gateway
from engines import tapes
from engines.proxy import Proxy
from engines.reference import expected
from engines.rig import ALL
from engines.test_outages import HZ, Play
from engines.ward import Bed, bed, side_by_side

pytestmark = pytest.mark.slow

SECONDS = 9
AWAY_S = 3.0
"""How long the gateway is dead; it is back within five seconds."""
HOLD_MS = 500
"""How soon a packet without a receipt goes into the spool, here."""


def test_the_gateway_is_killed(tmp_path: Path) -> None:
    """It comes back, and every link goes on: nobody says HELLO again, nothing is lost, nothing is there twice."""
    with Gateway(tmp_path / "s") as gateway:

        def live(engine: str) -> None:
            rows = tapes.moving(engine, SECONDS * HZ)
            with bed(gateway, engine, tmp_path / engine) as one:
                before = one.begin()
                with Play(one, rows, tmp_path / engine):
                    # The killer waits until all play, and they play long enough to see it come back.
                    playing.add(engine)
                during = one.rig.status()
                assert (during["link"], during["links"]) == (before["link"], 1), (
                    f"{engine}: {before} {during}"
                )
                assert during["hello_seq"] == before["hello_seq"], f"{engine} said HELLO again"
                status = one.finish()
                one.assert_whole(status)
                one.assert_vault(rows)

        def kill(engine: str) -> None:
            until = time.monotonic() + 90
            while len(playing) < len(ALL):
                assert time.monotonic() < until, f"only {playing} play"
                time.sleep(0.05)
            time.sleep(2.0)  # in the midst of it
            gateway.kill9()
            killed = time.monotonic()
            time.sleep(AWAY_S)
            gateway.restart()
            assert time.monotonic() - killed < 5.5

        playing: set[str] = set()
        side_by_side(lambda who: kill(who) if who == "killer" else live(who), [*ALL, "killer"])
        assert gateway.starts == 2


def test_the_app_is_killed_with_a_spool(tmp_path: Path) -> None:
    """What lay in the spool when the app was killed is delivered by its next start, in the run it was captured in."""
    with Gateway(tmp_path / "s") as gateway:

        def live(engine: str) -> None:
            folder = tmp_path / engine
            rows = tapes.moving(engine, 60 * HZ)
            options = {"spool": True, "resend_first_ms": HOLD_MS}
            with Proxy(gateway.udp_port) as proxy, bed(gateway, engine, folder, proxy.port) as one:
                one.begin(**options)
                one.rig.ask("clock", mode="tape")
                one.rig.ask("tape", path=str(tapes.write(folder / "tape.jsonl", rows)), speed=1)
                one.rig.until(lambda status: status["stored"] > 2 * 3 * HZ, "two seconds are stored")
                proxy.cut()
                killed = one.rig.until(
                    lambda status: status["spool_packets"] > 60, "three seconds in the spool"
                )
                one.rig.kill9()
                assert list((one.rig.dir / "spool").glob("*.vts")), "segments of the spool"
                proxy.mend()
                one.rig.launch()
                second = one.take_up(**options)
                assert second["hello_seq"] > killed["hello_seq"]
                # What drains goes at twice the rate of what is captured, so something is.
                more = tapes.moving(engine, 3 * HZ, seed=4)
                playing = tapes.write(folder / "more.jsonl", more)
                assert one.rig.play(playing, speed=1) == len(more)
                one.rig.until(lambda status: not status["spool_packets"], "the spool is empty", 30)
                last = one.finish()
                assert last["links"] == 0
                assert not list((one.rig.dir / "spool").glob("*.vts")), "segments that nobody needs"
                judge(one, rows, more, killed)

        side_by_side(live, ALL)


def judge(one: Bed, rows: list[tapes.Row], more: list[tapes.Row], killed: dict[str, int]) -> None:
    """Two runs: the second is whole; the first lacks nothing but what was never sealed or never reached the spool."""
    runs = {row["run"] for row in one.rows}
    assert len(runs) == 2, "each start of the app is a run of its own"
    stored = {run: one.streams_of_run(run) for run in runs}
    first, second = sorted(runs, key=lambda run: -sum(len(numbers) for numbers, _ in stored[run].values()))
    for run, tape, whole in ((first, rows, False), (second, more, True)):
        for stream, (_, samples, count) in expected(tape, one.rig.engine).items():
            numbers, records = stored[run][stream]
            size = len(samples) // count
            assert numbers == list(range(len(numbers))), f"{one.rig.engine}: no hole, and nothing twice"
            assert records == samples[: len(numbers) * size], "what was captured then"
            assert (len(numbers) == count) if whole else (len(numbers) < count)
    # What was captured in the last moments was on its way to the spool: its wait, the linger, and a stale figure.
    there = sum(len(numbers) for numbers, _ in stored[first].values())
    assert there > killed["captured"] - 2 * 3 * HZ, f"{there} of {killed['captured']} samples came"
