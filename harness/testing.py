"""For a user's own tests: faults one by one, programs of operations and faults, and state machines.

Nothing is patched by the import. With pytest the same faults are fixtures, which also say when one never fired.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness import (
    Append,
    AppendMany,
    Compact,
    Delete,
    Put,
    PutMany,
    Save,
    Sync,
)
from harness.core.adapter import validate_adapter
from harness.core.errors import HarnessError, UsageError
from harness.core.program import (
    DamageFile,
    FailNextCall,
    FailSync,
    FillDisk,
    FreeDisk,
    KillWriter,
    PowerCut,
    Program,
    TurnClock,
    offered_faults,
)
from harness.core.workload import Reopen
from harness.run.live.breaking import Broken, Hanging
from harness.run.live.hunting import without_hypothesis
from harness.run.live.machine import StoreStage
from harness.run.skewing import skewed_clock
from harness.run.testing import (
    NeverFired,
    damaged,
    failing_io,
    full_disk,
    killed_writer,
    patched,
    power_cut,
)

__all__ = [
    "Append",
    "AppendMany",
    "Broken",
    "Compact",
    "DamageFile",
    "Delete",
    "FailNextCall",
    "FailSync",
    "FillDisk",
    "FreeDisk",
    "KillWriter",
    "NeverFired",
    "PowerCut",
    "Put",
    "PutMany",
    "Reopen",
    "Save",
    "Sync",
    "TurnClock",
    "damaged",
    "failing_io",
    "full_disk",
    "killed_writer",
    "patched",
    "play",
    "power_cut",
    "skewed_clock",
    "state_machine",
]


def play(adapter: Any, steps: Iterable[Any], *, looking: bool = False, seed: int = 0) -> None:
    """Carry out operations, `Reopen`s and faults on a new store, and judge after each.

    Raises `Broken`, an `AssertionError`, if a promise of the contract is broken; `HarnessError` if nothing could be
    judged. With `looking` the store is also read after every step. `seed` is that of the run that found the program.
    """
    validate_adapter(adapter, getattr(adapter, "__name__", repr(adapter)))
    with patched(), tempfile.TemporaryDirectory(prefix="durability-") as directory:
        stage = StoreStage(adapter, Path(directory).resolve(), seed=seed)
        try:
            stage.play(Program(tuple(steps), looking))
        except Hanging as hanging:
            raise hanging.broken from None
        if stage.unknown:
            raise HarnessError(f"the program could not be judged to its end: {stage.unknown[0]}.")


def state_machine(adapter: Any, *, faults: tuple[str, ...] | None = None, seed: int = 0) -> Any:
    """A Hypothesis `RuleBasedStateMachine` over `adapter`; its `TestCase` is what pytest and unittest collect.

    `faults` are some of "power_cut", "kill", "failing_call", "full_disk", "damage", "failed_sync" and "clock"; those
    about which the contract promises nothing are left out, and without the argument all others take part. Each run
    patches the process and puts everything back.
    """
    validate_adapter(adapter, getattr(adapter, "__name__", repr(adapter)))
    offered = offered_faults(adapter.contract, faults)
    if problem := without_hypothesis():
        raise UsageError(f"{problem}.")
    from harness.explore.machine import machine_class

    return machine_class(adapter, offered, lambda: _OwnStage(adapter, seed))


class _OwnStage:
    """A stage with a directory and patches of its own, both gone at the end of a run."""

    def __init__(self, adapter: Any, seed: int) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="durability-")
        self._stage = StoreStage(adapter, Path(self._directory.name).resolve(), seed=seed)
        self._patched = patched()
        self._patched.__enter__()

    def begin(self, *, looking: bool = False) -> None:
        self._stage.begin(looking=looking)

    def act(self, step: Any) -> None:
        self._stage.act(step)

    def finish(self) -> None:
        self._stage.finish()

    def end(self) -> None:
        try:
            self._stage.end()
        finally:
            self._patched.__exit__(None, None, None)
            self._directory.cleanup()
