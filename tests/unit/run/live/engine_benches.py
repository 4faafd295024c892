"""An engine in this process: its faults, and what they showed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness import Append, Put
from harness.core.workload import Workload
from harness.crash.materialize import Materializer
from harness.run.live.bench import Bench, NoBoard
from harness.run.live.values import Trial

RECORDS = Workload("records", tuple(Append(str(number)) for number in range(3)))
PAIRS = Workload("pairs", (Put("a", "1"), Put("b", "2")))


def bench(adapter: Any, directory: Path) -> Bench:
    folder = directory / "data"
    folder.mkdir(exist_ok=True)
    return Bench(adapter, folder, Materializer(folder), NoBoard(), seed=0)


def rehearsed(engine_type: Any, adapter: Any, directory: Path, workload: Workload, **more: Any) -> Any:
    """An engine that is ready to try faults."""
    given = {"claim": "process_crash", "promise": "acknowledged", **more}
    engine = engine_type(bench(adapter, directory), workload, given["claim"], given["promise"])
    assert engine.rehearse() == ""
    return engine


def tried(engine: Any, faults: Iterable[Any] | None = None) -> list[Trial]:
    return [engine.attempt(fault) for fault in (engine.faults() if faults is None else faults)]


def kinds(trials: Iterable[Trial]) -> set[str]:
    return {trial.violation.kind for trial in trials if trial.violation is not None}


def functions(trials: Iterable[Trial]) -> set[str]:
    """The functions that are blamed."""
    return {"" if trial.site is None else trial.site.function for trial in trials if trial.violation is not None}
