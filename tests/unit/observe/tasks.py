"""Tasks for workers: what a store finds in its environment. Imported by workers, so it imports no test tool."""

from __future__ import annotations

import os
import subprocess
import sys

from harness.run.worker_main import Board, Setup

_CHILD = "import os; print(os.environ['TRACEPARENT'])"


def prepare(setup: Setup) -> str | None:
    return os.environ.get("TRACEPARENT")


def look(prepared: str | None, job: str, board: Board) -> list[str | None]:
    """What was there when the worker prepared, what is there now, and what a process of the store's own finds."""
    board.enter(1, "open")
    if job == "die":
        os._exit(7)
    if job == "raise":
        raise ValueError(job)
    child = subprocess.check_output([sys.executable, "-c", _CHILD], text=True).strip() if job == "child" else None
    board.leave()
    return [prepared, os.environ.get("TRACEPARENT"), child]
