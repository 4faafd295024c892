"""Workers in which nothing of the harness touches the store: no recorder, no patches, no board.

The store's calls are made in the order in which a recovery makes them, on directories that were
prepared before the clock runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.exploring import Recovery
from benchmarks.measuring import Spent, data_folder, now, since
from harness.core.trace import Image
from harness.crash.materialize import Materializer
from harness.run.loading import load_adapter
from harness.run.worker_main import Setup


@dataclass(frozen=True, slots=True)
class Bare:
    """What a worker keeps from job to job."""

    adapter: Any
    directory: Path


@dataclass(frozen=True, slots=True)
class StoreCosts:
    """What the store itself takes: to open, read and close once in each state; to answer every call."""

    reopening: Spent
    all_calls: Spent


def prepare(setup: Setup) -> Bare:
    return Bare(load_adapter(setup.adapter), Path(setup.directory))


def store_costs(context: Bare, recoveries: list[Recovery], board: object) -> StoreCosts:
    """The calls of `recoveries`, without the harness."""
    images = [recovery.image for recovery in recoveries]
    first, second = (_prepared(context.directory, images) for _ in range(2))
    start = now()
    for directory in first:
        _session(context.adapter, directory, ())
    reopening = since(start)
    start = now()
    for directory, recovery in zip(second, recoveries, strict=True):
        for operations in recovery.sessions:
            _session(context.adapter, directory, operations)
    return StoreCosts(reopening, since(start))


def _prepared(directory: Path, images: list[Image]) -> list[Path]:
    """A directory for each image, with what it holds."""
    parent = data_folder(directory)
    prepared = [parent / str(number) for number in range(len(images))]
    for path, image in zip(prepared, images, strict=True):
        path.mkdir()
        Materializer(path).place(image)
    return prepared


def _session(adapter_class: Any, directory: Path, operations: tuple[Any, ...]) -> None:
    adapter = adapter_class()
    store = adapter.open(directory)
    adapter.snapshot(store)
    for operation in operations:
        adapter.apply(store, operation)
    adapter.close(store)


@dataclass(frozen=True, slots=True)
class Steps:
    """Operations to carry out on a new store."""

    operations: tuple[Any, ...]


def operate(context: Bare, job: Steps, board: object) -> Spent:
    """Open, carry out, close."""
    folder = data_folder(context.directory)
    start = now()
    adapter = context.adapter()
    store = adapter.open(folder)
    for operation in job.operations:
        adapter.apply(store, operation)
    adapter.close(store)
    return since(start)


def chore(context: Bare, style: Any, board: object) -> Spent:
    """Do a piece of work twice, a little of it to get warm and then all of it by the clock."""
    style.chore(data_folder(context.directory), style.count // 10 + 1)
    folder = data_folder(context.directory)
    start = now()
    style.chore(folder, style.count)
    return since(start)
