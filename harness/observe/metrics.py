"""What certificates say, as numbers for Prometheus: a file in its text format, since a run ends before it is scraped.

    harness_faults_fired_total{store,scenario}      faults that struck; a crash is one, too
    harness_states_judged_total{store,scenario}     states and trials that were recovered and judged
    harness_findings_total{store,claim,kind}        findings; no row where there is none
    harness_scenario_seconds{store,scenario}        how long its evidence took, over all workers
    harness_verdict{store,verdict}                  1 for the verdict of the store, 0 for the others
    harness_certified_timestamp_seconds{store}      when its certificate was issued, since 1970
    harness_exit_status                             of the whole command

Every number is that of a certificate, added up over claims and persistence models. A file is of one run, and the next
one begins at zero.

Imported only when numbers are asked for: prometheus-client is part of an extra.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, write_to_textfile
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from harness.core.evidence import Certificate
from harness.core.verdict import Verdict

_Rows = Mapping[tuple[str, ...], float]


def write_metrics(certificates: Sequence[Certificate], status: int, target: Path) -> None:
    """Replace `target`, at once, by the numbers of these certificates. Raises `OSError`."""
    registry = CollectorRegistry()
    registry.register(_Certificates(certificates, status))
    write_to_textfile(str(target), registry)


class _Certificates(Collector):
    def __init__(self, certificates: Sequence[Certificate], status: int) -> None:
        self._certificates = certificates
        self._status = status

    def collect(self) -> Iterator[Metric]:
        given, scenario = self._certificates, ("store", "scenario")
        yield _counter("faults_fired", "Faults that struck", scenario, _added(given, "faults_fired"))
        yield _counter("states_judged", "States and trials judged", scenario, _added(given, "states_judged"))
        yield _counter("findings", "Findings", ("store", "claim", "kind"), _findings(given))
        yield _gauge("scenario_seconds", "Time of all workers", scenario, _added(given, "seconds"))
        yield _gauge("verdict", "1 for the verdict", ("store", "verdict"), _verdicts(given))
        yield _gauge("certified_timestamp_seconds", "When it was certified", ("store",), _times(given))
        yield _gauge("exit_status", "Of the whole command", (), {(): self._status})


def _added(certificates: Iterable[Certificate], field: str) -> _Rows:
    """The sum of a field of the evidence, by store and scenario."""
    rows: Counter[tuple[str, ...]] = Counter()
    for certificate in certificates:
        for row in certificate.evidence:
            rows[certificate.store, row.scenario] += getattr(row, field)
    return rows


def _findings(certificates: Iterable[Certificate]) -> _Rows:
    return Counter((item.store, found.claim, found.kind) for item in certificates for found in item.findings)


def _verdicts(certificates: Iterable[Certificate]) -> _Rows:
    """Of several certificates of one name the worst."""
    worst: dict[str, Verdict] = {}
    for item in certificates:
        worst[item.store] = worst.get(item.store, Verdict.PASS) | item.verdict
    return {(store, verdict.value): found is verdict for store, found in worst.items() for verdict in Verdict}


def _times(certificates: Iterable[Certificate]) -> _Rows:
    return {(item.store,): datetime.datetime.fromisoformat(item.issued_at).timestamp() for item in certificates}


def _counter(name: str, text: str, labels: Sequence[str], rows: _Rows) -> Metric:
    return _filled(CounterMetricFamily(f"harness_{name}", text, labels=labels), rows)


def _gauge(name: str, text: str, labels: Sequence[str], rows: _Rows) -> Metric:
    return _filled(GaugeMetricFamily(f"harness_{name}", text, labels=labels), rows)


def _filled(family: CounterMetricFamily | GaugeMetricFamily, rows: _Rows) -> Metric:
    for labels, value in rows.items():
        family.add_metric([label.encode("utf-8", "backslashreplace").decode() for label in labels], value)
    return family
