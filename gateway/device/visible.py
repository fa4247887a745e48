"""What a person at the device should see: one state, why, and how far behind."""

from __future__ import annotations

from typing import Final

from gateway.device import events as ev
from gateway.device.config import MS
from gateway.device.link import Link
from gateway.device.links import Links

SECOND: Final = 1_000 * MS
BEHIND_AFTER_S: Final = 5  # five seal intervals: receipts are late, not merely on their way
BEHIND_STEP_S: Final = 5  # how finely `Changed` tells it, so that a display is not told every second


def visible(link: Link | None, unanswered: bool, why: str, links: Links, now_ns: int) -> ev.Changed:
    """The state as of now.

    Args:
        link: the current link.
        unanswered: nobody answers the HELLOs of a device that wants to record.
        why: why there is no link.
        links: all links of the device.
        now_ns: device time.
    """
    if link is None:
        return ev.Changed(ev.NOT_RECORDING, "no_answer" if unanswered else why)
    if not link.recording:
        return ev.Changed(ev.WAITING, link.reason)
    behind_s = links.behind_ns(now_ns) // SECOND
    if link.hold:
        # At once: it is the gateway that knows, and somebody has to go to it.
        return ev.Changed(ev.BEHIND, link.hold, behind_s - behind_s % BEHIND_STEP_S)
    if behind_s < BEHIND_AFTER_S:
        return ev.Changed(ev.RECORDING, "")
    reason = "no_answer" if link.silent(now_ns) else "backlog"
    return ev.Changed(ev.BEHIND, reason, behind_s - behind_s % BEHIND_STEP_S)
