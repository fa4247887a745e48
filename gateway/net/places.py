"""Who may keep a connection: so many in all, so many for an address, so many for a member.

When there is no place left, the newcomer gets that of whoever has kept us waiting longest. So a crowd that opens
connections and says nothing pushes itself out, and a peer always comes in; nobody is pushed out while we work on what
was asked. Members are counted apart, from the moment that they have shown a certificate: an address may be shared.
"""

from __future__ import annotations

import enum
import ipaddress
from collections import defaultdict
from typing import Final, Generic, Protocol, TypeVar

from gateway.net.limits import Limits

SUBNET_BITS: Final = 64  # of an IPv6 address: one network, usually one customer (RFC 6177)


class Phase(enum.IntEnum):
    """What a connection is at, in the order in which they are given up."""

    WAITING = 0
    """For the other side: a handshake, a request, the rest of one."""
    TAKING = 1
    """The other side takes its answer."""
    WORKING = 2
    """We owe an answer: not given up."""


class Holder(Protocol):
    """Whoever holds a place."""

    address: str
    member: str | None
    phase: Phase
    since: float
    """When the phase began, on any clock."""


H = TypeVar("H", bound=Holder)


def address_key(host: str) -> str:
    """What counts as one address: IPv4, also where it is mapped into IPv6, or an IPv6 network."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, SUBNET_BITS), strict=False))
    return host


class Places(Generic[H]):
    """All places of a listener.

    Args:
        limits: how many there are.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._strangers: defaultdict[str, list[H]] = defaultdict(list)
        self._members: defaultdict[str, list[H]] = defaultdict(list)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def enter(self, newcomer: H) -> H | None:
        """Take a place.

        Args:
            newcomer: not known yet; it counts for its address.

        Returns:
            Who must leave: somebody else, or the newcomer itself if nobody can be given up. None if there is room.
            Whoever must leave has lost its place already.
        """
        there = self._strangers.get(newcomer.address, [])
        leaving: H | None = None
        if len(there) >= self._limits.of_address:
            leaving = _stalest(there) or newcomer
        elif self._count >= self._limits.connections:
            strangers = [holder for holders in self._strangers.values() for holder in holders]
            members = [holder for holders in self._members.values() for holder in holders]
            leaving = _stalest(strangers) or _stalest(members) or newcomer
        if leaving is not newcomer:
            if leaving is not None:
                self.leave(leaving)
            self._strangers[newcomer.address].append(newcomer)
            self._count += 1
        return leaving

    def identify(self, holder: H, member: str) -> H | None:
        """Count somebody for a member from now on.

        Returns:
            Who must leave, as of `enter`.
        """
        there = self._members.get(member, [])
        leaving = (_stalest(there) or holder) if len(there) >= self._limits.of_member else None
        if leaving is not None:
            self.leave(leaving)
        if leaving is not holder:
            self.leave(holder)
            holder.member = member
            self._members[member].append(holder)
            self._count += 1
        return leaving

    def leave(self, holder: H) -> None:
        """Give a place back; nothing happens if it is gone."""
        rows, key = (
            (self._strangers, holder.address) if holder.member is None else (self._members, holder.member)
        )
        there = rows.get(key)
        if there is not None and holder in there:
            there.remove(holder)
            self._count -= 1
            if not there:
                del rows[key]


def _stalest(holders: list[H]) -> H | None:
    given_up = [holder for holder in holders if holder.phase is not Phase.WORKING]
    return min(given_up, key=lambda holder: (holder.phase, holder.since), default=None)
