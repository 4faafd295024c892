"""What the other reference stores count, for Prometheus; the EventStore has a registry of its own (`store.metrics`).

    registry.register(BreakerCollector(breaker))

Each collector looks when it is scraped, and only at counts in memory. It needs prometheus-client (extra `observe` or
`reference`); the stores themselves do not.

    circuit_breaker_calls_total{breaker,outcome}        success, failure, ignored, rejected
    circuit_breaker_entered_total{breaker,state}        transitions, by the state that they led to
    circuit_breaker_recoveries_total{breaker}           circuits that were closed by their trials
    circuit_breaker_in_flight{breaker}                  calls that have not ended
    circuit_breaker_state{breaker,state}                1 for the state that it is in, 0 for the others
    metrics_store_loads_total{store}, _saves_total, _recoveries_total
    metrics_store_lock_waits_total{store}, _lock_timeouts_total
    structured_log_records_total{log,place}             file, stderr, nowhere
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from store_under_test.circuit_breaker import CircuitBreaker, State
from store_under_test.metrics_store import MetricsStore
from store_under_test.structured_log import StructuredLogger

_Rows = Mapping[tuple[str, ...], float]


class BreakerCollector(Collector):
    """Some breakers, told apart by their names."""

    def __init__(self, *breakers: CircuitBreaker) -> None:
        self._breakers = breakers

    def collect(self) -> Iterator[Metric]:
        told = {breaker.name: breaker.metrics() for breaker in self._breakers}
        calls: dict[tuple[str, ...], float] = {}
        for name, seen in told.items():
            calls |= {(name, what): getattr(seen, field) for what, field in _OUTCOMES.items()}
        entered: _Rows = {(name, state.value): seen.entered[state] for name, seen in told.items() for state in State}
        now: _Rows = {(name, state.value): float(seen.state is state) for name, seen in told.items() for state in State}
        breaker, by_state = ("breaker",), ("breaker", "state")
        yield _counter("circuit_breaker_calls", "Calls that have ended", ("breaker", "outcome"), calls)
        yield _counter("circuit_breaker_entered", "Transitions to a state", by_state, entered)
        yield _counter("circuit_breaker_recoveries", "Closed by trials", breaker, _each(told, "recoveries"))
        yield _gauge("circuit_breaker_in_flight", "Calls that have not ended", breaker, _each(told, "in_flight"))
        yield _gauge("circuit_breaker_state", "1 for the state that it is in", by_state, now)


_OUTCOMES = {"success": "successes", "failure": "failures", "ignored": "ignored", "rejected": "rejected"}


class MetricsStoreCollector(Collector):
    """Some handles of MetricsStore, by name; what other handles and processes did is not in it."""

    def __init__(self, **stores: MetricsStore) -> None:
        self._stores = stores

    def collect(self) -> Iterator[Metric]:
        counts = {name: store.counts() for name, store in self._stores.items()}
        locks = {name: store.lock_metrics for name, store in self._stores.items()}
        for field, text in (("loads", "States read"), ("saves", "States saved"), ("recoveries", "Fallbacks")):
            yield _counter(f"metrics_store_{field}", text, ("store",), _each(counts, field))
        for field, text in (("waits", "Lock was not free at once"), ("timeouts", "Lock was not got")):
            yield _counter(f"metrics_store_lock_{field}", text, ("store",), _each(locks, field))


class LogCollector(Collector):
    """Some structured logs, by name: where the records of this process went."""

    def __init__(self, **logs: StructuredLogger) -> None:
        self._logs = logs

    def collect(self) -> Iterator[Metric]:
        rows: dict[tuple[str, ...], float] = {}
        for name, log in self._logs.items():
            seen = log.stats()
            rows |= {(name, "file"): seen.written, (name, "stderr"): seen.stderr, (name, "nowhere"): seen.nowhere}
        yield _counter("structured_log_records", "Records", ("log", "place"), rows)


def _each(told: Mapping[str, object], field: str) -> _Rows:
    return {(name,): getattr(seen, field) for name, seen in told.items()}


def _counter(name: str, text: str, labels: Iterable[str], rows: _Rows) -> Metric:
    return _filled(CounterMetricFamily(name, text, labels=list(labels)), rows)


def _gauge(name: str, text: str, labels: Iterable[str], rows: _Rows) -> Metric:
    return _filled(GaugeMetricFamily(name, text, labels=list(labels)), rows)


def _filled(family: CounterMetricFamily | GaugeMetricFamily, rows: _Rows) -> Metric:
    for labels, value in rows.items():
        family.add_metric(list(labels), value)
    return family
