"""The strongest contract that was not refuted."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness import Contract, Put, cli
from harness.core.persistence import EXT4, PROCESS_CRASH, STRICT
from harness.core.scenario import Scenario
from harness.core.workload import Workload
from harness.judge.classify import Violation
from harness.run import certify
from harness.run.campaign import Silent
from harness.run.exploring import Plan
from harness.run.live.campaign import Series
from harness.run.live.values import LiveFound, Trial, Tried
from harness.run.options import PROFILES, Options
from harness.run.survey import Strongest, Survey, _live_row, _row, survey
from scenarios import damage, power_loss, process_crash, writers
from tests.stores.conduct import LIMIT_S, small_runs, spec
from tests.stores.tiny import TINY

ALL = ("acknowledged", "synced", "prefix")


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little work, on the scenarios that these tests are about."""
    small_runs(monkeypatch)
    few = (*process_crash.SCENARIOS, *power_loss.SCENARIOS, *damage.SCENARIOS, *writers.SCENARIOS)
    monkeypatch.setattr(certify, "selected", lambda names, schedules: few)


def surveyed(adapter: str) -> Survey:
    return survey(adapter, Options(TINY.name, jobs=1, time_limit_s=LIMIT_S, survey=True), Silent())


def test_what_was_refuted_is_not_in_the_contract() -> None:
    """A kill takes away what was acknowledged; what refuted it is told."""
    result = surveyed(spec("InPlace", "honest.py"))

    rows = {row.model: row for row in result.rows}
    assert rows["process-crash"].promise is None
    assert rows["process-crash"].refuted_by.startswith("cannot_open at ")
    contract = eval(result.contract(), {"Contract": Contract})
    assert contract.process_crash is None
    assert contract.power_loss is None or "strict" not in contract.power_loss_models


def test_a_survey_that_ran_out_of_time_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the limit, and the scenarios that it cost: what is not refuted may only not have been tried."""
    monkeypatch.setitem(PROFILES, TINY.name, dataclasses.replace(TINY, seconds=0.0))

    result = surveyed(spec("Sound", "honest.py"))

    assert result.notes[0].startswith("out of time: the limit of the profile tiny is 0 s. Not tried: process-crash, ")
    cli._tell_survey(result)
    assert f"  note: {result.notes[0]}\n" in capsys.readouterr().out


def test_what_could_not_be_seen_is_unknown() -> None:
    """And the contract does not promise it."""
    result = surveyed(spec("Database"))

    crashes = [row for row in result.rows if row.claim in ("process_crash", "power_loss")]
    assert crashes and all("sqlite3" in row.unknown for row in crashes)
    assert result.contract().startswith("Contract(process_crash=None, power_loss=None")


def test_a_contract_is_a_line_of_python() -> None:
    """With the models under which the best promise holds, and None for what was not tried."""
    rows = (
        Strongest("process-crash", "process_crash", "acknowledged", ""),
        Strongest("strict", "power_loss", "prefix", "lost_acknowledged at x"),
        Strongest("ext4", "power_loss", "acknowledged", ""),
        Strongest("btrfs", "power_loss", None, "", "sqlite3"),
    )

    live = (Strongest("corruption", "corruption", "detected", "x"), Strongest("rollback", "rollback", None, "y"))

    line = Survey("s", (*rows, *live), ("io_error", "writers")).contract()

    assert line == (
        "Contract(process_crash='acknowledged', power_loss='acknowledged', power_loss_models=('ext4',), "
        "corruption='detected', rollback=None, io_error=None, writers='one')"
    )


def test_who_keeps_a_stronger_promise_keeps_the_weaker() -> None:
    """The strongest that nothing refuted, and what refuted the next."""
    assert _row(Plan(STRICT, "power_loss", ALL), {"acknowledged": "a", "synced": "b"}, "") == Strongest(
        "strict", "power_loss", "prefix", "b"
    )
    assert _row(Plan(EXT4, "power_loss", ALL), {}, "").refuted_by == ""
    nothing = _row(Plan(PROCESS_CRASH, "process_crash", ALL), dict.fromkeys(ALL, "x"), "")
    assert (nothing.promise, nothing.refuted_by) == (None, "x")
    assert _row(Plan(EXT4, "power_loss", ALL), {}, "sqlite3").promise is None


def test_a_path_is_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers may have another working directory."""
    monkeypatch.chdir(Path(spec("Sound", "honest.py")).parent)

    assert surveyed("honest.py:Sound").store == "sound"


def test_damage_is_surveyed_too() -> None:
    """A store without a checksum detects nothing; what live faults refuted is no part of the contract."""
    result = surveyed(spec("InPlace", "honest.py"))

    rows = {row.claim: row for row in result.rows}
    assert rows["corruption"].promise is None and rows["corruption"].refuted_by.startswith("silent_corruption")
    assert rows["rollback"].promise is None
    assert "corruption=None" in result.contract() and "corruption" not in result.untested


# --- how many may write ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("store", "promise", "refuted"),
    [
        ("Unlocked", "one", "lost_update at "),
        ("ForThreads", "threads", "lost_update at "),
        ("ForProcesses", "processes", ""),
    ],
)
def test_writers_are_surveyed(store: str, promise: str, refuted: str) -> None:
    """None of them says so in its contract; the last has a lock for its threads and one for other processes."""
    result = surveyed(spec(store, "shared.py"))

    [row] = [row for row in result.rows if row.claim == "writers"]
    assert (row.promise, row.unknown) == (promise, "")
    assert row.refuted_by.startswith(refuted) and bool(row.refuted_by) == bool(refuted)
    assert f"writers={promise!r}" in result.contract() and "writers" not in result.untested


def test_a_store_that_lets_nobody_else_in_is_unknown_to_other_processes() -> None:
    """No second process ever got to work: threads are all that is known."""
    [row] = [row for row in surveyed(spec("Exclusive", "shared.py")).rows if row.claim == "writers"]
    assert row.promise == "threads" and not row.refuted_by
    assert row.unknown.startswith("writers-races: no fault fired: no client got to work while another stood still")
    assert row.describe() == f"threads; whether it keeps more is unknown: {row.unknown}"


WORK = Workload("work", (Put("a", "1"),))


def series(promise: str, *, broken: str = "", fired: int = 1, unknown: str = "") -> Series:
    """One scenario of the claim "writers" with what came of one job."""
    scenario = Scenario(f"tries {promise}", "writers", "try", (), "pairs")
    trial = Trial(fired, Violation(broken, "it is broken")) if broken else Trial(fired)
    found = [LiveFound("any", "writers", WORK, None, trial, 0.0)] if broken else []
    told = Tried("job", fired=fired, operations=3, found=found, unknown=[unknown] if unknown else [])
    return Series(scenario, "writers", promise, [], [told])


def test_only_what_was_tried_is_in_the_contract() -> None:
    """Whatever stands in the way of the stronger promise is told beside the weaker."""
    threads, processes = series("threads"), series("processes")
    assert _live_row("writers", [threads, processes]).promise == "processes"
    late = Series(processes.scenario, "writers", "processes", [])
    for undecided in (series("processes", fired=0), series("processes", unknown="who can say"), late):
        row = _live_row("writers", [threads, processes, undecided])
        assert row.promise == "threads" and row.unknown.startswith("tries processes: ") and not row.refuted_by
    assert "was possible" in _live_row("writers", [threads]).unknown
    neither = _live_row("writers", [series("threads", fired=0), processes])
    assert (neither.promise, neither.refuted_by) == ("one", "") and neither.unknown.startswith("tries threads: ")


def test_what_breaks_the_weaker_promise_breaks_the_stronger() -> None:
    """Where both are broken, what refuted the weaker is told; where the weaker is open, both are."""
    broken = _live_row("writers", [series("threads", broken="a"), series("processes", broken="b")])
    assert broken == Strongest("writers", "writers", "one", "a")
    assert _live_row("writers", [series("threads", broken="a"), series("processes")]) == broken
    half = _live_row("writers", [series("threads", unknown="who can say"), series("processes", broken="b")])
    assert half == Strongest("writers", "writers", "one", "b", "tries threads: who can say")
    assert half.describe() == "one; whether it keeps more is unknown: tries threads: who can say; more was refuted by b"
