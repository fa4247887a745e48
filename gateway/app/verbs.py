"""The verbs of the control socket: what people ask of a running daemon, carried out in the spine's task.

Whatever changes something goes through `Spine.ask`, so that there is one writer, and is answered after its commit.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from typing import Final

from gateway import __version__
from gateway.app import status
from gateway.app.house import House
from gateway.app.prove import prove
from gateway.app.requests import Args, Reach, whole
from gateway.app.spine import Spine
from gateway.app.startup import Store
from gateway.app.verbs_command import CommandVerbs
from gateway.app.verbs_device import DeviceVerbs
from gateway.app.verbs_peer import PeerVerbs
from gateway.app.verbs_session import SessionVerbs
from gateway.core.quorum import state_of
from gateway.errors import LocalError, StoreError
from gateway.net.control import Caller
from gateway.rights.door import Door
from gateway.store import queries
from gateway.tlog.text import encode_base64

MAX_BATCHES: Final = 1000  # rows of one answer
MAX_BATCH: Final = 2**53 - 1


class Verbs:
    """Answers requests.

    Args:
        spine, house, store: the running daemon.
        door: `decide`.
        reach: addresses.
        edges: figures that only the edges know, for `status`.
        stop: begins an orderly stop.
        peers: the verbs about peers.
    """

    def __init__(
        self,
        spine: Spine,
        house: House,
        store: Store,
        door: Door,
        reach: Reach,
        edges: Callable[[], Args],
        stop: Callable[[], None],
        peers: PeerVerbs,
    ) -> None:
        self._spine = spine
        self._house = house
        self._store = store
        self._door = door
        self._reach = reach
        self._edges = edges
        self._stop = stop
        self._peers = peers
        devices, sessions = DeviceVerbs(spine, house, reach), SessionVerbs(spine, house, store, self._proof)
        self._sessions = sessions
        self._verbs: dict[str, Callable[[Args, Caller], Awaitable[Args]]] = {
            "status": self._status,
            "pair": devices.pair,
            "pair.wait": devices.pair_wait,
            "device.add": devices.add,
            "device.list": devices.list,
            "device.rotate": devices.rotate,
            "device.rotate.wait": devices.rotate_wait,
            "device.revoke": devices.revoke,
            "device.command": CommandVerbs(spine, house).command,
            "session.open": sessions.open,
            "session.close": sessions.close,
            "session.list": sessions.list,
            "batches": self._batches,
            "prove": self._prove,
            "stop": self._stop_daemon,
            **peers.verbs(),
        }

    async def handle(self, verb: str, args: Args, caller: Caller) -> Args:
        """Answer one request.

        Raises:
            VestibuleError: what was wrong, and the next step.
        """
        known = self._verbs.get(verb)
        if known is None:
            raise LocalError(
                "verb", f"the daemon does not know the verb {verb!r}", "Is it older than this command?"
            )
        try:
            return await known(args, caller)
        except StoreError as error:
            if error.fatal:
                # A subject's key that may not be durable must not be used: a start reads again what there is.
                self._spine.fail(error)
            raise

    # ---- status -----------------------------------------------------------------------------------------------

    async def _status(self, args: Args, caller: Caller) -> Args:
        house = self._house
        now_ns = time.monotonic_ns()
        return {
            "version": __version__,
            "gateway": house.registry.names.gateway,
            "origin": house.ledger.origin,
            "did": house.ledger.gateway,
            "pid": os.getpid(),
            "boot": house.boot,
            "started_ms": self._reach.started_ms,
            "held": house.held,
            "ready": not house.held,
            "log": {
                "size": house.ledger.size,
                "root": encode_base64(house.ledger.root),
                "commit_age_ms": (now_ns - house.last_commit_ns) // 1_000_000,
            },
            **status.sums(house),
            "devices": status.devices(house),
            "bad_codes": status.bad_codes(house),
            "sessions": await self._sessions.rows(),
            "udp": f"{self._reach.udp_host}:{self._reach.udp_port}",
            "http": self._reach.http,
            "peers": self._peers.summary(),
            **self._edges(),
        }

    def _proof(self, entry: int) -> str:
        """How far the entry at this place is proven to others; empty where nobody else could confirm it."""
        return self._peers.state_of(entry, self._house.ledger.size)

    async def _batches(self, args: Args, caller: Caller) -> Args:
        """Batches, newest first, each with its state; sums only, no sample."""
        last = whole(args, "last", 1, MAX_BATCHES, 20)
        before = whole(args, "before", 1, MAX_BATCH, MAX_BATCH)
        (confirmed, _), logged = self._peers.confirmed(), self._house.ledger.size
        rows = await self._store.db.ask(queries.RECENT_BATCHES, before, last)
        return {
            "logged": logged,
            "confirmed": confirmed,
            "batches": [
                {
                    "batch": row.batch,
                    "entry": row.entry,
                    "root": encode_base64(row.root),
                    "parts": row.parts,
                    "frames": row.frames,
                    "samples": row.samples,
                    "sealed_s": row.sealed_s,
                    "state": state_of(row.entry, logged, confirmed),
                }
                for row in rows
            ],
        }

    # ---- release ----------------------------------------------------------------------------------------------

    async def _prove(self, args: Args, caller: Caller) -> Args:
        return {
            "proof": await prove(
                args, caller, self._spine, self._house, self._store, self._door, self._peers.confirmed
            )
        }

    async def _stop_daemon(self, args: Args, caller: Caller) -> Args:
        self._stop()
        return {}
