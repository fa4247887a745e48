"""Events become one line and exact metrics, with a bounded number of series and nothing personal."""

from __future__ import annotations

import io
import json
import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway import events
from gateway.app.observe import METRICS, REPEAT_S, Observer, event_name
from gateway.events import (
    AccessDecided,
    BatchCommitted,
    DaemonReady,
    FramesRefused,
    PacketsArrived,
    PacketsRefused,
    SessionOpened,
)

BATCH = BatchCommitted(
    batch=1, parts=2, frames=30, samples=900, bytes=4096, seal_ms=12.0, commit_ms=30.0, size=7
)


class Clock:
    """A clock that a test turns by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def made(level: str = "info", style: str = "json") -> tuple[Observer, io.StringIO, Clock]:
    stream, clock = io.StringIO(), Clock()
    return Observer(style, level, stream, clock), stream, clock


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def samples(observer: Observer) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = text_string_to_metric_families(observer.render_metrics().decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(observer: Observer, name: str, **labels: str) -> float:
    return samples(observer)[f"vestibule_{name}", frozenset(labels.items())]


def test_an_event_is_one_json_line() -> None:
    observer, stream, _ = made()
    observer.emit(DaemonReady(start_ms=250))
    (line,) = lines(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", str(line.pop("timestamp")))
    assert line == {"event": "daemon_ready", "level": "info", "start_ms": 250}


def test_the_level_hides_lines_and_never_metrics() -> None:
    observer, stream, _ = made("warning")
    observer.emit(DaemonReady(start_ms=250))
    observer.emit(PacketsArrived("udp", 256))
    assert lines(stream) == []
    assert value(observer, "packets_arrived_total", transport="udp") == 256
    assert value(observer, "daemon_ready_seconds") == 0.25


def test_human_lines_hold_the_same_words() -> None:
    observer, stream, _ = made(style="human")
    observer.emit(PacketsRefused("bad_tag", 3))
    line = stream.getvalue()
    assert line.count("\n") == 1
    for word in ("packets_refused", "warning", "bad_tag", "3"):
        assert word in line


def test_auto_is_json_where_there_is_no_terminal() -> None:
    observer, stream, _ = made(style="auto")
    observer.emit(DaemonReady(start_ms=1))
    assert lines(stream)[0]["event"] == "daemon_ready"


def test_counters_add_up_by_label() -> None:
    observer, _, _ = made()
    for count in (3, 4):
        observer.emit(PacketsRefused("bad_tag", count))
    observer.emit(PacketsRefused("copy", 5))
    observer.emit(AccessDecided("prove", True))
    assert value(observer, "packets_refused_total", reason="bad_tag") == 7
    assert value(observer, "packets_refused_total", reason="copy") == 5
    assert value(observer, "accesses_decided_total", op="prove", allowed="true") == 1


def test_a_batch_moves_counters_gauge_and_histograms() -> None:
    observer, _, _ = made()
    observer.emit(BATCH)
    observer.emit(BATCH)
    assert value(observer, "frames_committed_total") == 60
    assert value(observer, "ledger_size_entries") == 7
    assert value(observer, "batch_commit_seconds_count") == 2
    assert value(observer, "batch_commit_seconds_sum") == pytest.approx(0.06)
    assert value(observer, "batch_commit_seconds_bucket", le="0.025") == 0
    assert value(observer, "batch_commit_seconds_bucket", le="0.05") == 2


def test_a_flood_is_one_line_a_second_with_the_rest_counted() -> None:
    observer, stream, clock = made()
    for _ in range(1000):
        observer.emit(FramesRefused("not_permitted", 2))
    observer.emit(FramesRefused("late", 1))
    assert [(line["reason"], line.get("held_back")) for line in lines(stream)] == [
        ("not_permitted", None),
        ("late", None),
    ]
    clock.now += REPEAT_S
    observer.emit(FramesRefused("not_permitted", 2))
    assert lines(stream)[-1]["held_back"] == 999
    assert value(observer, "frames_refused_total", reason="not_permitted") == 2002


def test_changes_of_state_are_never_held_back() -> None:
    observer, stream, _ = made()
    for _ in range(3):
        observer.emit(SessionOpened())
    assert len(lines(stream)) == 3


def test_unlabelled_counters_show_before_their_first_event() -> None:
    assert value(made()[0], "batches_committed_total") == 0


def test_gauges_are_read_when_asked() -> None:
    observer, _, _ = made()
    queue = [1, 2, 3]
    observer.gauge("queue_packets", "Packets that wait for admission.", lambda: len(queue))
    assert value(observer, "queue_packets") == 3
    queue.pop()
    assert value(observer, "queue_packets") == 2


def test_names_follow_prometheus_rules_and_are_unique() -> None:
    counts = [count for group in METRICS.values() for count in group]
    assert len({count.name for count in counts}) == len(counts)
    for count in counts:
        assert re.fullmatch(r"[a-z][a-z_]*", count.name)
        assert count.name.endswith("_total") == (count.kind == "counter"), count.name
        assert not re.search(r"_(ms|ns|kb)(_|$)", count.name), "base units only"
        assert "device" not in count.labels


def test_event_names() -> None:
    assert event_name(events.PacketsShed) == "packets_shed"
    assert event_name(events.DiskLow) == "disk_low"
