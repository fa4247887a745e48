"""How simulated devices reach their gateway, and how bad the way is: the options of `replay` and `simulate`."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from gateway.app.cli.state import State, read_file
from gateway.errors import LocalError, Unreachable

if TYPE_CHECKING:
    from gateway.app.keyfile import DeviceKey
    from gateway.app.rig import Way
    from gateway.app.transports import Cycle
    from gateway.net.mqtt_settings import BrokerSettings

FILE: Final = click.Path(dir_okay=False, path_type=Path)
FOLDER: Final = click.Path(file_okay=False, path_type=Path)
SHARE: Final = click.FloatRange(0, 1, max_open=True)
MILLISECONDS: Final = click.FloatRange(0, 10_000)
PORT: Final = 4747
MQTT_PORT: Final = 8883
MAX_PASSWORD_BYTES: Final = 4096
MAX_CYCLE_S: Final = 86_400.0

F = TypeVar("F", bound=Callable[..., Any])


if TYPE_CHECKING:
    _CycleParam = click.ParamType[Cycle]
else:
    _CycleParam = click.ParamType  # older releases of click take no parameter


class CycleType(_CycleParam):
    """`EVERY,FOR` in seconds."""

    name = "every,for"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Cycle:
        """Read it, or say what is wrong with it."""
        from gateway.app.transports import Cycle

        try:
            every_s, for_s = (float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not EVERY,FOR: two numbers of seconds, such as 60,5", param, ctx)
        if not 0 < for_s < every_s <= MAX_CYCLE_S:
            self.fail(f"{value!r}: FOR is above 0 and below EVERY, EVERY at most a day", param, ctx)
        return Cycle(every_s, for_s)


_OPTIONS: Final = (
    click.option("--host", help="Of the gateway's UDP; what the daemon says, or 127.0.0.1."),
    click.option("--port", type=click.IntRange(1, 65535), help=f"What the daemon says, or {PORT}."),
    click.option("--mqtt", metavar="HOST:PORT", help="Over this broker instead of UDP."),
    click.option("--mqtt-user", help="{home} and {device} are put in; dev-{home}-{device} with a password."),
    click.option("--mqtt-password-file", type=FILE, help="Holds the password and nothing else."),
    click.option(
        "--tls-ca", type=FILE, help="Certificate authority of the broker, PEM; port 8883 is TLS anyway."
    ),
    click.option("--loss", type=SHARE, default=0.0, help="Share of packets to lose, both ways; 0.05 is 5 %."),
    click.option("--duplicate", type=SHARE, default=0.0, help="Share of packets to send twice."),
    click.option("--reorder", type=SHARE, default=0.0, help="Share of packets that others overtake."),
    click.option("--delay", type=MILLISECONDS, default=0.0, help="Of every packet, in ms."),
    click.option("--jitter", type=MILLISECONDS, default=0.0, help="Most of a further delay, in ms."),
    click.option(
        "--outage",
        type=CycleType(),
        metavar="EVERY,FOR",
        help="Nothing passes for FOR seconds at the end of every EVERY seconds.",
    ),
    click.option(
        "--sleep",
        type=CycleType(),
        metavar="EVERY,FOR",
        help="The devices sleep for FOR seconds at the end of every EVERY seconds.",
    ),
    click.option(
        "--spool",
        type=FOLDER,
        metavar="DIR",
        help="What outlasts a device's memory goes here, a folder for each device; with --key also what an earlier "
        "run left.",
    ),
    click.option(
        "--drain",
        type=click.FloatRange(1, 3600),
        default=60.0,
        show_default=True,
        help="Longest wait for the last receipts, in seconds.",
    ),
    click.option("--seed", type=int, default=0, help="Another one loses other packets."),
)


def network_options(command: F) -> F:
    """Add the options; the command takes them as `**network`, for `way_of`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def address(state: State, *, must: bool) -> tuple[str, int]:
    """Where the daemon of this store takes packets; what is usual where it need not be asked and does not answer."""
    from gateway.app.cli.ask import ask

    try:
        host, _, port = str(ask(state, "status", {})["udp"]).rpartition(":")
    except Unreachable:
        if must:
            raise
        return "127.0.0.1", PORT
    return "127.0.0.1" if host in ("0.0.0.0", "::", "") else host, int(port) or PORT


def way_of(network: dict[str, Any], host: str, port: int) -> Way:
    """What the options say.

    Args:
        network: as the command got them.
        host, port: where nothing was said.
    """
    from gateway.app.rig import Way
    from gateway.app.transports import Weather

    weather = Weather(
        network["loss"],
        network["duplicate"],
        network["reorder"],
        network["delay"],
        network["jitter"],
        network["outage"],
    )
    return Way(
        network["host"] or host,
        network["port"] or port,
        _broker(network) if network["mqtt"] else None,
        weather,
        network["seed"],
        network["sleep"],
        network["spool"],
    )


def _broker(network: dict[str, Any]) -> Callable[[DeviceKey], BrokerSettings]:
    from gateway.net.mqtt_settings import BrokerSettings

    host, _, port = str(network["mqtt"]).rpartition(":")
    if not host or not port.isdecimal():
        raise click.UsageError("--mqtt is HOST:PORT", click.get_current_context())
    ca, password_file = network["tls_ca"], network["mqtt_password_file"]
    tls = ssl.create_default_context(cafile=ca) if ca or int(port) == MQTT_PORT else None
    password = read_file(password_file, MAX_PASSWORD_BYTES).decode().strip() if password_file else ""
    here = host in ("localhost", "::1", "[::1]") or host.startswith("127.")
    if password and tls is None and not here:
        raise LocalError(
            "mqtt", "the password would leave this machine in clear", "Name --tls-ca, or port 8883."
        )
    user = network["mqtt_user"] or ("dev-{home}-{device}" if password else "")

    def settings(key: DeviceKey) -> BrokerSettings:
        name = user.replace("{home}", key.home).replace("{device}", str(key.device))
        return BrokerSettings(host.strip("[]"), int(port), tls, name, password)

    return settings
