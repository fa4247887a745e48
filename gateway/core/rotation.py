"""Changing a device's key: staged, told, used (VT1, "Commands", `rotate`).

The next key is durable before anyone hears of it, and the old one is good until the next is used: so whatever is lost
or crashes between two steps, nobody is locked out. Asked again the same key is given, since it may be out already.
"""

from __future__ import annotations

from typing import Final

from gateway.core import commands
from gateway.core.effects import Effect
from gateway.core.link import DONE
from gateway.core.records import Device
from gateway.core.registry import Registry

KEY_BYTES: Final = 32


def stage(registry: Registry, device: Device, anew: bool, by_file: bool) -> bytes:
    """Stage a next key. One that is pending stays as it is, since the device may have it already.

    Args:
        registry: the tables.
        device: active.
        anew: put another in its place all the same.
        by_file: a file carries it to the device, and no link does; one that a link may carry stays so.

    Returns:
        The key; it may be given out after the next commit.
    """
    is_new = anew or not device.next_key
    if is_new:
        device.next_key = registry.random(KEY_BYTES)
        _forget(registry, device)
    device.next_by_file = by_file and (is_new or device.next_by_file)
    registry.staged_device(device)
    return device.next_key


def tell(registry: Registry, device: Device, now_ns: int) -> tuple[int, list[Effect]]:
    """The next key of a device is durable: tell it on every link that is live.

    Returns:
        How many links were told or have taken it already, and what to send.
    """
    registry.rotations[device.device] = device.next_key
    count = 0
    effects: list[Effect] = []
    for link in registry.links_of_device(device.device):
        registry.outcomes += link.drop_commands("rotate")
        told = commands.wanted(registry, link) if link.source is not None else None
        if told is not None and told[0] == "rotate":
            effects += commands.send(registry, link, *told, now_ns)
            count += 1
        elif link.rotated_to == device.next_key and link.rotate_result == DONE:
            count += 1
    return count, effects


def answered(registry: Registry, device: Device) -> str:
    """What a device said to its pending key, over any link since the start: `done`, another result, or nothing yet."""
    results = {
        link.rotate_result
        for link in registry.links_of_device(device.device)
        if device.next_key and link.rotated_to == device.next_key
    }
    return DONE if DONE in results else max(results, default="")


def use(registry: Registry, device: Device) -> None:
    """A HELLO came under the next key: from now on only that one is good."""
    device.key, device.next_key, device.next_by_file = device.next_key, b"", False
    registry.rotated += 1
    _forget(registry, device, DONE)


def _forget(registry: Registry, device: Device, result: str = "") -> None:
    """Of a key that was replaced, or is in use, a device is told no more."""
    registry.rotations.pop(device.device, None)
    for link in registry.links_of_device(device.device):
        gone = link.drop_commands("rotate")
        registry.outcomes += [one._replace(result=result) if result else one for one in gone]
