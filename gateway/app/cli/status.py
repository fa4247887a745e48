"""`status`: how the gateway is, in words, with the reasons and the next steps."""

from __future__ import annotations

import sys
import time
from typing import Any, Final

import click

from gateway.app.cli import federation_words, output, words
from gateway.app.cli.ask import ask, typed
from gateway.app.cli.device import device_table
from gateway.app.cli.replies import PeersRow, Status
from gateway.app.cli.session import session_table
from gateway.app.cli.state import State

WATCH_EVERY_S: Final = 1.0


@click.command()
@click.option("--watch", is_flag=True, help="Show it anew each second, until Ctrl-C.")
@click.option("--all", "every", is_flag=True, help="Revoked devices too.")
@output.json_option
@click.pass_obj
def status(state: State, watch: bool, every: bool, as_json: bool) -> None:
    """How the gateway is: what it records, from whom, what it refused and why, and what to do.

    \b
    Example: vestibule status --watch
    """
    if not watch:
        _show(ask(state, "status", {}), every, as_json)
        return
    try:
        while True:
            result = ask(state, "status", {})
            if sys.stdout.isatty() and not as_json:
                click.clear()
            _show(result, every, as_json)
            sys.stdout.flush()
            time.sleep(WATCH_EVERY_S)
    except KeyboardInterrupt:
        # It is how watching ends, not an interruption.
        return


def _show(result: dict[str, Any], every: bool, as_json: bool) -> None:
    if as_json:
        output.write_json(result)
    else:
        click.echo(render(typed(result, Status), int(time.time() * 1000), every))


def render(status: Status, now_ms: int, every: bool = False) -> str:
    """The whole page, without a line end at its end.

    Args:
        status: the daemon's answer.
        now_ms: UTC.
        every: revoked devices as well.
    """
    devices = [row for row in status.devices if every or row.state == "active"]
    state = output.paint("ready", "green") if status.ready else output.paint("not recording", "red")
    lines = [f"{output.clean(status.gateway)} is {state}", ""]
    lines += [f"  {name:10} {output.clean(text)}" for name, text in _facts(status, now_ms)]
    for what, step in attention(status, now_ms):
        lines += ["", f"  {output.paint('!', 'yellow')} {what[0].upper()}{what[1:]}.", f"    {step}"]
    if devices:
        lines += ["", "Devices", output.indent(device_table(devices, output.columns() - 2))]
    if hidden := len(status.devices) - len(devices):
        lines += [
            "",
            f"  {output.plural(hidden, 'revoked device')} not shown; `vestibule status --all` shows them.",
        ]
    if status.sessions:
        lines += [
            "",
            "Sessions (samples)",
            output.indent(session_table(status.sessions, output.columns() - 2)),
        ]
    return "\n".join(lines)


def _facts(status: Status, now_ms: int) -> list[tuple[str, str]]:
    mqtt = "off" if not status.mqtt.enabled else "connected" if status.mqtt.connected else "not connected"
    udp = (
        f"{status.udp} (buffer of {output.size(status.receive_buffer_bytes)})"
        if not status.udp.startswith(":")
        else "off"
    )
    up = output.span((now_ms - status.started_ms) / 1000)
    return [
        ("version", f"{status.version}, process {status.pid}, running for {up}"),
        ("log", f"{status.origin}, {output.plural(status.log.size, 'entry', 'entries')}"),
        (
            "recorded",
            f"{output.plural(status.samples, 'sample')} in {output.plural(status.frames, 'frame')}, "
            f"{output.plural(status.batches, 'batch', 'batches')} since the start",
        ),
        *([("confirmed", _confirmed(status.peers))] if status.peers.enabled else []),
        ("waiting", f"{output.plural(status.queue.packets, 'packet')}, {output.size(status.queue.bytes)}"),
        ("listens", f"udp {udp}, http {status.http}, mqtt {mqtt}"),
        *([("peers", _peers(status.peers))] if status.peers.enabled else []),
        ("disk", f"{output.size(status.disk_free_bytes)} free"),
    ]


def _confirmed(peers: PeersRow) -> str:
    confirmed = peers.confirmed
    if not confirmed.active:
        return "nothing: there is no quorum to do it"
    size = output.plural(confirmed.size, "entry", "entries")
    quorum = f"by {confirmed.quorum} of {confirmed.parties}"
    if not confirmed.lag_entries:
        return f"{size} {quorum}, all"
    waiting = output.plural(confirmed.lag_entries, "waits", "wait")
    return f"{size} {quorum}, {waiting} for {output.span(confirmed.lag_ms / 1000)}"


def _peers(peers: PeersRow) -> str:
    if not peers.member:
        return f"none yet, listens on {peers.listen}"
    behind = (
        f", {output.plural(peers.mirror_lag_entries, 'entry', 'entries')} of theirs still to copy"
        if peers.mirror_lag_entries
        else ""
    )
    return (
        f"{peers.alive} of {peers.members} answer, roster {peers.roster}, listens on {peers.listen}{behind}"
    )


def attention(status: Status, now_ms: int) -> list[tuple[str, str]]:
    """What somebody should look at: (what is so, what to do)."""
    found: list[tuple[str, str]] = []
    if status.held:
        found.append(words.held(status.held))
    if status.mqtt.enabled and not status.mqtt.connected:
        found.append(words.broker(status.mqtt.why))
    found += federation_words.attention(status.peers)
    if status.mqtt.refused:
        found.append(
            (
                f"payloads of the broker refused: {output.clean(words.reasons(status.mqtt.refused))}",
                "Something else publishes on our topics: compare the broker's rules with configs/mosquitto.acl.",
            )
        )
    if status.mqtt.unsent:
        found.append(
            (
                f"{output.plural(status.mqtt.unsent, 'answer')} refused by the broker",
                "Compare its rules and limits with configs/mosquitto.acl and configs/mosquitto.conf.",
            )
        )
    if status.mqtt.dropped:
        found.append(
            (
                f"{output.plural(status.mqtt.dropped, 'answer')} dropped: the broker was away or slow",
                "Devices ask again. If it goes on, look at the broker's machine and the network to it.",
            )
        )
    for counts, noun, verb in (
        (status.frames_refused, "frame", "refused"),
        (status.refused, "packet", "refused"),
        (status.shed, "packet", "shed"),
    ):
        for reason, number in sorted(counts.items(), key=lambda item: -item[1]):
            if number and reason not in HARMLESS:
                said, step = words.refused(reason)
                found.append((f"{output.plural(number, noun)} {verb}: {said} ({output.clean(reason)})", step))
    if status.kernel_dropped:
        found.append(
            (
                f"the kernel dropped {output.plural(status.kernel_dropped, 'packet')} before they were read",
                "Devices send them again; raise net.core.rmem_max and [udp] receive_buffer_bytes.",
            )
        )
    for row in status.devices:
        found += words.bad_tags(row, now_ms)
    found += [words.bad_codes(bad, now_ms) for bad in status.bad_codes]
    if all(row.state != "active" for row in status.devices):
        found.append(("no device is paired yet", "Pair a headset with `vestibule pair`."))
    elif not status.sessions:
        found.append(
            ("no session is open, so nothing is recorded", "Open one: `vestibule session open --help`.")
        )
    found += _silent(status, now_ms)
    return found


HARMLESS: Final = frozenset(("copy",))
"""Reasons that belong to a healthy network: a device resends until it has its receipt."""

SILENT_MS: Final = 30_000


def _silent(status: Status, now_ms: int) -> list[tuple[str, str]]:
    wanted = {number for session in status.sessions if session.state == "open" for number in session.devices}

    def said(fresh_ms: int) -> str:
        return output.ago(fresh_ms, now_ms) if fresh_ms else "never"

    return [
        (
            f"device {row.device} ({output.clean(row.name)}) is in an open session and was last heard: "
            f"{said(row.fresh_ms)}",
            "Is it switched on, in this network, and is the app running?",
        )
        for row in status.devices
        if row.device in wanted and now_ms - row.fresh_ms > SILENT_MS
    ]
