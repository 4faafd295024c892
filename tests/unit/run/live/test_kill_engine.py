"""Killed writers: defects that show, sound stores that show none, and what is told of each."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness import Append, Delete, Put, Sync
from harness.core.trace import empty_image
from harness.core.workload import Reopen, Workload
from harness.inject.kills import Kill, Moment
from harness.judge.classify import Violation
from harness.record import scan
from harness.run.containment import subreaping
from harness.run.live.kills import KillEngine, RandomKillEngine, fingerprint, without
from harness.run.live.telling import LiveCase, grouped
from harness.run.live.values import LiveFound, Trial
from store_under_test.metrics_store.adapter import MetricsStoreAdapter, MetricsUpdateAdapter
from tests.stores import killed
from tests.stores.honest import InPlace, Sound
from tests.unit.run.live.benches import bench, rehearsed, steps

PAIRS = steps(Put("a", "1"), Put("b", "2"), Delete("a"))
LINES = steps(Append("one"), Append("two"), Append("three" * 2000))


def engine(adapter: Any, folder: Path, workload: Workload = PAIRS, kind: type[KillEngine] = KillEngine) -> Any:
    promise = adapter.contract.process_crash
    return rehearsed(kind(bench(adapter, folder), workload, "process_crash", promise))


def trials(engine: KillEngine, faults: Iterable[Kill] | None = None) -> list[tuple[Kill, Trial]]:
    return [(kill, engine.attempt(kill)) for kill in (engine.faults() if faults is None else faults)]


def violations(engine: KillEngine, faults: Iterable[Kill] | None = None) -> set[tuple[str, str]]:
    """Kind and function of everything that was found."""
    found = set()
    for _, trial in trials(engine, faults):
        if trial.violation is not None:
            assert trial.fired and trial.site is not None
            found.add((trial.violation.kind, trial.site.function))
    return found


# --- defects --------------------------------------------------------------------------------------


def test_what_is_still_in_a_buffer_of_the_process_is_lost(tmp_path: Path) -> None:
    """It was acknowledged without any call; the kill right after the acknowledgement shows it."""
    made = engine(killed.Buffered, tmp_path, steps(Append("one"), Append("two")))
    first = made.attempt(Kill(Moment.ACKNOWLEDGED, 0))

    assert first.fired == 1
    assert first.violation is not None and first.violation.kind == "lost_acknowledged"
    assert first.site is not None and first.site.function == "Lines.open"
    assert first.exhibit is not None
    assert first.exhibit.lines[:1] == ("Append('one')  # acknowledged",)
    assert first.exhibit.told == "1 of 2 operations had been acknowledged."


def test_a_lock_file_left_behind_keeps_a_store_from_opening(tmp_path: Path) -> None:
    """One defect is one finding, though every later kill shows it too: the call that made the file."""
    assert violations(engine(killed.PidLock, tmp_path)) == {("cannot_open", "PidLock.open")}


def test_a_document_overwritten_in_place_is_empty_for_a_moment(tmp_path: Path) -> None:
    assert violations(engine(InPlace, tmp_path)) == {("cannot_open", "InPlace.write")}


def test_a_recovery_that_ends_its_process_cannot_open(tmp_path: Path) -> None:
    """It is an outcome of the store, not of the harness."""
    made = engine(killed.DiesRecovering, tmp_path)
    found = [trial for _, trial in trials(made) if trial.violation is not None]

    assert {trial.violation.kind for trial in found if trial.violation} == {"cannot_open"}
    assert found[0].violation is not None
    assert found[0].violation.sentence == "opening the store ended its process (exit status 3)"


def test_a_writer_that_was_stopped_comes_back_with_what_it_had_read(tmp_path: Path) -> None:
    """Another process has written meanwhile, and what it was told is gone. The place is where it overwrites that, in
    whatever call it stood still."""
    made = engine(killed.WritesUnlocked, tmp_path, steps(Put("a", "1"), Put("b", "2")))
    stalls = [kill for kill in made.faults() if kill.moment is Moment.STALLED]

    found = violations(made, stalls)
    assert "lost_acknowledged" in {kind for kind, _ in found} and {place for _, place in found} == {"Sound.write"}


# --- what is sound --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("adapter", "workload"),
    [
        (Sound, PAIRS),
        (Sound, steps(Put("a", "1"), Reopen(), Put("b", "x" * 9000))),
        (killed.Lines, LINES),
        (killed.Vectored, LINES),
        (killed.LivingLock, PAIRS),
        (killed.WritesLocked, PAIRS),
        (killed.SyncedLines, steps(Append("one"), Sync(), Append("two"))),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_sound_store_survives_every_kill(adapter: Any, workload: Workload, tmp_path: Path) -> None:
    """Every kind of kill has fired, and nothing was found."""
    made = engine(adapter, tmp_path, workload)
    done = trials(made)

    assert [(kill, trial.violation) for kill, trial in done if trial.violation] == []
    fired = {kill.moment for kill, trial in done if trial.fired}
    assert fired >= {Moment.BEFORE, Moment.ACKNOWLEDGED, Moment.STALLED}
    assert all(trial.fired for kill, trial in done if kill.moment is not Moment.RECOVERING)
    assert (Moment.INSIDE in fired) == any(len(str(step)) > 4096 for step in workload.steps)


@pytest.mark.parametrize("adapter", [MetricsStoreAdapter, MetricsUpdateAdapter])
def test_the_metrics_store_survives_every_kill(adapter: Any, tmp_path: Path) -> None:
    """Each of its call sites is struck."""
    operations = adapter.model.example_operations(random.Random(3), 2)
    made = engine(adapter, tmp_path, steps(*operations))
    done = trials(made)

    assert [(kill, trial.violation) for kill, trial in done if trial.violation] == []
    struck = {struck.site for _, trial in done for struck in trial.struck}
    assert struck >= {call.site for call in made.course if hasattr(call, "site")}


def test_lost_operations_are_fine_where_only_synced_ones_are_promised(tmp_path: Path) -> None:
    """The same store fails where what is acknowledged is promised."""
    workload = steps(Append("one"), Sync(), Append("two"))
    sound = engine(killed.SyncedLines, tmp_path / "sound", workload)
    strict = rehearsed(KillEngine(bench(killed.SyncedLines, tmp_path / "strict"), workload, "", "acknowledged"))

    assert violations(sound) == set()
    assert {kind for kind, _ in violations(strict)} == {"lost_acknowledged"}


# --- the rehearsal --------------------------------------------------------------------------------


def test_operations_that_a_store_refuses_leave_the_workload(tmp_path: Path) -> None:
    made = engine(killed.Picky, tmp_path, steps(Put("a", "1"), Put("", "2"), Put("b", "3")))

    assert made.workload.operations == (Put("a", "1"), Put("b", "3"))
    assert violations(made) == set()


def test_a_store_that_ends_its_process_without_a_fault_proves_nothing(tmp_path: Path) -> None:
    made = KillEngine(bench(killed.Dies, tmp_path), PAIRS, "process_crash", "acknowledged")

    assert made.rehearse() == "the store ended its process without any fault (exit status 3)"


def test_without_fork_the_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    made = KillEngine(bench(Sound, tmp_path), PAIRS, "process_crash", "acknowledged")

    assert made.rehearse() == "no process can be forked here (Resource temporarily unavailable)"


def test_the_same_seed_gives_the_same_kills(tmp_path: Path) -> None:
    one, other = (engine(Sound, tmp_path / name) for name in ("one", "other"))

    assert list(one.faults()) == list(other.faults())


# --- what is left ---------------------------------------------------------------------------------


def test_a_process_that_a_store_leaves_behind_is_ended(tmp_path: Path) -> None:
    """Neither it nor what it would have written later is there."""
    with subreaping():
        before = set(psutil.Process().children(recursive=True))
        made = engine(killed.LeavesWriters, tmp_path)
        done = trials(made, list(made.faults())[:4])
        assert set(psutil.Process().children(recursive=True)) == before

    assert [trial.violation for _, trial in done] == [None] * 4
    assert made.usual.orphans


def test_a_trial_that_hung_is_told_without_running_it_again(tmp_path: Path) -> None:
    """The call site is known from the rehearsal."""
    made = engine(killed.PidLock, tmp_path)
    trial = made.ended(Kill(Moment.BEFORE, 2), Violation("hang", "opening the store did not return"))

    assert (trial.fired, trial.site and trial.site.function) == (1, "PidLock.open")
    assert trial.exhibit is not None and "before its I/O call number 2" in trial.exhibit.reached


def test_a_kill_that_finds_no_call_has_not_fired(tmp_path: Path) -> None:
    made = engine(Sound, tmp_path)

    for moment in (Moment.BEFORE, Moment.STALLED, Moment.RECOVERING, Moment.ACKNOWLEDGED):
        assert made.attempt(Kill(moment, 1000)).fired == 0


# --- by the clock ---------------------------------------------------------------------------------


def test_a_kill_by_the_clock_is_told_as_one_that_can_be_repeated(tmp_path: Path) -> None:
    """What it shows is found again by a kill at an exact moment, with the call site of the first in the row."""
    made = engine(killed.PidLock, tmp_path, kind=RandomKillEngine)
    found = [trial for kill, trial in trials(made) if trial.violation is not None]

    for trial in found:
        assert trial.instead is None or trial.instead.moment is not Moment.RANDOM
        assert trial.site is not None and trial.site.function == "PidLock.open"


def test_a_sound_store_survives_kills_by_the_clock(tmp_path: Path) -> None:
    made = engine(Sound, tmp_path, kind=RandomKillEngine)

    assert violations(made) == set()
    assert made.attempt(Kill(Moment.BEFORE, 3)).fired == 1


def test_of_a_kill_by_the_clock_that_hung_the_call_is_unknown(tmp_path: Path) -> None:
    """Such a finding gives way to any other of its kind."""
    made = engine(killed.PidLock, tmp_path, kind=RandomKillEngine)
    violation = Violation("hang", "opening the store did not return")
    by_the_clock, exact = (made.ended(kill, violation) for kill in (Kill(Moment.RANDOM, 7), Kill(Moment.BEFORE, 3)))

    def case(trial: Trial) -> LiveCase:
        return LiveCase(LiveFound("kills", "process_crash", PAIRS, None, trial, 0.0), "kills", "acknowledged")

    assert (by_the_clock.site, exact.site and exact.site.function) == (None, "PidLock.open")
    assert list(grouped([case(by_the_clock), case(exact)], set())) == [("hang", str(exact.site))]
    assert list(grouped([case(by_the_clock)], set())) == [("hang", "None")]
    assert list(grouped([case(by_the_clock)], {("hang", "somewhere")})) == []
    assert list(grouped([case(exact)], {("hang", str(exact.site))})) == []


def test_a_kill_that_comes_too_late_has_not_fired(tmp_path: Path) -> None:
    made = engine(Sound, tmp_path, kind=RandomKillEngine)

    assert made.attempt(Kill(Moment.RANDOM, 1_000_000)).fired == 0


# --- helpers --------------------------------------------------------------------------------------


def test_contents_names_and_the_order_of_times_make_a_difference(tmp_path: Path) -> None:
    """Absolute times do not."""
    def image(change: Callable[[Path], None]) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        for number, name in enumerate(("a", "b")):
            (folder / name).write_text(name)
            os.utime(folder / name, ns=(10**9 * number, 10**9 * number))
        change(folder)
        return fingerprint(scan(folder))

    usual = image(lambda folder: None)
    assert usual == image(lambda folder: os.utime(folder / "b", ns=(5 * 10**9, 5 * 10**9)))
    assert usual != image(lambda folder: os.utime(folder / "a", ns=(5 * 10**9, 5 * 10**9)))
    assert usual != image(lambda folder: os.rename(folder / "a", folder / "c"))
    assert usual != fingerprint(empty_image())


def test_operations_are_left_out_by_their_number() -> None:
    """Reopening is no operation."""
    workload = steps(Put("a", "1"), Reopen(), Put("b", "2"), Put("c", "3"))

    assert without(workload, {1}).steps == (Put("a", "1"), Reopen(), Put("c", "3"))
