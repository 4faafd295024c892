"""Recoveries recorded by a child, several by one."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import Put
from harness.core.persistence import PROCESS_CRASH
from harness.core.trace import Image, InodeKind, MarkerKind, Node, Trace
from harness.core.workload import Workload
from harness.record import uninstall
from harness.run.exploring import Plan
from harness.run.rerecording import Rerecorder
from tests.stores.conduct import small_runs
from tests.stores.honest import Sound
from tests.stores.local import Local

KILL = Plan(PROCESS_CRASH, "process_crash", ("acknowledged",))
WORKLOAD = Workload("short-0", (Put("a", "1"), Put("b", "2")))


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    small_runs(monkeypatch)
    yield
    uninstall()


class Signs(Sound):
    """Notes outside of its directory which process has opened it, and dies of a file named "poison"."""

    def open(self, directory: Path) -> Path:
        with open(directory.parent / "openings", "a") as openings:
            openings.write(f"{os.getpid()}\n")
        if (directory / "poison").exists():
            os._exit(3)
        return super().open(directory)


class LeavesThreads(Signs):
    """Sound, but what it has started goes on after it was closed."""

    def open(self, directory: Path) -> Path:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        return super().open(directory)


class Locked(Sound):
    """Holds a lock by a bare descriptor for as long as it is open."""

    def open(self, directory: Path) -> Any:
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return super().open(directory), lock

    def apply(self, store: Any, operation: Any) -> None:
        super().apply(store[0], operation)

    def snapshot(self, store: Any) -> Any:
        return super().snapshot(store[0])

    def close(self, store: Any) -> None:
        os.close(store[1])


def disk(**files: str) -> Image:
    """A directory with these files."""
    nodes = {0: Node(InodeKind.DIRECTORY, mode=0o755, entries={})}
    for number, (name, text) in enumerate(files.items(), 1):
        nodes[number] = Node(InodeKind.FILE, mode=0o644, content=text.encode())
        nodes[0].entries[name] = number
    return Image(nodes)


def rerecorder(adapter: Any, folder: Path) -> Rerecorder:
    local = Local(adapter, folder)
    again = local.explorer(local.job(WORKLOAD, KILL)).rerecorder
    (local.data.parent / "openings").write_text("")
    return again


def processes(folder: Path) -> list[str]:
    """Those that have opened the store while recoveries were recorded, each once, in order."""
    return list(dict.fromkeys((folder / "openings").read_text().split()))


def acknowledged(trace: Trace | None) -> list[int]:
    assert trace is not None
    markers = [event.marker for event in trace.events if event.marker]
    return [marker.operation for marker in markers if marker.kind is MarkerKind.ACKNOWLEDGE]


EMPTY, ONE = disk(), disk(**{"pairs.json": '{"a": "1"}'})
POISONED = disk(poison="")


def test_one_child_records_several_recoveries(tmp_path: Path) -> None:
    """Each begins with the content that it was given, whatever the one before has left."""
    traces = rerecorder(Signs, tmp_path).record([(ONE, 1), (EMPTY, 0), (ONE, 1)])

    assert [acknowledged(trace) for trace in traces] == [[1], [0], [1]]
    assert [trace.base.paths() for trace in traces if trace] == [image.paths() for image in (ONE, EMPTY, ONE)]
    assert len(processes(tmp_path)) == 1 and str(os.getpid()) not in processes(tmp_path)


def test_a_recovery_that_ends_its_child_costs_no_other(tmp_path: Path) -> None:
    """Those before it are kept, and another child records those after it."""
    traces = rerecorder(Signs, tmp_path).record([(ONE, 1), (POISONED, 0), (EMPTY, 0), (POISONED, 0)])

    assert [trace is None for trace in traces] == [False, True, False, True]
    assert acknowledged(traces[2]) == [0]


def test_what_a_store_leaves_running_disturbs_no_other_recording(tmp_path: Path) -> None:
    """Each recovery then gets a child of its own."""
    traces = rerecorder(LeavesThreads, tmp_path).record([(ONE, 1), (EMPTY, 0)])

    assert [acknowledged(trace) for trace in traces] == [[1], [0]]
    assert len(processes(tmp_path)) == 2


def test_a_lock_is_gone_with_the_recovery_that_took_it(tmp_path: Path) -> None:
    """The operation after a recovery is not followed by a close, and the next recovery is that of another process."""
    traces = rerecorder(Locked, tmp_path).record([(disk(**{"pairs.json": '{"a": "1"}', "lock": ""}), 1)] * 2)

    assert [acknowledged(trace) for trace in traces] == [[1], [1]]


def test_the_directory_may_hold_anything_afterwards(tmp_path: Path) -> None:
    """What is placed next is written anew, even where it looks as it was left."""
    again = rerecorder(Signs, tmp_path)
    again.materializer.place(ONE)
    again.record([(EMPTY, 0)])
    again.materializer.place(ONE)

    assert again.recoverer.read() == {"a": "1"}
