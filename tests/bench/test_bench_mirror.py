"""How long a fresh mirror takes for 100,000 entries, over TLS on loopback; the bar is 30 seconds."""

from __future__ import annotations

import time
from pathlib import Path

from mirror_pull import pulling, served
from mirror_world import honest

from tests.sim.peer_logs import Branch

MAX_S = 30.0
ENTRIES = 100_000
ENTRY_BYTES = 400  # an entry of a batch has some 350


async def test_a_mirror_catches_up_100_000_entries(tmp_path: Path) -> None:
    alice = Branch("alice")
    alice.grow(ENTRIES, ENTRY_BYTES)
    source = served(honest(alice), alice)
    try:
        async with pulling(tmp_path / "peers.db", [alice], {"alice": source.url}) as mirror:
            start, cpu = time.monotonic(), time.process_time()
            await mirror.head(alice, ENTRIES)
            await mirror.until_whole(alice, ENTRIES)
            took, cpu = time.monotonic() - start, time.process_time() - cpu
            state = await mirror.store.load()
    finally:
        source.close()
    print(
        f"\nmirror: {ENTRIES} entries of {ENTRY_BYTES} bytes in {took:.2f} s and {len(source.asked)} requests, "
        f"{cpu:.2f} s of CPU on both sides; peers.db {(tmp_path / 'peers.db').stat().st_size >> 20} MiB"
    )
    assert state.logs[alice.origin].tree.root() == alice.roots[ENTRIES]
    assert took < MAX_S
