"""Verbs of the control socket about devices: pair, add, list, rotate, revoke."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from typing import Final

from gateway import events
from gateway.app import status
from gateway.app.house import House
from gateway.app.requests import Args, Reach, device, seconds, text
from gateway.app.spine import Spine
from gateway.core import commands, rotation
from gateway.core.effects import Effect
from gateway.core.handshake import MAX_PAIRINGS
from gateway.core.link import DONE
from gateway.core.records import Device, Pairing
from gateway.errors import LocalError
from gateway.ids import DeviceId
from gateway.keys.link import CODE_CHARACTERS
from gateway.net.control import Caller
from gateway.wire.control import MAX_NAME_BYTES

MAX_WAIT_S: Final = 60.0
"""The longest that one call waits for a new key to be used; who wants to wait longer asks again."""


class DeviceVerbs:
    """Answers requests about devices.

    Args:
        spine, house: the running daemon.
        reach: where headsets find it.
    """

    def __init__(self, spine: Spine, house: House, reach: Reach) -> None:
        self._spine = spine
        self._house = house
        self._reach = reach
        self._changed = asyncio.Event()
        house.on_devices = self._devices_changed

    def _devices_changed(self) -> None:
        """Codes or devices changed, and that is durable: whoever waits for one looks again."""
        self._changed.set()
        self._changed = asyncio.Event()

    # ---- pairing ----------------------------------------------------------------------------------------------

    async def pair(self, args: Args, caller: Caller) -> Args:
        """Offer a code."""
        name = text(args, "name", MAX_NAME_BYTES, default="")
        registry = self._house.registry

        def work(now_ns: int, now_ms: int) -> Pairing:
            if sum(not pairing.spent_by for pairing in registry.pairings) >= MAX_PAIRINGS:
                raise LocalError(
                    "pair", f"{MAX_PAIRINGS} codes are on offer already", "Wait until they expire."
                )
            code = base64.b32encode(registry.random(17)).decode()[:CODE_CHARACTERS]
            pairing = Pairing(code, now_ms + self._reach.pairing_s * 1000, name=name)
            registry.pairings.append(pairing)
            registry.staged.pairings.append(pairing)
            return pairing

        pairing = await self._spine.ask(work)
        host, port = self._where()
        return {
            "code": pairing.code,
            "expires_ms": pairing.expires_ms,
            "host": host,
            "port": port,
            "home": registry.names.home,
            "uri": f"vestibule://{f'[{host}]' if ':' in host else host}:{port}/{pairing.code}",
        }

    async def pair_wait(self, args: Args, caller: Caller) -> Args:
        """Wait until a code was used."""
        code = text(args, "code", CODE_CHARACTERS)
        registry = self._house.registry
        for pairing in registry.pairings:
            if pairing.code == code:
                break
        else:
            raise LocalError(
                "pair",
                "this code is not on offer: it has expired, or another gateway made it",
                "Make another with `vestibule pair`.",
            )
        while True:
            # Taken before the question, so that no answer falls between the two.
            changed = self._changed
            number, now_ms = await self._spine.ask(lambda _, now_ms: (registry.paired.get(code), now_ms))
            if number is not None:
                return {"device": number, "name": registry.devices[number].name}
            if pairing.spent_by and code not in registry.paired:
                raise LocalError(
                    "pair", "this code was used before a restart", "See `vestibule device list`."
                )
            left_s = (pairing.expires_ms - now_ms) / 1000
            if left_s <= 0:
                raise LocalError(
                    "pair",
                    "nobody used the code in time: it has expired",
                    "Make another with `vestibule pair`. `vestibule status` says whether a headset tried a wrong one.",
                )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), left_s)

    def _where(self) -> tuple[str, int]:
        return status.host_for_headsets(self._reach.udp_host), self._reach.udp_port

    # ---- devices ----------------------------------------------------------------------------------------------

    async def add(self, args: Args, caller: Caller) -> Args:
        """A new device that needs no pairing, with its key file."""
        name = text(args, "name", MAX_NAME_BYTES)
        registry = self._house.registry

        def work(now_ns: int, now_ms: int) -> Device:
            device = Device(DeviceId(registry.next_device), name, registry.random(32), "active", now_ms)
            registry.add_device(device)
            return device

        made = await self._spine.ask(work)
        self._house.observer.emit(events.DevicePaired())
        return self._key_file(made, made.key)

    def _key_file(self, device: Device, key: bytes) -> Args:
        host, port = self._where()
        return {
            "device": device.device,
            "name": device.name,
            "key": key.hex(),
            "home": self._house.registry.names.home,
            # The counter goes on over a change of the key: a HELLO below it would be taken for a replay.
            "hello_seq": device.hello_seq,
            # Where no UDP is listened to, a device comes through a broker, and these would mislead it.
            **({"host": host, "port": port} if port else {}),
        }

    async def list(self, args: Args, caller: Caller) -> Args:
        """All devices."""
        return {"devices": status.devices(self._house)}

    async def rotate(self, args: Args, caller: Caller) -> Args:
        """Give a device another key: `{"device", "anew", "show"}`.

        The key is durable before the device is told. With `show` the answer holds a key file's members, and a new key
        is carried by that file alone; without, there is no secret in the answer, and links carry it. `told` is the
        number of links that it was sent on, `again` whether this key was pending before, `answered` what the device
        said to it over a link: a result of commands, or nothing yet.
        """
        registry = self._house.registry
        anew, show = bool(args.get("anew")), bool(args.get("show"))

        def work(now_ns: int, now_ms: int) -> tuple[Device, bytes, bool]:
            found = device(args, registry)
            _must_be_active(found)
            if anew and rotation.answered(registry, found) == DONE:
                raise LocalError(
                    "device",
                    f"device {found.device} has taken its new key already; another one would lock it out",
                    "Wait until it uses that key: `vestibule device rotate DEVICE --wait`.",
                )
            again = bool(found.next_key) and not anew
            return found, rotation.stage(registry, found, anew, by_file=show), again

        found, key, again = await self._spine.ask(work)
        if not again:
            self._house.observer.emit(events.KeyRotationStarted())

        def tell(now_ns: int, now_ms: int) -> tuple[int, list[Effect]]:
            _must_be_active(found)
            if key not in (found.key, found.next_key):
                # That one may not be durable yet: who asked for it is told it.
                raise LocalError(
                    "device",
                    f"somebody else has just asked for another key of device {found.device}",
                    "If that was not you, ask again: it gives the key that counts.",
                )
            # A HELLO may have come under it since: then nothing is to be told.
            may = key == found.next_key and not found.next_by_file
            return rotation.tell(registry, found, now_ns) if may else (0, [])

        told = await self._spine.tell(tell)
        answer = {
            "device": found.device,
            "name": found.name,
            "told": told,
            "again": again,
            "by_file": found.next_by_file,
            "answered": rotation.answered(registry, found),
        }
        return {**answer, **self._key_file(found, key)} if show else answer

    async def rotate_wait(self, args: Args, caller: Caller) -> Args:
        """Wait until a device uses its new key, or `seconds` have passed: `in_use`; `answered` as for `rotate`."""
        registry = self._house.registry
        found = device(args, registry)
        until_s = asyncio.get_running_loop().time() + seconds(args, "seconds", MAX_WAIT_S)
        while True:
            changed = self._changed
            _must_be_active(found)
            left_s = until_s - asyncio.get_running_loop().time()
            if not found.next_key or left_s <= 0:
                return {
                    "device": found.device,
                    "in_use": not found.next_key,
                    "answered": rotation.answered(registry, found),
                }
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), left_s)

    async def revoke(self, args: Args, caller: Caller) -> Args:
        """Take nothing more of a device."""
        registry = self._house.registry

        def work(now_ns: int, now_ms: int) -> Device:
            found = device(args, registry)
            effects = commands.revoked(registry, found, now_ns)
            registry.revoke(found)
            self._spine.enter([], effects)
            return found

        found = await self._spine.ask(work)
        self._house.observer.emit(events.DeviceRevoked())
        return {"device": found.device}


def _must_be_active(device: Device) -> None:
    if device.state != "active":
        raise LocalError(
            "device",
            f"device {device.device} is revoked",
            "To use that headset again, pair it anew: `vestibule pair`.",
        )
