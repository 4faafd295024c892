"""Benches for engines, in this process: patched as a worker's is."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness.core.workload import Workload
from harness.crash.materialize import Materializer
from harness.record import install, uninstall
from harness.run.directories import run_directory
from harness.run.live import timepiece
from harness.run.live.bench import Bench


class NoBoard:
    """Nobody watches."""

    def enter(self, unit: int, phase: str) -> None:
        return None

    def leave(self) -> None:
        return None

    def adopt(self) -> None:
        return None


@pytest.fixture(autouse=True)
def little_to_collect() -> Iterator[None]:
    """As in a worker, where nothing of pytest's is walked through again and again."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module", autouse=True)
def patched_process() -> Iterator[None]:
    uninstall()
    install(reading=True)
    yield
    timepiece.uninstall()
    uninstall()


@pytest.fixture
def make_bench() -> Iterator[Callable[[Any], Bench]]:
    """In memory, where there is room: on a disk every sync would be waited for."""
    with run_directory() as parent:
        directory = parent / "data"
        directory.mkdir()
        yield lambda adapter: Bench(adapter, directory, Materializer(directory), NoBoard(), seed=0)


@pytest.fixture
def short() -> Callable[..., Workload]:
    return lambda *steps: Workload("short", steps)
