"""Packets of the gateway, in words, and what the watcher learns from them: keys, receipts, commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.app.plugin_check import meanings
from gateway.app.plugin_check.say import Line
from gateway.errors import VestibuleError
from gateway.wire import control, kinds
from gateway.wire import packet as wire

if TYPE_CHECKING:
    from gateway.app.plugin_check.watcher import Watcher


def look(watcher: Watcher, packet: bytes, fate: str, now_ns: int, line: Line) -> None:
    """Fill in a line, and let the watcher know; what was lost or forged is told but teaches nothing."""
    try:
        header = wire.parse_header(packet)
    except VestibuleError:
        line.says = "bytes that are no packet"
        return
    line.kind, line.link, line.seq = wire.TYPE_NAMES[header.type].upper(), header.link, header.seq
    watcher.facts[f"down.{line.kind.lower()}"] += 1
    if fate == meanings.FORGED:
        watcher.facts["forged"] += 1
        _forged(watcher, header, now_ns, line)
        return
    if header.type == wire.PAIRED:
        device = watcher.ring.paired(packet)
        line.says = f"you are device {device}" if device else "an answer to PAIR"
        return
    if header.type == wire.WELCOME:
        _welcome(watcher, packet, now_ns, line)
        return
    link = watcher.ring.links.get(header.link)
    if link is None:
        return
    line.who = f"device {link.of.device}"
    talk = watcher.talk(header.link, now_ns)
    came = fate != meanings.LOST
    if came:
        talk.heard_ns, talk.silent_told = now_ns, False
    if header.type == wire.RESET:
        line.says = "the link is over"
        watcher.facts["reset"] += came
        return
    try:
        _on_link(watcher, header, link.down.crypt(header.seq, wire.body_of(packet)), came, now_ns, line)
    except VestibuleError:
        line.says = "a body that does not read"


def _forged(watcher: Watcher, header: wire.Header, now_ns: int, line: Line) -> None:
    line.says = "made up: must be dropped"
    if header.type == wire.COMMAND and header.link in watcher.ring.links:
        watcher.orders.sent(header.link, header.seq, "marker", [], True, True, now_ns)


def _welcome(watcher: Watcher, packet: bytes, now_ns: int, line: Line) -> None:
    learned = watcher.ring.welcome(packet)
    if learned is None:
        line.says = "an answer to HELLO"
        return
    hello, welcome = learned
    line.who = f"device {hello.device}"
    watcher.facts[f"welcome.{welcome.state}"] += 1
    if welcome.link:
        watcher.talk(welcome.link, now_ns)
        line.says = f"link {welcome.link}, {welcome.state}"
    else:
        line.says = f"refused: {welcome.reason}"
    kept = ", ".join(map(str, welcome.kept)) or "none"
    line.fields = [("kinds", ", ".join(map(str, welcome.kinds)) or "none"), ("kept", kept)]


def _on_link(watcher: Watcher, header: wire.Header, body: bytes, came: bool, now_ns: int, line: Line) -> None:
    talk = watcher.talk(header.link, now_ns)
    if header.type == wire.RECEIPT:
        receipt = control.decode(control.Receipt, body)
        stored = [pair for _, _, ranges in receipt.stored for pair in _pairs(ranges)]
        refused = [pair for _, ranges in receipt.refused for pair in _pairs(ranges)]
        if came:
            talk.delivery.told([*stored, *refused], now_ns)
            watcher.facts["receipt"] += 1
            talk.totals |= {row[0]: row[1:] for row in receipt.totals}
        line.says = f"stored {_spans(stored)}" if stored else "nothing stored"
        for reason, ranges in receipt.refused:
            line.says += f"; refused ({reason}) {_spans(_pairs(ranges))}"
        for seq, stream, reason in receipt.frames[:3]:
            line.says += f"; frame of stream {stream} in seq {seq} refused ({reason})"
        line.fields = [
            (f"stream {row[0]}", "total {}, stored {}, refused {}, missing {}".format(*row[1:]))
            for row in receipt.totals
        ]
    elif header.type == wire.SYNC:
        reply = control.decode(control.ProbeReply, body)
        talk.probing.replied(reply.t1_ns, reply.t2_ns, reply.t3_ns)
        line.says = "answers a probe"
    elif header.type == wire.COMMAND:
        command = control.decode(control.Command, body)
        line.says = f"{command.verb}" + (f" ({len(command.args)} arguments)" if command.args else "")
        if came:
            watcher.facts[f"command.{command.verb}"] += 1
            permitted = command.verb != "marker" or kinds.MARKER in talk.link.kinds
            watcher.orders.sent(
                header.link,
                header.seq,
                command.verb,
                command.args,
                talk.link.recording,
                False,
                now_ns,
                permitted,
            )
            if command.verb == "stop" and talk.link.recording and not talk.bye:
                watcher.stopping.stop(header.link, header.seq, now_ns)


def _pairs(ranges: list[int]) -> list[tuple[int, int]]:
    return list(zip(ranges[::2], ranges[1::2], strict=False))


def _spans(pairs: list[tuple[int, int]]) -> str:
    shown = ", ".join(str(a) if a == b else f"{a}..{b}" for a, b in pairs[:4])
    return shown + (f" and {len(pairs) - 4} ranges more" if len(pairs) > 4 else "")
