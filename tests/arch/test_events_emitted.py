"""Every event of the catalogue is emitted somewhere: one that is not would promise a metric that never moves."""

from __future__ import annotations

import ast

from paths import ROOT

from gateway.events import CATALOGUE


def events_made(source: str) -> set[str]:
    """The names called as `events.Name(...)`."""
    return {
        node.func.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "events"
    }


def test_every_event_is_emitted() -> None:
    made: set[str] = set()
    for path in (ROOT / "gateway" / "app").rglob("*.py"):
        made |= events_made(path.read_text(encoding="utf-8"))
    assert [kind.__name__ for kind in CATALOGUE if kind.__name__ not in made] == []


def test_a_name_alone_is_no_event() -> None:
    assert events_made("events.DaemonReady; METRICS = {events.DiskLow: ()}; Batch(events.X(1))") == {"X"}
