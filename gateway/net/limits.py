"""How much, how long and how often strangers and members may ask an HTTP listener. Ours, all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a listener.

    Args:
        connections: in all.
        of_address: of strangers at one address (IPv6: one network of 64 bits).
        of_member: of a member, wherever it comes from.
        slow_s: for a handshake; for a whole request, from its first byte on; and for a first request.
        member_idle_s: between two requests of a member. Its client lets go earlier, so that none meets a closed door.
        work_s: until an answer is there. The other side waits no longer; the work itself goes on.
        take_bytes_s: the least pace at which an answer is taken, after `slow_s`.
        raw_bytes: of one request of a stranger with all that is round it: chunk sizes, and what follows it already.
        member_raw_bytes: the same of a member.
        working: requests of strangers that are worked on at once.
        sending_bytes: in answers that were not taken yet; beyond, strangers wait.
        connections_s, connections_burst: new connections of an address. A handshake costs a millisecond, and the
            recorder lives in the same loop.
        all_connections_s, all_connections_burst: new connections in all.
        asks_s, asks_burst: requests of strangers at one address; a long one counts as several.
        member_asks_s, member_asks_burst: requests of a member.
    """

    connections: int = 256
    of_address: int = 64
    of_member: int = 8
    slow_s: float = 10.0
    member_idle_s: float = 75.0
    work_s: float = 30.0
    take_bytes_s: float = 65536.0
    raw_bytes: int = 48 << 10
    member_raw_bytes: int = 576 << 10
    working: int = 64
    sending_bytes: int = 64 << 20
    connections_s: float = 50.0
    connections_burst: int = 256
    all_connections_s: float = 100.0
    all_connections_burst: int = 512
    asks_s: float = 200.0
    asks_burst: int = 1000
    member_asks_s: float = 200.0
    member_asks_burst: int = 1000


ASK_BYTES: Final = 4096  # that count as one request more
LIMITS: Final = Limits()
