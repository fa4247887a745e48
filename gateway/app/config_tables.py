"""The tables of the configuration: every key with its default, unit, range and reason. This is the manual.

`config.default_text` writes these words out as the commented file; `config.check` holds a file to the rules.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from gateway.app import config_rules as rules
from gateway.app.config_rules import Rule

OPS = ("prove", "export", "view", "live")
"""What an actor may be allowed to do with frames: proofs with data, files, stored data, data as it arrives."""

_Value = TypeVar("_Value")


def _key(default: _Value, rule: Rule, doc: str, *, required: bool = False) -> _Value:
    """Describe one key: default, rule, and the sentence of the manual. Typed as the value it stands for."""
    return dataclasses.field(default=default, metadata={"rule": rule, "doc": doc, "required": required})


@dataclass(frozen=True, slots=True)
class Gateway:
    """Who this gateway is."""

    name: str = _key("", rules.topic_name(), "Its name in MQTT topics and on screens.", required=True)
    origin: str = _key(
        "",
        rules.origin(),
        "Origin of its transparency log (C2SP tlog-checkpoint): a name like a URL without scheme, under a domain that "
        "you own. It stands in every proof for ever: never change it.",
        required=True,
    )


@dataclass(frozen=True, slots=True)
class Udp:
    """Headsets on the local network."""

    enabled: bool = _key(True, rules.flag(), "Whether to listen at all.")
    listen: str = _key(
        "0.0.0.0:4747", rules.listen(), "Where headsets send to. Every packet is authenticated."
    )
    receive_buffer_bytes: int = _key(
        8_388_608,
        rules.whole(65_536, 268_435_456),
        "Asked of the kernel; bridges pauses such as a slow fsync. The kernel grants net.core.rmem_max at most; "
        "`vestibule status` shows what it granted.",
    )


@dataclass(frozen=True, slots=True)
class Mqtt:
    """A broker, for headsets that cannot reach this machine by UDP. It need not be trusted: packets stay sealed."""

    enabled: bool = _key(False, rules.flag(), "Whether to connect to a broker.")
    host: str = _key("", rules.text("a host name or an address", 253), "The broker's host.")
    port: int = _key(8883, rules.whole(1, 65_535), "The broker's port; 8883 is MQTT over TLS.")
    tls: bool = _key(
        True, rules.flag(), "TLS to the broker. Without it the password crosses the network in clear."
    )
    tls_ca_file: str = _key(
        "", rules.text("a path", 4096), 'Certificate authority of the broker, PEM; "" takes the system\'s.'
    )
    username: str = _key(
        "", rules.text("a user name", 256), "User at the broker; the shipped ACL calls it gw-NAME."
    )
    password_file: str = _key(
        "", rules.text("a path", 4096), "File that holds the password and nothing else."
    )
    receive_maximum: int = _key(
        4096,
        rules.whole(1, 65_535),
        "Packets the broker may have on the way before the first is confirmed. Each is confirmed only after its "
        "commit, so this must exceed packets a second times the seal interval. The broker's limit must not be less.",
    )
    keep_alive_s: int = _key(
        30, rules.whole(5, 3600), "Silence after which both sides take the connection for dead."
    )


@dataclass(frozen=True, slots=True)
class Http:
    """Pages, proofs and metrics."""

    listen: str = _key(
        "127.0.0.1:4748", rules.listen(), "This machine only, unless you put another address here."
    )


@dataclass(frozen=True, slots=True)
class Peers:
    """Other gateways: they copy this log, cosign what continues, and prove what does not. No sample leaves."""

    enabled: bool = _key(False, rules.flag(), "Whether to take part in a federation.")
    listen: str = _key("0.0.0.0:4749", rules.listen(), "Where peers and witnesses reach it, by TLS 1.3.")
    url: str = _key(
        "",
        rules.base_url(),
        "The same as others must write it. It stands in the roster; needed to be invited.",
    )
    period_ms: int = _key(
        1000,
        rules.whole(100, 60_000),
        "How often two peers are asked what they know. 1000 suits a local network, 5000 sites far apart.",
    )
    start_alone: bool = _key(
        True,
        rules.flag(),
        "Whether to start signing when no peer can be asked for the newest head. false waits for one: it also "
        "notices that the whole machine was set back to an older state.",
    )


@dataclass(frozen=True, slots=True)
class Witness:
    """Logs outside the federation that this gateway cosigns too (C2SP tlog-witness)."""

    logs: tuple[str, ...] = _key((), rules.log_keys(), "Their verifier keys.")


@dataclass(frozen=True, slots=True)
class Seal:
    """How often what arrived is sealed, signed and made durable."""

    interval_ms: int = _key(
        1000,
        rules.whole(100, 10_000),
        "Time between seals. A device keeps what has no receipt, so this is also how long its memory is needed.",
    )
    max_batch_bytes: int = _key(
        33_554_432,
        rules.whole(1_048_576, 268_435_456),
        "A batch that reaches this is sealed before its time.",
    )


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on everything that somebody else can make grow."""

    queue_packets: int = _key(
        8192, rules.whole(64, 1_048_576), "Packets that may wait for admission; more are shed and counted."
    )
    queue_bytes: int = _key(
        16_777_216, rules.whole(262_144, 1_073_741_824), "Bytes that may wait for admission."
    )
    device_packets_s: int = _key(
        4000, rules.whole(1, 1_000_000), "Packets a second that one device may send."
    )
    stranger_packets_s: int = _key(
        20, rules.whole(1, 10_000), "Handshakes a second that are looked at from one unknown address."
    )
    link_keep_s: int = _key(
        604_800,
        rules.whole(3600, 31_536_000),
        "How long an idle link is kept, so that a headset that was away can still deliver. 604800 is a week.",
    )
    free_disk_floor_bytes: int = _key(
        67_108_864,
        rules.whole(16_777_216, 1 << 50),
        "Below this much free disk no batch is begun; nothing is lost.",
    )
    urgent_disk_floor_bytes: int = _key(
        16_777_216, rules.whole(4_194_304, 1 << 50), "Kept free for consents, withdrawals and erasures."
    )
    max_links: int = _key(4096, rules.whole(1, 1_048_576), "Links that may be kept at once.")
    max_streams_per_link: int = _key(64, rules.whole(1, 4096), "Streams that one link may carry.")
    pairing_s: int = _key(600, rules.whole(30, 3600), "How long a pairing code is good for.")


@dataclass(frozen=True, slots=True)
class Access:
    """Who may see frames. Consent is asked besides, every time, and each access becomes an entry of the log."""

    actors: Mapping[str, tuple[str, ...]] = dataclasses.field(
        default_factory=dict,
        metadata={
            "rule": rules.actors(OPS),
            "doc": f"User or group number of this machine -> what it may do: {', '.join(OPS)}. "
            "Nobody else sees a frame.",
            "required": False,
        },
    )


@dataclass(frozen=True, slots=True)
class Log:
    """What the daemon writes about itself: events and counts, never a name, a pseudonym or a value."""

    format: str = _key(
        "auto",
        rules.choice("auto", "json", "human"),
        '"auto" is human on a terminal and JSON lines elsewhere.',
    )
    level: str = _key(
        "info", rules.choice("debug", "info", "warning", "error"), "The least severe that is written."
    )


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration. Each field is a table of the file."""

    gateway: Gateway
    udp: Udp
    mqtt: Mqtt
    http: Http
    peers: Peers
    witness: Witness
    seal: Seal
    limits: Limits
    access: Access
    log: Log


SECTIONS: dict[str, type[Any]] = {
    "gateway": Gateway,
    "udp": Udp,
    "mqtt": Mqtt,
    "http": Http,
    "peers": Peers,
    "witness": Witness,
    "seal": Seal,
    "limits": Limits,
    "access": Access,
    "log": Log,
}
"""Table name -> its class, in the order of the file."""


def _is_here(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables whose keys depend on each other."""

    mqtt: Mqtt
    limits: Limits
    peers: Peers
    witness: Witness


@dataclass(frozen=True, slots=True)
class Together:
    """What several keys must be together.

    Args:
        keys: dotted, all that it looks at; a fault is placed at the first.
        says: the fault in words.
        broken: tells whether it is there.
    """

    keys: tuple[str, ...]
    says: str
    broken: Callable[[Tables], bool]


TOGETHER = (
    Together(
        ("mqtt.host", "mqtt.enabled"),
        "mqtt.host is missing, and mqtt.enabled is true",
        lambda all: all.mqtt.enabled and not all.mqtt.host,
    ),
    Together(
        ("mqtt.username", "mqtt.password_file"),
        "mqtt.username and mqtt.password_file go together",
        lambda all: bool(all.mqtt.username) != bool(all.mqtt.password_file),
    ),
    Together(
        ("mqtt.tls", "mqtt.enabled", "mqtt.host", "mqtt.username"),
        "mqtt.tls is false, and the password would leave this machine in clear",
        lambda all: (
            all.mqtt.enabled and bool(all.mqtt.username) and not (all.mqtt.tls or _is_here(all.mqtt.host))
        ),
    ),
    Together(
        ("limits.urgent_disk_floor_bytes", "limits.free_disk_floor_bytes"),
        "limits.urgent_disk_floor_bytes must be less than limits.free_disk_floor_bytes",
        lambda all: all.limits.urgent_disk_floor_bytes >= all.limits.free_disk_floor_bytes,
    ),
    Together(
        ("witness.logs", "peers.enabled"),
        "witness.logs names logs to cosign, and peers.enabled is false, so nobody could ask",
        lambda all: bool(all.witness.logs) and not all.peers.enabled,
    ),
)
"""The rules that several keys keep together."""
