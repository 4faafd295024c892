"""What a store counts, with the names that Prometheus scrapes.

The counts are plain numbers, changed where the thing happens and by the thread that does it, so that counting costs
nanoseconds and no lock; Prometheus sees them through a collector in a registry of the store's own, and two stores in
one process never mix. A group commit is counted once, for all its events.

    event_store_appended_events_total, _appended_bytes_total, _groups_total   durable, acknowledged or about to be
    event_store_append_failures_total{kind}      appends that raised: transient, degraded, fatal, refused
    event_store_append_seconds                   histogram: one append, from the call to durable
    event_store_group_events                     histogram: events that shared one fsync
    event_store_queries_total, _query_seconds    pages asked for
    event_store_rebuilt_total{view}              damaged snapshots and indexes that were made anew
    event_store_retained_segments_removed_total  segments that retention removed
    event_store_last_sequence, _subscribers, _log_bytes, _disk_used_ratio, _status   gauges, read when scraped
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

FAILURES = ("transient", "degraded", "fatal", "refused")
VIEWS = ("index", "snapshot")
SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
EVENTS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1000.0)
_PREFIX = "event_store_"


class Histogram:
    """Counts of values up to each of `bounds`, and beyond; values are of one unit."""

    __slots__ = ("_lock", "bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self._lock = threading.Lock()

    def observe(self, value: float) -> None:
        with self._lock:
            self.counts[bisect_left(self.bounds, value)] += 1
            self.total += value

    @property
    def count(self) -> int:
        return sum(self.counts)

    def share_above(self, limit: float) -> float:
        """The part of all values in buckets above `limit`, which has to be one of the bounds."""
        counts = list(self.counts)
        return sum(counts[self.bounds.index(limit) + 1 :]) / max(1, sum(counts))

    def buckets(self) -> tuple[list[tuple[str, float]], float]:
        """Cumulated counts as Prometheus has them, and the sum of the values."""
        with self._lock:
            counts, total = list(self.counts), self.total
        names = [*map(str, self.bounds), "+Inf"]
        return [(name, float(sum(counts[: n + 1]))) for n, name in enumerate(names)], total


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is read when somebody asks, in units as named; `status` 0 ok, 1 degraded, 2 failed."""

    last_sequence: int = 0
    subscribers: int = 0
    log_bytes: int = 0
    disk_used_ratio: float = 0.0
    status: int = 0


class StoreMetrics:
    """The counts of one store since it was opened."""

    def __init__(self, gauges: Callable[[], Gauges] = Gauges) -> None:
        self._gauges = gauges
        self._lock = threading.Lock()
        self.appended_events = 0
        self.appended_bytes = 0
        self.groups = 0
        self.queries = 0
        self.segments_removed = 0
        self.failures = dict.fromkeys(FAILURES, 0)
        self.rebuilt = dict.fromkeys(VIEWS, 0)
        self.append_seconds = Histogram(SECONDS)
        self.query_seconds = Histogram(SECONDS)
        self.group_events = Histogram(EVENTS)
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def group_durable(self, events: int, size_bytes: int) -> None:
        """A group of `events`, `size_bytes` in the log, is durable. One caller at a time: the leader."""
        self.appended_events += events
        self.appended_bytes += size_bytes
        self.groups += 1
        self.group_events.observe(events)

    def append_failed(self, kind: str) -> None:
        """An append raised; `kind` is one of `FAILURES`."""
        self._count(self.failures, kind)

    def view_rebuilt(self, view: str) -> None:
        """A damaged `index` or `snapshot` was made anew."""
        self._count(self.rebuilt, view)

    def query_done(self, seconds: float) -> None:
        self.query_seconds.observe(seconds)
        with self._lock:
            self.queries += 1

    def removed(self, segments: int) -> None:
        with self._lock:
            self.segments_removed += segments

    def _count(self, counts: dict[str, int], key: str) -> None:
        with self._lock:
            counts[key] += 1

    def text(self) -> str:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry).decode()

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]:
        """For the registry: the families of this moment."""
        yield _counter("appended_events", "Events made durable", self.appended_events)
        yield _counter("appended_bytes", "Bytes of frames made durable", self.appended_bytes)
        yield _counter("groups", "Group commits, one fsync each", self.groups)
        yield _counter("queries", "Pages asked for", self.queries)
        yield _counter("retained_segments_removed", "Segments that retention removed", self.segments_removed)
        yield _labelled("append_failures", "Appends that raised", "kind", self.failures)
        yield _labelled("rebuilt", "Damaged views that were made anew", "view", self.rebuilt)
        yield _histogram("append_seconds", "One append, from the call to durable", self.append_seconds)
        yield _histogram("query_seconds", "One page, in seconds", self.query_seconds)
        yield _histogram("group_events", "Events that shared one fsync", self.group_events)
        gauges = self._gauges()
        yield _gauge("last_sequence", "Newest durable sequence number", gauges.last_sequence)
        yield _gauge("subscribers", "Subscriptions that are open", gauges.subscribers)
        yield _gauge("log_bytes", "Bytes of all segments", gauges.log_bytes)
        yield _gauge("disk_used_ratio", "Part of the file system that is in use", gauges.disk_used_ratio)
        yield _gauge("status", "0 ok, 1 degraded, 2 failed", gauges.status)


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(_PREFIX + name, text, value=value)


def _labelled(name: str, text: str, label: str, counts: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(_PREFIX + name, text, labels=[label])
    for key, count in sorted(counts.items()):
        family.add_metric([key], count)
    return family


def _histogram(name: str, text: str, histogram: Histogram) -> HistogramMetricFamily:
    buckets, total = histogram.buckets()
    return HistogramMetricFamily(_PREFIX + name, text, buckets=buckets, sum_value=total)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(_PREFIX + name, text, value=value)
