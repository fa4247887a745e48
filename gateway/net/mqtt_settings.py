"""Where the MQTT broker is, and how to be known there."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """Where the broker is, and how to be known there.

    Args:
        host, port: the broker's address.
        tls: context of its TLS; None for none.
        username, password: the user there; an empty name sends neither.
        receive_maximum: packets the broker may have on the way to us, 1..65535.
        keep_alive_s: silence after which a ping is due, in seconds; twice this, and the connection counts as dead.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None
    username: str
    password: str = field(repr=False)
    receive_maximum: int = 4096
    keep_alive_s: int = 30
