"""What a gateway keeps as other logs grow: records for peers.db, and a process that keeps until it is killed."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

from gateway.core.follow import Keep, KeepEntries, KeepFork, KeepHead, KeepRoster
from gateway.errors import EXIT_TRY_LATER, StoreError
from gateway.store.peers import PeerStore
from gateway.tlog.fork import Fork
from tests.sim.peer_logs import Branch


def grown(one: Branch, count: int, entry_bytes: int = 0) -> list[Keep]:
    """The log grows, and all of it comes here: its head, then its entries."""
    first = one.size
    new = [f"{one.origin} {at}".encode().ljust(entry_bytes, b".") for at in range(first, first + count)]
    tiles = one.adopt(new)
    root, note = one.roots[one.size], one.note()
    return [
        KeepHead(one.origin, first, one.size, root, note),
        KeepEntries(one.origin, first, tuple(new), tuple(tiles), one.size, root, note),
    ]


def fork_of(one: Branch) -> Fork:
    """Evidence: the newest head, and another of the same size."""
    other = one.fork(one.size - 1, "other")
    other.grow(1)
    return Fork(one.note(), other.note(), other.roots[one.size], ())


def names(count: int = 3) -> list[str]:
    """Whose logs `keep_for_ever` keeps."""
    return [f"gateway{number}" for number in range(count)]


async def keep_for_ever(path: Path, seed: int, most: int) -> int:
    """Keep as fast as the disk can, and say what is kept; ends at an error with an unknown outcome, or after `most`."""
    store = await PeerStore.open(path, create=True)
    rng = random.Random(seed)
    branches: dict[str, Branch] = {}
    rosters = 0

    async def reload() -> None:
        nonlocal rosters
        state = await store.load()
        rosters = state.roster_version
        for name in names():
            one = branches[name] = Branch(name)
            if (kept := state.logs.get(one.origin)) is not None:
                grown(one, kept.size)
                assert (kept.root, kept.tree.root()) == (one.roots[kept.size],) * 2

    say("opened")
    await reload()
    for _ in range(most):
        one = branches[rng.choice(names())]
        items = grown(one, rng.choice([1, 1, 2, 30, 300, 700]))
        if rng.random() < 0.2:
            rosters += 1
            items.append(KeepRoster(rosters, b"roster %d" % rosters))
        if rng.random() < 0.05:
            items.append(KeepFork(one.origin, fork_of(one), one.size))
        try:
            await store.keep(items)
        except StoreError as error:
            say(f"failed {error.code}")
            if error.fatal:
                return EXIT_TRY_LATER
            await reload()
            continue
        for item in items:
            match item:
                case KeepEntries():
                    say(f"entries {one.name} {item.size}")
                case KeepRoster():
                    say(f"roster {item.version}")
                case KeepFork():
                    say(f"fork {one.name}")
    await store.close()
    return 0


def say(line: str) -> None:
    """A line to whoever watches, at once."""
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    try:
        code = asyncio.run(keep_for_ever(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
    except StoreError as at_start:
        say(f"failed {at_start.code}")
        code = at_start.exit_code
    sys.stdout.flush()
    os._exit(code)  # threads of a store that failed may still wait for its disk
