"""What a configuration value may be, and where in a TOML text it stands.

A `Rule` says what a value must be, once: the check and the manual use the same words. tomllib gives no lines for keys,
so `locate` finds them: a scanner for TOML that tomllib has already accepted, and therefore a small one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gateway.core.member import valid_url
from gateway.errors import ProofError
from gateway.tlog.checkpoint import MAX_ORIGIN_BYTES
from gateway.tlog.note import ED25519, parse_vkey

Key = tuple[str, ...]
Place = tuple[int, int]
"""Line and column, both from 1."""

_NAME = re.compile(r"[a-z0-9-]{1,32}")
_LISTEN = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):(?P<port>\d{1,5})")
_ACTOR = re.compile(r"(uid|gid):(0|[1-9]\d{0,9})")
_TYPE_NAMES = {
    bool: "true or false",
    int: "a whole number",
    str: "text in quotes",
    dict: "a table",
    list: "a list",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """What one value must be.

    Args:
        kind: its TOML type: bool, int, str, list or dict.
        says: the rule in words, for errors and for the manual.
        fault: tells what is wrong with a value of that type, or None.
        within: of a table: (key in it, what is wrong there) for every fault.
    """

    kind: type
    says: str
    fault: Callable[[Any], str | None] = lambda _value: None
    within: Callable[[Any], Iterable[tuple[str, str]]] = lambda _value: ()

    def check(self, value: object) -> str | None:
        """Return what is wrong with `value`, or None when it keeps to the rule."""
        # bool is an int for Python, and `port = true` must not pass as 1.
        if type(value) is not self.kind:
            return f"must be {self.says}, not {describe(value)}"
        return self.fault(value)


def describe(value: object) -> str:
    """Name a value's TOML type, and the value itself where it is short."""
    name = next((word for kind, word in _TYPE_NAMES.items() if type(value) is kind), "")
    if isinstance(value, bool | int | float | str) and len(str(value)) <= 40:
        return f"{'text ' if isinstance(value, str) else ''}{json.dumps(value)}"
    return name or ("a number with a fraction" if isinstance(value, float) else "a date or time")


def flag() -> Rule:
    """Return the rule for true or false."""
    return Rule(bool, "true or false")


def whole(low: int, high: int) -> Rule:
    """Return the rule for a whole number from `low` to `high`, both included."""
    says = f"a whole number from {low} to {high}"
    return Rule(int, says, lambda value: None if low <= value <= high else f"must be {says}, not {value}")


def choice(*words: str) -> Rule:
    """Return the rule for one word of a closed set."""
    says = "one of " + ", ".join(f'"{word}"' for word in words)
    return Rule(str, says, lambda value: None if value in words else f"must be {says}, not {describe(value)}")


def text(says: str, max_bytes: int, *, empty: bool = True) -> Rule:
    """Return the rule for text of at most `max_bytes` in UTF-8, without control characters."""

    def fault(value: str) -> str | None:
        if not value:
            return None if empty else f"must be {says}, not empty"
        if len(value.encode()) > max_bytes:
            return f"must be at most {max_bytes} bytes long"
        return None if value.isprintable() else "must not hold control characters"

    return Rule(str, says, fault)


def topic_name() -> Rule:
    """Return the rule for a gateway's name, which becomes a level of an MQTT topic (VT1, "MQTT")."""
    says = "1 to 32 of a-z, 0-9 and -"
    return Rule(str, says, lambda v: None if _NAME.fullmatch(v) else f"must be {says}, not {describe(v)}")


def origin() -> Rule:
    """Return the rule for a log's origin: a C2SP signed-note key name, which holds no space and no plus."""
    says = f"1 to {MAX_ORIGIN_BYTES} bytes of printable text without scheme, spaces, + or a / at the end"

    def fault(value: str) -> str | None:
        bare = value.rpartition("://")[2].strip().strip("/")
        if bare != value and bare and not any(c.isspace() for c in bare):
            # It stands in every proof for ever: what was pasted from a browser is not taken as it is.
            return f"must be {says}: {json.dumps(bare)}, not {describe(value)}"
        plain = (
            bare == value and value.isprintable() and "+" not in value and not any(c.isspace() for c in value)
        )
        return None if value and plain and len(value.encode()) <= MAX_ORIGIN_BYTES else f"must be {says}"

    return Rule(str, says, fault)


def listen() -> Rule:
    """Return the rule for an address and port to listen on; port 0 takes a free one."""
    says = 'an address and a port, like "127.0.0.1:4748" or "[::1]:4748"'

    def fault(value: str) -> str | None:
        found = _LISTEN.fullmatch(value)
        return None if found and int(found["port"]) <= 65535 else f"must be {says}, not {describe(value)}"

    return Rule(str, says, fault)


def base_url() -> Rule:
    """Return the rule for the address under which others reach this gateway, as a roster takes it; empty for none."""
    says = 'a URL like "https://rig-1.clinic.example:4749", in lower case, no slash at its end, or ""'

    def fault(value: str) -> str | None:
        return None if not value or valid_url(value) else f"must be {says}, not {describe(value)}"

    return Rule(str, says, fault)


def log_keys() -> Rule:
    """Return the rule for a list of logs, each by its verifier key (C2SP signed-note)."""
    says = 'a list of verifier keys, like ["log.example+5c32b305+AQOh..."]'

    def fault(value: list[object]) -> str | None:
        for item in value:
            if not isinstance(item, str):
                return f"must be {says}"
            try:
                if parse_vkey(item).sig_type != ED25519:
                    return f"must be {says}: one of them is the key of a witness, not of a log"
            except ProofError as error:
                return f"must be {says}: {error.message}"
        return None

    return Rule(list, says, fault)


def actors(ops: tuple[str, ...]) -> Rule:
    """Return the rule for the table of actors: who (uid:N or gid:N) may do which of `ops`."""
    says = 'a table of actors, like "uid:1000" = ["prove"]'

    def within(value: dict[str, object]) -> Iterator[tuple[str, str]]:
        for actor, allowed in value.items():
            name = json.dumps(actor)
            if not _ACTOR.fullmatch(actor):
                yield actor, f'{name} is no actor; say "uid:NUMBER" or "gid:NUMBER"'
            if not isinstance(allowed, list) or not all(isinstance(op, str) for op in allowed):
                yield actor, f"{name} needs a list of: {', '.join(ops)}"
                continue
            for op in allowed:
                if op not in ops:
                    yield actor, f"{name}: {json.dumps(op)} is not one of: {', '.join(ops)}"

    return Rule(dict, says, within=within)


_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(r'"(?:[^"\\]|\\.)*"')
_LITERAL = re.compile(r"'[^']*'")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|' + r"'''.*?'{3,5}|" + _BASIC.pattern + "|" + _LITERAL.pattern, re.S
)
_GAP = re.compile(r"[ \t]*")
_BETWEEN = re.compile(r"(?:\s|#[^\n]*)*")


def locate(toml: str) -> dict[Key, Place]:
    """Find every table header and key of a TOML text that tomllib has accepted.

    Keys inside an inline table are not listed; their place is that of the table.
    """
    places: dict[Key, Place] = {}
    table: Key = ()
    at = 0

    def note(key: Key, start: int) -> None:
        place = (toml.count("\n", 0, start) + 1, start - toml.rfind("\n", 0, start))
        for length in range(1, len(key) + 1):
            places.setdefault(key[:length], place)

    while (at := _skip(_BETWEEN, toml, at)) < len(toml):
        start = at
        if toml[at] == "[":
            at += 2 if toml.startswith("[[", at) else 1
            table, at = _dotted_key(toml, at)
            note(table, start)
            at = toml.index("]", at)
            at += 2 if toml.startswith("]]", at) else 1
        else:
            key, at = _dotted_key(toml, at)
            note(table + key, start)
            at = _value_end(toml, toml.index("=", at) + 1)
    return places


def _skip(pattern: re.Pattern[str], toml: str, at: int) -> int:
    found = pattern.match(toml, at)
    return found.end() if found else at


def _dotted_key(toml: str, at: int) -> tuple[Key, int]:
    """Read `a."b".c`; return its parts and where it ends."""
    parts: list[str] = []
    while True:
        at = _skip(_GAP, toml, at)
        if bare := _BARE.match(toml, at):
            parts.append(bare[0])
            at = bare.end()
        elif literal := _LITERAL.match(toml, at):
            parts.append(literal[0][1:-1])
            at = literal.end()
        elif basic := _BASIC.match(toml, at):
            # TOML's \UXXXXXXXX is the one escape that JSON lacks; such a key only loses its exact place.
            parts.append(basic[0][1:-1] if "\\U" in basic[0] else str(json.loads(basic[0], strict=False)))
            at = basic.end()
        else:
            return tuple(parts), at
        at = _skip(_GAP, toml, at)
        if not toml.startswith(".", at):
            return tuple(parts), at
        at += 1


def _value_end(toml: str, at: int) -> int:
    """Return where a value ends: at the line's end or comment outside of strings and brackets."""
    depth = 0
    while at < len(toml):
        if string := _STRING.match(toml, at):
            at = string.end()
            continue
        char = toml[at]
        if char in "[{":
            depth += 1
        elif char in "]}":
            depth -= 1
        elif char == "#":
            at = _skip(re.compile(r"[^\n]*"), toml, at)
            continue
        elif char == "\n" and depth == 0:
            return at
        at += 1
    return at
