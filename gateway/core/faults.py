"""Packets that name somebody and do not verify: how many, of whom, since when. What `status` tells people about keys.

A device that is not the one it names, or has lost its key, gets no answer (VT1, "Order of checks"): to whoever stands
before it, a wrong key looks as if the gateway were off. So the gateway has to be able to say it. The number in a HELLO
is nobody's word: anyone may write it, so what stands here accuses no device, and decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from gateway.ids import DeviceId

QUIET_MS: Final = 900_000
"""After so long without another the trouble is over: it is shown no longer, and the next one begins a new count."""


@dataclass(slots=True)
class Fault:
    """One trouble.

    Args:
        count: packets, since it began.
        first_ms, last_ms: UTC of the first and the newest of them.
    """

    count: int = 0
    first_ms: int = 0
    last_ms: int = 0

    def note(self, now_ms: int) -> None:
        """One more."""
        if not self.lasts(now_ms):
            self.count, self.first_ms = 0, now_ms
        self.count += 1
        self.last_ms = now_ms

    def lasts(self, now_ms: int) -> bool:
        """Whether somebody should still look at it."""
        # In both directions: where the date was set back, what came "in the future" would be shown until then.
        return self.count > 0 and abs(now_ms - self.last_ms) <= QUIET_MS


@dataclass(slots=True)
class Faults:
    """What does not verify, since the start; bounded by the devices that are paired.

    Args:
        links: packets on the links of a device.
        hellos: HELLOs that name a device, under none of its keys.
        pairs: PAIRs under no code on offer; they name nobody.
    """

    links: dict[DeviceId, Fault] = field(default_factory=dict)
    hellos: dict[DeviceId, Fault] = field(default_factory=dict)
    pairs: Fault = field(default_factory=Fault)

    def on_link(self, device: DeviceId, now_ms: int) -> None:
        """A packet on a link of a device has another tag."""
        self.links.setdefault(device, Fault()).note(now_ms)

    def in_hello(self, device: DeviceId, now_ms: int) -> None:
        """A HELLO that names a device has another tag."""
        self.hellos.setdefault(device, Fault()).note(now_ms)

    def welcomed(self, device: DeviceId) -> None:
        """A device said HELLO under its key: what was wrong with that is mended."""
        self.hellos.pop(device, None)
