"""kill -9 at random moments under load: nothing that was acknowledged is lost, nothing is there twice, one history."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from crash.headsets import open_ward, until
from crash.judge import judge, judge_drained
from e2e.daemon import Gateway

AFTER_READY_S = (0.03, 0.7)
IN_START_S = (0.3, 1.0)  # of which the program's own loading takes most
JUDGED = 7  # after every so many kills the store is judged as it lies there


async def killed_and_whole(path: Path, kills: int) -> None:
    gateway = Gateway(path / "s", seal_ms=100)
    async with open_ward(gateway) as ward:
        in_start = 0
        async with ward.at_work():
            for kill in range(kills):
                before = ward.receipts
                if kill % 5 == 4:
                    # Dead again before it has read what the last one left.
                    gateway.kill9()
                    await asyncio.to_thread(gateway.start, wait=False)
                    await asyncio.sleep(ward.rng.uniform(*IN_START_S))
                    in_start += 1
                else:
                    await asyncio.sleep(ward.rng.uniform(*AFTER_READY_S))
                gateway.kill9()
                if kill % JUDGED == JUDGED - 1:
                    await asyncio.to_thread(judge, gateway.layout, ward.onlooker, ward.headsets)
                await asyncio.to_thread(gateway.start)
            await until(lambda: ward.receipts > before, "receipts after the last start")
        await ward.drained()
        held = judge_drained(gateway.layout, ward.onlooker, ward.headsets)
        links = sum(len(one.data) for one in ward.headsets)
        stored = sum(len(samples) for samples in held.samples.values())
        print(
            f"{kills} kills, {in_start} of them in a start; {len(ward.onlooker.notes)} checkpoints seen, "
            f"{ward.receipts} receipts, {links} links, {len(held.arrivals)} packets, {stored} samples"
        )
        assert gateway.starts == kills + in_start + 1
        assert len(ward.onlooker.notes) > kills / 2
        assert links > len(ward.headsets)


@pytest.mark.slow
async def test_20_kills_lose_nothing_and_sign_one_history(tmp_path: Path) -> None:
    await killed_and_whole(tmp_path, 20)


@pytest.mark.torture
async def test_200_kills_lose_nothing_and_sign_one_history(tmp_path: Path) -> None:
    await killed_and_whole(tmp_path, 200)
