"""Programs on small stores, played in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.core.program import Program
from harness.run.live.breaking import Broken
from harness.run.live.machine import StoreStage


def played(adapter: Any, directory: Path, *steps: Any, looking: bool = False) -> StoreStage:
    """A program that breaks no promise; raises `Broken` if it does."""
    stage = StoreStage(adapter, directory, time_limit_s=20.0)
    stage.play(Program(steps, looking))
    return stage


def found(adapter: Any, directory: Path, *steps: Any, looking: bool = False) -> Broken | None:
    """The broken promise that a program shows, if any."""
    try:
        played(adapter, directory, *steps, looking=looking)
    except Broken as broken:
        return broken
    return None
