"""The verb of the control socket by which people ask a headset for something, and wait for its answer."""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.app.house import House
from gateway.app.requests import Args, device, seconds, text
from gateway.app.spine import Spine
from gateway.core import commands
from gateway.core.effects import Effect
from gateway.core.link import NO_ANSWER, Link, Outcome
from gateway.errors import LocalError
from gateway.net.control import Caller

MAX_WAIT_S: Final = 30.0  # no command is sent again for longer


class CommandVerbs:
    """Sends commands that people ask for.

    Args:
        spine, house: the running daemon.
    """

    def __init__(self, spine: Spine, house: House) -> None:
        self._spine = spine
        self._house = house
        self._waiting: dict[int, asyncio.Future[str]] = {}
        house.on_outcome = self._outcome

    def _outcome(self, outcome: Outcome) -> None:
        future = self._waiting.get(outcome.seq)
        if future is not None and not future.done():
            future.set_result(outcome.result)

    async def command(self, args: Args, caller: Caller) -> Args:
        """Ask a device: `{"device", "verb", "args", "seconds"}`.

        It needs no commit, so it works on a full disk too. `result` is the device's word, `no_answer`, or `ended`.
        After `seconds` it is sent no more: nobody would want a pulse or a text half a minute later.
        """
        registry = self._house.registry
        verb = text(args, "verb", 16)
        given = args.get("args")
        if not isinstance(given, list):
            raise LocalError("argument", "args is a list", "See --help.")
        checked = commands.checked(verb, given)
        wait_s = seconds(args, "seconds", MAX_WAIT_S)
        began = asyncio.get_running_loop().time()

        def work(now_ns: int, now_ms: int) -> tuple[tuple[Link, int], list[Effect]]:
            if asyncio.get_running_loop().time() - began >= wait_s:
                raise LocalError(
                    "not_sent",
                    f"the gateway was at its disk for {wait_s:g} s; now it would come too late, and was not sent",
                    "Ask again. If it goes on, see `vestibule status`.",
                )
            link = commands.recording_link(registry, device(args, registry))
            effects = commands.send(registry, link, verb, checked, now_ns)
            # Known before the packet leaves, so that no answer comes too early.
            self._waiting[registry.newest_down] = asyncio.get_running_loop().create_future()
            return (link, registry.newest_down), effects

        link, seq = await self._spine.tell(work)
        try:
            result = await asyncio.wait_for(self._waiting[seq], wait_s)
        except TimeoutError:
            result = NO_ANSWER
        finally:
            del self._waiting[seq]
            commands.give_up(registry, link, seq)
        return {
            "device": link.record.device,
            "verb": verb,
            "result": result,
            "took_ms": int((asyncio.get_running_loop().time() - began) * 1000),
        }
