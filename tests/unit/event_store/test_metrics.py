"""What Prometheus sees is what happened."""

from __future__ import annotations

import threading

from prometheus_client.parser import text_string_to_metric_families

from store_under_test.event_store.metrics import Gauges, StoreMetrics


def samples(metrics: StoreMetrics) -> dict[str, float]:
    """All samples of the text format, by name and labels."""
    return {
        sample.name.removeprefix("event_store_")
        + "".join(f"|{value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics.text())
        for sample in family.samples
    }


def test_counts_are_those_of_what_happened() -> None:
    metrics = StoreMetrics(lambda: Gauges(last_sequence=12, subscribers=2, log_bytes=99, disk_used_ratio=0.5, status=1))
    metrics.group_durable(3, 300)
    metrics.group_durable(9, 900)
    metrics.append_failed("degraded")
    metrics.view_rebuilt("index")
    metrics.query_done(0.003)
    metrics.removed(4)
    metrics.append_seconds.observe(0.004)
    metrics.append_seconds.observe(7)

    seen = samples(metrics)

    assert (seen["appended_events_total"], seen["appended_bytes_total"], seen["groups_total"]) == (12, 1200, 2)
    assert (seen["append_failures_total|degraded"], seen["append_failures_total|fatal"]) == (1, 0)
    assert (seen["rebuilt_total|index"], seen["queries_total"], seen["retained_segments_removed_total"]) == (1, 1, 4)
    assert (seen["group_events_bucket|4.0"], seen["group_events_bucket|16.0"], seen["group_events_sum"]) == (1, 2, 12)
    assert (seen["append_seconds_bucket|0.002"], seen["append_seconds_bucket|0.005"]) == (0, 1)
    assert (seen["append_seconds_bucket|+Inf"], seen["append_seconds_count"]) == (2, 2)
    gauges = [seen[name] for name in ("last_sequence", "subscribers", "log_bytes", "disk_used_ratio", "status")]
    assert gauges == [12, 2, 99, 0.5, 1]


def test_two_stores_in_one_process_count_apart() -> None:
    one, other = StoreMetrics(), StoreMetrics()
    one.group_durable(1, 1)
    assert (samples(one)["groups_total"], samples(other)["groups_total"]) == (1, 0)


def test_no_count_is_lost_between_threads() -> None:
    """Several threads may fail, query and observe at once."""
    metrics = StoreMetrics()

    def work() -> None:
        for _ in range(2000):
            metrics.append_failed("transient")
            metrics.query_done(0.001)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (metrics.failures["transient"], metrics.queries, metrics.query_seconds.count) == (8000, 8000, 8000)


def test_the_share_of_slow_values() -> None:
    metrics = StoreMetrics()
    assert metrics.append_seconds.share_above(0.1) == 0
    for seconds in (0.1, 0.01, 0.2, 9):
        metrics.append_seconds.observe(seconds)
    assert metrics.append_seconds.share_above(0.1) == 0.5
