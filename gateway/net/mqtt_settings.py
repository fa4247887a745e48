"""Where the MQTT broker is, and how to be known there."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.errors import ConfigError

MAX_PASSWORD_BYTES: Final = 4096  # a line; anything much larger is another file by mistake


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


def tls_context(ca_file: str) -> ssl.SSLContext:
    """TLS that checks the broker's certificate and name.

    Args:
        ca_file: PEM of the certificate authority; "" takes the system's.

    Raises:
        ConfigError: `mqtt_file`.
    """
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:  # SSLError is one
        raise _unusable(ca_file, "holds no certificate authority that can be read", "tls_ca_file") from error


def read_password(file: str) -> str:
    """The password in a file, without the line end behind it.

    Args:
        file: path; "" is no password.

    Raises:
        ConfigError: `mqtt_file`.
    """
    if not file:
        return ""
    try:
        with Path(file).open("rb") as stream:
            data = stream.read(MAX_PASSWORD_BYTES + 1)
        if len(data) > MAX_PASSWORD_BYTES:
            raise _unusable(file, "is too large for a password", "password_file")
        return data.decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(file, "holds no password that can be read", "password_file") from error


def _unusable(file: str, what: str, key: str) -> ConfigError:
    return ConfigError(
        "mqtt_file", f"{file}: {what}", f"Check [mqtt] {key}, and that this user may read the file."
    )
