"""docs/operator.md says what the code does: metrics, reasons, exit codes, reasons of /readyz."""

from __future__ import annotations

import re
import typing

from paths import ROOT

from gateway import errors, events
from gateway.app.cli import exits, words
from gateway.app.observe import METRICS

DOC = (ROOT / "docs" / "operator.md").read_text(encoding="utf-8")
METRIC = re.compile(r"^\| `(vestibule_\w+)` \| (counter|gauge|histogram) \| (.*?) ?\| (.+) \|$", re.M)
GAUGE = re.compile(r'\bgauge\(\s*"(\w+)"')


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", DOC, re.M | re.S)
    assert found is not None, title
    return found[1]


def first_cells(text: str) -> list[str]:
    return re.findall(r"^\| `(\w+)` \| .+ \| .+ \|$", text, re.M)


def test_every_metric_stands_there_with_its_type_and_labels() -> None:
    told = {
        name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels, _ in METRIC.findall(DOC)
    }
    made = {
        f"vestibule_{count.name}": (count.kind, count.labels)
        for counts in METRICS.values()
        for count in counts
    }
    daemon = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "gateway" / "app").glob("*.py"))
    made |= {f"vestibule_{name}": ("gauge", ()) for name in GAUGE.findall(daemon)}
    made["vestibule_build_info"] = ("gauge", ("version",))
    assert told == made


def test_alarms_name_metrics_that_are_there() -> None:
    alarms = set(re.findall(r"vestibule_\w+", section("Metrics").partition("Worth an alarm")[2]))
    assert alarms
    assert alarms <= {name for name, *_ in METRIC.findall(DOC)}


def test_every_reason_is_explained_once() -> None:
    told = first_cells(section("Refusals"))
    assert sorted(told) == sorted(typing.get_args(events.Reason))


def test_every_reason_between_peers_is_explained_once() -> None:
    page = (ROOT / "docs" / "federation.md").read_text(encoding="utf-8")
    table = page.partition("## When something of a peer is refused")[2].partition("\n## ")[0]
    told = [
        word for cell in re.findall(r"^\| (`.+?) \|", table, re.M) for word in re.findall(r"`(\w+)`", cell)
    ]
    assert sorted(told) == sorted(typing.get_args(events.PeerReason))


def test_words_on_the_screen_belong_to_the_same_set() -> None:
    assert set(words.REASONS) <= set(typing.get_args(events.Reason))


def test_every_exit_code_is_explained() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", section("Exit codes"), re.M)}
    made = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    made |= {value for name, value in vars(exits).items() if name.startswith("EXIT_")}
    assert told == made


def test_every_reason_for_not_being_ready_is_explained() -> None:
    told = set(first_cells(section("How it is")))
    daemon = (ROOT / "gateway" / "app" / "daemon.py").read_text(encoding="utf-8")
    made = set(words.HELD) | set(re.findall(r'"code": "(\w+)"', daemon))
    assert told == made
