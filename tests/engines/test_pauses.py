"""Fifty pauses: each a new link and a new socket, one session, numbers that go on, and nothing that is left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from e2e.daemon import Gateway, Stored
from engines.rig import ALL, ENGINES
from engines.ward import Bed, bed, side_by_side

pytestmark = pytest.mark.slow

PAUSES = 50
WARM = 20
"""After so many pauses what a runtime makes once has been made."""
MARKERS = 9
GROWTH_BYTES = 8 << 20
HEAP_GROWTH_BYTES = 4 << 20
LOOKS = 15
SPARE = 3  # threads and files that a runtime makes or lets go as it likes; one a pause would be thirty


def handles(one: Bed) -> int:
    assert one.rig.process is not None
    return len(os.listdir(f"/proc/{one.rig.process.pid}/fd"))


def costs(one: Bed) -> dict[str, int]:
    heap = int(one.rig.status()["heap_bytes"])
    return {"rss": one.rig.rss_bytes, "heap": heap, "threads": one.rig.threads, "handles": handles(one)}


def markers(stored: Stored) -> list[int]:
    codes, data = [], stored.samples
    while data:
        codes.append(int.from_bytes(data[8:10], "little"))
        data = data[12 + int.from_bytes(data[10:12], "little") :]
    return codes


def test_fifty_pauses(tmp_path: Path) -> None:
    with Gateway(tmp_path / "s", seal_ms=100) as gateway:

        def live(engine: str) -> tuple[dict[str, int], dict[str, int]]:
            with bed(gateway, engine, tmp_path / engine) as one:
                first = one.begin()
                warm, heaps = costs(one), []
                for number in range(PAUSES):
                    one.rig.ask("marker", code=number, text=f"before pause {number}")
                    seen = len(one.rig.events)
                    one.rig.ask("pause", reason="pause" if number % 2 else "sleep")
                    one.rig.event("state", seen, state="not_recording")
                    one.rig.ask("resume")
                    one.rig.event("state", seen, state="recording")
                    heaps.append(int(one.rig.status()["heap_bytes"]))
                    if number == WARM:
                        warm = costs(one)
                one.rig.ask("marker", code=PAUSES, text="at the end")
                one.rig.until(lambda status: status["links"] == 1, "old links are drained", 30)
                cold = costs(one)
                # A runtime's heap swings with its garbage: the least of many looks is what is kept.
                warm["heap"], cold["heap"] = min(heaps[LOOKS : 2 * LOOKS]), min(heaps[-LOOKS:])
                last = one.finish()
                assert last["hello_seq"] - first["hello_seq"] == PAUSES, "one HELLO, and so one link, a pause"
                one.assert_whole(last)
                assert len({row["run"] for row in one.rows}) == 1
                streams = gateway.streams(one.session)
                assert streams[MARKERS].numbers == list(range(PAUSES + 1)), "the numbers go on over all links"
                assert markers(streams[MARKERS]) == list(range(PAUSES + 1))
            return warm, cold

        for engine, (warm, cold) in side_by_side(live, ALL).items():
            print(f"{engine}: after {WARM} pauses {warm}, after {PAUSES} {cold}")
            assert cold["threads"] <= warm["threads"] + SPARE, f"{engine}: {warm} -> {cold}"
            assert cold["handles"] <= warm["handles"] + SPARE, f"{engine}: {warm} -> {cold}"
            assert cold["rss"] - warm["rss"] < GROWTH_BYTES, f"{engine}: {warm} -> {cold}"
            if engine in ENGINES:
                assert cold["heap"] - warm["heap"] < HEAP_GROWTH_BYTES, f"{engine}: {warm} -> {cold}"
