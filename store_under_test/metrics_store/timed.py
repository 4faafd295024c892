"""How fast MetricsStore is, and how large it gets: the same store, with limits.

An adapter of its own, because on a slow disk some of these limits can't be decided, and a push should not wait for
that: `harness certify store_under_test.metrics_store.timed:TimedMetricsAdapter --scenario limits`.
"""

from __future__ import annotations

from harness import Limit
from store_under_test.metrics_store.adapter import MetricsUpdateAdapter


class TimedMetricsAdapter(MetricsUpdateAdapter):
    """Updates: each reads the document, changes it, writes it anew and syncs it, its directory and its backup."""

    name = "metrics-store-timed"
    limits = (
        Limit("apply_p50_ms", at_most=25),
        Limit("apply_p99_ms", at_most=100),
        Limit("throughput_per_s", at_least=25),
        Limit("open_ms", at_most=50),
        Limit("growth_bytes_per_operation", at_most=1_000),
        Limit("allocated_bytes_per_operation", at_most=200),
        Limit("descriptors", at_most=1),
    )
