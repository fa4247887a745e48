"""Writes each event once as a log line and once as a metric. Nothing else in the daemon logs or counts.

Lines go to standard error: JSON for machines, aligned words for people. Metrics are plain integers in a dictionary that
a single Prometheus collector reads when asked, because `labels().inc()` costs more than the admission of a packet.
Every label is a word of a closed set (`gateway.events`), so the number of series is bounded; there is none for each
device. Lines that repeat are written once a second with the number held back; the metrics stay exact.
"""

from __future__ import annotations

import re
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TextIO

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway import __version__, events
from gateway.events import Event

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

REPEAT_S = 1.0
"""Least time between two lines of one event, transport and reason: a flood of bad packets must not fill the disk."""

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histograms, in seconds."""


@dataclass(frozen=True, slots=True)
class Count:
    """One metric that an event moves.

    Args:
        name: without the prefix `vestibule_`; a counter's ends with `_total`.
        help: the sentence of the exposition.
        field: what is added (counter), kept (gauge) or observed (histogram); "" adds 1.
        labels: fields of the event that become labels.
        scale: factor from the field's unit to the metric's base unit.
    """

    name: str
    help: str
    field: str = ""
    labels: tuple[str, ...] = ()
    kind: Literal["counter", "gauge", "histogram"] = "counter"
    scale: float = 1


_BY_REASON = ("reason",)

METRICS: dict[type[Event], tuple[Count, ...]] = {
    events.DaemonStarted: (Count("daemon_starts_total", "Starts of the process."),),
    events.DaemonReady: (
        Count("daemon_ready_seconds", "Time from start to ready.", "start_ms", kind="gauge", scale=0.001),
    ),
    events.DaemonStopping: (Count("daemon_stops_total", "Times that stopping began."),),
    events.DaemonStopped: (
        Count("daemon_stop_seconds", "Time that stopping took.", "stop_ms", kind="gauge", scale=0.001),
    ),
    events.PacketsArrived: (
        Count("packets_arrived_total", "Packets taken from a transport.", "count", ("transport",)),
    ),
    events.PacketsAdmitted: (Count("packets_admitted_total", "Fresh packets taken in.", "count"),),
    events.PacketsRefused: (
        Count("packets_refused_total", "Packets that broke a rule.", "count", _BY_REASON),
    ),
    events.PacketsShed: (Count("packets_shed_total", "Packets dropped for load.", "count", _BY_REASON),),
    events.KernelDropped: (Count("kernel_drops_total", "Datagrams that the kernel dropped.", "count"),),
    events.FramesAdmitted: (
        Count("frames_admitted_total", "Frames let in.", "count"),
        Count("samples_admitted_total", "Samples let in.", "samples"),
    ),
    events.FramesRefused: (Count("frames_refused_total", "Frames not let in.", "count", ("reason",)),),
    events.DevicePaired: (Count("devices_paired_total", "Devices that got a key."),),
    events.KeyRotationStarted: (
        Count("key_rotations_started_total", "Devices that were to get another key."),
    ),
    events.KeyRotated: (Count("keys_rotated_total", "Devices that use their new key."),),
    events.DeviceRevoked: (Count("devices_revoked_total", "Devices that were revoked."),),
    events.CommandsSent: (Count("commands_sent_total", "Commands to devices.", "count", ("verb",)),),
    events.CommandsAnswered: (
        Count("commands_answered_total", "What became of commands.", "count", ("verb", "result")),
    ),
    events.DevicesWelcomed: (Count("devices_welcomed_total", "HELLOs answered.", "count", ("state",)),),
    events.SessionOpened: (Count("sessions_opened_total", "Sittings begun."),),
    events.SessionWithdrawn: (Count("sessions_withdrawn_total", "Sittings whose consent was withdrawn."),),
    events.SessionDraining: (Count("sessions_draining_total", "Sittings stopped and still drained."),),
    events.SessionClosed: (Count("sessions_closed_total", "Sittings complete."),),
    events.BatchCommitted: (
        Count("batches_committed_total", "Batches on disk and in the log."),
        Count("parts_committed_total", "Parts of those batches.", "parts"),
        Count("frames_committed_total", "Frames of those batches.", "frames"),
        Count("samples_committed_total", "Samples of those batches.", "samples"),
        Count("sealed_bytes_total", "Bytes of their sealed parts.", "bytes"),
        Count("batch_seal_seconds", "Time to seal a batch.", "seal_ms", kind="histogram", scale=0.001),
        Count("batch_commit_seconds", "Time to commit a batch.", "commit_ms", kind="histogram", scale=0.001),
        Count("ledger_size_entries", "Entries of this gateway's log.", "size", kind="gauge"),
    ),
    events.EntriesCommitted: (
        Count("entries_committed_total", "Entries other than batches.", "count", ("entry",)),
    ),
    events.ReceiptsSent: (Count("receipts_sent_total", "Receipts sent to devices.", "count"),),
    events.AccessDecided: (Count("accesses_decided_total", "Answers to actors.", labels=("op", "allowed")),),
    events.CycleHeld: (Count("cycles_held_total", "Times that no batch could begin.", labels=("reason",)),),
    events.CycleResumed: (
        Count("held_seconds_total", "Time in which no batch could begin.", "held_ms", scale=0.001),
    ),
    events.DiskLow: (
        Count("disk_low_total", "Times that free disk was below the floor."),
        Count("disk_free_bytes", "Free disk when it was last low.", "free_bytes", kind="gauge"),
    ),
    events.BrokerConnected: (Count("broker_connects_total", "Connections to the MQTT broker."),),
    events.BrokerLost: (
        Count("broker_losses_total", "Times that it was lost, by reason.", labels=("reason",)),
    ),
    events.PeersReached: (
        Count("peers_alive", "Peers that answered lately.", "alive", kind="gauge"),
        Count("peers_members", "Peers of the roster.", "members", kind="gauge"),
    ),
    events.PeersRefused: (
        Count("peers_refused_total", "What peers sent and was refused.", "count", _BY_REASON),
    ),
    events.HeadsAccepted: (Count("heads_accepted_total", "Newer heads of other logs.", "count"),),
    events.EntriesMirrored: (Count("entries_mirrored_total", "Entries of other logs copied.", "count"),),
    events.CheckpointsCosigned: (Count("checkpoints_cosigned_total", "Heads cosigned on request.", "count"),),
    events.HeadConfirmed: (
        Count("heads_confirmed_total", "Heads of this log that a quorum cosigned."),
        Count("ledger_confirmed_entries", "Entries that are confirmed.", "size", kind="gauge"),
        Count("head_confirm_seconds", "From a head to its quorum.", "wait_ms", kind="histogram", scale=0.001),
    ),
    events.RosterChanged: (Count("roster_version", "Version of the roster.", "version", kind="gauge"),),
    events.ForkDetected: (Count("forks_detected_total", "Logs found to contradict themselves."),),
    events.OwnLogDetected: (
        Count("own_log_detected_total", "Times that this log was found elsewhere, newer or otherwise."),
    ),
    events.StoreRecovered: (
        Count("store_recoveries_total", "Openings of the store."),
        Count("store_cut_bytes_total", "Bytes of unnamed segment tails cut off.", "cut_bytes"),
    ),
}
"""Event -> its metrics. The test holds it to the catalogue."""

FAMILIES = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}


def event_name(kind: type[Event]) -> str:
    """Return the word of an event's log line: BatchCommitted -> batch_committed."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


class Observer(Collector):
    """The one place that events go to.

    Args:
        style: "json", "human", or "auto" (human where `stream` is a terminal).
        level: the least severe that is written.
        stream: where lines go.
        now_s: a monotonic clock in seconds, for holding repeats back.
    """

    def __init__(
        self,
        style: str = "auto",
        level: str = "info",
        stream: TextIO | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        stream = sys.stderr if stream is None else stream
        human = style == "human" or (style == "auto" and stream.isatty())
        renderer = (
            structlog.dev.ConsoleRenderer(colors=stream.isatty())
            if human
            else structlog.processors.JSONRenderer()
        )
        self._write = structlog.wrap_logger(
            structlog.WriteLogger(stream),
            wrapper_class=structlog.BoundLogger,
            processors=[structlog.processors.TimeStamper(fmt="iso", utc=True), renderer],
        ).bind()
        self._level = LEVELS[level]
        self._now_s = now_s
        self._repeats: dict[tuple[object, ...], tuple[float, int]] = {}
        self._values: dict[str, dict[tuple[str, ...], float]] = {}
        self._buckets: dict[str, list[int]] = {}
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def emit(self, event: Event) -> None:
        """Count an event, and write its line where its level asks for it."""
        for count in METRICS[type(event)]:
            self._count(count, event)
        if LEVELS[event.level] >= self._level:
            self._line(event)

    def bug(self, error: str, at: str) -> None:
        """Write the line of a bug that was survived; no event, since no set of words holds all bugs.

        Args:
            error: type of the exception, never its text: that may hold data.
            at: file and line in our own code.
        """
        self._write.msg("bug", level="error", error=error, at=at)

    def _count(self, count: Count, event: Event) -> None:
        value = getattr(event, count.field) * count.scale if count.field else 1
        labels = tuple(str(getattr(event, label)).lower() for label in count.labels)
        series = self._values.setdefault(count.name, {})
        if count.kind == "gauge":
            series[labels] = value
            return
        series[labels] = series.get(labels, 0) + value
        if count.kind == "histogram":
            buckets = self._buckets.setdefault(count.name, [0] * (len(BUCKETS_S) + 1))
            buckets[bisect_left(BUCKETS_S, value)] += 1

    def _line(self, event: Event) -> None:
        said: dict[str, Any] = {field.name: getattr(event, field.name) for field in fields(event)}
        if LEVELS[event.level] >= LEVELS["warning"]:
            # Only what can come in floods is held back; a change of state is always written.
            key = (type(event), said.get("transport"), said.get("reason"))
            now, (last, held) = self._now_s(), self._repeats.get(key, (float("-inf"), 0))
            if now - last < REPEAT_S:
                self._repeats[key] = (last, held + 1)
                return
            self._repeats[key] = (now, 0)
            if held:
                said["held_back"] = held
        self._write.msg(event_name(type(event)), level=event.level, **said)

    def gauge(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """Add a figure that is read when metrics are asked for, such as the length of a queue.

        Args:
            name: without the prefix, in base units.
            help_text: the sentence of the exposition.
            read: gives the figure; must be quick and must not fail.
        """
        self._gauges[name] = (help_text, read)

    def collect(self) -> Iterable[Metric]:
        """Give every known metric to prometheus_client, also those that nothing has moved yet."""
        build = GaugeMetricFamily("vestibule_build_info", "The running version.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        for counts in METRICS.values():
            for count in counts:
                yield from self._family(count)
        for name, (help_text, read) in self._gauges.items():
            yield GaugeMetricFamily(f"vestibule_{name}", help_text, value=read())

    def _family(self, count: Count) -> Iterator[Metric]:
        name, series = f"vestibule_{count.name}", self._values.get(count.name, {})
        if count.kind == "histogram":
            found = self._buckets.get(count.name, [0] * (len(BUCKETS_S) + 1))
            bounds = [*(str(bound) for bound in BUCKETS_S), "+Inf"]
            running = [(bound, float(sum(found[: at + 1]))) for at, bound in enumerate(bounds)]
            yield HistogramMetricFamily(name, count.help, buckets=running, sum_value=series.get((), 0))
            return
        family = FAMILIES[count.kind](name, count.help, labels=count.labels)
        # A counter without labels shows from the start, so that its first increase is seen as one.
        zero: Mapping[tuple[str, ...], float] = (
            {(): 0.0} if not count.labels and count.kind == "counter" else {}
        )
        for labels, value in {**zero, **series}.items():
            family.add_metric(labels, value)
        yield family

    def render_metrics(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)
