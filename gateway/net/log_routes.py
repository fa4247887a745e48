"""What every gateway shows of logs, to anybody: ours, mirrors, heads that we witness, the roster; and the witness.

The same over plain HTTP and over TLS between peers. What is read here proves itself by its signatures, so it needs no
certificate. Sources: C2SP tlog-tiles, tlog-witness, tlog-mirror (a log by the hash of its origin).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.net.web import FRESH, IMMUTABLE, JSON, NOT_FOUND, OCTETS, READS, TEXT, Answer, Ask, need
from gateway.tlog.witness import MAX_BODY_BYTES

ADD_CHECKPOINT: Final = "add-checkpoint"
ROSTER: Final = "roster"
CHECKPOINT: Final = "checkpoint"
# Of our log, or of the log whose origin has this SHA-256. Nothing longer is a path of tlog-tiles.
_RESOURCE: Final = re.compile(r"(?:[0-9a-f]{64}/)?(?:checkpoint|tile/[a-z0-9/.]{1,128})", re.ASCII)

Resource = Callable[[str], Awaitable[bytes | None]]
AddCheckpoint = Callable[[bytes], Awaitable[tuple[int, str, bytes]]]


class LogRoutes:
    """The routes.

    Args:
        resource: bytes of `checkpoint` and `tile/...`, of our log or below the hash of an origin; None where there
            is none.
        add_checkpoint: the witness: takes a request's body, gives status, content type and body. None: there is none.
        roster: the newest roster as it was signed; empty while there is none.
    """

    def __init__(
        self,
        resource: Resource,
        add_checkpoint: AddCheckpoint | None = None,
        roster: Callable[[], bytes] = lambda: b"",
    ) -> None:
        self._resource = resource
        self._add_checkpoint = add_checkpoint
        self._roster = roster

    async def answer(self, ask: Ask) -> Answer:
        """Answer a request; 404 for whatever is not here.

        Raises:
            Refusal: another method is needed, or the body is too long.
        """
        path = ask.path
        if path == ADD_CHECKPOINT and self._add_checkpoint is not None:
            need(ask, "POST")
            status, content_type, body = await self._add_checkpoint(await ask.body(MAX_BODY_BYTES))
            return Answer(status, body, content_type)
        if path == ROSTER:
            need(ask, *READS)
            data = self._roster()
            return Answer(200, data, JSON, FRESH) if data else NOT_FOUND
        if not _RESOURCE.fullmatch(path):
            return NOT_FOUND
        need(ask, *READS)
        resource = await self._resource(path)
        if resource is None:
            return NOT_FOUND
        if path.endswith(CHECKPOINT):
            return Answer(200, resource, TEXT, FRESH)
        return Answer(200, resource, OCTETS, IMMUTABLE)
