"""docs/federation.md explains every reason that is counted, and its table of quorums is what the code computes."""

from __future__ import annotations

import re
import typing

from paths import ROOT

from gateway import events
from gateway.app.peer_report import WORDS
from gateway.tlog.policy import quorum_size

DOC = (ROOT / "docs" / "federation.md").read_text(encoding="utf-8")


def section(name: str) -> str:
    """The text under a heading."""
    return DOC.partition(f"## {name}\n")[2].partition("\n## ")[0]


def test_every_reason_is_explained_once() -> None:
    rows = re.findall(r"^\| (`.+?`) \|", section("When something of a peer is refused"), re.M)
    told = [word for row in rows for word in re.findall(r"`(\w+)`", row)]
    assert sorted(told) == sorted(typing.get_args(events.PeerReason))


def test_codes_are_counted_under_words_that_are_there() -> None:
    assert set(WORDS.values()) <= set(typing.get_args(events.PeerReason))


def test_the_table_of_quorums_is_computed() -> None:
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", section('What "confirmed" means'), re.M)
    assert len(rows) >= 5
    for n, f, q, down in (map(int, row) for row in rows):
        assert q == quorum_size(n, f)
        assert down == n - q
        assert 2 * q - n > f, "two conflicting quorums share an honest party"
