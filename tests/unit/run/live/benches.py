"""Benches in this process: what engines work with in a worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.core.workload import Workload
from harness.crash.materialize import Materializer
from harness.run.live.bench import Bench
from tests.stores.local import Diary


def bench(adapter: Any, folder: Path, seed: int = 0) -> Bench:
    """A bench whose directory is new."""
    data = folder / "data"
    data.mkdir(parents=True)
    return Bench(adapter, data, Materializer(data), Diary(), seed, unit=1)


def rehearsed(engine: Any) -> Any:
    """The engine, after its rehearsal."""
    assert engine.rehearse() == ""
    return engine


def steps(*operations: Any) -> Workload:
    return Workload("here", operations)
