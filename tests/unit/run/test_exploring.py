"""All crash states of one trace: which violations are kept, and when the search ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import DOCUMENT, KEY_VALUE, LOG, AppendMany, Delete, Put
from harness.core.persistence import MAX_LOSS, PROCESS_CRASH, STRICT, PersistenceModel
from harness.core.trace import CallSite, Trace, empty_image
from harness.core.verdict import Verdict
from harness.core.workload import Workload
from harness.crash.losses import Losses
from harness.crash.states import Counts, Knowledge
from harness.judge.classify import Violation
from harness.record import uninstall
from harness.run.exploring import (
    INTERRUPTIONS,
    Antichain,
    Explored,
    Found,
    Plan,
    merge_counts,
    spare_operations,
)
from tests.stores import hostile
from tests.stores.conduct import certified, reasons, small_runs, spec
from tests.stores.followed import OneByOne
from tests.stores.honest import InPlace, NoSync, Sound
from tests.stores.local import Local

KILL = Plan(PROCESS_CRASH, "process_crash", ("acknowledged",))
KILLS = ("process-crash", "process-crash-recovery")
POWER = Plan(STRICT, "power_loss", ("acknowledged",))
BATCH = AppendMany(("one", "two"))
WORKLOAD = Workload("short-0", (Put("a", "1"), Put("a", "2")))


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    small_runs(monkeypatch)
    yield
    uninstall()


def explored(adapter: Any, folder: Path, plan: Plan, workload: Workload = WORKLOAD, **more: Any) -> Explored:
    local = Local(adapter, folder)
    [result] = local.explore([local.job(workload, plan, **more)])
    return result


def kinds(result: Explored) -> set[tuple[str, bool]]:
    return {(found.violation.kind, found.inner is not None) for found in result.defects}


# --- where it is found ------------------------------------------------------------------------


@pytest.mark.parametrize("model", [PROCESS_CRASH, STRICT, MAX_LOSS])
def test_half_a_batch_is_blamed_on_what_was_written(model: PersistenceModel, tmp_path: Path) -> None:
    """Where all that is unsynced is lost it shows after the sync only, and is the same defect."""
    claim = "process_crash" if model is PROCESS_CRASH else "power_loss"

    result = explored(OneByOne, tmp_path, Plan(model, claim, ("acknowledged",)), Workload("short-0", (BATCH,)))

    sites = {(found.violation.kind, found.site and found.site.function) for found in result.defects}
    assert sites == {("torn_operation", "Followed.write")}


# --- what is found ----------------------------------------------------------------------------


def test_a_kill_between_truncation_and_write_is_found(tmp_path: Path) -> None:
    """With the line that was at work, and the content of the disk that recovery failed on."""
    result = explored(InPlace, tmp_path, KILL)

    [found] = result.defects
    assert (found.violation.kind, found.model) == ("cannot_open", "process-crash")
    assert found.site is not None and found.site.function == "InPlace.write"
    assert [node.content for node in found.image.nodes.values()][1:] == [b""]
    assert result.tallies["process-crash"].first.crash_points > 5


def test_a_sound_store_shows_nothing(tmp_path: Path) -> None:
    """Under any model, and the search is exhausted."""
    for plan in (KILL, POWER):
        folder = tmp_path / plan.claim
        folder.mkdir()
        result = explored(Sound, folder, plan, samples=2)
        assert not result.found
        assert result.tallies[plan.model.name].first.exhausted
        assert len(result.samples) == 2 and all(sample.matches for sample in result.samples)


def test_a_missing_sync_names_the_call_that_was_lost(tmp_path: Path) -> None:
    """Under strict the first of what was lost; under maximum loss the last."""
    for model in (STRICT, MAX_LOSS):
        folder = tmp_path / model.name
        folder.mkdir()
        result = explored(NoSync, folder, Plan(model, "power_loss", ("acknowledged",)))
        assert result.defects and all(found.losses.damaged for found in result.defects)
        assert all(found.site is not None and "honest.py" in found.site.file for found in result.defects)


# --- crashes during recovery ------------------------------------------------------------------


def test_a_second_crash_during_recovery_is_found() -> None:
    """With what led to it; a first crash alone shows nothing."""
    certificate = certified(spec("RepairsBadly", "honest.py"), *KILLS)

    assert [row.verdict for row in certificate.evidence] == [Verdict.PASS, Verdict.FAIL]
    assert {finding.scenario for finding in certificate.findings} == {"process-crash-recovery"}
    for finding in certificate.findings:
        assert finding.confirmed and "again while the store recovers" in finding.summary
        assert finding.operations[-1] == "<crash during recovery>"
        assert finding.story is not None and "While it recovered from a first crash" in finding.story.called
        assert "crash" in {item.marker for item in finding.story.timeline}


def test_a_recovery_that_writes_soundly_shows_nothing() -> None:
    """However often it is interrupted."""
    certificate = certified(spec("Tidy", "honest.py"), "power-loss", "power-loss-recovery")

    assert certificate.verdict is Verdict.PASS and not certificate.findings
    assert certificate.evidence[1].bounds["recoveries_that_wrote"] > 0


@pytest.mark.parametrize(
    ("store", "reason"), [("Maps", "mapped for writing"), ("Tires", "the recovery could not be recorded")]
)
def test_a_recovery_that_cannot_be_recorded_is_unknown(store: str, reason: str) -> None:
    """What the recorder did not see, nobody can crash."""
    certificate = certified(spec(store), *KILLS)

    assert [row.verdict for row in certificate.evidence] == [Verdict.PASS, Verdict.UNKNOWN]
    assert reason in reasons(certificate)


# --- when the search ends ---------------------------------------------------------------------


def test_a_hang_ends_the_search_under_its_model(tmp_path: Path) -> None:
    """It costs the time limit; the next model begins anew, and the hang itself is a finding of both."""
    local = Local(Sound, tmp_path)
    job = local.job(WORKLOAD, KILL, interrupted=((2, "hang", "opening the store did not return (...)"),))
    explorer = local.explorer(job)

    result = explorer.run()

    assert kinds(result) == {("hang", False)}
    assert result.recoveries == 2 and not result.tallies["process-crash"].first.exhausted


def test_processes_that_end_are_fewer_than_all(tmp_path: Path) -> None:
    """After some the rest under this model is left out."""
    local = Local(Sound, tmp_path)
    ends = tuple((unit, "cannot_open", "opening the store ended its process") for unit in range(1, 9))

    result = local.explorer(local.job(WORKLOAD, KILL, interrupted=ends)).run()

    assert kinds(result) == {("cannot_open", False)}
    assert result.recoveries == INTERRUPTIONS


def test_the_search_can_end_at_the_first_violation_of_a_kind(tmp_path: Path) -> None:
    """Other models are not tried then."""
    folders = [tmp_path / "all", tmp_path / "first"]
    for folder in folders:
        folder.mkdir()
    everything = explored(InPlace, folders[0], KILL)
    [found] = everything.defects

    local = Local(InPlace, folders[1])
    job = local.job(WORKLOAD, KILL, stop_at_first=(found.violation.kind, str(found.site)))
    result = local.explorer(job).run()

    assert result.recoveries < everything.recoveries
    assert not result.tallies["process-crash"].first.exhausted


def test_after_a_violation_only_some_more_states_are_tried(tmp_path: Path) -> None:
    """As many as the job says."""
    result = explored(InPlace, tmp_path, KILL, after_violation=1)

    assert result.found and not result.tallies["process-crash"].first.exhausted


# --- values -----------------------------------------------------------------------------------


def violation(*lost: int, event: int = 9, line: int = 1, torn: tuple[int, ...] = ()) -> Found:
    site = CallSite("store.py", line, "write")
    losses, what = Losses(frozenset(lost), frozenset(torn)), Violation("phantom", "it")
    return Found(
        *("strict", "power_loss", "acknowledged", what, "short-0", event, Knowledge(), losses, site),
        *(empty_image(), None, ()),
    )


def test_the_smallest_sets_of_losses_are_kept() -> None:
    """What contains another says nothing new; of equal ones the easiest to understand stays."""
    chain = Antichain()
    for found in (violation(1, 2), violation(1), violation(1, 3), violation(2), violation(2, event=5)):
        chain.add(found)

    assert sorted((sorted(found.losses.lost), found.event) for found in chain) == [([1], 9), ([2], 5)]


def test_what_fails_without_any_loss_needs_none() -> None:
    """Of one line the first crash point; another line is another defect."""
    chain = Antichain()
    for found in (violation(event=4), violation(event=3), violation(3, event=3), violation(event=4, line=2)):
        chain.add(found)

    assert sorted((found.event, found.site and found.site.line) for found in chain) == [(3, 1), (4, 2)]


def test_torn_calls_and_nested_crashes_are_harder_to_understand() -> None:
    """Fewer torn calls come first, and a plain crash before one during recovery."""
    assert violation(1).rank < violation(torn=(1,)).rank < violation(1, 2).rank


def test_counts_add_up() -> None:
    """The whole is exhausted only if all parts were."""
    total = Counts()
    merge_counts(total, Counts(3, 2, 1, exhausted=True, pending_most=4))
    assert total.exhausted
    merge_counts(total, Counts(1, 1, 1, exhausted=False, pending_most=2))

    assert (total.generated, total.distinct, total.crash_points, total.pending_most) == (4, 3, 2, 4)
    assert not total.exhausted


def test_there_is_always_something_to_go_on_with() -> None:
    """New values for the models of ours; for others what worked before."""
    trace = Trace(empty_image(), (), (Put("a", "1"), Delete("a"), Put("b", "2")), "", errors={0: "no"})
    assert all(len(spare_operations(model, trace)) == 2 for model in (KEY_VALUE, DOCUMENT, LOG))
    assert spare_operations(hostile.Counter(), trace) == (Delete("a"), Put("b", "2"))
