"""Scenarios of live faults as a whole: which workloads, which promises, and what the evidence says."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import Contract, UsageError
from harness.core.scenario import Scenario
from harness.core.verdict import Verdict
from harness.core.workload import Workload
from harness.explore.workloads import Workloads
from harness.run.campaign import Silent
from harness.run.live.campaign import LiveFaults, chosen_workloads, promises
from harness.run.live.engines import ENGINES
from harness.run.live.values import TrialsJob, Tried
from harness.run.options import LiveExtent, Options
from harness.run.replaying import replay
from tests.stores.conduct import LIMIT_S, certified, small_runs, spec, verdicts
from tests.unit.run.live.fakes import NAME, Here, Nudge, kind_of_engine, puts

NUDGING = Scenario(
    name="nudging",
    claim="io_error",
    tries="nudge it",
    faults=("nudges",),
    family="short",
    minimum_operations=2,
    engine=NAME,
)


def made(*counts: int) -> Workloads:
    return Workloads(tuple(puts(count) for count in counts), (puts(20),), (puts(30),), 1, 1)


def evidence(
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    work: Workloads | None = None,
    broken: Callable[[Workload, Nudge], str] = lambda workload, fault: "",
    **changes: Any,
) -> Any:
    monkeypatch.setitem(ENGINES, NAME, kind_of_engine(broken=broken, **changes))
    live = LiveFaults(Here(directory), (NUDGING,), Contract(), Silent())  # type: ignore[arg-type]
    live.run(work or made(3, 2))
    return live, live.evidence()[0] if live.evidence() else None


def test_evidence_counts_what_was_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live, row = evidence(tmp_path, monkeypatch, idle=(1,))
    assert row.verdict is Verdict.PASS and row.exhausted and row.deterministic
    workloads = row.workloads
    assert (row.faults_fired, row.states_judged) == (9 * workloads, 10 * workloads)
    assert row.bounds["faults_that_never_fired"] == workloads
    assert sum(live.struck().values()) == 2 * 9 * workloads


def test_what_is_broken_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live, row = evidence(tmp_path, monkeypatch, broken=lambda workload, fault: "lost_acknowledged")
    assert row.verdict is Verdict.FAIL
    assert {found.key[0] for series in live.series for found in series.found} == {"lost_acknowledged"}


def test_what_proves_nothing_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults that never fired, workloads that were refused, that did too little, or of which nothing is known."""
    _, row = evidence(tmp_path, monkeypatch, idle=tuple(range(10)))
    assert row.verdict is Verdict.UNKNOWN and "nothing that it could have struck" in row.reasons[0]
    _, row = evidence(tmp_path, monkeypatch, refused="it would not")
    assert row.verdict is Verdict.UNKNOWN and row.reasons == ("no fault fired: it would not",)
    assert row.bounds["workloads_refused"] == row.workloads and not row.exhausted
    _, row = evidence(tmp_path, monkeypatch, Workloads((puts(1),), (), (), 1, 1))
    assert row.verdict is Verdict.UNKNOWN and row.reasons == ("no workload carried out 2 operations",)
    _, row = evidence(tmp_path, monkeypatch, unknown="who can say")
    assert row.verdict is Verdict.UNKNOWN and row.reasons == ("who can say",)


def test_without_time_or_work_nothing_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES, NAME, kind_of_engine())
    late = LiveFaults(Here(tmp_path, out_of_time=True), (NUDGING,), Contract(), Silent())  # type: ignore[arg-type]
    late.run(made(2))
    assert late.out_of_time and late.evidence()[0].verdict is Verdict.UNKNOWN
    left_out = "out of time: the 900 s of the profile standard were up before any of these faults was tried"
    assert late.evidence()[0].reasons == (left_out,)
    _, row = evidence(tmp_path, monkeypatch, Workloads((), (), (), 1, 1))
    assert row is None


def test_a_workload_that_takes_too_long_is_cut_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One fault was tried on each before the clock, here one that jumps, was past the limit; what held still holds."""
    monkeypatch.setattr("harness.run.live.explorer.time.perf_counter", itertools.count(0, 200.0).__next__)
    _, row = evidence(tmp_path, monkeypatch)
    assert row.verdict is Verdict.PASS and not row.exhausted
    told = f"were up before all faults were tried on {row.workloads} of {row.workloads} workloads"
    assert row.reasons == (f"out of time: the 225 s for one workload (of the 900 s of the profile standard) {told}",)


def test_a_scenario_that_was_begun_in_time_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All jobs are in one queue; those of a scenario whose turn comes too late are left out, all of them."""
    monkeypatch.setitem(ENGINES, NAME, kind_of_engine())
    second = dataclasses.replace(NUDGING, name="nudging again")
    here = Here(tmp_path)
    live = LiveFaults(here, (NUDGING, second), Contract(), Silent())  # type: ignore[arg-type]
    give = here.try_faults

    def until_the_first_is_done(jobs: Iterable[TrialsJob], *, resumable: bool = False) -> list[Tried]:
        def given() -> Iterator[TrialsJob]:
            for job in jobs:
                here.out_of_time = True
                yield job

        return give(given(), resumable=resumable)

    monkeypatch.setattr(Here, "try_faults", lambda self, *jobs, **more: until_the_first_is_done(*jobs, **more))
    live.run(made(3, 2))
    assert [row.verdict for row in live.evidence()] == [Verdict.PASS, Verdict.UNKNOWN]
    assert [len(series.tried) for series in live.series] == [len(live.series[0].jobs), 0]


def test_evidence_says_how_many_cycles_there_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, row = evidence(tmp_path, monkeypatch)
    assert "cycles_of_each" not in row.bounds
    _, row = evidence(tmp_path, monkeypatch, cycles=48)
    assert row.bounds["cycles_of_each"] == 48


def test_a_note_stands_beside_the_evidence_and_decides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the evidence is undecided it would look like one of the reasons: then it is the certificate's."""
    learns: dict[str, Any] = {"follows": True, "watches": True, "said": ("a word",)}
    live, row = evidence(tmp_path, monkeypatch, **learns)
    assert (row.verdict, row.reasons, live.notes) == (Verdict.PASS, ("a word",), ())
    assert row.bounds["lock_orders"] == 1
    live, row = evidence(tmp_path, monkeypatch, broken=lambda workload, fault: "deadlock", **learns)
    assert row.verdict is Verdict.FAIL and row.reasons == ("broken in 1 way", "a word")
    live, row = evidence(tmp_path, monkeypatch, unknown="who can say", idle=(1,), **learns)
    assert (row.verdict, row.reasons, live.notes) == (Verdict.UNKNOWN, ("who can say",), ("a word",))


def test_only_promises_are_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A survey tries them all, the strongest first."""
    monkeypatch.setitem(ENGINES, NAME, kind_of_engine())
    live = LiveFaults(Here(tmp_path), (NUDGING,), Contract(io_error=None), Silent())  # type: ignore[arg-type]
    live.run(made(2))
    assert live.evidence() == ()
    assert promises(Contract(io_error=None), survey=True)["io_error"] == ("fails_cleanly",)
    options = Options(survey=True)
    surveying = LiveFaults(Here(tmp_path, options), (NUDGING,), Contract(io_error=None), Silent())  # type: ignore[arg-type]
    surveying.run(made(2))
    assert surveying.evidence()[0].verdict is Verdict.PASS


def test_an_engine_that_can_try_only_some_promises_tries_the_weakest_in_a_survey(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would do the same for each. One that has nothing to strike for a promise that no other tried stays."""
    scenario = dataclasses.replace(NUDGING, claim="corruption", minimum_operations=1)
    other = dataclasses.replace(scenario, name="other", engine="other")
    monkeypatch.setitem(ENGINES, NAME, kind_of_engine(promises=("repaired", "detected")))
    monkeypatch.setitem(ENGINES, "other", kind_of_engine(promises=("repaired",), idle=tuple(range(10))))

    def tried(options: Options) -> LiveFaults:
        contract = Contract(corruption="repaired")
        live = LiveFaults(Here(tmp_path, options), (scenario, other), contract, Silent())  # type: ignore[arg-type]
        live.run(made(2))
        return live

    surveyed = tried(Options(survey=True))
    assert [(series.scenario.name, series.promise) for series in surveyed.series] == [
        ("nudging", "detected"),
        ("other", "repaired"),
    ]
    assert [series.concluded()[0] for series in surveyed.series] == [Verdict.PASS, Verdict.UNKNOWN]
    certified = tried(Options())
    assert [(series.scenario.name, series.promise) for series in certified.series] == [("nudging", "repaired")]
    assert certified.not_exercised == ["other: there was nothing for it to strike"]


def test_what_is_thorough_is_left_out_where_there_is_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And told of as not exercised; the claim stays with the other scenarios. Who asks for it by name gets it."""
    monkeypatch.setitem(ENGINES, NAME, kind_of_engine())
    thorough = dataclasses.replace(NUDGING, name="thorough", thorough=True)

    def tried(options: Options) -> LiveFaults:
        live = LiveFaults(Here(tmp_path, options), (NUDGING, thorough), Contract(), Silent())  # type: ignore[arg-type]
        live.run(made(2))
        return live

    quick = tried(Options(profile="quick"))
    assert [row.scenario for row in quick.evidence()] == ["nudging"]
    assert quick.not_exercised == ["thorough: not part of the profile quick"]
    assert [row.scenario for row in tried(Options()).evidence()] == ["nudging", "thorough"]
    named = tried(Options(profile="quick", scenarios=("thorough",)))
    assert "thorough" in [row.scenario for row in named.evidence()] and not named.not_exercised


def test_what_judges_failing_calls_needs_a_promise_about_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES, NAME, kind_of_engine(needs_io_error=True))
    scenario = dataclasses.replace(NUDGING, claim="process_crash")
    live = LiveFaults(Here(tmp_path), (scenario,), Contract(io_error=None), Silent())  # type: ignore[arg-type]
    live.run(made(2))
    assert live.evidence() == ()
    assert live.not_exercised == ["nudging: the contract promises nothing about calls that fail"]


def test_workloads_are_the_longest_short_ones_and_some_of_the_others() -> None:
    extent = LiveExtent(2, 1, large=True, faults=9)
    chosen = chosen_workloads(made(1, 2, 3, 4), extent)
    assert [len(work.steps) for work in chosen] == [4, 3, 20, 30]
    extent = dataclasses.replace(extent, short=9, long=0, large=False)
    assert [len(work.steps) for work in chosen_workloads(made(1, 2), extent)] == [2]
    assert [len(work.steps) for work in chosen_workloads(made(1), extent)] == [1]


def test_workloads_that_change_nothing_are_chosen_last() -> None:
    """There is nothing in them that a fault could strike; where there are no others they are better than none."""
    extent = LiveExtent(2, 0, large=False, faults=9)
    idle = dataclasses.replace(puts(3), name="idle")
    found = dataclasses.replace(made(1, 2), short=(puts(1), idle), idle=frozenset({"idle"}))
    assert chosen_workloads(found, extent) == [puts(1)]
    assert chosen_workloads(dataclasses.replace(found, short=(idle,)), extent) == [idle]


# --- with real workers --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The certificate of a store that believes what parses, as JSON."""
    with pytest.MonkeyPatch.context() as patch:
        small_runs(patch)
        return certified(spec("Trusting", "damaged.py"), "damage").to_json()


def test_damage_that_goes_unnoticed_is_a_finding(document: dict[str, Any]) -> None:
    """At the line that read the damaged bytes, with as few operations as it takes."""
    (finding,) = document["findings"]
    assert (finding["kind"], finding["claim"], finding["scenario"]) == ("silent_corruption", "corruption", "damage")
    assert finding["call_site"]["function"] == "Trusting.snapshot"
    assert len(finding["operations"]) == 3
    assert document["evidence"][-1]["faults_fired"] > 10


def test_a_finding_by_damage_happens_again(
    document: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the certificate alone; the damaged directory is there to look into."""
    file, name = tmp_path / "c.json", document["findings"][0]["id"]
    file.write_text(json.dumps(document))
    result = replay(file, name, tmp_path / "state", Options(jobs=1, time_limit_s=LIMIT_S))
    assert result.again and result.seen.startswith("silent_corruption: ")
    assert str(result.call_site) == str(result.finding.call_site)
    assert (tmp_path / "state" / "pairs").exists()


def test_a_damaged_counterexample_is_told(document: dict[str, Any], tmp_path: Path) -> None:
    finding = document["findings"][0]
    example = finding["counterexample"]
    for edited in ({**example, "engine": "steam"}, {**example, "fault": 3, "seed": "x"}, {"engine": "damage"}):
        file = tmp_path / "c.json"
        file.write_text(json.dumps({**document, "findings": [{**finding, "counterexample": edited}]}))
        with pytest.raises(UsageError, match=r"is damaged|does not name an adapter"):
            replay(file, finding["id"], tmp_path / "state", Options(jobs=1, time_limit_s=LIMIT_S))


def test_a_store_that_reports_damage_is_certified(monkeypatch: pytest.MonkeyPatch) -> None:
    small_runs(monkeypatch)
    certificate = certified(spec("Checking", "damaged.py"), "damage", "rollback")
    assert verdicts(certificate) == {"corruption": Verdict.PASS}
    assert certificate.findings == ()


@pytest.mark.parametrize(
    ("essential", "tested", "stays"), [(False, {"io_error"}, False), (True, {"io_error"}, True), (False, set(), True)]
)
def test_a_mechanism_that_strikes_nothing_leaves_the_claim_to_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, essential: bool, tested: set[str], stays: bool
) -> None:
    """Unless there are none, or it is the one that matters: then the claim stays open."""
    monkeypatch.setitem(ENGINES, NAME, dataclasses.replace(kind_of_engine(count=0), essential=essential))
    live = LiveFaults(Here(tmp_path), (NUDGING,), Contract(), Silent())  # type: ignore[arg-type]

    live.run(made(3, 2), tested)

    assert [row.verdict for row in live.evidence()] == ([Verdict.UNKNOWN] if stays else [])
    assert any("nudging" in text for text in live.not_exercised) is not stays
