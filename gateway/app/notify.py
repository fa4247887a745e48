"""Tells systemd how the daemon is: ready, alive, stopping, and one line of status (sd_notify, by hand).

The protocol is one datagram to the Unix socket that NOTIFY_SOCKET names (sd_notify(3)); outside systemd the variable is
absent and nothing happens. A watchdog ping must come from the code that has just proven progress, not from a timer of
its own: `Watchdog.progressed` is therefore called by the commit loop and sends only when a ping is due.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping


def notify(state: str, env: Mapping[str, str] = os.environ) -> bool:
    """Send lines like "READY=1" or "STATUS=12 devices" to systemd.

    Args:
        state: one or more assignments, separated by newlines.
        env: where NOTIFY_SOCKET is looked up; a leading @ means an abstract socket.

    Returns:
        Whether it was sent; False where nobody listens, which is never an error of the daemon.
    """
    address = env.get("NOTIFY_SOCKET", "")
    if address[:1] not in {"/", "@"}:
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            # A full queue at systemd's end must not hold the event loop: the next line comes soon.
            sock.setblocking(False)
            sock.connect("\0" + address[1:] if address[0] == "@" else address)
            sock.sendall(state.encode())
    except OSError:
        return False
    return True


def watchdog_interval_s(env: Mapping[str, str] = os.environ, pid: int | None = None) -> float | None:
    """Return how often to ping systemd: half of WATCHDOG_USEC, or None where this process has no watchdog."""
    try:
        usec = int(env["WATCHDOG_USEC"])
        wanted_pid = int(env.get("WATCHDOG_PID") or 0)
    except (KeyError, ValueError):
        return None
    if usec <= 0 or wanted_pid not in {0, os.getpid() if pid is None else pid}:
        return None
    return usec / 2_000_000


class Watchdog:
    """Sends WATCHDOG=1 when progress was made and a ping is due.

    Args:
        interval_s: as `watchdog_interval_s` gives it; None switches it off.
        send: how a state is sent.
    """

    def __init__(self, interval_s: float | None, send: Callable[[str], bool] = notify) -> None:
        self.interval_s = interval_s
        self._send = send
        self._due_s = float("-inf")

    def progressed(self, now_s: float) -> bool:
        """Note progress at `now_s` (monotonic seconds); return whether a ping was sent."""
        if self.interval_s is None or now_s < self._due_s:
            return False
        self._due_s = now_s + self.interval_s
        return self._send("WATCHDOG=1")
