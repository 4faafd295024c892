"""Benches for engines, in this process: patched as a worker's is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.core.workload import Workload
from harness.crash.materialize import Materializer
from harness.record import install, uninstall
from harness.run.live.bench import Bench


class NoBoard:
    """Nobody watches."""

    def enter(self, unit: int, phase: str) -> None:
        return None

    def leave(self) -> None:
        return None

    def adopt(self) -> None:
        return None


@pytest.fixture(scope="module", autouse=True)
def patched_process() -> Iterator[None]:
    uninstall()
    install(reading=True)
    yield
    uninstall()


@pytest.fixture
def make_bench(tmp_path: Path) -> Callable[[Any], Bench]:
    directory = tmp_path / "data"
    directory.mkdir()

    def make(adapter: Any) -> Bench:
        return Bench(adapter, directory, Materializer(directory), NoBoard(), seed=0)

    return make


@pytest.fixture
def short() -> Callable[..., Workload]:
    return lambda *steps: Workload("short", steps)
