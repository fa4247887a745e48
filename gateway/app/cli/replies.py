"""What the daemon answers, with types. Fields that are not shown are left out: JSON output passes everything on."""

from __future__ import annotations

import msgspec


class StreamRow(msgspec.Struct, frozen=True):
    """One stream of a session; counts are samples."""

    device: int
    run: str
    stream: int
    kind: str
    total: int = 0
    stored: int = 0
    refused: dict[str, int] = {}
    missing: int = 0


class SessionRow(msgspec.Struct, frozen=True):
    """One session."""

    session: str
    subject: str
    purpose: str
    devices: list[int]
    kinds: list[str]
    state: str
    opened_ms: int
    closed_ms: int = 0
    streams: list[StreamRow] = []
    proof: str = ""

    @property
    def stored(self) -> int:
        """Samples that are durable."""
        return sum(stream.stored for stream in self.streams)

    @property
    def missing(self) -> int:
        """Samples whose numbers were passed and that never came."""
        return sum(stream.missing for stream in self.streams)

    @property
    def refused(self) -> dict[str, int]:
        """Samples that a rule rejected, by reason."""
        sums: dict[str, int] = {}
        for stream in self.streams:
            for reason, number in stream.refused.items():
                sums[reason] = sums.get(reason, 0) + number
        return sums


class Sessions(msgspec.Struct, frozen=True):
    """Answer to `session.list`."""

    sessions: list[SessionRow]


class LinkRow(msgspec.Struct, frozen=True):
    """One link of a device; `fresh_ms` is the UTC time of its newest packet."""

    link: int
    state: str
    transport: str = ""
    established: bool = False
    waiting: bool = False
    fresh_ms: int = 0
    bad_tags: int = 0


class BadTags(msgspec.Struct, frozen=True):
    """Packets that did not verify: `on` is `links` or `hellos`, the times are UTC of the first and the newest."""

    count: int
    since_ms: int
    last_ms: int
    on: str = ""


class DeviceRow(msgspec.Struct, frozen=True):
    """One device."""

    device: int
    name: str
    state: str
    created_ms: int = 0
    rotating: bool = False
    rotating_by_file: bool = False
    bad_tags: list[BadTags] = []
    links: list[LinkRow] = []

    @property
    def fresh_ms(self) -> int:
        """UTC time of its newest packet; 0 where it never sent one."""
        return max((link.fresh_ms for link in self.links), default=0)


class Devices(msgspec.Struct, frozen=True):
    """Answer to `device.list`."""

    devices: list[DeviceRow]


class DeviceKey(msgspec.Struct, frozen=True):
    """Answer to `device.add`, and to `device.rotate` with `show`; `key` is 64 hex digits, and secret."""

    device: int
    key: str
    home: str
    name: str = ""


class Rotation(msgspec.Struct, frozen=True):
    """Answer to `device.rotate`: `told` links were sent the key; `again` where it was pending before.

    `by_file`: no link carries it, only the file does. `answered`: what the headset said to it over a link.
    """

    device: int
    told: int = 0
    again: bool = False
    by_file: bool = False
    answered: str = ""


class LogRow(msgspec.Struct, frozen=True):
    """The log's head; `root` in base64."""

    size: int
    root: str = ""
    commit_age_ms: int = 0


class QueueRow(msgspec.Struct, frozen=True):
    """What waits for admission."""

    packets: int = 0
    bytes: int = 0


class MqttRow(msgspec.Struct, frozen=True):
    """The broker.

    Args:
        why: one word, why it is not connected.
        refused: payloads of a topic, size or QoS that is not taken, by which of them.
        dropped: answers, since the broker was away or slow.
        unsent: answers that the broker refused to take.
    """

    enabled: bool = False
    connected: bool = False
    why: str = ""
    refused: dict[str, int] = {}
    dropped: int = 0
    unsent: int = 0


class WitnessRow(msgspec.Struct, frozen=True):
    """A witness: the size of our head that it holds, and why the newest has no cosignature of it."""

    name: str
    url: str = ""
    size: int = 0
    why: str = ""


class ConfirmedRow(msgspec.Struct, frozen=True):
    """How far the log is confirmed; `active` is false where no quorum could ever cosign it."""

    active: bool = False
    size: int = 0
    at_ms: int = 0
    lag_entries: int = 0
    lag_ms: int = 0
    quorum: int = 0
    parties: int = 0
    witnesses: list[WitnessRow] = []


class PeersRow(msgspec.Struct, frozen=True):
    """The federation in a few figures."""

    enabled: bool = False
    listen: str = ""
    member: bool = False
    members: int = 0
    alive: int = 0
    roster: int = 0
    waiting_for: str = ""
    removed_in: int = 0
    frozen: list[str] = []
    mirror_lag_entries: int = 0
    learning: bool = False
    down: bool = False
    confirmed: ConfirmedRow = ConfirmedRow()


class Status(msgspec.Struct, frozen=True):
    """Answer to `status`."""

    version: str
    gateway: str
    origin: str
    pid: int
    started_ms: int
    log: LogRow
    boot: int = 0
    did: str = ""
    held: str = ""
    ready: bool = True
    batches: int = 0
    frames: int = 0
    samples: int = 0
    queue: QueueRow = QueueRow()
    admitted: int = 0
    copies: int = 0
    refused: dict[str, int] = {}
    frames_refused: dict[str, int] = {}
    shed: dict[str, int] = {}
    kernel_dropped: int = 0
    receive_buffer_bytes: int = 0
    devices: list[DeviceRow] = []
    bad_codes: list[BadTags] = []
    sessions: list[SessionRow] = []
    mqtt: MqttRow = MqttRow()
    peers: PeersRow = PeersRow()
    udp: str = ""
    http: str = ""
    disk_free_bytes: int = 0


class PairCode(msgspec.Struct, frozen=True):
    """Answer to `pair`; the code is secret until it is spent."""

    code: str
    expires_ms: int
    host: str
    port: int
    uri: str
    home: str = ""
