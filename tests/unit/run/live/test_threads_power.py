"""Threads that share a handle, and a loss of power: what a commit for several answers for."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from harness import Append, Contract, Put, Read
from harness.core.models import KeyValueModel
from harness.core.verdict import Verdict
from harness.core.workload import By, Workload
from harness.inject.writers import Outage, Turns
from harness.run.live import turnstile
from harness.run.live.threads import ThreadsEngine
from harness.run.live.threads_power import PowerThreadsEngine
from store_under_test.defective import d44_unlocked_shared_table, n17_shared_handle_with_lock
from tests.stores import grouped
from tests.stores.conduct import certified, happens_again, small_runs, spec, verdicts
from tests.unit.run.live import writing
from tests.unit.run.live.benches import bench

APPENDS = Workload(
    "appends", (By(0, Append("0")), By(1, Append("one")), By(1, Read(0)), By(2, Append("2")), By(2, Append("3")))
)
PUTS = Workload("puts", (By(0, Put("a", "0")), By(1, Put("a", "1")), By(2, Put("b", "2"))))


def engine(adapter: Any, folder: Path, workload: Workload = APPENDS) -> PowerThreadsEngine:
    made = PowerThreadsEngine(bench(adapter, folder), workload, "power_loss", "acknowledged")
    assert made.rehearse() == ""
    return made


@pytest.mark.parametrize("adapter", [grouped.AnswersForLater, grouped.DoesNotWait, grouped.UnlockedCount])
def test_what_is_answered_before_it_is_durable_is_lost(adapter: Any, tmp_path: Path) -> None:
    made = engine(adapter, tmp_path)
    faults = list(made.faults())
    first = next(fault for fault in faults if made.attempt(fault).violation is not None)
    trial = made.attempt(first)

    assert faults.index(first) < 8, "what tells most comes first"
    assert trial.violation is not None and trial.violation.kind == "lost_acknowledged" and trial.site is not None
    assert writing.line_of(trial.site).startswith("os.write(self.file")
    assert trial.exhibit is not None and "is gone" in trial.exhibit.found and "Read" not in str(trial.exhibit.lines)


SOUND = [(grouped.Grouped, APPENDS), (n17_shared_handle_with_lock.Adapter, PUTS)]


@pytest.mark.parametrize(("adapter", "workload"), SOUND)
def test_who_answers_for_what_is_durable_loses_nothing(adapter: Any, workload: Workload, tmp_path: Path) -> None:
    made = engine(adapter, tmp_path, workload)
    singles = [fault for fault in made.faults() if len(fault.switches) == 1]
    trials = [made.attempt(fault) for fault in singles]

    assert len(singles) > 6 and all(trial.violation is None and not trial.unknown for trial in trials)
    assert sum(trial.fired for trial in trials) > len(trials) / 2


def test_what_is_lost_without_a_loss_of_power_is_left_to_the_claim_of_writers(tmp_path: Path) -> None:
    """Changes overwrite each other here, and are gone before the power is."""
    made = engine(d44_unlocked_shared_table.Adapter, tmp_path, PUTS)
    singles = list(itertools.islice(made.faults(), 10))
    assert {made.attempt(fault).violation for fault in singles} == {None}
    usual = ThreadsEngine(made.bench, PUTS, "writers", "threads")
    assert usual.rehearse() == ""
    assert {"lost_update"} == {
        trial.violation.kind for fault in singles if (trial := usual.attempt(Turns(fault.switches))).violation
    }


class Stubborn(KeyValueModel):
    """Knows one order only."""

    def step(self, state: Any, operation: Any) -> tuple[Any, Any]:
        if operation == Put("b", "2") and "a" not in state:
            raise ValueError("b comes after a")
        return super().step(state, operation)


class OfStubborn(n17_shared_handle_with_lock.Adapter):
    model = Stubborn()


def test_what_cannot_be_judged_is_told(tmp_path: Path) -> None:
    puts = Workload("puts", (By(1, Put("a", "1")), By(2, Put("b", "2"))))
    made = engine(OfStubborn, tmp_path, puts)
    reasons = {made.attempt(fault).unknown for fault in itertools.islice(made.faults(), 8)}
    assert any("b comes after a" in reason for reason in reasons)


class Alone(grouped.Grouped):
    """Promises nothing about several clients."""

    contract = Contract(io_error=None, corruption=None, writers="one")


class NeverSyncs(grouped.Grouped):
    """Loses what one client was told as well, which is for others to find."""

    def commit(self) -> None:
        self.durable = len(self.records)


class Later(grouped.Grouped):
    contract = Contract(power_loss="prefix", io_error=None, corruption=None, writers="threads")


@pytest.mark.parametrize(
    ("adapter", "workload", "reason"),
    [
        (Alone, APPENDS, "only one client may work at a time"),
        (Later, APPENDS, "what was answered is owed only later"),
        (NeverSyncs, APPENDS, "the store does not survive a loss of power even if its clients work one after another"),
        (grouped.Grouped, Workload("reads", (By(1, Append("1")), By(2, Read(0)))), "only one client changes anything"),
    ],
)
def test_what_says_nothing_is_not_tried(adapter: Any, workload: Workload, reason: str, tmp_path: Path) -> None:
    made = PowerThreadsEngine(bench(adapter, tmp_path), workload, "power_loss", "acknowledged")
    assert made.rehearse() == reason


class CannotRead(grouped.AnswersForLater):
    """And can't be opened with one record missing."""

    def open(self, directory: Any) -> grouped.Grouped:
        opened = super().open(directory)
        if len(opened.records) == 2:
            raise ValueError("two records")
        return opened


def test_what_cannot_be_opened_after_it_is_told(tmp_path: Path) -> None:
    made = PowerThreadsEngine(bench(CannotRead, tmp_path), APPENDS, "power_loss", "acknowledged")
    assert "one after another" in made.rehearse()
    trials = [made.attempt(fault) for fault in itertools.islice(made.faults(), 4)]
    told = {trial.violation.sentence for trial in trials if trial.violation is not None}
    assert told == {"after the loss of power opening the store raised ValueError: two records"}


class NeverTells(grouped.Grouped):
    """Who waits for a sync of somebody else waits for ever."""

    def open(self, directory: Any) -> grouped.Grouped:
        opened = super().open(directory)
        self.turn.notify_all = lambda: None  # type: ignore[method-assign]
        return opened


def test_threads_that_never_end_are_left_to_the_claim_of_writers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turnstile, "PATIENCE_S", 0.5)
    made = engine(NeverTells, tmp_path)
    trials = [made.attempt(fault) for fault in itertools.islice(made.faults(), 8)]
    assert {trial.violation for trial in trials} == {None}
    assert "the threads did not come to an end" in {trial.idle for trial in trials}


def test_without_a_switch_nothing_is_proved(tmp_path: Path) -> None:
    trial = engine(grouped.Grouped, tmp_path).attempt(Outage((9_999,)))
    assert trial.fired == 0 and trial.idle == "no thread had to wait for another"


# --- on a certificate -----------------------------------------------------------------------------


def test_the_line_that_wrote_what_is_lost_is_told_and_can_be_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_runs(monkeypatch)
    certificate = certified(spec("AnswersForLater", "grouped.py"), "power-loss-threads")
    [finding] = certificate.findings
    assert verdicts(certificate) == {"power_loss": Verdict.FAIL}
    assert (finding.kind, finding.claim, finding.confirmed) == ("lost_acknowledged", "power_loss", True)
    assert finding.call_site is not None and finding.call_site.function == "Followed.write"
    assert happens_again(certificate, tmp_path)


def test_a_sound_group_commit_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    small_runs(monkeypatch)
    certificate = certified(spec("Grouped", "grouped.py"), "power-loss-threads")
    [row] = certificate.evidence
    assert (row.verdict, certificate.findings) == (Verdict.PASS, ()) and row.faults_fired


def test_where_one_client_works_at_a_time_there_is_nothing_to_try(monkeypatch: pytest.MonkeyPatch) -> None:
    small_runs(monkeypatch)
    alone = "store_under_test.defective.n3_torn_line_is_cut:Adapter"
    certificate = certified(alone, "power-loss", "power-loss-threads")
    assert verdicts(certificate) == {"power_loss": Verdict.PASS}
    assert certificate.not_exercised == ("power-loss-threads: the contract lets one client work at a time",)
