"""What the tests of MetricsStore share: states, virtual time, other processes, a model of a disk."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from store_under_test.metrics_store import DashboardState, MetricsStore

TIME = "2024-02-29T12:00:00+00:00"
ROOT = Path(__file__).resolve().parents[3]


def event(number: int, note: str = "") -> dict[str, Any]:
    return {"id": str(number), "agent": "a", "type": "t", "timestamp": TIME, "details": {"note": note}}


def session(number: int) -> dict[str, Any]:
    return {"id": str(number), "started_at": TIME, "ended_at": None, "events": number, "summary": ""}


def agent(tasks: int = 0) -> dict[str, Any]:
    return {"role": "r", "status": "idle", "tasks_completed": tasks, "last_seen": TIME, "metadata": {}}


def raw_state(project: str = "p", **changes: Any) -> dict[str, Any]:
    state = {
        "version": 1,
        "project": project,
        "created_at": TIME,
        "updated_at": TIME,
        "agents": {},
        "events": [],
        "sessions": [],
    }
    return {**state, **changes}


def state_of(project: str = "p", **changes: Any) -> DashboardState:
    return cast(DashboardState, raw_state(project, **changes))


def saved(path: Path, *projects: str) -> MetricsStore:
    """A store into which one state after another was saved."""
    store = MetricsStore(path)
    for project in projects:
        store.save(state_of(project))
    return store


@dataclass
class VirtualTime:
    """A clock that only sleeping moves. `at` calls back when a moment is reached."""

    now_s: float = 0.0
    slept_s: list[float] = field(default_factory=list)
    callbacks: list[tuple[float, Any]] = field(default_factory=list)

    def clock(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_s += seconds
        due = [callback for moment, callback in self.callbacks if moment <= self.now_s]
        self.callbacks = [entry for entry in self.callbacks if entry[0] > self.now_s]
        for callback in due:
            callback()


def start_python(program: str, *arguments: object) -> subprocess.Popen[str]:
    """A fresh interpreter that runs `program`, with pipes, without a medium, like the tests."""
    program = f"import os; os.fsync = os.fstat\n{program}"
    command = [sys.executable, "-W", "error", "-c", program, *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def finish(process: subprocess.Popen[str]) -> str:
    """What the process wrote, once it has ended well."""
    with process:
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return output


HOLDER = """
import sys
from store_under_test.metrics_store.lock import StoreLock
lock = StoreLock(sys.argv[1], clock=lambda: 0.0, sleep=lambda seconds: None)
lock.acquire(0)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def lock_holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock file `path` until it is killed or the block ends."""
    with start_python(HOLDER, path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()
