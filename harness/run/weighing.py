"""From what was tried to evidence, and from evidence to the verdict on each claim."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from harness.core.contract import Contract
from harness.core.evidence import ClaimResult, Evidence, Finding
from harness.core.scenario import CRASH_ENGINE, Scenario
from harness.core.verdict import Verdict, merge
from harness.core.workload import Workload
from harness.crash.states import Counts
from harness.explore.workloads import Workloads
from harness.run import lateness
from harness.run.exploring import HARMLESS, Explored, Found, Plan, merge_counts
from harness.run.options import Options
from harness.run.recording import Recorded

_HARMLESS = tuple(what.value for what in HARMLESS)
#: Why nothing was tried where the promise was broken already, by another scenario of the same claim.
LEFT_OUT = "left out, because the promise was broken under this model already"
NOT_CRASHED_AGAIN = "the first crash breaks the promise already: recoveries were not crashed"
#: The promises of a contract, in the order of a certificate.
CLAIMS = ("process_crash", "power_loss", "io_error", "corruption", "rollback", "writers")


@dataclass(slots=True)
class Family:
    """The workloads of one family, recorded and explored."""

    workloads: tuple[Workload, ...]
    recorded: list[Recorded]
    explored: list[Explored]

    @property
    def blind(self) -> list[str]:
        """Why some traces can't be trusted."""
        return list(
            dict.fromkeys(
                f"{detail}; {remedy}"
                for item in self.recorded
                for what, detail, remedy in item.unseen
                if what not in _HARMLESS
            )
        )

    @property
    def hidden_syncs(self) -> list[str]:
        return list(
            dict.fromkeys(
                f"{detail}; {remedy}"
                for item in self.recorded
                for what, detail, remedy in item.unseen
                if what in _HARMLESS
            )
        )

    @property
    def trusted(self) -> list[tuple[Workload, Recorded]]:
        """The workloads whose traces can be explored."""
        return [
            (workload, item)
            for workload, item in zip(self.workloads, self.recorded, strict=True)
            if all(what in _HARMLESS for what, _, _ in item.unseen)
        ]


def hidden_by_sync(family: Family, found: Found) -> bool:
    """A sync that the recorder could not see might forbid this state."""
    return found.claim == "power_loss" and bool(family.hidden_syncs)


@dataclass(frozen=True, slots=True)
class Weighing:
    """Everything that was tried in one run; `disagreements` are samples that were judged otherwise again."""

    scenarios: tuple[Scenario, ...]
    plans: tuple[Plan, ...]
    families: dict[str, Family]
    made: Workloads
    options: Options
    disagreements: tuple[str, ...]

    # --- evidence ------------------------------------------------------------------------

    def evidence(self) -> tuple[Evidence, ...]:
        rows = []
        for scenario in self.scenarios:
            if scenario.engine != CRASH_ENGINE:
                continue
            family = self.families[scenario.family]
            for plan in self.plans:
                if plan.claim == scenario.claim and self.made.family(scenario.family):
                    rows.append(self._row(scenario, plan, family))
        return tuple(rows)

    def _row(self, scenario: Scenario, plan: Plan, family: Family) -> Evidence:
        counts, seconds, recoveries, blind = Counts(), 0.0, 0, list(family.blind)
        for explored in family.explored:
            tally = explored.tallies.get(plan.model.name)
            seconds += explored.seconds / max(1, len(self.plans))
            if tally is None:
                counts.exhausted = False  # left out, because the promise was broken already
                continue
            merge_counts(counts, tally.nested if scenario.during_recovery else tally.first)
            recoveries += tally.recoveries_recorded
            if scenario.during_recovery and tally.nested_blind:
                blind.append(tally.nested_blind)
        counts.exhausted = counts.exhausted and 0 < len(family.explored) == len(family.workloads)
        verdict, reasons = self._verdict(scenario, plan, family, counts, blind)
        if late := self._late(plan, family):
            reasons = list(dict.fromkeys((*reasons, late)))
        judged = counts.distinct
        return Evidence(
            scenario.name,
            scenario.claim,
            verdict,
            plan.model.name,
            counts.generated,
            counts.distinct,
            judged,
            counts.exhausted,
            max(judged, recoveries) if scenario.during_recovery else judged,
            round(seconds, 3),
            self.options.seed,
            tuple(reasons),
            _bounds(scenario, family, counts, self.made, recoveries),
            counts.crash_points,
            len(family.workloads),
            deterministic=all(item.threads == 1 for item in family.recorded),
        )

    def _verdict(
        self, scenario: Scenario, plan: Plan, family: Family, counts: Counts, blind: list[str]
    ) -> tuple[Verdict, list[str]]:
        reasons: list[str] = []
        broken = list(self._found_in(family, plan, nested=scenario.during_recovery))
        hidden = [found for found in broken if hidden_by_sync(family, found)]
        if len(broken) > len(hidden):
            count = len({(found.violation.kind, str(found.site)) for found in broken})
            return Verdict.FAIL, [f"broken in {count} {'way' if count == 1 else 'ways'}"]
        if hidden:
            reasons.append(f"a violation was found, but {family.hidden_syncs[0]}")
        if scenario.during_recovery and any(self._found_in(family, plan, nested=False)):
            reasons.append(NOT_CRASHED_AGAIN)
        reasons.extend(blind)
        reasons.extend(self.disagreements)
        most = max((item.operations - item.raised for item in family.recorded), default=0)
        if most < scenario.minimum_operations:
            reasons.append(f"no workload acknowledged {scenario.minimum_operations} operations")
        if not family.explored and family.workloads and not blind:
            reasons.append(self._late(plan, family))
        elif family.explored and all(plan.model.name not in item.tallies for item in family.explored):
            reasons.append(LEFT_OUT if self._is_broken(plan) else self._late(plan, family) or "not tried")
        elif not counts.crash_points and not scenario.during_recovery:
            reasons.append("no fault fired: the store made no call that a crash could come after")
        if reasons:
            return Verdict.UNKNOWN, list(dict.fromkeys(reasons))
        if scenario.during_recovery and not counts.distinct:
            return Verdict.PASS, ["no recovery led to a new content: a crash in it leaves nothing that was not tried"]
        return Verdict.PASS, []

    def _late(self, plan: Plan, family: Family) -> str:
        """What the time did not suffice for, or nothing: where the promise is broken, no more was to be tried."""
        if self._is_broken(plan):
            return ""
        profile, done, wanted = self.options.budget, len(family.explored), len(family.trusted)
        if done < wanted:
            most = f"more than {done} of {wanted}" if done else "any"
            return lateness.of_the_run(profile, f"{most} of these workloads was explored")
        cut = [item for item in family.explored if item.late and plan.model.name not in list(item.tallies)[:-1]]
        if not cut:
            return ""
        what = f"{len(cut)} of {wanted} workloads were explored to the end under this model"
        return lateness.of_a_workload(profile, profile.exploring_s, what)

    def _is_broken(self, plan: Plan) -> bool:
        return any(self._breaks(plan, found) for other in self.families.values() for found in _found(other))

    def _found_in(self, family: Family, plan: Plan, *, nested: bool) -> Iterable[Found]:
        return (found for found in _found(family) if self._breaks(plan, found) and (found.inner is not None) == nested)

    @staticmethod
    def _breaks(plan: Plan, found: Found) -> bool:
        return found.model == plan.model.name

    # --- claims --------------------------------------------------------------------------

    def claims(
        self, contract: Contract, evidence: tuple[Evidence, ...], findings: tuple[Finding, ...]
    ) -> tuple[ClaimResult, ...]:
        """What became of each promise."""
        claims = []
        for claim in CLAIMS:
            promised = getattr(contract, claim)
            rows = [row for row in evidence if row.claim == claim]
            if promised is None or not rows:
                continue
            flaky = [item for item in findings if item.claim == claim and not item.confirmed]
            verdict = self._claim_verdict(rows, [item for item in findings if item.claim == claim])
            reasons = _reasons(verdict, rows)
            if flaky and verdict is Verdict.UNKNOWN:
                reasons = (*reasons, "a violation was found that did not happen again in a fresh interpreter")
            scenarios = tuple(dict.fromkeys(row.scenario for row in rows))
            claims.append(ClaimResult(claim, promised, verdict, scenarios, reasons))
        return (*claims, *self._untested(contract, {row.claim for row in evidence}))

    def _claim_verdict(self, rows: list[Evidence], findings: list[Finding]) -> Verdict:
        """A violation that did not happen again breaks nothing, and leaves nothing certain."""
        verdict = merge(row.verdict for row in rows)
        if verdict is Verdict.FAIL and findings and not any(item.confirmed for item in findings):
            return Verdict.UNKNOWN
        return verdict

    def _untested(self, contract: Contract, tested: set[str]) -> list[ClaimResult]:
        """Promises that no scenario of this version tries to break."""
        if self.options.scenarios or self.options.schedules or self.options.survey:
            return []
        results = []
        for claim in CLAIMS[2:]:
            promised = getattr(contract, claim)
            if promised not in (None, "one") and claim not in tested:
                nothing = '"one"' if claim == "writers" else "None"
                reason = f"no scenario of this version tests it; say {nothing} in the contract if it is not promised"
                results.append(ClaimResult(claim, promised, Verdict.UNKNOWN, (), (reason,)))
        return results


def _found(family: Family) -> Iterator[Found]:
    for explored in family.explored:
        yield from explored.defects


def _reasons(verdict: Verdict, rows: list[Evidence]) -> tuple[str, ...]:
    """Why a claim is not certified. Each piece of evidence counts its own ways; a claim says where to look."""
    decisive = [row for row in rows if row.verdict is verdict is not Verdict.PASS]
    if verdict is Verdict.FAIL:
        return (f"broken by {', '.join(dict.fromkeys(row.scenario for row in decisive))}",)
    return tuple(dict.fromkeys(reason for row in decisive for reason in row.reasons))


def _bounds(scenario: Scenario, family: Family, counts: Counts, made: Workloads, recoveries: int) -> dict[str, Any]:
    bounds: dict[str, Any] = {
        "smallest_workload_operations": min((item.operations for item in family.recorded), default=0),
        "largest_workload_operations": max((item.operations for item in family.recorded), default=0),
        "pending_disk_ops_most": counts.pending_most,
        "events": sum(item.events for item in family.recorded),
    }
    if scenario.family == "short":
        bounds["all_sequences_up_to_steps"] = made.exhaustive_length
        bounds["kinds_of_steps"] = made.shapes
    if scenario.during_recovery:
        bounds["recoveries_that_wrote"] = recoveries
    return bounds
