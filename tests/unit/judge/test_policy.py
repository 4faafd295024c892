"""Ready, not ready or undecided: each condition of a policy, met, refused and undecided."""

from __future__ import annotations

import dataclasses
import datetime
import tomllib
from typing import Any

import pytest

from harness import UsageError
from harness.core.coverage import FaultCoverage
from harness.core.decision import Decision, Readiness
from harness.core.evidence import Certificate
from harness.core.verdict import Verdict
from harness.judge.policy import Policy, decide, policy_from_table
from tests.golden.sample import failing, passing, unknown
from tests.unit.judge.compared import full, site, with_claim, with_evidence

NOW = datetime.datetime(2026, 3, 20, 9, 26, 53, tzinfo=datetime.UTC)
READY, NOT_READY, UNDECIDED = Readiness
LIMITS = {
    "limits": [
        {"metric": "apply_p99_ms", "sense": "at most", "limit": 5.0, "verdict": "pass"},
        {"metric": "throughput_per_s", "sense": "at least", "limit": 100.0, "verdict": "unknown"},
        {"metric": "broken row"},
    ]
}


def decided(certificate: Certificate, text: str = "") -> Decision:
    return decide(certificate, NOW, policy_from_table(tomllib.loads(text), "policy.toml"))


def missing(decision: Decision) -> list[str]:
    return [condition.name for condition in decision.missing]


@pytest.mark.parametrize(
    ("certificate", "readiness", "names"),
    [
        (passing(), READY, []),
        (failing(), NOT_READY, ["power_loss", "io_error"]),
        (unknown(), UNDECIDED, ["power_loss"]),
        (dataclasses.replace(passing(), claims=()), UNDECIDED, ["claims"]),
    ],
)
def test_without_a_policy_every_promise_has_to_be_kept(
    certificate: Certificate, readiness: Readiness, names: list[str]
) -> None:
    decision = decide(certificate, NOW)
    assert decision.readiness is readiness and missing(decision) == names
    assert decision.policy == Policy().name


def test_what_may_stay_undecided_and_what_may_not() -> None:
    """An allowed UNKNOWN is met and told so; a broken claim is never allowed."""
    assert decided(unknown(), 'allowed_unknown = ["power_loss"]').readiness is READY
    assert decided(failing(), 'allowed_unknown = ["power_loss", "io_error"]').readiness is NOT_READY


def test_refused_conditions_are_told_before_undecided_ones() -> None:
    mixed = dataclasses.replace(full(), claims=with_claim("writers", verdict=Verdict.UNKNOWN), profile="quick")
    assert missing(decided(mixed, 'profile = "standard"')) == ["profile", "writers"]


@pytest.mark.parametrize(
    ("text", "changes", "readiness"),
    [
        ('[claims]\npower_loss = "synced"', {}, READY),
        ('[claims]\npower_loss = ""', {}, READY),
        ('[claims]\ncorruption = "repaired"', {}, NOT_READY),
        ('[claims]\nrollback = "detected"', {}, NOT_READY),
        ('[claims]\nrollback = ""', {"contract": {"rollback": "detected"}}, UNDECIDED),
        ('[claims]\nwriters = "threads"', {"claims": with_claim("writers", promised="often")}, UNDECIDED),
        ('scenarios = ["kill", "bit-flip"]', {}, READY),
        ('scenarios = ["nemesis"]', {"not_exercised": ("nemesis: no fork",)}, NOT_READY),
        ('scenarios = ["kill"]', {"evidence": with_evidence("kill", verdict=Verdict.UNKNOWN)}, UNDECIDED),
        ('models = ["strict", "ext4"]', {}, READY),
        ('models = ["btrfs"]', {}, NOT_READY),
        ('models = ["ext4"]', {"evidence": with_evidence("power-loss", "ext4", verdict=Verdict.UNKNOWN)}, UNDECIDED),
        ('limits = ["apply_p99_ms"]', {"measurements": LIMITS}, READY),
        ('limits = ["throughput_per_s"]', {"measurements": LIMITS}, UNDECIDED),
        ('limits = ["apply_p99_ms"]', {}, NOT_READY),
        ('limits = ["broken row"]', {"measurements": LIMITS}, NOT_READY),
        ("[limits]\napply_p99_ms = 5", {"measurements": LIMITS}, READY),
        ("[limits]\napply_p99_ms = 4.9", {"measurements": LIMITS}, NOT_READY),
        ("[limits]\nthroughput_per_s = 101", {"measurements": LIMITS}, NOT_READY),
        ('profile = "standard"', {}, READY),
        ('profile = "exhaustive"', {}, NOT_READY),
        ('profile = "quick"', {"profile": "tiny"}, UNDECIDED),
        ("maximum_age_days = 6", {}, READY),
        ("maximum_age_days = 5.9", {}, NOT_READY),
        ("maximum_age_days = 7", {"issued_at": "yesterday"}, UNDECIDED),
        ("maximum_age_days = 7", {"issued_at": "2026-03-19T00:00:00"}, READY),
        ("maximum_age_days = 7", {"issued_at": "2030-01-01T00:00:00+00:00"}, UNDECIDED),
        ("fault_coverage_percent = 75", {}, READY),
        ("fault_coverage_percent = 75.1", {}, NOT_READY),
        ("fault_coverage_percent = 1", {"fault_coverage": None}, UNDECIDED),
        ("branch_coverage_percent = 91", {}, READY),
        ("branch_coverage_percent = 92", {}, NOT_READY),
        ("branch_coverage_percent = 1", {"coverage": {}}, UNDECIDED),
        ("zoo = true", {}, READY),
        ("zoo = false", {"zoo": {}}, READY),
        ("zoo = true", {"zoo": {}}, UNDECIDED),
        ("zoo = true", {"zoo": {"caught": 9, "planted": 10, "false_alarms": 0}}, NOT_READY),
        ("zoo_caught_percent = 90", {"zoo": {"caught": 9, "planted": 10, "false_alarms": 0}}, READY),
        ("zoo_caught_percent = 90", {"zoo": {"caught": 9, "planted": 10, "false_alarms": 1}}, NOT_READY),
        ("zoo_caught_percent = 90", {"zoo": {"caught": 9, "planted": 10}}, NOT_READY),
    ],
)
def test_conditions(text: str, changes: dict[str, Any], readiness: Readiness) -> None:
    """Met, refused, and undecided where the certificate does not say enough."""
    decision = decided(dataclasses.replace(full(), **changes), text)
    assert decision.readiness is readiness, decision.conditions
    assert decision.policy == "policy.toml"


def test_struck_lines_count_and_not_calls() -> None:
    """Two calls in one line are one call site."""
    twice = FaultCoverage((site(2), site(2)), (site(5),), (), 2, None)
    decision = decided(dataclasses.replace(full(), fault_coverage=twice), "fault_coverage_percent = 50")
    assert decision.readiness is READY


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("speed = 9", "has no condition 'speed': say one of claims, "),
        ("claims = 3", "is not a table: write [claims]"),
        ('[claims]\nspeed = "fast"', "names 'speed': say one of process_crash, "),
        ('[claims]\npower_loss = "mostly"', "power_loss asks for 'mostly': say one of acknowledged, synced, prefix"),
        ("[claims]\npower_loss = 3", "power_loss asks for 3"),
        ('scenarios = "kill"', 'is not a list of names: write ["a", "b"]'),
        ("models = [1]", "is not a list of names"),
        ('profile = "fast"', "is 'fast': say one of quick, standard, exhaustive"),
        ("maximum_age_days = -1", "is not a number from 0 to 36500"),
        ("fault_coverage_percent = 101", "is not a number from 0 to 100"),
        ("branch_coverage_percent = true", "is not a number from 0 to 100"),
        ("branch_coverage_percent = nan", "is not a number from 0 to 100"),
        ('zoo = "yes"', "is 'yes': say true or false"),
        ("limits = 3", "is neither a list of metrics nor a table"),
        ('[limits]\napply_p99_ms = "fast"', "is neither a list of metrics nor a table"),
    ],
)
def test_a_policy_that_means_nothing_is_told_in_a_sentence(text: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        policy_from_table(tomllib.loads(text), "policy.toml")
    assert told in str(caught.value) and str(caught.value).startswith("policy.toml")


def test_the_names_of_scenarios_and_models_can_be_checked() -> None:
    """A policy that asks for a scenario that does not exist would never be met; who has the names gives them."""
    known = {"scenarios": ("kill",)}
    with pytest.raises(UsageError, match="names 'kil': say one of kill"):
        policy_from_table({"scenarios": ["kil"]}, "policy.toml", known)
    assert policy_from_table({"scenarios": ["kill"]}, "policy.toml", known).scenarios == ("kill",)
