"""COMMANDs: what a link should be told, sent again until it is answered, and the limits of what people may ask.

A device enforces the limits whoever sends (VT1, "Commands"); here they are checked too, so that a person who asks for
too much learns it in words and not as the one word `refused`. The functions work on the registry's tables.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.core.effects import Effect, Send
from gateway.core.link import COMMAND_EVERY_NS, COMMAND_TRIES, NO_ANSWER, Link, Outcome, Pending
from gateway.core.records import Device
from gateway.core.registry import Registry
from gateway.errors import LocalError
from gateway.wire import control
from gateway.wire import packet as wire
from gateway.wire.kinds import MARKER_MAX_BYTES

Args = list[int | float | str]

REMIND_EVERY_NS: Final = 5_000_000_000  # how often a link that missed its COMMAND is told again
STOP_REASONS: Final = {
    "draining": "closed",
    "closed": "closed",
    "withdrawing": "withdrawn",
    "withdrawn": "withdrawn",
}
"""State of a session -> why its links stop."""

MAX_TARGET: Final = 255
MAX_DURATION_MS: Final = 10_000
MIN_FREQUENCY_HZ: Final = 1.0
MAX_FREQUENCY_HZ: Final = 1_000.0
MAX_TEXT_BYTES: Final = 512
MAX_CODE: Final = 0xFFFF
_NOT_PLAIN: Final = re.compile(r"://|\bwww\.|</?[A-Za-z!][^>]*>|\]\(")
_CONTROL: Final = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def wanted(registry: Registry, link: Link) -> tuple[str, Args] | None:
    """What a link should have been told by now, the most important first; None when it knows all."""
    record = link.record
    if record.state != "live" or link.bye is not None:
        return None
    if not record.session:
        if registry.session_for(record.device):
            return "open", []
    else:
        session = registry.sessions.get(record.session)
        if session is None:
            return "stop", ["withdrawn" if record.session in registry.withdrawn else "closed"]
        if session.state != "open":
            return "stop", [STOP_REASONS[session.state]]
        if registry.holding and link.held_period != registry.held_periods:
            return "hold", [registry.holding]
    key = registry.rotations.get(record.device, record.key)
    if key not in (record.key, link.rotated_to):
        return "rotate", [control.encode_key(key)]
    return None


def remind(registry: Registry, link: Link, now_ns: int) -> list[Effect]:
    """A link that missed its COMMAND, or went live after it, is told where it stands; at most every few seconds."""
    if link.asked_ns > now_ns:
        return []
    told = wanted(registry, link)
    if told is None or any(pending.verb == told[0] for pending in link.commands.values()):
        return []
    link.asked_ns = now_ns + REMIND_EVERY_NS
    return send(registry, link, *told, now_ns)


def send(registry: Registry, link: Link, verb: str, args: Args, now_ns: int) -> list[Effect]:
    """Send a COMMAND, and remember it until the device answers; its seq is `registry.newest_down`."""
    packet = registry.to_device(link, wire.COMMAND, control.encode(control.Command(verb, args)), now_ns)
    link.commands[registry.newest_down] = Pending(packet, verb, now_ns + COMMAND_EVERY_NS)
    if verb == "hold":
        link.held_period = registry.held_periods
    registry.commanded[verb] += 1
    return [] if link.source is None else [Send(link.source, packet)]


def resend(registry: Registry, now_ns: int) -> list[Effect]:
    """Commands that nobody answered yet: the same bytes again, a bounded number of times."""
    effects: list[Effect] = []
    for link in registry.links.values():
        for seq, pending in list(link.commands.items()):
            if pending.due_ns > now_ns:
                continue
            if pending.tries >= COMMAND_TRIES:
                del link.commands[seq]
                registry.outcomes.append(Outcome(seq, pending.verb, NO_ANSWER))
                continue
            pending.due_ns, pending.tries = now_ns + COMMAND_EVERY_NS, pending.tries + 1
            if link.source is not None:
                effects.append(Send(link.source, pending.packet))
    return effects


def answered(registry: Registry, link: Link, answer: control.Answer) -> None:
    """A device said what became of its commands; a word about what nobody waits for is passed over."""
    for seq, result in answer.commands:
        pending = link.commands.pop(seq, None)
        if pending is None:
            continue
        if pending.verb == "rotate":
            # Whatever it answered: a key that it took it will use, and one that it refused it would refuse again.
            link.rotated_to, link.rotate_result = registry.rotations.get(link.record.device, b""), result
        registry.outcomes.append(Outcome(seq, pending.verb, result))


def give_up(registry: Registry, link: Link, seq: int) -> None:
    """Send a command no more: whoever asked waits no longer, and would not want it to be carried out later."""
    if (pending := link.commands.pop(seq, None)) is not None:
        registry.outcomes.append(Outcome(seq, pending.verb, NO_ANSWER))


def hold(registry: Registry, reason: str, now_ns: int) -> list[Effect]:
    """A period begins in which nothing can be stored: each live recording link is told once.

    Nothing of it needs a write: a downlink seq is never used twice, since each start has numbers of its own.

    Args:
        registry: the tables.
        reason: a word of `control.HOLD_REASONS`.
        now_ns: monotonic.
    """
    registry.holding = reason
    registry.held_periods += 1
    effects: list[Effect] = []
    for link in registry.links.values():
        # One that was not heard since the start is told when it is.
        told = wanted(registry, link) if link.source is not None else None
        if told is not None and told[0] == "hold":
            effects += send(registry, link, *told, now_ns)
    return effects


def release(registry: Registry) -> None:
    """The period is over: what was not answered is sent no more, since the next receipt says it."""
    registry.holding = ""
    for link in registry.links.values():
        registry.outcomes += link.drop_commands("hold")


def revoked(registry: Registry, device: Device, now_ns: int) -> list[Effect]:
    """Tell a device that it is about to be revoked. Once: its links are over, and answer with RESET from then on."""
    effects: list[Effect] = []
    for link in registry.links_of_device(device.device):
        if link.record.state == "live" and link.bye is None:
            effects += send(registry, link, "stop", ["revoked"], now_ns)
    return effects


def recording_link(registry: Registry, device: Device) -> Link:
    """The link on which people may ask a device for something: the newest that records.

    Raises:
        LocalError: `not_recording`, with what is missing.
    """
    for link in reversed(registry.links_of_device(device.device)):
        record = link.record
        session = registry.sessions.get(record.session)
        live = record.state == "live" and link.bye is None and link.source is not None
        if live and session is not None and session.state == "open":
            return link
    name = f"device {device.device}"
    if device.state != "active":
        raise LocalError("not_recording", f"{name} is revoked", "Pair it anew: `vestibule pair`.")
    if registry.session_for(device.device) is None:
        raise LocalError(
            "not_recording", f"{name} is in no open session", "Open one: `vestibule session open --help`."
        )
    raise LocalError(
        "not_recording",
        f"{name} is in an open session, but does not record",
        "Is it switched on, in this network, and is the app running? See `vestibule status`.",
    )


def checked(verb: str, args: Args) -> Args:
    """The arguments of a command that people may send, as they stand on the wire.

    Args:
        verb: `haptic`, `text` or `marker`.
        args: as somebody gave them.

    Raises:
        LocalError: `command`, what is outside of the limits, and the limits.
    """
    match verb, args:
        case "haptic", [int(target), int() | float() as amplitude, int(duration_ms), int() | float() as hz]:
            _within("target", target, 0, MAX_TARGET, "0 to 255; left is 1, right is 2")
            _within("amplitude", amplitude, 0.0, 1.0, "0 to 1")
            _within("ms", duration_ms, 0, MAX_DURATION_MS, "0 to 10,000; 0 is the shortest there is")
            if hz != 0:
                _within("hz", hz, MIN_FREQUENCY_HZ, MAX_FREQUENCY_HZ, "1 to 1,000, or 0: it chooses")
            return [target, float(amplitude), duration_ms, float(hz)]
        case "text", [str(text)]:
            _plain("text", text, 1, MAX_TEXT_BYTES)
            return [text]
        case "marker", [int(code), str(text)]:
            _within("code", code, 0, MAX_CODE, "0 to 65,535")
            _plain("text", text, 0, MARKER_MAX_BYTES, links=True)
            return [code, text]
        case _:
            raise LocalError("command", f"{verb!r} with these arguments is no command", "See --help.")


def _within(name: str, value: float, low: float, high: float, said: str) -> None:
    # Not the other way round: a NaN is within nothing.
    if isinstance(value, bool) or not low <= value <= high:
        raise LocalError("command", f"{name} is {value}", f"It may be {said}.")


def _plain(name: str, text: str, least: int, most: int, links: bool = False) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise LocalError("command", f"the {name} is not UTF-8", "Type it anew.") from error
    if not least <= size <= most:
        raise LocalError("command", f"the {name} has {size} bytes", f"It may have {least} to {most}.")
    if _CONTROL.search(text):
        raise LocalError("command", f"the {name} has control characters", "Only plain text is shown.")
    if not links and _NOT_PLAIN.search(text):
        raise LocalError(
            "command", f"the {name} has markup or a link", "A person in a headset is shown plain text only."
        )
