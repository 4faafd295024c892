"""Faults on a schedule: what they show together, what sound stores survive, and what is told of it."""

from __future__ import annotations

import dataclasses
import itertools
import random
from pathlib import Path
from typing import Any

import pytest

from harness import Append, Contract, Delete, Put, Sync
from harness.core.workload import Reopen, Workload
from harness.inject.nemesis import FAULTS, Injector, parse
from harness.judge.classify import Violation
from harness.record import kernel
from harness.run.live.injectors import INJECTORS
from harness.run.live.nemesis import NemesisEngine
from harness.run.live.values import Trial
from store_under_test.metrics_store.adapter import MetricsUpdateAdapter
from tests.stores import killed, scheduled
from tests.stores.honest import InPlace, RepairsBadly, Sound, Tidy
from tests.unit.run.live.benches import bench, rehearsed, steps

PAIRS = steps(Put("a", "1"), Put("b", "x" * 9000), Reopen(), Delete("a"))


def engine(
    adapter: Any, folder: Path, workload: Workload = PAIRS, claim: str = "process_crash", **extra: Any
) -> Any:
    promise = getattr(adapter.contract, claim)
    there = dataclasses.replace(bench(adapter, folder), extra={"count": 12, **extra})
    return rehearsed(NemesisEngine(there, workload, claim, promise))


def kinds(made: NemesisEngine) -> set[str]:
    found = (made.attempt(schedule).violation for schedule in made.faults())
    return {violation.kind for violation in found if violation is not None}


# --- defects --------------------------------------------------------------------------------------


def test_two_kills_show_what_one_does_not(tmp_path: Path) -> None:
    """The second strikes while the store repairs, in the only copy, what the first left."""
    made = engine(RepairsBadly, tmp_path, steps(Put("a", "1"), Put("b", "2")))
    calls = [item.name for item in made.course if hasattr(item, "name")]
    second = len(calls) - calls[::-1].index("replace")  # counted from 1: the last rename
    alone = made.attempt(parse(f"kill@{second}"))

    assert (alone.fired, alone.violation) == (1, None)
    together = [made.attempt(parse(f"kill@{second}, kill@{second + later}")) for later in range(1, 12)]
    found = [trial for trial in together if trial.violation is not None]
    assert found and found[0].fired == 2
    assert {trial.violation.kind for trial in found if trial.violation} == {"cannot_open"}
    assert found[0].exhibit is not None and "<killed>" in found[0].exhibit.lines


def test_a_write_error_that_is_swallowed_is_named_so(tmp_path: Path) -> None:
    """The call that failed is the call site."""
    made = engine(killed.SwallowsErrors, tmp_path, steps(Put("a", "1")), "io_error")
    trial = made.attempt(parse("eio@1-30"))

    assert trial.violation is not None and trial.violation.kind == "swallowed_error"
    assert trial.site is not None and trial.site.function in ("Sound.write", "Sound.sync", "sync_directory")
    assert trial.exhibit is not None and trial.exhibit.lines[-1] == "<schedule: eio@1-30>"


def test_a_short_write_that_nobody_looks_at_tears_an_operation(tmp_path: Path) -> None:
    made = engine(killed.NeverLooksBack, tmp_path, steps(Append("one"), Append("two")), "io_error")

    assert kinds(made) & {"torn_operation", "cannot_open", "swallowed_error", "phantom"}


TWO_PUTS = steps(Put("a", "1"), Put("a", "2"))
RECORDS = steps(Append("one"), Append("two"), Append("three"), Append("four"))


def calls_until(made: NemesisEngine, operation: int) -> int:
    """How many calls have been made when the operation is acknowledged."""
    numbers = itertools.accumulate(hasattr(item, "name") for item in made.course)
    settled = (number for item, number in zip(made.course, numbers, strict=True) if not hasattr(item, "name"))
    return list(settled)[operation]


@pytest.mark.parametrize(
    ("adapter", "fault", "calls"),
    [(scheduled.Stamps, "clock-back", 10), (scheduled.PutsOff, "fsync-eio", 9), (scheduled.OpensLater, "emfile", 4)],
)
def test_a_fault_and_a_kill_show_what_neither_does_alone(adapter: Any, fault: str, calls: int, tmp_path: Path) -> None:
    """What a clean close puts right, a kill does not."""
    claim = "process_crash" if FAULTS[fault].off_s else "io_error"
    made = engine(adapter, tmp_path, TWO_PUTS, claim)
    last = calls_until(made, 0)
    lasting, kill = f"{fault}@{last}-{last + 1}", f"kill@{last + calls}"
    alone = [made.attempt(parse(text)) for text in (lasting, kill)]
    together = made.attempt(parse(f"{lasting}, {kill}"))

    assert [(trial.violation, trial.fired > 0) for trial in alone] == [(None, True), (None, True)]
    assert together.violation is not None and together.violation.kind in ("lost_acknowledged", "swallowed_error")
    assert {struck.fault for struck in together.struck} == {fault, "kill"}


def test_who_waits_for_a_clock_that_was_set_back_hangs(tmp_path: Path) -> None:
    made = engine(scheduled.Waits, tmp_path, TWO_PUTS)
    trial = made.attempt(parse(f"clock-back@{calls_until(made, 0)}-90"))

    assert trial.violation is not None and trial.violation.kind == "hang"
    assert made.attempt(parse(f"clock-forward@{calls_until(made, 0)}-90")).violation is None


def test_what_clocks_and_kills_do_alone_is_not_blamed_on_calls_that_fail(tmp_path: Path) -> None:
    """It is told where it is about clocks and kills."""
    made = engine(scheduled.Waits, tmp_path, TWO_PUTS, "io_error")
    schedule = parse(f"clock-back@{calls_until(made, 0)}-90, eio@900")
    trial = made.attempt(schedule)

    assert engine(scheduled.Waits, tmp_path / "again", TWO_PUTS).attempt(schedule.without("io_error")).violation
    assert (trial.violation, trial.fired) == (None, 1)


def test_nor_is_it_where_a_call_that_failed_moved_the_clock_to_a_worse_moment(tmp_path: Path) -> None:
    """The step of the clock does harm without it too, though not at the call of that number."""
    made = engine(scheduled.Waits, tmp_path, Workload("puts", tuple(Put(key, key) for key in "abcd")), "io_error")
    first = calls_until(made, 1)
    schedules = [parse(f"eio@{first + 1}, clock-back@{call}") for call in range(first + 2, first + 9)]
    moved = [
        schedule
        for schedule in schedules
        if made._tried(schedule).violation and not made._tried(schedule.without("io_error")).violation
    ]

    assert moved and not any(made.attempt(schedule).violation for schedule in moved)


def test_schedules_that_are_given_are_tried_where_they_belong(tmp_path: Path) -> None:
    """And no others; what broke without the damage is not blamed on it."""
    given = (parse("kill@2"), parse("eio@1, kill@2"), parse("kill@14, damage@14"))
    made = engine(scheduled.Unchecked, tmp_path, RECORDS, "corruption", schedules=given)
    [schedule] = made.faults()

    assert schedule == given[2]
    nothing = made.attempt(parse("kill@1, damage@1"))
    assert (nothing.violation, nothing.fired) == (None, 1) and "no damage fired" in nothing.unknown


def test_no_file_is_damaged_after_kills_where_nothing_is_promised_about_those(tmp_path: Path) -> None:
    class OnlyDamage(scheduled.Checked):
        contract = Contract(process_crash=None, power_loss=None, io_error=None)

    made = NemesisEngine(bench(OnlyDamage, tmp_path), RECORDS, "corruption", "detected")
    assert made.rehearse() == "files are damaged after kills, and nothing is promised about those"


def test_a_disk_that_fills_up_inside_a_write_shows_what_neither_half_does(tmp_path: Path) -> None:
    """A short write is completed, a write without room has no effect; but what fitted in between stays."""
    made = engine(scheduled.Glued, tmp_path, RECORDS, "io_error")
    [second, *_] = [number for number, item in enumerate(course(made), 1) if item.name == "write"][1:]

    assert made.attempt(parse(f"short-write@{second}")).violation is None
    assert made.attempt(parse(f"enospc@{second}")).violation is None
    trial = made.attempt(parse(f"full-disk@{second}-{second + 1}"))
    assert trial.violation is not None and trial.fired == 2
    assert [struck.fault for struck in trial.struck] == ["full-disk", "full-disk"]


def course(made: NemesisEngine) -> list[Any]:
    return [item for item in made.course if hasattr(item, "name")]


def test_damage_after_a_kill_shows_what_damage_at_rest_does_not(tmp_path: Path) -> None:
    """The journal has no checksums, and a clean close leaves none."""
    records = steps(*(Append(text * 20) for text in ("one", "two", "three")))
    made = engine(scheduled.Unchecked, tmp_path, records, "corruption")
    found = [made.attempt(parse(f"kill@{call}, damage@{call}")) for call in range(8, 11)]
    broken = [trial for trial in found if trial.violation is not None]

    assert broken and broken[0].violation is not None and broken[0].violation.kind == "silent_corruption"
    assert broken[0].site is not None and broken[0].site.function == "Unchecked.open"
    exhibit = broken[0].exhibit
    assert exhibit is not None and exhibit.before != exhibit.after
    assert [line.partition(":")[0] for line in exhibit.lines[-3:]] == ["<killed>", "<damage", "<schedule"]
    assert "damage" in {struck.fault for struck in broken[0].struck}


def test_a_single_kill_is_judged_as_one(tmp_path: Path) -> None:
    """The call site is the last call begun."""
    made = engine(InPlace, tmp_path)
    found = [trial for trial in map(made.attempt, made.faults()) if trial.violation is not None]

    assert found
    assert {trial.site.function for trial in found if trial.site} == {"InPlace.write"}


def test_what_a_recovery_showed_is_not_owed_if_it_was_killed(tmp_path: Path) -> None:
    """An interrupted operation may be completed by one recovery and dropped by the next: any number is admissible."""
    made = engine(killed.Wavering, tmp_path, steps(Put("a", "1"), Put("b", "2")))

    assert kinds(made) == set()


# --- what is sound --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("adapter", "workload", "claim"),
    [
        (Sound, PAIRS, "process_crash"),
        (Tidy, PAIRS, "process_crash"),
        (killed.Lines, steps(Append("one"), Append("y" * 9000), Append("two")), "process_crash"),
        (killed.SyncedLines, steps(Append("one"), Sync(), Append("two"), Append("three")), "process_crash"),
        (killed.Careful, PAIRS, "io_error"),
        (scheduled.Unglued, RECORDS, "io_error"),
        (scheduled.Counted, TWO_PUTS, "process_crash"),
    ],
    ids=lambda value: getattr(value, "name", value if isinstance(value, str) else ""),
)
def test_a_sound_store_survives_every_schedule(adapter: Any, workload: Workload, claim: str, tmp_path: Path) -> None:
    """Nearly all of them fire, and every fault that the claim is about does."""
    made = engine(adapter, tmp_path, workload, claim)
    trials = [(schedule.describe(), made.attempt(schedule)) for schedule in made.faults()]

    assert [(text, trial.violation, trial.unknown) for text, trial in trials if trial.violation or trial.unknown] == []
    struck = {struck.fault for _, trial in trials for struck in trial.struck}
    assert struck >= {name for name in made.names() if name != "kill-in-write"}
    assert sum(trial.fired > 1 for _, trial in trials) > len(trials) // 4


def test_the_metrics_store_survives_every_schedule(tmp_path: Path) -> None:
    class Promises(MetricsUpdateAdapter):
        contract = dataclasses.replace(MetricsUpdateAdapter.contract, io_error="fails_cleanly")

    operations = Promises.model.example_operations(random.Random(1), 3)
    made = engine(Promises, tmp_path, steps(*operations), "io_error")

    assert kinds(made) == set()


@pytest.mark.parametrize(
    ("adapter", "workload"),
    [(scheduled.Checked, RECORDS), (MetricsUpdateAdapter, None)],
    ids=["checked", "metrics"],
)
def test_a_sound_store_survives_damage_after_kills(adapter: Any, workload: Any, tmp_path: Path) -> None:
    """It shows what is right, or says that something is wrong."""
    workload = workload or steps(*adapter.model.example_operations(random.Random(1), 4))
    made = engine(adapter, tmp_path, workload, "corruption")
    trials = [made.attempt(schedule) for schedule in made.faults()]

    assert [trial.violation for trial in trials if trial.violation is not None] == []
    assert sum("damage" in {struck.fault for struck in trial.struck} for trial in trials) > 3


# --- what schedules are made of -------------------------------------------------------------------


def test_every_fault_has_an_injector() -> None:
    """And nothing else does; what strikes at rest has one of its own."""
    assert list(INJECTORS) == [name for name, kind in FAULTS.items() if not kind.at_rest]


def test_only_what_a_claim_is_about_is_on_its_schedules(tmp_path: Path) -> None:
    """No failing calls under process_crash; no kills where nothing is promised about them."""

    class OnlyErrors(Sound):
        contract = Contract(process_crash=None, power_loss=None, corruption=None)

    assert engine(Sound, tmp_path / "a").names() == [
        *("kill", "kill-in-write", "stall", "clock-forward", "clock-back"),
    ]
    assert engine(killed.Careful, tmp_path / "b", claim="io_error").names()[:3] == ["eio", "enospc", "short-write"]
    assert engine(scheduled.Checked, tmp_path / "d", RECORDS, "corruption").names()[0] == "damage"
    assert set(engine(OnlyErrors, tmp_path / "c", claim="io_error").names()) & {"kill", "kill-in-write"} == set()


def test_the_same_seed_gives_the_same_schedules_and_outcomes(tmp_path: Path) -> None:
    one, other = (engine(InPlace, tmp_path / name) for name in ("one", "other"))

    assert list(one.faults()) == list(other.faults())
    schedule = list(one.faults())[3]
    assert one.attempt(schedule).violation == other.attempt(schedule).violation


def test_a_schedule_that_never_fires_says_why(tmp_path: Path) -> None:
    trial: Trial = engine(Sound, tmp_path).attempt(parse("kill@1000"))

    assert (trial.fired, trial.violation) == (0, None)
    assert trial.idle.startswith("the schedule 'kill@1000' never fired: the workload made ")


def test_a_schedule_that_hung_is_told_without_running_it_again(tmp_path: Path) -> None:
    trial = engine(Sound, tmp_path).ended(parse("stall@2"), Violation("hang", "reading the store did not return"))

    assert trial.violation is not None and trial.exhibit is not None
    assert "stall@2" in trial.exhibit.reached


def test_injectors_keep_to_the_protocol(tmp_path: Path) -> None:
    """Each can be stopped twice, has not fired before it struck, and says what it does."""
    for name, make in INJECTORS.items():
        injector: Injector = make(name, str(tmp_path), None)  # type: ignore[arg-type]
        injector.start()
        assert kernel.engaged()
        injector.stop()
        injector.stop()
        assert not kernel.engaged()
        assert (injector.fired, injector.describe()) == (0, FAULTS[name].does)
