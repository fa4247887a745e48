"""People at the control socket of a simulated gateway: the daemon's own verbs, on the virtual clock."""

from __future__ import annotations

from typing import Any

from gateway.app.requests import Reach
from gateway.app.verbs_command import CommandVerbs
from gateway.app.verbs_device import DeviceVerbs
from gateway.net.control import Caller
from tests.sim.clinic import Gateway

SOMEBODY = Caller(1, 0, 0)


class Front:
    """The verbs of a gateway that has started; make another one after each start."""

    def __init__(self, gateway: Gateway) -> None:
        reach = Reach("127.0.0.1", 4747, "", 600, 0)
        self.devices = DeviceVerbs(gateway.spine, gateway.house, reach)
        self.commands = CommandVerbs(gateway.spine, gateway.house)

    async def rotate(self, device: int, **args: Any) -> dict[str, Any]:
        """`device.rotate`."""
        return await self.devices.rotate({"device": device, **args}, SOMEBODY)

    async def rotated(self, device: int, seconds: float) -> bool:
        """`device.rotate.wait`: whether the new key is in use."""
        told = await self.devices.rotate_wait({"device": device, "seconds": seconds}, SOMEBODY)
        return bool(told["in_use"])

    async def revoke(self, device: int) -> None:
        """`device.revoke`."""
        await self.devices.revoke({"device": device}, SOMEBODY)

    async def ask(self, device: int, verb: str, *args: int | float | str, seconds: float = 5) -> str:
        """`device.command`: the result."""
        asked = {"device": device, "verb": verb, "args": list(args), "seconds": seconds}
        return str((await self.commands.command(asked, SOMEBODY))["result"])
