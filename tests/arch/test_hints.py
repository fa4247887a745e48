"""Whatever tells somebody to run `vestibule VERB` names a verb that is there: hints, help, configuration, documents."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import click
import pytest
from paths import ROOT

from gateway.app.cli.main import root

TOLD = re.compile(r"(?:`|Example: )vestibule ([^`\n]+)")
DOCUMENTS = ("*.md", "docs/**/*.md", "gateway/*.md", "plugins/*.md", "configs/*", "systemd/*")


def strings(source: str) -> Iterator[str]:
    """The texts of a module; what is filled in at run time stands as FILLED."""
    tree = ast.parse(source)
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(p.value) if isinstance(p, ast.Constant) else "FILLED" for p in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def wrong_verb(line: str) -> str:
    """The first word of a command line that is no verb where it stands; empty where all are."""
    command: click.Command | None = root
    words = iter(line.split())
    for word in words:
        if not isinstance(command, click.Group):
            return ""
        if word.startswith("-"):
            if word == "--data-dir":
                next(words, None)
            continue
        if word.isupper():
            return ""
        command = command.get_command(click.Context(command), word.strip(".,;:'\""))
        if command is None:
            return word
    return ""


def test_every_verb_that_is_told_is_there() -> None:
    told: list[tuple[str, str]] = []
    for path in (ROOT / "gateway").rglob("*.py"):
        for text in strings(path.read_text(encoding="utf-8")):
            told += [(path.name, line) for line in TOLD.findall(text)]
    for pattern in DOCUMENTS:
        for path in ROOT.glob(pattern):
            told += [(path.name, line) for line in TOLD.findall(path.read_text(encoding="utf-8"))]
    assert len(told) > 80
    assert [f"{name}: vestibule {line}" for name, line in told if wrong_verb(line)] == []


@pytest.mark.parametrize("line", ["serve", "ledger new-gateway", "key restore", "doctor --json", "session"])
def test_a_verb_that_is_not_there_is_seen(line: str) -> None:
    assert bool(wrong_verb(line)) == (line != "session")


def test_a_text_in_pieces_is_read_as_one() -> None:
    assert list(strings('f"Run `vestibule " f"{verb}`."')) == ["Run `vestibule FILLED`."]
