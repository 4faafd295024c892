"""Workers in which the recorder is installed, as it is wherever the harness calls into a store.

What is done there is imported with the job, after the recorder: as a store is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.measuring import Spent, data_folder, now, since
from harness.record import Recorder
from harness.run.tasks import Context, prepare

__all__ = ["idle", "prepare", "recorded"]


def idle(context: Context, style: Any, board: object) -> Spent:
    """The recorder is there and does nothing, as during a recovery."""
    return timed(style, context.directory)


def recorded(context: Context, style: Any, board: object) -> tuple[Spent, Spent]:
    """What the calls take while they are recorded, and what making a trace of the log takes afterwards."""
    timed(style, context.directory)
    folder = data_folder(context.directory)
    recorder = Recorder(folder)
    recorder.start()
    start = now()
    style.chore(folder, style.count)
    calls = since(start)
    start = now()
    trace = recorder.finish(())
    finishing = since(start)
    if trace.unseen:
        raise RuntimeError(f"{style.name}: not all was seen: {trace.unseen[0]}")
    return calls, finishing


def timed(style: Any, directory: Path) -> Spent:
    """Do a tenth of it to get warm, then all of it by the clock."""
    style.chore(data_folder(directory), style.count // 10 + 1)
    folder = data_folder(directory)
    start = now()
    style.chore(folder, style.count)
    return since(start)
