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
        self.unsaid = False
        """A link was forgotten of whose end the gateway does not know."""

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
        """Bytes of those packets that are in the ring."""
        return sum(link.ring.byte_count for link in self)

    @property
    def loaded_packets(self) -> int:
        """Packets in the ring; the others are in the spool alone."""
        return sum(link.ring.loaded for link in self)

    @property
    def kept_packets(self) -> int:
        """Packets in the spool."""
        return sum(link.ring.kept_packets for link in self)

    @property
    def kept_bytes(self) -> int:
        """Their bytes."""
        return sum(link.ring.kept_bytes for link in self)

    def behind_ns(self, now_ns: int) -> int:
        """Age of the oldest packet without a receipt, from its first send; 0 when there is none."""
        oldest = [held.first_ns for link in self if (held := link.ring.oldest()) is not None]
        return max(0, now_ns - min(oldest)) if oldest else 0

    def add(self, link: Link, out: list[ev.Effect]) -> None:
        """Take in a new link; when there are more than HELLO can name, the oldest gives way."""
        while len(self._links) >= MAX_LINKS:
            self.drop(next(iter(self)), out, OVERFLOW)
        self._links[link.number] = link

    def drop(self, link: Link, out: list[ev.Effect], cause: str = LINK_GONE) -> None:
        """Forget a link; what it holds is lost."""
        link.account.lost[cause] += samples_in(link.ring.clear())
        self._forget(link, out)

    def forget_drained(self, link: Link, out: list[ev.Effect]) -> None:
        """Forget a link if it has ended and everything has its receipt, BYE too."""
        if link.ended and not len(link.ring):
            self.unsaid = self.unsaid or link.unsaid
            self._forget(link, out)

    def lose(self, link: Link, seq: int, out: list[ev.Effect]) -> None:
        """The spool does not have a packet that only it should have."""
        held = link.ring.get(seq)
        if held is None or held.packet:
            return
        link.unsaid = link.unsaid or link.ended
        link.account.lost[OVERFLOW] += samples_in(link.ring.remove(seq, seq))
        out.append(ev.Settled(link.number, seq, seq))
        self.forget_drained(link, out)

    def bound(self, out: list[ev.Effect]) -> None:
        """Drop the oldest packets until the limits hold; the next packet's floor says so.

        Where there is a spool, the ring drops only bytes that the spool has, and the spool drops packets.
        """
        config = self._config
        if not config.spool_bytes:
            while self.held_bytes > config.ring_bytes or self.held_packets > config.ring_packets:
                if not self._drop_oldest(out):
                    return
            return
        while self.held_bytes > config.ring_bytes or self.loaded_packets > config.ring_packets:
            if not self._unload_oldest(out):
                break
        while self.kept_bytes > config.spool_bytes or self.kept_packets > config.spool_packets:
            if not self._drop_oldest(out):
                return

    def keep(self, now_ns: int | None, out: list[ev.Effect]) -> None:
        """Write to the spool what waits for its receipt as long as a resend does.

        Args:
            now_ns: device time; None takes everything: the app may be gone in a moment.
            out: takes the effects.
        """
        if not self._config.spool_bytes:
            return
        for link in self:
            for held in link.ring.keep_due(now_ns):
                out.append(ev.Keep(link.card, held.seq, samples_in((held,)), held.packet))
        self.bound(out)

    def keep_times(self) -> list[int]:
        """When `keep` has something to do, for each link."""
        return [at_ns for link in self if (at_ns := link.ring.next_keep_ns()) is not None]

    @property
    def finished(self) -> bool:
        """Whether a HELLO should tell that links are done with on which no BYE could."""
        return self.unsaid and not any(link.restored_only for link in self)

    def _unload_oldest(self, out: list[ev.Effect]) -> bool:
        for link in self:
            if (unloaded := link.ring.unload_oldest()) is not None:
                held, packet = unloaded
                if packet is not None:
                    out.append(ev.Keep(link.card, held.seq, samples_in((held,)), packet))
                return True
        return False

    def _drop_oldest(self, out: list[ev.Effect]) -> bool:
        for link in self:
            if (held := link.ring.drop_oldest()) is not None:
                link.account.lost[OVERFLOW] += samples_in((held,))
                # Above the floor that BYE told: only a HELLO that no longer names the link tells that nothing comes.
                link.unsaid = link.unsaid or link.ended
                link.settled([held], out)
                self.forget_drained(link, out)
                return True
        return False

    def _forget(self, link: Link, out: list[ev.Effect]) -> None:
        del self._links[link.number]
        if self._config.spool_bytes:
            out.append(ev.Dropped(link.number))

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
        if held.packet:
            out.append(ev.Send(held.packet, False, link.gateway))
        else:
            out.append(ev.SendKept(link.number, held.seq, link.gateway))
        return True


def _unsure(link: Link) -> bool:
    return link.ended and not link.asked and len(link.ring) > 0
