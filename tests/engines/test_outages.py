"""Bad networks and long outages: nothing is lost that the ring or the spool holds, and what is lost is counted alike on
both sides. The engines play side by side, since they mostly wait.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.daemon import Gateway
from engines import tapes
from engines.proxy import Ill, Proxy
from engines.reference import expected
from engines.rig import ALL
from engines.ward import Bed, assert_once, bed, side_by_side

pytestmark = pytest.mark.slow

HZ = 90
HOSTILE = Ill(loss=0.2, duplicate=0.1, reorder=0.1, jitter_ms=300)
HOSTILE_S, HOSTILE_OUTAGE_S = 9, 2.0
LONG_OUTAGE_S = 15.0
BEFORE_S, AFTER_S = 3.0, 4.0
RING_S = 5
QUIET_S = 1.5
PACKETS_S = 20
"""Packets a second of three poses at 90 Hz: 16 samples of one stream fill a packet, and a clock comes now and then."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("outages") / "s") as made:
        yield made


class Play:
    """A tape that an engine plays in real time, in a thread, so that the test can do something to the network."""

    def __init__(self, one: Bed, rows: list[tapes.Row], folder: Path) -> None:
        self.rows = rows
        self._tape = tapes.write(folder / f"{one.rig.engine}.jsonl", rows)
        self._one = one
        self._played: list[int] = []
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        seconds = len(self.rows) / 3 / HZ
        self._played.append(self._one.rig.play(self._tape, speed=1, timeout_s=2 * seconds + 20))

    def __enter__(self) -> Play:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._thread.join()
        if error[0] is None:
            assert self._played == [len(self.rows)], "the tape was played to its end"


def test_a_hostile_network_loses_nothing(gateway: Gateway, tmp_path: Path) -> None:
    def live(engine: str) -> None:
        folder = tmp_path / engine
        rows = tapes.moving(engine, HOSTILE_S * HZ)
        with Proxy(gateway.udp_port, HOSTILE, seed=ALL.index(engine)) as proxy:
            with bed(gateway, engine, folder, proxy.port) as one:
                one.begin(resend_first_ms=1_000, resend_most_ms=2_000)
                with Play(one, rows, folder):
                    for _ in range(2):
                        until = time.monotonic() + 2.0
                        one.rig.until(lambda _, until=until: time.monotonic() > until, "two seconds passed")
                        proxy.outage(HOSTILE_OUTAGE_S)
                status = one.finish(60)
                one.assert_whole(status)
                one.assert_vault(rows)
        for fate in ("lost", "doubled", "late", "cut"):
            assert proxy.counts[fate] > 0, proxy.counts
        assert status["resent"] > 0

    side_by_side(live, ALL)


def outage(
    gateway: Gateway,
    folder: Path,
    engine: str,
    seconds: float,
    judge: Callable[[Bed, list[tapes.Row], dict[str, Any]], None],
    *,
    goes_on: bool = True,
    **options: Any,
) -> None:
    """An outage in the midst of a recording, or, unless it `goes_on`, up to its end."""
    rows = tapes.moving(engine, int((BEFORE_S + seconds + (AFTER_S if goes_on else 0)) * HZ))
    folder.mkdir(parents=True)
    with Proxy(gateway.udp_port) as proxy, bed(gateway, engine, folder, proxy.port) as one:
        one.begin(**options)
        with Play(one, rows, folder):
            began = time.monotonic()
            one.rig.until(lambda _: time.monotonic() > began + BEFORE_S, "it recorded for a while")
            # What the gateway stored and could not say any more would be lost to the device alone.
            proxy.cut(down=False)
            one.rig.until(lambda _: time.monotonic() > began + BEFORE_S + QUIET_S, "the last receipt")
            proxy.cut()
            one.rig.event("state", state="behind", timeout_s=10)
            if goes_on:
                one.rig.until(
                    lambda _: time.monotonic() > began + BEFORE_S + seconds, "it is over", seconds + 5
                )
                proxy.mend()
        if not goes_on:
            one.rig.ask("stop", reason="end")
            one.rig.until(lambda status: status["state"] == "not_recording", "it stopped")
            proxy.mend()
        judge(one, rows, one.finish(60))


def nothing_is_missing(one: Bed, rows: list[tapes.Row], status: dict[str, Any]) -> None:
    one.assert_whole(status)
    one.assert_vault(rows)


def what_is_missing_is_counted(one: Bed, rows: list[tapes.Row], status: dict[str, Any]) -> None:
    lost = status["lost"]
    assert lost.get("overflow", 0) > 0, status
    assert not lost.get("link_gone", 0), status
    one.assert_closes(missing=lost["overflow"])
    assert status["captured"] == status["stored"] + lost["overflow"], status
    streams = one.gateway.streams(one.session)
    assert_once(streams)
    beyond = 0
    for stream, (_, samples, count) in expected(rows, one.rig.engine).items():
        stored, size = streams[stream], len(samples) // count
        whole = b"".join(samples[number * size : (number + 1) * size] for number in stored.numbers)
        assert stored.samples == whole, (
            f"{one.rig.engine}, stream {stream}: what is there is what was captured"
        )
        beyond += count - len(stored.numbers)
        # A ring that is full gives way from its oldest end: the newest seconds are there, the first ones too.
        first, last = int(BEFORE_S * HZ) - HZ, count - RING_S * HZ // 2
        assert set(stored.numbers) >= {*range(first), *range(last, count)}, (
            f"stream {stream} lost other samples"
        )
    assert 0 < beyond <= lost["overflow"]


def test_an_outage_longer_than_the_ring(gateway: Gateway, tmp_path: Path) -> None:
    """Without a spool what is beyond the ring is missing, and said to be; with one nothing is."""
    ring = {"ring_packets": RING_S * PACKETS_S}

    def live(what: str) -> None:
        engine, _, spool = what.partition(" ")
        folder = tmp_path / what.replace(" ", "-")
        if spool:
            outage(gateway, folder, engine, LONG_OUTAGE_S, nothing_is_missing, spool=True, **ring)
            return
        # While a full ring goes on being filled, a packet may give way whose receipt is under way: then the device
        # counts as lost what the gateway has. So that both must count the same, nothing is captured afterwards.
        outage(gateway, folder, engine, LONG_OUTAGE_S, what_is_missing_is_counted, goes_on=False, **ring)

    side_by_side(live, [*ALL, *(f"{engine} spool" for engine in ALL)])


@pytest.mark.torture
def test_two_minutes_without_the_gateway(gateway: Gateway, tmp_path: Path) -> None:
    """The ring as it is shipped holds them; and a small one with a spool does."""

    def live(what: str) -> None:
        engine, _, spool = what.partition(" ")
        options = {"ring_packets": RING_S * PACKETS_S, "spool": True} if spool else {}
        outage(gateway, tmp_path / what.replace(" ", "-"), engine, 120, nothing_is_missing, **options)

    side_by_side(live, [*ALL, *(f"{engine} spool" for engine in ALL)])
