"""Threads and processes on one document: no lost update, no mixture."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from store_under_test.metrics_store import DashboardState, MetricsStore
from tests.unit.metrics_store.helpers import agent, event, finish, start_python, state_of

INCREMENT = """
import sys
from store_under_test.metrics_store import MetricsStore

def increment(state):
    state["agents"]["a"]["tasks_completed"] += 1

store = MetricsStore(sys.argv[1], timeout=60)
for _ in range(10):
    store.update(increment)
"""

ADD_EVENTS = """
import sys
from store_under_test.metrics_store import MetricsStore

def add(state):
    state["events"].append({"id": f"{sys.argv[2]}-{number}", "agent": "a", "type": "t",
                            "timestamp": "2024-01-01T00:00:00", "details": {}})

for number in range(5):
    MetricsStore(sys.argv[1], timeout=60).update(add)
"""


def run_threads(*functions: Callable[[], None]) -> None:
    """Run all at once; the first error of any is raised."""
    errors: list[BaseException] = []

    def run(function: Callable[[], None]) -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def count(state: DashboardState) -> None:
    state["agents"]["a"]["tasks_completed"] += 1
    state["events"].append(event(state["agents"]["a"]["tasks_completed"]))  # type: ignore[arg-type]


def check(state: DashboardState) -> None:
    assert len(state["events"]) == state["agents"]["a"]["tasks_completed"]


def test_ten_threads_mix_reads_and_writes(tmp_path: Path) -> None:
    """Every read is one state, and no update is lost, through one handle and through several."""
    shared = MetricsStore(tmp_path / "m.json", timeout=60)
    shared.save(state_of(agents={"a": agent()}))

    def write_shared() -> None:
        for _ in range(3):
            check(shared.update(count))

    def write_alone() -> None:
        store = MetricsStore(tmp_path / "m.json", timeout=60)
        for _ in range(3):
            check(store.update(count))

    def read() -> None:
        for _ in range(5):
            check(shared.load())
            shared.get_stats()

    run_threads(*[write_shared] * 3, *[write_alone] * 2, *[read] * 5)
    assert shared.load()["agents"]["a"]["tasks_completed"] == 15


def test_four_processes_times_ten_increments_are_forty(tmp_path: Path) -> None:
    """Read, change and write are one step."""
    store = MetricsStore(tmp_path / "m.json")
    store.save(state_of(agents={"a": agent()}))
    for process in [start_python(INCREMENT, tmp_path / "m.json") for _ in range(4)]:
        finish(process)
    assert store.load()["agents"]["a"]["tasks_completed"] == 40


def test_three_processes_times_five_events_are_fifteen(tmp_path: Path) -> None:
    """All distinct, and those of one process in its order."""
    for process in [start_python(ADD_EVENTS, tmp_path / "m.json", name) for name in "xyz"]:
        finish(process)
    found = [item["id"] for item in MetricsStore(tmp_path / "m.json").load()["events"]]
    assert len(found) == len(set(found)) == 15
    for name in "xyz":
        assert [item for item in found if item[0] == name] == [f"{name}-{number}" for number in range(5)]
