"""Failed syncs in a program: a power cut shows what became of the data, and who is to blame."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from harness import Append, Contract, Put, UsageError
from harness.core.program import (
    AFTERMATHS,
    FailNextCall,
    FailSync,
    KillWriter,
    PowerCut,
    offered_faults,
)
from harness.core.workload import Reopen
from harness.run.live.breaking import Broken
from tests.stores import machined
from tests.stores.machined import Careful
from tests.unit.run.live import failing_stores
from tests.unit.run.live.programs import found, played

A, B, C = Append("one"), Append("two"), Append("three")
X, Y, Z = Put("k1", "one"), Put("k2", "two"), Put("k1", "three")


def first(adapter: Any, directory: Path, *steps: Any, model: str = "max-loss", choices: int = 24) -> Broken:
    """The first power cut at the end of a program that breaks a promise."""
    for choice in range(choices):
        broken = found(adapter, directory, *steps, PowerCut(model, choice))
        if broken is not None:
            return broken
    raise AssertionError("no power cut breaks a promise")


# --- defects -------------------------------------------------------------------------------------


class Forgetful(Careful):
    """Takes a failed fsync of the file for a good one: rename and directory are fine."""

    contract = Contract(process_crash=None, corruption=None)

    def sync(self, descriptor: int) -> None:
        try:
            os.fsync(descriptor)
        except OSError:
            return


@pytest.mark.parametrize("aftermath", ["clean", "reverted"])
def test_a_failed_sync_that_nobody_mentions(tmp_path: Path, aftermath: str) -> None:
    """Only with the power cut: without it, or without the failure, all is well."""
    broken = first(Forgetful, tmp_path, X, FailSync(1, aftermath), Y, model="strict")
    assert broken.blame.claim == "io_error" and broken.blame.models == ("strict",)
    assert broken.blame.site is not None and broken.blame.site.function == "Forgetful.sync"
    cut = broken.program.steps[-1]
    assert isinstance(cut, PowerCut)
    assert found(Forgetful, tmp_path, X, Y, cut) is None
    assert found(Forgetful, tmp_path, X, FailSync(1, aftermath), Y) is None


@pytest.mark.parametrize("aftermath", ["clean", "late"])
def test_an_fsync_that_is_tried_again_and_believed(tmp_path: Path, aftermath: str) -> None:
    """The second success says nothing about pages that count as clean."""
    broken = first(failing_stores.PatientLog, tmp_path, A, FailSync(1, aftermath), B, C)
    assert broken.blame.claim == "io_error" and broken.violation.kind in ("swallowed_error", "phantom")
    assert broken.blame.site is not None and broken.blame.site.function == "PatientLog.append"


def test_only_what_is_new_is_blamed_on_the_sync(tmp_path: Path) -> None:
    """A store that loses data in a power cut anyway breaks another promise."""

    class Unsynced(Careful):
        contract = Contract(process_crash=None, corruption=None)

        def sync_names(self, directory: Path) -> None:
            return None

    for aftermath in AFTERMATHS:
        for choice in range(3):
            broken = found(Unsynced, tmp_path, X, FailSync(1, aftermath), Y, Z, PowerCut("strict", choice))
            assert broken is None or broken.blame.claim == "power_loss"


# --- sound behaviour -------------------------------------------------------------------------------


@pytest.mark.parametrize("aftermath", AFTERMATHS)
@pytest.mark.parametrize("nth", [1, 2])
def test_a_store_that_raises_is_left_alone(tmp_path: Path, aftermath: str, nth: int) -> None:
    """Whatever the disk holds; and the program goes on afterwards."""
    fired = 0
    for choice in range(3):
        steps = (X, FailSync(nth, aftermath), Y, Z, PowerCut("strict", choice), Z, KillWriter(choice), X, Reopen())
        stage = played(Careful, tmp_path, *steps, looking=choice % 2 == 0)
        assert not stage.unknown
        fired += sum(item.fault.startswith("failed sync") for item in stage.struck)
    assert fired or aftermath == "late" or nth == 2


@pytest.mark.parametrize("aftermath", AFTERMATHS)
def test_a_log_that_is_read_only_after_an_error(tmp_path: Path, aftermath: str) -> None:
    for choice in range(3):
        played(failing_stores.Log, tmp_path, A, FailSync(1, aftermath), B, C, PowerCut("max-loss", choice), C)


def test_what_was_durable_before_is_what_a_file_falls_back_to(tmp_path: Path) -> None:
    """Also where that was in another process: what a crash left is durable."""
    steps = (A, KillWriter(9_999), FailSync(1, "reverted"), B, PowerCut("max-loss", 0))
    assert found(failing_stores.Log, tmp_path, *steps) is None


@pytest.mark.parametrize("step", [Reopen(), KillWriter(0)])
def test_other_steps_than_a_power_cut_end_the_program(tmp_path: Path, step: Any) -> None:
    """Nobody can tell what a new opening reads."""
    assert played(Forgetful, tmp_path, X, FailSync(1, "clean"), Y, step, Z, PowerCut()).over
    assert not played(Forgetful, tmp_path, X, FailSync(3), Y, step, Z).over


def test_without_a_promise_about_power_no_sync_fails(tmp_path: Path) -> None:
    assert played(machined.SwallowsFull, tmp_path, X, FailSync(1), Y, Z).fired == 0
    assert "failed_sync" in offered_faults(Forgetful.contract)
    assert "failed_sync" not in offered_faults(machined.SwallowsFull.contract)


def test_failures_of_both_kinds(tmp_path: Path) -> None:
    """A call that the other mechanism fails is one that the gate for syncs has seen."""
    for choice in range(2):
        steps = (X, FailSync(1), FailNextCall("EIO", 3), Y, FailSync(2), Z, PowerCut("strict", choice))
        assert not played(Careful, tmp_path, *steps).unknown


def test_bad_input() -> None:
    with pytest.raises(UsageError, match="no failed sync ends 'well'"):
        FailSync(1, "well")
    with pytest.raises(UsageError, match="counted from 1"):
        FailSync(0)
