"""The configuration: strict TOML, every key with its unit, range and reason in one place.

The tables of `config_tables` are the manual: `default_text` writes them out as the commented file that
`vestibule init` puts down, `check` holds a text to them and finds every fault at once, `load` gives the values.
No key is read anywhere else, and an unknown one is an error, because a limit that is silently not applied is worse
than a daemon that does not start.
Secrets never stand in the file, only the paths of files that hold them.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import textwrap
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gateway.app import config_rules as rules
from gateway.app.config_rules import Key, Place, Rule
from gateway.app.config_tables import OPS, SECTIONS, TOGETHER, Access, Config, Limits, Mqtt, Seal, Tables
from gateway.errors import ConfigError

FORMAT = 1
"""Version of the configuration's format that this program writes and reads."""

MAX_FILE_BYTES = 1 << 20
"""A configuration is a page of text; anything larger is another file by mistake."""

__all__ = [
    "FORMAT",
    "OPS",
    "SECTIONS",
    "Config",
    "Problem",
    "check",
    "default_text",
    "load",
    "read",
    "warnings",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of a configuration text.

    Args:
        file: as it was given. line, column: from 1.
        key: dotted, like `seal.interval_ms`; "" for the text as a whole.
        message: what is wrong. nearest: a key that was probably meant, or "".
    """

    file: str
    line: int
    column: int
    key: str
    message: str
    nearest: str = ""

    def __str__(self) -> str:
        meant = f" (did you mean {self.nearest}?)" if self.nearest else ""
        return f"{self.file}:{self.line}:{self.column}: {self.message}{meant}"


def read(path: str | Path, hint: str) -> str:
    """Read the text of a configuration file, whatever it says.

    Args:
        path: the file. hint: what to do where it cannot be read.

    Raises:
        ConfigError: `config_unreadable`.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        text = data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(
            "config_unreadable", f"{path}: cannot read the configuration: {why}", hint
        ) from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(
            "config_unreadable", f"{path}: larger than {MAX_FILE_BYTES} bytes", "Is it the right file?"
        )
    return text


def load(path: str | Path) -> Config:
    """Read a configuration file.

    Raises:
        ConfigError: the file cannot be read, or holds a fault; it names the first and counts the rest.
    """
    text = read(path, "Name it with --config, or let `vestibule init` write one.")
    problems = check(text, str(path))
    if problems:
        more = f" {len(problems) - 1} more: `vestibule check` lists them all." if len(problems) > 1 else ""
        raise ConfigError("config_invalid", str(problems[0]), f"Correct that line.{more}")
    values = tomllib.loads(text)
    return Config(**{name: _section(kind, values.get(name, {})) for name, kind in SECTIONS.items()})


def _section(kind: type[Any], values: dict[str, Any]) -> Any:
    """Build one checked table; lists become tuples that nobody can change afterwards."""
    if kind is Access and "actors" in values:
        values = {"actors": MappingProxyType({actor: tuple(ops) for actor, ops in values["actors"].items()})}
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


def check(text: str, path: str = "") -> list[Problem]:
    """Find every fault of a configuration text, in the order of the lines. Reads nothing but its arguments."""
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # TOMLDecodeError is a ValueError; a number of thousands of digits and a thousand brackets give the others.
        return [_syntax_problem(error, text, path)]
    places = rules.locate(text)
    version = values.pop("format", None)
    if type(version) is int and version > FORMAT:
        # The rules of a newer format are unknown here, so whatever else was said would mislead.
        message = f"format {version} is newer than this program knows ({FORMAT}); install a newer vestibule"
        return [_problem(path, places, ("format",), message)]
    problems = []
    if version is None:
        problems.append(_problem(path, places, ("format",), f"`format = {FORMAT}` is missing at the top"))
    elif type(version) is not int or version != FORMAT:
        problems.append(_problem(path, places, ("format",), f"format must be {FORMAT}"))
    for name, table in values.items():
        if name not in SECTIONS:
            problems.append(_unknown(path, places, (name,), SECTIONS))
        elif not isinstance(table, dict):
            problems.append(_problem(path, places, (name,), f"{name} must be a table: [{name}]"))
    for name, kind in SECTIONS.items():
        table = values.get(name, {})
        if isinstance(table, dict):
            problems += _check_section(path, places, name, kind, table)
    problems += _check_together(path, places, values, problems)
    return sorted(problems, key=lambda problem: (problem.line, problem.column))


def _check_section(
    path: str, places: dict[Key, Place], name: str, kind: type[Any], table: dict[str, object]
) -> list[Problem]:
    fields = {field.name: field for field in dataclasses.fields(kind)}
    found = [_unknown(path, places, (name, key), fields) for key in table if key not in fields]
    for key, field in fields.items():
        rule: Rule = field.metadata["rule"]
        if key not in table:
            if field.metadata["required"]:
                found.append(_problem(path, places, (name, key), f"{name}.{key} is missing: {rule.says}"))
        elif fault := rule.check(table[key]):
            found.append(_problem(path, places, (name, key), f"{name}.{key} {fault}"))
        else:
            for inner, fault in rule.within(table[key]):
                found.append(_problem(path, places, (name, key, inner), f"{name}.{key} {fault}"))
    return found


def _check_together(
    path: str, places: dict[Key, Place], values: dict[str, Any], problems: list[Problem]
) -> list[Problem]:
    """Find what only several keys together get wrong; a rule is asked where the keys that it reads are right."""
    # What was misspelt is in the file, so its default says nothing about what was meant.
    unsound = {problem.key for problem in problems} | {problem.nearest for problem in problems}
    tables = Tables(
        *(_sound(SECTIONS[field.name], field.name, values, unsound) for field in dataclasses.fields(Tables))
    )
    return [
        _problem(path, places, tuple(rule.keys[0].split(".")), rule.says)
        for rule in TOGETHER
        if not unsound & {*rule.keys, rule.keys[0].partition(".")[0]} and rule.broken(tables)
    ]


def _sound(kind: type[Any], name: str, values: dict[str, Any], unsound: set[str]) -> Any:
    """Build one table of its keys that are right."""
    table = values.get(name, {})
    if not isinstance(table, dict):
        return kind()
    known = {field.name for field in dataclasses.fields(kind)}
    return kind(**{key: table[key] for key in table.keys() & known if f"{name}.{key}" not in unsound})


def warnings(text: str, path: str = "") -> list[Problem]:
    """What a configuration without faults will make slow, place by place. Reads nothing but its arguments."""
    values = tomllib.loads(text)
    mqtt, limits = Mqtt(**values.get("mqtt", {})), Limits(**values.get("limits", {}))
    interval_ms = Seal(**values.get("seal", {})).interval_ms
    needed = -(-limits.device_packets_s * interval_ms // 1000)
    if not mqtt.enabled or mqtt.receive_maximum >= needed:
        return []
    message = (
        f"mqtt.receive_maximum is {mqtt.receive_maximum}: one device may send limits.device_packets_s = "
        f"{limits.device_packets_s} packets a second, each is confirmed only after the next seal "
        f"(seal.interval_ms = {interval_ms}), and so the broker holds back what is above that; {needed} would do"
    )
    return [_problem(path, rules.locate(text), ("mqtt", "receive_maximum"), message)]


def _problem(path: str, places: dict[Key, Place], key: Key, message: str, nearest: str = "") -> Problem:
    """Place a fault at its key, or where that is missing at its table, or at the top."""
    place = next((places[key[:n]] for n in range(len(key), 0, -1) if key[:n] in places), (1, 1))
    return Problem(path, *place, ".".join(key), message, nearest)


def _unknown(path: str, places: dict[Key, Place], key: Key, known: Mapping[str, object]) -> Problem:
    """Say that a key or table is unknown, and which one was probably meant."""
    what = "table" if len(key) == 1 else "key"
    close = difflib.get_close_matches(key[-1], known, n=1)
    nearest = ".".join([*key[:-1], close[0]]) if close else ""
    elsewhere = [
        name for name, kind in SECTIONS.items() if key[-1] in {f.name for f in dataclasses.fields(kind)}
    ]
    if elsewhere:
        nearest = f"{elsewhere[0]}.{key[-1]}"
    return _problem(path, places, key, f"unknown {what} {'.'.join(key)}", nearest)


def _syntax_problem(error: Exception, text: str, path: str) -> Problem:
    """Place what tomllib could not read; it tells line and column only inside its message."""
    found = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
    line, column = (int(found[1]), int(found[2])) if found else (text.count("\n") + 1, 1)
    return Problem(path, line, column, "", "not TOML: " + re.sub(r"\s*\(at .*\)", "", str(error)))


def default_text(gateway_name: str, origin: str, actor: str) -> str:
    """Write the commented default configuration: the manual of every key.

    Args:
        gateway_name: see `gateway.name`. origin: see `gateway.origin`.
        actor: who may see frames at first, like "uid:1000".
    """
    given: dict[str, object] = {"name": gateway_name, "origin": origin, "actors": {actor: OPS}}
    lines = _comment(
        "Vestibule's configuration. Every key is here with its default; one that is left out has that default. "
        "An unknown key is an error. Check it after each change: vestibule check. It is read at the start."
    )
    lines += ["", f"format = {FORMAT}"]
    for name, kind in SECTIONS.items():
        lines += ["", *_comment((kind.__doc__ or "").strip()), f"[{name}]"]
        for field in dataclasses.fields(kind):
            rule: Rule = field.metadata["rule"]
            value = given.get(field.name, field.default)
            says = "" if rule.kind in {bool, dict} else f" {rule.says[0].upper()}{rule.says[1:]}."
            lines += _comment(field.metadata["doc"] + says)
            lines.append(f"{field.name} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, 100, initial_indent="# ", subsequent_indent="# ")


def _toml(value: object) -> str:
    """Write one value as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_toml(key)} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return str(value)
