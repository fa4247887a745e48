"""VT1's MQTT topics, written and read. Source: `plugins/SPEC.md`, "MQTT".

Names of gateways and homes are topic-safe where they come from (the configuration, WELCOME), so nothing here escapes.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.ids import U32_MAX

ROOT: Final = "vestibule"
ANY: Final = "+"  # one level of a topic filter

_NUMBER: Final = re.compile("0|[1-9][0-9]{0,9}")  # one spelling for each device, or ACLs could be gone round


def hello(home: str, device: int | str) -> str:
    """Where a device's HELLO goes; `ANY` for the gateway's filter."""
    return f"{ROOT}/{home}/hello/{device}"


def up(gateway: str, device: int | str) -> str:
    """Where packets of the links of `gateway` go."""
    return f"{ROOT}/{gateway}/{device}/up"


def down(gateway: str, device: int | str) -> str:
    """Where `gateway` answers a device."""
    return f"{ROOT}/{gateway}/{device}/down"


def uplink_device(topic: str, gateway: str, home: str) -> int | None:
    """Read the device number out of a topic that a gateway listens to.

    Args:
        topic: as the broker gave it.
        gateway: the gateway's name.
        home: the home's name.

    Returns:
        The number, u32; None for any other topic, and for a number that is not plain decimal without leading zeros.
    """
    levels = topic.split("/")
    if len(levels) != 4 or levels[0] != ROOT:
        return None
    if levels[1] == gateway and levels[3] == "up":
        number = levels[2]
    elif levels[1] == home and levels[2] == "hello":
        number = levels[3]
    else:
        return None
    if _NUMBER.fullmatch(number) is None or int(number) > U32_MAX:
        return None
    return int(number)
