"""What all verbs of the control socket share: the form of a request, and how its arguments are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.core.records import Device
from gateway.core.registry import Registry
from gateway.errors import LocalError
from gateway.ids import DeviceId

Args = dict[str, Any]


@dataclass(slots=True)
class Reach:
    """Where headsets and people reach this daemon, for `pair` and `status`."""

    udp_host: str
    udp_port: int
    http: str
    pairing_s: int
    started_ms: int


def text(args: Args, name: str, most: int, default: str | None = None) -> str:
    """A text of a request.

    Args:
        args: of the request.
        name: which.
        most: bytes it may have.
        default: what stands for a text that is missing; without one it must be there, and not empty.

    Raises:
        LocalError: `argument`.
    """
    value = args.get(name, default)
    if not isinstance(value, str) or len(value.encode()) > most or (not value and default is None):
        raise LocalError("argument", f"{name} is a text of 1 to {most} bytes", "See --help.")
    return value


def device(args: Args, registry: Registry) -> Device:
    """The device that a request names by its number.

    Raises:
        LocalError: `device`.
    """
    number = args.get("device")
    found = registry.devices.get(DeviceId(number)) if isinstance(number, int) else None
    if found is None:
        raise LocalError("device", f"there is no device {number}", "See `vestibule device list`.")
    return found


def seconds(args: Args, name: str, most: float) -> float:
    """A time of a request: above 0, and at most `most` seconds.

    Raises:
        LocalError: `argument`.
    """
    value = args.get(name, most)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        raise LocalError("argument", f"{name} is a number of seconds up to {most:g}", "See --help.")
    return float(value)


def whole(args: Args, name: str, low: int, high: int, default: int) -> int:
    """A whole number of a request, from `low` to `high`.

    Raises:
        LocalError: `argument`.
    """
    value = args.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise LocalError("argument", f"{name} is a whole number from {low} to {high}", "See --help.")
    return value
