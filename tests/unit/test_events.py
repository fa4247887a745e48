"""The catalogue of events: numbers and words of closed sets, each explained, each with metrics."""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from typing import Literal, get_args, get_origin, get_type_hints

import pytest

from gateway import events
from gateway.app.observe import METRICS, event_name
from gateway.events import CATALOGUE, Event


def test_the_catalogue_is_complete() -> None:
    named = {kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event)}
    assert set(CATALOGUE) == named - {Event}
    assert set(METRICS) == set(CATALOGUE), "every event has its metrics in app/observe.py"


@pytest.mark.parametrize("kind", CATALOGUE, ids=lambda kind: kind.__name__)
def test_fields_are_numbers_and_closed_words(kind: type[Event]) -> None:
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__slots__" in vars(kind)
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        closed = get_origin(hint) is Literal and all(isinstance(word, str) for word in get_args(hint))
        assert hint in {int, float, bool} or closed, f"{field.name}: {hint} could hold free text"


@pytest.mark.parametrize("kind", CATALOGUE, ids=lambda kind: kind.__name__)
def test_names_are_noun_and_past_verb_and_explained(kind: type[Event]) -> None:
    last = event_name(kind).split("_")[-1]
    # `stopping` and `draining` are states that last; `low` is one that is noticed; `ready` has no verb.
    irregular = {"lost", "held", "sent", "shed", "low", "ready", "withdrawn", "stopping", "draining"}
    assert last.endswith("ed") or last in irregular
    doc = inspect.getdoc(kind) or ""
    assert not doc.startswith(f"{kind.__name__}("), "a docstring of its own, not the one that dataclass makes"
    assert doc.endswith(".")


def test_words_from_elsewhere_stay_in_the_closed_set() -> None:
    assert events.reason("not_permitted") == "not_permitted"
    assert events.reason("Mrs Example, room 4") == "other"
    assert events.entry_word("consent.grant") == "consent.grant"
    assert events.entry_word("x") == "other"


def test_reasons_are_plain_words() -> None:
    for word in (*typing.get_args(events.Reason), *typing.get_args(events.EntryWord)):
        assert re.fullmatch(r"[a-z]+([_.][a-z]+)*", word)
