"""Families of numbers as a file in Prometheus' text format, for the textfile collector of node_exporter.

A file is of one run, and the next one begins at zero.

Imported only when numbers are asked for: prometheus-client is part of an extra.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, write_to_textfile
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from harness.observe.families import Family


def write_metrics(families: Iterable[Family], target: Path) -> None:
    """Replace `target`, at once, by these numbers. Raises `OSError`."""
    registry = CollectorRegistry()
    registry.register(_Families(families))
    write_to_textfile(str(target), registry)


class _Families(Collector):
    def __init__(self, families: Iterable[Family]) -> None:
        self._families = tuple(families)

    def collect(self) -> Iterator[Metric]:
        return map(_metric, self._families)


def _metric(family: Family) -> Metric:
    kind = CounterMetricFamily if family.grows else GaugeMetricFamily
    found = kind(f"harness_{family.name}", family.text, labels=family.labels)
    for labels, value in family.rows.items():
        found.add_metric([label.encode("utf-8", "backslashreplace").decode() for label in labels], value)
    return found
