"""Engines for several writers in this process: ready to try faults, and what those showed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from harness import Put
from harness.core.trace import CallSite
from harness.core.workload import By, Workload
from harness.explore.clients import pairs
from harness.run.live.writers import ProcessesEngine
from store_under_test.metrics_store.adapter import MetricsStoreAdapter
from tests.unit.run.live.benches import bench, rehearsed

#: Each of three clients has a key of its own, so that whatever is missing at the end was lost.
PUTS = Workload("puts", (By(0, Put("a", "0")), By(1, Put("b", "1")), By(2, Put("c", "2"))))
[SAVES] = pairs(MetricsStoreAdapter, 0, 1)

E = TypeVar("E", bound=ProcessesEngine)


def engine(kind: type[E], adapter: Any, folder: Path, workload: Workload = PUTS) -> E:
    """For what the adapter promises of writers, after its rehearsal."""
    made: E = rehearsed(kind(bench(adapter, folder), workload, "writers", adapter.contract.writers))
    return made


def function_of(site: CallSite) -> str:
    return site.function


def line_of(site: CallSite) -> str:
    """The source of a line, without its comment."""
    return Path(site.file).read_text().splitlines()[site.line - 1].partition("#")[0].strip()


def found(
    made: ProcessesEngine, faults: Iterable[Any], blamed: Callable[[CallSite], str] = function_of
) -> set[tuple[str, str]]:
    """Kinds of violations and who is blamed for them; every trial fired, and is told."""
    kinds = set()
    for fault in faults:
        trial = made.attempt(fault)
        assert trial.fired and not trial.unknown
        if trial.violation is not None:
            assert trial.site is not None and trial.exhibit is not None
            kinds.add((trial.violation.kind, blamed(trial.site)))
    return kinds
