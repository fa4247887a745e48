"""What a device is told when it is made: who it is, and the sizes and times it works with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from gateway.errors import LocalError
from gateway.ids import U16_MAX, U32_MAX, U64_MAX
from gateway.keys.link import DEVICE_KEY_BYTES
from gateway.wire import packet as wire
from gateway.wire.control import MAX_TOPIC_NAME_BYTES, VERSION

MS: Final = 1_000_000  # nanoseconds

RING_BYTES: Final = 16 * 1024 * 1024  # VT1, "Delivery"
RING_PACKETS: Final = 32_768  # VT1, "Delivery"
SPOOL_BYTES: Final = 256 * 1024 * 1024  # VT1, "Delivery": what an app that turns the spool on should give
SPOOL_PACKETS: Final = 262_144  # VT1, "Delivery": each is known here by its number, so they are bounded too
CLOCK_STREAM: Final = U16_MAX  # the last number, so that apps may count theirs from 0
MAX_BYTES: Final[dict[str, int]] = {"udp": wire.MAX_DATAGRAM_BYTES, "mqtt": wire.MAX_MQTT_BYTES}
MIN_PACKET_BYTES: Final = 1120  # an info of 1,024 bytes has to fit, and BYE with the totals of 64 streams
APP_COMMANDS: Final = frozenset(("haptic", "text", "marker"))
CONTROLLERS: Final = frozenset((1, 2))  # left and right, as trackers of a pose


@dataclass(frozen=True, slots=True)
class DeviceConfig:
    """Who the device is and how it works.

    Args:
        device: its number, from the pairing.
        key: K_dev, 32 bytes.
        home: the name its HELLO goes to.
        hello_seq: the HELLO counter that was last persisted; -1 for a new device.
        run: u64, random, chosen at this start of the app.
        transport: `udp` or `mqtt`.
        ring_bytes: most bytes of packets that wait for their receipts.
        ring_packets: most such packets.
        spool_bytes: most bytes of packets in the spool; 0 for no spool. With one, a full ring lets go of bytes that the
            spool has, and no longer of packets.
        spool_packets: most packets in the spool.
        max_packet: largest packet in bytes; None takes the transport's.
        linger_ms: how long a sample may wait for others to share its packet. 200 ms fills pose frames at 72 Hz to
            15 of 16 samples, and stays well below the seal interval of 1 s.
        resend_first_ms: resend what has no receipt after this. Receipts come with the next commit (1 s by default)
            and the commit itself takes its time: resending sooner would only make copies.
        resend_most_ms: the wait doubles with each resend up to this.
        hurry_after: a packet without a receipt is resent at once when one this much younger has its receipt.
        silence_ms: nothing heard on the live link for this long means that the gateway or the way to it is gone
            (five clock bursts without one answer): HELLO goes out, and resends shrink to probes.
        wait_retry_ms: how long a device that is waiting or refused lets pass before its next HELLO.
        clock_stream: stream number of the clock frames.
        probes: False sends no clock bursts (only single probes that keep the link alive).
        versions: protocol versions offered, ascending.
        send_unpermitted: True also captures kinds that WELCOME does not permit, for tests of the gateway's refusals.
        commands: verbs that the app carries out; others are answered `unsupported`.
        targets: numbers of the haptic targets that the device has; others are refused.

    Raises:
        LocalError: `device_config`.
    """

    device: int
    key: bytes = field(repr=False)
    home: str
    hello_seq: int
    run: int
    transport: str = "udp"
    ring_bytes: int = RING_BYTES
    ring_packets: int = RING_PACKETS
    spool_bytes: int = 0
    spool_packets: int = SPOOL_PACKETS
    max_packet: int | None = None
    linger_ms: int = 200
    resend_first_ms: int = 2_500
    resend_most_ms: int = 10_000
    hurry_after: int = 64
    silence_ms: int = 10_000
    wait_retry_ms: int = 5_000
    clock_stream: int = CLOCK_STREAM
    probes: bool = True
    versions: tuple[int, ...] = (VERSION,)
    send_unpermitted: bool = False
    commands: frozenset[str] = APP_COMMANDS
    targets: frozenset[int] = CONTROLLERS

    def __post_init__(self) -> None:
        limit = MAX_BYTES.get(self.transport, 0)
        positive = (
            self.linger_ms,
            self.resend_first_ms,
            self.hurry_after,
            self.silence_ms,
            self.wait_retry_ms,
            self.ring_packets,
            self.spool_packets,
        )
        checks = (
            ("transport is `udp` or `mqtt`", limit > 0),
            ("device is a u32 above 0", 0 < self.device <= U32_MAX),
            (f"key has {DEVICE_KEY_BYTES} bytes", len(self.key) == DEVICE_KEY_BYTES),
            (
                f"home has 1 to {MAX_TOPIC_NAME_BYTES} bytes",
                0 < len(self.home.encode()) <= MAX_TOPIC_NAME_BYTES,
            ),
            ("hello_seq is -1 or the last counter used", -1 <= self.hello_seq < U64_MAX),
            ("run is a u64", 0 <= self.run <= U64_MAX),
            (
                f"max_packet is {MIN_PACKET_BYTES} to {limit} bytes",
                self.max_packet is None or MIN_PACKET_BYTES <= self.max_packet <= limit,
            ),
            ("times and sizes are above 0", min(positive) > 0),
            ("ring_bytes holds two packets", self.ring_bytes >= 2 * (self.max_packet or limit)),
            (
                "spool_bytes is 0 or holds two packets",
                self.spool_bytes == 0 or self.spool_bytes >= 2 * (self.max_packet or limit),
            ),
            ("resend_most_ms is not below resend_first_ms", self.resend_most_ms >= self.resend_first_ms),
            ("clock_stream is a u16", 0 <= self.clock_stream <= U16_MAX),
            ("versions are 1 to 255, ascending", len(self.versions) > 0 and _ascending(self.versions)),
            ("commands are verbs of the app", self.commands <= APP_COMMANDS),
            ("targets are 0 to 255", all(0 <= target <= 0xFF for target in self.targets)),
        )
        for rule, holds in checks:
            if not holds:
                raise LocalError("device_config", f"device configuration: {rule}", f"Set it so that {rule}.")

    @property
    def packet_bytes(self) -> int:
        """The largest packet this device sends, in bytes."""
        return self.max_packet or MAX_BYTES[self.transport]

    @property
    def resend_delays_ns(self) -> tuple[int, ...]:
        """How long to wait after the first, second ... send of a packet; the last holds for all that follow."""
        delays = [self.resend_first_ms]
        while delays[-1] < self.resend_most_ms:
            delays.append(min(2 * delays[-1], self.resend_most_ms))
        return tuple(delay * MS for delay in delays)


def _ascending(versions: tuple[int, ...]) -> bool:
    return all(0 < version < 256 for version in versions) and list(versions) == sorted(set(versions))
