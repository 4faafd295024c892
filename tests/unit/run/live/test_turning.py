"""Clocks that are turned in a program: what goes by them is told, what only reads them is left alone."""

from __future__ import annotations

import os
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from harness import Append, Contract, Put, UsageError
from harness.core.program import (
    FailNextCall,
    KillWriter,
    PowerCut,
    TurnClock,
    claim_of,
    offered_faults,
)
from harness.core.workload import Reopen
from harness.run.live import timepiece
from harness.run.live.turning import TurnedClocks
from tests.stores import machined, skewed
from tests.unit.run.live.programs import found, played

A, B, C = Append("one"), Append("two"), Append("three")
BACK, FAR, RIGHT = TurnClock("set", -3_600.0), TurnClock("set", 4.2e8), TurnClock("right")
AUTUMN, SPRING = TurnClock("summer ends"), TurnClock("summer begins")


# --- defects -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("adapter", "steps", "kind", "function"),
    [
        (skewed.Stamped, (A, BACK, B), "torn_operation", "Stamped.stamp"),
        (skewed.Stamped, (A, FAR, B, RIGHT, C), "torn_operation", "Stamped.stamp"),
        (skewed.Stamped, (A, BACK, KillWriter(1), B), "torn_operation", "Stamped.stamp"),
        (skewed.Local, (AUTUMN, A, AUTUMN, B), "torn_operation", "Local.stamp"),
        (skewed.Newest, (A, BACK, B), "torn_operation", "Newest.rank"),
        (skewed.Waits, (A, BACK, B), "hang", "Waits.apply"),
        (skewed.Sour, (A, FAR, B, RIGHT, Reopen(), C), "not_writable", "Sour.apply"),
    ],
    ids=["back", "far and right again", "in the next process", "summer time", "times of files", "waits", "sour"],
)
def test_what_goes_by_the_clock(tmp_path: Path, adapter: Any, steps: Any, kind: str, function: str) -> None:
    """The line that read the clock, or the times of files, is to blame; without the step nothing is wrong."""
    broken = found(adapter, tmp_path, *steps)
    assert broken is not None and broken.blame.site is not None
    assert (broken.blame.claim, broken.violation.kind) == ("process_crash", kind)
    if adapter is not skewed.Sour:
        assert broken.blame.site.function == function
    assert found(adapter, tmp_path, *(step for step in steps if not isinstance(step, TurnClock))) is None


def test_a_store_that_is_read_after_each_step(tmp_path: Path) -> None:
    broken = found(skewed.Stamped, tmp_path, A, BACK, B, C, looking=True)
    assert broken is not None and broken.program.steps == (A, BACK, B)


class Lasting(skewed.Stamped):
    """Promises to survive a loss of power, and nothing about killed processes."""

    contract = Contract(process_crash=None, io_error="fails_cleanly", corruption=None)

    def apply(self, store: Path, operation: Append) -> None:
        with open(store, "a", encoding="utf-8") as stream:
            stream.write(f'["{self.stamp()}", "{operation.record}"]\n')
            stream.flush()
            os.fsync(stream.fileno())


def test_the_clock_answers_for_itself_and_for_nothing_else(tmp_path: Path) -> None:
    """A call that fails does not take the blame; and where the other fault does the harm alone, the clock does not."""
    broken = found(Lasting, tmp_path, A, BACK, B, FailNextCall("EIO", 1), C)
    assert broken is not None
    assert (broken.blame.claim, broken.violation.kind) == ("power_loss", "torn_operation")
    assert not any(isinstance(step, FailNextCall) for step in broken.program.steps)
    lost = found(machined.SwallowsFull, tmp_path, Put("k", "v"), BACK, FailNextCall("ENOSPC", 1), Put("k", "w"), BACK)
    assert lost is not None and lost.blame.claim == "io_error"
    assert not any(isinstance(step, TurnClock) for step in lost.program.steps)


# --- sound behaviour -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "steps",
    [
        (A, BACK, B, Reopen(), C, FAR, A, RIGHT, B),
        (TurnClock("stop"), A, B, SPRING, C, SPRING, A, AUTUMN, B, AUTUMN, C),
        (A, TurnClock("set", -2e9), B, KillWriter(0), C, TurnClock("set", 2.6e9), A, Reopen()),
    ],
)
def test_who_only_reads_the_clock_is_left_alone(tmp_path: Path, steps: Any) -> None:
    for looking in (False, True):
        stage = played(skewed.InOrder, tmp_path, *steps, looking=looking)
        assert not stage.over and stage.fired >= 3
        assert any(item.fault == "turned clock" for item in stage.struck)


def test_a_store_may_refuse_to_work_by_a_strange_clock(tmp_path: Path) -> None:
    """What raised is no loss, nor is a handle that is sick until it is opened again; then it works."""
    stage = played(skewed.Refuses, tmp_path, A, FAR, B, KillWriter(0), B, RIGHT, Reopen(), C)
    assert not stage.over and len(stage.history) + len(stage.segment.operations) == 4

    class Shut(skewed.InOrder):
        def open(self, directory: Path) -> Path:
            if time.time() > 2**31:
                raise ValueError("not open yet")
            return super().open(directory)

    stage = played(Shut, tmp_path, A, FAR, KillWriter(0), FAR, Reopen(), B, RIGHT, C)
    assert not stage.over and stage.segment.operations[-1] == C


def test_a_lock_of_the_kernel(tmp_path: Path) -> None:
    played(skewed.Flocked, tmp_path, Put("k1", "one"), BACK, Put("k1", "two"), KillWriter(1), FAR, Put("k2", "three"))


def test_nobody_to_promise_anything(tmp_path: Path) -> None:
    class Silent(skewed.Stamped):
        contract = Contract(process_crash=None, power_loss=None, io_error=None)

    assert played(Silent, tmp_path, A, BACK, B, PowerCut(), FAR).fired == 0
    assert claim_of("clock", {"power_loss": "prefix", "process_crash": None}) == "power_loss"
    assert "clock" not in offered_faults(Silent.contract)


# --- the clocks of a process -------------------------------------------------------------------------


def test_clocks_go_on_in_the_next_process(tmp_path: Path) -> None:
    """Nothing is changed before the first turn; afterwards only calls into the store see another time."""
    clocks = TurnedClocks(tmp_path)
    really = time.time
    assert clocks.turned() is None and clocks.reader() is None
    with clocks.calling():
        assert time.time is really
    try:
        clocks.turn(TurnClock("set", 86_400.0))
        before = time.time()
        with clocks.calling():
            ahead = time.time() - before
        assert 86_300 < ahead < 86_500 and abs(time.time() - before) < 100
        turned = clocks.turned()
        assert turned is not None
        following = TurnedClocks(tmp_path)
        following.resume(turned)
        with following.calling():
            assert time.time() - before > 86_300
        following.turn(RIGHT)
        with following.calling():
            assert abs(time.time() - before) < 100
        following.turn(AUTUMN)
        with following.calling():
            shown = datetime.now()
            monotonic = time.monotonic()
        following.turn(AUTUMN)
        with following.calling():
            assert time.monotonic() - monotonic > 1_800
            assert datetime.now() < shown and datetime.now().hour == shown.hour == 2
    finally:
        timepiece.uninstall()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("back",), "a clock can't turn 'back'"),
        (("set", float("nan")), "too far"),
        (("set", 1e11), "too far"),
        (("stop", 3.0), "takes no seconds"),
    ],
)
def test_bad_turns(arguments: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TurnClock(*arguments)
