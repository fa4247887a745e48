"""All links of a device: what they hold together, what is dropped, and what is sent again.

Order is age: the oldest link drains first and overflows first. Live packets never wait for any of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.device import events as ev
from gateway.device.account import LINK_GONE, OVERFLOW, Account, samples_in
from gateway.device.config import MS, DeviceConfig
from gateway.device.link import Link
from gateway.device.pace import Pace
from gateway.wire.control import MAX_LINKS

PROBE_NS: Final = 1_000 * MS  # one resend a second into the silence finds a gateway that came back
ASK_NS: Final = (
    30_000 * MS
)  # a draining link that hears nothing for this long: HELLO asks whether it is still kept


class Links:
    """Every link that is current or drains, by number, oldest first.

    Args:
        config: the ring's limits.
        account: where samples and packets are counted.
    """

    def __init__(self, config: DeviceConfig, account: Account) -> None:
        self.pace = Pace()
        self._config = config
        self._account = account
        self._links: dict[int, Link] = {}

    def __len__(self) -> int:
        return len(self._links)

    def __iter__(self) -> Iterator[Link]:
        return iter(self._links.values())

    def __contains__(self, number: int) -> bool:
        return number in self._links

    def get(self, number: int) -> Link | None:
        """The link of that number, or None."""
        return self._links.get(number)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Their numbers, newest last, as HELLO lists them."""
        return tuple(self._links)

    @property
    def held_packets(self) -> int:
        """Packets without a receipt."""
        return sum(len(link.ring) for link in self)

    @property
    def held_bytes(self) -> int:
        """Bytes of those packets."""
        return sum(link.ring.byte_count for link in self)

    def behind_ns(self, now_ns: int) -> int:
        """Age of the oldest packet without a receipt, from its first send; 0 when there is none."""
        oldest = [held.first_ns for link in self if (held := link.ring.oldest()) is not None]
        return max(0, now_ns - min(oldest)) if oldest else 0

    def add(self, link: Link) -> None:
        """Take in a new link; when there are more than HELLO can name, the oldest gives way."""
        while len(self._links) >= MAX_LINKS:
            self.drop(next(iter(self)), OVERFLOW)
        self._links[link.number] = link

    def drop(self, link: Link, cause: str = LINK_GONE) -> None:
        """Forget a link; what it holds is lost."""
        self._account.lost[cause] += samples_in(link.ring.clear())
        del self._links[link.number]

    def forget_drained(self, link: Link) -> None:
        """Forget a link if it has ended and everything has its receipt, BYE too."""
        if link.ended and not len(link.ring):
            del self._links[link.number]

    def bound(self) -> None:
        """Drop the oldest packets until the ring's limits hold; the next packet's floor says so."""
        config = self._config
        while self.held_bytes > config.ring_bytes or self.held_packets > config.ring_packets:
            for link in self:
                if (held := link.ring.drop_oldest()) is not None:
                    self._account.lost[OVERFLOW] += samples_in((held,))
                    break
            else:
                return

    def send(self, link: Link, packet: bytes, out: list[ev.Effect]) -> None:
        """Send a packet for the first time."""
        self._account.sent += 1
        out.append(ev.Send(packet, False, link.gateway))

    def resend(self, now_ns: int, out: list[ev.Effect]) -> None:
        """Send again what is due, as fast as the pace allows; into a silence only probes."""
        for link in self:
            if link.silent(now_ns):
                if now_ns >= link.probe_ns and self._send_due(link, now_ns, out):
                    link.probe_ns = now_ns + PROBE_NS
                continue
            while (due_ns := link.ring.next_due_ns()) is not None and due_ns <= now_ns:
                if not self.pace.take(now_ns):
                    break
                self._send_due(link, now_ns, out)

    def ask(self, now_ns: int) -> bool:
        """Whether HELLO should ask about draining links that hear nothing; each is asked about once."""
        asking = [link for link in self if _unsure(link) and now_ns >= link.heard_ns + ASK_NS]
        for link in asking:
            link.asked = True
        return bool(asking)

    def resend_times(self, now_ns: int) -> list[int]:
        """When `resend` has something to do, for each link."""
        times = []
        for link in self:
            if (due_ns := link.ring.next_due_ns()) is not None:
                times.append(
                    max(due_ns, link.probe_ns if link.silent(now_ns) else self.pace.ready_at(now_ns))
                )
        return times

    def ask_times(self) -> list[int]:
        """When `ask` has something to ask, for each link."""
        return [link.heard_ns + ASK_NS for link in self if _unsure(link)]

    def _send_due(self, link: Link, now_ns: int, out: list[ev.Effect]) -> bool:
        held = link.ring.take_due(now_ns)
        if held is None:
            return False
        self._account.resent += 1
        out.append(ev.Send(held.packet, False, link.gateway))
        return True


def _unsure(link: Link) -> bool:
    return link.ended and not link.asked and len(link.ring) > 0
