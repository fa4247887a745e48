"""A witness and nothing else, as a process of its own: the machine, its database, and HTTP.

Run as `python -m tests.e2e.witness_app FOLDER PORT`; FOLDER has `logs` (a verifier key a line) and `key` (the private
key of the witness), and gets `peers.db`. It prints a line when it answers.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import replace
from pathlib import Path

from gateway.core.contradiction import Alarm
from gateway.core.follow import Followed, Keep, Logs
from gateway.core.witness import Witness
from gateway.net.http import HttpEdge
from gateway.net.limits import LIMITS
from gateway.store.peers import PeerStore
from gateway.tlog.note import parse_private, parse_vkey

# what one address may ask is tried by tests/e2e/test_peer_abuse.py; here it is a whole battery that asks
WIDE = replace(
    LIMITS,
    of_address=256,
    connections_s=1e5,
    connections_burst=10_000,
    all_connections_s=1e5,
    all_connections_burst=10_000,
    asks_s=1e5,
    asks_burst=10_000,
    working=256,
)


class App:
    """What the daemon does for its witness, as small as it can be."""

    def __init__(self, store: PeerStore, witness: Witness) -> None:
        self._store = store
        self._witness = witness
        self._turn = asyncio.Lock()

    async def add_checkpoint(self, body: bytes) -> tuple[int, str, bytes]:
        async with self._turn:
            found, answer = self._witness.add_checkpoint(body, int(time.time()))
            keeps: list[Keep] = [item for item in found if not isinstance(item, Alarm)]
            if keeps:
                await self._store.keep(keeps)
        return answer.status, answer.content_type, answer.body

    async def resource(self, path: str) -> bytes | None:
        digest, _, rest = path.partition("/")
        return self._witness.monitor(digest, int(time.time())) if rest == "checkpoint" else None


async def main(folder: Path, port: int) -> None:
    store = await PeerStore.open(folder / "peers.db", create=True)
    state = await store.load()
    logs = Logs()
    for line in (folder / "logs").read_text().splitlines():
        vkey = parse_vkey(line)
        known = state.logs.get(vkey.name)
        logs.add(known.followed((vkey,), data=False) if known else Followed(vkey.name, (vkey,), data=False))
    private = parse_private((folder / "key").read_text())
    app = App(store, Witness(private.name, private.key, logs, store.shelf))
    edge = HttpEdge("127.0.0.1", port, app.resource, list, bytes, app.add_checkpoint, limits=WIDE)
    await edge.start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
