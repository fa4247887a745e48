"""HELLO and WELCOME: how a device gets a link. Source: VT1, "Handshake"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.device import events as ev
from gateway.device.config import MS, DeviceConfig
from gateway.errors import SignatureError, WireError
from gateway.keys.link import tag, tag_matches
from gateway.wire import control
from gateway.wire import packet as wire

HELLO_FIRST_NS: Final = 250 * MS  # above the round trip of any clinic's network
HELLO_MOST_NS: Final = 5_000 * MS  # then periodic, for ever: a gateway may be started after the headsets
HELLO_SPACING_NS: Final = (
    1_000 * MS
)  # a RESET brings a HELLO no sooner after the last: a loop of both stays slow
NO_ANSWER_SENDS: Final = 6  # after so many sends (8 s) people are told that nobody answers
# A HELLO that the gateway knows is answered only while its link is half-open. When the WELCOME was lost and the link
# replaced, the same bytes would be dropped for ever, so after a minute of them a new HELLO is made.
RENEW_SENDS: Final = 16
# An app that stops while a HELLO waits goes on asking for this long: the gateway may have made a link by it, and
# without a BYE on that link its session could not be closed in order.
LEAVE_NS: Final = 5_000 * MS


@dataclass(slots=True)
class Handshake:
    """A HELLO that waits for its WELCOME.

    Args:
        packet: the HELLO, the same bytes at each send.
        seq: its counter.
        nonce_d: its nonce.
        links: the links it listed.
        versions: the versions it offered.
        cause: why it was sent: `start`, `open`, `retry`, `recover`, `rotate`, `ask`; `finished`, which tells that
            links of an earlier run are done with, since nothing can say BYE on them; and `leave` once the app has
            stopped: what it brings gets BYE at once.
        next_ns: when it is sent again.
        sends: how often it was sent.
        until_ns: with `leave`, when it is given up.
    """

    packet: bytes
    seq: int
    nonce_d: bytes
    links: tuple[int, ...]
    versions: tuple[int, ...]
    cause: str
    next_ns: int
    sends: int = 1
    until_ns: int = 0

    @property
    def wake_ns(self) -> int:
        """When something is to be done about it."""
        return min(self.next_ns, self.until_ns) if self.cause == "leave" else self.next_ns

    def again(self, now_ns: int) -> None:
        """It is being sent again: the wait doubles up to its most."""
        self.next_ns = now_ns + min(HELLO_FIRST_NS << self.sends, HELLO_MOST_NS)
        self.sends += 1


def hello(
    config: DeviceConfig,
    k_hs: bytes,
    seq: int,
    nonce_d: bytes,
    links: tuple[int, ...],
    cause: str,
    now_ns: int,
) -> Handshake:
    """Make a HELLO that is being sent now.

    Args:
        config: who the device is.
        k_hs: handshake key.
        seq: counter, persisted before.
        nonce_d: 16 fresh random bytes.
        links: links still held, newest last; at most `MAX_LINKS`.
        cause: see `Handshake`.
        now_ns: device time.
    """
    body = control.Hello(config.device, config.run, nonce_d, list(config.versions), list(links), b"")
    pad = control.padding(len(control.encode(body)), wire.HELLO_BYTES)
    body = control.Hello(config.device, config.run, nonce_d, list(config.versions), list(links), pad)
    head = wire.pack_header(wire.HELLO, 0, seq, now_ns) + control.encode(body)
    return Handshake(
        head + tag(k_hs, head), seq, nonce_d, links, config.versions, cause, now_ns + HELLO_FIRST_NS
    )


def open_welcome(packet: bytes, header: wire.Header, k_hs: bytes, pending: Handshake) -> control.Welcome:
    """Check a WELCOME against the HELLO that waits.

    Args:
        packet: the whole packet.
        header: its parsed header.
        k_hs: handshake key.
        pending: the HELLO.

    Returns:
        The WELCOME, which answers this very HELLO.

    Raises:
        SignatureError: `bad_tag`.
        WireError: `not_mine` when it answers another HELLO; `downgrade` when versions are not what was offered;
            `malformed` and the codes of `control.decode`.
    """
    if not tag_matches(k_hs, packet):
        raise SignatureError("bad_tag", "a WELCOME with a wrong tag")
    welcome = control.decode(control.Welcome, bytes(wire.body_of(packet)))
    if header.seq != pending.seq or welcome.nonce_d != pending.nonce_d:
        raise WireError("not_mine", "a WELCOME for another HELLO")
    # Whoever takes versions out of a HELLO on its way is seen here, since the tag covers the echo.
    refused = welcome.state == control.REFUSED  # then no version was chosen, perhaps because none suits
    if tuple(welcome.offered) != pending.versions or not (refused or welcome.version in pending.versions):
        raise WireError("downgrade", "a WELCOME that names other versions than were offered")
    if refused:
        return welcome
    if (
        not welcome.link
        or header.link not in (0, welcome.link)
        or len(welcome.nonce_g) != control.NONCE_BYTES
        or bool(welcome.session) != (welcome.state == control.RECORDING)
    ):
        raise WireError("malformed", "a WELCOME without what a link needs")
    return welcome


class Greeter:
    """Sends HELLOs: the counter, the one that waits for its WELCOME, and when the next is due.

    Args:
        config: who the device is.
        k_hs: handshake key.
        random_bytes: gives n fresh random bytes.
    """

    __slots__ = ("_config", "_k_hs", "_last_ns", "_random_bytes", "_seq", "pending", "retry_ns")

    def __init__(self, config: DeviceConfig, k_hs: bytes, random_bytes: Callable[[int], bytes]) -> None:
        self._config = config
        self._k_hs = k_hs
        self._random_bytes = random_bytes
        self._seq = config.hello_seq
        self._last_ns: int | None = None
        self.pending: Handshake | None = None
        """The HELLO that waits; None while nothing is asked for."""
        self.retry_ns: int | None = None
        """When a device that is welcomed as waiting, refused or reset tries again."""

    def rekey(self, k_hs: bytes) -> None:
        """Use another handshake key from the next HELLO on; one that waits under the old key is given up."""
        self._k_hs = k_hs
        self.pending = None

    def begin(self, cause: str, links: tuple[int, ...], now_ns: int, out: list[ev.Effect]) -> Handshake:
        """Send a new HELLO; it takes the place of one that waits."""
        self._seq += 1
        self._last_ns = now_ns
        self.retry_ns = None
        nonce_d = self._random_bytes(control.NONCE_BYTES)
        made = hello(self._config, self._k_hs, self._seq, nonce_d, links, cause, now_ns)
        out.append(ev.Persist(self._seq))
        out.append(ev.Send(made.packet, True))
        self.pending = made
        return made

    def again(self, links: tuple[int, ...], now_ns: int, out: list[ev.Effect]) -> None:
        """Send the HELLO that waits again if it is due: the same bytes, or a new one after long enough."""
        pending = self.pending
        if pending is None:
            return
        if pending.cause == "leave" and now_ns >= pending.until_ns:
            self.pending = None
            return
        if now_ns < pending.next_ns:
            return
        if pending.sends >= RENEW_SENDS:
            renewed = self.begin(pending.cause, links, now_ns, out)
            renewed.sends = NO_ANSWER_SENDS  # nobody has answered so far: the waits stay long
            renewed.next_ns = now_ns + HELLO_MOST_NS
            return
        pending.again(now_ns)
        out.append(ev.Send(pending.packet, True))

    def leave(self, now_ns: int) -> None:
        """The app has stopped: what waits only makes sure that no link stays without its BYE."""
        pending = self.pending
        if pending is None or pending.cause in ("ask", "finished", "leave"):
            return
        if self.is_unanswered():
            self.pending = None  # nobody is there: nothing to take leave of
            return
        pending.cause = "leave"
        pending.until_ns = now_ns + LEAVE_NS

    def retry_in(self, wait_ns: int, now_ns: int) -> None:
        """Plan a new HELLO."""
        self.retry_ns = now_ns + wait_ns

    def retry_soon(self, now_ns: int) -> None:
        """Plan a new HELLO at once, unless the last was a moment ago."""
        last_ns = now_ns - HELLO_SPACING_NS if self._last_ns is None else self._last_ns
        self.retry_ns = max(now_ns, last_ns + HELLO_SPACING_NS)

    def is_unanswered(self) -> bool:
        """Whether people should be told that nobody answers."""
        return self.pending is not None and self.pending.sends >= NO_ANSWER_SENDS
