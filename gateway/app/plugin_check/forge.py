"""What an attacker would send a device: packets with a wrong tag, or about packets that were never sent."""

from __future__ import annotations

from gateway.app.plugin_check.keyring import KnownLink
from gateway.keys.link import TAG_BYTES, handshake_key, tag
from gateway.wire import control
from gateway.wire import packet as wire

BOOT_AHEAD = (
    40_000 << 48
)  # a boot number that no gateway of a check reaches, so that the seq is fresh to the device
OTHER_KEY = bytes(32)


def on_link(link: KnownLink, kind: int, body: bytes, seq: int) -> bytes:
    """An encrypted packet whose tag is of another key."""
    head = wire.pack_header(kind, link.of.link, BOOT_AHEAD + seq, 0) + link.down.crypt(BOOT_AHEAD + seq, body)
    return head + tag(OTHER_KEY, head)


def receipts(link: KnownLink, newest: int) -> list[bytes]:
    """A RECEIPT for everything, forged: who believes it loses all that it holds."""
    body = control.encode(control.Receipt([(1, bytes(32), [0, newest])], [], [], []))
    return [on_link(link, wire.RECEIPT, body, 1)]


def commands(link: KnownLink) -> list[bytes]:
    """A haptic at full strength and a stop, both forged."""
    made = (control.Command("haptic", [1, 1.0, 1000, 100.0]), control.Command("stop", ["withdrawn"]))
    return [on_link(link, wire.COMMAND, control.encode(body), 2 + n) for n, body in enumerate(made)]


def resets(link: KnownLink, newest: int) -> list[bytes]:
    """RESETs: with a sound tag but for a packet that was never sent, and with a wrong tag."""
    body = control.encode(control.Reset(newest, b"\x5a" * TAG_BYTES, "ended"))
    head = wire.pack_header(wire.RESET, link.of.link, newest, 0) + body
    return [head + tag(handshake_key(link.of.k_dev), head), head + tag(OTHER_KEY, head)]


def welcome(link: KnownLink) -> bytes:
    """A WELCOME that nothing asked for, under another key."""
    body = control.Welcome(
        link.of.nonce_d,
        b"\x11" * 16,
        link.of.link + 1,
        "check",
        b"\x22" * 16,
        1,
        [1],
        "recording",
        "",
        [],
        [1],
        0,
    )
    head = wire.pack_header(wire.WELCOME, 0, 1, 0) + control.encode(body)
    return head + tag(OTHER_KEY, head)
