"""The series for several clients: what they count as found, as quiet and as the same, in small."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.unit.circuit_breaker.defects import DEFECTS
from tests.zoo import breaker, publishing, run_series, series
from tests.zoo.planted import Check, Sought, checks
from tests.zoo.quiet import CLIENTS, EACH, LEAST, MODES, Mode, Quiet, Subject, answered, run_quiet, subjects
from tests.zoo.run_series import fresh_processes
from tests.zoo.searching import CONCURRENT, Case, cases, searches
from tests.zoo.series import Repeated, Searched, Series, block, hushed, read_series, write_series

pytestmark = pytest.mark.timeout(600)
CASES = {case.id: case for case in cases()}
L29 = dataclasses.replace(CASES["L29"], scenarios=("writers-processes",))
SUBJECTS = {subject.name: subject for subject in subjects()}


def defective(module: str) -> Subject:
    return Subject(module, f"store_under_test.defective.{module}:Adapter")


def quiet(subject: Subject, seed: int) -> Quiet:
    """One run in a process that is there for it."""
    with fresh_processes(1) as pool:
        return pool.submit(run_quiet, subject, seed).result()


# --- detection ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_a_defect_is_caught_by_its_first_right_finding(seed: int) -> None:
    [found] = searches(L29, [seed], "quick")

    assert found.caught and found.scenario == "writers-processes" and found.trials > 0
    assert found.told.partition(" at ")[0] in L29.kinds and f"{L29.file.name}:" in found.told
    assert found.elsewhere == ()


def test_a_finding_at_another_line_is_no_catch() -> None:
    """Nor does it end the search."""
    [found] = searches(dataclasses.replace(L29, lines=frozenset({1})), [0], "quick")

    assert not found.caught and found.elsewhere and L29.file.name in found.elsewhere[0]


def test_a_sound_store_is_not_caught() -> None:
    sound = defective("n10_ordered_by_commit")
    case = Case("N10", "none", sound.spec, ("writers-processes",), L29.kinds, L29.file, L29.lines)
    [found] = searches(case, [0], "quick")

    assert (found.told, found.elsewhere) == ("", ()) and found.trials > 0


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("log: ")])
def test_what_is_planted_in_the_log_for_writers_is_caught_by_the_harness(name: str) -> None:
    """At a line of the function in which it stands."""
    [found] = searches(dataclasses.replace(CASES[name], scenarios=("writers-processes",)), [0], "quick")

    assert found.caught, found.elsewhere


def test_every_planted_defect_has_its_place_in_the_series() -> None:
    """The concurrent rows of the zoo, and all of the breaker and the log."""
    from tests.unit.structured_log.defects import DEFECTS as LOG_DEFECTS

    names = [*CASES, *(check.id for check in checks())]
    planted = {*CONCURRENT, *(f"breaker: {name}" for name in DEFECTS), *(f"log: {name}" for name in LOG_DEFECTS)}
    assert sorted(names) == sorted(planted)


@pytest.mark.parametrize("check", [Check("breaker", "LostCount"), Check("log", "broken JSON")], ids=lambda it: it.id)
def test_a_check_says_the_same_for_the_same_seed(check: Check) -> None:
    """Which assertion failed; that is what a replay is compared by."""
    assert check.run(3) == check.run(3) != ""


# --- quiet --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "mode"), [*enumerate(MODES["processes"])])
def test_each_mode_is_quiet_about_a_sound_store(seed: int, mode: Mode) -> None:
    """And at least two hundred operations were answered. The modes take turns by the seed."""
    run = quiet(defective("n15_readers_without_lock"), seed)

    assert (run.mode, run.alarm, run.unknown, run.idle) == (mode, "", "", "") and run.operations >= LEAST


def test_threads_that_share_a_log_are_quiet() -> None:
    run = quiet(SUBJECTS["EventStore"], 0)

    assert (run.mode, run.alarm, run.unknown, run.idle) == (Mode.TURNS, "", "", "") and run.operations >= LEAST


@pytest.mark.parametrize("module", ["d43_read_before_lock", "d44_unlocked_shared_table"])
def test_a_store_that_loses_updates_is_not_quiet(module: str) -> None:
    """Processes that race, and threads that take turns. With one seed of several at least: no race is certain."""
    alarms = (quiet(defective(module), seed).alarm for seed in range(20))

    assert any(alarm.startswith(("lost_update: ", "not_linearizable: ")) for alarm in alarms)


def test_a_sound_breaker_has_an_order_for_its_answers() -> None:
    for seed in range(3):
        history = breaker.race(seed, CLIENTS, EACH)
        assert breaker.judged(history, seed) == ("", "") and answered(history) >= LEAST


@pytest.mark.parametrize("name", ["LostCount", "OneFailureMore"])
def test_a_defective_breaker_has_none(name: str) -> None:
    """With one seed of several at least: not every run comes to the place."""
    found = (breaker.judged(breaker.race(seed, CLIENTS, 8, DEFECTS[name]), seed)[0] for seed in range(20))

    assert any(found)


# --- what is kept and told ------------------------------------------------------------------------


SOUGHT = (Sought(0, "lost_update at d.py:3", "writers-threads", 7, 0.5), Sought(1, "", "", 90, 9.0, ("hang nowhere",)))
DONE = (Quiet(Mode.RACE, 0, 210, 0.5), Quiet(Mode.TURNS, 1, 208, 0.25))
RUNS = (*DONE, Quiet(Mode.KILL, 2, 0, 0.1, idle="no fault fired"))
SAMPLE = Series(
    {"D99": Searched("a defect", "profile quick", SOUGHT, "digest")},
    {"a store": hushed(RUNS, "digest")},
    {"D99": Repeated("lost_update at d.py:3", 0, 3, ("nothing",), "digest")},
)


def test_the_file_gives_back_what_was_written(tmp_path: Path) -> None:
    write_series(SAMPLE, tmp_path / "series.json")

    assert read_series(tmp_path / "series.json") == SAMPLE
    assert read_series(tmp_path / "absent.json") == Series()


def test_a_run_that_did_not_come_about_is_no_quiet_run() -> None:
    row = SAMPLE.quiet["a store"]

    assert (row.runs, row.operations, row.fewest, row.idle) == (2, 418, 208, ("seed 2: no fault fired",))


def test_the_page_tells_what_was_missed_and_what_differed() -> None:
    text = block(SAMPLE)

    assert "| D99 | 1 of 2 | 2.5% | 0.50 s | 0.50 s | 7 | writers-threads | 1 | profile quick |" in text
    assert "D99: not caught with seed 1." in text
    assert "2 runs, 0 false alarms: at most 77.64% of such runs" in text
    assert "| D99 | 2 of 3 | `lost_update at d.py:3` | 0 |" in text


def test_the_block_has_its_place_between_rows_and_mutants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever part is written, the others stay."""
    monkeypatch.setattr(publishing, "DOCUMENT", tmp_path / "ZOO.md")
    publishing.write_document(rows="rows\n")
    publishing.write_document(mutants="## Mutants\n\nsome\n")
    publishing.write_document(series="the series")
    publishing.write_document(rows="other rows\n")
    expected = "other rows\n\n<!-- series:begin -->\nthe series\n<!-- series:end -->\n\n## Mutants\n\nsome\n"

    assert (tmp_path / "ZOO.md").read_text() == expected
    publishing.write_document(series="again")
    assert (tmp_path / "ZOO.md").read_text() == expected.replace("the series", "again")


@pytest.mark.whole
def test_the_command_runs_a_part_and_publishes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "SERIES_FILE", tmp_path / "series.json")
    monkeypatch.setattr(publishing, "DOCUMENT", tmp_path / "ZOO.md")
    asked = ["--jobs", "2", "--profile", "quick", "--only"]

    assert run_series.main([*asked, "D44", "detection", "--seeds", "2"]) == 0
    assert run_series.main([*asked, "circuit breaker", "quiet", "--runs", "2"]) == 0
    assert run_series.main([*asked, "D44", "--only", "broken JSON", "replays", "--times", "2"]) == 0
    found = read_series()
    assert found.detection["D44"].caught == 2
    assert found.quiet["circuit breaker"].runs == 2 and found.quiet["circuit breaker"].fewest >= LEAST
    assert [(name, row.times, row.others) for name, row in found.replays.items()] == [
        ("D44", 2, ()),
        ("log: broken JSON", 2, ()),
    ]
    assert block(found) in (tmp_path / "ZOO.md").read_text()


def test_a_name_that_nothing_has_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run_series.main(["--only", "D4711", "detection"])
    assert "nothing has 'D4711' in its name" in capsys.readouterr().err
