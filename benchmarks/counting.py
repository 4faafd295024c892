"""A read-modify-write on a MetricsStore that tells whether an update was lost."""

from __future__ import annotations

from store_under_test.metrics_store import MetricsStore
from store_under_test.metrics_store.state import DashboardState
from store_under_test.metrics_store.store import Update

#: How long who counts may wait for the lock: nobody gives up.
TIMEOUT_S = 3600.0
_AGENT = {"role": "counted", "status": "busy", "last_seen": "2024-02-29T12:00:00+00:00", "metadata": {}}


def counting(agent: str) -> Update:
    """Counts one more task of an agent."""

    def count(state: DashboardState) -> None:
        found = state["agents"].setdefault(agent, {**_AGENT, "tasks_completed": 0})  # type: ignore[typeddict-item]
        found["tasks_completed"] += 1

    return count


def counted(store: MetricsStore) -> dict[str, int]:
    """The tasks of every agent."""
    return {name: agent["tasks_completed"] for name, agent in store.load()["agents"].items()}
