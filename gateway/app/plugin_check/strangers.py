"""Packets outside of links: what is no packet, PAIR, HELLO, and packets of links that nobody made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.app.plugin_check import bodies, meanings
from gateway.app.plugin_check.greeting import Greeting
from gateway.app.plugin_check.say import Finding, Line, Spot
from gateway.wire import control
from gateway.wire import packet as wire

if TYPE_CHECKING:
    from gateway.app.plugin_check.watcher import Watcher

SECOND: Final = 1_000_000_000


def no_packet(packet: bytes, code: str, line: Line) -> list[Finding]:
    """Bytes that the header check refuses."""
    means, todo = meanings.meaning(code)
    what = {
        "magic": f"the first three bytes are {packet[:3].hex(' ')}",
        "type": f"there is no packet type {packet[3] if len(packet) > 3 else 0}",
        "oversize": f"{len(packet)} bytes or more; 1,200 is the most"
        if len(packet) > wire.MAX_DATAGRAM_BYTES
        else means,
        "truncated": f"{len(packet)} bytes; the shortest packet has 40",
    }.get(code, means)
    line.says = "no packet of VT1"
    offset = 3 if code == "type" else 0
    line.spots = [
        Spot(offset, packet[offset : offset + 4], "56 54 31" if code == "magic" else "", packet=True)
    ]
    return [Finding(f"header.{code}", 4, what, todo)]


def unknown(watcher: Watcher, header: wire.Header, line: Line) -> list[Finding]:
    """A packet of a link that is not known."""
    swapped = int.from_bytes(header.link.to_bytes(4, "little"), "big")
    line.says = "on a link that is not known"
    if header.type in (wire.PAIR, wire.HELLO):
        return [
            Finding("header.link", 4, f"{line.kind} with link {header.link}", "PAIR and HELLO have link 0")
        ]
    if swapped in watcher.ring.links:
        return [
            Finding(
                "header.link_big_endian",
                4,
                f"link {header.link} is {swapped} with its bytes reversed",
                "the link is u32 little-endian in the header",
            )
        ]
    if header.link == 0:
        return [Finding("header.link_missing", 4, f"{line.kind} with link 0", "write the link of WELCOME")]
    return [
        Finding(
            "header.link_unknown",
            4,
            f"nobody made link {header.link}",
            "write the link of WELCOME; after a RESET forget it",
            fails=False,
        )
    ]


def pair(watcher: Watcher, header: wire.Header, packet: bytes, now_ns: int, line: Line) -> list[Finding]:
    """A packet of type PAIR with link 0."""
    line.says = "asks to be paired"
    if len(packet) != wire.PAIR_BYTES:
        return [_size("PAIR", len(packet), wire.PAIR_BYTES)]
    if header.seq:
        return [Finding("pair.seq", 4, f"PAIR with seq {header.seq}", "PAIR has seq 0")]
    code = watcher.ring.code_of(packet)
    if code is None:
        return watcher.tags.pair(packet)
    body, findings = _clear(wire.PAIR, packet, line)
    if body is None:
        return findings
    watcher.facts["pair"] += 1
    return findings + watcher.pairings.pair(code, packet, control.decode(control.Pair, body), now_ns)


def hello(watcher: Watcher, header: wire.Header, packet: bytes, now_ns: int, line: Line) -> list[Finding]:
    """A packet of type HELLO with link 0."""
    line.says = "asks for a link"
    if len(packet) != wire.HELLO_BYTES:
        return [_size("HELLO", len(packet), wire.HELLO_BYTES)]
    body, findings = _clear(wire.HELLO, packet, line)
    if body is None:
        return findings
    said = control.decode(control.Hello, body)
    if said.device not in watcher.ring.devices:
        known = ", ".join(map(str, watcher.ring.devices)) or "none yet"
        return [
            *findings,
            Finding(
                "hello.device",
                4,
                f"device {said.device} is not paired here (known: {known})",
                "pair first, or use the key file of this check",
            ),
        ]
    line.who = f"device {said.device}"
    if watcher.ring.key_of(said.device, packet) is None:
        return findings + watcher.tags.hello(packet, said.device)
    watcher.ring.hello(said)
    greeting = watcher.greetings.setdefault(said.device, Greeting())
    new = header.seq > greeting.counter
    runs = len(greeting.runs)
    findings += greeting.hello(header.seq, packet, said, now_ns)
    if new:
        watcher.facts["hello"] += 1
        watcher.facts["run.new"] += len(greeting.runs) > runs >= 1
        watcher.let_go(said, header.t_send_ns)
    watcher.loud_ns[said.device] = now_ns
    for talk in watcher.talks.values():
        if talk.link.of.device == said.device and new and now_ns - talk.heard_ns > 9 * SECOND:
            watcher.facts["silence.hello"] += 1
    return findings


def _clear(kind: int, packet: bytes, line: Line) -> tuple[bytes | None, list[Finding]]:
    """The body of a PAIR or HELLO, if it is sound."""
    body = bytes(wire.body_of(packet))
    root, findings, line.spots = bodies.look(kind, body)
    if root is None:
        return None, findings
    line.says, line.fields = bodies.in_words(kind, root)
    return body, findings


def _size(what: str, size: int, wanted: int) -> Finding:
    return Finding(
        f"{what.lower()}.size",
        4,
        f"{what} of {size} bytes",
        f"exactly {wanted} bytes with the tag: fill `pad` with zero bytes (a bin's head has 2 bytes, above 255 3)",
    )
