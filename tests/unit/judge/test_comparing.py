"""Two certificates of one store: each kind of regression is told, and nothing else is taken for one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from harness import UsageError
from harness.core.comparison import Weight
from harness.core.evidence import Certificate, Finding, certificate_from_json
from harness.core.trace import CallSite
from harness.core.verdict import Verdict
from harness.judge.comparing import Tolerance, compare
from harness.judge.comparing.promises import at_least
from tests.golden.sample import SAMPLES, failing, passing, unknown
from tests.unit.judge.compared import (
    CONTRACT,
    IMPROVEMENT,
    NOTE,
    REGRESSION,
    UNDECIDED,
    compared,
    full,
    later,
    only,
    told,
    with_claim,
    with_cost,
    with_evidence,
)

# --- nothing to tell ----------------------------------------------------------------------------


@pytest.mark.parametrize("sample", SAMPLES)
def test_equal_certificates_have_no_regression(sample: str) -> None:
    """Other times, durations and ids of findings are no difference, whatever the verdict is."""
    old = SAMPLES[sample]()
    findings = tuple(
        dataclasses.replace(item, id=f"{item.id}-again", seconds_to_find=77.0, replay="") for item in old.findings
    )
    evidence = tuple(dataclasses.replace(row, seconds=row.seconds + 5) for row in old.evidence)
    new = dataclasses.replace(old, issued_at="2027", seconds=5.0, findings=findings, evidence=evidence)

    comparison = compare(old, new)

    assert comparison.verdict is Verdict.PASS and {change.weight for change in comparison.changes} <= {NOTE}
    assert [row.status for row in comparison.findings] == ["ongoing"] * len(findings)


def test_everything_equal_says_nothing_at_all() -> None:
    """With costs and coverage on both; every cost is in the table."""
    comparison = compared()

    assert comparison.changes == () and comparison.verdict is Verdict.PASS
    assert [row.weight for row in comparison.costs] == [NOTE] * 4


def test_a_certificate_that_was_just_issued_equals_its_file() -> None:
    """Tuples and lists are the same sequence."""
    models = {"strict": {"assumptions": ("a", "b"), "torn": "page"}}
    old = dataclasses.replace(full(), models=models, contract={**CONTRACT, "errors": ("OSError",)})
    read = certificate_from_json(json.loads(json.dumps(old.to_json())), "it")
    assert compare(old, read).changes == compare(read, old).changes == ()


def test_another_store_is_no_comparison() -> None:
    with pytest.raises(UsageError, match="different stores, 'metrics' and 'lmdb'"):
        compare(passing(), unknown())


# --- claims and contract ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "now", "weight"),
    [
        (Verdict.PASS, Verdict.FAIL, REGRESSION),
        (Verdict.UNKNOWN, Verdict.FAIL, REGRESSION),
        (Verdict.PASS, Verdict.UNKNOWN, UNDECIDED),
        (Verdict.FAIL, Verdict.UNKNOWN, UNDECIDED),
        (Verdict.FAIL, Verdict.PASS, IMPROVEMENT),
        (Verdict.UNKNOWN, Verdict.PASS, IMPROVEMENT),
        (Verdict.FAIL, Verdict.FAIL, NOTE),
        (Verdict.UNKNOWN, Verdict.UNKNOWN, NOTE),
    ],
)
def test_claims_that_are_judged_otherwise(before: Verdict, now: Verdict, weight: Weight) -> None:
    """A claim that holds no longer is a regression, one that is not decided any more is undecided."""
    old = dataclasses.replace(full(), claims=with_claim("corruption", verdict=before))
    change = only(compared(old, claims=with_claim("corruption", verdict=now, reasons=("so it is",))), weight)

    assert change.area == "claims" and change.subject == "corruption"
    assert ("so it is" in change.sentence) == (now is not Verdict.PASS and before is not now)


def test_a_claim_that_is_gone_and_one_that_is_new() -> None:
    """Not judged any more is a regression; a new claim that is broken may have been broken before."""
    fewer = tuple(claim for claim in full().claims if claim.claim != "writers")
    gone = only(compared(claims=fewer), REGRESSION)
    assert gone.subject == "writers" and "the contract promises it" in gone.sentence

    old = dataclasses.replace(full(), claims=fewer)
    for verdict, weight in zip(Verdict, (IMPROVEMENT, UNDECIDED, UNDECIDED), strict=True):
        assert only(compared(old, claims=with_claim("writers", verdict=verdict)), weight).subject == "writers"


@pytest.mark.parametrize(
    ("name", "now", "weight"),
    [
        ("process_crash", "synced", REGRESSION),
        ("power_loss", "prefix", REGRESSION),
        ("corruption", "repaired", IMPROVEMENT),
        ("writers", "one", REGRESSION),
        ("writers", "processes", IMPROVEMENT),
        ("rollback", "detected", IMPROVEMENT),
        ("io_error", None, REGRESSION),
        ("writers", "many", UNDECIDED),
        ("power_loss_models", ["strict"], REGRESSION),
        ("power_loss_models", ["strict", "ext4", "btrfs"], IMPROVEMENT),
        ("errors", ["OSError", "FileNotFoundError"], NOTE),
        ("errors", ["OSError", "ValueError"], REGRESSION),
        ("errors", ["OSError", "StoreError"], UNDECIDED),
        ("errors", ["FileNotFoundError"], NOTE),
    ],
)
def test_promises_that_are_other_ones(name: str, now: Any, weight: Weight) -> None:
    """Weaker is a regression, stronger an improvement, and what can't be ranked is undecided."""
    change = only(compared(contract={**CONTRACT, name: now}), weight)

    assert change.area == "contract"
    assert compared(contract={**CONTRACT, name: now}).of(REGRESSION) == ((change,) if weight is REGRESSION else ())


def test_errors_that_were_everything_cover_whatever_comes() -> None:
    """`Exception` is what the contract names where it names nothing."""
    for wide in ("Exception", "BaseException"):
        old = dataclasses.replace(full(), contract={**CONTRACT, "errors": [wide]})
        change = only(compared(old, contract={**CONTRACT, "errors": ["StoreError", "KeyError"]}), NOTE)
        assert change.subject == "errors"


def test_a_promise_that_is_gone_is_told_once() -> None:
    """Its scenarios are not told as missing: there is nothing to try."""
    comparison = compared(
        contract={**CONTRACT, "corruption": None},
        claims=tuple(claim for claim in full().claims if claim.claim != "corruption"),
        evidence=tuple(row for row in full().evidence if row.claim != "corruption"),
    )

    assert [change.area for change in comparison.of(REGRESSION)] == ["contract", "claims"]
    assert "promised no longer" in told(comparison, REGRESSION, "claims")[0]


def test_a_model_of_the_same_name_that_is_set_otherwise() -> None:
    """Which of the two loses more, names do not tell."""
    models = {**full().models, "ext4": {"torn": "page"}}
    assert "ext4" in only(compared(models=models), UNDECIDED).sentence


def test_a_claim_of_no_contract_word_can_be_told_but_not_ranked() -> None:
    """Claims that others add, like limits, promise something in their own words."""
    first = full().claims[0]
    old = dataclasses.replace(full(), claims=(dataclasses.replace(first, claim="limits", promised="3 limits"),))
    comparison = compared(old, claims=(dataclasses.replace(first, claim="limits", promised="2 limits"),))

    assert only(comparison, UNDECIDED).subject == "limits"


def limited(**bounds: float) -> dict[str, Any]:
    rows = [{"metric": name, "sense": "at most", "limit": bound, "verdict": "pass"} for name, bound in bounds.items()]
    return {"limits": [*rows, {"metric": "unreadable"}]}


@pytest.mark.parametrize(
    ("bounds", "weight"),
    [
        ({"p99": 5.0}, None),
        ({"p99": 6.0}, REGRESSION),
        ({"p99": 4.0}, IMPROVEMENT),
        ({}, REGRESSION),
        ({"p99": 5.0, "p50": 1.0}, IMPROVEMENT),
    ],
)
def test_limits_that_are_looser_or_gone(bounds: dict[str, float], weight: Weight | None) -> None:
    """A limit is a promise; what was measured against it is no subject of a comparison."""
    old = dataclasses.replace(full(), measurements=limited(p99=5.0))
    comparison = compared(old, measurements=limited(**bounds))

    assert [change.weight for change in comparison.changes] == ([weight] if weight else [])


def test_the_number_of_limits_is_no_promise_of_its_own() -> None:
    """Where each limit is known, "2 limits" after "3 limits" is not told as well."""
    first = dataclasses.replace(full().claims[0], claim="limits", promised="2 limits")
    old = dataclasses.replace(full(), claims=(first,), measurements=limited(p99=5.0, p50=1.0))
    comparison = compared(
        old, claims=(dataclasses.replace(first, promised="1 limit"),), measurements=limited(p99=5.0)
    )
    assert only(comparison, REGRESSION).subject == "p50" and comparison.of(UNDECIDED) == ()


@pytest.mark.parametrize(
    ("claim", "promised", "wanted", "enough"),
    [
        ("power_loss", "acknowledged", "synced", True),
        ("power_loss", "prefix", "synced", False),
        ("power_loss", None, "prefix", False),
        ("writers", "often", "one", None),
        ("limits", "3 limits", "3 limits", True),
    ],
)
def test_promises_have_an_order(claim: str, promised: str | None, wanted: str, enough: bool | None) -> None:
    assert at_least(claim, promised, wanted) is enough


# --- findings -----------------------------------------------------------------------------------


def moved(finding: Finding, lines: int) -> Finding:
    """The same defect, further down in its file."""
    assert finding.call_site and finding.story and finding.story.source
    source = finding.story.source
    source = dataclasses.replace(source, line=source.line + lines, first=source.first + lines)
    return dataclasses.replace(
        finding,
        id="another",
        call_site=dataclasses.replace(finding.call_site, line=finding.call_site.line + lines, file="lib/metrics.py"),
        story=dataclasses.replace(finding.story, source=source),
    )


def edited(finding: Finding, text: str) -> Finding:
    """The defect with another text in its line."""
    assert finding.story and finding.story.source
    source = finding.story.source
    lines = list(source.lines)
    lines[source.line - source.first] = text
    source = dataclasses.replace(source, lines=tuple(lines))
    return dataclasses.replace(finding, story=dataclasses.replace(finding.story, source=source))


def statuses(old: tuple[Finding, ...], new: tuple[Finding, ...]) -> list[str]:
    before = dataclasses.replace(failing(), findings=old)
    return [row.status for row in compare(before, dataclasses.replace(before, findings=new)).findings]


def test_a_new_finding_is_a_regression() -> None:
    """Together with the claim and the evidence that it breaks."""
    lost = failing().findings[0]
    comparison = compared(
        claims=with_claim("power_loss", verdict=Verdict.FAIL),
        evidence=with_evidence("power-loss", "strict", verdict=Verdict.FAIL),
        findings=(lost,),
    )

    assert [change.area for change in comparison.of(REGRESSION)] == ["claims", "findings", "evidence"]
    assert [row.status for row in comparison.findings] == ["new"]
    assert "src/dashboard/metrics.py:61" in told(comparison, REGRESSION, "findings")[0]


def test_a_finding_that_moved_is_ongoing() -> None:
    """Ten lines further down, in another folder, with another id: the same."""
    lost = failing().findings[0]
    assert statuses((lost,), (moved(lost, 10),)) == ["ongoing"]


def test_a_finding_whose_line_was_edited_is_ongoing_and_another_line_is_not() -> None:
    """Most of the text has to be the same; the same words in another function are another finding."""
    lost = failing().findings[0]
    assert lost.call_site
    elsewhere = dataclasses.replace(lost, call_site=dataclasses.replace(lost.call_site, function="_other"))

    assert statuses((lost,), (edited(lost, "os.replace(temporary, path, src_dir_fd=None)"),)) == ["ongoing"]
    assert statuses((lost,), (edited(lost, "shutil.move(str(self._new_name()), target)"),)) == ["new", "mended"]
    assert statuses((lost,), (elsewhere,)) == ["new", "mended"]
    assert statuses((lost,), (dataclasses.replace(lost, kind="phantom"),)) == ["new", "mended"]


def test_of_equal_lines_the_nearest_are_the_same() -> None:
    """Two findings in equal lines of a function, of which one is mended: the other is ongoing."""
    lost = failing().findings[0]
    before = (moved(lost, 0), moved(lost, 40))
    assert statuses(before, (moved(lost, 42),)) == ["ongoing", "mended"]
    assert statuses((moved(lost, 0),), before) == ["ongoing", "new"]


def test_without_the_text_of_the_line_the_place_decides() -> None:
    """Certificates need not carry stories; the source in the fault coverage serves as well."""
    lost = dataclasses.replace(failing().findings[0], story=None)
    assert statuses((lost,), (lost,)) == ["ongoing"]

    without = [dataclasses.replace(lost, call_site=CallSite("src/store.py", n, "save")) for n in (3, 4)]
    old = dataclasses.replace(full(), findings=(without[0],))
    rows = compare(old, later(findings=(without[1],))).findings
    assert [row.status for row in rows] == ["new", "mended"]


def test_findings_without_a_place_are_known_by_what_they_break() -> None:
    placeless = dataclasses.replace(failing().findings[0], call_site=None)
    other = dataclasses.replace(placeless, scenario="kill")
    assert statuses((placeless,), (placeless,)) == ["ongoing"]
    assert statuses((placeless,), (other,)) == ["new", "mended"]


def test_what_is_new_but_not_sure_is_undecided() -> None:
    """Flaky, or of a claim that nobody tried before; with another search it may be old, and is told so."""
    lost = failing().findings[0]
    flaky = only(compared(findings=(dataclasses.replace(lost, confirmed=False),)), UNDECIDED)
    assert "fresh interpreter" in flaky.sentence

    never = only(compared(findings=(dataclasses.replace(lost, claim="rollback"),)), UNDECIDED)
    assert "rollback was not tried before" in never.sentence

    assert "may have missed it" in told(compared(findings=(lost,), seed=7), REGRESSION)[0]


def test_a_finding_is_mended_only_if_it_was_looked_for() -> None:
    """By the same scenario, which passed, or broke the claim in another way."""
    lost, swallowed = failing().findings
    old = dataclasses.replace(full(), findings=(lost,))
    assert only(compared(old), IMPROVEMENT).area == "findings"

    lines = tuple(row for row in full().evidence if row.scenario != "power-loss")
    assert "came to no result" in told(compared(old, evidence=lines), UNDECIDED)[0]

    merged = dataclasses.replace(full(), findings=(swallowed,))  # no evidence has the name of its scenario
    assert only(compared(merged), IMPROVEMENT).area == "findings"
    assert told(compared(merged, claims=with_claim("io_error", verdict=Verdict.UNKNOWN)), UNDECIDED, "findings") != []

    other = dataclasses.replace(swallowed, claim="power_loss", scenario="power-loss", confirmed=True)
    mended = compared(old, findings=(other,), evidence=with_evidence("power-loss", verdict=Verdict.FAIL))
    assert told(mended, IMPROVEMENT, "findings") != []


# --- evidence, scenarios, counts ----------------------------------------------------------------


def test_evidence_that_says_less() -> None:
    """PASS to UNKNOWN can't be decided, PASS to FAIL is a regression."""
    less = only(compared(evidence=with_evidence("kill", verdict=Verdict.UNKNOWN, reasons=("blind",))), UNDECIDED)
    assert less.sentence == "kill for process_crash under process-crash was PASS and is UNKNOWN: blind."

    assert only(compared(evidence=with_evidence("kill", verdict=Verdict.FAIL)), REGRESSION).area == "evidence"


def test_a_scenario_that_is_gone() -> None:
    """With the reason that the certificate gives; one model of it is told as such."""
    without = tuple(row for row in full().evidence if row.scenario != "bit-flip")
    change = only(compared(evidence=without, not_exercised=("bit-flip: no tool",)), REGRESSION)
    assert change.area == "scenarios" and "(bit-flip: no tool)" in change.sentence

    without = tuple(row for row in full().evidence if row.persistence_model != "ext4")
    assert only(compared(evidence=without), REGRESSION).subject == "power-loss for power_loss under ext4"


def test_a_model_that_is_promised_no_longer_is_told_by_the_contract_alone() -> None:
    without = tuple(row for row in full().evidence if row.persistence_model != "ext4")
    comparison = compared(evidence=without, contract={**CONTRACT, "power_loss_models": ["strict"]})
    assert only(comparison, REGRESSION).area == "contract"


def test_a_scenario_and_a_mechanism_that_are_new() -> None:
    without = tuple(row for row in full().evidence if row.scenario != "bit-flip")
    old = dataclasses.replace(full(), evidence=without)
    assert only(compared(old), IMPROVEMENT).subject == "bit-flip"
    assert only(compared(not_exercised=(*full().not_exercised, "strace: absent")), NOTE).subject == "strace"


@pytest.mark.parametrize(
    ("changes", "weight"),
    [
        ({"workloads": 7}, REGRESSION),
        ({"states_judged": 900, "exhausted": False}, REGRESSION),
        ({"faults_fired": 100, "exhausted": False}, REGRESSION),
        ({"states_judged": 900}, NOTE),
        ({"exhausted": False}, NOTE),
    ],
)
def test_less_that_was_tried(changes: dict[str, Any], weight: Weight) -> None:
    """Fewer workloads always count; fewer states and faults only where these were not all that there are."""
    change = only(compared(evidence=with_evidence("power-loss", "strict", **changes)), weight)
    assert change.area == "states and faults"


@pytest.mark.parametrize(
    "changes",
    [
        {"states_judged": 1_147, "exhausted": True},
        {"states_judged": 9_000, "faults_fired": 900, "workloads": 80},
        {"states_judged": 1, "deterministic": False},
    ],
)
def test_as_much_that_was_tried(changes: dict[str, Any]) -> None:
    """Within the tolerance, more than before, or left to chance."""
    assert compared(evidence=with_evidence("power-loss", "strict", **changes)).changes == ()


def test_after_a_violation_counts_say_nothing() -> None:
    """The search ends early then."""
    old = dataclasses.replace(full(), evidence=with_evidence("power-loss", verdict=Verdict.FAIL))
    new = with_evidence("power-loss", verdict=Verdict.FAIL, workloads=1, states_judged=1)
    assert compared(old, evidence=new).changes == ()


def test_the_tolerance_is_told_and_can_be_another() -> None:
    fewer = later(evidence=with_evidence("power-loss", "strict", workloads=7))
    comparison = compare(full(), fewer, Tolerance(effort_percent=20))
    assert comparison.changes == () and "up to 20 % fewer" in comparison.tolerances[0]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"profile": "quick"}, "profile"),
        ({"seed": 9}, "seed"),
        ({"environment": {**passing().environment, "harness": "9.9"}}, "version of the harness"),
    ],
)
def test_another_search_is_said_and_not_compared(changes: dict[str, Any], name: str) -> None:
    """Fewer states, struck sites and scenarios are no regression then, and the comparison is undecided."""
    fewer = with_evidence("power-loss", "strict", workloads=1)
    gone = tuple(row for row in fewer if row.scenario != "bit-flip")
    comparison = compared(evidence=gone, fault_coverage=None, coverage={}, **changes)

    assert comparison.verdict is Verdict.UNKNOWN
    assert [change.subject for change in comparison.of(UNDECIDED)] == [name, "bit-flip"]


@pytest.mark.parametrize("late", ["earlier", "later"])
def test_a_run_that_time_has_ended_is_no_measure(late: str) -> None:
    """A busy machine makes no regression: what was left out for want of time is undecided."""
    environment = {**passing().environment, "out_of_time": True}
    fewer = with_evidence("power-loss", "strict", workloads=1)
    old = dataclasses.replace(full(), environment=environment) if late == "earlier" else full()
    new = {"environment": environment} if late == "later" else {"environment": passing().environment}

    assert only(compared(old, evidence=fewer, **new), UNDECIDED).subject == f"time of the {late} run"


def test_counts_of_what_came_to_no_result_are_not_told_as_well() -> None:
    nothing = with_evidence("bit-flip", verdict=Verdict.UNKNOWN, workloads=0, faults_fired=0)
    assert [change.area for change in compared(evidence=nothing).changes] == ["evidence"]


def test_other_surroundings_are_noted() -> None:
    """Another Python or path of the adapter changes no verdict."""
    comparison = compared(adapter="elsewhere:Adapter", environment={**passing().environment, "python": "3.11.8"})
    assert [change.subject for change in comparison.of(NOTE)] == ["adapter", "version of Python"]
    assert comparison.verdict is Verdict.PASS


# --- the value ----------------------------------------------------------------------------------


def test_the_worst_is_told_first_and_decides() -> None:
    """Regressions, then what is undecided, then improvements."""
    comparison = compared(
        costs=with_cost("sync calls", 90),
        coverage={},
        claims=with_claim("writers", verdict=Verdict.FAIL),
    )
    assert [change.weight for change in comparison.changes] == [REGRESSION, UNDECIDED, IMPROVEMENT]
    assert comparison.verdict is Verdict.FAIL


def test_the_json_has_everything() -> None:
    document = compared(costs=with_cost("sync calls", 110), findings=(failing().findings[0],)).to_json()

    assert document["format_version"] == 1 and document["verdict"] == "fail"
    assert document["changes"][0]["weight"] == "regression" and document["findings"][0]["status"] == "new"
    assert document["old"]["issued_at"] == passing().issued_at and document["costs"][0]["unit"] == "sync calls"


SAFE: list[Callable[[], Certificate]] = [failing, unknown]


@pytest.mark.parametrize("make", SAFE)
def test_a_certificate_without_costs_and_coverage_can_be_compared(make: Callable[[], Certificate]) -> None:
    """Old certificates lack what was added since."""
    assert compare(make(), make()).verdict is Verdict.PASS
